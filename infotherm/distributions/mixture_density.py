"""Log-density and score of a mixture of Gaussians at many points: whitened, one matrix product, in pieces of the cache.

The points are centred, every component whitens them, and squares are summed: never the expansion into quadratic
features, which at a spread of 1e6 standard deviations leaves errors of tens of nats. Components run along the first
axis and points along the last, so that every reduction is over contiguous points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from infotherm.core.tensors import chunks

_CACHED = 2**20  # numbers of a working array that stay in a processor's cache
_ON_DEVICE = 2**25  # and those that fill an accelerator


class Kernel(Protocol):
    """The components of one mixture, ready to be evaluated at points."""

    centre: Tensor
    log_constant: Tensor  # (K, 1): log weight - log det L - (D/2) log 2 pi
    width: int  # numbers in the working array for one point

    def squares(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """|L_k^-1 (x - m_k)|^2 of centred points (n, D), shape (K, n), and what `pull` needs."""
        ...

    def pull(self, kept: Tensor, shares: Tensor) -> Tensor:
        """sum_k shares_k C_k^-1 (m_k - x), shape (n, D), for shares (K, n), which are overwritten."""
        ...


class GeneralKernel(NamedTuple):
    """Components with covariances of their own: all whitened by one matrix product, rows ordered (D, K)."""

    centre: Tensor
    log_constant: Tensor
    rows: Tensor  # (D K, D): row (i, k) is row i of L_k^-1
    offset: Tensor  # (D K, 1): -L_k^-1 (m_k - centre)
    width: int

    def squares(self, x: Tensor) -> tuple[Tensor, Tensor]:
        white = torch.addmm(self.offset, self.rows, x.mT).view(x.shape[-1], -1, len(x))
        return white.square().sum(0), white

    def pull(self, kept: Tensor, shares: Tensor) -> Tensor:
        return -(self.rows.mT @ kept.mul_(shares).view(len(self.rows), -1)).mT


class RoundKernel(NamedTuple):
    """Components that are round, in the given coordinates or in those that whiten the one covariance they share."""

    centre: Tensor
    log_constant: Tensor
    whitening: Tensor | None  # (D, D), or None where the coordinates are whitened already up to a scale
    means: Tensor  # (K, D), centred and whitened
    precision: Tensor  # (K, 1)
    width: int

    def squares(self, x: Tensor) -> tuple[Tensor, Tensor]:
        white = (x if self.whitening is None else x @ self.whitening.mT).mT.contiguous()
        total = white.new_zeros(len(self.means), len(x))
        difference = torch.empty_like(total)
        for i in range(len(white)):
            torch.sub(white[i], self.means[:, i : i + 1], out=difference)
            total.addcmul_(difference, difference)
        return total.mul_(self.precision), white

    def pull(self, kept: Tensor, shares: Tensor) -> Tensor:
        shares = shares.mul_(self.precision)
        pulled = (self.means.mT @ shares - kept * shares.sum(0)).mT
        return pulled if self.whitening is None else pulled @ self.whitening


def general_kernel(weights: Tensor, means: Tensor, whitening: Tensor) -> GeneralKernel:
    """The kernel of components with inverse factors `whitening` (K, D, D)."""
    count, dim = means.shape
    centre = weights @ means
    rows = whitening.permute(1, 0, 2).reshape(dim * count, dim).contiguous()
    offset = -(whitening @ (means - centre)[..., None])[..., 0].mT.reshape(-1, 1).contiguous()
    return GeneralKernel(centre, _log_constant(weights, whitening), rows, offset, count * dim)


def round_kernel(weights: Tensor, means: Tensor, whitening: Tensor, scaled: bool) -> RoundKernel:
    """The kernel of one shared covariance, or of round components (`scaled`: whitening (K or 1, D, D) is s_k times 1)."""
    centre = weights @ means
    constant = _log_constant(weights, whitening)
    if scaled:
        precision = whitening[:, 0, :1].square()
        return RoundKernel(centre, constant, None, means - centre, precision.expand(len(means), 1), 2 * len(means))
    white = (means - centre) @ whitening[0].mT
    return RoundKernel(centre, constant, whitening[0], white, white.new_ones(1, 1), 2 * len(means))


def _log_constant(weights: Tensor, whitening: Tensor) -> Tensor:
    dim = whitening.shape[-1]
    log_det = whitening.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return (weights.log() + log_det - 0.5 * dim * math.log(2 * math.pi))[:, None].contiguous()


def _pieces(kernel: Kernel, x: Tensor) -> Iterator[tuple[slice, Tensor, Tensor, Tensor, Tensor]]:
    """Over pieces of the points: which, exp(log terms - largest) (K, n), their sum, the largest, what `pull` needs."""
    budget = _CACHED if x.device.type == "cpu" else _ON_DEVICE
    for piece in chunks(len(x), max(16, min(budget // kernel.width, 2**20))):
        squares, kept = kernel.squares(x[piece] - kernel.centre)
        logs = squares.mul_(-0.5).add_(kernel.log_constant)
        largest = logs.amax(0)
        terms = logs.sub_(largest).exp_()
        yield piece, terms, terms.sum(0), largest, kept


def log_density(kernel: Kernel, x: Tensor) -> Tensor:
    """log p at points (N, D), shape (N)."""
    value = x.new_empty(len(x))
    for piece, _, total, largest, _ in _pieces(kernel, x):
        value[piece] = total.log_().add_(largest)
    return value


def log_density_and_score(kernel: Kernel, x: Tensor) -> tuple[Tensor, Tensor]:
    """log p and its gradient at points (N, D), shapes (N) and (N, D)."""
    value, score = x.new_empty(len(x)), torch.empty_like(x)
    for piece, terms, total, largest, kept in _pieces(kernel, x):
        score[piece] = kernel.pull(kept, terms.div_(total))
        value[piece] = total.log_().add_(largest)
    return value, score


def responsibilities(kernel: Kernel, x: Tensor) -> Tensor:
    """The probabilities of the components given points (N, D), shape (N, K)."""
    shares = x.new_empty(len(x), len(kernel.log_constant))
    for piece, terms, total, _, _ in _pieces(kernel, x):
        shares[piece] = terms.div_(total).mT
    return shares


class LogDensity(torch.autograd.Function):
    """log p at points whose gradient is the score, computed in the same pass."""

    @staticmethod
    def forward(x: Tensor, law: Any) -> tuple[Tensor, Tensor]:
        return log_density_and_score(law._kernel, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Any], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(inputs[0], output[1])
        ctx.law = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, score = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is asked for: the score must depend on x
            score = ctx.law._plain_score(x)
        return gradients[0][:, None] * score, None
