"""Discrete pairs: symbols through noisy channels, and tables with zeros."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from infotherm.distributions import Discrete
from infotherm.information import mutual_information
from infotherm.testing.tasks.task import Draw, add, choice, closed_form, plogp

_COVER = "Cover and Thomas, Elements of Information Theory (2006), section 7.1"


def table_draw(table: Tensor) -> Draw:
    """Samples of the indices of a joint probability table, one column each."""

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        flat = choice(generator, n, table.flatten())
        return tuple(index.double()[:, None] for index in torch.unravel_index(flat, table.shape))

    return draw


def symmetric_channel(size: int, error: float) -> Tensor:
    """Joint table of a uniform symbol and what arrives: itself, or with probability `error` another, all alike."""
    table = torch.full((size, size), error / (size - 1), dtype=torch.float64).fill_diagonal_(1 - error)
    return table / size


def symmetric_information(size: int, error: float) -> float:
    """log K - H(error) - error log(K - 1), the capacity of the K-ary symmetric channel, in nats."""
    return math.log(size) + plogp(error) + plogp(1 - error) - error * math.log(size - 1)


def _table(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


_CLOSED = {
    "symmetric-channel-2-0.11": (symmetric_channel(2, 0.11), symmetric_information(2, 0.11), "binary, 11 % flips"),
    "symmetric-channel-4-0.3": (symmetric_channel(4, 0.3), symmetric_information(4, 0.3), "four symbols, 30 % errors"),
    "symmetric-channel-10-0.1": (symmetric_channel(10, 0.1), symmetric_information(10, 0.1), "ten symbols"),
    "discrete-copy-5": (torch.eye(5, dtype=torch.float64) / 5, math.log(5), "y = x, five symbols"),
    "discrete-independent-3x4": (_table([[1 / 12] * 4] * 3), 0.0, "independent, uniform"),
    "erasure-channel-0.4": (_table([[0.3, 0.0, 0.2], [0.0, 0.3, 0.2]]), 0.6 * math.log(2), "a bit, erased in 40 %"),
    "typewriter-6": (
        (torch.eye(6, dtype=torch.float64) + torch.eye(6, dtype=torch.float64).roll(1, 1)) / 12,
        math.log(3),
        "six symbols, half of them moved to the next one",
    ),
}

for _name, (_joint, _value, _what) in _CLOSED.items():
    add(
        _name,
        "mutual_information",
        "discrete",
        (1, 1),
        draw=table_draw(_joint),
        find=functools.partial(closed_form, _value),
        description=f"labels: {_what}",
        source=_COVER,
    )

SKEWED = _table([[0.30, 0.02, 0.00, 0.08], [0.05, 0.20, 0.05, 0.00], [0.01, 0.04, 0.15, 0.10]])

add(
    "discrete-table-3x4",
    "mutual_information",
    "discrete",
    (1, 1),
    draw=table_draw(SKEWED),
    find=lambda: mutual_information(Discrete(SKEWED, parts=("x", "y")), "x", "y"),
    description="labels of a skewed 3 x 4 table with two zeros",
    source="sum p log [p(x, y) / (p(x) p(y))]",
)
