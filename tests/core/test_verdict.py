import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from infotherm.core.estimate import Estimate
from infotherm.core.kinds import KINDS
from infotherm.core.verdict import decide, holm

F64 = torch.float64


def sampled(value, stderr, **kw):
    kw = {"kind": "estimate", "method": "monte-carlo"} | kw
    return Estimate(torch.as_tensor(value, dtype=F64), stderr=stderr, **kw)


def most_alarms(rate, trials, false_alarm=1e-6):
    """The largest count that a rate of at most `rate` exceeds with probability below `false_alarm`."""
    return int(stats.binom.isf(false_alarm, trials, rate))


# -- kinds -----------------------------------------------------------------------------------------------------------


def where_the_truth_is(kind, value, margin):
    """The set that a side of this kind confines the truth to."""
    return {
        "exact": (value - margin, value + margin),
        "estimate": (value - margin, value + margin),
        "lower": (value - margin, math.inf),
        "upper": (-math.inf, value + margin),
        "unknown": (-math.inf, math.inf),
    }[kind]


def oracle(lhs, rhs, relation):
    """Strict interval semantics: what is true of every pair of truths that the sides allow."""
    (a, b), (c, d) = lhs, rhs
    if relation == "<=":
        (a, b), (c, d) = (c, d), (a, b)
    if relation == "==":
        return "violated" if b < c or d < a else "not refuted"
    return "holds" if a >= d else "violated" if b < c else "undecided"


@pytest.mark.parametrize("relation", [">=", "<=", "=="])
@pytest.mark.parametrize("kinds", list(itertools.product(KINDS, KINDS)))
@pytest.mark.parametrize("difference", [-1.0, 1.0])
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_kinds_decide_as_the_sets_they_stand_for(kinds, relation, difference, margin):
    lhs = Estimate(difference, error=margin, kind=kinds[0])
    rhs = Estimate(0.0, error=margin, kind=kinds[1])
    outcome = decide(lhs, rhs, relation).outcome
    expected = oracle(
        where_the_truth_is(kinds[0], difference, margin), where_the_truth_is(kinds[1], 0.0, margin), relation
    )
    assert outcome == ("undecided" if expected == "not refuted" else expected)


@pytest.mark.parametrize("kinds", list(itertools.product(KINDS, KINDS)))
@pytest.mark.parametrize("relation", [">=", "<="])
@pytest.mark.parametrize("z", [-10.0, -0.5, 0.5, 10.0])
def test_kinds_of_sampled_sides(kinds, relation, z):
    if "exact" in kinds:
        kinds = tuple("estimate" if k == "exact" else k for k in kinds)
    lhs, rhs = sampled(z, 0.5, kind=kinds[0]), sampled(0.0, 0.5, kind=kinds[1])
    margin = 0.5 * stats.norm.isf(0.005)
    expected = oracle(where_the_truth_is(kinds[0], z, margin), where_the_truth_is(kinds[1], 0.0, margin), relation)
    assert decide(lhs, rhs, relation, alpha=0.01).outcome == expected


def test_deterministic_sides_hold_up_to_their_errors():
    lhs = Estimate([1.0, 1.0, 1.0], error=[1e-9, 1e-9, 1e-9])
    rhs = Estimate([1 + 1.9e-9, 1 + 2.1e-9, 0.5], error=1e-9)
    v = decide(lhs, rhs)
    assert v.outcomes.tolist() == ["holds", "violated", "holds"]
    assert v.outcome == "violated"
    assert decide(rhs, lhs, "<=").outcomes.tolist() == v.outcomes.tolist()
    assert decide(lhs, rhs, "==").outcomes.tolist() == ["holds", "violated", "violated"]
    assert decide(lhs, rhs, "==", tolerance=0.6).outcome == "holds"


@pytest.mark.parametrize(
    ("lhs", "rhs", "relation", "expected"),
    [
        (math.inf, 1.0, ">=", "holds"),
        (math.inf, 1.0, "<=", "violated"),
        (-math.inf, 1.0, ">=", "violated"),
        (-math.inf, math.inf, "<=", "holds"),
        (math.inf, math.inf, ">=", "undecided"),
        (math.inf, math.inf, "==", "undecided"),
        (math.inf, 1.0, "==", "violated"),
        (math.nan, 1.0, ">=", "undecided"),
        (1.0, math.nan, "<=", "undecided"),
    ],
)
def test_infinite_and_missing_values(lhs, rhs, relation, expected):
    assert decide(Estimate(lhs, error=1e-12), Estimate(rhs, error=1e-12), relation).outcome == expected
    assert decide(lhs, rhs, relation).outcome == expected  # plain numbers


def test_an_unknown_error_decides_nothing():
    v = decide(Estimate(5.0, error=math.inf), 1.0)
    assert v.outcome == "undecided"
    assert "left side" in v.reason
    assert decide(1.0, Estimate(5.0, error=math.inf), "==").outcome == "undecided"
    assert decide(sampled(5.0, math.inf), 1.0).outcome == "undecided"


def test_samples_that_all_agree_decide_nothing():
    # one atom of mass 1e-6 was never drawn: the standard error is 0 and the value still wrong
    never_drawn = sampled(math.log(2) - 1e-6, 0.0, streams=["s"], info={"n": 1000})
    true_value = math.log(2) - 1.5e-5
    v = decide(never_drawn, true_value, "<=")
    assert v.outcome == "undecided"
    assert "all samples" in v.reason
    # but a sample outside the support of q has shown that the divergence is infinite
    infinite = sampled(math.inf, 0.0, streams=["s"], info={"n": 1000})
    assert decide(infinite, 1.0, ">=").outcome == "holds"


def test_plain_numbers_take_the_unit_of_the_other_side():
    one_bit = Estimate(1.0, units="bit")
    assert decide(one_bit, 1.0, "==").outcome == "holds"
    assert decide(one_bit, Estimate(math.log(2), error=1e-15), "==").outcome == "holds"
    assert decide(Estimate(1.0, units="nat/time"), 0.5).outcome == "holds"
    with pytest.raises(ValueError, match="same units"):
        decide(Estimate(1.0, units="nat/time"), Estimate(1.0, units="nat"))


# -- sampled sides ---------------------------------------------------------------------------------------------------


def test_the_union_bound_is_what_decides():
    z = stats.norm.isf(0.005)
    edge = 0.3 * z + 0.4 * z + 0.01 + 0.02
    for shift, expected in ((1e-6, "violated"), (-1e-6, "undecided")):
        lhs, rhs = sampled(0.0, 0.3, error=0.01), sampled(edge + shift, 0.4, error=0.02)
        assert decide(lhs, rhs, ">=", alpha=0.01).outcome == expected
        assert decide(rhs, lhs, ">=", alpha=0.01).outcome == {"violated": "holds"}.get(expected, expected)


@pytest.mark.parametrize("correlation", [0.0, 1.0, -1.0])
def test_false_alarms_at_saturation(correlation):
    """False alarm of this test itself: below 1e-6 per assertion, by the binomial tail."""
    generator = torch.Generator().manual_seed(3)
    trials, alpha = 20_000, 0.05
    noise = torch.randn(2, trials, dtype=F64, generator=generator)
    noise[1] = correlation * noise[0] + math.sqrt(1 - correlation**2) * noise[1]
    lhs, rhs = sampled(1 + 0.1 * noise[0], 0.1), sampled(1 + 0.2 * noise[1], 0.2)
    p = decide(lhs, rhs, alpha=alpha).evidence
    one_by_one = {"violated": p.p_violated < alpha, "holds": p.p_holds < alpha}
    for called in one_by_one.values():
        assert int(called.sum()) <= most_alarms(alpha, trials)
    undecided = 1 - sum(c.to(F64).mean() for c in one_by_one.values())
    assert undecided >= 1 - 2 * alpha  # the usual answer at saturation
    if correlation == -1:  # the largest spread of the slack: the count is not idle
        assert int(one_by_one["violated"].sum()) > 0.4 * alpha * trials


def test_false_alarms_with_few_samples():
    """Student's t: with 6 Gaussian samples the normal limits would call 2.5 times too many."""
    generator = torch.Generator().manual_seed(4)
    trials, n, alpha = 40_000, 6, 0.01
    draws = torch.randn(n, trials, dtype=F64, generator=generator)
    side = {"value": draws.mean(0), "stderr": draws.std(0) / math.sqrt(n)}
    known = decide(sampled(**side, info={"n": n}), 0.0).evidence
    assert int((known.p_violated < alpha).sum()) <= most_alarms(alpha, trials)
    unknown = decide(sampled(**side), 0.0).evidence
    assert int((unknown.p_violated < alpha).sum()) > most_alarms(alpha, trials)


@pytest.mark.parametrize("size", [0.02, 0.1, 1.0, 100.0])
def test_planted_violations_are_caught(size):
    """By a slack of -9 standard errors: a miss has probability below 1e-9."""
    generator = torch.Generator().manual_seed(5)
    stderr = size / 9
    noise = stderr * torch.randn(50, dtype=F64, generator=generator)
    verdicts = [decide(sampled(1 - size + e, stderr), 1.0, ">=") for e in noise]
    assert {v.outcome for v in verdicts} == {"violated"}
    mirrored = [decide(sampled(1 + size + e, stderr), 1.0, ">=") for e in noise]
    assert {v.outcome for v in mirrored} == {"holds"}


def test_undecided_says_how_many_samples_would_do():
    lhs = sampled(1.1, 0.1, info={"n": 10**6})
    v = decide(lhs, 1.0)
    factor = float(v.reason.split("about ")[1].split(" times")[0])
    assert decide(sampled(1.1, 0.1 / math.sqrt(1.05 * factor), info={"n": 10**6}), 1.0).outcome == "holds"
    assert decide(sampled(1.1, 0.1 / math.sqrt(0.95 * factor), info={"n": 10**6}), 1.0).outcome == "undecided"
    assert "do not help" in decide(sampled(1.1, 0.1, error=0.2), 1.0).reason
    assert "saturated" in decide(sampled(1 + 1e-9, 0.1), 1.0).reason


# -- identities ------------------------------------------------------------------------------------------------------


def test_identities_between_sampled_sides():
    with pytest.raises(ValueError, match="tolerance is required"):
        decide(sampled(1.0, 0.01), 1.0, "==")
    near = sampled(1.01, 0.01)
    assert decide(near, 1.0, "==", tolerance=0.1).outcome == "holds"
    assert decide(near, 1.0, "==", tolerance=0.02).outcome == "undecided"
    assert decide(sampled(1.2, 0.01), 1.0, "==", tolerance=0.1).outcome == "violated"
    assert decide(sampled(0.8, 0.01), 1.0, "==", tolerance=0.1).outcome == "violated"


def test_equivalence_test_keeps_its_level_on_the_edge_of_the_tolerance():
    """At a true difference of exactly the tolerance neither answer may be given more often than alpha."""
    generator = torch.Generator().manual_seed(6)
    trials, alpha, tolerance = 20_000, 0.05, 0.5
    values = 1 + tolerance + 0.1 * torch.randn(trials, dtype=F64, generator=generator)
    p = decide(sampled(values, 0.1), 1.0, "==", tolerance=tolerance).evidence
    assert int((p.p_holds < alpha).sum()) <= most_alarms(alpha, trials)
    assert int((p.p_violated < alpha).sum()) <= most_alarms(alpha, trials)
    # a tolerance far below the resolution: both tails count
    p = decide(sampled(values - tolerance, 0.1), 1.0, "==", tolerance=1e-6).evidence
    assert int((p.p_violated < alpha).sum()) <= most_alarms(alpha, trials)
    assert int((p.p_holds < alpha).sum()) == 0


# -- many ------------------------------------------------------------------------------------------------------------


def test_holm_keeps_the_family_wise_rate_of_forty_checks_at_saturation():
    """False alarm of this test: below 1e-6 by the binomial tail."""
    generator = torch.Generator().manual_seed(7)
    families, checks, alpha = 400, 40, 0.05
    noise = torch.randn(2, families, checks, dtype=F64, generator=generator)
    noise[1] = -noise[0]  # the largest spread of the slack
    alarms = naive = 0
    for i in range(families):
        v = decide(sampled(1 + 0.1 * noise[0, i], 0.1), sampled(1 + 0.1 * noise[1, i], 0.1), alpha=alpha)
        alarms += v.outcome == "violated"
        naive += bool((v.evidence.p_violated < alpha).any())
    assert alarms <= most_alarms(alpha, families)
    assert naive > 0.5 * families


def test_holm_is_the_textbook_procedure():
    generator = torch.Generator().manual_seed(8)
    values = 1 - 0.1 * torch.rand(12, dtype=F64, generator=generator)
    verdicts = [decide(sampled(v, 0.02), 1.0, alpha=0.05) for v in values]
    p = np.array([float(v.evidence.p_violated) for v in verdicts])
    expected = np.full(12, "undecided", dtype=object)
    for rank, i in enumerate(np.argsort(p)):
        if p[i] >= 0.05 / (12 - rank):
            break
        expected[i] = "violated"
    assert 0 < (expected == "violated").sum() < (p < 0.05).sum()
    assert [v.outcome for v in holm(verdicts, 0.05)] == expected.tolist()
    batch = decide(sampled(values, 0.02), 1.0, alpha=0.05)
    assert batch.outcomes.tolist() == expected.tolist()
    assert batch.outcome == "violated"


def test_deterministic_verdicts_do_not_enter_the_count():
    doubtful = decide(sampled(0.97, 0.01), 1.0, alpha=0.01)
    sure = [decide(2.0, 1.0), decide(1.0, 2.0), decide(math.nan, 1.0)]
    assert [v.outcome for v in holm([doubtful, *sure * 50], 0.01)[:4]] == [
        "violated",
        "holds",
        "violated",
        "undecided",
    ]
    assert holm([doubtful] * 200, 0.01)[0].outcome == "undecided"
    assert holm([], 0.01) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(0.0, 2.0), st.floats(0, 0.5)), min_size=1, max_size=6),
    st.floats(1e-4, 0.3),
    st.sampled_from([">=", "<="]),
)
def test_swapping_the_sides_and_the_relation_changes_nothing(rows, alpha, relation):
    value, stderr, error = (torch.tensor(column, dtype=F64) for column in zip(*rows, strict=True))
    lhs = sampled(value, stderr, error=error)
    v = decide(lhs, 0.5, relation, alpha=alpha)
    mirrored = decide(0.5, lhs, "<=" if relation == ">=" else ">=", alpha=alpha)
    assert v.outcomes.tolist() == mirrored.outcomes.tolist()
    assert torch.equal(v.slack.value, mirrored.slack.value)
    assert torch.equal(v.tightness, mirrored.tightness)
    for element, p_violated, slack in zip(v.outcomes, v.evidence.p_violated, v.slack.value, strict=True):
        if element == "violated":
            assert slack < 0
            assert p_violated < alpha


# -- the object ------------------------------------------------------------------------------------------------------


def test_tightness_is_one_at_saturation():
    lhs = Estimate([2.0, -2.0, 1.0, 1e-17, 0.0, -4.0, math.inf], error=1e-15)
    rhs = Estimate([1.0, 1.0, 1.0, 0.0, 0.0, -8.0, 1.0], error=1e-15)
    assert decide(lhs, rhs).tightness.tolist() == [0.5, 0.0, 1.0, 1.0, 1.0, 0.5, 0.0]


def test_batches_broadcast_and_keep_their_shape():
    v = decide(Estimate(torch.ones(3, 1, dtype=F64)), Estimate([0.0, 2.0]))
    assert v.shape == (3, 2)
    assert v.slack.shape == (3, 2)
    assert v.outcomes.tolist() == [["holds", "violated"]] * 3
    assert "[0, 1]" in v.reason
    assert decide(Estimate(torch.ones(0, dtype=F64)), 1.0).outcome == "undecided"
    with pytest.raises(ValueError, match="broadcastable"):
        decide(Estimate([1.0, 2.0]), Estimate([1.0, 2.0, 3.0]))


def test_a_verdict_is_not_a_truth_value():
    v = decide(1.0, 0.5)
    with pytest.raises(TypeError, match=r"v\.outcome"):
        bool(v)
    with pytest.raises(TypeError):
        assert v


def test_repr_is_one_readable_line():
    v = decide(Estimate(1.25, error=1e-9), sampled(1.0, 0.01))
    assert repr(v).startswith("holds  1.25")
    assert "tightness 0.8" in repr(v)
    assert "\n" not in repr(v)


@pytest.mark.parametrize(
    ("kw", "message"),
    [
        ({"relation": ">"}, "relation must be one of"),
        ({"alpha": 1.5}, "alpha must lie"),
        ({"tolerance": 0.1}, "tolerance belongs to"),
        ({"relation": "==", "tolerance": -0.1}, "tolerance must be >= 0"),
    ],
)
def test_bad_arguments(kw, message):
    with pytest.raises(ValueError, match=message):
        decide(1.0, 0.5, **kw)
    with pytest.raises(TypeError, match="lhs"):
        decide("one", 0.5)


def test_slack_is_differentiable():
    x = torch.tensor(2.0, dtype=F64, requires_grad=True)
    decide(Estimate(x * x), 1.0).slack.value.backward()
    assert x.grad.item() == 4.0


def test_a_tolerance_fits_the_sides():
    sides = torch.tensor([1.0, 1.5], dtype=torch.float64)
    assert decide(sides, 1.0, "==", tolerance=[0.1, 0.6]).outcome == "holds"
    for sides, tolerance in ((1.0, [0.1, 0.2]), ([1.0, 1.5], [0.1, 0.2, 0.3])):
        with pytest.raises(ValueError, match="tolerance must broadcast"):
            decide(sides, 1.0, "==", tolerance=tolerance)


def test_an_infinite_difference_within_an_infinite_tolerance_decides_nothing():
    verdict = decide(math.inf, 1.0, "==", tolerance=math.inf)
    assert verdict.outcome == "undecided" and "both infinite" in verdict.reason


def test_an_unknown_standard_error_is_the_reason():
    side = Estimate(1.0, stderr=math.inf, kind="estimate", method="monte-carlo")
    verdict = decide(side, 2.0, "==", tolerance=0.5)
    assert verdict.outcome == "undecided" and "standard error of the left side" in verdict.reason
