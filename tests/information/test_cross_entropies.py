"""Cross-entropy: exact for samples and second moments, infinite off the support, H(P, Q) = H(P) + KL on every route."""

import doctest
import math

import pytest
import torch
import torch.distributions as td
from hypothesis import given
from hypothesis import strategies as st

from infotherm.distributions import Discrete, Empirical, Gaussian, GaussianMixture, SpikeSlab
from infotherm.information import cross_entropies, entropy, kl
from infotherm.information.cross_entropies import cross_entropy

float64 = torch.float64
MIXTURE = GaussianMixture([0.3, 0.7], [-2.0, 1.0], [0.25, 1.0])


def tensor(x):
    return torch.tensor(x, dtype=float64)


PAIRS = [
    (Gaussian(0.3, 2.0), Gaussian(-1.0, 0.5)),
    (MIXTURE, Gaussian(0.0, 2.0)),
    (td.Gamma(tensor([2.0, 3.0]), tensor(1.0)), td.Exponential(tensor([[0.5], [2.0]]))),
    (td.StudentT(tensor(3.0)), Gaussian(0.0, 1.0)),
    (Discrete([0.2, 0.8, 0.0]), Discrete([0.5, 0.25, 0.25])),
    (td.Poisson(tensor(3.0)), td.Poisson(tensor(5.0))),
    (SpikeSlab(0.3, 0.0, 1.0), SpikeSlab(0.6, 0.0, 2.0)),
    (
        Gaussian([0.0, 1.0], [[1.0, 0.3], [0.3, 2.0]]),
        GaussianMixture([0.5, 0.5], [[0.0, 0.0], [1.0, 2.0]], [1.0, 2.0]),
    ),
]


@pytest.mark.parametrize(("p", "q"), PAIRS, ids=lambda x: type(x).__name__)
def test_cross_entropy_is_entropy_plus_divergence(p, q):
    total, own, extra = cross_entropy(p, q), entropy(p), kl(p, q)
    assert total.kind == "exact"
    assert ((total.value - own.value - extra.value).abs() <= total.error + own.error + extra.error).all()


@pytest.mark.parametrize(("p", "q"), PAIRS, ids=lambda x: type(x).__name__)
def test_routes_agree(p, q):
    exact = cross_entropy(p, q)
    integral = cross_entropy(p, q, method="quadrature")
    sampled = cross_entropy(p, q, method="monte-carlo", n_samples=20_000, generator=2)
    assert ((exact.value - integral.value).abs() <= exact.error + integral.error).all()
    assert ((exact.value - sampled.value).abs() <= 4 * sampled.stderr + exact.error).all()


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.floats(0.1, 3))
def test_samples_against_a_density_are_the_mean_negative_log_likelihood(samples, scale):
    x = tensor(samples)
    weights = torch.arange(1, len(x) + 1, dtype=float64)
    found = cross_entropy(Empirical(x[:, None], weights), td.Laplace(tensor(0.0), tensor(scale)))
    terms = -td.Laplace(tensor(0.0), tensor(scale)).log_prob(x) * weights / weights.sum()
    assert (found.kind, found.method) == ("exact", "closed-form")
    assert abs(found.value.item() - math.fsum(terms.tolist())) <= found.error.item() < 1e-12


def test_samples_against_a_batch_of_densities():
    samples = Empirical([[0.0], [1.0], [3.0]])
    models = Gaussian(tensor([[0.0], [1.0]]), tensor([[[1.0]], [[2.0]]]))
    found = cross_entropy(samples, models)
    one_by_one = [cross_entropy(samples, Gaussian(m, v)).value.item() for m, v in ((0.0, 1.0), (1.0, 2.0))]
    assert found.value.tolist() == pytest.approx(one_by_one, rel=1e-14)


def test_mass_outside_the_support_costs_everything():
    uniform = td.Uniform(tensor(0.0), tensor(1.0))
    assert cross_entropy(td.Uniform(tensor(0.0), tensor(2.0)), uniform).value == math.inf
    assert cross_entropy(Discrete([0.5, 0.5]), Discrete([1.0, 0.0])).value == math.inf
    assert cross_entropy(Discrete([1.0, 0.0]), Discrete([0.5, 0.5])).value.item() == pytest.approx(math.log(2))
    samples = cross_entropy(Empirical([[0.5], [1.5]]), uniform)
    assert samples.value == math.inf and "support" in samples.info["reason"]
    assert cross_entropy(Empirical([[0.5], [1.5]], [1.0, 0.0]), uniform).value.item() == pytest.approx(0.0, abs=1e-15)


def test_the_minimum_over_models_is_the_entropy():
    pmf = tensor([0.2, 0.3, 0.5])
    logits = torch.zeros(3, dtype=float64, requires_grad=True)
    for _ in range(100):
        loss = cross_entropy(Discrete(pmf), Discrete(torch.softmax(logits, 0))).value
        (slope,) = torch.autograd.grad(loss, logits)
        logits = (logits - 4.0 * slope).detach().requires_grad_()
    assert torch.allclose(torch.softmax(logits, 0), pmf, atol=1e-8)
    assert loss.item() == pytest.approx(entropy(Discrete(pmf)).value.item(), rel=1e-12)


def test_mixture_against_gaussian_needs_second_moments_only():
    q = Gaussian(torch.zeros(5, dtype=float64), 2.0 * torch.eye(5, dtype=float64))
    means = torch.arange(10, dtype=float64).reshape(2, 5)
    p = GaussianMixture([0.25, 0.75], means, 0.5)
    found = cross_entropy(p, q)
    moment = (p.covariance + p.mean[:, None] * p.mean).trace()
    assert found.method == "closed-form"
    assert found.value.item() == pytest.approx(0.5 * 5 * math.log(4 * math.pi) + moment.item() / 4, rel=1e-13)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="D = 1 and D = 2"):
        cross_entropy(Gaussian(0.0, 1.0), Gaussian([0.0, 0.0], torch.eye(2, dtype=float64)))


def test_examples():
    test = doctest.DocTestParser().get_doctest(cross_entropy.__doc__, vars(cross_entropies).copy(), "doc", None, 0)
    assert test.examples and doctest.DocTestRunner().run(test).failed == 0
