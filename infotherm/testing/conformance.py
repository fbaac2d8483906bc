"""check_estimator: every law that speaks of an estimator's quantity, tried on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from infotherm.testing import laws as catalogue
from infotherm.testing.adapters import as_subject
from infotherm.testing.lattice import samples
from infotherm.testing.law import Broken, Law, Skipped, Trial
from infotherm.testing.report import LawResult, Report
from infotherm.testing.subject import Subject

BUDGETS = ("fast", "full")
Progress = Callable[[int, int, str], None]


def check_estimator(
    est: Any,
    quantity: str | None = None,
    budget: str = "fast",
    *,
    seed: int = 0,
    level: float = 1e-6,
    laws: Iterable[str] | str | None = None,
    expected_failures: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Which laws an estimator obeys, breaks, or cannot be tried on.

    Its capabilities (`tags`) choose what is asked of it. A correct estimator fails any of the laws with a probability
    of at most `level`: each law in which chance plays a part gets an equal share of it.

    Parameters
    ----------
    est
        An estimator of this package, one made by `as_estimator`, or a plain function of arrays (N, D).
    quantity
        "mutual_information", "conditional_mutual_information", "entropy" or "kl" (also "kl_divergence"); left out, the
        estimator's own: mutual information where it computes several.
    budget
        "fast" (seconds for a quick estimator) or "full".
    seed
        The same seed gives the same report.
    level
        The largest probability of a false alarm, over all laws together.
    laws
        Names or globs of the laws to try; all that speak of the quantity by default.
    expected_failures
        Reasons by law. Such a failure is "expected"; where the law is obeyed, the result says that the declaration is
        stale.
    progress
        Called with the number of laws done, their number, and the name of the next.

    Raises
    ------
    KeyError
        For an unknown law (the message lists the nearest names).
    TypeError, ValueError
        When `est` is no estimator, or not of that quantity, or a setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from infotherm.testing import as_estimator
    >>> def gaussian(x, y):
    ...     return -0.5 * np.log(1 - np.corrcoef(x[:, 0], y[:, 0])[0, 1] ** 2)
    >>> est = as_estimator(gaussian, tags={"most_dimensions": 1, "consistent_for": "gaussian"})
    >>> print(check_estimator(est, laws=["symmetry", "shift"]))   # doctest: +ELLIPSIS
    gaussian: mutual information, 2 passed
    budget fast, seed 0, false-alarm level 1e-06
      passed    symmetry  ...
      passed    shift     ...
    """
    subject = as_subject(est, quantity)
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1); got {level}")
    chosen = catalogue.select(subject.quantity, laws)
    expected = checked_failures(expected_failures)
    trials = trials_of(chosen, budget, seed, level)
    results = []
    for done, (law, trial) in enumerate(zip(chosen, trials, strict=True)):
        if progress is not None:
            progress(done, len(chosen), law.name)
        results.append(declared(try_law(law, subject, trial), expected))
    if progress is not None:
        progress(len(chosen), len(chosen), "")
    return Report(subject.name, subject.quantity, budget, seed, level, tuple(results))


def trials_of(laws: list[Law], budget: str, seed: int, level: float) -> list[Trial]:
    """A trial for each law; the false-alarm level is shared among those in which chance plays a part.

    Raises
    ------
    ValueError, TypeError
        For an unknown budget, or a seed that is not an integer.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget must be one of {', '.join(BUDGETS)}; got {budget!r}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an integer; got {seed!r}")
    share = level / max(1, sum(law.sort != "exact" for law in laws))
    return [Trial(law.name, budget, seed, share) for law in laws]


def try_law(law: Law, subject: Subject, trial: Trial) -> LawResult:
    """What comes of one law; an exception that the estimator lets out is a failure."""
    if subject.quantity not in law.quantities:
        status, reason = "skipped", f"it speaks of {', '.join(law.quantities)}; the estimator is of {subject.quantity}"
    else:
        try:
            status, reason = "passed", str(law.check(subject, trial))
        except Skipped as skipped:
            status, reason = "skipped", str(skipped)
        except Broken as broken:
            status, reason = "failed", str(broken)
        except Exception as error:  # whatever a stranger's code raises is evidence
            status, reason = "failed", f"{type(error).__name__}: {error}{_advice(subject, trial)}"
    return LawResult(law.name, status, reason, law.sort, law.statement, law.source)


def _advice(subject: Subject, trial: Trial) -> str:
    """What to declare where samples of two coordinates raise and those of one do not."""
    if subject.tags.most_dimensions is not None:
        return ""
    narrow = replace(subject, tags=replace(subject.tags, most_dimensions=1))
    worked = []
    for each in (subject, narrow):
        try:
            each.value(*samples(each, trial).arrays)
            worked.append(True)
        except Exception:  # the law has its own
            worked.append(False)
    return (
        " (of one coordinate it takes samples: tags={'most_dimensions': 1} says so)" if worked == [False, True] else ""
    )


def declared(result: LawResult, expected: Mapping[str, str]) -> LawResult:
    """The result in the light of the failures that were declared."""
    if result.law not in expected:
        return result
    reason = expected[result.law]
    if result.status == "failed":
        return replace(result, status="expected", reason=f"{reason} ({result.reason})")
    if result.status == "passed":
        stale = f"declared to fail ({reason}), yet obeyed: the declaration is stale. {result.reason}"
        return replace(result, reason=stale, stale=True)
    return result


def checked_failures(expected_failures: Mapping[str, str] | None) -> dict[str, str]:
    """The declared failures, their laws known and their reasons given.

    Raises
    ------
    KeyError
        For an unknown law.
    TypeError, ValueError
        Where a reason is missing.
    """
    if expected_failures is None:
        return {}
    if not isinstance(expected_failures, Mapping):
        raise TypeError(f"expected_failures must map laws to reasons; got {type(expected_failures).__name__}")
    for name, reason in expected_failures.items():
        catalogue.get(name)
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"the expected failure of {name!r} needs a reason; got {reason!r}")
    return dict(expected_failures)
