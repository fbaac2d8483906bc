"""Channels: Markov kernels, which turn one law into another and remember what they did."""

from infotherm.channels.base import Channel, ChannelJoint, ComposedChannel
from infotherm.channels.discrete import DiscreteChannel, DiscreteChannelJoint
from infotherm.channels.gaussian import GaussianChannelJoint, LinearGaussianChannel
from infotherm.channels.posterior import GaussianMixturePosterior

__all__ = [
    "Channel",
    "ChannelJoint",
    "ComposedChannel",
    "DiscreteChannel",
    "DiscreteChannelJoint",
    "GaussianChannelJoint",
    "GaussianMixturePosterior",
    "LinearGaussianChannel",
]
