"""Minimum mean-square error of recovering a channel's input, and the information that it integrates to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infotherm.channels.base import Channel
from infotherm.channels.discrete import DiscreteChannel
from infotherm.channels.gaussian import LinearGaussianChannel
from infotherm.core.estimate import Estimate, exact, stack
from infotherm.core.quadrature import integrate
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import Generator, as_tensor
from infotherm.distributions import Discrete, Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.information.expectations import DEFAULT_SAMPLES, expectation_by_quadrature, expectation_by_sampling

minimum_mean_square_error = Quantity(
    "minimum_mean_square_error",
    accepts=(as_distribution,),
    arguments=("p",),
    doc="""Minimum mean-square error E|x - E[x | y]|^2 of recovering x from the output y of a channel.

    Call `minimum_mean_square_error(p, channel)` with the law p of x; a number instead of a channel is a signal-to-noise
    ratio: y = sqrt(snr) x + n with n standard normal in every coordinate.

    Parameters
    ----------
    p
        Gaussian, mixture of Gaussians, samples or a law with atoms for a linear-Gaussian channel; a Discrete law of one
        part (its outcomes count with their `values`) for a discrete one.
    method
        "closed-form" (Gaussian and discrete), "quadrature" (outputs with at most 3 coordinates), "monte-carlo".

    Returns
    -------
    Estimate
        Shape (*batch), units "1" (squared coordinates), kind "exact" or "estimate".

    Raises
    ------
    ValueError
        For a negative signal-to-noise ratio.

    References
    ----------
    Guo, Shamai and Verdu, IEEE Trans. Inf. Theory 51, 1261 (2005), equation 5.

    Examples
    --------
    >>> from infotherm.distributions import Gaussian, Rademacher
    >>> minimum_mean_square_error(Gaussian(0.0, 1.0), 3.0).value.item()
    0.25
    >>> minimum_mean_square_error(Rademacher(), 1.0).value.item()
    0.449599509207
    """,
)


def gaussian_noise_channel(channel: Any) -> Channel:
    """A channel as it is, or y = sqrt(snr) x + n for a number (or tensor) of signal-to-noise ratios.

    Raises
    ------
    ValueError
        For a negative ratio.

    Examples
    --------
    >>> gaussian_noise_channel(4.0).mean([1.0]).item()
    2.0
    """
    if isinstance(channel, Channel):
        return channel
    snr = as_tensor(channel, "snr")
    if bool((snr < 0).any()):
        raise ValueError(f"a signal-to-noise ratio must be >= 0; got {snr.min().item()}")
    return LinearGaussianChannel.isotropic(snr.sqrt(), torch.ones_like(snr))


def _linear(p: Distribution, channel: Any) -> None:
    if not isinstance(gaussian_noise_channel(channel), LinearGaussianChannel):
        raise NotApplicable(f"needs a linear-Gaussian channel; got {type(channel).__name__}")


@minimum_mean_square_error.rule(Gaussian, method="closed-form", when=_linear)
def gaussian(p: Gaussian, channel: Any) -> Estimate:
    """The trace of the posterior covariance."""
    channel = gaussian_noise_channel(channel)
    assert isinstance(channel, LinearGaussianChannel)
    posterior = channel.reverse(p)
    assert isinstance(posterior, LinearGaussianChannel)
    value = posterior.noise_covariance(p.dim).diagonal(dim1=-2, dim2=-1).sum(-1)
    prior = p.variance.detach().sum(-1)
    # an optimum in the gain: the rounding of the gain enters squared, that of the difference x - K y linearly
    eps = 8 * (p.dim + 1) * torch.finfo(value.dtype).eps
    left = value.detach()
    return exact(value, error=eps * (left.sqrt() * prior.sqrt() + left) + rounding_error([value]), units="1")


def _discrete(p: Discrete, channel: Any) -> None:
    if not isinstance(channel, DiscreteChannel):
        raise NotApplicable(f"needs a discrete channel; got {type(channel).__name__}")


@minimum_mean_square_error.rule(Discrete, method="closed-form", when=_discrete)
def discrete(p: Discrete, channel: DiscreteChannel) -> Estimate:
    """sum over y of p(y) times the variance of x given y."""
    joint = channel.joint(p).pmf
    numbers = p.values[0]
    total = joint.sum(-2)
    mean = (joint * numbers[:, None]).sum(-2) / torch.where(total > 0, total, 1.0)
    deviation = joint * (numbers[:, None] - mean[..., None, :]).square()
    value = deviation.sum((-2, -1))
    scale = numbers.abs().max().square() * (numbers.shape[0] + 2)
    return exact(value, terms=[value], sensitivities=[(scale.expand_as(value), torch.ones_like(value))], units="1")


def _recoverable(p: Distribution, channel: Any) -> None:
    _linear(p, channel)
    if not hasattr(p, "means") and not hasattr(p, "as_gaussian_mixture") and not isinstance(p, Gaussian):
        raise NotApplicable(f"the posterior mean is not known for an input of type {type(p).__name__}")
    if gaussian_noise_channel(channel).output(p).measure != "lebesgue":
        raise NotApplicable("the output has no density: the channel has no noise")


def _few_outputs(p: Distribution, channel: Any) -> None:
    _recoverable(p, channel)
    size = gaussian_noise_channel(channel).output_size(p.dim)
    if size > 3:
        raise NotApplicable(f"quadrature is for outputs with at most 3 coordinates; this one has {size}")


@minimum_mean_square_error.rule(Distribution, method="quadrature", when=_few_outputs)
def by_quadrature(p: Distribution, channel: Any, *, tolerance: float | None = None) -> Estimate:
    """The mean over the output of the posterior variance."""
    channel = gaussian_noise_channel(channel)
    posterior = channel.reverse(p)
    return expectation_by_quadrature(
        channel.output(p), lambda y: posterior(y).variance.sum(-1), tolerance=tolerance, units="1"
    )


@minimum_mean_square_error.rule(Distribution, method="monte-carlo", when=_recoverable)
def by_sampling(
    p: Distribution, channel: Any, *, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None
) -> Estimate:
    """The mean over draws of the posterior variance, whose spread is smaller than that of the squared error."""
    channel = gaussian_noise_channel(channel)
    posterior = channel.reverse(p)
    return expectation_by_sampling(
        channel.output(p),
        lambda y: posterior(y).variance.sum(-1),
        n_samples=n_samples,
        generator=generator,
        units="1",
    )


def information_from_mmse(p: Any, snr: Any, *, tolerance: float = 1e-9) -> Estimate:
    """Mutual information I(x; sqrt(snr) x + n) in nats, as the integral of the mean-square error over the ratio.

        I(snr) = (1/2) int_0^snr mmse(s) ds

    (Guo, Shamai and Verdu 2005, theorem 1): a route to the information that needs no entropy.

    Parameters
    ----------
    p
        Law of x, as in `minimum_mean_square_error`, without batch.
    snr
        Signal-to-noise ratio, a number >= 0.
    tolerance
        Relative accuracy asked of the integral.

    Returns
    -------
    Estimate
        A number, kind "exact", method "quadrature".

    Raises
    ------
    ValueError
        For a negative ratio.

    Examples
    --------
    >>> from infotherm.distributions import Gaussian
    >>> information_from_mmse(Gaussian(0.0, 1.0), 3.0).value.item()   # log(4) / 2
    0.69314718056
    """
    p = as_distribution(p, "p")
    if p.batch_shape:
        raise ValueError(f"p must be one law; got a batch of shape {tuple(p.batch_shape)}")
    top = as_tensor(snr, "snr")
    gaussian_noise_channel(top)
    errors: list[Tensor] = []

    def mean_square_error(s: Tensor) -> Tensor:
        law = p.expand(s.shape) if isinstance(p, Gaussian) else p
        found = minimum_mean_square_error(law, s) if isinstance(p, Gaussian) else _one_by_one(p, s)
        errors.append(found.error.max())
        return found.value

    # s = u^2 spreads the fall of the error at small s evenly
    total = integrate(lambda u: mean_square_error(u.square()) * u, 0.0, top.sqrt(), rtol=tolerance)
    inner = torch.stack(errors).max() * top / 2
    return Estimate(
        total.value, error=total.error + inner, kind="exact", method="quadrature", info={"converged": total.converged}
    )


def _one_by_one(p: Distribution, ratios: Tensor) -> Estimate:
    return stack([minimum_mean_square_error(p, s) for s in ratios])
