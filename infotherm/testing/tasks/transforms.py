"""Injective maps of samples: they change how the data look and leave mutual information as it is.

I(f(x); g(y)) = I(x; y) for injective f and g: sigma-algebras are the same (Cover and Thomas 2006, problem 2.4 and
section 8.6). The maps follow Czyz et al., Beyond Normal, NeurIPS 2023, with constants of our own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infotherm.distributions import GaussianMixture

BIMODAL = GaussianMixture([0.3, 0.7], [-2.0, 1.5], [0.25, 0.09])


def asinh(x: Tensor) -> Tensor:
    """log(x + sqrt(1 + x^2) ) of each coordinate: tails of a power law become exponential."""
    return torch.asinh(x)


def half_cube(x: Tensor) -> Tensor:
    """x |x|^(1/2) of each coordinate: longer tails, and a density that is infinite at zero."""
    return x * x.abs().sqrt()


def normal_cdf(x: Tensor) -> Tensor:
    """Phi of each coordinate: uniform margins on [0, 1] of standard normal ones."""
    return torch.special.ndtr(x)


def bimodal(x: Tensor) -> Tensor:
    """F^-1(Phi(x)) of each coordinate, F of 0.3 N(-2, 0.25) + 0.7 N(1.5, 0.09): two peaks of a standard normal one."""
    quantiles = BIMODAL.to(device=x.device).icdf(torch.special.ndtr(x.double()).reshape(-1, 1))
    return quantiles.reshape(x.shape).to(x)


def wiggly(x: Tensor) -> Tensor:
    """x + 0.4 sin x + 0.2 sin(1.7 x + 1) + 0.03 sin(3.3 x - 2.5) of each coordinate; the slope is at least 0.161."""
    return x + 0.4 * torch.sin(x) + 0.2 * torch.sin(1.7 * x + 1) + 0.03 * torch.sin(3.3 * x - 2.5)


def wiggly_other(x: Tensor) -> Tensor:
    """x - 0.4 sin(0.4 x) + 0.17 sin(1.3 x + 3.5) + 0.02 sin(4.3 x - 2.5); the slope is at least 0.533."""
    return x - 0.4 * torch.sin(0.4 * x) + 0.17 * torch.sin(1.3 * x + 3.5) + 0.02 * torch.sin(4.3 * x - 2.5)


def spiral(x: Tensor, speed: float = 0.7) -> Tensor:
    """The first two coordinates turned by the angle speed |x|^2; |x| and volumes are kept."""
    if x.shape[-1] < 2:
        raise ValueError(f"x must have at least two coordinates to spiral; got shape {tuple(x.shape)}")
    angle = speed * x.square().sum(-1)
    cos, sin = angle.cos(), angle.sin()
    first, second = x[..., 0], x[..., 1]
    turned = torch.stack([cos * first - sin * second, sin * first + cos * second], dim=-1)
    return torch.cat([turned, x[..., 2:]], dim=-1)


def swiss_roll(x: Tensor) -> Tensor:
    """One coordinate in [0, 1] rolled up in the plane: t (cos t, sin t) / 21 with t = (1 + 2 x) 3 pi / 2."""
    if x.shape[-1] != 1:
        raise ValueError(f"x must have one coordinate to be rolled up; got shape {tuple(x.shape)}")
    t = 1.5 * math.pi * (1 + 2 * x)
    return torch.cat([t * t.cos(), t * t.sin()], dim=-1) / 21


def normal_swiss_roll(x: Tensor) -> Tensor:
    """`swiss_roll` of `normal_cdf`: a standard normal coordinate on a roll that is evenly filled in its angle."""
    return swiss_roll(normal_cdf(x))


def spiral_cdf(x: Tensor) -> Tensor:
    """`spiral` of `normal_cdf`, centred: a twisted cube."""
    return spiral(2 * normal_cdf(x) - 1, speed=2.0)


def rotation(dim: int) -> Tensor:
    """A fixed rotation that mixes all coordinates, the product of two reflections, shape (dim, dim)."""
    one = torch.eye(dim, dtype=torch.float64)
    first, second = torch.arange(1.0, dim + 1, dtype=torch.float64), torch.ones(dim, dtype=torch.float64)
    second[0] = -2.0
    mirrors = [one - 2 * v[:, None] * v / v.square().sum() for v in (first, second)]
    return mirrors[0] @ mirrors[1]


def rotate(x: Tensor) -> Tensor:
    """x turned by `rotation`: what was spread over single coordinates is spread over all."""
    return x @ rotation(x.shape[-1]).to(x)


def embed(x: Tensor) -> Tensor:
    """D coordinates on a plane in D + 2 dimensions: (x, sum x, sum of +-x); the law has no density there."""
    signs = torch.ones(x.shape[-1], dtype=x.dtype, device=x.device)
    signs[1::2] = -1
    return torch.cat([x, x.sum(-1, keepdim=True), (x * signs).sum(-1, keepdim=True)], dim=-1)


def moment_curve(x: Tensor) -> Tensor:
    """One coordinate on the curve (x, x^2, x^3) / (1 + x^2)."""
    return torch.cat([x, x.square(), x**3], dim=-1) / (1 + x.square())
