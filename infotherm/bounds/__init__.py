"""Bounds: published inequalities and identities that can be checked, each with its conditions and its saturating case.

`check(name, **case)` gives a verdict, `get(name)` the bound, `names()` the catalogue; a bound of your own is a `Bound`.
"""

from infotherm.bounds import catalogue as catalogue
from infotherm.bounds.bound import OPTIONS, Bound, UnknownBound, check, check_many, get, groups, names, register

__all__ = ["OPTIONS", "Bound", "UnknownBound", "check", "check_many", "get", "groups", "names", "register"]
