"""Integrals in two and three dimensions: whitening, breakpoints that keep apart, bounded boxes."""

import math
import warnings

import pytest
import torch

from infotherm.distributions import Gaussian, GaussianMixture, LogDensity
from infotherm.information import entropy
from infotherm.information.boxes import _apart, _is_smooth, in_space

float64 = torch.float64


def mass(law, tolerance=1e-6):
    g = lambda x: law.log_prob(x).exp()  # noqa: E731
    return in_space(g, lambda x: 1e-15 * g(x), [law], [law], law.batch_shape, float64, tolerance)


@pytest.mark.parametrize("correlation", [0.0, 0.9, 0.999999])
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_whitening_makes_every_gaussian_easy(correlation, scale):
    cov = scale**2 * torch.tensor([[1.0, correlation], [correlation, 1.0]], dtype=float64)
    result, rounding = mass(Gaussian([scale, -scale], cov))
    assert result.converged and result.evaluations < 200_000
    assert abs(result.value.item() - 1) <= (result.error + rounding).item() < 1e-5


def test_a_batch_of_laws():
    means = torch.tensor([[0.0, 0.0], [10.0, -10.0]], dtype=float64)
    result, rounding = mass(Gaussian(means, torch.eye(2, dtype=float64)))
    assert ((result.value - 1).abs() <= result.error + rounding).all()


def test_separate_modes_in_three_dimensions():
    law = GaussianMixture([0.3, 0.7], [[0.0, 0.0, 0.0], [3.0, 1.0, 2.0]], [0.5, 1.0])
    result, rounding = mass(law, tolerance=1e-2)
    assert abs(result.value.item() - 1) <= (result.error + rounding).item() < 1e-2


def test_a_half_space_is_not_whitened():
    law = LogDensity(
        lambda x: math.log(2) - 0.5 * x.square().sum(-1) - math.log(2 * math.pi),
        dim=2,
        lower=torch.tensor([0.0, -math.inf], dtype=float64),
    )
    result, rounding = mass(law)
    assert abs(result.value.item() - 1) <= (result.error + rounding).item() < 1e-5


def test_breakpoints_that_nearly_coincide_are_one():
    points = [torch.tensor([x], dtype=float64) for x in (0.0, 1e-9, 1.0, 1.001, math.nan, 2.0)]
    kept = _apart(points)[:, 0]
    assert kept[torch.isfinite(kept)].tolist() == [0.0, 1.0, 2.0]
    assert _apart([]) is None


@pytest.mark.parametrize("width", [1.0, 0.05])
def test_a_turned_product_has_the_entropy_of_its_factors(width):
    """A mixture along one axis beside two independent coordinates, turned: a lattice, or boxes where it is narrow."""
    line = GaussianMixture([0.3, 0.7], [0.0, 2.0], [width**2, 1.0])
    means = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]], dtype=float64)
    covariances = torch.diag_embed(torch.tensor([[width**2, 1.0, 0.25], [1.0, 1.0, 0.25]], dtype=float64))
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=float64, generator=torch.Generator().manual_seed(0))).Q
    law = GaussianMixture([0.3, 0.7], means, covariances).affine(turn)
    factor = torch.linalg.cholesky(law.covariance)
    assert _is_smooth([law], [law], factor) == (width == 1.0)
    assert not _is_smooth([law], [law, LogDensity(law.log_prob, dim=3)], factor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        whole = entropy(law, method="quadrature")
    truth = entropy(line) + entropy(Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 0.25]]))
    assert abs(float(whole) - float(truth)) <= float(whole.error + truth.error)
    assert width < 1 or float(whole.error) < 1e-7
