import numpy as np
import pytest

pytest.importorskip("numba")

from infotherm.estimators import kd_order, rank_bitmaps

SHAPES = [(2, 1, 1), (5, 3, 4), (63, 2, 62), (64, 1, 3), (65, 7, 10), (300, 2, 3), (513, 6, 3), (400, 20, 5)]


@pytest.mark.parametrize(("n", "dim", "k"), SHAPES)
def test_is_the_definition_in_any_shape(n, dim, k, assert_engine_is_the_definition):
    points, queries = np.random.default_rng(n).standard_normal((2, n, dim))
    assert_engine_is_the_definition(rank_bitmaps, points, k, queries[: n // 2 + 1])


@pytest.mark.parametrize("dim", [1, 3, 12])
def test_is_the_definition_on_awkward_data(dim, awkward_data, assert_engine_is_the_definition):
    points = awkward_data(300, dim)
    assert_engine_is_the_definition(rank_bitmaps, points[:280], 3, points[260:])


@pytest.mark.parametrize("dim", [2, 10])
def test_is_the_definition_in_several_chunks(dim, awkward_data, assert_engine_is_the_definition, monkeypatch):
    monkeypatch.setattr(kd_order, "_LEAF", 60)
    monkeypatch.setattr(rank_bitmaps, "_CHUNK", 200)
    points = awkward_data(350, dim)
    assert_engine_is_the_definition(rank_bitmaps, points[:330], 3, points[300:])


def test_hundred_dimensions(assert_engine_is_the_definition):
    points = np.random.default_rng(0).standard_normal((200, 100))
    assert_engine_is_the_definition(rank_bitmaps, points, 3, points[:10] + 0.1)


def test_many_neighbours(assert_engine_is_the_definition):
    points = np.random.default_rng(0).standard_normal((257, 3)).round(1)
    assert_engine_is_the_definition(rank_bitmaps, points, 256)


def test_both_ways_to_count_what_is_left():
    """Few points left in the widened box are compared one by one, many are corrected at the ends of the ranges."""
    points = np.random.default_rng(0).standard_normal((2000, 3)).round(2)
    for radius in (0.05, 0.3, 2.0, 9.0):
        defined = (np.abs(points[:50, None] - points).max(2) < radius).sum(1)
        counts = rank_bitmaps.count_closer(points, np.full(50, radius), points[:50])
        np.testing.assert_array_equal(counts, defined)


def test_radii_that_hold_nothing_and_everything():
    points = np.random.default_rng(0).standard_normal((100, 2))
    for radius, count in ((-1.0, 0), (0.0, 0), (5e-324, 1), (np.inf, 100)):
        assert (rank_bitmaps.count_closer(points, np.full(100, radius), None) == count).all()


def test_a_bound_that_ignores_rounding_is_caught(assert_engine_is_the_definition, monkeypatch):
    """Planted: bounds from float32 without what the rounding may add lose neighbours."""
    honest = rank_bitmaps._bounds
    monkeypatch.setattr(rank_bitmaps, "_bounds", lambda *a, **k: honest(*a, **k) * (1 - 2e-6))
    points = np.random.default_rng(0).standard_normal((250, 2))
    with pytest.raises(AssertionError):
        assert_engine_is_the_definition(rank_bitmaps, points, 3)


def test_ends_of_ranges_follow_the_predicate():
    """x - q and q + r round differently: 0.3 - 0.2 < 0.1 although 0.2 + 0.1 > 0.3."""
    values = np.arange(0, 3000) / 10
    for radius in (0.1, 0.30000000000000004, 1.1, 77.7):
        counts = rank_bitmaps.count_closer(values[:, None], np.full(3000, radius), None)
        np.testing.assert_array_equal(counts, (np.abs(values[:, None] - values) < radius).sum(1))
