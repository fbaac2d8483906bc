"""A run of a diffusion, planned once and stepped block by block: what `simulate` and `path_statistics` share."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import Generator, as_tensor
from infotherm.distributions import as_distribution
from infotherm.distributions.base import Distribution
from infotherm.processes import DiffusionProcess, Langevin, UnderdampedLangevin
from infotherm.processes.fokker_planck import marginal as solved_marginal
from infotherm.processes.integrators import Exact, Integrator, integrator_for
from infotherm.processes.plans import State
from infotherm.processes.protocol import discontinuity
from infotherm.thermodynamics.blocks import block_seeds, blocks
from infotherm.thermodynamics.langevin_rates import on_its_space
from infotherm.thermodynamics.ledger import Current, Ledger
from infotherm.thermodynamics.mechanics import Mechanics, mechanics_of
from infotherm.thermodynamics.paired_runs import paired_run
from infotherm.thermodynamics.rates import first_time
from infotherm.thermodynamics.step_checks import refuse_lost_paths, refuse_unstable_step
from infotherm.thermodynamics.system_and_medium import has_atoms

Progress = Callable[[int, int], None]
Entries = dict[str, Tensor]

_WITH_LAW = ("system_entropy", "entropy_production", "log_path_ratio")  # entries that need the law at the end
_LAW = 1e-5  # accuracy of a law that is solved for, well below what the mean over paths can show
_PILOT = 2048  # paths that are run with two steps, to see what the step does


@dataclass
class Run:
    """A planned run; `blocks()` yields the entries of its paths, block by block.

    Attributes
    ----------
    process, initial_law, integrator, times
        What is stepped, from which law, how, and the edges of the steps.
    final_law
        The law at the end, None where it is not known.
    missing
        Why an entry of the ledger is not kept, by name.
    stream, seed
        The random stream, and the seed that the blocks derive theirs from.
    """

    process: DiffusionProcess
    initial_law: Distribution
    integrator: Integrator
    times: Tensor
    final_law: Distribution | None
    currents: Mapping[str, Current]
    target: Callable[[Tensor], Tensor] | None
    dtype: torch.dtype
    compiled: bool
    seed: int
    stream: str
    n_paths: int
    housekeeping: bool = False
    progress: Progress | None = None
    missing: dict[str, str] = field(default_factory=dict)
    _plan: Any = None

    @property
    def step(self) -> float:
        """The longest step."""
        return float(self.times.diff().max())

    def blocks(self, kept: Sequence[int] = ()) -> Iterator[tuple[Entries, Tensor | None]]:
        """Entries (count,) of one block after the other, with the states (n, count, D) after the steps `kept`."""
        device = self.initial_law.device
        mechanics = self._mechanics()
        done = 0
        for part, own, noise in blocks(self.n_paths, self.seed, device):
            count = part.stop - part.start
            x = self.initial_law.sample((count,), generator=own).to(self.dtype)
            state = self._begun(x)
            ledger = Ledger(self.integrator, state, mechanics, self.currents, self.target)
            width = self.integrator.noise_size(self.process, x.shape[-1])
            normal = torch.empty(count, width, dtype=self.dtype, device=device)
            states = [x] if 0 in kept else []
            with torch.no_grad():
                for k in range(len(self.times) - 1):
                    state = ledger.record(state, self.integrator.step(state, noise.fill(normal)))
                    if k + 1 in kept:
                        states.append(state.x)
                    if k % 64 == 63:
                        refuse_lost_paths(state, self.integrator)
                refuse_lost_paths(state, self.integrator)
                entries = self._with_ends(ledger.close(state), x, state.x)
            done += count
            if self.progress:
                self.progress(done, self.n_paths)
            yield entries, torch.stack(states) if states else None

    @cached_property
    def step_errors(self) -> dict[str, float]:
        """How far the mean of each entry may be off because of the step: its change when the step is doubled.

        From a few thousand paths with both steps on the same noise, two standard errors of the change included. A
        scheme of order r is left with 1 / (2^r - 1) of the change; a first passage, of order 1/2 because it is seen at
        the ends of steps only, with 2.4 times the change. Nothing where no entry feels the step; infinite for a single
        step.
        """
        mechanics = self._mechanics()
        count = min(self.n_paths, _PILOT)
        _, own, normal = next(iter(blocks(count, self.seed + 1, self.initial_law.device)))
        x = self.initial_law.sample((count,), generator=own).to(self.dtype)
        state = self._begun(x)
        if (
            isinstance(self.integrator, Exact)
            and Ledger(self.integrator, state, mechanics, self.currents, self.target).idle
        ):
            return {}
        if len(self.times) < 3:
            return dict.fromkeys(self._with_ends(Ledger(
                self.integrator, state, mechanics, self.currents, self.target
            ).close(state), x, x), math.inf)  # fmt: skip
        pair = paired_run(mechanics, self.integrator, x, self.times, normal, self.currents, self.target)
        coarse, fine = (self._with_ends(entries, x, entries["final"]) for entries in pair)
        errors = {}
        for name in fine.keys() - {"initial", "final"}:
            change = (fine[name] - coarse[name]).double()
            if name == "first_passage":
                change = 2.4 * (fine[name].clamp(max=self.end) - coarse[name].clamp(max=self.end)).double()
            spread = float(change.std()) / len(change) ** 0.5
            errors[name.removeprefix("current ")] = abs(float(change.mean())) + 2 * spread
        for name in errors.keys() & set(_WITH_LAW):
            errors[name] += getattr(self.final_law, "accuracy", 0.0)
        return errors

    @property
    def end(self) -> float:
        """The last time."""
        return float(self.times[-1])

    @cached_property
    def _first_law(self) -> Distribution:
        """The law at the start where its density counts: brought onto the ring where there is one."""
        return _law_on_its_space(self.process, self.initial_law)

    def _log_density(self, law: Distribution, x: Tensor) -> Tensor:
        x = x.to(law.dtype)
        if x.shape[-1] == 1 and _on_ring(self.process):
            x = x.remainder(self.process.period.to(x))  # type: ignore[attr-defined]
        return law.log_prob(x)

    def _mechanics(self) -> Mechanics:
        return mechanics_of(
            self.process, self.initial_law.dim, float(self.times[0]), self.end, splits=self.housekeeping
        )

    def _begun(self, x: Tensor) -> State:
        """The first state of a block; all blocks share one plan."""
        if self._plan is None:
            state = self.integrator.init(self.process, x, self.times)
            self._plan = _compiled(self.integrator, state) if self.compiled else state
        return State(x, 0, self._plan.plan, self._plan.carried)

    def _with_ends(self, entries: Entries, first: Tensor, last: Tensor) -> Entries:
        """The entries with states and, where the end law is known, the entropies that need it."""
        kernel = entries.pop("kernel")
        entries |= {"initial": first, "final": last}
        if self.final_law is not None:
            system = (self._log_density(self._first_law, first) - self._log_density(self.final_law, last)).to(first)
            entries["system_entropy"] = system
            entries["entropy_production"] = system + entries["medium_entropy"]
            entries["log_path_ratio"] = system + kernel
        return entries


def planned_run(
    process: DiffusionProcess,
    p0: Any,
    duration: float,
    n_paths: int,
    n_steps: int | None,
    *,
    method: str,
    generator: Generator,
    start: float | None,
    currents: Mapping[str, Current] | None,
    target: Callable[[Tensor], Tensor] | None,
    final_law: Any,
    dtype: torch.dtype | None,
    compile: bool,
    housekeeping: bool,
    progress: Progress | None,
) -> Run:
    """Check the arguments of a simulation and plan it; what is refused is refused here.

    Raises
    ------
    ValueError, TypeError
        As `simulate`.
    """
    p0 = as_distribution(p0, "p0")
    if p0.batch_shape:
        raise ValueError(f"p0 must be one law; got a batch {tuple(p0.batch_shape)}")
    integrator = integrator_for(process, method)
    times = planned_edges(process, integrator, p0, duration, n_steps, start)
    seed, stream = block_seeds(generator, p0.device)
    missing: dict[str, str] = {}
    final = _law_at_end(process, p0, times, final_law, missing)
    return Run(
        process, p0, integrator, times, final, dict(currents or {}), target, dtype or p0.dtype, compile, seed, stream,
        n_paths, housekeeping, progress, missing,
    )  # fmt: skip


def planned_edges(
    process: DiffusionProcess,
    integrator: Integrator,
    p0: Distribution,
    duration: Any,
    n_steps: int | None,
    start: float | None = None,
) -> Tensor:
    """The edges of the steps of a run that starts from p0, when force and step pass what can be checked beforehand.

    Raises
    ------
    ValueError
        As `simulate`.
    """
    begin = float(first_time(process) if start is None else start)
    times = edges(process, begin, duration, n_steps)
    states = p0.sample((64,), generator=torch.Generator(p0.device).manual_seed(0))
    if isinstance(process, Langevin | UnderdampedLangevin):
        process.check_states(states, begin)
        process.check_states(states, float(times[-1]))
    refuse_unstable_step(process, integrator, states, times)
    return times


def edges(process: DiffusionProcess, start: float, duration: Any, n_steps: int | None) -> Tensor:
    """The edges of the steps: equal steps, and one at each declared jump of the drive.

    Raises
    ------
    ValueError
        For a duration or number of steps that is not positive, one that the process or its protocol does not reach, or
        a jump that is not declared.
    """
    length = float(as_tensor(duration, "duration").double())
    if not (length > 0 and length < float("inf")):
        raise ValueError(f"duration must be > 0 and finite; got {length}")
    if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 1:
        raise ValueError(f"n_steps must be an integer of at least 1 for a {type(process).__name__}; got {n_steps!r}")
    end = start + length
    if process.start is not None and start < process.start:
        raise ValueError(f"start must be >= {process.start}, the first time of the process; got {start}")
    protocol = getattr(process, "protocol", None)
    if protocol is not None and hasattr(protocol, "require_duration"):
        protocol.require_duration(length, start)
    elif process.horizon is not None and end > process.horizon * (1 + 1e-15):
        raise ValueError(f"the duration {length} from time {start} ends after the horizon {process.horizon}")
    times = torch.linspace(start, end, n_steps + 1, dtype=torch.float64)
    if protocol is None:
        return times
    jumps = torch.tensor([t for t in getattr(protocol, "jumps", ()) if start < float(t) < end], dtype=torch.float64)
    undeclared = discontinuity(protocol, start, end, max(256, n_steps))
    if undeclared is not None:
        raise ValueError(
            f"the protocol jumps at time {undeclared:.9g}, which steps with a smooth drive would smear: declare it, "
            f"Protocol(times, values) with a repeated time, or Protocol.from_function(..., jumps=[...])"
        )
    if not len(jumps):
        return times
    near = (times[:, None] - jumps).abs().amin(1) > 1e-9 * length / n_steps
    near[0] = near[-1] = True
    return torch.cat([times[near], jumps]).sort().values


def _law_at_end(
    process: DiffusionProcess, p0: Distribution, times: Tensor, given: Any, missing: dict[str, str]
) -> Distribution | None:
    """The law at the end as given or known; else None, and why in `missing`."""
    reason = ""
    if given is False:
        reason = "it was not asked for (final_law=False)"
    elif given is not None:
        law = as_distribution(given, "final_law")
        if law.dim != p0.dim:
            raise ValueError(f"final_law must have D = {p0.dim} like p0; got {law.dim}")
        return _law_on_its_space(process, law)
    elif has_atoms(p0):
        reason = "p0 has atoms: the reversed path does not come back to them, and the entropy production is infinite"
    elif isinstance(process, Langevin) and p0.dim == 2 and not process.is_static:
        reason = (
            "the law of a driven process in the plane takes a minute to solve for: give final_law=process.marginal(...)"
        )
    else:
        end, start = float(times[-1]), float(times[0])
        try:
            _law_on_its_space(process, p0)
            if isinstance(process, Langevin) and p0.dim <= 2:
                return solved_marginal(process, p0, end, start, tolerance=_LAW)
            return process.marginal(p0, end, start)
        except (NotImplementedError, ValueError, TypeError) as problem:
            reason = f"the law at the end is not known ({problem}): give final_law="
    for name in _WITH_LAW:
        missing[name] = reason
    return None


def _on_ring(process: DiffusionProcess) -> bool:
    period = process.period if isinstance(process, Langevin) else None
    return period is not None and bool(period.isfinite().all())


def _law_on_its_space(process: DiffusionProcess, law: Distribution) -> Distribution:
    """The law of the states modulo the period on a ring of one coordinate, else the law itself."""
    return on_its_space(process, law) if isinstance(process, Langevin) else law


def _compiled(integrator: Integrator, state: State) -> State:
    """The state with compiled steps, tried once; as it was, with a warning, where there is no compiler."""
    fast = integrator.compiled(state)
    noise = torch.zeros(len(state.x), integrator.noise_size(state.plan.process, state.x.shape[-1])).to(state.x)
    try:
        with torch.no_grad():
            integrator.step(fast, noise)
    except Exception as problem:  # whatever the compiler's chain of tools raises
        first = str(problem).strip().partition("\n")[0]
        warnings.warn(f"the steps are not compiled ({first}): going on without", RuntimeWarning, stacklevel=4)
        return state
    return fast
