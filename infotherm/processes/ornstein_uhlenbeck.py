"""Ornstein-Uhlenbeck processes: constant linear drift and noise, scalar or matrix, with or without detailed balance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infotherm.channels.gaussian import LinearGaussianChannel
from infotherm.core.linalg import van_loan
from infotherm.core.tensors import as_tensors, require_finite, require_shape, validating
from infotherm.processes.base import AffineProcess, identity_like


class OrnsteinUhlenbeck(AffineProcess):
    """dX = -rate (X - mean) dt + sigma dB.

    With numbers for rate and sigma it acts on any number of coordinates. Transitions are exact for every rate, zero
    and unstable ones included; a stationary law exists only when every eigenvalue of the rate has positive real part.

    Parameters
    ----------
    rate
        A number or a matrix (..., D, D), not necessarily symmetric (1 / time).
    sigma
        A number or a matrix (..., D, M).
    mean
        A number or a vector (..., D), where the drift vanishes.

    Raises
    ------
    ValueError
        For entries that are not finite, or shapes that do not fit together.

    Examples
    --------
    >>> rotating = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)
    >>> rotating.quasi_invariant(0.0).covariance
    tensor([[1., 0.],
            [0., 1.]], dtype=torch.float64)
    >>> OrnsteinUhlenbeck(1.0, 2**0.5).transition(0.0, [0.0, 1.0])([1.0]).mean.flatten()
    tensor([1.0000, 0.3679], dtype=torch.float64)
    """

    start = None

    def __init__(self, rate: Any, sigma: Any, mean: Any = 0.0) -> None:
        rate, sigma, mean = (t.to(torch.float64) for t in as_tensors(rate=rate, sigma=sigma, mean=mean))
        for name, value in (("rate", rate), ("sigma", sigma), ("mean", mean)):
            require_finite(value, name)
        sizes = set()
        if rate.ndim:
            sizes.add(require_shape(rate, ("...", "D", "D"), "rate")["D"])
        if sigma.ndim:
            sizes.add(require_shape(sigma, ("...", "D", "M"), "sigma")["D"])
        if mean.ndim:
            sizes.add(mean.shape[-1])
        if len(sizes) > 1:
            raise ValueError(
                f"rate, sigma and mean must agree on D; got shapes {tuple(rate.shape)}, {tuple(sigma.shape)} "
                f"and {tuple(mean.shape)}"
            )
        self.dim = sizes.pop() if sizes else None
        self.rate, self.sigma, self.mean = rate, sigma, mean
        self.isotropic = sigma.ndim == 0
        batches = {"rate": rate.shape[:-2], "sigma": sigma.shape[:-2], "mean": mean.shape[:-1]}
        try:
            self.batch_shape = torch.broadcast_shapes(*batches.values())
        except RuntimeError:
            given = ", ".join(f"{name} {tuple(shape)}" for name, shape in batches.items())
            raise ValueError(f"batch dimensions must broadcast; got {given}") from None
        self._scalar = rate.ndim == 0 and sigma.ndim == 0

    @property
    def is_static(self) -> bool:
        return True

    def _times(self, **named: Any) -> tuple[Tensor, ...]:
        # beside the parameters: channels move themselves to where their input is
        return tuple(t.to(self.rate.device) for t in super()._times(**named))

    def transition(self, t0: Any, t1: Any) -> LinearGaussianChannel:
        """The exact channel from t0 to t1: expm1 for numbers, Van Loan with doubling for matrices."""
        t0, t1 = self._interval(t0, t1)
        if self._scalar:
            gain = torch.exp(-self.rate * (t1 - t0))
            lost = -torch.expm1(-self.rate * (t1 - t0))
            bias = lost[..., None] * (self.mean if self.mean.ndim else self.mean[None])
            return LinearGaussianChannel.isotropic(gain, self._gathered_variance(t1 - t0), bias)
        size = self._size(None)
        gain, noise = van_loan(-self.drift_matrix(t0), self._intensity(size), t1 - t0)
        mean = self.mean.expand(*self.mean.shape[:-1], size)
        return LinearGaussianChannel.of_dynamics(gain, noise, mean - (gain @ mean[..., None])[..., 0])

    def _gathered_variance(self, duration: Tensor) -> Tensor:
        """sigma^2 (1 - exp(-2 rate t)) / (2 rate) for numbers, sigma^2 t at rate 0."""
        exponent = -2 * self.rate * duration
        small = exponent == 0
        ratio = torch.where(small, 1.0, torch.expm1(exponent) / torch.where(small, 1.0, exponent))
        return self.sigma.square() * duration * ratio

    def drift_matrix(self, t: Any, dim: int | None = None) -> Tensor:
        (t,) = self._times(t=t)
        size = self._size(dim)
        rate = self.rate if self.rate.ndim else self.rate * identity_like(self.rate, size)
        return (-rate).expand(*torch.broadcast_shapes(t.shape, rate.shape[:-2]), size, size)

    def drift_offset(self, t: Any, dim: int | None = None) -> Tensor:
        matrix = self.drift_matrix(t, dim)
        mean = self.mean.expand(*self.mean.shape[:-1], matrix.shape[-1])
        return -(matrix @ mean[..., None])[..., 0]

    def diffusion(self, t: Any) -> Tensor:
        (t,) = self._times(t=t)
        if self.isotropic:
            return self.sigma.expand(t.shape)
        return self.sigma.expand(*torch.broadcast_shapes(t.shape, self.sigma.shape[:-2]), *self.sigma.shape[-2:])

    def integrated_diffusion(self, t0: Any, t1: Any) -> Tensor:
        t0, t1 = self._interval(t0, t1)
        if self.isotropic:
            return self.sigma.square() * (t1 - t0)
        return self.sigma @ self.sigma.mT * (t1 - t0)[..., None, None]

    def static_force(self, dim: int | None = None) -> tuple[Tensor, Tensor] | None:
        """The constant force D^-1 b where it is a gradient, that is with detailed balance: D^-1 rate symmetric."""
        matrix, offset = self.force(0.0, dim)
        if validating(matrix):
            asymmetry = (matrix - matrix.mT).abs().amax((-2, -1))
            noise = torch.finfo(matrix.dtype).eps * torch.linalg.cond(self._intensity(matrix.shape[-1]))
            if bool((asymmetry > 16 * noise * matrix.abs().amax((-2, -1))).any()):
                return None
        return 0.5 * (matrix + matrix.mT), offset

    def _intensity(self, size: int) -> Tensor:
        """sigma sigma^T as a matrix."""
        if self.isotropic:
            return self.sigma.square() * identity_like(self.sigma, size)
        return self.sigma @ self.sigma.mT
