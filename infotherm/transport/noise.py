"""The noise under which a law is moved, as a clock: transport goes on in proportion to the integral of sigma^2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from infotherm.core.quadrature import integrate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, require_finite, validating
from infotherm.distributions import Empirical, Gaussian
from infotherm.distributions.base import Distribution

Sigma = Any  # a number, a (..., D, D) matrix, or a function of time with values of either kind

_SAME = 1e-9  # relative difference up to which two matrices are proportional


class Noise:
    """sigma(t) over a duration, as L a(t) with a constant matrix L and an amplitude a(t).

    Parameters
    ----------
    sigma
        A number or batch of numbers > 0, an invertible matrix (..., D, D) for D > 1, or a function of times (M, ...)
        with values of the shape of the times, or (M, ..., D, D): one matrix times a function of time.
    duration
        T > 0.
    law
        One of the laws that are moved: dimension, dtype and device.

    Attributes
    ----------
    duration
        T.
    root
        L with L L^T = sigma sigma^T / 2 at time 0 for a matrix, else None. In the coordinates L^-1 x the noise is
        isotropic with amplitude sqrt(2) at time 0.
    exposure, exposure_error
        The integral of a(t)^2 over the duration, in the coordinates L^-1 x where there is a matrix.

    Raises
    ------
    ValueError
        When sigma is not positive (or singular), changes its directions in time, or the duration is not positive.
    """

    def __init__(self, sigma: Sigma, duration: Any, law: Distribution) -> None:
        self.duration = positive(duration, "duration", law)
        self.root: Tensor | None = None
        self._dim = law.dim
        self._function: Callable[[Tensor], Any] | None = None
        self._constant = torch.ones_like(self.duration)
        if callable(sigma):
            self._function = sigma
            first = as_tensor(sigma(torch.zeros(1, dtype=law.dtype, device=law.device)), "sigma", dtype=law.dtype)
            if _is_matrix(first, law.dim):
                self.root = _diffusion_root(first[0] if first.ndim > 2 else first)
            self.exposure, self.exposure_error = self._integrated(self.duration)
            return
        amplitude = as_tensor(sigma, "sigma", dtype=law.dtype, device=law.device)
        if _is_matrix(amplitude, law.dim):
            self.root = _diffusion_root(amplitude)
            self.exposure = 2 * self.duration
        else:
            self._constant = positive(amplitude, "sigma", law)
            self.exposure = self._constant.square() * self.duration
        self.exposure_error = rounding_error([self.exposure])

    def square(self, t: Tensor) -> Tensor:
        """a(t)^2, of the shape of t (broadcast against that of a constant sigma)."""
        if self._function is None:
            if self.root is not None:
                return torch.full_like(t, 2.0)
            return self._constant.square().expand(torch.broadcast_shapes(t.shape, self._constant.shape))
        values = as_tensor(self._function(t), "sigma", dtype=t.dtype, device=t.device)
        if self.root is not None:
            return self._matrix_square(values.expand(*t.shape, *values.shape[-2:]))
        amplitude = values.expand(t.shape)
        if validating(amplitude) and not bool((amplitude > 0).all()):
            raise ValueError(f"sigma must be > 0 at all times; got {amplitude.min().item()}")
        return amplitude.square()

    def _matrix_square(self, sigma: Tensor) -> Tensor:
        assert self.root is not None
        half = torch.linalg.solve_triangular(self.root, sigma, upper=False)
        intensity = half @ half.mT
        square = intensity.diagonal(dim1=-2, dim2=-1).mean(-1)
        identity = torch.eye(self._dim, dtype=sigma.dtype, device=sigma.device)
        off = torch.linalg.matrix_norm(intensity - square[..., None, None] * identity)
        if validating(sigma) and not bool((off <= _SAME * square).all()):
            raise ValueError(
                "sigma must be one matrix times a function of time: where the noise changes its directions, the cost "
                "E[v^T D(t)^-1 v] is measured in another metric at each time, the optimal paths are no geodesics of "
                "one metric, and the minimum has no closed form"
            )
        return square

    def _integrated(self, until: Tensor) -> tuple[Tensor, Tensor]:
        integral = integrate(self.square, torch.zeros_like(until), until)
        return integral.value, integral.error

    def clock(self, t: Any) -> Tensor:
        """The fraction of the whole exposure at time t, from 0 at t = 0 to 1 at T."""
        t = self.time(t)
        if self._function is None:
            return t / self.duration
        return (
            self._integrated(t.expand(torch.broadcast_shapes(t.shape, self.duration.shape)))[0] / self.exposure
        ).clamp(0.0, 1.0)

    def rate(self, t: Any) -> Tensor:
        """The speed of the clock at time t."""
        t = self.time(t)
        if self._function is None:
            return (1 / self.duration).expand(torch.broadcast_shapes(t.shape, self.duration.shape))
        return self.square(t) / self.exposure

    def time(self, t: Any) -> Tensor:
        """Times as a tensor, those that rounding has put beyond the end at the end.

        Raises
        ------
        ValueError
            For times outside [0, duration].
        """
        t = as_tensor(t, "t", dtype=self.duration.dtype, device=self.duration.device)
        if validating(t) and not bool(((t >= 0) & (t <= self.duration * (1 + 1e-12))).all()):
            raise ValueError(f"t must lie in [0, duration]; got {t.tolist()}")
        return torch.minimum(t, self.duration) if validating(t) else t

    def whitened(self, law: Distribution, name: str) -> Distribution:
        """The law in the coordinates L^-1 x, in which the noise is isotropic (itself where sigma is no matrix).

        Raises
        ------
        TypeError
            For a matrix and a law that is neither Gaussian nor Empirical.
        """
        root = self.root
        if root is None:
            return law
        if isinstance(law, Empirical):
            image = torch.linalg.solve_triangular(root, law.samples[..., None], upper=False)[..., 0]
            return Empirical(image, law.weights)
        if not isinstance(law, Gaussian):
            raise TypeError(f"a matrix sigma needs Gaussian laws or samples; {name} is a {type(law).__name__}")
        mean = torch.linalg.solve_triangular(root, law.mean[..., None], upper=False)[..., 0]
        if law._datum != "covariance":
            return Gaussian.from_factor(mean, torch.linalg.solve_triangular(root, law.factor, upper=False))
        half = torch.linalg.solve_triangular(root, law.covariance, upper=False)
        image = torch.linalg.solve_triangular(root, half.mT, upper=False)
        return Gaussian(mean, (image + image.mT) / 2)


def positive(x: Any, name: str, law: Distribution) -> Tensor:
    """`x` as a tensor beside the law, all of it > 0.

    Raises
    ------
    ValueError
        When it is not.
    """
    x = require_finite(as_tensor(x, name, dtype=law.dtype, device=law.device), name)
    if validating(x) and not bool((x > 0).all()):
        raise ValueError(f"{name} must be > 0; got {x.min().item()}")
    return x


def _is_matrix(sigma: Tensor, dim: int) -> bool:
    return dim > 1 and sigma.ndim >= 2 and sigma.shape[-2:] == (dim, dim)


def _diffusion_root(sigma: Tensor) -> Tensor:
    """The Cholesky factor of D = sigma sigma^T / 2."""
    require_finite(sigma, "sigma")
    diffusion = sigma @ sigma.mT / 2
    root, failed = torch.linalg.cholesky_ex(diffusion)
    if validating(sigma) and bool((failed != 0).any()):
        raise ValueError("sigma must be an invertible matrix: without noise in a direction the bound there is infinite")
    return root
