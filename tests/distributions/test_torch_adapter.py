import math

import pytest
import torch
import torch.distributions as td

from infotherm.distributions import TorchDistribution

from .torch_families import CONTINUOUS, COUNTING, t

# families with examples whose variance or fourth moment does not exist: the mean of draws is no test
HEAVY = "Cauchy HalfCauchy StudentT Pareto FisherSnedecor InverseGamma LogNormal Weibull GeneralizedPareto".split() + [
    "TransformedDistribution of Laplace"
]


def test_scores_are_gradients():
    p = TorchDistribution(td.Gumbel(t(0.0), t(1.0)))
    x = torch.linspace(-2, 4, 7).double().unsqueeze(-1)
    assert torch.allclose(p.score(x), -1 + torch.exp(-x), atol=1e-12)


def test_log_prob_works_under_vmap_and_func_grad():
    p = TorchDistribution(td.Gamma(t(2.0), t(3.0)))
    x = t([[0.1], [1.0], [-1.0]])
    assert torch.allclose(torch.func.vmap(p.log_prob)(x), p.log_prob(x))
    slope = torch.func.grad(lambda z: p.log_prob(z))(x[1])
    assert slope.item() == pytest.approx(1 - 3)
    by_rate = torch.func.vmap(lambda rate: TorchDistribution(td.Exponential(rate, validate_args=False)).log_prob([1.0]))
    assert torch.allclose(by_rate(t(1.0, 2.0)), t(-1.0, math.log(2) - 2))


@pytest.mark.parametrize("name", [*CONTINUOUS, *COUNTING])
def test_draws_follow_the_generator_and_leave_the_global_one_alone(name):
    p = TorchDistribution({**CONTINUOUS, **COUNTING}[name])
    before = torch.get_rng_state()
    x = p.sample((2, 3), generator=7)
    assert x.shape == (2, 3, *p.batch_shape, p.dim)
    assert torch.equal(x, p.sample((2, 3), generator=torch.Generator().manual_seed(7)))
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.isnan(p.log_prob(x)).any()


def test_draws_without_a_generator_come_from_the_global_one():
    p = TorchDistribution(td.Poisson(t(30.0)))
    torch.manual_seed(3)
    x = p.sample((4,))
    torch.manual_seed(3)
    assert torch.equal(x, p.sample((4,)))


def test_a_generator_advances_from_call_to_call():
    p, generator = TorchDistribution(td.Laplace(t(0.0), t(1.0))), torch.Generator().manual_seed(0)
    assert not torch.equal(p.sample((4,), generator), p.sample((4,), generator))


def test_reparametrised_draws_carry_gradients():
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    p = TorchDistribution(td.Laplace(t(0.0), scale))
    x = p.rsample((3,), generator=0)
    (gradient,) = torch.autograd.grad(x.sum(), scale)
    assert p.has_rsample and gradient.item() == pytest.approx(x.sum().item() / 2)
    with pytest.raises(NotImplementedError, match="no reparametrised draw"):
        TorchDistribution(td.Poisson(t(1.0))).rsample()


@pytest.mark.parametrize("name", [n for n in (*CONTINUOUS, *COUNTING) if n not in HEAVY])
def test_moments_are_those_of_the_draws(name):
    # standardised means of n draws; 5 standard deviations: chance 6e-7 a coordinate
    p, n = TorchDistribution({**CONTINUOUS, **COUNTING}[name]), 4000
    mean, deviation = p.mean, p.variance.sqrt()
    x = p.sample((n,), generator=17)
    assert mean.shape == (*p.batch_shape, p.dim) and p.covariance.shape == (*p.batch_shape, p.dim, p.dim)
    assert bool(((x.mean(0) - mean).abs() < 5 * deviation / math.sqrt(n)).all())


def test_covariances_of_vectors():
    law = td.Dirichlet(t(1.0, 2.0, 3.0))
    p = TorchDistribution(law)
    assert p.dim == 2 and torch.allclose(p.variance, law.variance[:2])
    assert p.covariance[0, 1].item() == pytest.approx(-(1 / 6) * (2 / 6) / 7)
    many = TorchDistribution(td.Multinomial(4, t(0.2, 0.3, 0.5)))
    assert torch.allclose(many.variance, many.base.variance)
    assert torch.allclose(many.covariance.sum(-1), t(0.0, 0.0, 0.0), atol=1e-15)
    with pytest.raises(NotImplementedError, match="covariance of LogisticNormal"):
        _ = TorchDistribution(td.LogisticNormal(t(0.0, 0.0), t(1.0, 1.0))).covariance


def test_the_simplex_has_one_coordinate_less():
    law = td.Dirichlet(t(1.0, 2.0, 3.0))
    p = TorchDistribution(law)
    x = p.sample((5,), generator=0)
    full = torch.cat([x, 1 - x.sum(-1, keepdim=True)], -1)
    assert torch.allclose(p.log_prob(x), law.log_prob(full))
    assert p.log_prob([[0.7, 0.7], [-0.1, 0.5]]).isneginf().all()


def test_quantiles_where_torch_has_them():
    p = TorchDistribution(td.Exponential(t(1.0, 2.0)))
    assert torch.allclose(p.cdf(p.icdf([0.3, 0.9])), t(0.3, 0.9))
    assert p.cdf([-1.0]).tolist() == [0.0, 0.0] and p.icdf(0.5).shape == (2, 1)
    assert TorchDistribution(td.Uniform(t(0.0), t(1.0))).cdf([5.0]).item() == 1.0
    with pytest.raises(ValueError, match="probability"):
        p.icdf(2.0)
    for law in (td.Dirichlet(t(1.0, 1.0)), td.Gamma(t(1.0), t(1.0))):
        with pytest.raises(NotImplementedError):
            TorchDistribution(law).icdf(0.5)


def test_bad_points_are_refused():
    p = TorchDistribution(td.Exponential(t(1.0)))
    with pytest.raises(ValueError, match=r"x must have shape \(..., 1\)"):
        p.log_prob([1.0, 2.0])
    with pytest.raises(ValueError, match="must not be NaN"):
        p.log_prob([math.nan])
    with pytest.raises(TypeError, match="several simplices"):
        TorchDistribution(td.Independent(td.Dirichlet(torch.ones(2, 3)), 1))
