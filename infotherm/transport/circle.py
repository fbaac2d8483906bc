"""Optimal transport on a circle: the line's monotone coupling, after the best cut."""

from __future__ import annotations

import math
import numbers
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.distributions import as_distribution
from infotherm.distributions.base import Distribution
from infotherm.transport.atoms import atoms_of, levels_error, powers_of, rooted, steps_between
from infotherm.transport.orders import checked_order

_MOST_CUTS = 200


def circle_wasserstein(p: Any, q: Any, *, period: float = 2 * math.pi, order: float = 1.0) -> Estimate:
    """W_order of two laws of atoms on a circle, with |x - y| the shorter way round.

    Order 1: min over c of the integral of |F - G - c| over the circle, c being the median of F - G by length. Other
    orders: min over s of the integral of |F^-1(u) - G^-1(u - s)|^order, a convex function of the shift s, piecewise
    linear for atoms, minimised by cutting planes: what its tangents leave open goes into the error.

    Parameters
    ----------
    p, q
        Scalar laws of atoms (`Empirical` of shape (N, 1), `Discrete`) without batch; points count modulo the period.
    period
        The length of the circle.
    order
        A finite number of at least 1.

    Returns
    -------
    Estimate
        Kind "exact", units "1". Differentiable in the points, for order 1 also in the weights.

    Raises
    ------
    ValueError
        For laws that are not scalar laws of atoms, a period that is not positive, an order below 1.

    Source: Delon, Salomon and Sobolevski, SIAM J. Appl. Math. 70, 2239 (2010); order 1: Cabrelli and Molter,
    J. Comput. Appl. Math. 54, 163 (1995).

    Examples
    --------
    >>> import infotherm as it
    >>> p, q = it.Empirical([[0.1], [0.5]]), it.Empirical([[0.9], [0.5]])
    >>> circle_wasserstein(p, q, period=1.0).value.item()  # half of the mass moves by 0.2 through zero
    0.1
    """
    order = checked_order(order)
    if isinstance(period, bool) or not isinstance(period, numbers.Real) or not 0 < period < math.inf:
        raise ValueError(f"period must be a positive number; got {period!r}")
    period = float(period)
    (x, a), (y, b) = (_on_circle(as_distribution(law, name), name) for law, name in ((p, "p"), (q, "q")))
    dtype = torch.promote_types(x.dtype, y.dtype)
    x, a, y, b = (t.to(dtype) for t in (x, a, y, b))
    # positions are known to some eps of themselves, by which they move at most
    blur = torch.finfo(dtype).eps * (x.detach().abs().amax() + y.detach().abs().amax() + period)
    x, y = torch.remainder(x, period), torch.remainder(y, period)
    found = _by_median(x, a, y, b, period) if order == 1 else _by_cuts(x, a, y, b, period, order)
    return Estimate(found.value, error=found.error + blur, units="1", info=found.info)


def _on_circle(law: Distribution, name: str) -> tuple[Tensor, Tensor]:
    if law.measure != "counting" or not getattr(law, "has_enumerate_support", False) or law.dim != 1 or law.batch_shape:
        raise ValueError(f"{name} must be one scalar law of atoms, such as Empirical of shape (N, 1); got {law!r}")
    points, weights = atoms_of(law)
    return points[:, 0], weights


def _by_median(x: Tensor, a: Tensor, y: Tensor, b: Tensor, period: float) -> Estimate:
    """Order 1: the area between the distribution functions after the best vertical shift."""
    places, order = torch.cat([x, y]).sort()
    excess = torch.cat([a, -b])[order].cumsum(0)  # F - G after each point
    lengths = torch.cat([places.diff(), places[:1] + period - places[-1:]])
    ranked = excess.detach().argsort()
    reached = lengths.detach()[ranked].cumsum(0)
    middle = ranked[(reached < reached[-1] / 2).sum().clamp(max=len(ranked) - 1)]
    value = (lengths * (excess - excess[middle]).abs()).sum()
    off = torch.finfo(x.dtype).eps * (len(x) + len(y)) * period
    return Estimate(value, error=rounding_error([value, value]) + off, units="1")


def _by_cuts(x: Tensor, a: Tensor, y: Tensor, b: Tensor, period: float, order: float) -> Estimate:
    (x, levels_x), (y, levels_y) = _staircase(x, a), _staircase(y, b)
    scale = 2.0 ** math.frexp(period)[1]
    x, y, turn = x / scale, y / scale, period / scale
    with torch.no_grad():
        curve = _Curve(x.detach(), levels_x.detach(), y.detach(), levels_y.detach(), turn, order)
        shift, left_open, slope = _minimised(curve)
    gaps, widths = steps_between(x, levels_x.detach(), *_shifted(y, levels_y.detach(), shift, turn))
    powers = powers_of(gaps, order)[1]
    power = (widths * powers).sum()
    off = torch.finfo(x.dtype).eps * (4 + len(x) + len(y))
    # levels after a shift are rounded, which moves the place at which a tangent was taken
    error = levels_error(power, powers, off) + left_open + 4 * torch.finfo(x.dtype).eps * slope
    return rooted(power, error, order, scale, "closed-form")


def _staircase(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    x, order = x.sort()
    levels = weights[order].cumsum(0)
    return x, torch.cat([levels[:-1].clamp(max=1.0), levels.new_ones(1)])


def _shifted(y: Tensor, levels: Tensor, shift: float, turn: float) -> tuple[Tensor, Tensor]:
    """The staircase of G^-1(u - shift) for u in (0, 1], where G^-1 climbs by a turn from each interval to the next."""
    moved = levels + shift
    turns = moved.ceil() - 1
    moved, order = (moved - turns).sort()
    lifted = (y - turns * turn)[order]
    return torch.cat([lifted, lifted[:1] + turn]), torch.cat([moved, moved.new_ones(1)])


class _Curve:
    """The cost as a function of the shift, with its slopes to the left and to the right."""

    def __init__(self, x: Tensor, levels_x: Tensor, y: Tensor, levels_y: Tensor, turn: float, order: float) -> None:
        self._x, self._levels_x, self._y, self._levels_y = x, levels_x, y, levels_y
        self._turn, self._order = turn, order
        self._next = torch.cat([x, x[:1] + turn])

    def at(self, shift: float) -> tuple[float, float, float]:
        y, levels = _shifted(self._y, self._levels_y, shift, self._turn)
        gaps, widths = steps_between(self._x, self._levels_x, y, levels)
        value = float((widths * gaps.abs().pow(self._order)).sum())
        slopes = []
        for right in (False, True):
            x = self._next[torch.searchsorted(self._levels_x, levels[:-1].contiguous(), right=right)]
            rise = (x - y[:-1]).abs().pow(self._order) - (x - y[1:]).abs().pow(self._order)
            slopes.append(float(rise.sum()))
        return value, slopes[0], slopes[1]


def _minimised(curve: _Curve) -> tuple[float, float, float]:
    """The shift of least cost, how far below it the tangents still allow the minimum, and the size of their slopes."""
    low, high = -1.0, 1.0
    (value_low, _, slope_low), (value_high, slope_high, _) = curve.at(low), curve.at(high)
    best, at = min((value_low, low), (value_high, high))
    bound = -math.inf
    for step in range(_MOST_CUTS):
        if slope_low >= 0 or slope_high <= 0:
            return (low, 0.0, slope_low) if slope_low >= 0 else (high, 0.0, -slope_high)
        meet = (value_high - value_low + slope_low * low - slope_high * high) / (slope_low - slope_high)
        bound = value_low + slope_low * (meet - low)
        if not low < meet < high or best - bound <= 4e-16 * best:
            break
        # tangents end a piecewise linear search, halves keep it from creeping
        shift = meet if step % 3 < 2 else (low + high) / 2
        value, left, right = curve.at(shift)
        best, at = min((best, at), (value, shift))
        if left <= 0 <= right:
            return shift, 0.0, max(-left, right)
        if right < 0:
            low, value_low, slope_low = shift, value, right
        else:
            high, value_high, slope_high = shift, value, left
    return at, max(best - bound, 0.0), max(-slope_low, slope_high)
