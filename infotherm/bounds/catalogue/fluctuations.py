"""Fluctuation theorems: exact statements about the paths of a process, and about its work."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from infotherm.bounds.bound import Bound, register
from infotherm.bounds.catalogue.claims import claim
from infotherm.bounds.catalogue.conditions import density_everywhere, is_process, law_at_the_end
from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.distributions import Discrete, Gaussian, as_distribution
from infotherm.processes import (
    AffineDiffusion,
    Langevin,
    MarkovChain,
    MarkovJump,
    OrnsteinUhlenbeck,
    Process,
    UnderdampedLangevin,
)
from infotherm.processes.base import AffineProcess, DiffusionProcess
from infotherm.processes.ring import mean_velocity
from infotherm.thermodynamics import (
    Trajectories,
    crooks_slope,
    cumulant_generating_function,
    entropy_counting,
    housekeeping_counting,
    integral_fluctuation_theorem,
    jarzynski,
    ring_cumulant_generating_function,
    simulate,
)

Sides = tuple[Any, Any]

GROUP = "fluctuations"

_LOOKS = 9  # times at which a condition on a driven process is looked at


def moved_trap(speed: float = 1.0, stiffness: float = 1.0, offset: float = 0.0) -> AffineDiffusion:
    """A harmonic trap in a bath at temperature 1 whose centre is at offset + speed t; its free energy never changes."""
    return AffineDiffusion([[-stiffness]], 2**0.5, lambda t: stiffness * (offset + speed * t)[..., None])


def ring_of(forward: float, backward: float, states: int = 3) -> MarkovJump:
    """A uniform ring of states with these rates one way round and the other.

    Examples
    --------
    >>> ring_of(3.0, 1.0).rates
    tensor([[0., 3., 1.],
            [1., 0., 3.],
            [3., 1., 0.]], dtype=torch.float64)
    """
    one = torch.eye(states, dtype=torch.float64)
    return MarkovJump(forward * one.roll(1, 1) + backward * one.roll(-1, 1))


def turns_of(states: int = 3) -> Tensor:
    """Weights that count the steps round a ring, 1 forwards and -1 backwards."""
    one = torch.eye(states, dtype=torch.float64)
    return one.roll(1, 1) - one.roll(-1, 1)


# -- sides -------------------------------------------------------------------------------------------------------------


def _paths(process: Process, initial: Any, duration: float, options: dict[str, Any]) -> Trajectories:
    jumps = isinstance(process, MarkovJump | MarkovChain)
    given: dict[str, Any] = {"n_samples": 20_000} | ({} if jumps else {"n_steps": 50}) | options
    return simulate(process, initial, duration, given.pop("n_samples"), **given)


def _integral_theorem(process: Process, initial: Any, duration: float, **options: Any) -> Sides:
    return integral_fluctuation_theorem(_paths(process, initial, duration, options)), 1.0


def _housekeeping(process: Process, initial: Any, duration: float, **options: Any) -> Sides:
    if isinstance(process, MarkovJump | MarkovChain):
        counted = _paths(process, initial, duration, {"counting": housekeeping_counting(process)} | options)
        return integral_fluctuation_theorem(counted.currents["current"]), 1.0
    paths = _paths(process, initial, duration, {"housekeeping": True, "final_law": False} | options)
    return integral_fluctuation_theorem(paths.housekeeping), 1.0


def _hatano_sasa(process: Process, duration: float, **options: Any) -> Sides:
    start = process.quasi_invariant(_start(process), process.dim)
    paths = _paths(process, start, duration, {"housekeeping": True, "final_law": False} | options)
    return integral_fluctuation_theorem(paths.hatano_sasa), 1.0


def _from_equilibrium(process: Process, duration: float, options: dict[str, Any]) -> Trajectories:
    start = process.quasi_invariant(_start(process), process.dim)
    final = {} if isinstance(process, MarkovJump) else {"final_law": False}
    return _paths(process, start, duration, final | options)


def _jarzynski(process: Process, duration: float, **options: Any) -> Sides:
    work = _from_equilibrium(process, duration, options)
    begin = _start(process)
    change = _free_energy(process, begin + duration) - _free_energy(process, begin)
    return jarzynski(work, _temperature(process)), change


def _crooks(process: Process, reverse: Process, duration: float, **options: Any) -> Sides:
    forward = _from_equilibrium(process, duration, options)
    seed = options.get("generator")
    if isinstance(seed, int):  # the same seed would give both directions the same noise
        options = options | {"generator": seed + 1}
    backward = _from_equilibrium(reverse, duration, options)
    return crooks_slope(forward, backward, _temperature(process)), 1.0


def _gallavotti_cohen(process: Any, q: Any, counting: Any = None, affinity: Any = 1.0) -> Sides:
    if isinstance(process, Langevin):
        assert process.period is not None
        per_length = float(mean_velocity(process).info["affinity"]) / float(process.period.reshape(-1)[0])
        q = torch.as_tensor(q, dtype=torch.float64)
        left, right = (ring_cumulant_generating_function(process, tilt) for tilt in (q, -per_length - q))
        return left, right
    counting = entropy_counting(process) if counting is None else counting
    q, affinity = (torch.as_tensor(x, dtype=torch.float64) for x in (q, affinity))
    left, right = (cumulant_generating_function(process, counting, tilt) for tilt in (q, -affinity - q))
    return left, right


def _start(process: Process) -> float:
    return process.start or 0.0


def _temperature(process: Any) -> float:
    return float(torch.as_tensor(process.temperature).reshape(-1)[0])


def _free_energy(process: Any, t: float) -> Estimate:
    """-T log Z of the energy at time t."""
    unit = _temperature(process)
    if isinstance(process, MarkovJump):
        log_z = torch.logsumexp(-process.energies_at(t) / unit, -1)
    elif isinstance(process, AffineProcess):
        matrix = process.energy_coefficients(t, process.dim)[0]
        log_z = 0.5 * (matrix.shape[-1] * math.log(2 * math.pi) - torch.linalg.slogdet(-matrix)[1])
    else:
        law: Any = process.quasi_invariant(t, process.dim)
        known = law.log_normaliser if hasattr(law, "log_normaliser") else law.info["log_normaliser"]
        log_z = torch.as_tensor(known, dtype=torch.float64)
    value = -unit * log_z
    # densities are normalised by quadrature to about 1e-12; the others are known to rounding
    error = rounding_error([value, torch.full_like(value, unit)]) + 1e-10 * unit * isinstance(process, Langevin)
    return Estimate(value, error=error, units="energy")


# -- conditions --------------------------------------------------------------------------------------------------------


def _reversible_paths(process: Any, initial: Any) -> str | None:
    if isinstance(process, MarkovJump | MarkovChain):
        law = as_distribution(initial, "initial")
        if isinstance(law, Discrete) and not bool((law.pmf > 0).all()):
            return "the law at the start leaves a state empty, where a reversed path may end"
        chain = isinstance(process, MarkovChain)
        possible = (process.matrix if chain else process.reservoir_rates_at(_start(process))) > 0
        return None if bool((possible == possible.mT).all()) else "a jump has no return"
    return density_everywhere(initial)


def _rests(process: Any, duration: float) -> str | None:
    """Whether the frozen process has a law that it keeps, all along."""
    begin = _start(process)
    jumps = isinstance(process, MarkovJump | MarkovChain)
    if not jumps and not isinstance(process, DiffusionProcess):
        return f"the laws that a {type(process).__name__} would keep are not known"
    if isinstance(process, MarkovJump) and process.driven:
        return "the rates are driven"
    try:
        if jumps:
            housekeeping_counting(process)
            return None
        for t in (begin, begin + 0.5 * duration, begin + duration):
            process.quasi_invariant(t, process.dim)
    except ValueError as reason:
        return str(reason)
    if not hasattr(process, "thermodynamic_force") or isinstance(process, UnderdampedLangevin):
        return "velocities are odd under time reversal"
    return None


def _is_diffusion(process: Any) -> str | None:
    return None if isinstance(process, DiffusionProcess) else f"a {type(process).__name__} is not a diffusion"


def _equilibrates(process: Any, duration: float) -> str | None:
    """Whether there is one energy and one temperature, and an equilibrium at both ends."""
    name = f"the {type(process).__name__}"
    if not isinstance(process, DiffusionProcess | MarkovJump):
        return f"{name} has no energy"
    begin = _start(process)
    temperature = torch.as_tensor(process.temperature)
    if bool((temperature != temperature.reshape(-1)[0]).any()):
        return f"{name} has baths at several temperatures"
    try:
        laws = [process.quasi_invariant(t, process.dim) for t in (begin, begin + duration)]
    except ValueError as reason:
        return str(reason)
    if isinstance(process, MarkovJump):
        for t, law in zip((begin, begin + duration), laws, strict=True):
            assert isinstance(law, Discrete)
            boltzmann = torch.softmax(-process.energies_at(t) / _temperature(process), -1)
            if not process.has_detailed_balance(t) or not torch.allclose(law.pmf, boltzmann, rtol=1e-10):
                return "the rates do not have the Boltzmann law of the energies as their equilibrium"
        return None
    if not process.has_energy(process.dim or 1) or getattr(process, "has_nonconservative_force", False):
        return f"the force of {name} is not the gradient of an energy"
    return None


def _backwards(process: Any, reverse: Any, duration: float) -> str | None:
    """Whether one process is the other with its driving run backwards."""
    if type(reverse) is not type(process):
        return f"a {type(reverse).__name__} is not a {type(process).__name__} run backwards"
    reason = _equilibrates(reverse, duration)
    if reason is not None:
        return reason
    size = process.dim or 1
    x = torch.linspace(-1.3, 1.7, 5 * size, dtype=torch.float64).reshape(5, size)
    for share in torch.linspace(0.05, 0.95, _LOOKS, dtype=torch.float64).tolist():
        now, then = _start(process) + share * duration, _start(reverse) + (1 - share) * duration
        if isinstance(process, MarkovJump):
            pair = process.reservoir_rates_at(now), reverse.reservoir_rates_at(then)
        else:
            pair = process.thermodynamic_force(x, now), reverse.thermodynamic_force(x, then)
        if pair[0].shape != pair[1].shape or not torch.allclose(*pair, rtol=1e-9, atol=1e-9):
            return f"the driving of the reverse at time {then:.6g} is not that of the process at {now:.6g}"
    return None


def _constant_and_returning(process: Any) -> str | None:
    if isinstance(process, Langevin):
        if process.period is None or process.dim not in (None, 1):
            return "the process is not on a ring"
        return None if process.looks_static() else "the process is driven"
    if not isinstance(process, MarkovJump | MarkovChain):
        return f"the counting statistics of a {type(process).__name__} are not known"
    if isinstance(process, MarkovJump) and process.driven:
        return "the rates are driven"
    rates = process.matrix if isinstance(process, MarkovChain) else process.reservoir_rates_at()
    return None if bool(((rates > 0) == (rates.mT > 0)).all()) else "a jump has no return"


def _counts_entropy(process: Any, counting: Any = None, affinity: Any = 1.0) -> str | None:
    """Whether affinity times the current is the entropy given to the medium, up to what depends on the ends alone."""
    if counting is None or isinstance(process, Langevin):
        return None
    if process.batch_shape:
        return "with a counting of its own, one process at a time"
    weights = entropy_counting(process)
    given = torch.as_tensor(counting, dtype=torch.float64) * torch.as_tensor(affinity, dtype=torch.float64)
    rates = process.matrix if isinstance(process, MarkovChain) else process.reservoir_rates_at()
    difference = torch.where((rates > 0).reshape(weights.shape), weights - given, 0.0)
    # the ends alone: difference_ij = u_j - u_i along every edge, so that following edges gives u
    rows = torch.nonzero((rates > 0).reshape(weights.shape))
    states = weights.shape[-1]
    matrix = torch.zeros(len(rows), states, dtype=torch.float64)
    index = torch.arange(len(rows))
    matrix[index, rows[:, -1]] += 1
    matrix[index, rows[:, -2]] -= 1
    values = difference[tuple(rows.T)]
    best = torch.linalg.lstsq(matrix, values[:, None], driver="gelsd").solution
    away = (matrix @ best)[:, 0] - values
    if bool((away.abs() > 1e-9 * (1 + weights.abs().max())).any()):
        return "affinity times the current is not the entropy given to the medium"
    return None


# -- cases -------------------------------------------------------------------------------------------------------------

_SAMPLED = {"tolerance": 0.05, "n_samples": 20_000, "generator": 1}


def _moved() -> dict[str, Any]:
    return {"process": moved_trap(), "initial": Gaussian(0.5, 1.5), "duration": 0.5} | _SAMPLED


def _moved_from_rest() -> dict[str, Any]:
    return {"process": moved_trap(), "duration": 1.0} | _SAMPLED


def _there_and_back() -> dict[str, Any]:
    return (
        {"process": moved_trap(), "reverse": moved_trap(-1.0, offset=1.0), "duration": 1.0}
        | _SAMPLED
        | {"tolerance": 0.2}
    )


def _rotating() -> OrnsteinUhlenbeck:
    return OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)


register(
    Bound(
        "integral-fluctuation-theorem",
        statement=claim("E(exp(-S))", "==", "1"),
        source="Seifert, Phys. Rev. Lett. 95, 040602 (2005)",
        relation="==",
        sides=_integral_theorem,
        conditions={
            "the process is Markov": is_process,
            "the law at the end is known": law_at_the_end,
            "every path can be run backwards": _reversible_paths,
        },
        saturated=_moved,
        not_applicable=lambda: {"process": ring_of(3.0, 1.0), "initial": Discrete([1.0, 0.0, 0.0]), "duration": 1.0},
        group=GROUP,
        note="S is the total entropy production of a path. Sampled: give a tolerance; `options` go to `simulate` "
        "(n_steps, start, ...).",
    )
)


def slowly_rotating() -> AffineDiffusion:
    """A trap that grows stiffer while it is stirred."""

    def matrix(t: Tensor) -> Tensor:
        stirred = torch.full_like(t, 0.4)
        return torch.stack([torch.stack([-1 - t, stirred], -1), torch.stack([-stirred, -1 - t], -1)], -2)

    return AffineDiffusion(matrix, 2**0.5)


register(
    Bound(
        "speck-seifert-equality",
        statement=claim("E(exp(-S_hk))", "==", "1"),
        source="Speck and Seifert, J. Phys. A 38, L581 (2005)",
        relation="==",
        sides=_housekeeping,
        conditions={"the frozen process keeps a law, at every time": _rests},
        saturated=lambda: (
            {
                "process": slowly_rotating(),
                "initial": Gaussian([0.5, 0.0], [[1.0, 0.0], [0.0, 1.5]]),
                "duration": 0.5,
            }
            | _SAMPLED
        ),
        not_applicable=lambda: {
            "process": UnderdampedLangevin(potential=lambda x: (x**2).sum(-1), dim=1),
            "initial": Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]),
            "duration": 1.0,
            "tolerance": 0.05,
        },
        group=GROUP,
        note="S_hk is the housekeeping entropy of a path, from any start. Sampled: give a tolerance.",
    )
)

register(
    Bound(
        "hatano-sasa-equality",
        statement=claim("E(exp(-Y))", "==", "1"),
        source="Hatano and Sasa, Phys. Rev. Lett. 86, 3463 (2001)",
        relation="==",
        sides=_hatano_sasa,
        conditions={
            "the process is a diffusion": _is_diffusion,
            "the frozen process keeps a law, at every time": _rests,
        },
        saturated=lambda: {"process": slowly_rotating(), "duration": 1.0} | _SAMPLED,
        not_applicable=lambda: {"process": ring_of(3.0, 1.0), "duration": 1.0, "tolerance": 0.05},
        group=GROUP,
        note="Y is the integral of d phi / dt with phi = -log of the law that the frozen process would keep; the start "
        "is that law. Sampled: give a tolerance.",
    )
)

register(
    Bound(
        "jarzynski-equality",
        statement=claim("-T*log(E(exp(-W/T)))", "==", "DeltaF"),
        source="Jarzynski, Phys. Rev. Lett. 78, 2690 (1997), Eq. (2a)",
        relation="==",
        sides=_jarzynski,
        conditions={"it has an energy, one temperature and an equilibrium at both ends": _equilibrates},
        saturated=_moved_from_rest,
        not_applicable=lambda: {"process": _rotating(), "duration": 1.0, "tolerance": 0.05},
        group=GROUP,
        note="The process starts in its equilibrium; the energy of a jump process is the one it was given. Sampled: "
        "give a tolerance (an energy).",
    )
)

register(
    Bound(
        "crooks-theorem",
        statement=claim("Derivative(log(p(W)/p_R(-W)), W)", "==", "1/T"),
        source="Crooks, Phys. Rev. E 60, 2721 (1999)",
        relation="==",
        sides=_crooks,
        conditions={
            "it has an energy, one temperature and an equilibrium at both ends": _equilibrates,
            "the reverse is the process with its driving run backwards": _backwards,
        },
        saturated=_there_and_back,
        not_applicable=lambda: {
            "process": moved_trap(),
            "reverse": moved_trap(),
            "duration": 1.0,
            "tolerance": 0.05,
        },
        group=GROUP,
        note="Both start in equilibrium. The slope of the log-odds of the direction against W/T is compared with 1; "
        "sampled: give a tolerance.",
    )
)

register(
    Bound(
        "gallavotti-cohen",
        statement=claim("scgf(q)", "==", "scgf(-A - q)"),
        source="Gallavotti and Cohen, Phys. Rev. Lett. 74, 2694 (1995); for Markov processes Lebowitz and Spohn, "
        "J. Stat. Phys. 95, 333 (1999)",
        relation="==",
        sides=_gallavotti_cohen,
        conditions={
            "the process does not change in time and every jump has a return": _constant_and_returning,
            "affinity times current is the entropy produced": _counts_entropy,
        },
        saturated=lambda: {"process": ring_of(3.0, 1.0), "q": [0.3, -1.2, 2.0]},
        not_applicable=lambda: {"process": MarkovJump([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]), "q": 0.3},
        group=GROUP,
        note="A is the affinity of a unit of the current. Without `counting` the current is the medium entropy, of "
        "affinity 1; on a Langevin ring it is the displacement.",
    )
)
