"""Additive uniform noise: bounded data with edges, where both regimes of the noise have a closed form."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from infotherm.testing.tasks.task import Draw, add, closed_form, uniform

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


for _width, _dim in ((0.02, 1), (0.1, 1), (0.5, 1), (0.75, 1), (2.0, 1), (0.3, 2), (0.75, 3)):
    add(
        f"uniform-noise-{_width}" + (f"-{_dim}x{_dim}" if _dim > 1 else ""),
        "mutual_information",
        "continuous",
        (_dim, _dim),
        draw=uniform_noise_draw(_width, _dim),
        find=functools.partial(closed_form, _dim * uniform_noise_information(_width)),
        description=f"{_dim} independent x uniform on [0, 1], y = x + noise uniform on [-{_width}, {_width}]",
        source=_SOURCE,
    )
