"""Multivariate Student-t: dependent also where nothing is correlated, with tails down to Cauchy's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.testing.tasks.gaussian import dense, information, two_pairs
from infotherm.testing.tasks.task import Draw, Task, closed_form, normal

_SOURCE = (
    "Arellano-Valle, Contreras-Reyes, Genton, Scand. J. Stat. 40 (2013) 42; "
    "Czyz et al., Beyond Normal, NeurIPS 2023: Gaussian information + f(v) + f(v+m+n) - f(v+m) - f(v+n)"
)


def excess_information(degrees: float, dx: int, dy: int) -> float:
    """What the common radius of a Student-t adds to the information of the Gaussian with the same dispersion, in nats.

    f(v) + f(v + dx + dy) - f(v + dx) - f(v + dy) with f(s) = log Gamma(s/2) - (s/2) psi(s/2): it depends on the
    degrees of freedom v and the two sizes only, and falls to zero as v grows. It is h(x) + h(y) - h(x, y) of
    h = (log |C|) / 2 - log[Gamma((v+d)/2) / (Gamma(v/2) (v pi)^(d/2))] + (v+d)/2 [psi((v+d)/2) - psi(v/2)].

    Examples
    --------
    >>> excess_information(2.0, 5, 5)
    0.448150676915
    """
    half = torch.tensor([degrees, degrees + dx + dy, degrees + dx, degrees + dy], dtype=torch.float64) / 2
    f = torch.lgamma(half) - half * torch.digamma(half)
    return float(f[0] + f[1] - f[2] - f[3])


def student_draw(dispersion: Tensor, degrees: int, *dims: int) -> Draw:
    """Samples of L z sqrt(v) / |w| with w of v standard normal numbers, cut into parts of these sizes."""
    factor = torch.linalg.cholesky(dispersion)

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        z = normal(generator, n, sum(dims)) @ factor.mT.to(generator.device)
        radius = normal(generator, n, degrees).norm(dim=1, keepdim=True)
        return (z * (math.sqrt(degrees) / radius)).split(dims, dim=1)

    return draw


def student_information(dispersion: Tensor, degrees: float, dx: int) -> Estimate:
    """I(x; y) of a Student-t with this dispersion, x the first dx coordinates."""
    excess = excess_information(degrees, dx, len(dispersion) - dx)
    linear = float(information(dispersion, dx))
    return closed_form(linear + excess, error=1e-13, gaussian_part=linear, excess=excess)


_CASES = (
    ("identity", 1, 1, 1), ("identity", 1, 1, 2), ("identity", 1, 1, 5), ("identity", 2, 2, 1), ("identity", 2, 2, 3),
    ("identity", 3, 3, 2), ("identity", 5, 5, 2), ("identity", 2, 3, 5), ("dense", 1, 1, 1), ("dense", 1, 1, 3),
    ("dense", 2, 2, 5), ("dense", 3, 3, 3), ("dense", 5, 5, 2), ("sparse", 2, 2, 2), ("sparse", 3, 3, 3),
    ("sparse", 3, 3, 10), ("sparse", 5, 5, 5),
)  # fmt: skip


def dispersion_of(sort: str, dx: int, dy: int) -> Tensor:
    """The dispersion matrix of a task: "identity", "dense" (correlations 0.5) or "sparse" (two pairs of 0.8)."""
    if sort == "identity":
        return torch.eye(dx + dy, dtype=torch.float64)
    return dense(dx + dy, 0.5) if sort == "dense" else two_pairs(dx, dy, 0.8)


def family() -> list[Task]:
    """The Student-t tasks of mutual information."""
    return [_of(*case) for case in _CASES]


def _of(sort: str, dx: int, dy: int, degrees: int) -> Task:
    dispersion = dispersion_of(sort, dx, dy)
    return Task(
        name=f"student-{sort}-{dx}x{dy}-dof{degrees}",
        quantity="mutual_information",
        data="continuous",
        dims=(dx, dy),
        description=f"Student-t of {degrees} degrees of freedom, {sort} dispersion",
        source=_SOURCE,
        draw=student_draw(dispersion, degrees, dx, dy),
        find=lambda: student_information(dispersion, degrees, dx),
    )
