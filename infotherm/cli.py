"""The command line: each command is one call of the library and a way to show its answer.

Exit codes: 0 when all claims hold (undecided ones allowed), 1 when a claim is violated, 2 on an error.
"""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from infotherm._version import __version__

app = typer.Typer(
    name="infotherm",
    help="Information, thermodynamics, transport and replica theory: numbers that know their own error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

_COLOURS = {
    "holds": "green",
    "violated": "bold red",
    "undecided": "yellow",
    "not applicable": "dim",
    "error": "magenta",
}
_SIGNS = {">=": "≥", "<=": "≤", "==": "="}
_PLAIN = str.maketrans({"≥": ">=", "≤": "<=", "±": "+-"})
_PIPED_WIDTH = 160  # a log file is not wrapped at 80 columns
_WIDTH_FOR_SLACK, _WIDTH_FOR_ROUTE = 110, 140


def main() -> None:
    """The entry point of the `infotherm` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without such characters still gets its table
    app()


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _PIPED_WIDTH, highlight=False)


def _plainly(command: Callable[..., Any]) -> Callable[..., Any]:
    """What the user can mend is said in one line, without a traceback, and ends with exit code 2."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (ValueError, KeyError, OSError, ImportError) as problem:
            text = problem.args[0] if isinstance(problem, KeyError) and problem.args else problem
            typer.echo(f"error: {' '.join(str(text).split())}", err=True)
            raise typer.Exit(2) from None

    return wrapped


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"infotherm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


# -- validate --------------------------------------------------------------------------------------------------------


@app.command()
@_plainly
def validate(
    full: Annotated[bool, typer.Option("--full/--quick", help="All claims, or those of seconds only.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Glob on 'study:claim', a study's or a claim's name; may be repeated.", metavar="GLOB"),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1, ...")] = "cpu",
    out: Annotated[Path, typer.Option(help="Folder for the results and report.html.", metavar="DIR")] = Path(
        "infotherm-results"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the run; each claim derives its own.")] = 0,
    studies: Annotated[
        Path | None, typer.Option(help="Folder of study files instead of the package's own.", metavar="DIR")
    ] = None,
) -> None:
    """Check every claim of the studies by its several routes, and write a report."""
    from infotherm import report, results
    from infotherm.studies import run

    level = "full" if full else "quick"
    with _progress() as progress:
        datasets = run(studies, only=only or (), level=level, device=device, seed=seed, out=out, progress=progress)
    console = _console()
    _show_verdicts(console, datasets.values())
    page = report.write([out / f"{name}.nc" for name in datasets], out / "report.html")
    counts = results.count(datasets.values())
    console.print(f"report: {escape(str(page))}", soft_wrap=True)
    console.print(str(counts))
    raise typer.Exit(counts.exit_code)


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """A bar on the error stream that names what is being computed; nothing where that is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    console = _console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)

        def advance(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=escape(name))

        yield advance


def _show_verdicts(console: Console, datasets: Iterable[Any]) -> None:
    from infotherm.report.summary import summarise

    studies = {dataset.attrs["study"]: summarise(dataset) for dataset in datasets}
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("claim", no_wrap=True)
    for heading in ("left side", "", "right side"):
        table.add_column(heading, overflow="fold")
    with_slack, with_route = console.width >= _WIDTH_FOR_SLACK, console.width >= _WIDTH_FOR_ROUTE
    if with_slack:
        table.add_column("slack", overflow="fold")
    if with_route:
        table.add_column("kind and method", overflow="fold")
    table.add_column("cases", justify="right")
    table.add_column("verdict", no_wrap=True)
    for study, claims in studies.items():
        table.add_row(Text(study, style="bold"))
        for claim in claims:
            case = claim.shown
            cells = [f"  {claim.name}", case.lhs, _SIGNS.get(case.relation, ""), case.rhs]
            cells += [case.difference] if with_slack else []
            cells += [case.route] if with_route else []
            cells.append(claim.tally if len(claim.cases) > 1 else "1")
            if not console.encoding.startswith("utf"):
                cells = [cell.translate(_PLAIN) for cell in cells]
            table.add_row(*map(Text, cells), Text(claim.outcome, style=_COLOURS[claim.outcome]))
    console.print(table)
    console.print()
    for claim in (claim for claims in studies.values() for claim in claims):
        if claim.outcome in ("violated", "error"):
            console.print(Text.assemble((claim.outcome, _COLOURS[claim.outcome]), f" {claim.full_name}"))
            console.print(Text(f"  {claim.shown.reason}\n  reproduce: {claim.command}"), soft_wrap=True)


# -- doctor ----------------------------------------------------------------------------------------------------------


@app.command()
@_plainly
def doctor() -> None:
    """Say what is installed and whether it computes known numbers."""
    from infotherm import checkup, results

    console = _console()
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text in results.environment().items():
        table.add_row(name.removesuffix("_version"), Text(text or "not installed"))
    for package, purpose in checkup.OPTIONAL.items():
        found = results.package_version(package)
        table.add_row(package, Text(found) if found else Text(f"not installed: {purpose}", style="dim"))
    for device in checkup.devices():
        table.add_row(device, Text(checkup.device_name(device)))
    console.print(table)
    console.print()
    checks = checkup.checkup()
    for check in checks:
        mark = ("ok", "green") if check.passed else ("FAILED", "bold red")
        console.print(Text.assemble(mark, f"  {check.name}  ", (check.detail, "dim")), soft_wrap=True)
    failed = sum(not check.passed for check in checks)
    console.print(f"{len(checks) - failed} ok, {failed} failed")
    raise typer.Exit(2 if failed else 0)


# -- bounds ----------------------------------------------------------------------------------------------------------


@app.command()
@_plainly
def bounds(
    name: Annotated[str | None, typer.Argument(help="A bound to explain; all are listed without it.")] = None,
) -> None:
    """List the bounds, or explain one: statement, conditions, source and the case that saturates it."""
    from infotherm import bounds as catalogue

    console = _console()
    if name is None:
        for group, members in catalogue.groups().items():
            table = Table(box=None, pad_edge=False, show_header=False, title=group, title_justify="left")
            table.add_column(min_width=36, no_wrap=True)
            for member in members:
                table.add_row(Text(member), Text(catalogue.get(member).source, style="dim"))
            console.print(table)
            console.print()
        console.print(f"{len(catalogue.names())} bounds; explain one with `infotherm bounds NAME`")
        return
    _explain_bound(console, catalogue.get(name))


def _explain_bound(console: Console, bound: Any) -> None:
    import sympy

    console.print(Text(bound.name, style="bold"))
    if bound.statement is not None:
        console.print()
        console.print(
            Text(sympy.pretty(bound.statement, use_unicode=console.encoding.startswith("utf"))), soft_wrap=True
        )
    console.print()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("source", Text(bound.source))
    for i, condition in enumerate(bound.conditions):
        table.add_row("" if i else "conditions", Text(condition))
    if bound.note:
        table.add_row("note", Text(bound.note))
    arguments = ", ".join(f"{argument}=..." for argument in bound.required)
    table.add_row("check", Text(f'infotherm.bounds.check("{bound.name}", {arguments})'))
    try:
        verdict = bound.check(**bound.saturated_by())
    except NotImplementedError:
        pass
    else:
        table.add_row("saturated", Text(f"{verdict.lhs!r} {verdict.relation} {verdict.rhs!r}: {verdict.outcome}"))
    console.print(table)


# -- estimate --------------------------------------------------------------------------------------------------------


@app.command()
@_plainly
def estimate(
    file: Annotated[Path, typer.Argument(help="CSV, NPY, NPZ, NetCDF or Parquet.", show_default=False)],
    x: Annotated[str, typer.Option("--x", help="Columns, joined by commas.", metavar="A,B")],
    y: Annotated[str, typer.Option("--y", help="Columns; with them the mutual information.", metavar="C")] = "",
    given: Annotated[str, typer.Option("--given", help="Columns to condition on.", metavar="D")] = "",
    neighbours: Annotated[int, typer.Option("--neighbours", "-k", help="Of the nearest-neighbour estimators.")] = 3,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the columns and the numbers (.svg, .png, .pdf).", metavar="FILE")
    ] = None,
) -> None:
    """Entropies and mutual information of a file's columns, with error bars, by two estimators."""
    from infotherm.estimators.files import estimate_file

    found = estimate_file(file, _columns(x), _columns(y), _columns(given), k=neighbours)
    console = _console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("quantity", "estimator", "estimate", "note"):
        table.add_column(heading, overflow="fold")
    for row in found.rows:
        number = "" if row.estimate is None else repr(row.estimate)
        table.add_row(Text(row.quantity), Text(row.estimator), Text(number), Text(row.note, style="dim"))
    console.print(table)
    console.print(Text(found.dropped_sentence()))
    if plot is not None:
        from infotherm.report.estimates import write_plot

        console.print(f"plot: {escape(str(write_plot(found, plot)))}", soft_wrap=True)


def _columns(joined: str) -> list[str]:
    return [name.strip() for name in joined.split(",") if name.strip()]
