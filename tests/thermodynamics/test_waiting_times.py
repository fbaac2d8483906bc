"""Visible transitions: cycles and full sight give the whole rate, densities by another route, records, bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.estimators import NeighbourKL
from infotherm.processes import MarkovJump
from infotherm.thermodynamics import entropy_production_rate
from infotherm.thermodynamics.waiting_times import (
    entropy_production_from_transitions,
    visible_entropy_production_rate,
    visible_transitions,
)
from tests.thermodynamics.recorded_examples import F64, jump_record


def ring_of_four(*, chord=False):
    """A cycle of four states, or two that share a link."""
    rates = np.zeros((4, 4))
    for i, (forward, backward) in enumerate([(3.0, 1.0), (2.0, 1.5), (4.0, 0.5), (1.0, 0.8)]):
        rates[i, (i + 1) % 4], rates[(i + 1) % 4, i] = forward, backward
    if chord:
        rates[0, 2], rates[2, 0] = 1.0, 2.0
    return rates


BALANCED = np.array([[0.0, 1.0, 2.0, 1.0], [1.0, 0.0, 1.0, 2.0], [2.0, 1.0, 0.0, 3.0], [1.0, 2.0, 3.0, 0.0]])
# waiting times between transitions 0 <-> 1 tell more of the direction than their order does
TIMED = np.array([[0.0, 10.0, 0.1, 1.0], [3.0, 0.0, 0.3, 0.1], [1.0, 1.0, 0.0, 0.1], [0.1, 10.0, 10.0, 0.0]])


def random_rates(seed, states):
    generator = torch.Generator().manual_seed(seed)
    return torch.exp(1.5 * torch.randn(states, states, generator=generator, dtype=F64))


# -- exact -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [(0, 1), (2, 1), (3, 0)])
def test_one_link_of_a_cycle_shows_everything(link):
    process = MarkovJump(ring_of_four())
    found, whole = visible_entropy_production_rate(process, [link]), entropy_production_rate(process)
    assert found.kind == "exact" and found.method == "quadrature" and found.units == "nat/time"
    assert abs(found.value - whole.value) <= found.error + whole.error < 1e-10
    assert found.info["sequence_part"] == pytest.approx(float(whole.value), rel=1e-12)


def test_all_links_show_everything():
    process = MarkovJump(ring_of_four(chord=True))
    links = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]
    found, whole = visible_entropy_production_rate(process, links), entropy_production_rate(process)
    assert abs(found.value - whole.value) <= found.error + whole.error < 1e-10
    assert visible_entropy_production_rate(MarkovJump(BALANCED), [(0, 1)]).value.abs() < 1e-12


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), states=st.integers(3, 4))
def test_more_links_show_more_and_times_more_than_order(seed, states):
    process = MarkovJump(random_rates(seed, states))
    whole = entropy_production_rate(process)
    one, two = (visible_entropy_production_rate(process, [(0, 1), (1, 2)][:n]) for n in (1, 2))
    for found in (one, two):
        assert found.converged
        assert -found.error <= found.value <= whole.value + whole.error + found.error
        assert found.info["sequence_part"] <= float(found.value + found.error) + 1e-10
    assert one.value <= two.value + one.error + two.error
    turned = visible_entropy_production_rate(process, [(1, 0)])
    assert abs(turned.value - one.value) <= turned.error + one.error


def test_the_integral_by_another_route():
    """Densities by the matrix exponential on a fine lattice; the sequence part by survival without visible jumps."""
    rates = torch.tensor(TIMED, dtype=F64)
    process = MarkovJump(rates)
    law = process.quasi_invariant(0.0).pmf
    hidden = rates - torch.diag(rates.sum(1))
    hidden[0, 1] = hidden[1, 0] = 0
    times = torch.linspace(0, 80, 20_001, dtype=F64)
    small = torch.linalg.matrix_exp(hidden * times[1])
    survived = torch.empty(len(times), 4, 4, dtype=F64)
    survived[0] = torch.eye(4)
    for i in range(1, len(times)):
        survived[i] = survived[i - 1] @ small
    forwards, backwards = survived[:, 1, 0] * rates[0, 1], survived[:, 0, 1] * rates[1, 0]  # + after +, - after -
    flows = law[0] * rates[0, 1], law[1] * rates[1, 0]
    log = torch.where(times > 0, forwards / backwards, 1.0).log()  # both densities begin at zero
    expected = torch.trapezoid((flows[0] * forwards - flows[1] * backwards) * log, times)
    found = visible_entropy_production_rate(process, [(0, 1)])
    assert found.value.item() == pytest.approx(expected.item(), rel=1e-5)
    again = [torch.trapezoid(z, times) for z in (forwards, backwards)]
    sequence = (flows[0] * again[0] - flows[1] * again[1]) * (again[0] / again[1]).log()
    assert found.info["sequence_part"] == pytest.approx(sequence.item(), rel=1e-5)
    assert found.value > 3 * found.info["sequence_part"]


def test_one_way_windows_are_infinitely_irreversible():
    rates = ring_of_four()
    rates[2, 1] = 0.0
    assert visible_entropy_production_rate(MarkovJump(rates), [(0, 1)]).value == math.inf
    with pytest.raises(ValueError, match="process must not be a batch"):
        visible_entropy_production_rate(MarkovJump(torch.ones(2, 3, 3)), [(0, 1)])
    bad: list = [[(0, 0)], [(0, 9)], [], [(0, 1), (1, 0)], [0, 1], [(-1, 0)]]
    for links in bad:
        with pytest.raises(ValueError, match="links must be"):
            visible_entropy_production_rate(MarkovJump(rates), links)


# -- records -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rates, links",
    [
        (ring_of_four(), [(0, 1)]),
        (ring_of_four(chord=True), [(0, 1), (2, 3)]),
        (TIMED, [(0, 1)]),
    ],
)
def test_records_give_the_exact_number(rates, links):
    """Within 4 standard errors, and a loss of up to 0.05 from bins and smoothing."""
    truth = float(visible_entropy_production_rate(MarkovJump(rates), links).value)
    states, times = jump_record(rates, 40_000, 2)
    labels = visible_transitions(states, links)
    found = entropy_production_from_transitions(labels, times)
    assert found.kind == "lower" and found.units == "nat/time"
    assert -4 * found.stderr - 0.05 < found.value - truth < 4 * found.stderr
    assert found.stderr < 0.1 * truth + 0.01
    assert found.info["transition_rate"] == pytest.approx(float((labels != 0).sum()) / times[-1], rel=0.01)


def test_order_and_waiting_times_by_neighbours():
    """The second route: frequencies of the order, and NeighbourKL of the logarithms of waiting times."""
    process = MarkovJump(TIMED)
    states, times = jump_record(TIMED, 60_000, 1)
    labels = visible_transitions(states, [(0, 1)]).numpy()
    seen, at = labels[labels != 0], times[labels != 0]
    waits = np.log(np.diff(at))
    ahead, behind = (waits[(seen[:-1] == s) & (seen[1:] == s)] for s in (1, -1))
    found = entropy_production_from_transitions(labels, times)
    exact = visible_entropy_production_rate(process, [(0, 1)])
    assert found.info["sequence_part"] == pytest.approx(exact.info["sequence_part"], rel=0.4)
    shares = len(ahead) / len(waits), len(behind) / len(waits)
    rate = found.info["transition_rate"]
    times_part = rate * (
        shares[0] * NeighbourKL(20).estimate(ahead, behind) + shares[1] * NeighbourKL(20).estimate(behind, ahead)
    )
    assert abs(times_part.value - float(exact.value) + exact.info["sequence_part"]) < 4 * times_part.stderr + 0.02
    assert exact.info["sequence_part"] < found.lower_limit() < exact.value  # the waiting times count
    total = times_part + found.info["sequence_part"]
    assert abs(found.value - total.value) < 3 * (found.stderr + total.stderr)


def test_time_units_padding_and_several_records():
    states, times = jump_record(TIMED, 6000, 3)
    labels = visible_transitions(states, [(0, 1)]).numpy()
    found = entropy_production_from_transitions(labels, times)
    slower = entropy_production_from_transitions(labels, 10 * times + 5)
    assert 10 * slower.value.item() == pytest.approx(found.value.item(), rel=1e-9)
    visible = labels != 0
    packed = entropy_production_from_transitions(labels[visible], times[visible])
    assert packed.value.item() == pytest.approx(found.value.item(), rel=1e-9)
    padded_labels = np.stack([np.r_[labels, np.zeros(50, dtype=int)], np.zeros(6050, dtype=int)])
    padded_times = np.stack([np.r_[times, np.full(50, math.inf)], np.full(6050, math.inf)])
    padded = entropy_production_from_transitions(padded_labels, padded_times)
    assert padded.value.item() == pytest.approx(found.value.item(), rel=1e-9)


def test_equilibrium_shows_nothing():
    found = []
    for seed in range(20):
        states, times = jump_record(BALANCED, 4000, seed)
        found.append(entropy_production_from_transitions(visible_transitions(states, [(0, 1)]), times))
    assert sum(float(e.lower_limit()) > 0 for e in found) <= 3
    assert sum(float(e.value) for e in found) < 0


def test_rare_reverses():
    states, times = jump_record([[0.0, 30.0, 1.0], [1.0, 0.0, 30.0], [30.0, 1.0, 0.0]], 8000, 4)
    labels = visible_transitions(states, [(0, 1)])
    truth = float(entropy_production_rate(MarkovJump([[0.0, 30.0, 1.0], [1.0, 0.0, 30.0], [30.0, 1.0, 0.0]])).value)
    assert entropy_production_from_transitions(labels, times).lower_limit() < truth
    few = labels.clone()
    backwards = (few == -1).nonzero().flatten()
    few[backwards[5:-5]] = 0
    with pytest.warns(UserWarning, match="a transition is seen 5 times in one half"):
        assert entropy_production_from_transitions(few, times).kind == "unknown"
    few[backwards] = 0
    with pytest.raises(ValueError, match="-1 never occurs in one where 1 occurs"):
        entropy_production_from_transitions(few, times)


def test_labels_of_jumps():
    labels = visible_transitions([[0, 1, 2, 1, 0, 3, 0]], [(0, 1), (3, 0)])
    assert labels.tolist() == [[1, 0, 0, -1, -2, 2]]
    with pytest.raises(ValueError, match="states must have shape"):
        visible_transitions([0], [(0, 1)])
    with pytest.raises(TypeError, match="states must hold integers"):
        visible_transitions([0.0, 1.0], [(0, 1)])


def test_bad_input():
    states, times = jump_record(BALANCED, 2000, 5)
    labels = visible_transitions(states, [(0, 1)]).numpy()
    call = entropy_production_from_transitions
    with pytest.raises(ValueError, match="labels and times must both have shape"):
        call(labels, times[:-1])
    with pytest.raises(TypeError, match="labels must hold integers"):
        call(labels.astype(float), times)
    with pytest.raises(ValueError, match="at least 128 pairs of visible transitions; got"):
        call(labels[:100], times[:100])
    place = int(np.nonzero(labels)[0][7])
    broken = times.copy()
    broken[place] = math.nan
    with pytest.raises(ValueError, match=rf"times must be finite.*got nan at index \[0, {place}\]"):
        call(labels, broken)
    broken[place] = 0.0
    with pytest.raises(ValueError, match="times must increase along a path"):
        call(labels, broken)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*of kind 'unknown'")
@pytest.mark.parametrize(
    "rates, links", [(ring_of_four(), [(0, 1)]), (ring_of_four(chord=True), [(0, 1), (2, 3)]), (BALANCED, [(0, 1)])]
)
def test_lower_limits_hold(rates, links):
    """200 records: 95 % limits exceed the truth in at most 19, which nominal ones do with 0.4 %."""
    truth = float(visible_entropy_production_rate(MarkovJump(rates), links).value)
    above = 0
    for seed in range(200):
        states, times = jump_record(rates, 6000, seed)
        above += (
            float(entropy_production_from_transitions(visible_transitions(states, links), times).lower_limit()) > truth
        )
    assert above <= 19


def test_links_that_are_never_passed_and_other_processes():
    line = MarkovJump([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    with pytest.raises(ValueError, match=r"never jumps along \[\(0, 2\)\]"):
        visible_entropy_production_rate(line, [(0, 2)])
    with pytest.raises(TypeError, match="process must be a MarkovJump; got str"):
        visible_entropy_production_rate("line", [(0, 1)])
