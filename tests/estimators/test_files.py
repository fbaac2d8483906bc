"""Numbers from a file: estimators side by side, in the file's own units, with reasons where there is no number."""

import math

import numpy as np
import pytest

from infotherm.core.estimate import Estimate
from infotherm.estimators import methods
from infotherm.estimators.files import estimate_file
from infotherm.estimators.methods import METHODS, Method, sort_of


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


# -- which methods -----------------------------------------------------------------------------------------------------


@pytest.fixture
def labelled(tmp_path):
    """x = a + noise for a label a of three values, b a noisy copy of it, z more noise."""
    rng = np.random.default_rng(1)
    a, flip, fresh = rng.integers(3, size=600), rng.random(600) < 0.2, rng.integers(3, size=600)
    columns = {"a": a, "b": np.where(flip, fresh, a), "x": 2 * a + rng.normal(size=600), "z": rng.normal(size=600)}
    np.savez(tmp_path / "labelled.npz", **columns)
    return tmp_path / "labelled.npz"


def names(result):
    return {(row.quantity, row.estimator) for row in result.rows}


def test_labels_get_discrete_entropies_and_information(labelled):
    result = estimate_file(labelled, ["a"], ["b"])
    rows = by_name(result)
    assert names(result) == {("H(a)", "Binning"), ("H(b)", "Binning"), ("I(a; b)", "Binning")}
    low, high = rows["H(a)", "Binning"].estimate.interval(0.999)
    assert low < math.log(3) < high
    p = np.full((3, 3), 0.2 / 9) + 0.8 / 3 * np.eye(3)
    low, high = rows["I(a; b)", "Binning"].estimate.interval(0.999)
    assert low < (p * np.log(9 * p)).sum() < high
    assert result.remarks == ("a takes 3 values: read as labels", "b takes 3 values: read as labels")


def test_labels_beside_numbers_get_the_mixed_estimator(labelled):
    """The truth by quadrature of three unit Gaussians at distance 2."""
    t = np.linspace(-8, 12, 20001)
    p = np.exp(-((t[:, None] - [0, 2, 4]) ** 2) / 2) / math.sqrt(2 * math.pi)
    q = p.mean(1)
    truth = -np.trapezoid(q * np.log(q), t) - 0.5 * math.log(2 * math.pi * math.e)
    for x, y in (("a", "x"), ("x", "a")):
        result = estimate_file(labelled, [x], [y])
        row = by_name(result)[f"I({x}; {y})", "DiscreteContinuous"]
        low, high = row.estimate.interval(0.999)
        assert low < truth < high and ("H(a)", "Binning") in names(result)
        binned = by_name(estimate_file(labelled, [x], [y], methods=["binning"]))[f"I({x}; {y})", "Binning"]
        assert binned.estimate.kind == "lower" and binned.estimate.lower_limit(1e-3) < truth
        assert "information of the bins: at most that of the variables" in binned.note


def test_blocks_of_both_sorts(labelled):
    result = estimate_file(labelled, ["a", "z"], ["x"])
    row = by_name(result)["h(a, z)", ""]
    assert row.estimate is None and "neither sort of entropy" in row.note
    assert by_name(result)["I(a, z; x)", "MixedKSG"].estimate is not None


def test_conditioning_on_labels_is_a_lower_bound_by_bins(labelled):
    row = by_name(estimate_file(labelled, ["x"], ["z"], ["a"]))["I(x; z | a)", "Binning"]
    assert row.estimate.kind == "lower" and row.estimate.lower_limit(1e-3) < 0


def test_all_that_suit_and_none_that_train(path, monkeypatch):
    def trained(request):
        raise AssertionError("trained without being asked for")

    for name, method in METHODS.items():
        if method.trained:
            monkeypatch.setitem(
                methods.METHODS, name, Method(method.quantities, method.suits, trained, method.title, trained=True)
            )
    np.save(path, np.load(path)[:120])
    found = names(estimate_file(path, ["0"], ["1"], methods="all"))
    assert found == {
        (q, e) for q in ("h(0)", "h(1)") for e in ("GaussianPlugIn", "KozachenkoLeonenko", "KernelDensity", "Binning")
    } | {("I(0; 1)", e) for e in ("GaussianPlugIn", "KSG", "KernelDensity", "Binning")}


def test_bins_bound_on_the_right_side(path):
    rows = by_name(estimate_file(path, ["0"], ["1"], methods=["binning"]))
    h, i = rows["h(0)", "Binning"].estimate, rows["I(0; 1)", "Binning"].estimate
    assert h.kind == "upper" and h.upper_limit(1e-3) > 0.5 * math.log(2 * math.pi * math.e) + math.log(1e-6)
    assert i.kind == "lower" and i.lower_limit(1e-3) < 0.5 * math.log(2)


def test_methods_by_name(path, labelled):
    assert names(estimate_file(path, ["0"], methods="neighbours")) == {("h(0)", "KozachenkoLeonenko")}
    row = by_name(estimate_file(labelled, ["a"], methods=["neighbours", "neighbours"]))["h(a)", "KozachenkoLeonenko"]
    assert row.estimate is None or row.estimate.kind == "unknown"  # tried, though these are labels
    with pytest.raises(ValueError, match="no method is called 'kernal'; did you mean kernel?"):
        estimate_file(path, ["0"], methods=["kernal"])
    with pytest.raises(ValueError, match="mixed computes neither"):
        estimate_file(path, ["0"], methods=["mixed"])


def test_progress_and_seed_reach_the_trained_ones(path, monkeypatch):
    def compute(request):
        request.progress(3, 7, "training")
        return Estimate(float(request.seed), error=0.0, kind="lower", method="variational")

    monkeypatch.setitem(
        methods.METHODS,
        "infonce",
        Method(("mutual_information",), lambda r: True, compute, lambda r: "InfoNCE", trained=True),
    )
    seen = []
    result = estimate_file(
        path, ["0"], ["1"], methods=["gaussian", "infonce"], seed=5, progress=lambda *a: seen.append(a)
    )
    assert seen == [
        (0, 4, "h(0) gaussian"),
        (1, 4, "h(1) gaussian"),
        (2, 4, "I(0; 1) gaussian"),
        (3, 4, "I(0; 1) infonce"),
        (3, 7, "I(0; 1) training"),
    ]
    assert float(by_name(result)["I(0; 1)", "InfoNCE"].estimate) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, title", [("infonce", "InfoNCE"), ("nwj", "NWJ"), ("mine", "MINE"), ("donsker-varadhan", "DonskerVaradhan")]
)
def test_trained_methods(path, name, title):
    estimate = by_name(estimate_file(path, ["0"], ["1"], methods=[name]))["I(0; 1)", title].estimate
    assert estimate.kind in ("lower", "unknown") and float(estimate) < 0.5 * math.log(2) + 0.2


def test_too_few_rows_for_bins(path):
    rows = by_name(estimate_file(path, ["0", "1", "2"], ["3"], methods=["binning"]))
    assert "800 samples are too few to bin" not in rows["h(0, 1, 2)", "Binning"].note
    data = np.random.default_rng(0).normal(size=(100, 4))
    np.save(path, data)
    rows = by_name(estimate_file(path, ["0", "1"], ["2", "3"], methods=["binning"]))
    assert "100 samples are too few to bin 4 coordinates: 160 needed" in rows["I(0, 1; 2, 3)", "Binning"].note


@pytest.mark.parametrize(
    "column, sort",
    [
        (np.arange(400) % 40, "labels"),
        (np.arange(400) % 41, "continuous"),
        (np.arange(5000) % 101, "continuous"),
        (np.ones(400), "continuous"),
        (0.1 * (np.arange(400) % 2), "labels"),
    ],
)
def test_what_is_read_as_labels(column, sort):
    assert sort_of(column[:, None]) == sort
    assert sort_of(np.stack([column, np.arange(len(column))], 1)) == ("both" if sort == "labels" else sort)


def test_infinite_values_in_words(tmp_path):
    (tmp_path / "t.csv").write_text("a\n1\ninf\n2\n3\n5\n")
    sentence = estimate_file(tmp_path / "t.csv", ["a"]).dropped_sentence()
    assert sentence == "4 of 5 rows used; dropped: 1 for an infinite value in a"


def test_all_leaves_out_what_would_take_hours_and_says_so(tmp_path):
    np.save(tmp_path / "many.npy", np.random.default_rng(0).normal(size=5001))
    row = by_name(estimate_file(tmp_path / "many.npy", ["0"], methods="all"))["h(0)", "KernelDensity"]
    assert row.estimate is None and row.note.startswith("left out") and "--method kernel" in row.note


def test_one_row_is_too_few(tmp_path):
    np.save(tmp_path / "one.npy", np.ones((1, 1)))
    rows = estimate_file(tmp_path / "one.npy", ["0"]).rows
    assert all(row.estimate is None and "at least 2 samples" in row.note for row in rows)


@pytest.mark.parametrize("shown, name", [("KSG", "neighbours"), ("DiscreteContinuous", "mixed")])
def test_the_names_that_results_show_are_understood(path, shown, name):
    with pytest.raises(ValueError, match=f"did you mean {name}"):
        estimate_file(path, ["0"], ["1"], methods=[shown])
