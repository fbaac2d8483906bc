"""The acceptance of the suite of laws: planted defects are found by the law that speaks of them, correct ones pass."""

import math
from collections import Counter

import pytest
from scipy.stats import binom

from infotherm.estimators.gaussian import GaussianPlugIn
from infotherm.estimators.neighbours import KSG, KozachenkoLeonenko
from infotherm.testing import check_estimator, laws
from tests.testing.mutants import MUTANTS, ORIGINALS

LEVEL = 1e-6
DEFECTS_OF_THE_SUITE = (
    "wrong log base", "biased variance", "radius minus 1e-15", "absolute noise of 1e-10", "ignores y",
    "leaks the training set", "global random numbers", "base passed as k", "drops ties", "divides by the wrong N",
    "clips at zero", "counts the point itself", "bootstrap with ties",
)  # fmt: skip


def by_name(case):
    return case.name


def broken(report):
    return {result.law: result.reason for result in report.results if result.status == "failed"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=by_name)
def test_a_planted_defect_is_found_by_its_law(mutant):
    report = check_estimator(mutant.estimator, mutant.quantity, laws=[mutant.law], level=LEVEL / 40)
    assert list(broken(report)) == [mutant.law], report.results[0].reason


def test_every_defect_that_the_suite_promises_to_find_is_planted():
    assert set(DEFECTS_OF_THE_SUITE) <= {mutant.name for mutant in MUTANTS}


@pytest.mark.parametrize("original", ORIGINALS, ids=by_name)
def test_the_correct_originals_obey_the_statistical_laws_and_the_laws_of_bounds(original):
    chosen = [name for sort in ("statistical", "bound") for name in laws.names(original.quantity, sort)]
    report = check_estimator(original.estimator, original.quantity, laws=chosen)
    assert broken(report) == {}
