"""Numbers, matrices and probabilities: what all other strategies are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from torch import Tensor

Value = TypeVar("Value")
Range = tuple[float, float]
ONE: Range = (1.0, 1.0)


def drawn(draw: DrawFn, given: Value | SearchStrategy[Value] | None, default: SearchStrategy[Value]) -> Value:
    """`given` itself, or what is drawn from it, or from the default."""
    if given is None:
        return draw(default)
    return draw(given) if isinstance(given, SearchStrategy) else given


def numbers(draw: DrawFn, count: int, low: float, high: float) -> Tensor:
    """`count` numbers between two limits, shape (count,); they shrink to zero, or to the limit next to it."""
    if low == high:
        return torch.full((count,), low, dtype=torch.float64)
    number = st.floats(low, high, allow_subnormal=False)
    return torch.tensor(draw(st.lists(number, min_size=count, max_size=count)), dtype=torch.float64)


def common_factor(draw: DrawFn, scale: Range) -> float:
    """A factor within the range, evenly in its logarithm; it shrinks to one."""
    low, high = scale
    if not 0 < low <= high < math.inf:
        raise ValueError(f"scale must be a pair 0 < low <= high; got {scale}")
    return 10.0 ** float(numbers(draw, 1, math.log10(low), math.log10(high)))


def spectral(draw: DrawFn, dim: int, condition: float, singular: bool = False) -> tuple[Tensor, Tensor]:
    """Rotation (dim, dim) and eigenvalues (dim,) whose quotients are at most `condition`, zeros aside."""
    if condition < 1:
        raise ValueError(f"condition must be at least 1; got {condition}")
    spread = math.log(condition) / 2
    values = numbers(draw, dim, -spread, spread).exp()
    if singular:
        values = torch.where(torch.tensor(draw(st.lists(st.booleans(), min_size=dim, max_size=dim))), 0.0, values)
    rotation = torch.eye(dim, dtype=torch.float64)
    angles = iter(numbers(draw, dim * (dim - 1) // 2, -math.pi, math.pi).tolist())
    for i in range(dim):
        for j in range(i + 1, dim):
            angle = next(angles)
            first, second = rotation[:, i].clone(), rotation[:, j].clone()
            rotation[:, i] = math.cos(angle) * first - math.sin(angle) * second
            rotation[:, j] = math.sin(angle) * first + math.cos(angle) * second
    return rotation, values


@st.composite
def spd_matrices(
    draw: DrawFn,
    dim: int | SearchStrategy[int] | None = None,
    *,
    condition: float = 100.0,
    scale: Range = ONE,
    singular: bool = False,
    batch: Sequence[int] = (),
) -> Tensor:
    """Symmetric positive definite matrices, shape (*batch, dim, dim); they shrink to the identity.

    Parameters
    ----------
    dim
        Number of rows, or a strategy for it; 1 to 4 by default.
    condition
        The largest quotient of two eigenvalues.
    scale
        Range of the common factor of all coordinates (the matrix is multiplied by its square).
    singular
        Whether eigenvalues may be zero, all of them included.
    batch
        Leading axes: that many different matrices.

    Examples
    --------
    >>> from hypothesis import find, settings
    >>> find(spd_matrices(2), lambda c: True, settings=settings(database=None))
    tensor([[1., 0.],
            [0., 1.]], dtype=torch.float64)
    """
    size = drawn(draw, dim, st.integers(1, 4))
    square = common_factor(draw, scale) ** 2
    matrices = []
    for _ in range(math.prod(batch)):
        rotation, values = spectral(draw, size, condition, singular)
        root = rotation * values.sqrt()  # its products are right relative to the rows, however short one is
        matrix = square * (root @ root.mT)
        matrices.append((matrix + matrix.mT) / 2)
    return torch.stack(matrices).reshape(*batch, size, size) if matrices else torch.empty(*batch, size, size)


@st.composite
def pmfs(
    draw: DrawFn, size: int | SearchStrategy[int] | None = None, *, spread: float = 3.0, zeros: bool = False
) -> Tensor:
    """Probabilities that sum to one, shape (size,); they shrink to equal ones.

    Parameters
    ----------
    size
        How many, or a strategy for it; 1 to 5 by default.
    spread
        The logarithm of the largest quotient of two probabilities that are not zero.
    zeros
        Whether some may be zero (never all).

    Examples
    --------
    >>> from hypothesis import find, settings
    >>> find(pmfs(4), lambda p: True, settings=settings(database=None)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    count = drawn(draw, size, st.integers(1, 5))
    weights = numbers(draw, count, -spread / 2, spread / 2).exp()
    if zeros:
        absent = torch.tensor(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
        weights = torch.where(absent & ~absent.all(), 0.0, weights)
    return weights / weights.sum()
