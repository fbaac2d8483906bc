"""Overdamped Langevin dynamics: forces and potentials as functions, protocols, several baths, rings, multiplicative noise."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor

from infotherm.channels.base import Channel
from infotherm.core.tensors import as_tensor, require_finite, validating
from infotherm.processes.base import DiffusionProcess

Field = Callable[..., Any]


class Langevin(DiffusionProcess):
    """dX = mu F dt + sigma dB with F = -grad potential + force, read as Ito; D = sigma sigma^T / 2 = mu T.

    `force`, `potential` and a multiplicative `sigma` are functions of the states x (..., D), or of x and a control c:
    the protocol's value at the time, and the time itself where there is no protocol.

    Parameters
    ----------
    force
        The part of the force that is no gradient (or all of it), with values (..., D); a number or a vector is a
        constant force.
    potential
        The energy, with values (...). Its gradient is taken by automatic differentiation, so that it must be written
        with torch operations, each state by itself.
    sigma
        A number, one for each coordinate (D,), a matrix (D, M), a function of time that gives one of these, or a
        function of (x, c) that gives (..., D) or (..., D, M): multiplicative noise. Must be > 0. Where it is left out,
        sigma = sqrt(2 mu T).
    protocol
        The control c as a function of time: a `Protocol`, any callable, or a number.
    periodic
        The period of every coordinate (a ring, a torus), or one for each (D,), infinite where there is none. States are
        not wrapped: a path keeps the number of its turns.
    mobility, temperature
        mu, a number, and T, a number or one for each coordinate (D,), both > 0. Mobility 1 unless given or fixed by
        sigma and the temperature, so that b = F and T = sigma^2 / 2.
    dim
        Number of coordinates; found from the other arguments where they tell, else any.
    horizon
        The last time; that of the protocol unless given.

    Raises
    ------
    ValueError
        Naming the argument: neither force nor potential, sigma or a temperature that is not positive, sizes that do not
        agree, a temperature that contradicts sigma and mobility; and, at the first use, a function whose values have
        another shape or are not finite (with the state at which).

    Examples
    --------
    A colloid on a driven ring, and a double well in a bath at temperature 1/2:

    >>> ring = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=2**0.5, periodic=2 * torch.pi)
    >>> ring.drift([[0.0]], 0.0)
    tensor([[1.]], dtype=torch.float64)
    >>> well = Langevin(potential=lambda x: ((x**2 - 1) ** 2).sum(-1), mobility=1.0, temperature=0.5)
    >>> well.drift([2.0], 0.0), well.energy([2.0], 0.0)
    (tensor([-24.], dtype=torch.float64), tensor(9., dtype=torch.float64))
    """

    def __init__(
        self,
        force: Field | Any = None,
        potential: Field | None = None,
        sigma: Any = None,
        protocol: Any = None,
        periodic: Any = None,
        *,
        mobility: Any = None,
        temperature: Any = None,
        dim: int | None = None,
        horizon: float | None = None,
    ) -> None:
        if force is None and potential is None:
            raise ValueError("a Langevin process needs a force, a potential or both; got neither")
        if potential is not None and not callable(potential):
            raise TypeError(f"potential must be a function of the states; got {type(potential).__name__}")
        self._force = None if force is None else _field(force, "force")
        self._potential = None if potential is None else _field(potential, "potential")
        self.protocol = _protocol(protocol)
        self.horizon = horizon if horizon is not None else getattr(protocol, "horizon", None)
        mobility, temperature = (
            None if value is None else _positive(value, name)
            for name, value in (("mobility", mobility), ("temperature", temperature))
        )
        if mobility is not None and mobility.ndim:
            raise ValueError(f"mobility must be one number; got shape {tuple(mobility.shape)}")
        self.additive = not (callable(sigma) and _arguments(sigma) > 1)
        self._sigma = self._noise(sigma, mobility, temperature)
        self._mobility, self._temperature = mobility, temperature
        self._mobility_number = 1.0 if mobility is None else float(mobility)
        self._mobility_is_one = mobility is None and (temperature is None or sigma is None)
        self.period = None if periodic is None else _positive(periodic, "periodic", finite=False)
        self.dim = self._found_size(dim)
        self._check_temperature()

    # -- what the arguments say --------------------------------------------------------------------------------------

    def _noise(self, sigma: Any, mobility: Tensor | None, temperature: Tensor | None) -> Any:
        if sigma is None:
            if temperature is None:
                raise ValueError("sigma must be given, or the temperature (sigma = sqrt(2 mu T))")
            sigma = (2 * (1.0 if mobility is None else mobility) * temperature).sqrt()
        if callable(sigma):
            self._driven_noise = self.additive
            sample = None if not self.additive else _noise_value(sigma(torch.zeros((), dtype=torch.float64)))
            self.isotropic = sample is not None and sample.ndim == 0
            return sigma
        self._driven_noise = False
        constant = _noise_value(sigma)
        self.isotropic = constant.ndim == 0
        if constant.ndim == 1:
            constant = torch.diag(constant)
        return constant

    def _found_size(self, dim: int | None) -> int | None:
        sizes = {} if dim is None else {"dim": int(dim)}
        constant = self._sigma
        if callable(constant) and self.additive and not self.isotropic:
            constant = _noise_value(constant(torch.zeros((), dtype=torch.float64)))
        if isinstance(constant, Tensor) and constant.ndim:
            sizes["sigma"] = constant.shape[0]
        for name, value in (("temperature", self._temperature), ("periodic", self.period)):
            if value is not None and value.ndim:
                sizes[name] = value.shape[0]
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the arguments must agree on D; got {', '.join(f'{k}: {v}' for k, v in sizes.items())}")
        return next(iter(sizes.values()), None)

    def _check_temperature(self) -> None:
        """Where mobility, temperature and sigma are all given, D = mu T must hold."""
        if self._mobility is None or self._temperature is None or not isinstance(self._sigma, Tensor):
            return
        size = self.dim or 1
        diffusion = self.diffusion_matrix(0.0, size)
        wanted = torch.diag((self._mobility * self._temperature).expand(size)).to(diffusion)
        if not torch.allclose(diffusion, wanted, rtol=1e-12, atol=1e-12 * float(wanted.max())):
            raise ValueError(
                f"sigma, mobility and temperature must agree on D = sigma^2 / 2 = mu T; got {diffusion.tolist()} and "
                f"{wanted.tolist()}: leave one of the three out"
            )

    # -- the process -------------------------------------------------------------------------------------------------

    @property
    def is_static(self) -> bool:
        return self.protocol is None and not self._driven_noise and self._control_free

    @property
    def _control_free(self) -> bool:
        """Whether no function takes a control, so that without a protocol nothing depends on time."""
        functions = [f for f in (self._force, self._potential) if f is not None]
        own = all(f.arguments == 1 for f in functions)
        return own and (self.additive or _arguments(self._sigma) == 1)

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
            f"a Langevin process has no closed-form {what}: simulate paths (thermodynamics.simulate), solve the "
            f"Fokker-Planck equation on a grid (processes.fokker_planck), or state an affine drift as "
            f"OrnsteinUhlenbeck or AffineDiffusion"
        )

    def control(self, t: Any) -> Tensor:
        """The protocol's value at time t, the time itself without one."""
        (t,) = self._times(t=t)
        if self.protocol is None:
            return t
        return require_finite(as_tensor(self.protocol(t), "protocol"), "protocol")

    def drift(self, x: Any, t: Any) -> Tensor:
        return self.drift_at(self._states(x), self.control(t))

    def drift_at(self, x: Tensor, control: Tensor) -> Tensor:
        """The drift at a value of the control: what an integrator calls in its loop, and may compile."""
        return self._mobile(self.total_force_at(x, control), x, control)

    def total_force(self, x: Any, t: Any) -> Tensor:
        """F = -grad potential + force at the states x, shape (..., D)."""
        return self.total_force_at(self._states(x), self.control(t))

    def total_force_at(self, x: Tensor, control: Tensor) -> Tensor:
        """The total force at a value of the control, without a look at the time."""
        total = None
        if self._potential is not None:
            total = self._descent(x, control)
        if self._force is not None:
            own = self.nonconservative_force_at(x, control)
            total = own if total is None else total + own
        assert total is not None
        return total

    def nonconservative_force_at(self, x: Tensor, control: Tensor) -> Tensor:
        """The part of the force given as `force`, zero where there is none, shape (..., D)."""
        if self._force is None:
            return torch.zeros_like(x)
        values = self._force(x, control)
        try:
            return values.to(x).expand(x.shape)
        except RuntimeError:
            raise ValueError(f"force must give shape {tuple(x.shape)} at such states; got {tuple(values.shape)}") from None

    @property
    def has_nonconservative_force(self) -> bool:
        """Whether a `force` was given beside or instead of a potential."""
        return self._force is not None

    def energy(self, x: Any, t: Any) -> Tensor:
        """The potential at the states x and time t, shape (...)."""
        if self._potential is None:
            return super().energy(x, t)
        return self.energy_at(self._states(x), self.control(t))

    def energy_at(self, x: Tensor, control: Tensor) -> Tensor:
        """The potential at a value of the control.

        Raises
        ------
        ValueError
            When its values have another shape or are not finite, naming the state.
        """
        assert self._potential is not None
        values = self._potential(x, control)
        if values.shape != x.shape[:-1]:
            try:
                values = values.expand(x.shape[:-1])
            except RuntimeError:
                raise ValueError(
                    f"potential must give one number for each state, shape {tuple(x.shape[:-1])}; got "
                    f"{tuple(values.shape)}: sum over the last axis"
                ) from None
        return values

    def has_energy(self, dim: int | None = None) -> bool:
        return self._potential is not None

    def check_states(self, x: Any, t: Any) -> None:
        """Refuse a force or potential that is not finite at these states.

        Raises
        ------
        ValueError
            Naming the function, the state and the time.
        """
        x, control = self._states(x), self.control(t)
        named = {"force": self.total_force_at(x, control)}
        if self._potential is not None:
            named = {"potential": self.energy_at(x, control)[..., None], **named}
        for name, values in named.items():
            bad = ~torch.isfinite(values).all(-1)
            if bool(bad.any()):
                where = torch.nonzero(bad)[0].tolist()
                raise ValueError(
                    f"{name} must be finite; got {values[tuple(where)].tolist()} at the state "
                    f"{x[tuple(where)].tolist()} and time {float(torch.as_tensor(t).reshape(-1)[0]):.6g}"
                )

    def _descent(self, x: Tensor, control: Tensor) -> Tensor:
        """-grad potential, each state by itself."""
        assert self._potential is not None
        if torch.compiler.is_compiling():
            return -torch.func.grad(lambda y: self.energy_at(y, control).sum())(x)
        wanted = torch.is_grad_enabled() and x.requires_grad
        with torch.enable_grad():
            point = x if wanted else x.detach().requires_grad_(True)
            energy = self.energy_at(point, control)
            if not energy.requires_grad:
                return torch.zeros_like(x)
            (slope,) = torch.autograd.grad(energy.sum(), point, create_graph=wanted)
        return -slope if wanted else -slope.detach()

    # -- noise, mobility, temperature --------------------------------------------------------------------------------

    def diffusion(self, t: Any) -> Tensor:
        if not self.additive:
            raise ValueError("the noise depends on the state: ask noise_at(x, t)")
        (t,) = self._times(t=t)
        if isinstance(self._sigma, Tensor):
            return self._sigma.to(t.device).broadcast_to((*t.shape, *self._sigma.shape))
        value = as_tensor(self._sigma(t), "sigma").to(t)
        value = torch.diag_embed(value) if not self.isotropic and value.ndim == t.ndim + 1 else value
        _refuse_no_noise(value, self.isotropic, "sigma")
        return value if value.ndim > t.ndim else value.expand(t.shape)

    def noise_at(self, x: Any, t: Any) -> Tensor:
        if self.additive:
            return super().noise_at(x, t)
        x = self._states(x)
        return self._noise_field(x, self.control(t))

    def _noise_field(self, x: Tensor, control: Tensor) -> Tensor:
        values = as_tensor(self._sigma(x, control), "sigma").to(x)
        if values.shape == x.shape:
            values = torch.diag_embed(values)
        elif values.ndim != x.ndim + 1 or values.shape[: x.ndim] != x.shape:
            raise ValueError(
                f"sigma must give shape {tuple(x.shape)}, or (..., {x.shape[-1]}, M), at states of shape "
                f"{tuple(x.shape)}; got {tuple(values.shape)}"
            )
        return require_finite(values, "sigma")

    def diffusion_divergence(self, x: Any, t: Any) -> Tensor:
        x = self._states(x)
        if self.additive:
            return torch.zeros_like(x)
        control = self.control(t)

        def row_sums(y: Tensor) -> Tensor:
            sigma = self._noise_field(y, control)
            return (0.5 * sigma @ sigma.mT).flatten(0, -3).sum(0) if y.ndim > 1 else 0.5 * sigma @ sigma.mT

        with torch.enable_grad():
            point = x.detach().requires_grad_(True)
            summed = row_sums(point)
            total = torch.zeros_like(x)
            for i in range(x.shape[-1]):
                for j in range(x.shape[-1]):
                    if not summed[i, j].requires_grad:
                        continue
                    (slope,) = torch.autograd.grad(summed[i, j], point, retain_graph=True)
                    total[..., i] += slope[..., j]
        return total

    def integrated_diffusion(self, t0: Any, t1: Any) -> Tensor:
        from infotherm.core.quadrature import integrate

        t0, t1 = self._interval(t0, t1)
        if not self.additive:
            raise ValueError("the noise depends on the state: it has no integral over time alone")
        if isinstance(self._sigma, Tensor):
            square = self._sigma.square() if self.isotropic else self._sigma @ self._sigma.mT
            return (t1 - t0)[(..., *[None] * square.ndim)] * square.to(t1.device)
        if self.isotropic:
            return integrate(lambda t: self.diffusion(t).square(), t0, t1).value
        size = self.diffusion(t0).shape[-2]
        entries = [
            [integrate(lambda t, i=i, j=j: 2 * self.diffusion_matrix(t)[..., i, j], t0, t1).value for j in range(size)]
            for i in range(size)
        ]
        return torch.stack([torch.stack(row, -1) for row in entries], -2)

    @property
    def temperature(self) -> Tensor:
        """T, a number or one for each coordinate: as given, else D / mu where that is constant.

        Raises
        ------
        ValueError
            Where D / mu changes with time or state, or is no diagonal matrix.
        """
        if self._temperature is not None:
            return self._temperature
        if not isinstance(self._sigma, Tensor):
            raise ValueError("the temperature D / mu is not constant, since sigma is a function: give temperature=")
        mobility = 1.0 if self._mobility is None else self._mobility
        if self.isotropic:
            return 0.5 * self._sigma.square() / mobility
        diffusion = 0.5 * self._sigma @ self._sigma.mT
        own = diffusion.diagonal()
        if bool((diffusion - torch.diag(own)).abs().max() > 1e-14 * own.max()):
            raise ValueError("D / mu is no diagonal matrix: there is no temperature for each coordinate")
        return own / mobility

    def _mobile(self, force: Tensor, x: Tensor, control: Tensor) -> Tensor:
        """mu F: a number mu, or D T^-1 where sigma and the temperature are given and the mobility is not."""
        if self._mobility is not None:
            return self._mobility_number * force
        if self._mobility_is_one:
            return force
        assert self._temperature is not None
        pulled = force / self._temperature.to(force)
        if isinstance(self._sigma, Tensor):
            if self.isotropic:
                return (0.5 * self._sigma.square()).to(force) * pulled
            sigma = self._sigma.to(force)
        elif self.additive:
            raise ValueError("give the mobility too: sigma depends on time, and mu = D / T with it")
        else:
            sigma = self._noise_field(x, control)
        return 0.5 * (sigma @ (sigma.mT @ pulled[..., None]))[..., 0]

    def _states(self, x: Any) -> Tensor:
        x = as_tensor(x, "x")
        if x.ndim == 0 or (self.dim is not None and x.shape[-1] != self.dim):
            raise ValueError(f"x must have shape (..., {self.dim or 'D'}); got {tuple(x.shape)}")
        return x


class _field:
    """A function of states, or of states and a control, as one of both; a constant as a function of neither."""

    def __init__(self, function: Any, name: str) -> None:
        self.name = name
        if callable(function):
            self.function: Callable[..., Any] = function
            self.arguments = _arguments(function)
            return
        constant = require_finite(as_tensor(function, name), name)
        self.function, self.arguments = lambda x: constant.to(x).broadcast_to(x.shape), 1

    def __call__(self, x: Tensor, control: Tensor) -> Tensor:
        values = self.function(x) if self.arguments == 1 else self.function(x, control)
        return values if isinstance(values, Tensor) else as_tensor(values, self.name).to(x)


def _arguments(function: Callable[..., Any]) -> int:
    """How many positional arguments a function needs, 1 or 2.

    Raises
    ------
    TypeError
        When it takes another number.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(p.default is p.empty for p in positional)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return max(needed, 2) if needed != 1 else 1
    if needed > 2 or not positional:
        raise TypeError(f"a function of (x) or (x, control) is expected; got one that needs {needed} arguments")
    return max(needed, 1)


def _protocol(protocol: Any) -> Callable[[Tensor], Any] | None:
    if protocol is None or callable(protocol):
        return protocol
    constant = require_finite(as_tensor(protocol, "protocol"), "protocol")
    return lambda t: constant.to(t).expand(*t.shape, *constant.shape)


def _positive(value: Any, name: str, *, finite: bool = True) -> Tensor:
    """A positive number or vector.

    Raises
    ------
    ValueError
        When it is not.
    """
    tensor = as_tensor(value, name).to(torch.float64)
    if finite:
        require_finite(tensor, name)
    if tensor.ndim > 1 or not bool((tensor > 0).all()):
        raise ValueError(f"{name} must be > 0, a number or one for each coordinate; got {tensor.tolist()}")
    return tensor


def _noise_value(sigma: Any) -> Tensor:
    """A constant sigma, checked."""
    value = require_finite(as_tensor(sigma, "sigma").to(torch.float64), "sigma")
    if value.ndim > 2:
        raise ValueError(f"sigma must be a number, (D,) or (D, M); got shape {tuple(value.shape)}")
    _refuse_no_noise(value, value.ndim < 2, "sigma")
    return value


def _refuse_no_noise(value: Tensor, scalar: bool, name: str) -> None:
    if not validating(value):
        return
    require_finite(value, name)
    if scalar and not bool((value > 0).all()):
        raise ValueError(f"{name} must be > 0; got {value.min().item():.6g}")
    if not scalar and bool((value.abs().amax(-1) == 0).any()):
        raise ValueError(f"{name} must move every coordinate; got a row of zeros")
