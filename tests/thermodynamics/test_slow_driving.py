"""Slow driving: lengths in closed form, schedules, and the exact work of traps that move and stiffen."""

import json
import math
from pathlib import Path

import pytest
import torch
from scipy.integrate import solve_ivp

from infotherm.core.estimate import Estimate
from infotherm.thermodynamics.friction import harmonic_friction, overdamped_friction
from infotherm.thermodynamics.slow_driving import optimal_schedule, slow_excess_work, thermodynamic_length

F64 = torch.float64
FILE = Path(__file__).parents[2] / "validation/references/information_thermodynamics.json"
CASES = {case["name"]: case for case in json.loads(FILE.read_text())}


def stiffness_friction(k):
    return harmonic_friction(k[..., 0])[..., 1:, 1:]


def agrees(found, expected, accuracy=1e-8):
    return abs(found.value.item() - expected) <= found.error.item() + 1e-15 * abs(expected) and found.error < accuracy


def moved_trap_work(speed, duration, stiffness=1.0, mobility=1.0):
    """Mean work of a trap that begins to move in equilibrium; its free energy does not change."""
    lag = 1 / (mobility * stiffness)
    return speed**2 / mobility * (duration - lag * (1 - math.exp(-duration / lag)))


def test_a_moved_trap_against_its_exact_work():
    spec, value = (CASES["slow-driving/moved-trap"][key] for key in ("spec", "value"))
    assert moved_trap_work(spec["speed"], spec["duration"]) == pytest.approx(value["work"], rel=1e-12)
    for duration in (2.0, 50.0, 2000.0):
        path = [[0.0], [spec["speed"] * duration]]
        slow = slow_excess_work([[1.0]], path, duration)
        length = thermodynamic_length([[1.0]], path)
        assert agrees(slow, spec["speed"] ** 2 * duration, 1e-6) and slow.kind == "exact"
        assert length.value.item() ** 2 / duration == pytest.approx(slow.value.item(), rel=1e-12)
        ratio = slow.value.item() / moved_trap_work(spec["speed"], duration)
        # relaxation at the start saves one relaxation time: a correction of that share
        assert ratio == pytest.approx(1 / (1 - 1 / duration), abs=2 * math.exp(-duration) + 1e-12)


def stiffened_trap_work(stiffness, duration, mobility=1.0, temperature=1.0):
    """Excess work of k(t) from equilibrium, from the equation of the variance."""

    def slopes(t, y):
        k, rate = stiffness(t / duration)
        excess = y[0] - temperature / k
        return [-2 * mobility * (k * y[0] - temperature), 0.5 * rate / duration * excess]

    start = [temperature / stiffness(0.0)[0], 0.0]
    solved = solve_ivp(slopes, (0.0, duration), start, method="LSODA", rtol=1e-10, atol=1e-13)
    return solved.y[1, -1]


def test_a_stiffened_trap_against_its_exact_work():
    path = lambda s: (1 + 3 * s)[..., None]  # noqa: E731
    ratios = []
    for duration in (20.0, 40.0, 80.0, 160.0):
        slow = slow_excess_work(stiffness_friction, path, duration)
        exact = stiffened_trap_work(lambda s: (1 + 3 * s, 3.0), duration)
        ratios.append(exact / slow.value.item() - 1)
    # corrections fall like one over the duration
    assert abs(ratios[-1]) < 0.02
    for longer, shorter in zip(ratios[1:], ratios, strict=False):
        assert abs(longer / shorter) == pytest.approx(0.5, abs=0.1)


def test_length_and_best_schedule_of_a_stiffened_trap():
    # sqrt(zeta) = 1 / (2 k^1.5), L = 1 / sqrt(k0) - 1 / sqrt(k1)
    length = thermodynamic_length(stiffness_friction, [[0.5], [4.0]])
    expected = 0.5**-0.5 - 0.5
    assert agrees(length, expected) and length.units == "sqrt(energy*time)"
    schedule = optimal_schedule(stiffness_friction, [[0.5], [4.0]], 21)
    roots = schedule.parameters[:, 0] ** -0.5
    assert torch.allclose(roots, 0.5**-0.5 - expected * schedule.times, atol=1e-9)
    # in exact dynamics it costs L^2 / duration, and less than a constant rate
    duration = 400.0
    best = stiffened_trap_work(
        lambda s: ((0.5**-0.5 - expected * s) ** -2, 2 * expected * (0.5**-0.5 - expected * s) ** -3), duration
    )
    steady = stiffened_trap_work(lambda s: (0.5 + 3.5 * s, 3.5), duration)
    assert best == pytest.approx(expected**2 / duration, rel=0.02) and steady > 1.3 * best
    rate = slow_excess_work(stiffness_friction, [[0.5], [4.0]], duration)
    assert rate.value > length.value**2 / duration


def test_the_schedule_has_constant_speed_and_the_least_excess_work():
    def well(x, c):
        return c[..., 0] * (x**2 - 1) ** 2 - c[..., 1] * x

    def friction(c):
        return overdamped_friction(well, c, lower=-2.4, upper=2.4)

    corners = torch.tensor([[0.5, 0.0], [2.0, 0.0], [2.0, 1.0]], dtype=F64)
    schedule = optimal_schedule(friction, corners, 6, rtol=1e-7)
    lengths = [
        thermodynamic_length(friction, torch.stack([a, b]), rtol=1e-8).value.item()
        for a, b in [(corners[0], corners[1]), (corners[1], corners[2])]
    ]
    assert schedule.length.value.item() == pytest.approx(sum(lengths), rel=1e-8)
    # the corner falls where the lengths say
    before = schedule.positions < 0.5
    assert schedule.times[before].max() <= lengths[0] / sum(lengths) <= schedule.times[~before].min()
    spans = []
    for k in range(5):
        if bool(before[k]) == bool(before[k + 1]):
            span = schedule.parameters[k : k + 2]
            spans.append(thermodynamic_length(friction, span, rtol=1e-8).value.item())
    assert max(spans) / min(spans) - 1 < 1e-6
    power = slow_excess_work(friction, corners, 1.0, rtol=1e-8)
    assert power.value > schedule.length.value**2


def test_length_does_not_depend_on_the_parametrisation():
    straight = thermodynamic_length(stiffness_friction, [[1.0], [3.0]])
    curved = thermodynamic_length(stiffness_friction, lambda s: (1 + 2 * s**3)[..., None])
    assert abs(straight.value - curved.value) <= straight.error + curved.error + 1e-9
    assert slow_excess_work(stiffness_friction, lambda s: (1 + 2 * s**3)[..., None], 1.0).value > straight.value**2


def test_errors_of_the_friction_are_carried():
    def measured(c):
        return Estimate(
            torch.ones(len(c), 1, 1, dtype=F64), stderr=0.02, error=0.01, kind="estimate", method="sample-based"
        )

    length = thermodynamic_length(measured, [[0.0], [2.0]])
    assert length.kind == "estimate"
    assert length.stderr.item() == pytest.approx(2 * 0.02, rel=1e-9)
    assert length.error.item() >= 2 * (1 - math.sqrt(0.99)) and length.error.item() < 0.03


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: slow_excess_work([[1.0]], [[0.0], [1.0]], 0.0), "duration must be positive"),
        (lambda: thermodynamic_length([[1.0]], [[0.0]]), "at least 2 points"),
        (lambda: thermodynamic_length([[1.0]], [0.0, 1.0]), "path must have shape"),
        (lambda: thermodynamic_length([[1.0]], [[0.0, 0.0], [1.0, 1.0]]), r"friction must have shape \(..., 2, 2\)"),
        (lambda: thermodynamic_length([[-1.0]], [[0.0], [1.0]]), "negative direction"),
        (lambda: optimal_schedule([[1.0]], [[1.0], [1.0]]), "positive thermodynamic length"),
        (lambda: optimal_schedule([[1.0]], [[0.0], [1.0]], 1), "n_times must be at least 2"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
