"""Every robustness law catches silence, and accepts the right number, an error, a warning or kind "unknown"."""

import math
import warnings

import numpy as np
import pytest
from scipy.special import digamma

from infotherm.core.estimate import Estimate
from infotherm.estimators import KSG, GaussianPlugIn, KozachenkoLeonenko
from infotherm.testing import as_estimator, check_estimator, laws
from infotherm.testing.adapters import as_subject
from infotherm.testing.answers import ask, right_or_cautious
from infotherm.testing.law import Broken
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

ROBUST = laws.names(sort="robustness")
CONDITIONAL = "conditional_mutual_information"
INFORMATION = "mutual_information"
DISCRETE = {"data": ("discrete",), "invariances": ()}


def names(quantity):
    return [name for name in laws.names(quantity) if name in ROBUST]


@pytest.mark.parametrize(
    ("est", "quantity"),
    [
        (KSG(), INFORMATION),
        (KSG(), CONDITIONAL),
        (KozachenkoLeonenko(), "entropy"),
        (GaussianPlugIn(), INFORMATION),
        (GaussianPlugIn(), CONDITIONAL),
        (GaussianPlugIn(), "entropy"),
    ],
)
def test_our_own(est, quantity):
    report = check_estimator(est, quantity, laws=names(quantity))
    assert report.passed, str(report)


def careful(function, least=10):
    """The function behind a wall of checks: what the laws ask of a stranger's estimator."""

    def checked(*arrays):
        for array in arrays:
            if array.ndim != 2 or array.shape[1] == 0 or len(array) < least or not np.isfinite(array).all():
                raise ValueError(f"samples must be finite, of shape (N, D) with N >= {least}; got {array.shape}")
            if (array.max(0) == array.min(0)).any():
                raise ValueError("constant coordinate")
            if any(len(np.unique(column)) < 0.9 * len(column) for column in array.T):
                warnings.warn("values repeat", stacklevel=2)
        if function is not neighbour_kl and len({len(array) for array in arrays}) > 1:
            raise ValueError("unequal numbers of samples")
        if function is neighbour_kl and (arrays[0].shape[1] != arrays[1].shape[1] or arrays[0] is arrays[1]):
            raise ValueError("p and q must be of one dimension, and sampled independently")
        return function(*arrays)

    checked.__name__ = f"careful_{function.__name__}"
    return checked


def standardised(x, y):
    """Each argument brought to one scale: their units do not matter."""
    return ksg(x / x.std(0), y / y.std(0))


@pytest.mark.parametrize(
    ("function", "quantity"),
    [(gaussian, INFORMATION), (standardised, INFORMATION), (gaussian_entropy, "entropy"), (neighbour_kl, "kl")],
)
def test_careful_strangers(function, quantity):
    tags = {"consistent_for": "gaussian"} if "gaussian" in function.__name__ else {}
    report = check_estimator(as_estimator(careful(function), quantity, tags=tags), laws=names(quantity))
    assert report.passed, str(report)
    assert report.counts["passed"] >= 9


def test_labels():
    for function, quantity in ((counted_information, INFORMATION), (counted_entropy, "entropy")):
        est = as_estimator(careful_labels(function), quantity, tags=DISCRETE)
        report = check_estimator(est, laws=names(quantity))
        assert report.passed, str(report)


def careful_labels(function):
    def checked(*arrays):
        if not all(np.isfinite(array).all() and len(array) for array in arrays):
            raise ValueError("labels must be finite")
        if len({len(array) for array in arrays}) > 1:
            raise ValueError("unequal numbers of samples")
        return function(*arrays)

    return checked


# -- planted bugs ---------------------------------------------------------------------------------------------------


def ignores_nan(x, y):
    keep = np.isfinite(x).all(1) & np.isfinite(y).all(1)
    return gaussian(x[keep], y[keep])


def zero_for_few(x, y):
    return 0.0 if len(x) < 4 else ksg(x, y)


def cuts_to_the_shorter(x, y):
    n = min(len(x), len(y))
    return gaussian(x[:n], y[:n])


def pads_coordinates(x, y):
    width = min(x.shape[1], y.shape[1])
    return neighbour_kl(x[:, :width], y[:, :width])


def one_for_no_coordinates(x, y):
    return 1.0 if x.shape[1] == 0 else gaussian(x, y)


def jittered(intensity):
    def with_noise(*arrays):
        random = np.random.default_rng(0)
        return ksg(*(array + intensity * random.normal(size=array.shape) for array in arrays))

    return with_noise


def jittered_entropy(x):
    return kozachenko(x + 1e-10 * np.random.default_rng(0).normal(size=x.shape))


def silent_infinity(x, y):
    radius = np.sort(np.abs(x - x.T), axis=1)[:, 3]
    with np.errstate(divide="ignore"):
        return ksg(x[:, :1], y) - np.log(radius).mean() + np.log(radius.clip(1e-300)).mean()


def inclusive_below_rounding(x, y):
    n = len(x)
    dx, dy = distances(x), distances(y)
    radius = np.sort(np.maximum(dx, dy), axis=1)[:, 3][:, None] - 1e-15
    return digamma(3) + digamma(n) - sum(digamma((d <= radius).sum(1).clip(1)) for d in (dx, dy)).mean()


def gram_kozachenko(x):
    square = (x**2).sum(1)
    squares = square[:, None] + square[None, :] - 2 * x @ x.T
    radius = np.sqrt(np.sort(squares, axis=1)[:, 3].clip(1e-300))
    return digamma(len(x)) - digamma(3) + np.log(np.pi) + 2 * np.log(radius).mean()


def capped(x, y):
    return min(gaussian(x, y), 2.0)


def moments_overflow(x, y):
    return gaussian(np.exp(x), y)


def third_constant_ignored(x, y):
    return 0.2 if y.std() == 0 else gaussian(x, y)


BROKEN = [
    ("nonfinite-samples", ignores_nan, INFORMATION),
    ("too-few-samples", zero_for_few, INFORMATION),
    ("no-coordinates", one_for_no_coordinates, INFORMATION),
    ("unequal-samples", cuts_to_the_shorter, INFORMATION),
    ("unequal-samples", pads_coordinates, "kl"),
    ("constant-coordinate", third_constant_ignored, INFORMATION),
    ("constant-coordinate", jittered_entropy, "entropy"),
    ("ties", silent_infinity, INFORMATION),
    ("ties", ksg, INFORMATION),
    ("ties", jittered_entropy, "entropy"),
    ("ties", neighbour_kl, "kl"),
    ("duplicated-samples", ksg, INFORMATION),
    ("duplicated-samples", kozachenko, "entropy"),
    ("duplicated-samples", neighbour_kl, "kl"),
    ("same-samples-twice", neighbour_kl, "kl"),
    ("tiny-scale", jittered(1e-10), INFORMATION),
    ("tiny-scale", jittered_entropy, "entropy"),
    ("huge-scale", inclusive_below_rounding, INFORMATION),
    ("unequal-scales", ksg, INFORMATION),
    ("far-offset", gram_kozachenko, "entropy"),
    ("heavy-tails", moments_overflow, INFORMATION),
    ("near-determinism", capped, INFORMATION),
    ("near-determinism", jittered(0.05), INFORMATION),
    ("near-determinism", kozachenko, "entropy"),
]


@pytest.mark.parametrize(("law", "bug", "quantity"), BROKEN, ids=lambda part: getattr(part, "__name__", None))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_planted_bugs(law, bug, quantity):
    (result,) = check_estimator(as_estimator(bug, quantity), laws=[law]).results
    assert result.status == "failed", result.reason


# -- what counts as a word of caution -------------------------------------------------------------------------------


def answers(estimate):
    return as_subject(as_estimator(lambda x, y: estimate()))


def warned(category=UserWarning, text="few samples"):
    def estimate():
        warnings.warn(text, category, stacklevel=1)
        return 0.5

    return estimate


def test_words_of_caution():
    assert ask(answers(lambda: 1 / 0), [1.0], [1.0]).caution == "ZeroDivisionError: division by zero"
    assert ask(answers(warned()), [1.0], [1.0]).caution == "warned: few samples"
    assert ask(answers(lambda: Estimate(0.5, kind="unknown")), [1.0], [1.0]).caution == "kind 'unknown'"
    for silent in (
        lambda: 0.5,
        warned(DeprecationWarning),
        warned(RuntimeWarning, "divide by zero encountered in log"),
    ):
        answer = ask(answers(silent), [1.0], [1.0])
        assert answer.caution == "" and answer.value == 0.5


def test_right_numbers():
    def judged(estimate, truth):
        return right_or_cautious(answers(lambda: estimate), ([1.0], [1.0]), "case", truth=truth, tolerance=0.1)

    for estimate, truth in (
        (0.5, 0.55),
        (math.inf, math.inf),
        (Estimate(0.2, kind="lower"), 0.9),
        (Estimate(2.0, kind="upper"), 0.9),
        ((0.5, 0.3), 1.0),
        (Estimate(0.2, error=1.0, kind="estimate"), 0.9),
        (Estimate(0.2, kind="unknown"), 0.9),
    ):
        assert judged(estimate, truth).startswith("case: ")
    for estimate, truth in (
        (0.5, 0.65),
        (math.inf, 0.5),
        (math.nan, 0.5),
        (Estimate(1.2, kind="lower"), 0.9),
        (Estimate(0.5, kind="upper"), 0.9),
        ((0.5, 0.01), 1.0),
    ):
        with pytest.raises(Broken, match="silently .* where .* is right"):
            judged(estimate, truth)


def test_samples_of_symbols_have_the_truth_as_their_plug_in():
    from infotherm.testing.robustness_laws import _symbols

    random = np.random.default_rng(0)
    for symbols, flip in ((2, 0.1), (5, 0.2)):
        arrays, truth = _symbols(INFORMATION, symbols, flip, 400, random)
        assert len(arrays[0]) == 400 and counted_information(*arrays) == pytest.approx(truth, abs=1e-12)
        x, y, z = _symbols(CONDITIONAL, symbols, flip, 400, random)[0]
        joint = counted_entropy(np.hstack([x, z])) + counted_entropy(np.hstack([y, z]))
        assert joint - counted_entropy(np.hstack([x, y, z])) - counted_entropy(z) == pytest.approx(truth, abs=1e-12)
        (p, q), divergence = _symbols("kl", symbols, flip, 400, random)
        shares = [np.unique(a, return_counts=True)[1] / len(a) for a in (p, q)]
        assert (shares[0] * np.log(shares[0] / shares[1])).sum() == pytest.approx(divergence, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("est", "quantity"),
    [
        (GaussianPlugIn(), INFORMATION),
        (GaussianPlugIn(), "entropy"),
        (as_estimator(careful(standardised)), INFORMATION),
    ],
)
def test_no_false_alarm_in_200_seeds(est, quantity):
    """Chance has no part in the exact laws, and less than 1e-8 in the others: no failure at all is allowed."""
    chosen = laws.names(quantity, "exact") + laws.names(quantity, "robustness")
    for seed in range(200):
        report = check_estimator(est, quantity, seed=seed, laws=chosen)
        assert report.passed, f"seed {seed}: {report}"
