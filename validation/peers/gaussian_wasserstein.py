"""Wasserstein-2 distance of Gaussians beside POT: time and error, from one pair to matrices of 500 x 500.

Run as `python -m validation.peers.gaussian_wasserstein`. Times are the smallest of several interleaved runs; errors are
relative, against the nearly equal covariances C and (1 + h) C, whose distance is (sqrt(1 + h) - 1) sqrt(tr C).
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


def main() -> None:
    """Print one line a case."""
    print(f"{'case':<28}{'POT':>12}{'ours':>12}{'faster':>9}")
    for count, dim in ((1, 8), (1000, 8), (1, 100), (1, 500)):
        c = covariances(2 * count, dim)
        zero = c.new_zeros(dim)
        p, q = it.Gaussian(zero, c[:count]), it.Gaussian(zero, c[count:])
        pairs = [(a.numpy(), b.numpy()) for a, b in zip(c[:count], c[count:], strict=True)]
        origin = zero.numpy()

        def peer(pairs: list = pairs, origin: object = origin) -> list[object]:
            return [ot.gaussian.bures_wasserstein_distance(origin, origin, a, b) for a, b in pairs]

        theirs, ours = seconds([peer, lambda p=p, q=q: it.wasserstein2(p, q)], repeats=5)
        print(f"{f'{count} pair(s), D = {dim}':<28}{theirs * 1e3:9.2f} ms{ours * 1e3:9.2f} ms{theirs / ours:8.2f}x")
    print(f"\n{'near-equal, relative error':<28}{'POT':>12}{'ours':>12}{'we claim':>12}")
    c = covariances(1, 8)[0]
    zero = c.new_zeros(8)
    origin = zero.numpy()
    for h in (1e-4, 1e-6, 1e-8, 1e-10):
        other = (1 + h) * c
        truth = float(
            (other.diagonal().sum() / c.diagonal().sum() - 1).log1p().div(2).expm1() * c.diagonal().sum().sqrt()
        )
        theirs = np.asarray(ot.gaussian.bures_wasserstein_distance(origin, origin, c.numpy(), other.numpy()))
        ours = it.wasserstein2(it.Gaussian(zero, c), it.Gaussian(zero, other))
        off, claimed = abs(float(ours) / truth - 1), float(ours.error) / truth
        print(f"{f'h = {h:g}':<28}{abs(float(theirs) / truth - 1):12.1e}{off:12.1e}{claimed:12.1e}")


if __name__ == "__main__":
    main()
