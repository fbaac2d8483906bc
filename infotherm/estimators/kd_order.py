"""Points in the order of a balanced k-d tree: what lies near in space lies near in memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_LEAF = 256  # points, at most twice as many
_PROBED = 256  # points from which the widest coordinate of a node is guessed


class KDOrder(NamedTuple):
    """`order` (N,): the points leaf after leaf; leaf i holds order[starts[i] : starts[i + 1]].

    Node n of the tree has the children 2 n + 1 and 2 n + 2; what is not below `values[n]` in coordinate `columns[n]`
    is to the right.
    """

    order: np.ndarray
    starts: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    def leaf_of(self, queries: np.ndarray) -> np.ndarray:
        """The number of the leaf, (M,), into whose part of space each query falls."""
        node = np.zeros(len(queries), dtype=np.int64)
        rows = np.arange(len(queries))
        for _ in range((len(self.starts) - 1).bit_length() - 1):
            node = 2 * node + 1 + (queries[rows, self.columns[node]] >= self.values[node])
        return node - len(self.columns)

    def groups(self, most: int) -> np.ndarray:
        """Boundaries in `order` of the largest subtrees of at most `most` points, or of single leaves."""
        step = len(self.starts) - 1
        while step > 1 and np.diff(self.starts[::step]).max() > most:
            step //= 2
        return self.starts[::step]


def kd_order(points: np.ndarray) -> KDOrder:
    """The order of points of shape (N, D): every node is halved along its widest coordinate."""
    n = len(points)
    by_column = np.ascontiguousarray(points.T)
    depth = max(0, (n // _LEAF).bit_length() - 1)
    order = np.arange(n)
    starts = np.array([0, n])
    columns, values = [], []
    for _ in range(depth):
        middles = (starts[:-1] + starts[1:]) // 2
        for first, middle, last in zip(starts[:-1], middles, starts[1:], strict=True):
            node = order[first:last]
            probed = points[node[:: (last - first) // _PROBED + 1]]
            column = int(np.ptp(probed, axis=0).argmax())
            coordinate = by_column[column, node]
            halves = np.argpartition(coordinate, middle - first)
            order[first:last] = node[halves]
            columns.append(column)
            values.append(coordinate[halves[middle - first]])
        starts = np.sort(np.concatenate([starts, middles]))
    return KDOrder(order, starts, np.array(columns, dtype=np.int64), np.array(values))
