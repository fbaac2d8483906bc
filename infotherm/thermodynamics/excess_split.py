"""The two splits of the entropy production rate of diffusions into excess and housekeeping parts.

Hatano and Sasa: the steady state of the frozen process divides the thermodynamic force,
F - s = (s_ss - s) + (F - s_ss). Maes and Netocny: of all gradients grad psi the one nearest to the force in the metric
of p D is the excess part, div(p D grad psi) = div(p nu), so that the current p (nu - D grad psi) kept up moves nothing.
The gradient s_ss - s is another candidate: housekeeping of Maes and Netocny is never above that of Hatano and Sasa, and
its excess part never below.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.channels.posterior import like
from infotherm.core.estimate import Estimate
from infotherm.core.linalg import psd_factor
from infotherm.core.quadrature import integrate
from infotherm.core.rounding import rounding_error
from infotherm.distributions import Gaussian
from infotherm.distributions.base import Distribution
from infotherm.processes import AffineProcess, Langevin
from infotherm.processes.grid_density import GridDensity
from infotherm.processes.refinement import extrapolated
from infotherm.processes.ring import scalar_fields
from infotherm.thermodynamics.langevin_rates import (
    certain_infinity,
    in_metric,
    mean_square,
    on_its_space,
    runs_off_a_cliff,
    squares_of,
)
from infotherm.thermodynamics.rates import rate_quantity
from infotherm.thermodynamics.score_mismatch import RATE
from infotherm.thermodynamics.system_and_medium import has_atoms

Parts = tuple[Estimate, Estimate]
"""Excess and housekeeping."""

_PLANE = (40, 80, 160)  # intervals of the grids on which the nearest gradient is found


def geometric_or_grid_split(process: Any, p: Distribution, t: Any, split: str) -> Parts:
    """Excess and housekeeping of a Langevin process, or of a Gaussian (of any law with D = 1) under an affine drift.

    Raises
    ------
    ValueError
        When the split is not known for such a process and law.
    """
    if isinstance(process, Langevin):
        return langevin_split(process, p, t, split)
    if isinstance(process, AffineProcess) and isinstance(p, Gaussian):
        return gaussian_geometric_split(process, p, t)
    if isinstance(process, AffineProcess) and p.dim == 1:
        rate = rate_quantity(process, p, t)  # on a line every field is a gradient
        return rate, Estimate(torch.zeros_like(rate.value), error=torch.finfo(rate.value.dtype).tiny, units=RATE)
    raise ValueError(
        f"the split of Maes and Netocny is known for diffusions, in more than one dimension for Gaussian laws or on a "
        f"grid; got {type(process).__name__} and {type(p).__name__}"
    )


def langevin_split(process: Langevin, p: Distribution, t: Any, split: str) -> Parts:
    """Excess and housekeeping rates of a Langevin process with D = 1, or D = 2 and a GridDensity.

    Raises
    ------
    ValueError
        For another dimension, or a batch.
    """
    if p.batch_shape or p.dim > 2 or (p.dim == 2 and not isinstance(p, GridDensity)):
        raise ValueError(
            f"p must be one law with D = 1, or a GridDensity with D = 2 (as marginal and steady_state give it); got "
            f"{type(p).__name__} with D = {p.dim} and batch {tuple(p.batch_shape)}"
        )
    none = Estimate(torch.zeros((), dtype=torch.float64), error=torch.finfo(torch.float64).tiny, units=RATE)
    p = on_its_space(process, p)
    on_line = p.dim == 1 and process.period is None
    if has_atoms(p) or runs_off_a_cliff(process, p):
        if not on_line:
            raise ValueError("p must have a smooth density: its excess rate is infinite, and what is left has no score")
        return certain_infinity(p, RATE), none
    if on_line:  # no current can be kept up on a line: the force is a gradient
        return mean_square(process, p, t, squares_of(process, t)), none
    if split == "hatano-sasa":
        return _about_steady_state(process, p, t)
    if p.dim == 1:
        return _on_ring(process, p, t)
    assert isinstance(p, GridDensity)
    return _in_plane(process, p, t)


def _about_steady_state(process: Langevin, p: Distribution, t: Any) -> Parts:
    """E[(s_ss - s)^T D (s_ss - s)] and E[(F - s_ss)^T D (F - s_ss)]."""
    law = process.quasi_invariant(t, p.dim)
    assert isinstance(law, GridDensity)

    def excess(x: Tensor, score: Tensor) -> Tensor:
        return in_metric(process, x, t, law.score(x) - score)

    def housekeeping(x: Tensor, score: Tensor) -> Tensor:
        return in_metric(process, x, t, process.thermodynamic_force(x, t) - law.score(x))

    parts = [mean_square(process, p, t, squares) for squares in (excess, housekeeping)]
    # what is not known of the steady state shifts production from one part to the other
    slack = law.accuracy * (parts[0].value + parts[1].value).abs()
    first, second = (
        Estimate(part.value, error=part.error + slack, method="quadrature", units=RATE, info=part.info)
        for part in parts
    )
    return first, second


def _on_ring(process: Langevin, p: Distribution, t: Any) -> Parts:
    """Of J = p nu the constant part c = A / (integral of 1 / (p D)) is kept up: housekeeping = A c, A the affinity."""
    lower, upper = (end[0] for end in p.bounds())
    slips: list[Tensor] = []

    def fields(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        points = x[..., None]
        _, diffusion = scalar_fields(process, x, t)
        return p.log_prob(points), process.thermodynamic_force(points, t)[..., 0], diffusion

    def resistances(x: Tensor) -> Tensor:
        log_density, force, diffusion = fields(x)
        return torch.stack([torch.exp(-log_density) / diffusion, force], -1)

    both = integrate(resistances, lower, upper, breakpoints=p.breakpoints(), rtol=1e-11, atol=1e-13)
    resistance, affinity = both.value.unbind(-1)
    current = affinity / resistance

    def squares(x: Tensor) -> Tensor:
        log_density, force, diffusion = fields(x)
        density = torch.exp(log_density)
        rest = force - p.score(x[..., None])[..., 0] - current / (density * diffusion)
        slips.append((density * diffusion * force.square()).max())
        return density * diffusion * rest.square()

    excess = integrate(squares, lower, upper, breakpoints=p.breakpoints(), rtol=1e-10, atol=1e-13)
    value = affinity * current
    relative = 2 * both.error[1] / affinity.abs().clamp(min=1e-300) + both.error[0] / resistance
    accuracy = getattr(p, "accuracy", 0.0)
    moved = accuracy * (excess.value + value + torch.stack(slips).max() * (upper - lower))
    error = torch.where(affinity == 0, both.error[1], relative * value) + rounding_error([value]) + moved
    kept = Estimate(value, error=error, method="quadrature", units=RATE)
    converged = {} if both.converged and excess.converged else {"converged": False}
    lost = excess.error + moved + rounding_error([excess.value + value])
    return Estimate(excess.value, error=lost, method="quadrature", units=RATE, info=converged), kept


def _in_plane(process: Langevin, p: GridDensity, t: Any) -> Parts:
    """The nearest gradient on grids halved twice, extrapolated."""
    found = [_nearest_gradient(process, p, t, intervals) for intervals in _PLANE]
    values, errors = extrapolated([np.array(pair) for pair in found])
    slack = p.accuracy * values.sum()
    excess, kept = (
        Estimate(torch.tensor(v), error=float(e + slack), method="quadrature", units=RATE)
        for v, e in zip(values.tolist(), errors.tolist(), strict=True)
    )
    return excess, kept


def _nearest_gradient(process: Langevin, p: GridDensity, t: Any, intervals: int) -> tuple[float, float]:
    """Excess and housekeeping on the edges of a grid with so many intervals along each axis.

    With weights w = p D of the edges and their forces f = (F - s) h: the node values psi solve the network equations
    sum of w (psi_j - psi_i - f) = 0 at every node; excess = sum w (psi_j - psi_i)^2, housekeeping = sum w (f - ...)^2.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import splu

    from infotherm.processes.exponential_fitting import LineGrid
    from infotherm.processes.plane_fluxes import PlaneFluxes

    frame = torch.eye(2, dtype=torch.float64) if p.frame is None else p.frame
    axes = []
    for axis, period in zip(p.axes, p.periods, strict=True):
        line = LineGrid.between(float(axis[0]), float(axis[-1]), intervals)
        axes.append(line if period is None else LineGrid.around(period, intervals))
    fluxes = PlaneFluxes(process, (axes[0], axes[1]), frame)
    index = np.arange(np.prod(fluxes.shape)).reshape(fluxes.shape)
    ends, weights, forces = [], [], []
    for axis, line in enumerate(axes):
        here, there = fluxes.neighbours(axis, index)
        middle = fluxes.nodes.reshape(-1, 2)[torch.from_numpy(here.ravel())] + 0.5 * line.spacing * frame[:, axis]
        density = torch.exp(p.log_prob(middle))
        own = fluxes.diffusion(middle, float(t))[:, axis]
        away = (process.thermodynamic_force(middle, t) - p.score(middle)) @ frame[:, axis]
        volume = axes[0].spacing * axes[1].spacing
        ends.append((here.ravel(), there.ravel()))
        weights.append((density * own * volume / line.spacing**2).numpy())
        forces.append((away * line.spacing).numpy())
    here, there = (np.concatenate([pair[k] for pair in ends]) for k in (0, 1))
    weight, force = np.concatenate(weights), np.concatenate(forces)
    weight = np.maximum(weight, weight.max() * 1e-18)  # the network stays connected where nothing is
    size = index.size
    rows, columns = np.concatenate([here, there, here, there]), np.concatenate([here, there, there, here])
    matrix = coo_matrix((np.concatenate([weight, weight, -weight, -weight]), (rows, columns)), shape=(size, size))
    source = np.bincount(there, weight * force, size) - np.bincount(here, weight * force, size)
    grounded = slice(1, None)  # psi is known up to a constant
    potential = np.zeros(size)
    potential[grounded] = splu(matrix.tocsc()[grounded, grounded], permc_spec="MMD_AT_PLUS_A").solve(source[grounded])
    rise = potential[there] - potential[here]
    return float((weight * rise**2).sum()), float((weight * (force - rise) ** 2).sum())


def gaussian_geometric_split(process: AffineProcess, p: Gaussian, t: Any) -> Parts:
    """The split of Maes and Netocny for a Gaussian under an affine drift, in closed form.

    nu = K (x - m) + k with K = A + D C^-1, k = A m + c. The nearest gradient field is D S (x - m) + k with the
    symmetric S of D S C + C S D = A C + C A^T + 2 D (the rate of change of C): excess = tr(S D S C) + k^T D^-1 k,
    housekeeping = tr(D^-1 M C M^T), M = K - D S.

    Raises
    ------
    ValueError
        When p is singular.
    """
    if bool(p.degenerate.any()):
        raise ValueError("p must have a density: a singular Gaussian has an infinite excess rate")
    size = p.dim
    diffusion, matrix, offset = (
        like(m(t, size), p.mean) for m in (process.diffusion_matrix, process.drift_matrix, process.drift_offset)
    )
    covariance = p.covariance
    batch = torch.broadcast_shapes(diffusion.shape[:-2], matrix.shape[:-2], covariance.shape[:-2])
    diffusion, matrix, covariance = (m.expand(*batch, size, size) for m in (diffusion, matrix, covariance))
    change = matrix @ covariance + covariance @ matrix.mT + 2 * diffusion
    system = _kron(diffusion, covariance) + _kron(covariance, diffusion)
    symmetric = torch.linalg.solve(system, change.flatten(-2)[..., None])[..., 0].reshape(change.shape)
    symmetric = 0.5 * (symmetric + symmetric.mT)
    pushed = (matrix @ p.mean[..., None])[..., 0] + offset
    root = psd_factor(diffusion)
    shift = torch.linalg.solve(root, pushed[..., None])[..., 0]
    spread = p.scale_tril
    excess = (root.mT @ symmetric @ spread).square().sum((-2, -1)) + shift.square().sum(-1)
    identity = torch.eye(size, dtype=p.dtype, device=p.device)
    rest = matrix @ spread + diffusion @ torch.linalg.solve_triangular(spread.mT, identity, upper=True)
    rest = rest - diffusion @ symmetric @ spread
    kept = torch.linalg.solve(root, rest).square().sum((-2, -1))
    with torch.no_grad():
        eps = torch.finfo(p.dtype).eps
        condition = torch.linalg.cond(system) + torch.linalg.cond(diffusion) + torch.linalg.cond(covariance)
        parts = torch.linalg.solve(root, matrix @ spread).square().sum((-2, -1)) + (
            diffusion @ torch.linalg.inv(covariance)
        ).diagonal(dim1=-2, dim2=-1).sum(-1)
        slip = 16 * size * eps * condition * (parts + shift.square().sum(-1)).sqrt()
        errors = [2 * value.sqrt() * slip + slip.square() + rounding_error([value]) for value in (excess, kept)]
    return Estimate(excess, error=errors[0], units=RATE), Estimate(kept, error=errors[1], units=RATE)


def _kron(a: Tensor, b: Tensor) -> Tensor:
    """The Kronecker product of matrices, batched: (a (x) b) vec(S) = vec(a S b^T) by rows."""
    size = a.shape[-1] * b.shape[-1]
    return torch.einsum("...ij,...kl->...ikjl", a, b).reshape(*a.shape[:-2], size, size)
