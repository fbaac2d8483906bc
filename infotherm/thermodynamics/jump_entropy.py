"""Entropy production of Markov jump processes (Schnakenberg): currents times affinities over all pairs of states."""

from __future__ import annotations

import torch
from torch import Tensor

from infotherm.channels.posterior import like
from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.distributions import Discrete
from infotherm.processes import MarkovJump
from infotherm.processes.uniformisation import stochastic_exponential


def jump_rate(rates: Tensor, pmf: Tensor) -> Estimate:
    """sum over pairs of (p_i k_ij - p_j k_ji) log(p_i k_ij / (p_j k_ji)), shape (...); infinite for one-way jumps.

    Parameters
    ----------
    rates, pmf
        k (..., K, K) with a zero diagonal, and p (..., K).

    References
    ----------
    Schnakenberg, "Network theory of microscopic and macroscopic behavior of master equation systems", Rev. Mod. Phys.
    48 (1976), eq. 7.6.
    """
    forward = pmf[..., :, None] * rates
    backward = forward.mT
    both = (forward > 0) & (backward > 0)
    one_way = (forward > 0) & (backward == 0)
    ratio = torch.where(both, forward, 1.0) / torch.where(both, backward, 1.0)
    affinity = torch.log(ratio)
    value = 0.5 * ((forward - backward) * affinity).sum((-2, -1))
    irreversible = one_way.any(-1).any(-1)
    error = rounding_error([value, ((forward + backward) * affinity.abs() + (forward - backward).abs()).sum((-2, -1))])
    tiny = torch.finfo(value.dtype).tiny
    return Estimate(
        torch.where(irreversible, torch.inf, value), error=torch.where(irreversible, tiny, error), units="nat/time"
    )


def check_states(process: MarkovJump, p: Discrete, name: str = "p") -> None:
    """Refuse a law that is not one of the states of the process.

    Raises
    ------
    ValueError
        When it has several parts, or another number of outcomes.
    """
    if p.dim != 1 or p.alphabet[0] != process.states:
        parts = "" if p.dim == 1 else f" in {p.dim} parts {tuple(p.parts)}"
        raise ValueError(
            f"{name} must be a Discrete law of one part with {process.states} outcomes, one for each state; got "
            f"{' x '.join(map(str, p.alphabet))} outcomes{parts}"
        )


def jump_production(process: MarkovJump, pmf: Tensor, duration: Tensor) -> tuple[Estimate, Estimate, Estimate]:
    """Total, system and medium entropy over `duration` from the pmf p0, each of shape (...).

    System: H(p_T) - H(p_0). Medium: sum_ij (integral of p_i dt) k_ij log(k_ij / k_ji).
    """
    rates = like(process.rates, pmf)
    transition, passed, units = stochastic_exponential(rates, duration)
    law = (pmf[..., None, :] @ transition)[..., 0, :]
    occupation = (pmf[..., None, :] @ passed)[..., 0, :]
    before, after = (torch.special.entr(p).sum(-1) for p in (pmf, law))
    system = after - before
    both = (rates > 0) & (rates.mT > 0)
    one_way = (rates > 0) & (rates.mT == 0)
    affinity = torch.where(both, torch.where(both, rates, 1.0).log() - torch.where(both, rates.mT, 1.0).log(), 0.0)
    terms = (rates * affinity).sum(-1)
    sizes = (rates * affinity.abs() + rates).sum(-1)
    medium = (occupation * terms).sum(-1)
    irreversible = (one_way.any(-1) & (occupation > 0)).any(-1)
    # probabilities and occupations are known to `units` of eps each
    system_error = rounding_error([before, after, torch.ones_like(system)])
    system_error = system_error + units * rounding_error([(torch.special.entr(law) + law).sum(-1)]) / 4
    medium_error = units * rounding_error([(occupation * sizes).sum(-1)])
    tiny = torch.finfo(system.dtype).tiny

    def estimate(value: Tensor, error: Tensor) -> Estimate:
        return Estimate(torch.where(irreversible, torch.inf, value), error=torch.where(irreversible, tiny, error))

    return (
        estimate(system + medium, system_error + medium_error),
        Estimate(system, error=system_error),
        estimate(medium, medium_error),
    )
