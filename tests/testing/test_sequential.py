import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from infotherm.testing import sequential
from infotherm.testing.law import Broken
from infotherm.testing.sequential import (
    CENTRAL,
    Bets,
    Reading,
    log_evidence,
    mean_test,
    rate_test,
    replications_needed,
    trials_needed,
)

LAWS = {  # mean zero
    "normal": lambda r, n: r.standard_normal(n),
    "exponential": lambda r, n: r.exponential(size=n) - 1,
    "minus exponential": lambda r, n: 1 - r.exponential(size=n),
    "lognormal": lambda r, n: r.lognormal(size=n) - math.exp(0.5),
    "two points": lambda r, n: (r.random(n) < 0.3) - 0.3,
    "Student, two degrees of freedom": lambda r, n: r.standard_t(2, n),
}


@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from([0.05, 0.5, 0.75]))
def test_the_evidence_is_the_mixture_of_likelihood_ratios(hits, misses, allowed):
    def ratio(p):
        return (p / allowed) ** hits * ((1 - p) / (1 - allowed)) ** misses / (1 - allowed)

    expected, _ = quad(ratio, allowed, 1, epsabs=0, epsrel=1e-10)
    assert log_evidence(hits, hits + misses, allowed) == pytest.approx(math.log(expected), abs=1e-7)


@pytest.mark.parametrize("allowed, rate", [(0.1, 0.1), (0.5, 0.5), (0.5, 0.3), (0.75, 0.75)])
def test_the_evidence_is_a_supermartingale_under_every_law_that_is_allowed(allowed, rate):
    # exactly, by the tree of all sequences: the mean of the evidence after any prefix is at most the evidence before
    for trials in range(12):
        for hits in range(trials + 1):
            after = rate * math.exp(log_evidence(hits + 1, trials + 1, allowed))
            after += (1 - rate) * math.exp(log_evidence(hits, trials + 1, allowed))
            assert after <= math.exp(log_evidence(hits, trials, allowed)) * (1 + 1e-9)


def test_false_alarms_over_all_sequences_stay_below_the_level():
    allowed, level, trials = 0.5, 0.2, 11
    alarms = 0
    for sequence in itertools.product([False, True], repeat=trials):
        bets = Bets(allowed, level)
        for hit in sequence:
            bets.add(hit)
        alarms += bets.refuted
    assert alarms / 2**trials <= level


def test_trials_needed_foretells_what_the_test_takes():
    outcome = rate_test(lambda i: i % 10 != 0, 0.5, level=1e-8, most=1000)
    assert outcome.refuted
    assert outcome.trials == pytest.approx(trials_needed(0.9, 0.5, 1e-8), rel=0.25)


def test_a_rate_far_below_the_allowed_one_is_given_up_early():
    outcome = rate_test(lambda i: False, 0.5, level=1e-8, most=1000)
    assert not outcome.refuted and outcome.trials == 8


def test_replications_without_an_answer_are_counted_apart():
    outcome = rate_test(lambda i: None if i % 2 else True, 0.1, level=1e-8, most=100)
    assert outcome.refuted and outcome.declined in (outcome.trials - 1, outcome.trials)
    assert "declined" in str(outcome)
    silent = rate_test(lambda i: None, 0.1, level=1e-8, most=100)
    assert silent.trials == 0 and silent.declined == 8
    assert mean_test(lambda i: None, level=1e-8, most=100).declined == 8


@pytest.mark.parametrize("name", LAWS)
def test_the_probability_at_the_centre_is_within_what_the_test_allows(name):
    random = np.random.default_rng(0)
    for batch, allowed in CENTRAL.items():
        means = LAWS[name](random, (40_000, batch)).mean(1)
        for share in ((means > 1e-12).mean(), (means < -1e-12).mean()):
            assert share - 4 * math.sqrt(0.25 / 40_000) <= allowed


@pytest.mark.parametrize("name", LAWS)
def test_a_mean_at_the_edge_of_its_allowance_gives_no_more_alarms_than_the_level(name, monkeypatch):
    monkeypatch.setattr(sequential, "_hopeful", lambda *_: True)  # never gives up: the most alarms that there can be
    random, level, runs = np.random.default_rng(0), 0.1, 60
    alarms = 0
    for _ in range(runs):
        values = LAWS[name](random, 300)
        alarms += mean_test(lambda i, v=values: Reading(0.5 + v[i], above=0.5), level=level, most=300).refuted
    assert alarms <= 14  # binomial(60, 0.1) exceeds 14 with probability 7e-4


@pytest.mark.parametrize("effect", [3.0, 1.0, 0.6])
@pytest.mark.parametrize("side", [1, -1])
def test_effects_are_found_in_about_the_foretold_number_of_replications(effect, side):
    random = np.random.default_rng(1)
    values = side * (effect + 0.2) + random.standard_normal(4000)
    outcome = mean_test(lambda i: Reading(values[i], above=0.2, below=0.2), level=1e-8, most=4000)
    assert outcome.refuted
    assert outcome.trials <= 2 * replications_needed(effect, 1e-8)
    assert outcome.deviation == pytest.approx(side * (effect + 0.2), abs=5 * outcome.stderr)


def test_a_mean_within_its_allowance_is_given_up_early_and_the_effort_is_told():
    random = np.random.default_rng(2)
    outcome = mean_test(lambda i: Reading(random.normal(), above=4.0, below=4.0), level=1e-8, most=4000)
    assert not outcome.refuted and outcome.trials == 8
    assert "twice the allowance would show in about" in str(outcome)


def test_one_sided_claims_leave_the_other_side_free():
    low = mean_test(lambda i: Reading(-5.0 + 0.1 * (i % 2), above=0.0, below=math.inf), level=1e-8, most=500)
    assert not low.refuted and "(allowed)" in str(low)
    assert mean_test(lambda i: Reading(5.0 + 0.1 * (i % 2), above=0.0, below=math.inf), level=1e-8, most=500).refuted


def test_infinite_and_constant_replications():
    assert mean_test(lambda i: Reading(math.inf, above=1.0, below=1.0), level=1e-8, most=500).refuted
    assert mean_test(lambda i: Reading(1.0), level=1e-8, most=500).refuted
    assert not mean_test(lambda i: Reading(0.0), level=1e-8, most=500).refuted
    with pytest.raises(Broken, match="not a number"):
        mean_test(lambda i: Reading(math.nan), level=1e-8, most=500)


def test_a_student_test_would_raise_many_false_alarms_where_this_one_raises_none():
    # lognormal replications, mean zero: Student's t at level 1e-6 is wrong by orders of magnitude
    from scipy.stats import t

    random, runs, n = np.random.default_rng(3), 20_000, 64
    values = LAWS["lognormal"](random, (runs, n))
    score = values.mean(1) / values.std(1, ddof=1) * math.sqrt(n)
    assert (score < t.ppf(1e-6, n - 1)).sum() >= 10  # 0.02 expected
    bets = [np.cumsum(row < 0) for row in values[:2000]]
    assert max(log_evidence(int(row[-1]), n, CENTRAL[1]) for row in bets) < -math.log(1e-6)
