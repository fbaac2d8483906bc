import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import infotherm.estimators
from infotherm.estimators import max_norm_tiles, nearest, rank_sweeps
from infotherm.estimators.nearest import count_closer, neighbour_counts


def tensor(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def defined(points, k, radii=None, *, inclusive=False):
    """Row by row as the definition says; equally near points by index."""
    distances, indices, counts = [], [], []
    for i, q in enumerate(points):
        near = (points - q).abs().amax(1)
        order = near.argsort(stable=True)
        order = order[order != i]
        distances.append(near[order[:k]])
        indices.append(order[:k])
        radius = distances[-1][-1] if radii is None else radii[i]
        inside = near[order] <= radius if inclusive else near[order] < radius
        counts.append(inside.sum())
    return torch.stack(distances), torch.stack(indices), torch.stack(counts)


def assert_is_the_definition(points, k):
    distances, indices, _ = defined(points, k)
    found, counts = neighbour_counts(points, k, [[0], range(points.shape[1])])
    for neighbours in (found, nearest.nearest(points, k)):
        assert torch.equal(neighbours.distances, distances) and torch.equal(neighbours.indices, indices)
    for columns, count in zip(([0], list(range(points.shape[1]))), counts, strict=True):
        assert torch.equal(count, defined(points[:, columns], k, distances[:, -1])[2])
    for inclusive in (False, True):
        count = count_closer(points, distances[:, -1], inclusive=inclusive)
        assert torch.equal(count, defined(points, k, distances[:, -1], inclusive=inclusive)[2])


@settings(max_examples=30)
@given(data=st.data())
def test_is_the_definition(data):
    """Lattices and other awkward points, in all engines that the sizes lead to."""
    n, dim = data.draw(st.integers(2, 200), label="n"), data.draw(st.integers(1, 12), label="dim")
    k = data.draw(st.integers(1, min(n - 1, 30)), label="k")
    scale = data.draw(st.sampled_from([1e-12, 0.1, 1.0, 1e6]), label="scale")
    levels = data.draw(st.sampled_from([2, 10, 1000]), label="levels")
    points = torch.from_numpy(np.random.default_rng(n).integers(0, levels, (n, dim)) * scale)
    assert_is_the_definition(points, k)


def test_very_many_neighbours():
    assert_is_the_definition(tensor(0, 300, 2), 299)


def test_without_numba(monkeypatch):
    points = tensor(0, 400, 3)
    expected, expected_counts = neighbour_counts(points, 3, [[0, 1], [2]])
    for module in ("compiled", "rank_kernels", "rank_bitmaps"):
        monkeypatch.delitem(sys.modules, f"infotherm.estimators.{module}", raising=False)
        monkeypatch.delattr(infotherm.estimators, module, raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    assert nearest._engine(points, None) is rank_sweeps
    found, counts = neighbour_counts(points, 3, [[0, 1], [2]])
    assert torch.equal(found.distances, expected.distances) and torch.equal(found.indices, expected.indices)
    assert all(torch.equal(a, b) for a, b in zip(counts, expected_counts, strict=True))


def test_few_pairs_need_nothing_compiled():
    assert nearest._engine(tensor(0, 60, 3), None) is max_norm_tiles


def test_queries_count_points_at_their_own_place():
    points = tensor(0, 300, 2)
    found = nearest.nearest(points, 2, points)
    assert found.indices[:, 0].tolist() == list(range(300)) and float(found.distances[:, 0].max()) == 0
    assert count_closer(points, torch.full((300,), 1e-9).double(), points).tolist() == [1] * 300
    assert count_closer(points, torch.full((300,), 1e-9).double()).tolist() == [0] * 300


@pytest.mark.parametrize("n", [4, 200])
def test_zero_distances(n):
    points = tensor(0, n // 2, 2).repeat(2, 1)
    found, (counts,) = neighbour_counts(points, 1, [[0, 1]])
    assert float(found.distances.abs().max()) == 0 and counts.tolist() == [0] * n
    assert count_closer(points, found.distances[:, 0], inclusive=True).tolist() == [1] * n
    assert count_closer(points, torch.full((n,), -1.0).double(), inclusive=True).tolist() == [0] * n
    assert count_closer(points, torch.full((n,), torch.inf).double()).tolist() == [n - 1] * n


def test_input_is_left_alone_and_may_be_strided():
    wide = tensor(0, 6, 300)
    kept = wide.clone()
    points = wide.T[:, ::2]
    found = nearest.nearest(points, 3)
    assert torch.equal(found.distances, nearest.nearest(points.contiguous(), 3).distances)
    assert torch.equal(wide, kept)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((tensor(0, 5), 1), r"points must have shape \(N, D\)"),
        ((tensor(0, 5, 2).float(), 1), "float64"),
        ((tensor(0, 5, 2), 5), "k must be an integer from 1 to the number of neighbours, 4; got 5"),
        ((tensor(0, 5, 2), 0), "k must be"),
        ((tensor(0, 5, 2), 2, tensor(0, 5, 3)), r"queries must have shape \(M, 2\)"),
        ((tensor(0, 5, 2) * torch.nan, 1), "finite"),
        ((tensor(0, 5, 2) * 1e308, 1), r"no larger than 8.9e\+307"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        nearest.nearest(*arguments)


def test_bad_radii_and_subspaces_are_named():
    points = tensor(0, 5, 2)
    with pytest.raises(ValueError, match="radii must have shape"):
        count_closer(points, torch.ones(4).double())
    with pytest.raises(ValueError, match="NaN"):
        count_closer(points, torch.full((5,), torch.nan).double())
    with pytest.raises(ValueError, match="a subspace must hold columns from 0 to 1"):
        neighbour_counts(points, 1, [[0, 2]])
