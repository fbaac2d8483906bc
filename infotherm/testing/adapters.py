"""Strangers' estimators in the form of ours: functions of numpy arrays that return a number."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any

import numpy as np
import torch

from infotherm.core.estimate import NATS_PER, Estimate
from infotherm.core.tensors import Generator, as_generator
from infotherm.estimators.base import stream_of_samples
from infotherm.estimators.tags import QUANTITIES, Tags
from infotherm.testing.libraries import Convention, convention_of, seed_keyword, seeded
from infotherm.testing.subject import Subject

_ALIASES = {"kl_divergence": "kl"}
_ARGUMENTS = {"entropy": 1, "mutual_information": 2, "conditional_mutual_information": 3, "kl": 2}
_LONGEST_NAME = 70


@dataclass(frozen=True, repr=False)
class FunctionEstimator:
    """A function of numpy arrays as an estimator: `estimate` returns an Estimate in nats.

    A bare number says nothing of its error: the Estimate then has an infinite `error`. Made by `as_estimator`.
    """

    function: Callable[..., Any]
    quantity: str
    units: str
    tags: Tags
    name: str
    convention: Convention
    options: Mapping[str, Any] = field(default_factory=dict)
    flat: bool = False
    seed_keyword: str | None = None

    def estimate(self, x: Any, y: Any = None, *, given: Any = None, generator: Generator = None) -> Estimate:
        """The number that the function returns for samples of shape (N, D), in nats.

        Samples in numpy arrays are handed over as they are, of any dtype and memory layout.

        Raises
        ------
        TypeError
            When the samples are not those of the quantity, or the function returns no number.
        """
        samples = [array for array in (x, y, given) if array is not None]
        if len(samples) != _ARGUMENTS[self.quantity] or (given is not None) != (len(samples) == 3):
            wanted = ("x", "x and y", "x, y and given")[_ARGUMENTS[self.quantity] - 1]
            raise TypeError(f"{self.name} estimates {self.quantity} from {wanted}; got {len(samples)} arrays")
        arrays = tuple(self._prepared(array) for array in samples)
        options = dict(self.options)
        if self.seed_keyword is not None and generator is not None:
            options[self.seed_keyword] = seeded(self.seed_keyword, _seed_of(generator))
        result = self.convention.call(self.function, arrays, options)
        return as_estimate(result, units=self.units, kind=self.tags.kind, name=self.name, samples=arrays)

    def _prepared(self, samples: Any) -> np.ndarray:
        array = samples.detach().cpu().numpy() if isinstance(samples, torch.Tensor) else np.asarray(samples)
        if not self.flat:
            return array[:, None] if array.ndim == 1 else array
        if array.ndim == 2 and array.shape[1] == 1:
            return array[:, 0]
        if array.ndim != 1:
            raise ValueError(f"{self.name} takes one coordinate, of shape (N,) or (N, 1); got {array.shape}")
        return array

    def __repr__(self) -> str:
        return self.name


def as_estimator(
    fn: Any,
    quantity: str = "mutual_information",
    units: str | None = None,
    tags: Tags | Mapping[str, Any] | None = None,
    name: str | None = None,
    *,
    flat: bool = False,
    **options: Any,
) -> FunctionEstimator:
    """An estimator with `estimate`, `tags` and `quantity` from a plain function of samples.

    The function is called with numpy arrays of shape (N, D): `fn(x)` for an entropy, `fn(x, y)` for a mutual
    information, `fn(x, y, z)` for a conditional one (or by keyword where z can only be given so), and `fn(x, y)` with
    samples of p and of q for "kl". It may return a number, an array of one element, a pair (value, standard error), an
    `Estimate`, or an object with `result()` as infomeasure's estimators have. scikit-learn's `mutual_info_regression`
    and `mutual_info_classif`, dit's and NPEET's estimators and infomeasure's functions are recognised and called the
    way they want it.

    Parameters
    ----------
    fn
        The function, or an object with a method `estimate(x, y)`.
    quantity
        "mutual_information", "conditional_mutual_information", "entropy" or "kl" (also "kl_divergence").
    units
        What the function answers in: "nat", "bit" or "hartley". Left out: those of its argument `base` if it has one,
        or of its library if that is known, else nats.
    tags
        What it claims: `Tags`, or a mapping of those that differ from a plain function's: continuous data, changes as
        the quantity does under shift, reflection and a common scale, symmetric, no error stated; stochastic when it has
        an argument `generator` (given a torch.Generator), `rng` (a numpy one), `random_state` or `seed` (integers).
    name
        For reports.
    flat
        Whether it wants arrays of shape (N,), one coordinate each.
    options
        More keyword arguments of the function.

    Raises
    ------
    TypeError
        When `fn` cannot be called, or is a class rather than an estimator.
    ValueError
        For an unknown quantity, unknown units or unknown tags.

    Examples
    --------
    >>> def gaussian(x, y):
    ...     return -0.5 * np.log2(1 - np.corrcoef(x[:, 0], y[:, 0])[0, 1] ** 2)
    >>> est = as_estimator(gaussian, units="bit", tags={"most_dimensions": 1, "consistent_for": "gaussian"})
    >>> est.estimate([0.0, 1.0, 2.0, 3.0], [0.0, 2.0, 1.0, 3.0])
    0.511 +- inf nat  estimate  sample-based
    """
    quantity = checked_quantity(quantity)
    function = _function_of(fn)
    convention = convention_of(function, quantity, options)
    units = convention.units if units is None else units
    if units not in NATS_PER:
        raise ValueError(f"units must be one of {', '.join(NATS_PER)}; got {units!r}")
    keyword = seed_keyword(function, options)
    claims = {
        "quantities": (quantity,),
        "symmetric": True,
        "states_error": False,
        "stochastic": keyword is not None,
        "most_dimensions": 1 if flat else None,
        **convention.tags,
    }
    if not isinstance(tags, Tags):
        try:
            tags = Tags(**{**claims, **(tags or {})})
        except TypeError as reason:
            raise ValueError(f"tags must be those of infotherm.estimators.tags.Tags; {reason}") from None
    if quantity not in tags.quantities:
        raise ValueError(f"tags must name the quantity {quantity!r}; got quantities {', '.join(tags.quantities)}")
    return FunctionEstimator(
        function, quantity, units, tags, name or _name_of(fn, options), convention, options, flat, keyword
    )


def as_subject(est: Any, quantity: str | None = None) -> Subject:
    """An estimator of one quantity in the form that laws are tried on.

    Raises
    ------
    TypeError
        When it is no estimator: it must have `tags` and `estimate`, or be callable.
    ValueError
        When it does not compute the quantity.
    """
    wanted = "" if quantity is None else checked_quantity(quantity)
    if isinstance(est, Subject):
        if wanted not in ("", est.quantity):
            raise ValueError(f"{est.name} is an estimator of {est.quantity}; got the quantity {wanted!r}")
        return est
    if isinstance(est, type):
        raise TypeError(f"est must be an estimator, not its class: {est.__name__}(...)")
    tags = getattr(est, "tags", None)
    if not isinstance(tags, Tags):
        est = as_estimator(est, wanted or "mutual_information")
        tags = est.tags
    if not wanted:
        choices = (getattr(est, "quantity", ""), "mutual_information", *tags.quantities)
        wanted = next(choice for choice in choices if choice in tags.quantities)
    if wanted not in tags.quantities:
        raise ValueError(f"{_name_of(est)} estimates {', '.join(tags.quantities)}; got the quantity {wanted!r}")
    return Subject(_name_of(est), wanted, tags, functools.partial(_run, est, wanted, tags))


def _run(est: Any, quantity: str, tags: Tags, arrays: tuple[Any, ...], seed: int | None) -> Estimate:
    options: dict[str, Any] = {"generator": seed} if tags.stochastic and seed is not None else {}
    if quantity == "conditional_mutual_information":
        options["given"] = arrays[2]
    result = est.estimate(*arrays[:2], **options)
    return as_estimate(result, kind=tags.kind, name=_name_of(est))


def as_estimate(
    result: Any,
    *,
    units: str = "nat",
    kind: str = "estimate",
    name: str = "the estimator",
    samples: tuple[np.ndarray, ...] = (),
) -> Estimate:
    """What an estimator returned as an Estimate in nats; a number without a stated error gets an infinite one.

    Raises
    ------
    TypeError
        Naming the estimator, when the result is no single real number: None, text, complex, several numbers.
    """
    if isinstance(result, Estimate):
        if result.value.numel() != 1:
            raise TypeError(f"{name} must return one number; got an Estimate of shape {tuple(result.shape)}")
        return (result if result.value.ndim == 0 else result.sum()).to("nat")
    for attribute in ("result", "global_val"):  # infomeasure's estimators compute when asked
        if callable(getattr(result, attribute, None)):
            result = getattr(result, attribute)()
            break
    value, stderr = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    number = _number(value, name)
    size = math.nan if stderr is None else _number(stderr, f"the standard error of {name}")
    if size < 0:
        raise TypeError(f"the standard error of {name} must be >= 0; got {size}")
    stated = not math.isnan(size)
    estimate = Estimate(
        torch.tensor(number, dtype=torch.float64),
        stderr=size if stated else 0.0,
        error=0.0 if stated else math.inf,
        kind=kind,
        method="sample-based",
        units=units,
        streams=_streams(samples),
    )
    return estimate.to("nat")


def checked_quantity(quantity: Any) -> str:
    """The quantity's own name.

    Raises
    ------
    ValueError
        For an unknown one, with the nearest names.
    """
    name = _ALIASES.get(quantity, quantity)
    if name not in QUANTITIES:
        near = difflib.get_close_matches(str(quantity).lower(), QUANTITIES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"quantity must be one of {', '.join(QUANTITIES)}; got {quantity!r}{hint}")
    return name


def _number(value: Any, name: str) -> float:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.size != 1 or array.dtype.kind not in "fiu":
        shown = f"{type(value).__name__} of shape {array.shape}" if array.ndim else repr(value)
        raise TypeError(f"{name} must return one real number; got {shown}")
    return float(array.reshape(()))


def _streams(samples: tuple[np.ndarray, ...]) -> tuple[str, ...]:
    """The randomness in the samples; empty where they are no numbers."""
    try:
        return (stream_of_samples(*(torch.tensor(np.asarray(array, dtype=np.float64)) for array in samples)),)
    except (TypeError, ValueError):
        return ()


def _seed_of(generator: Generator) -> int:
    source = as_generator(generator)
    assert source is not None
    if isinstance(generator, torch.Generator):
        return int(torch.randint(2**31, (), generator=source))
    return source.initial_seed()


def _function_of(fn: Any) -> Callable[..., Any]:
    if isinstance(fn, type):
        raise TypeError(f"fn must be a function or an estimator, not a class: got {fn.__name__}")
    if callable(getattr(fn, "estimate", None)):
        return fn.estimate
    if not callable(fn):
        raise TypeError(f"fn must be a function of samples, or have a method estimate(x, y); got {type(fn).__name__}")
    return fn


def _name_of(fn: Any, options: Mapping[str, Any] | None = None) -> str:
    """A short readable name with the settings."""
    settings = dict(options or {})
    if isinstance(fn, FunctionEstimator):
        return fn.name
    while isinstance(fn, functools.partial):
        settings = {**fn.keywords, **settings}
        fn = fn.func
    name = getattr(fn, "__name__", None)
    if name is None:
        shown = repr(fn)
        if is_dataclass(fn) and len(shown) <= _LONGEST_NAME:
            return shown
        name = type(fn).__name__
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in settings.items())})" if settings else name
