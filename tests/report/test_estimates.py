from pathlib import Path

import numpy as np
import pytest

from infotherm.core.estimate import Estimate
from infotherm.estimators.files import FileEstimates, Row
from infotherm.estimators.tables import Table
from infotherm.report.estimates import plot_columns, plot_estimates, write_plot


def found(rows=(), y=("b $x$",)):
    columns = {"a": np.linspace(0, 1, 7), "b $x$": np.linspace(1, 2, 7) ** 2}
    return FileEstimates(Path("f.csv"), ("a",), y, (), tuple(rows), Table(columns, 8, {"missing value in $a$": 1}))


def row(kind="estimate", value=1.0, stderr=0.1):
    return Row("h(a)", "KSG", Estimate(value, stderr=stderr, kind=kind, method="sample-based"), "")


def lines(ax):
    return [line.get_xdata() for line in ax.lines[1:]]  # the first marks zero


def test_an_interval_is_drawn_around_each_number():
    interval, dot = lines(plot_estimates(found([row()])))
    assert interval == pytest.approx([1 - 1.95996 * 0.1, 1 + 1.95996 * 0.1], abs=1e-5) and dot == [1.0]


def test_one_sided_and_unknown_numbers_claim_no_more_than_they_know():
    lower, _ = lines(plot_estimates(found([row("lower")])))
    assert lower[1] == 1.0 and lower[0] < 1.0
    (dot,) = lines(plot_estimates(found([row("unknown")])))
    assert dot == [1.0]


def test_numbers_that_are_missing_are_left_out():
    failed = Row("h(b)", "KSG", None, "constant")
    assert len(lines(plot_estimates(found([row(), failed])))) == 2
    with pytest.raises(ValueError, match="no number could be computed"):
        plot_estimates(found([failed]))


def test_columns_are_a_scatter_or_a_histogram():
    both, single = plot_columns(found()), plot_columns(found(y=()))
    assert (both.get_xlabel(), both.get_ylabel(), len(both.lines)) == ("a", "b $x$", 1)
    assert single.get_ylabel() == "rows" and len(single.patches) > 0


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_files_are_written(tmp_path, suffix):
    assert write_plot(found([row()]), tmp_path / f"plot.{suffix}").stat().st_size > 1000
