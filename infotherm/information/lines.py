"""Integrals over a line of functions of log-densities: range, breakpoints, power-law tails, divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from infotherm.core.quadrature import Integral, integrate
from infotherm.distributions.base import Distribution

Integrand = Callable[..., Tensor]


def on_line(
    g: Integrand,
    noise: Integrand,
    over: list[Distribution],
    batch: torch.Size,
    dtype: torch.dtype,
    tolerance: float,
    extra: Tensor | None,
) -> tuple[Integral, Tensor, Tensor]:
    """The integral of g over the supports of scalar laws, its rounding (that of `noise`), and where it diverges."""
    lower, upper = line_range(over, batch, dtype)
    points = line_breakpoints(over, batch, dtype)
    if extra is not None:
        points = torch.cat([points, extra.to(dtype)])
    rough = integrate(lambda u: noise(u.unsqueeze(-1)), lower, upper, breakpoints=points, rtol=1.0, max_panels=1)
    largest = torch.finfo(dtype).max ** 0.5  # of integrands that overflow the rounding is no number
    rounding = (rough.value + rough.error).nan_to_num(nan=largest, posinf=largest).clamp_min(smallest_unit(dtype))
    ladder, divergent = _tails(g, points, lower, upper, batch, dtype)
    points = torch.cat([points, ladder])

    def scaled(u: Tensor) -> Tensor:
        # in units of its own rounding, so that one absolute tolerance serves the whole batch
        return torch.where(divergent, 0.0, g(u.unsqueeze(-1)) / rounding)

    result = integrate(scaled, lower, upper, breakpoints=points, rtol=tolerance, atol=1.0)
    return rescaled(result, rounding), rounding, divergent


def _tails(
    g: Integrand, points: Tensor, lower: Tensor, upper: Tensor, batch: torch.Size, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Breakpoints for the power-law tails of an integrand, (P, *batch), and where a tail seems to diverge.

    Far out g falls as |x|^-t. Its integral lives on 14/(t - 1) decades, each of which gets a breakpoint: bisection
    would find them one after the other. For t <= 1 there is no integral.
    """
    known = torch.isfinite(points)
    middle = torch.where(known, points, math.nan).nanmedian(0).values
    points = torch.where(known, points, middle.nan_to_num(0.0))
    centre = points.median(0).values
    width = (points - centre).abs().amax(0)
    width = torch.where(width > 0, width, 1 + centre.abs())  # one place says nothing about the scale
    shape = (-1, *[1] * len(batch))
    reach = math.log10(torch.finfo(dtype).max)
    exponents = torch.tensor([2.0, 4.0, 8.0, 10.0, 20.0, 25.0], dtype=dtype, device=points.device)
    exponents = exponents * min(1.0, reach / 200)
    distances = width * torch.pow(10.0, exponents).reshape(shape)
    ladders, divergent = [], torch.zeros(batch, dtype=torch.bool, device=points.device)
    for side, end in ((-1.0, lower), (1.0, upper)):
        endless = torch.isinf(end)
        if not bool(endless.any()):
            continue
        with torch.no_grad():
            values = g((centre + side * distances).unsqueeze(-1)).expand(-1, *batch)
        slope = torch.full(batch, math.inf, dtype=dtype, device=points.device)
        sign = torch.ones_like(slope)
        for i in (0, 2, 4):  # the farthest pair at which g is still a number decides
            near, far = values[i].abs(), values[i + 1].abs()
            usable = (near > 0) & (far > 0) & torch.isfinite(near) & torch.isfinite(far)
            ratio = torch.where(usable, near, 1.0).log() - torch.where(usable, far, 1.0).log()
            slope = torch.where(usable, ratio / ((exponents[i + 1] - exponents[i]) * math.log(10)), slope)
            sign = torch.where(usable, values[i + 1].sign(), sign)
        divergent = divergent | endless & (slope <= 1.001) & (sign > 0)
        decades = (14 / (slope - 1).clamp_min(1e-3)).clamp(max=reach - 20)
        heavy = endless & (slope > 1.001) & (slope < 6)
        if bool(heavy.any()):
            rungs = int(decades[heavy].max().ceil())
            steps = torch.arange(1, rungs + 1, dtype=dtype, device=points.device).reshape(shape) / rungs
            ladder = centre + side * width * torch.pow(10.0, steps * decades)
            ladders.append(torch.where(heavy, ladder, math.nan))
    return (torch.cat(ladders) if ladders else points[:0]), divergent


def smallest_unit(dtype: torch.dtype) -> float:
    """The least rounding that an integrand is measured by: its quotients must not overflow."""
    return torch.finfo(dtype).tiny ** 0.5


def rescaled(result: Integral, unit: Tensor) -> Integral:
    """An integral of g / unit as that of g."""
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
