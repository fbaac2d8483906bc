"""Conversion of arrays, named errors, and seeds that leave the global state alone."""

import numpy as np
import pytest
import torch
import xarray

from infotherm.core.tensors import (
    as_generator,
    as_tensor,
    as_tensors,
    chunks,
    require_finite,
    require_shape,
    rng_scope,
    stream_of,
    validating,
)


@pytest.mark.parametrize(
    "x, dtype",
    [
        (1, torch.float64),
        (1.5, torch.float64),
        ([[1, 2], [3, 4]], torch.float64),
        (True, torch.float64),
        (np.arange(3), torch.float64),
        (np.arange(3.0), torch.float64),
        (np.arange(3, dtype=np.float32), torch.float32),
        (np.float32(1), torch.float32),
        (np.arange(3, dtype=">f8"), torch.float64),
        (np.arange(4.0)[::-1], torch.float64),
        (torch.arange(3), torch.float64),
        (torch.ones(2), torch.float32),
        (xarray.DataArray(np.ones(2)), torch.float64),
        ([torch.ones(2), torch.zeros(2)], torch.float32),
    ],
)
def test_as_tensor_keeps_floats_and_widens_the_rest(x, dtype):
    assert as_tensor(x).dtype == dtype
    assert as_tensor(x).shape == np.shape(x) or isinstance(x, list)


def test_as_tensor_shares_memory():
    array = np.zeros(3)
    as_tensor(array)[0] = 1
    assert array[0] == 1


def test_read_only_arrays_are_copied():
    array = np.zeros(3)
    array.flags.writeable = False
    as_tensor(array)[0] = 1
    assert array[0] == 0


@pytest.mark.parametrize("x", ["text", ["a", "b"], 1j, torch.ones(1, dtype=torch.complex64), None, {}, [[1], [1, 2]]])
def test_as_tensor_refuses_what_is_not_numbers(x):
    with pytest.raises(TypeError, match="cov must"):
        as_tensor(x, "cov")


def test_numbers_adapt_to_arrays():
    a, b = as_tensors(a=1.0, b=torch.ones(2))
    assert a.dtype == b.dtype == torch.float32
    a, b = as_tensors(a=np.ones(2), b=torch.ones(2))
    assert a.dtype == torch.float64


def test_mixed_devices_are_named():
    with pytest.raises(ValueError, match="mean and cov must be on one device; got cpu and meta"):
        as_tensors(mean=torch.ones(2), cov=torch.ones(2, 2, device="meta"))


def test_checks_name_the_argument():
    with pytest.raises(ValueError, match=r"x must be finite; got nan at index \[1\]"):
        require_finite(torch.tensor([0.0, float("nan")]), "x")
    with pytest.raises(ValueError, match=r"cov must have shape \(..., D, D\); got \(2, 3\)"):
        require_shape(torch.ones(2, 3), ("...", "D", "D"), "cov")
    assert require_shape(torch.ones(5, 2, 2), ("...", "D", "D"), "cov") == {"D": 2}


def test_no_values_are_looked_at_under_transforms():
    seen = []
    torch.func.vmap(lambda x: seen.append(validating(x)) or x)(torch.ones(3))
    assert seen == [False] and validating(torch.ones(3))


def test_generators():
    assert as_generator(None) is None
    generator = torch.Generator()
    assert as_generator(generator) is generator
    assert torch.equal(torch.rand(3, generator=as_generator(5)), torch.rand(3, generator=as_generator(np.int64(5))))
    with pytest.raises(TypeError, match="integer seed; got float"):
        as_generator(0.5)


def test_streams_are_named_by_what_comes_next():
    first, second = as_generator(1), as_generator(1)
    assert stream_of(first) == stream_of(second) == stream_of(first)
    torch.rand(1, generator=first)
    assert stream_of(first) != stream_of(second)
    assert stream_of(None) == stream_of(None)


def test_rng_scope_is_reproducible_and_leaves_no_trace():
    before = torch.get_rng_state()
    with rng_scope(as_generator(3)):
        a = torch.rand(4)
    with rng_scope(as_generator(3)):
        b = torch.rand(4)
    assert torch.equal(a, b) and torch.equal(before, torch.get_rng_state())


def test_chunks_cover():
    assert [s.stop - s.start for s in chunks(10, 4)] == [4, 4, 2] and list(chunks(0, 4)) == []
