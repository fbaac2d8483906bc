"""Ensembles of weight matrices, and log-determinants straight from their limiting spectral densities."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from infotherm.core.quadrature import Integral, integrate
from infotherm.core.tensors import Generator, as_generator, as_tensors, require_finite, validating


class GaussianWeights:
    """A matrix of n_l rows and n_(l-1) columns with independent N(0, variance / n_(l-1)) entries.

    Parameters
    ----------
    alpha
        The aspect ratio n_l / n_(l-1) > 0; a tensor makes a batch.
    variance
        The variance of an entry times n_(l-1), > 0; broadcast against `alpha`.

    Raises
    ------
    ValueError
        When either is not positive and finite.

    Examples
    --------
    >>> GaussianWeights(0.5, variance=2.0)
    GaussianWeights(alpha=0.5, variance=2.0)
    """

    def __init__(self, alpha: Any, variance: Any = 1.0) -> None:
        self.alpha, self.variance = as_tensors(alpha=alpha, variance=variance)
        for name, entry in (("alpha", self.alpha), ("variance", self.variance)):
            require_finite(entry, name)
            if validating(entry) and not bool((entry > 0).all()):
                raise ValueError(f"{name} must be > 0; got {entry.min().item()}")

    @property
    def batch_shape(self) -> torch.Size:
        """The common batch shape of the two parameters."""
        return torch.broadcast_shapes(self.alpha.shape, self.variance.shape)

    def sample(self, rows: int, columns: int, generator: Generator = None) -> Tensor:
        """A matrix of the given size, shape (*batch, rows, columns), scaled by its own number of columns."""
        device = self.variance.device
        shape = (*self.batch_shape, rows, columns)
        normal = torch.randn(shape, dtype=self.variance.dtype, device=device, generator=as_generator(generator, device))
        return normal * (self.variance / columns).sqrt()[..., None, None]

    def __repr__(self) -> str:
        return f"GaussianWeights(alpha={_shown(self.alpha)}, variance={_shown(self.variance)})"


def marchenko_pastur_log_determinant(alpha: Tensor, signal: Tensor, noise: Tensor, *, rtol: float = 1e-13) -> Integral:
    """lim (1/n_0) log det(noise I + signal G G^T / n_0) for G of n_1 = alpha n_0 rows and n_0 columns, entries N(0, 1).

    The integral of log(noise + signal x) over the Marchenko-Pastur density sqrt((b-x)(x-a)) / (2 pi x) on
    (a, b) = (1 -+ sqrt(alpha))^2, plus (alpha - 1) log(noise) for the null directions when alpha > 1. The substitution
    x = (1 - sqrt(alpha))^2 + 4 sqrt(alpha) sin^2(phi/2) removes both square roots, also at the hard edge alpha = 1.

    Parameters
    ----------
    alpha, signal, noise
        Positive tensors of one shape, the batch.

    Returns
    -------
    Integral
        With a bound on its error, about 1e-13 relative.

    Source: Marchenko and Pastur, Math. USSR Sb. 1, 457 (1967).

    Examples
    --------
    >>> one = torch.tensor(1.0, dtype=torch.float64)
    >>> marchenko_pastur_log_determinant(one, one, one).value.item()  # 2 log phi - 1 / phi^2 with the golden ratio phi
    0.58045763887
    """
    root = alpha.sqrt()

    def integrand(phi: Tensor) -> Tensor:
        x = (1 - root).square() + 4 * root * (phi / 2).sin().square()
        return (noise + signal * x).log() * 2 * alpha * phi.sin().square() / (math.pi * x)

    bulk = integrate(integrand, 0.0, torch.full_like(alpha, math.pi), breakpoints=math.pi * _ladder(alpha), rtol=rtol)
    null = (alpha - 1).clamp(min=0.0) * noise.log()
    return Integral(bulk.value + null, bulk.error, bulk.evaluations, bulk.converged)


def fuss_catalan_log_determinant(factors: int, signal: Tensor, noise: Tensor, *, rtol: float = 1e-13) -> Integral:
    """lim (1/n) log det(noise I + signal P P^T) for P a product of `factors` square matrices of N(0, 1/n) entries.

    The squared singular values follow the Fuss-Catalan law, whose k-th moment is binomial((p+1)k, k) / (pk+1). With
    x = sin^(p+1)((p+1) phi) / (sin(phi) sin^p(p phi)), 0 < phi < pi/(p+1), its density times |dx/dphi| is
    sin(phi) / (pi sin(p phi)) [sin((p+1) phi) (cot(phi) + p^2 cot(p phi)) - (p+1)^2 cos((p+1) phi)], which is smooth.

    Parameters
    ----------
    factors
        The number p of matrices.
    signal, noise
        Positive tensors of one shape, the batch.

    Returns
    -------
    Integral
        With a bound on its error, about 1e-13 relative.

    Source: Haagerup and Moeller (2013), Forrester and Liu, J. Phys. A 48 (2015), for the parametrisation.

    Examples
    --------
    >>> one = torch.tensor(1.0, dtype=torch.float64)
    >>> fuss_catalan_log_determinant(1, one, one).value.item()  # one factor: Marchenko-Pastur
    0.58045763887
    """
    p = factors
    end = math.pi / (p + 1)

    def weighted(phi: Tensor, last: Tensor, turn: Tensor) -> Tensor:
        """The integrand at phi, given sin((p+1) phi) and cos((p+1) phi)."""
        first, middle = phi.sin(), (p * phi).sin()
        x = last ** (p + 1) / (first * middle**p)
        slopes = phi.cos() / first + p**2 * (p * phi).cos() / middle
        return (noise + signal * x).log() * first / middle * (last * slopes - (p + 1) ** 2 * turn) / math.pi

    def integrand(near: Tensor) -> Tensor:
        # both halves of the range, each measured from its own end, so that small and large x keep their digits
        last, turn = ((p + 1) * near).sin(), ((p + 1) * near).cos()
        return weighted(near, last, turn) + weighted(end - near, last, -turn)

    half = end / 2
    return integrate(integrand, 0.0, torch.full_like(noise, half), breakpoints=half * _ladder(noise), rtol=rtol)


def _ladder(like: Tensor) -> Tensor:
    """Powers of 1/4 down to 1e-8, (P, *batch): where the spectrum reaches zero the logarithm bends at all scales."""
    steps = 0.25 ** torch.arange(1, 14, dtype=like.dtype, device=like.device)
    return steps.reshape(-1, *[1] * like.ndim).expand(-1, *like.shape)


def _shown(x: Tensor) -> str:
    return str(x.item()) if x.ndim == 0 else f"tensor of shape {tuple(x.shape)}"
