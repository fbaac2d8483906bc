"""Channels, and chains of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from torch import Tensor

from infotherm.channels import DiscreteChannel, LinearGaussianChannel
from infotherm.distributions import Discrete, Gaussian
from infotherm.testing.strategies.matrices import drawn, numbers, pmfs, spd_matrices, spectral


@st.composite
def discrete_channels(
    draw: DrawFn,
    inputs: int | SearchStrategy[int] | None = None,
    outputs: int | SearchStrategy[int] | None = None,
    *,
    zeros: bool = False,
) -> DiscreteChannel:
    """Channels between finite alphabets, 1 to 4 symbols by default; they shrink to rows alike, which tell nothing."""
    rows, columns = (drawn(draw, size, st.integers(1, 4)) for size in (inputs, outputs))
    return DiscreteChannel(torch.stack([draw(pmfs(columns, zeros=zeros)) for _ in range(rows)]))


@st.composite
def linear_gaussian_channels(
    draw: DrawFn,
    dx: int | SearchStrategy[int] | None = None,
    dy: int | SearchStrategy[int] | None = None,
    *,
    gain: float = 2.0,
    condition: float = 10.0,
    singular: bool = False,
) -> LinearGaussianChannel:
    """Channels y = A x + b + noise, 1 to 3 coordinates by default; they shrink to A = 0 and standard normal noise.

    Parameters
    ----------
    gain
        The largest entry of A and b.
    condition, singular
        Of the noise covariance, as in `spd_matrices`.
    """
    nx, ny = (drawn(draw, size, st.integers(1, 3)) for size in (dx, dy))
    matrix = numbers(draw, nx * ny, -gain, gain).reshape(ny, nx)
    noise = draw(spd_matrices(ny, condition=condition, singular=singular))
    return LinearGaussianChannel(matrix, noise, bias=numbers(draw, ny, -gain, gain))


@st.composite
def markov_chains(
    draw: DrawFn, *, sorts: Sequence[str] = ("discrete", "gaussian"), zeros: bool = False
) -> Discrete | Gaussian:
    """Joint laws of parts x -> y -> z, discrete or Gaussian: z depends on x through y alone.

    They shrink to independent parts. `zeros` lets probabilities be zero.

    Raises
    ------
    ValueError
        For a sort that is not "discrete" or "gaussian".
    """
    if not sorts or any(sort not in ("discrete", "gaussian") for sort in sorts):
        raise ValueError(f"sorts must be of discrete, gaussian; got {', '.join(sorts) or 'none'}")
    if draw(st.sampled_from(list(sorts))) == "discrete":
        p = draw(pmfs(st.integers(1, 4), zeros=zeros))
        first = draw(discrete_channels(len(p), zeros=zeros)).matrix
        second = draw(discrete_channels(first.shape[1], zeros=zeros)).matrix
        return Discrete(p[:, None, None] * first[:, :, None] * second, parts=("x", "y", "z"))
    sizes = [draw(st.integers(1, 2)) for _ in range(3)]
    rows: list[Tensor] = []
    for size, before in zip(sizes, [0, *sizes], strict=False):
        rotation, values = spectral(draw, size, 10.0)
        noise = rotation * values.sqrt()
        step = numbers(draw, size * before, -2.0, 2.0).reshape(size, before)
        rows.append(torch.cat([step @ rows[-1], noise], dim=1) if rows else noise)
    width = sum(sizes)
    factor = torch.cat([torch.nn.functional.pad(row, (0, width - row.shape[1])) for row in rows])
    return Gaussian.from_factor(torch.zeros(width), factor, parts=dict(zip("xyz", sizes, strict=True)))
