"""What a law is: a named property of every correct estimator, with its source, and how its check reports."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from infotherm.testing.subject import Subject

SORTS = ("exact", "statistical", "bound", "robustness")


class Broken(Exception):
    """A check found the law broken; the message holds the evidence: what was computed, expected and found."""


class Skipped(Exception):
    """A law could not be tried on this estimator; the message holds the reason."""


@dataclass(frozen=True)
class Trial:
    """How thoroughly, with which randomness and at which false-alarm level a law is tried.

    Parameters
    ----------
    law
        The law's name.
    budget
        "fast" (seconds for a quick estimator) or "full".
    seed
        Of the whole run.
    level
        The largest probability with which this law may fail a correct estimator.
    """

    law: str
    budget: str
    seed: int
    level: float

    @property
    def full(self) -> bool:
        """Whether the thorough version is wanted."""
        return self.budget == "full"

    def generator(self, purpose: str = "") -> torch.Generator:
        """Randomness of this law alone: other laws do not change it. `purpose` tells several streams apart."""
        digest = hashlib.blake2b(f"{self.seed}/{self.law}/{purpose}".encode(), digest_size=7).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


@dataclass(frozen=True)
class Law:
    """One property that every correct estimator obeys.

    Parameters
    ----------
    name
        Short, in words joined by hyphens.
    statement
        The property as a formula or sentence.
    source
        Where it is proved, or why it must be.
    sort
        "exact" (to rounding, no chance involved), "statistical" (may fail a correct estimator, with a stated
        probability), "bound" or "robustness" (hostile input gets a documented value, a warning or an error).
    quantities
        Those it speaks of.
    check
        `check(subject, trial)` returns a sentence of evidence, or raises `Broken` or `Skipped`.
    """

    name: str
    statement: str
    source: str
    sort: str
    quantities: tuple[str, ...]
    check: Callable[[Subject, Trial], str]


_LAWS: dict[str, Law] = {}


def law(
    name: str, *, statement: str, source: str, sort: str, quantities: tuple[str, ...]
) -> Callable[[Callable[[Subject, Trial], str]], Callable[[Subject, Trial], str]]:
    """Registers the check of a law under its name.

    Raises
    ------
    ValueError
        For a name that is taken, or a sort that is not one of "exact", "statistical", "bound", "robustness".
    """
    if sort not in SORTS:
        raise ValueError(f"sort must be one of {', '.join(SORTS)}; got {sort!r}")
    if name in _LAWS:
        raise ValueError(f"there is a law {name!r} already")

    def register(check: Callable[[Subject, Trial], str]) -> Callable[[Subject, Trial], str]:
        _LAWS[name] = Law(name, statement, source, sort, quantities, check)
        return check

    return register


def registered() -> dict[str, Law]:
    """Every registered law by name, in the order of registration."""
    return dict(_LAWS)
