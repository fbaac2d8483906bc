"""Gaussian fits: forward KL covers, reverse KL seeks; stationarity, local minima, exact cases, scales."""

from functools import cache

import pytest
import torch
import torch.distributions as td

from infotherm.distributions import Gaussian, GaussianMixture
from infotherm.information import kl
from infotherm.information.fits import forward_kl_fit, reverse_kl_fit

float64 = torch.float64
TWO = GaussianMixture([0.4, 0.6], [-3.0, 2.0], [0.5, 1.0])


def tensor(x):
    return torch.tensor(x, dtype=float64)


@cache
def reverse_fit():
    return reverse_kl_fit(TWO)


def test_forward_fit_matches_moments_and_is_the_minimum():
    fit = forward_kl_fit(TWO)
    assert torch.equal(fit.law.mean, TWO.mean) and fit.direction == "forward"
    assert fit.law.covariance.item() == pytest.approx(TWO.variance.item(), rel=1e-14)
    assert fit.divergence.kind == "exact" and fit.converged
    for dm, dv in ((0.05, 0.0), (-0.05, 0.0), (0.0, 0.1), (0.0, -0.1)):
        other = kl(TWO, Gaussian(fit.law.mean + dm, fit.law.covariance + dv))
        assert other.value - other.error > fit.divergence.value + fit.divergence.error


def test_reverse_fit_is_stationary_and_a_minimum():
    fit = reverse_fit()
    assert fit.converged and fit.direction == "reverse"
    mean, variance = fit.law.mean.clone().requires_grad_(), fit.law.covariance.clone().requires_grad_()
    slopes = torch.autograd.grad(kl(Gaussian(mean, variance), TWO).value, (mean, variance))
    assert all(s.abs().max() < 1e-5 for s in slopes)
    for dm, dv in ((0.05, 0.0), (-0.05, 0.0), (0.0, 0.05), (0.0, -0.05)):
        other = kl(Gaussian(fit.law.mean + dm, fit.law.covariance + dv), TWO)
        assert other.value > fit.divergence.value


def test_one_covers_the_modes_and_the_other_seeks_one():
    forward, reverse = forward_kl_fit(TWO), reverse_fit()
    valley, modes = tensor([[-0.5]]), tensor([[-3.0], [2.0]])
    assert (forward.law.log_prob(modes) > TWO.log_prob(modes) - 4).all()  # covers both
    assert forward.law.log_prob(valley) > TWO.log_prob(valley) + 1  # and the valley between them
    assert abs(reverse.law.mean.item() - 2.0) < 0.1  # the heavier mode
    assert reverse.law.log_prob(modes[:1]) < TWO.log_prob(modes[:1]) - 5  # and not the other
    # each is the better one in its own sense
    assert kl(TWO, forward.law).value < kl(TWO, reverse.law).value
    assert kl(reverse.law, TWO).value < kl(forward.law, TWO).value


def test_local_minima_are_reported_best_first():
    fit = reverse_fit()
    heights = [m.divergence.value.item() for m in fit.minima]
    assert len(heights) >= 2 and heights == sorted(heights) and heights[0] == fit.divergence.value
    means = [m.law.mean.item() for m in fit.minima]
    assert any(abs(m + 3.0) < 0.1 for m in means) and any(abs(m - 2.0) < 0.1 for m in means)
    # an isolated component of weight w is fitted exactly, at the price log(1/w)
    far = reverse_kl_fit(GaussianMixture([0.4, 0.6], [-50.0, 50.0], [0.5, 1.0]))
    assert far.divergence.value.item() == pytest.approx(-tensor(0.6).log().item(), rel=1e-10)


def test_a_gaussian_is_fitted_by_itself():
    law = Gaussian([1.0, -1.0], [[2.0, 0.5], [0.5, 1.0]])
    for fit in (forward_kl_fit(law), reverse_kl_fit(law, Gaussian([0.0, 0.0], torch.eye(2, dtype=float64)))):
        assert torch.allclose(fit.law.mean, law.mean, atol=1e-6)
        assert torch.allclose(fit.law.covariance, law.covariance, atol=1e-6)
        assert fit.divergence.value < 1e-10


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scales_do_not_matter(scale):
    law = GaussianMixture([0.4, 0.6], [-3.0 * scale, 2.0 * scale], [0.5 * scale**2, scale**2])
    fit, unit = reverse_kl_fit(law), reverse_fit()
    assert fit.law.mean.item() == pytest.approx(scale * unit.law.mean.item(), rel=1e-6)
    assert fit.divergence.value.item() == pytest.approx(unit.divergence.value.item(), rel=1e-9)


def test_other_laws_and_starts():
    fit = reverse_kl_fit(td.Laplace(tensor(1.0), tensor(1.0)))
    assert fit.converged and fit.law.mean.item() == pytest.approx(1.0, abs=1e-2)
    started = reverse_kl_fit(TWO, Gaussian(-3.0, 0.5))
    assert started.law.mean.item() == pytest.approx(-3.0, abs=0.1) and len(started.minima) == 1


def test_bad_input():
    with pytest.raises(ValueError, match="one law"):
        forward_kl_fit(Gaussian(torch.zeros(2, 1), torch.ones(1, 1)))
    with pytest.raises(ValueError, match="finite mean"):
        forward_kl_fit(td.Cauchy(tensor(0.0), tensor(1.0)))
    with pytest.raises(ValueError, match="D <= 3"):
        reverse_kl_fit(Gaussian(torch.zeros(4, dtype=float64), torch.eye(4, dtype=float64)))
    with pytest.raises(ValueError, match="start"):
        reverse_kl_fit(TWO, Gaussian([0.0, 0.0], torch.eye(2, dtype=float64)))


def test_no_convergence_is_said():
    with pytest.warns(RuntimeWarning, match="converged from no start"):
        fit = reverse_kl_fit(TWO, Gaussian(0.0, 10.0), max_iterations=1)
    assert not fit.converged
