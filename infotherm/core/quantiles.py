"""Quantiles and tails of the laws behind confidence limits: Student's t where the number of samples is known."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.tensors import as_tensor

_MOST_FREEDOM = 1e6  # beyond, Student's law and the normal one agree to six digits


@cache
def normal_quantile(probability: float) -> float:
    """The standard normal quantile.

    >>> round(normal_quantile(0.975), 6)
    1.959964
    """
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)


def normal_cdf(z: Tensor) -> Tensor:
    """The standard normal distribution function, accurate in both tails (torch's own is 0 below -9 in float64).

    >>> f"{normal_cdf(torch.tensor(-10.0, dtype=torch.float64)).item():.4g}"
    '7.62e-24'
    """
    return 0.5 * torch.erfc(-z / 2**0.5)


def student_quantile(probability: float, n: Any = None) -> Tensor:
    """The quantile of Student's t for a mean of n samples (a number or a batch of them), the normal one without n.

    n - 1 degrees of freedom; fewer than two samples count as two.

    >>> round(student_quantile(0.975, 5).item(), 4), round(student_quantile(0.975).item(), 4)
    (2.7764, 1.96)
    """
    if n is None:
        return torch.tensor(normal_quantile(probability), dtype=torch.float64)
    from scipy.special import stdtrit

    freedom = _freedom(n)
    quantile = torch.from_numpy(np.asarray(stdtrit(freedom.numpy(), probability)))
    return torch.where(freedom < _MOST_FREEDOM, quantile, normal_quantile(probability))


def student_tail(score: Tensor, n: Any = None) -> Tensor:
    """The probability that Student's t for a mean of n samples, or a normal variable without n, exceeds `score`.

    >>> round(student_tail(torch.tensor(2.7764, dtype=torch.float64), 5).item(), 4)
    0.025
    """
    normal = normal_cdf(-score)
    if n is None:
        return normal
    from scipy.special import stdtr

    freedom = _freedom(n)
    tail = torch.from_numpy(np.asarray(stdtr(freedom.numpy(), -score.detach().to("cpu", torch.float64).numpy())))
    return torch.where(freedom < _MOST_FREEDOM, tail, normal.to("cpu", torch.float64)).to(score)


def _freedom(n: Any) -> Tensor:
    freedom = as_tensor(n, "n").detach().to("cpu", torch.float64) - 1
    return freedom.nan_to_num(nan=_MOST_FREEDOM).clamp(min=1.0, max=_MOST_FREEDOM)
