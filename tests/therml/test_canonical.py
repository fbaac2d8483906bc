"""Canonical pairs: against plain linear algebra, for singular blocks, and their error bar."""

import math

import pytest
import torch

import infotherm as it
from infotherm.therml.canonical import canonical_pairs


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


def _joint(covariance, dx):
    n = len(covariance)
    return it.Gaussian(torch.zeros(n, dtype=torch.float64), covariance, parts={"x": dx, "y": n - dx})


def test_tangents_are_those_of_the_whitened_cross_covariance():
    B = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    C = B @ B.mT
    pairs = canonical_pairs(_joint(C, 2), "x", "y")
    white = [torch.linalg.inv(torch.linalg.cholesky(block)) for block in (C[:2, :2], C[2:, 2:])]
    correlations = torch.linalg.svdvals(white[0] @ C[:2, 2:] @ white[1].mT)
    assert torch.allclose(pairs.tangents, correlations / (1 - correlations**2).sqrt(), rtol=1e-12)
    # the directions give variates of variance one, uncorrelated
    assert torch.allclose(pairs.directions @ C[:2, :2] @ pairs.directions.mT, torch.eye(2).double(), atol=1e-12)
    # and they are the left singular directions
    seen = pairs.directions @ C[:2, 2:] @ white[1].mT
    assert torch.allclose(seen.norm(dim=-1), correlations, rtol=1e-12)


def test_the_order_of_parts_in_the_law_does_not_count():
    B = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    C = B @ B.mT
    turned = C[[2, 3, 0, 1]][:, [2, 3, 0, 1]]
    first = canonical_pairs(_joint(C, 2), "x", "y")
    second = canonical_pairs(_joint(turned, 2).with_parts({"y": 2, "x": 2}), "x", "y")
    assert torch.allclose(first.tangents, second.tangents, rtol=1e-12)


def test_weak_pairs_keep_their_digits():
    pairs = canonical_pairs(_joint(_t([[1.0, 1e-9], [1e-9, 4.0]]), 1), "x", "y")
    assert pairs.tangents.item() == pytest.approx(5e-10, rel=1e-12)


def test_strong_pairs_given_by_a_factor_keep_their_digits():
    joint = it.Gaussian.with_mutual_information(60.0, 2, 3)
    pairs = canonical_pairs(joint, "x", "y")
    expected = math.sqrt(math.expm1(60.0))  # two pairs of 30 nats each: 1 + tau^2 = e^60
    assert pairs.tangents.tolist() == pytest.approx([expected] * 2, rel=1e-13)
    assert (pairs.error < 1e-12 * pairs.tangents).all()


def test_singular_blocks_are_reduced():
    # x = (a, b, a + b), y = a/2 + noise: one pair, that of a and y
    factor = _t([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0.5, 0, 1]])
    by_factor = it.Gaussian.from_factor(torch.zeros(4).double(), factor, parts={"x": 3, "y": 1})
    by_covariance = _joint(factor @ factor.mT, 3)
    for joint in (by_factor, by_covariance):
        pairs = canonical_pairs(joint, "x", "y")
        assert pairs.tangents.tolist() == pytest.approx([0.5], rel=1e-13)
        assert pairs.error.item() < 1e-12
        block = joint.covariance[:3, :3]
        assert (pairs.directions @ block @ pairs.directions.mT).item() == pytest.approx(1.0, rel=1e-12)


def test_what_determines_is_infinite_for_factors_and_undecided_for_covariances():
    factor = _t([[1.0, 0.0], [1.0, 1.0], [2.0, 1.0]])  # y = x_1 + x_2
    joint = it.Gaussian.from_factor(torch.zeros(3).double(), factor, parts={"x": 2, "y": 1})
    assert canonical_pairs(joint, "x", "y").tangents.tolist() == [math.inf]
    pairs = canonical_pairs(_joint(factor @ factor.mT, 2), "x", "y")
    assert 1e6 < pairs.tangents.item() < math.inf
    assert pairs.error.item() == math.inf


def test_batches():
    B = torch.randn(3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    C = B @ B.mT
    together = canonical_pairs(it.Gaussian(torch.zeros(4).double(), C, parts={"x": 2, "y": 2}), "x", "y")
    for k in range(3):
        assert torch.allclose(together.tangents[k], canonical_pairs(_joint(C[k], 2), "x", "y").tangents, rtol=1e-13)
    ranks = torch.stack([torch.eye(3).double(), torch.ones(3, 3).double()])
    with pytest.raises(ValueError, match="must have one rank"):
        canonical_pairs(it.Gaussian(torch.zeros(3).double(), ranks, parts={"x": 2, "y": 1}), "x", "y")
