"""Quantiles of scalar laws that stay accurate in both tails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from infotherm.distributions import Empirical, Gaussian, GaussianMixture, TorchDistribution
from infotherm.distributions.base import Distribution

# x(below, above): the quantile where the probability below it is `below` and that above it is `above` = 1 - below,
# each accurate where it is the smaller one; shapes (M, *batch)
Quantiles = Callable[[Tensor, Tensor], Tensor]

_TAILS = (-200.0, -60.0, -20.0, -8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0, 20.0, 60.0, 200.0)
_EMPTY = 1e-6
_MOST_STEPS = 8
_MOST_SAMPLES = 4000  # each is a jump of the quantile function at which a quadrature must break


@singledispatch
def quantiles_of(law: Distribution) -> Quantiles | None:
    """The quantile function of a scalar law, or None when it is not known."""
    as_mixture = getattr(law, "as_gaussian_mixture", None)
    if as_mixture is not None:
        return quantiles_of(as_mixture())
    if type(law).__name__ == "ScipyDistribution" and law.measure == "lebesgue":
        return _of_scipy(law)
    return None


@quantiles_of.register
def _(law: Gaussian) -> Quantiles:
    mean, deviation = law.mean[..., 0], law.scale_tril[..., 0, 0]

    def quantiles(below: Tensor, above: Tensor) -> Tensor:
        steps = torch.special.ndtri(torch.minimum(below, above))
        return mean + deviation * torch.where(below < above, steps, -steps)

    return quantiles


@quantiles_of.register
def _(law: GaussianMixture) -> Quantiles:
    mirrored = GaussianMixture(law.weights, -law.means, law.covariances)

    def quantiles(below: Tensor, above: Tensor) -> Tensor:
        return torch.where(below < above, law.icdf(below)[..., 0], -mirrored.icdf(above)[..., 0])

    return quantiles


@quantiles_of.register
def _(law: Empirical) -> Quantiles | None:
    if len(law) > _MOST_SAMPLES:
        return None
    samples, order = law.samples[:, 0].sort()
    weights = law.weights[order].detach()
    levels, rest = weights.cumsum(0), weights.flip(0).cumsum(0)

    def quantiles(below: Tensor, above: Tensor) -> Tensor:
        last = len(samples) - 1
        left = torch.searchsorted(levels, below.contiguous()).clamp(max=last)
        right = last - torch.searchsorted(rest, above.contiguous()).clamp(max=last)
        return samples[torch.where(below < above, left, right)]

    return quantiles


@quantiles_of.register
def _(law: TorchDistribution) -> Quantiles | None:
    if law.measure != "lebesgue":
        return None
    half = torch.full(law.batch_shape, 0.5, dtype=law.dtype, device=law.device)
    try:
        law._quiet.icdf(half)
    except (NotImplementedError, AttributeError):
        return None

    def quantiles(below: Tensor, above: Tensor) -> Tensor:
        # torch's formulas round the smaller probability to eps, in both tails
        eps = torch.finfo(below.dtype).eps
        return law._quiet.icdf(torch.where(below < above, below.clamp(min=2 * eps), 1 - above.clamp(min=2 * eps)))

    return quantiles


def _of_scipy(law: Any) -> Quantiles:
    frozen = law.frozen
    lower, upper = (frozen.icdf, frozen.iccdf) if hasattr(frozen, "icdf") else (frozen.ppf, frozen.isf)

    def quantiles(below: Tensor, above: Tensor) -> Tensor:
        left = below < above
        below, above = below.expand(left.shape), above.expand(left.shape)
        values = torch.from_numpy(lower(below.numpy())), torch.from_numpy(upper(above.numpy()))
        return torch.where(left, *values)

    return quantiles


def odds_landmarks(laws: Iterable[Distribution], batch: torch.Size, dtype: torch.dtype) -> Tensor:
    """Log-odds at which a quadrature over quantile functions must break, (P, *batch); NaN for those not needed.

    Fixed ones for the tails; those of the laws' own landmarks, from both sides for the sake of atoms; and, where the
    law has next to no mass between two landmarks, a geometric ladder towards the step of its quantile function.
    """
    laws = list(laws)
    marks = [_over(batch, torch.tensor(_TAILS, dtype=dtype, device=laws[0].device))]
    for law in laws:
        if isinstance(law, Empirical):
            levels = law.weights[law.samples[:, 0].argsort()].detach().cumsum(0)[:-1]
            marks.append(_over(batch, _odds(levels.to(dtype))))
            continue
        try:
            points = law.breakpoints().detach().sort(0).values
            before = torch.nextafter(points, torch.full_like(points, -torch.inf))
            reached, short = (law.cdf(x[..., None]).detach().to(dtype) for x in (points, before))  # type: ignore[attr-defined]
        except (NotImplementedError, AttributeError):
            continue
        marks += [_over(batch, _odds(reached)), _over(batch, _odds(short))]
        try:
            width = points.diff(dim=0) / law.variance[..., 0].detach().sqrt()
        except NotImplementedError:
            continue
        empty = (reached.diff(dim=0) < _EMPTY) & (reached[1:] > _EMPTY) & (reached[1:] < 1 - _EMPTY) & (width > 0.1)
        widest = torch.where(empty, width, 0.0).topk(min(_MOST_STEPS, len(width)), dim=0)
        steps = torch.where(widest.values > 0, _odds(reached)[:-1].gather(0, widest.indices), torch.nan)
        rungs = 4.0 ** -torch.arange(0.0, 25.0, dtype=dtype, device=law.device)
        rungs = torch.cat([rungs, -rungs]).reshape(-1, 1, *[1] * len(law.batch_shape))
        marks.append(_over(batch, (steps + rungs).flatten(0, 1)))
    found = torch.cat(marks)
    return found[torch.isfinite(found).reshape(len(found), -1).any(1)]


def _odds(probability: Tensor) -> Tensor:
    return torch.logit(probability.clamp(1e-15, 1 - 1e-15))


def _over(batch: torch.Size, marks: Tensor) -> Tensor:
    """Marks (P, *own batch) for the whole batch."""
    return marks.reshape(len(marks), *[1] * (len(batch) + 1 - marks.ndim), *marks.shape[1:]).expand(-1, *batch)
