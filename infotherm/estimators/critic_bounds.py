"""Lower bounds of mutual information from the scores of a critic on fresh pairs, with honest random errors.

All start from a matrix of scores f(x_i, y_j) of m independent pairs (x_i, y_i): the diagonal holds pairs drawn
together, the rest pairs drawn apart.
"""

from __future__ import annotations

import torch
from torch import Tensor


def off_diagonal(matrix: Tensor) -> Tensor:
    """The entries (m, m - 1) off the diagonal of a matrix (m, m)."""
    m = len(matrix)
    return matrix.flatten()[1:].view(m - 1, m + 1)[:, :-1].reshape(m, m - 1)


def log_mean_exp(values: Tensor) -> Tensor:
    """log of the mean of exp over all entries."""
    return values.logsumexp(tuple(range(values.ndim))) - torch.tensor(float(values.numel()), dtype=values.dtype).log()


def tangent_bound(scores: Tensor, offset: Tensor, ceiling: float) -> tuple[Tensor, Tensor]:
    """A lower bound of the mutual information that is a plain average, and its variance.

    With g = f - offset, cut off below at -ceiling and above at ceiling, the critic f, the offset and the ceiling being
    fixed without these pairs,

        I(x; y) >= E g(x, y) - E exp g(x, y') + 1

    (Nguyen, Wainwright and Jordan, IEEE Trans. Inf. Theory 56, 5847, 2010; with offset = log E exp f it is the tangent
    of the Donsker-Varadhan bound, where it touches). The first mean is over the diagonal and the second over the
    entries off it, a U-statistic: unbiased, where the logarithm of an average is not. The variance is that of the
    jackknife, which is too large rather than too small on average (Efron and Stein, Ann. Statist. 9, 586, 1981).

    Examples
    --------
    >>> value, variance = tangent_bound(torch.zeros(4, 4), torch.tensor(0.0), 1.0)
    >>> value.item(), variance.item()
    (0.0, 0.0)
    """
    m = len(scores)
    scores = (scores - offset).clamp(-ceiling, ceiling)
    together = scores.diagonal()
    weights = scores.exp().fill_diagonal_(0)
    total, own = weights.sum(), weights.sum(0) + weights.sum(1)
    value = together.mean() - (total / (m * (m - 1)) - 1)
    without = (together.sum() - together) / (m - 1) - ((total - own) / ((m - 1) * (m - 2)) - 1)
    return value, (without - without.mean()).square().sum() * (m - 1) / m


def contrastive_bound(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The InfoNCE bound from one batch of K = m pairs, and its variance.

        I(x; y) >= E (1/K) sum_i log[ exp f(x_i, y_i) / ((1/K) sum_j exp f(x_i, y_j)) ],   at most log K

    (van den Oord, Li and Vinyals, arXiv:1807.03748, 2018; that it is a bound for every K: Poole et al., ICML 2019,
    Eq. 12). The variance is that of the jackknife over pairs, as in `tangent_bound`.

    Examples
    --------
    >>> value, variance = contrastive_bound(100 * torch.eye(8, dtype=torch.float64))
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
    return value, (without - without.mean()).square().sum() * (m - 1) / m


def pooled(parts: list[tuple[int, tuple[Tensor, Tensor]]]) -> tuple[Tensor, Tensor]:
    """Mean and variance of the mean over independent blocks (size, (value, variance)), weighted by size."""
    total = sum(size for size, _ in parts)
    value = torch.stack([size / total * value for size, (value, _) in parts]).sum()
    return value, torch.stack([(size / total) ** 2 * variance for size, (_, variance) in parts]).sum()
