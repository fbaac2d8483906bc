"""TorchDistribution: any torch.distributions object as a law with one event dimension and a masked support."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor
from torch.distributions import constraints

from infotherm.core.tensors import Generator, as_generator, as_tensor, rng_scope, validating
from infotherm.distributions.base import Distribution
from infotherm.distributions.landmarks import LEVELS, landmarks, sample_quantiles
from infotherm.distributions.lattice import lattice
from infotherm.distributions.lazy import remembered
from infotherm.distributions.masked import (
    forgets_support,
    leaf_constraint,
    masked_log_prob,
    support_of,
    without_validation,
)
from infotherm.distributions.moments import scalar_mean, scalar_variance

_PROBES = 401  # draws that locate the bulk of a law without quantile function
_SEED = 20220517  # of those draws, which touch no other stream


class TorchDistribution(Distribution):
    """A torch distribution with its event flattened to one dimension.

    `log_prob` is -inf outside the support, where torch raises or returns an arbitrary number. `generator=` works for
    every family. Discrete laws have measure "counting". A law on the simplex of K probabilities is described by its
    first K - 1 coordinates, in which it has a density: D = K - 1.

    Parameters
    ----------
    base
        The torch distribution. Its dtype is kept; gradients flow to its parameters.

    Raises
    ------
    TypeError
        For laws on matrices of a special kind (Wishart, LKJCholesky), which have no density on R^D, and for abstract
        classes.

    Examples
    --------
    >>> p = TorchDistribution(torch.distributions.Uniform(torch.tensor(0.0), torch.tensor(2.0)))
    >>> p.log_prob([[1.0], [3.0]]).exp().tolist()
    [0.5, 0.0]
    """

    def __init__(self, base: td.Distribution) -> None:
        self.base = base
        self._quiet = without_validation(base)
        support = support_of(base)
        leaf = leaf_constraint(support)
        self._on_simplex = isinstance(leaf, type(constraints.simplex))
        _refuse_special_events(base, leaf, self._on_simplex)
        self.measure = "counting" if getattr(support, "is_discrete", False) else "lebesgue"
        self.has_rsample = bool(getattr(base, "has_rsample", False))  # type: ignore[misc]
        dtype, device = _whereabouts(base)
        dim = math.prod(base.event_shape) - (1 if self._on_simplex else 0)
        super().__init__(base.batch_shape, dim, dtype=dtype, device=device)

    # -- events ------------------------------------------------------------------------------------------------------

    def to_event(self, x: Tensor) -> Tensor:
        """Points (..., D) in the event shape of `base`."""
        if self._on_simplex:
            last = 1 - x.sum(-1, keepdim=True)
            # a last coordinate that is lost to rounding stands for half a unit of the others' last place
            return torch.cat([x, torch.where(last == 0, torch.finfo(x.dtype).eps / 4, last)], dim=-1)
        return x.reshape((*x.shape[:-1], *self.base.event_shape))

    def from_event(self, y: Tensor) -> Tensor:
        """Events of `base` as points (..., D)."""
        if self._on_simplex:
            return y[..., :-1]
        return y.reshape((*y.shape[: y.ndim - len(self.base.event_shape)], self.dim))

    # -- the law -----------------------------------------------------------------------------------------------------

    def log_prob(self, value: Any) -> Tensor:
        """The log-density (log-probability for a discrete law), shape (..., D) -> (...), in nats; -inf outside."""
        x = self._points(value)
        if not self._on_simplex:
            return masked_log_prob(self._quiet, self.to_event(x))
        inside = (x >= 0).all(-1) & (x.sum(-1) <= 1)
        centre = torch.full_like(x, 1 / (self.dim + 1))
        density = masked_log_prob(self._quiet, self.to_event(torch.where(inside.unsqueeze(-1), x, centre)))
        return torch.where(inside, density, -math.inf)

    def sample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
        """Independent draws, shape (*sample_shape, *batch, D), without gradient; `generator` may be a seed."""
        with torch.no_grad(), rng_scope(as_generator(generator, self.device), self.device):
            return self.from_event(self.base.sample(torch.Size(sample_shape)))

    def rsample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
        """Draws with gradients to the parameters of `base`, where it has them (`has_rsample`)."""
        if not self.has_rsample:
            return super().rsample(sample_shape, generator)
        with rng_scope(as_generator(generator, self.device), self.device):
            return self.from_event(self.base.rsample(torch.Size(sample_shape)))

    @property
    def support(self) -> Any:
        """The support of `base` as torch's constraint."""
        return self.base.support

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The smallest known box around the support, each corner (*batch, D)."""
        if self._on_simplex:
            zero = torch.zeros((*self.batch_shape, self.dim), dtype=self.dtype, device=self.device)
            return zero, zero + 1
        lower, upper = _box(self._quiet)
        shape = (*self.batch_shape, *self.base.event_shape)
        ends = [torch.as_tensor(end, dtype=self.dtype, device=self.device).detach() for end in (lower, upper)]
        lower, upper = (self.from_event(end.expand(shape)) for end in ends)
        return lower, upper

    # -- moments -----------------------------------------------------------------------------------------------------

    @property
    def mean(self) -> Tensor:
        """Mean, shape (*batch, D): torch's (NaN or inf where there is none), by quadrature where torch has no formula.

        torch's moments of VonMises are circular ones; here they are those of the angle in [-pi, pi].
        """
        if isinstance(self.base, td.VonMises):
            return scalar_mean(self).unsqueeze(-1)
        try:
            return self.from_event(self.base.mean)
        except NotImplementedError:
            self._require_scalar_density("mean")
            return scalar_mean(self).unsqueeze(-1)

    @property
    def covariance(self) -> Tensor:
        """Covariance, shape (*batch, D, D): known for scalar laws, independent coordinates, Dirichlet, Multinomial."""
        base: Any = self.base
        if isinstance(base, td.VonMises):
            return scalar_variance(self)[..., None, None]
        if isinstance(base, td.Dirichlet):
            mean, total = base.mean, base.concentration.sum(-1)[..., None, None]
            full = (torch.diag_embed(mean) - mean.unsqueeze(-1) * mean.unsqueeze(-2)) / (total + 1)
            return full[..., :-1, :-1]
        if isinstance(base, td.Multinomial):
            p = base.probs
            return base.total_count * (torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2))
        if hasattr(base, "covariance_matrix"):
            return base.covariance_matrix
        try:
            if self.dim == 1 or _independent_coordinates(base):
                return torch.diag_embed(self.from_event(base.variance))
        except NotImplementedError:
            pass  # torch gives no variance: integrate
        self._require_scalar_density("covariance")
        return scalar_variance(self)[..., None, None]

    def _require_scalar_density(self, what: str) -> None:
        if self.dim != 1 or self.measure != "lebesgue":
            raise NotImplementedError(f"the {what} of {type(self.base).__name__} is not known in closed form")

    def cdf(self, value: Any) -> Tensor:
        """P(X <= value) of a scalar law, shape (..., 1) -> (...), where torch has it."""
        x = self._points(value)
        if self.dim != 1 or self._on_simplex:
            raise NotImplementedError(f"{type(self.base).__name__} has no cdf here")
        lower, upper = self.bounds()
        with torch.no_grad():
            below, above = (x < lower)[..., 0], (x > upper)[..., 0]
        inside = self._quiet.cdf(self.to_event(torch.minimum(torch.maximum(x, lower), upper)))
        return torch.where(below, 0.0, torch.where(above, 1.0, inside))

    def icdf(self, value: Any) -> Tensor:
        """The quantile x with P(X <= x) = value of a scalar law, shape (...) -> (..., 1), where torch has it."""
        value = as_tensor(value, "value", dtype=self.dtype, device=self.device)
        if self.dim != 1 or self._on_simplex:
            raise NotImplementedError(f"{type(self.base).__name__} has no icdf here")
        if validating(value) and not bool(((value >= 0) & (value <= 1)).all()):
            raise ValueError(f"value must be a probability between 0 and 1; got {value.flatten()[0].item():.6g}")
        quantile = self._quiet.icdf(value.reshape((*value.shape, *[1] * len(self.base.event_shape))))
        return quantile.reshape((*torch.broadcast_shapes(value.shape, self.batch_shape), 1))

    # -- help for sums and integrals ---------------------------------------------------------------------------------

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        """Whether `enumerate_support` can list the points of a discrete law."""
        try:
            return len(self._lattice[0]) > 0
        except NotImplementedError:
            return False

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Points of a discrete law that carry all but `tail_mass` of it, shape (M, *batch, D).

        Raises
        ------
        NotImplementedError
            For a continuous law, an unknown tail, or more than 2^22 points.
        """
        points = self._lattice[0].to(self.dtype)
        points = points.reshape(len(points), *[1] * len(self.batch_shape), self.dim)
        return points.expand(-1, *self.batch_shape, -1) if expand else points

    @property
    def tail_mass(self) -> Tensor:
        """A bound on the probability that `enumerate_support` leaves out, shape (*batch), at most 1e-25."""
        return self._lattice[1].to(self.dtype).expand(self.batch_shape)

    @remembered
    def _lattice(self) -> tuple[Tensor, Tensor]:
        if self.measure != "counting":
            raise NotImplementedError(f"{type(self.base).__name__} is continuous: its support cannot be listed")
        return lattice(self._quiet, device=self.device)

    def breakpoints(self) -> Tensor:
        """Bulk, tails, singular ends and kinks of a scalar law, shape (P, *batch)."""
        if self.dim != 1:
            raise ValueError(f"breakpoints are those of a scalar law (D = 1); this one has D = {self.dim}")
        if isinstance(self.base, td.MixtureSameFamily) and not self.base.event_shape:
            of_components = TorchDistribution(self.base.component_distribution).breakpoints()  # (P, *batch, K)
            return of_components.movedim(-1, 0).flatten(0, 1)
        lower, upper = self.bounds()
        points = landmarks(lambda x: self.log_prob(x.unsqueeze(-1)), lower[..., 0], upper[..., 0], self._anchors())
        kinks = [kink.detach().to(points).expand(self.batch_shape) for kink in _kinks(self.base)]
        return torch.cat([torch.stack(kinks), points]) if kinks else points

    def _anchors(self) -> Tensor:
        levels = torch.tensor(LEVELS, dtype=self.dtype, device=self.device)
        if not self._on_simplex:
            try:
                levels = levels.reshape(-1, *[1] * len(self.base.batch_shape))
                quantiles = self._quiet.icdf(levels).detach().expand(-1, *self.batch_shape)
                if bool(torch.isfinite(quantiles).all()):
                    return quantiles
            except (NotImplementedError, AttributeError, RuntimeError):
                pass  # no quantile function: draws will do
        return sample_quantiles(self.sample((_PROBES,), generator=_SEED)[..., 0].to(self.dtype))

    def __repr__(self) -> str:
        return f"TorchDistribution({self.base!r})"


def _refuse_special_events(base: td.Distribution, leaf: Any, on_simplex: bool) -> None:
    name = type(base).__name__
    if type(base) in (td.Distribution, td.ExponentialFamily):
        raise TypeError(f"{name} is abstract: give one of its families")
    if getattr(leaf, "event_dim", 0) > 1:
        raise TypeError(
            f"{name} is a law on matrices of a special kind ({leaf}), which has no density on R^D: "
            f"reparametrise it, or give samples as Empirical"
        )
    if on_simplex and len(base.event_shape) > 1:
        raise TypeError(f"{name} is a law on several simplices, which has no density on R^D: take them one by one")
    if math.prod(base.event_shape) == 0:
        raise TypeError(f"{name} has an empty event of shape {tuple(base.event_shape)}")


def _independent_coordinates(law: td.Distribution) -> bool:
    return isinstance(law, td.Independent) and (
        not law.base_dist.event_shape or _independent_coordinates(law.base_dist)
    )


def _whereabouts(law: td.Distribution) -> tuple[torch.dtype, torch.device]:
    """The dtype and the device of the parameters (of a draw, for a law that keeps none)."""
    tensors = [t for attribute in _public(law) for t in _parameters(attribute)]
    floats = [t for t in tensors if t.is_floating_point()]
    if not floats:
        with rng_scope(as_generator(_SEED, "cpu"), "cpu"), torch.no_grad():
            floats = [law.sample()]
    dtype = floats[0].dtype
    for tensor in floats[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return (dtype if dtype.is_floating_point else torch.get_default_dtype()), floats[0].device


def _parameters(thing: Any, depth: int = 4) -> Iterable[Tensor]:
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, list | tuple):
        for entry in thing:
            yield from _parameters(entry, depth)
    elif isinstance(thing, torch.nn.Module):
        yield from thing.parameters()
    elif depth and isinstance(thing, td.Distribution | td.Transform):
        for attribute in _public(thing):
            yield from _parameters(attribute, depth - 1)


def _public(thing: Any) -> list[Any]:
    """The attributes that hold parameters: private tensors are caches, some of another dtype."""
    hidden = (Tensor, tuple)
    return [a for name, a in vars(thing).items() if not (name.startswith("_") and isinstance(a, hidden))]


def _box(law: td.Distribution) -> tuple[Any, Any]:
    """Lower and upper end of each coordinate of the support, broadcastable with batch and event."""
    if isinstance(law, td.VonMises):
        return -math.pi, math.pi
    if isinstance(law, td.MixtureSameFamily):
        axis = -1 - len(law.event_shape)
        shape = (*law.component_distribution.batch_shape, *law.event_shape)
        lower, upper = (torch.as_tensor(end, dtype=torch.float64) for end in _box(law.component_distribution))
        return lower.expand(shape).amin(axis), upper.expand(shape).amax(axis)
    if isinstance(law, td.Independent):
        return _box(law.base_dist)
    if forgets_support(law):
        return _box_of_transformed(law)
    leaf = leaf_constraint(support_of(law))
    if leaf is constraints.boolean or isinstance(leaf, type(constraints.one_hot)):
        return 0.0, 1.0
    lower, upper = getattr(leaf, "lower_bound", -math.inf), getattr(leaf, "upper_bound", math.inf)
    return (0.0 if isinstance(leaf, constraints.multinomial) else lower), upper


def _box_of_transformed(law: td.TransformedDistribution) -> tuple[Any, Any]:
    """The box of the base carried through the transforms, as long as they act on each coordinate alone."""
    ends = [torch.as_tensor(end, dtype=_whereabouts(law)[0]) for end in _box(law.base_dist)]
    ends = [end.to(_whereabouts(law)[1]) for end in ends]
    for transform in law.transforms:
        codomain = leaf_constraint(transform.codomain)
        lower, upper = getattr(codomain, "lower_bound", -math.inf), getattr(codomain, "upper_bound", math.inf)
        if transform.domain.event_dim or not transform.bijective:
            ends = [torch.as_tensor(lower), torch.as_tensor(upper)]
            continue
        images = [torch.as_tensor(transform(end)).nan_to_num(math.inf, math.inf, -math.inf) for end in ends]
        ends = [torch.minimum(*images).clamp_min(lower), torch.maximum(*images).clamp_max(upper)]
    return ends[0], ends[1]


def _kinks(law: td.Distribution) -> list[Any]:
    """Interior points at which a scalar log-density has a corner."""
    if isinstance(law, td.Laplace):
        return [law.loc]
    if isinstance(law, td.Independent):
        return []
    if forgets_support(law) and not law.event_shape:
        points = _kinks(law.base_dist)
        for transform in law.transforms:
            points = [transform(point) for point in points]
        return points
    return []
