"""Entropy production of Langevin processes on a grid: references, two routes, starts on part of the line."""

import math

import pytest
import torch
from scipy import stats

from infotherm.distributions import Gaussian, as_distribution
from infotherm.information import kl
from infotherm.processes import Langevin, steady_state
from infotherm.thermodynamics import entropy_production

TRAP = Langevin(potential=lambda x: 0.5 * (x**2).sum(-1), sigma=2**0.5)
WELL = Langevin(potential=lambda x: 2 * ((x**2 - 1) ** 2).sum(-1), sigma=2**0.5)


def test_the_relaxation_reference_by_both_routes():
    found = entropy_production(TRAP, Gaussian(2.0, 0.25), 1.0, times=[0.0, 0.5, 1.0])
    assert abs(found.value.item() - 2.044712245104466) <= min(1e-9, found.error.item())
    other = found.info["integral_of_rate"]
    assert abs((found.value - other.value).item()) <= (found.error + other.error).item()
    assert found.info["rate"].value[0].item() == pytest.approx(6.25, abs=1e-7)
    assert abs((found.info["system"].value + found.info["medium"].value - found.value).item()) < 1e-12


def test_a_double_well_approaches_its_equilibrium_by_relative_entropy():
    start = Gaussian(-0.9, 0.06)
    found = entropy_production(WELL, start, 0.5, times=[0.0, 0.5])
    law = steady_state(WELL)
    expected = kl(start, law).value - kl(WELL.marginal(start, 0.5), law).value
    assert abs((found.value - expected).item()) <= found.error.item() + 1e-8


@pytest.mark.slow
def test_a_start_on_part_of_the_line_produces_a_finite_entropy():
    found = entropy_production(TRAP, as_distribution(stats.uniform(-1, 1.5)), 0.5, tolerance=1e-6, times=[0.0, 0.5])
    assert math.isinf(found.info["rate"].value[0].item())
    other = found.info["integral_of_rate"]
    assert abs((found.value - other.value).item()) <= (found.error + other.error).item()
    assert 0 < found.value.item() < 10


def test_atoms_and_refusals():
    assert math.isinf(entropy_production(TRAP, Gaussian(0.0, 0.0), 1.0).value.item())
    assert entropy_production(TRAP, Gaussian(0.0, 1.0), 0.0).value.item() == 0
    with pytest.raises(ValueError, match="route must be"):
        entropy_production(TRAP, Gaussian(0.0, 1.0), 1.0, route="both")
    with pytest.raises(ValueError, match="single numbers for a grid"):
        entropy_production(TRAP, Gaussian(0.0, 1.0), [1.0, 2.0])
    with pytest.raises(NotImplementedError, match="a grid needs D <= 2"):
        entropy_production(TRAP, Gaussian(torch.zeros(3), torch.eye(3)), 1.0)
