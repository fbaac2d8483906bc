"""A progress bar for work that a person waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(description: str, after: float = 2.0) -> Iterator[Callable[[int, int], None]]:
    """A bar on the error stream, called as bar(done, total); it comes up after `after` seconds, on a terminal only."""
    from time import monotonic

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(description, total=None)
    begun = monotonic()

    def advance(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if monotonic() - begun >= after:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()
