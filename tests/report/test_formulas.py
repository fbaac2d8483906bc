import re
import xml.etree.ElementTree as ElementTree

import pytest

from infotherm.report.formulas import render_statement


def test_words_are_escaped():
    assert render_statement("a < b & <script>") == "a &lt; b &amp; &lt;script&gt;"


@pytest.mark.parametrize(
    "formula",
    [
        r"D_{\mathrm{KL}}(p\,\|\,q) \ge 0",
        r"S_\mathrm{tot} \geq \frac{2 W_2^2}{\int_0^T \sigma^2\,\mathrm{d}t}",
        r"\tfrac12 \log\det\left(I + \Sigma\right) \le \lVert x \rVert",
        r"I{\left(X;Y \right)} = \operatorname{Tr}{\left[A\right]}",
        r"\dot S, \hat{x}, \mathbf{x}, \mathcal{N}, \mathbb{E}",
    ],
)
def test_formulas_are_drawn_as_well_formed_svg(formula):
    html = str(render_statement(f"before ${formula}$ after"))
    assert html.startswith("before <svg") and html.endswith("</svg> after")
    svg = ElementTree.fromstring(html[len("before ") : -len(" after")])
    assert svg.attrib["aria-label"] == formula
    (path,) = svg
    assert re.fullmatch(r"[MLQCZ0-9 .\-]+", path.attrib["d"])
    x, y, width, height = map(float, svg.attrib["viewBox"].split())
    numbers = [float(n) for n in re.findall(r"-?\d+\.\d+", path.attrib["d"])]
    assert x <= min(numbers[::2]) and max(numbers[::2]) <= x + width
    assert y <= min(-n for n in numbers[1::2]) + 0.01 and max(-n for n in numbers[1::2]) <= y + height + 0.01


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("S_{tot}", r"S_{\mathrm{tot}}"),
        ("p_{eq}", r"p_{\mathrm{eq}}"),
        (r"KL(p \| q)", r"\mathrm{KL}(p \| q)"),
        (r"\tfrac12", r"\frac{1}{2}"),
        (r"a \le b", r"a \leq b"),
    ],
)
def test_common_spellings_are_understood(typed, meant):
    def drawn(formula):
        return re.search(r' d="([^"]*)"', render_statement(f"${formula}$"))[1]  # type: ignore[index]

    assert drawn(typed) == drawn(meant)
    assert drawn("x_{ij}") != drawn(r"x_{\mathrm{ij}}")


def test_a_formula_that_cannot_be_drawn_is_shown_as_its_source():
    assert render_statement(r"$\begin{matrix}<b>$") == r"<code>\begin{matrix}&lt;b&gt;</code>"


def test_a_lone_dollar_is_a_dollar():
    assert render_statement("costs 3$ & more") == "costs 3$ &amp; more"
