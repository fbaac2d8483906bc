"""Mass and momentum on the faces of space-time cells, and the projection onto those that conserve mass."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Faces = list[Tensor]  # density on the faces in time, then the momentum along each axis on the faces across it


class StaggeredGrid:
    """A box in time and space cut into equal cells; densities and momenta live on the faces between them.

    Nothing flows through the walls. Fields on faces are lists: the density, shape (T + 1, *space), then the momentum
    along each axis, with one entry more than cells on that axis.

    Parameters
    ----------
    shape
        Cells in time and along each axis of space.
    spacings
        Their lengths.
    """

    def __init__(self, shape: Sequence[int], spacings: Sequence[float], *, device: torch.device | str = "cpu") -> None:
        self.shape, self.spacings = tuple(shape), tuple(spacings)
        self._bases = [_cosines(n, device) for n in self.shape]
        total = torch.zeros(self.shape, dtype=torch.float64, device=device)
        for axis, (n, spacing) in enumerate(zip(self.shape, self.spacings, strict=True)):
            waves = torch.arange(n, dtype=torch.float64, device=device)
            values = (2 * torch.sin(math.pi * waves / (2 * n)) / spacing).square()
            total = total + values.reshape([-1 if a == axis else 1 for a in range(len(self.shape))])
        # the constant mode has no image: whatever is summed over the box is conserved
        total.view(-1)[0] = math.inf
        self._inverse = 1 / total

    @property
    def volume(self) -> float:
        """Of one cell of space-time."""
        return math.prod(self.spacings)

    def divergence(self, faces: Faces) -> Tensor:
        """d rho / dt + div m of every cell, shape (T, *space)."""
        return torch.stack(
            [u.diff(dim=axis) / h for axis, (u, h) in enumerate(zip(faces, self.spacings, strict=True))]
        ).sum(0)

    def gradient(self, potential: Tensor) -> Faces:
        """Differences between neighbouring cells, 0 on the walls."""
        return [_walled(potential.diff(dim=axis) / h, axis) for axis, h in enumerate(self.spacings)]

    def poisson(self, source: Tensor) -> Tensor:
        """The potential f of mean 0 with -div grad f = source, up to the source's mean."""
        for axis, basis in enumerate(self._bases):
            source = _along(basis, source, axis)
        source = source * self._inverse
        for axis, basis in enumerate(self._bases):
            source = _along(basis.mT, source, axis)
        return source

    def conserving(self, faces: Faces) -> Faces:
        """The nearest faces that conserve mass and have the same walls."""
        correction = self.gradient(self.poisson(self.divergence(faces)))
        return [u + g for u, g in zip(faces, correction, strict=True)]


def to_centres(faces: Faces) -> list[Tensor]:
    """Means of opposite faces of every cell, each of shape (T, *space)."""
    return [_means(u, axis) for axis, u in enumerate(faces)]


def from_centres(values: Sequence[Tensor]) -> Faces:
    """The adjoint of `to_centres` on faces within, 0 on the walls."""
    return [_walled(_means(v, axis), axis) for axis, v in enumerate(values)]


def sides(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The lower and upper faces of every cell along an axis."""
    n = values.shape[axis] - 1
    return values.narrow(axis, 0, n), values.narrow(axis, 1, n)


def _means(values: Tensor, axis: int) -> Tensor:
    lower, upper = sides(values, axis)
    return (lower + upper) / 2


def _walled(values: Tensor, axis: int) -> Tensor:
    shape = [2 + n if a == axis else n for a, n in enumerate(values.shape)]
    walled = values.new_zeros(shape)
    walled.narrow(axis, 1, values.shape[axis]).copy_(values)
    return walled


def _cosines(n: int, device: torch.device | str) -> Tensor:
    """The orthonormal cosine basis (rows) that diagonalises second differences with free ends."""
    k = torch.arange(n, dtype=torch.float64, device=device)
    basis = torch.cos(math.pi * k[:, None] * (k + 0.5) / n) * math.sqrt(2 / n)
    basis[0] = math.sqrt(1 / n)
    return basis


def _along(matrix: Tensor, values: Tensor, axis: int) -> Tensor:
    before, n = math.prod(values.shape[:axis]), values.shape[axis]
    if axis == values.ndim - 1:
        return values @ matrix.mT
    return (matrix @ values.reshape(before, n, -1)).reshape(values.shape)
