"""Stationary laws of jumps and chains: closed classes of states, and elimination without subtraction."""

from __future__ import annotations

import torch
from torch import Tensor


def reachable(rates: Tensor) -> Tensor:
    """Which states j can be reached from i in any number of jumps, itself included; bool (..., K, K)."""
    size = rates.shape[-1]
    reach = (rates.detach() > 0) | torch.eye(size, dtype=torch.bool, device=rates.device)
    for _ in range(size.bit_length()):
        reach = (reach.to(torch.float32) @ reach.to(torch.float32)) > 0
    return reach


def stationary_law(rates: Tensor) -> Tensor:
    """The law (..., K) that jumps at these rates (..., K, K) keep, zero on transient states; the diagonal must be zero.

    Raises
    ------
    ValueError
        When a member has more than one closed class, or only an absorbing state.
    """
    reach = reachable(rates)
    recurrent = (reach <= reach.mT).all(-1)  # whatever i reaches leads back to i
    if bool(recurrent.all()) and bool(reach.all()):
        return eliminated(rates)
    flat_rates, flat_reach, flat_recurrent = (
        x.reshape(-1, *x.shape[rates.ndim - 2 :]) for x in (rates, reach, recurrent)
    )
    laws = []
    for member, reached, stays in zip(flat_rates, flat_reach, flat_recurrent, strict=True):
        states = torch.nonzero(stays)[:, 0]
        classes = {tuple(torch.nonzero(reached[i])[:, 0].tolist()) for i in states.tolist()}
        if len(classes) > 1:
            raise ValueError(
                f"there is more than one steady state: the states fall apart into the closed classes {sorted(classes)}"
            )
        if len(states) == 1 and member.shape[-1] > 1:
            raise ValueError(
                f"state {states.item()} is absorbing: nothing leads out of it, jumps end there and keep no steady state"
            )
        law = eliminated(member[states][:, states])
        laws.append(torch.zeros_like(member[0]).index_put((states,), law))
    return torch.stack(laws).reshape(rates.shape[:-1])


def eliminated(rates: Tensor) -> Tensor:
    """The steady state of irreducible rates by censoring states one by one: no subtraction, entrywise accurate.

    References
    ----------
    Grassmann, Taksar and Heyman, "Regenerative analysis and steady state distributions", Oper. Res. 33 (1985).
    """
    inflows = []
    while rates.shape[-1] > 1:
        leaving = rates[..., -1, :-1]
        inflow = rates[..., :-1, -1] / leaving.sum(-1, keepdim=True)
        inflows.append(inflow)
        rates = rates[..., :-1, :-1] + inflow[..., :, None] * leaving[..., None, :]
        rates = rates - torch.diag_embed(rates.diagonal(dim1=-2, dim2=-1))
    law = torch.ones_like(rates[..., 0])
    for inflow in reversed(inflows):
        law = torch.cat([law, (law * inflow).sum(-1, keepdim=True)], -1)
    return law / law.sum(-1, keepdim=True)
