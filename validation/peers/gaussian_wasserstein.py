"""Wasserstein-2 distance of Gaussians beside POT: ratios of time, and errors where covariances are near or singular.

Run as `python -m validation.peers.gaussian_wasserstein`. "Formula" is the Procrustes distance of two given factors in
four lines of numpy. Laws are made once, as where one is compared with many; "from matrices" makes them anew each time,
with the checks of their covariances. Times are the smallest of several runs that take turns.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import ot
import torch
from torch import Tensor

import infotherm as it


def covariances(count: int, dim: int) -> Tensor:
    """Random well-conditioned covariances, shape (count, dim, dim)."""
    root = torch.randn(count, dim, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return root @ root.mT / dim + torch.eye(dim, dtype=torch.float64)


def seconds(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    """The smallest time of each, the runs taking turns."""
    best = [math.inf] * len(functions)
    for _ in range(repeats):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def formula(shift: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """The distance from factors, without checks and without an error."""
    left, _, right = np.linalg.svd(second.T @ first)
    rest = (first - second @ (left @ right)).ravel()
    return math.sqrt(shift @ shift + rest @ rest)


def speed() -> None:
    """Times relative to POT and to the formula."""
    print(f"{'case':<28}{'POT / ours':>12}{'ours / formula':>16}{'POT / ours, from matrices':>28}")
    for count, dim in ((1, 2), (1, 8), (1, 32), (1, 100), (1, 200), (1, 500), (1000, 8)):
        c = covariances(2 * count, dim)
        zero = c.new_zeros(dim)
        start, end = (c[0], c[1]) if count == 1 else (c[:count], c[count:])
        p, q = it.Gaussian(zero, start), it.Gaussian(zero, end)
        pairs = [(a.numpy(), b.numpy()) for a, b in zip(c[:count], c[count:], strict=True)]
        factors = [tuple(np.linalg.cholesky(m) for m in pair) for pair in pairs]
        origin = zero.numpy()
        theirs, ours, bare, fresh = seconds(
            [
                lambda pairs=pairs, o=origin: [ot.gaussian.bures_wasserstein_distance(o, o, a, b) for a, b in pairs],
                lambda p=p, q=q: it.wasserstein2(p, q),
                lambda factors=factors, o=origin: [formula(o, a, b) for a, b in factors],
                lambda o=zero, a=start, b=end: it.wasserstein2(it.Gaussian(o, a), it.Gaussian(o, b)),
            ],
            repeats=200 if count * dim < 100 else 5,
        )
        name = f"{count} pair{'s' if count > 1 else ''}, D = {dim}"
        print(f"{name:<28}{theirs / ours:11.2f}x{ours / bare:15.2f}x{theirs / fresh:27.2f}x")


def accuracy() -> None:
    """Relative errors for C and (1 + h) C, whose distance is (sqrt(1 + h) - 1) sqrt(tr C), and for singular targets."""
    print(f"\n{'relative error':<28}{'POT':>12}{'ours':>12}{'we claim':>12}")
    c = covariances(1, 8)[0]
    zero = c.new_zeros(8)
    origin = zero.numpy()
    for h in (1e-4, 1e-6, 1e-8, 1e-10):
        other = (1 + h) * c
        growth = (other.diagonal().sum() / c.diagonal().sum() - 1).log1p().div(2).expm1()
        truth = float(growth * c.diagonal().sum().sqrt())
        theirs = np.asarray(ot.gaussian.bures_wasserstein_distance(origin, origin, c.numpy(), other.numpy()))
        ours = it.wasserstein2(it.Gaussian(zero, c), it.Gaussian(zero, other))
        off, claimed = abs(float(ours) / truth - 1), float(ours.error) / truth
        print(f"{f'C and (1 + {h:g}) C':<28}{abs(float(theirs) / truth - 1):12.1e}{off:12.1e}{claimed:12.1e}")
    for rank in (1, 4, 7):
        # of one and the projection Q Q^T the distance is sqrt(D - rank)
        basis = torch.linalg.qr(c).Q[:, :rank]
        one = torch.eye(8, dtype=torch.float64)
        truth = math.sqrt(8 - rank)
        with np.errstate(invalid="ignore"):
            target = (basis @ basis.mT).numpy()
            theirs = np.asarray(ot.gaussian.bures_wasserstein_distance(origin, origin, one.numpy(), target))
        by_factor = it.wasserstein2(it.Gaussian(zero, one), it.Gaussian.from_factor(zero, basis))
        off, claimed = abs(float(by_factor) / truth - 1), float(by_factor.error) / truth
        print(f"{f'one and rank {rank} of 8':<28}{abs(float(theirs) / truth - 1):12.1e}{off:12.1e}{claimed:12.1e}")


if __name__ == "__main__":
    speed()
    accuracy()
