"""Entropy and mutual information of columns in a file, by several estimators side by side."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infotherm.core.estimate import Estimate
from infotherm.estimators.methods import ENTROPY, LABELS, METHODS, Progress, Request, chosen, is_label, sort_of
from infotherm.estimators.tables import Table, read_table

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Row:
    """One number: the quantity, as in "I(a; c)", the estimator, and its Estimate or the reason why there is none."""

    quantity: str
    estimator: str
    estimate: Estimate | None
    note: str


@dataclass(frozen=True)
class FileEstimates:
    """Every number computed from a file, the rows used, and the rows dropped with the reason.

    Attributes
    ----------
    path, x, y, given
        The file and the names of the columns.
    rows
        The numbers.
    table
        The samples used; `table.dropped` maps a reason to a count.
    remarks
        What was assumed of columns.
    """

    path: Path
    x: tuple[str, ...]
    y: tuple[str, ...]
    given: tuple[str, ...]
    rows: tuple[Row, ...]
    table: Table
    remarks: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """The number of samples used."""
        return len(self.table.columns[self.x[0]])

    def dropped_sentence(self) -> str:
        """How many rows were dropped and why, in words."""
        if not self.table.dropped:
            return f"{self.n} rows used, none dropped"
        reasons = "; ".join(
            f"{count} for {'an' if reason.startswith('infinite') else 'a'} {reason}"
            for reason, count in self.table.dropped.items()
        )
        return f"{self.n} of {self.table.rows_read} rows used; dropped: {reasons}"

    def to_xarray(self) -> xarray.Dataset:
        """The numbers with their errors, one entry per quantity and estimator."""
        import xarray

        done = [row for row in self.rows if row.estimate is not None]
        estimates = [row.estimate for row in done if row.estimate is not None]
        columns = {
            "value": ([float(e) for e in estimates], {"units": "nat", "long_name": "estimate"}),
            "stderr": ([float(e.stderr) for e in estimates], {"units": "nat", "long_name": "standard error"}),
            "error": ([float(e.error) for e in estimates], {"units": "nat", "long_name": "deterministic error"}),
            "kind": ([e.kind for e in estimates], {"long_name": "kind of the estimate"}),
        }
        return xarray.Dataset(
            {name: ("number", values, attrs) for name, (values, attrs) in columns.items()},
            coords={
                "quantity": ("number", [row.quantity for row in done]),
                "estimator": ("number", [row.estimator for row in done]),
            },
            attrs={"source": str(self.path), "rows": self.dropped_sentence()},
        )


def estimate_file(
    path: str | Path,
    x: Sequence[str],
    y: Sequence[str] = (),
    given: Sequence[str] = (),
    *,
    k: int = 3,
    methods: str | Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FileEstimates:
    """Entropies of the columns `x` and `y` and their (conditional) mutual information, by several estimators.

    Columns of few values, each of many samples, are taken as labels: their entropy is the discrete one, their
    information with other labels comes from the plug-in, that with continuous columns from neighbours within labels.
    For continuous columns there are a Gaussian plug-in and neighbours; every column is shifted and scaled to unit
    variance before neighbours are counted (mutual information does not change; the entropy is put back in the units
    of the file), so that the choice of units does not matter.

    Parameters
    ----------
    path
        CSV, NPY, NPZ, NetCDF or Parquet; see `infotherm.estimators.tables.read_table`.
    x, y, given
        Names of columns; without `y` only the entropy of `x` is computed.
    k
        Neighbour of the nearest-neighbour estimators.
    methods
        Names from `infotherm.estimators.methods.METHODS`, computed whatever the columns look like; "all" that suit the
        columns and train no network (those whose time grows with the square of N only up to 5000 rows; a row says so);
        or None, the few that suit them best.
    seed
        Of the estimators that train a network.
    progress
        Called as progress(done, total, text).

    Returns
    -------
    FileEstimates
        Each row an Estimate in nats; kind "unknown" where an estimator's own diagnostics do not trust it. A number
        that cannot be computed has the reason instead.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_table`; when no complete row is left; for an unknown method, or methods that compute none of this.

    Examples
    --------
    >>> import tempfile
    >>> rng = np.random.default_rng(0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/data.npy", rng.normal(size=(500, 2)))
    ...     result = estimate_file(f"{folder}/data.npy", ["0"], ["1"])
    >>> [row.quantity for row in result.rows if row.estimator == "GaussianPlugIn"]
    ['h(0)', 'h(1)', 'I(0; 1)']
    """
    x, y, given = tuple(x), tuple(y), tuple(given)
    if not x:
        raise ValueError("x must name at least one column")
    if given and not y:
        raise ValueError("given needs y: the conditional quantity is I(x; y | given)")
    table = read_table(path, [*x, *y, *given])
    if not len(table.columns[x[0]]):
        raise ValueError(f"{path}: no row has a finite number in every column of {', '.join([*x, *y, *given])}")
    wanted: list[tuple[tuple[str, ...], ...]] = [(names,) for names in (x, y) if names]
    if y:
        wanted.append(tuple(names for names in (x, y, given) if names))
    plan: list[tuple[tuple[tuple[str, ...], ...], Request, str]] = []
    for groups in wanted:
        blocks = tuple(table.matrix(names) for names in groups)
        request = Request(blocks, tuple(map(sort_of, blocks)), k, seed)
        plan += [(groups, request, name) for name in chosen(methods, request) or ([""] if methods is None else [])]
    if not plan:
        listed = methods if isinstance(methods, str) else ", ".join(methods or ())
        raise ValueError(f"{listed} computes neither the entropy nor the information of these columns")
    rows = []
    for done, (groups, request, name) in enumerate(plan):
        quantity = _quantity(groups, request, name)
        if progress is not None:
            progress(done, len(plan), f"{quantity} {name}")
        if methods == "all" and (note := METHODS[name].too_slow(request.n, name)):
            rows.append(Row(quantity, METHODS[name].title(request), None, note))
        else:
            rows.append(_row(quantity, replace(request, progress=_within(progress, quantity)), name))
    remarks = tuple(_remarks(table, [*x, *y, *given]))
    return FileEstimates(Path(path), x, y, given, tuple(rows), table, remarks)


def _quantity(groups: Sequence[Sequence[str]], request: Request, name: str) -> str:
    """As in "h(a)" (differential), "H(a)" (of labels), "I(a; b | c)"."""
    x, y, given = (", ".join(names) for names in (*groups, (), ())[:3])
    if request.quantity == ENTROPY:
        return f"H({x})" if name == "binning" and request.all_are(LABELS) else f"h({x})"
    return f"I({x}; {y}{' | ' + given if given else ''})"


def _within(progress: Progress | None, quantity: str) -> Progress | None:
    """The progress of one estimator, under the name of its quantity."""
    if progress is None:
        return None
    return lambda done, total, text: progress(done, total, f"{quantity} {text}")


def _row(quantity: str, request: Request, name: str) -> Row:
    """One number, with its warning or what it bounds as a note; a refusal of the estimator becomes the note."""
    if not name:
        return Row(quantity, "", None, "columns of which only some are labels have neither sort of entropy")
    estimator = METHODS[name].title(request)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the note says it
        try:
            result = METHODS[name].compute(request)
        except ValueError as reason:
            return Row(quantity, estimator, None, str(reason))
    note = str(result.info.get("warning", ""))
    if not note and result.kind in ("lower", "upper"):
        note = str(result.info.get("meaning", ""))
    return Row(quantity, estimator, result, note)


def _remarks(table: Table, names: Sequence[str]) -> list[str]:
    remarks = []
    for name in names:
        column = table.columns[name]
        if is_label(column):
            remarks.append(f"{name} takes {len(np.unique(column))} values: read as labels")
    return remarks
