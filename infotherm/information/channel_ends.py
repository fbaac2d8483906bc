"""What a channel's joint law knows of itself: the entropy of the noise, and means over draws of both ends."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from infotherm.channels.base import ChannelJoint
from infotherm.core.estimate import Estimate, exact
from infotherm.core.tensors import Generator
from infotherm.distributions import Gaussian
from infotherm.distributions.gaussian_forms import gaussian_entropy
from infotherm.information.expectations import draw, expectation_by_sampling, sample_mean


def noise_entropy(joint: ChannelJoint) -> Estimate:
    """h(y | x) of a linear-Gaussian channel, in nats: the entropy of its noise."""
    law = joint.channel(joint.input.mean)
    assert isinstance(law, Gaussian)
    value, error = gaussian_entropy(law)
    return exact(value, error=error)


def sampled_ends(
    joint: ChannelJoint,
    function: Callable[[Tensor], Tensor],
    n_samples: int,
    generator: Generator,
    *,
    nonnegative: bool = False,
) -> Estimate:
    """The sample mean over a channel's joint law; where there is no joint density it carries no gradient."""
    if joint.measure == "lebesgue":
        return expectation_by_sampling(
            joint, function, n_samples=n_samples, generator=generator, nonnegative=nonnegative
        )
    points, stream = draw(joint, n_samples, generator)
    values = function(points).detach()
    noise = 16 * torch.finfo(values.dtype).eps * (1 + values.abs()) if nonnegative else None
    return sample_mean(values, [stream], nonnegative=nonnegative, noise=noise)
