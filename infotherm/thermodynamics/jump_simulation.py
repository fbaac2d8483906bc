"""Simulation of jump processes and chains: exact paths with their work, heat, entropies, currents and first passage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.tensors import Generator, as_generator, as_tensor, stream_of
from infotherm.distributions import Discrete, as_distribution
from infotherm.processes import MarkovChain, MarkovJump
from infotherm.processes.jump_paths import seed_of, simulate_jump_paths
from infotherm.thermodynamics.jump_entropy import check_states
from infotherm.thermodynamics.trajectory import Trajectories


def simulate_jumps(
    process: MarkovJump | MarkovChain,
    p0: Any,
    duration: float,
    n_paths: int,
    *,
    counting: Any = None,
    target: Any = None,
    start: float | None = None,
    save: Any = None,
    generator: Generator = None,
    rate_bound: float | None = None,
) -> Trajectories:
    r"""Paths of a jump process or a chain, exact in law, and the ledger of each.

    medium_entropy = sum over jumps i -> j of log(k_ij / k_ji); system_entropy = log p_0(x_0) - log p_T(x_T), with p_T
    from the transition; entropy_production = their sum = log_path_ratio, the logarithm of the probability of the path
    over that of its reversal. heat = temperature times medium entropy, reservoir by reservoir; work = (change of
    energy) + heat, with the energies of the process (zero unless it has some).

    Parameters
    ----------
    process
        A MarkovJump, constant or driven, or a MarkovChain; no batch.
    p0
        A Discrete law of one part.
    duration
        Time, for a chain a number of steps.
    n_paths
        Number of paths.
    counting
        Weights (K, K) of the jumps i -> j, or by reservoir (R, K, K): their sum is the current "current"; or a mapping
        from names to such weights.
    target
        States whose first visit is timed: `first_passage`, infinite where it does not happen within the duration.
    start
        Time of the first state, where the rates are driven.
    save
        Times (n_saved,), counted from the start, at which to keep the states; or a number of equally spaced ones.
    generator
        A seed, a torch.Generator, or None. A path depends on the seed and its number alone.
    rate_bound
        A bound on the exit rates, for driven rates; see `simulate_jump_paths`.

    Returns
    -------
    Trajectories
        Entries of shape (n_paths,), initial and final states (n_paths, 1), int64. A jump of no return gives infinite
        entropy. Chains have neither work nor heat.

    Raises
    ------
    ValueError
        For batches, or a law that is not one of the states.

    References
    ----------
    Seifert, Rep. Prog. Phys. 75 (2012) 126001, sec. 6.

    Examples
    --------
    >>> ring = MarkovJump([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]])
    >>> simulate_jumps(ring, Discrete([1.0, 0.0, 0.0]), 2.0, 10_000, generator=0).mean("entropy_production")
    5.509 +- 0.031 nat  estimate  monte-carlo(n=10000)
    """
    if not isinstance(process, MarkovJump | MarkovChain):
        raise TypeError(f"process must be a MarkovJump or a MarkovChain; got {type(process).__name__}")
    law = as_distribution(p0, "p0")
    if not isinstance(law, Discrete):
        raise TypeError(f"p0 must be a Discrete law of one part; got {type(law).__name__}")
    check_states(process, law, "p0")
    begin = 0.0 if start is None else float(start)
    weights = {} if counting is None else dict(counting) if isinstance(counting, Mapping) else {"current": counting}
    own = as_generator(generator, generator.device if isinstance(generator, torch.Generator) else "cpu")
    stream = stream_of(own)
    seed = seed_of(generator)
    saved = None if save is None else _saved_times(save, float(duration))
    paths = simulate_jump_paths(
        process,
        law,
        duration,
        n_paths,
        start=begin,
        weights=weights,
        target=target,
        generator=seed,
        keep_paths=saved is not None,
        rate_bound=rate_bound,
    )
    end = begin + float(duration)
    final_law = process.marginal(law, end, begin)
    surprise = -law.log_prob(paths.initial[:, None]), -final_law.log_prob(paths.final[:, None])
    system = (surprise[1] - surprise[0]).to(torch.float64)
    production = system + paths.medium_entropy
    ledger = {
        "medium_entropy": paths.medium_entropy,
        "system_entropy": system,
        "entropy_production": production,
        "log_path_ratio": production,
    }
    missing = {} if target is not None else {"first_passage": "no target was given"}
    if paths.first_passage is not None:
        ledger["first_passage"] = paths.first_passage
    if isinstance(process, MarkovJump):
        energy = process.energies_at(end)[paths.final] - process.energies_at(begin)[paths.initial]
        ledger |= {"heat": paths.heat, "work": energy.to(torch.float64) + paths.heat}
    else:
        missing |= dict.fromkeys(("work", "heat"), "the steps of a chain have no temperature")
    return Trajectories(
        initial=paths.initial[:, None],
        final=paths.final[:, None],
        duration=float(duration),
        method="exact",
        ledger=ledger,
        missing=missing,
        currents={**paths.sums, "jumps": paths.jumps.to(torch.float64)},
        states=None if saved is None else paths.states_at(saved)[..., None],
        saved_times=saved if saved is None else saved + begin,
        streams=(stream,),
        info={"seed": str(seed), "process": type(process).__name__},
    )


def _saved_times(save: Any, duration: float) -> Tensor:
    if isinstance(save, int | np.integer) and not isinstance(save, bool):
        if save < 1:
            raise ValueError(f"save must be a number of times or the times themselves; got {save}")
        return torch.linspace(0.0, duration, int(save), dtype=torch.float64)
    times = as_tensor(save, "save", dtype=torch.float64).flatten()
    if not len(times) or not bool(((times >= 0) & (times <= duration)).all()):
        raise ValueError(f"save must hold times from 0 to the duration {duration}; got {times.tolist()}")
    return times
