"""Canonical pairs of two blocks of a Gaussian: the directions in which x and y know each other, and how well."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infotherm.distributions import Gaussian
from infotherm.distributions.gaussian_blocks import is_triangular, lower_triangular


@dataclass(frozen=True, eq=False)
class CanonicalPairs:
    """For every canonical pair, from the strongest: tangent, its error, and the direction in x.

    The tangent tau = rho / (1 - rho^2)^(1/2) of the canonical correlation rho keeps its relative accuracy for weak and
    for nearly deterministic pairs alike; it is infinite where a combination of x determines one of y. `directions`
    (..., k, dim x) maps x to its canonical variates, of variance 1, without gradient.
    """

    tangents: Tensor
    error: Tensor
    directions: Tensor


def canonical_pairs(joint: Gaussian, source: str, target: str) -> CanonicalPairs:
    """The canonical pairs of two parts of a Gaussian, k = min(rank of x, rank of y) of them.

    With the triangular factor [[L_xx, 0], [L_yx, L_yy]] of (x, y), tau are the singular values of L_yy^-1 L_yx.

    Raises
    ------
    ValueError
        For an unknown part, or when singular covariances of a batch differ in rank.
    """
    x, y = joint.part_indices(source), joint.part_indices(target)
    law = joint.marginal([*x, *y])
    factor, n = law.factor, len(x)
    if not bool(law.degenerate.any()):
        lower = lower_triangular(factor)
        own = lower[..., n:, n:]
        ratio = torch.linalg.solve_triangular(own, lower[..., n:, :n], upper=False)
        tangents = torch.linalg.svdvals(ratio)
        variates = _inverse(lower[..., :n, :n])
        turn = torch.linalg.svd(ratio.detach(), full_matrices=False).Vh
        return CanonicalPairs(tangents, _tangent_error(law, lower.detach(), tangents.detach(), n), turn @ variates)
    return _singular_pairs(law, n)


def _inverse(lower: Tensor) -> Tensor:
    one = torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device)
    return torch.linalg.solve_triangular(lower.detach(), one.expand_as(lower), upper=False)


def _tangent_error(law: Gaussian, lower: Tensor, tangents: Tensor, n: int) -> Tensor:
    """How far rounding of the law's parameters can have moved the tangents.

    L becomes L (1 + F) with |F| <= |L^-1| dL; then L_yy^-1 L_yx moves by tau (|F_xx| + |F_yy|) + |F_yx|. A covariance
    is known to c eps of the product of its rows' sizes, a factor to c eps of its entries when it is triangular and of
    its rows otherwise.
    """
    size = law.factor.detach().abs() if law._factor_magnitude is None else law._factor_magnitude.detach()
    inverse = _inverse(lower).abs()
    if law._datum == "covariance":
        moved = inverse @ (size @ size.mT) @ inverse.mT
    elif is_triangular(law.factor):
        moved = inverse @ size[..., : law.dim]
    else:
        rows = size.norm(dim=-1)
        moved = (inverse @ rows[..., None]).expand_as(inverse)
    moved = (law.dim + 2) * torch.finfo(lower.dtype).eps * moved
    within = _norm(moved[..., :n, :n]) + _norm(moved[..., n:, n:])
    return tangents * within[..., None] + _norm(moved[..., n:, :n])[..., None]


def _singular_pairs(law: Gaussian, n: int) -> CanonicalPairs:
    """The pairs when a block is singular, or one determines the other: between the row spaces of the factor's blocks.

    cos and sin of the angles between the spaces are singular values of the two parts of an orthonormal basis of y's
    space, along x's space and across it; what x determines has sin = 0 as often as the ranks say. A factor says that
    for certain; a covariance cannot tell it from an angle of sqrt(eps), which then is taken, with an infinite error.
    """
    factor = law.factor
    reduced_x, rank_x, open_x = _independent(factor[..., :n, :], "x")
    reduced_y, rank_y, open_y = _independent(factor[..., n:, :], "y")
    rows_x, rows_y = reduced_x @ factor[..., :n, :], reduced_y @ factor[..., n:, :]
    rank, open_joint = _common_rank(torch.cat([rows_x, rows_y], -2).detach(), "joint")
    basis_x, triangle = torch.linalg.qr(rows_x.mT)
    basis_y = torch.linalg.qr(rows_y.mT).Q
    along = basis_x.mT @ basis_y
    across = basis_y - basis_x @ along
    count, determined = min(rank_x, rank_y), rank_x + rank_y - rank
    cosines = torch.linalg.svdvals(along)
    sines = torch.linalg.svdvals(across).flip(-1)[..., :count]
    eps = torch.finfo(factor.dtype).eps
    vanishing = torch.arange(count, device=factor.device) < determined
    certain = vanishing if law._datum == "factor" else torch.zeros_like(vanishing)
    sines = torch.where(vanishing, eps**0.5, sines)
    tangents = torch.where(certain, torch.inf, cosines / sines)
    turn = torch.linalg.svd(along.detach(), full_matrices=False).U.mT
    inverse = torch.linalg.solve_triangular(triangle.detach().mT, reduced_x, upper=False)
    # an angle is known to eps times the condition of the two bases
    spread = _spread(rows_x) + _spread(rows_y)
    angle = 4 * factor.shape[-2] * eps * spread.square()
    error = angle[..., None] * (1 + tangents.detach().square())
    unsure = (open_x | open_y | open_joint)[..., None] | vanishing
    error = torch.where(certain, 0.0, torch.where(unsure, torch.inf, error))
    return CanonicalPairs(tangents, error, turn @ inverse)


def _independent(rows: Tensor, name: str) -> tuple[Tensor, int, Tensor]:
    """A matrix that maps the block to as many independent combinations as its rank, and whether the rank is open."""
    rows = rows.detach()
    length = rows.norm(dim=-1, keepdim=True)
    scaled = rows / torch.where(length > 0, length, 1.0)
    rank, doubtful = _common_rank(rows, name)
    combinations = torch.linalg.svd(scaled, full_matrices=False).U[..., :rank].mT
    return combinations / torch.where(length > 0, length, 1.0).mT, rank, doubtful


def _common_rank(rows: Tensor, name: str) -> tuple[int, Tensor]:
    """The rank of rows scaled to length one, and whether a singular value so small that rounding made it counts."""
    length = rows.norm(dim=-1, keepdim=True)
    values = torch.linalg.svdvals(rows / torch.where(length > 0, length, 1.0))
    noise = 4 * max(rows.shape[-2:]) * torch.finfo(rows.dtype).eps * values[..., :1]
    kept = values > noise
    doubtful = (kept & (values <= 64 * noise)).any(-1)
    ranks = sorted(set(kept.sum(-1).flatten().tolist()))
    if len(ranks) > 1:
        raise ValueError(f"singular covariances of a batch must have one rank; those of {name} have {ranks}")
    return int(ranks[0]), doubtful


def _spread(rows: Tensor) -> Tensor:
    values = torch.linalg.svdvals((rows / rows.norm(dim=-1, keepdim=True)).detach())
    return values[..., 0] / values[..., -1]


def _norm(block: Tensor) -> Tensor:
    return torch.linalg.vector_norm(block, dim=(-2, -1))
