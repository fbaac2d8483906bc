"""Every exact law passes the estimators that obey it and catches a bug planted against it."""

import numpy as np
import pytest

from infotherm.estimators import KSG, GaussianPlugIn, KozachenkoLeonenko
from infotherm.testing import as_estimator, check_estimator, laws
from tests.testing.plain import (
    counted_entropy,
    counted_information,
    gaussian,
    gaussian_entropy,
    kozachenko,
    ksg,
    neighbour_kl,
)

EXACT = [name for name in laws.names(sort="exact") if laws.get(name).check.__module__.endswith("exact_laws")]
LINEAR = {"invariances": {"shift", "reflection", "common-scale", "coordinate-scale", "rotation", "linear"}}
DISCRETE = {"data": ("discrete",), "invariances": ()}
CONDITIONAL = "conditional_mutual_information"

CORRECT = [
    as_estimator(gaussian, tags=LINEAR),
    as_estimator(gaussian, CONDITIONAL, tags=LINEAR, name="gaussian given z"),
    as_estimator(gaussian_entropy, "entropy", tags=LINEAR),
    as_estimator(ksg),
    as_estimator(kozachenko, "entropy"),
    as_estimator(neighbour_kl, "kl"),
    as_estimator(counted_information, tags=DISCRETE),
    as_estimator(counted_entropy, "entropy", tags=DISCRETE),
    KSG(),
    KozachenkoLeonenko(),
    GaussianPlugIn(),
]


@pytest.mark.parametrize("est", CORRECT, ids=repr)
def test_correct_estimators(est):
    report = check_estimator(est, laws=[name for name in EXACT if name in laws.names(quantity_of(est))])
    assert report.passed, str(report)
    assert report.counts["passed"] >= 2


def quantity_of(est):
    return getattr(est, "quantity", "entropy" if isinstance(est, KozachenkoLeonenko) else "mutual_information")


def test_rank_correlation_obeys_monotone_maps():
    def by_ranks(x, y):
        ranks = [np.argsort(np.argsort(a[:, 0])) for a in (x, y)]
        return -0.5 * np.log(1 - np.corrcoef(*ranks)[0, 1] ** 2)

    est = as_estimator(by_ranks, tags={"invariances": {"monotone"}, "most_dimensions": 1})
    assert check_estimator(est, laws=EXACT).counts["passed"] == 3  # symmetry and order of the rows beside it


def lopsided(x, y):
    return gaussian(x, y) + 0.05 * x.shape[1]


def ordered(x, y):
    return gaussian(x[: len(x) // 2], y[: len(y) // 2])


def first_coordinate(x, y):
    return gaussian(x, y) + 1e-6 * x[:, 0].std()


def uncentred(x, y):
    return -0.5 * np.log(1 - (x[:, 0] @ y[:, 0]) ** 2 / (x[:, 0] @ x[:, 0]) / (y[:, 0] @ y[:, 0]))


def one_sided(x, y):
    return gaussian(np.maximum(x, 0), y)


def epsilon(x, y):
    return -0.5 * np.log(1 - np.cov(x[:, 0], y[:, 0])[0, 1] ** 2 / (x[:, 0].var() * y[:, 0].var() + 1e-3))


def absolute_noise(x, y):
    return ksg(x + 1e-4 * np.random.default_rng(0).normal(size=x.shape), y)


def bits(x):
    return gaussian_entropy(x) / np.log(2)


def kozachenko_without_volume(x):
    return kozachenko(x) - (x.shape[1] - 1) * np.log(x.std())


def reversed_order(x, y):
    return neighbour_kl(x, y) + 1e-3 * np.log(x.std())


def both_ways(x, y):
    return neighbour_kl(x, y) + neighbour_kl(y, x)


def ordinal_labels(x, y):
    return counted_information(x, np.floor(y / 2))


BROKEN = [
    ("symmetry", lopsided, "mutual_information", LINEAR),
    ("asymmetry", both_ways, "kl", {}),
    ("row-permutation", ordered, "mutual_information", LINEAR),
    ("coordinate-permutation", first_coordinate, "mutual_information", LINEAR),
    ("shift", uncentred, "mutual_information", {}),
    ("reflection", one_sided, "mutual_information", {}),
    ("common-scale", epsilon, "mutual_information", {}),
    ("common-scale", absolute_noise, "mutual_information", {}),
    ("common-scale", reversed_order, "kl", {}),
    ("entropy-scale", bits, "entropy", {}),
    ("entropy-scale", kozachenko_without_volume, "entropy", {}),
    ("coordinate-scale", ksg, "mutual_information", LINEAR),
    ("rotation", kozachenko, "entropy", LINEAR),
    ("linear-map", kozachenko, "entropy", LINEAR),
    ("linear-map", bits, "entropy", LINEAR),
    ("monotone-map", ksg, "mutual_information", {"invariances": {"monotone"}}),
    ("relabelling", ordinal_labels, "mutual_information", DISCRETE),
]


@pytest.mark.parametrize(("law", "bug", "quantity", "tags"), BROKEN, ids=lambda part: getattr(part, "__name__", None))
def test_planted_bugs(law, bug, quantity, tags):
    (result,) = check_estimator(as_estimator(bug, quantity, tags=tags), laws=[law]).results
    assert result.status == "failed", result.reason


def test_evidence_says_what_was_found():
    (result,) = check_estimator(as_estimator(bits, "entropy"), laws="entropy-scale").results
    assert result.reason.startswith("factor 1024: 23.9") and "17.8" in result.reason and "expected" in result.reason


def test_claims_choose_the_laws():
    report = check_estimator(as_estimator(ksg, tags={"symmetric": False, "invariances": ()}), laws=EXACT)
    skipped = {result.law: result.reason for result in report.results if result.status == "skipped"}
    assert skipped["symmetry"] == "its tags do not claim symmetry"
    assert skipped["shift"] == "its tags do not claim the invariance 'shift'"
    trained = as_estimator(ordered, tags={"trains": True})
    assert check_estimator(trained, laws="row-permutation").counts["skipped"] == 1


def test_chance_moves_a_stochastic_estimator():
    def noisy(x, y, rng):
        return gaussian(x, y) + 0.01 * rng.normal() + 0.0 * x.sum()

    def noisy_and_lopsided(x, y, rng):
        return lopsided(x, y) + 1e-3 * rng.normal()

    def chosen(x, y, rng):
        return gaussian(*(a[rng.permutation(len(x))[:100]] for a in (x, y)))

    for function in (noisy, chosen):
        assert check_estimator(as_estimator(function), laws=["symmetry", "row-permutation", "shift"]).passed
    assert check_estimator(as_estimator(noisy_and_lopsided), laws="symmetry").failed


def test_labels_are_not_moved():
    def by_groups(x, y):
        assert set(np.unique(y)) <= {0.0, 1.0, 2.0}
        return gaussian(x, np.hstack([y == label for label in (1.0, 2.0)]).astype(float))

    est = as_estimator(by_groups, tags={"data": ("mixed",), "invariances": LINEAR["invariances"], "symmetric": False})
    report = check_estimator(est, laws=["shift", "common-scale", "linear-map", "row-permutation"])
    assert report.counts["passed"] == 4, str(report)
    with pytest.raises(KeyError, match="the report has no law 'symmetry'"):
        report["symmetry"]
