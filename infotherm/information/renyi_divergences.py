"""Renyi divergences of any order from 0 to infinity, in nats."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.tensors import Generator, as_generator, validating
from infotherm.distributions import Discrete, Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.information.comparisons import (
    by_perspective,
    can_integrate,
    can_sample_first,
    mutually_singular,
    same_atoms,
    sum_by_perspective,
    with_reason,
)
from infotherm.information.divergences import disjoint, kl
from infotherm.information.expectations import DEFAULT_SAMPLES, draw, log_noise, sample_mean, with_score_gradient
from infotherm.information.gaussian_pairs import gaussian_renyi, gaussian_supremum
from infotherm.information.integrals import aligned, total
from infotherm.information.perspectives import power
from infotherm.information.supports import check_pair, require_sampler


def _as_order(order: Any, name: str = "order") -> float:
    if isinstance(order, Tensor) and order.numel() == 1:
        order = order.item()
    if isinstance(order, bool) or not hasattr(order, "__float__"):
        raise TypeError(f"{name} must be a number; got {type(order).__name__}")
    order = float(order)
    if math.isnan(order) or order < 0:
        raise ValueError(f"{name} must be >= 0 (inf is legal); got {order}")
    return order


renyi = Quantity(
    "renyi",
    accepts=(as_distribution, as_distribution, _as_order),
    arguments=("p", "q", "order"),
    doc="""Renyi divergence D_a(p || q) = log(integral of p^a q^(1-a)) / (a - 1) in nats, non-decreasing in the order a.

    Order 1 is KL(p || q), order 0 is -log Q(p > 0), order inf is log sup p/q. For a < 1 it is finite unless the laws
    live on disjoint sets; for a >= 1 it is +inf where p has mass that q has not, or where the integral diverges: of
    Gaussians it is finite only where (1 - a) C_p + a C_q is positive definite.

    Call `renyi(p, q, order)`.

    Parameters
    ----------
    p, q
        Laws on one space, whose batch shapes broadcast.
    order
        A number from 0 to inf.
    method
        "closed-form" (Gaussians; sums over atoms; atoms against a density: +inf), "quadrature" (`tolerance`; D <= 3;
        not for order inf), "monte-carlo" (`n_samples`, `generator`; for a > 1 its variance is often infinite, and the
        kind then "unknown"; of order inf the largest ratio among the draws, a lower bound).

    Returns
    -------
    Estimate
        Shape of the common batch. Kind "exact" by closed form and quadrature; "estimate" by Monte Carlo (order inf:
        "lower").

    Raises
    ------
    ValueError
        When the order is negative or dimensions, alphabets, devices or batch shapes do not fit.

    References
    ----------
    Renyi (1961); van Erven and Harremoes, IEEE Trans. Inf. Theory 60 (2014) 3797, theorems 4 to 7; Gil, Alajaji and
    Linder, Information Sciences 249 (2013) 124, table 2.

    Examples
    --------
    >>> from infotherm.distributions import Discrete, Gaussian
    >>> renyi(Gaussian(1.0, 1.0), Gaussian(0.0, 1.0), 3.0).value.item()
    1.5
    >>> round(renyi(Discrete([0.5, 0.5]), Discrete([0.25, 0.75]), float("inf")).to("bit").value.item(), 12)
    1.0
    """,
)


def _extreme(order: float) -> bool:
    return order in (0.0, 1.0) or math.isinf(order)


@renyi.rule(Distribution, Distribution, float, method="closed-form", when=mutually_singular)
def infinite(p: Distribution, q: Distribution, order: float) -> Estimate:
    """The divergence +inf of mutually singular laws."""
    return disjoint(p, q, math.inf)


# -- closed forms -----------------------------------------------------------------------------------------------------


@renyi.rule(Gaussian, Gaussian, float, method="closed-form")
def gaussian_pair(p: Gaussian, q: Gaussian, order: float) -> Estimate:
    """A quadratic form and log-determinants."""
    batch = check_pair(p, q)
    if order == 1:
        return kl(p, q, method="closed-form")
    if order == 0:
        # equivalent laws have divergence 0, laws on different subspaces are mutually singular
        divergence = kl(p, q, method="closed-form")
        value = torch.where(torch.isinf(divergence.value.detach()), math.inf, 0.0).to(divergence.value.dtype)
        doubt = torch.where(torch.isinf(divergence.error), math.inf, torch.finfo(value.dtype).tiny)
        return Estimate(value.expand(batch), error=doubt)
    value, error = gaussian_supremum(p, q) if math.isinf(order) else gaussian_renyi(p, q, order)
    return _explained(Estimate(value, error=error), order)


def _explained(estimate: Estimate, order: float) -> Estimate:
    if order > 1 and validating(estimate.value) and bool(torch.isinf(estimate.value.detach()).any()):
        info = {"reason": "(1 - a) C_p + a C_q is not positive definite, or the laws live on different subspaces"}
        return Estimate(estimate.value, error=estimate.error, info=info)
    return with_reason(estimate)


@renyi.rule(Distribution, Distribution, float, method="closed-form", when=same_atoms)
def over_atoms(p: Distribution, q: Distribution, order: float) -> Estimate:
    """log(sum p^a q^(1-a)) / (a - 1), and its limits."""
    if order == 1:
        return kl(p, q)
    if order == 0:
        return _of_shared_mass(total(_shared_mass, [p, q], over=[p]), "closed-form")
    if math.isinf(order):
        return _largest_ratio(p, q)
    return _from_power(sum_by_perspective(power(order), p, q, units="1"), order)


def _largest_ratio(p: Distribution, q: Distribution) -> Estimate:
    if isinstance(p, Discrete) and isinstance(q, Discrete):
        log_p, log_q = (log.flatten(-p.dim) for log in torch.broadcast_tensors(p.log_pmf, q.log_pmf))
        axis = -1
    else:
        x = aligned(p.enumerate_support().reshape(-1, *p.batch_shape, p.dim).to(p.dtype), 1, len(check_pair(p, q)))
        log_p, log_q = torch.broadcast_tensors(p.log_prob(x), q.log_prob(x))
        axis = 0
    present = ~torch.isneginf(log_p)
    ratio = torch.where(present, torch.where(present, log_p, 0.0) - torch.where(present, log_q, 0.0), -math.inf)
    value, where = ratio.max(axis, keepdim=True)
    finite = (torch.where(torch.isfinite(log), log, 0.0).abs() for log in (log_p, log_q))
    size = torch.stack([log.gather(axis, where) for log in finite]).sum(0)
    eps, tiny = max(torch.finfo(law.dtype).eps for law in (p, q)), torch.finfo(value.dtype).tiny
    value, error = value.squeeze(axis), (4 * eps * (1 + size.detach())).squeeze(axis)
    return with_reason(Estimate(value, error=torch.where(torch.isinf(value.detach()), tiny, error)))


def _shared_mass(x: Tensor, log_p: Tensor, log_q: Tensor) -> Tensor:
    """q where p > 0."""
    return torch.where(torch.isneginf(log_p) | torch.isneginf(log_q), 0.0, log_q.exp())


def _of_shared_mass(result: Any, method: str) -> Estimate:
    mass = result.value.clamp(max=1.0)
    positive = mass > 0
    safe = torch.where(positive, mass, 1.0)
    value = torch.where(positive, -safe.log(), math.inf)
    doubt = torch.where(positive, -torch.log1p(-(result.error / safe.detach()).clamp(max=1.0)), result.error)
    return Estimate(value, error=doubt, kind="exact" if result.converged else "unknown", method=method)


def _from_power(divergence: Estimate, order: float) -> Estimate:
    """log(1 + a (a - 1) D_f) / (a - 1), with D_f the power divergence."""
    scale = order * (order - 1)
    inside = 1 + scale * divergence.value.detach()
    eps, tiny = torch.finfo(inside.dtype).eps, torch.finfo(inside.dtype).tiny
    finite = torch.isfinite(inside)
    # disjoint laws of order below one: the integral of p^a q^(1-a) vanishes to rounding
    nothing = inside <= 4 * eps * (1 if order < 1 else 0)
    safe = torch.where(finite & ~nothing, divergence.value, 0.0)
    value = torch.log1p(scale * safe) / (order - 1)
    infinite = ~finite | nothing
    value = torch.where(infinite, math.inf, value)
    room = inside.clamp_min(tiny)
    moved = (abs(scale) * divergence.error / room).nan_to_num(posinf=1.0)
    error = -torch.log1p(-moved.clamp(max=1.0)) / abs(order - 1) + 4 * eps * value.detach().abs() + tiny
    stderr = order * divergence.stderr / room
    return with_reason(
        Estimate(
            value,
            stderr=torch.where(infinite, 0.0, stderr),
            error=torch.where(infinite & (divergence.error < 1), tiny, error),
            kind=divergence.kind,
            method=divergence.method,
            streams=divergence.streams,
            info=divergence.info,
        )
    )


# -- quadrature and Monte Carlo ---------------------------------------------------------------------------------------


def _integrable(p: Distribution, q: Distribution, order: float) -> None:
    can_integrate(p, q)
    if math.isinf(order):
        raise NotApplicable("the supremum of p/q is no integral")


@renyi.rule(Distribution, Distribution, float, method="quadrature", when=_integrable)
def by_quadrature(p: Distribution, q: Distribution, order: float, *, tolerance: float | None = None) -> Estimate:
    """The logarithm of an integral."""
    if order == 1:
        return kl(p, q, method="quadrature", tolerance=tolerance)
    if order == 0:
        return _of_shared_mass(total(_shared_mass, [p, q], over=[p], tolerance=tolerance), "quadrature")
    return _from_power(by_perspective(power(order), p, q, tolerance=tolerance).estimate(units="1"), order)


def _sampled(p: Distribution, q: Distribution, order: float) -> None:
    can_sample_first(p, q)
    if order < 0.5:
        require_sampler(q)


@renyi.rule(Distribution, Distribution, float, method="monte-carlo", when=_sampled)
def by_sampling(
    p: Distribution, q: Distribution, order: float, *, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None
) -> Estimate:
    """From the mean of (p/q)^(a-1) over draws of p, or of (p/q)^a over draws of q when a < 1/2 (finite variance)."""
    if order == 1:
        return kl(p, q, method="monte-carlo", n_samples=n_samples, generator=generator)
    batch = check_pair(p, q)
    law = q if order < 0.5 else p
    x, stream = draw(law, n_samples, as_generator(generator, p.device), len(batch))
    log_p, log_q = p.log_prob(x), q.log_prob(x)
    ratio = (log_p - log_q).expand(n_samples, *batch)
    if math.isinf(order):
        return Estimate(
            ratio.amax(0), error=torch.finfo(ratio.dtype).eps, kind="lower", method="monte-carlo", streams=(stream,)
        )
    exponent = order if law is q else order - 1
    if order == 0:
        values = torch.where(torch.isneginf(log_p), 0.0, 1.0).to(ratio.dtype).expand(n_samples, *batch)
    else:
        values = (exponent * ratio).exp()
    weighted = with_score_gradient(values, q.log_prob(x) if law is q else log_p)
    size = values.detach().nan_to_num(posinf=0.0)
    noise = abs(exponent) * size * (log_noise(p, log_p) + log_noise(q, log_q))
    mean = sample_mean(weighted, [stream], units="1", ratios=order > 1, noise=noise)
    # the divergence is not negative: (mean - 1) / (a (a - 1)) is not either
    sign = 1.0 if order > 1 else -1.0
    checked = sample_mean(sign * (values.detach() - 1), [stream], units="1", noise=noise, nonnegative=True)
    doubtful = next((e for e in (mean, checked) if e.kind == "unknown"), mean)
    return _log_mean(mean, order, doubtful)


def _log_mean(mean: Estimate, order: float, doubtful: Estimate) -> Estimate:
    """log(mean) / (a - 1), to first order in the random error."""
    value = mean.value.detach()
    tiny = torch.finfo(value.dtype).tiny
    positive = (value > 0) & torch.isfinite(value)
    safe = torch.where(positive, mean.value, 1.0)
    result = torch.where(positive, safe.log() / (order - 1), math.inf)
    size = safe.detach() * abs(order - 1)
    return Estimate(
        result,
        stderr=torch.where(positive, mean.stderr / size, 0.0),
        error=torch.where(positive, mean.error / size, tiny),
        kind=doubtful.kind if bool(positive.all()) or math.isinf(value.max()) else "unknown",
        method="monte-carlo",
        streams=mean.streams,
        info=doubtful.info,
    )
