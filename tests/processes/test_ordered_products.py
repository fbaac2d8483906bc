"""Driven transitions: against an ODE solver, constant rates, exact pieces; errors that bound, warnings that come."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from infotherm.distributions import Discrete
from infotherm.processes import MarkovJump, steady_state
from infotherm.processes.ordered_products import gauss_collocation

F64 = torch.float64


def stacked(rows):
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def driven_rates(t):
    zero = 0 * t
    return stacked(
        [
            [zero, 1.2 + torch.sin(5 * t), 0.3 + zero],
            [2 * torch.exp(-t), zero, t],
            [0.1 + zero, 3 / (1 + t * t), zero],
        ]
    )


def test_collocation_integrates_polynomials():
    nodes, inner, weights = gauss_collocation(8)
    for degree in range(8):
        assert torch.allclose(inner @ nodes**degree, nodes ** (degree + 1) / (degree + 1), rtol=1e-13, atol=1e-16)
    assert (weights @ nodes**15).item() == pytest.approx(1 / 16, rel=1e-14)


def test_driven_transition_against_an_ode_solver():
    def slope(t, p):
        rates = driven_rates(torch.tensor(t, dtype=F64)).numpy()
        rows = p.reshape(3, 3)
        return (rows @ rates - rows * rates.sum(-1)).ravel()

    process = MarkovJump(driven_rates, horizon=3.0)
    found = process.transition(0.2, 3.0).matrix
    solved = solve_ivp(slope, (0.2, 3.0), np.eye(3).ravel(), rtol=1e-13, atol=1e-15, method="DOP853").y[:, -1]
    assert torch.allclose(found, torch.from_numpy(solved.reshape(3, 3)), rtol=2e-11, atol=0)
    relative, absolute = process.transition_accuracy(0.2, 3.0)
    assert relative < 1e-11 and absolute == 0
    assert torch.allclose(found.sum(-1), torch.ones(3, dtype=F64), rtol=1e-14)


def test_transitions_compose_and_times_are_batches():
    process = MarkovJump(driven_rates)
    times = torch.tensor([[0.0, 0.4], [1.1, 2.0]], dtype=F64)
    together = process.transition(times, times + 0.7).matrix
    for i in range(2):
        for j in range(2):
            alone = process.transition(times[i, j], times[i, j] + 0.7).matrix
            assert torch.allclose(together[i, j], alone, rtol=1e-12)
    in_turn = process.transition(0.5, 2.0) @ process.transition(0.0, 0.5)
    assert torch.allclose(in_turn.matrix, process.transition(0.0, 2.0).matrix, rtol=1e-12)
    assert torch.equal(process.transition(0.3, 0.3).matrix, torch.eye(3, dtype=F64))
    assert not torch.allclose(process.transition(0.0, 1.0).matrix.mT, process.transition(0.0, 1.0).matrix, rtol=0.1)


def test_constant_rates_as_a_function_to_the_last_digits():
    rates = torch.tensor([[0.0, 1.0, 1e-9], [2.0, 0.0, 0.1], [0.2, 0.4, 0.0]], dtype=F64)
    as_function = MarkovJump(lambda t: rates.expand(*t.shape, 3, 3))
    times = torch.tensor([1e-6, 0.3, 40.0], dtype=F64)
    found, exact = as_function.transition(0.0, times).matrix, MarkovJump(rates).transition(0.0, times).matrix
    relative, _ = as_function.transition_accuracy(0.0, times)
    assert bool((((found - exact) / exact).abs().amax((-2, -1)) <= relative + 1e-13).all())


def test_a_long_way_through_many_states_stays_positive():
    size = 15
    rates = torch.diag(torch.ones(size - 1, dtype=F64), 1)
    walk = MarkovJump(lambda t: rates.expand(*t.shape, size, size)).transition(0.0, 0.5).matrix
    poisson = torch.tensor([math.exp(-0.5) * 0.5**k / math.factorial(k) for k in range(size - 1)], dtype=F64)
    assert bool((walk >= 0).all()) and torch.allclose(walk[0, :-1], poisson, rtol=1e-12)


@pytest.mark.parametrize("breakpoints", [None, [1 / 3]])
def test_rates_that_jump(breakpoints):
    process = MarkovJump(lambda t: [[0.0, 1.0 if t < 1 / 3 else 3.0], [2.0, 0.0]], breakpoints=breakpoints)
    first, second = MarkovJump([[0.0, 1.0], [2.0, 0.0]]), MarkovJump([[0.0, 3.0], [2.0, 0.0]])
    exact = second.transition(0.0, 2 / 3) @ first.transition(0.0, 1 / 3)
    relative, absolute = process.transition_accuracy(0.0, 1.0)
    off = (process.transition(0.0, 1.0).matrix - exact.matrix).abs()
    assert bool((off <= relative * exact.matrix + absolute).all()) and relative < 1e-12 and absolute < 1e-14


def test_rates_too_rough_to_follow_are_told():
    noisy = MarkovJump(lambda t: stacked([[0 * t, 1 + torch.frac(1e6 * t)], [2 + 0 * t, 0 * t]]))
    with pytest.warns(RuntimeWarning, match="too abruptly, or are too noisy"):
        noisy.transition(0.0, 1.0)
    fast = MarkovJump(lambda t: stacked([[0 * t, 1e9 + t], [2 + 0 * t, 0 * t]]))
    with pytest.raises(ValueError, match="jumps are expected between t = 0 and 1"):
        fast.transition(0.0, 1.0)


def test_gradients_reach_driven_rates():
    def function(a):
        process = MarkovJump(lambda t: stacked([[0 * t, a[0] + a[1] * t], [a[2] * torch.exp(-t), 0 * t]]))
        return process.transition(0.0, 0.7).matrix

    assert torch.autograd.gradcheck(function, (torch.tensor([1.0, 0.5, 2.0], dtype=F64, requires_grad=True),))


def test_bad_driven_rates_say_where_and_when():
    negative = MarkovJump(lambda t: stacked([[0 * t, 1 - t], [1 + 0 * t, 0 * t]]))
    with pytest.raises(ValueError, match=r"rates must be >= 0; got -0.\d+ at index \[0, 1\] at time 1\.\d"):
        negative.transition(0.0, 2.0)
    infinite = MarkovJump(lambda t: [[0.0, 1.0], [math.inf if t > 1 else 1.0, 0.0]])
    with pytest.raises(ValueError, match=r"rates must be finite; got inf at index \[1, 0\] at time"):
        infinite.transition(0.0, 2.0)
    process = MarkovJump(driven_rates, horizon=1.0)
    with pytest.raises(ValueError, match="t1 must be <= the horizon 1.0"):
        process.transition(0.0, 1.5)
    with pytest.raises(ValueError, match="is driven: it has a quasi-invariant law at each time, no steady state"):
        steady_state(process)
    with pytest.raises(ValueError, match="the rates are driven"):
        _ = process.rates


def test_the_frozen_law_follows_the_time():
    process = MarkovJump(driven_rates)
    times = torch.tensor([0.0, 0.5, 2.0], dtype=F64)
    laws = process.quasi_invariant(times)
    assert torch.allclose(laws.pmf[1], steady_state(MarkovJump(process.rates_at(0.5))).pmf, rtol=1e-14)
    assert laws.batch_shape == (3,) and isinstance(laws, Discrete)
