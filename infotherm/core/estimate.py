"""Estimate: a number that says how it was obtained and how wrong it can be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, overload

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from infotherm.core.kinds import KINDS, METHODS, combined_method, negated, product_kind, sum_kind
from infotherm.core.propagation import (
    DIMENSIONLESS,
    carried_rounding,
    certified_sign,
    common_units,
    joined_stderr,
    product_units,
    shared_info,
    size_product,
    streams_of,
)
from infotherm.core.quantiles import normal_quantile, student_quantile
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, as_tensors, validating

if TYPE_CHECKING:
    import xarray

NATS_PER = {"nat": 1.0, "bit": math.log(2.0), "hartley": math.log(10.0)}
_KEPT_INFO = ("n", "converged")


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """A value with its random and its deterministic error, and the side on which the truth lies.

    Parameters
    ----------
    value
        The number, any shape (the batch). Gradients flow through it.
    stderr
        Random error, one standard deviation, broadcast to `value`.
    error
        Deterministic error bound (truncation, rounding, unconverged iterations), broadcast to `value`.
    kind
        "exact" (two-sided, deterministic), "estimate" (a valid two-sided interval), "lower" or "upper" (the truth is
        above or below, up to the errors), "unknown" (reported, but decides nothing).
    method
        How it was obtained, one of `infotherm.core.kinds.METHODS`.
    units
        "nat", "bit", "hartley", "1" (dimensionless; coordinates count as pure numbers) or any other name.
    streams
        Names of the random streams drawn from; estimates that share one add their stderr linearly.
    info
        Strings, numbers, tensors and Estimates that explain the value; `n` is the number of samples, `converged`
        False where an iteration did not converge.

    Raises
    ------
    ValueError
        For an unknown kind or method, a negative or NaN error, or an error that does not broadcast to the value.

    Examples
    --------
    >>> Estimate(0.80692, stderr=0.0012, kind="estimate", method="monte-carlo", info={"n": 10_000})
    0.8069 +- 0.0012 nat  estimate  monte-carlo(n=10000)
    >>> -Estimate(1.0, kind="lower") + 2
    1 +- 8.9e-16 nat  upper  closed-form
    """

    value: Tensor
    stderr: Tensor = field(default=0.0, kw_only=True)  # type: ignore[assignment]
    error: Tensor = field(default=0.0, kw_only=True)  # type: ignore[assignment]
    kind: str = field(default="exact", kw_only=True)
    method: str = field(default="closed-form", kw_only=True)
    units: str = field(default="nat", kw_only=True)
    streams: tuple[str, ...] = field(default=(), kw_only=True)
    info: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def __init__(
        self,
        value: Any,
        *,
        stderr: Any = 0.0,
        error: Any = 0.0,
        kind: str = "exact",
        method: str = "closed-form",
        units: str = "nat",
        streams: Iterable[str] = (),
        info: Mapping[str, Any] | None = None,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
        value = as_tensor(value, "value")
        errors = {}
        for name, given in (("stderr", stderr), ("error", error)):
            tensor = as_tensor(given, name, dtype=value.dtype, device=value.device).detach()
            if validating(tensor) and not bool((tensor >= 0).all()):
                raise ValueError(f"{name} must be >= 0; got {given}")
            try:
                errors[name] = tensor if tensor.shape == value.shape else tensor.expand(value.shape)
            except RuntimeError:
                raise ValueError(
                    f"{name} must broadcast to the value's shape {tuple(value.shape)}; got {tuple(tensor.shape)}"
                ) from None
        if not isinstance(units, str):
            raise TypeError(f"units must be a string, '1' for a pure number; got {units!r}")
        if isinstance(streams, str):
            raise TypeError(f"streams must be a sequence of names; got the string {streams!r}")
        if kind == "exact" and validating(errors["stderr"]) and bool((errors["stderr"] > 0).any()):
            raise ValueError("an exact Estimate has no random error: give kind='estimate' or stderr=0")
        error = torch.where(
            value.detach().isnan(), math.inf, errors["error"]
        )  # of what is not a number nothing is known
        self._fill(value, errors["stderr"], error, kind, method, units, tuple(streams), dict(info or {}))

    def _fill(self, *fields: Any) -> None:
        names = ("value", "stderr", "error", "kind", "method", "units", "streams", "info")
        for name, entry in zip(names, fields, strict=True):
            object.__setattr__(self, name, entry)

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> torch.Size:
        """The batch shape."""
        return self.value.shape

    @property
    def converged(self) -> bool:
        """False when an iteration behind the value did not converge (its `error` says by how much)."""
        converged = self.info.get("converged", True)
        return bool(converged.all()) if isinstance(converged, Tensor) else bool(converged)

    def lower_limit(self, alpha: float = 0.05) -> Tensor:
        """One-sided confidence limit: the truth is above it with probability at least 1 - alpha; -inf if not known."""
        _probability(alpha, "alpha")
        if self.kind in ("upper", "unknown"):
            return torch.full_like(self.value.detach(), -math.inf)
        return self.value.detach() - self._margin(alpha)

    def upper_limit(self, alpha: float = 0.05) -> Tensor:
        """One-sided confidence limit: the truth is below it with probability at least 1 - alpha; inf if not known."""
        _probability(alpha, "alpha")
        if self.kind in ("lower", "unknown"):
            return torch.full_like(self.value.detach(), math.inf)
        return self.value.detach() + self._margin(alpha)

    def interval(self, confidence: float = 0.95) -> tuple[Tensor, Tensor]:
        """The interval value -+ (z stderr + error) that holds the truth with the given confidence.

        z is the quantile of Student's t with n - 1 degrees of freedom where the number of samples `info["n"]` is known,
        else of the normal law; both rest on the central limit theorem. Two-sided for "exact" and "estimate", one-sided
        for "lower" and "upper" (the other end is infinite), the whole line for "unknown".
        """
        alpha = 1 - _probability(confidence, "confidence")
        if self.kind in ("exact", "estimate"):
            alpha = alpha / 2
        return self.lower_limit(alpha), self.upper_limit(alpha)

    def _margin(self, alpha: float) -> Tensor:
        if not validating(self.stderr) or not bool((self.stderr > 0).any()):
            return self.error + self.stderr * normal_quantile(1 - alpha)
        return size_product(student_quantile(1 - alpha, self.info.get("n")).to(self.stderr), self.stderr) + self.error

    def __float__(self) -> float:
        if self.value.numel() != 1:
            raise TypeError(f"only an Estimate of one element is a float; this one has shape {tuple(self.shape)}")
        return float(self.value.detach())

    def __len__(self) -> int:
        if self.value.ndim == 0:
            raise TypeError("a single Estimate has no length")
        return len(self.value)

    def __iter__(self) -> Iterator[Estimate]:
        return iter([self[i] for i in range(len(self))])

    def __repr__(self) -> str:
        from infotherm.core.display import describe

        return describe(self)

    # -- arithmetic ------------------------------------------------------------------------------------------------

    def __neg__(self) -> Estimate:
        return self._derived(-self.value, self.stderr, self.error, kind=negated(self.kind))

    def __add__(self, other: Any) -> Estimate:
        other = _lift(other, self)
        if other is NotImplemented:
            return NotImplemented
        value = self.value + other.value
        stderr = joined_stderr(self.stderr, other.stderr, self, other)
        error = self.error + other.error + carried_rounding(value, self.value, other.value)
        return _combined(self, other, value, stderr, error, sum_kind(self.kind, other.kind), common_units(self, other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Estimate:
        other = _lift(other, self)
        return NotImplemented if other is NotImplemented else self + (-other)

    def __rsub__(self, other: Any) -> Estimate:
        return (-self) + other

    def __mul__(self, other: Any) -> Estimate:
        if not isinstance(other, Estimate):
            return self._scaled(other)
        value = self.value * other.value
        a, b = self.value.detach().abs(), other.value.detach().abs()
        own, theirs = size_product(b + other.error, self.stderr), size_product(a + self.error, other.stderr)
        stderr = joined_stderr(own, theirs, self, other) + size_product(self.stderr, other.stderr)
        error = size_product(a, other.error) + size_product(b, self.error) + size_product(self.error, other.error)
        error = error + rounding_error([value])
        kind = product_kind(self.kind, certified_sign(self), other.kind, certified_sign(other))
        return _combined(self, other, value, stderr, error, kind, product_units(self.units, other.units))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Estimate:
        if isinstance(other, Estimate):
            return self * other._reciprocal()
        factor = _number(other, self)
        if factor is NotImplemented:
            return NotImplemented
        if validating(factor) and bool((factor == 0).any()):
            raise ValueError("an Estimate cannot be divided by zero")
        return self._scaled(1 / factor)

    def __rtruediv__(self, other: Any) -> Estimate:
        return self._reciprocal() * other

    def _scaled(self, factor: Any) -> Estimate:
        factor = _number(factor, self)
        if factor is NotImplemented:
            return NotImplemented
        value = self.value * factor
        size = factor.detach().abs()
        kind = self.kind
        if kind in ("lower", "upper"):
            if not validating(factor):
                kind = "unknown"
            elif bool((factor < 0).all()):
                kind = negated(kind)
            elif bool((factor < 0).any()):
                kind = "unknown"
        error = size_product(self.error, size) + carried_rounding(value, self.value)
        return self._derived(value, size_product(self.stderr, size), error, kind=kind)

    def _reciprocal(self) -> Estimate:
        sign = certified_sign(self)
        value = 1 / self.value
        size = self.value.detach().abs()
        room = size - self.error
        error = torch.where(room > 0, self.error / (size * room), math.inf) + rounding_error([value])
        if self.kind == "exact":
            kind = "exact"  # an interval that holds zero has an infinite error
        else:
            kind = negated(self.kind) if sign else "unknown"
        units = "1" if self.units in DIMENSIONLESS else f"1/{self.units}"
        return self._derived(value, self.stderr / size**2, error, kind=kind, units=units)

    def monotone(
        self,
        function: Callable[[Tensor], Tensor],
        derivative: Callable[[Tensor], Tensor],
        *,
        lowest: float = -math.inf,
        units: str = "1",
    ) -> Estimate:
        """An increasing function of the number: the kind is kept, the error is that of the interval's ends.

        `lowest` is the lower end of the function's domain. The random error is the slope times the standard error, or
        half of the longer way to the function at two standard errors where that is more: intervals hold where the
        function bends within them.

        Raises
        ------
        ValueError
            When the value lies below `lowest`.
        """
        if validating(self.value) and bool((self.value < lowest).any()):
            raise ValueError(f"this function needs values >= {lowest}; got {self.value.detach().min().item()}")
        value = function(self.value)
        centre = self.value.detach()
        certain = centre.isinf() & value.detach().isinf()  # an infinity that stays one

        def way(size: Tensor) -> Tensor:
            above = function(centre + size) - value.detach()
            below = value.detach() - function((centre - size).clamp(min=lowest))
            moves = (size > 0) & ~(certain & size.isfinite())
            return torch.where(moves, torch.maximum(above, below), 0.0).nan_to_num(nan=math.inf, posinf=math.inf)

        error = way(self.error) + carried_rounding(value, self.value)
        slope = size_product(derivative(centre).abs(), self.stderr)
        stderr = torch.maximum(0.5 * way(2 * self.stderr), torch.where(slope.isfinite(), slope, 0.0))
        return self._derived(value, stderr, error, units=units)

    def exp(self) -> Estimate:
        """e to the number (dimensionless)."""
        if self.units not in DIMENSIONLESS:
            raise ValueError(f"exp needs a number in nats or dimensionless; got units {self.units!r}: use .to('nat')")
        return self.monotone(torch.exp, torch.exp)

    def log(self) -> Estimate:
        """The natural logarithm of a positive number, in nats."""
        if validating(self.value) and bool((self.value <= 0).any()):
            raise ValueError(f"log needs positive values; got {self.value.detach().min().item()}")
        return self.monotone(torch.log, torch.reciprocal, lowest=0.0, units="nat")

    def sqrt(self) -> Estimate:
        """The square root of a number that cannot be negative."""
        return self.monotone(torch.sqrt, lambda x: 0.5 / x.sqrt(), lowest=0.0)

    def square(self) -> Estimate:
        """The square of a number that cannot be negative, such as a distance (the kind is kept)."""
        return self.monotone(torch.square, lambda x: 2 * x, lowest=0.0)

    def sum(self, dim: int | tuple[int, ...] | None = None) -> Estimate:
        """The sum over batch dimensions; random errors add linearly: nothing says that elements are independent."""
        dims = tuple(range(self.value.ndim)) if dim is None else dim
        total = self.value.sum(dims)
        error = self.error.sum(dims) + carried_rounding(total, self.value.abs().sum(dims))
        return self._derived(total, self.stderr.sum(dims), error)

    # -- units and containers ---------------------------------------------------------------------------------------

    def to(self, target: Any) -> Estimate:
        """In other units ("nat", "bit", "hartley"), or on another device or in another dtype as for tensors."""
        if isinstance(target, str) and target in NATS_PER:
            if self.units not in NATS_PER:
                raise ValueError(
                    f"only {', '.join(NATS_PER)} convert to {target!r}; this Estimate has units {self.units!r}"
                )
            factor = NATS_PER[self.units] / NATS_PER[target]
            scaled = self if factor == 1 else self._scaled(factor)
            return scaled._derived(scaled.value, scaled.stderr, scaled.error, units=target, info=self.info)
        try:
            value, stderr, error = (t.to(target) for t in (self.value, self.stderr, self.error))
        except RuntimeError:
            raise ValueError(f"target must be {', '.join(NATS_PER)}, a device or a dtype; got {target!r}") from None
        if not value.is_floating_point():
            raise TypeError(f"an Estimate has a floating dtype; got {value.dtype}")
        if torch.finfo(value.dtype).eps > torch.finfo(self.value.dtype).eps:
            error = error * (1 + torch.finfo(value.dtype).eps) + carried_rounding(value, self.value.to(value.device))
            stderr = stderr * (1 + torch.finfo(value.dtype).eps)
        return self._derived(value, stderr, error, info=self.info)

    def detach(self) -> Estimate:
        """The same number without its gradient."""
        return self._derived(self.value.detach(), self.stderr, self.error, info=self.info)

    def __getitem__(self, index: Any) -> Estimate:
        return self._derived(self.value[index], self.stderr[index], self.error[index])

    def to_xarray(self, name: str = "value", *, dims: tuple[str, ...] | None = None) -> xarray.Dataset:
        """A Dataset with the value, `stderr` and `error`, and attributes that say what they are."""
        import xarray

        from infotherm._version import __version__

        if name in ("stderr", "error"):
            raise ValueError(f"name must differ from that of the errors beside the value; got {name!r}")
        dims = dims or tuple(f"batch_{i}" for i in range(self.value.ndim))
        if len(dims) != self.value.ndim:
            raise ValueError(f"dims must name the {self.value.ndim} batch dimensions; got {dims}")
        columns = {
            name: (self.value, f"{name}, {self.kind} by {self.method}"),
            "stderr": (self.stderr, "standard error"),
            "error": (self.error, "deterministic error bound"),
        }
        variables = {
            key: (dims, tensor.detach().cpu().numpy(), {"units": self.units, "long_name": text})
            for key, (tensor, text) in columns.items()
        }
        attrs: dict[str, Any] = {
            "kind": self.kind,
            "method": self.method,
            "units": self.units,
            "infotherm_version": __version__,
        }
        for key, entry in self.info.items():
            if isinstance(entry, str | int | float | np.number | np.bool_):
                attrs[key] = int(entry) if isinstance(entry, bool | np.bool_) else entry  # files have no booleans
        attrs["converged"] = int(self.converged)
        return xarray.Dataset(variables, attrs=attrs)

    def _derived(self, value: Tensor, stderr: Tensor, error: Tensor, **changes: Any) -> Estimate:
        new = object.__new__(Estimate)
        info = changes.pop("info", None)
        if info is None:
            info = {key: self.info[key] for key in _KEPT_INFO if key in self.info}
        fields = {"kind": self.kind, "method": self.method, "units": self.units, "streams": self.streams} | changes
        stderr, error = (t.expand(value.shape) if t.shape != value.shape else t for t in (stderr, error))
        error = torch.where(value.detach().isnan() | error.isnan(), math.inf, error)
        new._fill(value, stderr, error, fields["kind"], fields["method"], fields["units"], fields["streams"], info)
        return new

    # -- what an Estimate refuses ------------------------------------------------------------------------------------

    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # numpy on the left hands the operation over

    def __bool__(self) -> NoReturn:
        raise TypeError("an Estimate is neither true nor false: compare .value, or decide(lhs, rhs) for a verdict")

    def _refuse_comparison(self, other: Any) -> NoReturn:
        raise TypeError("Estimates are not compared with operators: use decide(lhs, rhs) for a verdict, or .value")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse_comparison  # type: ignore[assignment]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        operation = _TORCH_OPERATIONS.get(getattr(func, "__name__", ""))
        if operation is None or kwargs:
            return NotImplemented
        return operation(*args)


def exact(
    value: Any,
    terms: Iterable[Tensor] = (),
    sensitivities: Iterable[tuple[Tensor, Tensor]] = (),
    *,
    error: Any = None,
    method: str = "closed-form",
    units: str = "nat",
    **info: Any,
) -> Estimate:
    """An exact Estimate whose error is the rounding of its `terms` and of its parameters, unless `error` is given.

    Examples
    --------
    >>> one = torch.tensor(1.0, dtype=torch.float64)
    >>> exact(one, terms=[one]).error.item() < 1e-14
    True
    """
    value = as_tensor(value, "value")
    if error is None:
        error = rounding_error([value, *terms], sensitivities)
    return Estimate(value, error=error, kind="exact", method=method, units=units, info=info)


def stack(estimates: Iterable[Estimate], dim: int = 0) -> Estimate:
    """Estimates of one shape as a batch.

    The kind is "unknown" unless it is the same for all, or they are exact and sampled; the number of samples is the
    smallest one, and the batch has converged when all have.

    Raises
    ------
    ValueError
        For none at all, or different units.
    """
    members = list(estimates)
    if not members:
        raise ValueError("stack needs at least one Estimate; got none")
    units = {e.units for e in members}
    if len(units) > 1:
        raise ValueError(f"units must agree in a stack; got {', '.join(sorted(units))}: convert with .to(...)")
    kinds = {e.kind for e in members}
    kind = kinds.pop() if len(kinds) == 1 else ("estimate" if kinds <= {"exact", "estimate"} else "unknown")
    method = members[0].method
    for member in members[1:]:
        method = combined_method(method, member.method)
    streams = tuple(dict.fromkeys(s for e in members for s in streams_of(e)))
    info = shared_info(members)
    value, stderr, error = (torch.stack([getattr(e, a) for e in members], dim) for a in ("value", "stderr", "error"))
    return members[0]._derived(value, stderr, error, kind=kind, method=method, streams=streams, info=info)


def _probability(p: float, name: str) -> float:
    if not 0 < p < 1:
        raise ValueError(f"{name} must lie in (0, 1); got {p}")
    return p


@overload
def _lift(other: Estimate, like: Estimate) -> Estimate: ...
@overload
def _lift(other: Any, like: Estimate) -> Any: ...
def _lift(other: Any, like: Estimate) -> Any:
    """`other` as an Estimate; a plain number is exact up to its own representation."""
    if isinstance(other, Estimate):
        return other
    number = _number(other, like)
    if number is NotImplemented:
        return NotImplemented
    return like._derived(
        number,
        torch.zeros_like(number.detach()),
        torch.zeros_like(number.detach()),
        kind="exact",
        method="closed-form",
        streams=(),
        info={},
    )


def _number(x: Any, like: Estimate) -> Any:
    """A plain number or array as a tensor beside `like`, or NotImplemented."""
    try:
        return as_tensors(number=x, value=like.value)[0]
    except TypeError:
        return NotImplemented


def _combined(
    first: Estimate, second: Estimate, value: Tensor, stderr: Tensor, error: Tensor, kind: str, units: str
) -> Estimate:
    info = shared_info((first, second))
    method = combined_method(first.method, second.method)
    streams = tuple(dict.fromkeys(streams_of(first) + streams_of(second)))
    return first._derived(value, stderr, error, kind=kind, method=method, units=units, streams=streams, info=info)


_TORCH_OPERATIONS: dict[str, Callable[..., Estimate]] = {
    "add": lambda a, b: b + a if not isinstance(a, Estimate) else a + b,
    "sub": lambda a, b: a - b if isinstance(a, Estimate) else b.__rsub__(a),
    "rsub": lambda a, b: b - a if isinstance(b, Estimate) else a.__rsub__(b),
    "mul": lambda a, b: b * a if not isinstance(a, Estimate) else a * b,
    "div": lambda a, b: a / b if isinstance(a, Estimate) else b.__rtruediv__(a),
    "true_divide": lambda a, b: a / b if isinstance(a, Estimate) else b.__rtruediv__(a),
    "__rsub__": lambda a, b: b - a,
    "__rdiv__": lambda a, b: b / a,
    "exp": lambda a: a.exp(),
    "log": lambda a: a.log(),
}


def _flatten(e: Estimate) -> tuple[list[Any], Any]:
    texts = tuple((key, entry) for key, entry in e.info.items() if isinstance(entry, str))
    leaves = {key: entry for key, entry in e.info.items() if not isinstance(entry, str)}
    context = (e.kind, e.method, e.units, e.streams, texts, tuple(leaves))
    return [e.value, e.stderr, e.error, *leaves.values()], context


def _unflatten(children: Iterable[Any], context: Any) -> Estimate:
    value, stderr, error, *leaves = children
    kind, method, units, streams, texts, keys = context
    new = object.__new__(Estimate)
    info = dict(texts) | dict(zip(keys, leaves, strict=True))
    new._fill(value, stderr, error, kind, method, units, streams, info)
    return new


pytree.register_pytree_node(Estimate, _flatten, _unflatten, serialized_type_name="infotherm.Estimate")
