"""Laws of the line brought onto a ring."""

from __future__ import annotations

import math

import torch

from infotherm.distributions.base import Distribution
from infotherm.processes.exponential_fitting import LineGrid, integrated, reach
from infotherm.processes.grid_density import GridDensity

_NODES = 2048


def wrapped(p: Distribution, period: float) -> Distribution:
    """The law of x modulo the period: the density summed over all its images; p itself where it is on the ring already.

    Raises
    ------
    ValueError
        When the density vanishes somewhere on the ring, so that its logarithm has no spline.
    """
    if isinstance(p, GridDensity) and p.periods == (period,):
        return p
    lower, upper = (float(end[0]) for end in p.bounds())
    if lower == -math.inf and upper == math.inf:
        low, high = reach(p, lower, upper)
        grid = LineGrid.around(period, _NODES)
        nodes = torch.from_numpy(grid.nodes)
        images = torch.arange(math.floor(low / period) - 1, high // period + 2, dtype=torch.float64) * period
        log_density = torch.logsumexp(p.log_prob((nodes[:, None] + images)[..., None]), 1)
        return GridDensity([nodes], log_density, [period], accuracy=1e-14)
    if lower >= 0 and upper <= period:
        return p  # one period or a part of it
    masses = integrated(LineGrid.around(period, _NODES), p, lower, upper)
    if not (masses > 0).all():
        raise ValueError(
            f"p must have a density everywhere on the ring of period {period:.6g}, or lie within [0, period]"
        )
    grid = LineGrid.around(period, _NODES)
    return GridDensity([torch.from_numpy(grid.nodes)], torch.from_numpy(masses).log(), [period], accuracy=1e-4)
