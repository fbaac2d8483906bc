"""The estimator under test: one form for ours and for strangers', so that a law is written once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from infotherm.core.estimate import Estimate
from infotherm.estimators.tags import Tags


@dataclass(frozen=True)
class Subject:
    """An estimator of one quantity, called with samples in the order of the quantity's arguments.

    Parameters
    ----------
    name
        For reports.
    quantity
        One of `infotherm.estimators.tags.QUANTITIES`.
    tags
        What it claims.
    run
        `run(arrays, seed)` returns an Estimate in nats; the arrays (N, D) are x, or x and y, or x, y and z.
    """

    name: str
    quantity: str
    tags: Tags
    run: Callable[[tuple[Any, ...], int | None], Estimate]

    def estimate(self, *arrays: Any, seed: int | None = 0) -> Estimate:
        """The Estimate, its warnings kept quiet; exceptions pass through."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.run(arrays, seed)

    def value(self, *arrays: Any, seed: int | None = 0) -> float:
        """The number alone, in nats."""
        return float(self.estimate(*arrays, seed=seed))

    def observe(self, *arrays: Any, seed: int | None = 0) -> tuple[Estimate, list[str]]:
        """The Estimate and the warnings given with it."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimate = self.run(arrays, seed)
        return estimate, [str(entry.message) for entry in caught]


def as_array(x: Any) -> np.ndarray:
    """Samples as strangers expect them: a C-contiguous float64 array of shape (N, D)."""
    array = np.ascontiguousarray(np.asarray(x, dtype=np.float64))
    return array[:, None] if array.ndim == 1 else array
