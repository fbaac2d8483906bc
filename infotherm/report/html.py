"""Stored results as one self-contained HTML page: no scripts, nothing loaded from outside."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infotherm import results
from infotherm.report import figures, formulas
from infotherm.report.summary import summarise

if TYPE_CHECKING:
    import xarray

_MOST_CASES = 24  # of one claim on the page; all are in the NetCDF file


def write(source: str | Path | Iterable[str | Path], path: str | Path) -> Path:
    """Writes the report of result files to `path`.

    Parameters
    ----------
    source
        NetCDF files that a run has written, or the folder that holds them.
    path
        The HTML file.

    Raises
    ------
    FileNotFoundError
        When a file is missing, or the folder holds no results.
    ValueError
        Naming the file that cannot be read as a result.
    """
    if isinstance(source, str | Path):
        source = Path(source)
        files = sorted(source.glob("*.nc")) if source.is_dir() else [source]
        if not files:
            raise FileNotFoundError(f"no result files (*.nc) in {source}")
    else:
        files = list(source)
    text = render([results.load(file) for file in files])
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def render(datasets: Iterable[xarray.Dataset]) -> str:
    """The report of studies' Datasets as HTML text."""
    import jinja2

    datasets = list(datasets)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["formulas"] = formulas.render_statement
    return environment.get_template("template.html").render(
        studies=[_study(dataset) for dataset in datasets],
        counts=results.count(datasets),
        runs=_runs(datasets),
        colours=figures.COLOURS,
        most_cases=_MOST_CASES,
    )


def _study(dataset: xarray.Dataset) -> dict[str, Any]:
    claims = summarise(dataset)
    name = dataset.attrs["study"]
    pictures: dict[str, list[Any]] = {}
    rows = zip(*(dataset[f"figure_{part}"].values for part in ("claim", "title", "svg")), strict=True)
    for claim, title, svg in rows:
        picture = {"title": str(title), "image": figures.embedded(str(svg), str(title))}
        pictures.setdefault(str(claim), []).append(picture)
    return {
        "name": name,
        "title": dataset.attrs.get("title", name),
        "source": dataset.attrs.get("source", ""),
        "claims": claims,
        "counts": results.count([dataset]),
        "overview": figures.overview(claims, name),
        "pictures": pictures,
    }


def _runs(datasets: list[xarray.Dataset]) -> list[tuple[str, str]]:
    """What the numbers were computed with; a difference between the files is shown as such."""
    labels = {
        "created": "computed",
        "infotherm_version": "infotherm",
        "level": "level",
        "alpha": "family-wise level",
        "seed": "seed",
        "device": "device",
        "torch_version": "torch",
        "numpy_version": "numpy",
        "scipy_version": "scipy",
        "python_version": "python",
        "platform": "platform",
    }
    shown = []
    for attribute, label in labels.items():
        found = dict.fromkeys(str(d.attrs[attribute]) for d in datasets if attribute in d.attrs)
        if found:
            shown.append((label, " / ".join(found)))
    return shown
