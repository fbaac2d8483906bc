"""Mutual information of mixed data against definitions by brute force and laws with known information."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import digamma, gammaln, xlogy
from scipy.stats import norm

from infotherm.estimators.mixed import DiscreteContinuous, MixedKSG
from infotherm.estimators.neighbours import KSG


def classes(seed, n, number=3, separation=1.0):
    """Uniform labels, and Gaussians of unit variance around them."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, number, n)
    return label, label * separation + rng.normal(size=n)


def classes_truth(number=3, separation=1.0):
    def integrand(y):
        density = norm.pdf(y - separation * np.arange(number)).mean()
        return -xlogy(density, density)

    return quad(integrand, -9, 9 + separation * number, limit=200)[0] - 0.5 * math.log(2 * math.pi * math.e)


def zero_inflated(seed, n, zeros):
    """x exponential; y is 0 with probability `zeros`, else Poisson of mean x."""
    rng = np.random.default_rng(seed)
    x = rng.exponential(size=n)
    return x, np.where(rng.random(n) < zeros, 0, rng.poisson(x))


def zero_inflated_truth(zeros):
    """The sum over y of int p(x) p(y|x) log p(y|x) / p(y) dx, with p(y) = (1 - zeros) 2^(-y-1) + zeros (y = 0)."""

    def information(y):
        marginal = (1 - zeros) * 2.0 ** (-y - 1) + zeros * (y == 0)

        def integrand(x):
            likelihood = (1 - zeros) * math.exp(-x) * x**y / math.factorial(y) + zeros * (y == 0)
            return math.exp(-x) * xlogy(likelihood, likelihood / marginal)

        return quad(integrand, 0, 5 + y, limit=200)[0] + quad(integrand, 5 + y, 200, limit=200)[0]

    return sum(information(y) for y in range(40))


def printed_truth(zeros):
    """As printed by Gao et al. (2017): the information given whether y was set to zero, which y = 0 does not tell."""
    return (1 - zeros) * (2 * math.log(2) - np.euler_gamma - sum(math.log(y) * 2.0**-y for y in range(1, 60)))


def gaps(x):
    x = np.asarray(x, dtype=float).reshape(len(x), -1)
    distances = np.abs(x[:, None] - x[None]).max(-1)
    np.fill_diagonal(distances, np.inf)
    return distances


def mixed_by_definition(k, x, y, z=None):
    spaces = [gaps(x), gaps(y)] if z is None else [np.maximum(gaps(x), gaps(z)), np.maximum(gaps(y), gaps(z)), gaps(z)]
    joint = np.maximum(spaces[0], spaces[1])
    total = 0.0
    for i in range(len(joint)):
        rho = np.sort(joint[i])[k - 1]
        counts = [1 + ((space[i] < rho).sum() if rho > 0 else (space[i] == 0).sum()) for space in spaces]
        inner = k if rho > 0 else 1 + (joint[i] == 0).sum()
        last = len(joint) if z is None else counts[2]
        total += digamma(inner) - digamma(counts[0]) - digamma(counts[1]) + digamma(last)
    return total / len(joint)


def ross_by_definition(k, label, y):
    total = 0.0
    for i in range(len(y)):
        own = np.abs(y[label == label[i]] - y[i])
        nearby = min(k, len(own) - 1)
        reach = np.sort(own)[nearby]
        m = (np.abs(y - y[i]) < reach).sum()  # with the sample itself, without the neighbour at this distance
        total += digamma(len(y)) + digamma(nearby) - digamma(len(own)) - digamma(m)
    return total / len(y)


@pytest.mark.parametrize("k", [1, 3, 60])
def test_ross_is_its_definition(k):
    label, y = classes(0, 150)
    value = float(DiscreteContinuous(k, diagnose=False).estimate(label, y))
    assert value == pytest.approx(ross_by_definition(k, label, y), abs=1e-12)
    assert value == float(DiscreteContinuous(k, diagnose=False).estimate(y, label))  # labels are found on either side
    assert value == float(DiscreteContinuous(k, diagnose=False).estimate(7 - 3 * label, y))  # and are names only


def test_mixed_is_its_definition():
    label, y = classes(1, 120)
    x, counts = zero_inflated(2, 120, 0.2)
    coarse = np.round(y)
    for first, second in [(label, y), (x, counts), (label, coarse), (x, y)]:
        value = float(MixedKSG(diagnose=False).estimate(first, second))
        assert value == pytest.approx(mixed_by_definition(3, first, second), abs=1e-12)
        conditional = float(MixedKSG(diagnose=False).estimate(first, second, given=coarse))
        assert conditional == pytest.approx(mixed_by_definition(3, first, second, coarse), abs=1e-12)


def test_mixed_without_ties_is_ksg():
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=(2, 150))
    y = x + z + rng.normal(size=150)
    for given in (None, z):
        mixed = MixedKSG(diagnose=False).estimate(x, y, given=given)
        assert float(mixed) == pytest.approx(float(KSG(diagnose=False).estimate(x, y, given=given)), abs=1e-12)


def channel_value(cells, k=3):
    """MixedKSG of binary data with `cells` samples at (0, 0), (0, 1), (1, 0), (1, 1), by its formula."""
    cells = np.asarray(cells, dtype=float)
    joint = np.stack([cells[..., 0] + cells[..., 1], cells[..., 2] + cells[..., 3]], -1).repeat(2, -1)
    other = np.tile(np.stack([cells[..., 0] + cells[..., 2], cells[..., 1] + cells[..., 3]], -1), 2)
    inner = np.where(cells > k, cells, k)
    terms = digamma(inner) - digamma(np.maximum(joint, 1)) - digamma(np.maximum(other, 1))
    n = cells.sum(-1)
    return digamma(n) + (cells * terms).sum(-1) / n


def test_mixed_of_discrete_data_has_no_first_order_bias():
    """Binary symmetric channel, N = 120, the exact mean over all data: the plug-in number is 1 / (2 N) too large."""
    rng = np.random.default_rng(4)
    x = rng.integers(0, 2, 120)
    y = (x + (rng.random(120) < 0.2)) % 2
    cells = np.bincount(2 * x + y, minlength=4)
    assert float(MixedKSG(diagnose=False).estimate(x, y)) == pytest.approx(channel_value(cells), abs=1e-12)
    n, probabilities = 120, np.array([0.4, 0.1, 0.1, 0.4])
    flips = np.arange(n + 1)
    a, b, c = (axis.ravel() for axis in np.meshgrid(flips, flips, flips, indexing="ij"))
    kept = a + b + c <= n
    cells = np.stack([a, b, c, n - a - b - c], -1)[kept]
    weights = np.exp(gammaln(n + 1) - gammaln(cells + 1).sum(-1) + cells @ np.log(probabilities))
    truth = math.log(2) + xlogy(0.2, 0.2) + xlogy(0.8, 0.8)
    assert weights.sum() == pytest.approx(1, abs=1e-10)
    assert abs(weights @ channel_value(cells) - truth) < 0.1 / (2 * n)


@pytest.mark.parametrize("estimator", [DiscreteContinuous(), MixedKSG()])
def test_intervals_hold_the_information_of_labels(estimator):
    """Each fails with probability 1e-4."""
    truth = classes_truth()
    low, high = estimator.estimate(*classes(5, 600)).interval(1 - 1e-4)
    assert low < truth < high


@pytest.mark.parametrize("zeros", [0.0, 0.3])
def test_zero_inflated_poisson_has_another_information_than_printed(zeros):
    truth, printed = zero_inflated_truth(zeros), printed_truth(zeros)
    if zeros == 0:  # there is nothing to confuse
        assert printed == pytest.approx(truth, abs=1e-9)
    else:
        assert printed - truth > 0.03
    low, high = MixedKSG().estimate(*zero_inflated(6, 1000, zeros)).interval(1 - 1e-4)
    assert low < truth < high


def test_bad_labels():
    label, y = classes(7, 100)
    with pytest.raises(ValueError, match="one of x and y must hold labels"):
        DiscreteContinuous().estimate(y, y**2)
    with pytest.raises(ValueError, match="one of x and y must hold labels"):
        DiscreteContinuous().estimate(label, label + 1)
    with pytest.raises(ValueError, match="must vary"):
        DiscreteContinuous().estimate(np.zeros(100), y)
    with pytest.raises(ValueError, match="at least 4 samples; got 3"):
        MixedKSG().estimate(label[:3], y[:3])
    label[0] = 9
    with pytest.warns(UserWarning, match="1 of 100 samples have a label that occurs once"):
        assert DiscreteContinuous().estimate(label, y).kind == "unknown"
    with pytest.warns(UserWarning, match="repeat"):
        assert DiscreteContinuous().estimate(label[1:] % 3, y[1:].round(2)).kind == "unknown"


def test_sparse_tables_are_not_trusted():
    """Independent labels, 10 by 10: at N = 100 a number of 0.9 nat comes out."""
    x, y = np.random.default_rng(9).integers(0, 10, (2, 100))
    with pytest.warns(UserWarning, match="discrete, but fewer than 3 others equal them"):
        assert MixedKSG().estimate(x, y).kind == "unknown"


def test_random_error_of_independent_bits():
    """2 N I is chi-square with one degree of freedom: 95 % intervals at N = 100 hold 0 in 90 % of 50 replications."""
    held = 0
    for seed in range(50):
        x, y = np.random.default_rng(seed).integers(0, 2, (2, 100))
        low, high = MixedKSG().estimate(x, y).interval(0.95)
        held += bool(low <= 0 <= high)
    assert held >= 45


def test_copies_have_an_error():
    """A number without any spread: equally frequent labels, of which every sample says the same."""
    x = np.arange(100) % 2
    estimate = MixedKSG().estimate(x, x)
    assert abs(float(estimate) - math.log(2)) < 0.01 and float(estimate.stderr) > 0


def test_atoms_beside_continuous_samples_are_told():
    """(0, 0) with probability 0.3, else Gaussian: I = 0.97 nat; neighbourhoods beside the atom count it."""
    rng = np.random.default_rng(10)
    x, noise = rng.normal(size=(2, 500))
    y, zero = 0.8 * x + 0.6 * noise, rng.random(500) < 0.3
    x[zero], y[zero] = 0.0, 0.0
    with pytest.warns(UserWarning, match="labels or atoms leave room for 0.[23]"):
        estimate = MixedKSG().estimate(x, y)
    assert estimate.kind == "unknown" and float(estimate) < 0.9


def test_rare_labels_leave_room():
    """Twenty classes of ten samples each: neighbourhoods of the 12th neighbour would need more."""
    rng = np.random.default_rng(11)
    label = np.arange(200) % 20
    with pytest.warns(UserWarning, match="labels or atoms leave room"):
        assert DiscreteContinuous().estimate(label, label + rng.normal(size=200)).kind == "unknown"
    assert DiscreteContinuous().estimate(label, 50 * label + rng.normal(size=200)).kind == "estimate"


def test_stripes_as_fine_as_neighbourhoods_are_not_trusted():
    """y decides the label, in 50 stripes: the truth is log 2."""
    y = np.random.default_rng(12).random(500)
    with pytest.warns(UserWarning, match="its bias"):
        assert DiscreteContinuous().estimate(np.floor(50 * y) % 2, y).kind == "unknown"


def test_determinism_is_not_trusted():
    x = torch.randn(400, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    with pytest.warns(UserWarning, match="kind 'unknown'"):
        assert MixedKSG().estimate(x, x).kind == "unknown"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*of kind 'unknown'")
@pytest.mark.parametrize("name", ["ross", "mixed", "poisson", "channel"])
def test_intervals_cover(name):
    """200 replications at N = 300: the 95 % interval covers in 90.0 to 99.5 %, a binomial band around 93 to 97 %."""
    cases = {
        "ross": (DiscreteContinuous(), classes, classes_truth()),
        "mixed": (MixedKSG(), classes, classes_truth()),
        "poisson": (MixedKSG(), lambda seed, n: zero_inflated(seed, n, 0.15), zero_inflated_truth(0.15)),
    }
    estimator, sample, truth = cases.get(name, cases["mixed"])
    if name == "channel":
        sample, truth = channel, math.log(2) + xlogy(0.1, 0.1) + xlogy(0.9, 0.9)
    intervals = [estimator.estimate(*sample(seed, 300)).interval(0.95) for seed in range(200)]
    assert 0.90 <= np.mean([bool(low <= truth <= high) for low, high in intervals]) <= 0.995


def channel(seed, n):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, n)
    return x, (x + (rng.random(n) < 0.1)) % 2
