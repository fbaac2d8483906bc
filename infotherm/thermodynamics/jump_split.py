"""Adiabatic and non-adiabatic entropy production of jumps, each a sum of terms that are not negative."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infotherm.channels.posterior import like
from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, validating
from infotherm.distributions.base import Distribution
from infotherm.distributions.discrete import Discrete
from infotherm.processes import MarkovJump
from infotherm.thermodynamics.jump_entropy import certain_where, check_states, log_ratio


def jump_split(process: MarkovJump, p: Distribution, t: Any) -> tuple[Estimate, Estimate]:
    """Excess (non-adiabatic) and housekeeping (adiabatic) entropy production rate of jumps, nat/time, shape (...).

    With pi the law that the rates of time t would keep and the dual rates k*_ij = pi_j k_ji / pi_i of each reservoir,

        housekeeping = sum_ij p_i (k_ij log(k_ij / k*_ij) - k_ij + k*_ij),
        excess = sum_ij (a log(a / b) - a + b),  a = p_i k_ij,  b = p_j k*_ji,

    where the terms that are added to log(pi_i k_ij / (pi_j k_ji)) and log(p_i pi_j / (p_j pi_i)) sum to zero.

    Raises
    ------
    TypeError, ValueError
        When p is not a law of the states, or the rates keep no law that gives every state a positive probability.

    References
    ----------
    Esposito and Van den Broeck, Phys. Rev. Lett. 104 (2010) 090601.
    """
    if not isinstance(p, Discrete):
        raise TypeError(f"p must be a Discrete law of the states of the process; got {type(p).__name__}")
    check_states(process, p)
    t = as_tensor(t, "t", device=p.device)
    rates = like(process.reservoir_rates_at(t), p.pmf)
    kept = like(process.quasi_invariant(t).pmf, p.pmf)
    if validating(kept) and not bool((kept > 0).all()):
        states = torch.nonzero((kept == 0).flatten(0, -2).any(0) if kept.ndim > 1 else kept == 0).flatten().tolist()
        raise ValueError(
            f"the split needs a steady state in which every state has a positive probability; states {states} are "
            f"left for good"
        )
    batch = torch.broadcast_shapes(t.shape, p.batch_shape, process.batch_shape)
    law = p.pmf.expand(*batch, process.states)
    dual = rates.mT * kept[..., None, None, :] / kept[..., None, :, None]
    at = law[..., None, :, None]
    housekeeping = _divergence(at * rates, at * dual, process.states)
    total = rates.sum(-3, keepdim=True)
    reversed_dual = total * kept[..., None, :, None] / kept[..., None, None, :]  # k*_ji of all reservoirs together
    excess = _divergence(at * total, law[..., None, None, :] * reversed_dual, process.states)
    return excess, housekeeping


def _divergence(a: Tensor, b: Tensor, states: int) -> Estimate:
    """sum of a log(a / b) - a + b over the last three axes; infinite where a > 0 = b."""
    ratio, lost = log_ratio(a, b)
    axes = (-3, -2, -1)
    value = (a * ratio - a + b).sum(axes)
    # the stationary law, and with it the dual rates, is known to 8 K eps; that moves a term by (b - a) times this
    sizes = (a * ratio.abs() + a + b).sum(axes) + 4 * states * (a - b).abs().sum(axes)
    return certain_where(lost.any(-1).any(-1).any(-1), value, rounding_error([sizes]), "nat/time")
