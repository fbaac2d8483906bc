"""Quadrature rules: the nested ones with what their nodes say about the error, and those of Gauss."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

# Non-negative nodes and weights of the Kronrod rules on [-1, 1], every second node being one of the Gauss rule inside
# (from the Stieltjes polynomials at 60 digits; Kronrod 1965, and table in QUADPACK, Piessens et al. 1983).
_KRONROD = {
    15: (
        (0.0, 0.20948214108472782801),
        (0.2077849550078984676, 0.20443294007529889241),
        (0.40584515137739716691, 0.19035057806478540991),
        (0.58608723546769113029, 0.16900472663926790283),
        (0.74153118559939443986, 0.14065325971552591875),
        (0.86486442335976907279, 0.10479001032225018384),
        (0.94910791234275852453, 0.063092092629978553291),
        (0.99145537112081263921, 0.022935322010529224964),
    ),
    21: (
        (0.0, 0.14944555400291690566),
        (0.14887433898163121088, 0.14773910490133849137),
        (0.29439286270146019813, 0.1427759385770600808),
        (0.4333953941292471908, 0.13470921731147332593),
        (0.56275713466860468334, 0.12349197626206585108),
        (0.67940956829902440623, 0.1093871588022976419),
        (0.78081772658641689706, 0.093125454583697605535),
        (0.86506336668898451073, 0.075039674810919952767),
        (0.930157491355708226, 0.054755896574351996031),
        (0.97390652851717172008, 0.032558162307964727479),
        (0.99565716302580808074, 0.011694638867371874278),
    ),
}


# Distances from the end of an interval, in units of the panel there, at which an integrand is looked at once more
PROBES = (1e-4, 1e-6, 1e-8, 1e-10)


@dataclass(frozen=True)
class Nested:
    """A Kronrod rule on (0, 1) with its error functionals: nodes u, complements 1 - u, weights, and null rules.

    `null[0]` is Kronrod minus Gauss: the only even functional on these nodes that annihilates all polynomials up to its
    degree. The three others are orthogonal to it and to each other, have its norm, and lose two degrees each.
    """

    nodes: Tensor
    complements: Tensor
    weights: Tensor
    gauss: Tensor  # weights of the Gauss rule on the nodes 1, 3, 5, ...
    null: Tensor
    ends: Tensor  # (2, n): the values at u = 0 and u = 1 of the polynomial through the nodes
    probes: Tensor  # (2, 4, n): its values at PROBES and at 1 - PROBES

    def to(self, dtype: torch.dtype, device: torch.device) -> Nested:
        places = (t.to(device) for t in (self.nodes, self.complements))
        return Nested(
            *places,
            *(t.to(dtype=dtype, device=device) for t in (self.weights, self.gauss, self.null, self.ends, self.probes)),
        )


@cache
def kronrod(points: int) -> Nested:
    """The nested rule with 15 or 21 points on (0, 1), in float64 on the CPU; exact to degree 22 and 31."""
    half = np.array(_KRONROD[points])
    nodes = np.concatenate([-half[:0:-1, 0], half[:, 0]])
    weights = np.concatenate([half[:0:-1, 1], half[:, 1]])
    inner, inner_weights = np.polynomial.legendre.leggauss(points // 2)
    gauss = np.zeros(points)
    gauss[1::2] = inner_weights
    if np.abs(nodes[1::2] - inner).max() > 1e-14:
        raise AssertionError("the Kronrod table does not contain the Gauss nodes")
    first = weights - gauss
    nulls, candidates = [first], np.eye(points) + np.eye(points)[::-1]
    for lost in (2, 4, 6):
        # even, orthogonal to the others, blind to Legendre polynomials of so many degrees less than the Gauss rule
        basis = np.polynomial.legendre.legvander(nodes, 2 * (points // 2) - 1 - lost)[:, ::2]
        q, _ = np.linalg.qr(np.column_stack([basis, *nulls]))
        left = candidates - q @ (q.T @ candidates)
        null = left[:, np.argmax(np.linalg.norm(left, axis=0))]
        nulls.append(null * (np.linalg.norm(first) / np.linalg.norm(null)))
    vander = np.polynomial.legendre.legvander
    places = 1 - 2 * np.concatenate([[0.0], PROBES])
    beyond = np.linalg.solve(vander(nodes, points - 1).T, vander(places, points - 1).T).T
    beyond = torch.from_numpy(np.stack([beyond[:, ::-1], beyond]))
    return Nested(
        nodes=torch.from_numpy((1 + nodes) / 2),
        complements=torch.from_numpy((1 - nodes) / 2),
        weights=torch.from_numpy(weights / 2),
        gauss=torch.from_numpy(inner_weights / 2),
        null=torch.from_numpy(np.stack(nulls) / 2),
        ends=beyond[:, 0],
        probes=beyond[:, 1:],
    )


def contract(vectors: Tensor, values: Tensor, axis: int = 1) -> Tensor:
    """Sum over an axis of the values against the last axis of the vectors; the axes left of these come first."""
    return torch.tensordot(vectors.to(values.dtype), values.movedim(axis, 0), dims=1)


def truncation(null: Tensor) -> Tensor:
    """The truncation error of a panel, from the values (4, ...) of its null rules.

    Their norm, as long as the higher two are not much smaller than the lower two: the integrand is not resolved, or not
    smooth, and any of them may vanish by chance. A ratio r < 1/8 says that the integrand's coefficients decay by this
    ratio over four degrees; the Kronrod rule reaches eight to twelve degrees further, of which (8 r)^2 is claimed.
    """
    high, low = null[:2].square().sum(0).sqrt(), null[2:].square().sum(0).sqrt()
    ratio = high / low.clamp_min(torch.finfo(low.dtype).tiny)
    return torch.hypot(high, low) * (64 * ratio.square()).clamp_max(1.0)


def gauss_hermite(
    n: int, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Nodes and weights (n,) of the mean over a standard normal: E f(Z) = sum_i w_i f(z_i), exact to degree 2n - 1.

    The weights sum to one. There is no error estimate: compare two orders, or use `integrate`.

    Raises
    ------
    ValueError
        When n < 1.

    References
    ----------
    Golub & Welsch, Math. Comp. 23 (1969) 221.

    Examples
    --------
    >>> z, w = gauss_hermite(8)
    >>> round((w * z**4).sum().item(), 12)
    3.0
    """
    return tuple(torch.tensor(v, dtype=dtype, device=device) for v in _hermite(_order(n)))  # type: ignore[return-value]


def gauss_legendre(
    n: int,
    lower: float = -1.0,
    upper: float = 1.0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Nodes and weights (n,) of the integral over [lower, upper]: sum_i w_i f(x_i), exact to degree 2n - 1.

    Raises
    ------
    ValueError
        When n < 1.

    Examples
    --------
    >>> x, w = gauss_legendre(3, 0.0, 2.0)
    >>> round((w * x**5).sum().item(), 12)
    10.666666666667
    """
    nodes, weights = _legendre(_order(n))
    half = (upper - lower) / 2
    nodes, weights = lower + half * (1 + nodes), half * weights
    return tuple(torch.tensor(v, dtype=dtype, device=device) for v in (nodes, weights))  # type: ignore[return-value]


def _order(n: int) -> int:
    if n != int(n) or n < 1:
        raise ValueError(f"n must be a positive integer; got {n}")
    return int(n)


@cache
def _hermite(n: int) -> tuple[np.ndarray, np.ndarray]:
    from scipy.special import roots_hermitenorm

    nodes, weights = roots_hermitenorm(n)
    return nodes, weights / weights.sum()


@cache
def _legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    from scipy.special import roots_legendre

    return roots_legendre(n)
