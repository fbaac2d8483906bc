"""Housekeeping entropy and the functional of Hatano and Sasa along paths: both integral theorems, and exact means."""

import pytest
import torch

import infotherm as it
from infotherm.processes import (
    AffineDiffusion,
    Langevin,
    MarkovJump,
    OrnsteinUhlenbeck,
    UnderdampedLangevin,
    steady_state,
)
from infotherm.thermodynamics import (
    entropy_production_rate,
    excess_housekeeping,
    housekeeping_counting,
    integral_fluctuation_theorem,
    simulate,
)

F64 = torch.float64
ROTATING = OrnsteinUhlenbeck([[1.0, -0.4], [0.4, 1.0]], 2**0.5)


def one(estimate, slack=0.0):
    """Whether a mean of exponentials that can be trusted is 1 (4.5 standard errors: one false alarm in 150 000)."""
    assert estimate.kind == "estimate", estimate.info
    assert abs(float(estimate) - 1) <= 4.5 * float(estimate.stderr) + float(estimate.error) + slack


def test_housekeeping_of_a_rotation_that_relaxes():
    start = it.Gaussian([1.0, 0.0], [[0.5, 0.0], [0.0, 1.5]])
    paths = simulate(ROTATING, start, 0.5, 30_000, 50, generator=0, housekeeping=True)
    assert torch.equal(paths.hatano_sasa, torch.zeros(30_000, dtype=F64))
    one(integral_fluctuation_theorem(paths.housekeeping), slack=5e-3)
    # the mean against the integral of the housekeeping rate, by Simpson's rule
    rates = [float(excess_housekeeping(ROTATING, ROTATING.marginal(start, t)).housekeeping) for t in (0.0, 0.25, 0.5)]
    exact = 0.5 * (rates[0] + 4 * rates[1] + rates[2]) / 6
    mean = paths.mean("housekeeping")
    assert abs(float(mean) - exact) <= 4.5 * float(mean.stderr) + float(mean.error) + 1e-3
    assert float(mean) > 0.1


def test_a_driven_rotation_obeys_both_theorems():
    def matrix(t):
        stiffness = 1 + t
        return -torch.stack([torch.stack([stiffness, -0.4 + 0 * t], -1), torch.stack([0.4 + 0 * t, stiffness], -1)], -2)

    process = AffineDiffusion(matrix, 2**0.5, horizon=1.0)
    paths = simulate(process, process.quasi_invariant(0.0), 1.0, 30_000, 50, generator=1, housekeeping=True)
    one(integral_fluctuation_theorem(paths.housekeeping), slack=5e-3)
    one(integral_fluctuation_theorem(paths.hatano_sasa), slack=5e-3)
    assert paths.hatano_sasa.mean() > 0.02 and paths.hatano_sasa.std() > 0.1
    # a wrong sign of the drive's part must show
    wrong = paths.housekeeping + 2 * paths.hatano_sasa
    assert abs(torch.exp(-wrong).mean() - 1) > 0.02


def test_detailed_balance_keeps_house_for_nothing():
    trap = AffineDiffusion([[-1.0]], 2**0.5, lambda t: t[..., None])
    paths = simulate(trap, it.Gaussian(0.0, 1.0), 1.0, 1000, 20, generator=2, housekeeping=True)
    assert torch.allclose(paths.housekeeping, torch.zeros(1000, dtype=F64), atol=1e-12)
    assert torch.allclose(paths.hatano_sasa, paths.work, atol=1e-12)  # dF = 0 and one temperature


def test_housekeeping_of_a_driven_ring_is_its_entropy_production_at_rest():
    ring = Langevin(force=lambda x: 0.5 + torch.sin(x), sigma=2**0.5, periodic=2 * torch.pi)
    rest = steady_state(ring)
    paths = simulate(ring, rest, 1.0, 10_000, 40, generator=3, housekeeping=True, final_law=rest)
    assert torch.allclose(paths.housekeeping, paths.entropy_production, atol=1e-9)
    mean, exact = paths.mean("housekeeping"), float(entropy_production_rate(ring))
    assert abs(float(mean) - exact) <= 4.5 * float(mean.stderr) + float(mean.error)


def test_housekeeping_of_jumps_is_counted():
    chain = MarkovJump([[0.0, 1.5, 1.0], [1.0, 0.0, 1.2], [1.4, 0.7, 0.0]])
    weights = housekeeping_counting(chain)
    paths = simulate(chain, it.Discrete([1.0, 0.0, 0.0]), 1.0, 30_000, counting=weights, generator=4)
    one(integral_fluctuation_theorem(paths.currents["current"]))
    assert paths.currents["current"].std() > 0.1
    balanced = MarkovJump([[0.0, 1.0, 0.0], [2.0, 0.0, 3.0], [0.0, 1.0, 0.0]])
    with pytest.raises(TypeError, match="process must be a MarkovJump or a MarkovChain"):
        housekeeping_counting(ROTATING)
    assert housekeeping_counting(balanced)[0, 1].abs() < 1e-12


def test_odd_velocities_are_refused():
    particle = UnderdampedLangevin(potential=lambda x: (x**2).sum(-1))
    with pytest.raises(ValueError, match="odd velocities"):
        simulate(particle, it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]), 1.0, 100, 10, housekeeping=True)
