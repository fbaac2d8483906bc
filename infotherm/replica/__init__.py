"""Entropies of wide random networks by the replica formula and by random-matrix theory."""

from typing import NoReturn

from infotherm.replica.activations import Activation, Linear
from infotherm.replica.linear import finite_size_log_determinant
from infotherm.replica.network import Layer, Network
from infotherm.replica.solver import Branch, Certificate, Solution, solve
from infotherm.replica.spectra import (
    GaussianWeights,
    fuss_catalan_log_determinant,
    marchenko_pastur_log_determinant,
)

__all__ = [
    "Activation",
    "Branch",
    "Certificate",
    "GaussianWeights",
    "Layer",
    "Linear",
    "Network",
    "Solution",
    "finite_size_log_determinant",
    "fuss_catalan_log_determinant",
    "marchenko_pastur_log_determinant",
    "solve",
]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"infotherm.replica has no {name!r}; activations: Linear; weights: GaussianWeights; priors: Gaussian"
    )
