"""Entropy production from trajectories as the divergence of segments from reversed segments, without a model."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.estimators.base import stream_of_samples
from infotherm.estimators.nearest import nearest
from infotherm.thermodynamics.recorded import (
    as_integers,
    as_paths,
    as_periods,
    as_time_step,
    bound_terms,
    held_out_bound,
    parts,
    require_enough,
    wrapped,
)

_PRIOR = 2.0  # added to every count: fewer and blocks not yet seen decide, more and rare blocks say nothing
_UNSEEN = 3.0  # "rule of three": what was not seen in n windows has a probability below 3 / n, 95 times in 100
_SHARES = (0.4, 0.2, 0.4)  # of the data: to seek neighbours in, to choose by, to judge by
_MOST_FITTED = 20_000  # segments that neighbours are sought among
_NEIGHBOURS = (5, 15, 40)
_FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # times the dimension


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
    Kawai, Parrondo and Van den Broeck, Phys. Rev. Lett. 98, 080602 (2007); Roldan and Parrondo, "Entropy production and
    Kullback-Leibler divergence between stationary trajectories of discrete systems", Phys. Rev. E 85, 031129 (2012):
    the plug-in divergence, and D_m - D_(m-1).

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
    _require_length(length)
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
    one, other = pieces[:2], pieces[2:]
    judged = [judge_counts(one, other, size), judge_counts(other, one, size)]
    terms = [found.reshape(half.shape[0], -1) for (found, _), half in zip(judged, halves[::-1], strict=True)]
    error = 0.5 * (judged[0][1] + judged[1][1])
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


def judge_counts(fitted: tuple[Tensor, Tensor], judged: tuple[Tensor, Tensor], size: int) -> tuple[Tensor, float]:
    """Terms of the bound <s - exp(-s) + 1> over judged windows, s from the counts of fitted ones, and an error.

    The error is what windows that were not judged at all could do to the mean, were their probability 3 / n.

    Parameters
    ----------
    fitted, judged
        The number of each window (n,), and of the window reversed, below `size`.
    """
    counts = torch.bincount(fitted[0], minlength=size).double()
    reverse = torch.arange(size, device=counts.device)
    for window, back in (fitted, judged):
        reverse[window], reverse[back] = back, window
    values = bound_terms((counts + _PRIOR).log() - (counts[reverse] + _PRIOR).log())
    unseen = torch.bincount(judged[0], minlength=size) == 0
    worst = max(0.0, -float(values[unseen].min())) if bool(unseen.any()) else 0.0
    return values[judged[0]], _UNSEEN / len(judged[0]) * worst


def _plug_in(codes: Tensor, alphabet: int, length: int) -> float:
    """The divergence of the frequencies of blocks from those of reversed blocks, over all of the data."""
    forward, back = (blocks.flatten() for blocks in _blocks(codes, alphabet, length))
    _, labels = torch.unique(torch.cat([forward, back]), return_inverse=True)
    ahead, behind = (torch.bincount(part, minlength=int(labels.max()) + 1) for part in labels.chunk(2))
    seen = ahead > 0
    return float((ahead[seen] / len(forward) * (ahead[seen] / behind[seen]).log()).sum())


def entropy_production_from_segments(
    trajectories: Any, time_step: Any, *, length: int = 2, periodic: Any = None
) -> Estimate:
    r"""Lower bound of the entropy production rate from continuous trajectories, by neighbours of segments.

    Segments w of m successive points against the same segments read backwards: for every function s of segments that
    changes its sign when the segment is reversed,

        (m - 1) dt rate >= D(p(x_1 ... x_m) || p(x_m ... x_1)) >= <s - exp(-s) + 1>,

    in the stationary state of any process of which the points are functions even under time reversal. Here

        s(w) = c log( distance of w to its k-th neighbour among reversed segments / the same among forward ones ),

    the neighbours in one part of the data, in maximum norm, of mean point and displacements on equal scales. With c the
    dimension m D that is the log ratio of the two neighbour densities, whose mean is the neighbour estimate of the
    divergence (`estimators.NeighbourKL`), with a bias of either sign. Here c and k are those that do best on a second
    part, and the bound is the mean over a third, s cut off at -+log(n) / 2 for n segments: it needs no correction of
    bias, and segments may overlap.

    For few coordinates and steps long enough to show a direction. The divergence of short steps drowns in the
    randomness of neighbours: there `entropy_production_from_currents` is better.

    Parameters
    ----------
    trajectories
        (n_paths, n_times, D), or (n_times, D) for one long record, equally spaced in time.
    time_step
        Between two points.
    length
        m, at least 2.
    periodic
        The period, one number or one for each coordinate (inf for none).

    Returns
    -------
    Estimate
        Kind "lower", in nat per time; "unknown", with a warning, where blocks of the record are correlated. A value of
        exactly zero, with no error, means that no factor c did better than zero. `info` holds `k`, `factor` (c),
        `neighbour_divergence` (the mean of s with c = m D, per time: no bound), `n` (blocks) and `windows`.

    Raises
    ------
    ValueError
        For a bad shape, entries that are not finite, a constant coordinate, a length below 2, a time step that is not
        positive, or too few segments.

    References
    ----------
    Roldan and Parrondo, "Estimating dissipation from single stationary trajectories", Phys. Rev. Lett. 105, 150607
    (2010); Wang, Kulkarni and Verdu, IEEE Trans. Inf. Theory 55, 2392 (2009), Eq. 5 (the neighbour estimate).

    Examples
    --------
    >>> turns = torch.randn(2000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> ring = (0.5 * 2 + 1.0**0.5 * turns).cumsum(0)                 # drift 2, D = 1: the rate is 4
    >>> found = entropy_production_from_segments(ring, 0.5, periodic=2 * torch.pi)
    >>> found.kind, bool(1 < found.lower_limit() < 4)
    ('lower', True)
    """
    paths, step = as_paths(trajectories), as_time_step(time_step)
    periods = as_periods(periodic, paths)
    _require_length(length)
    pieces = parts(paths, _SHARES)
    for piece in pieces:
        require_enough(piece, piece.shape[1] - length + 1, "trajectories")
    segments = [_segments(piece, length, periods) for piece in pieces]
    scales = tuple(
        part.flatten(0, -2).square().mean(0).sqrt()
        for part in (segments[0][0] - segments[0][0].mean(0), segments[0][1])
    )
    fitted, chosen, judged = (_flat(part, scales) for part in segments)
    backward = _flat(_reversed(segments[0]), scales)
    thinned = slice(None, None, -(-len(fitted) // _MOST_FITTED))
    train = fitted[thinned], backward[thinned]
    dimension = length * paths.shape[-1]
    ratios = {k: dimension * ratio for k, ratio in _log_distance_ratios(train, chosen).items()}
    cut = 0.5 * math.log(len(chosen))
    ratings = {(k, c): float(bound_terms(c * ratios[k], cut).mean()) for k in ratios for c in _FACTORS}
    k, factor = max(ratings, key=lambda pair: ratings[pair])
    found = dimension * _log_distance_ratios(train, judged, k)[k]
    terms = bound_terms(factor * found, 0.5 * math.log(len(found)))
    per = (length - 1) * step
    return held_out_bound(
        "entropy_production_from_segments",
        [terms.reshape(pieces[2].shape[0], -1)],
        per=per,
        streams=(stream_of_samples(paths),),
        k=k,
        factor=factor * dimension,
        neighbour_divergence=float(found.mean()) / per,
    )


def _require_length(length: Any) -> None:
    if isinstance(length, bool) or not isinstance(length, int) or length < 2:
        raise ValueError(f"length must be an integer of at least 2; got {length!r}")


def _segments(paths: Tensor, length: int, periods: Tensor) -> tuple[Tensor, Tensor]:
    """Of every segment what reversal keeps, its mean point (n, K), and its displacements (n, m - 1, D).

    The mean of a periodic coordinate is a point on a circle: its cosine and its sine.
    """
    moved = wrapped(paths[:, 1:] - paths[:, :-1], periods).unfold(1, length - 1, 1).mT
    ahead = torch.cat([torch.zeros_like(moved[:, :, :1]), moved.cumsum(2)], 2)
    mean = (paths[:, : moved.shape[1]] + ahead.mean(2)).flatten(0, 1)
    ring = periods.isfinite()
    angles = 2 * math.pi * mean[:, ring] / periods[ring]
    return torch.cat([mean[:, ~ring], angles.cos(), angles.sin()], 1), moved.flatten(0, 1)


def _reversed(segments: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return segments[0], -segments[1].flip(1)


def _flat(segments: tuple[Tensor, Tensor], scales: tuple[Tensor, ...]) -> Tensor:
    """Segments as points; reversal permutes and reflects their coordinates, which keeps distances in maximum norm."""
    return torch.cat([segments[0] / scales[0], (segments[1] / scales[1]).flatten(1)], 1)


def _log_distance_ratios(train: tuple[Tensor, Tensor], points: Tensor, *only: int) -> dict[int, Tensor]:
    """log (distance to the k-th reversed segment / distance to the k-th forward one) for each k; odd under reversal."""
    wanted = [k for k in only or _NEIGHBOURS if k <= len(train[0])]
    ahead, behind = (nearest(part, max(wanted), points).distances for part in train)
    tiny = torch.finfo(points.dtype).tiny  # two segments may coincide
    return {k: (behind[:, k - 1] + tiny).log() - (ahead[:, k - 1] + tiny).log() for k in wanted}
