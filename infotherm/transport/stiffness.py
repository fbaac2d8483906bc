"""A harmonic trap whose stiffness is changed in finite time with the least work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate, exact
from infotherm.core.rounding import rounding_error
from infotherm.distributions import Gaussian
from infotherm.processes.affine import AffineDiffusion
from infotherm.processes.langevin import Langevin
from infotherm.processes.protocol import Protocol
from infotherm.transport.trap import numbers, require_positive


@dataclass(frozen=True, eq=False)
class ChangedStiffness:
    """The best way to change the stiffness of a trap k x^2 / 2, from equilibrium, and what it costs.

    Attributes
    ----------
    protocol
        k(t) > 0, with its jumps at both ends; just before the last one it is the mean of k1 and T / s1^2.
    work
        The least mean work, in units of energy.
    free_energy
        The part that a slow change costs as well, (T / 2) log(k1 / k0).
    quench_work
        What a sudden change costs instead, T (k1 / k0 - 1) / 2.
    start_deviation, end_deviation
        The standard deviations of the particle at the ends: sqrt(T / k0), and the one it ends with, which is free.
    initial_stiffness, final_stiffness, duration, mobility, temperature
        As given.
    """

    protocol: Protocol
    work: Estimate
    free_energy: Estimate
    quench_work: Estimate
    start_deviation: Tensor
    end_deviation: Tensor
    initial_stiffness: float
    final_stiffness: float
    duration: float
    mobility: float
    temperature: float

    @property
    def dissipated(self) -> Estimate:
        """Work beyond the free energy; it includes what the particle dissipates after the end, in the final trap."""
        return self.work - self.free_energy

    def marginal(self, t: Any) -> Gaussian:
        """The law at times t (...) in [0, duration]: the standard deviation changes steadily."""
        deviation = self._deviation(self.protocol._checked(t))
        return Gaussian(torch.zeros(1, dtype=torch.float64), deviation.square()[..., None, None])

    def _deviation(self, t: Tensor) -> Tensor:
        return self.start_deviation + (self.end_deviation - self.start_deviation) * t / self.duration

    def process(self) -> Langevin:
        """The particle in the trap, a Langevin process that starts in `marginal(0)`."""
        return Langevin(
            potential=lambda x, k: 0.5 * k * x.square().sum(-1),
            protocol=self.protocol,
            mobility=self.mobility,
            temperature=self.temperature,
            dim=1,
        )

    def affine_process(self) -> AffineDiffusion:
        """The same dynamics between the jumps as an affine diffusion, whose moments are exact."""
        return AffineDiffusion(
            lambda t: -self.mobility * self.protocol(t)[..., None, None],
            (2 * self.mobility * self.temperature) ** 0.5,
            horizon=self.duration,
        )


def changed_stiffness(
    initial_stiffness: Any, final_stiffness: Any, duration: Any, mobility: Any = 1.0, temperature: Any = 1.0
) -> ChangedStiffness:
    """Changing the stiffness of a harmonic trap in a finite time with the least work.

    Under dX = -mu k(t) X dt + sqrt(2 mu T) dB from equilibrium the work is

    W = (s1 - s0)^2 / (mu tau) + k1 s1^2 / 2 - T / 2 - T log(s1 / s0)

    for a standard deviation that goes steadily from s0 = sqrt(T / k0) to s1 in the time tau (a parabola for the
    variance, the Wasserstein geodesic); the best end is the root of (2 + mu k1 tau) s1^2 - 2 s0 s1 = mu T tau. It is
    made by k(t) = T / s^2 - s' / (mu s), which jumps at both ends. No drive of whatever form does better from this
    start to this final potential.

    Parameters
    ----------
    initial_stiffness, final_stiffness
        k0 > 0 and k1 > 0.
    duration
        tau > 0.
    mobility, temperature
        mu > 0 and T > 0 (k_B = 1).

    Returns
    -------
    ChangedStiffness

    Raises
    ------
    ValueError
        For numbers that are not finite and positive.

    Source: Schmiedl and Seifert, Phys. Rev. Lett. 98, 108301 (2007), case study II.

    Examples
    --------
    >>> import math
    >>> best = changed_stiffness(1.0, 2.0, 1.0)
    >>> 0.5 * math.log(2) < best.work.value.item() < 0.5  # between a slow change and a sudden one
    True
    >>> best.protocol.before(0.0).item(), best.protocol.after(1.0).item()
    (1.0, 2.0)
    """
    k0, k1, span, mu, heat = named = numbers(
        initial_stiffness=initial_stiffness, final_stiffness=final_stiffness, duration=duration, mobility=mobility,
        temperature=temperature,
    )  # fmt: skip
    names = ("initial_stiffness", "final_stiffness", "duration", "mobility", "temperature")
    for name, number in zip(names, named, strict=True):
        require_positive(number, name)
    start = (heat / k0).sqrt()
    lead = 2 + mu * k1 * span
    end = (start + (start.square() + lead * mu * heat * span).sqrt()) / lead
    terms = (
        (end - start).square() / (mu * span), k1 * end.square() / 2, -heat / 2, -heat * (end / start).log()
    )  # fmt: skip
    work = sum(terms[1:], terms[0])
    # the end is a minimum of the work: its own rounding counts in second order only
    error = rounding_error([*terms, heat, work])
    speed = ((end - start) / span).detach()
    first, last, duration_, mu_, heat_ = (n.detach() for n in (k0, k1, span, mu, heat))
    origin = start.detach()

    def stiffness(t: Tensor) -> Tensor:
        deviation = origin + speed * t
        inside = heat_ / deviation.square() - speed / (mu_ * deviation)
        return torch.where(t < 0, first, torch.where(t > duration_, last, inside))

    free_energy = heat / 2 * (k1 / k0).log()
    quench = heat / 2 * (k1 / k0 - 1)
    return ChangedStiffness(
        Protocol.from_function(stiffness, float(span), jumps=(0.0, float(span))),
        Estimate(work, error=error, units="energy"),
        exact(free_energy, [free_energy, heat], units="energy"),
        exact(quench, [quench, heat], units="energy"),
        start,
        end,
        *(float(number) for number in named),
    )
