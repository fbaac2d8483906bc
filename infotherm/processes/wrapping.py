"""Laws of the line brought onto a ring."""

from __future__ import annotations

import math

import torch

from infotherm.distributions.base import Distribution
from infotherm.processes.exponential_fitting import LineGrid, integrated, reach
from infotherm.processes.grid_density import GridDensity

_NODES = 2048
_SIDE = 256  # nodes along an axis of a torus
_REACH = 8.0  # standard deviations beyond which there is no mass


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


def wrapped_plane(p: Distribution, periods: list[float]) -> Distribution:
    """The law of two coordinates modulo their periods (infinite for none); p itself where no two images meet.

    Images are summed on a grid; laws whose tails are far heavier than those of a Gaussian lose what lies beyond eight
    standard deviations.
    """
    if isinstance(p, GridDensity) and any(p.periods):
        return p
    mean, deviation = p.mean, p.variance.sqrt()
    if all(2 * _REACH * float(wide) <= period for wide, period in zip(deviation, periods, strict=True)):
        return p
    axes, images = [], []
    for middle, wide, period in zip(mean.tolist(), deviation.tolist(), periods, strict=True):
        low, high = middle - _REACH * wide, middle + _REACH * wide
        if math.isinf(period):
            axes.append(torch.linspace(low, high, _SIDE + 1, dtype=torch.float64))
            images.append(torch.zeros(1, dtype=torch.float64))
        else:
            axes.append(torch.arange(_SIDE, dtype=torch.float64) * period / _SIDE)
            images.append(torch.arange(math.floor(low / period), high // period + 1, dtype=torch.float64) * period)
    nodes = torch.cartesian_prod(*axes)
    terms = [p.log_prob((nodes + shift).to(p.dtype)).double() for shift in torch.cartesian_prod(*images)]
    log_density = torch.logsumexp(torch.stack(terms), 0).reshape(len(axes[0]), len(axes[1]))
    laps = [None if math.isinf(period) else period for period in periods]
    law = GridDensity(axes, log_density, laps)
    here = law.log_prob(nodes)
    change = (law.thinned().log_prob(nodes) - here).exp() - 1
    law.accuracy = float((change.abs() * here.exp()).sum() / here.exp().sum())
    return law
