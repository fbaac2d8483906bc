"""Pairwise bounds beside a plain chunked log-sum-exp, and kernel density entropies beside other packages.

Run as `python -m validation.peers.kolchinsky_tracey`; `--points`, `--dims`, `--memory-points` set the sizes. One
thread; times are the smallest processor times of runs by turns, and errors are against scipy's distances and
log-sum-exp on the first thousand points. No package at hand computes the bounds: the peer is what one writes without
thinking twice, in float64 torch, rows in chunks. scipy, scikit-learn and infomeasure have kernel densities; missing
ones are left out.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from infotherm.estimators.kernel import KernelDensity
from infotherm.estimators.pairwise import KolchinskyTracey


def chunked_logsumexp(x: Tensor, variance: float, rows: int = 512) -> tuple[float, float]:
    """Both bounds with every pair computed twice and two exponentials for each."""
    n, dim = x.shape
    constant = dim / 2 * math.log(2 * math.pi * math.e * variance) + math.log(n)
    squares = x.square().sum(1)
    lower, upper = 0.0, 0.0
    for part in x.split(rows):
        distances = (part.square().sum(1, keepdim=True) + squares - 2 * part @ x.mT).clamp_(min=0)
        lower += float((-distances / (8 * variance)).logsumexp(1).sum())
        upper += float((-distances / (2 * variance)).logsumexp(1).sum())
    return constant - lower / n, constant - upper / n


def definition(x: Tensor, variance: float) -> tuple[float, float]:
    """Both bounds by scipy, from differences of coordinates."""
    from scipy.spatial.distance import cdist
    from scipy.special import logsumexp

    n, dim = x.shape
    distances = cdist(x.numpy(), x.numpy(), "sqeuclidean")
    constant = dim / 2 * math.log(2 * math.pi * math.e * variance) + math.log(n)
    lower, upper = (constant - logsumexp(-distances / (a * variance), axis=1).mean() for a in (8, 2))
    return float(lower), float(upper)


def both(x: Tensor, variance: float, precision: str) -> tuple[float, float]:
    """Ours, standard errors and the bounds for the population included."""
    info = KolchinskyTracey(variance, precision=precision).estimate(x).info
    return float(info["lower"]), float(info["upper"])


def seconds(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """The smallest processor time of each call, by turns."""
    best = [math.inf] * len(calls)
    for _ in range(repeats):
        for index, call in enumerate(calls):
            start = time.process_time()
            call()
            best[index] = min(best[index], time.process_time() - start)
    return best


def bounds_table(points: list[int], dims: list[int], repeats: int) -> None:
    """Times, ratios and errors of the bounds; the noise makes half of the squared distance 40 times its variance."""
    print(
        f"{'N':>7s} {'D':>5s} {'arithmetic':>12s} {'peer':>9s} {'ours':>9s} {'faster':>7s} {'error':>9s} {'stated':>9s}"
    )
    for n in points:
        for dim in dims:
            generator = torch.Generator().manual_seed(0)
            x = torch.randn(n, dim, dtype=torch.float64, generator=generator) + 3
            variance = dim / 40
            calls = [
                lambda x=x, v=variance: chunked_logsumexp(x, v),
                lambda x=x, v=variance: both(x, v, "float64"),
                lambda x=x, v=variance: both(x, v, "float32"),
            ]
            peer, *ours = seconds(calls, repeats)
            few = x[:1000]
            truth = definition(few, variance)
            for precision, took in zip(("float64", "float32"), ours, strict=True):
                bound = KolchinskyTracey(variance, precision=precision).estimate(few)
                entries = [bound.info[name] for name in ("lower", "upper")]
                error = max(abs(float(e) - t) for e, t in zip(entries, truth, strict=True))
                stated = max(float(e.error) for e in entries)
                used = KolchinskyTracey(variance, precision=precision).estimate(x).info["arithmetic"]
                print(
                    f"{n:7d} {dim:5d} {used:>12s} {peer:7.3f} s {took:7.3f} s {peer / took:6.1f}x "
                    f"{error:9.1e} {stated:9.1e}"
                )


def peak_memory(points: int, dim: int) -> None:
    """The largest resident memory of a process that does nothing else, and what importing alone takes."""
    code = (
        "import torch, resource, time; torch.set_num_threads(1)\n"
        "from infotherm.estimators.pairwise import KolchinskyTracey\n"
        f"x = torch.randn({points}, {dim}, dtype=torch.float64, generator=torch.Generator().manual_seed(0))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; start = time.process_time()\n"
        f"bound = KolchinskyTracey({dim} / 40).estimate(x)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(before / 2**20, after / 2**20, time.process_time() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after, took = map(float, done.stdout.split())
    print(f"\nN = {points}, D = {dim}: {after:.2f} GiB resident at most, {before:.2f} of them before; {took:.0f} s")


def density_table(n: int, dim: int) -> None:
    """Entropies of Gaussian samples by kernel densities; none of the peers leaves a sample out of its own density."""
    x = torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    truth = dim / 2 * math.log(2 * math.pi * math.e)
    array = x.numpy()
    scott = n ** (-1 / (dim + 4))
    calls: dict[str, Callable[[], float]] = {
        "ours, scott": lambda: float(KernelDensity("scott").estimate(x)),
        "ours, likelihood": lambda: float(KernelDensity().estimate(x)),
    }
    try:
        from scipy.stats import gaussian_kde

        calls["scipy gaussian_kde"] = lambda: float(-gaussian_kde(array.T).logpdf(array.T).mean())
    except ImportError:
        pass
    try:
        from sklearn.neighbors import KernelDensity as Peer  # type: ignore[import-not-found]

        calls["scikit-learn KernelDensity"] = lambda: float(-Peer(bandwidth=scott).fit(array).score(array) / n)
    except ImportError:
        pass
    try:
        import infomeasure  # type: ignore[import-not-found]

        calls["infomeasure kernel"] = lambda: float(
            infomeasure.entropy(array, approach="kernel", kernel="gaussian", bandwidth=scott)
        )
    except ImportError:
        pass
    print(f"\nentropy of N(0, 1) in {dim} dimensions, N = {n}; the truth is {truth:.4f} nat")
    for name, call in calls.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                value = call()
            except Exception as reason:
                print(f"{name:28s} {type(reason).__name__}: {reason}")
                continue
            print(f"{name:28s} {value:9.4f} ({value - truth:+.4f})  {seconds([call], 2)[0]:7.3f} s")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", default=[1000, 5000, 20_000])
    parser.add_argument("--dims", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-points", type=int, default=100_000, help="0 leaves the measurement of memory out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"one thread, torch {torch.__version__}")
    bounds_table(options.points, options.dims, options.repeats)
    for n, dim in ((1000, 1), (3000, 3)):
        density_table(n, dim)
    if options.memory_points:
        peak_memory(options.memory_points, 100)


if __name__ == "__main__":
    main()
