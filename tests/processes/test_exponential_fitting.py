"""Exponentially fitted fluxes on lines and rings: laws that they keep exactly, balances, and masses on nodes."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats

from infotherm.distributions import Discrete, Empirical, Gaussian, GaussianMixture, as_distribution
from infotherm.processes import Langevin
from infotherm.processes.exponential_fitting import Fluxes, LineGrid, bernoulli, masses_on

RING = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=lambda x, t: 2**0.5 + 0.3 * torch.cos(x), periodic=math.tau)
SPREADING = Langevin(force=lambda x: -x, sigma=lambda x, t: (2 * (1 + x**2 / 4)).sqrt())  # D = 1 + x^2 / 4


def generator(up, down, ring):
    """dm/dt = A m, entry by entry."""
    count = len(up) + (not ring)
    matrix = np.zeros((count, count))
    for i, (forth, back) in enumerate(zip(up, down, strict=True)):
        j = (i + 1) % count
        matrix[j, i] += forth
        matrix[i, j] += back
    return matrix - np.diag(matrix.sum(0))


def test_bernoulli_keeps_its_digits():
    w = np.array([-800.0, -5.0, -1e-3, -1.1e-8, -9e-9, 0.0, 9e-9, 1.1e-8, 1e-3, 5.0, 700.0])
    with mpmath.workdps(40):
        expected = [float(mpmath.mpf(v) / mpmath.expm1(v)) if v else 1.0 for v in w.tolist()]
    np.testing.assert_allclose(bernoulli(w), expected, rtol=4e-16)
    assert bernoulli(np.array([800.0]))[0] == 0.0


def test_a_law_without_current_is_kept():
    """b / D = -x / (1 + x^2 / 4), so that exp(integral of b / D) / D = (1 + x^2 / 4)^-3."""
    fluxes = Fluxes(SPREADING, LineGrid.between(-3.0, 2.0, 100))
    up, down = fluxes.rates(0.0)
    x = fluxes.grid.nodes
    law = (1 + x**2 / 4) ** -3
    np.testing.assert_allclose(up * law[:-1], down * law[1:], rtol=1e-11)
    np.testing.assert_allclose(fluxes.affinities(0.0), np.log(law[1:] / law[:-1]), rtol=1e-10, atol=1e-12)
    # the mean step and the mean square step per unit of time are b and 2 D, to the second order of the spacing
    steps = [fluxes.grid.spacing**k * (up[1:] + (-1) ** k * down[:-1]) for k in (1, 2)]
    np.testing.assert_allclose(steps[0], -x[1:-1], atol=fluxes.grid.spacing**2)
    np.testing.assert_allclose(steps[1], 2 * (1 + x[1:-1] ** 2 / 4), atol=4 * fluxes.grid.spacing**2)


def test_a_flat_ring_produces_the_force_squared_over_d():
    fluxes = Fluxes(Langevin(force=1.5, sigma=1.2, periodic=3.0), LineGrid.around(3.0, 7))
    rates = fluxes.production(0.0, np.full(7, 1 / 7))
    np.testing.assert_allclose(rates, 1.5**2 / 0.72, rtol=1e-13)


@pytest.mark.parametrize(
    ("process", "grid"),
    [(SPREADING, LineGrid.between(-3.0, 2.0, 20)), (RING, LineGrid.around(math.tau, 21))],
    ids=["line", "ring"],
)
def test_what_is_produced_is_the_change_of_entropy_and_the_medium(process, grid):
    fluxes = Fluxes(process, grid)
    masses = np.random.default_rng(0).dirichlet(np.ones(grid.count))
    moved = generator(*fluxes.rates(0.0), grid.period is not None) @ masses
    produced, medium = fluxes.production(0.0, masses)
    assert abs(moved.sum()) < 1e-13 * np.abs(moved).sum()
    assert produced > 0
    assert produced - medium == pytest.approx(-(moved * np.log(masses)).sum(), rel=1e-11)


def test_masses():
    line, ring = LineGrid.between(-8.0, 8.0, 160), LineGrid.around(math.tau, 12)
    masses = masses_on(line, Gaussian(0.3, 0.5))
    assert masses.sum() == pytest.approx(1.0, abs=1e-14)
    assert (masses * line.nodes).sum() == pytest.approx(0.3, abs=1e-12)
    # cells of a law on part of the line, and of all images around a ring, by distribution functions
    edges = np.append(line.nodes - 0.05, 8.05)
    np.testing.assert_allclose(
        masses_on(line, as_distribution(stats.expon(-1.0, 0.5))),
        np.diff(stats.expon(-1.0, 0.5).cdf(edges)),
        rtol=1e-6,
        atol=1e-15,
    )
    edges = np.append(ring.nodes - math.pi / 12, math.tau - math.pi / 12)
    images = math.tau * np.arange(-4, 5)[:, None]
    expected = np.diff(stats.norm(2.0, 3.0).cdf(edges + images)).sum(0)
    np.testing.assert_allclose(masses_on(ring, Gaussian(2.0, 9.0)), expected, atol=1e-5)


def test_atoms_keep_their_mean():
    grid = LineGrid.between(-1.0, 2.0, 6)
    masses = masses_on(grid, Empirical([[-0.9], [0.1], [1.5], [1.5]]))
    assert (masses * grid.nodes).sum() == pytest.approx(0.55, abs=1e-15)
    np.testing.assert_allclose(masses, [0.2, 0.05, 0.2, 0.05, 0.0, 0.5, 0.0], atol=1e-15)
    around = masses_on(LineGrid.around(4.0, 4), Gaussian(-0.25, 0.0))  # between the last node and the first
    np.testing.assert_allclose(around, [0.75, 0.0, 0.0, 0.25], atol=1e-15)
    assert masses_on(LineGrid.between(0.0, 2.0, 2), Discrete([0.2, 0.5, 0.3])).tolist() == [0.2, 0.5, 0.3]


def test_a_law_that_is_not_on_the_grid_is_refused():
    with pytest.raises(ValueError, match="p0 must have a finite density on the grid; its probability there sums to 0"):
        masses_on(LineGrid.between(0.0, 1.0, 10), Gaussian(100.0, 1.0))
    with pytest.raises(ValueError, match="atoms that cannot be listed"):
        masses_on(LineGrid.between(0.0, 9.0, 9), GaussianMixture([0.5, 0.5], [[1.0], [2.0]], torch.zeros(2, 1, 1)))
