"""Exact maximum-norm neighbours and counts by brute force over tiles of pairs, on any torch device.

On the CPU, where this serves small samples and very many neighbours, in float64. On other devices all pairs are
compared in float32, with a bound on what its rounding can do, and the few pairs that this leaves open are compared
again in float64. That path is tested on the CPU; how fast it is on a GPU has not been measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

_PAIRS = 1 << 22  # held at a time on the CPU
_PAIRS_ELSEWHERE = 1 << 27
_SPARE = 8  # more neighbours than asked for are taken in float32
_ROUNDING = 2.0**-20  # covers that of two coordinates to float32 and of their difference


def nearest(points: Tensor, k: int, queries: Tensor | None) -> tuple[Tensor, Tensor]:
    """Distances (M, k), ascending, and indices (M, k) of the nearest points; of equally near ones the lowest index.

    Without queries a point is not its own neighbour.
    """
    if points.device.type != "cpu":
        return nearest_singly(points, k, queries)
    rows = torch.arange(len(points if queries is None else queries))
    return _nearest_doubly(points, k, queries, rows)


def count_closer(points: Tensor, radii: Tensor, queries: Tensor | None) -> Tensor:
    """How many points are strictly closer than the radii, (M,), the point itself among them."""
    if points.device.type != "cpu":
        return count_singly(points, radii, queries)
    asked = points if queries is None else queries
    tiles = _tiles(points, asked, torch.arange(len(asked)))
    return torch.cat([(near < radii[rows, None]).sum(1) for rows, near in tiles])


def nearest_singly(points: Tensor, k: int, queries: Tensor | None) -> tuple[Tensor, Tensor]:
    """`nearest` from float32: some more than k are taken and compared again; if too few, so is the whole row."""
    asked = points if queries is None else queries
    single, asked_singly, scale, slack = _singly(points, asked)
    most = len(points) - (queries is None)
    taken = min(most, k + _SPARE)
    distances = points.new_empty(len(asked), k)
    indices = torch.empty(len(asked), k, dtype=torch.int64, device=points.device)
    for rows, near in _tiles(single, asked_singly, torch.arange(len(asked), device=points.device)):
        if queries is None:
            near[torch.arange(len(rows), device=near.device), rows] = torch.inf
        found = near.topk(taken, largest=False)
        names = found.indices.sort(1).values  # so that a stable sort keeps the lowest of equally near ones
        again = (points[names] - asked[rows, None]).abs().amax(2)
        order = again.argsort(dim=1, stable=True)[:, :k]
        distances[rows], indices[rows] = again.gather(1, order), names.gather(1, order)
        if taken < most:
            # what was not taken is at least so far
            beyond = found.values.amax(1).double() * (1 - _ROUNDING) - slack[rows]
            left = rows[distances[rows, -1] * scale >= beyond]
            if len(left) > 0:
                distances[left], indices[left] = _nearest_doubly(points, k, queries, left)
    return distances, indices


def count_singly(points: Tensor, radii: Tensor, queries: Tensor | None) -> Tensor:
    """`count_closer` from float32: what is clearly closer is counted, what is neither is compared again."""
    asked = points if queries is None else queries
    single, asked_singly, scale, slack = _singly(points, asked)
    counts = torch.zeros(len(asked), dtype=torch.int64, device=points.device)
    for rows, near in _tiles(single, asked_singly, torch.arange(len(asked), device=points.device)):
        # one more unit in the last place of float32 on either side: the limits are rounded too
        radius = radii[rows] * scale
        low = ((radius - slack[rows]) * (1 - 2 * _ROUNDING)).float()[:, None]
        high = ((radius + slack[rows]) * (1 + 2 * _ROUNDING)).float()[:, None]
        counts[rows] = (near < low).sum(1)
        row, point = ((near >= low) & (near <= high)).nonzero(as_tuple=True)
        for some in torch.arange(len(row), device=row.device).split(_most_pairs(points) // points.shape[1] + 1):
            again = (points[point[some]] - asked[rows[row[some]]]).abs().amax(1)
            counts.index_add_(0, rows[row[some]], (again < radii[rows[row[some]]]).long())
    return counts


def _nearest_doubly(points: Tensor, k: int, queries: Tensor | None, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """`nearest` in float64, for the chosen rows (M,) alone."""
    distances, indices = [], []
    for rows, near in _tiles(points, points if queries is None else queries, chosen):
        if queries is None:
            near[torch.arange(len(rows), device=near.device), rows] = torch.inf
        ordered, order = near.sort(dim=1, stable=True)
        distances.append(ordered[:, :k].clone())
        indices.append(order[:, :k].clone())
    return torch.cat(distances), torch.cat(indices)


def _tiles(points: Tensor, asked: Tensor, chosen: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The chosen rows of queries in groups, and their distances to all points."""
    for rows in chosen.split(max(1, _most_pairs(points) // len(points))):
        near = torch.zeros(len(rows), len(points), dtype=points.dtype, device=points.device)
        for column, values in zip(asked[rows].T, points.T, strict=True):
            torch.maximum(near, (values - column[:, None]).abs_(), out=near)
        yield rows, near


def _most_pairs(points: Tensor) -> int:
    return _PAIRS if points.device.type == "cpu" else _PAIRS_ELSEWHERE


def _singly(points: Tensor, asked: Tensor) -> tuple[Tensor, Tensor, float, Tensor]:
    """Points and queries in float32 about their centre, of size one at most; the scale; and a slack (M,).

    With t a distance and f its value in float32, |scale t - f| <= rounding f + slack.
    """
    centre = (points.amax(0) + points.amin(0)) / 2
    largest = float(torch.maximum((points - centre).abs().amax(), (asked - centre).abs().amax()))
    scale = 2.0 ** -math.frexp(max(largest, 1e-250))[1]
    # a point is no larger than the query and the distance together, so that the rounding of the query bounds its own
    slack = ((asked - centre) * scale).abs().amax(1) * _ROUNDING + 2.0**-120
    return ((points - centre) * scale).float(), ((asked - centre) * scale).float(), scale, slack
