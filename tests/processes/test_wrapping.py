"""Laws of the line on a ring: theta functions, distribution functions of all images, and laws that stay as they are."""

import math

import mpmath
import pytest
import torch
from scipy import stats

from infotherm.distributions import Gaussian, as_distribution
from infotherm.processes.grid_density import GridDensity
from infotherm.processes.wrapping import wrapped

F64 = torch.float64
X = torch.linspace(0.1, 2.9, 15, dtype=F64)


@pytest.mark.parametrize(("mean", "spread"), [(1.0, 0.4), (-7.3, 1.0), (40.0, 5.0)])
def test_a_wrapped_gaussian_is_a_theta_function(mean, spread):
    """sum_k cos(2 pi k (x - m) / L) exp(-2 (pi k s / L)^2) / L = theta_3(pi (x - m) / L, exp(-2 (pi s / L)^2)) / L."""
    law = wrapped(Gaussian(mean, spread**2), 3.0)
    nome = math.exp(-2 * (math.pi * spread / 3) ** 2)
    expected = [float(mpmath.jtheta(3, math.pi * (x - mean) / 3, nome)) / 3 for x in X.tolist()]
    found = law.log_prob(X[:, None]).exp()
    torch.testing.assert_close(found, torch.tensor(expected, dtype=F64), rtol=1e-9, atol=0)
    torch.testing.assert_close(law.log_prob(X[:, None] - 6.0), law.log_prob(X[:, None]), rtol=0, atol=1e-11)


def test_a_law_on_half_of_the_line():
    """exp(-x) from 0 on: exp(-x) / (1 - exp(-L)) on the ring, with a jump at 0."""
    found = wrapped(as_distribution(stats.expon()), 3.0).log_prob(X[:, None])
    torch.testing.assert_close(found, -X - math.log(-math.expm1(-3.0)), rtol=0, atol=1e-4)


def test_what_is_on_the_ring_already_stays():
    part = as_distribution(stats.uniform(0.5, 1.0))
    assert wrapped(part, 3.0) is part
    nodes = torch.arange(32, dtype=F64) * 3 / 32
    law = GridDensity([nodes], torch.cos(math.tau * nodes / 3), [3.0])
    assert wrapped(law, 3.0) is law


def test_holes_are_refused():
    with pytest.raises(ValueError, match=r"p must have a density everywhere on the ring of period 3, or lie within"):
        wrapped(as_distribution(stats.uniform(-0.5, 1.0)), 3.0)
