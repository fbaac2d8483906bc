"""The tilted operator of a ring: derivatives are velocity and diffusion; the symmetry of Gallavotti and Cohen."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.processes import Langevin
from infotherm.processes.ring import effective_diffusion, mean_velocity
from infotherm.thermodynamics.ring_counting import ring_cumulant_generating_function


def ring(f, v):
    return Langevin(force=lambda x: f + v * torch.sin(x), sigma=2**0.5, periodic=2 * math.pi)


@pytest.mark.parametrize(("f", "v"), [(1.0, 1.0), (3.0, 2.0), (0.5, 4.0)])
def test_derivatives_at_zero(f, v):
    step = 1e-2
    q = step * torch.arange(-3, 4, dtype=torch.float64)
    value = ring_cumulant_generating_function(ring(f, v), q).value
    first = torch.tensor([-1, 9, -45, 0, 45, -9, 1], dtype=torch.float64) @ value / (60 * step)
    second = torch.tensor([2, -27, 270, -490, 270, -27, 2], dtype=torch.float64) @ value / (180 * step**2)
    assert abs((first - mean_velocity(ring(f, v)).value).item()) < 1e-9
    assert abs((second / 2 - effective_diffusion(ring(f, v)).value).item()) < 1e-6


@given(st.floats(-2, 2), st.floats(0, 3), st.floats(-1.5, 1.5))
@settings(max_examples=10)
def test_gallavotti_and_cohen(f, v, q):
    pair = ring_cumulant_generating_function(ring(f, v), torch.tensor([q, -q - f], dtype=torch.float64))
    assert abs((pair.value[0] - pair.value[1]).item()) <= pair.error.sum().item()


def test_zero_tilt():
    found = ring_cumulant_generating_function(ring(1.0, 1.0), 0.0)
    assert abs(found.value.item()) <= found.error.item() < 1e-9
