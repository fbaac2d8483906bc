"""Gaussian plug-in: entropy and mutual information from the sample covariance, right for Gaussian data."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.estimators.base import paired_samples, require_varying, stream_of_samples
from infotherm.estimators.diagnostics import TOLERATED_REPEATS, in_normal_scores
from infotherm.estimators.tags import Tags


@dataclass(frozen=True)
class GaussianPlugIn:
    """Entropy or (conditional) mutual information of Gaussian data, unbiased at every N.

    `estimate(x)` is the differential entropy h(x), `estimate(x, y)` the mutual information I(x; y),
    `estimate(x, y, given=z)` the conditional one, in nats:

        h = (1/2) log det(2 pi e S) - bias,   bias = (1/2) [D log(2 / n) + sum_{i<D} psi((n - i) / 2)],  n = N - 1,

    with S the sample covariance and the bias that of the log-determinant of a Wishart matrix, so that the mean over
    Gaussian data is exact (Misra, Singh and Demchuk, J. Multivariate Anal. 92, 324, 2005).

    The standard error is that of the influence function, not less than the exact one of Gaussian data for an entropy,
    plus a second-order term for a mutual information, whose random error does not vanish at independence.
    When Mardia's test rejects normality at `significance`, or values repeat, the entropy becomes an upper bound (among
    laws of one covariance the Gaussian has the largest entropy), and the mutual information is of kind "unknown".

    Parameters
    ----------
    significance
        Level of the normality test.

    Examples
    --------
    >>> x = torch.randn(4000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> y = x[:, :1] + torch.randn(4000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    >>> GaussianPlugIn().estimate(x, y)   # the truth is log(2) / 2 = 0.3466
    0.373 +- 0.011 nat  estimate  sample-based(n=4000)
    """

    significance: float = 1e-3

    tags: ClassVar[Tags] = Tags(
        quantities=("entropy", "mutual_information", "conditional_mutual_information"),
        consistent_for="gaussian",
        invariances=frozenset({"shift", "reflection", "common-scale", "coordinate-scale", "rotation", "linear"}),
        least_samples=10,
    )

    def estimate(self, x: Any, y: Any = None, *, given: Any = None) -> Estimate:
        """The estimate from samples of shape (N, D).

        Raises
        ------
        ValueError
            For too few samples (N must exceed the number of coordinates plus one), constant or dependent coordinates.
        """
        if y is None and given is not None:
            raise ValueError("given needs y: the conditional quantity is I(x; y | given)")
        matrices = paired_samples(x=x, y=y, given=given)
        for matrix, name in zip(matrices, ("x", "y", "given"), strict=False):
            require_varying(matrix, name)
        joint = torch.cat(matrices, 1)
        n, dim = joint.shape
        if n < dim + 2:
            raise ValueError(f"the Gaussian plug-in needs N >= D + 2 = {dim + 2} samples; got {n}")
        value, influence, error = _plugged_in(matrices)
        variance = influence.var() / n
        if y is None:
            order = torch.arange(dim, dtype=torch.float64)
            variance = torch.maximum(variance, torch.polygamma(1, (n - 1 - order) / 2).sum() / 4)
        else:
            # at independence 2 N I is chi-square with d_x d_y degrees of freedom, and the first-order term is small
            # just when the estimate comes out low: this pays for both (coverage is measured in the tests)
            variance = variance + 2 * matrices[0].shape[1] * matrices[1].shape[1] / n**2
            variance = variance * n / (n - dim - 1)
        stderr = variance.sqrt()
        kind, info = "estimate", {"n": n, "assumes": "jointly Gaussian data"}
        p_value = mardia_p_value(joint)
        _, repeats = in_normal_scores(matrices)
        info["normality_p_value"] = p_value
        doubt = ""
        if repeats > TOLERATED_REPEATS:  # a few values pass Mardia's test, which knows no moments above the fourth
            doubt = f"{repeats:.0%} of the values of a coordinate repeat"
        elif p_value < self.significance:
            doubt = f"Mardia's test, p = {p_value:.2g}"
        if doubt:
            kind = "upper" if y is None else "unknown"
            info["warning"] = f"the data are not Gaussian ({doubt})"
            warnings.warn(f"GaussianPlugIn: {info['warning']}; the result is of kind {kind!r}", stacklevel=2)
        return Estimate(
            value,
            stderr=stderr,
            error=error,
            kind=kind,
            method="sample-based",
            streams=(stream_of_samples(*matrices),),
            info=info,
        )


def looks_gaussian(x: Tensor) -> bool:
    """Whether Mardia's test passes at 5 %; False for more than 10 coordinates, where it takes long."""
    return x.shape[1] <= 10 and len(x) > 5 * x.shape[1] and mardia_p_value(x) > 0.05


def gaussian_terms(matrices: Sequence[Tensor]) -> Tensor:
    """One term per sample whose mean is the unbiased information of Gaussian data with these covariances.

    Raises
    ------
    ValueError
        For dependent coordinates, and fewer samples than twice the coordinates.
    """
    if len(matrices[0]) < 2 * sum(m.shape[1] for m in matrices):
        raise ValueError("a covariance needs twice as many samples as coordinates to mean something")
    value, influence, _ = _plugged_in(matrices)
    return value + influence - influence.mean()


def gaussian_divergence(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Terms of the samples of p whose mean is the unbiased divergence of Gaussian laws, and that of the samples of q.

    D = h_q - h_p + (1 / 2) < (x - mean_y) S_y^-1 (x - mean_y) > - d / 2, without the bias of the entropies and of the
    inverse covariance (Hartlap, Simon and Schneider, A&A 464, 399, 2007, Eq. 17).
    """
    (m, dim), entropy, other = y.shape, _corrected_entropy(x), _corrected_entropy(y)
    centred = y - y.mean(0)
    triangle = torch.linalg.qr(centred / centred.abs().amax(0), mode="r").R / math.sqrt(m - 1)

    def square(z: Tensor) -> Tensor:
        unit = (z - y.mean(0)) / centred.abs().amax(0)
        return torch.linalg.solve_triangular(triangle.mT, unit.mT, upper=False)

    white = square(x)
    squares = white.square().sum(0) * (m - dim - 2) / (m - 1) - dim / m
    values = other[0] - entropy[0] + (squares - (entropy[1] - entropy[1].mean()) - dim) / 2
    # how the number moves with each sample of q: by its covariance (entropy and squares) and by its mean
    own = square(y)
    second = white @ white.mT / len(x)
    moved = other[1] - (own * (second @ own)).sum(0) - 2 * white.mean(1) @ own
    return values, moved / 2


def _plugged_in(matrices: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The number (entropy or information, by the number of matrices), its influence function, its rounding error."""
    joint = torch.cat(list(matrices), 1)
    dim = joint.shape[1]
    blocks = torch.arange(dim).split([m.shape[1] for m in matrices])
    # I(x; y) = h(x) + h(y) - h(x, y);  I(x; y | z) = h(x, z) + h(y, z) - h(x, y, z) - h(z)
    if len(blocks) == 1:
        signed = [(1, blocks[0])]
    elif len(blocks) == 2:
        signed = [(1, blocks[0]), (1, blocks[1]), (-1, torch.arange(dim))]
    else:
        bx, by, bz = blocks
        signed = [(1, torch.cat([bx, bz])), (1, torch.cat([by, bz])), (-1, torch.arange(dim)), (-1, bz)]
    parts = [(sign, *_corrected_entropy(joint[:, block])) for sign, block in signed]
    value = torch.stack([sign * entropy for sign, entropy, _, _ in parts]).sum()
    influence = torch.stack([sign * squares / 2 for sign, _, squares, _ in parts]).sum(0)
    return value, influence, torch.stack([e for _, _, _, e in parts]).sum()


def _corrected_entropy(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unbiased entropy of Gaussian samples, each sample's Mahalanobis square, and the rounding error."""
    n, dim = x.shape
    centred = x - x.mean(0)
    size = centred.abs().amax(0)  # squares of very small or large samples are no numbers
    scale = size * (centred / size).square().mean(0).sqrt()
    # a triangular factor of the standardised data: its diagonal gives the determinant without squaring the condition
    triangle = torch.linalg.qr(centred / scale, mode="r").R
    diagonal = triangle.diagonal().abs()
    if bool(diagonal.min() <= 1e-12 * diagonal.max()):
        raise ValueError("the coordinates must be linearly independent; the sample covariance is singular")
    log_det = 2 * diagonal.log().sum() - dim * math.log(n - 1) + 2 * scale.log().sum()
    order = torch.arange(dim, dtype=torch.float64)
    bias = dim * math.log(2 / (n - 1)) + torch.digamma((n - 1 - order) / 2).sum()
    entropy = 0.5 * (dim * math.log(2 * math.pi * math.e) + log_det - bias)
    whitened = torch.linalg.solve_triangular(triangle.mT, (centred / scale).mT, upper=False)
    squares = whitened.square().sum(0) * (n - 1)
    error = rounding_error([2 * diagonal.log().abs().sum() + dim * math.log(n), scale.log().abs().sum()])
    # the samples themselves are rounded: far from the origin that moves the standardised data by eps |x| / scale
    conditioning = torch.linalg.cond(triangle) * dim * (1 + (x.abs().amax(0) / scale).max())
    return entropy, squares, error + conditioning * torch.finfo(torch.float64).eps


def mardia_p_value(x: Tensor) -> float:
    """The p-value that samples (N, D) are Gaussian: Mardia's skewness and kurtosis, the smaller one doubled.

    Examples
    --------
    >>> mardia_p_value(torch.rand(2000, 1, dtype=torch.float64)) < 1e-6
    True
    """
    n, dim = x.shape
    squares, skewness = _mardia_moments(x)
    kurtosis = squares.square().mean()
    z = (kurtosis - dim * (dim + 2)) / math.sqrt(8 * dim * (dim + 2) / n)
    freedom = dim * (dim + 1) * (dim + 2) / 6
    statistic = n * skewness / 6
    p_skewness = float(torch.special.gammaincc(torch.tensor(freedom / 2), (statistic / 2).float()))
    p_kurtosis = math.erfc(abs(float(z)) / math.sqrt(2))
    return min(1.0, 2 * min(p_skewness, p_kurtosis))


def _mardia_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mahalanobis squares, and Mardia's skewness as the squared norm of the tensor of third moments (memory O(D^3))."""
    n, dim = x.shape
    centred = x - x.mean(0)
    centred = centred / centred.abs().amax(0)
    triangle = torch.linalg.qr(centred, mode="r").R
    white = torch.linalg.solve_triangular(triangle.mT, centred.mT, upper=False).mT * math.sqrt(n)
    third = torch.zeros(dim, dim * dim, dtype=x.dtype)
    for part in white.split(max(1, 2**22 // (dim * dim))):
        third += part.mT @ (part[:, :, None] * part[:, None, :]).flatten(1)
    return white.square().sum(1), (third / n).square().sum()
