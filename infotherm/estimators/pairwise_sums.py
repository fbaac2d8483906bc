"""Sums of a Gaussian kernel over all pairs of points, in tiles of a matrix product, with a bound on their rounding."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from infotherm.core.tensors import chunks

GROUPS = 20  # the sums are kept apart by groups of points, so that a jackknife over groups costs nothing
_BITS_PER_NAT = 1 / math.log(2)
_WIDEST = {"cpu": 512}  # columns of a tile; two tiles of 1 MiB stay in a core's cache
_WIDEST_ELSEWHERE = 4096
# exponents are held above a level whose fourth power is a normal number: arithmetic on denormals is a hundred times
# slower, and turning them off would be a global setting
_LOWEST = {torch.float32: -31.0, torch.float64: -255.0}


class PairwiseSums(NamedTuple):
    """For N points, with d_ij = |x_i - x_j|^2 and the points cut at random into G groups of nearly equal size.

    `quarter` and `full` (G, N): sums over the points j != i of group g of exp(-d_ij / 8), and the logarithm of the sum
    of exp(-d_ij / 2) (-inf where a group holds nothing but i). `group` (N,) numbers the group of a point.
    `quarter_error`, `full_error` bound the relative error of any such sum, `quarter_floor` its absolute one.
    `arithmetic` is "float32" or "float64" (exponents from a matrix product) or "differences" (from x_i - x_j).
    """

    quarter: Tensor
    full: Tensor
    group: Tensor
    quarter_error: float
    full_error: float
    quarter_floor: float
    arithmetic: str


def pairwise_sums(x: Tensor, *, single: bool = False, tolerance: float = 1e-3) -> PairwiseSums:
    """Sums of exp(-|x_i - x_j|^2 / 8) and exp(-|x_i - x_j|^2 / 2) over the other points, for all points at once.

    The exponent of the first, to base 2, is the product of the augmented rows (z_i, -|z_i|^2/2, -1) and
    (z_j, 1, |z_j|^2/2) with z = x sqrt(log2(e)) / 2; two squarings give the second. Only tiles above the diagonal are
    computed; the sum over a tile's columns serves the transposed pairs. The kernel of a point with itself, exactly 1,
    is left to the caller.

    A product of length D + 2 moves an exponent by at most 4 (D + 2) u max|z_i|^2 / 2 (Higham, Accuracy and Stability of
    Numerical Algorithms, 2002, Eq. 3.5, for any order of summation), u the unit roundoff. Where that bound exceeds
    `tolerance` (nats in the logarithm of a sum) float64 takes the place of float32, and differences of coordinates
    that of the matrix product, which loses the distance of close points far from the centre.

    Parameters
    ----------
    x
        (N, D), float64, on any device.
    single
        Whether to try float32.
    tolerance
        The largest acceptable bound on the error of the logarithm of a sum.

    Returns
    -------
    PairwiseSums

    Examples
    --------
    >>> sums = pairwise_sums(torch.tensor([[0.0], [2.0]], dtype=torch.float64))
    >>> sums.quarter.sum(0), sums.full.logsumexp(0)
    (tensor([0.6065, 0.6065], dtype=torch.float64), tensor([-2., -2.], dtype=torch.float64))
    """
    n, dim = x.shape
    centred = x - x.mean(0)
    if not bool(centred.isfinite().all()):
        raise ValueError("x must be finite in units of the noise; its spread overflows")
    # groups at random, but not by the order in which the points came
    mixed = torch.randperm(n, generator=torch.Generator().manual_seed(0)).to(x.device)
    order = x[:, 0].argsort(stable=True)[mixed]
    z = centred[order] * (math.sqrt(_BITS_PER_NAT) / 2)
    reach = float(z.square().sum(1).amax()) / 2
    radius = math.sqrt(z.shape[1]) * float(z.abs().amax()) if reach == math.inf else math.sqrt(2 * reach)
    dtype, arithmetic = torch.float64, "differences"
    for candidate in (torch.float32, torch.float64) if single else (torch.float64,):
        exponent_error = _exponent_error(reach, dim, candidate)
        if 4 * math.log(2) * exponent_error <= tolerance and _keeps_precision(candidate, x.device):
            dtype, arithmetic = candidate, str(candidate).removeprefix("torch.")
            break
    else:
        # differences are exact to 2 u of the coordinates; only pairs within reach of the kernel count
        u = torch.finfo(torch.float64).eps / 2
        near = min(2 * radius, math.sqrt(-2 * _LOWEST[dtype]))
        exponent_error = u * near * (8 * radius + (dim + 8) * near)
    bounds, groups = _blocks(n, x.device.type)
    quarter, full = _tiles(z, bounds, groups, dtype, arithmetic == "differences")
    log_full = full.log()
    # sums that the lowest exponent may have made, with or without any one group, are taken from the largest term on
    u = torch.finfo(dtype).eps / 2
    second = full.topk(min(2, len(full)), 0).values[-1]
    lost = (second < n * 2.0 ** (4 * _LOWEST[dtype]) / u).nonzero().flatten()
    if len(lost) and n > 1:
        by_difference = arithmetic == "differences" or _exponent_error(reach, dim, torch.float64) > tolerance
        log_full[:, lost] = _shifted(z, lost, bounds, groups, by_difference)
    sizes = [stop - start for start, stop in zip(bounds, bounds[1:], strict=False)]
    longest = max(max(sizes), _area(n, max(sizes)) // min(sizes))  # of the sums within a tile
    summation = (longest + 8) * u + (len(bounds) + GROUPS) * torch.finfo(torch.float64).eps
    place = torch.empty_like(order)
    place[order] = torch.arange(n, device=x.device)
    group = torch.tensor(groups).repeat_interleave(torch.tensor(sizes)).to(x.device)
    return PairwiseSums(
        quarter[:, place],
        log_full[:, place],
        group[place],
        _expm1(math.log(2) * exponent_error + 4 * u) + summation,
        _expm1(4 * math.log(2) * exponent_error + 20 * u) + summation,
        n * 2.0 ** _LOWEST[dtype],
        arithmetic,
    )


def _expm1(x: float) -> float:
    return math.expm1(x) if x < 700 else math.inf


def _exponent_error(reach: float, dim: int, dtype: torch.dtype) -> float:
    """How far rounding moves an exponent from the matrix product: `reach` is the largest |z|^2 / 2.

    The product of length D + 2 has terms of absolute sum |z_i||z_j| + |z_i|^2/2 + |z_j|^2/2 <= 4 reach; points and
    squares rounded to the dtype move it by 12 u reach more.
    """
    u = torch.finfo(dtype).eps / 2
    length = (dim + 2) * u
    return math.inf if length >= 0.5 else reach * (4 * length / (1 - length) + 12 * u)


def _keeps_precision(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether matrix products of this dtype are what they say: TF32 and bfloat16 modes round 1 + 2^-16 to 1."""
    if dtype == torch.float64:
        return True
    entries = torch.full((256, 256), 1 + 2.0**-16, dtype=dtype, device=device)
    return bool((entries @ torch.ones_like(entries)).amin() > 256)


def _blocks(n: int, device: str) -> tuple[list[int], list[int]]:
    """Boundaries of nearly equal consecutive blocks of points, and the group of each block."""
    widest = _WIDEST.get(device, _WIDEST_ELSEWHERE)
    groups = min(GROUPS, n)
    blocks = groups * -(-n // (groups * widest))
    return [n * b // blocks for b in range(blocks + 1)], [b * groups // blocks for b in range(blocks)]


def _area(n: int, widest: int) -> int:
    """Entries of a tile: twice as wide as tall, or taller where there are too few columns to fill it."""
    return widest * max(widest // 2, min(n, _WIDEST["cpu"] ** 2 // (2 * widest)))


def _tiles(
    z: Tensor, bounds: list[int], groups: list[int], dtype: torch.dtype, by_difference: bool
) -> tuple[Tensor, Tensor]:
    """The sums by groups (G, N) of 2^e and 2^(4e), e = -|z_i - z_j|^2 / 2, j != i, over tiles above the diagonal."""
    n = len(z)
    quarter = torch.zeros(groups[-1] + 1, n, dtype=torch.float64, device=z.device)
    full = torch.zeros_like(quarter)
    halves = z.square().sum(1, keepdim=True) / 2
    ones = torch.ones_like(halves)
    rows = (z if by_difference else torch.cat([z, -halves, -ones], 1)).to(dtype)
    columns = (z if by_difference else torch.cat([z, ones, halves], 1)).to(dtype)
    sizes = [stop - start for start, stop in zip(bounds, bounds[1:], strict=False)]
    widest = max(sizes)
    area = _area(n, widest)
    buffers = torch.empty(2, area, dtype=dtype, device=z.device)
    unit = torch.ones(widest, dtype=dtype, device=z.device)
    group_of = torch.tensor(groups).repeat_interleave(torch.tensor(sizes))
    member = torch.nn.functional.one_hot(group_of).mT.to(dtype=dtype, device=z.device)  # (G, N)
    first = group_of.tolist()
    for right, (j0, j1) in enumerate(zip(bounds, bounds[1:], strict=False)):
        for part in chunks(j1, area // (j1 - j0)):
            i0, i1 = part.start, part.stop
            shape = (i1 - i0, j1 - j0)
            e, f = (buffer[: shape[0] * shape[1]].view(shape) for buffer in buffers)
            if by_difference:
                e = _half_squares(rows[i0:i1], columns[j0:j1])
            else:
                torch.mm(rows[i0:i1], columns[j0:j1].mT, out=e)
            torch.exp2(e.clamp_(_LOWEST[dtype], 0), out=e)
            if i1 > j0:
                e.triu_(i0 - j0 + 1)  # strictly above the diagonal
            torch.mul(e, e, out=f)
            f.mul_(f)
            left = slice(first[i0], first[i1 - 1] + 1)  # the groups of these rows
            for sums, kernel in ((quarter, e), (full, f)):
                sums[groups[right], i0:i1] += torch.mv(kernel, unit[: shape[1]])
                sums[left, j0:j1] += member[left, i0:i1] @ kernel
    return quarter, full


def _half_squares(first: Tensor, second: Tensor) -> Tensor:
    """-|a_i - b_j|^2 / 2 from differences of coordinates: exactly zero for equal points."""
    distances = torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.square_().mul_(-0.5)


def _shifted(z: Tensor, which: Tensor, bounds: list[int], groups: list[int], by_difference: bool) -> Tensor:
    """Natural logarithms of the sums (G, len(which)) of 2^(4e) over the other points, for any size of the terms."""
    starts = [bounds[groups.index(g)] for g in range(groups[-1] + 1)] + [len(z)]
    out = torch.empty(groups[-1] + 1, len(which), dtype=torch.float64, device=z.device)
    halves = z.square().sum(1) / 2
    for part in chunks(len(which), max(1, 2**22 // len(z))):
        rows = which[part]
        if by_difference:
            e = _half_squares(z[rows], z)
        else:
            e = (z[rows] @ z.mT - halves[rows, None] - halves).clamp_(max=0)
        e[torch.arange(len(rows), device=z.device), rows] = -math.inf
        e *= 4 * math.log(2)
        for g, (start, stop) in enumerate(zip(starts, starts[1:], strict=False)):
            out[g, part] = e[:, start:stop].logsumexp(1)
    return out


def log_kernel_means(points: Tensor, queries: Tensor, variances: Tensor) -> Tensor:
    """Logarithms of (1/N) sum_j exp(-|q_i - x_j|^2 / (2 v)) at queries (M, D), for several variances v at once (V, M).

    Distances are from differences of coordinates; the terms are summed from the largest one on, so that nothing
    underflows. With `queries` the points themselves the sum runs over the other points, and N becomes N - 1.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    >>> log_kernel_means(x, x, torch.tensor([1.0, 2.0], dtype=torch.float64))
    tensor([[-2., -2.],
            [-1., -1.]], dtype=torch.float64)
    """
    itself = queries is points
    out = torch.empty(len(variances), len(queries), dtype=torch.float64, device=points.device)
    for part in chunks(len(queries), max(1, 2**21 // len(points))):
        exponents = _half_squares(queries[part], points)
        if itself:
            exponents.diagonal(part.start).fill_(-math.inf)
        largest = exponents.amax(1, keepdim=True)
        exponents -= largest
        for row, variance in zip(out, variances, strict=True):
            row[part] = largest[:, 0] / variance + (exponents / variance).exp_().sum(1).log()
    return out - math.log(len(points) - itself)
