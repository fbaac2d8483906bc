"""The catalogue of laws: importing it registers them all."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable

from infotherm.testing import bound_laws, conduct_laws, exact_laws, robustness_laws, statistical_laws
from infotherm.testing.law import SORTS, Law, registered

FILES = (exact_laws, conduct_laws, statistical_laws, bound_laws, robustness_laws)  # imported, they are registered


def catalogue() -> dict[str, Law]:
    """Every law by name: exact ones first, then statistical ones, bounds and robustness."""
    return dict(sorted(registered().items(), key=lambda entry: SORTS.index(entry[1].sort)))


def names(quantity: str | None = None, sort: str | None = None) -> list[str]:
    """The names of all laws, or of those that speak of one quantity, or of one sort."""
    return [
        law.name
        for law in catalogue().values()
        if (quantity is None or quantity in law.quantities) and (sort is None or law.sort == sort)
    ]


def get(name: str) -> Law:
    """The law of this name.

    Raises
    ------
    UnknownLaw
        A KeyError that lists the nearest names.

    Examples
    --------
    >>> get("symmetry").statement
    'I(x; y) = I(y; x)'
    """
    known = registered()
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.3)
        hint = f"the nearest are {', '.join(near)}" if near else "infotherm.testing.laws.names() lists them"
        raise UnknownLaw(f"no law is called {name!r}; {hint}")
    return known[name]


def select(quantity: str, patterns: Iterable[str] | str | None = None) -> list[Law]:
    """The laws that speak of a quantity, in the order of the catalogue; of those named, or matching a glob.

    A law that is named in full is taken even where it speaks of other quantities only: its result says so.

    Raises
    ------
    UnknownLaw
        For a name or a glob that no law has, or when no law of this quantity is left.
    """
    known = catalogue()
    if patterns is None:
        return [law for law in known.values() if quantity in law.quantities]
    chosen: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if pattern in known:
            chosen.add(pattern)
            continue
        matches = fnmatch.filter(known, pattern)
        if not matches:
            get(pattern)
        chosen.update(name for name in matches if quantity in known[name].quantities)
    if not chosen:
        raise UnknownLaw(f"no law of {quantity} is among {patterns!r}; they are {', '.join(names(quantity))}")
    return [law for law in known.values() if law.name in chosen]


class UnknownLaw(KeyError):
    """No law of that name; the message lists the nearest."""

    def __str__(self) -> str:
        return str(self.args[0])
