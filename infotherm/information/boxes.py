"""Integrals over two or three dimensions of functions of log-densities, in coordinates that whiten the laws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from infotherm.core.cubature import integrate_box
from infotherm.core.quadrature import Integral
from infotherm.core.whitened import integrate_whitened
from infotherm.distributions import Gaussian, GaussianMixture
from infotherm.distributions.base import Distribution
from infotherm.information.lines import Integrand, rescaled, smallest_unit

_EVALUATIONS = 4_000_000
_LATTICE_EVALUATIONS = 1_500_000
_LATTICE_TOLERANCE = 1e-8  # a lattice that resolves its integrand at all reaches this at little cost
_NARROWEST = 0.3  # of the whole: components wider than this are seen by the coarsest lattice


def in_space(
    g: Integrand,
    noise: Integrand,
    over: list[Distribution],
    laws: Sequence[Distribution],
    batch: torch.Size,
    dtype: torch.dtype,
    tolerance: float,
) -> tuple[Integral, Tensor]:
    """Two or three dimensions, in coordinates that whiten the laws where the range is all of space.

    Gaussians and mixtures without narrow components are summed over a lattice, which converges exponentially; what it
    does not resolve, and everything else, goes to adaptive boxes.
    """
    shape = (*batch, over[0].dim)
    ends = [law.bounds() for law in over]
    lower = torch.stack([low.to(dtype).expand(shape) for low, _ in ends]).amin(0)
    upper = torch.stack([high.to(dtype).expand(shape) for _, high in ends]).amax(0)
    moments = [_moments(law, shape, dtype) for law in over]
    known = [m for m in moments if m is not None]
    if known and bool((torch.isinf(lower) & torch.isinf(upper)).all()):
        centre = torch.stack([mean for mean, _ in known]).mean(0)
        spread = torch.stack([cov + _outer(mean - centre) for mean, cov in known]).mean(0)
        factor, failed = torch.linalg.cholesky_ex(spread)
        if not bool(failed.any()):
            if _is_smooth(over, laws, factor):
                for wanted in sorted({min(tolerance, _LATTICE_TOLERANCE), tolerance}):
                    result, rounding = _lattice(g, noise, centre, factor, wanted)
                    if result.converged:
                        return result, rounding
            return _whitened(g, noise, known, centre, factor, tolerance)
    finite = [torch.where(torch.isfinite(end), end, math.nan) for pair in ends for end in pair]
    centres = [mean for mean, _ in known]
    around = [mean + k * cov.diagonal(dim1=-2, dim2=-1).sqrt() for mean, cov in known for k in (-3.0, 3.0)]
    return _box(g, noise, lower, upper, finite + centres, around, tolerance)


def _is_smooth(over: list[Distribution], laws: Sequence[Distribution], factor: Tensor) -> bool:
    """Whether all laws are Gaussians or mixtures, and those that carry the integral nowhere narrow beside the whole."""
    if not all(isinstance(law, Gaussian | GaussianMixture) for law in laws):
        return False
    for law in over:
        covariances = law.covariances if isinstance(law, GaussianMixture) else law.covariance.unsqueeze(-3)
        halves, failed = torch.linalg.cholesky_ex(covariances.detach().to(factor))
        widths = torch.linalg.svdvals(torch.linalg.solve_triangular(factor.unsqueeze(-3), halves, upper=False))
        if bool(failed.any()) or not bool((widths > _NARROWEST).all()):
            return False
    return True


def _lattice(
    g: Integrand, noise: Integrand, centre: Tensor, factor: Tensor, tolerance: float
) -> tuple[Integral, Tensor]:
    """The integral over a whitened lattice, not converged where the lattice may not be fine enough."""
    rough = integrate_whitened(noise, centre, factor, rtol=1.0, max_evaluations=_LATTICE_EVALUATIONS)
    rounding = (rough.value + rough.error).clamp_min(smallest_unit(rough.value.dtype))
    result = integrate_whitened(
        lambda x: g(x) / rounding, centre, factor, rtol=tolerance, atol=1.0, max_evaluations=_LATTICE_EVALUATIONS
    )
    return rescaled(result, rounding), rounding


def _whitened(
    g: Integrand, noise: Integrand, known: list, centre: Tensor, factor: Tensor, tolerance: float
) -> tuple[Integral, Tensor]:
    jacobian = factor.diagonal(dim1=-2, dim2=-1).prod(-1)

    def there(u: Tensor) -> Tensor:
        return centre + (factor @ u.unsqueeze(-1)).squeeze(-1)

    centres, around = [], []
    for mean, cov in known:
        at = torch.linalg.solve_triangular(factor, (mean - centre).unsqueeze(-1), upper=False).squeeze(-1)
        half = torch.linalg.solve_triangular(factor, torch.linalg.cholesky_ex(cov).L, upper=False)
        width = half.square().sum(-1).sqrt().nan_to_num()
        centres.append(at)
        around += [at - 4 * width, at + 4 * width]
    infinite = torch.full_like(centre, math.inf)
    there_g, there_noise = (lambda u, h=h: h(there(u)) * jacobian for h in (g, noise))
    return _box(there_g, there_noise, -infinite, infinite, centres, around, tolerance)


def _box(
    g: Integrand,
    noise: Integrand,
    lower: Tensor,
    upper: Tensor,
    centres: list[Tensor],
    around: list[Tensor],
    tolerance: float,
) -> tuple[Integral, Tensor]:
    few, many = _apart(centres), _apart(centres + around)
    rough = integrate_box(noise, lower, upper, breakpoints=few, rtol=1.0, max_evaluations=1)
    rounding = (rough.value + rough.error).clamp_min(smallest_unit(rough.value.dtype))
    result = integrate_box(
        lambda x: g(x) / rounding,
        lower,
        upper,
        breakpoints=many,
        rtol=tolerance,
        atol=1.0,
        max_evaluations=_EVALUATIONS,
    )
    return rescaled(result, rounding), rounding


def _apart(points: list[Tensor]) -> Tensor | None:
    """Points (P, *batch, D) in order, NaN where they are closer to the last kept than a twentieth of their range."""
    if not points:
        return None
    ordered = torch.stack(points).sort(0).values  # NaN last
    finite = torch.where(torch.isfinite(ordered), ordered, ordered[0])
    least = 0.05 * (finite.amax(0) - finite.amin(0))
    kept, last = [ordered[0]], ordered[0]
    for point in ordered[1:]:
        near = ~(point - last > least)
        kept.append(torch.where(near, math.nan, point))
        last = torch.where(near, last, point)
    return torch.stack(kept)


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
