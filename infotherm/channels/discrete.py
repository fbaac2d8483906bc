"""Discrete channels: a stochastic matrix between finite alphabets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.base import Channel, check_batches, joint_names
from infotherm.channels.posterior import like
from infotherm.core.tensors import as_tensor, require_finite, require_shape, validating
from infotherm.distributions import Discrete, as_distribution
from infotherm.distributions.base import Distribution


class DiscreteChannel(Channel):
    """p(y = j | x = i) = matrix[i, j]: each row is the law of the output given one input.

    Parameters
    ----------
    matrix
        Shape (..., K, L), entries >= 0, rows that sum to one. Kept as given, never renormalised.
    values
        Numbers attached to the L outputs, shape (L,); the indices themselves unless given.

    Raises
    ------
    ValueError
        When an entry is negative or not finite, or a row does not sum to one within eps^(2/3) of the dtype (3.7e-11 in
        float64); the message names the row.

    Examples
    --------
    >>> flip = DiscreteChannel([[0.9, 0.1], [0.1, 0.9]])
    >>> flip.output(Discrete([1.0, 0.0])).pmf, (flip @ flip)(0).pmf
    (tensor([0.9000, 0.1000], dtype=torch.float64), tensor([0.8200, 0.1800], dtype=torch.float64))
    """

    input_dim = 1
    output_dim = 1
    output_measure = "counting"

    def __init__(self, matrix: Any, *, values: Any = None) -> None:
        matrix = as_tensor(matrix, "matrix")
        require_shape(matrix, ("...", "K", "L"), "matrix")
        if matrix.numel() == 0:
            raise ValueError(f"matrix must not be empty; got shape {tuple(matrix.shape)}")
        require_finite(matrix, "matrix")
        if validating(matrix):
            _check_rows(matrix)
        self.matrix = matrix
        self.batch_shape = matrix.shape[:-2]
        self.values = None if values is None else as_tensor(values, "values", dtype=matrix.dtype, device=matrix.device)
        if self.values is not None and self.values.shape != matrix.shape[-1:]:
            raise ValueError(f"values must have shape ({matrix.shape[-1]},); got {tuple(self.values.shape)}")

    def __call__(self, x: Any) -> Discrete:
        """The row of x: index vectors (..., 1), or plain indices of any shape when there is no axis of size one behind.

        Raises
        ------
        ValueError
            For an index outside the alphabet.
        """
        return Discrete(self._rows(x), values=self.values)

    def _rows(self, x: Any) -> Tensor:
        index = as_tensor(x, "x", device=self.matrix.device)
        index = index.squeeze(-1) if index.ndim and index.shape[-1] == 1 else index
        size = self.matrix.shape[-2]
        if validating(index):
            legal = (index >= 0) & (index < size) & (index == index.floor())
            if not bool(legal.all()):
                raise ValueError(f"x must be an index from 0 to {size - 1}; got {index[~legal].flatten()[0].item()}")
        batch = torch.broadcast_shapes(self.batch_shape, index.shape)
        rows = self.matrix.expand(*batch, *self.matrix.shape[-2:])
        index = index.long().expand(batch)[..., None, None].expand(*batch, 1, self.matrix.shape[-1])
        return rows.gather(-2, index)[..., 0, :]

    def output(self, p: Any) -> Discrete:
        """The law of y: p(y) = sum_x p(x) matrix[x, y].

        Raises
        ------
        TypeError, ValueError
            When p is not a Discrete law of one part with K outcomes.
        """
        pmf, matrix = self._promoted(self._input(p))
        return Discrete((pmf[..., None, :] @ matrix)[..., 0, :], values=self.values)

    def joint(self, p: Any, names: Sequence[str] = ("x", "y")) -> DiscreteChannelJoint:
        """The joint pmf p(x) matrix[x, y], parts `names`; it keeps `.input` and `.channel`."""
        return DiscreteChannelJoint(self._input(p), self, names)

    def reverse(self, p: Any) -> DiscreteChannel:
        """Bayes: the channel from y to x when x has the law p, p(x | y) = p(x) matrix[x, y] / p(y).

        An output of probability zero says nothing: its row is p itself.
        """
        p = self._input(p)
        pmf, matrix = self._promoted(p)
        joint = pmf[..., :, None] * matrix
        total = joint.sum(-2, keepdim=True)
        possible = total > 0
        posterior = torch.where(possible, joint / torch.where(possible, total, 1.0), pmf[..., :, None])
        return DiscreteChannel(posterior.mT, values=p.values[0] if p.has_values else None)

    def after(self, first: Channel) -> Channel:
        """The composition, exact when `first` is discrete: the product of the matrices."""
        if not isinstance(first, DiscreteChannel):
            return super().after(first)
        if first.matrix.shape[-1] != self.matrix.shape[-2]:
            raise ValueError(
                f"the second channel takes {self.matrix.shape[-2]} inputs; the first gives {first.matrix.shape[-1]}"
            )
        dtype = torch.promote_types(first.matrix.dtype, self.matrix.dtype)
        return DiscreteChannel(_in_dtype(first.matrix, dtype) @ _in_dtype(self.matrix, dtype), values=self.values)

    def _input(self, p: Any) -> Discrete:
        p = as_distribution(p, "p")
        as_discrete = getattr(p, "as_discrete", None)
        if as_discrete is not None:
            p = as_discrete()
        if not isinstance(p, Discrete):
            raise TypeError(f"a discrete channel takes a Discrete law; got {type(p).__name__}")
        if p.dim != 1:
            raise ValueError(f"p must have one part; got parts {tuple(p.parts)}: take p.marginal(...) of one of them")
        check_batches(channel=self.batch_shape, p=p.batch_shape)
        if p.alphabet[0] != self.matrix.shape[-2]:
            raise ValueError(f"p must have {self.matrix.shape[-2]} outcomes, one for each row; got {p.alphabet[0]}")
        return p

    def _promoted(self, p: Discrete) -> tuple[Tensor, Tensor]:
        dtype = torch.promote_types(p.pmf.dtype, self.matrix.dtype)
        pmf = _in_dtype(p.pmf, dtype)
        return pmf, like(_in_dtype(self.matrix, dtype), pmf)

    def __repr__(self) -> str:
        batch = f", batch={tuple(self.batch_shape)}" if self.batch_shape else ""
        return f"DiscreteChannel({self.matrix.shape[-2]} -> {self.matrix.shape[-1]}{batch})"


class DiscreteChannelJoint(Discrete):
    """The joint pmf of a channel's input and output, which remembers both.

    Parameters
    ----------
    input
        The law of x, one part.
    channel
        The channel.
    names
        Names of the two parts.
    """

    def __init__(self, input: Discrete, channel: DiscreteChannel, names: Sequence[str] = ("x", "y")) -> None:
        first, second = joint_names(names)
        pmf, matrix = channel._promoted(input)
        values = {}
        if input.has_values:
            values[first] = input.values[0]
        if channel.values is not None:
            values[second] = channel.values
        super().__init__(pmf[..., :, None] * matrix, parts=(first, second), values=values or None)
        self.input = input
        self.channel = channel

    def condition(self, **values: Any) -> Distribution:
        """The law of the other part: the channel's row given the input, Bayes given the output.

        An input of probability zero still has its row.
        """
        first = next(iter(self.parts))
        if list(values) == [first]:
            return self.channel(values[first])
        return super().condition(**values)


def _in_dtype(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Probabilities in a wider dtype, where they must sum to one more closely than they did."""
    if rows.dtype == dtype:
        return rows
    rows = rows.to(dtype)
    return rows / rows.sum(-1, keepdim=True)


def _check_rows(matrix: Tensor) -> None:
    if bool((matrix < 0).any()):
        where = torch.nonzero(matrix < 0)[0].tolist()
        raise ValueError(
            f"matrix must not have negative entries; got {matrix[tuple(where)].item():.6g} at index {where}"
        )
    off = (matrix.detach().double().sum(-1) - 1).abs()
    tolerance = torch.finfo(matrix.dtype).eps ** (2 / 3)
    if bool((off > tolerance).any()):
        row = torch.nonzero(off > tolerance)[0].tolist()
        raise ValueError(
            f"matrix must have rows that sum to one (within {tolerance:.1e}); row {row} sums to "
            f"{matrix[tuple(row)].double().sum().item():.12g}: divide each row by its sum"
        )
