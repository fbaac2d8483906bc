"""Quantity: a named dispatcher that finds the rule for the types it is given, and can say why it took it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from infotherm.core.estimate import Estimate

# the order in which "auto" tries them: cheap and sharp first
METHOD_ORDER = ("closed-form", "quadrature", "fixed-point", "certified", "monte-carlo", "variational", "sample-based")

# options that only some methods need: with method="auto" they are handed to the rules that take them
_COMMON_OPTIONS = frozenset({"n_samples", "generator", "tolerance"})

_REGISTRY: dict[str, Quantity] = {}


class NotApplicable(Exception):
    """Raised by the predicate of a rule: the reason why the rule does not apply to these arguments."""


class AmbiguousRules(TypeError):
    """Two rules fit and neither is more specific than the other."""


@dataclass(frozen=True, eq=False)
class Rule:
    """One way of computing a quantity for a tuple of types."""

    types: tuple[type, ...]
    method: str
    function: Callable[..., Estimate]
    predicate: Callable[..., None] | None
    options: frozenset[str] | None  # None: takes any
    predicate_options: frozenset[str] | None

    @property
    def name(self) -> str:
        return f"{self.function.__name__}({', '.join(t.__name__ for t in self.types)})"

    def reason_against(self, args: Sequence[Any], options: dict[str, Any]) -> str | None:
        """Why the rule does not apply, or None."""
        if self.predicate is None:
            return None
        try:
            self.predicate(*args, **_accepted(options, self.predicate_options))
        except NotApplicable as reason:
            return str(reason)
        return None

    def matches(self, types: tuple[type, ...]) -> bool:
        return all(issubclass(t, want) for t, want in zip(types, self.types, strict=True))

    def at_least_as_specific(self, other: Rule) -> bool:
        return all(issubclass(mine, theirs) for mine, theirs in zip(self.types, other.types, strict=True))


@dataclass(frozen=True)
class Considered:
    """A rule that `explain` looked at, and what became of it."""

    rule: str
    method: str
    status: str  # "taken" | "applies" | "ambiguous" | "does not apply"
    reason: str


@dataclass(frozen=True)
class Explanation:
    """What a quantity would do with these arguments: every rule that fits their types, in the order of trial."""

    quantity: str
    types: tuple[str, ...]
    considered: tuple[Considered, ...]

    @property
    def taken(self) -> Considered | None:
        """The rule that would be used, or None where there is none or the call is ambiguous."""
        return next((c for c in self.considered if c.status == "taken"), None)

    def __str__(self) -> str:
        lines = [f"{self.quantity}({', '.join(self.types)})"]
        if not self.considered:
            lines.append("  no rule is registered for these types")
        for c in self.considered:
            lines.append(f"  {c.status:<14}  {c.method:<12}  {c.rule}" + (f": {c.reason}" if c.reason else ""))
        return "\n".join(lines)

    __repr__ = __str__


class Quantity:
    """A number about distributions, by whichever registered rule fits.

    Parameters
    ----------
    name
        Its name, also in `get` and `explain`.
    accepts
        One converter per leading argument, called as `converter(argument, name)`; dispatch is on the converted types.
    arguments
        Names of those arguments, for messages.
    doc
        The docstring.

    Examples
    --------
    >>> double = Quantity("example-double", accepts=(lambda x, name: float(x),), arguments=("x",))
    >>> @double.rule(float, method="closed-form")
    ... def doubled(x):
    ...     return Estimate(2 * x, units="1")
    >>> double(2)
    4  exact  closed-form
    >>> double.explain(2)
    example-double(float)
      taken           closed-form   doubled(float)
    """

    def __init__(
        self,
        name: str,
        *,
        accepts: Sequence[Callable[[Any, str], Any]],
        arguments: Sequence[str] = ("p", "q"),
        doc: str = "",
    ) -> None:
        self.name = name
        self.__name__ = name.replace("-", "_")
        self.__doc__ = doc
        self._accepts = tuple(accepts)
        self._arguments = tuple(arguments)[: len(self._accepts)]
        self._rules: list[Rule] = []
        self._most_arguments = len(self._accepts)
        self._plans: dict[tuple[tuple[type, ...], str], tuple[tuple[Rule, ...], ...]] = {}
        # a module may run again, but nobody takes the name of a stranger's quantity
        self._home = sys._getframe(1).f_globals.get("__name__", "")
        if name in _REGISTRY and _REGISTRY[name]._home != self._home:
            raise ValueError(f"name {name!r} is that of a quantity in {_REGISTRY[name]._home}: register a rule with it")
        _REGISTRY[name] = self

    def __repr__(self) -> str:
        return f"<quantity {self.name}({', '.join(self._arguments)}), {len(self._rules)} rules>"

    def rule(
        self, *types: type, method: str, when: Callable[..., None] | None = None
    ) -> Callable[[Callable[..., Estimate]], Callable[..., Estimate]]:
        """Register a rule for these types.

        `when(*arguments, **options)` raises NotApplicable(reason) where the rule does not apply; nothing else may.
        A rule for the same types and method as an earlier one is tried before it.
        """
        if len(types) != len(self._accepts):
            raise TypeError(f"{self.name} dispatches on {len(self._accepts)} arguments; got {len(types)} types")
        if method not in METHOD_ORDER:
            raise ValueError(f"method must be one of {', '.join(METHOD_ORDER)}; got {method!r}")

        def register(function: Callable[..., Estimate]) -> Callable[..., Estimate]:
            known = [_keywords(f, len(types)) if f else frozenset() for f in (function, when)]
            self._rules.append(Rule(types, method, function, when, *known))
            self._most_arguments = max(self._most_arguments, _positional(function))
            self._plans.clear()
            return function

        return register

    def __call__(self, *args: Any, method: str = "auto", **options: Any) -> Estimate:
        converted = self._converted(args)
        for rule in self._applicable(converted, method, options):
            return self._run(rule, converted, method, options)
        raise NotImplementedError(self._no_rule(converted, method, options))

    def explain(self, *args: Any, method: str = "auto", **options: Any) -> Explanation:
        """Which rules fit, which would be taken, and why not the others, by the predicates of the call itself."""
        converted = self._converted(args)
        considered = []
        taken = False
        for level in self._plan(converted, method):
            reasons = [rule.reason_against(converted, options) for rule in level]
            ambiguous = _incomparable([rule for rule, reason in zip(level, reasons, strict=True) if reason is None])
            for rule, reason in zip(level, reasons, strict=True):
                if reason is not None:
                    considered.append(Considered(rule.name, rule.method, "does not apply", reason))
                elif ambiguous and not taken:
                    note = f"neither of {_names(ambiguous)} is more specific: the call is refused"
                    considered.append(Considered(rule.name, rule.method, "ambiguous", note))
                else:
                    considered.append(Considered(rule.name, rule.method, "applies" if taken else "taken", ""))
                    taken = True
            taken = taken or bool(ambiguous)
        return Explanation(self.name, self._type_names(converted), tuple(considered))

    def _converted(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        n = len(self._accepts)
        if len(args) < n:
            raise TypeError(
                f"{self.name} needs {n} positional arguments ({', '.join(self._arguments)}); got {len(args)}"
            )
        if len(args) > self._most_arguments:
            raise TypeError(
                f"{self.name} takes at most {self._most_arguments} positional arguments, first "
                f"{', '.join(self._arguments)}; got {len(args)}"
            )
        leading = (accept(x, name) for accept, x, name in zip(self._accepts, args[:n], self._arguments, strict=True))
        return (*leading, *args[n:])

    def _plan(self, converted: tuple[Any, ...], method: str) -> tuple[tuple[Rule, ...], ...]:
        """Rules that fit the types, in levels: those of one level are not ordered by specificity."""
        types = tuple(type(x) for x in converted[: len(self._accepts)])
        plan = self._plans.get((types, method))
        if plan is None:
            if method != "auto" and method not in METHOD_ORDER:
                raise ValueError(f"method must be 'auto' or one of {', '.join(METHOD_ORDER)}; got {method!r}")
            levels: list[tuple[Rule, ...]] = []
            for wanted in METHOD_ORDER if method == "auto" else (method,):
                # the latest registration first, so that a rule can be overridden
                levels.extend(_levels([r for r in reversed(self._rules) if r.method == wanted and r.matches(types)]))
            plan = self._plans[(types, method)] = tuple(levels)
        return plan

    def _applicable(self, converted: tuple[Any, ...], method: str, options: dict[str, Any]) -> Iterator[Rule]:
        for level in self._plan(converted, method):
            fitting = [rule for rule in level if rule.reason_against(converted, options) is None]
            ambiguous = _incomparable(fitting)
            if ambiguous:
                raise AmbiguousRules(
                    f"{self.name}({', '.join(self._type_names(converted))}) is ambiguous between {_names(ambiguous)}: "
                    f"register a rule for exactly these types"
                )
            yield from fitting

    def _run(self, rule: Rule, converted: tuple[Any, ...], method: str, options: dict[str, Any]) -> Estimate:
        unknown = set() if rule.options is None else options.keys() - rule.options
        if unknown and method == "auto":
            unknown -= _COMMON_OPTIONS
        if unknown:
            given = _leading(rule.function, len(converted))
            raise TypeError(
                f"{self.name} by {rule.name} takes the options {sorted((rule.options or frozenset()) - given)}; "
                f"got {sorted(unknown)}"
            )
        try:
            return rule.function(*converted, **_accepted(options, rule.options))
        except NotApplicable as reason:
            raise RuntimeError(f"{rule.name} declined after its predicate had passed: {reason}") from reason

    def _no_rule(self, converted: tuple[Any, ...], method: str, options: dict[str, Any]) -> str:
        explanation = self.explain(*converted, method=method, **options)
        wanted = "" if method == "auto" else f" by method {method!r}"
        return f"no rule computes {self.name}{wanted} for these arguments:\n{explanation}"

    def _type_names(self, converted: tuple[Any, ...]) -> tuple[str, ...]:
        return tuple(type(x).__name__ for x in converted[: len(self._accepts)])


def get(name: str) -> Quantity:
    """The quantity of that name.

    Raises
    ------
    KeyError
        With the nearest names.
    """
    if name not in _REGISTRY:
        from difflib import get_close_matches

        near = get_close_matches(name, _REGISTRY, n=3) or sorted(_REGISTRY)
        raise KeyError(f"no quantity is called {name!r}; the nearest are {', '.join(near)}")
    return _REGISTRY[name]


def names() -> tuple[str, ...]:
    """The names of all quantities."""
    return tuple(sorted(_REGISTRY))


def explain(name: str, *args: Any, **options: Any) -> Explanation:
    """Which rules of the quantity `name` fit these arguments, which is taken, and why not the others."""
    return get(name).explain(*args, **options)


def _levels(rules: list[Rule]) -> Iterator[tuple[Rule, ...]]:
    """Most specific first; one level holds the rules that no remaining rule strictly dominates."""
    remaining = list(rules)
    while remaining:
        level = [
            r
            for r in remaining
            if not any(o.at_least_as_specific(r) and not r.at_least_as_specific(o) for o in remaining)
        ]
        yield tuple(level)
        remaining = [r for r in remaining if r not in level]


def _incomparable(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Rules of different types on one level (equal types are ordered by registration and do not clash)."""
    different = {rule.types: rule for rule in reversed(rules)}
    return tuple(different.values()) if len(different) > 1 else ()


def _names(rules: Sequence[Rule]) -> str:
    return " and ".join(r.name for r in rules)


def _keywords(function: Callable[..., Any], leading: int) -> frozenset[str] | None:
    """The names that may be given by keyword, after the arguments on which rules are chosen; None when any may."""
    parameters = list(inspect.signature(function).parameters.values())[leading:]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))


def _positional(function: Callable[..., Any]) -> int:
    """How many arguments may be given by position."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 1000
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _leading(function: Callable[..., Any], count: int) -> frozenset[str]:
    """The names of the first `count` parameters."""
    return frozenset(list(inspect.signature(function).parameters)[:count])


def _accepted(options: dict[str, Any], known: frozenset[str] | None) -> dict[str, Any]:
    return options if known is None else {key: entry for key, entry in options.items() if key in known}
