"""Numbers of Gaussian laws in closed form, each with a bound on its rounding error.

Every function returns (value, error). The error pays for the arithmetic and for the inputs: with N the entrywise
magnitude of what the factor was computed from, a covariance is known to c eps N N^T (the backward error of its Cholesky
decomposition, and more than the rounding of its entries), a factor that was given to c eps N, with c = D + 2. The value
moves by its gradient times that, and by a second-order remainder. Where first order stops being a guide (rounding may
have made the covariance regular or singular) the error is infinite and the value finite.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensors, require_shape
from infotherm.distributions.base import Names
from infotherm.distributions.gaussian_known import (
    Number,
    either,
    known,
    mean_error,
    regular_information,
    regular_kl,
    settled,
)
from infotherm.distributions.gaussian_supports import information_on_supports, kl_on_supports

if TYPE_CHECKING:
    from infotherm.distributions.gaussian import Gaussian


def gaussian_entropy(p: Gaussian) -> Number:
    """The differential entropy (D/2) log(2 pi e) + sum log L_ii in nats, and a bound on its rounding error.

    Shape (*batch); -inf where the covariance is singular. Source: Cover and Thomas, Elements of Information Theory,
    theorem 8.4.1.

    Examples
    --------
    >>> from infotherm.distributions.gaussian import Gaussian
    >>> value, error = gaussian_entropy(Gaussian(0.0, 1.0))
    >>> value.item(), error.item() < 1e-14
    (1.418938533, True)
    """
    law = known(p)
    logs = law.lower.diagonal(dim1=-2, dim2=-1).log()
    constant = logs.new_tensor(0.5 * p.dim * math.log(2 * math.pi * math.e))
    inverse = law.whitening.mT @ law.whitening
    error = rounding_error([logs.abs().sum(-1), constant]) + law.moved(0.5 * inverse) + law.remainder()
    return settled(constant + logs.sum(-1), error, law.singular, law.doubtful, -math.inf)


def gaussian_cross_entropy(p: Gaussian, q: Gaussian) -> Number:
    """The cross-entropy -E_p[log q] in nats, and a bound on its rounding error; batch shapes broadcast.

    (D/2) log 2 pi + sum log L_ii + (|L^-1 (m_p - m_q)|^2 + |L^-1 B_p|^2) / 2 with q's factor L. For a singular q it is
    h(p) + KL(p, q) as limits: -inf where p lies in the support of q, +inf elsewhere.

    Examples
    --------
    >>> from infotherm.distributions.gaussian import Gaussian
    >>> gaussian_cross_entropy(Gaussian(1.0, 2.0), Gaussian(0.0, 1.0))[0].item()
    2.418938533
    """
    p, q = _in_common(p, q)
    source, law = known(p), known(q)
    logs = law.lower.diagonal(dim1=-2, dim2=-1).log()
    constant = logs.new_tensor(0.5 * q.dim * math.log(2 * math.pi))
    white, spread = law.whiten(source.mean - law.mean), law.whitening @ p.factor
    square = 0.5 * (white.square().sum(-1) + spread.square().sum((-2, -1)))
    back, inverse = law.whitening.mT, law.whitening.mT @ law.whitening
    pulled = (back @ white[..., None])[..., 0]
    one = torch.eye(p.dim, dtype=logs.dtype, device=logs.device)
    outer = white[..., :, None] * white[..., None, :]
    slope = 0.5 * back @ (one - spread @ spread.mT - outer) @ law.whitening
    error = rounding_error([logs.abs().sum(-1), constant, square]) + law.moved(slope)
    error = error + mean_error(source, law, pulled) + source.moved(0.5 * inverse)
    error = error + law.remainder() * (1 + 2 * square.detach())
    value, error = settled(constant + logs.sum(-1) + square, error, law.singular, law.doubtful, math.inf)
    if law.singular is not None and bool(law.singular.any()):
        divergence, doubt = gaussian_kl(p, q)
        inside = law.singular & torch.isfinite(divergence) & torch.isfinite(doubt)
        value = torch.where(inside, torch.full_like(value, -math.inf), value)
        open_question = law.singular & torch.isfinite(divergence) & torch.isinf(doubt)
        value = torch.where(open_question, torch.zeros_like(value), value)
        error = torch.where(open_question, torch.full_like(error, math.inf), error)
    return value, error


def gaussian_kl(p: Gaussian, q: Gaussian) -> Number:
    """The Kullback-Leibler divergence KL(p || q) in nats, and a bound on its rounding error; batch shapes broadcast.

    With F = L_q^-1 (L_p - L_q) for the triangular factors and d = L_q^-1 (m_p - m_q),

        KL = |d|^2 / 2 + sum_{i>j} F_ij^2 / 2 + sum_i (u_i - log(1 + u_i)) / 2,   u_i = F_ii (2 + F_ii),

    the usual (tr M - D - log det M + |d|^2) / 2 as a sum of terms that are never negative: nothing cancels, and nearly
    equal laws keep their relative accuracy. For nearly equal covariances, F comes from the Cholesky factor of 1 + E, E
    the whitened difference of the covariances.

    Singular covariances go by the supports: +inf unless both laws live on one affine subspace, and there the divergence
    on it. Source: Kullback, Information Theory and Statistics (1959), chapter 9, equation 1.4.

    Examples
    --------
    >>> from infotherm.distributions.gaussian import Gaussian
    >>> gaussian_kl(Gaussian(0.0, 1.0), Gaussian(0.0, 1.0 + 1e-9))[0].item() / 2.5e-19
    1.0
    """
    p, q = _in_common(p, q)
    first, second = known(p), known(q)
    value, error = regular_kl(first, second)
    singular = either(first.singular, second.singular)
    doubtful = either(first.doubtful, second.doubtful)
    value, error = settled(value, error, singular, doubtful, math.inf)
    if first.singular is None or second.singular is None:
        return value, error
    both = (first.singular & second.singular).expand(value.shape)
    if bool(both.any()):
        value, error = kl_on_supports(p, q, value, error, both)
    return value, error


def gaussian_mutual_information(law: Gaussian | Any, x: Names, y: Names) -> Number:
    """The mutual information I(x; y) of two blocks of coordinates in nats, and a bound on its rounding error.

    With the factor of (x, y) made triangular, [[L_xx, 0], [L_yx, L_yy]], and T = L_yy^-1 L_yx,

        I = log det(1 + T T^T) / 2 = sum_i log(1 + tau_i^2) / 2 = -sum_i log(1 - rho_i^2) / 2

    (tau = rho / (1 - rho^2)^(1/2), rho the canonical correlations), exact for small and for huge information alike.
    Shape (*batch); +inf where a combination of x determines one of y. Source: Gelfand and Yaglom (1957).

    Parameters
    ----------
    law
        A Gaussian, or a covariance matrix (..., D, D).
    x, y
        Names of parts or numbers of coordinates, disjoint.

    Raises
    ------
    ValueError
        For an unknown part, blocks that overlap or are empty, a matrix that is no covariance.

    Examples
    --------
    >>> gaussian_mutual_information([[1.0, 1e-9], [1e-9, 1.0]], [0], [1])[0].item() / 5e-19
    1.0
    """
    law = _as_gaussian(law)
    # the block that comes first stays first: a triangular factor then stays triangular, and exact
    first, second = sorted([sorted(law.part_indices(x)), sorted(law.part_indices(y))])
    if not first:
        raise ValueError("x and y must name at least one coordinate each")
    joint = law.marginal([*first, *second])
    blocks = known(joint)
    value, error = regular_information(blocks, len(first))
    value, error = settled(value, error, blocks.singular, blocks.doubtful, math.inf)
    if blocks.singular is not None and bool(blocks.singular.any()):
        value, error = information_on_supports(joint, len(first), value, error, blocks.singular)
    return value, error


def _as_gaussian(law: Any) -> Gaussian:
    from infotherm.distributions.gaussian import Gaussian

    if isinstance(law, Gaussian):
        return law
    (covariance,) = as_tensors(covariance=law)
    require_shape(covariance, ("...", "D", "D"), "covariance")
    return Gaussian(covariance.new_zeros(covariance.shape[-1]), covariance)


def _in_common(p: Gaussian, q: Gaussian) -> tuple[Gaussian, Gaussian]:
    """Both laws in one precision, when they live on one space and one device."""
    if p.dim != q.dim:
        raise ValueError(f"p and q must live on one space; got D = {p.dim} and D = {q.dim}")
    if p.device != q.device:
        raise ValueError(f"p and q must be on one device; got {p.device} and {q.device}")
    if p.dtype != q.dtype:
        common = torch.promote_types(p.dtype, q.dtype)
        p, q = _promoted(p, common), _promoted(q, common)
    return p, q


def _promoted(p: Gaussian, dtype: torch.dtype) -> Gaussian:
    """The law in a finer precision, whose errors still count the roundings of the precision that it was made in."""
    if p.dtype == dtype:
        return p
    coarser = torch.finfo(p.dtype).eps / torch.finfo(dtype).eps
    law = p.to(dtype=dtype)
    # a covariance is known to eps N N^T, a factor and a mean to eps N (N their size)
    law._factor_magnitude = law._factor_size * (coarser**0.5 if p._datum == "covariance" else coarser)
    law._mean_magnitude = law._mean_size * coarser
    return law
