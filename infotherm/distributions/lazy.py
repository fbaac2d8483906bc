"""Properties of a law that are computed once: kept with their gradients, and never where a transform would own them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

import torch
from torch import Tensor

from infotherm.core.tensors import validating

Value = TypeVar("Value")


class remembered(Generic[Value]):
    """A property that is computed at its first use and then kept.

    It is computed with gradients on, since the first use may stand under `no_grad` and the next one not; and it is not
    kept when it was computed inside a transform (torch.func) or in inference mode, whose tensors must not outlive it.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> remembered[Value]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        if torch.is_inference_mode_enabled():
            return self.compute(instance)
        with torch.enable_grad():
            value = self.compute(instance)
        if all(validating(t) for t in _tensors(value)):
            instance.__dict__[self.name] = value
        return value


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [t for entry in value for t in _tensors(entry)] if isinstance(value, tuple | list) else []
