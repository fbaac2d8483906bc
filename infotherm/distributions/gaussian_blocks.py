"""Linear algebra of Gaussian blocks: triangular factors, ranks, conditioning through a factor of the covariance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infotherm.core.tensors import as_tensor, as_tensors, require_shape, validating
from infotherm.distributions.base import Distribution


def lower_triangular(factor: Tensor) -> Tensor:
    """The lower-triangular L with diagonal >= 0 and L L^T = B B^T, shape (..., D, R) -> (..., D, D).

    A factor that is triangular already comes back as it is, down to entries far below eps of the others; any other goes
    through a QR decomposition, whose rounding is a few eps of the norm of each row.

    Examples
    --------
    >>> lower_triangular(torch.tensor([[3.0, 4.0], [1.0, 0.0]], dtype=torch.float64))
    tensor([[5.0000, ...],
            [0.6000, 0.8000]], dtype=torch.float64)
    """
    rows, columns = factor.shape[-2:]
    if is_triangular(factor):
        lower = factor[..., :rows]
    else:
        lower = torch.linalg.qr(factor.mT).R.mT
        lower = torch.nn.functional.pad(lower, (0, rows - min(rows, columns)))
    signs = torch.where(lower.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(factor.dtype)
    return lower * signs[..., None, :]


def is_triangular(factor: Tensor) -> bool:
    """Whether B (..., D, R >= D) is exactly lower-triangular; False where its values may not be looked at."""
    square = factor.shape[-1] >= factor.shape[-2]
    return square and validating(factor) and not bool(factor.detach().triu(1).any())


def factor_rank(factor: Tensor) -> tuple[Tensor, Tensor]:
    """Rank of B after scaling its rows to length one, and whether rounding leaves it open; shape (...).

    A triangular factor without a zero on its diagonal is regular, however small the entry: it was given so.
    """
    rows, columns = factor.shape[-2:]
    length = factor.norm(dim=-1, keepdim=True)
    values = torch.linalg.svdvals(factor / torch.where(length > 0, length, torch.ones_like(length)))
    noise = 4 * max(rows, columns) * torch.finfo(factor.dtype).eps * values[..., :1]
    rank = (values > noise).sum(-1)
    doubtful = ((values > noise / 64) & (values < 64 * noise)).any(-1)
    if is_triangular(factor):
        regular = (factor.diagonal(dim1=-2, dim2=-1) != 0).all(-1)
        rank, doubtful = torch.where(regular, rows, rank), doubtful & ~regular
    return rank, doubtful


class Conditional(NamedTuple):
    """Mean and factor of x given y, the gain K with mean = m_x + K (y - m_y), and K's inputs whitened."""

    mean: Tensor
    factor: Tensor
    gain: Tensor
    white: Tensor


def block_conditional(
    mean: Tensor, factor: Tensor, wanted: Sequence[int], given: Sequence[int], value: Tensor, regular: bool
) -> Conditional:
    """The law of the coordinates `wanted` given that the coordinates `given` take `value` (..., len(given)).

    The rows of the factor, given ones first, are made triangular: [[L_yy, 0], [L_xy, L_xx]]; then K = L_xy L_yy^-1 and
    L_xx is the factor of x given y, without the subtraction C_xx - C_xy C_yy^-1 C_yx. A singular block takes the
    pseudo-inverse instead, for which `value` must lie on the support of y.

    Raises
    ------
    ValueError
        When it does not.
    """
    offset = value - mean[..., given]
    count = len(given)
    if regular:
        lower = lower_triangular(factor[..., [*given, *wanted], :])
        within, across, own = lower[..., :count, :count], lower[..., count:, :count], lower[..., count:, count:]
        white = torch.linalg.solve_triangular(within, offset[..., None], upper=False)
        gain = torch.linalg.solve_triangular(within, across, upper=False, left=False)
        return Conditional(mean[..., wanted] + (across @ white)[..., 0], own, gain, white[..., 0])
    known, other = factor[..., given, :], factor[..., wanted, :]
    scale = known.detach().norm(dim=-1)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    known, offset = known / scale[..., None], offset / scale
    eps = torch.finfo(factor.dtype).eps
    inverse = torch.linalg.pinv(known, rtol=256 * max(known.shape[-2:]) * eps)
    white = (inverse @ offset[..., None])[..., 0]
    if validating(offset):
        size = (value.abs() + mean[..., given].abs()).detach() / scale + 1
        residual = ((known @ white[..., None])[..., 0] - offset).detach()
        if bool((residual.norm(dim=-1) > 1e3 * count * eps * size.norm(dim=-1)).any()):
            raise ValueError(
                f"the value given lies off the support of a singular Gaussian, by {residual.abs().max().item():.3g} "
                f"of its scale: there is no law given an impossible event"
            )
    centre = mean[..., wanted] + (other @ white[..., None])[..., 0]
    return Conditional(centre, other - other @ inverse @ known, other @ inverse / scale[..., None, :], white)


def part_values(law: Distribution, values: dict[str, Any]) -> tuple[list[int], list[int], Tensor]:
    """Coordinates given, coordinates left, and the given values in one tensor (..., number given).

    Raises
    ------
    ValueError
        For an unknown part, a value of the wrong shape, or no part left.
    """
    if not values:
        raise ValueError("condition needs the value of at least one part, like condition(y=value)")
    given = law.part_indices(list(values))
    wanted = [i for i in range(law.dim) if i not in set(given)]
    if not wanted:
        raise ValueError(f"condition must leave a part free; all of {', '.join(law.parts)} were given")
    pieces = []
    for name, value in values.items():
        own = getattr(value, "device", None)
        piece = as_tensor(value, name, device=None if own is not None else law.device)
        if piece.device != law.device:
            raise ValueError(f"{name} must be on {law.device}, where this law lives; got {piece.device}")
        size = law.parts[name]
        if piece.ndim == 0 and size == 1:
            piece = piece[None]
        if piece.ndim == 0 or piece.shape[-1] != size:
            raise ValueError(f"{name} must have shape (..., {size}); got {tuple(piece.shape)}")
        if validating(piece) and not bool(torch.isfinite(piece).all()):
            raise ValueError(f"{name} must be finite")
        pieces.append(piece.to(law.dtype))
    batch = torch.broadcast_shapes(*(piece.shape[:-1] for piece in pieces))
    return given, wanted, torch.cat([piece.expand(*batch, piece.shape[-1]) for piece in pieces], -1)


def as_probability(value: Any, like: Tensor) -> Tensor:
    """`value` as probabilities in the precision of `like`.

    Raises
    ------
    ValueError
        When one lies outside [0, 1].
    """
    probability, _ = as_tensors(value=value, law=like)
    if validating(probability) and not bool(((probability >= 0) & (probability <= 1)).all()):
        raise ValueError("value must hold probabilities in [0, 1]")
    return probability


def nothing_at_infinity(log_density: Tensor, x: Tensor) -> Tensor:
    """`log_density` with -inf where a coordinate of x is infinite: whitening makes a NaN of it."""
    if validating(log_density, x) and bool(torch.isnan(log_density).any()):
        return torch.where(torch.isinf(x).any(-1), -torch.inf, log_density)
    return log_density


def correlated_factor(mi: Tensor, dx: int, dy: int) -> Tensor:
    """The factor of (x, y) with min(dx, dy) correlated pairs that share `mi` (...) nats, everything of variance one.

    Raises
    ------
    ValueError
        When e^(-mi / pairs) is not a normal number, or a part has no coordinate.
    """
    for name, size in (("dx", dx), ("dy", dy)):
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name} must be a positive integer; got {size!r}")
    pairs = min(dx, dy)
    limit = pairs * int(-math.log(torch.finfo(mi.dtype).tiny) - 1)
    if validating(mi) and not bool(((mi >= 0) & (mi <= limit)).all()):
        raise ValueError(f"mi must lie in [0, {limit}] nats for {pairs} pairs in {mi.dtype}; got {mi.tolist()}")
    share = mi[..., None] / pairs
    correlation, rest = (-torch.expm1(-2 * share)).sqrt(), torch.exp(-share)
    across = torch.eye(dy, dx, dtype=share.dtype, device=share.device) * correlation[..., None]
    paired = torch.arange(dy, device=share.device) < pairs
    own = torch.diag_embed(torch.where(paired, rest, torch.ones_like(rest)))
    one = torch.eye(dx, dtype=share.dtype, device=share.device).expand(*share.shape[:-1], dx, dx)
    top = torch.nn.functional.pad(one, (0, dy))
    return torch.cat([top, torch.cat([across, own], -1)], -2)


def shaped(mean: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (..., D) and covariance (..., D, D), numbers made a scalar law."""
    if mean.ndim == 0:
        mean = mean[None]
    if cov.ndim == 0:
        if mean.shape[-1] != 1:
            raise ValueError(
                f"cov must have shape (..., D, D) for a mean of shape {tuple(mean.shape)}; got a number, which is the "
                f"variance of a scalar law (a batch of those has means (B, 1))"
            )
        cov = cov[None, None]
    require_shape(mean, ("...", "D"), "mean")
    require_shape(cov, ("...", mean.shape[-1], mean.shape[-1]), "cov")
    if mean.shape[-1] == 0:
        raise ValueError("mean must have at least one coordinate; got shape (..., 0)")
    require_batch(mean.shape[:-1], cov.shape[:-2], "cov")
    return mean, cov


def require_batch(first: torch.Size, second: torch.Size, name: str) -> None:
    """Make sure that two batch shapes broadcast.

    Raises
    ------
    ValueError
        When they do not; `name` is the argument with the second.
    """
    try:
        torch.broadcast_shapes(first, second)
    except RuntimeError:
        raise ValueError(f"the batch shape of {name} must broadcast with {tuple(first)}; got {tuple(second)}") from None


def on_support(x: Tensor, mean: Tensor, factor: Tensor, rank: Tensor) -> Tensor:
    """Whether x (..., D) lies on mean + range(B) to within rounding, shape (...) of booleans."""
    x, mean, factor = x.detach(), mean.detach(), factor.detach()
    scale = factor.norm(dim=-1)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    basis = torch.linalg.svd(factor / scale[..., None], full_matrices=True).U
    offset = (x - mean) / scale
    inside = torch.arange(x.shape[-1], device=x.device) < rank[..., None]
    outside = torch.einsum("...ji,...j->...i", basis.to(offset.dtype), offset) * ~inside
    size = (x.abs() + mean.abs()) / scale + 1
    return outside.norm(dim=-1) <= 64 * x.shape[-1] * torch.finfo(factor.dtype).eps * size.norm(dim=-1)
