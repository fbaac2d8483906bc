"""Moments of driven affine diffusions across an interval, by Magnus panels.

A step is the triple (change, shift, noise): x -> N(x + change x + shift, noise). Steps compose exactly, and a long
interval is always composed from short ones: nothing overflows where the drift is strong, and what changes little keeps
its digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from infotherm.core.tensors import validating

Step = tuple[Tensor, Tensor, Tensor]
Coefficients = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]

# Gauss-Legendre nodes of order 6 on [0, 1]
_NODES = (0.5 - math.sqrt(15) / 10, 0.5, 0.5 + math.sqrt(15) / 10)


def compose(second: Step, first: Step) -> Step:
    """The step `first`, then `second`."""
    change, shift, noise = first
    moved = second[0] @ noise + noise
    return (
        change + second[0] + second[0] @ change,
        shift + (second[0] @ shift[..., None])[..., 0] + second[1],
        _symmetric(moved + moved @ second[0].mT + second[2]),
    )


def varying_drift(coefficients: Coefficients, t0: Tensor, t1: Tensor, *, tolerance: float = 1e-13) -> Step:
    """Gain, shift and noise of dX = (A(t) X + c(t)) dt + sigma(t) dB from t0 to t1, by Magnus of order 6.

    Many times with one start (the nodes of a quadrature) go as a chain: from each to the next, then all prefixes
    composed.

    Parameters
    ----------
    coefficients
        A function of times (...) that gives A (..., D, D), c (..., D), sigma sigma^T (..., D, D).
    t0, t1
        Times, shape (...).
    tolerance
        Panels are doubled until gain, shift and noise move by less than 32 times this, relative to their size; the next
        doubling would move them 64 times less.

    Raises
    ------
    RuntimeError
        When the panels do not suffice (coefficients that jump, or oscillate fast).

    References
    ----------
    Blanes, Casas, Oteo and Ros, "The Magnus expansion and some of its applications", Phys. Rep. 470 (2009), sec. 5.4.
    """
    if t1.numel() <= 8 or not validating(t0, t1) or not bool((t0 == t0.flatten()[0]).all()):
        return _with_gain(_converged(coefficients, t0, t1, panels=8, goal=32 * tolerance))
    ends, order = t1.flatten().sort()
    starts = torch.cat([t0.flatten()[:1], ends[:-1]])
    goal = max(32 * tolerance / len(ends), 64 * torch.finfo(ends.dtype).eps)
    chain = _with_gain(_prefixes(_converged(coefficients, starts, ends, panels=1, goal=goal)))
    place = order.argsort()
    return tuple(m[place].reshape(*t1.shape, *m.shape[1:]) for m in chain)  # type: ignore[return-value]


def _with_gain(step: Step) -> Step:
    change, shift, noise = step
    return torch.eye(change.shape[-1], dtype=change.dtype, device=change.device) + change, shift, noise


def _converged(coefficients: Coefficients, t0: Tensor, t1: Tensor, *, panels: int, goal: float) -> Step:
    """The step by twice as many panels until it stays.

    Every other time by unequal ones: a jump just beside an edge that both partitions shared would go unseen.
    """
    most = 512 * panels
    previous = _panelled(coefficients, t0, t1, panels)
    change, bend = math.inf, 0.0
    while panels < most:
        panels *= 2
        bend = 0.2 - bend
        current = _panelled(coefficients, t0, t1, panels, bend)
        change = _distance(current, previous)
        if change < goal:
            return current
        previous = current
    raise RuntimeError(
        f"the transition did not converge to {goal:.2g} with {most} panels (last change {change:.3g}): split the "
        f"interval where the coefficients jump, or give a larger tolerance"
    )


def _prefixes(steps: Step) -> Step:
    """The compositions of the first 1, 2, ... steps along the first axis, in log2 rounds."""
    reach = 1
    while reach < steps[0].shape[0]:
        joined = compose(tuple(m[reach:] for m in steps), tuple(m[:-reach] for m in steps))  # type: ignore[arg-type]
        steps = tuple(torch.cat([m[:reach], new]) for m, new in zip(steps, joined, strict=True))  # type: ignore[assignment]
        reach *= 2
    return steps


def _distance(new: Step, old: Step) -> float:
    """The largest difference of gain, shift and noise, relative to the size of each.

    A gain below 1 counts as 1: what is forgotten is known to the accuracy of where it began. The shift counts in units
    of the noise where that is larger.
    """
    with torch.no_grad():
        if new[0].numel() == 0:
            return 0.0
        change, shift, noise = (m.abs().flatten(t).amax(-1) for m, t in zip(new, (-2, -1, -2), strict=True))
        sizes = (change.clamp(min=1.0), torch.maximum(shift, noise.sqrt()), noise)
        changes = ((a - b).abs().flatten(t).amax(-1) for a, b, t in zip(new, old, (-2, -1, -2), strict=True))
        tiny = torch.finfo(change.dtype).tiny
        relative = [(moved / size.clamp(min=tiny)).max() for moved, size in zip(changes, sizes, strict=True)]
        return float(torch.stack(relative).max())  # NaN stays NaN, and is no convergence


def _panelled(coefficients: Coefficients, t0: Tensor, t1: Tensor, panels: int, bend: float = 0.0) -> Step:
    """The step by panels whose edges are u + bend u (1 - u) of the interval, u = 0, 1/P, ..., 1."""
    even = torch.linspace(0.0, 1.0, panels + 1, dtype=t0.dtype, device=t0.device)
    edges = even + bend * even * (1 - even)
    widths = edges.diff()
    nodes = torch.tensor(_NODES, dtype=t0.dtype, device=t0.device)
    fractions = edges[:-1, None] + widths[:, None] * nodes
    span = t1 - t0
    matrix, offset, intensity = coefficients(t0 + fractions.reshape(panels, 3, *[1] * t0.ndim) * span)
    step = widths.reshape(-1, 1, *[1] * t0.ndim) * span
    # offset and noise enter linearly: exponentiate blocks of like size
    unit = _size_of(offset[..., None], (0, 1, -2, -1))[..., 0]
    scale = _size_of(intensity, (0, 1, -2, -1))
    state = _augmented(matrix, offset / unit)
    generator = _hamiltonian(state, torch.nn.functional.pad(intensity / scale, (0, 1, 0, 1)))
    change = _exponential_change(_magnus(generator * step[..., None, None]))
    n = change.shape[-1] // 2
    flow = change[..., :n, :n]
    noise = change[..., :n, n:]  # Van Loan: [[Phi, G], [0, Phi^-T]] with noise = G Phi^T
    noise = _symmetric(noise + noise @ flow.mT)
    moved, shift, noise = _reduced((flow[..., :-1, :-1], flow[..., :-1, -1], noise[..., :-1, :-1]))
    return moved, shift * unit[0, 0], noise * scale[0, 0]


def _exponential_change(exponent: Tensor) -> Tensor:
    """exp(M) - 1 by its Taylor series, small entries as accurate as large ones; NaN where |M| > 1."""
    norm = torch.linalg.matrix_norm(exponent.detach(), ord=1)
    largest = float(norm.nan_to_num(nan=2.0).clamp(max=1.0).max()) if norm.numel() else 0.0
    total = term = exponent
    count, rest = 1, largest
    while rest > 1e-18 and count < 22:
        count += 1
        rest = rest * largest / count
        term = term @ exponent / count
        total = total + term
    return torch.where((norm <= 1)[..., None, None], total, torch.nan)


def _magnus(generator: Tensor) -> Tensor:
    """The Magnus exponent of order 6 from h H at the three nodes of each panel, shape (P, 3, ..., n, n)."""
    first, middle, last = generator.unbind(1)
    slope = math.sqrt(15) / 3 * (last - first)
    bend = 10 / 3 * (last - 2 * middle + first)
    c1 = _commutator(middle, slope)
    c2 = -_commutator(middle, 2 * bend + c1) / 60
    return middle + bend / 12 + _commutator(-20 * middle - bend + c1, slope + c2) / 240


def _reduced(panel: Step) -> Step:
    """The composition of panels along the first axis, in pairs (their number is a power of two)."""
    while panel[0].shape[0] > 1:
        early, late = (tuple(m[start::2] for m in panel) for start in (0, 1))
        panel = compose(late, early)  # type: ignore[arg-type]
    return panel[0][0], panel[1][0], panel[2][0]


def _commutator(a: Tensor, b: Tensor) -> Tensor:
    return a @ b - b @ a


def _augmented(matrix: Tensor, offset: Tensor) -> Tensor:
    """The drift of the state (x, 1): [[A, c], [0, 0]]."""
    shape = torch.broadcast_shapes(matrix.shape[:-1], offset.shape)
    top = torch.cat([matrix.expand(*shape, matrix.shape[-1]), offset.expand(shape)[..., None]], -1)
    return torch.cat([top, torch.zeros_like(top[..., :1, :])], -2)


def _hamiltonian(drift: Tensor, intensity: Tensor) -> Tensor:
    """Van Loan's block matrix [[A, S], [0, -A^T]]."""
    drift, intensity = torch.broadcast_tensors(drift, intensity)
    below = torch.cat([torch.zeros_like(drift), -drift.mT], -1)
    return torch.cat([torch.cat([drift, intensity], -1), below], -2)


def _symmetric(matrix: Tensor) -> Tensor:
    return 0.5 * (matrix + matrix.mT)


def _size_of(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Largest entry along `axes` (kept), 1 where all vanish; a scale carries no gradient."""
    size = x.detach().abs().amax(axes, keepdim=True)
    return torch.where(size > 0, size, 1.0)
