"""Bounds between entropy, Fisher information, estimation error and transport distance."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from infotherm.bounds.bound import Bound, register
from infotherm.bounds.catalogue import conditions
from infotherm.bounds.catalogue.claims import claim
from infotherm.bounds.catalogue.differences import derivative
from infotherm.bounds.catalogue.parts import distance, not_negative, trace
from infotherm.channels import LinearGaussianChannel
from infotherm.core.estimate import Estimate, exact
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, require_shape
from infotherm.distributions import Discrete, Gaussian, GaussianMixture, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.information import entropy, fisher_information, kl, minimum_mean_square_error, mutual_information
from infotherm.transport import wasserstein2

Sides = tuple[Any, Any]

GROUP = "functional"
COVER_THOMAS = "Cover and Thomas, Elements of Information Theory, 2nd ed. (2006)"
VILLANI = "Villani, Optimal Transport: Old and New (2009)"


# -- noise added to a law --------------------------------------------------------------------------------------------


def _noise_channel(dim: int, gain: float, variance: float) -> LinearGaussianChannel:
    eye = torch.eye(dim, dtype=torch.float64)
    return LinearGaussianChannel(gain * eye, variance * eye)


def _sum_law(p: Distribution, q: Distribution) -> Distribution:
    """The law of X + Y for independent X of law p and Y of law q, where q is Gaussian."""
    eye = torch.eye(p.dim, dtype=p.dtype, device=p.device)
    return LinearGaussianChannel(eye, q.covariance, q.mean).output(p)


def _entropy_power(p: Distribution, **options: Any) -> Estimate:
    return (entropy(p, **options) * (2 / p.dim)).exp()


def _entropy_powers(p: Any, q: Any, **options: Any) -> Sides:
    p, q = as_distribution(p, "p"), as_distribution(q, "q")
    if not isinstance(q, Gaussian):
        p, q = q, p
    return _entropy_power(_sum_law(p, q), **options), _entropy_power(p, **options) + _entropy_power(q, **options)


def _densities(p: Any, q: Any) -> str | None:
    return conditions.density(p) or conditions.density(q)


def _sum_is_known(p: Any, q: Any) -> str | None:
    p, q = as_distribution(p, "p"), as_distribution(q, "q")
    if p.dim != q.dim:
        return f"p has D = {p.dim} and q has D = {q.dim}"
    kinds = (type(p).__name__, type(q).__name__)
    if not (isinstance(p, Gaussian) and isinstance(q, Gaussian | GaussianMixture)) and not (
        isinstance(q, Gaussian) and isinstance(p, Gaussian | GaussianMixture)
    ):
        return f"the law of the sum is known for a Gaussian and a Gaussian or a mixture; got {kinds[0]} and {kinds[1]}"
    return None


register(
    Bound(
        "entropy-power-inequality",
        statement=claim("exp(2*h(X + Y)/D)", ">=", "exp(2*h(X)/D) + exp(2*h(Y)/D)"),
        source=f"Shannon (1948), Theorem 15; Stam, Inform. Control 2, 101 (1959); {COVER_THOMAS}, Theorem 17.7.3",
        relation=">=",
        sides=_entropy_powers,
        conditions={"p and q have densities": _densities, "the law of the sum is known": _sum_is_known},
        saturated=lambda: {
            "p": Gaussian([0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]]),
            "q": Gaussian([1.0, 0.0], [[1.0, 0.25], [0.25, 0.5]]),
        },
        not_applicable=lambda: {"p": Discrete([0.5, 0.5]), "q": Gaussian(0.0, 1.0)},
        group=GROUP,
        note="For independent X and Y; saturated by Gaussians with proportional covariances.",
    )
)


def _heat_flow(p: Any, t: float, **options: Any) -> Sides:
    p = as_distribution(p, "p")
    t = float(t)

    def entropy_at(time: float) -> Estimate:
        return entropy(_noise_channel(p.dim, 1.0, time).output(p), **options)

    information = fisher_information(_noise_channel(p.dim, 1.0, t).output(p), **options)
    return derivative(entropy_at, t, t / 8), trace(information) / 2


def _positive(number: Any, name: str) -> str | None:
    value = as_tensor(number, name)
    if value.numel() != 1:
        raise ValueError(f"{name} must be one number; got shape {tuple(value.shape)}")
    return None if 0 < value.item() < math.inf else f"{name} must be > 0 and finite; got {value.item()}"


def _can_add_noise(p: Any) -> str | None:
    p = as_distribution(p, "p")
    try:
        _noise_channel(p.dim, 1.0, 1.0).output(p)
    except (TypeError, ValueError, NotImplementedError) as reason:
        return f"the law of X + noise is not known in closed form ({reason})"
    return None


def _two_bumps() -> GaussianMixture:
    return GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [[[0.4]], [[0.6]]])


register(
    Bound(
        "de-bruijn",
        statement=claim("Derivative(h(X + sqrt(t)*Z), t)", "==", "J(X + sqrt(t)*Z)/2"),
        source=f"Stam, Inform. Control 2, 101 (1959); {COVER_THOMAS}, Theorem 17.7.2",
        relation="==",
        sides=_heat_flow,
        conditions={
            "the law with noise is known": _can_add_noise,
            "the noise is positive": lambda t: _positive(t, "t"),
        },
        saturated=lambda: {"p": _two_bumps(), "t": 0.5},
        not_applicable=lambda: {"p": _two_bumps(), "t": 0.0},
        group=GROUP,
        note="J is the trace of the Fisher information matrix, Z a standard Gaussian; the left side is differenced.",
    )
)


def _information_slope(p: Any, snr: float, **options: Any) -> Sides:
    p = as_distribution(p, "p")
    snr = float(snr)

    def joint(at: float) -> Distribution:
        return _noise_channel(p.dim, at**0.5, 1.0).joint(p)

    slope = derivative(lambda at: mutual_information(joint(at), "x", "y", **options), snr, snr / 8)
    return slope, minimum_mean_square_error(p, snr, **options) / 2


register(
    Bound(
        "i-mmse",
        statement=claim("Derivative(I(X, sqrt(snr)*X + Z), snr)", "==", "mmse(X, snr)/2"),
        source="Guo, Shamai and Verdu, IEEE Trans. Inform. Theory 51, 1261 (2005), Theorems 1 and 2",
        relation="==",
        sides=_information_slope,
        conditions={
            "the law with noise is known": _can_add_noise,
            "snr is positive": lambda snr: _positive(snr, "snr"),
        },
        saturated=lambda: {"p": _two_bumps(), "snr": 0.7},
        not_applicable=lambda: {"p": _two_bumps(), "snr": 0.0},
        group=GROUP,
        note="Z is a standard Gaussian; the left side is differenced.",
    )
)


# -- estimation ------------------------------------------------------------------------------------------------------


def _cramer_rao(p: Any, directions: Any = None, **options: Any) -> Sides:
    p = as_distribution(p, "p")
    u = torch.eye(p.dim, dtype=p.dtype, device=p.device) if directions is None else as_tensor(directions, "directions")
    require_shape(u, ("m", p.dim), "directions")
    information = fisher_information(p, **options)[..., None, :, :]
    precision = torch.linalg.inv(p.covariance)
    along = torch.einsum("mi,...ij,mj->...m", u, precision, u)
    size = torch.einsum("mi,...ij,mj->...m", u.abs(), precision.abs(), u.abs())
    condition = torch.linalg.cond(p.covariance)[..., None]
    return (information * (u[:, :, None] * u[:, None, :])).sum((-2, -1)), _known_up_to(along, size * condition)


register(
    Bound(
        "cramer-rao",
        statement=claim("J(X)", ">=", "1/Var(X)"),
        source=f"Frechet (1943), Rao (1945), Cramer (1946); {COVER_THOMAS}, Theorem 11.10.1, for a location parameter",
        relation=">=",
        sides=_cramer_rao,
        conditions={
            "p has a density on the whole space": conditions.smooth_density,
            "p has a finite covariance": conditions.finite_covariance,
        },
        saturated=lambda: {"p": Gaussian([0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]])},
        not_applicable=lambda: {"p": _uniform(0.0, 1.0)},
        group=GROUP,
        note="Along each row u of `directions` (the coordinates unless given): u^T J u >= u^T C^-1 u.",
    )
)


# -- transport against a Gaussian ------------------------------------------------------------------------------------


def _inverse_curvature(reference: Gaussian) -> Estimate:
    """1/rho, the largest eigenvalue of the covariance: -log of the Gaussian's density has Hessian >= rho."""
    largest = torch.linalg.eigvalsh(reference.covariance)[..., -1]
    return exact(largest, terms=[largest * reference.dim], units="1")


def relative_fisher_information(p: Distribution, reference: Gaussian, **options: Any) -> Estimate:
    """E|grad log p - grad log g|^2 under p, for a Gaussian g of covariance S and mean m.

    By parts, tr J(p) - 2 tr S^-1 + E|S^-1 (X - m)|^2; valid when the density of p vanishes at infinity and is smooth.
    """
    precision = torch.linalg.inv(reference.covariance)
    shift = p.mean - reference.mean
    second = p.covariance + shift[..., :, None] * shift[..., None, :]
    spread = (precision @ precision * second).sum((-2, -1))
    size = (precision.abs() @ precision.abs() * second.abs()).sum((-2, -1))
    pull = 2 * precision.diagonal(dim1=-2, dim2=-1).sum(-1)
    condition = torch.linalg.cond(reference.covariance)
    known = _known_up_to(spread - pull, size * condition, pull * condition)
    total = trace(fisher_information(p, **options)) + known
    return not_negative(total)


def _known_up_to(value: Tensor, *sizes: Tensor) -> Estimate:
    """A value with the rounding of terms of these sizes; of what overflowed on the way nothing is known."""
    error = rounding_error([value, *sizes]).nan_to_num(nan=math.inf, posinf=math.inf)
    return Estimate(value, error=error, units="1")


def _talagrand(p: Any, reference: Any, **options: Any) -> Sides:
    p, reference = as_distribution(p, "p"), as_distribution(reference, "reference")
    cost = kl(p, reference, **options) * _inverse_curvature(reference) * 2
    return distance(p, reference).square(), cost


def _log_sobolev(p: Any, reference: Any, **options: Any) -> Sides:
    p, reference = as_distribution(p, "p"), as_distribution(reference, "reference")
    information = relative_fisher_information(p, reference, **options)
    return kl(p, reference, **options), information * _inverse_curvature(reference) / 2


def _hwi(p: Any, reference: Any, **options: Any) -> Sides:
    p, reference = as_distribution(p, "p"), as_distribution(reference, "reference")
    information = relative_fisher_information(p, reference, **options)
    moved = distance(p, reference)
    spent = moved.square() / _inverse_curvature(reference) / 2
    return kl(p, reference, **options), moved * information.sqrt() - spent


def _moved_gaussian() -> dict[str, Any]:
    covariance = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]
    return {"p": Gaussian([1.0, -2.0, 0.5], covariance), "reference": Gaussian([0.0, 0.0, 0.0], covariance)}


def _reference_of_unknown_curvature() -> dict[str, Any]:
    return {"p": Gaussian(0.0, 1.0), "reference": _two_bumps()}


_REFERENCE: dict[str, Callable[..., str | None]] = {
    "p has a density on the whole space": conditions.smooth_density,
    "p has a finite covariance": conditions.finite_covariance,
    "the reference is a Gaussian": conditions.gaussian_reference,
}


def _by_moments(p: Any, q: Any) -> Sides:
    p, q = as_distribution(p, "p"), as_distribution(q, "q")
    return wasserstein2(p, q), wasserstein2(Gaussian(p.mean, p.covariance), Gaussian(q.mean, q.covariance))


def _one_dimension(p: Any, q: Any) -> str | None:
    sizes = [as_distribution(law, name).dim for law, name in ((p, "p"), (q, "q"))]
    return None if sizes[0] == sizes[1] else f"p has D = {sizes[0]} and q has D = {sizes[1]}"


def _covariances(p: Any, q: Any) -> str | None:
    return conditions.finite_covariance(p) or conditions.finite_covariance(q)


def _uniform(lower: float, upper: float) -> torch.distributions.Uniform:
    ends = torch.tensor([lower, upper], dtype=torch.float64)
    return torch.distributions.Uniform(ends[:1], ends[1:])


register(
    Bound(
        "gelbrich",
        statement=claim("W2(P, Q)", ">=", "W2(Gauss(P), Gauss(Q))"),
        source="Gelbrich, Math. Nachr. 147, 185 (1990), Theorem 2.1",
        relation=">=",
        sides=_by_moments,
        conditions={"p and q live on one space": _one_dimension, "both have finite covariances": _covariances},
        saturated=lambda: {"p": _uniform(0.0, 1.0), "q": _uniform(-2.0, 3.0)},
        not_applicable=lambda: {"p": Gaussian(0.0, 1.0), "q": Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])},
        group=GROUP,
        note="Gauss(P) is the Gaussian with the mean and covariance of P; saturated within one elliptical family.",
    )
)

register(
    Bound(
        "talagrand-t2",
        statement=claim("W2(P, G)**2", "<=", "2*KL(P, G)/rho"),
        source=f"Talagrand, GAFA 6, 587 (1996), Theorem 1.1; {VILLANI}, Definition 22.1",
        relation="<=",
        sides=_talagrand,
        conditions={
            "p has a finite covariance": conditions.finite_covariance,
            "the reference is a Gaussian": conditions.gaussian_reference,
        },
        saturated=_moved_gaussian,
        not_applicable=_reference_of_unknown_curvature,
        group=GROUP,
        note="rho is the least eigenvalue of the inverse covariance of G; saturated by translations of G along it.",
    )
)

register(
    Bound(
        "log-sobolev",
        statement=claim("KL(P, G)", "<=", "I(P, G)/(2*rho)"),
        source=f"Gross, Amer. J. Math. 97, 1061 (1975); Bakry and Emery (1985); {VILLANI}, Theorem 21.2",
        relation="<=",
        sides=_log_sobolev,
        conditions=_REFERENCE,
        saturated=_moved_gaussian,
        not_applicable=_reference_of_unknown_curvature,
        group=GROUP,
        note="I(P, G) = E|grad log p - grad log g|^2; saturated by exponential tilts of G, which are its translations.",
    )
)

register(
    Bound(
        "hwi",
        statement=claim("KL(P, G)", "<=", "W2(P, G)*sqrt(I(P, G)) - rho*W2(P, G)**2/2"),
        source=f"Otto and Villani, J. Funct. Anal. 173, 361 (2000), Theorem 3; {VILLANI}, Corollary 20.13",
        relation="<=",
        sides=_hwi,
        conditions=_REFERENCE,
        saturated=_moved_gaussian,
        not_applicable=_reference_of_unknown_curvature,
        group=GROUP,
        note="I(P, G) = E|grad log p - grad log g|^2; saturated by translations of G.",
    )
)
