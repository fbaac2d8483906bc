import numpy as np
import pytest
import torch

from infotherm.estimators.nearest import count_closer, nearest, neighbour_counts


def defined_neighbours(points, k, queries=None):
    """Row by row as the definition says; equally near points by index."""
    distances, indices = [], []
    for i, q in enumerate(points if queries is None else queries):
        near = np.abs(points - q).max(1)
        order = np.argsort(near, kind="stable")
        if queries is None:
            order = order[order != i]
        distances.append(near[order[:k]])
        indices.append(order[:k])
    return np.array(distances), np.array(indices)


def defined_counts(points, radii, queries=None, inclusive=False):
    counts = []
    for i, q in enumerate(points if queries is None else queries):
        near = np.abs(points - q).max(1)
        inside = near <= radii[i] if inclusive else near < radii[i]
        counts.append(inside.sum() - (inside[i] if queries is None else 0))
    return np.array(counts)


@pytest.mark.parametrize(("n", "dim", "k"), [(2, 1, 1), (5, 3, 4), (64, 2, 3), (65, 7, 64), (300, 2, 5)])
def test_is_the_definition(n, dim, k):
    points = np.random.default_rng(n).standard_normal((n, dim)).round(1)
    distances, indices = defined_neighbours(points, k)
    found = nearest(torch.from_numpy(points), k)
    assert np.array_equal(found.distances.numpy(), distances)
    assert np.array_equal(found.indices.numpy(), indices)
    for inclusive in (False, True):
        counts = count_closer(torch.from_numpy(points), found.distances[:, -1], inclusive=inclusive)
        assert np.array_equal(counts.numpy(), defined_counts(points, distances[:, -1], inclusive=inclusive))
    again, (closer,) = neighbour_counts(torch.from_numpy(points), k, [[0]])
    assert torch.equal(again.indices, found.indices)
    assert np.array_equal(closer.numpy(), defined_counts(points[:, :1], distances[:, -1]))
