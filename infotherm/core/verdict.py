"""Verdict: what two numbers that know their own errors say about a claimed relation between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from infotherm.core.display import with_uncertainty
from infotherm.core.estimate import NATS_PER, Estimate
from infotherm.core.quantiles import normal_quantile, student_tail
from infotherm.core.tensors import as_tensor

RELATIONS = (">=", "<=", "==")
OUTCOMES = ("holds", "violated", "undecided", "not applicable")

_HAS_LOWER_LIMIT = ("exact", "estimate", "lower")
_HAS_UPPER_LIMIT = ("exact", "estimate", "upper")
_MOST_SAMPLES = 1e4  # a larger factor is no advice


@dataclass(frozen=True)
class Evidence:
    """What the sides say, element by element, before a level is chosen (float64 tensors of the batch shape).

    A p-value is the smallest level at which the element would be called so; it is 0 or 1 where nothing is sampled.
    """

    p_violated: Tensor
    p_holds: Tensor
    sampled: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Verdict:
    """The outcome of a relation between two sides, with the numbers that led to it.

    Attributes
    ----------
    outcome
        "holds", "violated", "undecided" or "not applicable"; of a batch: violated if any element is, holds if all do.
    slack
        The difference of the sides, oriented so that it is positive where the relation holds (lhs - rhs for "==").
    tightness
        The smaller side over the larger one in magnitude: 1 at saturation, 0 when the signs differ.
    lhs, rhs, relation, alpha
        The sides, the relation between them, and the level (family-wise over the sampled elements of the batch).
    reason
        Why, in plain words.
    outcomes
        The outcomes of the elements, an array of strings of the batch shape.
    evidence
        p-values of the elements, from which `holm` decides anew.
    name, source, statement
        Of the inequality, where it has them. The statement is built when it is read.
    """

    outcome: str
    relation: str
    alpha: float
    reason: str
    slack: Estimate | None = None
    tightness: Tensor | None = None
    lhs: Estimate | None = None
    rhs: Estimate | None = None
    outcomes: np.ndarray = field(default_factory=lambda: np.array("not applicable"))
    evidence: Evidence | None = None
    tolerance: Tensor | None = None
    name: str | None = None
    source: str | None = None
    build_statement: Callable[[], Any] | None = None

    @property
    def statement(self) -> Any:
        """The claim as a sympy relation, or None."""
        return None if self.build_statement is None else self.build_statement()

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch shape."""
        return self.outcomes.shape

    def labelled(self, *, name: str, source: str, build_statement: Callable[[], Any] | None = None) -> Verdict:
        """The same verdict with the name, source and statement of what was claimed."""
        return replace(self, name=name, source=source, build_statement=build_statement)

    def __bool__(self) -> NoReturn:
        raise TypeError("a Verdict has four outcomes and is neither true nor false: compare v.outcome with 'holds'")

    def __repr__(self) -> str:
        title = f"{self.name}: " if self.name else ""
        if self.lhs is None or self.rhs is None or self.slack is None:
            return f"{self.outcome}  {title}{self.reason}"
        numbers = f"{_shown(self.lhs)} {self.relation} {_shown(self.rhs)}"
        if self.tightness is not None and self.tightness.numel() == 1:
            numbers += f"  tightness {self.tightness.item():.4g}"
        return f"{self.outcome}  {title}{numbers}  ({self.reason})"


def decide(lhs: Any, rhs: Any, relation: str = ">=", *, alpha: float = 0.01, tolerance: Any = None) -> Verdict:
    """Whether `lhs` stands in `relation` to `rhs`, as far as their errors allow to say.

    Sides that are not sampled are compared up to the sum of their errors: "holds" when the slack is at least minus
    that, else "violated". Sampled sides are compared by one-sided confidence limits, each at level alpha / 2 so that
    the pair is valid whatever the dependence between them, with the numerical errors added: "violated" when the whole
    of the larger side lies strictly below the smaller one, "holds" in the mirror image, else "undecided", which is the
    right answer at saturation. Student's t replaces the normal law where the number of samples is known; the limits
    rest on the central limit theorem. A side known only from below or above decides only in the direction that
    it supports; kind "unknown", NaN and an infinite error decide nothing.

    An identity "==" is an equivalence test: up to the errors (and `tolerance`, if given) without sampling, by two
    one-sided tests against +-tolerance with it. Elements of a batch are decided one by one, the sampled ones
    at a family-wise level (Holm).

    Parameters
    ----------
    lhs, rhs
        Estimates of broadcastable shapes, or plain numbers (known up to their rounding).
    relation
        ">=", "<=" or "==".
    alpha
        Largest probability of calling a true relation violated, and likewise of calling a false one true.
    tolerance
        Largest difference that still counts as equal; required for "==" between sampled sides, refused otherwise
        than with "==".

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        For an unknown relation, alpha outside (0, 1), shapes or units that do not match, a missing or misplaced
        tolerance.

    Examples
    --------
    >>> decide(Estimate(2.0, error=1e-9), 1.0).outcome
    'holds'
    >>> decide(Estimate(1.02, stderr=0.01, kind="estimate", method="monte-carlo"), 1.0).outcome
    'undecided'
    >>> decide(Estimate(1.02, kind="lower"), 2.0, "<=").outcome  # the truth may be larger
    'undecided'
    """
    if relation not in RELATIONS:
        raise ValueError(f"relation must be one of {', '.join(RELATIONS)}; got {relation!r}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1); got {alpha}")
    lhs, rhs = _sides(lhs, rhs)
    if tolerance is not None:
        tolerance = as_tensor(tolerance, "tolerance").detach()
        if relation != "==":
            raise ValueError(f"tolerance belongs to the relation '=='; got {relation!r}")
        if not bool((tolerance >= 0).all()):
            raise ValueError(f"tolerance must be >= 0; got {tolerance.tolist()}")
        shape = np.broadcast_shapes(tuple(lhs.shape), tuple(rhs.shape))
        try:
            tolerance = tolerance.expand(shape)
        except RuntimeError:
            raise ValueError(
                f"tolerance must broadcast to the shape {shape} of the sides; got {tuple(tolerance.shape)}"
            ) from None
    slack = rhs - lhs if relation == "<=" else lhs - rhs
    evidence = _evidence(lhs, rhs, relation, tolerance)
    parts = {"slack": slack, "tightness": _tightness(lhs, rhs), "lhs": lhs, "rhs": rhs, "tolerance": tolerance}
    return holm([Verdict("undecided", relation, alpha, "", evidence=evidence, **parts)], alpha)[0]


def holm(verdicts: Iterable[Verdict], alpha: float = 0.01) -> list[Verdict]:
    """The same verdicts, decided anew with level alpha for all their sampled elements together (Holm 1979).

    The probability that any true relation is called violated is at most alpha, whatever the dependence, and likewise
    that any false one is said to hold. Verdicts without sampled sides keep their outcome and do not
    enter the count.

    Examples
    --------
    >>> side = Estimate([0.97, 0.999], stderr=0.01, kind="estimate", method="monte-carlo")
    >>> one_by_one = [decide(side[i], 1.0, alpha=0.01) for i in range(2)]
    >>> [v.outcome for v in one_by_one], [v.outcome for v in holm(one_by_one, 0.001)]
    (['violated', 'undecided'], ['undecided', 'undecided'])
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1); got {alpha}")
    verdicts = list(verdicts)
    evidence = [v.evidence for v in verdicts if v.evidence is not None]
    if not evidence:
        return verdicts
    sampled = torch.cat([e.sampled.flatten() for e in evidence])
    adjusted = []
    for values in ([e.p_violated for e in evidence], [e.p_holds for e in evidence]):
        p = torch.cat([v.flatten() for v in values])
        p = p.masked_scatter(sampled, _holm_adjusted(p[sampled]))
        adjusted.append(iter(p.split([e.sampled.numel() for e in evidence])))
    return [v if v.evidence is None else _judged(v, next(adjusted[0]), next(adjusted[1]), alpha) for v in verdicts]


# -- evidence ------------------------------------------------------------------------------------------------------


def _evidence(lhs: Estimate, rhs: Estimate, relation: str, tolerance: Tensor | None) -> Evidence:
    big, small = (rhs, lhs) if relation == "<=" else (lhs, rhs)
    columns = [t.detach().to("cpu", torch.float64) for e in (big, small) for t in (e.value, e.stderr, e.error)]
    big_value, big_spread, big_error, small_value, small_spread, small_error = torch.broadcast_tensors(*columns)
    slack = big_value - small_value
    error = big_error + small_error
    spread = big_spread + small_spread
    drawn = bool(big.streams or small.streams)
    sampled = (spread > 0) | drawn
    known = ~slack.isnan() & error.isfinite() & spread.isfinite()
    known = known & ~_all_agree(big, big_value, big_spread) & ~_all_agree(small, small_value, small_spread)
    above = big.kind in _HAS_LOWER_LIMIT and small.kind in _HAS_UPPER_LIMIT
    below = big.kind in _HAS_UPPER_LIMIT and small.kind in _HAS_LOWER_LIMIT
    n = _number_of_samples(lhs, rhs)
    if relation == "==":
        if tolerance is None and bool(sampled.any()):
            raise ValueError("tolerance is required for '==' between sampled sides: the largest difference to accept")
        room = torch.zeros_like(slack) if tolerance is None else tolerance.to(slack)
        beyond = slack.abs() - room - error
        known = known & ~beyond.isnan()  # an infinite difference against an infinite tolerance
        refutes = torch.where(slack > 0, torch.tensor(above), torch.tensor(below))
        p_holds = torch.where(sampled, _tail(room - error - slack.abs(), spread, n), (beyond > 0).to(slack))
        # either side may be broken, so that the two tails share the level
        p_violated = torch.where(sampled, (2 * _tail(beyond, spread, n)).clamp(max=1), (beyond <= 0).to(slack))
        confirms = torch.tensor(above and below)
    else:
        p_holds = torch.where(sampled, _tail(slack - error, spread, n), (slack < -error).to(slack))
        p_violated = torch.where(sampled, _tail(-slack - error, spread, n), (slack >= -error).to(slack))
        confirms, refutes = torch.tensor(above), torch.tensor(below)
    one = torch.ones_like(slack)
    return Evidence(torch.where(known & refutes, p_violated, one), torch.where(known & confirms, p_holds, one), sampled)


def _all_agree(e: Estimate, value: Tensor, stderr: Tensor) -> Tensor:
    """Whether samples show no spread, so that nothing says what they have missed (an infinite one has seen enough)."""
    if not e.streams:
        return torch.zeros_like(value, dtype=torch.bool)
    return (stderr <= 8 * torch.finfo(e.value.dtype).eps * value.abs()) & value.isfinite()


def _tail(gap: Tensor, spread: Tensor, n: float | None) -> Tensor:
    """The smallest level at which limits of total length `spread` standard errors stay within a positive `gap`."""
    score = torch.where(gap > 0, gap / spread, 0.0)
    return torch.where(gap > 0, 2 * student_tail(score, n), 1.0).clamp(max=1)


def _number_of_samples(lhs: Estimate, rhs: Estimate) -> float | None:
    """The smaller number of samples of the sampled sides, where it is known."""
    sizes = []
    for e in (lhs, rhs):
        n = e.info.get("n")
        if n is not None and bool((e.stderr > 0).any()):
            sizes.append(float(n.min() if isinstance(n, Tensor) else n))
    return max(min(sizes), 2.0) if sizes else None


def _holm_adjusted(p: Tensor) -> Tensor:
    """p-values times the number of hypotheses not yet rejected, made monotone."""
    order = p.argsort()
    remaining = torch.arange(len(p), 0, -1, dtype=p.dtype)
    steps = (p[order] * remaining).clamp(max=1)
    return torch.empty_like(p).index_copy(0, order, steps.cummax(0).values if len(p) else steps)


# -- judgement -----------------------------------------------------------------------------------------------------


def _judged(verdict: Verdict, p_violated: Tensor, p_holds: Tensor, alpha: float) -> Verdict:
    evidence = verdict.evidence
    assert evidence is not None
    codes = torch.where(p_violated < alpha, 1, torch.where(p_holds < alpha, 0, 2))
    outcomes = np.array(OUTCOMES)[codes.numpy()].reshape(tuple(evidence.sampled.shape))
    if codes.numel() == 0:
        outcome = "undecided"
    elif bool((codes == 1).any()):
        outcome = "violated"
    else:
        outcome = "holds" if bool((codes == 0).all()) else "undecided"
    new = replace(verdict, outcome=outcome, outcomes=outcomes, alpha=alpha)
    return replace(new, reason=_reason(new))


def _reason(v: Verdict) -> str:
    if v.outcomes.size == 0:
        return "an empty batch decides nothing"
    if v.outcomes.ndim == 0:
        return _scalar_reason(v, ())
    counts = ", ".join(f"{(v.outcomes == o).sum()} {o}" for o in OUTCOMES if (v.outcomes == o).any())
    where = tuple(int(i) for i in np.argwhere(v.outcomes == v.outcome)[0])
    if v.outcome == "holds":
        return f"{counts} of {v.outcomes.size}"
    return f"{counts} of {v.outcomes.size}; the first {v.outcome} at {list(where)}: {_scalar_reason(v, where)}"


def _scalar_reason(v: Verdict, index: tuple[int, ...]) -> str:
    """Why the element at `index` got its outcome."""
    assert v.lhs is not None and v.rhs is not None and v.evidence is not None
    lhs, rhs = (_element(e, v.shape, index) for e in (v.lhs, v.rhs))
    outcome = str(v.outcomes[index])
    slack = rhs[0] - lhs[0] if v.relation == "<=" else lhs[0] - rhs[0]
    spread, error = lhs[1] + rhs[1], lhs[2] + rhs[2]
    room = 0.0 if v.tolerance is None else float(v.tolerance.expand(v.shape)[index])
    if outcome == "undecided":
        return _undecided_reason(v, slack, spread, error, room, lhs, rhs, bool(v.evidence.sampled[index]))
    size = f"{slack:.3g}"
    if bool(v.evidence.sampled[index]):
        allowance = f"+-{room:.3g}" if v.relation == "==" else "0"
        side = {"holds": "within" if room else "above", "violated": "outside" if room else "below"}[outcome]
        return f"the limits of the slack {size} at level {v.alpha:g} lie {side} {allowance}"
    limit = f"the numerical errors {error:.2g}" + (f" and the tolerance {room:.2g}" if room else "")
    if outcome == "violated":
        return f"the slack {size} is beyond {limit}"
    return f"the slack {size} is within {limit}" if abs(slack) <= error + room else f"the slack is {size}"


def _undecided_reason(
    v: Verdict,
    slack: float,
    spread: float,
    error: float,
    room: float,
    lhs: tuple[float, ...],
    rhs: tuple[float, ...],
    sampled: bool,
) -> str:
    assert v.lhs is not None and v.rhs is not None
    for side, (value, own_spread, own_error), e in (("left", lhs, v.lhs), ("right", rhs, v.rhs)):
        if math.isnan(value):
            return f"the {side} side is not a number"
        if not math.isfinite(own_error):
            return f"the error of the {side} side is not known (infinite)"
        if not math.isfinite(own_spread):
            return f"the standard error of the {side} side is not known (infinite)"
        if e.kind == "unknown":
            return f"the {side} side is of kind 'unknown': on which side of it the truth lies is not known"
    if math.isnan(slack):
        return "both sides are infinite"
    if math.isinf(slack) and math.isinf(room):
        return "the slack and the tolerance are both infinite"
    if not sampled or {v.lhs.kind, v.rhs.kind} & {"lower", "upper"}:
        kinds = f"the left side is of kind {v.lhs.kind!r} and the right of kind {v.rhs.kind!r}"
        return f"the slack is {slack:.3g}, but {kinds}: nothing follows from that"
    for side, (value, own_spread, _), e in (("left", lhs, v.lhs), ("right", rhs, v.rhs)):
        if bool(_all_agree(e, torch.tensor(value), torch.tensor(own_spread))):
            return f"all samples of the {side} side agree: their standard error says nothing about what they missed"
    gap = abs(abs(slack) - room) - error
    if gap <= 0:
        return f"the slack {slack:.3g} is within the numerical errors {error:.2g}: more samples do not help"
    factor = (normal_quantile(1 - v.alpha / 2) * spread / gap) ** 2
    if factor > _MOST_SAMPLES:
        return f"the slack {slack:.2g} is far below the standard errors {spread:.2g}: saturated, or nearly"
    if factor <= 1:
        return f"the slack {slack:.3g} is not resolved at the family-wise level {v.alpha:g}"
    return f"the slack {slack:.3g} is not resolved; about {factor:.2g} times the samples would, if it is that large"


def _tightness(lhs: Estimate, rhs: Estimate) -> Tensor:
    """Smaller over larger magnitude; 1 when both are zero within their errors, NaN when both are infinite."""
    a, b, error = lhs.value.detach(), rhs.value.detach(), lhs.error + rhs.error
    small, large = torch.minimum(a.abs(), b.abs()), torch.maximum(a.abs(), b.abs())
    ratio = torch.where(a * b < 0, torch.zeros_like(small), small / large)
    return torch.where((large <= error) & error.isfinite(), torch.ones_like(small), ratio)


# -- sides -----------------------------------------------------------------------------------------------------------


def _sides(lhs: Any, rhs: Any) -> tuple[Estimate, Estimate]:
    """Both sides as Estimates of broadcastable shapes in one unit; a plain number takes the unit of the other side."""
    left, right = _side(lhs, "lhs", rhs), _side(rhs, "rhs", lhs)
    try:
        np.broadcast_shapes(tuple(left.shape), tuple(right.shape))
    except ValueError:
        raise ValueError(
            f"lhs and rhs must have broadcastable shapes; got {tuple(left.shape)} and {tuple(right.shape)}"
        ) from None
    if left.units == right.units:
        return left, right
    for e in (left, right):
        if e.units not in (*NATS_PER, "1"):
            raise ValueError(f"lhs and rhs must have the same units; got {left.units!r} and {right.units!r}")
    # a dimensionless number beside an information is in nats
    return tuple(e.to("nat") if e.units in NATS_PER else e for e in (left, right))  # type: ignore[return-value]


def _side(x: Any, name: str, other: Any) -> Estimate:
    if isinstance(x, Estimate):
        return x
    value = as_tensor(x, name, device=other.value.device if isinstance(other, Estimate) else None).detach()
    rounding = 4 * torch.finfo(value.dtype).eps * value.abs()
    error = torch.where(rounding.isfinite(), rounding, 0.0)
    return Estimate(value, error=error, units=other.units if isinstance(other, Estimate) else "1")


def _element(e: Estimate, shape: Sequence[int], index: tuple[int, ...]) -> tuple[float, float, float]:
    value, stderr, error = (float(t.detach().expand(tuple(shape))[index]) for t in (e.value, e.stderr, e.error))
    return value, stderr, error


def _shown(e: Estimate) -> str:
    if e.value.numel() != 1:
        return f"[{e.value.numel()} values]"
    units = "" if e.units == "1" else f" {e.units}"
    return with_uncertainty(float(e.value.detach()), float(e.stderr + e.error)) + units
