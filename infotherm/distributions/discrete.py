"""Discrete: a probability mass function over any number of named finite parts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from infotherm.core.tensors import Generator, as_generator, as_tensor, require_finite, validating
from infotherm.distributions.base import Distribution, Names


class Discrete(Distribution):
    """The law of one or several indices, given by its probability mass function.

    An event is the vector of the m indices, shape (m,), integers counted from 0; `log_prob` is log pmf (with respect to
    the counting measure) and -inf outside the alphabet. 0 log 0 = 0 throughout.

    Parameters
    ----------
    pmf
        Probabilities, shape (*batch, A_1, ..., A_m): one axis per part. Kept as given, never renormalised.
    parts
        Names of the m parts, e.g. ("x", "y"). Without names the last axis is the only part, the others are the batch.
    values
        Numbers attached to the outcomes (for means, squared errors, distortions): for one part a vector of its A
        numbers, for several a mapping from names to such vectors. Without them an outcome counts as its index.

    Raises
    ------
    ValueError
        When an entry is negative or not finite (the message names it), when the sum over the parts differs from one
        by more than eps^(2/3) of the dtype (3.7e-11 in float64), when an axis is empty, when names and axes disagree.

    Examples
    --------
    >>> d = Discrete([[0.5, 0.0], [0.25, 0.25]], parts=("x", "y"))
    >>> d.marginal("x").pmf.tolist(), d.condition(x=1).pmf.tolist()
    ([0.5, 0.5], [0.5, 0.5])
    >>> d.log_prob([0, 1]).item()
    -inf
    """

    measure = "counting"
    has_enumerate_support = True

    def __init__(
        self,
        pmf: Any,
        parts: str | Sequence[str] | None = None,
        *,
        values: Any = None,
    ) -> None:
        pmf = as_tensor(pmf, "pmf")
        names = (parts,) if isinstance(parts, str) else tuple(parts or ())
        axes = len(names) or 1
        if pmf.ndim < axes:
            needs = f"one axis for each of the parts {names}" if names else "at least one axis"
            raise ValueError(f"pmf must have {needs}; got shape {tuple(pmf.shape)}")
        if pmf.numel() == 0:
            raise ValueError(f"pmf must not be empty; got shape {tuple(pmf.shape)}")
        if len(set(names)) != len(names):
            raise ValueError(f"parts must have different names; got {names}")
        self.pmf = _checked_pmf(pmf, axes)
        self.alphabet: tuple[int, ...] = tuple(pmf.shape[pmf.ndim - axes :])
        super().__init__(
            pmf.shape[: pmf.ndim - axes],
            axes,
            dtype=pmf.dtype,
            device=pmf.device,
            parts=dict.fromkeys(names, 1),
        )
        self.has_values = values is not None
        self.values = self._checked_values(values)

    def _checked_values(self, values: Any) -> tuple[Tensor, ...]:
        """One vector of numbers per axis; the indices themselves where none are given."""
        given: dict[int, Any] = {}
        if isinstance(values, Mapping):
            given = {self.part_indices(name)[0]: vector for name, vector in values.items()}
        elif values is not None:
            if self.dim > 1:
                raise TypeError("values must map the names of the parts to vectors where there are several parts")
            given = {0: values}
        vectors = []
        for axis, size in enumerate(self.alphabet):
            vector = as_tensor(given.get(axis, range(size)), "values", dtype=self.dtype, device=self.device)
            if vector.shape != (size,):
                raise ValueError(f"values of axis {axis} must have shape ({size},); got {tuple(vector.shape)}")
            vectors.append(require_finite(vector, "values"))
        return tuple(vectors)

    # -- probabilities -----------------------------------------------------------------------------------------------

    @property
    def log_pmf(self) -> Tensor:
        """log pmf, shape (*batch, A_1, ..., A_m), -inf where the pmf is zero (with a zero gradient there)."""
        positive = self.pmf > 0
        return torch.where(positive, torch.where(positive, self.pmf, 1.0).log(), -math.inf)

    def log_prob(self, value: Any) -> Tensor:
        """The log-probability of index vectors, shape (..., m) -> (...), in nats; -inf outside the alphabet."""
        x = self._points(value)
        sizes = torch.tensor(self.alphabet, device=self.device)
        inside = ((x >= 0) & (x < sizes) & (x == x.floor())).all(-1)
        index = torch.where(inside.unsqueeze(-1), x, 0).long()
        flat = (index * self._strides()).sum(-1)
        table = self.log_pmf.reshape(self.batch_shape.numel(), -1)
        row = torch.arange(table.shape[0], device=self.device).reshape(self.batch_shape)
        row, flat = torch.broadcast_tensors(row, flat)
        return torch.where(inside, table[row, flat], -math.inf)

    def entropy(self) -> Tensor:
        """The Shannon entropy -sum p log p of all parts together, shape (*batch), in nats."""
        return -(self.pmf * self.log_pmf.clamp_min(torch.finfo(self.dtype).min)).sum(self._axes())

    def sample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
        """Independent index vectors, shape (*sample_shape, *batch, m), int64; `generator` may be a seed."""
        flat = draw_indices(self.pmf.flatten(len(self.batch_shape)), sample_shape, generator)
        return torch.stack(torch.unravel_index(flat, self.alphabet), dim=-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All index vectors in the order of `pmf.flatten()`, shape (A_1 ... A_m, *batch, m), int64."""
        flat = torch.arange(math.prod(self.alphabet), device=self.device)
        points = torch.stack(torch.unravel_index(flat, self.alphabet), dim=-1)
        points = points.reshape(-1, *[1] * len(self.batch_shape), self.dim)
        return points.expand(-1, *self.batch_shape, -1) if expand else points

    # -- moments of the values -----------------------------------------------------------------------------------------

    @property
    def mean(self) -> Tensor:
        """Mean of the outcomes' values (of the indices where no values were given), shape (*batch, m)."""
        singles = [self._pmf_of([axis]) @ self.values[axis] for axis in range(self.dim)]
        return torch.stack(singles, dim=-1)

    @property
    def covariance(self) -> Tensor:
        """Covariance of the outcomes' values, shape (*batch, m, m)."""
        mean, rows = self.mean, []
        for i in range(self.dim):
            row = []
            for j in range(self.dim):
                a = self.values[i] - mean[..., i, None]
                b = self.values[j] - mean[..., j, None]
                if i == j:
                    row.append((self._pmf_of([i]) * a * b).sum(-1))
                else:
                    row.append(torch.einsum("...ij,...i,...j->...", self._pmf_of([i, j]), a, b))
            rows.append(torch.stack(row, dim=-1))
        return torch.stack(rows, dim=-2)

    def values_at(self, index: Any) -> Tensor:
        """The values of the outcomes at index vectors, shape (..., m) -> (..., m)."""
        index = self._points(index, "index").long()
        return torch.stack([self.values[axis][index[..., axis]] for axis in range(self.dim)], dim=-1)

    # -- parts -------------------------------------------------------------------------------------------------------

    def shape_of(self, part: str | int) -> int:
        """The number of outcomes of one part."""
        return self.alphabet[self.part_indices(part)[0]]

    def marginal(self, names: Names) -> Discrete:
        """The law of the named parts (or of the axes of these numbers), in the order named.

        Raises
        ------
        ValueError
            For an unknown part.
        """
        axes = self.part_indices(names)
        return self._with(self._pmf_of(axes), axes)

    def condition(self, **values: Any) -> Discrete:
        """The law of the other parts given indices of some, e.g. condition(y=2).

        An index is a number, or a tensor of shape (..., 1) whose leading axes broadcast with the batch.

        Raises
        ------
        ValueError
            For an unknown part, an index outside the alphabet, a condition of probability zero, or when nothing is
            left to be random.
        """
        given = {self.part_indices(name)[0]: self._index(name, value) for name, value in values.items()}
        rest = [axis for axis in range(self.dim) if axis not in given]
        if not rest:
            raise ValueError(f"condition must leave a part free; got all of {tuple(self.parts)}")
        if not given:
            return self
        batch = torch.broadcast_shapes(self.batch_shape, *[index.shape for index in given.values()])
        ahead = len(self.batch_shape)
        # the conditioned axes directly behind the batch, so that one gather per batch element picks a slice
        slices = self.pmf.movedim([ahead + axis for axis in given], list(range(ahead, ahead + len(given))))
        slices = slices.expand(*batch, *slices.shape[ahead:])
        grid = [
            torch.arange(n, device=self.device).reshape(-1, *[1] * (len(batch) - 1 - i)) for i, n in enumerate(batch)
        ]
        slices = slices[(*grid, *given.values())]
        free = tuple(range(len(batch), slices.ndim))
        total = slices.sum(free, keepdim=True)
        if validating(total) and not bool((total > 0).all()):
            raise ValueError(f"condition must have positive probability; {_shown(values)} has probability zero")
        return self._with(slices / total, rest)

    def _index(self, name: str, value: Any) -> Tensor:
        index = as_tensor(value, name, device=None if isinstance(value, Tensor) else self.device)
        if index.device != self.device:
            raise ValueError(f"{name} must be on {self.device}, where this law lives; got {index.device}")
        if index.ndim and index.shape[-1] != 1:
            raise ValueError(f"{name} must be one index or have shape (..., 1); got {tuple(index.shape)}")
        index = index.squeeze(-1) if index.ndim else index
        size = self.shape_of(name)
        if validating(index):
            legal = (index >= 0) & (index < size) & (index == index.floor())
            if not bool(legal.all()):
                raise ValueError(
                    f"{name} must be an index from 0 to {size - 1}; got {index[~legal].flatten()[0].item()}"
                )
        return index.long()

    # -- the rest ----------------------------------------------------------------------------------------------------

    @property
    def support(self) -> Any:
        """Integer vectors within the alphabet, as torch's constraint."""
        last = torch.tensor(self.alphabet, device=self.device) - 1
        return constraints.independent(constraints.integer_interval(0, last), 1)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The first and the last index of each part, each (*batch, m)."""
        last = torch.tensor(self.alphabet, dtype=self.dtype, device=self.device) - 1
        last = last.expand(*self.batch_shape, self.dim)
        return torch.zeros_like(last), last

    def score(self, x: Any) -> Tensor:
        """Refused: a law on a finite alphabet has no score."""
        raise NotImplementedError("a Discrete law has no score: its log_prob lives on integers")

    def with_parts(self, parts: str | Sequence[str] | None) -> Discrete:
        """The same pmf with its axes named anew (one axis, the rest batch, without names)."""
        return Discrete(self.pmf, parts)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Discrete:
        """The same law on another device or in another precision."""
        return self._with(self.pmf.to(device=device, dtype=dtype), list(range(self.dim)))

    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.dim, 0))

    def _strides(self) -> Tensor:
        return torch.tensor([math.prod(self.alphabet[i + 1 :]) for i in range(self.dim)], device=self.device)

    def _pmf_of(self, axes: list[int]) -> Tensor:
        """The pmf of these axes alone, in their order."""
        others = [axis - self.dim for axis in range(self.dim) if axis not in axes]
        kept = sorted(axes)
        pmf = self.pmf.sum(others) if others else self.pmf
        ahead = len(self.batch_shape)
        return pmf.permute(*range(ahead), *[ahead + kept.index(axis) for axis in axes])

    def _with(self, pmf: Tensor, axes: list[int]) -> Discrete:
        """The law of some of the axes, with their names and values. Sums and quotients are not checked again."""
        names = tuple(self.parts)
        new = Discrete.__new__(Discrete)
        new.pmf = pmf
        new.alphabet = tuple(self.alphabet[axis] for axis in axes)
        new.has_values = self.has_values
        new.values = tuple(self.values[axis].to(pmf) for axis in axes)
        Distribution.__init__(
            new,
            pmf.shape[: pmf.ndim - len(axes)],
            len(axes),
            dtype=pmf.dtype,
            device=pmf.device,
            parts={names[axis]: 1 for axis in axes} if names else None,
        )
        return new

    def __repr__(self) -> str:
        named = f", parts={tuple(self.parts)}" if self.parts else ""
        batch = f", batch={tuple(self.batch_shape)}" if self.batch_shape else ""
        return f"Discrete(alphabet={self.alphabet}{named}{batch})"


def draw_indices(weights: Tensor, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
    """Indices drawn in proportion to `weights` (*batch, A), shape (*sample_shape, *batch), int64.

    Inversion of the cumulative sum in float64: an index of weight zero is never drawn, and any number of indices is
    legal (torch.multinomial stops at 2^24).

    Examples
    --------
    >>> draw_indices(torch.tensor([0.0, 1.0, 0.0]), (4,), generator=0).tolist()
    [1, 1, 1, 1]
    """
    generator = as_generator(generator, weights.device)
    shape, batch = torch.Size(sample_shape), weights.shape[:-1]
    with torch.no_grad():
        cumulated = weights.double().cumsum(-1).cummax(-1).values.reshape(-1, weights.shape[-1])
        uniform = torch.rand(
            (cumulated.shape[0], shape.numel()), generator=generator, dtype=torch.float64, device=weights.device
        )
        index = torch.searchsorted(cumulated, uniform * cumulated[:, -1:], right=True)
        return index.clamp_max(weights.shape[-1] - 1).T.reshape((*shape, *batch))


def _checked_pmf(pmf: Tensor, axes: int) -> Tensor:
    require_finite(pmf, "pmf")
    if not validating(pmf):
        return pmf
    if bool((pmf < 0).any()):
        where = torch.nonzero(pmf < 0)[0].tolist()
        raise ValueError(f"pmf must not be negative; got {pmf[tuple(where)].item():.6g} at index {where}")
    total = pmf.detach().double().sum(tuple(range(-axes, 0)))
    off = (total - 1).abs()
    tolerance = torch.finfo(pmf.dtype).eps ** (2 / 3)
    if bool((off > tolerance).any()):
        worst = total.flatten()[off.flatten().argmax()].item()
        where = f" in batch element {torch.nonzero(off > tolerance)[0].tolist()}" if total.ndim else ""
        raise ValueError(f"pmf must sum to one (within {tolerance:.1e}); got {worst:.12g}{where}: divide it by its sum")
    return pmf


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
