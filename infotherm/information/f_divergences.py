"""Total variation, Hellinger distance, chi-square divergence, and any f-divergence of two laws."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.tensors import Generator
from infotherm.distributions import Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.information.comparisons import (
    by_perspective,
    can_integrate,
    can_sample_both,
    can_sample_first,
    mean_over_both,
    mutually_singular,
    same_atoms,
    sum_by_perspective,
    with_reason,
)
from infotherm.information.expectations import DEFAULT_SAMPLES, draw, log_noise, sample_mean, with_score_gradient
from infotherm.information.gaussian_pairs import equal_covariances, gaussian_renyi, gaussian_total_variation
from infotherm.information.lines import line_breakpoints
from infotherm.information.perspectives import CHI2, HELLINGER, NAMED, TOTAL_VARIATION, Perspective, custom
from infotherm.information.supports import check_pair

_MOST_CROSSINGS = 64  # of nearly equal laws rounding makes any number

_SHARED = """
    Parameters
    ----------
    p, q
        Laws on one space, whose batch shapes broadcast.
    method
        "closed-form" ({closed}; exact sums over atoms; laws of atoms against densities), "quadrature" (`tolerance`,
        relative; D <= 3), "monte-carlo" (`n_samples`, `generator`).

    Returns
    -------
    Estimate
        Shape of the common batch, units "1". Kind "exact" by closed form and quadrature ("unknown" when it did not
        converge), "estimate" by Monte Carlo ("unknown" when few draws dominate).

    Raises
    ------
    ValueError
        When dimensions, alphabets, devices or batch shapes do not fit.
"""

total_variation = Quantity(
    "total_variation",
    accepts=(as_distribution, as_distribution),
    doc=f"""Total variation distance TV(p, q) = sup_A |P(A) - Q(A)| = integral of |p - q| / 2, in [0, 1].
{_SHARED.format(closed="scalar Gaussians, Gaussians of one covariance")}
    References
    ----------
    Tsybakov, Introduction to Nonparametric Estimation (2009), section 2.4.

    Examples
    --------
    >>> from infotherm.distributions import Gaussian
    >>> round(total_variation(Gaussian(0.0, 1.0), Gaussian(2.0, 1.0)).value.item(), 6)
    0.682689
    """,
)

hellinger = Quantity(
    "hellinger",
    accepts=(as_distribution, as_distribution),
    doc=f"""Hellinger distance H(p, q) in [0, 1], with H^2 = 1 - BC and BC = integral of (p q)^(1/2).

    In this convention H^2 = integral of (p^(1/2) - q^(1/2))^2 / 2, and H^2 <= TV <= H (2 - H^2)^(1/2). The gradient at
    p = q, where the distance has a cone, is 0.
{_SHARED.format(closed="Gaussians")}
    References
    ----------
    Tsybakov (2009), section 2.4, which has twice this H^2.

    Examples
    --------
    >>> from infotherm.distributions import Gaussian
    >>> round(hellinger(Gaussian(0.0, 1.0), Gaussian(2.0, 1.0)).value.item(), 6)
    0.627271
    """,
)

chi2 = Quantity(
    "chi2",
    accepts=(as_distribution, as_distribution),
    doc=f"""Chi-square divergence of p from q, integral of (p - q)^2 / q.

    +inf where p has mass outside the support of q; of Gaussians finite only where 2 C_q - C_p is positive definite.
{_SHARED.format(closed="Gaussians")}
    References
    ----------
    Tsybakov (2009), section 2.4; Gil, Alajaji and Linder, Information Sciences 249 (2013) 124.

    Examples
    --------
    >>> from infotherm.distributions import Discrete
    >>> round(chi2(Discrete([0.5, 0.5]), Discrete([0.25, 0.75])).value.item(), 12)
    0.333333333333
    """,
)


def _as_perspective(f: Any, name: str = "f") -> Perspective:
    """A named divergence, a Perspective, or a convex function of t = p/q."""
    if isinstance(f, Perspective):
        return f
    if isinstance(f, str):
        if f not in NAMED:
            raise ValueError(f"{name} must be a convex function or one of {', '.join(sorted(NAMED))}; got {f!r}")
        return NAMED[f]
    return custom(f)


f_divergence = Quantity(
    "f_divergence",
    accepts=(as_distribution, as_distribution, _as_perspective),
    arguments=("p", "q", "f"),
    doc=f"""f-divergence D_f(p || q) = integral of q f(p/q), for a convex f with f(1) = 0.

    f(0) times the mass of q where p = 0, and lim f(t)/t times that of p where q = 0, are part of it.

    Call `f_divergence(p, q, f)` with f a function of tensors t > 0, or one of "kl", "reverse-kl", "chi2",
    "squared-hellinger", "total-variation", "jensen-shannon"; the limits of a function are read off numerically.
{_SHARED.format(closed="none of its own")}
    References
    ----------
    Csiszar, Studia Sci. Math. Hungar. 2 (1967) 299; Liese and Vajda, IEEE Trans. Inf. Theory 52 (2006) 4394.

    Examples
    --------
    >>> from infotherm.distributions import Gaussian
    >>> round(f_divergence(Gaussian(1.0, 1.0), Gaussian(0.0, 1.0), lambda t: t * t.log()).value.item(), 10)
    0.5
    """,
)


# -- mutually singular laws -------------------------------------------------------------------------------------------


def _apart(p: Distribution, q: Distribution, value: float) -> Estimate:
    batch = check_pair(p, q)
    full = torch.full(batch, value, dtype=torch.promote_types(p.dtype, q.dtype), device=p.device)
    info = {"reason": "one law is a sum of atoms, the other has a density"}
    return Estimate(full, error=torch.finfo(full.dtype).tiny, units="1", info=info)


@total_variation.rule(Distribution, Distribution, method="closed-form", when=mutually_singular)
@hellinger.rule(Distribution, Distribution, method="closed-form", when=mutually_singular)
def farthest(p: Distribution, q: Distribution) -> Estimate:
    """The distance 1 of mutually singular laws."""
    return _apart(p, q, 1.0)


@chi2.rule(Distribution, Distribution, method="closed-form", when=mutually_singular)
def infinite(p: Distribution, q: Distribution) -> Estimate:
    """The divergence +inf of mutually singular laws."""
    return _apart(p, q, math.inf)


@f_divergence.rule(Distribution, Distribution, Perspective, method="closed-form", when=mutually_singular)
def of_disjoint_supports(p: Distribution, q: Distribution, f: Perspective) -> Estimate:
    """f(0) + lim f(t)/t."""
    return _apart(p, q, f.only_p + f.only_q)


# -- any f ------------------------------------------------------------------------------------------------------------


@f_divergence.rule(Distribution, Distribution, Perspective, method="closed-form", when=same_atoms)
def f_over_atoms(p: Distribution, q: Distribution, f: Perspective) -> Estimate:
    """sum q f(p/q)."""
    return sum_by_perspective(f, p, q, units="1")


@f_divergence.rule(Distribution, Distribution, Perspective, method="quadrature", when=can_integrate)
def f_by_quadrature(p: Distribution, q: Distribution, f: Perspective, *, tolerance: float | None = None) -> Estimate:
    """The integral of q f(p/q)."""
    extra = crossings(p, q) if f is TOTAL_VARIATION else None
    return by_perspective(f, p, q, tolerance=tolerance, breakpoints=extra).estimate(units="1")


@f_divergence.rule(Distribution, Distribution, Perspective, method="monte-carlo", when=can_sample_both)
def f_by_sampling(
    p: Distribution,
    q: Distribution,
    f: Perspective,
    *,
    n_samples: int = DEFAULT_SAMPLES,
    generator: Generator = None,
) -> Estimate:
    """The mean of q f(p/q) / m over draws of both laws, m = (p + q)/2."""
    return mean_over_both(f, p, q, n_samples, generator, units="1")


# -- total variation --------------------------------------------------------------------------------------------------


def _closed_variation(p: Gaussian, q: Gaussian) -> None:
    check_pair(p, q)
    if p.dim > 1 and not bool(equal_covariances(p, q).all()):
        raise NotApplicable("the covariances differ and D > 1")


@total_variation.rule(Gaussian, Gaussian, method="closed-form", when=_closed_variation)
def gaussian_variation(p: Gaussian, q: Gaussian) -> Estimate:
    """By error functions, between the points where the densities are equal."""
    value, error = gaussian_total_variation(p, q)
    return Estimate(value, error=error, units="1")


@total_variation.rule(Distribution, Distribution, method="closed-form", when=same_atoms)
def variation_over_atoms(p: Distribution, q: Distribution) -> Estimate:
    """sum |p - q| / 2."""
    return sum_by_perspective(TOTAL_VARIATION, p, q, units="1")


@total_variation.rule(Distribution, Distribution, method="quadrature", when=can_integrate)
def variation_by_quadrature(p: Distribution, q: Distribution, *, tolerance: float | None = None) -> Estimate:
    """The integral of |p - q| / 2, broken (D = 1) where the densities cross."""
    result = by_perspective(TOTAL_VARIATION, p, q, tolerance=tolerance, breakpoints=crossings(p, q))
    return result.estimate(units="1")


@total_variation.rule(Distribution, Distribution, method="monte-carlo", when=can_sample_both)
def variation_by_sampling(
    p: Distribution, q: Distribution, *, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None
) -> Estimate:
    """The mean of |p - q| / (p + q) over draws of both laws."""
    return mean_over_both(TOTAL_VARIATION, p, q, n_samples, generator, units="1")


def crossings(p: Distribution, q: Distribution) -> Tensor | None:
    """Points where two scalar densities cross, shape (P, *batch), inf where there are fewer; None without densities.

    Sign changes of log p - log q on a grid between and beyond the breakpoints, bisected. One that the grid misses costs
    accuracy, which the error of the integral then says.
    """
    if p.dim > 1 or "counting" in (p.measure, q.measure):
        return None
    batch = check_pair(p, q)
    dtype = torch.promote_types(p.dtype, q.dtype)
    with torch.no_grad():
        points = line_breakpoints([p, q], batch, dtype)
        middle = torch.where(torch.isfinite(points), points, points.nanmedian(0).values)
        points = torch.where(torch.isfinite(points), points, middle).sort(0).values
        reach = (points[-1] - points[0]).clamp_min(torch.finfo(dtype).tiny)
        outer = reach * torch.logspace(-2, 3, 30, dtype=dtype, device=points.device).reshape(-1, *[1] * len(batch))
        points = torch.cat([(points[0] - outer).flip(0), points, points[-1] + outer])
        steps = torch.linspace(0, 1, 17, dtype=dtype, device=points.device)[:-1].reshape(-1, 1, *[1] * len(batch))
        grid = (points[:-1] + steps * (points[1:] - points[:-1])).movedim(1, 0).flatten(0, 1)

        def difference(x: Tensor) -> Tensor:
            a, b = p.log_prob(x.unsqueeze(-1)), q.log_prob(x.unsqueeze(-1))
            return (a - b).nan_to_num(nan=0.0)

        above = difference(grid) >= 0
        changes = (above[1:] != above[:-1]).expand(len(grid) - 1, *batch)
        count = min(int(changes.sum(0).max()), _MOST_CROSSINGS) if changes.numel() else 0
        if count == 0:
            return None
        order = changes.to(torch.int8).argsort(dim=0, descending=True, stable=True)[:count]
        low, high = grid[:-1].gather(0, order), grid[1:].gather(0, order)
        left = difference(low) >= 0
        for _ in range(60):
            centre = 0.5 * low + 0.5 * high
            stays = (difference(centre) >= 0) == left
            low, high = torch.where(stays, centre, low), torch.where(stays, high, centre)
        return torch.where(changes.gather(0, order), low, math.inf)


# -- Hellinger distance -----------------------------------------------------------------------------------------------


def _root(square: Estimate) -> Estimate:
    """H from H^2, with gradient 0 at 0 and the error of a square root."""
    value = square.value.clamp_min(0.0)
    positive = value > 0
    root = torch.where(positive, torch.where(positive, value, 1.0).sqrt(), 0.0)
    size = root.detach()
    above = (value.detach() + square.error).sqrt() - size
    below = size - (value.detach() - square.error).clamp_min(0.0).sqrt()
    eps, tiny = torch.finfo(size.dtype).eps, torch.finfo(size.dtype).tiny
    error = torch.maximum(above, below) + 4 * eps * size + tiny
    stderr = torch.where(positive, square.stderr / (2 * torch.where(positive, size, 1.0)), square.stderr)
    return Estimate(
        root,
        stderr=stderr,
        error=error,
        kind=square.kind,
        method=square.method,
        units="1",
        streams=square.streams,
        info=square.info,
    )


def _regular_pair(p: Gaussian, q: Gaussian) -> None:
    check_pair(p, q)


@hellinger.rule(Gaussian, Gaussian, method="closed-form", when=_regular_pair)
def gaussian_distance(p: Gaussian, q: Gaussian) -> Estimate:
    """(1 - exp(-D/2))^(1/2) with D the Renyi divergence of order 1/2."""
    divergence, error = gaussian_renyi(p, q, 0.5)
    square = -torch.expm1(-divergence / 2)
    slope = 0.5 * torch.exp(-divergence.detach() / 2)
    eps, tiny = torch.finfo(square.dtype).eps, torch.finfo(square.dtype).tiny
    doubt = torch.where(
        torch.isinf(error), 1.0, slope * error + 0.125 * error.square() + 4 * eps * square.detach() + tiny
    )
    return _root(Estimate(square, error=doubt, units="1"))


@hellinger.rule(Distribution, Distribution, method="closed-form", when=same_atoms)
def distance_over_atoms(p: Distribution, q: Distribution) -> Estimate:
    """The root of sum (p^(1/2) - q^(1/2))^2 / 2."""
    return _root(sum_by_perspective(HELLINGER, p, q, units="1"))


@hellinger.rule(Distribution, Distribution, method="quadrature", when=can_integrate)
def distance_by_quadrature(p: Distribution, q: Distribution, *, tolerance: float | None = None) -> Estimate:
    """The root of the integral of (p^(1/2) - q^(1/2))^2 / 2."""
    return _root(by_perspective(HELLINGER, p, q, tolerance=tolerance).estimate(units="1"))


@hellinger.rule(Distribution, Distribution, method="monte-carlo", when=can_sample_both)
def distance_by_sampling(
    p: Distribution, q: Distribution, *, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None
) -> Estimate:
    """The root of a mean over draws of both laws."""
    return _root(mean_over_both(HELLINGER, p, q, n_samples, generator, units="1"))


# -- chi-square -------------------------------------------------------------------------------------------------------


@chi2.rule(Gaussian, Gaussian, method="closed-form", when=_regular_pair)
def gaussian_chi2(p: Gaussian, q: Gaussian) -> Estimate:
    """exp(D) - 1 with D the Renyi divergence of order 2."""
    divergence, error = gaussian_renyi(p, q, 2.0)
    # where rounding leaves it open whether the divergence exists: a finite value, an infinite error
    value = torch.expm1(torch.where(torch.isinf(error), divergence.clamp(max=80.0), divergence))
    grown = torch.exp(divergence.detach()) * torch.expm1(error)
    eps, tiny = torch.finfo(value.dtype).eps, torch.finfo(value.dtype).tiny
    finite = torch.isfinite(value.detach())
    # a finite divergence whose exponential overflows is not infinite
    overflowed = ~finite & torch.isfinite(divergence.detach())
    doubt = torch.where(finite, grown + 4 * eps * value.detach() + tiny, torch.where(overflowed, math.inf, tiny))
    return with_reason(Estimate(value, error=doubt, units="1"))


@chi2.rule(Distribution, Distribution, method="closed-form", when=same_atoms)
def chi2_over_atoms(p: Distribution, q: Distribution) -> Estimate:
    """sum (p - q)^2 / q."""
    return sum_by_perspective(CHI2, p, q, units="1")


@chi2.rule(Distribution, Distribution, method="quadrature", when=can_integrate)
def chi2_by_quadrature(p: Distribution, q: Distribution, *, tolerance: float | None = None) -> Estimate:
    """The integral of (p - q)^2 / q."""
    return by_perspective(CHI2, p, q, tolerance=tolerance).estimate(units="1")


@chi2.rule(Distribution, Distribution, method="monte-carlo", when=can_sample_first)
def chi2_by_sampling(
    p: Distribution, q: Distribution, *, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None
) -> Estimate:
    """The mean of p/q over draws of p, less one; its variance is often infinite, and the kind then "unknown"."""
    batch = check_pair(p, q)
    x, stream = draw(p, n_samples, generator, len(batch))
    log_p, log_q = p.log_prob(x), q.log_prob(x)
    ratio = (log_p - log_q).exp().expand(n_samples, *batch)
    weighted = with_score_gradient(ratio, log_p)
    noise = ratio.detach().nan_to_num(posinf=0.0) * (log_noise(p, log_p) + log_noise(q, log_q))
    trust = sample_mean(weighted, [stream], units="1", ratios=True, noise=noise)
    less = sample_mean(weighted - 1, [stream], units="1", noise=noise, nonnegative=True)
    doubtful = next((e for e in (trust, less) if e.kind == "unknown"), trust)
    return Estimate(
        less.value,
        stderr=less.stderr,
        error=less.error,
        kind=doubtful.kind,
        method="monte-carlo",
        units="1",
        streams=less.streams,
        info=doubtful.info,
    )
