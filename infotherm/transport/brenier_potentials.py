"""Convex potentials fitted to samples, with conjugates that are exact or bounded from above: duality stays valid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from infotherm.core.procrustes import procrustes_distance

_RIDGE = 1e-8  # of the mean variance: maps out of a point get a slope of about 1e4 instead of an infinite one
_LEAST_GAP = 1e-6  # of the spread, between neighbouring knots: atoms are stretched by as much
_TAIL = 5.0  # slopes beyond the last knots differ from that of the linear map at most by this factor


class Potential(Protocol):
    """A convex function f and an upper bound on its conjugate f*(y) = sup_x x.y - f(x), at points (n, D) each.

    By Kantorovich duality W2(p, q)^2 >= E_p[|x|^2 - 2 f(x)] + E_q[|y|^2 - 2 f*(y)] for every such f.
    """

    @property
    def name(self) -> str:
        """What the fit was."""
        ...

    def gains(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """|x|^2 - 2 f(x) and |y|^2 - 2 f*(y), shapes (n,) and (m,)."""
        ...


@dataclass(frozen=True, eq=False)
class Quadratic:
    """f(x) = m_y.(x - m_x) + (x - m_x)^T H (x - m_x) / 2, whose gradient is the optimal map of two Gaussians.

    H = Q diag(slopes) Q^T; the conjugate m_x.y + (y - m_y)^T H^-1 (y - m_y) / 2 is exact. `start` m_x and `end` m_y
    are rows (..., 1, D).
    """

    start: Tensor
    end: Tensor
    basis: Tensor
    slopes: Tensor
    name: str = "quadratic"

    def gains(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """|x|^2 - 2 f(x) and |y|^2 - 2 f*(y), of batches (..., n, D) too."""
        to_x, to_y = x - self.start, y - self.end
        first = x.square().sum(-1) - 2 * (to_x * self.end).sum(-1)
        second = y.square().sum(-1) - 2 * (y * self.start).sum(-1)
        first = first - ((to_x @ self.basis).square() @ self.slopes[..., None])[..., 0]
        return first, second - ((to_y @ self.basis).square() @ (1 / self.slopes)[..., None])[..., 0]


@dataclass(frozen=True, eq=False)
class Separable:
    """f(x) = sum of f_i(u_i.x) over an orthonormal basis, each f_i' increasing and piecewise linear.

    `knots` a and `images` b, both (D, K) and increasing, with b = f_i'(a); `slopes` (D, K + 1) below, between and above
    them, all positive. The conjugate is the same function with a and b exchanged, so that it is exact.
    """

    basis: Tensor
    knots: Tensor
    images: Tensor
    slopes: Tensor
    name: str

    def gains(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """|x|^2 - 2 f(x) and |y|^2 - 2 f*(y)."""
        x, y = (x @ self.basis).mT.contiguous(), (y @ self.basis).mT.contiguous()
        values = _at_knots(self.knots, self.images)
        conjugates = self.knots * self.images - values
        first = x.square() - 2 * _piecewise(x, self.knots, self.images, values, self.slopes)
        second = y.square() - 2 * _piecewise(y, self.images, self.knots, conjugates, 1 / self.slopes)
        return first.sum(0), second.sum(0)


@dataclass(frozen=True, eq=False)
class Radial:
    """f(x) = m_y.(x - m_x) + h(|H^1/2 (x - m_x)|), h' increasing, piecewise linear and not negative.

    The conjugate m_x.y + h*(|H^-1/2 (y - m_y)|) is exact, h* being flat below h'(0). Tight between laws of one elliptic
    shape with different radii.
    """

    linear: Quadratic
    line: Separable
    name: str

    def gains(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """|x|^2 - 2 f(x) and |y|^2 - 2 f*(y)."""
        r, s = radii(x, y, self.linear)
        first = x.square().sum(-1) - 2 * ((x - self.linear.start) * self.linear.end).sum(-1)
        second = y.square().sum(-1) - 2 * (y * self.linear.start).sum(-1)
        least = self.line.images[0, 0] - self.line.slopes[0, 0] * self.line.knots[0, 0]
        s = torch.maximum(s, least)
        along, back = self.line.gains(r[:, None], s[:, None])
        return first + along - r.square(), second + back - s.square()


def radii(x: Tensor, y: Tensor, linear: Quadratic) -> tuple[Tensor, Tensor]:
    """|H^1/2 (x - m_x)| and |H^-1/2 (y - m_y)|: equally distributed where the map of the Gaussians is the right one."""
    to_x, to_y = (x - linear.start) @ linear.basis, (y - linear.end) @ linear.basis
    root = linear.slopes.sqrt()
    return torch.linalg.vector_norm(to_x * root, dim=-1), torch.linalg.vector_norm(to_y / root, dim=-1)


def fit_quadratic(x: Tensor, y: Tensor) -> Quadratic:
    """The quadratic potential of the Gaussians with the (shrunk) moments of two samples (..., n, D) and (..., m, D).

    Source: Knott and Smith, J. Optim. Theory Appl. 43, 39 (1984) for the map; Ledoit and Wolf, J. Multivar. Anal. 88,
    365 (2004) for the covariances.

    Examples
    --------
    >>> x = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    >>> round(fit_quadratic(x, 2 * x + 3).slopes.item(), 6)
    2.0
    """
    start, end = (v.mean(-2, keepdim=True) for v in (x, y))
    covariances = [shrunk_covariance(v) for v in (x, y)]
    spread = torch.stack([c.diagonal(dim1=-2, dim2=-1).mean(-1) for c in covariances]).sum(0)[..., None, None]
    floor = torch.where(spread > 0, _RIDGE * spread, 1.0)  # two points: any Hessian does
    identity = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    A, B = (torch.linalg.cholesky(c + floor * identity) for c in covariances)
    hessian = torch.linalg.solve_triangular(A, B @ procrustes_distance(A, B).rotation, upper=False, left=False)
    slopes, basis = torch.linalg.eigh((hessian + hessian.mT) / 2)
    # a Hessian of rounded factors: small eigenvalues may come out of either sign
    return Quadratic(start, end, basis, torch.maximum(slopes, _RIDGE**0.5 * slopes[..., -1:]))


def shrunk_covariance(x: Tensor) -> Tensor:
    """The covariance of samples (..., n, D), drawn towards a multiple of the identity as far as few samples ask for it.

    Source: Ledoit and Wolf, J. Multivar. Anal. 88, 365 (2004), Lemma 3.4.

    Examples
    --------
    >>> shrunk_covariance(torch.tensor([[0.0], [2.0]], dtype=torch.float64)).item()
    1.0
    """
    n, dim = x.shape[-2:]
    centred = x - x.mean(-2, keepdim=True)
    covariance = centred.mT @ centred / n
    target = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None] * torch.eye(dim).to(x)
    distance = (covariance - target).square().sum((-2, -1), keepdim=True)
    fourth = centred.square().sum(-1).square().mean(-1)[..., None, None]
    noise = (fourth - covariance.square().sum((-2, -1), keepdim=True)) / n
    share = torch.where(distance > 0, (noise / torch.where(distance > 0, distance, 1.0)).clamp(0.0, 1.0), 0.0)
    return torch.lerp(covariance, target, share)


def fit_separable(x: Tensor, y: Tensor, linear: Quadratic, *, knots: int, axes: str) -> Separable:
    """One-dimensional optimal maps along the axes of a basis: "principal" ones of the linear map, or "coordinates".

    Knots are means of neighbouring order statistics, in `knots` groups that narrow towards the tails. In population it
    is the bound W2(p, q)^2 >= sum_i W2(u_i.p, u_i.q)^2, an equality for product laws.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 40, dtype=torch.float64)[:, None]
    >>> f = fit_separable(x, x**3, fit_quadratic(x, x**3), knots=8, axes="coordinates")
    >>> bool((f.slopes > 0).all())
    True
    """
    dim = x.shape[1]
    basis = linear.basis if axes == "principal" else torch.eye(dim, dtype=x.dtype, device=x.device)
    a, b = (_group_means((v @ basis).mT, knots) for v in (x, y))
    inner = b.diff(dim=-1) / a.diff(dim=-1)
    slope = (basis.mT @ linear.basis).square() @ linear.slopes
    ends = [s.clamp(min=slope / _TAIL).clamp(max=slope * _TAIL) for s in (inner[:, 0], inner[:, -1])]
    slopes = torch.cat([ends[0][:, None], inner, ends[1][:, None]], -1)
    return Separable(basis, a, b, slopes, f"separable, {knots} knots, {axes}")


def fit_radial(x: Tensor, y: Tensor, linear: Quadratic, *, knots: int) -> Radial:
    """The optimal map of the radii, in the metric of the linear map.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(400, 2, dtype=torch.float64, generator=g)
    >>> y = x * x.norm(dim=-1, keepdim=True)
    >>> f = fit_radial(x, y, fit_quadratic(x, y), knots=8)
    >>> bool((f.line.images.diff() > 0).all())
    True
    """
    r, s = radii(x, y, linear)
    metric = Quadratic(r.new_zeros(1, 1), r.new_zeros(1, 1), r.new_ones(1, 1), r.new_ones(1))
    line = fit_separable(r[:, None], s[:, None], metric, knots=knots, axes="coordinates")
    slopes = line.slopes.clone()
    # a radius stays one: h'(0) >= 0
    least = torch.finfo(r.dtype).eps
    slopes[0, 0] = torch.minimum(slopes[0, 0], line.images[0, 0] / line.knots[0, 0].clamp(min=least)).clamp(min=least)
    return Radial(linear, Separable(line.basis, line.knots, line.images, slopes, ""), f"radial, {knots} knots")


def _group_means(x: Tensor, count: int) -> Tensor:
    """Means (D, count) of neighbouring order statistics of rows (D, n), kept apart by a little."""
    ordered = x.sort(-1).values
    n = ordered.shape[-1]
    steps = torch.arange(count + 1, dtype=torch.float64) / count
    edges = (n * (1 - torch.cos(torch.pi * steps)) / 2).round().long()
    # two samples a group at least, as far as they go
    edges = torch.maximum(edges, 2 * torch.arange(count + 1)).clamp(max=n)
    edges = torch.minimum(edges, n - 2 * torch.arange(count, -1, -1)).clamp(min=0).to(x.device)
    sums = torch.nn.functional.pad((ordered - ordered[:, :1]).cumsum(-1), (1, 0))
    means = ordered[:, :1] + sums[:, edges].diff(dim=-1) / edges.diff()
    spread = (ordered[:, -1:] - ordered[:, :1]) + ordered.abs().amax(-1, keepdim=True)
    gap = _LEAST_GAP * spread.amax().clamp(min=1e-300) * torch.arange(count, dtype=x.dtype, device=x.device)
    return (means - gap).cummax(-1).values + gap


def _at_knots(knots: Tensor, images: Tensor) -> Tensor:
    """The integral of the piecewise linear map from the first knot to each, (D, K)."""
    pieces = knots.diff(dim=-1) * (images[:, 1:] + images[:, :-1]) / 2
    return torch.nn.functional.pad(pieces.cumsum(-1), (1, 0))


def _piecewise(x: Tensor, knots: Tensor, images: Tensor, values: Tensor, slopes: Tensor) -> Tensor:
    """The piecewise quadratic with these derivatives and values at its knots, at points (D, n)."""
    piece = torch.searchsorted(knots, x)
    left = (piece - 1).clamp(min=0)
    step = x - knots.gather(-1, left)
    return values.gather(-1, left) + images.gather(-1, left) * step + slopes.gather(-1, piece) * step.square() / 2
