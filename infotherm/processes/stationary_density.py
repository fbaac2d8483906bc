"""Steady states of diffusions of one or two coordinates: closed forms on lines and rings, a grid in the plane."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from infotherm.core.rules import gauss_legendre
from infotherm.processes.base import DiffusionProcess
from infotherm.processes.grid_density import GridDensity
from infotherm.processes.ring import converged_ring, ring_integrals, ring_period, scalar_fields

_LOWEST = 34.0  # nats below the top at which a density is nothing
_INTERVALS = 2048
_FINEST = 2**18
_WANTED = 1e-10
_WIDEST = 1e9


def stationary_density(process: DiffusionProcess, t: float, dim: int) -> GridDensity:
    """The law that the process frozen at time t keeps for ever.

    On a ring by the closed form of `processes.ring`; on a line the one without current, p = exp(integral of b / D) / D;
    in the plane by finite volumes.

    Parameters
    ----------
    process
        A diffusion with D = 1 or 2.
    t
        The time at which it is frozen.
    dim
        Number of coordinates.

    Raises
    ------
    ValueError
        When no such law can be normalised, or D > 2.
    """
    if dim > 2:
        raise ValueError(f"a steady state on a grid needs D <= 2; got D = {dim}: simulate a long time instead")
    if dim == 2:
        from infotherm.processes.plane import stationary_plane

        return stationary_plane(process, t)
    period = getattr(process, "period", None)
    if period is not None and math.isfinite(float(period.reshape(-1)[0])):
        return _on_ring(process, t)
    return _on_line(process, t)


def _on_ring(process: DiffusionProcess, t: float) -> GridDensity:
    """The closed form on uniform nodes, carried there from the nodes of the quadrature."""
    from scipy.interpolate import BarycentricInterpolator

    period = ring_period(process)
    now, before = converged_ring(process, t)
    panels, points = now.nodes.shape
    count = max(1024, 8 * panels)
    nodes = np.arange(count) * period / count
    panel = np.minimum((nodes / period * panels).astype(np.int64), panels - 1)
    place = nodes / period * panels - panel
    reference = (now.nodes[0] / now.nodes.new_tensor(period / panels)).numpy()
    basis = BarycentricInterpolator(reference, np.eye(points))(place)  # (count, points)
    log_density = (basis * now.log_density.numpy()[panel]).sum(1)
    coarse = ring_integrals(process, t, panels // 2) if len(before.nodes) != panels // 2 else before
    accuracy = abs(now.log_normaliser - coarse.log_normaliser) + 1e-14 * (1 + now.largest_exponent)
    return GridDensity(
        [torch.from_numpy(nodes)],
        torch.from_numpy(log_density),
        [period],
        accuracy=accuracy,
        info={"affinity": now.affinity, "current": now.current()},
    )


def _on_line(process: DiffusionProcess, t: float) -> GridDensity:
    lower, upper = -1.0, 1.0
    while True:
        nodes, log_density = _without_current(process, t, lower, upper, _INTERVALS)
        top = log_density.max()
        low, high = log_density[0] > top - _LOWEST, log_density[-1] > top - _LOWEST
        # beyond the edges there may be more: a look four times as far
        wide, far = _without_current(
            process, t, lower - 1.5 * (upper - lower), upper + 1.5 * (upper - lower), _INTERVALS
        )
        near = far[(wide >= lower) & (wide <= upper)].max()
        more = bool(far.max() > near) or bool((far[[0, -1]] > near - _LOWEST).any())
        if not (low or high or more):
            break
        width = upper - lower
        if width > _WIDEST:
            raise ValueError(
                f"{type(process).__name__} has no steady state on the line: exp(integral of b / D) / D does not "
                f"fall off within [{lower:.3g}, {upper:.3g}], so that it cannot be normalised"
            )
        if low or high:
            lower, upper = lower - width * float(low), upper + width * float(high)
        else:
            lower, upper = lower - 0.5 * width, upper + 0.5 * width
    for _ in range(20):  # crop to where the mass is, until the range settles
        reached = torch.nonzero(log_density > log_density.max() - _LOWEST)[:, 0]
        first, last = max(int(reached[0]) - 1, 0), min(int(reached[-1]) + 1, len(nodes) - 1)
        if last - first > 0.7 * len(nodes):
            break
        nodes, log_density = _without_current(process, t, float(nodes[first]), float(nodes[last]), _INTERVALS)
    # twice the intervals, integrated anew: what lies between the wells decides their weights, and no thinning shows it
    intervals = _INTERVALS
    coarse = GridDensity([nodes], log_density)
    while True:
        intervals *= 2
        nodes, log_density = _without_current(process, t, float(nodes[0]), float(nodes[-1]), intervals)
        fine = GridDensity([nodes], log_density)
        density = torch.exp(fine.log_prob(nodes[:, None]))
        change = coarse.log_prob(nodes[:, None]) - fine.log_prob(nodes[:, None])
        accuracy = float((change.exp() - 1).abs() @ density / density.sum())
        if accuracy <= _WANTED or intervals >= _FINEST:
            break
        coarse = fine
    if accuracy > _WANTED:
        warnings.warn(
            f"the steady state of {type(process).__name__} is known to {accuracy:.2g} only: {intervals} intervals do "
            f"not resolve it on [{float(nodes[0]):.4g}, {float(nodes[-1]):.4g}]",
            RuntimeWarning,
            stacklevel=2,
        )
    return GridDensity([nodes], log_density, accuracy=accuracy + 1e-14, info={"current": 0.0})


def _without_current(
    process: DiffusionProcess, t: float, lower: float, upper: float, intervals: int
) -> tuple[Tensor, Tensor]:
    """Nodes and the log of exp(integral of b / D) / D at them."""
    places, weights = gauss_legendre(8, 0.0, 1.0)
    nodes = torch.linspace(lower, upper, intervals + 1, dtype=torch.float64)
    spacing = (upper - lower) / intervals
    points = nodes[:-1, None] + spacing * places
    drift, diffusion = scalar_fields(process, points, t)
    _, own = scalar_fields(process, nodes, t)
    steps = spacing * (drift / diffusion) @ weights
    return nodes, torch.cat([steps.new_zeros(1), steps.cumsum(0)]) - own.log()
