"""Sequential tests at tiny levels that do not lean on the central limit theorem in the tails.

Everything is reduced to one question: does an event happen more often than allowed? That is answered by betting. With
h hits in m independent trials, each of probability at most q, the mixture of likelihood ratios

    E = int_q^1 (p / q)^h ((1 - p) / (1 - q))^(m - h) dp / (1 - q)

is a supermartingale that starts at 1, so that it ever reaches 1 / level with probability at most `level`, at however
many looks (Ville 1939; Shafer et al., Stat. Sci. 26, 84, 2011). A test may thus stop whenever it likes.

A claim about a mean becomes such a question by asking how often the mean of b replications lies on the wrong side:
were the claim true, that would be about half of the time. The law of the replications enters at its centre only, where
it is tame, and not in its tails, where a Student test of skewed replications at level 1e-8 is wrong by orders of
magnitude. `CENTRAL` says how far from one half the test lets that probability be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from infotherm.testing.law import Broken

# Batch size: the largest probability that the mean of so many replications exceeds its own expectation (or falls short
# of it). One replication of any log-concave law: 1 - 1/e = 0.632 (Gruenbaum, Pacific J. Math. 10, 1257, 1960), and so
# for any number of them. Lognormal with sigma = 1: 0.691, 0.623, 0.574, 0.541. Not covered: outliers rarer than one in
# four replications that carry the whole mean.
CENTRAL = {1: 0.75, 4: 0.68, 16: 0.60, 64: 0.56}
_FIRST_LOOK = 8  # at the earliest after so many replications a test may give up finding anything


def log_evidence(hits: int, trials: int, allowed: float) -> float:
    """The logarithm of E: how strongly `hits` in `trials` speak against a probability of at most `allowed`.

    Examples
    --------
    >>> round(log_evidence(30, 30, 0.5), 2)    # (2^31 - 1) / 31 / 2^30 * 2^30
    18.05
    """
    from scipy.special import betaincc, betaln

    misses = trials - hits
    tail = float(betaincc(hits + 1, misses + 1, allowed))
    if tail == 0.0:
        return -math.inf
    odds = hits * math.log(allowed) + misses * math.log1p(-allowed)
    return float(betaln(hits + 1, misses + 1)) + math.log(tail) - math.log1p(-allowed) - odds


def trials_needed(rate: float, allowed: float, level: float) -> float:
    """About how many trials show at `level` that an event of probability `rate` is not of at most `allowed`.

    Examples
    --------
    >>> trials_needed(1.0, 0.5, 1e-8) < 40, trials_needed(0.4, 0.5, 1e-8)
    (True, inf)
    """
    if rate <= allowed:
        return math.inf
    gain = rate * math.log(rate / allowed)  # per trial, on average
    if rate < 1:
        gain += (1 - rate) * math.log((1 - rate) / (1 - allowed))
    needed = -math.log(level) / gain
    for _ in range(4):  # the mixture costs about the logarithm of the number of trials
        needed = (-math.log(level) + math.log(needed + 1)) / gain
    return needed


@dataclass
class Bets:
    """Hits so far against a probability of at most `allowed`; `refuted` once the evidence reached 1 / level."""

    allowed: float
    level: float
    hits: int = 0
    trials: int = 0
    refuted: bool = False

    def add(self, hit: bool) -> None:
        """One more trial."""
        self.trials += 1
        self.hits += hit
        if hit and not self.refuted:  # the evidence grows with hits only
            self.refuted = log_evidence(self.hits, self.trials, self.allowed) >= -math.log(self.level)


def _looks(most: int) -> Iterator[int]:
    look = _FIRST_LOOK
    while look < most:
        yield look
        look *= 2


@dataclass(frozen=True)
class Rate:
    """What a sequential test of a probability found."""

    refuted: bool
    allowed: float
    hits: int
    trials: int
    declined: int

    def __str__(self) -> str:
        share = f"{self.hits} of {self.trials} ({self.hits / max(self.trials, 1):.1%}; allowed {self.allowed:.0%})"
        return share + (f", {self.declined} declined" if self.declined else "")


def rate_test(draw: Callable[[int], bool | None], allowed: float, *, level: float, most: int) -> Rate:
    """Whether an event happens with a probability of more than `allowed`; wrongly so with probability <= `level`.

    Parameters
    ----------
    draw
        `draw(i)` makes replication i, independent of the others: whether the event happened, None when the estimator
        declined to say (such replications are counted apart).
    allowed
        The largest probability that is not objected to.
    level
        The false-alarm probability, however many replications are looked at.
    most
        Of replications. Fewer are made when the evidence suffices, or when it cannot be expected to come to suffice.

    Examples
    --------
    >>> rate_test(lambda i: i % 2 == 0, 0.1, level=1e-8, most=200).refuted
    True
    """
    bets, declined, looks = Bets(allowed, level), 0, set(_looks(most))
    for i in range(most):
        hit = draw(i)
        if hit is None:
            declined += 1
        else:
            bets.add(bool(hit))
        if bets.refuted:
            break
        if i + 1 in looks:
            if not bets.trials:
                break  # always declined
            left = most * bets.trials / (i + 1)
            rate = (bets.hits + 1) / (bets.trials + 2)
            hopeful = min(1.0, rate + 3 * math.sqrt(rate * (1 - rate) / (bets.trials + 2)))
            if trials_needed(hopeful, allowed, level) > left:
                break
    return Rate(bets.refuted, allowed, bets.hits, bets.trials, declined)


class Reading(NamedTuple):
    """One replication: its deviation from the claimed mean, and how far it may lie above and below (inf: freely)."""

    deviation: float
    above: float = 0.0
    below: float = 0.0


@dataclass(frozen=True)
class Mean:
    """What a sequential test of a mean found.

    `deviation` is the mean deviation and `stderr` its standard error, `slack` the mean allowance on the side that it
    deviates to, `needed` about how many replications would show a mean twice the allowance away.
    """

    refuted: bool
    deviation: float
    stderr: float
    slack: float
    trials: int
    declined: int
    needed: float

    def __str__(self) -> str:
        text = (
            f"mean deviation {self.deviation:+.3g} +- {self.stderr:.1g} nat in {self.trials} replications"
            f" ({'allowed' if math.isinf(self.slack) else f'allowed {self.slack:.3g}'})"
        )
        if self.declined:
            text += f", {self.declined} declined"
        if not self.refuted and math.isfinite(self.needed):
            text += f"; twice the allowance would show in about {self.needed:.0f}"
        return text


@dataclass
class _Side:
    """Excesses over the allowance on one side, in batches of every size."""

    level: float
    bets: dict[int, Bets] = field(init=False)
    sums: dict[int, float] = field(init=False)

    def __post_init__(self) -> None:
        self.bets = {b: Bets(q, self.level / len(CENTRAL)) for b, q in CENTRAL.items()}
        self.sums = dict.fromkeys(CENTRAL, 0.0)

    def add(self, excess: float, count: int) -> None:
        for b, bets in self.bets.items():
            self.sums[b] += excess
            if count % b == 0:
                bets.add(self.sums[b] > 0)
                self.sums[b] = 0.0

    @property
    def refuted(self) -> bool:
        return any(bets.refuted for bets in self.bets.values())


def replications_needed(effect: float, level: float) -> float:
    """About how many replications `mean_test` takes to see a one-sided excess of so many standard deviations.

    Examples
    --------
    >>> replications_needed(3.0, 1e-8) < 100 < replications_needed(0.4, 1e-8) < 2000
    True
    """
    from scipy.special import ndtr

    share = level / 2 / len(CENTRAL)
    return min(b * trials_needed(float(ndtr(effect * math.sqrt(b))), q, share) for b, q in CENTRAL.items())


def mean_test(draw: Callable[[int], Reading | None], *, level: float, most: int) -> Mean:
    """Whether a mean lies outside its allowance; wrongly so with probability <= `level`, whatever the tails.

    The claims under test: E[deviation - above] <= 0 and E[-deviation - below] <= 0. The level holds for independent
    replications of which the mean of b lies on either side of its expectation with a probability of at most
    `CENTRAL[b]`: all log-concave laws, and lognormal ones up to sigma = 1.

    Parameters
    ----------
    draw
        `draw(i)` makes replication i, independent of the others; None when the estimator declined to answer.
    level
        The false-alarm probability, of both sides together.
    most
        Of replications. Fewer are made when the evidence suffices, or when it cannot be expected to come to suffice.

    Raises
    ------
    Broken
        When a replication is not a number.

    Examples
    --------
    >>> mean_test(lambda i: Reading(1.0 + 0.1 * (-1) ** i, above=0.5, below=0.5), level=1e-8, most=500).refuted
    True
    """
    sides = _Side(level / 2), _Side(level / 2)
    readings: list[Reading] = []
    declined, looks = 0, set(_looks(most))
    for i in range(most):
        reading = draw(i)
        if reading is None:
            declined += 1
        else:
            readings.append(reading)
            excesses = reading.deviation - reading.above, -reading.deviation - reading.below
            if math.isnan(excesses[0]) or math.isnan(excesses[1]):
                raise Broken(f"replication {i} is not a number: {reading}")
            for side, excess in zip(sides, excesses, strict=True):
                side.add(excess, len(readings))
            if any(side.refuted for side in sides):
                break
        if i + 1 in looks and not _hopeful(readings, level, most * len(readings) / (i + 1)):
            break
    return _summary(readings, declined, any(side.refuted for side in sides), level)


def _hopeful(readings: list[Reading], level: float, left: float) -> bool:
    """Whether what was seen, read in favour of an effect, can still come to suffice."""
    if len(readings) < 2:
        return bool(readings)  # nothing when always declined
    for excesses in ([r.deviation - r.above for r in readings], [-r.deviation - r.below for r in readings]):
        mean, spread = _moments(excesses)
        if mean == -math.inf:
            continue
        if math.isinf(mean) or mean > 0 and spread == 0:
            return True
        effect = (mean / spread if spread > 0 else -math.inf) + 3 / math.sqrt(len(readings))
        if effect > 0 and replications_needed(effect, level) <= left:
            return True
    return False


def _summary(readings: list[Reading], declined: int, refuted: bool, level: float) -> Mean:
    if not readings:
        return Mean(False, math.nan, math.nan, math.nan, 0, declined, math.inf)
    mean, spread = _moments([r.deviation for r in readings])
    slack, _ = _moments([r.above if mean > 0 else r.below for r in readings])
    known = 0 < spread < math.inf and slack < math.inf
    needed = replications_needed(slack / spread, level) if known else math.inf
    return Mean(refuted, mean, spread / math.sqrt(len(readings)), slack, len(readings), declined, needed)


def _moments(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation; of values with infinities the mean is infinite and the deviation 0."""
    mean = sum(values) / len(values)
    if not math.isfinite(mean) or len(values) < 2:
        return mean, 0.0
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
