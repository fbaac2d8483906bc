import math
import warnings

import numpy as np
import pytest

from infotherm.core.estimate import Estimate
from infotherm.estimators.tags import Tags
from infotherm.testing import laws, tasks
from infotherm.testing.law import Broken, Skipped, Trial
from infotherm.testing.replication import Replications, default_tolerance, reading, slack_of, tolerance_of
from infotherm.testing.situations import dependent, fitting, independent, references, sample
from infotherm.testing.subject import Subject

MI, CMI = "mutual_information", "conditional_mutual_information"


def trial(name, budget="fast", seed=0, level=1e-8):
    return Trial(name, budget, seed, level)


def check(name, subject, **options):
    return laws.get(name).check(subject, trial(name, **options))


def normal_information(x, y, *_):
    """Of one pair of normal coordinates, nearly unbiased."""
    rho = np.corrcoef(x[:, 0], y[:, 0])[0, 1]
    return -0.5 * math.log1p(-(rho**2)) - 0.5 / len(x)


def subject(function, quantity=MI, **tags):
    given = {"quantities": (quantity,), "consistent_for": "gaussian", "states_error": False, "most_dimensions": 1}

    def run(arrays, seed):
        result = function(*arrays)
        return result if isinstance(result, Estimate) else Estimate(result, error=math.inf, kind="estimate")

    return Subject("it", quantity, Tags(**{**given, **tags}), run)


def stated(value, stderr=0.1, error=0.0, kind="estimate", **info):
    return Estimate(value, stderr=stderr, error=error, kind=kind, method="sample-based", info=info)


# -- what is asked of whom ---------------------------------------------------------------------------------------------


def test_the_laws_are_registered_with_statement_and_source():
    for name in ("bias", "interval-coverage", "chain-rule", "kl-of-equals"):
        assert laws.get(name).sort == "statistical"
        assert laws.get(name).statement and laws.get(name).source


def test_references_fit_the_data_the_width_and_the_laws_that_an_estimator_takes():
    one = references(subject(normal_information))
    assert one and all(task.gaussian and max(task.dims) == 1 for task in one)
    labels = references(subject(normal_information, data=("discrete",), consistent_for="any"))
    assert labels and all(task.data == "discrete" for task in labels)
    wide = references(subject(normal_information, most_dimensions=None))
    assert max(max(task.dims) for task in wide) == 3


@pytest.mark.parametrize("quantity", ["entropy", MI, CMI, "kl"])
def test_every_quantity_has_references_for_numbers_and_for_labels(quantity):
    for data in ("continuous", "discrete"):
        assert references(subject(normal_information, quantity, data=(data,), consistent_for="any"))


def test_independent_tasks_share_nothing_and_dependent_ones_much():
    for quantity in (MI, CMI):
        any_data = subject(normal_information, quantity, data=("continuous", "discrete", "mixed"), consistent_for="any")
        assert all(float(task.truth) == 0 for task in independent(any_data))
        assert all(float(task.truth) > 0.3 for task in dependent(any_data))


def test_what_fits_nothing_is_skipped_with_a_reason():
    with pytest.raises(Skipped, match="mixed data"):
        fitting(subject(normal_information, data=("mixed",)), [tasks.get("gaussian-1x1-0.5")])


def test_labels_come_second():
    x, y = sample(tasks.get("bpsk-awgn-1"), 100, trial("bias").generator())
    assert len(np.unique(y)) == 2 and len(np.unique(x)) == 100


@pytest.mark.parametrize("name", ["bias", "independence", "additivity", "data-processing"])
def test_bounds_and_estimators_that_train_are_spared_what_they_need_not_obey(name):
    with pytest.raises(Skipped, match="bound"):
        check(name, subject(normal_information, kind="lower"))
    with pytest.raises(Skipped, match="trains"):
        check(name, subject(normal_information, trains=True))


# -- what an estimate claims -------------------------------------------------------------------------------------------


def test_a_bare_number_has_the_tolerance_and_a_stated_error_is_taken_at_its_word():
    bare, careful = subject(normal_information), subject(normal_information, states_error=True)
    assert slack_of(bare, stated(1.0, 0.1, 0.2), 0.05) == 0.05
    assert slack_of(careful, stated(1.0, 0.1, 0.2), 0.05) == pytest.approx(0.25)


def test_a_bound_speaks_of_one_side():
    careful = subject(normal_information, states_error=True)
    low, high = (reading(careful, stated(1.0, kind=kind), 0.4, 0.0) for kind in ("lower", "upper"))
    assert (low.deviation, low.below) == (0.6, math.inf) and low.above < 0.1
    assert high.above == math.inf and high.below < 0.1


def test_unknown_results_and_infinite_errors_are_no_claims():
    said = {"kind": "unknown", "error": 0.0}
    careful = subject(lambda x, y: stated(1.0, **said), states_error=True)
    replications = Replications(careful, trial("bias"), "x")
    assert replications.ask(np.zeros((3, 1)), np.zeros((3, 1))) is None
    said.update(kind="estimate", error=math.inf)
    assert replications.ask(np.zeros((3, 1)), np.zeros((3, 1))) is None
    with pytest.raises(Skipped, match="declined to answer every time"):
        check("bias", careful)


def test_tolerances():
    assert default_tolerance(200, 2, 0.0) == 0.02
    task = tasks.get("symmetric-channel-2-0.11")
    assert tolerance_of(task, sample(task, 400, trial("bias").generator())) == pytest.approx(8 / 400)
    entropy = tasks.get("entropy-gaussian-2")
    assert tolerance_of(entropy, (np.zeros((100, 2)),)) == pytest.approx(0.04 + 2 / 10)
    kl = tasks.get("kl-gaussian-shift")
    assert tolerance_of(kl, (np.zeros((400, 1)), np.zeros((100, 1)))) == pytest.approx(0.04 + 1.0 / 10)


# -- verdicts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bias", "independence", "no-clipping", "consistency", "depends-on-y"])
def test_a_correct_estimator_passes_with_evidence_and_the_same_seed_says_the_same(name):
    first = check(name, subject(normal_information), seed=3)
    assert first == check(name, subject(normal_information), seed=3)
    if "mean" in first:
        assert first != check(name, subject(normal_information), seed=4)
    assert any(character.isdigit() for character in first)


@pytest.mark.parametrize("shift", [0.2, -0.2])
def test_bias_of_either_sign_is_found_and_measured(shift):
    with pytest.raises(Broken, match=r"mean deviation [+-]0\.[12]") as found:
        check("bias", subject(lambda x, y: normal_information(x, y) + shift))
    assert "replications" in str(found.value)


def test_a_stated_error_excuses_a_bias_and_a_small_one_does_not():
    def with_error(error):
        return subject(lambda x, y: stated(normal_information(x, y) + 0.2, 0.05, error), states_error=True)

    check("bias", with_error(0.25))
    with pytest.raises(Broken):
        check("bias", with_error(0.05))


def test_values_that_are_no_numbers_break_the_law():
    with pytest.raises(Broken, match="not a number"):
        check("bias", subject(lambda x, y: math.nan))
    with pytest.raises(Broken, match="not a number"):
        check("depends-on-y", subject(lambda x, y: math.nan))


def test_clipping_is_found_unless_it_is_declared():
    def clipped(x, y):
        return max(0.0, normal_information(x, y))

    with pytest.raises(Broken, match="allowed 10%"):
        check("no-clipping", subject(clipped))
    with pytest.raises(Skipped, match="clips"):
        check("no-clipping", subject(clipped, clips_at_zero=True))
    check("independence", subject(clipped, clips_at_zero=True))


def test_intervals_that_cover_too_little_are_found_and_the_width_is_told():
    def interval(factor):
        def function(x, y):
            value = normal_information(x, y)
            rho2 = -math.expm1(-2 * max(value, 0.0))
            return stated(value, factor * (math.sqrt(rho2 / len(x)) + 1 / len(x)), 1e-6, n=len(x))

        return subject(function, states_error=True)

    assert "median width" in check("interval-coverage", interval(1.2))
    with pytest.raises(Broken, match="allowed 7%"):
        check("interval-coverage", interval(0.4))
    with pytest.raises(Skipped, match="states no error"):
        check("interval-coverage", subject(normal_information))


@pytest.mark.parametrize("power, broken", [(1.0, False), (2.0, True), (0.4, True)])
def test_p_values_that_are_too_small_or_too_large_are_found(power, broken):
    from scipy.stats import norm

    def function(x, y):
        z = math.atanh(np.corrcoef(x[:, 0], y[:, 0])[0, 1]) * math.sqrt(len(x) - 3)
        return stated(0.0, p_value=float(2 * norm.sf(abs(z))) ** power)

    careful = subject(function, states_error=True)
    if broken:
        with pytest.raises(Broken, match="p "):
            check("p-value-uniformity", careful)
    else:
        check("p-value-uniformity", careful)


def test_p_values_outside_the_unit_interval_are_no_p_values():
    with pytest.raises(Broken, match=r"lies in \[0, 1\]"):
        check("p-value-uniformity", subject(lambda x, y: stated(0.0, p_value=1.5), states_error=True))


def test_a_full_run_looks_longer():
    calls = {"fast": 0, "full": 0}
    for budget in calls:

        def counted(x, y, budget=budget):
            calls[budget] += 1
            return normal_information(x, y) + 0.05  # near the edge of the allowance

        check("bias", subject(counted), budget=budget)
    assert calls["full"] > calls["fast"]


def test_the_global_generators_are_left_alone_and_nothing_warns():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check("independence", subject(normal_information))
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
