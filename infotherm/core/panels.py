"""Maps from reference panels to ranges, infinite ones too: what the adaptive integrators cut.

A range is cut at its breakpoints into *intervals*; every interval is the image of the reference coordinate u in (0, 1),
and is bisected there into *panels*. The panels are therefore the same for a whole batch, while their images differ from
one batch element to the next. The distances to both ends of the interval are carried, u and 1 - u, so that a
singularity at an end is resolved to the smallest numbers and not only to one unit in the last place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from infotherm.core.rules import PROBES, Nested

Singular = Literal["lower", "upper", "both"] | None


@dataclass(frozen=True)
class Axis:
    """A range cut at its breakpoints: ends of the finite intervals, anchors and scale of the infinite tails.

    Interval 0 is the tail to minus infinity when `left` is set, the last one the tail to infinity when `right` is.
    A tail is x = anchor -+ scale (1 - u) / u: a power law of x stays a power of u, which the rule integrates.
    """

    points: Tensor  # (K + 1, *batch), non-decreasing
    scale: Tensor  # (*batch)
    inside: Tensor  # (*batch), a point of the range where panels without width are evaluated
    left: Tensor | None  # (*batch) bool: the range is infinite on the left
    right: Tensor | None
    singular: Singular

    @property
    def intervals(self) -> int:
        return self.points.shape[0] - 1 + (self.left is not None) + (self.right is not None)

    def map(self, interval: Tensor, u: Tensor, ubar: Tensor) -> tuple[Tensor, Tensor]:
        """Points x and dx/du, both (P, n, *batch), of the reference nodes u and 1 - u, both (P, n), of P panels."""
        batch = self.points.shape[1:]
        dtype, inner = self.points.dtype, self.points.shape[0] - 1
        shape = (*u.shape, *(1,) * len(batch))
        u, ubar = u.to(dtype).reshape(shape), ubar.to(dtype).reshape(shape)
        k = interval - int(self.left is not None)
        start = self.points[k.clamp(0, max(inner - 1, 0))].unsqueeze(1)
        width = (self.points[(k + 1).clamp(0, inner)].unsqueeze(1) - start).expand(len(k), *u.shape[1:2], *batch)
        near, far, slope = u, ubar, torch.ones_like(u)
        row = lambda mask: mask.reshape(-1, *(1,) * (len(shape) - 1))  # noqa: E731
        if self.singular in ("lower", "both"):
            at = row(k == 0)
            near, far, slope = (
                torch.where(at, a, b) for a, b in ((u * u, near), (ubar * (1 + u), far), (2 * u, slope))
            )
        if self.singular in ("upper", "both"):
            at = row(k == inner - 1)
            far, near = torch.where(at, ubar * ubar, far), torch.where(at, u * (1 + ubar), near)
            slope = torch.where(at, 2 * ubar, slope)
        stop = start + width
        x = torch.where(near <= 0.5, start + width * near, stop - width * far)
        # a node that rounds to an end goes to the nearest number inside: f may be infinite or jump at the end itself
        low, high = start.detach(), stop.detach()
        x = torch.where(x.detach() <= low, start + (torch.nextafter(low, high) - low), x)
        x = torch.where(x.detach() >= high, stop + (torch.nextafter(high, low) - high), x)
        weight = width * slope
        for tail, sign, rows, anchor in (
            (self.left, -1.0, k < 0, self.points[0]),
            (self.right, 1.0, k >= inner, self.points[-1]),
        ):
            if tail is not None:
                rows = row(rows)
                x = torch.where(rows, anchor + sign * self.scale * (ubar / u), x)
                weight = torch.where(rows, torch.where(tail, self.scale / (u * u), 0.0), weight)
        return torch.where(weight == 0, self.inside, x), weight

    def end(self, interval: Tensor, side: Tensor) -> Tensor:
        """The lower (side 0) or upper end (side 1) of intervals, (Q, *batch); infinite for u = 0 of a tail."""
        row = lambda mask: mask.reshape(-1, *(1,) * (self.points.ndim - 1))  # noqa: E731
        k = interval - int(self.left is not None)
        tail = ((k < 0) | (k >= self.points.shape[0] - 1)) & (side == 0)
        at = torch.where(k < 0, 0, torch.where(k >= self.points.shape[0] - 1, k, k + side))
        return torch.where(row(tail), torch.inf, self.points[at.clamp(0, self.points.shape[0] - 1)]).detach()


def make_axis(
    lower: Tensor, upper: Tensor, breakpoints: Tensor | None, singular: Singular = None, name: str = ""
) -> Axis:
    """The range [lower, upper] (tensors of one shape), cut at those breakpoints (P, *batch) that lie inside it."""
    at_left, at_right = torch.isneginf(lower), torch.isposinf(upper)
    if bool(torch.isnan(lower).any() | torch.isnan(upper).any() | (lower > upper).any()):
        raise ValueError(f"lower{name} must be <= upper{name}; got {_show(lower)} and {_show(upper)}")
    if bool(torch.isposinf(lower).any() | torch.isneginf(upper).any()):
        raise ValueError(f"lower{name} must be below +inf and upper{name} above -inf")
    infinity = torch.full_like(lower, torch.inf)
    if breakpoints is None:
        first, last, points = infinity, -infinity, lower.new_zeros((0, *lower.shape))
    else:
        points = breakpoints.expand(breakpoints.shape[0], *lower.shape)
        known = torch.isfinite(points) & (points > lower) & (points < upper)
        first = torch.where(known, points, infinity).amin(0)
        last = torch.where(known, points, -infinity).amax(0)
    # where a tail begins: the outermost breakpoint, else the finite end, else the origin
    finite_lower = torch.where(at_left, torch.where(at_right, 0.0, upper), lower)
    finite_upper = torch.where(at_right, torch.where(at_left, 0.0, lower), upper)
    start = torch.where(at_left & torch.isfinite(first), first, finite_lower)
    stop = torch.where(at_right & torch.isfinite(last), last, finite_upper)
    if singular is not None:
        for end, infinite, which in ((lower, at_left, "lower"), (upper, at_right, "upper")):
            if singular in (which, "both") and bool(infinite.any()):
                raise ValueError(f"singular={singular!r} needs a finite {which}{name}; got {_show(end)}")
        # a finite interval beside the singular end, and two of them when both are singular
        stop = torch.where(at_right & (start == stop), start + 1, stop)
        start = torch.where(at_left & (start == stop), stop - 1, start)
        points = torch.cat([points, ((start + stop) / 2)[None]]) if singular == "both" else points
    spread = stop - start
    scale = torch.where(spread > 0, spread, torch.ones_like(spread)).detach()
    points = torch.where(torch.isfinite(points), points, start).clamp(start, stop)
    points = torch.cat([start[None], points.sort(0).values, stop[None]])
    left = at_left if bool(at_left.any()) else None
    right = at_right if bool(at_right.any()) else None
    wide = (points[1:] - points[:-1]).detach()
    best = wide.argmax(0, keepdim=True)
    inside = (points[:-1].gather(0, best) + wide.gather(0, best) / 2)[0].detach()
    inside = torch.where(
        (spread <= 0) & at_right, start + scale, torch.where((spread <= 0) & at_left, start - scale, inside)
    )
    return Axis(points, scale, inside.detach(), left, right, singular)


def _show(x: Tensor) -> str:
    return f"{x.item()}" if x.numel() == 1 else f"values from {x.min().item()} to {x.max().item()}"


@dataclass(frozen=True)
class Panels:
    """Pieces (start, start + width) of the reference intervals; `after` is 1 - start - width, kept exactly."""

    interval: Tensor
    start: Tensor
    width: Tensor
    after: Tensor

    @staticmethod
    def whole(intervals: int, device: torch.device) -> Panels:
        zero = torch.zeros(intervals, dtype=torch.float64, device=device)
        return Panels(torch.arange(intervals, device=device), zero, zero + 1, zero)

    def __len__(self) -> int:
        return self.interval.shape[0]

    def __getitem__(self, which: Tensor | slice) -> Panels:
        return Panels(self.interval[which], self.start[which], self.width[which], self.after[which])

    def halves(self) -> Panels:
        half = self.width / 2
        return Panels(
            torch.cat([self.interval, self.interval]),
            torch.cat([self.start, self.start + half]),
            torch.cat([half, half]),
            torch.cat([self.after + half, self.after]),
        )

    def joined(self, other: Panels) -> Panels:
        return Panels(
            torch.cat([self.interval, other.interval]),
            torch.cat([self.start, other.start]),
            torch.cat([self.width, other.width]),
            torch.cat([self.after, other.after]),
        )

    def reference(self, rule: Nested) -> tuple[Tensor, Tensor]:
        """Nodes u and 1 - u, both (P, n), in float64."""
        u = self.start[:, None] + self.width[:, None] * rule.nodes
        return u, self.after[:, None] + self.width[:, None] * rule.complements

    def beside_ends(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The panels that touch an end of their interval, which end (0 or 1), and nodes u and 1 - u very near to it."""
        left, right = (self.start == 0).nonzero()[:, 0], (self.after == 0).nonzero()[:, 0]
        near = torch.tensor(PROBES, dtype=torch.float64, device=self.start.device)
        u = torch.cat([self.width[left, None] * near, self.start[right, None] + self.width[right, None] * (1 - near)])
        ubar = torch.cat([self.after[left, None] + self.width[left, None] * (1 - near), self.width[right, None] * near])
        side = torch.cat([torch.zeros_like(left), torch.ones_like(right)])
        return torch.cat([left, right]), side, u, ubar
