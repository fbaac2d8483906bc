"""Integrators of diffusions as `init` and `step`: from a state, and noise drawn outside, to the next state.

The drive is frozen at the middle of each step, which is exact to second order. `times` are the edges of the steps;
noise has shape (..., M) for M noises, standard normal. What each scheme is good for:

| scheme | transient (weak order) | stationary averages | evaluations of the drift |
|---|---|---|---|
| `Exact` | exact (affine drift only) | exact | 0 |
| `EulerMaruyama` | 1 | 1 | 1 |
| `StochasticHeun` | 2 (additive noise) | 2 | 2 |
| `LeimkuhlerMatthews` | 1 | 2, with a small constant | 1 |
| `BAOAB` (underdamped) | 2 | 2, exact for harmonic positions | 1 |
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from infotherm.processes.base import AffineProcess, DiffusionProcess
from infotherm.processes.plans import Drift, Plan, State, checked, exact_plan, kicked, middles_of, planned, varies
from infotherm.processes.underdamped import UnderdampedLangevin

Formula = Callable[[Drift, Tensor, Tensor, Any, Tensor, Tensor], Tensor]


class Integrator(ABC):
    """A scheme: `init` plans a run, `step` makes one step.

    Attributes
    ----------
    name
        As `simulate` knows it.
    weak_order, strong_order, stationary_order
        Orders in the step for additive noise (infinite: exact): of means of smooth functions at a fixed time, of paths,
        and of means in the stationary law.
    """

    name: str
    weak_order: float
    strong_order: float
    stationary_order: float

    @abstractmethod
    def init(self, process: DiffusionProcess, x: Any, times: Any) -> State:
        """The state before the first step.

        Parameters
        ----------
        process
            The process.
        x
            States at times[0], shape (..., D); their dtype and device are kept.
        times
            Edges of the steps (n_steps + 1,), increasing.

        Raises
        ------
        TypeError
            When the scheme does not fit the process.
        ValueError
            For times that do not increase.
        """

    @abstractmethod
    def step(self, state: State, noise: Tensor) -> State:
        """The state one step later, from standard normal noise (..., M)."""

    def compiled(self, state: State) -> State:
        """The state with a plan whose drift, and the whole step where that is one formula, go through torch.compile.

        Nothing is compiled before the first call; what a compiler raises, it raises there.
        """
        plan = state.plan
        fused = None
        if self.formula is not None and plan.noises is not None and isinstance(plan.noises[0], float):
            formula, drift = self.formula, plan.drift
            fused = torch.compile(
                lambda x, noise, drive, h, scale: formula(drift, x, noise, drive, h, scale), dynamic=False
            )
        return replace(state, plan=replace(plan, drift=torch.compile(plan.drift, dynamic=False), fused=fused))

    formula: Formula | None = None
    """The step as one formula of (drift, x, noise, drive, h, scale), for the compiler."""

    def noise_size(self, process: DiffusionProcess, dim: int) -> int:
        """How many normal numbers M a step needs for each state."""
        if process.isotropic or not process.additive:
            return dim if process.isotropic else _columns(process, dim)
        return process.diffusion(_first(process)).shape[-1]


def _euler(drift: Drift, x: Tensor, noise: Tensor, drive: Any, h: Tensor, scale: Tensor) -> Tensor:
    return x + h * drift(x, drive) + scale * noise


def _heun(drift: Drift, x: Tensor, noise: Tensor, drive: Any, h: Tensor, scale: Tensor) -> Tensor:
    first, noisy = drift(x, drive), x + scale * noise
    return noisy + 0.5 * h * (first + drift(noisy + h * first, drive))


class EulerMaruyama(Integrator):
    """x' = x + b h + sigma sqrt(h) R: the plainest scheme; the ratio of a step and its reversal has a closed form.

    A drift at x that somebody has worked out already may be handed in as `state.carried`.
    """

    name = "euler-maruyama"
    formula = staticmethod(_euler)
    weak_order, strong_order, stationary_order = 1.0, 1.0, 1.0

    def init(self, process: DiffusionProcess, x: Any, times: Any) -> State:
        x, plan = planned(process, x, times)
        return State(x, 0, plan)

    def step(self, state: State, noise: Tensor) -> State:
        x, k, plan = state.x, state.index, state.plan
        if plan.fused is not None:
            return State(_fused(plan, x, noise, k), k + 1, plan)
        drift = state.carried if state.carried is not None and not plan.driven else plan.drift(x, plan.drives[k])
        moved = torch.add(x, drift, alpha=plan.lengths[k])
        return State(kicked(moved, noise, plan, k, x), k + 1, plan)


class StochasticHeun(Integrator):
    """x' = x + (b(x) + b(y)) h / 2 + sigma sqrt(h) R with y the Euler step: weak order 2 for additive noise.

    Raises
    ------
    TypeError
        For multiplicative noise, for which it would converge to the Stratonovich reading.
    """

    name = "stochastic-heun"
    formula = staticmethod(_heun)
    weak_order, strong_order, stationary_order = 2.0, 1.0, 2.0

    def init(self, process: DiffusionProcess, x: Any, times: Any) -> State:
        _needs_additive(process, self.name)
        x, plan = planned(process, x, times)
        return State(x, 0, plan)

    def step(self, state: State, noise: Tensor) -> State:
        x, k, plan = state.x, state.index, state.plan
        if plan.fused is not None:
            return State(_fused(plan, x, noise, k), k + 1, plan)
        h = plan.lengths[k]
        first = plan.drift(x, plan.drives[k])
        noisy = kicked(x, noise, plan, k, x)
        second = plan.drift(torch.add(noisy, first, alpha=h), plan.drives[k])
        return State(torch.add(noisy, first + second, alpha=0.5 * h), k + 1, plan)


class LeimkuhlerMatthews(Integrator):
    """x' = x + b h + sigma sqrt(h) (R + R') / 2 with R' the noise of the next step: one drift, stationary order 2.

    References
    ----------
    Leimkuhler and Matthews, "Rational construction of stochastic numerical methods for molecular sampling", Appl. Math.
    Res. Express 2013, 34, eq. 1.7.
    """

    name = "leimkuhler-matthews"
    weak_order, strong_order, stationary_order = 1.0, 1.0, 2.0

    def init(self, process: DiffusionProcess, x: Any, times: Any) -> State:
        _needs_additive(process, self.name)
        x, plan = planned(process, x, times)
        return State(x, 0, plan)

    def step(self, state: State, noise: Tensor) -> State:
        # the noise handed in is that of the step's end; before the first step there is none
        x, k, plan = state.x, state.index, state.plan
        moved = torch.add(x, plan.drift(x, plan.drives[k]), alpha=plan.lengths[k])
        halves = 0.5 * (noise if state.carried is None else state.carried + noise)
        return State(kicked(moved, halves, plan, k, x), k + 1, plan, noise.clone())


class Exact(Integrator):
    """The exact transition of an affine process: no error of the step at all.

    Raises
    ------
    TypeError
        For a process whose drift is not affine.
    """

    name = "exact"
    weak_order = strong_order = stationary_order = math.inf

    def init(self, process: DiffusionProcess, x: Any, times: Any) -> State:
        if not isinstance(process, AffineProcess):
            raise TypeError(f"exact steps need an affine process; got {type(process).__name__}")
        x, times = checked(process, x, times)
        return State(x, 0, exact_plan(process, x, times))

    def step(self, state: State, noise: Tensor) -> State:
        x, k, plan = state.x, state.index, state.plan
        return State(kicked(plan.drift(x, plan.drives[k]), noise, plan, k, x), k + 1, plan)

    def noise_size(self, process: DiffusionProcess, dim: int) -> int:
        return dim


class BAOAB(Integrator):
    """Underdamped Langevin by half kick, half drift, exact friction and noise, half drift, half kick.

    `state.carried` holds the force at the end of the step and the heat given to the bath in the friction part, in units
    of each coordinate's temperature: log of the probability of the step over that of its reversal, exactly.

    References
    ----------
    Leimkuhler and Matthews, "Robust and efficient configurational molecular sampling via Langevin dynamics", J. Chem.
    Phys. 138 (2013) 174102.
    """

    name = "baoab"
    weak_order, strong_order, stationary_order = 2.0, 1.0, 2.0

    def init(self, process: DiffusionProcess, x: Any, times: Any) -> State:
        if not isinstance(process, UnderdampedLangevin):
            raise TypeError(f"BAOAB is for UnderdampedLangevin; got {type(process).__name__}")
        x, times = checked(process, x, times)
        lengths = times.diff().tolist()
        drives = list(process.control(middles_of(times)).to(x))
        mass, temperature = process.mass.to(x), process.temperature.to(x)
        noises = []
        for h in lengths:
            kept = torch.exp(-process.friction.to(x) * h / mass)
            lost = -torch.expm1(-2 * process.friction.to(x) * h / mass)
            noises.append((kept, (lost * temperature / mass).sqrt()))
        plan = Plan(process, times, lengths, drives, process.total_force_at, noises, varies(process, drives))
        return State(x, 0, plan, (None, None))

    def step(self, state: State, noise: Tensor) -> State:
        x, k, plan = state.x, state.index, state.plan
        process = plan.process
        assert isinstance(process, UnderdampedLangevin) and plan.noises is not None
        h, drive = plan.lengths[k], plan.drives[k]
        mass, temperature = process.mass.to(x), process.temperature.to(x)
        q, v = x.chunk(2, -1)
        force = state.carried[0]
        if force is None or plan.driven:
            force = plan.drift(q, drive)
        v = v + (0.5 * h) * force / mass
        q = torch.add(q, v, alpha=0.5 * h)
        kept, spread = plan.noises[k]
        slowed = kept * v + spread * noise
        given = (0.5 * mass * (v.square() - slowed.square()) / temperature).sum(-1)
        q = torch.add(q, slowed, alpha=0.5 * h)
        force = plan.drift(q, drive)
        v = slowed + (0.5 * h) * force / mass
        return State(torch.cat([q, v], -1), k + 1, plan, (force, given))

    def noise_size(self, process: DiffusionProcess, dim: int) -> int:
        return dim // 2


INTEGRATORS = {scheme.name: scheme for scheme in (Exact, EulerMaruyama, StochasticHeun, LeimkuhlerMatthews, BAOAB)}


def integrator_for(process: DiffusionProcess, method: str = "auto") -> Integrator:
    """The integrator of that name; "auto" takes the first that fits of exact, BAOAB, Heun and Euler-Maruyama.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if method == "auto":
        if isinstance(process, AffineProcess):
            return Exact()
        if isinstance(process, UnderdampedLangevin):
            return BAOAB()
        return StochasticHeun() if process.additive else EulerMaruyama()
    if method not in INTEGRATORS:
        raise ValueError(f"method must be 'auto' or one of {', '.join(INTEGRATORS)}; got {method!r}")
    return INTEGRATORS[method]()


def _fused(plan: Plan, x: Tensor, noise: Tensor, k: int) -> Tensor:
    """A compiled step; numbers go in as tensors, since each new number would be compiled anew."""
    assert plan.fused is not None and plan.noises is not None
    drive = torch.tensor(plan.drives[k]) if isinstance(plan.drives[k], float) else plan.drives[k]
    return plan.fused(x, noise, drive, torch.tensor(plan.lengths[k]), torch.tensor(plan.noises[k]))


def _needs_additive(process: DiffusionProcess, name: str) -> None:
    if not process.additive:
        raise TypeError(f"{name} needs noise that does not depend on the state: take euler-maruyama")


def _columns(process: DiffusionProcess, dim: int) -> int:
    return process.noise_at(torch.zeros(1, dim, dtype=torch.float64), _first(process)).shape[-1]


def _first(process: DiffusionProcess) -> float:
    return 0.0 if process.start is None else process.start
