"""What an estimator answers to input on which estimators fail: a refusal, a warning, a marked number, or a bare one."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infotherm.core.estimate import Estimate
from infotherm.testing.law import Broken
from infotherm.testing.subject import Subject

_NO_ADVICE = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
_ARITHMETIC = ("encountered in", "Mean of empty slice", "Degrees of freedom <= 0")  # numpy's, not the estimator's
_CONFIDENCE = 1 - 1e-7


@dataclass(frozen=True)
class Answer:
    """One call and what came of it.

    Parameters
    ----------
    estimate
        None when the samples were refused.
    caution
        The words of the exception or of the warning, or "kind 'unknown'"; empty for a number given without any.
    """

    estimate: Estimate | None
    caution: str

    @property
    def value(self) -> float:
        """The number, NaN when there is none."""
        return math.nan if self.estimate is None else float(self.estimate)

    def is_right(self, truth: float, tolerance: float) -> bool:
        """Whether the number is the truth within a tolerance, on its side for a bound, or within its interval."""
        if self.estimate is None or math.isnan(self.value):
            return False
        if self.value == truth or abs(self.value - truth) <= tolerance:
            return True
        if self.estimate.kind == "lower":
            return self.value <= truth
        if self.estimate.kind == "upper":
            return self.value >= truth
        if not math.isfinite(float(self.estimate.error)):  # a bare number states no interval
            return False
        low, high = self.estimate.interval(_CONFIDENCE)
        return bool(low <= truth <= high)


def ask(subject: Subject, *arrays: Any) -> Answer:
    """Calls the estimator and keeps what it says. Warnings of floating-point arithmetic are not its own words."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimate = subject.run(arrays, 0)
        except Exception as error:  # of whatever sort: it was not silent
            return Answer(None, _short(f"{type(error).__name__}: {error}"))
    for entry in caught:
        words = str(entry.message)
        if not issubclass(entry.category, _NO_ADVICE) and not any(mark in words for mark in _ARITHMETIC):
            return Answer(estimate, _short(f"warned: {words}"))
    if estimate.kind == "unknown":
        return Answer(estimate, "kind 'unknown'")
    return Answer(estimate, "")


def no_silent_number(
    subject: Subject, arrays: tuple[Any, ...], words: str, *, accepted: Callable[[float], bool] = math.isnan
) -> str:
    """What was answered, where only a refusal, a warning, kind "unknown" or an `accepted` number will do.

    Raises
    ------
    Broken
        For any other number that comes without a word.
    """
    answer = ask(subject, *arrays)
    if answer.caution:
        return f"{words}: {answer.caution}"
    if accepted(answer.value):
        return f"{words}: {answer.value:.4g}"
    raise Broken(f"{words}: silently {answer.value:.4g} nat; expected an error, a warning or kind 'unknown'")


def right_or_cautious(subject: Subject, arrays: tuple[Any, ...], words: str, *, truth: float, tolerance: float) -> str:
    """What was answered, where the number must be right unless it comes with a word of caution.

    Raises
    ------
    Broken
        For a wrong number that comes without a word.
    """
    answer = ask(subject, *arrays)
    if answer.caution:
        return f"{words}: {answer.caution}"
    if answer.is_right(truth, tolerance):
        return f"{words}: {answer.value:.4g} nat where {truth:.4g} is right"
    raise Broken(
        f"{words}: silently {answer.value:.4g} nat where {truth:.4g} is right (tolerance {tolerance:g}); expected the "
        f"number, an error, a warning or kind 'unknown'"
    )


def _short(text: str, most: int = 110) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 3] + "..."
