"""Counting along the edges of a jump process: cumulant generating functions, mean and variance of currents."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, require_finite, validating
from infotherm.processes import MarkovChain, MarkovJump
from infotherm.processes.jump_paths import edge_weights
from infotherm.processes.stationary import eliminated
from infotherm.thermodynamics.jump_entropy import log_ratio
from infotherm.thermodynamics.tilting import LARGEST_TILT, require_irreducible, tilted

Process = MarkovJump | MarkovChain


def cumulant_generating_function(process: Process, counting: Any, q: Any) -> Estimate:
    r"""The scaled cumulant generating function lambda(q) = lim ln E[e^(q J_t)] / t of J = sum of counting over jumps.

    For jumps the largest eigenvalue of the tilted generator, k_ij e^(q c_ij) off the diagonal and minus the exit rates
    on it; for a chain the logarithm of that of P_ij e^(q c_ij). Its derivatives at 0 are the rates of the cumulants.

    Parameters
    ----------
    process
        A MarkovJump with constant rates, or a MarkovChain.
    counting
        counting[i, j] weights jumps i -> j, shape (..., K, K), or by reservoir (..., R, K, K).
    q
        Any shape; it broadcasts against the batches of the process and of the weights.

    Returns
    -------
    Estimate
        In nat/time, for a chain nat/step. Exact: the error is an enclosure of the eigenvalue (Collatz-Wielandt).

    Raises
    ------
    TypeError, ValueError
        For another process, driven rates, states that are left for good (named), or q counting above 500.

    References
    ----------
    Lebowitz and Spohn, J. Stat. Phys. 95 (1999) 333; Touchette, Phys. Rep. 478 (2009) 1, sec. 4.3.

    Examples
    --------
    >>> ring = MarkovJump([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]])
    >>> cycles = torch.tensor([[0, 1, -1], [-1, 0, 1], [1, -1, 0]]) / 3
    >>> cumulant_generating_function(ring, cycles, [0.0, 0.5]).value
    tensor([0.0000, 0.3906], dtype=torch.float64)
    """
    process = _accepted(process, "cumulant_generating_function")
    q = require_finite(as_tensor(q, "q", dtype=torch.float64, device=process.device), "q")
    root = tilted(process, edge_weights(process, counting, "counting"), q)
    value, error = root.value, root.error
    if isinstance(process, MarkovChain):
        room = value.detach() - error
        error = torch.where(room > 0, error / room.clamp(min=torch.finfo(error.dtype).tiny), torch.inf)
        value = value.log()
        error = error + rounding_error([value, torch.ones_like(value)])
    return Estimate(value, error=error, units=_units(process), info=_converged(root.converged))


@dataclass(frozen=True)
class CurrentStatistics:
    """Rates of the first two cumulants of a current J in the steady state.

    Attributes
    ----------
    mean
        lim E[J_t] / t, per unit of time (or per step).
    variance
        lim Var[J_t] / t, twice the diffusion constant.
    """

    mean: Estimate
    variance: Estimate


def current_statistics(process: Process, counting: Any) -> CurrentStatistics:
    r"""The mean rate and the variance rate of a current, J = sum of counting over jumps, in the steady state.

    Mean: sum_ij pi_i k_ij c_ij. With h the solution of Poisson's equation L h = mean - sum_j k_ij c_ij, the current is
    a martingale up to the difference of h between both ends, and

        variance = sum_ij pi_i k_ij (c_ij + h_j - h_i)^2

    (for a chain c_ij - mean + h_j - h_i): a sum of squares, the second derivative of the cumulant generating function.

    Parameters
    ----------
    process
        A MarkovJump with constant rates, or a MarkovChain.
    counting
        counting[i, j] weights jumps i -> j, shape (..., K, K), or by reservoir (..., R, K, K).

    Raises
    ------
    TypeError, ValueError
        As `cumulant_generating_function`.

    References
    ----------
    Asmussen, "Applied probability and queues" (2003), II.4d (Poisson's equation); Whitt, Probab. Eng. Inf. Sci. 6
    (1992) 335 (deviation matrix).

    Examples
    --------
    >>> ring = MarkovJump([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]])
    >>> cycles = torch.tensor([[0, 1, -1], [-1, 0, 1], [1, -1, 0]]) / 3
    >>> current_statistics(ring, cycles).variance.value
    tensor(0.4444, dtype=torch.float64)
    """
    process = _accepted(process, "current_statistics")
    weights = edge_weights(process, counting, "counting").to(torch.float64)
    chain = isinstance(process, MarkovChain)
    rates = _counted_rates(process).to(torch.float64)
    moves = process.moves.to(torch.float64) if chain else rates.sum(-3)
    law = eliminated(moves)
    flows = law[..., None, :, None] * rates
    mean = (flows * weights).sum((-3, -2, -1))
    own = (rates * weights).sum((-3, -1))
    offset, moved = _poisson_solution(moves, law, own - mean[..., None], (rates * weights.abs()).sum((-3, -1)))
    step = offset[..., None, :] - offset[..., :, None]
    steps = weights + step[..., None, :, :] - (mean[..., None, None, None] if chain else 0.0)
    variance = (flows * steps.square()).sum((-3, -2, -1))
    with torch.no_grad():
        eps, count = torch.finfo(torch.float64).eps, 16.0 * process.states
        # pi is known to 8 K eps entry by entry, the weights and their sums with h to a few units
        mean_error = eps * (count * (flows * weights.abs()).sum((-3, -2, -1)))
        sizes = weights.abs() + (offset.abs()[..., None, :] + offset.abs()[..., :, None])[..., None, :, :]
        shift = (moved[..., None, :] + moved[..., :, None])[..., None, :, :] + 4 * eps * sizes
        shift = shift + mean_error[..., None, None, None] * float(chain)
        slope = (flows * (2 * steps.abs() * shift + shift.square())).sum((-3, -2, -1))
        variance_error = slope + eps * count * variance
    per = "step" if chain else "time"
    tiny = torch.finfo(torch.float64).tiny
    return CurrentStatistics(
        Estimate(mean, error=mean_error + tiny, units=f"1/{per}"),
        Estimate(variance, error=variance_error + tiny, units=f"1/{per}"),
    )


def _poisson_solution(moves: Tensor, law: Tensor, source: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """h (..., K) with -L h = source (which averages to zero), and a bound on the error of each of its entries.

    h = Z source for the deviation matrix Z of the moves, Z^-1 = -L + m 1 pi^T; the error is Z times the residual.
    """
    exits = moves.sum(-1)
    scale = exits.amax(-1)[..., None, None]
    matrix = torch.diag_embed(exits) - moves + scale * law[..., None, :]
    offset = torch.linalg.solve(matrix, source[..., None])[..., 0]
    with torch.no_grad():
        eps, count = torch.finfo(offset.dtype).eps, 4.0 + moves.shape[-1]
        h = offset.detach()
        across = moves * (h[..., None, :] - h[..., :, None])
        residual = source + across.sum(-1)
        residual = residual.abs() + (law * residual).sum(-1, keepdim=True).abs()
        blur = eps * count * (sizes + source.abs() + (moves * (h.abs()[..., None, :] + h.abs()[..., :, None])).sum(-1))
        inverse = torch.linalg.inv(matrix).abs()
        moved = (inverse @ (residual + blur)[..., None])[..., 0]
    return offset, 2 * moved


def entropy_counting(process: Process) -> Tensor:
    """Weights with which the sum over jumps is the medium entropy: log(k_ij / k_ji), by reservoir (..., R, K, K).

    Raises
    ------
    ValueError
        When a jump has no return: it would weigh infinitely.
    """
    process = _accepted(process, "entropy_counting")
    rates = _counted_rates(process)
    weights, one_way = log_ratio(rates, rates.mT)
    if validating(rates) and bool(one_way.any()):
        where = torch.nonzero(one_way)[0].tolist()
        raise ValueError(f"every jump must have a return; got none for the jump {where[-2]} -> {where[-1]}")
    return weights if weights.shape[-3] > 1 else weights.squeeze(-3)


def gallavotti_cohen_residual(process: Process, q: Any, counting: Any = None, affinity: Any = 1.0) -> Estimate:
    """lambda(q) - lambda(-affinity - q), zero where affinity times the current is the entropy production up to ends.

    Parameters
    ----------
    q
        Any shape.
    counting
        Weights of the current; those of the medium entropy, for which the affinity is 1, unless given.
    affinity
        Entropy produced for each unit of the current.

    References
    ----------
    Lebowitz and Spohn, J. Stat. Phys. 95 (1999) 333.

    Examples
    --------
    >>> residual = gallavotti_cohen_residual(MarkovJump([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]]), 0.4)
    >>> abs(residual.value) <= residual.error
    tensor(True)
    """
    counting = entropy_counting(process) if counting is None else counting
    q, affinity = (as_tensor(x, name, dtype=torch.float64) for x, name in ((q, "q"), (affinity, "affinity")))
    return cumulant_generating_function(process, counting, q) - cumulant_generating_function(
        process, counting, -affinity - q
    )


def rate_function(process: Process, counting: Any, current: Any) -> Estimate:
    r"""The large deviation function I(j) = sup_q (q j - lambda(q)) of a current: P(J_t / t = j) ~ e^(-t I(j)).

    The derivative of lambda at q is the mean current of the tilted process; the root of lambda'(q) = j is bracketed and
    bisected. lambda is convex: its tangents at both ends of the bracket bound the error.

    Parameters
    ----------
    current
        j, any shape, per unit of time (or per step).

    Returns
    -------
    Estimate
        In nat/time (nat/step), >= 0. Where no tilt below 500 has this mean current, a lower bound without a known error
        (`converged` False, with a warning): the current may not be possible. A current of zero that every jump would
        change is one of no jumps, and found.

    References
    ----------
    Touchette, Phys. Rep. 478 (2009) 1 (Gaertner-Ellis theorem).

    Examples
    --------
    >>> ring = MarkovJump([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]])
    >>> rate_function(ring, torch.tensor([[0, 1, -1], [-1, 0, 1], [1, -1, 0]]) / 3, [0.0, 2 / 3]).value
    tensor([5.3590e-01, 0.0000e+00], dtype=torch.float64)
    """
    process = _accepted(process, "rate_function")
    current = require_finite(as_tensor(current, "current", dtype=torch.float64, device=process.device), "current")
    weights = edge_weights(process, counting, "counting").detach().to(torch.float64)
    weights = torch.where(_counted_rates(process) > 0, weights, 0.0)  # jumps that never happen count for nothing
    widest = float(weights.abs().amax())
    if widest == 0:
        raise ValueError("counting must not be zero everywhere")
    most = 0.999 * LARGEST_TILT / widest
    batch = torch.broadcast_shapes(current.shape, process.batch_shape, weights.shape[:-3])
    target = current.expand(batch)

    def tangent(q: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        root = tilted(process, weights, q)
        value, error = root.value.detach(), root.error
        slope, size = _tilted_mean(process, weights, q, root.balanced, root.law)
        if isinstance(process, MarkovChain):
            error = error / (value - error).clamp(min=torch.finfo(value.dtype).tiny)
            value, slope, size = value.log(), slope / value, size / value
        return value, error, slope, size

    low, high = torch.zeros_like(target), torch.zeros_like(target)
    width = 1.0 / widest
    for _ in range(64):  # the slope at low must be <= j <= that at high
        slope_low, slope_high = tangent(low)[2], tangent(high)[2]
        above, below = slope_low > target, slope_high < target
        if not bool(((above & (low > -most)) | (below & (high < most))).any()):
            break
        low = torch.where(above, (low - width).clamp(min=-most), low)
        high = torch.where(below, (high + width).clamp(max=most), high)
        width *= 2
    for _ in range(60):
        middle = 0.5 * (low + high)
        slope = tangent(middle)[2]
        low, high = torch.where(slope <= target, middle, low), torch.where(slope > target, middle, high)
    value_low, error_low, slope_low, size_low = tangent(low)
    value_high, error_high, slope_high, size_high = tangent(high)
    reached = (slope_low <= target + 1e-12 * size_low) & (slope_high >= target - 1e-12 * size_high)
    candidates = torch.stack([low * target - value_low, high * target - value_high])
    # sup <= value + (distance of the ends) * (how far the slopes are from j), by convexity
    gap = (high - low) * torch.maximum((target - slope_low).abs(), (slope_high - target).abs())
    value = candidates.amax(0).clamp(min=0.0)  # q = 0 gives zero
    # lambda cannot fall below the rate of staying: for j = 0 that bounds the supremum
    least = _staying(process)
    left = torch.where(target == 0, torch.minimum(value_low, value_high) - least, math.inf).clamp(min=0.0)
    still = ~reached & left.isfinite() & (left <= 1e-9 * least.abs())
    gap, reached = torch.where(still, left, gap), reached | still
    error = gap + torch.maximum(error_low, error_high) + rounding_error([low * target, value])
    info: dict[str, Any] = {"tilt": low}
    if not bool(reached.all()):
        info["converged"] = reached
        warnings.warn(
            f"no tilt |q| <= {most:.3g} has the mean current {float(target[~reached].flatten()[0]):.6g}: the rate "
            f"function is at least the value there, or infinite",
            RuntimeWarning,
            stacklevel=2,
        )
    return Estimate(value, error=torch.where(reached, error, math.inf), units=_units(process), info=info)


def _tilted_mean(process: Process, weights: Tensor, q: Tensor, balanced: Tensor, law: Tensor) -> tuple[Tensor, Tensor]:
    """The derivative of the Perron root, sum_ij l_i M_ij c_ij r_j / (l r), and the same sum of the sizes |c_ij|."""
    parts = _counted_rates(process).detach().to(torch.float64)
    parts = parts * torch.exp(q[..., None, None, None] * weights)
    whole = parts.sum(-3)

    def mean(worth: Tensor) -> Tensor:
        earned = (parts * worth).sum(-3)
        share = earned / torch.where(whole > 0, whole, 1.0)  # mean weight of an edge
        flows = (law[..., :, None] * balanced * share).sum((-2, -1))
        stays = (law * earned.diagonal(dim1=-2, dim2=-1)).sum(-1)
        return flows + stays * float(isinstance(process, MarkovChain))

    return mean(weights), mean(weights.abs())


def _counted_rates(process: Process) -> Tensor:
    """The rates, or for a chain the probabilities, of what can be counted: (..., R, K, K)."""
    return process.matrix[..., None, :, :] if isinstance(process, MarkovChain) else process.reservoir_rates_at()


def _staying(process: Process) -> Tensor:
    """What lambda is not below however the jumps are tilted: minus the least exit rate, or the log of P_ii, (...)."""
    if isinstance(process, MarkovChain):
        return process.matrix.detach().double().diagonal(dim1=-2, dim2=-1).amax(-1).log()
    return -process.rates.detach().double().sum(-1).amin(-1)


def _accepted(process: Any, asked: str) -> Process:
    if not isinstance(process, MarkovJump | MarkovChain):
        raise TypeError(f"process must be a MarkovJump or a MarkovChain; got {type(process).__name__}")
    require_irreducible(process, asked)
    return process


def _units(process: Process) -> str:
    return "nat/step" if isinstance(process, MarkovChain) else "nat/time"


def _converged(converged: Tensor) -> dict[str, Any]:
    if bool(converged.all()):
        return {}
    warnings.warn("the largest eigenvalue was enclosed to less than nine digits", RuntimeWarning, stacklevel=3)
    return {"converged": converged}
