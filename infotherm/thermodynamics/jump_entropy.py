"""Entropy production of jumps and chains: currents times affinities, and the balance of system and medium."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from infotherm.channels.posterior import like
from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.distributions import Discrete
from infotherm.processes import MarkovChain, MarkovJump
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
    affinity, one_way = log_ratio(forward, backward)
    value = 0.5 * ((forward - backward) * affinity).sum((-2, -1))
    error = rounding_error([value, ((forward + backward) * affinity.abs() + (forward - backward).abs()).sum((-2, -1))])
    return certain_where(one_way.any(-1).any(-1), value, error, "nat/time")


def chain_rate(matrix: Tensor, pmf: Tensor) -> Estimate:
    """sum_ij p_i P_ij log(p_i P_ij / (p'_j P_ji)) with p' = p P, shape (...): what the step from the law p produces.

    In the steady state sum_ij pi_i P_ij log(pi_i P_ij / (pi_j P_ji)); summed over steps, the total. In nat/step.

    References
    ----------
    Gaspard, J. Stat. Phys. 117 (2004) 599.
    """
    forward = pmf[..., :, None] * matrix
    backward = forward.sum(-2)[..., None, :] * matrix.mT
    affinity, one_way = log_ratio(forward, backward)
    value = (forward * affinity).sum((-2, -1))
    error = rounding_error([value, (forward * affinity.abs() + forward + backward).sum((-2, -1))])
    return certain_where(one_way.any(-1).any(-1), value, error, "nat/step")


def log_ratio(forward: Tensor, backward: Tensor) -> tuple[Tensor, Tensor]:
    """log(forward / backward) where both are positive, else 0; and where only the forward one is."""
    both = (forward > 0) & (backward > 0)
    up, down = torch.where(both, forward, 1.0), torch.where(both, backward, 1.0)
    quotient = up / down
    normal = (quotient > torch.finfo(quotient.dtype).tiny) & quotient.isfinite()
    ratio = torch.where(normal, torch.where(normal, quotient, 1.0).log(), up.log() - down.log())
    close = (up - down).abs() < 0.5 * down  # the logarithm of a quotient near one would lose digits
    ratio = torch.where(close, torch.log1p(torch.where(close, (up - down) / down, 0.0)), ratio)
    return ratio, (forward > 0) & (backward == 0)


def certain_where(infinite: Tensor, value: Tensor, error: Tensor, units: str = "nat") -> Estimate:
    """An exact Estimate that is infinite, for certain, where the mask says so."""
    tiny = torch.finfo(value.dtype).tiny
    return Estimate(
        torch.where(infinite, torch.inf, value), error=torch.where(infinite, tiny, error.detach()), units=units
    )


def check_states(process: MarkovJump | MarkovChain, p: Discrete, name: str = "p") -> None:
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


# -- totals ------------------------------------------------------------------------------------------------------------


def jump_production(
    process: MarkovJump, pmf: Tensor, start: Tensor, end: Tensor
) -> tuple[Estimate, Estimate, Estimate]:
    """Total, system and medium entropy between the times from the pmf p_0, each of shape (...), in nats.

    System: H(p_T) - H(p_0). Medium: integral of sum_ijr p_i k^r_ij log(k^r_ij / k^r_ji) dt. Constant rates: from the
    occupations, the integrals of p_i; driven ones: integrated along the panels of the transition.
    """
    return _driven_production(process, pmf, start, end) if process.driven else _constant(process, pmf, end - start)


def _constant(process: MarkovJump, pmf: Tensor, duration: Tensor) -> tuple[Estimate, Estimate, Estimate]:
    duration = like(duration, pmf)
    transition, passed, units = stochastic_exponential(like(process.rates, pmf), duration)
    law = (pmf[..., None, :] @ transition)[..., 0, :]
    occupation = (pmf[..., None, :] @ passed)[..., 0, :]
    rewards = medium_rewards(like(process.reservoir_rates_at(), pmf))
    medium, size, lost = (occupation[..., None] * rewards).sum(-2).unbind(-1)
    # probabilities and occupations are known to `units` of eps each
    error = units * rounding_error([size])
    relative = units * torch.finfo(pmf.dtype).eps
    return _balance(pmf, law, relative, torch.zeros_like(relative), medium, error, lost > 0)


def _driven_production(
    process: MarkovJump, pmf: Tensor, start: Tensor, end: Tensor
) -> tuple[Estimate, Estimate, Estimate]:
    batch = torch.broadcast_shapes(start.shape, end.shape, pmf.shape[:-1])
    start, end = torch.broadcast_tensors(start, end)
    panels = process.panels(start, end, reward=medium_rewards)
    # a rate that is zero in passing, or by rounding around such a time, forbids no way back
    width = panels.points.diff()
    passing = (width <= 1e-6 * width.sum())[:, None] * panels.earned[..., 2]
    lasting = panels.earned[..., 2] - passing
    panels = replace(panels, earned=torch.stack([*panels.earned[..., :2].unbind(-1), lasting, passing], -1))
    first, last = panels.index(start.flatten()), panels.index(end.flatten())
    transition, earned = (x.reshape(*start.shape, *x.shape[1:]) for x in panels.between(first, last))
    wide = pmf.to(torch.float64)
    law = (wide[..., None, :] @ transition)[..., 0, :].expand(*batch, -1)
    medium, size, lost, briefly = (wide[..., None] * earned).sum(-2).unbind(-1)

    def passed(x: Tensor) -> Tensor:
        total = torch.cat([x.new_zeros(1), x.detach().cumsum(0)])
        return (total[last] - total[first]).reshape(start.shape)

    relative, absolute = passed(panels.relative), passed(panels.absolute)
    missed = passed(panels.earned_error[:, 0]) + absolute * passed(panels.earned[..., 1].amax(-1))
    longest = -2 * math.log(torch.finfo(torch.float64).tiny)  # what a jump can earn at most
    error = missed + longest * briefly.detach() + (relative + 8 * torch.finfo(size.dtype).eps) * size.detach()
    found = _balance(wide.expand(*batch, -1), law, relative, absolute, medium, error, lost > 0)
    info = {} if panels.converged else {"converged": False}
    total, system, medium = (replace(e, method="quadrature", info=info).to(pmf.dtype) for e in found)
    return total, system, medium


def medium_rewards(rates: Tensor) -> Tensor:
    """Medium entropy a state earns in a unit of time, its size for rounding, and its rate of jumps of no return.

    Shape (..., R, K, K) -> (..., K, 3).
    """
    affinity, one_way = log_ratio(rates, rates.mT)
    columns = (rates * affinity, rates * affinity.abs() + rates, torch.where(one_way, rates, 0.0))
    return torch.stack([c.sum((-3, -1)) for c in columns], -1)


def chain_production(matrix: Tensor, pmf: Tensor, steps: Tensor) -> tuple[Estimate, Estimate, Estimate]:
    """Total, system and medium entropy of a number of steps (...) from the pmf p_0, each of shape (...), in nats.

    Medium: sum_ij (sum over steps of p_i) P_ij log(P_ij / P_ji).
    """
    size = matrix.shape[-1]
    batch = torch.broadcast_shapes(matrix.shape[:-2], steps.shape)
    total = torch.eye(size, dtype=pmf.dtype, device=pmf.device).expand(*batch, size, size)
    passed = torch.zeros_like(total)  # sum over the steps done of P^n, in products of 1, 2, 4, ... steps
    power, together, left, doublings = matrix, torch.eye(size, dtype=pmf.dtype, device=pmf.device), steps, 0
    while bool((left > 0).any()):
        odd = (left % 2 == 1)[..., None, None]
        passed = torch.where(odd, passed + total @ together, passed)
        total = torch.where(odd, total @ power, total)
        left, doublings = left // 2, doublings + 1
        if bool((left > 0).any()):
            together = together + power @ together
            power = power @ power
    law = (pmf[..., None, :] @ total)[..., 0, :]
    occupation = (pmf[..., None, :] @ passed)[..., 0, :]
    medium, reach, lost = (occupation[..., None] * medium_rewards(matrix[..., None, :, :])).sum(-2).unbind(-1)
    # relative errors of products of non-negative matrices add up: K for each factor
    relative = ((4.0 + size) * (1 + steps.to(pmf))) * torch.finfo(pmf.dtype).eps
    error = relative * reach.detach() + torch.finfo(pmf.dtype).tiny
    return _balance(pmf, law, relative, torch.zeros_like(relative), medium, error, lost > 0)


def _balance(
    before: Tensor,
    after: Tensor,
    relative: Tensor,
    absolute: Tensor,
    medium: Tensor,
    error: Tensor,
    irreversible: Tensor,
) -> tuple[Estimate, Estimate, Estimate]:
    """Total, system and medium entropy, from the laws at both ends and the medium's entropy.

    The later law is known to `relative` entry by entry and may be off by `absolute` in total besides.
    """
    old, new = (torch.special.entr(p).sum(-1) for p in (before, after))
    system = new - old
    size = (torch.special.entr(after) + after).sum(-1).detach()
    spread = torch.where(absolute > 0, absolute, 1.0)
    moved = absolute * (1 + torch.log(torch.tensor(float(after.shape[-1]))) - spread.log())  # Fannes, with room
    system_error = rounding_error([old, new, torch.ones_like(system)]) + relative * size + moved.to(size)
    total = certain_where(irreversible, system + medium, system_error + error)
    return total, Estimate(system, error=system_error), certain_where(irreversible, medium, error)
