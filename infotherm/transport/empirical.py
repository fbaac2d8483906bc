"""The Wasserstein-2 distance of two laws of which only samples are known, bounded from both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.tensors import Generator, as_generator, as_tensor
from infotherm.transport.dual_bound import empirical_lower
from infotherm.transport.plug_in_bound import empirical_point, empirical_upper
from infotherm.transport.sample_limits import root_of
from infotherm.transport.sample_moments import empirical_gelbrich


@dataclass(frozen=True, eq=False)
class EmpiricalBounds:
    """What two samples say about W2(p, q) of the laws behind them.

    Attributes
    ----------
    lower, upper, point
        W2 by convex duality (`empirical_lower`), by the distance of the samples (`empirical_upper`), debiased
        (`empirical_point`).
    moments
        The bound by the first two moments (`empirical_gelbrich`). It is not part of `lower`: the better of two limits
        would miss the truth up to twice as often as each.
    lower_squared, upper_squared, point_squared, moments_squared
        The same numbers for W2^2, in which the limits are linear: take these where the square is needed.
    confidence
        Of each one-sided limit; both hold together with 2 confidence - 1 at least.
    """

    lower: Estimate
    upper: Estimate
    point: Estimate
    moments: Estimate
    lower_squared: Estimate
    upper_squared: Estimate
    point_squared: Estimate
    moments_squared: Estimate
    confidence: float

    @property
    def limits(self) -> tuple[Tensor, Tensor]:
        """The lower and the upper confidence limit of W2, each one-sided at `confidence`; infinite where unknown."""
        alpha = 1 - self.confidence
        return self.lower.lower_limit(alpha), self.upper.upper_limit(alpha)


def empirical_bounds(
    x: Any,
    y: Any,
    *,
    confidence: float = 0.99,
    folds: int = 5,
    families: Sequence[str] | None = None,
    largest: int = 1000,
    generator: Generator = None,
) -> EmpiricalBounds:
    """Bounds on the population W2(p, q), and an estimate of it, from samples x of p and y of q.

    The distance of the samples itself is too high (in D = 8 its square by 50 to 100 % at N = 500 to 4000) and never
    stands below: the lower bound comes from convex duality with potentials fitted to other samples than those
    they are evaluated on, W2^2 >= E_p[|x|^2 - 2 f(x)] + E_q[|y|^2 - 2 f*(y)] for every convex f.

    Parameters
    ----------
    x, y
        Samples (N, D) and (M, D), or (N,) and (M,) for D = 1, all of the same weight; batches (..., N, D) and
        (..., M, D) of one shape. Computed in float64. Rows of each are independent; where N = M, row i of x and row i
        of y may depend on each other (ends of a path).
    confidence
        Level for which limits are corrected for skewness, in (0, 1). `Estimate.lower_limit(alpha)`,
        `upper_limit(alpha)` and verdicts may ask for others.
    folds, families
        Of `empirical_lower`.
    largest
        The largest transport problem in D > 1; of more samples, blocks are taken.
    generator
        For the splits: a seed or a `torch.Generator`; by default torch's own.

    Returns
    -------
    EmpiricalBounds
        With `.lower` (kind "lower"), `.upper` (kind "upper"), `.point` (kind "estimate"), `.moments` (kind "lower"),
        their squares, `.confidence` and `.limits`. Kind "unknown", with a warning, where tails are too heavy for the
        number of samples.

    Raises
    ------
    ValueError
        For samples of different dimension, NaN, fewer than 20 samples a side, an unknown family, or a confidence
        outside (0, 1).
    TypeError
        For laws instead of samples.
    ModuleNotFoundError
        In D > 1 without the package POT; `empirical_lower` and `empirical_gelbrich` do without.

    Source: Villani, Topics in Optimal Transportation (2003), Theorem 2.9.

    Examples
    --------
    >>> import torch
    >>> g = torch.Generator().manual_seed(0)
    >>> x, y = torch.randn(2, 500, 2, generator=g, dtype=torch.float64)
    >>> bounds = empirical_bounds(x, 2 * y + 1, generator=0)  # the truth is 2
    >>> low, high = bounds.limits
    >>> 1.6 < low.item() < 2 < high.item() < 2.6
    True
    """
    random = as_generator(generator, as_tensor(x, "x").device)
    lower = empirical_lower(x, y, confidence=confidence, folds=folds, families=families, squared=True, generator=random)
    upper = empirical_upper(x, y, confidence=confidence, largest=largest, squared=True, generator=random)
    point = empirical_point(x, y, confidence=confidence, largest=largest, squared=True, generator=random)
    moments = empirical_gelbrich(x, y, confidence=confidence, squared=True)
    return EmpiricalBounds(
        lower=root_of(lower, "lower"),
        upper=root_of(upper, "upper"),
        point=root_of(point, "estimate"),
        moments=root_of(moments, "lower"),
        lower_squared=lower,
        upper_squared=upper,
        point_squared=point,
        moments_squared=moments,
        confidence=confidence,
    )
