"""Entropy and surprisal: closed forms, quadrature, Monte Carlo and bounds against each other; the laws of entropy."""

import doctest
import math

import pytest
import torch
import torch.distributions as td
from hypothesis import given
from hypothesis import strategies as st

from infotherm.distributions import (
    Discrete,
    Empirical,
    Gaussian,
    GaussianMixture,
    LogDensity,
    Rademacher,
    SpikeSlab,
)
from infotherm.information import entropies
from infotherm.information.entropies import binary_entropy, entropy, surprisal

float64 = torch.float64
MIXTURE = GaussianMixture([0.3, 0.7], [-2.0, 1.0], [0.25, 1.0])


def tensor(x):
    return torch.tensor(x, dtype=float64)


@st.composite
def pmfs(draw):
    weights = draw(st.lists(st.sampled_from([0.0, 1e-9, 1e-3, 0.1, 0.5, 1.0, 3.0]), min_size=1, max_size=12))
    weights = tensor(weights) + tensor([1e-6] + [0.0] * (len(weights) - 1))
    return weights / weights.sum()


def gaussian(dim, seed, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(dim, dim, generator=g, dtype=float64)
    mean = scale * torch.randn(dim, generator=g, dtype=float64)
    return Gaussian(mean, scale**2 * (root @ root.mT + 0.1 * torch.eye(dim, dtype=float64)))


# -- closed forms -----------------------------------------------------------------------------------------------------


@given(pmfs())
def test_entropy_of_a_pmf_lies_between_zero_and_the_uniform_one(pmf):
    found = entropy(Discrete(pmf))
    assert -found.error <= found.value <= math.log(len(pmf)) + found.error
    truth = math.fsum(-p * math.log(p) for p in pmf.tolist() if p > 0)
    assert abs(found.value.item() - truth) <= found.error.item()


def test_the_uniform_law_has_entropy_log_k():
    for k in (1, 2, 7, 1000):
        found = entropy(Discrete(torch.full((k,), 1 / k, dtype=float64)))
        assert abs(found.value.item() - math.log(k)) <= found.error.item() < 1e-12


def test_impossible_outcomes_have_no_gradient():
    pmf = tensor([0.5, 0.5, 0.0]).requires_grad_()
    (slope,) = torch.autograd.grad(entropy(Discrete(pmf)).value, pmf)
    assert torch.isfinite(slope).all() and slope[2] == 0


def test_equal_samples_are_one_atom():
    assert entropy(Empirical([[0.0], [1.0], [1.0], [2.0]])).value.item() == pytest.approx(1.5 * math.log(2))
    assert entropy(Rademacher(0.3)).value.item() == pytest.approx(binary_entropy(0.3).value.item())


@pytest.mark.parametrize("dim", [1, 2, 3, 5, 8])
def test_gaussian_entropy_against_torch(dim):
    law = gaussian(dim, dim)
    truth = td.MultivariateNormal(law.mean, law.covariance).entropy().item()
    found = entropy(law)
    assert (found.kind, found.method) == ("exact", "closed-form")
    assert abs(found.value.item() - truth) <= found.error.item() + 1e-13


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
@pytest.mark.parametrize("method", ["closed-form", "quadrature"])
def test_scaling_adds_its_logarithm(scale, method):
    """h(s X + m) = h(X) + log s."""
    unit, scaled = entropy(Gaussian(0.0, 1.0)), entropy(Gaussian(scale, scale**2), method=method)
    assert abs(scaled.value - unit.value - math.log(scale)) <= scaled.error + unit.error
    assert scaled.error < 1e-11


def test_shift_does_not_matter():
    moved = GaussianMixture([0.3, 0.7], [98.0, 101.0], [0.25, 1.0])
    first, second = entropy(MIXTURE), entropy(moved)
    assert abs(first.value - second.value) <= first.error + second.error


def test_products_add():
    first, second = entropy(td.Gamma(tensor(2.0), tensor(1.0))), entropy(td.Laplace(tensor(0.0), tensor(2.0)))
    independent = td.Independent(td.Gamma(tensor([2.0, 2.0]), tensor(1.0)), 1)
    assert entropy(independent).value.item() == pytest.approx(2 * first.value.item(), rel=1e-14)
    joint = LogDensity(
        lambda x: (
            td.Gamma(tensor(2.0), tensor(1.0), validate_args=False).log_prob(x[..., 0])
            + td.Laplace(tensor(0.0), tensor(2.0)).log_prob(x[..., 1])
        ),
        dim=2,
        lower=tensor([0.0, -math.inf]),
        check=False,
    )
    found = entropy(joint, tolerance=1e-4)
    assert abs(found.value - first.value - second.value) <= found.error + first.error + second.error


def test_the_gaussian_has_the_largest_entropy_of_its_variance():
    for law in (td.Laplace(tensor(0.0), tensor(1.0)), td.Uniform(tensor(0.0), tensor(1.0)), MIXTURE):
        best = entropy(Gaussian(0.0, law.variance.item()))
        assert entropy(law).value < best.value


def test_singular_laws():
    line = Gaussian([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]])
    assert entropy(line).value == -math.inf
    assert entropy(GaussianMixture([0.5, 0.5], [0.0, 1.0], [1.0, 0.0])).value == -math.inf
    mixed = entropy(SpikeSlab(0.3, 0.0, 2.0))
    truth = binary_entropy(0.3).value + 0.3 * entropy(Gaussian(0.0, 2.0)).value
    assert abs(mixed.value - truth) <= mixed.error < 1e-11


# -- routes agree -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "law",
    [
        Gaussian(0.3, 2.0),
        MIXTURE,
        td.StudentT(tensor([3.0, 10.0])),
        td.Poisson(tensor([0.5, 20.0])),
        SpikeSlab(0.3, 1.0, 2.0),
        gaussian(2, 0),
    ],
    ids=lambda law: type(law).__name__,
)
def test_monte_carlo_agrees_with_quadrature(law):
    exact = entropy(law, method="quadrature")
    sampled = entropy(law, method="monte-carlo", n_samples=20_000, generator=1)
    assert exact.kind == "exact" and sampled.kind == "estimate"
    assert ((sampled.value - exact.value).abs() <= 4 * sampled.stderr + exact.error).all()


def test_students_tails_are_not_cut_off():
    """log-density weighted tails of t(3): a nested rule on a cut range claims 2e-12 and is wrong by 2e-4."""
    law = td.StudentT(tensor(3.0))
    found = entropy(law, method="quadrature")
    truth = 2 * (torch.digamma(tensor(2.0)) - torch.digamma(tensor(1.5))) + math.log(math.sqrt(3) * math.pi / 2)
    assert abs(found.value - truth) <= found.error < 1e-11


@pytest.mark.parametrize("seed", range(4))
def test_bounds_of_a_mixture_hold_it_in_every_dimension(seed):
    g = torch.Generator().manual_seed(seed)
    dim, k = (1, 2, 4, 6)[seed], 3
    means = 2 * torch.randn(k, dim, generator=g, dtype=float64)
    roots = torch.randn(k, dim, dim, generator=g, dtype=float64)
    law = GaussianMixture([0.2, 0.5, 0.3], means, roots @ roots.mT + 0.3 * torch.eye(dim, dtype=float64))
    lower, upper = (entropy(law, method="variational", bound=b) for b in ("lower", "upper"))
    assert (lower.kind, upper.kind) == ("lower", "upper")
    truth = entropy(law, generator=0, n_samples=20_000)
    room = 4 * truth.stderr + truth.error
    assert lower.value - lower.error <= truth.value + room
    assert truth.value - room <= upper.value + upper.error
    assert torch.equal(lower.info["upper"].value, upper.value)


def test_bounds_meet_where_components_are_far_apart_or_equal():
    far = GaussianMixture([0.5, 0.5], [-500.0, 500.0], 1.0)
    same = GaussianMixture([0.5, 0.5], [1.0, 1.0], 2.0)
    for law, truth in (
        (far, math.log(2) + 0.5 * math.log(2 * math.pi * math.e)),
        (same, entropy(Gaussian(0.0, 2.0)).value),
    ):
        for bound in ("lower", "upper"):
            found = entropy(law, method="variational", bound=bound)
            assert found.value.item() == pytest.approx(float(truth), rel=1e-12)


def test_high_dimensions_go_by_monte_carlo():
    law = GaussianMixture([0.5, 0.5], torch.stack([torch.zeros(6), torch.ones(6)]).to(float64), 1.0)
    assert entropy(law, generator=0).method == "monte-carlo"
    assert "D = 6" in str(entropy.explain(law))


def test_a_law_that_nothing_reaches_is_refused_with_reasons():
    law = LogDensity(lambda x: -x.square().sum(-1) / 2, dim=5)
    with pytest.raises(NotImplementedError, match="sampler") as caught:
        entropy(law)
    assert "D = 5" in str(caught.value)


# -- gradients, dtypes, batches ---------------------------------------------------------------------------------------


def test_gradients_of_all_routes():
    rate = tensor(2.0).requires_grad_()
    for method, options in (("closed-form", {}), ("quadrature", {})):
        (slope,) = torch.autograd.grad(entropy(td.Exponential(rate), method=method, **options).value, rate)
        assert slope.item() == pytest.approx(-0.5, rel=1e-9)
    slopes = []
    for seed in range(30):
        found = entropy(td.Poisson(rate), method="monte-carlo", n_samples=1000, generator=seed)
        slopes.append(torch.autograd.grad(found.value, rate)[0].item())
    (truth,) = torch.autograd.grad(entropy(td.Poisson(rate), method="quadrature").value, rate)
    slopes = tensor(slopes)
    assert abs(slopes.mean() - truth) < 4 * slopes.std() / math.sqrt(30)


def test_float32_stays_float32():
    law = Gaussian(torch.zeros(1), torch.ones(1, 1))
    for method in ("closed-form", "quadrature", "monte-carlo"):
        found = entropy(law, method=method, **({"generator": 0} if method == "monte-carlo" else {}))
        assert found.value.dtype == torch.float32
        assert abs(found.value.item() - 1.4189385) <= 4 * found.stderr.item() + found.error.item()


def test_batches_are_kept():
    law = Gaussian(torch.zeros(4, 3, 2, dtype=float64), torch.eye(2, dtype=float64))
    assert entropy(law).shape == (4, 3)
    assert entropy(law, method="monte-carlo", n_samples=10, generator=0).shape == (4, 3)
    assert entropy(Discrete(torch.full((5, 4), 0.25, dtype=float64))).shape == (5,)


# -- surprisal and the binary entropy ---------------------------------------------------------------------------------


def test_surprisal():
    found = surprisal(Discrete([0.5, 0.25, 0.25, 0.0]), [[0], [1], [3]])
    assert found.to("bit").value.tolist() == [1.0, 2.0, math.inf]
    x = tensor([[0.5], [1e6]])
    density = surprisal(Gaussian(0.0, 1.0), x)
    assert density.value.tolist() == pytest.approx(
        [0.5 * math.log(2 * math.pi) + 0.125, 0.5e12 + 0.5 * math.log(2 * math.pi)], rel=1e-14
    )
    assert density.error[1] > 1e-4  # one unit in the last place of x
    with pytest.raises(ValueError, match="x"):
        surprisal(Gaussian(0.0, 1.0), [[0.0, 1.0]])
    with pytest.raises(ValueError, match="NaN"):
        surprisal(Gaussian(0.0, 1.0), [[math.nan]])


@given(st.floats(0, 1))
def test_binary_entropy_is_symmetric_and_bounded(x):
    found, mirrored = binary_entropy(x), binary_entropy(1 - x)
    assert abs(found.value - mirrored.value) <= found.error + mirrored.error + 1e-14
    assert -found.error <= found.value <= math.log(2) + found.error


def test_binary_entropy_keeps_relative_accuracy_near_zero():
    assert binary_entropy(1e-20).value.item() == pytest.approx(1e-20 * (20 * math.log(10) + 1), rel=1e-14)
    with pytest.raises(ValueError, match="x must hold probabilities"):
        binary_entropy([0.5, 1.5])


@pytest.mark.parametrize("quantity", [entropy, surprisal], ids=lambda q: q.name)
def test_examples(quantity):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(quantity.__doc__, vars(entropies).copy(), quantity.name, None, 0)
    assert test.examples and doctest.DocTestRunner(optionflags=flags).run(test).failed == 0
