"""The pytest plugin and parametrize_with_laws, in pytest runs of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infotherm.estimators import KSG, KozachenkoLeonenko
from infotherm.testing import parametrize_with_laws, plugin
from tests.testing.plain import gaussian

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[2]


def test_the_plugin_loads_nothing():
    heavy = ("torch", "numpy", "scipy", "pytest", "infotherm.core", "infotherm.estimators")
    code = f"import infotherm.testing.plugin, sys; print([m for m in {heavy} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest with the plugin, and no other, on a test module."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(plugin, "options", dict(plugin.options))

    def run(body, *options):
        pytester.makepyfile(body)
        return pytester.runpytest_inprocess("-p", "infotherm.testing.plugin", "-rA", "-p", "no:cacheprovider", *options)

    return run


CASES = """
    import numpy as np
    from infotherm.testing import as_estimator, parametrize_with_laws

    def gaussian(x, y):
        return -0.5 * np.log(1 - np.corrcoef(x[:, 0], y[:, 0])[0, 1] ** 2)

    def lopsided(x, y):
        return gaussian(x, y) + 1e-3 * abs(x).mean()

    def known(estimator):
        return {"symmetry": "it measures x", "shift": "and where"} if estimator.name == "lopsided" else {}

    tags = {"most_dimensions": 1, "invariances": {"shift", "reflection", "common-scale"}}
    estimators = [as_estimator(gaussian, tags=tags), as_estimator(lopsided, tags=tags)]

    @parametrize_with_laws(estimators, laws=["symmetry", "shift", "rotation"], expected_failures=known)
    def test_laws(check):
        check()
"""


def test_cases_of_a_module(run):
    done = run(CASES, "--infotherm-budget", "full", "--infotherm-seed", "5")
    done.assert_outcomes(passed=2, xfailed=2, skipped=2)
    shown = done.stdout.str()
    assert "infotherm: budget full, seed 5" in shown
    assert "::test_laws[gaussian-symmetry]" in shown
    assert "::test_laws[lopsided-shift] - and where" in shown
    assert "its tags do not claim the invariance 'rotation'" in shown


def test_a_stale_declaration_fails(run):
    done = run(CASES.replace('if estimator.name == "lopsided" else {}', ""))
    done.assert_outcomes(failed=2, xfailed=2, skipped=2)
    assert "[XPASS(strict)] it measures x" in done.stdout.str()
    assert "infotherm: budget fast, seed 0" in done.stdout.str()


def test_failures_show_the_evidence(run):
    done = run(CASES.replace(", expected_failures=known", ""))
    done.assert_outcomes(passed=2, failed=2, skipped=2)
    assert "AssertionError: lopsided breaks symmetry (I(x; y) = I(y; x)): x and y exchanged" in done.stdout.str()


def test_options_are_checked(run):
    run(CASES, "--infotherm-budget", "quick").stderr.fnmatch_lines(["*invalid choice: 'quick'*"])


# -- the decorator itself -------------------------------------------------------------------------------------------


@parametrize_with_laws([KSG(), KozachenkoLeonenko(), gaussian], laws=["shift", "repeatability"])
def test_laws(check):
    check()


def test_cases():
    mark = parametrize_with_laws([KSG(k=5)], laws="*-scale", expected_failures={"tiny-scale": "slow"}, level=1e-3)
    names, cases = mark.args
    assert names == "check" and {case.id.rpartition(")-")[2] for case in cases} >= {"common-scale", "tiny-scale"}
    assert all(case.id.startswith("KSG(k=5") for case in cases)
    (marked,) = [case for case in cases if case.marks]
    assert marked.marks[0].kwargs == {"strict": True, "reason": "slow"}
    shares = [case.values[0].level for case in cases if case.values[0].law.sort != "exact"]
    assert sum(shares) == pytest.approx(1e-3)


def test_refusals():
    with pytest.raises(ValueError, match="needs at least one estimator; got none"):
        parametrize_with_laws([])
    with pytest.raises(KeyError, match="no law is called 'shifts'"):
        parametrize_with_laws([KSG()], laws=["shifts"])
    with pytest.raises(KeyError, match="no law is called 'shifts'"):
        parametrize_with_laws([KSG()], expected_failures={"shifts": "because"})
