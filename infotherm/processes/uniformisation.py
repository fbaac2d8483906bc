"""Exponentials of generators by uniformisation: sums and products of non-negative numbers only."""

from __future__ import annotations

import torch
from torch import Tensor

from infotherm.core.tensors import validating


def stochastic_exponential(rates: Tensor, duration: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """exp(L t), its integral over [0, t], and by how many units in the last place their entries may be off.

    Uniformisation of a short step and doubling: sums and products of non-negative numbers only. Nothing cancels, so
    that small entries are as accurate as large ones; rows are kept at one, those of the integral at the time.

    Parameters
    ----------
    rates
        Shape (..., K, K), zero diagonal.
    duration
        Shape (...), broadcasts against the batch of the rates.

    Returns
    -------
    tuple
        Two matrices (..., K, K), and relative errors (...) in units of eps: K for each doubling, since a relative
        error of the transitions moves no probability by more than 2 K times that (O'Cinneide 1993), and 2 K for each
        factor of e by which the smallest entry has decayed: a rate that is off by eps moves exp(-k t) by k t eps.
    """
    size = rates.shape[-1]
    exits = rates.sum(-1)
    fastest = exits.amax(-1)
    turnover = (fastest * duration).detach()
    doublings = torch.ceil(torch.log2(turnover.clamp(min=1.0))).to(torch.int64)
    step = duration * torch.pow(2.0, -doublings.to(duration.dtype))
    identity = torch.eye(size, dtype=rates.dtype, device=rates.device)
    mass = (fastest * step)[..., None, None]
    # L h + m I, without a negative entry; the powers of it over k! times e^-m are a Poisson mixture
    uniform = rates * step[..., None, None] + torch.diag_embed((fastest[..., None] - exits) * step[..., None])
    count = 22  # mass <= 1: the rest is below 1 / 22! = 1e-21
    weights = [torch.full_like(mass, 1 / (count + 1))]  # k! / m^(k+1) times the chance of more than k jumps
    for k in range(count, 0, -1):
        weights.append((1 + mass * weights[-1]) / k)
    weights.reverse()
    term = total = identity.expand(uniform.shape)
    passed = weights[0] * term
    for k in range(1, count):
        term = term @ uniform / k
        total = total + term
        passed = passed + weights[k] * term
    matrix = rows_summing_to(torch.ones_like(step), total)
    passed = rows_summing_to(step, passed)
    most = 64 if not validating(doublings) else int(doublings.max()) if doublings.numel() else 0
    for i in range(most):
        more = (doublings > i)[..., None, None]
        step = torch.where(doublings > i, 2 * step, step)
        passed = torch.where(more, rows_summing_to(step, passed + matrix @ passed), passed)
        matrix = torch.where(more, rows_summing_to(torch.ones_like(step), matrix @ matrix), matrix)
    smallest = matrix.detach()
    decay = torch.where(smallest > 0, -torch.where(smallest > 0, smallest, 1.0).log(), 0.0).amax((-2, -1))
    return matrix, passed, 8 + 2.0 * size * (1 + doublings.to(rates.dtype) + torch.minimum(turnover, decay))


def rows_summing_to(total: Tensor, matrix: Tensor) -> Tensor:
    """The matrix (..., K, K) with every row scaled to the sum `total` (...)."""
    sums = matrix.sum(-1, keepdim=True)
    return matrix * (total[..., None, None] / sums)
