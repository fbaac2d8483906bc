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
_STATUS_COLOURS = {"passed": "green", "failed": "bold red", "expected": "yellow", "skipped": "dim"}
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
def _progress(after: float = 0.0) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on the error stream that names what is being computed; nothing where that is not a terminal.

    It comes up once that has taken `after` seconds.
    """
    from time import monotonic

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    console = _console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("starting", total=None)
    begun = monotonic()

    def advance(done: int, total: int, name: str) -> None:
        bar.update(task, completed=done, total=total, description=escape(name))
        if monotonic() - begun >= after:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()


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
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="gaussian, neighbours, kernel, binning, mixed, infonce, nwj, mine or donsker-varadhan; may be "
            "repeated. Without it, those that suit the columns best.",
            metavar="NAME",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every method that suits the columns and trains no network.")
    ] = False,
    neighbours: Annotated[
        int, typer.Option("--neighbours", "-k", min=1, help="Of the nearest-neighbour estimators.")
    ] = 3,
    seed: Annotated[int, typer.Option(help="Of the methods that train a network.")] = 0,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the columns and the numbers (.svg, .png, .pdf).", metavar="FILE")
    ] = None,
) -> None:
    """Entropies and mutual information of a file's columns, with error bars, by several estimators side by side."""
    from infotherm.estimators.files import estimate_file

    if every and method:
        raise ValueError("--all and --method cannot be given together")
    if plot is not None:
        from infotherm.report.estimates import require_format

        require_format(plot)  # before minutes are spent
    methods = "all" if every else method or None
    with _progress(after=2.0) as progress:
        found = estimate_file(
            file,
            _columns(x),
            _columns(y),
            _columns(given),
            k=neighbours,
            methods=methods,
            seed=seed,
            progress=progress,
        )
    console = _console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("quantity", "estimator", "estimate", "kind", "note"):
        table.add_column(heading, overflow="fold")
    for row in found.rows:
        number, kind = ("", "") if row.estimate is None else (_number(row.estimate), row.estimate.kind)
        table.add_row(*map(Text, (row.quantity, row.estimator, number, kind)), Text(row.note, style="dim"))
    console.print(table)
    console.print(Text("\n".join([found.dropped_sentence(), *found.remarks])))
    if plot is not None:
        from infotherm.report.estimates import write_plot

        console.print(f"plot: {escape(str(write_plot(found, plot)))}", soft_wrap=True)
    if all(row.estimate is None for row in found.rows):
        raise ValueError("no number could be computed; the notes say why")


def _number(estimate: Any) -> str:
    from infotherm.core.display import with_uncertainty

    return f"{with_uncertainty(float(estimate), float(estimate.stderr + estimate.error))} {estimate.units}"


def _columns(joined: str) -> list[str]:
    return [name.strip() for name in joined.split(",") if name.strip()]


# -- conformance -----------------------------------------------------------------------------------------------------


@app.command()
@_plainly
def conformance(
    target: Annotated[
        str,
        typer.Argument(
            help="Where the estimator is: a function of arrays (N, D), or an object with `estimate` and `tags`.",
            metavar="MODULE:FUNCTION",
            show_default=False,
        ),
    ],
    quantity: Annotated[
        str | None,
        typer.Option(
            help="mutual_information, conditional_mutual_information, entropy or kl; the estimator's own by default."
        ),
    ] = None,
    units: Annotated[str | None, typer.Option(help="What a function answers in: nat, bit or hartley.")] = None,
    budget: Annotated[str, typer.Option(help="fast or full.")] = "fast",
    seed: Annotated[int, typer.Option(help="The same seed gives the same report.")] = 0,
    law: Annotated[
        list[str] | None, typer.Option(help="Name of a law, or a glob; may be repeated.", metavar="GLOB")
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(help="A failure that is known, with its reason; may be repeated.", metavar="LAW=REASON"),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page.", metavar="FILE")] = None,
) -> None:
    """Put an estimator through the laws that every estimator must obey. Exit code 1 when one is broken."""
    from infotherm.testing import check_estimator

    estimator = _estimator(target, quantity, units)
    with _progress(after=2.0) as progress:
        report = check_estimator(
            estimator,
            quantity,
            budget,
            seed=seed,
            laws=law or None,
            expected_failures=dict(map(_expectation, expect or ())),
            progress=progress,
        )
    console = _console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("law", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("evidence", overflow="fold")
    for result in report.results:
        status = Text(result.status, style=_STATUS_COLOURS[result.status])
        table.add_row(Text(result.law), status, Text(" ".join(result.reason.split())))
    console.print(table)
    for result in report.failed:
        console.print(Text.assemble(("failed", "bold red"), f" {result.law}: {result.statement}"), soft_wrap=True)
    if html is not None:
        console.print(f"report: {escape(str(report.write_html(html)))}", soft_wrap=True)
    console.print(Text(f"{report.name}, {report.quantity.replace('_', ' ')}: {report.summary}"), soft_wrap=True)
    raise typer.Exit(0 if report.passed else 1)


def _estimator(target: str, quantity: str | None, units: str | None) -> Any:
    """An estimator as it is, made without arguments if it is a class; a function becomes one."""
    from infotherm.testing import as_estimator

    found = _imported(target)
    try:
        found = found() if isinstance(found, type) else found
        if not hasattr(found, "tags"):
            return as_estimator(found, quantity or "mutual_information", units)
    except TypeError as problem:
        raise ValueError(f"{target} cannot be used: {problem}") from None
    if units is not None:
        raise ValueError(f"--units is for plain functions; {target} has tags, and so answers in Estimates")
    return found


def _imported(target: str) -> Any:
    """The object that "module:name" speaks of; modules in this folder are found first."""
    from difflib import get_close_matches
    from importlib import import_module

    name, _, attribute = target.partition(":")
    if not name or not attribute:
        raise ValueError(f"an estimator is given as module:function; got {target!r}")
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name and (name == problem.name or name.startswith(f"{problem.name}.")):
            raise ValueError(f"no module is called {problem.name!r}, here or among the installed packages") from None
        raise ValueError(f"{name} cannot be imported: {problem}") from None
    except Exception as problem:  # whatever a stranger's module does
        raise ValueError(f"{name} cannot be imported: {type(problem).__name__}: {problem}") from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, dir(found), n=3)
            raise ValueError(f"{name} has no {part!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
        found = getattr(found, part)
    return found


def _expectation(text: str) -> tuple[str, str]:
    law, _, reason = text.partition("=")
    if not law.strip() or not reason.strip():
        raise ValueError(f"an expected failure is given as law=reason; got {text!r}")
    return law.strip(), reason.strip()
