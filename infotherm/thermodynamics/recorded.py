"""Recorded data: how trajectories come in, parts that judge each other, blocks that carry the random error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, require_finite
from infotherm.estimators.diagnostics import distrusted
from infotherm.estimators.held_out import lower_error

BLOCKS = 32  # of each part, of which the spread of the mean is read off
_CLEAR = 3.5  # standard errors at which neighbouring blocks are not independent


def as_paths(trajectories: Any, *, varying: bool = True) -> Tensor:
    """Trajectories (n_paths, n_times, D), or one long record (n_times, D), as float64 (n_paths, n_times, D).

    Raises
    ------
    ValueError
        For another shape, fewer than two times, entries that are not finite (naming the first), or a coordinate that
        never changes.
    """
    paths = as_tensor(trajectories, "trajectories").detach().to(torch.float64)
    if paths.ndim == 2:
        paths = paths[None]
    if paths.ndim != 3 or 0 in paths.shape or paths.shape[1] < 2:
        raise ValueError(
            "trajectories must have shape (n_paths, n_times, D), or (n_times, D) for one record, with n_times >= 2; "
            f"got {tuple(as_tensor(trajectories).shape)}"
        )
    require_finite(paths, "trajectories")
    if varying:
        still = (paths[:, 1:] == paths[:, :-1]).flatten(0, 1).all(0).nonzero().flatten().tolist()
        if still:
            raise ValueError(
                f"trajectories must move; coordinate {still[0]} is constant in time: leave it out "
                "(what does not move says nothing of irreversibility)"
            )
    return paths


def as_integers(values: Any, name: str) -> Tensor:
    """Integer data of any shape as int64.

    Raises
    ------
    TypeError
        When they are not of an integer dtype.
    """
    if isinstance(values, Tensor):
        whole, array = not (values.is_floating_point() or values.is_complex()), values
    else:
        array = np.asarray(values)
        whole = array.dtype.kind in "iub"
    if not whole:
        raise TypeError(f"{name} must hold integers; got dtype {array.dtype}")
    return torch.as_tensor(array).to(torch.int64)


def as_time_step(time_step: Any) -> float:
    """The time between two recorded points.

    Raises
    ------
    TypeError, ValueError
        When it is not one positive finite number.
    """
    given = as_tensor(time_step, "time_step")
    if given.numel() != 1:
        raise ValueError(f"time_step must be one number; got shape {tuple(given.shape)}")
    step = float(given)
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"time_step must be positive and finite; got {step}")
    return step


def as_periods(periodic: Any, paths: Tensor) -> Tensor:
    """The period of each coordinate (D,), infinite where it has none.

    Raises
    ------
    ValueError
        For a period that is not positive, or another number of them than coordinates.
    """
    dim = paths.shape[-1]
    if periodic is None:
        return torch.full((dim,), math.inf, dtype=paths.dtype, device=paths.device)
    periods = as_tensor(periodic, "periodic").to(paths)
    if periods.shape not in ((), (1,), (dim,)) or not bool((periods > 0).all()):
        raise ValueError(
            f"periodic must be one positive period, or one for each of the {dim} coordinates (inf for none); "
            f"got {periodic}"
        )
    return periods.expand(dim)


def wrapped(x: Tensor, periods: Tensor) -> Tensor:
    """Differences by the shortest way around periodic coordinates."""
    ring = periods.isfinite()
    turn = torch.where(ring, periods, 1.0)
    return torch.where(ring, x - turn * torch.round(x / turn), x)


def steps_of(paths: Tensor, periods: Tensor) -> tuple[Tensor, Tensor]:
    """Midpoints and displacements of every step, (n_paths, n_times - 1, D) each.

    Exchanging the two ends keeps the first and flips the sign of the second. Midpoints of periodic coordinates lie in
    [0, period).
    """
    moved = wrapped(paths[:, 1:] - paths[:, :-1], periods)
    ring = periods.isfinite()
    middle = paths[:, :-1] + 0.5 * moved
    return torch.where(ring, torch.remainder(middle, torch.where(ring, periods, 1.0)), middle), moved


def parts(paths: Tensor, shares: Sequence[float]) -> list[Tensor]:
    """Parts that may be taken as independent: sets of whole paths where there are many, else stretches of time.

    `paths` has shape (n_paths, n_times, ...). Paths are shuffled first (always in the same way): they may come sorted.
    """
    n, times = paths.shape[:2]
    whole = n >= BLOCKS
    size = n if whole else times
    ends = [round(size * sum(shares[: i + 1])) for i in range(len(shares))]
    cuts = [slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    if not whole:
        return [paths[:, cut] for cut in cuts]
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0)).to(paths.device)
    return [paths[order[cut]] for cut in cuts]


def require_enough(part: Tensor, windows: int, name: str) -> None:
    """Refuse a part (n_paths, n_times, ...) in which blocks cannot be formed from its windows.

    Raises
    ------
    ValueError
        Saying how many windows there are.
    """
    paths, times = part.shape[0], windows
    if times < 1 or paths * times < 2 * BLOCKS:
        raise ValueError(
            f"{name} must be long enough for {2 * BLOCKS} windows in each of the parts that are fitted and judged; "
            f"got {max(0, paths * times)}"
        )


def block_means(terms: Tensor) -> Tensor:
    """Means (n_paths, blocks) of terms (n_paths, n_windows) over stretches of equal length, at least 32 in all.

    What does not fill a stretch is left out.
    """
    paths, windows = terms.shape
    count = min(windows, -(-BLOCKS // paths))
    length = windows // count
    return terms[:, : count * length].reshape(paths, count, length).mean(-1)


def bound_terms(ratios: Tensor, cut: float = math.inf) -> Tensor:
    """s - exp(-s) + 1, whose mean over windows is at most their divergence from reversed ones, s cut off at +-cut."""
    ratios = ratios.clamp(-cut, cut)
    return ratios - torch.expm1(-ratios)


def held_out_bound(
    name: str,
    terms: Sequence[Tensor],
    *,
    per: float,
    streams: Sequence[str],
    error: float = 0.0,
    **info: Any,
) -> Estimate:
    """The mean over held-out windows, divided by the time `per`, as a lower bound of a rate.

    Its standard error is that of the means of blocks, widened for skewness and by sqrt((1 + r) / (1 - r)) where
    neighbouring blocks have a correlation r > 0. Of kind "unknown" where that is beyond chance: the record is then too
    short for its memory.

    Parameters
    ----------
    terms
        One tensor (n_paths, n_windows) for each part that was judged by what was fitted to the others.
    """
    blocks = [block_means(part) for part in terms]
    means = torch.cat([block.flatten() for block in blocks])
    n = len(means)
    deviations = means - means.mean()
    stderr = lower_error(deviations, n) * math.sqrt(n / (n - 1)) / per
    value = means.mean() / per
    correlation, chance = _neighbour_correlation(blocks)
    estimate = Estimate(
        value,
        stderr=stderr * math.sqrt((1 + max(correlation, 0.0)) / (1 - max(correlation, 0.0))),
        error=rounding_error([value, means.abs().mean() / per]) + error / per,
        kind="lower",
        method="variational",
        units="nat/time",
        streams=streams,
        info={"n": n, "windows": sum(part.numel() for part in terms), **info},
    )
    if correlation <= _CLEAR * chance:
        return estimate
    reason = f"neighbouring blocks of the record are correlated ({correlation:.2f}): it is too short for its memory"
    return distrusted(name, estimate, reason)


def _neighbour_correlation(blocks: Sequence[Tensor]) -> tuple[float, float]:
    """The correlation of neighbouring blocks (n_paths, blocks), and its standard error where there is none."""
    centred = [block - block.mean() for block in blocks]
    products = torch.cat([(block[:, :-1] * block[:, 1:]).flatten() for block in centred])
    size = torch.cat([block.flatten() for block in centred]).square().mean()
    if len(products) < BLOCKS // 2 or not bool(size > 0):
        return 0.0, math.inf
    return min(float(products.mean() / size), 0.99), 1 / math.sqrt(len(products))
