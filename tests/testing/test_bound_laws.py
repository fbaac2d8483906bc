import math

import numpy as np
import pytest

from infotherm.core.estimate import Estimate
from infotherm.estimators.pairwise import KolchinskyTracey
from infotherm.estimators.tags import Tags
from infotherm.testing import check_estimator, laws
from infotherm.testing.law import Broken, Skipped, Trial
from infotherm.testing.subject import Subject

MI = "mutual_information"


def check(name, function, quantity=MI, budget="fast", **tags):
    given = {"quantities": (quantity,), "consistent_for": "gaussian", "states_error": True, "most_dimensions": 1}

    def run(arrays, seed):
        result = function(*arrays)
        return result if isinstance(result, Estimate) else Estimate(result, error=math.inf, kind=tags["kind"])

    subject = Subject("it", quantity, Tags(**{**given, **tags}), run)
    return laws.get(name).check(subject, Trial(name, budget, 0, 1e-8))


def shifted(shift, kind, stderr=0.05, **info):
    """Information of normal pairs, moved, with the kind of a bound."""

    def function(x, y):
        rho = np.corrcoef(x[:, 0], y[:, 0])[0, 1]
        value = -0.5 * math.log1p(-(rho**2)) - 0.5 / len(x) + shift
        return Estimate(value, stderr=stderr, error=1e-9, kind=kind, method="sample-based", info=info)

    return function


@pytest.mark.parametrize("side, sign", [("lower", -1), ("upper", 1)])
def test_bounds_on_the_right_side_pass_and_on_the_wrong_side_are_found(side, sign):
    assert "on the wrong side" in check(f"{side}-bound", shifted(sign * 0.3, side), kind=side)
    with pytest.raises(Broken, match="allowed 10%"):
        check(f"{side}-bound", shifted(-sign * 0.3, side), kind=side)


@pytest.mark.parametrize("side, sign", [("lower", -1), ("upper", 1)])
def test_bare_bounds_have_the_tolerance_of_a_random_error(side, sign):
    def bare(shift):
        return lambda x, y: float(shifted(shift, side)(x, y))

    check(f"{side}-bound", bare(0.0), kind=side, states_error=False)
    with pytest.raises(Broken):
        check(f"{side}-bound", bare(-sign * 0.5), kind=side, states_error=False)


def test_results_of_kind_lower_are_judged_where_the_estimator_is_no_bound_in_general():
    with pytest.raises(Broken):
        check("lower-bound", shifted(0.4, "lower"))
    with pytest.raises(Skipped, match="none of its results was a lower bound"):
        check("lower-bound", shifted(0.4, "estimate"))
    with pytest.raises(Skipped, match="no upper bound"):
        check("upper-bound", shifted(0.4, "lower"), kind="lower")


def test_an_estimator_that_trains_is_judged_by_a_dozen_replications():
    calls = []

    def counted(x, y):
        calls.append(1)
        return shifted(0.5, "lower")(x, y)

    with pytest.raises(Broken):
        check("lower-bound", counted, kind="lower", trains=True)
    assert len(calls) <= 12


def test_information_above_the_entropy_of_the_symbols_is_found():
    discrete = {"data": ("discrete",), "consistent_for": "any"}

    def at(value):
        return lambda x, y: Estimate(value, stderr=0.03, error=1e-9, kind="estimate", method="sample-based")

    assert "H = 1.03" in check("information-below-entropy", at(1.03), **discrete)
    with pytest.raises(Broken):
        check("information-below-entropy", at(1.3), **discrete)


def test_ceilings_from_the_tags_and_from_the_results():
    high = shifted(0.0, "estimate", ceiling=4.0)
    with pytest.raises(Broken, match="exceeds the stated ceiling 4"):
        check("ceiling", high)
    with pytest.raises(Broken, match="exceeds the stated ceiling"):
        check("ceiling", shifted(0.0, "estimate"), ceiling=math.log)
    assert "<= 50" in check("ceiling", shifted(0.0, "estimate"), ceiling=lambda n: 50.0)
    with pytest.raises(Skipped, match="states no ceiling"):
        check("ceiling", shifted(0.0, "estimate"))


def test_a_lower_bound_for_every_law_cannot_exceed_the_logarithm_of_n():
    with pytest.raises(Broken, match="log\\(40 N\\^2\\) = 12.9"):
        check("logarithmic-ceiling", shifted(0.0, "lower"), kind="lower", consistent_for="any")
    with pytest.raises(Skipped, match="no lower bound for every law"):
        check("logarithmic-ceiling", shifted(0.0, "lower"), kind="lower")


def test_enclosing_bounds_of_the_pairwise_estimator():
    report = check_estimator(KolchinskyTracey(0.5), "entropy", laws=["enclosing-bounds", "upper-bound"])
    assert [result.status for result in report.results] == ["passed", "passed"]


@pytest.mark.parametrize("low, value, high", [(1.0, 0.5, 0.9), (0.0, 1.5, 1.0)])
def test_bounds_that_enclose_nothing_are_found(low, value, high):
    def function(x):
        return Estimate(value, error=1e-9, kind="estimate", method="sample-based", info={"lower": low, "upper": high})

    with pytest.raises(Broken, match="exceeds upper|lies outside"):
        check("enclosing-bounds", function, "entropy")
