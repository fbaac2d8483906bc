"""The primal-dual iteration for the dynamic transport problem on a staggered grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from infotherm.transport.staggered_grid import StaggeredGrid, from_centres, to_centres

_RELAXATION = 1.8  # any number below 2 converges; near 2 in about half of the iterations that 1 takes
_CHECKED_EVERY = 10
_NEWTON_STEPS = 8


@dataclass(frozen=True, eq=False)
class Flow:
    """Where the iteration ended.

    faces
        Density and momentum on the faces, which conserve mass (the density may be slightly negative).
    density
        At the centres of cells, nowhere negative; mass is conserved up to the residual.
    velocity
        Along each axis, at the centres of cells, also where there is no mass.
    potential
        phi at the centres of cells, up to a constant: at the optimum momentum = density * grad phi.
    residual
        How far the last step moved, relative to where it was.
    """

    faces: list[Tensor]
    density: Tensor
    velocity: list[Tensor]
    potential: Tensor
    iterations: int
    residual: float
    converged: bool


def solve_flow(
    grid: StaggeredGrid,
    start: Tensor,
    end: Tensor,
    *,
    tolerance: float,
    max_iterations: int,
    progress: Callable[[int, int], None],
) -> Flow:
    """The flow between two densities with the least sum over cells of |m|^2 / (2 rho), both averaged to the centres.

    A saddle point of <y, centres(U)> over U that conserve mass and y = (a, b) with a + |b|^2 / 2 <= 0 (the conjugate of
    the kinetic energy), by over-relaxed primal-dual steps. Lengths are best scaled so that the distance is about one.

    Source: Papadakis, Peyre and Oudet, SIAM J. Imaging Sci. 7, 212 (2014), Sections 3 and 4.5; Chambolle and Pock, J.
    Math. Imaging Vis. 40, 120 (2011); Condat, J. Optim. Theory Appl. 158, 460 (2013) for the relaxation.
    """
    steps = grid.shape[0]
    times = torch.linspace(0, 1, steps + 1, dtype=start.dtype, device=start.device)
    times = times.reshape(-1, *[1] * start.ndim)
    faces = [torch.lerp(start[None], end[None], times)]
    for axis in range(start.ndim):
        faces.append(start.new_zeros(steps, *[n + (a == axis) for a, n in enumerate(start.shape)]))
    faces = grid.conserving(faces)
    dual = [start.new_zeros(grid.shape) for _ in faces]
    # densities are of this size where the mass is, and dual variables of size one
    step = 0.25 * float((start.square().sum() + end.square().sum()) / start.sum())
    dual_step = 0.99 / step
    pushed = turned = dual
    done, residual, converged = 0, math.inf, False
    while done < max_iterations and not converged:
        moved = grid.conserving([u - step * v for u, v in zip(faces, from_centres(dual), strict=True)])
        reflected = to_centres([2 * new - old for new, old in zip(moved, faces, strict=True)])
        pushed = [y + dual_step * u for y, u in zip(dual, reflected, strict=True)]
        turned = onto_paraboloid(pushed)
        done += 1
        if done % _CHECKED_EVERY == 0 or done == max_iterations:
            change = _size(moved, step, faces) + _size(turned, dual_step, dual)
            residual = math.sqrt(change / (_size(moved, step) + _size(turned, dual_step)))
            converged = residual <= tolerance
            progress(done, max_iterations)
        faces = [u + _RELAXATION * (new - u) for u, new in zip(faces, moved, strict=True)]
        dual = [y + _RELAXATION * (new - y) for y, new in zip(dual, turned, strict=True)]
    potential = -grid.poisson(grid.divergence(from_centres(dual)))
    density = (pushed[0] - turned[0]) / dual_step
    return Flow(faces, density, turned[1:], potential, done, residual, converged)


def onto_paraboloid(point: list[Tensor]) -> list[Tensor]:
    """The nearest (a, b) with a + |b|^2 / 2 <= 0; by Moreau the complement of the proximal map of |m|^2 / (2 rho).

    a - (w - 1) and b / w, where w >= 1 solves (w - 1 - a) w^2 = |b|^2 / 2: by Newton from above, where the cubic is
    convex and increasing.

    Examples
    --------
    >>> a, b = onto_paraboloid([torch.tensor([1.0, -3.0]), torch.tensor([2.0, 1.0])])
    >>> round((a + b**2 / 2)[0].item(), 6), a[1].item(), b[1].item()  # the second was inside
    (0.0, -3.0, 1.0)
    """
    time, space = point[0], point[1:]
    half = torch.stack(space).square().sum(0) / 2
    height = 1 + time
    root = half.pow(1 / 3)
    low = torch.minimum(root, (half / height.abs().clamp(min=torch.finfo(half.dtype).tiny)).sqrt())
    w = torch.where(height < 0, low, height.clamp(min=0.0) + root).clamp(min=1.0)
    for _ in range(_NEWTON_STEPS):
        w = w - ((w - height) * w.square() - half) / (w * (3 * w - 2 * height))
    w = torch.where(time + half > 0, w, 1.0)
    return [time - (w - 1), *(b / w for b in space)]


def _size(fields: list[Tensor], weight: float, origin: list[Tensor] | None = None) -> float:
    parts = fields if origin is None else [x - y for x, y in zip(fields, origin, strict=True)]
    return float(torch.stack([x.square().sum() for x in parts]).sum()) / weight
