"""Steps of diffusions beside bare loops in torch and numpy, jax, diffrax and torchsde: path-steps a second on a thread.

Run as `python -m validation.peers.stepping [--repeats 5]`. Peers that are not installed are left out. Times are
processor times of one thread, the smallest of several interleaved runs, compilation not counted; what counts are the
ratios of one run. Cases: a scalar Ornstein-Uhlenbeck process in float32, bare steps and the whole ledger, and a
reversed variance-preserving process in 8 dimensions with the score of a mixture of 5 Gaussians, eager and compiled.
"""

from __future__ import annotations

import argparse
import importlib
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import infotherm as it
from infotherm.processes.integrators import EulerMaruyama, integrator_for
from infotherm.thermodynamics.blocks import blocks

PATHS, STEPS, H = 65_536, 100, 0.01
Engine = Callable[[], Any]


# -- a scalar Ornstein-Uhlenbeck process -----------------------------------------------------------------------------


def torch_loop(n: int = 16_384) -> None:
    """The bare loop x + b h + s R, in blocks that fit the cache."""
    for _ in range(PATHS // n):
        x = torch.randn(n, 1)
        for _ in range(STEPS):
            x = x - H * x + math.sqrt(2 * H) * torch.randn(n, 1)


def numpy_loop() -> None:
    """The same in numpy, in place."""
    generator = np.random.default_rng(0)
    x, z = (generator.standard_normal(PATHS, dtype=np.float32) for _ in range(2))
    for _ in range(STEPS):
        generator.standard_normal(dtype=np.float32, out=z)
        z *= math.sqrt(2 * H)
        x *= 1 - H
        x += z


def own_steps(method: str, process: Any, dim: int = 1, compiled: bool = False) -> Engine:
    """`init` and `step` with the noise of `simulate`, without a ledger."""
    integrator = integrator_for(process, method)
    times = H * torch.arange(STEPS + 1, dtype=torch.float64)
    plans: list[Any] = []

    def run() -> None:
        for part, own, normal in blocks(PATHS, 0, torch.device("cpu")):
            x = torch.randn(part.stop - part.start, dim, generator=own)
            if not plans:
                state = integrator.init(process, x, times)
                plans.append(integrator.compiled(state) if compiled else state)
            state = type(plans[0])(x, 0, plans[0].plan, plans[0].carried)
            noise = torch.empty_like(x)
            with torch.no_grad():
                for _ in range(STEPS):
                    state = integrator.step(state, normal.fill(noise))

    return run


def own_ledger(method: str, process: Any, dim: int = 1, **options: Any) -> Engine:
    """`simulate`: the same steps with work, heat and entropies."""
    p0 = it.Gaussian([0.0] * dim, torch.eye(dim))
    return lambda: it.thermodynamics.simulate(
        process,
        p0,
        STEPS * H,
        PATHS,
        STEPS,
        method=method,
        generator=0,
        dtype=torch.float32,
        final_law=False,
        **options,
    )


def jax_scan(drift: Any, dim: int) -> Engine:
    """lax.scan over Euler steps."""
    jax = importlib.import_module("jax")

    def step(x: Any, key: Any) -> Any:
        return x + H * drift(x) + math.sqrt(2 * H) * jax.random.normal(key, x.shape), None

    @jax.jit
    def run(key: Any) -> Any:
        first, rest = jax.random.split(key)
        x = jax.random.normal(first, (PATHS, dim))
        return jax.lax.scan(step, x, jax.random.split(rest, STEPS))[0]

    return lambda: run(jax.random.key(0)).block_until_ready()


def diffrax_euler(drift: Any, dim: int) -> Engine:
    """diffrax's Euler with its unsafe (cheap) Brownian path, vmapped."""
    diffrax, jax, jnp = (importlib.import_module(name) for name in ("diffrax", "jax", "jax.numpy"))

    def one(key: Any) -> Any:
        shape = jax.ShapeDtypeStruct((dim,), jnp.float32)
        noise = diffrax.UnsafeBrownianPath(shape=shape, key=key)
        diffusion = diffrax.ControlTerm(lambda t, y, args: math.sqrt(2.0) * jnp.eye(dim), noise)
        terms = diffrax.MultiTerm(diffrax.ODETerm(lambda t, y, args: drift(y)), diffusion)
        saved = diffrax.SaveAt(t1=True)
        found = diffrax.diffeqsolve(
            terms, diffrax.Euler(), 0.0, STEPS * H, H, jnp.zeros(dim), saveat=saved, max_steps=STEPS + 1,
            adjoint=diffrax.ForwardMode(), throw=False,
        )  # fmt: skip
        return found.ys

    run = jax.jit(jax.vmap(one))
    keys = jax.random.split(jax.random.key(0), PATHS)
    return lambda: run(keys).block_until_ready()


def torchsde_euler(drift: Any, dim: int) -> Engine:
    """torchsde's Euler with diagonal noise."""
    torchsde = importlib.import_module("torchsde")

    class Process(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def f(self, t: Tensor, y: Tensor) -> Tensor:
            return drift(y)

        def g(self, t: Tensor, y: Tensor) -> Tensor:
            return torch.full_like(y, math.sqrt(2.0))

    times = torch.tensor([0.0, STEPS * H])

    def run() -> None:
        with torch.no_grad():
            torchsde.sdeint(Process(), torch.zeros(PATHS, dim), times, dt=H, method="euler")

    return run


# -- a reversed variance-preserving process in 8 dimensions ------------------------------------------------------------

DIM, COMPONENTS = 8, 5
_draw = torch.Generator().manual_seed(0)
MEANS = 4 * torch.rand(COMPONENTS, DIM, generator=_draw) - 2
SPREADS = 0.5 + 0.5 * torch.rand(COMPONENTS, generator=_draw)


def reverse_drift(x: Tensor, t: Tensor) -> Tensor:
    """beta x / 2 + beta score, of the mixture at time 1 - t of a process with beta from 0.1 to 8."""
    s = 1 - t
    beta = 0.1 + 7.9 * s
    gain = torch.exp(-0.5 * (0.1 * s + 3.95 * s * s))
    variances = gain**2 * SPREADS**2 + 1 - gain**2
    means = gain * MEANS
    # |x - m|^2 up to what all components share, as a product of matrices
    scores = (x @ means.mT - 0.5 * means.square().sum(-1) - 0.5 * x.square().sum(-1, keepdim=True)) / variances
    weights = torch.softmax(scores - 0.5 * DIM * variances.log(), -1) / variances
    return beta * (0.5 * x + weights @ means - weights.sum(-1, keepdim=True) * x)


def reverse_process() -> Any:
    """The reversed process, its noise sqrt(beta) in its own time."""
    return it.processes.Langevin(
        force=reverse_drift, sigma=lambda t: (0.1 + 7.9 * (1 - t)).sqrt(), mobility=1.0, horizon=1.0
    )


def torch_reverse_loop(compiled: bool, n: int = 16_384) -> Engine:
    """The bare loop with the same drift, eager or compiled."""
    drift = torch.compile(reverse_drift, dynamic=False) if compiled else reverse_drift
    times = [torch.tensor((k + 0.5) * H) for k in range(STEPS)]

    def run() -> None:
        with torch.no_grad():
            for _ in range(PATHS // n):
                x = torch.randn(n, DIM)
                for t in times:
                    spread = math.sqrt((0.1 + 7.9 * (1 - float(t))) * H)
                    x = x + H * drift(x, t) + spread * torch.randn(n, DIM)

    return run


def rates(engines: dict[str, Engine], repeats: int) -> dict[str, float]:
    """Path-steps per processor second of each, the best of the interleaved runs."""
    best = dict.fromkeys(engines, math.inf)
    for round_ in range(repeats + 1):
        for name, run in engines.items():
            start = time.process_time()
            run()
            if round_:  # the first round compiles
                best[name] = min(best[name], time.process_time() - start)
    return {name: PATHS * STEPS / seconds for name, seconds in best.items()}


def available(makers: dict[str, Callable[[], Engine]]) -> dict[str, Engine]:
    """The engines whose library is installed."""
    engines = {}
    for name, make in makers.items():
        try:
            engines[name] = make()
        except ImportError as reason:
            print(f"   {name} is left out: {reason}")
    return engines


def show(title: str, found: dict[str, float], base: str) -> None:
    """One table: rate and ratio to the base."""
    print(f"\n{title}\n{'':<34}{'million/s':>12}{'ratio':>9}")
    for name, rate in found.items():
        print(f"{name:<34}{rate / 1e6:12.1f}{rate / found[base]:9.2f}")


def main() -> None:
    """Print a table a case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    ou = it.processes.OrnsteinUhlenbeck(1.0, math.sqrt(2.0))
    scalar = {
        "torch loop": lambda: torch_loop,
        "infotherm, exact": lambda: own_steps("exact", ou),
        "infotherm, exact, ledger": lambda: own_ledger("exact", ou),
        "infotherm, Euler": lambda: own_steps(EulerMaruyama.name, ou),
        "infotherm, Euler, ledger": lambda: own_ledger(EulerMaruyama.name, ou),
        "numpy in place": lambda: numpy_loop,
        "jax scan": lambda: jax_scan(lambda x: -x, 1),
        "diffrax": lambda: diffrax_euler(lambda x: -x, 1),
        "torchsde": lambda: torchsde_euler(lambda x: -x, 1),
    }
    show("1-D Ornstein-Uhlenbeck, float32", rates(available(scalar), repeats), "torch loop")
    reverse = reverse_process()
    eight = {
        "torch loop": lambda: torch_reverse_loop(False),
        "torch loop, compiled": lambda: torch_reverse_loop(True),
        "infotherm, Euler": lambda: own_steps(EulerMaruyama.name, reverse, DIM),
        "infotherm, Euler, compiled": lambda: own_steps(EulerMaruyama.name, reverse, DIM, compiled=True),
    }
    show("8-D reversed VP, 5 components, float32", rates(available(eight), max(2, repeats // 2)), "torch loop")


if __name__ == "__main__":
    main()
