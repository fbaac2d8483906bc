"""Exact optimal transport between two vectors of weights, with the dual potentials that prove it."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, as_tensors, require_finite

_ROWS = 32  # of the costs looked at together: they stay in the cache
_HUGE = 1e7  # times a usual cost: beyond, potentials as large lose the digits of the others
_FIRST_CAP, _NEXT_CAP = 1e2, 1e3
_LEAST_UNIT, _LARGEST_UNIT = 2.0**-4, 2.0**8


@dataclass(frozen=True, eq=False)
class OptimalTransport:
    """A plan of least cost between two vectors of weights, and the proof that it is one.

    Attributes
    ----------
    cost
        The least cost sum_ij plan_ij cost_ij, kind "exact"; its error holds the duality gap, what the plan's marginals
        miss, and rounding. Differentiable in the costs (by the plan) and in the weights (by the potentials).
    plan
        Shape (n, m), not negative, with the weights as its sums over rows and columns up to rounding.
    potentials
        u (n,) and v (m,) with u_i + v_j <= cost_ij, so that sum_i a_i u_i + sum_j b_j v_j is at most the cost of any
        plan; they are shifted so that the two sums are equal.
    gap
        Cost of the plan less that of the potentials: 0 up to rounding for an optimal plan.
    """

    cost: Estimate
    plan: Tensor
    potentials: tuple[Tensor, Tensor]
    gap: float


def optimal_transport(a: Any, b: Any, cost: Any, *, max_iterations: int = 10_000_000) -> OptimalTransport:
    """The plan min over P >= 0, P 1 = a, P^T 1 = b of sum_ij P_ij cost_ij, by the network simplex of POT.

    The potentials that come with it are made feasible, whatever the solver did: their value is a lower bound on every
    plan's cost, and the distance between the two, the duality gap, goes into the error. Costs that dwarf the usual ones
    (entries of 1e32 that forbid a pair) ruin the solver's digits without a word; they are cut to the smallest height at
    which the plan avoids them, which leaves the problem as it was.

    Parameters
    ----------
    a, b
        Weights, shapes (n,) and (m,), not negative, zero allowed, of equal sums up to the rounding of their dtype.
    cost
        Shape (n, m), finite, of any sign.
    max_iterations
        Of the network simplex.

    Raises
    ------
    ValueError
        For shapes that do not fit, numbers that are not finite, negative weights, or sums that differ.
    RuntimeError
        When the simplex did not finish.
    ModuleNotFoundError
        Without the package POT.

    Source: Bonneel, van de Panne, Paris and Heidrich, ACM Trans. Graph. 30, 158 (2011) for the solver; Villani,
    Topics in Optimal Transportation (2003), Theorem 1.3 for the duality.

    Examples
    --------
    >>> found = optimal_transport([0.5, 0.5], [0.25, 0.75], [[0.0, 1.0], [1.0, 0.0]])
    >>> found.cost.value.item(), found.plan.tolist()
    (0.25, [[0.25, 0.25], [0.0, 0.5]])
    >>> abs(found.gap) < 1e-15
    True
    """
    first, second, costs, coarse = _checked(a, b, cost)
    supply, demand, matrix = (t.detach().double().cpu().numpy() for t in (first, second, costs))
    supply_sum, demand_sum = float(supply.sum()), float(demand.sum())
    mismatch = abs(demand_sum - supply_sum) / supply_sum
    supply, demand = supply / supply_sum, demand / demand_sum  # the solver's tolerances are those of sums of one
    least, largest = float(matrix.min()), float(matrix.max())
    if not np.isfinite([least, largest]).all():
        require_finite(costs, "cost")
    usual = _usual(matrix, max(largest, -least))
    unit = 2.0 ** min(math.frexp(usual)[1], 1023)  # and of costs about one
    if not _LEAST_UNIT <= unit <= _LARGEST_UNIT:
        matrix, least, largest, usual = matrix / unit, least / unit, largest / unit, usual / unit
    else:
        unit = 1.0
    plan, u, v, height = _solved(supply, demand, matrix, usual, least, largest, max_iterations)
    primal, missed = _proved(plan, u, v, supply, demand, matrix, height)
    shift = 0.5 * float(supply @ u - demand @ v)
    u, v = u - shift, v + shift
    gap = primal - float(supply @ u + demand @ v)
    lever = float(supply @ np.abs(u) + demand @ np.abs(v))
    eps = torch.finfo(torch.float64).eps
    # repaired, the plan costs at most the dearest pair more for the mass that its marginals miss
    error = abs(gap) + missed * (height - least) + max(coarse, mismatch) * lever
    error = error + eps * sum(matrix.shape) * (abs(primal) + lever)

    size = unit * supply_sum
    plan, u, v = (torch.from_numpy(t).to(costs) for t in (plan * supply_sum, u * unit, v * unit))
    value = torch.as_tensor(primal * size, dtype=costs.dtype, device=costs.device)
    if torch.is_grad_enabled() and any(t.requires_grad for t in (first, second, costs)):
        value = value + (plan * (costs - costs.detach())).sum()
        value = value + (u * (first - first.detach())).sum() + (v * (second - second.detach())).sum()
    error = error * size + rounding_error([value])
    found = Estimate(value, error=error, units="1", info={"duality_gap": gap * size})
    return OptimalTransport(found, plan, (u, v), gap * size)


def _checked(a: Any, b: Any, cost: Any) -> tuple[Tensor, Tensor, Tensor, float]:
    """The arguments as tensors of one dtype, and the eps to which the weights are known."""
    eps = max(torch.finfo(as_tensor(w, name).dtype).eps for name, w in (("a", a), ("b", b)))
    first, second, costs = as_tensors(a=a, b=b, cost=cost)
    if costs.ndim != 2 or first.shape != costs.shape[:1] or second.shape != costs.shape[1:] or not costs.numel():
        raise ValueError(
            f"a, b and cost must have shapes (n,), (m,) and (n, m), none empty; got {tuple(first.shape)}, "
            f"{tuple(second.shape)} and {tuple(costs.shape)}"
        )
    for name, weights in (("a", first), ("b", second)):
        require_finite(weights, name)
        if bool((weights < 0).any()):
            raise ValueError(f"{name} must not be negative; got {weights.detach().min().item():.6g}")
    sums = [float(weights.detach().double().sum()) for weights in (first, second)]
    if not 0 < sums[0] < math.inf or abs(sums[0] - sums[1]) > eps ** (2 / 3) * sums[0]:
        raise ValueError(f"a and b must have equal, positive and finite sums; got {sums[0]:.9g} and {sums[1]:.9g}")
    return first, second, costs, eps


def _usual(costs: np.ndarray, largest: float) -> float:
    """The median size of some costs that are neither zero nor the largest."""
    some = np.abs(costs[:: 1 + costs.shape[0] // 64, :: 1 + costs.shape[1] // 64])
    some = some[(some > 0) & (some < largest)]
    return float(np.median(some)) if some.size else largest or 1.0


def _solved(
    supply: np.ndarray,
    demand: np.ndarray,
    costs: np.ndarray,
    usual: float,
    least: float,
    largest: float,
    max_iterations: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Plan, potentials, and the height to which huge costs were cut, one at which the plan avoids them."""
    height = _FIRST_CAP * usual
    if largest > _HUGE * usual and height > least:
        while height < largest:
            plan, u, v = _simplex(supply, demand, np.minimum(costs, height), max_iterations)
            if not bool((plan[costs > height] > 0).any()):
                return plan, u, v, height
            height *= _NEXT_CAP
    return *_simplex(supply, demand, costs, max_iterations), largest


def _simplex(
    supply: np.ndarray, demand: np.ndarray, costs: np.ndarray, max_iterations: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        import ot
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError("optimal transport of atoms needs the package POT (pip install POT)") from missing
    # the solver takes the largest cost for the size of all, and calls problems infeasible where that is negative
    least = min(float(costs.min()), 0.0)
    if least < 0:
        costs = costs - least
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is in the log, and raised below
        plan, log = ot.emd(supply, demand, costs, numItermax=max_iterations, log=True, check_marginals=False)
    if log["warning"] is not None:
        raise RuntimeError(
            f"optimal transport did not finish after max_iterations = {max_iterations}: {log['warning']}"
        )
    return plan, log["u"] + least, log["v"]


def _proved(
    plan: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    supply: np.ndarray,
    demand: np.ndarray,
    costs: np.ndarray,
    height: float,
) -> tuple[float, float]:
    """The cost of the plan, and the mass by which it misses its marginals; u and v are made feasible in place.

    v becomes the largest that u allows in the rows with weight; then u is set where a row has none.
    """
    v[:] = np.inf
    placed, arrived, missed = [], np.zeros_like(v), 0.0
    free = np.where(supply > 0, u, -np.inf)
    for start in range(0, len(u), _ROWS):
        rows = slice(start, start + _ROWS)
        part, block = plan[rows], costs[rows]
        if height < block.max(initial=height):
            block = np.minimum(block, height)
        np.minimum(v, (block - free[rows, None]).min(0), out=v)
        placed.append(float(np.vdot(part, block)))
        arrived += part.sum(0)
        missed += float(np.abs(part.sum(1) - supply[rows]).sum())
    for i in np.flatnonzero(supply == 0):
        u[i] = (np.minimum(costs[i], height) - v).min()
    return math.fsum(placed), missed + float(np.abs(arrived - demand).sum())
