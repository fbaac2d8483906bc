"""The clock by which a path of laws is run at constant Wasserstein speed, and the process run by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.base import Channel
from infotherm.core.estimate import Estimate, exact
from infotherm.core.quadrature import gauss_legendre, integrate
from infotherm.core.tensors import as_tensor, validating
from infotherm.distributions.base import Distribution
from infotherm.processes import AffineProcess
from infotherm.transport.path_speeds import along_path, path_setting, positive_duration, speed_at

_PANELS = 32
_NODES = 12
_STEPS = 40


@dataclass(frozen=True, eq=False)
class ConstantSpeedClock:
    """When a path of laws has covered which fraction of its length: the clock by which its speed is constant.

    Attributes
    ----------
    process, p0, start, duration
        The path, from the law p0 at the time `start`.
    length
        Its length L.
    action
        Its action as it is run, the integral of the squared speed.
    least_action
        L^2 / duration, that of the same path at constant speed: the least of all ways to run it.
    edges, covered
        Times between which the length is tabulated, and the length up to each.
    """

    process: AffineProcess
    p0: Distribution
    start: float
    duration: float
    length: Estimate
    action: Estimate
    least_action: Estimate
    edges: Tensor
    covered: Tensor

    def fraction(self, t: Any) -> Estimate:
        """The fraction of the length covered at time t, units "1".

        Raises
        ------
        ValueError
            For a time outside of the path.
        """
        t = as_tensor(t, "t", dtype=torch.float64)
        if validating(t) and not bool(((t >= self.start) & (t <= self.start + self.duration)).all()):
            raise ValueError(f"t must lie in [{self.start}, {self.start + self.duration}]; got {t.tolist()}")
        panel = (torch.searchsorted(self.edges, t.contiguous(), right=True) - 1).clamp(0, len(self.edges) - 2)
        value = (self.covered[panel] + self._within(self.edges[panel], t)) / self.length.value
        return exact(value, error=2 * self.length.error / self.length.value, units="1")

    def time(self, fraction: Any) -> Estimate:
        """The time at which a fraction of the length is covered, units "time".

        Its error is that of the length over the speed there: where the law stands still the time is not defined.

        Raises
        ------
        ValueError
            For a fraction outside [0, 1].
        """
        fraction = as_tensor(fraction, "fraction", dtype=torch.float64)
        if validating(fraction) and not bool(((fraction >= 0) & (fraction <= 1)).all()):
            raise ValueError(f"fraction must lie in [0, 1]; got {fraction.tolist()}")
        target = fraction * self.covered[-1]
        panel = (torch.searchsorted(self.covered, target.contiguous(), right=True) - 1).clamp(0, len(self.edges) - 2)
        origin, rest = self.edges[panel], target - self.covered[panel]
        low, high = origin, self.edges[panel + 1]
        step = self.covered[panel + 1] - self.covered[panel]
        t = origin + (high - origin) * torch.where(step > 0, rest / torch.where(step > 0, step, 1.0), 0.0)
        eps = torch.finfo(torch.float64).eps
        for _ in range(_STEPS):
            miss, speed = self._within(origin, t) - rest, self.speed(t)
            low, high = torch.where(miss <= 0, t, low), torch.where(miss > 0, t, high)
            newton = t - miss / torch.where(speed > 0, speed, torch.inf)
            inside = (newton >= low) & (newton <= high)
            following = torch.where(inside, newton, 0.5 * (low + high))
            moved = (following - t).abs()
            t = following
            if bool((moved <= 4 * eps * (self.start + self.duration)).all()):
                break
        miss, speed = (self._within(origin, t) - rest).abs(), self.speed(t)
        spread = torch.where(speed > 0, (2 * self.length.error + miss) / speed.clamp(min=1e-300), torch.inf)
        error = torch.minimum(spread + 4 * eps * t.abs(), torch.full_like(t, self.duration))
        return Estimate(t, error=error, method="quadrature", units="time")

    def retimed(self) -> RetimedProcess:
        """The process that takes the same path at constant speed, on [0, duration].

        Its law at time t is that of the path at `time(t / duration)`. It produces as much entropy as the process itself
        and has the least action, L^2 / duration.
        """
        return RetimedProcess(self)

    def _within(self, origin: Tensor, t: Tensor) -> Tensor:
        """The length from the edge of a panel to t."""
        nodes, weights = gauss_legendre(_NODES)
        shape = (-1, *[1] * t.ndim)
        half = 0.5 * (t - origin)
        places = origin + half * (1 + nodes.reshape(shape))
        return half * (weights.reshape(shape) * self.speed(places)).sum(0)

    def speed(self, t: Tensor) -> Tensor:
        """The Wasserstein speed of the path at times t."""
        begin = torch.tensor(self.start, dtype=torch.float64)
        return speed_at(self.process, self.p0, begin, t, 1e-11).value.to(torch.float64)


class RetimedProcess(AffineProcess):
    """A process run by another clock: its drift and D at the clock's time, times the clock's rate.

    Its transitions are those of the process between the clock's times.

    Parameters
    ----------
    clock
        The clock of the path that is to be run at constant speed.
    """

    def __init__(self, clock: ConstantSpeedClock) -> None:
        self.clock = clock
        self.dim, self.isotropic = clock.process.dim, clock.process.isotropic
        self.horizon = clock.duration
        eps = 4 * torch.finfo(torch.float64).eps
        inverted = float(clock.length.error / clock.length.value.detach())
        self.transition_accuracy = clock.process.transition_accuracy + 4 * max(inverted, eps)
        self._latest: tuple[Tensor, Tensor] | None = None

    def _place(self, t: Any) -> Tensor:
        (t,) = self._times(t=t)
        # drift, offset and noise are asked for at the same times, one after the other
        if self._latest is None or not torch.equal(self._latest[0], t):
            self._latest = t.clone(), self.clock.time((t / self.clock.duration).clamp(0.0, 1.0)).value
        return self._latest[1]

    def _place_and_rate(self, t: Any) -> tuple[Tensor, Tensor]:
        place = self._place(t)
        speed = self.clock.speed(place)
        if validating(speed) and not bool((speed > 0).all()):
            raise ValueError("the path stands still at this time: no rate gives it a constant speed")
        return place, self.clock.length.value.detach() / (self.clock.duration * speed)

    def transition(self, t0: Any, t1: Any) -> Channel:
        """The channel between the clock's times for t0 and t1."""
        t0, t1 = self._interval(t0, t1)
        return self.clock.process.transition(self._place(t0), self._place(t1))

    def drift_matrix(self, t: Any, dim: int | None = None) -> Tensor:
        """A(t), shape (..., D, D).

        Raises
        ------
        ValueError
            Where the path stands still.
        """
        place, rate = self._place_and_rate(t)
        return rate[..., None, None] * self.clock.process.drift_matrix(place, dim)

    def drift_offset(self, t: Any, dim: int | None = None) -> Tensor:
        """c(t), shape (..., D).

        Raises
        ------
        ValueError
            Where the path stands still.
        """
        place, rate = self._place_and_rate(t)
        return rate[..., None] * self.clock.process.drift_offset(place, dim)

    def diffusion(self, t: Any) -> Tensor:
        """sigma(t): shape (...), or (..., D, M).

        Raises
        ------
        ValueError
            Where the path stands still.
        """
        place, rate = self._place_and_rate(t)
        noise = self.clock.process.diffusion(place)
        return rate.sqrt()[(...,) + (None,) * (noise.ndim - rate.ndim)] * noise

    def integrated_diffusion(self, t0: Any, t1: Any) -> Tensor:
        """That of the process between the clock's times: a clock changes when noise acts, not how much."""
        t0, t1 = self._interval(t0, t1)
        return self.clock.process.integrated_diffusion(self._place(t0), self._place(t1))


def constant_speed_clock(
    process: AffineProcess, p0: Any, duration: Any, *, start: Any = None, tolerance: float = 1e-11
) -> ConstantSpeedClock:
    """The clock by which the law of a process moves at constant Wasserstein speed: its best noise schedule.

    Of all ways to run a path in a given time, constant speed has the least action, L^2 / T (Cauchy-Schwarz). Only a
    geodesic has L = W2, and then `optimal_protocol` says which drive takes it.

    Parameters
    ----------
    process, p0, duration, start
        As for `path_length`, without batch.
    tolerance
        Relative tolerance of the lengths.

    Returns
    -------
    ConstantSpeedClock
        With `.time(fraction)`, `.fraction(t)`, `.retimed()`, `.length`, `.action` and `.least_action`.

    Raises
    ------
    ValueError
        As `path_length`; for a batch, or a path that does not move.

    References
    ----------
    Ikeda, Uda, Okanohara and Ito, Phys. Rev. X 15 (2025) 031031 (optimal noise schedules).

    Examples
    --------
    >>> from infotherm.distributions import Gaussian
    >>> from infotherm.processes import OrnsteinUhlenbeck
    >>> clock = constant_speed_clock(OrnsteinUhlenbeck(rate=1.0, sigma=2.0**0.5), Gaussian(2.0, 1.0), 1.0)
    >>> clock.time(0.5).value  # 1 - e^-t is half of 1 - e^-1
    tensor(0.3799, dtype=torch.float64)
    """
    process, law, begin = path_setting(process, p0, start)
    span = positive_duration(duration, law)
    if law.batch_shape or begin.ndim or span.ndim or process.batch_shape:
        raise ValueError("a clock is that of one path: process, p0, start and duration must have no batch")
    root = span.sqrt() * torch.linspace(0.0, 1.0, _PANELS + 1, dtype=torch.float64, device=law.device)
    edges = begin + root.square()
    edges[-1] = begin + span

    def speed(t: Tensor) -> Tensor:
        return speed_at(process, law, begin, t, 0.1 * tolerance).value.to(torch.float64)

    length = along_path(process, law, begin, span, 1, tolerance)
    if not float(length.value) > 1e3 * float(length.error):
        raise ValueError(f"the path must move; its length is {float(length.value)} up to {float(length.error)}")
    floor = tolerance * float(length.value)
    steps = integrate(speed, edges[:-1], edges[1:], rtol=tolerance, atol=floor / _PANELS)
    covered = torch.cat([torch.zeros_like(span)[None], steps.value.detach().cumsum(0)])
    apart = (covered[-1] - length.value.detach()).abs()
    found = Estimate(
        length.value, error=length.error + steps.error.sum() + apart, method="quadrature", units="1", info=length.info
    )
    action = along_path(process, law, begin, span, 2, tolerance)
    return ConstantSpeedClock(
        process, law, float(begin), float(span), found, action, found.square() / span, edges, covered
    )
