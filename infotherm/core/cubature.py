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
from infotherm.core.rules import Nested, kronrod, truncation
from infotherm.core.tensors import as_tensors, validating

# numbers handed to the integrand at once: nodes times batch times dimension (32 MiB of float64)
_CHUNK = 2**22
_NARROWEST = 1024
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

    The box is cut at the breakpoints of every axis; each piece is integrated by a tensor product of Kronrod rules with 15
    points and bisected along the axis that errs most. The truncation error of a piece is, axis by axis, the integral
    over the other axes of the modulus of the null rules along this one (Kronrod minus Gauss, and one of two degrees
    less), so that oblique kinks do not cancel. The rounding is added as in `integrate`.

    Parameters
    ----------
    f
        Maps nodes (M, *batch, D) to values (M, *batch).
    lower, upper
        Numbers (then `dim` says D), or (..., D); infinite ends are mapped as in `integrate`.
    breakpoints
        (P, D) or (P, *batch, D): the values in the last axis cut their own axis each. Entries that are not finite or outside
        are ignored, so that axes with fewer of them are padded with NaN. The number of pieces at the start is
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
    per_box = len(rule.nodes) ** len(axes)
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
        raise ValueError(f"lower, upper and breakpoints must have a last axis of 1, 2 or 3 dimensions; got {ends or dim}")
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
        _, weight = axis.map(one.interval, torch.full((len(one), 1), 0.5), torch.full((len(one), 1), 0.5))
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


def _nodes(axes: list[Axis], boxes: Panels, rule: Nested) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Nodes (N, n, .., n, *batch, D), their jacobian (N, n, .., n, *batch), and per axis the nodes (N, n, *batch)."""
    dim, count, n = len(axes), len(boxes), len(rule.nodes)
    batch = axes[0].scale.shape
    points, weights = [], []
    for d, axis in enumerate(axes):
        one = Panels(boxes.interval[:, d], boxes.start[:, d], boxes.width[:, d], boxes.after[:, d])
        x, weight = axis.map(one.interval, *one.reference(rule))
        weight = weight * one.width.to(weight.dtype).reshape(count, 1, *(1,) * len(batch))
        points.append(x)
        weights.append(weight.reshape(count, *(n if e == d else 1 for e in range(dim)), *batch))
    grid = [x.reshape(count, *(n if e == d else 1 for e in range(dim)), *batch) for d, x in enumerate(points)]
    jacobian = weights[0]
    for weight in weights[1:]:
        jacobian = jacobian * weight
    return torch.stack(torch.broadcast_tensors(*grid), dim=-1), jacobian, points


def _rule_sums(f: Callable[[Tensor], Tensor], axes: list[Axis], boxes: Panels, rule: Nested) -> _Boxes:
    dim, count, n = len(axes), len(boxes), len(rule.nodes)
    batch = axes[0].scale.shape
    x, jacobian, lines = _nodes(axes, boxes, rule)
    flat = (count * n**dim, *batch)
    y = evaluate(f, x.reshape(*flat, dim), (jacobian == 0).reshape(flat))
    if y.shape != flat:
        raise ValueError(f"f must map nodes {(*flat, dim)} to values {flat}; got {tuple(y.shape)}")
    y = y.reshape(jacobian.shape)
    weighted = y * jacobian
    weights = rule.weights.to(y.dtype)
    value = _contract(weighted, weights, dim)
    with torch.no_grad():
        y, weighted = y.detach(), weighted.detach()
        eps, tiny = max(torch.finfo(y.dtype).eps, torch.finfo(x.dtype).eps), torch.finfo(y.dtype).tiny
        size = _contract(weighted.abs(), weights, dim)
        rounding, deltas, divisible = 4 * eps * size + tiny, [], []
        for d, line in enumerate(lines):
            null = torch.tensordot(rule.null.to(y.dtype), weighted, dims=([-1], [1 + d]))
            deltas.append(_contract(truncation(null), weights, dim - 1))
            # a node is known to one unit in its last place along each axis
            shape = (count, *(n if e == d else 1 for e in range(dim)), *batch)
            position = line.abs().reshape(shape).narrow(1 + d, 1, n - 1)
            other = jacobian / _slope(axes[d], boxes, d, rule, shape)
            jumps = y.diff(dim=1 + d).abs() * position * other.narrow(1 + d, 1, n - 1)
            rounding = rounding + eps * _contract(jumps.sum(1 + d), weights, dim - 1)
            span = (line[:, -1] - line[:, 0]).abs()
            divisible.append((span > _NARROWEST * eps * line.abs().amax(1)) & (span > 0))
    return _Boxes(value, torch.stack(deltas, 1), size, rounding, torch.stack(divisible, 1))


def _slope(axis: Axis, boxes: Panels, d: int, rule: Nested, shape: tuple[int, ...]) -> Tensor:
    """The factor that axis d puts into the jacobian (1 where it is zero), in the shape of the grid."""
    one = Panels(boxes.interval[:, d], boxes.start[:, d], boxes.width[:, d], boxes.after[:, d])
    _, weight = axis.map(one.interval, *one.reference(rule))
    weight = weight * one.width.to(weight.dtype).reshape(-1, *(1,) * (weight.ndim - 1))
    return torch.where(weight == 0, 1.0, weight).reshape(shape)


def _contract(values: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Sum over `dim` node axes behind the first one."""
    for _ in range(dim):
        values = torch.tensordot(weights, values, dims=([0], [1]))
    return values


def _with_gradient(
    f: Callable[[Tensor], Tensor], axes: list[Axis], boxes: Panels, rule: Nested, step: int
) -> Tensor:
    """The sum over the final boxes, every chunk of which is evaluated again in the backward pass instead of kept."""

    def chunk(i: int) -> Tensor:
        return _rule_sums(f, axes, boxes[slice(i, i + step)], rule).value.sum(0)

    starts = range(0, len(boxes), step)
    if len(starts) == 1 or not validating(axes[0].points):
        return torch.stack([chunk(i) for i in starts]).sum(0)
    parts = [checkpoint(chunk, i, use_reentrant=False, preserve_rng_state=False) for i in starts]
    return torch.stack(parts).sum(0)
