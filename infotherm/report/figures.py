"""Figures of the report, drawn from stored numbers, as SVG that needs nothing from outside."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from infotherm.report.summary import Case, ClaimSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "holds": "#1b7f4d",
    "violated": "#c0262d",
    "undecided": "#b7791f",
    "not applicable": "#7a8290",
    "error": "#6b2fa0",
}
_INK, _PALE = "#2b3038", "#dfe3e8"
_FLOOR = 1e-18  # where a difference of exactly zero is drawn
_MOST_DOTS = 200  # of one claim, the nearest to failing
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": _PALE,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def overview(claims: Sequence[ClaimSummary], title: str) -> Markup:
    """One picture of a study: how tight its inequalities are and how well its identities agree ("" without either).

    Left, the smaller side over the larger one for every case of an inequality, 1 at saturation, with the errors of
    both sides. Right, |lhs - rhs| of every case of an identity on a logarithmic axis, beside what is allowed.
    """
    import matplotlib
    from matplotlib.figure import Figure

    inequalities = _with_cases(claims, lambda case: case.relation in (">=", "<=") and math.isfinite(case.tightness))
    identities = _with_cases(claims, lambda case: case.relation == "==" and math.isfinite(case.slack))
    panels = [(draw, rows) for draw, rows in ((_tightness, inequalities), (_agreement, identities)) if rows]
    if not panels:
        return Markup("")
    most = max(len(rows) for _, rows in panels)
    style: dict[Any, Any] = {**_STYLE, "svg.hashsalt": title}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(11, 0.75 + 0.26 * most), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, (draw, rows) in zip(axes, panels, strict=True):
            _name_rows(ax, [name for name, _ in rows], most)
            draw(ax, [cases for _, cases in rows])
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return inline(buffer.getvalue(), f"Tightness and agreement of the claims of {title}")


def inline(svg: str, label: str) -> Markup:
    """The `<svg>` element of a file drawn here, without prologue and metadata, as wide as its place at most."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href=", "href=").replace('xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg, count=1)
    return Markup('<svg role="img" aria-label="{}" ').format(label) + Markup(svg.removeprefix("<svg"))


def embedded(svg: str, label: str) -> Markup:
    """A stored SVG as an image: scripts in it do not run and nothing is loaded from outside."""
    data = base64.b64encode(svg.encode()).decode()
    return Markup('<img alt="{}" src="data:image/svg+xml;base64,{}">').format(label, data)


def _with_cases(claims: Sequence[ClaimSummary], wanted: Callable[[Case], bool]) -> list[tuple[str, list[Case]]]:
    rows = [(claim.name, [case for case in claim.cases if wanted(case)][:_MOST_DOTS]) for claim in claims]
    return [(name, cases) for name, cases in rows if cases]


def _name_rows(ax: Axes, names: Sequence[str], most: int) -> None:
    ax.set_ylim(most - 0.5, -0.5)
    ax.set_yticks(range(len(names)), names)
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    for y in range(len(names)):
        ax.axhline(y, color=_PALE, linewidth=0.6, zorder=0)
    ax.tick_params(length=0)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


def _tightness(ax: Axes, rows: Sequence[Sequence[Case]]) -> None:
    ax.axvline(1.0, color=_INK, linewidth=0.8)
    for y, cases in enumerate(rows):
        for case in cases:
            larger = max(abs(case.lhs_value), abs(case.rhs_value))
            margin = 2 * case.slack_stderr + case.slack_error
            spread = margin / larger if larger > margin else 0.0  # sides that may both be zero have no ratio
            colour = COLOURS[case.outcome]
            if math.isfinite(spread):
                low, high = max(case.tightness - spread, -0.03), min(case.tightness + spread, 1.08)
                ax.plot([low, high], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
            ax.plot(case.tightness, y, "o", color=colour, markersize=4.5, alpha=0.85, markeredgewidth=0)
    ax.set_xlim(-0.03, 1.08)
    ax.set_xlabel("inequalities: smaller side / larger side (1 = saturated)", loc="right")


def _agreement(ax: Axes, rows: Sequence[Sequence[Case]]) -> None:
    ax.set_xscale("log")
    top = _FLOOR * 10
    for y, cases in enumerate(rows):
        allowed = [max(case.allowed, _FLOOR) for case in cases]
        widest = max((a for a in allowed if math.isfinite(a)), default=_FLOOR)
        ax.plot([_FLOOR, widest], [y, y], color=COLOURS[cases[0].outcome], linewidth=5, alpha=0.16, zorder=1)
        for case, limit in zip(cases, allowed, strict=True):
            colour, difference = COLOURS[case.outcome], max(abs(case.slack), _FLOOR)
            if math.isfinite(limit):
                ax.plot(limit, y, "|", color=colour, markersize=8, alpha=0.7)
            ax.plot(difference, y, "o", color=colour, markersize=4.5, alpha=0.85, markeredgewidth=0)
            top = max(top, widest, difference)
    ax.set_xlim(_FLOOR, top * 10)
    ax.set_xlabel("identities: |left - right| (dot) and what the errors allow (bar)", loc="right")
