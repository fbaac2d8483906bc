"""Two sides of W2 between densities that are constant on the cells of a grid: potentials below, couplings above."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from infotherm.transport.staggered_grid import Faces, StaggeredGrid, sides

_MOST_VERTICES = {1: 2048, 2: 132}  # along an axis of the refined grid on which a potential is conjugated
_CHUNK = 2**24
_SCALES = (16.0, 8.0, 4.0, 2.0, 1.0, 0.5)  # of entropic transport, in squares of a cell
_SCALINGS = 15


def lower_square(
    potential: Tensor, first: Tensor, second: Tensor, widths: Sequence[float], *, at_start: bool
) -> Tensor:
    """A lower bound on W2^2 from any function on the cells; good when it is the potential of the flow at one end.

    For every convex u, W2^2 / 2 >= E|x|^2 / 2 + E|y|^2 / 2 - E u(x) - E u*(y) (Kantorovich). u = |x|^2 / 2 + phi is
    taken on the vertices of a refined grid and replaced by the conjugate of its conjugate there; a convex function lies
    below its multilinear interpolation, by which both means become sums over vertices. The bound holds whatever phi
    is.

    Parameters
    ----------
    potential
        phi, at the centres of the cells.
    first, second
        Masses of the cells, each of sum one, of the same shape.
    widths
        Lengths of a cell along each axis.
    at_start
        Whether phi belongs to the first law (velocities are grad phi) or to the second.

    Source: Villani, Topics in Optimal Transportation (2003), Section 2.1.2.
    """
    if not at_start:
        first, second, potential = second, first, -potential
    cut = max(1, min(16, _MOST_VERTICES[potential.ndim] // max(potential.shape)))
    places, squares, convex = [], potential.new_zeros(()), potential
    for axis, (n, width) in enumerate(zip(potential.shape, widths, strict=True)):
        vertices = torch.arange(n * cut + 1, dtype=potential.dtype, device=potential.device) / cut - n / 2
        places.append(vertices * width)
        convex = _apply(_interpolation(n, vertices + n / 2), convex, axis)
        centres = (torch.arange(n, dtype=potential.dtype, device=potential.device) + 0.5 - n / 2) * width
        others = [a for a in range(potential.ndim) if a != axis]
        both = first.sum(others) + second.sum(others) if others else first + second
        squares = squares + (both * (centres.square() + width**2 / 12)).sum() / 2
    for axis, place in enumerate(places):
        shape = [-1 if a == axis else 1 for a in range(potential.ndim)]
        convex = convex + place.square().reshape(shape) / 2
    conjugate = _conjugate(convex, places)
    convex = _conjugate(conjugate, places)
    return 2 * (squares - (first * _cell_means(convex, cut)).sum() - (second * _cell_means(conjugate, cut)).sum())


def monotone_square(first: Tensor, second: Tensor, width: float) -> Tensor:
    """The cost of the monotone coupling on a line, which no coupling undercuts: the integral of (F^-1 - G^-1)^2.

    Both quantile functions are linear between the levels at which either passes into its next cell.
    """
    steps = [torch.cat([law.new_zeros(1), law.cumsum(0)]) for law in (first, second)]
    levels = torch.cat([s / s[-1] for s in steps]).sort().values
    low, high = levels[:-1], levels[1:]
    ends = []
    for law, s in zip((first, second), steps, strict=True):
        s = s / s[-1]
        filled = torch.nonzero(law > 0)[:, 0]
        tops = s[1:][filled]
        cell = filled[torch.searchsorted(tops, (low + high) / 2).clamp(max=len(filled) - 1)]
        ends.append([(cell + ((level - s[cell]) / law[cell]).clamp(0.0, 1.0)) * width for level in (low, high)])
    left, right = ends[0][0] - ends[1][0], ends[0][1] - ends[1][1]
    return ((high - low) * (left.square() + left * right + right.square()) / 3).sum()


def coupling_square(potential: Tensor, first: Tensor, second: Tensor, widths: Sequence[float]) -> Tensor:
    """An upper bound on W2^2 in the plane from a coupling of cells, whose mass moves from cell to cell unturned.

    Coupling a point of a cell with the like point of another costs the square of the distance of their centres. The
    coupling is that of entropic transport at scales down to that of a cell, started from the potential of the second
    law and brought to the right marginals (what is missing is coupled independently).

    Source: Altschuler, Weed and Rigollet, NeurIPS 2017, Algorithm 2, for the marginals.
    """
    costs = [_square_distances(n, width, potential) for n, width in zip(first.shape, widths, strict=True)]
    farthest = torch.stack([cost.max() for cost in costs]).sum()
    log_first, log_second = first.log(), second.log()
    theirs = -2 * potential
    best = first.new_tensor(math.inf)
    for factor in _SCALES:
        epsilon = factor * min(widths) ** 2
        for left in reversed(range(_SCALINGS)):
            ours = -epsilon * _log_sum(log_second + theirs / epsilon, costs, epsilon)
            reached = log_second + theirs / epsilon + _log_sum(log_first + ours / epsilon, costs, epsilon)
            short = torch.where(second > 0, log_second - reached, 0.0)
            if left:
                theirs = theirs + epsilon * short
        # the first marginal is right; where the second is exceeded, all that arrives there is scaled down
        weights = log_second + theirs / epsilon + short.clamp(max=0.0)
        rows = (log_first + ours / epsilon + _log_sum(weights, costs, epsilon)).exp()
        columns = (reached + short.clamp(max=0.0)).exp()
        square = _plan_cost(log_first + ours / epsilon, weights, costs, epsilon)
        missing = [(law - part).clamp(min=0.0) for law, part in ((first, rows), (second, columns))]
        # exponentials of large numbers are off by eps times as much, and so are the marginals
        off = 8 * torch.finfo(first.dtype).eps * (farthest + theirs.abs().max() + ours.abs().max()) / epsilon * farthest
        best = torch.minimum(best, square + _independent_cost(missing[0], missing[1], widths) + off)
        theirs = theirs + epsilon * short
    return best


def path_square(grid: StaggeredGrid, faces: Faces) -> Tensor:
    """An upper bound on W2^2 between the ends of a flow: its action over its mass; inf where a density is not positive.

    Momenta are linear along their axis between opposite faces and densities linear in time: such a flow conserves mass
    everywhere, not only on cells, and the integral of |m|^2 / rho is known in closed form.

    Source: Benamou and Brenier, Numer. Math. 84, 375 (2000), Proposition 1.1.
    """
    before, after = sides(faces[0], 0)
    least, most = torch.minimum(before, after), torch.maximum(before, after)
    if not bool((least > 0).all()):
        return most.new_tensor(math.inf)
    apart = 1 - least / most
    near = apart < 1e-4
    safe = torch.where(near, 0.5, apart)
    inverse = (
        torch.where(near, 1 + apart / 2 + apart.square() / 3 + apart.pow(3) / 4, -torch.log1p(-safe) / safe) / most
    )
    squares = torch.zeros_like(most)
    for axis in range(1, most.ndim):
        low, high = sides(faces[axis], axis)
        squares = squares + (low.square() + low * high + high.square()) / 3
    return (squares * inverse).sum() / faces[0][0].sum() * grid.spacings[0]


def _independent_cost(first: Tensor, second: Tensor, widths: Sequence[float]) -> Tensor:
    """The cost between centres of the independent coupling of two measures of like mass."""
    total = first.new_zeros(())
    mass = first.sum()
    if not bool(mass > 0):
        return total
    for axis, width in enumerate(widths):
        others = [a for a in range(first.ndim) if a != axis]
        a, b = (law.sum(others) if others else law for law in (first, second))
        total = total + a @ _square_distances(len(a), width, first) @ b / b.sum()
    return total


def _square_distances(n: int, width: float, like: Tensor) -> Tensor:
    places = torch.arange(n, dtype=like.dtype, device=like.device) * width
    return (places[:, None] - places).square()


def _log_sum(weights: Tensor, costs: list[Tensor], epsilon: float) -> Tensor:
    """log sum over cells y of exp(weights(y) - |x - y|^2 / epsilon), axis by axis."""
    for axis, cost in enumerate(costs):
        weights = _log_kernel(-cost / epsilon, weights, axis)
    return weights


def _plan_cost(rows: Tensor, columns: Tensor, costs: list[Tensor], epsilon: float) -> Tensor:
    total = rows.new_zeros(())
    for moved in range(len(costs)):
        weights = columns
        for axis, cost in enumerate(costs):
            kernel = -cost / epsilon
            weights = _log_kernel(kernel + cost.log() if axis == moved else kernel, weights, axis)
        total = total + (rows + weights).exp().sum()
    return total


def _log_kernel(kernel: Tensor, weights: Tensor, axis: int) -> Tensor:
    """log sum_y exp(kernel(x, y) + weights(..., y, ...)) along an axis."""
    moved = weights.movedim(axis, 0)
    flat = moved.reshape(len(moved), -1)
    size = max(1, _CHUNK // (len(kernel) * len(flat)))
    parts = [torch.logsumexp(kernel[:, :, None] + part[None], 1) for part in flat.split(size, 1)]
    return torch.cat(parts, 1).reshape(len(kernel), *moved.shape[1:]).movedim(0, axis)


def _conjugate(values: Tensor, places: list[Tensor]) -> Tensor:
    """max over vertices x of x . y - values(x), at the vertices y, axis by axis."""
    result = -values
    for axis, place in enumerate(places):
        moved = result.movedim(axis, 0)
        flat = moved.reshape(len(place), -1)
        product = place[:, None] * place
        size = max(1, _CHUNK // product.numel())
        parts = [(product[:, :, None] + part[None]).amax(1) for part in flat.split(size, 1)]
        result = torch.cat(parts, 1).reshape(len(place), *moved.shape[1:]).movedim(0, axis)
    return result


def _cell_means(values: Tensor, cut: int) -> Tensor:
    """Means over the cells of the multilinear interpolation of values at the vertices of a grid `cut` times as fine."""
    for axis in range(values.ndim):
        n = values.shape[axis] - 1
        fine = (values.narrow(axis, 0, n) + values.narrow(axis, 1, n)) / 2
        values = fine.unflatten(axis, (n // cut, cut)).mean(axis + 1)
    return values


def _interpolation(n: int, places: Tensor) -> Tensor:
    """The matrix that interpolates from the centres of n cells of length one to places in [0, n]."""
    if n == 1:
        return torch.ones_like(places)[:, None]
    left = (places - 0.5).floor().clamp(0, n - 2).long()
    share = places - 0.5 - left
    matrix = places.new_zeros(len(places), n)
    matrix.scatter_(1, left[:, None], (1 - share)[:, None])
    return matrix.scatter_add_(1, left[:, None] + 1, share[:, None])


def _apply(matrix: Tensor, values: Tensor, axis: int) -> Tensor:
    return (values.movedim(axis, -1) @ matrix.mT).movedim(-1, axis)
