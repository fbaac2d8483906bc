r"""Slow driving: thermodynamic length of a path of parameters, and the schedule that dissipates least.

A change of parameters c(t) over a long duration tau costs W_ex = int c'^T zeta(c) c' dt beyond the free energy, up to
corrections of order 1/tau^2, and along a given path never less than L^2 / tau with the length
L = int sqrt(c'^T zeta c') dt (Cauchy-Schwarz), reached at constant speed in the metric zeta.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import Integral, integrate
from infotherm.core.tensors import as_tensor, require_finite, require_shape
from infotherm.thermodynamics.friction import UNITS

Friction = Callable[[Tensor], Any] | Any
Path = Callable[[Tensor], Tensor] | Any
_STEPS = 60


@dataclass(frozen=True)
class Schedule:
    """When to be where on a path, so that slow driving dissipates least.

    Attributes
    ----------
    times
        Fractions of the duration, equally spaced from 0 to 1, (n,).
    positions
        The place s in [0, 1] on the path at each time, (n,).
    parameters
        The parameters there, (n, P).
    length
        The thermodynamic length L of the path: the excess work over a long duration tau is L^2 / tau.
    """

    times: Tensor
    positions: Tensor
    parameters: Tensor
    length: Estimate


def thermodynamic_length(friction: Friction, path: Path, *, rtol: float = 1e-10) -> Estimate:
    r"""The thermodynamic length of a path of parameters, int sqrt(c'^T zeta(c) c') ds.

    Parameters
    ----------
    friction
        A function of parameters (M, P) that gives tensors (M, P, P), as a Tensor or an Estimate; or one tensor.
    path
        A function of s in [0, 1], (M,) -> (M, P), differentiable; or points (n, P) joined by straight lines.
    rtol
        Relative accuracy of the quadrature.

    Returns
    -------
    Estimate
        In sqrt(energy time), by quadrature; kind that of the friction.

    Raises
    ------
    ValueError
        For shapes that do not fit, or a friction tensor with a negative direction along the path.

    References
    ----------
    Crooks, Phys. Rev. Lett. 99 (2007) 100602; Sivak and Crooks, Phys. Rev. Lett. 108 (2012) 190602.

    Examples
    --------
    A trap of mobility 1 that is stiffened from 1 to 4 at T = 1, 1/sqrt(k_0) - 1/sqrt(k_1):

    >>> thermodynamic_length(lambda k: 0.25 / k[..., None] ** 3, [[1.0], [4.0]]).value
    tensor(0.5000, dtype=torch.float64)
    """
    metric = _Metric(friction, path)
    integral = integrate(metric.speed, 0.0, 1.0, breakpoints=metric.corners, rtol=rtol)
    return metric.estimate(integral, metric.worst_speed, f"sqrt({UNITS})")


def slow_excess_work(friction: Friction, path: Path, duration: float, *, rtol: float = 1e-10) -> Estimate:
    r"""The excess work of driving at a constant rate in s = t / duration, int c'^T zeta(c) c' ds / duration.

    Leading order in 1/duration; the exact excess work of a finite duration may be larger or smaller.

    Parameters
    ----------
    friction, path, rtol
        As in `thermodynamic_length`; the path is the schedule, s the fraction of the duration.
    duration
        Positive.

    Returns
    -------
    Estimate
        In units of energy, by quadrature; the error is that of the integral, not of the expansion.

    Raises
    ------
    ValueError
        As `thermodynamic_length`, and for a duration that is not positive.

    References
    ----------
    Sivak and Crooks, Phys. Rev. Lett. 108 (2012) 190602.

    Examples
    --------
    >>> slow_excess_work([[1.0]], [[0.0], [2.0]], 10.0).value
    tensor(0.4000, dtype=torch.float64)
    """
    if not 0 < duration < math.inf:
        raise ValueError(f"duration must be positive and finite; got {duration}")
    metric = _Metric(friction, path)
    integral = integrate(metric.power, 0.0, 1.0, breakpoints=metric.corners, rtol=rtol)
    found = metric.estimate(integral, metric.worst_power, "energy") / duration
    return Estimate(
        found.value, stderr=found.stderr, error=found.error, kind=found.kind, method="quadrature", units="energy"
    )


def optimal_schedule(friction: Friction, path: Path, n_times: int = 101, *, rtol: float = 1e-10) -> Schedule:
    r"""The schedule along a path that dissipates least when driving is slow: constant speed in the metric zeta.

    Parameters
    ----------
    friction, path, rtol
        As in `thermodynamic_length`.
    n_times
        Number of times, at least 2.

    Returns
    -------
    Schedule
        `positions` solve L(s) = L t to about rtol.

    Raises
    ------
    ValueError
        As `thermodynamic_length`, and for a path of no length.

    Examples
    --------
    1/sqrt(k) changes at a constant rate:

    >>> found = optimal_schedule(lambda k: 0.25 / k[..., None] ** 3, [[1.0], [4.0]], 5)
    >>> found.parameters.flatten() ** -0.5
    tensor([1.0000, 0.8750, 0.7500, 0.6250, 0.5000], dtype=torch.float64)
    """
    if n_times < 2:
        raise ValueError(f"n_times must be at least 2; got {n_times}")
    metric = _Metric(friction, path)
    length = thermodynamic_length(friction, path, rtol=rtol)
    total = length.value.detach()
    if not float(total) > 0:
        raise ValueError("path must have a positive thermodynamic length: nothing is dissipated along this one")
    times = torch.linspace(0.0, 1.0, n_times, dtype=total.dtype, device=total.device)
    inner = total * times[1:-1]
    low, high = torch.zeros_like(inner), torch.ones_like(inner)
    s = times[1:-1].clone()
    with torch.no_grad():
        for _ in range(_STEPS if len(inner) else 0):
            # Newton's step, and bisection where it leaves the bracket
            reached = integrate(metric.speed, torch.zeros_like(s), s, breakpoints=metric.corners, rtol=rtol).value
            low, high = torch.where(reached < inner, s, low), torch.where(reached < inner, high, s)
            speed = metric.speed(s)
            step = s - (reached - inner) / speed
            step = torch.where((step > low) & (step < high) & (speed > 0), step, (low + high) / 2)
            done = bool(((step - s).abs() <= rtol).all())
            s = step
            if done:
                break
        ends = torch.tensor([0.0, 1.0], dtype=s.dtype, device=s.device)
        positions = torch.cat([ends[:1], s, ends[1:]])
        return Schedule(times, positions, metric.path(positions), length)


class _Metric:
    """The friction along a path, and the largest errors of what was asked of it."""

    def __init__(self, friction: Friction, path: Path) -> None:
        self.corners: Tensor | None = None
        self.kind = "exact"
        self.worst_speed = self.worst_power = self.spread_speed = self.spread_power = 0.0
        self._friction = friction if callable(friction) else _constant(friction)
        self._velocity: Callable[[Tensor], Tensor] | None = None
        self.path: Callable[[Tensor], Tensor]
        if callable(path):
            self.path = path  # type: ignore[assignment]
        else:
            points = require_finite(as_tensor(path, "path"), "path")
            if require_shape(points, ("n", "P"), "path")["n"] < 2:
                raise ValueError(f"path must have at least 2 points; got {len(points)}")
            pieces = len(points) - 1
            self.corners = torch.linspace(0.0, 1.0, pieces + 1, dtype=points.dtype)[1:-1] if pieces > 1 else None

            def piece(s: Tensor) -> Tensor:
                return (s.detach() * pieces).long().clamp(0, pieces - 1)

            def along(s: Tensor) -> Tensor:
                k = piece(s)
                return points[k] + (s * pieces - k)[..., None] * (points[k + 1] - points[k])

            self.path, self._velocity = along, lambda s: pieces * (points[piece(s) + 1] - points[piece(s)])

    def power(self, s: Tensor) -> Tensor:
        """c'^T zeta c' at places s of any shape."""
        flat = s.reshape(-1)
        c, velocity = self._moving(flat)
        found = self._friction(c)
        if isinstance(found, Estimate):
            self.kind = found.kind if found.kind != "exact" else self.kind
            zeta = found.value
            sizes = velocity.abs()
            for name, slip in (("worst", found.error), ("spread", found.stderr)):
                moved = (sizes[..., :, None] * sizes[..., None, :] * slip.expand(zeta.shape)).sum((-2, -1)).detach()
                self._largest(f"{name}_power", moved)
                slope = (velocity[..., None, :] @ zeta.detach() @ velocity[..., :, None])[..., 0, 0].clamp(min=0).sqrt()
                self._largest(f"{name}_speed", torch.minimum(moved.sqrt(), moved / slope.clamp(min=1e-300)))
        else:
            zeta = as_tensor(found, "friction").to(c)
        size = c.shape[-1]
        if zeta.shape[-2:] != (size, size):
            raise ValueError(f"friction must have shape (..., {size}, {size}); got {tuple(zeta.shape)}")
        value = (velocity[..., None, :] @ zeta @ velocity[..., :, None])[..., 0, 0]
        floor = -1e-12 * (velocity.square().sum(-1) * zeta.abs().amax((-2, -1)))
        if bool((value < floor).any()):
            raise ValueError(f"friction must have no negative direction; got {value.min().item():.3g} along the path")
        return value.clamp(min=0).reshape(s.shape)

    def speed(self, s: Tensor) -> Tensor:
        """sqrt(c'^T zeta c')."""
        return self.power(s).sqrt()

    def _moving(self, s: Tensor) -> tuple[Tensor, Tensor]:
        if self._velocity is not None:
            return self.path(s), self._velocity(s)
        with torch.enable_grad():
            leaf = s.detach().requires_grad_()
            c = self.path(leaf)
            require_shape(c, (len(s), "P"), "path")
            slopes = [torch.autograd.grad(c[:, i].sum(), leaf, retain_graph=True)[0] for i in range(c.shape[-1])]
        return c.detach(), torch.stack(slopes, -1)

    def _largest(self, name: str, sizes: Tensor) -> None:
        setattr(self, name, max(getattr(self, name), float(sizes.max()) if sizes.numel() else 0.0))

    def estimate(self, integral: Integral, worst: float, units: str) -> Estimate:
        """The integral over [0, 1], with what the errors of the friction can add."""
        spread = self.spread_power if units == "energy" else self.spread_speed
        info = {} if integral.converged else {"converged": False}
        return Estimate(
            integral.value,
            stderr=spread,
            error=integral.error + worst,
            kind=self.kind,
            method="quadrature",
            units=units,
            info=info,
        )


def _constant(friction: Any) -> Callable[[Tensor], Any]:
    if isinstance(friction, Estimate):
        return lambda c: friction
    tensor = as_tensor(friction, "friction")
    return lambda c: tensor.to(c)
