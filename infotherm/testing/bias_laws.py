"""Laws of the mean: near the truth, zero where nothing is shared, nearer with more samples."""

from __future__ import annotations

import math

import numpy as np
import torch

from infotherm.testing.law import Broken, Skipped, Trial, law
from infotherm.testing.replication import (
    Replications,
    across,
    hinted,
    most_replications,
    number_of_samples,
    reading,
    require_consistent,
    require_replications,
    slack_of,
    tolerance_of,
)
from infotherm.testing.sequential import Mean, Rate, Reading, mean_test, rate_test
from infotherm.testing.situations import fitting, independent, normal, references, sample, situation
from infotherm.testing.subject import Subject
from infotherm.testing.tasks import Task

_INFORMATION = ("mutual_information", "conditional_mutual_information")
_ALL = ("entropy", *_INFORMATION, "kl")


def _equal(n: int, m: int, generator: torch.Generator) -> tuple[np.ndarray, ...]:
    return normal(generator, n, 1), normal(generator, m, 1)


_EQUAL = situation("equal normals", "kl", "continuous", (1, 1), 0.0, _equal, gaussian=True)


def _name(task: Task) -> str:
    return task.name


def _mean_near(subject: Subject, trial: Trial, task: Task, cases: int, n: int | tuple[int, int], most: int) -> Mean:
    """Whether the mean estimate lies within what is stated, or within the tolerance of a bare number."""
    replications = Replications(subject, trial, f"{task.name} {n}")

    def draw(_: int) -> Reading | None:
        arrays = sample(task, n, replications.generator)
        tolerance = tolerance_of(task, arrays)
        if subject.tags.clips_at_zero and float(task.truth) == 0:
            tolerance *= 3  # the mean of what is left of a symmetric error
        return reading(subject, replications.ask(*arrays), task.truth, tolerance)

    return mean_test(draw, level=trial.level / cases, most=most)


@law(
    "bias",
    statement="the mean estimate is the truth, within the stated error (a bare number: within 4/N + |truth| N^(-1/D))",
    source="the definition of an estimate; truths in closed form or by certified quadrature",
    sort="statistical",
    quantities=_ALL,
)
def bias(subject: Subject, trial: Trial) -> str:
    """References with a positive number."""
    require_consistent(subject)
    require_replications(subject, trial)
    cases = references(subject)
    n, most = number_of_samples(subject), most_replications(subject, trial)
    return across(cases, hinted(subject), lambda case: _mean_near(subject, trial, case, len(cases), n, most))


@law(
    "small-sample-bias",
    statement="where the stated error is far below the standard error, the mean is right at small N too",
    source="an error bound holds for the mean at every N; entropies of many normal coordinates from few samples",
    sort="statistical",
    quantities=_ALL,
)
def small_sample_bias(subject: Subject, trial: Trial) -> str:
    """As few samples as it takes, in about half as many dimensions: a variance divided by N shows here."""
    require_consistent(subject)
    require_replications(subject, trial)
    if not subject.tags.states_error:
        raise Skipped("it states no error")
    if "continuous" not in subject.tags.data:
        raise Skipped("it is tried on normal coordinates, which are continuous")
    n = max(12, subject.tags.least_samples)
    arguments = {"entropy": 1, "kl": 2, "mutual_information": 2, "conditional_mutual_information": 3}[subject.quantity]
    dim = max(1, min(n // (2 * arguments), 30 // arguments, subject.tags.most_dimensions or n))
    truth = dim * 0.5 * math.log(2 * math.pi * math.e) if subject.quantity == "entropy" else 0.0
    replications = Replications(subject, trial, "small")

    def draw(_: int) -> Reading | None:
        estimate = replications.ask(*(normal(replications.generator, n, dim) for _ in range(arguments)))
        if estimate is None or not 0 < float(estimate.error) < 0.1 * float(estimate.stderr):
            return None
        slack = float(estimate.error) + 0.1 * float(estimate.stderr)
        sides = [math.inf if estimate.kind == side else slack for side in ("upper", "lower")]
        return Reading(float(estimate) - truth, *sides)

    outcome = mean_test(draw, level=trial.level, most=most_replications(subject, trial, 4096, 16384))
    text = f"{dim} normal coordinates in each argument, N = {n}: {outcome}"
    if outcome.refuted:
        raise Broken(text)
    if not outcome.trials:
        raise Skipped(f"it states an error of the size of its standard error, or declines ({text})")
    return text


@law(
    "independence",
    statement="where nothing is shared (given z) the mean estimate is zero, within the stated error (or 4/N)",
    source="Cover and Thomas, Elements of Information Theory (2006), eq. 2.90; Song and Ermon, ICLR 2020, section 4",
    sort="statistical",
    quantities=_INFORMATION,
)
def independence(subject: Subject, trial: Trial) -> str:
    """Independent arguments, or arguments with a common cause that is given."""
    require_consistent(subject)
    require_replications(subject, trial)
    cases = independent(subject)
    n, most = number_of_samples(subject), most_replications(subject, trial, 1024)
    return across(cases, _name, lambda case: _mean_near(subject, trial, case, len(cases), n, most))


@law(
    "no-clipping",
    statement="where nothing is shared (p = q), estimates from different samples do not pile up at zero; where much "
    "is, not at another number",
    source="an estimator whose mean is zero is negative at times; clipping biases it (+0.015 for KSG at N = 200)",
    sort="statistical",
    quantities=(*_INFORMATION, "kl"),
)
def no_clipping(subject: Subject, trial: Trial) -> str:
    """The share of estimates that are zero at independence; that are the one before again at 3.5 nats."""
    if subject.tags.clips_at_zero:
        raise Skipped("it says that it clips at zero")
    require_consistent(subject)
    known = fitting(subject, [_EQUAL, *references(subject)]) if subject.quantity == "kl" else independent(subject)
    cases = [case for case in known if case.data != "discrete" and float(case.truth) == 0]
    if not cases:
        raise Skipped("counts of symbols can give zero without clipping")
    n, most = number_of_samples(subject), most_replications(subject, trial, 128, 512)

    def judge(task: Task) -> Rate:
        replications = Replications(subject, trial, task.name)

        def draw(_: int) -> bool | None:
            estimate = replications.ask(*sample(task, n, replications.generator))
            return None if estimate is None else abs(float(estimate)) < 1e-9

        return rate_test(draw, 0.1, level=trial.level / (len(cases) + 1), most=most)

    said = "zeros, " + across(cases, _name, judge)
    unlimited = subject.tags.ceiling is None and not subject.tags.trains and "continuous" in subject.tags.data
    if subject.quantity != "mutual_information" or not unlimited:
        return said
    replications = Replications(subject, trial, "much")
    previous: list[float] = []

    def repeated(_: int) -> bool | None:
        x = normal(replications.generator, n, 1)
        estimate = replications.ask(x, x + math.exp(-3.5) * normal(replications.generator, n, 1))
        if estimate is None:
            return None
        previous.append(float(estimate))
        return len(previous) > 1 and abs(previous[-1] - previous[-2]) < 1e-9

    outcome = rate_test(repeated, 0.1, level=trial.level / (len(cases) + 1), most=most)
    if outcome.refuted:
        raise Broken(f"x + noise, 3.5 nat: {previous[-1]:.6g} nat again from other samples, {outcome}")
    return f"{said}; the same number from other samples of 3.5 nat: {outcome}"


@law(
    "consistency",
    statement="the error falls with the number of samples",
    source="the definition of a consistent estimator; random errors fall as N^(-1/2)",
    sort="statistical",
    quantities=_ALL,
)
def consistency(subject: Subject, trial: Trial) -> str:
    """Errors at N, 4 N and 16 N.

    The last one exceeds half of the first in at most 40 % of the replications: 30 % are to be expected where random
    errors prevail, and fewer where the bias does.
    """
    require_consistent(subject)
    require_replications(subject, trial)
    cases = references(subject)[: None if trial.full else 1]
    least = number_of_samples(subject, 100)
    sizes = (least, 4 * least, 16 * least)
    errors: dict[int, list[float]] = {n: [] for n in sizes}

    def judge(task: Task) -> Rate:
        replications = Replications(subject, trial, task.name)

        def error_at(n: int) -> tuple[float, float] | None:
            arrays = sample(task, n, replications.generator)
            estimate = replications.ask(*arrays)
            if estimate is None:
                return None
            size = abs(float(estimate) - float(task.truth))
            errors[n].append(size)
            # what is near enough for a mean is not called an error that stays
            return size, slack_of(subject, estimate, tolerance_of(task, arrays))

        def draw(_: int) -> bool | None:
            few, _some, many = (error_at(n) for n in sizes)
            return None if few is None or many is None else many[0] > max(0.5 * few[0], many[1])

        return rate_test(draw, 0.4, level=trial.level / len(cases), most=most_replications(subject, trial, 256, 1024))

    def words(task: Task) -> str:
        medians = ", ".join(f"{np.median(found):.2g} at N = {n}" for n, found in errors.items() if found)
        return f"median error {medians or 'unknown'}; not smaller, {task.name}"

    return across(cases, words, judge)


@law(
    "kl-unequal-sizes",
    statement="KL divergence does not depend on how many samples of each law there are",
    source="D(p || q) is a number of the laws; a count over the wrong number of samples is off by log(n / m)",
    sort="statistical",
    quantities=("kl",),
)
def kl_unequal_sizes(subject: Subject, trial: Trial) -> str:
    """Four times as many samples of p as of q, and the other way round."""
    require_consistent(subject)
    require_replications(subject, trial)
    task = references(subject)[0]
    n = number_of_samples(subject)
    most = most_replications(subject, trial)
    return across(
        [(4 * n, n), (n, 4 * n)],
        lambda sizes: f"{task.name}, {sizes[0]} and {sizes[1]} samples",
        lambda sizes: _mean_near(subject, trial, task, 2, sizes, most),
    )


@law(
    "kl-of-equals",
    statement="D(p || p) = 0",
    source="Cover and Thomas, Elements of Information Theory (2006), theorem 2.6.3",
    sort="statistical",
    quantities=("kl",),
)
def kl_of_equals(subject: Subject, trial: Trial) -> str:
    """Two independent sets of samples of one law."""
    require_consistent(subject)
    require_replications(subject, trial)
    n = number_of_samples(subject)
    found = references(subject)
    replications = Replications(subject, trial, "equals")

    def judge(task: Task) -> Mean:
        def draw(_: int) -> Reading | None:
            # samples of p twice: the second argument of each of two draws is left aside
            arrays = tuple(sample(task, n, replications.generator)[0] for _ in range(2))
            estimate = replications.ask(*arrays)
            dim = arrays[0].shape[1]
            return reading(subject, estimate, 0.0, max(4, dim * (dim + 3)) / n)  # twice the bias of a Gaussian plug-in

        return mean_test(draw, level=trial.level / len(found), most=most_replications(subject, trial))

    return across(found, _name, judge)
