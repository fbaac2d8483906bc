"""Renyi divergences and total variation of Gaussian pairs in closed form, each with a bound on its rounding error."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor

from infotherm.core.quantiles import normal_cdf
from infotherm.core.rounding import rounding_error
from infotherm.distributions.gaussian import Gaussian
from infotherm.distributions.gaussian_forms import gaussian_kl
from infotherm.distributions.gaussian_known import Known, excess, known

Number = tuple[Tensor, Tensor]
Form = Callable[[Gaussian, Gaussian], Number]


def in_one_precision(form: Callable[..., Number]) -> Callable[..., Number]:
    """A closed form of two Gaussians that takes them in different precisions: the finer one, with the coarser's error.

    Every error is proportional to the unit roundoff, and the factors of the coarser law carry that of its own.
    """

    @wraps(form)
    def promoted(p: Gaussian, q: Gaussian, *more: float) -> Number:
        if p.dtype == q.dtype:
            return form(p, q, *more)
        common = torch.promote_types(p.dtype, q.dtype)
        coarser = max(torch.finfo(law.dtype).eps for law in (p, q)) / torch.finfo(common).eps
        value, error = form(p.to(dtype=common), q.to(dtype=common), *more)
        tiny = torch.finfo(common).tiny
        return value, torch.where(error > 2 * tiny, error * coarser, error)

    return promoted


@in_one_precision
def gaussian_renyi(p: Gaussian, q: Gaussian, order: float) -> Number:
    r"""The Renyi divergence D_a(p || q) in nats for a > 0, a != 1, and a bound on its rounding error.

    With C = (1 - a) C_p + a C_q and d = m_p - m_q,

        D_a = a d^T C^-1 d / 2 - log(det C / (det C_p^(1-a) det C_q^a)) / (2 (a - 1)),

    finite only where C is positive definite, +inf otherwise; +inf also for laws that live on different subspaces. For
    nearly equal laws the log-determinants are taken from E = L_q^-1 (C_p - C_q) L_q^-T as remainders that start at
    second order, so that the result keeps its relative accuracy.

    Source: Gil, Alajaji and Linder, Information Sciences 249 (2013) 124, table 2; Liese and Vajda (1987).

    Examples
    --------
    >>> value, error = gaussian_renyi(Gaussian(1.0, 1.0), Gaussian(0.0, 1.0), 2.0)
    >>> value.item()
    1.0
    >>> gaussian_renyi(Gaussian(0.0, 2.5), Gaussian(0.0, 1.0), 2.0)[0].item()
    inf
    """
    if p._regular and q._regular:
        return _regular_renyi(known(p), known(q), order)
    return _elementwise(p, q, lambda a, b: _regular_renyi(known(a), known(b), order), math.inf)


def _regular_renyi(first: Known, second: Known, order: float) -> Number:
    a = order
    eps = torch.finfo(first.mean.dtype).eps
    white = second.whiten(first.mean - second.mean)
    own = second.whitening @ first.lower
    gram = own @ own.mT
    one = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    if first.by_covariance and second.by_covariance:
        difference = second.whitening @ (first.covariance - second.covariance) @ second.whitening.mT
        difference = torch.where(
            difference.detach().square().sum((-2, -1))[..., None, None] < 0.1, difference, gram - one
        )
    else:
        step = second.whitening @ (first.lower - second.lower)
        difference = step + step.mT + step @ step.mT
    mixed = one + (1 - a) * difference
    root, failed = torch.linalg.cholesky_ex(mixed)
    finite = failed == 0
    root = torch.where(finite[..., None, None], root, one)
    turned = torch.linalg.solve_triangular(root, white[..., None], upper=False)[..., 0]
    shift = 0.5 * a * turned.square().sum(-1)
    logs = root.diagonal(dim1=-2, dim2=-1).log().sum(-1), _log_ratio(first, second).sum(-1)
    size = difference.detach().square().sum((-2, -1))
    # Close laws: both log-determinants as what is left of them beyond first order. Order near one: the mixed one only.
    close = (size * max(1.0, (1 - a) ** 2) < 0.1) & finite
    gentle = (size * (1 - a) ** 2 < 0.1) & finite
    near = torch.where(close[..., None, None], difference, torch.zeros_like(difference))
    slight = (1 - a) * torch.where(gentle[..., None, None], difference, torch.zeros_like(difference))
    rests = 0.5 * _remainder(near), 0.5 * _remainder(slight) / (1 - a)
    trace = 0.5 * difference.diagonal(dim1=-2, dim2=-1).sum(-1)
    nothing = torch.zeros_like(trace)
    terms = [
        shift,
        torch.where(close, rests[0], -logs[1]),
        torch.where(gentle & ~close, trace, nothing),
        torch.where(gentle, -rests[1], logs[0] / (1 - a)),
    ]
    value = terms[0] + terms[1] + terms[2] + terms[3]
    error = 3 * rounding_error(terms) + _sensitivity(
        first, second, a, difference.detach(), root.detach(), turned.detach()
    )
    # within rounding of the end of its domain the divergence is anything up to infinity
    pivot = root.detach().diagonal(dim1=-2, dim2=-1).amin(-1).square()
    reach = 1 + abs(1 - a) * (gram.detach().diagonal(dim1=-2, dim2=-1).sum(-1) + gram.shape[-1])
    noise = 16 * eps * reach * (gram.shape[-1] + _condition(first, second))
    error = torch.where((pivot < noise) & finite, math.inf, error)
    value = torch.where(finite, value, math.inf)
    return value, torch.where(finite, error, torch.finfo(error.dtype).tiny)


def _condition(first: Known, second: Known) -> Tensor:
    """Relative accuracy, in units of eps, to which rounding leaves the covariances in their own metrics."""
    eps = torch.finfo(first.mean.dtype).eps
    return (
        second.moved(second.whitening.mT @ second.whitening) + first.moved(first.whitening.mT @ first.whitening)
    ) / eps


def _log_ratio(first: Known, second: Known) -> Tensor:
    return (first.lower.diagonal(dim1=-2, dim2=-1) / second.lower.diagonal(dim1=-2, dim2=-1)).log()


def _remainder(e: Tensor) -> Tensor:
    """tr E - log det(1 + E), without cancellation, from the Cholesky decomposition of 1 + E."""
    one = torch.eye(e.shape[-1], dtype=e.dtype, device=e.device)
    below = torch.linalg.cholesky(one + e).tril(-1).square().sum(-1)
    return (below + excess(e.diagonal(dim1=-2, dim2=-1) - below)).sum(-1)


def _sensitivity(first: Known, second: Known, a: float, e: Tensor, root: Tensor, turned: Tensor) -> Tensor:
    """How far D_a moves with the rounding of means and covariances, by its gradient and a second-order remainder."""
    whitening, inverse = second.whitening.detach(), torch.cholesky_inverse(root)
    pulled = torch.linalg.solve_triangular(root.mT, turned[..., None], upper=True)
    u = (whitening.mT @ pulled)[..., 0]
    outer = u[..., :, None] * u[..., None, :]
    precision = first.whitening.detach().mT @ first.whitening.detach()
    slope_p = -0.5 * a * (1 - a) * outer + 0.5 * a * whitening.mT @ inverse @ e @ second.lower.detach().mT @ precision
    slope_q = -0.5 * a * a * outer - 0.5 * a * whitening.mT @ inverse @ e @ whitening
    eps = torch.finfo(e.dtype).eps
    moved = 2 * eps * (first.mean_magnitude + second.mean_magnitude)
    shift = a * (u.abs() * moved).sum(-1) + a * (whitening.abs() @ moved[..., None])[..., 0].square().sum(-1) * (
        inverse.diagonal(dim1=-2, dim2=-1).sum(-1)
    )
    stretch = (
        (1 + a * a) * (1 + e.square().sum((-2, -1)) + turned.square().sum(-1)) * (1 + inverse.square().sum((-2, -1)))
    )
    return first.moved(slope_p) + second.moved(slope_q) + shift + (first.remainder() + second.remainder()) * stretch


@in_one_precision
def gaussian_supremum(p: Gaussian, q: Gaussian) -> Number:
    """The Renyi divergence of order infinity, log sup p/q, and a bound on its rounding error; batch shapes broadcast.

    log(det C_q / det C_p) / 2 + d^T (C_q - C_p)^-1 d / 2 where C_q - C_p is positive definite; 0 for equal laws; +inf
    otherwise, as p/q is then unbounded (an infinite error where rounding leaves that open).

    Examples
    --------
    >>> gaussian_supremum(Gaussian(0.0, 1.0), Gaussian(1.0, 2.0))[0].item()
    0.84657359
    """
    if not (p._regular and q._regular):
        return _elementwise(p, q, gaussian_supremum, math.inf)
    first, second = known(p), known(q)
    white = second.whiten(first.mean - second.mean)
    own = second.whitening @ first.lower
    one = torch.eye(own.shape[-1], dtype=own.dtype, device=own.device)
    gap = one - own @ own.mT
    root, failed = torch.linalg.cholesky_ex(gap)
    finite = failed == 0
    root = torch.where(finite[..., None, None], root, one)
    turned = torch.linalg.solve_triangular(root, white[..., None], upper=False)[..., 0]
    terms = [0.5 * turned.square().sum(-1), -_log_ratio(first, second).sum(-1)]
    value = terms[0] + terms[1]
    inverse = torch.cholesky_inverse(root.detach())
    eps = torch.finfo(value.dtype).eps
    noise = eps * (8 * gap.shape[-1] + _condition(first, second))
    spread = inverse.diagonal(dim1=-2, dim2=-1).sum(-1)
    error = rounding_error(terms) + noise * (1 + turned.detach().square().sum(-1)) * (1 + spread)
    pivot = root.detach().diagonal(dim1=-2, dim2=-1).amin(-1).square()
    same = ((first.mean == second.mean).all(-1) & (first.covariance == second.covariance).all(-1).all(-1)).detach()
    unsure = (pivot < 64 * noise) & finite & ~same
    value = torch.where(same, 0.0, torch.where(finite, value, math.inf))
    tiny = torch.finfo(error.dtype).tiny
    return value, torch.where(same | ~finite, tiny, torch.where(unsure, math.inf, error))


@in_one_precision
def gaussian_total_variation(p: Gaussian, q: Gaussian) -> Number:
    r"""The total variation distance of scalar Gaussians, or of Gaussians of one covariance, and its rounding error.

    Equal covariances: erf(|L^-1 (m_p - m_q)| / 8^(1/2)). Scalar laws: |P(I) - Q(I)| with I the interval between the two
    roots of log p = log q, where the narrower law is the larger one.

    Raises
    ------
    ValueError
        When D > 1 and the covariances differ (`equal_covariances` says so beforehand).

    Examples
    --------
    >>> gaussian_total_variation(Gaussian(1.0, 1.0), Gaussian(0.0, 1.0))[0].item()
    0.382924923
    """
    if not (p._regular and q._regular):
        return _elementwise(p, q, gaussian_total_variation, 1.0)
    first, second = known(p), known(q)
    distance = _length(second.whiten(first.mean - second.mean))
    eps = torch.finfo(distance.dtype).eps
    together = torch.erf(distance / math.sqrt(8))
    # By the triangle inequality: |dm| / (2 pi)^(1/2) and |dC| / 2 in the units of each law itself.
    moves = [
        2 * eps * (law.whitening.detach().abs() @ law.mean_magnitude[..., None])[..., 0] for law in (first, second)
    ]
    error = 0.4 * sum(move.norm(dim=-1) for move in moves) + eps * _condition(first, second)
    error = error + rounding_error([together])
    same = equal_covariances(p, q)
    if p.dim > 1:
        if not bool(same.all()):
            raise ValueError("the total variation of Gaussians of different covariances has no closed form when D > 1")
        return together, error
    apart = _between_roots(first, second, same)
    return torch.where(same, together, apart), error + rounding_error([torch.ones_like(together)])


def equal_covariances(p: Gaussian, q: Gaussian) -> Tensor:
    """Whether the covariances are the same numbers, shape of the common batch."""
    return (p.covariance.detach() == q.covariance.detach()).all(-1).all(-1)


def _length(x: Tensor) -> Tensor:
    """The norm over the last axis, with gradient 0 at 0."""
    square = x.square().sum(-1)
    return torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0)


def _between_roots(first: Known, second: Known, same: Tensor) -> Tensor:
    """|P(I) - Q(I)| in units of the wider law's deviation."""
    deviations = first.lower[..., 0, 0], second.lower[..., 0, 0]
    swap = deviations[0] > deviations[1]
    narrow = torch.where(swap, deviations[1], deviations[0])
    wide = torch.where(swap, deviations[0], deviations[1])
    away = (first.mean - second.mean)[..., 0]
    offset = torch.where(swap, -away, away) / wide  # of the narrow law seen from the wide one
    gap = torch.where(same, 0.5, (wide - narrow) / wide)
    ratio, log = 1 - gap, torch.log1p(-gap)
    # With z and t the coordinates of the wide and of the narrow law, z = o + r t, the densities are equal where
    # (1 - r^2) z^2 - 2 o z + o^2 + 2 r^2 log r = 0 and (1 - r^2) t^2 - 2 o r t - o^2 + 2 log r = 0.
    rest = gap * (1 + ratio)
    root = torch.copysign(torch.sqrt(offset.square() - 2 * rest * log), offset)
    far_wide, far_narrow = offset + ratio * root, offset * ratio + root
    wide_roots = far_wide / rest, (offset.square() + 2 * ratio.square() * log) / far_wide
    narrow_roots = far_narrow / rest, -(offset.square() - 2 * log) / far_narrow
    inside, outside = (normal_cdf(a) - normal_cdf(b) for a, b in (narrow_roots, wide_roots))
    return (inside - outside).abs()


def _elementwise(p: Gaussian, q: Gaussian, form: Form, apart: float) -> Number:
    """A closed form for laws of which some are singular: on the common support, or its value for disjoint ones."""
    batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    first, second = p.expand(batch), q.expand(batch)
    divergence, doubt = gaussian_kl(first, second)
    values, errors = [], []
    for i in range(batch.numel()):
        one, other = _member(first, i), _member(second, i)
        value, error = _one(one, other, divergence.reshape(-1)[i], doubt.reshape(-1)[i], form, apart)
        values.append(value)
        errors.append(error)
    return torch.stack(values).reshape(batch), torch.stack(errors).reshape(batch)


def _one(p: Gaussian, q: Gaussian, divergence: Tensor, doubt: Tensor, form: Form, apart: float) -> Number:
    tiny = torch.finfo(p.dtype).tiny
    if p._regular and q._regular:
        return form(p, q)
    if torch.isinf(doubt):
        return divergence.new_tensor(0.0), divergence.new_tensor(math.inf)
    if torch.isinf(divergence):
        return divergence.new_tensor(apart), divergence.new_tensor(tiny)
    # one affine support: orthonormal coordinates on it
    rank = int(p.rank)
    if rank == 0:
        return divergence.new_tensor(0.0), divergence.new_tensor(tiny)
    basis = torch.linalg.svd(p.factor.detach(), full_matrices=False)[0][:, :rank]
    reduced = [Gaussian.from_factor(basis.mT @ law.mean, basis.mT @ law.factor) for law in (p, q)]
    value, error = form(reduced[0], reduced[1])
    eps = torch.finfo(p.dtype).eps
    return value, error + 64 * eps * p.dim * (1 + value.detach().abs())


def _member(law: Gaussian, i: int) -> Gaussian:
    mean = law.mean.reshape(-1, law.dim)[i]
    return Gaussian.from_factor(mean, law.factor.reshape(-1, *law.factor.shape[-2:])[i])
