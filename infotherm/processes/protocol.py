"""Protocols: controls as functions of time, piecewise linear or smooth, with declared jumps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import as_tensor, require_finite, validating

Drive = Callable[[Tensor], Any]


class Protocol:
    """A control as a function of time: straight lines through points, with a jump where a time is repeated.

    At a jump a call gives the value after it, as `after` does; `before` gives the one before it. A time repeated at
    the beginning (or end) is a jump at the beginning (or end): work done by it counts.

    Parameters
    ----------
    times
        Shape (n,), n >= 2, in increasing order, a time at most twice.
    values
        Shape (n,), or (n, C) for C controls.

    Attributes
    ----------
    times, values
        As given, in float64.
    jumps
        The times at which the value jumps, shape (J,).
    start, horizon
        The first and the last time: the protocol is not defined outside.

    Raises
    ------
    ValueError
        For times that are not sorted, a time given more than twice, shapes that do not agree, or numbers that are not
        finite.

    Examples
    --------
    A trap that jumps to 1, moves to 2 and jumps to 3:

    >>> trap = Protocol([0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 2.0, 3.0])
    >>> trap.before(0.0), trap(0.0), trap(0.5), trap.before(1.0), trap(1.0)
    (tensor(0., dtype=torch.float64), tensor(1., dtype=torch.float64), tensor(1.5000, dtype=torch.float64), \
tensor(2., dtype=torch.float64), tensor(3., dtype=torch.float64))
    >>> trap.jumps, trap.derivative(0.5)
    (tensor([0., 1.], dtype=torch.float64), tensor(1., dtype=torch.float64))
    """

    def __init__(self, times: Any, values: Any) -> None:
        times = require_finite(as_tensor(times, "times").to(torch.float64), "times")
        values = require_finite(as_tensor(values, "values").to(torch.float64), "values")
        if times.ndim != 1 or len(times) < 2:
            raise ValueError(f"times must have shape (n,) with n >= 2; got {tuple(times.shape)}")
        if values.ndim not in (1, 2) or values.shape[0] != len(times):
            raise ValueError(f"values must have shape ({len(times)},) or ({len(times)}, C); got {tuple(values.shape)}")
        steps = times.detach().diff()
        if bool((steps < 0).any()):
            where = int((steps < 0).nonzero()[0])
            raise ValueError(
                f"times must be sorted; got {times[where].item()} before {times[where + 1].item()} at index {where + 1}"
            )
        thrice = (steps[1:] == 0) & (steps[:-1] == 0)
        if bool(thrice.any()):
            raise ValueError(
                f"a time may be given twice (a jump), not more often; got {times[:-2][thrice][0].item()} three times"
            )
        if times[0] == times[-1]:
            raise ValueError(f"times must not all be the same; got {times.tolist()}")
        self.times, self.values = times, values
        self.start, self.horizon = float(times[0]), float(times[-1])
        moved = (values.detach().diff(dim=0).reshape(len(steps), -1) != 0).any(-1)
        self.jumps = times.detach()[:-1][(steps == 0) & moved]

    @classmethod
    def from_function(cls, function: Drive, duration: float, jumps: Iterable[float] = ()) -> Protocol:
        """A control that is a given function of time on [0, duration], smooth but for the jumps that are declared.

        Parameters
        ----------
        function
            A function of a time, or of times of any shape (...), with values (...) or (..., C). At a declared jump it
            is asked just before and just after; for a jump at 0 or `duration` it must say its value outside.
        duration
            The last time, > 0.
        jumps
            Times at which the function jumps, in [0, duration].

        Raises
        ------
        ValueError
            For a duration that is not positive, or a jump outside of it.

        Examples
        --------
        >>> Protocol.from_function(lambda t: torch.sin(t), duration=2.0).derivative(0.0)
        tensor(1., dtype=torch.float64)
        """
        return _FunctionProtocol(function, duration, jumps)

    def __call__(self, t: Any) -> Tensor:
        """The value at times t, shape (...) or (..., C); at a jump the one after it."""
        return self.after(t)

    def after(self, t: Any) -> Tensor:
        """The value just after the times t (at the end that after its jump), shape (...) or (..., C)."""
        t = self._checked(t)
        times = self.times.to(t.device)
        left = torch.searchsorted(times.detach(), t.detach().contiguous(), right=True) - 1
        return self._between(t, left, (left + 1).clamp(max=len(times) - 1))

    def before(self, t: Any) -> Tensor:
        """The value just before the times t (at the start that before its jump), shape (...) or (..., C)."""
        t = self._checked(t)
        right = torch.searchsorted(self.times.to(t.device).detach(), t.detach().contiguous())
        return self._between(t, (right - 1).clamp(min=0), right)

    def _between(self, t: Tensor, left: Tensor, right: Tensor) -> Tensor:
        times, values = self.times.to(t.device), self.values.to(t.device)
        width = times[right] - times[left]
        fraction = torch.where(width > 0, (t - times[left]) / torch.where(width > 0, width, 1.0), 0.0)
        fraction = fraction[(..., *[None] * (values.ndim - 1))]
        return torch.lerp(values[left], values[right], fraction)

    def derivative(self, t: Any) -> Tensor:
        """The slope at times t, without the jumps, shape (...) or (..., C); at a corner that of the piece after it.

        At the end that of the piece before it.
        """
        t = self._checked(t)
        times, values = self.times.to(t.device), self.values.to(t.device)
        last = int((times < times[-1]).sum()) - 1  # the beginning of the last piece
        left = (torch.searchsorted(times.detach(), t.detach().contiguous(), right=True) - 1).clamp(max=last)
        width = (times[left + 1] - times[left])[(..., *[None] * (values.ndim - 1))]
        return (values[left + 1] - values[left]) / width

    def require_duration(self, duration: float, start: float = 0.0) -> None:
        """Refuse a duration that the protocol does not cover.

        Raises
        ------
        ValueError
            When the protocol begins after `start`, or ends before `start + duration`.
        """
        if start < self.start:
            raise ValueError(f"the protocol begins at time {self.start}, after the start {start}")
        if start + duration > self.horizon * (1 + 1e-15):
            raise ValueError(
                f"the protocol is shorter than the duration: it ends at time {self.horizon}, and a duration of "
                f"{duration} from time {start} ends at {start + duration}"
            )

    def _checked(self, t: Any) -> Tensor:
        t = as_tensor(t, "t").to(torch.float64)
        if validating(t):
            require_finite(t, "t")
            if bool(((t < self.start) | (t > self.horizon * (1 + 1e-15))).any()):
                outside = t[(t < self.start) | (t > self.horizon * (1 + 1e-15))][0].item()
                raise ValueError(f"t must be in [{self.start}, {self.horizon}], the protocol's times; got {outside}")
        return t.clamp(self.start, self.horizon)

    def __repr__(self) -> str:
        return f"Protocol(from {self.start:g} to {self.horizon:g}, {len(self.jumps)} jumps)"


class _FunctionProtocol(Protocol):
    """A function of time with declared jumps."""

    def __init__(self, function: Drive, duration: float, jumps: Iterable[float]) -> None:
        if not callable(function):
            raise TypeError(f"function must be callable; got {type(function).__name__}")
        duration = float(duration)
        if not (math.isfinite(duration) and duration > 0):
            raise ValueError(f"duration must be a finite number > 0; got {duration}")
        declared = as_tensor(list(jumps), "jumps").to(torch.float64)
        require_finite(declared, "jumps")
        outside = declared[(declared < 0) | (declared > duration)]
        if len(outside):
            raise ValueError(f"jumps must be in [0, {duration}]; got {outside[0].item()}")
        self.function = function
        self.start, self.horizon = 0.0, duration
        self.jumps = declared.unique()

    def after(self, t: Any) -> Tensor:
        return self._asked(self._beside(self._checked(t), math.inf))

    def before(self, t: Any) -> Tensor:
        return self._asked(self._beside(self._checked(t), -math.inf))

    def derivative(self, t: Any) -> Tensor:
        """The derivative at times t, by automatic differentiation; at a jump that after it.

        Raises
        ------
        TypeError
            When the function is not written with torch operations.
        """
        t = self._beside(self._checked(t), math.inf)
        value = self.function(t.detach())
        if not isinstance(value, Tensor):
            raise TypeError(
                f"the protocol's function must give a tensor, by torch operations, to be differentiated; got "
                f"{type(value).__name__}"
            )
        with torch.enable_grad():
            point = t.detach().requires_grad_()
            value = self._asked(point)
            if not value.requires_grad:
                return torch.zeros_like(value)
            columns = value.reshape(t.numel(), -1).sum(0)  # each time by itself: a sum over times keeps them apart
            slopes = [torch.autograd.grad(c, point, retain_graph=True)[0] for c in columns]
        return torch.stack(slopes, -1).reshape(value.shape)

    def _beside(self, t: Tensor, side: float) -> Tensor:
        """The times, those of jumps moved to the next number on that side."""
        at = (t[..., None] == self.jumps.to(t.device)).any(-1)
        return torch.where(at, torch.nextafter(t.detach(), torch.full_like(t, side)), t)

    def _asked(self, t: Tensor) -> Tensor:
        value = require_finite(as_tensor(self.function(t), "protocol"), "protocol").to(torch.float64)
        if value.shape[: t.ndim] == t.shape:
            return value
        if value.ndim > 1:
            raise ValueError(
                f"the protocol's function must give shape {tuple(t.shape)} or {(*t.shape, 'C')} at such times; got "
                f"{tuple(value.shape)}"
            )
        return value.expand(*t.shape, *value.shape)


def discontinuity(drive: Drive, t0: float, t1: float, n: int = 256) -> float | None:
    """The time of a jump of a function of time in (t0, t1) that is not declared, None when none is found.

    The function is looked at in n + 1 times; where it bends most, cells are bisected down to the spacing of numbers.
    What stays apart there has jumped; whatever has a slope (however steep, up to 1e9 per duration), a corner or a root
    has not. Jumps that cancel within (t1 - t0) / n are not seen, nor is a jump smaller than about 1e-3 of what the
    function changes within such a cell.

    Parameters
    ----------
    drive
        A function of one time, with a number or a vector as its value; the declared `jumps` of a `Protocol` are left
        out.
    t0, t1
        The range, t0 < t1.
    n
        The number of cells, at least 8.

    Examples
    --------
    >>> round(discontinuity(lambda t: 1.0 if t < 0.3 else 2.0, 0.0, 1.0), 9)
    0.3
    >>> discontinuity(torch.sin, 0.0, 1.0) is None
    True
    """
    if isinstance(drive, Protocol) and not isinstance(drive, _FunctionProtocol):
        return None  # straight lines, and every jump declared
    t0, t1 = float(t0), float(t1)
    declared = drive.jumps if isinstance(drive, Protocol) else torch.empty(0, dtype=torch.float64)
    inside = declared[(declared > t0) & (declared < t1)]
    ends = torch.cat([torch.linspace(t0, t1, max(n, 8) + 1, dtype=torch.float64), inside.cpu()]).unique()
    left, right = ends[:-1], ends[1:]
    after, before = (drive.after, drive.before) if isinstance(drive, Protocol) else (drive, drive)
    low, high = _looked_at(after, left), _looked_at(before, right)
    changes = high - low
    around = torch.nn.functional.pad(changes.T[None], (2, 2), mode="reflect")[0].T
    beside = torch.stack([around[:-4], around[1:-3], around[3:-1], around[4:]])
    trend = beside.median(0).values  # what the cells around change: a jump among them does not count
    bend = (changes - trend).abs().amax(-1)
    cells = bend.argsort(descending=True)[:8]
    left, right, low, high = left[cells], right[cells], low[cells], high[cells]
    trend = trend[cells]
    scale = torch.maximum(low.abs(), high.abs()).amax(-1)
    first = (high - low).abs().amax(-1)
    for _ in range(45):
        middle = 0.5 * (left + right)
        value = _looked_at(drive, middle)
        trend = 0.5 * trend
        takes_left = (value - low - trend).abs().amax(-1) >= (high - value - trend).abs().amax(-1)
        right, left = torch.where(takes_left, middle, right), torch.where(takes_left, left, middle)
        high, low = (
            torch.where(takes_left[:, None], value, high),
            torch.where(takes_left[:, None], low, value),
        )
    apart = (high - low).abs().amax(-1)
    jumped = (apart > 1e-3 * first) & (apart > 64 * torch.finfo(torch.float64).eps * scale)
    return float(right[jumped].min()) if bool(jumped.any()) else None


def _looked_at(drive: Drive, times: Tensor) -> Tensor:
    """The values at times (n,), one by one, since the function may know one time only, shape (n, C)."""
    values = [as_tensor(drive(t), "protocol").detach().to("cpu", torch.float64).flatten() for t in times]
    return require_finite(torch.stack(values), "protocol")
