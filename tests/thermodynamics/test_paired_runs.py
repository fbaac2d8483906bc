"""Runs with two steps: the error of the step that they state bounds what the step does."""

import math

import pytest
import torch

import infotherm as it
from infotherm.processes import AffineDiffusion, Langevin, OrnsteinUhlenbeck
from infotherm.processes.integrators import Exact, StochasticHeun
from infotherm.thermodynamics import path_statistics, simulate
from infotherm.thermodynamics.blocks import NormalNoise
from infotherm.thermodynamics.mechanics import mechanics_of
from infotherm.thermodynamics.paired_runs import paired_run

F64 = torch.float64
NORMAL = it.Gaussian(0.0, 1.0)
SQUARE = it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
TRAP = AffineDiffusion([[-1.0]], 2**0.5, lambda t: 2 * t[..., None])
TURN = torch.tensor([[1.0, -2.0], [2.0, 1.0]], dtype=F64)
ROTATING = Langevin(force=lambda x: -x @ TURN.to(x).mT, sigma=2**0.5, dim=2)


def noise(seed=0):
    return NormalNoise(bytes([seed]) * 16, torch.device("cpu"))


@pytest.mark.parametrize(
    ("process", "p0", "method", "entry", "truth"),
    [
        (TRAP, NORMAL, "euler-maruyama", "work", 4 * math.exp(-1)),
        (TRAP, NORMAL, "stochastic-heun", "work", 4 * math.exp(-1)),
        (TRAP, NORMAL, "exact", "work", 4 * math.exp(-1)),
        (ROTATING, SQUARE, "stochastic-heun", "heat", 8.0),
        (ROTATING, SQUARE, "euler-maruyama", "heat", 8.0),
    ],
)
@pytest.mark.parametrize("steps", [8, 20])
def test_the_error_stated_bounds_what_the_step_does(process, p0, method, entry, truth, steps):
    found = simulate(process, p0, 1.0, 20_000, steps, method=method, generator=1, final_law=False).mean(entry)
    off = abs(float(found) - truth)
    assert off <= 4.5 * float(found.stderr) + float(found.error)
    assert float(found.error) < 12 * max(off, float(found.stderr)), "an error that is no use"
    if process is ROTATING and steps == 8:
        assert off > 4.5 * float(found.stderr), "here the step must show, or the test shows nothing"


def test_exact_paths_with_nothing_to_sum_state_no_error():
    still = simulate(OrnsteinUhlenbeck(1.0, 1.0), NORMAL, 1.0, 100, 4, generator=0)
    assert float(still.mean("heat").error) < 1e-12
    single = simulate(TRAP, NORMAL, 1.0, 100, 1, generator=0, final_law=False)
    assert math.isinf(float(single.mean("work").error))


def test_statistics_state_the_same_error_as_paths():
    kept = simulate(TRAP, NORMAL, 1.0, 5000, 8, generator=2, final_law=False)
    counted = path_statistics(TRAP, NORMAL, 1.0, 5000, 8, generator=2, final_law=False)
    assert float(kept.mean("work").error) == pytest.approx(float(counted.means["work"].error))


@pytest.mark.parametrize("steps", [4, 5])
def test_exact_runs_share_their_states_and_others_their_noise(steps):
    times = torch.linspace(0.0, 1.0, steps + 1, dtype=F64)
    x = torch.linspace(-1, 1, 6, dtype=F64)[:, None]
    mechanics = mechanics_of(TRAP, 1, 0.0, 1.0)
    coarse, fine = paired_run(mechanics, Exact(), x, times, noise(), {}, None)
    assert torch.equal(coarse["final"], fine["final"]) and not torch.equal(coarse["work"], fine["work"])
    coarse, fine = paired_run(mechanics, StochasticHeun(), x, times, noise(), {}, None)
    difference = (coarse["final"] - fine["final"]).abs().max().item()
    assert 0 < difference < 0.3
    assert (fine["final"].max() - fine["final"].min()).item() > 0.5


def test_a_first_passage_that_is_seen_late_says_so():
    drifting = Langevin(force=2.0, sigma=1.0, dim=1)
    paths = simulate(
        drifting, it.Gaussian(0.0, 1e-6), 8.0, 2000, 50, generator=3, final_law=False, target=lambda x: x[..., 0] > 3.0
    )
    found = paths.mean("first_passage")
    assert float(found) - 1.5 > 4.5 * float(found.stderr), "seen late by about 0.12"
    assert abs(float(found) - 1.5) <= 4.5 * float(found.stderr) + float(found.error)
