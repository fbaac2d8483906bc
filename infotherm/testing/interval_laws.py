"""Laws of what an estimator says of its own uncertainty: intervals that cover, p-values that are uniform."""

from __future__ import annotations

import math
from itertools import zip_longest

import numpy as np

from infotherm.testing.law import Broken, Skipped, Trial, law
from infotherm.testing.replication import Replications, across, most_replications, number_of_samples, worth_their_time
from infotherm.testing.sequential import Rate, rate_test
from infotherm.testing.situations import independent, references, sample
from infotherm.testing.subject import Subject
from infotherm.testing.tasks import Task

_INFORMATION = ("mutual_information", "conditional_mutual_information")
_ALL = ("entropy", *_INFORMATION, "kl")
MISSES = 0.07  # of intervals that are to hold the truth in 95 %
_P_VALUES = ((0.01, 0.03), (0.05, 0.08), (0.5, 0.55))  # (u, allowed probability of p <= u)


@law(
    "interval-coverage",
    statement="intervals stated to hold the truth in 95 % of the cases miss it in at most 7 %",
    source="the definition of a confidence interval (Neyman, Phil. Trans. R. Soc. A 236, 333, 1937)",
    sort="statistical",
    quantities=_ALL,
)
def interval_coverage(subject: Subject, trial: Trial) -> str:
    """References and, for informations, independence; the side that a bound leaves open always holds the truth."""
    if not subject.tags.states_error and not _gives_errors(subject, trial):
        raise Skipped("it states no error")
    if subject.tags.trains and not trial.full and subject.tags.kind != "estimate":
        raise Skipped("what a few replications of a bound can tell, its own law tells: try budget='full'")
    cases = references(subject)
    if subject.quantity in _INFORMATION:
        cases = [task for pair in zip_longest(cases, independent(subject)) for task in pair if task is not None]
    if not trial.full:  # the first two of each sort: coverage takes many replications
        sorts = [task.data for task in cases]
        cases = [task for i, task in enumerate(cases) if sorts[:i].count(task.data) < 2]
        cases = worth_their_time(subject, trial, cases)
    n, widths = number_of_samples(subject), []

    def judge(task: Task) -> Rate:
        replications = Replications(subject, trial, task.name)

        def draw(_: int) -> bool | None:
            estimate = replications.ask(*sample(task, n, replications.generator))
            if estimate is None:
                return None
            low, high = (float(end) for end in estimate.interval(0.95))
            widths.append(high - low)
            truth, room = float(task.truth), float(task.truth.error)
            return not low - room <= truth <= high + room

        most = most_replications(subject, trial, 256, 4096)
        return rate_test(draw, MISSES, level=trial.level / len(cases), most=most)

    text = across(cases, lambda task: task.name, judge)
    width = np.median([w for w in widths if math.isfinite(w)] or [math.inf])
    return f"missed at N = {n}, {text}; median width {width:.2g} nat"


def _gives_errors(subject: Subject, trial: Trial) -> bool:
    """Whether a result carries an error that the tags do not speak of: who states one is held to it."""
    case = references(subject)[0]
    first = Replications(subject, trial, "look").ask(*sample(case, number_of_samples(subject), trial.generator("look")))
    return first is not None and math.isfinite(float(first.error) + float(first.stderr))


@law(
    "p-value-uniformity",
    statement="where nothing is shared, P(p <= u) <= u, and half of the p-values lie above 1/2",
    source="the definition of a p-value",
    sort="statistical",
    quantities=_INFORMATION,
)
def p_value_uniformity(subject: Subject, trial: Trial) -> str:
    """How often info["p_value"] is at most 0.01, 0.05, 0.5, and how often it is above 0.5."""
    case = independent(subject)[0]
    n = number_of_samples(subject)
    first = Replications(subject, trial, "look").ask(*sample(case, n, trial.generator("look")))
    if first is None or "p_value" not in first.info:
        raise Skipped('it gives no p-value (info["p_value"])')
    claims = [(u, allowed, True) for u, allowed in _P_VALUES] + [(0.5, 0.6, False)]
    most = most_replications(subject, trial, 256, 4096)
    replications = Replications(subject, trial, "p-values")
    found: list[float | None] = []

    def p_value(i: int) -> float | None:
        while len(found) <= i:  # one set of replications serves all claims
            estimate = replications.ask(*sample(case, n, replications.generator))
            found.append(None if estimate is None else float(estimate.info["p_value"]))
            if found[-1] is not None and not 0 <= found[-1] <= 1:
                raise Broken(f"a p-value lies in [0, 1]; got {found[-1]}")
        return found[i]

    def judge(claim: tuple[float, float, bool]) -> Rate:
        u, allowed, below = claim

        def draw(i: int) -> bool | None:
            p = p_value(i)
            return None if p is None else (p <= u) == below

        return rate_test(draw, allowed, level=trial.level / len(claims), most=most)

    return across(claims, lambda claim: f"p {'<=' if claim[2] else '>'} {claim[0]}", judge)
