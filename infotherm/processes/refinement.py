"""Richardson extrapolation of numbers and log-densities from grids whose spacing is halved again and again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray

_REGULAR = 1.4


def extrapolated(levels: Sequence[Array], order: int = 2) -> tuple[Array, Array]:
    """The limit of numbers with an expansion in h^2, h^4, ... on grids of spacing h, h / 2, ..., and its error.

    Of the rows of Neville's table the entry is taken whose two neighbours agree best with it; the larger of the two
    differences is the error: it measures the entry before, and bounds that of a sequence as regular as its order says.
    Where the last differences fall more slowly than that, the rest of their geometric series is the error.

    Parameters
    ----------
    levels
        From coarse to fine, at least two, each of the same shape.
    order
        The first power of h, and the step to the next.
    """
    row = [levels[0]]
    best, error = levels[-1], np.full_like(levels[-1], np.inf)
    for values in levels[1:]:
        previous, row = row, [values]
        best, error = best, np.full_like(error, np.inf)
        for j, before in enumerate(previous):
            factor = 2.0 ** (order * (j + 1)) - 1
            entry = row[j] + (row[j] - before) / factor
            change = np.maximum(np.abs(entry - row[j]), np.abs(entry - before))
            row.append(entry)
            better = change < error
            best, error = np.where(better, entry, best), np.where(better, change, error)
    if len(levels) < 3:
        return best, error
    earlier, last = np.abs(levels[-2] - levels[-3]), np.abs(levels[-1] - levels[-2])
    ratio = np.clip(last / np.maximum(earlier, np.finfo(float).tiny), 0.0, 0.9)
    # differences that fall more slowly than h^order: what is left is at least the rest of their geometric series
    slow = ratio > _REGULAR * 2.0**-order
    return best, np.where(slow, np.maximum(error, 2 * last * ratio / (1 - ratio)), error)


def on_nodes(values: Array, coarse: Array, fine: Array, period: float | None) -> Array:
    """Smooth values at coarse nodes carried to finer ones by a spline of degree seven."""
    from scipy.interpolate import make_interp_spline

    if len(coarse) == len(fine):
        return values
    if period is None:
        return make_interp_spline(coarse, values, k=7)(fine)
    closed = np.append(coarse, coarse[0] + period)
    return make_interp_spline(closed, np.concatenate([values, values[:1]]), k=7, bc_type="periodic")(fine)
