"""What every channel shares: composition without a closed form, refusals, the joint law."""

import pytest
import torch

from infotherm.channels import Channel, ChannelJoint, ComposedChannel, LinearGaussianChannel
from infotherm.distributions import Gaussian, GaussianMixture, Rademacher

F64 = torch.float64


class Clipped(Channel):
    """y = min(max(x, -1), 1) + noise: no exact output."""

    def __call__(self, x):
        return Gaussian(torch.as_tensor(x).clamp(-1, 1), torch.eye(1, dtype=F64))


def test_composed_channels_draw_and_are_exact_where_they_can_be():
    noise = LinearGaussianChannel(1.0, 0.5)
    after = noise @ Clipped()
    assert isinstance(after, ComposedChannel)
    law = after(torch.tensor([7.0], dtype=F64))  # Gaussian noise on the Gaussian that Clipped gives
    assert law.mean.item() == 1.0 and law.covariance.item() == pytest.approx(1.5)
    draws = after.sample(torch.full((4000, 1), 7.0, dtype=F64), generator=1)
    assert draws.mean().item() == pytest.approx(1.0, abs=0.1) and draws.var().item() == pytest.approx(1.5, abs=0.15)
    assert torch.equal(draws, after.sample(torch.full((4000, 1), 7.0, dtype=F64), generator=1))
    before = Clipped() @ noise
    with pytest.raises(TypeError, match="output law of Clipped is not known in closed form for Gaussian"):
        before(torch.zeros(1, dtype=F64))
    assert before.sample(torch.zeros(3, 1, dtype=F64), generator=0).shape == (3, 1)


def test_composition_through_a_posterior():
    posterior = LinearGaussianChannel(1.0, 0.5).reverse(Rademacher())
    again = LinearGaussianChannel(2.0, 0.1) @ posterior
    law = again(torch.tensor([0.3], dtype=F64))
    assert isinstance(law, GaussianMixture)
    assert law.mean.item() == pytest.approx(2 * torch.tanh(torch.tensor(0.6, dtype=F64)).item())


def test_joint_of_any_channel():
    joint = Clipped().joint(Gaussian(0.0, 4.0))
    assert isinstance(joint, ChannelJoint) and joint.parts == {"x": 1, "y": 1}
    assert joint.sample((5,), generator=0).shape == (5, 2) and not joint.has_rsample
    with pytest.raises(NotImplementedError, match="need a linear channel; got Clipped"):
        _ = joint.mean
    with pytest.raises(TypeError, match="posterior of Clipped is not known"):
        joint.condition(y=[0.0])
    with pytest.raises(ValueError, match="no part 'z'"):
        joint.marginal("z")
    with pytest.raises(ValueError, match="a value of one part"):
        joint.condition(x=[0.0], y=[0.0])
    with pytest.raises(NotImplementedError, match="is that of 'x' or 'y'"):
        joint.marginal(["y", "x"])


def test_bounds_of_a_joint():
    lower, upper = LinearGaussianChannel(1.0, 1.0).joint(Rademacher()).bounds()
    assert lower.tolist() == [-1.0, -torch.inf] and upper.tolist() == [1.0, torch.inf]


def test_only_channels_compose():
    with pytest.raises(TypeError):
        _ = LinearGaussianChannel(1.0, 1.0) @ 3.0
