"""Gaussian pairs: independent, in pairs, dense, sparse, through a common factor, at several strengths."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.distributions import Gaussian
from infotherm.information import mutual_information
from infotherm.testing.tasks.task import Draw, Task, closed_form, normal

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
_DENSE = ((1, 1, 0.5), (2, 2, 0.5), (3, 3, 0.5), (5, 5, 0.5), (25, 25, 0.5), (3, 2, 0.9))
_SPARSE = ((2, 2), (3, 3), (5, 5))


def family() -> list[Task]:
    """The Gaussian tasks of mutual information."""
    laws = {
        f"gaussian-dense-{dx}x{dy}-{c}": (dx, dense(dx + dy, c), f"all correlations are {c}") for dx, dy, c in _DENSE
    }
    laws |= {
        f"gaussian-sparse-{dx}x{dy}": (dx, two_pairs(dx, dy, 0.8), "two pairs of correlation 0.8") for dx, dy in _SPARSE
    }
    laws["gaussian-factor-2x3"] = (2, common_factor(2, 3, 0.5), "one common factor under noise of deviation 0.5")
    return [_paired(dx, dy, mi) for dx, dy, mi in _PAIRED] + [_of(name, *law) for name, law in laws.items()]


def _paired(dx: int, dy: int, mi: float) -> Task:
    return Task(
        name=f"gaussian-{dx}x{dy}-{mi}",
        quantity="mutual_information",
        data="continuous",
        gaussian=True,
        dims=(dx, dy),
        description=f"standard normal, {min(dx, dy)} independent correlated pairs of equal strength",
        source=_SOURCE,
        draw=paired_draw(mi, dx, dy),
        find=lambda: closed_form(mi),
    )


def _of(name: str, dx: int, covariance: Tensor, what: str) -> Task:
    dims = (dx, len(covariance) - dx)
    return Task(
        name=name,
        quantity="mutual_information",
        data="continuous",
        gaussian=True,
        dims=dims,
        description=f"Gaussian: {what}",
        source=_SOURCE,
        draw=joint_draw(covariance, *dims),
        find=lambda: information(covariance, dx),
    )
