"""The integer points that carry a discrete torch law, as far as they have to be enumerated."""

from __future__ import annotations

import math

import torch
import torch.distributions as td
from torch import Tensor
from torch.distributions import constraints

from infotherm.distributions.masked import support_of

TAIL = 1e-25  # mass that may be left out of an enumeration
LARGEST = 2**22  # points that an enumeration may have


def lattice(law: td.Distribution, *, device: torch.device) -> tuple[Tensor, Tensor]:
    """Integer points (M, *event) that hold all of `law` but a tail, and a bound (*batch) on the mass of that tail.

    Finite supports (Binomial, Multinomial) are listed completely: tail 0. Poisson, Geometric and NegativeBinomial are
    listed from 0 until the geometric bound p(m) r / (1 - r) on the rest, r the largest ratio p(k+1)/p(k) beyond m, is
    below 1e-25. A product of such laws is listed on the grid of their points.

    Raises
    ------
    NotImplementedError
        For a law whose tail has no known bound, or one with more than 2^22 points to list.
    """
    if isinstance(law, td.MixtureSameFamily) and not law.event_shape:
        points, tails = lattice(law.component_distribution, device=device)
        return points, tails.amax(-1)
    if isinstance(law, td.Multinomial):
        return _compositions(law.total_count, law.event_shape[0], device), torch.zeros(law.batch_shape, device=device)
    if isinstance(law, td.Independent) and not law.base_dist.event_shape:
        points, tails = lattice(law.base_dist, device=device)
        _require_few(len(points) ** law.event_shape.numel(), law)
        grid = torch.cartesian_prod(*[points] * law.event_shape.numel()).reshape(-1, *law.event_shape)
        return grid, tails.sum(tuple(range(-law.reinterpreted_batch_ndims, 0)))
    if law.event_shape:
        raise NotImplementedError(f"the support of {_name(law)} is not enumerated: use method='monte-carlo'")
    support = support_of(law)
    upper = 1 if support is constraints.boolean else getattr(support, "upper_bound", None)
    if upper is not None:
        last = int(torch.as_tensor(upper).max())
        first = int(torch.as_tensor(getattr(support, "lower_bound", 0)).min())
        _require_few(last - first + 1, law)
        return torch.arange(first, last + 1, device=device), torch.zeros(law.batch_shape, device=device)
    return _until_tail(law, device)


def _until_tail(law: td.Distribution, device: torch.device) -> tuple[Tensor, Tensor]:
    limit = _limiting_ratio(law)
    last = 16 + int((law.mean.detach() + 10 * law.variance.detach().sqrt()).max())
    while True:
        _require_few(last + 1, law)
        with torch.no_grad():
            ends = torch.tensor([last, last + 1], device=device).reshape(2, *[1] * len(law.batch_shape))
            here, after = law.log_prob(ends.to(law.mean.dtype)).double()
            ratio = torch.maximum((after - here).exp(), limit.double())
            tail = torch.where(ratio < 1, here.exp() * ratio / (1 - ratio), math.inf)
        if bool((tail <= TAIL).all()):
            return torch.arange(last + 1, device=device), tail
        last = 2 * last


def _limiting_ratio(law: td.Distribution) -> Tensor:
    """lim p(k+1)/p(k): with the ratio at the last point it bounds all ratios beyond, as these are monotone in k."""
    if isinstance(law, td.Poisson) and type(law).log_prob is td.Poisson.log_prob:
        return torch.zeros_like(law.rate.detach())
    if isinstance(law, td.Geometric) and type(law).log_prob is td.Geometric.log_prob:
        return 1 - law.probs.detach()
    if isinstance(law, td.NegativeBinomial) and type(law).log_prob is td.NegativeBinomial.log_prob:
        return law.probs.detach()
    raise NotImplementedError(f"the tail of {_name(law)} has no known bound: use method='monte-carlo'")


def _compositions(total: int, parts: int, device: torch.device) -> Tensor:
    """All vectors of `parts` non-negative integers with the sum `total`, shape (M, parts)."""
    count = math.comb(total + parts - 1, parts - 1)
    if count > LARGEST:
        raise NotImplementedError(f"Multinomial has {count} outcomes, more than {LARGEST}: use method='monte-carlo'")
    points = torch.zeros(1, 0, dtype=torch.long, device=device)
    for _ in range(parts - 1):
        left = total - points.sum(-1)
        repeated = points.repeat_interleave(left + 1, dim=0)
        starts = (left + 1).cumsum(0) - (left + 1)
        entry = torch.arange(len(repeated), device=device) - starts.repeat_interleave(left + 1)
        points = torch.cat([repeated, entry.unsqueeze(-1)], dim=-1)
    return torch.cat([points, (total - points.sum(-1)).unsqueeze(-1)], dim=-1)


def _require_few(points: int, law: td.Distribution) -> None:
    if points > LARGEST:
        raise NotImplementedError(
            f"{_name(law)} needs {points} points to be enumerated, more than {LARGEST}: use method='monte-carlo'"
        )


def _name(law: td.Distribution) -> str:
    return type(law).__name__
