"""Dependence without a line: noisy curves, crossing and clustered mixtures; the truths are integrals."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infotherm.testing.tasks.task import Draw, Task, choice, normal, quadrature, uniform

_CURVE = "h(y) - log(2 pi e s^2) / 2, h(y) by the trapezoidal rule over the convolved density, to 1e-13"
_PLANE = "h(x) + h(y) - h(x, y) by the trapezoidal rule on two grids that agree to 2e-15"

CROSS_CORRELATION = 0.95
CLUSTER_WEIGHTS = (0.3, 0.2, 0.3, 0.2)
CLUSTER_MEANS = ((-2.0, -2.0), (0.0, 0.5), (2.0, 1.5), (1.0, -2.0))
CLUSTER_DEVIATION = 0.5


def parabola(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """x uniform on [-1, 1], y = x^2 + 0.1 noise."""
    x = 2 * uniform(generator, n, 1) - 1
    return x, x.square() + 0.1 * normal(generator, n, 1)


def sinusoid(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """x uniform on [0, 1], y = sin(4 pi x) + 0.2 noise."""
    x = uniform(generator, n, 1)
    return x, (4 * math.pi * x).sin() + 0.2 * normal(generator, n, 1)


def circle(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A point of the unit circle with 0.1 noise in both coordinates."""
    angle = 2 * math.pi * uniform(generator, n, 1)
    return angle.cos() + 0.1 * normal(generator, n, 1), angle.sin() + 0.1 * normal(generator, n, 1)


def cross(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Standard normal with correlation 0.95 or -0.95, by a fair coin."""
    x, noise = normal(generator, n, 1), normal(generator, n, 1)
    sign = torch.where(uniform(generator, n, 1) < 0.5, -1.0, 1.0).double()
    return x, sign * CROSS_CORRELATION * x + math.sqrt(1 - CROSS_CORRELATION**2) * noise


def clusters(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Four round clusters of deviation 0.5 in the plane."""
    index = choice(generator, n, torch.tensor(CLUSTER_WEIGHTS, dtype=torch.float64))
    centres = torch.tensor(CLUSTER_MEANS, dtype=torch.float64, device=generator.device)[index]
    points = centres + CLUSTER_DEVIATION * normal(generator, n, 2)
    return points[:, :1], points[:, 1:]


def family() -> list[Task]:
    """The tasks of mutual information whose truth is an integral."""
    return [
        _of("noisy-parabola", parabola, 1.02941854376573, 1e-13, _CURVE),
        _of("noisy-sinusoid", sinusoid, 1.1542357630395568, 1e-13, _CURVE),
        _of("noisy-circle", circle, 0.6788551906667, 2e-12, f"{_CURVE}; h(x, y) from the Rice density of the radius"),
        _of("crossing-gaussians", cross, 0.663444122847025, 1e-13, _PLANE),
        _of("four-clusters", clusters, 0.519343892709026, 1e-13, _PLANE),
    ]


def _of(name: str, draw: Draw, value: float, error: float, source: str) -> Task:
    return Task(
        name=name,
        quantity="mutual_information",
        data="continuous",
        dims=(1, 1),
        description=(draw.__doc__ or name).rstrip("."),
        source=source,
        draw=draw,
        find=lambda: quadrature(value, error=error),
    )
