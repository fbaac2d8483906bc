"""Exact transport of atoms beside POT and numpy: ratios of time, and costs that POT gets wrong.

Run as `python -m validation.peers.exact_transport`. Times are the smallest of several runs that take turns.
"""

from __future__ import annotations

import numpy as np
import ot
from scipy.optimize import linear_sum_assignment

import infotherm as it
from infotherm.transport import optimal_transport
from validation.peers.gaussian_wasserstein import seconds


def cost_by_pot(weights: np.ndarray, costs: np.ndarray) -> float:
    """What POT says is the least cost."""
    return float(np.asarray(ot.emd2(weights, weights, costs, numItermax=10_000_000)))


def plans() -> None:
    """Plans of N points each in D = 8: with the proof by potentials, relative to POT's emd without."""
    print(f"{'N':<12}{'ours / emd':>12}{'difference':>14}{'we claim':>12}")
    generator = np.random.default_rng(0)
    for n in (500, 1000, 2000):
        x, y = generator.normal(size=(n, 8)), 0.5 + 1.3 * generator.normal(size=(n, 8))
        costs, weights = np.asarray(ot.dist(x, y)), np.full(n, 1 / n)
        theirs, ours = seconds(
            [
                lambda w=weights, c=costs: ot.emd(w, w, c, numItermax=10_000_000),
                lambda w=weights, c=costs: optimal_transport(w, w, c),
            ],
            repeats=7 if n < 2000 else 3,
        )
        found = optimal_transport(weights, weights, costs)
        off = abs(float(found.cost) - cost_by_pot(weights, costs))
        print(f"{n:<12}{ours / theirs:11.3f}x{off:14.1e}{float(found.cost.error):12.1e}")


def lines() -> None:
    """W2 of samples on a line, relative to two sorts by numpy and to POT."""
    print(f"\n{'N on a line':<18}{'ours / two sorts':>18}{'weighted / two argsorts':>26}{'POT / ours':>12}")
    generator = np.random.default_rng(1)
    for n in (10_000, 100_000, 1_000_000):
        x, y = generator.normal(size=n), 1 + 2 * generator.normal(size=n)
        a, b = generator.random(n), generator.random(n)
        plain = [it.Empirical(v[:, None]) for v in (x, y)]
        weighted = [it.Empirical(v[:, None], w) for v, w in ((x, a), (y, b))]
        sorts, argsorts, ours, ours_weighted, theirs = seconds(
            [
                lambda x=x, y=y: (np.sort(x), np.sort(y)),
                lambda x=x, y=y: (np.argsort(x), np.argsort(y)),
                lambda laws=plain: it.wasserstein2(*laws),
                lambda laws=weighted: it.wasserstein2(*laws),
                lambda x=x, y=y: ot.emd2_1d(x, y),
            ],
            repeats=7,
        )
        print(f"{n:<18}{ours / sorts:17.2f}x{ours_weighted / argsorts:25.2f}x{theirs / ours:11.1f}x")


def forbidden() -> None:
    """Pairs forbidden by a cost of 1e32: relative error of the cost, against an assignment with moderate ones."""
    print(f"\n{'forbidden pairs':<18}{'POT':>12}{'ours':>12}{'we claim':>12}")
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(300, 2)), generator.normal(size=(300, 2)) + 0.2
    costs, weights = np.asarray(ot.dist(x, y)), np.full(300, 1 / 300)
    for share in (0.01, 0.5, 0.9):
        mask = generator.random(costs.shape) < share
        np.fill_diagonal(mask, False)
        rows, columns = linear_sum_assignment(np.where(mask, 1e4, costs))
        truth = costs[rows, columns].mean()
        huge = np.where(mask, 1e32, costs)
        found = optimal_transport(weights, weights, huge).cost
        theirs = cost_by_pot(weights, huge)
        off, claimed = abs(float(found) / truth - 1), float(found.error) / truth
        print(f"{share:<18.0%}{abs(theirs / truth - 1):12.1e}{off:12.1e}{claimed:12.1e}")


if __name__ == "__main__":
    plans()
    lines()
    forbidden()
