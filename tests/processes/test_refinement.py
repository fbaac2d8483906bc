"""Extrapolation from halved grids: expansions that end, integrals, slow sequences, and splines to finer nodes."""

import math

import numpy as np
import pytest

from infotherm.processes.refinement import extrapolated, on_nodes


@pytest.mark.parametrize("order", [1, 2])
def test_an_expansion_that_ends_is_summed(order):
    limit = np.array([1.0, -2.0])
    levels = [limit + np.array([3.0, 1.0]) * 2.0 ** (-order * k) + 0.5 * 4.0 ** (-order * k) for k in range(4)]
    value, error = extrapolated(levels, order)
    assert (np.abs(value - limit) <= error + 1e-15).all() and error.max() < 1e-14
    wrong, stated = extrapolated(levels, 3 - order)  # the other order is no better than what it says
    assert (np.abs(wrong - limit) <= stated).all() and stated.min() > 1e-4


def test_trapezoidal_sums_of_an_exponential():
    sums = []
    for k in range(5):
        x = np.linspace(0.0, 1.0, 2 ** (k + 1) + 1)
        sums.append(np.array(np.trapezoid(np.exp(x), x)))
    for count in range(2, 6):
        value, error = extrapolated(sums[:count])
        assert abs(value - math.expm1(1.0)) <= error
    assert error < 1e-9 < 1e-4 < abs(sums[-1] - math.expm1(1.0))


@pytest.mark.parametrize("ratio", [0.5, 0.7, 0.85])
def test_what_is_left_of_a_slow_sequence_is_in_the_error(ratio):
    levels = [np.array(1.0 + ratio**k) for k in range(4)]
    value, error = extrapolated(levels)
    assert abs(value - 1.0) <= error < 20 * ratio**3


def test_splines_carry_values_to_finer_nodes():
    coarse, fine = np.linspace(-1.0, 2.0, 16), np.linspace(-1.0, 2.0, 31)
    columns = np.stack([coarse**7 - 3 * coarse, 2 - coarse**4], -1)  # of degree seven at most: exact
    np.testing.assert_allclose(
        on_nodes(columns, coarse, fine, None), np.stack([fine**7 - 3 * fine, 2 - fine**4], -1), atol=1e-11
    )
    ring, finer = (0.4 + math.tau * np.arange(n) / n for n in (24, 48))
    found = on_nodes(np.exp(np.cos(ring)), ring, finer, math.tau)
    np.testing.assert_allclose(found, np.exp(np.cos(finer)), atol=(math.tau / 24) ** 8)
    np.testing.assert_allclose(found[::2], np.exp(np.cos(ring)), rtol=1e-13)
    assert on_nodes(columns, coarse, coarse, None) is columns
