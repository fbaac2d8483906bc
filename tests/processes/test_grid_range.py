"""Ranges that hold a law for the whole time, against the closed marginals of a trap."""

import math

import numpy as np
import pytest
from scipy import stats

from infotherm.distributions import Empirical, Gaussian
from infotherm.processes import Langevin
from infotherm.processes.grid_range import line_grid

TRAP = Langevin(force=lambda x: -x, sigma=2**0.5)
TIMES = np.linspace(0.0, 1.5, 4)


def trapped(t, mean, variance):
    """The law of the trap at time t."""
    return stats.norm(mean * math.exp(-t), math.sqrt(1 + (variance - 1) * math.exp(-2 * t)))


@pytest.mark.parametrize(("mean", "variance"), [(5.0, 0.04), (0.0, 9.0)])
def test_the_range_holds_the_law_at_all_times(mean, variance):
    grid = line_grid(TRAP, Gaussian(mean, variance), TIMES, 120)
    lower, upper = grid.nodes[[0, -1]]
    for t in np.linspace(0.0, 1.5, 16):
        law = trapped(t, mean, variance)
        assert law.cdf(lower) + law.sf(upper) < 1e-14
    # and not much more: beyond it no digit is lost
    widest = max(math.sqrt(variance), 1.0)
    assert upper - lower < abs(mean) + 40 * widest
    assert grid.count == 121


def test_atoms():
    point = line_grid(TRAP, Gaussian(0.37, 0.0), TIMES, 100)
    assert np.abs(point.nodes - 0.37).min() < 1e-13
    assert point.nodes[0] < 0.37 - 6 and point.nodes[-1] > 0.37 + 6
    several = line_grid(TRAP, Empirical([[-4.0], [2.0]]), TIMES, 100)
    assert several.nodes[0] < -8.0 and several.nodes[-1] > 6.0


def test_narrow_laws_are_resolved():
    spread = 0.02
    grid = line_grid(TRAP, Gaussian(1.0, spread**2), TIMES, 100)

    def total(spacing):
        nodes = np.arange(grid.lower, grid.lower + grid.spacing * grid.count, spacing)
        return spacing * stats.norm(1.0, spread).pdf(nodes).sum()

    assert (grid.count - 1) % 100 == 0 and abs(total(grid.spacing) - 1) < 1e-3
    assert abs(total(2 * grid.spacing) - 1) > 1e-3  # half of the nodes would not do


def test_a_ring_is_its_own_range():
    ring = Langevin(force=1.0, sigma=1.0, periodic=3.0)
    grid = line_grid(ring, Gaussian(0.0, 1.0), TIMES, 60)
    np.testing.assert_allclose(grid.nodes, 0.05 * np.arange(60), atol=1e-15)
    assert grid.period == 3.0


def test_refusals():
    with pytest.raises(ValueError, match="no range holds the law"):
        line_grid(Langevin(force=lambda x: x**3, sigma=1.0), Gaussian(0.0, 1.0), TIMES, 100)
    with pytest.raises(ValueError, match="p0 must not be so much narrower than the range of its law"):
        line_grid(TRAP, Gaussian(1.0, 1e-10), TIMES, 100)
