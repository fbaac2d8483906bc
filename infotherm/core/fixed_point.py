"""Fixed points x = g(x): damped iteration, accelerated where that helps, for a whole batch at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FixedPoint:
    """Where an iteration ended.

    value
        The point x, of the shape of the start; no gradient.
    residual
        |g(x) - x| at this point, of the batch shape.
    iterations
        How often the map was applied.
    converged
        Booleans of the batch shape: residual <= atol + rtol |x|.
    trace
        Residuals (iterations, *batch) of the points that were accepted, one row per application of the map.
    """

    value: Tensor
    residual: Tensor
    iterations: int
    converged: Tensor
    trace: Tensor


def solve_fixed_point(
    map: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    rtol: float = 1e-12,
    atol: float = 0.0,
    max_iterations: int = 1000,
    damping: float = 1.0,
    memory: int = 5,
    event_dims: int = 1,
) -> FixedPoint:
    r"""A fixed point of a map, x = g(x), with the residual that is left of it.

    Plain damped steps x + damping (g(x) - x), and Anderson extrapolations from the last `memory` points. An
    extrapolation is kept only if it lowers the residual |g(x) - x|; otherwise the next step is a plain one. When a
    plain step raises the residual and turns it, the steps of this batch element are halved; they recover with success.

    Parameters
    ----------
    map
        Maps a tensor of the start's shape to one of the same shape. All batch elements are passed at every call, those
        that have converged too.
    start
        (*batch, *event), the last `event_dims` axes being one state (0: every number is a state of its own).
    rtol, atol
        Converged when |g(x) - x| <= atol + rtol max(|x|, |g(x)|), Euclidean norms over the event; not below 4 eps.
    max_iterations
        Applications of the map.
    damping
        In (0, 1].
    memory
        Points used by the extrapolation; 0 turns it off.

    Returns
    -------
    FixedPoint
        The last accepted point. For a map of Lipschitz constant L < 1 its distance to the fixed point is at most
        residual / (1 - L): a small residual alone does not bound it.

    Raises
    ------
    ValueError
        When the map returns another shape, or a value that is not finite after a plain step (the message gives the
        iteration and the batch element).

    Warns
    -----
    RuntimeWarning
        When an element did not converge; its residual is stated.

    References
    ----------
    Anderson, J. ACM 12 (1965) 547; Walker & Ni, SIAM J. Numer. Anal. 49 (2011) 1715.

    Examples
    --------
    >>> point = solve_fixed_point(torch.cos, torch.tensor([1.0], dtype=torch.float64))
    >>> round(point.value.item(), 12), point.converged.item(), point.iterations < 20
    (0.739085133215, True, True)
    """
    if not 0 < damping <= 1:
        raise ValueError(f"damping must be in (0, 1]; got {damping}")
    if max_iterations < 1 or memory < 0 or not 0 <= event_dims <= start.ndim:
        raise ValueError(
            f"max_iterations >= 1, memory >= 0 and 0 <= event_dims <= {start.ndim} expected; got {max_iterations}, "
            f"{memory}, {event_dims}"
        )
    with torch.no_grad():
        return _solve(map, start.detach(), rtol, atol, max_iterations, damping, memory, event_dims)


def _solve(
    map: Callable[[Tensor], Tensor],
    start: Tensor,
    rtol: float,
    atol: float,
    max_iterations: int,
    damping: float,
    memory: int,
    event_dims: int,
) -> FixedPoint:
    batch = start.shape[: start.ndim - event_dims]
    eps = torch.finfo(start.dtype).eps
    rtol = max(rtol, 4 * eps)

    def residual_at(flat: Tensor) -> Tensor:
        image = map(flat.reshape(start.shape))
        if image.shape != start.shape:
            raise ValueError(f"map must keep the shape {tuple(start.shape)}; got {tuple(image.shape)}")
        return image.detach().reshape(flat.shape) - flat

    x = start.reshape(batch.numel(), -1).clone()
    r = residual_at(x)
    _require_finite(r, 1, batch)
    size = torch.linalg.vector_norm(r, dim=-1)
    step = torch.full_like(size, damping)
    extrapolate = torch.ones_like(size, dtype=torch.bool)
    points, residuals, trace = [x], [r], [size.clone()]
    done = _reached(x, r, size, rtol, atol)
    iterations = 1
    while iterations < max_iterations and not bool(done.all()):
        plain = x + step.unsqueeze(-1) * r
        accelerated = extrapolate & (len(points) > 1)
        candidate = plain
        if bool(accelerated.any()):
            mixed = _anderson(x, r, step, points, residuals)
            accelerated = accelerated & torch.isfinite(mixed).all(-1)
            candidate = torch.where(accelerated.unsqueeze(-1), mixed, plain)
        candidate = torch.where(done.unsqueeze(-1), x, candidate)
        iterations += 1
        new = residual_at(candidate)
        finite = torch.isfinite(new).all(-1)
        _require_finite(torch.where((accelerated & ~finite | done).unsqueeze(-1), 0.0, new), iterations, batch)
        new_size = torch.linalg.vector_norm(new, dim=-1)
        falls = finite & (new_size < size)
        accepted = (falls | ~accelerated) & ~done
        # A plain step is always taken, else nothing would move. If it raised the residual and turned it, the iteration
        # overshoots: the next ones are shorter, until they succeed.
        overshoots = ~falls & ((new * r).sum(-1) < 0.9 * new_size * size)
        longer = torch.where(falls, (2 * step).clamp_max(damping), step)
        step = torch.where(done | accelerated, step, torch.where(overshoots, step / 2, longer))
        step = step.clamp_min(damping / 1024)
        extrapolate = falls | ~accelerated
        keep = finite.unsqueeze(-1) & ~done.unsqueeze(-1)
        points = [*points, torch.where(keep, candidate, x)][-(memory + 1) :]
        residuals = [*residuals, torch.where(keep, new, r)][-(memory + 1) :]
        x = torch.where(accepted.unsqueeze(-1), candidate, x)
        r = torch.where(accepted.unsqueeze(-1), new, r)
        size = torch.where(accepted, new_size, size)
        trace.append(size.clone())
        done = done | _reached(x, r, size, rtol, atol)
        if memory == 0:
            extrapolate = torch.zeros_like(extrapolate)
    if not bool(done.all()):
        scale = torch.linalg.vector_norm(x, dim=-1).clamp_min(torch.finfo(x.dtype).tiny)
        worst = torch.where(done, 0.0, size / scale)
        warnings.warn(
            f"solve_fixed_point did not converge in {iterations} iterations for {int((~done).sum())} of {done.numel()} "
            f"elements: largest residual {size[~done].max().item():.3g} (relative {worst.max().item():.3g}, wanted "
            f"{rtol:g}). Raise max_iterations, lower damping, or start closer",
            RuntimeWarning,
            stacklevel=3,
        )
    return FixedPoint(
        x.reshape(start.shape),
        size.reshape(batch),
        iterations,
        done.reshape(batch),
        torch.stack(trace).reshape(len(trace), *batch),
    )


def _reached(x: Tensor, r: Tensor, size: Tensor, rtol: float, atol: float) -> Tensor:
    reach = torch.maximum(torch.linalg.vector_norm(x, dim=-1), torch.linalg.vector_norm(x + r, dim=-1))
    return size <= atol + rtol * reach


def _require_finite(r: Tensor, iteration: int, batch: torch.Size) -> None:
    bad = ~torch.isfinite(r).all(-1)
    if bool(bad.any()):
        at = torch.unravel_index(bad.nonzero()[0, 0], batch) if batch else ()
        element = f" for batch element {[int(i) for i in at]}" if batch else ""
        raise ValueError(
            f"map returned a value that is not finite at iteration {iteration}{element}: it diverges from there"
        )


def _anderson(x: Tensor, r: Tensor, step: Tensor, points: list[Tensor], residuals: list[Tensor]) -> Tensor:
    """The point at which the residual would vanish if it were linear in the differences to the last points."""
    moves = torch.stack([p - x for p in points], dim=-1)
    changes = torch.stack([q - r for q in residuals], dim=-1)
    # columns of one length, so that the cut-off of the pseudo-inverse does not depend on how far the points lie
    lengths = torch.linalg.vector_norm(changes, dim=-2, keepdim=True)
    usable = (lengths > 0) & torch.isfinite(lengths)
    scale = torch.where(usable, lengths, 1.0)
    moves, changes = torch.where(usable, moves / scale, 0.0), torch.where(usable, changes / scale, 0.0)
    weights = torch.linalg.pinv(changes, rtol=64 * torch.finfo(x.dtype).eps) @ r.unsqueeze(-1)
    mixed = x - (moves @ weights).squeeze(-1)
    rest = r - (changes @ weights).squeeze(-1)
    return mixed + step.unsqueeze(-1) * rest
