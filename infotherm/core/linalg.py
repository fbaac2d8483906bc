"""Linear algebra of covariances: batched, differentiable, and at home with singular matrices.

Roots and ranks are in `psd`, stationary and transition covariances in `matrix_equations`, the distance of factors in
`procrustes`; all are exported here.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infotherm.core.gradients import first_order
from infotherm.core.matrix_equations import VanLoan as VanLoan
from infotherm.core.matrix_equations import lyapunov as lyapunov
from infotherm.core.matrix_equations import van_loan as van_loan
from infotherm.core.procrustes import Procrustes as Procrustes
from infotherm.core.procrustes import procrustes_distance as procrustes_distance
from infotherm.core.psd import Rank as Rank
from infotherm.core.psd import band, certified, equilibrated, singular_root
from infotherm.core.psd import factor_perturbation as factor_perturbation
from infotherm.core.psd import nullspace as nullspace
from infotherm.core.psd import psd_factor as psd_factor
from infotherm.core.psd import psd_sqrt as psd_sqrt
from infotherm.core.psd import rank_of as rank_of
from infotherm.core.psd import symmetrise_checked as symmetrise_checked
from infotherm.core.tensors import validating


class Whitened(NamedTuple):
    """Coordinates w with B w = x for the factor B of a covariance, and whether x lies in its range."""

    value: Tensor
    in_range: Tensor


class PseudoLogdet(NamedTuple):
    """The logarithm of the product of the nonzero eigenvalues, and how many there are."""

    value: Tensor
    rank: Tensor


def logdet(C: Tensor) -> Tensor:
    """The logarithm of the determinant, -inf for singular covariances (those of `rank_of` below D).

    Returns
    -------
    Tensor
        Of the batch shape. Where it is -inf its gradient is zero. For the error see `logdet_error`.

    Examples
    --------
    >>> logdet(torch.stack([torch.eye(2), torch.ones(2, 2)])).tolist()
    [0.0, -inf]
    """
    scaled, scale = equilibrated(C)
    _, regular, _ = certified(scaled)
    if not (validating(C) and bool(regular.all())):
        positive = torch.linalg.cholesky_ex(scaled.detach())[1] == 0
        regular = regular | (rank_of(C).rank == C.shape[-1]) & positive
        eye = torch.eye(C.shape[-1], dtype=C.dtype, device=C.device)
        scaled = torch.where(regular[..., None, None], scaled, eye)
    lower = torch.linalg.cholesky(scaled)
    value = 2 * lower.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 2 * scale.log().sum(-1)
    return torch.where(regular, value, -torch.inf)


def logdet_error(C: Tensor) -> Tensor:
    """How far rounding, of the entries of C and of the arithmetic, can have moved its log-determinant.

    (D + 4) eps tr R^-1 for the matrix R scaled to unit diagonal, plus eps times the logarithms summed; inf where the
    rank is ambiguous. No gradient.
    """
    with torch.no_grad():
        C = C.detach()
        scaled, scale = equilibrated(C)
        _, regular, smallest = certified(scaled)
        eps, dim = torch.finfo(C.dtype).eps, C.shape[-1]
        rank = rank_of(C)
        inverse = 1 / torch.where(regular, smallest, rank.smallest.clamp_min(band(C)[0]) / dim)
        error = eps * ((dim + 4) * inverse + 8 * scale.log().abs().sum(-1))
        error = torch.where(rank.rank < dim, 0.0, error)
        return torch.where(rank.ambiguous, torch.inf, error) + torch.finfo(C.dtype).tiny


def pseudo_logdet(C: Tensor) -> PseudoLogdet:
    """The logarithm of the product of the nonzero eigenvalues of covariances, and their number.

    Returns
    -------
    PseudoLogdet
        `value` and `rank` of the batch shape; the value of a zero matrix is 0. Gradient: the pseudo-inverse of C,
        right along matrices of the same rank.

    Examples
    --------
    >>> pseudo_logdet(2 * torch.ones(2, 2, dtype=torch.float64)).value.exp().item().__round__(12)
    4.0
    """
    factor = psd_factor(C)
    empty = (factor.detach() == 0).all(-2)
    inner = factor.mT @ factor + torch.diag_embed(empty.to(C.dtype))
    spread = inner.detach().diagonal(dim1=-2, dim2=-1).sqrt()
    lower = torch.linalg.cholesky(inner / spread.unsqueeze(-1) / spread.unsqueeze(-2))
    value = 2 * (lower.diagonal(dim1=-2, dim2=-1).log().sum(-1) + spread.log().sum(-1))
    return PseudoLogdet(value, C.shape[-1] - empty.sum(-1))


def whiten(C: Tensor, X: Tensor, *, uncertainty: Tensor | None = None) -> Whitened:
    r"""The coordinates w of vectors in units of a covariance: B w = x with B B^T = C, so that |w|^2 = x^T C^+ x.

    Parameters
    ----------
    C
        (..., D, D).
    X
        (..., D, K): K vectors as columns.
    uncertainty
        (..., D, K) or None: how far rounding may have moved the entries of X, for the decision on the range (a
        difference of two means is known to eps (|a| + |b|)).

    Returns
    -------
    Whitened
        `value` (..., D, K) and `in_range` (..., K): whether x is in the range of C up to rounding. For x outside it
        the value is that of its part inside; the caller decides what this means (a divergence is infinite).

    Examples
    --------
    >>> C = torch.ones(2, 2, dtype=torch.float64)
    >>> w = whiten(C, torch.tensor([[2.0, 1.0], [2.0, -1.0]], dtype=torch.float64))
    >>> [round(v, 12) for v in w.value.square().sum(-2).tolist()], w.in_range.tolist()
    ([4.0, 0.0], [True, False])
    """
    scaled, scale = equilibrated(C)
    _, regular, _ = certified(scaled)
    known = validating(C, X)
    if not (known and bool(regular.all())):
        positive = torch.linalg.cholesky_ex(scaled.detach())[1] == 0
        regular = regular | (rank_of(C).rank == C.shape[-1]) & positive
    pick = regular[..., None, None]
    eye = torch.eye(C.shape[-1], dtype=C.dtype, device=C.device)
    lower = torch.linalg.cholesky(torch.where(pick, scaled, eye))
    value = torch.linalg.solve_triangular(lower, X / scale.unsqueeze(-1), upper=False)
    everywhere = torch.ones_like(value[..., 0, :], dtype=torch.bool)
    if known and bool(regular.all()):
        return Whitened(value, everywhere)
    root = singular_root(C)
    change = first_order(C) - C.detach()
    inner = root.left_inverse @ X
    singular = inner - root.left_inverse @ (change @ (root.left_inverse.mT @ inner)) / 2
    with torch.no_grad():
        x = X.detach() / scale.unsqueeze(-1)
        outside = (x - root.basis @ (root.basis.mT @ x)).abs().amax(-2)
        eps, dim = torch.finfo(C.dtype).eps, C.shape[-1]
        # the range is known to rounding over the gap that separates it from the nullspace
        gap = torch.where(root.values > 0, root.values, 1.0).amin(-1, keepdim=True)
        slack = 16 * dim * eps / gap * torch.linalg.vector_norm(x, dim=-2)
        if uncertainty is not None:
            slack = slack + torch.linalg.vector_norm(uncertainty / scale.unsqueeze(-1), dim=-2)
        inside = outside <= slack
    return Whitened(torch.where(pick, value, singular), torch.where(regular.unsqueeze(-1), everywhere, inside))


def solve_psd(C: Tensor, X: Tensor) -> Whitened:
    """C^+ X for columns X (..., D, K) in the range of a covariance, and whether they are in it.

    For singular C the solution is the one within the span that `whiten` uses: C times it is X, and X^T C^+ X is right,
    but it is of least norm only after scaling to unit diagonal.

    Examples
    --------
    >>> C = torch.tensor([[2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    >>> solution = solve_psd(C, torch.tensor([[1.0], [0.0]], dtype=torch.float64))
    >>> solution.value.flatten().tolist(), solution.in_range.tolist()
    ([0.5, 0.0], [True])
    """
    whitened = whiten(C, X)
    scaled, scale = equilibrated(C)
    _, regular, _ = certified(scaled)
    if validating(C, X) and bool(regular.all()):
        lower = torch.linalg.cholesky(scaled)
        value = torch.linalg.solve_triangular(lower.mT, whitened.value, upper=True) / scale.unsqueeze(-1)
        return Whitened(value, whitened.in_range)
    identity = torch.eye(C.shape[-1], dtype=C.dtype, device=C.device).expand(C.shape)
    return Whitened(whiten(C, identity).value.mT @ whitened.value, whitened.in_range)


def quadratic_form(C: Tensor, x: Tensor, *, uncertainty: Tensor | None = None) -> Whitened:
    """x^T C^+ x for vectors (..., D), and whether x lies in the range of C; shapes of the batch.

    Examples
    --------
    >>> quadratic_form(torch.eye(2), torch.tensor([3.0, 4.0])).value.item()
    25.0
    """
    unknown = None if uncertainty is None else uncertainty.unsqueeze(-1)
    whitened = whiten(C, x.unsqueeze(-1), uncertainty=unknown)
    return Whitened(whitened.value.square().sum((-2, -1)), whitened.in_range[..., 0])
