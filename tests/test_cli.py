import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infotherm import results
from infotherm.cli import app

WRONG = """
    @study.claim("right", statement="x")
    def right(context):
        return decide(2.0, 1.0)

    @study.claim("planted", statement="x")
    def planted(context):
        return decide(Estimate(1.0), Estimate(2.0), ">=")
"""
RAISES = """
    @study.claim("raises", statement="x")
    def raises(context):
        raise RuntimeError("boom [red]not markup[/red]")
"""


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Runs the command line in an empty folder; gives the exit code, what was printed and the error lines."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    return invoke


def last_line(text):
    return text.rstrip().splitlines()[-1]


# -- validate ----------------------------------------------------------------------------------------------------------


def test_all_hold_is_success(call, good_study, tmp_path):
    code, printed, _ = call("validate", "--quick", "--studies", good_study)
    assert code == 0
    assert last_line(printed) == "3 hold, 0 violated, 0 undecided, 0 errors"
    assert re.search(r"^  one +1 nat +≤ +2 nat +1 +exact closed-form +1 +holds", printed, re.M)
    assert re.search(r"^  batch .* 3/3 +holds", printed, re.M)
    assert sorted(file.name for file in (tmp_path / "infotherm-results").iterdir()) == ["report.html", "tiny.nc"]


def test_a_terminal_without_the_signs_gets_words_of_ascii(good_study, tmp_path):
    code = "from infotherm.cli import main; main()"
    arguments = ["validate", "--studies", str(good_study), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    printed = done.stdout.decode("ascii")
    assert re.search(r"^  one +1 nat +<= +2 nat", printed, re.M) and re.search(r"^  sampled +\S+ \+- ", printed, re.M)
    assert done.stderr == b""


def test_full_adds_the_thorough_claims(call, good_study):
    code, printed, _ = call("validate", "--full", "--studies", good_study)
    assert code == 0 and "  thorough " in printed


def test_a_violated_claim_is_shown_and_fails(call, write_study):
    code, printed, _ = call("validate", "--studies", write_study(claims=WRONG))
    assert code == 1
    assert last_line(printed) == "1 hold, 1 violated, 0 undecided, 0 errors"
    assert re.search(
        r"^violated tiny:planted\n  the slack -1 is beyond .*\n  reproduce: infotherm validate", printed, re.M
    )


def test_a_claim_that_raises_fails_and_the_others_survive(call, write_study):
    code, printed, _ = call("validate", "--studies", write_study(claims=WRONG + RAISES))
    assert code == 2
    assert last_line(printed) == "1 hold, 1 violated, 0 undecided, 1 error"
    assert "RuntimeError: boom [red]not markup[/red]" in printed and "Traceback" not in printed


def test_only_out_and_seed(call, good_study, tmp_path):
    call("validate", "--studies", good_study, "--only", "tiny:one", "--only", "batch", "--out", "here", "--seed", 7)
    dataset = results.load(tmp_path / "here" / "tiny.nc")
    assert set(dataset["claim"].values) == {"one", "batch"}
    assert dataset.attrs["seed"] == 7
    page = (tmp_path / "here" / "report.html").read_text(encoding="utf-8")
    assert "infotherm validate --only tiny:one --seed 7" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "tiny:onn"], "no claim matches 'tiny:onn'; near it: tiny:one"),
        (["--device", "abacus"], "device 'abacus' cannot be used here"),
    ],
)
def test_what_the_user_can_mend_is_one_line(call, good_study, arguments, message):
    code, printed, errors = call("validate", "--studies", good_study, *arguments)
    assert code == 2 and not printed
    assert errors.startswith(f"error: {message}") and errors.count("\n") == 1


def test_a_folder_without_studies_is_one_line(call, tmp_path):
    code, _, errors = call("validate", "--studies", tmp_path)
    assert code == 2 and errors == f"error: no study files (*.py) in {tmp_path}\n"


def test_an_output_folder_that_is_a_file_is_one_line(call, good_study, tmp_path):
    (tmp_path / "taken").write_text("")
    code, _, errors = call("validate", "--studies", good_study, "--out", "taken")
    assert code == 2 and errors.startswith("error: ") and "taken" in errors and errors.count("\n") == 1


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_bounds_are_listed(call):
    from infotherm import bounds

    code, printed, _ = call("bounds")
    assert code == 0
    assert all(name in printed for name in bounds.names())


def test_every_bound_is_explained(call):
    from infotherm import bounds

    for name in bounds.names():
        code, printed, errors = call("bounds", name)
        assert code == 0, errors
        assert name in printed and bounds.get(name).source.split()[0] in printed


def test_an_unknown_bound_names_the_nearest(call):
    code, printed, errors = call("bounds", "pinskr")
    assert code == 2 and not printed
    assert re.fullmatch(r"error: no bound is called 'pinskr'; .*pinsker.*\n", errors)


# -- estimate ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "data.csv"
    rows = "".join(f"{i % 7 + 0.01 * i},{i % 5 + 0.02 * i},{i % 3}\n" for i in range(60))
    path.write_text("a,b,label\n" + rows + "1,,2\n", encoding="utf-8")
    return path


def test_columns_of_a_file_are_estimated(call, table):
    code, printed, errors = call("estimate", table, "--x", "a", "--y", "b")
    assert code == 0, errors
    for expected in ("h(a)", "h(b)", "I(a; b)", "KSG", "60 of 61 rows used"):
        assert expected in printed


def test_methods_side_by_side(call, table):
    code, printed, errors = call("estimate", table, "--x", "a", "--y", "b", "--all")
    assert code == 0, errors
    assert all(name in printed for name in ("GaussianPlugIn", "KSG", "KernelDensity", "Binning"))
    code, printed, errors = call(
        "estimate", table, "--x", "a", "--y", "b", "--method", "gaussian", "--method", "binning"
    )
    assert code == 0 and "Binning" in printed and "KSG" not in printed
    assert call("estimate", table, "--x", "a", "--all", "--method", "gaussian")[0] == 2


def test_labels_are_told(call, table):
    code, printed, errors = call("estimate", table, "--x", "label", "--method", "binning")
    assert code == 0, errors
    assert re.search(r"^H\(label\) +Binning +1.1[0-9]+ .* nat +estimate", printed, re.M)
    assert last_line(printed) == "label takes 3 values: read as labels"


def test_conditional_information(call, table):
    code, printed, errors = call("estimate", table, "--x", "a", "--y", "b", "--given", "label", "--method", "gaussian")
    assert code == 0 and "I(a; b | label)" in printed, errors


def test_an_unknown_method_names_the_nearest(call, table):
    code, _, errors = call("estimate", table, "--x", "a", "--method", "gausian")
    assert code == 2 and errors == "error: no method is called 'gausian'; did you mean gaussian?\n"


def test_a_plot_is_written_on_demand(call, table, tmp_path):
    code, printed, errors = call("estimate", table, "--x", "a", "--y", "b", "--plot", "drawn/plot.svg")
    assert code == 0, errors
    assert last_line(printed) == "plot: drawn/plot.svg"
    assert "<svg" in (tmp_path / "drawn" / "plot.svg").read_text(encoding="utf-8")


def test_a_plot_of_an_unknown_format_is_one_line(call, table):
    code, _, errors = call("estimate", table, "--x", "a", "--plot", "plot.docx")
    assert code == 2 and errors.startswith("error: ") and "docx" in errors and errors.count("\n") == 1


def test_the_name_of_a_plot_needs_an_ending(call, table):
    code, printed, errors = call("estimate", table, "--x", "a", "--plot", "plot")
    assert code == 2 and "must end in one of" in errors and printed == ""


def test_no_number_at_all_is_an_error(call, tmp_path):
    (tmp_path / "one.csv").write_text("a\n1\n")
    code, printed, errors = call("estimate", "one.csv", "--x", "a")
    assert code == 2 and "at least 2 samples" in printed and errors.startswith("error: no number")
    assert call("estimate", "one.csv", "--x", "a", "-k", "0")[0] == 2


def test_an_unknown_column_is_one_line(call, table):
    code, _, errors = call("estimate", table, "--x", "aa")
    assert code == 2 and errors.startswith("error: ") and "aa" in errors and errors.count("\n") == 1


def test_a_missing_file_is_one_line(call):
    code, _, errors = call("estimate", "nothing.csv", "--x", "a")
    assert code == 2 and errors.startswith("error: ") and "nothing.csv" in errors


# -- conformance -------------------------------------------------------------------------------------------------------


STRANGERS = """
import numpy as np

def gaussian(x, y):
    "The one-dimensional Gaussian information in nats."
    return -0.5 * np.log(1 - np.corrcoef(x[:, 0], y[:, 0])[0, 1] ** 2)

def lopsided(x, y):
    return gaussian(x, y) + 0.01 * x.var()

def bits(x, y):
    return gaussian(x, y) / np.log(2)

class Needs:
    def __init__(self, argument):
        self.argument = argument
"""


@pytest.fixture
def strangers(tmp_path, monkeypatch):
    """The name of a module in the working folder, forgotten afterwards."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    name = f"strangers_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(STRANGERS, encoding="utf-8")
    (tmp_path / f"{name}_broken.py").write_text("import no_such_thing_at_all\n", encoding="utf-8")
    (tmp_path / f"{name}_raising.py").write_text("1 / 0\n", encoding="utf-8")
    yield name
    for module in (name, f"{name}_broken", f"{name}_raising"):
        sys.modules.pop(module, None)


def test_a_function_is_put_through_the_laws(call, strangers):
    code, printed, errors = call("conformance", f"{strangers}:gaussian", "--law", "symmetry", "--law", "row-*")
    assert code == 0, errors
    assert re.search(r"^symmetry +passed +\S", printed, re.M) and re.search(r"^row-permutation +passed", printed, re.M)
    assert last_line(printed) == "gaussian, mutual information: 2 passed"


def test_a_broken_law_fails_unless_it_is_expected(call, strangers, tmp_path):
    asked = ("conformance", f"{strangers}:lopsided", "--law", "symmetry")
    code, printed, _ = call(*asked, "--html", "out/report.html")
    assert code == 1 and re.search(r"^symmetry +failed +\S", printed, re.M)
    assert re.search(r"^failed symmetry: ", printed, re.M)
    assert "lopsided" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    code, printed, _ = call(*asked, "--expect", "symmetry=the variance of x is added")
    assert code == 0 and re.search(r"^symmetry +expected", printed, re.M)


def test_units_are_those_of_the_function(call, strangers):
    """Only the right units make a function in bits unbiased."""
    asked = ("conformance", f"{strangers}:bits", "--law", "result-form", "--seed", 3)
    nats, bits = (re.search(r"passed +(-?[0-9.]+)", call(*asked, *extra)[1]) for extra in ((), ("--units", "bit")))
    assert nats and bits
    assert float(bits[1]) == pytest.approx(float(nats[1]) * 0.693147, rel=1e-4)


def test_an_estimator_of_ours(call):
    """A class is made without arguments."""
    asked = ("--quantity", "entropy", "--law", "shift")
    code, printed, errors = call("conformance", "infotherm.estimators.kernel:KernelDensity", *asked)
    assert code == 0, errors
    assert re.search(r"^KernelDensity.*, entropy: 1 passed$", last_line(printed))


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        ("nowhere_at_all:f", (), "no module is called 'nowhere_at_all', here or among the installed packages"),
        ("{}:gausian", (), "{} has no 'gausian'; did you mean gaussian?"),
        ("{}_broken:f", (), "{}_broken cannot be imported: No module named 'no_such_thing_at_all'"),
        ("{}_raising:f", (), "{}_raising cannot be imported: ZeroDivisionError: division by zero"),
        ("{}", (), "an estimator is given as module:function; got '{}'"),
        ("{}:Needs", (), "{}:Needs cannot be used: "),
        ("{}:STRANGE", (), "{} has no 'STRANGE'"),
        ("{}:gaussian", ("--quantity", "gossip"), "quantity must be "),
        ("{}:gaussian", ("--budget", "none"), "budget must be "),
        ("{}:gaussian", ("--law", "symetry"), "no law is called 'symetry'"),
        ("{}:gaussian", ("--expect", "symmetry"), "an expected failure is given as law=reason; got 'symmetry'"),
        ("infotherm.estimators.kernel:KernelDensity", ("--units", "bit"), "--units is for plain functions"),
    ],
)
def test_what_cannot_be_tried_is_one_line(call, strangers, target, arguments, message):
    code, printed, errors = call("conformance", target.replace("{}", strangers), *arguments)
    assert code == 2 and not printed
    assert errors.startswith(f"error: {message.replace('{}', strangers)}") and errors.count("\n") == 1


# -- doctor and the rest -----------------------------------------------------------------------------------------------


def test_doctor_says_what_is_there(call):
    code, printed, _ = call("doctor")
    assert code == 0
    assert re.search(r"^torch +\d", printed, re.M) and re.search(r"^cpu +\d+ threads", printed, re.M)
    assert re.search(r"^ok  kl: closed form = quadrature", printed, re.M)
    assert last_line(printed).endswith(" ok, 0 failed")


def test_doctor_fails_when_a_number_is_wrong(call, monkeypatch):
    from infotherm import checkup

    monkeypatch.setattr(checkup, "_KL", 0.5)
    code, printed, _ = call("doctor")
    assert code == 2 and "FAILED  kl: closed form = quadrature" in printed


def test_version(call):
    from infotherm import __version__

    assert call("--version")[:2] == (0, f"infotherm {__version__}\n")


@pytest.mark.parametrize("command", [[], ["validate"], ["bounds"], ["estimate"], ["conformance"], ["doctor"]])
def test_help(call, command):
    code, printed, _ = call(*command, "--help")
    assert code == 0 and "Usage" in printed
