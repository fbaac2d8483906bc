import math

import numpy as np
import pytest
import scipy.stats as st
import torch

from infotherm.core.quadrature import integrate
from infotherm.distributions import (
    Discrete,
    Empirical,
    Gaussian,
    GaussianMixture,
    ScipyDistribution,
    as_distribution,
)

RNG = np.random.default_rng(0)
CLOUD = RNG.normal(size=(2, 20))
NEW_STYLE = hasattr(st, "Normal")

CONTINUOUS = {
    "gamma": st.gamma([0.1, 3.0]),
    "student t": st.t([3.0, 0.5]),
    "laplace": st.laplace(3.0, 0.001),
    "beta": st.beta(0.5, 0.5),
    "cauchy": st.cauchy(1.0, 2.0),
    "lognorm": st.lognorm(5.0),
    "uniform": st.uniform(3.0, 2.0),
    "triang": st.triang(0.3),
    "trapezoid": st.trapezoid(0.2, 0.5),
    "levy": st.levy(),
    "pareto": st.pareto(0.3),
    "loglaplace": st.loglaplace(2.0),
    "vonmises_line": st.vonmises_line(2.0),
    "histogram": st.rv_histogram(np.histogram(CLOUD[0], bins=5)),
}
DISCRETE = {
    "poisson": st.poisson([3.0, 30.0]),
    "nbinom": st.nbinom(2.5, 0.1),
    "geom": st.geom(0.05),
    "randint": st.randint(2, 9),
    "skellam": st.skellam(3.0, 5.0),
    "shifted binom": st.binom(5, 0.3, loc=2),
}
if NEW_STYLE:
    CONTINUOUS |= {
        "new Uniform": st.Uniform(a=[0.0, 1.0], b=2.0),
        "new Mixture": st.Mixture([st.Normal(mu=0, sigma=1), st.Normal(mu=30, sigma=0.01)]),
        "truncated": st.truncate(st.Normal(mu=0.0, sigma=1.0), 0.0, 1.0),
        "made": st.make_distribution(st.gamma)(a=2.0),
        "folded": abs(st.Normal()),
    }
if hasattr(st, "Binomial"):
    DISCRETE["new Binomial"] = st.Binomial(n=3, p=0.2)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_densities_are_scipy_s_and_integrate_to_one(name):
    x = CONTINUOUS[name]
    p = as_distribution(x)
    assert isinstance(p, ScipyDistribution) and p.dtype == torch.float64 and p.measure == "lebesgue"
    lower, upper = (end[..., 0] for end in p.bounds())
    mass = integrate(lambda y: p.log_prob(y.unsqueeze(-1)).exp(), lower, upper, breakpoints=p.breakpoints())
    assert bool(((mass.value - 1).abs() <= mass.error + 1e-14).all()) and bool((mass.error < 1e-7).all())
    points = p.sample((5,), generator=0)
    reference = x if hasattr(x, "logpdf") else x()  # a histogram is frozen first
    with np.errstate(all="ignore"):
        assert np.array_equal(p.log_prob(points), reference.logpdf(points[..., 0].numpy()))


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_laws_are_listed(name):
    x = DISCRETE[name]
    p = as_distribution(x)
    points = p.enumerate_support()
    assert p.measure == "counting" and p.has_enumerate_support
    assert torch.allclose(p.log_prob(points).exp().sum(0), torch.ones(()).double(), rtol=0, atol=1e-13)
    assert bool((p.tail_mass <= 1e-25).all())
    assert np.array_equal(p.log_prob(points), x.logpmf(points[..., 0].numpy()))


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_draws_follow_the_generator_and_leave_the_global_ones_alone(name):
    p = as_distribution({**CONTINUOUS, **DISCRETE}[name])
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    x = p.sample((2, 3), generator=7)
    assert x.shape == (2, 3, *p.batch_shape, 1)
    assert torch.equal(x, p.sample((2, 3), generator=torch.Generator().manual_seed(7)))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002
    assert not p.log_prob(x).isneginf().any()


def test_draws_without_a_generator_follow_torch_s_global_seed():
    p = as_distribution(st.gumbel_r())
    torch.manual_seed(1)
    x = p.sample((3,))
    torch.manual_seed(1)
    assert torch.equal(x, p.sample((3,)))


def test_normal_laws_become_ours():
    p = as_distribution(st.norm([0.0, 1.0], [[1.0], [2.0]]))
    assert isinstance(p, Gaussian) and p.batch_shape == (2, 2)
    assert p.covariance[1, 0].item() == 4.0
    singular = as_distribution(st.multivariate_normal([0, 1], [[1, 1], [1, 1]], allow_singular=True))
    assert isinstance(singular, Gaussian) and singular.mean.tolist() == [0.0, 1.0]
    if NEW_STYLE:
        new = as_distribution(st.Normal(mu=[0.0, 1.0], sigma=2.0))
        assert isinstance(new, Gaussian) and new.variance.flatten().tolist() == [4.0, 4.0]
        assert isinstance(as_distribution(st.Normal()), Gaussian)


def test_finite_laws_become_ours():
    assert torch.allclose(as_distribution(st.bernoulli([0.25, 0.5])).pmf[0], torch.tensor([0.75, 0.25]).double())
    assert isinstance(as_distribution(st.bernoulli(0.5)), Discrete)
    table = as_distribution(st.rv_discrete(values=([1, 4], [0.25, 0.75])))
    assert isinstance(table, Empirical) and table.mean.item() == 3.25
    moved = as_distribution(st.rv_discrete(values=([1, 4], [0.25, 0.75]))(loc=10))
    assert moved.mean.item() == 13.25


def test_a_kernel_density_is_a_mixture():
    kernel = st.gaussian_kde(CLOUD, weights=np.arange(1.0, 21.0))
    p = as_distribution(kernel)
    x = RNG.normal(size=(6, 2))
    assert isinstance(p, GaussianMixture) and p.dim == 2
    assert np.allclose(p.log_prob(torch.from_numpy(x)), kernel.logpdf(x.T), rtol=1e-12)


def test_a_multivariate_student_law():
    frozen = st.multivariate_t([0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]], df=5)
    p = as_distribution(frozen)
    x = p.sample((4, 3), generator=1)
    assert x.shape == (4, 3, 2) and p.sample((), generator=1).shape == (2,)
    assert np.array_equal(p.log_prob(x), frozen.logpdf(x.numpy()))
    assert np.allclose(p.covariance, np.array([[2.0, 0.5], [0.5, 1.0]]) * 5 / 3) and p.mean.tolist() == [0.0, 1.0]
    assert bool(p.bounds()[0].isneginf().all())
    # the score of a Student law: -(nu + D) S^-1 d / (nu + d S^-1 d)
    d = x - p.mean
    solved = torch.from_numpy(np.linalg.solve(frozen.shape, d.numpy()[..., None])[..., 0])
    exact = -(5 + 2) * solved / (5 + (d * solved).sum(-1, keepdim=True))
    assert torch.allclose(p.score(x), exact, rtol=1e-8, atol=1e-9)
    for refused in (p.breakpoints, lambda: p.cdf([0.0, 0.0]), lambda: p.icdf(0.5)):
        with pytest.raises((ValueError, NotImplementedError), match="scalar law"):
            refused()


def test_moments_and_quantiles_are_scipy_s():
    p = as_distribution(st.gamma([2.0, 3.0], scale=2.0))
    assert p.mean.flatten().tolist() == [4.0, 6.0] and p.covariance.flatten().tolist() == [8.0, 12.0]
    assert torch.allclose(p.cdf(p.icdf([0.3, 0.8])), torch.tensor([0.3, 0.8]).double())
    with pytest.raises(ValueError, match="probability"):
        p.icdf(-0.1)
    assert as_distribution(st.multivariate_t([0.0], df=1)).covariance.item() == math.inf


def test_scores_are_accurate_differences():
    p = as_distribution(st.gamma([2.0, 30.0]))
    x = torch.tensor([[1e-3], [0.5], [7.0]], dtype=torch.float64).unsqueeze(1).expand(3, 2, 1)
    exact = (torch.tensor([1.0, 29.0]).double() / x[..., 0] - 1).unsqueeze(-1)
    assert torch.allclose(p.score(x), exact, rtol=1e-8)


def test_gradients_are_refused_and_not_zero():
    x = torch.tensor([[0.5]], dtype=torch.float64, requires_grad=True)
    value = as_distribution(st.gamma(2.0)).log_prob(x)
    with pytest.raises(RuntimeError, match=r"no gradient: use score\(x\)"):
        value.sum().backward()


def test_a_density_that_diverges_at_an_end_is_finite_there():
    assert bool(torch.isfinite(as_distribution(st.beta(0.5, 0.5)).log_prob([[0.0], [1.0]])).all())
    assert as_distribution(st.beta(2.0, 2.0)).log_prob([[0.0], [1.5]]).isneginf().all()


def test_what_cannot_be_listed_says_so():
    for x, reason in [
        (st.zipf(3.0), "more than"),
        (st.expon(), "continuous"),
        (st.poisson(3, loc=0.5), "off the integers"),
    ]:
        p = as_distribution(x)
        assert not p.has_enumerate_support
        with pytest.raises(NotImplementedError, match=reason):
            p.enumerate_support()
    with pytest.raises(NotImplementedError, match="no score"):
        as_distribution(st.poisson(3.0)).score([1.0])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (st.norm, "p is the scipy family 'norm' without parameters: freeze it"),
        (st.poisson, "without parameters"),
        (st.dirichlet([1.0, 2.0]), "only multivariate_normal and multivariate_t"),
        (st.wishart(3, np.eye(2)), "only multivariate_normal and multivariate_t"),
        (st.vonmises(2.0), "vonmises_line"),
        (st.multivariate_normal, "must be a frozen scipy.stats variable"),
    ],
    ids=lambda x: x[:20] if isinstance(x, str) else "",
)
def test_others_are_refused(x, message):
    with pytest.raises(TypeError, match=message):
        as_distribution(x)
