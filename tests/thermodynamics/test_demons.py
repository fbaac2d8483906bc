"""Szilard's engine and the continuous demon: known values, enumeration, simulated cycles."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.channels import DiscreteChannel
from infotherm.thermodynamics.demons import continuous_demon, symmetric_errors, szilard_engine

F64 = torch.float64
quick = settings(max_examples=25)
SIGMAS = 4.5  # false alarms: 7e-6 for each comparison


def agrees(sampled, exact):
    away = (sampled.value - exact.value).abs()
    return bool((away <= SIGMAS * sampled.stderr + sampled.error + exact.error).all())


def binary(p):
    return -p * math.log(p) - (1 - p) * math.log1p(-p) if 0 < p < 1 else 0.0


def test_known_values():
    for error in (0.0, 0.1, 0.3, 1.0):
        engine = szilard_engine(error=error)
        assert engine.extracted_work.value.item() == pytest.approx(math.log(2) - binary(error), rel=1e-13)
        assert abs(engine.efficiency.value.item() - 1) <= engine.efficiency.error.item() < 1e-12
    uneven = szilard_engine((0.2, 0.3, 0.5), temperature=3.0)
    expected = -3 * sum(v * math.log(v) for v in (0.2, 0.3, 0.5))
    assert uneven.extracted_work.value.item() == pytest.approx(expected, rel=1e-14)
    batch = szilard_engine(error=torch.tensor([0.0, 0.1, 0.2], dtype=F64))
    assert batch.extracted_work.shape == (3,)
    assert batch.extracted_work.value[1].item() == pytest.approx(math.log(2) - binary(0.1), rel=1e-14)


@quick
@given(st.integers(0, 10**6))
def test_any_walls_extract_no_more_than_the_information(seed):
    g = torch.Generator().manual_seed(seed)
    volumes = torch.rand(3, generator=g, dtype=F64) + 0.05
    rows = torch.rand(3, 4, generator=g, dtype=F64)
    walls = torch.rand(4, 3, generator=g, dtype=F64) + 0.01
    volumes, rows, walls = (t / t.sum(-1, keepdim=True) for t in (volumes, rows, walls))
    channel = DiscreteChannel(rows)
    best, other = (
        szilard_engine(volumes, measurement=channel),
        szilard_engine(volumes, measurement=channel, walls=walls),
    )
    assert abs(best.efficiency.value.item() - 1) <= best.efficiency.error.item() < 1e-9
    assert other.extracted_work.value <= best.extracted_work.value + best.extracted_work.error
    summed = sum(
        volumes[i] * rows[i, y] * (walls[y, i] / volumes[i]).log() for i, y in itertools.product(range(3), range(4))
    )
    assert abs(summed.item() - other.extracted_work.value.item()) <= other.extracted_work.error.item()


def test_cycles_of_szilards_engine():
    volumes = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]], dtype=F64)
    walls = torch.tensor([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]], dtype=F64)
    exact = szilard_engine(volumes[1], 0.2, walls=walls)
    sampled = szilard_engine(volumes[1], 0.2, walls=walls, method="monte-carlo", n_samples=40_000, generator=1)
    for name in ("extracted_work", "information", "efficiency"):
        assert agrees(getattr(sampled, name), getattr(exact, name)), name
    assert sampled.efficiency.stderr < 0.02
    errors = torch.tensor([0.1, 0.2], dtype=F64)
    exact = szilard_engine(error=errors)
    sampled = szilard_engine(error=errors, method="monte-carlo", n_samples=40_000, generator=1)
    assert agrees(sampled.extracted_work, exact.extracted_work) and sampled.extracted_work.shape == (2,)


def test_walls_that_squeeze_a_particle_out():
    engine = szilard_engine(error=0.1, walls=[[1.0, 0.0], [0.0, 1.0]])
    assert engine.extracted_work.value.item() == -math.inf


@pytest.mark.parametrize(("probability", "interval"), [(0.5, 0.7), (0.1, 0.3), (0.9, 5.0)])
def test_the_continuous_demon_by_enumeration_and_by_cycles(probability, interval):
    exact = continuous_demon(probability, interval, relaxation_rate=1.3, temperature=2.0)
    sampled = continuous_demon(
        probability, interval, relaxation_rate=1.3, temperature=2.0, method="monte-carlo", n_samples=20_000, generator=7
    )
    for name in ("extracted_work", "information", "efficiency"):
        assert agrees(getattr(sampled, name), getattr(exact, name)), name
    # all sequences s, s, ..., s, 1 - s of up to 4000 outcomes, with the probabilities of a relaxation
    law, decay = (1 - probability, probability), math.exp(-1.3 * interval)
    total = work = entropy = 0.0
    for s in (0, 1):
        leave = law[1 - s] * (1 - decay)
        for n in range(4000):
            chance = law[s] * (1 - leave) ** n * leave
            if chance < 1e-300:
                break
            total, entropy = total + chance, entropy - chance * math.log(chance)
            work -= 2.0 * chance * math.log(law[1 - s])
    assert total == pytest.approx(1.0, abs=1e-13)
    assert exact.extracted_work.value.item() == pytest.approx(work, rel=1e-11)
    assert exact.information.value.item() == pytest.approx(entropy, rel=1e-11)


@quick
@given(st.floats(1e-6, 1 - 1e-6), st.floats(1e-4, 1e3))
def test_the_continuous_demon_beats_log_two_within_its_information(probability, interval):
    demon = continuous_demon(probability, interval)
    assert demon.extracted_work.value >= math.log(2) - demon.extracted_work.error
    assert demon.extracted_work.value >= binary(probability) - demon.extracted_work.error
    assert demon.efficiency.value <= 1 + demon.efficiency.error
    longer = continuous_demon(probability, 2 * interval)
    assert longer.efficiency.value >= demon.efficiency.value - demon.efficiency.error - longer.efficiency.error


def test_rare_states_give_unlimited_work_at_growing_efficiency():
    curve = continuous_demon(torch.tensor([0.5, 1e-1, 1e-2, 1e-4, 1e-8], dtype=F64), 1e3)
    assert bool((curve.extracted_work.value.diff() > 0).all()) and curve.extracted_work.value[-1] > 18
    assert bool((curve.efficiency.value.diff() > 0).all()) and 0.9 < curve.efficiency.value[-1] < 1


@pytest.mark.parametrize(("probability", "interval"), [(1e-17, 50.0), (1e-300, 1e3), (1e-20, 1.0)])
def test_states_rarer_than_rounding(probability, interval):
    demon = continuous_demon(probability, interval)
    q = -math.expm1(-interval)  # leaving the rare state; its cycle is one measurement as a rule
    rare = -math.log(probability)
    # of the other state: h(P q) / (P q) = 1 - log(P q)
    entropy = 1 + rare - math.log(q) + (-q * math.log(q) - math.exp(-interval) * -interval) / q * probability
    assert demon.information.value.item() == pytest.approx(entropy, rel=1e-13)
    assert demon.extracted_work.value.item() == pytest.approx(rare, rel=1e-13)
    assert math.isfinite(demon.efficiency.error.item())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: szilard_engine(error=1.2), r"error must be a probability in \[0, 1\]; got 1.2"),
        (lambda: szilard_engine(error=-0.1), "got -0.1"),
        (lambda: szilard_engine(error=math.nan), "got nan"),
        (lambda: szilard_engine(error=0.5), "tell something"),
        (lambda: szilard_engine((0.3, 0.3)), "sum"),
        (lambda: szilard_engine(walls=[[1.0, 0.0, 0.0]]), "walls must have shape"),
        (
            lambda: szilard_engine(error=0.1, walls=[[1.0, 0.0], [0.0, 1.0]], method="monte-carlo"),
            "walls must not squeeze",
        ),
        (lambda: szilard_engine(method="guess"), "got 'guess'"),
        (lambda: szilard_engine(temperature=-1.0), "temperature"),
        (lambda: symmetric_errors(0.1, 1), "positions must be at least 2"),
        (lambda: continuous_demon(0.0, 1.0), r"probability must lie in \(0, 1\); got 0"),
        (lambda: continuous_demon(0.5, 0.0), "interval must be positive"),
        (lambda: continuous_demon(0.5, 1.0, relaxation_rate=-1.0), "relaxation_rate must be positive"),
        (lambda: continuous_demon(0.5, 1.0, method="guess"), "got 'guess'"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_measurement_of_any_kind():
    erasure = DiscreteChannel([[0.8, 0.0, 0.2], [0.0, 0.8, 0.2]])
    engine = szilard_engine(measurement=erasure)
    assert engine.extracted_work.value.item() == pytest.approx(0.8 * math.log(2), rel=1e-14)
