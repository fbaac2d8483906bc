import math

import pytest
import torch
import torch.distributions as td

from infotherm.core.quadrature import integrate
from infotherm.distributions import TorchDistribution
from infotherm.distributions.landmarks import landmarks, sample_quantiles

from .torch_families import CONTINUOUS, t

EPS = torch.finfo(torch.float64).eps


@pytest.mark.parametrize("name", CONTINUOUS)
def test_densities_integrate_to_one_between_their_bounds(name):
    p = TorchDistribution(CONTINUOUS[name])
    lower, upper = (end[..., 0] for end in p.bounds())
    mass = integrate(lambda x: p.log_prob(x.unsqueeze(-1)).exp(), lower, upper, breakpoints=p.breakpoints())
    assert mass.converged
    assert bool(((mass.value - 1).abs() <= mass.error + 4 * EPS).all())
    # singular ends other than zero are as fine as floating point is there: about sqrt(eps)
    assert bool((mass.error < 2e-7).all())


def test_breakpoints_are_those_of_a_scalar_law():
    kinked = TorchDistribution(td.TransformedDistribution(td.Laplace(t(1.0), t(1.0)), [td.ExpTransform()]))
    assert bool(torch.isclose(kinked.breakpoints(), t(math.e)).any())
    mixture = TorchDistribution(CONTINUOUS["MixtureSameFamily of Laplace"])
    assert {0.0, 100.0} <= set(mixture.breakpoints().tolist())
    with pytest.raises(ValueError, match="scalar law"):
        TorchDistribution(td.Dirichlet(t(1.0, 2.0, 3.0))).breakpoints()


def points_of(law, **bounds):
    lower, upper = (t(bounds.get(end, sign * math.inf)) for end, sign in (("lower", -1), ("upper", 1)))
    return landmarks(law.log_prob, lower, upper, law.icdf(t(0.01, 0.25, 0.5, 0.75, 0.99)))


def test_heavy_tails_get_far_points_and_light_ones_few():
    heavy, light = points_of(td.Cauchy(t(0.0), t(1.0))), points_of(td.Normal(t(0.0), t(1.0)))
    assert heavy.abs().max() > 1e16 and light.abs().max() < 200
    assert len(light) < 25 < len(heavy)


def test_points_scale_with_the_law():
    ratio = points_of(td.Cauchy(t(0.0), t(1e6))) / points_of(td.Cauchy(t(0.0), t(1.0)))
    finite = torch.isfinite(ratio)
    assert torch.allclose(ratio[finite], t(1e6))


def test_a_smooth_end_needs_no_ladder_and_a_singular_one_does():
    smooth = points_of(td.Uniform(t(0.0), t(1.0), validate_args=False), lower=0.0, upper=1.0)
    singular = points_of(td.Weibull(t(1.0), t(0.1), validate_args=False), lower=0.0)
    assert smooth[smooth > 0].min() > 1e-3 and singular[singular > 0].min() < 1e-100


def test_without_them_the_tail_is_lost():
    # what the ladder is for: the mass of a narrow exponential tail that a coarse range does not see
    p = TorchDistribution(td.Laplace(t(100.0), t(0.01)))

    def mass(points):
        return integrate(lambda x: p.log_prob(x.unsqueeze(-1)).exp(), -math.inf, math.inf, breakpoints=points)

    assert abs(mass(t(0.0, 1.0)).value - 1) > 0.1
    assert abs(mass(p.breakpoints()).value - 1) < 1e-11


def test_sample_quantiles_are_near_the_true_ones():
    draws = torch.linspace(0, 1, 401, dtype=torch.float64).unsqueeze(-1)
    assert sample_quantiles(draws).flatten().tolist() == pytest.approx([0.01, 0.25, 0.5, 0.75, 0.99])
