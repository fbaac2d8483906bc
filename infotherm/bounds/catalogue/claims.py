"""Statements of the catalogue as sympy relations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sympy

# what the functions in the statements stand for
NOTATION = {
    "KL": "Kullback-Leibler divergence",
    "TV": "total variation distance, half the L1 norm",
    "H": "entropy",
    "h": "differential entropy",
    "I": "mutual information; with one argument, the relative Fisher information",
    "J": "Fisher information of location",
    "N": "entropy power exp(2 h / D)",
    "W1": "Wasserstein distance of order one",
    "W2": "Wasserstein distance of order two",
    "chi2": "chi-square divergence",
    "m": "dynamical mobility",
    "v": "speed in the Wasserstein metric",
    "mmse": "least mean square error",
    "Var": "variance",
    "det": "determinant",
    "K": "a channel, applied to a law",
    "Gauss": "the Gaussian with the moments of a law",
    "sigma": "strength of the noise",
    "E": "mean",
    "scgf": "scaled cumulant generating function",
    "p": "density of the work",
    "p_R": "density of the reverse process",
    "TE": "transfer entropy rate",
    "g": "inverse of x tanh x",
}
_LISTS = {"Y_given_X": "Y|X", "XY_Z": "X,Y;Z", "X_Z": "X;Z", "X_Y": "X;Y", "X_X": "X;X", "Y_Z_given_X": "Y;Z|X"}
_SHOWN = {"DeltaF": r"\Delta F", "DeltaS": r"\Delta S", "P_eq": "P_eq", "Q_eq": "Q_eq"}
_SYMBOLS = (
    "P",
    "Q",
    "G",
    "D",
    "R",
    "R_T",
    "X",
    "Y",
    "Z",
    "C",
    "T",
    "t",
    "rho",
    "snr",
    "S_tot",
    "S",
    "W",
    "A",
    "j",
    "n",
    "q",
    "S_x",
    "S_m",
    "S_ex",
    "S_hk",
    "S_MN",
    "S_HS",
    "I_x",
    "I_y",
    "W_ext",
)


def claim(lhs: str, relation: str, rhs: str) -> Callable[[], sympy.Rel]:
    """A function that builds the relation between two expressions, written out as it stands.

    Examples
    --------
    >>> claim("TV(P, Q)**2", "<=", "KL(P, Q)/2")()
    TV(P, Q)**2 <= KL(P, Q)/2
    """

    def build() -> sympy.Rel:
        import sympy
        from sympy.parsing.sympy_parser import parse_expr

        names: dict[str, Any] = {name: sympy.Function(name) for name in NOTATION}
        names |= {name: sympy.Symbol(shown) for name, shown in (_LISTS | _SHOWN).items()}
        names |= {name: sympy.Symbol(name) for name in _SYMBOLS}
        left, right = (parse_expr(side, local_dict=names) for side in (lhs, rhs))
        kind = {">=": sympy.Ge, "<=": sympy.Le, "==": sympy.Eq}[relation]
        return kind(left, right, evaluate=False)

    return build
