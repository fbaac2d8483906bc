"""Entropy production from trajectories by a trained network: the log ratio of a step and its reverse."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from infotherm.core.estimate import Estimate
from infotherm.core.tensors import Generator
from infotherm.estimators.base import stream_of_samples
from infotherm.estimators.held_out import private_generator
from infotherm.networks import MLP
from infotherm.thermodynamics.recorded import (
    as_paths,
    as_periods,
    as_time_step,
    bound_terms,
    held_out_bound,
    parts,
    require_enough,
    steps_of,
)

_SHARES = (0.5, 0.2, 0.3)  # of the data: to train on, to choose by, to judge by
_CHECKS = 25  # how often the validation part is looked at
_PATIENCE = 6  # checks without improvement after which training ends
_AT_ONCE = 2**16  # steps in memory
_LARGEST = 30.0  # log ratios whose exponential is taken in training


def entropy_production_from_network(
    trajectories: Any,
    time_step: Any,
    *,
    periodic: Any = None,
    width: int = 32,
    depth: int = 2,
    steps: int = 400,
    batch_size: int = 4096,
    learning_rate: float = 3e-3,
    generator: Generator = None,
) -> Estimate:
    r"""Lower bound of the entropy production rate of a stationary process, from a network trained on its trajectories.

    For every function Delta S(x, x') of a step that changes its sign when the step is reversed, and any time step dt,

        rate >= D(p(x, x') || p(x', x)) / dt >= <Delta S - exp(-Delta S) + 1> / dt,

    with equality on the right for Delta S = log p(x, x') / p(x', x). The network is h(m, u) - h(m, -u), m the midpoint
    and u = x' - x: the same functions as h(x, x') - h(x', x), in coordinates of one size however short the step.
    It is trained on half of the data, the best of its states is chosen on a fifth, and the bound is the mean on the
    rest (sets of whole paths where there are at least 32, else stretches of time), with the standard error of means of
    blocks. There Delta S is cut off at -+log(n) / 2 for n steps: it stays antisymmetric, so that the bound holds, and
    no single step can decide. What the network says on average, <Delta S> / dt, is no bound and given in `info` only.

    Not limited to currents, as `entropy_production_from_currents` is, so that less is missed for long steps; for short
    ones that needs less data. **The process must be stationary, and the coordinates even under time reversal.**

    Parameters
    ----------
    trajectories
        (n_paths, n_times, D), or (n_times, D) for one long record, equally spaced in time.
    time_step
        Between two points.
    periodic
        The period, one number or one for each coordinate (inf for none).
    width, depth
        Of the hidden layers.
    steps, batch_size, learning_rate
        Of the training (Adam, the rate falling along a cosine); it stops early.
    generator
        Of the initial weights and the order of training.

    Returns
    -------
    Estimate
        Kind "lower", in nat per time; "unknown", with a warning, where blocks of the record are correlated. A value of
        exactly zero, with no error, means that no state of the network did better than none. `info` holds
        `mean_log_ratio` (<Delta S> / dt), `validation_value`, `step` (of the chosen state), `n` (blocks), `windows`.

    Raises
    ------
    ValueError
        For a bad shape, entries that are not finite, a constant coordinate, too few steps, a time step that is not
        positive, or settings below one.

    References
    ----------
    Kim, Bae, Lee and Jeong, "Learning entropy production via neural networks", Phys. Rev. Lett. 125, 140604 (2020);
    its estimate is the mean of Delta S, which is not on a known side of the truth.

    Examples
    --------
    >>> turns = torch.randn(4000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> ring = (0.1 * 2 + 0.2**0.5 * turns).cumsum(0)                 # drift 2, D = 1: the rate is 4
    >>> found = entropy_production_from_network(ring, 0.1, periodic=2 * torch.pi, steps=60, generator=0)
    >>> found.kind, bool(2 < found.lower_limit() < 4)
    ('lower', True)
    """
    paths, step = as_paths(trajectories), as_time_step(time_step)
    periods = as_periods(periodic, paths)
    for name, given, least in (("steps", steps, 1), ("batch_size", batch_size, 2)):
        if given < least:
            raise ValueError(f"{name} must be at least {least}; got {given}")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive; got {learning_rate}")
    train, chosen, fresh = parts(paths, _SHARES)
    for part in (train, chosen, fresh):
        require_enough(part, part.shape[1] - 1, "trajectories")
    draw = private_generator(generator, paths.device)
    inputs = _Inputs.of(train, periods)
    network = MLP(inputs.size, 1, width=width, depth=depth, zero_output=True, generator=draw, device=paths.device)
    validation, best_step = _train(network, inputs(train), inputs(chosen), steps, batch_size, learning_rate, draw)
    ratios = _log_ratios(network, inputs(fresh)).reshape(fresh.shape[0], -1)
    cut = 0.5 * math.log(ratios.numel())
    return held_out_bound(
        "entropy_production_from_network",
        [bound_terms(ratios, cut)],
        per=step,
        streams=(stream_of_samples(paths),),
        mean_log_ratio=float(ratios.mean()) / step,
        validation_value=validation / step,
        step=best_step,
    )


@dataclass(frozen=True)
class _Inputs:
    """Midpoints and displacements as the network sees them, of unit size in the training part."""

    periods: Tensor
    centre: Tensor
    scale: Tensor
    reach: Tensor

    @classmethod
    def of(cls, train: Tensor, periods: Tensor) -> _Inputs:
        middle, moved = (z.flatten(0, 1) for z in steps_of(train, periods))
        scale, reach = middle.std(0), moved.square().mean(0).sqrt()
        return cls(periods, middle.mean(0), torch.where(scale > 0, scale, 1.0), torch.where(reach > 0, reach, 1.0))

    @property
    def size(self) -> int:
        return 2 * len(self.periods) + int(self.periods.isfinite().sum())

    def __call__(self, paths: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the midpoints (n, K) and displacements (n, D), float32."""
        middle, moved = (z.flatten(0, 1) for z in steps_of(paths, self.periods))
        ring = self.periods.isfinite()
        angles = 2 * math.pi * middle[:, ring] / self.periods[ring]
        plain = ((middle - self.centre) / self.scale)[:, ~ring]
        return torch.cat([plain, angles.sin(), angles.cos()], 1).float(), (moved / self.reach).float()


def _log_ratio(network: MLP, middle: Tensor, moved: Tensor) -> Tensor:
    """Delta S = h(m, u) - h(m, -u) of each step (n,)."""
    forward = network(torch.cat([middle, moved], 1))
    return (forward - network(torch.cat([middle, -moved], 1)))[:, 0]


def _log_ratios(network: MLP, data: tuple[Tensor, Tensor]) -> Tensor:
    with torch.no_grad():
        batches = zip(data[0].split(_AT_ONCE), data[1].split(_AT_ONCE), strict=True)
        return torch.cat([_log_ratio(network, *batch).double() for batch in batches])


def _train(
    network: MLP,
    train: tuple[Tensor, Tensor],
    chosen: tuple[Tensor, Tensor],
    steps: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
) -> tuple[float, int]:
    """Raises the bound on the training part and leaves the state that has the highest one on the part to choose by.

    Returns that bound per step and which step it is from: 0 for the function zero, where the network begins.
    """
    n = len(train[0])
    size = min(batch_size, n)
    cut = 0.5 * math.log(len(chosen[0]))
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    best, best_step, kept = 0.0, 0, deepcopy(network.state_dict())
    order, start, waited = torch.randperm(n, generator=generator), 0, 0
    every = max(1, steps // _CHECKS)
    for step in range(1, steps + 1):
        if start + size > n:
            order, start = torch.randperm(n, generator=generator), 0
        rows = order[start : start + size].to(train[0].device)
        start += size
        optimiser.zero_grad()
        ratios = _log_ratio(network, train[0][rows], train[1][rows])
        (-bound_terms(ratios.clamp(min=-_LARGEST)).mean()).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for group in optimiser.param_groups:  # down to zero along a cosine: the last checks compare quiet networks
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
        optimiser.step()
        if step % every == 0 or step == steps:
            rating = float(bound_terms(_log_ratios(network, chosen), cut).mean())
            waited += 1
            if rating > best:
                best, best_step, kept, waited = rating, step, deepcopy(network.state_dict()), 0
            if waited >= _PATIENCE:
                break
    network.load_state_dict(kept)
    return best, best_step
