"""Displacement interpolation between scalar laws: every quantile moves on a straight line at constant speed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.tensors import Generator, as_generator, as_tensor, validating
from infotherm.distributions.base import Distribution
from infotherm.transport.monotone_path import MonotonePath
from infotherm.transport.quantiles import Quantiles, quantiles_of
from infotherm.transport.second_order import wasserstein2

_MARKS = (1e-16, 1e-10, 1e-6, 1e-3, 0.03, 0.2, 0.5)  # levels at which a quadrature over a law on the way must break


@dataclass(frozen=True, eq=False)
class LineGeodesic:
    """The shortest path from p to q in Wasserstein-2 between two scalar laws with densities.

    With F and G their distribution functions, the point at level u moves from F^-1(u) to G^-1(u), and paths do not
    cross: x_t = (1 - t) x_0 + t T(x_0) with the increasing map T = G^-1(F). Found from a table of T (`MonotonePath`).

    Attributes
    ----------
    start, end
        The laws at t = 0 and t = 1.
    curve
        The pairs (x_0, T(x_0)), with their accuracy.
    """

    start: Distribution
    end: Distribution
    curve: MonotonePath

    @cached_property
    def distance(self) -> Estimate:
        """W2(p, q)."""
        return wasserstein2(self.start, self.end)

    def at(self, t: Any) -> DisplacedLaw:
        """The law at one time t in [0, 1].

        Raises
        ------
        ValueError
            For t outside [0, 1], or several times.
        """
        t = self._time(t)
        if t.numel() != 1:
            raise ValueError(f"t must be one time; got shape {tuple(t.shape)}")
        return DisplacedLaw(self, float(t))

    def ends(self, x: Any, t: Any) -> tuple[Tensor, Tensor]:
        """The ends x_0 and x_1 of the path through x (..., 1) at time t (...), each (..., 1), without gradient.

        Raises
        ------
        ValueError
            For t outside [0, 1] or points with several coordinates.
        """
        x = self.start._points(x)
        found = self.curve.through(x[..., 0].detach(), self._time(t))
        start, end = (
            y.to(x)[..., None].clamp(*(end.to(x) for end in law.bounds()))
            for law, y in zip((self.start, self.end), found, strict=True)
        )
        return start, end

    def velocity(self, x: Any, t: Any) -> Tensor:
        """The velocity v(x, t) = x_1 - x_0 of the path that is at x at time t, shape (..., 1), without gradient.

        Exact but for `velocity_error`. Outside the support paths are continued from its end.

        Raises
        ------
        ValueError
            For t outside [0, 1] or points with several coordinates.
        """
        start, end = self.ends(x, t)
        return end - start

    def velocity_error(self, x: Any, t: Any) -> Tensor:
        """How far v(x, t) can be off for the accuracy of the table of the map, shape (..., 1).

        accuracy s0 s1 / ((1 - t) s0 g + t s1 (1 - g)) with the spreads s0, s1 and the slope g of the curve: large
        where the map is steep, as at t = 0 where mass is torn apart.
        """
        x, t = self.start._points(x), self._time(t)
        start, end = self.curve.through(x[..., 0].detach(), t)
        s0, s1 = self.curve.scales
        y0, y1 = self.curve._scaled(0, start), self.curve._scaled(1, end)
        g = self.curve._slope(torch.stack([y0, y1]))
        off = (self.curve.accuracy + 64 * torch.finfo(x.dtype).eps) * (1 + (y0 + y1).abs())
        return (off * s0 * s1 / ((1 - t) * s0 * g + t * s1 * (1 - g))).to(x)[..., None]

    def gradient(self, x: Any, t: Any) -> Tensor:
        """dv/dx = p_t(x) (1 / q(x_1) - 1 / p(x_0)), shape (...).

        p_t is the density at time t; 0 < dx_1/dx_0 = p(x_0) / q(x_1) is large where mass is torn apart.
        """
        start, end = self._stretch(x, t)[:2]
        return end.exp() - start.exp()

    def map(self, x: Any) -> Tensor:
        """The optimal map T(x) from p to q, shape (..., 1)."""
        return self.ends(x, 0.0)[1]

    def _stretch(self, x: Any, t: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """log dx_0/dx and log dx_1/dx, and the ends, each (...).

        1 / p_t = (1 - t) / p(x_0) + t / q(x_1), and dx_0/dx = p_t / p(x_0).
        """
        t = self._time(t)
        x0, x1 = self.ends(x, t)
        log_p, log_q = self.start.log_prob(x0).to(x0), self.end.log_prob(x1).to(x0)
        log_t, log_rest = t.to(x0).log(), torch.log1p(-t.to(x0))
        # where both densities vanish nothing is known: paths that stay parallel
        ratio = (log_p - log_q).nan_to_num(nan=0.0)
        behind = torch.where(log_rest > -math.inf, log_rest - ratio, -math.inf)
        ahead = torch.where(log_t > -math.inf, log_t + ratio, -math.inf)
        return -torch.logaddexp(log_rest, ahead), -torch.logaddexp(behind, log_t), x0, x1

    def _time(self, t: Any) -> Tensor:
        t = as_tensor(t, "t", dtype=torch.float64, device=self.start.device)
        if validating(t) and not bool(((t >= 0) & (t <= 1)).all()):
            raise ValueError(f"t must lie in [0, 1]; got {t.flatten()[~((t >= 0) & (t <= 1)).flatten()][0].item()}")
        return t

    def __repr__(self) -> str:
        return f"LineGeodesic({self.start!r} -> {self.end!r}, {len(self.curve.starts)} nodes)"


class DisplacedLaw(Distribution):
    """The law on the way from p to q at a fraction t: that of (1 - t) X_0 + t T(X_0).

    Density 1 / ((1 - t) / p(x_0) + t / q(x_1)) at x = (1 - t) x_0 + t x_1, by inversion of that increasing function.

    Parameters
    ----------
    path
        A `LineGeodesic`.
    t
        In [0, 1].

    Attributes
    ----------
    path, t
        As given.
    """

    def __init__(self, path: LineGeodesic, t: float) -> None:
        self.path, self.t = path, t
        dtype = torch.promote_types(path.start.dtype, path.end.dtype)
        super().__init__((), 1, dtype=dtype, device=path.start.device)

    def log_prob(self, value: Any) -> Tensor:
        """The log-density at `value`, shape (..., 1) -> (...), differentiable once in it; -inf off the support."""
        x = self._points(value)
        log_density = self._log_density(x.detach())
        if torch.is_grad_enabled() and x.requires_grad:
            slope = self.score(x.detach())
            log_density = log_density + (slope * (x - x.detach()))[..., 0]
        return log_density

    def _log_density(self, x: Tensor) -> Tensor:
        ends = zip((1 - self.t, self.t), (self.path.start, self.path.end), self.path.ends(x, self.t), strict=True)
        terms = [math.log(share) - law.log_prob(point).to(x) for share, law, point in ends if share > 0]
        density = -terms[0] if len(terms) == 1 else -torch.logaddexp(*terms)
        lower, upper = self.bounds()
        return torch.where(((x >= lower) & (x <= upper))[..., 0], density, -math.inf)

    def score(self, x: Any) -> Tensor:
        """d/dx log p_t, shape (..., 1), without gradient.

        p_t^2 ((1 - t) s_p(x_0) / p(x_0)^2 + t s_q(x_1) / q(x_1)^2) with the scores s_p and s_q of the two laws.

        Raises
        ------
        NotImplementedError
            When a law has no score.
        """
        return self.velocity_and_score(x)[1]

    def velocity_and_score(self, x: Any) -> tuple[Tensor, Tensor]:
        """The velocity of the path at time t and the score there, each (..., 1), by one inversion."""
        x = self._points(x).detach()
        start, end, x0, x1 = self.path._stretch(x, self.t)
        total = torch.zeros_like(x)
        for share, law, point, stretch in ((1 - self.t, self.path.start, x0, start), (self.t, self.path.end, x1, end)):
            if share > 0:
                total = total + share * (2 * stretch).exp()[..., None] * law.score(point).detach().to(x)
        return x1 - x0, total

    def curvature(self, x: Any) -> Tensor:
        """d^2/dx^2 log p_t, shape (...), without gradient; needs laws whose scores torch can differentiate."""
        x = self._points(x).detach()
        start, end, x0, x1 = self.path._stretch(x, self.t)
        total = 2 * self.score(x)[..., 0].square()
        for share, law, point, stretch in ((1 - self.t, self.path.start, x0, start), (self.t, self.path.end, x1, end)):
            if share > 0:
                own, slope = _score_and_slope(law, point)
                total = total + share * (3 * stretch).exp() * (slope - 2 * own.square())
        return total

    def cdf(self, value: Any) -> Tensor:
        """P(X <= value), shape (..., 1) -> (...)."""
        return self.levels(self._points(value)[..., 0])[0]

    def levels(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """P(X <= x) and P(X > x), each accurate where it is small, of the shape of x."""
        first, second = self.path.curve.through(x.detach(), torch.as_tensor(self.t, dtype=torch.float64))
        # the level is known best from the end in whose law the point does not lie in a gap
        below = [table.levels(y) for table, y in zip(self.path.curve.tables, (first, second), strict=True)]
        side = 0 if self.t < 0.5 else 1
        return below[side][0].to(x), below[side][1].to(x)

    def icdf(self, value: Any) -> Tensor:
        """The quantile (1 - t) F^-1(u) + t G^-1(u), shape (...) -> (..., 1).

        Raises
        ------
        ValueError
            For levels outside [0, 1].
        """
        level = as_tensor(value, "value", dtype=self.dtype, device=self.device)
        if validating(level) and not bool(((level >= 0) & (level <= 1)).all()):
            raise ValueError(f"value must be a probability between 0 and 1; got {level.flatten()[0].item():.6g}")
        return self.quantiles(level, 1 - level)[..., None]

    def quantiles(self, below: Tensor, above: Tensor) -> Tensor:
        """The point with so much probability below it and above it, each accurate where it is the smaller one."""
        first, second = (table.quantiles(below, above) for table in self.path.curve.tables)
        return (1 - self.t) * first + self.t * second

    def sample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
        """Independent draws, shape (*sample_shape, 1): quantiles of uniform levels."""
        shape = tuple(torch.Size(sample_shape))
        level = torch.rand(
            shape, generator=as_generator(generator, self.device), dtype=torch.float64, device=self.device
        )
        return self.icdf(level.to(self.dtype))

    @property
    def mean(self) -> Tensor:
        """(1 - t) E X_0 + t E X_1, shape (1,)."""
        return (1 - self.t) * self.path.start.mean + self.t * self.path.end.mean

    @property
    def covariance(self) -> Tensor:
        """(1 - t) Var X_0 + t Var X_1 - t (1 - t) Var(X_1 - X_0), shape (1, 1)."""
        first, second = self.path.start, self.path.end
        stretched = self.path.distance.value.square() - (second.mean - first.mean).square()[0]
        return (1 - self.t) * first.covariance + self.t * second.covariance - self.t * (1 - self.t) * stretched

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The ends of the support, each (1,)."""
        corners = []
        for first, second in zip(self.path.start.bounds(), self.path.end.bounds(), strict=True):
            ends = [share * end for share, end in ((1 - self.t, first), (self.t, second)) if share > 0]
            corners.append(sum(ends[1:], ends[0]).to(self.dtype))
        return corners[0], corners[1]

    def breakpoints(self) -> Tensor:
        """Quantiles, and where the breakpoints of the two ends have gone, shape (P,)."""
        level = torch.tensor(_MARKS, dtype=torch.float64, device=self.device)
        curve = self.path.curve
        points = [self.quantiles(level, 1 - level), self.quantiles(1 - level, level)]
        for side, law in enumerate((self.path.start, self.path.end)):
            marks = law.breakpoints().detach().to(torch.float64).flatten()
            marks = marks[(marks > curve.tables[side].edges[0]) & (marks < curve.tables[side].edges[-1])]
            partner = curve.tables[1 - side].quantiles(*curve.tables[side].levels(marks))
            share = (self.t, 1 - self.t)[side]
            points.append((1 - share) * marks + share * partner)
        return torch.cat(points).unique().to(self.dtype)

    def __repr__(self) -> str:
        return f"DisplacedLaw(t={self.t:g} of {self.path!r})"


def _score_and_slope(law: Distribution, x: Tensor) -> tuple[Tensor, Tensor]:
    """The score of a scalar law and its derivative, each (...)."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        score = law.score(point)
        (slope,) = torch.autograd.grad(score.sum(), point)
    return score.detach()[..., 0].to(x), slope[..., 0].to(x)


@quantiles_of.register
def _(law: DisplacedLaw) -> Quantiles:
    return law.quantiles


def line_geodesic(p: Distribution, q: Distribution) -> LineGeodesic:
    """The geodesic between two scalar laws with densities.

    Raises
    ------
    ValueError
        As `MonotonePath`.
    """
    return LineGeodesic(p, q, MonotonePath(p, q))
