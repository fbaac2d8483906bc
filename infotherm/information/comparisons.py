"""Two laws compared through a function of their densities: sums, integrals, sample means, and when each applies."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.tensors import Generator, as_generator, validating
from infotherm.distributions import Discrete
from infotherm.distributions.base import Distribution
from infotherm.information.expectations import draw, log_noise, sample_mean, with_score_gradient
from infotherm.information.integrals import Total, total
from infotherm.information.perspectives import Perspective
from infotherm.information.supports import (
    check_pair,
    require_atoms,
    require_carriers,
    require_comparable,
    require_sampler,
    require_singular,
)

_POOR = 1e-9  # relative error above which the plain integrand is tried beside the centred one,
_NEGLIGIBLE = 1e-13  # unless the error is below this


# -- predicates; further positional arguments (an order, a function) do not matter to them ----------------------------


def mutually_singular(p: Distribution, q: Distribution, *_: Any) -> None:
    """Atoms against a density."""
    require_singular(p, q)


def same_atoms(p: Distribution, q: Distribution, *_: Any) -> None:
    """Finitely many atoms on both sides."""
    check_pair(p, q)
    require_atoms(p, q)


def can_integrate(p: Distribution, q: Distribution, *_: Any) -> None:
    """Atoms and densities of both laws are known, D <= 3."""
    check_pair(p, q)
    require_carriers(p, q)


def can_sample_first(p: Distribution, q: Distribution, *_: Any) -> None:
    """p can be sampled and both log-densities refer to one measure."""
    check_pair(p, q)
    require_comparable(p, q)
    require_sampler(p)


def can_sample_both(p: Distribution, q: Distribution, *_: Any) -> None:
    """Both laws can be sampled and their log-densities refer to one measure."""
    can_sample_first(p, q)
    require_sampler(q)


# -- sums and integrals -----------------------------------------------------------------------------------------------


def sum_by_perspective(f: Perspective, p: Distribution, q: Distribution, *, units: str) -> Estimate:
    """sum q f(p/q) over the atoms of both laws, exactly."""
    if isinstance(p, Discrete) and isinstance(q, Discrete):
        return _sum_over_alphabet(f, p, q, units)
    result = total(lambda x, log_p, log_q: f(log_p, log_q), [p, q])
    return with_reason(Estimate(result.value, error=result.error, units=units))


def _sum_over_alphabet(f: Perspective, p: Discrete, q: Discrete, units: str) -> Estimate:
    """The same for pmfs on one alphabet, without looking for equal atoms; works inside transforms."""
    batch, axes = check_pair(p, q), tuple(range(-p.dim, 0))
    log_p, log_q = torch.broadcast_tensors(p.log_pmf, q.log_pmf)
    terms = f(log_p, log_q)
    value = terms.sum(axes)
    eps, tiny = torch.finfo(value.dtype).eps, torch.finfo(value.dtype).tiny
    # a few units in the last place of every term, and one of every probability, to second order
    logs = [log.detach() for log in (log_p, log_q)]
    size = torch.where(torch.isfinite(terms.detach()), terms.detach().abs(), 0.0)
    error = 4 * eps * size.sum(axes)
    for which, log in enumerate(logs):
        shift = 4 * torch.finfo((p, q)[which].dtype).eps * (1 + torch.where(torch.isfinite(log), log, 0.0).abs())
        moved = [other + (shift if i == which else 0.0) for i, other in enumerate(logs)]
        change = (f(*moved) - terms.detach()).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).abs()
        error = error + (change + log.exp() * shift.square()).sum(axes)
    finite = torch.isfinite(value.detach())
    estimate = Estimate(value.expand(batch), error=torch.where(finite, error + tiny, tiny).expand(batch), units=units)
    return with_reason(estimate)


def with_reason(estimate: Estimate) -> Estimate:
    """The same Estimate, which says why it is infinite where it is."""
    if not validating(estimate.value) or not bool(torch.isposinf(estimate.value).any()):
        return estimate
    info = {"reason": "one law has mass outside the support of the other"} | dict(estimate.info)
    return Estimate(
        estimate.value,
        stderr=estimate.stderr,
        error=estimate.error,
        kind=estimate.kind,
        method=estimate.method,
        units=estimate.units,
        streams=estimate.streams,
        info=info,
    )


def by_perspective(
    f: Perspective,
    p: Distribution,
    q: Distribution,
    *,
    tolerance: float | None = None,
    breakpoints: Tensor | None = None,
) -> Total:
    """The sum over atoms and integral over densities of q f(p/q).

    First in the centred form over both supports, which keeps its relative accuracy for nearly equal laws; where that
    is poor (q has singular ends, or unbounded mass far from p) also in the plain form over the support of p, and for
    every element of the batch the better of the two is taken.
    """
    centred = total(
        lambda x, log_p, log_q: f(log_p, log_q),
        [p, q],
        tolerance=tolerance,
        breakpoints=breakpoints,
        quiet=f.plain is not None,
    )
    wanted = _POOR if tolerance is None else max(_POOR, tolerance)
    poor = centred.error > wanted * centred.value.detach().abs()
    poor = poor & (centred.error > _NEGLIGIBLE)
    if f.plain is None or (centred.converged and not bool(poor.any())) or p.dim > 1:
        return centred
    plain = total(lambda x, log_p, log_q: f.along_p(log_p, log_q), [p, q], over=[p], tolerance=tolerance, quiet=True)
    value, error = (plain.value - f.offset) * f.scale, plain.error * abs(f.scale)
    error = error + 4 * torch.finfo(value.dtype).eps * abs(f.offset * f.scale)
    finite = torch.isfinite(value.detach()) & torch.isfinite(centred.value.detach())
    better = finite & (error < centred.error)
    return Total(
        torch.where(better, value, centred.value),
        torch.where(better, error, centred.error),
        centred.converged or (plain.converged and bool(better.all())),
        centred.evaluations + plain.evaluations,
        centred.divergent,
    )


# -- sample means -----------------------------------------------------------------------------------------------------


def mean_over_both(
    f: Perspective, p: Distribution, q: Distribution, n_samples: int, generator: Generator, *, units: str
) -> Estimate:
    """The mean of q f(p/q) / m over draws from the balanced mixture m = (p + q)/2, half from each law.

    For total variation, Hellinger and Jensen-Shannon the integrand is bounded, so that the variance always exists.
    """
    batch = check_pair(p, q)
    generator = as_generator(generator, p.device)
    halves = []
    ratios = math.isinf(f.only_p + f.only_q) and f.name not in ("kl", "reverse-kl")
    for law in (p, q):
        x, stream = draw(law, max(2, n_samples // 2), generator, len(batch))
        logs = p.log_prob(x), q.log_prob(x)
        middle = torch.logaddexp(*torch.broadcast_tensors(*logs)) - math.log(2)
        values = f(logs[0] - middle, logs[1] - middle).expand(x.shape[0], *batch)
        noise = torch.zeros_like(values.detach())
        for which, shift in enumerate((log_noise(p, logs[0]), log_noise(q, logs[1]))):
            moved = [log.detach() - middle.detach() + (shift if i == which else 0.0) for i, log in enumerate(logs)]
            noise = noise + (f(*moved) - values.detach()).abs().nan_to_num(nan=0.0, posinf=0.0)
        weighted = with_score_gradient(values, law.log_prob(x))
        # convex in the share of p in m: largest where only one law has mass
        limits = {"noise": noise, "nonnegative": True, "bound": 2 * max(f.only_p, f.only_q)}
        halves.append(sample_mean(weighted, [stream], units=units, ratios=ratios, **limits))
    return _averaged(*halves)


def _averaged(first: Estimate, second: Estimate) -> Estimate:
    """The mean of two independent sample means; a rare event in one of them counts by its part in the sum."""
    info: dict[str, Any] = {"n": first.info["n"] + second.info["n"]}
    kinds = {first.kind, second.kind}
    if "effective_sample_size" in first.info:
        info["effective_sample_size"] = min(e.info["effective_sample_size"] for e in (first, second))
        keys = ("largest_share", "tail_index") if "tail_index" in first.info else ("largest_share",)
        info |= {key: max(e.info[key] for e in (first, second)) for key in keys}
    if "reason" in first.info or "reason" in second.info:
        info["reason"] = first.info.get("reason", second.info.get("reason"))
    return Estimate(
        (first.value + second.value) / 2,
        stderr=torch.hypot(first.stderr, second.stderr) / 2,
        error=(first.error + second.error) / 2,
        kind="unknown" if "unknown" in kinds else "estimate",
        method="monte-carlo",
        units=first.units,
        streams=(*first.streams, *second.streams),
        info=info,
    )
