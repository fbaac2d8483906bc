"""Blocks of states and segments of trajectories against reversed ones: exact divergences, honest limits, bad input."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from infotherm.estimators import NeighbourKL
from infotherm.thermodynamics.path_divergence import (
    _reversed,
    _segments,
    entropy_production_from_segments,
    entropy_production_from_sequences,
    judge_counts,
)
from tests.thermodynamics.recorded_examples import (
    EQUILIBRIUM,
    F64,
    REFERENCES,
    chain_states,
    drifting_ring,
    linear,
    linear_paths,
    pair_divergence,
)

RING = [[0.1, 0.7, 0.2], [0.2, 0.1, 0.7], [0.7, 0.2, 0.1]]
UNIFORM = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]]
RARE = [[0.1, 0.899, 0.001], [0.001, 0.1, 0.899], [0.899, 0.001, 0.1]]


# -- sequences ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_paths, n_times", [(1, 40_000), (400, 100)])
@pytest.mark.parametrize("length", [2, 3])
def test_a_chain_is_found_whole(n_paths, n_times, length):
    """Within 4 standard errors of the exact entropy production of a step, with a loss of at most 2 in 100."""
    states, truth = chain_states(RING, n_paths, n_times, 1)
    found = entropy_production_from_sequences(states, 0.5, length=length)
    assert found.kind == "lower" and found.units == "nat/time"
    assert -4 * found.stderr - 0.04 * truth < found.value - 2 * truth < 4 * found.stderr
    assert found.stderr < 0.06
    assert abs(found.info["plug_in"] - 2 * truth) < 5 * found.stderr
    assert abs(found.info["conditional"].value - 2 * truth) < 5 * found.stderr
    assert found.info["conditional"].kind == "unknown"


def test_the_plug_in_is_the_divergence_of_frequencies():
    states, _ = chain_states(RING, 3, 60, 2)
    windows = Counter(tuple(row[i : i + 3]) for row in states.tolist() for i in range(58))
    n = sum(windows.values())
    states = np.concatenate([states, states[:, ::-1]], 1)[:, :60]  # the same: a reminder that reversal is of time
    expected = sum(c / n * math.log(c / windows[w[::-1]]) if windows[w[::-1]] else math.inf for w, c in windows.items())
    found = entropy_production_from_sequences(states, length=3)
    assert found.info["plug_in"] == pytest.approx(expected / 2, rel=1e-12)


def test_hidden_states_are_seen_in_longer_blocks():
    """Two of five states in a ring look alike: pairs of what is seen show a part, four in a row more, never all."""
    forward = 0.6 * np.roll(np.eye(5), 1, 1) + 0.2 * np.roll(np.eye(5), -1, 1) + 0.2 * np.eye(5)
    states, truth = chain_states(forward, 200, 200, 3)
    seen = np.array([0, 0, 1, 1, 2])[states]
    short, long = (entropy_production_from_sequences(seen, length=m) for m in (2, 4))
    assert short.value + 3 * short.stderr < long.value < truth
    assert 0 < short.lower_limit() < long.lower_limit(1e-3) < truth


def test_labels_and_time_order_do_not_matter():
    states, _ = chain_states(RING, 64, 50, 4)
    found = entropy_production_from_sequences(states)
    for other in (states[:, ::-1].copy(), 10 - 3 * states, torch.tensor(states), states.tolist()):
        assert float(entropy_production_from_sequences(other).value) == pytest.approx(float(found.value), rel=1e-9)


def test_reversed_blocks_that_are_not_seen():
    """A reverse with a probability of 1 in 3000 a step: what was not seen is in the error, and the bound holds."""
    held = []
    for seed in range(20):
        states, truth = chain_states(RARE, 60, 30, seed)
        found = entropy_production_from_sequences(states)
        held.append(float(found.lower_limit()) < truth)
        assert found.error > 0.1 or math.isfinite(found.info["plug_in"])
    assert sum(held) >= 18
    one_way = np.arange(3000) % 3  # never backwards: the truth is infinite, and the frequencies say so
    found = entropy_production_from_sequences(one_way)
    assert found.info["plug_in"] == math.inf and 2 < found.lower_limit() < math.inf


def test_terms_by_hand():
    """Fitted counts 6, 1 of a window and its reverse, 3 of one that is its own reverse."""
    fitted = torch.tensor([0] * 6 + [1] + [2] * 3), torch.tensor([1] * 6 + [0] + [2] * 3)
    judged = torch.tensor([0, 0, 2]), torch.tensor([1, 1, 2])
    terms, error = judge_counts(fitted, judged, 3)
    ratio = math.log(8 / 3)
    assert terms.tolist() == pytest.approx([ratio - 3 / 8 + 1, ratio - 3 / 8 + 1, 0.0])
    assert error == pytest.approx(-(3 / 3) * (-ratio - 8 / 3 + 1))


def test_a_chain_in_equilibrium_shows_nothing():
    found = [entropy_production_from_sequences(chain_states(UNIFORM, 1, 1000, seed)[0]) for seed in range(30)]
    assert sum(float(e.lower_limit()) > 0 for e in found) <= 4
    assert sum(float(e.value) for e in found) < 0 < sum(e.info["plug_in"] for e in found)
    assert min(e.info["plug_in"] for e in found) >= 0


def test_bad_sequences():
    states, _ = chain_states(RING, 1, 200, 5)
    call = entropy_production_from_sequences
    with pytest.raises(TypeError, match="states must hold integers; got dtype float64"):
        call(states.astype(float))
    with pytest.raises(ValueError, match=r"states must have shape \(n_paths, n_times\)"):
        call(states[None])
    with pytest.raises(ValueError, match="64 windows in each of the parts"):
        call(states[:, :100])
    bad: list = [1, 2.0, True]
    for length in bad:
        with pytest.raises(ValueError, match="length must be an integer of at least 2"):
            call(states, length=length)
    with pytest.raises(ValueError, match="length must be shorter"):
        call(states, length=60)
    with pytest.raises(ValueError, match="time_step must be positive"):
        call(states, 0.0)


# -- segments ----------------------------------------------------------------------------------------------------------


def test_segments_of_a_rotation():
    """3.297 nat per time in truth; neighbours among 4000 segments find more than 2, and currents 1.4."""
    model, step = linear("linear/rotation"), 0.5
    found = entropy_production_from_segments(linear_paths(*model, step, 1, 5000, 1), step)
    truth = REFERENCES["linear/rotation-every-0.5"]["value"]
    assert found.kind == "lower" and found.units == "nat/time"
    assert 1.7 < found.lower_limit() < found.lower_limit(0.2) < truth
    assert found.info["k"] in (5, 15, 40) and found.info["factor"] > 0


def test_it_agrees_with_the_neighbour_divergence():
    """Drift 1, steps of 0.5: 0.5 nat a step, by the held-out bound and by NeighbourKL on independent steps."""
    paths = drifting_ring(1.0, 0.5, 3000, 2, 2)
    found = entropy_production_from_segments(paths, 0.5, periodic=2 * math.pi)
    assert found.lower_limit(1e-3) < 1 < found.value + 4 * found.stderr + 0.2
    moved = (paths[:, 1] - paths[:, 0]).numpy()
    divergence = NeighbourKL().estimate(moved[:1500], -moved[1500:])
    low, high = divergence.interval(0.999)
    assert low < 0.5 < high
    assert abs(found.info["neighbour_divergence"] * 0.5 - float(divergence)) < 4 * float(divergence.stderr) + 0.1


def test_a_seam_of_the_period_costs_nothing():
    paths = drifting_ring(2.0, 0.3, 40, 60, 3)
    found, wrapped = (
        entropy_production_from_segments(x, 0.3, periodic=2 * math.pi) for x in (paths, paths.remainder(2 * math.pi))
    )
    assert wrapped.value.item() == pytest.approx(found.value.item(), rel=1e-6)
    scaled = entropy_production_from_segments(1e3 * paths, 0.6, periodic=2e3 * math.pi)
    assert 2 * scaled.value.item() == pytest.approx(found.value.item(), rel=1e-6)


@pytest.mark.parametrize("period", [math.inf, 3.0])
def test_reversed_segments_are_those_of_the_reversed_path(period):
    path = torch.randn(1, 30, 2, dtype=F64, generator=torch.Generator().manual_seed(0)).cumsum(1).remainder(3.0)
    periods = torch.tensor([period, math.inf], dtype=F64)
    for length in (2, 3, 5):
        back = [z.flip(0) for z in _segments(path.flip(1), length, periods)]
        for found, expected in zip(_reversed(_segments(path, length, periods)), back, strict=True):
            assert torch.allclose(found, expected, atol=1e-12)


def test_longer_segments():
    model, step = linear("linear/rotation"), 0.3
    found = entropy_production_from_segments(linear_paths(*model, step, 800, 5, 4), step, length=3)
    assert 1 < found.lower_limit() < REFERENCES["linear/rotation"]["value"]
    assert found.info["windows"] == 320 * 3


def test_segments_in_equilibrium_show_nothing():
    found = [entropy_production_from_segments(linear_paths(*EQUILIBRIUM, 0.2, 300, 3, seed), 0.2) for seed in range(20)]
    assert sum(float(e.lower_limit()) > 0 for e in found) <= 3


def test_segments_that_coincide():
    steps = torch.where(torch.rand(2000, 1, generator=torch.Generator().manual_seed(5)) < 0.8, 1.0, -1.0)
    found = entropy_production_from_segments(steps.to(F64).cumsum(0), 1.0, periodic=10.0)
    assert found.value.isfinite() and found.lower_limit() < 0.6 * math.log(4)


def test_bad_segments():
    paths = linear_paths(*EQUILIBRIUM, 0.1, 4, 200, 0)
    call = entropy_production_from_segments
    with pytest.raises(ValueError, match="length must be an integer of at least 2; got 1"):
        call(paths, 0.1, length=1)
    with pytest.raises(ValueError, match="64 windows in each of the parts"):
        call(paths, 0.1, length=30)
    with pytest.raises(ValueError, match="time_step must be positive"):
        call(paths, -0.1)
    with pytest.raises(ValueError, match=r"finite; got nan at index \[0, 0, 0\]"):
        call(paths * math.nan, 0.1)


# -- calibration -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*of kind 'unknown'")
@pytest.mark.parametrize("matrix", [RING, UNIFORM, RARE])
@pytest.mark.parametrize("n_paths, n_times, length", [(1, 3000, 2), (100, 30, 3)])
def test_lower_limits_of_sequences_hold(matrix, n_paths, n_times, length):
    """200 records: 95 % limits exceed the truth in at most 19, which nominal ones do with 0.4 %."""
    above = 0
    for seed in range(200):
        states, truth = chain_states(matrix, n_paths, n_times, seed)
        above += float(entropy_production_from_sequences(states, length=length).lower_limit()) > truth
    assert above <= 19


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*of kind 'unknown'")
@pytest.mark.parametrize("name, step", [("equilibrium", 0.1), ("linear/rotation", 0.5)])
def test_lower_limits_of_segments_hold(name, step):
    """100 records: 95 % limits exceed the divergence of steps in at most 11, which nominal ones do with 0.4 %."""
    model = EQUILIBRIUM if name == "equilibrium" else linear(name)
    truth = 0.0 if name == "equilibrium" else pair_divergence(*model, step)
    found = [entropy_production_from_segments(linear_paths(*model, step, 1, 2000, s), step) for s in range(100)]
    assert sum(float(e.lower_limit()) > truth for e in found) <= 11
