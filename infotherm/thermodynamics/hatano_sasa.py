"""The law that the frozen process would keep, along driven paths: it splits their entropy in excess and housekeeping.

With phi = -log p_ss(x; c), p_ss the law that the process keeps when its drive stays at c,

    Y = integral of (d phi / dc) dc        the functional of Hatano and Sasa
    S_hk = medium entropy - Y + phi(x_T) - phi(x_0)       the housekeeping heat over the temperature

The means of exp(-S_hk), from any start, and of exp(-Y), from p_ss, are 1 (Speck and Seifert; Hatano and Sasa).
"""

from __future__ import annotations

import torch
from torch import Tensor

from infotherm.distributions.base import Distribution
from infotherm.processes import DiffusionProcess, MarkovChain, MarkovJump, Process, steady_state
from infotherm.processes.plans import Plan, middles_of
from infotherm.thermodynamics.counting import entropy_counting


class FrozenLaws:
    """The laws that the process would keep at the start, in the drive of each step, and at the end."""

    def __init__(self, process: DiffusionProcess, dim: int, plan: Plan) -> None:
        ends = plan.times[:1], plan.times[-1:]
        times = ends[0] if process.is_static else torch.cat([ends[0], middles_of(plan.times), ends[1]])
        self._laws: list[Distribution] = [process.quasi_invariant(float(t), dim) for t in times]

    def surprisal(self, x: Tensor, k: int) -> Tensor:
        """phi in the k-th of the laws; 0 is the start, -1 the end."""
        law = self._laws[k]
        return -law.log_prob(x.to(law.dtype)).to(x)

    def change(self, x: Tensor, k: int) -> Tensor | float:
        """What phi gains at the k-th edge, when the drive of step k - 1 gives way to that of step k."""
        if len(self._laws) == 1:
            return 0.0
        return self.surprisal(x, k + 1) - self.surprisal(x, k)


def housekeeping_counting(process: Process) -> Tensor:
    """Weights with which the sum over jumps is the housekeeping entropy: log(p_i k_ij / (p_j k_ji)), p at rest.

    The mean of exp(-sum) is 1 from any start and for any duration; with detailed balance all weights vanish.

    Parameters
    ----------
    process
        A MarkovJump of constant rates, or a MarkovChain, with one positive steady state p.

    Returns
    -------
    Tensor
        Shape (..., K, K), or by reservoir (..., R, K, K), for `simulate(..., counting=)`.

    Raises
    ------
    ValueError
        When a jump has no return, or there is no unique steady state.

    References
    ----------
    Speck and Seifert, J. Phys. A 38 (2005) L581; Esposito and Van den Broeck, Phys. Rev. Lett. 104 (2010) 090601.

    Examples
    --------
    >>> housekeeping_counting(MarkovJump([[0.0, 1.0], [2.0, 0.0]])).abs().max() < 1e-12
    tensor(True)
    """
    if not isinstance(process, MarkovJump | MarkovChain):
        raise TypeError(f"process must be a MarkovJump or a MarkovChain; got {type(process).__name__}")
    weights = entropy_counting(process)
    log_law = steady_state(process).pmf.log()  # type: ignore[attr-defined]
    excess = log_law[..., :, None] - log_law[..., None, :]
    several = weights.ndim > log_law.ndim + 1
    return weights + (excess[..., None, :, :] if several else excess)
