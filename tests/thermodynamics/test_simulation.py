"""Simulated paths against closed forms, identities of each single path, and refusals.

Sampled numbers are compared at 4.5 standard errors: a false alarm in one of 150 000 comparisons.
"""

import math

import pytest
import torch

import infotherm as it
from infotherm.processes import (
    AffineDiffusion,
    Langevin,
    OrnsteinUhlenbeck,
    UnderdampedLangevin,
    VarianceExploding,
    VariancePreserving,
)
from infotherm.thermodynamics import entropy_production, simulate

F64 = torch.float64
NORMAL = it.Gaussian(0.0, 1.0)
SQUARE = it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
TRAP = AffineDiffusion([[-1.0]], 2**0.5, lambda t: t[..., None])
MOVED = {"potential": lambda x, c: 0.5 * ((x - c) ** 2).sum(-1), "protocol": lambda t: t}
ROTATING = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)


def agrees(estimate, value, slack=0.0):
    assert abs(float(estimate) - value) <= 4.5 * float(estimate.stderr) + float(estimate.error) + slack


# -- closed forms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "process",
    [TRAP, Langevin(**MOVED, sigma=2**0.5)],
    ids=["affine", "langevin"],
)
def test_work_of_a_trap_that_is_moved(process):
    # speed 1, stiffness, mobility and temperature 1, time 2: Gaussian with mean 1 + exp(-2) and variance twice that
    mean = 1 + math.exp(-2)
    paths = simulate(process, NORMAL, 2.0, 20_000, 40, generator=1, final_law=False)
    agrees(paths.mean("work"), mean, slack=2e-3)
    assert paths.work.var().item() == pytest.approx(2 * mean, rel=4.5 * (2 / 20_000) ** 0.5 + 2e-3)
    assert torch.exp(-paths.work).mean().item() == pytest.approx(1.0, abs=0.1)


def test_work_of_an_underdamped_particle_obeys_jarzynski_at_a_coarse_step():
    process = UnderdampedLangevin(**MOVED, friction=1.0)
    paths = simulate(process, SQUARE, 1.0, 40_000, 10, generator=2)
    weights = torch.exp(-paths.work)
    assert weights.mean().item() == pytest.approx(1.0, abs=4.5 * weights.std().item() / 200 + 5e-3)
    assert torch.allclose(paths.heat, paths.medium_entropy)
    assert "final_law" in paths.missing["entropy_production"]


@pytest.mark.parametrize(
    ("process", "p0"),
    [
        (OrnsteinUhlenbeck(1.0, 2**0.5), it.Gaussian(2.0, 0.25)),
        (VariancePreserving(0.1, 8.0), it.GaussianMixture([0.4, 0.6], [[-1.0], [1.0]], [[[0.2]], [[0.1]]])),
        (VarianceExploding(0.7), it.Gaussian([1.0, 0.0], [[1.0, 0.3], [0.3, 0.5]])),
        (TRAP, it.Gaussian(0.5, 2.0)),
    ],
    ids=["relaxation", "mixture", "pure noise", "driven"],
)
def test_entropy_production_is_that_of_the_closed_form(process, p0):
    paths = simulate(process, p0, 1.0, 30_000, 40, generator=3)
    exact = float(entropy_production(process, p0, 1.0))
    agrees(paths.mean("entropy_production"), exact, slack=2e-3)
    agrees(paths.mean("log_path_ratio"), exact, slack=2e-2)  # of the steps: coarse-grained where it is driven
    # exp(-S) is bounded here well enough for its mean to be judged
    weights = torch.exp(-paths.entropy_production)
    assert weights.mean().item() == pytest.approx(1.0, abs=4.5 * weights.std().item() / 30_000**0.5 + 5e-3)


def test_rotation_costs_8_a_unit_time_at_a_coarse_step_too():
    paths = simulate(ROTATING, SQUARE, 1.0, 30_000, 20, generator=4)
    agrees(paths.mean("entropy_production"), 8.0, slack=0.03)
    # what the steps alone show is the divergence of their kernel from its reversal: with the noise covariance C = v 1
    # and gain G, E |x - G x'|^2 - E |x' - G x|^2 over 2 v, exactly, which is less
    channel = ROTATING.transition(0.0, 0.05)
    gain, noise = channel.matrix(2), channel.noise_covariance(2)
    joint = torch.cat([torch.eye(2, dtype=F64), gain], 0)
    turned = torch.cat([torch.eye(2, dtype=F64), -gain], 1) @ joint
    own = turned @ turned.mT + gain @ noise @ gain.mT
    seen = 0.5 * torch.trace(torch.linalg.solve(noise, own) - torch.eye(2, dtype=F64)).item() / 0.05
    assert 7.0 < seen < 7.9
    agrees(paths.mean("log_path_ratio"), seen)


def test_multiplicative_noise_has_the_divergence_in_its_entropy():
    # dX = b dt + sigma(x) dB with b = div D + D f: the law exp(-x^2 / 2) is kept when f = -x, without any entropy
    def sigma(x, c):
        return (2 * (1 + 0.5 * torch.sin(x))).sqrt()

    process = Langevin(force=lambda x: 0.5 * torch.cos(x) - (1 + 0.5 * torch.sin(x)) * x, sigma=sigma)
    paths = simulate(process, NORMAL, 1.0, 2000, 100, generator=9, final_law=NORMAL)
    agrees(paths.mean("entropy_production"), 0.0, slack=0.02)
    assert paths.entropy_production.std().item() < 0.15  # zero on every path, but for the step
    assert torch.equal(paths.log_path_ratio, paths.entropy_production)


def test_a_seed_gives_the_same_paths_however_many_there_are():
    few = simulate(TRAP, NORMAL, 1.0, 16_384, 4, generator=14)
    many = simulate(TRAP, NORMAL, 1.0, 40_000, 4, generator=14)
    again = simulate(TRAP, NORMAL, 1.0, 40_000, 4, generator=torch.Generator().manual_seed(14))
    assert torch.equal(few.final, many.final[:16_384]) and torch.equal(many.work, again.work)
    assert not torch.equal(few.final, simulate(TRAP, NORMAL, 1.0, 16_384, 4, generator=15).final)
    blocks = many.final[:16_384], many.final[16_384:32_768]
    assert abs(torch.corrcoef(torch.cat(blocks, 1).mT)[0, 1]) < 4.5 / 128
    assert few.streams == many.streams


def test_float32_paths_stay_float32_and_agree():
    single = simulate(TRAP, NORMAL, 1.0, 30_000, 20, generator=16, dtype=torch.float32)
    assert single.final.dtype == single.work.dtype == torch.float32
    mean = 1 + math.exp(-1) - 1
    agrees(single.mean("work"), mean, slack=2e-3)


def test_intervals_cover():
    truth = 1 + math.exp(-2)
    inside = 0
    for seed in range(60):
        low, high = simulate(TRAP, NORMAL, 2.0, 100, 10, generator=seed, final_law=False).mean("work").interval(0.95)
        inside += bool(low <= truth <= high)
    assert 50 <= inside  # binomial: below 50 with a probability of 0.02 %


def test_progress_is_told():
    told = []
    simulate(TRAP, NORMAL, 1.0, 40_000, 2, progress=lambda done, total: told.append((done, total)), final_law=False)
    assert told == [(16_384, 40_000), (32_768, 40_000), (40_000, 40_000)]
