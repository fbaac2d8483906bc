"""Nearest neighbours in the maximum norm, exactly: the numbers on which all neighbour estimators stand.

Distances are max_d |x_jd - q_d| as float64 computes them, and "closer" compares these very numbers: what is counted as
closer than a neighbour is closer by the same arithmetic that found the neighbour, on data of any scale and offset.
Estimators that search in a joint space and count in its subspaces (KSG) ask for both at once with `neighbour_counts`,
which orders the coordinates once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infotherm.estimators import max_norm_tiles

# so few pairs are compared one with another sooner than anything is sorted (or compiled)
_FEW_PAIRS = 1 << 12
_LARGEST = 2.0**1022 * 1.99  # differences of larger numbers could overflow
_MOST_NEIGHBOURS = 256  # that are kept in order one by one: more are sorted at once


class Neighbours(NamedTuple):
    """The nearest points of each query: distances (M, k), ascending, and indices (M, k)."""

    distances: Tensor
    indices: Tensor


def nearest(points: Tensor, k: int, queries: Tensor | None = None) -> Neighbours:
    """The k points nearest to each query in the maximum norm, with their distances.

    Without queries: the neighbours of every point among the others. The point itself, by its index, is left out;
    duplicates of it are neighbours at distance zero. Of equally near points those of lowest index are taken.

    Parameters
    ----------
    points
        (N, D), float64, finite (and below 8.9e307 in size).
    k
        How many neighbours: 1 <= k <= N, or N - 1 without queries.
    queries
        (M, D), float64, finite.

    Raises
    ------
    ValueError
        For another shape or type, values that are not finite, and k out of range.

    Examples
    --------
    >>> found = nearest(torch.tensor([[0.0, 0.0], [1.0, 3.0], [2.0, 0.0]], dtype=torch.float64), 1)
    >>> found.distances.flatten().tolist(), found.indices.flatten().tolist()
    ([2.0, 3.0, 2.0], [2, 0, 0])
    """
    _require_points(points, queries)
    _require_k(k, len(points) - (queries is None))
    engine = _engine(points, queries, k)
    if engine is max_norm_tiles:
        return Neighbours(*max_norm_tiles.nearest(points, k, queries))
    found = engine.nearest(points.numpy(), k, None if queries is None else queries.numpy())
    return Neighbours(*map(torch.from_numpy, found))


def count_closer(points: Tensor, radii: Tensor, queries: Tensor | None = None, *, inclusive: bool = False) -> Tensor:
    """How many points lie closer to each query than its radius, (M,) int64.

    Strictly closer, max_d |x_jd - q_d| < radius, or, `inclusive`, at most as far. Without queries every point counts
    the others: itself, by its index, it does not count.

    Parameters
    ----------
    points
        (N, D), float64, finite (and below 8.9e307 in size).
    radii
        (M,), float64, not NaN; a negative radius holds nothing.
    queries
        (M, D), float64, finite.

    Raises
    ------
    ValueError
        For another shape or type, and for radii that are NaN.

    Examples
    --------
    >>> count_closer(torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64), torch.full((3,), 1.5).double()).tolist()
    [1, 2, 1]
    """
    _require_points(points, queries)
    _require_radii(radii, points if queries is None else queries)
    if inclusive:  # strictly closer than the next number
        radii = radii.nextafter(torch.full_like(radii, torch.inf))
    engine = _engine(points, queries)
    if engine is max_norm_tiles:
        counts = max_norm_tiles.count_closer(points, radii, queries)
    else:
        asked = None if queries is None else queries.numpy()
        counts = torch.from_numpy(engine.count_closer(points.numpy(), radii.numpy(), asked))
    # a point is within its own radius, at distance zero
    return counts if queries is not None else counts - (radii > 0).long()


def neighbour_counts(points: Tensor, k: int, subspaces: Sequence[Sequence[int]]) -> tuple[Neighbours, list[Tensor]]:
    """The k nearest neighbours of every point, and how many others are strictly closer than the k-th in each subspace.

    The same as `nearest(points, k)` and then `count_closer(points[:, columns], distances[:, -1])` for the columns of
    every subspace, but faster than the separate calls.

    Parameters
    ----------
    points
        (N, D), float64, finite (and below 8.9e307 in size).
    k
        How many neighbours: 1 <= k <= N - 1.
    subspaces
        The columns of each: for KSG `[range(dx), range(dx, dx + dy)]`.

    Raises
    ------
    ValueError
        For another shape or type, k out of range, and columns that are not there.

    Examples
    --------
    >>> x = torch.tensor([[0.0, 0.0], [1.0, 3.0], [2.0, 0.0]], dtype=torch.float64)
    >>> [counts.tolist() for counts in neighbour_counts(x, 1, [[0], [1]])[1]]
    [[1, 2, 1], [1, 0, 1]]
    """
    _require_points(points, None)
    _require_k(k, len(points) - 1)
    _require_subspaces(subspaces, points.shape[1])
    engine = _engine(points, None, k)
    if engine is max_norm_tiles:
        found = nearest(points, k)
        return found, [count_closer(points[:, list(columns)], found.distances[:, -1]) for columns in subspaces]
    distances, indices, counts = engine.neighbour_counts(points.numpy(), k, subspaces)
    found = Neighbours(torch.from_numpy(distances), torch.from_numpy(indices))
    itself = (found.distances[:, -1] > 0).long()
    return found, [torch.from_numpy(inside) - itself for inside in counts]


def _engine(points: Tensor, queries: Tensor | None, k: int = 1) -> Any:
    """The module that does the work: all give the same numbers."""
    pairs = len(points) * len(points if queries is None else queries)
    if points.device.type != "cpu" or pairs <= _FEW_PAIRS:
        return max_norm_tiles
    if k > _MOST_NEIGHBOURS:
        return max_norm_tiles
    try:
        from infotherm.estimators import rank_bitmaps
    except ImportError:  # numba is absent
        from infotherm.estimators import rank_sweeps

        return rank_sweeps
    return rank_bitmaps


def _require_points(points: Tensor, queries: Tensor | None) -> None:
    if points.ndim != 2 or 0 in points.shape or points.dtype != torch.float64:
        raise ValueError(f"points must have shape (N, D) and float64; got {tuple(points.shape)} and {points.dtype}")
    _require_finite_differences(points, "points")
    if queries is None:
        return
    if queries.ndim != 2 or queries.shape[1] != points.shape[1] or queries.dtype != torch.float64:
        expected = f"(M, {points.shape[1]})"
        raise ValueError(f"queries must have shape {expected} and float64; got {tuple(queries.shape)}, {queries.dtype}")
    _require_finite_differences(queries, "queries")


def _require_finite_differences(x: Tensor, name: str) -> None:
    if x.numel() > 0 and not bool(x.abs().amax() <= _LARGEST):
        raise ValueError(f"{name} must be finite and no larger than {_LARGEST:.2g}; got up to {float(x.abs().amax())}")


def _require_k(k: int, most: int) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= most:
        raise ValueError(f"k must be an integer from 1 to the number of neighbours, {most}; got {k!r}")


def _require_radii(radii: Tensor, queries: Tensor) -> None:
    if radii.shape != (len(queries),) or radii.dtype != torch.float64 or bool(radii.isnan().any()):
        raise ValueError(
            f"radii must have shape ({len(queries)},), float64, without NaN; got {tuple(radii.shape)}, {radii.dtype}"
        )


def _require_subspaces(subspaces: Sequence[Sequence[int]], dim: int) -> None:
    for columns in subspaces:
        if len(columns) == 0 or not all(0 <= column < dim for column in columns):
            raise ValueError(f"a subspace must hold columns from 0 to {dim - 1}; got {list(columns)}")
