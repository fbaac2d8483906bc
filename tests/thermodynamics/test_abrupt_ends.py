"""Laws whose score has no finite mean square, told from those whose has one; and what the rates make of it."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import distributions as td

from infotherm.distributions import as_distribution
from infotherm.processes import Langevin, OrnsteinUhlenbeck
from infotherm.thermodynamics import entropy_production_rate, excess_housekeeping
from infotherm.thermodynamics.abrupt_ends import infinite_score

F64 = torch.float64
SQUARE = torch.zeros(2, dtype=F64), torch.ones(2, dtype=F64)
OU = OrnsteinUhlenbeck([[1.0]], 2**0.5)
WELL = Langevin(potential=lambda x: 0.5 * x.square().sum(-1), temperature=1.0)

ABRUPT = {
    "uniform": stats.uniform(),
    "far and narrow": stats.uniform(1e6, 1.0),
    "tiny": stats.uniform(0.0, 1e-9),
    "exponential": stats.expon(),
    "straight ends": stats.beta(2, 2),
    "root": stats.beta(1.5, 1.5),
    "gamma of shape 2": stats.gamma(2.0),
    "triangle": stats.triang(0.5),
    "diverging": stats.arcsine(),
    "histogram": stats.rv_histogram(np.histogram([1, 2, 2, 3, 3, 3], bins=3)),
    "half a normal law": stats.halfnorm(),
    "square": td.Independent(td.Uniform(*SQUARE), 1),
}
SMOOTH = {
    "kink": stats.laplace(),
    "beta of power 2": stats.beta(3, 3),
    "gamma of shape 2.5": stats.gamma(2.5),
    "heavy tails": stats.t(3),
    "no mean": stats.cauchy(),
    "essential zero": stats.invgamma(2.0),
    "lognormal": stats.lognorm(1.0),
    "skew": stats.gumbel_r(),
    "gammas": td.Independent(td.Gamma(3 * SQUARE[1], SQUARE[1]), 1),
}


@pytest.mark.parametrize("name", ABRUPT)
def test_abrupt_ends(name):
    assert infinite_score(as_distribution(ABRUPT[name])).all()


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_ends(name):
    assert not infinite_score(as_distribution(SMOOTH[name])).any()


@pytest.mark.parametrize("method", ["quadrature", "monte-carlo"])
@pytest.mark.parametrize("process", [OU, WELL])
def test_rates_of_abrupt_laws_are_infinite(process, method):
    for name in ("uniform", "straight ends"):
        assert entropy_production_rate(process, ABRUPT[name], method=method).value == math.inf
    assert excess_housekeeping(process, ABRUPT["uniform"]).excess.value == math.inf


def test_a_batch_that_mixes_both_is_refused():
    with pytest.raises(ValueError, match="with and without an infinite rate"):
        entropy_production_rate(OU, stats.gamma([1.0, 3.0]))


def test_tails_that_are_too_heavy_are_named():
    with pytest.raises(ValueError, match="tails of p are too heavy"):
        entropy_production_rate(OU, stats.cauchy())


def test_the_ends_of_a_ring_are_one_point():
    """V = cos 2 pi x, T = 1/2: nothing at equilibrium; mean F^2 / T = 4 pi^2 for the uniform law."""
    ring = Langevin(potential=lambda x: torch.cos(2 * torch.pi * x).sum(-1), sigma=1.0, periodic=1.0)
    still = entropy_production_rate(ring)
    assert still.value.item() <= still.error.item() < 1e-9
    even = entropy_production_rate(ring, stats.uniform())
    assert abs(even.value.item() - 4 * math.pi**2) <= even.error.item() < 1e-6
    assert entropy_production_rate(ring, stats.uniform(0.0, 0.9)).value == math.inf
