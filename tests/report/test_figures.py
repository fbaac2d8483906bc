import base64
import xml.etree.ElementTree as ElementTree

from infotherm import results
from infotherm.core.estimate import Estimate
from infotherm.core.verdict import decide
from infotherm.report.figures import COLOURS, embedded, overview
from infotherm.report.summary import summarise


def summaries(**verdicts):
    rows = [{"claim": name, **row} for name, verdict in verdicts.items() for row in results.rows_of(verdict)]
    return summarise(results.build("tiny", rows, [], {}))


def texts(svg):
    tree = ElementTree.fromstring(svg)
    return [node.text for node in tree.iter("{http://www.w3.org/2000/svg}text")]


def test_inequalities_and_identities_have_a_panel_each():
    svg = overview(
        summaries(
            wide=decide(Estimate(3.0), 1.0),
            close=decide(Estimate(1.0, stderr=0.1, kind="estimate", method="monte-carlo"), 1.0),
            same=decide(Estimate(1.0 + 1e-13, error=1e-12), 1.0, "=="),
        ),
        "tiny",
    )
    shown = texts(svg)
    assert {"wide", "close", "same"} <= set(shown)
    assert any("inequalities" in text for text in shown) and any("identities" in text for text in shown)
    assert COLOURS["holds"] in svg and COLOURS["undecided"] in svg and COLOURS["violated"] not in svg


def test_a_single_panel_where_there_is_one_sort_only():
    shown = texts(overview(summaries(wide=decide(Estimate(3.0), 1.0)), "tiny"))
    assert not any("identities" in text for text in shown)


def test_extreme_numbers_are_drawn():
    huge = decide(Estimate([1e300, 0.0, 1e-300], error=[0.0, float("inf"), 0.0]), Estimate([1e299, 0.0, 0.0]))
    infinite = decide(Estimate(float("inf")), 1.0)
    zero = decide(Estimate(0.0), Estimate(0.0), "==")
    far = decide(Estimate(1e200), Estimate(0.0), "==")
    assert "<svg" in overview(summaries(huge=huge, infinite=infinite, zero=zero, far=far), "tiny")


def test_nothing_to_draw_is_nothing():
    failed = results.build("tiny", [{"claim": "a", "outcome": "error"}], [], {})
    assert overview(summarise(failed), "tiny") == ""


def test_names_are_neither_markup_nor_formulas():
    name = "<script>alert('x')</script> $x^2$ --> &"
    svg = overview(summaries(**{name: decide(Estimate(3.0), 1.0)}), name)
    assert name in texts(svg) and "<script" not in svg


def test_the_same_results_draw_the_same_picture():
    one, two = (overview(summaries(wide=decide(Estimate(3.0), 1.0)), "tiny") for _ in range(2))
    assert one == two


def test_stored_figures_become_images():
    hostile = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    html = str(embedded(hostile, 'a "title" <b>'))
    assert "<script" not in html and "<b>" not in html
    image = ElementTree.fromstring(html.replace("svg+xml;base64,", "", 1).removesuffix(">") + "/>")
    assert base64.b64decode(image.attrib["src"].removeprefix("data:image/")).decode() == hostile
    assert image.attrib["alt"] == 'a "title" <b>'
