"""Results of studies as Datasets: how they are stored, reloaded and counted."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infotherm._version import __version__

if TYPE_CHECKING:
    import xarray

    from infotherm.core.verdict import Verdict

FORMAT = "infotherm-study-1"
OUTCOMES: tuple[str, ...] = ("holds", "violated", "undecided", "not applicable", "error")

# One row is one verdict. Every column exists in every file: text that is missing is "", a number that is missing NaN.
_SIDES = ("lhs", "rhs")
TEXT_COLUMNS: dict[str, str] = {
    "claim": "name of the claim",
    "case": "which of the claim's cases",
    "level": "the level from which on the claim is computed",
    "statement": "what is claimed",
    "source": "where it is stated",
    "outcome": "holds, violated, undecided, not applicable or error",
    "reason": "why the outcome is what it is",
    "relation": "how the left side is compared with the right side",
    "warnings": "warnings raised while the claim was computed",
    **{f"{side}_{what}": f"{what} of the {side}" for side in _SIDES for what in ("kind", "method", "units")},
}
NUMBER_COLUMNS: dict[str, str] = {
    **{f"{side}_{what}": f"{what} of the {side}" for side in _SIDES for what in ("value", "stderr", "error")},
    "slack": "difference of the sides, >= 0 where an inequality holds (lhs - rhs for an identity)",
    "slack_stderr": "standard error of the slack",
    "slack_error": "deterministic error of the slack",
    "tolerance": "largest difference that counts as equal, beside the errors",
    "tightness": "smaller side / larger side: 1 at saturation",
    "alpha": "level of the test",
    "duration": "seconds that the claim took",
}
_FIGURE_COLUMNS = ("figure_claim", "figure_title", "figure_svg")


@dataclass(frozen=True)
class Counts:
    """How many claims came out how.

    Examples
    --------
    >>> print(Counts(holds=41, undecided=2))
    41 hold, 0 violated, 2 undecided, 0 errors
    >>> Counts(holds=41, violated=1, error=1).exit_code
    2
    """

    holds: int = 0
    violated: int = 0
    undecided: int = 0
    not_applicable: int = 0
    error: int = 0

    @property
    def exit_code(self) -> int:
        """0 when nothing is violated and nothing failed, 1 when a claim is violated, 2 on an error."""
        return 2 if self.error else 1 if self.violated else 0

    def __str__(self) -> str:
        not_applicable = f"{self.not_applicable} not applicable, " if self.not_applicable else ""
        errors = f"{self.error} error" + ("" if self.error == 1 else "s")
        return f"{self.holds} hold, {self.violated} violated, {self.undecided} undecided, {not_applicable}{errors}"


def worst(outcomes: Iterable[str]) -> str:
    """The outcome of a claim whose cases came out so: an error before a violation before doubt.

    Examples
    --------
    >>> worst(["holds", "undecided", "holds"])
    'undecided'
    """
    order = ("error", "violated", "undecided", "holds", "not applicable")
    return min(outcomes, key=order.index)


def count(datasets: Iterable[xarray.Dataset]) -> Counts:
    """How many claims hold, are violated, undecided, not applicable, failed; a claim counts as its worst case."""
    totals: dict[str, int] = dict.fromkeys(OUTCOMES, 0)
    for dataset in datasets:
        by_claim: dict[str, list[str]] = {}
        for claim, outcome in zip(dataset["claim"].values, dataset["outcome"].values, strict=True):
            by_claim.setdefault(str(claim), []).append(str(outcome))
        for outcomes in by_claim.values():
            totals[worst(outcomes)] += 1
    return Counts(**{outcome.replace(" ", "_"): n for outcome, n in totals.items()})


def rows_of(verdict: Verdict, *, case: str = "") -> list[dict[str, Any]]:
    """The columns of a verdict's elements: one row for each element of its batch."""
    import numpy as np

    common = {"relation": verdict.relation, "reason": verdict.reason, "alpha": verdict.alpha}
    sides = {"lhs": verdict.lhs, "rhs": verdict.rhs, "slack": verdict.slack}
    numbers: dict[str, Any] = {"tightness": verdict.tightness, "tolerance": verdict.tolerance}
    for side, estimate in sides.items():
        if estimate is None:
            continue
        numbers |= {
            side if side == "slack" else f"{side}_value": estimate.value,
            f"{side}_stderr": estimate.stderr,
            f"{side}_error": estimate.error,
        }
        if side != "slack":
            common |= {f"{side}_{what}": getattr(estimate, what) for what in ("kind", "method", "units")}
    shape = verdict.shape
    columns = {
        name: np.broadcast_to(tensor.detach().cpu().numpy(), shape)
        for name, tensor in numbers.items()
        if tensor is not None
    }
    rows = []
    for index in np.ndindex(*shape):
        where = f"[{', '.join(map(str, index))}]" if index else ""
        row = {**common, "case": f"{case}{where}", "outcome": str(verdict.outcomes[index])}
        rows.append(row | {name: float(column[index]) for name, column in columns.items()})
    return rows or [{**common, "case": case, "outcome": verdict.outcome}]


def build(
    study: str, rows: list[dict[str, Any]], figures: list[dict[str, str]], attrs: Mapping[str, str | int | float]
) -> xarray.Dataset:
    """A study's Dataset: one entry along `verdict` for each row, one along `figure` for each figure.

    Raises
    ------
    ValueError
        For a row with an unknown column, or without a claim and an outcome.
    """
    import numpy as np
    import xarray

    for row in rows:
        unknown = row.keys() - TEXT_COLUMNS.keys() - NUMBER_COLUMNS.keys() - {"seed"}
        if unknown or "claim" not in row or row.get("outcome") not in OUTCOMES:
            raise ValueError(f"a row needs a claim and an outcome out of {OUTCOMES}, and known columns; got {row}")
    variables: dict[str, Any] = {}
    for name, meaning in TEXT_COLUMNS.items():
        texts = [_storable(row.get(name, "")) for row in rows]
        variables[name] = ("verdict", np.array(texts, dtype=object), {"long_name": meaning})
    for name, meaning in NUMBER_COLUMNS.items():
        numbers = [float(row.get(name, math.nan)) for row in rows]
        variables[name] = ("verdict", np.array(numbers, dtype=np.float64), {"long_name": meaning})
    seeds = np.array([row.get("seed", 0) for row in rows], dtype=np.int64)
    variables["seed"] = ("verdict", seeds, {"long_name": "seed of the claim's generator"})
    variables["duration"][2]["units"] = "s"
    for name in _FIGURE_COLUMNS:
        texts = [_storable(figure[name.removeprefix("figure_")]) for figure in figures]
        variables[name] = ("figure", np.array(texts, dtype=object))
    stamped = {"format": FORMAT, "study": study, **environment(), **attrs}
    dataset = xarray.Dataset(variables, attrs={key: _storable(entry) for key, entry in stamped.items()})
    return dataset.set_coords(["claim", "case"])


def save(dataset: xarray.Dataset, path: str | Path) -> Path:
    """Writes a study's Dataset as NetCDF; a file that was there is replaced only by a complete one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        dataset.to_netcdf(partial, engine="h5netcdf")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def load(path: str | Path) -> xarray.Dataset:
    """A study's Dataset as `save` wrote it.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        Naming the file, when it is not NetCDF, is truncated or holds something else.
    """
    import xarray

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no result file at {path}")
    try:
        with xarray.open_dataset(path, engine="h5netcdf") as opened:
            dataset = opened.load()
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as problem:  # h5py has no single error type
        raise ValueError(f"{path} is not a readable NetCDF file (truncated or of another kind): {problem}") from problem
    if dataset.attrs.get("format") != FORMAT:
        raise ValueError(f"{path} is NetCDF but not a result of `infotherm validate` (no attribute format={FORMAT!r})")
    missing = {*TEXT_COLUMNS, *NUMBER_COLUMNS, *_FIGURE_COLUMNS} - dataset.variables.keys()
    if missing:
        raise ValueError(f"{path} lacks the variables {', '.join(sorted(missing))}")
    return dataset


def environment() -> dict[str, str]:
    """Versions that a number may depend on, by name; "" for a package that is not installed."""
    versions = {
        "infotherm": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    for package in ("torch", "numpy", "scipy", "POT"):
        versions[package] = package_version(package)
    return {f"{name}_version" if name != "platform" else name: text for name, text in versions.items()}


def package_version(package: str) -> str:
    """The installed version of a package, "" when it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _storable(entry: Any) -> Any:
    """Text that HDF5 can hold: no NUL, no half characters. Numbers pass."""
    if isinstance(entry, str):
        return entry.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
    if isinstance(entry, bool):
        return int(entry)
    if isinstance(entry, int | float):
        return entry
    raise TypeError(f"results hold text and numbers; got {type(entry).__name__}: {entry!r}")
