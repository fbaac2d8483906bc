"""Scalar laws with atoms: the spike-and-slab and the Rademacher law."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import Generator, as_generator, as_tensors, require_finite, validating
from infotherm.distributions.base import Distribution
from infotherm.distributions.discrete import Discrete
from infotherm.distributions.mixture import GaussianMixture


class SpikeSlab(Distribution):
    """The scalar law weight * N(mean, variance) + (1 - weight) * delta_0: zero, or a Gaussian slab.

    `log_prob` is the density with respect to Lebesgue measure plus the unit mass at zero: log(1 - weight) at x = 0
    exactly, log weight + log N(x; mean, variance) elsewhere. Its entropy -E log_prob is the mixed entropy
    h2(weight) + weight * h(slab), in nats.

    Parameters
    ----------
    weight
        Probability of the slab, in [0, 1], shape (*batch).
    mean, variance
        Of the slab, shape (*batch); the variance is positive.

    Raises
    ------
    ValueError
        When a parameter is out of its range or not finite, or shapes do not broadcast.

    Examples
    --------
    >>> p = SpikeSlab(0.25, 0.0, 1.0)
    >>> p.variance.item(), p.log_prob([0.0]).exp().item()
    (0.25, 0.75)
    """

    measure = "mixed"

    def __init__(self, weight: Any, mean: Any, variance: Any) -> None:
        weight, mean, variance = as_tensors(weight=weight, mean=mean, variance=variance)
        self.weight, self.slab_mean, self.slab_variance = _broadcast(weight=weight, mean=mean, variance=variance)
        _require_probability(weight, "weight")
        require_finite(mean, "mean")
        require_finite(variance, "variance")
        if validating(variance) and not bool((variance > 0).all()):
            raise ValueError(f"variance must be positive; got {variance.min().item():.6g}")
        super().__init__(self.weight.shape, 1, dtype=self.weight.dtype, device=self.weight.device)

    def log_prob(self, value: Any) -> Tensor:
        """The log-density with respect to Lebesgue measure plus a unit mass at zero, shape (..., 1) -> (...)."""
        x = self._points(value)[..., 0]
        slab = -0.5 * ((x - self.slab_mean) ** 2 / self.slab_variance + (2 * math.pi * self.slab_variance).log())
        return torch.where(x == 0, _log(1 - self.weight), _log(self.weight) + slab)

    def sample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
        """Independent draws, shape (*sample_shape, *batch, 1), exactly zero with probability 1 - weight."""
        generator = as_generator(generator, self.device)
        shape = (*torch.Size(sample_shape), *self.batch_shape)
        with torch.no_grad():
            uniform = torch.rand(shape, generator=generator, dtype=torch.float64, device=self.device)
            normal = torch.randn(shape, generator=generator, dtype=self.dtype, device=self.device)
            slab = self.slab_mean + self.slab_variance.sqrt() * normal
            return torch.where(uniform < self.weight, slab, 0.0).unsqueeze(-1)

    @property
    def mean(self) -> Tensor:
        """weight * mean of the slab, shape (*batch, 1)."""
        return (self.weight * self.slab_mean).unsqueeze(-1)

    @property
    def covariance(self) -> Tensor:
        """weight * variance + weight (1 - weight) mean^2, shape (*batch, 1, 1)."""
        variance = self.weight * self.slab_variance + self.weight * (1 - self.weight) * self.slab_mean**2
        return variance[..., None, None]

    def breakpoints(self) -> Tensor:
        """Zero, and multiples of the slab's standard deviation around its mean, shape (8, *batch)."""
        steps = torch.tensor([-8.0, -3.0, -1.0, 0.0, 1.0, 3.0, 8.0], dtype=self.dtype, device=self.device)
        mean, deviation = self.slab_mean.detach(), self.slab_variance.detach().sqrt()
        around = mean + steps.reshape(-1, *[1] * mean.ndim) * deviation
        return torch.cat([torch.zeros_like(around[:1]), around])

    def cdf(self, value: Any) -> Tensor:
        """P(X <= value), shape (..., 1) -> (...)."""
        return self.as_gaussian_mixture().cdf(value)

    def icdf(self, value: Any) -> Tensor:
        """The smallest x with P(X <= x) >= value, shape (...) -> (..., 1)."""
        return self.as_gaussian_mixture().icdf(value)

    def score(self, x: Any) -> Tensor:
        """Refused: a law with an atom has no score."""
        raise NotImplementedError("a SpikeSlab law has no score: add noise, for example by a LinearGaussianChannel")

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> SpikeSlab:
        """The same law on another device or in another precision."""
        return SpikeSlab(*(t.to(device=device, dtype=dtype) for t in (self.weight, self.slab_mean, self.slab_variance)))

    def as_gaussian_mixture(self) -> GaussianMixture:
        """The same law as two Gaussians (slab first), the second of zero covariance at zero."""
        zero = torch.zeros_like(self.weight)
        return GaussianMixture(
            torch.stack([self.weight, 1 - self.weight], dim=-1),
            torch.stack([self.slab_mean, zero], dim=-1).unsqueeze(-1),
            torch.stack([self.slab_variance, zero], dim=-1)[..., None, None],
        )

    def __repr__(self) -> str:
        return f"SpikeSlab(weight={_shown(self.weight)}, mean={_shown(self.slab_mean)}, " + (
            f"variance={_shown(self.slab_variance)})"
        )


class Rademacher(Distribution):
    """The scalar law of a sign: +1 with probability p, -1 with probability 1 - p.

    `log_prob` is with respect to the counting measure on {-1, +1}; -inf elsewhere.

    Parameters
    ----------
    p
        Probability of +1, in [0, 1], shape (*batch).

    Raises
    ------
    ValueError
        When p is not a probability.

    Examples
    --------
    >>> Rademacher().variance.item(), Rademacher(0.75).mean.item(), Rademacher().log_prob([0.5]).item()
    (1.0, 0.5, -inf)
    """

    measure = "counting"
    has_enumerate_support = True

    def __init__(self, p: Any = 0.5) -> None:
        (self.p,) = as_tensors(p=p)
        _require_probability(self.p, "p")
        super().__init__(self.p.shape, 1, dtype=self.p.dtype, device=self.p.device)

    def log_prob(self, value: Any) -> Tensor:
        """The log-probability, shape (..., 1) -> (...), in nats; -inf off {-1, +1}."""
        x = self._points(value)[..., 0]
        return torch.where(x == 1, _log(self.p), torch.where(x == -1, _log(1 - self.p), -math.inf))

    def entropy(self) -> Tensor:
        """The binary entropy of p, shape (*batch), in nats."""
        return self.as_discrete().entropy()

    def sample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
        """Independent signs, shape (*sample_shape, *batch, 1)."""
        generator = as_generator(generator, self.device)
        shape = (*torch.Size(sample_shape), *self.batch_shape)
        with torch.no_grad():
            uniform = torch.rand(shape, generator=generator, dtype=torch.float64, device=self.device)
            return torch.where(uniform < self.p, 1.0, -1.0).to(self.dtype).unsqueeze(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """The two points -1 and +1, shape (2, *batch, 1)."""
        points = torch.tensor([-1.0, 1.0], dtype=self.dtype, device=self.device)
        points = points.reshape(2, *[1] * len(self.batch_shape), 1)
        return points.expand(2, *self.batch_shape, 1) if expand else points

    @property
    def mean(self) -> Tensor:
        """2p - 1, shape (*batch, 1)."""
        return (2 * self.p - 1).unsqueeze(-1)

    @property
    def covariance(self) -> Tensor:
        """4p(1 - p), shape (*batch, 1, 1)."""
        return (4 * self.p * (1 - self.p))[..., None, None]

    def bounds(self) -> tuple[Tensor, Tensor]:
        """-1 and +1, each (*batch, 1)."""
        one = torch.ones_like(self.p.detach()).unsqueeze(-1)
        return -one, one

    def breakpoints(self) -> Tensor:
        """The two atoms, shape (2, *batch)."""
        return self.enumerate_support()[..., 0]

    def cdf(self, value: Any) -> Tensor:
        """P(X <= value), shape (..., 1) -> (...)."""
        return self.as_gaussian_mixture().cdf(value)

    def icdf(self, value: Any) -> Tensor:
        """The smallest x with P(X <= x) >= value, shape (...) -> (..., 1)."""
        return self.as_gaussian_mixture().icdf(value)

    def score(self, x: Any) -> Tensor:
        """Refused: a law of atoms has no score."""
        raise NotImplementedError("a Rademacher law has no score: add noise, for example by a LinearGaussianChannel")

    def as_discrete(self) -> Discrete:
        """The law of the index (0 for -1, 1 for +1) with the signs as its values."""
        return Discrete(torch.stack([1 - self.p, self.p], dim=-1), values=[-1.0, 1.0])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Rademacher:
        """The same law on another device or in another precision."""
        return Rademacher(self.p.to(device=device, dtype=dtype))

    def as_gaussian_mixture(self) -> GaussianMixture:
        """The same law as two Gaussians of zero covariance, at -1 and at +1."""
        weights = torch.stack([1 - self.p, self.p], dim=-1)
        means = torch.stack([-torch.ones_like(self.p), torch.ones_like(self.p)], dim=-1).unsqueeze(-1)
        return GaussianMixture(weights, means, torch.zeros_like(means).unsqueeze(-1))

    def __repr__(self) -> str:
        return f"Rademacher(p={_shown(self.p)})"


def _require_probability(p: Tensor, name: str) -> None:
    require_finite(p, name)
    if validating(p) and not bool(((p >= 0) & (p <= 1)).all()):
        wrong = p[(p < 0) | (p > 1)].flatten()[0].item()
        raise ValueError(f"{name} must be a probability between 0 and 1; got {wrong:.6g}")


def _broadcast(**named: Tensor) -> list[Tensor]:
    try:
        return list(torch.broadcast_tensors(*named.values()))
    except RuntimeError:
        shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in named.items())
        raise ValueError(f"parameters must have shapes that broadcast; got {shapes}") from None


def _log(p: Tensor) -> Tensor:
    """log p, -inf at zero with a zero gradient."""
    return torch.where(p > 0, torch.where(p > 0, p, 1.0).log(), -math.inf)


def _shown(parameter: Tensor) -> str:
    return f"{parameter.item():.6g}" if parameter.ndim == 0 else f"<{tuple(parameter.shape)}>"
