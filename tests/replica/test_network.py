"""Networks and layers: what they hold and what they refuse."""

import math

import pytest
import torch

import infotherm as it
from infotherm.replica import GaussianWeights, Layer, Linear, Network


def test_widths_and_batch_shape():
    layers = [
        Layer(GaussianWeights(2.0, [1.0, 2.0]), Linear()),
        Layer(GaussianWeights(0.5), Linear(), noise=[[0.1], [0.2], [0.3]]),
    ]
    net = Network(it.Gaussian(0.0, 1.0), layers)
    assert [w.item() for w in net.widths] == [1.0, 2.0, 1.0]
    assert net.batch_shape == (3, 2)
    assert net.layers[1].channel.output(it.Gaussian(0.0, 1.0)).covariance.shape == (3, 1, 1, 1)


def test_any_scalar_law_is_a_prior():
    layers = [Layer(GaussianWeights(1.0), Linear(), noise=0.1)]
    assert Network(torch.distributions.Normal(0.0, 1.0), layers).prior.dim == 1
    with pytest.raises(ValueError, match="prior must be the law of one input unit"):
        Network(it.Gaussian([0.0, 0.0], torch.eye(2)), layers)


@pytest.mark.parametrize("noise", [-1e-3, math.nan, math.inf])
def test_noise_is_a_variance(noise):
    with pytest.raises(ValueError, match="noise"):
        Layer(GaussianWeights(1.0), Linear(), noise=noise)


def test_layers_are_checked():
    good = Layer(GaussianWeights(1.0), Linear(), noise=0.1)
    with pytest.raises(ValueError, match="at least one Layer"):
        Network(it.Gaussian(0.0, 1.0), [])
    with pytest.raises(ValueError, match="single Layer"):
        Network(it.Gaussian(0.0, 1.0), good)
    with pytest.raises(TypeError, match="entry 2 is a str"):
        Network(it.Gaussian(0.0, 1.0), [good, "relu"])
    with pytest.raises(TypeError, match="weights must be an ensemble"):
        Layer(1.0, Linear())
    with pytest.raises(TypeError, match="activation must be an Activation"):
        Layer(GaussianWeights(1.0), torch.relu)


def test_what_is_not_there_is_named():
    from infotherm import replica

    with pytest.raises(AttributeError, match="activations: Linear; weights: GaussianWeights; priors: Gaussian"):
        _ = replica.HardTanh
    assert not hasattr(replica, "Orthogonal")
