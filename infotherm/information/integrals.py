"""Sums over atoms and integrals over densities, for functions of the log-densities of several laws."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import integrate
from infotherm.core.tensors import validating
from infotherm.distributions.base import Distribution
from infotherm.information.boxes import in_space
from infotherm.information.lines import Integrand, line_breakpoints, line_range, on_line
from infotherm.information.supports import Carrier, carrier

_LOST = 0.1  # part of the mass of a density that nodes may miss (at singular ends) before an integral is distrusted
_TOLERANCES = {1: 1e-12, 2: 1e-8, 3: 1e-4}


@dataclass(frozen=True)
class Total:
    """A sum over atoms plus an integral over densities: value and error (of the batch shape), whether it converged.

    `divergent` says where the integral seems to diverge, by its tails: evidence, no proof.
    """

    value: Tensor
    error: Tensor
    converged: bool
    evaluations: int
    divergent: bool = False

    def estimate(self, *, units: str = "nat", **info: Any) -> Estimate:
        """As an Estimate by quadrature: exact, or "unknown" where the integral did not converge or seems to diverge."""
        if not self.converged:
            info["converged"] = False
        if self.divergent:
            info["reason"] = "the integral seems to diverge: its integrand overflows, or falls no faster than 1/|x|"
        return Estimate(
            self.value,
            error=self.error,
            kind="exact" if self.converged and not self.divergent else "unknown",
            method="quadrature",
            units=units,
            info={"evaluations": self.evaluations, **info},
        )


def total(
    f: Integrand,
    laws: Sequence[Distribution],
    *,
    over: Sequence[Distribution] | None = None,
    tolerance: float | None = None,
    breakpoints: Tensor | None = None,
    quiet: bool = False,
) -> Total:
    r"""The sum of f over the atoms of some laws plus the integral of f over their densities.

    sum over atoms f(x, log masses) + integral f(x, log densities) dx; the logarithm is -inf where a law has no mass (no
    density). Densities may have up to three coordinates.

    Parameters
    ----------
    f
        Maps points (M, *batch, D) and one logarithm (M, *batch) for each law to values (M, *batch). +inf at a point of
        positive mass makes the total infinite; it is never NaN.
    laws
        The laws whose logarithms are handed to f; their batch shapes broadcast.
    over
        The laws whose supports are covered (all by default): elsewhere f must vanish.
    tolerance
        Relative tolerance of the integral: 1e-12, 1e-8, 1e-4 in one, two, three dimensions by default.
    breakpoints
        Further points (P, *batch) at which a one-dimensional integrand has kinks.
    quiet
        Do not warn when the tolerance is missed.

    Returns
    -------
    Total
        Its error holds the quadrature error, the rounding of the sum and that of the log-densities themselves
        (8 eps (1 + |log|), and one unit in the last place of the parameters that locate them).
    """
    over = list(over or laws)
    batch = torch.broadcast_shapes(*(law.batch_shape for law in laws))
    carriers = [carrier(law) for law in laws]
    dtype = laws[0].dtype
    for law in laws[1:]:
        dtype = torch.promote_types(dtype, law.dtype)
    eps = [torch.finfo(law.dtype).eps for law in laws]  # a log-density is known to the precision of its own law
    zero = torch.zeros(batch, dtype=dtype, device=laws[0].device)
    result = Total(zero, zero, True, 0)
    for owner in over:
        points = carriers[_place(owner, laws)].points
        if points is not None:
            seen = [carriers[_place(law, laws)] for law in over[: _place(owner, over)]]
            own = carriers[_place(owner, laws)]
            result = _plus(result, _sum(f, points.to(dtype), carriers, own, seen, batch, eps))
    with_density = [law for law in over if carriers[_place(law, laws)].log_density is not None]
    if with_density:
        result = _plus(
            result, _integral(f, carriers, laws, with_density, batch, dtype, tolerance, breakpoints, quiet, eps)
        )
    return result


def _place(law: Distribution, laws: Sequence[Distribution]) -> int:
    return next(i for i, other in enumerate(laws) if other is law)


def _plus(first: Total, second: Total) -> Total:
    return Total(
        first.value + second.value,
        first.error + second.error,
        first.converged and second.converged,
        first.evaluations + second.evaluations,
        first.divergent or second.divergent,
    )


def aligned(x: Tensor, ahead: int, batch: int) -> Tensor:
    """Points (*lead, *own batch, D), with `ahead` leading axes, so that they broadcast with `batch` batch axes."""
    missing = batch - (x.ndim - 1 - ahead)
    return x.reshape(*x.shape[:ahead], *(1,) * missing, *x.shape[ahead:]) if missing > 0 else x


def _sum(
    f: Integrand,
    points: Tensor,
    carriers: list[Carrier],
    own: Carrier,
    seen: list[Carrier],
    batch: torch.Size,
    eps_of: list[float],
) -> Total:
    """The sum over one law's atoms, without those that an earlier law has had."""
    x = aligned(points, 1, len(batch))
    logs = [c.log_mass(x) for c in carriers]
    fresh = ~torch.isneginf(own.log_mass(x))  # an alphabet lists points of probability zero too
    for earlier in seen:
        fresh = fresh & torch.isneginf(earlier.log_mass(x))
    y = torch.where(fresh, f(x, *logs), 0.0)
    infinite = torch.isposinf(y.detach()).any(0).expand(batch)
    y = torch.where(torch.isposinf(y), 0.0, y)
    noise = torch.where(fresh, _log_noise(f, x, logs, eps_of), 0.0).sum(0)
    eps, tiny = torch.finfo(y.dtype).eps, torch.finfo(y.dtype).tiny
    tail = sum(c.tail for c in carriers)  # a log-ratio beyond the last atom listed is far below 1e3
    error = (noise + 4 * eps * y.detach().abs().sum(0) + 1e3 * tail + tiny).expand(batch)
    value = torch.where(infinite, math.inf, y.sum(0).expand(batch))
    return Total(value, torch.where(infinite, tiny, error), True, len(points))


def _integral(
    f: Integrand,
    carriers: list[Carrier],
    laws: Sequence[Distribution],
    over: list[Distribution],
    batch: torch.Size,
    dtype: torch.dtype,
    tolerance: float | None,
    breakpoints: Tensor | None,
    quiet: bool,
    eps: list[float],
) -> Total:
    dim = over[0].dim
    infinite = torch.zeros(batch, dtype=torch.bool, device=over[0].device)
    overflowed = infinite
    densities = [c.log_density or c.log_mass for c in carriers]
    on_atoms = [c.log_density is None for c in carriers]

    def logs_at(x: Tensor) -> list[Tensor]:
        # atoms are no part of the integral, whatever their log_prob says at a node
        return [
            torch.full(x.shape[:-1], -math.inf, dtype=x.dtype, device=x.device) if atomic else log(x)
            for log, atomic in zip(densities, on_atoms, strict=True)
        ]

    def g(x: Tensor) -> Tensor:
        nonlocal infinite, overflowed
        logs = logs_at(x)
        y = f(x, *logs)
        unbounded = torch.isposinf(y.detach())
        if validating(y):
            # finite logarithms whose ratio overflows prove nothing: the integral may be a huge number
            finite = torch.stack([torch.isfinite(log.detach()).expand_as(y) for log in logs]).all(0)
            overflowed = overflowed | (unbounded & finite).any(0)
            infinite = infinite | unbounded.any(0)
        # an element known to be infinite needs no more care
        return torch.where(unbounded | infinite, 0.0, y)

    def noise(x: Tensor) -> Tensor:
        g(x.detach())
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return _log_noise(f, x, logs_at(x), eps, located=True).detach()

    tolerance = _TOLERANCES[dim] if tolerance is None else tolerance
    diverges, unresolved = torch.zeros_like(infinite), torch.zeros_like(infinite)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        if dim == 1:
            result, rounding, diverges = on_line(g, noise, over, batch, dtype, tolerance, breakpoints)
            diverges = (diverges | torch.isposinf(result.value.detach())) & ~infinite
            smooth = [law for law in over if carriers[_place(law, laws)].points is None]
            unresolved = unresolved | _unresolved(smooth, batch, dtype)
        else:
            result, rounding = in_space(g, noise, over, laws, batch, dtype, tolerance)
    diverges, infinite = diverges | overflowed, infinite | diverges
    value = torch.where(infinite, math.inf, result.value.expand(batch))
    error = torch.where(infinite, torch.finfo(dtype).tiny, (result.error + rounding).expand(batch))
    error = torch.where(unresolved & ~infinite, math.inf, error)
    converged = (result.converged and not bool(unresolved.any())) or bool(infinite.all())
    if not converged and not quiet:
        warnings.warn(
            f"quadrature did not reach its relative tolerance {tolerance:g}: the error is {error.max().item():.3g} "
            f"(largest of the batch). Give tolerance=, or method='monte-carlo'",
            RuntimeWarning,
            stacklevel=2,
        )
    return Total(value, error, converged, result.evaluations, bool(diverges.any()))


def _unresolved(laws: list[Distribution], batch: torch.Size, dtype: torch.dtype) -> Tensor | bool:
    """Where nodes do not find the mass of a scalar density, such as one narrower than the rounding of its place."""
    missed: Tensor | bool = False
    for law in laws:
        lower, upper = line_range([law], batch, dtype)

        def density(u: Tensor, law: Distribution = law) -> Tensor:
            return law.log_prob(u.unsqueeze(-1)).exp().nan_to_num(nan=0.0, posinf=0.0)

        with torch.no_grad():
            points = line_breakpoints([law], batch, dtype)
            mass = integrate(density, lower, upper, breakpoints=points, rtol=_LOST / 10).value
        missed = missed | ~((mass - 1).abs() < _LOST)
    return missed


def _log_noise(
    f: Integrand, x: Tensor, logs: Sequence[Tensor], eps_of: Sequence[float], *, located: bool = False
) -> Tensor:
    """How far f moves when the log-densities move by their rounding, to second order; no gradient.

    A log-density is known to 8 eps (1 + |log|), eps that of its law, and, when `located`, to eps |d log/dx| |x|: the
    parameters that locate a law carry one unit in the last place each: two laws never lie exactly where they seem to.
    """
    shifts = []
    for log, eps in zip(logs, eps_of, strict=True):
        finite = torch.isfinite(log.detach())
        shift = 8 * eps * (1 + torch.where(finite, log.detach(), 0.0).abs())
        if located and log.requires_grad:
            try:
                (slope,) = torch.autograd.grad(
                    torch.where(finite, log, 0.0).sum(), x, retain_graph=True, allow_unused=True
                )
            except RuntimeError:  # log-densities computed outside torch
                slope = None
            if slope is not None:
                slope = slope.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
                shift = shift + eps * (slope.abs() * x.detach().abs()).sum(-1)
        shifts.append(torch.where(finite, shift, 0.0))
    with torch.enable_grad():
        free = [torch.where(torch.isfinite(log), log, log).detach().requires_grad_() for log in logs]
        y = f(x.detach(), *free)
        if y.requires_grad:
            slopes = torch.autograd.grad(torch.where(torch.isfinite(y), y, 0.0).sum(), free, allow_unused=True)
        else:
            slopes = (None,) * len(free)
    noise = torch.zeros_like(y)
    for slope, log, shift in zip(slopes, free, shifts, strict=True):
        first = 0.0 if slope is None else slope.nan_to_num(posinf=0.0, neginf=0.0).abs() * shift
        second = log.detach().exp().nan_to_num(posinf=0.0) * shift.square()
        noise = noise + first + second
    return noise.detach().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
