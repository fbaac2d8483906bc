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

    By Gauss-Legendre quadrature in every cell, for laws that are smooth there. Within a cell, W2 to the even law is at
    most 2 / pi times its longest side times the root of chi^2 (Poincare); what two rules disagree on, and what lies off
    the grid, moves as far as it can.

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
    masses, second, spread = _cell_integrals(law, axes, widths, _NODES)
    coarse = _cell_integrals(law, axes, widths, _NODES - 1)[0]
    cut_off = abs(1 - float(masses.sum()))
    if cut_off > _MOST_CUT_OFF:
        raise ValueError(
            f"the grid must hold {name}: its cells have the mass {float(masses.sum()):.6g} of it; "
            "widen the grid, or refine it where the law is narrower than a cell"
        )
    diagonal = math.hypot(*(len(axis) * width for axis, width in zip(axes, widths, strict=True)))
    within = torch.minimum((2 * max(widths) / math.pi) ** 2 * spread, masses * math.hypot(*widths) ** 2).sum().sqrt()
    disputed = float((masses - coarse).abs().sum()) / 2
    off = 0.0
    eps = torch.finfo(torch.float64).eps
    if cut_off > eps * masses.numel():
        try:
            centre = torch.stack([(axis[0] + axis[-1]).double() / 2 for axis in axes])
            whole = (law.variance.double() + (law.mean.double() - centre).square()).sum().detach()
            outside = (whole - second).clamp(min=0.0) + eps * whole
            off = math.sqrt(2 * float(outside) + cut_off * diagonal**2 / 2)
        except NotImplementedError:
            off = math.inf
    return masses / masses.sum(), float(within) + math.sqrt(disputed) * diagonal + off, cut_off


def _cell_integrals(
    law: Distribution, axes: Sequence[Tensor], widths: Sequence[float], nodes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Masses of cells; the second moment about the grid's middle; mass times chi^2 to the even law, by cell."""
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
    return masses, summed(density * squares).sum(), spread.clamp(min=0.0)


def _is_array(x: Any) -> bool:
    return getattr(x, "ndim", 1 if isinstance(x, list | tuple) else 0) == 1
