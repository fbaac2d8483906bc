"""Laws of diffusions of one or two coordinates without a closed form: the Fokker-Planck equation on a grid."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.tensors import as_tensor, require_finite
from infotherm.distributions import as_distribution
from infotherm.distributions.base import Distribution
from infotherm.processes.base import DiffusionProcess
from infotherm.processes.collocation import follow
from infotherm.processes.exponential_fitting import Fluxes, LineGrid, has_points, masses_on
from infotherm.processes.grid_density import GridDensity
from infotherm.processes.grid_range import line_grid
from infotherm.processes.protocol import Protocol
from infotherm.processes.refinement import extrapolated, on_nodes
from infotherm.processes.ring import scalar_fields

Array = np.ndarray

_COARSE = 100  # intervals of the first grid
_FINEST = 3200
_FLOOR = 1e-14  # share of the largest density below which its logarithm is not resolved


@dataclass(frozen=True)
class Evolution:
    """The laws of a diffusion at several times, and the entropy produced up to them.

    Attributes
    ----------
    times
        Shape (T,).
    produced, medium
        Entropy produced, and given to the medium, from the first time on: values and errors, shape (2, T), nats.
    rate
        Entropy production rate at each time, values and errors, shape (2, T), nats per unit of time.
    entropy
        Entropy of each law on the grid, values and errors, shape (2, T), nats.
    nodes
        How many the finest grid has.
    converged
        Whether the last refinement changed the last law and the entropies by less than the tolerance.
    initial
        The law at the first time.
    law_at
        The law at the time of a given number, from 1 on.
    """

    times: Tensor
    produced: Tensor
    medium: Tensor
    rate: Tensor
    entropy: Tensor
    nodes: int
    converged: bool
    initial: Distribution
    law_at: Callable[[int], GridDensity]

    @cached_property
    def laws(self) -> tuple[Distribution, ...]:
        """The law at each time; the first is the initial law itself, the others are GridDensity."""
        return (self.initial, *(self.law_at(k) for k in range(1, len(self.times))))

    @cached_property
    def final(self) -> GridDensity:
        """The law at the last time."""
        return self.law_at(len(self.times) - 1)


def evolve(process: DiffusionProcess, p0: Any, times: Any, *, tolerance: float | None = None) -> Evolution:
    """The laws at several times of a diffusion that starts from p0 at the first of them.

    dp/dt = -div J, J = b p - div(D p), on finite volumes with exponentially fitted fluxes: probabilities stay positive
    and are conserved, and an equilibrium is kept exactly. In one dimension, on a line or a ring: Radau collocation of
    order nine in time, grids halved until laws and entropies settle, and Richardson extrapolation of log p and of the
    entropies; the range of a line is found from the law itself. In the plane: see `processes.plane`.

    Parameters
    ----------
    process
        A diffusion of one or two coordinates, driven or not, with additive or multiplicative noise; `period` makes a
        ring.
    p0
        The law at times[0]: a density, or atoms.
    times
        Increasing, shape (T,), T >= 2.
    tolerance
        Wanted relative error of the densities where the mass is, and of the medium's entropy; 1e-8 in one dimension and
        1e-4 in the plane (where the grids are always the same three) unless given.

    Raises
    ------
    ValueError
        When p0 and the process disagree on the dimension, times do not increase, p0 has a batch, or mass arrives at
        the edge of every range (heavy tails, or a drift that lets states escape).

    Warns
    -----
    RuntimeWarning
        When the finest grid does not reach the tolerance; `converged` is then False.

    References
    ----------
    Scharfetter and Gummel, IEEE Trans. Electron Devices 16 (1969) 64; Chang and Cooper, J. Comput. Phys. 6 (1970) 1.

    Examples
    --------
    >>> from infotherm.distributions import Gaussian
    >>> from infotherm.processes import Langevin
    >>> well = Langevin(potential=lambda x: 0.5 * (x**2).sum(-1), sigma=2**0.5)
    >>> law = evolve(well, Gaussian(2.0, 0.25), [0.0, 1.0]).laws[-1]
    >>> abs(law.mean.item() - 2 * torch.exp(torch.tensor(-1.0)).item()) < 1e-7
    True
    """
    p0, grid_times = _checked(process, p0, times)
    if tolerance is None:
        tolerance = 1e-8 if p0.dim == 1 else 1e-4
    if p0.dim == 2:
        from infotherm.processes.plane import evolve_plane

        in_plane = evolve_plane(process, p0, grid_times, tolerance)
        if not in_plane.converged:
            _warn(in_plane, tolerance)
        return in_plane
    spread = _spread_in_time(process, p0, grid_times)
    if spread is not None:
        return _in_two_parts(process, p0, grid_times, spread, tolerance)
    base = line_grid(process, p0, grid_times, _COARSE)
    levels: list[_Level] = []
    found: Evolution | None = None
    intervals = base.count if base.period is not None else base.count - 1
    if 4 * intervals > _FINEST:
        raise ValueError(
            f"p0 must not be so much narrower than the range of its law: {intervals} intervals for the coarsest grid "
            f"of three, the finest of which may have {_FINEST}; got {p0}"
        )
    while intervals <= _FINEST:
        levels.append(_level(process, p0, _refined(base, intervals), grid_times))
        if len(levels) >= 3:
            found = _combined(p0, levels, grid_times, tolerance)
            if found.converged:
                break
        intervals *= 2
    assert found is not None
    if not found.converged:
        _warn(found, tolerance)
    return found


def marginal(
    process: DiffusionProcess, p0: Any, t: Any, t0: Any = 0.0, *, tolerance: float | None = None
) -> Distribution:
    """The law at time t of a diffusion of one or two coordinates with the law p0 at t0, as a GridDensity.

    Parameters
    ----------
    process, p0, tolerance
        As in `evolve`.
    t, t0
        Two numbers; at t = t0 the law is p0.

    Raises
    ------
    ValueError
        As `evolve`; when t is before t0.
    """
    t0, t = (float(_number(value, name)) for value, name in ((t0, "t0"), (t, "t")))
    if t == t0:
        return as_distribution(p0, "p0")
    if t < t0:
        raise ValueError(f"t must not be before t0; got t0 = {t0}, t = {t}")
    return evolve(process, p0, [t0, t], tolerance=tolerance).final


# -- one dimension -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Level:
    """One grid: masses at the times (T, n), the numbers produced, medium, rate, entropy (4, T), error of the steps."""

    grid: LineGrid
    masses: Array
    numbers: Array
    error: float


def _refined(base: LineGrid, intervals: int) -> LineGrid:
    if base.period is not None:
        return LineGrid.around(base.period, intervals)
    return LineGrid.between(base.lower, base.lower + base.spacing * (base.count - 1), intervals)


def _level(process: DiffusionProcess, p0: Distribution, grid: LineGrid, times: Array) -> _Level:
    fluxes = Fluxes(process, grid)
    initial = masses_on(grid, p0)
    stops = np.union1d(times, [t for t in _jumps(process) if times[0] < t < times[-1]])
    course = follow(
        fluxes.rates, initial, stops, fluxes.production, ring=grid.period is not None, static=process.is_static
    )
    asked = np.searchsorted(stops, times)
    states, integrals = course.states[asked], course.integrals[asked]
    rate = [fluxes.production(float(t), masses)[0] for t, masses in zip(times, states, strict=True)]
    filled = np.maximum(states, 1e-300)
    entropy = -(filled * np.log(filled / grid.spacing)).sum(1)
    numbers = np.stack([integrals[:, 0], integrals[:, 1], np.array(rate), entropy])
    return _Level(grid, states, numbers, course.error)


def _jumps(process: DiffusionProcess) -> list[float]:
    """The declared jumps of the drive: time steps end there."""
    protocol = getattr(process, "protocol", None)
    return protocol.jumps.tolist() if isinstance(protocol, Protocol) else []


def _combined(p0: Distribution, levels: list[_Level], times: Array, tolerance: float) -> Evolution:
    numbers, errors = extrapolated([level.numbers for level in levels])
    rounding = 1e-13 * len(levels[-1].masses[0]) ** 0.5 * (1 + np.abs(numbers)) + levels[-1].error
    errors = errors + rounding
    kept = tuple(levels)
    final = _density_at(kept, len(times) - 1)
    # a rate may diverge at the first instant and its integral be hard, with nothing wrong about the laws
    settled = errors[1] <= tolerance * (1 + np.abs(numbers[1]))
    if has_points(p0):  # noise spreads atoms at once, and nothing runs backwards
        numbers[0, 1:], errors[0, 1:] = np.inf, np.finfo(float).tiny
        numbers[2, 0], errors[2, 0] = np.inf, np.finfo(float).tiny
    both = [torch.from_numpy(np.stack([numbers[i], errors[i]])) for i in range(4)]
    return Evolution(
        torch.from_numpy(times),
        both[0],
        both[1],
        both[2],
        both[3],
        levels[-1].grid.count,
        bool(settled.all()) and final.accuracy <= tolerance,
        p0,
        lambda k: final if k == len(times) - 1 else _density_at(kept, k),
    )


def _density_at(levels: tuple[_Level, ...], k: int) -> GridDensity:
    """The law at the k-th time: log p extrapolated on the nodes of the finest grid that its mass reaches."""
    finest = levels[-1].grid
    fine = finest.nodes
    carried = []
    for level in levels[-4:]:
        density = level.masses[k] / level.grid.spacing
        log_density = np.log(np.maximum(density, _FLOOR * density.max()))
        carried.append(on_nodes(log_density, level.grid.nodes, fine, finest.period))
    log_density, change = extrapolated(carried)
    density = levels[-1].masses[k]
    top = density.max()
    reached = np.flatnonzero(density > 10 * _FLOOR * top)
    first, last = int(reached[0]), int(reached[-1])
    if finest.period is not None or last - first < 16:
        first, last = 0, len(fine) - 1
    # where next to nothing is, rounding is all that extrapolation would see
    resolved = density > 1e-10 * top
    log_density = np.where(resolved, log_density, np.maximum(carried[-1], np.log(_FLOOR * top / finest.spacing)))
    weights = density / density.sum()
    accuracy = float((weights * np.where(resolved, change, 0.0)).sum()) + levels[-1].error
    return GridDensity(
        [torch.from_numpy(fine[first : last + 1].copy())],
        torch.from_numpy(log_density[first : last + 1].copy()),
        [finest.period],
        accuracy=accuracy,
        info={"nodes": finest.count, "levels": len(levels)},
    )


def _spread_in_time(process: DiffusionProcess, p0: Distribution, times: Array) -> float | None:
    """The time after which a narrow law is ten times as wide, where that is much less than the time of the run."""
    if has_points(p0):
        return None
    try:
        variance, mean = float(p0.variance[0]), float(p0.mean[0])
    except NotImplementedError:
        return None
    _, diffusion = scalar_fields(process, torch.tensor([mean], dtype=torch.float64), float(times[0]))
    spread = 50 * variance / float(diffusion)
    return spread if 0 < spread < 0.02 * float(times[1] - times[0]) else None


def _in_two_parts(
    process: DiffusionProcess, p0: Distribution, times: Array, spread: float, tolerance: float
) -> Evolution:
    """A narrow law on a narrow grid first, until it has spread, and from there on a wider one."""
    first = evolve(process, p0, [times[0], times[0] + spread], tolerance=tolerance)
    second = evolve(process, first.final, np.concatenate([[times[0] + spread], times[1:]]), tolerance=tolerance)
    slack = first.final.accuracy

    def joined(before: Tensor, after: Tensor, *, summed: bool) -> Tensor:
        later = after[:, 1:] + before[:, -1:] if summed else after[:, 1:]
        later = torch.stack([later[0], later[1] + slack * (1 + later[0].abs())])
        return torch.cat([before[:, :1], later], 1)

    def law_at(k: int) -> GridDensity:
        law = second.law_at(k)
        law.accuracy += slack
        return law

    return Evolution(
        torch.from_numpy(times),
        joined(first.produced, second.produced, summed=True),
        joined(first.medium, second.medium, summed=True),
        joined(first.rate, second.rate, summed=False),
        joined(first.entropy, second.entropy, summed=False),
        second.nodes,
        first.converged and second.converged,
        p0,
        law_at,
    )


# -- arguments ---------------------------------------------------------------------------------------------------------


def _checked(process: DiffusionProcess, p0: Any, times: Any) -> tuple[Distribution, Array]:
    if not isinstance(process, DiffusionProcess):
        raise TypeError(f"process must be a diffusion; got {type(process).__name__}")
    p0 = as_distribution(p0, "p0")
    if p0.batch_shape:
        raise ValueError(f"p0 must be one law for a grid; got a batch {tuple(p0.batch_shape)}: take them one by one")
    if process.batch_shape:
        raise ValueError(f"process must be a single one for a grid; got a batch {tuple(process.batch_shape)}")
    if process.dim not in (None, p0.dim):
        raise ValueError(f"p0 must have D = {process.dim} as the process; got D = {p0.dim}")
    if p0.dim > 2:
        raise ValueError(f"a grid needs D <= 2; p0 has D = {p0.dim}: simulate paths instead")
    times = require_finite(as_tensor(times, "times", dtype=torch.float64), "times")
    if times.ndim != 1 or len(times) < 2 or not bool((times.diff() > 0).all()):
        raise ValueError(f"times must increase, shape (T,) with T >= 2; got {times.tolist()}")
    process._times(times=times)
    return p0, times.cpu().numpy()


def _number(value: Any, name: str) -> Tensor:
    tensor = require_finite(as_tensor(value, name, dtype=torch.float64), name)
    if tensor.numel() != 1:
        raise ValueError(f"{name} must be one time for a grid; got shape {tuple(tensor.shape)}: take them one by one")
    return tensor.reshape(())


def _warn(found: Evolution, tolerance: float) -> None:
    warnings.warn(
        f"the grid of {found.nodes} nodes did not reach the tolerance {tolerance:g}: the last law is known to "
        f"{found.final.accuracy:.2g}, the entropy produced to {float(found.produced[1, -1]):.2g}",
        RuntimeWarning,
        stacklevel=3,
    )
