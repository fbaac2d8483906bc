"""The path of laws that a process takes through the Wasserstein metric: its speed, its length and its action."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infotherm.channels.posterior import like
from infotherm.core.estimate import Estimate
from infotherm.core.linalg import lyapunov
from infotherm.core.quadrature import integrate
from infotherm.core.tensors import as_tensor, require_finite, validating
from infotherm.distributions import Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.information.expectations import expectation_by_quadrature
from infotherm.processes import AffineProcess


def wasserstein_speed(
    process: AffineProcess, p0: Any, t: Any, *, start: Any = None, tolerance: float = 1e-11
) -> Estimate:
    r"""The speed of the law of a process in the Wasserstein-2 metric, lim W2(p_t, p_(t + h)) / h.

    It is the root of the least E|v|^2 of all velocity fields that move the law as it moves. In one dimension, and
    wherever the probability-flow velocity nu = b - D grad log p is a gradient, that is (E|nu|^2)^(1/2); a rotation that
    leaves the law as it is does not count. For a Gaussian, v^2 = |m'|^2 + tr(V C') / 2 with V C + C V = C', for any
    D(t) and any affine drift.

    Parameters
    ----------
    process
        An affine process.
    p0
        The law at the time `start`: a Gaussian of full rank in any dimension, or a scalar law with a density whose law
        in time is known (mixtures of Gaussians), any batch.
    t
        Time >= start, any shape that broadcasts against the batch.
    start
        When the law is p0; the first time of the process unless given.
    tolerance
        Of the quadrature over x (scalar laws that are not Gaussian).

    Returns
    -------
    Estimate
        Units "1/time" (coordinates are pure numbers), shape of the batch. Kind "exact", by closed form or quadrature.

    Raises
    ------
    TypeError
        For a process that is not affine.
    ValueError
        For a law without a density (its speed is infinite), t before the start or where the process is not defined.
    NotImplementedError
        For a law of several dimensions that is not Gaussian.

    References
    ----------
    Ambrosio, Gigli and Savare, Gradient Flows (2005), theorem 8.3.1; Takatsu, Osaka J. Math. 48 (2011) 1005
    (Gaussians).

    Examples
    --------
    >>> from infotherm.processes import OrnsteinUhlenbeck
    >>> wasserstein_speed(OrnsteinUhlenbeck(rate=1.0, sigma=2.0**0.5), Gaussian(2.0, 1.0), 0.0).value
    tensor(2., dtype=torch.float64)
    """
    process, law, begin = path_setting(process, p0, start)
    t = require_finite(as_tensor(t, "t", dtype=torch.float64, device=law.device), "t")
    return speed_at(process, law, begin, t, tolerance)


def path_length(
    process: AffineProcess, p0: Any, duration: Any, *, start: Any = None, tolerance: float = 1e-10
) -> Estimate:
    """The length of the path of laws in the Wasserstein-2 metric, the integral of `wasserstein_speed`.

    At least the distance W2 of its ends, and equal to it on a geodesic.

    Parameters
    ----------
    process, p0, start
        As for `wasserstein_speed`.
    duration
        How long, > 0; broadcasts against the batch. That of a straight line is finite up to its horizon, where its
        noise is not.
    tolerance
        Relative tolerance of the quadrature over time.

    Returns
    -------
    Estimate
        Units "1", kind "exact" by quadrature.

    Raises
    ------
    ValueError
        As `wasserstein_speed`; when the duration is not positive.

    References
    ----------
    Ambrosio, Gigli and Savare, Gradient Flows (2005), section 1.1.

    Examples
    --------
    >>> from infotherm.processes import VariancePreserving
    >>> path_length(VariancePreserving(), Gaussian(2.0, 1.0), 1.0).value  # the mean alone moves: W2
    tensor(1.7360, dtype=torch.float64)
    """
    return along_path(*path_setting(process, p0, start), duration, 1, tolerance)


def path_action(
    process: AffineProcess, p0: Any, duration: Any, *, start: Any = None, tolerance: float = 1e-10
) -> Estimate:
    """The action of the path of laws, the integral of the squared `wasserstein_speed`: >= length^2 / T >= W2^2 / T.

    With isotropic noise it is the integral of D(t) times the entropy production rate (of its excess part, where the
    force is not a gradient). Unlike the entropy production it depends on how the path is run in time, not on the noise.

    Parameters
    ----------
    process, p0, duration, start, tolerance
        As for `path_length`.

    Returns
    -------
    Estimate
        Kind "exact" by quadrature. Units "1", so that times the duration it compares with squared distances.

    Raises
    ------
    ValueError
        As `path_length`.

    References
    ----------
    Benamou and Brenier, Numer. Math. 84 (2000) 375.

    Examples
    --------
    >>> from infotherm.processes import OrnsteinUhlenbeck
    >>> path_action(OrnsteinUhlenbeck(rate=1.0, sigma=2.0**0.5), Gaussian(2.0, 1.0), 1.0).value  # 2 (1 - e^-2)
    tensor(1.7293, dtype=torch.float64)
    """
    return along_path(*path_setting(process, p0, start), duration, 2, tolerance)


# -- what they are made of ---------------------------------------------------------------------------------------------


def path_setting(process: Any, p0: Any, start: Any) -> tuple[AffineProcess, Distribution, Tensor]:
    """The process, the law at the start and the time of the start.

    Raises
    ------
    TypeError
        When the process is not affine.
    """
    if not isinstance(process, AffineProcess):
        raise TypeError(f"process must be an affine diffusion; got {type(process).__name__}")
    law = as_distribution(p0, "p0")
    begin = (process.start or 0.0) if start is None else start
    return process, law, require_finite(as_tensor(begin, "start", dtype=torch.float64, device=law.device), "start")


def positive_duration(duration: Any, law: Distribution) -> Tensor:
    """The duration in float64.

    Raises
    ------
    ValueError
        When it is not positive.
    """
    span = require_finite(as_tensor(duration, "duration", dtype=torch.float64, device=law.device), "duration")
    if validating(span) and not bool((span > 0).all()):
        raise ValueError(f"duration must be > 0; got {span.min().item()}")
    return span


def speed_at(process: AffineProcess, p0: Distribution, begin: Tensor, t: Tensor, tolerance: float) -> Estimate:
    """The Wasserstein speed at times t of the law that is p0 at `begin`."""
    begin, t = torch.broadcast_tensors(begin, t)
    law = process.transition(begin, t).output(p0)
    drift, offset, diffusion = (
        like(field(t, p0.dim), law.mean)
        for field in (process.drift_matrix, process.drift_offset, process.diffusion_matrix)
    )
    if isinstance(law, Gaussian):
        if bool(law.degenerate.any()):
            raise ValueError("p0 must have a density: the covariance is singular, and the speed of its law infinite")
        return _gaussian_speed(law, drift, offset, diffusion, process.transition_accuracy)
    if law.measure != "lebesgue":
        raise ValueError(f"p0 must have a density: the law is {law.measure}, and its speed infinite at the start")
    if law.dim != 1:
        raise NotImplementedError(f"laws that are not Gaussian must be scalar; got D = {law.dim}")

    def squared(x: Tensor) -> Tensor:
        velocity = drift[..., 0, 0] * x[..., 0] + offset[..., 0] - diffusion[..., 0, 0] * law.score(x)[..., 0]
        return velocity.square()

    found = expectation_by_quadrature(law, squared, tolerance=tolerance, units="1")
    root = found.sqrt()
    # a law known to the relative accuracy of the transition moves as much slower or faster
    error = root.error + 4 * process.transition_accuracy * root.value.detach()
    return Estimate(root.value, error=error, method="quadrature", units="1/time", info=found.info)


def _gaussian_speed(law: Gaussian, drift: Tensor, offset: Tensor, diffusion: Tensor, accuracy: float) -> Estimate:
    mean, covariance = law.mean, law.covariance
    shift = (drift @ mean[..., None])[..., 0] + offset
    turned = drift @ covariance
    change = turned + turned.mT + 2 * diffusion
    covariance = covariance.expand(change.shape)
    stretch = lyapunov(covariance, change)
    square = shift.square().sum(-1) + 0.5 * (stretch * change).sum((-2, -1))
    moving = square > 0
    value = torch.where(moving, torch.where(moving, square, 1.0).sqrt(), 0.0)
    with torch.no_grad():
        unit = (8 + law.dim) * torch.finfo(mean.dtype).eps + accuracy
        spread = torch.linalg.eigvalsh(covariance)
        least = spread[..., 0].clamp(min=torch.finfo(mean.dtype).tiny)
        sizes = 2 * drift.abs() @ covariance.abs() + 2 * diffusion.abs()
        slip = torch.linalg.matrix_norm(unit * sizes) / (2 * least.sqrt())
        moved = torch.linalg.vector_norm(unit * ((drift.abs() @ mean.abs()[..., None])[..., 0] + offset.abs()), dim=-1)
        error = slip + moved + value * unit * spread[..., -1] / least + torch.finfo(mean.dtype).tiny
    return Estimate(value, error=error, units="1/time")


def along_path(
    process: AffineProcess, p0: Distribution, begin: Tensor, duration: Any, power: int, tolerance: float
) -> Estimate:
    """The integral of a power (1 or 2) of the speed, in the root of the time passed: narrow laws spread quickly."""
    span = positive_duration(duration, p0)
    batch = torch.broadcast_shapes(p0.batch_shape, begin.shape, span.shape, process.batch_shape)
    begin, root_span = begin.expand(batch), span.expand(batch).sqrt()
    worst: list[Tensor] = []

    def uncertainty(speed: Estimate) -> Tensor:
        return speed.error if power == 1 else 2 * speed.value.detach() * speed.error + speed.error.square()

    def integrand(root: Tensor) -> Tensor:
        found = speed_at(process, p0, begin, begin + root.square(), 0.1 * tolerance)
        worst.append((2 * root * uncertainty(found).to(root)).amax())
        return 2 * root * found.value.to(root) ** power

    # of a law at rest the speed is rounding, and no relative tolerance can be met
    middle = speed_at(process, p0, begin, begin + 0.25 * root_span.square(), 0.1 * tolerance)
    floor = float((uncertainty(middle).to(root_span) * root_span.square()).min())

    steps = torch.pow(2.0, -torch.arange(1.0, 8.0, dtype=torch.float64, device=span.device))
    breakpoints = steps.reshape(-1, *[1] * len(batch)) * root_span
    integral = integrate(
        integrand, torch.zeros_like(root_span), root_span, breakpoints=breakpoints, rtol=tolerance, atol=floor
    )
    error = integral.error + torch.stack(worst).amax() * root_span
    info = {} if integral.converged else {"converged": False}
    return Estimate(integral.value.to(p0.dtype), error=error.to(p0.dtype), method="quadrature", units="1", info=info)
