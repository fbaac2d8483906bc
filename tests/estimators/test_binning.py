"""Binning against exact laws of discrete variables, brute force and scipy; its error, its kinds and its refusals."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

import infotherm as it
from infotherm.estimators.binning import CORRECTIONS, Binning

LABELS = Binning("labels")
PLAIN = Binning("labels", correction=None)


def drawn(pmf, n, seed):
    """Indices (n, axes) drawn from a pmf."""
    pmf = np.asarray(pmf) / np.sum(pmf)
    flat = np.random.default_rng(seed).choice(pmf.size, size=n, p=pmf.ravel())
    return np.stack(np.unravel_index(flat, pmf.shape), 1)


def entropy(rows):
    """By counting tuples: no line in common with the estimator."""
    counts = Counter(map(tuple, np.asarray(rows).tolist()))
    n = sum(counts.values())
    return -sum(c / n * math.log(c / n) for c in counts.values())


def cells(rows):
    return len(set(map(tuple, np.asarray(rows).tolist())))


@pytest.fixture
def triple():
    return drawn(np.random.default_rng(0).random((3, 4, 2)) ** 2, 400, 1)


# -- which number ----------------------------------------------------------------------------------------------------


def test_plain_numbers_are_those_of_the_empirical_law(triple):
    """The plug-in is the exact quantity of the empirical pmf: the library's own exact route, and scipy's."""
    from scipy.stats import entropy as scipy_entropy

    x, y, z = triple.T
    pmf = np.zeros((3, 4, 2))
    np.add.at(pmf, (x, y, z), 1 / len(x))
    joint = it.Discrete(pmf, parts=("x", "y", "z"))
    assert float(PLAIN.estimate(x)) == pytest.approx(float(it.entropy(joint.marginal("x"))), abs=1e-13)
    assert float(PLAIN.estimate(triple)) == pytest.approx(scipy_entropy(pmf.ravel()), abs=1e-13)
    assert float(PLAIN.estimate(x, y)) == pytest.approx(float(it.mutual_information(joint, "x", "y")), abs=1e-13)
    exact = it.mutual_information(joint, "x", "y", given="z")
    assert float(PLAIN.estimate(x, y, given=z)) == pytest.approx(float(exact), abs=1e-13)


def test_miller_madow_signs(triple):
    x, y, z = (triple[:, [i]] for i in range(3))
    xy, xz, yz = (np.hstack(pair) for pair in ((x, y), (x, z), (y, z)))
    n = len(x)
    shifts = [
        ((x,), (cells(x) - 1) / (2 * n)),
        ((x, y), (cells(x) + cells(y) - cells(xy) - 1) / (2 * n)),
        ((x, y, z), (cells(xz) + cells(yz) - cells(triple) - cells(z)) / (2 * n)),
    ]
    for arguments, shift in shifts:
        given = {"given": arguments[2]} if len(arguments) == 3 else {}
        plain, corrected = (est.estimate(*arguments[:2], **given) for est in (PLAIN, LABELS))
        assert float(corrected) - float(plain) == pytest.approx(shift, abs=1e-14)
        assert corrected.info["plain"] == float(plain)


def test_corrections_remove_the_bias():
    """Exact means over all outcomes of 60 throws: the corrections leave a tenth of the plain bias -1/(2N), or less."""
    n, p = 60, 0.3
    truth = -(p * math.log(p) + (1 - p) * math.log(1 - p))
    means = dict.fromkeys(CORRECTIONS, 0.0)
    for ones in range(n + 1):
        weight = math.comb(n, ones) * p**ones * (1 - p) ** (n - ones)
        if 0 < ones < n:
            throws = [1.0] * ones + [0.0] * (n - ones)
            for correction in CORRECTIONS:
                means[correction] += weight * float(Binning("labels", correction).estimate(throws))
    bias = {correction: mean - truth for correction, mean in means.items()}
    assert bias[None] == pytest.approx(-1 / (2 * n), rel=0.1)
    assert abs(bias["miller-madow"]) < 0.1 / (2 * n) and abs(bias["grassberger"]) < 0.1 / (2 * n)


def test_grassberger_function_by_its_series():
    """G(n + 2) = G(n) + 2 / (n (n + 1)) for even n ..., from G(1) = -gamma - ln 2 and G(2) = 2 - gamma - ln 2."""
    series = {1: -np.euler_gamma - math.log(2), 2: 2 - np.euler_gamma - math.log(2)}
    for n in range(3, 9):  # Grassberger 2003, Eq. 31: odd n repeat their predecessor
        series[n] = series[n - 1] if n % 2 else series[n - 2] + 2 / (n - 1)
    counts = (1, 1, 2, 3, 5, 8)
    rows = np.repeat(np.arange(6), counts)
    psi = float(torch.digamma(torch.tensor(float(len(rows)), dtype=torch.float64)))
    expected = psi - sum(c * series[c] for c in counts) / len(rows)
    with pytest.warns(UserWarning, match="too few"):
        assert float(Binning("labels", "grassberger").estimate(rows)) == pytest.approx(expected, abs=1e-13)


def test_plain_information_never_exceeds_the_entropies():
    for seed in range(20):
        x, y = drawn(np.random.default_rng(seed).random((3, 4)), 120, seed).T
        information = float(PLAIN.estimate(x, y))
        assert information <= min(float(PLAIN.estimate(x)), float(PLAIN.estimate(y))) + 1e-14
        assert information >= -1e-15
    assert float(PLAIN.estimate(x, x)) == pytest.approx(float(PLAIN.estimate(x)), abs=1e-14)


# -- error and kind --------------------------------------------------------------------------------------------------


def correlated(size, r):
    t = np.linspace(-2, 2, size)
    return np.exp(-(t[:, None] ** 2 - 2 * r * t[:, None] * t + t**2) / (2 * (1 - r * r)))


LAWS = {
    "independent": np.ones((3, 3)),
    "unequal": np.outer([0.9, 0.1], [0.7, 0.2, 0.1]),
    "almost independent": np.array([[0.57, 0.43], [0.43, 0.57]]),
    "noisy bit": np.array([[0.8, 0.2], [0.2, 0.8]]),
    "correlated": correlated(6, 0.5),
    "a copy": np.diag([4.0, 3.0, 2.0, 1.0]),
}


def coverage(law, correction):
    """The share of 200 samples of size 200 whose 95 % intervals of H(x) and of I(x; y) hold the truth."""
    pmf = LAWS[law] / LAWS[law].sum()
    h = [-(q[q > 0] * np.log(q[q > 0])).sum() for q in (pmf.sum(1), pmf.sum(0), pmf.ravel())]
    estimator, covered = Binning("labels", correction), np.zeros(2)
    for seed in range(200):
        x, y = drawn(pmf, 200, seed).T
        pairs = ((estimator.estimate(x), h[0]), (estimator.estimate(x, y), h[0] + h[1] - h[2]))
        covered += [e.kind == "estimate" and bool(e.lower_limit(0.025) <= t <= e.upper_limit(0.025)) for e, t in pairs]
    return covered / 200


@pytest.mark.parametrize("law", LAWS)
def test_intervals_cover(law):
    """In 90 % of the samples or more (odds below 2e-3 each if 95 % is exact)."""
    assert coverage(law, "miller-madow").min() >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("correction", [None, "grassberger"])
@pytest.mark.parametrize("law", LAWS)
def test_intervals_of_other_corrections_cover(law, correction):
    assert coverage(law, correction).min() >= 0.9


def test_the_standard_error_does_not_vanish_with_its_first_order():
    """Throws exactly even: 2 N (ln 2 - H) is chi-square with one degree of freedom, 2 N I too."""
    even = [0, 1] * 100
    assert float(LABELS.estimate(even).stderr) == pytest.approx(math.sqrt(0.5) / 200)
    assert float(LABELS.estimate(even, [0, 0, 1, 1] * 50).stderr) == pytest.approx(math.sqrt(0.5) / 200)


def test_standard_error_is_that_of_the_jackknife():
    x, y = drawn(np.array([[0.3, 0.1, 0.05], [0.05, 0.2, 0.3]]), 400, 5).T  # every pair of symbols is met
    keep = ~np.eye(400, dtype=bool)
    left_out = [entropy(np.c_[x[k]]) + entropy(np.c_[y[k]]) - entropy(np.c_[x, y][k]) for k in keep]
    jackknife = math.sqrt(399 * np.var(left_out))
    assert float(PLAIN.estimate(x, y).stderr) == pytest.approx(jackknife, rel=0.15)


@pytest.mark.parametrize("quantity", [1, 2, 3])
def test_undersampled_is_told(quantity):
    data = np.random.default_rng(0).integers(300, size=(quantity, 200))
    with pytest.warns(UserWarning, match="undersampled: 200 samples in [0-9]+ cells.*kind 'unknown'"):
        estimate = LABELS.estimate(*data[:2], **({"given": data[2]} if quantity == 3 else {}))
    assert estimate.kind == "unknown" and "undersampled" in estimate.info["warning"]


def test_undersampled_information_of_noise_is_what_the_plain_number_invents():
    """40 x 40 cells and 300 samples: 1.6 nats from nothing, and the kind says that it is nothing to rely on."""
    x, y = np.random.default_rng(0).integers(40, size=(2, 300))
    with pytest.warns(UserWarning, match="undersampled"):
        estimate = PLAIN.estimate(x, y)
    assert float(estimate) > 1 and estimate.kind == "unknown"


def test_few_samples_and_a_single_cell_are_told():
    with pytest.warns(UserWarning, match="20 samples are too few"):
        LABELS.estimate([0, 1] * 10)
    with pytest.warns(UserWarning, match="y lies in a single cell"):
        estimate = LABELS.estimate([0, 1] * 50, [3.5] * 100)
    assert float(estimate) == pytest.approx(0, abs=1e-15) and estimate.kind == "unknown"
    assert LABELS.estimate([0, 1] * 50, [0, 0, 1, 1] * 25, given=[1] * 100).kind == "estimate"


def test_binned_information_is_a_lower_bound():
    """Gaussian, I = 0.5 nat: below it at every number of bins of either rule, and near it with a few samples a cell."""
    joint = it.Gaussian.with_mutual_information(0.5, dx=1, dy=1)
    data = joint.sample((20_000,), generator=1)
    x, y = data[:, :1], data[:, 1:]
    for bins, rule in itertools.product((2, 5, 20, 50), ("equal-width", "equal-mass")):
        estimate = Binning(bins, rule=rule).estimate(x, y)
        assert estimate.kind == "lower" and estimate.lower_limit(1e-4) < 0.5
    assert float(Binning(20, rule="equal-mass").estimate(x, y)) == pytest.approx(0.5, abs=0.03)


def test_kinds_of_conditional_information():
    rng = np.random.default_rng(0)
    z = rng.integers(2, size=4000)
    x, y = rng.normal(size=(2, 4000)) + z
    assert Binning({"x": 4, "y": 4, "given": "labels"}).estimate(x, y, given=z).kind == "lower"
    with pytest.warns(UserWarning, match="bounds the conditional information on neither side"):
        assert Binning(4).estimate(x, y, given=z).kind == "unknown"


@pytest.mark.parametrize("bins", [30, [0.0, 0.1, 0.2, 0.5, 1.0]])
def test_differential_entropy_is_bounded_from_above(bins):
    """Beta(2, 1), density 2x on [0, 1]: h = 1/2 - ln 2."""
    truth = 0.5 - math.log(2)
    x = np.random.default_rng(0).random(5000) ** 0.5
    estimate = Binning(bins, differential=True).estimate(x)
    assert estimate.kind == "upper" and estimate.upper_limit(1e-4) > truth
    assert float(estimate) == pytest.approx(truth, abs=0.03 if bins == 30 else 0.1)
    with pytest.warns(UserWarning, match="100% of the values of a coordinate repeat: the law is not continuous"):
        assert Binning(10, differential=True).estimate(np.r_[x, x]).kind == "unknown"
    with pytest.raises(ValueError, match="x must vary"):
        Binning(5, differential=True).estimate([1.0] * 60)


# -- cells -----------------------------------------------------------------------------------------------------------


def test_edges_hold_their_ends():
    """Closed on the left, the last bin on both sides: 0 | 0.5 0.9 | 1 2."""
    estimate = Binning([-1, 0.5, 1, 2], correction=None).estimate([0, 0.5, 0.9, 1, 2] * 20)
    assert float(estimate) == pytest.approx(entropy(np.array([[0], [1], [1], [2], [2]] * 20)), abs=1e-14)
    for outside in (-1.5, 2.5):
        with pytest.raises(
            ValueError, match=rf"coordinate 1 of x must lie within the edges \[-1.0, 2.0\]; got {outside}"
        ):
            Binning([-1, 2]).estimate([[0, 0], [0, outside]] * 30)


def test_equal_width_is_numpy_histogram():
    x, y = np.random.default_rng(0).normal(size=(2, 500)) * 1e5
    counts = np.histogram2d(x, y, bins=7)[0]
    h = [-(q[q > 0] / 500 * np.log(q[q > 0] / 500)).sum() for q in (counts.sum(1), counts.sum(0), counts.ravel())]
    estimate = Binning(7, correction=None).estimate(x, y)
    assert float(estimate) == pytest.approx(h[0] + h[1] - h[2], abs=1e-13)
    edges = Binning({"x": np.histogram_bin_edges(x, 7), "y": [np.histogram_bin_edges(y, 7)]}, correction=None)
    assert float(edges.estimate(x, y)) == pytest.approx(float(estimate), abs=1e-13)


def test_equal_mass_follows_any_increasing_map_and_keeps_ties_together():
    x, y = np.random.default_rng(0).normal(size=(2, 400)).round(1)
    estimator = Binning(6, rule="equal-mass")
    assert float(estimator.estimate(np.exp(3 * x), y**3)) == float(estimator.estimate(x, y))
    assert float(Binning(4, None, "equal-mass").estimate([1, 1, 1, 2] * 25)) == pytest.approx(
        entropy([[0]] * 75 + [[1]] * 25)
    )
    assert float(Binning(5, None, "equal-mass").estimate(np.arange(100))) == pytest.approx(math.log(5), abs=1e-14)


def test_labels_are_only_names(triple):
    x, y, z = triple.T
    names = np.array([-1e300, 0.1 + 0.2, 1e-320, 5.0])
    expected = float(LABELS.estimate(x, y, given=z))
    assert float(LABELS.estimate(names[x], y, given=torch.tensor(z))) == expected
    huge = 2**62 + x  # not told apart in float64
    assert (
        float(LABELS.estimate(huge, y)) == float(LABELS.estimate(torch.tensor(huge), y)) == float(LABELS.estimate(x, y))
    )
    assert float(LABELS.estimate(huge.tolist(), y.tolist())) == float(LABELS.estimate(x, y))
    assert float(LABELS.estimate(np.where(x == 0, -0.0, x), y)) == float(LABELS.estimate(x, y))


def test_more_cells_than_an_integer_counts():
    """60 coordinates of 1000 bins: as many rows as are different, and the warning."""
    x = np.random.default_rng(0).random((100, 60))
    with pytest.warns(UserWarning, match="undersampled"):
        estimate = Binning(1000, correction=None).estimate(np.vstack([x, x]))
    assert float(estimate) == pytest.approx(math.log(100), abs=1e-13) and estimate.info["cells"] == 100


def test_scale_and_order_do_not_matter():
    x, y = np.random.default_rng(0).normal(size=(2, 300))
    expected = float(Binning(6).estimate(x, y))
    order = np.random.default_rng(1).permutation(300)
    for a, b in (
        (x * 2.0**-40, y * 2.0**60),
        (-x, y),
        (x[order], y[order]),
        (x.astype(int) * 0 + x, y),
        (x * 2.0**1020, y),
    ):
        assert float(Binning(6).estimate(a, b)) == pytest.approx(expected, abs=1e-13)
    assert float(Binning(6).estimate(y, x)) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize(
    ("settings", "problem", "message"),
    [
        ({"bins": 0}, ValueError, "bins must be between 1 and"),
        ({"bins": True}, TypeError, "bins must be a number, edges or 'labels'; got True"),
        ({"bins": 3.5}, TypeError, "bins must be a number"),
        ({"bins": []}, TypeError, "bins must be a number"),
        ({"bins": "auto"}, ValueError, "'labels'; got 'auto'"),
        ({"bins": [1.0]}, ValueError, "at least two numbers"),
        ({"bins": [0, 2, 1]}, ValueError, "finite and increase"),
        ({"bins": [0, math.inf]}, ValueError, "finite and increase"),
        ({"bins": {"w": 3}}, ValueError, "bins must be given for x, y, given; got 'w'"),
        ({"bins": 3, "correction": "jackknife"}, ValueError, "correction must be one of None, miller-madow"),
        ({"bins": 3, "rule": "doane"}, ValueError, "rule must be one of"),
        ({"bins": "labels", "differential": True}, ValueError, "differential needs cells of known volume"),
    ],
)
def test_settings_are_checked(settings, problem, message):
    with pytest.raises(problem, match=message):
        Binning(**settings)


def test_data_are_checked():
    with pytest.raises(ValueError, match="x must be finite"):
        LABELS.estimate([1.0, math.nan])
    with pytest.raises(ValueError, match="y must hold as many samples as x"):
        LABELS.estimate([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="given needs y"):
        LABELS.estimate([1, 2, 3], given=[1, 2, 3])
    with pytest.raises(ValueError, match="bins must say how to bin y; got bins for x"):
        Binning({"x": 3}).estimate([1, 2, 3], [1, 2, 3])
    with pytest.raises(ValueError, match="edges for each of the 1 coordinates of x; got 2"):
        Binning([[0, 1], [0, 1]]).estimate([0.5, 0.2])
    with pytest.raises(ValueError, match="differential speaks of an entropy"):
        Binning(3, differential=True).estimate([1, 2, 3], [1, 2, 3])


def test_tags_say_what_the_bins_allow():
    assert (
        LABELS.tags.data == ("discrete",) and LABELS.tags.consistent_for == "any" and len(LABELS.tags.quantities) == 3
    )
    assert Binning(5).tags.kind == "lower" and Binning(5).tags.quantities == ("mutual_information",)
    assert "monotone" in Binning(5, rule="equal-mass").tags.invariances and not Binning([0, 1]).tags.invariances
    mixed = Binning({"x": 5, "y": "labels"}).tags
    assert mixed.data == ("mixed",) and not mixed.symmetric
    assert Binning(5, differential=True).tags.kind == "upper"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
@pytest.mark.parametrize("estimator", [LABELS, Binning(6), Binning(6, rule="equal-mass"), Binning([-9.0, 0.0, 9.0])])
def test_on_an_accelerator(estimator):
    x, y = torch.randn(2, 5000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).round(decimals=0)
    host, device = estimator.estimate(x, y), estimator.estimate(x.cuda(), y.cuda())
    assert device.value.is_cuda and float(device) == pytest.approx(float(host), abs=1e-12)
    assert float(device.stderr) == pytest.approx(float(host.stderr), rel=1e-9)


def test_x_cannot_be_left_out():
    with pytest.raises(TypeError, match="x must hold real numbers"):
        Binning(4).estimate(None, [1.0, 2.0, 3.0])


def test_a_channel_of_which_no_error_was_seen_may_err():
    """Bits of which 2 % are flipped, N = 100: in 13 % of the cases none is, and the influence function is flat. Of 200
    lower ends of 95 % intervals 2.5 % + 4.4 % (4 standard errors) lie above the truth, log 2 - 0.0980 = 0.5951."""
    generator = torch.Generator().manual_seed(0)
    beyond = 0
    for _ in range(200):
        x = torch.randint(2, (100,), generator=generator)
        y = x ^ (torch.rand(100, generator=generator) < 0.02).long()
        beyond += bool(Binning("labels").estimate(x, y).interval(0.95)[0] > 0.5951)
    assert beyond <= 14
