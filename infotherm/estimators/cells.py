"""Which cell each sample falls into: bins of equal width or equal mass, given edges, or the values themselves."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.tensors import as_tensor
from infotherm.estimators.base import as_samples

LABELS = "labels"
RULES = ("equal-width", "equal-mass")
_MOST_BINS = 2**31
_MOST_CODES = 2**62  # products of cell numbers beyond it are renumbered
_EXACT_INTEGERS = 2**53  # larger ones are not told apart in float64

Bins = str | int | tuple[float, ...] | tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Cells:
    """The cell of each sample.

    Attributes
    ----------
    codes
        (N,) int64, from 0 to size - 1; equal codes are equal cells.
    size
        One more than the largest code possible; not all need be occupied.
    log_volume
        (N,) logarithm of the volume of each sample's cell; None where cells have no volume.
    """

    codes: Tensor
    size: int
    log_volume: Tensor | None = None

    def joined(self, other: Cells) -> Cells:
        """The cells of pairs."""
        first, second = self, other
        if first.size * second.size > _MOST_CODES:
            first, second = first.renumbered(), second.renumbered()
        volume = None
        if first.log_volume is not None and second.log_volume is not None:
            volume = first.log_volume + second.log_volume
        return Cells(first.codes * second.size + second.codes, first.size * second.size, volume)

    def renumbered(self) -> Cells:
        """The same cells, numbered without gaps."""
        values, codes = torch.unique(self.codes, return_inverse=True)
        return Cells(codes, len(values), self.log_volume)

    def counts(self) -> Tensor:
        """How many samples share the cell of each sample, (N,)."""
        if self.size <= 4 * len(self.codes):  # counting is faster than sorting
            return torch.bincount(self.codes, minlength=self.size)[self.codes]
        _, codes, counts = torch.unique(self.codes, return_inverse=True, return_counts=True)
        return counts[codes]


def checked_bins(bins: Any) -> Bins:
    """A specification of bins in plain Python numbers: "labels", a number of bins, edges, or edges per coordinate.

    Raises
    ------
    ValueError, TypeError
        For anything else, fewer than two edges, edges that do not increase or are not finite.
    """
    if isinstance(bins, str):
        if bins != LABELS:
            raise ValueError(f"bins must be a number, edges or 'labels'; got {bins!r}")
        return bins
    if isinstance(bins, bool) or bins is None:
        raise TypeError(f"bins must be a number, edges or 'labels'; got {bins!r}")
    try:
        count = operator.index(bins)
    except TypeError:
        pass
    else:
        if not 1 <= count <= _MOST_BINS:
            raise ValueError(f"bins must be between 1 and {_MOST_BINS}; got {count}")
        return count
    if not hasattr(bins, "__len__") or len(bins) == 0:
        raise TypeError(f"bins must be a number, edges or 'labels'; got {bins!r}")
    if hasattr(bins[0], "__len__") and np.ndim(bins[0]) > 0:
        return tuple(_checked_edges(edges) for edges in bins)
    return _checked_edges(bins)


def _checked_edges(edges: Any) -> tuple[float, ...]:
    numbers = as_tensor(edges, "bins").to(torch.float64)
    if numbers.ndim != 1 or len(numbers) < 2:
        raise ValueError(f"edges of bins must be at least two numbers; got shape {tuple(numbers.shape)}")
    if not bool((numbers.diff() > 0).all()) or not bool(numbers.isfinite().all()):
        raise ValueError(f"edges of bins must be finite and increase; got {numbers.tolist()}")
    return tuple(numbers.tolist())


def cells_of(samples: Tensor, bins: Bins, rule: str, name: str) -> Cells:
    """The joint cells of samples (N, D) in one specification of bins.

    Raises
    ------
    ValueError
        For edges of another number of coordinates, or a sample outside the edges.
    """
    dim = samples.shape[1]
    each: tuple[Any, ...] = (bins,) * dim
    if isinstance(bins, tuple) and isinstance(bins[0], tuple):
        if len(bins) != dim:
            raise ValueError(f"bins must hold edges for each of the {dim} coordinates of {name}; got {len(bins)}")
        each = bins
    joint: Cells | None = None
    for i, spec in enumerate(each):
        column = samples[:, i].contiguous()
        if isinstance(spec, tuple):
            cells = _between_edges(column, spec, f"coordinate {i} of {name}")
        elif spec == LABELS:
            values, codes = torch.unique(column, return_inverse=True)
            cells = Cells(codes, len(values))
        else:
            cells = _equal_width(column, spec) if rule == "equal-width" else _equal_mass(column, spec)
        joint = cells if joint is None else joint.joined(cells)
    assert joint is not None
    return joint


def _equal_width(column: Tensor, bins: int) -> Cells:
    low, high = column.min(), column.max()
    if low == high:
        return Cells(torch.zeros_like(column, dtype=torch.int64), 1, torch.full_like(column, -math.inf))
    # halves: the range of very large numbers is no number
    position = (column / 2 - low / 2) / (high / 2 - low / 2)
    codes = (position * bins).long().clamp(max=bins - 1)  # the largest sample belongs to the last bin
    log_width = (high / 2 - low / 2).log() + math.log(2) - math.log(bins)
    return Cells(codes, bins, log_width.expand(len(column)))


def _equal_mass(column: Tensor, bins: int) -> Cells:
    _, codes, counts = torch.unique(column, return_inverse=True, return_counts=True)
    up_to = counts.cumsum(0)
    # equal values share the middle of their ranks, and so a bin
    return Cells(((2 * up_to - counts) * bins // (2 * len(column)))[codes], bins)


def _between_edges(column: Tensor, edges: tuple[float, ...], name: str) -> Cells:
    bounds = torch.tensor(edges, dtype=column.dtype, device=column.device)
    outside = (column < bounds[0]) | (column > bounds[-1])
    if bool(outside.any()):
        raise ValueError(f"{name} must lie within the edges [{edges[0]}, {edges[-1]}]; got {column[outside][0].item()}")
    codes = (torch.searchsorted(bounds, column, right=True) - 1).clamp(max=len(edges) - 2)
    return Cells(codes, len(edges) - 1, bounds.diff().log()[codes])


def as_labels(x: Any, name: str) -> Tensor:
    """Samples (N, D) of symbols as float64: integers too large for it are numbered in their order first."""
    array = x if isinstance(x, Tensor) else np.asarray(x) if _is_plain(x) else None
    if isinstance(array, Tensor) and not array.is_floating_point() and not array.is_complex():
        if array.numel() and array.dtype == torch.int64 and _large(int(array.min()), int(array.max())):
            x = torch.unique(array, return_inverse=True)[1]
    elif isinstance(array, np.ndarray) and array.dtype.kind in "iu":
        if array.size and _large(int(array.min()), int(array.max())):
            x = np.unique(array, return_inverse=True)[1].reshape(array.shape)
    return as_samples(x, name)


def _is_plain(x: Any) -> bool:
    """Whether numpy reads it: arrays, and flat or nested sequences of equal lengths without tensors."""
    if hasattr(x, "dtype"):
        return True
    try:
        return isinstance(x, Sequence) and np.asarray(x).dtype.kind in "iu"
    except (ValueError, TypeError, RuntimeError):
        return False


def _large(low: int, high: int) -> bool:
    return low < -_EXACT_INTEGERS or high > _EXACT_INTEGERS
