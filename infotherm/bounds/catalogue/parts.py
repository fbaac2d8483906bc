"""Pieces that the sides of several bounds are made of."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch

from infotherm.core.estimate import Estimate
from infotherm.distributions.base import Distribution
from infotherm.information import entropy
from infotherm.processes import Process
from infotherm.processes.base import AffineProcess
from infotherm.thermodynamics import entropy_production
from infotherm.thermodynamics.system_and_medium import medium_entropy
from infotherm.transport import gelbrich, wasserstein2


def trace(matrix: Estimate) -> Estimate:
    """The trace of a matrix of numbers, shape (..., D, D) -> (...)."""
    return reduce(lambda a, b: a + b, (matrix[..., i, i] for i in range(matrix.shape[-1])))


def distance(p: Distribution, q: Distribution) -> Estimate:
    """The Wasserstein-2 distance, or what the first two moments say about it from below where it is not known."""
    try:
        return wasserstein2(p, q)
    except NotImplementedError:
        return gelbrich(p, q)


def rebuilt(e: Estimate, **changes: Any) -> Estimate:
    """The Estimate with some fields replaced."""
    fields = {name: getattr(e, name) for name in ("stderr", "error", "kind", "method", "units", "streams", "info")}
    return Estimate(changes.pop("value", e.value), **(fields | changes))


def not_negative(e: Estimate) -> Estimate:
    """A number that cannot be negative, lifted to zero where its errors took it below (they are widened by that)."""
    value = e.value
    below = (value.detach() < 0) & (-value.detach() <= e.error + 5 * e.stderr)
    if not bool(below.any()):
        return e
    error = torch.where(below, e.error + value.detach().abs(), e.error)
    return rebuilt(e, value=torch.where(below, torch.zeros_like(value), value), error=error)


def medium_and_system(process: Process, initial: Distribution, duration: float) -> tuple[Estimate, Estimate]:
    """The entropies that the medium and the system gain, without the integral of the entropy production rate.

    Raises
    ------
    ValueError
        When the process has no such balance.
    """
    if isinstance(process, AffineProcess):
        start = torch.as_tensor(process.start or 0.0, dtype=torch.float64)
        end = start + torch.as_tensor(duration, dtype=torch.float64)
        start = start.expand(end.shape)
        system = entropy(process.marginal(initial, end, start)) - entropy(initial)
        return medium_entropy(process, (initial.mean, initial.covariance), start, end), system
    info = entropy_production(process, initial, duration).info
    if "medium" not in info:
        raise ValueError(f"the balance of system and medium is not known for a {type(process).__name__}")
    return info["medium"], info["system"]
