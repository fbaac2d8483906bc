"""The balance of entropy along an affine diffusion: S_tot = system + medium, without an integral over the path.

System: h(p_T) - h(p_0). Medium: the heat over the temperature, E of the integral of (D^-1 b) o dX; for an affine drift
it needs only means and covariances. Where D^-1 b is a gradient that does not change in time, grad Phi, it is
E_T[Phi] - E_0[Phi], and the balance is KL(p_0 || p_eq) - KL(p_T || p_eq).
"""

from __future__ import annotations

import torch
from torch import Tensor

from infotherm.channels.gaussian import LinearGaussianChannel
from infotherm.channels.posterior import like
from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import integrate
from infotherm.core.rounding import rounding_error
from infotherm.core.sample_means import from_samples, number_of_samples
from infotherm.core.tensors import Generator, as_generator, stream_of, validating
from infotherm.distributions import Gaussian
from infotherm.distributions.base import Distribution
from infotherm.processes import AffineProcess

Force = tuple[Tensor, Tensor]
Moments = tuple[Tensor, Tensor]


def transition_of(process: AffineProcess, start: Tensor, end: Tensor) -> LinearGaussianChannel:
    """The process's transition, which for an affine one is linear-Gaussian."""
    channel = process.transition(start, end)
    assert isinstance(channel, LinearGaussianChannel)
    return channel


def has_atoms(p: Distribution) -> bool:
    """Whether a law has no density, so that h(p) = -infinity."""
    if p.measure != "lebesgue":
        return True
    if isinstance(p, Gaussian):
        return validating(p.mean) and bool(p.degenerate.any())
    return False


def potential(force: Force, moments: Moments) -> tuple[Tensor, Tensor]:
    """E[x^T F x / 2 + f^T x] from mean and covariance of x, and the size of what is summed."""
    (matrix, offset), (mean, covariance) = force, moments
    pulled = (matrix @ mean[..., None])[..., 0]
    value = 0.5 * (matrix * covariance).sum((-2, -1)) + 0.5 * (mean * pulled).sum(-1) + (offset * mean).sum(-1)
    with torch.no_grad():
        size = (matrix * covariance).abs().sum((-2, -1)) + (offset * mean).abs().sum(-1)
        size = size + (mean.abs() * (matrix.abs() @ mean.abs()[..., None])[..., 0]).sum(-1)
    return value, size


def moved(channel: LinearGaussianChannel, moments: Moments) -> Moments:
    """Mean and covariance after the channel."""
    size = moments[0].shape[-1]
    mean, covariance = channel.joint_moments(*moments)
    return mean[..., size:], covariance[..., size:, size:]


def gaussian_balance(
    p0: Gaussian, channel: LinearGaussianChannel, force: Force, still: Tensor, accuracy: float
) -> tuple[Estimate, Estimate, Estimate]:
    """Total, system and medium entropy for a Gaussian and a static gradient force, in closed form.

    Infinite where p0 is singular: noise acts at once and the path cannot be run backwards.

    Parameters
    ----------
    p0
        The initial law.
    channel
        The transition over the whole time.
    force
        (F, f) with D^-1 b = F x + f.
    still
        Where no time passes, shape (...).
    accuracy
        Relative accuracy of the channel's moments.
    """
    pT = channel.output(p0)
    assert isinstance(pT, Gaussian)
    batch = torch.broadcast_shapes(pT.batch_shape, still.shape)
    factors = [_regular_factor(p) for p in (p0, pT)]
    logs = [factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) for factor in factors]
    energies, sizes = zip(*(potential(force, (p.mean, p.covariance)) for p in (p0, pT)), strict=True)
    with torch.no_grad():
        # slopes of the two parts with respect to the covariances at both ends, which are known to eps
        loose = 1 + accuracy / torch.finfo(p0.dtype).eps
        gain = like(channel.matrix(p0.dim), p0.mean)
        before, after = (torch.cholesky_inverse(factor) for factor in factors)
        terms = _weight(before, p0) + _weight(after, pT)
        slopes = loose * _weight(after, pT) + _weight(gain.mT @ after @ gain - before, p0)
        one = torch.ones_like(terms)
        system_error = rounding_error([p0.dim * terms, *logs], [(slopes, one)])
        slopes = loose * _weight(force[0], pT) + _weight(gain.mT @ force[0] @ gain - force[0], p0)
        medium_error = rounding_error([sizes[0], sizes[1]], [(slopes + loose * sizes[1], one)])
    system, medium = logs[1] - logs[0], energies[1] - energies[0]
    lost = p0.degenerate

    def estimate(value: Tensor, error: Tensor, infinite: Tensor) -> Estimate:
        tiny = torch.finfo(value.dtype).tiny
        value = torch.where(still, 0.0, torch.where(infinite, torch.inf, value)).expand(batch)
        return Estimate(value, error=torch.where(still | infinite, tiny, error).expand(batch))

    return (
        estimate(system + medium, system_error + medium_error, lost),
        estimate(system, system_error, lost),
        estimate(medium, medium_error, torch.zeros_like(lost)),
    )


def _regular_factor(p: Gaussian) -> Tensor:
    """The triangular factor, the identity where it is singular (that element is dealt with apart)."""
    one = torch.eye(p.dim, dtype=p.dtype, device=p.device)
    return torch.where(p.degenerate[..., None, None], one, p.scale_tril)


def _weight(slope: Tensor, p: Gaussian) -> Tensor:
    return 0.5 * (slope * p.covariance).abs().sum((-2, -1))


def medium_entropy(process: AffineProcess, moments: Moments, start: Tensor, end: Tensor) -> Estimate:
    """The entropy that flows into the medium, E of the integral of (D^-1 b) o dX, for a law with these moments.

    E[Phi] at the end minus E[Phi] at the start for a static gradient force grad Phi, else the integral over time of
    E[b^T D^-1 b + div b].

    Parameters
    ----------
    process
        An affine process.
    moments
        Mean (..., D) and covariance (..., D, D) at the time `start`.
    start, end
        Times, shape (...).
    """
    dim, dtype = moments[0].shape[-1], moments[0]
    static = process.static_force(dim)
    if static is not None:
        force = like(static[0], dtype), like(static[1], dtype)
        (before, size), (after, size_T) = (
            potential(force, m) for m in (moments, moved(transition_of(process, start, end), moments))
        )
        loose = 1 + process.transition_accuracy / torch.finfo(dtype.dtype).eps
        return Estimate(after - before, error=rounding_error([size, loose * size_T]).expand(after.shape))
    sizes = []

    def heat_rate(t: Tensor) -> Tensor:
        matrix, offset = (like(m(t, dim), dtype) for m in (process.drift_matrix, process.drift_offset))
        pull, shift = (like(m, dtype) for m in process.force(t, dim))
        mean, covariance = moved(transition_of(process, start.expand(t.shape), t), moments)
        velocity = (matrix @ mean[..., None])[..., 0] + offset
        against = (pull @ mean[..., None])[..., 0] + shift
        fluctuating = (matrix.mT @ pull * covariance).sum((-2, -1)) + matrix.diagonal(dim1=-2, dim2=-1).sum(-1)
        sizes.append(fluctuating.detach().abs().amax())
        return fluctuating + (velocity * against).sum(-1)

    batch = heat_rate(start).shape
    integral = integrate(heat_rate, start.to(dtype).expand(batch), end.to(dtype).expand(batch))
    loose = process.transition_accuracy * torch.stack(sizes).amax() * (end - start).to(dtype)
    info = {} if integral.converged else {"converged": False}
    return Estimate(integral.value, error=integral.error + loose, method="quadrature", info=info)


def coupled_balance(
    process: AffineProcess,
    p0: Distribution,
    start: Tensor,
    end: Tensor,
    n_samples: int,
    generator: Generator,
) -> Estimate:
    """S_tot by Monte Carlo over pairs (x_0, x_T): log p_0(x_0) - log p_T(x_T), plus the medium in closed form.

    The two ends are drawn together, so that what they share cancels.
    """
    generator = as_generator(generator, p0.device)
    stream = stream_of(generator, p0.device)
    channel = transition_of(process, start, end)
    pT = channel.output(p0)
    pairs = channel.joint(p0).sample((number_of_samples(n_samples),), generator=generator)
    x0, xT = pairs[..., : p0.dim], pairs[..., p0.dim :]
    system = from_samples(p0.log_prob(x0) - pT.log_prob(xT), streams=(stream,))
    return system + medium_entropy(process, (p0.mean, p0.covariance), start, end)
