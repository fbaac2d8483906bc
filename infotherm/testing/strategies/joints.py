"""Joint laws of named parts, with mutual information that is known from how they are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from infotherm.core.estimate import Estimate, exact
from infotherm.distributions import Discrete, Gaussian
from infotherm.testing.strategies.matrices import drawn, numbers, pmfs, spectral


@st.composite
def discrete_joints(
    draw: DrawFn,
    shape: Sequence[int] | SearchStrategy[Sequence[int]] | None = None,
    *,
    parts: Sequence[str] = ("x", "y"),
    zeros: bool = False,
    spread: float = 3.0,
) -> Discrete:
    """Joint tables of named parts; they shrink to the uniform table, whose parts are independent.

    Parameters
    ----------
    shape
        The number of outcomes of each part, or a strategy for it; 1 to 4 each by default.
    parts
        Their names.
    zeros
        Whether cells may be zero.
    spread
        As in `pmfs`.
    """
    sizes = tuple(drawn(draw, shape, st.tuples(*[st.integers(1, 4)] * len(parts))))
    return Discrete(draw(pmfs(math.prod(sizes), spread=spread, zeros=zeros)).reshape(sizes), parts=tuple(parts))


@st.composite
def gaussian_joints(
    draw: DrawFn,
    dx: int | SearchStrategy[int] | None = None,
    dy: int | SearchStrategy[int] | None = None,
    *,
    most: float = 3.0,
    condition: float = 10.0,
) -> Gaussian:
    """Joint Gaussians of parts "x" and "y"; they shrink to independent standard normal ones.

    Parameters
    ----------
    dx, dy
        Numbers of coordinates, or strategies for them; 1 to 3 by default.
    most
        The largest information of a canonical pair, in nats.
    condition
        Of the matrices that mix the coordinates of x and of y.
    """
    return draw(_known_gaussians(dx, dy, most=most, condition=condition))[0]


@st.composite
def _known_gaussians(draw: DrawFn, dx: Any, dy: Any, *, most: float, condition: float) -> tuple[Gaussian, Estimate]:
    """Canonical pairs of drawn information, then mixed within x and within y, which changes nothing."""
    nx, ny = (drawn(draw, size, st.integers(1, 3)) for size in (dx, dy))
    pairs = min(nx, ny)
    shares = numbers(draw, pairs, 0.0, most)
    factor = torch.eye(nx + ny, dtype=torch.float64)
    for i, share in enumerate(shares.tolist()):
        factor[nx + i, i] = math.sqrt(-math.expm1(-2 * share))
        factor[nx + i, nx + i] = math.exp(-share)
    mixing = []
    for size in (nx, ny):
        rotation, values = spectral(draw, size, condition**2)
        mixing.append(rotation * values.sqrt())
    mean = numbers(draw, nx + ny, -3.0, 3.0)
    joint = Gaussian.from_factor(mean, torch.block_diag(*mixing) @ factor, parts={"x": nx, "y": ny})
    # entries of the mixed factor are rounded: that moves canonical correlations by eps times both condition numbers
    eps = torch.finfo(torch.float64).eps
    error = 16 * eps * (nx + ny) ** 2 * condition * math.exp(float(shares.max()))
    return joint, exact(shares.sum(), error=error)


@st.composite
def _known_tables(draw: DrawFn) -> tuple[Discrete, Estimate]:
    """Tables whose information has a formula, rows and columns in any order."""
    sort = draw(st.sampled_from(["independent", "copy", "symmetric", "erasure"]))
    p = draw(pmfs(st.integers(2, 4), zeros=True))
    entropy = -math.fsum(a * math.log(a) for a in p.tolist() if a > 0)
    loss = draw(st.floats(0.0, 1.0))
    size = len(p)
    if sort == "independent":
        table, value = p[:, None] * draw(pmfs(st.integers(2, 4), zeros=True)), 0.0
    elif sort == "copy":
        table, value = p.diag(), entropy
    elif sort == "symmetric":
        table = torch.full((size, size), loss / (size - 1), dtype=torch.float64).fill_diagonal_(1 - loss) / size
        terms = [math.log(size), *(a * math.log(a) for a in (loss, 1 - loss) if a > 0), -loss * math.log(size - 1)]
        value = math.fsum(terms)
    else:
        table, value = torch.cat([(1 - loss) * p.diag(), loss * p[:, None]], dim=1), (1 - loss) * entropy
    rows, columns = (draw(st.permutations(range(count))) for count in table.shape)
    return Discrete(table[rows][:, columns], parts=("x", "y")), exact(
        torch.tensor(value, dtype=torch.float64), error=1e-14
    )


def joints_with_mutual_information(
    dx: int | SearchStrategy[int] | None = None,
    dy: int | SearchStrategy[int] | None = None,
    *,
    sorts: Sequence[str] = ("gaussian", "discrete"),
    most: float = 3.0,
    condition: float = 10.0,
) -> SearchStrategy[tuple[Gaussian | Discrete, Estimate]]:
    """Pairs of a joint law of "x" and "y" and I(x; y), known from how it was made, with its error.

    Gaussian: canonical pairs of drawn information, mixed by invertible matrices. Discrete: independent parts, copies,
    symmetric and erasure channels, symbols in any order.

    Parameters
    ----------
    sorts
        Of "gaussian" and "discrete".
    dx, dy, most, condition
        Of Gaussian ones, as in `gaussian_joints`.

    Raises
    ------
    ValueError
        For an unknown sort.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> import infotherm as it
    >>> @settings(max_examples=5, database=None, deadline=None)
    ... @given(joints_with_mutual_information())
    ... def both_routes_agree(pair):
    ...     joint, known = pair
    ...     found = it.mutual_information(joint, "x", "y")
    ...     assert abs(found.value - known.value) <= found.error + known.error
    >>> both_routes_agree()
    """
    known = {"gaussian": _known_gaussians(dx, dy, most=most, condition=condition), "discrete": _known_tables()}
    if not sorts or any(sort not in known for sort in sorts):
        raise ValueError(f"sorts must be of {', '.join(known)}; got {', '.join(sorts) or 'none'}")
    return st.one_of([known[sort] for sort in sorts])
