"""Images of other tasks under injective maps: the same information in data that are harder to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from infotherm.testing.tasks import transforms as maps
from infotherm.testing.tasks.task import Task

Map = Callable[[Tensor], Tensor]
_LINEAR = (maps.rotate, maps.embed)  # these keep a Gaussian Gaussian


def image(name: str, base: Task, map_x: Map | None, map_y: Map | None = None) -> Task:
    """The task of map_x(x), map_y(y) for the pairs x, y of `base`; None leaves that side as it is.

    Both maps have to be injective: the truth is that of `base`.

    Examples
    --------
    >>> from infotherm.testing import tasks
    >>> base = tasks.get("gaussian-1x1-1.0")
    >>> image("exponentials", base, torch.exp, torch.exp).truth.value.item()
    1.0
    """

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = base.draw(n, generator)
        return map_x(x) if map_x else x, map_y(y) if map_y else y

    shapes = [f(torch.zeros(1, d, dtype=torch.float64)).shape[1] if f else d
              for f, d in zip((map_x, map_y), base.dims, strict=True)]  # fmt: skip
    said = [f.__name__ if f else "itself" for f in (map_x, map_y)]
    return Task(
        name=name,
        quantity=base.quantity,
        data=base.data,
        gaussian=base.gaussian and all(f in (None, *_LINEAR) for f in (map_x, map_y)),
        dims=tuple(shapes),
        description=f"{base.name} through injective maps: x by {said[0]}, y by {said[1]}",
        source=f"{base.source}; I(f(x); g(y)) = I(x; y) for injective maps",
        draw=draw,
        find=lambda: base.truth,
    )


_IMAGES: dict[str, tuple[str, Map | None, Map | None]] = {
    "asinh-student-1x1-dof1": ("student-identity-1x1-dof1", maps.asinh, maps.asinh),
    "asinh-student-2x2-dof1": ("student-identity-2x2-dof1", maps.asinh, maps.asinh),
    "asinh-student-3x3-dof2": ("student-identity-3x3-dof2", maps.asinh, maps.asinh),
    "asinh-student-dense-5x5-dof2": ("student-dense-5x5-dof2", maps.asinh, maps.asinh),
    "half-cube-gaussian-1x1": ("gaussian-1x1-1.0", maps.half_cube, maps.half_cube),
    "half-cube-gaussian-5x5": ("gaussian-5x5-1.0", maps.half_cube, maps.half_cube),
    "half-cube-student-sparse-3x3-dof3": ("student-sparse-3x3-dof3", maps.half_cube, maps.half_cube),
    "normal-cdf-gaussian-1x1": ("gaussian-1x1-1.0", maps.normal_cdf, maps.normal_cdf),
    "normal-cdf-gaussian-3x3": ("gaussian-3x3-1.0", maps.normal_cdf, maps.normal_cdf),
    "normal-cdf-gaussian-dense-5x5": ("gaussian-dense-5x5-0.5", maps.normal_cdf, maps.normal_cdf),
    "bimodal-gaussian-1x1": ("gaussian-1x1-1.0", maps.bimodal, maps.bimodal),
    "bimodal-gaussian-3x3": ("gaussian-3x3-1.0", maps.bimodal, maps.bimodal),
    "bimodal-gaussian-1x1-one-side": ("gaussian-1x1-0.5", maps.bimodal, None),
    "wiggly-gaussian-1x1": ("gaussian-1x1-1.0", maps.wiggly, maps.wiggly_other),
    "wiggly-gaussian-sparse-3x3": ("gaussian-sparse-3x3", maps.wiggly, maps.wiggly_other),
    "spiral-gaussian-2x2": ("gaussian-2x2-1.0", maps.spiral, maps.spiral),
    "spiral-gaussian-sparse-3x3": ("gaussian-sparse-3x3", maps.spiral, maps.spiral),
    "spiral-gaussian-5x5": ("gaussian-5x5-1.0", maps.spiral, maps.spiral),
    "spiral-normal-cdf-gaussian-3x3": ("gaussian-3x3-1.0", maps.spiral_cdf, maps.spiral_cdf),
    "swiss-roll-gaussian-2x1": ("gaussian-1x1-1.0", maps.normal_swiss_roll, maps.normal_cdf),
    "swiss-roll-gaussian-2x2": ("gaussian-1x1-0.5", maps.normal_swiss_roll, maps.normal_swiss_roll),
    "swiss-roll-uniform-2x1": ("uniform-noise-0.1", maps.swiss_roll, None),
    "rotated-gaussian-3x3": ("gaussian-3x3-1.0", maps.rotate, maps.rotate),
    "rotated-gaussian-sparse-5x5": ("gaussian-sparse-5x5", maps.rotate, maps.rotate),
    "rotated-uniform-noise-2x2": ("uniform-noise-0.3-2x2", maps.rotate, maps.rotate),
    "embedded-gaussian-4x4": ("gaussian-2x2-1.0", maps.embed, maps.embed),
    "moment-curve-gaussian-3x1": ("gaussian-1x1-1.0", maps.moment_curve, None),
}


def family(bases: Mapping[str, Task]) -> list[Task]:
    """The images of these tasks, by name."""
    return [image(name, bases[base], map_x, map_y) for name, (base, map_x, map_y) in _IMAGES.items()]
