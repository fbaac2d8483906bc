"""Laws made from a Gaussian: marginals, conditionals and affine images, through its factor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from infotherm.core.tensors import as_tensors, require_finite, require_shape
from infotherm.distributions.gaussian_blocks import block_conditional, lower_triangular, part_values, require_batch

if TYPE_CHECKING:
    from infotherm.distributions.gaussian import Gaussian


def marginal_of(p: Gaussian, rows: list[int], parts: dict[str, int]) -> Gaussian:
    """The law of the coordinates `rows`, in that order."""
    if p._datum == "covariance" and p._factor_magnitude is None and p._regular:
        covariance = p.covariance[..., rows, :][..., :, rows]
        leading = rows == list(range(len(rows)))
        factor = p.scale_tril[..., : len(rows), : len(rows)] if leading else torch.linalg.cholesky(covariance)
        return p._of(p.mean[..., rows], factor, covariance=covariance, parts=parts)
    return p._of(
        p.mean[..., rows],
        p.factor[..., rows, :],
        parts=parts,
        datum=p._datum,
        mean_magnitude=None if p._mean_magnitude is None else p._mean_magnitude[..., rows],
        factor_magnitude=None if p._factor_magnitude is None else p._factor_magnitude[..., rows, :],
    )


def conditional_of(p: Gaussian, values: dict[str, Any]) -> Gaussian:
    """The law of the other parts given the values of some."""
    given, wanted, value = part_values(p, values)
    require_batch(p.batch_shape, value.shape[:-1], "the value")
    found = block_conditional(p.mean, p.factor, wanted, given, value, p._regular)
    gain, size = found.gain.detach().abs(), p._factor_size
    spread = torch.cat([size[..., wanted, :], gain @ size[..., given, :]], -1)
    shift = (gain @ (value.detach().abs() + p._mean_size[..., given])[..., None])[..., 0]
    moved = spread.norm(dim=-1) * found.white.detach().norm(dim=-1)[..., None]
    return p._of(
        found.mean,
        found.factor,
        parts={name: size for name, size in p.parts.items() if name not in values},
        datum=p._datum,
        mean_magnitude=p._mean_size[..., wanted] + shift + moved,
        factor_magnitude=spread,
    )


def image_of(p: Gaussian, matrix: Any, offset: Any, noise: Gaussian | None, parts: Any) -> Gaussian:
    """The law of A x + b + noise."""
    matrix, offset, _ = as_tensors(matrix=matrix, offset=0.0 if offset is None else offset, law=p.mean)
    if matrix.ndim == 0:
        matrix = matrix * torch.eye(p.dim, dtype=matrix.dtype, device=matrix.device)
    require_shape(matrix, ("...", "E", p.dim), "matrix")
    rows = matrix.shape[-2]
    if offset.ndim:
        require_shape(offset, ("...", rows), "offset")
    require_finite(matrix, "matrix")
    require_finite(offset, "offset")
    require_batch(p.batch_shape, matrix.shape[:-2], "matrix")
    size = matrix.detach().abs()
    mean = (matrix @ p.mean[..., None])[..., 0] + offset
    mean_size = (size @ p._mean_size[..., None])[..., 0] + offset.detach().abs()
    factor, factor_size = matrix @ p.factor, size @ p._factor_size
    datum = p._datum
    if noise is not None:
        if noise.dim != rows:
            raise ValueError(f"noise must be a law on R^{rows}; got D = {noise.dim}")
        mean, mean_size = mean + noise.mean, mean_size + noise._mean_size
        factor, factor_size = _beside(factor, noise.factor), _beside(factor_size, noise._factor_size)
        datum = "covariance" if "covariance" in (datum, noise._datum) else "factor"
    if factor.shape[-1] > 2 * rows:  # many columns say no more than D of them
        factor = lower_triangular(factor)
        factor_size = torch.diag_embed(factor_size.norm(dim=-1))
    return p._of(mean, factor, parts=parts, datum=datum, mean_magnitude=mean_size, factor_magnitude=factor_size)


def _beside(first: Tensor, second: Tensor) -> Tensor:
    batch = torch.broadcast_shapes(first.shape[:-2], second.shape[:-2])
    return torch.cat([first.expand(*batch, *first.shape[-2:]), second.expand(*batch, *second.shape[-2:])], -1)
