"""The rounding bound holds for sums and for perturbed parameters, and is never zero."""

import math
from fractions import Fraction

import torch
from hypothesis import given
from hypothesis import strategies as st

from infotherm.core.rounding import rounding_error

terms = st.lists(st.floats(-1e8, 1e8), min_size=2, max_size=4)


@given(terms)
def test_it_bounds_the_rounding_of_a_sum(values):
    total = torch.tensor(0.0, dtype=torch.float64)
    for v in values:
        total = total + torch.tensor(v, dtype=torch.float64)
    truth = sum(Fraction(v) for v in values)
    bound = rounding_error([torch.tensor(v, dtype=torch.float64) for v in values])
    assert abs(Fraction(float(total)) - truth) <= Fraction(float(bound))


@given(st.floats(0.1, 1e8), st.floats(-0.5, 0.5))
def test_sensitivities_pay_for_the_parameters_own_rounding(theta, u):
    """v = sin(theta): a parameter moved by its own rounding moves v by up to eps |theta cos(theta)|."""
    moved = theta * (1 + u * 2.0**-52)
    at = torch.tensor(theta, dtype=torch.float64)
    bound = rounding_error([at.sin()], [(at.cos(), at)])
    curvature = (theta * 2.0**-52) ** 2
    assert abs(math.sin(moved) - math.sin(theta)) <= float(bound) + curvature


def test_it_is_never_zero_and_follows_the_dtype():
    assert rounding_error([torch.tensor(0.0)]) > 0
    assert rounding_error([torch.tensor(1.0)]) > 1e-8 > rounding_error([torch.tensor(1.0, dtype=torch.float64)])


def test_it_carries_no_gradient():
    assert not rounding_error([torch.ones(2, requires_grad=True)]).requires_grad
