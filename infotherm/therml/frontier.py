"""The frontier of rate, distortion and classification for Gaussian models, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from infotherm.channels import LinearGaussianChannel
from infotherm.core.estimate import Estimate
from infotherm.core.linalg import psd_factor, symmetrise_checked
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensors, require_finite, require_shape, validating
from infotherm.distributions import Gaussian
from infotherm.information import conditional_entropy, mutual_information


@dataclass(frozen=True, eq=False)
class FrontierPoint:
    """The point of the frontier where rate + delta distortion + gamma classification is smallest, or a batch of them.

    Attributes
    ----------
    rate
        R = I(X; Z) in nats.
    distortion
        D = E |x - reconstruction|^2 / 2, the mean code length of x given z less its constant (n/2) log 2 pi.
    classification
        C, the same for y.
    objective
        J = R + delta D + gamma C, the minimum.
    posterior_covariance
        Cov(x | z), shape (..., n, n).
    eigenvalues
        Of the curvature in units of the source, in increasing order: those above 1 are described by z.
    encoder
        z = A x + N(0, I) that attains the point, without gradient; None where the source is singular.
    """

    rate: Estimate
    distortion: Estimate
    classification: Estimate
    objective: Estimate
    posterior_covariance: Tensor
    eigenvalues: Tensor
    encoder: LinearGaussianChannel | None


def gaussian_frontier(covariance: Any, readout: Any, readout_noise: Any, *, delta: Any, gamma: Any) -> FrontierPoint:
    """The minimum of R + delta D + gamma C for x ~ N(0, S), y = B x + e, and decoders of unit variance.

    With a factor F of S and K = F^T (delta + gamma B^T B) F = U diag(lambda) U^T, the best posterior covariance is
    F U diag(min(1, 1/lambda)) U^T F^T: R = 1/2 sum max(0, log lambda), D = 1/2 tr Cov(x|z), C = 1/2 [tr Cov(y|x) +
    tr B Cov(x|z) B^T]. A direction enters z when its lambda passes 1, a second-order phase transition.

    Parameters
    ----------
    covariance
        S, shape (..., n, n) or a number; singular ones are legal.
    readout
        B, shape (..., m, n) or a number.
    readout_noise
        The covariance of e, shape (..., m, m) or a number.
    delta, gamma
        Multipliers >= 0, broadcast against the batch.

    Returns
    -------
    FrontierPoint
        Kind "exact", in nats; every number is differentiable once, and dJ/d(delta, gamma) = (D, C).

    Raises
    ------
    ValueError
        For covariances that are not positive semi-definite, shapes that do not fit, negative multipliers.

    Source: Alemi and Fischer, TherML (2018), Section 2 (the functionals R, C, D); the closed form is derived from
    the stationarity of J in Cov(x|z).

    Examples
    --------
    >>> point = gaussian_frontier(4.0, 1.0, 0.1, delta=0.5, gamma=0.5)
    >>> round(point.rate.value.item(), 6), point.posterior_covariance.item()
    (0.693147, 1.0)
    """
    covariance, readout, readout_noise, delta, gamma = as_tensors(
        covariance=covariance, readout=readout, readout_noise=readout_noise, delta=delta, gamma=gamma
    )
    covariance, readout, readout_noise = (
        x[None, None] if x.ndim == 0 else x for x in (covariance, readout, readout_noise)
    )
    n = require_shape(covariance, ("...", "n", "n"), "covariance")["n"]
    m = require_shape(readout, ("...", "m", n), "readout")["m"]
    require_shape(readout_noise, ("...", m, m), "readout_noise")
    covariance = symmetrise_checked(covariance, "covariance")
    readout_noise = symmetrise_checked(readout_noise, "readout_noise")
    require_finite(readout, "readout")
    for name, multiplier in (("delta", delta), ("gamma", gamma)):
        require_finite(multiplier, name)
        if validating(multiplier) and not bool((multiplier >= 0).all()):
            raise ValueError(f"{name} must be >= 0; got {multiplier.min().item()}")
    factor = psd_factor(covariance)
    seen = readout @ factor
    curvature = delta[..., None, None] * factor.mT @ factor + gamma[..., None, None] * seen.mT @ seen
    eigenvalues = torch.linalg.eigvalsh(curvature)
    logs = eigenvalues.clamp(min=1.0).log()
    shrunk = _Shrink.apply(curvature)
    posterior = factor @ shrunk @ factor.mT
    posterior = (posterior + posterior.mT) / 2
    noise = readout_noise.diagonal(dim1=-2, dim2=-1).sum(-1)
    rate = logs.sum(-1) / 2
    distortion = (factor @ shrunk * factor).sum((-2, -1)) / 2
    classification = (noise + (seen @ shrunk * seen).sum((-2, -1))) / 2
    objective = (logs + eigenvalues.clamp(max=1.0)).sum(-1) / 2 + gamma * noise / 2
    # the curvature is known to eps of its size, which moves every eigenvalue by as much (Weyl)
    eps = torch.finfo(curvature.dtype).eps
    blur = 4 * (n + m) * eps * torch.linalg.matrix_norm(curvature.detach())
    share = torch.linalg.matrix_norm(shrunk.detach())
    spread = [torch.linalg.matrix_norm(x.detach()).square() for x in (factor, seen)]
    one = torch.ones_like(rate)

    def estimate(value: Tensor, error: Tensor) -> Estimate:
        return Estimate(value, error=error + rounding_error([value, one]))

    # sum of d log lambda, and the shrunk matrix, which moves by at most |d curvature| / lambda^2 <= |d curvature|
    through_logs = (blur[..., None] / eigenvalues.detach().clamp(min=1.0)).sum(-1) / 2
    moved = torch.minimum(blur, 2 * one) + (n + m) * eps * share
    return FrontierPoint(
        rate=estimate(rate, through_logs),
        distortion=estimate(distortion, moved * spread[0] / 2),
        classification=estimate(classification, moved * spread[1] / 2 + eps * noise.detach()),
        objective=estimate(objective, through_logs + eps * (gamma * noise).detach()),
        posterior_covariance=posterior,
        eigenvalues=eigenvalues,
        encoder=_encoder(factor.detach(), curvature.detach()),
    )


class _Shrink(torch.autograd.Function):
    """K = U diag(lambda) U^T -> U diag(min(1, 1/lambda)) U^T; the gradient stays finite at equal eigenvalues."""

    @staticmethod
    def forward(ctx: Any, curvature: Tensor) -> Tensor:  # type: ignore[override]
        values, basis = torch.linalg.eigh(curvature)
        ctx.save_for_backward(values, basis)
        return (basis / values.clamp(min=1.0)[..., None, :]) @ basis.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        values, basis = ctx.saved_tensors
        first, second = values[..., :, None], values[..., None, :]
        # divided differences of min(1, 1/lambda): -1/(ab) above 1, 0 below, the chord across
        above = -1 / (first.clamp(min=1.0) * second.clamp(min=1.0))
        large, small = torch.maximum(first, second), torch.minimum(first, second)
        across = (1 / large.clamp(min=1.0) - 1) / (large - small).clamp(min=1e-300)
        difference = torch.where(small > 1, above, torch.where(large > 1, across, 0.0))
        inner = basis.mT @ ((gradient + gradient.mT) / 2) @ basis
        return basis @ (difference * inner) @ basis.mT


def _encoder(factor: Tensor, curvature: Tensor) -> LinearGaussianChannel | None:
    if not bool((torch.linalg.matrix_rank(factor) == factor.shape[-1]).all()):
        return None
    values, basis = torch.linalg.eigh(curvature)
    gains = (values - 1).clamp(min=0.0).sqrt()
    matrix = torch.linalg.solve(factor, gains[..., :, None] * basis.mT, left=False)
    return LinearGaussianChannel(matrix, torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device))


def critical_deltas(covariance: Any, readout: Any, gamma: Any) -> Tensor:
    """The multipliers delta at which a direction enters the representation at fixed gamma, in decreasing order.

    The eigenvalues of S^-1 - gamma B^T B; negative ones are directions that gamma alone makes worth describing.

    Parameters
    ----------
    covariance
        S, shape (..., n, n), regular.
    readout
        B, shape (..., m, n).
    gamma
        Multiplier of the classification error, shape (...).

    Returns
    -------
    Tensor
        Shape (..., n), to the rounding of S^-1.

    Raises
    ------
    ValueError
        When S is singular or a shape does not fit.

    Examples
    --------
    >>> critical_deltas([[1.0, 0.0], [0.0, 4.0]], [[0.0, 1.0]], 0.125).tolist()
    [1.0, 0.125]
    """
    covariance, readout, gamma = as_tensors(covariance=covariance, readout=readout, gamma=gamma)
    n = require_shape(covariance, ("...", "n", "n"), "covariance")["n"]
    require_shape(readout, ("...", "m", n), "readout")
    covariance = symmetrise_checked(covariance, "covariance")
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if validating(covariance) and bool((failed != 0).any()):
        raise ValueError("covariance must be positive definite: a singular direction has no critical delta")
    precision = torch.cholesky_inverse(factor)
    return torch.linalg.eigvalsh(precision - gamma[..., None, None] * readout.mT @ readout).flip(-1)


@dataclass(frozen=True, eq=False)
class DecoderFreeFunctionals:
    """Rate, distortion and classification of an encoder whose decoders are unlimited.

    Attributes
    ----------
    rate
        R = I(X; Z).
    distortion
        D = h(X | Z), so that R + D = h(X) for every encoder.
    classification
        C = h(Y | Z), so that R - C is up to a constant what the information bottleneck trades.
    """

    rate: Estimate
    distortion: Estimate
    classification: Estimate


def encoder_functionals(
    joint: Gaussian, encoder: LinearGaussianChannel, *, source: str = "x", target: str = "y"
) -> DecoderFreeFunctionals:
    """Rate I(X; Z), distortion h(X | Z) and classification error h(Y | Z) of z = A x + noise, with the best decoders.

    Parameters
    ----------
    joint
        A Gaussian with the two parts, regular.
    encoder
        The channel from the source part to z; its noise must be regular.
    source, target
        The names of the parts.

    Returns
    -------
    DecoderFreeFunctionals
        Kind "exact", in nats.

    Raises
    ------
    ValueError
        For an unknown part, a singular law or noise, or an encoder of another input size.

    Source: Alemi and Fischer, TherML (2018), Eqs. (13)-(15), at the optimal variational distributions.

    Examples
    --------
    >>> import infotherm as it
    >>> joint = it.Gaussian.with_mutual_information(1.0, dx=2, dy=2)
    >>> encoder = it.therml.gaussian_information_bottleneck(joint, 10.0).encoder
    >>> values = it.therml.encoder_functionals(joint, encoder)
    >>> entropy = it.entropy(joint.marginal("x"))
    >>> bool(abs(values.rate.value + values.distortion.value - entropy.value) < 1e-12)
    True
    """
    x, y = joint.part_indices(source), joint.part_indices(target)
    law = joint.marginal([*x, *y])
    n, m = len(x), len(y)
    matrix = encoder.matrix(n)
    if matrix.shape[-1] != n:
        raise ValueError(f"encoder must take {n} inputs, the size of part {source!r}; it takes {matrix.shape[-1]}")
    noise = encoder.noise_factor(n)
    # (x, y, z) through a factor: nothing is lost where z determines x nearly
    batch = torch.broadcast_shapes(law.batch_shape, matrix.shape[:-2], noise.shape[:-2])
    image = matrix @ law.factor[..., :n, :]
    above = torch.cat([law.factor.expand(*batch, -1, -1), noise.new_zeros(*batch, n + m, noise.shape[-1])], -1)
    below = torch.cat([image.expand(*batch, -1, -1), noise.expand(*batch, -1, -1)], -1)
    mean = torch.cat([law.mean.expand(*batch, -1), noise.new_zeros(*batch, noise.shape[-2])], -1)
    everything = Gaussian.from_factor(mean, torch.cat([above, below], -2))
    places = range(n), range(n, n + m), range(n + m, everything.dim)
    of_x, of_y, of_z = (list(place) for place in places)
    return DecoderFreeFunctionals(
        rate=mutual_information(everything, of_x, of_z),
        distortion=conditional_entropy(everything, of_x, given=of_z),
        classification=conditional_entropy(everything, of_y, given=of_z),
    )
