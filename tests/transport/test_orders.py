"""The Wasserstein distance of any order: two routes for each number, laws of a distance, refusals."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions as td

import infotherm as it
from infotherm.transport.orders import quantile_distance, wasserstein
from infotherm.transport.quantiles import quantiles_of
from infotherm.transport.second_order import wasserstein2

_REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/transport_static.json").read_text())


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


def _law(spec):
    if "weights" in spec:
        return it.GaussianMixture(spec["weights"], spec["means"], spec["variances"])
    if "samples" in spec:
        return it.Empirical(spec["samples"], spec["sample_weights"])
    if "family" in spec:
        return getattr(scipy.stats, spec["family"])(**spec["parameters"])
    return it.Gaussian(spec["mean"], spec["variance"])


@pytest.mark.parametrize(
    "case", [c for c in _REFERENCES if c["spec"]["quantity"] == "wasserstein"], ids=lambda c: c["name"]
)
def test_references(case):
    spec = case["spec"]
    found = wasserstein(_law(spec["p"]), _law(spec["q"]), order=spec["order"])
    assert found.value.item() == pytest.approx(case["value"], abs=case["tolerance"])
    assert abs(found.value.item() - case["value"]) <= found.error.item() + 1e-15 * case["value"]
    assert (found.kind, found.units) == ("exact", "1")


# -- two routes on a line -----


def _between_levels(p, q, lower=-math.inf, upper=math.inf, points=()):
    """W1 as the area between the distribution functions."""
    edges = [lower, *points, upper]
    pieces = [
        scipy.integrate.quad(lambda x: abs(p.cdf(x) - q.cdf(x)), a, b, epsabs=1e-12, epsrel=1e-11, limit=500)[0]
        for a, b in zip(edges, edges[1:], strict=False)
    ]
    return sum(pieces)


_PAIRS = {
    "normal": (scipy.stats.norm(0.0, 1.0), scipy.stats.norm(1.0, 2.0), (-1.0,)),
    "gamma": (scipy.stats.gamma(2.0), scipy.stats.gamma(3.0, scale=0.5), (1.0, 2.0, 4.0)),
    "logistic and normal": (scipy.stats.logistic(), scipy.stats.norm(0.5, 2.0), (-3.0, 0.0, 3.0)),
    "uniform and beta": (scipy.stats.uniform(), scipy.stats.beta(2.0, 3.0), (0.0, 0.3, 0.6, 1.0)),
}


@pytest.mark.parametrize("name", _PAIRS)
def test_quantiles_and_levels_agree(name):
    p, q, points = _PAIRS[name]
    found = wasserstein(p, q, method="quadrature")
    assert found.converged and found.error.item() < 1e-10
    assert abs(found.value.item() - _between_levels(p, q, points=points)) <= found.error.item() + 1e-9


def test_levels_of_mixtures():
    weights, means, deviations = [0.3, 0.7], [-5.0, 5.0], [0.1, 1.0]
    p = it.GaussianMixture(weights, means, [s**2 for s in deviations])
    q = it.GaussianMixture([0.5, 0.5], [-2.0, 3.0], [1.0, 4.0])
    x = torch.linspace(-15, 16, 2_000_001, dtype=torch.float64)
    gaps = (p.cdf(x[:, None]) - q.cdf(x[:, None])).abs()
    found = wasserstein(p, q)
    assert found.converged and found.error.item() < 1e-10
    assert found.value.item() == pytest.approx(torch.trapezoid(gaps, x).item(), abs=1e-8)


def test_gaussians_on_a_line():
    p, q = it.Gaussian(_t([[0.3], [0.0], [2.0], [0.0]]), _t([1.0, 1.0, 1.0, 0.0])[:, None, None]), it.Gaussian(1.1, 4.0)
    exact, found = wasserstein(p, q), wasserstein(p, q, method="quadrature")
    assert exact.method == "closed-form" and found.method == "quadrature"
    assert ((exact.value - found.value).abs() <= exact.error + found.error).all()
    assert (exact.error < 2e-14).all() and (found.error < 1e-11).all()
    # |m + s z|^4 has the mean m^4 + 6 m^2 s^2 + 3 s^4
    fourth = wasserstein(it.Gaussian(0.3, 1.0), it.Gaussian(1.1, 4.0), 4)
    assert abs(fourth.value.item() - (0.8**4 + 6 * 0.8**2 + 3) ** 0.25) <= fourth.error.item() < 1e-12
    # equal spreads: a shift, of any order
    for order in (1, 1.5, 3, 7.0):
        moved = wasserstein(it.Gaussian(0.3, 2.0), it.Gaussian(1.1, 2.0), order=order)
        assert abs(moved.value.item() - 0.8) <= moved.error.item() < 1e-12


@pytest.mark.parametrize("order, freedom", [(1.0, 1.5), (1.0, 3.0), (2.5, 3.0), (1.5, 2.0), (3.0, 9.0)])
def test_heavy_tails(order, freedom):
    # W_p under scaling by c is (c - 1) (E |x|^p)^(1/p)
    moment = math.exp(
        order / 2 * math.log(freedom)
        + math.lgamma((order + 1) / 2)
        + math.lgamma((freedom - order) / 2)
        - math.lgamma(0.5)
        - math.lgamma(freedom / 2)
    )
    found = wasserstein(scipy.stats.t(freedom), scipy.stats.t(freedom, scale=3.0), order=order)
    truth = 2 * moment ** (1 / order)
    assert abs(found.value.item() - truth) <= found.error.item() <= 1e-8 * truth


def test_quantiles_that_end_too_early_go_into_the_error():
    class Clipped(it.Gaussian):
        @property
        def variance(self):
            return 1.5 * self.covariance.diagonal(dim1=-2, dim2=-1)

    liar, q = Clipped(0.0, 1.0), it.Gaussian(0.0, 4.0)
    assert wasserstein(liar, q, method="quadrature").error.item() > 0.1
    assert math.isinf(wasserstein(liar, q, order=3).error.item())
    laplace = [td.Laplace(_t(0.0), _t(scale)) for scale in (1.0, 2.0)]
    found = wasserstein(*laplace)
    assert abs(found.value.item() - 1.0) <= found.error.item() < 1e-11
    with pytest.raises(NotImplementedError, match="torch's quantiles of p end"):
        wasserstein(*laplace, order=3)


def test_what_lies_beyond_the_last_quantile_is_estimated():
    class Steep(it.Gaussian):
        """Quantiles +-scale u^-0.38 that end at e^-70; the moment of order 2.5 converges as u^0.05."""

        @property
        def variance(self):
            raise NotImplementedError

    @quantiles_of.register
    def _(law: Steep):
        def quantiles(below, above):
            least = torch.minimum(below, above)
            size = law.mean[0] * torch.where(least < math.exp(-70), math.inf, least) ** -0.38
            return torch.where(least < math.exp(-70), math.inf, size) * torch.where(below < above, -1.0, 1.0)

        return quantiles

    p, q = Steep(_t([1.0]), torch.eye(1).double()), Steep(_t([3.0]), torch.eye(1).double())
    found = wasserstein(p, q, order=2.5)
    truth = 2 * (2 * 0.5**0.05 / 0.05) ** 0.4
    assert 0.01 < abs(found.value.item() - truth) <= found.error.item() < truth
    with pytest.raises(NotImplementedError, match="no finite moment"):
        wasserstein(p, q, order=2.7)


def test_gradients():
    q = scipy.stats.logistic()

    def distance(numbers, order):
        return wasserstein(it.Gaussian(numbers[:1], numbers[1:, None]), q, order=order).value

    numbers = _t([0.4, 0.7]).requires_grad_()
    for order in (1.0, 3.0):
        (gradient,) = torch.autograd.grad(distance(numbers, order), numbers)
        for k in range(2):
            step = 1e-5 * torch.eye(2, dtype=torch.float64)[k]
            slope = (distance(numbers.detach() + step, order) - distance(numbers.detach() - step, order)) / 2e-5
            assert gradient[k].item() == pytest.approx(slope.item(), rel=1e-6)


# -- samples -----


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sizes", [(50, 50), (40, 70), (1, 3)])
def test_samples_on_a_line_against_scipy_and_plans(weighted, sizes):
    from infotherm.transport.discrete import optimal_transport

    pytest.importorskip("ot")
    generator = torch.Generator().manual_seed(4)
    x, y = (1e3 + torch.randn(n, 1, generator=generator, dtype=torch.float64) for n in sizes)
    y = 2 * y - 1e3
    weights = [torch.rand(n, generator=generator, dtype=torch.float64) if weighted else None for n in sizes]
    p, q = it.Empirical(x, weights[0]), it.Empirical(y, weights[1])
    first = wasserstein(p, q)
    assert abs(first.value.item() - scipy.stats.wasserstein_distance(x[:, 0], y[:, 0], *weights)) <= 1e-12
    for order in (1.0, 1.7, 2.0, 5.0):
        found = wasserstein(p, q, order=order)
        plan = optimal_transport(p.weights, q.weights, (x - y.mT).abs() ** order)
        assert abs(found.value.item() - plan.cost.value.item() ** (1 / order)) <= found.error.item() + 1e-11
        assert found.error.item() < 1e-10


def test_samples_in_space():
    pytest.importorskip("ot")
    generator = torch.Generator().manual_seed(5)
    x, y = torch.randn(2, 15, 2, generator=generator, dtype=torch.float64)
    p, q = it.Empirical(x), it.Empirical(y[:9] * 2)
    found = wasserstein(p, q)
    assert abs(found.value.item() - scipy.stats.wasserstein_distance_nd(x, 2 * y[:9])) <= found.error.item() + 1e-8
    # on a plane that is a line nothing changes
    line = torch.cat([x[:, :1], 0 * x[:, :1]], 1), torch.cat([y[:, :1], 0 * y[:, :1]], 1)
    for order in (1.0, 1.5, 3.0):
        flat = wasserstein(it.Empirical(line[0]), it.Empirical(line[1]), order=order)
        sorted_ = wasserstein(it.Empirical(x[:, :1]), it.Empirical(y[:, :1]), order=order)
        assert abs(flat.value - sorted_.value) <= flat.error + sorted_.error


def test_gradients_of_samples():
    pytest.importorskip("ot")
    generator = torch.Generator().manual_seed(6)
    for dim in (1, 2):
        x, y = torch.randn(2, 5, dim, generator=generator, dtype=torch.float64)
        weights = torch.rand(5, generator=generator, dtype=torch.float64)
        for order in (1.0, 2.0, 2.5):

            def value(x, w, order=order, y=y):
                return wasserstein(it.Empirical(x, w), it.Empirical(y[:4]), order=order).value

            inputs = x.clone().requires_grad_(), weights.clone().requires_grad_()
            assert torch.autograd.gradcheck(value, inputs, eps=1e-7, atol=1e-5)
    same = x.clone().requires_grad_()
    wasserstein(it.Empirical(same), it.Empirical(x)).value.backward()
    assert same.grad.tolist() == torch.zeros_like(x).tolist()


def test_extreme_scales_of_samples():
    x, y = torch.randn(2, 30, 1, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    for order in (1.0, 2.0, 6.0):
        one = wasserstein(it.Empirical(x), it.Empirical(y), order=order)
        for scale in (1e-200, 1e200):
            found = wasserstein(it.Empirical(scale * x), it.Empirical(scale * y), order=order)
            assert found.value.item() == pytest.approx(scale * one.value.item(), rel=1e-13)
            assert found.error.item() < 1e-13 * found.value.item() * 10


# -- laws of a distance -----

_samples = st.lists(st.floats(-10, 10), min_size=1, max_size=8)


@settings(max_examples=40)
@given(_samples, _samples, _samples, st.integers(1, 2), st.floats(1.0, 6.0), st.floats(-5, 5), st.floats(0.01, 100))
def test_laws(first, second, third, dim, order, shift, scale):
    pytest.importorskip("ot")
    points = [torch.stack([_t(v), _t(v).sin()][:dim], -1) for v in (first, second, third)]
    p, q, r = map(it.Empirical, points)
    pq, qp, qr, pr = (wasserstein(a, b, order=order) for a, b in ((p, q), (q, p), (q, r), (p, r)))
    assert abs(pq.value - qp.value) <= pq.error + qp.error
    assert pr.value - pr.error <= pq.value + pq.error + qr.value + qr.error
    same = wasserstein(p, it.Empirical(points[0].flip(0)), order=order)
    assert same.value <= same.error + 1e-300
    moved = wasserstein(it.Empirical(scale * points[0] + shift), it.Empirical(scale * points[1] + shift), order=order)
    # rounding the moved points moves the distance by as much
    assert abs(moved.value - scale * pq.value) <= moved.error + scale * pq.error + 1e-13 * (scale + 1)
    low = wasserstein(p, q)
    assert low.value - low.error <= pq.value + pq.error
    copies = wasserstein(it.Empirical(points[0].repeat(2, 1)), q, order=order)
    assert abs(copies.value - pq.value) <= copies.error + pq.error


@settings(max_examples=4)
@given(st.tuples(*[st.tuples(st.floats(-3, 3), st.floats(0.1, 3))] * 3), st.sampled_from([1.0, 1.5, 3.0]))
def test_laws_on_a_line(drawn, order):
    p, q, r = (it.Gaussian(m, s**2) for m, s in drawn)
    pairs = ((p, q), (q, p), (q, r), (p, r))
    pq, qp, qr, pr = (wasserstein(a, b, order=order, method="quadrature", tolerance=1e-5) for a, b in pairs)
    assert abs(pq.value - qp.value) <= pq.error + qp.error
    assert pr.value - pr.error <= pq.value + pq.error + qr.value + qr.error
    first, second = wasserstein(p, q, method="quadrature", tolerance=1e-5), wasserstein2(p, q)
    assert first.value - first.error <= second.value + second.error
    gap = (p.mean - q.mean).abs().item()
    assert gap <= first.value + first.error


# -- order 2, and refusals -----


def test_second_order_is_the_other_quantity():
    plane = it.Gaussian([0.0, 0.0], [[1.0, 0.3], [0.3, 1.0]]), it.Gaussian([1.0, 0.0], [[2.0, 0.0], [0.0, 1.0]])
    mixtures = it.GaussianMixture([0.5, 0.5], [0.0, 1.0], [1.0, 2.0]), it.Gaussian(0.0, 1.0)
    for pair in (plane, mixtures):
        found, same = wasserstein(*pair, order=2), wasserstein2(*pair)
        assert (found.value, found.error, found.method) == (same.value, same.error, same.method)
    # the integral of a general order goes over into it
    near, exact = quantile_distance(*mixtures, 2 + 1e-9), wasserstein2(*mixtures)
    assert near.value.item() == pytest.approx(exact.value.item(), rel=1e-8)


def test_refusals():
    p, q = it.Gaussian(0.0, 1.0), it.GaussianMixture([1.0], [0.0], [1.0])
    for order in (0.5, math.inf, math.nan, "2", True):
        with pytest.raises(ValueError, match="order must be a finite number of at least 1"):
            wasserstein(q, q, order=order)
    with pytest.raises(ValueError, match="order must be a finite"):
        wasserstein(p, p, order=True)
    with pytest.raises(NotImplementedError, match="no finite moment of order 3"):
        wasserstein(scipy.stats.t(3), p, order=3)
    with pytest.raises(NotImplementedError, match="no finite moment of order 1"):
        wasserstein(scipy.stats.cauchy(), p)
    plane = it.Gaussian([0.0, 0.0], np.eye(2))
    with pytest.raises(NotImplementedError, match="quantiles need scalar laws; p has D = 2"):
        wasserstein(plane, plane)
    with pytest.raises(ValueError, match="same space"):
        wasserstein(it.Empirical([[0.0, 1.0]]), it.Empirical([[0.0]]))
    taken = it.explain("wasserstein", p, p).taken
    assert taken is not None and taken.method == "closed-form"
