"""The Gaussian plug-in: unbiased, covering, equivariant, and honest about data that are not Gaussian."""

import math

import numpy as np
import pytest
import torch

from infotherm.estimators.gaussian import GaussianPlugIn, gaussian_divergence, mardia_p_value


def pair(seed, n, rho, dim=1):
    generator = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(2, n, dim, dtype=torch.float64, generator=generator)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def information(rho, dim=1):
    return -dim / 2 * math.log(1 - rho**2)


@pytest.mark.parametrize("n, rho, dim", [(20, 0.0, 1), (20, 0.5, 1), (200, 0.9, 1), (60, 0.6, 3)])
def test_mean_is_exact_and_intervals_cover(n, rho, dim):
    """400 replications: mean within 4 standard errors (odds 6e-5), coverage above 90 % (odds below 1e-4 if 95 %)."""
    plug_in = GaussianPlugIn(significance=1e-12)
    estimates = [plug_in.estimate(*pair(seed, n, rho, dim)) for seed in range(400)]
    values = np.array([float(e) for e in estimates])
    truth = information(rho, dim)
    assert abs(values.mean() - truth) < 4 * values.std() / 20
    covered = np.mean([bool(low <= truth <= high) for low, high in (e.interval(0.95) for e in estimates)])
    assert covered > 0.9


def test_the_uncorrected_determinant_is_caught():
    """Without the Wishart correction the mean at N = 20 is off by more than the test above allows."""
    biased = [
        0.5 * -math.log(1 - np.corrcoef(*(t[:, 0].numpy() for t in pair(s, 20, 0.5, 3)))[0, 1] ** 2) for s in range(400)
    ]
    assert abs(np.mean(biased) - information(0.5)) > 4 * np.std(biased) / 20


def test_entropy_and_its_interval():
    truth = math.log(2 * math.pi * math.e)
    estimates = [GaussianPlugIn(1e-12).estimate(pair(seed, 10, 0.0, 2)[0]) for seed in range(400)]
    values = np.array([float(e) for e in estimates])
    assert abs(values.mean() - truth) < 4 * values.std() / 20
    assert np.mean([bool(low <= truth <= high) for low, high in (e.interval(0.95) for e in estimates)]) > 0.9


def test_conditional_information_of_a_common_cause_vanishes():
    generator = torch.Generator().manual_seed(3)
    z, a, b = torch.randn(3, 3000, 1, dtype=torch.float64, generator=generator)
    low, high = GaussianPlugIn().estimate(z + a, z + b, given=z).interval(0.999)
    assert low < 0 < high
    assert float(GaussianPlugIn().estimate(z + a, z + b)) > 0.1


def test_laws_of_units():
    x, y = pair(0, 300, 0.7, 2)
    base, plain = GaussianPlugIn(1e-12).estimate(x, y), GaussianPlugIn(1e-12).estimate(x)
    scaled = GaussianPlugIn(1e-12).estimate(1e-9 * x + 5, 1e6 * y - 3)
    assert float(scaled) == pytest.approx(float(base), abs=float(scaled.error + base.error))
    assert float(GaussianPlugIn(1e-12).estimate(1e3 * x)) == pytest.approx(float(plain) + 2 * math.log(1e3), abs=1e-12)
    assert float(GaussianPlugIn(1e-12).estimate(y, x)) == pytest.approx(float(base), abs=1e-12)


def test_data_that_are_not_gaussian_are_told():
    uniform = torch.rand(2000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="not Gaussian"):
        entropy = GaussianPlugIn().estimate(uniform)
    assert entropy.kind == "upper" and entropy.upper_limit(0.01) > 0  # h(uniform) = 0
    with pytest.warns(UserWarning, match="kind 'unknown'"):
        assert GaussianPlugIn().estimate(uniform, uniform**3 + torch.rand_like(uniform)).kind == "unknown"


def test_repeated_values_are_not_gaussian():
    """A label that decides the sign of a correlation: without the look at repeats 0.4 nat for 0.83 would be trusted."""
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 400, dtype=torch.float64, generator=generator)
    label = torch.arange(400) % 2 * 2.0 - 1
    for y in (label, (x + noise > 0).double(), (10 * noise).round()):
        with pytest.warns(UserWarning, match="of the values of a coordinate repeat"):
            assert GaussianPlugIn(1e-12).estimate(x, y).kind == "unknown"
    with pytest.warns(UserWarning, match="repeat"):
        assert GaussianPlugIn().estimate(0.9 * x * label + 0.4 * noise, x, given=label).kind == "unknown"
    with pytest.warns(UserWarning, match="repeat"):
        assert GaussianPlugIn().estimate((10 * x).round()).kind == "upper"


@pytest.mark.parametrize("n, m, dim, shift, scale", [(300, 200, 1, 1.0, 1.0), (300, 200, 3, 0.5, 0.8)])
def test_gaussian_divergence_is_unbiased(n, m, dim, shift, scale):
    """400 replications: mean within 4 standard errors, and the spread within 15 % (4 sigma) of what is told."""
    values, variances = [], []
    for seed in range(400):
        generator = torch.Generator().manual_seed(seed)
        x, y = (torch.randn(count, dim, dtype=torch.float64, generator=generator) for count in (n, m))
        terms, moved = gaussian_divergence(x, shift + scale * y)
        values.append(float(terms.mean()))
        variances.append(float(terms.var() / n + moved.var() / m))
    truth = dim * (math.log(scale) + (1 + shift**2) / (2 * scale**2) - 0.5)
    assert abs(np.mean(values) - truth) < 4 * np.std(values) / 20
    assert np.std(values) == pytest.approx(math.sqrt(np.mean(variances)), rel=0.15)


def test_normality_test_keeps_its_level():
    """Level 5 % over 300 Gaussian samples: at most 9 % rejected (odds below 1e-3 if the level is exact)."""
    assert np.mean([mardia_p_value(pair(seed, 400, 0.0, 2)[0]) < 0.05 for seed in range(300)]) < 0.09


def test_bad_input():
    with pytest.raises(ValueError, match=r"needs N >= D \+ 2 = 4 samples; got 3"):
        GaussianPlugIn().estimate(np.random.default_rng(0).normal(size=(3, 2)))
    with pytest.raises(ValueError, match="y must vary"):
        GaussianPlugIn().estimate(np.arange(9.0), np.ones(9))
    with pytest.raises(ValueError, match="linearly independent"):
        GaussianPlugIn().estimate(np.arange(9.0) ** 2, np.arange(9.0) ** 2)
    with pytest.raises(ValueError, match="given needs y"):
        GaussianPlugIn().estimate(np.arange(9.0), given=np.arange(9.0) ** 2)


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e170, 1e300])
def test_squares_of_the_samples_need_not_be_numbers(scale):
    x = torch.randn(300, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain, scaled = (GaussianPlugIn().estimate(s * x) for s in (1.0, scale))
    shift = float(scaled.value - plain.value) - 2 * math.log(scale)
    assert abs(shift) <= float(plain.error + scaled.error)
    assert float(scaled.stderr) == pytest.approx(float(plain.stderr), rel=1e-9)
