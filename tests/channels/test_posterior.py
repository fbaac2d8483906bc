"""Bayes for linear-Gaussian channels: against the textbook, Tweedie's formula, and weights computed by hand."""

import pytest
import torch

from infotherm.channels import LinearGaussianChannel
from infotherm.channels.posterior import regression
from infotherm.distributions import Empirical, Gaussian, GaussianMixture, Rademacher, SpikeSlab

F64 = torch.float64


def priors():
    yield Rademacher(0.3)
    yield SpikeSlab(0.4, 1.0, 2.0)
    yield Empirical([[0.0], [1.0], [4.0]], [0.2, 0.5, 0.3])
    yield GaussianMixture([0.3, 0.7], [-1.0, 2.0], [0.5, 1.5])
    yield Gaussian(1.0, 2.0)


@pytest.mark.parametrize("p", list(priors()), ids=lambda p: type(p).__name__)
def test_tweedie(p):
    channel = LinearGaussianChannel(1.3, 0.6, 0.2)
    y = torch.linspace(-3, 6, 9, dtype=F64)[:, None]
    denoised = channel.reverse(p).mean(y)
    # A E[x | y] + bias = y + N grad log p(y)
    assert torch.allclose(1.3 * denoised + 0.2, y + 0.6 * channel.output(p).score(y), rtol=1e-12)
    assert torch.allclose(channel.reverse(p)(y).mean, denoised, rtol=1e-12)


def test_sign_denoiser():
    y = torch.linspace(-2, 2, 5, dtype=F64)[:, None]
    assert torch.allclose(LinearGaussianChannel(1.0, 0.5).reverse(Rademacher()).mean(y), torch.tanh(2 * y), rtol=1e-14)


def test_posterior_density_by_bayes():
    generator = torch.Generator().manual_seed(0)
    p = GaussianMixture([0.3, 0.7], torch.randn(2, 2, generator=generator, dtype=F64), [[[1.0, 0.2], [0.2, 0.5]]])
    channel = LinearGaussianChannel([[1.0, 0.5]], [[0.3]], [0.1])
    draws = channel.joint(p).sample((6,), generator=generator)
    x, y = draws[:, :2], draws[:, 2:]
    expected = p.log_prob(x) + channel(x).log_prob(y) - channel.output(p).log_prob(y)
    assert torch.allclose(channel.reverse(p)(y).log_prob(x), expected, rtol=1e-11)
    assert torch.allclose(channel.joint(p).condition(y=y).log_prob(x), expected, rtol=1e-11)


@pytest.mark.parametrize("snr", [1e-14, 1.0, 1e14])
def test_regression_at_both_ends_of_the_signal(snr):
    root = torch.tensor([[snr**0.5]], dtype=F64)
    one = torch.ones(1, 1, dtype=F64)
    gain, covariance = regression(root, one, one)
    assert gain.item() == pytest.approx(snr**0.5 / (1 + snr), rel=1e-14)
    assert covariance.item() == pytest.approx(1 / (1 + snr), rel=1e-14)


def test_a_channel_without_noise_is_inverted_where_it_can_be():
    p = Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
    posterior = LinearGaussianChannel([[1.0, 1.0]], 0.0).reverse(p)([2.0])
    assert torch.allclose(posterior.mean, torch.ones(2, dtype=F64))
    assert torch.allclose(posterior.covariance, torch.tensor([[0.5, -0.5], [-0.5, 0.5]], dtype=F64))
    doubled = LinearGaussianChannel([[1.0, 1.0], [1.0, 1.0]], 0.0).reverse(p)([2.0, 2.0])  # two outputs that agree
    assert torch.allclose(doubled.mean, torch.ones(2, dtype=F64))


def test_bad_output():
    reverse = LinearGaussianChannel(1.0, 1.0).reverse(Rademacher())
    with pytest.raises(ValueError, match=r"y must have shape \(..., 1\); got \(2,\)"):
        reverse([1.0, 2.0])


def test_outputs_beyond_the_range_of_numbers_are_refused():
    with pytest.raises(ValueError, match="y must lie where its density can be computed; got values up to 1e.300"):
        LinearGaussianChannel(1.0, 1.0).reverse(Rademacher()).mean([1e300])
