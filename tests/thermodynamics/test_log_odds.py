"""Lines of log-odds and Bennett's equation: solvers, closed forms, shifts, and where there is no overlap."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import expit

from infotherm.thermodynamics.log_odds import acceptance_logs, acceptance_root, fit_reversal_odds

F64 = torch.float64


def gaussian(mean, n, *batch, seed):
    """Samples whose odds ln p(x) / p(-x) are x: a variance of twice the mean."""
    noise = torch.randn(n, *batch, dtype=F64, generator=torch.Generator().manual_seed(seed))
    return mean + math.sqrt(2 * mean) * noise


def test_two_values_and_their_reverse():
    """x = a or b with counts: the line goes through both empirical log-odds, corrected by ln(n_R / n_F)."""
    forward = torch.tensor([1.0] * 300 + [3.0] * 100, dtype=F64)
    reverse = torch.tensor([-1.0] * 150 + [-3.0] * 20, dtype=F64)
    fit = fit_reversal_odds(forward, reverse, intercept=True)
    odds = [math.log(n / m * 170 / 400) for n, m in ((300, 150), (100, 20))]
    slope = (odds[1] - odds[0]) / 2
    torch.testing.assert_close(
        fit.coefficients, torch.tensor([odds[0] - slope, slope], dtype=F64), rtol=1e-9, atol=1e-9
    )
    # by the delta method: the variance of ln(n / m) in each group of fixed size is that of a log-odds
    groups = ((300, 100), (150, 20))
    variance = sum((n + m) / (n * m) / 4 for n, m in groups)
    assert fit.covariance[1, 1].item() == pytest.approx(variance, rel=0.02)
    assert bool(fit.converged) and not bool(fit.refused) and fit.reason == ""


def test_the_score_vanishes_and_batches_are_fits_by_themselves():
    forward, reverse = gaussian(1.0, 300, 3, seed=0), gaussian(0.5, 120, 3, seed=1)
    fit = fit_reversal_odds(forward, reverse, intercept=True)
    assert fit.coefficients.shape == (3, 2) and fit.covariance.shape == (3, 2, 2)
    for k in range(3):
        x, label = np.r_[forward[:, k], -reverse[:, k]], np.r_[np.ones(300), -np.ones(120)]
        missed = label * expit(
            -label * (math.log(300 / 120) + fit.coefficients[k, 0].item() + fit.coefficients[k, 1].item() * x)
        )
        assert abs(missed.sum()) < 1e-7 and abs((x * missed).sum()) < 1e-7
        alone = fit_reversal_odds(forward[:, k], reverse[:, k], intercept=True)
        torch.testing.assert_close(alone.coefficients, fit.coefficients[k], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(alone.covariance, fit.covariance[k], rtol=1e-7, atol=1e-9)


def test_the_covariance_is_the_spread_of_fits():
    """250 fits: their variance has a relative standard error of 0.09; 4 of these, once in 16 000 per coefficient."""
    fit = fit_reversal_odds(gaussian(1.0, 400, 250, seed=2), gaussian(1.0, 200, 250, seed=3), intercept=True)
    stated, found = fit.covariance.mean(0), torch.cov(fit.coefficients.T)
    torch.testing.assert_close(found.diagonal(), stated.diagonal(), rtol=0.36, atol=0)


def test_without_overlap_the_fit_is_refused():
    fit = fit_reversal_odds(
        torch.stack([gaussian(1.0, 200, seed=4), gaussian(1.0, 200, seed=4).abs()], -1), None, intercept=False
    )
    assert fit.refused.tolist() == [False, True]
    assert "forward and reverse hardly overlap" in fit.reason


@pytest.mark.parametrize(("n", "m"), [(200, 200), (50, 400), (400, 50)])
def test_the_root_of_acceptances(n, m):
    forward, reverse = gaussian(3.0, n, 2, seed=5), gaussian(2.0, m, 2, seed=6)
    u, error = acceptance_root(forward, reverse)
    for k in range(2):
        w, r, shift = forward[:, k].numpy(), reverse[:, k].numpy(), math.log(n / m)
        equation = lambda v: expit(v - w - shift).sum() - expit(shift - r - v).sum()  # noqa: B023, E731
        assert abs(u[k].item() - brentq(equation, -30, 30, xtol=1e-14)) <= error[k].item() + 1e-12
        ahead, behind = acceptance_logs(forward, reverse, u)
        assert ahead.exp().sum(0)[k].item() == pytest.approx(behind.exp().sum(0)[k].item(), rel=1e-10)
    moved, moved_error = acceptance_root(forward + 1e4, reverse - 1e4)
    assert bool(((moved - 1e4 - u).abs() <= moved_error + error + 1e-11).all())
    swapped, _ = acceptance_root(reverse, forward)
    torch.testing.assert_close(swapped, -u, rtol=0, atol=1e-11)


def test_no_overlap_underflows():
    """One work each, w and r: u - w - M = M - r - u gives u = (w - r) / 2, where e^-20000 is no number."""
    u, error = acceptance_root(torch.tensor([2e4], dtype=F64), torch.tensor([2.1e4], dtype=F64))
    assert abs(u.item() + 500.0) <= error.item() + 1e-9
