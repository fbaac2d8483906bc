"""Means without the error of the step: coarse and fine paths on the same noise, and the step extrapolated to zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.sample_means import from_samples, number_of_samples
from infotherm.core.tensors import Generator, as_generator, stream_of
from infotherm.distributions import as_distribution
from infotherm.processes import DiffusionProcess
from infotherm.processes.integrators import Integrator, integrator_for
from infotherm.thermodynamics.blocks import block_seeds, blocks
from infotherm.thermodynamics.mechanics import mechanics_of
from infotherm.thermodynamics.paired_runs import paired_run
from infotherm.thermodynamics.run import planned_edges
from infotherm.thermodynamics.step_checks import refuse_lost_paths

Observable = Callable[[Tensor], Tensor]


def extrapolated_mean(
    process: DiffusionProcess,
    p0: Any,
    duration: float,
    observable: str | Observable,
    n_paths: int,
    n_steps: int,
    *,
    method: str = "euler-maruyama",
    generator: Generator = None,
    start: float | None = None,
) -> Estimate:
    r"""The mean of a ledger's entry, or of a function of the final state, extrapolated to a vanishing step.

    Each path is run twice, with n_steps steps of length h and with 2 n_steps of length h / 2, on the same noise. With
    the scheme's weak order r, (2^r A(h / 2) - A(h)) / (2^r - 1) has weak order r + 1: from Euler-Maruyama, order 2.

    Parameters
    ----------
    process, p0, duration, n_paths, generator, start
        As in `simulate`; a diffusion.
    observable
        "work", "heat" or "medium_entropy", or a function of the final states (n, D) with values (n,).
    n_steps
        Steps of the coarse run.
    method
        A scheme of finite weak order.

    Returns
    -------
    Estimate
        Kind "estimate"; the error is the distance to the fine run's mean, which is larger than what is left of the
        error of the step once h is in the range where the extrapolation works. `info["coarse"]` and `info["fine"]` are
        the means of the two runs.

    Raises
    ------
    ValueError, TypeError
        As `simulate`; for an entry that is not kept; for an exact scheme, which has nothing to extrapolate.

    References
    ----------
    Talay and Tubaro, "Expansion of the global error for numerical schemes solving stochastic differential equations",
    Stoch. Anal. Appl. 8 (1990), theorem 1.

    Examples
    --------
    The variance of an Ornstein-Uhlenbeck process at time 1 from rest at 0 is 1 - exp(-2) = 0.8647:

    >>> import infotherm as it
    >>> ou = it.processes.OrnsteinUhlenbeck(1.0, 2**0.5)
    >>> square = lambda x: x[..., 0] ** 2
    >>> found = extrapolated_mean(ou, it.Gaussian(0.0, 1e-12), 1.0, square, 40_000, 10, generator=0)
    >>> bool((found.interval(0.99)[0] < 0.8647) & (0.8647 < found.interval(0.99)[1]))
    True
    """
    integrator = integrator_for(process, method)
    order = integrator.weak_order
    if math.isinf(order):
        raise ValueError(f"{integrator.name} steps are exact: there is nothing to extrapolate; use simulate")
    if isinstance(observable, str) and observable not in ("work", "heat", "medium_entropy"):
        raise ValueError(f"observable must be work, heat, medium_entropy or a function; got {observable!r}")
    p0 = as_distribution(p0, "p0")
    n_paths = number_of_samples(n_paths, "n_paths")
    coarse = planned_edges(process, integrator, p0, duration, n_steps, start)
    fine = torch.stack([coarse[:-1], 0.5 * (coarse[:-1] + coarse[1:])], 1).flatten()
    fine = torch.cat([fine, coarse[-1:]])
    seed, stream = block_seeds(generator, p0.device)
    mechanics = mechanics_of(process, p0.dim, float(coarse[0]), float(coarse[-1]))
    values: list[tuple[Tensor, ...]] = []
    for part, own, normal in blocks(n_paths, seed, p0.device):
        x = p0.sample((part.stop - part.start,), generator=own)
        pair = paired_run(mechanics, integrator, x, fine, normal, {}, None)
        values.append(tuple(e[observable] if isinstance(observable, str) else observable(e["final"]) for e in pair))
    coarse_values, fine_values = (torch.cat(column) for column in zip(*values, strict=True))
    weight = 2.0**order
    combined = (weight * fine_values - coarse_values) / (weight - 1)
    means = [from_samples(v, streams=(stream,), units="1") for v in (coarse_values, fine_values)]
    found = from_samples(combined, streams=(stream,), units="1")
    distance = (found.value - means[1].value).abs()
    return from_samples(
        combined,
        streams=(stream,),
        units="1",
        error=distance,
        coarse=means[0],
        fine=means[1],
        step=float(coarse.diff().max()),
    )


def stationary_average(
    process: DiffusionProcess,
    function: Observable,
    p0: Any,
    duration: float,
    n_paths: int,
    n_steps: int,
    *,
    burn_in: float,
    method: str = "auto",
    generator: Generator = None,
) -> Estimate:
    """The mean of a function in the stationary law, averaged along paths after `burn_in`.

    Overdamped processes are stepped by Leimkuhler-Matthews, whose stationary error is of second order in the step with
    a small constant. A run with twice the step tells how large the error of the step is: that step must be stable too,
    and a refusal that names twice the step asked for means this run.

    Parameters
    ----------
    process
        A diffusion that does not change in time.
    function
        Of the states (n, D), with values (n,).
    p0
        The law at the start, near the stationary one.
    duration
        Of each path, `burn_in` included.
    n_paths, n_steps
        Paths, which are independent samples of the average, and steps, an even number.
    burn_in
        The time after which the average starts.
    method
        "auto" (Leimkuhler-Matthews; BAOAB for underdamped processes; Euler-Maruyama for multiplicative noise), or a
        scheme's name.
    generator
        A generator or a seed.

    Returns
    -------
    Estimate
        Kind "estimate"; `error` is the difference to the run with twice the step, which is about 3 times (first order:
        once) what is left. Whether `burn_in` is long enough is for the caller to see: `info["halves"]` are the averages
        over the first and second half.

    Raises
    ------
    ValueError
        For a driven process, or a burn-in that leaves nothing.

    Examples
    --------
    >>> import infotherm as it
    >>> well = it.processes.Langevin(potential=lambda x: 0.5 * (x**2).sum(-1), sigma=2**0.5)
    >>> square = lambda x: x[..., 0] ** 2
    >>> found = stationary_average(well, square, it.Gaussian(0.0, 1.0), 20.0, 500, 200, burn_in=2.0, generator=0)
    >>> bool((found.interval(0.99)[0] < 1.0) & (1.0 < found.interval(0.99)[1]))
    True
    """
    if not process.looks_static():
        raise ValueError(f"process must not change in time; this {type(process).__name__} is driven")
    if not 0 <= burn_in < duration:
        raise ValueError(f"burn_in must lie in [0, duration = {duration}); got {burn_in}")
    if n_steps % 2:
        raise ValueError(f"n_steps must be even, for the run with twice the step; got {n_steps}")
    n_paths = number_of_samples(n_paths, "n_paths")
    p0 = as_distribution(p0, "p0")
    integrator = integrator_for(process, _stationary_method(process) if method == "auto" else method)
    drawn = as_generator(generator, p0.device)
    stream = stream_of(drawn, p0.device)
    averages = []
    for steps in (n_steps, n_steps // 2):
        times = planned_edges(process, integrator, p0, duration, steps)
        seed, _ = block_seeds(drawn, p0.device)
        first = int(torch.searchsorted(times, float(times[0]) + burn_in))
        averages.append(_time_averages(process, integrator, p0, function, times, first, n_paths, seed))
    fine, coarse = averages
    value = fine.mean(1)
    difference = (value.mean() - coarse.mean()).abs()
    halves = from_samples(fine, streams=(stream,), units="1")
    return from_samples(value, streams=(stream,), units="1", error=difference, halves=halves)


def _time_averages(
    process: DiffusionProcess,
    integrator: Integrator,
    p0: Any,
    function: Observable,
    times: Tensor,
    first: int,
    n: int,
    seed: int,
) -> Tensor:
    """Averages over the two halves of the time after step `first`, (n, 2)."""
    total = len(times) - 1
    middle = (first + total) // 2
    rows = []
    for part, own, normal in blocks(n, seed, p0.device):
        x = p0.sample((part.stop - part.start,), generator=own)
        state = integrator.init(process, x, times)
        noise = x.new_empty(len(x), integrator.noise_size(process, x.shape[-1]))
        sums = x.new_zeros(2, len(x))
        for k in range(total):
            state = integrator.step(state, normal.fill(noise))
            if k >= first:
                sums[int(k >= middle)] += function(state.x)
        refuse_lost_paths(state, integrator)
        rows.append(torch.stack([sums[0] / max(middle - first, 1), sums[1] / (total - middle)], -1))
    return torch.cat(rows)


def _stationary_method(process: DiffusionProcess) -> str:
    own = integrator_for(process).name
    return "leimkuhler-matthews" if own in ("stochastic-heun", "exact") else own
