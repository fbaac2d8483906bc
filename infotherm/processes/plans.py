"""Plans of integrations: per step its length, its frozen drive and its noise, worked out once for a whole run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.gaussian import LinearGaussianChannel
from infotherm.core.linalg import psd_factor
from infotherm.core.tensors import as_tensor
from infotherm.processes.base import AffineProcess, DiffusionProcess, identity_like
from infotherm.processes.forces import ForcedProcess
from infotherm.processes.langevin import Langevin
from infotherm.processes.underdamped import UnderdampedLangevin

Drift = Callable[[Tensor, Any], Tensor]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the steps of one run need, worked out once: per step the length, the frozen drive and the noise."""

    process: DiffusionProcess
    times: Tensor
    lengths: list[float]
    drives: list[Any]
    """Frozen arguments of `drift`, one a step."""
    drift: Drift
    noises: list[Any] | None
    """sigma times the root of the step: numbers, or matrices (D, M); None where it depends on the state."""
    driven: bool
    """Whether the drift changes from step to step."""
    fused: Callable[..., Tensor] | None = None
    """A compiled step (x, noise, drive, h, scale) -> x', None where steps are put together from their parts."""


@dataclass(frozen=True, slots=True)
class State:
    """Where an integrator is.

    Attributes
    ----------
    x
        The states, shape (..., D).
    index
        The number of steps taken.
    plan
        What does not change from step to step.
    carried
        What a scheme keeps from the step before: a drift, a noise, the heat exchanged.
    """

    x: Tensor
    index: int
    plan: Plan
    carried: Any = None


def planned(process: DiffusionProcess, x: Any, times: Any) -> tuple[Tensor, Plan]:
    """The plan of a scheme that evaluates the drift.

    Raises
    ------
    TypeError
        For an underdamped process: its positions have no noise of their own, and only BAOAB keeps its heat.
    """
    if isinstance(process, UnderdampedLangevin):
        raise TypeError("an UnderdampedLangevin process is stepped by BAOAB; got a scheme for overdamped ones")
    x, times = checked(process, x, times)
    lengths = times.diff().tolist()
    middles = middles_of(times)
    drives, drift = _frozen_drift(process, x, middles)
    noises: list[Any] | None = None
    if process.additive:
        scale = process.diffusion(middles) * times.diff().sqrt()[(..., *[None] * (0 if process.isotropic else 2))]
        noises = scale.tolist() if process.isotropic else list(scale.to(x))
    return x, Plan(process, times, lengths, drives, drift, noises, varies(process, drives))


def _frozen_drift(process: DiffusionProcess, x: Tensor, middles: Tensor) -> tuple[list[Any], Drift]:
    """The drift with its drive frozen at each of the times, and the list of those drives."""
    dim = x.shape[-1]
    if isinstance(process, Langevin):
        return list(process.control(middles).to(x)), process.drift_at
    if isinstance(process, AffineProcess):
        matrix, offset = process.drift_matrix(middles, dim), process.drift_offset(middles, dim)
        numbers = _numbers(matrix)
        if numbers is None:
            return list(zip(matrix.to(x), offset.to(x), strict=True)), _affine
        if bool(offset.any()):
            return list(zip(numbers, offset.to(x), strict=True)), _stretched
        return numbers, _scaled
    return middles.tolist(), process.drift


def _scaled(x: Tensor, drive: float) -> Tensor:
    return drive * x


def _stretched(x: Tensor, drive: tuple[float, Tensor]) -> Tensor:
    return torch.add(drive[1], x, alpha=drive[0])


def _affine(x: Tensor, drive: tuple[Tensor, Tensor]) -> Tensor:
    return _applied(drive[0], x, drive[1])


def _applied(matrix: Tensor, x: Tensor, offset: Tensor) -> Tensor:
    """matrix x + offset for each state; products with a single number are slow as matrix products."""
    if matrix.numel() == 1:
        return torch.addcmul(offset, x, matrix[0])
    return torch.addmm(offset, x, matrix.mT) if x.ndim == 2 else x @ matrix.mT + offset


def exact_plan(process: AffineProcess, x: Tensor, times: Tensor) -> Plan:
    """Gains, shifts and noise factors of all steps: `drift` is the mean of the step."""
    channel = process.transition(times[:-1], times[1:])
    assert isinstance(channel, LinearGaussianChannel)
    count, dim = len(times) - 1, x.shape[-1]
    gain = channel.matrix(dim).expand(count, dim, dim)
    factor = psd_factor(channel.noise_covariance(dim)).expand(count, dim, dim)
    shift = channel.bias.expand(count, dim)
    numbers, spreads = _numbers(gain), _numbers(factor)
    noises: list[Any] = list(factor.to(x)) if spreads is None else spreads
    drives: list[Any]
    mean: Drift = _affine
    if numbers is None:
        drives = list(zip(gain.to(x), shift.to(x), strict=True))
    elif bool(shift.any()):
        drives, mean = list(zip(numbers, shift.to(x), strict=True)), _stretched
    else:
        drives, mean = numbers, _scaled
    return Plan(process, times, times.diff().tolist(), drives, mean, noises, not process.is_static)


def _numbers(matrices: Tensor) -> list[float] | None:
    """The factors of matrices that are all numbers times the identity, None when they are not."""
    number = matrices[..., 0, 0]
    identity = identity_like(matrices, matrices.shape[-1])
    return number.tolist() if torch.equal(matrices, number[..., None, None] * identity) else None


def checked(process: DiffusionProcess, x: Any, times: Any) -> tuple[Tensor, Tensor]:
    """States and times as tensors.

    Raises
    ------
    ValueError
        For states of another size, a batch of processes, or times that do not increase.
    """
    x = as_tensor(x, "x")
    if x.ndim == 0 or (process.dim is not None and x.shape[-1] != process.dim):
        raise ValueError(f"x must have shape (..., {process.dim or 'D'}); got {tuple(x.shape)}")
    if process.batch_shape:
        raise ValueError(f"one process at a time is integrated; got a batch {tuple(process.batch_shape)} of them")
    times = as_tensor(times, "times").to(torch.float64).cpu()
    if times.ndim != 1 or len(times) < 2 or not bool((times.diff() > 0).all()):
        raise ValueError(f"times must be the increasing edges of at least one step; got {times.tolist()[:4]}")
    return x, times


def middles_of(times: Tensor) -> Tensor:
    """The middles of the steps."""
    return 0.5 * (times[:-1] + times[1:])


def varies(process: DiffusionProcess, drives: list[Any]) -> bool:
    """Whether frozen drives change the drift from step to step; a control that no force looks at does not."""
    if isinstance(process, ForcedProcess) and process.control_free:
        return False
    stacked = [
        torch.as_tensor(d) if not isinstance(d, tuple) else torch.cat([torch.as_tensor(e).flatten() for e in d])
        for d in drives
    ]
    return any(not torch.equal(d, stacked[0]) for d in stacked[1:])


def kicked(moved: Tensor, noise: Tensor, plan: Plan, k: int, x: Tensor) -> Tensor:
    """moved + sigma sqrt(h) R."""
    if plan.noises is not None:
        scale = plan.noises[k]
        if isinstance(scale, float):
            return torch.add(moved, noise, alpha=scale)
        return _applied(scale, noise, moved)
    sigma = plan.process.noise_at(x, 0.5 * float(plan.times[k] + plan.times[k + 1]))
    return moved + math.sqrt(plan.lengths[k]) * (sigma @ noise[..., None])[..., 0]
