"""Kernel density estimates of entropy and mutual information, every sample judged by the others alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import chunks
from infotherm.estimators.base import paired_samples, require_independent, require_varying, stream_of_samples
from infotherm.estimators.diagnostics import TOLERATED_BIAS, TOLERATED_REPEATS, distrusted, in_normal_scores
from infotherm.estimators.pairwise import carried_by_one
from infotherm.estimators.tags import Tags

_RULES = ("likelihood", "silverman", "scott")


@dataclass(frozen=True)
class KernelDensity:
    """Differential entropy (an upper bound) or (conditional) mutual information by Gaussian kernels, in nats.

    `estimate(x)` is the entropy h(x), `estimate(x, y)` the mutual information I(x; y), `estimate(x, y, given=z)` the
    conditional one. With S_{-i} the covariance and p_{-i} the kernel density of all samples but i,

        h = -(1/N) sum_i log p_{-i}(x_i),    p_{-i}(x) = 1/(N - 1) sum_{j != i} N(x; x_j, b^2 S_{-i}),

    b the bandwidth in units of the standard deviation (leave-one-out resubstitution: Ahmad and Lin, IEEE Trans. Inf.
    Theory 22, 372, 1976; Hall and Morton, Ann. Inst. Statist. Math. 45, 69, 1993). The mean of h is a cross-entropy,
    so never below the entropy: h is of kind "upper". Nothing of sample i, its share of the covariance included,
    enters its own density; one number, the bandwidth of largest likelihood, is chosen by all samples: what that can
    lower h by (Takeuchi's term, of order 1/N) is part of `error`. Invertible linear maps change h by log|det| exactly.

    I = h(x) + h(y) - h(x, y), and I = h(x, z) + h(y, z) - h(x, y, z) - h(z) with z given, has no such side; it tends
    to be low. Two signs of its bias go into `error`: the drift from halves of the data, extrapolated as N^(-1/(D + 4)),
    the rate at which the bandwidth falls and with it the bias at the edges of a support (smooth densities have
    N^(-4/(D + 4)) in the end, but less than half of that at N = 500); and the change when every coordinate is brought
    to normal scores, which leaves information as it is. Intervals made so cover for one coordinate beside another and
    the bandwidth of largest likelihood (93 to 100 % where 95 % are stated, edges and tails included); there the kind is
    "estimate" where both signs are small (0.05 nat is then the least error), and everywhere else "unknown".
    `info["bias"]` is the drift, for entropies too: how far above the truth the bound may be.

    Heavy tails ruin Gaussian kernels (the cross-entropy of a Cauchy law is infinite), and repeated values have no
    density: both are found and make the result "unknown".

    Parameters
    ----------
    bandwidth
        "likelihood" (the largest sum of log p_{-i}(x_i)), "silverman" (N (D + 2) / 4)^(-1/(D + 4)), "scott"
        N^(-1/(D + 4)), or a number.

    Raises
    ------
    ValueError
        For a bandwidth that is neither.

    Examples
    --------
    >>> x = torch.randn(1000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> y = x + torch.randn(1000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    >>> low, high = KernelDensity().estimate(x, y).interval(0.99)   # the truth is 0.3466
    >>> bool(low < 0.3466 < high)
    True
    """

    bandwidth: float | str = "likelihood"

    tags: ClassVar[Tags] = Tags(
        quantities=("entropy", "mutual_information", "conditional_mutual_information"),
        invariances=frozenset({"shift", "reflection", "common-scale", "coordinate-scale", "rotation", "linear"}),
    )

    def __post_init__(self) -> None:
        if isinstance(self.bandwidth, str):
            if self.bandwidth not in _RULES:
                raise ValueError(f"bandwidth must be a number or one of {', '.join(_RULES)}; got {self.bandwidth!r}")
        elif not 0 < self.bandwidth < math.inf:
            raise ValueError(f"bandwidth must be positive; got {self.bandwidth}")

    def estimate(self, x: Any, y: Any = None, *, given: Any = None) -> Estimate:
        """The estimate from samples of shape (N, D).

        Raises
        ------
        ValueError
            For N < D + 4 (D of all coordinates together), unequal numbers of samples, constant coordinates, NaN;
            coordinates that are linear functions of others, with or without any one of the samples.
        """
        if y is None and given is not None:
            raise ValueError("given needs y: the conditional quantity is I(x; y | given)")
        matrices = paired_samples(x=x, y=y, given=given)
        for matrix, name in zip(matrices, ("x", "y", "given"), strict=False):
            require_varying(matrix, name)
            require_independent(matrix, name)
        n, dim = len(matrices[0]), sum(m.shape[1] for m in matrices)
        if n < dim + 4:
            raise ValueError(f"kernels in {dim} coordinates need N >= D + 4 = {dim + 4} samples; got {n}")
        return self._with_diagnostics(matrices)

    def _with_diagnostics(self, matrices: list[Tensor]) -> Estimate:
        n, dim = len(matrices[0]), sum(m.shape[1] for m in matrices)
        is_entropy = len(matrices) == 1
        whole = self._plain(matrices)
        value, stderr = whole.terms.mean(), whole.influence.std() / math.sqrt(n)
        error = whole.error + rounding_error([whole.terms.abs().mean()])
        info: dict[str, Any] = {"n": n, "bandwidth": whole.bandwidth}
        estimate = Estimate(
            value,
            stderr=stderr,
            error=error,
            kind="upper" if is_entropy else "estimate",
            method="sample-based",
            streams=(stream_of_samples(*matrices),),
            info=info,
        )
        change = self._change_in_halves(matrices, whole.terms)
        if change is None:
            estimate = replace(estimate, error=value.new_tensor(math.inf))
            return distrusted("KernelDensity", estimate, f"{n} samples are too few to tell its bias")
        gain = 2 ** (1 / (dim + 4)) - 1
        info["bias"] = float(change.mean()) / gain
        scores, repeated = in_normal_scores(matrices)
        reason = None
        if repeated > TOLERATED_REPEATS:
            reason = f"{repeated:.0%} of the values of a coordinate repeat: the law is not continuous"
        elif any(carried_by_one(terms) for terms in whole.parts):
            reason = "one sample carries most of the spread: heavy tails or an outlier"
        if is_entropy:
            estimate = replace(estimate, info=info)
            return distrusted("KernelDensity", estimate, reason) if reason else estimate
        # what happens at the ends of a bounded support does not show in halves, but in coordinates without ends
        moved = self._plain(scores).terms - whole.terms
        info["coordinate_dependence"] = float(moved.mean())
        # no less than what these signs can miss
        error = error + max(abs(info["bias"]) + abs(info["coordinate_dependence"]), TOLERATED_BIAS)
        # at independence the spread of the terms vanishes, but not that of the estimate
        freedom = matrices[0].shape[1] * matrices[1].shape[1]
        stderr = torch.sqrt(stderr.square() + 2 * freedom / n**2)
        estimate = replace(estimate, stderr=stderr, error=error, info=info)
        # twice the usual: for smooth densities the slow rate makes the bias twice too large
        tolerated = max(3 * float(stderr), 2 * TOLERATED_BIAS * max(1.0, abs(float(value))))
        if reason is None and dim > 2:
            reason = f"its bias in {dim} dimensions is not known, about {info['bias']:.2g} nat or more"
        elif reason is None and self.bandwidth != "likelihood":
            reason = "only with the bandwidth of largest likelihood do halves of the data show its bias"
        elif reason is None and _beyond_chance(change) / gain > tolerated:
            reason = f"its bias at N = {n} is about {info['bias']:.2g} nat"
        elif reason is None and _beyond_chance(moved) > tolerated:
            other = float(value) + info["coordinate_dependence"]
            reason = f"it becomes {other:.3g} nat when each coordinate is brought to normal scores"
        return distrusted("KernelDensity", estimate, reason) if reason else estimate

    def _change_in_halves(self, matrices: list[Tensor], terms: Tensor) -> Tensor | None:
        """By how much each term changes when only half of the data are there; None where that is too few."""
        n, dim = len(matrices[0]), sum(m.shape[1] for m in matrices)
        if n // 2 < max(dim + 4, 10):
            return None
        # an order that looks random and does not depend on the order in which the samples came
        mixed = torch.randperm(n, generator=torch.Generator().manual_seed(0)).to(matrices[0].device)
        order = torch.stack([m[:, 0] for m in matrices]).sum(0).argsort(stable=True)[mixed]
        try:
            pieces = [self._plain([m[half] for m in matrices]).terms - terms[half] for half in order.tensor_split(2)]
        except ValueError:
            return None
        return torch.cat(pieces)

    def _plain(self, matrices: list[Tensor]) -> _Resubstitution:
        """The quantity as a mean of terms, one per sample."""
        joint = torch.cat(matrices, 1)
        if len(matrices) == 1:
            signed = [(1, joint)]
        elif len(matrices) == 2:
            signed = [(1, matrices[0]), (1, matrices[1]), (-1, joint)]
        else:
            x, y, z = matrices
            signed = [(1, torch.cat([x, z], 1)), (1, torch.cat([y, z], 1)), (-1, joint), (-1, z)]
        surprises = [_surprise(space, self.bandwidth) for _, space in signed]
        terms, influence = (
            torch.stack([sign * part for (sign, _), part in zip(signed, parts, strict=True)]).sum(0)
            for parts in ([s.terms for s in surprises], [s.influence for s in surprises])
        )
        joint_bandwidth = surprises[0 if len(matrices) == 1 else 2].bandwidth
        return _Resubstitution(
            terms, influence, [s.terms for s in surprises], joint_bandwidth, math.fsum(s.error for s in surprises)
        )


def _beyond_chance(changes: Tensor) -> float:
    """The size of the mean of changes, shortened by its standard error in quadrature."""
    return math.sqrt(max(0.0, float(changes.mean().square() - changes.var() / len(changes))))


class _Resubstitution(NamedTuple):
    terms: Tensor
    influence: Tensor
    parts: list[Tensor]
    bandwidth: float
    error: float


class _Surprise(NamedTuple):
    """-log p_{-i}(x_i) of every sample, its influence on the mean, the bandwidth, and what moved the mean.

    The influence counts what a sample adds to the densities of the others. The error is that of selecting the
    bandwidth, and rounding.
    """

    terms: Tensor
    influence: Tensor
    bandwidth: float
    error: float


def _surprise(x: Tensor, bandwidth: float | str) -> _Surprise:
    kernels = _Kernels.of(x)
    n, dim = x.shape
    silverman = (n * (dim + 2) / 4) ** (-1 / (dim + 4))
    if bandwidth != "likelihood":
        b = float({"silverman": silverman, "scott": n ** (-1 / (dim + 4))}.get(str(bandwidth), bandwidth))
        terms, shares = kernels.influence(b)
        return _Surprise(terms, terms - shares, b, kernels.rounding(terms, b))
    # over three orders of magnitude, closer, and at the vertex of a parabola
    coarse = [silverman * math.exp(0.6 * i) for i in range(-8, 3)]
    centre, step = coarse[int(kernels.surprise(coarse).mean(1).argmin())], 0.15
    grid = [centre * math.exp(step * i) for i in range(-4, 5)]
    terms = kernels.surprise(grid)
    best = min(max(int(terms.mean(1).argmin()), 1), len(grid) - 2)
    left, middle, right = terms[best - 1 : best + 2]
    slopes = (right - left) / (2 * step)
    curvature = float((left - 2 * middle + right).mean()) / step**2
    # the smallest of N-sample means lies below the mean of the best by var(slope) / (2 N curvature), on average
    selection = float(slopes.var()) / (2 * n * curvature) if curvature > 0 else math.inf
    shift = -float(slopes.mean()) / curvature if curvature > 0 else 0.0
    b = grid[best] * math.exp(min(max(shift, -step), step))
    terms, shares = kernels.influence(b)
    return _Surprise(terms, terms - shares, b, kernels.rounding(terms, b) + selection)


class _Kernels(NamedTuple):
    """Samples in coordinates y in which their scatter matrix is one, y^T y = 1, and what each has left without it."""

    y: Tensor
    leverage: Tensor  # |y_i|^2
    rest: Tensor  # the determinant of the scatter matrix without sample i
    log_det: Tensor  # half the log-determinant of the scatter matrix of x
    moved: float  # the relative rounding of y

    @staticmethod
    def of(x: Tensor) -> _Kernels:
        n = len(x)
        centred = x - x.mean(0)
        size = centred.abs().amax(0)
        triangle = torch.linalg.qr(centred / size, mode="r").R
        y = torch.linalg.solve_triangular(triangle, centred / size, upper=True, left=False)
        leverage = y.square().sum(1)
        rest = 1 - n / (n - 1) * leverage
        if not bool((rest > 1e-9).all()):
            at = int(rest.argmin())
            raise ValueError(
                f"the coordinates must be linearly independent without any one sample; not so without {at}"
            )
        eps = torch.finfo(x.dtype).eps
        moved = eps * x.shape[1] * torch.linalg.cond(triangle) * (1 + (x.abs().amax(0) / size).max())
        log_det = triangle.diagonal().abs().log().sum() + size.log().sum()
        return _Kernels(y, leverage, rest, log_det, float(moved))

    def rounding(self, terms: Tensor, bandwidth: float) -> float:
        """A bound on what rounding moves the mean by: that of points, of the product y y^T, and of the covariance."""
        n, dim = self.y.shape
        farthest = math.sqrt(n * float((self.leverage / self.rest).amax()))  # in standard deviations, without itself
        # the terms of a sum that count have squared distances up to this, in bandwidths
        reach = 2 * (math.log(n) + 40 + max(0.0, float(terms.amax() - terms.amin())))
        product = 4 * dim * torch.finfo(terms.dtype).eps * farthest**2 / bandwidth**2
        return 2 * self.moved * (math.sqrt(reach) * farthest / bandwidth + dim) + product

    def influence(self, bandwidth: float) -> tuple[Tensor, Tensor]:
        """-log p_{-i}(x_i), and what sample i adds to the densities of the others: sum_j K_ji / sum_i' K_ji'."""
        weights = torch.zeros_like(self.leverage)
        return self.surprise([bandwidth], weights)[0], weights

    def surprise(self, bandwidths: list[float], weights: Tensor | None = None) -> Tensor:
        """-log p_{-i}(x_i) for several bandwidths (V, N).

        Without sample i the scatter matrix is 1 - c y_i y_i^T with c = N / (N - 1), so that its determinant is
        1 - c |y_i|^2 and its inverse 1 + c y_i y_i^T / (1 - c |y_i|^2).
        """
        n, dim = self.y.shape
        logs = torch.empty(len(bandwidths), n, dtype=self.y.dtype, device=self.y.device)
        for part in chunks(n, max(1, 2**18 // n)):
            own = self.leverage[part, None]
            gram = self.y[part] @ self.y.mT
            squares = (own + self.leverage - 2 * gram).clamp_(min=0)
            squares += n / (n - 1) * (own - gram).square() / self.rest[part, None]
            squares *= -(n - 2) / 2
            squares.diagonal(part.start).fill_(-math.inf)
            largest = squares.amax(1, keepdim=True)
            squares -= largest
            for row, b in zip(logs, bandwidths, strict=True):
                kernels = torch.exp2(squares / (b**2 * math.log(2)))
                sums = kernels.sum(1)
                row[part] = largest[:, 0] / b**2 + sums.log()
                if weights is not None:
                    weights += (1 / sums) @ kernels
        scale = torch.tensor(bandwidths, dtype=self.y.dtype, device=self.y.device).log()[:, None]
        constant = dim / 2 * math.log(2 * math.pi / (n - 2)) + self.log_det + math.log(n - 1)
        return constant + dim * scale + self.rest.log() / 2 - logs
