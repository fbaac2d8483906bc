"""Entropy production of Markov jump processes (Schnakenberg): currents times affinities over all pairs of states."""

from __future__ import annotations

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.processes import MarkovJump


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


def jump_production(process: MarkovJump, pmf: Tensor, duration: Tensor) -> tuple[Estimate, Estimate, Estimate]:
    """Total, system and medium entropy over `duration` from the pmf p0, each of shape (...).

    System: H(p_T) - H(p_0). Medium: sum_ij (integral of p_i dt) k_ij log(k_ij / k_ji).
    """
    rates, generator = process.rates.to(pmf), process.generator.to(pmf)
    final = process.transition(0.0, duration).matrix.to(pmf)
    law = (pmf[..., None, :] @ final)[..., 0, :]
    occupation = (pmf[..., None, :] @ _integrated(generator, duration))[..., 0, :]
    before, after = (torch.special.entr(p).sum(-1) for p in (pmf, law))
    system = after - before
    both = (rates > 0) & (rates.mT > 0)
    one_way = (rates > 0) & (rates.mT == 0)
    affinity = torch.where(both, torch.where(both, rates, 1.0).log() - torch.where(both, rates.mT, 1.0).log(), 0.0)
    terms = (rates * affinity).sum(-1)
    sizes = (rates * affinity.abs() + rates).sum(-1)
    medium = (occupation * terms).sum(-1)
    irreversible = (one_way.any(-1) & (occupation > 0)).any(-1)
    count = float(4 + rates.shape[-1])
    system_error = rounding_error([before, after, torch.ones_like(system)])
    medium_error = count * rounding_error([(occupation * sizes).sum(-1)])
    tiny = torch.finfo(system.dtype).tiny

    def estimate(value: Tensor, error: Tensor) -> Estimate:
        return Estimate(torch.where(irreversible, torch.inf, value), error=torch.where(irreversible, tiny, error))

    return (
        estimate(system + medium, system_error + medium_error),
        Estimate(system, error=system_error),
        estimate(medium, medium_error),
    )


def _integrated(generator: Tensor, duration: Tensor) -> Tensor:
    """The integral of exp(L s) over [0, t], from the exponential of [[L, 1], [0, 0]] t."""
    size = generator.shape[-1]
    one = torch.eye(size, dtype=generator.dtype, device=generator.device).expand_as(generator)
    top = torch.cat([generator, one], -1)
    block = torch.cat([top, torch.zeros_like(top)], -2)
    return torch.linalg.matrix_exp(block * duration[..., None, None])[..., :size, size:]
