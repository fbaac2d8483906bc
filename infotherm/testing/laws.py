"""The catalogue of laws: importing it registers them all."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec

from infotherm.testing.law import Law, registered

for _file in ("exact_laws", "conduct_laws", "statistical_laws", "bound_laws", "robustness_laws"):
    if find_spec(f"infotherm.testing.{_file}"):
        import_module(f"infotherm.testing.{_file}")


def names(quantity: str | None = None, sort: str | None = None) -> list[str]:
    """The names of all laws, or of those that speak of one quantity, or of one sort."""
    return [
        law.name
        for law in registered().values()
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
    if name not in registered():
        near = difflib.get_close_matches(str(name), registered(), n=3, cutoff=0.3) or sorted(registered())
        raise UnknownLaw(f"no law is called {name!r}; the nearest are {', '.join(near)}")
    return registered()[name]


def select(quantity: str, patterns: Iterable[str] | str | None = None) -> list[Law]:
    """The laws that speak of a quantity, in the order of the catalogue; of those named, or matching a glob.

    A law that is named in full is taken even where it speaks of other quantities only: its result says so.

    Raises
    ------
    UnknownLaw
        For a name or a glob that no law has, or when no law of this quantity is left.
    """
    known = registered()
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
