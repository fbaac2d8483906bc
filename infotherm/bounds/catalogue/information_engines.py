"""The second law with information: feedback, two systems that learn about each other, and weights that learn labels."""

from __future__ import annotations

from typing import Any

from infotherm.bounds.bound import Bound, register
from infotherm.bounds.catalogue.claims import claim
from infotherm.bounds.catalogue.parts import rebuilt
from infotherm.channels import LinearGaussianChannel
from infotherm.distributions import Gaussian, GaussianMixture
from infotherm.processes import OrnsteinUhlenbeck
from infotherm.thermodynamics import bipartite_rates, hebbian_weight, transfer_entropy_rate, trap_engine
from infotherm.thermodynamics.feedback import trap_jarzynski

Sides = tuple[Any, Any]

GROUP = "information-engines"


# -- sides -------------------------------------------------------------------------------------------------------------


def _extracted(
    prior: Any, measurement: Any, feedback: str = "shift-and-stiffen", temperature: float = 1.0, **options: Any
) -> Sides:
    engine = trap_engine(prior, measurement, feedback, temperature=temperature, **options)
    return rebuilt(engine.extracted_work / temperature, units="nat"), engine.information


def _equality(prior: Any, measurement: Any, feedback: str = "shift") -> Sides:
    return trap_jarzynski(prior, measurement, feedback), 1.0


def _own_second_law(process: Any, parts: Any, p: Any = None, side: str = "x") -> Sides:
    rates = getattr(bipartite_rates(process, parts, p), side)
    return rates.entropy_change + rates.medium_entropy, rates.information_flow


def _learning_rate(process: Any, parts: Any) -> Sides:
    return bipartite_rates(process, parts).y.information_flow, transfer_entropy_rate(process, parts, "x->y")


def _learning(
    duration: float,
    learning_rate: float = 1.0,
    samples: int = 1,
    drive: str = "sudden",
    stiffness: float = 1.0,
    temperature: float = 1.0,
    gain: float = 1.0,
) -> Sides:
    learnt = hebbian_weight(
        duration, learning_rate, samples=samples, drive=drive, stiffness=stiffness, temperature=temperature, gain=gain
    )
    return learnt.label_information, learnt.cost


# -- conditions --------------------------------------------------------------------------------------------------------


def _works(prior: Any, measurement: Any, feedback: str) -> str | None:
    try:
        trap_engine(prior, measurement, feedback)
    except (TypeError, ValueError) as reason:
        return str(reason)
    return None


def _bipartite(process: Any, parts: Any, p: Any = None) -> str | None:
    try:
        bipartite_rates(process, parts, p)
    except (TypeError, ValueError) as reason:
        return str(reason)
    return None


def _rests(process: Any, parts: Any) -> str | None:
    return _bipartite(process, parts)


def _side(side: str) -> str | None:
    return None if side in ("x", "y") else f"side must be 'x' or 'y'; got {side!r}"


def _fair_coins(samples: Any, learning_rate: float) -> str | None:
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        return f"there must be at least one sample; got {samples!r}"
    return None if learning_rate != 0 else "without a force nothing is learnt"


# -- cases -------------------------------------------------------------------------------------------------------------


def _noisy_look() -> dict[str, Any]:
    return {"prior": Gaussian(0.0, 2.0), "measurement": LinearGaussianChannel(1.0, 0.5), "temperature": 1.5}


def _two_wells() -> dict[str, Any]:
    return {
        "prior": GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.1]], [[0.1]]]),
        "measurement": LinearGaussianChannel(1.0, 0.5),
    }


def _correlated_noises() -> dict[str, Any]:
    return {"process": OrnsteinUhlenbeck([[1.0, 0.0], [-2.0, 2.0]], [[1.0, 0.5], [0.0, 1.0]]), "parts": (1, 1)}


def _in_equilibrium() -> dict[str, Any]:
    return {"process": OrnsteinUhlenbeck([[1.0, 0.4], [0.4, 2.0]], 1.3), "parts": (1, 1)}


def _best_sensor() -> dict[str, Any]:
    """dX = -X dt + sqrt(2) dB, dY = (2 X - k Y) dt + sqrt(2) dB: with k = sqrt(5) what Y is, its past would tell."""
    return {"process": OrnsteinUhlenbeck([[1.0, 0.0], [-2.0, 5**0.5]], 2**0.5), "parts": (1, 1)}


register(
    Bound(
        "sagawa-ueda",
        statement=claim("W_ext/T", "<=", "I(X, Y)"),
        source="Sagawa and Ueda, Phys. Rev. Lett. 100, 080403 (2008)",
        relation="<=",
        sides=_extracted,
        conditions={"a Gaussian trap with a noisy linear measurement": _works},
        saturated=_noisy_look,
        not_applicable=_two_wells,
        group=GROUP,
        note="Work extracted in a cycle that starts and ends in the same trap. Saturated by a trap that is shifted and "
        "stiffened to what is known; a shift alone extracts less.",
    )
)

register(
    Bound(
        "sagawa-ueda-equality",
        statement=claim("E(exp(-W/T - I(X, Y)))", "==", "1"),
        source="Sagawa and Ueda, Phys. Rev. Lett. 104, 090602 (2010)",
        relation="==",
        sides=_equality,
        conditions={"a Gaussian trap with a noisy linear measurement": _works},
        saturated=lambda: {"prior": Gaussian(0.3, 2.0), "measurement": LinearGaussianChannel(1.0, 3.0)},
        not_applicable=_two_wells,
        group=GROUP,
        note="I is that of a single cycle, log p(y | x) / p(y). By quadrature over x and y: samples may have an "
        "infinite variance.",
    )
)

register(
    Bound(
        "bipartite-second-law",
        statement=claim("DeltaS + S_m", ">=", "I_x"),
        source="Horowitz and Esposito, Phys. Rev. X 4, 031015 (2014); Allahverdyan, Janzing and Mahler, J. Stat. Mech. "
        "(2009) P09011",
        relation=">=",
        sides=_own_second_law,
        conditions={"the noises of both systems are independent": _bipartite, "it is asked of x or y": _side},
        saturated=_in_equilibrium,
        not_applicable=_correlated_noises,
        group=GROUP,
        note="Rates of one of two systems: entropy of its law and of its medium against its information flow. A system"
        " that the other learns about may cool its bath. Saturated in equilibrium.",
    )
)

register(
    Bound(
        "learning-rate",
        statement=claim("I_y", "<=", "TE(X, Y)"),
        source="Hartich, Barato and Seifert, Phys. Rev. E 93, 022116 (2016); Horowitz and Sandberg, New J. Phys. 16, "
        "125007 (2014)",
        relation="<=",
        sides=_learning_rate,
        conditions={"the noises of both systems are independent and there is a steady state": _rests},
        saturated=_best_sensor,
        not_applicable=_correlated_noises,
        group=GROUP,
        note="Stationary rates. Saturated by a sensor whose state says as much as its past, as a Kalman filter does. "
        "Of jumps the transfer entropy is known from above only, so that nothing is decided.",
    )
)

register(
    Bound(
        "learning-efficiency",
        statement=claim("I(X, Y)", "<=", "DeltaS + S_m"),
        source="Goldt and Seifert, Phys. Rev. Lett. 118, 010601 (2017)",
        relation="<=",
        sides=_learning,
        conditions={"a weight learns labels that are fair coins": _fair_coins},
        saturated=lambda: {
            "duration": 1e12,
            "learning_rate": 10.0,
            "drive": "linear",
            "gain": 50.0,
        },
        not_applicable=lambda: {"duration": 1.0, "learning_rate": 0.0},
        group=GROUP,
        note="Information that a prediction has of the labels, summed over the samples, against the entropy and the "
        "heat of the weight. Saturated by slow learning of a label that is told without doubt.",
    )
)
