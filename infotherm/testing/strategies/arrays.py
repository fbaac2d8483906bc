"""Samples as arrays, hostile ones included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from infotherm.testing.strategies.matrices import ONE, Range, common_factor, drawn, numbers


@st.composite
def paired_samples(
    draw: DrawFn,
    dims: Sequence[int] = (1, 1),
    n: int | SearchStrategy[int] | None = None,
    *,
    scale: Range = ONE,
    offset: float = 0.0,
    ties: bool = False,
    duplicates: bool = False,
) -> tuple[np.ndarray, ...]:
    """Arrays (n, D), one for each entry of `dims`, whose rows belong together; normal, uniform or Cauchy.

    Filled from a drawn seed: the number of rows shrinks, single entries do not.

    Parameters
    ----------
    dims
        The number of columns of each array.
    n
        The number of rows, or a strategy for it; 8 to 64 by default.
    scale
        Range of the common factor of all entries.
    offset
        The largest shift of all entries, in units of the scale.
    ties
        Whether entries may be rounded to a grid, so that values repeat.
    duplicates
        Whether rows may repeat.
    """
    count = drawn(draw, n, st.integers(8, 64))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sort = draw(st.sampled_from(["normal", "uniform", "cauchy"]))
    shape = (count, sum(dims))
    x = {"normal": rng.standard_normal, "uniform": rng.random, "cauchy": rng.standard_cauchy}[sort](shape)
    strength = draw(st.floats(0.0, 2.0))
    x = x + strength * x[:, :1]  # the first column is felt by all
    if ties and draw(st.booleans()):
        x = np.round(x, draw(st.integers(0, 1)))
    if duplicates and draw(st.booleans()):
        x = x[rng.integers(0, max(1, count // 2), size=count)]
    x = common_factor(draw, scale) * (x + float(numbers(draw, 1, -offset, offset)))
    return tuple(np.ascontiguousarray(part) for part in np.split(x, np.cumsum(dims)[:-1], axis=1))


def samples(
    dim: int | SearchStrategy[int] | None = None, n: int | SearchStrategy[int] | None = None, **options: Any
) -> SearchStrategy[np.ndarray]:
    """Arrays (n, dim) of samples, 1 to 4 columns by default; options as in `paired_samples`."""
    sizes = st.integers(1, 4) if dim is None else dim if isinstance(dim, SearchStrategy) else st.just(dim)
    return sizes.flatmap(lambda size: paired_samples((size,), n, **options)).map(lambda arrays: arrays[0])
