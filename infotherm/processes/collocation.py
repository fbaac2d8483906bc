"""Linear equations du/dt = A(t) u with tridiagonal A, on a line or closed to a ring: Radau collocation of order nine.

The collocation polynomial of degree five is exact at the end of a step to order nine and damps what a step cannot
resolve (L-stable); sums along the solution come with the weights of the same quadrature. Steps are chosen by comparing
each with its two halves.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

_STAGES = 5
_ORDER = 2 * _STAGES - 1
_MOST_STEPS = 20_000

Array = np.ndarray
Rates = Callable[[float], tuple[Array, Array]]
Functional = Callable[[float, Array], Array]


@dataclass(frozen=True)
class Course:
    """The solution at the times asked for.

    Attributes
    ----------
    states
        u at the times, shape (T, n).
    integrals
        Integrals of the functional from the start to the times, shape (T, F).
    error
        What the time steps may have cost in the sum of |u|.
    steps
        How many were taken.
    """

    states: Array
    integrals: Array
    error: float
    steps: int


def follow(
    rates: Rates,
    initial: Array,
    times: Array,
    functional: Functional,
    *,
    ring: bool,
    static: bool = False,
    tolerance: float = 1e-12,
) -> Course:
    """u along du/dt = A(t) u, where `rates(t)` gives the rates up (i to i + 1) and down (i + 1 to i) of jumps.

    Parameters
    ----------
    rates
        Two arrays of n - 1 entries, n on a ring (the last pair between node n - 1 and node 0).
    initial
        u at the first of the times, shape (n,).
    times
        Increasing, shape (T,); steps end at each of them.
    functional
        Of (t, u) with values (F,): its integral is taken along the way.
    ring
        Whether the last node is beside the first.
    static
        Whether the rates are the same at all times.
    tolerance
        Largest difference of a step and its halves in the sum of |u|, relative to that of the initial one.

    Warns
    -----
    RuntimeWarning
        When so many steps are needed that the rest is left out of the tolerance.
    """
    system = _System(len(initial), ring, rates(float(times[0])) if static else None)
    u = initial
    total = np.zeros_like(functional(float(times[0]), u))
    states, integrals = [u], [total]
    error, steps = 0.0, 0
    span = float(times[-1] - times[0])
    size = float(np.abs(initial).sum())
    step = span * 2.0**-14
    for begin, end in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        t = begin
        step = min(step, end - begin)
        inside = float(np.nextafter(end, begin))  # where the drive jumps at one of the times, what is before counts

        def rates_here(s: float, inside: float = inside) -> tuple[Array, Array]:
            return rates(min(s, inside))

        def functional_here(s: float, values: Array, inside: float = inside) -> Array:
            return functional(min(s, inside), values)

        while t < end:
            last = t + 1.0001 * step >= end
            width = end - t if last else step
            whole, _ = system.step(rates_here, u, t, width, None)
            first, gained = system.step(rates_here, u, t, 0.5 * width, functional_here)
            second, more = system.step(rates_here, first, t + 0.5 * width, 0.5 * width, functional_here)
            change = float(np.abs(whole - second).sum()) / size
            steps += 1
            exhausted = steps > _MOST_STEPS or width < 1e-13 * max(abs(t), span)
            if change <= tolerance or exhausted:
                t = end if last else t + width
                u, total = second, total + gained + more
                error += change / (2**_ORDER - 1) * size
                if exhausted and change > tolerance:
                    warnings.warn(
                        f"time steps did not reach the tolerance {tolerance:g} at t = {t:.6g}: a step changed by "
                        f"{change:.3g} when it was halved",
                        RuntimeWarning,
                        stacklevel=2,
                    )
            factor = 0.9 * (tolerance / max(change, 1e-30)) ** (1 / (_ORDER + 1))
            step = width * min(max(factor, 0.1), 4.0)
        states.append(u)
        integrals.append(total)
    return Course(np.stack(states), np.stack(integrals), error, steps)


class _System:
    """The linear equations of one step, in banded form."""

    def __init__(self, size: int, ring: bool, fixed: tuple[Array, Array] | None = None) -> None:
        self.size, self.ring = size, ring
        order = np.arange(size)
        if ring:  # 0, n - 1, 1, n - 2, ...: neighbours on the ring are at most two places apart
            order = np.empty(size, dtype=np.int64)
            order[: (size + 1) // 2] = 2 * np.arange((size + 1) // 2)
            order[(size + 1) // 2 :] = 2 * np.arange(size - (size + 1) // 2)[::-1] + 1
        self.place = order
        self.band = (2 if ring else 1) * _STAGES + _STAGES - 1
        source = np.arange(size if ring else size - 1)
        target = (source + 1) % size
        rows = np.concatenate([np.arange(size), target, source])
        columns = np.concatenate([np.arange(size), source, target])
        j, k = np.meshgrid(np.arange(_STAGES), np.arange(_STAGES), indexing="ij")
        row = order[rows][:, None, None] * _STAGES + j
        column = order[columns][:, None, None] * _STAGES + k
        self.entries = (self.band + row - column, column)
        self.unknowns = order[:, None] * _STAGES + np.arange(_STAGES)
        self.fixed = None if fixed is None else self._banded([fixed] * _STAGES)

    def step(
        self, rates: Rates, u: Array, t: float, width: float, functional: Functional | None
    ) -> tuple[Array, Array]:
        """u after the step and the integral of the functional over it."""
        from scipy.linalg import solve_banded

        nodes, matrix = _radau()
        times = t + width * nodes
        pulled = self._banded([rates(float(time)) for time in times]) if self.fixed is None else self.fixed
        banded = -width * pulled
        banded[self.band] += 1.0
        right = np.empty(self.size * _STAGES)
        right[self.unknowns] = u[:, None]
        solved = solve_banded((self.band, self.band), banded, right, overwrite_ab=True, check_finite=False)
        stages = solved[self.unknowns]
        if functional is None:
            return stages[:, -1], np.zeros(0)
        values = [functional(float(time), stages[:, j]) for j, time in enumerate(times)]
        return stages[:, -1], width * np.tensordot(matrix[-1], np.stack(values), 1)

    def _banded(self, rates: list[tuple[Array, Array]]) -> Array:
        """a (x) A in banded form, from the rates at the stages."""
        _, matrix = _radau()
        entries = np.stack([self._entries(*pair) for pair in rates], -1)
        banded = np.zeros((2 * self.band + 1, self.size * _STAGES))
        banded[self.entries] = matrix * entries[:, None, :]
        return banded

    def _entries(self, up: Array, down: Array) -> Array:
        """A as its diagonal, what goes up and what goes down, in the order of `entries`."""
        diagonal = np.zeros(self.size)
        if self.ring:
            diagonal -= up + np.roll(down, 1)
        else:
            diagonal[:-1] -= up
            diagonal[1:] -= down
        return np.concatenate([diagonal, up, down])


@cache
def _radau() -> tuple[Array, Array]:
    """Nodes c and matrix a of Radau IIA: the right Radau points, and integrals of Lagrange's polynomials up to them."""
    legendre = np.polynomial.legendre.Legendre
    roots = (legendre.basis(_STAGES) - legendre.basis(_STAGES - 1)).roots()
    roots = np.sort(np.real(np.asarray(roots, dtype=np.complex128)))
    roots[-1] = 1.0
    powers = np.arange(_STAGES)
    values = np.polynomial.legendre.legvander(roots, _STAGES)
    integrals = np.empty((_STAGES, _STAGES))
    integrals[:, 0] = 1 + roots
    for k in powers[1:]:
        integrals[:, k] = (values[:, k + 1] - values[:, k - 1]) / (2 * k + 1)
    matrix = np.linalg.solve(values[:, :_STAGES].T, integrals.T).T
    return (1 + roots) / 2, matrix / 2
