"""The package as a stranger meets it: versions, commands, dependencies, and an import that changes nothing."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import infotherm

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")

VALIDATE = (
    "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e . && .venv/bin/infotherm validate --quick"
)
TEST = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[test]' && .venv/bin/pytest"


def test_version_is_the_same_everywhere():
    citation = re.search(r"^version: *(\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    changelog = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation is not None and citation[1] == infotherm.__version__
    assert changelog is not None and changelog[1] == infotherm.__version__
    assert "version" in PROJECT["dynamic"]
    try:
        installed = importlib.metadata.version("infotherm")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is on the path, not installed")
    assert installed == infotherm.__version__


def test_readme_gives_the_two_commands_as_whole_lines():
    lines = README.splitlines()
    assert VALIDATE in lines and TEST in lines
    assert [line for line in lines if line.startswith("python3 -m venv")] == [VALIDATE, TEST]


def test_continuous_integration_runs_the_readme_command():
    script = (ROOT / ".ci" / "run").read_text()
    found = re.search(r"grep -E '([^']+)' README\.md", script)
    assert found is not None
    assert [line for line in README.splitlines() if re.search(found[1], line)] == [TEST]
    assert "pytest" not in script.replace(found[0], ""), "the tests are run by the README's command only"


def _pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {requirement.name.lower(): requirement for requirement in requirements}


@pytest.mark.parametrize("extra", [None, "certified", "parquet", "test", "dev"])
def test_constraints_pin_every_direct_dependency(extra):
    pins = _pins()
    for text in PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]:
        wanted = Requirement(text)
        if wanted.name == "infotherm":
            continue
        (pin,) = pins[wanted.name.lower()].specifier
        assert pin.operator == "==" and wanted.specifier.contains(pin.version), wanted


def test_constraints_name_plain_releases():
    for name, requirement in _pins().items():
        (pin,) = requirement.specifier
        assert Version(pin.version).local is None, f"{name}: a local build cannot be installed elsewhere"


_PROBE = """
import json, random, sys, warnings
import numpy, torch

def state():
    return {
        "dtype": str(torch.get_default_dtype()),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "validate": torch.distributions.Distribution._validate_args,
        "torch rng": hash(bytes(torch.get_rng_state().tolist())),
        "numpy rng": hash(numpy.random.get_state()[1].tobytes()),
        "python rng": hash(random.getstate()),
        "filters": [repr(f) for f in warnings.filters],
        "errors": repr(numpy.geterr()),
        "print": repr(torch._tensor_str.PRINT_OPTS),
    }

before, loaded = state(), set(sys.modules)
import infotherm
after = state()
names = {name.partition(".")[0] for name in set(sys.modules) - loaded}
print(json.dumps({"changed": [k for k in before if before[k] != after[k]], "loaded": sorted(names)}))
"""


def _imported(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_import_changes_no_global_state_and_loads_nothing_heavy():
    found = _imported(_PROBE)
    assert found["changed"] == []
    heavy = {"ot", "sympy", "matplotlib", "typer", "rich", "xarray", "pandas", "h5netcdf", "jinja2", "scipy"}
    assert heavy & set(found["loaded"]) == set()


def test_the_probe_would_see_a_change():
    meddling = "import infotherm\ntorch.set_default_dtype(torch.float64)\nimport typer\n"
    found = _imported(_PROBE.replace("import infotherm\n", meddling, 1))
    assert "dtype" in found["changed"] and "typer" in found["loaded"]


def test_types_are_declared():
    assert (ROOT / "infotherm" / "py.typed").is_file()
