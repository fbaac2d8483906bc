"""The kind algebra against an oracle that enumerates where the truth may lie."""

import itertools

import pytest

from infotherm.core.kinds import KINDS, METHODS, combined_method, negated, product_kind, sum_kind

PAIRS = list(itertools.product(KINDS, KINDS))

# where truth - value may lie, on a coarse grid
OFFSETS = {"exact": {0}, "estimate": {0}, "lower": {0, 1, 2}, "upper": {-2, -1, 0}, "unknown": {-2, -1, 0, 1, 2}}


def is_sound(kind, offsets):
    if kind in ("exact", "estimate"):
        return offsets == {0}
    if kind == "lower":
        return min(offsets) >= 0
    if kind == "upper":
        return max(offsets) <= 0
    return True


def strongest(offsets, random):
    """The most that may be said of a truth whose offsets are these."""
    if offsets == {0}:
        return "estimate" if random else "exact"
    if min(offsets) >= 0:
        return "lower"
    return "upper" if max(offsets) <= 0 else "unknown"


@pytest.mark.parametrize("first, second", PAIRS)
def test_sum_is_the_strongest_sound_claim(first, second):
    offsets = {a + b for a in OFFSETS[first] for b in OFFSETS[second]}
    assert sum_kind(first, second) == strongest(offsets, random="estimate" in (first, second))
    assert sum_kind(first, second) == sum_kind(second, first)


@pytest.mark.parametrize("kind", KINDS)
def test_negation_mirrors_the_offsets(kind):
    assert is_sound(negated(kind), {-o for o in OFFSETS[kind]})
    assert negated(negated(kind)) == kind


def test_the_table_as_it_is_stated():
    assert negated("lower") == "upper"
    assert sum_kind("lower", "estimate") == "lower"
    assert sum_kind("lower", negated("upper")) == "lower"
    assert sum_kind("lower", negated("lower")) == "unknown"


def certain_sign(kind, value):
    if kind in ("exact", "lower") and value > 0:
        return 1
    return -1 if kind in ("exact", "upper") and value < 0 else 0  # a random error certifies nothing


@pytest.mark.parametrize("first, second", PAIRS)
def test_product_never_claims_too_much(first, second):
    values = (-3, -1, 1, 3)
    for a, b in itertools.product(values, values):
        kind = product_kind(first, certain_sign(first, a), second, certain_sign(second, b))
        offsets = {(a + i) * (b + j) - a * b for i in OFFSETS[first] for j in OFFSETS[second]}
        assert is_sound(kind, offsets), (first, a, second, b, kind)
        assert kind == product_kind(second, certain_sign(second, b), first, certain_sign(first, a))


def test_products_of_inexact_numbers_are_unknown_without_certain_signs():
    for first, second in PAIRS:
        if {first, second} != {"exact"}:
            assert product_kind(first, 0, second, 0) == "unknown"
    assert product_kind("exact", 0, "exact", 0) == "exact"


def test_combined_method_is_the_least_direct():
    for first, second in itertools.product(METHODS, METHODS):
        assert combined_method(first, second) == METHODS[max(METHODS.index(first), METHODS.index(second))]
