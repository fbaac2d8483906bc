"""Landauer's principle: the least heat of a change of law, its logical and its physical part, and what a run cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import integrate
from infotherm.core.rounding import rounding_error
from infotherm.core.sample_means import from_samples
from infotherm.distributions import as_distribution
from infotherm.distributions.base import Distribution
from infotherm.information import entropy
from infotherm.thermodynamics.trajectory import Trajectories


def landauer_cost(p0: Any, p1: Any, **options: Any) -> Estimate:
    r"""The least heat, over the temperature, of any process that takes the law p0 to p1: H(p0) - H(p1), in nats.

    The medium's entropy is the entropy production minus the change of the system's, Q/T = S_tot - (H(p1) - H(p0)), and
    S_tot >= 0 vanishes for quasi-static driving. A bit that is set costs log 2; one that is set with error probability
    e costs log 2 - h(e). A finite time costs more, an amount that depends on the dynamics.

    Parameters
    ----------
    p0, p1
        Two Discrete laws, or two laws with densities (differential entropies: the same coordinates).
    **options
        As in `entropy` (method, n_samples, generator, ...).

    Returns
    -------
    Estimate
        In nats, of the kind of the entropies. It may be negative: a law that spreads can take up heat.

    Raises
    ------
    ValueError
        When one law is discrete and the other is not, or their coordinates differ.

    References
    ----------
    Landauer, IBM J. Res. Dev. 5 (1961) 183; Esposito and Van den Broeck, EPL 95 (2011) 40004.

    Examples
    --------
    >>> from infotherm.distributions import Discrete
    >>> landauer_cost(Discrete([0.5, 0.5]), Discrete([0.0, 1.0])).value  # log 2
    tensor(0.6931, dtype=torch.float64)
    >>> landauer_cost(Discrete([0.5, 0.5]), Discrete([0.1, 0.9])).value  # log 2 - h(0.1)
    tensor(0.3681, dtype=torch.float64)
    """
    p0, p1 = as_distribution(p0, "p0"), as_distribution(p1, "p1")
    _check_same_kind(p0, p1)
    return entropy(p0, **options) - entropy(p1, **options)


@dataclass(frozen=True)
class EntropyChange:
    """The change of the entropy of a coordinate that stores a bit, in nats: total = logical + internal.

    Attributes
    ----------
    total
        h(p1) - h(p0).
    logical
        H(bit of p1) - H(bit of p0): which side of the boundary.
    internal
        The rest, the change of the entropy within the two sides; zero when each side looks the same as before.
    """

    total: Estimate
    logical: Estimate
    internal: Estimate


def stored_bit_entropies(p0: Any, p1: Any, boundary: float = 0.0) -> EntropyChange:
    r"""The entropy change from p0 to p1 of a coordinate, split into that of the stored bit and that within its sides.

    h(X) = H(bit) + h(X | bit) with the bit X > boundary. Landauer's log 2 is the logical part; where the sides also
    change, the heat is bounded by the total.

    Parameters
    ----------
    p0, p1
        Laws on a line with densities, without batch.
    boundary
        Between the two states of the bit.

    Returns
    -------
    EntropyChange
        Exact where the entropies are.

    Raises
    ------
    ValueError
        For laws with several coordinates or without density, or a boundary that is not finite.

    References
    ----------
    Sagawa, J. Stat. Mech. (2014) P03025 (logical and physical entropy).

    Examples
    --------
    >>> from infotherm.distributions import GaussianMixture, Gaussian
    >>> bit = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.04]], [[0.04]]])
    >>> change = stored_bit_entropies(bit, Gaussian(1.0, 0.04))
    >>> round(change.total.value.item(), 6), round(change.logical.value.item(), 6)
    (-0.693146, -0.693143)
    """
    if not -math.inf < boundary < math.inf:
        raise ValueError(f"boundary must be finite; got {boundary}")
    bits = []
    laws = as_distribution(p0, "p0"), as_distribution(p1, "p1")
    _check_same_kind(*laws)
    for name, law in zip(("p0", "p1"), laws, strict=True):
        if law.dim != 1 or law.measure != "lebesgue" or law.batch_shape:
            raise ValueError(
                f"{name} must be one law on a line with a density; got {law.dim} coordinates, measure {law.measure} "
                f"and batch {tuple(law.batch_shape)}"
            )
        bits.append(_bit_entropy(law, boundary))
    total = -landauer_cost(*laws)
    logical = bits[1] - bits[0]
    return EntropyChange(total, logical, total - logical)


@dataclass(frozen=True)
class ErasureRun:
    """What a simulated erasure did.

    Attributes
    ----------
    medium_entropy
        Mean heat over temperature (nats).
    error_probability
        How often the bit ended on the wrong side (dimensionless).
    logical_change
        H(bit) at the end minus H(bit) at the start (nats).
    """

    medium_entropy: Estimate
    error_probability: Estimate
    logical_change: Estimate


def erasure_run(paths: Trajectories, *, boundary: float = 0.0, reset_above: bool = True) -> ErasureRun:
    r"""The heat of simulated paths of a coordinate that stores a bit, and how well the bit was set.

    For a protocol that begins in equilibrium and ends in the potential it began with, the mean work obeys
    W/T >= KL(bit at the end || bit in equilibrium), log 2 - h(error) for a symmetric potential; the heat obeys it where
    also the law within the sides is back (`stored_bit_entropies`).

    Parameters
    ----------
    paths
        From `simulate`, one coordinate.
    boundary
        Between the two states of the bit.
    reset_above
        Whether the bit is to be set to X > boundary, else below.

    Returns
    -------
    ErasureRun
        Estimates by Monte Carlo.

    Raises
    ------
    ValueError
        For paths of several coordinates, or without heat.

    Examples
    --------
    >>> import infotherm as it
    >>> from infotherm.thermodynamics.simulation import simulate
    >>> drift = it.processes.AffineDiffusion([[-1.0]], 2**0.5, lambda t: 3 * t[..., None])
    >>> run = erasure_run(simulate(drift, it.Gaussian(0.0, 1.0), 2.0, 2000, 20, generator=0))
    >>> run.logical_change.value.item() < 0 < run.medium_entropy.value.item()
    True
    """
    if paths.initial.shape[-1] != 1:
        raise ValueError(f"paths must have one coordinate, the bit's; got {paths.initial.shape[-1]}")
    streams = paths.streams
    before, after = (((x[:, 0] > boundary) == reset_above).to(x) for x in (paths.initial, paths.final))
    return ErasureRun(
        from_samples(paths.medium_entropy, streams=streams),
        _frequency(1 - after, streams),
        _bit_of_samples(after, streams) - _bit_of_samples(before, streams),
    )


def _frequency(hits: Tensor, streams: tuple[str, ...]) -> Estimate:
    """A probability from frequencies; the standard error is half of Wilson's interval, which zero hits do not hide."""
    n = len(hits)
    value = hits.mean()
    low, high = _wilson(value, n)
    stderr = torch.maximum(high - value, value - low) / 2
    error = rounding_error([value])
    return Estimate(
        value, stderr=stderr, error=error, kind="estimate", method="monte-carlo", units="1", streams=streams,
        info={"n": n},
    )  # fmt: skip


def _wilson(p: Tensor, n: int, z: float = 2.0) -> tuple[Tensor, Tensor]:
    """Ends of Wilson's interval at z standard errors."""
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)).sqrt()
    return (centre - half).clamp(min=0), (centre + half).clamp(max=1)


def _bit_of_samples(hits: Tensor, streams: tuple[str, ...]) -> Estimate:
    """The entropy of a bit from its frequency; the standard error is half of what two of them do to it."""
    n = len(hits)
    p = hits.mean()
    value = _binary(p, 1 - p)
    ends = torch.stack([*_wilson(p, n), p])
    # the entropy bends most at 1/2, which may lie between the ends
    away = (_binary(ends, 1 - ends) - value).abs().amax()
    bend = torch.where((ends[0] < 0.5) & (ends[1] > 0.5), math.log(2) - value, 0.0)
    stderr = torch.maximum(away, bend) / 2
    return Estimate(
        value, stderr=stderr, error=rounding_error([value]) + 1 / n, kind="estimate", method="monte-carlo",
        streams=streams, info={"n": n},
    )  # fmt: skip


def _binary(p: Tensor, rest: Tensor) -> Tensor:
    return torch.special.entr(p) + torch.special.entr(rest)


def _bit_entropy(law: Distribution, boundary: float) -> Estimate:
    """H(bit) by quadrature of both sides of the boundary."""
    low, high = (b.reshape(-1)[0] for b in law.bounds())
    points = law.breakpoints().reshape(-1)
    edge = torch.clamp(torch.as_tensor(boundary, dtype=low.dtype), low, high)
    points = torch.cat([points, edge[None]])

    def density(x: Tensor) -> Tensor:
        return law.log_prob(x[..., None]).exp()

    sides = [integrate(density, a, b, breakpoints=points) for a, b in ((low, edge), (edge, high))]
    below, above = (s.value.clamp(min=0) for s in sides)
    value = _binary(below, above)
    tiny = torch.finfo(value.dtype).tiny
    slips = [(s.error * (1 + s.value.abs().clamp(min=tiny).log().abs())).detach() for s in sides]
    info = {} if all(s.converged for s in sides) else {"converged": False}
    error = slips[0] + slips[1] + rounding_error([value])
    return Estimate(value, error=error, method="quadrature", info=info)


def _check_same_kind(p0: Distribution, p1: Distribution) -> None:
    if p0.measure != p1.measure:
        raise ValueError(
            f"p0 and p1 must both be discrete or both have densities; got measures {p0.measure} and {p1.measure}"
        )
    if p0.dim != p1.dim:
        raise ValueError(f"p0 and p1 must have the same coordinates; got {p0.dim} and {p1.dim}")
