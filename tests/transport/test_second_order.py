"""W2: reference values, error bars against many digits, laws of a distance, gradients, refusals."""

import json
import math
from pathlib import Path

import mpmath as mp
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions as td

import infotherm as it
from infotherm.transport import gelbrich, wasserstein2

_REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/transport_gaussian.json").read_text())


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


def _law(spec):
    return it.Gaussian(spec["mean"], spec["covariance"])


@pytest.mark.parametrize(
    "case", [c for c in _REFERENCES if c["spec"]["quantity"] == "wasserstein2"], ids=lambda c: c["name"]
)
def test_references(case):
    found = it.wasserstein2(_law(case["spec"]["p"]), _law(case["spec"]["q"]))
    assert found.value.item() == pytest.approx(case["value"], rel=case["tolerance"])
    assert abs(found.value.item() - case["value"]) <= found.error.item()
    assert (found.kind, found.method, found.units) == ("exact", "closed-form", "1")


# -- Gaussians: the error bar -----


def _bures(first, second):
    """W2 of centred Gaussians from covariances, with many digits."""

    def root(matrix):
        values, vectors = mp.eigsy(matrix)
        return vectors * mp.diag([mp.sqrt(max(v, 0)) for v in values]) * vectors.T

    half = root(first)
    cross = sum(mp.sqrt(max(v, 0)) for v in mp.eigsy(half * second * half, eigvals_only=True))
    traces = sum(first[i, i] + second[i, i] for i in range(first.rows))
    return mp.sqrt(max(traces - 2 * cross, 0))


def _exactly(matrix):
    return mp.matrix(matrix.tolist())


_CASES = {
    "far": lambda A, B: (A, B),
    "near": lambda A, B: (A, A + 1e-9 * B),
    "nearer": lambda A, B: (A, A + 1e-13 * B),
    "nearly singular": lambda A, B: (A @ torch.diag(_t([1.0, 1.0, 1e-6])), B),
    "other units": lambda A, B: (torch.diag(_t([1.0, 1e4, 1e-4])) @ A, torch.diag(_t([1.0, 1e4, 1e-4])) @ B),
    "equal": lambda A, B: (A, A),
    "graded": lambda A, B: (torch.diag(_t([1e10, 1e5, 1.0])) @ A, torch.diag(_t([1e10, 1e5, 1.0])) @ B),
}


@pytest.mark.parametrize("name", _CASES)
def test_errors_cover_the_truth(name):
    generator = torch.Generator().manual_seed(1)
    zero = torch.zeros(3, dtype=torch.float64)
    for _ in range(4):
        A, B = _CASES[name](*torch.randn(2, 3, 3, dtype=torch.float64, generator=generator))
        with mp.workdps(60):
            C, D = A @ A.mT, B @ B.mT
            C, D = (C + C.mT) / 2, (D + D.mT) / 2
            by_covariance = it.wasserstein2(it.Gaussian(zero, C), it.Gaussian(zero, D))
            truth = _bures(_exactly(C), _exactly(D))
            assert abs(mp.mpf(by_covariance.value.item()) - truth) <= by_covariance.error.item()
            by_factor = it.wasserstein2(it.Gaussian.from_factor(zero, A), it.Gaussian.from_factor(zero, B))
            exact = _bures(_exactly(A) * _exactly(A).T, _exactly(B) * _exactly(B).T)
            assert abs(mp.mpf(by_factor.value.item()) - exact) <= by_factor.error.item()
            # rounding the entries of a covariance once more stays within the error
            tilt = 1 + (torch.rand(3, 3, dtype=torch.float64, generator=generator) - 0.5).triu() * 2.2e-16
            moved = mp.matrix(3, 3)
            for i in range(3):
                for j in range(3):
                    moved[i, j] = mp.mpf(C[i, j].item()) * mp.mpf(tilt[min(i, j), max(i, j)].item())
            assert abs(_bures(moved, _exactly(D)) - truth) <= by_covariance.error.item()


@pytest.mark.parametrize("delta", [1e-6, 1e-8, 1e-12])
def test_near_covariances_given_by_factors_keep_their_digits(delta):
    factor = torch.linalg.cholesky(_t([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 3.0]]))
    zero = torch.zeros(3, dtype=torch.float64)
    found = it.wasserstein2(it.Gaussian.from_factor(zero, factor), it.Gaussian.from_factor(zero, (1 + delta) * factor))
    truth = delta * math.sqrt(6.0)
    assert abs(found.value.item() - truth) <= found.error.item() + 1e-16  # 1 + delta is rounded as well
    assert found.error.item() < 4e-14


def test_the_error_of_singular_covariances_is_larger_than_that_of_factors():
    column = _t([[1.0], [2.0]])
    zero = torch.zeros(2, dtype=torch.float64)
    target = it.Gaussian(zero, torch.eye(2, dtype=torch.float64))
    given_covariance = it.wasserstein2(it.Gaussian(zero, column @ column.mT), target)
    given_factor = it.wasserstein2(it.Gaussian.from_factor(zero, column), target)
    assert given_factor.error.item() < 1e-13 < 1e-9 < given_covariance.error.item() < 1e-6
    # rank one: W2^2 = 5 + 2 - 2 sqrt(5)
    assert given_factor.value.item() == pytest.approx(math.sqrt(7 - 2 * math.sqrt(5)), rel=1e-14)
    assert given_covariance.value.item() == pytest.approx(given_factor.value.item(), rel=1e-14)


# -- Gaussians: laws -----

_entries = st.floats(-3, 3)
_gaussian = st.tuples(
    st.lists(_entries, min_size=2, max_size=2), st.lists(_entries, min_size=4, max_size=4), st.sampled_from([1, 2])
)


def _drawn(drawn):
    mean, entries, rank = drawn
    return it.Gaussian.from_factor(_t(mean), _t(entries).reshape(2, 2)[:, :rank])


@settings(max_examples=30)
@given(_gaussian, _gaussian, _gaussian, st.floats(1e-3, 1e3), st.floats(0, 2 * math.pi))
def test_laws_of_a_distance(first, second, third, scale, angle):
    p, q, r = map(_drawn, (first, second, third))
    pq, qp, qr, pr = (it.wasserstein2(a, b) for a, b in ((p, q), (q, p), (q, r), (p, r)))
    assert abs(pq.value - qp.value) <= pq.error + qp.error
    assert pr.value - pr.error <= pq.value + pq.error + qr.value + qr.error
    same = it.wasserstein2(p, p)
    assert same.value <= same.error
    turn = _t([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    moved = [it.Gaussian.from_factor(scale * turn @ law.mean + 1.0, scale * turn @ law.factor) for law in (p, q)]
    image = it.wasserstein2(*moved)
    assert abs(image.value - scale * pq.value) <= image.error + scale * pq.error + 1e-14 * scale * (1 + pq.value)


def test_extreme_scales():
    for scale in (1e-120, 1e-30, 1e30, 1e120):
        p = it.Gaussian.from_factor(_t([0.0, 0.0]), scale * _t([[1.0, 0.0], [0.5, 1.0]]))
        q = it.Gaussian.from_factor(scale * _t([1.0, 0.0]), scale * _t([[2.0, 0.0], [0.0, 1.0]]))
        one = it.wasserstein2(
            it.Gaussian.from_factor(_t([0.0, 0.0]), _t([[1.0, 0.0], [0.5, 1.0]])),
            it.Gaussian.from_factor(_t([1.0, 0.0]), _t([[2.0, 0.0], [0.0, 1.0]])),
        )
        found = it.wasserstein2(p, q)
        assert found.value.item() == pytest.approx(scale * one.value.item(), rel=1e-13)
        assert found.error.item() == pytest.approx(scale * one.error.item(), rel=1e-6)


def test_batches_broadcast():
    means = torch.arange(6, dtype=torch.float64).reshape(3, 1, 2)
    covariances = torch.stack([torch.eye(2, dtype=torch.float64), _t([[1.0, 1.0], [1.0, 1.0]])])
    p, q = it.Gaussian(means, covariances), it.Gaussian(_t([1.0, 1.0]), 2 * torch.eye(2, dtype=torch.float64))
    found = it.wasserstein2(p, q)
    assert found.shape == (3, 2)
    for i in range(3):
        for j in range(2):
            single = it.wasserstein2(it.Gaussian(means[i, 0], covariances[j]), q)
            assert abs(single.value - found.value[i, j]) <= 1e-15 * 10
            assert single.error == pytest.approx(found.error[i, j].item(), rel=1e-6)


def test_float32_stays_float32_and_says_so():
    C = torch.tensor([[1.0, 0.6], [0.6, 2.0]])
    p, q = it.Gaussian(torch.zeros(2), C), it.Gaussian(torch.ones(2), torch.eye(2))
    found = it.wasserstein2(p, q)
    assert found.value.dtype == torch.float32
    exact = it.wasserstein2(
        it.Gaussian(p.mean.double(), C.double()), it.Gaussian(q.mean.double(), torch.eye(2).double())
    )
    assert abs(found.value.item() - exact.value.item()) <= found.error.item() < 1e-4


def test_gradients():
    A, B = torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean = torch.ones(3, dtype=torch.float64)

    def distance(m, C):
        return it.wasserstein2(it.Gaussian(m, C @ C.mT), it.Gaussian(mean, B @ B.mT)).value

    assert torch.autograd.gradcheck(
        distance, (torch.zeros(3, dtype=torch.float64).requires_grad_(), A.requires_grad_())
    )
    # at equality the distance has a kink: the gradient is zero, not NaN
    C = torch.eye(3, dtype=torch.float64, requires_grad=True)
    m = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    it.wasserstein2(it.Gaussian(m, C), it.Gaussian(m.detach(), C.detach())).value.backward()
    assert C.grad.tolist() == torch.zeros(3, 3).tolist() and m.grad.tolist() == [0.0, 0.0, 0.0]


# -- laws on a line -----

_TWO = it.GaussianMixture([0.3, 0.7], [[-5.0], [5.0]], [[[0.01]], [[1.0]]])
_ON_A_LINE = {
    # W2 under scaling by c is (c - 1) E[x^2]^(1/2), under a shift its size
    "shifted mixture": (_TWO, it.GaussianMixture([0.3, 0.7], [[-3.0], [7.0]], [[[0.01]], [[1.0]]]), 2.0, 1e-12),
    "scaled mixture": (
        _TWO,
        it.GaussianMixture([0.3, 0.7], [[-15.0], [15.0]], [[[0.09]], [[9.0]]]),
        2 * math.sqrt(25 + 0.3 * 0.01 + 0.7),
        1e-12,
    ),
    "equal mixtures": (_TWO, it.GaussianMixture([0.3, 0.7], [[-5.0], [5.0]], [[[0.01]], [[1.0]]]), 0.0, 1e-12),
    "near mixtures": (
        it.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.25]], [[0.25]]]),
        it.GaussianMixture([0.5, 0.5], [[-1.0 + 1e-9], [1.0 + 1e-9]], [[[0.25]], [[0.25]]]),
        1e-9,
        1e-13,
    ),
    "sign and Gaussian": (it.Rademacher(), it.Gaussian(0.0, 1.0), math.sqrt(2 - 2 * math.sqrt(2 / math.pi)), 1e-12),
    "spikes and slabs": (it.SpikeSlab(0.3, 0.0, 1.0), it.SpikeSlab(0.3, 0.0, 4.0), math.sqrt(0.3), 1e-12),
    "Laplace": (td.Laplace(_t(0.0), _t(1.0)), td.Laplace(_t(0.0), _t(2.0)), math.sqrt(2.0), 1e-11),
    "exponential": (td.Exponential(_t(1.0)), td.Exponential(_t(0.5)), math.sqrt(2.0), 1e-11),
    "uniform": (td.Uniform(_t(0.0), _t(1.0)), td.Uniform(_t(0.0), _t(3.0)), math.sqrt(4 / 3), 1e-12),
    "gamma": (scipy.stats.gamma(2.0), scipy.stats.gamma(2.0, scale=3.0), 2 * math.sqrt(6.0), 1e-11),
    "Student t, three degrees": (scipy.stats.t(3), scipy.stats.t(3, scale=2.0), math.sqrt(3.0), 1e-11),
    "Student t, heavy": (scipy.stats.t(2.2), scipy.stats.t(2.2, scale=2.0), math.sqrt(11.0), 1e-3),
}


@pytest.mark.parametrize("name", _ON_A_LINE)
def test_laws_on_a_line(name):
    p, q, truth, tight = _ON_A_LINE[name]
    found = it.wasserstein2(p, q)
    assert found.method == "quadrature" and found.kind == "exact" and found.converged
    assert abs(found.value.item() - truth) <= found.error.item() <= tight


def test_the_quadrature_agrees_with_the_closed_form_over_a_batch():
    p = it.Gaussian(_t([[0.0], [1.0], [1e6]]), _t([1.0, 1e-6, 1e12]).reshape(3, 1, 1))
    q = it.Gaussian(0.5, 2.0)
    exact, found = it.wasserstein2(p, q), it.wasserstein2(p, q, method="quadrature")
    assert ((exact.value - found.value).abs() <= exact.error + found.error).all()
    assert (found.error <= 1e-12 * (1 + exact.value)).all()


def test_missing_tails_go_into_the_error():
    # a variance that the quantiles cannot account for must not pass unnoticed
    class Liar(it.Gaussian):
        @property
        def variance(self):
            return 1.5 * self.covariance.diagonal(dim1=-2, dim2=-1)

    p, q = Liar(0.0, 1.0), it.GaussianMixture([1.0], [[0.0]], [[[4.0]]])
    assert it.wasserstein2(p, q).error.item() > 0.1


def test_gradients_on_a_line():
    q = it.GaussianMixture([0.5, 0.5], [[-1.0], [2.0]], [[[0.5]], [[1.0]]])

    def distance(numbers):
        weights = torch.stack([numbers[0], 1 - numbers[0]])
        return it.wasserstein2(it.GaussianMixture(weights, numbers[1:3, None], numbers[3:, None, None]), q).value

    numbers = _t([0.4, -1.0, 1.0, 0.25, 0.3]).requires_grad_()
    (gradient,) = torch.autograd.grad(distance(numbers), numbers)
    direction = _t([0.3, 1.0, -0.5, 0.1, 0.2])
    ahead, behind = (distance(numbers.detach() + h * direction) for h in (1e-5, -1e-5))
    assert (gradient @ direction).item() == pytest.approx(((ahead - behind) / 2e-5).item(), rel=1e-7)


# -- samples -----


def test_samples_on_a_line_are_sorted():
    ot = pytest.importorskip("ot")
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(50, 1, generator=generator), torch.randn(30, 1, generator=generator)
    x, y = x.double(), 2 * y.double() + 1
    weights = torch.rand(30, generator=generator).double()
    for b in (None, weights):
        found = it.wasserstein2(it.Empirical(x), it.Empirical(y, b))
        mass = None if b is None else (b / b.sum()).numpy()
        truth = math.sqrt(ot.emd2_1d(x[:, 0].numpy(), y[:, 0].numpy(), b=mass))
        assert abs(found.value.item() - truth) <= found.error.item() + 1e-15
        assert found.kind == "exact" and found.error.item() < 1e-11
    equal = it.wasserstein2(it.Empirical(x), it.Empirical(x.flip(0) + 1.0))
    assert equal.value.item() == pytest.approx(1.0, rel=1e-14)


def test_samples_in_space_carry_their_duality_gap():
    pytest.importorskip("ot")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, generator=generator).double()
    shuffled = x[torch.randperm(40, generator=generator)] + _t([1.0, 2.0, 2.0])
    found = it.wasserstein2(it.Empirical(x), it.Empirical(shuffled))
    assert abs(found.value.item() - 3.0) <= found.error.item() < 1e-10
    assert found.info["duality_gap"] < 1e-10
    y = x.clone().requires_grad_()
    it.wasserstein2(it.Empirical(y), it.Empirical(shuffled)).value.backward()
    # moving every sample along the shift shortens the way at unit speed
    assert (y.grad @ _t([1.0, 2.0, 2.0]) / 3).sum().item() == pytest.approx(-1.0, rel=1e-12)


def test_weights_of_samples_have_gradients():
    pytest.importorskip("ot")
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(2, 6, 2, generator=generator).double()
    weights = torch.rand(6, generator=generator).double()

    def distance(w):
        return it.wasserstein2(it.Empirical(x, w), it.Empirical(y)).value

    (gradient,) = torch.autograd.grad(distance(weights.requires_grad_()), weights)
    for k in range(6):
        step = 1e-6 * torch.eye(6).double()[k]
        slope = (distance(weights.detach() + step) - distance(weights.detach() - step)) / 2e-6
        assert gradient[k].item() == pytest.approx(slope.item(), abs=1e-6)


def test_samples_against_a_law():
    x = torch.randn(200, 1, generator=torch.Generator().manual_seed(0)).double()
    found = it.wasserstein2(it.Empirical(x), it.Gaussian(0.0, 1.0))
    # midpoints of a fine partition of the quantiles
    u = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000
    coarse = (x[:, 0].sort().values.repeat_interleave(2000) - torch.special.ndtri(u)).square().mean().sqrt()
    assert found.converged and found.error.item() < 1e-10
    assert found.value.item() == pytest.approx(coarse.item(), rel=2e-4)


def test_discrete_laws_use_their_values():
    assert it.wasserstein2(it.Discrete([0.5, 0.5]), it.Discrete([0.25, 0.75])).value.item() == pytest.approx(0.5)
    far = it.Discrete([0.5, 0.5], values=[0.0, 10.0])
    assert it.wasserstein2(far, it.Discrete([0.25, 0.75], values=[0.0, 10.0])).value.item() == pytest.approx(5.0)
    assert it.wasserstein2(it.Rademacher(), it.Rademacher(0.75)).value.item() == pytest.approx(1.0)


# -- a bound by moments, and refusals -----


def test_gelbrich_is_a_lower_bound():
    q = it.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.25]], [[0.25]]])
    bound, exact = gelbrich(_TWO, q), it.wasserstein2(_TWO, q)
    assert bound.kind == "lower" and 0 < bound.value < exact.value
    p, r = it.Gaussian(0.0, 1.0), it.Gaussian(2.0, 3.0)
    assert gelbrich(p, r).value.item() == pytest.approx(it.wasserstein2(p, r).value.item(), rel=1e-15)
    with pytest.raises(ValueError, match="finite covariance"):
        gelbrich(scipy.stats.t(2), p)


def test_refusals_say_why():
    plane = it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(ValueError, match="same space; got D = 2 and D = 1"):
        it.wasserstein2(plane, it.Gaussian(0.0, 1.0))
    mixture = it.GaussianMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]])
    with pytest.raises(NotImplementedError, match="quantiles need scalar laws; p has D = 2"):
        it.wasserstein2(mixture, plane)
    with pytest.raises(NotImplementedError, match="no finite variance"):
        it.wasserstein2(scipy.stats.t(2), it.Gaussian(0.0, 1.0))
    with pytest.raises(ValueError, match="same space"):
        it.wasserstein2(it.Empirical([[0.0, 1.0]]), it.Empirical([[0.0]]))
    assert wasserstein2 is it.wasserstein2
    taken = it.explain("wasserstein2", plane, plane).taken
    assert taken is not None and taken.method == "closed-form"


@pytest.mark.parametrize("family, growth", [("Laplace", math.sqrt(2)), ("Exponential", math.sqrt(2))])
@pytest.mark.parametrize("scales", [(1.0, 3.0), (1e-9, 1e9), (1.0, 1.5), (0.3, 7.0)])
def test_the_error_covers_the_digits_of_torch_quantiles(family, growth, scales):
    def law(scale):
        scale = torch.tensor([scale], dtype=torch.float64)
        if family == "Exponential":
            return torch.distributions.Exponential(1 / scale)
        return torch.distributions.Laplace(torch.zeros_like(scale), scale)

    distance = wasserstein2(law(scales[0]), law(scales[1]))
    truth = growth * (scales[1] - scales[0])
    assert abs(distance.value.item() - truth) <= distance.error.item() <= 1e-12 * scales[1]


def test_without_the_package_for_assignments_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("infotherm.transport.orders.find_spec", lambda name: None)
    plane, line = it.Empirical([[0.0, 0.0], [1.0, 1.0]]), it.Empirical([[0.0], [1.0]])
    with pytest.raises(NotImplementedError, match="pip install POT"):
        wasserstein2(plane, plane)
    assert wasserstein2(line, line).value.item() == 0.0
