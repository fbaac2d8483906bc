"""Replications of an estimate on fresh samples, and what each of them claims."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch

from infotherm.core.estimate import Estimate
from infotherm.testing.law import Broken, Skipped, Trial
from infotherm.testing.sequential import Mean, Rate, Reading
from infotherm.testing.subject import Subject
from infotherm.testing.tasks import Task

STDERR_SHARE = 0.5  # of a stated standard error: a bias of that size takes a 95 % interval to 92 %
_TRAINED = {False: 12, True: 100}  # all wrong in 12 replications: evidence enough where at most 10 % may be
Case = TypeVar("Case")


class Replications:
    """Fresh samples and fresh seeds for one estimator under one law, the same at every run with the same seed."""

    def __init__(self, subject: Subject, trial: Trial, purpose: str) -> None:
        self.subject = subject
        self.generator = trial.generator(purpose)

    def ask(self, *arrays: np.ndarray) -> Estimate | None:
        """The estimate; None when it declines: kind "unknown", or a stated error that is infinite."""
        seed = int(torch.randint(2**31, (), generator=self.generator))
        estimate = self.subject.estimate(*arrays, seed=seed)
        if estimate.kind == "unknown":
            return None
        if self.subject.tags.states_error and not math.isfinite(float(estimate.error) + float(estimate.stderr)):
            return None
        return estimate


def number_of_samples(subject: Subject, wanted: int = 200) -> int:
    """As many samples as wanted, or as the estimator needs."""
    return max(wanted, subject.tags.least_samples)


def most_replications(subject: Subject, trial: Trial, fast: int = 512, full: int = 4096) -> int:
    """How many replications are worth their time."""
    return _TRAINED[trial.full] if subject.tags.trains else (full if trial.full else fast)


def worth_their_time(subject: Subject, trial: Trial, cases: list[Case]) -> list[Case]:
    """All cases; the first one only, where an estimator trains and the run is to be fast."""
    return cases[:1] if subject.tags.trains and not trial.full else cases


def require_replications(subject: Subject, trial: Trial) -> None:
    """Refuse what a few replications cannot decide.

    Raises
    ------
    Skipped
        For an estimator that trains, in a fast run.
    """
    if subject.tags.trains and not trial.full:
        raise Skipped("a mean takes some 80 replications, too many for an estimator that trains: try budget='full'")


def require_consistent(subject: Subject) -> None:
    """Refuse what a bound need not obey.

    Raises
    ------
    Skipped
        For an estimator that is not said to tend to the truth.
    """
    if subject.tags.consistent_for == "none" or subject.tags.kind != "estimate":
        raise Skipped("a bound need not be near the truth")


def default_tolerance(n: int, columns: int, size: float, arrays: Sequence[np.ndarray] | None = None) -> float:
    """By how much the mean of a bare number may miss the truth, in nats.

        4 / n + size n^(-1 / columns)                  of continuous or mixed data,
        (4 + number of different samples) / n          of discrete data (pass the arrays),

    n samples (the smaller number of two), `columns` coordinates of all arguments together, `size` that of the truth
    (see `size_of`). It is about twice what counting neighbours (k = 3) needs at n = 100 ... 400 in up to four
    dimensions: the bias of KSG is below 0.01 at independence, and -0.10 at I = 1 in 2 + 2 dimensions and n = 200, where
    0.29 is allowed. A plug-in from counts has a bias of at most the number of different samples over 2 n.

    Examples
    --------
    >>> round(default_tolerance(200, 2, 0.5), 3), default_tolerance(200, 2, 0.0)
    (0.055, 0.02)
    """
    if arrays is not None:
        longest = max(len(array) for array in arrays)
        together = np.concatenate([array for array in arrays if len(array) == longest], axis=1)
        return (4 + len(np.unique(together, axis=0))) / n
    return 4 / n + size * n ** (-1 / columns)


def size_of(quantity: str, truth: float, columns: int) -> float:
    """What a tolerance grows with.

    The truth for mutual information; twice that for conditional information (three counts) and KL divergences (samples
    of q are far from those of p); the number of coordinates for entropies, whose zero means nothing.
    """
    if quantity == "entropy":
        return float(columns)
    return truth if quantity == "mutual_information" else 2 * truth


def tolerance_of(task: Task, arrays: Sequence[np.ndarray]) -> float:
    """`default_tolerance` for samples of a task."""
    columns = sum(task.dims)
    counted = arrays if task.data == "discrete" else None
    size = size_of(task.quantity, float(task.truth), columns)
    return default_tolerance(min(len(array) for array in arrays), columns, size, counted)


def slack_of(subject: Subject, estimate: Estimate, tolerance: float) -> float:
    """What an estimate leaves open beside its random error: what it states, or the tolerance of a bare number."""
    if not subject.tags.states_error:
        return tolerance
    return float(estimate.error) + STDERR_SHARE * float(estimate.stderr)


def reading(subject: Subject, estimate: Estimate | None, truth: Estimate | float, tolerance: float) -> Reading | None:
    """What an estimate says of a known truth; a bound speaks of one side only."""
    if estimate is None:
        return None
    slack = slack_of(subject, estimate, tolerance)
    if isinstance(truth, Estimate):
        slack += float(truth.error)
    return Reading(
        float(estimate) - float(truth),
        above=math.inf if estimate.kind == "upper" else slack,
        below=math.inf if estimate.kind == "lower" else slack,
    )


def hinted(subject: Subject) -> Callable[[Task], str]:
    """The name of a task, and whose claim it tries when it is one beyond Gaussian samples."""

    def name(task: Task) -> str:
        beyond = task.data == "continuous" and not task.gaussian and subject.tags.consistent_for == "any"
        return f"{task.name} (not Gaussian: the tags claim consistent_for 'any')" if beyond else task.name

    return name


def across(cases: Sequence[Case], name: Callable[[Case], str], judge: Callable[[Case], Mean | Rate]) -> str:
    """Judges several cases; the evidence of all.

    Raises
    ------
    Broken
        At the first case that is refuted.
    Skipped
        When the estimator declined to answer in every case.
    """
    said, trials = [], 0
    for case in cases:
        outcome = judge(case)
        if outcome.refuted:
            raise Broken(f"{name(case)}: {outcome}")
        said.append(f"{name(case)}: {outcome}")
        trials += outcome.trials
    if not trials:
        raise Skipped(f"it declined to answer every time ({'; '.join(said)})")
    return "; ".join(said)
