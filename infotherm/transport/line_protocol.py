"""The drive along the geodesic of two scalar laws, and how stiff it is."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.transport.line_geodesic import DisplacedLaw, LineGeodesic
from infotherm.transport.noise import Noise

_BULK = 1e-4  # the stiffness is that between the quantiles of this level and of 1 - this level
_TIMES = 33
_POINTS = 501
_TORN = 1e6  # steps beyond which nobody simulates


@dataclass(frozen=True, eq=False)
class LineProtocol:
    """The drive that takes one scalar law to another with the least entropy production, a drift b(x, t).

    The law follows the Wasserstein-2 geodesic at a speed proportional to sigma^2, under
    b = v ds/dt + (sigma^2 / 2) d/dx log p_t, where s(t) is the clock and v the velocity at s of the geodesic.

    **Where the geodesic tears a mode apart the drift is nearly discontinuous**: between separated modes p_t is almost
    zero and its slope, like that of v, is huge. `stiffness` says how huge; Euler steps must be short beside its inverse
    (`recommended_steps`).

    Attributes
    ----------
    path
        The geodesic.
    noise
        sigma(t) over the duration.
    entropy_production
        The total entropy production, the minimum.

    Examples
    --------
    >>> import infotherm as it
    >>> start = it.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.25]], [[0.25]]])
    >>> drive = it.transport.optimal_protocol(start, it.Gaussian(0.0, 1.0), sigma=1.0, duration=2.0)
    >>> driven = it.processes.Langevin(force=drive.drift, sigma=1.0, horizon=2.0)
    >>> round(drive.marginal(2.0).mean.item(), 12) == 0.0, driven.drift([0.0], 1.0).abs().item() < 1e-9
    (True, True)
    """

    path: LineGeodesic
    noise: Noise
    entropy_production: Estimate

    @property
    def duration(self) -> Tensor:
        """T."""
        return self.noise.duration

    def clock(self, t: Any) -> Tensor:
        """The fraction of the geodesic covered at time t, the integral of sigma^2 up to t over that up to T."""
        return self.noise.clock(t)

    def rate(self, t: Any) -> Tensor:
        """The speed of the clock at time t."""
        return self.noise.rate(t)

    def marginal(self, t: Any) -> DisplacedLaw:
        """The law at one time t in [0, T]."""
        return self.path.at(self.clock(t))

    def drift(self, x: Any, t: Any) -> Tensor:
        """b(x, t) at points (..., 1) and one time, shape (..., 1), without gradient.

        Raises
        ------
        ValueError
            For a time outside [0, T].
        NotImplementedError
            When a law has no score.
        """
        law = self.marginal(t)
        x = law._points(x)
        velocity, score = law.velocity_and_score(x)
        return self.rate(t).to(x) * velocity + self._diffusion(t).to(x) * score

    def drift_slope(self, x: Any, t: Any) -> Tensor:
        """db/dx at points (..., 1) and one time, shape (...), without gradient."""
        law = self.marginal(t)
        x = law._points(x)
        return self.rate(t).to(x) * self.path.gradient(x, law.t) + self._diffusion(t).to(x) * law.curvature(x)

    def _diffusion(self, t: Any) -> Tensor:
        return self.noise.square(self.noise.time(t)) / 2

    def stiffness(self, t: Any) -> Tensor:
        """The largest |db/dx| between the quantiles 1e-4 and 1 - 1e-4 at one time, a scalar.

        Looked for at the nodes of the map, which are close together where it bends, and evenly between. Infinite where
        the drift has no slope (a wall, at which the density ends).
        """
        law = self.marginal(t)
        levels = torch.tensor([_BULK, 1 - _BULK], dtype=torch.float64, device=law.device)
        low, high = law.quantiles(levels, 1 - levels)
        nodes = (1 - law.t) * self.path.curve.starts + law.t * self.path.curve.ends
        even = torch.linspace(float(low), float(high), _POINTS, dtype=torch.float64, device=law.device)
        points = torch.cat([even, nodes[(nodes >= low) & (nodes <= high)]]).to(law.dtype)
        slopes = self.drift_slope(points[:, None], t).abs()
        return slopes.nan_to_num(nan=math.inf).max()

    def recommended_steps(self, largest: float = 0.5) -> int:
        """The number of equal Euler steps with step times stiffness <= `largest`, over 33 times.

        At 1 a step overshoots; at `largest` = 0.5 the variance of a stationary linear drift is a third too large, so
        that accurate marginals need more, or an integrator of higher order.

        Raises
        ------
        ValueError
            For largest <= 0, or a drift without a slope at one of these times.

        Warns
        -----
        RuntimeWarning
            For more than a million steps: the geodesic tears the law apart, and no equal steps follow it.
        """
        if not largest > 0:
            raise ValueError(f"largest must be > 0; got {largest}")
        end = float(self.duration)
        times = [end * k / (_TIMES - 1) for k in range(_TIMES)]
        rates = [float(self.stiffness(t)) for t in times]
        worst = max(rates)
        where = times[rates.index(worst)]
        if math.isinf(worst):
            raise ValueError(f"the drift has no slope at t = {where:.4g}: no number of steps follows it")
        steps = max(1, math.ceil(end * worst / largest))
        if steps > _TORN:
            warnings.warn(
                f"the drift is nearly discontinuous at t = {where:.4g} (|db/dx| = {worst:.3g}), where the geodesic "
                f"tears the law apart: {steps} equal steps would be needed",
                RuntimeWarning,
                stacklevel=2,
            )
        return steps
