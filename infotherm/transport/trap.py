"""A harmonic trap that is moved in finite time with the least work: a jump, a steady pull, a jump."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate, exact
from infotherm.core.tensors import as_tensors, require_finite, validating
from infotherm.distributions import Gaussian
from infotherm.processes.langevin import Langevin
from infotherm.processes.protocol import Protocol


@dataclass(frozen=True, eq=False)
class MovedTrap:
    """The best way to move a trap k (x - c)^2 / 2 over a distance, from equilibrium, and what it costs.

    Attributes
    ----------
    centre
        c(t), with its jumps at both ends.
    work
        The least mean work W = lambda^2 / (mu T + 2 / k), in units of energy.
    jump
        How far the trap jumps at either end, lambda / (2 + mu k T).
    ramp_work
        What a steady motion of the trap costs instead, v^2 / mu (T - tau (1 - e^(-T / tau))) with v = lambda / T and
        tau = 1 / (mu k).
    stiffness, distance, duration, mobility, temperature
        As given.
    """

    centre: Protocol
    work: Estimate
    jump: Tensor
    ramp_work: Estimate
    stiffness: float
    distance: float
    duration: float
    mobility: float
    temperature: float

    def marginal(self, t: Any) -> Gaussian:
        """The law of the particle at times t (...) in [0, duration]: its mean moves steadily, its variance is T / k."""
        t = self.centre._checked(t)
        rate = self.mobility * self.stiffness
        mean = self.distance * rate * t / (2 + rate * self.duration)
        return Gaussian(mean[..., None], torch.full((1, 1), self.temperature / self.stiffness, dtype=torch.float64))

    def process(self) -> Langevin:
        """The driven particle, a Langevin process that starts in equilibrium around 0, `marginal(0)`."""
        k = self.stiffness
        return Langevin(
            potential=lambda x, c: 0.5 * k * (x - c).square().sum(-1),
            protocol=self.centre,
            mobility=self.mobility,
            temperature=self.temperature,
            dim=1,
        )


def moved_trap(stiffness: Any, distance: Any, duration: Any, mobility: Any = 1.0, temperature: Any = 1.0) -> MovedTrap:
    """Moving a harmonic trap over a distance in a finite time with the least work.

    W = lambda^2 / (mu T + 2 / k). The trap jumps ahead by lambda / (2 + mu k T), moves steadily, and jumps again at the
    end. The particle follows the Wasserstein geodesic of a rigid shift, so that no drive of whatever form does better
    from this start to a final potential of this shape, with the particle free to end anywhere: W is the least
    m^2 / (mu T) + k (lambda - m)^2 / 2 over its final mean m.

    Parameters
    ----------
    stiffness
        k > 0.
    distance
        lambda, how far the centre is to go from 0, of either sign.
    duration
        T > 0.
    mobility, temperature
        mu > 0 and T > 0 (k_B = 1). The work does not depend on the temperature.

    Returns
    -------
    MovedTrap

    Raises
    ------
    ValueError
        For numbers that are not finite, or not positive.

    Source: Schmiedl and Seifert, Phys. Rev. Lett. 98, 108301 (2007), case study I.

    Examples
    --------
    >>> best = moved_trap(1.0, 2.0, 2.0)
    >>> best.work.value.item(), best.centre(1.0).item(), best.centre.jumps.tolist()
    (1.0, 1.0, [0.0, 2.0])
    >>> round(best.ramp_work.value.item(), 6)  # a steady motion costs more
    1.135335
    """
    k, length, span, mu, heat = numbers(
        stiffness=stiffness, distance=distance, duration=duration, mobility=mobility, temperature=temperature
    )
    for name, number in (("stiffness", k), ("duration", span), ("mobility", mu), ("temperature", heat)):
        require_positive(number, name)
    jump = length / (2 + mu * k * span)
    work = length.square() / (mu * span + 2 / k)
    end = float(span)
    centre = Protocol([0.0, 0.0, end, end], torch.stack([0 * length, jump, length - jump, length]).detach())
    return MovedTrap(
        centre, exact(work, [work, work], units="energy"), jump, _ramp_work(k, length, span, mu),
        *(float(number) for number in (k, length, span, mu, heat)),
    )  # fmt: skip


def _ramp_work(k: Tensor, length: Tensor, span: Tensor, mu: Tensor) -> Estimate:
    """lambda^2 / (mu T) (1 - (1 - e^-r) / r) with r = mu k T; as lambda^2 k (1/2 - r/6 + ...) for fast motion."""
    r = mu * k * span
    # the difference e^-r - 1 + r loses digits below r = 1: there a series
    terms, power = torch.zeros_like(r), torch.full_like(r, 0.5)
    for order in range(3, 24):
        terms = terms + power
        power = -power * r / order
    small = r < 1
    safe = torch.where(small, 1.0, r)
    bend = torch.where(small, terms, (torch.expm1(-safe) + safe) / safe.square())
    work = length.square() * k * bend
    return exact(work, [work, work, work], units="energy")


def numbers(**named: Any) -> tuple[Tensor, ...]:
    """Arguments as single finite numbers in float64.

    Raises
    ------
    ValueError
        For arrays, or numbers that are not finite.
    """
    found = as_tensors(dtype=torch.float64, device="cpu", **named)
    for name, number in zip(named, found, strict=True):
        if number.numel() != 1:
            raise ValueError(f"{name} must be one number; got shape {tuple(number.shape)}")
        require_finite(number, name)
    return tuple(number.reshape(()) for number in found)


def require_positive(number: Tensor, name: str) -> None:
    """Refuse a number that is not positive.

    Raises
    ------
    ValueError
        Naming it.
    """
    if validating(number) and not bool(number > 0):
        raise ValueError(f"{name} must be > 0; got {number.item()}")
