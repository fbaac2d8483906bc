"""First passage: references, linear solves, simulation, targets that may be missed."""

import json
import math
from pathlib import Path

import pytest
import torch

from infotherm.distributions import Discrete
from infotherm.processes import MarkovChain, MarkovJump, simulate_jump_paths
from infotherm.thermodynamics import first_passage_time

F64 = torch.float64
REFERENCES = {
    case["name"]: case
    for case in json.loads((Path(__file__).parents[2] / "validation/references/jumps.json").read_text())
}
RATES = torch.tensor(
    [[0.0, 3.0, 0.5, 0.1], [1.0, 0.0, 2.0, 0.2], [0.7, 0.2, 0.0, 1.0], [0.5, 0.5, 0.5, 0.0]], dtype=F64
)
START = Discrete([0.5, 0.3, 0.2, 0.0])


def test_against_references():
    for part in ("mean", "variance"):
        case = REFERENCES[f"four-states/first-passage-{part}"]
        spec = case["spec"]
        found = getattr(first_passage_time(MarkovJump(spec["rates"]), spec["target"], Discrete(spec["p0"])), part)
        assert abs(found.value.item() - case["value"]) <= found.error.item() < 1e-12


def test_moments_are_those_of_the_density():
    from infotherm.core.quadrature import integrate

    passage = first_passage_time(MarkovJump(RATES), [2, 3], START)
    for power, truth in (
        (0, 0.8),  # the rest starts in the target
        (1, passage.mean.value),
        (2, passage.variance.value + passage.mean.value.square()),
    ):
        found = integrate(lambda t, n=power: t**n * passage.density(t).value, 0.0, 60.0, breakpoints=[0.3, 1.0, 4.0])
        assert abs(found.value - truth) <= found.error + 1e-12
    t = torch.tensor([0.0, 1e-9, 0.5, 3.0], dtype=F64)
    total = passage.survival(t) + passage.cdf(t)
    assert bool(((total.value - 1).abs() <= total.error).all())
    small = first_passage_time(MarkovJump(RATES), [2, 3], [1.0, 0.0, 0.0, 0.0]).cdf(1e-9)
    assert small.value.item() == pytest.approx(0.6e-9, rel=1e-8)


@pytest.mark.parametrize("process", [MarkovJump(RATES), MarkovChain(RATES / RATES.sum(-1, keepdim=True))])
def test_against_simulation(process):
    passage = first_passage_time(process, 3, START)
    times = simulate_jump_paths(process, START, 50, 20_000, target=3, generator=1).first_passage
    assert bool(times.isfinite().all())
    spread = times.std() / math.sqrt(len(times))
    assert abs(times.mean() - passage.mean.value) <= 4 * spread
    squares = (times - times.mean()).square()
    assert abs(squares.mean() - passage.variance.value) <= 4 * squares.std() / math.sqrt(len(times))
    late = (times > 3).double()
    assert abs(late.mean() - passage.survival(3).value) <= 4 * late.std() / math.sqrt(len(times))
    elsewhere = first_passage_time(process, 2, START)
    assert abs(times.mean() - elsewhere.mean.value) > 20 * spread


@pytest.mark.parametrize("t", [100.0, 300.0, 500.0, 600.0])
def test_what_has_decayed_for_long_is_known_as_well_as_stated(t):
    survived = first_passage_time(MarkovJump([[0.0, 1.0], [0.0, 0.0]]), 1, Discrete([1.0, 0.0])).survival(t)
    assert abs(survived.value.item() - math.exp(-t)) <= survived.error.item() < 1e-12 * math.exp(-t) * t


def test_steps_of_a_chain():
    chain = MarkovChain([[0.75, 0.25], [0.0, 1.0]])
    passage = first_passage_time(chain, 1, [1.0, 0.0])
    assert passage.mean.value.item() == pytest.approx(4.0, rel=1e-14)  # geometric
    assert passage.variance.value.item() == pytest.approx(12.0, rel=1e-14)
    assert passage.density([1, 2, 3]).value.tolist() == pytest.approx([0.25, 0.1875, 0.140625])
    assert passage.mean.units == "step"


def test_rare_escapes_keep_their_digits():
    well = MarkovJump([[0.0, 1e-8, 0.0], [1.0, 0.0, 1e-8], [0.0, 0.0, 0.0]])
    passage = first_passage_time(well, 2, [1.0, 0.0, 0.0])
    exact = 1e16 + 2e8  # (1 / a) (1 + (1 + b) / a) with a = 1e-8, b = 1: both ways out of 1
    assert abs(passage.mean.value.item() / exact - 1) < 1e-14


def test_a_target_that_may_be_missed_takes_for_ever():
    process = MarkovJump([[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    passage = first_passage_time(process, 1, Discrete([[0.5, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 1.0]]))
    assert passage.mean.value.tolist() == [math.inf, 1.0] and passage.variance.value[0] == math.inf
    assert passage.cdf(100.0).value[0].item() == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("process", "target", "message"),
    [
        (MarkovJump(RATES), 4, "target must hold states from 0 to 3"),
        (MarkovJump(RATES), [], "target must hold states"),
        (MarkovJump(lambda t: RATES), 1, "constant rates: simulate driven ones"),
        (MarkovJump(torch.stack([RATES, RATES])), 1, "must be a single one"),
        (MarkovJump([[0.0, 1.0], [1.0, 0.0]]), 1, "p0 must be a Discrete law of one part with 2 outcomes"),
    ],
)
def test_bad_input(process, target, message):
    with pytest.raises(ValueError, match=message):
        first_passage_time(process, target, START)
