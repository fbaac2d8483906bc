"""Bayes for linear-Gaussian channels: Gaussian regression, and the posterior of a mixture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from infotherm.channels.base import Channel
from infotherm.core.linalg import psd_factor
from infotherm.core.tensors import as_tensor, validating
from infotherm.distributions import GaussianMixture

if TYPE_CHECKING:
    from infotherm.channels.gaussian import LinearGaussianChannel


def regression(matrix: Tensor, factor: Tensor, noise_factor: Tensor) -> tuple[Tensor, Tensor]:
    """Regression of x on y = A x + noise: the gain K = C A^T (A C A^T + N)^-1 and the covariance of x given y.

    The covariance is (I - K A) C (I - K A)^T + K N K^T, a sum of squares: positive and accurate from weak to strong
    signals. Directions of y with neither signal nor noise are ignored.

    Parameters
    ----------
    matrix
        A, shape (..., E, D).
    factor, noise_factor
        B (..., D, R) with C = B B^T, and L (..., E, M) with N = L L^T.

    Returns
    -------
    tuple
        K (..., D, E) and the posterior covariance (..., D, D).
    """
    signal = matrix @ factor
    total = signal @ signal.mT + noise_factor @ noise_factor.mT
    cross = signal @ factor.mT  # A C
    lower, failed = torch.linalg.cholesky_ex(total)
    if validating(total) and bool(failed.any()):
        gain = (torch.linalg.pinv(total, hermitian=True) @ cross).mT
    else:
        gain = torch.cholesky_solve(cross, lower).mT
    kept = factor - gain @ signal
    added = gain @ noise_factor
    covariance = kept @ kept.mT + added @ added.mT
    return gain, 0.5 * (covariance + covariance.mT)


def like(x: Tensor, other: Tensor) -> Tensor:
    """`x` in the dtype and on the device of `other`.

    Raises
    ------
    ValueError
        When x lives on an accelerator and `other` elsewhere.
    """
    if x.device != other.device and x.device.type != "cpu":
        raise ValueError(f"the channel is on {x.device} and its input on {other.device}: move one of them")
    return x.to(other)


def shared_component(covariances: Tensor) -> tuple[Tensor, int | None]:
    """One matrix for all components and their number, when they are one matrix in memory; else all of them and None."""
    if covariances.shape[-3] > 1 and covariances.stride(-3) == 0:
        return covariances[..., :1, :, :], covariances.shape[-3]
    return covariances, None


class GaussianMixturePosterior(Channel):
    """The law of x given y = A x + noise, for x from a mixture of Gaussians: again a mixture.

    Component k keeps the covariance of its regression; its weight is w_k N(y; A m_k + b, A C_k A^T + N), normalised.

    Parameters
    ----------
    prior
        The mixture, components of zero covariance (samples, atoms) included.
    channel
        The linear-Gaussian channel.

    Examples
    --------
    >>> from infotherm.channels import LinearGaussianChannel
    >>> from infotherm.distributions import Rademacher
    >>> denoiser = LinearGaussianChannel(1.0, 0.5).reverse(Rademacher())
    >>> bool((denoiser.mean([0.3]) - torch.tanh(torch.tensor(0.6))).abs() < 1e-7)
    True
    """

    def __init__(self, prior: GaussianMixture, channel: LinearGaussianChannel) -> None:
        self.prior = prior
        self.channel = channel
        self.input_dim = channel.output_size(prior.dim)
        self.output_dim = prior.dim
        self.batch_shape = torch.broadcast_shapes(prior.batch_shape, channel.batch_shape)
        inner = shared_component(prior.covariances)[0]
        matrix = like(channel.matrix(prior.dim), prior.means).unsqueeze(-3)
        noise = like(channel.noise_factor(prior.dim), prior.means).unsqueeze(-3)
        self._gain, self._covariances = regression(matrix, psd_factor(inner), noise)
        self._images = channel.images(prior.means)  # A m_k + b
        self._evidence = channel._mixture_output(prior)

    def _responsibilities(self, y: Any) -> tuple[Tensor, Tensor]:
        """Posterior weights (..., K) and means (..., K, D) at the outputs y (..., E)."""
        y = as_tensor(y, "y", dtype=self.prior.dtype)
        if y.ndim == 0 or y.shape[-1] != self.input_dim:
            raise ValueError(f"y must have shape (..., {self.input_dim}); got {tuple(y.shape)}")
        weights = self._evidence.responsibilities(y)
        if validating(weights) and bool(weights.isnan().any()):
            raise ValueError(
                f"y must lie where its density can be computed; got values up to {y.abs().max().item():.6g}"
            )
        innovation = y.unsqueeze(-2) - self._images
        means = self.prior.means + (self._gain @ innovation[..., None])[..., 0]
        return weights, means

    def __call__(self, x: Any) -> GaussianMixture:
        """The mixture of x given the output y (called x here, as for every channel), shape (..., E)."""
        weights, means = self._responsibilities(x)
        shape = (*means.shape[:-1], *self._covariances.shape[-2:])
        return GaussianMixture(weights, means, self._covariances.expand(shape))

    def mean(self, x: Any) -> Tensor:
        """The denoiser E[x | y], shape (..., E) -> (..., D), without building the mixtures."""
        weights, means = self._responsibilities(x)
        return (weights[..., None] * means).sum(-2)
