"""Means of samples: standard errors whose intervals cover, also for few samples."""

import math

import pytest
import torch

from infotherm.core.sample_means import from_samples, number_of_samples


def test_intervals_of_means_cover():
    """3000 means of 50 exponentials: the 95 % interval misses at most 7 % (a false alarm has odds below 1e-5)."""
    draws = torch.empty(50, 3000, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(1))
    low, high = from_samples(draws, streams=["s"]).interval(0.95)
    covered = ((low <= 1) & (1 <= high)).double().mean()
    assert 0.91 < covered < 0.97  # the skewness of the exponential costs one to two percent at n = 50


@pytest.mark.parametrize("n", [2, 5, 20])
def test_intervals_of_small_samples_cover(n):
    """Normal quantiles would miss the mean of 5 numbers 12 times in a hundred."""
    draws = torch.randn(n, 20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    e = from_samples(draws, streams=["s"])
    low, high = e.interval(0.95)
    assert 0.945 < float(((low <= 0) & (high >= 0)).double().mean()) < 0.955
    assert 0.94 < float((e.lower_limit(0.05) <= 0).double().mean()) < 0.96


def test_samples_must_be_finite():
    with pytest.raises(ValueError, match=r"samples must be finite; got nan at index \[1\]"):
        from_samples([1.0, math.nan], streams=["s"])
    with pytest.raises(ValueError, match="axis of samples"):
        from_samples(1.0, streams=["s"])


def test_from_samples_needs_two():
    with pytest.raises(ValueError, match="at least 2 samples; got 1"):
        from_samples(torch.ones(1), streams=["s"])


@pytest.mark.parametrize("n", [1, 0, 2.0, True, "10"])
def test_a_number_of_samples_is_an_integer_of_at_least_two(n):
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 2"):
        number_of_samples(n)


def test_an_axis_of_samples_is_needed_and_finite_numbers():
    with pytest.raises(ValueError, match="got a single number"):
        from_samples(torch.tensor(1.0), streams=["s"])
    with pytest.raises(ValueError, match="samples must be finite"):
        from_samples([1.0, math.inf], streams=["s"])
