"""Where a quadrature over a scalar law must look: its bulk, its tails, and the singular ends of its support."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

LEVELS = (0.01, 0.25, 0.5, 0.75, 0.99)  # the quantiles that anchor the bulk
_NOTHING = -42.0  # log of the mass beyond which a ladder need not go
_LONGEST = 300.0  # decades of the coordinate that a ladder may span
_RUNGS = 60


def landmarks(log_density: Callable[[Tensor], Tensor], lower: Tensor, upper: Tensor, anchors: Tensor) -> Tensor:
    """Points that split a scalar law into smooth pieces, shape (P, *batch): bulk, tails, ends of the support.

    Towards each end goes a geometric ladder of points, until u p(u), the mass at about the distance u, is below 1e-18:
    a Gaussian tail needs few rungs, a power law many, and so does an integrable singularity at a finite end.

    Parameters
    ----------
    log_density
        Maps nodes (M, *batch) to (M, *batch).
    lower, upper
        Ends of the support, shape (*batch), possibly infinite.
    anchors
        Approximate quantiles at `LEVELS`, shape (5, *batch); sample quantiles will do.
    """
    with torch.no_grad():
        centre = anchors[2]
        spread = _spread(anchors, lower, upper)
        steps = torch.tensor([-6.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 6.0], dtype=centre.dtype, device=centre.device)
        bulk = centre + steps.reshape(-1, *[1] * centre.ndim) * spread
        ladders = [
            _ladder(log_density, centre, spread, lower, -1.0),
            _ladder(log_density, centre, spread, upper, 1.0),
        ]
        points = torch.cat([anchors, bulk, *ladders])
        return torch.where(torch.isfinite(points), points, centre)


def _spread(anchors: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """A positive width of the bulk: the interquartile range, or whatever else there is."""
    spread = anchors[3] - anchors[1]
    for other in (anchors[4] - anchors[0], upper - lower, anchors[2].abs()):
        spread = torch.where((spread > 0) & torch.isfinite(spread), spread, other)
    return torch.where((spread > 0) & torch.isfinite(spread), spread, torch.ones_like(spread))


def _ladder(
    log_density: Callable[[Tensor], Tensor], centre: Tensor, spread: Tensor, end: Tensor, side: float
) -> Tensor:
    """Points between the centre and one end, (R, *batch): a ladder down to a finite end, or out to an infinite one."""
    finite = torch.isfinite(end)
    edge = torch.where(finite, end, centre)
    width = torch.where(finite, side * (end - centre), spread).clamp_min(torch.finfo(centre.dtype).tiny)

    def place(decades: Tensor) -> tuple[Tensor, Tensor]:
        """The distance from the edge, and the point there."""
        distance = width * torch.pow(10.0, torch.where(finite, -decades, decades))
        return distance, torch.where(finite, edge - side * distance, edge + side * distance)

    ones = [1] * centre.ndim
    grid = torch.arange(0.0, _longest(centre), dtype=centre.dtype, device=centre.device).reshape(-1, *ones)
    distance, x = place(grid + torch.zeros_like(centre))
    log_mass = torch.nan_to_num(log_density(x) + distance.log(), nan=-math.inf)
    decades = torch.where(log_mass > _NOTHING, grid + 1, 1.0).amax(0)
    # numbers near an end other than zero are no finer than its rounding
    finest = torch.finfo(centre.dtype).eps * edge.abs()
    decades = torch.where(finite & (finest > 0), torch.minimum(decades, (width / finest).log10()), decades)
    # p ~ u^a with a = 0, 1, 2, ... needs no ladder
    power = (log_mass[4] - log_mass[6]) / math.log(100.0) - 1
    decades = torch.where(finite & (power > -0.5) & ((power - power.round()).abs() < 1e-3), 2.0, decades)
    rungs = min(_RUNGS, math.ceil(1.5 * decades.max().item())) if decades.numel() else 1
    ladder = torch.arange(1, rungs + 1, dtype=centre.dtype, device=centre.device).reshape(-1, *ones) / rungs
    return place(ladder * decades.clamp_min(1.0))[1]


def _longest(x: Tensor) -> float:
    return min(_LONGEST, -math.log10(torch.finfo(x.dtype).tiny) - 8)


def sample_quantiles(draws: Tensor) -> Tensor:
    """The quantiles of draws (n, *batch) at `LEVELS`, shape (5, *batch)."""
    ordered = draws.sort(dim=0).values
    picks = [min(len(ordered) - 1, max(0, round(level * (len(ordered) - 1)))) for level in LEVELS]
    return ordered[picks]
