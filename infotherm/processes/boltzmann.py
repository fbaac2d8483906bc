"""Boltzmann laws exp(-V / T) / Z of a potential on a line, a ring or a plane: located, normalised, sampled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import as_tensor
from infotherm.distributions import LogDensity
from infotherm.processes.base import Process
from infotherm.processes.grid_density import GridDensity

Potential = Callable[[Tensor], Tensor]

_DEPTH = 40.0  # where exp(-V / T) has fallen by e^-40 there is no mass
_FAR = 1e6  # how far out the first look goes
_SIDE = 257  # states a side in a plane, one more than an even number
_CELLS = 1e-7  # total variation of the law that is sampled from the one meant


def boltzmann_law(
    potential: Potential, temperature: float, dim: int, period: float | None = None
) -> LogDensity | GridDensity:
    """The law proportional to exp(-V(x) / T), and log Z, Z the integral of exp(-V / T).

    On a line or a ring a `LogDensity`, whose `log_normaliser` is log Z, known by quadrature to about 1e-12; its samples
    are within 1e-7 in total variation. In a plane a spline through -V / T on a grid, log Z in `info`, as accurate as
    its `accuracy` says. The mass is found by looks at V on grids out to 1e6 (a line) or 1e3 (a plane) that are refined
    towards the lowest point: a well narrower than a few thousandths of its distance from zero goes unseen, unless it is
    where the others are, or the deepest that was met.

    Parameters
    ----------
    potential
        V, states (..., D) to (...).
    temperature
        T > 0.
    dim
        D, 1 or 2.
    period
        The length of a ring (D = 1): the law is one on [0, period].

    Raises
    ------
    ValueError
        When exp(-V / T) cannot be normalised, V is NaN somewhere, or D > 2.
    """
    if dim > 2:
        raise ValueError(f"a Boltzmann law is normalised for D <= 2; got D = {dim}: simulate a long time instead")
    if dim == 2:
        return _in_the_plane(potential, temperature)

    def log_weight(x: Tensor) -> Tensor:
        return -_checked(potential, x) / temperature

    if period is not None:
        return _on_a_ring(log_weight, period)
    _require_confining(log_weight)
    lower, upper, points, top = _located(log_weight)
    law = LogDensity.unnormalised(lambda x: log_weight(x) - top, breakpoints=points)
    return _finished(law, top, (lower, upper, points))


def one_time(process: Process, t: Any) -> float:
    """One time at which a process is frozen, checked to be in its range.

    Raises
    ------
    ValueError
        For several times.
    """
    time = as_tensor(t, "t")
    if time.numel() != 1:
        raise ValueError(f"t must be one time: the law is found for each by itself; got shape {tuple(time.shape)}")
    process._times(t=time)
    return float(time)


def one_number(values: Tensor) -> float | None:
    """The number that all entries are, None where they differ."""
    first = float(values.flatten()[0])
    return first if bool(((values - first).abs() <= 1e-14 * abs(first)).all()) else None


def one_period(period: Tensor | None) -> float | None:
    """The period of the only coordinate, None on a line."""
    length = math.inf if period is None else float(period.reshape(()))
    return length if math.isfinite(length) else None


def _on_a_ring(log_weight: Potential, period: float) -> LogDensity:
    x = torch.linspace(0.0, period, 4097, dtype=torch.float64)
    values = log_weight(x[:, None])
    if not math.isclose(float(values[0]), float(values[-1]), rel_tol=1e-9, abs_tol=1e-9):
        raise ValueError(
            f"the potential must have the period {period:.6g}; got V / T = {-float(values[0]):.6g} at x = 0 and "
            f"{-float(values[-1]):.6g} one period further"
        )
    top = float(values.max())
    points = _peaks(x, values)
    law = LogDensity.unnormalised(lambda x: log_weight(x) - top, lower=[0.0], upper=[period], breakpoints=points)
    return _finished(law, top, (0.0, period, points))


def _finished(law: LogDensity, top: float, support: tuple[float, float, list[float]]) -> LogDensity:
    """The law with log Z of the potential itself, and a sampler that is made when it is first asked for."""
    assert law.log_normaliser is not None
    law.log_normaliser = law.log_normaliser + top
    tables: list[tuple[Tensor, Tensor, Tensor]] = []

    def sampler(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        if not tables:
            tables.append(_cells(lambda x: law.log_prob(x[:, None]).exp(), *support))
        return _drawn(tables[0], shape, generator)

    law.sampler = sampler
    return law


# -- where the mass is -------------------------------------------------------------------------------------------------


def _checked(potential: Potential, x: Tensor) -> Tensor:
    """V, which may be +infinity (a wall) but not NaN or -infinity.

    Raises
    ------
    ValueError
        Naming the state.
    """
    values = potential(x)
    bad = torch.isnan(values) | torch.isneginf(values)
    if bool(bad.any()):
        where = tuple(torch.nonzero(bad)[0].tolist())
        raise ValueError(f"potential must be a number; got {values[where].item()} at the state {x[where].tolist()}")
    return values


def _require_confining(log_weight: Potential) -> None:
    """exp(-V / T) must fall off faster than 1 / |x| on both sides.

    Raises
    ------
    ValueError
        When it does not at the distances 1e6 and 1e9.
    """
    for sign, side in ((-1.0, "-"), (1.0, "+")):
        far = sign * torch.tensor([[1e6], [2e6], [1e9], [2e9]], dtype=torch.float64)
        near, beyond = log_weight(far)[0::2], log_weight(far)[1::2]
        slope = torch.where(torch.isneginf(beyond), -torch.inf, (beyond - near) / math.log(2.0))
        if not bool((slope < -1.001).all()):
            raise ValueError(
                f"the potential does not confine: exp(-V / T) falls off as |x|^({float(slope.max()):.4g}) towards "
                f"{side}infinity and cannot be normalised, so that there is no equilibrium"
            )


def _located(log_weight: Potential) -> tuple[float, float, list[float], float]:
    """Ends of the range where exp(-V / T) is within e^-40 of its top, its peaks, and the top."""
    steps = torch.linspace(-math.asinh(_FAR * 1e3), math.asinh(_FAR * 1e3), 8001, dtype=torch.float64)
    x = 1e-3 * torch.sinh(steps)
    for _ in range(40):
        values = log_weight(x[:, None])
        inside = torch.nonzero(values > values.max() - _DEPTH)[:, 0]
        first, last = max(int(inside[0]) - 1, 0), min(int(inside[-1]) + 1, len(x) - 1)
        settled = last - first > 1000
        lower, upper = float(x[first]), float(x[last])
        x = torch.linspace(lower, upper, 8001, dtype=torch.float64)
        if settled:
            break
    values = log_weight(x[:, None])
    return lower, upper, [lower, *_peaks(x, values), upper], float(values.max())


def _peaks(x: Tensor, values: Tensor, most: int = 30) -> list[float]:
    """The highest local maxima of values on a grid."""
    padded = torch.nn.functional.pad(values, (1, 1), value=-torch.inf)
    peak = (values >= padded[:-2]) & (values >= padded[2:]) & (values > values.max() - _DEPTH)
    found = torch.nonzero(peak)[:, 0]
    best = found[values[found].argsort(descending=True, stable=True)][:most]
    return sorted(x[best].tolist())


# -- samples on a line -------------------------------------------------------------------------------------------------


def _cells(
    density: Callable[[Tensor], Tensor], lower: float, upper: float, points: list[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Edges and densities of cells in which a straight line is close to the density, and the sums of their mass."""
    edges = torch.cat([torch.linspace(lower, upper, 2049, dtype=torch.float64), torch.tensor(points).double()]).unique()
    values = density(edges)
    for _ in range(40):
        middles = 0.5 * (edges[1:] + edges[:-1])
        between = density(middles)
        off = (between - 0.5 * (values[1:] + values[:-1])).abs() * edges.diff()  # 3/2 of a parabola's area
        rough = off > _CELLS / len(off)
        if not bool(rough.any()) or len(edges) > 2**21:
            break
        edges, order = torch.cat([edges, middles[rough]]).sort()
        values = torch.cat([values, between[rough]])[order]
    masses = 0.5 * (values[1:] + values[:-1]) * edges.diff()
    return edges, values, torch.cat([masses.new_zeros(1), masses.cumsum(0)])


def _drawn(table: tuple[Tensor, Tensor, Tensor], shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Draws (*shape, 1) by the inverse of the distribution function of a density that is straight in each cell."""
    edges, values, sums = table
    level = torch.rand(*shape, 1, generator=generator, dtype=torch.float64) * sums[-1]
    cell = (torch.searchsorted(sums, level, right=True) - 1).clamp(0, len(edges) - 2)
    rest, width = level - sums[cell], edges[cell + 1] - edges[cell]
    start, slope = values[cell], (values[cell + 1] - values[cell]) / width
    # start s + slope s^2 / 2 = rest, in the form that does not cancel
    root = (start.square() + 2 * slope * rest).clamp(min=0.0).sqrt()
    return edges[cell] + (2 * rest / (start + root).clamp(min=torch.finfo(torch.float64).tiny)).clamp(max=width)


# -- the plane ---------------------------------------------------------------------------------------------------------


def _in_the_plane(potential: Potential, temperature: float) -> GridDensity:
    """The same in two coordinates: -V / T on a grid of states where the mass is, which is found by zooming in."""

    def log_weight(axes: list[Tensor]) -> Tensor:
        values = -_checked(potential, torch.cartesian_prod(*axes)) / temperature
        return values.reshape(len(axes[0]), len(axes[1]))

    steps = torch.linspace(-math.asinh(1e4), math.asinh(1e4), _SIDE, dtype=torch.float64)
    axes = [0.1 * torch.sinh(steps)] * 2
    for k in range(40):
        values = log_weight(axes)
        inside = values > values.max() - _DEPTH
        ranges = []
        for seen in (inside.any(1), inside.any(0)):
            found = torch.nonzero(seen)[:, 0]
            ranges.append((max(int(found[0]) - 1, 0), min(int(found[-1]) + 1, _SIDE - 1)))
        if k == 0 and any(low == 0 or high == _SIDE - 1 for low, high in ranges):
            raise ValueError(
                "the potential does not confine: exp(-V / T) has not fallen by e^-40 at the distance 1000 from the "
                "origin, so that there is no equilibrium in reach"
            )
        axes = [
            torch.linspace(float(axis[low]), float(axis[high]), _SIDE, dtype=torch.float64)
            for axis, (low, high) in zip(axes, ranges, strict=True)
        ]
        if k and all(high - low > _SIDE // 2 for low, high in ranges):
            break
    values = log_weight(axes)
    top = values.max()
    values = (values - top).clamp(min=-700.0)
    law = GridDensity(axes, values)
    nodes = torch.cartesian_prod(*(axis[1::2] for axis in axes))
    log_density = law.log_prob(nodes)
    density = log_density.exp()
    change = (law.thinned().log_prob(nodes) - log_density).exp() - 1
    accuracy = float((change.abs() * density).sum() / density.sum())
    peak = int(values.argmax())
    centre = torch.cartesian_prod(*axes)[peak]
    law.accuracy = accuracy
    law.info["log_normaliser"] = float(top + values.flatten()[peak] - law.log_prob(centre))
    return law
