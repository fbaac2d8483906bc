from types import SimpleNamespace

import numpy as np
import pytest
import torch

from infotherm.estimators import max_norm_tiles


def as_engine(nearest, count):
    """The functions on arrays, as the other engines have them."""

    def tensor(x):
        return None if x is None else torch.from_numpy(x)

    def neighbours(points, k, queries):
        return [found.numpy() for found in nearest(tensor(points), k, tensor(queries))]

    def count_closer(points, radii, queries):
        return count(tensor(points), tensor(radii), tensor(queries)).numpy()

    def neighbour_counts(points, k, subspaces):
        distances, indices = neighbours(points, k, None)
        spaces = [np.ascontiguousarray(points[:, list(columns)]) for columns in subspaces]
        return distances, indices, [count_closer(space, distances[:, -1].copy(), None) for space in spaces]

    return SimpleNamespace(nearest=neighbours, count_closer=count_closer, neighbour_counts=neighbour_counts)


ENGINES = {
    "float64": as_engine(max_norm_tiles.nearest, max_norm_tiles.count_closer),
    "float32 first": as_engine(max_norm_tiles.nearest_singly, max_norm_tiles.count_singly),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("n", "dim", "k"), [(2, 1, 1), (5, 3, 4), (64, 1, 3), (65, 7, 10), (63, 2, 62), (150, 100, 3)])
def test_is_the_definition_in_any_shape(engine, n, dim, k, assert_engine_is_the_definition, monkeypatch):
    monkeypatch.setattr(max_norm_tiles, "_PAIRS", 7 * n)  # several tiles
    points, queries = np.random.default_rng(n).standard_normal((2, n, dim))
    assert_engine_is_the_definition(ENGINES[engine], points, k, queries[: n // 2 + 1])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dim", [1, 4])
def test_is_the_definition_on_awkward_data(engine, dim, awkward_data, assert_engine_is_the_definition):
    points = awkward_data(150, dim)
    assert_engine_is_the_definition(ENGINES[engine], points[:130], 3, points[100:])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same():
    points = torch.randn(3000, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    near, names = max_norm_tiles.nearest(points, 3, None)
    on_gpu = max_norm_tiles.nearest(points.cuda(), 3, None)
    assert torch.equal(near, on_gpu[0].cpu()) and torch.equal(names, on_gpu[1].cpu())
    radii = near[:, -1].contiguous()
    counts = max_norm_tiles.count_closer(points[:, :3], radii, None)
    assert torch.equal(counts, max_norm_tiles.count_closer(points[:, :3].cuda(), radii.cuda(), None).cpu())
