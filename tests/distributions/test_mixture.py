import copy
import math
import pickle

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.core.linalg import psd_factor
from infotherm.distributions.empirical import Empirical
from infotherm.distributions.gaussian import Gaussian
from infotherm.distributions.mixture import GaussianMixture
from infotherm.distributions.scalar import Rademacher, SpikeSlab

quick = settings(max_examples=15)
KINDS = ("full", "shared", "round", "one variance")


def normal(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def fields(seed, count, dim, kind="full", dtype=torch.float64):
    weights = torch.softmax(normal(seed, count, dtype=torch.float64), 0).to(dtype)
    root = normal(seed + 1, count, dim, dim, dtype=dtype)
    covs = root @ root.mT / dim + 0.2 * torch.eye(dim, dtype=dtype)
    choices = {"full": covs, "shared": covs[0], "round": covs[:, 0, 0], "one variance": covs[0, 0, 0]}
    return weights, 2 * normal(seed + 2, count, dim, dtype=dtype), choices[kind]


def mixture(seed, count, dim, kind="full", dtype=torch.float64, **options):
    return GaussianMixture(*fields(seed, count, dim, kind, dtype), **options)


def torch_mixture(law):
    components = torch.distributions.MultivariateNormal(law.means.double(), law.covariances.double())
    return torch.distributions.MixtureSameFamily(torch.distributions.Categorical(law.weights.double()), components)


# -- density ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("count", "dim"), [(1, 1), (5, 1), (1, 3), (7, 4)])
def test_density_and_moments_are_those_of_torch(kind, dtype, count, dim):
    p = mixture(0, count, dim, kind, dtype)
    x = 3 * normal(9, 50, dim, dtype=dtype)
    reference = torch_mixture(p)
    eps = torch.finfo(dtype).eps
    expected = reference.log_prob(x.double())
    assert p.log_prob(x).dtype == dtype and p.measure == "lebesgue"
    assert torch.allclose(p.log_prob(x).double(), expected, rtol=100 * eps, atol=100 * eps)
    assert torch.allclose(p.log_prob(x[0]).double(), expected[0], rtol=100 * eps, atol=100 * eps)
    assert torch.allclose(p.mean.double(), reference.mean, rtol=100 * eps, atol=100 * eps)
    assert torch.allclose(p.variance.double(), reference.variance, rtol=100 * eps, atol=100 * eps)


def test_density_is_that_of_scipy():
    weights, means, covs = (t.numpy() for t in fields(0, 3, 2))
    x = normal(1, 6, 2).numpy()
    parts = [w * scipy.stats.multivariate_normal(m, c).pdf(x) for w, m, c in zip(weights, means, covs, strict=True)]
    assert np.allclose(GaussianMixture(weights, means, covs).log_prob(x), np.log(sum(parts)), rtol=1e-12)


def test_many_points_go_through_in_pieces():
    p = mixture(0, 40, 6)
    x = 3 * normal(5, 9_003, 6)
    assert torch.allclose(p.log_prob(x), torch_mixture(p).log_prob(x), rtol=1e-12, atol=1e-12)
    assert p.log_prob(x[:0]).shape == (0,) and p.log_prob(x.reshape(-1, 3001, 6)).shape == (3, 3001)


def quadratic_features(p, x):
    """The density by one product with [x_i x_j, x, 1]: fast, and wrong far from the origin of the spread."""
    precision = torch.linalg.inv(p.covariances)
    linear = (precision @ p.means[..., None])[..., 0]
    constant = p.weights.log() - 0.5 * torch.linalg.slogdet(2 * math.pi * p.covariances)[1]
    constant = constant - 0.5 * (linear * p.means).sum(-1)
    square = (x[:, :, None] * x[:, None, :]).flatten(1) @ precision.flatten(1).mT
    return torch.logsumexp(constant + x @ linear.mT - 0.5 * square, -1)


@pytest.mark.parametrize("kind", KINDS)
def test_density_at_a_spread_of_a_million_deviations(kind):
    weights, means, covs = fields(0, 10, 4, kind)
    means = means * 5e5
    p = GaussianMixture(weights, means, covs)
    x = means + normal(3, 10, 4)
    truth = torch.stack([_true_density(p, point) for point in x])
    assert (p.log_prob(x) - truth).abs().max() < 1e-8
    scores = torch.stack([-torch.linalg.solve(p.covariances[k], x[k] - p.means[k]) for k in range(10)])
    assert (p.score(x) - scores).abs().max() < 1e-8
    assert (quadratic_features(p, x) - truth).abs().max() > 1e-4


def _true_density(p, x):
    """By exact differences, component by component."""
    terms = [
        weight.log() + torch.distributions.MultivariateNormal(torch.zeros(p.dim).double(), cov).log_prob(x - mean)
        for weight, mean, cov in zip(p.weights, p.means, p.covariances, strict=True)
    ]
    return torch.logsumexp(torch.stack(terms), 0)


def test_density_far_away_does_not_underflow():
    p = mixture(0, 5, 3)
    x = 1e4 * normal(1, 4, 3)
    value = p.log_prob(x)
    assert torch.allclose(value, torch_mixture(p).log_prob(x), rtol=1e-12) and (value < -1e5).all()
    assert torch.allclose(p.responsibilities(x).sum(-1), torch.ones(4).double())
    assert p.log_prob([math.inf, 0.0, 0.0]).item() == -math.inf


# -- score and gradients ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_score_is_the_gradient_and_the_finite_difference(kind):
    p = mixture(0, 4, 3, kind)
    x = 2 * normal(5, 6, 3)
    point = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(p.log_prob(point).sum(), point)
    plain = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(torch_mixture(p).log_prob(plain).sum(), plain)
    assert torch.allclose(gradient, expected, rtol=1e-11, atol=1e-11)
    assert torch.allclose(p.score(x), expected, rtol=1e-11, atol=1e-11)
    steps = 1e-5 * torch.eye(3).double()
    difference = (p.log_prob(x[:, None] + steps) - p.log_prob(x[:, None] - steps)) / 2e-5
    assert torch.allclose(p.score(x), difference, rtol=1e-7, atol=1e-7)


def test_second_derivatives_are_not_silently_zero():
    p = mixture(0, 3, 2)
    x = normal(5, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(p.log_prob, (x,))
    assert torch.autograd.gradgradcheck(p.log_prob, (x,))
    assert torch.autograd.gradcheck(p.score, (x,))
    weights = normal(6, 2)
    (first,) = torch.autograd.grad((weights * p.log_prob(x)).sum(), x)  # weighted, without a second derivative
    assert torch.allclose(first, weights[:, None] * p.score(x), rtol=1e-12)


def test_parameters_have_gradients():
    logits, means, root = normal(0, 3), normal(1, 3, 2), normal(2, 3, 2, 2)
    x = normal(3, 4, 2)

    def density(logits, means, root, x):
        covs = root @ root.mT + 0.5 * torch.eye(2).double()
        return GaussianMixture(torch.softmax(logits, 0), means, covs).log_prob(x)

    inputs = tuple(t.requires_grad_() for t in (logits, means, root, x))
    assert torch.autograd.gradcheck(density, inputs)
    mixed = torch.autograd.grad(density(*inputs).sum(), inputs)
    law = GaussianMixture(torch.softmax(logits, 0), means, root @ root.mT + 0.5 * torch.eye(2).double())
    expected = torch.autograd.grad(torch_mixture(law).log_prob(x).sum(), inputs)
    for got, want in zip(mixed, expected, strict=True):
        assert torch.allclose(got, want, rtol=1e-9, atol=1e-9)


def test_a_component_of_weight_zero_counts_for_nothing_but_has_its_gradient():
    weights, means, covs = fields(0, 3, 2)
    weights = torch.tensor([0.4, 0.0, 0.6], dtype=torch.float64)
    without = GaussianMixture(weights[[0, 2]], means[[0, 2]], covs[[0, 2]])
    x = normal(1, 5, 2)
    covs[1] = 0.0  # even a singular one
    p = GaussianMixture(weights, means, covs)
    assert p.measure == "lebesgue" and torch.allclose(p.log_prob(x), without.log_prob(x), rtol=1e-13)
    assert torch.allclose(p.score(x), without.score(x), rtol=1e-12) and (p.responsibilities(x)[:, 1] == 0).all()
    free = weights.clone().requires_grad_()
    covs[1] = torch.eye(2)
    (gradient,) = torch.autograd.grad(GaussianMixture(free, means, covs).log_prob(x).sum(), free)
    ratio = Gaussian(means[1], covs[1]).log_prob(x) - without.log_prob(x)
    assert torch.allclose(gradient[1], ratio.exp().sum(), rtol=1e-11)


def test_transforms_of_torch_func():
    p = mixture(0, 4, 3)
    x = normal(1, 5, 3)
    assert torch.allclose(torch.func.vmap(p.log_prob)(x), p.log_prob(x), rtol=1e-12)
    assert torch.allclose(torch.func.vmap(torch.func.grad(p.log_prob))(x), p.score(x), rtol=1e-11, atol=1e-12)
    weights, means, covs = fields(3, 2, 2)
    batch = torch.stack([means, means + 1])
    found = torch.func.vmap(lambda m: GaussianMixture(weights, m, covs).log_prob([0.3, 0.1]))(batch)
    assert torch.allclose(found, GaussianMixture(weights, batch, covs).log_prob([0.3, 0.1]), rtol=1e-12)
    curvature = torch.func.jacrev(torch.func.grad(p.log_prob))(x[0])
    assert torch.allclose(curvature, curvature.mT, rtol=1e-10) and curvature.abs().max() > 0.01


def test_a_first_use_without_gradients_does_not_cut_later_ones():
    weights, means, covs = fields(0, 3, 2)
    p = GaussianMixture(weights, means.requires_grad_(), covs)
    with torch.no_grad():
        value = p.log_prob([0.0, 0.0])
    again = p.log_prob([0.0, 0.0])
    (gradient,) = torch.autograd.grad(again, means)
    assert gradient.abs().max() > 0 and again.item() == pytest.approx(value.item(), rel=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_responsibilities_are_bayes(kind):
    p = mixture(0, 4, 3, kind)
    x = normal(1, 6, 3)
    joint = p.weights * p.components.log_prob(x[:, None]).exp()
    expected = joint / joint.sum(-1, keepdim=True)
    assert torch.allclose(p.responsibilities(x), expected, rtol=1e-11, atol=1e-14)
    assert torch.allclose(p.responsibilities(x.requires_grad_()), expected, rtol=1e-11, atol=1e-14)


# -- laws -------------------------------------------------------------------------------------------------------------


@quick
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10_000), st.sampled_from(KINDS))
def test_shift_rotation_and_order_leave_the_density(count, dim, seed, kind):
    p, x, shift = mixture(seed, count, dim, kind), 2 * normal(seed + 7, 3, dim), normal(seed + 8, dim)
    rotation = torch.linalg.qr(normal(seed + 9, dim, dim)).Q
    moved = p.affine(rotation, shift)
    there = x @ rotation.mT + shift
    assert torch.allclose(moved.log_prob(there), p.log_prob(x), rtol=1e-9, atol=1e-9)
    assert torch.allclose(moved.score(there), p.score(x) @ rotation.mT, rtol=1e-7, atol=1e-7)
    order = torch.arange(count).flip(0)
    turned = GaussianMixture(p.weights[order], p.means[order], p.covariances[order])
    assert torch.allclose(turned.log_prob(x), p.log_prob(x), rtol=1e-11, atol=1e-11)


@quick
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.integers(0, 10_000), st.sampled_from(KINDS))
def test_chain_rule_and_marginal_of_condition(count, a, b, seed, kind):
    p = mixture(seed, count, a + b, kind, parts={"a": a, "b": b})
    x = 2 * normal(seed + 7, 4, a + b)
    at = {"a": x[:, :a], "b": x[:, a:]}
    for first, second in ("ab", "ba"):
        conditional = p.condition(**{first: at[first]})
        assert conditional.batch_shape == (4,) and conditional.parts == {second: p.parts[second]}
        both = p.marginal(first).log_prob(at[first]) + conditional.log_prob(at[second])
        assert torch.allclose(both, p.log_prob(x), rtol=1e-8, atol=1e-8)
    # the law of total expectation, over draws of b with their exact weights replaced by a quadrature-free identity
    whole = p.marginal("a").mean
    assert torch.allclose(p.marginal([0]).mean, whole[:1], rtol=1e-12)


def test_condition_reads_several_parts_in_any_order():
    p = mixture(0, 3, 4, parts={"x": 1, "y": 2, "z": 1})
    x = normal(1, 4)
    one = p.condition(z=x[3:], x=x[:1])
    other = p.marginal(("x", "y", "z")).condition(x=x[:1], z=x[3:])
    assert torch.allclose(one.weights, other.weights) and torch.allclose(one.means, other.means)
    known = p.marginal(("x", "z")).log_prob(x[[0, 3]])
    assert torch.allclose(known + one.log_prob(x[1:3]), p.log_prob(x), rtol=1e-10)


def test_affine_with_noise_is_the_sum_of_independent_laws():
    p, noise = mixture(0, 3, 3), Gaussian(normal(1, 2), torch.eye(2).double())
    matrix, offset = normal(2, 2, 3), normal(3, 2)
    found = p.affine(matrix, offset, noise=noise, parts={"u": 1, "v": 1})
    assert torch.allclose(found.mean, matrix @ p.mean + offset + noise.mean, rtol=1e-12)
    assert torch.allclose(found.covariance, matrix @ p.covariance @ matrix.mT + torch.eye(2).double(), rtol=1e-11)
    assert found.parts == {"u": 1, "v": 1} and found.n_components == 3


@pytest.mark.parametrize("kind", KINDS)
def test_batches_equal_their_members(kind):
    laws = [mixture(seed, 3, 2, kind) for seed in (0, 10)]
    covs = torch.stack([law.covariances for law in laws])
    p = GaussianMixture(torch.stack([law.weights for law in laws]), torch.stack([law.means for law in laws]), covs)
    x = normal(1, 5, 2, 2)
    assert p.batch_shape == (2,) and p.log_prob(x).shape == (5, 2)
    for i, law in enumerate(laws):
        assert torch.allclose(p.log_prob(x)[:, i], law.log_prob(x[:, i]), rtol=1e-12)
        assert torch.allclose(p.score(x)[:, i], law.score(x[:, i]), rtol=1e-11, atol=1e-12)
        assert torch.allclose(p.covariance[i], law.covariance, rtol=1e-12)
        assert torch.allclose(p.responsibilities(x)[:, i], law.responsibilities(x[:, i]), rtol=1e-11)
    assert laws[0].expand((4,)).log_prob(x[:4, 0]).shape == (4,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_draws_have_the_moments_and_obey_the_generator(kind, batch):
    p = mixture(0, 3, 2, kind).expand(batch)
    before = torch.get_rng_state()
    x = p.sample((30_000,), generator=torch.Generator().manual_seed(5))
    assert torch.equal(before, torch.get_rng_state()) and torch.equal(x, p.sample((30_000,), generator=5))
    assert x.shape == (30_000, *batch, 2) and p.sample().shape == (*batch, 2) and p.sample((0,)).shape == (0, *batch, 2)
    deviation = p.variance.sqrt()
    assert ((x.mean(0) - p.mean) / deviation * 30_000**0.5).abs().max() < 5
    away = x - p.mean
    products = away[..., :, None] * away[..., None, :]
    assert ((products.mean(0) - p.covariance) / products.std(0) * 30_000**0.5).abs().max() < 5
    assert not p.has_rsample
    with pytest.raises(NotImplementedError, match="no reparametrised draw"):
        p.rsample((2,))


# -- components without a density -------------------------------------------------------------------------------------


def test_atoms_have_moments_draws_and_images_but_no_density():
    p = SpikeSlab(0.3, 1.0, 2.0).as_gaussian_mixture()
    assert p.measure == "mixed" and p.mean.item() == pytest.approx(0.3)
    assert p.covariance.item() == pytest.approx(0.3 * 3.0 - 0.09)
    for call in (p.log_prob, p.score, p.responsibilities):
        with pytest.raises(ValueError, match="component of singular covariance"):
            call([0.0])
    x = p.sample((20_000,), generator=0)
    assert abs((x == 0).double().mean().item() - 0.7) < 5 * (0.21 / 20_000) ** 0.5
    noisy = p.affine(1.0, noise=Gaussian(0.0, 1.0))
    assert noisy.measure == "lebesgue"
    expected = torch.logsumexp(
        torch.stack(
            [Gaussian(1.0, 3.0).log_prob([0.5]) + math.log(0.3), Gaussian(0.0, 1.0).log_prob([0.5]) + math.log(0.7)]
        ),
        0,
    )
    assert noisy.log_prob([0.5]).item() == pytest.approx(expected.item(), rel=1e-13)


def test_samples_as_a_mixture():
    samples = normal(0, 500, 3)
    p = Empirical(samples).as_gaussian_mixture()
    assert p.measure == "mixed" and torch.allclose(p.mean, samples.mean(0), rtol=1e-10)
    assert torch.allclose(p.covariance, torch.cov(samples.mT, correction=0), rtol=1e-10)
    assert p.with_parts({"x": 1, "y": 2}).marginal("y").means.shape == (500, 2)
    lower, upper = p.bounds()
    assert torch.equal(lower, samples.amin(0)) and torch.equal(upper, samples.amax(0))
    smooth = p.affine(torch.eye(3).double(), noise=Gaussian(torch.zeros(3).double(), 0.25 * torch.eye(3).double()))
    kernel = scipy.stats.multivariate_normal(np.zeros(3), 0.25 * np.eye(3))
    at = normal(1, 4, 3)
    expected = [np.log(np.mean(kernel.pdf((x - samples).numpy()))) for x in at]
    assert np.allclose(smooth.log_prob(at), expected, rtol=1e-12)
    drawn = p.sample((5,), generator=0)
    assert (drawn[:, None] == samples).all(-1).any(-1).all()


def test_partly_singular_components():
    flat = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]).double()
    p = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [1.0, 2.0]], flat, parts={"x": 1, "y": 1})
    assert p.measure == "mixed" and p.marginal("x").measure == "lebesgue"
    found = p.condition(y=0.5)
    assert torch.allclose(found.means[0], torch.tensor([0.5]).double()) and found.covariances[0].item() < 1e-15
    assert found.measure == "mixed"
    with pytest.raises(ValueError, match="density of the parts given"):
        GaussianMixture([1.0], [[0.0, 0.0]], [torch.zeros(2, 2)], parts={"x": 1, "y": 1}).condition(y=0.0)


# -- scalar mixtures --------------------------------------------------------------------------------------------------


def test_distribution_function_and_quantiles():
    p = GaussianMixture([0.2, 0.5, 0.3], [-3.0, 0.0, 4.0], [0.5, 1e-4, 2.0])
    x = torch.linspace(-6, 9, 40).double()
    each = [
        w * scipy.stats.norm(m, v**0.5).cdf(x)
        for w, m, v in zip([0.2, 0.5, 0.3], [-3, 0, 4], [0.5, 1e-4, 2], strict=True)
    ]
    assert np.allclose(p.cdf(x[:, None]), sum(each), rtol=1e-12, atol=0)
    u = torch.tensor([1e-200, 1e-9, 0.1, 0.2, 0.2000001, 0.5, 0.7, 0.999, 1 - 1e-9]).double()
    q = p.icdf(u)
    assert q.shape == (9, 1) and torch.allclose(p.cdf(q), u, rtol=1e-9)
    assert (q[1:] > q[:-1]).all()
    assert p.icdf([0.0, 1.0]).flatten().tolist() == [-math.inf, math.inf]
    with pytest.raises(ValueError, match="probabilities"):
        p.icdf([-0.1])


def test_quantiles_of_atoms_are_atoms():
    p = Rademacher(0.3).as_gaussian_mixture()
    values = p.icdf([0.0, 0.1, 0.699, 0.701, 1.0]).flatten().tolist()
    assert values == [-1.0, -1.0, -1.0, 1.0, 1.0]
    mixed = SpikeSlab(0.5, 0.0, 1.0).as_gaussian_mixture()
    assert mixed.icdf([0.3, 0.5, 0.7]).flatten().tolist() == [0.0, 0.0, 0.0] and mixed.icdf([0.9]).item() > 0.5


def test_quantiles_have_the_implicit_gradient():
    def quantile(u, means, variances):
        return GaussianMixture(torch.tensor([0.3, 0.7]).double(), means, variances).icdf(u)

    inputs = [torch.tensor(v).double().requires_grad_() for v in ([0.2, 0.6], [-1.0, 1.5], [0.5, 1.2])]
    assert torch.autograd.gradcheck(quantile, inputs, atol=1e-6)


def test_breakpoints_mark_every_component_and_are_thinned():
    p = GaussianMixture([0.5, 0.5, 0.0], [0.0, 10.0, 1e9], [1.0, 1e-6, 1.0])
    points = p.breakpoints()
    assert points.shape == (15,) and points.max() < 20
    for wanted in (0.0, 10.0, 10.003, 9.997, 8.0, -8.0):
        assert (points - wanted).abs().min() < 1e-9
    many = mixture(0, 500, 1)
    assert many.breakpoints().shape == (80,)
    lowest = (many.means[:, 0] - 8 * many.covariances[:, 0, 0].sqrt()).min()
    assert many.breakpoints().min().item() == pytest.approx(lowest.item())
    assert mixture(0, 3, 1).expand((2,)).breakpoints().shape == (15, 2)
    with pytest.raises(ValueError, match="scalar law"):
        mixture(0, 3, 2).breakpoints()


def test_bounds():
    lower, upper = GaussianMixture([0.5, 0.5], [[0.0, 1.0], [2.0, 3.0]], torch.diag(torch.tensor([1.0, 0.0]))).bounds()
    assert lower.tolist() == [-math.inf, 1.0] and upper.tolist() == [math.inf, 3.0]


# -- arguments --------------------------------------------------------------------------------------------------------


def test_the_forms_of_covariances_agree():
    weights, means, _ = fields(0, 3, 2)
    one = torch.eye(2).double()
    forms = [
        0.5,
        [0.5, 0.5, 0.5],
        0.5 * one,
        (0.5 * one).expand(3, 2, 2),
        (0.5 * one)[None],
        [(0.5 * one).tolist()] * 3,
    ]
    x = normal(5, 4, 2)
    values = [GaussianMixture(weights, means, covs).log_prob(x) for covs in forms]
    for law, value in zip(forms, values, strict=True):
        assert torch.allclose(value, values[0], rtol=1e-13), law
    scalar = [GaussianMixture([0.4, 0.6], [0.0, 1.0], covs) for covs in ([1.0, 1.0], 1.0, [[[1.0]], [[1.0]]])]
    assert all(torch.allclose(p.log_prob(x[:, :1]), scalar[0].log_prob(x[:, :1])) for p in scalar)
    assert scalar[0].dim == 1 and scalar[0].n_components == 2
    assert GaussianMixture([0.4, 0.6], np.zeros((2, 1), np.float32), 1.0).dtype == torch.float32


def test_batch_dimensions_broadcast():
    weights, means, covs = fields(0, 3, 2)
    p = GaussianMixture(weights, means.expand(4, 3, 2), covs[:, 0, 0].expand(4, 3))
    assert p.batch_shape == (4,) and p.covariances.shape == (4, 3, 2, 2)
    assert GaussianMixture(weights.expand(5, 1, 3), means.expand(4, 3, 2), covs).batch_shape == (5, 4)
    assert GaussianMixture(weights, means.expand(4, 3, 2), covs[:1].expand(4, 1, 2, 2)).covariances.shape == (
        4,
        3,
        2,
        2,
    )


@pytest.mark.parametrize(
    ("weights", "means", "covs", "message"),
    [
        ([0.5, 0.6], [0.0, 1.0], 1.0, r"weights must sum to one \(within .*\); got 1.1"),
        ([1.5, -0.5], [0.0, 1.0], 1.0, r"weights must not be negative; got -0.5 at index \[1\]"),
        ([math.nan, 1.0], [0.0, 1.0], 1.0, "weights must be finite"),
        (1.0, [0.0], 1.0, "weights must have shape"),
        ([], torch.zeros(0, 2), 1.0, "K >= 1"),
        ([0.5, 0.5], torch.zeros(3, 2), 1.0, r"means must have shape \(\.\.\., 2, D\)"),
        ([0.5, 0.5], torch.zeros(2, 0), 1.0, "at least one coordinate"),
        ([0.5, 0.5], [0.0, math.inf], 1.0, "means must be finite"),
        ([0.5, 0.5], torch.zeros(2, 2), torch.eye(3), "covs must have shape"),
        ([0.5, 0.5], torch.zeros(2, 2), torch.ones(3), "covs must have shape"),
        ([0.5, 0.5], [0.0, 1.0], [1.0, -1.0], "covs must hold variances >= 0; got -1"),
        ([0.5, 0.5], [0.0, 1.0], [1.0, math.nan], "covs must be finite"),
        ([0.5, 0.5], torch.zeros(2, 2), [[1.0, 2.0], [2.0, 1.0]], "covs must be positive semi-definite"),
        ([0.5, 0.5], torch.zeros(2, 2), [[1.0, 2.0], [0.0, 1.0]], "covs must be symmetric"),
        ([0.5, 0.5], torch.zeros(2, 2), torch.eye(2, device="meta"), "means and covs must be on one device"),
        (torch.full((3, 2), 0.5), torch.zeros(4, 2, 2), 1.0, "batch shape of means must broadcast"),
        (torch.full((2, 2), 0.5), torch.zeros(2, 2), 1.0, "may be scalar components"),
        (torch.full((2, 2, 2), 0.5), torch.zeros(2, 2, 2, 2), torch.ones(2, 2, 2), "write the covariances out"),
    ],
)
def test_bad_arguments_are_named(weights, means, covs, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(weights, means, covs)


def test_other_bad_input_is_named():
    p = mixture(0, 2, 2, parts={"x": 1, "y": 1})
    cases = [
        (lambda: mixture(0, 2, 2, parts={"x": 1}), "parts must add up to D = 2"),
        (lambda: p.log_prob([0.0, 0.0, 0.0]), r"value must have shape \(\.\.\., 2\)"),
        (lambda: p.log_prob([math.nan, 0.0]), "value must not be NaN"),
        (lambda: p.log_prob(torch.zeros(2, device="meta")), "value must be on cpu"),
        (lambda: p.marginal("z"), "no part 'z'"),
        (lambda: p.condition(x=[1.0, 2.0]), r"x must have shape \(\.\.\., 1\)"),
        (lambda: p.cdf([0.0, 0.0]), "scalar law"),
        (lambda: p.affine(torch.eye(3)), "matrix must have shape"),
        (lambda: p.sample((2,), generator=1.5), "generator must be"),
    ]
    for call, message in cases:
        with pytest.raises((ValueError, TypeError), match=message):
            call()


# -- objects ----------------------------------------------------------------------------------------------------------


def test_copies_pickles_and_moves():
    p = mixture(0, 3, 2, parts={"x": 1, "y": 1})
    x = normal(1, 4, 2)
    p.log_prob(x)
    for other in (copy.deepcopy(p), pickle.loads(pickle.dumps(p)), p.to("cpu", torch.float64)):
        assert other.parts == p.parts and torch.equal(other.log_prob(x), p.log_prob(x))
    assert p.to(dtype=torch.float32).log_prob(x.float()).dtype == torch.float32
    assert p.log_prob(x.float()).dtype == torch.float64
    assert p.to(dtype=torch.float32).log_prob(x).dtype == torch.float64
    assert p.to("meta").device.type == "meta"
    assert repr(p) == "GaussianMixture(K=3, D=2, dtype=float64, parts={'x': 1, 'y': 1})"


def test_shared_matrices_are_not_copied():
    big = torch.zeros(1, 50, 50).double().expand(2_000, 50, 50)
    p = GaussianMixture(torch.full((2_000,), 1 / 2_000, dtype=torch.float64), torch.zeros(2_000, 50).double(), big)
    assert p._shapes.batch_shape == (1,) and p.covariances.stride(0) == 0
    assert psd_factor(p._shapes.covariance).shape == (1, 50, 50)
    joint = p.with_parts({"a": 20, "b": 30}).affine(
        1.0, noise=Gaussian(torch.zeros(50).double(), torch.eye(50).double())
    )
    assert joint.with_parts({"a": 20, "b": 30}).condition(a=torch.zeros(20))._shapes.batch_shape == (1,)


@pytest.mark.parametrize("probability", [1e-9, 1e-14, 1e-30, 1e-250])
def test_quantiles_far_in_the_lower_tail(probability):
    deviation, weight = 0.7, 0.25
    law = GaussianMixture([weight, 1 - weight], [[-1.0], [30.0]], [[[deviation**2]], [[1.0]]])
    exact = -1.0 + deviation * scipy.stats.norm.ppf(probability / weight)
    assert law.icdf(torch.tensor([probability], dtype=torch.float64)).item() == pytest.approx(exact, rel=1e-12)
