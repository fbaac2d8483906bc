"""Nearest-neighbour estimators in their plain exact form: Kozachenko-Leonenko entropy and KSG mutual information."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.estimators.base import paired_samples, require_independent, require_varying, stream_of_samples

# the data are cut into disjoint parts to measure the spread and the drift with N
_MOST_PARTS = 10
_FEWEST_PER_PART = 20
_TOLERATED_BIAS = 0.05  # nat, and relative: beyond it the number is not to be trusted
_TOLERATED_REPEATS = 0.05  # the share of repeated values in a coordinate that rounding to float32 stays well below


@dataclass(frozen=True)
class KozachenkoLeonenko:
    """Differential entropy of samples from their k-th neighbour distances, in nats.

        h = psi(N) - psi(k) + D < log(2 eps_i) >,

    eps_i the distance of sample i to its k-th neighbour in the maximum norm (Kozachenko and Leonenko 1987; Kraskov,
    Stoegbauer and Grassberger, Phys. Rev. E 69, 066138, 2004, Eq. 20). Its bias shrinks slowly in high dimension:
    the result carries the bias, extrapolated as N^(-2/D) from parts of the data, as `error`, and is of kind "unknown"
    where that is not small or where repeated values make the density meaningless.

    Parameters
    ----------
    k
        Which neighbour.

    Examples
    --------
    >>> x = torch.randn(2000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> low, high = KozachenkoLeonenko().estimate(x).interval(0.99)   # the truth is 1.4189
    >>> bool(low < 1.4189 < high)
    True
    """

    k: int = 3

    def estimate(self, x: Any) -> Estimate:
        """The entropy of samples of shape (N, D).

        Raises
        ------
        ValueError
            For N <= k, constant or linearly dependent coordinates, NaN.
        """
        (samples,) = paired_samples(x=x, least=_checked_neighbours(self.k) + 1)
        require_varying(samples, "x")
        require_independent(samples, "x")
        return _with_diagnostics("KozachenkoLeonenko", self._plain, self.k, [samples])

    def _plain(self, x: Tensor) -> tuple[float, int]:
        n, dim = x.shape
        distances = _neighbour_distance(x, self.k)
        ties = int((distances == 0).sum())
        logs = torch.log(2 * distances[distances > 0]).mean().item() if ties < n else -math.inf
        return _psi(n) - _psi(self.k) + dim * logs, ties


@dataclass(frozen=True)
class KSG:
    """(Conditional) mutual information of samples by counting neighbours, in nats.

        I(x; y) = psi(k) + psi(N) - < psi(n_x + 1) + psi(n_y + 1) >,
        I(x; y | z) = psi(k) - < psi(n_xz + 1) + psi(n_yz + 1) - psi(n_z + 1) >,

    eps_i the distance of sample i to its k-th neighbour in the joint space (maximum norm), n the number of samples
    *strictly* closer than eps_i in a subspace (Kraskov, Stoegbauer and Grassberger 2004, Eq. 8; Frenzel and Pompe,
    Phys. Rev. Lett. 99, 204101, 2007). Never clipped at zero. In high dimension or near determinism it is far too
    low: the result carries the bias, extrapolated as N^(-2/D) from parts of the data, as `error`, and is of kind
    "unknown" where that is not small, where values repeat, or where the estimate nears its ceiling psi(N) - psi(k).
    Information does not change when every coordinate is transformed by itself, but this number does (coordinates of
    very different scale give nearly 0): its distance from that of the normal scores of the data counts as error too.

    Parameters
    ----------
    k
        Which neighbour.

    Examples
    --------
    >>> x = torch.randn(1000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> y = x + torch.randn(1000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    >>> low, high = KSG().estimate(x, y).interval(0.99)   # the truth is 0.3466
    >>> bool(low < 0.3466 < high)
    True
    """

    k: int = 3

    def estimate(self, x: Any, y: Any, *, given: Any = None) -> Estimate:
        """The mutual information of paired samples of shapes (N, D_x), (N, D_y), given (N, D_z).

        Raises
        ------
        ValueError
            For N <= k, unequal numbers of samples, constant coordinates, NaN.
        """
        matrices = paired_samples(x=x, y=y, given=given, least=_checked_neighbours(self.k) + 1)
        for matrix, name in zip(matrices, ("x", "y", "given"), strict=False):
            require_varying(matrix, name)
        estimate = _with_diagnostics("KSG", self._plain, self.k, matrices, [_normal_scores(m) for m in matrices])
        n = len(matrices[0])
        ceiling = _psi(n) - _psi(self.k)
        if estimate.kind != "unknown" and float(estimate) > ceiling - 1:
            return _distrusted(
                "KSG",
                estimate,
                f"the estimate nears its ceiling psi(N) - psi(k) = {ceiling:.3g}: more samples are needed",
            )
        return estimate

    def _plain(self, x: Tensor, y: Tensor, z: Tensor | None = None) -> tuple[float, int]:
        spaces = [x, y] if z is None else [torch.cat([x, z], 1), torch.cat([y, z], 1)]
        joint = torch.cat([x, y] if z is None else [x, y, z], 1)
        distances = _neighbour_distance(joint, self.k)
        n = len(joint)
        terms = torch.stack([torch.digamma(_closer(space, distances) + 1) for space in spaces]).sum(0)
        if z is None:
            value = _psi(self.k) + _psi(n) - float(terms.mean())
        else:
            value = _psi(self.k) - float((terms - torch.digamma(_closer(z, distances) + 1)).mean())
        return value, int((distances == 0).sum())


def _with_diagnostics(
    name: str,
    plain: Callable[..., tuple[float, int]],
    k: int,
    matrices: list[Tensor],
    transformed: list[Tensor] | None = None,
) -> Estimate:
    """The estimate on all samples; its random error and its bias from disjoint parts of the data.

    `transformed` are the same data in other coordinates, which must not change the number.
    """
    n, dim = len(matrices[0]), sum(m.shape[1] for m in matrices)
    value, ties = plain(*matrices)
    stream = (stream_of_samples(*matrices),)
    parts = min(_MOST_PARTS, n // max(_FEWEST_PER_PART, k + 2))
    if parts < 4:
        estimate = Estimate(
            value, error=math.inf, kind="unknown", method="sample-based", streams=stream, info={"n": n, "k": k}
        )
        return _distrusted(name, estimate, f"{n} samples are too few to tell its error")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))  # a fixed shuffle: data may come sorted
    pieces = np.array([plain(*(m[index] for m in matrices))[0] for index in order.tensor_split(parts)])
    # the variance of such averages falls as 1/N (Holmes and Nemenman, Phys. Rev. E 100, 022404, 2019); from few parts
    # it is itself uncertain: the factor makes the normal interval about as wide as Student's
    stderr = float(pieces.std(ddof=1)) / math.sqrt(parts) * (1 + 2.4 / (parts - 1))
    # the bias falls as N^(-2/D), so that the drift from N/parts to N tells what is left of it
    bias = abs(value - float(pieces.mean())) / (parts ** (2 / dim) - 1)
    other = value if transformed is None else plain(*transformed)[0]
    drift = abs(value - other)
    estimate = Estimate(
        value,
        stderr=stderr,
        error=bias + drift,
        kind="estimate",
        method="sample-based",
        streams=stream,
        info={"n": n, "k": k, "bias": bias} | ({} if transformed is None else {"coordinate_dependence": drift}),
    )
    if ties:
        return _distrusted(name, estimate, f"{ties} of {n} samples coincide with neighbours: the law is not continuous")
    repeated = max(_repeated_share(column) for matrix in matrices for column in matrix.T)
    if repeated > _TOLERATED_REPEATS:
        reason = f"{repeated:.0%} of the values of a coordinate repeat: the law is not continuous"
        return _distrusted(name, estimate, reason)
    tolerated = max(3 * stderr, _TOLERATED_BIAS, _TOLERATED_BIAS * abs(value))
    if drift > tolerated:
        return _distrusted(
            name, estimate, f"it becomes {other:.3g} nat when each coordinate is brought to normal scores"
        )
    if bias > tolerated:
        return _distrusted(name, estimate, f"its bias at this N is about {bias:.2g} nat in {dim} dimensions")
    return estimate


def _distrusted(name: str, estimate: Estimate, reason: str) -> Estimate:
    """The same number, marked as one that decides nothing."""
    warnings.warn(f"{name}: {reason}; the result is of kind 'unknown'", stacklevel=4)
    return replace(estimate, kind="unknown", info={**estimate.info, "warning": reason})


def _normal_scores(x: Tensor) -> Tensor:
    """Every coordinate transformed by itself so that its samples lie as those of a standard Gaussian."""
    ranks = x.argsort(0).argsort(0).to(x.dtype)
    return torch.special.ndtri((ranks + 0.5) / len(x))


def _repeated_share(column: Tensor) -> float:
    """The share of samples whose value occurs more than once."""
    counts = column.unique(return_counts=True)[1]
    return float(counts[counts > 1].sum()) / len(column)


def _neighbour_distance(x: Tensor, k: int) -> Tensor:
    """Distance of each sample to its k-th neighbour in the maximum norm."""
    from scipy.spatial import KDTree

    points = x.cpu().numpy()
    distances, _ = KDTree(points).query(points, k=k + 1, p=np.inf)
    return torch.from_numpy(np.ascontiguousarray(distances[:, k]))


def _closer(x: Tensor, distances: Tensor) -> Tensor:
    """How many other samples lie strictly closer than `distances` in the maximum norm."""
    from scipy.spatial import KDTree

    points = x.cpu().numpy()
    # the largest number below the distance makes "at most" strict, in the very arithmetic that found the neighbour
    radii = np.nextafter(distances.numpy(), -np.inf)
    counts = KDTree(points).query_ball_point(points, np.maximum(radii, 0), p=np.inf, return_length=True)
    counts = np.where(radii < 0, 1, counts)  # a zero distance has nothing strictly closer, but the sample itself
    return torch.from_numpy(np.asarray(counts, dtype=np.float64)) - 1


def _psi(n: int) -> float:
    return float(torch.digamma(torch.tensor(float(n), dtype=torch.float64)))


def _checked_neighbours(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k must be a positive integer; got {k!r}")
    return k
