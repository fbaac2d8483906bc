"""Exact maximum-norm neighbours and counts from bitmaps of ranks, with numpy and torch alone.

The same idea as `rank_bitmaps`, for where numba is absent: |x - q| < r in one coordinate is a range of ranks, the
exclusive or of two prefix bitmaps, and a box is the conjunction over the coordinates. Here a prefix is kept for every
rank, so that no set has to be corrected, and whole arrays are swept chunk by chunk of points. The ends of the ranges
come from a search for q - r and q + r, whose rounding is then repaired by the very predicate fl(x - q) < r.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

_CHUNK = 2048  # points whose bitmaps are kept at a time
_TILE = 2048  # queries swept at a time
_SAMPLED = 16  # one point in so many bounds the distances of all
_PAIRS = 1 << 19  # differences of coordinates held at a time


def nearest(points: np.ndarray, k: int, queries: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Distances (M, k), ascending, and indices (M, k) of the nearest points; of equally near ones the lowest index.

    Without queries a point is not its own neighbour.
    """
    asked = points if queries is None else queries
    distances = np.full((len(asked), k), np.inf)
    indices = np.full((len(asked), k), len(points))
    bounds = np.nextafter(_bounds(points, k, queries), np.inf)
    values, order = _sorted(points)
    for first in range(0, len(asked), _TILE):
        tile = slice(first, first + _TILE)
        near, names = distances[tile], indices[tile]
        for start, found in _sweep(order, *_ranges(values, asked[tile], bounds[tile])):
            rows, others = _pairs(found)
            others += start
            if queries is None:
                rows, others = (pair[rows + first != others] for pair in (rows, others))
            _merge(near, names, rows, others, _distances(asked[tile], points, rows, others))
    return distances, indices


def count_closer(points: np.ndarray, radii: np.ndarray, queries: np.ndarray | None) -> np.ndarray:
    """How many points are strictly closer than the radii, (M,), the point itself among them."""
    asked = points if queries is None else queries
    values, order = _sorted(points)
    counts = np.zeros(len(asked), dtype=np.int64)
    for first in range(0, len(asked), _TILE):
        tile = slice(first, first + _TILE)
        lows, highs = _ranges(values, asked[tile], radii[tile])
        if points.shape[1] == 1:
            counts[tile] = highs[0] - lows[0]
        else:
            for _, found in _sweep(order, lows, highs):
                counts[tile] += _population(found)
    return counts


def neighbour_counts(
    points: np.ndarray, k: int, subspaces: Sequence[Sequence[int]]
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Distances and indices of neighbours, and the counts strictly closer than the k-th in each subspace."""
    distances, indices = nearest(points, k, None)
    counts = [count_closer(points[:, list(columns)], distances[:, -1], None) for columns in subspaces]
    return distances, indices, counts


def _bounds(points: np.ndarray, k: int, queries: np.ndarray | None) -> np.ndarray:
    """Distances (M,) to the k-th neighbour in a sample of the points: no less than those in all."""
    step = _SAMPLED if len(points) >= 8 * _SAMPLED * k else 1
    probes = torch.from_numpy(np.ascontiguousarray(points[::step]))
    asked = torch.from_numpy(points if queries is None else queries)
    bounds = []
    for rows in torch.arange(len(asked)).split(max(1, _PAIRS // len(probes))):
        near = torch.zeros(len(rows), len(probes), dtype=torch.float64)
        for column, values in zip(asked[rows].T, probes.T, strict=True):
            torch.maximum(near, (values - column[:, None]).abs_(), out=near)
        if queries is None:
            itself = rows % step == 0
            near[itself, rows[itself] // step] = torch.inf
        bounds.append(near.topk(k, largest=False).values[:, -1])
    return torch.cat(bounds).numpy()


def _sorted(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each coordinate in ascending order, (D, N), and which point has each rank."""
    columns = np.ascontiguousarray(points.T)
    order = columns.argsort(axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1), order


def _ranges(values: np.ndarray, queries: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ranks, from lows (D, M) to before highs (D, M), of the points with |x - q| < radius in each coordinate."""
    lows, highs = (np.empty(queries.T.shape, dtype=np.int64) for _ in range(2))
    for line, q, low, high in zip(values, queries.T, lows, highs, strict=True):
        x, starts = np.unique(line, return_index=True)
        starts = np.append(starts, len(line))
        low[:] = starts[_first(lambda i, x=x, q=q: q - x[i] < radii, np.searchsorted(x, q - radii), len(x))]
        high[:] = starts[_first(lambda i, x=x, q=q: ~(x[i] - q < radii), np.searchsorted(x, q + radii), len(x))]
    return lows, np.maximum(lows, highs)


def _first(holds: Callable[[np.ndarray], np.ndarray], guess: np.ndarray, count: int) -> np.ndarray:
    """The first of `count` places from which on a predicate holds, near the guess; `count` if nowhere."""
    while True:
        late = (guess > 0) & holds(np.maximum(guess - 1, 0))
        early = (guess < count) & ~holds(np.minimum(guess, count - 1))
        if not (late | early).any():
            return guess
        guess = guess - late + early


def _sweep(order: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """For every chunk its first point and the bitmaps (M, words) of its points in the ranges of all coordinates."""
    for first in range(0, order.shape[1], _CHUNK):
        found = None
        for ranked, low, high in zip(order, lows, highs, strict=True):
            inside = (ranked >= first) & (ranked < first + _CHUNK)
            before = np.concatenate([[0], inside.cumsum()])  # how many points of the chunk come before each rank
            prefixes = _prefixes(ranked[inside] - first)
            column = prefixes[before[low]] ^ prefixes[before[high]]
            found = column if found is None else np.bitwise_and(found, column, out=found)
        assert found is not None
        yield first, found


def _prefixes(ranked: np.ndarray) -> np.ndarray:
    """The sets of the points before each rank, and of all."""
    prefixes = np.zeros((len(ranked) + 1, -(-len(ranked) // 64)), dtype=np.uint64)
    bits = np.uint64(1) << (ranked & 63).astype(np.uint64)
    prefixes[np.arange(1, len(ranked) + 1), ranked >> 6] = bits
    return np.bitwise_xor.accumulate(prefixes, axis=0, out=prefixes)


def _bits(words: np.ndarray) -> np.ndarray:
    return np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little")


def _population(found: np.ndarray) -> np.ndarray:
    """The number of bits set in each row."""
    count = getattr(np, "bitwise_count", None)  # numpy 2
    each = _bits(found.ravel()).reshape(len(found), -1) if count is None else count(found)
    return each.sum(1, dtype=np.int64)


def _pairs(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places, row and bit, of all bits set."""
    flat = found.ravel()
    occupied = np.flatnonzero(flat)
    bits = np.flatnonzero(_bits(flat[occupied]))
    rows, words = np.divmod(occupied[bits >> 6], found.shape[1])
    return rows, words * 64 + (bits & 63)


def _merge(distances: np.ndarray, indices: np.ndarray, rows: np.ndarray, names: np.ndarray, near: np.ndarray) -> None:
    """Put points of these rows, names and distances into the ordered lists, (M, k) each."""
    count, k = distances.shape
    close = near <= distances[rows, -1]
    rows = np.concatenate([np.repeat(np.arange(count), k), rows[close]])
    names = np.concatenate([indices.ravel(), names[close]])
    near = np.concatenate([distances.ravel(), near[close]])
    order = np.lexsort((names, near, rows))
    best = order[np.searchsorted(rows[order], np.arange(count))[:, None] + np.arange(k)]
    distances[:], indices[:] = near[best], names[best]


def _distances(asked: np.ndarray, points: np.ndarray, rows: np.ndarray, names: np.ndarray) -> np.ndarray:
    distances = np.empty(len(rows))
    for first in range(0, len(rows), 8192):
        some = slice(first, first + 8192)
        distances[some] = np.abs(points[names[some]] - asked[rows[some]]).max(1)
    return distances
