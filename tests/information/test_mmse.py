"""The error of recovery: closed forms, quadrature, sampling, and the information it integrates to."""

import math

import numpy as np
import pytest
import torch

from infotherm.channels import DiscreteChannel, LinearGaussianChannel
from infotherm.core.verdict import decide
from infotherm.distributions import Discrete, Empirical, Gaussian, GaussianMixture, Rademacher, SpikeSlab
from infotherm.information import information_from_mmse, minimum_mean_square_error, mutual_information


@pytest.mark.parametrize("snr", [0.0, 1e-12, 0.5, 1e12])
def test_gaussian(snr):
    estimate = minimum_mean_square_error(Gaussian(1.0, 4.0), snr)
    assert abs(float(estimate) - 4 / (1 + 4 * snr)) <= float(estimate.error) + 4e-16


def test_gaussian_vectors_by_the_posterior_formula():
    rng = np.random.default_rng(0)
    a, factor = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    c, noise = factor @ factor.T, np.diag([0.3, 0.7])
    expected = np.trace(np.linalg.inv(np.linalg.inv(c) + a.T @ np.linalg.inv(noise) @ a))
    estimate = minimum_mean_square_error(Gaussian(np.zeros(3), c), LinearGaussianChannel(a, noise))
    assert float(estimate) == pytest.approx(expected, rel=1e-11)
    sampled = minimum_mean_square_error(
        GaussianMixture([1.0], np.zeros((1, 3)), c[None]),
        LinearGaussianChannel(a, noise),
        method="monte-carlo",
        generator=0,
    )
    assert float(sampled) == pytest.approx(expected, rel=1e-9)  # the posterior variance of a Gaussian is constant


def test_binary_input_against_a_certified_value():
    estimate = minimum_mean_square_error(Rademacher(), 1.0)
    assert abs(float(estimate) - 0.44959950920667282) <= float(estimate.error) + 1e-16
    sampled = minimum_mean_square_error(Rademacher(), 1.0, method="monte-carlo", n_samples=40_000, generator=0)
    assert abs(float(sampled) - float(estimate)) < 4 * float(sampled.stderr)


@pytest.mark.parametrize(
    "law",
    [GaussianMixture([0.4, 0.6], [-2.0, 1.0], [0.5, 1.5]), SpikeSlab(0.3, 1.0, 0.5), Empirical([[0.0], [1.0], [4.0]])],
)
def test_the_integral_of_the_error_is_the_information(law):
    snr = 2.0
    joint = LinearGaussianChannel(snr**0.5, 1.0).joint(law)
    verdict = decide(mutual_information(joint, "x", "y"), information_from_mmse(law, snr), "==", tolerance=1e-7)
    assert verdict.outcome == "holds", verdict


def test_discrete_channels():
    flip = DiscreteChannel([[0.9, 0.1], [0.1, 0.9]])
    p = Discrete([0.5, 0.5], values=[-1.0, 1.0])
    assert float(minimum_mean_square_error(p, flip)) == pytest.approx(4 * 0.9 * 0.1, abs=1e-15)


def test_more_noise_more_error():
    law = GaussianMixture([0.5, 0.5], [-1.0, 1.0], [0.1, 0.1])
    values = [float(minimum_mean_square_error(law, snr)) for snr in (0.1, 1.0, 10.0)]
    assert float(law.variance) > values[0] > values[1] > values[2] > 0


def test_refusals():
    with pytest.raises(ValueError, match="must be >= 0; got -1"):
        minimum_mean_square_error(Gaussian(0.0, 1.0), -1.0)
    with pytest.raises(ValueError, match="p must be one law"):
        information_from_mmse(Gaussian(torch.zeros(2, 1), torch.ones(2, 1, 1)), 1.0)
    with pytest.raises(NotImplementedError, match="discrete channel"):
        minimum_mean_square_error(Discrete([0.5, 0.5]), 1.0)


def test_no_signal_no_information():
    assert float(information_from_mmse(Gaussian(0.0, 1.0), 0.0)) == pytest.approx(0.0, abs=1e-15)
    assert math.isclose(float(information_from_mmse(Gaussian(0.0, 1.0), 8.0)), 0.5 * math.log(9), rel_tol=1e-9)


def test_large_variances_in_single_precision():
    estimate = minimum_mean_square_error(Gaussian(torch.tensor(0.0), torch.tensor(1e30)), 1e-25)
    assert abs(float(estimate) / (1e30 / (1 + 1e5)) - 1) < 1e-5 and bool(torch.isfinite(estimate.error))


def test_a_channel_without_noise_is_refused_with_a_reason():
    with pytest.raises(NotImplementedError, match="the channel has no noise"):
        minimum_mean_square_error(Rademacher(), LinearGaussianChannel(1.0, 0.0))
