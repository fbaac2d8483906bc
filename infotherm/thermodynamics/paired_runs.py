"""The same paths with fine and with coarse steps: what tells how much of a number is the step's doing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from infotherm.processes.integrators import Exact, Integrator
from infotherm.processes.plans import State
from infotherm.thermodynamics.blocks import NormalNoise
from infotherm.thermodynamics.ledger import Current, Ledger
from infotherm.thermodynamics.mechanics import Mechanics
from infotherm.thermodynamics.step_checks import refuse_lost_paths

Entries = dict[str, Tensor]


def paired_run(
    mechanics: Mechanics,
    integrator: Integrator,
    x: Tensor,
    fine: Tensor,
    normal: NormalNoise,
    currents: Mapping[str, Current],
    target: Callable[[Tensor], Tensor] | None,
) -> tuple[Entries, Entries]:
    """The entries of the ledger with steps that skip every second of the times `fine`, and with those times.

    Both runs have the same noise: that of a coarse step is the sum of two fine ones. Exact steps need no such thing:
    the coarse path is the fine one seen at every second time.

    Parameters
    ----------
    mechanics, integrator
        Of the process between the first and the last of the times.
    x
        States at the first time, (n, D).
    fine
        Edges of the fine steps, at least two steps; an odd last step is taken by both.
    normal
        Where the noise comes from.
    currents, target
        As in `Ledger`.

    Returns
    -------
    tuple
        Entries of the coarse and of the fine run, each with the states at the end as "final".
    """
    process = mechanics.process
    coarse = torch.cat([fine[:-1:2], fine[-1:]])
    states = [integrator.init(process, x, times) for times in (coarse, fine)]
    ledgers = [Ledger(integrator, state, mechanics.renewed(), currents, target) for state in states]
    width = integrator.noise_size(process, x.shape[-1])
    first, second = (x.new_empty(len(x), width) for _ in range(2))
    steps = len(fine) - 1
    with torch.no_grad():
        for k in range(0, steps, 2):
            normal.fill(first)
            start = states[0]
            states[1] = ledgers[1].record(states[1], integrator.step(states[1], first))
            noise = first
            if k + 1 < steps:
                normal.fill(second)
                states[1] = ledgers[1].record(states[1], integrator.step(states[1], second))
                noise = (first + second) / math.sqrt(2)
            if isinstance(integrator, Exact):
                after = State(states[1].x, start.index + 1, start.plan)
            else:
                after = integrator.step(start, noise)
            states[0] = ledgers[0].record(start, after)
        entries = []
        for state, ledger in zip(states, ledgers, strict=True):
            refuse_lost_paths(state, integrator)
            entries.append(ledger.close(state) | {"final": state.x})
    return entries[0], entries[1]
