"""Trained lower bounds: below the truth within their stated error, close to it, reproducible, saturating aloud."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from infotherm.estimators.variational import MINE, NWJ, DonskerVaradhan, InfoNCE

SORTS = [DonskerVaradhan, MINE, NWJ, InfoNCE]
QUICK: dict[str, Any] = {"steps": 40, "width": 16, "batch_size": 128}


def normal(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gaussian(seed, n, information, dim=1):
    generator = torch.Generator().manual_seed(seed)
    rho = math.sqrt(1 - math.exp(-2 * information / dim))
    x, noise = torch.randn(2, n, dim, dtype=torch.float64, generator=generator)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def channel(seed, n, symbols=2, flip=0.1):
    """Labels through a symmetric channel that permutes them first, and the information."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(symbols, (n,), generator=generator)
    moved = torch.rand(n, generator=generator) < flip
    y = torch.where(moved, torch.randint(symbols, (n,), generator=generator), (5 * x + 3) % symbols)
    right, wrong = 1 - flip + flip / symbols, flip / symbols
    return x, y, math.log(symbols) + right * math.log(right) + (symbols - 1) * wrong * math.log(wrong)


@pytest.mark.parametrize("sort", SORTS)
def test_gaussian_information_is_found(sort):
    """Below the truth at three standard errors (odds 1e-3 for a tight bound), and within 15 % of it or three errors."""
    for information, dim in ((0.0, 1), (2.0, 3)):
        bound = sort(**QUICK).estimate(*gaussian(1, 800, information, dim), generator=2)
        assert bound.kind == "lower" and bound.method == "variational" and bound.info["n"] <= 240
        assert bound.lower_limit(1e-3) <= information
        assert bound.value > 0.85 * information - 3 * bound.stderr - 1e-9


@pytest.mark.parametrize("sort", [DonskerVaradhan, InfoNCE])
def test_labels_are_symbols(sort):
    x, y, truth = channel(0, 1000, symbols=7)
    bound = sort(**QUICK).estimate(x, y, generator=1)
    assert bound.lower_limit(1e-3) <= truth
    assert bound.value > 0.8 * truth


def test_the_network_learns_what_no_gaussian_has():
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 1000, 1, dtype=torch.float64, generator=generator)
    y = x.square() + 0.3 * noise  # uncorrelated; I = 1.1404 nat by quadrature of the density of y
    for critic in ("separable", "joint"):
        bound = DonskerVaradhan(critic=critic, steps=80, width=32, learning_rate=1e-2).estimate(x, y, generator=1)
        assert bound.info["step"] > 0 and bound.value > 0.3
        assert bound.lower_limit(1e-3) < 1.1404


def test_independent_samples_have_a_bound_of_at_most_zero_on_average():
    """20 replications: mean at most 3 standard errors above zero (odds 1e-3)."""
    values = np.array([float(NWJ(steps=8, width=8).estimate(*gaussian(s, 300, 0.0), generator=s)) for s in range(20)])
    assert values.mean() < 3 * values.std() / math.sqrt(20) + 1e-12


@pytest.mark.filterwarnings("ignore:DonskerVaradhan. the bound is saturated")
def test_a_bound_judged_on_its_training_part_is_caught(monkeypatch):
    """The same rows for training and judging: at independence in 5 + 5 dimensions the bound is then far above zero."""
    from infotherm.estimators import variational

    def leaking(rows, sizes, generator):
        return [torch.arange(100)] * 3

    monkeypatch.setattr(variational, "split_rows", leaking)
    bound = DonskerVaradhan(steps=100).estimate(*gaussian(0, 300, 0.0, 5), generator=0)
    assert bound.lower_limit(1e-3) > 0.1


def test_invariances_and_reproducibility():
    x, y = (torch.round(z * 2**20) / 2**20 for z in gaussian(4, 400, 1.0, 2))
    bound = MINE(**QUICK)
    base = float(bound.estimate(x, y, generator=7))
    state = torch.get_rng_state()
    assert float(bound.estimate(x.clone(), y.numpy(), generator=7)) == base
    assert torch.equal(torch.get_rng_state(), state)
    assert float(bound.estimate(x, y, generator=torch.Generator().manual_seed(7))) == base
    assert float(bound.estimate(x, y, generator=8)) != base
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    assert float(bound.estimate(x[order], y[order], generator=7)) == base
    scale = torch.tensor([2.0**-8, 2.0**5], dtype=torch.float64)
    assert float(bound.estimate(1024 * x, scale * y, generator=7)) == base
    assert float(bound.estimate(1000 * x + 3.0, y - 5.0, generator=7)) == pytest.approx(base, abs=1e-9)


def test_ceilings_are_stated_and_saturation_is_told():
    x, y = gaussian(5, 1000, 6.0)
    with pytest.warns(UserWarning, match="InfoNCE: the bound is saturated"):
        bound = InfoNCE(steps=30, batch_size=8).estimate(x, y, generator=0)
    assert bound.kind == "lower" and bound.info["ceiling"] == math.log(8) and bound.value <= math.log(8)
    assert bound.info["n"] == 296 and "warning" in bound.info
    with pytest.warns(UserWarning, match="DonskerVaradhan: the bound is saturated"):
        bound = DonskerVaradhan(steps=30).estimate(x, x, generator=0)
    assert bound.kind == "lower" and bound.value <= bound.info["ceiling"] == 1 + math.log(300)
    for stated, size in ((DonskerVaradhan(), 300 * math.e), (InfoNCE(), 256), (InfoNCE(batch_size=8), 8)):
        assert stated.tags.ceiling is not None and stated.tags.ceiling(1000) == pytest.approx(math.log(size))


def test_copied_rows_and_few_rows_are_told():
    x, y = gaussian(6, 300, 0.0)
    with pytest.warns(UserWarning, match="rows are repeated together: the held-out part"):
        assert NWJ(steps=20).estimate(torch.cat([x, x]), torch.cat([y, y]), generator=0).kind == "unknown"
    near = [torch.cat([z, z]) + 1e-9 * normal(9, 600, 1) for z in (x, y)]
    with pytest.warns(UserWarning, match="are near copies of others: the held-out part"):
        assert NWJ(steps=20).estimate(*near, generator=0).kind == "unknown"
    with pytest.warns(UserWarning, match="60 samples are too few"):
        assert NWJ(steps=20).estimate(x[:60], y[:60], generator=0).kind == "unknown"


@pytest.mark.parametrize("change", [lambda z: z / z.abs().pow(3), lambda z: 1e-12 * z, lambda z: 1e8 + 1e6 * z])
def test_heavy_tails_and_sizes(change):
    x, y = gaussian(7, 600, 1.0)
    bound = DonskerVaradhan(**QUICK).estimate(change(x), change(y), generator=0)
    assert bound.lower_limit(1e-3) <= 1.0 and bound.stderr < 0.3


def test_plain_values_are_reported():
    x, y = gaussian(8, 500, 1.0)
    bound = DonskerVaradhan(**QUICK).estimate(x, y, generator=0)
    assert bound.info["plain"] >= float(bound) - 1e-9  # the logarithm lies below its tangent
    assert abs(NWJ(**QUICK).estimate(x, y, generator=0).info["plain"] - 1) < 0.5


def test_progress_is_told():
    told = []
    DonskerVaradhan(steps=10).estimate(*gaussian(0, 200, 1.0), generator=0, progress=lambda *a: told.append(a))
    assert told[-1][:2] == (told[-1][0], 10) and "nat" in told[-1][2]


@pytest.mark.parametrize(
    "bound, x, y, message",
    [
        (NWJ(), torch.ones(200), torch.randn(200), "x must vary"),
        (NWJ(), torch.randn(10), torch.randn(10), "at least 20 samples"),
        (NWJ(), torch.randn(200), torch.randn(100), "as many samples"),
        (
            InfoNCE(batch_size=512),
            torch.randn(200),
            torch.randn(200),
            "batch_size must not exceed the held-out pairs, 60",
        ),
    ],
)
def test_refusals(bound, x, y, message):
    with pytest.raises(ValueError, match=message):
        bound.estimate(x, y)


@pytest.mark.parametrize(
    "sort, settings, message",
    [
        (NWJ, {"critic": "deep"}, "critic must be 'joint' or 'separable'; got 'deep'"),
        (NWJ, {"held_out": 0.9}, "leave some for training"),
        (InfoNCE, {"batch_size": 1}, "batch_size must be at least 2; got 1"),
        (MINE, {"decay": 1.0}, "decay must lie in"),
    ],
)
def test_settings_are_checked(sort, settings, message):
    with pytest.raises(ValueError, match=message):
        sort(**settings)


@pytest.mark.parametrize("sort", [DonskerVaradhan, InfoNCE])
def test_rare_symbols_that_were_not_met_are_reckoned_with(sort):
    """100 pairs of bits, 2 % of them flipped: half of the held-out parts hold none of them, and all terms are equal."""
    generator = torch.Generator().manual_seed(3)
    beyond = 0
    for seed in range(12):
        x = torch.randint(2, (100,), generator=generator)
        y = x ^ (torch.rand(100, generator=generator) < 0.02).long()
        bound = sort(steps=30, width=8).estimate(x, y, generator=seed)
        beyond += bool(bound.lower_limit(0.05) > 0.5951)
    assert beyond <= 3  # odds 2e-3 at 5 %


def test_a_side_that_varies_in_the_held_out_part_only_has_no_information():
    x = torch.zeros(200)
    y = normal(0, 200, 1)
    for row in range(5):  # at least one of these rows is not trained on
        bound = NWJ(steps=5, width=8).estimate(torch.where(torch.arange(200) == row, 1.0, x), y, generator=0)
        assert bound.lower_limit(1e-3) <= 0


def test_an_outlier_decides_nothing():
    x, y = gaussian(0, 300, 0.5)
    x[3] = 1e6
    for sort in SORTS:
        bound = sort(steps=10, width=8).estimate(x, y, generator=0)
        assert bound.lower_limit(1e-3) < 0.5 and abs(bound.value) < 1 and bound.stderr < 0.5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*the bound is saturated")
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("case", [(0.0, 1), (0.5, 1), (2.0, 1), (5.0, 1), (0.5, 5), (2.0, 5), (5.0, 5), "labels"])
def test_lower_limits_hold(sort, case):
    """100 replications: the lower 95 % limit exceeds the truth in at most 12 (odds 1.5e-3 at exactly 5 %)."""
    beyond = 0
    for seed in range(100):
        x, y, truth = channel(seed, 600) if case == "labels" else (*gaussian(seed, 600, *case), case[0])
        beyond += bool(sort(**QUICK).estimate(x, y, generator=seed).lower_limit(0.05) > truth)
    assert beyond <= 12


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_works_where_the_samples_are():
    x, y = (z.cuda() for z in gaussian(0, 500, 1.0))
    bound = DonskerVaradhan(**QUICK).estimate(x, y, generator=0)
    assert bound.value.device.type == "cuda" and bound.value > 0.5
