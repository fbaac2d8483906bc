"""Roots and ranks of positive semi-definite matrices, singular ones included.

Whether a covariance is singular is decided after scaling it to unit diagonal (equilibration), so that the answer does
not depend on the units of the coordinates. With R the scaled matrix of D coordinates and eps of the dtype, eigenvalues
of R up to 4 D eps are zero; up to 64 D eps they are taken at face value and flagged as ambiguous, since the rounding of
the entries alone can have made them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infotherm.core.gradients import first_order
from infotherm.core.tensors import require_finite, require_shape, validating


class Rank(NamedTuple):
    """The rank, whether rounding leaves it open, and the smallest eigenvalue of the matrix scaled to unit diagonal."""

    rank: Tensor
    ambiguous: Tensor
    smallest: Tensor


def symmetrise_checked(C: Tensor, name: str = "C") -> Tensor:
    """The covariance (C + C^T)/2, after making sure that `C` is one.

    Parameters
    ----------
    C
        (..., D, D). Singular matrices are legal. Differentiable. Under torch.func transforms only the shape is checked.
    name
        The argument's name in messages.

    Raises
    ------
    TypeError
        When it is not floating point.
    ValueError
        When the shape is not square, entries are not finite, C is not symmetric (beyond sqrt(eps) of the scale
        sqrt(C_ii C_jj)), or an eigenvalue after scaling to unit diagonal is negative beyond rounding. The message names
        the argument and gives the asymmetry or the smallest eigenvalue.

    Examples
    --------
    >>> symmetrise_checked(torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64), "cov")
    Traceback (most recent call last):
    ...
    ValueError: cov must be positive semi-definite; its smallest eigenvalue is -1 (-1 after scaling to unit diagonal)
    """
    if not C.is_floating_point():
        raise TypeError(f"{name} must be floating point; got {C.dtype}")
    require_shape(C, ("...", "D", "D"), name)
    symmetric = (C + C.mT) / 2
    if not validating(C) or C.numel() == 0:
        return symmetric
    require_finite(C, name)
    with torch.no_grad():
        eps = torch.finfo(C.dtype).eps
        variances = C.diagonal(dim1=-2, dim2=-1)
        if bool((variances < 0).any()):
            at = _first(variances < 0)
            raise ValueError(f"{name} must have a non-negative diagonal; got {variances[at].item():.6g} at {list(at)}")
        largest = variances.amax(-1, keepdim=True)
        spread = torch.maximum(variances, eps * largest).sqrt()
        scale = spread.unsqueeze(-1) * spread.unsqueeze(-2) + torch.finfo(C.dtype).tiny
        asymmetry = ((C - C.mT).abs() / scale).amax((-2, -1))
        if bool((asymmetry > eps**0.5).any()):
            at = _first(asymmetry > eps**0.5)
            raise ValueError(
                f"{name} must be symmetric; its relative asymmetry is {asymmetry[at].item():.3g} (entries differ by up "
                f"to {(C - C.mT)[at].abs().max().item():.3g})"
            )
        dim = C.shape[-1]
        scaled, _ = equilibrated(symmetric)
        if not bool(certified(scaled)[1].all()):
            smallest = torch.linalg.eigvalsh(scaled)[..., 0]
            bad = smallest < -(64 * dim * eps + dim * asymmetry)
            # a coordinate without variance has no covariances either
            still = (variances == 0).unsqueeze(-1) & (symmetric.abs() > 64 * eps**0.5 * scale)
            bad = bad | still.any((-2, -1))
            if bool(bad.any()):
                at = _first(bad)
                plain = torch.linalg.eigvalsh(symmetric[at])[0].item()
                raise ValueError(
                    f"{name} must be positive semi-definite; its smallest eigenvalue is {plain:.6g} "
                    f"({smallest[at].item():.6g} after scaling to unit diagonal)"
                )
    return symmetric


def _first(mask: Tensor) -> tuple[int, ...]:
    return tuple(torch.nonzero(mask)[0].tolist())


def equilibrated(C: Tensor) -> tuple[Tensor, Tensor]:
    """C scaled to unit diagonal, and the scale sqrt(C_ii) (1 where that is zero), which carries no gradient."""
    variances = C.detach().diagonal(dim1=-2, dim2=-1)
    scale = torch.where(variances > 0, variances, 1.0).sqrt()
    return C / scale.unsqueeze(-1) / scale.unsqueeze(-2), scale


def band(C: Tensor) -> tuple[float, float]:
    """Eigenvalues of the scaled matrix up to the first number are zero, between the two they are ambiguous."""
    unit = C.shape[-1] * torch.finfo(C.dtype).eps
    return 4 * unit, 64 * unit


def certified(scaled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cholesky factor, whether it proves the matrix regular, and what proves it: 1 / tr R^-1 <= lambda_min."""
    with torch.no_grad():
        lower, info = torch.linalg.cholesky_ex(scaled.detach())
        eye = torch.eye(scaled.shape[-1], dtype=scaled.dtype, device=scaled.device)
        good = info == 0
        inverse = torch.linalg.solve_triangular(torch.where(good[..., None, None], lower, eye), eye, upper=False)
        smallest = torch.where(good, 1 / inverse.square().sum((-2, -1)), 0.0)
        return lower, smallest > band(scaled)[1], smallest


def rank_of(C: Tensor) -> Rank:
    """The rank of covariances, decided after scaling to unit diagonal.

    Returns
    -------
    Rank
        `rank` (integers) and `ambiguous` (booleans) of the batch shape: an eigenvalue of the scaled matrix between
        4 D eps and 64 D eps is counted but may be rounding: a number that depends on it has no known error.
        `smallest` is a lower bound of, or equal to, the smallest scaled eigenvalue.

    Examples
    --------
    >>> rank_of(torch.tensor([[1e-20, 0.0], [0.0, 1e20]], dtype=torch.float64)).rank.item()
    2
    >>> rank_of(torch.ones(3, 3)).rank.item()
    1
    """
    with torch.no_grad():
        scaled, _ = equilibrated(C.detach())
        _, regular, smallest = certified(scaled)
        full = torch.full_like(regular, C.shape[-1], dtype=torch.int64)
        if validating(C) and bool(regular.all()):
            return Rank(full, torch.zeros_like(regular), smallest)
        low, high = band(C)
        values = torch.linalg.eigvalsh(scaled)
        rank = torch.where(regular, full, (values > low).sum(-1))
        ambiguous = ((values > low) & (values <= high)).any(-1) & ~regular
        return Rank(rank, ambiguous, torch.where(regular, smallest, values[..., 0]))


class Root(NamedTuple):
    """A singular covariance on its range: B B^T = C, G B = 1 there, and an orthonormal basis of the scaled range."""

    factor: Tensor
    left_inverse: Tensor
    basis: Tensor
    values: Tensor  # eigenvalues of the scaled matrix, 0 in the nullspace


def singular_root(C: Tensor) -> Root:
    """The root of a covariance from the eigenvectors of the scaled matrix, with rounding noise set to zero."""
    with torch.no_grad():
        C = C.detach()
        scaled, scale = equilibrated(C)
        values, vectors = torch.linalg.eigh((scaled + scaled.mT) / 2)
        kept = values > band(C)[0]
        roots = torch.where(kept, values, 1.0).sqrt()
        basis = vectors * kept.unsqueeze(-2)
        spread = C.diagonal(dim1=-2, dim2=-1).clamp_min(0.0).sqrt()  # exactly zero where the variance is
        factor = spread.unsqueeze(-1) * basis * roots.unsqueeze(-2)
        left_inverse = (basis / roots.unsqueeze(-2)).mT / scale.unsqueeze(-2)
        return Root(factor, left_inverse, basis, torch.where(kept, values, 0.0))


def _singular_factor(C: Tensor) -> Tensor:
    """B of a singular C; dB = (1 - P/2) dC G^T, so that B B^T follows dC along the matrices of this rank."""
    root = singular_root(C)
    C = first_order(C)
    step = (C - C.detach()) @ root.left_inverse.mT
    return root.factor + step - root.factor @ (root.left_inverse @ step) / 2


def psd_factor(C: Tensor) -> Tensor:
    r"""A factor B with B B^T = C, of singular covariances too.

    The Cholesky factor (lower triangular) where the matrix is regular. Elsewhere, and only for those elements of the
    batch, the scaled eigenvectors of C after equilibration, with eigenvalues that rounding cannot tell from zero set to
    zero: a root of rounding noise would be as large as sqrt(eps).

    Parameters
    ----------
    C
        (..., D, D), symmetric (see `symmetrise_checked`).

    Returns
    -------
    Tensor
        (..., D, D), with |B B^T - C|_ij of about D eps sqrt(C_ii C_jj); singular matrices have columns of zeros.
        Gradients are those of the Cholesky factor; for singular elements those of the gauge dB = (1 - P/2) dC G^T with
        G a left inverse of B and P = B G: right for whatever depends on B B^T only, along matrices of the same rank.
        Second derivatives raise there.

    Examples
    --------
    >>> B = psd_factor(torch.ones(2, 2, dtype=torch.float64))
    >>> bool(torch.allclose(B @ B.mT, torch.ones(2, 2, dtype=torch.float64), rtol=1e-15))
    True
    """
    scaled, scale = equilibrated(C)
    _, regular, _ = certified(scaled)
    known = validating(C)
    if known and bool(regular.all()):
        return scale.unsqueeze(-1) * torch.linalg.cholesky(scaled)
    if not known:  # both roads for all elements, each on matrices that it can take
        eye = torch.eye(C.shape[-1], dtype=C.dtype, device=C.device)
        pick = regular[..., None, None]
        cholesky = torch.linalg.cholesky(torch.where(pick, scaled, eye))
        return torch.where(pick, scale.unsqueeze(-1) * cholesky, _singular_factor(C))
    # elements that the certificate leaves open may still be regular: the eigenvalues decide
    regular = regular | (rank_of(C).rank == C.shape[-1]) & (torch.linalg.cholesky_ex(scaled.detach())[1] == 0)
    if not bool(regular.any()):
        return _singular_factor(C)
    flat, mask = C.reshape(-1, *C.shape[-2:]), regular.reshape(-1)
    factors = torch.empty_like(flat)
    good, bad = mask.nonzero()[:, 0], (~mask).nonzero()[:, 0]
    cholesky = scale.reshape(-1, C.shape[-1])[good].unsqueeze(-1) * torch.linalg.cholesky(
        scaled.reshape(flat.shape)[good]
    )
    factors = factors.index_copy(0, good, cholesky)
    if len(bad):
        factors = factors.index_copy(0, bad, _singular_factor(flat[bad]))
    return factors.reshape(C.shape)


def psd_sqrt(C: Tensor) -> Tensor:
    r"""The symmetric root X of a covariance, X X = C.

    From the singular values of the factor B of `psd_factor`, not from the eigenvalues of C: the error is a few eps |X|
    and singular directions stay exactly so, where the root of an eigenvalue that should be zero is sqrt(eps).

    Returns
    -------
    Tensor
        (..., D, D). The derivative solves X dX + dX X = dC in the eigenbasis, v_i.dX v_j = v_i.dC v_j / (s_i + s_j):
        finite for equal eigenvalues (where that of eigh is NaN), and zero between two directions of the nullspace.
        Second derivatives raise.

    Examples
    --------
    >>> C = torch.eye(2, dtype=torch.float64, requires_grad=True)
    >>> psd_sqrt(C).sum().backward()
    >>> C.grad.tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    with torch.no_grad():
        vectors, values, _ = torch.linalg.svd(psd_factor(C.detach()))
        values = torch.where(values > C.shape[-1] * torch.finfo(C.dtype).eps * values[..., :1], values, 0.0)
        root = vectors * values.unsqueeze(-2) @ vectors.mT
        sums = values.unsqueeze(-1) + values.unsqueeze(-2)
        weights = torch.where(sums > 0, 1 / torch.where(sums > 0, sums, 1.0), 0.0)
    if not C.requires_grad and validating(C):
        return root
    C = first_order(C)
    step = (C - C.detach() + (C - C.detach()).mT) / 2
    return root + vectors @ (weights * (vectors.mT @ step @ vectors)) @ vectors.mT


def nullspace(C: Tensor) -> Tensor:
    """An orthonormal basis (D, D - rank) of the directions in which one covariance (D, D) has no variance.

    Examples
    --------
    >>> nullspace(torch.ones(2, 2, dtype=torch.float64)).abs().flatten().tolist()
    [0.7071067811865475, 0.7071067811865475]
    """
    require_shape(C, ("D", "D"), "C")
    with torch.no_grad():
        vectors, _, _ = torch.linalg.svd(psd_factor(C.detach()))
        return vectors[:, int(rank_of(C).rank) :]


def factor_perturbation(C: Tensor) -> Tensor:
    r"""How far, in Bures (Wasserstein-2) distance, lie covariances that round to C: the error of a W2 from covariances.

    The entries of C are known to eps sqrt(C_ii C_jj). With R = V diag(l) V^T the matrix scaled to unit diagonal, its
    symmetric root moves in the eigenbasis by at most

        |X_ij| <= min(e_ij / (sqrt l_i + sqrt l_j), sqrt e_ij),    e_ij = eps (sum_a |V_ai|) (sum_b |V_bj|),

    (the derivative of the root; the root of the change), in the nullspace, where `psd_factor` cuts eigenvalues, by
    sqrt(4 D eps); the distance by at most |S |V| X|_F with S the standard deviations, and by the rounding of the
    factor, 4 eps sqrt(D tr C). A regular matrix of lowest eigenvalue l moves by eps |C| / sqrt l, a singular one by
    sqrt(eps |C|). Factors that are given carry no such error: pass them to `procrustes_distance` where they are known.

    Returns
    -------
    Tensor
        Of the batch shape; no gradient.

    References
    ----------
    Powers & Stoermer, Commun. Math. Phys. 16 (1970) 1 (|A^1/2 - B^1/2|_F^2 <= |A - B|_1); Bhatia, Jain & Lim, Expo.
    Math. 37 (2019) 165 (the distance is at most that of any two factors).

    Examples
    --------
    >>> error = factor_perturbation(torch.stack([torch.eye(2), torch.ones(2, 2)]).double())
    >>> bool(error[0] < 1e-14), bool(error[1] > 1e-9)
    (True, True)
    """
    with torch.no_grad():
        C = C.detach()
        eps, tiny = torch.finfo(C.dtype).eps, torch.finfo(C.dtype).tiny
        root = singular_root(C)
        values, vectors = torch.linalg.eigh(equilibrated(C)[0])
        lost = root.values == 0
        reach = vectors.abs().sum(-2)
        moved = eps * reach.unsqueeze(-1) * reach.unsqueeze(-2)
        roots = root.values.sqrt()
        change = torch.minimum(moved / (roots.unsqueeze(-1) + roots.unsqueeze(-2) + tiny), moved.sqrt())
        change = change + torch.diag_embed(torch.where(lost, band(C)[0] ** 0.5, 0.0))
        spread = C.diagonal(dim1=-2, dim2=-1).clamp_min(0.0).sqrt()
        inherited = torch.linalg.matrix_norm(spread.unsqueeze(-1) * (vectors.abs() @ change))
        return inherited + 4 * eps * C.shape[-1] ** 0.5 * torch.linalg.vector_norm(spread, dim=-1) + tiny
