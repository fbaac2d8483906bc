"""What trained estimators share: rows put aside for judging, repeated rows told, coordinates of one size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.quantiles import normal_quantile
from infotherm.core.tensors import Generator, as_generator

_HEAVY = 20.0  # in median absolute deviations: 13 standard deviations of a Gaussian, beyond any sample of it
_KNEE = 5.0
_LABELS = 32  # values of a coordinate that are told apart one by one
_PROBES, _NEIGHBOURS, _FEW_COPIES, _NEAR = 256, 8, 3, 1e-5  # of rows that look like copies with noise
_FEW_REPEATS = 8.0  # atoms of a discrete law repeat more often than rows that were copied


def require_training_settings(settings: Any) -> None:
    """Refuse sizes of a network and of its training that mean nothing, and shares that leave no rows to train on.

    Raises
    ------
    ValueError
        Naming the setting.
    """
    for name, least in (("width", 1), ("depth", 1), ("steps", 0), ("batch_size", 2)):
        given = getattr(settings, name)
        if given is not None and given < least:
            raise ValueError(f"{name} must be at least {least}; got {given}")
    held_out, validation = settings.held_out, settings.validation
    if not (held_out > 0 and validation > 0 and held_out + validation < 1):
        raise ValueError(
            "held_out and validation must be positive shares that leave some for training; "
            f"got {held_out} and {validation}"
        )


def part_sizes(n: int, held_out: float, validation: float) -> list[int]:
    """How many of n rows to train on, to choose by, and to judge by.

    >>> part_sizes(200, 0.3, 0.2)
    [100, 40, 60]
    """
    fresh, chosen = round(held_out * n), round(validation * n)
    return [n - fresh - chosen, chosen, fresh]


def private_generator(generator: Generator, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on the CPU seeded from `generator`: one number is drawn, whatever the device and the work."""
    given = as_generator(generator, generator.device if isinstance(generator, torch.Generator) else "cpu")
    where = "cpu" if given is None else given.device
    return torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=given, device=where)))


def split_rows(rows: Tensor, sizes: list[int], generator: torch.Generator) -> list[Tensor]:
    """Random disjoint sets of row numbers of the given sizes.

    The rows are put in lexicographic order first, so that the sets hold the same rows in whatever order these come.
    """
    order = np.lexsort(rows.detach().cpu().numpy().T[::-1])
    shuffled = torch.from_numpy(order)[torch.randperm(len(rows), generator=generator)].to(rows.device)
    return list(shuffled[: sum(sizes)].split(sizes))


def lower_error(terms: Tensor, n: int) -> Tensor:
    """The standard error of a mean of n independent terms, widened so that its lower 95 % limit holds for skewed ones.

    With skewness g the statistic t of the mean exceeds z with probability

        1 - Phi(z) - g (2 z^2 + 1) phi(z) / (6 sqrt(n))

    (Hall, Ann. Probab. 15, 920, 1987): for g < 0, as for a bound that few samples pull down, too often. The factor
    1 - g (2 z^2 + 1) / (6 z sqrt(n)) takes that back at z = 1.645; it is 1 for g >= 0.

    `terms` are deviations from their mean: those of the n samples, and better more of the same law. A part of the
    samples that lacks a rare low term has both a high mean and a small spread, which other terms do not share.

    Examples
    --------
    >>> lower_error(torch.tensor([-1.0, 1.0]), 2).item(), lower_error(torch.tensor([-3.0, 1.0, 1.0, 1.0]), 4).item()
    (0.7071, 1.1908)
    """
    z = normal_quantile(0.95)
    spread = terms.square().mean().sqrt()
    skewness = (terms / torch.where(spread > 0, spread, 1.0)).pow(3).mean().clamp(max=0)
    return spread / math.sqrt(n) * (1 - skewness * (2 * z**2 + 1) / (6 * z * math.sqrt(n)))


def _tied_pairs(rows: Tensor) -> tuple[float, float]:
    """How many pairs of rows are equal, and the mean number of copies of a row that is repeated."""
    counts = torch.unique(rows, dim=0, return_counts=True)[1].to(torch.float64)
    repeated = counts[counts > 1]
    return float((counts * (counts - 1) / 2).sum()), float(repeated.mean()) if len(repeated) else 1.0


def copied_rows(x: Tensor, y: Tensor | None = None) -> str | None:
    """Why rows look copied (duplicates, resampling) rather than drawn twice from a law with atoms; None if they do not.

    Rows that were copied repeat x and y together, a few times each. In a law with atoms either x is repeated with other
    values of y, or the same row comes many times. The two cannot always be told apart: a resampled set is a fair sample
    of the law with its points as atoms.

    Examples
    --------
    >>> x = torch.arange(6.0)[:, None]
    >>> copied_rows(x, x.square()) is None, copied_rows(x[[0, 1, 2, 2]], x[[0, 1, 2, 2]])
    (True, '2 of 4 rows are repeated together')
    """
    rows = x if y is None else torch.cat([x, y], 1)
    pairs, copies = _tied_pairs(rows)
    if pairs == 0 or copies >= _FEW_REPEATS:
        return None
    alone = pairs if y is None else min(_tied_pairs(x)[0], _tied_pairs(y)[0])
    if pairs < alone / 2:
        return None
    counts = torch.unique(rows, dim=0, return_counts=True)[1]
    return f"{int(counts[counts > 1].sum())} of {len(rows)} rows are repeated together"


def near_copies(train: Tensor, fresh: Tensor) -> str | None:
    """Why rows put aside look like copies of training rows with a little noise; None if they do not.

    The nearest training row of a copy is far nearer than the eighth, 1e5 times. In a law with a density that happens
    by chance to about one row in 1e4 where the rows lie on a line, less in more dimensions, and it takes three of 256.
    Distances are those of `Standard` coordinates; rows that are equal are for `copied_rows`.

    Examples
    --------
    >>> x = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None]
    >>> near_copies(x, x[:5] + 1e-9), near_copies(x, x[:5] + 1e-3) is None
    ('5 of 5 rows looked at are near copies of others', True)
    """
    if len(train) < _NEIGHBOURS:
        return None
    probes = fresh[:_PROBES]
    nearest = torch.full((len(probes), _NEIGHBOURS), torch.inf, dtype=train.dtype, device=train.device)
    for rows in train.split(2**14):
        found = torch.cdist(probes, rows, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = torch.cat([nearest, found], 1).topk(_NEIGHBOURS, 1, largest=False).values
    copies = int(((nearest[:, 0] > 0) & (nearest[:, 0] < _NEAR * nearest[:, -1])).sum())
    return f"{copies} of {len(probes)} rows looked at are near copies of others" if copies >= _FEW_COPIES else None


@dataclass(frozen=True)
class Standard:
    """Coordinates centred and scaled by the statistics of a training part; heavy tails are compressed.

    u = (x - median) / (median absolute deviation); where the training part has |u| > 20, u becomes
    5 arcsinh(u / 5), which is one to one. A coordinate that is constant in the training part becomes zero.
    """

    centre: Tensor
    scale: Tensor
    heavy: Tensor

    @classmethod
    def of(cls, train: Tensor) -> Standard:
        """Fitted to samples (N, D)."""
        centre = train.median(0).values
        deviation = (train - centre).abs()
        scale = deviation.median(0).values
        scale = torch.where(scale > 0, scale, deviation.mean(0))  # more than half of the samples are equal
        heavy = (deviation > _HEAVY * scale).any(0)
        return cls(centre, scale, heavy & (scale > 0))

    def __call__(self, x: Tensor) -> Tensor:
        """The standard coordinates of samples (N, D)."""
        u = torch.where(self.scale > 0, (x - self.centre) / self.scale, 0.0)
        return torch.where(self.heavy, _KNEE * torch.asinh(u / _KNEE), u)

    def log_slope(self, x: Tensor) -> Tensor:
        """log |det du/dx| of each sample (N,)."""
        u = (x - self.centre) / self.scale
        return torch.where(self.heavy, -0.5 * torch.log1p((u / _KNEE).square()), 0.0).sum(1) - self.scale.log().sum()


@dataclass(frozen=True)
class Features:
    """Standard coordinates, and for a coordinate of few values an indicator of each value but the least.

    The values of such a coordinate are labels: their order and distances need not mean anything.
    """

    standard: Standard
    labels: tuple[tuple[int, Tensor], ...]

    @classmethod
    def of(cls, train: Tensor) -> Features:
        """Fitted to samples (N, D)."""
        values = ((k, torch.unique(train[:, k])) for k in range(train.shape[1]))
        labels = tuple((k, found[1:]) for k, found in values if 2 < len(found) <= min(_LABELS, len(train) // 8))
        return cls(Standard.of(train), labels)

    def __call__(self, x: Tensor) -> Tensor:
        """The features of samples (N, D)."""
        found = self.standard(x)
        named = dict(self.labels)
        plain = [k for k in range(x.shape[1]) if k not in named]
        return torch.cat([found[:, plain], *((x[:, [k]] == values).to(x) for k, values in self.labels)], 1)
