"""Cross-entropy: the cost of coding one law by another, the negative log-likelihood of a model."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import Generator, validating
from infotherm.distributions import Empirical, Gaussian, GaussianMixture, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.distributions.gaussian_forms import gaussian_cross_entropy
from infotherm.information.expectations import DEFAULT_SAMPLES, draw, sample_mean, with_score_gradient
from infotherm.information.gaussian_pairs import in_one_precision
from infotherm.information.integrals import aligned, total
from infotherm.information.supports import (
    check_pair,
    require_atoms,
    require_carriers,
    require_comparable,
    require_sampler,
)

cross_entropy = Quantity(
    "cross_entropy",
    accepts=(as_distribution, as_distribution),
    doc="""Cross-entropy H(p, q) = -E_p[log q(X)] = H(p) + KL(p || q), in nats.

    The negative log-likelihood of q when p is a set of samples (`Empirical`), whatever density q has.

    Parameters
    ----------
    p, q
        Laws on one space, whose batch shapes broadcast.
    method
        "closed-form" for Gaussian and mixture against Gaussian, Discrete pairs and samples against any density;
        "quadrature", "monte-carlo" as for `entropy`.

    Returns
    -------
    Estimate
        Shape of the common batch, kinds as `entropy`; +inf where p has mass outside the support of q.

    Raises
    ------
    ValueError
        When dimensions, alphabets, devices or batch shapes do not fit.

    References
    ----------
    Cover and Thomas (2006), section 5.4; Kullback (1959).

    Examples
    --------
    >>> from infotherm.distributions import Discrete
    >>> round(cross_entropy(Discrete([0.5, 0.5]), Discrete([0.25, 0.75])).value.item(), 6)
    0.836988
    """,
)


def _cross(x: Tensor, log_p: Tensor, log_q: Tensor) -> Tensor:
    """-p log q; +inf where p has mass and q has none."""
    positive, possible = log_p.exp() > 0, ~torch.isneginf(log_q)
    safe = torch.where(positive & possible, log_q, 0.0)
    value = -torch.where(positive, log_p, 0.0).exp() * safe
    return torch.where(positive, torch.where(possible, value, math.inf), 0.0)


@cross_entropy.rule(Gaussian, Gaussian, method="closed-form")
def gaussian_pair(p: Gaussian, q: Gaussian) -> Estimate:
    """The quadratic form of the second moments of p in the metric of q."""
    check_pair(p, q)
    value, error = in_one_precision(gaussian_cross_entropy)(p, q)
    return Estimate(value, error=error)


def _regular_second(p: GaussianMixture, q: Gaussian) -> None:
    check_pair(p, q)
    if bool(q.degenerate.any()):
        raise NotApplicable("q has no density")


@cross_entropy.rule(GaussianMixture, Gaussian, method="closed-form", when=_regular_second)
def mixture_against_gaussian(p: GaussianMixture, q: Gaussian) -> Estimate:
    """The mean of the components' cross-entropies, which need their second moments only."""
    q = q.expand(check_pair(p, q))
    spread = Gaussian._of(q.mean.unsqueeze(-2), q.factor.unsqueeze(-3), datum=q._datum)
    value, error = in_one_precision(gaussian_cross_entropy)(p.components, spread)
    weights = p.weights.detach()
    doubt = (weights * error).sum(-1) + rounding_error([(weights * value.detach().abs()).sum(-1)])
    return Estimate((p.weights * value).sum(-1), error=doubt)


def _same_atoms(p: Distribution, q: Distribution) -> None:
    check_pair(p, q)
    require_atoms(p, q)


@cross_entropy.rule(Distribution, Distribution, method="closed-form", when=_same_atoms)
def over_atoms(p: Distribution, q: Distribution) -> Estimate:
    """-sum p log q over the atoms of p."""
    result = total(_cross, [p, q], over=[p])
    return _with_reason(Estimate(result.value, error=result.error))


def _density_against_samples(p: Empirical, q: Distribution) -> None:
    check_pair(p, q)
    if q.measure != "lebesgue":
        raise NotApplicable(f"{type(q).__name__} has atoms")
    require_comparable(q)


@cross_entropy.rule(Empirical, Distribution, method="closed-form", when=_density_against_samples)
def samples_against_density(p: Empirical, q: Distribution) -> Estimate:
    """-sum_i w_i log q(x_i): the mean negative log-likelihood of q, exactly."""
    log_q = q.log_prob(aligned(p.samples, 1, len(q.batch_shape)))
    weights = p.weights.reshape(-1, *[1] * len(q.batch_shape))
    carried = weights > 0
    outside = (torch.isneginf(log_q.detach()) & carried).any(0)
    terms = torch.where(
        carried & ~torch.isneginf(log_q), weights * -torch.where(torch.isneginf(log_q), 0.0, log_q), 0.0
    )
    size = (terms.detach().abs() + weights).sum(0)
    tiny = torch.finfo(terms.dtype).tiny
    value = torch.where(outside, math.inf, terms.sum(0))
    coarser = torch.finfo(q.dtype).eps / torch.finfo(terms.dtype).eps  # of log-densities in single precision
    error = torch.where(outside, tiny, 2 * max(coarser, 1.0) * rounding_error([size]))
    return _with_reason(Estimate(value, error=error, info={"n": len(p)}))


def _with_reason(estimate: Estimate) -> Estimate:
    if not validating(estimate.value) or not bool(torch.isposinf(estimate.value).any()):
        return estimate
    info = {**estimate.info, "reason": "p has mass outside the support of q"}
    return Estimate(estimate.value, error=estimate.error, method=estimate.method, info=info)


def _pair_carriers(p: Distribution, q: Distribution) -> None:
    check_pair(p, q)
    require_carriers(p, q)


@cross_entropy.rule(Distribution, Distribution, method="quadrature", when=_pair_carriers)
def cross_by_quadrature(p: Distribution, q: Distribution, *, tolerance: float | None = None) -> Estimate:
    """The integral of -p log q over the support of p."""
    return total(_cross, [p, q], over=[p], tolerance=tolerance).estimate()


def _draws_of_first(p: Distribution, q: Distribution) -> None:
    check_pair(p, q)
    require_comparable(p, q)
    require_sampler(p)


@cross_entropy.rule(Distribution, Distribution, method="monte-carlo", when=_draws_of_first)
def cross_by_sampling(
    p: Distribution, q: Distribution, *, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None
) -> Estimate:
    """The mean of -log q over draws of p."""
    batch = check_pair(p, q)
    x, stream = draw(p, n_samples, generator, len(batch))
    values = (-q.log_prob(x)).expand(n_samples, *batch)
    return sample_mean(with_score_gradient(values, p.log_prob(x)), [stream])
