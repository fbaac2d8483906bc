"""The dual potentials of entropic transport: Sinkhorn's scaling while it is fast, then Newton steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from infotherm.transport.couplings import Certificate, Costs, Coupling, certificate

Progress = Callable[[int, int], None]

_PER_ROUND = 40  # scalings on one kernel, before the potentials are absorbed and the gap is looked at
_MOST_ROUNDS = 4  # of scalings that may still be needed: Newton steps cost less than more of them
_LEVEL_RATIO = 4.0
_NEAR = 50.0  # mean costs of so many epsilon need no path
_LEVEL_GOAL = 1e-3  # the part of the mass that may be misplaced before epsilon is lowered
_MOST_PREPARED = 30
_LARGEST_DENSE = 4096  # up to this size the Hessian is factored where conjugate gradients are slow
_SMALL = 256  # and always up to this
_GRADIENT_STEPS = 40
_IDLE_ROUNDS = 12


class Solution(NamedTuple):
    """The last coupling, its certificate, the number of scalings and Newton steps, and whether the goal was met."""

    coupling: Coupling
    certificate: Certificate
    iterations: int
    converged: bool


class Solver:
    """Maximises the dual of entropic transport, as a concave function of f alone, for weights that are positive.

    Scalings are exact ascent in one potential at a time. Newton steps solve
    (diag(r) - P diag(1/b) P^T) df = epsilon (a - r) for the first marginal r of P, by conjugate gradients or, where
    these are slow, densely; rows should be the smaller side. A small epsilon is approached from above. Of a law with
    itself (`symmetric`) the two potentials are one, and averaged scalings halve the error at any epsilon.
    """

    def __init__(
        self,
        costs: Costs,
        a: Tensor,
        b: Tensor,
        *,
        tolerance: float,
        max_iterations: int,
        symmetric: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.costs, self.a, self.b, self.symmetric = costs, a, b, symmetric
        self.largest, self.mean = costs.largest(), abs(float(costs.between(a, b)))
        self.goal = tolerance * self.mean
        self.most, self.progress = max_iterations, progress
        self.spent = 0
        self.dense = len(a) <= _SMALL and costs.stored

    def solve(self, epsilon: float) -> Solution:
        """The coupling whose duality gap is within the goal, tolerance times the mean cost, or what rounding leaves."""
        f = torch.zeros_like(self.a)
        if not self.symmetric:
            for level in _levels(self.mean, epsilon):
                f = self._prepared(f, level)
        coupling = self._at(self._at(f, epsilon).row_transform(), epsilon)
        scaling, idle, best, highest = True, 0, math.inf, -math.inf
        while True:
            found = certificate(coupling, self.largest)
            if self.progress is not None:
                self.progress(min(self.spent, self.most), self.most)
            goal = max(self.goal, found.rounding, found.blur * self.mean)
            moved = found.gap < 0.9 * best or found.dual > highest + 1e-3 * found.gap
            idle = 0 if moved else idle + 1
            best, highest = min(best, found.gap), max(highest, found.dual)
            if found.gap <= goal or self.spent >= self.most or idle > _IDLE_ROUNDS:
                return Solution(coupling, found, self.spent, found.gap <= goal)
            if scaling:
                before = _misplaced(coupling)
                coupling = self._at(self._scaled(coupling), epsilon)
                shrunk = _misplaced(coupling) / before
                scaling = self.symmetric or (0 < shrunk and goal / found.gap >= shrunk**_MOST_ROUNDS)
            else:
                coupling = self._newton(coupling)

    def _at(self, f: Tensor, epsilon: float) -> Coupling:
        return Coupling(self.costs, self.a, self.b, f, epsilon)

    def _prepared(self, f: Tensor, epsilon: float) -> Tensor:
        """Potentials from which the next smaller epsilon may start."""
        coupling = self._at(self._at(f, epsilon).row_transform(), epsilon)
        for _ in range(_MOST_PREPARED):
            if _misplaced(coupling) < _LEVEL_GOAL or self.spent >= self.most:
                break
            coupling = self._newton(coupling)
        return coupling.f

    def _scaled(self, coupling: Coupling) -> Tensor:
        """f after a round of scalings on the kernel of a coupling."""
        a, b = self.a, self.b
        floor, ceiling = 1e-30, 1e30  # well within the exponents that the kernel itself was cut at
        if a.dtype != torch.float64:
            floor, ceiling = 1e-8, 1e8
        u, v = torch.ones_like(a), torch.ones_like(b)
        for _ in range(_PER_ROUND):
            self.spent += 1
            rows = coupling.times(v)
            wanted = (u * a / rows).sqrt() if self.symmetric else a / rows
            low, high = wanted.aminmax()
            if not (float(low) > floor and float(high) < ceiling):
                # beyond the range of the kernel: a scaling in the log domain
                other = (coupling.f + coupling.epsilon * u.log()).contiguous()
                f = self._at(other, coupling.epsilon).row_transform()
                return (f + other) / 2 if self.symmetric else f
            u = wanted
            # the second potential of a law with itself is the first one, which here is u times the kernel's own
            v = self._mirrored(coupling, u) if self.symmetric else b / coupling.transposed_times(u)
        return coupling.f + coupling.epsilon * u.log()

    def _mirrored(self, coupling: Coupling, u: Tensor) -> Tensor:
        return u * ((coupling.f - coupling.g) / coupling.epsilon).exp()

    def _newton(self, coupling: Coupling) -> Coupling:
        """A damped Newton step, or a scaling in the log domain where it does not help."""
        self.spent += 1
        epsilon = coupling.epsilon
        rows = coupling.times(torch.ones_like(self.b))
        residual = self.a - rows
        if bool((rows > math.sqrt(torch.finfo(rows.dtype).tiny)).all()):
            step = epsilon * self._direction(coupling, rows, residual)
            slope = float(step @ residual)
            size, before = 1.0, coupling.dual
            blur = 8 * torch.finfo(rows.dtype).eps * (self.largest + abs(before))
            while size > 1e-3 and math.isfinite(slope):
                tried = self._at(coupling.f + size * step, epsilon)
                if tried.dual >= before + 0.1 * size * slope - blur:
                    return self._extended(coupling, step, size, slope, tried)
                size /= 3
        return self._at(coupling.row_transform(), epsilon)

    def _extended(self, coupling: Coupling, step: Tensor, size: float, slope: float, found: Coupling) -> Coupling:
        """A longer step where the dual still rises along a straight line: parts that hardly hang together are far."""
        while found.dual - coupling.dual > 0.8 * size * slope and size < 1e6:
            size *= 4
            tried = self._at(coupling.f + size * step, coupling.epsilon)
            if not tried.dual > found.dual:
                break
            found = tried
        return found

    def _direction(self, coupling: Coupling, rows: Tensor, residual: Tensor) -> Tensor:
        """The solution of (diag(r) (1 + ridge) - P diag(1/b) P^T) z = residual.

        The ridge, the square of the misplaced mass, keeps steps short along what hardly hangs together.
        """
        root = rows.sqrt()
        misplaced = float(residual.abs().sum())
        ridge = 0.1 * min(misplaced, 1.0) ** 2 + torch.finfo(rows.dtype).eps
        wanted = residual / root
        if not self.dense:
            found = _conjugate_gradients(
                lambda z: (1 + ridge) * z - coupling.times(coupling.transposed_times(z / root) / self.b) / root,
                wanted,
                min(0.25, misplaced**0.5),
            )
            if found is not None:
                return found / root
            self.dense = self.costs.stored and len(rows) <= _LARGEST_DENSE
        if self.dense:
            assert coupling.matrix is not None
            hessian = -((coupling.matrix / self.b) @ coupling.matrix.mT)
            hessian.diagonal().add_(rows)
            hessian.div_(root[:, None]).div_(root)
            hessian.add_(root[:, None] * root)  # f is known up to a constant
            hessian.diagonal().add_(ridge)
            lower, failed = torch.linalg.cholesky_ex(hessian)
            if not bool(failed):
                return torch.cholesky_solve(wanted[:, None], lower)[:, 0] / root
        return residual / rows


def _levels(mean: float, epsilon: float) -> list[float]:
    """The larger epsilons on the way down, the largest about a quarter of the mean cost; none where it is near."""
    if mean <= _NEAR * epsilon:
        return []
    count = math.ceil(math.log(mean / epsilon / _LEVEL_RATIO) / math.log(_LEVEL_RATIO))
    return [epsilon * _LEVEL_RATIO**k for k in range(count, 0, -1)]


def _misplaced(coupling: Coupling) -> float:
    return float((coupling.times(torch.ones_like(coupling.b)) - coupling.a).abs().sum())


def _conjugate_gradients(operator: Callable[[Tensor], Tensor], wanted: Tensor, accuracy: float) -> Tensor | None:
    """The solution to a relative accuracy, None when too many steps would be needed."""
    found, left = torch.zeros_like(wanted), wanted
    direction, square = left, float(left @ left)
    goal = accuracy * accuracy * square
    for _ in range(_GRADIENT_STEPS):
        image = operator(direction)
        length = square / float(direction @ image)
        found = found + length * direction
        left = left - length * image
        square, last = float(left @ left), square
        if square <= goal:
            return found
        direction = left + (square / last) * direction
    return None
