r"""Friction tensors of slow driving: how much a changing parameter dissipates, to leading order.

zeta_ij(c) = (1/T) int_0^inf <dX_i(0) dX_j(t)> dt in the equilibrium held at c, with the forces X_i = -dH/dc_i. A slow
change dissipates power c'^T zeta c' (Sivak and Crooks, Phys. Rev. Lett. 108 (2012) 190602).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.propagation import UNNAMED
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, as_tensors, require_finite, require_shape, validating
from infotherm.processes import MarkovJump, steady_state
from infotherm.thermodynamics.feedback import checked_temperature
from infotherm.thermodynamics.sensitivity import Evaluated, with_sensitivity

UNITS = "energy*time"
Potential = Callable[[Tensor, Tensor], Tensor]
_NODES = 12
_FIRST_PANELS, _MOST_PANELS = 32, 4096
_SHARE = 0.2  # of the mass that one node may carry
_SLACK = 1e-11


def harmonic_friction(stiffness: Any, mobility: Any = 1.0, temperature: Any = 1.0) -> Estimate:
    r"""The friction tensor of a harmonic trap for its position and its stiffness, diag(1/mu, T/(4 mu k^3)).

    For overdamped motion in V = k (x - c)^2 / 2; the parameters are (c, k).

    Parameters
    ----------
    stiffness, mobility, temperature
        k, mu and T, positive, of shapes that broadcast to (...).

    Returns
    -------
    Estimate
        (..., 2, 2), exact, in energy times time per squared parameter.

    Raises
    ------
    ValueError
        When one of them is not positive.

    References
    ----------
    Zulkowski, Sivak, Crooks and DeWeese, Phys. Rev. E 86 (2012) 041148 (overdamped limit).

    Examples
    --------
    >>> harmonic_friction(2.0).value.diagonal()
    tensor([1.0000, 0.0312], dtype=torch.float64)
    """
    k, mu, T = torch.broadcast_tensors(*as_tensors(stiffness=stiffness, mobility=mobility, temperature=temperature))
    for name, value in (("stiffness", k), ("mobility", mu), ("temperature", T)):
        if validating(value) and not bool((value > 0).all()):
            raise ValueError(f"{name} must be positive; got {value.min().item()}")
    value = torch.diag_embed(torch.stack([1 / mu, T / (4 * mu * k**3)], -1))
    return Estimate(value, error=2 * rounding_error([value]), units=UNITS)


def overdamped_friction(
    potential: Potential,
    parameters: Any,
    *,
    lower: float,
    upper: float,
    mobility: float = 1.0,
    temperature: float = 1.0,
) -> Estimate:
    r"""The friction tensor of overdamped motion in a potential on a line, by quadrature.

    zeta_ij = (1/mu) int (d_i Pi)(d_j Pi) / p dx with the equilibrium density p and its distribution function Pi(x; c):
    the fluctuations of X_i relax by a current that is d_i Pi.

    Parameters
    ----------
    potential
        V(x, c) of tensors x (...) and c (..., P) that broadcast, differentiable in c.
    parameters
        c, shape (..., P).
    lower, upper
        Reflecting walls. For a potential that confines by itself put them where exp(-V/T) is negligible.
    mobility, temperature
        mu and T, positive.

    Returns
    -------
    Estimate
        (..., P, P), exact: panels are doubled until nothing changes, and the error is what the last doubling changed.

    Raises
    ------
    ValueError
        For walls in the wrong order or not finite, a potential that is not finite between them, a barrier so high that
        nothing crosses it in floating-point numbers, or walls thousands of times wider apart than the mass.

    Warns
    -----
    RuntimeWarning
        When 4096 panels were not enough (`info["converged"]` is False).

    References
    ----------
    Zulkowski and DeWeese, Phys. Rev. E 92 (2015) 032117 (the distribution function); the constant is 1/mu here.

    Examples
    --------
    >>> trap = lambda x, c: c[..., 1] * (x - c[..., 0]) ** 2 / 2
    >>> overdamped_friction(trap, [0.5, 2.0], lower=-8.0, upper=9.0).value.diagonal()
    tensor([1.0000, 0.0312], dtype=torch.float64)
    """
    c = require_finite(as_tensor(parameters, "parameters"), "parameters")
    require_shape(c, ("...", "P"), "parameters")
    if not -math.inf < lower < upper < math.inf:
        raise ValueError(f"lower and upper must be finite walls with lower < upper; got {lower} and {upper}")
    if not 0 < mobility < math.inf:
        raise ValueError(f"mobility must be positive; got {mobility}")
    T = checked_temperature(temperature)
    panels, previous = _FIRST_PANELS, None
    change = scale = rounding = torch.zeros(())
    while True:
        found = _panel_friction(potential, c, (lower, upper), T, panels)
        if found is None and panels >= _MOST_PANELS:
            raise ValueError(
                "potential has a barrier so high that nothing crosses it, or the walls are too far from its mass: the "
                "friction overflows"
            )
        if found is None:  # perhaps the mass lies between the nodes
            panels, previous = 2 * panels, None
            continue
        value, size = found
        with torch.no_grad():
            rounding = 64 * rounding_error([size])
            if previous is not None:
                change = (value - previous).abs()
                scale = value.detach().abs().amax((-2, -1), keepdim=True)
                if bool((change <= torch.maximum(_SLACK * scale, rounding)).all()) or panels >= _MOST_PANELS:
                    break
            previous = value.detach()
        panels *= 2
    info = {}
    if not bool((change <= torch.maximum(1e-6 * scale, rounding)).all()):
        info["converged"] = False
        warnings.warn(
            f"overdamped_friction still changed by {change.max().item():.3g} with {panels} panels: put the walls "
            f"closer to where the mass is",
            RuntimeWarning,
            stacklevel=2,
        )
    error = (change + rounding) / mobility
    return Estimate(value / mobility, error=error, method="quadrature", units=UNITS, info=info)


def _panel_friction(
    potential: Potential, c: Tensor, walls: tuple[float, float], T: float, panels: int
) -> tuple[Tensor, Tensor] | None:
    """int (d_i Pi)(d_j Pi) / p dx, and the same of the sizes summed in d_i Pi; None where p is not resolved."""
    nodes, weights, inner = (torch.as_tensor(a, dtype=c.dtype, device=c.device) for a in _legendre())
    half = (walls[1] - walls[0]) / (2 * panels)
    centres = walls[0] + half * (2 * torch.arange(panels, dtype=c.dtype, device=c.device) + 1)
    batch = c.shape[:-1]
    ones = (1,) * len(batch)
    x = (centres[:, None] + half * nodes).reshape(panels * _NODES, *ones).expand(-1, *batch)
    energy, slopes = _derivatives(potential, x, c)  # (M, *batch), (P, M, *batch)
    if validating(energy) and not bool(energy.isfinite().all()):
        raise ValueError("potential must be finite between the walls")

    def grid(f: Tensor) -> Tensor:
        return f.reshape(*f.shape[: f.ndim - 1 - len(batch)], panels, _NODES, *batch)

    w = torch.exp(-(energy - energy.amin(0)) / T)
    wide = half * weights.repeat(panels)
    p = w / torch.tensordot(wide, w, dims=1)

    def mean(f: Tensor) -> Tensor:
        return torch.tensordot(wide, f * p, dims=1)

    middle = mean(x)
    forces = slopes - torch.stack([mean(s) for s in slopes])[:, None]
    left = x < middle
    # minus d_i Pi times T, from whichever side has less mass, so that nothing cancels in the tails
    flux, size = (_cumulated(grid(f * p), weights, inner, half, left) for f in (forces, forces.abs()))
    flux = torch.where(left, flux[0], -flux[1])
    size = torch.where(left, size[0], size[1])
    lost = p <= 1e-290 * p.amax(0)
    # mass on a few nodes is not resolved: its fluctuations would seem to vanish
    coarse = (wide.reshape(-1, *ones) * p).amax() > _SHARE
    if validating(p) and (bool(coarse) or bool((lost & (size > 1e-200)).any())):
        return None
    safe = torch.where(lost, 1.0, p)

    def integral(f: Tensor) -> Tensor:
        f = torch.where(lost, 0.0, f)
        pairs = torch.einsum("im...,jm...->ijm...", f, f) / safe / T**2
        return torch.einsum("m,ijm...->...ij", wide, pairs)

    return integral(flux), integral(size).detach()


def _cumulated(values: Tensor, weights: Tensor, inner: Tensor, half: float, left: Tensor) -> tuple[Tensor, Tensor]:
    """Integrals from the lower wall to each node and from each node to the upper wall, (P, M, *batch) each."""
    whole = half * torch.einsum("n,pkn...->pk...", weights, values)
    before = torch.cat([torch.zeros_like(whole[:, :1]), whole.cumsum(1)[:, :-1]], 1)
    after = torch.cat([whole.flip(1).cumsum(1).flip(1)[:, 1:], torch.zeros_like(whole[:, :1])], 1)
    rising = half * torch.einsum("mn,pkn...->pkm...", inner, values)
    falling = half * torch.einsum("mn,pkn...->pkm...", weights - inner, values)
    shape = (values.shape[0], *left.shape)
    return (before[:, :, None] + rising).reshape(shape), (after[:, :, None] + falling).reshape(shape)


def _derivatives(potential: Potential, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """V (M, *batch) and its derivatives with respect to each parameter, (P, M, *batch)."""
    wanted = c.requires_grad and torch.is_grad_enabled()
    with torch.enable_grad():
        each = c.expand(*x.shape, c.shape[-1])
        each = each if wanted else each.detach().requires_grad_()
        energy = potential(x, each).expand(x.shape)
        (slopes,) = torch.autograd.grad(energy.sum(), each, create_graph=wanted)
    return energy if wanted else energy.detach(), slopes.movedim(-1, 0)


def _legendre() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss on (-1, 1), and the matrix of integrals from -1 to each node of the interpolant."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    vander = np.polynomial.legendre.legvander(nodes, _NODES - 1)
    integrated = np.stack(
        [np.polynomial.legendre.legval(nodes, np.polynomial.legendre.legint(row, lbnd=-1)) for row in np.eye(_NODES)],
        1,
    )
    return nodes, weights, np.linalg.solve(vander.T, integrated.T).T


def jump_friction(process: MarkovJump, forces: Any, temperature: float = 1.0) -> Estimate:
    r"""The friction tensor of a jump process, zeta = -(1/T) sum_n p_n dX_i(n) (L^D dX_j)(n), made symmetric.

    L^D is the group inverse (Drazin inverse) of the generator; (1 p^T - L)^-1 acts as -L^D on what has mean zero.

    Parameters
    ----------
    process
        Constant rates with one steady state p.
    forces
        X_i(n) = -dE_n/dc_i, shape (..., P, K).
    temperature
        T > 0.

    Returns
    -------
    Estimate
        (..., P, P), exact.

    Raises
    ------
    ValueError
        For shapes that do not fit, or more than one steady state.

    References
    ----------
    Mandal and Jarzynski, J. Stat. Mech. (2016) 063204.

    Examples
    --------
    Two levels with energies (0, c) and rates exp(-+ c/2) at c = 0:

    >>> jump_friction(MarkovJump([[0.0, 1.0], [1.0, 0.0]]), [[0.0, -1.0]]).value
    tensor([[0.1250]], dtype=torch.float64)
    """
    X = require_finite(as_tensor(forces, "forces"), "forces").to(process.rates)
    require_shape(X, ("...", "P", process.states), "forces")
    T = checked_temperature(temperature)
    batch = torch.broadcast_shapes(X.shape[:-2], process.batch_shape)
    arguments = [process.rates.expand(*batch, *process.rates.shape[-2:]), X.expand(*batch, *X.shape[-2:])]

    def tensor(rates: Tensor, X: Tensor) -> Evaluated:
        jumps = MarkovJump(rates)
        p = steady_state(jumps).pmf  # type: ignore[attr-defined]
        away = X - (X * p[..., None, :]).sum(-1, keepdim=True)
        relaxed = torch.linalg.solve(p[..., None, :] - jumps.generator, away.mT)
        one_way = (away * p[..., None, :]) @ relaxed / T
        size = (away * p[..., None, :]).abs() @ relaxed.abs() / T
        value = 0.5 * (one_way + one_way.mT)
        return value.flatten(-2), (0.5 * (size + size.mT)).flatten(-2).detach()

    value, error = with_sensitivity(tensor, arguments, event_dims=[2, 2], loose=8.0 * process.states)
    shape = (*batch, X.shape[-2], X.shape[-2])
    return Estimate(value.reshape(shape), error=error.reshape(shape), units=UNITS)


def friction_from_trajectories(
    forces: Any, time_step: float, longest_lag: float, *, temperature: float = 1.0, mean: Any = None
) -> Estimate:
    r"""The friction tensor from recorded equilibrium motion: (1/T) times the sum of correlations up to a lag.

    Trapezoid sums of <dX_i(0) dX_j(t)> up to `longest_lag`, averaged over independent trajectories, whose spread gives
    the standard error. The stated `error` is what the second half of the lags adds (as much or less is cut off when the
    lag is longer than twice log 2 of the slowest relaxation time), what a doubled time step changes, and what the
    estimated mean takes away.

    Parameters
    ----------
    forces
        X_i = -dH/dc_i along stationary trajectories, shape (n_paths, n_times, P).
    time_step
        Time between records.
    longest_lag
        Where the sum ends: several relaxation times.
    temperature
        T > 0.
    mean
        The equilibrium means of X_i where they are known, (P,); that of all records unless given.

    Returns
    -------
    Estimate
        (P, P), an estimate by samples; `info["converged"]` is False when the second half of the lags adds more than a
        tenth and more than three standard errors.

    Raises
    ------
    ValueError
        For fewer than two trajectories, or a lag outside (4 time_step, the length of the trajectories).

    Warns
    -----
    RuntimeWarning
        When the lags do not suffice.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> noise = torch.randn(50, 200, 1, generator=g, dtype=torch.float64)  # correlations of one time step
    >>> friction_from_trajectories(noise, 1.0, 4.0).shape
    torch.Size([1, 1])
    """
    X = require_finite(as_tensor(forces, "forces"), "forces")
    require_shape(X, ("N", "S", "P"), "forces")
    paths, times, _ = X.shape
    T = checked_temperature(temperature)
    if paths < 2:
        raise ValueError(f"forces must hold at least 2 trajectories for a standard error; got {paths}")
    lags = 4 * int(longest_lag / time_step / 4 + 1e-9) if time_step > 0 else 0
    if not 4 <= lags < times:
        raise ValueError(
            f"longest_lag must be at least 4 time steps and shorter than the trajectories, "
            f"in ({4 * time_step}, {(times - 1) * time_step}); got {longest_lag}"
        )
    centre = X.mean((0, 1)) if mean is None else as_tensor(mean, "mean").to(X)
    away = X - centre
    spectrum = torch.fft.rfft(away, n=2 * times, dim=1)
    cross = torch.einsum("nsi,nsj->nsij", spectrum.conj(), spectrum)
    sums = torch.fft.irfft(cross, n=2 * times, dim=1)[:, : lags + 1]
    counts = times - torch.arange(lags + 1, dtype=X.dtype, device=X.device)
    correlation = 0.5 * (sums + sums.mT) / counts[:, None, None]

    def trapezoid(stop: int, stride: int = 1) -> Tensor:
        part = correlation[:, : stop + 1 : stride]
        return time_step * stride / T * (part.sum(1) - 0.5 * (part[:, 0] + part[:, -1]))

    whole, half, coarse = trapezoid(lags), trapezoid(lags // 2), trapezoid(lags, 2)
    value = whole.mean(0)
    stderr = whole.std(0) / math.sqrt(paths)
    late = (whole - half).mean(0).abs()
    error = late + (whole - coarse).mean(0).abs() + rounding_error([value])
    if mean is None:
        # the variance of a mean over the time S is 2 zeta T / S
        error = error + value.abs() * 2 * lags / (paths * times)
    info: dict[str, Any] = {"n": paths}
    diagonal = [t.diagonal() for t in (late, value, stderr)]
    if bool((diagonal[0] > torch.maximum(0.1 * diagonal[1].abs(), 3 * diagonal[2])).any()):
        info["converged"] = False
        warnings.warn(
            "friction_from_trajectories: correlations still add to the sum at the longest lag; take a longer one",
            RuntimeWarning,
            stacklevel=2,
        )
    return Estimate(
        value,
        stderr=stderr,
        error=error,
        kind="estimate",
        method="sample-based",
        units=UNITS,
        streams=(UNNAMED,),
        info=info,
    )
