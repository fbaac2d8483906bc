"""Confidence limits of sums of two sample means: corrected for skewness, refused for heavy tails, in W2^2 and W2."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quantiles import student_quantile

LARGEST_SHARE = 0.2
LEAST_SIZE = 12.0
_FEWEST = 20
_SMALLEST_PART = 0.01  # limits of W2 are those of W2^2 down to this part of the level


BELOW, ABOVE, BOTH = "lower", "upper", "estimate"
_SIGNS = {BELOW: (-1,), ABOVE: (1,), BOTH: (-1, 1)}


@dataclass(frozen=True)
class SampledSum:
    """mean of terms over x + mean of terms over y: its standard error, and whether that can be trusted.

    Attributes
    ----------
    value, stderr
        The sum and its standard error, from the spread within folds, of the batch shape like all others.
    skewness
        Third standardised cumulant of the sum (that of the terms over sqrt n).
    shares
        For deviations below (-1) and above (+1): the largest squared one over the sum of all.
    effective_sizes
        Likewise (sum of all squared deviations)^2 / sum of the squares of those on this side: both together, n over the
        kurtosis.
    n
        The smaller number of samples of those that vary.
    """

    value: Tensor
    stderr: Tensor
    skewness: Tensor
    shares: dict[int, Tensor]
    effective_sizes: dict[int, Tensor]
    n: Tensor

    def refused(self, kind: str) -> Tensor:
        """Where the central limit theorem is not relied on for limits of this kind (booleans).

        A lower limit of a mean is endangered by rare terms far below it, of which too few have been seen; rare terms
        far above only make it lower. An upper limit likewise from above.
        """
        refused = self.n < _FEWEST
        for sign in _SIGNS[kind]:
            refused = refused | (self.shares[sign] > LARGEST_SHARE) | (self.effective_sizes[sign] < LEAST_SIZE)
        return refused

    def reason(self, kind: str) -> str:
        """Why it is not relied on somewhere, in plain words; empty where all is well."""
        if bool((self.n < _FEWEST).any()):
            fewest = int(self.n.min())
            return f"{fewest} samples are too few for a limit by the central limit theorem: {_FEWEST} needed"
        share = max(float(self.shares[sign].max()) for sign in _SIGNS[kind])
        size = min(float(self.effective_sizes[sign].min()) for sign in _SIGNS[kind])
        if share > LARGEST_SHARE:
            return f"one sample makes up {100 * share:.3g} % of the variance, above {100 * LARGEST_SHARE:g} %"
        if size < LEAST_SIZE:
            return f"the variance rests on {size:.3g} samples (n over the kurtosis), below {LEAST_SIZE:g}"
        return ""

    def spread(self, kind: str, confidence: float) -> Tensor:
        """The standard error, widened where skewness makes limits of this kind too short.

        The quantile z of the studentised sum becomes z -+ skewness (2 z^2 + 1) / 6, its Edgeworth expansion, at half of
        the level 1 - confidence, which is where claims with two sides need it. It is never made narrower.
        """
        z = student_quantile(1 - (1 - confidence) / 2, self.n).to(self.value)
        harm = self.skewness.abs() if kind == BOTH else (_SIGNS[kind][0] * self.skewness).clamp(min=0.0)
        return self.stderr * (1 + harm * (2 * z.square() + 1) / (6 * z))


def sampled_sum(over_x: Sequence[Tensor], over_y: Sequence[Tensor]) -> SampledSum:
    """The sum of the means of two samples, in folds (..., n_k) that have their own centres.

    Where the folds are of one size, a positive covariance of terms at the same place is added: the rows of x and y may
    then belong together, as ends of the same paths do. For independent samples that adds next to nothing.

    Source: Hall, The Bootstrap and Edgeworth Expansion (1992), section 2.6, for the quantile of a studentised mean.

    Examples
    --------
    >>> terms = torch.arange(101.0, dtype=torch.float64)
    >>> found = sampled_sum([terms], [terms.new_zeros(50)])
    >>> found.value.item(), round(found.stderr.item(), 3), found.n.item()
    (50.0, 2.915, 101.0)
    """
    means, thirds, centred, varying = [], [], [], []
    for folds in (over_x, over_y):
        terms = torch.cat(list(folds), -1)
        n = terms.shape[-1]
        means.append(terms.mean(-1))
        deviations = torch.cat([f - f.mean(-1, keepdim=True) for f in folds], -1)
        thirds.append((deviations / n).pow(3).sum(-1))
        centred.append(deviations / (n * max(n - len(folds), 1)) ** 0.5)
        blur = 64 * torch.finfo(terms.dtype).eps * terms.abs().amax(-1) / math.sqrt(n)
        varies = centred[-1].square().sum(-1).sqrt() > blur
        varying.append(torch.where(varies, float(n), math.inf))
    both = torch.cat(centred, -1)
    variance = both.square().sum(-1)
    if [f.shape[-1] for f in over_x] == [f.shape[-1] for f in over_y]:
        variance = variance + 2 * (centred[0] * centred[1]).sum(-1).clamp(min=0.0)
    unit = both / torch.where(variance > 0, variance, 1.0).sqrt()[..., None]
    n = torch.minimum(*varying)
    shares, sizes = {}, {}
    for sign in _SIGNS[BOTH]:
        squares = (sign * unit).clamp(min=0.0).square()
        shares[sign] = torch.where(n.isfinite(), squares.amax(-1), 0.0)
        sizes[sign] = torch.where(n.isfinite(), 1 / squares.square().sum(-1), math.inf)
    return SampledSum(
        means[0] + means[1],
        variance.sqrt(),
        torch.where(variance > 0, (thirds[0] + thirds[1]) / variance.clamp(min=1e-300).pow(1.5), 0.0),
        shares,
        sizes,
        torch.where(n.isfinite(), n, float(min(c.shape[-1] for c in centred))),
    )


def squared_bound(
    found: SampledSum,
    kind: str,
    *,
    confidence: float,
    error: Any,
    streams: Sequence[str],
    reason: str = "",
    doubtful: Tensor | None = None,
    **info: Any,
) -> Estimate:
    """The sum as a lower or an upper bound, or an estimate, of W2^2; with a warning where it is refused.

    Above, what one more sample as far out as the farthest would add is stated as an error: nothing bounds terms there,
    and samples that happen to lack their tail have too small a spread too. `doubtful` elements are refused for the
    `reason` given, others by the gate of `SampledSum`. What is refused is of kind "unknown"; in a batch with other
    elements it has an infinite error instead.
    """
    reason = reason or found.reason(kind)
    info = {
        "n": int(found.n) if found.n.ndim == 0 else found.n,
        "confidence": confidence,
        "skewness": found.skewness,
        "largest_share": torch.stack([found.shares[sign] for sign in _SIGNS[kind]]).amax(0),
        "effective_size": torch.stack([found.effective_sizes[sign] for sign in _SIGNS[kind]]).amin(0),
        **info,
    }
    stderr = found.spread(kind, confidence)
    if kind != BELOW:
        error = error + found.shares[1].sqrt() * found.stderr
    if reason:
        info["warning"] = reason
        warnings.warn(f"W2 from samples: {reason}; the result is of kind 'unknown'", stacklevel=4)
        refused = found.refused(kind) if doubtful is None else found.refused(kind) | doubtful
        if bool(refused.all()):
            kind = "unknown"
        else:
            error = torch.where(refused, math.inf, error)
    return Estimate(
        found.value, stderr=stderr, error=error, kind=kind, method="sample-based", units="1", streams=streams, info=info
    )


def root_of(square: Estimate, side: str) -> Estimate:
    """W2 from an Estimate of W2^2; its limits are no tighter than the roots of limits on the side(s) named.

    `side` is "lower", "upper" or "estimate" (both). The value is the root of what is positive, else 0. Below, the
    margin is the chord of the root at a hundredth of the level, so that limits hold at levels down to that; above, it
    is the tangent, which holds at every level.
    """
    value, stderr, error = square.value.clamp(min=0.0), square.stderr, square.error
    root = value.sqrt()
    margin, gap = torch.zeros_like(value), torch.zeros_like(value)
    if side in (BELOW, BOTH):
        z = student_quantile(1 - (1 - square.info["confidence"]) * _SMALLEST_PART, square.info["n"]).to(value)
        certain = (square.value - error).clamp(min=0.0).sqrt()
        left = square.value - error - z * stderr
        # where the square reaches zero earlier, the chord ends there: it does at value / stderr of the square
        chord = torch.where(left > 0, (certain - left.clamp(min=0.0).sqrt()) / z, stderr / certain)
        margin, gap = torch.where(certain > 0, chord, 0.0), root - certain
    if side in (ABOVE, BOTH):
        certain = (square.value + error).clamp(min=0.0).sqrt()
        margin = torch.maximum(margin, torch.where(certain > 0, stderr / (2 * certain), stderr.sqrt()))
        gap = torch.maximum(gap, certain - root)
    # a value of zero is no certainty about the samples: it keeps the size of its random error
    margin = torch.where((margin > 0) | (stderr == 0), margin, stderr.sqrt())
    gap = torch.where(error.isfinite(), gap + 4 * torch.finfo(value.dtype).eps * root, math.inf)
    return Estimate(
        root,
        stderr=torch.where(error.isfinite(), margin, stderr.sqrt()),
        error=gap,
        kind=square.kind,
        method=square.method,
        units="1",
        streams=square.streams,
        info={**square.info, "square": square.value},
    )
