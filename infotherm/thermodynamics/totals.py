"""Entropy production over a time: the balance of system and medium, and the integral of the rate, which must agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.posterior import like
from infotherm.core.estimate import Estimate, stack
from infotherm.core.quadrature import integrate
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.tensors import Generator, as_tensor, require_finite, validating
from infotherm.distributions import Discrete, Gaussian, GaussianMixture, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.information.entropies import entropy
from infotherm.processes import AffineProcess, Langevin, Process
from infotherm.thermodynamics.rates import (
    as_process,
    check_batches,
    fields,
    first_time,
    force_accuracy,
    infinite,
    needs_atoms,
    needs_score,
    rate_quantity,
    scalar_rate,
)
from infotherm.thermodynamics.score_mismatch import gaussian_mismatch
from infotherm.thermodynamics.system_and_medium import (
    coupled_balance,
    gaussian_balance,
    medium_entropy,
    transition_of,
)

_GRID = 33  # times at which a total is resolved, unless asked for others


total_quantity = Quantity(
    "entropy_production",
    accepts=(as_process, as_distribution),
    arguments=("process", "p0"),
    doc="Entropy production of a process over a duration from the law p0, in nats.",
)


def entropy_production(
    process: Process,
    p0: Any,
    duration: Any,
    *,
    method: str = "auto",
    start: Any = None,
    times: Any = None,
    **options: Any,
) -> Estimate:
    r"""The entropy produced over `duration` from the law p0, S_tot = integral of the entropy production rate, in nats.

    Two routes that must agree: the integral of the rate over time, and the balance of system and medium,
    S_tot = h(p_T) - h(p_0) + medium, which for a static equilibrium is KL(p_0 || p_eq) - KL(p_T || p_eq) and for pure
    noise h(p_T) - h(p_0).

    Parameters
    ----------
    process
        An affine diffusion, a MarkovJump, or a MarkovChain, whose duration is a number of steps.
    p0
        The law at the time `start`, any batch.
    duration
        A number or a tensor that broadcasts against the batch of p0.
    method
        "closed-form" (the balance, for Gaussians with a static gradient force; jumps at constant rates, chains),
        "quadrature" (Gaussian: integral of the rate; jumps: the balance for driven rates, or with route="rate" the
        integral of the rate; other laws up to D = 2: the balance by quadrature, or with route="rate" the integral of
        the rate, D = 1; a Langevin process with D <= 2 on a grid, by either route) or "monte-carlo" (the balance over
        pairs of end points).
    start
        Time at which the law is p0; the process's first time unless given.
    times
        Times at which `info["rate"]` resolves the total; 33 from start to end unless given.
    **options
        tolerance and route (quadrature), n_samples and generator (Monte Carlo).

    Returns
    -------
    Estimate
        In nats. `info["rate"]` is the rate at `info["times"]` (times first, then the batch); `info["system"]` and
        `info["medium"]` are the two parts where the balance was taken. Infinite for a law without density: noise
        spreads it at once, and nothing runs backwards.

    Raises
    ------
    ValueError
        As `entropy_production_rate`; for a negative duration, or one that ends after the process.

    References
    ----------
    Premkumar, "Neural entropy", eq. 6; Vaikuntanathan and Jarzynski, EPL 87 (2009) 60005 (static p_eq).

    Examples
    --------
    >>> from infotherm.processes import VariancePreserving
    >>> entropy_production(VariancePreserving(), Gaussian(1.5, 0.25), 1.0).value
    tensor(1.4235, dtype=torch.float64)
    """
    process, p0 = as_process(process), as_distribution(p0, "p0")
    begin, passed = interval(process, p0, duration, start)
    check_batches(process, p0, "p0", duration=passed)
    if times is not None:
        times = _times_between(times, begin, begin + passed)
    homogeneous = process.start is None  # then only the time passed counts, and a late start loses no digits of it
    origin = begin if homogeneous else torch.zeros_like(begin)
    if times is not None:
        times = torch.minimum((times - origin).clamp(min=0.0), passed) if homogeneous else times
        options["times"] = times
    start, end = begin - origin, begin - origin + passed
    total = total_quantity(process, p0, start, end, method=method, **options)
    if "times" in total.info:
        total = replace(total, info={**total.info, "times": total.info["times"] + origin})
    return total if homogeneous else _with_lost_time(total, process, p0, passed, start, end)


# -- rules of the total ------------------------------------------------------------------------------------------------


def _needs_static_gradient(process: AffineProcess, p0: Distribution, *rest: Any) -> None:
    if process.static_force(p0.dim) is None:
        raise NotApplicable("the force is not a gradient that stays the same: no detailed balance, or driven")


def _needs_quadrature_entropy(process: AffineProcess, p0: Distribution, *rest: Any, route: str = "balance") -> None:
    if route not in ("balance", "rate"):
        raise ValueError(f"route must be 'balance' or 'rate'; got {route!r}")
    _needs_law_in_time(process, p0)
    most = 1 if route == "rate" else 2
    if p0.dim > most:
        raise NotApplicable(f"quadrature over x needs D <= {most} on this route; p0 has D = {p0.dim}")


def _needs_law_in_time(process: AffineProcess, p0: Distribution, *rest: Any) -> None:
    needs_score(process, p0)
    if not isinstance(p0, Gaussian | GaussianMixture) and not hasattr(p0, "as_gaussian_mixture"):
        raise NotApplicable(
            "the law at later times is known for Gaussians and mixtures of them only: wrap samples in Empirical"
        )


@total_quantity.rule(AffineProcess, Gaussian, method="closed-form", when=_needs_static_gradient)
def gaussian_total(process: AffineProcess, p0: Gaussian, start: Tensor, end: Tensor, *, times: Any = None) -> Estimate:
    """KL(p_0 || p_eq) - KL(p_T || p_eq), as the balance of system and medium."""
    force = process.static_force(p0.dim)
    assert force is not None
    force = like(force[0], p0.mean), like(force[1], p0.mean)
    still = like(end - start, p0.mean) == 0
    channel = transition_of(process, start, end)
    total, system, medium = gaussian_balance(p0, channel, force, still, process.transition_accuracy)
    return resolved(total, process, p0, start, end, times, {"system": system, "medium": medium})


@total_quantity.rule(AffineProcess, Gaussian, method="quadrature")
def gaussian_integral(
    process: AffineProcess, p0: Gaussian, start: Tensor, end: Tensor, *, times: Any = None, tolerance: float = 1e-12
) -> Estimate:
    """The integral over time of the closed-form rate; infinite where p0 is singular."""
    one = torch.eye(p0.dim, dtype=p0.dtype, device=p0.device)
    singular = p0.degenerate
    regular = Gaussian.from_factor(p0.mean, torch.where(singular[..., None, None], one, p0.scale_tril))
    accuracy = 4 + process.transition_accuracy / torch.finfo(p0.dtype).eps

    def rate(t: Tensor) -> Estimate:
        law = law_at(process, regular, start, t)
        diffusion, matrix, offset = fields(process, law, t)
        exactness = force_accuracy(process, diffusion)
        return gaussian_mismatch(law, diffusion, matrix, offset, accuracy=exactness, law_accuracy=accuracy)

    process.force(start, p0.dim)  # what is infinite at the start is refused before it is integrated
    found = integrated(rate, p0, start, end, tolerance)
    lost = singular & (end > start)
    total = Estimate(
        torch.where(lost, torch.inf, found.value),
        error=torch.where(lost, torch.finfo(p0.dtype).tiny, found.error),
        method="quadrature",
        info=found.info,
    )
    return resolved(total, process, p0, start, end, times, {})


@total_quantity.rule(AffineProcess, Distribution, method="closed-form", when=needs_atoms)
def atomic_total(process: AffineProcess, p0: Distribution, start: Tensor, end: Tensor) -> Estimate:
    """Infinite: h(p_0) = -infinity. There is no rate beside it: that is infinite at the start."""
    return infinite(p0, torch.broadcast_shapes(p0.batch_shape, end.shape))


@total_quantity.rule(AffineProcess, Distribution, method="quadrature", when=_needs_quadrature_entropy)
def balanced_total(
    process: AffineProcess,
    p0: Distribution,
    start: Tensor,
    end: Tensor,
    *,
    times: Any = None,
    tolerance: float = 1e-11,
    route: str = "balance",
) -> Estimate:
    """Entropies by quadrature over x plus the medium in closed form, or the integral of the rate over time."""
    if route == "rate":

        def rate(t: Tensor) -> Estimate:
            return scalar_rate(process, law_at(process, p0, start, t), t, tolerance=tolerance / 10)

        return resolved(integrated(rate, p0, start, end, tolerance), process, p0, start, end, times, {})
    final = transition_of(process, start, end).output(p0)
    system = entropy(final, method="quadrature") - entropy(p0, method="quadrature")
    medium = medium_entropy(process, (p0.mean, p0.covariance), start, end)
    return resolved(system + medium, process, p0, start, end, times, {"system": system, "medium": medium})


@total_quantity.rule(AffineProcess, Distribution, method="monte-carlo", when=_needs_law_in_time)
def sampled_total(
    process: AffineProcess,
    p0: Distribution,
    start: Tensor,
    end: Tensor,
    *,
    times: Any = None,
    n_samples: int = 10_000,
    generator: Generator = None,
) -> Estimate:
    """The balance over pairs (x_0, x_T) drawn together."""
    total = coupled_balance(process, p0, start, end, n_samples, generator)
    return resolved(total, process, p0, start, end, times, {}, n_samples=n_samples, generator=generator)


def interval(process: Process, p0: Distribution, duration: Any, start: Any) -> tuple[Tensor, Tensor]:
    """Start and duration as float64 tensors on the device of p0, of one shape."""
    duration = as_tensor(duration, "duration", dtype=torch.float64, device=p0.device)
    require_finite(duration, "duration")
    if validating(duration) and bool((duration < 0).any()):
        raise ValueError(f"duration must be >= 0; got {duration.min().item()}")
    begin = as_tensor(first_time(process) if start is None else start, "start", dtype=torch.float64, device=p0.device)
    begin, duration = torch.broadcast_tensors(require_finite(begin, "start"), duration)
    return begin, duration


def _times_between(times: Any, start: Tensor, end: Tensor) -> Tensor:
    """The times at which a total is resolved, float64 of shape (n, ...) with as many axes behind as `end` has."""
    times = require_finite(as_tensor(times, "times", dtype=torch.float64, device=end.device), "times")
    if times.ndim == 0:
        raise ValueError("times must have shape (n, ...), one row for each time; got a single number")
    times = times.reshape(*times.shape, *[1] * (end.ndim + 1 - times.ndim))
    if validating(times) and bool(((times < start) | (times > end)).any()):
        raise ValueError(
            f"times must lie between the start and the end of every member of the batch, {start.max().item()} and "
            f"{end.min().item()}; got times from {times.min().item()} to {times.max().item()}"
        )
    return times


def law_at(process: Process, p0: Distribution, start: Tensor, t: Tensor) -> Any:
    """The law at the times t, when that at the time `start` is p0."""
    return process.transition(start.expand(t.shape) if start.ndim else start, t).output(p0)


def integrated(
    rate: Callable[[Tensor], Estimate], p0: Distribution, start: Tensor, end: Tensor, tolerance: float
) -> Estimate:
    """The integral of a rate over time, in the square root of the time passed: rates may diverge at the start.

    Narrow laws decay over times from the shortest on: panels begin at every factor of four.
    """
    middle = rate(start + 0.5 * (end - start))
    batch = middle.shape
    start, end = start.expand(batch), end.expand(batch)
    root_span = (end - start).sqrt()
    relative: list[Tensor] = []
    absolute: list[Tensor] = []

    def integrand(root: Tensor) -> Tensor:
        found = rate(start + root.square())
        value = found.value.detach()
        relative.append(torch.where(value > 0, found.error / torch.where(value > 0, value, 1.0), 0.0).amax())
        absolute.append((found.error * 2 * root.to(found.error)).amax())
        return 2 * root * found.value

    steps = torch.pow(2.0, -torch.arange(1.0, 16.0, dtype=torch.float64, device=end.device))
    breakpoints = steps.reshape(-1, *[1] * len(batch)) * root_span
    # where nothing is produced the integrand is rounding, and no relative tolerance can be met
    floor = float((middle.error.to(end) * (end - start)).min())
    integral = integrate(
        integrand, torch.zeros_like(root_span), root_span, breakpoints=breakpoints, rtol=tolerance, atol=floor
    )
    value = integral.value.to(p0.dtype)
    pointwise = torch.minimum(
        torch.stack(relative).amax() * value.detach().abs(), torch.stack(absolute).amax() * root_span.to(p0.dtype)
    )
    info = {} if integral.converged else {"converged": False}
    return Estimate(value, error=integral.error.to(p0.dtype) + pointwise, method="quadrature", info=info)


def resolved(
    total: Estimate,
    process: Process,
    p0: Distribution,
    start: Tensor,
    end: Tensor,
    times: Any,
    parts: dict[str, Any],
    **options: Any,
) -> Estimate:
    """The total with its rate over time beside it (drawn from seed 0 where it must be and the total was not)."""
    if times is None:
        fractions = torch.linspace(0.0, 1.0, _GRID, dtype=torch.float64, device=end.device)
        times = start + fractions.reshape(-1, *[1] * end.ndim) * (end - start)
    rate = _rates_over(process, p0, start, times, total.value.ndim, {"generator": 0} | options)
    info = {**total.info, "rate": rate, "times": times, **parts}
    return Estimate(
        total.value,
        stderr=total.stderr,
        error=total.error,
        kind=total.kind,
        method=total.method,
        units=total.units,
        streams=total.streams,
        info=info,
    )


def _with_lost_time(
    total: Estimate, process: Process, p0: Distribution, duration: Tensor, start: Tensor, end: Tensor
) -> Estimate:
    """The total with what the rounding of start + duration may have cost: the time lost, at the rate of either end."""
    if isinstance(process, Langevin):
        return total  # the error of its rule is far larger
    passed = end - start
    lost = ((start - (end - passed)) + (duration - passed)).abs()
    if not validating(lost) or not bool((lost > 0).any()):
        return total
    rates = _rates_over(process, p0, start, torch.stack([start, end]), total.value.ndim, {"generator": 0})
    slope = rates.upper_limit(0.01).amax(0)
    error = total.error + torch.where(total.value.isinf() | (lost == 0), 0.0, lost * slope).to(total.error)
    return replace(total, error=error)


def _rates_over(
    process: Process, p0: Distribution, start: Tensor, times: Tensor, ndim: int, options: dict[str, Any]
) -> Estimate:
    """The rate at the times (n, ...), which come in front of a batch of `ndim` dimensions."""
    grid = times.reshape(times.shape[0], *[1] * max(0, ndim + 1 - times.ndim), *times.shape[1:])
    if isinstance(p0, Gaussian | Discrete) or p0.dim == 1:
        return rate_quantity(process, law_at(process, p0, start, grid), grid, **options)
    # samples of a batch of mixtures would fill the memory: one time after the other
    return stack([rate_quantity(process, law_at(process, p0, start, t), t, **options) for t in grid])
