"""Integrals over boxes and spaces of one, two or three dimensions, adaptive and batched, with an honest error."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from infotherm.core.panels import Axis, Panels, make_axis
from infotherm.core.quadrature import Integral, evaluate
from infotherm.core.rules import PROBES, Nested, contract, kronrod, truncation
from infotherm.core.tensors import as_tensors, validating

# numbers handed to the integrand at once: nodes times batch times dimension (32 MiB of float64)
_CHUNK = 2**22
_NARROWEST = 1024
_LOOKS = [0, 2]  # which of the PROBES are used beside faces
_NAMES = "xyz"


@dataclass(frozen=True)
class _Boxes:
    """Per box: integral, truncation error along each axis (D, ...), integral of |f|, rounding, axes that may be cut."""

    value: Tensor
    delta: Tensor
    size: Tensor
    rounding: Tensor
    divisible: Tensor

    def _all(self) -> tuple[Tensor, ...]:
        return self.value, self.delta, self.size, self.rounding, self.divisible

    def __getitem__(self, which: Tensor) -> _Boxes:
        return _Boxes(*(t[which] for t in self._all()))

    def joined(self, *others: _Boxes) -> _Boxes:
        return _Boxes(*(torch.cat(ts) for ts in zip(self._all(), *(o._all() for o in others), strict=True)))


def integrate_box(
    f: Callable[[Tensor], Tensor],
    lower: Any,
    upper: Any,
    *,
    breakpoints: Any = None,
    dim: int | None = None,
    rtol: float = 1e-9,
    atol: float = 0.0,
    max_evaluations: int = 20_000_000,
) -> Integral:
    r"""The integral of f over a box of D <= 3 dimensions, or over all of space, for a batch at once.

    The box is cut at the breakpoints of every axis; each piece is integrated by a tensor product of Kronrod rules with
    15 points and bisected along the axis that errs most. The truncation error of a piece is, axis by axis, the integral
    over the other axes of the modulus of the null rules along this one, so that oblique kinks do not cancel, and of
    what may hide between the outermost nodes and the faces. The rounding is added as in `integrate`.

    Parameters
    ----------
    f
        Maps nodes (M, *batch, D) to values (M, *batch). What it loses to cancellation inside is not known here.
    lower, upper
        Numbers (then `dim` says D), or (..., D); infinite ends are mapped as in `integrate`.
    breakpoints
        (P, D) or (P, *batch, D): the values in the last axis cut their own axis each. Entries that are not finite or
        outside are ignored, so that axes with fewer of them are padded with NaN. The number of pieces at the start is
        the product over the axes: give few. On infinite ranges they locate the mass and set its scale.
    rtol, atol
        Wanted error: max(atol, rtol |value|); the rounding of the dtype is the floor.
    max_evaluations
        Where refinement ends (nodes per batch element). Memory stays below 64 MiB for nodes at any number.

    Returns
    -------
    Integral
        `value` and `error` of the batch shape; differentiable (recomputed chunk by chunk in the backward pass).

    Raises
    ------
    ValueError
        When D is not 1, 2 or 3, shapes do not fit, lower > upper, or f is not finite at a node.

    Warns
    -----
    RuntimeWarning
        When the tolerance was not reached; the error is honest all the same.

    References
    ----------
    Genz & Malik, J. Comput. Appl. Math. 6 (1980) 295 (adaptive subdivision along the axis that errs most).

    Examples
    --------
    >>> normal = integrate_box(lambda x: torch.exp(-x.square().sum(-1) / 2), -torch.inf, torch.inf, dim=2)
    >>> abs(normal.value.item() - 2 * torch.pi) <= normal.error.item() <= 1e-8
    True
    """
    axes, batch = _axes(lower, upper, breakpoints, dim)
    rule = kronrod(15).to(axes[0].points.dtype, axes[0].points.device)
    boxes = _start(axes)
    per_box = len(rule.nodes) ** len(axes) + len(axes) * 2 * len(_LOOKS) * (len(rule.nodes) // 2) ** (len(axes) - 1)
    step = max(1, _CHUNK // (per_box * max(batch.numel(), 1) * len(axes)))
    # The first chunk in the ambient grad mode: it tells whether anything wants a gradient.
    probe = _rule_sums(f, axes, boxes[slice(0, 1)], rule).value
    wants_gradient = probe.requires_grad or not validating(probe)

    def measured(part: Panels) -> _Boxes:
        with torch.no_grad():
            parts = [_rule_sums(f, axes, part[slice(i, i + step)], rule) for i in range(0, len(part), step)]
        return parts[0].joined(*parts[1:])

    sums, evaluations = measured(boxes), len(boxes) * per_box
    best, stale = torch.inf, 0
    while True:
        value, each, rounding = sums.value.sum(0), sums.delta.sum(1), sums.rounding.sum(0)
        delta = each.sum(0)
        goal = torch.maximum((rtol * value.abs()).clamp_min(atol), rounding)
        missed = delta > goal
        if not bool(missed.any()):
            converged = True
            break
        worst = (delta / goal).amax().item()
        best, stale = (worst, 0) if worst < 0.5 * best else (best, stale + 1)
        noise = torch.finfo(delta.dtype).eps * sums.size
        if stale >= 8 and not bool((missed & (delta > 1024 * noise.sum(0))).any()):
            converged = True
            break
        share = torch.maximum(goal / (2 * len(boxes)), 2 * noise)
        wanted = (each > share) & missed
        urgency = torch.where(wanted.unsqueeze(1) & sums.divisible, sums.delta / goal, 0.0)
        urgency = urgency.reshape(len(boxes), len(axes), -1).amax(-1)
        urgency, along = urgency.max(1)
        room = (max_evaluations - evaluations) // (2 * per_box)
        chosen = urgency.topk(min(room, int((urgency > 0).sum()))).indices if room > 0 else along[:0]
        if not len(chosen):
            converged = False
            break
        rest = torch.ones(len(boxes), dtype=torch.bool, device=along.device)
        rest[chosen] = False
        cut = _halved(boxes[chosen], along[chosen])
        sums = sums[rest].joined(measured(cut))
        boxes = boxes[rest].joined(cut)
        evaluations += len(cut) * per_box
    error = delta + rounding
    if not converged:
        warnings.warn(
            f"integrate_box did not reach rtol={rtol:g}, atol={atol:g} with {evaluations} evaluations: the error is "
            f"{error.max().item():.3g} (largest of the batch). Give breakpoints where f is not smooth and where its "
            f"mass is, or raise max_evaluations",
            RuntimeWarning,
            stacklevel=2,
        )
    if wants_gradient:
        value = _with_gradient(f, axes, boxes, rule, step)
        evaluations += len(boxes) * per_box
    return Integral(value, error, evaluations, converged)


def _axes(lower: Any, upper: Any, breakpoints: Any, dim: int | None) -> tuple[list[Axis], torch.Size]:
    given = {"lower": lower, "upper": upper} | ({} if breakpoints is None else {"breakpoints": breakpoints})
    tensors = dict(zip(given, as_tensors(**given), strict=True))
    low, high, points = tensors["lower"], tensors["upper"], tensors.get("breakpoints")
    if points is not None and points.ndim < 2:
        raise ValueError(f"breakpoints must have shape (P, D) or (P, *batch, D); got {tuple(points.shape)}")
    ends = [t.shape[-1] for t in (low, high) if t.ndim] + ([points.shape[-1]] if points is not None else [])
    found = dim if dim is not None else next(iter(ends), None)
    if found is None:
        raise ValueError("dim must be given when lower and upper are numbers")
    if found not in (1, 2, 3) or any(end not in (1, found) for end in ends):
        raise ValueError(
            f"lower, upper and breakpoints must have a last axis of 1, 2 or 3 dimensions; got {ends or dim}"
        )
    shape = torch.broadcast_shapes(low.shape, high.shape, (found,))
    if points is not None:
        if points.ndim == 2 and len(shape) > 1:
            points = points.reshape(points.shape[0], *(1,) * (len(shape) - 1), points.shape[-1])
        shape = torch.broadcast_shapes(shape, points.shape[1:])
        points = points.expand(points.shape[0], *shape)
    low, high = low.expand(shape), high.expand(shape)
    axes = [
        make_axis(low[..., d], high[..., d], None if points is None else points[..., d], name=f" ({_NAMES[d]})")
        for d in range(found)
    ]
    return axes, shape[:-1]


def _start(axes: list[Axis]) -> Panels:
    """All products of the axes' intervals, without those that have no width for any element of the batch."""
    device = axes[0].points.device
    kept = []
    for axis in axes:
        one = Panels.whole(axis.intervals, device)
        middle = torch.full((len(one), 1), 0.5, dtype=torch.float64, device=device)
        _, weight = axis.map(one.interval, middle, middle)
        some = (weight != 0).reshape(len(one), -1).any(1).nonzero()[:, 0].tolist()
        kept.append(some or [0])
    interval = torch.tensor(list(itertools.product(*kept)), device=device)
    zero = torch.zeros(interval.shape, dtype=torch.float64, device=device)
    return Panels(interval, zero, zero + 1, zero)


def _halved(boxes: Panels, along: Tensor) -> Panels:
    cut = torch.nn.functional.one_hot(along, boxes.width.shape[1]).to(torch.float64)
    half = boxes.width * (1 - cut / 2)
    shift = half * cut
    first = Panels(boxes.interval, boxes.start, half, boxes.after + shift)
    return first.joined(Panels(boxes.interval, boxes.start + shift, half, boxes.after))


def _nodes(axes: list[Axis], boxes: Panels, places: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    """Per axis d the nodes and their jacobian, in the shape (N, 1, .., n_d, .., 1, *batch) of the grid of every box."""
    dim, count = len(axes), len(boxes)
    points, weights = [], []
    for d, (axis, (u, ubar)) in enumerate(zip(axes, places, strict=True)):
        x, weight = axis.map(boxes.interval[:, d], u, ubar)
        shape = (count, *(u.shape[1] if e == d else 1 for e in range(dim)), *axis.scale.shape)
        width = boxes.width[:, d].to(weight.dtype).reshape(count, *(1,) * (weight.ndim - 1))
        points.append(x.reshape(shape))
        weights.append((weight * width).reshape(shape))
    return points, weights


def _density(
    f: Callable[[Tensor], Tensor], points: list[Tensor], weights: list[Tensor], checked: bool
) -> tuple[Tensor, Tensor]:
    """f and f times the jacobian on the grid (N, n, .., n, *batch) of every box; zero where that vanishes."""
    dim = len(points)
    x = torch.stack(torch.broadcast_tensors(*points), dim=-1)
    jacobian = weights[0]
    for weight in weights[1:]:
        jacobian = jacobian * weight
    flat = (-1, *x.shape[1 + dim :])
    y = evaluate(f, x.reshape(flat), (jacobian == 0).reshape(flat[:-1]), checked=None if checked else 0)
    if y.shape != x.reshape(flat).shape[:-1]:
        raise ValueError(
            f"f must map nodes {tuple(x.reshape(flat).shape)} to values without the last axis; got {y.shape}"
        )
    y = y.reshape(jacobian.shape)
    return y, y * jacobian


def _rule_sums(f: Callable[[Tensor], Tensor], axes: list[Axis], boxes: Panels, rule: Nested) -> _Boxes:
    dim = len(axes)
    places = [_along(boxes, d).reference(rule) for d in range(dim)]
    points, slopes = _nodes(axes, boxes, places)
    y, density = _density(f, points, slopes, checked=True)
    weights = rule.weights.to(y.dtype)
    value = _contract(density, weights, dim)
    with torch.no_grad():
        y, density = y.detach(), density.detach()
        eps, tiny = max(torch.finfo(y.dtype).eps, torch.finfo(points[0].dtype).eps), torch.finfo(y.dtype).tiny
        size = _contract(density.abs(), weights, dim)
        rounding, deltas, divisible = 8 * eps * size + tiny, [], []
        for d in range(dim):
            null = contract(rule.null, density, 1 + d)
            delta = _contract(truncation(null), weights, dim - 1)
            deltas.append(delta + _beside_faces(f, axes, boxes, rule, places, d, density))
            # a node is known to one unit in its last place along each axis
            others = density.new_ones(())
            for e in range(dim):
                others = others * slopes[e].detach() if e != d else others
            line = points[d].detach().movedim(1 + d, 1).abs()
            moved = y.diff(dim=1 + d).abs().movedim(1 + d, 1) * torch.maximum(line[:, 1:], line[:, :-1])
            jumps = _contract((moved.sum(1, keepdim=True).movedim(1, 1 + d) * others).squeeze(1 + d), weights, dim - 1)
            rounding = rounding + eps * jumps
            line = points[d].detach().movedim(1 + d, 1).reshape(len(boxes), -1, *axes[d].scale.shape)
            span = (line[:, -1] - line[:, 0]).abs()
            limit = _NARROWEST * torch.finfo(line.dtype).eps * line.abs().amax(1)
            divisible.append((span > limit) & (slopes[d] != 0).reshape(line.shape).any(1))
    return _Boxes(value, torch.stack(deltas, 1), size, rounding, torch.stack(divisible, 1))


def _along(boxes: Panels, d: int) -> Panels:
    return Panels(boxes.interval[:, d], boxes.start[:, d], boxes.width[:, d], boxes.after[:, d])


def _beside_faces(
    f: Callable[[Tensor], Tensor],
    axes: list[Axis],
    boxes: Panels,
    rule: Nested,
    places: list[tuple[Tensor, Tensor]],
    d: int,
    density: Tensor,
) -> Tensor:
    """What the rule may have missed between its outermost nodes and the two faces across axis d.

    The integrand is looked at beside the faces, over the Gauss nodes of the other axes, and compared with the
    polynomial through the nodes; a disagreement counts over the zone that has not been looked at.
    """
    dim, count = len(axes), len(boxes)
    one = _along(boxes, d)
    near = torch.tensor(PROBES, dtype=torch.float64, device=one.start.device)[_LOOKS]
    low, high = one.width[:, None] * near, one.width[:, None] * (1 - near)
    u = torch.cat([one.start[:, None] + low, one.start[:, None] + high], 1)
    ubar = torch.cat([one.after[:, None] + high, one.after[:, None] + low], 1)
    there = [(u, ubar) if e == d else (places[e][0][:, 1::2], places[e][1][:, 1::2]) for e in range(dim)]
    points, slopes = _nodes(axes, boxes, there)
    _, beside = _density(f, points, slopes, checked=False)
    gauss = density
    for e in range(dim):
        gauss = gauss if e == d else gauss.movedim(1 + e, 0)[1::2].movedim(0, 1 + e)
    extrapolate = rule.probes[:, _LOOKS].reshape(-1, len(rule.nodes)).to(density.dtype)
    foreseen = contract(extrapolate, gauss, 1 + d).movedim(0, 1 + d)
    # near an end at which f is singular the rounding of the node shows in f
    x = points[d].detach()
    sides = torch.zeros(2, count, dtype=torch.long, device=x.device)
    sides[1] = 1
    ends = torch.stack([axes[d].end(one.interval, side) for side in sides], 1).repeat_interleave(len(_LOOKS), 1)
    blur = 4 * torch.finfo(x.dtype).eps * x.abs() / (x - ends.reshape(x.shape)).abs()
    surprise = (beside - foreseen).abs() - torch.where(blur < 0.1, blur, torch.inf) * beside.abs()
    surprise = torch.where(torch.isfinite(surprise) & (surprise > 0), surprise, 0.0)
    zone = torch.tensor((rule.nodes[0].item(), PROBES[0]) * 2, dtype=density.dtype, device=density.device)
    missed = contract(zone, surprise, 1 + d)
    weights = rule.gauss.to(density.dtype)
    return _contract(missed, weights, dim - 1)


def _contract(values: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Sum over `dim` node axes behind the first one."""
    for _ in range(dim):
        values = contract(weights, values)
    return values


def _with_gradient(f: Callable[[Tensor], Tensor], axes: list[Axis], boxes: Panels, rule: Nested, step: int) -> Tensor:
    """The sum over the final boxes, every chunk of which is evaluated again in the backward pass instead of kept."""

    def chunk(i: int) -> Tensor:
        return _rule_sums(f, axes, boxes[slice(i, i + step)], rule).value.sum(0)

    starts = range(0, len(boxes), step)
    if len(starts) == 1 or not validating(axes[0].points):
        return torch.stack([chunk(i) for i in starts]).sum(0)
    parts = [checkpoint(chunk, i, use_reentrant=False, preserve_rng_state=False) for i in starts]
    return torch.stack(parts).sum(0)
