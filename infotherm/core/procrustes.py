"""The orthogonal Procrustes distance: how far two factors are apart when rotations do not count."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infotherm.core.gradients import first_order
from infotherm.core.tensors import validating


class Procrustes(NamedTuple):
    """min_U |A - B U|_F (`distance`), its square, a bound on the rounding error of the distance, and U."""

    distance: Tensor
    squared: Tensor
    error: Tensor
    rotation: Tensor


def procrustes_distance(A: Tensor, B: Tensor) -> Procrustes:
    r"""The smallest Frobenius distance between A and B U over orthogonal U.

    With A A^T = C0 and B B^T = C1 it is the Bures distance of the covariances, and so the Wasserstein-2 distance of
    the centred Gaussians,

        d = min_U |A - B U|_F,    U = V W^T with B^T A = V S W^T (the polar factor),

    for any factors, of singular matrices too. The difference is formed explicitly, so that the error is a few eps |A|;
    tr C0 + tr C1 - 2 |B^T A|_* loses half of the digits (error sqrt(eps) |A|) when the covariances are near.

    Parameters
    ----------
    A, B
        Factors (..., D, r) and (..., D, s); when r and s differ the narrower one is padded with zero columns.

    Returns
    -------
    Procrustes
        `distance`, `squared`, `error` (a bound on |distance - truth| for these factors; what the rounding of
        covariances adds is `linalg.factor_perturbation`) of the batch shape, and `rotation` U (..., r, r).
        Gradients hold U constant, which is exact to first order: 2 (A - B U) of the square with respect to A,
        2 (B - A U^T) with respect to B, and 0 for the distance where the factors agree; second derivatives raise.

    Raises
    ------
    ValueError
        When the shapes do not fit.

    References
    ----------
    Schoenemann, Psychometrika 31 (1966) 1; Bhatia, Jain & Lim, Expo. Math. 37 (2019) 165, theorem 1 (Bures distance).

    Examples
    --------
    >>> A = torch.diag(torch.tensor([1.0, 2.0], dtype=torch.float64))
    >>> procrustes_distance(A, A @ torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)).distance.item()
    0.0
    """
    if A.ndim < 2 or B.ndim < 2 or A.shape[-2] != B.shape[-2]:
        raise ValueError(
            f"A and B must have shapes (..., D, r) and (..., D, s); got {tuple(A.shape)}, {tuple(B.shape)}"
        )
    width = max(A.shape[-1], B.shape[-1], A.shape[-2])
    A, B = (first_order(M) for M in (A, B))
    A, B = (torch.nn.functional.pad(M, (0, width - M.shape[-1])) if M.shape[-1] < width else M for M in (A, B))
    with torch.no_grad():
        rotation, error = _compressed_rotation(A.detach(), B.detach())
    residual = A - B @ rotation
    squared = residual.square().sum((-2, -1))
    distance = torch.linalg.vector_norm(residual, dim=(-2, -1))  # its gradient at 0 is 0
    return Procrustes(distance, squared, error, rotation)


def _compressed_rotation(A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """As `_rotation`; factors wider than D are made square first, A = R_A^T Q_A^T, and U = Q_B U' Q_A^T."""
    dim = A.shape[-2]
    if A.shape[-1] == dim:
        return _rotation(A, B)
    (frame_a, square_a), (frame_b, square_b) = (torch.linalg.qr(M.mT) for M in (A, B))
    inner, error = _rotation(square_a.mT, square_b.mT)
    return frame_b @ inner @ frame_a.mT, error


def _rotation(A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """The optimal rotation, and the bound on the error of the distance."""
    eps, tiny = torch.finfo(A.dtype).eps, torch.finfo(A.dtype).tiny
    norm = lambda M: torch.linalg.vector_norm(M, dim=(-2, -1))  # noqa: E731
    left, singular, right = torch.linalg.svd(B.mT @ A)
    rotation = left @ right
    distance, size = norm(A - B @ rotation), norm(A) + norm(B)
    goal = 8 * eps * A.shape[-2] ** 0.5 * size + tiny
    # The cross matrix is known to some D eps |A||B|. That turns U by an angle of this over a sum of two singular values
    # and moves the squared distance by the sum times the square of the angle: felt only when the distance is small.
    blur = 16 * A.shape[-1] * eps * norm(A) * norm(B)
    gap = singular[..., -2:].sum(-1) + tiny
    # below the blur of the cross matrix not even the sign of the weakest direction is determined
    felt = torch.where(singular[..., -1] > blur, torch.minimum(blur, blur * (blur / gap)), blur)
    if validating(A, B) and bool((felt <= 2 * distance * goal).all()):
        return rotation, goal
    rotation, distance = _realigned(A, B, rotation)
    last = torch.zeros_like(distance)
    for _ in range(3):
        rotation, polished = _polished(A, B, rotation)
        last, distance = distance - polished, polished
        if validating(last) and bool((last <= goal / 4).all()):
            break
    return rotation, goal + last


def _realigned(A: Tensor, B: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
    """The rotation done again among the directions so short that B^T A was all rounding there (even their signs)."""
    eps, tiny = torch.finfo(A.dtype).eps, torch.finfo(A.dtype).tiny
    _, singular, rows = torch.linalg.svd(A)
    short = (singular <= (64 * A.shape[-1] * eps) ** 0.5 * singular[..., :1]).to(A.dtype)
    turned = B @ rotation
    block = (turned @ rows.mT * short.unsqueeze(-2)).mT @ (A @ rows.mT * short.unsqueeze(-2))
    scale = torch.linalg.vector_norm(block, dim=(-2, -1), keepdim=True) + tiny
    left, _, right = torch.linalg.svd(block / scale + torch.diag_embed(1 - short))
    realigned = rotation @ rows.mT @ left @ right @ rows
    return _better(A, B, rotation, realigned)


def _better(A: Tensor, B: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The rotation, of two, that leaves the smaller distance, and this distance."""
    before, after = (torch.linalg.vector_norm(A - B @ U, dim=(-2, -1)) for U in (first, second))
    better = after < before
    return torch.where(better[..., None, None], second, first), torch.where(better, after, before)


def _polished(A: Tensor, B: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
    """One Newton step for the rotation, and the distance after it; a step that does not help is not taken.

    It works on the small difference A - B U, where the singular value decomposition worked on B^T A: its rounding
    errors are relative to the distance, not to the factors.
    """
    eps = torch.finfo(A.dtype).eps
    turned = B @ rotation
    residual = A - turned
    cross = turned.mT @ residual
    # (B U)^T A = H^T H up to the square of the difference; from the singular values of H, small eigenvalues keep digits
    _, singular, rows = torch.linalg.svd((A + turned) / 2)
    values, vectors = singular.square(), rows.mT
    sums = values.unsqueeze(-1) + values.unsqueeze(-2)
    skew = vectors.mT @ (cross - cross.mT) @ vectors
    floor = (A.shape[-1] * eps * singular[..., :1, None]).square() + torch.finfo(A.dtype).tiny
    angle = torch.where(sums > floor, skew / torch.maximum(sums, floor), 0.0)
    turn = vectors @ angle @ vectors.mT
    identity = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    turn = torch.linalg.solve(identity - turn / 2, identity + turn / 2)  # Cayley: orthogonal for every skew matrix
    turned = rotation @ turn
    turned = turned @ (3 * identity - turned.mT @ turned) / 2  # a large angle costs orthogonality: one Newton step back
    return _better(A, B, rotation, turned)
