"""Entropy production of underdamped processes: equilibrium, relative entropy, draws, refusals."""

import math

import pytest
import torch

from infotherm.distributions import Gaussian
from infotherm.information import kl
from infotherm.processes import UnderdampedLangevin
from infotherm.thermodynamics import entropy_production, entropy_production_rate
from infotherm.thermodynamics.underdamped_rules import linear_motion

PARTICLE = UnderdampedLangevin(potential=lambda x: (x**2).sum(-1), friction=0.7, mass=1.5, temperature=0.8)
LAW = Gaussian([1.0, 0.5], [[0.5, 0.1], [0.1, 0.3]])
EQUILIBRIUM = Gaussian([0.0, 0.0], torch.diag(torch.tensor([0.8 / 2, 0.8 / 1.5], dtype=torch.float64)))


def test_equilibrium_produces_nothing():
    found = entropy_production_rate(PARTICLE, EQUILIBRIUM, 0.0)
    assert found.value.item() <= found.error.item()


def test_a_stream_and_a_hot_start_by_hand():
    # velocities N(u, 2 T / m) independent of positions: (friction / T) (u^2 + T / (2 m))
    law = Gaussian([0.3, 0.4], torch.diag(torch.tensor([2.0, 2 * 0.8 / 1.5], dtype=torch.float64)))
    expected = 0.7 / 0.8 * (0.4**2 + 0.8 / 1.5 / 2)
    assert entropy_production_rate(PARTICLE, law, 0.0).value.item() == pytest.approx(expected, rel=1e-13)


def test_draws_agree():
    """Five standard errors: false alarm 6e-7."""
    found = entropy_production_rate(PARTICLE, LAW, 0.0, method="monte-carlo", generator=1)
    expected = entropy_production_rate(PARTICLE, LAW, 0.0)
    assert abs((found.value - expected.value).item()) <= 5 * found.stderr.item()


def test_the_total_by_three_routes():
    found = entropy_production(PARTICLE, LAW, 2.0)
    balance = found.info["system"] + found.info["medium"]
    assert abs((found.value - balance.value).item()) <= (found.error + balance.error).item()
    final = linear_motion(PARTICLE, 2).marginal(LAW, 2.0)
    expected = kl(LAW, EQUILIBRIUM).value - kl(final, EQUILIBRIUM).value
    assert abs((found.value - expected).item()) <= found.error.item() + 1e-12
    assert found.info["rate"].shape == (33,)


def test_what_has_no_closed_form():
    assert math.isinf(entropy_production_rate(PARTICLE, Gaussian([0.0, 0.0], torch.zeros(2, 2)), 0.0).value.item())
    quartic = UnderdampedLangevin(potential=lambda x: (x**4).sum(-1))
    with pytest.raises(NotImplementedError, match="not linear"):
        entropy_production(quartic, LAW, 1.0)
    with pytest.raises(ValueError, match="positions and velocities"):
        entropy_production_rate(quartic, Gaussian(0.0, 1.0), 0.0)


def test_a_total_in_single_precision():
    single = Gaussian(LAW.mean.float(), LAW.covariance.float())
    found, exact = entropy_production(PARTICLE, single, 2.0), entropy_production(PARTICLE, LAW, 2.0)
    assert found.value.dtype == torch.float32
    for mine, true in ((found, exact), (found.info["medium"], exact.info["medium"])):
        assert abs(mine.value.double() - true.value).item() <= mine.error.item() < 1e-3
