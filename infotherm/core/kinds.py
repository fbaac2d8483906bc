"""The algebra of kinds: on which side of a number the truth lies after numbers are combined."""

from __future__ import annotations

KINDS = ("exact", "estimate", "lower", "upper", "unknown")

# from the most to the least direct: a combination is as indirect as its least direct part
METHODS = ("closed-form", "certified", "quadrature", "fixed-point", "variational", "sample-based", "monte-carlo")

_NEGATED = {"lower": "upper", "upper": "lower"}


def negated(kind: str) -> str:
    """The kind of -a: a lower bound becomes an upper one.

    >>> negated("lower"), negated("estimate")
    ('upper', 'estimate')
    """
    return _NEGATED.get(kind, kind)


def sum_kind(first: str, second: str) -> str:
    """The kind of a + b. Bounds on the same side stay bounds; on opposite sides nothing is known.

    >>> sum_kind("lower", "estimate"), sum_kind("lower", "upper")
    ('lower', 'unknown')
    """
    kinds = {first, second}
    if "unknown" in kinds or {"lower", "upper"} <= kinds:
        return "unknown"
    for kind in ("lower", "upper", "estimate"):
        if kind in kinds:
            return kind
    return "exact"


def product_kind(first: str, first_sign: int, second: str, second_sign: int) -> str:
    """The kind of a b, given the certified signs (+1, -1, or 0 when the sign is not certain).

    Unknown unless both are exact or the signs decide: an exact factor of certain sign keeps or flips the other's kind,
    and bounds away from zero (a >= la > 0, or a <= ua < 0) multiply to a bound.

    >>> product_kind("exact", -1, "lower", 0), product_kind("lower", 1, "lower", 1)
    ('upper', 'lower')
    """
    if "unknown" in (first, second):
        return "unknown"
    if first == second == "exact":
        return "exact"
    if first == "exact" and first_sign:
        return second if first_sign > 0 else negated(second)
    if second == "exact" and second_sign:
        return first if second_sign > 0 else negated(first)
    away_from_zero = {"lower": 1, "upper": -1}
    if away_from_zero.get(first) == first_sign and away_from_zero.get(second) == second_sign:
        return "lower" if first == second else "upper"
    return "unknown"


def combined_method(first: str, second: str) -> str:
    """The method of a combination: that of its least direct part.

    >>> combined_method("closed-form", "monte-carlo")
    'monte-carlo'
    """
    return max(first, second, key=METHODS.index)
