"""Optimal transport between Gaussians: the geodesic, its velocity field, and the optimal map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from infotherm.core.tensors import as_tensor, require_finite, validating
from infotherm.distributions import Gaussian


@dataclass(frozen=True, eq=False)
class GaussianGeodesic:
    """The shortest path from p to q in Wasserstein-2: every point moves on a straight line at constant speed.

    With x_0 = m_0 + A xi and x_1 = m_1 + B U xi, xi standard normal and U the rotation that brings the factors
    together, (x_0, x_1) is the optimal coupling and x_t = (1 - t) x_0 + t x_1.

    Attributes
    ----------
    start, end
        The laws at t = 0 and t = 1.
    start_factor, end_factor
        A and B U, shape (*batch, D, r): factors of the two covariances in the same noise xi.
    """

    start: Gaussian
    end: Gaussian
    start_factor: Tensor
    end_factor: Tensor

    def at(self, t: Any) -> Gaussian:
        """The law at time t in [0, 1], through its factor (1 - t) A + t B U; t broadcasts against the batch.

        Raises
        ------
        ValueError
            For t outside [0, 1].
        """
        t = _time(t, self.start_factor)
        mean = torch.lerp(*torch.broadcast_tensors(self.start.mean, self.end.mean, t[..., None]))
        return Gaussian.from_factor(mean, self.factor(t))

    def factor(self, t: Any) -> Tensor:
        """The factor (1 - t) A + t B U of the covariance at time t, shape (*batch, D, r)."""
        t = _time(t, self.start_factor)[..., None, None]
        return (1 - t) * self.start_factor + t * self.end_factor

    def velocity(self, x: Any, t: Any) -> Tensor:
        """The velocity v(x, t) of the point that is at x at time t, shape (..., D).

        v = m_1 - m_0 + (B U - A) A_t^+ (x - m_t). For 0 < t < 1 no two paths meet, so that it is the velocity of every
        path through x; at the ends, where a singular law may have to split its mass, it is their mean. Points off the
        support of a singular law are first projected onto it.

        Raises
        ------
        ValueError
            For t outside [0, 1] or points of another dimension.
        """
        t = _time(t, self.start_factor)
        x = self.start._points(x)
        shift = self.end.mean - self.start.mean
        centred = x - (self.start.mean + t[..., None] * shift)
        return shift + (self.gradient(t) @ centred[..., None])[..., 0]

    def gradient(self, t: Any) -> Tensor:
        """The matrix dv/dx = (B U - A) A_t^+ of the velocity field at time t, symmetric, shape (*batch, D, D)."""
        factor = self.factor(t)
        rates = self.end_factor - self.start_factor
        if _regular(factor):
            return torch.linalg.solve(factor, rates, left=False)
        return rates @ torch.linalg.pinv(factor, rtol=_cutoff(factor))

    def map(self, x: Any) -> Tensor:
        """The optimal map T(x) = x + v(x, 0) from p to q, shape (..., D) (the mean image where p is singular)."""
        return self.start._points(x) + self.velocity(x, 0.0)


def gaussian_geodesic(p: Gaussian, q: Gaussian) -> GaussianGeodesic:
    """The geodesic between two Gaussians of one dimension, singular ones included; batch shapes broadcast."""
    width = max(p.factor.shape[-1], q.factor.shape[-1], p.dim)
    batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    A, B = (_square(law.factor, width).expand(*batch, p.dim, -1) for law in (p, q))
    return GaussianGeodesic(p, q, A, B @ polar_rotation(B.mT @ A))


def _square(factor: Tensor, width: int) -> Tensor:
    """The factor with D columns: wider ones are brought to D by a rotation that their covariance does not see."""
    dim = factor.shape[-2]
    if factor.shape[-1] > dim:
        return torch.linalg.qr(factor.mT).R.mT
    return torch.nn.functional.pad(factor, (0, dim - factor.shape[-1]))


class _Polar(torch.autograd.Function):
    """U = V W^T of M = V S W^T; dU = V [(V^T dM W - (...)^T) / (s_i + s_j)] W^T, finite for equal singular values."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:  # type: ignore[override]
        left, values, right = torch.linalg.svd(matrix)
        ctx.save_for_backward(left, values, right)
        return left @ right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        left, values, right = ctx.saved_tensors
        inner = left.mT @ gradient @ right.mT
        sums = values[..., :, None] + values[..., None, :]
        known = sums > values.shape[-1] * torch.finfo(values.dtype).eps * values[..., :1, None]
        turned = torch.where(known, (inner - inner.mT) / torch.where(known, sums, 1.0), 0.0)
        return left @ turned @ right


def polar_rotation(matrix: Tensor) -> Tensor:
    """The orthogonal U that maximises tr(U^T M), the polar factor of M, shape (..., r, r).

    What M does not determine, a rotation between directions with singular value 0, has gradient 0.

    Examples
    --------
    >>> polar_rotation(torch.tensor([[0.0, -2.0], [3.0, 0.0]], dtype=torch.float64)).tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    return _Polar.apply(matrix)  # type: ignore[no-any-return]


def _time(t: Any, like: Tensor) -> Tensor:
    t = as_tensor(t, "t", dtype=like.dtype, device=like.device)
    require_finite(t, "t")
    if validating(t) and not bool(((t >= 0) & (t <= 1)).all()):
        raise ValueError(f"t must lie in [0, 1]; got {t.flatten()[(t.flatten() < 0) | (t.flatten() > 1)][0].item()}")
    return t


def _cutoff(factor: Tensor) -> float:
    return 64 * factor.shape[-1] * torch.finfo(factor.dtype).eps


def _regular(factor: Tensor) -> bool:
    if factor.shape[-1] != factor.shape[-2]:
        return False
    scaled = factor.detach() / factor.detach().norm(dim=-1, keepdim=True).clamp(min=torch.finfo(factor.dtype).tiny)
    values = torch.linalg.svdvals(scaled)
    return bool((values[..., -1] > _cutoff(factor) * values[..., 0]).all())
