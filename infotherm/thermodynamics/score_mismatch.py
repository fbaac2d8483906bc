"""E_p |F x + f - grad log p|^2 in the metric of D: what every entropy production rate of a diffusion is."""

from __future__ import annotations

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.linalg import psd_factor
from infotherm.core.quadrature import integrate
from infotherm.core.rounding import rounding_error
from infotherm.core.sample_means import from_samples, number_of_samples
from infotherm.core.tensors import Generator, as_generator, stream_of
from infotherm.distributions import Gaussian
from infotherm.distributions.base import Distribution

RATE = "nat/time"


def gaussian_mismatch(
    p: Gaussian,
    diffusion: Tensor,
    matrix: Tensor,
    offset: Tensor,
    *,
    accuracy: float = 1.0,
    law_accuracy: float = 4.0,
) -> Estimate:
    """The mismatch of a Gaussian with the affine field F x + f, in closed form.

    With p = law of m + B z: |L^T (F B + B^-T)|^2 + |L^T (F m + f)|^2, D = L L^T; a sum of squares, zero without
    cancellation error at equilibrium. Infinite for a singular p.

    Parameters
    ----------
    p
        Gaussian, batch (...).
    diffusion, matrix, offset
        D (..., D, D), F (..., D, D), f (..., D); their batch broadcasts against that of p.
    accuracy, law_accuracy
        Relative accuracy of F, and of mean and covariance of p, in units of eps.
    """
    root = psd_factor(diffusion)
    spread = p.scale_tril
    one = torch.eye(p.dim, dtype=p.dtype, device=p.device)
    regular = ~p.degenerate
    safe = torch.where(regular[..., None, None], spread, one)
    inverse = torch.linalg.solve_triangular(safe, one.expand_as(safe), upper=False)
    fluctuating = root.mT @ (matrix @ safe + inverse.mT)
    centre = (matrix @ p.mean[..., None])[..., 0] + offset
    pulled = (root.mT @ centre[..., None])[..., 0]
    value = fluctuating.square().sum((-2, -1)) + pulled.square().sum(-1)
    with torch.no_grad():
        error = _arithmetic(root, matrix, offset, safe, inverse, fluctuating, p.mean, pulled, accuracy)
        error = error + rounding_error(
            [value], _sensitivities(p, diffusion, matrix, inverse, centre, accuracy, law_accuracy)
        )
        # a singular law has an infinite score, and that is certain
        error = torch.where(regular, error, torch.finfo(p.dtype).tiny)
    value = torch.where(regular, value, torch.inf)
    return Estimate(value, error=error, units=RATE)


def _arithmetic(
    root: Tensor,
    matrix: Tensor,
    offset: Tensor,
    spread: Tensor,
    inverse: Tensor,
    fluctuating: Tensor,
    mean: Tensor,
    pulled: Tensor,
    accuracy: float,
) -> Tensor:
    """What rounding inside the two squares can amount to: 2 |v| |dv| + |dv|^2 for each."""
    unit = (4 + mean.shape[-1]) * torch.finfo(mean.dtype).eps
    solved = inverse.abs() @ spread.abs() @ inverse.abs()
    first = root.mT.abs() @ (accuracy * matrix.abs() @ spread.abs() + solved.mT) * unit
    second = root.mT.abs() @ (accuracy * matrix.abs() @ mean.abs()[..., None] + offset.abs()[..., None]) * unit
    total = torch.zeros_like(pulled[..., 0])
    for size, slip in ((fluctuating, first), (pulled[..., None], second)):
        slips = slip.square().sum((-2, -1)).sqrt()
        total = total + 2 * size.square().sum((-2, -1)).sqrt() * slips + slips.square()
    return total


def _sensitivities(
    p: Gaussian,
    diffusion: Tensor,
    matrix: Tensor,
    inverse: Tensor,
    centre: Tensor,
    accuracy: float,
    law_accuracy: float,
) -> list[tuple[Tensor, Tensor]]:
    """Slopes times sizes of covariance, mean and force, each known to a few eps."""
    precision = inverse.mT @ inverse
    by_covariance = matrix.mT @ diffusion @ matrix - precision @ diffusion @ precision
    by_mean = 2 * (matrix.mT @ diffusion @ centre[..., None])[..., 0]
    by_offset = 2 * (diffusion @ centre[..., None])[..., 0]
    fluctuation = matrix @ p.covariance + torch.eye(p.dim, dtype=p.dtype, device=p.device)
    by_matrix = 2 * diffusion @ (fluctuation + centre[..., :, None] * p.mean[..., None, :])
    one = torch.ones_like(p.mean[..., 0])
    weighted = (
        law_accuracy * (by_covariance * p.covariance).abs().sum((-2, -1)),
        law_accuracy * (by_mean * p.mean).abs().sum(-1),
        accuracy * (by_offset.abs() * (matrix.abs() @ p.mean.abs()[..., None])[..., 0]).sum(-1),
        accuracy * (by_matrix * matrix).abs().sum((-2, -1)),
    )
    return [(w, one) for w in weighted]


def scalar_mismatch(
    p: Distribution, diffusion: Tensor, matrix: Tensor, offset: Tensor, tolerance: float = 1e-12
) -> Estimate:
    """The mismatch of a scalar law (D = 1) by adaptive quadrature over x.

    Parameters
    ----------
    p
        A law with D = 1, a density and a score.
    diffusion, matrix, offset
        As in `gaussian_mismatch`.
    tolerance
        Relative tolerance of the quadrature.
    """
    force, shift, weight = matrix[..., 0, 0], offset[..., 0], diffusion[..., 0, 0]
    batch = torch.broadcast_shapes(p.batch_shape, force.shape, weight.shape)

    def integrand(x: Tensor) -> Tensor:
        points = x[..., None]
        log_density = p.log_prob(points)
        excess = force * x + shift - p.score(points)[..., 0]
        # far out the density underflows while the score grows: their product is nothing
        return torch.where(log_density > -700, torch.exp(log_density) * excess.square(), 0.0)

    lower, upper = (b[..., 0].expand(batch) for b in p.bounds())
    breakpoints = p.breakpoints()
    if breakpoints.numel():
        own = breakpoints.shape[1:]
        breakpoints = breakpoints.reshape(-1, *[1] * (len(batch) - len(own)), *own).expand(-1, *batch)
    else:
        breakpoints = None
    integral = integrate(integrand, lower, upper, breakpoints=breakpoints, rtol=tolerance)
    value = weight * integral.value
    if not bool(torch.isfinite(value.detach()).all() and torch.isfinite(integral.error).all()):
        raise ValueError("the mean square of force and score has no finite value: the tails of p are too heavy")
    error = weight.detach().abs() * integral.error + rounding_error([value])
    known = getattr(p, "score_accuracy", 0.0)
    if known:
        # a score with the relative error e moves the squares by 2 e |s| |F x + f - s|, at most e (s^2 + square)

        def squared(x: Tensor) -> Tensor:
            log_density, score = p.log_prob(x[..., None]), p.score(x[..., None])[..., 0]
            return torch.where(log_density > -700, torch.exp(log_density) * score.square(), 0.0)

        information = integrate(squared, lower, upper, breakpoints=breakpoints, rtol=1e-3)
        error = error + known * (weight.detach().abs() * (information.value + information.error) + value.detach())
    info = {} if integral.converged else {"converged": False}
    return Estimate(value, error=error, method="quadrature", units=RATE, info=info)


def sampled_mismatch(
    p: Distribution,
    diffusion: Tensor,
    matrix: Tensor,
    offset: Tensor,
    n_samples: int = 10_000,
    generator: Generator = None,
) -> Estimate:
    """The mismatch of any law with a score, averaged over samples.

    Parameters
    ----------
    p
        A law that can be drawn from and has a score.
    diffusion, matrix, offset
        As in `gaussian_mismatch`.
    n_samples, generator
        Number of draws and where they come from.
    """
    generator = as_generator(generator, p.device)
    stream = stream_of(generator, p.device)
    x = p.sample((number_of_samples(n_samples),), generator=generator)
    excess = (matrix @ x[..., None])[..., 0] + offset - p.score(x)
    squares = (excess * (diffusion @ excess[..., None])[..., 0]).sum(-1)
    return from_samples(squares, streams=(stream,), units=RATE)


def quadratic_mean(
    mean: Tensor,
    covariance: Tensor,
    diffusion: Tensor,
    fields: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]],
    *,
    accuracy: float = 1.0,
) -> Estimate:
    """E |(F - G) x + f - g|^2 in the metric of D for two affine fields: needs only mean and covariance of x.

    Parameters
    ----------
    mean, covariance
        Of x, shapes (..., D) and (..., D, D).
    diffusion
        D, shape (..., D, D).
    fields
        The pairs (F, f) and (G, g), shapes (..., D, D) and (..., D).
    accuracy
        Relative accuracy of the fields in units of eps.
    """
    (matrix, offset), (other_matrix, other_offset) = fields
    root = psd_factor(diffusion)
    stretched = root.mT @ (matrix - other_matrix)
    centre = (root.mT @ (((matrix - other_matrix) @ mean[..., None])[..., 0] + offset - other_offset)[..., None])[
        ..., 0
    ]
    value = (stretched @ covariance * stretched).sum((-2, -1)) + centre.square().sum(-1)
    with torch.no_grad():
        # the fields may nearly cancel: their own rounding is what counts
        unit = (7 + accuracy) * mean.shape[-1] * torch.finfo(mean.dtype).eps
        sizes = matrix.abs() + other_matrix.abs()
        spread = covariance.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
        shift = (sizes @ mean.abs()[..., None])[..., 0] + offset.abs() + other_offset.abs()
        slips = unit * root.mT.abs() @ torch.stack([(sizes @ spread[..., None])[..., 0], shift], -1)
        slip = slips.square().sum((-2, -1)).sqrt()
        error = 2 * value.clamp(min=0).sqrt() * slip + slip.square() + rounding_error([value])
    return Estimate(value, error=error, units=RATE)
