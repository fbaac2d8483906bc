"""Bounds between information quantities: divergences, entropies, processing."""

from __future__ import annotations

from typing import Any

import torch

from infotherm.bounds.bound import Bound, register
from infotherm.bounds.catalogue import conditions
from infotherm.bounds.catalogue.claims import claim
from infotherm.channels import DiscreteChannel, LinearGaussianChannel
from infotherm.channels.base import Channel
from infotherm.distributions import Discrete, Gaussian, as_distribution
from infotherm.information import (
    conditional_entropy,
    cross_entropy,
    entropy,
    kl,
    mutual_information,
    total_variation,
)

Sides = tuple[Any, Any]

GROUP = "information"
COVER_THOMAS = "Cover and Thomas, Elements of Information Theory, 2nd ed. (2006)"


def _two_laws_on_different_spaces() -> dict[str, Any]:
    return {"p": Gaussian(0.0, 1.0), "q": Discrete([0.5, 0.5])}


def _joint_without_parts() -> dict[str, Any]:
    return {"joint": Gaussian([0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]])}


def _has_parts(joint: Any, x: str, y: str) -> str | None:
    return conditions.parts(joint, x, y)


def _independent_pair() -> dict[str, Any]:
    return {"joint": Gaussian([0.0, 0.0], [[2.0, 0.0], [0.0, 0.5]], parts={"x": 1, "y": 1})}


# -- divergences -----------------------------------------------------------------------------------------------------


def _gibbs(p: Any, q: Any, **options: Any) -> Sides:
    return kl(p, q, **options), 0.0


def _pinsker(p: Any, q: Any, **options: Any) -> Sides:
    return total_variation(p, q, **options).square(), kl(p, q, **options) / 2


def _bretagnolle_huber(p: Any, q: Any, **options: Any) -> Sides:
    return total_variation(p, q, **options), kl(p, q, **options).monotone(
        lambda x: torch.sqrt(-torch.expm1(-x)), _bretagnolle_huber_slope, lowest=0.0, units="1"
    )


def _bretagnolle_huber_slope(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * torch.exp(-x) / torch.sqrt(-torch.expm1(-x))


def _nearly_equal_coins() -> dict[str, Any]:
    shift = 1e-4
    return {"p": Discrete([0.5 + shift, 0.5 - shift]), "q": Discrete([0.5, 0.5])}


def _nearly_disjoint_coins() -> dict[str, Any]:
    return {"p": Discrete([1.0, 0.0]), "q": Discrete([1e-12, 1.0 - 1e-12])}


register(
    Bound(
        "gibbs",
        statement=claim("KL(P, Q)", ">=", "0"),
        source=f"Gibbs (1902); {COVER_THOMAS}, Theorem 2.6.3",
        relation=">=",
        sides=_gibbs,
        conditions={"p and q live on one space": conditions.one_space},
        saturated=lambda: (
            {"p": Gaussian([1.0, 2.0], [[2.0, 0.3], [0.3, 1.0]])}
            | {"q": Gaussian([1.0, 2.0], [[2.0, 0.3], [0.3, 1.0]])}
        ),
        not_applicable=_two_laws_on_different_spaces,
        group=GROUP,
    )
)

register(
    Bound(
        "pinsker",
        statement=claim("TV(P, Q)**2", "<=", "KL(P, Q)/2"),
        source=f"Pinsker (1964); with this constant Csiszar (1967) and Kullback (1967); {COVER_THOMAS}, Lemma 11.6.1",
        relation="<=",
        sides=_pinsker,
        conditions={"p and q live on one space": conditions.one_space},
        saturated=_nearly_equal_coins,
        not_applicable=_two_laws_on_different_spaces,
        group=GROUP,
        note="Saturated in the limit of coins that become fair: the tightness is 1 - 2 shift^2 / 3.",
    )
)

register(
    Bound(
        "bretagnolle-huber",
        statement=claim("TV(P, Q)", "<=", "sqrt(1 - exp(-KL(P, Q)))"),
        source="Bretagnolle and Huber, Z. Wahrscheinlichkeitstheorie 47, 119 (1979), Lemma 2.1",
        relation="<=",
        sides=_bretagnolle_huber,
        conditions={"p and q live on one space": conditions.one_space},
        saturated=_nearly_disjoint_coins,
        not_applicable=_two_laws_on_different_spaces,
        group=GROUP,
        note="Saturated in the limit of laws with disjoint supports; never vacuous, unlike Pinsker's beyond KL = 2.",
    )
)


# -- entropies -------------------------------------------------------------------------------------------------------


def _conditioning(joint: Any, x: str = "x", y: str = "y", **options: Any) -> Sides:
    joint = as_distribution(joint, "joint")
    return conditional_entropy(joint, y, given=x, **options), entropy(joint.marginal(y), **options)


def _subadditivity(joint: Any, x: str = "x", y: str = "y", **options: Any) -> Sides:
    joint = as_distribution(joint, "joint")
    separate = entropy(joint.marginal(x), **options) + entropy(joint.marginal(y), **options)
    return entropy(joint.marginal([x, y]), **options), separate


def _maximum_entropy(p: Any, **options: Any) -> Sides:
    p = as_distribution(p, "p")
    return entropy(p, **options), entropy(Gaussian(torch.zeros_like(p.mean), p.covariance))


register(
    Bound(
        "conditioning-reduces-entropy",
        statement=claim("H(Y_given_X)", "<=", "H(Y)"),
        source=f"{COVER_THOMAS}, Theorem 2.6.5; differential entropies: corollary to Theorem 8.6.1",
        relation="<=",
        sides=_conditioning,
        conditions={"the law has the two parts": _has_parts},
        saturated=_independent_pair,
        not_applicable=_joint_without_parts,
        group=GROUP,
    )
)

register(
    Bound(
        "subadditivity",
        statement=claim("H(X, Y)", "<=", "H(X) + H(Y)"),
        source=f"Shannon (1948), section 6; {COVER_THOMAS}, Theorem 2.6.6",
        relation="<=",
        sides=_subadditivity,
        conditions={"the law has the two parts": _has_parts},
        saturated=_independent_pair,
        not_applicable=_joint_without_parts,
        group=GROUP,
    )
)

register(
    Bound(
        "gaussian-maximum-entropy",
        statement=claim("h(X)", "<=", "log((2*pi)**D * exp(D) * det(C))/2"),
        source=f"Shannon (1948), section 20; {COVER_THOMAS}, Theorem 8.6.5",
        relation="<=",
        sides=_maximum_entropy,
        conditions={"p has a density": conditions.density, "p has a finite covariance": conditions.finite_covariance},
        saturated=lambda: {"p": Gaussian([0.0, 1.0], [[2.0, 0.3], [0.3, 1.0]])},
        not_applicable=lambda: {"p": Discrete([0.5, 0.5])},
        group=GROUP,
        note="C is the covariance of X, D its number of coordinates.",
    )
)


# -- processing ------------------------------------------------------------------------------------------------------


def _processed_divergence(p: Any, q: Any, channel: Channel, **options: Any) -> Sides:
    p, q = as_distribution(p, "p"), as_distribution(q, "q")
    return kl(channel.output(p), channel.output(q), **options), kl(p, q, **options)


def _processed_information(p: Any, first: Channel, second: Channel, **options: Any) -> Sides:
    p = as_distribution(p, "p")
    whole, part = (second @ first).joint(p, names=("x", "z")), first.joint(p, names=("x", "y"))
    return mutual_information(whole, "x", "z", **options), mutual_information(part, "x", "y", **options)


def _takes_both(p: Any, q: Any, channel: Channel) -> str | None:
    reason = conditions.takes(channel, p, "p") or conditions.takes(channel, q, "q")
    return reason or conditions.output_known(channel, p) or conditions.output_known(channel, q)


def channels_fit(p: Any, first: Channel, second: Channel) -> str | None:
    """Whether the second channel takes what the first gives."""
    reason = conditions.takes(first, p, "p")
    if reason is not None:
        return reason
    if not isinstance(second, Channel):
        raise TypeError(f"a channel must be a Channel; got {type(second).__name__}")
    size = first.output_size(as_distribution(p, "p").dim)
    if second.input_dim is not None and second.input_dim != size:
        return f"the second channel takes inputs with D = {second.input_dim}; the first gives D = {size}"
    if isinstance(first, DiscreteChannel) != isinstance(second, DiscreteChannel):
        return "one channel is between finite alphabets, the other is not"
    if isinstance(first, DiscreteChannel) and isinstance(second, DiscreteChannel):
        given, taken = first.matrix.shape[-1], second.matrix.shape[-2]
        if given != taken:
            return f"the second channel takes {taken} letters; the first gives {given}"
    return conditions.output_known(first, p)


def _relabelling() -> dict[str, Any]:
    return {
        "p": Discrete([0.2, 0.3, 0.5]),
        "q": Discrete([0.6, 0.3, 0.1]),
        "channel": DiscreteChannel([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
    }


def _invertible_second_step() -> dict[str, Any]:
    return {
        "p": Gaussian([0.0, 0.0], [[1.0, 0.2], [0.2, 2.0]]),
        "first": LinearGaussianChannel([[1.0, 0.5], [0.0, 1.0]], [[0.5, 0.1], [0.1, 0.3]]),
        "second": LinearGaussianChannel([[2.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]),
    }


register(
    Bound(
        "data-processing-kl",
        statement=claim("KL(K(P), K(Q))", "<=", "KL(P, Q)"),
        source="Kullback and Leibler, Ann. Math. Stat. 22, 79 (1951), Theorem 4.1; Csiszar (1967) for channels",
        relation="<=",
        sides=_processed_divergence,
        conditions={"p and q live on one space": conditions.one_space, "the channel takes p and q": _takes_both},
        saturated=_relabelling,
        not_applicable=lambda: {
            "p": Gaussian(0.0, 1.0),
            "q": Gaussian(1.0, 1.0),
            "channel": DiscreteChannel([[0.9, 0.1], [0.1, 0.9]]),
        },
        group=GROUP,
    )
)

register(
    Bound(
        "data-processing-mutual-information",
        statement=claim("I(X_Z)", "<=", "I(X_Y)"),
        source=f"{COVER_THOMAS}, Theorem 2.8.1",
        relation="<=",
        sides=_processed_information,
        conditions={"the channels fit": channels_fit},
        saturated=_invertible_second_step,
        not_applicable=lambda: {
            "p": Discrete([0.5, 0.5]),
            "first": DiscreteChannel([[0.9, 0.1], [0.1, 0.9]]),
            "second": DiscreteChannel([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]),
        },
        group=GROUP,
        note="For the chain X -> Y -> Z of the input p and two channels in a row.",
    )
)


# -- identities ------------------------------------------------------------------------------------------------------


def _entropy_chain_rule(joint: Any, x: str = "x", y: str = "y", **options: Any) -> Sides:
    joint = as_distribution(joint, "joint")
    parts = entropy(joint.marginal(x), **options) + conditional_entropy(joint, y, given=x, **options)
    return entropy(joint.marginal([x, y]), **options), parts


def _information_chain_rule(joint: Any, x: str = "x", y: str = "y", z: str = "z", **options: Any) -> Sides:
    joint = as_distribution(joint, "joint")
    parts = mutual_information(joint, x, z, **options) + mutual_information(joint, y, z, given=x, **options)
    return mutual_information(joint, [x, y], z, **options), parts


def _has_three_parts(joint: Any, x: str, y: str, z: str) -> str | None:
    return conditions.parts(joint, x, y, z)


def _cross_entropy_split(p: Any, q: Any, **options: Any) -> Sides:
    return cross_entropy(p, q, **options), entropy(p, **options) + kl(p, q, **options)


def _self_information(p: Any, **options: Any) -> Sides:
    p = as_distribution(p, "p")
    pair = Discrete(torch.diag_embed(p.pmf), parts=("x", "copy"))
    return mutual_information(pair, "x", "copy", **options), entropy(p, **options)


def _is_discrete(p: Any) -> str | None:
    p = as_distribution(p, "p")
    if not isinstance(p, Discrete) or len(p.alphabet) != 1:
        return f"p is a {type(p).__name__} of {p.dim} coordinates: I(X; X) is infinite where the law has a density"
    return None


def _three_bits() -> dict[str, Any]:
    pmf = [[[0.1, 0.05], [0.2, 0.05]], [[0.15, 0.1], [0.05, 0.3]]]
    return {"joint": Discrete(pmf, parts=("x", "y", "z"))}


register(
    Bound(
        "chain-rule-entropy",
        statement=claim("H(X, Y)", "==", "H(X) + H(Y_given_X)"),
        source=f"{COVER_THOMAS}, Theorem 2.2.1",
        relation="==",
        sides=_entropy_chain_rule,
        conditions={"the law has the two parts": _has_parts},
        saturated=lambda: {"joint": Gaussian.with_mutual_information(1.0, dx=2, dy=2)},
        not_applicable=_joint_without_parts,
        group=GROUP,
    )
)

register(
    Bound(
        "chain-rule-mutual-information",
        statement=claim("I(XY_Z)", "==", "I(X_Z) + I(Y_Z_given_X)"),
        source=f"{COVER_THOMAS}, Theorem 2.5.2",
        relation="==",
        sides=_information_chain_rule,
        conditions={"the law has the three parts": _has_three_parts},
        saturated=_three_bits,
        not_applicable=_joint_without_parts,
        group=GROUP,
    )
)

register(
    Bound(
        "cross-entropy-identity",
        statement=claim("H(P, Q)", "==", "H(P) + KL(P, Q)"),
        source=f"{COVER_THOMAS}, Theorem 5.4.3 (the cost of the wrong code)",
        relation="==",
        sides=_cross_entropy_split,
        conditions={"p and q live on one space": conditions.one_space},
        saturated=lambda: {
            "p": Gaussian([0.0, 1.0], [[2.0, 0.3], [0.3, 1.0]]),
            "q": Gaussian([1.0, 0.0], [[1.0, 0.0], [0.0, 3.0]]),
        },
        not_applicable=_two_laws_on_different_spaces,
        group=GROUP,
        note="Here H(P, Q) is the cross-entropy of Q under P, not a joint entropy.",
    )
)

register(
    Bound(
        "self-information",
        statement=claim("I(X_X)", "==", "H(X)"),
        source=f"{COVER_THOMAS}, Theorem 2.4.1",
        relation="==",
        sides=_self_information,
        conditions={"p is a law on a finite alphabet": _is_discrete},
        saturated=lambda: {"p": Discrete([0.5, 0.25, 0.125, 0.125])},
        not_applicable=lambda: {"p": Gaussian(0.0, 1.0)},
        group=GROUP,
    )
)
