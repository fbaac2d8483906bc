"""Bounds between what a representation costs and what it keeps."""

from __future__ import annotations

from typing import Any

from infotherm.bounds.bound import Bound, register
from infotherm.bounds.catalogue import conditions
from infotherm.bounds.catalogue.claims import claim
from infotherm.bounds.catalogue.information import channels_fit
from infotherm.channels import DiscreteChannel, LinearGaussianChannel
from infotherm.channels.base import Channel
from infotherm.core.estimate import Estimate
from infotherm.distributions import Discrete, Gaussian, as_distribution
from infotherm.information import conditional_entropy, cross_entropy, entropy

GROUP = "learning"


def rate(p: Any, encoder: Channel, marginal: Any = None, **options: Any) -> Estimate:
    """R = E KL(e(z|x) || q(z)) of an encoder against a marginal q, the true law of z unless given."""
    codes = encoder.output(as_distribution(p, "p"))
    spread = conditional_entropy(encoder.joint(p, names=("x", "z")), "z", given="x", **options)
    if marginal is None:
        return entropy(codes, **options) - spread
    return cross_entropy(codes, marginal, **options) - spread


def distortion(p: Any, encoder: Channel, decoder: Channel, **options: Any) -> Estimate:
    """D = -E log d(x|z) of an encoder and a decoder from z back to x."""
    p = as_distribution(p, "p")
    if isinstance(encoder, LinearGaussianChannel) and isinstance(decoder, LinearGaussianChannel):
        p = Gaussian(p.mean, p.covariance)  # log d is quadratic: only the moments of (x, z) count
    codes = encoder.output(p)
    true = encoder.joint(p, names=("x", "z")).marginal(["z", "x"])
    model = decoder.joint(codes, names=("z", "x"))
    # the law of z is the same in both, so that only the decoder is left
    return cross_entropy(true, model, **options) - entropy(codes, **options)


def _sum(p: Any, encoder: Channel, decoder: Channel, marginal: Any = None, **options: Any) -> tuple[Any, Any]:
    total = rate(p, encoder, marginal, **options) + distortion(p, encoder, decoder, **options)
    return total, entropy(p, **options)


def _decoder_fits(p: Any, encoder: Channel, decoder: Channel) -> str | None:
    reason = channels_fit(p, encoder, decoder)
    if reason is not None:
        return reason
    p = as_distribution(p, "p")
    if isinstance(decoder, DiscreteChannel) and isinstance(p, Discrete) and decoder.matrix.shape[-1:] != p.alphabet:
        return f"the decoder gives {decoder.matrix.shape[-1]} letters; p has {p.alphabet}"
    size = decoder.output_size(encoder.output_size(p.dim))
    if size != p.dim:
        return f"the decoder gives D = {size}; p has D = {p.dim}"
    return None


def _marginal_fits(p: Any, encoder: Channel, marginal: Any) -> str | None:
    return None if marginal is None else conditions.one_space(encoder.output(as_distribution(p, "p")), marginal)


def _best_decoder() -> dict[str, Any]:
    p = Gaussian([1.0, 0.0], [[1.0, 0.4], [0.4, 2.0]])
    encoder = LinearGaussianChannel([[1.0, 0.5]], [[0.3]])
    return {"p": p, "encoder": encoder, "decoder": encoder.reverse(p), "marginal": encoder.output(p)}


def _decoder_into_another_alphabet() -> dict[str, Any]:
    flip = [[0.9, 0.1], [0.1, 0.9]]
    return {"p": Discrete([0.5, 0.5]), "encoder": DiscreteChannel(flip), "decoder": DiscreteChannel([[1.0], [1.0]])}


register(
    Bound(
        "rate-distortion-sum",
        statement=claim("R + D", ">=", "H(X)"),
        source="Alemi et al., Fixing a Broken ELBO, ICML (2018), section 2; Alemi and Fischer, TherML (2018), Eq. (12)",
        relation=">=",
        sides=_sum,
        conditions={"the channels fit": _decoder_fits, "the marginal is a law of codes": _marginal_fits},
        saturated=_best_decoder,
        not_applicable=_decoder_into_another_alphabet,
        group=GROUP,
        note="R = E KL(e(z|x) || q(z)), D = -E log d(x|z); saturated when q is the law of z and d is Bayes' posterior. "
        "For a density H is the differential entropy and D a density's logarithm.",
    )
)
