"""Entropy and mutual information of columns in a file, by two estimators side by side."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infotherm.core.estimate import Estimate
from infotherm.estimators.gaussian import GaussianPlugIn
from infotherm.estimators.neighbours import KSG, KozachenkoLeonenko
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
    """

    path: Path
    x: tuple[str, ...]
    y: tuple[str, ...]
    given: tuple[str, ...]
    rows: tuple[Row, ...]
    table: Table

    @property
    def n(self) -> int:
        """The number of samples used."""
        return len(self.table.columns[self.x[0]])

    def dropped_sentence(self) -> str:
        """How many rows were dropped and why, in words."""
        if not self.table.dropped:
            return f"{self.n} rows used, none dropped"
        reasons = "; ".join(f"{count} for a {reason}" for reason, count in self.table.dropped.items())
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
    path: str | Path, x: Sequence[str], y: Sequence[str] = (), given: Sequence[str] = (), *, k: int = 3
) -> FileEstimates:
    """Entropies of the columns `x` and `y` and their mutual information, each by a Gaussian plug-in and by neighbours.

    Every column is shifted and scaled to unit variance before neighbours are counted (mutual information does not
    change; the entropy is put back in the units of the file), so that the choice of units does not matter.

    Parameters
    ----------
    path
        CSV, NPY, NPZ, NetCDF or Parquet; see `infotherm.estimators.tables.read_table`.
    x, y, given
        Names of columns; without `y` only the entropy of `x` is computed.
    k
        Neighbour of the nearest-neighbour estimators.

    Returns
    -------
    FileEstimates
        Each row an Estimate in nats, by method "sample-based"; kind "unknown" where an estimator's own diagnostics do
        not trust it. A number that cannot be computed has the reason instead.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_table`; or when no complete row is left.

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
    rows = []
    for names in (x, y):
        if names:
            rows.append(_row(f"h({', '.join(names)})", "GaussianPlugIn", GaussianPlugIn().estimate, table, [names]))
            rows.append(_row(f"h({', '.join(names)})", "KozachenkoLeonenko", _Entropy(k), table, [names]))
    if y:
        bar = f" | {', '.join(given)}" if given else ""
        title = f"I({', '.join(x)}; {', '.join(y)}{bar})"
        blocks = [names for names in (x, y, given) if names]
        rows.append(_row(title, "GaussianPlugIn", _last_given(GaussianPlugIn().estimate), table, blocks))
        rows.append(_row(title, "KSG", _Information(k), table, blocks))
    return FileEstimates(Path(path), x, y, given, tuple(rows), table)


def _row(
    quantity: str, estimator: str, estimate: Callable[..., Estimate], table: Table, blocks: Sequence[Sequence[str]]
) -> Row:
    """One number, its warnings as a note; a refusal of the estimator becomes the note."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        try:
            result = estimate(*(table.matrix(names) for names in blocks))
        except ValueError as reason:
            return Row(quantity, estimator, None, str(reason))
    return Row(quantity, estimator, result, str(result.info.get("warning", "")))


def _last_given(estimate: Callable[..., Estimate]) -> Callable[..., Estimate]:
    return lambda x, y, *given: estimate(x, y, given=given[0] if given else None)


@dataclass(frozen=True)
class _Entropy:
    """Kozachenko-Leonenko on standardised columns, put back in their own units."""

    k: int

    def __call__(self, x: np.ndarray) -> Estimate:
        standard, log_scale = _standardised(x)
        scaled = KozachenkoLeonenko(self.k).estimate(standard)
        estimate = scaled + log_scale
        return replace(estimate, info=dict(scaled.info))


@dataclass(frozen=True)
class _Information:
    """KSG on standardised columns."""

    k: int

    def __call__(self, *blocks: np.ndarray) -> Estimate:
        return _last_given(KSG(self.k).estimate)(*(_standardised(block)[0] for block in blocks))


def _standardised(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Columns of unit variance and zero mean, and the sum of the logarithms of their scales."""
    scale = x.std(axis=0)
    constant = np.flatnonzero(x.max(axis=0) == x.min(axis=0))
    if len(constant):
        raise ValueError(f"a column must vary; number {constant[0]} of this block is constant ({x[0, constant[0]]})")
    return (x - x.mean(axis=0)) / scale, float(np.log(scale).sum())
