"""What is dissipated: the parts of entropy production, and what they are equal to."""

from __future__ import annotations

from typing import Any

import torch

from infotherm.bounds.bound import Bound, register
from infotherm.bounds.catalogue.claims import claim
from infotherm.bounds.catalogue.conditions import density_everywhere, law_at_the_end
from infotherm.bounds.catalogue.parts import medium_and_system
from infotherm.core.estimate import Estimate
from infotherm.distributions import Discrete, Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.information import cross_entropy, entropy, kl
from infotherm.processes import (
    AffineDiffusion,
    Langevin,
    MarkovChain,
    MarkovJump,
    OrnsteinUhlenbeck,
    Process,
    VarianceExploding,
    VariancePreserving,
)
from infotherm.processes.base import AffineProcess
from infotherm.thermodynamics import entropy_production, entropy_production_rate, excess_housekeeping

Sides = tuple[Any, Any]

GROUP = "dissipation"

_LOOKS = 9  # times at which a condition on a driven process is looked at


# -- sides -------------------------------------------------------------------------------------------------------------


def _by_rate(process: Process, initial: Any, duration: float, options: dict[str, Any]) -> Estimate:
    """The entropy production as the integral of its rate, or as the options say."""
    if not options:
        options = {"method": "quadrature"}
        if not (isinstance(process, AffineProcess) and isinstance(initial, Gaussian)):
            options["route"] = "rate"  # of Gaussians there is no other by quadrature
    return entropy_production(process, initial, duration, **options)


def _ends(process: Process, initial: Any, duration: float) -> tuple[Distribution, Distribution]:
    """The laws at both ends."""
    start = process.start or 0.0
    initial = as_distribution(initial, "initial")
    return initial, process.marginal(initial, start + duration, start)


def _path_divergence(process: Process, initial: Any, duration: float, **options: Any) -> Sides:
    initial = as_distribution(initial, "initial")
    medium, system = medium_and_system(process, initial, duration)
    return _by_rate(process, initial, duration, options), system + medium


def _relaxation(process: Process, initial: Any, duration: float, **options: Any) -> Sides:
    first, last = _ends(process, initial, duration)
    kept = process.quasi_invariant(process.start or 0.0, first.dim)
    return _by_rate(process, first, duration, options), kl(first, kept) - kl(last, kept)


def _pure_noise(process: Process, initial: Any, duration: float, **options: Any) -> Sides:
    first, last = _ends(process, initial, duration)
    return _by_rate(process, first, duration, options), entropy(last) - entropy(first)


def _dissipated(process: Process, duration: float) -> tuple[Estimate, Estimate, Estimate]:
    """(<W> - dF) / T from equilibrium, KL from equilibrium at the end, and the entropy production.

    The energy is -T log p_eq up to the free energy, so that <W> - dF = <Q> + E_T[-T log p_eq,T] - E_0[-T log p_eq,0].
    """
    start = process.start or 0.0
    first = process.quasi_invariant(start, process.dim)
    last, kept = (
        process.marginal(first, start + duration, start),
        process.quasi_invariant(start + duration, process.dim),
    )
    medium, _ = medium_and_system(process, first, duration)
    work = medium + cross_entropy(last, kept) - entropy(first)
    return work, kl(last, kept), entropy_production(process, first, duration)


def _lag(process: Process, duration: float) -> Sides:
    work, lag, _ = _dissipated(process, duration)
    return work, lag


def _lag_and_production(process: Process, duration: float) -> Sides:
    work, lag, produced = _dissipated(process, duration)
    return work, lag + produced


def _adiabatic(process: Any, p: Any, t: Any = None, **options: Any) -> Sides:
    return excess_housekeeping(process, p, t, **options).housekeeping, 0.0


def _non_adiabatic(process: Any, p: Any, t: Any = None, **options: Any) -> Sides:
    return excess_housekeeping(process, p, t, **options).excess, 0.0


def _both_parts(process: Any, p: Any, t: Any = None, **options: Any) -> Sides:
    return excess_housekeeping(process, p, t, **options).total, entropy_production_rate(process, p, t)


def _two_splits(process: Any, p: Any, t: Any = None) -> Sides:
    geometric, about_steady = (excess_housekeeping(process, p, t, split=s) for s in ("maes-netocny", "hatano-sasa"))
    return geometric.excess, about_steady.excess


# -- conditions --------------------------------------------------------------------------------------------------------


def _balance_known(process: Any, initial: Any) -> str | None:
    if isinstance(process, MarkovJump):
        return None
    if not isinstance(process, AffineProcess | Langevin):
        return f"of a {type(process).__name__} there is one route only"
    return density_everywhere(initial)


def _static_balance(process: Any, initial: Any) -> str | None:
    if isinstance(process, MarkovJump):
        if process.driven:
            return "the rates are driven"
        return None if process.has_detailed_balance() else "the rates have no detailed balance"
    dim = as_distribution(initial, "initial").dim
    if not isinstance(process, AffineProcess) or process.static_force(dim) is None:
        return "the force is not a gradient that stays the same"
    try:
        process.quasi_invariant(process.start or 0.0, dim)
    except ValueError as reason:
        return str(reason)
    return None


def _no_force(process: Any, initial: Any) -> str | None:
    dim = as_distribution(initial, "initial").dim
    force = process.static_force(dim) if isinstance(process, AffineProcess) else None
    if force is None or any(bool((part != 0).any()) for part in force):
        return "a force acts"
    return None


def _balance_at_all_times(process: Any, duration: float) -> str | None:
    if not isinstance(process, AffineProcess | MarkovJump):
        return f"the mean work of a {type(process).__name__} is not known without simulation"
    start = process.start or 0.0
    for share in torch.linspace(0.0, 1.0, _LOOKS, dtype=torch.float64).tolist():
        t = start + share * duration
        try:
            process.quasi_invariant(t, process.dim)
        except ValueError as reason:
            return str(reason)
        if isinstance(process, MarkovJump):
            balanced = process.has_detailed_balance(t)
        else:
            balanced = process.has_energy(process.dim)
        if not balanced:
            return f"no detailed balance at time {t:.6g}"
    return None


def _splits(process: Any, p: Any, t: Any = None) -> str | None:
    try:
        excess_housekeeping(process, p, t)
    except (TypeError, ValueError) as reason:
        return str(reason)
    return None


def _splits_both_ways(process: Any, p: Any, t: Any = None) -> str | None:
    if not isinstance(process, AffineProcess | Langevin):
        return f"the split of Maes and Netocny is known for diffusions; got a {type(process).__name__}"
    return _splits(process, p, t)


# -- cases -------------------------------------------------------------------------------------------------------------


def _rotating() -> OrnsteinUhlenbeck:
    return OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)


def _towards_equilibrium() -> dict[str, Any]:
    process = OrnsteinUhlenbeck([[1.0, 0.3], [0.3, 2.0]], 1.2)
    return {"process": process, "initial": Gaussian([1.0, -0.5], [[0.5, 0.1], [0.1, 0.4]]), "duration": 0.8}


def _driven_out() -> dict[str, Any]:
    """A trap that moves and rotates what is in it: neither static nor a gradient."""
    process = AffineDiffusion([[-1.0, 0.7], [-0.7, -1.5]], 1.1, lambda t: torch.stack([t, t.cos()], -1))
    return {"process": process, "initial": Gaussian([0.0, 1.0], [[1.0, 0.2], [0.2, 0.5]]), "duration": 1.0}


def _switched_at_the_end() -> dict[str, Any]:
    """Two states whose energies are switched when the time is over: nothing has been produced, all is lag."""
    before, after = (torch.tensor(r, dtype=torch.float64) for r in ([[0.0, 1.0], [2.0, 0.0]], [[0.0, 4.0], [1.0, 0.0]]))
    process = MarkovJump(lambda t: torch.where((t < 1)[..., None, None], before, after), horizon=1.0)
    return {"process": process, "duration": 1.0}


def _moving_trap() -> dict[str, Any]:
    return {"process": AffineDiffusion([[-1.0]], 2**0.5, lambda t: t[..., None]), "duration": 1.5}


def _non_reciprocal() -> dict[str, Any]:
    return {"process": _rotating(), "duration": 1.0}


def _out_of_equilibrium() -> dict[str, Any]:
    process = OrnsteinUhlenbeck([[1.0, 0.3], [0.3, 2.0]], 1.2)
    return {"process": process, "p": Gaussian([1.0, -0.5], [[0.5, 0.1], [0.1, 0.4]])}


def _kept_in_motion() -> dict[str, Any]:
    return {"process": _rotating(), "p": _rotating().quasi_invariant(0.0)}


def _never_at_rest() -> dict[str, Any]:
    """A drift that pushes outwards and round: no law is kept."""
    return {"process": OrnsteinUhlenbeck([[-1.0, -2.0], [2.0, -1.0]], 1.0), "p": Gaussian([0.0, 0.0], torch.eye(2))}


register(
    Bound(
        "path-divergence",
        statement=claim("S_tot", "==", "DeltaS + S_m"),
        source="Premkumar, Neural Entropy (workshop paper), Eq. (6); Seifert, Rep. Prog. Phys. 75, 126001 (2012), "
        "section 2",
        relation="==",
        sides=_path_divergence,
        conditions={
            "both routes exist, the integral of the rate and the balance of system and medium": _balance_known,
            "the law at the end is known": law_at_the_end,
        },
        saturated=_driven_out,
        not_applicable=lambda: {
            "process": MarkovChain([[0.7, 0.3], [0.2, 0.8]]),
            "initial": Discrete([0.5, 0.5]),
            "duration": 3,
        },
        group=GROUP,
        note="The divergence of forward from reversed paths, integral of E|2 b - sigma^2 grad log p|^2 / (2 sigma^2), "
        "is the entropy that the system and the medium gain.",
    )
)

register(
    Bound(
        "relaxation-identity",
        statement=claim("S_tot", "==", "KL(P, P_eq) - KL(Q, P_eq)"),
        source="Spohn, J. Math. Phys. 19, 1227 (1978); Vaikuntanathan and Jarzynski, EPL 87, 60005 (2009)",
        relation="==",
        sides=_relaxation,
        conditions={
            "detailed balance with an equilibrium that does not change": _static_balance,
            "the law at the end is known": law_at_the_end,
        },
        saturated=_towards_equilibrium,
        not_applicable=lambda: {
            "process": _rotating(),
            "initial": Gaussian([0.0, 1.0], [[1.0, 0.2], [0.2, 0.5]]),
            "duration": 1.0,
        },
        group=GROUP,
        note="P and Q are the laws at both ends. The left side is the integral of the rate.",
    )
)

register(
    Bound(
        "pure-noise-identity",
        statement=claim("S_tot", "==", "h(Q) - h(P)"),
        source="Premkumar, Neural Entropy (workshop paper), Eq. (6) without drift; de Bruijn's identity, Stam (1959)",
        relation="==",
        sides=_pure_noise,
        conditions={"no force acts": _no_force, "the law at the end is known": law_at_the_end},
        saturated=lambda: {
            "process": VarianceExploding(sigma=1.3),
            "initial": Gaussian([0.0, 1.0], [[1.0, 0.2], [0.2, 0.5]]),
            "duration": 0.7,
        },
        not_applicable=lambda: {"process": VariancePreserving(), "initial": Gaussian(0.0, 0.5), "duration": 0.5},
        group=GROUP,
        note="P and Q are the laws at both ends: no heat flows, all entropy is the system's.",
    )
)

register(
    Bound(
        "dissipation-lag",
        statement=claim("(W - DeltaF)/T", ">=", "KL(P, P_eq)"),
        source="Vaikuntanathan and Jarzynski, EPL 87, 60005 (2009)",
        relation=">=",
        sides=_lag,
        conditions={"detailed balance at all times": _balance_at_all_times},
        saturated=_switched_at_the_end,
        not_applicable=_non_reciprocal,
        group=GROUP,
        note="From equilibrium; P is the law at the end, P_eq the equilibrium that belongs to it. Saturated by a "
        "sudden switch at the end.",
    )
)

register(
    Bound(
        "dissipated-work-identity",
        statement=claim("(W - DeltaF)/T", "==", "KL(P, P_eq) + S_tot"),
        source="Esposito and Van den Broeck, EPL 95, 40004 (2011)",
        relation="==",
        sides=_lag_and_production,
        conditions={"detailed balance at all times": _balance_at_all_times},
        saturated=_moving_trap,
        not_applicable=_non_reciprocal,
        group=GROUP,
        note="From equilibrium; what is dissipated has been produced, or will be when the lag relaxes.",
    )
)

register(
    Bound(
        "adiabatic-second-law",
        statement=claim("S_hk", ">=", "0"),
        source="Esposito and Van den Broeck, Phys. Rev. Lett. 104, 090601 (2010)",
        relation=">=",
        sides=_adiabatic,
        conditions={"the frozen process has a steady state": _splits},
        saturated=_out_of_equilibrium,
        not_applicable=_never_at_rest,
        group=GROUP,
        note="The housekeeping rate, also of Maes and Netocny with options={'split': 'maes-netocny'}. Saturated by "
        "detailed balance.",
    )
)

register(
    Bound(
        "non-adiabatic-second-law",
        statement=claim("S_ex", ">=", "0"),
        source="Hatano and Sasa, Phys. Rev. Lett. 86, 3463 (2001); Esposito and Van den Broeck, Phys. Rev. Lett. "
        "104, 090601 (2010)",
        relation=">=",
        sides=_non_adiabatic,
        conditions={"the frozen process has a steady state": _splits},
        saturated=_kept_in_motion,
        not_applicable=_never_at_rest,
        group=GROUP,
        note="The excess rate, with the change of the system's entropy in it. Saturated by the steady state.",
    )
)

register(
    Bound(
        "excess-and-housekeeping",
        statement=claim("S_tot", "==", "S_ex + S_hk"),
        source="Oono and Paniconi, Prog. Theor. Phys. Suppl. 130, 29 (1998); Hatano and Sasa, Phys. Rev. Lett. 86, "
        "3463 (2001)",
        relation="==",
        sides=_both_parts,
        conditions={"the frozen process has a steady state": _splits},
        saturated=lambda: {"process": _rotating(), "p": Gaussian([1.0, 0.0], [[0.5, 0.2], [0.2, 1.0]])},
        not_applicable=_never_at_rest,
        group=GROUP,
        note="Rates, each by its own formula.",
    )
)

register(
    Bound(
        "maes-netocny-excess",
        statement=claim("S_MN", ">=", "S_HS"),
        source="Dechant, Sasa and Ito, Phys. Rev. E 106, 024125 (2022); Maes and Netocny, J. Stat. Phys. 154, 188 "
        "(2014)",
        relation=">=",
        sides=_two_splits,
        conditions={"both splits are known": _splits_both_ways},
        saturated=_out_of_equilibrium,
        not_applicable=_never_at_rest,
        group=GROUP,
        note="Excess rates of Maes and Netocny and of Hatano and Sasa; the housekeeping parts are ordered the other "
        "way round. Saturated by detailed balance.",
    )
)
