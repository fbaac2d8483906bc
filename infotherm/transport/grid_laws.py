"""Equally spaced grids, and laws on them as masses of cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from infotherm.core.quadrature import gauss_legendre
from infotherm.core.tensors import as_tensor, require_finite
from infotherm.distributions.base import Distribution

_UNEQUAL = 1e-6  # of a spacing
_MOST_CUT_OFF = 1e-3
_NODES = 4  # along each axis of a cell
_SEEN = 1e-3  # of the mass of a cell: where quadrature misses more, it says nothing about the cell


def axes_of(grid: Any) -> list[Tensor]:
    """The centres of cells along each axis: one equally spaced array, or a pair of them for the plane.

    Raises
    ------
    ValueError
        When there are fewer than two centres, or they do not increase in equal steps.
    """
    pair = isinstance(grid, tuple | list) and len(grid) == 2 and all(_is_array(axis) for axis in grid)
    axes = [as_tensor(axis, "grid") for axis in (grid if pair else [grid])]
    for axis in axes:
        require_finite(axis, "grid")
        if axis.ndim != 1 or len(axis) < 2:
            raise ValueError(
                "grid must be an array of at least 2 cell centres, or a pair of them for the plane; got shape "
                f"{tuple(axis.shape)}"
            )
        steps = axis.double().diff()
        spacing = (axis[-1].double() - axis[0].double()) / (len(axis) - 1)
        room = _UNEQUAL * spacing + 4 * torch.finfo(axis.dtype).eps * axis.abs().max()
        if not bool(spacing > 0) or bool(((steps - spacing).abs() > room).any()):
            raise ValueError(
                "grid must increase in equal steps; got steps from "
                f"{steps.min().item():.9g} to {steps.max().item():.9g}"
            )
    return axes


def width_of(axis: Tensor) -> float:
    """The spacing of an axis, the length of its cells."""
    return float(axis[-1].double() - axis[0].double()) / (len(axis) - 1)


def unevenness(axes: Sequence[Tensor]) -> float:
    """How far at most the centres are from places in equal steps: `axes_of` allows for the rounding of their dtype."""
    parts = []
    for axis in axes:
        axis = axis.double()
        even = axis[0] + width_of(axis) * torch.arange(len(axis), dtype=axis.dtype, device=axis.device)
        parts.append(float((axis - even).abs().max()))
    return math.hypot(*parts)


def masses_of_array(density: Any, name: str, shape: Sequence[int]) -> tuple[Tensor, float]:
    """Masses of the cells, of sum one, and the sum that was given.

    Raises
    ------
    ValueError
        For another shape, an entry that is negative or not finite, or no mass at all.
    """
    values = require_finite(as_tensor(density, name), name).detach().double()
    if tuple(values.shape) != tuple(shape):
        raise ValueError(f"{name} must have one entry a cell, shape {tuple(shape)}; got {tuple(values.shape)}")
    if bool((values < 0).any()):
        where = torch.nonzero(values < 0)[0].tolist()
        raise ValueError(f"{name} must be >= 0; got {values[tuple(where)].item()} at index {where}")
    most = values.max()
    if not bool(most > 0):
        raise ValueError(f"{name} must hold some mass; got zeros only")
    values = values / most
    total = values.sum()
    return values / total, float(total) * float(most)


def masses_of_law(law: Distribution, name: str, axes: Sequence[Tensor]) -> tuple[Tensor, float, float]:
    """Masses of the cells, of sum one; how far in W2 the law is from them, spread evenly in cells; the mass cut off.

    On a line by the distribution function where there is one, so that edges and peaks within cells are seen; else by
    Gauss-Legendre quadrature in every cell, for laws that are smooth there. Within a cell, W2 to the even law is at
    most 2 / pi times its longest side times the root of chi^2 (Poincare), and what quadrature does not see moves
    through the cell. What two rules disagree on otherwise, and what lies off the grid, moves as far as it can.

    Raises
    ------
    ValueError
        For a law of another dimension, a batch, atoms, or more than 1e-3 of its mass off the grid.

    Source: Peyre, ESAIM: COCV 24, 1489 (2018), Theorem 1; Payne and Weinberger, Arch. Rational Mech. Anal. 5, 286
    (1960).
    """
    if law.dim != len(axes) or law.batch_shape:
        raise ValueError(
            f"{name} must be one law in D = {len(axes)}, as the grid; got D = {law.dim}, batch {tuple(law.batch_shape)}"
        )
    if law.measure != "lebesgue":
        raise ValueError(f"{name} must have a density; count atoms and samples into the cells and give the array")
    widths = [width_of(axis) for axis in axes]
    masses, second, spread, farthest = _cell_integrals(law, axes, widths, _NODES)
    known = _masses_by_cdf(law, axes, widths)
    other = _cell_integrals(law, axes, widths, _NODES - 1)[0] if known is None else known
    unseen = (masses - other).abs()
    masses = masses if known is None else known
    cut_off = abs(1 - float(masses.sum()))
    if cut_off > _MOST_CUT_OFF:
        raise ValueError(
            f"the grid must hold {name}: its cells have the mass {float(masses.sum()):.6g} of it; "
            "widen the grid, or refine it where the law is narrower than a cell"
        )
    eps = torch.finfo(law.dtype).eps
    diagonal = math.hypot(*(len(axis) * width for axis, width in zip(axes, widths, strict=True)))
    cell = math.hypot(*widths) ** 2
    local = (2 * max(widths) / math.pi) ** 2 * spread + unseen * cell
    local = torch.where(unseen > _SEEN * masses, math.inf, local)
    within = math.sqrt(float(torch.minimum(local, masses * cell).sum()))
    # a distribution function is off by some eps, by which all quantiles move to other levels
    disputed = float(unseen.sum()) if known is None else 32 * eps
    doubt = float((unseen * farthest.square()).sum())
    off = math.sqrt(2 * _square_outside(law, axes, widths, second, doubt) + cut_off * diagonal**2 / 2)
    return masses / masses.sum(), within + math.sqrt(disputed) * diagonal + off, cut_off


def _masses_by_cdf(law: Distribution, axes: Sequence[Tensor], widths: Sequence[float]) -> Tensor | None:
    """Masses of the cells of a line from the distribution function; None where there is none."""
    if len(axes) > 1:
        return None
    edges = _edges(axes[0], widths[0])
    try:
        with torch.no_grad():
            reached = law.cdf(edges[:, None].to(law.dtype)).double()
    except (NotImplementedError, AttributeError):
        return None
    return reached.diff().clamp(min=0.0)


def _edges(axis: Tensor, width: float) -> Tensor:
    centres = axis.double()
    return torch.cat([centres - width / 2, centres[-1:] + width / 2])


def _square_outside(
    law: Distribution, axes: Sequence[Tensor], widths: Sequence[float], within: Tensor, doubt: float
) -> float:
    """The second moment about the middle of the grid of what lies off the grid; inf where it is not known.

    It is what the moment of the law has more than that within, which is known up to a doubt.
    """
    low, high = (end.detach().double() for end in law.bounds())
    ends = torch.stack([_edges(axis, width)[[0, -1]] for axis, width in zip(axes, widths, strict=True)])
    if bool(((low >= ends[:, 0]) & (high <= ends[:, 1])).all()):
        return 0.0
    try:
        whole = (law.variance.detach().double() + (law.mean.detach().double() - ends.mean(1)).square()).sum()
    except NotImplementedError:
        return math.inf
    outside = float((whole - within).clamp(min=0.0) + 4 * torch.finfo(law.dtype).eps * whole) + doubt
    return math.inf if math.isnan(outside) else outside


def _cell_integrals(
    law: Distribution, axes: Sequence[Tensor], widths: Sequence[float], nodes: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Masses of cells; the second moment about the grid's middle; mass times chi^2 to the even law and the farthest
    place from the middle, by cell.
    """
    places, weights = gauss_legendre(nodes, -0.5, 0.5, torch.float64, axes[0].device)
    lines = [axis.double()[:, None] + width * places for axis, width in zip(axes, widths, strict=True)]
    points = torch.stack(torch.meshgrid(*(line.flatten() for line in lines), indexing="ij"), -1)
    with torch.no_grad():
        density = law.log_prob(points.to(law.dtype)).double().exp() * math.prod(widths)
    centre = torch.stack([(axis[0] + axis[-1]).double() / 2 for axis in axes])
    squares = (points - centre).square().sum(-1)

    def summed(values: Tensor) -> Tensor:
        for axis, cells in enumerate(len(a) for a in axes):
            values = values.unflatten(axis, (cells, nodes)).movedim(axis + 1, -1) @ weights
        return values

    masses = summed(density)
    of_square = summed(density.square())
    spread = torch.where(masses > 0, of_square / masses.clamp(min=torch.finfo(masses.dtype).tiny) - masses, 0.0)
    offsets = [((axis - (axis[0] + axis[-1]) / 2).abs() + width / 2) for axis, width in zip(axes, widths, strict=True)]
    grids = torch.meshgrid(*(x.double() for x in offsets), indexing="ij")
    farthest = torch.stack(grids).square().sum(0).sqrt()
    return masses, summed(density * squares).sum(), spread.clamp(min=0.0), farthest


def _is_array(x: Any) -> bool:
    return getattr(x, "ndim", 1 if isinstance(x, list | tuple) else 0) == 1
