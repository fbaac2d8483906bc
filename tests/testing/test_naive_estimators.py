"""Functions wrapped without a word on what they claim: defects are found all the same, right ones are left alone."""

import functools

import numpy as np
import pytest
from scipy.special import digamma

from infotherm.core.estimate import Estimate
from infotherm.testing import as_estimator, check_estimator, laws
from tests.testing.plain import (
    counted_entropy,
    counted_information,
    distances,
    gaussian,
    gaussian_entropy,
    kozachenko,
    ksg,
    neighbour_kl,
)

MI, CMI = "mutual_information", "conditional_mutual_information"
LABELS = {"data": ("discrete",)}


def conditional(x, y, z, k=3):
    """Frenzel and Pompe."""
    dx, dy, dz = map(distances, (x, y, z))
    radius = np.sort(np.maximum(np.maximum(dx, dy), dz), axis=1)[:, k][:, None]
    counts = [(d < radius).sum(1) for d in (dz, np.maximum(dx, dz), np.maximum(dy, dz))]
    return digamma(k) + (digamma(counts[0]) - digamma(counts[1]) - digamma(counts[2])).mean()


def counted_conditional(x, y, z):
    columns = [np.hstack([x, z]), np.hstack([y, z]), z, np.hstack([x, y, z])]
    return sum(sign * counted_entropy(c) for sign, c in zip((1, 1, -1, -1), columns, strict=True))


def neighbour_terms(x, k=3):
    radius = np.sort(distances(x), axis=1)[:, k]
    return digamma(len(x)) - digamma(k) + x.shape[1] * np.log(2 * radius)


def with_error(x):
    terms = neighbour_terms(x)
    return terms.mean(), terms.std(ddof=1) / np.sqrt(len(x))


# -- defects -----------------------------------------------------------------------------------------------------------


def half_the_error(x):
    value, stderr = with_error(x)
    return value, stderr / 2


def half_the_error_stated(x):
    value, stderr = half_the_error(x)
    return Estimate(value, stderr=stderr, kind="estimate", method="sample-based")


def said_to_be_exact(x):
    return Estimate(counted_entropy(x), error=1e-12, kind="exact", method="closed-form")


def without_any_error(x):
    return Estimate(kozachenko(x), kind="exact", method="closed-form")


def said_to_be_below(x, y):
    return Estimate(ksg(x, y) + 0.4, stderr=0.05, kind="lower", method="variational")


def jitter(x, y):
    noise = np.random.default_rng()
    return ksg(x + 1e-8 * x.std() * noise.normal(size=x.shape), y)


def jitter_of_ties(x, y):
    if len(np.unique(x, axis=0)) < len(x):
        x = x + 1e-8 * x.std() * np.random.standard_normal(x.shape)  # noqa: NPY002
    return ksg(x, y)


def clipped_above(x, y):
    return min(3.0, ksg(x, y))


def clipped_divergence(x, y):
    return max(0.0, neighbour_kl(x, y))


def in_sorted_order(x, y, k=3):
    """Counts between x - radius and x + radius: the ends round."""
    if x.shape[1] > 1 or y.shape[1] > 1:
        return ksg(x, y)
    radius = np.sort(np.maximum(distances(x), distances(y)), axis=1)[:, k]
    counts = []
    for a in (x[:, 0], y[:, 0]):
        ascending = np.sort(a)
        counts.append(np.searchsorted(ascending, a + radius) - np.searchsorted(ascending, a - radius, "right"))
    return digamma(k) + digamma(len(x)) - sum(digamma(np.maximum(c, 1)) for c in counts).mean()


def margins_only(x):
    return sum(kozachenko(x[:, i : i + 1]) for i in range(x.shape[1]))


def pairs_only(x, y):
    return sum(ksg(x[:, i : i + 1], y[:, j : j + 1]) for i in range(x.shape[1]) for j in range(y.shape[1]))


def first_of_the_condition(x, y, z):
    return conditional(x, y, z[:, :1])


def first_label_of_the_condition(x, y, z):
    return counted_conditional(x, y, z[:, :1])


def linear_condition(x, y, z):
    return gaussian(x, y, z)


def both_ways(x, y):
    return (neighbour_kl(x, y) + neighbour_kl(y, x)) / 2


def the_other_way(x, y):
    return neighbour_kl(y, x)


@pytest.mark.parametrize(
    ("defect", "quantity", "law", "tags"),
    [
        (half_the_error, "entropy", "interval-coverage", None),
        (half_the_error_stated, "entropy", "interval-coverage", None),
        (said_to_be_exact, "entropy", "interval-coverage", LABELS),
        (without_any_error, "entropy", "result-form", None),
        (said_to_be_below, MI, "lower-bound", None),
        (jitter, MI, "repeatability", None),
        (jitter_of_ties, MI, "global-randomness-untouched", None),
        (clipped_above, MI, "no-clipping", None),
        (clipped_divergence, "kl", "no-clipping", None),
        (in_sorted_order, MI, "common-scale", {"most_dimensions": 1}),
        (margins_only, "entropy", "bias", None),
        (pairs_only, MI, "bias", None),
        (first_of_the_condition, CMI, "coordinate-permutation", None),
        (first_label_of_the_condition, CMI, "coordinate-permutation", LABELS),
        (linear_condition, CMI, "bias", None),
        (both_ways, "kl", "asymmetry", None),
        (the_other_way, "kl", "bias", None),
    ],
    ids=lambda part: getattr(part, "__name__", None),
)
def test_defects_of_functions_that_claim_nothing(defect, quantity, law, tags):
    (result,) = check_estimator(as_estimator(defect, quantity, tags=tags), quantity, laws=[law]).results
    assert result.status == "failed", result.reason


LIMITS = {  # what the textbook's functions do not promise: to find hostile samples out
    "ties", "duplicated-samples", "unequal-scales", "near-determinism", "constant-coordinate", "nonfinite-samples",
    "too-few-samples", "same-samples-twice", "unequal-samples", "no-coordinates",
}  # fmt: skip


QUICK = (
    "repeatability", "asymmetry", "coordinate-permutation", "common-scale", "entropy-scale", "no-clipping",
    "interval-coverage", "kl-of-equals",
)  # fmt: skip


@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["quick", "100 seeds"])
@pytest.mark.parametrize(
    ("function", "quantity", "tags"),
    [
        (ksg, MI, None),
        (functools.partial(ksg, k=5), MI, None),
        (conditional, CMI, None),
        (kozachenko, "entropy", None),
        (with_error, "entropy", None),
        (neighbour_kl, "kl", None),
        (counted_information, MI, LABELS),
        (counted_conditional, CMI, LABELS),
        (counted_entropy, "entropy", LABELS),
    ],
    ids=lambda part: getattr(getattr(part, "func", part), "__name__", None),
)
def test_correct_functions_that_claim_nothing(function, quantity, tags, thorough):
    chosen = laws.names(quantity) if thorough else [name for name in QUICK if name in laws.names(quantity)]
    for seed in range(100) if thorough else (1,):
        report = check_estimator(as_estimator(function, quantity, tags=tags), quantity, seed=seed, laws=chosen)
        broken = {result.law: result.reason for result in report.results if result.status == "failed"}
        assert not broken.keys() - LIMITS, (seed, broken)


def test_a_failure_beyond_gaussian_samples_names_the_claim_that_was_tried():
    report = check_estimator(as_estimator(gaussian_entropy, "entropy"), laws="bias")
    (result,) = report.results
    assert "not Gaussian: the tags claim consistent_for 'any'" in result.reason
    assert check_estimator(
        as_estimator(gaussian_entropy, "entropy", tags={"consistent_for": "gaussian"}), laws="bias"
    ).passed
