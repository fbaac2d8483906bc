"""Lower bounds of mutual information from the scores of a critic on fresh pairs, with honest random errors.

All start from a matrix of scores f(x_i, y_j) of m independent pairs (x_i, y_i): the diagonal holds pairs drawn
together, the rest pairs drawn apart.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infotherm.estimators.held_out import lower_error

Part = tuple[Tensor, Tensor]


def off_diagonal(matrix: Tensor) -> Tensor:
    """The entries (m, m - 1) off the diagonal of a matrix (m, m)."""
    m = len(matrix)
    return matrix.flatten()[1:].view(m - 1, m + 1)[:, :-1].reshape(m, m - 1)


def log_mean_exp(values: Tensor) -> Tensor:
    """log of the mean of exp over all entries."""
    return values.logsumexp(tuple(range(values.ndim))) - torch.tensor(float(values.numel()), dtype=values.dtype).log()


def tangent_bound(scores: Tensor, offset: Tensor, cut: float) -> tuple[Tensor, Tensor]:
    """A lower bound of the mutual information that is a plain average, and how each pair moves it.

    With g = f - offset, cut off at -cut below and at cut above, the critic f, the offset and the cut being fixed
    without these pairs,

        I(x; y) >= E g(x, y) - E exp g(x, y') + 1

    (Nguyen, Wainwright and Jordan, IEEE Trans. Inf. Theory 56, 5847, 2010; with offset = log E exp f it is the tangent
    of the Donsker-Varadhan bound, where it touches). The first mean is over the diagonal and the second over the
    entries off it, a U-statistic: unbiased, where the logarithm of an average is not. At most 1 + cut.

    Returns
    -------
    tuple
        The value, and for each pair the jackknife's pseudo-value less their mean: see `pooled`.

    Examples
    --------
    >>> value, moves = tangent_bound(torch.zeros(4, 4), torch.tensor(0.0), 1.0)
    >>> value.item(), moves.tolist()
    (0.0, [0.0, 0.0, 0.0, 0.0])
    """
    m = len(scores)
    scores = (scores - offset).clamp(-cut, cut)
    together = scores.diagonal()
    weights = scores.exp().fill_diagonal_(0)
    total, own = weights.sum(), weights.sum(0) + weights.sum(1)
    value = together.mean() - (total / (m * (m - 1)) - 1)
    without = (together.sum() - together) / (m - 1) - ((total - own) / ((m - 1) * (m - 2)) - 1)
    return value, (m - 1) * (without.mean() - without)


def contrastive_bound(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The InfoNCE bound from one batch of K = m pairs, and how each pair moves it.

        I(x; y) >= E (1/K) sum_i log[ exp f(x_i, y_i) / ((1/K) sum_j exp f(x_i, y_j)) ],   at most log K

    (van den Oord, Li and Vinyals, arXiv:1807.03748, 2018; that it is a bound for every K: Poole et al., ICML 2019,
    Eq. 12). Returns as `tangent_bound` does.

    Examples
    --------
    >>> value, moves = contrastive_bound(100 * torch.eye(8, dtype=torch.float64))
    >>> value.item()   # log(8)
    2.0794
    """
    m = len(scores)
    together = scores.diagonal()
    log_total = scores.logsumexp(1)
    size = torch.tensor(float(m), dtype=scores.dtype)
    value = (together - log_total).mean() + size.log()
    # log of each sum without candidate l; what is left is never less than the pair drawn together
    remaining = log_total[:, None] + torch.log1p(-(scores - log_total[:, None]).exp().clamp(max=1 - 1e-16))
    terms = together[:, None] - torch.maximum(remaining, together[:, None])
    without = (terms.sum(0) - terms.diagonal()) / (m - 1) + (size - 1).log()
    return value, (m - 1) * (without.mean() - without)


def pooled(parts: list[Part], chosen: list[Part] | None = None, unseen: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The mean over independent blocks (value, moves), weighted by their sizes, and its standard error.

    The error is the jackknife's, which is too large rather than too small on average (Efron and Stein, Ann. Statist.
    9, 586, 1981), widened by `held_out.lower_error` so that one-sided 95 % limits of lower bounds hold. The moves of
    blocks `chosen` (of the validation part) speak of the spread only, and so does `unseen`, the move of a pair that
    was not met but may be.

    Examples
    --------
    >>> one = torch.tensor(1.0), torch.tensor([-1.0, 1.0])
    >>> [t.item() for t in pooled([one, one])]
    [1.0, 0.7071]
    """
    total = sum(len(moves) for _, moves in parts)
    value = torch.stack([len(moves) / total * value for value, moves in parts]).sum()
    # a block of m moves that add up to zero holds m - 1 of them
    moves = [moves * math.sqrt(len(moves) / (len(moves) - 1)) for _, moves in [*parts, *(chosen or [])]]
    return value, lower_error(torch.cat(moves if unseen is None else [*moves, unseen[None]]), total)
