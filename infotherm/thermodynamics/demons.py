"""Demons that measure compartments: Szilard's engine, and one that measures until something changes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infotherm.channels.discrete import DiscreteChannel
from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.sample_means import number_of_samples
from infotherm.core.tensors import Generator, as_generator, as_tensor, as_tensors, stream_of, validating
from infotherm.distributions import Discrete
from infotherm.information import mutual_information
from infotherm.processes import MarkovJump
from infotherm.thermodynamics.feedback import FeedbackEngine, checked_temperature, efficiency_of, engine_of_samples

_MOST_MEASUREMENTS = 1_000_000


def symmetric_errors(error: Any, positions: int) -> DiscreteChannel:
    """The measurement that is right with probability 1 - error and else any other position, each equally likely.

    Parameters
    ----------
    error
        In [0, 1], shape (...).
    positions
        Number of compartments, at least 2.

    Raises
    ------
    ValueError
        For an error outside [0, 1], or fewer than two positions.

    Examples
    --------
    >>> symmetric_errors(0.1, 3)(0).pmf
    tensor([0.9000, 0.0500, 0.0500], dtype=torch.float64)
    """
    error = as_tensor(error, "error")
    if positions < 2:
        raise ValueError(f"positions must be at least 2; got {positions}")
    if validating(error) and not bool(((error >= 0) & (error <= 1)).all()):
        raise ValueError(
            f"error must be a probability in [0, 1]; got {error[~((error >= 0) & (error <= 1))][0].item()}"
        )
    identity = torch.eye(positions, dtype=error.dtype, device=error.device)
    error = error[..., None, None]
    return DiscreteChannel((1 - error) * identity + error / (positions - 1) * (1 - identity))


def szilard_engine(
    volumes: Any = (0.5, 0.5),
    error: Any = 0.0,
    *,
    measurement: DiscreteChannel | None = None,
    walls: Any = None,
    temperature: float = 1.0,
    method: str = "closed-form",
    n_samples: int = 10_000,
    generator: Generator = None,
) -> FeedbackEngine:
    r"""The work that Szilard's engine extracts by moving its walls after a measurement, W_ext <= T I.

    One particle is in compartment i with probability v_i, its share of the volume. The outcome y is
    i with probability 1 - error. The walls then move quasi-statically until compartment i has the share w_i(y), and are
    taken out: W_ext = T sum p(i, y) log(w_i(y) / v_i). The best walls, w_i(y) = p(i | y), give T I(i; y).

    Parameters
    ----------
    volumes
        Shares v of the volume, (..., K), which sum to one; two equal halves unless given.
    error
        Probability of a wrong outcome, all wrong ones equally likely, in [0, 1].
    measurement
        Any channel from position to outcome, instead of `error`.
    walls
        The shares w(y) to which the walls are moved, (..., outcomes, K); the best ones unless given.
    temperature
        T > 0.
    method
        "closed-form" or "monte-carlo".
    n_samples, generator
        Number of cycles and where they come from (Monte Carlo).

    Returns
    -------
    FeedbackEngine
        Exact, or estimates. The work is minus infinity where the walls squeeze out a particle that may be there.

    Raises
    ------
    ValueError
        For an error outside [0, 1], shares that do not sum to one, an unknown method, a measurement that tells nothing,
        sampled cycles in which the walls squeeze out a particle.

    References
    ----------
    Szilard, Z. Phys. 53 (1929) 840; Sagawa and Ueda, Phys. Rev. E 85 (2012) 021104, sec. IV (errors).

    Examples
    --------
    >>> szilard_engine(error=0.1).extracted_work.value  # ln 2 - h(0.1)
    tensor(0.3681, dtype=torch.float64)
    """
    prior, temperature = Discrete(volumes), checked_temperature(temperature)
    if measurement is None:
        measurement = symmetric_errors(error, prior.alphabet[0])
    joint = measurement.joint(prior)
    information = mutual_information(joint, "x", "y")
    if validating(information.value) and bool((information.value <= information.error).any()):
        raise ValueError("measurement must tell something about the position: there is no efficiency otherwise")
    posterior = (joint.pmf / joint.pmf.sum(-2, keepdim=True)).mT
    posterior = torch.where(posterior.isnan(), prior.pmf[..., None, :], posterior)  # of outcomes that never come
    shares = posterior if walls is None else Discrete(as_tensor(walls, "walls")).pmf
    if shares.shape[-2:] != posterior.shape[-2:]:
        raise ValueError(
            f"walls must have shape (..., {', '.join(map(str, posterior.shape[-2:]))}); got {shares.shape}"
        )
    gains = (shares.log() - prior.pmf.log()[..., None, :]).mT
    if method == "monte-carlo":
        generator = as_generator(generator, prior.device)
        stream = stream_of(generator, prior.device)
        i, y = joint.sample((number_of_samples(n_samples),), generator=generator).long().unbind(-1)
        pointwise = joint.pmf.log() - joint.pmf.sum(-1, keepdim=True).log() - joint.pmf.sum(-2, keepdim=True).log()
        work, pointwise = (temperature * _looked_up(gains, i, y), _looked_up(pointwise, i, y))
        if not bool(work.isfinite().all()):
            raise ValueError("walls must not squeeze out a particle: the mean work of sampled cycles is minus infinity")
        return engine_of_samples(work, pointwise, temperature, stream)
    if method != "closed-form":
        raise ValueError(f"method must be 'closed-form' or 'monte-carlo'; got {method!r}")
    possible = joint.pmf > 0
    terms = torch.where(possible, joint.pmf * torch.where(possible, gains, 0.0), 0.0)
    value = temperature * terms.sum((-2, -1))
    sizes = temperature * (terms.abs() + 4 * joint.pmf).sum((-2, -1))
    tiny = torch.finfo(value.dtype).tiny
    finite = value.isfinite()
    slip = rounding_error([torch.where(finite, sizes, 0.0)])
    work = Estimate(value, error=torch.where(finite, slip, tiny), units="energy")
    return FeedbackEngine(work, information, efficiency_of(work, information, temperature))


def _looked_up(table: Tensor, i: Tensor, y: Tensor) -> Tensor:
    """table[..., i, y] for draws of shape (n, ...)."""
    flat = table.expand(*i.shape[1:], *table.shape[-2:]).flatten(-2)
    return flat.expand(*i.shape, -1).gather(-1, (i * table.shape[-1] + y)[..., None])[..., 0]


def continuous_demon(
    probability: Any,
    interval: Any,
    *,
    relaxation_rate: Any = 1.0,
    temperature: float = 1.0,
    method: str = "closed-form",
    n_samples: int = 10_000,
    generator: Generator = None,
) -> FeedbackEngine:
    r"""Mean work per cycle of a demon that measures a two-state system again and again until the state changes.

    The system is in state 1 with probability P and relaxes with rate R. It is measured every `interval`; the first
    outcome that differs from the ones before, state s, ends the cycle, and -T log P_s is extracted:
    W_ext = -T ((1 - P) log P + P log(1 - P)), never below T log 2 and without limit for rare states. The cycle's
    sequence of outcomes holds I = h(P) + (1 - P) h(q_01) / q_01 + P h(q_10) / q_10 with the switching probabilities
    q_01 = P (1 - e^(-R interval)) and q_10 = (1 - P)(1 - e^(-R interval)).

    Parameters
    ----------
    probability
        P in (0, 1), shape (...).
    interval
        Time between measurements, > 0, shape (...).
    relaxation_rate
        R > 0, the sum of the two jump rates.
    temperature
        T > 0.
    method
        "closed-form" or "monte-carlo": cycles of the jump process, measured until it has changed.
    n_samples, generator
        Number of cycles and where they come from (Monte Carlo).

    Returns
    -------
    FeedbackEngine
        `information` is the entropy of the sequences. Exact, or estimates.

    Raises
    ------
    ValueError
        For a probability outside (0, 1), an interval or rate that is not positive, an unknown method.

    References
    ----------
    Ribezzi-Crivellari and Ritort, Nature Physics 15 (2019) 660.

    Examples
    --------
    >>> demon = continuous_demon(0.1, 1.0)
    >>> round(demon.extracted_work.value.item(), 4), round(demon.efficiency.value.item(), 4)
    (2.0829, 0.5479)
    """
    temperature = checked_temperature(temperature)
    P, interval, rate = as_tensors(probability=probability, interval=interval, relaxation_rate=relaxation_rate)
    for name, t, fits in (
        ("probability", P, (P > 0) & (P < 1)),
        ("interval", interval, (interval > 0) & interval.isfinite()),
        ("relaxation_rate", rate, (rate > 0) & rate.isfinite()),
    ):
        if validating(t) and not bool(fits.all()):
            wanted = "lie in (0, 1)" if name == "probability" else "be positive and finite"
            raise ValueError(f"{name} must {wanted}; got {t[~fits].flatten()[0].item()}")
    P, interval, rate = torch.broadcast_tensors(P, interval, rate)
    law = torch.stack([1 - P, P], -1)
    if method == "monte-carlo":
        return _demon_cycles(law, interval, rate, temperature, number_of_samples(n_samples), generator)
    if method != "closed-form":
        raise ValueError(f"method must be 'closed-form' or 'monte-carlo'; got {method!r}")
    other = law.flip(-1)
    logs = torch.stack([torch.log1p(-P), P.log()], -1)
    value = -temperature * (law * logs.flip(-1)).sum(-1)
    work = Estimate(value, error=rounding_error([value, temperature * law.sum(-1)]), units="energy")
    relaxed = torch.exp(-rate * interval)[..., None]
    switched = other * -torch.expm1(-rate * interval)[..., None]
    same = law + other * relaxed  # 1 - switched, which may be smaller than any rounding of 1
    few = switched < 0.5
    kept = torch.where(few, same * torch.log1p(-torch.where(few, switched, 0.0)), torch.xlogy(same, same))
    binary = -(torch.xlogy(switched, switched) + kept)
    entropy = -(law * logs).sum(-1) + (law * binary / switched).sum(-1)
    information = Estimate(entropy, error=4 * rounding_error([entropy, torch.ones_like(entropy)]))
    return FeedbackEngine(work, information, efficiency_of(work, information, temperature))


def _demon_cycles(
    law: Tensor, interval: Tensor, rate: Tensor, temperature: float, n_samples: int, generator: Generator
) -> FeedbackEngine:
    """Cycles of the two-state jump process, one measurement at a time."""
    generator = as_generator(generator, law.device)
    stream = stream_of(generator, law.device)
    rates = torch.zeros(*law.shape, 2, dtype=law.dtype, device=law.device)
    rates[..., 0, 1], rates[..., 1, 0] = rate * law[..., 1], rate * law[..., 0]
    step = MarkovJump(rates).transition(0.0, interval)
    first = Discrete(law).sample((n_samples,), generator=generator)[..., 0].long()
    table = step.matrix.expand(n_samples, *law.shape[:-1], 2, 2)
    remains = table.diagonal(dim1=-2, dim2=-1).gather(-1, first[..., None])[..., 0]
    begun = law.log().expand(*first.shape, 2).gather(-1, first[..., None])[..., 0]
    information, waiting = -begun, torch.ones_like(first, dtype=torch.bool)
    for _ in range(_MOST_MEASUREMENTS):
        stays = torch.rand(first.shape, generator=generator, dtype=law.dtype, device=law.device) < remains
        probability = torch.where(stays, remains, 1 - remains)
        information = torch.where(waiting, information - probability.log(), information)
        waiting = waiting & stays
        if not bool(waiting.any()):
            break
    else:
        raise RuntimeError(f"interval is so short that some cycle was not over after {_MOST_MEASUREMENTS} measurements")
    ended = law.log().expand(*first.shape, 2).gather(-1, 1 - first[..., None])[..., 0]
    return engine_of_samples(-temperature * ended, information, temperature, stream)
