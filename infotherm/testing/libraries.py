"""How the functions of known libraries are called, in which units they answer, and what they claim.

None of the libraries is imported here: a function is recognised by the module that it comes from.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]

_BASES = {2.0: "bit", math.e: "nat", 10.0: "hartley"}
_THIRD = ("given", "z", "cond", "condition", "conditional")
_SEEDS = ("generator", "rng", "random_state", "seed")


@dataclass(frozen=True)
class Convention:
    """How one function wants to be called.

    Parameters
    ----------
    call
        `call(function, arrays, options)` returns what the function returns.
    units
        What the answer is in.
    tags
        Capabilities that differ from those of a plain function.
    """

    call: Callable[[Callable[..., Any], Arrays, Mapping[str, Any]], Any]
    units: str
    tags: dict[str, Any] = field(default_factory=dict)


def convention_of(function: Callable[..., Any], quantity: str, options: Mapping[str, Any]) -> Convention:
    """The convention of a function: that of its library where it is known, else `function(x, y, z)` in nats.

    A function with an argument `base` answers in units of it.
    """
    home, name = _origin(function)
    settings = {**_defaults(function), **options}
    units = _units_of_base(settings.get("base")) or "nat"
    library = home.partition(".")[0]
    if library == "sklearn" and name in ("mutual_info_regression", "mutual_info_classif"):
        return _scikit_learn(name, settings)
    if library == "dit":
        return _dit(name, settings)
    if library == "infomeasure":
        return Convention(_infomeasure, _infomeasure_units(options))
    if library in ("npeet", "npeet_plus"):
        return Convention(_plain, units, _NPEET.get(name, {}))
    if quantity == "conditional_mutual_information" and (keyword := _keyword_for_third(function)):
        return Convention(lambda f, arrays, given: f(*arrays[:2], **{keyword: arrays[2]}, **given), units)
    return Convention(_plain, units)


def seed_keyword(function: Callable[..., Any], options: Mapping[str, Any]) -> str | None:
    """The keyword that takes the seed of a stochastic function; None when it has none, or when it is fixed already."""
    accepted = _defaults(function)
    for keyword in _SEEDS:
        if keyword in accepted and keyword not in options and keyword not in _fixed(function):
            return keyword
    return None


def seeded(keyword: str, seed: int) -> Any:
    """The seed in the form that the keyword stands for: a torch generator, a numpy one, or the number itself."""
    if keyword == "generator":
        import torch

        return torch.Generator().manual_seed(seed)
    return np.random.default_rng(seed) if keyword == "rng" else seed % 2**32


# -- libraries ------------------------------------------------------------------------------------------------------


def _plain(function: Callable[..., Any], arrays: Arrays, options: Mapping[str, Any]) -> Any:
    return function(*arrays, **options)


def _scikit_learn(name: str, settings: Mapping[str, Any]) -> Convention:
    labels_y = name == "mutual_info_classif"
    labels_x = settings.get("discrete_features") is True
    data = ("discrete",) if labels_x and labels_y else ("mixed",) if labels_x or labels_y else ("continuous",)
    tags = {"data": data, "most_dimensions": 1, "clips_at_zero": True, "symmetric": labels_x == labels_y}
    return Convention(_scikit_learn_call, "nat", tags)


def _scikit_learn_call(function: Callable[..., Any], arrays: Arrays, options: Mapping[str, Any]) -> Any:
    x, y = arrays
    if y.shape[1] != 1 or x.shape[1] > 1:
        raise ValueError(
            f"scikit-learn's estimators take one coordinate of x and of y; got {x.shape[1]} and {y.shape[1]}"
        )
    return function(x, y[:, 0], **options)


def _dit(name: str, settings: Mapping[str, Any]) -> Convention:
    if next(iter(settings), "") in ("dist", "dist1"):  # exact measures of distributions: plug-in of the counts
        return Convention(_dit_plug_in, "bit", {"data": ("discrete",)})
    if "total_correlation_ksg" in name:
        return Convention(_dit_total_correlation, "bit")
    return Convention(_plain, "bit", {"data": ("discrete",)} if name.startswith("entropy_") else {})


def _dit_plug_in(function: Callable[..., Any], arrays: Arrays, options: Mapping[str, Any]) -> Any:
    def counted(samples: np.ndarray) -> Any:
        if not np.isfinite(samples).all():
            raise ValueError("labels must be numbers; got NaN")
        symbols, counts = np.unique(samples, axis=0, return_counts=True)
        return sys.modules["dit"].Distribution([tuple(row) for row in symbols.tolist()], counts / len(samples))

    accepted = _defaults(function)
    if "dist2" in accepted:
        return function(*map(counted, arrays), **options)
    joint = counted(np.hstack(arrays))
    if len(arrays) == 1:
        return function(joint, **options)
    x, y, *given = _columns(arrays)
    if "rvs_X" in accepted:
        return function(joint, x, y, **options)
    return function(joint, [x, y], *given, **options)


def _columns(arrays: Arrays) -> list[list[int]]:
    """Which columns each argument has in the table of all of them."""
    ends = np.cumsum([0, *(array.shape[1] for array in arrays)]).tolist()
    return [list(range(start, stop)) for start, stop in zip(ends, ends[1:], strict=False)]


def _dit_total_correlation(function: Callable[..., Any], arrays: Arrays, options: Mapping[str, Any]) -> Any:
    columns = _columns(arrays)
    given = columns[2] if len(columns) == 3 else None
    return function(np.hstack(arrays), columns[:2], given, **options)


def _infomeasure(function: Callable[..., Any], arrays: Arrays, options: Mapping[str, Any]) -> Any:
    given = {"cond": arrays[2]} if len(arrays) == 3 else {}
    return function(*arrays[:2], **given, **options)


def _infomeasure_units(options: Mapping[str, Any]) -> str:
    base = options.get("base")
    if base is None and "infomeasure" in sys.modules:
        base = sys.modules["infomeasure"].Config.get("base")
    return _units_of_base(base) or "nat"


_NPEET: dict[str, dict[str, Any]] = {
    "entropyd": {"data": ("discrete",)},
    "midd": {"data": ("discrete",)},
    "cmidd": {"data": ("discrete",)},
    "micd": {"data": ("mixed",), "symmetric": False},
}


# -- signatures -----------------------------------------------------------------------------------------------------


def _origin(function: Any) -> tuple[str, str]:
    """The module and the name of the function under partial applications and bound methods."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function) if callable(function) else function
    owner = function if hasattr(function, "__name__") else type(function)
    return str(getattr(owner, "__module__", "") or ""), str(getattr(owner, "__name__", ""))


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The named arguments of a function and their defaults (None where there is none)."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name: None if p.default is p.empty else p.default for p in parameters if p.kind in named}


def _fixed(function: Any) -> set[str]:
    """The keywords that partial applications have fixed already."""
    fixed: set[str] = set()
    while isinstance(function, functools.partial):
        fixed.update(function.keywords)
        function = function.func
    return fixed


def _keyword_for_third(function: Callable[..., Any]) -> str | None:
    """The name of the argument for z, where it goes by keyword only."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    for name in _THIRD:
        if name in parameters and parameters[name].kind is inspect.Parameter.KEYWORD_ONLY:
            return name
    return None


def _units_of_base(base: Any) -> str | None:
    if base == "e":
        return "nat"
    try:
        number = float(base)
    except (TypeError, ValueError):
        return None
    return next((units for known, units in _BASES.items() if math.isclose(number, known)), None)
