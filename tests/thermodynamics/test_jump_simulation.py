"""The ledger of simulated jumps. False alarms: below 1e-4 for each comparison at 4 standard errors."""

import math

import numpy as np
import pytest
import torch

from infotherm.distributions import Discrete, Gaussian
from infotherm.processes import MarkovChain, MarkovJump
from infotherm.thermodynamics import current_statistics, entropy_production, simulate_jumps

F64 = torch.float64
RATES = torch.tensor([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]], dtype=F64)
START = Discrete([0.6, 0.3, 0.1])


def driven_rates(t):
    return RATES ** (0.3 + 0.2 * torch.sin(6 * t))[..., None, None] * (RATES > 0)


PROCESSES = [
    (MarkovJump(RATES), 0.5),
    (MarkovJump(driven_rates, horizon=1.0), 1.0),
    (MarkovJump(reservoirs=torch.stack([RATES, 0.5 + 0 * RATES])), 0.4),
    (MarkovChain([[0.2, 0.5, 0.3], [0.3, 0.3, 0.4], [0.4, 0.3, 0.3]]), 3),
]


@pytest.mark.parametrize(("process", "duration"), PROCESSES)
def test_entropy_production_and_its_fluctuation_theorem(process, duration):
    paths = simulate_jumps(process, START, duration, 40_000, generator=1)
    exact = entropy_production(process, START, duration, times=[0.0])
    for name, truth in (
        ("entropy_production", exact),
        ("medium_entropy", exact.info["medium"]),
        ("system_entropy", exact.info["system"]),
    ):
        found = paths.mean(name)
        assert abs(found.value - truth.value) <= 4 * found.stderr + truth.error
    weights = torch.exp(-paths.entropy_production)
    assert abs(weights.mean() - 1) <= 4 * weights.std() / 200
    half = torch.exp(-0.5 * paths.entropy_production)
    assert abs(half.mean() - 1) > 4 * half.std() / 200  # a missing factor of two would be noticed
    assert torch.equal(paths.log_path_ratio, paths.entropy_production)


def test_first_law_and_heat_by_reservoir():
    process = MarkovJump(RATES, energies=lambda t: torch.stack([0 * t, 1 + t, 2 * t], -1), temperature=2.0)
    paths = simulate_jumps(process, START, 0.5, 1000, start=0.25, generator=2)
    assert torch.allclose(paths.heat, 2 * paths.medium_entropy)
    before = process.energies_at(0.25)[paths.initial[:, 0]]
    after = process.energies_at(0.75)[paths.final[:, 0]]
    assert torch.allclose(after - before, paths.work - paths.heat)


def test_currents_first_passage_and_saved_states():
    cycles = torch.tensor([[0, 1, -1], [-1, 0, 1], [1, -1, 0]], dtype=F64) / 3
    process, duration = MarkovJump(RATES), 10.0
    steady = Discrete(torch.full((3,), 1 / 3, dtype=F64))
    paths = simulate_jumps(process, steady, duration, 8000, counting=cycles, target=2, save=3, generator=3)
    current = paths.currents["current"]
    exact = current_statistics(process, cycles)
    assert abs(current.mean() / duration - exact.mean.value) <= 4 * current.std() / duration / math.sqrt(8000)
    squares = (current - current.mean()).square() / duration
    assert abs(squares.mean() - exact.variance.value) <= 4 * squares.std() / math.sqrt(8000) + 0.4 / duration
    assert paths.states.shape == (3, 8000, 1) and paths.saved_times.tolist() == [0.0, 5.0, 10.0]
    assert torch.equal(paths.states[-1], paths.final) and torch.equal(paths.states[0], paths.initial)
    assert torch.equal(paths.first_passage == 0, paths.initial[:, 0] == 2)
    dataset = paths.to_dataset()
    assert dataset["current"].shape == (8000,) and dataset.attrs["method"] == "exact"


def test_seeds_and_missing_entries():
    process = PROCESSES[3][0]
    paths = simulate_jumps(process, START, 3, 100, generator=5)
    again = simulate_jumps(process, START, 3, 50, generator=torch.Generator().manual_seed(5))
    assert torch.equal(simulate_jumps(process, START, 3, 50, generator=5).final, paths.final[:50])
    assert len(again) == 50 and paths.streams == simulate_jumps(process, START, 3, 50, generator=5).streams
    with pytest.raises(ValueError, match="no work: the steps of a chain have no temperature"):
        _ = paths.work
    with pytest.raises(ValueError, match="no first_passage: no target was given"):
        _ = paths.first_passage


@pytest.mark.parametrize(
    ("p0", "error", "message"),
    [
        (Gaussian(0.0, 1.0), TypeError, "p0 must be a Discrete law of one part; got Gaussian"),
        (Discrete([0.5, 0.5]), ValueError, "p0 must be a Discrete law of one part with 3 outcomes"),
        (Discrete(torch.full((2, 3), 1 / 3, dtype=F64)), ValueError, "one process and one law"),
    ],
)
def test_bad_input(p0, error, message):
    with pytest.raises(error, match=message):
        simulate_jumps(MarkovJump(RATES), p0, 1.0, 10)


def test_saved_times_lie_within():
    with pytest.raises(ValueError, match=r"save must hold times from 0 to the duration 1.0; got \[2.0\]"):
        simulate_jumps(MarkovJump(RATES), START, 1.0, 10, save=[2.0])


@pytest.mark.slow
def test_intervals_cover_over_two_hundred_seeds():
    process, duration = PROCESSES[1]
    truth = entropy_production(process, START, duration, times=[0.0]).value
    hits = 0
    for seed in range(200):
        low, high = simulate_jumps(process, START, duration, 1000, generator=seed).mean("entropy_production").interval()
        hits += bool(low <= truth <= high)
    assert 178 <= hits <= 199  # 95 % of 200, four standard deviations


def test_numbers_of_any_integer_type():
    process, p0 = MarkovJump([[0.0, 1.0], [1.0, 0.0]]), Discrete([1.0, 0.0])
    plain = simulate_jumps(process, p0, 10.0, 100, save=5, generator=3)
    other = simulate_jumps(process, p0, 10.0, 100.0, save=np.int64(5), generator=np.int64(3))
    assert plain.saved_times.tolist() == other.saved_times.tolist() and torch.equal(plain.states, other.states)
    with pytest.raises(TypeError, match="generator must be a torch.Generator or an integer seed; got str"):
        simulate_jumps(process, p0, 1.0, 10, generator="seed")
    with pytest.raises(TypeError, match="process must be a MarkovJump or a MarkovChain; got str"):
        simulate_jumps("process", p0, 1.0, 10)
