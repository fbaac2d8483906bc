"""A trap that is moved: the best protocol, its jumps, and what others cost."""

import json
from pathlib import Path

import pytest
import torch

import infotherm as it
from infotherm.transport import moved_trap

_REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/transport_protocols.json").read_text())


def _case(name):
    (case,) = [c for c in _REFERENCES if c["name"] == name]
    spec = {k: v for k, v in case["spec"].items() if k != "quantity"}
    return moved_trap(**spec), case


@pytest.mark.parametrize("name, attribute", [("trap/best/work", "work"), ("trap/ramp/work", "ramp_work")])
def test_references(name, attribute):
    best, case = _case(name)
    found = getattr(best, attribute)
    assert abs(found.value.item() - case["value"]) <= case["tolerance"] + found.error.item()
    assert found.error.item() < 1e-13 and (found.kind, found.units) == ("exact", "energy")


def test_reference_jump():
    best, case = _case("trap/best/jump")
    assert best.jump.item() == pytest.approx(case["value"], abs=case["tolerance"])
    assert best.centre.after(0.0).item() == pytest.approx(case["value"])


def _mean_work(best, centre, pieces=20000):
    """dm/dt = -mu k (m - c) with c constant in each piece; W sums what its steps do to k (m - c)^2 / 2."""
    k, mu = best.stiffness, best.mobility
    ends = torch.linspace(0.0, best.duration, pieces + 1, dtype=torch.float64)
    places = [0.0, *centre(0.5 * (ends[1:] + ends[:-1])).tolist(), best.distance]
    decay = float(torch.exp(torch.tensor(-mu * k * best.duration / pieces, dtype=torch.float64)))
    mean, work, here = 0.0, 0.0, 0.0
    for i, place in enumerate(places[1:], 1):
        work += 0.5 * k * ((mean - place) ** 2 - (mean - here) ** 2)
        here = place
        if i <= pieces:
            mean = place + (mean - place) * decay
    return work


_TRAP = {"stiffness": 2.0, "distance": -1.5, "duration": 0.8, "mobility": 0.7, "temperature": 1.3}


def test_the_protocol_does_the_least_work_and_a_ramp_its_own():
    best = moved_trap(**_TRAP)
    assert _mean_work(best, best.centre) == pytest.approx(best.work.value.item(), rel=1e-6)
    ramp = it.processes.Protocol([0.0, 0.8], [0.0, -1.5])
    assert _mean_work(best, ramp) == pytest.approx(best.ramp_work.value.item(), rel=1e-6)
    assert best.work.value < best.ramp_work.value
    # a bigger jump, or a smaller one, costs more
    for factor in (0.8, 1.2):
        jump = factor * best.jump.item()
        other = it.processes.Protocol([0.0, 0.0, 0.8, 0.8], [0.0, jump, -1.5 - jump, -1.5])
        assert _mean_work(best, other) > best.work.value.item() * (1 + 1e-4)


def test_no_drive_does_better_with_the_end_left_free():
    best = moved_trap(**_TRAP)
    start, mu, T = best.marginal(0.0), best.mobility, best.temperature

    def total(mean):
        law = it.Gaussian(mean, T / best.stiffness)
        least = it.transport.minimum_entropy_production(start, law, (2 * mu * T) ** 0.5, best.duration)
        return T * least.value.item() + 0.5 * best.stiffness * (best.distance - mean) ** 2

    end = best.marginal(0.8).mean.item()
    assert total(end) == pytest.approx(best.work.value.item(), rel=1e-12)
    assert min(total(end - 1e-3), total(end + 1e-3)) > total(end)


def test_the_law_follows_the_trap():
    best = moved_trap(**_TRAP)
    process, law = best.process(), best.marginal(0.5)
    assert process.drift(law.mean, 0.5).item() == pytest.approx(
        (best.marginal(0.51).mean - best.marginal(0.49).mean).item() / 0.02
    )
    assert process.quasi_invariant(0.0).mean.item() == pytest.approx(best.centre(0.0).item())
    assert best.marginal([0.1, 0.2]).batch_shape == (2,)


def test_slow_and_fast_limits():
    # slow: drag lambda^2 / (mu T) for both; fast: the trap is there at once, k lambda^2 / 2
    slow = moved_trap(1.0, 1.0, 1e9)
    assert slow.work.value.item() == pytest.approx(1e-9) and slow.ramp_work.value.item() == pytest.approx(1e-9)
    fast = moved_trap(1.0, 1.0, 1e-9)
    assert fast.work.value.item() == pytest.approx(0.5, rel=1e-8)
    assert fast.ramp_work.value.item() == pytest.approx(0.5 - 1e-9 / 6, abs=1e-16)
    # both branches of the ramp's formula meet
    below, above = (moved_trap(1.0, 1.0, 1.0 + d).ramp_work.value.item() for d in (-1e-12, 1e-12))
    assert below == pytest.approx(above, rel=1e-11)


@pytest.mark.parametrize("name", ["stiffness", "duration", "mobility", "temperature"])
def test_what_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be > 0"):
        moved_trap(**_TRAP | {name: 0.0})
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        moved_trap(**_TRAP | {name: float("nan")})
    with pytest.raises(ValueError, match=f"{name} must be one number"):
        moved_trap(**_TRAP | {name: [1.0, 2.0]})
