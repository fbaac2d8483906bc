"""Plain correct estimators, and copies of them with one planted defect each: what the suite of laws must tell apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.spatial import KDTree
from scipy.special import digamma, polygamma
from scipy.stats import norm

from infotherm.core.estimate import Estimate
from infotherm.testing import as_estimator

MI, CMI = "mutual_information", "conditional_mutual_information"


# -- correct ones ----------------------------------------------------------------------------------------------------


def neighbour_distance(points, k):
    return KDTree(points).query(points, k + 1, p=np.inf)[0][:, -1]


def closer(points, radius, *, inclusive=False):
    radius = radius if inclusive else np.nextafter(radius, 0)
    return KDTree(points).query_ball_point(points, radius, p=np.inf, return_length=True) - 1


def ksg(x, y, k=3):
    radius = neighbour_distance(np.hstack([x, y]), k)
    return digamma(len(x)) + digamma(k) - np.mean(digamma(closer(x, radius) + 1) + digamma(closer(y, radius) + 1))


def conditional_ksg(x, y, z, k=3):
    radius = neighbour_distance(np.hstack([x, y, z]), k)
    xz, yz = (closer(np.hstack([a, z]), radius) for a in (x, y))
    return digamma(k) - np.mean(digamma(xz + 1) + digamma(yz + 1) - digamma(closer(z, radius) + 1))


def kozachenko_leonenko(x, k=3):
    return digamma(len(x)) - digamma(k) + x.shape[1] * np.mean(np.log(2 * neighbour_distance(x, k)))


def neighbour_kl(x, y, k=3):
    n, dim = x.shape
    beside = KDTree(y).query(x, [k], p=np.inf)[0][:, -1]
    return dim * np.mean(np.log(beside / neighbour_distance(x, k))) + math.log(len(y) / (n - 1))


def gaussian_entropy(x, ddof=1):
    """Unbiased for normal data: the mean of a Wishart log-determinant is known."""
    n, dim = x.shape
    freedom = (n - 1 - np.arange(dim)) / 2
    log_det = np.linalg.slogdet(np.atleast_2d(np.cov(x.T, ddof=ddof)))[1]
    bias = dim * math.log(2 / (n - 1)) + digamma(freedom).sum()
    value = 0.5 * (dim * math.log(2 * math.pi * math.e) + log_det - bias)
    return Estimate(
        value,
        stderr=0.5 * math.sqrt(polygamma(1, freedom).sum()),
        error=1e-12,
        kind="estimate",
        method="sample-based",
        info={"n": n},
    )


def counts_entropy(*columns):
    counts = np.unique(np.hstack(columns), axis=0, return_counts=True)[1]
    p = counts / counts.sum()
    return -float(p @ np.log(p))


def plug_in(x, y):
    return counts_entropy(x) + counts_entropy(y) - counts_entropy(x, y)


def plug_in_conditional(x, y, z):
    return counts_entropy(x, z) + counts_entropy(y, z) - counts_entropy(x, y, z) - counts_entropy(z)


def _log_ratio_of_normals(train_x, train_y, x, y):
    """The log density ratio of a normal law fitted to the training part, at other samples."""
    train = np.hstack([train_x, train_y])
    parts = ((train, np.hstack([x, y]), 1), (train_x, x, -1), (train_y, y, -1))
    total = 0.0
    for fitted, points, sign in parts:
        factor = cholesky(np.atleast_2d(np.cov(fitted.T)), lower=True)
        white = solve_triangular(factor, (points - fitted.mean(0)).T, lower=True)
        total = total - sign * (0.5 * (white**2).sum(0) + np.log(np.diag(factor)).sum())
    return total


def critic_bound(x, y, *, held_out=True):
    """Nguyen, Wainwright and Jordan's bound with a critic fitted to one half and judged on the other."""
    half = len(x) // 2
    fresh = slice(half, None) if held_out else slice(0, half)
    train_x, train_y, x, y = x[:half], y[:half], x[fresh], y[fresh]
    together = _log_ratio_of_normals(train_x, train_y, x, y)
    apart = np.minimum(_log_ratio_of_normals(train_x, train_y, x, np.roll(y, 1, axis=0)), 5.0)
    terms = np.minimum(together, 5.0) - np.exp(apart) + 1
    stderr = terms.std(ddof=1) / math.sqrt(len(terms)) * 1.2  # neighbouring terms share a sample
    return Estimate(
        terms.mean(),
        stderr=stderr,
        error=1e-12,
        kind="lower",
        method="variational",
        info={"n": len(terms), "ceiling": 6.0},
    )


def ksg_with_interval(x, y, parts=10):
    """The standard error from disjoint parts."""
    pieces = [ksg(a, b) for a, b in zip(np.array_split(x, parts), np.array_split(y, parts), strict=True)]
    return _ksg_estimate(ksg(x, y), 1.2 * np.std(pieces, ddof=1) / math.sqrt(parts), parts)


def _ksg_estimate(value, stderr, n, p_value=None):
    info = {"n": n} | ({} if p_value is None else {"p_value": p_value})
    return Estimate(value, stderr=stderr, error=0.02, kind="estimate", method="sample-based", info=info)


def correlation_information(x, y):
    """Fisher's z of one pair of normal coordinates, with the p-value of independence."""
    rho = float(np.corrcoef(x[:, 0], y[:, 0])[0, 1])
    z = math.atanh(rho) * math.sqrt(len(x) - 3)
    slope = abs(rho) * math.sqrt(1 / len(x)) + 1.5 / len(x)
    value = -0.5 * math.log1p(-(rho**2)) - 0.5 / len(x)
    return Estimate(
        value,
        stderr=slope,
        error=2 / len(x),
        kind="estimate",
        method="sample-based",
        info={"p_value": float(2 * norm.sf(abs(z)))},
    )


def pairwise_bounds(x, noise=1e-3):
    """Kolchinsky and Tracey's bounds of the entropy of these samples under normal noise."""
    squares = ((x[:, None] - x[None]) ** 2).sum(-1) / noise
    constant = 0.5 * x.shape[1] * math.log(2 * math.pi * math.e * noise)
    lower, upper = (constant - np.mean(np.log(np.mean(np.exp(-squares / c), axis=1))) for c in (8, 2))
    return Estimate(
        upper + 1.0, error=1.0, kind="unknown", method="sample-based", info={"lower": lower, "upper": upper}
    )


@dataclass(frozen=True)
class Case:
    """A function, what it claims, and for a mutant the law that must catch it."""

    name: str
    function: Callable[..., Any]
    quantity: str = MI
    law: str = ""
    units: str | None = None
    tags: tuple[tuple[str, Any], ...] = ()

    @property
    def estimator(self):
        return as_estimator(self.function, self.quantity, self.units, dict(self.tags), name=self.name)


DISCRETE = (("data", ("discrete",)), ("invariances", frozenset({"shift", "reflection", "common-scale"})))
STATED = (("states_error", True),)
NORMAL = (("consistent_for", "gaussian"), ("states_error", True))
LOWER = (("kind", "lower"), ("states_error", True), ("consistent_for", "gaussian"), ("symmetric", False))
SMALL = (("least_samples", 12),)
ONE = (("most_dimensions", 1),)
UNCERTAIN = (("kind", "estimate"), ("states_error", True))

ORIGINALS = [
    Case("ksg", ksg),
    Case("conditional ksg", conditional_ksg, CMI),
    Case("kozachenko-leonenko", kozachenko_leonenko, "entropy"),
    Case("neighbour kl", neighbour_kl, "kl"),
    Case("gaussian entropy", gaussian_entropy, "entropy", tags=NORMAL + SMALL),
    Case("plug-in", plug_in, tags=DISCRETE),
    Case("conditional plug-in", plug_in_conditional, CMI, tags=DISCRETE),
    Case("critic bound", critic_bound, tags=LOWER),
    Case("correlation", correlation_information, tags=NORMAL + ONE),
]


# -- defects ---------------------------------------------------------------------------------------------------------


def in_bits(x, y):
    return ksg(x, y) / math.log(2)


def variance_over_n(x):
    return gaussian_entropy(x, ddof=0)


def radius_minus_epsilon(x, y):
    radius = neighbour_distance(np.hstack([x, y]), 3) - 1e-15
    counts = [KDTree(a).query_ball_point(a, radius, p=np.inf, return_length=True) for a in (x, y)]
    return digamma(len(x)) + digamma(3) - np.mean(digamma(counts[0]) + digamma(counts[1]))


def noise_of_fixed_size(x, y):
    noise = 1e-10 * np.random.default_rng(0).random((len(x), 2))
    return ksg(x + noise[:, :1], y + noise[:, 1:])


def x_twice(x, y):
    return ksg(x, x + np.random.default_rng(0).normal(size=x.shape))


def judged_on_training(x, y):
    return critic_bound(x, y, held_out=False)


def global_jitter(x, y):
    return ksg(x + 1e-2 * np.random.normal(size=x.shape), y)  # noqa: NPY002


def small_global_jitter(x, y):
    return ksg(x + 1e-10 * np.random.normal(size=x.shape), y)  # noqa: NPY002


def base_for_k(x, k=3, base=2):
    return kozachenko_leonenko(x, k=base) / math.log(k)


def without_ties(x, y):
    return plug_in(*np.hsplit(np.unique(np.hstack([x, y]), axis=0), [x.shape[1]]))


def wrong_n(x, y):
    return neighbour_kl(x, y) - 2 * math.log(len(y) / len(x))


def clipped(x, y):
    return max(0.0, ksg(x, y))


def counts_itself(x, y):
    radius = neighbour_distance(np.hstack([x, y]), 3)
    counts = [closer(a, radius, inclusive=True) + 1 for a in (x, y)]
    return digamma(len(x)) + digamma(3) - np.mean(digamma(counts[0] + 0.0) + digamma(counts[1] + 0.0))


def bootstrap_with_ties(x, y):
    draws = np.random.default_rng(0).integers(0, len(x), (20, len(x)))
    values = [ksg(x[rows], y[rows]) for rows in draws]
    return _ksg_estimate(np.mean(values), np.std(values), len(x))


def centres_in_place(x, y):
    x -= x.mean(0)
    return ksg(x, y)


def optimistic_bound(x, y):
    bound = critic_bound(x, y)
    return Estimate(
        bound.value + 4 * bound.stderr, stderr=bound.stderr, error=1e-12, kind="lower", method="variational"
    )


def first_half(x, y):
    return ksg(x[: len(x) // 2], y[: len(x) // 2])


def radius_of_x(x, y):
    radius = neighbour_distance(np.hstack([x, 0.5 * y]), 3)
    return digamma(len(x)) + digamma(3) - np.mean(digamma(closer(x, radius) + 1) + digamma(closer(y, radius) + 1))


def sixty_samples(x, y):
    return ksg(x[:60], y[:60])


def ignores_z(x, y, z):
    return ksg(x, y)


def one_condition(x, y, z):
    return conditional_ksg(x, y, z[:, -1:])


def first_coordinate(x, y):
    return ksg(x[:, :1], y[:, :1])


def last_coordinate(x, y):
    return ksg(x, y[:, -1:])


def per_coordinate(x, y):
    return ksg(x, y) * 2 / (x.shape[1] + y.shape[1])


def minus_entropy(x):
    return -kozachenko_leonenko(x)


def fixed_bins(x, y):
    cells = [np.floor(np.clip(a, -3, 3)) for a in (x, y)]
    return plug_in(*cells) - 0.06


def narrow_interval(x, y):
    honest = ksg_with_interval(x, y)
    return Estimate(honest.value, stderr=honest.stderr / 3, error=1e-12, kind="estimate", method="sample-based")


def one_sided_p_value(x, y):
    honest = correlation_information(x, y)
    return Estimate(
        honest.value,
        stderr=honest.stderr,
        error=honest.error,
        kind="estimate",
        method="sample-based",
        info={"p_value": honest.info["p_value"] / 2},
    )


def more_than_there_is(x, y):
    return plug_in(x, y) + 0.5


def swapped_bounds(x):
    right = pairwise_bounds(x)
    info = {"lower": right.info["upper"], "upper": right.info["lower"]}
    return Estimate(right.value, error=1.0, kind="unknown", method="sample-based", info=info)


def through_the_ceiling(x, y):
    return -0.5 * math.log1p(-min(np.corrcoef(x[:, 0], y[:, 0])[0, 1] ** 2, 1 - 1e-15))


def low_upper_bound(x):
    return kozachenko_leonenko(x) - 0.5


def certain_bound(x, y):
    """A lower bound that trusts the normal law."""
    rho = np.corrcoef(x[:, 0], y[:, 0])[0, 1]
    value = -0.5 * math.log(max(1 - rho**2, 1e-15))
    return Estimate(value, stderr=0.1, error=0.1, kind="lower", method="sample-based")


MUTANTS = [
    Case("wrong log base", in_bits, law="bias"),
    Case("biased variance", variance_over_n, "entropy", "small-sample-bias", tags=NORMAL + SMALL),
    Case("radius minus 1e-15", radius_minus_epsilon, law="common-scale"),
    Case("absolute noise of 1e-10", noise_of_fixed_size, law="tiny-scale"),
    Case("ignores y", x_twice, law="depends-on-y"),
    Case("leaks the training set", judged_on_training, law="lower-bound", tags=LOWER),
    Case("global random numbers", global_jitter, law="global-randomness-unused"),
    Case("global random numbers, too few to see", small_global_jitter, law="global-randomness-untouched"),
    Case("base passed as k", base_for_k, "entropy", "bias", "bit"),
    Case("drops ties", without_ties, law="bias", tags=DISCRETE),
    Case("divides by the wrong N", wrong_n, "kl", "kl-unequal-sizes"),
    Case("clips at zero", clipped, law="no-clipping"),
    Case("counts the point itself", counts_itself, law="independence"),
    Case("bootstrap with ties", bootstrap_with_ties, law="interval-coverage", tags=STATED),
    Case("changes its input", centres_in_place, law="inputs-unchanged"),
    Case("lower bound above the truth", optimistic_bound, law="lower-bound", tags=LOWER),
    Case("depends on the order", first_half, law="row-permutation"),
    Case("asymmetric", radius_of_x, law="symmetry"),
    Case("sixty samples only", sixty_samples, law="consistency"),
    Case("ignores z", ignores_z, CMI, "independence"),
    Case("one coordinate of z", one_condition, CMI, "chain-rule"),
    Case("one coordinate of each", first_coordinate, law="additivity"),
    Case("the last coordinate of y", last_coordinate, law="data-processing"),
    Case("per coordinate", per_coordinate, law="noise-dimensions"),
    Case("sign of the entropy", minus_entropy, "entropy", "noise-monotonicity"),
    Case("fixed bins", fixed_bins, law="invertible-maps"),
    Case("interval a third as wide", narrow_interval, law="interval-coverage", tags=STATED),
    Case("one-sided p-value", one_sided_p_value, law="p-value-uniformity", tags=NORMAL + ONE),
    Case("more than the entropy", more_than_there_is, law="information-below-entropy", tags=DISCRETE),
    Case("bounds swapped", swapped_bounds, "entropy", "enclosing-bounds", tags=UNCERTAIN),
    Case("through its ceiling", through_the_ceiling, law="ceiling", tags=(("ceiling", math.log), *ONE)),
    Case("upper bound too low", low_upper_bound, "entropy", "upper-bound", tags=(("kind", "upper"),)),
    Case("bound larger than any can be", certain_bound, law="logarithmic-ceiling", tags=(("kind", "lower"), *STATED)),
    Case("kl of the wrong sign", lambda x, y: neighbour_kl(x, y) + 0.2, "kl", "kl-of-equals"),
]
