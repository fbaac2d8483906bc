"""Quantiles and levels from densities alone, against closed forms in both tails."""

import math

import pytest
import scipy.stats
import torch

import infotherm as it
from infotherm.processes.grid_density import GridDensity
from infotherm.transport.density_table import DensityTable, density_table
from infotherm.transport.quantiles import quantiles_of


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


_PROBABILITIES = [1e-15, 1e-9, 1e-3, 0.2, 0.5]


@pytest.mark.parametrize(
    "frozen",
    [
        scipy.stats.norm(1.0, 2.0),
        scipy.stats.t(3.0),
        scipy.stats.expon(),
        scipy.stats.gamma(2.5),
        scipy.stats.logistic(),
        scipy.stats.laplace(),
    ],
    ids=lambda frozen: frozen.dist.name,
)
def test_levels_and_quantiles_are_those_of_closed_forms_in_both_tails(frozen):
    table = DensityTable(it.distributions.as_distribution(frozen))
    low, high = _t(frozen.ppf(_PROBABILITIES)), _t(frozen.isf(_PROBABILITIES))
    p = _t(_PROBABILITIES)
    spread = float(frozen.ppf(0.95) - frozen.ppf(0.05))
    assert abs(table.mass - 1) < 1e-12 and table.error < 1e-12
    for points, tail, side in ((low, table.levels(low)[0], (p, 1 - p)), (high, table.levels(high)[1], (1 - p, p))):
        assert torch.allclose(tail, p, rtol=2e-12, atol=0)
        assert torch.allclose(table.quantiles(*side), points, rtol=1e-12, atol=1e-13 * spread)
    below, above = table.levels(torch.cat([low, high]))
    assert torch.allclose(below + above, torch.ones(10, dtype=torch.float64), rtol=0, atol=1e-13)


def test_an_end_with_a_jump_a_kink_and_a_density_that_diverges():
    wall = it.distributions.LogDensity.unnormalised(lambda x: -x[..., 0], lower=0.5, upper=2.0, breakpoints=[1.0])
    table = density_table(wall)
    z = math.exp(-0.5) - math.exp(-2.0)
    assert table.levels(_t([1.0]))[0].item() == pytest.approx((math.exp(-0.5) - math.exp(-1.0)) / z, rel=1e-13)
    assert table.levels(_t([0.1, 3.0]))[0].tolist() == [0.0, 1.0]
    # singular at 0: P(X <= x) = sqrt(x)
    root = it.distributions.LogDensity(lambda x: -0.5 * x[..., 0].log() - math.log(2), lower=1e-300, upper=1.0)
    assert density_table(root).levels(_t([1e-8, 0.25]))[0].tolist() == pytest.approx([1e-4, 0.5], rel=1e-6)


def test_boltzmann_and_grid_laws_have_quantiles_and_so_a_distance():
    well = it.processes.Langevin(potential=lambda x: 0.5 * x.square().sum(-1), temperature=4.0).quasi_invariant(0.0)
    assert quantiles_of(well) is not None
    distance = it.wasserstein2(well, it.Gaussian(1.0, 1.0))
    assert distance.value.item() == pytest.approx(math.sqrt(2), abs=1e-12)
    x = torch.linspace(-9.0, 9.0, 361, dtype=torch.float64)
    grid = GridDensity([x], -0.5 * x.square())
    distance = it.wasserstein2(grid, it.Gaussian(1.0, 4.0))
    assert distance.value.item() == pytest.approx(math.sqrt(2), abs=1e-9)
    ring = GridDensity([0.1 * torch.arange(60, dtype=torch.float64)], torch.zeros(60), [6.0])
    assert quantiles_of(ring) is None


def test_what_is_refused():
    with pytest.raises(ValueError, match="one scalar law with a density"):
        DensityTable(it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="measure counting"):
        DensityTable(it.Rademacher())
