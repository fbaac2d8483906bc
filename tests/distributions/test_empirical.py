import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from infotherm.distributions import Empirical, GaussianMixture

EPS = torch.finfo(torch.float64).eps


@st.composite
def samples_and_weights(draw):
    """Samples on a coarse grid, so that some coincide, with weights of which some vanish."""
    n, dim = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    samples = draw(hnp.arrays(np.float64, (n, dim), elements=st.integers(-2, 2).map(float)))
    weights = draw(hnp.arrays(np.float64, (n,), elements=st.floats(0, 1) | st.just(0.0)))
    weights[0] += 0.1
    return samples, weights


@given(samples_and_weights())
def test_log_prob_is_the_total_weight_of_equal_samples(case):
    samples, weights = case
    e = Empirical(samples, weights)
    p = e.log_prob(e.samples).exp().numpy()
    share = weights / weights.sum()
    for x, mass in zip(samples, p, strict=True):
        assert mass == pytest.approx(share[(samples == x).all(1)].sum(), rel=1e-12, abs=1e-300)


@given(samples_and_weights())
def test_atoms_carry_all_the_mass_and_the_entropy(case):
    e = Empirical(*case)
    points, mass = e.atoms()
    assert len(torch.unique(points, dim=0)) == len(points)
    assert mass.sum().item() == pytest.approx(1, abs=20 * EPS)
    expected = -sum(m * math.log(m) for m in mass.tolist() if m > 0)
    assert e.entropy().item() == pytest.approx(expected, abs=40 * EPS)
    assert e.entropy().item() <= math.log(len(points)) + 20 * EPS


@given(samples_and_weights())
def test_moments_agree_with_numpy(case):
    samples, weights = case
    e = Empirical(samples, weights)
    assert np.allclose(e.mean, np.average(samples, axis=0, weights=weights), rtol=0, atol=1e-14)
    reference = np.atleast_2d(np.cov(samples.T, aweights=weights, ddof=0))
    assert np.allclose(e.covariance, reference, rtol=0, atol=1e-13)


@given(samples_and_weights())
def test_the_mixture_of_zero_covariances_has_the_same_moments(case):
    e = Empirical(*case)
    mixture = e.as_gaussian_mixture()
    assert isinstance(mixture, GaussianMixture)
    assert torch.allclose(mixture.mean, e.mean, rtol=0, atol=1e-14)
    assert torch.allclose(mixture.covariance, e.covariance, rtol=0, atol=1e-13)


def test_log_prob_is_minus_infinity_off_the_atoms_and_has_leading_dimensions():
    e = Empirical([[0.0, 1.0], [0.0, 1.0], [2.0, 3.0]])
    x = torch.tensor([[[0.0, 1.0], [2.0, 3.0]], [[0.0, 3.0], [-0.0, 1.0]]], dtype=torch.float64)
    assert torch.allclose(e.log_prob(x).exp(), torch.tensor([[2 / 3, 1 / 3], [0, 2 / 3]], dtype=torch.float64))
    assert e.log_prob([0.0, 1.0]).shape == ()


def test_parts_marginals_and_conditions():
    e = Empirical([[0.0, 1.0, 5.0], [0.0, 1.0, 6.0], [2.0, 1.0, 7.0]], [1.0, 3.0, 4.0], parts={"x": 2, "y": 1})
    assert e.marginal("y").samples.tolist() == [[5.0], [6.0], [7.0]]
    assert e.marginal(("y", "x")).parts == {"y": 1, "x": 2}
    given_x = e.condition(x=[0.0, 1.0])
    assert given_x.parts == {"y": 1} and given_x.weights.tolist() == [0.25, 0.75]
    assert e.condition(y=7.0).samples.tolist() == [[2.0, 1.0]]
    assert e.with_parts({"all": 3}).parts == {"all": 3}


@given(samples_and_weights())
def test_bayes_rule(case):
    samples, weights = case
    if samples.shape[1] < 2:
        return
    e = Empirical(samples, weights, parts={"x": 1, "y": samples.shape[1] - 1})
    x = e.samples[0, :1]
    product = e.marginal("x").log_prob(x) + e.condition(x=x).log_prob(e.samples[0, 1:])
    assert product.item() == pytest.approx(e.log_prob(e.samples[0]).item(), abs=1e-13)


def test_quantiles_are_samples():
    e = Empirical([[3.0], [1.0], [2.0], [9.0]], [1.0, 1.0, 1.0, 0.0])
    assert e.icdf([0.0, 1 / 3, 0.34, 1.0]).flatten().tolist() == [1.0, 1.0, 2.0, 3.0]
    assert torch.allclose(e.cdf([[0.0], [1.0], [2.5], [10.0]]), torch.tensor([0.0, 1 / 3, 2 / 3, 1.0]).double())
    with pytest.raises(ValueError, match="probability between 0 and 1"):
        e.icdf(1.5)
    with pytest.raises(ValueError, match="scalar law"):
        Empirical([[1.0, 2.0]]).cdf([1.0, 2.0])


def test_resampling_has_the_right_frequencies_and_follows_the_generator():
    # chi-square with 2 degrees of freedom: above 18.4 with probability 1e-4
    e, n = Empirical([[1.0], [2.0], [3.0], [4.0]], [1.0, 2.0, 5.0, 0.0]), 10_000
    before = torch.get_rng_state()
    x = e.sample((n,), generator=11)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(x, e.sample((n,), generator=torch.Generator().manual_seed(11)))
    counts = torch.tensor([(x == v).sum() for v in (1.0, 2.0, 3.0)]).double()
    expected = n * torch.tensor([1.0, 2.0, 5.0]).double() / 8
    assert not (x == 4).any() and ((counts - expected) ** 2 / expected).sum() < 18.4
    assert e.sample((2, 3)).shape == (2, 3, 1)


def test_dtype_is_kept_and_changed():
    e = Empirical(np.zeros((3, 2), dtype=np.float32))
    assert e.dtype == torch.float32 and e.mean.dtype == torch.float32 and e.sample((2,), 0).dtype == torch.float32
    assert e.to(dtype=torch.float64).covariance.dtype == torch.float64


def test_bounds_ignore_samples_of_no_weight():
    lower, upper = Empirical([[0.0, 1.0], [2.0, -1.0], [100.0, 100.0]], [1, 1, 0]).bounds()
    assert lower.tolist() == [0.0, -1.0] and upper.tolist() == [2.0, 1.0]


def test_weights_are_differentiable():
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    points = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda w: Empirical(points, w).log_prob(points), weights)
    assert torch.autograd.gradcheck(lambda w: Empirical(points, w).covariance, weights)


def test_effective_size():
    assert Empirical(np.zeros((5, 1))).effective_size.item() == pytest.approx(5)
    assert Empirical(np.zeros((2, 1)), [1.0, 0.0]).effective_size.item() == 1
    assert "N=5, D=1" in repr(Empirical(np.zeros((5, 1))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0, 3.0],), r"samples must have shape \(N, D\); got \(3,\): .* give shape \(N, 1\)"),
        ((np.zeros((2, 2, 2)),), r"samples must have shape \(N, D\); got \(2, 2, 2\)"),
        ((np.zeros((0, 2)),), "samples must not be empty"),
        (([[math.nan]],), r"samples must be finite; got nan at index \[0, 0\]"),
        (([[1.0], [2.0]], [1.0]), r"weights must have shape \(2,\)"),
        (([[1.0], [2.0]], [1.0, -1.0]), "weights must not be negative; got -1 at index 1"),
        (([[1.0], [2.0]], [0.0, 0.0]), "weights must have a positive sum"),
        (([[1.0], [2.0]], [1.0, math.inf]), "weights must be finite"),
    ],
)
def test_bad_samples_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Empirical(*arguments)


def test_bad_requests_are_refused():
    e = Empirical([[0.0, 1.0]], parts={"x": 1, "y": 1})
    with pytest.raises(ValueError, match="no part 'z'; its parts are x, y"):
        e.marginal("z")
    with pytest.raises(ValueError, match="exact matches"):
        e.condition(x=0.5)
    with pytest.raises(ValueError, match="leave a part free"):
        e.condition(x=0.0, y=1.0)
    with pytest.raises(ValueError, match=r"x must have shape \(1,\)"):
        e.condition(x=[0.0, 0.0])
    with pytest.raises(ValueError, match="parts must add up"):
        Empirical([[0.0, 1.0]], parts={"x": 3})
    with pytest.raises(NotImplementedError, match="no score"):
        e.score([0.0, 0.0])
    with pytest.raises(TypeError, match="real numbers"):
        Empirical([["a"]])
