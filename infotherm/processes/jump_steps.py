"""One move of all paths of a block: a waiting time and a jump, a step of a chain, or a candidate that is thinned."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from infotherm.processes.chain import MarkovChain
from infotherm.processes.jump import MarkovJump

Step = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]
"""States and times (n,) -> time, whether it jumped, along which edge, log ratio of the rates, whether it is done.

The edge from i to j by reservoir r has the number (i R + r) K + j.
"""


class BoundExceeded(Exception):
    """A rate that thinning met is above the bound."""


def _log_ratio(rates: Tensor) -> Tensor:
    """log(k[..., i, j] / k[..., j, i]) where k[..., i, j] > 0, infinite where the reverse is zero; 0 elsewhere."""
    forward, backward = rates.double(), rates.mT.double()
    ratio = torch.where(backward > 0, forward.log() - backward.log(), torch.inf)
    return torch.where(forward > 0, ratio, 0.0)


def by_edge(table: Tensor, reservoirs: int) -> Tensor:
    """A table (R, K, K) or (1, K, K) as a vector over the edges."""
    return table.expand(reservoirs, *table.shape[1:]).transpose(0, 1).flatten().double()


def _uniforms(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Twice n uniform numbers in (0, 1], float64."""
    draws = torch.rand((2, n), generator=generator, dtype=torch.float64, device=generator.device)
    return 1 - draws[0], 1 - draws[1]


def _pick(cumulated: Tensor, height: Tensor) -> Tensor:
    """For each row (n, M) of running sums, the first index whose sum reaches `height` (n,); M where none does."""
    return torch.searchsorted(cumulated, height[:, None])[:, 0]


def waiting_steps(process: MarkovJump, duration: float) -> Step:
    """Exponential waiting times at constant rates."""
    rates = process.reservoir_rates_at().detach().double()
    cumulated = rates.movedim(-2, 0).flatten(1).cumsum(-1).contiguous()  # (K, R K)
    exits, width = cumulated[:, -1].contiguous(), cumulated.shape[-1]
    ratio = by_edge(_log_ratio(rates), process.reservoirs)

    def step(state: Tensor, time: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        first, second = _uniforms(len(state), generator)
        own = exits[state]
        at = time - first.log() / own  # infinite in an absorbing state
        done = ~(at <= duration)
        edge = state * width + _pick(cumulated[state], second * own).clamp(max=width - 1)
        return torch.where(done, duration, at), ~done, edge, ratio[edge], done

    return step


def chain_steps(process: MarkovChain, steps: int) -> Step:
    """One step of a chain after the other."""
    cumulated = process.matrix.detach().double().cumsum(-1)
    cumulated = (cumulated / cumulated[:, -1:]).contiguous()
    ratio = by_edge(_log_ratio(process.matrix)[None], 1)

    def step(state: Tensor, time: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        goal = _pick(cumulated[state], _uniforms(len(state), generator)[0]).clamp(max=process.states - 1)
        at = (time + 1).clamp(max=steps)
        edge = state * process.states + goal
        return at, torch.full_like(goal, steps > 0, dtype=torch.bool), edge, ratio[edge], at >= steps

    return step


class Thinned:
    """Candidates at a rate that no exit rate exceeds, of which the rates at their time accept some."""

    def __init__(
        self, process: MarkovJump, start: float, duration: float, given: float | None, factor: float = 1.25
    ) -> None:
        self.process, self.start, self.duration, self.given, self.factor = process, start, duration, given, factor
        if given is not None:
            self.bound = float(given)
            return
        grid = torch.linspace(0, 1, 1025, dtype=torch.float64, device=process.device)
        times = torch.cat([start + duration * grid, process.breakpoints.to(grid)])
        times = times[(times >= start) & (times <= start + duration)]
        self.bound = factor * float(process.rates_at(times).sum(-1).amax())

    def doubled(self) -> Thinned:
        if self.given is not None:
            raise ValueError(f"rate_bound must not be below an exit rate; got {self.given}, and a rate above it")
        return Thinned(self.process, self.start, self.duration, None, 2 * self.factor)

    def __call__(
        self, state: Tensor, time: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        n, size = len(state), self.process.states
        first, second = _uniforms(n, generator)
        at = time - first.log() / self.bound if self.bound > 0 else torch.full_like(time, torch.inf)
        done = ~(at <= self.duration)
        at = torch.where(done, self.duration, at)
        rates = self.process.reservoir_rates_at(self.start + at).detach().double()
        path = torch.arange(n, device=state.device)
        cumulated = rates[path, :, state].reshape(n, -1).cumsum(-1).contiguous()  # (n, R K)
        if bool((cumulated[:, -1] > self.bound)[~done].any()):
            raise BoundExceeded
        choice = _pick(cumulated, second * self.bound)
        jumped = (choice < cumulated.shape[-1]) & ~done
        choice = choice.clamp(max=cumulated.shape[-1] - 1)
        reservoir, goal = choice // size, choice % size
        forward, backward = rates[path, reservoir, state, goal], rates[path, reservoir, goal, state]
        ratio = torch.where(backward > 0, forward.log() - backward.log(), torch.inf)
        return at, jumped, state * cumulated.shape[-1] + choice, ratio, done
