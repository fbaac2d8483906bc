"""Erasure of a bit in finite time: what is left of a law beyond a wall, and the least heat of getting there."""

from __future__ import annotations

import math
from typing import Any

import torch

from infotherm.core.estimate import Estimate
from infotherm.core.tensors import as_tensor
from infotherm.distributions import LogDensity, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.information import entropy
from infotherm.transport.density_table import density_table
from infotherm.transport.protocols import minimum_entropy_production


def truncated(p: Any, lower: float = -math.inf, upper: float = math.inf) -> LogDensity:
    """The law of a scalar X ~ p, given that lower < X < upper: a bit that has been reset without error, for example.

    Density p(x) / P(lower < X < upper) there, the mass by quadrature to about 1e-12, with its logarithm as
    `log_normaliser`; samples by quantiles.

    Parameters
    ----------
    p
        A scalar law with a density, without batch.
    lower, upper
        The ends; infinite for none.

    Raises
    ------
    ValueError
        When p has no density, several coordinates or a batch, or next to no mass (1e-12) between the ends.

    Examples
    --------
    >>> import infotherm as it
    >>> half = truncated(it.Gaussian(0.0, 1.0), lower=0.0)
    >>> round(half.log_normaliser.exp().item(), 12), round(half.mean.item(), 9)  # 1/2 and sqrt(2 / pi)
    (0.5, 0.797884561)
    """
    law = as_distribution(p, "p")
    table = density_table(law)
    low, high = float(as_tensor(lower, "lower")), float(as_tensor(upper, "upper"))
    if not low < high:
        raise ValueError(f"lower must be below upper; got {low} and {high}")
    ends = torch.tensor([low, high], dtype=torch.float64, device=law.device)
    below, above = table.levels(ends)
    mass = 1 - float(below[0]) - float(above[1])
    if not mass > 1e-12:
        raise ValueError(f"p must have mass between lower and upper; got {mass:.3g} between {low} and {high}")
    support = [torch.maximum(law.bounds()[0], ends[:1]).to(law.dtype), torch.minimum(law.bounds()[1], ends[1:])]
    levels = torch.linspace(0.0, 1.0, 9, dtype=torch.float64, device=law.device)[1:-1]
    inner = table.quantiles(below[0] + mass * levels, above[1] + mass * (1 - levels))
    points = torch.cat([law.breakpoints().detach().flatten().to(torch.float64), inner])
    points = points[(points > low) & (points < high)].unique().to(law.dtype)
    found = LogDensity.unnormalised(law.log_prob, 1, support[0], support[1].to(law.dtype), points)
    found.sampler = lambda shape, generator: _drawn(found, shape, generator)
    return found


def _drawn(law: LogDensity, shape: tuple[int, ...], generator: torch.Generator | None) -> torch.Tensor:
    level = torch.rand(shape, generator=generator, dtype=torch.float64, device=law.device)
    return density_table(law).quantiles(level, 1 - level).to(law.dtype)[..., None]


def finite_time_landauer(p0: Any, p1: Any, sigma: Any, duration: Any, **options: Any) -> Estimate:
    """The least heat, over the temperature, of overdamped processes that take p0 to p1 in a finite time.

    Q / T = h(p0) - h(p1) + 2 W2(p0, p1)^2 / integral of sigma^2 dt, over all drives (full control of the potential) at
    fixed noise: Landauer's bound, and what haste costs on top. It is log 2 + W2^2 / (D tau) for the reset of a bit only
    where each side looks the same as before and the two sides of the start do not overlap: a symmetric law that ends
    as its `truncated` half.

    Parameters
    ----------
    p0, p1
        Laws with densities, as in `minimum_entropy_production`.
    sigma, duration
        As there; sigma = sqrt(2 D).
    **options
        For `wasserstein2` (method, tolerance, ...).

    Returns
    -------
    Estimate
        In nats (units of k_B). Negative where a law that spreads takes up heat.

    Raises
    ------
    ValueError
        For laws of atoms, whose entropy is no differential one, and as `minimum_entropy_production`.

    Source: Aurell et al., J. Stat. Phys. 147, 487 (2012); Proesmans, Ehrich and Bechhoefer, Phys. Rev. Lett. 125,
    100602 (2020).

    Examples
    --------
    >>> import infotherm as it
    >>> well = it.processes.Langevin(potential=lambda x: 3 * ((x**2 - 1) ** 2).sum(-1), temperature=1.0)
    >>> start = well.quasi_invariant(0.0)
    >>> heat = finite_time_landauer(start, truncated(start, lower=0.0), sigma=2**0.5, duration=5.0)
    >>> round(heat.value.item(), 9), heat.error.item() < 1e-10  # log 2 and 0.269 for haste
    (0.962332662, True)
    """
    first, second = as_distribution(p0, "p0"), as_distribution(p1, "p1")
    for name, law in (("p0", first), ("p1", second)):
        if law.measure != "lebesgue":
            raise ValueError(f"{name} must have a density; got a {type(law).__name__} (measure {law.measure})")
    least = minimum_entropy_production(first, second, sigma, duration, **options)
    entropies = [_normalised_entropy(law) for law in (first, second)]
    return entropies[0] - entropies[1] + least


def _normalised_entropy(law: Distribution) -> Estimate:
    """The entropy, with what a normalisation that is known by quadrature can be off added to its error."""
    found = entropy(law)
    if not isinstance(law, LogDensity) or law.dim != 1 or law.batch_shape:
        return found
    table = density_table(law)
    slip = (abs(table.mass - 1) + table.error) * (1 + found.value.detach().abs())
    return Estimate(
        found.value,
        stderr=found.stderr,
        error=found.error + slip,
        kind=found.kind,
        method=found.method,
        units=found.units,
        streams=found.streams,
        info=found.info,
    )
