"""The moment bound on the Wasserstein-2 distance from samples: Gelbrich's, with its bias removed and its error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.linalg import psd_factor
from infotherm.core.procrustes import procrustes_distance
from infotherm.estimators.base import stream_of_samples
from infotherm.transport.brenier_potentials import fit_quadratic
from infotherm.transport.dual_bound import copied, frame_of, two_samples, unseen
from infotherm.transport.sample_limits import root_of, sampled_sum, squared_bound

_GROUPS = 10


def empirical_gelbrich(x: Any, y: Any, *, confidence: float = 0.99, squared: bool = False) -> Estimate:
    """A lower bound on W2(p, q) by the first two moments of two samples, whatever their laws are.

    Gelbrich's |m_p - m_q|^2 + min_U |A - B U|_F^2 at the moments of the samples is too high by about the number of
    parameters over N, since the best quadratic potential was chosen on the samples themselves: the jackknife over 10
    groups takes that off. The random error is that of the means of the two potentials (the delta method).

    Parameters
    ----------
    x, y
        Samples (N, D) and (M, D), or (N,) and (M,) for D = 1; batches (..., N, D) and (..., M, D) of one shape. Rows of
        each are independent; where N = M, row i of x and row i of y may depend on each other (ends of a path).
    confidence
        The level at which limits are corrected for skewness.
    squared
        Whether the bound is on W2^2 instead.

    Returns
    -------
    Estimate
        Kind "lower" or, with a warning, "unknown", as for `empirical_lower`, which with families="quadratic" bounds the
        same number without a bias to be removed.

    Raises
    ------
    ValueError
        For samples of different dimension, NaN, fewer than 20 samples, or a confidence outside (0, 1).

    Source: Gelbrich, Math. Nachr. 147, 185 (1990), Theorem 2.1; Shao and Wu, Ann. Stat. 17, 1176 (1989), on deleting
    groups.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> x, y = torch.randn(2, 1000, 2, generator=g, dtype=torch.float64)
    >>> found = empirical_gelbrich(x, 2 * y + 1)  # the truth is 2
    >>> found.kind, 1.7 < found.lower_limit(0.01).item() < 2
    ('lower', True)
    """
    x, y = two_samples(x, y, confidence, least=2 * _GROUPS)
    streams = (stream_of_samples(x, y),)
    origin, scale = frame_of(x, y)
    area = scale[..., 0].square()
    reason, doubtful = copied(x, y)
    allowance = unseen(x, y, confidence) + unseen(y, x, confidence)
    x, y = (x - origin) / scale, (y - origin) / scale
    gains = fit_quadratic(x, y).gains(x, y)
    found = sampled_sum([area * gains[0]], [area * gains[1]])
    whole, blur = _gelbrich_squared(x, y)
    parts = [v.tensor_split(_GROUPS, -2) for v in (x, y)]
    deleted = [
        _gelbrich_squared(*(torch.cat([*part[:k], *part[k + 1 :]], -2) for part in parts))[0] for k in range(_GROUPS)
    ]
    value = _GROUPS * whole - (_GROUPS - 1) * torch.stack(deleted).mean(0)
    square = squared_bound(
        replace(found, value=area[..., 0] * value),
        "lower",
        confidence=confidence,
        error=2 * _GROUPS * area[..., 0] * blur + allowance,
        streams=streams,
        reason=reason,
        doubtful=doubtful,
        bias=area[..., 0] * (whole - value),
        n_x=x.shape[-2],
        n_y=y.shape[-2],
    )
    return square if squared else root_of(square, "lower")


def _gelbrich_squared(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Gelbrich's bound on W2^2 at the sample moments, and its rounding."""
    eps = torch.finfo(x.dtype).eps
    means = [v.mean(-2, keepdim=True) for v in (x, y)]
    factors = []
    for v, mean in zip((x, y), means, strict=True):
        centred = v - mean
        factors.append(psd_factor(centred.mT @ centred / (v.shape[-2] - 1)))
    between = procrustes_distance(*factors)
    sizes = sum(f.square().sum((-2, -1)) for f in factors)
    square = (means[0] - means[1]).square().sum((-2, -1)) + between.squared
    # the rounding of covariances moves the distance by up to the root of their own, and so the square by as much
    return square, 64 * x.shape[-1] * eps * (square + sizes) + 8 * (eps * sizes * between.squared).sqrt()
