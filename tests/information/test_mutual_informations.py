"""Mutual information: closed forms, quadrature and Monte Carlo against each other; laws; what is refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.channels import DiscreteChannel, LinearGaussianChannel
from infotherm.core.verdict import decide
from infotherm.distributions import Discrete, Empirical, Gaussian, GaussianMixture, Rademacher
from infotherm.information import entropy, mutual_information


def random_pmf(seed, *shape):
    weights = np.random.default_rng(seed).exponential(size=shape)
    return weights / weights.sum()


def random_gaussian(seed, parts):
    dim = sum(parts.values())
    factor = np.random.default_rng(seed).normal(size=(dim, dim + 1))
    return Gaussian(np.zeros(dim), factor @ factor.T, parts=parts)


def holds(lhs, rhs, relation="==", **options):
    verdict = decide(lhs, rhs, relation, **options)
    assert verdict.outcome == "holds", verdict


# -- discrete --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_discrete_by_definition(seed):
    pmf = random_pmf(seed, 3, 4)
    expected = (pmf * np.log(pmf / (pmf.sum(1, keepdims=True) * pmf.sum(0)))).sum()
    estimate = mutual_information(Discrete(pmf, parts=("x", "y")), "x", "y")
    assert estimate.kind == "exact" and estimate.method == "closed-form"
    assert abs(float(estimate) - expected) <= float(estimate.error) + 1e-15


@pytest.mark.parametrize("seed", range(5))
def test_discrete_conditional_by_definition(seed):
    pmf = random_pmf(seed, 3, 2, 4)
    joint = Discrete(pmf, parts=("x", "y", "z"))
    by_value = 0.0
    for z in range(4):
        slab = pmf[:, :, z] / pmf[:, :, z].sum()
        by_value += pmf[:, :, z].sum() * float(mutual_information(Discrete(slab, parts=("x", "y")), "x", "y"))
    assert float(mutual_information(joint, "x", "y", given="z")) == pytest.approx(by_value, abs=1e-14)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_discrete_laws(seed):
    joint = Discrete(random_pmf(seed, 3, 2, 2), parts=("x", "y", "z"))
    information = mutual_information(joint, "x", "y")
    holds(information, 0.0, ">=")
    holds(information, mutual_information(joint, "y", "x"))
    holds(entropy(joint.marginal("x")), information, ">=")
    chain = mutual_information(joint, "x", "y") + mutual_information(joint, "x", "z", given="y")
    holds(mutual_information(joint, "x", ("y", "z")), chain)
    holds(mutual_information(joint, "x", "x"), entropy(joint.marginal("x")))
    holds(mutual_information(joint, ("x", "y"), ("y", "z")), mutual_information(joint, ("x", "y"), ("y", "z")))


def test_zero_cells_and_batches():
    pmf = torch.tensor([[[0.5, 0.0], [0.0, 0.5]], [[0.25, 0.25], [0.25, 0.25]]], dtype=torch.float64)
    information = mutual_information(Discrete(pmf, parts=("x", "y")), "x", "y")
    assert information.value.tolist() == pytest.approx([math.log(2), 0.0], abs=1e-15)


def test_gradients_of_a_discrete_information():
    logits = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda z: mutual_information(Discrete(z.softmax(0).reshape(2, 3), parts=("x", "y")), "x", "y").value, (logits,)
    )


# -- Gaussian ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_gaussian_by_determinants(seed):
    joint = random_gaussian(seed, {"x": 2, "y": 3, "z": 1})
    c = joint.covariance.numpy()

    def log_det(*blocks):
        place = {"x": [0, 1], "y": [2, 3, 4], "z": [5]}
        index = [i for b in blocks for i in place[b]]
        return np.linalg.slogdet(c[np.ix_(index, index)])[1]

    plain = 0.5 * (log_det("x") + log_det("y") - log_det("x", "y"))
    given_z = 0.5 * (log_det("x", "z") + log_det("y", "z") - log_det("x", "y", "z") - log_det("z"))
    assert float(mutual_information(joint, "x", "y")) == pytest.approx(plain, rel=1e-10)
    assert float(mutual_information(joint, "x", "y", given="z")) == pytest.approx(given_z, rel=1e-10)


@given(st.floats(1e-12, 30.0), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_what_was_put_in_comes_out(nats, dx, dy):
    information = mutual_information(Gaussian.with_mutual_information(nats, dx=dx, dy=dy), "x", "y")
    assert abs(float(information) - nats) <= float(information.error)
    assert float(information.error) <= 1e-12 * max(1.0, nats)


def test_invertible_maps_change_nothing():
    joint = random_gaussian(0, {"x": 2, "y": 2})
    scale = torch.diag(torch.tensor([1e6, 1e-3, 1e-6, 10.0], dtype=torch.float64))
    image = joint.affine(scale, torch.ones(4, dtype=torch.float64)).with_parts({"x": 2, "y": 2})
    holds(mutual_information(joint, "x", "y"), mutual_information(image, "x", "y"))


def test_a_continuous_part_tells_everything_about_itself():
    information = mutual_information(random_gaussian(0, {"x": 1, "y": 1}), "x", "x")
    assert math.isinf(float(information)) and "continuous" in information.info["reason"]


# -- channels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("snr", [1e-12, 1e-3, 1.0, 1e12])
def test_gaussian_channels_do_not_cancel(snr):
    joint = LinearGaussianChannel(snr**0.5, 1.0).joint(Gaussian(0.0, 1.0))
    information = mutual_information(joint, "x", "y")
    truth = 0.5 * math.log1p((snr**0.5) ** 2)
    assert abs(float(information) - truth) <= float(information.error) + 1e-15 * truth
    assert float(information.error) <= 1e-13 * max(truth, 1e-3)


@pytest.mark.parametrize(
    "snr, truth", [(0.1, 0.0476492338967162838), (1.0, 0.336830820346831612), (10.0, 0.690898838451571563)]
)
def test_binary_input_against_certified_values(snr, truth):
    joint = LinearGaussianChannel(snr**0.5, 1.0).joint(Rademacher(), names=("bit", "signal"))
    information = mutual_information(joint, "bit", "signal")
    assert information.method == "quadrature" and abs(float(information) - truth) <= float(information.error) + 1e-16
    sampled = mutual_information(joint, "signal", "bit", method="monte-carlo", n_samples=40_000, generator=1)
    assert abs(float(sampled) - truth) < 4 * float(sampled.stderr)


def test_samples_through_a_channel_have_at_most_log_n_nats():
    joint = LinearGaussianChannel(1.0, 1e-6).joint(Empirical([[0.0], [1.0], [2.0], [5.0]]))
    information = mutual_information(joint, "x", "y")
    assert float(information) == pytest.approx(math.log(4), abs=1e-9)


def test_channels_in_many_dimensions_by_sampling():
    law = GaussianMixture([0.5, 0.5], torch.tensor([[-1.0] * 5, [1.0] * 5], dtype=torch.float64), 0.5)
    channel = LinearGaussianChannel(torch.eye(5, dtype=torch.float64), torch.eye(5, dtype=torch.float64))
    information = mutual_information(channel.joint(law), "x", "y", generator=0)
    assert information.kind == "estimate" and information.method == "monte-carlo"
    low, high = information.interval(0.9999)
    assert low < high < 0.5 * math.log(2) * 5 + math.log(2)


def test_discrete_channels_remember():
    flip = DiscreteChannel([[0.9, 0.1], [0.1, 0.9]])
    information = mutual_information(flip.joint(Discrete([0.5, 0.5])), "x", "y")
    assert float(information) == pytest.approx(math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1), abs=1e-15)


def test_processing_loses_information():
    first, second = (DiscreteChannel(random_pmf(s, 3, 3) / random_pmf(s, 3, 3).sum(1, keepdims=True)) for s in (1, 2))
    p = Discrete(random_pmf(3, 3))
    direct, through = first.joint(p), (second @ first).joint(p)
    holds(mutual_information(direct, "x", "y"), mutual_information(through, "x", "y"), ">=")


# -- any law ---------------------------------------------------------------------------------------------------------


def mixture(parts):
    means = torch.tensor([[-1.0, -1.0, 0.0], [1.0, 1.5, 0.5]], dtype=torch.float64)
    covariances = torch.tensor(
        [[[1.0, 0.4, 0.1], [0.4, 0.5, 0.0], [0.1, 0.0, 1.0]], [[0.5, -0.2, 0.0], [-0.2, 1.0, 0.3], [0.0, 0.3, 0.7]]],
        dtype=torch.float64,
    )
    return GaussianMixture([0.4, 0.6], means, covariances, parts=parts)


def test_mixtures_by_three_routes():
    pair = mixture({"x": 1, "y": 1, "z": 1}).marginal(("x", "y"))
    exact = mutual_information(pair, "x", "y", method="quadrature")
    sampled = mutual_information(pair, "x", "y", method="monte-carlo", n_samples=40_000, generator=0)
    assert abs(float(exact) - float(sampled)) < 4 * float(sampled.stderr)
    by_entropies = entropy(pair.marginal("x")) + entropy(pair.marginal("y")) - entropy(pair)
    holds(exact, by_entropies)


def test_one_component_is_a_gaussian():
    g = random_gaussian(0, {"x": 1, "y": 1})
    single = GaussianMixture([1.0], g.mean[None], g.covariance[None], parts=g.parts)
    holds(mutual_information(single, "x", "y", method="quadrature"), mutual_information(g, "x", "y"))


def test_sampled_intervals_cover():
    """200 replications: at least 90 % of the 95 % intervals hold the truth (odds below 1e-3 if 95 %)."""
    joint = Gaussian.with_mutual_information(0.5, dx=1, dy=1)
    intervals = [
        mutual_information(joint, "x", "y", method="monte-carlo", n_samples=400, generator=seed).interval(0.95)
        for seed in range(200)
    ]
    assert np.mean([bool(low <= 0.5 <= high) for low, high in intervals]) >= 0.9


# -- refusals --------------------------------------------------------------------------------------------------------


def test_refusals():
    joint = random_gaussian(0, {"x": 1, "y": 1})
    with pytest.raises(ValueError, match="no part 'w'; its parts are x, y"):
        mutual_information(joint, "x", "w")
    with pytest.raises(ValueError, match="given must name other parts"):
        mutual_information(joint, "x", "y", given="y")
    with pytest.raises(TypeError, match="KSG"):
        mutual_information(Empirical([[0.0, 1.0], [1.0, 2.0]], parts={"x": 1, "y": 1}), "x", "y")
    with pytest.raises(NotImplementedError, match="at most 3 coordinates"):
        mutual_information(random_gaussian(0, {"x": 2, "y": 2}), "x", "y", method="quadrature")


@pytest.mark.parametrize(
    ("law", "truth"),
    [(Rademacher(), math.log(2)), (Empirical([[0.0], [1.0], [5.0]]), math.log(3)), (Gaussian(0.0, 1.0), math.inf)],
)
def test_a_channel_without_noise_keeps_all_information(law, truth):
    """Of atoms that is Shannon's entropy, of a density there is no end to it."""
    found = mutual_information(LinearGaussianChannel([[2.0]], [[0.0]]).joint(law), "x", "y")
    assert found.kind == "exact" and found.value.item() == pytest.approx(truth, abs=found.error.item())


def test_a_channel_that_says_nothing_has_the_rounding_of_its_logarithms():
    joint = LinearGaussianChannel([[0.0]], [[1.0]]).joint(Rademacher())
    found = mutual_information(joint, "x", "y", method="monte-carlo", n_samples=1000, generator=0)
    low, high = found.interval(0.95)
    assert low <= 0 <= high


def test_sampled_information_has_the_gradient_of_the_closed_form():
    slopes = []
    for seed in range(20):
        noise = torch.tensor([[0.7]], dtype=torch.float64, requires_grad=True)
        joint = LinearGaussianChannel([[1.0]], noise).joint(Gaussian(0.0, 1.0))
        found = mutual_information(joint, "x", "y", method="monte-carlo", n_samples=2000, generator=seed)
        slopes.append(torch.autograd.grad(found.value, noise)[0].item())
    slopes = torch.tensor(slopes)
    assert abs(slopes.mean() - 0.5 * (1 / 1.7 - 1 / 0.7)) < 4 * slopes.std() / 20**0.5
