"""The entropy of a channel's noise, and means over draws of both ends."""

import math

import pytest
import torch

from infotherm.channels import LinearGaussianChannel
from infotherm.distributions import GaussianMixture, Rademacher
from infotherm.information.channel_ends import noise_entropy, sampled_ends


def test_the_noise_of_a_batch_of_channels():
    variance = torch.tensor([0.25, 4.0], dtype=torch.float64)
    joint = LinearGaussianChannel.isotropic(torch.ones(2, dtype=torch.float64), variance).joint(Rademacher())
    expected = 0.5 * (2 * math.pi * math.e * variance).log()
    assert noise_entropy(joint).value.tolist() == pytest.approx(expected.tolist(), abs=1e-14)


@pytest.mark.parametrize("law", [Rademacher(), GaussianMixture([0.5, 0.5], [-1.0, 1.0], [0.1, 0.1])])
def test_means_over_both_ends(law):
    joint = LinearGaussianChannel(2.0, 0.5).joint(law)
    estimate = sampled_ends(joint, lambda z: (z[..., 1] - 2 * z[..., 0]).square(), 20_000, 0)
    assert abs(float(estimate) - 0.5) < 4 * float(estimate.stderr) and estimate.kind == "estimate"


def test_without_a_joint_density_there_is_no_gradient_rather_than_a_wrong_one():
    noise = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    atoms = LinearGaussianChannel.isotropic(1.0, noise).joint(Rademacher())
    assert not sampled_ends(atoms, lambda z: z[..., 1].square(), 100, 0).value.requires_grad
    smooth = LinearGaussianChannel.isotropic(1.0, noise).joint(GaussianMixture([1.0], [0.0], [1.0]))
    value = sampled_ends(smooth, lambda z: (z[..., 1] - z[..., 0]).square(), 200_000, 0).value
    (slope,) = torch.autograd.grad(value, noise)
    assert abs(float(slope) - 1) < 0.1  # E (y - x)^2 is the noise variance itself
