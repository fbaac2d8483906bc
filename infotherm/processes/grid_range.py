"""The range of a line that the law of a diffusion reaches: found by implicit steps, which keep densities positive."""

from __future__ import annotations

import numpy as np
import torch

from infotherm.distributions.base import Distribution
from infotherm.processes.base import DiffusionProcess
from infotherm.processes.exponential_fitting import (
    Fluxes,
    LineGrid,
    atoms,
    density,
    has_points,
    integrated,
    is_point,
    masses_on,
    reach,
)
from infotherm.processes.ring import ring_period, scalar_fields

Array = np.ndarray

_INTERVALS = 400
_STEPS = 24  # implicit ones, whose tails are heavier than the true ones: the range is wide enough
_AT_EDGE = 1e-14  # largest share of the highest density that may be at an edge
_NOTHING = 1e-18
_WIDENINGS = 80


def line_grid(process: DiffusionProcess, p0: Distribution, times: Array, intervals: int) -> LineGrid:
    """A grid of so many intervals on the range that the law reaches, or around the ring.

    Raises
    ------
    ValueError
        When mass arrives at the edge however wide the range is.
    """
    if getattr(process, "period", None) is not None:
        period = ring_period(process)
        return _resolving(LineGrid.around(period, intervals), p0)
    lower, upper = _first_range(process, p0, times)
    start = upper - lower
    for _ in range(_WIDENINGS):
        grid = LineGrid.between(lower, upper, _INTERVALS)
        highest = _highest(process, p0, grid, times)
        top = highest.max()
        low, high = highest[:2].max() > _AT_EDGE * top, highest[-2:].max() > _AT_EDGE * top
        width = upper - lower
        if not (low or high):
            reached = np.flatnonzero(highest > _NOTHING * top)
            lower = float(grid.nodes[max(reached[0] - 4, 0)])
            upper = float(grid.nodes[min(reached[-1] + 4, grid.count - 1)])
            return _resolving(_with_node(LineGrid.between(lower, upper, intervals), p0), p0)
        lower, upper = lower - 0.25 * width * low, upper + 0.25 * width * high
        if width > 1e5 * start:
            break
    share = max(float(highest[:2].max()), float(highest[-2:].max())) / float(top)
    raise ValueError(
        f"no range holds the law: on [{lower:.4g}, {upper:.4g}] the density at an edge is still {share:.2g} of its "
        f"largest value. The tails of p0 are too heavy for a grid, or the drift lets states escape"
    )


def _first_range(process: DiffusionProcess, p0: Distribution, times: Array) -> tuple[float, float]:
    if has_points(p0):
        points, _ = atoms(p0)
        low, high = float(points.min()), float(points.max())
        _, diffusion = scalar_fields(process, torch.tensor([low, high], dtype=torch.float64), float(times[0]))
        spread = 4 * float((2 * diffusion.max() * min(float(times[1] - times[0]), 1.0)).sqrt())
        return low - spread, high + spread
    lower, upper = (float(end[0]) for end in p0.bounds())
    low, high = reach(p0, lower, upper)
    looked = np.linspace(low, high, 4001)[1:-1]
    seen = density(p0, looked)
    filled = np.flatnonzero(seen > 1e-15 * seen.max())
    low, high = float(looked[max(filled[0] - 1, 0)]), float(looked[min(filled[-1] + 1, len(looked) - 1)])
    return low - 0.01 * (high - low), high + 0.01 * (high - low)


def _highest(process: DiffusionProcess, p0: Distribution, grid: LineGrid, times: Array) -> Array:
    """The largest density at every node over time."""
    from scipy.linalg import solve_banded

    fluxes = Fluxes(process, grid)
    masses = masses_on(grid, p0)
    highest = masses.copy()
    span = float(times[-1] - times[0])
    ends = np.unique(np.concatenate([span * 2.0 ** -np.arange(1.0, 13.0), np.linspace(0.0, span, _STEPS)]))
    for before, after in zip(ends[:-1], ends[1:], strict=True):
        up, down = fluxes.rates(float(times[0] + after))
        step = after - before
        banded = np.zeros((3, grid.count))
        banded[0, 1:], banded[2, :-1] = -step * down, -step * up
        banded[1] = 1.0
        banded[1, :-1] += step * up
        banded[1, 1:] += step * down
        masses = solve_banded((1, 1), banded, masses)
        highest = np.maximum(highest, masses)
    return highest


def _with_node(grid: LineGrid, p0: Distribution) -> LineGrid:
    """The grid moved so that a single atom is on a node, where it needs no sharing."""
    if not is_point(p0):
        return grid
    points, _ = atoms(p0)
    shift = np.remainder(points[0] - grid.lower, grid.spacing)
    return LineGrid(grid.lower + shift - grid.spacing, grid.spacing, grid.count + 1)


def _resolving(grid: LineGrid, p0: Distribution) -> LineGrid:
    """The grid, halved until a density on its nodes sums to one but for a thousandth.

    Raises
    ------
    ValueError
        When six halvings do not suffice.
    """
    if has_points(p0):
        return grid
    lower, upper = (float(end[0]) for end in p0.bounds())
    if lower != -np.inf or upper != np.inf:
        return grid
    for _ in range(6):
        if grid.period is None:
            total = float(density(p0, grid.nodes).sum() * grid.spacing)
        else:
            total = float(integrated(grid, p0, lower, upper).sum())
        if abs(total - 1) < 1e-3:
            return grid
        intervals = grid.count if grid.period is not None else grid.count - 1
        if grid.period is not None:
            grid = LineGrid.around(grid.period, 2 * intervals)
        else:
            grid = LineGrid(grid.lower, grid.spacing / 2, 2 * intervals + 1)
    raise ValueError(f"p0 must not be so much narrower than the range of its law, {grid.count} nodes do not resolve it")
