import re
from html.parser import HTMLParser

import pytest

from infotherm import report, results, studies
from infotherm.core.estimate import Estimate
from infotherm.core.verdict import decide

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"' & {{ 7*7 }} </style>"


class Page(HTMLParser):
    """Tags with their attributes, the visible text, and whether every element was closed in order."""

    VOID = {"meta", "img", "br", "link", "input"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open, self.well_nested = [], "", [], True
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        self.well_nested &= bool(self.open) and self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


@pytest.fixture
def page(good_study, tmp_path):
    studies.run(good_study, out=tmp_path, level="full")
    return Page(report.write(tmp_path, tmp_path / "report.html").read_text(encoding="utf-8"))


def external(page):
    """References that a browser would follow, other than to the page itself or to data in it."""
    names = ("src", "href", "xlink:href", "srcset", "action", "poster", "data")
    found = [attrs[name] for _, attrs in page.tags for name in names if attrs.get(name)]
    return [reference for reference in found if not reference.startswith(("#", "data:"))]


def test_the_page_shows_every_claim_with_its_numbers(page):
    for expected in (
        "A tiny study",
        "Nobody (2026)",
        "eq. 1",
        "three identities",
        "holds",
        "tiny:thorough",
        "3/3 cases",
    ):
        assert expected in page.text or expected in str(page.tags)
    assert "infotherm validate --only tiny:one" in page.text
    assert page.text.count("monte-carlo") == 2


def test_the_page_is_well_formed_and_self_contained(page):
    assert page.well_nested and not page.open
    assert external(page) == []
    assert not [tag for tag, _ in page.tags if tag in ("script", "iframe", "object", "embed", "link")]
    ids = [attrs["id"] for tag, attrs in page.tags if tag in ("section", "article")]
    assert len(ids) == len(set(ids))


def test_style_loads_nothing(good_study):
    text = report.render(studies.run(good_study).values())
    assert not re.search(r"@import|url\((?!#)", text)


def test_formulas_and_overview_are_drawn_in_the_page(page):
    labels = [attrs.get("aria-label") for tag, attrs in page.tags if tag == "svg"]
    assert r"1 \le 2" in labels and "Tightness and agreement of the claims of tiny" in labels


def test_hostile_text_is_text():
    attrs = dict.fromkeys(("title", "source", "level", "created"), HOSTILE)
    columns = dict.fromkeys(("claim", "case", "statement", "source", "reason", "warnings", "level"), HOSTILE)
    (numbers,) = results.rows_of(decide(Estimate(2.0), 1.0))
    row = {**numbers, **columns, "lhs_units": HOSTILE, "lhs_kind": HOSTILE, "rhs_method": HOSTILE, "relation": HOSTILE}
    figure = {"claim": HOSTILE, "title": HOSTILE, "svg": HOSTILE}
    clean, hostile = results.build("tiny", [row], [figure], attrs), results.build(HOSTILE, [row], [figure], attrs)
    for dataset in (clean, hostile):
        page = Page(report.render([dataset]))
        assert page.well_nested and not page.open
        assert not [tag for tag, _ in page.tags if tag == "script"]
        assert not [attrs for _, attrs in page.tags if "onerror" in attrs]
        assert external(page) == []
        assert HOSTILE in page.text


def test_unfinished_claims_are_shown():
    rows = [
        {"claim": "raises", "outcome": "error", "reason": "RuntimeError: boom"},
        {"claim": "elsewhere", "outcome": "not applicable", "reason": "no steady state"},
    ]
    page = Page(report.render([results.build("tiny", rows, [], {})]))
    assert page.well_nested and "RuntimeError: boom" in page.text and "no steady state" in page.text


def test_many_cases_are_folded_and_cut():
    rows = [{"claim": "many", **row} for row in results.rows_of(decide(Estimate([2.0] * 100), 1.0))]
    page = Page(report.render([results.build("tiny", rows, [], {})]))
    assert "100/100 cases" in page.text and "and 76 more in tiny.nc" in page.text
    assert sum(tag == "tr" for tag, _ in page.tags) == 26


def test_nothing_is_recomputed(good_study, tmp_path):
    studies.run(good_study, out=tmp_path)
    before = report.render([results.load(tmp_path / "tiny.nc")])
    (good_study / "tiny.py").unlink()
    assert report.write(tmp_path / "tiny.nc", tmp_path / "again.html").read_text(encoding="utf-8") == before


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no result files"):
        report.write(tmp_path, tmp_path / "report.html")


def test_a_truncated_file_is_named(good_study, tmp_path):
    studies.run(good_study, out=tmp_path)
    path = tmp_path / "tiny.nc"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"tiny\.nc is not a readable NetCDF file"):
        report.write(tmp_path, tmp_path / "report.html")
