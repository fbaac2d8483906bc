"""check_estimator: which laws are tried, how results come back, and what is refused."""

import pytest

from infotherm.estimators import KSG, GaussianPlugIn, KozachenkoLeonenko
from infotherm.testing import as_estimator, check_estimator, laws
from infotherm.testing.conformance import trials_of
from tests.testing.plain import gaussian, gaussian_entropy

QUICK = ["symmetry", "row-permutation", "shift", "rotation", "nonfinite-samples"]


def lopsided(x, y):
    return gaussian(x, y) + 0.05 * x.shape[1]


def test_results():
    report = check_estimator(lopsided, laws=QUICK)
    assert [result.law for result in report.results] == QUICK
    assert {result.law: result.status for result in report.results} == {
        "symmetry": "failed",
        "row-permutation": "passed",
        "shift": "passed",
        "rotation": "skipped",
        "nonfinite-samples": report["nonfinite-samples"].status,
    }
    assert report["symmetry"] in report.failed and not report.passed
    symmetry = report["symmetry"]
    assert symmetry.sort == "exact" and symmetry.statement == laws.get("symmetry").statement
    assert "x and y exchanged" in symmetry.reason


def test_the_quantity_is_the_estimator_s_own_by_default():
    assert check_estimator(KozachenkoLeonenko(), laws="repeatability").quantity == "entropy"
    assert check_estimator(KSG(), laws="repeatability").quantity == "mutual_information"
    assert check_estimator(GaussianPlugIn(), "entropy", laws="repeatability").quantity == "entropy"
    assert check_estimator(gaussian_entropy, "entropy", laws="repeatability").passed
    report = check_estimator(KozachenkoLeonenko(), laws="symmetry")
    assert report.results[0].status == "skipped" and "the estimator is of entropy" in report.results[0].reason


def test_declared_failures():
    reasons = {"symmetry": "it counts the coordinates of x", "shift": "once it did"}
    report = check_estimator(lopsided, laws=["symmetry", "shift", "rotation"], expected_failures=reasons)
    assert report.passed and report["symmetry"].status == "expected"
    assert report["symmetry"].reason.startswith("it counts the coordinates of x (x and y exchanged")
    stale = report["shift"]
    assert stale.status == "passed" and stale.stale and "the declaration is stale" in stale.reason
    assert report.summary == "1 expected, 1 passed, 1 skipped (1 declared to fail)"


def test_exceptions_are_failures():
    def fragile(x, y):
        raise RuntimeError("no licence")

    (result,) = check_estimator(fragile, laws="symmetry").results
    assert result.status == "failed" and result.reason == "RuntimeError: no licence"
    (result,) = check_estimator(lambda x, y: None, laws="symmetry").results
    assert result.status == "failed" and "<lambda> must return one real number; got None" in result.reason


def test_the_level_is_shared_among_laws_of_chance():
    chosen = laws.select("entropy")
    trials = trials_of(chosen, "full", 3, 1e-6)
    shares = [trial.level for law, trial in zip(chosen, trials, strict=True) if law.sort != "exact"]
    assert sum(shares) == pytest.approx(1e-6)
    assert {trial.seed for trial in trials} == {3} and all(trial.full for trial in trials)


def test_the_same_seed_gives_the_same_report():
    chosen = [*QUICK, "independence", "ties"]
    first, again = (check_estimator(as_estimator(gaussian), laws=chosen, seed=7) for _ in range(2))
    assert first == again and str(first) == str(again)
    other = check_estimator(as_estimator(gaussian), laws=chosen, seed=8)
    assert other["symmetry"].status == "passed" and str(first) != str(other)


def test_progress():
    seen = []
    check_estimator(gaussian, laws=["symmetry", "shift"], progress=lambda *step: seen.append(step))
    assert seen == [(0, 2, "symmetry"), (1, 2, "shift"), (2, 2, "")]


def test_refusals():
    with pytest.raises(KeyError, match="the nearest are symmetry"):
        check_estimator(gaussian, laws=["simmetry"])
    with pytest.raises(KeyError, match="no law is called 'shifts'; the nearest are shift"):
        check_estimator(gaussian, expected_failures={"shifts": "because"})
    with pytest.raises(ValueError, match="expected failure of 'shift' needs a reason; got ''"):
        check_estimator(gaussian, expected_failures={"shift": ""})
    with pytest.raises(TypeError, match="expected_failures must map laws to reasons; got list"):
        check_estimator(gaussian, expected_failures=["shift"])
    with pytest.raises(ValueError, match="budget must be one of fast, full; got 'quick'"):
        check_estimator(gaussian, budget="quick")
    with pytest.raises(ValueError, match=r"level must lie in \(0, 1\); got 0"):
        check_estimator(gaussian, level=0)
    with pytest.raises(TypeError, match="seed must be an integer; got 0.5"):
        check_estimator(gaussian, seed=0.5)
    with pytest.raises(ValueError, match="KSG.* estimates mutual_information, .*; got the quantity 'entropy'"):
        check_estimator(KSG(), "entropy")
    with pytest.raises(TypeError, match="not its class: KSG"):
        check_estimator(KSG)


def test_a_function_of_single_coordinates_is_told_how_to_say_so():
    def narrow(x, y):
        if x.shape[1] > 1:
            raise ValueError("one coordinate only")
        return float(x.mean() + y.mean())

    (result,) = check_estimator(as_estimator(narrow), laws="result-form").results
    assert result.reason == (
        "ValueError: one coordinate only (of one coordinate it takes samples: tags={'most_dimensions': 1} says so)"
    )
    assert check_estimator(as_estimator(narrow, tags={"most_dimensions": 1}), laws="result-form").passed
