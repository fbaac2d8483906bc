"""Log-densities of torch distributions that are -inf outside the support, whatever torch does there.

torch raises outside the support when it validates and often returns a finite number when it does not; the mixture of
two uniform laws raises where only one of them is positive; a transformed law forgets the support of its base. Here the
support is followed through mixtures, independent products and transforms, and a value outside is replaced by a harmless
one before torch sees it, so that gradients stay finite too.

A density that diverges at an end of its support (Beta(1/2, 1/2) at 1) is evaluated there at the nearest number inside:
in floating point the end stands for all the numbers that round to it, and draws do fall on it.
"""

from __future__ import annotations

import copy
import math
from typing import Any, TypeGuard

import torch
import torch.distributions as td
from torch import Tensor
from torch.distributions import constraints

from infotherm.core.tensors import validating
from infotherm.distributions.formulas import log_density


def without_validation(law: td.Distribution) -> td.Distribution:
    """A shallow copy that checks no values (they are checked here), the laws inside included; `law` is untouched."""
    quiet = copy.copy(law)
    quiet._validate_args = False
    for name, attribute in vars(law).items():
        if isinstance(attribute, td.Distribution):
            setattr(quiet, name, without_validation(attribute))
    return quiet


def masked_log_prob(law: td.Distribution, x: Tensor) -> Tensor:
    """log p(x) where x is in the support, -inf elsewhere; x has the event shape of `law`, NaN is not expected."""
    if isinstance(law, td.MixtureSameFamily):
        components = masked_log_prob(law.component_distribution, x.unsqueeze(-1 - len(law.event_shape)))
        return _log_sum_exp(components + torch.log_softmax(law.mixture_distribution.logits, dim=-1))
    if isinstance(law, td.Independent):
        inner = masked_log_prob(law.base_dist, x)
        return inner.sum(tuple(range(-law.reinterpreted_batch_ndims, 0))) if law.reinterpreted_batch_ndims else inner
    if forgets_support(law):
        return _transformed(law, x)
    inside = in_support(law, x)
    event = inside.reshape((*inside.shape, *[1] * len(law.event_shape)))
    point = torch.where(event, x, _harmless(law, x))
    value = log_density(law, point)
    if validating(value):
        endless = (value == math.inf) | torch.isnan(value)  # some formulas give NaN at an end
        if bool(endless.any()):
            endless = endless.reshape((*endless.shape, *[1] * len(law.event_shape)))
            value = log_density(law, torch.where(endless, _moved_inside(law, point), point))
    return torch.where(inside, value, -math.inf)


def forgets_support(law: td.Distribution) -> TypeGuard[td.TransformedDistribution]:
    """Whether `law` is transformed by code other than torch's own families, whose support is only the last codomain."""
    own_family = type(law).__module__.startswith("torch.distributions") and type(law) is not td.TransformedDistribution
    return isinstance(law, td.TransformedDistribution) and not own_family and _log_prob_is_inherited(law)


def _log_prob_is_inherited(law: td.Distribution) -> bool:
    return type(law).log_prob is td.TransformedDistribution.log_prob


def in_support(law: td.Distribution, x: Tensor) -> Tensor:
    """Whether x is a finite point of the support, shape without the event dimensions."""
    finite = torch.isfinite(x)
    if law.event_shape:
        finite = finite.all(dim=tuple(range(-len(law.event_shape), 0)))
    if isinstance(law, td.VonMises):
        return finite & (x.abs() <= math.pi)  # torch draws its angles from this interval
    support = support_of(law)
    if support is None:
        return finite
    return finite & support.check(x)


def support_of(law: td.Distribution) -> Any:
    """The support as torch's constraint, None where the law does not say (or says "it depends")."""
    try:
        support = getattr(law, "support", None)
    except NotImplementedError:
        return None
    return None if support is None or support is constraints.dependent else support


def leaf_constraint(constraint: Any) -> Any:
    """The constraint of one coordinate (or block), with independent and mixture wrappers taken off."""
    while hasattr(constraint, "base_constraint"):
        constraint = constraint.base_constraint
    return constraint


def _transformed(law: td.TransformedDistribution, y: Tensor) -> Tensor:
    """Change of variables backwards through the transforms, each inverse only where it exists."""
    event_dim = len(law.event_shape)
    total: Any = 0.0
    inside: Any = torch.tensor(True, device=y.device)
    for transform in reversed(law.transforms):
        legal = transform.codomain.check(y) & _finite(y, transform.codomain.event_dim)
        legal_events = _reduced(legal, event_dim - transform.codomain.event_dim)
        inside = inside & legal_events
        point = torch.where(
            legal_events.reshape((*legal_events.shape, *[1] * event_dim)), y, _harmless_in(transform.codomain, y)
        )
        x: Any = transform.inv(point)
        event_dim += transform.domain.event_dim - transform.codomain.event_dim
        reached = _reduced(_finite(x, transform.domain.event_dim), event_dim - transform.domain.event_dim)
        inside = inside & reached
        x = torch.where(reached.reshape((*reached.shape, *[1] * event_dim)), x, _harmless_in(transform.domain, x))
        jacobian = transform.log_abs_det_jacobian(x, point)
        total = total - _summed(jacobian, event_dim - transform.domain.event_dim)
        y = x
    base = masked_log_prob(law.base_dist, y)
    value = total + _summed(base, event_dim - len(law.base_dist.event_shape))
    return torch.where(inside, value, -math.inf)


def _finite(x: Tensor, event_dim: int) -> Tensor:
    finite = torch.isfinite(x)
    return finite.all(dim=tuple(range(-event_dim, 0))) if event_dim else finite


def _reduced(legal: Tensor, n: int) -> Tensor:
    return legal.all(dim=tuple(range(-n, 0))) if n else legal


def _summed(value: Tensor, n: int) -> Tensor:
    return value.sum(dim=tuple(range(-n, 0))) if n else value


def _moved_inside(law: td.Distribution, x: Tensor) -> Tensor:
    """x with coordinates at an end of the support moved to the nearest number inside."""
    leaf = leaf_constraint(support_of(law))
    tiny = torch.finfo(x.dtype).tiny
    if isinstance(leaf, type(constraints.simplex)):
        return x.clamp_min(tiny)
    for name, away in (("lower_bound", math.inf), ("upper_bound", -math.inf)):
        end = getattr(leaf, name, None)
        if end is not None:
            end = torch.as_tensor(end, dtype=x.dtype, device=x.device)
            inner = torch.nextafter(end, torch.full_like(end, away))
            inner = torch.where(end == 0, math.copysign(tiny, away), inner)
            x = torch.where(x == end, inner, x)
    return x


def _harmless(law: td.Distribution, x: Tensor) -> Tensor:
    """A point inside the support to stand for those that are not, broadcastable with x."""
    support = support_of(law)
    if support is None:
        return torch.zeros_like(x)
    return _harmless_in(support, x)


def _harmless_in(constraint: Any, x: Tensor) -> Tensor:
    leaf = leaf_constraint(constraint)
    lower, upper = getattr(leaf, "lower_bound", None), getattr(leaf, "upper_bound", None)
    if getattr(leaf, "is_discrete", False):
        # integer vectors of a given sum (Multinomial): everything on the first coordinate
        if getattr(leaf, "event_dim", 0) == 1:
            first = torch.zeros_like(x)
            first[..., 0] = 1 if upper is None else upper
            return first
        return torch.zeros_like(x) + next((end for end in (lower, upper) if end is not None), 0)
    if isinstance(leaf, type(constraints.simplex)):
        return torch.full_like(x, 1 / x.shape[-1])
    if lower is not None and upper is not None:
        lower, upper = (torch.as_tensor(end, dtype=x.dtype, device=x.device) for end in (lower, upper))
        return torch.where(torch.isfinite(upper), 0.5 * lower + 0.5 * upper, lower + 1) + torch.zeros_like(x)
    if lower is not None:
        return torch.zeros_like(x) + lower + 1
    if upper is not None:
        return torch.zeros_like(x) + upper - 1
    return torch.zeros_like(x)


def _log_sum_exp(terms: Tensor) -> Tensor:
    """logsumexp over the last axis with a zero (not NaN) gradient where every term is -inf."""
    empty = torch.isneginf(terms).all(-1)
    return torch.where(empty, -math.inf, torch.logsumexp(torch.where(empty.unsqueeze(-1), 0.0, terms), dim=-1))
