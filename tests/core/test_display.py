"""A person reads as many digits as are known."""

import math

import pytest
import torch

from infotherm.core.display import with_uncertainty
from infotherm.core.estimate import Estimate


@pytest.mark.parametrize(
    "value, uncertainty, text",
    [
        (0.80692, 0.0012, "0.8069 +- 0.0012"),
        (123.4567, 12.0, "123 +- 12"),
        (1.4189385332046727, 4e-16, "1.4189385332 +- 4e-16"),
        (0.0, 0.5, "0.00 +- 0.5"),
        (1e-9, 1e-12, "1.0000e-09 +- 1e-12"),
        (1.5e9, 1e7, "1.500e+09 +- 1e+07"),
        (math.inf, 0.0, "inf"),
        (1.0, math.inf, "1 +- inf"),
        (math.nan, 1.0, "nan"),
    ],
)
def test_digits(value, uncertainty, text):
    assert with_uncertainty(value, uncertainty) == text


def test_one_line_for_a_person():
    e = Estimate(0.80692, stderr=0.0012, kind="estimate", method="monte-carlo", info={"n": 10_000})
    assert repr(e) == "0.8069 +- 0.0012 nat  estimate  monte-carlo(n=10000)"
    assert repr(Estimate(2.0, error=0.1, units="1")) == "2.00 +- 0.1  exact  closed-form"


def test_batches_are_shortened():
    text = repr(Estimate(torch.arange(100.0), error=0.5))
    assert "..." in text and "shape (100,)" in text and len(text) < 200


def test_traced_numbers_have_a_repr():
    seen = []
    torch.func.vmap(lambda v: seen.append(repr(Estimate(v))) or v)(torch.ones(2))
    assert seen and "nat" in seen[0]


def test_a_zero_known_very_well_is_short():
    assert with_uncertainty(0.0, 2.3e-308) == "0 +- 2.3e-308"
    assert with_uncertainty(0.0, 0.2) == "0.00 +- 0.2"


def test_an_infinity_that_is_not_certain_says_so():
    assert with_uncertainty(math.inf, math.inf) == "inf +- inf" and with_uncertainty(math.inf, 1e-300) == "inf"


def test_odd_sample_numbers_do_not_break_the_line():
    for n in (math.nan, math.inf):
        assert "n=" not in repr(Estimate(1.0, info={"n": n}))
