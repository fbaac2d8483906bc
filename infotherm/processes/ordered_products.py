"""Transitions under rates that change in time: ordered products over panels, each solved by Gauss collocation.

On a panel with m = (largest exit rate) x (width) <= 1 the transition P solves P' = P L(t). With the mixture of Poisson
events taken out, P = e^(-m s) G and G' = G U(t) for a matrix U without a negative entry, G is a sum of products of
non-negative numbers; it is found at eight Gauss nodes by successive substitution. The order is 16: smooth rates are
followed to rounding with a few panels. Every panel is compared with its two halves, and cut where they differ.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from infotherm.processes.uniformisation import rows_summing_to

_NODES = 8
_SUBSTITUTIONS = 20  # m^20 / 20! < 1e-18 for m <= 1
_CHUNK = 2**20  # entries of matrices at nodes handled at once

RatesAt = Callable[[Tensor], Tensor]
Reward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class OrderedPanels:
    """Transitions over consecutive panels of time, and what a reward earns on each.

    Attributes
    ----------
    points
        Ends of the panels, shape (n + 1,).
    matrix
        Transitions (n, K, K), rows that sum to one.
    earned
        Mean reward on the panel by the state at its beginning, (n, K, M); M = 0 without a reward.
    relative, absolute
        Errors of the transitions: of every entry relative to itself, and of a row in total, each (n,).
    earned_error
        Truncation error of what is earned, (n, M).
    converged
        Whether every panel agreed with its halves.
    """

    points: Tensor
    matrix: Tensor
    earned: Tensor
    relative: Tensor
    absolute: Tensor
    earned_error: Tensor
    converged: bool

    def between(self, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Transition (N, K, K) and reward (N, K, M) from points[first] to points[last], both (N,).

        Products of 1, 2, 4, ... consecutive panels are formed once for all and put together by the binary digits of
        the number of panels.
        """
        size = self.matrix.shape[-1]
        product, earned = self.matrix, self.earned
        total = torch.eye(size, dtype=product.dtype, device=product.device).expand(len(first), size, size)
        reward = earned.new_zeros((len(first), *earned.shape[1:]))
        position, left, width = first, last - first, 1
        while bool((left > 0).any()):
            odd = (left % 2 == 1)[:, None, None]
            at = torch.where(left % 2 == 1, position, 0)
            reward = torch.where(odd, reward + total @ earned[at], reward)
            total = torch.where(odd, total @ product[at], total)
            position, left = position + width * (left % 2), left // 2
            if bool((left > 0).any()):
                earned = earned[:-width] + product[:-width] @ earned[width:]
                product = product[:-width] @ product[width:]
                width *= 2
        return rows_summing_to(torch.ones_like(total[:, 0, 0]), total), reward

    def index(self, times: Tensor) -> Tensor:
        """Which points these times are."""
        return torch.searchsorted(self.points, times.contiguous())


def ordered_panels(
    rates_at: RatesAt,
    points: Tensor,
    *,
    reward: Reward | None = None,
    tolerance: float = 1e-13,
    most: int = 2**15,
) -> OrderedPanels:
    """Transitions over panels between the given times, each cut until it agrees with its halves.

    Parameters
    ----------
    rates_at
        Maps times (n,) to rates (n, R, K, K) >= 0 with zero diagonals, counted reservoir by reservoir; jumps happen at
        their sum over R.
    points
        Increasing times (n + 1,), float64; discontinuities of the rates should be among them.
    reward
        Maps rates (..., R, K, K) to what a state earns in a unit of time, (..., K, M).
    tolerance
        Wanted relative error of every entry on each panel. What cannot be had so (a jump of the rates inside) is cut
        until it moves no probability by more than 1e-16.
    most
        Number of panels at which cutting ends.

    Raises
    ------
    ValueError
        When the range holds more than `most` expected jumps.

    Warns
    -----
    RuntimeWarning
        When some panels were still not resolved; the errors say by how much.

    References
    ----------
    Hairer, Norsett and Wanner, "Solving ordinary differential equations I" (1993), II.7 (Gauss collocation);
    van Moorsel and Sanders, "Adaptive uniformization", Stochastic Models 10 (1994) (inhomogeneous rates).
    """
    start, width = points[:-1], points.diff()
    kept: list[tuple[Tensor, ...]] = []
    count, converged = 0, True
    unresolved: list[float] = []
    while len(start):
        start, width = _slow_enough(rates_at, start, width, most - count)
        size = rates_at(start[:1]).shape[-1]
        chunk = max(1, _CHUNK // (_NODES * size * size))
        # rounding in the rates does not fall when panels are cut: then cutting ends with the error that is left
        stalled = len(unresolved) > 8 and unresolved[-1] > 0.5 * unresolved[-5]
        last = stalled or count + 2 * len(start) > most
        later, missing = [], 0.0
        for i in range(0, len(start), chunk):
            begin, span = start[i : i + chunk], width[i : i + chunk]
            with torch.no_grad():
                whole, earned_whole, _ = _collocated(rates_at, begin, span, reward)
            first, earned_first, size_first = _collocated(rates_at, begin, span / 2, reward)
            second, earned_second, size_second = _collocated(rates_at, begin + span / 2, span / 2, reward)
            matrix = rows_summing_to(torch.ones_like(span), first @ second)
            earned = earned_first + first @ earned_second
            gap = (matrix.detach() - whole).abs()
            relative = torch.where(gap > 0, gap / matrix.detach().abs(), 0.0).nan_to_num(nan=0.0, posinf=torch.inf)
            relative, absolute = relative.amax((-2, -1)), gap.sum(-1).amax(-1)
            missed = (earned.detach() - earned_whole).abs().amax(-2)
            wanted = tolerance * torch.maximum(size_first, size_second) * span[:, None]
            narrow = span <= 64 * torch.finfo(span.dtype).eps * (begin.abs() + span)
            fine = (relative <= tolerance) | (absolute <= 1e-16)
            done = narrow | fine & ((missed <= wanted) | (missed <= 1e-16)).all(-1)
            left = torch.where(fine, 0.0, absolute) + missed.sum(-1)
            missing += float(left[~done].sum())
            if last:
                converged = converged and (bool(done.all()) or stalled and missing < 1e-10 * len(points))
                done = torch.ones_like(done)
            exact = relative <= tolerance
            errors = torch.where(exact, relative, 0.0), torch.where(exact, 0.0, absolute)
            kept.append(tuple(x[done] for x in (begin, matrix, earned, *errors, missed)))
            count += int(done.sum())
            again, half = begin[~done], span[~done] / 2
            later.append((torch.cat([again, again + half]), torch.cat([half, half])))
        unresolved.append(missing)
        start, width = (torch.cat(parts) for parts in zip(*later, strict=True))
    begin, matrix, earned, relative, absolute, missed = (torch.cat(parts) for parts in zip(*kept, strict=True))
    order = begin.argsort()
    rounding = (16 + 2.0 * matrix.shape[-1]) * torch.finfo(matrix.dtype).eps
    if not converged:
        warnings.warn(
            f"the rates change too abruptly, or are too noisy, to be followed with {len(begin)} panels: transitions "
            f"are known to {float(absolute.sum()):.2g} only. Give the times at which rates jump or bend as breakpoints",
            RuntimeWarning,
            stacklevel=2,
        )
    return OrderedPanels(
        points=torch.cat([begin[order], points[-1:]]),
        matrix=matrix[order],
        earned=earned[order],
        relative=relative[order] + rounding,
        absolute=absolute[order],
        earned_error=missed[order],
        converged=converged,
    )


def _slow_enough(rates_at: RatesAt, start: Tensor, width: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """Panels cut so that at most one jump is expected in each."""
    nodes = gauss_collocation(_NODES)[0].to(start)
    with torch.no_grad():
        exits = rates_at((start[:, None] + width[:, None] * nodes).flatten()).sum((-3, -1)).amax(-1)
    turnover = exits.reshape(len(start), -1).amax(-1).to(width) * width
    pieces = turnover.ceil().clamp(min=1.0)
    if bool((pieces == 1).all()):
        return start, width
    if float(pieces.sum()) > room:
        raise ValueError(
            f"about {float(turnover.sum()):.3g} jumps are expected between t = {start.min().item():g} and "
            f"{(start + width).max().item():g}, more than the {room} that rates which change in time are followed "
            f"for: take a shorter time or slower rates"
        )
    which = torch.repeat_interleave(torch.arange(len(start), device=start.device), pieces.long())
    offset = torch.arange(len(which), device=start.device) - (pieces.long().cumsum(0) - pieces.long())[which]
    piece = (width / pieces)[which]
    return _slow_enough(rates_at, start[which] + offset * piece, piece, room)


def _collocated(
    rates_at: RatesAt, start: Tensor, width: Tensor, reward: Reward | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Transitions (n, K, K), what is earned (n, K, M), and the largest reward in a unit of time (n, M)."""
    nodes, inner, weights = (x.to(start) for x in gauss_collocation(_NODES))
    times = start[:, None] + width[:, None] * nodes
    by_reservoir = rates_at(times.flatten())
    by_reservoir = by_reservoir.reshape(*times.shape, *by_reservoir.shape[1:])
    rates = by_reservoir.sum(-3)
    exits = rates.sum(-1)
    mass = exits.amax((-2, -1)) * width  # expected events, at most about one
    size = rates.shape[-1]
    stay = (mass[:, None, None] - exits * width[:, None, None]).clamp(min=0.0)
    uniform = rates * width[:, None, None, None] + torch.diag_embed(stay)
    identity = torch.eye(size, dtype=rates.dtype, device=rates.device)
    at_nodes = identity.expand(uniform.shape)
    for _ in range(_SUBSTITUTIONS):
        at_nodes = identity + torch.einsum("jk,nkab->njab", inner, at_nodes @ uniform)
    end = identity + torch.einsum("k,nkab->nab", weights, at_nodes @ uniform)
    matrix = rows_summing_to(torch.ones_like(width), end)
    if reward is None:
        return matrix, matrix.new_zeros((len(start), size, 0)), matrix.new_zeros((len(start), 0))
    worth = reward(by_reservoir)
    passed = rows_summing_to(torch.ones_like(times), at_nodes)
    earned = width[:, None, None] * torch.einsum("k,nkam->nam", weights, passed @ worth)
    return matrix, earned, worth.detach().abs().amax((-3, -2))


@lru_cache(maxsize=4)
def gauss_collocation(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Gauss nodes c (n,) on [0, 1], the matrix a[j, k] = integral of the k-th Lagrange polynomial to c_j, weights b."""
    legendre = np.polynomial.legendre
    x, w = legendre.leggauss(n)
    values = np.stack([legendre.legval(x, np.eye(n + 1)[d]) for d in range(n + 1)])  # P_d(x_j)
    integrals = np.empty((n, n))
    integrals[0] = 1 + x
    for d in range(1, n):
        integrals[d] = (values[d + 1] - values[d - 1]) / (2 * d + 1)
    lagrange = (2 * np.arange(n)[:, None] + 1) / 2 * w * values[:n]  # l_k = sum_d lagrange[d, k] P_d
    inner = integrals.T @ lagrange / 2
    return tuple(torch.tensor(y, dtype=torch.float64) for y in ((1 + x) / 2, inner, w / 2))  # type: ignore[return-value]
