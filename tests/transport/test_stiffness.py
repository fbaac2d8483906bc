"""A trap whose stiffness is changed: the best protocol against moments, minimisation and other protocols."""

import json
import math
from pathlib import Path

import pytest
import torch

import infotherm as it
from infotherm.transport import changed_stiffness

_REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/transport_protocols.json").read_text())
_CASES = [c for c in _REFERENCES if c["spec"]["quantity"] == "changed_stiffness_work"]
_TRAP = {"initial_stiffness": 1.5, "final_stiffness": 4.0, "duration": 0.6, "mobility": 0.8, "temperature": 1.3}


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case["name"])
def test_references(case):
    best = changed_stiffness(**{k: v for k, v in case["spec"].items() if k != "quantity"})
    assert abs(best.work.value.item() - case["value"]) <= case["tolerance"] + best.work.error.item()
    assert best.work.error.item() < 1e-13 and best.work.kind == "exact"


def test_there_are_references():
    assert len(_CASES) == 2


@pytest.mark.parametrize("final", [4.0, 0.3])
def test_exact_moments_follow_and_the_work_adds_up(final):
    best = changed_stiffness(**_TRAP | {"final_stiffness": final})
    process = best.affine_process()
    for t in (0.2, 0.6):
        law = process.marginal(best.marginal(0.0), t)
        assert torch.allclose(law.covariance, best.marginal(t).covariance, rtol=1e-10)
    # W = jumps and integral of (1 / 2) C dk
    C, k = (lambda t: best.marginal(t).covariance[..., 0, 0]), best.protocol
    ends = [0.5 * C(t) * (k.after(t) - k.before(t)) for t in (0.0, 0.6)]
    inside = it.core.quadrature.integrate(lambda t: 0.5 * C(t) * k.derivative(t), 1e-300, 0.6 * (1 - 1e-16))
    assert (ends[0] + ends[1] + inside.value).item() == pytest.approx(best.work.value.item(), rel=1e-12)
    assert k.jumps.tolist() == [0.0, 0.6]
    assert (k.before(0.0).item(), k.after(0.6).item()) == (1.5, final)


def test_the_end_is_the_best_one_and_no_drive_does_better():
    best = changed_stiffness(**_TRAP)
    k1, mu, T = 4.0, 0.8, 1.3
    start = it.Gaussian(0.0, T / 1.5)

    def total(deviation):
        law = it.Gaussian(0.0, deviation**2)
        least = it.transport.minimum_entropy_production(start, law, (2 * mu * T) ** 0.5, 0.6)
        energy = 0.5 * k1 * deviation**2 - 0.5 * T
        return (T * least.value + energy - T * (it.entropy(law).value - it.entropy(start).value)).item()

    end = best.end_deviation.item()
    assert total(end) == pytest.approx(best.work.value.item(), rel=1e-12)
    assert min(total(end * 1.01), total(end * 0.99)) > total(end) + 1e-6


def test_between_slow_and_sudden():
    slow, fast = changed_stiffness(1.0, 4.0, 1e6), changed_stiffness(1.0, 4.0, 1e-9)
    assert slow.work.value.item() == pytest.approx(0.5 * math.log(4), abs=1e-5)
    assert slow.free_energy.value.item() == pytest.approx(0.5 * math.log(4), rel=1e-15)
    assert fast.work.value.item() == pytest.approx(1.5, abs=1e-7) and fast.quench_work.value.item() == 1.5
    best = changed_stiffness(1.0, 4.0, 1.0)
    assert 0 < best.dissipated.value < best.quench_work.value - best.free_energy.value
    same = changed_stiffness(2.0, 2.0, 1.0)
    assert abs(same.work.value) <= same.work.error and same.end_deviation.item() == pytest.approx(2**-0.5)


@pytest.mark.parametrize("final", [1e-4, 0.05, 20.0, 1e4])
@pytest.mark.parametrize("duration", [1e-3, 0.1, 10.0])
def test_the_trap_always_confines(final, duration):
    best = changed_stiffness(1.0, final, duration)
    times = torch.linspace(0.0, duration, 101, dtype=torch.float64)
    assert (best.protocol(times) > 0).all()
    last = 0.5 * (final + 1 / best.end_deviation.square())
    assert best.protocol.before(duration).item() == pytest.approx(last.item(), rel=1e-9)
    middle = duration / 2
    assert best.process().drift([1.0], middle).item() == pytest.approx(-best.protocol(middle).item())


@pytest.mark.parametrize("name", list(_TRAP))
def test_what_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be > 0"):
        changed_stiffness(**_TRAP | {name: -1.0})
