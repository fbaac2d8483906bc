"""Kullback-Leibler divergence between two samples from their nearest neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.estimators.base import as_samples, require_varying
from infotherm.estimators.diagnostics import Problem, Terms, coincidence, diagnosed, in_normal_scores
from infotherm.estimators.gaussian import gaussian_divergence, looks_gaussian
from infotherm.estimators.nearest import nearest
from infotherm.estimators.neighbours import checked_neighbours, on_equal_scales, unequal_scales
from infotherm.estimators.tags import Tags

_TOLERATED_FAR = 0.01  # share of samples of p beyond the reach of those of q


@dataclass(frozen=True)
class NeighbourKL:
    """Kullback-Leibler divergence D(p||q) from N samples of p and M samples of q, in nats.

        D = d < log(nu_i / rho_i) > + log(M / (N - 1)),

    rho_i the distance of sample i of p to its k-th neighbour among the other samples of p, nu_i that to its k-th
    neighbour among the samples of q, in d dimensions (Wang, Kulkarni and Verdu, IEEE Trans. Inf. Theory 55, 2392, 2009,
    Eq. 5; here in the maximum norm). The samples must be independent of each other: where a sample of p is also one of
    q, the number means nothing and is of kind "unknown". Never clipped at zero.

    The bias is extrapolated as (k / N)^(1 / (d + 1)), or more slowly where the data show it, from disjoint parts of
    both samples and from the 4k-th neighbour (slow, because of the tails); with the distance from the number for
    coordinates on equal scales it makes the `error`. Where both samples look Gaussian and the number is far below the
    divergence of Gaussian laws, it is of kind "unknown". Where q has no density on part of p the divergence is
    infinite, and the number grows with M without limit. Where more than one in a hundred samples of p are farther from
    those of q than these extend, the tails of q decide, which no sample shows: "unknown".

    Parameters
    ----------
    k
        Which neighbour, in both samples.
    diagnose
        Whether to find out how far the number can be trusted, which costs about as much again. Without, its `error` is
        infinite and its kind "unknown".

    Examples
    --------
    >>> x = torch.randn(2000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> y = 1 + torch.randn(500, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    >>> low, high = NeighbourKL().estimate(x, y).interval(0.99)   # the truth is 0.5
    >>> bool(low < 0.5 < high)
    True
    """

    tags: ClassVar[Tags] = Tags(quantities=("kl",), symmetric=False)

    k: int = 3
    diagnose: bool = True

    def estimate(self, x: Any, y: Any) -> Estimate:
        """The divergence of the law of x (N, d) from that of y (M, d).

        Raises
        ------
        ValueError
            For N <= k, M < k, different dimensions, constant coordinates, NaN.
        """
        matrices = [
            as_samples(x, "x", least=checked_neighbours(self.k) + 1),
            as_samples(y, "y", least=max(2, self.k)),
        ]
        if matrices[0].shape[1] != matrices[1].shape[1]:
            raise ValueError(
                f"x and y must have as many coordinates; got {' and '.join(str(m.shape[1]) for m in matrices)}"
            )
        for matrix, name in zip(matrices, "xy", strict=True):
            require_varying(matrix, name)
        (n, dim), together = matrices[0].shape, torch.cat(matrices)
        _, repeats = in_normal_scores([together]) if self.diagnose else ([], 0.0)
        problem = Problem(
            "NeighbourKL",
            _divergence_terms,
            self.k,
            matrices,
            dim,
            tails=True,
            paired=False,
            other_coordinates=(lambda: (_on_equal_scales(together, n), 0.0)) if unequal_scales(together) else None,
            witnesses=lambda: _witnesses(*matrices),
        )
        return diagnosed(problem, diagnose=self.diagnose, repeats=repeats)


def _witnesses(x: Tensor, y: Tensor) -> list[tuple[Terms, str]]:
    """Where both samples look Gaussian, the divergence of Gaussian laws: neighbours see no tails without samples."""
    if not (looks_gaussian(x) and looks_gaussian(y)):
        return []
    values, moved = gaussian_divergence(x, y)
    return [(Terms(values, variance=float(moved.var()) / len(y)), "the pair of Gaussian laws that fits")]


def _on_equal_scales(together: Tensor, n: int) -> Sequence[Tensor]:
    (scaled,), _ = on_equal_scales(together)
    return scaled.split([n, len(together) - n])


def _divergence_terms(k: int, x: Tensor, y: Tensor) -> Terms:
    (n, dim), m = x.shape, len(y)
    own = nearest(x, k).distances[:, -1]
    other = nearest(y, k, x)
    values = dim * (other.distances[:, -1].log() - own.log()) + math.log(m / (n - 1))
    # leaving out sample j of q moves the terms of which it is a neighbour, each by 1 / k on average
    influence = torch.bincount(other.indices.flatten(), minlength=m).to(values) * (m / (n * k))
    shared = int((other.distances[:, 0] == 0).sum())
    concern = f"{shared} of {n} samples of x are also samples of y: the samples must be independent" if shared else ""
    far = int((other.distances[:, 0] > (y.amax(0) - y.amin(0)).max()).sum())
    if far > _TOLERATED_FAR * n:
        concern = f"{far} of {n} samples of x are farther from y than y extends: its density there is not seen"
    return Terms(values, concern or coincidence(own), variance=float(influence.var()) / m)
