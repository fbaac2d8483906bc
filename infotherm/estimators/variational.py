"""Lower bounds of mutual information by trained critics: Donsker-Varadhan, MINE, NWJ and InfoNCE."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import Generator
from infotherm.estimators.base import paired_samples, require_varying, stream_of_samples
from infotherm.estimators.critic_bounds import contrastive_bound, log_mean_exp, off_diagonal, pooled, tangent_bound
from infotherm.estimators.critic_training import (
    CanonicalCoordinates,
    GaussianStart,
    Pairs,
    Progress,
    clipped_score_blocks,
    contrastive_loss,
    donsker_varadhan_loss,
    moving_average_loss,
    nwj_loss,
    score_blocks,
    train_critic,
)
from infotherm.estimators.held_out import (
    copied_rows,
    near_copies,
    part_sizes,
    private_generator,
    require_training_settings,
    split_rows,
)
from infotherm.estimators.tags import Tags
from infotherm.networks import JointCritic, SeparableCritic, parameter_count

_LEAST = 20  # samples to split at all
_FEW = 100  # samples below which the normal law of the held-out mean is not to be relied on
_PAIRS = 2**21  # pairs drawn apart that are evaluated, at least 256 for every held-out pair
_SATURATED = 0.05  # share of held-out pairs cut off above
_NEAR = 0.8  # of the ceiling of InfoNCE
_BATCH = 256  # of InfoNCE, at most, unless it is given

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class _TrainedCritic:
    """What the four bounds share; see `DonskerVaradhan` for the settings."""

    critic: str = "separable"
    width: int = 64
    depth: int = 2
    steps: int = 400
    batch_size: int = 256
    learning_rate: float = 5e-3
    held_out: float = 0.3
    validation: float = 0.2

    def __post_init__(self) -> None:
        if self.critic not in ("joint", "separable"):
            raise ValueError(f"critic must be 'joint' or 'separable'; got {self.critic!r}")
        require_training_settings(self)

    @property
    def tags(self) -> Tags:
        """What the conformance suite may ask of it."""
        return Tags(
            quantities=("mutual_information",),
            data=("continuous", "discrete", "mixed"),
            kind="lower",
            consistent_for="none",
            invariances=frozenset({"shift", "common-scale", "coordinate-scale"}),
            symmetric=False,
            stochastic=True,
            trains=True,
            least_samples=_FEW,
            ceiling=self._ceiling,
        )

    def _sizes(self, n: int) -> list[int]:
        """Samples to train on, to choose by, and to judge by."""
        return part_sizes(n, self.held_out, self.validation)

    def _ceiling(self, n: int) -> float:
        return 1 + math.log(self._sizes(n)[2])

    def _batch(self, sizes: list[int]) -> int:
        return self.batch_size

    def _loss(self) -> Loss:
        raise NotImplementedError

    def estimate(self, x: Any, y: Any, *, generator: Generator = None, progress: Progress | None = None) -> Estimate:
        """The lower bound of I(x; y) from samples of shape (N, D_x) and (N, D_y) whose rows are independent.

        Parameters
        ----------
        generator
            None, a seed or a torch generator: which rows are held out, the initial network and the batches.
        progress
            Called as progress(step, steps, text) during training.

        Raises
        ------
        ValueError
            For fewer than 20 samples, constant coordinates, NaN, or a batch that the held-out part does not fill.
        """
        x, y = paired_samples(x=x, y=y, least=_LEAST)
        require_varying(x, "x")
        require_varying(y, "y")
        rng = private_generator(generator, x.device)
        sizes = self._sizes(len(x))
        parts = split_rows(torch.cat([x, y], 1), sizes, rng)
        coordinates = CanonicalCoordinates.of(x[parts[0]], y[parts[0]])
        train, validation, fresh = (coordinates(x[rows], y[rows]) for rows in parts)
        critic = self._critic(train, coordinates.correlations, rng)
        best, step = train_critic(
            critic,
            train,
            self._loss(),
            lambda: self._rating(critic, validation, len(fresh[0])),
            steps=self.steps,
            batch_size=self._batch(sizes),
            learning_rate=self.learning_rate,
            generator=rng,
            progress=progress,
        )
        with torch.no_grad():
            value, stderr, info = self._judged(critic.double(), validation, fresh)
        info |= {
            "n": len(fresh[0]),
            "trained_on": len(train[0]),
            "chosen_by": len(validation[0]),
            "validation_value": best,
            "step": step,
            "parameters": parameter_count(critic),
        }
        kind, told = "lower", info.pop("saturation", None)
        copied = copied_rows(x, y) or near_copies(*(coordinates.standard(x[rows], y[rows]) for rows in parts[::2]))
        if copied:
            kind, told = "unknown", f"{copied}: the held-out part is not independent of the training part"
        elif len(x) < _FEW:
            kind, told = "unknown", f"{len(x)} samples are too few for a standard error; at least {_FEW} are needed"
        if told:
            info["warning"] = told
            warnings.warn(f"{type(self).__name__}: {told}; the result is of kind {kind!r}", stacklevel=2)
        return Estimate(
            value,
            stderr=stderr,
            error=rounding_error([value, value.new_tensor(info["ceiling"])]) + 1e-12,
            kind=kind,
            method="variational",
            streams=(stream_of_samples(x, y),),
            info=info,
        )

    def _critic(self, train: Pairs, correlations: Tensor, generator: torch.Generator) -> GaussianStart:
        sort = JointCritic if self.critic == "joint" else SeparableCritic
        u, v = train
        network = sort(u.shape[1], v.shape[1], width=self.width, depth=self.depth, generator=generator, device=u.device)
        return GaussianStart(network, correlations)

    def _rating(self, critic: GaussianStart, validation: Pairs, size: int) -> float:
        with torch.no_grad():
            scores = score_blocks(critic, validation, 256 if self.critic == "joint" else 1024)
            offset = log_mean_exp(torch.cat([off_diagonal(s).flatten() for s in scores]))
            return pooled([tangent_bound(s, offset, math.log(size)) for s in scores])[0].item()

    def _judged(self, critic: GaussianStart, validation: Pairs, fresh: Pairs) -> tuple[Tensor, Tensor, dict[str, Any]]:
        m = len(fresh[0])
        cut, block = math.log(m), max(256, _PAIRS // m)
        chosen, scores = score_blocks(critic, validation, block), score_blocks(critic, fresh, block)
        offset = log_mean_exp(torch.cat([off_diagonal(s).flatten() for s in chosen]))
        together = torch.cat([s.diagonal() for s in scores])
        # the least likely pair in the critic's eyes that the held-out part can be put together to
        least = torch.stack([s.min() for s in scores]).min()
        unseen = (least - offset).clamp(-cut, cut) - (together - offset).clamp(-cut, cut).mean()
        value, stderr = pooled(
            [tangent_bound(s, offset, cut) for s in scores], [tangent_bound(s, offset, cut) for s in chosen], unseen
        )
        clipped = (together - offset > cut).double().mean().item()
        info = {
            "ceiling": 1 + cut,
            "clipped": clipped,
            "plain": self._plain(together, torch.cat([off_diagonal(s).flatten() for s in scores])),
        }
        if clipped > _SATURATED:
            info["saturation"] = (
                f"the bound is saturated: {clipped:.0%} of the held-out pairs are cut off at log {m} = "
                f"{cut:.3g} nat, and the information may be much larger"
            )
        return value, stderr, info

    def _plain(self, together: Tensor, apart: Tensor) -> float:
        return (together.mean() - log_mean_exp(apart)).item()


@dataclass(frozen=True, kw_only=True)
class DonskerVaradhan(_TrainedCritic):
    """Lower bound of mutual information by the Donsker-Varadhan representation, from paired samples, in nats.

        I(x; y) >= E f(x, y) - log E exp f(x, y'),   y' drawn apart from x,

    for every critic f (Donsker and Varadhan, Commun. Pure Appl. Math. 36, 183, 1983). `estimate(x, y)` trains f on one
    part of the rows, chooses when to stop on a second and evaluates the bound on a third that it has not seen. Rows
    must be independent draws of (x, y); the law may be continuous, discrete or mixed, of any dimension.

    The held-out value is not the formula above: the logarithm of a sample mean is biased low, its error is not Gaussian
    when exp f is heavy-tailed, and so the plain value (in `info["plain"]`) exceeds the truth. Instead the logarithm is
    replaced by its tangent at a point a fixed on the second part, log z <= z / a + log a - 1, and g = f - log a is cut
    off at -+log M for M held-out pairs: a critic still, so the bound holds, and a U-statistic of bounded terms,
    unbiased and with an ordinary standard error (`critic_bounds.tangent_bound`). No bound that holds with confidence
    for every law exceeds O(log N) (McAllester and Stratos, AISTATS 2020); the ceiling of this one is 1 + log M.

    The critic begins as the log density ratio of Gaussians fitted to the training part, in canonical coordinates, where
    the second part finds that better than a constant, and the network learns the rest. Coordinates of at most 32 values
    are treated as labels. A value of exactly zero, with no error, means that no critic did better than a constant.

    Parameters
    ----------
    critic
        "separable", g(x) . h(y), which sees all pairs of a batch, or "joint", a network of both.
    width, depth
        Of the hidden layers.
    steps, batch_size, learning_rate
        Of the training (Adam, the rate falling along a cosine); it stops early.
    held_out, validation
        Shares of the rows that judge, and that choose when to stop.

    Returns
    -------
    Estimate
        Kind "lower", method "variational"; `info` holds `n` (the held-out pairs), `ceiling`, `clipped` (the share
        of them cut off above), `plain`, `step` (of the chosen critic: 0 the Gaussian, -1 the constant one) and
        `validation_value`. Kind "unknown", with a warning, when rows are repeated as if copied (the held-out part has
        then been seen in training) or are fewer than 100. A saturated bound warns and stays a lower bound.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> x, noise = torch.randn(2, 1000, 1, dtype=torch.float64, generator=generator)
    >>> bound = DonskerVaradhan(steps=50).estimate(x, x + noise, generator=0)   # the truth is log(2) / 2 = 0.3466
    >>> bound.kind, bool(bound.lower_limit(0.001) < 0.3466)
    ('lower', True)
    """

    def _loss(self) -> Loss:
        return donsker_varadhan_loss


@dataclass(frozen=True, kw_only=True)
class MINE(_TrainedCritic):
    """Lower bound of mutual information by the mutual information neural estimator, from paired samples, in nats.

    The Donsker-Varadhan bound, trained with the gradient corrected by a moving average (Belghazi et al., ICML 2018,
    Eq. 12): that of one batch is biased. Judged, and with the further settings, as in `DonskerVaradhan`.

    Parameters
    ----------
    decay
        Of the moving average, per batch.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> x, noise = torch.randn(2, 1000, 1, dtype=torch.float64, generator=generator)
    >>> MINE(steps=50).estimate(x, x + noise, generator=0).kind
    'lower'
    """

    decay: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.decay < 1:
            raise ValueError(f"decay must lie in (0, 1); got {self.decay}")

    def _loss(self) -> Loss:
        return moving_average_loss(self.decay)


@dataclass(frozen=True, kw_only=True)
class NWJ(_TrainedCritic):
    """Lower bound of mutual information by Nguyen, Wainwright and Jordan, from paired samples, in nats.

        I(x; y) >= E f(x, y) - E exp f(x, y') + 1,   y' drawn apart from x,

    also known as the f-GAN bound of the Kullback-Leibler divergence and as MINE-f (IEEE Trans. Inf. Theory 56, 5847,
    2010; often printed with f + 1 in place of f). Judged, and with the settings, as in `DonskerVaradhan`: a constant
    fixed on the second part is taken from f, which can only help; `info["plain"]` is the held-out value without it.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> x, noise = torch.randn(2, 1000, 1, dtype=torch.float64, generator=generator)
    >>> NWJ(steps=50).estimate(x, x + noise, generator=0).kind
    'lower'
    """

    def _loss(self) -> Loss:
        return nwj_loss

    def _plain(self, together: Tensor, apart: Tensor) -> float:
        return (together.mean() - apart.exp().mean() + 1).item()


@dataclass(frozen=True, kw_only=True)
class InfoNCE(_TrainedCritic):
    """Lower bound of mutual information by telling a pair from K - 1 pairs drawn apart, from paired samples, in nats.

        I(x; y) >= E (1/K) sum_i log[ exp f(x_i, y_i) / ((1/K) sum_j exp f(x_i, y_j)) ]   over batches of K pairs

    (van den Oord, Li and Vinyals, arXiv:1807.03748, 2018). It cannot exceed log K, which `info["ceiling"]` states; an
    estimate within 20 % of it is saturated and says so by a warning: it is a lower bound still, but the information may
    be much larger. The held-out pairs are cut into disjoint batches, each evaluated once; pairs that fill no batch are
    trained on. Settings are those of `DonskerVaradhan`, and

    Parameters
    ----------
    batch_size
        K, in training and on the held-out pairs; None takes 256, or all the held-out pairs where they are fewer.

    Raises
    ------
    ValueError
        From `estimate`, when there are fewer than `batch_size` held-out pairs.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> x, noise = torch.randn(2, 1000, 1, dtype=torch.float64, generator=generator)
    >>> bound = InfoNCE(steps=50, batch_size=50).estimate(x, x + noise, generator=0)
    >>> bound.kind, bound.info["ceiling"]   # log(50)
    ('lower', 3.912)
    """

    batch_size: int | None = None  # type: ignore[assignment]

    def _sizes(self, n: int) -> list[int]:
        _, validation, held_out = super()._sizes(n)
        size = self._batch([0, 0, held_out])
        if size > held_out:
            raise ValueError(
                f"batch_size must not exceed the held-out pairs, {held_out} of {n} samples; got {self.batch_size}"
            )
        held_out -= held_out % size
        return [n - held_out - validation, validation, held_out]

    def _batch(self, sizes: list[int]) -> int:
        return self.batch_size or min(_BATCH, sizes[2])

    def _ceiling(self, n: int) -> float:
        return math.log(self._batch(self._sizes(n)))

    def _loss(self) -> Loss:
        return contrastive_loss

    def _rating(self, critic: GaussianStart, validation: Pairs, size: int) -> float:
        with torch.no_grad():
            scores = clipped_score_blocks(critic, validation, self._batch([0, 0, size]), validation[1])
            return pooled([contrastive_bound(s) for s in scores])[0].item()

    def _judged(self, critic: GaussianStart, validation: Pairs, fresh: Pairs) -> tuple[Tensor, Tensor, dict[str, Any]]:
        size = self._batch([0, 0, len(fresh[0])])
        chosen, scores = (clipped_score_blocks(critic, pairs, size, validation[1]) for pairs in (validation, fresh))
        least = torch.stack([(s - s.logsumexp(1, keepdim=True)).min() + math.log(len(s)) for s in scores]).min()
        parts = [contrastive_bound(s) for s in scores]
        unseen = least - torch.stack([value for value, _ in parts]).mean()
        value, stderr = pooled(parts, [contrastive_bound(s) for s in chosen], unseen)
        info: dict[str, Any] = {"ceiling": math.log(size), "batch_size": size}
        if value > _NEAR * math.log(size):
            info["saturation"] = (
                f"the bound is saturated: {value.item():.3g} nat is close to the ceiling log {size} = "
                f"{math.log(size):.3g}, and the information may be much larger"
            )
        return value, stderr, info
