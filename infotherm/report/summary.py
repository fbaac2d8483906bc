"""Stored results as a reader needs them: one entry a claim, its worst case first, numbers with the digits they have."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infotherm.core.display import with_uncertainty
from infotherm.results import NUMBER_COLUMNS, TEXT_COLUMNS, worst

if TYPE_CHECKING:
    import xarray

_NEGLIGIBLE = 1e-7  # a relative uncertainty that the seven digits shown do not reach
_SIDES = ("lhs", "rhs")
_SMALLEST = 1e-100  # an uncertainty below is that of an exact zero


@dataclass(frozen=True)
class Case:
    """One verdict: the stored columns by name, and their texts."""

    columns: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.columns[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def lhs(self) -> str:
        """The left side with its uncertainty."""
        return number(self.lhs_value, self.lhs_stderr + self.lhs_error, self.lhs_units)

    @property
    def rhs(self) -> str:
        """The right side with its uncertainty."""
        return number(self.rhs_value, self.rhs_stderr + self.rhs_error, self.rhs_units)

    @property
    def difference(self) -> str:
        """The slack with its uncertainty."""
        return number(self.slack, self.slack_stderr + self.slack_error)

    @property
    def route(self) -> str:
        """Kinds and methods of the two sides; what they share is said once."""
        (kind, method), (other_kind, other_method) = (
            (self.columns[f"{s}_kind"], self.columns[f"{s}_method"]) for s in _SIDES
        )
        if kind != other_kind:
            return f"{kind} {method} | {other_kind} {other_method}"
        return f"{kind} {method}" + (f" | {other_method}" if method != other_method else "")

    @property
    def allowed(self) -> float:
        """The largest difference of an identity's sides that its errors and its tolerance explain."""
        tolerance = 0.0 if math.isnan(self.tolerance) else self.tolerance
        return self.slack_error + tolerance + 2 * self.slack_stderr

    @property
    def margin(self) -> float:
        """How far from failing, as a fraction: 1 - |slack| / allowed for an identity, slack / larger side else."""
        if self.relation == "==":
            return 1 - abs(self.slack) / self.allowed if self.allowed > 0 else (1.0 if self.slack == 0 else -math.inf)
        scale = max(abs(self.lhs_value), abs(self.rhs_value))
        return self.slack / scale if scale > 0 else 0.0


@dataclass(frozen=True)
class ClaimSummary:
    """A claim with its cases, the worst first."""

    study: str
    name: str
    outcome: str
    cases: list[Case]
    options: str

    @property
    def shown(self) -> Case:
        """The case that stands for the claim: of the worst outcome, the one nearest to failing."""
        return self.cases[0]

    @property
    def full_name(self) -> str:
        """study:claim."""
        return f"{self.study}:{self.name}"

    @property
    def tally(self) -> str:
        """How many of the cases share the claim's outcome."""
        n = sum(case.outcome == self.outcome for case in self.cases)
        return f"{n}/{len(self.cases)}"

    @property
    def command(self) -> str:
        """The line that computes this claim again."""
        return f"infotherm validate --only {shlex.quote(self.full_name)}{self.options}"


def summarise(dataset: xarray.Dataset) -> list[ClaimSummary]:
    """A study's claims in the order in which they were computed."""
    columns = {name: dataset[name].values for name in (*TEXT_COLUMNS, *NUMBER_COLUMNS, "seed")}
    text = set(TEXT_COLUMNS)
    by_claim: dict[str, list[Case]] = {}
    for i in range(dataset.sizes["verdict"]):
        row = {name: str(v[i]) if name in text else v[i].item() for name, v in columns.items()}
        by_claim.setdefault(row["claim"], []).append(Case(row))
    summaries = []
    for name, cases in by_claim.items():
        outcome = worst(case.outcome for case in cases)
        cases = sorted(cases, key=lambda case: (case.outcome != outcome, _ascending(case.margin)))
        summaries.append(ClaimSummary(dataset.attrs["study"], name, outcome, cases, _options(dataset, cases[0])))
    return summaries


def number(value: float, uncertainty: float, units: str = "") -> str:
    """A number with the digits it has; "" where there is none.

    Examples
    --------
    >>> number(0.80692, 0.0012, "nat"), number(1 / 3, 1e-16), number(math.nan, 0.0), number(math.inf, 0.0)
    ('0.8069 ± 0.0012 nat', '0.3333333', '', 'inf')
    """
    if math.isnan(value):
        return ""
    if not math.isfinite(value):
        shown = f"{value}"
    elif uncertainty <= max(_NEGLIGIBLE * abs(value), _SMALLEST):
        shown = f"{value:.7g}"
    elif abs(value) <= uncertainty < math.inf:
        shown = f"{value:.2g} ± {uncertainty:.2g}"  # more digits of what may be nothing would say nothing
    else:
        shown = with_uncertainty(value, uncertainty).replace("+-", "±")
    return shown if units in ("", "1") else f"{shown} {units}"


def _ascending(margin: float) -> float:
    return math.inf if math.isnan(margin) else margin


def _options(dataset: xarray.Dataset, case: Case) -> str:
    """What differs from the defaults of the command line."""
    attrs = dataset.attrs
    options = " --full" if case.level == "full" or attrs.get("level") == "full" else ""
    if attrs.get("seed", 0) != 0:
        options += f" --seed {attrs['seed']}"
    if attrs.get("device", "cpu") != "cpu":
        options += f" --device {shlex.quote(str(attrs['device']))}"
    return options
