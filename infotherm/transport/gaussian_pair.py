"""W2 of one pair of Gaussians by numpy: the formula of the batched and differentiable path, without its overhead."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.tensors import validating
from infotherm.distributions import Gaussian

_SMALL = 32
# of a dtype: eps, the smallest normal number, and the range of squares that lose no digits
_NUMBERS = {
    torch.float64: (torch.finfo(torch.float64).eps, torch.finfo(torch.float64).tiny, 1e-250, 1e250),
    torch.float32: (torch.finfo(torch.float32).eps, torch.finfo(torch.float32).tiny, 1e-25, 1e25),
}


class Ends(NamedTuple):
    """Mean and factor of one law as arrays, the norm of the factor, and how far its rounded parameters can be off."""

    mean: np.ndarray
    factor: np.ndarray
    size: float
    error: float
    dtype: torch.dtype


def plain(*tensors: Tensor) -> bool:
    """Whether these are ordinary tensors on a CPU, of a dtype that numpy's linear algebra has."""
    return validating(*tensors) and all(
        type(t) is Tensor and t.device.type == "cpu" and t.dtype in _NUMBERS for t in tensors
    )


def ends_of(law: Gaussian, error: Tensor) -> Ends | None:
    """The arrays of a law, None for a batch, or a factor that is not square, or tensors that numpy cannot take."""
    if law.batch_shape or law.factor.shape[-1] != law.dim or not plain(law.mean, law.factor):
        return None
    factor = law.factor.detach().numpy()
    return Ends(law.mean.detach().numpy(), factor, math.sqrt(np.vdot(factor, factor)), float(error), law.dtype)


def distance_of_pair(p: Ends, q: Ends) -> Estimate | None:
    """W2 with the error of `procrustes_distance`, or None where that has to polish the rotation (laws nearly equal).

    Examples
    --------
    >>> zero = torch.zeros((), dtype=torch.float64)
    >>> p, q = (ends_of(Gaussian([m, 0.0], [[1.0, 0.0], [0.0, v]]), zero) for m, v in ((0.0, 1.0), (2.0, 4.0)))
    >>> distance_of_pair(p, q).value.item() ** 2  # 2^2 + (2 - 1)^2
    5.0
    """
    first, second, dtype = p.factor, q.factor, p.dtype
    if dtype is not q.dtype or first.shape != second.shape:
        return None
    dim, (eps, tiny, smallest, largest) = len(first), _NUMBERS[dtype]
    left, singular, right = _decomposed(second.T.dot(first))
    rotation = left.dot(right)
    residual = (first - second.dot(rotation)).ravel()
    square = float(residual.dot(residual))
    shift = p.mean - q.mean
    total = square + float(shift.dot(shift))
    if not smallest < total < largest:
        return None
    goal = 8 * eps * math.sqrt(dim) * (p.size + q.size) + tiny
    # whether the blur of the cross matrix can be felt in the distance, as in core.procrustes
    blur = 16 * dim * eps * p.size * q.size
    least = float(singular[-1])
    gap = least + (float(singular[-2]) if dim > 1 else 0.0) + tiny
    felt = min(blur, blur * (blur / gap)) if least > blur else blur
    if not felt <= 2 * math.sqrt(square) * goal:
        return None
    defect = (rotation.T.dot(rotation) - _identity(dim, dtype)).ravel()
    departure = math.sqrt(defect.dot(defect))
    value = math.sqrt(total)
    error = goal + (departure * q.size if departure > 4 * eps * dim else 0.0) + 4 * eps * value + tiny
    numbers = [torch.scalar_tensor(x, dtype=dtype) for x in (value, 0.0, error + p.error + q.error)]
    found = object.__new__(Estimate)
    found._fill(*numbers, "exact", "closed-form", "1", (), {})
    return found


def _decomposed(cross: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular value decomposition, of small matrices by LAPACK's routine without numpy's share of the time."""
    if len(cross) <= _SMALL:
        left, singular, right, failed = _lapack(cross.dtype.char)(cross)
        if not failed:
            return left, singular, right
    return np.linalg.svd(cross)


@cache
def _lapack(dtype: str) -> Any:
    from scipy.linalg import get_lapack_funcs

    return get_lapack_funcs("gesdd", dtype=dtype)


@cache
def _identity(dim: int, dtype: torch.dtype) -> np.ndarray:
    return np.eye(dim, dtype=np.float64 if dtype == torch.float64 else np.float32)


def regular_perturbation(covariance: np.ndarray) -> float | None:
    """`core.psd.factor_perturbation` of one covariance far from singular, None for others."""
    eps = float(np.finfo(covariance.dtype).eps)
    tiny = float(np.finfo(covariance.dtype).tiny)
    dim = len(covariance)
    spread = np.sqrt(covariance.diagonal())
    if not spread.min() > 0:
        return None
    values, vectors = np.linalg.eigh(covariance / spread[:, None] / spread)
    if not values[0] > 1024 * dim * eps:
        return None
    vectors = np.abs(vectors)
    reach, roots = vectors.sum(0), np.sqrt(values)
    moved = eps * reach[:, None] * reach
    change = np.minimum(moved / (roots[:, None] + roots + tiny), np.sqrt(moved))
    inherited = spread[:, None] * (vectors @ change)
    return math.sqrt(np.vdot(inherited, inherited)) + 4 * eps * math.sqrt(dim * np.vdot(spread, spread)) + tiny
