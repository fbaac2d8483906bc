"""Laws of bounds: a lower bound is below, an upper one above, and no number exceeds what it cannot exceed."""

from __future__ import annotations

import math

import numpy as np

from infotherm.core.estimate import Estimate
from infotherm.testing import tasks
from infotherm.testing.law import Broken, Skipped, Trial, law
from infotherm.testing.replication import (
    Replications,
    across,
    most_replications,
    number_of_samples,
    tolerance_of,
    worth_their_time,
)
from infotherm.testing.sequential import Rate, rate_test
from infotherm.testing.situations import fitting, independent, normal, references, sample, situation, symbols
from infotherm.testing.subject import Subject
from infotherm.testing.tasks import Task

_MI, _CMI = "mutual_information", "conditional_mutual_information"
_INFORMATION = (_MI, _CMI)
_ALL = ("entropy", *_INFORMATION, "kl")
ALLOWED = 0.1  # of 95 % limits on the wrong side of the truth


def _limits(subject: Subject, estimate: Estimate, margin: float) -> tuple[float, float]:
    """The one-sided 95 % limits that an estimate states; for a bare number, `margin` below and above it."""
    if math.isfinite(float(estimate.error) + float(estimate.stderr)):
        return float(estimate.lower_limit(0.05)), float(estimate.upper_limit(0.05))
    return float(estimate) - margin, float(estimate) + margin


def _margin(task: Task, arrays: tuple[np.ndarray, ...]) -> float:
    """Of a bare number: the tolerance of its mean, and twice the random error of a mean of log-densities, about."""
    return tolerance_of(task, arrays) + 2 / math.sqrt(min(len(array) for array in arrays))


def _bound(subject: Subject, trial: Trial, side: str) -> str:
    """How often the 95 % limit of results of kind `side` lies beyond the truth."""
    tags = subject.tags
    if tags.kind != side and (tags.kind != "estimate" or tags.trains):
        raise Skipped(f"it is no {side} bound")
    cases = [] if tags.consistent_for == "gaussian" else references(subject)
    if side == "lower" and subject.quantity in _INFORMATION:
        cases = independent(subject) + cases
    try:
        wide = (
            fitting(subject, [tasks.get("gaussian-10x10-0.0")]) if side == "lower" and subject.quantity == _MI else []
        )
    except Skipped:
        wide = []
    cases = worth_their_time(subject, trial, wide + (cases or references(subject)))
    n, most = number_of_samples(subject), most_replications(subject, trial, 128, 1024)
    if tags.kind != side:
        cases = [task for task in cases if _gives(subject, trial, task, n, side)]
        if not cases:
            raise Skipped(f"none of its results was {'an' if side == 'upper' else 'a'} {side} bound")

    def judge(task: Task) -> Rate:
        replications = Replications(subject, trial, task.name)

        def draw(_: int) -> bool | None:
            arrays = sample(task, n, replications.generator)
            estimate = replications.ask(*arrays)
            if estimate is None or estimate.kind != side:
                return None
            low, high = _limits(subject, estimate, _margin(task, arrays))
            if side == "lower":
                return low > float(task.truth) + float(task.truth.error)
            return high < float(task.truth) - float(task.truth.error)

        return rate_test(draw, ALLOWED, level=trial.level / len(cases), most=most)

    return f"on the wrong side at N = {n}, " + across(cases, lambda task: task.name, judge)


def _gives(subject: Subject, trial: Trial, task: Task, n: int, side: str) -> bool:
    """Whether one of two results for a task is of this kind."""
    replications = Replications(subject, trial, f"kinds of {task.name}")
    results = [replications.ask(*sample(task, n, replications.generator)) for _ in range(2)]
    return any(result is not None and result.kind == side for result in results)


@law(
    "lower-bound",
    statement="a lower bound does not exceed the truth: its lower 95 % limit in at most 10 % of the cases",
    source="the definition of kind 'lower'; a critic judged on its training samples breaks it "
    "(McAllester and Stratos, AISTATS 2020, section 4)",
    sort="bound",
    quantities=_ALL,
)
def lower_bound(subject: Subject, trial: Trial) -> str:
    """References, and 10 + 10 independent coordinates, where a fitted critic finds what is not there."""
    return _bound(subject, trial, "lower")


@law(
    "upper-bound",
    statement="an upper bound is not below the truth: its upper 95 % limit in at most 10 % of the cases",
    source="the definition of kind 'upper'",
    sort="bound",
    quantities=_ALL,
)
def upper_bound(subject: Subject, trial: Trial) -> str:
    """References; an upper bound of h(x + noise) is one of h(x) too."""
    return _bound(subject, trial, "upper")


@law(
    "information-below-entropy",
    statement="I(x; y) <= min(H(x), H(y)), and I(x; y | z) <= H(x | z), for symbols",
    source="Cover and Thomas, Elements of Information Theory (2006), eq. 2.45 and 2.60",
    sort="bound",
    quantities=_INFORMATION,
)
def information_below_entropy(subject: Subject, trial: Trial) -> str:
    """y = x, and y that tells x without error: the number may not exceed the entropy of x by more than its error."""
    chances = [0.5, 0.3, 0.2]
    entropy = -sum(p * math.log(p) for p in chances)

    def draw_symbols(n: int, generator) -> tuple[np.ndarray, ...]:
        x = symbols(generator, n, chances)
        z = (symbols(generator, n, [0.5, 0.5]),) if subject.quantity == _CMI else ()
        return (x, 2 - x, *z)

    def draw_mixed(n: int, generator) -> tuple[np.ndarray, ...]:
        x = symbols(generator, n, chances)
        return x, 20 * x + normal(generator, n, 1)

    dims = (1, 1, 1) if subject.quantity == _CMI else (1, 1)
    known = [situation("renamed symbols", subject.quantity, "discrete", dims, entropy, draw_symbols)]
    if subject.quantity == _MI:
        known.append(situation("symbols far apart in noise", _MI, "mixed", dims, entropy, draw_mixed))
    cases = worth_their_time(subject, trial, fitting(subject, known))
    n, most = number_of_samples(subject), most_replications(subject, trial, 128, 1024)

    def judge(task: Task) -> Rate:
        replications = Replications(subject, trial, task.name)

        def draw(_: int) -> bool | None:
            arrays = sample(task, n, replications.generator)
            estimate = replications.ask(*arrays)
            if estimate is None:
                return None
            return _limits(subject, estimate, _margin(task, arrays))[0] > entropy

        return rate_test(draw, ALLOWED, level=trial.level / len(cases), most=most)

    return f"above H = {entropy:.3g} nat, " + across(cases, lambda task: task.name, judge)


@law(
    "ceiling",
    statement="no estimate exceeds the ceiling that the estimator states for N samples (log K of InfoNCE, say)",
    source="van den Oord, Li and Vinyals, arXiv:1807.03748 (2018), eq. 5; Kraskov et al. (2004), eq. 8",
    sort="bound",
    quantities=_ALL,
)
def ceiling(subject: Subject, trial: Trial) -> str:
    """Nearly deterministic samples, whose information is about 9 nats; tags.ceiling and info["ceiling"]."""
    if subject.quantity in ("entropy", "kl") and subject.tags.ceiling is None:
        raise Skipped("it states no ceiling")
    if not {"continuous", "discrete"} & set(subject.tags.data):
        raise Skipped("it is tried on two continuous arguments, or two of symbols")
    replications = Replications(subject, trial, "ceiling")
    highest, told = -math.inf, []
    for n in (number_of_samples(subject, 100), number_of_samples(subject, 400)):
        generator = replications.generator
        x = normal(generator, n, 1)
        if "continuous" not in subject.tags.data:
            x = np.floor(100 * x)  # a symbol for nearly every sample
        noise = 1e-4 * normal(generator, n, 1) if "continuous" in subject.tags.data else 0.0
        arrays = {"entropy": (x,), _MI: (x, x + noise), _CMI: (x, x + noise, normal(generator, n, 1).round())}
        estimate = replications.subject.estimate(*arrays.get(subject.quantity, (x, x + 50)))
        stated = [] if subject.tags.ceiling is None else [float(subject.tags.ceiling(n))]
        stated += [float(estimate.info["ceiling"])] if "ceiling" in estimate.info else []
        if not stated:
            raise Skipped("it states no ceiling")
        number, top = float(estimate), min(stated)
        if not number <= top + 1e-9 * max(1.0, abs(top)):
            raise Broken(f"{number:.6g} nat from {n} samples exceeds the stated ceiling {top:.6g}")
        highest = max(highest, number)
        told.append(f"{number:.3g} <= {top:.3g} at N = {n}")
    return "; ".join(told)


@law(
    "logarithmic-ceiling",
    statement="a lower 95 % limit that holds for every law is at most log(40 N^2), but for 10 % of the cases",
    source="McAllester and Stratos, Formal limitations on the measurement of mutual information, AISTATS 2020: at most "
    "log(2 k N^2) but with probability delta + 1.01 / k, N >= 50; here delta = 0.05 and k = 20",
    sort="bound",
    quantities=(_MI,),
)
def logarithmic_ceiling(subject: Subject, trial: Trial) -> str:
    """y = x up to noise that is small enough for an information of log(400 N^2) nats."""
    if subject.tags.kind != "lower" or subject.tags.consistent_for == "gaussian":
        raise Skipped("it is no lower bound for every law")
    if not subject.tags.states_error:
        raise Skipped("it states no error: there is no limit to judge")
    if "continuous" not in subject.tags.data:
        raise Skipped("it is tried on continuous data")
    n = number_of_samples(subject, 100)
    replications = Replications(subject, trial, "ceiling")
    top = math.log(40 * n**2)

    def draw(_: int) -> bool | None:
        x = normal(replications.generator, n, 1)
        estimate = replications.ask(x, x + normal(replications.generator, n, 1) / (400 * n**2))
        return None if estimate is None else float(estimate.lower_limit(0.05)) > top

    outcome = rate_test(draw, ALLOWED, level=trial.level, most=most_replications(subject, trial, 32, 256))
    text = f"above log(40 N^2) = {top:.3g} nat at N = {n}: {outcome}"
    if outcome.refuted:
        raise Broken(text)
    if not outcome.trials:
        raise Skipped(f"it declined to answer every time ({text})")
    return text


@law(
    "enclosing-bounds",
    statement='info["lower"] <= info["upper"]; they enclose an estimate of kind "estimate" that comes with them',
    source="Kolchinsky and Tracey, Entropy 19, 361 (2017), eq. 10",
    sort="bound",
    quantities=_ALL,
)
def enclosing_bounds(subject: Subject, trial: Trial) -> str:
    """Results that carry a lower and an upper bound, up to their stated errors."""
    replications, judged = Replications(subject, trial, "bounds"), 0
    for task in references(subject):
        for n in (number_of_samples(subject, 20), number_of_samples(subject, 200)):
            arrays = sample(task, n, replications.generator)
            estimate = subject.estimate(*arrays)
            low, high = estimate.info.get("lower"), estimate.info.get("upper")
            if low is None or high is None:
                raise Skipped('its results carry no info["lower"] and info["upper"]')
            room = 1e-9 + sum(float(bound.error) for bound in (low, high) if isinstance(bound, Estimate))
            low, high = float(low), float(high)
            if not low <= high + room:
                raise Broken(f"{task.name}, N = {n}: lower {low:.9g} exceeds upper {high:.9g}")
            if estimate.kind in ("exact", "estimate") and not low - room <= float(estimate) <= high + room:
                raise Broken(f"{task.name}, N = {n}: {float(estimate):.9g} lies outside [{low:.9g}, {high:.9g}]")
            judged += 1
    return f"lower <= upper in {judged} cases"
