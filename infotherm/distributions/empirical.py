"""Empirical: samples as a law, each an atom with its weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import Generator, as_tensor, as_tensors, require_finite, validating
from infotherm.distributions.base import Distribution, Names
from infotherm.distributions.discrete import draw_indices
from infotherm.distributions.mixture import GaussianMixture


class Empirical(Distribution):
    """The law that puts weight w_i on the sample x_i: sum_i w_i delta(x - x_i).

    `log_prob` is with respect to the counting measure on the atoms: the logarithm of the total weight of the samples
    that equal x exactly, -inf elsewhere. Sampling is resampling with replacement.

    Parameters
    ----------
    samples
        Shape (N, D). A vector of N numbers must come as (N, 1).
    weights
        Shape (N,), >= 0, divided by their sum; equal by default.
    parts
        Names of blocks of the D coordinates and their sizes, e.g. {"x": 2, "y": 1}.

    Raises
    ------
    ValueError
        When samples are empty, not (N, D) or not finite, or weights are negative, all zero or not (N,).

    Examples
    --------
    >>> e = Empirical([[0.0], [1.0], [1.0], [3.0]])
    >>> e.log_prob([1.0]).exp().item(), e.mean.item()
    (0.5, 1.25)
    """

    measure = "counting"
    has_enumerate_support = True

    def __init__(self, samples: Any, weights: Any = None, *, parts: Mapping[str, int] | None = None) -> None:
        if weights is None:
            (samples,) = as_tensors(samples=samples)
        else:
            samples, weights = as_tensors(samples=samples, weights=weights)
        if samples.ndim == 1:
            raise ValueError(
                f"samples must have shape (N, D); got ({len(samples)},): for scalar samples give shape (N, 1), "
                f"for example samples[:, None]"
            )
        if samples.ndim != 2:
            raise ValueError(f"samples must have shape (N, D); got {tuple(samples.shape)}")
        if samples.numel() == 0:
            raise ValueError(f"samples must not be empty; got shape {tuple(samples.shape)}")
        self.samples = require_finite(samples, "samples")
        self.weights = _checked_weights(weights, samples)
        self.equal_weights = weights is None
        super().__init__((), samples.shape[1], dtype=samples.dtype, device=samples.device, parts=parts)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def effective_size(self) -> Tensor:
        """The number of equally weighted samples of the same variance, 1 / sum w_i^2."""
        return 1 / (self.weights**2).sum()

    # -- probabilities -----------------------------------------------------------------------------------------------

    def atoms(self) -> tuple[Tensor, Tensor]:
        """The distinct samples, shape (A, D) in lexicographic order, and their total weights, shape (A,)."""
        points, which = torch.unique(self.samples.detach() + 0.0, dim=0, return_inverse=True)
        return points, self.weights.new_zeros(len(points)).index_add(0, which, self.weights)

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the weight of the atom at `value`, shape (..., D) -> (...), in nats; -inf off the atoms."""
        x = self._points(value).detach()
        # adding 0.0 turns -0.0 into 0.0, which are the same atom
        both = torch.cat([self.samples.detach().to(x.dtype), x.reshape(-1, self.dim)]) + 0.0
        which = torch.unique(both, dim=0, return_inverse=True)[1]
        known, asked = which[: len(self)], which[len(self) :]
        mass = self.weights.new_zeros(int(which.max()) + 1).index_add(0, known, self.weights)[asked]
        positive = mass > 0
        log_mass = torch.where(positive, torch.where(positive, mass, 1.0).log(), -torch.inf)
        return log_mass.reshape(x.shape[:-1])

    def entropy(self) -> Tensor:
        """The Shannon entropy of the atoms, a scalar in nats (log N for N distinct equally weighted samples)."""
        mass = self.atoms()[1]
        return -torch.where(mass > 0, mass * torch.where(mass > 0, mass, 1.0).log(), 0.0).sum()

    def sample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
        """Samples drawn with replacement in proportion to their weights, shape (*sample_shape, D)."""
        return self.samples.detach()[draw_indices(self.weights, sample_shape, generator)]

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """The distinct samples, shape (A, D)."""
        return self.atoms()[0]

    # -- moments -----------------------------------------------------------------------------------------------------

    @property
    def mean(self) -> Tensor:
        """Weighted mean, shape (D,)."""
        return self.weights @ self.samples

    @property
    def covariance(self) -> Tensor:
        """Weighted covariance of the atoms (divided by the total weight, not by N - 1), shape (D, D)."""
        centred = self.samples - self.mean
        return (self.weights.unsqueeze(-1) * centred).mT @ centred

    def cdf(self, value: Any) -> Tensor:
        """P(X <= value) of a scalar law, shape (..., 1) -> (...)."""
        x = self._points(value)[..., 0].detach()
        order, cumulated = self._ordered()
        below = torch.searchsorted(order, x.to(self.dtype), right=True)
        return torch.cat([cumulated.new_zeros(1), cumulated])[below]

    def icdf(self, value: Any) -> Tensor:
        """The smallest sample x with P(X <= x) >= value of a scalar law, shape (...) -> (..., 1)."""
        level = as_tensor(value, "value", dtype=self.dtype, device=self.device)
        if not bool(((level >= 0) & (level <= 1)).all()):
            raise ValueError(f"value must be a probability between 0 and 1; got {level.flatten()[0].item():.6g}")
        order, cumulated = self._ordered()
        # one unit of rounding: the cumulated weights 1/3 + 1/3 + 1/3 may fall short of a level of 1
        level = level - 4 * torch.finfo(self.dtype).eps * len(self) ** 0.5
        return order[torch.searchsorted(cumulated, level).clamp_max(len(self) - 1)].unsqueeze(-1)

    def _ordered(self) -> tuple[Tensor, Tensor]:
        """The samples of positive weight of a scalar law in order, and their cumulated weights."""
        if self.dim != 1:
            raise ValueError(f"quantiles are those of a scalar law (D = 1); this one has D = {self.dim}")
        present = self.weights > 0
        order, which = self.samples[present, 0].sort()
        return order, self.weights[present][which].cumsum(0)

    # -- parts -------------------------------------------------------------------------------------------------------

    def marginal(self, names: Names) -> Empirical:
        """The law of the named parts: the same samples with these coordinates only."""
        return self._with(self.samples[:, self.part_indices(names)], self._weights_or_none(), self.parts_of(names))

    def condition(self, **values: Any) -> Empirical:
        """The law of the other parts among the samples that match the given values exactly.

        Raises
        ------
        ValueError
            For an unknown part, a wrong shape, or when no sample of positive weight matches.
        """
        matches = torch.ones(len(self), dtype=torch.bool, device=self.device)
        given: list[int] = []
        for name, value in values.items():
            indices = self.part_indices(name)
            (value,) = as_tensors(**{name: value}, dtype=self.dtype, device=self.device)
            if value.shape != (len(indices),) and not (value.ndim == 0 and len(indices) == 1):
                raise ValueError(f"{name} must have shape ({len(indices)},); got {tuple(value.shape)}")
            matches &= (self.samples[:, indices] == value).all(-1)
            given.extend(indices)
        rest = [name for name in self.parts if name not in values]
        if not rest:
            raise ValueError(f"condition must leave a part free; got all of {tuple(self.parts)}")
        if not bool((self.weights[matches] > 0).any()):
            raise ValueError(f"no sample of positive weight has {values}: a conditional law needs exact matches")
        weights = None if self.equal_weights else self.weights[matches]
        return self._with(self.samples[matches][:, self.part_indices(rest)], weights, self.parts_of(rest))

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The smallest and the largest value of each coordinate among the samples of positive weight, each (D,)."""
        present = self.samples.detach()[self.weights > 0]
        return present.amin(0), present.amax(0)

    def as_gaussian_mixture(self) -> GaussianMixture:
        """The same law as a mixture of N Gaussians of zero covariance (one number, not N matrices)."""
        return GaussianMixture(self.weights, self.samples, 0.0, parts=self.parts or None)

    def with_parts(self, parts: Mapping[str, int] | None) -> Empirical:
        """The same samples with their coordinates named anew."""
        return self._with(self.samples, self._weights_or_none(), parts or {})

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Empirical:
        """The same law on another device or in another precision."""
        return self._with(
            self.samples.to(device=device, dtype=dtype),
            None if self.equal_weights else self.weights.to(device=device, dtype=dtype),
            self.parts,
        )

    def score(self, x: Any) -> Tensor:
        """Refused: a sum of atoms has no score."""
        raise NotImplementedError("an Empirical law has no score: add noise, for example by a LinearGaussianChannel")

    def _weights_or_none(self) -> Tensor | None:
        return None if self.equal_weights else self.weights

    def _with(self, samples: Tensor, weights: Tensor | None, parts: Mapping[str, int]) -> Empirical:
        return Empirical(samples, weights, parts=parts)

    def __repr__(self) -> str:
        named = f", parts={self.parts}" if self.parts else ""
        weighted = "" if self.equal_weights else ", weighted"
        return f"Empirical(N={len(self)}, D={self.dim}{named}{weighted})"


def _checked_weights(weights: Tensor | None, samples: Tensor) -> Tensor:
    n = len(samples)
    if weights is None:
        return samples.new_full((n,), 1 / n)
    if weights.shape != (n,):
        raise ValueError(f"weights must have shape ({n},), one for each sample; got {tuple(weights.shape)}")
    require_finite(weights, "weights")
    if validating(weights):
        if bool((weights < 0).any()):
            where = int(torch.nonzero(weights < 0)[0])
            raise ValueError(f"weights must not be negative; got {weights[where].item():.6g} at index {where}")
        if not bool(weights.sum() > 0):
            raise ValueError("weights must have a positive sum; all are zero")
    return weights / weights.sum()
