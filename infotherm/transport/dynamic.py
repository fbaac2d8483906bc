"""Dynamic optimal transport on grids, after Benamou and Brenier: the flow of least action between two densities."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, require_finite
from infotherm.distributions.base import Distribution
from infotherm.transport.grid_bounds import coupling_square, lower_square, monotone_square, path_square
from infotherm.transport.grid_laws import axes_of, masses_of_array, masses_of_law, unevenness, width_of
from infotherm.transport.progress_bar import progress_bar
from infotherm.transport.proximal_splitting import Flow, solve_flow
from infotherm.transport.staggered_grid import StaggeredGrid

if TYPE_CHECKING:
    import xarray

_MASSES_DIFFER = 1e-3
_VACUUM = 1e-9  # of the highest density: below it there is no velocity to speak of


@dataclass(frozen=True, eq=False)
class DynamicTransport:
    """The flow of least action between two densities on a grid.

    Attributes
    ----------
    distance
        W2 of the two laws, certified from both sides.
    cost
        Its square, the least action: the action of this flow, with an error from the same two sides.
    times
        Middles of the time steps, shape (T,).
    densities
        At these times, shape (T, *space), >= 0 and of total mass one.
    momentum, velocity
        Shape (T, D, *space). The velocity is grad phi; where the density is below 1e-9 of the highest both are 0.
    potential
        phi up to a constant, shape (T, *space).
    start, end
        The densities at times 0 and 1, shape (*space).
    axes
        Centres of the cells along each axis.
    lower, upper
        The two sides of W2 between densities that are constant on cells.
    gap
        upper^2 - lower^2: a duality gap of the problem in the continuum, so that it holds the error of the grid too.
    iterations, residual, converged
        Of the iteration: how far its last step moved, relative to where it was, and whether that met the tolerance.
    """

    distance: Estimate
    cost: Estimate
    times: Tensor
    densities: Tensor
    momentum: Tensor
    velocity: Tensor
    potential: Tensor
    start: Tensor
    end: Tensor
    axes: tuple[Tensor, ...]
    lower: float
    upper: float
    iterations: int
    residual: float
    converged: bool

    @property
    def gap(self) -> float:
        """upper^2 - lower^2."""
        return (self.upper - self.lower) * (self.upper + self.lower)

    def density(self, t: Any) -> Tensor:
        """The density at times t in [0, 1], linear between those known, shape (*t, *space).

        Raises
        ------
        ValueError
            For t outside [0, 1].
        """
        t = require_finite(as_tensor(t, "t", dtype=self.times.dtype, device=self.times.device), "t")
        if bool(((t < 0) | (t > 1)).any()):
            raise ValueError(f"t must lie in [0, 1]; got {t.tolist()}")
        known = torch.cat([self.start[None], self.densities, self.end[None]])
        times = torch.cat([t.new_zeros(1), self.times, t.new_ones(1)])
        after = torch.searchsorted(times, t.contiguous()).clamp(1, len(times) - 1)
        share = (t - times[after - 1]) / (times[after] - times[after - 1])
        return torch.lerp(known[after - 1], known[after], share.reshape(*t.shape, *[1] * self.start.ndim))

    @property
    def kinetic_energy(self) -> Tensor:
        """The integral of rho |v|^2 at each time, shape (T,): the same at all times on a geodesic, W2^2."""
        space = tuple(range(1, self.densities.ndim))
        volume = math.prod(width_of(axis) for axis in self.axes)
        return (self.momentum * self.velocity).sum(1).sum(space) * volume

    def to_dataset(self) -> xarray.Dataset:
        """The flow as a labelled Dataset: dimensions `time`, `x` (and `y`), and `component` of vectors."""
        import xarray

        from infotherm._version import __version__

        space = ("x", "y")[: len(self.axes)]
        names = {
            "density": (("time", *space), self.densities, "probability density"),
            "momentum": (("time", "component", *space), self.momentum, "momentum, density times velocity"),
            "velocity": (("time", "component", *space), self.velocity, "velocity, 0 where there is no mass"),
            "start": (space, self.start, "density at time 0"),
            "end": (space, self.end, "density at time 1"),
            "kinetic_energy": (("time",), self.kinetic_energy, "integral of density times velocity squared"),
        }
        columns = {n: (dims, _numpy(x), {"units": "1", "long_name": text}) for n, (dims, x, text) in names.items()}
        coords: dict[str, Any] = {
            s: (s, _numpy(axis), {"units": "1", "long_name": f"centres of cells along {s}"})
            for s, axis in zip(space, self.axes, strict=True)
        }
        coords["time"] = ("time", _numpy(self.times), {"units": "1", "long_name": "time, from 0 to 1"})
        coords["component"] = ("component", list(space))
        attrs = {
            "distance": float(self.distance),
            "distance_error": float(self.distance.error),
            "kind": self.distance.kind,
            "method": "Benamou-Brenier, primal-dual splitting on a staggered grid",
            "iterations": self.iterations,
            "residual": self.residual,
            "converged": int(self.converged),
            "gap": self.gap,
            "source": "Benamou and Brenier, Numer. Math. 84, 375 (2000)",
            "infotherm_version": __version__,
        }
        return xarray.Dataset(columns, coords=coords, attrs=attrs)


def benamou_brenier(
    density0: Any,
    density1: Any,
    grid: Any,
    *,
    n_times: int = 64,
    tolerance: float = 2e-4,
    max_iterations: int = 2000,
    progress: Callable[[int, int], None] | None = None,
) -> DynamicTransport:
    """The flow of least action between two densities on a line or in the plane, and their Wasserstein-2 distance.

    W2^2 = min of the integral of |m|^2 / rho over [0, 1] and space, with d rho / dt + div m = 0, rho(0) and rho(1)
    given and no flow through the walls of the grid, which change nothing: a box is convex.

    Parameters
    ----------
    density0, density1
        Densities, or masses, of the cells, shape (n,) or (n, m): constant on each cell, and divided by their sums,
        which may differ by a part in 1000 (tails). Or laws with a density (`Gaussian`, `GaussianMixture`, ...),
        integrated over the cells; up to 1e-3 of their mass may lie off the grid. In the plane, and on a line without a
        `cdf`, they must be smooth within cells.
    grid
        Centres of the cells, equally spaced, shape (n,); a pair of them for the plane.
    n_times
        Time steps, at least 2.
    tolerance
        The iteration ends when its step is this small relative to where it is.
    max_iterations
        At most so many steps.
    progress
        Called as progress(steps done, steps at most); without it a bar comes up on a terminal after two seconds.

    Returns
    -------
    DynamicTransport
        `.distance` has kind "exact": its error covers the iteration, the grid and, for laws, what cells do not resolve.
        From below by the potential of the flow, made feasible in the continuum (Kantorovich duality); from above, on a
        line, by the monotone coupling, in the plane by a coupling of cells started from the potential or by the action
        of the flow; half their distance is the error. It is of second order in the cells; in the plane, a distance of
        about a cell or less is bounded loosely from above. Computed in float64, given in the dtype and on the device
        of the densities or the grid.

    Raises
    ------
    ValueError
        When the grid is not equally spaced, shapes do not fit, a density is negative, not finite or zero everywhere,
        sums differ, a law does not fit on the grid, or squares of lengths leave the range of the dtype.

    Warns
    -----
    RuntimeWarning
        When the iteration did not meet the tolerance; the error of the distance holds all the same.

    Source: Benamou and Brenier, Numer. Math. 84, 375 (2000); Papadakis, Peyre and Oudet, SIAM J. Imaging Sci. 7, 212
    (2014).

    Examples
    --------
    >>> import infotherm as it
    >>> x = torch.linspace(-6.0, 8.0, 141, dtype=torch.float64)
    >>> flow = benamou_brenier(it.Gaussian(0.0, 1.0), it.Gaussian(2.0, 1.0), x, n_times=16)
    >>> abs(flow.distance.value - 2.0).item() <= flow.distance.error.item() < 0.02
    True
    """
    if isinstance(n_times, bool) or not isinstance(n_times, int | np.integer) or n_times < 2:
        raise ValueError(f"n_times must be an integer of at least 2; got {n_times!r}")
    if isinstance(max_iterations, bool) or not isinstance(max_iterations, int | np.integer) or max_iterations < 1:
        raise ValueError(f"max_iterations must be a positive integer; got {max_iterations!r}")
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie between 0 and 1; got {tolerance!r}")
    axes = axes_of(grid)
    uneven = unevenness(axes)
    given = {"density0": density0, "density1": density1}
    arrays = {k: as_tensor(d, k) for k, d in given.items() if not _is_law(d)}
    device, dtype = _home(arrays, given, axes)
    axes = [axis.to(device=device, dtype=torch.float64) for axis in axes]
    _require_range(axes, dtype)
    masses, sums, unresolved, cut_off = [], {}, 0.0, 0.0
    for name, density in given.items():
        if name in arrays:
            mass, sums[name] = masses_of_array(arrays[name].to(device), name, [len(axis) for axis in axes])
            unresolved += 2 * uneven  # cells are shifted, and their ends too
        else:
            mass, apart, off = masses_of_law(_as_law(density, name), name, axes)
            unresolved, cut_off = unresolved + apart, max(cut_off, off)
        masses.append(mass.to(device))
    if len(sums) == 2 and abs(sums["density0"] / sums["density1"] - 1) > _MASSES_DIFFER:
        raise ValueError(
            "density0 and density1 must have the same mass; their sums are "
            f"{sums['density0']:.6g} and {sums['density1']:.6g}: divide each by its own"
        )
    return _solved(masses, axes, dtype, int(n_times), tolerance, int(max_iterations), progress, unresolved, cut_off)


def _solved(
    masses: list[Tensor],
    axes: list[Tensor],
    dtype: torch.dtype,
    n_times: int,
    tolerance: float,
    max_iterations: int,
    progress: Callable[[int, int], None] | None,
    unresolved: float,
    cut_off: float,
) -> DynamicTransport:
    first, second = masses
    sides = [width_of(axis) for axis in axes]
    box = max(side * n for side, n in zip(sides, first.shape, strict=True))
    widths = [side / box for side in sides]
    scale = _expected_distance(first, second, widths)
    grid = StaggeredGrid((n_times, *first.shape), (1 / n_times, *(w / scale for w in widths)), device=first.device)
    volume = math.prod(w / scale for w in widths)
    start, end = first / volume, second / volume
    if torch.equal(first, second):
        flow, lower, upper = _at_rest(grid, start), 0.0, 0.0
    else:
        with progress_bar("Benamou-Brenier") if progress is None else nullcontext(progress) as report:
            flow = solve_flow(grid, start, end, tolerance=tolerance, max_iterations=max_iterations, progress=report)
        lower, upper = _sides(grid, flow, first, second, widths, scale)
    if not flow.converged:
        warnings.warn(
            f"the flow moved by {flow.residual:.1e} in the last of {flow.iterations} iterations, more than the "
            f"tolerance {tolerance:.1e}: raise max_iterations (the error of the distance holds all the same)",
            RuntimeWarning,
            stacklevel=3,
        )
    speed, cell = scale * box, math.prod(sides)
    space = tuple(range(1, flow.density.ndim))
    whole = flow.density.sum(space, keepdim=True)
    densities = flow.density / whole / cell
    filled = densities > _VACUUM * densities.max()
    velocity = torch.where(filled[:, None], torch.stack(flow.velocity, 1) * speed, 0.0)
    momentum = densities[:, None] * velocity
    lower, upper = lower * box, upper * box
    energy = float((momentum * velocity).sum()) * cell / n_times
    info = {"converged": flow.converged, "iterations": flow.iterations, "cut_off": cut_off}
    distance, cost = _estimates(lower, upper, energy, unresolved, dtype, first.device, info)

    def out(x: Tensor) -> Tensor:
        return x.to(dtype)

    return DynamicTransport(
        distance=distance,
        cost=cost,
        times=out((torch.arange(n_times, dtype=torch.float64, device=first.device) + 0.5) / n_times),
        densities=out(densities),
        momentum=out(momentum),
        velocity=out(velocity),
        potential=out(flow.potential * speed**2),
        start=out(first / cell),
        end=out(second / cell),
        axes=tuple(out(axis) for axis in axes),
        lower=lower,
        upper=upper,
        iterations=flow.iterations,
        residual=flow.residual,
        converged=flow.converged,
    )


def _estimates(
    lower: float,
    upper: float,
    energy: float,
    unresolved: float,
    dtype: torch.dtype,
    device: torch.device,
    info: dict[str, Any],
) -> tuple[Estimate, Estimate]:
    """The distance and its square: between the two sides, which for laws lie further apart by what cells miss."""
    value = torch.tensor((lower + upper) / 2, dtype=dtype, device=device)
    error = (upper - lower) / 2 + unresolved + rounding_error([value, value])
    distance = Estimate(value, error=error, method="certified", units="1", info=info)
    least, most = max(lower - unresolved, 0.0) ** 2, (upper + unresolved) ** 2
    action = torch.tensor(energy, dtype=dtype, device=device)
    error = max(energy - least, most - energy) + rounding_error([action, action])
    return distance, Estimate(action, error=error, method="certified", units="1", info=info)


def _sides(
    grid: StaggeredGrid, flow: Flow, first: Tensor, second: Tensor, widths: list[float], scale: float
) -> tuple[float, float]:
    """Lower and upper sides of W2 in units of the box."""
    potential = flow.potential * scale**2
    below = []
    for near, next_, at_start in ((0, 1, True), (-1, -2, False)):
        # known in the middle of steps: straight on from the last two to the end
        phi = 1.5 * potential[near] - 0.5 * potential[next_]
        below.append(lower_square(phi, first, second, widths, at_start=at_start))
    if first.ndim == 1:
        above = monotone_square(first, second, widths[0])
    else:
        above = coupling_square(1.5 * potential[-1] - 0.5 * potential[-2], first, second, widths)
        above = torch.minimum(above, path_square(grid, flow.faces) * scale**2)
    # sums of squares of lengths up to that of the box, which is one
    rounding = 16 * torch.finfo(first.dtype).eps * math.sqrt(first.numel())
    lower = math.sqrt(max(float(torch.stack(below).max()) - rounding, 0.0))
    return lower, math.sqrt(float(above) + rounding)


def _expected_distance(first: Tensor, second: Tensor, widths: list[float]) -> float:
    """A length near the distance, from moments: in its units the iteration is well conditioned."""
    square = 0.0
    for axis, width in enumerate(widths):
        others = [a for a in range(first.ndim) if a != axis]
        place = torch.arange(first.shape[axis], dtype=first.dtype, device=first.device) * width
        a, b = (law.sum(others) if others else law for law in (first, second))
        means = [float(law @ place) for law in (a, b)]
        variances = [float(law @ (place - m).square()) for law, m in zip((a, b), means, strict=True)]
        square += (means[0] - means[1]) ** 2 + sum(variances) + width**2 / 12
    return math.sqrt(square)


def _at_rest(grid: StaggeredGrid, density: Tensor) -> Flow:
    still = [density.new_zeros(grid.shape) for _ in density.shape]
    steady = density.expand(grid.shape)
    return Flow([], steady, still, torch.zeros_like(still[0]), iterations=0, residual=0.0, converged=True)


def _is_law(x: Any) -> bool:
    return isinstance(x, Distribution) or hasattr(x, "log_prob") or hasattr(x, "logpdf")


def _as_law(x: Any, name: str) -> Distribution:
    from infotherm.distributions import as_distribution

    return as_distribution(x, name)


def _home(arrays: dict[str, Tensor], given: dict[str, Any], axes: list[Tensor]) -> tuple[torch.device, torch.dtype]:
    """Where and in which dtype the answer is given: those of the densities; of the grid where both are laws."""
    tensors = [arrays[name] for name, x in given.items() if name in arrays and isinstance(x, Tensor)]
    tensors = tensors or [axis for axis in axes if axis.device.type != "cpu"] or list(arrays.values()) or axes
    devices = {t.device for t in tensors}
    if len(devices) > 1:
        raise ValueError(f"density0 and density1 must be on one device; got {' and '.join(map(str, devices))}")
    dtype = torch.float32
    for t in list(arrays.values()) or axes:
        dtype = torch.promote_types(dtype, t.dtype)
    return tensors[0].device, dtype


def _require_range(axes: list[Tensor], dtype: torch.dtype) -> None:
    """Raise ValueError where squares of lengths or densities would leave the range of the dtype."""
    widths = [width_of(axis) for axis in axes]
    span = max(width * len(axis) for width, axis in zip(widths, axes, strict=True))
    room = 16 / torch.finfo(dtype).max
    if span == math.inf or not room < span * span < 1 / room or math.prod(widths) < room:
        raise ValueError(
            f"grid must span a length whose square is a number of {dtype}, and 1 / cell too; it spans {span:.6g}: "
            "give float64, or lengths in another unit"
        )


def _numpy(x: Tensor) -> Any:
    return x.detach().to("cpu", torch.float64).numpy()
