"""The ledger: work, heat, medium entropy and the log path ratio of paths, summed up while they are stepped.

A step freezes the drive at its middle, c_k: between the steps the drive changes at fixed states, which is work, and
during a step the states change at fixed drive, which is heat. With energy V, other force f and F = D^-1 (b - div D)

    W  = sum over nodes of V(x_k, c_k) - V(x_k, c_(k-1))  +  sum over steps of f o dx
    Q  = W - V(x_n, c(t_n)) + V(x_0, c(t_0))
    medium entropy = Q / T for one temperature, else the sum of F o dx: the heat of each bath over its temperature

with o the trapezoidal (Stratonovich) product. Without an energy V = 0, f is the whole force, and all work is heat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from infotherm.processes.integrators import Integrator
from infotherm.processes.plans import State
from infotherm.thermodynamics.mechanics import Mechanics
from infotherm.thermodynamics.path_ratios import LinearEulerRatio, along, trapezoid

Current = Callable[[Tensor], Tensor]


class Ledger:
    """Accumulates the entries of a block of paths.

    Parameters
    ----------
    integrator, first
        The scheme and its state before the first step.
    mechanics
        What the process says of energies and forces, from `mechanics_of`.
    currents
        Functions of the states with values (..., D); each gives the sum of j((x + x') / 2) . (x' - x).
    target
        A function of the states with truth values (...): the time of the first node in it is kept.

    Attributes
    ----------
    idle
        Whether the steps add nothing: the ends of the paths are all that counts.
    """

    def __init__(
        self,
        integrator: Integrator,
        first: State,
        mechanics: Mechanics,
        currents: Mapping[str, Current],
        target: Callable[[Tensor], Tensor] | None,
    ) -> None:
        self._mechanics = mechanics
        self._currents, self._target = currents, target
        _check_shapes(first.x, currents, target)
        zero = torch.zeros(first.x.shape[:-1], dtype=first.x.dtype, device=first.x.device)
        self._work, self._medium = zero, zero
        self._flows = {name: zero for name in currents}
        self._passage = None
        if target is not None:
            self._passage = torch.where(target(first.x), float(first.plan.times[0]), torch.inf).to(zero)
        self._steps = mechanics.path_ratio(integrator, first)
        # what a step must do for the ledger is known beforehand: often nothing
        sums = mechanics.force_in is not None or mechanics.medium_in is not None
        self._moves = bool(currents) or sums or (self._steps is not None and self._steps.needs_change)
        adds = self._steps is not None and not isinstance(self._steps, LinearEulerRatio)
        self.idle = not (self._moves or mechanics.driven or adds or target is not None)
        self._energy = mechanics.energy_before(first.x)
        if mechanics.driven:
            self._work = mechanics.energy_change(first.x, first.plan, 0)
        self._frozen = mechanics.frozen_laws(first.plan)
        if self._frozen is not None:
            self.idle = False
            self._surprisal = self._frozen.surprisal(first.x, 0)
            self._switched = zero + self._frozen.change(first.x, 0)

    def record(self, before: State, after: State) -> State:
        """Enter one step; returns the state after it, with what was worked out on the way."""
        if self.idle:
            return after
        mechanics, plan, k = self._mechanics, before.plan, before.index
        x, moved = before.x, after.x
        change = moved - x if self._moves else moved  # where nothing is added up along it, it is not looked at
        if mechanics.force_in is not None:
            self._work = self._work + trapezoid(mechanics.force_in, x, moved, change, plan, k)
            if mechanics.curl is not None:
                self._work = self._work + mechanics.curl(change, plan, k)
        if mechanics.medium_in is not None:
            self._medium = self._medium + trapezoid(mechanics.medium_in, x, moved, change, plan, k)
        if mechanics.driven:
            self._work = self._work + mechanics.energy_change(moved, plan, k + 1)
        if self._frozen is not None:
            self._switched = self._switched + self._frozen.change(moved, k + 1)
        if self._steps is not None:
            after = self._steps.add(before, after, change)
        for name, current in self._currents.items():
            self._flows[name] = self._flows[name] + along(current(0.5 * (x + moved)), change)
        if self._target is not None and self._passage is not None:
            reached = self._target(moved) & torch.isinf(self._passage)
            self._passage = torch.where(reached, float(plan.times[k + 1]), self._passage)
        return after

    def close(self, last: State) -> dict[str, Tensor]:
        """The entries, with the boundary terms of the energy; `kernel` is the log ratio of the steps alone."""
        mechanics = self._mechanics
        heat = self._work - (mechanics.energy_after(last.x) - self._energy)
        steps = None if self._steps is None else self._steps.total(last)
        if mechanics.temperature is not None:
            medium = heat / mechanics.temperature
        elif mechanics.medium_in is not None:
            medium = self._medium
        else:
            assert steps is not None
            medium = steps
        entries = {"work": self._work, "heat": heat, "medium_entropy": medium}
        entries["kernel"] = medium if steps is None else steps
        if self._passage is not None:
            entries["first_passage"] = self._passage
        if self._frozen is not None:
            gained = self._frozen.surprisal(last.x, -1) - self._surprisal
            entries |= {"hatano_sasa": self._switched, "housekeeping": medium - self._switched + gained}
        return entries | {f"current {name}": flow for name, flow in self._flows.items()}


def _check_shapes(x: Tensor, currents: Mapping[str, Current], target: Callable[[Tensor], Tensor] | None) -> None:
    """Refuse functions whose values would broadcast against the states, into numbers that mean nothing.

    Raises
    ------
    ValueError
        Naming the function, the shape expected and the one that came.
    """
    named = {f"the current {name!r}": (function, x.shape) for name, function in currents.items()}
    if target is not None:
        named["target"] = (target, x.shape[:-1])
    for name, (function, shape) in named.items():
        found = function(x).shape
        if found != shape:
            raise ValueError(
                f"{name} must give shape {tuple(shape)} at states of shape {tuple(x.shape)}; got {tuple(found)}"
            )
