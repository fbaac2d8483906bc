"""Underdamped Langevin dynamics: positions and velocities, the latter odd under time reversal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import Generator, as_generator, as_tensor
from infotherm.distributions import LogDensity
from infotherm.processes.boltzmann import boltzmann_law, one_period, one_time
from infotherm.processes.forces import ForcedProcess, agreed_size, positive, sizes_of


class UnderdampedLangevin(ForcedProcess):
    """dx = v dt, m dv = F dt - friction v dt + sqrt(2 friction T) dB, with F = -grad potential + force.

    States hold positions, then velocities: (x, v) of 2 D coordinates. Velocities are odd under time reversal. Without a
    non-gradient force and a protocol, and with one temperature, the process keeps exp(-(V + m v^2 / 2) / T); in the
    limit of large friction the positions follow the overdamped `Langevin` with mobility 1 / friction.

    Parameters
    ----------
    force
        The part of the force that is no gradient (or all of it): a function of positions x (..., D), or of x and the
        control, with values (..., D); a number or a vector is a constant force.
    potential
        The potential energy V: a function of the same with values (...), written with torch operations.
    mass
        m > 0, a number or one for each coordinate (D,).
    friction
        The friction coefficient, a number > 0 (force / velocity).
    temperature
        T > 0, a number or one for each coordinate (D,).
    protocol
        The control as a function of time: a `Protocol`, any callable, or a constant; the time itself without one.
    periodic
        The period of every position, or one for each (D,), infinite where there is none; positions are not wrapped.
    dim
        Number D of positions (the states have 2 D coordinates, which is what the attribute `dim` says); found from
        the other arguments where they tell, else any.
    horizon
        The last time; that of the protocol unless given.

    Raises
    ------
    ValueError
        Naming the argument: neither force nor potential, a mass, friction or temperature that is not positive, sizes
        that do not agree, a horizon beyond the protocol.

    References
    ----------
    Risken, "The Fokker-Planck Equation" (1989), sec. 10 (Kramers' equation).

    Examples
    --------
    A particle in a harmonic trap:

    >>> particle = UnderdampedLangevin(potential=lambda x: 2.0 * (x**2).sum(-1), friction=0.5)
    >>> particle.drift([1.0, 3.0], 0.0), particle.energy([1.0, 3.0], 0.0)
    (tensor([ 3.0000, -5.5000], dtype=torch.float64), tensor(6.5000, dtype=torch.float64))
    """

    isotropic = False

    def __init__(
        self,
        force: Any = None,
        potential: Any = None,
        *,
        mass: Any = 1.0,
        friction: Any = 1.0,
        temperature: Any = 1.0,
        protocol: Any = None,
        periodic: Any = None,
        dim: int | None = None,
        horizon: float | None = None,
    ) -> None:
        super().__init__(force, potential, protocol, horizon)
        self.mass = positive(mass, "mass")
        self.friction = positive(friction, "friction", scalar=True)
        self._temperature = positive(temperature, "temperature")
        self.period = None if periodic is None else positive(periodic, "periodic", finite=False)
        vectors = {"mass": self.mass, "temperature": self._temperature, "periodic": self.period}
        vectors["force"] = None if self._force is None else self._force.constant
        size = agreed_size(sizes_of(dim, **vectors))
        self.dim = None if size is None else 2 * size

    @property
    def is_static(self) -> bool:
        return self.control_free

    @property
    def temperature(self) -> Tensor:
        """T of the bath, a number or one for each position (D,)."""
        return self._temperature

    # -- states ------------------------------------------------------------------------------------------------------

    def split(self, x: Any) -> tuple[Tensor, Tensor]:
        """Positions and velocities, both (..., D), of states (..., 2 D)."""
        positions, velocities = self._states(x).chunk(2, -1)
        return positions, velocities

    def join(self, positions: Any, velocities: Any) -> Tensor:
        """States (..., 2 D) of positions and velocities, both (..., D)."""
        positions, velocities = as_tensor(positions, "positions"), as_tensor(velocities, "velocities")
        return self._states(torch.cat(torch.broadcast_tensors(positions, velocities.to(positions)), -1))

    def reversed(self, x: Any) -> Tensor:
        """The states with velocities turned round: what time reversal makes of them."""
        positions, velocities = self.split(x)
        return torch.cat([positions, -velocities], -1)

    def velocities(self, positions: Any, generator: Generator = None) -> Tensor:
        """Velocities drawn from the Maxwell-Boltzmann law N(0, T / m), for positions (..., D), in their dtype."""
        positions = self._require_positions(positions)
        noise = torch.empty_like(positions).normal_(generator=as_generator(generator, positions.device))
        return noise * (self._temperature / self.mass).sqrt().to(positions)

    def _require_positions(self, positions: Any) -> Tensor:
        positions = as_tensor(positions, "positions")
        wanted = None if self.dim is None else self.dim // 2
        if positions.ndim == 0 or (wanted is not None and positions.shape[-1] != wanted):
            raise ValueError(f"positions must have shape (..., {wanted or 'D'}); got {tuple(positions.shape)}")
        return positions

    def _states(self, x: Any) -> Tensor:
        x = as_tensor(x, "x")
        if x.ndim == 0 or x.shape[-1] % 2 or (self.dim is not None and x.shape[-1] != self.dim):
            raise ValueError(
                f"x must hold positions and velocities, shape (..., {self.dim or '2 D'}); got {tuple(x.shape)}"
            )
        return x

    def _positions(self, x: Tensor) -> Tensor:
        return x.chunk(2, -1)[0]

    # -- dynamics ----------------------------------------------------------------------------------------------------

    def drift(self, x: Any, t: Any) -> Tensor:
        """(v, (F - friction v) / m), shapes (..., 2 D) and (...) -> (..., 2 D)."""
        return self._time_by_time(self.drift_at, self._states(x), t, self.control_free)

    def drift_at(self, x: Tensor, control: Tensor) -> Tensor:
        """The drift at states x and a value of the control."""
        positions, velocities = x.chunk(2, -1)
        pushed = self.total_force_at(positions, control) - self.friction.to(x) * velocities
        return torch.cat([velocities, pushed / self.mass.to(x)], -1)

    def diffusion(self, t: Any) -> Tensor:
        """The noise matrix: zero for positions, sqrt(2 friction T) / m for velocities, shape (..., 2 D, D).

        Raises
        ------
        ValueError
            When the number of positions is not known: give dim=.
        """
        (t,) = self._times(t=t)
        if self.dim is None:
            raise ValueError("the number of positions is not known: give dim=")
        return self._noise(self.dim // 2).to(t.device).expand(*t.shape, self.dim, self.dim // 2)

    def _noise(self, positions: int) -> Tensor:
        strength = (2 * self.friction * self._temperature).sqrt() / self.mass
        noise = torch.diag(strength.expand(positions))
        return torch.cat([torch.zeros_like(noise), noise])

    def noise_at(self, x: Any, t: Any) -> Tensor:
        x = self._states(x)
        (t,) = self._times(t=t)
        noise = self._noise(x.shape[-1] // 2).to(x)
        return noise.expand(*t.shape, *noise.shape)

    def diffusion_matrix(self, t: Any, dim: int | None = None) -> Tensor:
        """D of positions and velocities, shape (..., 2 D, 2 D): singular, since positions have no noise."""
        (t,) = self._times(t=t)
        size = self._size(dim)
        if size % 2:
            raise ValueError(f"dim must be even, positions and velocities; got {size}")
        noise = self._noise(size // 2).to(t.device)
        return (0.5 * noise @ noise.mT).expand(*t.shape, size, size)

    def integrated_diffusion(self, t0: Any, t1: Any) -> Tensor:
        t0, t1 = self._interval(t0, t1)
        return (t1 - t0)[..., None, None] * 2 * self.diffusion_matrix(t0, self.dim)

    def _size(self, dim: int | None) -> int:
        return super()._size(dim) if dim or self.dim else 2

    def thermodynamic_force(self, x: Any, t: Any) -> Tensor:
        """Refuses: velocities are odd, so that the medium's entropy is that of the heat, Q / T, and no such integral.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(
            "an underdamped process has odd velocities: its medium entropy is the heat of the friction over the "
            "temperature, not an integral of D^-1 b (the diffusion matrix is singular)"
        )

    # -- the law that is kept ----------------------------------------------------------------------------------------

    def quasi_invariant(self, t: Any, dim: int | None = None) -> LogDensity:
        """exp(-(V + m v^2 / 2) / T) / Z of the process frozen at time t, for one position.

        Parameters
        ----------
        t
            One time.
        dim
            Number of coordinates, positions and velocities, for a process that acts on any (2 unless given).

        Raises
        ------
        ValueError
            When a `force` keeps the process going, the potential does not confine, or there are more positions.
        """
        time, size = one_time(self, t), self._size(dim)
        if self._force is not None or size != 2:
            raise ValueError(
                "an underdamped process has a quasi-invariant law in closed form for one position and no force beside "
                f"the potential; got D = {size // 2}{' and a force' if self._force is not None else ''}: simulate a "
                "long time instead"
            )
        control, temperature = self.control(time), float(self._temperature.reshape(()))
        period = one_period(self.period)
        positions = boltzmann_law(lambda x: self.potential_at(x, control.to(x)), temperature, 1, period)
        assert isinstance(positions, LogDensity) and positions.log_normaliser is not None
        constant = 0.5 * (self.mass.reshape(()) / (2 * torch.pi * temperature)).log()

        def log_density(x: Tensor) -> Tensor:
            return positions.log_prob(x[..., :1]) - self.kinetic_energy(x) / temperature + constant.to(x)

        def sampler(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
            x = positions.sample(shape, generator=generator)
            return self.join(x, self.velocities(x, generator))

        free = torch.full((1,), torch.inf, dtype=torch.float64)
        lower, upper = positions.bounds()
        law = LogDensity(
            log_density, size, torch.cat([lower, -free]), torch.cat([upper, free]), sampler=sampler, check=False
        )
        law.log_normaliser = positions.log_normaliser - constant
        return law

    # -- energies ----------------------------------------------------------------------------------------------------

    def has_energy(self, dim: int | None = None) -> bool:
        return True

    def energy_at(self, x: Tensor, control: Tensor) -> Tensor:
        """Kinetic and potential energy of the states x at a value of the control, shape (...)."""
        return self.kinetic_energy(x) + self.potential_at(self._positions(x), control)

    def kinetic_energy(self, x: Any) -> Tensor:
        """m v^2 / 2 summed over coordinates, shape (...), of states (..., 2 D)."""
        velocities = as_tensor(x, "x").chunk(2, -1)[1]
        return 0.5 * (self.mass.to(velocities) * velocities.square()).sum(-1)
