"""Fluctuation theorems of sampled entropies: the integral one, and the detailed one as a slope."""

from __future__ import annotations

from typing import Any

from infotherm.core.estimate import Estimate
from infotherm.core.tensors import as_tensors
from infotherm.thermodynamics.free_energy import entry_of
from infotherm.thermodynamics.log_odds import fit_reversal_odds
from infotherm.thermodynamics.reweighting import exponential_average, refused_where


def integral_fluctuation_theorem(entropy: Any) -> Estimate:
    """The mean of e^-S over paths: 1 when the integral fluctuation theorem holds.

    Of the total entropy production it is 1 for every process whose reversed paths are possible paths, from any start
    (Seifert); of the housekeeping part of it by itself (Speck and Seifert), and of the excess part plus the change of
    the system's entropy, Delta phi for phi = -log p_stationary (Hatano and Sasa), so that
    `integral_fluctuation_theorem(paths.housekeeping)` and its like test those. Kind "unknown", with `info["reason"]`,
    where the average cannot be trusted (see `exponential_average`): then it neither confirms nor refutes.

    Parameters
    ----------
    entropy
        Samples of S in nats, shape (n, ...), or paths that have `.entropy_production`.

    Raises
    ------
    ValueError
        For fewer than two samples, or samples that are not finite.

    References
    ----------
    Seifert, Phys. Rev. Lett. 95 (2005) 040602; Speck and Seifert, J. Phys. A 38 (2005) L581; Hatano and
    Sasa, Phys. Rev. Lett. 86 (2001) 3463.

    Examples
    --------
    >>> import torch
    >>> g = torch.Generator().manual_seed(1)
    >>> s = 0.5 + torch.randn(10_000, generator=g, dtype=torch.float64)  # variance = 2 x mean: the theorem holds
    >>> integral_fluctuation_theorem(s)
    0.990 +- 0.02  estimate  sample-based(n=10000)
    """
    samples, streams = entry_of(entropy, "entropy_production", "entropy")
    return exponential_average(samples, streams=streams)


def detailed_fluctuation_theorem(entropy: Any, reverse: Any = None) -> Estimate:
    """The slope of ln p(s) / p_reverse(-s) against s: 1 when the detailed fluctuation theorem holds.

    Given the theorem, a value of size |s| came out positive with probability 1 / (1 + e^-|s|) whatever the law of |s|:
    the slope is that of a logistic regression through the origin, with weights bounded by |s|, no histogram, and a
    standard error that holds also when the theorem does not. Kind "unknown" (with `info["reason"]`) when fewer
    than 10 effective samples go against the trend.

    Parameters
    ----------
    entropy
        Samples of S in nats, shape (n, ...), or paths that have `.entropy_production`.
    reverse
        The same of the reverse process, shape (m, ...). Not needed when the process is its own reverse: constant or
        time-symmetric driving between ends that the reversal exchanges.

    Raises
    ------
    ValueError
        For fewer than two samples, samples that are not finite, or batches that differ.

    References
    ----------
    Evans, Cohen and Morriss, Phys. Rev. Lett. 71 (1993) 2401; Crooks, Phys. Rev. E 60 (1999) 2721; Seifert,
    Rep. Prog. Phys. 75 (2012) 126001, section 4.

    Examples
    --------
    >>> import torch
    >>> g = torch.Generator().manual_seed(1)
    >>> s = 1 + 2**0.5 * torch.randn(10_000, generator=g, dtype=torch.float64)
    >>> detailed_fluctuation_theorem(s)
    1.029 +- 0.021  estimate  sample-based(n=10000)
    >>> detailed_fluctuation_theorem(2 * s).value.item() < 0.6
    True
    """
    forward, streams = entry_of(entropy, "entropy_production", "entropy")
    backward = None
    n = len(forward)
    if reverse is not None:
        backward, others = entry_of(reverse, "entropy_production", "reverse")
        if backward.shape[1:] != forward.shape[1:]:
            raise ValueError(
                f"entropy and reverse must have the same batch; got {tuple(forward.shape[1:])} and "
                f"{tuple(backward.shape[1:])}"
            )
        forward, backward = as_tensors(entropy=forward, reverse=backward)
        streams = tuple(dict.fromkeys(streams + others))
        n = min(n, len(backward))
        backward = backward.detach().double()
    fit = fit_reversal_odds(forward.detach().double(), backward, intercept=False)
    slope = fit.coefficients[..., 0]
    info: dict[str, Any] = {"n": n, "effective_sample_size": fit.effective_terms}
    if not bool(fit.converged.all()):
        info["converged"] = False
    return refused_where(
        fit.refused,
        fit.reason,
        slope,
        fit.covariance[..., 0, 0].clamp(min=0).sqrt(),
        1e-9 * (1 + slope.abs()),
        units="1",
        streams=streams,
        info=info,
    ).to(forward.dtype)
