"""Gaussian laws made ready for closed forms: safe factors, reach of rounding, the numbers of regular laws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import validating
from infotherm.distributions.gaussian_blocks import is_triangular, lower_triangular

if TYPE_CHECKING:
    from infotherm.distributions.gaussian import Gaussian

Number = tuple[Tensor, Tensor]


class Known(NamedTuple):
    """A law ready for closed forms: where its covariance is singular the factor is the identity, to be overruled."""

    mean: Tensor
    covariance: Tensor
    factor: Tensor  # any factor of the covariance, for how far rounding reaches
    lower: Tensor
    whitening: Tensor
    magnitude: Tensor  # entrywise size of the numbers that the factor came from
    mean_magnitude: Tensor
    by_covariance: bool  # whether the covariance was given, not its factor
    triangular: bool  # whether the factor came triangular: then its rounding is entrywise
    singular: Tensor | None = None
    doubtful: Tensor | None = None
    overruled: Tensor | None = None  # where `lower` is the identity for want of a regular one

    def whiten(self, difference: Tensor) -> Tensor:
        return (self.whitening @ difference[..., None])[..., 0]

    def moved(self, slope: Tensor) -> Tensor:
        """How far a value with the gradient `slope` in the covariance can have moved."""
        slope, size = slope.detach(), self.magnitude
        dim = self.lower.shape[-1]
        if self.by_covariance:
            total = (slope.abs() @ size * size).sum((-2, -1))
        elif self.triangular:
            total = (2 * (slope @ self.factor.detach()).abs() * size).sum((-2, -1))
        else:
            total = (2 * (slope @ self.factor.detach()).norm(dim=-1) * size.norm(dim=-1)).sum(-1)
        moved = (dim + 2) * torch.finfo(slope.dtype).eps * total
        return torch.where(torch.isnan(moved), torch.inf, moved)  # an inverse that overflows is no guide

    def remainder(self) -> Tensor:
        """The second-order part, of a covariance known to a relative accuracy eta in its own metric; inf beyond 1/2."""
        white = self.whitening.detach()
        eta = self.moved(white.mT @ white)
        return torch.where(eta < 0.5, eta.square() / (1 - eta), math.inf)


def known(p: Gaussian) -> Known:
    """The law `p` ready for closed forms, with the members of its batch that have no regular covariance marked."""
    size = p.factor.detach().abs() if p._factor_magnitude is None else p._factor_magnitude.detach()
    mean_size = p.mean.detach().abs() if p._mean_magnitude is None else p._mean_magnitude.detach()
    # only a factor that was given is known entry by entry; one that was computed, by the norms of its rows
    entrywise = p._factor_magnitude is None and is_triangular(p.factor)
    fixed = (p._datum == "covariance", entrywise)
    if p._clear:
        return Known(p.mean, p.covariance, p.factor, p.scale_tril, p._whitening, size, mean_size, *fixed)
    rank, doubtful = p._rank
    singular = (rank < p.dim) & ~doubtful
    unusable = singular | (p.scale_tril.detach().diagonal(dim1=-2, dim2=-1) <= 0).any(-1)
    one = torch.eye(p.dim, dtype=p.dtype, device=p.device).expand_as(p.scale_tril)
    lower = torch.where(unusable[..., None, None], one, p.scale_tril)
    return Known(
        p.mean,
        p.covariance,
        p.factor,
        lower,
        inverse_triangle(lower),
        size,
        mean_size,
        *fixed,
        singular,
        doubtful,
        unusable,
    )


def inverse_triangle(lower: Tensor) -> Tensor:
    """The inverse of a lower-triangular matrix, shape (..., D, D)."""
    one = torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device)
    return torch.linalg.solve_triangular(lower, one.expand_as(lower), upper=False)


def excess(x: Tensor) -> Tensor:
    """x - log(1 + x) to a few units in the last place, also where it is x^2 / 2 of a tiny x.

    With s = x / (2 + x): log(1 + x) = 2 (s + s^3/3 + ...) and x - 2 s = x s, which leaves nothing to cancel.

    Examples
    --------
    >>> excess(torch.tensor(1e-10, dtype=torch.float64)).item() / 5e-21
    1.0
    """
    small = x.detach().abs() < 0.25
    near = torch.where(small, x, torch.zeros_like(x))
    s = near / (2 + near)
    square = s * s
    series = torch.zeros_like(s)
    for k in range(11, 0, -1):
        series = series * square + 1 / (2 * k + 1)
    far = torch.where(small, torch.ones_like(x), x)
    return torch.where(small, s * (near - 2 * square * series), far - torch.log1p(far))


def regular_kl(first: Known, second: Known) -> Number:
    """KL of laws with regular covariances."""
    white = second.whiten(first.mean - second.mean)
    shift = second.whitening @ (first.lower - second.lower)
    below = shift.tril(-1)
    small = first.lower.diagonal(dim1=-2, dim2=-1), second.lower.diagonal(dim1=-2, dim2=-1)
    pivots = _pivot_excess(*small)
    if first.by_covariance and second.by_covariance:
        below, pivots = _nearly_equal(first, second, below, pivots)
    parts = (white.square().sum(-1), below.square().sum((-2, -1)), pivots.sum(-1))
    value = 0.5 * (parts[0] + parts[1] + parts[2])
    forth = (second.whitening @ first.lower).detach()
    back = (first.whitening @ second.lower).detach()
    first_inverse, second_inverse = first.whitening.detach(), second.whitening.detach()
    pulled = (second_inverse.mT @ white.detach()[..., None])[..., 0]
    one = torch.eye(forth.shape[-1], dtype=forth.dtype, device=forth.device)
    first_slope = 0.5 * second_inverse.mT @ (forth - back.mT) @ first_inverse
    outer = white.detach()[..., :, None] * white.detach()[..., None, :]
    second_slope = 0.5 * second_inverse.mT @ (one - forth @ forth.mT - outer) @ second_inverse
    error = rounding_error(parts) + first.moved(first_slope) + second.moved(second_slope)
    error = error + mean_error(first, second, pulled)
    # second order: each covariance moves by eta in its own metric, which the other's may stretch
    stretch = 1 + forth.square().sum((-2, -1)) + white.detach().square().sum(-1)
    return value, error + (first.remainder() + second.remainder()) * stretch


def _pivot_excess(first: Tensor, second: Tensor) -> Tensor:
    """u - log(1 + u) for u = (first/second)^2 - 1, accurate for close and for far pivots."""
    relative = (first - second) / second
    close = relative.detach().abs() < 0.1
    near = torch.where(close, relative, torch.zeros_like(relative))
    ratio = torch.where(close, torch.ones_like(first), first / second)
    return torch.where(close, excess(near * (2 + near)), ratio.square() - 1 - 2 * ratio.log())


def _nearly_equal(first: Known, second: Known, below: Tensor, pivots: Tensor) -> tuple[Tensor, Tensor]:
    """The same two terms from the difference of the covariances, where that is small.

    Two Cholesky factors carry independent rounding errors; the difference of the two matrices carries none.
    """
    difference = second.whitening @ (first.covariance - second.covariance) @ second.whitening.mT
    usable = _regular_mask(first) & _regular_mask(second)
    close = (difference.detach().square().sum((-2, -1)) < 0.1) & usable
    if validating(close) and not bool(close.any()):
        return below, pivots
    difference = torch.where(close[..., None, None], difference, torch.zeros_like(difference))
    one = torch.eye(difference.shape[-1], dtype=difference.dtype, device=difference.device)
    off = torch.linalg.cholesky(one + difference).tril(-1)
    fine = excess(difference.diagonal(dim1=-2, dim2=-1) - off.square().sum(-1))
    return torch.where(close[..., None, None], off, below), torch.where(close[..., None], fine, pivots)


def _regular_mask(law: Known) -> Tensor:
    plain = torch.ones((), dtype=torch.bool, device=law.mean.device)
    return plain if law.overruled is None else ~law.overruled


def regular_information(joint: Known, count: int) -> Number:
    """The mutual information of the first `count` coordinates and the others, of a regular joint law."""
    lower = joint.lower
    across, own = lower[..., count:, :count], lower[..., count:, count:]
    whole = lower_triangular(lower[..., count:, :])
    ratio = torch.linalg.solve_triangular(own, across, upper=False)
    near = (ratio.detach().square().sum((-2, -1)) < 1)[..., None]
    small = torch.where(near[..., None], ratio, torch.zeros_like(ratio))
    gram = small @ small.mT
    below = torch.linalg.cholesky(torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device) + gram).tril(-1)
    few = 0.5 * torch.log1p(gram.diagonal(dim1=-2, dim2=-1) - below.square().sum(-1))
    many = (whole.diagonal(dim1=-2, dim2=-1) / own.diagonal(dim1=-2, dim2=-1)).log()
    terms = torch.where(near, few, many)
    inverses = [inverse_triangle(block.detach()) for block in (lower[..., :count, :count], whole)]
    apart = [inverse.mT @ inverse for inverse in inverses]
    slope = _block_diagonal(*apart) - joint.whitening.mT @ joint.whitening
    error = rounding_error([terms.abs().sum(-1)]) + joint.moved(0.5 * slope) + joint.remainder()
    return terms.sum(-1), error


def _block_diagonal(first: Tensor, second: Tensor) -> Tensor:
    corner = first.new_zeros(*first.shape[:-1], second.shape[-1])
    return torch.cat([torch.cat([first, corner], -1), torch.cat([corner.mT, second], -1)], -2)


def mean_error(first: Known, second: Known, pulled: Tensor) -> Tensor:
    """How far |L_q^-1 (m_p - m_q)|^2 / 2 moves with the rounding of the means; `pulled` is C_q^-1 (m_p - m_q)."""
    eps = torch.finfo(pulled.dtype).eps
    moved = 2 * eps * (first.mean_magnitude + second.mean_magnitude)
    white = second.whitening.detach()
    return (pulled.detach().abs() * moved).sum(-1) + (white.abs() @ moved[..., None])[..., 0].square().sum(-1)


def settled(value: Tensor, error: Tensor, singular: Tensor | None, doubtful: Tensor | None, limit: float) -> Number:
    """`limit` where the law is singular, an infinite error around a finite value where rounding leaves that open."""
    if singular is not None:
        value = torch.where(singular, torch.full_like(value, limit), value)
        error = torch.where(singular, torch.full_like(error, torch.finfo(error.dtype).tiny), error)
    if doubtful is not None:
        error = torch.where(doubtful, torch.full_like(error, math.inf), error)
    return value, error


def either(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """first | second, where None means nowhere."""
    return second if first is None else first if second is None else first | second
