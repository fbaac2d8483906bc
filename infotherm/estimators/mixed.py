"""Nearest-neighbour mutual information where some of the data are discrete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.estimators.base import paired_samples, require_varying
from infotherm.estimators.diagnostics import (
    TOLERATED_REPEATS,
    Problem,
    Terms,
    coincidence,
    diagnosed,
    in_normal_scores,
    near_normal,
)
from infotherm.estimators.nearest import count_closer, nearest, neighbour_counts
from infotherm.estimators.neighbours import blocks_of, checked_neighbours, digamma, psi, witnesses
from infotherm.estimators.tags import Tags

# counts in one continuous space follow the distance of the neighbour more closely than those in two: measured, the
# overlap of neighbourhoods then adds to the variance 0.3 of what it adds for continuous data
NOISE_BESIDE_LABELS = 0.3


@dataclass(frozen=True)
class DiscreteContinuous:
    """Mutual information between labels and continuous samples, in nats.

        I = psi(N) + < psi(k_i) - psi(N_i) - psi(m_i + 1) >,

    N_i the number of samples with the label of sample i, k_i = min(k, N_i - 1), and m_i that of other samples, of any
    label, strictly closer than the k_i-th neighbour of sample i among those of its own label (Ross, PLoS ONE 9, e87357,
    2014, Eq. 2; maximum norm). A label that occurs once says nothing: its term is 0, and the result is of kind
    "unknown". Labels are equal or not; a row of several coordinates is one label. The other side must have a density;
    for coordinates with atoms use `MixedKSG`.

    Never clipped at zero. The bias is extrapolated as (k / N)^(2 / D), D the dimension of the continuous side, or more
    slowly where the data show it, from disjoint parts of the data and from the 4k-th neighbour; with the distance from
    the number for normal scores, and what labels that occur at most 4k times may hide, it makes the `error`.

    Parameters
    ----------
    k
        Which neighbour.
    diagnose
        Whether to find out how far the number can be trusted, which costs about as much again. Without, its `error` is
        infinite and its kind "unknown".

    Examples
    --------
    >>> label = torch.arange(1000) % 2
    >>> noise = torch.randn(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> low, high = DiscreteContinuous().estimate(label, 2 * label + noise).interval(0.99)   # the truth is 0.3368
    >>> bool(low < 0.3368 < high)
    True
    """

    tags: ClassVar[Tags] = Tags(quantities=("mutual_information",), data=("mixed",))

    k: int = 3
    diagnose: bool = True

    def estimate(self, x: Any, y: Any) -> Estimate:
        """The mutual information of paired samples (N, D_x), (N, D_y), one of them labels: the one that repeats.

        Raises
        ------
        ValueError
            When both or neither of x and y repeat their values; for N <= k, constant coordinates, NaN.
        """
        matrices = paired_samples(x=x, y=y, least=checked_neighbours(self.k) + 1)
        for matrix, name in zip(matrices, "xy", strict=True):
            require_varying(matrix, name)
        labels, samples = _labels_first(*matrices)
        scores, repeats = in_normal_scores([samples]) if self.diagnose else ([], 0.0)
        problem = Problem(
            "DiscreteContinuous",
            _label_terms,
            self.k,
            [labels, samples],
            samples.shape[1],
            other_coordinates=None if near_normal([samples], scores) else lambda: ([labels, *scores], 0.0),
        )
        return diagnosed(problem, diagnose=self.diagnose, repeats=repeats)


@dataclass(frozen=True)
class MixedKSG:
    """(Conditional) mutual information of data that may be discrete, continuous, or mixtures of both, in nats.

        I(x; y) = psi(N) + < psi(k_i) - psi(n_x) - psi(n_y) >,
        I(x; y | z) = < psi(k_i) - psi(n_xz) - psi(n_yz) + psi(n_z) >.

    Where the k-th neighbour in the joint space (maximum norm) is at a positive distance, k_i = k and n counts the
    sample and the others strictly closer than that, as KSG does; where it coincides with the sample, k_i and n count
    all samples that coincide with it in the respective space (Gao, Kannan, Oh and Viswanath, NeurIPS 2017, Algorithm 1;
    Mesner and Shalizi, IEEE Trans. Inf. Theory 67, 464, 2021). The logarithms log N and log(n + 1) printed there are
    digammas here: without ties the number is then exactly that of KSG, and for discrete data its bias falls faster than
    1 / N (it is the plug-in number with the correction of Miller and Madow). Never clipped at zero.

    The bias is extrapolated as (k / N)^(2 / D), or more slowly where the data show it, from disjoint parts of the data
    and from the 4k-th neighbour; with the distance from the number for normal scores, and what atoms in the
    neighbourhoods of other samples hide, it makes the `error`. Discrete data need more than k samples in nearly every
    combination that occurs, else the result is of kind "unknown". Numbers of a discrete coordinate are positions, not
    names: labels that lie closer than the scale of the continuous coordinates blur.

    Parameters
    ----------
    k
        Which neighbour.
    diagnose
        Whether to find out how far the number can be trusted, which costs about as much again. Without, its `error` is
        infinite and its kind "unknown".

    Examples
    --------
    >>> x = torch.bernoulli(torch.full((2000,), 0.5), generator=torch.Generator().manual_seed(0))
    >>> flip = torch.bernoulli(torch.full((2000,), 0.1), generator=torch.Generator().manual_seed(1))
    >>> low, high = MixedKSG().estimate(x, (x + flip) % 2).interval(0.99)   # the truth is 0.3681
    >>> bool(low < 0.3681 < high)
    True
    """

    k: int = 3
    diagnose: bool = True

    @property
    def tags(self) -> Tags:
        """What it computes, and under which changes of the data it must not move."""
        return Tags(
            quantities=("mutual_information", "conditional_mutual_information"),
            data=("continuous", "discrete", "mixed"),
            ceiling=lambda n: psi(n) - psi(1),
        )

    def estimate(self, x: Any, y: Any, *, given: Any = None) -> Estimate:
        """The mutual information of paired samples of shapes (N, D_x), (N, D_y), given (N, D_z).

        Raises
        ------
        ValueError
            For N <= k, unequal numbers of samples, constant coordinates, NaN.
        """
        matrices = paired_samples(x=x, y=y, given=given, least=checked_neighbours(self.k) + 1)
        for matrix, name in zip(matrices, ("x", "y", "given"), strict=False):
            require_varying(matrix, name)
        scores, repeats = in_normal_scores(matrices) if self.diagnose else ([], 0.0)
        dim = sum(m.shape[1] for m in matrices)
        problem = Problem(
            "MixedKSG",
            _mixed_terms,
            self.k,
            matrices,
            dim,
            other_coordinates=None if near_normal(matrices, scores) else lambda: (scores, 0.0),
            ceiling=psi(len(matrices[0])) - psi(self.k),
            # normal scores of a few values are not normal
            witnesses=lambda: witnesses(_mixed_terms, self.k, matrices, scores if repeats < TOLERATED_REPEATS else []),
        )
        return diagnosed(problem, diagnose=self.diagnose)


def _mixed_terms(k: int, *matrices: Tensor) -> Terms:
    joint, subspaces = blocks_of(matrices)
    found, counts = neighbour_counts(joint, k, subspaces)
    atoms = (found.distances[:, -1] == 0).nonzero().flatten()
    counts = [count + 1 for count in counts]
    inner = torch.full((len(joint),), k)
    if len(atoms):
        zeros = torch.zeros(len(atoms), dtype=torch.float64, device=joint.device)
        inner = inner.to(atoms).index_put((atoms,), count_closer(joint, zeros, joint[atoms], inclusive=True))
        for count, columns in zip(counts, subspaces, strict=True):
            space = joint[:, columns]
            count[atoms] = count_closer(space, zeros, space[atoms], inclusive=True)
    digammas = [digamma(count) for count in counts]
    outer = digammas[0] + digammas[1]  # first these two: exchanging x and y changes no bit
    last = psi(len(joint)) if len(counts) == 2 else digammas[2]
    values = digamma(inner) - (outer - last)
    repeated = [_repeated(matrix) for matrix in matrices]
    noise = torch.where(repeated[0] | repeated[1], NOISE_BESIDE_LABELS, 1.0)
    noise[atoms.cpu()] = 0.0
    discrete = torch.stack(repeated).all(0)
    variance = sum(
        variance_of_rare_labels(values, matrix)
        for matrix, own in zip(matrices[:2], repeated, strict=False)
        if own.double().mean() > 0.5
    )
    if bool(discrete.all()):
        variance += _variance_of_tables(len(joint), inner, counts)
    sparse = discrete.clone()
    sparse[atoms.cpu()] = False
    share = float(sparse.double().mean())
    concern = f"{share:.0%} of the samples are discrete, but fewer than {k} others equal them" if share > 0.05 else ""
    distances = found.distances[:, -1]
    room = sum(
        _hidden_by_atoms(k, joint[:, columns], distances, count)
        for columns, count in zip(subspaces[:2], counts, strict=False)
    )
    return Terms(values, concern, noisy=float(noise.mean()), variance=float(variance), room=room / len(joint))


def _hidden_by_atoms(k: int, space: Tensor, distances: Tensor, counts: Tensor) -> float:
    """By how much the terms would rise in sum if samples beside atoms did not count these.

    An atom within the neighbourhood of a sample without equals is none of its neighbours in the limit of many samples;
    that limit is slow, as atoms are counted by shares of N.
    """
    _, value, sizes = space.unique(dim=0, return_inverse=True, return_counts=True)
    heavy = sizes[value] > k
    alone = ~heavy & (distances > 0)
    if not (bool(heavy.any()) and bool(alone.any())):
        return 0.0
    atoms = count_closer(space[heavy], distances[alone], space[alone])
    total = counts[alone]
    return float((digamma(total) - digamma((total - atoms).clamp_min(1))).sum())


def _variance_of_tables(n: int, cells: Tensor, counts: Sequence[Tensor]) -> float:
    """What the spread of the terms leaves out when all data are discrete.

    At independence 2 N I is chi-square with f degrees of freedom, of variance 2 f, and skewed where f is small. And a
    combination that did not occur may have a probability of 1 / N, which moves the number by log(N) / N.
    """
    joint, x, y, *z = (float((1 / count.double()).sum()) for count in (cells, *counts))
    freedom = max(0.0, joint - x - y + (z[0] if z else 1.0))
    unseen = psi(n) ** 2 if x * y > 1.001 * joint * (z[0] if z else 1.0) else 0.0
    return ((freedom + 3) / 2 * (freedom > 0) + unseen) / n**2


def variance_of_rare_labels(values: Tensor, labels: Tensor) -> float:
    """What the spread of the terms leaves out when some labels are rare.

    The number of times that a label occurs is a Poisson number; its variance is estimated to be small just when the
    label occurs less often than it should. As if every label had occurred twice more, this is made good.
    """
    _, label = labels.unique(dim=0, return_inverse=True)
    sizes = torch.bincount(label)
    means = torch.bincount(label, weights=values) / sizes
    return 2 * float((means - values.mean()).square().sum()) / len(values) ** 2


def _repeated(x: Tensor) -> Tensor:
    """Which samples have no coordinate whose value is theirs alone."""
    repeated = torch.ones(len(x), dtype=torch.bool)
    for column in x.cpu().T:
        _, value, counts = column.unique(return_inverse=True, return_counts=True)
        repeated &= counts[value] > 1
    return repeated


def _labels_first(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers for the labels, (N, 1), and the samples beside them."""
    names = []
    for matrix in (x, y):
        _, label, counts = matrix.unique(dim=0, return_inverse=True, return_counts=True)
        names.append((label, float(counts[counts > 1].sum()) / len(matrix)))
    repeats = [share for _, share in names]
    if (repeats[0] > 0.5) == (repeats[1] > 0.5):
        raise ValueError(
            "one of x and y must hold labels and the other one continuous samples; "
            f"got {repeats[0]:.0%} of repeated values in x and {repeats[1]:.0%} in y: see MixedKSG and KSG"
        )
    first = repeats[0] > 0.5
    labels = names[0 if first else 1][0]
    return labels[:, None].to(x.dtype), y if first else x


def _label_terms(k: int, labels: Tensor, samples: Tensor) -> Terms:
    n = len(samples)
    radii = samples.new_full((n,), -1.0)
    near, sizes = torch.ones(n, dtype=torch.long), torch.ones(n, dtype=torch.long)
    for label in labels.unique():
        members = (labels[:, 0] == label).nonzero().flatten()
        sizes[members] = len(members)
        if len(members) > 1:
            near[members] = min(k, len(members) - 1)
            radii[members] = nearest(samples[members], min(k, len(members) - 1)).distances[:, -1]
    values = psi(n) + digamma(near) - digamma(sizes) - digamma(count_closer(samples, radii) + 1)
    single = sizes == 1
    # infinite neighbourhoods: all are closer than the neighbour that is not there
    values = torch.where(single, 0.0, values)
    alone = int(single.sum())
    concern = f"{alone} of {n} samples have a label that occurs once" if alone else coincidence(radii)
    # neighbourhoods that hold a whole label do not widen: its samples may miss all that is left of log(N / N_i)
    rare = sizes <= 4 * k
    room = float(torch.where(rare, psi(n) - digamma(sizes) - values, 0.0).sum().clamp_min(0)) / n
    variance = variance_of_rare_labels(values, labels)
    return Terms(values, concern, noisy=NOISE_BESIDE_LABELS, variance=variance, room=room)
