"""The linear activation and its scalar channel."""

import pytest
import torch

import infotherm as it
from infotherm.replica import Linear


def test_linear_is_the_identity():
    z = torch.linspace(-2, 2, 5, dtype=torch.float64)
    assert torch.equal(Linear()(z), z)
    assert repr(Linear()) == "Linear()"


def test_the_channel_adds_noise_inside_the_activation():
    channel = Linear().channel(torch.tensor(0.25, dtype=torch.float64))
    output = channel.output(it.Gaussian(1.0, 2.0))
    assert output.mean.item() == 1.0
    assert output.covariance.item() == pytest.approx(2.25, rel=1e-14)


def test_the_channel_keeps_the_batch():
    channel = Linear().channel(torch.tensor([0.0, 0.25], dtype=torch.float64))
    assert channel.output(it.Gaussian(0.0, 1.0)).covariance.flatten().tolist() == pytest.approx([1.0, 1.25], rel=1e-14)
