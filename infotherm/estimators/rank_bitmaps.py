"""Exact maximum-norm neighbours and counts from bitmaps of ranks, in compiled loops.

Every coordinate of a chunk of points is sorted, and at every 64th rank the set of the points of lower rank is stored as
a bitmap. The points with |x - q| < r in one coordinate are a contiguous range of ranks: the exclusive or of two stored
sets, less the few points between the ends of the range and the ranks stored. A box is the conjunction of such sets over
the coordinates, 512 pairs in one vector instruction, and its count is a population count. The ends of a range are found
with the very predicate fl(x - q) < r, which is monotone in the rank.

Neighbours: an upper bound of the k-th distance, from a few probes in float32 with its rounding added, leaves a handful
of points in the box (widened to whole blocks of ranks), which are compared in float64. Many points come in the order of
a k-d tree, in chunks: most are wholly outside of a box, or inside of it.

This module needs numba; `nearest` imports it when it is first needed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from infotherm.estimators import rank_kernels
from infotherm.estimators.kd_order import KDOrder, kd_order

_CHUNK = 16384  # points whose ranks are kept in bitmaps at once; more are cut into chunks of at most half as many
_FEW_COORDINATES = 8  # up to here the points nearby in k-d order bound best, beyond it a sample of all
_WINDOW = 256
_TILE = 64  # queries whose bitmaps are kept at a time
_SAMPLED = 16  # one point in so many is a probe


class _Ranked(NamedTuple):
    """A chunk of points, each coordinate in ascending order."""

    values: np.ndarray  # (D, C)
    order: np.ndarray  # (D, C): which point of the chunk has this rank
    starts: np.ndarray  # (D, blocks): the first value of each block of ranks
    coarse: np.ndarray  # every few of these
    prefixes: np.ndarray  # (D, blocks + 1, words)
    lead: int  # the coordinate in whose order the points of the chunk are


class _Chunk(NamedTuple):
    ranked: _Ranked
    points: np.ndarray  # (C, D)
    names: np.ndarray  # (C,): their indices
    scratch: tuple[np.ndarray, ...]  # where the kernels keep a tile of queries and what is found for them


def nearest(points: np.ndarray, k: int, queries: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Distances (M, k), ascending, and indices (M, k) of the nearest points; of equally near ones the lowest index.

    Without queries a point is not its own neighbour.
    """
    tree = _tree(points, nearby=points.shape[1] <= _FEW_COORDINATES)
    return _nearest(points, tree, _chunks(points, tree), k, queries)


def count_closer(points: np.ndarray, radii: np.ndarray, queries: np.ndarray | None) -> np.ndarray:
    """How many points are strictly closer than the radii, (M,), the point itself among them."""
    if points.shape[1] == 1:
        return _count_on_line(np.sort(points[:, 0]), radii, (points if queries is None else queries)[:, 0])
    tree = _tree(points)
    asked, order = _in_order(points, tree, queries)
    counts = np.zeros(len(asked), dtype=np.int64)
    for chunk in _chunks(points, tree):
        _add_counts(counts, chunk, np.arange(points.shape[1]), asked, radii[order])
    return _restored(counts, order)


def neighbour_counts(
    points: np.ndarray, k: int, subspaces: Sequence[Sequence[int]]
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Distances and indices of neighbours, and the counts strictly closer than the k-th in each subspace."""
    spaces = [np.ascontiguousarray(points[:, list(columns)]) for columns in subspaces]
    if len(points) > _CHUNK:  # each space is better cut in its own way
        distances, indices = nearest(points, k, None)
        radii = np.ascontiguousarray(distances[:, -1])
        return distances, indices, [count_closer(space, radii, None) for space in spaces]
    few = points.shape[1] <= _FEW_COORDINATES
    values, order = _sorted(points)
    chunk = _chunk(points, values, order)
    distances, indices = _nearest(points, _tree(points, nearby=few), [chunk], k, None)
    radii = np.ascontiguousarray(distances[:, -1])
    counts = np.zeros((len(spaces), len(points)), dtype=np.int64)
    for columns, space, inside in zip(map(list, subspaces), spaces, counts, strict=True):
        if len(columns) == 1:
            inside += _count_on_line(values[columns[0]], radii, space[:, 0])
        elif few:  # in the order of one of its own coordinates
            own = _chunk(space, values[columns], order[columns])
            _add_counts(inside, own, np.arange(len(columns)), space, radii)
        else:
            part = chunk._replace(points=np.ascontiguousarray(chunk.points[:, columns]))
            _add_counts(inside, part, np.array(columns), space, radii)
    return distances, indices, list(counts)


def _tree(points: np.ndarray, *, nearby: bool = False) -> KDOrder | None:
    """The order of the points, where they do not fit one chunk or are better kept near one another."""
    return kd_order(points) if len(points) > (_WINDOW if nearby else _CHUNK) else None


def _chunks(points: np.ndarray, tree: KDOrder | None) -> Iterator[_Chunk]:
    """One after another, each ranked when it is asked for."""
    if tree is None or len(points) <= _CHUNK:
        yield _chunk(points, *_sorted(points))
    else:
        for first, last in itertools.pairwise(tree.groups(_CHUNK // 2)):
            part = points[tree.order[first:last]]
            chunk = _chunk(part, *_sorted(part))
            yield chunk._replace(names=tree.order[first:last][chunk.names])


def _sorted(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each coordinate in ascending order, (D, C), and which point has each rank."""
    columns = np.ascontiguousarray(points.T)
    order = columns.argsort(axis=1)
    return np.take_along_axis(columns, order, 1), order


def _chunk(points: np.ndarray, values: np.ndarray, order: np.ndarray) -> _Chunk:
    # the bits are in the order of the coordinate in which a box is likely to hold the fewest
    size = len(points)
    lead = int((values[:, size * 3 // 4] - values[:, size // 4]).argmax())
    place = np.empty(size, dtype=np.int32)
    place[order[lead]] = np.arange(size, dtype=np.int32)
    starts, coarse = _starts(values)
    words = -(-size // 512) * 8
    prefixes = np.zeros((len(values), starts.shape[1] + 1, words), dtype=np.uint64)
    ranked = _Ranked(values, place[order], starts, coarse, prefixes, lead)
    rank_kernels.fill_prefixes(ranked.order, prefixes)
    scratch = np.empty(_TILE, dtype=np.int64), np.empty((_TILE, words), np.uint64), np.empty((_TILE, 2), dtype=np.int64)
    return _Chunk(ranked, points[order[lead]], order[lead], scratch)


def _starts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    starts = np.ascontiguousarray(values[..., :: rank_kernels.BLOCK])
    return starts, np.ascontiguousarray(starts[..., :: rank_kernels.STRIDE])


def _add_counts(counts: np.ndarray, chunk: _Chunk, columns: np.ndarray, asked: np.ndarray, radii: np.ndarray) -> None:
    rank_kernels.count_chunk(*chunk.ranked, columns, chunk.points, asked, radii, counts, *chunk.scratch)


def _in_order(points: np.ndarray, tree: KDOrder | None, queries: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The queries in the order of the tree, and this order."""
    asked = points if queries is None else queries
    if tree is None:
        return asked, np.arange(len(asked))
    order = tree.order if queries is None else tree.leaf_of(queries).argsort(kind="stable")
    return asked[order], order


def _restored(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    restored = np.empty_like(values)
    restored[order] = values
    return restored


def _nearest(
    points: np.ndarray, tree: KDOrder | None, chunks: Iterable[_Chunk], k: int, queries: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    asked, order = _in_order(points, tree, queries)
    own = order if queries is None else np.full(len(asked), -1)
    bounds = _bounds(points, tree, asked, k, itself=queries is None)
    distances = np.full((len(asked), k), np.inf)
    indices = np.full((len(asked), k), len(points))
    columns = np.arange(points.shape[1])
    for ranked, part, names, scratch in chunks:
        # a little above the k-th distance so far: equally near points of lower index come in too
        radii = np.minimum(bounds, distances[:, -1] * (1 + 1e-15) + 5e-324)
        rank_kernels.search_chunk(*ranked, columns, part, names, asked, own, radii, distances, indices, *scratch)
    return _restored(distances, order), _restored(indices, order)


def _bounds(points: np.ndarray, tree: KDOrder | None, asked: np.ndarray, k: int, *, itself: bool) -> np.ndarray:
    """Numbers (M,) above the distances to the k-th neighbours, from the distances to some points, in float32."""
    n, dim = points.shape
    centre = (points.max(0) + points.min(0)) / 2
    largest = max(np.abs(points - centre).max(), 0 if itself else np.abs(asked - centre).max(), 1e-250)
    scale = 2.0 ** -math.frexp(largest)[1]
    asked_singly = _singly(asked, centre, scale)
    laid_singly = asked_singly if itself else _singly(points if tree is None else points[tree.order], centre, scale)
    places = np.arange(n) if itself else np.full(len(asked), -1)
    firsts = np.zeros(len(asked), dtype=np.int64)
    step, length, lanes = 1, n, max(128, 8 * k)
    if tree is not None and dim <= _FEW_COORDINATES:
        lanes = max(32, 8 * k)
        length = min(n, max(_WINDOW, 2 * lanes))
        firsts = (_anchors(tree, asked, itself) - length // 2).clip(0, n - length)
    elif n >= 8 * _SAMPLED * k:
        step, length = _SAMPLED, -(-n // _SAMPLED)
        places = np.where(places % step == 0, places // step, -1)
    probes = np.ascontiguousarray(laid_singly[::step].T)
    near, least = np.empty(length, dtype=np.float32), np.empty(lanes, dtype=np.float32)
    smallest = np.full((len(asked), k), np.inf, dtype=np.float32)
    rank_kernels.probe(probes, asked_singly, firsts, places, near, least, smallest)
    # both coordinates and their difference were rounded: by 2^-24 of their size, and a probe is no larger than the
    # query and the distance together
    bounds = smallest[:, -1].astype(np.float64)
    return (bounds * (1 + 2.0**-20) + np.abs(asked_singly).max(1) * 2.0**-20 + 2.0**-120) / scale


def _singly(x: np.ndarray, centre: np.ndarray, scale: float) -> np.ndarray:
    """Float32 coordinates about the centre, of size one at most, filled up with zeros to a multiple of four."""
    single = np.zeros((len(x), -(-x.shape[1] // 4) * 4), dtype=np.float32)
    single[:, : x.shape[1]] = (x - centre) * scale
    return single


def _anchors(tree: KDOrder, asked: np.ndarray, itself: bool) -> np.ndarray:
    """Where in the order of the tree the surroundings of each query are centred."""
    if itself:
        return np.arange(len(asked))
    leaves = tree.leaf_of(asked)
    return (tree.starts[leaves] + tree.starts[leaves + 1]) // 2


def _count_on_line(values: np.ndarray, radii: np.ndarray, queries: np.ndarray) -> np.ndarray:
    counts = np.empty(len(queries), dtype=np.int64)
    starts, coarse = _starts(values)
    rank_kernels.count_on_line(values, starts, coarse, np.ascontiguousarray(queries), radii, counts)
    return counts
