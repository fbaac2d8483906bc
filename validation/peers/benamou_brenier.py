"""Benamou-Brenier flows beside closed forms on a line, and in the plane beside POT's optimal plan between the cells.

Run as `python -m validation.peers.benamou_brenier`. Errors are relative; POT's plan between centres is an upper bound
on the distance between densities that are constant on cells.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import ot
import torch
from torch import Tensor

import infotherm as it
from infotherm.transport.dynamic import benamou_brenier


def centres(n: int, low: float, high: float) -> Tensor:
    """Centres of n cells between two ends."""
    return low + (torch.arange(n, dtype=torch.float64) + 0.5) * (high - low) / n


def on_a_line() -> None:
    """Gaussians on 256 cells in 64 time steps against the closed form."""
    print(f"{'256 x 64':<26}{'seconds':>9}{'error':>11}{'we claim':>11}{'action':>11}{'iterations':>12}")
    pairs = {
        "shift": (it.Gaussian(-2.0, 0.36), it.Gaussian(1.5, 0.36)),
        "shift and scale": (it.Gaussian(-2.0, 0.36), it.Gaussian(1.5, 0.81)),
        "scale": (it.Gaussian(0.0, 0.16), it.Gaussian(0.0, 1.44)),
    }
    for name, (p, q) in pairs.items():
        start = time.perf_counter()
        flow = benamou_brenier(p, q, centres(256, -7.0, 7.0))
        seconds, truth = time.perf_counter() - start, float(it.wasserstein2(p, q))
        off, claimed = abs(float(flow.distance) / truth - 1), float(flow.distance.error) / truth
        action = abs(float(flow.cost) / truth**2 - 1)
        print(f"{name:<26}{seconds:9.2f}{off:11.1e}{claimed:11.1e}{action:11.1e}{flow.iterations:12d}")


def in_the_plane() -> None:
    """Gaussians and boxes, with the time of the optimal plan between the cells."""
    print(f"\n{'cells x cells x times':<26}{'seconds':>9}{'POT':>9}{'ratio':>9}{'lower':>10}{'upper':>10}{'POT':>10}")
    p = it.Gaussian([-0.8, 0.2], [[0.25, 0.05], [0.05, 0.16]])
    q = it.Gaussian([0.7, -0.3], [[0.2, -0.06], [-0.06, 0.25]])
    for n, steps in ((24, 16), (32, 16), (48, 24), (64, 32)):
        x = centres(n, -3.5, 3.5)
        start = time.perf_counter()
        flow = benamou_brenier(p, q, (x, x), n_times=steps)
        ours = time.perf_counter() - start
        theirs, plan = peer(flow, x) if n <= 48 else (math.nan, math.nan)
        ends = f"{flow.lower:10.5f}{flow.upper:10.5f}{plan:10.5f}"
        print(f"{f'Gaussians, {n} x {n} x {steps}':<26}{ours:9.2f}{theirs:9.2f}{theirs / ours:8.2f}x{ends}")
    print(f"closed form {float(it.wasserstein2(p, q)):.5f}")


def peer(flow: Any, x: Tensor) -> tuple[float, float]:
    """Seconds and distance of POT's plan between all cells."""
    points = torch.cartesian_prod(x, x).numpy()
    a, b = (m.flatten().numpy() / float(m.sum()) for m in (flow.start, flow.end))
    start = time.perf_counter()
    square = np.asarray(ot.emd2(a, b, ot.dist(points), numItermax=10_000_000)).item()
    return time.perf_counter() - start, math.sqrt(square)


if __name__ == "__main__":
    on_a_line()
    in_the_plane()
