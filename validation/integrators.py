"""Orders of convergence of the integrators, measured without sampling where a route without it exists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import infotherm as it
from infotherm.core.estimate import Estimate, exact
from infotherm.core.verdict import Verdict, decide
from infotherm.processes.integrators import (
    BAOAB,
    EulerMaruyama,
    Integrator,
    LeimkuhlerMatthews,
    StochasticHeun,
)
from infotherm.processes.plans import State
from infotherm.studies import Context, Study

study = Study(
    "integrators",
    title="How fast the integrators converge",
    source="Kloeden and Platen, Numerical Solution of Stochastic Differential Equations (1992)",
)

pr, th = it.processes, it.thermodynamics
F64 = torch.float64
STEPS = (16, 32, 64, 128)
SCHEMES = (EulerMaruyama(), StochasticHeun(), LeimkuhlerMatthews())


def order(errors: Sequence[float]) -> Estimate:
    """The slope of log error against log step: it changes with the step, and is extrapolated from two halvings."""
    first, second = (math.log2(coarse / fine) for coarse, fine in zip(errors[-3:], errors[-2:], strict=False))
    return Estimate(2 * second - first, error=abs(second - first), units="1")


# -- a double well, on a grid of states and the nodes of Gauss and Hermite ---------------------------------------------

WELL = pr.Langevin(potential=lambda x: (0.25 * x**4 - 0.5 * x**2).sum(-1), sigma=2**0.5)
START = it.Gaussian(0.5, 0.04)
GRID = torch.linspace(-4.5, 4.5, 361, dtype=F64)


def normal_nodes(n: int = 24) -> tuple[Tensor, Tensor]:
    """Nodes and weights for means over a standard normal number."""
    beta = torch.arange(1, n, dtype=F64).sqrt()
    nodes, vectors = torch.linalg.eigh(torch.diag(beta, 1) + torch.diag(beta, -1))
    return nodes, vectors[0].square()


def averaged(points: Tensor, weights: Tensor) -> Tensor:
    """The matrix from values on the grid to weighted means of values at points (m, k), weights (k,).

    Between the nodes of the grid by polynomials of degree five; constant beyond its ends.
    """
    place = (points.clamp(GRID[0], GRID[-1]) - GRID[0]) / (GRID[1] - GRID[0])
    first = (place.floor().long() - 2).clamp(0, len(GRID) - 6)
    offset = place - first
    matrix = torch.zeros(len(points), len(GRID), dtype=F64)
    for i in range(6):
        share = weights.expand_as(offset)
        for j in range(6):
            if j != i:
                share = share * (offset - j) / (i - j)
        matrix.scatter_add_(-1, first + i, share)
    return matrix


def one_step(scheme: Integrator, h: float) -> tuple[Tensor, Tensor]:
    """The operators f -> E f(x') of one step and of what is read at the end, both on functions of the grid.

    Leimkuhler and Matthews' scheme has a memory, the noise of the last step; x minus half of that noise has none, and
    the half is added when the state is read.
    """
    nodes, weights = normal_nodes()
    x = GRID[:, None].expand(-1, len(nodes))[..., None]
    noise = nodes.expand(len(GRID), -1)[..., None]
    half = 0.5 * 2**0.5 * h**0.5 * noise
    with_memory = isinstance(scheme, LeimkuhlerMatthews)
    state = scheme.init(WELL, x + half if with_memory else x, [0.0, h])
    if with_memory:
        state = State(state.x, state.index, state.plan, noise)
    end = scheme.step(state, torch.zeros_like(noise) if with_memory else noise).x[..., 0]
    read = averaged((x + half)[..., 0], weights) if with_memory else torch.eye(len(GRID), dtype=F64)
    return averaged(end, weights), read


def mean_at_the_end(scheme: Integrator, n: int, duration: float = 1.0) -> float:
    """E x_T^2 after n steps, from the law START."""
    step, read = one_step(scheme, duration / n)
    values = read @ GRID.square()
    for _ in range(n):
        values = step @ values
    nodes, weights = normal_nodes()
    starts = START.mean + nodes * START.covariance[0, 0].sqrt()
    return float(averaged(starts[None], weights) @ values)


def mean_at_rest(scheme: Integrator, h: float) -> float:
    """E x^2 in the law that the scheme keeps."""
    step, read = one_step(scheme, h)
    for _ in range(12):
        step = step @ step
    return float(step[len(GRID) // 2] @ (read @ GRID.square()))


@study.claim(
    "weak-order",
    statement=r"error of $E x_T^2$ in a double well falls as $h$ (Euler-Maruyama) and $h^2$ (Heun; Euler-Maruyama "
    r"extrapolated): the schemes' means on a grid against the Fokker-Planck equation",
    source="Talay and Tubaro, Stoch. Anal. Appl. 8, 483 (1990), theorem 1",
)
def weak_order(context: Context) -> dict[str, Verdict]:
    law = pr.evolve(WELL, START, [0.0, 1.0]).final
    truth = float(law.variance[0] + law.mean[0].square())
    means = {scheme.name: [mean_at_the_end(scheme, n) for n in STEPS] for scheme in SCHEMES[:2]}
    euler = means["euler-maruyama"]
    means["extrapolated euler-maruyama"] = [2 * fine - coarse for coarse, fine in zip(euler, euler[1:], strict=False)]
    errors = {name: [abs(mean - truth) for mean in found] for name, found in means.items()}
    wanted = {"euler-maruyama": 1, "stochastic-heun": 2, "extrapolated euler-maruyama": 2}
    context.attach(
        _drawn(errors, [1 / n for n in STEPS], wanted, "error of the second moment at time 1"),
        "Weak convergence in a double well",
    )
    return {name: decide(order(errors[name]), wanted[name], "==") for name in wanted}


@study.claim(
    "stationary-order",
    statement=r"error of the stationary $E x^2$ in a double well: order 1 (Euler-Maruyama), 2 (Heun), 2 with one "
    r"evaluation of the force (Leimkuhler-Matthews); against Boltzmann's law",
    source="Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34",
)
def stationary_order(context: Context) -> dict[str, Verdict]:
    rest = pr.steady_state(WELL)
    truth = float(rest.variance[0] + rest.mean[0].square())
    errors = {scheme.name: [abs(mean_at_rest(scheme, 2 / n) - truth) for n in STEPS] for scheme in SCHEMES}
    wanted = {scheme.name: int(scheme.stationary_order) for scheme in SCHEMES}
    context.attach(
        _drawn(errors, [2 / n for n in STEPS], wanted, "error of the stationary second moment"),
        "Stationary bias in a double well",
    )
    verdicts = {name: decide(order(errors[name]), wanted[name], "==") for name in wanted}
    smaller = torch.tensor(errors["leimkuhler-matthews"][-1]), torch.tensor(errors["stochastic-heun"][-1])
    return {**verdicts, "constant of Leimkuhler-Matthews below Heun's": decide(*smaller, "<=")}


# -- linear processes, by the response to each unit of noise -----------------------------------------------------------


def response(
    scheme: Integrator, process: Any, start: Sequence[float], n: int, duration: float
) -> tuple[Tensor, Tensor]:
    """Where a linear scheme ends without noise, and how the end changes with each step's noise: (D,), (n, D)."""
    times = torch.linspace(0.0, duration, n + 1, dtype=F64)
    state = scheme.init(process, torch.tensor(start, dtype=F64).expand(n + 1, -1), times)
    kicks = torch.cat([torch.zeros(n, 1, dtype=F64), torch.eye(n, dtype=F64)], 1)
    for kick in kicks:
        state = scheme.step(state, kick[:, None])
    return state.x[0], state.x[1:] - state.x[0]


@study.claim(
    "underdamped-order",
    statement=r"BAOAB in a harmonic trap: $E q_T^2$ of order 2, and the stationary $E q^2$ exact at any step",
    source="Leimkuhler and Matthews, J. Chem. Phys. 138, 174102 (2013)",
)
def underdamped_order(context: Context) -> dict[str, Verdict]:
    trap = pr.UnderdampedLangevin(potential=lambda x: 0.5 * (x**2).sum(-1), friction=0.7, temperature=1.5)
    same = pr.AffineDiffusion([[0.0, 1.0], [-1.0, -0.7]], [[0.0], [(2 * 0.7 * 1.5) ** 0.5]])
    law = same.transition(0.0, 1.0)(torch.tensor([1.0, 0.0], dtype=F64))
    truth = float(law.covariance[0, 0] + law.mean[0].square())
    found = [response(BAOAB(), trap, (1.0, 0.0), n, 1.0) for n in STEPS]
    errors = [abs(float(mean[0] ** 2 + kicks[:, 0].square().sum()) - truth) for mean, kicks in found]
    _, kicks = response(BAOAB(), trap, (0.0, 0.0), 300, 240.0)
    return {
        "order at time 1": decide(order(errors), 2, "=="),
        "stationary variance at step 0.8": decide(
            exact(kicks[:, 0].square().sum(), units="1"), 1.5, "==", tolerance=1e-9
        ),
    }


@study.claim(
    "strong-order",
    statement=r"$(E|X_T^h - X_T|^2)^{1/2}$ of Euler-Maruyama falls as $h^{1/2}$ for multiplicative noise, where it is "
    r"$(e^{1/4} - (1 + h/4)^{1/h})^{1/2}$ for $dX = X dB / 2$, and as $h$ for additive noise",
    source="Kloeden and Platen (1992), theorems 10.2.2 and 10.3.5",
)
def strong_order(context: Context) -> dict[str, Verdict]:
    n_paths = 100_000 if context.level == "full" else 10_000
    process = pr.Langevin(force=lambda x: 0.0 * x, sigma=lambda x, c: 0.5 * x)
    fine = torch.randn(256, n_paths, 1, dtype=F64, generator=context.generator, device=context.device)
    exact_end = torch.exp(0.5 * fine.sum(0)[:, 0] / 16 - 0.125)
    verdicts, multiplicative = {}, []
    for n in (16, 64, 256):
        noise = fine.reshape(n, 256 // n, n_paths, 1).sum(1) / (256 / n) ** 0.5
        state = EulerMaruyama().init(process, torch.ones_like(fine[0]), torch.linspace(0, 1, n + 1))
        for kick in noise:
            state = EulerMaruyama().step(state, kick)
        squares = (state.x[:, 0] - exact_end).square()
        closed = math.exp(0.25) - (1 + 0.25 / n) ** n
        sampled = Estimate(
            squares.mean() / closed,
            stderr=squares.std() / closed / n_paths**0.5,
            kind="estimate",
            method="monte-carlo",
            streams=["paths"],
        )
        verdicts[f"multiplicative, h = 1/{n}: sampled over closed form"] = decide(sampled, 1.0, "==", tolerance=0.25)
        multiplicative.append(float(squares.mean().sqrt()))
    additive = [additive_strong_error(n) for n in (16, 64, 256)]
    errors = {"multiplicative noise": multiplicative, "additive noise": additive}
    wanted = {"multiplicative noise": 0.5, "additive noise": 1}
    context.attach(
        _drawn(errors, [1 / 16, 1 / 64, 1 / 256], wanted, "root-mean-square error at time 1"), "Strong convergence"
    )
    for name, values in errors.items():
        slope = exact(
            torch.tensor(math.log(values[0] / values[-1], 16.0), dtype=F64), terms=[torch.ones(())], units="1"
        )
        verdicts[name] = decide(slope, wanted[name], "==", tolerance=0.1)
    return verdicts


def additive_strong_error(n: int) -> float:
    """Of dX = -X dt + dB from 1: both ends are linear in the noise, and the square of the difference is an integral."""
    mean, kicks = response(EulerMaruyama(), pr.OrnsteinUhlenbeck(1.0, 1.0), (1.0,), n, 1.0)
    h = 1 / n
    ends = torch.arange(n, dtype=F64) * h
    gains = kicks[:, 0] / h**0.5  # dX_T / dB over step k, to be compared with exp(-(1 - s)) within the step
    kernel = torch.exp(ends - 1)
    first, second = kernel * math.expm1(h), kernel.square() * math.expm1(2 * h) / 2
    squares = (second - 2 * gains * first + gains.square() * h).sum() + (mean[0] - math.exp(-1)).square()
    return float(squares.sqrt())


@study.claim(
    "weak-order-by-sampling",
    statement=r"stationary averages and extrapolation as a user meets them: `stationary_average` and "
    "`extrapolated_mean` of the double well against Boltzmann's law and the Fokker-Planck equation",
    level="full",
)
def sampled_orders(context: Context) -> dict[str, Verdict]:
    def square(x: Tensor) -> Tensor:
        return x[..., 0].square()

    rest = pr.steady_state(WELL)
    law = pr.evolve(WELL, START, [0.0, 1.0]).final
    average = th.stationary_average(
        WELL, square, it.Gaussian(0.0, 1.0), 40.0, 4000, 1600, burn_in=10.0, generator=context.generator
    )
    later = th.extrapolated_mean(WELL, START, 1.0, square, 100_000, 20, generator=context.generator)
    return {
        "stationary": decide(average, rest.variance[0] + rest.mean[0].square(), "==", tolerance=0.03),
        "extrapolated": decide(later, law.variance[0] + law.mean[0].square(), "==", tolerance=0.03),
    }


def _drawn(errors: dict[str, list[float]], steps: Sequence[float], orders: dict[str, Any], label: str) -> Any:
    from matplotlib.figure import Figure

    from infotherm.plots import plot_orders

    ax = Figure(figsize=(5, 3.6), layout="constrained").subplots()
    plot_orders({name: (steps[-len(found) :], found) for name, found in errors.items()}, orders, ax=ax)
    ax.set_ylabel(label)
    return ax.figure
