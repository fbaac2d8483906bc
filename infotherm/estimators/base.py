"""What every estimator shares: samples come in as (N, D) matrices and are checked once, here."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import as_tensor, require_finite


def as_samples(x: Any, name: str, *, least: int = 2) -> Tensor:
    """N samples of D coordinates as an (N, D) float64 matrix; a vector of N numbers is one coordinate.

    Raises
    ------
    ValueError
        For another shape, NaN or infinite entries, no coordinates, or fewer than `least` samples.

    Examples
    --------
    >>> as_samples([1.0, 2.0, 4.0], "x").shape
    torch.Size([3, 1])
    """
    x = as_tensor(x, name).detach().to(torch.float64)
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2 or x.shape[1] == 0:
        raise ValueError(f"{name} must have shape (N, D) with D >= 1, or (N,); got {tuple(x.shape)}")
    if x.shape[0] < least:
        raise ValueError(f"{name} must hold at least {least} samples; got {x.shape[0]}")
    return require_finite(x, name)


def paired_samples(*, least: int = 2, **named: Any) -> list[Tensor]:
    """Matrices of equally many samples; None entries are left out, except the first.

    Raises
    ------
    ValueError
        When the numbers of samples differ (the message names both).
    TypeError
        When the first is None: another argument would be taken for it.
    """
    needed = next(iter(named))
    matrices = {name: as_samples(x, name, least=least) for name, x in named.items() if x is not None or name == needed}
    (first, reference), *others = matrices.items()
    for name, matrix in others:
        if len(matrix) != len(reference):
            raise ValueError(f"{name} must hold as many samples as {first}; got {len(matrix)} and {len(reference)}")
    return list(matrices.values())


def require_varying(x: Tensor, name: str) -> None:
    """Refuse a constant coordinate: it has no density, and no information to share.

    Raises
    ------
    ValueError
        Naming the first constant coordinate.
    """
    constant = (x.amax(0) == x.amin(0)).nonzero().flatten().tolist()
    if constant:
        raise ValueError(f"{name} must vary; its coordinate {constant[0]} is constant ({x[0, constant[0]].item()})")


def require_independent(x: Tensor, name: str) -> None:
    """Refuse coordinates of which one is a linear function of the others: there is no density.

    Raises
    ------
    ValueError
        When the standardised samples are of lower rank, up to 1e-12 of their size or the rounding of the samples; when
        sums of samples overflow.
    """
    centred = x - x.mean(0)
    if not bool(centred.isfinite().all()):
        raise ValueError(f"{name} must be in units in which sums do not overflow; got up to {float(x.abs().max()):.3g}")
    centred = centred / centred.abs().amax(0)
    values = torch.linalg.svdvals(centred / centred.square().mean(0).sqrt())
    if len(x) > x.shape[1] and bool(values[-1] <= 1e-12 * values[0]):
        raise ValueError(f"the coordinates of {name} must be linearly independent: the law has no density")


def stream_of_samples(*matrices: Tensor) -> str:
    """The name of the randomness in these samples: estimates from the same data are not independent."""
    digest = hashlib.blake2b(digest_size=8)
    for matrix in matrices:
        digest.update(matrix.cpu().contiguous().numpy().tobytes())
    return f"data-{digest.hexdigest()}"
