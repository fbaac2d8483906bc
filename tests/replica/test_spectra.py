"""Weight ensembles, and spectral densities against moments and sampled spectra."""

import math

import pytest
import torch

from infotherm.replica import GaussianWeights, fuss_catalan_log_determinant, marchenko_pastur_log_determinant


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


def test_weights_have_the_stated_variance_and_follow_the_generator():
    weights = GaussianWeights(0.5, variance=[1.0, 4.0])
    drawn = weights.sample(300, 600, generator=3)
    assert drawn.shape == (2, 300, 600)
    assert torch.allclose(drawn.square().mean((-2, -1)) * 600, weights.variance, rtol=0.02)
    assert torch.equal(drawn, weights.sample(300, 600, generator=3))


def test_float32_weights_stay_float32():
    weights = GaussianWeights(torch.tensor(0.5), torch.tensor(2.0))
    assert weights.sample(2, 3, generator=0).dtype == torch.float32


@pytest.mark.parametrize("alpha, variance", [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (math.nan, 1.0), (1.0, math.inf)])
def test_weights_refuse_what_is_not_positive(alpha, variance):
    with pytest.raises(ValueError, match="alpha|variance"):
        GaussianWeights(alpha, variance)


@pytest.mark.parametrize("factors", [1, 2, 3, 5])
def test_fuss_catalan_moments_give_the_series_in_the_signal(factors):
    # log det(1 + s P P^T) / n = s m_1 - s^2 m_2 / 2 + ... with m_k = binomial((p+1) k, k) / (p k + 1)
    edge = (factors + 1) ** (factors + 1) / factors**factors
    signal = 0.05 / edge
    moments = [math.comb((factors + 1) * k, k) / (factors * k + 1) for k in range(1, 14)]
    series = sum((-1) ** (k + 1) * signal**k * m / k for k, m in enumerate(moments, 1))
    found = fuss_catalan_log_determinant(factors, _t(signal), _t(1.0))
    assert found.converged
    assert abs(found.value.item() - series) <= found.error.item() + 1e-16


@pytest.mark.parametrize("alpha", [0.1, 0.999, 1.0, 1.001, 7.0])
@pytest.mark.parametrize("noise", [1e-9, 1e-3, 10.0])
def test_marchenko_pastur_agrees_with_the_quadratic_equation(alpha, noise):
    # stationary point in closed form: kappa = alpha / (noise + tau), tau = signal / (1 + kappa signal)
    signal = 2.5
    tau = _tau(alpha, signal, noise)
    kappa = alpha / (noise + tau)
    value = alpha * math.log(noise + tau) + math.log1p(kappa * signal) - kappa * tau
    found = marchenko_pastur_log_determinant(_t(alpha), _t(signal), _t(noise))
    assert abs(found.value.item() - value) <= found.error.item() + 1e-13 * (1 + abs(value))


def _tau(alpha, signal, noise):
    """Positive root of tau^2 + tau (noise + signal (alpha - 1)) - signal noise = 0."""
    b = noise + signal * (alpha - 1)
    disc = math.sqrt(b * b + 4 * signal * noise)
    return 2 * signal * noise / (b + disc) if b > 0 else (disc - b) / 2


def test_marchenko_pastur_agrees_with_the_density_as_usually_written():
    # a planted error in the substitution, or a forgotten null space, would show here
    alpha, signal, noise = 2.0, 1.5, 0.3
    low, high = (1 - math.sqrt(alpha)) ** 2, (1 + math.sqrt(alpha)) ** 2
    x = torch.linspace(low, high, 400_001, dtype=torch.float64)
    density = ((high - x) * (x - low)).clamp(min=0).sqrt() / (2 * math.pi * x)
    bulk = torch.trapezoid((noise + signal * x).log() * density, x).item()
    found = marchenko_pastur_log_determinant(_t(alpha), _t(signal), _t(noise))
    assert abs(found.value.item() - bulk - (alpha - 1) * math.log(noise)) < 1e-7


def test_batches_of_densities():
    alphas = _t([0.5, 1.0, 2.0])
    together = marchenko_pastur_log_determinant(alphas, torch.ones_like(alphas), 0.1 * torch.ones_like(alphas))
    for alpha, value in zip(alphas, together.value, strict=True):
        single = marchenko_pastur_log_determinant(alpha, _t(1.0), _t(0.1))
        assert abs(single.value - value) < 1e-13
