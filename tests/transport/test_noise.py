"""Noise of a fixed direction and changing strength: minima, drives, and what has no closed form."""

import math

import pytest
import torch

import infotherm as it
from infotherm.transport import minimum_entropy_production
from infotherm.transport.noise import Noise

_P = it.Gaussian([0.0, 0.0], [[1.0, 0.6], [0.6, 2.0]])
_Q = it.Gaussian([1.0, -0.5], [[2.5, -0.9], [-0.9, 1.2]])
_MATRIX = torch.tensor([[1.1, 0.3], [0.2, 0.8]], dtype=torch.float64)


def _growing(t):
    return (1 + t)[..., None, None] * _MATRIX


def test_a_matrix_times_a_function_of_time():
    # the integral of (1 + t)^2 over [0, 2] is 26 / 3: as much as the constant matrix over that duration
    found = minimum_entropy_production(_P, _Q, _growing, 2.0)
    same = minimum_entropy_production(_P, _Q, _MATRIX, 26 / 3)
    assert found.value.item() == pytest.approx(same.value.item(), rel=1e-13)
    constant = minimum_entropy_production(_P, _Q, lambda t: _MATRIX.expand(*t.shape, 2, 2), 2.0)
    assert constant.value.item() == pytest.approx(minimum_entropy_production(_P, _Q, _MATRIX, 2.0).value.item())


def test_noise_that_turns_has_no_closed_form():
    def turning(t):
        c, s = torch.cos(t), torch.sin(t)
        return torch.stack([torch.stack([c, -s], -1), 2 * torch.stack([s, c], -1)], -2) @ torch.diag(
            torch.tensor([1.0, 3.0], dtype=torch.float64)
        )

    with pytest.raises(ValueError, match="one matrix times a function of time.*no closed form"):
        minimum_entropy_production(_P, _Q, turning, 1.0)


def test_samples_in_the_metric_of_a_matrix():
    pytest.importorskip("ot")
    x, y = (law.sample((60,), generator=seed) for seed, law in enumerate((_P, _Q)))
    found = minimum_entropy_production(it.Empirical(x), it.Empirical(y), _MATRIX, 1.5)
    root = torch.linalg.cholesky(torch.linalg.inv(_MATRIX @ _MATRIX.mT))
    distance = it.wasserstein2(it.Empirical(x @ root), it.Empirical(y @ root))
    assert found.value.item() == pytest.approx(2 * distance.value.item() ** 2 / 1.5, rel=1e-12)


def test_the_clock():
    noise = Noise(lambda t: 1 + t, 2.0, it.Gaussian(0.0, 1.0))
    assert noise.exposure.item() == pytest.approx(26 / 3)
    assert noise.clock(1.0).item() == pytest.approx((7 / 3) / (26 / 3))
    assert noise.rate(1.0).item() == pytest.approx(4 / (26 / 3))
    assert noise.time(2.0 * (1 + 1e-15)).item() == 2.0
    for t in (-1e-9, 2.1, math.nan):
        with pytest.raises(ValueError, match=r"t must lie in \[0, duration\]"):
            noise.clock(t)
