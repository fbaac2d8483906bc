"""Discrete-time Markov chains on a finite set of states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infotherm.channels.discrete import DiscreteChannel
from infotherm.core.tensors import as_tensor, require_finite, require_shape, validating
from infotherm.distributions import Discrete
from infotherm.processes.base import Process
from infotherm.processes.stationary import eliminated, stationary_law
from infotherm.processes.uniformisation import rows_summing_to


class MarkovChain(Process):
    """A chain that moves from i to j with probability matrix[i, j] in each step; time counts the steps, 0, 1, 2, ...

    Parameters
    ----------
    matrix
        Shape (..., K, K), entries >= 0, rows that sum to one within eps^(2/3) of the dtype (3.7e-11 in float64).

    Attributes
    ----------
    states
        The number of states K.

    Raises
    ------
    ValueError
        When an entry is negative or not finite, or a row does not sum to one; the message names it.

    Examples
    --------
    >>> walk = MarkovChain([[0.0, 0.9, 0.1], [0.1, 0.0, 0.9], [0.9, 0.1, 0.0]])
    >>> walk.quasi_invariant(0).pmf, walk.marginal(Discrete([1.0, 0.0, 0.0]), 2).pmf
    (tensor([0.3333, 0.3333, 0.3333], dtype=torch.float64), tensor([0.1800, 0.0100, 0.8100], dtype=torch.float64))
    """

    dim = 1
    start = None

    def __init__(self, matrix: Any) -> None:
        matrix = as_tensor(matrix, "matrix")
        self.states = require_shape(matrix, ("...", "K", "K"), "matrix")["K"]
        if self.states == 0:
            raise ValueError(f"matrix must be that of at least one state; got shape {tuple(matrix.shape)}")
        require_finite(matrix, "matrix")
        if validating(matrix):
            if bool((matrix < 0).any()):
                where = torch.nonzero(matrix < 0)[0].tolist()
                raise ValueError(f"matrix must be >= 0; got {matrix[tuple(where)].item():.6g} at index {where}")
            sums = matrix.detach().double().sum(-1)
            off = (sums - 1).abs() > torch.finfo(matrix.dtype).eps ** (2 / 3)
            if bool(off.any()):
                where = torch.nonzero(off)[0].tolist()
                row = where[0] if len(where) == 1 else where
                raise ValueError(f"rows must sum to 1; row {row} sums to {sums[tuple(where)].item():.12g}")
        self.matrix = matrix
        self.dtype, self.device = matrix.dtype, matrix.device
        self.batch_shape = matrix.shape[:-2]

    @property
    def is_static(self) -> bool:
        return True

    def transition(self, t0: Any, t1: Any) -> DiscreteChannel:
        """The channel of t1 - t0 steps, the power of the matrix by squaring; both times are whole numbers.

        Raises
        ------
        ValueError
            When a time is not a whole number, or t1 is before t0.
        """
        t0, t1 = self._interval(t0, t1)
        steps = whole_steps(t1, "t1") - whole_steps(t0, "t0")
        batch = torch.broadcast_shapes(steps.shape, self.batch_shape)
        one = torch.ones((), dtype=self.dtype, device=self.device)
        total = torch.eye(self.states, dtype=self.dtype, device=self.device).expand(*batch, self.states, self.states)
        power, left = self.matrix, steps.to(self.device)
        while bool((left > 0).any()):
            total = torch.where((left % 2 == 1)[..., None, None], rows_summing_to(one, total @ power), total)
            left = left // 2
            if bool((left > 0).any()):
                power = rows_summing_to(one, power @ power)
        return DiscreteChannel(total)

    def quasi_invariant(self, t: Any, dim: int | None = None) -> Discrete:
        """The law that the chain keeps.

        Raises
        ------
        ValueError
            When there is more than one (the states fall apart into closed classes), or the only one is an absorbing
            state.
        """
        moves = self.moves
        return Discrete(stationary_law(moves) if validating(moves) else eliminated(moves))

    @property
    def moves(self) -> Tensor:
        """The matrix with a zero diagonal, shape (..., K, K): the steps that lead to another state."""
        diagonal = torch.eye(self.states, dtype=torch.bool, device=self.device)
        return torch.where(diagonal, 0.0, self.matrix)

    def has_detailed_balance(self) -> bool:
        """Whether no pair of states carries a current in the steady state, to rounding."""
        flow = self.quasi_invariant(0).pmf[..., :, None] * self.matrix
        tolerance = 32 * self.states * torch.finfo(flow.dtype).eps * flow.amax((-2, -1), keepdim=True)
        return bool(((flow - flow.mT).abs() <= tolerance).all())


def whole_steps(t: Any, name: str) -> Tensor:
    """Times as numbers of steps, int64.

    Raises
    ------
    ValueError
        When one is not a whole number.
    """
    t = require_finite(as_tensor(t, name), name)
    if validating(t) and not bool((t == t.round()).all()):
        raise ValueError(f"{name} must be a whole number of steps; got {t[t != t.round()].flatten()[0].item()}")
    return t.to(torch.int64)
