"""Samples on which exact laws can be tried without rounding, and the comparison of two numbers that must agree.

The samples are multiples of 2^-24: shifts, changes of sign and powers of two act on them exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from infotherm.testing.law import Broken, Skipped, Trial
from infotherm.testing.subject import Subject

GRID = 2.0**-24
TOLERANCE = 1e-9
_SEEDS = 5  # how many more seeds tell how far chance moves a stochastic estimator


@dataclass(frozen=True)
class Samples:
    """The arguments of a quantity, and which of them are labels rather than numbers."""

    arrays: tuple[np.ndarray, ...]
    labels: tuple[bool, ...]

    def map(self, change: Callable[[int, np.ndarray], np.ndarray]) -> tuple[np.ndarray, ...]:
        """The arguments after `change(index, array)` of those that are numbers."""
        return tuple(
            array if label else np.ascontiguousarray(change(index, array))
            for index, (array, label) in enumerate(zip(self.arrays, self.labels, strict=True))
        )

    @property
    def dimensions(self) -> int:
        """Of the first argument."""
        return self.arrays[0].shape[1]


def number_of_samples(subject: Subject, trial: Trial, least: int = 200) -> int:
    """How many samples an exact or a robustness law uses: few, but as many as the estimator needs."""
    return max(subject.tags.least_samples, 3 * least if trial.full and not subject.tags.trains else least)


def few_calls(subject: Subject, trial: Trial) -> bool:
    """Whether calls are dear: one variant of a law then has to do."""
    return subject.tags.trains and not trial.full


def samples(subject: Subject, trial: Trial, *, n: int | None = None, purpose: str = "samples") -> Samples:
    """Dependent samples of the sort that the estimator takes; the same for every law of one run."""
    n = number_of_samples(subject, trial) if n is None else n
    generator = replace(trial, law="exact laws").generator(purpose)
    random = np.random.default_rng(int(generator.initial_seed()))
    most = subject.tags.most_dimensions or 2
    wide = min(2, most)
    if "continuous" in subject.tags.data:
        return _continuous(subject.quantity, n, wide, random)
    if "mixed" in subject.tags.data:
        if subject.quantity != "mutual_information":
            raise Skipped("samples of mixed data are made for mutual information only")
        label = random.integers(0, 3, n)
        x = label[:, None] * np.linspace(1.0, 0.5, wide) + random.normal(size=(n, wide))
        return Samples((on_grid(x), label[:, None].astype(float)), (False, True))
    return _discrete(subject.quantity, n, random)


def _continuous(quantity: str, n: int, wide: int, random: np.random.Generator) -> Samples:
    noise = random.normal(size=(n, wide + 2))
    x = noise[:, :wide] @ (np.eye(wide) + 0.3 * np.eye(wide, k=1))
    if quantity == "entropy":
        arrays = (x,)
    elif quantity == "kl":
        arrays = (x, 0.5 + 1.25 * random.normal(size=(n + n // 2, wide)))
    else:
        z = noise[:, -1:]
        y = 0.75 * x[:, :1] + 0.5 * z + 0.5 * noise[:, -2:-1]
        arrays = (x, y) if quantity == "mutual_information" else (x, y, z)
    return Samples(tuple(map(on_grid, arrays)), (False,) * len(arrays))


def _discrete(quantity: str, n: int, random: np.random.Generator) -> Samples:
    x, noise, z = random.integers(0, 4, n), random.integers(0, 2, n), random.integers(0, 3, n)
    columns = {
        "entropy": (x,),
        "mutual_information": (x, (x + noise) % 4),
        "conditional_mutual_information": (x, (x + noise + z) % 4, z),
        "kl": (np.minimum(x, 3 * noise), random.integers(0, 4, n + n // 2)),
    }[quantity]
    return Samples(tuple(column[:, None].astype(float) for column in columns), (True,) * len(columns))


def on_grid(x: np.ndarray) -> np.ndarray:
    """The samples rounded to multiples of 2^-24."""
    return np.ascontiguousarray(np.round(x / GRID) * GRID)


def same_number(
    subject: Subject,
    before: tuple[np.ndarray, ...],
    after: Iterable,
    words: str,
    *,
    shift: float = 0.0,
    tolerance: float = TOLERANCE,
) -> float:
    """The difference of the two numbers from `shift`, which must be rounding; a stochastic estimator may move as far
    as its seed moves it.

    Raises
    ------
    Broken
        When it is not; the message says what was computed before and after.
    """
    first, second = subject.value(*before), subject.value(*after)
    difference = abs(second - first - shift)
    allowed = tolerance * max(1.0, abs(first), abs(second))
    if not difference <= allowed and subject.tags.stochastic:
        others = [subject.value(*before, seed=seed) for seed in range(1, 1 + _SEEDS)]
        allowed += 2 * (max(first, *others) - min(first, *others))
    if not difference <= allowed:  # also where one is NaN
        expected = f"{first + shift:.9g} expected from {first:.9g}" if shift else f"{first:.9g} before"
        raise Broken(f"{words}: {second:.9g} nat, {expected} (difference {difference:.2g}, allowed {allowed:.2g})")
    return difference


def evidence(differences: Iterable[float], words: str) -> str:
    """One sentence on differences that were small enough."""
    largest = max(differences, default=math.nan)
    return f"{words} changed by {largest:.1g} nat" if largest else f"{words} changed by nothing at all"
