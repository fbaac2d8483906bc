"""Nearest neighbours and counts in the maximum norm by brute force over tiles of pairs, on any torch device."""

from __future__ import annotations

import torch
from torch import Tensor

_TILE = 1 << 22  # pairs held at a time


def nearest(points: Tensor, k: int, queries: Tensor | None) -> tuple[Tensor, Tensor]:
    """Distances (M, k), ascending, and indices (M, k) of the nearest points; equally near ones by index."""
    distances, indices = [], []
    for rows, near in _tiles(points, queries):
        if queries is None:
            near[torch.arange(len(rows), device=near.device), rows] = torch.inf
        ordered, order = near.sort(dim=1, stable=True)
        distances.append(ordered[:, :k].clone())
        indices.append(order[:, :k].clone())
    return torch.cat(distances), torch.cat(indices)


def count_closer(points: Tensor, radii: Tensor, queries: Tensor | None) -> Tensor:
    """How many points are strictly closer than the radii, (M,), the point itself among them."""
    counts = []
    for rows, near in _tiles(points, queries):
        counts.append((near < radii[rows][:, None]).sum(1))
    return torch.cat(counts)


def _tiles(points: Tensor, queries: Tensor | None):
    queries = points if queries is None else queries
    height = max(1, _TILE // len(points))
    for rows in torch.arange(len(queries), device=points.device).split(height):
        near = torch.zeros(len(rows), len(points), dtype=points.dtype, device=points.device)
        for column, values in zip(queries[rows].T, points.T, strict=True):
            torch.maximum(near, (values - column[:, None]).abs_(), out=near)
        yield rows, near
