"""The least entropy that moving one law onto another must produce, and the drive that attains it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import integrate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, require_finite, validating
from infotherm.distributions import Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.transport.gaussian import GaussianGeodesic, geodesic
from infotherm.transport.wasserstein import wasserstein2

Sigma = Any  # a number, a (..., D, D) matrix, or a function of time


def minimum_entropy_production(p: Any, q: Any, sigma: Sigma, duration: Any, **options: Any) -> Estimate:
    """The least total entropy production of overdamped processes dX = b dt + sigma dB that take p to q in `duration`.

    S = 2 W2(p, q)^2 / integral of sigma^2 dt = W2^2 / (D T) with D = sigma^2 / 2, over all drifts b (full control) at
    fixed noise. With a constant matrix sigma, W2 is measured in the metric of D^-1 = 2 (sigma sigma^T)^-1. Attained by
    constant-speed transport along the geodesic (`optimal_protocol`).

    Parameters
    ----------
    p, q
        The laws at the two ends: anything that `wasserstein2` takes; Gaussians for a matrix sigma.
    sigma
        The noise amplitude: a number or batch of numbers > 0, an invertible matrix (..., D, D) (D > 1), or a function
        of time that maps times in [0, duration], shape (M, ...), to amplitudes of the same shape.
    duration
        T > 0, broadcast against the batch.
    **options
        For `wasserstein2` (method, tolerance, ...).

    Returns
    -------
    Estimate
        In nats (units of k_B); the kind is that of the distance ("exact" by closed form or quadrature).

    Raises
    ------
    TypeError
        For a matrix sigma with laws that are not Gaussian.
    ValueError
        When sigma is not positive (or singular), or the duration is not.

    Source: Aurell, Gawedzki, Mejia-Monasterio, Mohayaee and Muratore-Ginanneschi, J. Stat. Phys. 147, 487 (2012).

    Examples
    --------
    >>> import infotherm as it
    >>> p, q = it.Gaussian(0.0, 1.0), it.Gaussian(2.0, 1.0)
    >>> minimum_entropy_production(p, q, sigma=1.0, duration=4.0).value.item()
    2.0
    """
    first, second = as_distribution(p, "p"), as_distribution(q, "q")
    duration = _positive(duration, "duration", first)
    if callable(sigma):
        exposure = _integrated_square(sigma, duration)
    else:
        amplitude = as_tensor(sigma, "sigma", dtype=first.dtype, device=first.device)
        if _is_matrix(amplitude, first.dim):
            first, second = _in_units_of_noise(first, second, amplitude)
            exposure = (2 * duration, 2 * rounding_error([duration]))
        else:
            exposure = _exposure(_positive(amplitude, "sigma", first), duration)
    distance = wasserstein2(first, second, **options)
    return _squared_over(distance, *exposure)


def _squared_over(distance: Estimate, exposure: Tensor, exposure_error: Tensor) -> Estimate:
    """2 W2^2 over the integral of sigma^2; the kind is kept, since both grow with the distance."""
    value = 2 * distance.value.square() / exposure
    centre, size = distance.value.detach(), exposure.detach()
    error = 2 * (2 * centre + distance.error) * distance.error / size
    error = error + value.detach() * exposure_error / size + rounding_error([value, value])
    stderr = 4 * centre * distance.stderr / size
    return Estimate(
        value,
        stderr=stderr,
        error=error,
        kind=distance.kind,
        method=distance.method,
        streams=distance.streams,
        info={key: entry for key, entry in distance.info.items() if key in ("n", "converged")},
    )


def _exposure(sigma: Tensor, duration: Tensor) -> tuple[Tensor, Tensor]:
    exposure = sigma.square() * duration
    return exposure, rounding_error([exposure])


def _integrated_square(
    sigma: Callable[[Tensor], Any], duration: Tensor, until: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    def square(t: Tensor) -> Tensor:
        amplitude = torch.as_tensor(sigma(t), dtype=t.dtype, device=t.device).expand(t.shape)
        if validating(amplitude) and not bool((amplitude > 0).all()):
            raise ValueError(f"sigma must be > 0 at all times; got {amplitude.min().item()}")
        return amplitude.square()

    end = duration if until is None else until
    integral = integrate(square, torch.zeros_like(end), end)
    return integral.value, integral.error


def _is_matrix(sigma: Tensor, dim: int) -> bool:
    return dim > 1 and sigma.ndim >= 2 and sigma.shape[-2:] == (dim, dim)


def _positive(x: Any, name: str, law: Distribution) -> Tensor:
    x = require_finite(as_tensor(x, name, dtype=law.dtype, device=law.device), name)
    if validating(x) and not bool((x > 0).all()):
        raise ValueError(f"{name} must be > 0; got {x.min().item()}")
    return x


def _diffusion_root(sigma: Tensor) -> Tensor:
    """The Cholesky factor of D = sigma sigma^T / 2."""
    require_finite(sigma, "sigma")
    diffusion = sigma @ sigma.mT / 2
    root, failed = torch.linalg.cholesky_ex(diffusion)
    if validating(sigma) and bool((failed != 0).any()):
        raise ValueError("sigma must be an invertible matrix: without noise in a direction the bound there is infinite")
    return root


def _in_units_of_noise(p: Distribution, q: Distribution, sigma: Tensor) -> tuple[Gaussian, Gaussian]:
    """Both laws in the coordinates L^-1 x with L L^T = D, in which the diffusion matrix is the identity."""
    root = _diffusion_root(sigma)
    images = []
    for name, law in (("p", p), ("q", q)):
        if not isinstance(law, Gaussian):
            raise TypeError(f"a matrix sigma needs Gaussian laws; {name} is a {type(law).__name__}")
        mean = torch.linalg.solve_triangular(root, law.mean[..., None], upper=False)[..., 0]
        if law._datum == "covariance":
            half = torch.linalg.solve_triangular(root, law.covariance, upper=False)
            image = torch.linalg.solve_triangular(root, half.mT, upper=False)
            images.append(Gaussian(mean, (image + image.mT) / 2))
        else:
            images.append(Gaussian.from_factor(mean, torch.linalg.solve_triangular(root, law.factor, upper=False)))
    return images[0], images[1]


@dataclass(frozen=True, eq=False)
class OptimalProtocol:
    """The drive that takes one Gaussian to another with the least entropy production: an affine drift K(t) x + c(t).

    The law follows the Wasserstein-2 geodesic, at a speed proportional to sigma^2 (constant when sigma is), under
    b = v + D grad log p_t, where v is the velocity of the transport and D grad log p_t holds the noise in balance.

    Attributes
    ----------
    path
        The geodesic, in the coordinates of the problem for an isotropic sigma, else in those where D = 1.
    duration
        T.
    entropy_production
        Its total entropy production, the minimum.
    """

    path: GaussianGeodesic
    duration: Tensor
    entropy_production: Estimate
    _sigma: Sigma
    _root: Tensor | None  # L with L L^T = D when sigma is a matrix
    _exposure: Tensor  # the integral of sigma^2

    def clock(self, t: Any) -> Tensor:
        """The fraction of the geodesic covered at time t, the integral of sigma^2 up to t over that up to T."""
        t = self._time(t)
        if callable(self._sigma):
            return (_integrated_square(self._sigma, self.duration, t)[0] / self._exposure).clamp(0.0, 1.0)
        return t / self.duration

    def rate(self, t: Any) -> Tensor:
        """The speed of the clock at time t."""
        t = self._time(t)
        if callable(self._sigma):
            return torch.as_tensor(self._sigma(t), dtype=t.dtype, device=t.device).square() / self._exposure
        return (1 / self.duration).expand(torch.broadcast_shapes(t.shape, self.duration.shape))

    def marginal(self, t: Any) -> Gaussian:
        """The law at time t in [0, T]."""
        law = self.path.at(self.clock(t))
        if self._root is None:
            return law
        return Gaussian.from_factor((self._root @ law.mean[..., None])[..., 0], self._root @ law.factor)

    def affine(self, t: Any) -> tuple[Tensor, Tensor]:
        """K(t) (..., D, D) and c(t) (..., D) of the drift b(x, t) = K x + c.

        Raises
        ------
        ValueError
            Where the law is singular: no finite drift holds a point against the noise.
        """
        place, rate = self.clock(t), self.rate(t)
        law = self.path.at(place)
        slope = rate[..., None, None] * self.path.gradient(place)
        diffusion = self._diffusion(t)
        drift = slope - diffusion * law.precision
        shift = rate[..., None] * (self.path.end.mean - self.path.start.mean)
        offset = shift - (drift @ law.mean[..., None])[..., 0]
        if self._root is None:
            return drift, offset
        back = torch.linalg.solve_triangular(self._root, self._root @ drift, upper=False, left=False)
        return back, (self._root @ offset[..., None])[..., 0]

    def drift(self, x: Any, t: Any) -> Tensor:
        """b(x, t), shape (..., D)."""
        matrix, offset = self.affine(t)
        x = self.path.start._points(x)
        return (matrix @ x[..., None])[..., 0] + offset

    def _diffusion(self, t: Any) -> Tensor:
        """D in the coordinates of the path, a multiple of the identity, shape (..., 1, 1)."""
        if self._root is not None:
            return torch.ones_like(self._root[..., :1, :1])
        if callable(self._sigma):
            time = self._time(t)
            return (
                torch.as_tensor(self._sigma(time), dtype=time.dtype, device=time.device).square()[..., None, None] / 2
            )
        return self._sigma.square()[..., None, None] / 2

    def _time(self, t: Any) -> Tensor:
        t = as_tensor(t, "t", dtype=self.duration.dtype, device=self.duration.device)
        if validating(t) and not bool(((t >= 0) & (t <= self.duration)).all()):
            raise ValueError(f"t must lie in [0, duration]; got {t.tolist()}")
        return t


def optimal_protocol(p: Any, q: Any, sigma: Sigma, duration: Any) -> OptimalProtocol:
    """The drive that attains `minimum_entropy_production` between two Gaussians.

    Parameters
    ----------
    p, q, sigma, duration
        As there; Gaussians only.

    Raises
    ------
    TypeError
        When a law is not Gaussian.
    ValueError
        As `minimum_entropy_production`.

    Source: Aurell et al., J. Stat. Phys. 147, 487 (2012); Schmiedl and Seifert, Phys. Rev. Lett. 98, 108301 (2007).

    Examples
    --------
    >>> import infotherm as it
    >>> drive = optimal_protocol(it.Gaussian(0.0, 1.0), it.Gaussian(2.0, 1.0), sigma=1.0, duration=4.0)
    >>> drive.drift([0.0], 0.0).item(), drive.marginal(2.0).mean.item()  # the trap runs ahead of the law
    (0.5, 1.0)
    """
    first, second = as_distribution(p, "p"), as_distribution(q, "q")
    least = minimum_entropy_production(first, second, sigma, duration)
    duration = _positive(duration, "duration", first)
    root = None
    if callable(sigma):
        exposure = _integrated_square(sigma, duration)[0]
    else:
        sigma = as_tensor(sigma, "sigma", dtype=first.dtype, device=first.device)
        if _is_matrix(sigma, first.dim):
            first, second = _in_units_of_noise(first, second, sigma)
            root, exposure = _diffusion_root(sigma), 2 * duration
        else:
            exposure = _exposure(sigma, duration)[0]
    return OptimalProtocol(geodesic(first, second), duration, least, sigma, root, exposure)
