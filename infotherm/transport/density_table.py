"""Quantiles and levels of scalar laws known by their density alone, from a table of the mass of cells."""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from infotherm.core.rules import gauss_legendre
from infotherm.distributions import LogDensity
from infotherm.distributions.base import Distribution
from infotherm.processes.grid_density import GridDensity
from infotherm.transport.quantiles import Quantiles, quantiles_of

_NOTHING = 80.0  # nats below the whole at which what is beyond is left out
_POINTS = 12
_RELATIVE, _ABSOLUTE = 1e-13, 1e-30  # of the mass of a cell, and of the whole
_STEEPEST, _NEGLIGIBLE = 4.0, 1e-20  # ratio of the densities at the ends of a cell, unless it holds next to no mass
_MOST_CELLS = 2**17
_FARTHEST = 1e150
_SAFE_STEPS = 12
_SETTLED = 4e-15  # of a cell

# laws do not change, and a table costs some ten thousand densities
_TABLES: WeakKeyDictionary[Distribution, DensityTable] = WeakKeyDictionary()


class DensityTable:
    """The mass of cells in which a Gauss-Legendre rule integrates the density of a scalar law, summed from both sides.

    Cells are halved until a rule and its two halves agree to 1e-13 of the mass of the cell (a law in float32, to its
    rounding), and the density at the two ends to a factor of 4, so that both tails are known to a relative accuracy.
    What is beyond about e^-80 of the mass is left out.

    Parameters
    ----------
    law
        A scalar law with a density, without batch. Its breakpoints say where its mass is.

    Attributes
    ----------
    edges
        Ends of the cells, shape (K + 1,).
    mass
        The integral of the density; 1 but for the normalisation of the law.
    error
        Absolute error of the levels, estimated by the halves.

    Raises
    ------
    ValueError
        For more than one coordinate, a batch, atoms, a ring, or a density that is zero at all breakpoints.

    Examples
    --------
    >>> law = LogDensity(lambda x: -x[..., 0], lower=0.0, breakpoints=[1.0])
    >>> below, above = DensityTable(law).levels(torch.tensor([20.0], dtype=torch.float64))
    >>> abs(above.log().item() + 20) < 1e-12
    True
    """

    def __init__(self, law: Distribution) -> None:
        if law.dim != 1 or law.batch_shape or law.measure != "lebesgue":
            raise ValueError(
                f"law must be one scalar law with a density; got D = {law.dim}, batch {tuple(law.batch_shape)} and "
                f"measure {law.measure}"
            )
        if any(period is not None for period in getattr(law, "periods", ())):
            raise ValueError("law must live on a line; on a ring there is no lowest point")
        self._law = law
        nodes, weights = gauss_legendre(_POINTS, 0.0, 1.0)
        self._nodes, self._weights = nodes.to(law.device), weights.to(law.device)
        with torch.no_grad():
            self._fill(self._range())

    def _density(self, x: Tensor) -> Tensor:
        return self._law.log_prob(x.to(self._law.dtype)[..., None]).exp().to(torch.float64)

    def _range(self) -> Tensor:
        """Breakpoints, and a ladder from the outermost ones to the ends of the support or of the mass."""
        law = self._law
        lower, upper = (float(end[0]) for end in law.bounds())
        points = law.breakpoints().detach().to(torch.float64).flatten()
        points = points[(points > lower) & (points < upper)]
        if not len(points):
            start, end = max(lower, min(-1.0, upper - 2)), min(upper, max(1.0, lower + 2))
            points = torch.linspace(start, end, 5, dtype=torch.float64)[1:-1]
        points = points.to(law.device).unique()
        first, last = float(points[0]), float(points[-1])
        width = last - first or 1.0
        top = float(law.log_prob(points.to(law.dtype)[:, None]).max())
        if top == -math.inf:
            raise ValueError(f"law must have a density at one of its breakpoints at least; got {law!r}")
        ladders = [points]
        for side, edge, end in ((-1.0, first, lower), (1.0, last, upper)):
            if end not in (-math.inf, math.inf):
                ladders.append(points.new_tensor([end]))
                continue
            rungs, step = [], width / 4
            while step < _FARTHEST:
                rungs.append(edge + side * step)
                value = float(law.log_prob(points.new_tensor([[rungs[-1]]]).to(law.dtype)))
                top = max(top, value)
                if value + math.log(step / width) < top - _NOTHING:
                    break
                step *= 1.5
            ladders.append(points.new_tensor(rungs))
        return torch.cat(ladders).unique()

    def _masses(self, left: Tensor, right: Tensor) -> Tensor:
        width = (right - left)[..., None]
        return (self._density(left[..., None] + width * self._nodes) * self._weights).sum(-1) * width[..., 0]

    def _fill(self, edges: Tensor) -> None:
        steps = torch.linspace(0.0, 1.0, 9, dtype=torch.float64, device=edges.device)[:-1]
        edges = torch.cat([(edges[:-1, None] + edges.diff()[:, None] * steps).flatten(), edges[-1:]])
        left, right = edges[:-1], edges[1:]
        whole = self._masses(left, right)
        relative = max(_RELATIVE, 32 * torch.finfo(self._law.dtype).eps)
        done: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        count = 0
        while len(left):
            middle = 0.5 * (left + right)
            halves = self._masses(left, middle), self._masses(middle, right)
            both = halves[0] + halves[1]
            off = (both - whole).abs()
            narrow = (right - left) <= 1e-14 * torch.maximum(left.abs(), right.abs())
            total = float(both.sum() + sum(float(part[2].sum()) for part in done))
            sides = self._density(left), self._density(right)
            steep = torch.maximum(*sides) > _STEEPEST * torch.minimum(*sides)
            small = both <= _NEGLIGIBLE * total
            good = (off <= relative * both + _ABSOLUTE * total) & (~steep | small) | narrow
            count += int(good.sum())
            if count + 2 * int((~good).sum()) > _MOST_CELLS:
                good = torch.ones_like(good)
            done.append((left[good], right[good], both[good], off[good]))
            rest = ~good
            left, right = torch.cat([left[rest], middle[rest]]), torch.cat([middle[rest], right[rest]])
            whole = torch.cat([halves[0][rest], halves[1][rest]])
        lefts, rights, masses, offs = (torch.cat(column) for column in zip(*done, strict=True))
        order = lefts.argsort()
        mass = masses.sum()
        self.edges = torch.cat([lefts[order], rights[order][-1:]])
        self.mass = float(mass)
        self.error = float(offs.sum() / mass) + 8 * torch.finfo(self._law.dtype).eps
        self._mass = masses[order] / mass
        heights = self._density(self.edges).log()
        self._bend = heights.diff().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        zero = masses.new_zeros(1)
        self._below = torch.cat([zero, self._mass.cumsum(0)])
        self._above = torch.cat([self._mass.flip(0).cumsum(0).flip(0), zero])

    def levels(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """P(X <= x) and P(X > x), of the shape of x."""
        with torch.no_grad():
            place = x.to(torch.float64).clamp(self.edges[0], self.edges[-1])
            cell = (torch.searchsorted(self.edges, place.contiguous(), right=True) - 1).clamp(0, len(self._mass) - 1)
            before = self._masses(self.edges[cell], place) / self.mass
            after = self._masses(place, self.edges[cell + 1]) / self.mass
            below, above = self._below[cell] + before, self._above[cell + 1] + after
            return below.clamp(max=1.0).to(x), above.clamp(max=1.0).to(x)

    def quantiles(self, below: Tensor, above: Tensor) -> Tensor:
        """The point with so much probability below it and above it, to about 1e-13 of the mass of its cell."""
        with torch.no_grad():
            low, high = below.to(torch.float64), above.to(torch.float64)
            left = low < high
            last = len(self._mass) - 1
            from_left = (torch.searchsorted(self._below, low.contiguous(), right=True) - 1).clamp(0, last)
            ascending = self._above.flip(0).contiguous()
            from_right = last - (torch.searchsorted(ascending, high.contiguous(), right=True) - 1).clamp(0, last)
            cell = torch.where(left, from_left, from_right)
            wanted = torch.where(left, low - self._below[cell], high - self._above[cell + 1])
            return self._within(cell, wanted.clamp(min=0.0), left).to(below)

    def _within(self, cell: Tensor, wanted: Tensor, left: Tensor) -> Tensor:
        """The point of a cell with the wanted probability to its left, or right, by Newton's steps in a bracket."""
        start, end = self.edges[cell], self.edges[cell + 1]
        width = end - start
        share = (wanted / self._mass[cell].clamp(min=1e-300)).clamp(0.0, 1.0)
        place = torch.where(left, share, 1 - share)
        # as if the density were exponential within the cell
        bend = self._bend[cell]
        curved = torch.where(bend.abs() > 1e-6, torch.log1p(place * torch.expm1(bend)) / bend, place)
        place = torch.where(torch.isfinite(curved), curved, place).clamp(0.0, 1.0)
        low, high = torch.zeros_like(place), torch.ones_like(place)
        for _ in range(_SAFE_STEPS):
            point = start + width * place
            part = self._masses(torch.where(left, start, point), torch.where(left, point, end)) / self.mass
            miss = torch.where(left, part - wanted, wanted - part)
            low, high = torch.where(miss <= 0, place, low), torch.where(miss >= 0, place, high)
            slope = self._density(point) * width / self.mass
            step = place - miss / slope.clamp(min=1e-300)
            step = torch.where((step >= low) & (step <= high), step, 0.5 * (low + high))
            settled, place = bool(((step - place).abs() <= _SETTLED).all()), step
            if settled:
                break
        return start + width * place


def density_table(law: Distribution) -> DensityTable:
    """The table of a law, made once.

    Raises
    ------
    ValueError
        As `DensityTable`.
    """
    if law not in _TABLES:
        _TABLES[law] = DensityTable(law)
    return _TABLES[law]


@quantiles_of.register(LogDensity)
@quantiles_of.register(GridDensity)
def _(law: Distribution) -> Quantiles | None:
    on_line = all(period is None for period in getattr(law, "periods", ()))
    return density_table(law).quantiles if law.dim == 1 and not law.batch_shape and on_line else None
