"""Integrals over all of space of what is about as wide as a known Gaussian: the trapezoidal rule, whitened."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from infotherm.core.cubature import integrate_box
from infotherm.core.quadrature import Integral, evaluate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensors, chunks, require_shape, validating

_REACH = 10.0  # standard deviations that the lattice covers; what lies beyond is estimated
_SPACINGS = (0.4, 0.2, 0.1)
_CHUNK = 2**21


def integrate_whitened(
    f: Callable[[Tensor], Tensor],
    center: Any,
    factor: Any,
    *,
    rtol: float = 1e-9,
    atol: float = 0.0,
    max_evaluations: int = 20_000_000,
) -> Integral:
    r"""The integral of f over R^D, D <= 3, in the coordinates z of a Gaussian: x = center + factor z.

    The trapezoidal rule converges exponentially for smooth integrands that decay on both sides: a lattice of spacing
    0.4 gives a Gaussian to 1e-15. The error is the largest difference between the 2^D interleaved lattices of twice the
    spacing and their mean, plus an estimate of the tails from the decay of the outermost layers, plus rounding. Where
    that does not reach the tolerance (kinks, tails of a power law, much finer structure) `integrate_box` takes over.

    Parameters
    ----------
    f
        Maps points x (M, *batch, D) to values (M, *batch).
    center, factor
        (..., D) and (..., D, D), e.g. the mean of a distribution and the factor of its covariance; regular.
    rtol, atol
        Wanted error: max(atol, rtol |value|); the rounding of the dtype is the floor.
    max_evaluations
        Where refinement ends.

    Returns
    -------
    Integral
        `value` and `error` of the batch shape; differentiable. Structure narrower than a tenth of a standard deviation
        can be missed: give mixtures with narrow components to `integrate_box` with breakpoints.

    Raises
    ------
    ValueError
        When D is not 1, 2 or 3, the factor is singular, or f is not finite at a node.

    References
    ----------
    Trefethen & Weideman, SIAM Review 56 (2014) 385.

    Examples
    --------
    >>> factor = torch.tensor([[1.0, 0.0], [0.999, 0.02]], dtype=torch.float64)
    >>> p = torch.distributions.MultivariateNormal(torch.zeros(2).double(), scale_tril=factor)
    >>> entropy = integrate_whitened(lambda x: -p.log_prob(x) * p.log_prob(x).exp(), torch.zeros(2), factor)
    >>> bool((entropy.value - p.entropy()).abs() <= entropy.error <= 1e-8)
    True
    """
    center, factor = as_tensors(center=center, factor=factor)
    dim = require_shape(factor, ("...", "D", "D"), "factor")["D"]
    if dim not in (1, 2, 3) or center.shape[-1:] != (dim,):
        raise ValueError(f"center must have shape (..., D) with D = 1, 2 or 3; got {tuple(center.shape)} and D = {dim}")
    batch = torch.broadcast_shapes(center.shape[:-1], factor.shape[:-2])
    volume = torch.linalg.det(factor).abs()
    if validating(volume) and not bool((volume > 0).all()):
        raise ValueError("factor must be regular; got one with determinant 0")

    def density(z: Tensor) -> Tensor:
        spread = z.reshape(len(z), *(1,) * len(batch), dim) if z.ndim == 2 else z
        x = center + (factor @ spread.unsqueeze(-1)).squeeze(-1)
        y = evaluate(
            f, x.expand(len(z), *batch, dim), torch.zeros((), dtype=torch.bool, device=x.device).expand(len(z), *batch)
        )
        return y * volume

    wants_gradient = density(center.new_zeros(1, dim)).requires_grad
    # how far the rounding of x moves z, where the integrand is
    inverse = torch.linalg.inv(factor.detach()).abs()
    place = center.detach().abs() + 4 * torch.linalg.vector_norm(factor.detach(), dim=-1)
    blur = torch.finfo(center.dtype).eps * (inverse @ place.unsqueeze(-1)).squeeze(-1)
    width = dim * max(batch.numel(), 1)  # numbers per node
    evaluations = 0
    for spacing in _SPACINGS:
        half = math.ceil(_REACH / spacing)
        points = (2 * half + 1) ** dim
        if evaluations + points > max_evaluations:
            break
        line = spacing * torch.arange(-half, half + 1, dtype=center.dtype, device=center.device)
        with torch.no_grad():
            value, error, rounding = _lattice(density, line, spacing, dim, width, blur)
        evaluations += points
        if bool((error <= torch.maximum((rtol * value.abs()).clamp_min(atol), rounding)).all()):
            if wants_gradient:
                value, evaluations = _differentiable(density, line, spacing, dim, width), evaluations + points
            return Integral(value, error + rounding, evaluations, True)
    z_marks = torch.tensor([[-6.0], [-2.0], [2.0], [6.0]], dtype=center.dtype, device=center.device).expand(4, dim)
    end = torch.full((*batch, dim), torch.inf, dtype=center.dtype, device=center.device)
    box = integrate_box(
        density, -end, end, breakpoints=z_marks, rtol=rtol, atol=atol, max_evaluations=max_evaluations - evaluations
    )
    return Integral(box.value, box.error, box.evaluations + evaluations, box.converged)


def _slabs(line: Tensor, dim: int, width: int) -> list[slice]:
    """Pieces of the first axis, with a bounded number of lattice points each."""
    return list(chunks(len(line), max(1, _CHUNK // (width * len(line) ** (dim - 1)))))


def _points(line: Tensor, part: slice, dim: int) -> Tensor:
    grid = torch.meshgrid(line[part], *[line] * (dim - 1), indexing="ij")
    return torch.stack(grid, dim=-1).reshape(-1, dim)


def _lattice(
    density: Callable[[Tensor], Tensor], line: Tensor, h: float, dim: int, width: int, blur: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The trapezoidal sum over a lattice, its error (interleaved lattices and tails), and its rounding."""
    n = len(line)
    reach = torch.arange(n, device=line.device).sub(n // 2).abs()
    sums: dict[tuple[int, ...], Tensor] = {}
    size = variation = outer = second = torch.zeros((), dtype=line.dtype, device=line.device)
    before = None
    for part in _slabs(line, dim, width):
        y = density(_points(line, part, dim))
        y = y.reshape(-1, *[n] * (dim - 1), *y.shape[1:])
        for parity in itertools.product((0, 1), repeat=dim):
            first = (parity[0] + part.start) % 2
            picked = y[(slice(first, None, 2), *(slice(p, None, 2) for p in parity[1:]))]
            sums[parity] = sums.get(parity, 0.0) + picked.sum(tuple(range(dim)))
        size = size + y.abs().sum(tuple(range(dim)))
        joined = y if before is None else torch.cat([before, y])
        jumps = [t.diff(dim=d).abs().sum(tuple(range(dim))) for d, t in enumerate([joined] + [y] * (dim - 1))]
        variation = variation + torch.stack(jumps, -1)
        before = y[-1:]
        layer = reach[part]
        for _ in range(dim - 1):
            layer = torch.maximum(layer.unsqueeze(-1), reach)
        layer = layer.reshape(*layer.shape, *(1,) * (y.ndim - dim))
        outer = outer + torch.where(layer == n // 2, y.abs(), 0.0).sum(tuple(range(dim)))
        second = second + torch.where(layer == n // 2 - 1, y.abs(), 0.0).sum(tuple(range(dim)))
    interleaved = torch.stack(list(sums.values())) * (2 * h) ** dim
    value = interleaved.mean(0)
    # layers decay by a factor: a geometric series bounds what lies beyond (twice, for tails that decay more slowly)
    decay = outer / second.clamp_min(torch.finfo(line.dtype).tiny)
    tail = torch.where(outer == 0, 0.0, torch.where(decay < 1, 2 * h**dim * outer / (1 - decay), torch.inf))
    rounding = rounding_error([2 * h**dim * size]) + h ** (dim - 1) * (variation * blur).sum(-1)
    return value, (interleaved - value).abs().amax(0) + tail, rounding


def _differentiable(density: Callable[[Tensor], Tensor], line: Tensor, h: float, dim: int, width: int) -> Tensor:
    """The sum again, with its slabs evaluated anew in the backward pass instead of kept."""

    def slab(part: slice) -> Tensor:
        return density(_points(line, part, dim)).sum(0) * h**dim

    parts = [checkpoint(slab, part, use_reentrant=False, preserve_rng_state=False) for part in _slabs(line, dim, width)]
    return torch.stack(parts).sum(0)
