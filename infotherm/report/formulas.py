"""Formulas as inline SVG paths: readable without scripts, fonts or anything from outside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from markupsafe import Markup, escape

_POINTS_PER_EM = 12.0
# What mathtext calls by another name.
_SPELLINGS = {
    r"\le": r"\leq",
    r"\ge": r"\geq",
    r"\tfrac": r"\frac",
    r"\lVert": r"\|",
    r"\rVert": r"\|",
    r"\lvert": r"|",
    r"\rvert": r"|",
    r"\bigl": "",
    r"\bigr": "",
    r"\middle": "",
}
_MACRO = re.compile("|".join(re.escape(macro) + "(?![a-zA-Z])" for macro in _SPELLINGS))
_BARE_FRACTION = re.compile(r"\\frac\s*(\w)\s*(\w)")
# Words among the symbols are set upright; two letters may be two indices.
_WORD = re.compile(r"(?<=_\{)([A-Za-z]{3,}|eq)(?=\})|(?<![\\A-Za-z{])(KL)(?![A-Za-z])")
_MATH = re.compile(r"\$([^$]+)\$")


def render_statement(text: str) -> Markup:
    """A statement as HTML: words escaped, each `$formula$` drawn; one that cannot be drawn is shown as its source.

    Examples
    --------
    >>> print(render_statement("a < b"))
    a &lt; b
    >>> "<path" in render_statement(r"the gap $h(X) - h(Y) \\geq 0$")
    True
    """
    pieces = _MATH.split(text)
    return Markup("").join(_formula(piece) if i % 2 else escape(piece) for i, piece in enumerate(pieces))


@lru_cache(maxsize=1024)
def _formula(latex: str) -> Markup:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    spelled = _MACRO.sub(lambda found: _SPELLINGS[found.group()], latex)
    spelled = _BARE_FRACTION.sub(r"\\frac{\1}{\2}", spelled)
    spelled = "$" + _WORD.sub(lambda word: rf"\mathrm{{{word.group()}}}", spelled) + "$"
    font = FontProperties(size=_POINTS_PER_EM, math_fontfamily="stix")
    try:
        width, height, depth = text_to_path.get_text_width_height_descent(spelled, font, True)
        vertices, codes = text_to_path.get_text_path(font, spelled, ismath=True)
    except ValueError:  # mathtext knows a part of LaTeX only
        return Markup("<code>{}</code>").format(latex)
    scale = _POINTS_PER_EM
    outline = _path_data(np.asarray(vertices) * (scale / text_to_path.FONT_SCALE), codes)
    pad = 0.06 * scale  # overhang of slanted letters
    return Markup(
        '<svg class="formula" role="img" aria-label="{label}" viewBox="{x:.2f} {y:.2f} {w:.2f} {h:.2f}" '
        'style="width:{we:.3f}em;height:{he:.3f}em;vertical-align:{va:.3f}em">'
        '<path transform="scale(1 -1)" d="{outline}"/></svg>'
    ).format(
        label=latex,
        x=-pad,
        y=-(height - depth) - pad,
        w=width + 2 * pad,
        h=height + 2 * pad,
        we=(width + 2 * pad) / scale,
        he=(height + 2 * pad) / scale,
        va=-(depth + pad) / scale,
        outline=outline,
    )


def _path_data(vertices: np.ndarray, codes: Sequence[int] | np.ndarray) -> str:
    """Matplotlib's path codes as the `d` attribute of an SVG path."""
    letter = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
    points_of = {1: 1, 2: 1, 3: 2, 4: 3, 79: 1}
    parts: list[str] = []
    i = 0
    while i < len(codes):
        code = int(codes[i])
        n = points_of[code]
        if code == 79:
            parts.append("Z")
        else:
            parts.append(letter[code] + " ".join(f"{x:.2f} {y:.2f}" for x, y in vertices[i : i + n]))
        i += n
    return "".join(parts)
