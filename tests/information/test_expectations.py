"""Expectations under a law: quadrature, sample means, their gradients and the limits of their standard errors."""

import math

import pytest
import torch
import torch.distributions as td

from infotherm.distributions import Discrete, Empirical, Gaussian, GaussianMixture, SpikeSlab, as_distribution
from infotherm.information.divergences import kl
from infotherm.information.expectations import (
    draw,
    expectation_by_quadrature,
    expectation_by_sampling,
    sample_mean,
    tail_index,
    with_score_gradient,
)
from infotherm.information.f_divergences import chi2, total_variation
from infotherm.information.renyi_divergences import renyi

float64 = torch.float64


def tensor(x):
    return torch.tensor(x, dtype=float64)


@pytest.mark.parametrize(
    ("law", "second_moment"),
    [
        (Gaussian(1.0, 2.0), 3.0),
        (SpikeSlab(0.25, 1.0, 2.0), 0.75),
        (Empirical([[0.0], [2.0]]), 2.0),
        (td.Poisson(tensor(3.0)), 12.0),
        (td.Gamma(tensor([2.0, 3.0]), tensor(1.0)), [6.0, 12.0]),
    ],
)
def test_second_moments_by_quadrature(law, second_moment):
    found = expectation_by_quadrature(as_distribution(law), lambda x: x[..., 0] ** 2, units="1")
    assert ((found.value - tensor(second_moment)).abs() <= found.error).all()
    assert found.kind == "exact" and found.units == "1" and (found.error < 1e-10).all()


def test_quadrature_in_many_dimensions_is_refused():
    law = Gaussian(torch.zeros(4, dtype=float64), torch.eye(4, dtype=float64))
    with pytest.raises(NotImplementedError, match="D <= 3"):
        expectation_by_quadrature(law, lambda x: x[..., 0])


def test_draws_align_with_a_batch_and_name_their_stream():
    law = Gaussian(torch.zeros(3, 2, dtype=float64), torch.eye(2, dtype=float64))
    x, stream = draw(law, 7, 5, batch=3)
    again, same = draw(law, 7, 5, batch=3)
    assert x.shape == (7, 1, 1, 3, 2) and not x.requires_grad
    assert torch.equal(x, again) and stream == same
    assert draw(law, 7, 6)[1] != stream


@pytest.mark.parametrize("n", [1, 0, 2.5, True])
def test_too_few_samples_are_refused(n):
    with pytest.raises(ValueError, match="n_samples"):
        draw(Gaussian(0.0, 1.0), n)


def test_a_generator_leaves_the_global_one_alone():
    state = torch.get_rng_state()
    expectation_by_sampling(as_distribution(td.Poisson(tensor(3.0))), lambda x: x[..., 0], n_samples=100, generator=3)
    assert torch.equal(state, torch.get_rng_state())


def test_gradients_are_unbiased_without_reparametrised_draws():
    """d/d rate of E[x^2] = rate + rate^2 for a Poisson law: without the score weight the gradient is silently zero."""
    rate = tensor([3.0]).requires_grad_()
    law = as_distribution(td.Poisson(rate))
    assert not law.has_rsample
    slopes, plain = [], []
    for seed in range(40):
        found = expectation_by_sampling(law, lambda x: x[..., 0] ** 2, n_samples=500, generator=seed)
        slopes.append(torch.autograd.grad(found.value.sum(), rate)[0].item())
        x, _ = draw(law, 500, seed)
        plain.append((x[..., 0] ** 2).mean().requires_grad)
    slopes = tensor(slopes)
    stderr = slopes.std() / math.sqrt(len(slopes))
    assert abs(slopes.mean() - (1 + 2 * 3)) < 4 * stderr
    assert not any(plain)


def test_the_baseline_leaves_the_gradient_unbiased_and_takes_variance_off():
    mean = tensor(0.5).requires_grad_()
    law = Gaussian(mean, tensor(1.0))
    slopes = {"with": [], "without": []}
    for seed in range(200):
        x, _ = draw(law, 50, seed)
        log_p, values = law.log_prob(x), 10 + x[..., 0]
        for name, weighted in (
            ("with", with_score_gradient(values, log_p)),
            ("without", values * torch.exp(log_p - log_p.detach())),
        ):
            slopes[name].append(torch.autograd.grad(weighted.mean(), mean, retain_graph=True)[0].item())
    found = {name: tensor(s) for name, s in slopes.items()}
    for s in found.values():
        assert abs(s.mean() - 1) < 4 * s.std() / math.sqrt(len(s))
    assert found["with"].std() < 0.25 * found["without"].std()


def test_weights_are_one_in_value():
    x = torch.randn(10, 3, dtype=float64)
    assert torch.equal(with_score_gradient(x, x.clone().requires_grad_()).detach(), x)


def test_a_pure_function_of_the_draws_can_be_mapped():
    """Draws come first; what is computed from them has no random operation and works inside torch.func transforms."""
    x, _ = draw(Gaussian(0.0, 1.0), 100, 0)
    means = torch.linspace(-1, 1, 5, dtype=float64)

    def surprise(mean):
        values = -td.Normal(mean, 1.0, validate_args=False).log_prob(x[..., 0])
        return sample_mean(with_score_gradient(values, values), ["s"]).value

    mapped = torch.func.vmap(surprise)(means)
    assert torch.allclose(mapped, torch.stack([surprise(m) for m in means]))


# -- what is trusted --------------------------------------------------------------------------------------------------


def test_light_tails_are_trusted():
    values = torch.randn(10_000, 2, generator=torch.Generator().manual_seed(0), dtype=float64)
    found = sample_mean(values, ["s"])
    assert found.kind == "estimate" and found.info["effective_sample_size"] > 5000


def test_a_heavy_tail_is_not_trusted():
    values = td.Pareto(tensor(1.0), tensor(0.6)).sample((10_000,))
    found = sample_mean(values, ["s"])
    assert found.kind == "unknown" and found.info["largest_share"] > 0.05
    assert "cannot be trusted" in found.info["reason"]
    lower, upper = found.interval()
    assert lower == -math.inf and upper == math.inf


def test_rare_events_are_not_trusted():
    values = torch.zeros(10_000, dtype=float64)
    values[:30] = 1.0
    assert sample_mean(values, ["s"]).kind == "unknown"


def test_constants_are_not_trusted_unless_they_are_bounded():
    assert sample_mean(torch.ones(100, dtype=float64), ["s"]).kind == "unknown"
    zero = sample_mean(torch.zeros(1000, dtype=float64), ["s"])
    assert zero.kind == "unknown" and zero.error > 0
    bounded = sample_mean(torch.zeros(1000, dtype=float64), ["s"], bound=1.0)
    assert bounded.kind == "estimate" and bounded.interval(0.95)[1].item() == pytest.approx(0.003, rel=0.01)


def test_an_infinite_draw_makes_the_mean_infinite():
    values = torch.ones(1000, 2, dtype=float64)
    values[3, 0] = math.inf
    found = sample_mean(values, ["s"])
    assert found.value.tolist() == [math.inf, 1.0]
    assert "q = 0" in found.info["reason"] and torch.isfinite(found.stderr).all()


def test_nan_is_not_averaged():
    values = torch.ones(100, dtype=float64)
    values[5] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        sample_mean(values, ["s"])


def test_intervals_cover():
    """400 replications of a 95 % interval: the number that cover is binomial, 380 -+ 4.4; the band is 4 deviations."""
    law = GaussianMixture(torch.full((400, 2), 0.5, dtype=float64), tensor([-1.0, 2.0]).expand(400, 2), 1.0)
    found = expectation_by_sampling(law, lambda x: x[..., 0].cos(), n_samples=400, generator=11, units="1")
    truth = 0.5 * math.exp(-0.5) * (math.cos(1.0) + math.cos(2.0))
    lower, upper = found.interval(0.95)
    covered = int(((lower <= truth) & (truth <= upper)).sum())
    assert 362 <= covered <= 398


@pytest.mark.parametrize("index", [0.2, 0.5, 0.8])
def test_the_tail_index_is_found(index):
    values = td.Pareto(tensor(1.0), tensor([1 / index] * 30)).sample((10_000,))
    found = tail_index(values)
    assert abs(found.mean() - index) < 0.12 and found.std() < 0.2


def test_ratios_without_a_variance_are_not_trusted_even_if_no_draw_dominates():
    """exp(x^2 / 4) under N(0, 1.95) has a mean and no variance; most sets of draws show no dominating one."""
    for seed in range(5):
        x, _ = draw(Gaussian(0.0, 1.95), 10_000, seed)
        found = sample_mean((0.2436 * x[..., 0] ** 2).exp(), ["s"], ratios=True)
        assert found.kind == "unknown" and found.info["tail_index"] > 0.6
    assert sample_mean((0.05 * x[..., 0] ** 2).exp(), ["s"], ratios=True).kind == "estimate"


def test_a_divergence_below_zero_says_that_the_draws_missed_mass():
    p, q = GaussianMixture([1 - 1e-4, 1e-4], [[0.0], [60.0]], [[[1.0]], [[1.0]]]), Gaussian(0.0, 1.0)
    found = kl(p, q, method="monte-carlo", n_samples=1000, generator=0)
    assert found.value < 0 and found.kind == "unknown" and "missed" in found.info["reason"]
    tiny = GaussianMixture([1 - 1e-12, 1e-12], [[0.0], [60.0]], [[[1.0]], [[1.0]]])
    assert kl(tiny, q, method="monte-carlo", n_samples=1000, generator=0).kind == "unknown"
    for order in (0.3, 0.7, 2.0):
        assert renyi(p, q, order, method="monte-carlo", n_samples=1000, generator=0).kind == "unknown"
    assert chi2(p, q, method="monte-carlo", n_samples=1000, generator=0).kind == "unknown"
    # bounded integrands: the rule of three
    found = total_variation(p, q, method="monte-carlo", n_samples=1000, generator=0)
    low, high = found.interval(0.95)
    assert found.kind == "estimate" and low < 1e-4 < high


def test_draws_that_all_agree_have_no_standard_error():
    """A law with a rare atom: not one draw in a hundred thousand sees it."""
    p, q = Discrete([1 - 1e-9, 1e-9]), Discrete([0.5, 0.5])
    found = kl(p, q, method="monte-carlo", n_samples=1000, generator=0)
    assert found.kind == "unknown" and "one value" in found.info["reason"]


def test_rounding_of_the_logarithms_is_part_of_the_error():
    values = torch.linspace(-1, 1, 1000, dtype=torch.float64)
    found = sample_mean(values, ["s"], noise=torch.full_like(values, 1e-3))
    assert found.error.item() >= 1e-3
    assert sample_mean(1e-4 * values, ["s"], noise=torch.full_like(values, 1e-3)).kind == "unknown"
