"""Distances between laws of atoms: by sorting on a line, else by an optimal plan."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import validating
from infotherm.distributions import Discrete, Empirical
from infotherm.distributions.base import Distribution
from infotherm.transport.discrete import optimal_transport


def atoms_of(law: Distribution) -> tuple[Tensor, Tensor]:
    """Points (N, D) and their probabilities (N,), which add up to one."""
    if isinstance(law, Empirical):
        points, weights = law.samples, law.weights
    else:
        support = law.enumerate_support()
        points = law.values_at(support) if isinstance(law, Discrete) else support.to(law.dtype)
        weights = law.log_prob(support).exp()
    return points, weights / weights.sum()


def atomic_distance(p: Distribution, q: Distribution, order: float) -> Estimate:
    """W_order of two laws of atoms of one dimension, without batch; differentiable in points and weights.

    Raises
    ------
    ModuleNotFoundError
        In D > 1 without the package POT.

    Examples
    --------
    >>> atomic_distance(Discrete([0.5, 0.5]), Discrete([0.25, 0.75]), 1.0).value.item()
    0.25
    """
    dtype = torch.promote_types(p.dtype, q.dtype)
    if p.dim > 1:
        (x, a), (y, b) = atoms_of(p), atoms_of(q)
        return _assigned(x.to(dtype), a.to(dtype), y.to(dtype), b.to(dtype), order)
    (x, a), (y, b) = _on_a_line(p), _on_a_line(q)
    a, b = (None if weights is None else weights.to(dtype) for weights in (a, b))
    return sorted_distance(x.to(dtype), a, y.to(dtype), b, order)


def _on_a_line(law: Distribution) -> tuple[Tensor, Tensor | None]:
    """Points (N,), and their probabilities, None where they are equal."""
    if isinstance(law, Empirical) and law.equal_weights:
        return law.samples[:, 0], None
    points, weights = atoms_of(law)
    return points[:, 0], weights


def sorted_distance(x: Tensor, a: Tensor | None, y: Tensor, b: Tensor | None, order: float) -> Estimate:
    """W_order of points on a line, (n,) and (m,), with weights that sum to one, or None for equal ones.

    Both quantile functions are constant between neighbouring levels of either: (sum of widths |x - y|^order)^(1/order).

    Examples
    --------
    >>> x = torch.tensor([0.0, 3.0, 1.0], dtype=torch.float64)
    >>> sorted_distance(x, None, x + 2, None, 1.0).value.item()
    2.0
    """
    if a is None and b is None and len(x) == len(y):
        x, y = _sorted(x), _sorted(y)
        largest = max(float((x[-1] - y[0]).detach()), float((y[-1] - x[0]).detach()))
        # what was sorted is a copy: it may be written on
        gaps = x - y if x.requires_grad or y.requires_grad else x.sub_(y)
        scale, powers = powers_of(gaps, order, largest)
        power = powers.mean()
        return rooted(power, rounding_error([power, power]), order, scale, "closed-form")
    x, levels_x = _staircase(x, a)
    y, levels_y = _staircase(y, b)
    gaps, widths = steps_between(x, levels_x, y, levels_y)
    scale, powers = powers_of(gaps, order)
    power = (widths * powers).sum()
    # sums of n weights are off by n eps at most
    off = torch.finfo(x.dtype).eps * (2 + (0 if a is None else len(x)) + (0 if b is None else len(y)))
    return rooted(power, levels_error(power, powers, off), order, scale, "closed-form")


def steps_between(x: Tensor, levels_x: Tensor, y: Tensor, levels_y: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of two staircases with these values up to these levels, and the widths over which they hold."""
    levels = torch.cat([levels_x, levels_y])
    merge = _order(levels)
    from_x = merge < len(x)
    widths = levels[merge].diff(prepend=levels.new_zeros(1))
    of_x = (from_x.cumsum(0) - from_x.long()).clamp(max=len(x) - 1)
    of_y = ((~from_x).cumsum(0) - (~from_x).long()).clamp(max=len(y) - 1)
    return x[of_x] - y[of_y], widths


def levels_error(power: Tensor, powers: Tensor, off: float) -> Tensor:
    """The error of a sum of powers times widths between levels that are off: mass moves between neighbouring steps."""
    steps = powers.detach()
    return rounding_error([power, power]) + off * (steps.diff().abs().sum() + steps[-1])


def _staircase(x: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Points in order, and the probability up to and with each."""
    if weights is None:
        return _sorted(x), torch.arange(1, len(x) + 1, dtype=x.dtype, device=x.device) / len(x)
    order = _order(x)
    return x[order], weights[order].cumsum(0)


def _by_numpy(x: Tensor) -> bool:
    """Whether numpy sorts it, which on a CPU it does many times faster than torch."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and validating(x)


def _sorted(x: Tensor) -> Tensor:
    if not _by_numpy(x) or (torch.is_grad_enabled() and x.requires_grad):
        return x[_order(x)]
    return torch.from_numpy(np.sort(x.detach().numpy()))


def _order(x: Tensor) -> Tensor:
    """The order of the numbers, by runs where there are long ones already."""
    if not _by_numpy(x):
        return x.detach().argsort(stable=True)
    values = x.detach().numpy()
    return torch.from_numpy(values.argsort(kind="stable" if len(values) > 1 and _in_runs(values) else None))


def _in_runs(values: np.ndarray) -> bool:
    some = values[: min(len(values), 64)]
    return bool((np.diff(some) >= 0).all())


def powers_of(gaps: Tensor, order: float, largest: float | None = None) -> tuple[float, Tensor]:
    """(|gap| / scale)^order, with a power of two as the scale so that nothing overflows; `largest` bounds the gaps."""
    if order == 1:
        return 1.0, gaps.abs()
    scale = _scale(float(gaps.detach().abs().max()) if largest is None else largest, order, gaps.dtype)
    gaps = gaps / scale if scale != 1 else gaps
    return scale, gaps.square() if order == 2 else gaps.abs().pow(order)


def _scale(largest: float, order: float, dtype: torch.dtype) -> float:
    """A power of two by which lengths are divided before powers are taken: 1 where no power leaves the range."""
    exponent = math.frexp(largest)[1] if math.isfinite(largest) else 0
    safe = abs(exponent) * order < (500 if dtype == torch.float64 else 60)
    return 1.0 if safe else 2.0 ** min(max(exponent, -1000), 1000)


def _assigned(x: Tensor, a: Tensor, y: Tensor, b: Tensor, order: float) -> Estimate:
    """By the cost |x - y|^order, in float64 whatever the dtype of the points."""
    lengths = torch.cdist(x.detach().double(), y.detach().double(), compute_mode="donot_use_mm_for_euclid_dist")
    scale = _scale(float(lengths.max()), order, lengths.dtype)
    costs = (lengths / scale).pow_(order)
    found = optimal_transport(a, b, costs)
    power = found.cost.value
    if torch.is_grad_enabled() and (x.requires_grad or y.requires_grad):
        rows, columns = torch.nonzero(found.plan, as_tuple=True)
        moved = torch.linalg.vector_norm((x[rows] - y[columns]) / scale, dim=-1)
        powers = (found.plan[rows, columns].to(x.dtype) * moved.pow(order)).sum()
        power = power + (powers - powers.detach())
    # lengths are known to some eps, their powers to order times as much
    error = found.cost.error + rounding_error([power]) * order * (x.shape[1] + 4)
    return rooted(power.to(x.dtype), error.to(x.dtype), order, scale, "closed-form", duality_gap=found.gap)


def rooted(power: Tensor, error: Tensor, order: float, scale: Any, method: str, **info: Any) -> Estimate:
    """scale times the root of a power that cannot be negative: its gradient at zero is zero."""
    positive = power > 0
    root = power if order == 1 else torch.where(positive, torch.where(positive, power, 1.0).pow(1 / order), 0.0)
    centre = power.detach().clamp(min=0.0)
    ends = [(centre + side * error).clamp(min=0.0).pow(1 / order) for side in (-1, 1)]
    way = torch.maximum(root.detach() - ends[0], ends[1] - root.detach())
    value = root * scale
    error = way * scale + rounding_error([value])
    return Estimate(value, error=error, method=method, units="1", info=info)
