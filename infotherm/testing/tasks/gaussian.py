"""Gaussian pairs: independent, in pairs, dense, sparse, through a common factor, at several strengths."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.distributions import Gaussian
from infotherm.information import mutual_information
from infotherm.testing.tasks.task import Draw, add, closed_form, normal

_SOURCE = "Cover and Thomas, Elements of Information Theory (2006), eq. 8.47: I = log(|C_x| |C_y| / |C|) / 2"


def paired_draw(mi: float, dx: int, dy: int) -> Draw:
    """Samples of `Gaussian.with_mutual_information(mi, dx, dy)`."""
    pairs = min(dx, dy)
    noise = math.exp(-mi / pairs)
    rho = math.sqrt(-math.expm1(-2 * mi / pairs))

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = normal(generator, n, dx), normal(generator, n, dy)
        y[:, :pairs] = rho * x[:, :pairs] + noise * y[:, :pairs]
        return x, y

    return draw


def joint_draw(covariance: Tensor, *dims: int) -> Draw:
    """Samples of N(0, covariance), cut into parts of these sizes."""
    factor = torch.linalg.cholesky(covariance)

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (normal(generator, n, sum(dims)) @ factor.mT.to(generator.device)).split(dims, dim=1)

    return draw


def dense(dim: int, correlation: float) -> Tensor:
    """Covariance with unit variances and one correlation between any two coordinates."""
    return torch.full((dim, dim), correlation, dtype=torch.float64).fill_diagonal_(1.0)


def two_pairs(dx: int, dy: int, correlation: float) -> Tensor:
    """Covariance with unit variances in which x_1, y_1 and x_2, y_2 are correlated and nothing else."""
    covariance = torch.eye(dx + dy, dtype=torch.float64)
    for i in range(2):
        covariance[i, dx + i] = covariance[dx + i, i] = correlation
    return covariance


def common_factor(dx: int, dy: int, noise: float) -> Tensor:
    """Covariance of x_i = s + noise, y_j = s + noise with one standard normal signal s and independent noises."""
    return torch.ones(dx + dy, dx + dy, dtype=torch.float64) + noise**2 * torch.eye(dx + dy, dtype=torch.float64)


def information(covariance: Tensor, dx: int) -> Estimate:
    """I(x; y) of N(0, covariance), x the first dx coordinates."""
    return mutual_information(
        Gaussian(torch.zeros(len(covariance)), covariance, parts={"x": dx, "y": len(covariance) - dx}), "x", "y"
    )


_PAIRED = (
    (1, 1, 0.0), (1, 1, 0.1), (1, 1, 0.5), (1, 1, 1.0), (1, 1, 2.0), (1, 1, 5.0), (2, 2, 1.0), (3, 3, 0.0), (3, 3, 1.0),
    (3, 3, 3.0), (5, 5, 1.0), (10, 10, 0.0), (10, 10, 1.0), (25, 25, 2.0), (50, 50, 1.0), (1, 3, 0.5), (3, 1, 0.5),
    (2, 5, 1.0),
)  # fmt: skip

for _dx, _dy, _mi in _PAIRED:
    add(
        f"gaussian-{_dx}x{_dy}-{_mi}",
        "mutual_information",
        "continuous",
        (_dx, _dy),
        draw=paired_draw(_mi, _dx, _dy),
        find=functools.partial(closed_form, _mi),
        description=f"standard normal, min(dx, dy) = {min(_dx, _dy)} independent correlated pairs of equal strength",
        source=_SOURCE,
        gaussian=True,
    )

_COVARIANCES = {
    "gaussian-dense-1x1": (dense(2, 0.5), 1, "all correlations are 0.5"),
    "gaussian-dense-2x2": (dense(4, 0.5), 2, "all correlations are 0.5"),
    "gaussian-dense-3x3": (dense(6, 0.5), 3, "all correlations are 0.5"),
    "gaussian-dense-5x5": (dense(10, 0.5), 5, "all correlations are 0.5"),
    "gaussian-dense-25x25": (dense(50, 0.5), 25, "all correlations are 0.5"),
    "gaussian-dense-3x2-strong": (dense(5, 0.9), 3, "all correlations are 0.9"),
    "gaussian-sparse-2x2": (two_pairs(2, 2, 0.8), 2, "two pairs of correlation 0.8, the rest independent"),
    "gaussian-sparse-3x3": (two_pairs(3, 3, 0.8), 3, "two pairs of correlation 0.8, the rest independent"),
    "gaussian-sparse-5x5": (two_pairs(5, 5, 0.8), 5, "two pairs of correlation 0.8, the rest independent"),
    "gaussian-factor-2x3": (common_factor(2, 3, 0.5), 2, "one common factor under noise of deviation 0.5"),
}

for _name, (_covariance, _dx, _what) in _COVARIANCES.items():
    add(
        _name,
        "mutual_information",
        "continuous",
        (_dx, len(_covariance) - _dx),
        draw=joint_draw(_covariance, _dx, len(_covariance) - _dx),
        find=functools.partial(information, _covariance, _dx),
        description=f"Gaussian: {_what}",
        source=_SOURCE,
        gaussian=True,
    )
