"""Log-density of a Gaussian mixture beside torch.distributions and scipy: time and error.

Run as `python -m validation.peers.mixture_log_density`; `--points`, `--components`, `--dim`, `--threads` set the size.
Every time is the smallest of several interleaved runs. The peers are MixtureSameFamily(Categorical, MultivariateNormal)
and a sum over scipy.stats.multivariate_normal; errors are against the latter in float64.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import infotherm as it


class Row(NamedTuple):
    """One comparison: seconds of the peer and ours, their ratio, and the largest error of both."""

    case: str
    threads: int
    peer_seconds: float
    our_seconds: float
    peer_error: float
    our_error: float

    @property
    def ratio(self) -> float:
        """How many times faster this package is."""
        return self.peer_seconds / self.our_seconds


def problem(points: int, components: int, dim: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights, means, covariances and points of a random mixture, the same for every dtype."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    root = normal(components, dim, dim)
    covs = root @ root.mT / dim + 0.3 * torch.eye(dim, dtype=torch.float64)
    weights = torch.softmax(normal(components), 0)
    means, x = 3 * normal(components, dim), 3 * normal(points, dim)
    return tuple(t.to(dtype) for t in (weights, means, covs, x))  # type: ignore[return-value]


def torch_mixture(weights: Tensor, means: Tensor, covs: Tensor) -> torch.distributions.MixtureSameFamily:
    """The peer of torch."""
    parts = torch.distributions.MultivariateNormal(means, covs)
    return torch.distributions.MixtureSameFamily(torch.distributions.Categorical(weights), parts)


def scipy_log_density(weights: Tensor, means: Tensor, covs: Tensor, x: Tensor) -> np.ndarray:
    """The peer of scipy: one component after the other."""
    from scipy.special import logsumexp
    from scipy.stats import multivariate_normal

    arrays = zip(weights.numpy(), means.numpy(), covs.numpy(), strict=True)
    return np.asarray(
        logsumexp([np.log(w) + multivariate_normal(m, c).logpdf(x.numpy()) for w, m, c in arrays], axis=0)
    )


def value_and_gradient(law: torch.distributions.Distribution, x: Tensor) -> tuple[Tensor, Tensor]:
    """The log-density and its gradient in x."""
    x = x.detach().requires_grad_()
    value = law.log_prob(x)
    value.sum().backward()
    assert x.grad is not None
    return value.detach(), x.grad


def fastest(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float]:
    """The smallest times of two calls run by turns, after one run each to warm up."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for call, kept in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            call()
            if turn:
                kept.append(time.perf_counter() - start)
    return min(seconds[0]), min(seconds[1])


def compare(points: int, components: int, dim: int, threads: int, repeats: int) -> list[Row]:
    """All comparisons at one number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _compare(points, components, dim, threads, repeats)
    finally:
        torch.set_num_threads(before)


def _compare(points: int, components: int, dim: int, threads: int, repeats: int) -> list[Row]:
    rows = []
    for dtype in (torch.float64, torch.float32):
        weights, means, covs, x = problem(points, components, dim, dtype)
        name = str(dtype).removeprefix("torch.")
        truth = torch.from_numpy(scipy_log_density(*(t.double() for t in (weights, means, covs, x))))

        def error(value: Tensor, truth: Tensor = truth) -> float:
            return (value.double() - truth).abs().max().item()

        peer, ours = torch_mixture(weights, means, covs), it.GaussianMixture(weights, means, covs)
        seconds = fastest(lambda: peer.log_prob(x), lambda: ours.log_prob(x), repeats)  # noqa: B023
        rows.append(Row(f"{name} forward", threads, *seconds, error(peer.log_prob(x)), error(ours.log_prob(x))))
        seconds = fastest(lambda: value_and_gradient(peer, x), lambda: value_and_gradient(ours, x), repeats)  # noqa: B023
        both = [value_and_gradient(law, x)[1].double() for law in (peer, ours)]
        exact = value_and_gradient(torch_mixture(weights.double(), means.double(), covs.double()), x.double())[1]
        errors = [(gradient - exact).abs().max().item() for gradient in both]
        rows.append(Row(f"{name} forward + gradient in x", threads, *seconds, *errors))
    weights, means, covs, x = problem(points, components, dim, torch.float64)
    for name, form in (("shared covariance", covs[0]), ("round components", covs[:, 0, 0])):
        ours = it.GaussianMixture(weights, means, form)
        peer = torch_mixture(weights, means, ours.covariances)
        seconds = fastest(lambda: peer.log_prob(x), lambda: ours.log_prob(x), repeats)  # noqa: B023
        truth = torch.from_numpy(scipy_log_density(weights, means, ours.covariances.contiguous(), x))
        errors = [(law.log_prob(x) - truth).abs().max().item() for law in (peer, ours)]
        rows.append(Row(f"float64 forward, {name}", threads, *seconds, *errors))
    ours = it.GaussianMixture(weights, means, covs)
    seconds = fastest(lambda: scipy_log_density(weights, means, covs, x), lambda: ours.log_prob(x), repeats)
    truth = torch.from_numpy(scipy_log_density(weights, means, covs, x))
    ours_error = (ours.log_prob(x) - truth).abs().max().item()
    rows.append(Row("float64 forward, beside scipy", threads, *seconds, 0.0, ours_error))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--components", type=int, default=50)
    parser.add_argument("--dim", type=int, default=8)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(f"{options.points} points, {options.components} components, D = {options.dim}, torch {torch.__version__}")
    print(
        f"{'case':36s} {'threads':>7s} {'peer':>9s} {'ours':>9s} {'faster':>7s} {'peer error':>11s} {'our error':>10s}"
    )
    for threads in options.threads:
        for row in compare(options.points, options.components, options.dim, threads, options.repeats):
            print(
                f"{row.case:36s} {row.threads:7d} {row.peer_seconds * 1e3:6.0f} ms {row.our_seconds * 1e3:6.1f} ms "
                f"{row.ratio:6.1f}x {row.peer_error:11.1e} {row.our_error:10.1e}"
            )


if __name__ == "__main__":
    main()
