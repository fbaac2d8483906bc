"""Extrapolated means and stationary averages against exact numbers, and what they refuse."""

import math

import pytest
import torch

import infotherm as it
from infotherm.processes import AffineDiffusion, Langevin, OrnsteinUhlenbeck
from infotherm.thermodynamics import extrapolated_mean, stationary_average

F64 = torch.float64
NORMAL = it.Gaussian(0.0, 1.0)
WELL = Langevin(potential=lambda x: ((x**2 - 1) ** 2).sum(-1), sigma=2**0.5)


def square(x):
    return x[..., 0] ** 2


def double_well_mean_square():
    from scipy.integrate import quad

    def weight(x):
        return math.exp(-((x * x - 1) ** 2))

    return quad(lambda x: x * x * weight(x), -6, 6)[0] / quad(weight, -6, 6)[0]


def test_extrapolation_removes_the_first_order_of_the_step():
    # E x^2 of an Ornstein-Uhlenbeck process at time 1 from rest: Euler steps of 0.25 are 0.05 off and more
    truth = 1 - math.exp(-2)
    found = extrapolated_mean(
        OrnsteinUhlenbeck(1.0, 2**0.5), it.Gaussian(0.0, 1e-12), 1.0, square, 50_000, 4, generator=0
    )
    coarse = abs(float(found.info["coarse"]) - truth)
    off = abs(float(found) - truth)
    assert coarse > 0.08 and off < 0.25 * coarse
    assert off <= 4.5 * float(found.stderr) + float(found.error)
    assert float(found.error) > 4.5 * float(found.stderr), "here the error of the step dominates"


def test_a_ledger_entry_can_be_extrapolated():
    trap = AffineDiffusion([[-1.0]], 2**0.5, lambda t: 2 * t[..., None])
    found = extrapolated_mean(trap, NORMAL, 1.0, "work", 40_000, 5, generator=1, method="stochastic-heun")
    truth = 4 * math.exp(-1)
    assert abs(float(found) - truth) <= 4.5 * float(found.stderr) + float(found.error)
    assert float(found.error) < 0.05


def test_stationary_averages_of_a_double_well():
    start = it.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.15]], [[0.15]]])
    truth = double_well_mean_square()
    found = stationary_average(WELL, square, start, 6.0, 1500, 240, burn_in=2.0, generator=0)
    assert abs(float(found) - truth) <= 4.5 * float(found.stderr) + float(found.error)
    assert float(found.error) < 0.03 and found.info["halves"].shape == (2,)


def test_what_cannot_be_done_is_refused():
    ou = OrnsteinUhlenbeck(1.0, 1.0)
    with pytest.raises(ValueError, match="exact steps are exact: there is nothing to extrapolate"):
        extrapolated_mean(ou, NORMAL, 1.0, square, 100, 4, method="exact")
    with pytest.raises(ValueError, match="observable must be work, heat, medium_entropy or a function"):
        extrapolated_mean(ou, NORMAL, 1.0, "entropy_production", 100, 4)
    with pytest.raises(ValueError, match="must not change in time"):
        stationary_average(AffineDiffusion([[-1.0]], lambda t: 1 + t), square, NORMAL, 1.0, 100, 4, burn_in=0.1)
    with pytest.raises(ValueError, match="burn_in must lie in"):
        stationary_average(ou, square, NORMAL, 1.0, 100, 4, burn_in=1.0)
    with pytest.raises(ValueError, match="n_steps must be even"):
        stationary_average(ou, square, NORMAL, 1.0, 100, 5, burn_in=0.1)
