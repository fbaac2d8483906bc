"""What neighbour estimators say of their own numbers: random error, bias in N and in k, dependence on coordinates.

A neighbour estimate is the mean of one term per sample. Its random error comes from the spread of the terms. Its bias,
which no formula gives, is seen in what the number does when the neighbourhoods change in size: on disjoint parts of
the data (N-slope), at the 4k-th instead of the k-th neighbour (k-slope), and in other coordinates of the same law.

No diagnostic sees structure finer than every neighbourhood: of a law with 32 stripes 200 samples tell nothing, and the
number is that of the law without stripes. What is seen of it makes the result one of kind "unknown".
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.estimators.base import stream_of_samples

PARTS = 8
FEWEST_PER_PART = 20
TOLERATED_BIAS = 0.05  # nat, and relative: beyond it the number is not to be trusted
TOLERATED_REPEATS = 0.05  # the share of repeated values in a coordinate that rounding to float32 stays well below
_CLEAR = 3.0  # standard errors that make a drift more than chance
_HEARD = 2.5  # standard errors from which on a witness counts as bias
_BEYOND = 3.5  # and from which on it contradicts: there are several
_WIDER = 4  # times k: the wider neighbourhoods of the k-slope
# standard errors from which on a k-slope counts as bias, and the same for tails, whose bias has one sign
_SEEN, _SEEN_OF_TAILS = 2.5, 1.5
# neighbourhoods overlap: beside the spread of its terms, a mean of functions of k-th neighbour distances has about
# 0.7 psi'(k) / N more variance, whatever the law (measured: 0.4 to 0.8 for k = 1 to 20 in 1 to 6 dimensions)
_OVERLAP = 0.7
_OVERLAP_OF_CHANGES = 1.7  # the variance of the mean change of terms, relative to that of independent changes


class Terms(NamedTuple):
    """One estimate, taken apart: one term per sample, whose mean it is.

    `concern` is a reason not to trust it, if there is one. `noisy` is on how many distances of neighbours a term hangs
    on average; `variance` is that of the mean where more is random than the terms (the second sample of a divergence).
    `room` is by how much the number may be wrong where no drift can show it.
    """

    values: Tensor
    concern: str = ""
    noisy: float = 1.0
    variance: float = 0.0
    room: float = 0.0


@dataclass(frozen=True)
class Problem:
    """An estimator and its data, as the diagnostics need them.

    Parameters
    ----------
    name
        Of the estimator, for warnings.
    terms
        `terms(k, *samples)`: the estimate from these samples.
    k
        Which neighbour.
    samples
        Matrices (N, D).
    dim
        Of the space in which neighbours are sought.
    tails
        Whether the tails of the law make the bias, as they do for logarithms of distances that do not cancel: it then
        falls as (k / N)^(1 / (dim + 1)) rather than (k / N)^(2 / dim), the rate of smooth densities.
    relative
        Whether an error may be small relative to the number (an entropy has no natural zero).
    paired
        Whether the rows of the matrices belong together; otherwise each matrix is a sample by itself.
    other_coordinates
        Gives the same data in other coordinates, and by how much the number must change back.
    ceiling
        The largest number that so few samples can give.
    witnesses
        Gives the terms of other numbers that do not exceed the true one, but for chance, and what they are.
    """

    name: str
    terms: Callable[..., Terms]
    k: int
    samples: Sequence[Tensor]
    dim: int
    tails: bool = False
    relative: bool = True
    paired: bool = True
    other_coordinates: Callable[[], tuple[Sequence[Tensor], float]] | None = None
    ceiling: float = math.inf
    witnesses: Callable[[], Sequence[tuple[Terms, str]]] = tuple


def diagnosed(problem: Problem, *, diagnose: bool = True, repeats: float = 0.0) -> Estimate:
    """The estimate on all samples with its random error and its bias; kind "unknown" where it is not to be trusted.

    `repeats` is the share of repeated values, for estimators that assume a density. Without `diagnose` only the number
    and its random error are computed: the bias is not known then, so `error` is infinite and the kind "unknown".
    """
    samples, k = problem.samples, problem.k
    n = min(len(matrix) for matrix in samples)
    whole = problem.terms(k, *samples)
    estimate = Estimate(
        whole.values.mean(),
        stderr=math.sqrt(_variance(whole, k)),
        error=math.inf,
        kind="unknown",
        method="sample-based",
        streams=(stream_of_samples(*samples),),
        info={"n": n, "k": k},
    )
    if not diagnose:  # without a warning: that is what was asked for
        return replace(estimate, info={**estimate.info, "warning": "not diagnosed: its bias is not known"})
    size = fewest_per_part(k)
    parts = min(PARTS, n // size)
    if not math.isfinite(float(estimate)):
        return distrusted(problem.name, estimate, whole.concern or "the number is not finite")
    if parts < 4:
        return distrusted(problem.name, estimate, f"{n} samples are too few to tell its error: {4 * size} are needed")
    slopes, hidden_spread = _slopes(problem, whole, parts)
    biases = {slope.changed: slope.bias for slope in slopes}
    info = {**estimate.info, "bias": biases["N"], "bias_from_k": biases["k"]}
    systematic, moved = max(biases.values()) + whole.room, None
    if problem.other_coordinates is not None:
        others, change = problem.other_coordinates()
        moved = _drift(whole.values, problem.terms(k, *others).values + change)
        # asked for only where coordinates look as if they mattered: chance is not taken out of the difference
        info["coordinate_dependence"] = abs(moved.value)
        systematic += abs(moved.value)
    stderr = math.sqrt(_variance(whole, k, hidden_spread))
    estimate = replace(estimate, stderr=estimate.value.new_tensor(stderr), kind="estimate", info=info)
    reason = _reason_for_distrust(problem, estimate, whole, repeats, slopes, moved)
    if not reason:
        more, reason = _contradiction(problem, estimate, whole)
        systematic = max(systematic, more)
    # the interval value -+ (z stderr + error) has room for a bias on both sides, but a bias lies on one: with a large
    # one 1.645 would do where z is 1.96, and a small one hardly matters; with this error 95 % are 95 % for any bias
    error = systematic**2 / (systematic + stderr / 3) if systematic > 0 else 0.0
    estimate = replace(estimate, error=estimate.value.new_tensor(error))
    return distrusted(problem.name, estimate, reason) if reason else estimate


def distrusted(name: str, estimate: Estimate, reason: str) -> Estimate:
    """The same number, marked as one that decides nothing."""
    warnings.warn(f"{name}: {reason}; the result is of kind 'unknown'", stacklevel=4)
    return replace(estimate, kind="unknown", info={**estimate.info, "warning": reason})


def fewest_per_part(k: int) -> int:
    """So many samples must be in a part of the data for its number to say something."""
    return max(FEWEST_PER_PART, _WIDER * k + 2)


def coincidence(distances: Tensor) -> str:
    """What is wrong when neighbours are at distance zero; empty when none are."""
    count = int((distances == 0).sum())
    return f"{count} of {len(distances)} samples coincide with neighbours: the law is not continuous" if count else ""


def in_normal_scores(samples: Sequence[Tensor]) -> tuple[list[Tensor], float]:
    """Every coordinate transformed by itself so that its samples lie as those of a standard Gaussian, and its repeats.

    Equal values stay equal. The number is the largest share, among the coordinates, of samples whose value occurs more
    than once.
    """
    matrices, share = [], 0.0
    for matrix in samples:
        scores = np.empty(matrix.shape)
        for column, values in enumerate(matrix.cpu().numpy().T):
            scores[:, column], repeated = _normal_scores(values)
            share = max(share, repeated)
        matrices.append(torch.from_numpy(scores).to(matrix.device))
    return matrices, share


def near_normal(samples: Sequence[Tensor], scores: Sequence[Tensor]) -> bool:
    """Whether normal scores differ little from the data: correlation above 0.95, standard deviations within 3 to 1."""
    if not scores:
        return True
    data, ideal = torch.cat(list(samples), 1), torch.cat(list(scores), 1)
    centred = data - data.mean(0)
    centred = centred / centred.abs().amax()  # squares of very small or large samples are no numbers
    size = centred.square().mean(0).sqrt()
    alike = (centred * ideal).mean(0) > 0.95 * size * ideal.square().mean(0).sqrt()
    return bool(alike.all()) and bool(size.max() < 3 * size.min())


def _normal_scores(values: np.ndarray) -> tuple[np.ndarray, float]:
    from scipy.special import ndtri

    n = len(values)
    order = values.argsort()
    ascending = values[order]
    starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])
    counts = np.diff(np.r_[starts, n])
    scores = np.empty(n)
    scores[order] = np.repeat(ndtri((starts + counts / 2) / n), counts)
    return scores, float(counts[counts > 1].sum()) / n


class _Drift(NamedTuple):
    """How far the number moves under a change that should not matter, and the noise of this move."""

    value: float
    stderr: float

    @property
    def size(self) -> float:
        """What is left of the move when chance, in quadrature, is taken out."""
        return math.sqrt(max(0.0, self.value**2 - self.stderr**2))

    @property
    def is_clear(self) -> bool:
        return abs(self.value) > _CLEAR * self.stderr


def _drift(before: Tensor, after: Tensor) -> _Drift:
    change = after - before
    return _Drift(float(change.mean()), math.sqrt(_OVERLAP_OF_CHANGES * float(change.var()) / len(change)))


class _Slope(NamedTuple):
    """A drift with N or with k, what is left of the bias at k and N by it, and the noise of this bias."""

    changed: str
    drift: _Drift
    bias: float
    noise: float


def _slopes(problem: Problem, whole: Terms, parts: int) -> tuple[list[_Slope], float]:
    """What is left of the bias by drifts from N to a part and from k to 4k; and the spread hidden by smoothing.

    A bias proportional to a power of k / N is extrapolated: the power of the problem where nothing is known. Where the
    structure of the law is as fine as the neighbourhoods, or where densities jump, the bias falls more slowly: by the
    power that the drifts from k to 4k, in the parts and in the whole, tell, not less than half that of the problem
    or 1 / 2.

    A term averages over its neighbourhood, which takes from the spread of the terms just as it adds to the bias; this
    is extrapolated, too.
    """
    k, power = problem.k, 1 / (problem.dim + 1) if problem.tails else 2 / problem.dim
    orders = _shuffles(problem.samples, problem.paired)
    splits = list(zip(*(order.tensor_split(parts) for order in orders), strict=True))
    pieces = [[matrix[index] for matrix, index in zip(problem.samples, rows, strict=True)] for rows in splits]
    before = torch.cat([whole.values[rows[0]] for rows in splits])
    small = [problem.terms(k, *piece).values for piece in pieces]
    gain = parts**power - 1
    drift = _drift(before, torch.cat(small))
    # the bias of tails has one sign, and is underestimated just when the number is too low: no room for chance then
    bias = abs(drift.value) if problem.tails else drift.size
    slopes = [_Slope("N", drift, bias / gain, drift.stderr / gain)]
    hidden = (float(before.var()) - float(torch.cat(small).var())) / gain

    drift = _drift(whole.values, problem.terms(_WIDER * k, *problem.samples).values)
    seen = abs(drift.value) > (_SEEN_OF_TAILS if problem.tails else _SEEN) * drift.stderr
    if seen:
        wide = [problem.terms(_WIDER * k, *piece).values for piece in pieces]
        growth = float((torch.cat(wide) - torch.cat(small)).mean()) / drift.value
        observed = math.log(growth) / math.log(parts) if growth > 0 else 0.0
        power = min(power, max(min(power / 2, 0.5), observed))
    gain = _WIDER**power - 1
    slopes.append(_Slope("k", drift, drift.size / gain if seen else 0.0, drift.stderr / gain))
    return slopes, max(0.0, min(hidden, float(whole.values.var())))


def _shuffles(samples: Sequence[Tensor], paired: bool) -> list[Tensor]:
    """For each matrix its rows in an order that looks random and does not depend on the order they came in.

    Samples are sorted (paired ones by the sum of their first coordinates, which knows no order of x and y), then put
    into a fixed random order, another one for each sample of its own: parts of the same ranks would be dependent. Only
    equal keys keep the order they came in.
    """
    keys = [matrix[:, 0] for matrix in samples]
    generator = torch.Generator().manual_seed(0)
    if paired:
        keys = [torch.stack(keys).sum(0)]
    orders = [key.argsort(stable=True)[torch.randperm(len(key), generator=generator).to(key.device)] for key in keys]
    return orders * len(samples) if paired else orders


def _reason_for_distrust(
    problem: Problem, estimate: Estimate, whole: Terms, repeats: float, slopes: list[_Slope], moved: _Drift | None
) -> str | None:
    n, dim, value = estimate.info["n"], problem.dim, float(estimate)
    if whole.concern:
        return whole.concern
    if repeats > TOLERATED_REPEATS:
        return f"{repeats:.0%} of the values of a coordinate repeat: the law is not continuous"
    tolerated = _tolerated(problem, estimate)
    if whole.room > tolerated:
        return f"labels or atoms leave room for {whole.room:.2g} nat more"
    if moved is not None and moved.is_clear and abs(moved.value) > tolerated:
        other = value + moved.value
        return f"it becomes {other:.3g} nat when each coordinate is brought to another scale"
    for slope in slopes:
        if slope.drift.is_clear and slope.bias > tolerated:
            return (
                f"its bias at N = {n} is about {slope.bias:.2g} nat in {dim} dimensions: it drifts with {slope.changed}"
            )
    noise = slopes[0].noise
    if 2 * noise > tolerated:
        return f"its bias at N = {n} in {dim} dimensions is only known to {noise:.2g} nat"
    if value > problem.ceiling - 1:
        return f"the estimate nears its ceiling psi(N) - psi(k) = {problem.ceiling:.3g}: more samples are needed"
    return None


def _contradiction(problem: Problem, estimate: Estimate, whole: Terms) -> tuple[float, str | None]:
    """By how much witnesses are above the number, chance aside, and why it is not to be trusted if that is clear."""
    most = 0.0
    for terms, what in problem.witnesses():
        paired = _drift(whole.values, terms.values)
        above = _Drift(paired.value, math.sqrt(paired.stderr**2 + terms.variance))
        if above.value > max(_tolerated(problem, estimate), _BEYOND * above.stderr):
            return above.size, f"{what} has {float(estimate) + above.value:.3g} nat, which is more"
        if above.value > _HEARD * above.stderr:
            most = max(most, above.size)
    return most, None


def _tolerated(problem: Problem, estimate: Estimate) -> float:
    """The bias with which a number still says something."""
    value = abs(float(estimate)) if problem.relative else 0.0
    return max(3 * float(estimate.stderr), TOLERATED_BIAS, TOLERATED_BIAS * value)


def _variance(whole: Terms, k: int, hidden_spread: float = 0.0) -> float:
    """Of the mean of the terms."""
    count = len(whole.values)
    spread = float(whole.values.var()) if count > 1 else math.inf
    if not math.isfinite(spread):  # an infinite number has no spread
        return math.inf
    noise = whole.noisy * float(torch.special.polygamma(1, torch.tensor(float(k), dtype=torch.float64)))
    return (spread + hidden_spread + _OVERLAP * min(noise, spread)) / count + whole.variance
