"""Strategies for hypothesis: matrices, laws, joints, channels, chains and samples, from simple to degenerate.

Everything shrinks to the simplest case: covariances to the identity, means to zero, probabilities to equal ones,
joints to independent parts. Corners (singular covariances, probabilities that are zero, ties) come on request. All is
float64 on the CPU. Importing this module makes `hypothesis.strategies.from_type` know our types (`hypothesis_entry`).

Examples
--------
Data processing, for any chain x -> y -> z:

>>> from hypothesis import given, settings
>>> import infotherm as it
>>> @settings(max_examples=5, database=None, deadline=None)
... @given(markov_chains())
... def processing_loses(chain):
...     near, far = it.mutual_information(chain, "x", "y"), it.mutual_information(chain, "x", "z")
...     assert far.value <= near.value + near.error + far.error
>>> processing_loses()
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from infotherm.channels import DiscreteChannel, LinearGaussianChannel
from infotherm.distributions import Discrete, Distribution, Empirical, Gaussian, GaussianMixture, Rademacher, SpikeSlab
from infotherm.testing.hypothesis_entry import register
from infotherm.testing.strategies.arrays import paired_samples, samples
from infotherm.testing.strategies.channels import discrete_channels, linear_gaussian_channels, markov_chains
from infotherm.testing.strategies.joints import discrete_joints, gaussian_joints, joints_with_mutual_information
from infotherm.testing.strategies.laws import (
    empiricals,
    gaussian_mixtures,
    gaussians,
    rademachers,
    scalar_laws,
    spike_slabs,
)
from infotherm.testing.strategies.matrices import pmfs, spd_matrices

__all__ = [
    "by_type",
    "discrete_channels",
    "discrete_joints",
    "empiricals",
    "gaussian_joints",
    "gaussian_mixtures",
    "gaussians",
    "joints_with_mutual_information",
    "linear_gaussian_channels",
    "markov_chains",
    "paired_samples",
    "pmfs",
    "rademachers",
    "register_types",
    "samples",
    "scalar_laws",
    "spd_matrices",
    "spike_slabs",
]


@functools.cache
def by_type() -> Mapping[type, SearchStrategy[Any]]:
    """The strategy of each of our types, as `from_type` uses it."""
    laws: dict[type, SearchStrategy[Any]] = {
        Gaussian: gaussians(),
        GaussianMixture: gaussian_mixtures(),
        Discrete: discrete_joints(),
        Empirical: empiricals(),
        SpikeSlab: spike_slabs(),
        Rademacher: rademachers(),
    }
    channels = {DiscreteChannel: discrete_channels(), LinearGaussianChannel: linear_gaussian_channels()}
    return laws | {Distribution: st.one_of(*laws.values())} | channels


def register_types() -> None:
    """Registers all of `by_type` with hypothesis, one by one."""
    for kind, strategy in by_type().items():
        st.register_type_strategy(kind, strategy)


register()
