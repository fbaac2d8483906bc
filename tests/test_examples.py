"""Every example runs, is short, and ends in a verdict that holds."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_ends_in_a_verdict_that_holds(path, capsys):
    assert len(path.read_text().splitlines()) < 80
    runpy.run_path(str(path))
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith("holds")


def test_there_are_examples():
    assert len(EXAMPLES) >= 7
