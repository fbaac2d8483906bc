"""What the ledger asks of a process: its energy, its other forces, and how its steps look backwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from infotherm.processes import AffineProcess, DiffusionProcess, Langevin, UnderdampedLangevin
from infotherm.processes.integrators import BAOAB, EulerMaruyama, Exact, Integrator
from infotherm.processes.plans import Plan, State
from infotherm.thermodynamics.hatano_sasa import FrozenLaws
from infotherm.thermodynamics.path_ratios import (
    EulerRatio,
    ExactRatio,
    HeatRatio,
    LinearEulerRatio,
    PathRatio,
    StratonovichRatio,
    along,
    applied,
)


class Mechanics(ABC):
    """What the ledger asks of a process, for states of D coordinates between two times.

    Attributes
    ----------
    process
        The process.
    has_energy, driven
        Whether states have an energy, and whether it changes in time.
    temperature
        The temperature where there is one bath, so that the heat gives the medium's entropy.
    force_in, medium_in
        The force outside the energy, and D^-1 (b - div D), in step k: functions (x, plan, k) -> (..., D), or None where
        there is nothing to add up.
    curl
        The work that a step does between its ends where the force circulates: a function (change, plan, k).
    splits
        Whether the ledger also keeps the functional of Hatano and Sasa and the housekeeping entropy.
    """

    process: DiffusionProcess
    has_energy: bool
    driven: bool
    temperature: float | None
    force_in: Any = None
    medium_in: Any = None
    curl: Any = None
    splits: bool = False
    dim: int = 1
    _frozen: tuple[Plan, FrozenLaws] | None = None

    def frozen_laws(self, plan: Plan) -> FrozenLaws | None:
        """The laws that the process would keep along the drive, the same for all blocks of a plan."""
        if not self.splits:
            return None
        if self._frozen is None or self._frozen[0] is not plan:
            self._frozen = (plan, FrozenLaws(self.process, self.dim, plan))
        return self._frozen[1]

    @abstractmethod
    def energy_change(self, x: Tensor, plan: Plan, k: int) -> Tensor:
        """What the states gain in energy when the drive of step k - 1 gives way to that of step k, at the k-th edge.

        Before the first step there is the drive at the start, after the last one that at the end.
        """

    def energy_before(self, x: Tensor) -> Tensor | float:
        """The energy before the drive starts."""
        return 0.0

    def energy_after(self, x: Tensor) -> Tensor | float:
        """The energy after the drive has ended."""
        return 0.0

    @abstractmethod
    def path_ratio(self, integrator: Integrator, first: State) -> PathRatio | None:
        """What adds up the log ratios of the steps; None where their sum is the medium's entropy itself."""

    def renewed(self) -> Mechanics:
        """The same for a run with other steps: what was worked out for one plan is forgotten."""
        return self


def mechanics_of(process: DiffusionProcess, dim: int, start: float, end: float, *, splits: bool = False) -> Mechanics:
    """The mechanics of a process for states of `dim` coordinates; `splits` asks for the housekeeping entropy too.

    Raises
    ------
    TypeError
        For a process that is neither affine nor Langevin.
    """
    if isinstance(process, AffineProcess):
        mechanics: Mechanics = AffineMechanics(process, dim, start, end)
    elif isinstance(process, Langevin):
        mechanics = LangevinMechanics(process, dim, start, end)
    elif isinstance(process, UnderdampedLangevin):
        if splits:
            raise ValueError("odd velocities: the housekeeping entropy of an underdamped process is not defined here")
        mechanics = UnderdampedMechanics(process, dim, start, end)
    else:
        raise TypeError(f"a ledger is kept for affine and Langevin processes; got {type(process).__name__}")
    mechanics.splits, mechanics.dim = splits, dim
    return mechanics


class AffineMechanics(Mechanics):
    """An affine diffusion, D^-1 b = F x + f, in units of the temperature."""

    process: AffineProcess

    def __init__(self, process: AffineProcess, dim: int, start: float, end: float) -> None:
        self.process, self._ends = process, (start, end)
        static = process.static_force(dim)
        self.has_energy = static is not None or process.has_energy(dim)
        self.driven = self.has_energy and static is None
        self.temperature = 1.0
        self._static = static is not None
        self._forces: list[tuple[Tensor, Tensor]] = []
        self._changes: list[tuple[Tensor | None, Tensor, float]] = []
        if not self.has_energy:
            self.force_in, self.curl = self._force, self._circulation

    def renewed(self) -> Mechanics:
        return mechanics_of(self.process, self.dim, *self._ends, splits=self.splits)

    def _force(self, x: Tensor, plan: Plan, k: int) -> Tensor:
        matrix, offset = self._forces_of(plan, x)[k]
        return applied(matrix, x) + offset

    def _forces_of(self, plan: Plan, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        if not self._forces:
            middles = 0.5 * (plan.times[:-1] + plan.times[1:])
            matrix, offset = self.process.force(middles, x.shape[-1])
            self._forces = list(zip(matrix.to(x), offset.to(x), strict=True))
        return self._forces

    def _circulation(self, change: Tensor, plan: Plan, k: int) -> Tensor:
        """What the trapezoid misses of the circulating force, to second order in the step.

        Between its ends a path curves with K = D (F - F^T); with M = (F - F^T)^T D (F - F^T) the mean of what it adds
        is h (change^T M change + h tr(D M)) / 12 (the second part from the fluctuations about the mean path).
        """
        matrix, _ = self._forces_of(plan, change)[k]
        h = plan.lengths[k]
        diffusion = self.process.diffusion_matrix(0.5 * (plan.times[k] + plan.times[k + 1]), change.shape[-1]).to(
            change
        )
        turning = matrix - matrix.mT
        curved = turning.mT @ diffusion @ turning
        return h / 12 * (along(applied(curved, change), change) + h * (diffusion * curved).sum())

    def energy_change(self, x: Tensor, plan: Plan, k: int) -> Tensor:
        square, slope, constant = self._changes_of(plan, x)[k]
        change = along(x, slope) + constant
        return change if square is None else change + along(x, applied(square, x))

    def _changes_of(self, plan: Plan, x: Tensor) -> list[tuple[Tensor | None, Tensor, float]]:
        """Changes of the energy x^T A x + b^T x + c at all edges: None for A where the stiffness stays."""
        if not self._changes:
            ends = torch.tensor(self._ends, dtype=torch.float64)
            times = torch.cat([ends[:1], 0.5 * (plan.times[:-1] + plan.times[1:]), ends[1:]])
            force, centre, rest = self.process.energy_coefficients(times, x.shape[-1])
            pulled = (force @ centre[..., None])[..., 0]
            squares, slopes = (-0.5 * force).diff(dim=0), (pulled - rest).diff(dim=0)
            constants = (-0.5 * (centre * pulled).sum(-1)).diff(dim=0).tolist()
            matrices = [square.to(x) if bool(square.any()) else None for square in squares]
            self._changes = list(zip(matrices, slopes.to(x), constants, strict=True))
        return self._changes

    def energy_before(self, x: Tensor) -> Tensor | float:
        return self.process.energy(x, self._ends[0]) if self.has_energy else 0.0

    def energy_after(self, x: Tensor) -> Tensor | float:
        return self.process.energy(x, self._ends[1]) if self.has_energy else 0.0

    def path_ratio(self, integrator: Integrator, first: State) -> PathRatio | None:
        if isinstance(integrator, Exact):
            return None if self._static else ExactRatio(first)
        if isinstance(integrator, EulerMaruyama):
            ratio = EulerRatio(first)
            return LinearEulerRatio(first) if self._static and ratio.common is not None else ratio
        return StratonovichRatio(first, self._force)


class LangevinMechanics(Mechanics):
    """Overdamped Langevin dynamics with a potential, a further force, or both."""

    process: Langevin

    def __init__(self, process: Langevin, dim: int, start: float, end: float) -> None:
        self.process = process
        self._controls = _end_controls(process, start, end)
        self.has_energy = process.has_energy(dim)
        self.driven = self.has_energy and not process.is_static
        self.temperature = _one_temperature(process)
        if self.temperature is None:
            self.medium_in = self._thermodynamic_force
        if process.has_nonconservative_force:
            self.force_in = self._other_force

    def _other_force(self, x: Tensor, plan: Plan, k: int) -> Tensor:
        return self.process.nonconservative_force_at(x, plan.drives[k])

    def _thermodynamic_force(self, x: Tensor, plan: Plan, k: int) -> Tensor:
        return self.process.thermodynamic_force(x, 0.5 * float(plan.times[k] + plan.times[k + 1]))

    def energy_change(self, x: Tensor, plan: Plan, k: int) -> Tensor:
        return _control_change(self.process, x, plan, k, self._controls)

    def energy_before(self, x: Tensor) -> Tensor | float:
        return self.process.energy_at(x, self._controls[0].to(x)) if self.has_energy else 0.0

    def energy_after(self, x: Tensor) -> Tensor | float:
        return self.process.energy_at(x, self._controls[1].to(x)) if self.has_energy else 0.0

    def path_ratio(self, integrator: Integrator, first: State) -> PathRatio | None:
        if isinstance(integrator, EulerMaruyama) and self.process.additive:
            return EulerRatio(first)
        return None if self.medium_in is not None else StratonovichRatio(first, self._thermodynamic_force)


class UnderdampedMechanics(Mechanics):
    """Underdamped Langevin dynamics: the heat goes through the friction, and the velocities are odd."""

    process: UnderdampedLangevin

    def __init__(self, process: UnderdampedLangevin, dim: int, start: float, end: float) -> None:
        self.process = process
        self._controls = _end_controls(process, start, end)
        self.has_energy = True  # the kinetic energy at least
        self.driven = not process.is_static
        temperatures = process.temperature.flatten().unique()
        self.temperature = float(temperatures[0]) if len(temperatures) == 1 else None
        if process.has_nonconservative_force:
            self.force_in = self._other_force

    def _other_force(self, x: Tensor, plan: Plan, k: int) -> Tensor:
        q = x[..., : x.shape[-1] // 2]
        force = self.process.nonconservative_force_at(q, plan.drives[k])
        return torch.cat([force, torch.zeros_like(force)], -1)

    def energy_change(self, x: Tensor, plan: Plan, k: int) -> Tensor:
        return _control_change(self.process, x, plan, k, self._controls)

    def energy_before(self, x: Tensor) -> Tensor | float:
        return self.process.energy_at(x, self._controls[0].to(x))

    def energy_after(self, x: Tensor) -> Tensor | float:
        return self.process.energy_at(x, self._controls[1].to(x))

    def path_ratio(self, integrator: Integrator, first: State) -> PathRatio | None:
        assert isinstance(integrator, BAOAB)
        return HeatRatio(first)


def _control_change(
    process: Langevin | UnderdampedLangevin, x: Tensor, plan: Plan, k: int, ends: tuple[Tensor, Tensor]
) -> Tensor:
    before = ends[0].to(x) if k == 0 else plan.drives[k - 1]
    after = ends[1].to(x) if k == len(plan.drives) else plan.drives[k]
    return process.energy_at(x, after) - process.energy_at(x, before)


def _end_controls(process: Langevin | UnderdampedLangevin, start: float, end: float) -> tuple[Tensor, Tensor]:
    """The control just before the start and just after the end: jumps there are part of the drive."""
    protocol = process.protocol
    if hasattr(protocol, "before"):
        first = torch.as_tensor(protocol.before(torch.tensor(start, dtype=torch.float64)))  # type: ignore[union-attr]
        last = torch.as_tensor(protocol.after(torch.tensor(end, dtype=torch.float64)))  # type: ignore[union-attr]
        return first, last
    return process.control(start), process.control(end)


def _one_temperature(process: Langevin) -> float | None:
    """The temperature of the only bath, None where there are several, or where D / mu is not a constant."""
    try:
        temperatures = process.temperature.flatten().unique()
    except ValueError:
        return None
    return float(temperatures[0]) if len(temperatures) == 1 and process.additive else None
