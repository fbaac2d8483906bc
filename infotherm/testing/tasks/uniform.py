"""Additive uniform noise: bounded data with edges, where both regimes of the noise have a closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infotherm.testing.tasks.task import Draw, Task, closed_form, uniform

_SOURCE = "Y has a trapezoidal density: h(Y) - log(2 e); Czyz et al., Beyond Normal, NeurIPS 2023, appendix"


def uniform_noise_information(width: float) -> float:
    """I(X; X + N) of X uniform on [0, 1] and N uniform on [-width, width], in nats.

    width - log(2 width) up to width 1/2 (the plateau of the trapezoid has height 1), 1 / (4 width) above.

    Examples
    --------
    >>> uniform_noise_information(0.5), uniform_noise_information(2.0)
    (0.5, 0.125)
    """
    return width - math.log(2 * width) if width <= 0.5 else 1 / (4 * width)


def uniform_noise_draw(width: float, dim: int) -> Draw:
    """Samples of `dim` independent pairs X, X + N."""

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = uniform(generator, n, dim)
        return x, x + width * (2 * uniform(generator, n, dim) - 1)

    return draw


_CASES = ((0.02, 1), (0.1, 1), (0.5, 1), (0.75, 1), (2.0, 1), (0.3, 2), (0.75, 3))


def family() -> list[Task]:
    """The tasks of additive uniform noise."""
    return [_of(width, dim) for width, dim in _CASES]


def _of(width: float, dim: int) -> Task:
    return Task(
        name=f"uniform-noise-{width}" + (f"-{dim}x{dim}" if dim > 1 else ""),
        quantity="mutual_information",
        data="continuous",
        dims=(dim, dim),
        description=f"{dim} independent x uniform on [0, 1], y = x + noise uniform on [-{width}, {width}]",
        source=_SOURCE,
        draw=uniform_noise_draw(width, dim),
        find=lambda: closed_form(dim * uniform_noise_information(width)),
    )
