"""Distributions: our families, and adapters that make a law of whatever is brought."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Distribution": "base", "Discrete": "discrete", "Empirical": "empirical", "Gaussian": "gaussian",
    "GaussianMixture": "mixture", "LogDensity": "log_density", "Rademacher": "scalar", "SpikeSlab": "scalar",
    "TorchDistribution": "torch_adapter", "ScipyDistribution": "scipy_adapter", "as_distribution": "adapters",
    "as_torch": "adapters",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"infotherm.distributions.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'infotherm.distributions' has no attribute {name!r}")
