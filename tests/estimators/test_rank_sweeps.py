import numpy as np
import pytest

from infotherm.estimators import rank_sweeps


@pytest.mark.parametrize(("n", "dim", "k"), [(2, 1, 1), (5, 3, 4), (63, 2, 62), (64, 1, 3), (65, 7, 10), (500, 6, 3)])
def test_is_the_definition_in_any_shape(n, dim, k, assert_engine_is_the_definition):
    points, queries = np.random.default_rng(n).standard_normal((2, n, dim))
    assert_engine_is_the_definition(rank_sweeps, points, k, queries[: n // 2 + 1])


@pytest.mark.parametrize("dim", [1, 3, 12])
def test_is_the_definition_on_awkward_data(dim, awkward_data, assert_engine_is_the_definition):
    points = awkward_data(200, dim)
    assert_engine_is_the_definition(rank_sweeps, points[:180], 3, points[160:])


def test_is_the_definition_in_several_chunks(awkward_data, assert_engine_is_the_definition, monkeypatch):
    monkeypatch.setattr(rank_sweeps, "_CHUNK", 100)
    monkeypatch.setattr(rank_sweeps, "_TILE", 150)
    points = awkward_data(250, 4)
    assert_engine_is_the_definition(rank_sweeps, points[:230], 3, points[200:])


def test_population_without_bitwise_count(monkeypatch):
    """Numpy 1.26 has no population count."""
    words = np.random.default_rng(0).integers(0, 2**63, (5, 3)).astype(np.uint64)
    counted = rank_sweeps._population(words)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    np.testing.assert_array_equal(rank_sweeps._population(words), counted)
