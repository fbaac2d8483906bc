"""The monotone rearrangement of one scalar law into another as a curve in the plane of start and end points.

The optimal coupling on a line lives on the curve {(x0, x1): P(X <= x0) = Q(Y <= x1)}. Along lambda = x0 + x1, both in
units of their own spread, its slope is dx0/dlambda = q / (p + q), between 0 and 1 whatever the laws do: where p has a
gap x0 moves alone, where q has one x1 does. The probability below a point resolves no gap, lambda resolves both.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from infotherm.distributions.base import Distribution
from infotherm.transport.density_table import density_table

_LAST_LEVEL = 1e-19  # beyond the quantiles of this level the curve is continued as a straight line
_START_NODES = 129
_MOST_NODES = 2**15
_MOST_STEPS = 40
_GOAL = 1e-11
_EPS = torch.finfo(torch.float64).eps


class MonotonePath:
    """The curve (x0, x1) of equal levels of two scalar laws, tabulated until a cubic between its nodes is accurate.

    Parameters
    ----------
    p, q
        Scalar laws with densities, without batch.

    Attributes
    ----------
    starts, ends
        The nodes x0 and x1, shape (K,), neither decreasing, in float64.
    accuracy
        How far from the curve the cubic is, in units of the spread of each law (the width between its quantiles of 5 %
        and 95 %) plus the distance from the median: the largest departure seen at the middles of the cells. Where a
        density is so low that the rounding of probabilities moves the quantiles by more, they are known to that only:
        eps min(u, 1 - u) / density.

    Raises
    ------
    ValueError
        As `DensityTable`.

    Warns
    -----
    RuntimeWarning
        When 32768 nodes are not enough.
    """

    def __init__(self, p: Distribution, q: Distribution) -> None:
        self.laws = (p, q)
        self.tables = (density_table(p), density_table(q))
        levels = torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64, device=p.device)
        bulk = [table.quantiles(levels, 1 - levels) for table in self.tables]
        self.centres = [b[1] for b in bulk]
        self.scales = [b[2] - b[0] for b in bulk]
        self._eps = max(torch.finfo(law.dtype).eps for law in self.laws)
        with torch.no_grad():
            self._tabulate()

    def _scaled(self, side: int, x: Tensor) -> Tensor:
        return (x - self.centres[side]) / self.scales[side]

    def _log_density(self, side: int, y: Tensor) -> Tensor:
        law = self.laws[side]
        # rounding must not put a node outside the support
        x = (self.centres[side] + self.scales[side] * y).clamp(*(end[0].to(y) for end in law.bounds()))
        return law.log_prob(x.to(law.dtype)[..., None]).to(torch.float64) + self.scales[side].log()

    def _slope(self, y: Tensor) -> Tensor:
        """dy0/dlambda = q / (p + q); where neither has a density any point of the gap will do."""
        return torch.sigmoid(self._log_density(1, y[1]) - self._log_density(0, y[0])).nan_to_num(nan=0.5)

    def _partner(self, side: int, y: Tensor) -> tuple[Tensor, Tensor]:
        """The other coordinate of the curve where one is y, and how far the rounding of its level moves it."""
        below, above = self.tables[side].levels(self.centres[side] + self.scales[side] * y)
        other = self._scaled(1 - side, self.tables[1 - side].quantiles(below, above))
        density = self._log_density(1 - side, other).exp()
        return other, 32 * self._eps * (1 + other.abs() + torch.minimum(below, above) / density.clamp(min=1e-300))

    def _first_nodes(self) -> Tensor:
        """Nodes at levels that grow sparser in the tails, and at the breakpoints of both laws."""
        steps = torch.linspace(-1.0, 1.0, _START_NODES, dtype=torch.float64, device=self.centres[0].device)
        odds = steps.sign() * steps.abs() ** 1.5 * -torch.logit(steps.new_tensor(_LAST_LEVEL))
        below, above = torch.sigmoid(odds), torch.sigmoid(-odds)
        y = torch.stack([self._scaled(side, self.tables[side].quantiles(below, above)) for side in (0, 1)])
        nodes = [y]
        for side in (0, 1):
            marks = self._scaled(side, self.laws[side].breakpoints().detach().to(torch.float64).flatten())
            marks = marks[(marks > y[side, 0]) & (marks < y[side, -1])]
            pair = [marks, self._partner(side, marks)[0]]
            nodes.append(torch.stack(pair if side == 0 else pair[::-1]))
        found = torch.cat(nodes, 1)
        # rounding must not let a coordinate turn back
        return found[:, found.sum(0).argsort()].cummax(1).values

    def _tabulate(self) -> None:
        y = self._first_nodes()
        slopes = self._slope(y)
        fresh = torch.ones(y.shape[1] - 1, dtype=torch.bool, device=y.device)
        worst, goal = self._eps, max(_GOAL, 64 * self._eps)
        while bool(fresh.any()):
            cells = torch.nonzero(fresh)[:, 0]
            if y.shape[1] + len(cells) > _MOST_NODES:
                warnings.warn(
                    f"the map between {self.laws[0]!r} and {self.laws[1]!r} is not resolved by {y.shape[1]} nodes: "
                    f"in {len(cells)} cells it is off by up to {self._worst(y, slopes, cells):.2g} of their spread",
                    RuntimeWarning,
                    stacklevel=5,
                )
                worst = max(worst, self._worst(y, slopes, cells))
                break
            left, right = y[:, cells], y[:, cells + 1]
            new, blur = self._middle(left, right)
            at = new.sum(0)
            off = (_cubic(left, right, slopes[cells], slopes[cells + 1], at - left.sum(0)) - new[0]).abs()
            rough = (off > goal * (1 + at.abs()) + blur) & ((right - left).sum(0) > 256 * self._eps * (1 + at.abs()))
            worst = max(worst, float(((off - blur) / (1 + at.abs())).masked_fill(rough, 0.0).max()))
            # every middle becomes a node, since it is known
            y, order = _inserted(y, new, cells)
            slopes = torch.cat([slopes, self._slope(new)])[order]
            again = torch.zeros(y.shape[1] - 1, dtype=torch.bool, device=y.device)
            places = cells + torch.arange(len(cells), device=y.device)
            again[places] = again[places + 1] = rough
            fresh = again
        self._y, self._slopes = y.contiguous(), slopes.contiguous()
        self.starts, self.ends = (self.centres[side] + self.scales[side] * y[side] for side in (0, 1))
        self.accuracy = worst

    def _middle(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """A point of the curve within each cell, halfway in the coordinate that moves more, and its blur."""
        first = (right[0] - left[0]) >= (right[1] - left[1])
        new, blur = 0.5 * (left + right), torch.zeros_like(left[0])
        for side, chosen in ((0, first), (1, ~first)):
            other, by = self._partner(side, new[side, chosen])
            new[1 - side, chosen] = other
            blur[chosen] = by
        return new.maximum(left).minimum(right), blur

    def _worst(self, y: Tensor, slopes: Tensor, cells: Tensor) -> float:
        left, right = y[:, cells], y[:, cells + 1]
        new, _ = self._middle(left, right)
        advance = new.sum(0) - left.sum(0)
        return float((_cubic(left, right, slopes[cells], slopes[cells + 1], advance) - new[0]).abs().max())

    def through(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The ends (x0, x1) of the straight path that is at x at time t, of the common shape, without gradient.

        (1 - t) x0 + t x1 = x to rounding. Beyond the last nodes the curve goes on straight.
        """
        with torch.no_grad():
            x, t = torch.broadcast_tensors(x.to(torch.float64), t.to(torch.float64))
            y, slopes = self._y, self._slopes
            c0, c1 = (1 - t) * self.scales[0], t * self.scales[1]
            offset = x - (1 - t) * self.centres[0] - t * self.centres[1]
            last = y.shape[1] - 1
            low, high = torch.zeros_like(x, dtype=torch.int64), torch.full_like(x, last, dtype=torch.int64)
            for _ in range(last.bit_length()):
                middle = (low + high) // 2
                before = c0 * y[0, middle] + c1 * y[1, middle] <= offset
                low, high = torch.where(before, middle, low), torch.where(before, high, middle)
            low = low.clamp(max=last - 1)
            left, right, first, second = y[:, low], y[:, low + 1], slopes[low], slopes[low + 1]
            advance = _solved(left, right, first, second, c0, c1, offset)
            y0 = _cubic(left, right, first, second, advance)
            y1 = left.sum(0) + advance - y0
            for edge, slope, side in ((y[:, 0], slopes[0], -1.0), (y[:, -1], slopes[-1], 1.0)):
                beyond = offset - c0 * edge[0] - c1 * edge[1]
                rate = c0 * slope + c1 * (1 - slope)
                more = torch.where(rate > 0, beyond / rate.clamp(min=1e-300), 0.0)
                outside = side * beyond > 0
                y0 = torch.where(outside, edge[0] + slope * more, y0)
                y1 = torch.where(outside, edge[1] + (1 - slope) * more, y1)
            x0, x1 = self.centres[0] + self.scales[0] * y0, self.centres[1] + self.scales[1] * y1
            near = t < 0.5  # the end that is nearer in time follows from the other one and x
            start = (x - t * x1) / torch.where(near, 1 - t, 1.0)
            end = (x - (1 - t) * x0) / torch.where(near, 1.0, t)
            return torch.where(near, start, x0), torch.where(near, x1, end)


def _inserted(y: Tensor, new: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes with a new one behind each of the cells, and the order in which they come from both."""
    key = torch.cat([2 * torch.arange(y.shape[1], device=y.device), 2 * cells + 1])
    order = key.argsort()
    return torch.cat([y, new], 1)[:, order], order


def _cubic(left: Tensor, right: Tensor, first: Tensor, last: Tensor, advance: Tensor) -> Tensor:
    """y0 at lambda = lambda_left + advance, from its values and slopes at the ends of a cell."""
    width = (right - left).sum(0)
    z = (advance / torch.where(width > 0, width, 1.0)).clamp(0.0, 1.0)
    step = right[0] - left[0]
    bend = z * (1 - z) * ((first * width - step) * (1 - z) - (last * width - step) * z)
    return left[0] + z * step + bend


def _solved(left: Tensor, right: Tensor, first: Tensor, last: Tensor, c0: Tensor, c1: Tensor, offset: Tensor) -> Tensor:
    """How far along its cell, in lambda, a path is at the wanted place, by false position (Illinois)."""
    origin = left.sum(0)
    low, high = torch.zeros_like(offset), (right - left).sum(0)
    of_low, of_high = c0 * left[0] + c1 * left[1] - offset, c0 * right[0] + c1 * right[1] - offset
    place, small = low, 8 * _EPS * (offset.abs() + c0 + c1)
    for _ in range(_MOST_STEPS):
        gap = of_high - of_low
        share = torch.where(gap > 0, -of_low / torch.where(gap > 0, gap, 1.0), 0.5).clamp(0.0, 1.0)
        place = low + share * (high - low)
        miss = (c0 - c1) * _cubic(left, right, first, last, place) + c1 * (origin + place) - offset
        if bool((miss.abs() <= small).all()):
            break
        under = miss <= 0
        low, high = torch.where(under, place, low), torch.where(under, high, place)
        of_low, of_high = torch.where(under, miss, 0.5 * of_low), torch.where(under, 0.5 * of_high, miss)
    return place
