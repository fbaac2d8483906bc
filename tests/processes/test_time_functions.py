"""Functions of time in every form that users write them."""

import math

import pytest
import torch

from infotherm.processes.time_functions import function_of_time

F64 = torch.float64
TIMES = torch.tensor([[0.0, 0.5, 1.0], [1.5, 2.0, 2.5]], dtype=F64)

FORMS = [
    lambda t: [[0.0, math.sin(t)], [2.0, 0.0]],
    lambda t: torch.stack([torch.stack([0 * t, torch.sin(t)], -1), torch.stack([2 + 0 * t, 0 * t], -1)], -2),
    lambda t: [[0.0 * t, torch.sin(t)], [2.0 + 0 * t, 0.0 * t]],  # entries like t
    lambda t: [[0.0, torch.sin(torch.as_tensor(t))], [2.0, 0.0]],
    lambda t: torch.tensor([[0.0, math.sin(float(t))], [2.0, 0.0]], dtype=F64),
]


@pytest.mark.parametrize("form", FORMS)
def test_one_time_or_many(form):
    at = function_of_time(form, 2, "rates")
    found = at(TIMES)
    assert found.shape == (2, 3, 2, 2)
    assert torch.allclose(found[..., 0, 1], torch.sin(TIMES)) and bool((found[..., 1, 0] == 2).all())
    assert at(torch.tensor(0.5, dtype=F64)).shape == (2, 2)


def test_lists_of_arrays_take_all_times_in_one_call():
    calls = []

    def form(t):
        calls.append(t)
        return [[0.0, torch.sin(t)], [2.0, 0.0]]

    at = function_of_time(form, 2, "rates")
    calls.clear()
    found = at(TIMES)
    assert (
        len(calls) == 1 and torch.allclose(found[..., 0, 1], torch.sin(TIMES)) and bool((found[..., 1, 0] == 2).all())
    )


def test_a_function_that_ignores_time_is_constant():
    at = function_of_time(lambda t: torch.ones(2, 2, dtype=F64), 2, "rates")
    assert at(TIMES).shape == (2, 3, 2, 2)


@pytest.mark.parametrize("wrong", [lambda t: t, lambda t: [[[0.0]]], lambda t: [[0.0, 1.0], [2.0]]])
def test_other_shapes_are_refused(wrong):
    with pytest.raises(ValueError, match="rates must"):
        function_of_time(wrong, 2, "rates")
