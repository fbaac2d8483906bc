"""Renyi divergences: limits, monotony in the order, skew symmetry, existence, and all routes against each other."""

import doctest
import math

import pytest
import torch
import torch.distributions as td
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.distributions import Discrete, Empirical, Gaussian, GaussianMixture, SpikeSlab
from infotherm.information import renyi_divergences
from infotherm.information.divergences import kl
from infotherm.information.renyi_divergences import renyi

float64 = torch.float64
ORDERS = [0.0, 0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 10.0, math.inf]


def tensor(x):
    return torch.tensor(x, dtype=float64)


@st.composite
def pmf_pairs(draw):
    size = draw(st.integers(2, 6))
    both = []
    for _ in range(2):
        weights = tensor(draw(st.lists(st.sampled_from([0.0, 1e-6, 0.1, 0.5, 2.0]), min_size=size, max_size=size)))
        weights[draw(st.integers(0, size - 1))] += 0.5
        both.append(Discrete(weights / weights.sum()))
    return both


def direct(p, q, order):
    """By the definition, in plain Python."""
    cells = [(a, b) for a, b in zip(p.pmf.tolist(), q.pmf.tolist(), strict=True) if a > 0]
    if order == 0:
        mass = math.fsum(b for _, b in cells)
        return math.inf if mass == 0 else -math.log(min(mass, 1.0))
    if order >= 1 and any(b == 0 for _, b in cells):
        return math.inf
    if order == 1:
        return math.fsum(a * math.log(a / b) for a, b in cells)
    if math.isinf(order):
        return max(math.log(a / b) for a, b in cells)
    total = math.fsum(a**order * b ** (1 - order) for a, b in cells if b > 0)
    return math.log(total) / (order - 1) if total > 0 else math.inf


@given(pmf_pairs(), st.sampled_from(ORDERS))
def test_pmfs_against_the_definition(pair, order):
    found = renyi(*pair, order)
    truth = direct(*pair, order)
    assert found.kind == "exact" and found.method == "closed-form"
    if math.isinf(truth):
        assert found.value == truth
    else:
        assert abs(found.value.item() - truth) <= found.error.item() + 1e-14 / min(abs(order - 1) or 1, 1)


@given(pmf_pairs())
@settings(max_examples=20)
def test_it_does_not_decrease_with_the_order(pair):
    values = [renyi(*pair, order) for order in ORDERS]
    for low, high in zip(values, values[1:], strict=False):
        assert low.value - low.error <= high.value + high.error


@given(pmf_pairs(), st.sampled_from([0.1, 0.3, 0.5]))
@settings(max_examples=20)
def test_skew_symmetry(pair, order):
    """(1 - a) D_a(p || q) = a D_(1-a)(q || p)."""
    p, q = pair
    left, right = (1 - order) * renyi(p, q, order), order * renyi(q, p, 1 - order)
    if torch.isfinite(left.value):
        assert abs(left.value - right.value) <= left.error + right.error


@pytest.mark.parametrize("order", [0.25, 0.5, 0.9, 1.0, 1.1, 2.0])
@pytest.mark.parametrize(
    ("p", "q"),
    [
        (Gaussian(0.3, 1.0), Gaussian(0.0, 1.5)),
        (GaussianMixture([0.3, 0.7], [-1.0, 1.0], [0.5, 1.0]), Gaussian(0.0, 3.0)),
        (td.Gamma(tensor([2.0, 3.0]), tensor(1.5)), td.Gamma(tensor(2.0), tensor(1.0))),
        (td.Poisson(tensor(3.0)), td.Poisson(tensor(4.0))),
        (SpikeSlab(0.3, 0.0, 1.0), SpikeSlab(0.6, 0.0, 1.5)),
    ],
    ids=lambda x: type(x).__name__,
)
def test_routes_agree(p, q, order):
    exact = renyi(p, q, order)
    integral = renyi(p, q, order, method="quadrature")
    sampled = renyi(p, q, order, method="monte-carlo", n_samples=20_000, generator=3)
    assert ((exact.value - integral.value).abs() <= exact.error + integral.error).all()
    assert sampled.kind == "estimate"
    assert ((exact.value - sampled.value).abs() <= 4 * sampled.stderr + exact.error).all()


def test_order_one_is_kl_on_every_route():
    p, q = Gaussian(0.3, 1.0), Gaussian(0.0, 1.5)
    for method in ("closed-form", "quadrature"):
        assert renyi(p, q, 1, method=method).value == kl(p, q, method=method).value
    sampled = [f(p, q, *o, method="monte-carlo", generator=0).value for f, o in ((renyi, (1.0,)), (kl, ()))]
    assert sampled[0] == sampled[1]


def test_order_zero_is_the_mass_on_the_support():
    p, q = td.Uniform(tensor(0.0), tensor(1.0)), td.Uniform(tensor(-1.0), tensor(2.0))
    found = renyi(p, q, 0)
    assert abs(found.value - math.log(3)) <= found.error
    assert renyi(Gaussian(0.0, 1.0), Gaussian(5.0, 2.0), 0).value == 0
    assert renyi(Empirical([[0.0]]), Gaussian(0.0, 1.0), 0).value == math.inf
    sampled = renyi(p, q, 0, method="monte-carlo", generator=0)
    assert abs(sampled.value - math.log(3)) < 4 * sampled.stderr


def test_disjoint_laws():
    p, q = Discrete([1.0, 0.0]), Discrete([0.0, 1.0])
    apart = td.Uniform(tensor(0.0), tensor(1.0)), td.Uniform(tensor(2.0), tensor(3.0))
    for order in (0.0, 0.5, 2.0):
        assert renyi(p, q, order).value == math.inf
        assert renyi(*apart, order).value == math.inf


def test_orders_above_one_need_light_tails():
    for method in ("closed-form", "quadrature"):
        found = renyi(Gaussian(0.0, 2.5), Gaussian(0.0, 1.0), 2, method=method)
        assert found.value == math.inf
    assert "positive definite" in renyi(Gaussian(0.0, 2.5), Gaussian(0.0, 1.0), 2).info["reason"]


def test_a_sampled_divergence_of_infinite_variance_is_not_trusted():
    """E_p[p/q] exists, its variance does not: the standard error of 10 000 draws is meaningless and is flagged."""
    found = renyi(Gaussian(0.0, 1.9), Gaussian(0.0, 1.0), 2.0, method="monte-carlo", generator=1)
    assert found.kind == "unknown" and found.info["effective_sample_size"] < 100
    tame = renyi(Gaussian(0.0, 1.0), Gaussian(0.0, 1.1), 2.0, method="monte-carlo", generator=1)
    assert tame.kind == "estimate"


def test_the_supremum_of_samples_is_a_lower_bound():
    p, q = Gaussian(0.0, 1.0), Gaussian(1.0, 2.0)
    truth, sampled = renyi(p, q, math.inf), renyi(p, q, math.inf, method="monte-carlo", generator=0)
    assert sampled.kind == "lower" and sampled.value <= truth.value + truth.error
    assert "no integral" in str(renyi.explain(p, q, math.inf))


@pytest.mark.parametrize("order", [-1.0, math.nan])
def test_orders_that_mean_nothing_are_refused(order):
    with pytest.raises(ValueError, match="order"):
        renyi(Gaussian(0.0, 1.0), Gaussian(0.0, 1.0), order)


def test_an_order_is_a_number():
    with pytest.raises(TypeError, match="order"):
        renyi(Gaussian(0.0, 1.0), Gaussian(0.0, 1.0), "two")
    assert renyi(Gaussian(0.0, 1.0), Gaussian(1.0, 1.0), torch.tensor(2)).value.item() == pytest.approx(1.0)


def test_gradients():
    mean = tensor(0.5).requires_grad_()
    for method in ("closed-form", "quadrature"):
        (slope,) = torch.autograd.grad(
            renyi(Gaussian(mean, tensor(1.0)), Gaussian(0.0, 1.0), 2, method=method).value, mean
        )
        assert slope.item() == pytest.approx(1.0, rel=1e-9)
    slopes = []
    for seed in range(60):
        found = renyi(
            Gaussian(mean, tensor(1.0)), Gaussian(0.0, 1.0), 0.5, method="monte-carlo", n_samples=2000, generator=seed
        )
        slopes.append(torch.autograd.grad(found.value, mean)[0].item())
    slopes = tensor(slopes)
    assert abs(slopes.mean() - 0.25) < 4 * slopes.std() / math.sqrt(60)


def test_examples():
    test = doctest.DocTestParser().get_doctest(renyi.__doc__, vars(renyi_divergences).copy(), "doc", None, 0)
    assert test.examples and doctest.DocTestRunner().run(test).failed == 0
