"""How far floating-point arithmetic can have moved a number."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def rounding_error(terms: Iterable[Tensor], sensitivities: Iterable[tuple[Tensor, Tensor]] = ()) -> Tensor:
    """A bound on the rounding error of a sum: 4 eps sum |term| + eps sum |dv/dtheta| |theta|.

    The first part pays for the arithmetic (a few units in the last place of every term, also of those that cancel in
    the sum); the second for the parameters themselves, which are known to one unit in their last place: without it a
    Kullback-Leibler divergence before and after an invertible map may seem to break the data-processing inequality.

    Parameters
    ----------
    terms
        Tensors of the shape of the result, the summands.
    sensitivities
        Pairs (dv/dtheta, theta) already reduced to, or broadcastable against, the shape of the result.

    Returns
    -------
    Tensor
        Of the shape of the result, positive unless every term is zero; carries no gradient.

    Examples
    --------
    >>> rounding_error([torch.tensor(1.0, dtype=torch.float64), torch.tensor(-1.0, dtype=torch.float64)]).item() > 0
    True
    """
    terms = [t.detach() for t in terms]
    eps = torch.finfo(terms[0].dtype).eps
    total = torch.zeros_like(terms[0])
    for term in terms:
        total = total + 4 * eps * term.abs()
    for slope, theta in sensitivities:
        total = total + eps * slope.detach().abs() * theta.detach().abs()
    # the smallest normal number stands for underflow: no result is known better than that
    return total + torch.finfo(terms[0].dtype).tiny
