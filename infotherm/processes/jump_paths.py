"""Exact simulation of jumps and chains, all paths of a block at once, with running sums instead of stored paths."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import Generator, as_tensor, require_finite
from infotherm.distributions.discrete import Discrete, draw_indices
from infotherm.processes.chain import MarkovChain, whole_steps
from infotherm.processes.jump import MarkovJump
from infotherm.processes.jump_steps import BoundExceeded, Step, Thinned, by_edge, chain_steps, waiting_steps

BLOCK = 4096  # paths that share a generator; a path depends on the seed and its own number alone


@dataclass(frozen=True, eq=False)
class JumpPaths:
    """What each simulated path did, shape (n_paths,) each.

    Attributes
    ----------
    initial, final
        First and last state, int64.
    jumps
        How often it jumped (for a chain: moved to another state).
    medium_entropy
        Sum over its jumps i -> j by reservoir r of log(k_r[i, j] / k_r[j, i]), in nats; infinite after a jump that
        cannot be undone.
    heat
        The same sum with each term times the temperature of its reservoir; for a chain the medium entropy.
    sums
        Sums over its jumps of the weights asked for, by name.
    first_passage
        First time in the target set, infinite where it was never there; None without a target.
    times, visited
        Only with `keep_paths`: times of the jumps (n_paths, n), infinite beyond the last one, and the states
        (n_paths, n + 1) from the first on, the last one repeated.
    """

    initial: Tensor
    final: Tensor
    jumps: Tensor
    medium_entropy: Tensor
    heat: Tensor
    sums: Mapping[str, Tensor] = field(default_factory=dict)
    first_passage: Tensor | None = None
    times: Tensor | None = None
    visited: Tensor | None = None

    def states_at(self, times: Any) -> Tensor:
        """The states at given times (n_times,), shape (n_times, n_paths); needs `keep_paths`."""
        if self.times is None or self.visited is None:
            raise ValueError("these paths were not kept: simulate with keep_paths=True")
        times = as_tensor(times, "times", dtype=torch.float64, device=self.times.device)
        passed = torch.searchsorted(self.times, times.expand(len(self.times), -1).contiguous(), right=True)
        return self.visited.gather(1, passed).T


def simulate_jump_paths(
    process: MarkovJump | MarkovChain,
    p0: Discrete,
    duration: float,
    n_paths: int,
    *,
    start: float = 0.0,
    weights: Mapping[str, Any] | None = None,
    target: Any = None,
    generator: Generator = None,
    keep_paths: bool = False,
    rate_bound: float | None = None,
) -> JumpPaths:
    """Paths of a jump process or a chain over `duration` from the law p0, exact in law.

    Constant rates: exponential waiting times (the stochastic simulation algorithm). Driven rates: candidates at a rate
    that no state exceeds are accepted or thinned. All paths of a block of 4096 are moved at once; each block has its
    own generator, made of the seed and its number, so that path 17 is the same in every call with this seed.

    Parameters
    ----------
    process
        A MarkovJump or a MarkovChain, without a batch.
    p0
        A Discrete law of one part.
    duration
        Time, for a chain a number of steps.
    n_paths
        Number of paths.
    start
        Time of the first state; matters where rates are driven.
    weights
        Named weights (K, K) or, by reservoir, (R, K, K): each jump i -> j adds its weight.
    target
        States whose first visit is timed.
    generator
        A seed, a torch.Generator from which one is drawn, or None.
    keep_paths
        Whether to keep times and states of all jumps.
    rate_bound
        A number that no exit rate exceeds at any time, for driven rates; 1.25 times the largest of 1025 times unless
        given. It is verified at every candidate: where it fails the block begins anew with twice the bound.

    Raises
    ------
    ValueError
        For a batch of processes or laws, a wrong number of states, or a `rate_bound` given that fails.

    References
    ----------
    Gillespie, J. Phys. Chem. 81 (1977) 2340; Lewis and Shedler, Naval Res. Logist. Quart. 26 (1979) 403 (thinning).

    Examples
    --------
    >>> ring = MarkovJump([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]])
    >>> paths = simulate_jump_paths(ring, Discrete([1.0, 0.0, 0.0]), 2.0, 1000, generator=0)
    >>> 7.5 < paths.jumps.double().mean() < 8.5
    tensor(True)
    """
    if not isinstance(process, MarkovJump | MarkovChain):
        raise TypeError(f"process must be a MarkovJump or a MarkovChain; got {type(process).__name__}")
    if process.batch_shape or p0.batch_shape or p0.dim != 1 or p0.alphabet[0] != process.states:
        raise ValueError(
            f"simulation takes one process and one law of one part with {process.states} outcomes; got batches "
            f"{tuple(process.batch_shape)} and {tuple(p0.batch_shape)}, {' x '.join(map(str, p0.alphabet))} outcomes"
        )
    if isinstance(n_paths, bool) or int(n_paths) != n_paths or n_paths < 1:
        raise ValueError(f"n_paths must be a whole number of at least 1; got {n_paths!r}")
    n_paths = int(n_paths)
    duration = float(require_finite(as_tensor(duration, "duration"), "duration"))
    if duration < 0:
        raise ValueError(f"duration must be >= 0; got {duration}")
    process._interval(start, start + duration)
    reservoirs = process.reservoirs if isinstance(process, MarkovJump) else 1
    tables = {
        name: by_edge(_unbatched(edge_weights(process, w, f"weights[{name!r}]"), name), reservoirs)
        for name, w in (weights or {}).items()
    }
    hit = target_mask(process, target)
    seed = seed_of(generator, process.device)
    if isinstance(process, MarkovChain):
        whole_steps(duration, "duration")
        step = chain_steps(process, int(duration))
    elif process.driven:
        step = Thinned(process, float(start), duration, rate_bound)
    else:
        step = waiting_steps(process, duration)
    blocks = []
    for number in range(-(-n_paths // BLOCK)):
        own = block_generator(seed, number, process.device)
        initial = draw_indices(p0.pmf.to(process.device), (BLOCK,), own)
        blocks.append(_block(process, step, initial, own, tables, hit, keep_paths))
    return _joined(blocks, n_paths)


def edge_weights(process: MarkovJump | MarkovChain, weights: Any, name: str) -> Tensor:
    """Weights of the jumps i -> j as a tensor (..., R, K, K); weights without an axis of reservoirs hold for all.

    Raises
    ------
    ValueError
        For another shape, or weights that are not finite.
    """
    found = require_finite(as_tensor(weights, name, dtype=process.dtype, device=process.device), name)
    reservoirs, states = process.reservoirs if isinstance(process, MarkovJump) else 1, process.states
    if found.ndim < 2 or found.shape[-2:] != (states, states):
        raise ValueError(f"{name} must have shape (..., {states}, {states}); got {tuple(found.shape)}")
    if reservoirs == 1 or found.ndim == 2:
        return found.unsqueeze(-3)
    if found.shape[-3] != reservoirs:
        raise ValueError(
            f"{name} must have shape ({states}, {states}) or (..., {reservoirs}, {states}, {states}), one matrix for "
            f"each reservoir; got {tuple(found.shape)}"
        )
    return found


def _unbatched(weights: Tensor, name: str) -> Tensor:
    if weights.ndim > 3:
        raise ValueError(f"weights[{name!r}] must be those of one sum; got a batch {tuple(weights.shape[:-3])}")
    return weights


def seed_of(generator: Generator, device: torch.device | str = "cpu") -> int:
    """The seed that a generator stands for: an int is itself, from a generator one is drawn."""
    if generator is not None and not isinstance(generator, torch.Generator):
        if isinstance(generator, bool) or int(generator) != generator:
            raise TypeError(f"generator must be a torch.Generator or an integer seed; got {generator!r}")
        return int(generator)
    device = generator.device if generator is not None else "cpu"
    return int(torch.randint(2**62, (), generator=generator, device=device))


def block_generator(seed: int, number: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of one block of paths: from a digest of the seed and the block's number."""
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=8).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "little") >> 1)


# -- one block ---------------------------------------------------------------------------------------------------------


def _block(
    process: MarkovJump | MarkovChain,
    step: Step,
    initial: Tensor,
    generator: torch.Generator,
    tables: dict[str, Tensor],
    hit: Tensor | None,
    keep: bool,
) -> dict[str, Any]:
    """The paths of one block: all of them take a step at a time until the last is done."""
    before = generator.get_state()
    for _ in range(64):
        generator.set_state(before)
        try:
            return _followed(process, step, initial, generator, tables, hit, keep)
        except BoundExceeded:
            assert isinstance(step, Thinned)
            step = step.doubled()
    raise ValueError("the rates have no bound that could be found: they grow without limit within the duration")


def _followed(
    process: MarkovJump | MarkovChain,
    step: Step,
    initial: Tensor,
    generator: torch.Generator,
    tables: dict[str, Tensor],
    hit: Tensor | None,
    keep: bool,
) -> dict[str, Any]:
    n, size, device = len(initial), process.states, initial.device
    double = {"dtype": torch.float64, "device": device}
    state, time = initial.clone(), torch.zeros(n, **double)
    jumps = torch.zeros(n, dtype=torch.int64, device=device)
    medium, heat = torch.zeros(n, **double), torch.zeros(n, **double)
    sums = {name: torch.zeros(n, **double) for name in tables}
    first = None if hit is None else torch.where(hit[initial], 0.0, torch.inf).to(torch.float64)
    temperature = process.temperature.double() if isinstance(process, MarkovJump) else torch.ones((), **double)
    record: list[tuple[Tensor, ...]] = []
    active = torch.arange(n, device=device)
    while len(active):
        at, jumped, edge, ratio, done = step(state[active], time[active], generator)
        time[active] = at
        here, at, edge, ratio = (x[jumped] for x in (active, at, edge, ratio))
        goal = edge % size
        moved = goal != state[here]
        jumps[here] += moved
        medium[here] += ratio
        if temperature.ndim:
            heat[here] += ratio * temperature[edge // size % len(temperature)]
        for name, table in tables.items():
            sums[name][here] += table[edge]
        state[here] = goal
        if first is not None and hit is not None:
            first[here] = torch.where(hit[goal], torch.minimum(first[here], at), first[here])
        if keep:
            record.append((here[moved], jumps[here][moved] - 1, at[moved], goal[moved]))
        active = active[~done]
    kept = _padded(record, initial, int(jumps.max())) if keep else {}
    return {
        "initial": initial,
        "final": state,
        "jumps": jumps,
        "medium_entropy": medium,
        "heat": heat if temperature.ndim else temperature * medium,
        "sums": sums,
        "first_passage": first,
        **kept,
    }


def _padded(record: list[tuple[Tensor, ...]], initial: Tensor, most: int) -> dict[str, Tensor]:
    times = torch.full((len(initial), most), torch.inf, dtype=torch.float64, device=initial.device)
    visited = torch.full((len(initial), most + 1), -1, dtype=torch.int64, device=initial.device)
    visited[:, 0] = initial
    for path, number, time, goal in record:
        times[path, number] = time
        visited[path, number + 1] = goal
    position = torch.where(visited >= 0, torch.arange(most + 1, device=initial.device), 0).cummax(1).values
    return {"times": times, "visited": visited.gather(1, position)}


def _joined(blocks: list[dict[str, Any]], n_paths: int) -> JumpPaths:
    def together(parts: list[Any]) -> Any:
        if parts[0] is None:
            return None
        if isinstance(parts[0], dict):
            return {name: together([part[name] for part in parts]) for name in parts[0]}
        if parts[0].ndim == 2:  # padded records: the longest decides
            longest = max(part.shape[1] for part in parts)
            parts = [_lengthened(part, longest) for part in parts]
        return torch.cat(parts)[:n_paths]

    return JumpPaths(**{name: together([block[name] for block in blocks]) for name in blocks[0]})


def _lengthened(part: Tensor, length: int) -> Tensor:
    missing = length - part.shape[1]
    if part.is_floating_point():
        return torch.cat([part, part.new_full((len(part), missing), torch.inf)], 1)
    return torch.cat([part, part[:, -1:].expand(-1, missing)], 1)


def target_mask(process: MarkovJump | MarkovChain, target: Any) -> Tensor | None:
    """The states of the target as a mask (K,), None without one."""
    if target is None:
        return None
    index = as_tensor(target, "target", device=process.device).flatten()
    legal = (index >= 0) & (index < process.states) & (index == index.floor())
    if not len(index) or not bool(legal.all()):
        raise ValueError(f"target must hold states from 0 to {process.states - 1}; got {index.tolist()}")
    mask = torch.zeros(process.states, dtype=torch.bool, device=process.device)
    mask[index.long()] = True
    return mask
