"""Property-testing of estimators: laws that every estimator must obey, data with exactly known information, adapters.

`check_estimator(estimator)` puts an estimator (ours, or a stranger's through `as_estimator`) through the laws and
returns a report; `parametrize_with_laws([...])` turns the same laws into pytest cases; `tasks` are the ground truths
and `strategies` draw distributions for hypothesis. Names are loaded when first used: neither pytest nor hypothesis is
needed until it is asked for, and the pytest plugin is loaded without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infotherm.testing import laws as laws
    from infotherm.testing import strategies as strategies
    from infotherm.testing import tasks as tasks
    from infotherm.testing.adapters import FunctionEstimator as FunctionEstimator
    from infotherm.testing.adapters import as_estimator as as_estimator
    from infotherm.testing.conformance import check_estimator as check_estimator
    from infotherm.testing.law import Broken as Broken
    from infotherm.testing.law import Law as Law
    from infotherm.testing.law import Skipped as Skipped
    from infotherm.testing.law import Trial as Trial
    from infotherm.testing.parametrize import parametrize_with_laws as parametrize_with_laws
    from infotherm.testing.report import LawResult as LawResult
    from infotherm.testing.report import Report as Report
    from infotherm.testing.subject import Subject as Subject

_ROOMS = ("laws", "strategies", "tasks")

_HOMES = {
    "adapters": "FunctionEstimator as_estimator",
    "conformance": "check_estimator",
    "law": "Broken Law Skipped Trial",
    "parametrize": "parametrize_with_laws",
    "report": "LawResult Report",
    "subject": "Subject",
}
_NAMES = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [*_ROOMS, *_NAMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"infotherm.testing.{name}")
    if name in _NAMES:
        return getattr(import_module(f"infotherm.testing.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'infotherm.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
