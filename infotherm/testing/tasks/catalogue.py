"""All tasks by name."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping

from infotherm.estimators.tags import DATA, QUANTITIES
from infotherm.testing.tasks import (
    conditional,
    curved,
    discrete,
    divergences,
    entropies,
    gaussian,
    images,
    mixed,
    student,
    uniform,
)
from infotherm.testing.tasks.task import Task


@functools.cache
def _catalogue() -> Mapping[str, Task]:
    found: dict[str, Task] = {}
    for module in (gaussian, student, uniform, curved, discrete, mixed):
        _include(found, module.family())
    _include(found, images.family(found))
    for module in (conditional, entropies, divergences):
        _include(found, module.family())
    return found


def _include(found: dict[str, Task], family: list[Task]) -> None:
    for task in family:
        if task.name in found:
            raise ValueError(f"there are two tasks {task.name!r}")
        found[task.name] = task


def get(name: str) -> Task:
    """The task of this name.

    Raises
    ------
    KeyError
        For an unknown name; the message lists the nearest ones.

    Examples
    --------
    >>> get("uniform-noise-0.1").truth
    1.70943791243 +- 6.1e-15 nat  exact  closed-form
    """
    known = _catalogue()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
        raise KeyError(f"there is no task {name!r}; the nearest are {', '.join(near) or 'none'}, see tasks.names()")
    return known[name]


def names(quantity: str | None = None, data: str | None = None) -> list[str]:
    """The names of all tasks, or of those of one quantity and one sort of data.

    Raises
    ------
    ValueError
        For an unknown quantity or sort of data.

    Examples
    --------
    >>> names("mutual_information", "discrete")[:2]
    ['symmetric-channel-2-0.11', 'symmetric-channel-4-0.3']
    """
    for argument, given, known in (("quantity", quantity, QUANTITIES), ("data", data, DATA)):
        if given is not None and given not in known:
            raise ValueError(f"{argument} must be one of {', '.join(known)}; got {given!r}")
    tasks = _catalogue().values()
    return [task.name for task in tasks if quantity in (None, task.quantity) and data in (None, task.data)]
