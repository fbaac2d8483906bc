"""Kolchinsky and Tracey's pairwise bounds: the entropy of samples observed through Gaussian noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.linalg import logdet, logdet_error, symmetrise_checked, whiten
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, require_finite
from infotherm.estimators.base import as_samples, stream_of_samples
from infotherm.estimators.diagnostics import distrusted
from infotherm.estimators.pairwise_sums import PairwiseSums, log_kernel_means, pairwise_sums
from infotherm.estimators.tags import Tags

_FEWEST = 8  # samples from which anything is said of the law they come from
_EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True, eq=False)
class KolchinskyTracey:
    """Upper bound of the differential entropy h(X + noise), and so of h(X), from samples x_i of X; in nats.

    The samples with noise N(0, C) form an equal-weight mixture. With d_ij = (x_i - x_j)^T C^-1 (x_i - x_j),

        lower = c - (1/N) sum_i log (1/N) sum_j exp(-d_ij / 8),     c = (1/2) log det(2 pi e C),
        upper = c - (1/N) sum_i log (1/N) sum_j exp(-d_ij / 2)

    enclose the entropy of that mixture (Kolchinsky and Tracey, Entropy 19, 361, 2017, Eq. 10 with the Bhattacharyya
    coefficients and Kullback-Leibler divergences of Sec. 4). They are `info["lower"]` and `info["upper"]`, exact up to
    their stated rounding, and speak of *these samples*: "upper" cannot exceed c + log N, however large h(X + noise) is.

    Of the law the samples were drawn from, two one-sided statements hold. The mean of "lower" is below h(X + noise),
    because entropy is concave. And without the term j = i,

        value = c - (1/N) sum_i log 1/(N - 1) sum_{j != i} exp(-d_ij / 2),

    has a mean above it: the cross-entropy between X + noise and the mixture of the *other* samples is, and by
    convexity of log-sum-exp this is more still. The value is that bound, of kind "upper", with a standard error;
    `info["population_lower"]` is the other one. Standard errors are those of a jackknife over 20 groups of samples.

    Conventions. The information I(X; X + noise) is `information(x)`. Codes that leave out the D/2 of c in both
    entropies have the same information, but their "entropy" is D/2 lower and no upper bound. Comparisons on neural
    networks (Kolchinsky, Tracey and Wolpert 2017; Gabrie et al. 2019, Fig. 2) add the variance of a fitted kernel to
    that of the noise, in one of two ways:

    - `KolchinskyTracey(noise, kernel_variance="likelihood").estimate(t)` with t before the noise ("parametric");
    - `KolchinskyTracey(0.0, kernel_variance="likelihood").estimate(t + noise)`, the kernel fitted to noisy samples.

    The paper's number is `info["upper"]` of these.

    Parameters
    ----------
    noise_variance
        A number, the variances of D coordinates (D,), or a covariance (D, D), positive definite; the noise is
        independent of X. Zero is allowed with a kernel.
    kernel_variance
        Added to every variance: a number, or "likelihood" for the one under which the samples are most likely, each
        given the others (fitted to x alone, as in the papers above).
    precision
        "float64", or "float32", which takes half of the time: rounding is bounded before it happens, enters `error`,
        and where the bound exceeds `tolerance` the sums are made in float64 (`info["arithmetic"]` says which).
    tolerance
        In nats.

    Raises
    ------
    ValueError, TypeError
        For settings out of these ranges.

    Examples
    --------
    >>> x = torch.randn(2000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> bound = KolchinskyTracey(0.5).estimate(x)   # X + noise has variance 3/2: h = 1.6217
    >>> bound.kind, float(bound) > 1.6217 > float(bound.info["population_lower"])
    ('upper', True)
    """

    noise_variance: Any
    kernel_variance: float | str = 0.0
    precision: str = "float64"
    tolerance: float = 1e-3

    @property
    def tags(self) -> Tags:
        """Its capabilities; rotations change the number unless the noise is isotropic."""
        invariances = {"shift", "reflection"} | ({"rotation"} if as_tensor(self.noise_variance).ndim == 0 else set())
        return Tags(
            quantities=("entropy",),
            kind="upper",
            consistent_for="none",
            invariances=frozenset(invariances),
            least_samples=_FEWEST,
        )

    def __post_init__(self) -> None:
        if self.precision not in ("float64", "float32"):
            raise ValueError(f"precision must be 'float64' or 'float32'; got {self.precision!r}")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be positive; got {self.tolerance}")
        fitted = self.kernel_variance == "likelihood"
        if isinstance(self.kernel_variance, str) and not fitted:
            raise ValueError(f"kernel_variance must be a number or 'likelihood'; got {self.kernel_variance!r}")
        if not isinstance(self.kernel_variance, str) and not 0 <= self.kernel_variance < math.inf:
            raise ValueError(f"kernel_variance must be a number >= 0; got {self.kernel_variance}")
        noise = require_finite(as_tensor(self.noise_variance, "noise_variance"), "noise_variance")
        if noise.ndim > 2:
            raise ValueError(f"noise_variance must have shape (), (D,) or (D, D); got {tuple(noise.shape)}")
        kernel = fitted or float(self.kernel_variance) > 0
        if noise.ndim < 2 and not bool((noise >= 0).all() if kernel else (noise > 0).all()):
            wanted = ">= 0" if kernel else "positive (zero needs a kernel_variance)"
            raise ValueError(f"noise_variance must be {wanted}; got {self.noise_variance}")

    def estimate(self, x: Any) -> Estimate:
        """The upper bound of h(X + noise) from samples of shape (N, D); duplicates and N = 1 are legal.

        Fewer than 8 samples say nothing of the law they come from: the value is then `info["upper"]`, which is exact
        for N = 1, of kind "unknown" with a warning. So it is where one sample carries more than 1/2 + 15/N of
        the spread of the logarithms (heavy tails): the standard error then means nothing.

        Raises
        ------
        ValueError
            For NaN, a noise covariance of another size, or a kernel that has no largest likelihood (duplicates).
        """
        return self._bounds(x, "estimate")

    def information(self, x: Any) -> Estimate:
        """The upper bound of I(X; X + noise) = h(X + noise) - h(noise), in the form of `estimate`.

        With a kernel it is h(X + noise + kernel) - h(noise), the paper's upper bound of the information.

        Raises
        ------
        ValueError
            As `estimate`; and for noise of variance zero, when the information is infinite.
        """
        return self._bounds(x, "information")

    def _bounds(self, x: Any, quantity: str) -> Estimate:
        samples = as_samples(x, "x", least=1)
        n, dim = samples.shape
        noise = as_tensor(self.noise_variance, "noise_variance").to(samples)
        if noise.ndim and noise.shape != (dim,) * noise.ndim:
            wanted = f"(), ({dim},) or ({dim}, {dim}) for x of {dim} coordinates"
            raise ValueError(f"noise_variance must have shape {wanted}; got {tuple(noise.shape)}")
        kernel = _likeliest_variance(samples) if self.kernel_variance == "likelihood" else float(self.kernel_variance)
        total = noise + kernel * (torch.eye(dim).to(noise) if noise.ndim == 2 else 1.0)
        white = _whitened(samples, total)
        constant, constant_error = white.log_det / 2, white.log_det_error / 2
        if quantity == "estimate":
            constant = constant + dim / 2 * math.log(2 * math.pi * math.e)
        elif bool((noise == 0).all() if noise.ndim == 2 else (noise == 0).any()):
            raise ValueError("noise_variance must be positive: without noise the information is infinite")
        else:
            reference = _whitened(samples, noise)
            constant, constant_error = constant - reference.log_det / 2, constant_error + reference.log_det_error / 2
        constant_error = constant_error + rounding_error([constant, white.log_det])
        sums = pairwise_sums(white.points, single=self.precision == "float32", tolerance=self.tolerance)
        lower, upper = _of_these_samples(sums, white, constant, constant_error)
        info: dict[str, Any] = {"n": n, "lower": lower, "upper": upper, "arithmetic": sums.arithmetic}
        if kernel:
            info["kernel_variance"] = kernel
        stream = (stream_of_samples(samples),)
        if n < _FEWEST:
            value = replace(upper, streams=stream, info=info)
            return distrusted("KolchinskyTracey", value, f"{n} samples are too few to speak of the law they come from")
        others = sums.full.logsumexp(0)
        if not bool(others.isfinite().all()):
            value = replace(upper, streams=stream, info=info)
            return distrusted("KolchinskyTracey", value, "samples are so far from all others that distances overflow")
        reach = 2 * (math.log(n) + 40 - min(0.0, float(others.amin())))
        rounding = white.log_kernel_error(reach) + sums.full_error + dim * _EPS * reach
        info["population_lower"] = Estimate(
            lower.value,
            stderr=_jackknife(-torch.log1p((sums.quarter.sum(0) - sums.quarter).clamp(min=0)), 0, sums.group),
            error=lower.error,
            kind="lower",
            method="sample-based",
            streams=stream,
            info={"n": n},
        )
        value = Estimate(
            constant + math.log(n - 1) - others.mean(),
            stderr=_jackknife(-_without_each(sums.full), 1, sums.group),
            error=constant_error + rounding_error([others.abs().mean()]) + rounding,
            kind="upper",
            method="sample-based",
            streams=stream,
            info=info,
        )
        if carried_by_one(others):
            return distrusted(
                "KolchinskyTracey", value, "one sample carries most of the spread: heavy tails or an outlier"
            )
        return value


class _White(NamedTuple):
    """Points in units of the noise, the log-determinant of its covariance, and what rounding did to both."""

    points: Tensor
    log_det: Tensor
    log_det_error: Tensor
    moved: float  # how far rounding, of the samples too, can have moved a point

    def log_kernel_error(self, squared_reach: float) -> float:
        """The error of the logarithm of a kernel exp(-d/2) with d up to `squared_reach`."""
        farthest = 2 * math.sqrt(self.points.shape[1]) * float(self.points.abs().amax())
        return 2 * self.moved * min(farthest, math.sqrt(squared_reach)) + 2 * self.moved**2


def _whitened(x: Tensor, covariance: Tensor) -> _White:
    centred = x - x.mean(0)
    if covariance.ndim < 2:
        deviation = covariance.sqrt().expand(x.shape[1])
        points = centred / deviation
        logs = deviation.log()
        moved = _EPS * ((x.abs() + 2 * centred.abs()) / deviation).norm(dim=1).amax()
        return _White(points, 2 * logs.sum(), rounding_error([2 * logs.abs().sum()]), float(moved))
    covariance = symmetrise_checked(covariance, "noise_variance")
    log_det = logdet(covariance)
    if not bool(log_det.isfinite()):
        raise ValueError("noise_variance must be positive definite; the covariance is singular")
    eye = torch.eye(len(covariance)).to(covariance)
    points = whiten(covariance, centred.mT).value.mT
    root = whiten(covariance, eye).value.abs()  # entries of the inverse factor
    # forward error of triangular substitution (Higham 2002, Theorem 8.5), and of the samples themselves
    amplified = (root @ torch.linalg.cholesky(covariance).abs() @ points.abs().mT).norm(dim=0).amax()
    moved = _EPS * (2 * len(eye) * amplified + (root @ (x.abs() + centred.abs()).mT).norm(dim=0).amax())
    return _White(points, log_det, logdet_error(covariance), float(moved))


def _of_these_samples(
    sums: PairwiseSums, white: _White, constant: Tensor, constant_error: Tensor
) -> tuple[Estimate, Estimate]:
    """The bounds of the entropy of the mixture: a point's kernel with itself is exactly 1."""
    n = len(white.points)
    quarter, full = sums.quarter.sum(0), sums.full.logsumexp(0).exp()
    reach = 2 * (math.log(n) + 40)
    bounds = []
    for kind, sum_of_others, relative, floor, squared_reach in (
        ("lower", quarter, sums.quarter_error, sums.quarter_floor, 4 * reach),
        ("upper", full, sums.full_error, 0.0, reach),
    ):
        logs = torch.log1p(sum_of_others)
        # only the kernels with others are rounded: their share of the sum is what an error in them moves
        share = ((sum_of_others - floor).clamp(min=0) / (1 + sum_of_others)).mean()
        moved = relative + white.log_kernel_error(squared_reach)
        value = constant + (math.log(n) - logs).mean()
        slack = share * moved if float(share) > 0 else 0.0  # the rounding of very distant points may be infinite
        error = constant_error + slack + floor + rounding_error([logs.mean() + math.log(n)])
        bounds.append(Estimate(value, error=error, kind=kind, method="sample-based", info={"n": n}))
    return bounds[0], bounds[1]


def _without_each(logs: Tensor) -> Tensor:
    """log sum_{h != g} exp(logs_h) for every row g of (G, N), without subtracting the largest term from the sum."""
    largest, at = logs.max(0)
    shares = (logs - largest).exp()
    rest = largest + (shares.sum(0) - shares).log()
    others = logs.scatter(0, at[None], -math.inf).logsumexp(0)
    return rest.scatter(0, at[None], others[None])


def _jackknife(terms: Tensor, itself: int, group: Tensor) -> Tensor:
    """Standard error of the mean over i of terms + log(N - itself), by leaving out one group of samples at a time.

    `terms` (G, N) are those without the samples of group g.
    """
    groups, n = terms.shape
    kept = group != torch.arange(groups, device=group.device)[:, None]
    count = kept.sum(1)
    means = torch.where(kept, terms, 0.0).sum(1) / count + (count - itself).log()
    spread = (means.var(correction=0) * (groups - 1)).nan_to_num(nan=math.inf)  # distances without a group overflow
    # from few groups it is itself uncertain: the factor makes the normal interval about as wide as Student's
    return spread.sqrt() * (1 + 1.4 / (groups - 1))


def _likeliest_variance(x: Tensor) -> float:
    """The variance of Gaussian kernels at the other samples under which each sample is likeliest, on average.

    Raises
    ------
    ValueError
        When more than half of the samples have duplicates, or there is only one: the likelihood then grows as the
        variance falls to zero, or does not exist.
    """
    n, dim = x.shape
    centred = x - x.mean(0)
    size = float(centred.abs().amax())
    if n < 2 or size == 0:
        raise ValueError("kernel_variance='likelihood' needs samples that differ; give a number")
    centred = centred / size
    spread = float(2 * centred.square().sum(1).mean())  # the mean squared distance of two samples
    low, high = math.log(spread / dim) - 25.0, math.log(spread / dim) + 3.0
    for points in (29, 21, 21):
        grid = torch.linspace(low, high, points, dtype=torch.float64, device=x.device)
        logs = log_kernel_means(centred, centred, grid.exp()).mean(1) - dim / 2 * grid
        best = int(logs.argmax())
        if best in (0, points - 1):
            raise ValueError("kernel_variance='likelihood' has no largest value (duplicates?); give a number")
        low, high = float(grid[best - 1]), float(grid[best + 1])
    a, b, c = logs[best - 1 : best + 2].tolist()
    step = float(grid[1] - grid[0])
    vertex = float(grid[best]) + (0.5 * step * (a - c) / (a - 2 * b + c) if a - 2 * b + c < 0 else 0.0)
    return math.exp(vertex) * size**2


def carried_by_one(terms: Tensor) -> bool:
    """Whether one of the terms of a mean carries so much of their spread that a standard error means nothing.

    That is more than 1/2 + 15/N of the sum of squared deviations, which samples of a Gaussian hardly ever reach.
    """
    squares = (terms - terms.mean()).square()
    return float(squares.amax()) > (0.5 + 15 / len(terms)) * float(squares.sum())
