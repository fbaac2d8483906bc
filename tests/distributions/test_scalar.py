import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.core.quadrature import integrate
from infotherm.distributions import Rademacher, SpikeSlab

EPS = torch.finfo(torch.float64).eps
probabilities = st.floats(0, 1)


@settings(max_examples=15)
@given(probabilities, st.floats(-3, 3), st.floats(0.01, 10))
def test_spike_slab_moments_by_quadrature(weight, mean, variance):
    p = SpikeSlab(weight, mean, variance)

    def slab(x):  # the continuous part alone: no node is exactly zero
        return p.log_prob(x.unsqueeze(-1)).exp()

    mass, first, second = (
        integrate(lambda x, k=k: x**k * slab(x), -math.inf, math.inf, breakpoints=p.breakpoints()) for k in range(3)
    )
    atom = p.log_prob([0.0]).exp()
    assert abs(mass.value + atom - 1) <= mass.error + 8 * EPS
    assert abs(first.value - p.mean[0]) <= first.error + 64 * EPS
    assert abs(second.value - p.mean[0] ** 2 - p.variance[0]) <= second.error + 64 * 20 * EPS


@given(probabilities)
def test_rademacher_is_a_law_on_two_signs(p):
    law = Rademacher(p)
    points = law.enumerate_support()
    mass = law.log_prob(points).exp()
    assert mass.sum().item() == pytest.approx(1, abs=4 * EPS)
    assert (mass @ points[:, 0]).item() == pytest.approx(law.mean.item(), abs=8 * EPS)
    assert (mass @ (points[:, 0] - law.mean) ** 2).item() == pytest.approx(law.variance.item(), abs=16 * EPS)
    assert law.entropy().item() == pytest.approx(law.as_discrete().entropy().item())
    assert law.as_discrete().mean.item() == pytest.approx(law.mean.item(), abs=8 * EPS)


@given(probabilities, st.floats(-3, 3), st.floats(0.01, 10))
def test_mixtures_have_the_same_moments(p, mean, variance):
    for law in (SpikeSlab(p, mean, variance), Rademacher(p)):
        mixture = law.as_gaussian_mixture()
        assert torch.allclose(mixture.mean, law.mean, rtol=0, atol=16 * EPS)
        assert torch.allclose(mixture.covariance, law.covariance, rtol=1e-14, atol=256 * EPS)


def test_measures_are_those_of_the_atoms():
    assert SpikeSlab(0.5, 0.0, 1.0).measure == "mixed" and Rademacher().measure == "counting"
    assert Rademacher().log_prob([[0.0], [2.0]]).isneginf().all()
    # without a spike the law is the slab, and zero is no atom of it; without a slab it is a point
    assert SpikeSlab(1.0, 0.0, 1.0).log_prob([0.0]).isneginf()
    assert SpikeSlab(0.0, 0.0, 1.0).log_prob([[0.0], [1.0]]).tolist() == [0.0, -math.inf]


def test_parameters_are_a_batch_and_keep_their_dtype():
    p = SpikeSlab(torch.tensor([0.1, 0.9]), 0.0, torch.ones(3, 1))
    assert p.batch_shape == (3, 2) and p.dtype == torch.float32
    assert p.mean.shape == (3, 2, 1) and p.covariance.shape == (3, 2, 1, 1) and p.breakpoints().shape == (8, 3, 2)
    assert p.sample((4,), generator=0).shape == (4, 3, 2, 1) and p.sample((4,), 0).dtype == torch.float32
    assert p.log_prob(torch.zeros(1)).shape == (3, 2)
    assert p.as_gaussian_mixture().batch_shape == (3, 2)
    r = Rademacher(torch.tensor([[0.2], [0.4]]))
    assert r.batch_shape == (2, 1) and r.sample((5,), 0).shape == (5, 2, 1, 1)
    assert r.enumerate_support().shape == (2, 2, 1, 1) and r.bounds()[0].shape == (2, 1, 1)
    assert r.to(dtype=torch.float64).dtype == p.to(dtype=torch.float64).dtype == torch.float64


def test_draws_have_the_right_frequencies_and_follow_the_generator():
    n = 20_000
    before = torch.get_rng_state()
    x = SpikeSlab(0.3, 1.0, 4.0).sample((n,), generator=2)[:, 0]
    signs = Rademacher(0.2).sample((n,), generator=3)[:, 0]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(x, SpikeSlab(0.3, 1.0, 4.0).sample((n,), torch.Generator().manual_seed(2))[:, 0])
    # each below 4 standard deviations, which chance exceeds with probability 6e-5
    assert abs((x != 0).double().mean() - 0.3) < 4 * math.sqrt(0.21 / n)
    slab = x[x != 0]
    assert abs(slab.mean() - 1) < 4 * math.sqrt(4 / len(slab))
    assert abs(slab.var() - 4) < 4 * math.sqrt(2 * 16 / len(slab))
    assert abs((signs == 1).double().mean() - 0.2) < 4 * math.sqrt(0.16 / n)
    assert set(signs.tolist()) == {-1.0, 1.0}


def test_gradients_flow_to_the_parameters():
    parameters = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.3, 0.5, 2.0)]
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *p: SpikeSlab(*p).log_prob(x), parameters)
    assert torch.autograd.gradcheck(lambda p: Rademacher(p).log_prob(2 * x - 1), parameters[:1])
    edge = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    Rademacher(edge).entropy().backward()
    assert edge.grad is not None and torch.isfinite(edge.grad)


def test_distribution_function_and_quantiles():
    p = SpikeSlab(0.5, 0.0, 1.0)
    assert torch.allclose(p.cdf([[-1e-300], [0.0]]), torch.tensor([0.25, 0.75], dtype=torch.float64))
    assert p.icdf([0.4, 0.6]).flatten().tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    assert Rademacher(0.25).icdf([0.7, 0.8]).flatten().tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpikeSlab(1.5, 0.0, 1.0), "weight must be a probability between 0 and 1; got 1.5"),
        (lambda: SpikeSlab(0.5, 0.0, 0.0), "variance must be positive; got 0"),
        (lambda: SpikeSlab(0.5, math.nan, 1.0), "mean must be finite"),
        (lambda: SpikeSlab([0.5, 0.5], [0.0, 0.0, 0.0], 1.0), r"shapes that broadcast; got weight \(2,\), mean \(3,\)"),
        (lambda: Rademacher(-0.1), "p must be a probability between 0 and 1; got -0.1"),
        (lambda: Rademacher(math.nan), "p must be finite"),
    ],
)
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_atoms_have_no_score():
    for law in (SpikeSlab(0.5, 0.0, 1.0), Rademacher()):
        with pytest.raises(NotImplementedError, match="no score"):
            law.score([1.0])
        assert type(law).__name__ in repr(law)
