"""Critics and their training: coordinates, the Gaussian start, objectives, blocks of scores and early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from infotherm.estimators.critic_bounds import off_diagonal
from infotherm.estimators.held_out import Features
from infotherm.networks import JointCritic, SeparableCritic

Pairs = tuple[Tensor, Tensor]
Progress = Callable[[int, int, str], None]

_CHECKS = 25  # how often the validation part is looked at
_SHIFTS = 8  # pairs drawn apart for each pair of a batch, for a joint critic
_LARGEST = 30.0  # scores whose exponential is taken without a logarithm
_AT_ONCE = 2**16  # pairs in memory
_PATIENCE = 6  # checks without improvement after which training ends


@dataclass(frozen=True)
class CanonicalCoordinates:
    """Coordinates u of x and v of y of a training part that are white and correlated in pairs (Hotelling 1936).

    `correlations` are those of the law, not of the sample: a sample canonical correlation squared, c, belongs to r with

        c r = (r (1 - a) + a) (r (1 - b) + b),   a = D_x / n,  b = D_y / n,

    and to zero when it is below the edge (sqrt(a (1 - b)) + sqrt(b (1 - a)))^2 that noise alone reaches
    (Bao, Hu, Pan and Zhou, Ann. Statist. 47, 612, 2019). Coordinates and correlations are rounded to single precision:
    samples in other units, or shifted, then train the same network bit by bit, though they were rounded elsewhere.
    """

    features: tuple[Features, Features]
    means: tuple[Tensor, Tensor]
    matrices: tuple[Tensor, Tensor]
    correlations: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> CanonicalCoordinates:
        """Fitted to the training part (n, D_x), (n, D_y)."""
        features = Features.of(x), Features.of(y)
        x, y = features[0](x), features[1](y)
        means = x.mean(0), y.mean(0)
        n = len(x)
        if 3 * (x.shape[1] + y.shape[1]) > n:  # too few samples for a covariance: each coordinate by itself
            scales = torch.diag(_inverse(x.std(0))), torch.diag(_inverse(y.std(0)))
            return cls(features, means, scales, x.new_zeros(min(x.shape[1], y.shape[1])))
        white = [_whitening(z - mean) for z, mean in zip((x, y), means, strict=True)]
        cross = ((x - means[0]) @ white[0]).mT @ ((y - means[1]) @ white[1]) / n
        left, sample, right = torch.linalg.svd(cross)
        a, b = white[0].shape[1] / n, white[1].shape[1] / n
        found = sample.square().clamp(max=1.0)
        edge = (math.sqrt(a * (1 - b)) + math.sqrt(b * (1 - a))) ** 2
        half = (found - a * (1 - b) - b * (1 - a)) / (2 * (1 - a) * (1 - b))
        squares = half + (half.square() - a * b / ((1 - a) * (1 - b))).clamp(min=0).sqrt()
        squares = torch.where(found > edge, squares, 0.0).clamp(max=1 - 0.5 / n**2)  # finer than n samples can tell
        correlations = (1 - (1 - squares).float().double()).sqrt()
        return cls(features, means, (white[0] @ left, white[1] @ right.mT), correlations)

    def standard(self, x: Tensor, y: Tensor) -> Tensor:
        """Standard coordinates of samples side by side (N, D_x + D_y), not rounded."""
        return torch.cat([feature.standard(z) for z, feature in zip((x, y), self.features, strict=True)], 1)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The coordinates of samples (N, D_x), (N, D_y)."""
        u, v = (
            ((feature(z) - mean) @ matrix).float().double()
            for z, feature, mean, matrix in zip((x, y), self.features, self.means, self.matrices, strict=True)
        )
        return u, v


def _inverse(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, 1 / scale, 0.0)


def _whitening(centred: Tensor) -> Tensor:
    """A matrix (D, rank) after which samples (n, D) have unit covariance; directions without spread are left out.

    Samples without any spread, of which the held-out ones may have some, become a single coordinate that is zero.
    """
    _, values, directions = torch.linalg.svd(centred, full_matrices=False)
    if values[0] == 0:
        return centred.new_zeros(centred.shape[1], 1)
    kept = values > 1e-7 * values[0]
    return directions[kept].mT * math.sqrt(len(centred)) / values[kept]


class GaussianStart(nn.Module):
    """A critic: `factor` times the log density ratio of Gaussians in canonical coordinates, plus a network.

    The ratio is log p(u, v) / (p(u) p(v)) of pairs (u_k, v_k) of unit variance and correlation rho_k,

        sum_k -log(1 - rho_k^2) / 2 + rho_k (u_k^2 + v_k^2) / (2 + 2 rho_k) - rho_k (u_k - v_k)^2 / (2 - 2 rho_k^2).

    With factor zero and a network that begins at zero the critic is constant, and its bound is I >= 0.
    """

    def __init__(self, network: JointCritic | SeparableCritic, correlations: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("correlations", correlations)
        self.factor = nn.Parameter(torch.ones((), dtype=torch.float64, device=correlations.device))

    def _rho(self) -> Tensor:
        assert isinstance(self.correlations, Tensor)
        return self.correlations

    def _ratio(self, u: Tensor, v: Tensor, apart: Tensor) -> Tensor:
        """The log ratio, given its last sum."""
        rho = self._rho()
        near = rho / (2 * (1 + rho))
        squares = u[..., : len(rho)].square() @ near, v[..., : len(rho)].square() @ near
        if apart.ndim == u.ndim:  # every u with every v
            squares = squares[0][:, None], squares[1]
        return -0.5 * torch.log1p(-rho.square()).sum() + squares[0] + squares[1] - apart

    def _scaled(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The coordinates of which the squared distances add up to the last sum."""
        rho = self._rho()
        weight = (rho / (2 * (1 - rho.square()))).sqrt()
        return u[..., : len(rho)] * weight, v[..., : len(rho)] * weight

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        """Scores (...) of pairs, float64."""
        left, right = self._scaled(u, v)
        dtype = next(self.network.parameters()).dtype
        ratio = self._ratio(u, v, (left - right).square().sum(-1))
        return self.factor * ratio + self.network(u.to(dtype), v.to(dtype))

    def pairwise(self, u: Tensor, v: Tensor) -> Tensor:
        """Scores (N, M) of every u with every v, float64."""
        apart = torch.cdist(*self._scaled(u, v), compute_mode="donot_use_mm_for_euclid_dist").square()
        dtype = next(self.network.parameters()).dtype
        return self.factor * self._ratio(u, v, apart) + self.network.pairwise(u.to(dtype), v.to(dtype))


def donsker_varadhan_loss(together: Tensor, apart: Tensor) -> Tensor:
    """Minus the Donsker-Varadhan bound of one batch: scores (B,) of pairs, (B, S) of pairs drawn apart."""
    return apart.flatten().logsumexp(0) - math.log(apart.numel()) - together.mean()


def nwj_loss(together: Tensor, apart: Tensor) -> Tensor:
    """Minus the Nguyen-Wainwright-Jordan bound of one batch."""
    return apart.clamp(max=_LARGEST).exp().mean() - 1 - together.mean()


def contrastive_loss(together: Tensor, apart: Tensor) -> Tensor:
    """Minus the InfoNCE bound of one batch."""
    candidates = torch.cat([together[:, None], apart], 1)
    return (candidates.logsumexp(1) - together).mean() - math.log(candidates.shape[1])


def moving_average_loss(decay: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss whose gradient is that of Belghazi et al. (ICML 2018, Eq. 12): the mean of exp f in the denominator of
    the Donsker-Varadhan gradient is a moving average over batches, which takes away most of the bias of one batch."""
    average: list[Tensor] = []

    def loss(together: Tensor, apart: Tensor) -> Tensor:
        log_mean = apart.flatten().logsumexp(0) - math.log(apart.numel())
        now = log_mean.detach()
        before = average.pop() if average else now
        average.append(torch.logaddexp(before + math.log(decay), now + math.log1p(-decay)))
        return (log_mean - average[0]).exp() - together.mean()

    return loss


def batch_scores(critic: GaussianStart, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of the pairs of a batch (B,) and of pairs drawn apart (B, S).

    All pairs of the batch for a separable critic, a few cyclic shifts of it for a joint one.
    """
    if isinstance(critic.network, SeparableCritic):
        scores = critic.pairwise(u, v)
        return scores.diagonal(), off_diagonal(scores)
    n = len(u)
    shifts = min(n - 1, _SHIFTS) + 1
    partner = (torch.arange(n, device=u.device) + torch.arange(shifts, device=u.device)[:, None]) % n
    scores = critic(u.expand(shifts, -1, -1), v[partner])
    return scores[0], scores[1:].mT


def score_blocks(critic: GaussianStart, pairs: Pairs, size: int) -> list[Tensor]:
    """Matrices of scores within blocks of about equally many, at most `size`, held-out pairs."""
    u, v = pairs
    count = -(-len(u) // size)
    return [
        torch.cat([critic.pairwise(few, b) for few in a.split(max(1, _AT_ONCE // len(b)))])
        for a, b in zip(u.tensor_split(count), v.tensor_split(count), strict=True)
    ]


def clipped_score_blocks(critic: GaussianStart, pairs: Pairs, size: int, others: Tensor) -> list[Tensor]:
    """Blocks of scores relative to the log of the mean exp score of their x with the y of `others`, cut off below at
    -log K and above at 2 log K.

    A critic still while `others` are not among the pairs it is judged on, and no pair moves the mean by more than
    4 log K / m. The cut above costs less than 1 / K.
    """
    scores, others, cut = score_blocks(critic, pairs, size), others[:size], math.log(size)
    means = torch.cat([critic.pairwise(few, others).logsumexp(1) for few in pairs[0].split(size)])
    means = (means - math.log(len(others))).split([len(s) for s in scores])
    return [(s - mean[:, None]).clamp(-cut, 2 * cut) for s, mean in zip(scores, means, strict=True)]


def train_critic(
    critic: GaussianStart,
    train: tuple[Tensor, Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
    judge: Callable[[], float],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
    progress: Progress | None = None,
) -> tuple[float, int]:
    """Descends `loss` in place and leaves the critic that `judge` (on a validation part) rates highest.

    Among the candidates are the constant critic, rated zero, and the Gaussian start without the network.

    Returns
    -------
    tuple
        The rating of the best candidate, and the step it is from: -1 for the constant critic.
    """
    u, v = train
    n, size = len(u), min(batch_size, len(u))
    constant = deepcopy(critic.state_dict()) | {"factor": torch.zeros_like(critic.factor.data)}
    best, best_step, kept = 0.0, -1, constant
    rating = judge()
    if rating > best:
        best, best_step, kept = rating, 0, deepcopy(critic.state_dict())
    else:
        critic.load_state_dict(constant)
    optimiser = torch.optim.Adam(critic.parameters(), lr=learning_rate)
    every = max(1, steps // _CHECKS)
    order = torch.randperm(n, generator=generator)
    start = waited = 0
    for step in range(1, steps + 1):
        if start + size > n:
            order, start = torch.randperm(n, generator=generator), 0
        rows = order[start : start + size].to(u.device)
        start += size
        optimiser.zero_grad()
        loss(*batch_scores(critic, u[rows], v[rows])).backward()
        nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
        for group in optimiser.param_groups:  # down to zero along a cosine: the last checks compare quiet critics
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
        optimiser.step()
        if step % every == 0 or step == steps:
            rating = judge()
            waited += 1
            if rating > best:
                best, best_step, kept, waited = rating, step, deepcopy(critic.state_dict()), 0
            if progress is not None:
                progress(step, steps, f"validation {rating:.4g} nat")
            if waited >= _PATIENCE:
                break
    critic.load_state_dict(kept)
    return best, best_step
