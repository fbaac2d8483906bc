"""Total correlation: zero for independence, information for two parts, by several routes."""

import numpy as np
import pytest
import torch

from infotherm.core.verdict import decide
from infotherm.distributions import Discrete, Gaussian, GaussianMixture
from infotherm.information import entropy, mutual_information, total_correlation


def test_discrete_is_a_sum_of_entropies():
    pmf = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(2, 3, 2)
    joint = Discrete(pmf, parts=("x", "y", "z"))
    parts = entropy(joint.marginal("x")) + entropy(joint.marginal("y")) + entropy(joint.marginal("z"))
    assert decide(total_correlation(joint), parts - entropy(joint), "==").outcome == "holds"


@pytest.mark.parametrize("parts", [{"x": 1, "y": 2, "z": 1}, None])
def test_gaussian_by_determinants(parts):
    factor = np.random.default_rng(1).normal(size=(4, 5))
    c = factor @ factor.T
    blocks = [[0], [1, 2], [3]] if parts else [[0], [1], [2], [3]]
    expected = 0.5 * (sum(np.linalg.slogdet(c[np.ix_(b, b)])[1] for b in blocks) - np.linalg.slogdet(c)[1])
    assert float(total_correlation(Gaussian(np.zeros(4), c, parts=parts))) == pytest.approx(expected, rel=1e-10)


def test_independent_parts_have_none():
    estimate = total_correlation(Gaussian(np.zeros(3), np.diag([1e-6, 1.0, 1e6])))
    assert abs(float(estimate)) <= float(estimate.error) < 1e-12


def test_two_parts_share_their_information():
    joint = GaussianMixture([0.5, 0.5], [[-1.0, -1.0], [1.0, 1.0]], 0.5, parts={"x": 1, "y": 1})
    exact = total_correlation(joint)
    assert exact.method == "quadrature"
    assert decide(exact, mutual_information(joint, "x", "y"), "==").outcome == "holds"
    sampled = total_correlation(joint, method="monte-carlo", n_samples=40_000, generator=0)
    assert abs(float(exact) - float(sampled)) < 4 * float(sampled.stderr)


def test_batches():
    rho = torch.tensor([0.0, 0.5, 0.9], dtype=torch.float64)
    covariance = torch.eye(2, dtype=torch.float64) + rho[:, None, None] * torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    estimate = total_correlation(Gaussian(torch.zeros(2, dtype=torch.float64), covariance))
    assert estimate.value.tolist() == pytest.approx((-0.5 * torch.log1p(-(rho**2))).tolist(), abs=1e-14)
