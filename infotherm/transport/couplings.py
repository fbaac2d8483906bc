"""Entropic couplings of two finite laws: costs, the coupling that potentials give, and how far it is from optimal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from infotherm.core.tensors import chunks

STORED = 2**25  # costs kept in memory; beyond it they are computed anew, block by block


class Costs:
    """A cost matrix (N, M), or the points x (N, D), y (M, D) whose squared distances it holds.

    Squared distances of more than `STORED` pairs are never held at once.
    """

    def __init__(self, *, matrix: Tensor | None = None, x: Tensor | None = None, y: Tensor | None = None) -> None:
        self._x, self._y = x, y
        if matrix is None:
            assert x is not None and y is not None
            self.shape = (len(x), len(y))
            if len(x) * len(y) <= STORED:
                matrix = _squared_distances(x, y)
        else:
            self.shape = (matrix.shape[0], matrix.shape[1])
        self.matrix = matrix
        like = matrix if matrix is not None else x
        assert like is not None
        self.dtype, self.device = like.dtype, like.device

    @property
    def stored(self) -> bool:
        return self.matrix is not None

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Ranges of rows and their costs; the only one is the whole matrix where that is stored."""
        if self.matrix is not None:
            yield slice(0, self.shape[0]), self.matrix
            return
        assert self._x is not None and self._y is not None
        for rows in chunks(self.shape[0], max(1, STORED // 4 // self.shape[1])):
            yield rows, _squared_distances(self._x[rows], self._y)

    def transposed(self) -> Costs:
        if self.matrix is not None:
            return Costs(matrix=self.matrix.mT.contiguous())
        return Costs(x=self._y, y=self._x)

    def kept(self, rows: Tensor, columns: Tensor) -> Costs:
        """The costs between the atoms that these masks keep."""
        if bool(rows.all()) and bool(columns.all()):
            return self
        if self.matrix is not None:
            return Costs(matrix=self.matrix[rows][:, columns])
        assert self._x is not None and self._y is not None
        return Costs(x=self._x[rows], y=self._y[columns])

    def between(self, u: Tensor, v: Tensor) -> Tensor:
        """u^T C v."""
        return torch.stack([u[rows] @ (block @ v) for rows, block in self.blocks()]).sum()

    def largest(self) -> float:
        return max(float(torch.stack(block.aminmax()).abs().max()) for _, block in self.blocks())


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square_()


def exponentials(x: Tensor) -> Tensor:
    """exp(x) in place, with 0 for what is so small that its square is not a normal number (denormals are slow)."""
    return torch.threshold_(x, math.log(torch.finfo(x.dtype).tiny) / 2, -math.inf).exp_()


class Coupling:
    """P_ij = a_i b_j exp((f_i + g_j - C_ij) / epsilon), g being such that the second marginal is b exactly.

    The pair (f, g) is dual feasible: `dual` is a lower bound of the entropic cost whatever f is.
    """

    def __init__(self, costs: Costs, a: Tensor, b: Tensor, f: Tensor, epsilon: float) -> None:
        self.costs, self.a, self.b, self.f, self.epsilon = costs, a, b, f, epsilon
        self.g, self.matrix = self._normalised()

    def _normalised(self) -> tuple[Tensor, Tensor | None]:
        top = torch.full_like(self.b, -math.inf)
        total = torch.zeros_like(self.b)
        kernel = None
        exponents = self.f / self.epsilon + self.a.log()
        for rows, block in self.costs.blocks():
            kernel = torch.sub(exponents[rows, None], block, alpha=1 / self.epsilon)
            highest = torch.maximum(top, kernel.amax(0))
            kernel = exponentials(kernel.sub_(highest))
            total = total * (top - highest).exp() + kernel.sum(0)
            top = highest
        g = -self.epsilon * (top + total.log())
        if not self.costs.stored:
            return g, None
        assert kernel is not None
        return g, kernel.mul_(self.b / total)

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Ranges of rows and their part of P."""
        if self.matrix is not None:
            yield slice(0, len(self.a)), self.matrix
            return
        for rows, block in self.costs.blocks():
            kernel = torch.sub((self.f[rows, None] + self.g) / self.epsilon, block, alpha=1 / self.epsilon)
            yield rows, exponentials(kernel).mul_(self.b).mul_(self.a[rows, None])

    def times(self, v: Tensor) -> Tensor:
        """P v for a vector (M,) or columns (M, K)."""
        return torch.cat([block @ v for _, block in self.blocks()])

    def transposed_times(self, u: Tensor) -> Tensor:
        """P^T u."""
        return torch.stack([block.mT @ u[rows] for rows, block in self.blocks()]).sum(0)

    def transported(self) -> float:
        """<P, C>, without epsilon times the divergence."""
        pairs = zip(self.blocks(), self.costs.blocks(), strict=True)
        return sum(float((block * cost).sum()) for (_, block), (_, cost) in pairs)

    @property
    def dual(self) -> float:
        return float(self.f @ self.a + self.g @ self.b)

    def row_transform(self) -> Tensor:
        """The f that makes the first marginal exact for this g, in the log domain."""
        return row_transform(self.costs, self.b, self.g, self.epsilon)


def row_transform(costs: Costs, b: Tensor, g: Tensor, epsilon: float) -> Tensor:
    """f_i = -epsilon log sum_j b_j exp((g_j - C_ij) / epsilon)."""
    parts = []
    for _, block in costs.blocks():
        kernel = torch.sub(g / epsilon, block, alpha=1 / epsilon)
        highest = kernel.amax(1, keepdim=True)
        parts.append(-epsilon * (highest[:, 0] + (exponentials(kernel.sub_(highest)) @ b).log()))
    return torch.cat(parts)


class Certificate(NamedTuple):
    """Dual value <= entropic cost <= dual value + gap, by a coupling with the exact marginals.

    The coupling is diag(shrink) P + outer(left, right) / sum(left): rows that weigh too much are shrunk, and what is
    then missing of both marginals is coupled independently.
    """

    dual: float
    gap: float
    rounding: float
    blur: float  # the relative accuracy to which rounded exponents let P be known, and so its marginals
    shrink: Tensor
    left: Tensor
    right: Tensor


def certificate(coupling: Coupling, largest: float) -> Certificate:
    """How far a coupling is from optimal, with the largest cost for the rounding errors."""
    a, b, f, g, epsilon = coupling.a, coupling.b, coupling.f, coupling.g, coupling.epsilon
    rows = coupling.times(torch.ones_like(b))
    shrink = torch.where(rows > a, a / rows, 1.0)
    left = (a - rows).clamp(min=0.0)
    right = (b - coupling.transposed_times(shrink)).clamp(min=0.0)
    unit = torch.finfo(a.dtype).eps
    sizes = largest + float(f.abs().max()) + float(g.abs().max())
    rounding = unit * (8 * sizes + epsilon * sum(coupling.costs.shape))
    missing = float(left.sum())
    gap = epsilon * float(torch.minimum(rows, a) @ shrink.log()) - float(left @ f + right @ g)
    if missing > 0 and float(right.sum()) > 0:
        # the objective is convex: that of the mixture is at most the mixture of those of its two parts
        gap += float(coupling.costs.between(left, right)) / missing
        gap += epsilon * (_surprise(left, a) + _surprise(right, b) - 2 * missing * math.log(missing))
    if 0 < missing < 1:
        gap -= epsilon * (1 - missing) * math.log1p(-missing)
    return Certificate(coupling.dual, max(gap, 0.0), rounding, 4 * unit * sizes / epsilon, shrink, left, right)


def _surprise(part: Tensor, whole: Tensor) -> float:
    return float(torch.special.xlogy(part, part / whole).sum())
