"""Samplers of single laws that entropy and divergence tasks share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from infotherm.testing.tasks.task import choice, normal, uniform

Sampler = Callable[[int, torch.Generator], Tensor]


def affine_normal(mean: Sequence[float], covariance: Tensor) -> Sampler:
    """Samples (n, D) of N(mean, covariance)."""
    factor, shift = torch.linalg.cholesky(covariance), torch.tensor(mean, dtype=torch.float64)

    def sample(n: int, g: torch.Generator) -> Tensor:
        return shift.to(g.device) + normal(g, n, len(shift)) @ factor.mT.to(g.device)

    return sample


def mixture(weights: Sequence[float], means: Sequence[float], deviations: Sequence[float]) -> Sampler:
    """Samples (n, 1) of a scalar Gaussian mixture."""
    table = torch.tensor([means, deviations], dtype=torch.float64)

    def sample(n: int, g: torch.Generator) -> Tensor:
        mean, deviation = table.to(g.device)[:, choice(g, n, torch.tensor(weights, dtype=torch.float64))]
        return (mean + deviation * normal(g, n, 1)[:, 0])[:, None]

    return sample


def exponential(rate: float = 1.0, dim: int = 1) -> Sampler:
    """Samples (n, dim) of independent exponential coordinates."""
    return lambda n, g: -torch.log1p(-uniform(g, n, dim)) / rate


def laplace(scale: float = 1.0, dim: int = 1) -> Sampler:
    """Samples (n, dim) of independent Laplace coordinates, differences of exponential ones."""
    draw = exponential(1 / scale, dim)
    return lambda n, g: draw(n, g) - draw(n, g)


def cauchy() -> Sampler:
    """Samples (n, 1) of the standard Cauchy law."""
    return lambda n, g: (math.pi * (uniform(g, n, 1) - 0.5)).tan()


def gamma(shape: int) -> Sampler:
    """Samples (n, 1) of the gamma law of unit scale and whole shape, a sum of exponential variables."""
    return lambda n, g: exponential(dim=shape)(n, g).sum(1, keepdim=True)


def beta(a: int, b: int) -> Sampler:
    """Samples (n, 1) of the beta law of whole parameters, the share of one gamma variable in the sum of two."""
    first, second = gamma(a), gamma(b)

    def sample(n: int, g: torch.Generator) -> Tensor:
        part, rest = first(n, g), second(n, g)
        return part / (part + rest)

    return sample


def labels(pmf: Tensor) -> Sampler:
    """Samples (n, 1) of the indices of a pmf."""
    return lambda n, g: choice(g, n, pmf).double()[:, None]


def zipf(size: int, exponent: float) -> Tensor:
    """The pmf of `size` labels in proportion to 1 / rank^exponent."""
    weights = torch.arange(1, size + 1, dtype=torch.float64) ** -exponent
    return weights / weights.sum()
