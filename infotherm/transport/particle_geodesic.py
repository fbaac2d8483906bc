"""Displacement interpolation between laws of atoms: particles on straight lines at constant speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import as_tensor, validating
from infotherm.distributions import Discrete, Empirical
from infotherm.distributions.base import Distribution
from infotherm.transport.discrete import optimal_transport


@dataclass(frozen=True, eq=False)
class ParticleGeodesic:
    """The shortest path between two laws of atoms: every pair of an optimal plan is a particle on a straight line.

    Attributes
    ----------
    origins, targets
        Where the particles start and end, shape (M, D).
    weights
        Their probabilities, shape (M,), > 0.
    gap
        How much more the plan may cost than the best one, sum w |x_1 - x_0|^2 <= W2^2 + gap; 0 on a line.
    """

    origins: Tensor
    targets: Tensor
    weights: Tensor
    gap: float

    def at(self, t: Any) -> Empirical:
        """The law at one time t in [0, 1], an atom for each particle.

        Raises
        ------
        ValueError
            For t outside [0, 1], or several times.
        """
        return Empirical(self.positions(t), self.weights)

    def positions(self, t: Any) -> Tensor:
        """(1 - t) x_0 + t x_1 of all particles at one time, shape (M, D)."""
        return torch.lerp(self.origins, self.targets, self._time(t))

    def velocity(self, x: Any, t: Any) -> Tensor:
        """The velocity x_1 - x_0 of the particles at x at time t, shape (..., D); where several meet, the mean.

        For 0 < t < 1 particles of an optimal plan do not meet; at the ends mass may split or join. Between particles
        there is no velocity.

        Raises
        ------
        ValueError
            For t outside [0, 1], points of another dimension, or points at which there is no particle.
        """
        here = self.positions(t)
        x = as_tensor(x, "x", dtype=here.dtype, device=here.device)
        if x.ndim == 0 or x.shape[-1] != here.shape[-1]:
            raise ValueError(f"x must have shape (..., {here.shape[-1]}); got {tuple(x.shape)}")
        points = x.reshape(-1, x.shape[-1])
        # rounding of the positions, over all coordinates
        reach = 64 * torch.finfo(here.dtype).eps * (here.abs().amax() + self.origins.abs().amax())
        close = torch.cdist(points, here, compute_mode="donot_use_mm_for_euclid_dist") <= reach
        if not bool(close.any(-1).all()):
            missing = points[~close.any(-1)][0].tolist()
            raise ValueError(f"x must be at particles: there is none at {missing} at time {float(self._time(t)):.6g}")
        shares = close.to(here) * self.weights
        velocities = shares @ (self.targets - self.origins) / shares.sum(-1, keepdim=True)
        return velocities.reshape(x.shape)

    def map(self, x: Any) -> Tensor:
        """Where the mass at atoms x of the first law goes, its mean where it splits (the barycentric map)."""
        return as_tensor(x, "x", dtype=self.origins.dtype, device=self.origins.device) + self.velocity(x, 0.0)

    def _time(self, t: Any) -> Tensor:
        t = as_tensor(t, "t", dtype=self.origins.dtype, device=self.origins.device)
        if t.numel() != 1:
            raise ValueError(f"t must be one time; got shape {tuple(t.shape)}")
        if validating(t) and not 0 <= float(t) <= 1:
            raise ValueError(f"t must lie in [0, 1]; got {float(t)}")
        return t.reshape(())

    def __repr__(self) -> str:
        return f"ParticleGeodesic({len(self.weights)} particles, D={self.origins.shape[1]})"


def particle_geodesic(p: Distribution, q: Distribution) -> ParticleGeodesic:
    """The geodesic between two laws of atoms, by sorting on a line, else by an optimal plan.

    Raises
    ------
    ModuleNotFoundError
        In D > 1 without the package POT.
    """
    (x, a), (y, b) = _atoms_of(p), _atoms_of(q)
    if p.dim == 1:
        rows, columns, weights = _sorted_pairs(x[:, 0], a, y[:, 0], b)
        return ParticleGeodesic(x[rows], y[columns], weights, 0.0)
    costs = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
    found = optimal_transport(a, b, costs)
    rows, columns = torch.nonzero(found.plan, as_tuple=True)
    weights = found.plan[rows, columns]
    return ParticleGeodesic(x[rows], y[columns], weights / weights.sum(), float(found.cost.error))


def _atoms_of(law: Distribution) -> tuple[Tensor, Tensor]:
    """Points (N, D) and their probabilities (N,), those of probability zero left out."""
    if isinstance(law, Empirical):
        points, weights = law.samples.detach(), law.weights.detach()
    else:
        support = law.enumerate_support()
        points = law.values_at(support) if isinstance(law, Discrete) else support.to(law.dtype)
        weights = law.log_prob(support).exp().detach()
    present = weights > 0
    return points[present], weights[present] / weights.sum()


def _sorted_pairs(x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the pairs of the increasing plan, and what each carries."""
    order_x, order_y = x.argsort(), y.argsort()
    levels_x, levels_y = a[order_x].cumsum(0), b[order_y].cumsum(0)
    levels = torch.cat([levels_x, levels_y]).sort().values.clamp(max=1.0)
    widths = levels.diff(prepend=levels.new_zeros(1))
    carried = widths > 8 * torch.finfo(x.dtype).eps  # slivers that rounding leaves between two levels meant to be equal
    middle = (levels - widths / 2)[carried]
    rows = order_x[torch.searchsorted(levels_x, middle).clamp(max=len(x) - 1)]
    columns = order_y[torch.searchsorted(levels_y, middle).clamp(max=len(y) - 1)]
    return rows, columns, widths[carried] / widths[carried].sum()
