"""Rows put aside, copied rows, and coordinates of one size."""

import math

import pytest
import torch

from infotherm.estimators.held_out import (
    Features,
    Standard,
    copied_rows,
    lower_error,
    near_copies,
    private_generator,
    split_rows,
)


def normal(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_parts_are_disjoint_and_know_no_order():
    rows = normal(0, 40, 2)
    shuffle = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    parts = split_rows(rows, [20, 8, 12], torch.Generator().manual_seed(1))
    again = split_rows(rows[shuffle], [20, 8, 12], torch.Generator().manual_seed(1))
    assert [len(p) for p in parts] == [20, 8, 12]
    assert torch.cat(parts).sort().values.tolist() == list(range(40))
    for part, other in zip(parts, again, strict=True):
        assert torch.equal(rows[part], rows[shuffle][other])


def test_private_generator_draws_once_from_what_it_is_given():
    given, same = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    assert private_generator(given).initial_seed() == private_generator(5).initial_seed()
    torch.randint(2**62, (), generator=same)
    assert torch.equal(given.get_state(), same.get_state())
    state = torch.get_rng_state()
    private_generator(3)
    assert torch.equal(torch.get_rng_state(), state)


def test_copied_rows_are_told_from_atoms():
    x, y = normal(1, 300, 2), normal(2, 300, 1)
    symbols = torch.randint(0, 4, (300, 1), generator=torch.Generator().manual_seed(0)).double()
    counts = torch.poisson(torch.full((300, 2), 100.0), generator=torch.Generator().manual_seed(0)).double()
    zeros = torch.where(x[:, :1] < 0, 0.0, x[:, :1])
    for a, b in ((x, y), (symbols, symbols), (symbols, y), (counts[:, :1], counts[:, 1:]), (zeros, zeros + 1)):
        assert copied_rows(a, b) is None
    again = torch.randint(0, 300, (300,), generator=torch.Generator().manual_seed(4))
    for a, b in ((x, y), (symbols, y), (x, symbols)):
        assert "rows are repeated together" in (copied_rows(torch.cat([a, a[:9]]), torch.cat([b, b[:9]])) or "")
        assert copied_rows(a[again], b[again]) is not None
    assert copied_rows(x[again]) is not None and copied_rows(x) is None


@pytest.mark.parametrize("dim", [1, 2, 10])
def test_near_copies_are_told_and_laws_are_not(dim):
    x = normal(0, 400, dim)
    noise = 1e-8 * normal(1, 400, dim)
    told = near_copies(x[:200], torch.cat([x[200:], x[:6] + noise[:6]])[-256:])
    assert told is not None and told.startswith("6 of 206")
    heavy = x / normal(2, 400, 1)  # Cauchy
    narrow = torch.where(normal(3, 400, 1) > 0, x, 1e-9 * x)  # spreads of different size are no copies
    symbols = (2 * x).round()
    for law in (x, heavy, narrow, symbols, torch.cat([x, x], 1), torch.cat([symbols[:, :1], x[:, :1]], 1)):
        assert near_copies(law[:200], law[200:]) is None


def test_standard_coordinates_have_the_slope_they_state():
    x = torch.cat([normal(0, 500, 1), normal(1, 500, 1) / normal(2, 500, 1)], 1)
    standard = Standard.of(x)
    assert standard.heavy.tolist() == [False, True]
    step = 1e-6
    slopes = torch.stack(
        [
            (standard(x + step * e) - standard(x - step * e))[:, k] / (2 * step)
            for k, e in enumerate(torch.eye(2).double())
        ]
    )
    torch.testing.assert_close(slopes.log().sum(0), standard.log_slope(x), atol=1e-4, rtol=0)
    assert torch.equal(Standard.of(1024 * x)(1024 * x), standard(x))


def test_few_values_are_labels_and_binary_ones_a_scale():
    x = torch.arange(120.0, dtype=torch.float64)[:, None] % torch.tensor([3.0, 2.0, 120.0], dtype=torch.float64)
    features = Features.of(x)(x)
    assert features.shape == (120, 4)
    assert features[:, 2:].sum(0).tolist() == [40, 40]
    constant = Features.of(torch.ones(50, 1, dtype=torch.float64))
    assert not constant(torch.full((2, 1), 7.0, dtype=torch.float64)).any()


@pytest.mark.parametrize("scale, offset", [(1e-12, 0.0), (1e6, 1e8)])
def test_standard_coordinates_of_any_size(scale, offset):
    x = normal(0, 400, 1)
    u = Standard.of(scale * x + offset)(scale * x + offset)
    assert math.isclose(float(u.abs().median()), 1.0, rel_tol=1e-6)
    torch.testing.assert_close(u, Standard.of(x)(x), atol=1e-6, rtol=1e-6)


def test_lower_limits_of_skewed_means_keep_their_level():
    """Lower 95 % limits of the mean of n = 60 terms -z^2 of normal z: of 4000 replications 5 % + 1.4 % (4 standard
    errors) lie above the truth with the spread of 40 more terms; without the correction, or with one from the same
    terms, more."""
    terms = -normal(0, 4000, 100).square()
    fresh = terms[:, :60]

    def missed(errors):
        return float((fresh.mean(1) - 1.6706 * errors > -1).double().mean())

    def centred(x):
        return x - x.mean(1, keepdim=True)

    assert missed(fresh.std(1) / math.sqrt(60)) > 0.085
    assert missed(torch.stack([lower_error(t, 60) for t in centred(fresh)])) > 0.06
    assert missed(torch.stack([lower_error(t, 60) for t in centred(terms)])) < 0.064
    assert lower_error(torch.zeros(5), 5) == 0
