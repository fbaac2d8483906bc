"""Overdamped Langevin dynamics: forces and potentials, protocols, several baths, rings, multiplicative noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import as_tensor, require_finite, validating
from infotherm.distributions.base import Distribution
from infotherm.processes.boltzmann import boltzmann_law, one_number, one_period, one_time
from infotherm.processes.forces import ForcedProcess, agreed_size, arguments, positive, sizes_of
from infotherm.processes.time_functions import function_of_time

# times after the first one at which a process is looked at for change, where only its steady state is asked for
_LOOKS = (0.0, 0.1, 0.37, 1.0, 2.7, 5.3, 9.1, 23.7, 101.3, 1003.7)


class Langevin(ForcedProcess):
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
        The control c as a function of time: a `Protocol`, any callable, or a constant.
    periodic
        The period of every coordinate (a ring, a torus), or one for each (D,), infinite where there is none. States are
        not wrapped: a path keeps the number of its turns.
    mobility, temperature
        mu, a number, and T, a number or one for each coordinate (D,), both > 0. Mobility 1 unless given or fixed by
        sigma and the temperature (mu = D / T), so that b = F and T = sigma^2 / 2 where neither is given. All three may
        be given where they agree.
    dim
        Number of coordinates; found from the other arguments where they tell, else any.
    horizon
        The last time; that of the protocol unless given.

    Raises
    ------
    ValueError
        Naming the argument: neither force nor potential, sigma or a temperature that is not positive, sizes that do not
        agree, a temperature that contradicts sigma and mobility; and, at the first use, a function whose values have
        another shape or are not finite.
    TypeError
        For a potential that is not written with torch operations, at the first use.

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
        force: Any = None,
        potential: Any = None,
        sigma: Any = None,
        protocol: Any = None,
        periodic: Any = None,
        *,
        mobility: Any = None,
        temperature: Any = None,
        dim: int | None = None,
        horizon: float | None = None,
    ) -> None:
        super().__init__(force, potential, protocol, horizon)
        self._mobility = None if mobility is None else positive(mobility, "mobility", scalar=True)
        self._temperature = None if temperature is None else positive(temperature, "temperature")
        self.period = None if periodic is None else positive(periodic, "periodic", finite=False)
        self._mobility_number = 1.0 if mobility is None else float(self._mobility)  # type: ignore[arg-type]
        self._mobility_is_one = mobility is None and (temperature is None or sigma is None)
        self.additive = not (callable(sigma) and arguments(sigma, "sigma") > 1)
        self._driven_noise = callable(sigma) and self.additive
        if callable(sigma) and temperature is not None and (mobility is not None or self.additive):
            raise ValueError(
                "a sigma that is a function cannot go with that temperature (D = mu T): leave the temperature out, and "
                "give the mobility where it is not 1"
            )
        self._sigma = self._noise(sigma)
        self.dim = agreed_size(self._sizes(dim))
        self._check_temperature()

    # -- what the arguments say --------------------------------------------------------------------------------------

    def _noise(self, sigma: Any) -> Any:
        """sigma as a number, a matrix, a function of times, or a function of states and control."""
        if sigma is None:
            if self._temperature is None:
                raise ValueError("sigma must be given, or the temperature (sigma = sqrt(2 mu T))")
            sigma = (2 * self._mobility_number * self._temperature).sqrt()
        if not self.additive:
            self.isotropic = False
            return sigma
        if self._driven_noise:
            first = _constant_noise(sigma(torch.zeros((), dtype=torch.float64)))
            self.isotropic = first.ndim == 0
            return function_of_time(sigma, first.ndim, "sigma")
        constant = _constant_noise(sigma)
        self.isotropic = constant.ndim == 0
        return torch.diag(constant) if constant.ndim == 1 else constant

    def _sizes(self, dim: int | None) -> dict[str, int]:
        pushed = None if self._force is None else self._force.constant
        sizes = sizes_of(dim, force=pushed, temperature=self._temperature, periodic=self.period)
        if not self.isotropic and self.additive:
            first = self._sigma(torch.zeros((), dtype=torch.float64)) if self._driven_noise else self._sigma
            sizes["sigma"] = first.shape[0]
        return sizes

    def _check_temperature(self) -> None:
        """Where mobility, temperature and sigma are all given, D = mu T must hold."""
        if self._mobility is None or self._temperature is None:
            return
        size = self.dim or 1
        diffusion = self.diffusion_matrix(0.0 if self.start is None else self.start, size)
        wanted = torch.diag((self._mobility * self._temperature).expand(size)).to(diffusion)
        if not torch.allclose(diffusion, wanted, rtol=1e-12, atol=1e-12 * float(wanted.max())):
            raise ValueError(
                f"sigma, mobility and temperature must agree on D = sigma^2 / 2 = mu T; got {diffusion.tolist()} and "
                f"{wanted.tolist()}: leave one of the three out"
            )

    # -- laws --------------------------------------------------------------------------------------------------------

    def marginal(self, p0: Any, t: Any, t0: Any = 0.0) -> Distribution:
        """The law at time t from p0 at t0, by the Fokker-Planck equation on a grid (D <= 2): a GridDensity."""
        from infotherm.processes.fokker_planck import marginal

        return marginal(self, p0, t, t0)

    def quasi_invariant(self, t: Any, dim: int | None = None) -> Distribution:
        """The law that the process frozen at time t would keep, for D = 1 or 2.

        Where the force is all gradient and there is one temperature, the Boltzmann law exp(-V / T) / Z (on a ring that
        on [0, period]): for D = 1 a `LogDensity` with the `log_normaliser` log Z, for D = 2 a `GridDensity` with log Z
        in `info`. -T log Z is the free energy.
        Otherwise (a driven ring, several baths, multiplicative noise, which keeps exp(integral of b / D) / D on a line)
        the density by closed form or on a grid.

        Parameters
        ----------
        t
            One time.
        dim
            Number of coordinates, for a process that acts on any (1 unless given).

        Raises
        ------
        ValueError
            When no law can be normalised (the potential does not confine), or D > 2.
        """
        time, size = one_time(self, t), self._size(dim)
        temperature = self._bath_at(time, size)
        on_torus = self.period is not None and size > 1
        if self._force is None and temperature is not None and not on_torus:
            control = self.control(time)
            period = one_period(self.period)
            return boltzmann_law(lambda x: self.potential_at(x, control.to(x)), temperature, size, period)
        from infotherm.processes.stationary_density import stationary_density

        return stationary_density(self, time, size)

    def _bath_at(self, t: float, size: int) -> float | None:
        """The temperature of the only bath at time t, None where there are several or it depends on the state."""
        if not self.additive:
            return None  # D(x) = mu(x) T in the Ito reading keeps exp(-V / T) / D, not the Boltzmann law
        if self._temperature is not None:
            return one_number(self._temperature)
        diffusion = self.diffusion_matrix(t, size) / self._mobility_number
        own = one_number(diffusion.diagonal())
        aside = diffusion - torch.diag(diffusion.diagonal())
        return None if own is None or bool(aside.abs().max() > 1e-14 * own) else own

    # -- drift -------------------------------------------------------------------------------------------------------

    @property
    def is_static(self) -> bool:
        """Whether nothing depends on time: functions of the state alone, or a constant control.

        A sigma of two arguments is looked at in 9 times, whether it makes use of the second one.
        """
        return not self._driven_noise and self.control_free and (self.additive or self._noise_is_static())

    def looks_static(self) -> bool:
        """Whether force and noise are the same at a dozen times, from the first one on, over three decades."""
        if self.is_static:
            return True

        def seen(x: Tensor, t: float) -> Tensor:
            return torch.cat([self.drift(x, t).flatten(), self.noise_at(x, t).flatten()])

        return self._same_at(_LOOKS, seen)

    def _noise_is_static(self) -> bool:
        """Whether a multiplicative sigma is the same at 9 times."""
        if self._constant_control:
            return True
        end = 1.0 if self.horizon is None else self.horizon - (self.start or 0.0)
        return self._same_at([k * end / 8 for k in range(9)], lambda x, t: self._noise_field(x, self.control(t)))

    def _same_at(self, later: Iterable[float], function: Callable[[Tensor, float], Tensor]) -> bool:
        """Whether a function of states is the same at these times after the start; D is tried from 1 to 3."""
        start = 0.0 if self.start is None else self.start
        times = [start + t for t in later if self.horizon is None or start + t <= self.horizon]
        for size in (1, 2, 3) if self.dim is None else (self.dim,):
            x = torch.linspace(-1.3, 1.7, 5 * size, dtype=torch.float64).reshape(5, size)
            try:
                seen = [function(x, t) for t in times]
            except (IndexError, RuntimeError, ValueError):
                continue  # a function of states of another size
            return all(torch.equal(values, seen[0]) for values in seen[1:])
        return False

    def drift(self, x: Any, t: Any) -> Tensor:
        """mu F, shapes (..., D) and (...) -> (..., D), in the dtype of x."""
        free = self.control_free and self.additive
        return self._time_by_time(self.drift_at, self._states(x), t, free)

    def drift_at(self, x: Tensor, control: Tensor) -> Tensor:
        """The drift at a value of the control: what an integrator calls in its loop, and may compile."""
        return self._mobile(self.total_force_at(x, control), x, control)

    def _mobile(self, force: Tensor, x: Tensor, control: Tensor) -> Tensor:
        """mu F: a number mu, or D T^-1 where sigma and the temperature are given and the mobility is not."""
        if self._mobility is not None:
            return self._mobility_number * force
        if self._mobility_is_one:
            return force
        assert self._temperature is not None
        pulled = force / self._temperature.to(force)
        if self.isotropic:
            return (0.5 * self._sigma.square()).to(force) * pulled
        sigma = self._sigma.to(force) if self.additive else self._noise_field(x, control)
        return 0.5 * (sigma @ (sigma.mT @ pulled[..., None]))[..., 0]

    # -- noise and temperature ---------------------------------------------------------------------------------------

    def diffusion(self, t: Any) -> Tensor:
        """sigma(t): shape (...) of t when isotropic, else a matrix (..., D, M).

        Raises
        ------
        ValueError
            When it depends on the state, or is not positive at a time.
        """
        if not self.additive:
            raise ValueError("the noise depends on the state: ask noise_at(x, t)")
        (t,) = self._times(t=t)
        if isinstance(self._sigma, Tensor):
            return self._sigma.to(t.device).broadcast_to((*t.shape, *self._sigma.shape))
        value = self._sigma(t).to(t)
        value = torch.diag_embed(value) if not self.isotropic and value.ndim == t.ndim + 1 else value
        _refuse_no_noise(value, self.isotropic)
        return value

    def noise_at(self, x: Any, t: Any) -> Tensor:
        """sigma at the states x, in their dtype: shape (...) when isotropic, else (..., D, M)."""
        if self.additive:
            return super().noise_at(x, t)
        return self._time_by_time(self._noise_field, self._states(x), t, self._constant_control)

    def _noise_field(self, x: Tensor, control: Tensor) -> Tensor:
        """A multiplicative sigma at states x as matrices (..., D, M)."""
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
        """div D(x, t) = sum_j d D_ij / d x_j by automatic differentiation, shape (..., D); zero for additive noise.

        Raises
        ------
        TypeError
            For a sigma that is not written with torch operations.
        """
        x = self._states(x)
        if self.additive:
            return torch.zeros_like(x)
        return self._time_by_time(self._divergence, x, t, self._constant_control)

    def _divergence(self, x: Tensor, control: Tensor) -> Tensor:
        wanted = torch.is_grad_enabled() and x.requires_grad
        with torch.enable_grad():
            point = x if wanted else x.detach().requires_grad_(True)
            sigma = self._noise_field(point, control)
            matrix = (0.5 * sigma @ sigma.mT).reshape(-1, x.shape[-1], x.shape[-1]).sum(0)  # each state by itself
            if not matrix.requires_grad:
                moved = self._noise_field(x.detach() + 0.1 + 0.01 * x.detach().abs(), control)
                if not torch.equal(moved, sigma):
                    raise TypeError("sigma must be written with torch operations: no gradient passes through it")
                return torch.zeros_like(x)
            rows = []
            for i in range(x.shape[-1]):
                slopes = [
                    torch.autograd.grad(
                        entry, point, retain_graph=True, create_graph=wanted, allow_unused=True, materialize_grads=True
                    )[0][..., j]
                    for j, entry in enumerate(matrix[i])
                ]
                rows.append(torch.stack(slopes, -1).sum(-1))
            return torch.stack(rows, -1)

    def integrated_diffusion(self, t0: Any, t1: Any) -> Tensor:
        """Integral of sigma^2 (isotropic), or of sigma sigma^T, from t0 to t1, by quadrature where sigma is a function.

        Raises
        ------
        ValueError
            For multiplicative noise.
        """
        from infotherm.core.quadrature import integrate

        t0, t1 = self._interval(t0, t1)
        if not self.additive:
            raise ValueError("the noise depends on the state: it has no integral over time alone")
        if isinstance(self._sigma, Tensor):
            square = self._sigma.square() if self.isotropic else self._sigma @ self._sigma.mT
            return (t1 - t0)[(..., *[None] * square.ndim)] * square.to(t1.device)
        if self.isotropic:
            return integrate(lambda t: self.diffusion(t).square(), t0, t1, rtol=1e-13).value
        size = self.diffusion(t0).shape[-2]
        shape = (*t0.shape, size, size)

        def entries(t: Tensor) -> Tensor:  # nodes (M, *batch, D, D): every entry a member of the batch
            matrix = 2 * self.diffusion_matrix(t[..., 0, 0])
            return matrix.expand(*t.shape[: t.ndim - 2], size, size)

        low, high = (s[..., None, None].expand(shape) for s in (t0, t1))
        return integrate(entries, low, high, rtol=1e-13).value

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
            raise ValueError("the temperature D / mu is not constant: sigma is a function")
        if self.isotropic:
            return 0.5 * self._sigma.square() / self._mobility_number
        diffusion = 0.5 * self._sigma @ self._sigma.mT
        own = diffusion.diagonal()
        if bool((diffusion - torch.diag(own)).abs().max() > 1e-14 * own.max()):
            raise ValueError("D / mu is no diagonal matrix: there is no temperature for each coordinate")
        return own / self._mobility_number


def _constant_noise(sigma: Any) -> Tensor:
    """A constant sigma, checked.

    Raises
    ------
    ValueError
        For more than two axes, or no noise.
    """
    value = require_finite(as_tensor(sigma, "sigma").to(torch.float64), "sigma")
    if value.ndim > 2 or not value.numel():
        raise ValueError(f"sigma must be a number, (D,) or (D, M); got shape {tuple(value.shape)}")
    _refuse_no_noise(value, value.ndim < 2)
    return value


def _refuse_no_noise(value: Tensor, numbers: bool) -> None:
    if not validating(value):
        return
    require_finite(value, "sigma")
    if numbers and not bool((value > 0).all()):
        raise ValueError(f"sigma must be > 0; got {value.min().item():.6g}")
    if not numbers and bool((value.abs().amax(-1) == 0).any()):
        raise ValueError("sigma must move every coordinate; got a row of zeros")
