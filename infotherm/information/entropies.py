"""Surprisal and entropy of laws, in nats."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate, exact
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import Generator, as_tensor, validating
from infotherm.distributions import Discrete, Empirical, Gaussian, GaussianMixture, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.distributions.gaussian_forms import gaussian_entropy, gaussian_kl
from infotherm.information.expectations import DEFAULT_SAMPLES, draw, sample_mean, with_score_gradient
from infotherm.information.gaussian_pairs import gaussian_renyi
from infotherm.information.integrals import total
from infotherm.information.supports import (
    require_atoms,
    require_carriers,
    require_comparable,
    require_sampler,
)
from infotherm.information.torch_pairs import running_error, torch_entropy

surprisal = Quantity(
    "surprisal",
    accepts=(as_distribution,),
    arguments=("p",),
    doc="""Surprisal -log p(x) of an outcome, in nats (density or probability, as the law has).

    Call `surprisal(p, x)` with points x of shape (..., D), whose batch axes broadcast with the batch of p.

    Returns
    -------
    Estimate
        Shape (...), kind "exact", closed form, to rounding; +inf for an impossible outcome.

    Raises
    ------
    ValueError
        When x has another number of coordinates or is NaN.

    References
    ----------
    Shannon (1948); Cover and Thomas, Elements of Information Theory (2006), section 2.1.

    Examples
    --------
    >>> from infotherm.distributions import Discrete
    >>> surprisal(Discrete([0.5, 0.25, 0.25]), [[0], [2]]).to("bit").value.tolist()
    [1.0, 2.0]
    """,
)

entropy = Quantity(
    "entropy",
    accepts=(as_distribution,),
    arguments=("p",),
    doc="""Entropy H(p) = -E[log p(X)] in nats: Shannon's for atoms, differential for a density (it may be negative).

    Of a law with atoms and a density (SpikeSlab) it is taken with respect to Lebesgue measure plus a unit mass at each
    atom. A Gaussian, or a mixture of Gaussians, on a point, line or plane has the differential entropy -inf.

    Parameters
    ----------
    p
        A law. Batch shape (*batch).
    method
        "closed-form" for Gaussian, Discrete, Empirical and for torch's families that define an entropy; "quadrature"
        (`tolerance`, relative) for densities with D <= 3; "monte-carlo" (`n_samples`, `generator`) for any law that can
        be sampled; "variational" (`bound`) for Gaussian mixtures in any dimension.
    bound
        "lower" or "upper", of a mixture by method "variational": the pairwise bounds of Kolchinsky and Tracey. The
        other bound is `info["lower"]` or `info["upper"]`.

    Returns
    -------
    Estimate
        Shape (*batch). Kind "exact" by closed form (to rounding) and by quadrature ("unknown" if it did not converge);
        "estimate" by Monte Carlo ("unknown" when few draws dominate); "lower" or "upper" by bounds.

    Raises
    ------
    NotImplementedError
        Where no rule applies; the message lists the reasons.

    References
    ----------
    Cover and Thomas (2006), chapters 2 and 8; Kolchinsky and Tracey, Entropy 19 (2017) 361, equations 10 and 13.

    Examples
    --------
    >>> from infotherm.distributions import Discrete, Gaussian
    >>> round(entropy(Discrete([0.25, 0.25, 0.25, 0.25])).to("bit").value.item(), 12)
    2.0
    >>> round(entropy(Gaussian(0.0, 1.0)).value.item(), 6)
    1.418939
    """,
)


@surprisal.rule(Distribution, method="closed-form")
def pointwise_surprisal(p: Distribution, x: Any) -> Estimate:
    """-log p(x), with one unit in the last place of x and of the logarithm."""
    x = p._points(x, "x")
    value = -p.log_prob(x)
    finite = torch.isfinite(value.detach())
    size = torch.where(finite, value.detach(), 0.0)
    error = rounding_error([1 + size.abs()])
    if p.measure == "lebesgue" and finite.all() and x.is_floating_point():
        try:
            slope = p.score(x.detach()).detach().nan_to_num(posinf=0.0, neginf=0.0)
            error = error + torch.finfo(value.dtype).eps * (slope.abs() * x.detach().abs()).sum(-1)
        except (NotImplementedError, RuntimeError):
            pass  # no score: the rounding of the logarithm alone
    return Estimate(value, error=torch.where(finite, error, torch.finfo(value.dtype).tiny))


# -- entropy: closed forms --------------------------------------------------------------------------------------------


@entropy.rule(Gaussian, method="closed-form")
def gaussian(p: Gaussian) -> Estimate:
    """log det(2 pi e C) / 2."""
    value, error = gaussian_entropy(p)
    return Estimate(value, error=error)


def _plogp(p: Tensor) -> Tensor:
    """-p log p with the limit 0 at 0, and no gradient there."""
    positive = p > 0
    safe = torch.where(positive, p, 1.0)
    return torch.where(positive, -safe * safe.log(), 0.0)


@entropy.rule(Discrete, method="closed-form")
def discrete(p: Discrete) -> Estimate:
    """-sum p log p."""
    axes = tuple(range(-p.dim, 0))
    terms = _plogp(p.pmf)
    pmf = p.pmf.detach()
    slope = torch.where(pmf > 0, 1 - torch.where(pmf > 0, pmf, 1.0).log(), 0.0)
    error = rounding_error([terms.detach().sum(axes)], [((slope * pmf).sum(axes), torch.ones_like(terms.sum(axes)))])
    return Estimate(terms.sum(axes), error=error)


@entropy.rule(Empirical, method="closed-form")
def empirical(p: Empirical) -> Estimate:
    """Shannon's entropy of the weights, equal samples taken together."""
    mass = p.atoms()[1]
    return discrete(Discrete(mass / mass.sum()))


@entropy.rule(Distribution, method="closed-form", when=require_atoms)
def atoms(p: Distribution) -> Estimate:
    """-sum p log p over the atoms."""
    result = total(_surprise, [p])
    return Estimate(result.value, error=result.error)


def _is_singular_mixture(p: GaussianMixture) -> None:
    if p.measure == "lebesgue":
        raise NotApplicable("the mixture has a density")


@entropy.rule(GaussianMixture, method="closed-form", when=_is_singular_mixture)
def singular_mixture(p: GaussianMixture) -> Estimate:
    """-inf where a component lives on a point, line or plane."""
    singular = (p.components.degenerate & (p.weights > 0)).any(-1)
    if not bool(singular.all()):
        raise ValueError("the entropies of a batch of mixtures of which only some are singular are not taken together")
    value = torch.full(p.batch_shape, -math.inf, dtype=p.dtype, device=p.device)
    return exact(value, error=torch.finfo(p.dtype).tiny, reason="a component has no density")


def _has_torch_entropy(p: Distribution) -> None:
    torch_entropy(p)


@entropy.rule(Distribution, method="closed-form", when=_has_torch_entropy)
def torch_closed_form(p: Distribution) -> Estimate:
    """The entropy that the torch family defines."""
    compute = torch_entropy(p)
    value = compute()
    return Estimate(value, error=running_error(compute), info={"rule": "torch.distributions"})


# -- entropy: quadrature, Monte Carlo, bounds -------------------------------------------------------------------------


def _surprise(x: Tensor, log_p: Tensor) -> Tensor:
    """-p log p, zero where p is."""
    positive = log_p.exp() > 0
    safe = torch.where(positive, log_p, 0.0)
    return torch.where(positive, -safe.exp() * safe, 0.0)


@entropy.rule(Distribution, method="quadrature", when=require_carriers)
def by_quadrature(p: Distribution, *, tolerance: float | None = None) -> Estimate:
    """The integral of -p log p."""
    return total(_surprise, [p], tolerance=tolerance).estimate()


def _can_sample(p: Distribution) -> None:
    require_comparable(p)
    require_sampler(p)


@entropy.rule(Distribution, method="monte-carlo", when=_can_sample)
def by_sampling(p: Distribution, *, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None) -> Estimate:
    """The mean of -log p over draws of p."""
    x, stream = draw(p, n_samples, generator)
    log_p = p.log_prob(x)
    return sample_mean(with_score_gradient(-log_p, log_p), [stream])


def _regular_mixture(p: GaussianMixture) -> None:
    if p.measure != "lebesgue" or not p.components._regular:
        raise NotApplicable("a component has no density")


@entropy.rule(GaussianMixture, method="variational", when=_regular_mixture)
def pairwise_bounds(p: GaussianMixture, *, bound: str = "lower") -> Estimate:
    """H >= or <= sum_k w_k H_k - sum_k w_k log sum_j w_j exp(-D(k, j)), D Bhattacharyya's distance or KL."""
    if bound not in ("lower", "upper"):
        raise ValueError(f"bound must be 'lower' or 'upper'; got {bound!r}")
    inner, inner_error = gaussian_entropy(p.components)
    rows, columns = _reshaped(p, -1), _reshaped(p, -2)
    bounds = {}
    for kind in ("lower", "upper"):
        # Chernoff's distance at 1/2 is half the Renyi divergence of order 1/2
        distance, doubt = gaussian_renyi(rows, columns, 0.5) if kind == "lower" else gaussian_kl(rows, columns)
        if kind == "lower":
            distance, doubt = distance / 2, doubt / 2
        weights = p.weights
        logs = torch.where(weights > 0, torch.where(weights > 0, weights, 1.0).log(), -math.inf)
        overlap = torch.logsumexp(logs.unsqueeze(-2) - distance, -1)
        terms = weights * (inner - torch.where(weights > 0, overlap, 0.0))
        error = (weights * (inner_error + doubt.nan_to_num(posinf=0.0).amax(-1))).sum(-1)
        error = error.detach() + rounding_error([terms.detach().abs().sum(-1), overlap.detach().abs().amax(-1)])
        bounds[kind] = Estimate(terms.sum(-1), error=error, kind=kind, method="variational")
    other = "upper" if bound == "lower" else "lower"
    chosen = bounds[bound]
    return Estimate(chosen.value, error=chosen.error, kind=bound, method="variational", info={other: bounds[other]})


def _reshaped(p: GaussianMixture, axis: int) -> Gaussian:
    """The components as a batch (*batch, K, 1) or (*batch, 1, K)."""
    components = p.components
    shape = list(components.batch_shape)
    shape.insert(len(shape) + (0 if axis == -1 else -1), 1)
    mean = components.mean.reshape(*shape, p.dim)
    return Gaussian(mean, components.covariance.reshape(*shape, p.dim, p.dim))


# -- the binary entropy function --------------------------------------------------------------------------------------


def binary_entropy(x: Any) -> Estimate:
    """The binary entropy h(x) = -x log x - (1 - x) log(1 - x), in nats.

    Parameters
    ----------
    x
        Probabilities, any shape.

    Returns
    -------
    Estimate
        Shape of x, kind "exact", to rounding: relative accuracy also for x near 0 (near 1, that of 1 - x).

    Raises
    ------
    ValueError
        When x is not in [0, 1].

    References
    ----------
    Cover and Thomas (2006), equation 2.5.

    Examples
    --------
    >>> binary_entropy([0.0, 0.5]).to("bit").value.tolist()
    [0.0, 1.0]
    """
    x = as_tensor(x, "x")
    if validating(x) and not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError(f"x must hold probabilities in [0, 1]; got values from {x.min().item()} to {x.max().item()}")
    inside = (x > 0) & (x < 1)
    safe = torch.where(inside, x, 0.5)
    first, second = -safe * safe.log(), -(1 - safe) * torch.log1p(-safe)
    value = torch.where(inside, first + second, 0.0)
    slope = torch.where(inside, (1 - safe).log() - safe.log(), 0.0)
    return exact(value, terms=[first, second], sensitivities=[(slope, x)])
