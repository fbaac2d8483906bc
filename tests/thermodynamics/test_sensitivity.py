"""Stated rounding errors of smooth functions: by hand, against many digits, and without a trace on gradients."""

from fractions import Fraction

import pytest
import torch

from infotherm.thermodynamics.sensitivity import with_sensitivity

F64 = torch.float64
EPS = torch.finfo(F64).eps


def test_the_error_is_that_of_the_formula():
    """v = (a / b, 3), sizes (2, 0): 4 eps loose |size| + eps loose (|1 / b| |a| + |a / b^2| |b|)."""

    def function(a, b):
        value = torch.cat([a / b, torch.full_like(a, 3.0)], -1)
        return value, torch.tensor([2.0, 0.0], dtype=F64).expand(value.shape)

    a, b = torch.tensor([[6.0], [-1.0]], dtype=F64), torch.tensor([[2.0], [4.0]], dtype=F64)
    value, error = with_sensitivity(function, [a, b], event_dims=[1, 1], loose=5.0)
    assert value.tolist() == [[3.0, 3.0], [-0.25, 3.0]]
    expected = torch.tensor([[40.0 + 5 * 6.0, 0.0], [40.0 + 5 * 0.5, 0.0]], dtype=F64) * EPS
    torch.testing.assert_close(error, expected, rtol=1e-12, atol=1e-300)


def test_entries_of_a_matrix_move_by_its_largest():
    """v = m_00 + 2 m_11 of each matrix: slopes 1 and 2, entries of 8 at most."""

    def function(m):
        value = (m[..., 0, 0] + 2 * m[..., 1, 1])[..., None]
        return value, torch.zeros_like(value)

    matrices = torch.tensor([[[1.0, -8.0], [0.0, 2.0]], [[0.5, 0.0], [0.0, 0.25]]], dtype=F64)
    _, error = with_sensitivity(function, [matrices], event_dims=[2], loose=1.0)
    torch.testing.assert_close(error[:, 0], torch.tensor([24.0, 1.5], dtype=F64) * EPS, rtol=1e-12, atol=0)


@pytest.mark.parametrize("gap", [1e-3, 1e-7, 1e-10])
def test_an_ill_conditioned_inverse_is_within_its_error(gap):
    """The entry (0, 0) of the inverse of a matrix that is nearly singular, by fractions."""

    def function(m):
        value = torch.linalg.inv(m)[..., 0, 0, None]
        return value, value.detach().abs()

    matrix = torch.tensor([[1.0, 1 / 3], [3.0, 1.0 + gap]], dtype=F64)
    value, error = with_sensitivity(function, [matrix], event_dims=[2], loose=4.0)
    (a, b), (c, d) = [[Fraction(v) for v in row] for row in matrix.tolist()]
    exact = float(d / (a * d - b * c))
    assert abs(value.item() - exact) <= error.item() < 1e3 * EPS * exact**2
    # the arithmetic alone would not cover it, the sensitivity is what grows as the square
    assert error.item() > 0.1 * EPS / gap**2


def test_gradients_pass_through_the_value_alone():
    x = torch.tensor([[0.3], [-2.0]], dtype=F64, requires_grad=True)

    def function(y):
        return y**3, (y**3).detach().abs()

    value, error = with_sensitivity(function, [x], event_dims=[1], loose=1.0)
    (slope,) = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(slope, 3 * x.detach() ** 2)
    assert not error.requires_grad


def test_a_number_of_dimensions_for_each_argument():
    with pytest.raises(ValueError, match="zip"):
        with_sensitivity(lambda x: (x, x), [torch.ones(2, 1)], event_dims=[], loose=1.0)


def test_numbers_of_a_batch_are_not_mixed():
    """v = a^2 of single numbers: 4 eps loose a^2 + eps loose 2 a^2, each for itself."""
    a = torch.tensor([1.0, 10.0], dtype=F64)
    _, error = with_sensitivity(lambda x: (x[:, None] ** 2, x[:, None] ** 2), [a], event_dims=[0], loose=1.0)
    torch.testing.assert_close(error[:, 0], 6 * EPS * a**2, rtol=1e-12, atol=1e-300)
