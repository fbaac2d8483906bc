import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import infotherm as it
from infotherm.bounds import check, get, names
from infotherm.bounds.bound import Bound
from infotherm.bounds.catalogue.fluctuations import moved_trap, ring_of, turns_of
from infotherm.bounds.catalogue.landauer import steady_transfer
from infotherm.bounds.catalogue.uncertainty import GROUP
from infotherm.core.verdict import decide
from tests.bounds.stochastic_cases import SENSOR, STIFFER, UNEVEN, switching, tilted_ring, walk

TURNS = turns_of()
F64 = torch.float64
DRIVEN = it.processes.MarkovJump(lambda t: (1 + t)[..., None, None] * UNEVEN.rates, horizon=1.0)


def jumps(seed, states=4):
    generator = torch.Generator().manual_seed(seed)
    return it.processes.MarkovJump(torch.randn(states, states, generator=generator, dtype=F64).exp())


def odd(seed, states=4):
    generator = torch.Generator().manual_seed(seed + 1000)
    weights = torch.randn(states, states, generator=generator, dtype=F64)
    return weights - weights.mT


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_random_jump_process_breaks_a_bound(seed):
    process, counting = jumps(seed), odd(seed)
    initial = it.Discrete(torch.softmax(odd(seed + 7)[0], -1))
    for name in ("uncertainty-relation", "uncertainty-relation-kinetic", "uncertainty-relation-unified"):
        assert check(name, process=process, counting=counting).outcome == "holds"
    for name in ("landauer", "speed-limit-activity", "speed-limit-activity-sharp", "path-divergence"):
        v = check(name, process=process, initial=initial, duration=0.5)
        assert v.outcome == "holds", v
    for name in ("adiabatic-second-law", "non-adiabatic-second-law", "excess-and-housekeeping"):
        assert check(name, process=process, p=initial).outcome == "holds"
    assert check("gallavotti-cohen", process=process, q=0.3).outcome == "holds"
    chain = it.processes.MarkovChain(process.rates / process.rates.sum(-1, keepdim=True))
    assert check("uncertainty-relation-discrete-time", process=chain, counting=counting).outcome == "holds"


# -- uncertainty relations -------------------------------------------------------------------------------------------


def test_the_relation_of_continuous_time_is_broken_by_a_walk_and_a_factor_of_two_by_a_ring():
    found = it.thermodynamics.current_statistics(walk(0.9), TURNS)
    ratio = it.thermodynamics.uncertainty_ratio(
        (found.mean, found.variance), it.thermodynamics.entropy_production_rate(walk(0.9))
    )
    assert decide(ratio, 1.0).outcome == "violated"  # hence the condition
    right = get("uncertainty-relation")

    def too_much(process):
        lhs, rhs = right.sides(process)
        return lhs, rhs / 2

    doubled = Bound("doubled", sides=too_much, relation="<=")
    assert doubled.check(process=it.processes.Langevin(force=1.5, sigma=1.2, periodic=2.0)).outcome == "violated"


@pytest.mark.parametrize("name", [name for name in names(GROUP) if name != "uncertainty-relation-discrete-time"])
def test_uncertainty_relations_refuse_what_they_do_not_hold_for(name):
    others = [
        (walk(0.9), "chain"),
        (DRIVEN, "driven"),
        (it.processes.OrnsteinUhlenbeck(1.0, 1.0), "OrnsteinUhlenbeck"),
        (it.processes.UnderdampedLangevin(potential=lambda x: (x**2).sum(-1)), "nderdamped"),
    ]
    for process, reason in others:
        v = check(name, process=process, counting=TURNS)
        assert v.outcome == "not applicable"
        assert reason in v.reason or "not a jump process" in v.reason
    still = check(name, process=ring_of(1.0, 1.0), counting=TURNS)
    assert still.outcome == "not applicable" and "mean is zero" in still.reason


def test_currents_that_are_not_odd_are_not_applicable_where_that_matters():
    for name in ("uncertainty-relation", "uncertainty-relation-unified", "uncertainty-relation-discrete-time"):
        process = walk(0.7) if "discrete" in name else UNEVEN
        v = check(name, process=process, counting=torch.ones(3, 3, dtype=F64))
        assert v.outcome == "not applicable" and "opposite" in v.reason
    assert check("uncertainty-relation", process=UNEVEN).outcome == "not applicable"
    driven = it.processes.Langevin(force=lambda x, t: 1 + t + 0 * x, sigma=1.0, periodic=1.0)
    assert "driven" in check("uncertainty-relation", process=driven).reason


def test_a_uniform_ring_is_x_coth_x_above_the_relation_and_on_the_unified_one():
    for ratio in (1.5, 3.0, 20.0):
        x = 0.5 * math.log(ratio)
        v = check("uncertainty-relation", process=ring_of(ratio, 1.0), counting=TURNS)
        assert 1 / v.tightness.item() == pytest.approx(x / math.tanh(x), rel=1e-12)
        unified = check("uncertainty-relation-unified", process=ring_of(ratio, 1.0), counting=TURNS)
        assert unified.tightness.item() == pytest.approx(1.0, abs=1e-12)


# -- fluctuation theorems --------------------------------------------------------------------------------------------


def test_a_wrong_affinity_breaks_the_symmetry_and_is_not_applicable():
    v = check("gallavotti-cohen", process=ring_of(3.0, 1.0), q=0.4, counting=TURNS, affinity=1.0)
    assert v.outcome == "not applicable" and "not the entropy" in v.reason
    lhs, rhs = get("gallavotti-cohen").sides(ring_of(3.0, 1.0), 0.4, TURNS, 1.0)
    assert decide(lhs, rhs, "==").outcome == "violated"
    affinity = math.log(UNEVEN.rates[0, 1] * UNEVEN.rates[1, 2] * UNEVEN.rates[2, 0]) - math.log(
        UNEVEN.rates[1, 0] * UNEVEN.rates[2, 1] * UNEVEN.rates[0, 2]
    )
    one_edge = torch.zeros(3, 3, dtype=F64)
    one_edge[0, 1], one_edge[1, 0] = 1.0, -1.0  # a turn crosses it once
    assert check("gallavotti-cohen", process=UNEVEN, q=0.2, counting=one_edge, affinity=affinity).outcome == "holds"


def test_an_integral_theorem_that_does_not_hold_is_found_out():
    """From a state that is empty at the start no reversed path ends there: the mean of e^-S is short of one."""
    process, initial = it.processes.MarkovJump([[0.0, 2.0], [1.0, 0.0]]), it.Discrete([1.0, 0.0])
    assert check("integral-fluctuation-theorem", process=process, initial=initial, duration=0.5).reason.endswith("end")
    lhs, rhs = get("integral-fluctuation-theorem").sides(process, initial, 0.5, n_samples=20_000, generator=1)
    assert decide(lhs, rhs, "==", tolerance=0.05).outcome == "violated"
    with pytest.raises(ValueError, match="tolerance is required"):
        check("integral-fluctuation-theorem", process=process, initial=it.Discrete([0.5, 0.5]), duration=0.5)


def test_the_free_energy_of_jumps_is_that_of_the_energies():
    case = {"process": switching(-1.0, 1.5), "duration": 1.0, "n_samples": 20_000, "generator": 3, "tolerance": 0.05}
    v = check("jarzynski-equality", **case)
    assert v.rhs.value.item() == pytest.approx(math.log((1 + math.e) / (1 + math.exp(-1.5))), rel=1e-12)
    nowhere = it.processes.MarkovJump(switching(-1.0, 1.5).rates_at, horizon=1.0)  # no energies given
    assert "Boltzmann" in check("jarzynski-equality", process=nowhere, duration=1.0).reason


@pytest.mark.parametrize("kind", [it.processes.Langevin, it.processes.UnderdampedLangevin])
def test_the_free_energy_of_langevin_processes(kind):
    """A quartic trap that stiffens from c = 1 to 2: Z = integral of exp(-c x^4) goes down by 2^(-1/4)."""
    process = kind(
        potential=lambda x, c: c * (x**4).sum(-1), temperature=1.0, protocol=it.processes.Protocol([0, 1], [1, 2])
    )
    case = {"process": process, "duration": 1.0, "n_samples": 4000, "generator": 3, "tolerance": 0.05}
    v = check("jarzynski-equality", **case, options={"n_steps": 200})
    assert v.outcome == "holds", v
    assert v.rhs.value.item() == pytest.approx(0.25 * math.log(2), abs=v.rhs.error.item())
    assert v.rhs.error.item() < 1e-8


def test_crooks_needs_the_reverse():
    case = {"process": switching(0.0, 1.0), "reverse": switching(0.0, 1.0), "duration": 1.0, "tolerance": 0.1}
    assert "driving of the reverse" in check("crooks-theorem", **case).reason
    assert "run backwards" in check("crooks-theorem", **(case | {"reverse": moved_trap()})).reason


# -- dissipation -----------------------------------------------------------------------------------------------------


def test_the_work_of_a_moved_trap_in_closed_form():
    """A trap moved at speed 1, relaxation time 1: <W> = T - 1 + e^-T, the lag (1 - e^-T)^2 / 2."""
    for duration in (0.3, 2.0):
        v = check("dissipation-lag", process=moved_trap(), duration=duration)
        assert v.lhs.value.item() == pytest.approx(duration - 1 + math.exp(-duration), rel=1e-11)
        assert v.rhs.value.item() == pytest.approx(0.5 * (1 - math.exp(-duration)) ** 2, rel=1e-11)


@pytest.mark.parametrize("process", [STIFFER, switching(-1.0, 2.0)])
def test_the_dissipated_work_is_that_of_simulated_paths(process):
    v = check("dissipation-lag", process=process, duration=1.0)
    free = get("jarzynski-equality").sides(process, 1.0, n_samples=2, generator=0)[1]
    paths = it.thermodynamics.simulate(
        process,
        process.quasi_invariant(0.0),
        1.0,
        20_000,
        generator=5,
        **({"n_steps": 100} if process is STIFFER else {}),
    )
    found = paths.mean("work") - free
    assert abs(found.value.item() - v.lhs.value.item()) < 5 * found.stderr.item() + 1e-3
    assert found.stderr.item() < 0.02


@pytest.mark.slow
def test_a_langevin_process_has_both_routes():
    well = it.processes.Langevin(potential=lambda x: 0.25 * (x**4).sum(-1), sigma=1.0)
    v = check("path-divergence", process=well, initial=it.Gaussian(0.3, 0.5), duration=0.3)
    assert v.outcome == "holds", v
    assert v.slack.error.item() < 1e-5


def test_driven_and_rotating_processes_have_no_relaxation_identity():
    for process, initial in (
        (DRIVEN, it.Discrete([0.2, 0.3, 0.5])),
        (UNEVEN, it.Discrete([0.2, 0.3, 0.5])),
        (moved_trap(), it.Gaussian(0.0, 1.0)),
        (it.processes.VarianceExploding(), it.Gaussian(0.0, 1.0)),
    ):
        assert check("relaxation-identity", process=process, initial=initial, duration=0.5).outcome == "not applicable"
    # and it would be wrong there
    kept = UNEVEN.quasi_invariant(0.0)
    initial = it.Discrete([0.2, 0.3, 0.5])
    total = it.thermodynamics.entropy_production(UNEVEN, initial, 0.5)
    assert decide(total, it.kl(initial, kept) - it.kl(UNEVEN.marginal(initial, 0.5), kept), "==").outcome == "violated"


def test_only_currents_that_are_no_gradient_part_the_two_splits():
    skewed = it.processes.OrnsteinUhlenbeck([[1.0, -2.0], [1.0, 2.0]], 1.2)
    p = it.Gaussian([1.0, -0.5], [[0.5, 0.1], [0.1, 0.4]])
    assert check("maes-netocny-excess", process=skewed, p=p).tightness.item() < 0.99
    assert "diffusions" in check("maes-netocny-excess", process=UNEVEN, p=it.Discrete([0.2, 0.3, 0.5])).reason


# -- a change of law, and information --------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end", "activity"), [(0.2, 0.7, 1.3), (0.6, 0.1, 0.8), (0.5, 0.9, 0.45)])
def test_a_steady_transfer_is_the_cheapest_of_its_activity(start, end, activity):
    case = {"process": steady_transfer(start, end, 2.0, activity), "duration": 2.0}
    case["initial"] = it.Discrete([1 - start, start])
    sharp, plain = check("speed-limit-activity-sharp", **case), check("speed-limit-activity", **case)
    gap = abs(end - start)
    assert sharp.outcome == plain.outcome == "holds"
    assert sharp.lhs.value.item() == pytest.approx(gap * math.log((activity + gap) / (activity - gap)), rel=1e-9)
    assert plain.rhs.value.item() == pytest.approx(2 * gap**2 / activity, rel=1e-9)
    assert sharp.tightness.item() == pytest.approx(1.0, rel=1e-9)
    assert plain.tightness.item() < 0.95


def test_feedback_by_shifts_alone():
    prior, measurement = it.Gaussian(0.0, 1.0), it.LinearGaussianChannel(1.0, 1.0)
    v = check("sagawa-ueda", prior=prior, measurement=measurement, feedback="shift", temperature=3.0)
    assert v.tightness.item() == pytest.approx(0.25 / (0.5 * math.log(2)), rel=1e-12)
    sampled = check(
        "sagawa-ueda", prior=prior, measurement=measurement, feedback="shift", method="monte-carlo", generator=1
    )
    assert sampled.outcome == "holds" and sampled.lhs.method == "monte-carlo"


def test_without_its_information_a_sensor_would_break_the_second_law():
    rates = it.thermodynamics.bipartite_rates(SENSOR, (1, 1))
    assert check("bipartite-second-law", process=SENSOR, parts=(1, 1), side="y").outcome == "holds"
    assert rates.x.information_flow.value.item() < 0
    assert "side must be" in check("bipartite-second-law", process=SENSOR, parts=(1, 1), side="z").reason


def test_a_sensor_that_forgets_faster_or_slower_than_a_filter_learns_less_than_its_past_tells():
    for rate in (1.0, 4.0):
        process = it.processes.OrnsteinUhlenbeck([[1.0, 0.0], [-2.0, rate]], 2**0.5)
        assert check("learning-rate", process=process, parts=(1, 1)).tightness.item() < 0.99


def test_of_jumps_the_transfer_entropy_from_above_decides_nothing():
    rates = torch.zeros(2, 2, 2, 2, dtype=F64)
    for x in range(2):
        for y in range(2):
            rates[x, y, 1 - x, y] = 1.0
            rates[x, y, x, 1 - y] = 3.0 if x != y else 0.5
    process = it.processes.MarkovJump(rates.reshape(4, 4))
    assert check("learning-rate", process=process, parts=(2, 2)).outcome == "undecided"
    assert check("bipartite-second-law", process=process, parts=(2, 2), side="y").outcome == "holds"


def test_the_tilted_ring_is_loose_by_its_potential():
    flat, rough = (check("uncertainty-relation", process=tilted_ring(h)) for h in (0.0, 1.2))
    assert flat.tightness.item() == pytest.approx(1.0, rel=1e-11)
    assert rough.tightness.item() < 0.9
