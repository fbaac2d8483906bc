"""Bound: a published inequality or identity with its conditions, its two sides and the case that saturates it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from infotherm.core.quantity import NotApplicable
from infotherm.core.verdict import RELATIONS, Verdict, decide, holm

# arguments that say how the sides are computed, not of what: handed on to the quantities
OPTIONS = frozenset({"method", "n_samples", "generator"})

Condition = Callable[..., "bool | str | None"]

_REGISTRY: dict[str, Bound] = {}


class UnknownBound(KeyError):
    """No bound of that name; the message lists the nearest."""

    def __str__(self) -> str:
        return str(self.args[0])


class Bound:
    """An inequality or identity between two numbers, as it was published.

    Parameters
    ----------
    name
        In kebab-case, e.g. "speed-limit-w2".
    sides
        A function of the keyword arguments of a case that returns (lhs, rhs): Estimates or plain numbers. One that
        takes `**options` can be told how to compute them (`method`, `n_samples`, `generator`).
    relation
        ">=", "<=" or "==" between them.
    statement
        The claim as a sympy relation, or a function that builds it when it is first read.
    source
        Paper and equation.
    conditions
        What must be true, in words, and a predicate of (some of) the same keyword arguments: True or None when it is;
        False, or a sentence that says why, when not. They are checked in order.
    saturated, not_applicable
        Functions that build the keyword arguments of a case that saturates it, and of one that fails a condition.
    group
        The family that it is listed under.
    note
        What a user should know, e.g. a correction of the printed formula.

    Examples
    --------
    >>> from infotherm.core.estimate import exact
    >>> square = Bound("squares-are-positive", sides=lambda x: (exact(x * x, units="1"), 0.0), source="school")
    >>> square.check(x=3.0).outcome
    'holds'
    """

    def __init__(
        self,
        name: str,
        *,
        sides: Callable[..., tuple[Any, Any]],
        relation: str = ">=",
        statement: Any = None,
        source: str = "",
        conditions: Mapping[str, Condition] | None = None,
        saturated: Callable[[], dict[str, Any]] | None = None,
        not_applicable: Callable[[], dict[str, Any]] | None = None,
        group: str = "user",
        note: str = "",
    ) -> None:
        if relation not in RELATIONS:
            raise ValueError(f"relation must be one of {', '.join(RELATIONS)}; got {relation!r}")
        self.name = name
        self.sides = sides
        self.relation = relation
        self.source = source
        self.conditions = dict(conditions or {})
        self.group = group
        self.note = note
        self._statement = statement
        self._saturated = saturated
        self._not_applicable = not_applicable
        parameters = inspect.signature(sides).parameters.values()
        self._takes_options = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.arguments = tuple(p.name for p in named)
        self.required = tuple(p.name for p in named if p.default is p.empty)
        self._defaults = {p.name: p.default for p in named if p.default is not p.empty}

    def __repr__(self) -> str:
        return f"<bound {self.name}({', '.join(self.arguments)}): {self.source}>"

    @property
    def statement(self) -> Any:
        """The claim as a sympy relation (sympy is imported when this is first read)."""
        if callable(self._statement):
            self._statement = self._statement()
        return self._statement

    @property
    def latex(self) -> str:
        """The claim in LaTeX, "" without a statement."""
        if self.statement is None:
            return ""
        import sympy

        return sympy.latex(self.statement).replace(r"\limits", "")  # as inline formulas have it

    def saturated_by(self) -> dict[str, Any]:
        """Keyword arguments of a case where both sides are equal (of an identity: of a case).

        Raises
        ------
        NotImplementedError
            When none is known.
        """
        if self._saturated is None:
            raise NotImplementedError(f"no case that saturates {self.name!r} is given")
        return self._saturated()

    def not_applicable_case(self) -> dict[str, Any]:
        """Keyword arguments of a case that fails a condition.

        Raises
        ------
        NotImplementedError
            When none is given.
        """
        if self._not_applicable is None:
            raise NotImplementedError(f"no case that fails a condition of {self.name!r} is given")
        return self._not_applicable()

    def failed_condition(self, **arguments: Any) -> str | None:
        """Why the bound does not apply to these arguments, or None when it does."""
        known = self._defaults | arguments
        for name, predicate in self.conditions.items():
            wanted = inspect.signature(predicate).parameters
            try:
                answer = predicate(**{key: known[key] for key in wanted})
            except NotApplicable as reason:
                answer = str(reason)
            if isinstance(answer, str):
                return f"{name}: {answer}"
            if answer is not None and not answer:
                return f"{name}: not so"
        return None

    def check(
        self, *, alpha: float = 0.01, tolerance: Any = None, options: Mapping[str, Any] | None = None, **arguments: Any
    ) -> Verdict:
        """The verdict on one case; see `infotherm.bounds.check`."""
        chosen = self._checked(arguments, options)
        given = {key: entry for key, entry in arguments.items() if key not in chosen}
        labels = {"name": self.name, "source": self.source, "build_statement": lambda: self.statement}
        reason = self.failed_condition(**given)
        if reason is not None:
            return Verdict("not applicable", self.relation, alpha, reason).labelled(**labels)
        lhs, rhs = self.sides(**given, **chosen)
        return decide(lhs, rhs, self.relation, alpha=alpha, tolerance=tolerance).labelled(**labels)

    def _checked(self, arguments: Mapping[str, Any], options: Mapping[str, Any] | None) -> dict[str, Any]:
        """The options among the arguments, when nothing is missing and nothing unknown."""
        if options and not self._takes_options:
            raise TypeError(f"{self.name} takes no options: its sides need **options; got {sorted(options)}")
        chosen = dict(options or {})
        if self._takes_options:
            chosen |= {key: arguments[key] for key in OPTIONS & arguments.keys() - set(self.arguments)}
        missing = [key for key in self.required if key not in arguments]
        unknown = [key for key in arguments if key not in self.arguments and key not in chosen]
        if missing or unknown:
            optional = [key for key in self.arguments if key not in self.required]
            expected = ", ".join([*self.required, *(f"{key} (optional)" for key in optional)])
            problem = f"missing {', '.join(missing)}" if missing else f"unknown {', '.join(unknown)}"
            raise TypeError(
                f"{self.name} takes the arguments {expected}; {problem}; got {', '.join(arguments) or 'none'}"
            )
        return chosen


# -- the registry ----------------------------------------------------------------------------------------------------


def register(bound: Bound) -> Bound:
    """Add a bound to the catalogue, so that it is found by name.

    Raises
    ------
    ValueError
        When one of that name is there already.
    """
    if bound.name in _REGISTRY:
        raise ValueError(f"a bound called {bound.name!r} is registered already (from {_REGISTRY[bound.name].source})")
    _REGISTRY[bound.name] = bound
    return bound


def names(group: str | None = None) -> tuple[str, ...]:
    """The names of the bounds, family by family; of one family when `group` is given.

    Examples
    --------
    >>> from infotherm import bounds
    >>> "pinsker" in bounds.names(), bounds.names("thermodynamics")
    (True, ('second-law', 'speed-limit-w2'))
    """
    if group is not None and group not in groups():
        raise ValueError(f"group must be one of {', '.join(groups())}; got {group!r}")
    return tuple(name for label, members in groups().items() if group in (None, label) for name in members)


def groups() -> dict[str, tuple[str, ...]]:
    """The families of the catalogue and the names in each, in the order of registration."""
    found: dict[str, tuple[str, ...]] = {}
    for bound in _REGISTRY.values():
        found[bound.group] = (*found.get(bound.group, ()), bound.name)
    return found


def get(name: str) -> Bound:
    """The bound of that name.

    Raises
    ------
    UnknownBound
        A KeyError that lists the nearest names.
    """
    if name not in _REGISTRY:
        from difflib import get_close_matches

        near = get_close_matches(str(name), _REGISTRY, n=3, cutoff=0.3) or sorted(_REGISTRY)
        raise UnknownBound(f"no bound is called {name!r}; the nearest are {', '.join(near)}")
    return _REGISTRY[name]


def check(
    bound: str | Bound,
    /,
    *,
    alpha: float = 0.01,
    tolerance: Any = None,
    options: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> Verdict:
    """The verdict on whether a bound holds in one case (or in each case of a batch).

    Parameters
    ----------
    bound
        A name from `names()` or a Bound.
    alpha
        Level of the verdict where a side is sampled.
    tolerance
        Largest difference that counts as equal, for an identity; required when a side is sampled.
    options
        Options for the quantities behind the sides; `method`, `n_samples` and `generator` may also be given directly.
    arguments
        The case: what the bound is about, by keyword.

    Returns
    -------
    Verdict
        With the bound's name, statement and source. "not applicable" when a condition fails; its reason says which.

    Raises
    ------
    UnknownBound
        For a name that is not in the catalogue.
    TypeError
        For missing or unknown arguments (the message lists those expected).

    Examples
    --------
    >>> import infotherm as it
    >>> check("pinsker", p=it.Discrete([0.5, 0.5]), q=it.Discrete([0.25, 0.75])).outcome
    'holds'
    """
    bound = get(bound) if isinstance(bound, str) else bound
    return bound.check(alpha=alpha, tolerance=tolerance, options=options, **arguments)


def check_many(cases: Iterable[tuple[str | Bound, Mapping[str, Any]]], alpha: float = 0.01) -> list[Verdict]:
    """Verdicts on many cases with one family-wise level alpha (Holm over all their sampled elements).

    Parameters
    ----------
    cases
        Pairs of a bound (or its name) and the keyword arguments of `check`.

    Examples
    --------
    >>> import infotherm as it
    >>> p, q = it.Discrete([0.5, 0.5]), it.Discrete([0.25, 0.75])
    >>> [v.outcome for v in check_many((name, {"p": p, "q": q}) for name in ("gibbs", "pinsker"))]
    ['holds', 'holds']
    """
    return holm([check(bound, **{"alpha": alpha, **arguments}) for bound, arguments in cases], alpha)
