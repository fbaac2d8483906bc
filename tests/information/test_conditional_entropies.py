"""Conditional entropy by several routes, and the chain rule."""

import math

import numpy as np
import pytest
import torch

from infotherm.channels import LinearGaussianChannel
from infotherm.core.verdict import decide
from infotherm.distributions import Discrete, Gaussian, GaussianMixture, Rademacher
from infotherm.information import conditional_entropy, entropy


def test_discrete_by_definition():
    pmf = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(3, 4)
    expected = -(pmf * np.log(pmf / pmf.sum(0))).sum()
    estimate = conditional_entropy(Discrete(pmf, parts=("x", "y")), "x", given="y")
    assert abs(float(estimate) - expected) <= float(estimate.error) + 1e-15


def test_nothing_is_left_of_a_function():
    copy = Discrete(torch.eye(3, dtype=torch.float64) / 3, parts=("x", "y"))
    assert abs(float(conditional_entropy(copy, "x", given="y"))) <= 1e-15


@pytest.mark.parametrize("seed", range(4))
def test_chain_rule_for_gaussians(seed):
    factor = np.random.default_rng(seed).normal(size=(4, 5))
    joint = Gaussian(np.zeros(4), factor @ factor.T, parts={"x": 1, "y": 3})
    split = entropy(joint.marginal("y")) + conditional_entropy(joint, "x", given="y")
    assert decide(entropy(joint), split, "==").outcome == "holds"


def test_chain_rule_for_mixtures_by_quadrature_and_sampling():
    joint = GaussianMixture(
        [0.3, 0.7], [[0.0, 0.0], [2.0, 1.0]], [np.eye(2), [[1.0, 0.8], [0.8, 1.0]]], parts={"x": 1, "y": 1}
    )
    exact = conditional_entropy(joint, "x", given="y", method="quadrature")
    assert decide(entropy(joint), entropy(joint.marginal("y")) + exact, "==").outcome == "holds"
    sampled = conditional_entropy(joint, "x", given="y", method="monte-carlo", n_samples=40_000, generator=0)
    assert abs(float(exact) - float(sampled)) < 4 * float(sampled.stderr)


def test_a_channel_leaves_its_noise():
    joint = LinearGaussianChannel(3.0, 0.25).joint(Rademacher())
    estimate = conditional_entropy(joint, "y", given="x")
    assert float(estimate) == pytest.approx(0.5 * math.log(2 * math.pi * math.e * 0.25), abs=1e-14)
    sampled = conditional_entropy(joint, "y", given="x", method="monte-carlo", n_samples=10_000, generator=0)
    assert abs(float(sampled) - float(estimate)) < 4 * float(sampled.stderr)


def test_refusals():
    joint = Gaussian([0.0, 0.0], np.eye(2), parts={"x": 1, "y": 1})
    with pytest.raises(ValueError, match="target and given must be different parts"):
        conditional_entropy(joint, "x", given="x")
    with pytest.raises(ValueError, match="no part 'q'"):
        conditional_entropy(joint, "x", given="q")
