"""The sliced Wasserstein distance: averages of distances between projections on a line."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import integrate
from infotherm.core.sample_means import from_samples, number_of_samples
from infotherm.core.tensors import Generator, as_generator, chunks, stream_of
from infotherm.distributions import Empirical, Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.transport.atoms import rooted, sorted_distance
from infotherm.transport.orders import checked_order, require_same_dim, wasserstein

_TOGETHER = 2**22  # projected points

# powers W_order^order of projections (L,) on directions (L, D), and their errors
Projections = Callable[[Tensor], tuple[Tensor, Tensor]]


def sliced_wasserstein(
    p: Any,
    q: Any,
    order: float = 2.0,
    *,
    n_directions: int = 200,
    method: str = "monte-carlo",
    tolerance: float = 1e-9,
    generator: Generator = None,
) -> Estimate:
    """SW_order(p, q) = (mean over unit vectors u of W_order(u.p, u.q)^order)^(1/order).

    Each projection is exact: Gaussians in closed form (orders 1 and 2) or by quadrature, samples by sorting.

    Parameters
    ----------
    p, q
        Two Gaussians, or two `Empirical` laws, on R^D without batch.
    order
        A finite number of at least 1.
    n_directions
        Independent random directions, for "monte-carlo".
    method
        "monte-carlo": kind "estimate", with the standard error over directions. "quadrature": D = 2 only, over the
        angle, kind "exact"; between samples the integrand has a kink wherever the order of two projections changes,
        so that many samples leave an error (`converged` False).
    tolerance
        Relative one of the quadrature.
    generator
        Of the directions; an int is a seed.

    Returns
    -------
    Estimate
        Units "1". Differentiable in means and factors or in samples.

    Raises
    ------
    ValueError
        For laws of other kinds, dimensions that differ, an order below 1, fewer than 2 directions, another method, or
        a quadrature in D != 2.

    Source: Bonneel, Rabin, Peyre and Pfister, J. Math. Imaging Vis. 51, 22 (2015), Definition 6.

    Examples
    --------
    >>> import infotherm as it
    >>> p, q = it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]), it.Gaussian([1.0, 1.0], [[4.0, 0.0], [0.0, 4.0]])
    >>> round(sliced_wasserstein(p, q, method="quadrature").value.item() ** 2, 9)  # |shift|^2 / D + 1
    2.0
    """
    order = checked_order(order)
    laws = as_distribution(p, "p"), as_distribution(q, "q")
    require_same_dim(*laws)
    powers = _projections(*laws, order)
    dim, like = laws[0].dim, torch.promote_types(laws[0].dtype, laws[1].dtype)
    if method == "quadrature":
        return _over_angles(powers, dim, like, laws[0].device, order, tolerance)
    if method != "monte-carlo":
        raise ValueError(f"method must be 'monte-carlo' or 'quadrature'; got {method!r}")
    count = number_of_samples(n_directions, "n_directions")
    generator = as_generator(generator, laws[0].device)
    stream = stream_of(generator, laws[0].device)
    normal = torch.randn(count, dim, generator=generator, dtype=torch.float64, device=laws[0].device)
    directions = (normal / torch.linalg.vector_norm(normal, dim=-1, keepdim=True)).to(like)
    values, errors = powers(directions)
    mean = from_samples(values, streams=(stream,), units="1", error=errors.mean())
    if order == 1:
        return mean
    return mean.monotone(lambda t: _root(t, order), lambda t: t.pow(1 / order - 1) / order, lowest=0.0)


def _root(power: Tensor, order: float) -> Tensor:
    positive = power > 0
    return torch.where(positive, torch.where(positive, power, 1.0).pow(1 / order), 0.0)


def _projections(p: Distribution, q: Distribution, order: float) -> Projections:
    if p.batch_shape or q.batch_shape:
        raise ValueError(f"p and q must be without batch; got {tuple(p.batch_shape)} and {tuple(q.batch_shape)}")
    if isinstance(p, Gaussian) and isinstance(q, Gaussian):
        return lambda directions: _of_gaussians(p, q, directions, order)
    if isinstance(p, Empirical) and isinstance(q, Empirical):
        return lambda directions: _of_samples(p, q, directions, order)
    raise ValueError(f"p and q must be two Gaussians or two Empirical laws; got {p!r} and {q!r}")


def _of_gaussians(p: Gaussian, q: Gaussian, directions: Tensor, order: float) -> tuple[Tensor, Tensor]:
    seen = [
        Gaussian.from_factor((directions @ law.mean)[:, None], (directions @ law.factor)[:, None, :]) for law in (p, q)
    ]
    between = wasserstein(*seen, order=order)
    # dot products of D numbers
    sizes = [law.mean.detach().norm() + law.factor.detach().norm() for law in (p, q)]
    return _raised(between, order, torch.finfo(directions.dtype).eps * p.dim * (sizes[0] + sizes[1]))


def _of_samples(p: Empirical, q: Empirical, directions: Tensor, order: float) -> tuple[Tensor, Tensor]:
    a, b = (None if law.equal_weights else law.weights for law in (p, q))
    values, errors = [], []
    for few in chunks(len(directions), max(1, _TOGETHER // (len(p) + len(q)))):
        x, y = (directions[few] @ law.samples.mT for law in (p, q))
        between = [sorted_distance(x[i], a, y[i], b, order) for i in range(len(x))]
        values += [e.value for e in between]
        errors += [e.error for e in between]
    sizes = [law.samples.detach().norm(dim=-1).amax() for law in (p, q)]
    whole = Estimate(torch.stack(values), error=torch.stack(errors), units="1")
    return _raised(whole, order, torch.finfo(directions.dtype).eps * p.dim * (sizes[0] + sizes[1]))


def _raised(distance: Estimate, order: float, blur: Tensor) -> tuple[Tensor, Tensor]:
    """The power of distances, and its error."""
    value, error = distance.value, distance.error + blur
    top = (value.detach() + error).pow(order)
    return value.pow(order), top - (value.detach() - error).clamp(min=0.0).pow(order)


def _over_angles(
    powers: Projections, dim: int, dtype: torch.dtype, device: torch.device, order: float, tolerance: float
) -> Estimate:
    if dim != 2:
        raise ValueError(f"method 'quadrature' is over the angle of a plane; got D = {dim}")
    doubt = torch.zeros((), dtype=dtype, device=device)

    def integrand(angles: Tensor) -> Tensor:
        nonlocal doubt
        values, errors = powers(torch.stack([angles.cos(), angles.sin()], -1))
        doubt = torch.maximum(doubt, errors.detach().amax())
        return values / math.pi

    ends = (torch.tensor(t, dtype=dtype, device=device) for t in (0.0, math.pi))
    total = integrate(integrand, *ends, rtol=tolerance, max_panels=400)
    return rooted(total.value, total.error + doubt, order, 1.0, "quadrature", converged=total.converged)
