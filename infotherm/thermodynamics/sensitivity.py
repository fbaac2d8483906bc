"""Smooth functions of matrices with the error that rounding of their arguments can have made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import validating

Evaluated = tuple[Tensor, Tensor]


def with_sensitivity(
    function: Callable[..., Evaluated], arguments: Sequence[Tensor], *, event_dims: Sequence[int], loose: float
) -> Evaluated:
    """The values of a function and how far rounding can have moved them, both (*batch, K).

    The error is 4 eps loose times the terms that are summed, plus eps loose sum |dv/dtheta| max |theta|: inverses and
    linear solves act like a change of their arguments by a few eps of the largest entry.

    Parameters
    ----------
    function
        Maps the arguments to values (*batch, K) and the sizes of what is summed in them, (*batch, K).
    arguments
        Tensors (*batch, ...) of one batch shape.
    event_dims
        The number of dimensions of each behind the batch.
    loose
        By how many units in the last place arguments and terms may be off.
    """
    value, size = function(*arguments)
    with torch.no_grad():
        error = loose * rounding_error([size])
    if not validating(value):
        return value, error
    leaves = [a.detach().clone().requires_grad_() for a in arguments]
    with torch.enable_grad():
        repeated, _ = function(*leaves)
        eps = torch.finfo(value.dtype).eps
        for k in range(value.shape[-1]):
            slopes = torch.autograd.grad(repeated[..., k].sum(), leaves, retain_graph=True, allow_unused=True)
            for slope, leaf, dims in zip(slopes, leaves, event_dims, strict=True):
                if slope is not None:
                    # sums over no axes would be sums over all of them
                    slopes_of, sizes = (x.abs()[..., None] if not dims else x.abs() for x in (slope, leaf.detach()))
                    axes = tuple(range(-max(dims, 1), 0))
                    error[..., k] += loose * eps * slopes_of.sum(axes) * sizes.amax(axes)
    return value, error
