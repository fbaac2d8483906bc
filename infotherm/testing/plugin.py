"""The pytest plugin: how thoroughly and with which seed `parametrize_with_laws` tries the laws.

pytest loads it in every run where the package is installed, so that it imports nothing but what is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

# what the command line said, for checks that run without a pytest configuration at hand
options: dict[str, Any] = {"budget": "fast", "seed": 0}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options --infotherm-budget and --infotherm-seed."""
    group = parser.getgroup("infotherm", "laws of estimators (infotherm)")
    group.addoption(
        "--infotherm-budget",
        choices=("fast", "full"),
        default=None,
        help="how thoroughly laws are tried: fast (seconds for a quick estimator) or full",
    )
    group.addoption("--infotherm-seed", type=int, default=None, metavar="N", help="seed of the samples (default 0)")


def pytest_configure(config: pytest.Config) -> None:
    """Keeps the options where the checks find them."""
    options["budget"] = config.getoption("--infotherm-budget") or "fast"
    options["seed"] = config.getoption("--infotherm-seed") or 0


def pytest_report_header(config: pytest.Config) -> str:
    """One line that says how the laws are tried."""
    return f"infotherm: budget {options['budget']}, seed {options['seed']}"
