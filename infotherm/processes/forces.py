"""Forces and potentials as functions of states and a control: what Langevin processes share, whatever their inertia."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor

from infotherm.channels.base import Channel
from infotherm.core.tensors import as_tensor, require_finite, validating
from infotherm.processes.base import DiffusionProcess
from infotherm.processes.protocol import Protocol
from infotherm.processes.time_functions import function_of_time


class ForcedProcess(DiffusionProcess):
    """A diffusion whose drift is made by a force F = -grad potential + force.

    Functions take positions (..., D), or positions and a control c: the protocol's value at the time, the time itself
    where there is no protocol. They always see one control; states at many times are handed over time by time. The
    methods that end in `_at` take the control instead of the time, and look at nothing: integrators call them.
    """

    def __init__(self, force: Any, potential: Any, protocol: Any, horizon: float | None) -> None:
        if force is None and potential is None:
            raise ValueError(f"{type(self).__name__} needs a force, a potential or both; got neither")
        if potential is not None and not callable(potential):
            raise TypeError(f"potential must be a function of the states; got {type(potential).__name__}")
        self._force = None if force is None else Field(force, "force")
        self._potential = None if potential is None else Field(potential, "potential")
        self.protocol = protocol
        self._protocol = _function(protocol)
        self._constant_control = protocol is not None and not callable(protocol)
        own = getattr(protocol, "horizon", None)
        if isinstance(protocol, Protocol):
            self.start = protocol.start
            if horizon is not None:
                protocol.require_duration(horizon - protocol.start, protocol.start)
        self.horizon = own if horizon is None else float(horizon)
        if self.horizon is not None and not self.horizon > 0:
            raise ValueError(f"horizon must be > 0; got {self.horizon}")

    # -- states and controls -----------------------------------------------------------------------------------------

    def _positions(self, x: Tensor) -> Tensor:
        """The positions among the coordinates of a state, which forces act on."""
        return x

    def _states(self, x: Any) -> Tensor:
        x = as_tensor(x, "x")
        if x.ndim == 0 or (self.dim is not None and x.shape[-1] != self.dim):
            raise ValueError(f"x must have shape (..., {self.dim or 'D'}); got {tuple(x.shape)}")
        return x

    def control(self, t: Any) -> Tensor:
        """The protocol's value at times t, shape (...) or (..., C); the time itself without a protocol.

        At a jump the value after it.
        """
        (t,) = self._times(t=t)
        if self._protocol is None:
            return t
        return require_finite(self._protocol(t), "protocol")

    @property
    def control_free(self) -> bool:
        """Whether neither force nor potential takes a control, or the control is a constant."""
        functions = [f for f in (self._force, self._potential) if f is not None]
        return self._constant_control or all(f.arguments == 1 for f in functions)

    def _time_by_time(self, function: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Any, free: bool) -> Tensor:
        """function(x, control(t)) for states (..., D) and times (...) of any shapes that broadcast."""
        (t,) = self._times(t=t)
        if t.ndim == 0:
            return function(x, self.control(t).to(x))
        batch = torch.broadcast_shapes(x.shape[:-1], t.shape)
        if free or not t.numel():
            first = self.control(0.0 if self.start is None else self.start).to(x)
            values = function(x, first)
            event = values.shape[x.ndim - 1 :]
            return values.reshape(*[1] * (len(batch) - x.ndim + 1), *values.shape).expand(*batch, *event)
        states = x.expand(*batch, x.shape[-1]).reshape(-1, x.shape[-1])
        moments, which = t.expand(batch).reshape(-1).unique(return_inverse=True)
        order = [torch.nonzero(which == k)[:, 0] for k in range(len(moments))]
        parts = [function(states[o], self.control(s).to(x)) for o, s in zip(order, moments, strict=True)]
        values = torch.cat(parts)[torch.cat(order).argsort()] if parts else function(states, self.control(t).to(x))
        return values.reshape(*batch, *values.shape[1:])

    # -- forces ------------------------------------------------------------------------------------------------------

    def total_force(self, x: Any, t: Any) -> Tensor:
        """F = -grad potential + force at the states x, shape (..., D), in their dtype."""
        force = self._time_by_time(self.total_force_at, self._positions(self._states(x)), t, self.control_free)
        return require_finite(force, "the force")

    def total_force_at(self, x: Tensor, control: Tensor) -> Tensor:
        """F at positions x and a value of the control."""
        total = None
        if self._potential is not None:
            total = self._descent(x, control)
        if self._force is not None:
            own = self.nonconservative_force_at(x, control)
            total = own if total is None else total + own
        assert total is not None
        return total

    def nonconservative_force_at(self, x: Tensor, control: Tensor) -> Tensor:
        """The part of F given as `force`, zero where there is none, shape (..., D), at positions x."""
        if self._force is None:
            return torch.zeros_like(x)
        values = self._force(x, control)
        try:
            return values.to(x).expand(x.shape)
        except RuntimeError:
            raise ValueError(
                f"force must give shape {tuple(x.shape)} at such positions; got {tuple(values.shape)}"
            ) from None

    @property
    def has_nonconservative_force(self) -> bool:
        """Whether a `force` was given beside or instead of a potential."""
        return self._force is not None

    def _descent(self, x: Tensor, control: Tensor) -> Tensor:
        """-grad potential, each state by itself."""
        if torch.compiler.is_compiling():
            return -torch.func.grad(lambda y: self.potential_at(y, control).sum())(x)
        wanted = torch.is_grad_enabled() and x.requires_grad
        with torch.enable_grad():
            point = x if wanted else x.detach().requires_grad_(True)
            energy = self.potential_at(point, control)
            if not energy.requires_grad:
                self._require_constant(x, control)
                return torch.zeros_like(x)
            (slope,) = torch.autograd.grad(energy.sum(), point, create_graph=wanted, allow_unused=True)
        if slope is None:
            slope = torch.zeros_like(x)
        return -slope if wanted else -slope.detach()

    def _require_constant(self, x: Tensor, control: Tensor) -> None:
        """A potential through which no gradient passes must not depend on the state."""
        assert self._potential is not None
        moved = self._potential(x.detach() + 0.1 + 0.01 * x.detach().abs(), control)
        if not torch.equal(moved, self._potential(x.detach(), control)):
            raise TypeError(
                "potential must be written with torch operations: no gradient passes through it, although its value "
                "changes with the state (numpy functions and detached tensors have none)"
            )

    # -- energies ----------------------------------------------------------------------------------------------------

    def has_energy(self, dim: int | None = None) -> bool:
        return self._potential is not None

    def energy(self, x: Any, t: Any) -> Tensor:
        """The energy of the states x at times t, shape (...).

        Raises
        ------
        ValueError
            When there is no potential, or it is not finite.
        """
        if not self.has_energy():
            return super().energy(x, t)
        return require_finite(self._time_by_time(self.energy_at, self._states(x), t, self.control_free), "the energy")

    def energy_at(self, x: Tensor, control: Tensor) -> Tensor:
        """The energy of the states x at a value of the control, shape (...)."""
        return self.potential_at(x, control)

    def potential_at(self, x: Tensor, control: Tensor) -> Tensor:
        """The potential at positions x and a value of the control, shape (...); zero where there is none.

        Raises
        ------
        ValueError
            When it gives anything but one number for each state.
        """
        if self._potential is None:
            return x.new_zeros(x.shape[:-1])
        values = self._potential(x, control)
        if values.shape == x.shape[:-1]:
            return values
        if values.ndim == 0:
            return values.expand(x.shape[:-1])
        raise ValueError(
            f"potential must give one number for each state, shape {tuple(x.shape[:-1])}; got {tuple(values.shape)}: "
            f"sum over the last axis"
        )

    def check_states(self, x: Any, t: Any) -> None:
        """Refuse a potential or force that is not finite at these states and a time.

        Raises
        ------
        ValueError
            Naming the function, the state and the time.
        """
        x = self._positions(self._states(x))
        if not validating(x):
            return
        control = self.control(t).to(x)
        named = {"force": self.total_force_at(x, control)}
        if self._potential is not None:
            named = {"potential": self.potential_at(x, control)[..., None], **named}
        for name, values in named.items():
            bad = ~torch.isfinite(values).all(-1)
            if bool(bad.any()):
                where = tuple(torch.nonzero(bad)[0].tolist())
                raise ValueError(
                    f"{name} must be finite; got {values[where].tolist()} at the state {x[where].tolist()} and time "
                    f"{float(torch.as_tensor(t)):.6g}"
                )

    # -- what has no closed form -------------------------------------------------------------------------------------

    def transition(self, t0: Any, t1: Any) -> Channel:
        """Refuses: the transition has no closed form.

        Raises
        ------
        NotImplementedError
            Always, naming the ways to a law or to paths.
        """
        self._no_closed_form("transition")

    def _no_closed_form(self, what: str) -> NoReturn:
        raise NotImplementedError(
            f"{type(self).__name__} has no closed-form {what}: simulate paths (thermodynamics.simulate), solve the "
            f"Fokker-Planck equation on a grid (processes.fokker_planck), or state an affine drift as "
            f"OrnsteinUhlenbeck or AffineDiffusion"
        )


class Field:
    """A function of positions, or of positions and a control, as one of both; a constant as a function of neither."""

    def __init__(self, function: Any, name: str) -> None:
        self.name = name
        self.constant: Tensor | None = None
        if callable(function):
            self.function: Callable[..., Any] = function
            self.arguments = arguments(function, name)
            return
        constant = require_finite(as_tensor(function, name), name)
        if constant.ndim > 1 or not constant.numel():
            raise ValueError(f"{name} must be a function, a number or a vector (D,); got shape {tuple(constant.shape)}")
        self.constant = constant
        self.function, self.arguments = constant.to, 1

    def __call__(self, x: Tensor, control: Tensor) -> Tensor:
        try:
            values = self.function(x) if self.arguments == 1 else self.function(x, control)
        except (RuntimeError, TypeError) as reason:
            if "numpy" not in str(reason):
                raise
            raise TypeError(f"{self.name} must be written with torch operations, not numpy: {reason}") from reason
        return values if isinstance(values, Tensor) else as_tensor(values, self.name).to(x)


def arguments(function: Callable[..., Any], name: str) -> int:
    """How many positional arguments a function needs, 1 or 2.

    Raises
    ------
    TypeError
        When it needs another number.
    """
    if isinstance(function, torch.nn.Module):
        function = function.forward  # a module's own signature takes anything
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1  # a builtin that does not tell
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(p.default is p.empty for p in positional)
    open_ended = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if needed > 2 or not (positional or open_ended):
        raise TypeError(f"{name} must be a function of (x) or (x, control); got one that needs {needed} arguments")
    return 2 if needed == 0 and open_ended else max(needed, 1)


def positive(value: Any, name: str, *, finite: bool = True, scalar: bool = False) -> Tensor:
    """A positive number, or one for each coordinate (D,), in float64.

    Raises
    ------
    ValueError
        When it is not.
    """
    tensor = as_tensor(value, name).to(torch.float64)
    if finite:
        require_finite(tensor, name)
    if tensor.ndim > (0 if scalar else 1):
        wanted = "one number" if scalar else "a number, or one for each coordinate (D,)"
        raise ValueError(f"{name} must be {wanted}; got shape {tuple(tensor.shape)}")
    if not bool((tensor > 0).all()) or not tensor.numel():
        raise ValueError(f"{name} must be > 0; got {tensor.tolist()}")
    return tensor


def agreed_size(sizes: dict[str, int]) -> int | None:
    """The one number of coordinates that the arguments name, None when none does.

    Raises
    ------
    ValueError
        When they differ.
    """
    if len(set(sizes.values())) > 1:
        raise ValueError(f"the arguments must agree on D; got {', '.join(f'{k}: {v}' for k, v in sizes.items())}")
    return next(iter(sizes.values()), None)


def sizes_of(dim: int | None, **named: Tensor | None) -> dict[str, int]:
    """The numbers of coordinates that `dim` and vectors among the arguments name.

    Raises
    ------
    ValueError
        When dim is not a positive integer.
    """
    if dim is not None and (isinstance(dim, bool) or not isinstance(dim, int) or dim < 1):
        raise ValueError(f"dim must be a positive integer; got {dim!r}")
    sizes = {} if dim is None else {"dim": dim}
    return sizes | {name: value.shape[0] for name, value in named.items() if value is not None and value.ndim}


def _function(protocol: Any) -> Callable[[Tensor], Tensor] | None:
    """The protocol as a function of times of any shape."""
    if protocol is None or isinstance(protocol, Protocol):
        return protocol
    if callable(protocol):
        first = as_tensor(protocol(torch.zeros((), dtype=torch.float64)), "protocol")
        if first.ndim > 1:
            raise ValueError(
                f"protocol must give a number or a vector (C,) at one time; got shape {tuple(first.shape)}"
            )
        return function_of_time(protocol, first.ndim, "protocol")
    constant = require_finite(as_tensor(protocol, "protocol"), "protocol")
    if constant.ndim > 1:
        raise ValueError(f"protocol must be a number or a vector (C,); got shape {tuple(constant.shape)}")
    return lambda t: constant.to(t).expand((*t.shape, *constant.shape))
