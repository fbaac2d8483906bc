"""Entropy production from trajectories as the divergence of segments from reversed segments, without a model."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.estimators import NeighbourKL
from infotherm.estimators.base import stream_of_samples
from infotherm.thermodynamics.recorded import (
    as_integers,
    as_paths,
    as_periods,
    as_time_step,
    held_out_bound,
    parts,
    require_enough,
    wrapped,
)

_PRIOR = 2.0  # added to every count: fewer and blocks not yet seen decide, more and rare blocks say nothing
_UNSEEN = 3.0  # "rule of three": what was not seen in n windows has a probability below 3 / n, 95 times in 100
_FORGOTTEN = 0.1  # autocorrelation below which two windows count as independent


def entropy_production_from_sequences(states: Any, time_step: Any = 1.0, *, length: int = 2) -> Estimate:
    r"""Lower bound of the entropy production rate from sequences of discrete states, by the frequencies of blocks.

    Blocks of m successive states against the same blocks read backwards: for every function s of blocks that changes
    its sign when the block is reversed,

        (m - 1) dt rate >= D(p(x_1 ... x_m) || p(x_m ... x_1)) >= <s - exp(-s) + 1>,

    in the stationary state of any process of which the states are functions even under time reversal (hidden states
    make the observed sequence remember; longer blocks then show more). On the right equality holds for the log ratio of
    the two probabilities. Here s = log (n_f + 2) / (n_b + 2), from the counts of a block and of its reverse in one half
    of the data; the bound is the mean over the other half, and the other way round. It is therefore not biased upwards
    as the plug-in divergence is (whose value is in `info`). What a block that was not seen could do is in the `error`:
    its probability is taken to be below 3 / n.

    For a Markov chain blocks of two states give the whole entropy production of the sequence, which for jumps observed
    every dt is below that of the jump process.

    Parameters
    ----------
    states
        Integers (n_paths, n_times), or (n_times,) for one long record, equally spaced in time.
    time_step
        Between two states: 1 makes it a rate per step.
    length
        m, at least 2.

    Returns
    -------
    Estimate
        Kind "lower", in nat per time; "unknown", with a warning, where blocks of the record are correlated. `info`
        holds `plug_in` (the divergence of frequencies, infinite where a reversed block never occurs), `conditional`
        (D_m - D_(m-1), which for a chain of order m - 1 is the rate and otherwise on no known side of it: kind
        "unknown"), `n` and `windows`.

    Raises
    ------
    TypeError, ValueError
        For states that are no integers, a bad shape, too few of them, a length below 2 or so large that blocks cannot
        be counted, or a time step that is not positive.

    References
    ----------
    Roldan and Parrondo, Phys. Rev. E 85, 031129 (2012), Eqs. 18 and 25 (plug-in; here split); Kawai, Parrondo and Van
    den Broeck, Phys. Rev. Lett. 98, 080602 (2007).

    Examples
    --------
    >>> turns = torch.rand(20_000, generator=torch.Generator().manual_seed(0)) < 0.8
    >>> ring = torch.where(turns, 1, -1).cumsum(0) % 3        # forward 4 times in 5: the rate is 0.6 log 4 = 0.8318
    >>> found = entropy_production_from_sequences(ring)
    >>> found.kind, bool(0.75 < found.lower_limit() < 0.8318)
    ('lower', True)
    """
    step = as_time_step(time_step)
    codes, alphabet = _letters(states)
    if isinstance(length, bool) or not isinstance(length, int) or length < 2:
        raise ValueError(f"length must be an integer of at least 2; got {length!r}")
    if length * math.log(max(2, alphabet)) > math.log(2.0**62):
        raise ValueError(f"length must be shorter: {alphabet}^{length} blocks cannot be counted")
    stream = stream_of_samples(codes)
    halves = parts(codes, (0.5, 0.5))
    for half in halves:
        require_enough(half, half.shape[1] - length + 1, "states")
    tables = [_blocks(half, alphabet, length) for half in halves]
    _, labels = torch.unique(torch.cat([t.flatten() for table in tables for t in table]), return_inverse=True)
    size = int(labels.max()) + 1
    pieces = labels.split([t.numel() for table in tables for t in table])
    (one, one_back), (other, other_back) = pieces[:2], pieces[2:]
    terms, error = [], 0.0
    for fitted, judged, (blocks, _) in (
        ((one, one_back), (other, other_back), tables[1]),
        ((other, other_back), (one, one_back), tables[0]),
    ):
        ratios = _log_ratios(*fitted, *judged, size)
        values = ratios - torch.expm1(-ratios)
        terms.append(values[judged[0]].reshape(blocks.shape))
        unseen = torch.bincount(judged[0], minlength=size) == 0
        if bool(unseen.any()):
            error += 0.5 * _UNSEEN / blocks.numel() * max(0.0, -float(values[unseen].min()))
    whole = _plug_in(codes, alphabet, length)
    shorter = _plug_in(codes, alphabet, length - 1)
    return held_out_bound(
        "entropy_production_from_sequences",
        terms,
        per=(length - 1) * step,
        streams=(stream,),
        error=error,
        plug_in=whole / ((length - 1) * step),
        conditional=Estimate(
            (whole - shorter) / step if math.isfinite(whole) else math.inf,
            error=math.inf,
            kind="unknown",
            method="sample-based",
            units="nat/time",
        ),
    )


def _letters(states: Any) -> tuple[Tensor, int]:
    """States as numbers from zero (n_paths, n_times), and how many there are."""
    found = as_integers(states, "states")
    found = found[None] if found.ndim == 1 else found
    if found.ndim != 2 or 0 in found.shape:
        raise ValueError(
            f"states must have shape (n_paths, n_times), or (n_times,) for one record; got {tuple(found.shape)}"
        )
    values, codes = torch.unique(found, return_inverse=True)
    return codes, len(values)


def _blocks(codes: Tensor, alphabet: int, length: int) -> tuple[Tensor, Tensor]:
    """The number of every block (n_paths, n_windows), and that of the same block reversed."""
    windows = codes.unfold(1, length, 1)
    powers = alphabet ** torch.arange(length, device=codes.device)
    return (windows * powers.flip(0)).sum(-1), (windows * powers).sum(-1)


def _log_ratios(fitted: Tensor, fitted_back: Tensor, judged: Tensor, judged_back: Tensor, size: int) -> Tensor:
    """log (n_f + 2) / (n_b + 2) for every label of a block, from the counts in the fitted part."""
    counts = torch.bincount(fitted, minlength=size).double()
    reverse = torch.zeros(size, dtype=torch.int64, device=fitted.device)
    for block, back in ((fitted, fitted_back), (judged, judged_back)):
        reverse[block], reverse[back] = back, block
    return (counts + _PRIOR).log() - (counts[reverse] + _PRIOR).log()


def _plug_in(codes: Tensor, alphabet: int, length: int) -> float:
    """The divergence of the frequencies of blocks from those of reversed blocks, over all of the data."""
    forward, back = (blocks.flatten() for blocks in _blocks(codes, alphabet, length))
    _, labels = torch.unique(torch.cat([forward, back]), return_inverse=True)
    ahead, behind = (torch.bincount(part, minlength=int(labels.max()) + 1) for part in labels.chunk(2))
    seen = ahead > 0
    return float((ahead[seen] / len(forward) * (ahead[seen] / behind[seen]).log()).sum())


def entropy_production_from_segments(
    trajectories: Any,
    time_step: Any,
    *,
    length: int = 2,
    periodic: Any = None,
    spacing: int | None = None,
    k: int = 3,
) -> Estimate:
    r"""Lower bound of the entropy production rate from continuous trajectories, by neighbours of segments.

    Segments of m successive points against segments read backwards,

        rate >= D(p(x_1 ... x_m) || p(x_m ... x_1)) / ((m - 1) dt),

    the divergence estimated from nearest neighbours by `estimators.NeighbourKL`: forward segments from one half of the
    data, reversed ones from the other, in the coordinates (mean of the points, m - 1 displacements), each of unit size.
    For few coordinates and steps long enough to show a direction: the divergence of short steps drowns in the
    randomness of neighbours, where `entropy_production_from_currents` is better.

    Segments must be independent of each other. They are taken every `spacing` steps, after which the coordinates have
    forgotten where they were (autocorrelation below 0.1), and one from each path where paths are too short for that.

    Parameters
    ----------
    trajectories
        (n_paths, n_times, D), or (n_times, D) for one long record, equally spaced in time.
    time_step
        Between two points.
    length
        m, at least 2.
    periodic
        The period, one number or one for each coordinate (inf for none). The seam of a period costs accuracy.
    spacing
        Steps from one segment to the next.
    k
        Which neighbour.

    Returns
    -------
    Estimate
        Kind "lower" with the standard error and the bias (`error`) of the divergence; "unknown" where `NeighbourKL`
        finds its number not to be trusted, with its warning. `info` holds its diagnostics, `spacing` and `segments`.

    Raises
    ------
    ValueError
        For a bad shape, entries that are not finite, a constant coordinate, a length below 2, a time step that is not
        positive, or fewer than 50 segments.

    References
    ----------
    Roldan and Parrondo, Phys. Rev. Lett. 105, 150607 (2010), Eq. 4; Wang, Kulkarni and Verdu, IEEE Trans. Inf. Theory
    55, 2392 (2009), Eq. 5.

    Examples
    --------
    >>> turns = torch.randn(400, 2, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> starts = 2 * torch.pi * torch.rand(400, 1, 1, generator=torch.Generator().manual_seed(1))
    >>> ring = starts + (0.5 * 2 + 1.0**0.5 * turns).cumsum(1)             # drift 2, D = 1: the rate is 4
    >>> found = entropy_production_from_segments(ring, 0.5, periodic=2 * torch.pi)
    >>> found.kind, bool(found.lower_limit() < 4 < found.value + 2)
    ('lower', True)
    """
    paths, step = as_paths(trajectories), as_time_step(time_step)
    periods = as_periods(periodic, paths)
    if isinstance(length, bool) or not isinstance(length, int) or not 2 <= length <= paths.shape[1]:
        raise ValueError(f"length must be an integer from 2 to the {paths.shape[1]} times of a path; got {length!r}")
    if spacing is None:
        spacing = max(length, _memory(paths, periods))
    elif isinstance(spacing, bool) or not isinstance(spacing, int) or spacing < 1:
        raise ValueError(f"spacing must be an integer of at least 1; got {spacing!r}")
    windows = paths.unfold(1, length, 1)[:, ::spacing].mT  # (n_paths, n_windows, m, D)
    if len(paths) >= 50:
        first, second = (half.flatten(0, 1) for half in parts(windows, (0.5, 0.5)))
    else:
        cut = windows.shape[1] // 2
        first, second = windows[:, :cut].flatten(0, 1), windows[:, cut:].flatten(0, 1)
    if min(len(first), len(second)) < 25:
        raise ValueError(
            f"trajectories must hold at least 50 independent segments; got {len(first) + len(second)} at {spacing} "
            "steps from each other (give longer records, or spacing= where these are independent sooner)"
        )
    forward, backward = _coordinates(first, periods), _coordinates(second.flip(1), periods)
    scale = forward.std(0)
    divergence = NeighbourKL(k=k).estimate(forward / scale, backward / scale)
    found = divergence / ((length - 1) * step)
    return replace(
        found,
        kind="lower" if divergence.kind == "estimate" else "unknown",
        units="nat/time",
        streams=(stream_of_samples(paths),),
        info={**divergence.info, "spacing": spacing, "segments": len(first) + len(second)},
    )


def _coordinates(segments: Tensor, periods: Tensor) -> Tensor:
    """Mean point and displacements of segments (n, m, D), side by side (n, m D); a linear map of determinant one."""
    moved = wrapped(segments[:, 1:] - segments[:, :-1], periods)
    ahead = torch.cat([torch.zeros_like(moved[:, :1]), moved.cumsum(1)], 1)
    mean = segments[:, 0] + ahead.mean(1)
    ring = periods.isfinite()
    mean = torch.where(ring, torch.remainder(mean, torch.where(ring, periods, 1.0)), mean)
    return torch.cat([mean, moved.flatten(1)], 1)


def _memory(paths: Tensor, periods: Tensor) -> int:
    """After how many steps no coordinate remembers where it was; the length of a path where that is not seen."""
    ring = periods.isfinite()
    angles = 2 * math.pi * paths[..., ring] / periods[ring]
    signals = torch.cat([paths[..., ~ring], angles.sin(), angles.cos()], -1)
    signals = signals - signals.mean((0, 1))
    size = signals.square().mean((0, 1))
    for lag in range(1, max(2, paths.shape[1] // 4)):
        together = (signals[:, lag:] * signals[:, :-lag]).mean((0, 1))
        if bool((together.abs() <= _FORGOTTEN * size).all()):
            return lag
    return paths.shape[1]
