"""Driven rings: references, the tilted operator as a second route, limits, extreme barriers, refusals."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from infotherm.processes import Langevin, steady_state
from infotherm.processes.ring import effective_diffusion, mean_velocity, ring_production_rate

CASES = json.loads((Path(__file__).parents[2] / "validation/references/langevin_grid.json").read_text(encoding="utf-8"))
RINGS = [case for case in CASES if case["name"].startswith("ring/")]
FUNCTIONS = {
    "mean_velocity": mean_velocity,
    "effective_diffusion": effective_diffusion,
    "entropy_production_rate": ring_production_rate,
}


def ring(f, v, d=1.0, period=2 * math.pi):
    return Langevin(
        force=lambda x: f + v * torch.sin(2 * math.pi * x / period), sigma=(2 * d) ** 0.5, mobility=1.0, periodic=period
    )


@pytest.mark.parametrize("case", RINGS, ids=lambda case: case["name"])
def test_references(case):
    spec = case["spec"]
    found = FUNCTIONS[spec["quantity"]](ring(spec["f"], spec["V"], spec["D"]))
    assert abs(found.value.item() - case["value"]) <= case["tolerance"] * abs(case["value"])
    assert found.error.item() <= 1e-11


def multiplicative(f):
    """b = f + 0.7 cos x and D = 1 + 0.5 sin x."""
    return Langevin(
        force=lambda x: f + 0.7 * torch.cos(x),
        sigma=lambda x, c: torch.sqrt(2 * (1 + 0.5 * torch.sin(x))),
        periodic=2 * math.pi,
    )


@pytest.mark.parametrize("f", [-1.0, 0.4, 3.0])
def test_the_steady_state_has_one_current(f):
    process = multiplicative(f)
    law = steady_state(process)
    x = torch.linspace(0.1, 6.0, 7, dtype=torch.float64)
    drift = f + 0.7 * torch.cos(x)
    diffusion, slope = 1 + 0.5 * torch.sin(x), 0.5 * torch.cos(x)
    current = law.log_prob(x[:, None]).exp() * (drift - slope - diffusion * law.score(x[:, None])[:, 0])
    torch.testing.assert_close(current, torch.full_like(x, law.info["current"]), rtol=1e-10, atol=1e-10)
    velocity = mean_velocity(process)
    assert abs(velocity.value.item() - 2 * math.pi * law.info["current"]) <= velocity.error.item() + 1e-13


@given(st.floats(-3, 3), st.floats(0, 4), st.floats(0.3, 3))
@settings(max_examples=20)
def test_the_velocity_is_the_mean_drift(f, v, d):
    process = ring(f, v, d)
    law = steady_state(process)
    drift = law.expectation(lambda x: f + v * torch.sin(x[..., 0])).item()
    found = mean_velocity(process)
    assert abs(found.value.item() - drift) <= found.error.item() + 1e-9 * (abs(f) + v)


def test_lifson_and_jackson_without_a_drive():
    process = ring(0.0, 3.0)
    up = quad(lambda x: math.exp(3 * math.cos(x)), 0, 2 * math.pi, epsabs=0, epsrel=1e-13)[0]
    expected = (2 * math.pi) ** 2 / (up * up)
    found = effective_diffusion(process)
    assert abs(found.value.item() - expected) <= found.error.item() + 1e-12 * expected
    assert abs(mean_velocity(process).value.item()) <= mean_velocity(process).error.item()


def test_mirror_and_units():
    a, b = ring(1.3, 2.0), ring(-1.3, 2.0)
    assert abs((mean_velocity(a).value + mean_velocity(b).value).item()) <= 1e-12
    assert abs((effective_diffusion(a).value - effective_diffusion(b).value).item()) <= 1e-12
    # x -> 3 x: velocities are three times, diffusion coefficients nine times as large
    wide = Langevin(force=lambda x: 3 * (1.3 + 2 * torch.sin(x / 3)), sigma=3 * 2**0.5, periodic=6 * math.pi)
    torch.testing.assert_close(mean_velocity(wide).value, 3 * mean_velocity(a).value, rtol=1e-12, atol=0)
    torch.testing.assert_close(effective_diffusion(wide).value, 9 * effective_diffusion(a).value, rtol=1e-12, atol=0)


def test_high_barriers_keep_their_digits():
    """Kramers: at a barrier of 2 V / D = 200 the rates follow the curvatures of top and bottom, here within 1 / 100."""
    found = effective_diffusion(ring(0.0, 100.0))
    kramers = 0.5 * (2 * math.pi) ** 2 * 2 * 100.0 / (2 * math.pi) * math.exp(-200.0)
    assert abs(found.value.item() / kramers - 1) < 0.01
    assert found.error.item() < 1e-10 * found.value.item()
    strong = mean_velocity(ring(-400.0, 300.0))
    # without noise the velocity is sqrt(f^2 - V^2)
    assert abs(strong.value.item() + math.sqrt(400.0**2 - 300.0**2)) < 0.02
    assert strong.error.item() < 1e-9 * abs(strong.value.item())


def test_the_uncertainty_relation_is_saturated_by_a_flat_ring():
    for f, v in ((2.0, 0.0), (2.0, 1.0), (0.1, 3.0)):
        process = ring(f, v)
        rate, d, velocity = (
            g(process).value.item() for g in (ring_production_rate, effective_diffusion, mean_velocity)
        )
        excess = rate * d / velocity**2 - 1
        assert excess > -1e-12
        assert (excess < 1e-12) == (v == 0)


def test_refusals():
    with pytest.raises(ValueError, match="must be a ring"):
        mean_velocity(Langevin(force=lambda x: -x, sigma=1.0))
    with pytest.raises(ValueError, match="the drift must have the period"):
        mean_velocity(Langevin(force=lambda x: -x, sigma=1.0, periodic=1.0))
    with pytest.raises(ValueError, match="the diffusion coefficient must have the period"):
        mean_velocity(Langevin(force=1.0, sigma=lambda x, c: 1 + x**2, periodic=1.0))
