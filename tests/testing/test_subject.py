"""Subjects: the number, the warnings, and the arrays that strangers expect."""

import warnings

import numpy as np
import pytest

from infotherm.core.estimate import Estimate
from infotherm.estimators.tags import Tags
from infotherm.testing.subject import Subject, as_array


def run(arrays, seed):
    warnings.warn("few samples", stacklevel=1)
    return Estimate(float(np.sum(arrays[0])) + (seed or 0), kind="estimate")


subject = Subject("sum", "entropy", Tags(quantities=("entropy",)), run)


def test_estimate_is_quiet_and_observe_is_not():
    assert subject.value([1.0, 2.0], seed=4) == 7.0
    estimate, said = subject.observe([1.0, 2.0])
    assert float(estimate) == 3.0
    assert said == ["few samples"]


def test_exceptions_pass():
    broken = Subject("broken", "entropy", subject.tags, lambda arrays, seed: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broken.value([1.0])


def test_arrays_of_strangers():
    array = as_array(np.arange(6, dtype=np.int32).reshape(2, 3).T)
    assert array.dtype == np.float64 and array.flags.c_contiguous and array.shape == (3, 2)
    assert as_array([1, 2, 3]).shape == (3, 1)
