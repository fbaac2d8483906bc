"""Plans of runs: frozen drives and noises give the steps written out by hand, and the exact ones those of expm."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm, solve_continuous_lyapunov

from infotherm.processes import (
    AffineDiffusion,
    Langevin,
    OrnsteinUhlenbeck,
    UnderdampedLangevin,
    VariancePreserving,
)
from infotherm.processes.plans import exact_plan, kicked, planned

F64 = torch.float64
TIMES = torch.tensor([0.0, 0.1, 0.4, 0.6], dtype=F64)
X = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
NOISE = torch.randn(5, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
RATE = [[1.0, -0.5], [0.3, 2.0]]
SIGMA = [[1.0, 0.0], [0.5, 0.7]]

# process, drift(x, t), sigma(x, t) as a matrix or one number for each coordinate, and whether the drift is driven
STEPS = {
    "one number": (OrnsteinUhlenbeck(2.0, 0.5), lambda x, t: -2 * x, lambda x, t: 0.5, False),
    "a number in time": (
        VariancePreserving(0.5, 3.0),
        lambda x, t: -0.5 * (0.5 + 2.5 * t) * x,
        lambda x, t: math.sqrt(0.5 + 2.5 * t),
        True,
    ),
    "a number and an offset": (
        AffineDiffusion(-1.5 * torch.eye(2, dtype=F64), 0.3, drift_offset=lambda t: torch.stack([t, 1 - t], -1)),
        lambda x, t: -1.5 * x + torch.tensor([t, 1 - t], dtype=F64),
        lambda x, t: 0.3,
        True,
    ),
    "matrices": (
        OrnsteinUhlenbeck(RATE, SIGMA),
        lambda x, t: -x @ torch.tensor(RATE, dtype=F64).T,
        lambda x, t: torch.tensor(SIGMA, dtype=F64),
        False,
    ),
    "a protocol": (
        Langevin(potential=lambda x, c: 0.25 * ((x - c) ** 4).sum(-1), sigma=1.2, protocol=lambda t: t**2),
        lambda x, t: -((x - t**2) ** 3),
        lambda x, t: 1.2,
        True,
    ),
    "multiplicative": (
        Langevin(force=lambda x: -x, sigma=lambda x, t: 1 + 0.2 * torch.cos(x)),
        lambda x, t: -x,
        lambda x, t: torch.diag_embed(1 + 0.2 * torch.cos(x)),
        False,
    ),
}


@pytest.mark.parametrize(("process", "drift", "sigma", "driven"), STEPS.values(), ids=list(STEPS))
def test_a_step_is_the_one_written_out(process, drift, sigma, driven):
    x, plan = planned(process, X, TIMES)
    assert plan.driven == driven
    for k, (t, h) in enumerate(((0.05, 0.1), (0.25, 0.3), (0.5, 0.2))):
        assert plan.lengths[k] == pytest.approx(h, rel=1e-14)
        moved = x + plan.lengths[k] * plan.drift(x, plan.drives[k])
        scale = sigma(x, t)
        shaken = scale * NOISE if isinstance(scale, float) else (scale @ NOISE[..., None])[..., 0]
        expected = X + h * drift(X, t) + math.sqrt(h) * shaken
        torch.testing.assert_close(kicked(moved, NOISE, plan, k, x), expected, rtol=1e-12, atol=1e-13)


def test_exact_steps_have_the_moments_of_expm():
    process = OrnsteinUhlenbeck(RATE, SIGMA, mean=[0.5, -1.0])
    plan = exact_plan(process, X, TIMES)
    rate, noise, centre = np.array(RATE), np.array(SIGMA) @ np.array(SIGMA).T, np.array([0.5, -1.0])
    kept = solve_continuous_lyapunov(rate, noise)
    for k, h in enumerate((0.1, 0.3, 0.2)):
        gain = expm(-rate * h)
        mean = centre + (X.numpy() - centre) @ gain.T
        np.testing.assert_allclose(plan.drift(X, plan.drives[k]).numpy(), mean, rtol=1e-12, atol=1e-13)
        factor = plan.noises[k].numpy()
        np.testing.assert_allclose(factor @ factor.T, kept - gain @ kept @ gain.T, rtol=1e-11, atol=1e-14)
    number = exact_plan(OrnsteinUhlenbeck(2.0, 0.5), X, TIMES)  # and of a number, without matrices
    assert number.drives == pytest.approx(np.exp(-2 * np.array([0.1, 0.3, 0.2])), rel=1e-14)
    assert number.noises == pytest.approx(np.sqrt(0.0625 * -np.expm1(-4 * np.array([0.1, 0.3, 0.2]))), rel=1e-13)


def test_a_control_that_no_force_looks_at_drives_nothing():
    process = Langevin(force=lambda x: -x, sigma=1.0, protocol=lambda t: t)
    assert not planned(process, X, TIMES)[1].driven


@pytest.mark.parametrize(
    ("process", "x", "times", "error", "message"),
    [
        (OrnsteinUhlenbeck(1.0, 1.0), X, [0.0, 0.2, 0.1], ValueError, "times must be the increasing edges"),
        (OrnsteinUhlenbeck(1.0, 1.0), X, [0.0], ValueError, "times must be the increasing edges"),
        (OrnsteinUhlenbeck(RATE, SIGMA), X[:, :1], TIMES, ValueError, r"x must have shape \(..., 2\); got \(5, 1\)"),
        (OrnsteinUhlenbeck([[[1.0]], [[2.0]]], 1.0), X[:, :1], TIMES, ValueError, "one process at a time"),
        (UnderdampedLangevin(potential=lambda x: (x**2).sum(-1)), X, TIMES, TypeError, "stepped by BAOAB"),
    ],
)
def test_bad_input(process, x, times, error, message):
    with pytest.raises(error, match=message):
        planned(process, x, times)
