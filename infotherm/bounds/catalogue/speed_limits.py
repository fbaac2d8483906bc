"""Speed limits by transport: of jumps by the distance along their graph, and of generation by the noise schedule."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from infotherm.bounds.bound import Bound, get, register
from infotherm.bounds.catalogue.claims import claim
from infotherm.bounds.catalogue.conditions import law_at_the_end
from infotherm.bounds.catalogue.flowed_distance import flowed_distance
from infotherm.bounds.catalogue.parts import rebuilt
from infotherm.bounds.catalogue.thermodynamics import geodesic_drive
from infotherm.core.estimate import Estimate, stack
from infotherm.core.tensors import as_tensor
from infotherm.distributions import Discrete, Gaussian, GaussianMixture, as_distribution
from infotherm.information import chi2
from infotherm.processes import AffineProcess, MarkovJump, OrnsteinUhlenbeck
from infotherm.processes.base import DiffusionProcess
from infotherm.thermodynamics import dynamical_activity, dynamical_mobility, entropy_production
from infotherm.transport.discrete import optimal_transport
from infotherm.transport.path_speeds import path_action

Sides = tuple[Any, Any]

GROUP = "speed-limits"

_LOOKS = 65  # times at which driven rates are looked at, between their breakpoints


def steady_transport(start: Any, end: Any, duration: float, force: float) -> MarkovJump:
    """States in a row whose flows do not change while their law goes from `start` to `end`: transport at least cost.

    Along every edge the flows a and b in both directions are constant, with a - b what optimal transport carries there
    and log(a / b) = `force`, the same everywhere: the entropy production is force W1, with W1 the distance along the
    row, and activity and mobility are what the speed limits need at least, W1 coth(force / 2) and W1 / force.

    Parameters
    ----------
    start, end
        Probabilities of the K states, positive.
    duration
        Time of the transport, > 0.
    force
        The thermodynamic force along every edge, > 0, in nats.

    Examples
    --------
    >>> process = steady_transport([0.6, 0.3, 0.1], [0.2, 0.3, 0.5], 2.0, 1.5)
    >>> process.marginal(Discrete([0.6, 0.3, 0.1]), 2.0).pmf
    tensor([0.2000, 0.3000, 0.5000], dtype=torch.float64)
    """
    first, last = (as_tensor(p, name, dtype=torch.float64) for p, name in ((start, "start"), (end, "end")))
    carried = (first - last).cumsum(-1)[:-1] / duration
    larger = carried.abs() / -math.expm1(-force)
    smaller = larger * math.exp(-force)
    onward, backward = torch.where(carried > 0, larger, smaller), torch.where(carried > 0, smaller, larger)

    def rates(t: Tensor) -> Tensor:
        law = first + (last - first) * (t / duration)[..., None]
        up, down = onward / law[..., :-1], backward / law[..., 1:]
        return torch.diag_embed(up, 1) + torch.diag_embed(down, -1)

    return MarkovJump(rates, horizon=duration)


# -- jumps -------------------------------------------------------------------------------------------------------------


def jump_distances(process: MarkovJump, start: Any, end: Any) -> Tensor:
    """The number of jumps from each state to each other on the shortest way, shape (K, K).

    Two states are neighbours when a jump between them, in either direction, is possible at a time from start to end
    (and in any member of a batch). Driven rates are looked at 65 times between each two breakpoints. States without any
    way between them are K apart, farther than all others: nothing is carried between them.

    Examples
    --------
    >>> jump_distances(MarkovJump([[0.0, 1.0, 0.0], [2.0, 0.0, 1.0], [0.0, 2.0, 0.0]]), 0.0, 1.0)[0]
    tensor([0., 1., 2.], dtype=torch.float64)
    """
    rates = _rates_seen(process, start, end)
    joined = (rates + rates.mT).reshape(-1, process.states, process.states).amax(0) > 0
    distances = torch.full(joined.shape, float(process.states), dtype=torch.float64, device=rates.device)
    reached = torch.eye(process.states, dtype=torch.bool, device=rates.device)
    for steps in range(process.states):
        distances = torch.where(reached & (distances > steps), float(steps), distances)
        reached = (reached.double() @ joined.double() > 0) | reached
    return distances


def _rates_seen(process: MarkovJump, start: Any, end: Any) -> Tensor:
    """Rates of all reservoirs at the times that are looked at, shape (M, ..., K, K)."""
    if not process.driven:
        return process.rates_at(0.0)[None]
    first, last = float(torch.as_tensor(start).min()), float(torch.as_tensor(end).max())
    inner = [float(t) for t in process.breakpoints if first < t < last]
    # not at the breakpoints themselves, where a rate may have either of two values
    inside = (torch.arange(_LOOKS, dtype=torch.float64) + 0.5) / _LOOKS
    edges = torch.tensor([first, *inner, last], dtype=torch.float64)
    times = (edges[:-1, None] + edges.diff()[:, None] * inside).flatten()
    return torch.stack([process.rates_at(t) for t in times])


def jump_transport(process: MarkovJump, initial: Any, duration: Any) -> Estimate:
    """W1 between the laws at both ends, in jumps along the graph of the process, shape of the batch.

    Examples
    --------
    >>> relaxing = MarkovJump([[0.0, 2.0], [1.0, 0.0]])
    >>> jump_transport(relaxing, Discrete([0.95, 0.05]), 1.0).value
    tensor(0.5860, dtype=torch.float64)
    """
    initial = as_distribution(initial, "initial")
    start = process.start or 0.0
    end = start + torch.as_tensor(duration, dtype=torch.float64)
    final = process.marginal(initial, end, start)
    assert isinstance(initial, Discrete) and isinstance(final, Discrete)
    distances = jump_distances(process, start, end)
    first, last = torch.broadcast_tensors(initial.pmf.double(), final.pmf.double())
    flat = [(p, q) for p, q in zip(first.reshape(-1, process.states), last.reshape(-1, process.states), strict=True)]
    found = stack([optimal_transport(p, q, distances).cost for p, q in flat])
    accuracy = sum(float(e.max()) for e in process.transition_accuracy(start, end))
    error = found.error.reshape(first.shape[:-1]) + accuracy * distances.max()
    return rebuilt(found, value=found.value.reshape(first.shape[:-1]), stderr=0.0, error=error, units="1")


def _mobility_limit(process: MarkovJump, initial: Any, duration: float) -> Sides:
    moved = jump_transport(process, initial, duration)
    mobility = dynamical_mobility(process, initial, duration)
    return entropy_production(process, initial, duration), moved.square() / mobility


def _activity_limit(process: MarkovJump, initial: Any, duration: float) -> Sides:
    moved, activity = jump_transport(process, initial, duration), dynamical_activity(process, initial, duration)
    share = (moved / activity).monotone(torch.atanh, lambda x: 1 / (1 - x * x), lowest=-1.0)
    return entropy_production(process, initial, duration), 2 * moved * share


def _jumps(process: Any) -> str | None:
    if isinstance(process, MarkovJump):
        return None
    return f"a {type(process).__name__} is not a jump process (for diffusions there is speed-limit-w2)"


def _returns(process: Any, duration: Any) -> str | None:
    start = process.start or 0.0
    rates = _rates_seen(process, start, start + torch.as_tensor(duration, dtype=torch.float64))
    return None if bool(((rates > 0) == (rates.mT > 0)).all()) else "a jump has no return: its entropy is infinite"


# -- diffusions --------------------------------------------------------------------------------------------------------

_right = get("speed-limit-w2")


def _printed_limit(process: DiffusionProcess, initial: Any, duration: float, **options: Any) -> Sides:
    produced, least = _right.sides(process, initial, duration, **options)
    return produced, least / 4


def _speed_accuracy(process: AffineProcess, initial: Any, perturbed: Any, duration: float) -> Sides:
    initial, perturbed = as_distribution(initial, "initial"), as_distribution(perturbed, "perturbed")
    start = process.start or 0.0
    final = process.marginal(initial, start + duration, start)
    at_data, at_noise = flowed_distance(initial, initial, perturbed), flowed_distance(initial, final, perturbed)
    change = at_noise - at_data
    change = rebuilt(change, value=change.value.abs())
    paid = duration * path_action(process, initial, duration, start=start)
    return chi2(perturbed, initial) * paid, change.square()


def _scalar_flow(process: Any, initial: Any, perturbed: Any) -> str | None:
    if not isinstance(process, AffineProcess):
        return f"the probability flow of a {type(process).__name__} is not known here: it must be affine"
    for name, law in (("initial", initial), ("perturbed", perturbed)):
        law = as_distribution(law, name)
        if law.dim != 1:
            return f"{name} has D = {law.dim}; W1 along the flow is known for scalar laws"
        if not isinstance(law, Gaussian | GaussianMixture):
            return f"{name} must be a Gaussian or a mixture of them; got {type(law).__name__}"
        if law.measure != "lebesgue" or bool((law.variance == 0).any()):
            return f"{name} has no density"
    return None


def _finite_chi2(initial: Any, perturbed: Any) -> str | None:
    found = chi2(as_distribution(perturbed, "perturbed"), as_distribution(initial, "initial"))
    return None if bool(found.value.isfinite().all()) else "the perturbed law is too wide: chi2 is infinite"


# -- cases -------------------------------------------------------------------------------------------------------------

_FIRST, _LAST = [0.55, 0.3, 0.15], [0.2, 0.3, 0.5]


def _in_a_row() -> dict[str, Any]:
    return {"process": steady_transport(_FIRST, _LAST, 1.0, 1.5), "initial": Discrete(_FIRST), "duration": 1.0}


def _diffusion() -> dict[str, Any]:
    return {"process": OrnsteinUhlenbeck(1.0, 1.0), "initial": Gaussian(0.0, 1.0), "duration": 1.0}


def _widening() -> dict[str, Any]:
    start = Gaussian(0.0, 1.0)
    return {
        "process": geodesic_drive(start, Gaussian(0.0, 4.0), (1.0, 1.0), 1.0),
        "initial": start,
        "perturbed": Gaussian(1e-4, 1.0),
        "duration": 1.0,
    }


_GRAPH = "W1 counts jumps along the graph of all jumps that are possible at some time. "

register(
    Bound(
        "speed-limit-w1-mobility",
        statement=claim("S_tot", ">=", "W1(P, Q)**2/Integral(m(t), (t, 0, T))"),
        source="Van Vu and Saito, Phys. Rev. X 13, 011013 (2023)",
        relation=">=",
        sides=_mobility_limit,
        conditions={
            "it is a jump process": _jumps,
            "every jump has a return": _returns,
            "the law at the end is known": law_at_the_end,
        },
        saturated=_in_a_row,
        not_applicable=_diffusion,
        group=GROUP,
        note=_GRAPH + "m is the sum over edges of (a - b) / log(a / b) for the flows both ways. Saturated where the "
        "force log(a / b) is the same along all edges that optimal transport uses, at all times.",
    )
)

register(
    Bound(
        "speed-limit-w1-activity",
        statement=claim("S_tot", ">=", "2*W1(P, Q)*atanh(W1(P, Q)/A)"),
        source="Van Vu and Saito, Phys. Rev. X 13, 011013 (2023)",
        relation=">=",
        sides=_activity_limit,
        conditions={
            "it is a jump process": _jumps,
            "every jump has a return": _returns,
            "the law at the end is known": law_at_the_end,
        },
        saturated=_in_a_row,
        not_applicable=_diffusion,
        group=GROUP,
        note=_GRAPH + "A is the mean number of jumps. Never tighter than 'speed-limit-w1-mobility', and needs no rates "
        "but that number; with the total variation, never above W1, it is 'speed-limit-activity-sharp'.",
    )
)

register(
    Bound(
        "speed-limit-w2-printed",
        statement=claim("S_tot", ">=", "W2(P, Q)**2/(2*Integral(sigma(t)**2, (t, 0, T)))"),
        source="Premkumar, Neural Entropy (workshop paper), Eq. (7), as printed",
        relation=">=",
        sides=_printed_limit,
        conditions=_right.conditions,
        saturated=_right.saturated_by,
        not_applicable=_right.not_applicable_case,
        group=GROUP,
        note="True and never tight: a quarter of what 'speed-limit-w2' gives under the same paper's Eqs. (1) and (6). "
        "The case given is the one that saturates that; here its tightness is 1/4.",
    )
)

register(
    Bound(
        "speed-accuracy",
        statement=claim("chi2(R, P)*T*Integral(v(t)**2, (t, 0, T))", ">=", "(W1(R_T, Q) - W1(R, P))**2"),
        source="Ikeda, Uda, Okanohara and Ito, Phys. Rev. X 15, 031031 (2025)",
        relation=">=",
        sides=_speed_accuracy,
        conditions={
            "the probability flow and W1 along it are known": _scalar_flow,
            "chi2 is finite": _finite_chi2,
            "the law at the end is known": law_at_the_end,
        },
        saturated=_widening,
        not_applicable=lambda: {**_widening(), "perturbed": Gaussian(0.0, 3.0)},
        group=GROUP,
        note="The probability flow takes the data P to Q and a perturbed law R to R_T, or back, as in generation: "
        "chi2 stays, and W1 changes at most at sqrt(chi2) times the Wasserstein speed v. v^2 is D times the entropy "
        "production rate. Saturated by a small shift of a Gaussian that widens at constant speed.",
    )
)
