"""Radau collocation on lines and rings: against matrix exponentials, driven and not."""

import numpy as np
import pytest
from scipy.linalg import expm

from infotherm.processes.collocation import follow


def rates_and_matrix(ring):
    x = np.linspace(-3, 3, 61)
    count = 61 if ring else 60
    up = 100 * (1 + 0.3 * np.sin(x[:count]))
    down = np.full(count, 90.0)
    matrix = np.zeros((61, 61))
    for i in range(count):
        j = (i + 1) % 61
        matrix[j, i] += up[i]
        matrix[i, i] -= up[i]
        matrix[i, j] += down[i]
        matrix[j, j] -= down[i]
    start = np.exp(-(x**2))
    return up, down, matrix, start / start.sum()


@pytest.mark.parametrize("ring", [False, True])
@pytest.mark.parametrize("static", [False, True])
def test_against_the_exponential(ring, static):
    up, down, matrix, start = rates_and_matrix(ring)
    course = follow(
        lambda t: (up, down), start, np.array([0.0, 0.1, 1.0]), lambda t, u: u[[3, 30]], ring=ring, static=static
    )
    for state, t in zip(course.states, (0.0, 0.1, 1.0), strict=True):
        assert np.abs(state - expm(matrix * t) @ start).max() < 1e-13 + course.error
    assert abs(course.states[-1].sum() - 1) < 1e-13
    # the integral of exp(A t) u from the exponential of the enlarged matrix
    enlarged = np.zeros((122, 122))
    enlarged[:61, :61], enlarged[:61, 61:] = matrix, np.eye(61)
    integral = expm(enlarged)[:61, 61:] @ start
    assert np.abs(course.integrals[-1] - integral[[3, 30]]).max() < 1e-12


def test_a_common_factor_of_time_only_changes_the_clock():
    up, down, matrix, start = rates_and_matrix(True)

    def driven(t):
        return up * (1 + 0.5 * np.cos(9 * t)), down * (1 + 0.5 * np.cos(9 * t))

    course = follow(driven, start, np.array([0.0, 1.0]), lambda t, u: np.array([np.cos(9 * t)]), ring=True)
    assert np.abs(course.states[-1] - expm(matrix * (1 + 0.5 * np.sin(9) / 9)) @ start).max() < 1e-13
    assert abs(course.integrals[-1, 0] - np.sin(9) / 9) < 1e-10
