"""The least entropy production, and drives that attain it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import infotherm as it
from infotherm.transport import minimum_entropy_production, optimal_protocol

_REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/transport_gaussian.json").read_text())
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_P = it.Gaussian([0.0, 0.0], [[1.0, 0.6], [0.6, 2.0]])
_Q = it.Gaussian([1.0, -0.5], [[2.5, -0.9], [-0.9, 1.2]])
_MATRIX = torch.tensor([[1.1, 0.3], [0.2, 0.8]], dtype=torch.float64)


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


def test_reference():
    (case,) = [c for c in _REFERENCES if c["spec"]["quantity"] == "minimum_entropy_production"]
    spec = case["spec"]
    p, q = (it.Gaussian(spec[k]["mean"], spec[k]["covariance"]) for k in "pq")
    found = minimum_entropy_production(p, q, math.sqrt(2 * spec["diffusion"]), spec["duration"])
    assert found.value.item() == pytest.approx(case["value"], rel=case["tolerance"])
    assert abs(found.value.item() - case["value"]) <= found.error.item() < 1e-12
    assert (found.kind, found.units) == ("exact", "nat")


_AMPLITUDES = {
    "constant": (0.9, lambda t: 0.9**2 / 2 * torch.eye(2).double()),
    "growing": (lambda t: 1 + t, lambda t: (1 + t) ** 2 / 2 * torch.eye(2).double()),
    "matrix": (_MATRIX, lambda t: _MATRIX @ _MATRIX.mT / 2),
    "growing matrix": (
        lambda t: (1 + t)[..., None, None] * _MATRIX,
        lambda t: (1 + t) ** 2 * _MATRIX @ _MATRIX.mT / 2,
    ),
}


@pytest.mark.parametrize("name", _AMPLITUDES)
def test_the_drive_attains_the_minimum(name):
    # entropy production rate E[nu^T D^-1 nu] with nu = b - D grad log p, integrated along the drive
    sigma, diffusion = _AMPLITUDES[name]
    drive = optimal_protocol(_P, _Q, sigma, 2.0)
    total = 0.0
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        t = node + 1
        law, (K, c), D = drive.marginal(t), drive.affine(t), diffusion(t)
        inverse = torch.linalg.inv(D)
        gain = K + D @ law.precision
        drift = K @ law.mean + c
        total += weight * (torch.trace(gain.mT @ inverse @ gain @ law.covariance) + drift @ inverse @ drift).item()
    least = drive.entropy_production
    assert total == pytest.approx(least.value.item(), rel=1e-12)
    assert least.value == minimum_entropy_production(_P, _Q, sigma, 2.0).value


@pytest.mark.parametrize("name", _AMPLITUDES)
def test_the_drive_moves_the_law(name):
    # mean and covariance under dX = (K x + c) dt + noise follow the marginals it states
    sigma, diffusion = _AMPLITUDES[name]
    drive = optimal_protocol(_P, _Q, sigma, 2.0)
    for law, t in ((_P, 0.0), (_Q, 2.0)):
        assert torch.allclose(drive.marginal(t).mean, law.mean, atol=1e-14)
        assert torch.allclose(drive.marginal(t).covariance, law.covariance, rtol=1e-12)
    t, h = 0.7, 1e-5
    law, ahead, behind = drive.marginal(t), drive.marginal(t + h), drive.marginal(t - h)
    K, c = drive.affine(t)
    assert torch.allclose(K @ law.mean + c, (ahead.mean - behind.mean) / (2 * h), atol=1e-8)
    growth = K @ law.covariance + law.covariance @ K.mT + 2 * diffusion(t)
    assert torch.allclose(growth, (ahead.covariance - behind.covariance) / (2 * h), atol=1e-8)
    x = _t([[0.3, -1.0], [2.0, 0.0]])
    assert torch.allclose(drive.drift(x, t), x @ K.mT + c, rtol=1e-13)


def test_more_noise_or_more_time_costs_less_and_any_other_drive_more():
    p, q = it.Gaussian(0.0, 1.0), it.Gaussian(2.0, 1.0)
    least = minimum_entropy_production(p, q, 1.0, 1.0)
    assert least.value.item() == 8.0
    assert minimum_entropy_production(p, q, 2.0, 3.0).value.item() == pytest.approx(8.0 / 12)
    # relaxation of an Ornstein-Uhlenbeck process from N(2, 1) towards N(0, 1): S = KL(p_0||pi) - KL(p_T||pi)
    duration, pi = 1.0, it.Gaussian(0.0, 1.0)
    end = it.Gaussian(2 * math.exp(-duration), 1.0)
    produced = it.kl(q, pi) - it.kl(end, pi)
    assert produced.value > minimum_entropy_production(q, end, math.sqrt(2.0), duration).value


def test_matrix_noise_is_a_change_of_units():
    diagonal = torch.diag(_t([2.0, 0.5]))
    p = it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
    q = it.Gaussian([1.0, 1.0], [[1.0, 0.0], [0.0, 1.0]])
    # sum over coordinates of 2 shift^2 / (sigma_i^2 T)
    assert minimum_entropy_production(p, q, diagonal, 1.0).value.item() == pytest.approx(2 / 4 + 2 / 0.25, rel=1e-14)
    scalar = minimum_entropy_production(p, q, 0.7, 1.0)
    matrix = minimum_entropy_production(p, q, 0.7 * torch.eye(2).double(), 1.0)
    assert matrix.value.item() == pytest.approx(scalar.value.item(), rel=1e-14)


def test_batches_of_amplitudes_and_durations():
    p, q = it.Gaussian(0.0, 1.0), it.Gaussian(2.0, 1.0)
    found = minimum_entropy_production(p, q, _t([1.0, 2.0])[:, None], _t([1.0, 2.0, 4.0]))
    assert found.shape == (2, 3)
    assert found.value.tolist() == [[8.0, 4.0, 2.0], [2.0, 1.0, 0.5]]


def test_kinds_and_gradients_pass_through():
    mixture = it.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.25]], [[0.25]]])
    found = minimum_entropy_production(mixture, it.Gaussian(0.0, 1.0), 1.0, 1.0)
    assert found.method == "quadrature" and found.kind == "exact"
    sigma = _t(1.0).requires_grad_()
    minimum_entropy_production(it.Gaussian(0.0, 1.0), it.Gaussian(2.0, 1.0), sigma, 1.0).value.backward()
    assert sigma.grad.item() == pytest.approx(-16.0)


def test_singular_laws_have_a_minimum_but_no_drive_at_the_end():
    point = it.Gaussian.from_factor([0.0], [[0.0]])
    drive = optimal_protocol(point, it.Gaussian(1.0, 1.0), 1.0, 1.0)
    assert drive.entropy_production.value.item() == pytest.approx(4.0)
    assert torch.isfinite(drive.affine(0.5)[0]).all()
    with pytest.raises(ValueError, match="singular"):
        drive.affine(0.0)


@pytest.mark.parametrize(
    "sigma, duration, message",
    [
        (0.0, 1.0, "sigma must be > 0"),
        (-1.0, 1.0, "sigma must be > 0"),
        (math.nan, 1.0, "sigma must be finite"),
        (1.0, 0.0, "duration must be > 0"),
        (torch.ones(2, 2, dtype=torch.float64), 1.0, "invertible"),
        (lambda t: t - 0.5, 1.0, "at all times"),
    ],
)
def test_what_is_refused(sigma, duration, message):
    with pytest.raises(ValueError, match=message):
        minimum_entropy_production(_P, _Q, sigma, duration)


def test_matrix_noise_needs_gaussians_and_times_lie_within_the_drive():
    mixture = it.GaussianMixture([1.0], [[0.0, 0.0]], torch.eye(2).double()[None])
    with pytest.raises(TypeError, match="matrix sigma needs Gaussian laws or samples; q is a GaussianMixture"):
        minimum_entropy_production(_P, mixture, _MATRIX, 1.0)
    with pytest.raises(ValueError, match=r"t must lie in \[0, duration\]"):
        optimal_protocol(_P, _Q, 1.0, 1.0).marginal(1.5)
