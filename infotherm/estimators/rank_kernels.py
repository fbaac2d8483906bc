"""The compiled loops of `rank_bitmaps`. Needs numba: imported only when first used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from infotherm.estimators.compiled import kernel as _kernel

BLOCK = 64  # ranks between stored prefixes
STRIDE = 16  # blocks between the values that are looked at first
_FEW = 400  # points left that are sooner compared one by one, in high dimension
_ONE = np.uint64(1)
_ALL = ~np.uint64(0)
_SHIFT = np.uint64(6)
_WITHIN_WORD = np.uint64(63)


def _count_bits(typing: Any, word: Any) -> Any:
    """The number of bits set in a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


_population: Any = intrinsic(_count_bits)


@_kernel()
def fill_prefixes(order, prefixes):
    """The sets of points before each block of ranks, and of all; `order` (D, C) says which point has a rank."""
    words = prefixes.shape[2]
    for d in range(order.shape[0]):
        for block in range(prefixes.shape[1] - 1):
            for w in range(words):
                prefixes[d, block + 1, w] = prefixes[d, block, w]
            for rank in range(block * BLOCK, min(order.shape[1], (block + 1) * BLOCK)):
                point = np.uint64(order[d, rank])
                prefixes[d, block + 1, point >> _SHIFT] |= _ONE << (point & _WITHIN_WORD)


@_kernel(fastmath={"nnan", "nsz"})
def probe(probes, queries, firsts, itself, near, least, smallest):
    """Numbers no smaller than the k-th smallest distance of a query to the probes [first, first + length).

    In float32; `itself` (M,) is the place of the query among the probes, where it does not count, or negative. The
    coordinates, (D, P) of the probes and (M, D) of the queries, must be a multiple of four. The smallest distances are
    sought among those that are least in their lane (place modulo lanes): some of the k smallest may share one. `near`
    (length,) and `least` (lanes,) are for the use of the loop; `smallest` (M, k) comes infinite and goes ascending.
    """
    length, lanes, last = len(near), len(least), smallest.shape[1] - 1
    for row in range(len(queries)):
        first = firsts[row]
        for j in range(length):
            near[j] = 0
        for d in range(0, len(probes), 4):
            a, b, c, e = queries[row, d], queries[row, d + 1], queries[row, d + 2], queries[row, d + 3]
            x, y = probes[d, first : first + length], probes[d + 1, first : first + length]
            z, t = probes[d + 2, first : first + length], probes[d + 3, first : first + length]
            for j in range(length):
                xy = max(abs(x[j] - a), abs(y[j] - b))
                zt = max(abs(z[j] - c), abs(t[j] - e))
                near[j] = max(near[j], max(xy, zt))
        if 0 <= itself[row] - first < length:
            near[itself[row] - first] = np.inf
        for j in range(lanes):
            least[j] = np.inf
        for start in range(0, length, lanes):
            some = near[start : start + lanes]
            for j in range(len(some)):
                least[j] = min(least[j], some[j])
        for j in range(lanes):
            if least[j] < smallest[row, last]:
                place = last
                while place > 0 and smallest[row, place - 1] > least[j]:
                    smallest[row, place] = smallest[row, place - 1]
                    place -= 1
                smallest[row, place] = least[j]


@_kernel()
def _too_low(values, q, radius):
    """How many of a few ascending values are too low for |x - q| < radius."""
    low = 0
    for i in range(len(values)):  # all of them: a vector loop without branches is faster than halving
        low += q - values[i] >= radius
    return low


@_kernel()
def _not_too_high(values, q, radius):
    high = 0
    for i in range(len(values)):
        high += values[i] - q < radius
    return high


@_kernel()
def _low_end(values, step, low, q, radius):
    """How many of many values are too low, given how many are of every step-th of them."""
    start = max(low - 1, 0) * step
    return start + _too_low(values[start : start + step], q, radius)


@_kernel()
def _high_end(values, step, high, q, radius):
    start = max(high - 1, 0) * step
    return start + _not_too_high(values[start : start + step], q, radius)


@_kernel()
def _blocks(starts, coarse, q, radius):
    """How many blocks start too low for |x - q| < radius, and how many do not start too high."""
    low = _low_end(starts, STRIDE, _too_low(coarse, q, radius), q, radius)
    return low, _high_end(starts, STRIDE, _not_too_high(coarse, q, radius), q, radius)


@_kernel()
def _mark(values, starts, coarse, prefixes, lead, columns, queries, rows, filled, radii, found, words):
    """Set the bits of the points with |x - q| < radius in all columns, and of those in the same blocks of ranks.

    Column `lead`, the one in whose order the bits are, is exact; only the words (tile, 2) from the first to before the
    last that it reaches are written.
    """
    blocks = starts.shape[1]
    leading = -1
    for place in range(len(columns)):
        if columns[place] == lead:
            leading = place
    for t in range(filled):
        low, high = 0, values.shape[1]
        if leading >= 0:
            q, radius = queries[rows[t], leading], radii[rows[t]]
            low, high = _blocks(starts[lead], coarse[lead], q, radius)
            low = _low_end(values[lead], BLOCK, low, q, radius)
            high = _high_end(values[lead], BLOCK, high, q, radius)
        words[t, 0], words[t, 1] = low >> 6, (high + 63) >> 6 if low < high else low >> 6
        for w in range(words[t, 0], words[t, 1]):
            found[t, w] = _ALL
        if low < high:
            found[t, low >> 6] &= _ALL << np.uint64(low & 63)
            found[t, (high - 1) >> 6] &= _ALL >> np.uint64(63 - ((high - 1) & 63))
    for place in range(len(columns)):
        d = columns[place]
        if d == lead:
            continue
        for t in range(filled):
            low, high = _blocks(starts[d], coarse[d], queries[rows[t], place], radii[rows[t]])
            low = max(low - 1, 0)
            if low > 0 or high < blocks:
                first, last = words[t, 0], words[t, 1]
                marked = found[t, first:last]
                below, upto = prefixes[d, low, first:last], prefixes[d, high, first:last]
                for w in range(len(marked)):
                    marked[w] &= below[w] ^ upto[w]


@_kernel()
def _clear(values, order, starts, coarse, lead, columns, query, radius, marked):
    """Clear the bits of marked points that share a block of ranks with the ends of a range, but are beyond them."""
    count = values.shape[1]
    for place in range(len(columns)):
        d, q = columns[place], query[place]
        if d == lead:
            continue
        low, high = _blocks(starts[d], coarse[d], q, radius)
        for rank in range(max(low - 1, 0) * BLOCK, count):
            if q - values[d, rank] < radius:
                break
            point = np.uint64(order[d, rank])
            marked[point >> _SHIFT] &= ~(_ONE << (point & _WITHIN_WORD))
        for rank in range(min(high * BLOCK, count) - 1, -1, -1):
            if values[d, rank] - q < radius:
                break
            point = np.uint64(order[d, rank])
            marked[point >> _SHIFT] &= ~(_ONE << (point & _WITHIN_WORD))


@_kernel()
def _size(marked):
    """The number of bits set."""
    size = np.uint64(0)
    for w in range(len(marked)):
        size += _population(marked[w])
    return np.int64(size)


@_kernel()
def _lowest(word):
    """The place of the lowest bit set."""
    return np.int64(_population((word & (~word + _ONE)) - _ONE))


@_kernel(fastmath={"nnan", "nsz"})
def _distance(x, y):
    """The maximum norm of x - y."""
    largest = 0.0
    for d in range(len(x)):
        largest = max(largest, abs(x[d] - y[d]))
    return largest


@_kernel()
def _gather(values, columns, queries, radii, row, rows):
    """Fill `rows` with the queries, from `row` on, whose boxes meet the box of the chunk.

    Returns how many there are, and the query at which to go on.
    """
    filled = 0
    while row < len(queries) and filled < len(rows):
        meets = radii[row] > 0
        for place in range(len(columns)):
            d, q = columns[place], queries[row, place]
            if q - values[d, -1] >= radii[row] or values[d, 0] - q >= radii[row]:
                meets = False
                break
        if meets:
            rows[filled] = row
            filled += 1
        row += 1
    return filled, row


@_kernel()
def search_chunk(
    values,
    order,
    starts,
    coarse,
    prefixes,
    lead,
    columns,
    points,
    names,
    queries,
    own,
    radii,
    distances,
    indices,
    rows,
    found,
    words,
):
    """Put the nearest points of a chunk into the ordered lists of distances and indices, each (M, k).

    What is not closer than the radius is not sought. `names` (C,) are the indices of the points, `own` (M,) those of
    the queries themselves.
    """
    last = distances.shape[1] - 1
    row = np.int64(0)  # not a literal, for which the loops would be compiled once more
    while row < len(queries):
        filled, row = _gather(values, columns, queries, radii, row, rows)
        _mark(values, starts, coarse, prefixes, lead, columns, queries, rows, filled, radii, found, words)
        for t in range(filled):
            near, who, query, itself = distances[rows[t]], indices[rows[t]], queries[rows[t]], own[rows[t]]
            for w in range(words[t, 0], words[t, 1]):
                word = found[t, w]
                while word != 0:
                    point = w * 64 + _lowest(word)
                    word &= word - _ONE
                    name = names[point]
                    if name == itself or (near[last] == 0 and name > who[last]):
                        continue
                    distance = _distance(points[point], query)
                    if distance < near[last] or (distance == near[last] and name < who[last]):
                        place = last
                        while place > 0 and (
                            near[place - 1] > distance or (near[place - 1] == distance and who[place - 1] > name)
                        ):
                            near[place], who[place] = near[place - 1], who[place - 1]
                            place -= 1
                        near[place], who[place] = distance, name


@_kernel()
def count_chunk(
    values, order, starts, coarse, prefixes, lead, columns, points, queries, radii, counts, rows, found, words
):
    """Add to the counts (M,) the points of a chunk, (C, d), with |x - q| < radius in all their coordinates.

    `columns` (d,) says which of the ranked coordinates these are.
    """
    few = _FEW * len(columns) // (_FEW // 4 + len(columns))
    row = np.int64(0)  # not a literal, for which the loops would be compiled once more
    while row < len(queries):
        filled, row = _gather(values, columns, queries, radii, row, rows)
        _mark(values, starts, coarse, prefixes, lead, columns, queries, rows, filled, radii, found, words)
        for t in range(filled):
            marked, query, radius = found[t], queries[rows[t]], radii[rows[t]]
            size = _size(marked[words[t, 0] : words[t, 1]])
            if size > few:
                _clear(values, order, starts, coarse, lead, columns, query, radius, marked)
                size = _size(marked[words[t, 0] : words[t, 1]])
            else:
                for w in range(words[t, 0], words[t, 1]):
                    word = marked[w]
                    while word != 0:
                        size -= _distance(points[w * 64 + _lowest(word)], query) >= radius
                        word &= word - _ONE
            counts[rows[t]] += size


@_kernel()
def count_on_line(values, starts, coarse, queries, radii, counts):
    """The number of ascending values (N,) with |x - q| < radius, for queries (M,)."""
    for row in range(len(queries)):
        q, radius = queries[row], radii[row]
        low, high = _blocks(starts, coarse, q, radius)
        low, high = _low_end(values, BLOCK, low, q, radius), _high_end(values, BLOCK, high, q, radius)
        counts[row] = max(high - low, 0)
