"""Entropy and information of discrete or binned samples, from how often each cell is met."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.estimators.base import paired_samples, require_varying, stream_of_samples
from infotherm.estimators.cells import LABELS, RULES, Cells, as_labels, cells_of, checked_bins
from infotherm.estimators.diagnostics import TOLERATED_REPEATS
from infotherm.estimators.tags import Tags

CORRECTIONS = (None, "miller-madow", "grassberger")
_ARGUMENTS = ("x", "y", "given")
_TOLERATED_UNSEEN = 0.1  # probability of cells not met
_FEWEST_SAMPLES = 50
_RARE = 1.88  # what n samples never met has probability below 3.69 / n = 1.96 (1.88 / n) with confidence 97.5 %
_FEWEST_PER_CELL = 3  # on average; repeated samples would hide from the former that cells are missing


@dataclass(frozen=True)
class Binning:
    """Entropy or (conditional) mutual information of discrete or binned samples, in nats, from cell frequencies.

    `estimate(x)` is the Shannon entropy H(x') of the variable x' that names the cell of x (a differential entropy
    only with `differential`), `estimate(x, y)` the mutual information I(x'; y'), and `estimate(x, y, given=z)` the
    conditional one. With n_c of N samples in cell c and K cells met,

        H = -sum_c (n_c / N) ln(n_c / N)                        correction None: the plain plug-in,
        H = that + (K - 1) / (2 N)                              "miller-madow",
        H = psi(N) - (1 / N) sum_c n_c G(n_c)                   "grassberger",
            G(n) = psi(n) + (-1)^n [psi((n + 1) / 2) - psi(n / 2)] / 2,

    (Miller, in Information Theory in Psychology, 1955; Grassberger, arXiv:physics/0307138, whose ln N belongs to a
    random N: for a given one it is psi(N)), and every information is H(x, z) + H(y, z) - H(x, y, z) - H(z) of entropies
    so corrected; Miller and Madow's correction of I(x; y) is thus (K_x + K_y - K_xy - 1) / (2 N). The plain
    information never exceeds the entropies; the corrected ones may, and may be negative: they are not clipped.

    The standard error is that of the delta method with its second-order term, tr(A^2) / (2 N^2) for the quadratic form
    A of the expansion (at independence 2 N I is chi-square with (K_x - 1)(K_y - 1) degrees of freedom, and the first
    order vanishes), and, while some symbols of x and y were not met together, with what such a pair would lower: a
    channel of which no error has been seen may yet err. `error` is what is left of the bias: the distance to the other
    correction, and a nat for each unit of probability not met yet: the share of samples alone in their cell (Good,
    Biometrika 40, 237, 1953) and one standard error of it. Where that exceeds 0.1, or there are fewer than three
    samples to a cell, the cells are too many and the kind is "unknown"; so it is below 50 samples, and when x or y
    lies in a single cell.

    Otherwise the kind says what the number is *for the variables given*. With bins "labels" it is "estimate". With
    bins, the mutual information is "lower", since x' and y' are functions of x and y (data processing); the
    conditional one too while `given` is made of labels, but bins of `given` bound nothing: "unknown". The entropy of
    bins is an "estimate" of H(x'), and an "upper" bound of the differential entropy with `differential`: mass within a
    cell is taken as uniform. For an interval of the information of bins itself, bin first and use "labels".

    Parameters
    ----------
    bins
        A number of bins per coordinate (over the range of the data); increasing edges, all of them closed on the left
        and the last one on both sides; a sequence of edges for each coordinate; or "labels": the values are the
        symbols, whatever their order and size. A mapping gives each argument its own:
        `Binning({"x": 30, "y": "labels"})`.
    correction
        None, "miller-madow" or "grassberger".
    rule
        For a number of bins: "equal-width", or "equal-mass" (each holds as many samples; the number then does not
        change under increasing maps of a coordinate).
    differential
        Add the mean logarithm of the cells' volumes, and so bound the differential entropy of x.

    Raises
    ------
    ValueError, TypeError
        For unknown settings, or edges that do not increase.

    Examples
    --------
    >>> bits = torch.randint(2, (2000, 2), generator=torch.Generator().manual_seed(0))
    >>> Binning("labels").estimate(bits[:, 0] + bits[:, 1])   # the truth is 1.5 log(2) = 1.0397
    1.0459 +- 0.0076 nat  estimate  sample-based(n=2000)
    >>> Binning("labels").estimate(bits[:, 0], bits[:, 0] ^ bits[:, 1], given=bits[:, 1])   # log(2) = 0.6931
    0.6933 +- 0.0075 nat  estimate  sample-based(n=2000)
    """

    bins: Any
    correction: str | None = "miller-madow"
    rule: str = "equal-width"
    differential: bool = False

    def __post_init__(self) -> None:
        if self.correction not in CORRECTIONS:
            raise ValueError(f"correction must be one of {', '.join(map(str, CORRECTIONS))}; got {self.correction!r}")
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}; got {self.rule!r}")
        if isinstance(self.bins, Mapping):
            strange = [name for name in self.bins if name not in _ARGUMENTS]
            if strange:
                raise ValueError(f"bins must be given for {', '.join(_ARGUMENTS)}; got {strange[0]!r}")
            checked: Any = {name: checked_bins(bins) for name, bins in self.bins.items()}
        else:
            checked = checked_bins(self.bins)
        object.__setattr__(self, "bins", checked)
        if self.differential and (self._bins("x") == LABELS or self.rule == "equal-mass"):
            raise ValueError("differential needs cells of known volume: a number of bins of equal width, or edges")

    @property
    def tags(self) -> Tags:
        """What it claims, which depends on the bins."""
        specs = {name: self._bins(name) for name in _ARGUMENTS if not isinstance(self.bins, dict) or name in self.bins}
        labels = {name for name, bins in specs.items() if bins == LABELS}
        counted = {name for name, bins in specs.items() if isinstance(bins, int)}
        bound = len(labels) < len(specs)
        invariances = set()
        if len(labels) + len(counted) == len(specs):  # edges stay where they are
            invariances = {"shift", "common-scale", "coordinate-scale"}
            if not counted or self.rule == "equal-mass":
                invariances.add("monotone")
            if not counted or self.rule == "equal-width":
                invariances.add("reflection")
        if self.differential:
            quantities: tuple[str, ...] = ("entropy",)
        elif not bound:
            quantities = ("entropy", "mutual_information", "conditional_mutual_information")
        else:  # the entropy of bins is not that of the variable, and bins of `given` bound nothing
            quantities = ("mutual_information", "conditional_mutual_information")[: 1 + ("given" in labels)]
        return Tags(
            quantities=quantities,
            data=("discrete",) if not bound else ("continuous",) if not labels else ("mixed",),
            kind="estimate" if not bound else "upper" if self.differential else "lower",
            consistent_for="any" if not bound else "none",
            invariances=frozenset(invariances),
            symmetric=not isinstance(self.bins, dict),
            least_samples=_FEWEST_SAMPLES,
            ceiling=None if self.differential else lambda n: math.log(n) + 1.28,  # Grassberger's G(1) = -1.2704
        )

    def estimate(self, x: Any, y: Any = None, *, given: Any = None) -> Estimate:
        """The estimate from samples of shape (N, D); the D coordinates of an argument are counted jointly.

        Raises
        ------
        ValueError
            For unequal numbers of samples, NaN, samples outside the edges, or bins that do not name an argument.
        """
        if y is None and given is not None:
            raise ValueError("given needs y: the conditional quantity is I(x; y | given)")
        if y is not None and self.differential:
            raise ValueError("differential speaks of an entropy: information has no volumes; leave it out")
        named = {
            name: data for name, data in zip(_ARGUMENTS, (x, y, given), strict=True) if data is not None or name == "x"
        }
        named = {name: as_labels(data, name) if self._bins(name) == LABELS else data for name, data in named.items()}
        samples = dict(zip(named, paired_samples(least=2, **named), strict=True))
        if self.differential:
            require_varying(samples["x"], "x")
        cells = {name: cells_of(data, self._bins(name), self.rule, name) for name, data in samples.items()}
        counts = _counted(cells)
        volume = cells["x"].log_volume if self.differential else None
        value, stderr, error, info = _estimated(counts, self.correction, volume)
        if self.differential and isinstance(self._bins("x"), int):
            # the range of the data leaves out about 2 / N of the mass on each axis
            outside = min(1.0, 2 * samples["x"].shape[1] / (info["n"] + 1))
            error = error + outside * (1 - math.log(outside))
        kind, meaning = self._kind(tuple(samples))
        reason = _distrust(info, cells) or (_repeats(samples["x"]) if self.differential else "")
        if kind == "unknown" and not reason:
            reason = meaning
        if reason:
            kind = "unknown"
            info["warning"] = reason
            warnings.warn(f"Binning: {reason}; the result is of kind 'unknown'", stacklevel=2)
        return Estimate(
            value,
            stderr=stderr,
            error=error,
            kind=kind,
            method="sample-based",
            streams=(stream_of_samples(*samples.values()),),
            info=info | {"correction": str(self.correction), "meaning": meaning},
        )

    def _bins(self, name: str) -> Any:
        if not isinstance(self.bins, dict):
            return self.bins
        if name not in self.bins:
            raise ValueError(f"bins must say how to bin {name}; got bins for {', '.join(self.bins) or 'nothing'}")
        return self.bins[name]

    def _kind(self, arguments: tuple[str, ...]) -> tuple[str, str]:
        """The kind for the variables themselves, and in words which number it is."""
        binned = [name for name in arguments if self._bins(name) != LABELS]
        if len(arguments) == 1:
            if self.differential:
                return "upper", "entropy of a density that is constant in each bin: at least that of x"
            return "estimate", "entropy of the bins" if binned else "entropy"
        if not binned:
            return "estimate", "information"
        if "given" in binned:
            return "unknown", "conditioning on bins of `given` bounds the conditional information on neither side"
        return "lower", "information of the bins: at most that of the variables"


def _counted(cells: Mapping[str, Cells]) -> list[tuple[int, Tensor]]:
    """Signs of the entropies in the quantity, and for each the number of samples in the cell of each sample.

    The joint cells of all arguments come first.
    """
    x, y, z = (cells.get(name) for name in _ARGUMENTS)
    assert x is not None
    if y is None:
        return [(1, x.counts())]
    if z is None:
        return [(-1, x.joined(y).counts()), (1, x.counts()), (1, y.counts())]
    pairs = x.joined(z), y.joined(z)
    return [(-1, pairs[0].joined(y).counts()), (1, pairs[0].counts()), (1, pairs[1].counts()), (-1, z.counts())]


def _estimated(
    counts: list[tuple[int, Tensor]], correction: str | None, log_volume: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
    """Value, standard error, error and diagnostics.

    Near independence neither order of the expansion alone gives the spread (the first is small just where the estimate
    comes out low), hence their sum.
    """
    joint = counts[0][1]
    n = len(joint)
    influence = torch.zeros_like(joint, dtype=torch.float64) if log_volume is None else log_volume.clone()
    corrected, met = [], []
    for sign, count in counts:
        cells, surprise, entropies = _entropies(count)
        influence += sign * surprise
        corrected.append({name: sign * entropy for name, entropy in entropies.items()})
        met.append(cells)
    volume = 0.0 if log_volume is None else log_volume.mean()
    values = {name: torch.stack([entropies[name] for entropies in corrected]).sum() + volume for name in CORRECTIONS}
    if len(counts) == 1:
        trace = torch.tensor(met[0] - 1.0)
    else:  # A = 1 - P_xz - P_yz + P_z, projections on functions of these variables; without z on constants
        first, second = (count.to(torch.float64) for _, count in counts[1:3])
        held = met[3] if len(counts) == 4 else 1
        trace = met[0] - met[1] - met[2] + held + 2 * ((joint / (first * second)).sum() - held)
    second_order = trace.clamp(min=0.0) / (2 * n**2)
    variance = influence.var() / n + second_order
    if len(counts) > 1 and met[0] * held < met[1] * met[2]:
        variance = variance + (_RARE * _fall(values[None], counts) / n) ** 2
    alone, paired = int((joint == 1).sum()), int((joint == 2).sum())
    unseen = (alone + math.sqrt(alone + paired)) / n if alone else 0.0
    other = "miller-madow" if correction == "grassberger" else "grassberger"
    residual = (values[correction] - values[other]).abs() + unseen
    rounding = rounding_error([entropies[None] for entropies in corrected])
    info = {"n": n, "cells": met[0], "unseen": unseen, "plain": float(values[None])}
    return values[correction], variance.sqrt(), residual + rounding, info


def _fall(information: Tensor, counts: list[tuple[int, Tensor]]) -> Tensor:
    """By how much a term of the information lies below it for one sample in a combination of symbols not met yet.

    The combination is taken to be as frequent without dependence as the most frequent one that was met. Without it the
    spread of a channel of which no error has been seen is zero.
    """
    first, second = (count.to(torch.float64) for _, count in counts[1:3])
    held = counts[3][1] if len(counts) == 4 else len(first)
    return (information + (first * second / held).max().log()).clamp(min=0.0)


def _entropies(count: Tensor) -> tuple[int, Tensor, dict[str | None, Tensor]]:
    """Cells met, -ln of the frequency of each sample's cell, and the entropy by each correction."""
    n = len(count)
    samples = torch.bincount(count)  # how many samples lie in cells of each occupation
    occupation = samples.nonzero()[:, 0]
    share = samples[occupation].to(torch.float64) / n
    cells = int((samples[occupation] // occupation).sum())
    real = occupation.to(torch.float64)
    surprise = math.log(n) - real.log()
    half = (torch.digamma((real + 1) / 2) - torch.digamma(real / 2)) / 2
    local = torch.digamma(real) + torch.where(occupation % 2 == 0, half, -half)
    plain = (share * surprise).sum()
    whole = torch.digamma(torch.tensor(float(n), dtype=torch.float64))
    by_correction = {
        None: plain,
        "miller-madow": plain + (cells - 1) / (2 * n),
        "grassberger": whole - (share * local).sum(),
    }
    place = torch.zeros_like(samples)
    place[occupation] = torch.arange(len(occupation), device=place.device)
    return cells, surprise[place[count]], by_correction


def _repeats(x: Tensor) -> str:
    """Why samples do not come from a density, or nothing."""
    shares = [float((cells_of(column[:, None], LABELS, RULES[0], "x").counts() > 1).double().mean()) for column in x.T]
    if max(shares) > TOLERATED_REPEATS:
        return f"{max(shares):.0%} of the values of a coordinate repeat: the law is not continuous"
    return ""


def _distrust(info: Mapping[str, Any], cells: Mapping[str, Cells]) -> str:
    """Why the number is not to be trusted, or nothing."""
    n, unseen = info["n"], info["unseen"]
    constant = [name for name in cells if bool((cells[name].codes == cells[name].codes[0]).all())]
    if constant and constant[0] != "given":
        return f"{constant[0]} lies in a single cell: what it would do elsewhere is not seen"
    if n < _FEWEST_SAMPLES:
        return f"{n} samples are too few to tell its error"
    if unseen > _TOLERATED_UNSEEN or n < _FEWEST_PER_CELL * info["cells"]:
        return f"undersampled: {n} samples in {info['cells']} cells, about {unseen:.0%} of the probability not met"
    return ""
