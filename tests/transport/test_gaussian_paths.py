"""Dissipation along given paths of Gaussians, against closed forms, divergences and geodesics."""

import json
import math
from pathlib import Path

import pytest
import torch

import infotherm as it
from infotherm.transport import geodesic, minimum_entropy_production, path_dissipation

_REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/transport_protocols.json").read_text())
_P = it.Gaussian([0.0, 0.0], [[1.0, 0.6], [0.6, 2.0]])
_Q = it.Gaussian([1.0, -0.5], [[2.5, -0.9], [-0.9, 1.2]])
_PATHS = {
    "path/linear-variance": (lambda t: 1.5 * t, lambda t: 1 + 3 * t),
    "path/relaxation": (lambda t: 2 * torch.exp(-t), lambda t: 1 - 0.75 * torch.exp(-2 * t)),
}


def _value(name):
    (case,) = [c for c in _REFERENCES if c["name"] == name]
    return case["value"], case["tolerance"]


@pytest.mark.parametrize("name", _PATHS)
def test_references(name):
    mean, variance = _PATHS[name]
    paid = path_dissipation(mean, variance, 2**0.5, 1.0)
    value, tolerance = _value(name)
    assert abs(paid.value.item() - value) <= paid.error.item() + 1e-15 and paid.error.item() < tolerance * 10
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    p, q = (it.Gaussian(m, v) for m, v in zip(mean(times), variance(times), strict=True))
    ratio = paid / minimum_entropy_production(p, q, 2**0.5, 1.0)
    value, tolerance = _value(f"{name}/ratio")
    assert ratio.value.item() == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize("matrix", [False, True])
def test_the_geodesic_pays_the_least_and_a_detour_more(matrix):
    sigma = torch.tensor([[1.1, 0.3], [0.2, 0.8]], dtype=torch.float64) if matrix else 0.9
    drive = it.transport.optimal_protocol(_P, _Q, sigma, 2.0)
    paid = path_dissipation(lambda t: drive.marginal(t).mean, lambda t: drive.marginal(t).covariance, sigma, 2.0)
    least = drive.entropy_production
    assert abs(paid.value - least.value) <= paid.error + least.error + 1e-12

    def straight(t):
        s = (t / 2)[:, None, None]
        return (1 - s) * _P.covariance + s * _Q.covariance

    assert path_dissipation(lambda t: drive.marginal(t).mean, straight, sigma, 2.0).value > least.value * 1.001


def test_noise_that_grows():
    # a rigid shift at constant speed v under sigma^2 = 1 + t: integral of 2 v^2 / (1 + t)
    paid = path_dissipation(lambda t: 3 * t, lambda t: torch.ones_like(t), lambda t: (1 + t).sqrt(), 1.0)
    assert paid.value.item() == pytest.approx(18 * math.log(2), rel=1e-12)


def test_a_rotation_that_leaves_the_law_as_it_is_costs_nothing_more():
    path = geodesic(_P, _P)
    assert path_dissipation(lambda t: path.at(t).mean, lambda t: path.at(t).covariance, 1.0, 1.0).value.item() < 1e-20


def test_what_is_refused():
    with pytest.raises(ValueError, match="positive definite; it is not at t"):
        path_dissipation(lambda t: t, lambda t: 1 - 2 * t, 1.0, 1.0)
    with pytest.raises(ValueError, match="mean must give shape"):
        path_dissipation(lambda t: torch.zeros(3), lambda t: 1 + t, 1.0, 1.0)
    with pytest.raises(TypeError, match="covariance must give a tensor"):
        path_dissipation(lambda t: t, lambda t: t.detach().numpy(), 1.0, 1.0)
    with pytest.raises(ValueError, match="without batch"):
        path_dissipation(lambda t: t, lambda t: 1 + t, 1.0, [1.0, 2.0])
