"""Driven affine diffusions: drift A(t) x + c(t) and noise sigma(t) given as functions of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.gaussian import LinearGaussianChannel
from infotherm.core.tensors import as_tensor, require_finite
from infotherm.processes.base import AffineProcess
from infotherm.processes.propagators import varying_drift

Coefficient = Callable[[Tensor], Any] | Any


class AffineDiffusion(AffineProcess):
    """dX = (A(t) X + c(t)) dt + sigma(t) dB in D coordinates, for coefficients that are smooth functions of time.

    Transitions are linear-Gaussian channels, integrated by Magnus panels of order 6 until they are known to
    `tolerance`: a moving or a breathing trap, or the drift that follows a Wasserstein geodesic.

    Parameters
    ----------
    drift_matrix
        A: a matrix (D, D), or a function of times of any shape (...) that gives (..., D, D).
    sigma
        A number or matrix (D, M), or a function of times that gives numbers (...) or matrices (..., D, M).
    drift_offset
        c: a vector (D,), or a function that gives (..., D); zero unless given.
    horizon
        The last time, none unless given.
    tolerance
        Relative accuracy of the transitions.

    Raises
    ------
    ValueError
        When a coefficient has another shape, or is not finite, at a time at which it is asked for.

    Examples
    --------
    A trap that moves at speed 2 (rate 1, diffusion constant 1):

    >>> trap = AffineDiffusion([[-1.0]], 2**0.5, lambda t: 2 * t[..., None])
    >>> trap.transition(0.0, 1.0)([0.0]).mean
    tensor([0.7358], dtype=torch.float64)
    """

    def __init__(
        self,
        drift_matrix: Coefficient,
        sigma: Coefficient,
        drift_offset: Coefficient = 0.0,
        *,
        horizon: float | None = None,
        tolerance: float = 1e-13,
    ) -> None:
        self._drift_matrix = _function(drift_matrix, "drift_matrix")
        self._sigma = _function(sigma, "sigma")
        self._drift_offset = _function(drift_offset, "drift_offset")
        self._driven = any(map(callable, (drift_matrix, sigma, drift_offset)))
        self.horizon = horizon
        self.transition_accuracy = tolerance
        first = torch.zeros((), dtype=torch.float64)
        matrix = self._drift_matrix(first)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"drift_matrix must have shape (D, D) at one time; got {tuple(matrix.shape)}")
        self.dim = matrix.shape[-1]
        self.isotropic = self._sigma(first).ndim == 0
        for function in (self.drift_matrix, self.drift_offset, self.diffusion):
            function(first)

    @property
    def is_static(self) -> bool:
        return not self._driven

    def drift_matrix(self, t: Any, dim: int | None = None) -> Tensor:
        (t,) = self._times(t=t)
        size = self._size(dim)
        return _shaped(self._drift_matrix(t), t, (size, size), "drift_matrix")

    def drift_offset(self, t: Any, dim: int | None = None) -> Tensor:
        (t,) = self._times(t=t)
        return _shaped(self._drift_offset(t), t, (self._size(dim),), "drift_offset")

    def diffusion(self, t: Any) -> Tensor:
        (t,) = self._times(t=t)
        sigma = self._sigma(t)
        if self.isotropic:
            return _shaped(sigma, t, (), "sigma")
        return _shaped(sigma, t, (self._size(None), sigma.shape[-1]), "sigma")

    def transition(self, t0: Any, t1: Any) -> LinearGaussianChannel:
        """The channel from t0 to t1, to the relative accuracy `tolerance`.

        Raises
        ------
        RuntimeError
            When the coefficients are not smooth enough to reach it.
        """
        t0, t1 = self._interval(t0, t1)
        gain, shift, noise = varying_drift(self._coefficients, t0, t1, tolerance=self.transition_accuracy)
        return LinearGaussianChannel.of_dynamics(gain, noise, shift)

    def integrated_diffusion(self, t0: Any, t1: Any) -> Tensor:
        """Integral of sigma^2, or of sigma sigma^T, by the same panels as the transition."""
        t0, t1 = self._interval(t0, t1)

        def noise_only(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            matrix, offset, intensity = self._coefficients(t)
            return torch.zeros_like(matrix), torch.zeros_like(offset), intensity

        total = varying_drift(noise_only, t0, t1, tolerance=self.transition_accuracy)[2]
        return total[..., 0, 0] if self.isotropic else total

    def _coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.drift_matrix(t), self.drift_offset(t), 2 * self.diffusion_matrix(t)


def _function(coefficient: Coefficient, name: str) -> Callable[[Tensor], Tensor]:
    """The coefficient as a function of time with values in float64."""
    if callable(coefficient):
        return lambda t: as_tensor(coefficient(t), name).to(torch.float64)
    constant = require_finite(as_tensor(coefficient, name).to(torch.float64), name)
    return lambda t: constant.to(t.device)


def _shaped(values: Tensor, t: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    """Values broadcast to (*t, *shape).

    Raises
    ------
    ValueError
        When the coefficient does not follow the shape of the times.
    """
    try:
        return require_finite(values.expand((*t.shape, *shape)), name)
    except RuntimeError:
        raise ValueError(
            f"{name} must give shape {(*t.shape, *shape)} at times of shape {tuple(t.shape)}; got {tuple(values.shape)}"
        ) from None
