"""Numbers from a file: two estimators side by side, in the file's own units, with reasons where there is no number."""

import math

import numpy as np
import pytest

from infotherm.estimators.files import estimate_file


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 800))
    columns = np.stack([1e-6 * x, 1e4 * (x + rng.normal(size=800)), z, np.ones(800)], 1)
    np.save(tmp_path / "data.npy", columns)
    return tmp_path / "data.npy"


def by_name(result):
    return {(row.quantity, row.estimator): row for row in result.rows}


def test_both_estimators_agree_with_the_truth_in_the_units_of_the_file(path):
    rows = by_name(estimate_file(path, ["0"], ["1"]))
    truths = {
        "h(0)": 0.5 * math.log(2 * math.pi * math.e) + math.log(1e-6),
        "h(1)": 0.5 * math.log(2 * math.pi * math.e * 2) + math.log(1e4),
        "I(0; 1)": 0.5 * math.log(2),
    }
    for (quantity, _), row in rows.items():
        low, high = row.estimate.interval(0.999)
        assert low < truths[quantity] < high
    assert len(rows) == 6


def test_conditioning(path):
    rows = by_name(estimate_file(path, ["0"], ["1"], ["2"]))
    low, high = rows["I(0; 1 | 2)", "GaussianPlugIn"].estimate.interval(0.999)
    assert low < 0.5 * math.log(2) < high and ("I(0; 1 | 2)", "KSG") in rows


def test_a_constant_column_gives_reasons_and_not_numbers(path):
    result = estimate_file(path, ["0"], ["3"])
    rows = by_name(result)
    assert rows["I(0; 3)", "KSG"].estimate is None and "constant" in rows["I(0; 3)", "KSG"].note
    assert rows["h(0)", "GaussianPlugIn"].estimate is not None
    assert result.to_xarray().sizes["number"] == 2


def test_dropped_rows_in_words(tmp_path):
    (tmp_path / "t.csv").write_text("a\n1\n\n2\nNA\n3\n5\n")
    sentence = estimate_file(tmp_path / "t.csv", ["a"]).dropped_sentence()
    assert sentence == "4 of 5 rows used; dropped: 1 for a missing value in a"


def test_no_row_left(tmp_path):
    (tmp_path / "t.csv").write_text("a\nNA\n")
    with pytest.raises(ValueError, match="no row has a finite number in every column of a"):
        estimate_file(tmp_path / "t.csv", ["a"])
    with pytest.raises(ValueError, match="x must name at least one column"):
        estimate_file(tmp_path / "t.csv", [])
    with pytest.raises(ValueError, match="given needs y"):
        estimate_file(tmp_path / "t.csv", ["a"], (), ["b"])
