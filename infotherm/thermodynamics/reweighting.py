"""Averages of e^-w: what the largest weights allow to be said about them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.propagation import UNNAMED
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, require_finite, validating

LEAST_SAMPLE_SIZE = 100.0
LARGEST_SHARE = 0.05
LARGEST_PARETO_K = 0.7
# log-weights of a tail that falls faster than an exponential have a shape below this; Gaussian ones have -0.18
_THINNING = -0.1
_MOST_TAIL = 4096


@dataclass(frozen=True)
class WeightDiagnostics:
    """Whether the mean of positive weights can be trusted, one entry per element of the batch.

    Attributes
    ----------
    effective_sample_size
        (sum w)^2 / sum w^2 of the n weights, at most n.
    largest_share
        The largest weight over the sum of all.
    pareto_k
        Shape k-hat of the generalised Pareto law fitted to the largest min(n/5, 3 sqrt n) weights: their moments of
        order 1/k and above are infinite. Minus infinity where the largest weights agree.
    upper_fifth_k
        The same for the largest fifth, plus one standard error: more than 1/2 means that a finite variance is not
        established.
    log_tail_shape
        The same for the logarithms of the largest fifth: negative where their tail falls faster than an exponential
        (Gaussian exponents: -0.18), so that all moments of the weights are finite; at zero or above,
        k does not shrink any further out.
    n
        The number of weights.

    References
    ----------
    Zhang and Stephens, Technometrics 51 (2009) 316 (the fit); Vehtari, Simpson, Gelman, Yao and Gabry,
    J. Mach. Learn. Res. 25 (2024) 72 (k-hat and its weak prior at 1/2).
    """

    effective_sample_size: Tensor
    largest_share: Tensor
    pareto_k: Tensor
    upper_fifth_k: Tensor
    log_tail_shape: Tensor
    n: int

    @property
    def infinite_variance(self) -> Tensor:
        """Whether the weights may well have an infinite variance, so that a standard error has no meaning."""
        return (self.upper_fifth_k > 0.5) & (self.log_tail_shape > _THINNING)

    @property
    def trusted(self) -> Tensor:
        """Whether none of the reasons to refuse holds (booleans of the batch shape)."""
        refused = torch.zeros_like(self.largest_share, dtype=torch.bool)
        for failed, _ in self._reasons():
            refused = refused | failed
        return ~refused

    @property
    def reason(self) -> str:
        """Why some element is refused, in plain words; empty when all are trusted."""
        for failed, text in self._reasons():
            if bool(failed.any()):
                return text
        return ""

    def _reasons(self) -> list[tuple[Tensor, str]]:
        size, share, k = self.effective_sample_size, self.largest_share, self.pareto_k
        return [
            (
                ~(size >= LEAST_SAMPLE_SIZE),
                f"the effective sample size {size.min():.3g} is below {LEAST_SAMPLE_SIZE:g}",
            ),
            (~(share <= LARGEST_SHARE), f"one weight is {100 * share.max():.3g} % of the sum, above 5 %"),
            (~(k <= LARGEST_PARETO_K), f"the tail index k-hat {k.max():.2f} of the weights is above 0.7"),
            (self.infinite_variance, "the variance of the weights may well be infinite: their tail does not thin out"),
        ]


def weight_diagnostics(log_weights: Any) -> WeightDiagnostics:
    """Effective sample size, largest share and tail indices of the weights e^log_weights.

    Parameters
    ----------
    log_weights
        Samples (n, ...): n of them along the first dimension, a batch behind.

    Raises
    ------
    ValueError
        For fewer than two samples, or samples that are not finite.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(1)
    >>> x = torch.randn(10_000, generator=g, dtype=torch.float64)
    >>> weight_diagnostics(x).trusted.item()
    True
    >>> weight_diagnostics(3 * x).reason
    'the effective sample size 42.5 is below 100'
    """
    logs = samples_of(log_weights, "log_weights").detach().double().sort(0).values
    logs = logs - logs[-1:]
    weights = logs.exp()
    total = weights.sum(0)
    n = logs.shape[0]
    ordinary, fifth = max(1, int(min(n / 5, 3 * math.sqrt(n)))), max(1, n // 5)
    k = _tail_shape(weights, ordinary)
    wide = _tail_shape(weights, fifth)
    return WeightDiagnostics(
        effective_sample_size=total.square() / weights.square().sum(0),
        largest_share=1 / total,
        pareto_k=(k * ordinary + 0.5 * 10) / (ordinary + 10),
        upper_fifth_k=wide + (1 + wide).clamp(min=0) / math.sqrt(min(fifth, _MOST_TAIL)),
        log_tail_shape=_tail_shape(logs, fifth),
        n=n,
    )


def exponential_average(exponent: Any, *, streams: Iterable[str] = (UNNAMED,)) -> Estimate:
    """The mean of e^-w over samples of w; kind "unknown" where its weights cannot be trusted.

    The standard error is that of a mean; what one more weight as large as the largest would add is stated as `error`.
    Kind "unknown", with `info["reason"]`, when the effective sample size is below 100, one weight above 5 % of the sum,
    k-hat above 0.7, or the variance is likely infinite; in a batch with trusted elements, those that
    are not have an infinite error instead. Few samples may not show a tail: of weights with an infinite variance that
    were tried, 13 to 19 % passed with 200 samples and half of these intervals missed, 1 to 4 % with 1000.

    Parameters
    ----------
    exponent
        Samples of w, shape (n, ...).
    streams
        Names of the random streams behind them.

    Raises
    ------
    ValueError
        For fewer than two samples, or samples that are not finite.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(1)
    >>> exponential_average(0.5 + torch.randn(10_000, generator=g, dtype=torch.float64))
    0.990 +- 0.02  estimate  sample-based(n=10000)
    """
    given = samples_of(exponent, "exponent")
    logs = -given.double()
    n = logs.shape[0]
    diagnostics = weight_diagnostics(logs)
    weights = logs.exp()
    value = weights.mean(0)
    with torch.no_grad():
        top = logs.max(0).values
        scaled = (logs - top).exp()
        stderr = top.exp() * scaled.std(0) / math.sqrt(n)
        error = value * diagnostics.largest_share + rounding_error([value * (1 + logs.abs().max(0).values)])
    found = gated(value, stderr, error, diagnostics, units="1", streams=streams)
    too_large = value.detach() > torch.finfo(given.dtype).max
    if bool(too_large.any()):
        reason = f"the average overflows {given.dtype}: take log_exponential_average"
        found = refused_where(
            too_large | ~diagnostics.trusted, reason, value, stderr, error, units="1", streams=streams,
            info=dict(found.info),
        )  # fmt: skip
    return found.to(given.dtype)


def log_exponential_average(exponent: Any, *, streams: Iterable[str] = (UNNAMED,)) -> Estimate:
    """The logarithm of the mean of e^-w over samples of w, in nats; kind "unknown" where it cannot be trusted.

    ln mean e^-w + s^2 / (2 n), with s^2 the variance of the weights relative to their mean: the second term removes
    the bias of the logarithm to first order, so that offsets of w come out exactly and do not overflow. The standard
    error is s / sqrt n; what one more weight as large as the largest would add is stated as `error`. Refusals are
    those of `exponential_average`.

    Parameters
    ----------
    exponent
        Samples of w, shape (n, ...).
    streams
        Names of the random streams behind them.

    Raises
    ------
    ValueError
        For fewer than two samples, or samples that are not finite.

    Examples
    --------
    >>> log_exponential_average([1e6] * 200).value.item()
    -1000000.0
    """
    given = samples_of(exponent, "exponent")
    logs = -given.double()
    n = logs.shape[0]
    diagnostics = weight_diagnostics(logs)
    with torch.no_grad():
        top = logs.max(0, keepdim=True).values
        weights = (logs - top).exp()
        relative_variance = weights.var(0) / weights.mean(0).square()
        bias = relative_variance / (2 * n)
        stderr = (relative_variance / n).sqrt()
        mean_size = (weights * logs.abs()).sum(0) / weights.sum(0)
    value = (logs - top).logsumexp(0) - math.log(n) + top[0] + bias
    error = diagnostics.largest_share.log1p() + rounding_error([value, top[0], mean_size])
    return gated(value, stderr, error, diagnostics, units="nat", streams=streams).to(given.dtype)


def gated(
    value: Tensor,
    stderr: Tensor,
    error: Tensor,
    diagnostics: WeightDiagnostics,
    *,
    units: str,
    streams: Iterable[str],
    **info: Any,
) -> Estimate:
    """An Estimate of kind "estimate" where the weights are trusted, else one that decides nothing and says why."""
    info = {
        "n": diagnostics.n,
        "effective_sample_size": diagnostics.effective_sample_size,
        "largest_share": diagnostics.largest_share,
        "pareto_k": diagnostics.pareto_k,
        **info,
    }
    return refused_where(
        ~diagnostics.trusted, diagnostics.reason, value, stderr, error, units=units, streams=streams, info=info
    )


def refused_where(
    refused: Tensor,
    reason: str,
    value: Tensor,
    stderr: Tensor,
    error: Tensor,
    *,
    units: str,
    streams: Iterable[str],
    info: dict[str, Any],
) -> Estimate:
    """An Estimate that is "unknown" when all elements are refused; single refused ones get an infinite error."""
    kind = "estimate"
    if bool(refused.any()):
        info = {**info, "reason": reason, "trusted": ~refused}
        if bool(refused.all()):
            kind = "unknown"
        else:
            error = torch.where(refused, math.inf, error)
    stderr = stderr.nan_to_num(nan=math.inf, posinf=math.inf)
    error = error.nan_to_num(nan=math.inf, posinf=math.inf)
    return Estimate(
        value, stderr=stderr, error=error, kind=kind, method="sample-based", units=units, streams=streams, info=info
    )


def samples_of(x: Any, name: str) -> Tensor:
    """Finite samples (n, ...) with n >= 2, as a tensor.

    Raises
    ------
    ValueError
        Naming the argument, what was expected and what came.
    """
    samples = as_tensor(x, name)
    if samples.ndim == 0:
        raise ValueError(f"{name} must hold samples along its first dimension; got a single number")
    if samples.shape[0] < 2:
        raise ValueError(f"{name} must hold at least 2 samples along its first dimension; got {samples.shape[0]}")
    if not validating(samples):
        raise ValueError(f"{name} must be a plain tensor: its samples are sorted and looked at")
    return require_finite(samples, name)


def _tail_shape(ordered: Tensor, count: int) -> Tensor:
    """Shape of the generalised Pareto law of the `count` largest of the ascending values (n, ...) above the next one.

    The profile likelihood of Zhang and Stephens: a posterior mean of b = -shape/scale over a grid with a weak prior.
    Shape minus infinity where fewer than five values exceed the threshold, or all by the same.
    """
    excess = ordered[-count:] - ordered[-min(count + 1, len(ordered))]
    if count > _MOST_TAIL:  # every so many-th order statistic tells the same
        places = torch.linspace(0, count - 1, _MOST_TAIL, device=excess.device).round().long()
        excess = excess[places]
    return pareto_shape(excess)


def pareto_shape(excess: Tensor) -> Tensor:
    """Shape k of the generalised Pareto law of ascending values >= 0 along the first dimension; zeros do not count."""
    n = (excess > 0).sum(0)
    largest = excess[-1]
    least = excess.gather(0, (len(excess) - n).clamp(max=len(excess) - 1)[None])[0]
    fits = (n >= 5) & (least < largest * (1 - 1e-12))
    n = n.clamp(min=1)
    excess = excess / torch.where(largest > 0, largest, 1.0)
    quartile = excess.gather(0, (len(excess) - n + (n / 4 + 0.5).long() - 1).clamp(min=0)[None])[0]
    grid_size = 30 + int(math.sqrt(len(excess)))
    steps = torch.arange(1, grid_size + 1, dtype=excess.dtype, device=excess.device) - 0.5
    pull = (1 - (grid_size / steps).sqrt()).reshape(-1, *[1] * quartile.ndim)
    grid = 1 + pull / (3 * torch.where(quartile > 0, quartile, 1.0))
    # the shape that goes with each b maximises the likelihood
    shape = torch.stack([torch.log1p(-b * excess).sum(0) / n for b in grid])
    # b -> 0 is the exponential law, where -b / shape has the limit 1 / mean
    rate = torch.where(grid.abs() < 1e-9, n / excess.sum(0), -grid / shape)
    posterior = torch.softmax(n * (rate.log() - shape - 1), 0)
    found = torch.log1p(-(posterior * grid).sum(0) * excess).sum(0) / n
    return torch.where(fits, found, -math.inf)
