"""Scalar mixtures of Gaussians: distribution function, quantiles, and where a quadrature must break."""

from __future__ import annotations

import torch
from torch import Tensor

from infotherm.core.quantiles import normal_cdf

_STEPS = (-8.0, -3.0, 0.0, 3.0, 8.0)
_MANY = 80  # break points beyond which their number is thinned


def mixture_cdf(weights: Tensor, means: Tensor, deviations: Tensor, x: Tensor) -> Tensor:
    """P(X <= x) for components (..., K), atoms (deviation zero) included, shape (...)."""
    offset = x[..., None] - means
    atom = deviations == 0
    smooth = normal_cdf(offset / torch.where(atom, torch.ones_like(deviations), deviations))
    return (weights * torch.where(atom, (offset >= 0).to(smooth.dtype), smooth)).sum(-1)


def mixture_icdf(weights: Tensor, means: Tensor, deviations: Tensor, probability: Tensor) -> Tensor:
    """The smallest x with P(X <= x) >= probability, by bisection between the components' quantiles, shape (...).

    Accurate to a few eps of |x|; its gradient is that of the implicit function, zero at an atom.
    """
    fixed = weights.detach(), means.detach(), deviations.detach()
    x = _bisected(*fixed, probability.detach())
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in (weights, means, deviations, probability))):
        return x
    density = _density(*fixed, x)
    safe = torch.isfinite(x) & (density > 0)
    at = torch.where(safe, x, torch.zeros_like(x))
    slope = torch.where(safe, 1 / torch.where(safe, density, torch.ones_like(density)), torch.zeros_like(density))
    step = (probability - mixture_cdf(weights, means, deviations, at)) * slope
    return x + (step - step.detach())


def _bisected(weights: Tensor, means: Tensor, deviations: Tensor, probability: Tensor) -> Tensor:
    steps = torch.special.ndtri(probability)[..., None]
    own = torch.where(deviations == 0, means, means + deviations * steps)
    low = torch.where(weights > 0, own, torch.inf).amin(-1)
    high = torch.where(weights > 0, own, -torch.inf).amax(-1)
    certain = torch.where(probability <= 0, low, high)
    inside = (probability > 0) & (probability < 1)
    low, high = (torch.where(inside, end, torch.zeros_like(end)) for end in (low, high))
    eps = torch.finfo(low.dtype).eps
    spread = torch.where(deviations > 0, deviations, torch.inf).amin(-1)
    floor = torch.where(torch.isfinite(spread), eps * spread, torch.finfo(low.dtype).tiny)
    for _ in range(256):
        if bool((high - low <= 2 * eps * torch.maximum(low.abs(), high.abs()) + 0.1 * floor).all()):
            break
        middle = low + (high - low) / 2
        below = mixture_cdf(weights, means, deviations, middle) < probability
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    reach = 4 * eps * means.abs()
    near = (means >= low[..., None] - reach) & (means <= high[..., None] + reach) & (deviations == 0) & (weights > 0)
    high = torch.where(near.any(-1), torch.where(near, means, -torch.inf).amax(-1), high)
    return torch.where(inside, high, certain)


def _density(weights: Tensor, means: Tensor, deviations: Tensor, x: Tensor) -> Tensor:
    atom = deviations == 0
    safe = torch.where(atom, torch.ones_like(deviations), deviations)
    z = (x[..., None] - means) / safe
    heights = torch.exp(-0.5 * z.square()) / (safe * (2 * torch.pi) ** 0.5)
    return (weights * torch.where(atom, torch.zeros_like(heights), heights)).sum(-1)


def mixture_breakpoints(weights: Tensor, means: Tensor, deviations: Tensor) -> Tensor:
    """Means of the components and means +- 3, 8 standard deviations, shape (P, *batch), at most about 80 of them.

    Where there are more, every so many of the sorted points stay, the first and the last among them. Components of
    weight zero count as sitting at the mean of the law.
    """
    centre = (weights * means).sum(-1, keepdim=True)
    present = weights > 0
    means, deviations = torch.where(present, means, centre), torch.where(present, deviations, 0.0)
    steps = torch.tensor(_STEPS, dtype=means.dtype, device=means.device)
    points = (means[..., None] + steps * deviations[..., None]).flatten(-2).sort(-1).values
    count = points.shape[-1]
    if count > _MANY:
        kept = torch.linspace(0, count - 1, _MANY, dtype=torch.float64).round().long().to(points.device)
        points = points[..., kept]
    return points.movedim(-1, 0)
