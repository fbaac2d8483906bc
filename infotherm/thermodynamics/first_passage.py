"""First passage of jumps and chains to a set of states: phase-type laws by sums of non-negative numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.posterior import like
from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, require_finite, validating
from infotherm.distributions import Discrete, as_distribution
from infotherm.processes import MarkovChain, MarkovJump
from infotherm.processes.chain import whole_steps
from infotherm.processes.jump_paths import target_mask
from infotherm.processes.stationary import reachable
from infotherm.processes.uniformisation import stochastic_exponential
from infotherm.thermodynamics.jump_entropy import check_states


@dataclass(frozen=True)
class FirstPassage:
    """The law of the first time in a target set, from an initial law of the states.

    Attributes
    ----------
    mean, variance
        Of the time (for a chain: of the number of steps), shape (...); infinite where the target may never be met.
    means
        The mean from each state, shape (..., K), zero in the target.
    """

    mean: Estimate
    variance: Estimate
    means: Estimate
    _moves: Tensor
    _stay: Tensor
    _pmf: Tensor
    _hit: Tensor
    _chain: bool

    def survival(self, t: Any) -> Estimate:
        """P(the target was not met up to time t), of the shape of t broadcast with the batch."""
        alive, _, error = self._at(t)
        total = alive.sum(-1)
        return Estimate(total, error=error * total.detach() + rounding_error([total]), units="1")

    def cdf(self, t: Any) -> Estimate:
        """P(the target was met up to time t): not one minus the survival, so that small ones keep their digits."""
        _, arrived, error = self._at(t)
        return Estimate(arrived, error=error * arrived.detach() + rounding_error([arrived]), units="1")

    def density(self, t: Any) -> Estimate:
        """The probability density of the first passage at time t > 0; for a chain, the probability of t steps."""
        t = as_tensor(t, "t", dtype=torch.float64)
        alive, _, error = self._at(t - 1 if self._chain else t)
        value = (alive * (self._moves * self._hit).sum(-1)).sum(-1)
        units = "1/step" if self._chain else "1/time"
        return Estimate(value, error=(error + 1e-15) * value.detach() + rounding_error([value]), units=units)

    def _at(self, t: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities of the states (..., K) without the target, that of the target, and their relative error."""
        t = require_finite(as_tensor(t, "t", dtype=torch.float64, device=self._pmf.device), "t")
        if validating(t) and bool((t < 0).any()):
            raise ValueError(f"t must be >= 0; got {t.min().item()}")
        stopped = torch.where(self._hit[:, None], 0.0, self._moves)
        eps = torch.finfo(self._pmf.dtype).eps
        if self._chain:
            steps = whole_steps(t, "t")
            stay = torch.diag(torch.where(self._hit, 1.0, self._stay))
            matrix = MarkovChain(stopped + stay).transition(0, steps).matrix
            error = (4.0 + matrix.shape[-1]) * (1 + steps.to(self._pmf)) * eps
        else:
            matrix, _, units = stochastic_exponential(stopped, like(t, self._pmf))
            error = units * eps
        law = (self._pmf[..., None, :] @ matrix)[..., 0, :]
        return torch.where(self._hit, 0.0, law), torch.where(self._hit, law, 0.0).sum(-1), error


def first_passage_time(process: MarkovJump | MarkovChain, target: Any, p0: Any) -> FirstPassage:
    r"""Mean, variance and law of the first time at which a jump process or a chain is in a set of states.

    The means m_i from the states outside solve sum_j k_ij (m_i - m_j) = 1 with m = 0 in the target, the variances
    sum_j k_ij (v_i - v_j) = sum_j k_ij (m_i - m_j)^2 (chains: P_ij (1 + m_j - m_i)^2), both by elimination without
    subtraction; from the law p0 the variance is sum p0 v plus the variance of m. Survival and density by uniformisation
    of the process that stops in the target.

    Parameters
    ----------
    process
        A MarkovJump with constant rates, or a MarkovChain; no batch.
    target
        States, a number or several.
    p0
        A Discrete law of the states, any batch. Who starts in the target has arrived: time 0.

    Raises
    ------
    ValueError
        For states that are none, driven rates, or a target that is empty.

    References
    ----------
    Neuts, "Matrix-geometric solutions" (1981), ch. 2 (phase-type laws); Alfa, Xue and Ye, Math. Comp. 71 (2002) 217
    (elimination for M-matrices).

    Examples
    --------
    >>> steps = MarkovJump([[0.0, 2.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    >>> passage = first_passage_time(steps, 2, [1.0, 0.0, 0.0])
    >>> passage.mean, passage.survival(1.0)
    (2 +- 4.8e-14 time  exact  closed-form, 0.665143319366 +- 5e-15  exact  closed-form)
    """
    if not isinstance(process, MarkovJump | MarkovChain):
        raise TypeError(f"process must be a MarkovJump or a MarkovChain; got {type(process).__name__}")
    if isinstance(process, MarkovJump) and process.driven:
        raise ValueError("the first passage needs constant rates: simulate driven ones with a target")
    if process.batch_shape:
        raise ValueError(f"process must be a single one; got the batch {tuple(process.batch_shape)}")
    law = p0 if isinstance(p0, Discrete) else as_distribution(p0, "p0") if hasattr(p0, "sample") else Discrete(p0)
    assert isinstance(law, Discrete)
    check_states(process, law, "p0")
    chain = isinstance(process, MarkovChain)
    moves, pmf = like(process.moves if chain else process.rates, law.pmf), law.pmf
    hit = target_mask(process, target)
    assert hit is not None
    outside = torch.nonzero(~hit).flatten()
    # where the process may end up without ever meeting the target
    reach = reachable(torch.where(hit[:, None], 0.0, moves))
    lost = ~(reach & hit).any(-1)
    infinite = (reach & lost).any(-1) & ~hit
    inside = torch.where(infinite[:, None] | infinite, 0.0, moves)
    kept = outside[~infinite[outside]]
    stay = like(process.matrix.diagonal(), pmf) if isinstance(process, MarkovChain) else torch.zeros_like(moves[0])
    eps, units = torch.finfo(pmf.dtype).eps, "step" if chain else "time"
    relative = 12.0 * process.states**2 * eps  # of what elimination finds
    mean, variance, blur = (torch.zeros_like(moves[0]) for _ in range(3))
    if len(kept):
        among, leaving = inside[kept][:, kept], torch.where(hit, moves, 0.0).sum(-1)[kept]
        mean = mean.index_put((kept,), eliminated_times(among, leaving, torch.ones_like(leaving)))
        drop = mean[:, None] - mean - float(chain)  # of the time that is left, plus the time passed
        source = (moves * drop.square()).sum(-1) + stay
        variance = variance.index_put((kept,), eliminated_times(among, leaving, source[kept]))
        with torch.no_grad():
            reach = relative * (mean[:, None] + mean)
            lost_digits = (moves * (2 * drop.abs() + reach) * reach).sum(-1)
            blur = blur.index_put((kept,), eliminated_times(among, leaving, lost_digits[kept]))

    def over_states(values: Tensor, error: Tensor, unit: str) -> Estimate:
        never, tiny = (pmf * infinite).sum(-1) > 0, torch.finfo(pmf.dtype).tiny
        error = (pmf * (relative * values.detach() + error)).sum(-1) + tiny
        value = torch.where(never, torch.inf, (pmf * values).sum(-1))
        return Estimate(value, error=torch.where(never, tiny, error), units=unit)

    average = (pmf * mean).sum(-1, keepdim=True)
    apart = mean - average
    spread_error = blur + 2 * relative * apart.detach().abs() * (mean + average).detach()
    return FirstPassage(
        mean=over_states(mean, torch.zeros_like(mean), units),
        variance=over_states(variance + apart.square(), spread_error, f"{units}^2"),
        means=Estimate(
            torch.where(infinite, torch.inf, mean),
            error=torch.where(infinite, 0.0, relative * mean.detach()) + torch.finfo(mean.dtype).tiny,
            units=units,
        ),
        _moves=moves,
        _stay=stay,
        _pmf=pmf,
        _hit=hit,
        _chain=chain,
    )


def eliminated_times(among: Tensor, leaving: Tensor, source: Tensor) -> Tensor:
    """x with sum_j among_ij (x_i - x_j) + leaving_i x_i = source_i, all >= 0, by censoring states one by one.

    Nothing is subtracted: every entry of x is accurate relative to itself.
    """
    stages = []
    while among.shape[-1] > 1:
        out, into, exit_last, earn = among[-1, :-1], among[:-1, -1], leaving[-1], source[-1]
        total = out.sum() + exit_last
        stages.append((out, total, earn))
        share = into / total
        among = among[:-1, :-1] + share[:, None] * out
        among = among - torch.diag(among.diagonal())
        leaving, source = leaving[:-1] + share * exit_last, source[:-1] + share * earn
    x = source / leaving
    for out, total, earn in reversed(stages):
        x = torch.cat([x, ((earn + (out * x).sum()) / total)[None]])
    return x
