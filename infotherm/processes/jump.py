"""Markov jump processes on a finite set of states: exact transitions, steady state, detailed balance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infotherm.channels.discrete import DiscreteChannel
from infotherm.core.tensors import as_tensor, require_finite, require_shape, validating
from infotherm.distributions import Discrete
from infotherm.processes.base import Process


class MarkovJump(Process):
    """Jumps between K states at constant rates: dp_j / dt = sum_i (p_i rates[i, j] - p_j rates[j, i]).

    Parameters
    ----------
    rates
        Shape (..., K, K): rates[i, j] is the rate of jumps i -> j, >= 0 (1 / time); the diagonal is ignored.

    Raises
    ------
    ValueError
        For a negative rate, one that is not finite, or a matrix that is not square.

    Examples
    --------
    >>> chain = MarkovJump([[0.0, 1.0], [2.0, 0.0]])
    >>> chain.quasi_invariant(0.0).pmf, chain.marginal(Discrete([1.0, 0.0]), 0.1).pmf
    (tensor([0.6667, 0.3333], dtype=torch.float64), tensor([0.9136, 0.0864], dtype=torch.float64))
    """

    dim = 1
    start = None

    def __init__(self, rates: Any) -> None:
        if callable(rates) and not hasattr(rates, "__array__"):
            raise TypeError("rates must be a matrix of constant rates; got a function of time")
        rates = as_tensor(rates, "rates")
        size = require_shape(rates, ("...", "K", "K"), "rates")["K"]
        diagonal = torch.eye(size, dtype=torch.bool, device=rates.device)
        rates = torch.where(diagonal, 0.0, rates)
        require_finite(rates, "rates")
        if validating(rates) and bool((rates < 0).any()):
            where = torch.nonzero(rates < 0)[0].tolist()
            raise ValueError(f"rates must be >= 0; got {rates[tuple(where)].item():.6g} at index {where}")
        self.rates = rates
        self.states = size
        self.batch_shape = rates.shape[:-2]

    @property
    def is_static(self) -> bool:
        return True

    @property
    def generator(self) -> Tensor:
        """The generator L, shape (..., K, K), dp/dt = p L: the rates, and minus their row sums on the diagonal."""
        return self.rates - torch.diag_embed(self.rates.sum(-1))

    def transition(self, t0: Any, t1: Any) -> DiscreteChannel:
        """The channel exp(L (t1 - t0)), in the dtype of the rates, every entry to a few units in the last place."""
        t0, t1 = self._interval(t0, t1)
        return DiscreteChannel(stochastic_exponential(self.rates, (t1 - t0).to(self.rates))[0])

    def quasi_invariant(self, t: Any, dim: int | None = None) -> Discrete:
        """The law that the jumps keep.

        Raises
        ------
        ValueError
            When there is more than one: the states fall apart into closed classes.
        """
        if validating(self.rates):
            return Discrete(_steady_state(self.rates))
        return Discrete(_eliminated(self.rates))

    def has_detailed_balance(self) -> bool:
        """Whether no pair of states carries a current in the steady state, to rounding."""
        flow = self.quasi_invariant(0.0).pmf[..., :, None] * self.rates
        tolerance = 32 * self.states * torch.finfo(flow.dtype).eps * flow.amax((-2, -1), keepdim=True)
        return bool(((flow - flow.mT).abs() <= tolerance).all())


def stochastic_exponential(rates: Tensor, duration: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """exp(L t), its integral over [0, t], and by how many units in the last place their entries may be off.

    Uniformisation of a short step and doubling: sums and products of non-negative numbers only. Nothing cancels, so
    that small entries are as accurate as large ones; rows are kept at one, those of the integral at the time.

    Parameters
    ----------
    rates
        Shape (..., K, K), zero diagonal.
    duration
        Shape (...), broadcasts against the batch of the rates.

    Returns
    -------
    tuple
        Two matrices (..., K, K), and relative errors (...) in units of eps: K for each doubling, since a relative
        error of the transitions moves no probability by more than 2 K times that (O'Cinneide 1993).
    """
    size = rates.shape[-1]
    exits = rates.sum(-1)
    fastest = exits.amax(-1)
    turnover = (fastest * duration).detach()
    doublings = torch.ceil(torch.log2(turnover.clamp(min=1.0))).to(torch.int64)
    step = duration * torch.pow(2.0, -doublings.to(duration.dtype))
    identity = torch.eye(size, dtype=rates.dtype, device=rates.device)
    mass = (fastest * step)[..., None, None]
    # L h + m I, without a negative entry; the powers of it over k! times e^-m are a Poisson mixture
    uniform = rates * step[..., None, None] + torch.diag_embed((fastest[..., None] - exits) * step[..., None])
    count = 22  # mass <= 1: the rest is below 1 / 22! = 1e-21
    weights = [torch.full_like(mass, 1 / (count + 1))]  # k! / m^(k+1) times the chance of more than k jumps
    for k in range(count, 0, -1):
        weights.append((1 + mass * weights[-1]) / k)
    weights.reverse()
    term = total = identity.expand(uniform.shape)
    passed = weights[0] * term
    for k in range(1, count):
        term = term @ uniform / k
        total = total + term
        passed = passed + weights[k] * term
    matrix = _rows_summing_to(torch.ones_like(step), total)
    passed = _rows_summing_to(step, passed)
    most = 64 if not validating(doublings) else int(doublings.max()) if doublings.numel() else 0
    for i in range(most):
        more = (doublings > i)[..., None, None]
        step = torch.where(doublings > i, 2 * step, step)
        passed = torch.where(more, _rows_summing_to(step, passed + matrix @ passed), passed)
        matrix = torch.where(more, _rows_summing_to(torch.ones_like(step), matrix @ matrix), matrix)
    return matrix, passed, (8 + 2.0 * size * (1 + doublings)).to(rates.dtype)


def _rows_summing_to(total: Tensor, matrix: Tensor) -> Tensor:
    sums = matrix.sum(-1, keepdim=True)
    return matrix * (total[..., None, None] / sums)


def _steady_state(rates: Tensor) -> Tensor:
    """The steady state of each member of the batch, zero on transient states.

    Raises
    ------
    ValueError
        When a member has more than one closed class.
    """
    size = rates.shape[-1]
    reach = (rates.detach() > 0) | torch.eye(size, dtype=torch.bool, device=rates.device)
    for _ in range(size.bit_length()):
        reach = (reach.to(torch.float32) @ reach.to(torch.float32)) > 0
    recurrent = (reach <= reach.mT).all(-1)  # whatever i reaches leads back to i
    if bool(recurrent.all()) and bool(reach.all()):
        return _eliminated(rates)
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
        law = _eliminated(member[states][:, states])
        laws.append(torch.zeros_like(member[0]).index_put((states,), law))
    return torch.stack(laws).reshape(rates.shape[:-1])


def _eliminated(rates: Tensor) -> Tensor:
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
