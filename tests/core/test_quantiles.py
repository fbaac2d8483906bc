"""Quantiles against tables and against each other."""

import math

import pytest
import scipy.special
import torch

from infotherm.core.quantiles import normal_cdf, normal_quantile, student_quantile, student_tail


@pytest.mark.parametrize("n, quantile", [(2, 12.7062047), (5, 2.7764451), (20, 2.0930241), (10**12, 1.9599640)])
def test_quantiles_are_those_of_the_tables(n, quantile):
    assert float(student_quantile(0.975, n)) == pytest.approx(quantile, rel=1e-7)
    assert float(student_tail(student_quantile(0.975, n), n)) == pytest.approx(0.025, rel=1e-6)


def test_without_a_number_of_samples_the_law_is_normal():
    assert float(student_quantile(0.9)) == normal_quantile(0.9) == float(student_quantile(0.9, math.nan))
    assert float(student_tail(torch.tensor(1.959963985, dtype=torch.float64))) == pytest.approx(0.025)


def test_the_normal_law_keeps_its_tails():
    z = torch.linspace(-37.0, 8.0, 500, dtype=torch.float64)
    exact = torch.from_numpy(scipy.special.ndtr(z.numpy()))
    # both round z to eps z, on which the tail exp(-z^2 / 2) depends with z^2 eps
    assert ((normal_cdf(z) - exact).abs() <= (8 + 2 * z.square()) * 2.2e-16 * exact).all()


def test_fewer_than_two_samples_count_as_two():
    assert float(student_quantile(0.975, 1)) == float(student_quantile(0.975, 0)) == float(student_quantile(0.975, 2))


def test_batches():
    assert student_quantile(0.975, torch.tensor([2, 5])).shape == (2,)
