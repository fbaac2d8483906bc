"""What the tests of the neighbour engines share: their definition, and data that have broken such codes."""

import numpy as np
import pytest

_DATA = {
    "normal": lambda x, rng: x,
    "rounded": lambda x, rng: x.round(1),  # fl(x - q) of decimals falls on either side of a decimal radius
    "integers": lambda x, rng: x.round(),
    "binary": lambda x, rng: (x > 0).astype(float),
    "far away": lambda x, rng: x + 1e8,
    "tiny": lambda x, rng: x * 1e-12,
    "subnormal": lambda x, rng: x * 1e-310,
    "huge": lambda x, rng: x * 1e300,
    "unequal scales": lambda x, rng: x * 10.0 ** np.arange(-3, x.shape[1] - 3),
    "lognormal": lambda x, rng: np.exp(5 * x),
    "Cauchy": lambda x, rng: x / rng.standard_normal(x.shape),
    "constant column": lambda x, rng: x * (np.arange(x.shape[1]) > 0),
    "constant": lambda x, rng: 0 * x,
    "duplicates": lambda x, rng: x[np.arange(len(x)) // 3],
    "sorted": lambda x, rng: np.sort(x, axis=0),
}


@pytest.fixture(params=sorted(_DATA))
def awkward_data(request):
    """A function of (n, dim) that draws samples of one kind."""

    def draw(n, dim):
        rng = np.random.default_rng([n, dim])
        return _DATA[request.param](rng.standard_normal((n, dim)), rng)

    return draw


def _all_distances(points, asked):
    near = np.zeros((len(asked), len(points)))
    for column, values in zip(asked.T, points.T, strict=True):
        np.maximum(near, np.abs(values - column[:, None]), out=near)
    return near


def defined_neighbours(points, k, queries=None):
    """Distances and indices as the definition says: all pairs, sorted; equally near points by index."""
    near = _all_distances(points, points if queries is None else queries)
    if queries is None:
        np.fill_diagonal(near, np.inf)
    indices = near.argsort(axis=1, kind="stable")[:, :k]
    return np.take_along_axis(near, indices, 1), indices


def defined_counts(points, radii, queries=None):
    """Points strictly closer than the radii, itself among them, from all pairs."""
    return (_all_distances(points, points if queries is None else queries) < radii[:, None]).sum(1)


@pytest.fixture
def assert_engine_is_the_definition():
    """Bit for bit: neighbours, counts in subspaces, and both for other queries than the points."""

    def check(engine, points, k, queries=None):
        dim = points.shape[1]
        subspaces = [range(0, (dim + 1) // 2), range(dim // 2, dim), [0], [dim - 1, 0]]
        distances, indices = defined_neighbours(points, k)
        found = engine.neighbour_counts(points, k, subspaces)
        np.testing.assert_array_equal(found[0], distances)
        np.testing.assert_array_equal(found[1], indices)
        radii = distances[:, -1].copy()
        for columns, counts in zip(subspaces, found[2], strict=True):
            part = np.ascontiguousarray(points[:, list(columns)])
            defined = defined_counts(part, radii)
            np.testing.assert_array_equal(counts, defined)
            np.testing.assert_array_equal(engine.count_closer(part, radii, None), defined)
        if queries is not None:
            distances, indices = defined_neighbours(points, k, queries)
            found = engine.nearest(points, k, queries)
            np.testing.assert_array_equal(found[0], distances)
            np.testing.assert_array_equal(found[1], indices)
            radii = distances[:, -1].copy()
            radii[::3] *= 2
            counts = engine.count_closer(points, radii, queries)
            np.testing.assert_array_equal(counts, defined_counts(points, radii, queries))

    return check
