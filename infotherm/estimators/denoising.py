"""Entropy, and mutual information, from denoisers trained on samples: the information in the error of recovery."""

from __future__ import annotations

import math
import warnings
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import Generator
from infotherm.estimators.base import paired_samples, require_independent, require_varying, stream_of_samples
from infotherm.estimators.critic_training import Progress
from infotherm.estimators.held_out import (
    Features,
    Standard,
    copied_rows,
    lower_error,
    near_copies,
    part_sizes,
    private_generator,
    require_training_settings,
    split_rows,
)
from infotherm.estimators.tags import Tags
from infotherm.networks import Denoiser, parameter_count

_LEAST = 20
_FEW = 100
_CHECKS = 25
_PATIENCE = 12
_LEVELS = 32  # of noise for each held-out sample
_REPEATS = 0.05  # share of repeated values that rounding to float32 stays well below
_HEAVY = 0.1  # share of the sum of squares that one held-out sample may hold

Rows = tuple[Tensor, Tensor | None]


@dataclass(frozen=True, kw_only=True)
class DenoisingInformation:
    """Entropy or mutual information from a denoiser trained on the samples, by the I-MMSE relation, in nats.

    `estimate(x)` is an upper bound of the differential entropy h(x), `estimate(x, y)` of the mutual information
    I(x; y) = h(x) - h(x | y) as a difference of two such bounds.

    With z = sqrt(s) x + n, n standard normal, and mmse(s) the least mean-square error of recovering x from z,

        h(x) = (D / 2) log(2 pi e) - (1/2) int_0^inf [D / (1 + s) - mmse(s)] ds

    (Guo, Shamai and Verdu, IEEE Trans. Inf. Theory 51, 1261, 2005; in this form Kong, Brekelmans and Ver Steeg, ICLR
    2023, Eq. 6). The error of any denoiser on fresh samples is at least mmse(s), and above the largest ratio S the
    linear bound mmse(s) <= D / s adds (D / 2) log(1 + 1 / S): what is computed is an upper bound of h(x), by the
    excess error of the denoiser and by the smoothing h(x + n / sqrt(S)) - h(x). With t = (x - sqrt(s) n) / sqrt(1 + s)
    and a denoiser that predicts t as v(z / sqrt(1 + s), s), it reads for whitened x

        h(x) <= (D / 2) log(2 pi e) + (1/2) int E[|t - v|^2 - D] d log(1 + s) + (D / 2) log(1 + 1 / S) - log |det W|,

    whose integrand is free of weights: levels are drawn uniformly in log(1 + s), in training and on the held-out part.
    v = 0 is the optimum for Gaussian data, and where the network begins.

    For a mutual information x is replaced, in the second bound, by the residual of its regression on y, and the
    denoiser is told y. The difference of two upper bounds is neither an upper nor a lower bound: it is of kind
    "unknown". When h(x) is known, pass it as `entropy`: then h(x) minus the bound of h(x | y) is a lower bound.

    Rows must be independent draws. Coordinates of x whose training part has heavy tails are compressed one to one, and
    the entropy corrected by the mean logarithm of the slope.

    Parameters
    ----------
    width, depth
        Of the hidden layers.
    steps, batch_size, learning_rate
        Of the training (Adam, the rate falling along a cosine); it stops early.
    largest_snr
        S, with x of unit variance.
    held_out, validation
        Shares of the rows that judge, and that choose when to stop.

    Examples
    --------
    >>> x = torch.randn(1000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> bound = DenoisingInformation(steps=50).estimate(x, generator=0)   # the truth is log(2 pi e) / 2 = 1.4189
    >>> bound.kind, bool(bound.upper_limit(0.001) > 1.4189)
    ('upper', True)
    """

    tags: ClassVar[Tags] = Tags(
        quantities=("entropy", "mutual_information"),
        kind="upper",
        consistent_for="none",
        invariances=frozenset({"shift", "common-scale", "coordinate-scale"}),
        symmetric=False,
        stochastic=True,
        trains=True,
        least_samples=_FEW,
    )

    width: int = 64
    depth: int = 3
    steps: int = 600
    batch_size: int = 256
    learning_rate: float = 1e-2
    largest_snr: float = 1e4
    held_out: float = 0.3
    validation: float = 0.2

    def __post_init__(self) -> None:
        require_training_settings(self)
        if not 0 < self.largest_snr < math.inf:
            raise ValueError(f"largest_snr must be positive and finite; got {self.largest_snr}")

    def estimate(
        self,
        x: Any,
        y: Any = None,
        *,
        entropy: Estimate | None = None,
        generator: Generator = None,
        progress: Progress | None = None,
    ) -> Estimate:
        """The estimate from samples of shape (N, D), or from paired samples.

        Parameters
        ----------
        entropy
            h(x) where it is known, in nats: the mutual information is then a lower bound.
        generator
            None, a seed or a torch generator: which rows are held out, the initial network, batches and noise.
        progress
            Called as progress(step, steps, text) during training.

        Returns
        -------
        Estimate
            Method "variational". An entropy is of kind "upper"; `info` holds `n` (held-out samples), `gaussian` (the
            same bound of the Gaussian with the training part's moments) and `smoothing` (the share of `largest_snr`
            in the bound). A mutual information is of kind "lower" when `entropy` is given, else "unknown"; its `info`
            holds the Estimates `entropy` and `conditional_entropy`. Kind "unknown" also, with a warning, for repeated
            samples (they have no density, or were copied), fewer than 100, and tails too heavy for a standard error.

        Raises
        ------
        ValueError
            For fewer than 20 samples, constant or linearly dependent coordinates of x, NaN.
        """
        if y is None and entropy is not None:
            raise ValueError("entropy is the known h(x) for a mutual information: it needs y")
        matrices = paired_samples(x=x, y=y, least=_LEAST)
        require_varying(matrices[0], "x")
        require_independent(matrices[0], "x")
        rng = private_generator(generator, matrices[0].device)
        if y is None:
            return self._entropy(matrices[0], None, rng, progress)
        require_varying(matrices[1], "y")
        conditional = self._entropy(matrices[0], matrices[1], rng, progress)
        known = entropy if entropy is not None else self._entropy(matrices[0], None, rng, progress)
        difference = known - conditional
        kind = difference.kind if entropy is not None else "unknown"
        info = {"n": conditional.info["n"], "entropy": known, "conditional_entropy": conditional}
        if entropy is None:
            info["warning"] = (
                "a difference of two upper bounds of entropies bounds nothing; pass entropy where h(x) is known"
            )
            warnings.warn(f"DenoisingInformation: {info['warning']}; the result is of kind 'unknown'", stacklevel=2)
        elif "warning" in conditional.info:
            info["warning"] = conditional.info["warning"]
        return Estimate(
            difference.value,
            stderr=difference.stderr,
            error=difference.error,
            kind=kind,
            method="variational",
            streams=difference.streams,
            info=info,
        )

    def _entropy(self, x: Tensor, y: Tensor | None, rng: torch.Generator, progress: Progress | None) -> Estimate:
        """The upper bound of h(x), or of h(x | y)."""
        rows = x if y is None else torch.cat([x, y], 1)
        train, chosen, fresh = split_rows(rows, part_sizes(len(x), self.held_out, self.validation), rng)
        white, log_slope, told = _white_coordinates(x, y, train)
        network = Denoiser(
            x.shape[1],
            condition=0 if told is None else told.shape[1],
            width=self.width,
            depth=self.depth,
            generator=rng,
            device=x.device,
        )
        step = self._train(network, _rows((white, told), train), _rows((white, told), chosen), rng, progress)
        network.double()
        span, dim = math.log1p(self.largest_snr), x.shape[1]
        smoothing = 0.5 * dim * math.log1p(1 / self.largest_snr)
        share = self.largest_snr / (1 + self.largest_snr)

        def bounds(part: Tensor) -> tuple[Tensor, Tensor]:
            """What each sample adds to the bound of the Gaussian, and to that of the network."""
            samples = _rows((white, told), part)
            with torch.no_grad():
                gain = torch.cat([_excess(network, *few, span, _LEVELS, rng) for few in _chunks(samples, 2**12)])
            squares = samples[0].square().sum(1)
            gaussian = 0.5 * dim * math.log(2 * math.pi * math.e) + 0.5 * share * (squares - dim) - log_slope[part]
            return gaussian + smoothing, gaussian + smoothing + 0.5 * span * gain

        (gaussian, terms), (_, others) = bounds(fresh), bounds(chosen)
        mean = terms.mean()
        # the validation part speaks of the spread only
        deviations = torch.cat([z - z.mean() for z in (terms, others)]) * math.sqrt(1 + 1 / (len(terms) - 1))
        squares = white[fresh].square().sum(1)
        beside = white if told is None else torch.cat([white, told], 1)
        copied = copied_rows(x, y) or near_copies(beside[train], beside[fresh])
        doubts = self._doubts(x, copied, squares)
        kind, info = (
            "upper",
            {
                "n": len(terms),
                "gaussian": gaussian.mean().item(),
                "smoothing": smoothing,
                "trained_on": len(train),
                "chosen_by": len(chosen),
                "step": step,
                "parameters": parameter_count(network),
            },
        )
        if doubts:
            kind, info["warning"] = "unknown", doubts
            warnings.warn(f"DenoisingInformation: {doubts}; the result is of kind 'unknown'", stacklevel=3)
        return Estimate(
            mean,
            stderr=lower_error(-deviations, len(terms)),
            streams=(stream_of_samples(*([x] if y is None else [x, y])),),
            error=rounding_error([mean, log_slope[fresh].abs().mean(), squares.mean()]),
            kind=kind,
            method="variational",
            info=info,
        )

    def _train(
        self, network: Denoiser, train: Rows, chosen: Rows, rng: torch.Generator, progress: Progress | None
    ) -> int:
        """Trains in place, leaves the best network on the validation part and returns its step."""
        # in single precision: samples in other units, or shifted, train the same network bit by bit
        train, chosen = ((white.float(), told) for white, told in (train, chosen))
        span = math.log1p(self.largest_snr)
        seed = int(torch.randint(2**62, (), generator=rng))

        def rating() -> float:
            with torch.no_grad():  # the same noise every time: networks are compared, not draws
                draw = torch.Generator().manual_seed(seed)
                return float(torch.cat([_excess(network, *c, span, 12, draw) for c in _chunks(chosen, 2**13)]).mean())

        best, best_step, kept, waited = 0.0, 0, deepcopy(network.state_dict()), 0
        optimiser = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        every = max(1, self.steps // _CHECKS)
        for step in range(1, self.steps + 1):
            batch = torch.randint(len(train[0]), (self.batch_size,), generator=rng).to(train[0].device)
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / self.steps))
            optimiser.zero_grad()
            _excess(network, *_rows(train, batch), span, 1, rng).mean().backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            if step % every == 0 or step == self.steps:
                now = rating()
                waited += 1
                if now < best:
                    best, best_step, kept, waited = now, step, deepcopy(network.state_dict()), 0
                if progress is not None:
                    progress(step, self.steps, f"validation {0.5 * span * now:.4g} nat")
                if waited >= _PATIENCE:
                    break
        network.load_state_dict(kept)
        return best_step

    def _doubts(self, x: Tensor, copied: str | None, squares: Tensor) -> str | None:
        """Why the bound is not to be trusted, if so."""
        if copied:
            return f"{copied}: the held-out part is not independent of the training part"
        for k in range(x.shape[1]):
            if len(torch.unique(x[:, k])) < (1 - _REPEATS) * len(x):
                return f"coordinate {k} of x has repeated values: there is no density"
        if len(x) < _FEW:
            return f"{len(x)} samples are too few for a standard error; at least {_FEW} are needed"
        if squares.max() > (_HEAVY + 8 / len(squares)) * squares.sum():
            return "one held-out sample decides: the tails are too heavy for a standard error"
        return None


def _white_coordinates(x: Tensor, y: Tensor | None, train: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Coordinates of x (of its regression residual on y) that are white on the training part, with the logarithm of the
    slope of x -> coordinates for each sample, and the features of y of unit variance."""
    standard = Standard.of(x[train])
    white, log_slope, told = standard(x), standard.log_slope(x), None
    n, dim = len(train), x.shape[1]
    if n <= 2 * dim:
        raise ValueError(f"the training part must hold more than 2 D = {2 * dim} samples; got {n}")
    if y is not None:
        told = Features.of(y[train])(y)
        told = told - told[train].mean(0)
        spread = told[train].std(0)
        told = told / torch.where(spread > 0, spread, 1.0)
        if n > 3 * told.shape[1]:
            slopes = torch.linalg.lstsq(told[train].cpu(), white[train].cpu(), driver="gelsd").solution
            white = white - told @ slopes.to(white)
    white = white - white[train].mean(0)
    triangle = torch.linalg.qr(white[train] / math.sqrt(n), mode="r").R
    white = torch.linalg.solve_triangular(triangle, white, upper=True, left=False)
    return white, log_slope - triangle.diagonal().abs().log().sum(), told


def _excess(
    network: nn.Module, white: Tensor, told: Tensor | None, span: float, levels: int, rng: torch.Generator
) -> Tensor:
    """|t - v|^2 - |t|^2 for each sample, a mean over levels that divide [0, span] evenly.

    Each level sees a noise and its negative: where the ratio is high, v hardly changes and t changes sign, so that most
    of the random error of t . v falls out.
    """
    n, dim = white.shape
    dtype = next(network.parameters()).dtype
    place = (torch.arange(levels)[:, None] + torch.rand(levels, n, generator=rng)) / levels
    snr = torch.expm1(span * place.double()).to(white.device).repeat(2, 1)
    noise = torch.randn(levels, n, dim, generator=rng).to(white)
    noise = torch.cat([noise, -noise])
    signal, rest = (snr / (1 + snr)).sqrt()[..., None], (1 / (1 + snr)).sqrt()[..., None]
    mixed, target = signal * white + rest * noise, rest * white - signal * noise
    condition = None if told is None else told.to(dtype).expand(2 * levels, -1, -1)
    # what a Gaussian's best denoiser leaves vanishes at either end of the range for smooth densities
    envelope = (2 * signal * rest).sqrt().to(dtype)
    found = envelope * network(mixed.to(dtype), snr.clamp(min=1e-6).log().to(dtype), condition)
    return (found.square() - 2 * found * target.to(dtype)).sum(-1).mean(0)


def _rows(samples: Rows, rows: Tensor) -> Rows:
    white, told = samples
    return white[rows], None if told is None else told[rows]


def _chunks(samples: Rows, size: int) -> list[Rows]:
    white, told = samples
    return [
        (part, None if told is None else told[k * size : k * size + len(part)])
        for k, part in enumerate(white.split(size))
    ]
