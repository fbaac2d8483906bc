"""Coordinates of parts, predicates that decline with a reason, and sums over alphabets."""

import math

import pytest
import torch

from infotherm.core.quantity import NotApplicable
from infotherm.distributions import Discrete, Empirical, Gaussian
from infotherm.information.parts import (
    apart,
    at_most_three,
    blocks,
    expected_logs,
    has_density,
    part_blocks,
    rearranged,
    safe_log,
    single_name,
)

JOINT = Gaussian([0.0, 1.0, 2.0], torch.diag(torch.tensor([1.0, 2.0, 3.0]).double()), parts={"x": 1, "y": 2})


def test_coordinates_of_parts():
    assert part_blocks(JOINT, "x", "y", None) == ([0], [1, 2], [])
    assert blocks(JOINT) == [[0], [1, 2]] and blocks(JOINT.marginal([2, 0])) == [[0], [1]]
    assert apart(JOINT, "y", "x") == ([1, 2], [0])
    assert rearranged(JOINT, a=[2], b=[0]).mean.tolist() == [2.0, 0.0]
    assert single_name("x") == single_name(["x"]) == "x" and single_name(("x", "y")) == ""


def test_overlapping_conditions_are_refused():
    with pytest.raises(ValueError, match="given must name other parts"):
        part_blocks(JOINT, "x", "y", "x")
    with pytest.raises(ValueError, match="must be different parts"):
        apart(JOINT, "x", "x")


def test_predicates_decline_with_a_reason():
    at_most_three(3)
    has_density(JOINT, [0])
    with pytest.raises(NotApplicable, match="at most 3 coordinates; these parts have 4"):
        at_most_three(4)
    with pytest.raises(NotApplicable, match="has no density"):
        has_density(Empirical([[0.0], [1.0]]), [0])


def test_zero_probabilities_count_nothing():
    pmf = Discrete([[0.5, 0.0], [0.25, 0.25]], parts=("x", "y")).pmf
    estimate = expected_logs(pmf, [safe_log(pmf)], 2)
    assert abs(float(estimate) + 1.5 * math.log(2)) <= float(estimate.error) < 1e-14
