"""Free-energy differences from work: Jarzynski's equality, Crooks' theorem, and what always holds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.propagation import UNNAMED
from infotherm.core.rounding import rounding_error
from infotherm.core.sample_means import from_samples
from infotherm.core.tensors import as_tensors
from infotherm.thermodynamics.log_odds import LEAST_TERMS, acceptance_logs, acceptance_root, fit_reversal_odds
from infotherm.thermodynamics.reweighting import (
    log_exponential_average,
    refused_where,
    samples_of,
)

ENERGY = "energy"
LEAST_ACCEPTED = 3.0
_LEAST_GAUSSIAN = 100


def jarzynski(work: Any, temperature: float = 1.0, *, method: str = "exponential") -> Estimate:
    """The free-energy difference from the work of one driven process: -T ln <e^(-W/T)>.

    The system starts in equilibrium at temperature T; it need not end in it. The exponential average is dominated by
    rare small works: its first-order bias is removed, what one more path of the least work would change is the stated
    `error`, and the answer is of kind "unknown" (with `info["reason"]`) when the effective number of paths
    is below 100, one path carries more than 5 %, the Pareto index k-hat is above 0.7, or the variance of e^(-W/T) is
    likely infinite. Of Gaussian work with 1000 paths, dissipations of 2 T and more are refused. With paths of the
    reverse process use `crooks`, which needs far fewer.

    Parameters
    ----------
    work
        Work done on the system, samples (n, ...), or paths that have `.work`.
    temperature
        T > 0 with k_B = 1, in units of the work.
    method
        "exponential", or "cumulant": <W> - Var(W) / (2 T), right for Gaussian work whatever the dissipation. The
        second is of kind "unknown" unless skewness and kurtosis are those of a Gaussian (K^2 test at 5 %, at
        least 100 paths), and states the term of the third cumulant as its error; rare events that no sample shows
        are beyond any such test.

    Raises
    ------
    ValueError
        For fewer than two paths, work that is not finite, a temperature that is not positive, an unknown method.

    References
    ----------
    Jarzynski, Phys. Rev. Lett. 78 (1997) 2690, eq. 2a; Gore, Ritort and Bustamante, PNAS 100 (2003) 12564 (bias).

    Examples
    --------
    >>> g = torch.Generator().manual_seed(1)
    >>> work = 0.5 + torch.randn(10_000, generator=g, dtype=torch.float64)  # dissipates 1/2, free energy unchanged
    >>> jarzynski(work)
    0.010 +- 0.02 energy  estimate  sample-based(n=10000)
    >>> jarzynski(4 * work + 6).kind
    'unknown'
    """
    if method not in ("exponential", "cumulant"):
        raise ValueError(f"method must be 'exponential' or 'cumulant'; got {method!r}")
    work, streams = work_of(work, "work")
    heat_unit = _temperature(temperature)
    if method == "cumulant":
        return _second_cumulant(work, heat_unit, streams)
    # the centre goes out first: what the temperature multiplies should be small
    centre = work.detach().mean(0)
    log_mean = log_exponential_average((work - centre) / heat_unit, streams=streams)
    value = centre - heat_unit * log_mean.value
    error = heat_unit * log_mean.error + rounding_error([value, centre])
    return Estimate(
        value,
        stderr=heat_unit * log_mean.stderr,
        error=error,
        kind=log_mean.kind,
        method=log_mean.method,
        units=ENERGY,
        streams=streams,
        info=log_mean.info,
    )


def _second_cumulant(work: Tensor, temperature: float, streams: tuple[str, ...]) -> Estimate:
    n = len(work)
    centre = work.detach().mean(0)
    away = (work - work.mean(0)).double()
    variance = away.square().sum(0) / (n - 1)
    value = work.mean(0).double() - variance / (2 * temperature)
    with torch.no_grad():
        # the mean and the variance of n Gaussian numbers are independent: variances s^2 / n and 2 s^4 / (n - 1)
        stderr = (variance / n + variance.square() / (2 * (n - 1) * temperature**2)).sqrt()
        third = away.pow(3).mean(0)
        error = third.abs() / (6 * temperature**2) + rounding_error([centre.double(), value])
        gaussian = _looks_gaussian(away)
    return refused_where(
        ~gaussian,
        "the work does not pass the test of a Gaussian law",
        value,
        stderr,
        error,
        units=ENERGY,
        streams=streams,
        info={"n": n},
    ).to(work.dtype)


def _looks_gaussian(away: Tensor) -> Tensor:
    from scipy.stats import normaltest

    if len(away) < _LEAST_GAUSSIAN:
        return torch.zeros(away.shape[1:], dtype=torch.bool, device=away.device)
    spread = away.std(0)
    moving = spread > 0
    ramp = torch.linspace(-1, 1, len(away), dtype=away.dtype, device=away.device)
    filler = ramp.reshape(-1, *[1] * (away.ndim - 1))  # where all works agree there is nothing to test
    scaled = torch.where(moving, away / torch.where(moving, spread, 1.0), filler)
    p = torch.as_tensor(normaltest(scaled.cpu().numpy(), axis=0).pvalue, device=away.device)
    return moving & (p > 0.05)


def crooks(work_forward: Any, work_reverse: Any, temperature: float = 1.0) -> Estimate:
    """The free-energy difference from the work of a process and of its reverse: the Bennett acceptance ratio.

    The root of sum_F sigmoid((dF - W_F)/T - M) = sum_R sigmoid(M - (W_R + dF)/T), M = ln(n_F / n_R): the maximum of the
    likelihood given p_F(W) / p_R(-W) = e^((W - dF)/T). The standard error is that of the estimating equation with the
    variances of both sums as sampled. Kind "unknown" (with `info["reason"]`) when fewer than 10 effective paths
    of either process reach the overlap, or the expected number of paths that could be of the other is below 3.

    Parameters
    ----------
    work_forward
        Work done on the system in the process, samples (n, ...), or paths that have `.work`.
    work_reverse
        Work done on the system in the reverse process, which starts in equilibrium with the final parameters:
        samples (m, ...) with the same batch, or paths that have `.work`.
    temperature
        T > 0 with k_B = 1, in units of the work.

    Returns
    -------
    Estimate
        Of dF = F_end - F_start; `info["overlap_forward"]` and `info["overlap_reverse"]` are the effective numbers of
        paths behind it, `info["accepted"]` is the common value of both sums.

    Raises
    ------
    ValueError
        For fewer than two paths of either kind, batches that differ, work that is not finite, a temperature that is not
        positive.

    References
    ----------
    Bennett, J. Comput. Phys. 22 (1976) 245, eq. 12; Crooks, Phys. Rev. E 61 (2000) 2361; Shirts, Bair, Hooker
    and Pande, Phys. Rev. Lett. 91 (2003) 140601 (as maximum likelihood).

    Examples
    --------
    >>> g = torch.Generator().manual_seed(1)
    >>> forward, reverse = 5 + 10**0.5 * torch.randn(2, 1000, generator=g, dtype=torch.float64)
    >>> crooks(forward + 1e6, reverse - 1e6)  # dissipates 5 T each way, beyond reach of one direction
    999999.930 +- 0.099 energy  estimate  sample-based(n=1000)
    """
    forward, reverse, unit, centre, streams, dtype = _both_ways(work_forward, work_reverse, temperature)
    u, unsolved = acceptance_root(forward, reverse)
    logs = acceptance_logs(forward, reverse, u)
    top = torch.maximum(logs[0].max(0).values, logs[1].max(0).values)
    terms = [(log - top).exp() for log in logs]
    spread = torch.stack([len(term) * term.var(0) for term in terms]).sum(0)
    # the slope of sigmoid is sigmoid times its complement
    slope = torch.stack([(term * -torch.expm1(log)).sum(0) for term, log in zip(terms, logs, strict=True)]).sum(0)
    shares = [term / term.sum(0) for term in terms]
    overlaps = [1 / share.square().sum(0) for share in shares]
    fewest = torch.minimum(*overlaps)
    accepted = logs[0].exp().sum(0)  # both sums are equal
    value = centre + unit * u
    error = unit * unsolved + rounding_error([value, centre, unit * (1 + u.abs())])
    info: dict[str, Any] = {
        "n": min(len(forward), len(reverse)),
        "overlap_forward": overlaps[0],
        "overlap_reverse": overlaps[1],
        "accepted": accepted,
    }
    if not bool((unsolved <= 1e-9 * (1 + u.abs())).all()):
        info["converged"] = False
    return refused_where(
        ~((fewest >= LEAST_TERMS) & (accepted >= LEAST_ACCEPTED)),
        f"forward and reverse hardly overlap: {fewest.min():.3g} effective paths on one side, {accepted.min():.2g} of "
        f"which could be of the other; at least {LEAST_TERMS:g} and {LEAST_ACCEPTED:g} are needed",
        value,
        unit * spread.sqrt() / slope,
        error,
        units=ENERGY,
        streams=streams,
        info=info,
    ).to(dtype)


def crooks_slope(work_forward: Any, work_reverse: Any, temperature: float = 1.0) -> Estimate:
    """The slope of ln p_F(W) / p_R(-W) against W / T: 1 when Crooks' theorem holds, whatever the free energy.

    Logistic regression of the direction of a path on its work, with an intercept: maximum likelihood when the log-odds
    are a straight line, consistent for a slope other than 1 when they are not. It fails where temperature, sign or
    reversal of the protocol are wrong. Refusals are those of `crooks`, counted at the fitted line.

    Parameters
    ----------
    work_forward, work_reverse, temperature
        As in `crooks`.

    Returns
    -------
    Estimate
        Dimensionless; `info["crossing"]` is the work where p_F(W) = p_R(-W) on the fitted line, an Estimate of the
        free-energy difference that does not presuppose the slope.

    Raises
    ------
    ValueError
        As `crooks`.

    References
    ----------
    Crooks, Phys. Rev. E 60 (1999) 2721; Shirts, Bair, Hooker and Pande, Phys. Rev. Lett. 91 (2003) 140601.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(1)
    >>> forward, reverse = 1 + 2**0.5 * torch.randn(2, 1000, generator=g, dtype=torch.float64)
    >>> crooks_slope(forward, reverse)
    1.011 +- 0.047  estimate  sample-based(n=1000)
    >>> crooks_slope(forward, reverse, temperature=2.0).value.item() > 1.9
    True
    """
    forward, reverse, unit, centre, streams, dtype = _both_ways(work_forward, work_reverse, temperature)
    fit = fit_reversal_odds(forward, reverse, intercept=True)
    refused, reason = fit.refused, fit.reason
    intercept, slope = fit.coefficients.unbind(-1)
    covariance = fit.covariance
    crossing = -intercept / slope
    # d crossing = -(d intercept + crossing d slope) / slope
    direction = torch.stack([torch.ones_like(crossing), crossing], -1) / slope[..., None]
    crossing_spread = torch.einsum("...i,...ij,...j->...", direction, covariance, direction).clamp(min=0).sqrt()
    info: dict[str, Any] = {"n": min(len(forward), len(reverse))}
    if not bool(fit.converged.all()):
        info["converged"] = False
    place = centre + unit * crossing
    parts = {
        "crossing": (place, unit * crossing_spread, rounding_error([place, centre]), ENERGY),
        "slope": (slope, covariance[..., 1, 1].clamp(min=0).sqrt(), 1e-9 * slope.abs(), "1"),
    }
    found = {
        name: refused_where(refused, reason, v, s, e, units=u, streams=streams, info=dict(info)).to(dtype)
        for name, (v, s, e, u) in parts.items()
    }
    return replace(found["slope"], info={**found["slope"].info, "crossing": found["crossing"]})


def dissipated_work(work: Any, free_energy_difference: Any) -> Estimate:
    """The mean work beyond the free-energy difference, <W> - dF: never negative on average.

    Over T it bounds what the process forgets: <W> - dF >= T KL(p_t || equilibrium at the parameters of time t), and is
    T times the divergence between the paths of the process and the reversed paths of its reverse.

    Parameters
    ----------
    work
        Work done on the system, samples (n, ...), or paths that have `.work`.
    free_energy_difference
        A number, or an Estimate such as that of `crooks`; its kind and errors carry over.

    Raises
    ------
    ValueError
        For fewer than two paths, or work that is not finite.

    References
    ----------
    Kawai, Parrondo and Van den Broeck, Phys. Rev. Lett. 98 (2007) 080602; Vaikuntanathan and Jarzynski, EPL 87 (2009)
    60005.

    Examples
    --------
    >>> dissipated_work([1.0, 2.0, 3.0], 0.5)
    1.5 +- 0.6 energy  estimate  sample-based(n=3)
    """
    work, streams = work_of(work, "work")
    return from_samples(work, streams=streams, method="sample-based", units=ENERGY) - free_energy_difference


def free_energy_upper_limit(work: Any, temperature: float = 1.0, *, alpha: float = 0.01) -> Estimate:
    """An upper confidence limit of the free-energy difference that no tail can break: -T ln(alpha <e^(-W/T)>).

    The mean of n weights e^(-(W - dF)/T) has mean 1 and is positive, so that it exceeds 1/alpha with probability at
    most alpha (Markov), for any n, law of work and dissipation. It is T ln(1/alpha) above Jarzynski's average and is
    meant for what `jarzynski` refuses.

    Parameters
    ----------
    work, temperature
        As in `jarzynski`.
    alpha
        Probability that the limit lies below the truth.

    Returns
    -------
    Estimate
        Of kind "upper"; the level is in `info["alpha"]`.

    Raises
    ------
    ValueError
        As `jarzynski`, and for alpha outside (0, 1).

    References
    ----------
    The bound P(W < dF - z) <= e^(-z/T) of Jarzynski, Annu. Rev. Condens. Matter Phys. 2 (2011) 329, applied to
    the average.

    Examples
    --------
    >>> free_energy_upper_limit([1.0, 1.0], alpha=0.05)
    3.99573227355 +- 5.3e-15 energy  upper  sample-based(n=2)
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1); got {alpha}")
    work, streams = work_of(work, "work")
    unit = _temperature(temperature)
    centre = work.mean(0)
    log_mean = (-(work - centre) / unit).logsumexp(0) - math.log(len(work))
    value = centre - unit * (log_mean + math.log(alpha))
    error = rounding_error([value, centre, unit * log_mean, work.detach().abs().max(0).values])
    info = {"n": len(work), "alpha": alpha}
    return Estimate(value, error=error, kind="upper", method="sample-based", units=ENERGY, info=info)


def work_of(work: Any, name: str) -> tuple[Tensor, tuple[str, ...]]:
    """The samples of work, and the streams behind them: of paths, or an array."""
    return entry_of(work, "work", name)


def entry_of(x: Any, entry: str, name: str) -> tuple[Tensor, tuple[str, ...]]:
    """Samples (n, ...) and their streams, from an array or from paths with that entry."""
    streams: Iterable[str] = (UNNAMED,)
    if not isinstance(x, Tensor) and hasattr(x, entry):
        streams = tuple(getattr(x, "streams", ())) or streams
        x = getattr(x, entry)
    return samples_of(x, name), tuple(streams)


def _temperature(temperature: Any) -> float:
    value = float(temperature)
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"temperature must be a positive number; got {temperature!r}")
    return value


def _both_ways(
    work_forward: Any, work_reverse: Any, temperature: Any
) -> tuple[Tensor, Tensor, float, Tensor, tuple[str, ...], torch.dtype]:
    """(W_F - c)/T and (W_R + c)/T in float64, T, the centre c between both, the streams, and the dtype given."""
    forward, streams = work_of(work_forward, "work_forward")
    reverse, others = work_of(work_reverse, "work_reverse")
    if forward.shape[1:] != reverse.shape[1:]:
        raise ValueError(
            f"work_forward and work_reverse must have the same batch; got {tuple(forward.shape[1:])} and "
            f"{tuple(reverse.shape[1:])}"
        )
    unit = _temperature(temperature)
    forward, reverse = as_tensors(work_forward=forward, work_reverse=reverse)
    dtype = forward.dtype
    forward, reverse = forward.detach().double(), reverse.detach().double()
    centre = (forward.mean(0) - reverse.mean(0)) / 2
    joined = tuple(dict.fromkeys(streams + others))
    return (forward - centre) / unit, (reverse + centre) / unit, unit, centre, joined, dtype
