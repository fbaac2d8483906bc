"""Optimal plans of weights: against linear programming, proofs by potentials, and where the solver goes wrong."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog

from infotherm.transport.discrete import optimal_transport

pytest.importorskip("ot")


def _problem(seed, n, m):
    rng = np.random.default_rng(seed)
    a, b = rng.random(n), rng.random(m)
    return a / a.sum(), b / b.sum(), rng.normal(size=(n, m))


def _by_linear_programming(a, b, cost):
    n, m = cost.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    return linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b])).fun


def _assert_proved(found, a, b, cost):
    """The plan has the marginals, the potentials are feasible, and both say the same cost."""
    u, v = (t.numpy() for t in found.potentials)
    plan = found.plan.numpy()
    scale = np.abs(u).max() + np.abs(v).max() + 1e-300
    assert plan.min() >= 0
    assert np.abs(plan.sum(1) - a).max() <= 1e-15 and np.abs(plan.sum(0) - b).max() <= 1e-15
    assert (cost - u[:, None] - v).min() >= -4e-16 * scale
    assert found.cost.value.item() == pytest.approx(float((plan * cost).sum()), abs=1e-15 * scale)
    assert abs(float((plan * cost).sum() - a @ u - b @ v) - found.gap) <= 1e-14 * scale
    assert -1e-14 * scale <= found.gap <= found.cost.error.item()


@pytest.mark.parametrize("n, m", [(1, 1), (1, 4), (6, 6), (9, 4), (5, 12)])
def test_against_linear_programming(n, m):
    a, b, cost = _problem(n + m, n, m)
    found = optimal_transport(a, b, cost)
    _assert_proved(found, a, b, cost)
    assert found.cost.value.item() == pytest.approx(_by_linear_programming(a, b, cost), abs=1e-8)
    assert (found.cost.kind, found.cost.units) == ("exact", "1")


def test_equal_weights_are_an_assignment():
    cost = np.random.default_rng(1).random((40, 40))
    rows, columns = linear_sum_assignment(cost)
    found = optimal_transport(np.full(40, 1 / 40), np.full(40, 1 / 40), cost)
    assert abs(found.cost.value.item() - cost[rows, columns].mean()) <= found.cost.error.item() < 1e-12


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 7), st.floats(-4, 4))
def test_laws(seed, n, m, shift):
    a, b, cost = _problem(seed, n, m)
    rng = np.random.default_rng(seed)
    found = optimal_transport(a, b, cost)
    value, error = found.cost.value.item(), found.cost.error.item()
    back = optimal_transport(b, a, cost.T)
    order, other = rng.permutation(n), rng.permutation(m)
    permuted = optimal_transport(a[order], b[other], cost[order][:, other])
    for same in (back, permuted):
        assert abs(same.cost.value.item() - value) <= error + same.cost.error.item()
    assert value <= float(a @ cost @ b) + error  # independence is a plan
    rows, columns = rng.normal(size=n), rng.normal(size=m)
    tilted = optimal_transport(a, b, cost + rows[:, None] + columns + shift)
    moved = value + float(a @ rows + b @ columns) + shift
    assert abs(tilted.cost.value.item() - moved) <= tilted.cost.error.item() + error + 1e-15 * 10
    three = optimal_transport(3 * a, 3 * b, cost)
    assert abs(three.cost.value.item() - 3 * value) <= three.cost.error.item() + 3 * error


def test_points_without_weight_do_not_count():
    a, b, cost = _problem(0, 6, 5)
    a[[1, 4]], b[2] = 0.0, 0.0
    a, b = a / a.sum(), b / b.sum()
    cost[1], cost[:, 2] = -50.0, 70.0
    found = optimal_transport(a, b, cost)
    _assert_proved(found, a, b, cost)
    inner = optimal_transport(a[a > 0], b[b > 0], cost[a > 0][:, b > 0])
    assert found.cost.value.item() == pytest.approx(inner.cost.value.item(), abs=1e-14)
    assert found.plan[1].sum() == found.plan[:, 2].sum() == 0


@pytest.mark.parametrize("forbidden", [0.01, 0.5, 0.95])
def test_huge_costs_do_not_spoil_the_others(forbidden):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(120, 2)), rng.normal(size=(120, 2)) + 0.2
    cost = ((x[:, None] - y) ** 2).sum(-1)
    mask = rng.random(cost.shape) < forbidden
    np.fill_diagonal(mask, False)
    weights = np.full(120, 1 / 120)
    found = optimal_transport(weights, weights, np.where(mask, 1e32, cost))
    rows, columns = linear_sum_assignment(np.where(mask, 1e4, cost))
    assert not mask[rows, columns].any()
    assert abs(found.cost.value.item() - cost[rows, columns].mean()) <= found.cost.error.item() < 1e-11
    # where no plan avoids them they are paid for
    paid = optimal_transport([0.5, 0.5], [0.5, 0.5], [[1e32, 1e32], [0.0, 1.0]])
    assert paid.cost.value.item() == pytest.approx(5e31, rel=1e-14)


@pytest.mark.parametrize("offset", [-2.0, -50.0, -1e5])
def test_negative_costs_are_no_obstacle(offset):
    """An offset of all costs adds to the least cost and changes no plan."""
    costs = np.random.default_rng(8).random((5, 4))
    a, b = np.array([0.4, 0.3, 0.3, 0.0, 0.0]), np.array([0.0, 0.5, 0.25, 0.25])
    known, moved = optimal_transport(a, b, costs), optimal_transport(a, b, costs + offset)
    assert torch.equal(known.plan, moved.plan)
    assert abs(moved.cost.value - known.cost.value - offset) <= moved.cost.error + known.cost.error
    assert moved.cost.error < 1e-13 * abs(offset)
    assert optimal_transport([1.0], [1.0], [[offset]]).cost.value == offset


@pytest.mark.parametrize("mass", [1e-290, 1e-20, 1e20, 1e300])
def test_scales_of_weights(mass):
    costs = np.random.default_rng(9).random((5, 4))
    a, b = np.array([0.4, 0.3, 0.1, 0.1, 0.1]), np.array([0.1, 0.4, 0.25, 0.25])
    known, scaled = optimal_transport(a, b, costs), optimal_transport(a * mass, b * mass, costs)
    assert torch.allclose(scaled.plan / mass, known.plan, rtol=1e-12, atol=1e-15)
    assert abs(scaled.cost.value / mass - known.cost.value) <= 2 * known.cost.error
    assert 0 < scaled.cost.error < 1e-13 * mass


def test_scales_of_costs():
    a, b, cost = _problem(5, 6, 6)
    one = optimal_transport(a, b, cost)
    for scale in (1e-200, 1e-12, 1e12, 1e200):
        found = optimal_transport(a, b, scale * cost)
        assert found.cost.value.item() == pytest.approx(scale * one.cost.value.item(), rel=1e-12)
        assert found.cost.error.item() <= 1e-12 * scale
    zero = optimal_transport(a, b, np.zeros((6, 6)))
    assert zero.cost.value.item() == 0.0 and zero.cost.error.item() < 1e-300


def test_float32_weights_off_the_simplex():
    weights = torch.rand(3000, generator=torch.Generator().manual_seed(0))
    a = weights / weights.sum()
    points = torch.linspace(0, 1, 3000)[:, None]
    assert float(a.double().sum()) != 1.0
    found = optimal_transport(a, [0.5, 0.5], torch.cat([points, (1 - points)], 1))
    exact = optimal_transport(a.double() / a.double().sum(), [0.5, 0.5], torch.cat([points, 1 - points], 1).double())
    assert found.cost.value.dtype == found.plan.dtype == torch.float32
    assert abs(found.cost.value.item() - exact.cost.value.item()) <= found.cost.error.item() < 1e-6


def test_gradients():
    a, b, cost = (torch.from_numpy(t) for t in _problem(7, 4, 3))

    def value(a, b, cost):
        return optimal_transport(a / a.sum(), b / b.sum(), cost).cost.value

    assert torch.autograd.gradcheck(value, tuple(t.requires_grad_() for t in (a, b, cost)), eps=1e-7, atol=1e-6)


def test_refusals():
    half = [0.5, 0.5]
    with pytest.raises(ValueError, match=r"cost must be finite; got nan at index \[0, 1\]"):
        optimal_transport(half, half, [[0.0, math.nan], [1.0, 0.0]])
    with pytest.raises(ValueError, match="cost must be finite; got inf"):
        optimal_transport(half, half, [[0.0, math.inf], [1.0, 0.0]])
    with pytest.raises(ValueError, match="b must be finite"):
        optimal_transport(half, [0.5, math.nan], np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"shapes \(n,\), \(m,\) and \(n, m\).*got \(2,\), \(2,\) and \(2, 3\)"):
        optimal_transport(half, half, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="a must not be negative; got -0.5"):
        optimal_transport([1.5, -0.5], half, np.zeros((2, 2)))
    for weights in ([0.5, 0.4], [0.0, 0.0], [1e308, 1e308]):
        with pytest.raises(ValueError, match="equal, positive and finite sums"):
            optimal_transport(weights, half, np.zeros((2, 2)))


def test_a_solver_that_stops_short_is_not_believed():
    cost = np.random.default_rng(0).random((50, 50))
    with pytest.raises(RuntimeError, match="did not finish after max_iterations = 3"):
        optimal_transport(np.full(50, 0.02), np.full(50, 0.02), cost, max_iterations=3)


def test_a_wrong_plan_shows_in_the_gap(monkeypatch):
    import ot

    solve = ot.emd

    def worse(a, b, costs, **options):
        plan, log = solve(a, b, costs[::-1].copy(), **options)
        return plan, log

    monkeypatch.setattr(ot, "emd", worse)
    a, b, cost = _problem(2, 6, 6)
    found = optimal_transport(np.full(6, 1 / 6), b, cost)
    truth = _by_linear_programming(np.full(6, 1 / 6), b, cost)
    assert found.gap > 0.1 and abs(found.cost.value.item() - truth) <= found.cost.error.item()


def test_a_plan_that_misses_its_marginals_shows_in_the_error(monkeypatch):
    import ot

    solve = ot.emd

    def short(a, b, costs, **options):
        plan, log = solve(a, b, costs, **options)
        return plan * (1 - 1e-3), log

    a, b, cost = _problem(4, 5, 5)
    truth = optimal_transport(a, b, cost + 3).cost
    monkeypatch.setattr(ot, "emd", short)
    found = optimal_transport(a, b, cost + 3).cost
    assert 1e-3 < abs(found.value.item() - truth.value.item()) <= found.error.item() < 0.1


def test_potentials_of_points_without_weight_are_set_whatever_the_solver_says(monkeypatch):
    import ot

    solve = ot.emd

    def careless(a, b, costs, **options):
        plan, log = solve(a, b, costs, **options)
        return plan, log | {"u": np.where(a == 0, 1e6, log["u"])}

    monkeypatch.setattr(ot, "emd", careless)
    a, b, cost = _problem(8, 5, 4)
    a[2] = 0.0
    a = a / a.sum()
    _assert_proved(optimal_transport(a, b, cost), a, b, cost)


def test_sums_that_differ_by_rounding_are_paid_for():
    a = torch.tensor([0.5, 0.5])
    b = torch.tensor([0.5, 0.50001])
    cost = [[0.0, 1.0], [-1.0, 0.0]]
    found = optimal_transport(a, b, cost).cost
    # with the surplus taken from the one or the other of the weights
    for other in ([0.49999, 0.50001], [0.5, 0.5]):
        exact = optimal_transport([0.5, 0.5], other, cost).cost
        assert abs(found.value.item() - exact.value.item()) <= found.error.item() < 1e-4
