"""The Fokker-Planck equation in the plane: laws by uniformisation, steady states by long implicit steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from infotherm.core.rules import gauss_legendre
from infotherm.distributions.base import Distribution
from infotherm.processes.base import DiffusionProcess
from infotherm.processes.exponential_fitting import LineGrid, has_points
from infotherm.processes.grid_density import GridDensity
from infotherm.processes.plane_fluxes import PlaneFluxes, frame_of
from infotherm.processes.refinement import extrapolated, on_nodes
from infotherm.processes.wrapping import wrapped_plane

Array = np.ndarray

_COARSE = 40  # intervals of each axis of the first grid
_LEVELS = 3
_AT_EDGE = 1e-10  # largest share of the highest density that may be at an edge
_WIDENINGS = 40
_PANELS = 8  # of time, each half as long as the next
_TIME_NODES = 5


@dataclass(frozen=True)
class PlaneCourse:
    """Masses at the times (T, n_1, n_2), the numbers produced, medium, rate, entropy (4, T), errors of the steps."""

    masses: Array
    numbers: Array
    errors: Array


def plane_course(fluxes: PlaneFluxes, initial: Array, times: Array) -> PlaneCourse:
    """The masses along the times by uniformisation: sums of non-negative numbers, so that small ones are right as well.

    A driven process takes the generator of the middle of every step, with steps of one length and of half of it, and
    their extrapolation.
    """
    if fluxes.process.is_static:
        return _course(fluxes, initial, times, 1)
    coarse, fine = (_course(fluxes, initial, times, steps) for steps in (1, 2))
    numbers = fine.numbers + (fine.numbers - coarse.numbers) / 3
    ratio = np.log(np.maximum(fine.masses, 1e-300)) - np.log(np.maximum(coarse.masses, 1e-300))
    errors = fine.errors + np.abs(fine.numbers - coarse.numbers) / 3
    return PlaneCourse(fine.masses * np.exp(ratio / 3), numbers, errors)


def _course(fluxes: PlaneFluxes, initial: Array, times: Array, steps: int) -> PlaneCourse:
    places, weights = (a.numpy() for a in gauss_legendre(_TIME_NODES, 0.0, 1.0))
    lower = _lower_rule(places)
    still = fluxes.process.is_static
    fixed = fluxes.rates(float(times[0]))
    matrix = fluxes.generator(fixed) if still else None
    volume = fluxes.axes[0].spacing * fluxes.axes[1].spacing

    def move(masses: Array, start: float, end: float) -> Array:
        for k in range(1 if still else steps):
            width = (end - start) / (1 if still else steps)
            now = matrix if still else fluxes.generator(fluxes.rates(start + (k + 0.5) * width))
            masses = uniformised(now, masses, width)
        return masses

    def look(t: float, masses: Array) -> Array:
        return fluxes.production(fixed if still else fluxes.rates(t), masses.reshape(fluxes.shape))

    masses = initial.ravel()
    all_masses, rates = [masses], [look(float(times[0]), masses)[0]]
    integral, slack = np.zeros(2), np.zeros(2)
    integrals, slacks = [integral], [slack]
    for begin, end in zip(times[:-1], times[1:], strict=True):
        panels = _PANELS if begin == times[0] else 1
        edges = begin + (end - begin) * np.concatenate([[0.0], 2.0 ** np.arange(1.0 - panels, 1.0)])
        for left, right in zip(edges[:-1], edges[1:], strict=True):
            t, seen = left, []
            for place in left + (right - left) * places:
                masses = move(masses, t, place)
                seen.append(look(float(place), masses))
                t = place
            masses = move(masses, t, right)
            seen = np.stack(seen)
            integral = integral + (right - left) * weights @ seen
            slack = slack + (right - left) * np.abs((weights - lower) @ seen)
        all_masses.append(masses)
        rates.append(look(float(end), masses)[0])
        integrals.append(integral)
        slacks.append(slack)
    stacked = np.stack(all_masses)
    filled = np.maximum(stacked, 1e-300)
    entropy = -(filled * np.log(filled / volume)).sum(1)
    summed, off = np.stack(integrals), np.stack(slacks)
    numbers = np.stack([summed[:, 0], summed[:, 1], np.array(rates), entropy])
    errors = np.stack([off[:, 0], off[:, 1], np.zeros(len(times)), np.zeros(len(times))])
    return PlaneCourse(stacked.reshape(-1, *fluxes.shape), numbers, errors)


def uniformised(matrix: Any, masses: Array, duration: float) -> Array:
    """exp(A t) m as a Poisson mixture of powers of I + A / r, with the largest rate r."""
    fastest = float(-matrix.diagonal().min())
    mean = fastest * duration
    if mean == 0:
        return masses
    moved = (matrix / fastest).tocsr()
    last = int(mean + 9 * math.sqrt(mean) + 30)
    counts = np.arange(last + 1)
    logs = counts * math.log(mean) - mean - np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    weights = np.exp(logs)
    total = weights[0] * masses
    power = masses
    for weight in weights[1:]:
        power = power + moved @ power
        if weight > 1e-18:
            total = total + weight * power
    return total / total.sum() * masses.sum()


def _lower_rule(places: Array) -> Array:
    """Weights of the rule through every second node, zero at the others."""
    some = places[::2]
    weights = np.zeros(len(places))
    powers = np.arange(len(some))
    weights[::2] = np.linalg.solve(some[None, :] ** powers[:, None], 1 / (powers + 1))
    return weights


# -- laws at later times -----------------------------------------------------------------------------------------------


def evolve_plane(process: DiffusionProcess, p0: Distribution, times: Array, tolerance: float) -> Any:
    """As `fokker_planck.evolve`, for two coordinates.

    Raises
    ------
    ValueError
        When p0 has atoms, when D is not diagonal in one frame, or mass arrives at the edge of every range.
    """
    from infotherm.processes.fokker_planck import Evolution

    if has_points(p0):
        raise ValueError("p0 must have a density for a grid in the plane; it has atoms: simulate paths, or widen them")
    frame = frame_of(process, float(times[0]))
    axes = _range_of(process, p0, times, frame)
    grids = [_axes_of(axes, 2**k) for k in range(_LEVELS)]
    levels = [PlaneFluxes(process, grid, frame) for grid in grids]
    courses = [plane_course(level, _masses(level, p0), times) for level in levels]
    numbers, errors = extrapolated([course.numbers for course in courses])
    errors = errors + courses[-1].errors + 1e-12 * (1 + np.abs(numbers))
    final = _plane_density(levels, [course.masses[-1] for course in courses])
    both = [torch.from_numpy(np.stack([numbers[i], errors[i]])) for i in range(4)]
    converged = bool((errors[1] <= tolerance * (1 + np.abs(numbers[1]))).all()) and final.accuracy <= tolerance

    def law_at(k: int) -> GridDensity:
        return final if k == len(times) - 1 else _plane_density(levels, [course.masses[k] for course in courses])

    nodes = int(np.prod(levels[-1].shape))
    return Evolution(torch.from_numpy(times), both[0], both[1], both[2], both[3], nodes, converged, p0, law_at)


def _plane_density(levels: list[PlaneFluxes], masses: list[Array]) -> GridDensity:
    """log p extrapolated on the nodes of the finest grid."""
    fine = levels[-1]
    carried = []
    for level, mass in zip(levels, masses, strict=True):
        density = mass / (level.axes[0].spacing * level.axes[1].spacing)
        log_density = np.log(np.maximum(density, density.max() * 1e-40))
        for axis in range(2):
            line, finer = level.axes[axis], fine.axes[axis]
            moved = on_nodes(np.moveaxis(log_density, axis, 0), line.nodes, finer.nodes, line.period)
            log_density = np.moveaxis(moved, 0, axis)
        carried.append(log_density)
    log_density, change = extrapolated(carried)
    share = masses[-1] / masses[-1].sum()
    resolved = share > 1e-8 * share.max()
    log_density = np.where(resolved, log_density, carried[-1])
    accuracy = float((share * np.where(resolved, change, 0.0)).sum())
    identity = bool(torch.equal(fine.frame, torch.eye(2, dtype=torch.float64)))
    return GridDensity(
        [torch.from_numpy(axis.nodes) for axis in fine.axes],
        torch.from_numpy(log_density),
        [axis.period for axis in fine.axes],
        None if identity else fine.frame,
        accuracy=accuracy,
        info={"nodes": int(np.prod(fine.shape)), "levels": len(levels)},
    )


def _masses(fluxes: PlaneFluxes, p0: Distribution) -> Array:
    periods = [math.inf if grid.period is None else grid.period for grid in fluxes.axes]
    law = wrapped_plane(p0, periods) if min(periods) < math.inf else p0
    images = [torch.zeros(1, dtype=torch.float64)] * 2
    if law is p0 and min(periods) < math.inf and not (isinstance(p0, GridDensity) and any(p0.periods)):
        # narrow: the images next to where it is
        turns = [0.0 if L == math.inf else middle // L for L, middle in zip(periods, p0.mean.tolist(), strict=True)]
        images = [
            images[0] if L == math.inf else (turn + torch.arange(-2.0, 3.0).double()) * L
            for L, turn in zip(periods, turns, strict=True)
        ]
    with torch.no_grad():
        shifts = torch.cartesian_prod(*images)
        terms = [law.log_prob((fluxes.nodes + shift).to(law.dtype)).to(torch.float64) for shift in shifts]
        log_density = torch.logsumexp(torch.stack(terms), 0)
    density = np.exp(log_density.numpy() - float(log_density.max()))
    return density / density.sum()


def _axes_of(axes: tuple[LineGrid, LineGrid], factor: int) -> tuple[LineGrid, LineGrid]:
    """The same ranges with so many times as many intervals."""

    def finer(axis: LineGrid) -> LineGrid:
        if axis.period is not None:
            return LineGrid.around(axis.period, factor * axis.count)
        upper = axis.lower + axis.spacing * (axis.count - 1)
        return LineGrid.between(axis.lower, upper, factor * (axis.count - 1))

    return finer(axes[0]), finer(axes[1])


def _range_of(
    process: DiffusionProcess, p0: Distribution, times: Array, frame: torch.Tensor
) -> tuple[LineGrid, LineGrid]:
    """A range for each axis beyond which there is next to nothing at any of the times."""
    centre = (frame.T @ p0.mean.to(torch.float64)).numpy()
    spread = (frame.T @ p0.covariance.to(torch.float64) @ frame).diagonal().sqrt().numpy()
    edges = np.stack([centre - 7 * spread, centre + 7 * spread], 1)
    looks = np.unique(np.concatenate([times, times[0] + (times[-1] - times[0]) * np.array([0.01, 0.05, 0.2, 0.5])]))

    def highest(fluxes: PlaneFluxes) -> Array:
        masses = _masses(fluxes, p0).ravel()
        top = masses
        for begin, end in zip(looks[:-1], looks[1:], strict=True):
            generator = fluxes.generator(fluxes.rates(float(0.5 * (begin + end))))
            masses = uniformised(generator, masses, float(end - begin))
            top = np.maximum(top, masses)
        return top.reshape(fluxes.shape)

    return _widened(process, frame, edges, highest, "p0 has too heavy tails, or the drift lets states escape")


def _widened(
    process: DiffusionProcess, frame: torch.Tensor, edges: Array, highest: Any, reason: str
) -> tuple[LineGrid, LineGrid]:
    """Ranges widened until next to nothing of what `highest` gives is at an edge, then cropped to where something is.

    Raises
    ------
    ValueError
        When that never happens.
    """
    periods = _periods(process)
    for _ in range(_WIDENINGS):
        axes = tuple(
            LineGrid.around(period, _COARSE) if period is not None else LineGrid.between(low, high, _COARSE)
            for (low, high), period in zip(edges, periods, strict=True)
        )
        top = highest(PlaneFluxes(process, (axes[0], axes[1]), frame))
        floor = _AT_EDGE * top.max()
        wide = False
        cropped = edges.copy()
        for axis, period in enumerate(periods):
            if period is not None:
                continue
            along = top.max(1 - axis)
            width = edges[axis, 1] - edges[axis, 0]
            for side, end in ((0, along[0]), (1, along[-1])):
                if end > floor:
                    edges[axis, side] += (1 if side else -1) * 0.3 * width
                    wide = True
            reached = np.flatnonzero(along > 0.1 * floor)
            nodes = axes[axis].nodes
            cropped[axis] = nodes[max(reached[0] - 1, 0)], nodes[min(reached[-1] + 1, len(nodes) - 1)]
        if not wide:
            if ((cropped[:, 1] - cropped[:, 0]) > 0.8 * (edges[:, 1] - edges[:, 0])).all():
                return axes[0], axes[1]
            edges = np.where([[p is None] for p in periods], cropped, edges)
    raise ValueError(f"no range of the plane up to {edges.tolist()} holds the law: {reason}")


def _periods(process: DiffusionProcess) -> list[float | None]:
    period = getattr(process, "period", None)
    if period is None:
        return [None, None]
    lengths = period.expand(2).tolist()
    return [length if math.isfinite(length) else None for length in lengths]


# -- steady states -----------------------------------------------------------------------------------------------------


def stationary_plane(process: DiffusionProcess, t: float) -> GridDensity:
    """The steady state of the process frozen at t, with its entropy production rate in the info, value and error.

    Raises
    ------
    ValueError
        When no range holds it.
    """
    frame = frame_of(process, t)

    def kept(fluxes: PlaneFluxes) -> Array:
        return _kept(fluxes, fluxes.rates(t), t)

    edges = np.array([[-1.0, 1.0], [-1.0, 1.0]])
    axes = _widened(process, frame, edges, kept, "there is no steady state, or it is far from the origin")
    levels = [PlaneFluxes(process, _axes_of(axes, 2**k), frame) for k in range(_LEVELS)]
    rates = [level.rates(t) for level in levels]
    masses = [_kept(level, rate, t) for level, rate in zip(levels, rates, strict=True)]
    law = _plane_density(levels, masses)
    produced = [level.production(rate, mass) for level, rate, mass in zip(levels, rates, masses, strict=True)]
    number, error = extrapolated(produced)
    law.info["production_rate"] = (float(number[0]), float(error[0] + 1e-12 * (1 + abs(number[0]))))
    return law


def _kept(fluxes: PlaneFluxes, rates: list[tuple[Array, Array, Array]], t: float) -> Array:
    """The law that jumps at these rates keep, by implicit steps so long that only it is left."""
    from scipy.sparse import identity
    from scipy.sparse.linalg import splu

    matrix = fluxes.generator(rates)
    slowest = 1e6 * sum(float((axis.spacing * axis.count) ** 2) for axis in fluxes.axes)
    step = slowest / max(float(fluxes.diffusion(fluxes.nodes, t).min()), 1e-300)
    solve = splu((identity(matrix.shape[0], format="csc") - step * matrix).tocsc(), permc_spec="MMD_AT_PLUS_A")
    masses = np.full(matrix.shape[0], 1 / matrix.shape[0])
    for _ in range(4):
        masses = np.maximum(solve.solve(masses), 0.0)
        masses /= masses.sum()
    return np.maximum(masses, masses.max() * 1e-300).reshape(fluxes.shape)
