"""Limits of two-sample sums: standard errors, skewness, gates, pairs, and the way from W2^2 to W2."""

import math

import pytest
import torch

from infotherm.core.estimate import Estimate
from infotherm.transport.sample_limits import root_of, sampled_sum, squared_bound


def normal(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def bound(found, kind, **rest):
    return squared_bound(found, kind, confidence=0.99, error=0.0, streams=["s"], **rest)


def test_standard_error_and_skewness_by_hand():
    x, y = normal(0, 70).exp(), normal(1, 50)
    found = sampled_sum([x], [y])
    assert found.value.item() == pytest.approx((x.mean() + y.mean()).item(), rel=1e-14)
    variance = x.var() / 70 + y.var() / 50
    assert found.stderr.item() == pytest.approx(variance.sqrt().item(), rel=1e-14)
    third = (x - x.mean()).pow(3).sum() / 70**3 + (y - y.mean()).pow(3).sum() / 50**3
    assert found.skewness.item() == pytest.approx((third / variance**1.5).item(), rel=1e-12)
    assert found.n.item() == 50


def test_folds_have_centres_of_their_own_and_batches_are_elements():
    x, y = normal(0, 3, 80), normal(1, 3, 60)
    shifted = torch.cat([x[:, :40], x[:, 40:] + 100], -1)
    found = sampled_sum([shifted[:, :40], shifted[:, 40:]], [y])
    assert found.stderr[0].item() == pytest.approx(sampled_sum([x[0, :40], x[0, 40:]], [y[0]]).stderr.item(), rel=1e-9)
    assert found.stderr.max().item() < 0.3


def test_pairs_that_move_together_are_seen():
    x = normal(0, 400)
    together, apart = sampled_sum([x], [x]), sampled_sum([x], [-x])
    assert together.stderr.item() == pytest.approx(2 * sampled_sum([x], [0 * x]).stderr.item(), rel=1e-12)
    assert apart.stderr.item() < together.stderr.item()


def test_only_harmful_tails_are_refused_and_widened():
    spike = normal(0, 200)
    spike[0] = -60.0
    found, mirrored = sampled_sum([spike], [0 * spike]), sampled_sum([-spike], [0 * spike])
    with pytest.warns(UserWarning, match="one sample makes up"):
        assert bound(found, "lower").kind == "unknown"
    with pytest.warns(UserWarning, match="one sample makes up"):
        assert bound(mirrored, "upper").kind == "unknown"
    assert bound(mirrored, "lower").kind == "lower" and bound(found, "upper").kind == "upper"
    with pytest.warns(UserWarning):
        assert bound(found, "estimate").kind == "unknown"
    skewed = sampled_sum([-normal(1, 400).exp().clamp(max=5)], [normal(2, 400) * 0])
    assert skewed.spread("lower", 0.99) > skewed.stderr == skewed.spread("upper", 0.99)


def test_a_batch_refuses_elements():
    terms = normal(0, 2, 200)
    terms[1, 0] = -60.0
    with pytest.warns(UserWarning, match="unknown"):
        found = bound(sampled_sum([terms], [0 * terms]), "lower")
    assert found.kind == "lower" and found.error.isinf().tolist() == [False, True]
    root = root_of(found, "lower")
    assert root.error.isinf().tolist() == [False, True]
    assert root.lower_limit(0.01)[1] == -math.inf


def test_few_samples_are_refused():
    with pytest.warns(UserWarning, match="too few"):
        assert bound(sampled_sum([normal(0, 12)], [normal(1, 500)]), "lower").kind == "unknown"


@pytest.mark.parametrize("value", [-1.0, 0.0, 1e-9, 0.3, 2.0, 2.58, 2.6, 3.7, 5.0, 1e3])
@pytest.mark.parametrize("error", [0.0, 0.2])
def test_limits_of_the_root_are_no_tighter_than_roots_of_limits(value, error):
    info = {"n": 400, "confidence": 0.99}
    for kind in ("lower", "upper", "estimate"):
        square = Estimate(value, stderr=1.0, error=error, kind=kind, method="sample-based", streams=["s"], info=info)
        root = root_of(square, kind)
        assert root.value.item() == pytest.approx(max(value, 0.0) ** 0.5, rel=1e-15)
        for alpha in (0.3, 0.05, 0.01, 0.005, 1e-3, 1.1e-4):
            if kind != "upper":
                truth = math.sqrt(max(square.lower_limit(alpha).item(), 0.0))
                assert root.lower_limit(alpha).item() <= truth + 1e-12
            if kind != "lower" and alpha <= 0.16:
                truth = math.sqrt(max(square.upper_limit(alpha).item(), 0.0))
                assert root.upper_limit(alpha).item() >= truth - 1e-12


def test_the_root_costs_little_far_from_zero():
    info = {"n": 400, "confidence": 0.99}
    square = Estimate(20.0, stderr=1.0, kind="lower", method="sample-based", streams=["s"], info=info)
    assert root_of(square, "lower").lower_limit(0.01).item() == pytest.approx(
        square.lower_limit(0.01).sqrt().item(), rel=2e-3
    )
