"""Parts of a joint law: which coordinates they are, whether they have densities, and sums over their alphabets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate, exact
from infotherm.core.quantity import NotApplicable
from infotherm.core.rounding import rounding_error
from infotherm.distributions import Gaussian
from infotherm.distributions.base import Distribution, Names


def part_blocks(joint: Distribution, x: Names, y: Names, given: Names | None) -> tuple[list[int], list[int], list[int]]:
    """The coordinates of x, of y and of `given`, which must be apart from both."""
    ix, iy = joint.part_indices(x), joint.part_indices(y)
    iz = [] if given is None else joint.part_indices(given)
    if set(iz) & ({*ix, *iy}):
        raise ValueError(f"given must name other parts than x and y; got x={x!r}, y={y!r}, given={given!r}")
    return ix, iy, iz


def apart(joint: Distribution, target: Names, given: Names) -> tuple[list[int], list[int]]:
    """The coordinates of two parts that must not overlap."""
    iy, iz = joint.part_indices(target), joint.part_indices(given)
    if not iy or not iz:
        raise ValueError(f"target and given must name at least one part each; got {target!r} and {given!r}")
    if set(iy) & set(iz):
        raise ValueError(f"target and given must be different parts; got {target!r} and {given!r}")
    return iy, iz


def rearranged(joint: Gaussian, **blocks: list[int]) -> Gaussian:
    """The marginal on the given coordinates, in blocks of those names."""
    filled = {name: indices for name, indices in blocks.items() if indices}
    law = joint.marginal([i for indices in filled.values() for i in indices])
    return law.with_parts({name: len(indices) for name, indices in filled.items()})


def blocks(joint: Distribution) -> list[list[int]]:
    """The coordinates of every named part, or every coordinate by itself."""
    names: list[str | int] = list(joint.parts) or list(range(joint.dim))
    return [joint.part_indices(name) for name in names]


def single_name(names: Names) -> str | int:
    """The name of one part; the empty name when there are several."""
    if isinstance(names, str | int):
        return names
    return names[0] if len(names) == 1 else ""


def at_most_three(dim: int) -> None:
    """Decline a quadrature in more than three dimensions."""
    if dim > 3:
        raise NotApplicable(f"quadrature is for at most 3 coordinates; these parts have {dim}")


def has_density(joint: Distribution, indices: list[int]) -> None:
    """Decline where the marginal on these coordinates is not known or has no density."""
    try:
        measure = joint.marginal(indices).measure
    except NotImplementedError as reason:
        raise NotApplicable(str(reason)) from None
    if measure != "lebesgue":
        raise NotApplicable(f"the marginal on coordinates {indices} has no density (its measure is {measure})")


def expected_logs(pmf: Tensor, logs: Sequence[Tensor], axes: int) -> Estimate:
    """sum pmf * (sum of logs) with its rounding: 0 log 0 = 0, and a probability is known to one rounding."""
    dims = tuple(range(-axes, 0))
    weighted = [pmf * log for log in logs]
    value = torch.stack(weighted).sum(0).sum(dims)
    sizes = [w.abs().sum(dims) for w in weighted]
    # a marginal is a pairwise sum of up to `count` terms: its logarithm moves by log2(count) roundings of one
    count = math.prod(pmf.shape[-axes:])
    slope = torch.ones_like(value) * len(logs) * (1 + math.log2(max(count, 2)))
    return exact(value, error=rounding_error(sizes, [(slope, torch.ones_like(value))]))


def safe_log(p: Tensor) -> Tensor:
    """log p, and 0 where p is zero: it is multiplied by a probability that is zero there as well."""
    positive = p > 0
    return torch.where(positive, torch.where(positive, p, 1.0).log(), 0.0)
