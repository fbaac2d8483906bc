"""Pairwise bounds against exact entropies of mixtures, the definition by scipy, and what they say of the population."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

import infotherm as it
from infotherm.estimators.pairwise import KolchinskyTracey

HALF_LOG = 0.5 * math.log(2 * math.pi * math.e)


def normal(n, dim, seed=0):
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_scipy(x, cov):
    """Kolchinsky and Tracey's bounds for a full covariance of the noise."""
    n, dim = x.shape
    squares = cdist(x, x, "mahalanobis", VI=np.linalg.inv(cov)) ** 2
    constant = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.asarray(cov))[1] + math.log(n)
    lower, upper = (constant - logsumexp(-squares / a, axis=1).mean() for a in (8, 2))
    off = squares + np.where(np.eye(n), np.inf, 0)
    others = constant + math.log((n - 1) / n) - logsumexp(-off / 2, axis=1).mean()
    return lower, upper, others


COV = [[0.5, 0.2, 0.0], [0.2, 0.4, 0.1], [0.0, 0.1, 0.3]]


@pytest.mark.parametrize("noise", [0.3, [0.5, 0.4, 0.3], COV])
def test_bounds_are_their_definition(noise):
    x = 2 + normal(200, 3)
    cov = np.asarray(noise) if np.ndim(noise) == 2 else np.diag(np.broadcast_to(noise, 3))
    lower, upper, others = by_scipy(x.numpy(), cov)
    bound = KolchinskyTracey(noise).estimate(x)
    assert bound.kind == "upper" and bound.info["lower"].kind == "lower" and bound.info["upper"].kind == "upper"
    assert float(bound) == pytest.approx(others, abs=1e-11)
    assert float(bound.info["lower"]) == pytest.approx(lower, abs=1e-11)
    assert float(bound.info["upper"]) == pytest.approx(upper, abs=1e-11)


@pytest.mark.parametrize("dim, n, variance", [(1, 1, 0.2), (1, 2, 0.7), (1, 30, 0.5), (1, 30, 1e-3), (2, 6, 0.5)])
def test_exact_entropy_of_the_mixture_lies_between(dim, n, variance):
    x = normal(n, dim)
    weights = torch.full((n,), 1 / n, dtype=torch.float64)
    exact = it.entropy(it.GaussianMixture(weights, x, torch.full((n,), variance, dtype=torch.float64)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = KolchinskyTracey(variance).estimate(x).info
    low, high = info["lower"], info["upper"]
    assert float(low) - float(low.error) <= float(exact) + float(exact.error)
    assert float(high) + float(high.error) >= float(exact) - float(exact.error)
    swapped = float(high) <= float(exact) - float(exact.error)  # the planted bug: upper and lower exchanged
    assert n == 1 or not swapped and float(low) < float(high)


def test_without_the_kernel_of_a_point_with_itself_the_definition_fails():
    """The planted bug: sums over others only, divided by N. For separated points it is not bounded by c + log N."""
    x = normal(50, 1) * 1e3
    info = KolchinskyTracey(1e-4).estimate(x).info
    ceiling = HALF_LOG + 0.5 * math.log(1e-4) + math.log(50)
    assert float(info["lower"]) == pytest.approx(ceiling, abs=1e-12)
    assert float(info["upper"]) == pytest.approx(ceiling, abs=1e-12)
    _, _, others = by_scipy(x.numpy(), [[1e-4]])
    assert others > ceiling + 1


def test_one_sample_is_a_gaussian():
    with pytest.warns(UserWarning, match="too few"):
        bound = KolchinskyTracey(0.2).estimate([[1.0, 5.0]])
    assert bound.kind == "unknown"
    for number in (bound, bound.info["lower"], bound.info["upper"]):
        assert float(number) == pytest.approx(2 * HALF_LOG + math.log(0.2), abs=float(number.error))


def test_duplicates_are_legal():
    x = normal(40, 2)
    doubled = KolchinskyTracey(0.1).estimate(torch.cat([x, x])).info
    single = KolchinskyTracey(0.1).estimate(x).info
    for name in ("lower", "upper"):
        assert float(doubled[name]) == pytest.approx(float(single[name]), abs=1e-11)


@pytest.mark.parametrize("scale, variance, shift", [(1e6, 1e-12, 0.0), (1.0, 0.3, 1e8), (1e-12, 1e-24, 0.0)])
def test_extreme_scales(scale, variance, shift):
    """The stated error holds against the definition on the samples as they are stored."""
    x = normal(60, 2) * scale + shift
    info = KolchinskyTracey(variance).estimate(torch.cat([x, x])).info
    exact = x - x[0]  # differences of neighbouring doubles are exact
    lower, upper, _ = by_scipy(torch.cat([exact, exact]).numpy() / math.sqrt(variance), np.eye(2))
    for name, value in (("lower", lower), ("upper", upper)):
        wanted = value + math.log(variance)
        assert abs(float(info[name]) - wanted) <= float(info[name].error) + 1e-12 * abs(wanted)
        assert float(info[name].error) < 0.1


@pytest.mark.parametrize("dim, n", [(1, 500), (100, 800), (1000, 100)])
def test_single_precision_within_its_stated_error(dim, n):
    x = 3 + normal(n, dim)
    double = KolchinskyTracey(dim / 40).estimate(x)
    single = KolchinskyTracey(dim / 40, precision="float32", tolerance=0.1).estimate(x)
    assert single.info["arithmetic"] == "float32" and double.info["arithmetic"] == "float64"
    pairs = [(single, double), *((single.info[k], double.info[k]) for k in ("lower", "upper"))]
    for ours, truth in pairs:
        assert abs(float(ours) - float(truth)) <= float(ours.error)
    strict = KolchinskyTracey(dim / 40, precision="float32", tolerance=1e-9).estimate(x)
    assert strict.info["arithmetic"] == "float64" and float(strict) == float(double)


@pytest.mark.parametrize("variance, dim", [(0.5, 1), (0.5, 3), (0.05, 2)])
def test_population_bounds_hold_on_average_and_with_their_confidence(variance, dim):
    """40 replications at N = 200: means on their sides of the truth (4 standard errors), at most 7 misses at 95 %.

    A correct bound whose mean is the truth misses more than 7 times of 40 with probability 2e-3; these are not tight.
    """
    truth = dim * (HALF_LOG + 0.5 * math.log(1 + variance))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bounds = [KolchinskyTracey(variance).estimate(normal(200, dim, seed=s)) for s in range(40)]
    upper, lower = np.array([[float(b), float(b.info["population_lower"])] for b in bounds]).T
    assert upper.mean() + 4 * upper.std() / math.sqrt(40) >= truth
    assert lower.mean() - 4 * lower.std() / math.sqrt(40) <= truth
    assert sum(float(b.upper_limit(0.05)) < truth for b in bounds if b.kind == "upper") <= 7
    assert sum(float(b.info["population_lower"].lower_limit(0.05)) > truth for b in bounds) <= 7


@pytest.mark.parametrize("variance", [0.5, 0.05])
def test_standard_errors_are_the_spread_over_replications(variance):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bounds = [KolchinskyTracey(variance).estimate(normal(300, 2, seed=s)) for s in range(60)]
    for pick in (lambda b: b, lambda b: b.info["population_lower"]):
        spread = np.std([float(pick(b)) for b in bounds], ddof=1)
        stated = np.mean([float(pick(b).stderr) for b in bounds])
        assert 0.75 * spread < stated < 2 * spread  # the spread itself is known to 9 %


def test_information_is_the_entropy_less_that_of_the_noise():
    x = normal(300, 2)
    entropy, information = KolchinskyTracey(0.3).estimate(x), KolchinskyTracey(0.3).information(x)
    noise = 2 * HALF_LOG + math.log(0.3)
    assert float(information) == pytest.approx(float(entropy) - noise, abs=1e-12)
    assert float(information.info["upper"]) == pytest.approx(float(entropy.info["upper"]) - noise, abs=1e-12)
    kernel = KolchinskyTracey(0.3, kernel_variance=0.2)
    assert float(kernel.information(x)) == pytest.approx(float(kernel.estimate(x)) - noise, abs=1e-12)
    with pytest.raises(ValueError, match="infinite"):
        KolchinskyTracey(0.0, kernel_variance=0.1).information(x)


def test_kernel_variances_add_and_the_fitted_one_is_likeliest():
    x = normal(300, 2)
    both, one = KolchinskyTracey(0.3, kernel_variance=0.2).estimate(x), KolchinskyTracey(0.5).estimate(x)
    assert float(both) == pytest.approx(float(one), abs=1e-12)
    cov = torch.diag(torch.tensor([0.3, 0.3], dtype=torch.float64))
    assert float(KolchinskyTracey(cov, kernel_variance=0.2).estimate(x)) == pytest.approx(float(one), abs=1e-11)
    fitted = KolchinskyTracey(0.0, kernel_variance="likelihood").estimate(x).info["kernel_variance"]

    def likelihood(v):
        squares = (x[:, None] - x).square().sum(-1).fill_diagonal_(math.inf)
        return float((-squares / (2 * v)).logsumexp(1).mean()) - math.log(v)

    assert likelihood(fitted) >= max(likelihood(fitted * f) for f in (0.8, 0.97, 1.03, 1.25))
    noisy = KolchinskyTracey(0.1, kernel_variance="likelihood").estimate(x)
    assert noisy.info["kernel_variance"] == pytest.approx(fitted, rel=1e-12)
    with pytest.raises(ValueError, match="duplicates"):
        KolchinskyTracey(0.1, kernel_variance="likelihood").estimate(torch.cat([x, x]))


def test_invariances():
    x = normal(200, 3)
    value = float(KolchinskyTracey(0.5).estimate(x))
    rotation = torch.linalg.qr(normal(3, 3, seed=5)).Q
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    for moved in (x + 1000, -x, x @ rotation, x[order]):
        assert float(KolchinskyTracey(0.5).estimate(moved)) == pytest.approx(value, abs=1e-10)
    assert float(KolchinskyTracey(2.0).estimate(2 * x)) == pytest.approx(value + 3 * math.log(2), abs=1e-11)
    assert "rotation" in KolchinskyTracey(0.5).tags.invariances
    assert "rotation" not in KolchinskyTracey([0.5, 0.2]).tags.invariances


def test_containers():
    x = normal(50, 2)
    value = float(KolchinskyTracey(0.5).estimate(x))
    assert float(KolchinskyTracey(0.5).estimate(x.numpy())) == value
    assert float(KolchinskyTracey(0.5).estimate(x.tolist())) == value
    assert float(KolchinskyTracey(0.5).estimate(x.float())) == pytest.approx(value, abs=1e-5)


def test_heavy_tails_are_not_trusted():
    x = torch.tan(math.pi * (torch.rand(500, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5))
    with pytest.warns(UserWarning, match="heavy tails"):
        bound = KolchinskyTracey(0.1).estimate(x)
    assert bound.kind == "unknown" and "heavy" in bound.info["warning"]


def test_distances_that_overflow():
    """Beyond 1e154 noise units a squared distance is no number: the bounds of these samples are, the others unknown."""
    x = normal(20, 2) * 1e200
    with pytest.warns(UserWarning, match="overflow"):
        bound = KolchinskyTracey(1.0).estimate(x)
    assert bound.kind == "unknown"
    for name in ("lower", "upper"):
        assert float(bound.info[name]) == pytest.approx(2 * HALF_LOG + math.log(20), abs=float(bound.info[name].error))
        assert float(bound.info[name].error) < 1e-12
    twins = KolchinskyTracey(1.0).estimate(torch.cat([x, x]))  # their rounding is far above the noise
    assert twins.kind == "upper" and float(twins.stderr) == float(twins.error) == math.inf


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"noise_variance": 0.0}, "positive"),
        ({"noise_variance": -1.0, "kernel_variance": 1.0}, ">= 0"),
        ({"noise_variance": 1.0, "precision": "half"}, "precision"),
        ({"noise_variance": 1.0, "tolerance": 0.0}, "tolerance"),
        ({"noise_variance": 1.0, "kernel_variance": "best"}, "kernel_variance"),
        ({"noise_variance": 1.0, "kernel_variance": -1.0}, "kernel_variance"),
        ({"noise_variance": torch.ones(1, 1, 1)}, "shape"),
        ({"noise_variance": math.nan}, "finite"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        KolchinskyTracey(**settings)


def test_noise_of_another_size_or_singular():
    with pytest.raises(ValueError, match="shape"):
        KolchinskyTracey([1.0, 2.0]).estimate(normal(20, 3))
    with pytest.raises(ValueError, match="positive definite"):
        KolchinskyTracey(torch.ones(2, 2, dtype=torch.float64)).estimate(normal(20, 2))
