"""Columns of numbers from files: CSV, NPY, NPZ, NetCDF and Parquet. Nothing is ever unpickled."""

from __future__ import annotations

import csv
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

_BLANK = {"", "na", "n/a", "nan", "null", "none", "-"}


@dataclass(frozen=True)
class Table:
    """Named columns of equal length, without rows that miss a number, and what was dropped.

    Attributes
    ----------
    columns
        Name -> float64 array.
    rows_read
        Rows in the file.
    dropped
        Reason -> number of rows left out.
    """

    columns: dict[str, np.ndarray]
    rows_read: int
    dropped: dict[str, int]

    def matrix(self, names: Sequence[str]) -> np.ndarray:
        """The named columns side by side, shape (N, len(names))."""
        return np.stack([self.columns[name] for name in names], axis=1)


def read_table(path: str | Path, names: Sequence[str]) -> Table:
    """The named columns of a file; rows with a missing or infinite entry in any of them are dropped and counted.

    CSV files (.csv, .tsv, .txt) have a header line; the delimiter is found. NPY holds a matrix, whose columns are
    called "0", "1", ..., or a structured array; NPZ and NetCDF hold one array a name, a matrix `a` giving "a:0",
    "a:1", and so on.

    Raises
    ------
    FileNotFoundError, ValueError
        For a missing or unreadable file, an unknown format, an unknown column (with the nearest names), text in a
        numeric column (with its row), or arrays of unequal length.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("a,b\\n1,2\\n3,\\n5,6\\n")
    ...     file.flush()
    ...     table = read_table(file.name, ["a", "b"])
    >>> table.columns["b"].tolist(), table.dropped
    ([2.0, 6.0], {'missing value in b': 1})
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if len(set(names)) != len(names):
        raise ValueError(f"a column must not be named twice; got {', '.join(names)}")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: the format {path.suffix!r} is not known; known are {', '.join(sorted(_READERS))}")
    columns = reader(path, names)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{path}: columns must have one length; got {lengths}")
    return _complete_rows(columns)


def _complete_rows(columns: Mapping[str, np.ndarray]) -> Table:
    n = len(next(iter(columns.values())))
    keep = np.ones(n, dtype=bool)
    dropped: Counter[str] = Counter()
    for name, column in columns.items():
        for reason, bad in (("missing", np.isnan(column)), ("infinite", np.isinf(column))):
            count = int((bad & keep).sum())
            if count:
                dropped[f"{reason} value in {name}"] = count
            keep &= ~bad
    return Table({name: column[keep] for name, column in columns.items()}, n, dict(dropped))


def _read_csv(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = re.sub(r'"[^"]*"', "", file.readline())  # what is quoted does not separate
            delimiter = max(",;\t", key=head.count) if any(d in head for d in ",;\t") else None
            file.seek(0)
            # strict: a quote that is never closed would swallow the rows after it
            lines = csv.reader(file, delimiter=delimiter, strict=True) if delimiter else (line.split() for line in file)
            header = [cell.strip() for cell in next(iter(lines), [])]
            where = {name: header.index(_found(name, header, path)) for name in names}
            values: dict[str, list[float]] = {name: [] for name in names}
            for row, cells in enumerate(lines, start=2):
                if not any(cell.strip() for cell in cells):
                    continue
                if any(cell.strip() for cell in cells[len(header) :]):
                    raise ValueError(f"{path}: line {row} holds {len(cells)} cells; the header names {len(header)}")
                for name, index in where.items():
                    cell = cells[index].strip() if index < len(cells) else ""
                    values[name].append(_number(cell, path, name, row))
    except (UnicodeDecodeError, csv.Error) as reason:
        raise ValueError(f"{path} is not a readable text table: {reason}") from None
    return {name: np.array(column, dtype=np.float64) for name, column in values.items()}


def _number(cell: str, path: Path, name: str, row: int) -> float:
    if cell.lower() in _BLANK:
        return np.nan
    try:
        if "_" in cell:  # Python reads 1_5 as 15
            raise ValueError
        return float(cell)
    except ValueError:
        raise ValueError(f"{path}: column {name!r} must be numeric; line {row} holds {cell!r}") from None


def _read_numpy(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            arrays = _numbered(content) if isinstance(content, np.ndarray) else dict(content)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as reason:
        raise ValueError(f"{path} is not a readable numpy file: {reason}") from None
    return _picked(arrays, names, path)


def _numbered(array: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of a structured array, or the columns of a matrix under their numbers."""
    if array.dtype.names:
        return {name: array[name] for name in array.dtype.names}
    if array.ndim not in (1, 2):
        raise ValueError(f"an array of shape (N,) or (N, D) is needed; got {array.shape}")
    return {str(i): column for i, column in enumerate((array[:, None] if array.ndim == 1 else array).T)}


def _read_netcdf(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    import xarray

    try:
        import h5netcdf  # noqa: F401
    except ImportError:
        raise ValueError(f"{path}: NetCDF files need h5netcdf (pip install h5netcdf)") from None
    try:
        with xarray.open_dataset(path, engine="h5netcdf") as data:
            arrays = {str(name): variable.values for name, variable in data.variables.items()}
            along = {str(name): variable.dims[:1] for name, variable in data.variables.items()}
    except (ValueError, OSError, RuntimeError, KeyError, EOFError) as reason:
        raise ValueError(f"{path} is not a readable NetCDF file (truncated or foreign?): {reason}") from None
    columns = _picked(arrays, names, path)
    samples = {name: along.get(name, along.get(name.rpartition(":")[0])) for name in names}
    if len(set(samples.values())) > 1:
        raise ValueError(f"{path}: columns must lie along one dimension, or they are not paired; got {samples}")
    return columns


def _read_parquet(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ValueError(f"{path}: Parquet files need pyarrow (pip install pyarrow)") from None
    try:
        known = parquet.read_schema(path).names
        table = parquet.read_table(path, columns=[_found(name, known, path) for name in names])
    except (pyarrow.ArrowException, OSError) as reason:
        raise ValueError(f"{path} is not a readable Parquet file: {reason}") from None
    arrays = {name: table.column(name).to_numpy() for name in table.column_names}
    return _picked(arrays, names, path)


def _picked(arrays: Mapping[str, np.ndarray], names: Sequence[str], path: Path) -> dict[str, np.ndarray]:
    """The named columns among arrays of one or two dimensions (a matrix `a` has columns "a:0", "a:1", ...)."""
    known: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            known[name] = array
        elif array.ndim == 2:
            known |= {f"{name}:{i}": column for i, column in enumerate(array.T)}
    columns = {}
    for name in names:
        column = known[_found(name, list(known), path)]
        if column.dtype.kind == "O":
            column = np.array([np.nan if entry is None else entry for entry in column.tolist()])
        if column.dtype.kind not in "fiub":
            raise ValueError(
                f"{path}: column {name!r} must be numeric; it holds {column.dtype} ({column[:1].tolist()})"
            )
        columns[name] = column.astype(np.float64)
    return columns


def _found(name: str, known: list[str], path: Path) -> str:
    if name not in known:
        near = get_close_matches(name, known, n=3)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else f"its columns are {', '.join(list(known)[:20]) or 'none'}"
        )
        raise ValueError(f"{path} has no column {name!r}; {hint}")
    if known.count(name) > 1:
        raise ValueError(f"{path} has {known.count(name)} columns called {name!r}: which is meant is not known")
    return name


_READERS: dict[str, Callable[[Path, Sequence[str]], dict[str, Any]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".txt": _read_csv,
    ".npy": _read_numpy,
    ".npz": _read_numpy,
    ".nc": _read_netcdf,
    ".parquet": _read_parquet,
}
