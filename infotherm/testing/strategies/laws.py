"""Laws: Gaussians, mixtures, scalar laws with atoms, weighted points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from infotherm.distributions import Empirical, Gaussian, GaussianMixture, Rademacher, SpikeSlab
from infotherm.testing.strategies.matrices import ONE, Range, common_factor, drawn, numbers, pmfs, spd_matrices


@st.composite
def gaussians(
    draw: DrawFn,
    dim: int | SearchStrategy[int] | None = None,
    *,
    parts: Mapping[str, int] | None = None,
    batch: Sequence[int] = (),
    mean: float = 3.0,
    condition: float = 100.0,
    scale: Range = ONE,
    singular: bool = False,
) -> Gaussian:
    """Gaussian laws; they shrink to the standard normal one.

    Parameters
    ----------
    dim
        Number of coordinates, or a strategy for it; the sum of `parts` where these are given, else 1 to 4.
    parts
        Named blocks of coordinates.
    mean
        The largest mean of a coordinate, in units of the scale.
    condition, scale, singular, batch
        Of the covariance, as in `spd_matrices`.

    Examples
    --------
    >>> from hypothesis import find, settings
    >>> find(gaussians(parts={"x": 1, "y": 1}), lambda p: True, settings=settings(database=None)).mean.tolist()
    [0.0, 0.0]
    """
    size = sum(parts.values()) if parts else drawn(draw, dim, st.integers(1, 4))
    factor = common_factor(draw, scale)
    covariance = draw(spd_matrices(size, condition=condition, singular=singular, batch=batch))
    means = numbers(draw, math.prod(batch) * size, -mean, mean).reshape(*batch, size)
    return Gaussian(factor * means, factor**2 * covariance, parts=parts)


@st.composite
def gaussian_mixtures(
    draw: DrawFn,
    dim: int | SearchStrategy[int] | None = None,
    *,
    components: int | SearchStrategy[int] | None = None,
    parts: Mapping[str, int] | None = None,
    separation: float = 5.0,
    condition: float = 10.0,
    scale: Range = ONE,
    singular: bool = False,
    zeros: bool = False,
) -> GaussianMixture:
    """Gaussian mixtures; they shrink to one standard normal component.

    Parameters
    ----------
    components
        How many, or a strategy for it; 1 to 4 by default.
    separation
        The largest mean of a component and coordinate, in units of the scale.
    zeros
        Whether weights may be zero.
    dim, parts, condition, scale, singular
        As in `gaussians`.
    """
    size = sum(parts.values()) if parts else drawn(draw, dim, st.integers(1, 3))
    count = drawn(draw, components, st.integers(1, 4))
    factor = common_factor(draw, scale)
    covariances = draw(spd_matrices(size, condition=condition, singular=singular, batch=(count,)))
    means = numbers(draw, count * size, -separation, separation).reshape(count, size)
    weights = draw(pmfs(count, zeros=zeros))
    return GaussianMixture(weights, factor * means, factor**2 * covariances, parts=parts)


def scalar_laws() -> SearchStrategy[Rademacher | SpikeSlab]:
    """Scalar laws with atoms: two points, or a spike and a Gaussian slab."""
    return st.one_of(rademachers(), spike_slabs())


def rademachers() -> SearchStrategy[Rademacher]:
    """Laws on -1 and 1; they shrink to a fair coin."""
    return st.floats(-0.5, 0.5).map(lambda tilt: Rademacher(0.5 + tilt))


def spike_slabs() -> SearchStrategy[SpikeSlab]:
    """An atom at zero beside a Gaussian slab; they shrink to equal weights and the standard normal slab."""
    tilt, mean, log_variance = st.floats(-0.5, 0.5), st.floats(-3, 3), st.floats(-3, 3)
    return st.builds(lambda t, m, s: SpikeSlab(0.5 + t, m, math.exp(s)), tilt, mean, log_variance)


@st.composite
def empiricals(draw: DrawFn, dim: int | SearchStrategy[int] | None = None) -> Empirical:
    """Laws of one to five weighted points in one to three dimensions, points that coincide included."""
    size, count = drawn(draw, dim, st.integers(1, 3)), draw(st.integers(1, 5))
    return Empirical(numbers(draw, count * size, -3.0, 3.0).reshape(count, size), draw(pmfs(count)))
