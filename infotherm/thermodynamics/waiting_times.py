"""Entropy production that a few visible transitions show: their order, and the waiting times between them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import integrate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor
from infotherm.estimators.base import stream_of_samples
from infotherm.processes import MarkovJump
from infotherm.processes.uniformisation import stochastic_exponential
from infotherm.thermodynamics.path_divergence import judge_counts
from infotherm.thermodynamics.recorded import BLOCKS, as_integers, held_out_bound

_MOST_BINS, _PER_BIN = 20, 25
_FEW = 20  # times that a transition must be seen in each half

Links = Sequence[tuple[int, int]]


def visible_transitions(states: Any, links: Links) -> Tensor:
    """Labels of the jumps in sequences of states: +l for link l = 1, 2, ... passed i -> j, -l for j -> i, else 0.

    Parameters
    ----------
    states
        Integers (..., n + 1): the states that a jump process visits, one after the other.
    links
        Pairs (i, j) of states; the first is link 1.

    Returns
    -------
    Tensor
        int64 (..., n), the label of each jump.

    Examples
    --------
    >>> visible_transitions([0, 1, 2, 1, 0], [(0, 1)]).tolist()
    [1, 0, 0, -1]
    """
    visited = as_integers(states, "states")
    if visited.ndim == 0 or visited.shape[-1] < 2:
        raise ValueError(f"states must have shape (..., n + 1) with at least one jump; got {tuple(visited.shape)}")
    before, after = visited[..., :-1], visited[..., 1:]
    labels = torch.zeros_like(before)
    for number, (i, j) in enumerate(_links(links), start=1):
        labels[(before == i) & (after == j)] = number
        labels[(before == j) & (after == i)] = -number
    return labels


def entropy_production_from_transitions(labels: Any, times: Any) -> Estimate:
    r"""Lower bound of the entropy production rate of a stationary jump process, from the transitions that are visible.

    Of all jumps only those along some links of single pairs of states are seen, in both directions, with their times.
    With P(a) the share of transitions a, nu their number per time, and -a the reverse of a,

        rate >= nu sum_ab P(a) int psi(b, t | a) log( psi(b, t | a) / psi(-a, t | -b) ) dt = nu (D_2 - D_1),

    psi(b, t | a) the density that the next visible transition is b and comes after the time t; D_2 is the divergence of
    windows (a, t, b) from windows (-b, t, -a), D_1 = sum_a P(a) log P(a) / P(-a). For a single cycle seen at one link
    this is the whole rate, current times affinity.

    D_2 is bounded from below by <s - exp(-s) + 1>, for every s that changes its sign when the window is reversed: here
    the log ratio of counts, the waiting times in up to 20 bins, from one half of the windows, judged on the other, and
    the other way round. D_1 is that of the frequencies; its bias (upwards) lowers the bound. What a sort of window that
    was not seen could do is in the `error`: its probability is taken to be below 3 / n.

    **After a visible transition the state must be known** (one link of the process for each label): then windows know
    of the past no more than their first transition. Records must be long compared with the waiting times.

    Parameters
    ----------
    labels
        Integers (n_paths, n_events) or (n_events,): +l and -l for link l passed forwards and backwards, 0 for what is
        not visible (hidden jumps, padding), as `visible_transitions` gives them.
    times
        When, of the same shape, increasing along each path; ignored where the label is 0.

    Returns
    -------
    Estimate
        Kind "lower", in nat per time; "unknown", with a warning, where a transition is seen fewer than 20 times in one
        half, or blocks of the record are correlated. `info` holds `sequence_part` (the plug-in value that the order of
        transitions alone gives: no bound), `transition_rate` (nu), `n` (blocks) and `windows`.

    Raises
    ------
    TypeError, ValueError
        For labels that are no integers, shapes that differ, times not increasing or not finite, too few transitions, or
        a transition whose reverse is never seen in one of the halves.

    References
    ----------
    van der Meer, Ertel and Seifert, "Thermodynamic inference in partially accessible Markov networks", Phys. Rev. X 12,
    031025 (2022); Harunari, Dutta, Polettini and Roldan, "What to learn from a few visible transitions' statistics?",
    Phys. Rev. X 12, 041026 (2022).

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> turns = torch.where(torch.rand(30_000, generator=generator) < 0.8, 1, -1)
    >>> waits = torch.empty(30_000, dtype=torch.float64).exponential_(generator=generator)
    >>> visited = torch.cat([torch.zeros(1, dtype=torch.int64), turns.cumsum(0)]) % 3
    >>> labels = visible_transitions(visited, [(0, 1)])               # the rate is 0.6 log 4 = 0.8318
    >>> found = entropy_production_from_transitions(labels, waits.cumsum(0))
    >>> found.kind, bool(0.7 < found.lower_limit() < 0.8318)
    ('lower', True)
    """
    first, second, waits = _windows(labels, times)
    if len(waits) < 4 * BLOCKS:
        raise ValueError(f"labels must hold at least {4 * BLOCKS} pairs of visible transitions; got {len(waits)}")
    middle = len(waits) // 2
    halves = [tuple(z[cut] for z in (first, second, waits)) for cut in (slice(middle), slice(middle, None))]
    fewest = min(_fewest(half) for half in halves)
    terms, error = [], 0.0
    for fitted, judged in (halves, halves[::-1]):
        numbers, size = _number_windows(fitted, judged)
        divergence, unseen = judge_counts(*numbers, size)
        passed = judged[2].mean()
        found = divergence - _label_terms(judged)
        rate = found.mean() / passed
        terms.append((rate + (found - rate * judged[2]) / passed)[None])
        error += 0.5 * unseen / float(passed)
    estimate = held_out_bound(
        "entropy_production_from_transitions",
        terms,
        per=1.0,
        streams=(stream_of_samples(first, second, waits),),
        error=error,
        sequence_part=_sequence_part(first, second) / float(waits.mean()),
        transition_rate=1 / float(waits.mean()),
    )
    if fewest >= _FEW or estimate.kind == "unknown":
        return estimate
    reason = f"a transition is seen {fewest} times in one half of the record; at least {_FEW} are needed"
    warnings.warn(f"entropy_production_from_transitions: {reason}; the result is of kind 'unknown'", stacklevel=2)
    return replace(estimate, kind="unknown", info={**estimate.info, "warning": reason})


def _windows(labels: Any, times: Any) -> tuple[Tensor, Tensor, Tensor]:
    """First and second label of all pairs of successive visible transitions, and the time between, path after path."""
    marks, when = as_integers(labels, "labels"), as_tensor(times, "times").to(torch.float64)
    if marks.shape != when.shape or marks.ndim not in (1, 2):
        raise ValueError(
            "labels and times must both have shape (n_paths, n_events) or (n_events,); "
            f"got {tuple(marks.shape)} and {tuple(when.shape)}"
        )
    marks, when = torch.atleast_2d(marks), torch.atleast_2d(when)
    path, event = torch.nonzero(marks, as_tuple=True)
    label, at = marks[path, event], when[path, event]
    if not bool(at.isfinite().all()):
        where = int((~at.isfinite()).nonzero()[0])
        raise ValueError(
            f"times must be finite where a transition is visible; got {at[where].item()} at index "
            f"{[int(path[where]), int(event[where])]}"
        )
    same = path[1:] == path[:-1]
    waits = (at[1:] - at[:-1])[same]
    if not bool((waits > 0).all()):
        where = int((~((at[1:] > at[:-1]) | ~same)).nonzero()[0])
        raise ValueError(
            f"times must increase along a path; got {at[where].item()} before {at[where + 1].item()} in path "
            f"{int(path[where])}"
        )
    return label[:-1][same], label[1:][same], waits


def _fewest(half: tuple[Tensor, ...]) -> int:
    """How often the rarest transition, or a reverse, is seen.

    Raises
    ------
    ValueError
        When one of them never is.
    """
    seen = torch.unique(torch.cat([half[0], half[1]]).abs())
    counts = {int(sign * label): int((half[1] == sign * label).sum()) for label in seen for sign in (1, -1)}
    rarest = min(counts, key=lambda label: counts[label])
    if counts[rarest] == 0:
        raise ValueError(
            f"labels must hold every transition in both directions, in both halves of the record; {rarest} never "
            f"occurs in one where {-rarest} occurs {counts[-rarest]} times: no finite bound of its divergence is known"
        )
    return counts[rarest]


def _number_windows(
    fitted: tuple[Tensor, ...], judged: tuple[Tensor, ...]
) -> tuple[tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], int]:
    """Numbers of the windows (a, bin of t, b) and of the windows (-b, bin of t, -a), and how many numbers there are.

    The bins are quantiles of the fitted waiting times of windows (a, b) and (-b, -a) together.
    """
    most = int(max(part.abs().max() for half in (fitted, judged) for part in half[:2]))
    base = 2 * most + 1
    codes = [((a + most) * base + b + most, (most - b) * base + most - a) for a, b, _ in (fitted, judged)]
    bins = [torch.zeros_like(code) for code, _ in codes]
    for sort in torch.unique(torch.cat([torch.minimum(*code) for code in codes])):
        members = [torch.minimum(*code) == sort for code in codes]
        ahead, behind = ((codes[0][0] == code).sum() for code in (sort, int(_reverse(int(sort), most))))
        count = min(_MOST_BINS, int(min(ahead, behind)) // _PER_BIN)
        if count < 2:
            continue
        levels = torch.linspace(0, 1, count + 1, dtype=torch.float64, device=sort.device)[1:-1]
        edges = torch.quantile(fitted[2][members[0]][:: 1 + int(members[0].sum()) // 10**6], levels)
        for which, half, member in zip(bins, (fitted, judged), members, strict=True):
            which[member] = torch.bucketize(half[2][member], edges)
    numbers = [
        (code * _MOST_BINS + which, back * _MOST_BINS + which) for (code, back), which in zip(codes, bins, strict=True)
    ]
    _, compact = torch.unique(torch.cat([n for pair in numbers for n in pair]), return_inverse=True)
    one, one_back, other, other_back = compact.split([len(n) for pair in numbers for n in pair])
    return ((one, one_back), (other, other_back)), int(compact.max()) + 1


def _reverse(code: int, most: int) -> int:
    base = 2 * most + 1
    a, b = code // base - most, code % base - most
    return (most - b) * base + most - a


def _label_terms(half: tuple[Tensor, ...]) -> Tensor:
    """Terms whose mean is D_1 = sum_a P(a) log P(a) / P(-a), and whose spread is the one it has as a function of P."""
    both = torch.stack(half[:2])
    most = int(both.abs().max())
    share = torch.bincount((both + most).flatten(), minlength=2 * most + 1) / both.numel()
    ratio = share.double() / share.flip(0).double()
    influence = torch.where(share > 0, ratio.log() + 1 - 1 / ratio, 0.0)
    return influence[both + most].mean(0)


def _sequence_part(first: Tensor, second: Tensor) -> float:
    """sum_ab p(a, b) log( P(b | a) / P(-a | -b) ) of the frequencies: infinite where a reverse is never seen."""
    most = int(torch.cat([first, second]).abs().max())
    base = 2 * most + 1
    table = torch.bincount((first + most) * base + second + most, minlength=base**2).reshape(base, base).double()
    forward = table / table.sum(1, keepdim=True)
    backward = forward.flip(0, 1).mT
    seen = table > 0
    return float((table[seen] / table.sum() * (forward[seen] / backward[seen]).log()).sum())


def visible_entropy_production_rate(process: MarkovJump, links: Links) -> Estimate:
    r"""The entropy production rate that the transitions along some links show, for a jump process in its steady state.

        sum_ab p_i(a) k_a int psi(b, t | a) log( psi(b, t | a) / psi(-a, t | -b) ) dt <= the entropy production rate,

    psi(b, t | a) = [exp(S t)]_(target of a, source of b) k_b the density of waiting times, S the generator without the
    jumps along visible links; i(a) is the source of transition a. It is what `entropy_production_from_transitions`
    estimates. Equal to the whole rate for a single cycle seen at one link, and when all links are visible.

    Parameters
    ----------
    process
        With constant rates, not a batch.
    links
        Pairs (i, j) of states whose jumps are visible in both directions.

    Returns
    -------
    Estimate
        Kind "exact" by quadrature, nat per time. `info` holds `sequence_part`, what the order of the transitions shows
        without their times. Infinite where a window can be seen but not its reverse.

    Raises
    ------
    ValueError
        For a batch, links that are no pairs of different states of the process, or that are never passed.

    References
    ----------
    van der Meer, Ertel and Seifert, Phys. Rev. X 12, 031025 (2022); Harunari, Dutta, Polettini and Roldan, Phys. Rev. X
    12, 041026 (2022).

    Examples
    --------
    >>> ring = MarkovJump([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]])
    >>> visible_entropy_production_rate(ring, [(0, 1)]).value      # 2 log 3
    tensor(2.1972, dtype=torch.float64)
    """
    if not isinstance(process, MarkovJump):
        raise TypeError(f"process must be a MarkovJump; got {type(process).__name__}")
    rates = process.rates
    if rates.ndim != 2:
        raise ValueError(f"process must not be a batch; got rates of shape {tuple(rates.shape)}")
    pairs = _links(links, len(rates))
    source = torch.tensor([i for i, _ in pairs] + [j for _, j in pairs], device=rates.device)
    target = source.roll(len(pairs))
    strength = rates[source, target]
    hidden = rates.clone()
    hidden[source, target] = 0
    exits = torch.zeros_like(rates[0]).index_add(0, source, strength)
    size = len(rates)
    leaving = rates.new_zeros(size + 1, size + 1)  # to a last state when a visible transition happens
    leaving[:size, :size], leaving[:size, size] = hidden, exits
    flow = (process.quasi_invariant(0.0).pmf[source] * strength)[:, None]
    if not bool((flow > 0).any()):
        raise ValueError(f"links must be passed in the steady state; the process never jumps along {list(links)}")

    def reversed_windows(psi: Tensor) -> Tensor:
        """psi(-a | -b) at the place (a, b)."""
        return psi.roll((len(pairs), len(pairs)), (-2, -1)).mT

    def production(psi: Tensor) -> tuple[Tensor, Tensor]:
        back = reversed_windows(psi)
        both = (psi > 0) & (back > 0)
        log = torch.where(both, psi, 1.0).log() - torch.where(both, back, 1.0).log()
        return (flow * psi * log).sum((-2, -1)), (flow * psi * (1 + log.abs())).sum((-2, -1))

    def densities(t: Tensor) -> Tensor:
        survived = stochastic_exponential(leaving, t)[0]
        return survived[..., target[:, None], source] * strength

    decay = -(hidden - torch.diag_embed(hidden.sum(-1) + exits))
    passed = torch.linalg.solve(decay, torch.eye(size).to(rates))[target[:, None], source] * strength
    sequence = float(production(passed.clamp(min=0))[0])
    reach = densities(1 / leaving.sum(-1).max())
    if bool(((reach > 0) & (reversed_windows(reach) == 0)).any()):
        return Estimate(math.inf, error=torch.finfo(rates.dtype).tiny, method="quadrature", units="nat/time")
    fast, slow = float(1 / leaving.sum(-1).max()), float(1 / torch.linalg.eigvals(decay).real.min())
    breakpoints = torch.tensor([0.1 * fast, fast, slow, 10 * slow], dtype=rates.dtype, device=rates.device)
    found = integrate(
        lambda t: torch.stack(production(densities(t)), -1),
        0.0,
        math.inf,
        breakpoints=breakpoints,
        rtol=1e-11,
        atol=1e-13 * float(flow.sum()),
    )
    value, scale = found.value.unbind(-1)
    units = stochastic_exponential(leaving, breakpoints[-1])[2]
    error = found.error.flatten()[0] + units * rounding_error([scale])
    return Estimate(
        value,
        error=error,
        method="quadrature",
        units="nat/time",
        info={"sequence_part": sequence, "converged": found.converged},
    )


def _links(links: Links, states: int | None = None) -> list[tuple[int, int]]:
    try:
        pairs = [(int(i), int(j)) for i, j in links]
    except (TypeError, ValueError):
        raise ValueError(f"links must be pairs (i, j) of states; got {links!r}") from None
    bad = [pair for pair in pairs if pair[0] == pair[1] or min(pair) < 0 or (states and max(pair) >= states)]
    if bad or not pairs or len({frozenset(pair) for pair in pairs}) < len(pairs):
        which = f" of the {states} states" if states else ""
        raise ValueError(f"links must be different pairs (i, j) of two states{which}; got {links!r}")
    return pairs
