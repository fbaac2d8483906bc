import math

import numpy as np
import pytest
import torch

from infotherm import results
from infotherm.core.estimate import Estimate
from infotherm.core.verdict import decide


def tiny(outcomes=("holds",), **attrs):
    rows = [{"claim": f"c{i}", "outcome": outcome} for i, outcome in enumerate(outcomes)]
    return results.build("tiny", rows, [], attrs)


def test_round_trip_keeps_every_character_and_number(tmp_path):
    rows = [
        {"claim": "a", "outcome": "holds", "statement": "$x \\geq 0$ äöü 日本 𝛼", "slack": math.pi, "seed": 2**63 - 1},
        {"claim": "a", "case": "b", "outcome": "violated", "slack": -math.inf, "tightness": math.nan},
    ]
    dataset = results.build("tiny", rows, [{"claim": "a", "title": "t", "svg": "<svg>é</svg>"}], {"alpha": 0.01})
    loaded = results.load(results.save(dataset, tmp_path / "deep" / "tiny.nc"))
    assert loaded.identical(dataset)
    assert loaded["statement"].values[0] == rows[0]["statement"]
    assert loaded["seed"].values[0] == 2**63 - 1
    assert loaded.attrs["alpha"] == 0.01 and loaded.attrs["infotherm_version"]


def test_without_figures_too(tmp_path):
    dataset = tiny()
    assert results.load(results.save(dataset, tmp_path / "tiny.nc")).identical(dataset)


def test_text_that_hdf5_cannot_hold_is_replaced(tmp_path):
    rows = [{"claim": "a", "outcome": "error", "reason": "nul \0 and half \ud800 characters"}]
    dataset = results.build("tiny", rows, [], {})
    loaded = results.load(results.save(dataset, tmp_path / "tiny.nc"))
    assert loaded["reason"].values[0] == "nul \N{REPLACEMENT CHARACTER} and half ? characters"


def test_every_column_says_what_it_is():
    dataset = tiny()
    for name in (*results.TEXT_COLUMNS, *results.NUMBER_COLUMNS):
        assert dataset[name].attrs["long_name"]
    assert dataset["claim"].dims == ("verdict",)


@pytest.mark.parametrize(
    "row",
    [
        {"outcome": "holds"},
        {"claim": "a"},
        {"claim": "a", "outcome": "maybe"},
        {"claim": "a", "outcome": "holds", "x": 1},
    ],
)
def test_malformed_rows_are_refused(row):
    with pytest.raises(ValueError, match="a row needs a claim and an outcome"):
        results.build("tiny", [row], [], {})


def test_none_is_not_stored():
    with pytest.raises(TypeError, match="results hold text and numbers; got NoneType"):
        results.build("tiny", [], [], {"title": None})  # type: ignore[dict-item]


# -- files that are not results -------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(tmp_path, share):
    path = results.save(tiny(), tmp_path / "cut.nc")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"cut\.nc is not a readable NetCDF file"):
        results.load(path)


def test_a_file_of_another_kind_is_named(tmp_path):
    path = tmp_path / "text.nc"
    path.write_text("not NetCDF")
    with pytest.raises(ValueError, match=r"text\.nc is not a readable NetCDF file"):
        results.load(path)


def test_foreign_netcdf_is_named(tmp_path):
    path = tmp_path / "foreign.nc"
    Estimate(1.0).to_xarray().to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ValueError, match=r"foreign\.nc is NetCDF but not a result"):
        results.load(path)


def test_a_file_without_a_variable_is_named(tmp_path):
    path = tmp_path / "short.nc"
    tiny().drop_vars("slack").to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ValueError, match=r"short\.nc lacks the variables slack"):
        results.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.nc"):
        results.load(tmp_path / "nothing.nc")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = results.save(tiny(), tmp_path / "tiny.nc")
    broken = tiny(["violated"])
    broken["claim"] = ("verdict", np.array([object()], dtype=object))
    with pytest.raises((ValueError, TypeError)):
        results.save(broken, path)
    assert results.load(path)["outcome"].values[0] == "holds"
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.nc"]


# -- rows and counts ------------------------------------------------------------------------------------


def test_rows_of_a_batch_follow_its_shape():
    lhs = Estimate(torch.arange(6, dtype=torch.float64).reshape(2, 3), error=1e-9)
    rows = results.rows_of(decide(lhs, 2.0, ">="), case="grid")
    assert [row["case"] for row in rows] == [f"grid[{i}, {j}]" for i in range(2) for j in range(3)]
    assert [row["outcome"] for row in rows] == ["violated"] * 2 + ["holds"] * 4
    assert [row["slack"] for row in rows] == [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    assert {row["rhs_value"] for row in rows} == {2.0}


def test_rows_keep_the_tolerance_of_an_identity():
    (row,) = results.rows_of(decide(Estimate(1.0), Estimate(1.05), "==", tolerance=0.1))
    assert row["tolerance"] == 0.1 and row["relation"] == "==" and row["outcome"] == "holds"


def test_rows_of_a_verdict_that_does_not_apply():
    from infotherm.bounds import Bound

    bound = Bound("b", sides=lambda x: (x, 0.0), conditions={"x is positive": lambda x: x > 0})
    (row,) = results.rows_of(bound.check(x=-1.0))
    assert row["outcome"] == "not applicable" and "x is positive" in row["reason"]
    assert results.build("tiny", [{"claim": "a", **row}], [], {})["lhs_kind"].values[0] == ""


def test_a_claim_counts_as_its_worst_case():
    rows = [{"claim": "a", "outcome": outcome} for outcome in ("holds", "undecided", "holds")]
    rows += [{"claim": "b", "outcome": "holds"}, {"claim": "c", "outcome": "not applicable"}]
    counts = results.count([results.build("tiny", rows, [], {})])
    assert counts == results.Counts(holds=1, undecided=1, not_applicable=1)
    assert str(counts) == "1 hold, 0 violated, 1 undecided, 1 not applicable, 0 errors"


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 0),
        (["holds", "undecided", "not applicable"], 0),
        (["holds", "violated"], 1),
        (["violated", "error"], 2),
        (["error"], 2),
    ],
)
def test_exit_codes(outcomes, code):
    assert results.count([tiny(outcomes)]).exit_code == code
