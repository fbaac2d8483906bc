"""Nearest-neighbour estimators for continuous data: Kozachenko-Leonenko entropy and KSG mutual information."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.estimators.base import paired_samples, require_independent, require_varying
from infotherm.estimators.diagnostics import Problem, Terms, coincidence, diagnosed, in_normal_scores, near_normal
from infotherm.estimators.gaussian import gaussian_terms, looks_gaussian
from infotherm.estimators.nearest import count_closer, nearest, neighbour_counts
from infotherm.estimators.tags import Tags


@dataclass(frozen=True)
class KozachenkoLeonenko:
    """Differential entropy of samples from their k-th neighbour distances, in nats.

        h = psi(N) - psi(k) + D < log(2 eps_i) >,

    eps_i the distance of sample i to its k-th neighbour in the maximum norm (Kozachenko and Leonenko 1987; Kraskov,
    Stoegbauer and Grassberger, Phys. Rev. E 69, 066138, 2004, Eq. 20). Its bias shrinks slowly in high dimension: the
    result carries the bias, extrapolated as (k / N)^(1 / (D + 1)) from disjoint parts of the data (tails make it slow),
    as `error`, and is of kind "unknown" where that is not small, where coordinates of unequal scale make a difference,
    or where repeated values make the density meaningless.

    Parameters
    ----------
    k
        Which neighbour.
    diagnose
        Whether to find out how far the number can be trusted, which costs about as much again. Without, its `error` is
        infinite and its kind "unknown".

    Examples
    --------
    >>> x = torch.randn(2000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> low, high = KozachenkoLeonenko().estimate(x).interval(0.99)   # the truth is 1.4189
    >>> bool(low < 1.4189 < high)
    True
    """

    tags: ClassVar[Tags] = Tags(quantities=("entropy",))

    k: int = 3
    diagnose: bool = True

    def estimate(self, x: Any) -> Estimate:
        """The entropy of samples of shape (N, D).

        Raises
        ------
        ValueError
            For N <= k, constant or linearly dependent coordinates, NaN.
        """
        (samples,) = paired_samples(x=x, least=checked_neighbours(self.k) + 1)
        require_varying(samples, "x")
        require_independent(samples, "x")
        _, repeats = in_normal_scores([samples]) if self.diagnose else ([], 0.0)
        dim = samples.shape[1]
        problem = Problem(
            "KozachenkoLeonenko",
            _entropy_terms,
            self.k,
            [samples],
            dim,
            tails=True,
            relative=False,
            other_coordinates=(lambda: on_equal_scales(samples)) if unequal_scales(samples) else None,
        )
        return diagnosed(problem, diagnose=self.diagnose, repeats=repeats)


@dataclass(frozen=True)
class KSG:
    """(Conditional) mutual information of samples by counting neighbours, in nats.

        I(x; y) = psi(k) + psi(N) - < psi(n_x + 1) + psi(n_y + 1) >                        (variant 1)
        I(x; y) = psi(k) - 1 / k + psi(N) - < psi(m_x) + psi(m_y) >                        (variant 2)
        I(x; y | z) = psi(k) - < psi(n_xz + 1) + psi(n_yz + 1) - psi(n_z + 1) >            (variant 1)

    eps_i is the distance of sample i to its k-th neighbour in the joint space (maximum norm), n_x the number of other
    samples *strictly* closer than eps_i in the subspace; m_x that of samples *at most* as far as the farthest, in x, of
    the k neighbours (Kraskov, Stoegbauer and Grassberger, Phys. Rev. E 69, 066138, 2004, Eqs. 8 and 9; Frenzel and
    Pompe, Phys. Rev. Lett. 99, 204101, 2007). Never clipped at zero.

    In high dimension or near determinism the number is far too low: the result carries the bias, extrapolated as
    (k / N)^(2 / D), or more slowly where the data show it, from disjoint parts of the data and from the 4k-th
    neighbour, as `error`. It is of kind "unknown" where that is not small, where values repeat, where the estimate
    nears its ceiling psi(N) - psi(k), or where a number that cannot exceed the information is clearly larger (the
    lengths of x and y, neighbourhoods of another shape, the Gaussian law of the same correlations). Structure finer
    than all neighbourhoods leaves no trace: y = sin(40 pi x) + noise is taken for independent of x at N = 200.

    Information does not change when every coordinate is transformed by itself, but this number does (coordinates of
    very different scale give nearly 0): its distance from that of the normal scores of the data, unless these are much
    the same, counts as error too. The value does not depend on the order of the samples, nor, where no values repeat,
    do the errors.

    Parameters
    ----------
    k
        Which neighbour.
    variant
        1 or 2; the second has the smaller bias where x and y depend strongly, and no conditional form.
    diagnose
        Whether to find out how far the number can be trusted, which costs about as much again. Without, its `error` is
        infinite and its kind "unknown".

    Examples
    --------
    >>> x = torch.randn(1000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> y = x + torch.randn(1000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    >>> low, high = KSG().estimate(x, y).interval(0.99)   # the truth is 0.3466
    >>> bool(low < 0.3466 < high)
    True
    """

    k: int = 3
    variant: int = 1
    diagnose: bool = True

    def __post_init__(self) -> None:
        if self.variant not in (1, 2):
            raise ValueError(f"variant must be 1 or 2; got {self.variant!r}")

    @property
    def tags(self) -> Tags:
        """What it computes, and under which changes of the data it must not move."""
        k, conditional = self.k, ("conditional_mutual_information",) if self.variant == 1 else ()
        return Tags(quantities=("mutual_information", *conditional), ceiling=lambda n: psi(n) - psi(k))

    def estimate(self, x: Any, y: Any, *, given: Any = None) -> Estimate:
        """The mutual information of paired samples of shapes (N, D_x), (N, D_y), given (N, D_z).

        Raises
        ------
        ValueError
            For N <= k, unequal numbers of samples, constant coordinates, NaN; for `given` with variant 2.
        """
        matrices = paired_samples(x=x, y=y, given=given, least=checked_neighbours(self.k) + 1)
        if given is not None and self.variant == 2:
            raise ValueError("given needs variant 1: variant 2 has no conditional form")
        for matrix, name in zip(matrices, ("x", "y", "given"), strict=False):
            require_varying(matrix, name)
        scores, repeats = in_normal_scores(matrices) if self.diagnose else ([], 0.0)
        dim = sum(m.shape[1] for m in matrices)
        problem = Problem(
            "KSG",
            self._terms,
            self.k,
            matrices,
            dim,
            other_coordinates=None if near_normal(matrices, scores) else lambda: (scores, 0.0),
            ceiling=psi(len(matrices[0])) - psi(self.k),
            witnesses=lambda: witnesses(self._terms, self.k, matrices, scores),
        )
        return diagnosed(problem, diagnose=self.diagnose, repeats=repeats)

    @property
    def _terms(self) -> Callable[..., Terms]:
        return _second_terms if self.variant == 2 else _first_terms


def witnesses(
    terms: Callable[..., Terms], k: int, matrices: Sequence[Tensor], scores: Sequence[Tensor]
) -> list[tuple[Terms, str]]:
    """Numbers that an information is not below: neighbourhoods of no other shape, and no Gaussian law, may show more.

    - Nothing computed from x and from y shares more information than they do: with several coordinates, their lengths.
    - Neighbourhoods 8 times narrower in x, or in y, lose less of an information that is fine in one of them.
    - With normal scores, I(x; y) >= h(y) - (1/2) log det(2 pi e S), S the covariance of what linear regression on x
      leaves of y. That is the number of the Gaussian law of the same covariance where x or y is one coordinate, and
      nearly so elsewhere; the conditional number may be smaller, so there the scores must look Gaussian.
    """
    found = []
    if len(matrices) == 2:
        x, y = matrices
        found = [
            (terms(k, *stretched), f"with {name} stretched 8 times it")
            for stretched, name in (((8 * x, y), "x"), ((x, 8 * y), "y"))
        ]
    if not scores:
        return found
    if len(matrices) == 2 and torch.cat(list(matrices), 1).shape[1] > 2:
        lengths = [part.norm(dim=1, keepdim=True) if part.shape[1] > 1 else part for part in scores]
        found.append((_first_terms(k, *lengths), "the pair of lengths"))
    if looks_gaussian(torch.cat(list(matrices), 1)):
        scores = matrices  # ranks do not resolve what nearly repeats another coordinate
    elif len(matrices) > 2 and not looks_gaussian(torch.cat(list(scores), 1)):
        return found
    with suppress(ValueError):  # of dependent coordinates, or too many
        found.append((Terms(gaussian_terms(scores)), "the Gaussian law of the same correlations"))
    return found


def blocks_of(matrices: Sequence[Tensor]) -> tuple[Tensor, list[list[int]]]:
    """The joint samples, and the columns of the subspaces whose counts enter: x and y, or xz, yz and z."""
    joint = torch.cat(list(matrices), 1)
    x, y, *rest = (part.tolist() for part in torch.arange(joint.shape[1]).split([m.shape[1] for m in matrices]))
    return joint, [x + rest[0], y + rest[0], rest[0]] if rest else [x, y]


def _entropy_terms(k: int, x: Tensor) -> Terms:
    n, dim = x.shape
    distances = nearest(x, k).distances[:, -1]
    # a zero distance gives -inf, the entropy of a law with atoms
    return Terms(psi(n) - psi(k) + dim * (2 * distances).log(), coincidence(distances))


def unequal_scales(x: Tensor) -> bool:
    """Whether the scales of the coordinates are more than 3 to 1."""
    scale = _scales(x)
    return bool(scale.max() > 3 * scale.min())


def on_equal_scales(x: Tensor) -> tuple[list[Tensor], float]:
    """Each coordinate divided by its scale, and what the entropy loses by that."""
    scale = _scales(x)
    return [(x - x.median(0).values) / scale], float(scale.log().sum())


def _scales(x: Tensor) -> Tensor:
    """The median distance of each coordinate from its median; 1 where that is zero."""
    scale = (x - x.median(0).values).abs().median(0).values
    return torch.where(scale > 0, scale, 1.0)


def _first_terms(k: int, *matrices: Tensor) -> Terms:
    joint, subspaces = blocks_of(matrices)
    found, counts = neighbour_counts(joint, k, subspaces)
    digammas = [digamma(count + 1) for count in counts]
    outer = digammas[0] + digammas[1]  # first these two: exchanging x and y changes no bit
    values = psi(k) + psi(len(joint)) - outer if len(counts) == 2 else psi(k) - (outer - digammas[2])
    return Terms(values, coincidence(found.distances[:, -1]))


def _second_terms(k: int, x: Tensor, y: Tensor) -> Terms:
    found = nearest(torch.cat([x, y], 1), k)
    digammas = []
    for space in (x, y):
        reach = (space[found.indices] - space[:, None]).abs().amax((1, 2))
        digammas.append(digamma(count_closer(space, reach, inclusive=True)))
    values = psi(k) - 1 / k + psi(len(x)) - (digammas[0] + digammas[1])
    # two distances of neighbours for each sample: measured, the overlap counts 1.7 times that of one
    return Terms(values, coincidence(found.distances[:, -1]), noisy=1.7)


def digamma(counts: Tensor) -> Tensor:
    """psi of whole numbers, in float64."""
    return torch.digamma(counts.to(torch.float64))


def psi(n: int) -> float:
    """psi of one whole number."""
    return float(torch.digamma(torch.tensor(float(n), dtype=torch.float64)))


def checked_neighbours(k: int) -> int:
    """k itself, when it is a positive integer."""
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k must be a positive integer; got {k!r}")
    return k
