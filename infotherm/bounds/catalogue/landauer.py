"""What a change of law costs: Landauer's principle, and speed limits of jump processes."""

from __future__ import annotations

from typing import Any

import torch

from infotherm.bounds.bound import Bound, register
from infotherm.bounds.catalogue.claims import claim
from infotherm.bounds.catalogue.conditions import density_everywhere, law_at_the_end
from infotherm.bounds.catalogue.parts import medium_and_system
from infotherm.core.estimate import Estimate
from infotherm.distributions import Discrete, Gaussian, as_distribution
from infotherm.information import total_variation
from infotherm.processes import MarkovChain, MarkovJump, OrnsteinUhlenbeck, Process
from infotherm.processes.base import AffineProcess
from infotherm.thermodynamics import dynamical_activity, entropy_production, landauer_cost

Sides = tuple[Any, Any]

GROUP = "landauer"


def steady_transfer(start: float, end: float, duration: float, activity: float) -> MarkovJump:
    """Two states whose flows do not change while the probability of the second goes from `start` to `end`.

    With flows a and b to and from it, a - b = (end - start) / duration and a + b = activity / duration, the entropy
    production is (end - start) log(a / b): the least for that activity.

    Parameters
    ----------
    start, end
        Probability of the second state, strictly between 0 and 1.
    duration
        Time of the transfer.
    activity
        Number of jumps in all, more than |end - start|.

    Examples
    --------
    >>> process = steady_transfer(0.2, 0.6, 2.0, 1.0)
    >>> process.marginal(Discrete([0.8, 0.2]), 2.0).pmf
    tensor([0.4000, 0.6000], dtype=torch.float64)
    """
    there, back = (0.5 * (activity + sign * (end - start)) / duration for sign in (1, -1))

    def rates(t: torch.Tensor) -> torch.Tensor:
        second = start + (end - start) * t / duration
        zero = torch.zeros_like(second)
        rows = [torch.stack([zero, there / (1 - second)], -1), torch.stack([back / second, zero], -1)]
        return torch.stack(rows, -2)

    return MarkovJump(rates, horizon=duration)


# -- sides -------------------------------------------------------------------------------------------------------------


def _landauer(process: Process, initial: Any, duration: float) -> Sides:
    initial = as_distribution(initial, "initial")
    final = process.marginal(initial, (process.start or 0.0) + duration, process.start or 0.0)
    return medium_and_system(process, initial, duration)[0], landauer_cost(initial, final)


def _moved(process: MarkovJump, initial: Any, duration: float) -> tuple[Estimate, Estimate]:
    """The total variation between the laws at both ends, and the number of jumps."""
    initial = as_distribution(initial, "initial")
    start = process.start or 0.0
    moved = total_variation(initial, process.marginal(initial, start + duration, start))
    accuracy = sum(float(e.max()) for e in process.transition_accuracy(start, start + duration))
    moved = moved + Estimate(torch.zeros_like(moved.value), error=accuracy, units=moved.units)
    return moved, dynamical_activity(process, initial, duration)


def _activity_limit(process: MarkovJump, initial: Any, duration: float) -> Sides:
    moved, activity = _moved(process, initial, duration)
    return entropy_production(process, initial, duration), 2 * moved.square() / activity


def _sharp_activity_limit(process: MarkovJump, initial: Any, duration: float) -> Sides:
    moved, activity = _moved(process, initial, duration)
    share = (moved / activity).monotone(torch.atanh, lambda x: 1 / (1 - x * x), lowest=-1.0)
    return entropy_production(process, initial, duration), 2 * moved * share


# -- conditions --------------------------------------------------------------------------------------------------------


def _heat_known(process: Any, initial: Any) -> str | None:
    if isinstance(process, MarkovJump | MarkovChain):
        return None
    if not isinstance(process, AffineProcess):
        return f"the mean heat of a {type(process).__name__} is not known without simulation"
    return density_everywhere(initial)


def _jumps(process: Any) -> str | None:
    if isinstance(process, MarkovJump):
        return None
    return f"a {type(process).__name__} is not a jump process (for diffusions there is speed-limit-w2)"


# -- cases -------------------------------------------------------------------------------------------------------------


def _transfer(start: float, end: float, activity: float) -> dict[str, Any]:
    process = steady_transfer(start, end, 1.0, activity)
    return {"process": process, "initial": Discrete([1 - start, start]), "duration": 1.0}


def _diffusion() -> dict[str, Any]:
    return {"process": OrnsteinUhlenbeck(1.0, 1.0), "initial": Gaussian(0.0, 1.0), "duration": 1.0}


register(
    Bound(
        "landauer",
        statement=claim("S_m", ">=", "H(P) - H(Q)"),
        source="Landauer, IBM J. Res. Dev. 5, 183 (1961); Esposito and Van den Broeck, EPL 95, 40004 (2011)",
        relation=">=",
        sides=_landauer,
        conditions={
            "the mean heat is known": _heat_known,
            "the law at the end is known": law_at_the_end,
        },
        saturated=lambda: _transfer(0.5, 0.9, 200.0),
        not_applicable=lambda: {
            "process": OrnsteinUhlenbeck(1.0, 1.0),
            "initial": Gaussian(0.0, 0.0),
            "duration": 1.0,
        },
        group=GROUP,
        note="S_m is heat over temperature, P and Q are the laws at both ends (differential entropies for densities). "
        "Saturated by slow driving: two states, with an excess of one part in so many jumps.",
    )
)

register(
    Bound(
        "speed-limit-activity",
        statement=claim("S_tot", ">=", "2*TV(P, Q)**2/A"),
        source="Shiraishi, Funo and Saito, Phys. Rev. Lett. 121, 070601 (2018)",
        relation=">=",
        sides=_activity_limit,
        conditions={"it is a jump process": _jumps, "the law at the end is known": law_at_the_end},
        saturated=lambda: _transfer(0.4, 0.4 + 1e-4, 1.0),
        not_applicable=_diffusion,
        group=GROUP,
        note="A is the mean number of jumps, TV half the L1 distance. Saturated in the limit of many jumps each way.",
    )
)

register(
    Bound(
        "speed-limit-activity-sharp",
        statement=claim("S_tot", ">=", "2*TV(P, Q)*atanh(TV(P, Q)/A)"),
        source="Van Vu and Saito, Phys. Rev. X 13, 011013 (2023), the total variation in place of W1",
        relation=">=",
        sides=_sharp_activity_limit,
        conditions={"it is a jump process": _jumps, "the law at the end is known": law_at_the_end},
        saturated=lambda: _transfer(0.2, 0.7, 1.3),
        not_applicable=_diffusion,
        group=GROUP,
        note="A is the mean number of jumps. Saturated by two states with flows that do not change.",
    )
)
