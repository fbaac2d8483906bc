"""Nearest-neighbour estimators against their definition by brute force, and their diagnostics."""

import math

import numpy as np
import pytest
import torch
from scipy.special import digamma

from infotherm.estimators.neighbours import KSG, KozachenkoLeonenko


def pair(seed, n, rho, dim=1):
    generator = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(2, n, dim, dtype=torch.float64, generator=generator)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


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


@pytest.mark.parametrize("dim, k", [(1, 1), (1, 3), (3, 5)])
@pytest.mark.parametrize("shape", ["gaussian", "cauchy", "offset"])
def test_ksg_is_its_definition(dim, k, shape):
    x, y = (t.numpy() for t in pair(1, 300, 0.6, dim))
    if shape == "cauchy":
        x, y = np.tan(x), np.tan(y)
    if shape == "offset":
        x, y = x + 1e8, y * 1e-9
    value, _ = KSG(k)._plain(torch.as_tensor(x), torch.as_tensor(y))
    assert value == pytest.approx(ksg_by_definition(x, y, k), abs=1e-12)


def test_conditional_ksg_is_its_definition():
    x, y = (t.numpy() for t in pair(2, 250, 0.6))
    z = x + y
    value, _ = KSG(3)._plain(*(torch.as_tensor(a) for a in (x, y, z)))
    assert value == pytest.approx(ksg_by_definition(x, y, 3, z), abs=1e-12)


def test_ksg_with_ties_is_its_definition():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, (200, 1)).astype(float), rng.normal(size=(200, 1)).round(1)
    value, ties = KSG(3)._plain(torch.as_tensor(x), torch.as_tensor(y))
    assert value == pytest.approx(ksg_by_definition(x, y, 3), abs=1e-12)
    with pytest.warns(UserWarning, match="not continuous"):
        assert KSG(1).estimate(np.repeat(x, 2, 0), np.repeat(y, 2, 0)).kind == "unknown"
    assert ties >= 0


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_ksg_intervals_cover(rho):
    """60 replications at N = 500: coverage of the 95 % interval above 83 % (odds about 1e-4 if 95 %)."""
    truth = -0.5 * math.log(1 - rho**2)
    intervals = [KSG().estimate(*pair(seed, 500, rho)).interval(0.95) for seed in range(60)]
    assert np.mean([bool(low <= truth <= high) for low, high in intervals]) > 0.83


def test_entropy_of_uniforms_and_its_scale():
    x = torch.rand(2000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    estimate = KozachenkoLeonenko().estimate(x)
    low, high = estimate.interval(0.999)
    assert low < 0 < high
    scaled = KozachenkoLeonenko().estimate(1024 * x)
    assert float(scaled) == pytest.approx(float(estimate) + 2 * math.log(1024), abs=1e-12)


def test_high_dimension_is_not_trusted():
    """At 10 + 10 dimensions and N = 2000 the estimate of 1 nat is about 0.45; the result says so."""
    rho = math.sqrt(1 - math.exp(-0.2))
    with pytest.warns(UserWarning, match="bias at this N"):
        estimate = KSG().estimate(*pair(0, 2000, rho, 10))
    assert estimate.kind == "unknown" and float(estimate) < 0.6
    assert abs(float(estimate) - 1) < float(estimate.error) + 4 * float(estimate.stderr)


def test_near_determinism_is_not_trusted():
    x, y = pair(0, 1000, math.sqrt(1 - 1e-12))
    with pytest.warns(UserWarning, match="kind 'unknown'"):
        assert KSG().estimate(x, y).kind == "unknown"


def test_negative_estimates_are_not_clipped():
    values = [float(KSG().estimate(*pair(seed, 200, 0.0))) for seed in range(12)]
    assert min(values) < 0 < max(values)


def test_bad_input():
    with pytest.raises(ValueError, match="at least 4 samples; got 3"):
        KSG(3).estimate([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="x must vary"):
        KSG().estimate(np.ones(50), np.arange(50.0))
    with pytest.raises(ValueError, match="k must be a positive integer; got 0"):
        KozachenkoLeonenko(0).estimate(np.arange(9.0))
    with pytest.warns(UserWarning, match="too few to tell its error"):
        assert KSG().estimate(np.arange(9.0), np.arange(9.0) ** 2).kind == "unknown"


def test_coordinates_of_very_different_scale_are_not_trusted():
    x, y = pair(5, 400, 0.8)
    with pytest.warns(UserWarning, match="normal scores"):
        estimate = KSG().estimate(x * 1e-9, y)  # every neighbour in the plane is one along y: nearly 0
    assert estimate.kind == "unknown"
    assert KSG().estimate(x, y).kind == "estimate"


def test_rounded_coordinates_are_not_trusted():
    x, y = pair(6, 400, 0.8)
    with pytest.warns(UserWarning, match="repeat"):
        assert KSG().estimate((x * 10).round() / 10, y).kind == "unknown"
    with pytest.warns(UserWarning, match="repeat"):  # the entropy is -inf
        assert KozachenkoLeonenko().estimate(torch.cat([x.round(), y], 1)).kind == "unknown"
    assert KSG().estimate(x.float(), y.float()).kind == "estimate"


def test_dependent_coordinates_have_no_entropy():
    x, _ = pair(7, 200, 0.0)
    with pytest.raises(ValueError, match="linearly independent"):
        KozachenkoLeonenko().estimate(torch.cat([x, 1 - 2 * x], 1))
