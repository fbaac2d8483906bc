"""Closed forms for Gaussian laws without a density: they are compared on the subspaces that carry them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from infotherm.distributions.gaussian_blocks import factor_rank, lower_triangular
from infotherm.distributions.gaussian_known import Known, Number, inverse_triangle, regular_information, regular_kl

if TYPE_CHECKING:
    from infotherm.distributions.gaussian import Gaussian


def kl_on_supports(p: Gaussian, q: Gaussian, value: Tensor, error: Tensor, where: Tensor) -> Number:
    """KL(p || q) for the members `where` of a batch, whose covariances are both singular.

    Finite when the affine supports are the same, and then the divergence in coordinates of that subspace; otherwise
    +inf. Supports that differ by little more than rounding leave the question open: a finite value, an infinite error.
    """
    shape = value.shape
    values, errors = list(value.reshape(-1).unbind()), list(error.reshape(-1).unbind())
    first, second = _members(p, shape), _members(q, shape)
    for i in torch.nonzero(where.reshape(-1)).flatten().tolist():
        values[i], errors[i] = _kl_of_two(first[i], second[i])
    return torch.stack(values).reshape(shape), torch.stack(errors).reshape(shape)


def information_on_supports(joint: Gaussian, count: int, value: Tensor, error: Tensor, where: Tensor) -> Number:
    """I(x; y) for the members `where` of a batch, whose joint covariance is singular; x are the first coordinates.

    Each block is reduced to coordinates of its own support. If then the joint law is regular, its information is
    finite; otherwise a combination of x determines one of y and it is +inf.
    """
    shape = value.shape
    values, errors = list(value.reshape(-1).unbind()), list(error.reshape(-1).unbind())
    members = _members(joint, shape)
    for i in torch.nonzero(where.reshape(-1)).flatten().tolist():
        values[i], errors[i] = _information_of_one(members[i], count)
    return torch.stack(values).reshape(shape), torch.stack(errors).reshape(shape)


def _members(p: Gaussian, shape: torch.Size) -> list[Known]:
    """Every law of the batch by itself; `lower` holds the plain factor."""
    magnitude = p.factor.detach().abs() if p._factor_magnitude is None else p._factor_magnitude
    mean_magnitude = p.mean.detach().abs() if p._mean_magnitude is None else p._mean_magnitude
    fields = [(p.mean, 1), (p.factor, 2), (magnitude, 2), (mean_magnitude, 1)]
    flat = [
        field.expand(*shape, *field.shape[-events:]).reshape(-1, *field.shape[-events:]).unbind()
        for field, events in fields
    ]
    datum = p._datum == "covariance"
    return [
        Known(mean, factor @ factor.mT, factor, factor, factor, size, mean_size, datum, triangular=False)
        for mean, factor, size, mean_size in zip(*flat, strict=True)
    ]


def _kl_of_two(p: Known, q: Known) -> Number:
    infinite = p.mean.new_tensor(math.inf), p.mean.new_tensor(torch.finfo(p.mean.dtype).tiny)
    rank, _ = factor_rank(q.lower.detach())
    if int(rank) != int(factor_rank(p.lower.detach())[0]):
        return infinite
    scale = _row_scale(q.lower, p.lower)
    basis = torch.linalg.svd(q.lower.detach() / scale[:, None], full_matrices=True).U
    inside, outside = basis[:, : int(rank)], basis[:, int(rank) :]
    shift, spread = (p.mean - q.mean) / scale, p.lower / scale[:, None]
    size = ((p.mean_magnitude + q.mean_magnitude) / scale).norm()
    noise = 64 * len(scale) * torch.finfo(p.mean.dtype).eps
    leaks = [
        _ratio((outside.mT @ spread.detach()).norm(), spread.detach().norm()),
        _ratio((outside.mT @ shift.detach()).norm(), size),
    ]
    if max(leaks) > 64 * noise:
        return infinite
    first = _seen(p, inside, scale, shift)
    second = _seen(q, inside, scale, torch.zeros_like(shift))
    value, error = regular_kl(first, second)
    return value, error + torch.finfo(error.dtype).tiny if max(leaks) <= noise else torch.full_like(error, math.inf)


def _information_of_one(joint: Known, count: int) -> Number:
    zero = joint.mean.new_tensor(0.0)
    scale = _row_scale(joint.lower, joint.lower)
    bases, sizes = [], []
    for rows in (slice(0, count), slice(count, None)):
        block = joint.lower.detach()[rows] / scale[rows, None]
        sizes.append(int(factor_rank(block)[0]))
        bases.append(torch.linalg.svd(block, full_matrices=True).U[:, : sizes[-1]])
    if 0 in sizes:
        return zero, torch.full_like(zero, torch.finfo(zero.dtype).tiny)
    basis = torch.block_diag(*bases)
    rank, doubtful = factor_rank(basis.mT @ (joint.lower.detach() / scale[:, None]))
    if int(rank) < sum(sizes) and not bool(doubtful):
        return zero + math.inf, torch.full_like(zero, torch.finfo(zero.dtype).tiny)
    if bool(doubtful):
        return zero, zero + math.inf
    return regular_information(_seen(joint, basis, scale, torch.zeros_like(joint.mean)), sizes[0])


def _seen(law: Known, basis: Tensor, scale: Tensor, mean: Tensor) -> Known:
    """The regular law of basis^T (x / scale), with the magnitudes carried along."""
    view = basis.mT / scale
    lower = lower_triangular(view @ law.lower)
    mean_magnitude = view.abs() @ law.mean_magnitude
    whitening = inverse_triangle(lower)
    size = view.abs() @ law.magnitude
    seen = basis.mT @ mean
    covariance = view @ law.covariance @ view.mT
    return Known(seen, covariance, lower, lower, whitening, size, mean_magnitude, law.by_covariance, triangular=False)


def _row_scale(first: Tensor, second: Tensor) -> Tensor:
    scale, other = first.detach().norm(dim=-1), second.detach().norm(dim=-1)
    scale = torch.where(scale > 0, scale, other)
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def _ratio(part: Tensor, whole: Tensor) -> float:
    return (part / whole).item() if bool(whole > 0) else 0.0
