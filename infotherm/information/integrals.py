"""Sums over atoms and integrals over densities, for functions of the log-densities of several laws."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.cubature import integrate_box
from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import Integral, integrate
from infotherm.core.tensors import validating
from infotherm.distributions.base import Distribution
from infotherm.information.supports import Carrier, carrier

_TOLERANCES = {1: 1e-12, 2: 1e-8, 3: 1e-4}
_EVALUATIONS = 4_000_000

Integrand = Callable[..., Tensor]


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
            info["reason"] = "the integral seems to diverge: most of it lies at the end of the floating-point numbers"
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
    zero = torch.zeros(batch, dtype=dtype, device=laws[0].device)
    result = Total(zero, zero, True, 0)
    for owner in over:
        points = carriers[_place(owner, laws)].points
        if points is not None:
            seen = [carriers[_place(law, laws)] for law in over[: _place(owner, over)]]
            result = _plus(result, _sum(f, points.to(dtype), carriers, seen, batch))
    with_density = [law for law in over if carriers[_place(law, laws)].log_density is not None]
    if with_density:
        result = _plus(result, _integral(f, carriers, with_density, batch, dtype, tolerance, breakpoints, quiet))
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


def _sum(f: Integrand, points: Tensor, carriers: list[Carrier], seen: list[Carrier], batch: torch.Size) -> Total:
    """The sum over one law's atoms, without those that an earlier law has had."""
    x = aligned(points, 1, len(batch))
    logs = [c.log_mass(x) for c in carriers]
    fresh = torch.ones((), dtype=torch.bool, device=x.device)
    for earlier in seen:
        fresh = fresh & torch.isneginf(earlier.log_mass(x))
    y = torch.where(fresh, f(x, *logs), 0.0)
    infinite = torch.isposinf(y.detach()).any(0).expand(batch)
    y = torch.where(torch.isposinf(y), 0.0, y)
    noise = torch.where(fresh, _log_noise(f, x, logs), 0.0).sum(0)
    eps, tiny = torch.finfo(y.dtype).eps, torch.finfo(y.dtype).tiny
    tail = sum(c.tail for c in carriers)  # a log-ratio beyond the last atom listed is far below 1e3
    error = (noise + 4 * eps * y.detach().abs().sum(0) + 1e3 * tail + tiny).expand(batch)
    value = torch.where(infinite, math.inf, y.sum(0).expand(batch))
    return Total(value, torch.where(infinite, tiny, error), True, len(points))


def _integral(
    f: Integrand,
    carriers: list[Carrier],
    over: list[Distribution],
    batch: torch.Size,
    dtype: torch.dtype,
    tolerance: float | None,
    breakpoints: Tensor | None,
    quiet: bool,
) -> Total:
    dim = over[0].dim
    infinite = torch.zeros(batch, dtype=torch.bool, device=over[0].device)
    densities = [c.log_density or c.log_mass for c in carriers]
    on_atoms = [c.log_density is None for c in carriers]

    def logs_at(x: Tensor) -> list[Tensor]:
        # atoms are no part of the integral, whatever their log_prob says at a node
        return [
            torch.full(x.shape[:-1], -math.inf, dtype=x.dtype, device=x.device) if atomic else log(x)
            for log, atomic in zip(densities, on_atoms, strict=True)
        ]

    def g(x: Tensor) -> Tensor:
        nonlocal infinite
        y = f(x, *logs_at(x))
        unbounded = torch.isposinf(y.detach())
        if validating(y):
            infinite = infinite | unbounded.any(0)
        return torch.where(unbounded, 0.0, y)

    def noise(x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return _log_noise(f, x, logs_at(x), located=True).detach()

    tolerance = _TOLERANCES[dim] if tolerance is None else tolerance
    diverges = torch.zeros_like(infinite)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        if dim == 1:
            result, rounding = _on_line(g, noise, over, batch, dtype, tolerance, breakpoints)
            diverges = torch.isposinf(result.value.detach()) | _diverges(g, result, over, batch, dtype)
            diverges = diverges & ~infinite
        else:
            result, rounding = _in_space(g, noise, over, batch, dtype, tolerance)
    infinite = infinite | diverges
    value = torch.where(infinite, math.inf, result.value.expand(batch))
    error = torch.where(infinite, torch.finfo(dtype).tiny, (result.error + rounding).expand(batch))
    converged = result.converged or bool(infinite.all())
    if not converged and not quiet:
        warnings.warn(
            f"quadrature did not reach its relative tolerance {tolerance:g}: the error is {error.max().item():.3g} "
            f"(largest of the batch). Give tolerance=, or method='monte-carlo'",
            RuntimeWarning,
            stacklevel=2,
        )
    return Total(value, error, converged, result.evaluations, bool(diverges.any()))


def _on_line(
    g: Integrand,
    noise: Integrand,
    over: list[Distribution],
    batch: torch.Size,
    dtype: torch.dtype,
    tolerance: float,
    extra: Tensor | None,
) -> tuple[Integral, Tensor]:
    lower, upper = line_range(over, batch, dtype)
    points = line_breakpoints(over, batch, dtype)
    if extra is not None:
        points = torch.cat([points, extra.to(dtype)])
    rough = integrate(lambda u: noise(u.unsqueeze(-1)), lower, upper, breakpoints=points, rtol=1.0, max_panels=1)
    rounding = (rough.value + rough.error).clamp_min(_floor(dtype))
    # in units of its own rounding, so that one absolute tolerance serves the whole batch
    result = integrate(
        lambda u: g(u.unsqueeze(-1)) / rounding, lower, upper, breakpoints=points, rtol=tolerance, atol=1.0
    )
    return _rescaled(result, rounding), rounding


def _diverges(
    g: Integrand, result: Integral, over: list[Distribution], batch: torch.Size, dtype: torch.dtype
) -> Tensor:
    """Whether an integral over an infinite range owes what it has to the end of the floating-point numbers.

    Of a convergent power-law tail next to nothing lies beyond 1e40 times the width of the laws, and of that next to
    nothing beyond 1e80; of a divergent one (a logarithm is the slowest) the better part lies out there, each time.
    """
    lower, upper = line_range(over, batch, dtype)
    suspicious = not result.converged or result.evaluations > 4000 or bool((result.value.detach().abs() > 1e10).any())
    endless = torch.isinf(lower) | torch.isinf(upper)
    nowhere = torch.zeros(batch, dtype=torch.bool, device=lower.device)
    if not suspicious or not bool(endless.any()):
        return nowhere
    points = line_breakpoints(over, batch, dtype)
    points = torch.where(torch.isfinite(points), points, points.nanmedian(0).values)
    centre = points.median(0).values
    width = (points - centre).abs().median(0).values.clamp_min(torch.finfo(dtype).tiny)
    decades = math.log10(torch.finfo(dtype).max) / 7.7
    far, farther = width * 10**decades, width * 10 ** (2 * decades)
    marks = torch.stack([centre - farther, centre - far, centre + far, centre + farther])

    def tails(u: Tensor) -> Tensor:
        y, distance = g(u.unsqueeze(-1)).abs(), (u - centre).abs()
        return torch.stack([y, torch.where(distance > far, y, 0.0), torch.where(distance > farther, y, 0.0)], -1)

    with torch.no_grad():
        found = integrate(tails, lower, upper, breakpoints=torch.cat([points, marks]), rtol=1e-3, max_panels=1000).value
    whole, beyond, farthest = found.unbind(-1)
    return endless & (torch.isinf(whole) | (beyond > 1e-3 * whole) & (farthest > 0.5 * beyond))


def _floor(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).tiny ** 0.5


def _rescaled(result: Integral, unit: Tensor) -> Integral:
    return Integral(result.value * unit, result.error * unit, result.evaluations, result.converged)


def line_range(laws: Sequence[Distribution], batch: torch.Size, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The smallest interval that holds the supports of scalar laws, each end of the batch shape."""
    ends = [law.bounds() for law in laws]
    lower = torch.stack([low[..., 0].to(dtype).expand(batch) for low, _ in ends]).amin(0)
    upper = torch.stack([high[..., 0].to(dtype).expand(batch) for _, high in ends]).amax(0)
    return lower, upper


def line_breakpoints(laws: Sequence[Distribution], batch: torch.Size, dtype: torch.dtype) -> Tensor:
    """Breakpoints and finite ends of the supports of scalar laws, shape (P, *batch)."""
    points = []
    for law in laws:
        own = law.breakpoints().to(dtype)
        own = own.reshape(own.shape[0], *(1,) * (len(batch) - (own.ndim - 1)), *own.shape[1:])
        ends = [end[..., 0].to(dtype).expand(batch)[None] for end in law.bounds()]
        points += [own.expand(own.shape[0], *batch), *ends]
    return torch.cat(points)


def _in_space(
    g: Integrand, noise: Integrand, over: list[Distribution], batch: torch.Size, dtype: torch.dtype, tolerance: float
) -> tuple[Integral, Tensor]:
    """Two or three dimensions, in coordinates that whiten the laws where the range is all of space."""
    dim = over[0].dim
    shape = (*batch, dim)
    ends = [law.bounds() for law in over]
    lower = torch.stack([low.to(dtype).expand(shape) for low, _ in ends]).amin(0)
    upper = torch.stack([high.to(dtype).expand(shape) for _, high in ends]).amax(0)
    moments = [_moments(law, shape, dtype) for law in over]
    known = [m for m in moments if m is not None]
    unbounded = bool(torch.isinf(lower).all() & torch.isinf(upper).all())
    if known and unbounded:
        centre = sum(mean for mean, _ in known) / len(known)
        spread = sum(cov + _outer(mean - centre) for mean, cov in known) / len(known)
        factor, failed = torch.linalg.cholesky_ex(spread)
        if not bool(failed.any()):
            return _whitened(g, noise, known, centre, factor, tolerance)
    points = None
    if known:
        own = [mean + k * cov.diagonal(dim1=-2, dim2=-1).sqrt() for mean, cov in known for k in (-3.0, 0.0, 3.0)]
        points = torch.stack(
            [*own, *(torch.where(torch.isfinite(end), end, math.nan) for pair in ends for end in pair)]
        )
    return _box(g, noise, lower, upper, points, tolerance)


def _whitened(
    g: Integrand, noise: Integrand, known: list, centre: Tensor, factor: Tensor, tolerance: float
) -> tuple[Integral, Tensor]:
    jacobian = factor.diagonal(dim1=-2, dim2=-1).prod(-1)

    def there(u: Tensor) -> Tensor:
        return centre + (factor @ u.unsqueeze(-1)).squeeze(-1)

    points = []
    for mean, cov in known:
        at = torch.linalg.solve_triangular(factor, (mean - centre).unsqueeze(-1), upper=False).squeeze(-1)
        half = torch.linalg.solve_triangular(factor, torch.linalg.cholesky_ex(cov).L, upper=False)
        width = half.square().sum(-1).sqrt().nan_to_num()
        points += [at - 4 * width, at, at + 4 * width]
    infinite = torch.full_like(centre, math.inf)
    return _box(
        lambda u: g(there(u)) * jacobian,
        lambda u: noise(there(u)) * jacobian,
        -infinite,
        infinite,
        torch.stack(points),
        tolerance,
    )


def _box(
    g: Integrand, noise: Integrand, lower: Tensor, upper: Tensor, points: Tensor | None, tolerance: float
) -> tuple[Integral, Tensor]:
    rough = integrate_box(noise, lower, upper, breakpoints=points, rtol=1.0, max_evaluations=1)
    rounding = (rough.value + rough.error).clamp_min(_floor(rough.value.dtype))
    result = integrate_box(
        lambda x: g(x) / rounding,
        lower,
        upper,
        breakpoints=points,
        rtol=tolerance,
        atol=1.0,
        max_evaluations=_EVALUATIONS,
    )
    return _rescaled(result, rounding), rounding


def _moments(law: Distribution, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
    try:
        mean, cov = law.mean.detach().to(dtype), law.covariance.detach().to(dtype)
    except NotImplementedError:
        return None
    if not bool(torch.isfinite(mean).all() & torch.isfinite(cov).all()):
        return None
    return mean.expand(shape), cov.expand(*shape, shape[-1])


def _outer(x: Tensor) -> Tensor:
    return x.unsqueeze(-1) * x.unsqueeze(-2)


def _log_noise(f: Integrand, x: Tensor, logs: Sequence[Tensor], *, located: bool = False) -> Tensor:
    """How far f moves when the log-densities move by their rounding, to second order; no gradient.

    A log-density is known to 8 eps (1 + |log|), and, when `located`, to eps |d log/dx| |x|: the parameters that locate
    a law carry one unit in the last place each, so that two laws never lie exactly where they seem to.
    """
    eps = torch.finfo(x.dtype).eps
    shifts = []
    for log in logs:
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
                shift = shift + eps * (slope.nan_to_num().abs() * x.detach().abs()).sum(-1)
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
    return noise.detach()
