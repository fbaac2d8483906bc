"""Reading columns: formats, dropped rows, and errors that name the file, the column and the line."""

import pickle
import sys

import numpy as np
import pytest
import xarray

from infotherm.estimators.tables import read_table

A, B = np.arange(5.0), np.arange(5.0) ** 2


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in zip(A, B, strict=True)))
    (tmp_path / "t.tsv").write_text("\ufeffa\tb\n" + "".join(f"{a}\t{b}\n" for a, b in zip(A, B, strict=True)))
    (tmp_path / "semicolon.csv").write_text("a;b\n" + "".join(f"{a};{b}\n" for a, b in zip(A, B, strict=True)))
    (tmp_path / "space.txt").write_text("a b\n" + "".join(f"{a} {b}\n" for a, b in zip(A, B, strict=True)))
    np.savez(tmp_path / "t.npz", a=A, b=B)
    np.save(tmp_path / "structured.npy", np.array(list(zip(A, B, strict=True)), dtype=[("a", float), ("b", "f4")]))
    xarray.Dataset({"a": ("row", A), "b": ("row", B)}).to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    return tmp_path


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "semicolon.csv", "space.txt", "t.npz", "structured.npy", "t.nc"])
def test_every_format_gives_the_same_columns(folder, name):
    table = read_table(folder / name, ["a", "b"])
    assert np.array_equal(table.matrix(["b", "a"]), np.stack([B, A], 1)) and table.dropped == {}


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    parquet.write_table(pyarrow.table({"a": [1.0, None, 3.0], "text": ["x", "y", "z"]}), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", ["a"]).dropped == {"missing value in a": 1}
    with pytest.raises(ValueError, match="column 'text' must be numeric"):
        read_table(tmp_path / "t.parquet", ["text"])


def test_columns_of_a_matrix_have_numbers(tmp_path):
    np.save(tmp_path / "m.npy", np.stack([A, B], 1))
    np.savez(tmp_path / "m.npz", m=np.stack([A, B], 1))
    assert np.array_equal(read_table(tmp_path / "m.npy", ["1"]).columns["1"], B)
    assert np.array_equal(read_table(tmp_path / "m.npz", ["m:1"]).columns["m:1"], B)


def test_dropped_rows_are_counted_by_reason(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n,3\nNA,4\n5,inf\n\n6\n7,8\n")
    table = read_table(tmp_path / "t.csv", ["a", "b"])
    assert table.columns["a"].tolist() == [1, 7] and table.rows_read == 6
    assert table.dropped == {"missing value in a": 2, "missing value in b": 1, "infinite value in b": 1}


def test_unused_columns_do_not_matter(tmp_path):
    (tmp_path / "t.csv").write_text("a,name\n1,x\n2,\n")
    assert read_table(tmp_path / "t.csv", ["a"]).columns["a"].tolist() == [1, 2]


def test_unknown_columns_get_the_nearest(folder):
    (folder / "w.csv").write_text("weight,height\n1,2\n")
    with pytest.raises(ValueError, match="no column 'wieght'; did you mean weight"):
        read_table(folder / "w.csv", ["wieght"])
    for name in ("t.npz", "t.nc"):
        with pytest.raises(ValueError, match="no column 'q'; its columns are a, b"):
            read_table(folder / name, ["q"])


def test_text_is_named_with_its_line(tmp_path):
    (tmp_path / "t.csv").write_text("a\n1\ntwo\n")
    with pytest.raises(ValueError, match="column 'a' must be numeric; line 3 holds 'two'"):
        read_table(tmp_path / "t.csv", ["a"])


def test_truncated_and_foreign_files(folder):
    whole = (folder / "t.nc").read_bytes()
    (folder / "cut.nc").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.nc").write_bytes(b"")
    (folder / "cut.npz").write_bytes((folder / "t.npz").read_bytes()[:50])
    for name in ("cut.nc", "empty.nc", "cut.npz"):
        with pytest.raises(ValueError, match=f"{name} is not a readable"):
            read_table(folder / name, ["a"])


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a readable numpy file"):
        read_table(tmp_path / "objects.npy", ["0"])
    (tmp_path / "evil.npy").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="not a readable numpy file"):
        read_table(tmp_path / "evil.npy", ["a"])


def test_missing_files_unknown_formats_and_repeats(folder):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_table(folder / "none.csv", ["a"])
    (folder / "t.xls").write_text("")
    with pytest.raises(ValueError, match=r"format '\.xls' is not known"):
        read_table(folder / "t.xls", ["a"])
    with pytest.raises(ValueError, match="named twice"):
        read_table(folder / "t.csv", ["a", "a"])
    (folder / "unequal.npz").unlink(missing_ok=True)
    np.savez(folder / "unequal.npz", a=A, b=B[:3])
    with pytest.raises(ValueError, match="columns must have one length"):
        read_table(folder / "unequal.npz", ["a", "b"])


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,b,a\n1,2,3\n", "2 columns called 'a'"),
        ("a,b\n1,5,2,5\n", "line 2 holds 4 cells; the header names 2"),
        ('a,b,c\n1,2,"x\n3,4,y\n', "not a readable text table"),
        ("a,b\n1_5,2\n", "column 'a' must be numeric; line 2 holds '1_5'"),
    ],
    ids=["repeated name", "more cells than names", "open quote", "underscore"],
)
def test_ambiguous_text_is_refused(tmp_path, text, message):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(path, ["a", "b"])


def test_a_quoted_comma_does_not_separate(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text('"a,1";b\n1;2\n3;4\n')
    assert read_table(path, ["a,1"]).columns["a,1"].tolist() == [1.0, 3.0]


def test_variables_along_different_dimensions_are_not_paired(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    path = tmp_path / "data.nc"
    xarray.Dataset({"a": ("i", [1.0, 2.0]), "b": ("j", [1.0, 2.0])}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ValueError, match="along one dimension"):
        read_table(path, ["a", "b"])


def test_a_repeated_name_in_parquet_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "data.parquet"
    columns = [pyarrow.array([1.0, 2.0])] * 3
    parquet.write_table(pyarrow.Table.from_arrays(columns, names=["a", "a", "b"]), path)
    assert read_table(path, ["b"]).columns["b"].tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="2 columns called 'a'"):
        read_table(path, ["a"])


@pytest.mark.parametrize("name, package", [("t.nc", "h5netcdf"), ("t.parquet", "pyarrow")])
def test_a_missing_package_is_named(folder, monkeypatch, name, package):
    (folder / "t.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"pip install {package}"):
        read_table(folder / name, ["a"])


def test_a_matrix_of_no_rows_has_columns(tmp_path):
    np.save(tmp_path / "none.npy", np.zeros((0, 2)))
    assert len(read_table(tmp_path / "none.npy", ["1"]).columns["1"]) == 0
