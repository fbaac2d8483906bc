"""Means of samples with their standard errors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, require_finite


def from_samples(
    samples: Tensor,
    *,
    dim: int = 0,
    streams: Iterable[str],
    error: Any = 0.0,
    kind: str = "estimate",
    method: str = "monte-carlo",
    units: str = "nat",
    **info: Any,
) -> Estimate:
    """The mean of independent samples along `dim`, with its standard error.

    Raises
    ------
    ValueError
        For fewer than two samples, or samples that are not finite.

    Examples
    --------
    >>> from_samples([1.0, 2.0, 3.0], streams=["s"])
    2.0 +- 0.6 nat  estimate  monte-carlo(n=3)
    """
    samples = as_tensor(samples, "samples")
    if samples.ndim == 0:
        raise ValueError("samples must have an axis of samples; got a single number")
    n = samples.shape[dim]
    if n < 2:
        raise ValueError(f"a standard error needs at least 2 samples; got {n}")
    require_finite(samples, "samples")
    mean = samples.mean(dim)
    stderr = samples.detach().std(dim) / math.sqrt(n)
    error = error + rounding_error([samples.detach().abs().mean(dim)])
    return Estimate(
        mean, stderr=stderr, error=error, kind=kind, method=method, units=units, streams=streams, info={"n": n, **info}
    )


def number_of_samples(n: Any, name: str = "n_samples") -> int:
    """A number of samples, from which a standard error can be had.

    Raises
    ------
    ValueError
        When it is not an integer of at least 2.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 2:
        raise ValueError(f"{name} must be an integer of at least 2; got {n!r}")
    return int(n)
