"""Linear-Gaussian channels: y = A x + bias + noise, exact on Gaussians, mixtures and samples; noise may be singular."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.base import Channel, ChannelJoint, check_input_size, joint_names
from infotherm.channels.posterior import GaussianMixturePosterior, like, regression, shared_component
from infotherm.core.linalg import psd_factor, symmetrise_checked
from infotherm.core.tensors import as_tensor, as_tensors, require_finite, require_shape, validating
from infotherm.distributions import Gaussian, GaussianMixture, as_distribution
from infotherm.distributions.base import Distribution


class LinearGaussianChannel(Channel):
    """y = A x + bias + noise with noise ~ N(0, noise_cov), which may be singular or zero (a deterministic map).

    The numbers follow the dtype and the device of the input. Batch dimensions of the channel broadcast against those of
    the input law.

    Parameters
    ----------
    A
        Shape (..., E, D), or a number: a multiple of the identity, for inputs of any size when the noise is a number.
    noise_cov
        Shape (..., E, E), symmetric and positive semi-definite, or a number: that variance in every coordinate.
    bias
        Shape (..., E) or a number; zero unless given.

    Attributes
    ----------
    gain, noise_variance
        For a multiple of the identity with isotropic noise, shape (*batch); else None.

    Raises
    ------
    ValueError
        For shapes that do not fit, entries that are not finite, noise that is asymmetric or has a negative eigenvalue.

    Examples
    --------
    >>> channel = LinearGaussianChannel([[1.0, 1.0]], [[0.5]])
    >>> channel.output(Gaussian([1.0, 2.0], [[1.0, 0.0], [0.0, 1.0]])).covariance
    tensor([[2.5000]], dtype=torch.float64)
    >>> LinearGaussianChannel(2.0, 1.0)([1.0, 3.0]).mean
    tensor([2., 6.], dtype=torch.float64)
    """

    def __init__(self, A: Any, noise_cov: Any, bias: Any = None) -> None:
        A, noise_cov, bias = as_tensors(A=A, noise_cov=noise_cov, bias=0.0 if bias is None else bias)
        for name, value in (("A", A), ("noise_cov", noise_cov), ("bias", bias)):
            require_finite(value, name)
            if value.numel() == 0:
                raise ValueError(f"{name} must not be empty; got shape {tuple(value.shape)}")
        if A.ndim == 0 and noise_cov.ndim == 0:
            self._set_isotropic(A, noise_cov, bias if bias.ndim else bias[None])
            return
        if A.ndim:
            size = require_shape(A, ("...", "E", "D"), "A")["E"]
            if noise_cov.ndim == 0:
                _require_not_negative(noise_cov, "noise_cov")
                noise_cov = noise_cov * torch.eye(size, dtype=A.dtype, device=A.device)
        else:
            size = require_shape(noise_cov, ("...", "E", "E"), "noise_cov")["E"]
            A = A * torch.eye(size, dtype=A.dtype, device=A.device)
        require_shape(noise_cov, ("...", size, size), "noise_cov")
        if bias.ndim:
            require_shape(bias, ("...", size), "bias")
        self._set_matrix(A, symmetrise_checked(noise_cov, "noise_cov"), bias.expand(*bias.shape[:-1], size))

    @classmethod
    def isotropic(cls, gain: Any, noise_variance: Any, bias: Any = 0.0) -> LinearGaussianChannel:
        """y = gain x + bias + noise of variance `noise_variance` in every coordinate, for inputs of any size.

        Parameters
        ----------
        gain, noise_variance
            Shape (...), the batch of the channel.
        bias
            A number, or shape (..., D) or (..., 1).

        Raises
        ------
        ValueError
            For a negative variance, or entries that are not finite.

        Examples
        --------
        >>> LinearGaussianChannel.isotropic([1.0, 0.5], [0.0, 1.0])([2.0]).mean.flatten()
        tensor([2., 1.], dtype=torch.float64)
        """
        gain, noise_variance, bias = as_tensors(gain=gain, noise_variance=noise_variance, bias=bias)
        for name, value in (("gain", gain), ("noise_variance", noise_variance), ("bias", bias)):
            require_finite(value, name)
        channel = cls.__new__(cls)
        channel._set_isotropic(gain, noise_variance, bias if bias.ndim else bias[None])
        return channel

    @classmethod
    def of_dynamics(cls, matrix: Tensor, noise: Tensor, bias: Tensor) -> LinearGaussianChannel:
        """The channel of a computed transition, (..., D, D) and (..., D): its noise is a covariance by construction."""
        channel = cls.__new__(cls)
        channel._set_matrix(matrix, noise, bias)
        return channel

    def _set_matrix(self, matrix: Tensor, noise: Tensor, bias: Tensor) -> None:
        self.gain = self.noise_variance = None
        self._matrix, self._noise, self.bias = matrix, noise, bias
        self._noise_factor = psd_factor(noise)
        self.batch_shape = _broadcast(A=matrix.shape[:-2], noise_cov=noise.shape[:-2], bias=bias.shape[:-1])
        self.output_dim, self.input_dim = matrix.shape[-2:]

    def _set_isotropic(self, gain: Tensor, noise_variance: Tensor, bias: Tensor) -> None:
        _require_not_negative(noise_variance, "noise_variance")
        self.gain: Tensor | None = gain
        self.noise_variance: Tensor | None = noise_variance
        self.bias = bias
        self.batch_shape = _broadcast(gain=gain.shape, noise_variance=noise_variance.shape, bias=bias.shape[:-1])
        if bias.shape[-1] > 1:
            self.input_dim = self.output_dim = bias.shape[-1]

    # -- its numbers -------------------------------------------------------------------------------------------------

    def matrix(self, dim: int | None = None) -> Tensor:
        """A as a matrix (..., E, D), for inputs with `dim` coordinates."""
        if self.gain is None:
            return self._matrix
        return self.gain[..., None, None] * self._identity(dim)

    def noise_covariance(self, dim: int | None = None) -> Tensor:
        """Covariance of the noise, shape (..., E, E), for inputs with `dim` coordinates."""
        if self.noise_variance is None:
            return self._noise
        return self.noise_variance[..., None, None] * self._identity(dim)

    def noise_factor(self, dim: int | None = None) -> Tensor:
        """B with B B^T = noise covariance, shape (..., E, E), for inputs with `dim` coordinates."""
        if self.noise_variance is None:
            return self._noise_factor
        positive = self.noise_variance > 0  # the root's slope is infinite at zero: a zero stays a constant
        root = torch.where(positive, torch.where(positive, self.noise_variance, 1.0).sqrt(), 0.0)
        return root[..., None, None] * self._identity(dim)

    def _identity(self, dim: int | None) -> Tensor:
        size = dim or self.input_dim or 1
        return torch.eye(size, dtype=self.bias.dtype, device=self.bias.device)

    def apply(self, x: Tensor) -> Tensor:
        """A x + bias, the mean output, shape (..., D) -> (..., E), in the dtype of x."""
        bias = like(self.bias, x)
        if self.gain is not None:
            return like(self.gain, x)[..., None] * x + bias
        return (like(self._matrix, x) @ x[..., None])[..., 0] + bias

    # -- laws ----------------------------------------------------------------------------------------------------------

    def __call__(self, x: Any) -> Gaussian:
        """N(A x + bias, noise_cov), shape (..., D) -> a batch (...) of laws with E coordinates."""
        x = self._points(x)
        factor = like(self.noise_factor(x.shape[-1]), x)
        return Gaussian._of(self.apply(x), factor, datum="factor" if self._plain_noise else "covariance")

    def mean(self, x: Any) -> Tensor:
        return self.apply(self._points(x))

    def sample(self, x: Any, generator: Any = None) -> Tensor:
        return self(x).sample((), generator=generator)

    def output(self, p: Any) -> Distribution:
        """The law of y: Gaussian for a Gaussian input, a mixture for mixtures, samples and laws with atoms.

        Raises
        ------
        TypeError
            For an input law that is none of these.
        """
        p = self._input(p)
        if isinstance(p, Gaussian):
            return self._gaussian_output(p)
        return self._mixture_output(self._mixture_of(p, "output law"))

    def _gaussian_output(self, p: Gaussian) -> Gaussian:
        matrix, noise = (like(m, p.mean) for m in (self.matrix(p.dim), self.noise_factor(p.dim)))
        size = matrix.detach().abs()
        return Gaussian._of(
            self.apply(p.mean),
            _beside(matrix @ p.factor, noise),
            datum="factor" if self._plain_noise and p._datum == "factor" else "covariance",
            mean_magnitude=(size @ p._mean_size[..., None])[..., 0] + like(self.bias, p.mean).detach().abs(),
            factor_magnitude=_beside(size @ p._factor_size, noise.detach().abs()),
        )

    def _mixture_output(self, p: GaussianMixture) -> GaussianMixture:
        means = self.images(p.means)
        weights = p.weights.expand(means.shape[:-1])
        inner, count = shared_component(p.covariances)
        if self._scalars is not None and weights.ndim == 1 and count is None:
            variances = _round_variances(inner)
            if variances is not None:  # round components stay round, which keeps the fast density
                gain, added = (like(s, p.means) for s in self._scalars)
                return GaussianMixture(weights, means, (gain.square() * variances + added).expand(weights.shape))
        matrix, noise = (like(m, p.means).unsqueeze(-3) for m in (self.matrix(p.dim), self.noise_covariance(p.dim)))
        covariances = matrix @ inner @ matrix.mT + noise
        covariances = 0.5 * (covariances + covariances.mT)
        shape = (*weights.shape[:-1], count or covariances.shape[-3], *covariances.shape[-2:])
        return GaussianMixture(weights, means, covariances.expand(shape))

    def images(self, means: Tensor) -> Tensor:
        """A m_k + bias for the component means of a mixture, shape (..., K, D) -> (..., K, E)."""
        bias = like(self.bias, means).unsqueeze(-2)
        if self.gain is not None:
            return like(self.gain, means)[..., None, None] * means + bias
        return (like(self._matrix, means).unsqueeze(-3) @ means[..., None])[..., 0] + bias

    def joint(self, p: Any, names: Sequence[str] = ("x", "y")) -> Distribution:
        """The joint law of (x, y), a Gaussian for a Gaussian input; it remembers `.input` and `.channel`."""
        p = self._input(p)
        return GaussianChannelJoint(p, self, names) if isinstance(p, Gaussian) else ChannelJoint(p, self, names)

    def joint_moments(self, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of (x, y) from those of x, whatever its law."""
        matrix = like(self.matrix(mean.shape[-1]), mean)
        noise = like(self.noise_covariance(mean.shape[-1]), mean)
        image = matrix @ covariance
        out = image @ matrix.mT + noise
        batch = out.shape[:-2]
        top = torch.cat([covariance.expand(*batch, *covariance.shape[-2:]), image.mT.expand(*batch, -1, -1)], -1)
        below = torch.cat([image.expand(*batch, -1, -1), 0.5 * (out + out.mT)], -1)
        y = self.apply(mean)
        return torch.cat([mean.expand(*y.shape[:-1], mean.shape[-1]), y], -1), torch.cat([top, below], -2)

    def reverse(self, p: Any) -> Channel:
        """Bayes: the channel from y to the law of x given y, when x has the law p.

        A linear-Gaussian channel for Gaussian p, a channel of mixtures for the rest; `.mean(y)` is the denoiser
        E[x | y].

        Raises
        ------
        TypeError
            For an input law that is neither Gaussian nor a mixture, samples or a law with atoms.
        """
        p = self._input(p)
        if not isinstance(p, Gaussian):
            return GaussianMixturePosterior(self._mixture_of(p, "posterior"), self)
        matrix = like(self.matrix(p.dim), p.mean)
        gain, posterior = regression(matrix, p.factor, like(self.noise_factor(p.dim), p.mean))
        shift = p.mean - (gain @ self.apply(p.mean)[..., None])[..., 0]
        return LinearGaussianChannel.of_dynamics(gain, posterior, shift)

    def signal_to_noise(self, p: Any) -> Tensor:
        """Eigenvalues of N^-1/2 A C A^T N^-1/2, shape (..., E), for an input law of covariance C and noise N.

        For Gaussian p, I(x; y) = sum log(1 + eigenvalue) / 2: no difference of log-determinants, so that nothing
        cancels however small or large they are. Infinite in directions that carry signal and no noise.
        """
        p = self._input(p)
        factor = p.factor if isinstance(p, Gaussian) else psd_factor(p.covariance)
        signal = like(self.matrix(p.dim), factor) @ factor
        return _ratio_of_squares(signal, like(self.noise_factor(p.dim), factor))

    def after(self, first: Channel) -> Channel:
        """The composition, exact when `first` is linear-Gaussian: A = A2 A1, noise = A2 N1 A2^T + N2."""
        if not isinstance(first, LinearGaussianChannel):
            return super().after(first)
        dtype = torch.promote_types(self.bias.dtype, first.bias.dtype)
        mine, theirs = self._scalars, first._scalars
        if mine is not None and theirs is not None:
            (gain, added), (inner, variance) = ([s.to(dtype) for s in pair] for pair in (mine, theirs))
            bias = gain[..., None] * first.bias + self.bias
            return LinearGaussianChannel.isotropic(gain * inner, gain.square() * variance + added, bias)
        matrix = self.matrix(self.input_dim or first.output_dim).to(dtype)
        size = matrix.shape[-1]
        noise = matrix @ first.noise_covariance(size).to(dtype) @ matrix.mT + self.noise_covariance(size)
        bias = first.bias.to(dtype).expand(*first.bias.shape[:-1], size)
        noise = 0.5 * (noise + noise.mT)
        return LinearGaussianChannel.of_dynamics(matrix @ first.matrix(size).to(dtype), noise, self.apply(bias))

    @property
    def _scalars(self) -> tuple[Tensor, Tensor] | None:
        """Gain and noise variance, when both are numbers."""
        if self.gain is None or self.noise_variance is None:
            return None
        return self.gain, self.noise_variance

    @property
    def _plain_noise(self) -> bool:
        """Whether the factor of the noise is as exact as its covariance: a root of every variance."""
        if self.noise_variance is not None:
            return True
        return validating(self._noise) and bool((self._noise == _diagonal(self._noise)).all())

    def _points(self, x: Any) -> Tensor:
        x = as_tensor(x, "x")
        if x.ndim == 0 and self.input_dim in (None, 1):
            x = x[None]
        size = self.input_dim or "D"
        if x.ndim == 0 or (self.input_dim is not None and x.shape[-1] != self.input_dim):
            raise ValueError(f"x must have shape (..., {size}); got {tuple(x.shape)}")
        return x

    def _input(self, p: Any) -> Distribution:
        p = as_distribution(p, "p")
        check_input_size(self, p)
        return p

    def _mixture_of(self, p: Distribution, what: str) -> GaussianMixture:
        if isinstance(p, GaussianMixture):
            return p
        convert = getattr(p, "as_gaussian_mixture", None)
        if convert is None:
            raise TypeError(
                f"the {what} of a linear-Gaussian channel is known for Gaussians, mixtures of them, Empirical samples "
                f"and laws with as_gaussian_mixture(); got {type(p).__name__}: wrap samples of it in Empirical"
            )
        return convert()

    def __repr__(self) -> str:
        batch = f", batch={tuple(self.batch_shape)}" if self.batch_shape else ""
        size = f"{self.input_dim or 'D'} -> {self.output_dim or 'D'}"
        return f"LinearGaussianChannel({size}{batch})"


class GaussianChannelJoint(Gaussian):
    """The joint law of a Gaussian input and the output of a linear-Gaussian channel: a Gaussian that remembers both.

    Its factor is [[B, 0], [A B, L]] with B of the input and L of the noise: entropies and mutual informations need no
    difference of nearly equal determinants.

    Parameters
    ----------
    input
        The Gaussian law of x.
    channel
        The linear-Gaussian channel.
    names
        Names of the two parts.
    """

    def __init__(self, input: Gaussian, channel: LinearGaussianChannel, names: Sequence[str] = ("x", "y")) -> None:
        first, second = joint_names(names)
        size = channel.output_size(input.dim)
        matrix = like(channel.matrix(input.dim), input.mean)
        spread = _beside(matrix @ input.factor, like(channel.noise_factor(input.dim), input.mean))
        own = torch.nn.functional.pad(input.factor, (0, spread.shape[-1] - input.factor.shape[-1]))
        factor = torch.cat([own.expand(*spread.shape[:-2], *own.shape[-2:]), spread], -2)
        mean, covariance = channel.joint_moments(input.mean, input.covariance)
        self._fill(
            mean,
            factor,
            covariance=covariance,
            parts={first: input.dim, second: size},
            datum="factor",
            factor_magnitude=self._reach(input, channel, spread.shape[-1]),
        )
        self.input = input
        self.channel = channel

    @staticmethod
    def _reach(input: Gaussian, channel: LinearGaussianChannel, columns: int) -> Tensor | None:
        """Entrywise size of what rounding moves the factor by, in units of eps; None where every entry is known to eps.

        The factors B and L follow from covariances, which are the data, and A B from a product.
        """
        known = input._datum == "factor" or input.dim == 1
        if channel._plain_noise and known and (input.dim == 1 or channel.gain is not None):
            return None
        noise = like(channel.noise_factor(input.dim), input.mean).detach()
        ours = input._factor_size if known else _moved_factor(input.factor.detach(), input._factor_size)
        theirs = noise.abs() if channel._plain_noise else _moved_factor(noise, noise.abs())
        spread = _beside(like(channel.matrix(input.dim), input.mean).detach().abs() @ ours, theirs)
        own = torch.nn.functional.pad(ours, (0, columns - ours.shape[-1]))
        return torch.cat([own.expand(*spread.shape[:-2], *own.shape[-2:]), spread], -2)

    def signal_to_noise(self) -> Tensor:
        """Eigenvalues of the signal in units of the noise, shape (*batch, E): I(x; y) = sum log(1 + eigenvalue) / 2."""
        return self.channel.signal_to_noise(self.input)


def _round_variances(covariances: Tensor) -> Tensor | None:
    """The variances v_k (..., K) when every covariance is exactly v_k times one."""
    variances = covariances[..., 0, 0]
    if not validating(covariances):
        return None
    one = torch.eye(covariances.shape[-1], dtype=covariances.dtype, device=covariances.device)
    return variances if bool((covariances == variances[..., None, None] * one).all()) else None


def _ratio_of_squares(signal: Tensor, noise_factor: Tensor) -> Tensor:
    """Eigenvalues of S S^T relative to L L^T, shape (..., E), by singular values of L^-1 S.

    In the singular value basis of L the directions without noise are split off: what reaches them counts as infinite.
    """
    rotation, deviations, _ = torch.linalg.svd(noise_factor)
    size = deviations.shape[-1]
    scale = deviations.detach().amax(-1, keepdim=True)
    silent = deviations.detach() <= 8 * size * torch.finfo(deviations.dtype).eps * scale
    turned = rotation.mT @ signal
    whitened = turned / torch.where(silent, 1.0, deviations)[..., None]
    reach = signal.detach().norm(dim=(-2, -1))[..., None]
    clean = turned.detach().norm(dim=-1) > 8 * size * torch.finfo(deviations.dtype).eps * reach
    values = torch.linalg.svdvals(torch.where(silent[..., None], 0.0, whitened)).square()
    missing = size - values.shape[-1]
    values = torch.nn.functional.pad(values, (0, missing)) if missing > 0 else values
    # singular values come in decreasing order and those of the silent directions are zero: put infinity in their place
    infinite = (silent & clean).sum(-1, keepdim=True)
    place = torch.arange(size, device=values.device)
    return torch.where(place >= size - infinite, torch.inf, values).sort(-1, descending=True).values


def _moved_factor(factor: Tensor, size: Tensor) -> Tensor:
    """How far, in units of the relative error of a covariance S S^T, its factor L moves: S + |L||L^-1| S S^T |L^-T|."""
    inverse = torch.linalg.pinv(factor).abs()
    stretched = inverse @ size
    return size + factor.abs() @ stretched @ stretched.mT


def _diagonal(matrix: Tensor) -> Tensor:
    return torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1))


def _beside(left: Tensor, right: Tensor) -> Tensor:
    """Two factors with their columns side by side, batch dimensions broadcast."""
    batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    return torch.cat([left.expand(*batch, *left.shape[-2:]), right.expand(*batch, *right.shape[-2:])], -1)


def _broadcast(**shapes: torch.Size) -> torch.Size:
    try:
        return torch.broadcast_shapes(*shapes.values())
    except RuntimeError:
        given = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
        raise ValueError(f"batch dimensions must broadcast; got {given}") from None


def _require_not_negative(variance: Tensor, name: str) -> None:
    if validating(variance) and bool((variance < 0).any()):
        raise ValueError(f"{name} must be >= 0; got {variance.min().item():.6g}")
