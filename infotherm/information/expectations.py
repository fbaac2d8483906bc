"""Expectations under a law: by sums and quadrature, and by Monte Carlo with a standard error and its limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.sample_means import from_samples
from infotherm.core.tensors import Generator, as_generator, stream_of, validating
from infotherm.distributions.base import Distribution
from infotherm.information.integrals import Total, aligned, total

DEFAULT_SAMPLES = 10_000
FEWEST_EFFECTIVE = 100  # below this effective sample size a standard error is not trusted
LARGEST_SHARE = 0.05  # nor when one draw makes up more of the sum
LEAST_SPREAD = 1e-9  # nor values that all but agree: their spread, relative to their size, is below this
_RULE_OF_THREE = 3 / 1.96  # in standard errors: what n draws that all agree say at 95 %
_BELOW_ZERO = 3.0  # standard errors by which a divergence may lie below zero by chance
_TAIL_NOISE = 3.0  # nor ratios whose tail index is above 1/2 (no variance) by this / (values in the tail)^(1/2)


def expectation_by_quadrature(
    p: Distribution, function: Callable[[Tensor], Tensor], *, tolerance: float | None = None, units: str = "nat"
) -> Estimate:
    """The expectation E_p[function(X)] as a sum over the atoms and an integral over the density of p (D <= 3).

    Shape (*batch) of p; kind "exact" by quadrature. `function` maps points (M, *batch, D) to (M, *batch) and is not
    asked for more than finite values where p > 0. The error counts a log-density's worth of rounding for `function`.

    Raises
    ------
    NotImplementedError
        When atoms and density of p are not known, or D > 3.

    Examples
    --------
    >>> from infotherm.distributions import Gaussian
    >>> round(expectation_by_quadrature(Gaussian(1.0, 2.0), lambda x: x[..., 0] ** 2, units="1").value.item(), 10)
    3.0
    """
    if p.dim > 3 and p.measure != "counting":
        raise NotImplementedError(f"quadrature takes D <= 3; D = {p.dim}")

    def f(x: Tensor, log_p: Tensor) -> Tensor:
        mass = torch.where(torch.isneginf(log_p), 0.0, log_p.exp())
        return torch.where(mass > 0, mass * torch.where(mass > 0, function(x), 0.0), 0.0)

    result = total(f, [p], tolerance=tolerance)
    eps = torch.finfo(result.value.dtype).eps
    return Total(
        result.value, result.error + 8 * eps * (1 + result.value.detach().abs()), result.converged, result.evaluations
    ).estimate(units=units)


def expectation_by_sampling(
    p: Distribution,
    function: Callable[[Tensor], Tensor],
    *,
    n_samples: int = DEFAULT_SAMPLES,
    generator: Generator = None,
    units: str = "nat",
    nonnegative: bool = False,
    **info: Any,
) -> Estimate:
    """The sample mean of function(X) over draws of p, with its standard error.

    Shape (*batch) of p; kind "estimate", or "unknown" where few draws dominate (see `sample_mean`). The draws carry no
    gradient; the derivative with respect to the parameters of p comes through the score function and is unbiased.

    Examples
    --------
    >>> from infotherm.distributions import Gaussian
    >>> est = expectation_by_sampling(Gaussian(0.0, 1.0), lambda x: x[..., 0] ** 2, n_samples=1000, generator=0)
    >>> est.kind, bool((est.value - 1).abs() < 5 * est.stderr)
    ('estimate', True)
    """
    x, stream = draw(p, n_samples, generator)
    log_p = p.log_prob(x)
    values = with_score_gradient(function(x), log_p)
    # what cannot be negative is made of log-densities, and has their rounding
    noise = log_noise(p, log_p) if nonnegative else None
    return sample_mean(values, [stream], units=units, nonnegative=nonnegative, noise=noise, **info)


def log_noise(law: Distribution, log: Tensor) -> Tensor:
    """How far rounding may move log-densities of a law: 8 units in the last place of its own dtype, no gradient."""
    log = log.detach()
    return 8 * torch.finfo(law.dtype).eps * (1 + torch.where(torch.isfinite(log), log, 0.0).abs())


def draw(p: Distribution, n_samples: int, generator: Generator = None, batch: int = 0) -> tuple[Tensor, str]:
    """Draws (n, *batch, D) without gradient, broadcastable with `batch` batch axes, and the name of their stream.

    Raises
    ------
    ValueError
        When n_samples is not an integer of at least 2.
    """
    if isinstance(n_samples, bool) or not isinstance(n_samples, int) or n_samples < 2:
        raise ValueError(f"n_samples must be an integer of at least 2; got {n_samples!r}")
    generator = as_generator(generator, p.device)
    stream = stream_of(generator, p.device)
    x = p.sample((n_samples,), generator=generator).detach()
    return aligned(x.to(p.dtype), 1, batch), stream


def with_score_gradient(values: Tensor, log_p: Tensor) -> Tensor:
    """The same values, whose sample mean has the gradient of E_p[values] also through the law of the draws.

    d E[h] = E[dh + (h - b) d log p]: every value is multiplied by exp(log p - stopped log p), which is one. The
    baseline b is the mean of the *other* values, so that the gradient stays unbiased and loses most of its variance.
    """
    if not log_p.requires_grad and validating(log_p):
        return values
    one = torch.exp(log_p - log_p.detach())
    n = values.shape[0]
    known = values.detach()
    baseline = (known.sum(0, keepdim=True) - known) / max(n - 1, 1)
    return values * one - torch.where(torch.isfinite(baseline), baseline, 0.0) * (one - 1)


def sample_mean(
    values: Tensor,
    streams: Sequence[str],
    *,
    units: str = "nat",
    ratios: bool = False,
    noise: Tensor | None = None,
    nonnegative: bool = False,
    bound: float = math.inf,
    **info: Any,
) -> Estimate:
    """The mean over the first axis with its standard error, and whether that can be trusted.

    `info` says the effective sample size (sum |v|)^2 / sum v^2 and the largest share of one draw in sum |v|, the worst
    of the batch. The kind is "unknown" when the first is below 100 or the second above 5 %: rare events or a heavy tail
    dominate, and the standard error of what was seen says nothing about what was not. Of density `ratios`, whose
    variance is often infinite without any draw showing it, the tail index must not be clearly above 1/2 either.

    `noise` says how far rounding moves each value; its mean joins the error. Values whose spread is no more than that
    (or nothing) make the kind "unknown", since they say nothing about rare events that all draws missed; where the
    values lie between 0 and a finite `bound` the standard error is then that of the rule of three, 3 bound / n at 95 %.
    A mean below zero, beyond its error, of a `nonnegative` quantity makes it "unknown" too: the draws missed some mass.
    """
    infinite = torch.isposinf(values.detach()).any(0)
    finite = torch.where(torch.isposinf(values), 0.0, values)
    if validating(finite) and not bool(torch.isfinite(finite).all()):
        raise ValueError("a log-density is NaN or -inf at a draw of its own law")
    size = finite.detach().abs()
    top, sums = size.amax(0), size.sum(0)
    scaled = size / torch.where(top > 0, top, torch.ones_like(top))
    share = torch.where(sums > 0, top / torch.where(sums > 0, sums, torch.ones_like(sums)), 1 / len(values))
    squares = scaled.square().sum(0)
    effective = torch.where(sums > 0, scaled.sum(0).square() / squares.clamp_min(1e-300), float(len(values)))
    kind, least = "estimate", None
    if validating(values):
        trusted = (effective >= FEWEST_EFFECTIVE) & (share <= LARGEST_SHARE)
        if ratios:
            tail = tail_index(size)
            trusted = trusted & (tail <= 0.5 + _TAIL_NOISE / math.sqrt(tail_count(len(values))))
            info["tail_index"] = float(tail.amax()) if tail.numel() else math.nan
        trusted = trusted | infinite
        reason = "few draws dominate: the standard error cannot be trusted"
        spread, mean = finite.detach().std(0), finite.detach().mean(0)
        floor = LEAST_SPREAD * size.mean(0)
        if noise is not None:
            floor = torch.maximum(floor, noise.expand_as(values).mean(0))
        alike = (spread <= floor) & ~infinite
        if bool(alike.any()) and math.isfinite(bound):
            least = torch.where(alike, _RULE_OF_THREE * bound / len(values), 0.0)
        elif bool(alike.any()):
            trusted, reason = (
                trusted & ~alike,
                "all draws gave (almost) one value: its spread says nothing of its error",
            )
        if nonnegative:
            below = (mean + _BELOW_ZERO * spread / math.sqrt(len(values)) + floor < 0) & ~infinite
            if bool(below.any()):
                trusted, reason = (
                    trusted & ~below,
                    "below zero, which is impossible: the draws missed a part of the mass",
                )
        kind = "estimate" if bool(trusted.all()) else "unknown"
        info |= {
            "effective_sample_size": float(effective.amin()) if effective.numel() else math.nan,
            "largest_share": float(share.amax()) if share.numel() else math.nan,
        }
        if kind == "unknown":
            info["reason"] = reason
        if bool(infinite.any()):
            info["reason"] = "infinite: a draw of p lies where q = 0"
    error = 0.0 if noise is None else torch.where(torch.isposinf(values.detach()), 0.0, noise.expand_as(values)).mean(0)
    estimate = from_samples(finite, streams=streams, error=error, kind=kind, units=units, **info)
    if least is not None:
        estimate = replaced(estimate, stderr=torch.maximum(estimate.stderr, least))
    if not validating(values) or not bool(infinite.any()):
        return estimate
    tiny = torch.finfo(estimate.value.dtype).tiny
    return replaced(
        estimate,
        value=torch.where(infinite, math.inf, estimate.value),
        stderr=torch.where(infinite, 0.0, estimate.stderr),
        error=torch.where(infinite, tiny, estimate.error),
    )


def replaced(estimate: Estimate, **fields: Any) -> Estimate:
    """The same Estimate with other fields."""
    names = ("value", "stderr", "error", "kind", "method", "units", "streams", "info")
    kept = {name: fields.get(name, getattr(estimate, name)) for name in names}
    return Estimate(kept.pop("value"), **kept)


def tail_index(values: Tensor) -> Tensor:
    """The index xi of the tail of positive numbers along the first axis: P(V > v) falls as v^(-1/xi).

    That of a generalised Pareto law fitted to the largest 3 n^(1/2) excesses by probability-weighted moments; zero for
    exponential tails, -inf where nothing can be fitted (fewer than 100 values, or many ties at the top).

    References
    ----------
    Hosking and Wallis, Technometrics 29 (1987) 339; Vehtari et al., J. Mach. Learn. Res. 25 (2024) 72.

    Examples
    --------
    >>> uniform = torch.linspace(0, 0.9999, 9999, dtype=torch.float64)
    >>> abs(tail_index(-torch.log1p(-uniform)).item()) < 0.1
    True
    """
    n = len(values)
    if n < 100:
        return torch.full(values.shape[1:], -math.inf, dtype=values.dtype, device=values.device)
    count = tail_count(n)
    top = values.topk(count + 1, dim=0).values.flip(0)
    excess = top[1:] - top[0]
    rank = (torch.arange(count, dtype=values.dtype, device=values.device) + 0.5) / count
    first = excess.mean(0)
    second = (excess * (1 - rank).reshape(-1, *[1] * (values.ndim - 1))).mean(0)
    room = first - 2 * second
    usable = (room > 0) & ((top.diff(dim=0) > 0).sum(0) > count // 2)
    return torch.where(usable, 2 - first / torch.where(usable, room, torch.ones_like(room)), -math.inf)


def tail_count(n: int) -> int:
    """How many of n values are taken for the tail."""
    return min(n // 5, math.ceil(3 * math.sqrt(n)))
