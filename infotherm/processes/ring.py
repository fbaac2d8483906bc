"""The driven ring in closed form: steady state, mean velocity and effective diffusion coefficient by quadrature.

A coordinate x with period L, dX = b(x) dt + sigma(x) dB (Ito), D = sigma^2 / 2. With Phi(x) = -integral of b / D from 0
to x and the affinity A = Phi(0) - Phi(L), the two integrals

    I+(x) = integral from x to x + L of exp(Phi(y) - Phi(x)) dy,
    I-(x) = integral from x - L to x of exp(Phi(x) - Phi(y)) / D(y) dy

give p = I+ / (D Z), Z = integral of I+ / D over a period, the current J = (1 - exp(-A)) / Z, the velocity v = L J, the
entropy production rate A J and D_eff = L^2 integral of I+^2 I- / D over a period / Z^3. All of them are sums of
positive numbers, taken as logarithms: barriers and drives of hundreds of kT lose nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.processes.base import DiffusionProcess

_NODES = 16  # Gauss-Legendre nodes in a panel
_MOST_PANELS = 1024


@dataclass(frozen=True)
class RingIntegrals:
    """The integrals of a ring at the nodes of its panels, as logarithms.

    Attributes
    ----------
    nodes, weights
        Of the quadrature over a period, shape (M, n).
    log_density
        log p at the nodes, shape (M, n).
    affinity
        A, the integral of b / D over a period.
    log_normaliser
        log Z.
    log_square
        log of the integral of I+^2 I- / D over a period.
    largest_exponent
        The largest |Phi|, whose rounding all of them share.
    """

    nodes: Tensor
    weights: Tensor
    log_density: Tensor
    affinity: float
    log_normaliser: float
    log_square: float
    largest_exponent: float

    def current(self) -> float:
        """J = (1 - exp(-A)) / Z, either sign."""
        if self.affinity >= 0:
            return -math.expm1(-self.affinity) * math.exp(-self.log_normaliser)
        return math.expm1(self.affinity) * math.exp(-self.log_normaliser - self.affinity)


def mean_velocity(process: DiffusionProcess, t: Any = None) -> Estimate:
    r"""The mean velocity v = lim <X_t> / t of a driven ring, in periods' units per unit of time.

    v = L (1 - exp(-A)) / Z (Stratonovich's formula), for any periodic drift and diffusion coefficient.

    Parameters
    ----------
    process
        A diffusion of one coordinate with a `period`.
    t
        The time at which a driven process is frozen; its first time unless given.

    Returns
    -------
    Estimate
        Exact, by quadrature, units "1/time"; zero to rounding without an affinity.

    Raises
    ------
    ValueError
        When the process is no ring, or its drift or diffusion coefficient is not periodic.

    References
    ----------
    Stratonovich, Radiotekh. Elektron. 3 (1958) 497; Reimann et al., Phys. Rev. Lett. 87 (2001) 010602, eq. 8.

    Examples
    --------
    >>> from infotherm.processes import Langevin
    >>> ring = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=2**0.5, periodic=2 * torch.pi)
    >>> mean_velocity(ring).value
    tensor(0.7747, dtype=torch.float64)
    """
    period = ring_period(process)
    return _refined(process, t, lambda ring: period * ring.current(), "1/time", vanishing=True)


def effective_diffusion(process: DiffusionProcess, t: Any = None) -> Estimate:
    r"""The effective diffusion coefficient D_eff = lim Var X_t / (2 t) of a driven ring, per unit of time.

    D_eff = L^2 integral of I+(x)^2 I-(x) / D(x) dx / (integral of I+(x) / D(x) dx)^3. For constant D this is the
    formula of Reimann et al.; for D(x) it follows from it in the coordinate y = integral of dx / sqrt(D).

    Parameters
    ----------
    process, t
        As in `mean_velocity`.

    Returns
    -------
    Estimate
        Exact, by quadrature, units "1/time".

    Raises
    ------
    ValueError
        As `mean_velocity`.

    References
    ----------
    Reimann et al., Phys. Rev. Lett. 87 (2001) 010602, eqs. 22-23; Lifson and Jackson, J. Chem. Phys. 36 (1962) 2410,
    without a drive.

    Examples
    --------
    >>> from infotherm.processes import Langevin
    >>> ring = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=2**0.5, periodic=2 * torch.pi)
    >>> effective_diffusion(ring).value
    tensor(1.1375, dtype=torch.float64)
    """
    period = ring_period(process)

    def coefficient(ring: RingIntegrals) -> float:
        return period**2 * math.exp(ring.log_square - 3 * ring.log_normaliser)

    return _refined(process, t, coefficient, "1/time")


def ring_production_rate(process: DiffusionProcess, t: Any = None) -> Estimate:
    """The entropy production rate A J of a ring in its steady state, nats per unit of time."""
    return _refined(process, t, lambda ring: ring.affinity * ring.current(), "nat/time", vanishing=True)


def ring_period(process: DiffusionProcess) -> float:
    """The period L of a process of one coordinate on a ring.

    Raises
    ------
    ValueError
        When it is none.
    """
    period = getattr(process, "period", None)
    if period is None or process.dim not in (None, 1):
        raise ValueError(
            f"process must be a ring, one coordinate with a period (Langevin(..., periodic=L)); got "
            f"{type(process).__name__} with D = {process.dim or 'any'} and period {period}"
        )
    length = float(period.reshape(-1)[0])
    if not math.isfinite(length):
        raise ValueError("process must be a ring; its period is infinite")
    return length


def scalar_fields(process: DiffusionProcess, x: Tensor, t: Any) -> tuple[Tensor, Tensor]:
    """Drift b and diffusion coefficient D of a process of one coordinate at points x (...), each (...)."""
    points = x.reshape(-1, 1)
    drift = process.drift(points, t).reshape(x.shape)
    if process.additive:
        diffusion = process.diffusion_matrix(t, 1)[..., 0, 0].to(x).expand(x.shape)
    else:
        diffusion = process.diffusion_matrix_at(points, t)[..., 0, 0].reshape(x.shape)
    return drift, diffusion


def ring_integrals(process: DiffusionProcess, t: Any = None, panels: int = 32) -> RingIntegrals:
    """I+ and I- of a ring on so many Gauss-Legendre panels."""
    period = ring_period(process)
    time = (process.start or 0.0) if t is None else t
    reference, weights, partial = _panel_rule()
    half = 0.5 * period / panels
    edges = torch.linspace(0.0, period, panels + 1, dtype=torch.float64)
    nodes = edges[:-1, None] + half * (1 + reference)
    drift, diffusion = scalar_fields(process, nodes, time)
    _require_periodic(process, period, time)
    slope = -drift / diffusion
    within = half * slope @ partial.T  # Phi at the nodes minus Phi at the left edge of the panel
    steps = half * slope @ weights
    left = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    phi = left[:-1, None] + within
    affinity = -float(left[-1])
    # log of the integral of exp(Phi) over whole panels and their parts, and of exp(-Phi) / D
    rising = _logs(phi, torch.zeros_like(phi), half, weights, partial)
    falling = _logs(-phi, -diffusion.log(), half, weights, partial)
    # from x to x + L: the rest of the panel, the panels behind it, and the first part of its image at x + L
    log_plus = _window(rising, -affinity) - phi
    # from x - L to x: the same window, shifted by a period
    log_minus = _window(falling, affinity) - affinity + phi
    log_weights = (half * weights).log() - diffusion.log()
    log_normaliser = torch.logsumexp((log_plus + log_weights).flatten(), 0)
    log_square = torch.logsumexp((2 * log_plus + log_minus + log_weights).flatten(), 0)
    return RingIntegrals(
        nodes,
        (half * weights).expand(nodes.shape),
        log_plus - diffusion.log() - log_normaliser,
        affinity,
        float(log_normaliser),
        float(log_square),
        float(phi.abs().max()),
    )


def converged_ring(process: DiffusionProcess, t: Any = None) -> tuple[RingIntegrals, RingIntegrals]:
    """The integrals on as many panels as they need and on half as many."""
    panels = 16
    before = ring_integrals(process, t, panels)
    while True:
        panels *= 2
        now = ring_integrals(process, t, panels)
        change = max(
            abs(now.log_normaliser - before.log_normaliser),
            abs(now.log_square - before.log_square),
            abs(now.affinity - before.affinity),
        )
        if change <= 256 * torch.finfo(torch.float64).eps * (1 + now.largest_exponent) or panels >= _MOST_PANELS:
            return now, before
        before = now


def _refined(
    process: DiffusionProcess,
    t: Any,
    number: Callable[[RingIntegrals], float],
    units: str,
    *,
    vanishing: bool = False,
) -> Estimate:
    """A number of the ring, with an error from doubling the panels and from the rounding of the exponents.

    `vanishing`: the number is zero where the affinity is, and as uncertain as the affinity's rounding beside it.
    """
    now, before = converged_ring(process, t)
    value, coarse = number(now), number(before)
    size = abs(value)
    if vanishing:
        # 1 - exp(-A) is known to eps of what A is the difference of
        size = size * max(1.0, now.largest_exponent / max(abs(now.affinity), torch.finfo(torch.float64).tiny))
    rounding = 16 * torch.finfo(torch.float64).eps * (4 + now.largest_exponent) * size
    converged = abs(value - coarse) <= 1e-9 * abs(value) + rounding
    info: dict[str, Any] = {"affinity": now.affinity, "panels": len(now.nodes)}
    if not converged:
        info["converged"] = False
    floor = torch.finfo(torch.float64).tiny
    return Estimate(
        torch.tensor(value, dtype=torch.float64),
        error=abs(value - coarse) + rounding + floor,
        method="quadrature",
        units=units,
        info=info,
    )


def _logs(
    exponent: Tensor, factor: Tensor, half: float, weights: Tensor, partial: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Logarithms of the integrals of exp(exponent + factor) over panels (M,), and up to every node and from it on."""
    log_values = exponent + factor
    top = log_values.amax(-1, keepdim=True)
    values = half * torch.exp(log_values - top)
    upto = (values @ partial.T).clamp(min=torch.finfo(values.dtype).tiny)
    onward = (values @ (weights - partial).T).clamp(min=torch.finfo(values.dtype).tiny)
    whole = values @ weights
    return whole.log() + top[:, 0], upto.log() + top, onward.log() + top


def _window(logs: tuple[Tensor, Tensor, Tensor], gain: float) -> Tensor:
    """log of the integral over a period from each node on; a period further the integrand is exp(gain) larger."""
    whole, upto, onward = logs
    count = len(whole)
    index = torch.arange(count)
    shift = (index[:, None] + torch.arange(1, count)[None, :]).to(torch.int64)
    behind = whole[shift % count] + gain * (shift >= count).to(whole)
    between = torch.logsumexp(behind, 1)[:, None].expand(upto.shape)
    return torch.logsumexp(torch.stack([onward, between, upto + gain]), 0)


def _require_periodic(process: DiffusionProcess, period: float, t: Any) -> None:
    """Refuse a drift or a diffusion coefficient that is not the same one period further.

    Raises
    ------
    ValueError
        Naming which, and where.
    """
    x = torch.linspace(0.0, period, 9, dtype=torch.float64)[:-1] + 0.01 * period
    here, there = scalar_fields(process, x, t), scalar_fields(process, x + period, t)
    for name, a, b in zip(("drift", "diffusion coefficient"), here, there, strict=True):
        away = (a - b).abs()
        if bool((away > 1e-9 * (1e-3 + a.abs().max())).any()):
            worst = int(away.argmax())
            raise ValueError(
                f"the {name} must have the period {period:.6g}; got {a[worst].item():.6g} at x = {x[worst].item():.6g} "
                f"and {b[worst].item():.6g} one period further"
            )


@cache
def _panel_rule() -> tuple[Tensor, Tensor, Tensor]:
    """Gauss-Legendre nodes and weights on [-1, 1], and the matrix of integrals from -1 to each node."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    orders = np.arange(_NODES)
    values = np.polynomial.legendre.legvander(nodes, _NODES)
    to_coefficients = (2 * orders[:, None] + 1) / 2 * values[:, :_NODES].T * weights
    # the integral of P_k from -1 to x is (P_{k+1} - P_{k-1}) / (2 k + 1), and 1 + x for k = 0
    integrals = np.empty((_NODES, _NODES))
    integrals[:, 0] = 1 + nodes
    for k in range(1, _NODES):
        integrals[:, k] = (values[:, k + 1] - values[:, k - 1]) / (2 * k + 1)
    partial = integrals @ to_coefficients
    return torch.from_numpy(nodes), torch.from_numpy(weights), torch.from_numpy(partial)
