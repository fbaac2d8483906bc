"""Entropy production of underdamped Langevin processes: what the irreversible current of the velocities makes.

Velocities are odd. Of the drift only the friction is irreversible; with the noise its current is -(friction / m) w p,
w = v + (T / m) grad_v log p, so that the rate is sum_i (friction / T_i) E w_i^2, whatever the force.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import integrate
from infotherm.core.quantity import NotApplicable
from infotherm.core.rounding import rounding_error
from infotherm.core.sample_means import from_samples, number_of_samples
from infotherm.core.tensors import Generator, as_generator, stream_of
from infotherm.distributions import Gaussian
from infotherm.distributions.base import Distribution
from infotherm.information.entropies import entropy
from infotherm.processes import UnderdampedLangevin
from infotherm.processes.affine import AffineDiffusion
from infotherm.thermodynamics.rates import infinite, rate_quantity
from infotherm.thermodynamics.score_mismatch import RATE
from infotherm.thermodynamics.system_and_medium import has_atoms
from infotherm.thermodynamics.totals import integrated, total_quantity

_TIMES = 33


def _needs_score(process: UnderdampedLangevin, p: Distribution, *rest: Any) -> None:
    if has_atoms(p):
        raise NotApplicable("p has no density: no score, and an infinite rate")


def _needs_atoms(process: UnderdampedLangevin, p: Distribution, *rest: Any) -> None:
    if not has_atoms(p):
        raise NotApplicable("p has a density")


@rate_quantity.rule(UnderdampedLangevin, Gaussian, method="closed-form", when=_needs_score)
def gaussian_underdamped_rate(process: UnderdampedLangevin, p: Gaussian, t: Any) -> Estimate:
    """w is affine in the state: sum_i (friction / T_i) (E[w_i]^2 + Var w_i); the time does not matter."""
    _check_size(process, p)
    size = p.dim // 2
    _, weight, ratio = _coefficients(process, p, size)
    spread = p.scale_tril
    identity = torch.eye(p.dim, dtype=p.dtype, device=p.device).expand(spread.shape)
    inverse = torch.linalg.solve_triangular(spread, identity, upper=False)
    # w of m + B z is m_v + (B_v - (T / m) (B^-T)_v) z
    own, pulled = spread[..., size:, :], ratio[..., None] * inverse.mT[..., size:, :]
    fluctuating = own - pulled
    mean = p.mean[..., size:]
    value = (weight * (mean.square() + fluctuating.square().sum(-1))).sum(-1)
    with torch.no_grad():
        condition = torch.linalg.cond(spread)
        eps = torch.finfo(p.dtype).eps
        slip = 8 * p.dim * eps * condition[..., None] * (own.square() + pulled.square()).sum(-1).sqrt()
        size_of = (mean.square() + fluctuating.square().sum(-1)).sqrt()
        error = (weight * (2 * size_of * slip + slip.square())).sum(-1) + rounding_error([value])
    return Estimate(value, error=error, units=RATE)


@rate_quantity.rule(UnderdampedLangevin, Distribution, method="closed-form", when=_needs_atoms)
def atomic_underdamped_rate(process: UnderdampedLangevin, p: Distribution, t: Any) -> Estimate:
    """Infinite: the score of an atom is."""
    return infinite(p, p.batch_shape, RATE)


@rate_quantity.rule(UnderdampedLangevin, Distribution, method="monte-carlo", when=_needs_score)
def sampled_underdamped_rate(
    process: UnderdampedLangevin, p: Distribution, t: Any, *, n_samples: int = 10_000, generator: Generator = None
) -> Estimate:
    """The mean over samples of the law."""
    _check_size(process, p)
    size = p.dim // 2
    _, weight, ratio = _coefficients(process, p, size)
    generator = as_generator(generator, p.device)
    stream = stream_of(generator, p.device)
    x = p.sample((number_of_samples(n_samples),), generator=generator)
    away = x[..., size:] + ratio * p.score(x)[..., size:]
    return from_samples((weight * away.square()).sum(-1), streams=(stream,), units=RATE)


def _needs_linear_force(process: UnderdampedLangevin, p0: Gaussian, *rest: Any) -> None:
    _needs_score(process, p0)
    if not process.is_static:
        raise NotApplicable("the force is driven: simulate paths")
    if linear_motion(process, p0.dim) is None:
        raise NotApplicable("the force is not linear in the positions: no closed-form law in time, simulate paths")


@total_quantity.rule(UnderdampedLangevin, Gaussian, method="quadrature", when=_needs_linear_force)
def underdamped_total(
    process: UnderdampedLangevin,
    p0: Gaussian,
    start: Tensor,
    end: Tensor,
    *,
    times: Any = None,
    tolerance: float = 1e-11,
) -> Estimate:
    """The integral of the rate along the moments of the linear motion; the balance of system and heat beside it."""
    motion = linear_motion(process, p0.dim)
    assert motion is not None

    def law(t: Tensor) -> Gaussian:
        return motion.transition(start.expand(t.shape), t).output(p0)  # pyright: ignore[reportReturnType]

    total = integrated(lambda t: gaussian_underdamped_rate(process, law(t), t), p0, start, end, tolerance)
    if times is None:
        times = start + torch.linspace(0, 1, _TIMES, dtype=torch.float64).reshape(-1, *[1] * end.ndim) * (end - start)
    grid = times.reshape(len(times), *[1] * (total.value.ndim + 1 - times.ndim), *times.shape[1:])
    size = p0.dim // 2
    wide = Gaussian.from_factor(p0.mean.double(), p0.scale_tril.double())  # a quadrature wants all digits
    mass, weight, _ = _coefficients(process, wide, size)

    def heat_over_temperature(t: Tensor) -> Tensor:
        """sum_i friction (E v_i^2 / T_i - 1 / m_i)."""
        now = motion.transition(start.expand(t.shape), t).output(wide)
        squares = now.covariance.diagonal(dim1=-2, dim2=-1)[..., size:] + now.mean[..., size:].square()
        return (weight * squares - process.friction.to(mass) / mass).sum(-1)

    batch = total.shape
    medium = integrate(heat_over_temperature, start.expand(batch), end.expand(batch))
    system = entropy(law(end)) - entropy(p0)
    heat = medium.value.to(p0.dtype)
    slip = medium.error.to(p0.dtype) + rounding_error([heat])
    parts = {"medium": Estimate(heat, error=slip, method="quadrature"), "system": system}
    rate = gaussian_underdamped_rate(process, law(grid), grid)
    return replace(total, info={**total.info, "rate": rate, "times": times, **parts})


@total_quantity.rule(UnderdampedLangevin, Distribution, method="closed-form", when=_needs_atoms)
def atomic_underdamped_total(process: UnderdampedLangevin, p0: Distribution, start: Tensor, end: Tensor) -> Estimate:
    """Infinite: h(p_0) = -infinity."""
    return infinite(p0, torch.broadcast_shapes(p0.batch_shape, end.shape))


def linear_motion(process: UnderdampedLangevin, dim: int) -> AffineDiffusion | None:
    """The motion of an undriven process as an affine diffusion of (x, v), None where the force is not linear."""
    start = 0.0 if process.start is None else process.start
    units = torch.cat([torch.zeros(1, dim, dtype=torch.float64), torch.eye(dim, dtype=torch.float64)])
    drift = process.drift(units, start)
    offset, matrix = drift[0], (drift[1:] - drift[0]).mT
    probes = 3.0 * torch.sin(torch.arange(1.0, 4 * dim + 1, dtype=torch.float64)).reshape(4, dim)
    expected = probes @ matrix.mT + offset
    if bool(((process.drift(probes, start) - expected).abs() > 1e-9 * (1 + expected.abs().max())).any()):
        return None
    mass = process.mass.expand(dim // 2)
    strength = (2 * process.friction * process.temperature.expand(dim // 2)).sqrt() / mass
    sigma = torch.diag(torch.cat([torch.zeros_like(strength), strength]))
    return AffineDiffusion(matrix, sigma, offset, horizon=process.horizon)


def _coefficients(process: UnderdampedLangevin, p: Distribution, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """m, friction / T and T / m of every position, in the dtype of p."""
    like = torch.empty(0, dtype=p.dtype, device=p.device)
    mass, temperature = (x.to(like).expand(size) for x in (process.mass, process.temperature))
    return mass, process.friction.to(like) / temperature, temperature / mass


def _check_size(process: UnderdampedLangevin, p: Distribution) -> None:
    if p.dim % 2 or process.dim not in (None, p.dim):
        raise ValueError(
            f"p must be a law of positions and velocities, D = {process.dim or 'an even number'}; got D = {p.dim}"
        )
