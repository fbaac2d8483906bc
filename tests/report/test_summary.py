import math

import pytest

from infotherm import results
from infotherm.core.estimate import Estimate
from infotherm.core.verdict import decide
from infotherm.report.summary import number, summarise


def dataset_of(attrs=None, **verdicts):
    rows = [
        {"claim": name, "level": "quick", **row}
        for name, verdict in verdicts.items()
        for row in results.rows_of(verdict)
    ]
    return results.build("tiny", rows, [], {"level": "quick", "seed": 0, "device": "cpu", **(attrs or {})})


@pytest.mark.parametrize(
    ("value", "uncertainty", "units", "text"),
    [
        (0.80692, 0.0012, "nat", "0.8069 ± 0.0012 nat"),
        (1 / 3, 1e-16, "1", "0.3333333"),
        (0.0, 0.0, "", "0"),
        (0.0, 1e-12, "", "0 ± 1e-12"),
        (0.0, 2.2e-308, "", "0"),
        (-1.234e-13, 1e-12, "", "-1.2e-13 ± 1e-12"),
        (math.nan, math.nan, "nat", ""),
        (-math.inf, 0.0, "nat", "-inf nat"),
        (2.0, math.inf, "", "2 ± inf"),
    ],
)
def test_numbers_have_the_digits_that_are_known(value, uncertainty, units, text):
    assert number(value, uncertainty, units) == text


def test_the_worst_case_stands_for_the_claim():
    side = Estimate([3.0, 1.5, 1.01, 0.5])
    (claim,) = summarise(dataset_of(claim=decide(side, 1.0)))
    assert claim.outcome == "violated" and claim.tally == "1/4"
    assert claim.shown.lhs_value == 0.5
    (claim,) = summarise(dataset_of(claim=decide(side[:3], 1.0)))
    assert claim.outcome == "holds" and claim.shown.lhs_value == 1.01 and claim.tally == "3/3"


def test_the_identity_nearest_to_its_margin_stands_for_the_claim():
    lhs = Estimate([1.0, 5.0 + 1e-9, 1.0 + 1e-10], error=[1e-9, 1e-6, 2e-10])
    (claim,) = summarise(dataset_of(claim=decide(lhs, Estimate([1.0, 5.0, 1.0]), "==")))
    assert claim.shown.case == "[2]"


def test_a_difference_that_is_noise_shows_two_digits():
    (claim,) = summarise(dataset_of(claim=decide(Estimate(1.0 + 1e-13, error=1e-12), 1.0, "==")))
    assert claim.shown.difference == "1e-13 ± 1e-12"


def test_claims_keep_their_order():
    claims = summarise(dataset_of(b=decide(2.0, 1.0), a=decide(2.0, 1.0)))
    assert [claim.full_name for claim in claims] == ["tiny:b", "tiny:a"]


@pytest.mark.parametrize(
    ("attrs", "command"),
    [
        ({}, "infotherm validate --only tiny:a"),
        ({"level": "full", "seed": 3}, "infotherm validate --only tiny:a --full --seed 3"),
        ({"device": "cuda:0"}, "infotherm validate --only tiny:a --device cuda:0"),
    ],
)
def test_the_command_computes_the_same_again(attrs, command):
    (claim,) = summarise(dataset_of(attrs, a=decide(2.0, 1.0)))
    assert claim.command == command


def test_the_command_is_quoted_for_a_shell():
    (claim,) = summarise(dataset_of(**{"a b;c": decide(2.0, 1.0)}))
    assert claim.command == "infotherm validate --only 'tiny:a b;c'"
