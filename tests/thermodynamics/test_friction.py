"""Friction tensors: closed forms, quadrature, spectra, integrals of exact correlations, and recorded motion."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.processes import MarkovJump, OrnsteinUhlenbeck, steady_state
from infotherm.thermodynamics.friction import (
    friction_from_trajectories,
    harmonic_friction,
    jump_friction,
    overdamped_friction,
)

F64 = torch.float64
quick = settings(max_examples=15)


def trap(x, c):
    return 0.5 * c[..., 1] * (x - c[..., 0]) ** 2


def well(x, c):
    """A tilted double well: tilt, height."""
    return c[..., 1] * (x**2 - 1) ** 2 - c[..., 0] * x


@quick
@given(st.floats(-3.0, 3.0), st.floats(0.2, 5.0), st.floats(0.2, 4.0), st.floats(0.2, 4.0))
def test_harmonic_traps_by_closed_form_and_by_quadrature(centre, stiffness, mobility, temperature):
    exact = harmonic_friction(stiffness, mobility, temperature)
    reach = 9 * math.sqrt(temperature / stiffness)
    found = overdamped_friction(
        trap,
        [centre, stiffness],
        lower=centre - reach,
        upper=centre + reach,
        mobility=mobility,
        temperature=temperature,
    )
    assert found.kind == exact.kind == "exact" and found.units == exact.units == "energy*time"
    # the walls at 9 standard deviations cut off exp(-40)
    cut = 1e-14 * exact.value.abs().max()
    assert bool(((found.value - exact.value).abs() <= found.error + exact.error + cut).all())
    assert bool((found.error <= 1e-9 * exact.value.diagonal().max()).all())


def spectral_friction(potential, c, temperature, mobility, lower, upper, cells):
    """By a jump process on a grid with detailed balance, whose limit is the diffusion."""
    edges = torch.linspace(lower, upper, cells + 1, dtype=F64)
    x, h = (edges[1:] + edges[:-1]) / 2, (upper - lower) / cells
    c = torch.tensor(c, dtype=F64)
    energy = potential(x, c)
    up = torch.exp(-(energy.diff()) / (2 * temperature)) * mobility * temperature / h**2
    down = torch.exp(energy.diff() / (2 * temperature)) * mobility * temperature / h**2
    rates = torch.diag(up, 1) + torch.diag(down, -1)
    step = 1e-6
    forces = []
    for i in range(len(c)):
        e = torch.zeros_like(c)
        e[i] = step
        forces.append(-(potential(x, c + e) - potential(x, c - e)) / (2 * step))
    return jump_friction(MarkovJump(rates), torch.stack(forces), temperature).value


def test_a_double_well_by_quadrature_and_by_jumps_on_a_grid():
    c, options = [0.3, 2.0], {"temperature": 0.7, "mobility": 1.5}
    found = overdamped_friction(well, c, lower=-2.5, upper=2.5, **options)
    coarse, middle, fine = (spectral_friction(well, c, 0.7, 1.5, -2.5, 2.5, n) for n in (50, 100, 200))
    once = [(4 * middle - coarse) / 3, (4 * fine - middle) / 3]
    assert bool(((once[1] - found.value).abs() <= 2 * (once[1] - once[0]).abs() + 1e-7 * found.value.abs()).all())
    assert bool(((once[1] - once[0]).abs() <= 1e-3 * found.value.abs()).all())
    assert torch.linalg.eigvalsh(found.value).min() > 0


def test_walls_by_their_own_closed_form():
    # a box [0, 1] with a vanishing tilt: dPi/dc = -x (1 - x) / (2 T), zeta = int (dPi/dc)^2 dx / mu = 1 / (120 mu T^2)
    found = overdamped_friction(lambda x, c: -c[..., 0] * x, [0.0], lower=0.0, upper=1.0, mobility=2.0, temperature=3.0)
    assert abs(found.value.item() - 1 / (120 * 2.0 * 9.0)) <= found.error.item() < 1e-12


@pytest.mark.parametrize("stiffness", [1e2, 1e4, 1e5])
def test_walls_far_from_the_mass(stiffness):
    found = overdamped_friction(trap, [0.123, stiffness], lower=-10.0, upper=10.0)
    exact = harmonic_friction(stiffness)
    assert bool(((found.value - exact.value).abs() <= found.error + exact.error).all())
    assert bool((found.error.diagonal() <= 1e-6 * exact.value.diagonal()).all())


def test_batches_and_gradients():
    c = torch.tensor([[0.0, 1.0], [0.5, 2.0], [-0.2, 4.0]], dtype=F64, requires_grad=True)
    found = overdamped_friction(trap, c, lower=-9.0, upper=9.5)
    assert found.shape == (3, 2, 2)
    (slope,) = torch.autograd.grad(found.value[:, 1, 1].sum(), c)
    assert torch.allclose(slope[:, 1], -0.75 / c.detach()[:, 1] ** 4, rtol=1e-8)


def random_chain(seed, states):
    g = torch.Generator().manual_seed(seed)
    rates = torch.exp(torch.randn(states, states, generator=g, dtype=F64))
    return MarkovJump(rates), torch.randn(2, states, generator=g, dtype=F64)


@quick
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_jumps_by_the_group_inverse_and_by_the_integral(seed, states):
    process, forces = random_chain(seed, states)
    found = jump_friction(process, forces, 2.0)
    p = steady_state(process).pmf
    away = forces - (forces * p).sum(-1, keepdim=True)
    # int_0^t <dX_i(0) dX_j(s)> ds by the exponential of a block matrix, for t beyond all relaxation
    duration = 60 / torch.linalg.eigvals(process.generator).real.sort(descending=True).values[1].abs().item()
    block = torch.zeros(states + 2, states + 2, dtype=F64)
    block[:states, :states], block[:states, states:] = process.generator, away.mT
    integral = torch.linalg.matrix_exp(block * duration)[:states, states:]
    expected = (away * p) @ integral / 2.0
    expected = (expected + expected.mT) / 2
    assert bool(((found.value - expected).abs() <= found.error + 1e-10 * expected.abs().max()).all())
    assert bool((found.error <= 1e-9).all())
    assert torch.linalg.eigvalsh(found.value).min() > -1e-12


def test_two_levels():
    # correlation v exp(-R t): v / (R T)
    up, down, T = 0.7, 1.6, 2.5
    found = jump_friction(MarkovJump([[0.0, up], [down, 0.0]]), [[0.0, -1.0]], T)
    p = up / (up + down)
    assert abs(found.value.item() - p * (1 - p) / (up + down) / T) <= found.error.item() < 1e-14


def recorded(seed, paths=200, times=1200, step=0.05, k=2.0, mobility=1.3, temperature=0.8):
    g = torch.Generator().manual_seed(seed)
    process = OrnsteinUhlenbeck(k * mobility, math.sqrt(2 * mobility * temperature))
    gain, spread = math.exp(-k * mobility * step), temperature / k
    noise = torch.randn(times, paths, generator=g, dtype=F64)
    x = [math.sqrt(spread) * noise[0]]
    for n in noise[1:]:
        x.append(gain * x[-1] + math.sqrt(spread * (1 - gain**2)) * n)
    assert abs(steady_state(process).covariance.item() - spread) < 1e-14
    x = torch.stack(x, 1)
    return torch.stack([k * x, -(x**2) / 2], -1), harmonic_friction(k, mobility, temperature)


def test_recorded_motion():
    # 3 numbers at 4.5 standard errors: false alarms 2e-5
    forces, exact = recorded(1)
    found = friction_from_trajectories(forces, 0.05, 4.0, temperature=0.8)
    away = (found.value - exact.value).abs()
    assert bool((away <= 4.5 * found.stderr + found.error).all()) and found.kind == "estimate"
    assert bool((found.stderr.diagonal() + found.error.diagonal() < 0.2 * exact.value.diagonal()).all())
    # means that are known, and a factor that would be missed
    known = friction_from_trajectories(forces, 0.05, 4.0, temperature=0.8, mean=[0.0, -0.2])
    assert bool(((known.value - exact.value).abs() <= 4.5 * known.stderr + known.error).all())
    assert not bool(((2 * known.value - exact.value).abs() <= 4.5 * known.stderr + known.error).diagonal().any())


def test_intervals_of_recorded_motion_cover():
    covered = 0
    for seed in range(20):
        forces, exact = recorded(100 + seed, paths=30, times=400)
        low, high = friction_from_trajectories(forces, 0.05, 3.0, temperature=0.8).interval(0.95)
        covered += int(((low <= exact.value) & (exact.value <= high))[0, 0])
    assert covered >= 15  # of 20 at 95 %: fewer in 3e-4 of all cases


def test_lags_too_short_are_noticed():
    forces, _ = recorded(2)
    with pytest.warns(RuntimeWarning, match="still add"):
        found = friction_from_trajectories(forces, 0.05, 0.4, temperature=0.8)
    assert not found.converged


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: harmonic_friction(-1.0), "stiffness must be positive; got -1"),
        (lambda: overdamped_friction(trap, [0.0, 1.0], lower=1.0, upper=0.0), "lower < upper; got 1.0 and 0.0"),
        (lambda: overdamped_friction(trap, [0.0, 1.0], lower=-math.inf, upper=0.0), "finite walls"),
        (lambda: overdamped_friction(trap, 1.0, lower=-1.0, upper=1.0), "parameters must have shape"),
        (lambda: overdamped_friction(trap, [0.0, 1.0], lower=-1.0, upper=1.0, mobility=0.0), "mobility"),
        (lambda: overdamped_friction(lambda x, c: c[..., 0] / (x * 0), [1.0], lower=-1.0, upper=1.0), "finite between"),
        (lambda: overdamped_friction(well, [0.0, 800.0], lower=-1.5, upper=1.5), "barrier so high"),
        (lambda: overdamped_friction(trap, [0.0, 1e12], lower=-9.0, upper=10.0), "too far from its mass"),
        (lambda: jump_friction(MarkovJump([[0.0, 1.0], [1.0, 0.0]]), [[1.0, 2.0, 3.0]]), "forces must have shape"),
        (lambda: friction_from_trajectories(torch.zeros(1, 50, 1), 0.1, 1.0), "at least 2 trajectories"),
        (lambda: friction_from_trajectories(torch.zeros(3, 50, 1), 0.1, 9.0), "longest_lag must be"),
        (lambda: friction_from_trajectories(torch.zeros(3, 50), 0.1, 1.0), "forces must have shape"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
