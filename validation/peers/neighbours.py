"""KSG mutual information and Kozachenko-Leonenko entropy beside other packages: time and value.

Run as `python -m validation.peers.neighbours`, with `full` for the largest cases too, or with cases as `10000,3`.
Whatever of scikit-learn, NPEET, npeet-plus, infomeasure, dit and mutinfo can be imported takes part. All run on one
thread and take turns; times are the smallest processor time of several turns. Ours is the bare number, without
the diagnostics of `it.estimators.KSG`; the
first line says what it costs to compile, once on a machine. dit counts neighbours in its own way: another number.
"""

from __future__ import annotations

import importlib
import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from infotherm.estimators.nearest import nearest, neighbour_counts

K = 3
MOST_SECONDS = 15.0  # a peer that would take longer than this, at a time growing from N to N^2 with D, sits a case out
Estimator = Callable[[np.ndarray, np.ndarray], float]


def correlated(n: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian x and y, (n, dim) each, correlated in pairs such that they share one nat."""
    rho = math.sqrt(-math.expm1(-2 / dim))
    x, noise = np.random.default_rng(0).standard_normal((2, n, dim))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def ours(x: np.ndarray, y: np.ndarray) -> float:
    """KSG-1 in nats."""
    n, dim = x.shape
    points = torch.from_numpy(np.concatenate([x, y], 1))
    _, counts = neighbour_counts(points, K, [range(dim), range(dim, 2 * dim)])
    psi_k, psi_n = torch.digamma(torch.tensor([K, n], dtype=torch.float64))
    return float(psi_k + psi_n - sum(torch.digamma(c.double() + 1).mean() for c in counts))


def scikit_learn() -> Estimator:
    from sklearn.feature_selection import mutual_info_regression  # type: ignore[import-not-found]

    def estimate(x: np.ndarray, y: np.ndarray) -> float:
        if x.shape[1] > 1:
            raise NotImplementedError("one coordinate only")
        return float(mutual_info_regression(x, y[:, 0], discrete_features=False, n_neighbors=K)[0])

    return estimate


def npeet() -> Estimator:
    module = importlib.import_module("npeet.entropy_estimators")
    return lambda x, y: float(module.mi(x, y, k=K, base=math.e))


def npeet_plus() -> Estimator:
    module = importlib.import_module("npeet_plus")
    return lambda x, y: float(module.mi(x, y, k=K, base=math.e))


def infomeasure() -> Estimator:
    module = importlib.import_module("infomeasure")
    return lambda x, y: float(module.mutual_information(x, y, approach="metric", k=K))


def dit() -> Estimator:
    module = importlib.import_module("dit.inference")

    def estimate(x: np.ndarray, y: np.ndarray) -> float:
        columns = np.arange(2 * x.shape[1])
        both = [columns[: x.shape[1]].tolist(), columns[x.shape[1] :].tolist()]
        return float(module.total_correlation_ksg(np.concatenate([x, y], 1), both, k=K)) * math.log(2)

    return estimate


def mutinfo() -> Estimator:
    module = importlib.import_module("mutinfo.estimators.knn")
    return lambda x, y: float(module.KSG(k_neighbors=K)(x, y))


def peers() -> dict[str, Estimator]:
    """Those that can be imported."""
    found = {}
    for make in (scikit_learn, npeet, npeet_plus, infomeasure, dit, mutinfo):
        try:
            found[make.__name__] = make()
        except ImportError as missing:
            print(f"{make.__name__:<14}left out: {missing}")
    return found


def gram_entropy(x: np.ndarray) -> float:
    """Kozachenko-Leonenko entropy in the Euclidean norm from one Gram matrix: the plain way in high dimension."""
    points = torch.from_numpy(x)
    n, dim = points.shape
    square = points.square().sum(1)
    distances = []
    for rows in torch.arange(n).split(1024):
        near = torch.addmm(square[rows, None] + square, points[rows], points.T, alpha=-2)
        near[torch.arange(len(rows)), rows] = torch.inf
        distances.append(near.topk(K, largest=False).values[:, -1].clamp(min=0).sqrt())
    ball = dim / 2 * math.log(math.pi) - math.lgamma(dim / 2 + 1)
    psi_k, psi_n = torch.digamma(torch.tensor([K, n], dtype=torch.float64))
    return float(psi_n - psi_k + ball + dim * torch.cat(distances).log().mean())


def our_entropy(x: np.ndarray) -> float:
    """The same in the maximum norm."""
    distances = nearest(torch.from_numpy(x), K).distances[:, -1]
    psi_k, psi_n = torch.digamma(torch.tensor([K, len(x)], dtype=torch.float64))
    return float(psi_n - psi_k + x.shape[1] * (2 * distances).log().mean())


def measured(
    functions: Mapping[str, Callable[..., float]], data: Sequence[np.ndarray], turns: int
) -> dict[str, tuple[float, float]]:
    """Smallest time and value of each; what takes more than a few seconds runs once, what fails is left out."""
    results: dict[str, tuple[float, float]] = {}
    for turn in range(turns):
        for name, function in functions.items():
            if turn > 0 and (name not in results or results[name][0] > 5):
                continue
            start = time.process_time()
            try:
                value = function(*data)
            except NotImplementedError:
                continue
            seconds = time.process_time() - start
            results[name] = (min(seconds, results.get(name, (math.inf, 0))[0]), value)
    return results


def line(case: str, results: dict[str, tuple[float, float]]) -> None:
    """One row: ours, the others, the ratio to the fastest of them."""
    columns = "  ".join(f"{name} {seconds * 1e3:.1f} ms ({value:+.4f})" for name, (seconds, value) in results.items())
    best = min((seconds for name, (seconds, _) in results.items() if name not in ("ours",)), default=math.nan)
    print(f"{case:<18}{best / results['ours'][0]:6.1f}x   {columns}", flush=True)


def main() -> None:
    """Print one line a case."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    start = time.process_time()
    ours(*correlated(500, 2))
    print(f"first call {time.process_time() - start:.1f} s (compiles, or reads what was compiled)")
    others = peers()
    cases = [(1000, 1), (1000, 3), (1000, 10), (1000, 50), (10_000, 1), (10_000, 3), (10_000, 10), (100_000, 1)]
    if "full" in sys.argv:
        cases += [(10_000, 50), (100_000, 3)]
    chosen = [(int(n), int(dim)) for n, dim in (word.split(",") for word in sys.argv[1:] if "," in word)]
    print(f"\nKSG-1, k = {K}, one nat; milliseconds (value); how much faster than the best of the others")
    for n, dim in chosen or cases:
        x, y = correlated(n, dim)
        scale = (n / 1000) ** (1 + min(1.0, dim / 10))
        small = measured(others, (x[:1000], y[:1000]), turns=1)
        functions = {"ours": ours} | {name: others[name] for name, (t, _) in small.items() if t * scale < MOST_SECONDS}
        line(f"{n} {dim}+{dim}", measured(functions, (x, y), turns=7))
    print("\nKozachenko-Leonenko beside a Gram matrix in torch")
    for n, dim in ((10_000, 20), (10_000, 100)):
        x = np.random.default_rng(0).standard_normal((n, dim))
        line(f"{n}, D = {dim}", measured({"ours": our_entropy, "Gram": gram_entropy}, (x,), turns=5))


if __name__ == "__main__":
    main()
