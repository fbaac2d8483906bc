"""Path ratios: the ratio of the densities of each step, and the fluctuation theorem at any step."""

import pytest
import torch

import infotherm as it
from infotherm.processes import (
    AffineDiffusion,
    Langevin,
    OrnsteinUhlenbeck,
    UnderdampedLangevin,
)
from infotherm.processes.integrators import EulerMaruyama
from infotherm.thermodynamics import simulate
from infotherm.thermodynamics.path_ratios import EulerRatio, LinearEulerRatio

F64 = torch.float64
NORMAL = it.Gaussian(0.0, 1.0)
SQUARE = it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
TRAP = AffineDiffusion([[-1.0]], 2**0.5, lambda t: t[..., None])
MOVED = {"potential": lambda x, c: 0.5 * ((x - c) ** 2).sum(-1), "protocol": lambda t: t}
ROTATING = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)


def test_the_ratio_of_euler_steps_is_that_of_their_densities():
    process = Langevin(force=lambda x, t: torch.sin(x) - t, sigma=[0.7, 1.1], temperature=None)
    p0 = it.Gaussian([0.0, 0.5], [[1.0, 0.0], [0.0, 1.0]])
    paths = simulate(process, p0, 1.0, 50, 8, generator=10, method="euler-maruyama", save=9, final_law=p0)
    total = p0.log_prob(paths.initial) - p0.log_prob(paths.final)
    h = 1 / 8
    noise = torch.tensor([0.49, 1.21], dtype=F64) * h
    for k in range(8):
        x, y = paths.states[k], paths.states[k + 1]

        def log_density(a, b, k=k):
            mean = a + h * (torch.sin(a) - (k + 0.5) * h)
            return (-0.5 * (b - mean) ** 2 / noise - 0.5 * noise.log()).sum(-1)

        total = total + log_density(x, y) - log_density(y, x)
    assert torch.allclose(paths.log_path_ratio, total, rtol=1e-9, atol=1e-9)


def test_the_ratio_of_exact_steps_is_that_of_their_densities():
    paths = simulate(ROTATING, SQUARE, 0.6, 50, 3, generator=11, save=4)
    channel = ROTATING.transition(0.0, 0.2)
    total = SQUARE.log_prob(paths.initial) - SQUARE.log_prob(paths.final)
    for k in range(3):
        x, y = paths.states[k], paths.states[k + 1]
        total = total + channel(x).log_prob(y) - channel(y).log_prob(x)
    assert torch.allclose(paths.log_path_ratio, total, rtol=1e-9, atol=1e-9)


def test_the_ratio_of_baoab_steps_obeys_the_fluctuation_theorem_at_a_coarse_step():
    # stationary law of the discrete chain or not: any law at the end gives a mean of exp(-ratio) of 1
    process = UnderdampedLangevin(potential=lambda x: (0.25 * x**4).sum(-1), temperature=[1.0])
    p0 = it.Gaussian([0.0, 0.0], [[0.5, 0.0], [0.0, 1.0]])
    paths = simulate(process, p0, 2.0, 40_000, 5, generator=12, final_law=p0)
    weights = torch.exp(-paths.log_path_ratio)
    assert weights.mean().item() == pytest.approx(1.0, abs=4.5 * weights.std().item() / 200)
    assert (paths.log_path_ratio - paths.entropy_production).abs().max() > 1e-3  # the step shows in their difference


def test_even_euler_steps_are_summed_as_uneven_ones():
    # what cancels between neighbours is left out only where all steps are alike: both ways must agree
    process = Langevin(potential=lambda x: (0.25 * x**4).sum(-1), sigma=1.2)
    integrator = EulerMaruyama()
    x = torch.linspace(-1, 1, 5, dtype=F64)[:, None]
    noise = torch.randn(6, 5, 1, dtype=F64, generator=torch.Generator().manual_seed(0))
    state = integrator.init(process, x, torch.linspace(0, 0.6, 7, dtype=F64))
    fast, slow = EulerRatio(state), EulerRatio(state)
    assert fast.common is not None
    slow.common = None
    for step in noise:
        after = integrator.step(state, step)
        slow.add(state, after, after.x - state.x)
        state = fast.add(state, after, after.x - state.x)
    assert torch.allclose(fast.total(state), slow.total(state), rtol=1e-12)


def test_the_stratonovich_sum_telescopes_for_a_linear_force():
    # D^-1 b = -x with D = 1: (x_0^2 - x_n^2) / 2, what the standard normal law at both ends gives back
    process = Langevin(potential=lambda x: 0.5 * (x**2).sum(-1), sigma=2**0.5)
    paths = simulate(process, SQUARE, 0.5, 20, 5, generator=0, final_law=SQUARE)
    assert torch.allclose(paths.log_path_ratio, torch.zeros(20, dtype=F64), atol=1e-12)


def test_like_euler_steps_in_a_linear_drift_are_summed_at_the_ends():
    process = OrnsteinUhlenbeck([[1.0, 0.3], [0.3, 0.7]], 1.3, mean=[0.5, -1.0])
    integrator = EulerMaruyama()
    state = integrator.init(process, torch.zeros(5, 2, dtype=F64), torch.linspace(0, 0.6, 7, dtype=F64))
    steps, ends = EulerRatio(state), LinearEulerRatio(state)
    for step in torch.randn(6, 5, 2, dtype=F64, generator=torch.Generator().manual_seed(0)):
        after = integrator.step(state, step)
        state = steps.add(state, after, after.x - state.x)
    assert torch.allclose(ends.total(state), steps.total(state), rtol=1e-12, atol=1e-14)
    # and by the densities of the steps, on paths whose states are kept
    paths = simulate(process, SQUARE, 0.6, 50, 6, method="euler-maruyama", generator=0, final_law=SQUARE, save=7)
    total = SQUARE.log_prob(paths.initial) - SQUARE.log_prob(paths.final)
    for x, y in zip(paths.states[:-1], paths.states[1:], strict=True):
        ahead, back = y - x - 0.1 * process.drift(x, 0.0), x - y - 0.1 * process.drift(y, 0.0)
        total = total + (back.square() - ahead.square()).sum(-1) / (2 * 0.1 * 1.3**2)
    assert torch.allclose(paths.log_path_ratio, total, rtol=1e-9, atol=1e-9)
