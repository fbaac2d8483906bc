"""Samples are checked once, by name."""

import numpy as np
import pytest
import torch

from infotherm.estimators.base import (
    as_samples,
    paired_samples,
    require_independent,
    require_varying,
    stream_of_samples,
)


def test_vectors_are_one_coordinate_and_everything_is_float64():
    assert as_samples(np.arange(3), "x").shape == (3, 1)
    assert as_samples(torch.ones(4, 2, dtype=torch.float32), "x").dtype == torch.float64


@pytest.mark.parametrize(
    "x, message",
    [
        (np.ones((2, 2, 2)), r"x must have shape \(N, D\)"),
        (np.ones((3, 0)), r"x must have shape \(N, D\)"),
        ([], "at least 2 samples; got 0"),
        ([1.0, np.nan], r"x must be finite; got nan at index \[1, 0\]"),
    ],
)
def test_bad_samples(x, message):
    with pytest.raises(ValueError, match=message):
        as_samples(x, "x")


def test_pairs_must_match():
    with pytest.raises(ValueError, match="y must hold as many samples as x; got 4 and 3"):
        paired_samples(x=np.ones(3), y=np.ones(4))
    assert len(paired_samples(x=np.ones(3), y=np.ones(3), given=None)) == 2


def test_constant_coordinates_are_named():
    with pytest.raises(ValueError, match="its coordinate 1 is constant"):
        require_varying(torch.tensor([[0.0, 5.0], [1.0, 5.0]]), "x")


def test_the_same_data_are_the_same_stream():
    x = torch.ones(3, 1)
    assert stream_of_samples(x) == stream_of_samples(x.clone()) != stream_of_samples(x + 1)


def test_the_first_argument_cannot_be_left_out():
    """Else y would be taken for x, and its entropy returned as an information."""
    with pytest.raises(TypeError, match="x must hold real numbers; got NoneType"):
        paired_samples(x=None, y=np.ones(3))


def test_sums_that_overflow_are_refused_in_words():
    with pytest.raises(ValueError, match=r"x must be in units in which sums do not overflow; got up to 1.7e\+308"):
        require_independent(torch.tensor([[1.7e308], [1.6e308], [1.5e308]], dtype=torch.float64), "x")
