"""Entropy production from short-time currents: the uncertainty relation as a lower bound learned from trajectories."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.tensors import as_tensor, require_finite
from infotherm.estimators.base import stream_of_samples
from infotherm.thermodynamics.recorded import (
    as_paths,
    as_periods,
    as_time_step,
    held_out_bound,
    parts,
    require_enough,
    steps_of,
)

Features = Callable[[Tensor], Tensor]
Basis = str | Features | None

_ORDERS = 3  # of the Fourier modes of a periodic coordinate
_CENTRES = 25
_MOST = 0.99  # of <J>^2 / <J^2>, at which the tangent is taken: beyond, a few windows would decide
_NAME = "entropy_production_from_currents"


def entropy_production_from_currents(
    trajectories: Any,
    time_step: Any,
    basis: Basis = None,
    *,
    periodic: Any = None,
    force_at: Any = None,
) -> Estimate:
    r"""Lower bound of the entropy production rate of a stationary process, from the currents in its trajectories.

    A current over one step, J = sum_kd c_kd phi_k((x + x') / 2) (x' - x)_d (Stratonovich), changes its sign when the
    step is reversed. For every such J and any time step dt,

        rate >= D(p(x, x') || p(x', x)) / dt >= (2 / dt) m artanh m,   m = <J> / sqrt(<J^2>),

    which for short steps is the uncertainty relation 2 <J>^2 / (dt Var J). It holds whatever the noise (dependent on
    the state, of several temperatures), and where only some coordinates of the system are observed. It is tight for
    dt -> 0 when the basis spans the thermodynamic force D^-1 nu, which the optimal coefficients then are. The larger
    the step, the more of the entropy production is missed; the number at twice the step, in `info`, shows how much
    that matters.

    The coefficients c = S^-1 <j>, S = <j j^T>, are fitted to one half of the data and judged on the other, and the
    other way round: 2 m artanh m is convex in (<J>, <J^2>), and the mean on the other half of its tangent at the
    fitted half is a lower bound without bias of selection. Halves are sets of paths where there are at least 32, else
    stretches of time; the standard error is that of means of blocks.

    **The process must be stationary, and the coordinates even under time reversal** (positions, not velocities).

    Parameters
    ----------
    trajectories
        (n_paths, n_times, D), or (n_times, D) for one long record, equally spaced in time.
    time_step
        Between two points.
    basis
        The functions phi. None: 1 and x for open coordinates, 1 and three Fourier modes for periodic ones; "gaussian":
        1 and 25 Gaussians centred on points of the record; or a function from midpoints (n, D) to (n, K).
    periodic
        The period, one number or one for each coordinate (inf for none). Steps go the shortest way around: they must be
        shorter than half a period.
    force_at
        Points (..., D) at which the thermodynamic force is wanted.

    Returns
    -------
    Estimate
        Kind "lower", in nat per time, negative where the halves disagree (as they do in equilibrium); "unknown", with a
        warning, where blocks of the record are correlated. `info` holds `coefficients` (K, D), scaled so that
        sum_k c_kd phi_k(x) is the force D^-1 nu (where the bound is tight), `force` at the points asked for, `n`
        (blocks), `windows`, and `at_twice_the_step`, the same bound from every second point.

    Raises
    ------
    ValueError
        For a bad shape, entries that are not finite, a constant coordinate, too few steps, a time step that is not
        positive, or a basis that gives anything but (n, K) finite numbers.

    References
    ----------
    Manikandan, Gupta and Krishnamurthy, "Inferring entropy production from short experiments", Phys. Rev. Lett. 124,
    120603 (2020); Otsubo, Ito, Dechant and Sagawa, Phys. Rev. E 101, 062106 (2020); Van Vu, Vo and Hasegawa, Phys. Rev.
    E 101, 042138 (2020): 2 <J>^2 / (dt Var J) for dt -> 0, which for finite steps is no bound (a walk that steps
    forward 9 times in 10 gives 3.6 nat a step for 1.8). The form above follows from Timpanaro, Guarnieri, Goold and
    Landi, "Thermodynamic uncertainty relations from exchange fluctuation theorems", Phys. Rev. Lett. 123, 090604
    (2019).

    Examples
    --------
    >>> turns = torch.randn(20_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> ring = (0.1 * 2 + 0.2**0.5 * turns).cumsum(0)                 # drift 2, D = 1: the rate is 4
    >>> found = entropy_production_from_currents(ring, 0.1, periodic=2 * torch.pi)
    >>> found.kind, bool(3 < found.lower_limit() < 4)
    ('lower', True)
    """
    paths, step = as_paths(trajectories), as_time_step(time_step)
    periods = as_periods(periodic, paths)
    choose = _chooser(basis, periods)
    stream = stream_of_samples(paths)
    first, second = parts(paths, (0.5, 0.5))
    for half in (first, second):
        require_enough(half, half.shape[1] - 1, "trajectories")
    info: dict[str, Any] = {}
    features = choose(steps_of(paths, periods)[0].flatten(0, 1))
    currents, moved = _currents(features, *steps_of(paths, periods))
    mean, squares = _moments(currents)
    direction = _solve(squares, mean)  # times 1 - m^2, and 2 Cov^-1 <j>
    coefficients = (2 * direction / (1 - min(float(direction @ mean), _MOST))).reshape(-1, moved)
    info["coefficients"] = coefficients
    if force_at is not None:
        points = require_finite(as_tensor(force_at, "force_at").to(paths), "force_at")
        if points.ndim == 0 or points.shape[-1] != moved:
            raise ValueError(f"force_at must have shape (..., {moved}); got {tuple(points.shape)}")
        info["force"] = (features(points.reshape(-1, moved)) @ coefficients).reshape(points.shape)
    sparse = paths[:, ::2]
    if all(half.shape[0] * (half.shape[1] - 1) >= 128 for half in parts(sparse, (0.5, 0.5))):
        info["at_twice_the_step"] = _bound(sparse, periods, 2 * step, choose, stream)
    return _bound(paths, periods, step, choose, stream, **info)


def _bound(
    paths: Tensor, periods: Tensor, step: float, choose: Callable[[Tensor], Features], stream: str, **info: Any
) -> Estimate:
    halves = [steps_of(half, periods) for half in parts(paths, (0.5, 0.5))]
    terms = []
    for train, judge in (halves, halves[::-1]):
        features = choose(train[0].flatten(0, 1))
        mean, squares = _moments(_currents(features, *train)[0])
        direction = _solve(squares, mean)
        first, second = float(direction @ mean), float(direction @ squares @ direction)
        current = _currents(features, *judge)[0] @ direction
        terms.append(_tangent(current, first, second))
    return held_out_bound(_NAME, terms, per=step, streams=(stream,), **info)


def _tangent(current: Tensor, mean: float, square: float) -> Tensor:
    """Terms whose mean is the tangent of phi = 2 m artanh m at <J> = mean, <J^2> = square; it lies below phi."""
    if not (mean > 0 and square > 0):
        return torch.zeros_like(current)
    share = min(mean**2 / square, _MOST)
    square = mean**2 / share  # the tangent may be taken at any point
    root = math.sqrt(share)
    slope = math.atanh(root) / root + 1 / (1 - share)  # d phi / d (m^2)
    value = 2 * root * math.atanh(root)
    return value + slope * (2 * mean / square * (current - mean) - share / square * (current.square() - square))


def _currents(features: Features, middle: Tensor, moved: Tensor) -> tuple[Tensor, int]:
    """phi_k(midpoint) times the displacement along d, (n_paths, n_steps, K D), and D."""
    paths, steps, dim = middle.shape
    values = features(middle.flatten(0, 1)).reshape(paths, steps, -1)
    return (values[..., :, None] * moved[..., None, :]).flatten(-2), dim


def _moments(currents: Tensor) -> tuple[Tensor, Tensor]:
    flat = currents.flatten(0, 1)
    return flat.mean(0), flat.mT @ flat / len(flat)


def _solve(squares: Tensor, mean: Tensor) -> Tensor:
    """S^+ <j>, currents on equal scales; those that are combinations of others count once."""
    scale = squares.diagonal().sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    return torch.linalg.pinv(squares / scale / scale[:, None], rtol=1e-10, hermitian=True) @ (mean / scale) / scale


def _chooser(basis: Basis, periods: Tensor) -> Callable[[Tensor], Features]:
    """What makes the basis functions from the midpoints of the fitted part."""
    if basis is None:
        return lambda middle: _linear_and_fourier(middle, periods)
    if basis == "gaussian":
        if bool(periods.isfinite().any()):
            raise ValueError(
                "basis 'gaussian' is for coordinates that are not periodic: leave it out for Fourier modes"
            )
        return _gaussians
    if not callable(basis):
        raise ValueError(f"basis must be None, 'gaussian' or a function of midpoints (n, D); got {basis!r}")
    return lambda middle: lambda x: _checked(basis(x), x)


def _checked(values: Any, x: Tensor) -> Tensor:
    values = as_tensor(values, "basis").to(x)
    if values.ndim != 2 or len(values) != len(x) or values.shape[1] == 0:
        raise ValueError(f"basis must map midpoints {tuple(x.shape)} to ({len(x)}, K); got {tuple(values.shape)}")
    return require_finite(values, "basis")


def _linear_and_fourier(middle: Tensor, periods: Tensor) -> Features:
    ring = periods.isfinite()

    def features(x: Tensor) -> Tensor:
        angles = 2 * math.pi * x[:, ring] / periods[ring]
        waves = [wave(order * angles) for order in range(1, _ORDERS + 1) for wave in (torch.sin, torch.cos)]
        return torch.cat([torch.ones_like(x[:, :1]), x[:, ~ring], *waves], 1)

    return features


def _gaussians(middle: Tensor) -> Features:
    scale = middle.std(0)
    centres = (middle / scale)[:: max(1, len(middle) // _CENTRES)][:_CENTRES]
    between = torch.cdist(centres, centres) + torch.diag(centres.new_full((len(centres),), math.inf))
    width = 2 * between.amin(1).median()

    def features(x: Tensor) -> Tensor:
        bumps = torch.exp(-0.5 * (torch.cdist(x / scale, centres) / width).square())
        return torch.cat([torch.ones_like(x[:, :1]), bumps], 1)

    return features
