"""Fisher information of location: how sharply a law's density varies in space."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate, exact, stack
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.tensors import Generator
from infotherm.distributions import Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.information.expectations import (
    DEFAULT_SAMPLES,
    draw,
    expectation_by_quadrature,
    sample_mean,
    with_score_gradient,
)

fisher_information = Quantity(
    "fisher_information",
    accepts=(as_distribution,),
    arguments=("p",),
    doc="""Location Fisher information matrix J = E[s(x) s(x)^T], s = grad_x log p the score.

    The information about a shift of the law: J >= covariance^-1, with equality for Gaussians (Cramer and Rao). Infinite
    for a density that does not vanish at an end of its support faster than linearly, such as a uniform one.

    Parameters
    ----------
    p
        A law with a differentiable density on R^D.
    method
        "closed-form" for Gaussians, "quadrature" for D <= 3, "monte-carlo" (`n_samples`, `generator`).

    Returns
    -------
    Estimate
        Shape (*batch, D, D), units "1" (inverse squared coordinates), kind "exact" or "estimate".

    Raises
    ------
    ValueError
        For a Gaussian with a singular covariance.
    NotImplementedError
        For laws without a density.

    References
    ----------
    Stam, Inf. Control 2, 101 (1959); Cover and Thomas (2006), equation 17.54.

    Examples
    --------
    >>> from infotherm.distributions import Gaussian
    >>> fisher_information(Gaussian(0.0, 4.0)).value.item()
    0.25
    """,
)


@fisher_information.rule(Gaussian, method="closed-form")
def gaussian(p: Gaussian) -> Estimate:
    """The precision matrix; a covariance known to eps moves it by |J| |C| |J| eps."""
    precision = p.precision
    size, spread = precision.detach().abs(), p.factor.detach().abs()
    moved = size @ (spread @ spread.mT) @ size
    return exact(precision, error=(2 * p.dim + 6) * torch.finfo(p.dtype).eps * moved, units="1")


def _smooth(p: Distribution) -> None:
    if p.measure != "lebesgue":
        raise NotApplicable(f"the law has no density (its measure is {p.measure})")
    if p.dim > 1 and bool(torch.isfinite(torch.cat(p.bounds())).any()):
        raise NotApplicable("the ends of a bounded support are only looked at for scalar laws")


def _smooth_in_few_dimensions(p: Distribution) -> None:
    _smooth(p)
    if p.dim > 3:
        raise NotApplicable(f"quadrature is for D <= 3; got D = {p.dim}")


@fisher_information.rule(Distribution, method="quadrature", when=_smooth_in_few_dimensions)
def by_quadrature(p: Distribution, *, tolerance: float | None = None) -> Estimate:
    """Every entry of the matrix as an integral."""
    if p.dim == 1:
        infinite = _does_not_vanish(p)
        if bool(infinite.all()):
            return _infinite(p, "quadrature")
        if bool(infinite.any()):
            raise ValueError("some laws of the batch have infinite Fisher information and some do not: separate them")

    def entry(i: int, j: int) -> Estimate:
        def product(x: Tensor) -> Tensor:
            score = p.score(x)
            return score[..., i] * score[..., j]

        return expectation_by_quadrature(p, product, tolerance=tolerance, units="1")

    upper = {(i, j): entry(i, j) for i in range(p.dim) for j in range(i, p.dim)}
    rows = [stack([upper[min(i, j), max(i, j)] for j in range(p.dim)], -1) for i in range(p.dim)]
    matrix = stack(rows, -2)
    return Estimate(
        matrix.value,
        error=matrix.error,
        kind=matrix.kind,
        method="quadrature",
        units="1",
        info={"converged": all(e.converged for e in upper.values())},
    )


@fisher_information.rule(Distribution, method="monte-carlo", when=_smooth)
def by_sampling(p: Distribution, *, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None) -> Estimate:
    """The mean of s s^T over draws."""
    if p.dim == 1 and bool(_does_not_vanish(p).any()):
        return _infinite(p, "monte-carlo")
    x, stream = draw(p, n_samples, generator)
    score = p.score(x)
    products = score[..., :, None] * score[..., None, :]
    weighted = with_score_gradient(products, p.log_prob(x)[..., None, None])
    return sample_mean(weighted, [stream], units="1")


def _infinite(p: Distribution, method: str) -> Estimate:
    value = torch.full((*p.batch_shape, 1, 1), math.inf, dtype=p.dtype, device=p.device)
    reason = "the density does not vanish faster than linearly at an end of its support"
    return exact(value, error=torch.zeros_like(value), method=method, units="1", reason=reason)


def _does_not_vanish(p: Distribution) -> Tensor:
    """Whether p ~ (x - end)^c with c <= 1 at a finite end of a scalar law, shape (*batch): then J diverges."""
    infinite = torch.zeros(p.batch_shape, dtype=torch.bool, device=p.device)
    if not bool(torch.isfinite(torch.cat(p.bounds())).any()):
        return infinite
    breaks = p.breakpoints()
    reach = (breaks.amax(0) - breaks.amin(0)) if len(breaks) else torch.ones_like(infinite, dtype=p.dtype)
    reach = reach.clamp_min(torch.finfo(p.dtype).tiny)
    for end, inward in zip(p.bounds(), (1.0, -1.0), strict=True):
        end = end[..., 0]
        finite = torch.isfinite(end)
        step = inward * torch.finfo(p.dtype).eps ** 0.5 * torch.where(finite, reach + end.abs(), 1.0)
        start = torch.where(finite, end, breaks.mean(0) if len(breaks) else 0.0)
        near, far = (p.log_prob((start + k * step)[..., None]).detach() for k in (1, 2))
        exponent = (far - near) / math.log(2)
        infinite = infinite | (finite & (exponent <= 1 + 1e-3))
    return infinite
