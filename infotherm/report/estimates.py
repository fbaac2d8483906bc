"""Plots of what was estimated from a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from infotherm.estimators.files import FileEstimates

_INK, _DOT = "#2b3038", "#2f6fb3"
_MOST_DOTS = 5000  # a scatter of more is a blot and a large file


def plot_estimates(found: FileEstimates, *, ax: Axes | None = None, confidence: float = 0.95) -> Axes:
    """Every number of a file with its interval at the given confidence, one line each, in nats.

    Numbers of kind "unknown" have no interval and are drawn hollow; those that could not be computed are left out.

    Raises
    ------
    ValueError
        When no number could be computed.
    """
    from matplotlib.figure import Figure

    rows = [(row, row.estimate) for row in found.rows if row.estimate is not None]
    if not rows:
        raise ValueError("nothing to plot: no number could be computed")
    ax = ax or Figure(layout="constrained").subplots()
    ax.axvline(0.0, color="#dfe3e8", linewidth=0.8, zorder=0)
    for y, (_, estimate) in enumerate(rows):
        value = float(estimate)
        low, high = (float(limit) for limit in estimate.interval(confidence))
        known = math.isfinite(low) or math.isfinite(high)
        if known:  # a one-sided interval reaches from its end to the number
            ends = [low if math.isfinite(low) else value, high if math.isfinite(high) else value]
            ax.plot(ends, [y, y], color=_DOT, linewidth=2, solid_capstyle="butt")
        ax.plot(value, y, "o", color=_DOT, markerfacecolor=_DOT if known else "white", markersize=6)
    ax.set_yticks(range(len(rows)), [f"{row.quantity}  {row.estimator}" for row, _ in rows])
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(f"nats, intervals at {confidence:.0%}")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    return ax


def plot_columns(found: FileEstimates, *, ax: Axes | None = None) -> Axes:
    """The first column of x against the first of y (the histogram of x without y), rows as they were used."""
    from matplotlib.figure import Figure

    ax = ax or Figure(layout="constrained").subplots()
    x = found.table.columns[found.x[0]]
    ax.set_xlabel(found.x[0], parse_math=False)
    if found.y:
        step = -(-len(x) // _MOST_DOTS)
        y = found.table.columns[found.y[0]]
        ax.plot(x[::step], y[::step], ".", color=_DOT, alpha=0.35, markersize=4, markeredgewidth=0)
        ax.set_ylabel(found.y[0], parse_math=False)
    else:
        ax.hist(x, bins="auto", color=_DOT, alpha=0.7)
        ax.set_ylabel("rows")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax


def require_format(path: str | Path) -> None:
    """Refuse a file name that does not end in a format which matplotlib writes.

    Raises
    ------
    ValueError
        Naming the formats.
    """
    from matplotlib.figure import Figure

    known = Figure().canvas.get_supported_filetypes()
    if (ending := Path(path).suffix.removeprefix(".").lower()) not in known:
        raise ValueError(f"{path}: the name of a plot must end in one of {', '.join(sorted(known))}; got {ending!r}")


def write_plot(found: FileEstimates, path: str | Path) -> Path:
    """Columns and numbers side by side, in the format that the file's name says (.svg, .png, .pdf).

    Raises
    ------
    ValueError
        For a format that matplotlib cannot write, or when no number could be computed.
    """
    from matplotlib.figure import Figure

    require_format(path)
    figure = Figure(figsize=(11, max(3.2, 0.4 * len(found.rows) + 1.2)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.5])
    plot_columns(found, ax=left)
    plot_estimates(found, ax=right)
    figure.suptitle("\n".join([found.dropped_sentence(), *found.remarks]), fontsize=9, color=_INK, parse_math=False)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path
