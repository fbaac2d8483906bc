"""Nearest-neighbour estimators against their definitions by brute force, closed forms and each other."""

import math

import numpy as np
import pytest
import torch
from scipy.special import digamma

from infotherm.distributions.gaussian import Gaussian
from infotherm.estimators.neighbours import KSG, KozachenkoLeonenko
from infotherm.information.mutual_informations import mutual_information


def pair(seed, n, rho, dim=1):
    generator = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(2, n, dim, dtype=torch.float64, generator=generator)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def plain(estimator, *data, given=None):
    """The number alone."""
    settings = {"k": estimator.k} | ({"variant": estimator.variant} if isinstance(estimator, KSG) else {})
    silent = type(estimator)(**settings, diagnose=False)
    return float(silent.estimate(*data) if given is None else silent.estimate(*data, given=given))


def gaps(x):
    x = np.asarray(x)
    distances = np.abs(x[:, None] - x[None]).max(-1)
    np.fill_diagonal(distances, np.inf)
    return distances


def ksg_by_definition(x, y, k, z=None):
    spaces = [gaps(x), gaps(y)] if z is None else [gaps(np.hstack([x, z])), gaps(np.hstack([y, z]))]
    joint = np.maximum(*spaces)
    eps = np.sort(joint, axis=1)[:, k - 1]
    counts = [(space < eps[:, None]).sum(1) for space in spaces]
    if z is None:
        return digamma(k) + digamma(len(x)) - np.mean(digamma(counts[0] + 1) + digamma(counts[1] + 1))
    inner = (gaps(z) < eps[:, None]).sum(1)
    return digamma(k) - np.mean(digamma(counts[0] + 1) + digamma(counts[1] + 1) - digamma(inner + 1))


def second_by_definition(x, y, k):
    spaces = [gaps(x), gaps(y)]
    near = np.argsort(np.maximum(*spaces), axis=1)[:, :k]
    reach = [np.take_along_axis(space, near, 1).max(1) for space in spaces]
    counts = [(space <= r[:, None]).sum(1) for space, r in zip(spaces, reach, strict=True)]
    return digamma(k) - 1 / k + digamma(len(x)) - np.mean(digamma(counts[0]) + digamma(counts[1]))


SHAPES = {
    "gaussian": lambda x, y: (x, y),
    "cauchy": lambda x, y: (np.tan(x), np.tan(y)),
    "offset": lambda x, y: (x + 1e8, y * 1e-9),
    "large": lambda x, y: (x * 1e6, y * 1e6),
    "small": lambda x, y: (x * 1e-12, y * 1e-12),
}


@pytest.mark.parametrize("dim, k", [(1, 1), (1, 3), (3, 5)])
@pytest.mark.parametrize("shape", SHAPES)
def test_ksg_is_its_definition(dim, k, shape):
    x, y = SHAPES[shape](*(t.numpy() for t in pair(1, 300, 0.6, dim)))
    assert plain(KSG(k), x, y) == pytest.approx(ksg_by_definition(x, y, k), abs=1e-12)
    assert plain(KSG(k, variant=2), x, y) == pytest.approx(second_by_definition(x, y, k), abs=1e-12)


def test_conditional_ksg_is_its_definition():
    x, y = (t.numpy() for t in pair(2, 250, 0.6))
    z = x + y
    assert plain(KSG(3), x, y, given=z) == pytest.approx(ksg_by_definition(x, y, 3, z), abs=1e-12)


def test_ksg_with_ties_is_its_definition():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, (200, 1)).astype(float), rng.normal(size=(200, 1)).round(1)
    assert plain(KSG(3), x, y) == pytest.approx(ksg_by_definition(x, y, 3), abs=1e-12)


@pytest.mark.parametrize("dim", [1, 2])
def test_entropy_is_its_definition(dim):
    x, _ = pair(3, 200, 0.0, dim)
    eps = np.sort(gaps(x), axis=1)[:, 2]
    truth = digamma(200) - digamma(3) + dim * np.log(2 * eps).mean()
    assert plain(KozachenkoLeonenko(), x) == pytest.approx(truth, abs=1e-12)


def test_intervals_hold_exact_informations():
    """Three estimates of 1 nat, by closed form; each interval fails with probability 1e-4 at most."""
    joint = Gaussian.with_mutual_information(1.0, dx=1, dy=1)
    truth = float(mutual_information(joint, "x", "y"))
    samples = joint.sample((800,), generator=torch.Generator().manual_seed(0))
    for estimator in (KSG(), KSG(5), KSG(variant=2)):
        low, high = estimator.estimate(samples[:, :1], samples[:, 1:]).interval(1 - 1e-4)
        assert low < truth < high


def test_informations_agree_with_entropies_and_with_the_other_variant():
    """I = h(x) + h(y) - h(x, y), and variants 1 and 2, within five of their joint standard errors (odds 1e-6 each)."""
    x, y = pair(4, 800, 0.8)
    first, second = KSG().estimate(x, y), KSG(variant=2).estimate(x, y)
    assert abs(float(first) - float(second)) < 5 * float(first.stderr)
    h = KozachenkoLeonenko().estimate
    parts = [h(x), h(y), h(torch.cat([x, y], 1))]
    chain = float(parts[0]) + float(parts[1]) - float(parts[2])
    assert abs(chain - float(first)) < 5 * math.hypot(*(float(e.stderr) for e in parts))


def test_chain_rule():
    """I(x; y, z) = I(x; z) + I(x; y | z), within five joint standard errors and the errors."""
    x, y = pair(5, 800, 0.7)
    z = y + pair(6, 800, 0.0)[0]
    terms = [KSG().estimate(x, torch.cat([y, z], 1)), KSG().estimate(x, z), KSG().estimate(x, y, given=z)]
    gap = float(terms[0]) - float(terms[1]) - float(terms[2])
    room = 5 * math.hypot(*(float(t.stderr) for t in terms)) + sum(float(t.error) for t in terms)
    assert abs(gap) < room


def test_symmetry_order_and_containers_change_no_bit():
    x, y = pair(7, 300, 0.6, 2)
    reference = KSG().estimate(x, y)
    swapped = KSG().estimate(y, x)
    for attribute in ("value", "stderr", "error"):
        assert torch.equal(getattr(reference, attribute), getattr(swapped, attribute))
    shuffle = torch.randperm(300, generator=torch.Generator().manual_seed(8))
    shuffled = KSG().estimate(x[shuffle], y[shuffle])
    for attribute in ("value", "stderr", "error"):  # sums in another order round differently
        assert float(getattr(shuffled, attribute)) == pytest.approx(float(getattr(reference, attribute)), abs=1e-12)
    by_x = x[:, 0].argsort()  # data may come sorted
    assert float(KSG().estimate(x[by_x], y[by_x]).error) == pytest.approx(float(reference.error), abs=1e-12)
    strided, frozen = np.repeat(x.numpy(), 2, axis=1)[:, ::2], y.numpy().copy()
    frozen.flags.writeable = False
    assert float(KSG().estimate(strided, frozen)) == float(reference)
    assert float(KSG().estimate(x.tolist(), y.tolist())) == float(reference)


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**20])
def test_common_scale_reflection_and_coordinates(scale):
    x, y = pair(9, 300, 0.6, 2)
    value = plain(KSG(), x, y)
    assert plain(KSG(), x * scale, -y * scale) == pytest.approx(value, abs=1e-12)
    assert plain(KSG(), x.flip(1), y) == pytest.approx(value, abs=1e-12)
    entropy = plain(KozachenkoLeonenko(), x)
    assert plain(KozachenkoLeonenko(), -x * scale) == pytest.approx(entropy + 2 * math.log(scale), abs=1e-12)


def test_integers_are_numbers():
    whole = torch.randint(0, 10**9, (200, 2), generator=torch.Generator().manual_seed(1))
    assert float(KSG().estimate(whole[:, 0], whole[:, 1])) == plain(KSG(), *whole.double().T)


def test_without_diagnostics_nothing_is_claimed():
    x, y = pair(10, 200, 0.5)
    estimate = KSG(diagnose=False).estimate(x, y)  # and no warning
    assert estimate.kind == "unknown" and math.isinf(estimate.error) and "not diagnosed" in estimate.info["warning"]
    full = KSG().estimate(x, y)
    assert float(estimate) == float(full) and full.kind == "estimate"


def test_negative_estimates_are_not_clipped():
    values = [plain(KSG(), *pair(seed, 100, 0.0)) for seed in range(30)]
    assert min(values) < 0 < max(values)


def test_bad_input():
    with pytest.raises(ValueError, match="at least 4 samples; got 3"):
        KSG(3).estimate([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="at least 4 samples; got 1"):
        KozachenkoLeonenko().estimate([1.0])
    with pytest.raises(ValueError, match="D >= 1"):
        KSG().estimate(np.ones((50, 0)), np.arange(50.0))
    with pytest.raises(ValueError, match="y must hold as many samples as x; got 49 and 50"):
        KSG().estimate(np.arange(50.0), np.arange(49.0))
    with pytest.raises(ValueError, match="x must vary"):
        KSG().estimate(np.ones(50), np.arange(50.0))
    with pytest.raises(ValueError, match="finite"):
        KSG().estimate(np.array([*range(50), math.nan]), np.arange(51.0))
    with pytest.raises(ValueError, match="finite"):
        KozachenkoLeonenko().estimate(np.array([*range(50), math.inf]))
    with pytest.raises(ValueError, match="k must be a positive integer; got 0"):
        KozachenkoLeonenko(0).estimate(np.arange(9.0))
    with pytest.raises(ValueError, match="variant must be 1 or 2; got 3"):
        KSG(variant=3)
    with pytest.raises(ValueError, match="given needs variant 1"):
        KSG(variant=2).estimate(np.arange(9.0), np.arange(9.0), given=np.arange(9.0))


def test_dependent_coordinates_have_no_entropy():
    x, _ = pair(7, 200, 0.0)
    with pytest.raises(ValueError, match="linearly independent"):
        KozachenkoLeonenko().estimate(torch.cat([x, 1 - 2 * x], 1))
