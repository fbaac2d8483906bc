"""parametrize_with_laws: one pytest case for each estimator and law."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infotherm.testing import laws as catalogue
from infotherm.testing import plugin
from infotherm.testing.adapters import as_subject
from infotherm.testing.conformance import checked_failures, trials_of, try_law
from infotherm.testing.law import Law
from infotherm.testing.subject import Subject

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class LawCheck:
    """One law on one estimator; called, it passes, skips the test, or raises an AssertionError with the evidence."""

    subject: Subject
    law: Law
    budget: str | None
    seed: int | None
    level: float

    def __call__(self) -> None:
        """Tries the law."""
        import pytest

        budget = self.budget or plugin.options["budget"]
        seed = plugin.options["seed"] if self.seed is None else self.seed
        (trial,) = trials_of([self.law], budget, seed, self.level)
        result = try_law(self.law, self.subject, trial)
        if result.status == "skipped":
            pytest.skip(result.reason)
        if result.status == "failed":
            raise AssertionError(f"{self.subject.name} breaks {result.law} ({result.statement}): {result.reason}")

    def __repr__(self) -> str:
        return f"{self.subject.name}-{self.law.name}"


def parametrize_with_laws(
    estimators: Iterable[Any],
    quantity: str | None = None,
    budget: str | None = None,
    *,
    seed: int | None = None,
    level: float = 1e-6,
    laws: Iterable[str] | str | None = None,
    expected_failures: Mapping[str, str] | Callable[[Any], Mapping[str, str]] | None = None,
) -> pytest.MarkDecorator:
    """A pytest decorator: the test runs once for each estimator and law, and calls its argument `check`.

        @parametrize_with_laws([KSG(), KozachenkoLeonenko()])
        def test_laws(check):
            check()

    Parameters
    ----------
    estimators
        As for `check_estimator`.
    quantity
        Of all of them; each one's own by default.
    budget, seed
        As for `check_estimator`; left out, those of the command line: `pytest --infotherm-budget full
        --infotherm-seed 1`.
    level
        The largest probability with which correct estimators fail any of the cases.
    laws
        Names or globs.
    expected_failures
        Reasons by law, or a function that returns them for an estimator. These cases are strictly expected to fail: one
        that passes is reported as a failure of the declaration.

    Raises
    ------
    KeyError
        For an unknown law.
    TypeError, ValueError
        As for `check_estimator`.
    """
    import pytest

    estimators = list(estimators)
    if not estimators:
        raise ValueError("parametrize_with_laws needs at least one estimator; got none")
    cases = []
    for estimator in estimators:
        subject = as_subject(estimator, quantity)
        expected = checked_failures(expected_failures(estimator) if callable(expected_failures) else expected_failures)
        chosen = catalogue.select(subject.quantity, laws)
        share = trials_of(chosen, budget or "fast", seed or 0, level / len(estimators))
        for law, trial in zip(chosen, share, strict=True):
            check = LawCheck(subject, law, budget, seed, trial.level)
            marks = [pytest.mark.xfail(strict=True, reason=expected[law.name])] if law.name in expected else []
            cases.append(pytest.param(check, id=repr(check), marks=marks))
    return pytest.mark.parametrize("check", cases)
