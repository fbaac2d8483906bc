import math

import pytest

from infotherm.bounds.catalogue.differences import derivative
from infotherm.core.estimate import Estimate, exact


@pytest.mark.parametrize(
    ("function", "slope", "at"),
    [
        (math.log, lambda t: 1 / t, 0.7),
        (math.exp, math.exp, -1.0),
        (lambda t: t**3 - t, lambda t: 3 * t * t - 1, 0.4),
        (lambda t: 1 / t, lambda t: -1 / t**2, 2.0),
        (lambda t: math.log1p(math.sqrt(t)), lambda t: 0.5 / (math.sqrt(t) * (1 + math.sqrt(t))), 1.3),
    ],
)
def test_the_stated_error_holds_and_is_small(function, slope, at):
    found = derivative(lambda t: exact(function(t)), at, abs(at) / 4)
    assert abs(found.value.item() - slope(at)) <= found.error.item()
    assert found.error.item() < 1e-8 * max(1, abs(slope(at)))


def test_errors_of_the_values_are_carried():
    rough = derivative(lambda t: Estimate(math.log(t), error=1e-6), 1.0, 0.25)
    assert 1e-6 < rough.error.item() < 1e-4
    noisy = derivative(
        lambda t: Estimate(math.log(t), stderr=0.01, kind="estimate", method="monte-carlo", streams=["s"]), 1.0, 0.25
    )
    assert noisy.stderr.item() > 0.01
    assert derivative(lambda t: Estimate(t, kind="lower"), 1.0, 0.25).kind == "unknown"


@pytest.mark.parametrize("kink", [1.05, 1.1, 1.2, 1.5])
def test_a_kink_within_reach_is_within_the_error(kink):
    found = derivative(lambda t: exact(abs(t - kink)), 1.0, 0.25)
    assert abs(found.value.item() + 1) <= found.error.item()
