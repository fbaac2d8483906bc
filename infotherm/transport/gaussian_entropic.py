"""Entropic transport between Gaussians in closed form, from factors of their covariances."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from infotherm.core.gradients import first_order
from infotherm.core.linalg import procrustes_distance
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import validating
from infotherm.distributions import Gaussian
from infotherm.transport.gaussian import _square
from infotherm.transport.second_order import bures_and_shift, parameter_error


class EntropicValue(NamedTuple):
    """A value with its error, of the batch shape, and the mutual information of the one optimal coupling it is of."""

    value: Tensor
    error: Tensor
    information: Tensor | None


def correlations(singular: Tensor, half: Tensor) -> Tensor:
    """rho = 2 s / (sqrt(4 s^2 + h^2) + h), the correlations of the optimal coupling.

    s are the singular values of B^T A, h = epsilon / 2. They minimise -2 s rho - h log(1 - rho^2), and 1 - rho^2 is
    2 h / (sqrt(4 s^2 + h^2) + h).
    """
    return 2 * singular / (torch.hypot(2 * singular, half) + half)


def _excess(singular: Tensor, half: Tensor) -> Tensor:
    """2 s - (2 s rho + h log(1 - rho^2)) >= 0: what a singular value adds to its part in W2^2, without cancellation."""
    root = torch.hypot(2 * singular, half)
    ratio = 2 * (singular / half) * (singular / (root + half))
    return half * ((2 * singular + 4 * singular * (singular / (root + half))) / (root + 2 * singular) + ratio.log1p())


def entropic_gaussians(p: Gaussian, q: Gaussian, epsilon: Tensor) -> EntropicValue:
    """OT_epsilon of Gaussians as W2^2 plus terms >= 0: accurate from epsilon far below to far above the covariances.

    Its square root moves by at most as much as the laws do in W2 (composing the optimal coupling with a map does not
    increase the divergence), which gives the share of rounded parameters in the error.
    """
    half = (epsilon / 2)[..., None].detach()
    with torch.no_grad():
        distance, arithmetic = bures_and_shift(p.mean, p.factor, q.mean, q.factor)
        A, B = _common(p, q)
        singular = torch.linalg.svdvals(B.mT @ A)
        excess = _excess(singular, half)
        value = distance.square() + excess.sum(-1)
        unit = torch.finfo(value.dtype).eps
        norms = torch.linalg.vector_norm(A, dim=(-2, -1)) * torch.linalg.vector_norm(B, dim=(-2, -1))
        blur = (8 * singular.shape[-1] * unit * norms)[..., None]
        # the excess has the slope 2 (1 - rho), which is largest at the lower end of what a singular value can be
        slope = 2 * (1 - correlations((singular - blur).clamp(min=0.0), half))
        error = (slope * blur).sum(-1) + 2 * arithmetic * distance + arithmetic.square()
        error = error + rounding_error([value, value])
        moved = parameter_error(p) + parameter_error(q)
        error = error + 2 * moved * value.sqrt() + moved.square()
        information = _information(singular, half)
    return EntropicValue(_attached(value, lambda: _through(p, q, epsilon), p, q, epsilon), error, information)


def _common(p: Gaussian, q: Gaussian) -> tuple[Tensor, Tensor]:
    """Square factors, detached."""
    width = max(p.factor.shape[-1], q.factor.shape[-1], p.dim)
    A, B = (_square(law.factor.detach(), width) for law in (p, q))
    return A, B


def _attached(value: Tensor, through: Callable[[], Tensor], p: Gaussian, q: Gaussian, epsilon: Tensor) -> Tensor:
    """The value with the gradient of `through`."""
    inputs = (p.mean, p.factor, q.mean, q.factor, epsilon)
    if validating(value) and not (torch.is_grad_enabled() and any(t.requires_grad for t in inputs)):
        return value
    found = through()
    return value + (found - found.detach())


def _through(p: Gaussian, q: Gaussian, epsilon: Tensor) -> Tensor:
    """|m0 - m1|^2 + |A|^2 + |B|^2 - 2 <U rho V^T, B^T A> + epsilon KL with the coupling held constant.

    It has the gradient of OT_epsilon. rho vanishes with the singular values: U rho V^T is smooth where U, V are not.
    """
    A, B = first_order(p.factor), first_order(q.factor)
    half = (epsilon / 2)[..., None].detach()
    left, singular, right = torch.linalg.svd((B.mT @ A).detach(), full_matrices=False)
    held = left * correlations(singular, half)[..., None, :] @ right
    shift = first_order(p.mean) - first_order(q.mean)
    spread = shift.square().sum(-1) + A.square().sum((-2, -1)) + B.square().sum((-2, -1))
    return spread - 2 * (held * (B.mT @ A)).sum((-2, -1)) + first_order(epsilon) * _information(singular, half)


def _information(singular: Tensor, half: Tensor) -> Tensor:
    """-sum log(1 - rho^2) / 2, the mutual information of the optimal coupling."""
    ratio = 2 * (singular / half) * (singular / (torch.hypot(2 * singular, half) + half))
    return ratio.log1p().sum(-1) / 2


def sinkhorn_divergence_gaussians(p: Gaussian, q: Gaussian, epsilon: Tensor) -> EntropicValue:
    r"""S_epsilon of Gaussians as a sum of terms >= 0, each of second order in the difference of the laws.

    With factors turned so that P = B^T A is symmetric, E = A - B, and the convex g(s) = max over rho of
    2 s rho + h log(1 - rho^2), h = epsilon / 2 (so that g' = 2 rho),

        S = |m0 - m1|^2 + [D(A^T A, P) + D(B^T B, P)] / 2 + tr(E g'(P) E^T) / 2,

    D the Bregman divergence of tr g, in the eigenvectors u of its first and v of its second argument
    sum_ij (u_i . v_j)^2 d(x_i, y_j).
    """
    with torch.no_grad():
        A, B = _common(p, q)
        shift, half = p.mean - q.mean, epsilon[..., None].detach() / 2
        unit = _unit(A, B, shift, half)
        A, B, shift = A / unit[..., None, None], B / unit[..., None, None], shift / unit[..., None]
        half = half / unit.square()[..., None]
        aligned = procrustes_distance(A, B)
        B = B @ aligned.rotation
        gap = A - B
        cross = B.mT @ A
        middle, frame = torch.linalg.eigh((cross + cross.mT) / 2)
        middle = middle.clamp(min=0.0)
        rho = correlations(middle, half)
        held = frame * rho[..., None, :] @ frame.mT
        value = shift.square().sum(-1) + ((gap @ frame).square().sum(-2) * rho).sum(-1)
        slopes, lowest = [], middle[..., 0]
        for mine, other in ((A, B), (B, A)):
            ends, axes = torch.linalg.eigh(mine.mT @ mine)
            ends = ends.clamp(min=0.0)
            lowest = torch.minimum(lowest, ends[..., 0])
            overlap = (axes.mT @ frame).square()
            apart = _bregman(ends[..., :, None], middle[..., None, :], half[..., None])
            value = value + (overlap * apart).sum((-2, -1)) / 2
            slopes.append(2 * (mine @ (axes * correlations(ends, half)[..., None, :]) @ axes.mT - other @ held))
        twist = torch.linalg.vector_norm(cross - cross.mT, dim=(-2, -1)) / 2
        moved = (parameter_error(p) / unit, parameter_error(q) / unit)
        error = _divergence_error(A, B, gap, shift, lowest, half[..., 0], twist, aligned.error, slopes, moved)
        error = (error + rounding_error([value, value])) * unit.square()
        value = value * unit.square()

    def through() -> Tensor:
        return _through(p, q, epsilon) - (_through(p, p, epsilon) + _through(q, q, epsilon)) / 2

    return EntropicValue(_attached(value, through, p, q, epsilon), error, None)


def _unit(A: Tensor, B: Tensor, shift: Tensor, half: Tensor) -> Tensor:
    """A power of two near the size of the problem, shape (*batch): fourth powers of coordinates occur."""
    parts = [A.flatten(-2), B.flatten(-2), shift, half.sqrt()]
    batch = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    largest = torch.stack([part.abs().amax(-1).expand(batch) for part in parts]).amax(0)
    return torch.ldexp(torch.ones_like(largest), torch.frexp(largest).exponent)


def _divergence_error(
    A: Tensor,
    B: Tensor,
    gap: Tensor,
    shift: Tensor,
    lowest: Tensor,
    half: Tensor,
    twist: Tensor,
    misaligned: Tensor,
    slopes: list[Tensor],
    moved: tuple[Tensor, Tensor],
) -> Tensor:
    """Rounding of the three matrices and of the rotation, and of the parameters, to second order."""
    norm = lambda M: torch.linalg.vector_norm(M, dim=(-2, -1))  # noqa: E731
    size, apart = norm(A) + norm(B), norm(gap)
    away = torch.linalg.vector_norm(shift, dim=-1)
    dim = A.shape[-2]
    blur = 8 * A.shape[-1] * torch.finfo(A.dtype).eps * size.square()
    reach = moved[0] + moved[1]
    # g'' and g'(s) / s decrease, so that their values at the lower end of the spectra bound them
    low = (lowest - blur - 2 * size * reach).clamp(min=0.0)
    root = torch.hypot(2 * low, half)
    bend, turn = 4 * half / (root * (root + half)), 4 / (root + half)
    arithmetic = torch.minimum(2 * bend * blur * (apart * size + blur), 8 * dim**0.5 * blur)
    arithmetic = arithmetic + turn * twist.square() + misaligned * (2 * apart + misaligned)
    coarse = 4 * reach * (away + size) + 2 * reach.square()
    fine = sum((norm(slope) + 2 * away) * way for slope, way in zip(slopes, moved, strict=True))
    fine = fine + (4 + 4 * turn * size.square()) * reach.square()
    return arithmetic + torch.minimum(fine, coarse)


def _bregman(x: Tensor, y: Tensor, half: Tensor) -> Tensor:
    """d(x, y) = g(x) - g(y) - g'(y) (x - y) >= 0 without cancellation, x, y >= 0.

    g = r - h log(r + h) with r = sqrt(4 s^2 + h^2), a convex function of a convex function: d is
    h (z - log(1 + z)), z = (r_x - r_y) / (r_y + h), plus r_y / (r_y + h) times the divergence of r,
    4 (x - y)^2 h^2 (x + y) / ((r_x + r_y) r_y (x r_y + y r_x)).
    """
    root_x, root_y = torch.hypot(2 * x, half), torch.hypot(2 * y, half)
    step, total = x - y, root_x + root_y
    z = 4 * step * ((x + y) / total) / (root_y + half)
    # far from each other the quotient itself has more digits than one plus its change
    curved = torch.where(z.abs() < 0.03, _log_remainder(z), z - ((root_x + half) / (root_y + half)).log())
    mixed = x * root_y + y * root_x
    mixed = torch.where(mixed > 0, mixed, 1.0)
    bent = 4 * step * (half / total) * (half / (root_y + half)) * (step * (x + y) / mixed)
    return bent + half * curved


def _log_remainder(z: Tensor) -> Tensor:
    """z - log(1 + z) for |z| < 0.03, without cancellation."""
    series = torch.zeros_like(z)
    for k in range(12, 1, -1):
        series = 1 / k - z * series
    return z.square() * series
