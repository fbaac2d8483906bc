"""Bounds on what a process must dissipate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infotherm.bounds.bound import Bound, register
from infotherm.bounds.catalogue.claims import claim
from infotherm.bounds.catalogue.conditions import is_process, law_at_the_end
from infotherm.bounds.catalogue.parts import distance
from infotherm.core.estimate import exact
from infotherm.distributions import Gaussian, as_distribution
from infotherm.processes import AffineDiffusion, MarkovJump, OrnsteinUhlenbeck, Process
from infotherm.processes.base import DiffusionProcess
from infotherm.thermodynamics import entropy_production
from infotherm.transport import optimal_protocol

Sides = tuple[Any, Any]

GROUP = "thermodynamics"


def geodesic_drive(start: Gaussian, end: Gaussian, sigma: tuple[float, float], duration: float) -> AffineDiffusion:
    """The diffusion that takes one Gaussian to another along the Wasserstein geodesic at least dissipation.

    Its drift is v(x, t) + (sigma^2 / 2) grad log p_t(x), its speed v along the geodesic proportional to sigma^2: it
    dissipates exactly 2 W2^2 / integral of sigma^2, the least that any drift can.

    Parameters
    ----------
    start, end
        Gaussians of full rank: the laws at time 0 and at time `duration`.
    sigma
        The strength of the noise at both ends; its square is linear in time between them.
    duration
        The time that the drive takes.

    Examples
    --------
    >>> a, b = Gaussian(0.0, 1.0), Gaussian(3.0, 4.0)
    >>> geodesic_drive(a, b, sigma=(1.0, 2.0), duration=2.0).marginal(a, 2.0).covariance
    tensor([[4.]], dtype=torch.float64)
    """
    first, last = (s * s for s in sigma)
    whole = 0.5 * (first + last) * duration
    # in the time that counts noise the noise is constant, and so is the speed
    protocol = optimal_protocol(start, end, whole**0.5, 1.0)

    def noise(t: Tensor) -> Tensor:
        return first + (last - first) * t / duration

    def coefficients(t: Tensor) -> tuple[Tensor, Tensor]:
        counted = 0.5 * (first + noise(t)) * t / whole
        matrix, offset = protocol.affine(counted.clamp(0.0, 1.0))
        speed = noise(t) / whole
        return speed[..., None, None] * matrix, speed[..., None] * offset

    return AffineDiffusion(
        lambda t: coefficients(t)[0],
        lambda t: noise(t).sqrt(),
        lambda t: coefficients(t)[1],
        horizon=duration,
    )


def _second_law(process: Process, initial: Any, duration: float, **options: Any) -> Sides:
    return entropy_production(process, initial, duration, **options), 0.0


def _speed_limit(process: DiffusionProcess, initial: Any, duration: float, **options: Any) -> Sides:
    initial = as_distribution(initial, "initial")
    moved = distance(initial, process.marginal(initial, duration))
    noise = process.integrated_diffusion(0.0, duration)
    accuracy = getattr(process, "transition_accuracy", torch.finfo(noise.dtype).eps)
    spent = exact(noise, error=noise * max(accuracy, 4 * torch.finfo(noise.dtype).eps), units="1")
    return entropy_production(process, initial, duration, **options), 2 * moved.square() / spent


def _isotropic_diffusion(process: Any) -> str | None:
    if not isinstance(process, DiffusionProcess):
        return f"a {type(process).__name__} is not a diffusion (for jumps there is another speed limit)"
    if not process.isotropic:
        return "the noise is not the same in every direction"
    return None


def _at_rest() -> dict[str, Any]:
    process = OrnsteinUhlenbeck(rate=1.5, sigma=0.8)
    return {"process": process, "initial": process.quasi_invariant(0.0), "duration": 2.0}


def _driven_along_the_geodesic() -> dict[str, Any]:
    start = Gaussian([0.0, 0.0], [[1.0, 0.3], [0.3, 0.5]])
    end = Gaussian([1.0, -0.5], [[0.5, 0.0], [0.0, 1.0]])
    return {"process": geodesic_drive(start, end, (1.0, 1.2), 1.0), "initial": start, "duration": 1.0}


register(
    Bound(
        "second-law",
        statement=claim("S_tot", ">=", "0"),
        source="Clausius (1865); for Markov processes Seifert, Phys. Rev. Lett. 95, 040602 (2005)",
        relation=">=",
        sides=_second_law,
        conditions={"the process is Markov": is_process},
        saturated=_at_rest,
        not_applicable=lambda: {"process": Gaussian(0.0, 1.0), "initial": Gaussian(0.0, 1.0), "duration": 1.0},
        group=GROUP,
        note="Saturated by a process with detailed balance that starts in its stationary law.",
    )
)

register(
    Bound(
        "speed-limit-w2",
        statement=claim("S_tot", ">=", "2*W2(P, Q)**2/Integral(sigma(t)**2, (t, 0, T))"),
        source="Aurell, Gawedzki, Mejia-Monasterio, Mohayaee and Muratore-Ginanneschi, J. Stat. Phys. 147, 487 (2012); "
        "Premkumar, Neural Entropy (workshop paper), Eq. (7), corrected",
        relation=">=",
        sides=_speed_limit,
        conditions={
            "the noise is isotropic and does not depend on the state": _isotropic_diffusion,
            "the law at the end is known": law_at_the_end,
        },
        saturated=_driven_along_the_geodesic,
        not_applicable=lambda: {
            "process": MarkovJump([[0.0, 1.0], [2.0, 0.0]]),
            "initial": [0.5, 0.5],
            "duration": 1.0,
        },
        group=GROUP,
        note="P and Q are the laws at both ends. The workshop paper prints W2^2 / (2 sigma^2 T), which is true and "
        "four times loose. Saturated by the Wasserstein geodesic, run at a speed proportional to sigma^2(t).",
    )
)
