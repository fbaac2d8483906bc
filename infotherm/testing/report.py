"""What came of the laws tried on one estimator: a table, an xarray Dataset, an HTML page."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray

STATUSES = ("failed", "expected", "passed", "skipped")
_WIDTH = 120


@dataclass(frozen=True)
class LawResult:
    """What came of one law.

    Parameters
    ----------
    law
        Its name.
    status
        "passed", "failed", "skipped" (could not be tried on this estimator) or "expected" (failed, as declared).
    reason
        The evidence, or why it was skipped.
    sort, statement, source
        Of the law.
    stale
        Whether a failure was declared that did not happen.
    """

    law: str
    status: str
    reason: str
    sort: str
    statement: str
    source: str
    stale: bool = False


@dataclass(frozen=True, repr=False)
class Report:
    """The results of all laws tried on one estimator.

    Parameters
    ----------
    name
        Of the estimator.
    quantity
        What it was tried as an estimator of.
    budget, seed, level
        How thoroughly, with which randomness, and with which probability a correct estimator fails any of the laws.
    results
        One for each law, in the order of the catalogue.
    """

    name: str
    quantity: str
    budget: str
    seed: int
    level: float
    results: tuple[LawResult, ...]

    @property
    def failed(self) -> tuple[LawResult, ...]:
        """The laws that were found broken and were not declared to be."""
        return tuple(result for result in self.results if result.status == "failed")

    @property
    def passed(self) -> bool:
        """Whether no law was found broken but those declared to be."""
        return not self.failed

    def __getitem__(self, law: str) -> LawResult:
        """The result of the law of this name."""
        for result in self.results:
            if result.law == law:
                return result
        raise KeyError(f"the report has no law {law!r}; it has {', '.join(result.law for result in self.results)}")

    @property
    def worst_first(self) -> tuple[LawResult, ...]:
        """The results with the broken laws before the others, for reading."""
        return tuple(sorted(self.results, key=lambda result: result.status != "failed"))

    @property
    def counts(self) -> dict[str, int]:
        """How many laws came out how."""
        return {status: sum(result.status == status for result in self.results) for status in STATUSES}

    @property
    def summary(self) -> str:
        """One line: how many laws came out how."""
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count) or "no laws"
        stale = sum(result.stale for result in self.results)
        return counts + (f" ({stale} declared to fail)" if stale else "")

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.quantity.replace('_', ' ')}, {self.summary}",
            f"budget {self.budget}, seed {self.seed}, false-alarm level {self.level:g}",
        ]
        width = max((len(result.law) for result in self.results), default=0)
        for result in self.worst_first:
            head = f"  {result.status:8}  {result.law:{width}}  "
            body = " ".join(result.reason.split())
            if result.status in ("failed", "expected"):
                body = f"{body} [{result.statement}]"
            elif not result.stale:  # one line each; `results` hold the whole
                body = textwrap.shorten(body, max(20, _WIDTH - len(head)), placeholder=" ...")
            indent = " " * len(head)
            lines += textwrap.wrap(body, _WIDTH, initial_indent=head, subsequent_indent=indent) or [head.rstrip()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Report of {self.name}, {self.quantity}: {self.summary}>"

    def _repr_html_(self) -> str:
        return _rendered(self, page=False)

    def write_html(self, path: str | Path) -> Path:
        """Writes the report as one self-contained HTML page and returns its path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_rendered(self, page=True), encoding="utf-8")
        return path

    def to_xarray(self) -> xarray.Dataset:
        """A Dataset over the dimension `law` with `status`, `reason`, `sort`, `statement` and `source`."""
        import numpy as np
        import xarray

        from infotherm._version import __version__

        columns = {
            column: ("law", np.array([getattr(result, column) for result in self.results], dtype=np.str_))
            for column in ("status", "reason", "sort", "statement", "source")
        }
        return xarray.Dataset(
            columns,
            coords={"law": np.array([result.law for result in self.results], dtype=np.str_)},
            attrs={
                "estimator": self.name,
                "quantity": self.quantity,
                "budget": self.budget,
                "seed": self.seed,
                "level": self.level,
                "infotherm_version": __version__,
            },
        )


_MARKS = {"passed": "\N{CHECK MARK}", "failed": "\N{BALLOT X}", "expected": "\N{BALLOT X}", "skipped": "\N{EN DASH}"}
_COLOURS = {"passed": "#1a7f4b", "failed": "#c2303a", "expected": "#a36a00", "skipped": "#6b7280"}


def _rendered(report: Report, *, page: bool) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    template = environment.get_template("report.html")
    return template.render(report=report, page=page, marks=_MARKS, colours=_COLOURS)
