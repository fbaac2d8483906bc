"""Entropic transport and Sinkhorn divergence: references, second routes, limits, gradients, atoms."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import infotherm as it
from infotherm.core.quadrature import gauss_hermite
from infotherm.transport.matrix_scaling import sinkhorn
from infotherm.transport.regularised import entropic, sinkhorn_divergence

_FILE = Path(__file__).parents[2] / "validation" / "references" / "transport_entropic.json"
_CASES = {case["name"]: case for case in json.loads(_FILE.read_text())}
_QUANTITIES = {"entropic": entropic, "sinkhorn_divergence": sinkhorn_divergence}


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


def _gaussian(spec):
    return it.Gaussian(_t(spec["mean"]), _t(spec["covariance"]))


P = it.Gaussian([0.0, 0.0], [[1.0, 0.6], [0.6, 2.0]])
Q = it.Gaussian([1.0, -0.5], [[2.5, -0.9], [-0.9, 1.2]])


def _draws(n, dim, seed, shift=0.0, scale=1.0):
    return shift + scale * torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", [name for name, case in _CASES.items() if case["spec"]["quantity"] in _QUANTITIES])
def test_references(name):
    case = _CASES[name]
    spec = case["spec"]
    found = _QUANTITIES[spec["quantity"]](_gaussian(spec["p"]), _gaussian(spec["q"]), spec["epsilon"])
    assert found.kind == "exact"
    assert abs(found.value.item() - case["value"]) <= found.error.item() + 2e-16 * case["value"]
    assert abs(found.value.item() / case["value"] - 1) <= case["tolerance"]
    assert found.error.item() <= max(
        1e-12 * case["value"], 1e-4 * case["tolerance"] * case["value"], 2e-3 * case["value"] * (case["value"] < 1e-10)
    )


def test_direct_optimisation_over_gaussian_couplings():
    # cross-covariance K = A R B^T with |R| < 1, by quasi-Newton steps: no singular values, no closed form
    A, B = P.factor, Q.factor
    for epsilon in (0.5,):
        R = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
        steps = torch.optim.LBFGS(
            [R], max_iter=200, tolerance_grad=1e-13, tolerance_change=1e-16, line_search_fn="strong_wolfe"
        )
        eye = torch.eye(2, dtype=torch.float64)

        def objective(R=R, epsilon=epsilon, eye=eye):
            inner = eye - R.mT @ R
            if torch.linalg.eigvalsh(inner.detach())[0] <= 0:
                return R.sum() * 0 + 1e6
            moved = (P.mean - Q.mean).square().sum() + P.covariance.trace() + Q.covariance.trace()
            return moved - 2 * (A @ R @ B.mT).trace() - epsilon / 2 * torch.logdet(inner)

        def closure(R=R, steps=steps, objective=objective):
            steps.zero_grad()
            value = objective()
            value.backward()
            return value

        steps.step(closure)
        found = entropic(P, Q, epsilon)
        best = objective().item()
        assert best == pytest.approx(found.value.item(), rel=1e-12)
        sigma = torch.linalg.svdvals(R.detach())
        assert found.info["information"].item() == pytest.approx(-0.5 * (1 - sigma**2).log().sum().item(), rel=1e-6)


@pytest.mark.parametrize("epsilon", [2.0, 5.0])
def test_sinkhorn_between_quadrature_nodes(epsilon):
    nodes, weights = gauss_hermite(60)
    keep = weights > 1e-14
    nodes, weights = nodes[keep], weights[keep] / weights[keep].sum()
    x, y = nodes, 1 + 2 * nodes
    found = sinkhorn(weights, weights, (x[:, None] - y).square(), epsilon, tolerance=1e-13)
    assert found.cost.value.item() == pytest.approx(
        entropic(it.Gaussian(0.0, 1.0), it.Gaussian(1.0, 4.0), epsilon).value.item(), rel=1e-8
    )


def test_limits_of_epsilon():
    square = it.wasserstein2(P, Q).value.square().item()
    independent = 1.25 + 3.0 + 3.7
    for epsilon in (1e-300, 1e-30, 1e-14):
        found = entropic(P, Q, epsilon)
        assert abs(found.value.item() - square) <= found.error.item() + 100 * epsilon
        assert found.error.item() < 1e-12
        assert sinkhorn_divergence(P, Q, epsilon).value.item() == pytest.approx(square, rel=1e-13)
    for epsilon in (1e16, 1e200):
        assert entropic(P, Q, epsilon).value.item() == pytest.approx(independent, rel=1e-14)
        assert sinkhorn_divergence(P, Q, epsilon).value.item() == pytest.approx(1.25, rel=1e-13)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=8, max_size=8),
    st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 2)]),
    st.floats(-6, 6),
)
def test_divergence_of_any_gaussians_is_the_difference_and_is_not_negative(entries, ranks, exponent):
    first, second = (_t(entries[i : i + 4]).reshape(2, 2) for i in (0, 4))
    p = it.Gaussian.from_factor(_t([0.0, 0.0]), first[:, : ranks[0]])
    q = it.Gaussian.from_factor(_t([0.5, 0.0]), second[:, : ranks[1]])
    epsilon = 10.0**exponent
    found = sinkhorn_divergence(p, q, epsilon)
    parts = [entropic(*pair, epsilon) for pair in ((p, q), (p, p), (q, q))]
    naive = parts[0].value - (parts[1].value + parts[2].value) / 2
    slack = found.error + parts[0].error + (parts[1].error + parts[2].error) / 2
    assert abs(found.value - naive) <= slack
    assert found.value >= 0.25 - found.error
    assert it.wasserstein2(p, q).value ** 2 <= parts[0].value + parts[0].error + 1e-14


@pytest.mark.parametrize("h", [1e-3, 1e-5, 1e-7])
def test_divergence_of_nearly_equal_laws_keeps_its_digits(h):
    # second order in h: S = h^2 s^2 / 2 (1 + O(h)) with the Hessian taken where the naive difference still has digits
    p, big = it.Gaussian.from_factor(0.0, 1.0), 2e-2
    far = [sinkhorn_divergence(p, it.Gaussian.from_factor(0.0, 1 + sign * big), 1.0).value.item() for sign in (1, -1)]
    curvature = (far[0] + far[1]) / 2 / big**2
    found = sinkhorn_divergence(p, it.Gaussian.from_factor(0.0, 1 + h), 1.0)
    assert found.value.item() / h**2 == pytest.approx(curvature, rel=3e-3 + 2 * h)
    assert found.error.item() < 1e-13 * h
    assert sinkhorn_divergence(P, P, 1.0).value.item() < 1e-30


def test_the_root_of_the_cost_moves_no_more_than_the_laws_do():
    for epsilon in (0.1, 3.0):
        moved = it.Gaussian([0.3, 0.1], [[1.3, 0.2], [0.2, 1.5]])
        change = entropic(P, Q, epsilon).value.sqrt() - entropic(moved, Q, epsilon).value.sqrt()
        assert abs(change) <= it.wasserstein2(P, moved).value


def test_batches_of_laws_and_of_epsilon():
    epsilon = _t([[0.1], [1.0], [10.0]])
    p = it.Gaussian(torch.zeros(4, 2).double(), P.covariance)
    for quantity in (entropic, sinkhorn_divergence):
        found = quantity(p, Q, epsilon)
        assert found.shape == (3, 4)
        assert found.value[1, 2].item() == pytest.approx(quantity(P, Q, 1.0).value.item(), rel=1e-13)


@pytest.mark.parametrize("quantity", [entropic, sinkhorn_divergence])
@pytest.mark.parametrize("ranks", [(3, 3), (2, 3), (1, 1), (5, 2)])
def test_gradients_of_gaussians(quantity, ranks):
    def value(m, A, n, B, epsilon):
        return quantity(it.Gaussian.from_factor(m, A), it.Gaussian.from_factor(n, B), epsilon).value

    inputs = [
        _draws(3, 1, 1)[:, 0],
        _draws(3, ranks[0], 2),
        _draws(3, 1, 3)[:, 0],
        _draws(3, ranks[1], 4),
        _t([0.5, 2.0]),
    ]
    assert torch.autograd.gradcheck(value, [x.requires_grad_() for x in inputs])


def test_gradient_at_equality():
    C = torch.eye(2, dtype=torch.float64, requires_grad=True)
    other = it.Gaussian([0.0, 0.0], torch.eye(2, dtype=torch.float64))
    sinkhorn_divergence(it.Gaussian([0.0, 0.0], C), other, 1.0).value.backward()
    assert torch.equal(C.grad, torch.zeros(2, 2).double())


@pytest.mark.parametrize("scale", [1e-8, 1e8, 1e60])
def test_scales(scale):
    p, q = (it.Gaussian.from_factor(scale * law.mean, scale * law.factor) for law in (P, Q))
    for quantity in (entropic, sinkhorn_divergence):
        expected = quantity(it.Gaussian.from_factor(P.mean, P.factor), it.Gaussian.from_factor(Q.mean, Q.factor), 1.0)
        assert (quantity(p, q, scale**2).value / scale**2).item() == pytest.approx(expected.value.item(), rel=1e-13)


def test_float32():
    p, q = (it.Gaussian(law.mean.float(), law.covariance.float()) for law in (P, Q))
    for quantity in (entropic, sinkhorn_divergence):
        found, exact = quantity(p, q, 1.0), quantity(P, Q, 1.0)
        assert found.value.dtype == torch.float32
        assert abs(found.value.item() - exact.value.item()) <= found.error.item() < 1e-3
    assert entropic(p, Q, 1.0).value.dtype == torch.float64


# -- atoms -----------------------------------------------------------------------------------------------------------


def test_atoms_against_pot():
    ot = pytest.importorskip("ot")
    x, y = _draws(20, 3, 0), _draws(25, 3, 1, 0.5, 1.5)
    C = (x[:, None] - y).square().sum(-1)
    P0 = torch.from_numpy(ot.sinkhorn([], [], C.numpy(), 1.0, stopThr=1e-14, numItermax=20000))
    value = (P0 * C).sum() + torch.special.xlogy(P0, P0 * 20 * 25).sum()
    found = entropic(it.Empirical(x), it.Empirical(y), 1.0)
    assert abs(found.value - value).item() <= found.error.item() + 1e-12
    assert found.error.item() < 2e-9 * C.mean().item()
    assert found.converged and found.method == "fixed-point" and found.kind == "exact"


def test_two_atoms_by_hand():
    # the plan (1 + r) / 4, (1 - r) / 4 minimises the cost over r in one dimension
    d, epsilon = 1.3, 0.7
    r = math.tanh(d**2 / (2 * epsilon))
    value = d**2 * (1 - r) / 2 + epsilon * ((1 + r) / 2 * math.log(1 + r) + (1 - r) / 2 * math.log(1 - r))
    found = entropic(it.Empirical([[0.0], [d]]), it.Empirical([[0.0], [d]]), epsilon, tolerance=1e-14)
    assert found.value.item() == pytest.approx(value, rel=1e-13)


def test_small_epsilon_reaches_the_optimal_assignment():
    pytest.importorskip("ot")
    x, y = it.Empirical(_draws(30, 2, 0)), it.Empirical(_draws(30, 2, 1))
    square = it.wasserstein2(x, y).value.square().item()
    found = entropic(x, y, 1e-5)
    # OT_eps - W2^2 <= eps log N, and the information of a permutation is log N
    assert -found.error.item() <= found.value.item() - square <= 1e-5 * math.log(30) + found.error.item()
    assert found.converged


def test_divergence_of_atoms():
    x, y = it.Empirical(_draws(30, 2, 0)), it.Empirical(_draws(25, 2, 1, 1.0))
    found = sinkhorn_divergence(x, y, 0.5, tolerance=1e-12)
    parts = [entropic(*pair, 0.5, tolerance=1e-13).value for pair in ((x, y), (x, x), (y, y))]
    assert found.value.item() == pytest.approx(
        (parts[0] - (parts[1] + parts[2]) / 2).item(), abs=found.error.item() + 1e-12
    )
    assert found.value.item() > 0.5
    same = sinkhorn_divergence(x, it.Empirical(x.samples.flip(0)), 0.5)
    assert abs(same.value.item()) <= same.error.item() < 1e-7


@pytest.mark.parametrize("quantity", [entropic, sinkhorn_divergence])
def test_gradients_of_atoms(quantity):
    def value(x, y, a, b, epsilon):
        return quantity(it.Empirical(x, a), it.Empirical(y, b), epsilon, tolerance=1e-14).value

    a, b = _t([0.5, 0.2, 0.4]), _t([0.3, 0.2, 0.9])
    inputs = [_draws(3, 2, 1), _draws(3, 2, 2, 3.0), a, b, _t(0.7)]
    assert torch.autograd.gradcheck(value, [x.requires_grad_() for x in inputs], atol=1e-6)


def test_edges_of_atoms():
    x, y = _draws(6, 2, 0), _draws(8, 2, 1, 3.0)
    whole = entropic(it.Empirical(x), it.Empirical(y), 1.0)
    for scale in (1e-8, 1e8):
        found = entropic(it.Empirical(scale * x), it.Empirical(scale * y), scale**2)
        assert (found.value / scale**2).item() == pytest.approx(whole.value.item(), rel=1e-9)
    far = entropic(it.Empirical(x + 2.0**20), it.Empirical(y + 2.0**20), 1.0)
    rounded = entropic(it.Empirical(x + 2.0**20 - 2.0**20), it.Empirical(y + 2.0**20 - 2.0**20), 1.0)
    assert abs(far.value - rounded.value) <= far.error + rounded.error
    weights = [0.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    some = entropic(it.Empirical(x, weights), it.Empirical(y), 1.0).value
    assert some.item() == pytest.approx(
        entropic(it.Empirical(x[[1, 3, 4, 5]]), it.Empirical(y), 1.0).value.item(), rel=1e-12
    )
    single = entropic(it.Empirical(x[:1]), it.Empirical(y), _t([1.0, 1e3]))
    assert single.shape == (2,)
    assert single.value.tolist() == pytest.approx([(x[:1] - y).square().sum(-1).mean().item()] * 2, rel=1e-12)
    assert entropic(it.Empirical(x[:1]), it.Empirical(x[:1]), 1.0).value.item() == 0.0
    small = entropic(it.Empirical(x.float()), it.Empirical(y.float()), 1.0)
    assert small.value.dtype == torch.float32
    assert abs(small.value.item() - whole.value.item()) <= small.error.item() + 1e-5
    pmf = entropic(it.Discrete([0.5, 0.5], values=[0.0, 2.0]), it.Discrete([0.25, 0.75]), 1e-2)
    assert pmf.value.item() == pytest.approx(0.25 * 0 + 0.25 * 1 + 0.5 * 1, abs=1e-2)


def test_what_is_refused():
    for epsilon in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="epsilon must be"):
            entropic(P, Q, epsilon)
    with pytest.raises(ValueError, match="same space"):
        entropic(P, it.Gaussian(0.0, 1.0), 1.0)
    with pytest.raises(NotImplementedError, match="not a law of atoms"):
        entropic(P, it.Empirical(_draws(3, 2, 0)), 1.0)
    with pytest.raises(ValueError, match="tolerance must be"):
        entropic(it.Empirical(_draws(3, 2, 0)), it.Empirical(_draws(3, 2, 1)), 1.0, tolerance=0.0)
