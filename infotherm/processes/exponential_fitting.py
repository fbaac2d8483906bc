"""Finite volumes for dp/dt = -dJ/dx, J = b p - d(D p)/dx, with exponentially fitted fluxes (Scharfetter and Gummel).

Between neighbouring nodes, a distance h apart, with w = integral of b / D between them and B(w) = w / (exp(w) - 1),

    J = (D_i B(-w) p_i - D_{i+1} B(w) p_{i+1}) / h,

exact for a constant b / D. It is a jump process on the nodes, with rates D_i B(-w) / h^2 up and D_{i+1} B(w) / h^2
down: probabilities stay positive and are conserved, and where no current flows the steady state exp(integral of b / D)
/ D is that of the grid exactly. The affinity of a pair of nodes, log(up / down) = w + log(D_i / D_{i+1}), is the
integral of the thermodynamic force (b - dD/dx) / D.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from infotherm.core.rules import gauss_legendre
from infotherm.distributions.base import Distribution
from infotherm.processes.base import DiffusionProcess
from infotherm.processes.ring import scalar_fields

Array = np.ndarray

_EMPTY = 1e-13  # share of the largest probability below which a node counts as empty
_FORCE_POINTS = 4
_REMEMBERED = 16


@dataclass(frozen=True)
class LineGrid:
    """Uniform nodes of a line, or of a ring of the given period.

    Attributes
    ----------
    lower, spacing, count
        First node, distance of neighbours, number of nodes.
    period
        Of a ring, else None.
    """

    lower: float
    spacing: float
    count: int
    period: float | None = None

    @staticmethod
    def between(lower: float, upper: float, intervals: int) -> LineGrid:
        """A line of so many intervals."""
        return LineGrid(lower, (upper - lower) / intervals, intervals + 1)

    @staticmethod
    def around(period: float, intervals: int) -> LineGrid:
        """A ring of so many intervals."""
        return LineGrid(0.0, period / intervals, intervals, period)

    @property
    def nodes(self) -> Array:
        """The nodes, shape (n,)."""
        return self.lower + self.spacing * np.arange(self.count)


@dataclass(frozen=True)
class Fluxes:
    """A process of one coordinate as jumps between the nodes of a grid."""

    process: DiffusionProcess
    grid: LineGrid

    @cached_property
    def _known(self) -> dict[float, tuple[tuple[Array, Array], Array]]:
        """Rates and affinities at the times looked at last, the only one of a process that does not change."""
        return {}

    def rates(self, t: float) -> tuple[Array, Array]:
        """Rates up and down between neighbours, each of n - 1 entries (n on a ring)."""
        return self._at(t)[0]

    def affinities(self, t: float) -> Array:
        """log(up / down) between neighbours."""
        return self._at(t)[1]

    @cached_property
    def _static(self) -> bool:
        return self.process.is_static

    def _at(self, t: float) -> tuple[tuple[Array, Array], Array]:
        if self._static and self._known:
            t = next(iter(self._known))
        if t not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.pop(next(iter(self._known)))
            exponent, diffusion = self._exponents(t)
            ring = self.grid.period is not None
            left, right = (diffusion, np.roll(diffusion, -1)) if ring else (diffusion[:-1], diffusion[1:])
            scale = self.grid.spacing**-2
            rates = scale * left * bernoulli(-exponent), scale * right * bernoulli(exponent)
            self._known[t] = rates, exponent + np.log(left / right)
        return self._known[t]

    def production(self, t: float, masses: Array) -> Array:
        """Entropy production rate and rate of the medium's entropy, nats per unit of time, shape (2,)."""
        up, down = self.rates(t)
        affinity = self.affinities(t)
        if self.grid.period is None:
            here, there = masses[:-1], masses[1:]
        else:
            here, there = masses, np.roll(masses, -1)
        current = up * here - down * there
        floor = _EMPTY * masses.max()
        filled = (here > floor) & (there > floor)
        ratio = np.log(np.where(filled, here, 1.0)) - np.log(np.where(filled, there, 1.0))
        produced = np.where(filled, current * (ratio + affinity), 0.0).sum()
        return np.array([produced, (current * affinity).sum()])

    def _exponents(self, t: float) -> tuple[Array, Array]:
        """w between neighbours and D at the nodes."""
        count = self.grid.count if self.grid.period is not None else self.grid.count - 1
        places, weights = _force_rule()
        nodes = torch.from_numpy(self.grid.nodes)
        between = nodes[:count, None] + self.grid.spacing * places
        points = torch.cat([between.flatten(), nodes])
        drift, diffusion = scalar_fields(self.process, points, t)
        inner = len(between) * len(places)
        slope = (drift[:inner] / diffusion[:inner]).reshape(between.shape)
        return (self.grid.spacing * slope @ weights).numpy(), diffusion[inner:].numpy()


def bernoulli(w: Array) -> Array:
    """B(w) = w / (exp(w) - 1)."""
    small = np.abs(w) < 1e-8
    safe = np.where(small, 1.0, w)
    with np.errstate(over="ignore"):
        return np.where(small, 1 - 0.5 * w, safe / np.expm1(safe))


def _force_rule() -> tuple[torch.Tensor, torch.Tensor]:
    return gauss_legendre(_FORCE_POINTS, 0.0, 1.0)


def masses_on(grid: LineGrid, p: Distribution) -> Array:
    """The probabilities of a scalar law on the nodes, summing to one.

    A density on the whole line is taken at the nodes; one on part of it is integrated over every node's cell; atoms are
    shared between the two nodes beside them so that the mean is kept.

    Raises
    ------
    ValueError
        When a density is not finite at a node.
    """
    if has_points(p):
        points, weights = atoms(p)
        return _shared(grid, points, weights)
    lower, upper = (float(end[0]) for end in p.bounds())
    if grid.period is None and lower == -np.inf and upper == np.inf:
        masses = density(p, grid.nodes) * grid.spacing
    else:
        masses = integrated(grid, p, lower, upper)
    total = masses.sum()
    if not np.isfinite(total) or total <= 0:
        raise ValueError(f"p0 must have a finite density on the grid; its probability there sums to {total}")
    return masses / total


def integrated(grid: LineGrid, p: Distribution, lower: float, upper: float) -> Array:
    """Integrals of the density over cells, on a ring over all their images that carry any."""
    images = [0.0]
    if grid.period is not None:
        low, high = reach(p, lower, upper)
        images = [grid.period * k for k in range(int(np.floor(low / grid.period)) - 1, int(high // grid.period) + 2)]
    places, weights = (a.numpy() for a in gauss_legendre(8, 0.0, 1.0))
    total = np.zeros(grid.count)
    for image in images:
        left = grid.nodes - 0.5 * grid.spacing + image
        right = np.clip(left + grid.spacing, lower, upper)
        left = np.clip(left, lower, upper)
        width = right - left
        points = left[:, None] + width[:, None] * places
        values = np.where(width[:, None] > 0, density(p, points), 0.0)
        total += width * (values @ weights)
    return total


def reach(p: Distribution, lower: float, upper: float) -> tuple[float, float]:
    """Where a law has its mass, but for next to nothing."""
    points = p.breakpoints().to(torch.float64)
    width = float(points.max() - points.min())
    low, high = float(points.min()) - 0.5 * width, float(points.max()) + 0.5 * width
    return max(low, lower), min(high, upper)


def density(p: Distribution, points: Array) -> Array:
    """The density of a scalar law at points (...)."""
    with torch.no_grad():
        values = torch.exp(p.log_prob(torch.from_numpy(points)[..., None].to(p.dtype)))
    return values.to(torch.float64).cpu().numpy()


def has_points(p: Distribution) -> bool:
    """Whether a law is one of atoms: it has no density."""
    return p.measure != "lebesgue" or is_point(p)


def is_point(p: Distribution) -> bool:
    """Whether a law is a Gaussian without spread."""
    return bool(getattr(p, "degenerate", torch.zeros(1, dtype=torch.bool)).any())


def atoms(p: Distribution) -> tuple[Array, Array]:
    """Places and probabilities of the atoms of a law."""
    from infotherm.distributions import Empirical, Gaussian

    if isinstance(p, Gaussian):
        return p.mean.reshape(-1).double().numpy(), np.ones(1)
    if isinstance(p, Empirical):
        return p.samples.reshape(-1).double().numpy(), p.weights.reshape(-1).double().numpy()
    if p.has_enumerate_support:
        points = p.enumerate_support()
        return points.reshape(-1).double().numpy(), torch.exp(p.log_prob(points)).reshape(-1).double().numpy()
    raise ValueError(
        f"p0 has atoms that cannot be listed ({type(p).__name__}): give a density, or samples as Empirical"
    )


def _shared(grid: LineGrid, points: Array, weights: Array) -> Array:
    """Atoms on the two nodes beside each, in proportion to the distance."""
    place = (points - grid.lower) / grid.spacing
    cell = np.floor(place).astype(np.int64)
    fraction = place - cell
    masses = np.zeros(grid.count)
    for node, share in ((cell, 1 - fraction), (cell + 1, fraction)):
        if grid.period is not None:
            node = node % grid.count
        np.add.at(masses, np.clip(node, 0, grid.count - 1), weights * share)
    return masses / masses.sum()
