"""Reports as text, xarray and HTML: complete, escaped, stored and read back."""

from html.parser import HTMLParser

import pytest
import xarray

from infotherm.testing import LawResult, Report

results = (
    LawResult("symmetry", "failed", "0.5 and <b>0.7</b> & more", "exact", "I(x; y) = I(y; x)", "Cover and Thomas"),
    LawResult("shift", "passed", "nothing " * 40, "exact", "a shift changes nothing", "<script>alert(1)</script>"),
    LawResult("bias", "expected", "known\nissue", "statistical", "the mean is right", "Kraskov"),
    LawResult("ties", "skipped", "", "robustness", "ties are marked", "Ross"),
    LawResult("rotation", "passed", "declared to fail", "exact", "rotations", "Kraskov", stale=True),
)
report = Report("f<k>", "mutual_information", "fast", 3, 1e-6, results)


def test_text():
    lines = str(report).splitlines()
    assert lines[0] == "f<k>: mutual information, 1 failed, 1 expected, 2 passed, 1 skipped (1 declared to fail)"
    assert lines[1] == "budget fast, seed 3, false-alarm level 1e-06"
    assert lines[2] == "  failed    symmetry  0.5 and <b>0.7</b> & more [I(x; y) = I(y; x)]"
    assert lines[3].startswith("  passed    shift     nothing nothing") and lines[3].endswith(" ...")
    assert lines[4] == "  expected  bias      known issue [the mean is right]" and lines[5] == "  skipped   ties"
    assert all(len(line) <= 120 for line in lines)
    assert repr(report) == "<Report of f<k>, mutual_information: " + report.summary + ">"
    assert str(Report("f", "kl", "fast", 0, 1e-6, ())).startswith("f: kl, no laws")


def test_counts_and_access():
    assert report.counts == {"failed": 1, "expected": 1, "passed": 2, "skipped": 1}
    assert report.failed == results[:1] and not report.passed and report["ties"] is results[3]
    with pytest.raises(KeyError, match="no law 'scale'"):
        report["scale"]


def test_xarray(tmp_path):
    dataset = report.to_xarray()
    assert dataset.status.dims == ("law",) and dataset.status.sel(law="bias").item() == "expected"
    assert dataset.attrs["estimator"] == "f<k>" and dataset.attrs["seed"] == 3
    dataset.to_netcdf(tmp_path / "report.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "report.nc", engine="h5netcdf") as stored:
        assert stored.reason.values.tolist() == [result.reason for result in results]
    assert Report("f", "kl", "fast", 0, 1e-6, ()).to_xarray().sizes == {"law": 0}


class Tags(HTMLParser):
    """Opening and closing tags in balance, and what is loaded from outside."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html(tmp_path):
    path = report.write_html(tmp_path / "deep" / "report.html")
    page = path.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert tags.open == [] and not tags.links and "script" not in tags.seen and page.startswith("<!DOCTYPE html>")
    assert "f&lt;k&gt;" in page and "&lt;b&gt;0.7&lt;/b&gt; &amp; more" in page and "<b>0.7" not in page
    assert page.count("<tr>") == 1 + len(results)
    fragment = report._repr_html_()
    assert "<html" not in fragment and fragment.count("<tr>") == 1 + len(results)
