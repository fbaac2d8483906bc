"""How errors, streams, units and signs go through arithmetic."""

import math

import pytest
import torch

from infotherm.core.estimate import Estimate
from infotherm.core.propagation import (
    carried_rounding,
    certified_sign,
    common_units,
    joined_stderr,
    product_units,
    shared_info,
    size_product,
    streams_of,
)


def sampled(*streams, **fields):
    return Estimate(1.0, stderr=0.1, kind="estimate", streams=streams, **fields)


@pytest.mark.parametrize(
    "first, second, total", [("a", "b", 5.0), ("a", "a", 7.0), ((), "b", 7.0), ((), (), 7.0), (("a", "b"), "b", 7.0)]
)
def test_random_errors_add_in_quadrature_only_when_surely_independent(first, second, total):
    a, b = torch.tensor(3.0), torch.tensor(4.0)
    assert float(joined_stderr(a, b, sampled(*first), sampled(*second))) == total


def test_a_random_error_without_a_stream_has_one_without_a_name():
    assert (
        streams_of(sampled()) == ("unnamed",) and streams_of(sampled("a")) == ("a",) and streams_of(Estimate(1.0)) == ()
    )


def test_an_infinity_that_came_in_is_certain_and_an_overflow_is_not():
    infinite, large = torch.tensor(math.inf), torch.tensor(1e38)
    assert carried_rounding(infinite, infinite, large) < 1e-30
    assert carried_rounding(large * 100, large) == math.inf


def test_zero_times_infinity_is_zero_for_sizes():
    assert size_product(torch.tensor(0.0), torch.tensor(math.inf)) == 0


def test_a_combination_keeps_the_fewest_samples_and_what_did_not_converge():
    info = shared_info(
        [sampled("a", info={"n": 10}), sampled("b", info={"n": torch.tensor([7, 9]), "converged": False})]
    )
    assert info == {"n": 7, "converged": False} and shared_info([Estimate(1.0)]) == {}


def test_units():
    assert common_units(Estimate(1.0), Estimate(1.0, units="1")) == "nat" and product_units("nat", "1") == "nat"
    with pytest.raises(ValueError, match="units must agree"):
        common_units(Estimate(1.0), Estimate(1.0, units="bit"))


def test_signs_are_certain_only_beyond_the_error_and_without_chance():
    assert certified_sign(Estimate(1.0, error=0.5)) == 1 and certified_sign(Estimate(-1.0, kind="upper")) == -1
    assert certified_sign(Estimate(1.0, error=2.0)) == certified_sign(sampled("a")) == 0
    assert certified_sign(Estimate(1.0, kind="upper")) == 0
