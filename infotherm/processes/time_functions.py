"""Functions of time that users write: for one time or for many, in numbers, lists or tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import as_tensor


def function_of_time(f: Callable[[Any], Any], axes: int, name: str) -> Callable[[Tensor], Tensor]:
    """`f` as a function from times (...) to tensors (..., *shape) with `axes` axes behind those of the times.

    Whether f takes many times at once is tried out on three; otherwise it is called for each time.

    Raises
    ------
    ValueError
        When f of one time has another number of axes.
    """
    zero = torch.zeros((), dtype=torch.float64)
    first = _stacked(f(zero), name)
    if first.ndim != axes:
        raise ValueError(
            f"{name} must be a function of time that returns {axes} {'axis' if axes == 1 else 'axes'}; got shape "
            f"{tuple(first.shape)} at time 0"
        )
    probe = torch.arange(3, dtype=torch.float64) * 2.0**-20
    each = torch.stack([_stacked(f(t), name) for t in probe])
    try:
        together = _of_times(f(probe), probe, axes, name)
        vectorised = together.shape == each.shape and torch.allclose(together.to(each), each, equal_nan=True)
        column = probe.reshape(3, 1)
        vectorised = vectorised and _of_times(f(column), column, axes, name).shape == (3, 1, *each.shape[1:])
    except (TypeError, ValueError, RuntimeError, IndexError):
        vectorised = False

    def at(t: Tensor) -> Tensor:
        if t.ndim == 0:
            return _stacked(f(t), name)
        if vectorised:
            found = _of_times(f(t), t, axes, name)
            if found.shape[: t.ndim] != t.shape or found.ndim != t.ndim + axes:
                raise ValueError(
                    f"{name} must return {tuple(t.shape)} + {axes} axes for times of shape {tuple(t.shape)}; got shape "
                    f"{tuple(found.shape)}"
                )
            return found
        if t.numel() == 0:
            return first.new_zeros((*t.shape, *first.shape))
        return torch.stack([_stacked(f(s), name) for s in t.flatten()]).reshape(*t.shape, *first.shape)

    return at


def _of_times(x: Any, t: Tensor, axes: int, name: str) -> Tensor:
    """What a function returned for the times t: an array, or lists nested `axes` deep of numbers and arrays like t."""
    if axes == 0:
        return as_tensor(x, name).to(torch.float64).expand(t.shape)
    if not isinstance(x, Sequence):
        return as_tensor(x, name)
    rows = [_of_times(entry, t, axes - 1, name) for entry in x]
    return torch.stack(rows, -axes)


def _stacked(x: Any, name: str) -> Tensor:
    """Nested lists of numbers and tensors as one tensor that keeps gradients."""
    if isinstance(x, Sequence) and not isinstance(x, str):
        rows = [_stacked(entry, name) for entry in x]
        if len({row.shape for row in rows}) > 1:
            raise ValueError(f"{name} must return an array; got a ragged sequence")
        return torch.stack([row.to(torch.float64) for row in rows]) if rows else torch.zeros(0, dtype=torch.float64)
    return as_tensor(x, name)
