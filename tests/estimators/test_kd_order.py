import numpy as np
import pytest

from infotherm.estimators.kd_order import kd_order


@pytest.mark.parametrize("n", [1, 255, 512, 3000])
def test_every_point_is_in_the_leaf_of_its_place(n):
    points = np.random.default_rng(n).standard_normal((n, 3))
    tree = kd_order(points)
    assert sorted(tree.order) == list(range(n))
    leaves = np.searchsorted(tree.starts, np.arange(n), side="right") - 1
    np.testing.assert_array_equal(tree.leaf_of(points[tree.order]), leaves)


def test_leaves_are_of_equal_size_and_small():
    points = np.random.default_rng(0).standard_cauchy((5000, 2))
    tree = kd_order(points)
    assert np.ptp(np.diff(tree.starts)) <= 1
    areas = [np.ptp(points[tree.order[a:b]], axis=0) for a, b in zip(tree.starts, tree.starts[1:], strict=False)]
    assert np.median([np.prod(area) for area in areas]) < 1e-3 * np.prod(np.ptp(points, axis=0))


def test_groups_are_whole_subtrees():
    tree = kd_order(np.random.default_rng(0).standard_normal((5000, 2)))
    groups = tree.groups(1300)
    assert len(groups) == 5 and set(groups) <= set(tree.starts) and np.diff(groups).max() <= 1300


def test_equal_points_are_ordered_too():
    tree = kd_order(np.zeros((2000, 2)))
    assert sorted(tree.order) == list(range(2000))
