"""Integrals in two and three dimensions: whitening, breakpoints that keep apart, bounded boxes."""

import math

import pytest
import torch

from infotherm.distributions import Gaussian, GaussianMixture, LogDensity
from infotherm.information.boxes import _apart, in_space

float64 = torch.float64


def mass(law, tolerance=1e-6):
    g = lambda x: law.log_prob(x).exp()  # noqa: E731
    return in_space(g, lambda x: 1e-15 * g(x), [law], law.batch_shape, float64, tolerance)


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
