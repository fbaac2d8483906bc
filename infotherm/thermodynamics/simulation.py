"""Simulation: paths of a process with their ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from infotherm.core.sample_means import number_of_samples
from infotherm.core.tensors import Generator, as_tensor, require_finite
from infotherm.processes import DiffusionProcess, MarkovChain, MarkovJump, Process
from infotherm.thermodynamics.jump_simulation import simulate_jumps
from infotherm.thermodynamics.ledger import Current
from infotherm.thermodynamics.rates import as_process
from infotherm.thermodynamics.run import Progress, planned_run
from infotherm.thermodynamics.step_checks import warn_of_coarse_step
from infotherm.thermodynamics.trajectory import Trajectories

_ENDS = ("initial", "final")


def simulate(
    process: Process,
    p0: Any,
    duration: float,
    n_paths: int,
    n_steps: int | None = None,
    *,
    method: str = "auto",
    generator: Generator = None,
    start: float | None = None,
    currents: Mapping[str, Current] | None = None,
    target: Callable[[Tensor], Tensor] | None = None,
    save: int | Sequence[float] | None = None,
    final_law: Any = None,
    dtype: torch.dtype | None = None,
    compile: bool = False,
    housekeeping: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Trajectories:
    r"""Paths of a process over `duration` from the law p0, with work, heat, entropies and currents of each.

    Affine processes are stepped exactly, underdamped ones by BAOAB, others by the stochastic Heun scheme
    (multiplicative noise: Euler-Maruyama). Work W is done on the system, heat Q goes to the bath, dE = W - Q; the
    medium gains Q / T, the system log p_0(x_0) - log p_T(x_T), and the entropy production of a path is their sum.
    States of an affine process have the energy -(x - m)^T F (x - m) / 2, in units of the temperature, where
    D^-1 b = F (x - m) is a gradient.

    Parameters
    ----------
    process
        A diffusion (affine, Langevin, underdamped), a jump process or a chain.
    p0
        The law at the start; its dtype and device are those of the paths.
    duration
        How long, > 0.
    n_paths
        How many paths.
    n_steps
        How many steps; a declared jump of the protocol begins a step of its own. Not for jump processes: they are
        exact.
    method
        "auto", "exact", "euler-maruyama", "stochastic-heun", "leimkuhler-matthews" or "baoab".
    generator
        A generator or a seed; the same seed gives the same paths.
    start
        The time at which the law is p0, the first time of the process unless given.
    currents
        Functions of the states (n, D) with values (n, D), by name: each path keeps the sum of j o dx.
    target
        A function of the states with truth values: each path keeps the first time (of a step's end) at which it is
        true. For jump processes: states, by number.
    save
        A number of equally spaced times at which the states are kept, or the times themselves, rounded to steps.
    final_law
        The law at the end where it is not known otherwise: for Langevin processes it is solved for on a grid, in one
        coordinate, and in two when nothing drives them. False leaves it out, and the entropies that need it: that
        saves seconds where only work and heat are wanted.
    dtype
        Of the paths.
    compile
        Compile the drift with torch.compile; without a compiler the run goes on as it is, with a warning.
    housekeeping
        Also keep "housekeeping", the entropy that keeping up the currents costs, and "hatano_sasa", the integral of
        d phi / dt with phi = -log of the law that the process would keep. Not for jump processes: count with
        `housekeeping_counting`.
    progress
        Called as progress(steps done, steps in all).
    **options
        For jump processes: see `simulate_jumps`.

    Returns
    -------
    Trajectories
        Entries of shape (n_paths,). Sampling error only, for exact steps of a static gradient drift; otherwise work and
        heat have an error of second order in the step (first order for Euler-Maruyama, and for a force that circulates
        in two or more coordinates of a Langevin process). `mean(name)` states it, from a run with twice the step.

    Warns
    -----
    RuntimeWarning
        When the mean of exp(-S) is not 1 although its samples can be trusted: the step is too coarse.

    Raises
    ------
    ValueError
        For a step so large that the scheme is unstable, an undeclared jump of the protocol, a protocol shorter than the
        duration, a force or potential that is not finite at a sampled state, paths that leave every bound.

    References
    ----------
    Sekimoto, Stochastic Energetics (2010), ch. 4; Seifert, Rep. Prog. Phys. 75 (2012) 126001, sec. 2.

    Examples
    --------
    A colloid in a trap that is moved at speed 1 for a time 2: the mean work is 1 + exp(-2):

    >>> import infotherm as it
    >>> trap = it.processes.AffineDiffusion([[-1.0]], 2**0.5, lambda t: t[..., None])
    >>> paths = simulate(trap, it.Gaussian(0.0, 1.0), 2.0, 20_000, 50, generator=0)
    >>> paths.mean("work")
    1.143 +- 0.013 energy  estimate  monte-carlo(n=20000)
    """
    process = as_process(process)
    n_paths = number_of_samples(n_paths, "n_paths")
    if isinstance(process, MarkovJump | MarkovChain):
        unfit = {"currents": currents, "final_law": final_law, "dtype": dtype, "progress": progress}
        given = [name for name, value in unfit.items() if value is not None]
        if given or compile or housekeeping or method not in ("auto", "exact"):
            named = ", ".join(given) or "method, compile, housekeeping"
            raise TypeError(
                f"jumps are simulated exactly: {named} have no meaning for a {type(process).__name__} (currents and "
                f"housekeeping are counted by counting=)"
            )
        return simulate_jumps(
            process, p0, duration, n_paths, target=target, start=start, save=save, generator=generator, **options
        )
    if options:
        raise TypeError(f"simulate takes no options {sorted(options)} for a {type(process).__name__}")
    if not isinstance(process, DiffusionProcess):
        raise TypeError(f"process must be a diffusion, a jump process or a chain; got {type(process).__name__}")
    run = planned_run(
        process, p0, duration, n_paths, n_steps, method=method, generator=generator, start=start, currents=currents,
        target=target, final_law=final_law, dtype=dtype, compile=compile, housekeeping=housekeeping,
        progress=progress,
    )  # fmt: skip
    kept = _kept_steps(save, run.times)
    parts, states = [], []
    for entries, kept_states in run.blocks(kept):
        parts.append(entries)
        states.append(kept_states)
    entries = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if "entropy_production" in entries:
        warn_of_coarse_step(entries["entropy_production"], run.step, run.integrator.name)
    flows = {f"current {name}": name for name in run.currents}
    info = {"n_steps": len(run.times) - 1, "step": run.step, "seed": str(run.seed), "process": type(process).__name__}
    return Trajectories(
        initial=entries["initial"],
        final=entries["final"],
        duration=float(run.times[-1] - run.times[0]),
        method=run.integrator.name,
        ledger={name: entry for name, entry in entries.items() if name not in _ENDS and name not in flows},
        missing=run.missing,
        currents={flows[name]: entry for name, entry in entries.items() if name in flows},
        states=torch.cat(states, 1) if kept else None,
        saved_times=run.times[torch.tensor(kept)] if kept else None,
        streams=(run.stream,),
        step_errors=lambda: run.step_errors,
        info=info,
    )


def _kept_steps(save: int | Sequence[float] | None, times: Tensor) -> list[int]:
    """The steps after which states are kept.

    Raises
    ------
    ValueError
        For fewer than two equally spaced times, or times outside the run.
    """
    if save is None:
        return []
    if isinstance(save, int) and not isinstance(save, bool):
        if not 2 <= save <= len(times):
            raise ValueError(f"save must be between 2 and {len(times)}, the number of edges of the steps; got {save}")
        wanted = torch.linspace(float(times[0]), float(times[-1]), save, dtype=torch.float64)
    else:
        wanted = require_finite(as_tensor(save, "save").to("cpu", torch.float64), "save")
        if wanted.ndim != 1 or bool(((wanted < times[0]) | (wanted > times[-1])).any()):
            raise ValueError(
                f"save must be times between {float(times[0])} and {float(times[-1])}; got {wanted.tolist()}"
            )
    return sorted({int((times - t).abs().argmin()) for t in wanted})
