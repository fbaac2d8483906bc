"""Gradients given by hand: exact to first order, and refused (never wrong) beyond it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from infotherm.core.tensors import validating


class _FirstOrder(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


def first_order(x: Tensor) -> Tensor:
    """`x` itself, through which one gradient passes; a second derivative raises instead of missing terms.

    For results that hold some factor constant (a rotation, eigenvectors) because its derivative drops out of the first
    derivative: it does not drop out of the second.

    Examples
    --------
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> torch.autograd.grad(first_order(x) ** 2, x)[0].item()
    4.0
    """
    if not x.requires_grad and validating(x):
        return x
    return _FirstOrder.apply(x)  # type: ignore[no-any-return]
