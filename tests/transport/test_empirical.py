"""Bounds of a population distance from samples, all together."""

import math

import pytest
import torch

import infotherm as it
from infotherm.transport.empirical import empirical_bounds


def normal(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_all_numbers_of_one_call():
    x, y = normal(0, 400, 2), 1 + 2 * normal(1, 300, 2)
    bounds = empirical_bounds(x, y, generator=0)
    assert [e.kind for e in (bounds.lower, bounds.upper, bounds.point, bounds.moments)] == [
        "lower", "upper", "estimate", "lower",
    ]  # fmt: skip
    low, high = bounds.limits
    assert (
        low.item() == bounds.lower.lower_limit(0.01).item() < 2 < high.item() == bounds.upper.upper_limit(0.01).item()
    )
    for root, square in (
        (bounds.lower, bounds.lower_squared),
        (bounds.upper, bounds.upper_squared),
        (bounds.point, bounds.point_squared),
        (bounds.moments, bounds.moments_squared),
    ):
        assert root.value.item() == pytest.approx(square.value.item() ** 0.5, rel=1e-14)
        assert root.units == square.units == "1" and root.streams == square.streams
    assert bounds.confidence == 0.99 and bounds.lower.info["confidence"] == 0.99


def test_confidence_moves_the_limits_of_both():
    x, y = normal(0, 400), 1 + 2 * normal(1, 300)
    (low, high), (lower, higher) = (empirical_bounds(x, y, confidence=c, generator=0).limits for c in (0.9, 0.999))
    assert lower < low < 2**0.5 < high < higher


def test_verdicts_take_them():
    x, y = normal(0, 400), 3 + normal(1, 400)
    bounds = empirical_bounds(x, y, generator=0)
    assert it.decide(9.0, bounds.lower_squared, ">=").outcome == "undecided"
    assert it.decide(5.0, bounds.lower_squared, ">=").outcome == "violated"
    assert it.decide(13.0, bounds.lower_squared, ">=").outcome == "undecided"  # a lower bound cannot confirm it
    assert it.decide(13.0, bounds.upper_squared, ">=").outcome == "holds"


def test_batches_and_seeds():
    x, y = normal(0, 3, 100, 2), 1 + normal(1, 3, 90, 2)
    bounds = empirical_bounds(x, y, generator=4)
    assert bounds.lower.shape == bounds.upper.shape == bounds.point.shape == bounds.moments.shape == (3,)
    again = empirical_bounds(x, y, generator=torch.Generator().manual_seed(4))
    assert bounds.lower.value.tolist() == again.lower.value.tolist()
    assert bounds.point.value.tolist() == again.point.value.tolist()


@pytest.mark.filterwarnings("ignore:W2 from samples")
def test_heavy_tails_decide_nothing():
    x, y = normal(0, 300) / normal(1, 300).abs() ** 1.5, normal(2, 300)
    bounds = empirical_bounds(x, y, generator=0)
    assert bounds.upper.kind == bounds.point.kind == "unknown"
    assert bounds.limits[1].item() == math.inf


@pytest.mark.parametrize(
    ("x", "rest", "error"),
    [
        (torch.ones(30, 2), {}, ValueError),
        (torch.ones(5), {}, ValueError),
        (torch.full((30,), math.nan), {}, ValueError),
        (it.Gaussian(0.0, 1.0), {}, TypeError),
        (["a"] * 30, {}, TypeError),
        (torch.ones(30), {"confidence": 0}, ValueError),
        (torch.ones(30), {"weights": torch.ones(30)}, TypeError),
    ],
)
def test_refusals(x, rest, error):
    with pytest.raises(error):
        empirical_bounds(x, torch.ones(30), **rest)
