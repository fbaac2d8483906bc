"""Edge by edge: flows, currents and affinities of jumps at one time, activity and mobility, affinities of cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.posterior import like
from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor
from infotherm.distributions import Discrete, as_distribution
from infotherm.processes import MarkovChain, MarkovJump, steady_state
from infotherm.processes.uniformisation import stochastic_exponential
from infotherm.thermodynamics.jump_entropy import certain_where, check_states, log_ratio
from infotherm.thermodynamics.rates import check_batches, first_time
from infotherm.thermodynamics.totals import integrated, interval, law_at


@dataclass(frozen=True)
class JumpEdges:
    """What happens along each edge i -> j of a jump process at one time, by reservoir: shape (..., R, K, K).

    Attributes
    ----------
    flows
        p_i k_ij, jumps per unit of time (for a chain, per step).
    currents
        p_i k_ij - p_j k_ji, antisymmetric.
    affinities
        log(p_i k_ij / (p_j k_ji)), antisymmetric; infinite where only one direction is possible, 0 where none is.
    production
        The entropy production rate of each edge, current times affinity, symmetric, as an Estimate: summed over i < j
        and the reservoirs it is the entropy production rate. Infinite for jumps of no return.
    activity
        Jumps in any direction per unit of time, sum_ij p_i k_ij, shape (...).
    mobility
        sum over i < j of (a - b) / log(a / b) for the flows a, b in both directions, shape (...): the logarithmic mean.
    """

    flows: Tensor
    currents: Tensor
    affinities: Tensor
    production: Estimate
    activity: Estimate
    mobility: Estimate


def jump_edges(process: MarkovJump | MarkovChain, p: Any = None, t: Any = None) -> JumpEdges:
    """Flows, currents, affinities and entropy production of every edge in the law p at time t.

    Parameters
    ----------
    process
        A MarkovJump, or a MarkovChain (per step, in the law at its beginning).
    p
        A Discrete law of the states, any batch; the steady state unless given.
    t
        Time; matters where rates are driven.

    Raises
    ------
    ValueError
        When p is not a law of the states, or there is no steady state to take for p.

    References
    ----------
    Schnakenberg, Rev. Mod. Phys. 48 (1976) 571, sec. VII; Van Vu and Saito, Phys. Rev. X 13 (2023) 011013 (mobility,
    activity).

    Examples
    --------
    >>> edges = jump_edges(MarkovJump([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]]))
    >>> edges.currents[0, 0, 1], edges.production[0, 0, 1]
    (tensor(0.6667, dtype=torch.float64), 0.732408192445 +- 1.9e-15 nat/time  exact  closed-form)
    """
    law = steady_state(process) if p is None else as_distribution(p, "p")
    if not isinstance(law, Discrete):
        raise TypeError(f"p must be a Discrete law of the states; got {type(law).__name__}")
    check_states(process, law)
    t = as_tensor(first_time(process) if t is None else t, "t", device=law.device)
    check_batches(process, law, t=t)
    per = "time"
    if isinstance(process, MarkovChain):
        rates, per = like(process.moves, law.pmf)[..., None, :, :], "step"
    else:
        rates = like(process.reservoir_rates_at(t), law.pmf)
    flows = law.pmf[..., None, :, None] * rates
    backward = flows.mT
    currents = flows - backward
    affinity, one_way = log_ratio(flows, backward)
    signed = torch.where(one_way, torch.inf, torch.where(one_way.mT, -torch.inf, affinity))
    sizes = rounding_error([(flows + backward) * affinity.abs() + currents.abs()])
    production = certain_where(one_way | one_way.mT, currents * affinity, sizes, f"nat/{per}")
    activity = flows.sum((-3, -2, -1))
    return JumpEdges(
        flows=flows,
        currents=currents,
        affinities=signed,
        production=production,
        activity=Estimate(activity, error=rounding_error([activity]), units=f"1/{per}"),
        mobility=_mobility(flows, f"1/{per}"),
    )


def _mobility(flows: Tensor, units: str) -> Estimate:
    """The sum over pairs of the logarithmic mean of both flows."""
    backward = flows.mT
    ratio, _ = log_ratio(flows, backward)
    both = (flows > 0) & (backward > 0)
    mean = torch.where(both & (ratio != 0), (flows - backward) / torch.where(ratio != 0, ratio, 1.0), flows)
    value = 0.5 * torch.where(both, mean, 0.0).sum((-3, -2, -1))
    return Estimate(value, error=rounding_error([2 * value]), units=units)


def dynamical_activity(process: MarkovJump, p0: Any, duration: Any, *, start: Any = None) -> Estimate:
    """The mean number of jumps over `duration` from the law p0: integral of sum_ij p_i k_ij dt (dimensionless).

    Constant rates: in closed form, from the occupations. Driven rates: integrated along the panels of the transition.
    """
    p0, begin, end = _setting(process, p0, duration, start)
    if process.driven:
        return _integral(process, p0, begin, end, lambda edges: edges.activity)
    _, passed, units = stochastic_exponential(like(process.rates, p0.pmf), like(end - begin, p0.pmf))
    value = ((p0.pmf[..., None, :] @ passed)[..., 0, :] * like(process.rates, p0.pmf).sum(-1)).sum(-1)
    return Estimate(value, error=units * rounding_error([value]), units="1")


def dynamical_mobility(process: MarkovJump, p0: Any, duration: Any, *, start: Any = None) -> Estimate:
    """The integral over `duration` of the mobility, the sum over edges of the logarithmic mean of both flows.

    W_1(p_0, p_T)^2 over it bounds the entropy production from below; by quadrature over time (dimensionless).

    References
    ----------
    Van Vu and Saito, Phys. Rev. X 13 (2023) 011013.
    """
    p0, begin, end = _setting(process, p0, duration, start)
    return _integral(process, p0, begin, end, lambda edges: edges.mobility)


def _setting(process: Any, p0: Any, duration: Any, start: Any) -> tuple[Discrete, Tensor, Tensor]:
    if not isinstance(process, MarkovJump):
        raise TypeError(f"process must be a MarkovJump; got {type(process).__name__}")
    law = as_distribution(p0, "p0")
    if not isinstance(law, Discrete):
        raise TypeError(f"p0 must be a Discrete law of the states; got {type(law).__name__}")
    check_states(process, law, "p0")
    begin, passed = interval(process, law, duration, start)
    check_batches(process, law, "p0", duration=passed)
    return law, begin, begin + passed


def _integral(process: MarkovJump, p0: Discrete, begin: Tensor, end: Tensor, part: Any) -> Estimate:
    def rate(t: Tensor) -> Estimate:
        return part(jump_edges(process, law_at(process, p0, begin, t), t))

    found = integrated(rate, p0, begin, end, 1e-12)
    relative, absolute = (like(e, p0.pmf) for e in process.transition_accuracy(begin, end))
    # flows are as accurate as the laws, and activity and mobility as the flows; no exit is faster than `most`
    most = like(process.rates_at(torch.stack([begin, end])).sum(-1), p0.pmf).amax()
    error = found.error + relative * found.value.detach() + absolute * most.detach() * like(end - begin, p0.pmf)
    return Estimate(found.value, error=error, method="quadrature", units="1", info=found.info)


def cycle_affinity(process: MarkovJump | MarkovChain, cycle: Sequence[int], t: Any = 0.0) -> Estimate:
    """log of the product of rates along a cycle of states over that of its reversal, in nats, shape (...).

    In the steady state the sum over fundamental cycles of current times affinity is the entropy production rate. With
    several reservoirs the rates of all together are taken.

    Parameters
    ----------
    process
        A MarkovJump or MarkovChain.
    cycle
        States in their order, without the first repeated at the end.

    Raises
    ------
    ValueError
        When the cycle has fewer than two states, or a rate along it or back is zero.

    References
    ----------
    Schnakenberg, Rev. Mod. Phys. 48 (1976) 571, sec. IX.

    Examples
    --------
    >>> cycle_affinity(MarkovJump([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]]), [0, 1, 2]).value
    tensor(3.2958, dtype=torch.float64)
    """
    states = [int(i) for i in cycle]
    if len(states) < 2 or not all(0 <= i < process.states for i in states):
        raise ValueError(f"cycle must hold at least two states from 0 to {process.states - 1}; got {list(cycle)}")
    rates = process.matrix if isinstance(process, MarkovChain) else process.rates_at(t)
    following = states[1:] + states[:1]
    forward, backward = rates[..., states, following], rates[..., following, states]
    if not bool(((forward > 0) & (backward > 0)).all()):
        raise ValueError(f"cycle must have positive rates in both directions; got {states} with a zero among them")
    terms = log_ratio(forward, backward)[0]
    return Estimate(terms.sum(-1), error=rounding_error([terms.abs().sum(-1) + len(states)]))
