"""GridDensity: a law whose log-density is known on a grid, as a spline through it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.tensors import Generator, as_generator, as_tensor, require_finite
from infotherm.distributions.base import Distribution

_POINTS = {1: 5, 2: 3}  # Gauss-Legendre nodes of a cell and axis


class GridDensity(Distribution):
    """The law p = exp(s) with a spline s through log-densities on a uniform grid, normalised; D = 1 or 2.

    The spline is of degree five on a line and three in the plane, so that the score is smooth. Off the grid, where next
    to nothing is, log p falls linearly; on a ring states are taken modulo the period.

    Parameters
    ----------
    axes
        The nodes of each axis, uniform, shapes (n_i,). On a periodic axis the last node is one spacing before the image
        of the first.
    log_density
        log p at the nodes up to a constant, shape (n_1,) or (n_1, n_2).
    periods
        The period of each axis, None where it is a line.
    frame
        Matrix (D, D): the grid is one in the coordinates y with x = frame y. The identity unless given.
    accuracy
        What is known of the relative error of p where most of its mass is.
    info
        What else is known of how it was found.

    Raises
    ------
    ValueError
        When nodes are not uniform, shapes do not fit, or a log-density is not finite.

    Examples
    --------
    >>> x = torch.linspace(-7.0, 7.0, 141, dtype=torch.float64)
    >>> p = GridDensity([x], -0.5 * x**2)
    >>> round(p.log_prob([0.5]).exp().item(), 10), round(p.score([0.5]).item(), 8)
    (0.3520653268, -0.5)
    """

    def __init__(
        self,
        axes: Sequence[Any],
        log_density: Any,
        periods: Sequence[float | None] | None = None,
        frame: Any = None,
        *,
        accuracy: float = 0.0,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.axes = tuple(as_tensor(axis, "axes", dtype=torch.float64) for axis in axes)
        dim = len(self.axes)
        values = require_finite(as_tensor(log_density, "log_density", dtype=torch.float64), "log_density")
        if dim not in (1, 2) or tuple(values.shape) != tuple(len(axis) for axis in self.axes):
            raise ValueError(
                f"log_density must have one entry for each node of one or two axes, shape "
                f"{tuple(len(axis) for axis in self.axes)}; got {tuple(values.shape)}"
            )
        self.periods = tuple(periods) if periods is not None else (None,) * dim
        self.accuracy, self.info = float(accuracy), dict(info or {})
        self.frame = None if frame is None else as_tensor(frame, "frame", dtype=torch.float64)
        self._volume = 1.0 if self.frame is None else float(torch.linalg.det(self.frame).abs())
        self._starts = tuple(float(axis[0]) for axis in self.axes)
        self._spacings = tuple(_spacing(axis) for axis in self.axes)
        self._log_values = values
        degree = 5 if dim == 1 else 3
        self._pieces = _pieces(values - values.max(), self.periods, degree)
        masses = self._cell_masses()
        self._log_norm = float(masses.sum().log())
        self._masses = masses / masses.sum()
        super().__init__((), dim, dtype=torch.float64, device=values.device)

    # -- the density -------------------------------------------------------------------------------------------------

    def log_prob(self, value: Any) -> Tensor:
        """The log-density at `value`, shape (..., D) -> (...); with gradient."""
        return self._log_prob_on_grid(self._on_grid(self._points(value))) - math.log(self._volume)

    def _on_grid(self, x: Tensor) -> Tensor:
        x = x.to(torch.float64)
        return x if self.frame is None else torch.linalg.solve(self.frame, x[..., None])[..., 0]

    def _log_prob_on_grid(self, y: Tensor) -> Tensor:
        inside, beyond = [], []
        for axis, (start, spacing, period) in enumerate(zip(self._starts, self._spacings, self.periods, strict=True)):
            coordinate = y[..., axis]
            if period is not None:
                inside.append(start + torch.remainder(coordinate - start, period))
                beyond.append(None)
                continue
            end = start + spacing * self._pieces.shape[2 * axis + 1]
            inside.append(coordinate.clamp(start, end))
            beyond.append(coordinate - inside[-1].detach())
        log_density = self._spline(inside)
        outside = [b for b in beyond if b is not None]
        if outside and bool((torch.stack([b.detach() for b in outside]) != 0).any()):
            log_density = log_density + self._fall(inside, beyond)
        return log_density - self._log_norm

    def _fall(self, inside: list[Tensor], beyond: list[Tensor | None]) -> Tensor:
        """How log p goes on off the grid: with the slope at the edge, and down in any case."""
        with torch.enable_grad():
            edge = [c.detach().requires_grad_() for c in inside]
            slopes = torch.autograd.grad(self._spline(edge).sum(), edge)
        total = torch.zeros_like(inside[0])
        for axis, (slope, distance) in enumerate(zip(slopes, beyond, strict=True)):
            if distance is None:
                continue
            width = self._spacings[axis] * self._pieces.shape[2 * axis + 1]
            steepness = (-slope * distance.detach().sign()).clamp(min=10.0 / width)
            total = total - steepness.detach() * torch.where(distance.detach() == 0, 0.0, distance.abs())
        return total

    def _spline(self, coordinates: list[Tensor]) -> Tensor:
        """The spline at points on the grid, one tensor for each coordinate."""
        cells, powers = [], []
        for axis, coordinate in enumerate(coordinates):
            place = (coordinate - self._starts[axis]) / self._spacings[axis]
            cell = place.detach().floor().clamp(0, self._pieces.shape[2 * axis + 1] - 1).to(torch.int64)
            cells.append(cell)
            powers.append(place - cell)
        if len(cells) == 1:
            return _horner(self._pieces[:, cells[0]], powers[0])
        local = self._pieces[:, cells[0], :, cells[1]]  # (*points, degree + 1, degree + 1)
        first = _horner(local.movedim(-2, 0), powers[0][..., None])
        return _horner(first.movedim(-1, 0), powers[1])

    # -- integrals ---------------------------------------------------------------------------------------------------

    def _cell_points(self) -> tuple[list[Tensor], Tensor]:
        """Gauss-Legendre points of all cells (cells..., points...) for each axis, and weights of that shape."""
        points = _POINTS[len(self.axes)]
        nodes, weights = _legendre(points)
        lines = []
        for axis, (start, spacing) in enumerate(zip(self._starts, self._spacings, strict=True)):
            count = self._pieces.shape[2 * axis + 1]
            lines.append(start + spacing * (torch.arange(count, dtype=torch.float64)[:, None] + nodes))
        scaled = [spacing * weights for spacing in self._spacings]
        if len(lines) == 1:
            return lines, scaled[0].expand(lines[0].shape)
        first, second = lines
        shape = (len(first), len(second), points, points)
        grid = [first[:, None, :, None].expand(shape), second[None, :, None, :].expand(shape)]
        return grid, (scaled[0][:, None] * scaled[1]).expand(shape)

    def _cell_masses(self) -> Tensor:
        points, weights = self._cell_points()
        density = torch.exp(self._spline(points)) * weights
        return density.sum(-1) if len(points) == 1 else density.sum((-2, -1))

    def expectation(self, function: Any) -> Tensor:
        """E f(X) by Gauss-Legendre quadrature in every cell, for f of points (..., D) with values (..., *event)."""
        points, weights = self._cell_points()
        y = torch.stack(points, -1)
        density = torch.exp(self._spline(points) - self._log_norm) * weights
        x = y if self.frame is None else y @ self.frame.T
        # only where there is mass: a function that overflows in the far tails times nothing is nothing
        carried = density > density.max() * 1e-300
        values = function(torch.where(carried[..., None], x, x.reshape(-1, x.shape[-1])[int(density.argmax())]))
        return torch.tensordot(torch.where(carried, density, 0.0), values, density.ndim)

    def thinned(self) -> GridDensity:
        """The same law through every second node: what is lost by it says how well the spline does."""
        axes, log_density = list(self.axes), self._log_values
        for axis, period in enumerate(self.periods):
            count = len(axes[axis])
            if period is not None and count % 2:
                raise ValueError(f"a periodic axis must have an even number of nodes to be thinned; got {count}")
            axes[axis] = axes[axis][::2]
            log_density = log_density.movedim(axis, 0)[::2].movedim(0, axis)
        return GridDensity(axes, log_density, self.periods, self.frame, accuracy=self.accuracy)

    @property
    def mean(self) -> Tensor:
        """E X, shape (D,); on a ring that of the coordinate between 0 and the period."""
        return torch.stack([self.expectation(lambda x, i=i: x[..., i]) for i in range(self.dim)])

    @property
    def covariance(self) -> Tensor:
        """Cov X, shape (D, D)."""
        mean = self.mean
        rows = [
            torch.stack(
                [
                    self.expectation(lambda x, i=i, j=j: (x[..., i] - mean[i]) * (x[..., j] - mean[j]))
                    for j in range(self.dim)
                ]
            )
            for i in range(self.dim)
        ]
        return torch.stack(rows)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The real line or plane; one period of a periodic coordinate."""
        lower, upper = super().bounds()
        for axis, (start, period) in enumerate(zip(self._starts, self.periods, strict=True)):
            if period is not None:
                lower[axis], upper[axis] = start, start + period
        return lower, upper

    def breakpoints(self) -> Tensor:
        """Ends of the grid and points between which about a thirtieth of the mass lies, shape (P,)."""
        if self.dim != 1:
            return super().breakpoints()
        total = self._masses.cumsum(0)
        levels = torch.linspace(0.0, 1.0, 33, dtype=torch.float64)[1:-1]
        levels = torch.cat(
            [levels.new_tensor([1e-12, 1e-8, 1e-5, 1e-3]), levels, 1 - levels.new_tensor([1e-3, 1e-5, 1e-8])]
        )
        cells = torch.searchsorted(total, levels).clamp(max=len(total) - 1)
        cells = torch.cat([cells.new_tensor([0]), cells, cells.new_tensor([len(total)])]).unique()
        return self._starts[0] + self._spacings[0] * cells.to(torch.float64)

    # -- draws and quantiles -----------------------------------------------------------------------------------------

    def cdf(self, value: Any) -> Tensor:
        """P(X <= value) of a scalar law, shape (..., 1) -> (...); between 0 and the period on a ring."""
        self._require_scalar("cdf")
        x = self._points(value)[..., 0].detach().to(torch.float64)
        place = (x - self._starts[0]) / self._spacings[0]
        cell = place.floor().clamp(0, len(self._masses) - 1).to(torch.int64)
        before = torch.cat([self._masses.new_zeros(1), self._masses.cumsum(0)])
        return (before[cell] + self._partial(cell, (place - cell).clamp(0.0, 1.0))).clamp(0.0, 1.0)

    def icdf(self, value: Any) -> Tensor:
        """The quantile of a scalar law, shape (...) -> (..., 1)."""
        self._require_scalar("icdf")
        level = as_tensor(value, "value", dtype=torch.float64).detach()
        if not bool(((level >= 0) & (level <= 1)).all()):
            raise ValueError(f"value must be a probability between 0 and 1; got {level.flatten()[0].item():.6g}")
        total = self._masses.cumsum(0)
        cell = torch.searchsorted(total, level).clamp(max=len(total) - 1)
        wanted = level - total[cell] + self._masses[cell]
        place = (wanted / self._masses[cell].clamp(min=torch.finfo(torch.float64).tiny)).clamp(0.0, 1.0)
        for _ in range(4):  # Newton's steps on the mass of the cell up to the point, which is almost linear
            point = self._starts[0] + self._spacings[0] * (cell + place)
            slope = torch.exp(self._spline([point]) - self._log_norm) * self._spacings[0]
            miss = wanted - self._partial(cell, place)
            place = (place + miss / slope.clamp(min=torch.finfo(torch.float64).tiny)).clamp(0.0, 1.0)
        return (self._starts[0] + self._spacings[0] * (cell + place))[..., None]

    def _partial(self, cell: Tensor, place: Tensor) -> Tensor:
        """The mass of a cell up to a fraction of it."""
        nodes, weights = _legendre(_POINTS[1])
        points = self._starts[0] + self._spacings[0] * (cell[..., None] + place[..., None] * nodes)
        density = torch.exp(self._spline([points]) - self._log_norm)
        return (density * weights).sum(-1) * place * self._spacings[0]

    def sample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
        """Independent draws, shape (*sample_shape, D), without gradient; from the inverse of the cdf where D = 1."""
        generator = as_generator(generator, self.device)
        shape = tuple(torch.Size(sample_shape))
        count = math.prod(shape)
        if self.dim == 1:
            uniform = torch.rand(count, dtype=torch.float64, device=self.device, generator=generator)
            return self.icdf(uniform).reshape(*shape, 1)
        drawn = [self._rejected(count, generator)]
        while sum(map(len, drawn)) < count:
            drawn.append(self._rejected(count, generator))
        y = torch.cat(drawn)[:count]
        return (y if self.frame is None else y @ self.frame.T).reshape(*shape, self.dim)

    def _rejected(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Uniform points of cells drawn by their largest density, kept in proportion to the density there."""
        if not hasattr(self, "_tops"):
            points, _ = self._cell_points()
            self._tops = 1.25 * torch.exp(self._spline(points)).amax((-2, -1))
        tops = self._tops.flatten()
        cumulative = tops.cumsum(0)
        uniform = torch.rand(4, count, dtype=torch.float64, device=self.device, generator=generator)
        cell = torch.searchsorted(cumulative, uniform[0] * cumulative[-1]).clamp(max=len(tops) - 1)
        width = self._tops.shape[1]
        y = torch.stack(
            [
                self._starts[0] + self._spacings[0] * (cell // width + uniform[1]),
                self._starts[1] + self._spacings[1] * (cell % width + uniform[2]),
            ],
            -1,
        )
        return y[uniform[3] * tops[cell] <= torch.exp(self._spline([y[:, 0], y[:, 1]]))]

    def _require_scalar(self, what: str) -> None:
        if self.dim != 1:
            raise NotImplementedError(f"the {what} is that of a scalar law")

    def __repr__(self) -> str:
        nodes = " x ".join(str(len(axis)) for axis in self.axes)
        return f"GridDensity({nodes} nodes, D={self.dim}, accuracy={self.accuracy:.2g})"


def _spacing(axis: Tensor) -> float:
    if axis.ndim != 1 or len(axis) < 8:
        raise ValueError(f"axes must each have at least 8 nodes; got shape {tuple(axis.shape)}")
    steps = axis.diff()
    spacing = float(axis[-1] - axis[0]) / (len(axis) - 1)
    if not spacing > 0 or bool(((steps - spacing).abs() > 1e-6 * spacing).any()):
        raise ValueError("axes must have increasing nodes of one spacing")
    return spacing


def _pieces(values: Tensor, periods: tuple[float | None, ...], degree: int) -> Tensor:
    """Coefficients of the spline in every cell, highest power first: (degree + 1, cells) for each axis in turn."""
    from scipy.interpolate import make_interp_spline

    array = values.numpy()
    for axis, period in enumerate(periods):
        where = 2 * axis
        if period is not None:
            array = np.concatenate([array, np.take(array, [0], where)], where)
        places = np.arange(array.shape[where], dtype=np.float64)
        boundary = None if period is None else "periodic"
        spline = make_interp_spline(places, array, k=degree, axis=where, bc_type=boundary)  # pyright: ignore[reportArgumentType]
        # Taylor coefficients at the left end of every cell
        powers = [spline(places[:-1], nu=power) / math.factorial(power) for power in range(degree, -1, -1)]
        array = np.stack(powers, where)
    return torch.from_numpy(np.ascontiguousarray(array))


def _horner(coefficients: Tensor, x: Tensor) -> Tensor:
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


@cache
def _legendre(points: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    from infotherm.core.rules import gauss_legendre

    return gauss_legendre(points, 0.0, 1.0)
