"""What a mixture of Gaussians may be given: shapes of weights, means and covariances, and the checks on them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from infotherm.core.linalg import psd_factor, symmetrise_checked
from infotherm.core.tensors import as_tensors, require_finite, validating
from infotherm.distributions.gaussian import Gaussian


class Ingredients(NamedTuple):
    """Weights (*batch, K), means (*batch, K, D), and the components' shapes: centred laws of batch (*batch, K or 1)."""

    weights: Tensor
    means: Tensor
    shapes: Gaussian
    round: bool  # whether every component covariance is a multiple of the identity


def ingredients(weights: Any, means: Any, covs: Any) -> Ingredients:
    """The arguments of GaussianMixture in full, by the rules that its docstring states."""
    weights, means, covs = as_tensors(weights=weights, means=means, covs=covs)
    if weights.ndim == 0 or weights.shape[-1] == 0:
        raise ValueError(f"weights must have shape (..., K) with K >= 1; got {tuple(weights.shape)}")
    count = weights.shape[-1]
    if means.ndim <= weights.ndim and means.ndim and means.shape[-1] == count:  # scalar components
        if means.ndim > 1 and means.shape[-2] == count:
            raise ValueError(
                f"means of shape {tuple(means.shape)} may be scalar components (..., K) or means (K, D): give them the "
                f"batch dimensions of weights, shape (*batch, {count}, D)"
            )
        means = means[..., None]
    if means.ndim < 2 or means.shape[-2] != count:
        raise ValueError(
            f"means must have shape (..., {count}, D), or (..., {count}) for scalar components, to go with weights of "
            f"shape {tuple(weights.shape)}; got {tuple(means.shape)}"
        )
    if means.shape[-1] == 0:
        raise ValueError("means must have at least one coordinate; got shape (..., K, 0)")
    batch = _broadcast(weights.shape[:-1], means.shape[:-2], "means")
    require_finite(means, "means")
    shapes, is_round = _shapes(covs, len(batch), count, means.shape[-1])
    batch = _broadcast(batch, shapes.batch_shape[:-1], "covs")
    weights = checked_weights(weights).expand(*batch, count)
    means = means.expand(*batch, *means.shape[-2:])
    return Ingredients(weights, means, shapes.expand((*batch, shapes.batch_shape[-1])), is_round)


def _shapes(covs: Tensor, batch_dims: int, count: int, dim: int) -> tuple[Gaussian, bool]:
    """The components centred at zero, batch (..., K) or (..., 1) when they share one covariance, and whether round."""
    size, wanted = tuple(covs.shape), f"(), ({count},), ({dim}, {dim}) or (..., {count}, {dim}, {dim})"
    matrices = covs.ndim >= 3 and size[-2:] == (dim, dim) and size[-3] in (1, count)
    variances = covs.ndim == batch_dims + 1 and size[-1] == count or covs.ndim == 0
    if batch_dims == 0 and size == (dim, dim):
        covs, matrices = covs[None], True
    if matrices and variances:
        raise ValueError(
            f"covs of shape {size} may be variances (..., {count}) or covariances (..., {count}, {dim}, {dim}): write "
            f"the covariances out, shape (*batch, {count}, {dim}, {dim})"
        )
    if not (matrices or variances):
        raise ValueError(
            f"covs must have shape {wanted} for K = {count} components in D = {dim}"
            + (f" ({batch_dims} batch dimensions in front)" if batch_dims else "")
            + f"; got {size}"
        )
    if matrices:
        if covs.shape[-3] > 1 and covs.stride(-3) == 0:
            covs = covs[..., :1, :, :]  # one matrix, repeated
        if dim > 1:
            covs = symmetrise_checked(covs, "covs")
            return _centred(psd_factor(covs), covs), False
        covs = covs[..., 0, 0]
    elif covs.ndim == 0:
        covs = covs[None]
    require_finite(covs, "covs")
    if validating(covs) and bool((covs < 0).any()):
        where = torch.nonzero(covs < 0)[0].tolist()
        raise ValueError(f"covs must hold variances >= 0; got {covs[tuple(where)].item():.6g} at index {where}")
    one = torch.eye(dim, dtype=covs.dtype, device=covs.device)
    # the slope of a root at zero is infinite: a zero variance stays a constant
    deviation = torch.where(covs > 0, torch.where(covs > 0, covs, 1.0).sqrt(), 0.0)
    return _centred(deviation[..., None, None] * one, covs[..., None, None] * one), True


def _centred(factor: Tensor, covariance: Tensor) -> Gaussian:
    return Gaussian._of(factor.new_zeros(factor.shape[-2]), factor, covariance=covariance)


def checked_weights(weights: Tensor) -> Tensor:
    """`weights` themselves, when they are probabilities.

    Raises
    ------
    ValueError
        For NaN, a negative weight, or a sum further from one than eps^(2/3).
    """
    require_finite(weights, "weights")
    if not validating(weights):
        return weights
    if bool((weights < 0).any()):
        where = torch.nonzero(weights < 0)[0].tolist()
        raise ValueError(f"weights must not be negative; got {weights[tuple(where)].item():.6g} at index {where}")
    total = weights.detach().double().sum(-1)
    tolerance = torch.finfo(weights.dtype).eps ** (2 / 3)
    off = (total - 1).abs()
    if bool((off > tolerance).any()):
        worst = total.flatten()[off.flatten().argmax()].item()
        raise ValueError(
            f"weights must sum to one (within {tolerance:.1e}); got {worst:.12g}: divide them by their sum"
        )
    return weights


def _broadcast(first: torch.Size, second: torch.Size, name: str) -> torch.Size:
    try:
        return torch.broadcast_shapes(first, second)
    except RuntimeError:
        raise ValueError(f"the batch shape of {name} must broadcast with {tuple(first)}; got {tuple(second)}") from None
