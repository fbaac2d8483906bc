"""What carries the mass of a law: atoms, a density, or both; and whether two laws can be compared at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor

from infotherm.core.quantity import NotApplicable
from infotherm.distributions import Discrete, Empirical, GaussianMixture, SpikeSlab
from infotherm.distributions.base import Distribution

QUADRATURE_DIM = 3
Log = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Carrier:
    """The Lebesgue decomposition of a law.

    points
        Atoms, shape (A, *batch, D), or None.
    log_mass
        Log-probability of a point: -inf off the atoms.
    log_density
        Log-density of the continuous part, or None when there is none.
    tail
        Bound on the mass of atoms that `points` leaves out, shape (*batch).
    """

    points: Tensor | None
    log_mass: Log
    log_density: Log | None
    tail: Tensor


@singledispatch
def carrier(law: Distribution) -> Carrier:
    """Atoms and density of a law.

    Raises
    ------
    NotImplementedError
        When they are not known: atoms that cannot be listed, a law with atoms and a density that does not separate
        them, a singular Gaussian.
    """
    nothing = torch.zeros(law.batch_shape, dtype=law.dtype, device=law.device)
    if law.measure == "counting":
        if not law.has_enumerate_support:
            raise NotImplementedError(f"the atoms of {type(law).__name__} cannot be listed")
        points = law.enumerate_support()
        points = points.reshape(points.shape[0], *law.batch_shape, law.dim)
        return Carrier(points, law.log_prob, None, getattr(law, "tail_mass", nothing))
    if law.measure != "lebesgue":
        raise NotImplementedError(f"the atoms of {type(law).__name__} are not separated from its density")
    if is_degenerate(law):
        raise NotImplementedError(f"a {type(law).__name__} with a singular covariance has no density")
    return Carrier(None, _never, law.log_prob, nothing)


@carrier.register
def _(law: SpikeSlab) -> Carrier:
    zero = torch.zeros((1, *law.batch_shape, 1), dtype=law.dtype, device=law.device)

    def log_mass(x: Tensor) -> Tensor:
        return torch.where(x[..., 0] == 0, law.log_prob(torch.zeros_like(x)), -math.inf)

    def log_density(x: Tensor) -> Tensor:
        return law.log_prob(torch.where(x == 0, torch.finfo(x.dtype).tiny, x))

    return Carrier(zero, log_mass, log_density, torch.zeros_like(law.weight.detach()))


@carrier.register
def _(law: GaussianMixture) -> Carrier:
    nothing = torch.zeros(law.batch_shape, dtype=law.dtype, device=law.device)
    if law.measure == "lebesgue":
        return Carrier(None, _never, law.log_prob, nothing)
    present = law.weights > 0
    atomic = (law.covariances == 0).all(-1).all(-1) & present
    if law.batch_shape or not bool((atomic | ~law.components.degenerate | ~present).all()):
        raise NotImplementedError("a GaussianMixture has a component on a line or plane, or a batch of laws has atoms")
    weight = law.weights[atomic].sum()
    heap = Empirical(law.means[atomic].detach(), law.weights[atomic])

    def log_mass(x: Tensor) -> Tensor:
        return heap.log_prob(x) + weight.log()

    if bool((atomic | ~present).all()):
        return Carrier(heap.enumerate_support(), log_mass, None, nothing)
    rest = present & ~atomic
    smooth = GaussianMixture(law.weights[rest] / law.weights[rest].sum(), law.means[rest], law.covariances[rest])
    return Carrier(
        heap.enumerate_support(), log_mass, lambda x: smooth.log_prob(x) + law.weights[rest].sum().log(), nothing
    )


def _never(x: Tensor) -> Tensor:
    return torch.full(x.shape[:-1], -math.inf, dtype=x.dtype, device=x.device)


def is_degenerate(law: Distribution) -> bool:
    """Whether a law of the batch has a singular covariance and hence no density (Gaussians and their mixtures)."""
    if isinstance(law, GaussianMixture):
        return law.measure != "lebesgue"
    degenerate = getattr(law, "degenerate", None)
    return isinstance(degenerate, Tensor) and bool(degenerate.any())


def check_pair(p: Distribution, q: Distribution) -> torch.Size:
    """The common batch shape of two laws that live on one space.

    Raises
    ------
    ValueError
        When their numbers of coordinates, alphabets, devices or batch shapes do not fit; the message says both.
    """
    if p.dim != q.dim:
        raise ValueError(f"p and q must have the same number of coordinates; got D = {p.dim} and D = {q.dim}")
    if p.device != q.device:
        raise ValueError(f"p and q must be on one device; got {p.device} and {q.device}")
    if isinstance(p, Discrete) and isinstance(q, Discrete) and p.alphabet != q.alphabet:
        raise ValueError(f"p and q must have one alphabet; got {p.alphabet} and {q.alphabet} outcomes")
    try:
        return torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    except RuntimeError:
        raise ValueError(
            f"the batch shapes of p and q must broadcast; got {tuple(p.batch_shape)} and {tuple(q.batch_shape)}"
        ) from None


# -- predicates ------------------------------------------------------------------------------------------------------


def require_carriers(*laws: Distribution) -> None:
    """Predicate of quadrature: atoms and densities are known, and the densities live in at most three dimensions."""
    for law in laws:
        if law.measure != "counting" and law.dim > QUADRATURE_DIM:
            raise NotApplicable(f"quadrature takes D <= {QUADRATURE_DIM}; D = {law.dim}")
        try:
            carrier(law)
        except NotImplementedError as reason:
            raise NotApplicable(str(reason)) from None


def require_atoms(*laws: Distribution) -> None:
    """Predicate of exact sums: all laws are finite sets of atoms."""
    for law in laws:
        if law.measure != "counting":
            raise NotApplicable(f"{type(law).__name__} has a density")
        if not law.has_enumerate_support:
            raise NotApplicable(f"the atoms of {type(law).__name__} cannot be listed")
        tail = getattr(law, "tail_mass", None)
        if tail is not None and bool((tail > 0).any()):
            raise NotApplicable(f"{type(law).__name__} has infinitely many atoms")


def require_singular(p: Distribution, q: Distribution) -> None:
    """Predicate of mutually singular laws: one is a sum of atoms, the other has a density."""
    check_pair(p, q)
    if {p.measure, q.measure} != {"counting", "lebesgue"}:
        raise NotApplicable("the laws are not a sum of atoms against a density")


def require_comparable(*laws: Distribution) -> None:
    """Predicate of Monte Carlo: all log-densities refer to one measure."""
    for law in laws:
        if is_degenerate(law):
            raise NotApplicable(f"a {type(law).__name__} with a singular covariance has no density")
    first = laws[0]
    for law in laws[1:]:
        if law.measure != first.measure or (law.measure == "mixed" and type(law) is not type(first)):
            raise NotApplicable(
                f"log_prob of {type(first).__name__} ({first.measure}) and of {type(law).__name__} ({law.measure}) "
                f"are densities of different measures"
            )


def require_sampler(*laws: Distribution) -> None:
    """Predicate of Monte Carlo: the laws can be sampled."""
    for law in laws:
        if getattr(law, "sampler", law) is None:
            raise NotApplicable(f"{law!r} cannot be sampled: give it a sampler")
