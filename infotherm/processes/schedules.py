"""Noise schedules: the rate beta(t) of a diffusion in generative modelling, with its integral."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.quadrature import integrate
from infotherm.core.tensors import as_tensor, require_finite, validating
from infotherm.processes.time_functions import function_of_time


@dataclass(frozen=True)
class Schedule:
    """A rate and its integral.

    Attributes
    ----------
    beta
        The rate at times (...), shape (...), >= 0 (1 / time).
    integral
        Its integral from t0 to t1, both (...).
    accuracy
        Relative accuracy of the integral.
    """

    beta: Callable[[Tensor], Tensor]
    integral: Callable[[Tensor, Tensor], Tensor]
    accuracy: float


def linear_schedule(beta_min: float, beta_max: float, horizon: float) -> Schedule:
    """beta from beta_min at time 0 to beta_max at `horizon`, in a straight line."""
    slope = (beta_max - beta_min) / horizon
    return Schedule(
        lambda t: beta_min + (beta_max - beta_min) * t / horizon,
        lambda t0, t1: (t1 - t0) * (beta_min + slope * (t0 + t1) / 2),
        1e-15,
    )


def cosine_schedule(
    horizon: float = 1.0, offset: float = 0.008, most: float = 1000.0
) -> tuple[Callable[[Any], Tensor], Callable[[Any, Any], Tensor]]:
    """The cosine schedule as a pair (beta, integral), for `VariancePreserving(beta=...)`.

    The signal's variance exp(-integral from 0 to t) is cos^2 a(t) / cos^2 a(0), a(t) = (t / horizon + offset) / (1 +
    offset) pi / 2, so that beta = pi / ((1 + offset) horizon) tan a(t). It is infinite at the horizon: from where it
    reaches `most / horizon` on it stays there.

    Parameters
    ----------
    horizon
        The last time, > 0.
    offset
        > 0; how far from zero noise the process begins.
    most
        The largest beta in units of 1 / horizon (1000 is the cut of the original, with as many steps).

    References
    ----------
    Nichol and Dhariwal, "Improved denoising diffusion probabilistic models" (2021), eq. 17, in continuous time.

    Examples
    --------
    >>> beta, integral = cosine_schedule()
    >>> torch.exp(-integral(0.0, 0.5)).item()
    0.4938...
    """
    for name, value in (("horizon", horizon), ("offset", offset), ("most", most)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite number > 0; got {value}")
    speed = math.pi / 2 / ((1 + offset) * horizon)
    cut = math.atan(most / horizon / (2 * speed)) / speed - offset * horizon  # beta = 2 speed tan(angle)

    def angle(t: Tensor) -> Tensor:
        return speed * (t + offset * horizon)

    def beta(t: Any) -> Tensor:
        t = as_tensor(t, "t")
        return torch.where(t < cut, 2 * speed * torch.tan(angle(t.clamp(max=cut))), most / horizon)

    def integral(t0: Any, t1: Any) -> Tensor:
        t0, t1 = as_tensor(t0, "t0"), as_tensor(t1, "t1")
        early0, early1 = t0.clamp(max=cut), t1.clamp(max=cut)
        half = 0.5 * speed * (early1 - early0)
        # cos(a + 2 h) / cos(a) = 1 - 2 sin(h) (sin(h) + tan(a) cos(h)): nothing cancels when the times are close
        lost = 2 * torch.sin(half) * (torch.sin(half) + torch.tan(angle(early0)) * torch.cos(half))
        return -2 * torch.log1p(-lost) + most / horizon * ((t1 - early1) - (t0 - early0))

    return beta, integral


def schedule_of(beta: Any, horizon: float) -> Schedule:
    """A schedule from a function of time, whose integral is found by quadrature, or from a pair (beta, integral).

    Raises
    ------
    TypeError
        When it is neither.
    ValueError
        When beta is negative or not finite at a time, or the integral given is not that of beta.
    """
    if callable(beta):
        rate = _rate(beta)
        return Schedule(rate, lambda t0, t1: integrate(rate, t0, t1, rtol=1e-13).value, 1e-13)
    if not (isinstance(beta, tuple | list) and len(beta) == 2 and all(map(callable, beta))):
        raise TypeError(
            f"beta must be a function of time, or a pair of functions (beta(t), integral(t0, t1)); got "
            f"{type(beta).__name__}"
        )
    rate, given = _rate(beta[0]), beta[1]

    def integral(t0: Tensor, t1: Tensor) -> Tensor:
        return require_finite(as_tensor(given(t0, t1), "the integral of beta").to(t1), "the integral of beta")

    edges = torch.tensor([0.0, 0.1, 0.5, 0.9], dtype=torch.float64) * horizon
    found, stated = integrate(rate, edges[:-1], edges[1:], rtol=1e-10), integral(edges[:-1], edges[1:])
    away = (stated - found.value).abs()
    if bool((away > found.error + 1e-8 * found.value.abs()).any()):
        worst = int(away.argmax())
        raise ValueError(
            f"the integral given must be that of beta; from {edges[worst].item()} to {edges[worst + 1].item()} it is "
            f"{stated[worst].item():.9g}, quadrature gives {found.value[worst].item():.9g}"
        )
    return Schedule(rate, integral, 1e-13)


def _rate(beta: Callable[[Any], Any]) -> Callable[[Tensor], Tensor]:
    """beta as a checked function of times of any shape."""
    function = function_of_time(beta, 0, "beta")

    def rate(t: Tensor) -> Tensor:
        value = require_finite(function(t).to(t), "beta")
        if validating(value) and bool((value < 0).any()):
            where = int(value.argmin())
            raise ValueError(
                f"beta must be >= 0; got {value.flatten()[where].item():.6g} at time {t.flatten()[where].item():.6g}"
            )
        return value

    return rate
