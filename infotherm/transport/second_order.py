"""The Wasserstein-2 distance, in closed form for Gaussians; and what other orders share with it."""

from __future__ import annotations

import math
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.linalg import factor_perturbation, procrustes_distance, psd_factor
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import validating
from infotherm.distributions import Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.transport.atoms import atomic_distance
from infotherm.transport.gaussian_pair import Ends, distance_of_pair, ends_of, plain, regular_perturbation
from infotherm.transport.orders import (
    checked_order,
    quantile_distance,
    require_atoms,
    require_quantiles,
    require_same_dim,
    wasserstein,
)

# laws do not change: the distance of one law to many others asks for its error once
_PARAMETER_ERRORS: WeakKeyDictionary[Gaussian, Tensor] = WeakKeyDictionary()
_ENDS: WeakKeyDictionary[Gaussian, Ends | None] = WeakKeyDictionary()

wasserstein2 = Quantity(
    "wasserstein2",
    accepts=(as_distribution, as_distribution),
    doc="""The Wasserstein-2 distance W2(p, q) = min over couplings of (E |x - y|^2)^(1/2), not its square.

    Units "1" (that of the coordinates). Kind "exact" by every method.

    - Gaussians (closed form): W2^2 = |m_p - m_q|^2 + min_U |A - B U|_F^2 over rotations U for any factors A A^T = C_p,
      B B^T = C_q. Singular and nearly equal covariances keep an accuracy of a few eps times the standard deviations
      when the laws were given by factors (`Gaussian.from_factor`). Covariances are themselves rounded, which moves a
      regular one by about eps |C| / (2 sqrt(smallest eigenvalue)) and a singular one by up to sqrt(eps |C|): the error
      says so. The gradient is exact and finite everywhere, 0 at equality.
    - Scalar laws with quantile functions (quadrature): W2^2 = integral of (F^-1(u) - G^-1(u))^2 over (0, 1), in
      log-odds so that both tails are seen; second moments that the quantiles miss are added to the error.
    - Samples and other laws of atoms: sorting on a line, else an optimal assignment by POT, whose duality gap is the
      error.

    Where nothing applies, `infotherm.transport.gelbrich` is a lower bound.

    Parameters
    ----------
    p, q
        Laws on the same space; batch shapes broadcast.

    Raises
    ------
    ValueError
        When the dimensions differ.
    NotImplementedError
        When no rule fits, with the reasons.

    Source: Gelbrich, Math. Nachr. 147, 185 (1990) for Gaussians; Villani, Topics in Optimal Transportation (2003),
    Theorem 2.18 on the line.

    Examples
    --------
    >>> import infotherm as it
    >>> round(it.wasserstein2(it.Gaussian(0.0, 1.0), it.Gaussian(1.0, 4.0)).value.item(), 9)
    1.414213562
    """,
)


@wasserstein2.rule(Gaussian, Gaussian, method="closed-form")
def _gaussians(p: Gaussian, q: Gaussian) -> Estimate:
    require_same_dim(p, q)
    if not (torch.compiler.is_compiling() or torch.is_grad_enabled() and _has_gradient(p, q)):
        ends = _ends(p), _ends(q)
        found = distance_of_pair(ends[0], ends[1]) if ends[0] and ends[1] else None
        if found is not None:
            return found
    value, error = bures_and_shift(p.mean, p.factor, q.mean, q.factor)
    return Estimate(value, error=error + parameter_error(p) + parameter_error(q), units="1")


def _has_gradient(p: Gaussian, q: Gaussian) -> bool:
    return any(t.requires_grad for t in (p.mean, p.factor, q.mean, q.factor))


def _ends(law: Gaussian) -> Ends | None:
    if law not in _ENDS:
        _ENDS[law] = None if law.batch_shape else ends_of(law, parameter_error(law))
    return _ENDS[law]


@wasserstein2.rule(Distribution, Distribution, method="closed-form", when=require_atoms)
def _atoms(p: Distribution, q: Distribution) -> Estimate:
    require_same_dim(p, q)
    return atomic_distance(p, q, 2.0)


def _line_applies(p: Distribution, q: Distribution) -> None:
    require_quantiles(p, q, 2.0)


@wasserstein2.rule(Distribution, Distribution, method="quadrature", when=_line_applies)
def _quantiles(p: Distribution, q: Distribution, *, tolerance: float = 1e-12) -> Estimate:
    return quantile_distance(p, q, 2.0, tolerance=tolerance)


# -- the other orders, where they need what is here -----


def _second_applies(method: str) -> Any:
    def applies(p: Distribution, q: Distribution, order: Any = 1.0) -> None:
        if order != 2:
            raise NotApplicable("wasserstein2 computes order 2")
        explained = wasserstein2.explain(p, q, method=method)
        if explained.taken is None:
            raise NotApplicable(f"wasserstein2 does not apply: {'; '.join(c.reason for c in explained.considered)}")

    return applies


@wasserstein.rule(Distribution, Distribution, method="closed-form", when=_second_applies("closed-form"))
def _second_in_closed_form(p: Distribution, q: Distribution, order: Any = 1.0) -> Estimate:
    return wasserstein2(p, q, method="closed-form")


@wasserstein.rule(Distribution, Distribution, method="quadrature", when=_second_applies("quadrature"))
def _second_by_quadrature(p: Distribution, q: Distribution, order: Any = 1.0, *, tolerance: float = 1e-12) -> Estimate:
    return wasserstein2(p, q, method="quadrature", tolerance=tolerance)


def _first_of_scalars(p: Gaussian, q: Gaussian, order: Any = 1.0) -> None:
    if order != 1 or p.dim != 1 or q.dim != 1:
        raise NotApplicable(f"the closed form is that of scalar laws and order 1; got D = {p.dim} and order {order}")


@wasserstein.rule(Gaussian, Gaussian, method="closed-form", when=_first_of_scalars)
def _scalar_gaussians(p: Gaussian, q: Gaussian, order: Any = 1.0) -> Estimate:
    checked_order(order)
    spreads = [law.scale_tril[..., 0, 0] for law in (p, q)]
    shift, spread = (p.mean - q.mean)[..., 0].abs(), (spreads[0] - spreads[1]).abs()
    positive = spread > 0
    steps = torch.where(positive, shift / (math.sqrt(2) * torch.where(positive, spread, 1.0)), math.inf)
    terms = spread * math.sqrt(2 / math.pi) * torch.exp(-steps.square()), shift * torch.erf(steps)
    value = torch.where(positive, terms[0] + terms[1], shift)
    sizes = [p.mean[..., 0], q.mean[..., 0], *spreads]
    error = rounding_error([value, *(torch.broadcast_to(size, value.shape) for size in sizes)])
    return Estimate(value, error=error + parameter_error(p) + parameter_error(q), units="1")


def bures_and_shift(m0: Tensor, A: Tensor, m1: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """W2 of Gaussians from means and factors, and the error of the arithmetic."""
    between = procrustes_distance(A, B)
    shift = m0 - m1
    shift = shift.expand(*between.distance.shape, shift.shape[-1]) if shift.ndim <= between.distance.ndim + 1 else shift
    distance = between.distance.expand(shift.shape[:-1])
    legs = torch.cat([shift, distance[..., None]], -1)
    # scaled, so that neither squares nor gradients overflow; the gradient at zero is zero
    scale = legs.detach().abs().amax(-1)
    scale = torch.where(scale > 0, scale, 1.0)
    value = scale * torch.linalg.vector_norm(legs / scale[..., None], dim=-1)
    return value, between.error + _not_a_rotation(between.rotation, B) + rounding_error([value])


def _not_a_rotation(rotation: Tensor, B: Tensor) -> Tensor:
    """What a departure of U from orthogonality can have taken from |A - B U|, for strongly graded factors."""
    if rotation.shape[-1] != B.shape[-2]:  # factors wider than the space: U is a rotation of a subspace only
        return torch.zeros_like(rotation[..., 0, 0])
    eps, rotation = torch.finfo(B.dtype).eps, rotation.detach()
    identity = torch.eye(rotation.shape[-1], dtype=B.dtype, device=B.device)
    defect = torch.linalg.vector_norm(rotation.mT @ rotation - identity, dim=(-2, -1))
    usual = 4 * eps * rotation.shape[-1]
    return torch.where(defect > usual, defect, 0.0) * torch.linalg.vector_norm(B.detach(), dim=(-2, -1))


def parameter_error(law: Gaussian) -> Tensor:
    """How far in W2 a law can lie from the one whose rounded parameters it was given, shape (*batch)."""
    known = _PARAMETER_ERRORS.get(law)
    if known is None or not validating(law.factor):
        known = _PARAMETER_ERRORS[law] = _parameter_error(law)
    return known


def _parameter_error(law: Gaussian) -> Tensor:
    eps = torch.finfo(law.dtype).eps
    size = law.mean if law._mean_magnitude is None else law._mean_magnitude
    mean = eps * torch.linalg.vector_norm(size.detach(), dim=-1)
    if law._datum == "covariance":
        return mean + _covariance_error(law.covariance.detach(), law.factor.detach())
    magnitude = law.factor if law._factor_magnitude is None else law._factor_magnitude
    return mean + eps * torch.linalg.vector_norm(magnitude.detach(), dim=(-2, -1))


def _covariance_error(covariance: Tensor, factor: Tensor) -> Tensor:
    """The reach of the covariance's rounding, widened by what its factor fails to reproduce."""
    spread = factor.norm(dim=-1)
    scale = spread[..., :, None] * spread[..., None, :]
    failure = (factor @ factor.mT - covariance).abs() / torch.where(scale > 0, scale, 1.0)
    reach = None
    if covariance.ndim == 2 and plain(covariance):
        reach = regular_perturbation(covariance.numpy())
    reach = factor_perturbation(covariance) if reach is None else torch.tensor(reach, dtype=covariance.dtype)
    return reach * (1 + failure.amax((-2, -1)) / torch.finfo(factor.dtype).eps)


def gelbrich(p: Any, q: Any) -> Estimate:
    """A lower bound on W2(p, q) from the first two moments, the distance of the Gaussians that share them.

    (|m_p - m_q|^2 + min_U |A - B U|_F^2)^(1/2) with A A^T = Cov(p), B B^T = Cov(q); equality for two laws of one
    elliptical family, such as Gaussians.

    Parameters
    ----------
    p, q
        Laws on the same space with known mean and covariance; batch shapes broadcast.

    Returns
    -------
    Estimate
        Kind "lower", units "1".

    Raises
    ------
    ValueError
        When the dimensions differ or a covariance is not finite.
    NotImplementedError
        When the covariance of a law is not known.

    Source: Gelbrich, Math. Nachr. 147, 185 (1990), Theorem 2.1.

    Examples
    --------
    >>> import infotherm as it
    >>> gelbrich(it.Rademacher(), it.Gaussian(0.0, 1.0)).value.item() < 1e-15  # the same two moments
    True
    """
    laws = [as_distribution(p, "p"), as_distribution(q, "q")]
    require_same_dim(*laws)
    errors, factors = [], []
    for name, law in zip("pq", laws, strict=True):
        if isinstance(law, Gaussian):
            factors.append(law.factor)
            errors.append(parameter_error(law))
            continue
        covariance = law.covariance
        if not bool(torch.isfinite(covariance).all()):
            raise ValueError(f"{name} must have a finite covariance for a bound by moments")
        factor = psd_factor(covariance)
        factors.append(factor)
        mean = torch.finfo(law.dtype).eps * torch.linalg.vector_norm(law.mean.detach(), dim=-1)
        errors.append(mean + _covariance_error(covariance.detach(), factor.detach()))
    value, error = bures_and_shift(laws[0].mean, factors[0], laws[1].mean, factors[1])
    return Estimate(value, error=error + errors[0] + errors[1], kind="lower", units="1")
