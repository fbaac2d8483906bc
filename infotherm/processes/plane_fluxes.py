"""Exponentially fitted finite volumes in the plane: a diffusion of two coordinates as jumps between nodes of a grid.

Along each axis the fluxes are those of `exponential_fitting`. The grid is one of coordinates y with x = R y, in which D
is diagonal; where D mixes coordinates and does not depend on the state, R are its eigenvectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.rules import gauss_legendre
from infotherm.processes.base import DiffusionProcess
from infotherm.processes.exponential_fitting import LineGrid, bernoulli

Array = np.ndarray

_EMPTY = 1e-200


@dataclass(frozen=True)
class PlaneFluxes:
    """A process of two coordinates on the nodes of a grid (n_1, n_2).

    Attributes
    ----------
    process
        The diffusion.
    axes
        The two axes.
    frame
        R, shape (2, 2).
    """

    process: DiffusionProcess
    axes: tuple[LineGrid, LineGrid]
    frame: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """How many nodes there are along each axis."""
        return self.axes[0].count, self.axes[1].count

    @cached_property
    def nodes(self) -> Tensor:
        """The states x at the nodes, shape (n_1, n_2, 2)."""
        lines = [torch.from_numpy(axis.nodes) for axis in self.axes]
        return torch.stack(torch.meshgrid(*lines, indexing="ij"), -1) @ self.frame.T

    def rates(self, t: float) -> list[tuple[Array, Array, Array]]:
        """For each axis the rates up and down between neighbours and the affinities log(up / down)."""
        own = self.diffusion(self.nodes, t)
        found = []
        for axis, grid in enumerate(self.axes):
            ring = grid.period is not None
            exponent = self._exponents(axis, t)
            here = own[..., axis]
            left = here if ring else here.narrow(axis, 0, grid.count - 1)
            right = here.roll(-1, axis) if ring else here.narrow(axis, 1, grid.count - 1)
            left, right = left.numpy(), right.numpy()
            scale = grid.spacing**-2
            up, down = scale * left * bernoulli(-exponent), scale * right * bernoulli(exponent)
            found.append((up, down, exponent + np.log(left / right)))
        return found

    def _exponents(self, axis: int, t: float) -> Array:
        """The integral of b_i / D_ii from every node to the next one along axis i."""
        grid = self.axes[axis]
        places, weights = gauss_legendre(2, 0.0, 1.0)
        lines = [torch.from_numpy(line.nodes) for line in self.axes]
        if grid.period is None:
            lines[axis] = lines[axis][:-1]
        y = torch.stack(torch.meshgrid(*lines, indexing="ij"), -1)[..., None, :].repeat(1, 1, len(places), 1)
        y[..., axis] += grid.spacing * places
        x = y @ self.frame.T
        drift = (self.process.drift(x.reshape(-1, 2), t).reshape(x.shape) @ self.frame)[..., axis]
        slope = drift / self.diffusion(x, t)[..., axis]
        return (grid.spacing * (slope @ weights)).numpy()

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        """The diagonal of D in the frame at states x (..., 2), shape (..., 2).

        Raises
        ------
        ValueError
            When D is not diagonal there.
        """
        if self.process.additive:
            matrix = self.process.diffusion_matrix(t, 2).to(x)
        else:
            matrix = self.process.diffusion_matrix_at(x.reshape(-1, 2), t).reshape(*x.shape[:-1], 2, 2)
        turned = self.frame.T @ matrix @ self.frame
        own = turned.diagonal(dim1=-2, dim2=-1)
        if bool((turned[..., 0, 1].abs() > 1e-9 * own.amin(-1)).any()):
            raise ValueError(
                "a grid in the plane needs a diffusion matrix that is diagonal, or the same (up to factors of its "
                "eigenvectors) for all states and times, on coordinates without period"
            )
        return own.expand(x.shape)

    def generator(self, rates: list[tuple[Array, Array, Array]]) -> Any:
        """The matrix A of dm/dt = A m for the masses m of the flattened nodes, in sparse columns."""
        from scipy.sparse import coo_matrix

        index = np.arange(np.prod(self.shape)).reshape(self.shape)
        rows, columns, values = [], [], []
        for axis, (up, down, _) in enumerate(rates):
            here, there = self.neighbours(axis, index)
            for source, target, rate in ((here, there, up), (there, here, down)):
                rows += [target.ravel(), source.ravel()]
                columns += [source.ravel(), source.ravel()]
                values += [rate.ravel(), -rate.ravel()]
        size = index.size
        matrix = coo_matrix(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(size, size)
        )
        return matrix.tocsc()

    def neighbours(self, axis: int, values: Array) -> tuple[Array, Array]:
        """Values at the two nodes of every pair along an axis."""
        if self.axes[axis].period is not None:
            return values, np.roll(values, -1, axis)
        count = values.shape[axis]
        return values.take(range(count - 1), axis), values.take(range(1, count), axis)

    def production(self, rates: list[tuple[Array, Array, Array]], masses: Array) -> Array:
        """Entropy production rate and rate of the medium's entropy, nats per unit of time, shape (2,)."""
        total = np.zeros(2)
        for axis, (up, down, affinity) in enumerate(rates):
            here, there = self.neighbours(axis, masses)
            current = up * here - down * there
            filled = (here > _EMPTY) & (there > _EMPTY)
            ratio = np.log(np.where(filled, here, 1.0) / np.where(filled, there, 1.0))
            total += [np.where(filled, current * (ratio + affinity), 0.0).sum(), (current * affinity).sum()]
        return total


def frame_of(process: DiffusionProcess, t: float) -> Tensor:
    """The frame in which D is diagonal: the coordinates themselves wherever they will do."""
    one = torch.eye(2, dtype=torch.float64)
    if not process.additive:
        return one
    matrix = process.diffusion_matrix(t, 2).to(one)
    if bool(matrix[0, 1] == 0):
        return one
    if getattr(process, "period", None) is not None:
        return one  # the fluxes refuse it
    return torch.linalg.eigh(matrix).eigenvectors
