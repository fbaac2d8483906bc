"""Distributions: our families, and adapters that make a law of whatever is brought."""

from infotherm.distributions.adapters import as_distribution as as_distribution
from infotherm.distributions.adapters import as_torch as as_torch
from infotherm.distributions.base import Distribution as Distribution
from infotherm.distributions.discrete import Discrete as Discrete
from infotherm.distributions.empirical import Empirical as Empirical
from infotherm.distributions.gaussian import Gaussian as Gaussian
from infotherm.distributions.log_density import LogDensity as LogDensity
from infotherm.distributions.mixture import GaussianMixture as GaussianMixture
from infotherm.distributions.scalar import Rademacher as Rademacher
from infotherm.distributions.scalar import SpikeSlab as SpikeSlab
from infotherm.distributions.scipy_adapter import ScipyDistribution as ScipyDistribution
from infotherm.distributions.torch_adapter import TorchDistribution as TorchDistribution
