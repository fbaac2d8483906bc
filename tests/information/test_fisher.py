"""Fisher information of location: closed form, quadrature, sampling, and where it is infinite."""

import math

import numpy as np
import pytest
import torch
import torch.distributions as td

from infotherm.core.verdict import decide
from infotherm.distributions import Discrete, Gaussian, GaussianMixture, LogDensity
from infotherm.information import fisher_information

ONE = torch.ones((), dtype=torch.float64)


@pytest.mark.parametrize("dim", [1, 2])
def test_gaussian_by_three_routes(dim):
    factor = np.random.default_rng(dim).normal(size=(dim, dim + 1))
    p = Gaussian(np.zeros(dim), factor @ factor.T)
    closed = fisher_information(p)
    assert torch.allclose(closed.value @ p.covariance, torch.eye(dim, dtype=torch.float64), atol=1e-12)
    assert decide(closed, fisher_information(p, method="quadrature"), "==", tolerance=1e-9).outcome == "holds"
    sampled = fisher_information(p, method="monte-carlo", n_samples=40_000, generator=0)
    assert bool(((closed.value - sampled.value).abs() < 4.5 * sampled.stderr).all())


@pytest.mark.parametrize(
    "law, truth",
    [
        (td.Laplace(0 * ONE, 2 * ONE), 0.25),
        (td.StudentT(5 * ONE), 6 / 8),
        (td.Cauchy(0 * ONE, 3 * ONE), 1 / 18),
        (td.Gumbel(0 * ONE, 2 * ONE), 0.25),
        (td.Gamma(4 * ONE, ONE), 0.5),
    ],
)
def test_laws_with_known_information(law, truth):
    estimate = fisher_information(law)
    assert abs(float(estimate) - truth) <= float(estimate.error) + 1e-14
    assert float(estimate.error) < 1e-5 * truth


@pytest.mark.parametrize(
    "law", [td.Uniform(0 * ONE, ONE), td.Exponential(ONE), td.Gamma(1.5 * ONE, ONE), td.Beta(2 * ONE, 2 * ONE)]
)
def test_densities_that_do_not_vanish_at_their_ends(law):
    estimate = fisher_information(law)
    assert math.isinf(float(estimate)) and "does not vanish" in estimate.info["reason"]


def test_cramer_rao_for_mixtures_and_scaling():
    p = GaussianMixture([0.3, 0.7], [-1.0, 2.0], [0.25, 1.0])
    estimate = fisher_information(p)
    assert float(estimate) * float(p.variance) > 1
    tiny = GaussianMixture([0.3, 0.7], [-1e-6, 2e-6], [0.25e-12, 1e-12])
    assert float(fisher_information(tiny)) == pytest.approx(float(estimate) * 1e12, rel=1e-8)


def test_refusals():
    with pytest.raises(ValueError, match="singular"):
        fisher_information(Gaussian([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]]))
    with pytest.raises(NotImplementedError, match="no density"):
        fisher_information(Discrete([0.5, 0.5]))


def test_a_log_density_without_breakpoints():
    law = LogDensity(lambda x: -(x[..., 0] ** 2) / 2 - 0.5 * math.log(2 * math.pi))
    estimate = fisher_information(law)
    assert abs(float(estimate) - 1) <= float(estimate.error) < 1e-9
