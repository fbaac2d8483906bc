"""Entropy production of jump processes and chains: their rules of the two quantities."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.posterior import like
from infotherm.core.estimate import Estimate
from infotherm.core.quantity import NotApplicable
from infotherm.core.tensors import as_tensor
from infotherm.distributions import Discrete
from infotherm.processes import MarkovChain, MarkovJump
from infotherm.processes.chain import whole_steps
from infotherm.thermodynamics.jump_entropy import (
    chain_production,
    chain_rate,
    check_states,
    jump_production,
    jump_rate,
)
from infotherm.thermodynamics.rates import rate_quantity
from infotherm.thermodynamics.totals import integrated, law_at, resolved, total_quantity

_STEPS = 33  # steps at which the total of a chain is resolved, unless asked for others


@rate_quantity.rule(MarkovJump, Discrete, method="closed-form")
def markov_jump_rate(process: MarkovJump, p: Discrete, t: Any) -> Estimate:
    """Currents times affinities, reservoir by reservoir."""
    check_states(process, p)
    t = as_tensor(t, "t", device=p.device)
    batch = torch.broadcast_shapes(t.shape, p.batch_shape, process.batch_shape)
    pmf = p.pmf.expand(*batch, process.states)
    return jump_rate(like(process.reservoir_rates_at(t), pmf), pmf[..., None, :]).sum(-1)


@rate_quantity.rule(MarkovChain, Discrete, method="closed-form")
def markov_chain_rate(process: MarkovChain, p: Discrete, t: Any) -> Estimate:
    """What the step from the law p produces."""
    check_states(process, p)
    steps = whole_steps(t, "t")
    batch = torch.broadcast_shapes(steps.shape, p.batch_shape, process.batch_shape)
    return chain_rate(like(process.matrix, p.pmf), p.pmf.expand(*batch, process.states))


def _needs_constant_rates(process: MarkovJump, p0: Discrete, *rest: Any) -> None:
    if process.driven:
        raise NotApplicable("the rates are driven: the medium's entropy is an integral over time")


@total_quantity.rule(MarkovJump, Discrete, method="closed-form", when=_needs_constant_rates)
def markov_jump_total(process: MarkovJump, p0: Discrete, start: Tensor, end: Tensor, *, times: Any = None) -> Estimate:
    """Shannon entropy of the system plus the integrated occupation times the affinities."""
    check_states(process, p0, "p0")
    total, system, medium = jump_production(process, p0.pmf, start, end)
    return resolved(total, process, p0, start, end, times, {"system": system, "medium": medium})


@total_quantity.rule(MarkovJump, Discrete, method="quadrature")
def markov_jump_integral(
    process: MarkovJump,
    p0: Discrete,
    start: Tensor,
    end: Tensor,
    *,
    times: Any = None,
    tolerance: float = 1e-11,
    route: str | None = None,
) -> Estimate:
    """The balance with the medium integrated over time (driven rates), or the integral of the rate (route="rate")."""
    check_states(process, p0, "p0")
    route = route or ("balance" if process.driven else "rate")
    if route not in ("balance", "rate"):
        raise ValueError(f"route must be 'balance' or 'rate'; got {route!r}")
    if route == "balance":
        total, system, medium = jump_production(process, p0.pmf, start, end)
        return resolved(total, process, p0, start, end, times, {"system": system, "medium": medium})
    still = jump_production(process, p0.pmf, start, end)[0]  # jumps of no return: infinite, not integrated
    if bool(still.value.isinf().any()):
        return resolved(replace(still, method="quadrature"), process, p0, start, end, times, {})

    units = like(process.transition_accuracy(start, end)[0], p0.pmf) / torch.finfo(p0.dtype).eps

    def rate(t: Tensor) -> Estimate:
        found = rate_quantity(process, law_at(process, p0, start, t), t)
        return replace(found, error=found.error * (1 + units))  # the law at t is known to `units` of eps

    return resolved(integrated(rate, p0, start, end, tolerance), process, p0, start, end, times, {})


@total_quantity.rule(MarkovChain, Discrete, method="closed-form")
def markov_chain_total(
    process: MarkovChain, p0: Discrete, start: Tensor, end: Tensor, *, times: Any = None
) -> Estimate:
    """Shannon entropy of the system plus the visits times the log ratios; `times` are whole numbers of steps."""
    check_states(process, p0, "p0")
    begin, steps = whole_steps(start, "start"), whole_steps(end - start, "duration")
    total, system, medium = chain_production(like(process.matrix, p0.pmf), p0.pmf, steps.to(p0.device))
    if times is None:
        fractions = torch.linspace(0.0, 1.0, min(_STEPS, int(steps.max()) + 1), dtype=torch.float64)
        times = (begin + (fractions.reshape(-1, *[1] * steps.ndim) * steps).round()).to(torch.float64)
    info = {"system": system, "medium": medium}
    return resolved(total, process, p0, start, end, whole_steps(times, "times").to(torch.float64), info)
