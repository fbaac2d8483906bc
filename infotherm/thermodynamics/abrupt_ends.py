"""Densities that end, jump or rise so abruptly that E|grad log p|^2 is infinite."""

from __future__ import annotations

import torch
from torch import Tensor

from infotherm.distributions import Gaussian, GaussianMixture
from infotherm.distributions.base import Distribution
from infotherm.processes.grid_density import GridDensity

_NEAR, _NEARER = 1e-6, 1e-8  # distances from an end, in widths of the law
_SMALLEST = 1 + 1e-5  # the power of the distance from which on the score is square integrable, with what is seen of it
_LOWEST = 60.0  # nats below the top at which nothing is left


def infinite_score(p: Distribution, period: float | None = None) -> Tensor:
    """Whether the mean square of the score of a density is infinite because of what happens in one place.

    With p ~ r^a at the distance r from an end of the support the square of the score is a^2 r^(a - 2): finite only for
    a > 1. A density that jumps (a = 0, as does that of a uniform law) has a current without end. Inside, jumps are
    looked for at the breakpoints. For D > 1 the faces of the box that holds the support are looked at, opposite to 64
    states that are drawn from seed 0.

    Parameters
    ----------
    p
        One law or a batch of them, with a density.
    period
        Of the ring that a scalar law lies on: the ends of [0, period] are then one point.

    Returns
    -------
    Tensor
        Truth values, of the batch shape.

    Examples
    --------
    >>> from torch.distributions import Beta
    >>> from infotherm.distributions import as_distribution
    >>> [bool(infinite_score(as_distribution(Beta(a, a)))) for a in (1.0, 2.0, 2.5)]
    [True, True, False]
    """
    if isinstance(p, Gaussian | GaussianMixture | GridDensity):
        return torch.zeros(p.batch_shape, dtype=torch.bool, device=p.device)
    if p.dim > 1:
        return _at_faces(p)
    lower, upper = (end[..., 0] for end in p.bounds())
    points = p.breakpoints()  # (P, *batch)
    if not points.numel():
        points = 0.5 * (lower + upper)[None]

    def log_density(x: Tensor) -> Tensor:
        return p.log_prob(x[..., None].to(p.dtype)).double()

    points = torch.where(torch.isfinite(points), points, points[torch.isfinite(points).int().argmax()]).double()
    points = torch.cat([points, torch.where(torch.isfinite(lower), lower, points[0])[None].to(points)])
    points = torch.cat([points, torch.where(torch.isfinite(upper), upper, points[0])[None].to(points)]).sort(0).values
    top = log_density(points).nan_to_num(-torch.inf).amax(0)
    if period is not None and bool((lower <= 0).all() and (upper >= period).all()):
        sides = torch.stack([lower + _NEARER * period, upper - _NEARER * period]).double()
        seam = log_density(sides)
        found = (seam[0] - seam[1]).abs() > 1e-3
    else:
        middle = points.median(0).values
        found = torch.zeros(p.batch_shape, dtype=torch.bool, device=p.device)
        for end, sign in ((lower, 1.0), (upper, -1.0)):
            bounded = torch.isfinite(end)
            end = torch.where(bounded, end, middle)
            width = (middle - end).abs()
            near, nearer = (log_density(end + sign * distance * width) for distance in (_NEAR, _NEARER))
            filled = (near > top - _LOWEST) | (nearer > near)
            found = found | (_rough(near, nearer) & filled & bounded)
    # a jump inside stays as one looks closer, a slope does not
    inner, gaps = points[1:-1], points.diff(dim=0)
    room = torch.minimum(gaps[1:], gaps[:-1])
    apart = []
    for distance in (1e-3, _NEAR):
        reach = torch.maximum(distance * room, 64 * torch.finfo(p.dtype).eps * inner.abs())
        sides = torch.stack([log_density(inner - reach), log_density(inner + reach)])
        apart.append(torch.where(sides.amax(0) > top - _LOWEST, sides[0] - sides[1], 0.0).abs())
    jumps = (apart[1] > 1e-3) & (apart[1] > 0.5 * apart[0]) & (room > 1e6 * torch.finfo(p.dtype).eps * inner.abs())
    return found | (jumps & (room > 0)).any(0)


def _rough(near: Tensor, nearer: Tensor) -> Tensor:
    """Whether log p at two distances from an end goes like the log of a distance to a power of one or less."""
    power = (near - nearer) / torch.log(torch.tensor(_NEAR / _NEARER, dtype=torch.float64))
    return power <= _SMALLEST


def _at_faces(p: Distribution) -> Tensor:
    lower, upper = p.bounds()
    ends = torch.stack([lower, upper])
    found = torch.zeros(p.batch_shape, dtype=torch.bool, device=p.device)
    if not bool(torch.isfinite(ends).any()):
        return found
    x = p.sample((64,), generator=torch.Generator(p.device).manual_seed(0))
    width = x.amax(0) - x.amin(0)
    for axis in range(p.dim):
        for end, sign in ((lower, 1.0), (upper, -1.0)):
            if not bool(torch.isfinite(end[..., axis]).any()):
                continue
            looks = []
            for distance in (_NEAR, _NEARER):
                beside = x.clone()
                beside[..., axis] = end[..., axis] + sign * distance * width[..., axis]
                looks.append(p.log_prob(beside).double())
            near, nearer = looks
            seen = torch.isfinite(near) & torch.isfinite(end[..., axis])
            found = found | (_rough(near, nearer) & seen).any(0)
    return found
