"""The least entropy that moving one law onto another must produce, and the drive that attains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.distributions import Gaussian, as_distribution
from infotherm.transport.gaussian import GaussianGeodesic, gaussian_geodesic
from infotherm.transport.geodesics import geodesic
from infotherm.transport.line_geodesic import LineGeodesic
from infotherm.transport.line_protocol import LineProtocol
from infotherm.transport.noise import Noise, Sigma
from infotherm.transport.second_order import wasserstein2


def minimum_entropy_production(p: Any, q: Any, sigma: Sigma, duration: Any, **options: Any) -> Estimate:
    """The least total entropy production of overdamped processes dX = b dt + sigma dB that take p to q in `duration`.

    S = 2 W2(p, q)^2 / integral of sigma^2 dt = W2^2 / (D T) with D = sigma^2 / 2, over all drifts b (full control) at
    fixed noise. With a matrix sigma, W2 is measured in the metric of D^-1 = 2 (sigma sigma^T)^-1. Attained by transport
    along the geodesic at a speed proportional to sigma^2 (`optimal_protocol`).

    Parameters
    ----------
    p, q
        The laws at the two ends: anything that `wasserstein2` takes; Gaussians or samples for a matrix sigma.
    sigma
        The noise amplitude: a number or batch of numbers > 0, an invertible matrix (..., D, D) (D > 1), or a function
        of time that maps times in [0, duration], shape (M, ...), to amplitudes of the same shape, or to matrices
        (M, ..., D, D) that are one matrix times a function of time.
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
        For a matrix sigma with laws that are neither Gaussian nor Empirical.
    ValueError
        When sigma is not positive (or singular), the duration is not, or a matrix sigma changes its directions in time:
        that minimum is no distance and has no closed form.

    Source: Aurell, Gawedzki, Mejia-Monasterio, Mohayaee and Muratore-Ginanneschi, J. Stat. Phys. 147, 487 (2012).

    Examples
    --------
    >>> import infotherm as it
    >>> p, q = it.Gaussian(0.0, 1.0), it.Gaussian(2.0, 1.0)
    >>> minimum_entropy_production(p, q, sigma=1.0, duration=4.0).value.item()
    2.0
    """
    first, second = as_distribution(p, "p"), as_distribution(q, "q")
    noise = Noise(sigma, duration, first)
    distance = wasserstein2(noise.whitened(first, "p"), noise.whitened(second, "q"), **options)
    return _squared_over(distance, noise.exposure, noise.exposure_error)


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
    _noise: Noise

    def clock(self, t: Any) -> Tensor:
        """The fraction of the geodesic covered at time t, the integral of sigma^2 up to t over that up to T."""
        return self._noise.clock(t)

    def rate(self, t: Any) -> Tensor:
        """The speed of the clock at time t."""
        return self._noise.rate(t)

    def marginal(self, t: Any) -> Gaussian:
        """The law at time t in [0, T]."""
        law = self.path.at(self.clock(t))
        if self._noise.root is None:
            return law
        return Gaussian.from_factor((self._noise.root @ law.mean[..., None])[..., 0], self._noise.root @ law.factor)

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
        diffusion = self._noise.square(self._noise.time(t))[..., None, None] / 2
        drift = slope - diffusion * law.precision
        shift = rate[..., None] * (self.path.end.mean - self.path.start.mean)
        offset = shift - (drift @ law.mean[..., None])[..., 0]
        if self._noise.root is None:
            return drift, offset
        back = torch.linalg.solve_triangular(self._noise.root, self._noise.root @ drift, upper=False, left=False)
        return back, (self._noise.root @ offset[..., None])[..., 0]

    def drift(self, x: Any, t: Any) -> Tensor:
        """b(x, t), shape (..., D)."""
        matrix, offset = self.affine(t)
        x = self.path.start._points(x)
        return (matrix @ x[..., None])[..., 0] + offset

    def stiffness(self, t: Any) -> Tensor:
        """The largest rate |db/dx| at time t, the spectral norm of K(t), shape (...).

        A step of Euler's method must be short beside 1 / stiffness.
        """
        return torch.linalg.matrix_norm(self.affine(t)[0], ord=2)


@overload
def optimal_protocol(p: Gaussian, q: Gaussian, sigma: Sigma, duration: Any) -> OptimalProtocol: ...
@overload
def optimal_protocol(p: Any, q: Any, sigma: Sigma, duration: Any) -> Any: ...
def optimal_protocol(p: Any, q: Any, sigma: Sigma, duration: Any) -> OptimalProtocol | LineProtocol:
    """The drive that attains `minimum_entropy_production`: between two Gaussians, or two scalar laws with densities.

    b = v + (sigma^2 / 2) grad log p_t, where p_t follows the geodesic and v is its velocity: affine between Gaussians,
    from the monotone map and the densities on a line (`LineProtocol`, to be used as the force of `processes.Langevin`).

    Parameters
    ----------
    p, q, sigma, duration
        As there; a number, or a function of time that gives one, for scalar laws that are not Gaussian.

    Returns
    -------
    OptimalProtocol or LineProtocol
        With `.drift(x, t)`, `.marginal(t)`, `.entropy_production`, `.clock(t)` and `.stiffness(t)`.

    Raises
    ------
    TypeError
        For laws of atoms (nothing holds noisy particles on their geodesic), and in D > 1 for laws that are not
        Gaussian.
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
    noise = Noise(sigma, duration, first)
    if isinstance(first, Gaussian) and isinstance(second, Gaussian):
        ends = (noise.whitened(law, name) for law, name in ((first, "p"), (second, "q")))
        return OptimalProtocol(gaussian_geodesic(*ends), noise.duration, least, noise)  # type: ignore[arg-type]
    path = geodesic(first, second)
    if not isinstance(path, LineGeodesic):
        raise TypeError(
            f"p and q must have densities for a drift that holds the law against the noise; got a "
            f"{type(first).__name__} and a {type(second).__name__}: `geodesic` has their velocities"
        )
    return LineProtocol(path, noise, least)
