"""Log-density and score of a mixture of Gaussians at many points: whitened, one matrix product, in pieces of the cache.

The points are centred, every component whitens them, and squares are summed: never the expansion into quadratic
features, which at a spread of 1e6 standard deviations leaves errors of tens of nats. Components run along the first
axis and points along the last, so that every reduction is over contiguous points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infotherm.core.tensors import chunks

_CACHED = 2**20  # numbers of a working array that stay in a processor's cache
_ON_DEVICE = 2**25  # and those that fill an accelerator
_LONGEST = 2**20  # points in one piece, where components are few


class GeneralKernel(NamedTuple):
    """Components with covariances of their own: coordinate i of all whitened points is one matrix product.

    Points come as (1 + D, n): a row of ones, then x - centre.
    """

    centre: Tensor
    log_constant: Tensor  # (K, 1): log weight - log det L - (D/2) log 2 pi
    rows: tuple[
        Tensor, ...
    ]  # row i of every L_k^-1 up to its diagonal, -(L_k^-1 (m_k - centre))_i in front: (K, i + 2)

    def width(self, keep: bool) -> int:
        """Numbers of working room for one point."""
        return len(self.log_constant) * (1 + (len(self.rows) if keep else 1))

    def squares(self, points: Tensor, room: Tensor, keep: bool) -> tuple[Tensor, Tensor]:
        """|L_k^-1 (x - m_k)|^2, shape (K, n), and what `pull` needs where it is to be kept; both may lie in `room`."""
        room = room.view(-1, len(self.log_constant), points.shape[1])
        total, white = room[0], room[1:]
        for i, rows in enumerate(self.rows):
            coordinate = torch.mm(rows, points[: i + 2], out=white[i if keep else 0])
            if i == 0:
                torch.mul(coordinate, coordinate, out=total)
            else:
                total.addcmul_(coordinate, coordinate)
        return total, white

    def pull(self, kept: Tensor, shares: Tensor) -> Tensor:
        """sum_k shares_k C_k^-1 (m_k - x), shape (D, n), for shares (K, n); it overwrites both arguments."""
        pulled = shares.new_zeros(len(self.rows), shares.shape[1])
        for i, rows in enumerate(self.rows):
            pulled[: i + 1].addmm_(rows[:, 1:].mT, kept[i].mul_(shares), alpha=-1)
        return pulled


class RoundKernel(NamedTuple):
    """Components that are round, in the given coordinates or in those that whiten the one covariance they share."""

    centre: Tensor
    log_constant: Tensor
    whitening: Tensor | None  # (D, D), or None where the coordinates are whitened already up to a scale
    means: Tensor  # (K, D), centred and whitened
    precision: Tensor  # (K or 1, 1)

    def width(self, keep: bool) -> int:
        return 2 * len(self.means)

    def squares(self, points: Tensor, room: Tensor, keep: bool) -> tuple[Tensor, Tensor]:
        white = points[1:] if self.whitening is None else self.whitening @ points[1:]
        total, difference = room.view(2, len(self.means), -1)
        total.zero_()
        for row, means in zip(white, self.means.mT, strict=True):
            torch.sub(row, means[:, None], out=difference)
            total.addcmul_(difference, difference)
        return total.mul_(self.precision), white

    def pull(self, kept: Tensor, shares: Tensor) -> Tensor:
        shares = shares.mul_(self.precision)
        pulled = self.means.mT @ shares - kept * shares.sum(0)
        return pulled if self.whitening is None else self.whitening.mT @ pulled


Kernel = GeneralKernel | RoundKernel


def general_kernel(weights: Tensor, means: Tensor, whitening: Tensor) -> GeneralKernel:
    """The kernel of components with inverse factors `whitening` (K, D, D), lower-triangular."""
    centre = weights @ means
    offset = -(whitening @ (means - centre)[..., None])
    rows = [torch.cat([offset[:, i], whitening[:, i, : i + 1]], 1) for i in range(means.shape[1])]
    return GeneralKernel(centre, _log_constant(weights, whitening), tuple(rows))


def round_kernel(weights: Tensor, means: Tensor, whitening: Tensor, scaled: bool) -> RoundKernel:
    """The kernel of one shared covariance, or of round components (`scaled`: whitening (K or 1, D, D) is s_k 1)."""
    centre = weights @ means
    constant = _log_constant(weights, whitening)
    if scaled:
        precision = whitening[:, 0, :1].square()
        return RoundKernel(centre, constant, None, means - centre, precision)
    white = (means - centre) @ whitening[0].mT
    return RoundKernel(centre, constant, whitening[0], white, white.new_ones(1, 1))


def _log_constant(weights: Tensor, whitening: Tensor) -> Tensor:
    dim = whitening.shape[-1]
    log_det = whitening.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return (weights.log() + log_det - 0.5 * dim * math.log(2 * math.pi))[:, None].contiguous()


def _pieces(kernel: Kernel, x: Tensor, keep: bool) -> Iterator[tuple[slice, Tensor, Tensor, Tensor, Tensor]]:
    """Over pieces of the points: which, exp(log terms - largest) (K, n), their sum, the largest, what `pull` needs."""
    budget, width = _CACHED if x.device.type == "cpu" else _ON_DEVICE, kernel.width(keep)
    size = max(1, min(len(x), max(16, min(budget // width, _LONGEST))))
    # terms that small change no sum, and exp of them would be a subnormal number, which processors are slow at
    least = math.log(torch.finfo(x.dtype).tiny) + 1
    room, points = x.new_empty(size * width), x.new_ones(1 + x.shape[1], size)
    for piece in chunks(len(x), size):
        n = piece.stop - piece.start
        if n < points.shape[1]:
            points = points[:, :n].contiguous()
        torch.sub(x[piece].mT, kernel.centre[:, None], out=points[1:])
        squares, kept = kernel.squares(points, room[: n * width], keep)
        logs = torch.add(kernel.log_constant, squares, alpha=-0.5, out=squares)
        largest = logs.amax(0)
        terms = logs.sub_(largest).clamp_min_(least).exp_()
        yield piece, terms, terms.sum(0), largest, kept


def log_density(kernel: Kernel, x: Tensor) -> Tensor:
    """log p at points (N, D), shape (N)."""
    value = x.new_empty(len(x))
    for piece, _, total, largest, _ in _pieces(kernel, x, keep=False):
        value[piece] = total.log_().add_(largest)
    return value


def log_density_and_score(kernel: Kernel, x: Tensor) -> tuple[Tensor, Tensor]:
    """log p and its gradient at points (N, D), shapes (N) and (N, D)."""
    value, score = x.new_empty(len(x)), torch.empty_like(x)
    for piece, terms, total, largest, kept in _pieces(kernel, x, keep=True):
        score[piece] = kernel.pull(kept, terms.div_(total)).mT
        value[piece] = total.log_().add_(largest)
    return value, score


def responsibilities(kernel: Kernel, x: Tensor) -> Tensor:
    """The probabilities of the components given points (N, D), shape (N, K)."""
    shares = x.new_empty(len(x), len(kernel.log_constant))
    for piece, terms, total, _, _ in _pieces(kernel, x, keep=False):
        terms.masked_fill_(terms < 3 * torch.finfo(x.dtype).tiny, 0.0)
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
