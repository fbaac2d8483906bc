"""Gaussian sources in closed form: the information bottleneck and rate-distortion functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.channels import LinearGaussianChannel
from infotherm.core.estimate import Estimate
from infotherm.core.linalg import symmetrise_checked
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensors, require_finite, require_shape, validating
from infotherm.distributions import Gaussian
from infotherm.therml.canonical import CanonicalPairs, canonical_pairs

# tangents below this count as this: their critical beta is beyond the range of numbers
_WEAKEST = 1e-150


@dataclass(frozen=True, eq=False)
class GaussianBottleneck:
    """The optimal linear-Gaussian representation Z of x at one trade-off beta, or at a batch of them.

    Attributes
    ----------
    compression
        I(X; Z) in nats.
    relevance
        I(Y; Z) in nats.
    beta
        The trade-off.
    critical_betas
        1 / rho_i^2 in increasing order, shape (*batch, k): where the i-th canonical direction enters the
        representation; infinite for a direction that says nothing about y.
    encoder
        Z = A x + N(0, I) that attains both numbers (no gradient), one output per canonical pair; None where the
        compression is infinite.
    """

    compression: Estimate
    relevance: Estimate
    beta: Tensor
    critical_betas: Tensor
    encoder: LinearGaussianChannel | None

    @property
    def lagrangian(self) -> Estimate:
        """I(X; Z) - beta I(Y; Z), the minimum, in nats."""
        return self.compression - self.relevance * self.beta


def gaussian_information_bottleneck(
    joint: Gaussian, beta: Any, *, source: str = "x", target: str = "y"
) -> GaussianBottleneck:
    """The minimum of I(X; Z) - beta I(Y; Z) over all representations Z of x, for jointly Gaussian x and y.

    With the canonical correlations rho_i of x and y, I(X; Z) = 1/2 sum log[(beta - 1) rho_i^2 / (1 - rho_i^2)] and
    I(Y; Z) = I(X; Z) - 1/2 sum log[beta rho_i^2], both over the directions with beta rho_i^2 > 1: below
    1 / max rho_i^2 the best representation is none at all.

    Parameters
    ----------
    joint
        A Gaussian with the two parts; batched and singular laws are legal.
    beta
        Trade-offs >= 0, broadcast against the batch shape of `joint`.
    source, target
        The names of the parts x (encoded) and y (to be predicted).

    Returns
    -------
    GaussianBottleneck
        Estimates of kind "exact" in nats. Their error is the rounding of the joint law's parameters, propagated
        through the canonical correlations; it is infinite where these cannot be told from 1.

    Raises
    ------
    TypeError
        When `joint` is not a Gaussian.
    ValueError
        For an unknown part, beta < 0 or not finite, or a batch whose singular covariances differ in rank.

    Source: Chechik, Globerson, Tishby and Weiss, J. Mach. Learn. Res. 6, 165 (2005), Theorem 3.1 and Eq. (14).

    Examples
    --------
    >>> import infotherm as it
    >>> joint = it.Gaussian.with_mutual_information(1.0, dx=1, dy=1)
    >>> bottleneck = it.therml.gaussian_information_bottleneck(joint, [1.0, 5.0, 1e9])
    >>> [round(v, 4) for v in bottleneck.relevance.value.tolist()]
    [0.0, 0.8884, 1.0]
    """
    if not isinstance(joint, Gaussian):
        raise TypeError(f"joint must be a Gaussian with parts {source!r} and {target!r}; got {type(joint).__name__}")
    beta, _ = as_tensors(beta=beta, like=joint.mean)
    require_finite(beta, "beta")
    if validating(beta) and not bool((beta >= 0).all()):
        raise ValueError(f"beta must be >= 0; got {beta.min().item()}")
    pairs = canonical_pairs(joint, source, target)
    beta = beta.expand(torch.broadcast_shapes(beta.shape, joint.batch_shape))
    compression, relevance = _bottleneck_information(pairs, beta)
    return GaussianBottleneck(
        compression=compression,
        relevance=relevance,
        beta=beta,
        critical_betas=1 + 1 / pairs.tangents.square(),
        encoder=_encoder(pairs, beta.detach()),
    )


def _bottleneck_information(pairs: CanonicalPairs, beta: Tensor) -> tuple[Estimate, Estimate]:
    tangents, beta = pairs.tangents, beta[..., None]
    compressed, lost = _shares(tangents, beta)
    centre, slack, weight = tangents.detach(), pairs.error, beta.detach()
    compression_error = relevance_error = torch.zeros_like(compressed[..., 0].detach())
    # both shares grow with the tangent: their values at the ends of its interval bound what they can have moved
    for end in (centre + slack, (centre - slack).clamp(min=0.0)):
        there, gone = _shares(end, weight)
        moved = [(there - compressed).abs(), ((there - gone) - (compressed - lost)).abs()]
        moved = [torch.where(torch.isinf(centre) & (slack == 0), 0.0, m).detach().sum(-1) / 2 for m in moved]
        compression_error = torch.maximum(compression_error, moved[0])
        relevance_error = torch.maximum(relevance_error, moved[1])
    compression, relevance = compressed.sum(-1) / 2, (compressed - lost).sum(-1) / 2
    terms = [torch.nan_to_num(x, posinf=0.0) for x in (compressed.sum(-1), lost.sum(-1))]
    rounding = rounding_error([*terms, torch.ones_like(compression)])
    return (
        Estimate(compression, error=torch.nan_to_num(compression_error, nan=torch.inf, posinf=torch.inf) + rounding),
        Estimate(relevance, error=torch.nan_to_num(relevance_error, nan=torch.inf, posinf=torch.inf) + rounding),
    )


def _shares(tangents: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """log[(beta - 1) tau^2] and log[beta rho^2] for every direction in use, 0 for the others."""
    # 1/tau^2 = (1 - rho^2) / rho^2; the bound keeps the gradient of a direction without correlation finite
    odds = 1 / tangents.clamp(min=_WEAKEST).square()
    excess = (beta - 1 - odds).clamp(min=0.0)
    # directions that are not in use get the odds 1: 0/0 would spoil the gradient
    return torch.log1p(excess / torch.where(excess > 0, odds, 1.0)), torch.log1p(excess / (1 + odds))


def _encoder(pairs: CanonicalPairs, beta: Tensor) -> LinearGaussianChannel | None:
    tangents = pairs.tangents.detach()
    # every direction is seen with the signal-to-noise ratio (beta - 1) tau^2 - 1
    ratio = torch.where(beta[..., None] > 1, (beta[..., None] - 1) * tangents.square() - 1, 0.0).clamp(min=0.0)
    if not bool(torch.isfinite(ratio).all()):
        return None
    matrix = ratio.sqrt()[..., None] * pairs.directions
    return LinearGaussianChannel(matrix, torch.eye(matrix.shape[-2], dtype=matrix.dtype, device=matrix.device))


@dataclass(frozen=True, eq=False)
class RateDistortion:
    """One point of a rate-distortion function, or a batch of them.

    Attributes
    ----------
    rate
        R(D) in nats.
    distortion
        The distortion D at that rate: the target, or the whole spread of the source where the target exceeds it.
    slope
        -dR/dD >= 0; 0 where the rate vanishes.
    water_level
        Gaussian source: the distortion of every component that is described at all. Laplacian source: the distortion.
    channel
        The test channel x -> reproduction that attains the point, without gradient; None for the Laplacian source.
    """

    rate: Estimate
    distortion: Estimate
    slope: Tensor
    water_level: Tensor
    channel: LinearGaussianChannel | None = None


def gaussian_rate_distortion(covariance: Any, target: Any) -> RateDistortion:
    """The rate R(D) of a Gaussian source under squared error, E |x - reproduction|^2 <= D, by reverse water-filling.

    R = 1/2 sum max(0, log(lambda_i / level)) over the eigenvalues of the covariance, the level being set by
    sum min(level, lambda_i) = D.

    Parameters
    ----------
    covariance
        Shape (..., n, n), or a number: the variance of a scalar source. Singular covariances are legal.
    target
        The total squared error D > 0, broadcast against the batch.

    Returns
    -------
    RateDistortion
        Kind "exact"; the error is the rounding of the eigenvalues, eps times the largest.

    Raises
    ------
    ValueError
        When the covariance is not positive semi-definite or the target is not positive.

    Source: Cover and Thomas, Elements of Information Theory, 2nd ed., Theorem 10.3.3.

    Examples
    --------
    >>> point = gaussian_rate_distortion([[3.0, 0.0], [0.0, 0.5]], 1.0)
    >>> point.water_level.item(), round(point.rate.value.item(), 6)
    (0.5, 0.89588)
    """
    covariance, target = as_tensors(covariance=covariance, target=target)
    if covariance.ndim == 0:
        covariance = covariance[None, None]
    require_shape(covariance, ("...", "n", "n"), "covariance")
    covariance = symmetrise_checked(covariance, "covariance")
    _require_positive(target, "target")
    batch = torch.broadcast_shapes(covariance.shape[:-2], target.shape)
    target = target.expand(batch)
    spectrum = torch.linalg.eigvalsh(covariance).clamp(min=0.0).expand(*batch, -1)
    spread = spectrum.sum(-1)
    level = _water_level(spectrum, target)
    described = spectrum > level[..., None]
    safe = torch.where(level > 0, level, 1.0)  # a source without variance
    ratio = torch.where(described, spectrum / safe[..., None], 1.0)
    rate = ratio.log().sum(-1) / 2
    distortion = torch.minimum(target, spread)
    eps = torch.finfo(covariance.dtype).eps
    blur = eps * spectrum.shape[-1] * spectrum.detach().amax(-1)
    # Weyl: every eigenvalue moves by at most the blur, the level by at most as much on average
    count = described.sum(-1)
    slope = torch.where(count > 0, 1 / (2 * safe), 0.0)
    error = (blur * 2 * count * slope).detach() + rounding_error([ratio.log().sum(-1), torch.ones_like(rate)])
    return RateDistortion(
        rate=Estimate(rate, error=error),
        distortion=Estimate(distortion, error=rounding_error([spread]) + blur * (target >= spread), units="1"),
        slope=slope,
        water_level=level,
        channel=_test_channel(covariance.detach(), level.detach()),
    )


def _water_level(spectrum: Tensor, target: Tensor) -> Tensor:
    """The level at which sum min(level, lambda_i) is the target, at most the largest eigenvalue."""
    # spectrum ascending: with the j smallest fully flooded the level is (target - their sum) / (n - j)
    n = spectrum.shape[-1]
    flooded = torch.cat([torch.zeros_like(spectrum[..., :1]), spectrum[..., :-1].cumsum(-1)], -1)
    remaining = torch.arange(n, 0, -1, dtype=spectrum.dtype, device=spectrum.device)
    levels = (target[..., None] - flooded) / remaining
    # the right j is the first at which the level stays below the next eigenvalue
    fits = levels <= spectrum
    first = fits.to(torch.int8).argmax(-1, keepdim=True)
    level = levels.gather(-1, first)[..., 0]
    return torch.where(fits.any(-1), level, spectrum[..., -1])


def _test_channel(covariance: Tensor, level: Tensor) -> LinearGaussianChannel:
    spectrum, basis = torch.linalg.eigh(covariance)
    spectrum = spectrum.clamp(min=0.0).expand(*level.shape, -1)
    kept = 1 - torch.where(spectrum > level[..., None], level[..., None] / spectrum, 1.0)
    matrix = (basis * kept[..., None, :]) @ basis.mT
    noise = (basis * (kept * torch.minimum(spectrum, level[..., None]))[..., None, :]) @ basis.mT
    return LinearGaussianChannel(matrix, (noise + noise.mT) / 2)


def laplacian_rate_distortion(scale: Any, target: Any) -> RateDistortion:
    """The rate R(D) = log(scale / D) of a Laplacian source under absolute error, E |x - reproduction| <= D.

    The source has density exp(-|x| / scale) / (2 scale); at D >= scale nothing need be sent. The reproduction that
    attains it is 0 with probability (D / scale)^2 and else Laplacian of the same scale, the error Laplacian of scale D.

    Parameters
    ----------
    scale
        The mean absolute value of the source, > 0.
    target
        The absolute error D > 0, broadcast against `scale`.

    Returns
    -------
    RateDistortion
        Kind "exact".

    Raises
    ------
    ValueError
        When either is not positive and finite.

    Source: Berger, Rate Distortion Theory (1971), Section 4.3.

    Examples
    --------
    >>> laplacian_rate_distortion(1.0, 0.25).rate.to("bit").value.item()
    2.0
    """
    scale, target = as_tensors(scale=scale, target=target)
    _require_positive(scale, "scale")
    _require_positive(target, "target")
    scale, target = torch.broadcast_tensors(scale, target)
    distortion = torch.minimum(scale, target)
    rate = (scale / distortion).log()
    return RateDistortion(
        rate=Estimate(rate, error=rounding_error([rate, torch.ones_like(rate)])),
        distortion=Estimate(distortion, error=rounding_error([distortion]), units="1"),
        slope=torch.where(target < scale, 1 / target, 0.0),
        water_level=distortion,
    )


def _require_positive(x: Tensor, name: str) -> None:
    require_finite(x, name)
    if validating(x) and not bool((x > 0).all()):
        raise ValueError(f"{name} must be > 0; got {x.min().item()}")
