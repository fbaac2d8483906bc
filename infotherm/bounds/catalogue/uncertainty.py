"""Uncertainty relations: a precise current must be paid for, in entropy or in activity."""

from __future__ import annotations

from typing import Any

import torch

from infotherm.bounds.bound import Bound, register
from infotherm.bounds.catalogue.claims import claim
from infotherm.bounds.catalogue.fluctuations import ring_of, turns_of
from infotherm.core.estimate import Estimate
from infotherm.processes import (
    Langevin,
    MarkovChain,
    MarkovJump,
    UnderdampedLangevin,
    effective_diffusion,
    mean_velocity,
)
from infotherm.thermodynamics import (
    current_statistics,
    entropy_production_rate,
    jump_edges,
    relative_variance,
    uncertainty_bound,
)

Sides = tuple[Any, Any]

GROUP = "uncertainty"

_MOST = {
    "steady": "S_tot/2",
    "discrete-time": "n*(exp(S_tot/n) - 1)/2",
    "kinetic": "A",
    "unified": "A*tanh(g(S_tot/(2*A)))**2",
}


def _moments(process: Any, counting: Any) -> tuple[Estimate, Estimate]:
    """Mean and variance of the current per unit of time."""
    if isinstance(process, Langevin):
        return mean_velocity(process), 2 * effective_diffusion(process)
    found = current_statistics(process, counting)
    return found.mean, found.variance


def _precision(process: Any, counting: Any) -> Estimate:
    return 1 / relative_variance(_moments(process, counting))


def _steady(process: Any, counting: Any = None) -> Sides:
    return _precision(process, counting), 1 / uncertainty_bound(entropy_production_rate(process))


def _discrete(process: Any, counting: Any) -> Sides:
    # over many steps n both sides are n times those of one
    most = 1 / uncertainty_bound(entropy_production_rate(process), "discrete-time", steps=1)
    return _precision(process, counting), most


def _kinetic(process: Any, counting: Any) -> Sides:
    return _precision(process, counting), 1 / uncertainty_bound(None, "kinetic", activity=jump_edges(process).activity)


def _unified(process: Any, counting: Any) -> Sides:
    edges = jump_edges(process)
    most = 1 / uncertainty_bound(entropy_production_rate(process), "unified", activity=edges.activity)
    return _precision(process, counting), most


# -- conditions --------------------------------------------------------------------------------------------------------


def _in_continuous_time(process: Any) -> str | None:
    if isinstance(process, MarkovChain):
        return "a chain moves in discrete time (uncertainty-relation-discrete-time is its relation)"
    if isinstance(process, UnderdampedLangevin):
        return "underdamped motion may be more precise"
    if isinstance(process, Langevin):
        if process.period is None or process.dim not in (None, 1):
            return "the current of a Langevin process is known on a ring of one coordinate only"
        return None if process.looks_static() else "the process is driven"
    return _jumps(process)


def _jumps(process: Any) -> str | None:
    if not isinstance(process, MarkovJump):
        return f"a {type(process).__name__} is not a jump process"
    return "the rates are driven" if process.driven else None


def _chain(process: Any) -> str | None:
    return None if isinstance(process, MarkovChain) else f"a {type(process).__name__} is not a MarkovChain"


def _odd(process: Any, counting: Any = None) -> str | None:
    if isinstance(process, Langevin):
        return None
    if counting is None:
        return "counting must say what each jump adds to the current"
    weights = torch.as_tensor(counting)
    return None if bool((weights == -weights.mT).all()) else "a jump and its return do not add opposite amounts"


def _flows(process: Any, counting: Any = None) -> str | None:
    mean, _ = _moments(process, counting)
    return None if bool((mean.value.abs() > 4 * mean.error).all()) else "its mean is zero: no precision to speak of"


_STEADY = "the process is overdamped, in continuous time and in its steady state"
_ODD = "the current changes sign when paths are reversed"
_FLOWS = "the current does not vanish"


def _flat_ring() -> Langevin:
    return Langevin(force=1.5, sigma=1.2, periodic=2.0)


def _walk(right: float, states: int = 3) -> MarkovChain:
    """A walk on a ring in discrete time."""
    one = torch.eye(states, dtype=torch.float64)
    return MarkovChain(right * one.roll(1, 1) + (1 - right) * one.roll(-1, 1))


register(
    Bound(
        "uncertainty-relation",
        statement=claim("j**2/Var(j)", "<=", _MOST["steady"]),
        source="Barato and Seifert, Phys. Rev. Lett. 114, 158101 (2015); Gingrich, Horowitz, Perunov and "
        "England, Phys. Rev. Lett. 116, 120601 (2016)",
        relation="<=",
        sides=_steady,
        conditions={_STEADY: _in_continuous_time, _ODD: _odd, _FLOWS: _flows},
        saturated=lambda: {"process": _flat_ring()},
        not_applicable=lambda: {"process": _walk(0.9), "counting": turns_of()},
        group=GROUP,
        note="j is the mean current; of a Langevin process the displacement round its ring, of jumps the sum of "
        "counting[i, j]. Both sides are rates, over a long time. Saturated by a ring without a potential.",
    )
)

register(
    Bound(
        "uncertainty-relation-discrete-time",
        statement=claim("j**2/Var(j)", "<=", _MOST["discrete-time"]),
        source="Proesmans and Van den Broeck, EPL 119, 20001 (2017)",
        relation="<=",
        sides=_discrete,
        conditions={"the process is a chain in its steady state": _chain, _ODD: _odd, _FLOWS: _flows},
        saturated=lambda: {"process": _walk(0.5 + 1e-5), "counting": turns_of()},
        not_applicable=lambda: {"process": ring_of(3.0, 1.0), "counting": turns_of()},
        group=GROUP,
        note="n steps in all; here per step, n large. Saturated in the limit of a small bias. The relation of "
        "continuous time does not hold for chains.",
    )
)

register(
    Bound(
        "uncertainty-relation-kinetic",
        statement=claim("j**2/Var(j)", "<=", _MOST["kinetic"]),
        source="Garrahan, Phys. Rev. E 95, 032134 (2017); Di Terlizzi and Baiesi, J. Phys. A 52, 02LT03 (2019)",
        relation="<=",
        sides=_kinetic,
        conditions={"it is a jump process in its steady state": _jumps, _FLOWS: _flows},
        saturated=lambda: {"process": ring_of(3.0, 1.0), "counting": torch.ones(3, 3, dtype=torch.float64)},
        not_applicable=lambda: {"process": _flat_ring(), "counting": None},
        group=GROUP,
        note="A is the mean number of jumps. Any weights: reversal does not matter, nor whether jumps have returns. "
        "Saturated by the number of jumps where all states are left at the same rate.",
    )
)

register(
    Bound(
        "uncertainty-relation-unified",
        statement=claim("j**2/Var(j)", "<=", _MOST["unified"]),
        source="Vo, Van Vu and Hasegawa, J. Phys. A 55, 405004 (2022)",
        relation="<=",
        sides=_unified,
        conditions={"it is a jump process in its steady state": _jumps, _ODD: _odd, _FLOWS: _flows},
        saturated=lambda: {"process": ring_of(3.0, 1.0), "counting": turns_of()},
        not_applicable=lambda: {"process": _walk(0.9), "counting": turns_of()},
        group=GROUP,
        note="g is the inverse of x tanh x. Tighter than both 'uncertainty-relation' and 'uncertainty-relation-"
        "kinetic'. Saturated by every uniform ring.",
    )
)
