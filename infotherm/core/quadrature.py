"""Integrals over a line, adaptive and batched, with an error that is an upper bound and never zero."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.panels import Axis, Panels, Singular, make_axis
from infotherm.core.rules import PROBES, Nested, contract, kronrod, truncation
from infotherm.core.rules import gauss_hermite as gauss_hermite
from infotherm.core.rules import gauss_legendre as gauss_legendre
from infotherm.core.tensors import as_tensors, validating

# a panel narrower than this many units in the last place of its points is not cut further
_NARROWEST = 1024
# nodes times batch elements evaluated at once (32 MiB of float64)
_CHUNK = 2**22


@dataclass(frozen=True)
class Integral:
    """An integral with a bound on its error.

    value, error
        Tensors of the batch shape. The value is differentiable, the error is not. |truth - value| <= error.
    evaluations
        Number of nodes at which the integrand was evaluated, per batch element.
    converged
        Whether every element of the batch reached its tolerance, or the rounding of its integrand. The error is
        honest in either case.
    """

    value: Tensor
    error: Tensor
    evaluations: int
    converged: bool


@dataclass(frozen=True)
class _Sums:
    """Per panel: integral, truncation error, integral of |f|, rounding, whether it may be cut, and f dx/du at its
    centre and (2, ...) at its ends, NaN where the ends are not centres of earlier panels."""

    value: Tensor
    delta: Tensor
    size: Tensor
    rounding: Tensor
    divisible: Tensor
    centre: Tensor
    ends: Tensor

    def detach(self) -> _Sums:
        return _Sums(self.value.detach(), *self._all()[1:])

    def ends_of_halves(self) -> Tensor:
        first = torch.stack([self.ends[:, 0], self.centre], 1)
        return torch.cat([first, torch.stack([self.centre, self.ends[:, 1]], 1)])

    def __getitem__(self, which: Tensor) -> _Sums:
        return _Sums(*(t[which] for t in self._all()))

    def joined(self, *others: _Sums) -> _Sums:
        return _Sums(*(torch.cat(ts) for ts in zip(self._all(), *(o._all() for o in others), strict=True)))

    def _all(self) -> tuple[Tensor, ...]:
        return self.value, self.delta, self.size, self.rounding, self.divisible, self.centre, self.ends


def integrate(
    f: Callable[[Tensor], Tensor],
    lower: Any,
    upper: Any,
    *,
    breakpoints: Any = None,
    rtol: float = 1e-12,
    atol: float = 0.0,
    max_panels: int = 2000,
    singular: Singular = None,
) -> Integral:
    r"""The integral of f over [lower, upper], for a whole batch of ranges and integrands at once.

    Adaptive bisection with the nested Gauss-Kronrod pair of 10 and 21 points,

        error = sum over panels (|null rules| + what may hide at the ends) + 8 eps int |f| dx + eps int |f'| |x| dx.

    Kronrod minus Gauss vanishes by chance for one kink in seven: four null rules are taken. Between its outermost node
    and its end a panel is blind: there f is compared with the polynomial through the nodes, down to 1e-10 of the panel
    beside breakpoints. The last term is there because a node is known to one unit in its last place. What f itself
    loses to cancellation (a difference of nearly equal numbers) is not known here: the caller adds it. The
    same reference panels are used for the whole batch, and refined until its hardest element is done.

    Parameters
    ----------
    f
        Maps nodes (M, *batch) to values (M, *batch), or (M, *batch, *event) for integrands with several components.
    lower, upper
        Numbers, or tensors that broadcast to the batch shape; -inf and inf are mapped: a tail begins at the outermost
        breakpoint and is x = c -+ s (1 - u)/u, so that tails of a power law are integrated, not cut off. s is the
        distance between the outermost breakpoints, 1 when there is none or only one.
    breakpoints
        Points (P, *batch), or (P,) for all elements, at which f is not smooth or by which its mass is located. Values
        that are outside the range or not finite are ignored. **Without them an infinite range is scaled by 1 around
        0, and a peak narrower than a thirtieth of the distance between breakpoints, and not at one, can be missed.**
    rtol, atol
        Wanted error: max(atol, rtol |value|); the rounding of the dtype is the floor.
    max_panels
        Where refinement ends.
    singular
        "lower", "upper" or "both": f behaves as an inverse square root at this end (entropy production rates at t = 0):
        it is integrated in the square root of the distance to the end.

    Returns
    -------
    Integral
        `value` is differentiable, through f and through the limits: the panels are chosen without gradients, and the
        sum over the final ones carries them.

    Raises
    ------
    ValueError
        When lower > upper, when f is not finite at a node (the message says where), or returns another shape.

    Warns
    -----
    RuntimeWarning
        When the tolerance was not reached.

    References
    ----------
    Kronrod 1965; Piessens et al., QUADPACK 1983 (nested pair); Laurie, J. Comput. Appl. Math. 12-13 (1985) 425 and
    Berntsen & Espelid 1991 (several null rules as an error estimate).

    Examples
    --------
    >>> import torch
    >>> gauss = integrate(lambda x: torch.exp(-x * x / 2), -torch.inf, torch.inf)
    >>> abs(gauss.value.item() - (2 * torch.pi) ** 0.5) <= gauss.error.item() <= 1e-11
    True
    >>> scale = torch.tensor([1e-3, 1e3], dtype=torch.float64)  # a batch of two
    >>> widths = integrate(lambda x: torch.exp(-x / scale), 0.0, torch.inf, breakpoints=[scale]).value
    >>> bool(torch.allclose(widths, scale, rtol=1e-12))
    True
    """
    lower, upper, breakpoints = _limits(lower, upper, breakpoints)
    axis = make_axis(lower, upper, breakpoints, singular)
    rule = kronrod(21).to(axis.points.dtype, axis.points.device)
    panels = Panels.whole(axis.intervals, axis.points.device)
    # In the ambient grad mode, so that a smooth integrand needs no second evaluation and so that we learn
    # whether anything wants a gradient at all.
    evaluations = 0

    def counted(x: Tensor) -> Tensor:
        nonlocal evaluations
        evaluations += x.shape[0]
        return f(x)

    first = _sums(counted, axis, panels, rule)
    if torch._C._functorch.is_batchedtensor(first.value):  # pyright: ignore[reportAttributeAccessIssue]
        raise TypeError(
            "integrate works on whole batches by itself: give it batch dimensions instead of torch.func.vmap"
        )
    wants_gradient = first.value.requires_grad or not validating(first.value)
    sums = first.detach()
    best, stale = torch.inf, 0
    while True:
        value, delta, rounding = sums.value.sum(0), sums.delta.sum(0), sums.rounding.sum(0)
        goal = torch.maximum((rtol * value.abs()).clamp_min(atol), rounding)
        missed = delta > goal
        if not bool(missed.any()):
            converged = True
            break
        worst = (delta / goal).amax().item()
        best, stale = (worst, 0) if worst < 0.5 * best else (best, stale + 1)
        if stale >= 4 and _only_rounding(delta, sums, missed):
            converged = True
            break
        selected = _to_cut(sums, goal, missed)
        room = max_panels - len(panels)
        if room <= 0 or not bool(selected.any()):
            converged = not bool(selected.any()) and _only_rounding(delta, sums, missed)
            break
        if int(selected.sum()) > room:
            urgency = (
                (sums.delta / goal)
                .masked_fill(~missed, 0.0)
                .reshape(len(panels), -1)
                .amax(1)
                .masked_fill(~selected, 0.0)
            )
            selected = torch.zeros_like(selected).index_fill(0, urgency.topk(room).indices, True)
        cut = panels[selected].halves()
        with torch.no_grad():
            new = _sums(counted, axis, cut, rule, sums[selected].ends_of_halves())
        panels, sums = panels[~selected].joined(cut), sums[~selected].joined(new)
    error = (delta + rounding).detach()
    if not converged:
        warnings.warn(
            f"integrate did not reach rtol={rtol:g}, atol={atol:g} with {len(panels)} panels: the error is "
            f"{error.max().item():.3g} (largest of the batch). Give breakpoints where f is not smooth and where its "
            f"mass is, or raise max_panels",
            RuntimeWarning,
            stacklevel=2,
        )
    if wants_gradient:
        if len(panels) == axis.intervals:
            value = first.value.sum(0)
        else:
            value = _sums(counted, axis, panels, rule).value.sum(0)
    return Integral(value, error, evaluations, converged)


def _limits(lower: Any, upper: Any, breakpoints: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Limits of the batch shape and breakpoints (P, *batch), in one dtype on one device."""
    if breakpoints is None:
        low, high = as_tensors(lower=lower, upper=upper)
        points = None
    else:
        if isinstance(breakpoints, list | tuple) and any(isinstance(b, Tensor) for b in breakpoints):
            breakpoints = torch.stack(
                torch.broadcast_tensors(*as_tensors(**{f"breakpoints[{i}]": b for i, b in enumerate(breakpoints)}))
            )
        low, high, points = as_tensors(lower=lower, upper=upper, breakpoints=breakpoints)
        points = points[None] if points.ndim == 0 else points
    batch = torch.broadcast_shapes(low.shape, high.shape)
    if points is not None:
        batch = torch.broadcast_shapes(batch, points.shape[1:])
        missing = len(batch) - (points.ndim - 1)
        points = points.reshape(points.shape[0], *(1,) * missing, *points.shape[1:]) if len(points) else None
    return low.expand(batch), high.expand(batch), points


def _to_cut(sums: _Sums, goal: Tensor, missed: Tensor) -> Tensor:
    """Panels whose error is more than their share of the goal of an element that is not done yet."""
    share = torch.maximum(goal / (2 * sums.delta.shape[0]), sums.rounding)
    wanted = (sums.delta > share) & missed
    divisible = sums.divisible.reshape(*sums.divisible.shape, *(1,) * (wanted.ndim - sums.divisible.ndim))
    return (wanted & divisible).reshape(len(sums.delta), -1).any(1)


def _only_rounding(delta: Tensor, sums: _Sums, missed: Tensor) -> bool:
    """Whether what is left is as small as the rounding of an integrand computed with some cancellation."""
    eps = torch.finfo(delta.dtype).eps
    return not bool((missed & (delta > 1024 * eps * sums.size.sum(0))).any())


def _sums(f: Callable[[Tensor], Tensor], axis: Axis, panels: Panels, rule: Nested, ends: Tensor | None = None) -> _Sums:
    """The rule applied to every panel, in chunks of bounded memory."""
    per_panel = len(rule.nodes) * max(axis.scale.numel(), 1)
    step = max(1, _CHUNK // per_panel)
    slices = [slice(i, i + step) for i in range(0, len(panels), step)]
    parts = [_chunk(f, axis, panels[part], rule, None if ends is None else ends[part]) for part in slices]
    return parts[0].joined(*parts[1:]) if len(parts) > 1 else parts[0]


def _chunk(f: Callable[[Tensor], Tensor], axis: Axis, panels: Panels, rule: Nested, ends: Tensor | None) -> _Sums:
    count, points, batch = len(panels), len(rule.nodes), axis.scale.shape
    x, weight = axis.map(panels.interval, *panels.reference(rule))
    which, side, near, far = panels.beside_ends()
    probe, probe_weight = axis.map(panels.interval[which], near, far)
    nodes = torch.cat([x.reshape(-1, *batch), probe.reshape(-1, *batch)])
    weights = torch.cat([weight.reshape(-1, *batch), probe_weight.reshape(-1, *batch)])
    y = evaluate(f, nodes, weights == 0, checked=count * points)
    event = y.shape[1 + len(batch) :]
    density = y * weights.reshape(*weights.shape, *(1,) * len(event))
    density, beside = density.split([count * points, len(which) * probe.shape[1]])
    density = density.reshape(count, points, *batch, *event)
    width = panels.width.to(density.dtype).reshape(count, *(1,) * (density.ndim - 2))
    value = contract(rule.weights, density) * width
    with torch.no_grad():
        density, beside, x = density.detach(), beside.detach(), x.detach()
        size = contract(rule.weights, density.abs()) * width
        delta = truncation(contract(rule.null, density)) * width
        # What happens between the last node and the end of a panel is seen by no rule. Where a panel was cut the value
        # at the end is known; at the end of an interval, where f may jump, it is probed beside the end. Both must lie
        # on the polynomial through the nodes.
        centre = density[:, points // 2]
        if ends is None:
            ends = torch.full((count, 2, *centre.shape[1:]), torch.nan, dtype=y.dtype, device=y.device)
        missed = (contract(rule.ends, density).movedim(0, 1) - ends).abs().nan_to_num(nan=0.0)
        delta = delta + missed.sum(1) * rule.weights[0].to(y.dtype) * width
        if len(which):
            beside = beside.reshape(len(which), probe.shape[1], *batch, *event)
            foreseen = torch.einsum("qjn,qn...->qj...", rule.probes[side].to(y.dtype), density[which])
            # near an end at which f is singular the rounding of x shows in f
            distance = (probe.detach() - axis.end(panels.interval[which], side).unsqueeze(1)).abs()
            blur = 4 * torch.finfo(x.dtype).eps * probe.detach().abs() / distance
            blur = torch.where(blur < 0.1, blur, torch.inf).reshape(*probe.shape, *(1,) * len(event))
            surprise = (beside - foreseen).abs() - blur * beside.abs()
            zone = torch.tensor((rule.nodes[0].item(), *PROBES[:-1]), dtype=y.dtype, device=y.device)
            extra = contract(zone, torch.where(torch.isfinite(surprise) & (surprise > 0), surprise, 0.0))
            delta = delta.index_add(0, which, extra * width[which])
        eps = max(torch.finfo(y.dtype).eps, torch.finfo(x.dtype).eps)
        position, used = x.abs(), (weight.detach() != 0).any(1)
        trailing = (1,) * len(event)
        f_values = y.detach()[: count * points].reshape(density.shape)
        moved = torch.maximum(position[:, 1:], position[:, :-1]).reshape(count, points - 1, *batch, *trailing)
        rounding = 8 * eps * size + eps * (f_values.diff(dim=1).abs() * moved).sum(1) * used.reshape(
            *used.shape, *trailing
        )
        rounding = rounding + torch.finfo(y.dtype).tiny
        divisible = used & ((x[:, -1] - x[:, 0]).abs() > _NARROWEST * torch.finfo(x.dtype).eps * position.amax(1))
    return _Sums(value, delta, size, rounding, divisible, centre, ends)


def evaluate(f: Callable[[Tensor], Tensor], x: Tensor, ignored: Tensor, checked: int | None = None) -> Tensor:
    """f(x), of x's shape with any event axes behind, finite; zero at nodes that are ignored (intervals without width).

    Only the first `checked` nodes have to be finite.

    Raises
    ------
    ValueError
        When f returns another shape, or a value that is not finite (the message says at which point).
    """
    y = f(x)
    if not isinstance(y, Tensor):
        raise TypeError(f"f must return a tensor; got {type(y).__name__}")
    if y.shape[: ignored.ndim] != ignored.shape:
        raise ValueError(f"f must map nodes of shape {tuple(x.shape)} to values (M, *batch, ...); got {tuple(y.shape)}")
    y = torch.where(ignored.reshape(*ignored.shape, *(1,) * (y.ndim - ignored.ndim)), 0.0, y)
    if validating(y) and not bool(torch.isfinite(y[:checked]).all()):
        where = torch.nonzero(~torch.isfinite(y[:checked]))[0].tolist()
        place = f" of batch element {where[1 : ignored.ndim]}" if ignored.ndim > 1 else ""
        point = x[tuple(where[: ignored.ndim])].tolist()
        raise ValueError(f"f must be finite inside the range; got {y[tuple(where)].item()} at x = {point}{place}")
    return y
