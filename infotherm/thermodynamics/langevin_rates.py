"""Entropy production rates of Langevin processes: E[(F - s)^T D (F - s)] with force F and score s."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import integrate
from infotherm.core.quantity import NotApplicable
from infotherm.core.rounding import rounding_error
from infotherm.core.sample_means import from_samples, number_of_samples
from infotherm.core.tensors import Generator, as_generator, stream_of
from infotherm.distributions.base import Distribution
from infotherm.processes import Langevin
from infotherm.processes.grid_density import GridDensity
from infotherm.processes.ring import ring_period
from infotherm.processes.wrapping import wrapped, wrapped_plane
from infotherm.thermodynamics.abrupt_ends import infinite_score
from infotherm.thermodynamics.rates import rate_quantity
from infotherm.thermodynamics.score_mismatch import RATE
from infotherm.thermodynamics.system_and_medium import has_atoms

Squares = Callable[[Tensor, Tensor], Tensor]
"""Of points (..., D) and the scores of the law there (..., D), with values (...)."""


def on_its_space(process: Langevin, p: Distribution) -> Distribution:
    """The law on the ring or torus of a process of one or two coordinates, else p itself."""
    if process.period is not None and p.dim == 2 and not has_atoms(p) and bool(process.period.isfinite().any()):
        return wrapped_plane(p, process.period.expand(2).tolist())
    if process.period is None or p.dim != 1 or not math.isfinite(float(process.period.reshape(-1)[0])):
        return p
    return wrapped(p, ring_period(process))


def squares_of(process: Langevin, t: Any) -> Squares:
    """(F - s)^T D (F - s) with F = D^-1 (b - div D)."""

    def squares(x: Tensor, score: Tensor) -> Tensor:
        away = process.thermodynamic_force(x, t) - score
        return in_metric(process, x, t, away)

    return squares


def in_metric(process: Langevin, x: Tensor, t: Any, vectors: Tensor) -> Tensor:
    """v^T D v at the points x, shapes (..., D) -> (...)."""
    if process.additive:
        diffusion = process.diffusion_matrix(t, x.shape[-1]).to(x)
    else:
        diffusion = process.diffusion_matrix_at(x, t)
    return (vectors * (diffusion @ vectors[..., None])[..., 0]).sum(-1)


def _needs_score(process: Langevin, p: Distribution, *rest: Any) -> None:
    if has_atoms(p):
        raise NotApplicable("p has atoms: no score, and an infinite rate")
    if p.batch_shape:
        raise NotApplicable("a batch of laws: take them one by one")


def _needs_quadrature(process: Langevin, p: Distribution, *rest: Any) -> None:
    _needs_score(process, p)
    if p.dim > 2 or (p.dim == 2 and not isinstance(p, GridDensity)):
        raise NotApplicable(f"quadrature needs D = 1 or a GridDensity; p is {type(p).__name__} with D = {p.dim}")


def _needs_atoms(process: Langevin, p: Distribution, *rest: Any) -> None:
    if not has_atoms(p):
        raise NotApplicable("p has a density")


@rate_quantity.rule(Langevin, Distribution, method="closed-form", when=_needs_atoms)
def atomic_langevin_rate(process: Langevin, p: Distribution, t: Any) -> Estimate:
    """Infinite: the score of an atom is."""
    return certain_infinity(p, RATE)


@rate_quantity.rule(Langevin, Distribution, method="quadrature", when=_needs_quadrature)
def langevin_rate(process: Langevin, p: Distribution, t: Any, *, tolerance: float = 1e-10) -> Estimate:
    """Adaptive quadrature over x, or over the cells of a grid in the plane."""
    p = on_its_space(process, p)
    if runs_off_a_cliff(process, p):
        return certain_infinity(p, RATE)
    return mean_square(process, p, t, squares_of(process, t), tolerance)


@rate_quantity.rule(Langevin, Distribution, method="monte-carlo", when=_needs_score)
def sampled_langevin_rate(
    process: Langevin, p: Distribution, t: Any, *, n_samples: int = 10_000, generator: Generator = None
) -> Estimate:
    """The mean over samples of the law."""
    p = on_its_space(process, p)
    if runs_off_a_cliff(process, p):
        return certain_infinity(p, RATE)
    generator = as_generator(generator, p.device)
    stream = stream_of(generator, p.device)
    x = p.sample((number_of_samples(n_samples),), generator=generator)
    squares = squares_of(process, t)(x, p.score(x))
    slip = getattr(p, "accuracy", 0.0) * float(_sizes(process, t)(x, p.score(x)).mean())
    return from_samples(squares, streams=(stream,), units=RATE, error=slip)


def mean_square(process: Langevin, p: Distribution, t: Any, squares: Squares, tolerance: float = 1e-10) -> Estimate:
    """E of squares of a score and of fields: by quadrature over a scalar law, or the cells of a grid.

    The error is that of the quadrature, plus what the relative error of a grid's density can move the squares by.
    """
    sizes = _sizes(process, t)
    if p.dim == 2:
        assert isinstance(p, GridDensity)

        def both(x: Tensor) -> Tensor:
            score = p.score(x)
            return torch.stack([squares(x, score), sizes(x, score)], -1)

        value, size = p.expectation(both)
        coarse = p.thinned()
        change = (coarse.expectation(lambda x: squares(x, coarse.score(x))) - value).abs() / 3
        error = change + p.accuracy * size + rounding_error([size])
        return Estimate(value, error=error, method="quadrature", units=RATE)

    def integrand(x: Tensor) -> Tensor:
        points = x[..., None]
        log_density = p.log_prob(points)
        filled = log_density > -700
        # far out the density underflows while forces grow: their product is nothing
        inner = torch.where(filled[..., None], points, points[log_density.argmax()])
        score = p.score(inner)
        values = torch.stack([squares(inner, score), sizes(inner, score)], -1)
        return torch.where(filled[..., None], torch.exp(log_density)[..., None] * values, 0.0)

    lower, upper = (end[0] for end in p.bounds())
    integral = integrate(integrand, lower, upper, breakpoints=p.breakpoints(), rtol=tolerance, atol=1e-14)
    value, size = integral.value.unbind(-1)
    known = getattr(p, "accuracy", 0.0) + 3 * getattr(p, "score_accuracy", 0.0)
    error = integral.error[..., 0] + known * size + rounding_error([size])
    info = {} if integral.converged else {"converged": False}
    return Estimate(value, error=error, method="quadrature", units=RATE, info=info)


def _sizes(process: Langevin, t: Any) -> Squares:
    """F^T D F + s^T D s: what the squares are differences of."""

    def sizes(x: Tensor, score: Tensor) -> Tensor:
        force = process.thermodynamic_force(x, t)
        return in_metric(process, x, t, force) + in_metric(process, x, t, score)

    return sizes


def runs_off_a_cliff(process: Langevin, p: Distribution) -> bool:
    """Whether a law (on its space) ends or jumps so abruptly that the current of the noise there is without end."""
    on_ring = p.dim == 1 and process.period is not None and bool(process.period.isfinite().all())
    return bool(infinite_score(p, ring_period(process) if on_ring else None).any())


def certain_infinity(p: Distribution, units: str = "nat") -> Estimate:
    """Infinity, for certain."""
    value = torch.full((), torch.inf, dtype=torch.float64, device=p.device)
    return Estimate(value, error=torch.finfo(torch.float64).tiny, units=units)
