"""Discrete pairs: symbols through noisy channels, and tables with zeros."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.distributions import Discrete
from infotherm.information import mutual_information
from infotherm.testing.tasks.task import Draw, Task, choice, closed_form, plogp

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


SKEWED = _table([[0.30, 0.02, 0.00, 0.08], [0.05, 0.20, 0.05, 0.00], [0.01, 0.04, 0.15, 0.10]])


def family() -> list[Task]:
    """The discrete tasks of mutual information."""
    same = torch.eye(6, dtype=torch.float64)
    symmetric = ((2, 0.11), (4, 0.3), (10, 0.1))
    laws = {
        f"symmetric-channel-{size}-{error}": (
            symmetric_channel(size, error),
            symmetric_information(size, error),
            f"one of {size} symbols, another one in {100 * error:g} %",
        )
        for size, error in symmetric
    } | {
        "discrete-copy-5": (torch.eye(5, dtype=torch.float64) / 5, math.log(5), "y = x, five symbols"),
        "discrete-independent-3x4": (_table([[1 / 12] * 4] * 3), 0.0, "independent, uniform"),
        "erasure-channel-0.4": (_table([[0.3, 0.0, 0.2], [0.0, 0.3, 0.2]]), 0.6 * math.log(2), "a bit, erased in 40 %"),
        "typewriter-6": ((same + same.roll(1, 1)) / 12, math.log(3), "six symbols, half of them moved to the next"),
    }
    return [
        _of(name, table, _COVER, what, functools.partial(closed_form, value))
        for name, (table, value, what) in laws.items()
    ] + [
        _of(
            "discrete-table-3x4",
            SKEWED,
            "sum p log [p(x, y) / (p(x) p(y))]",
            "a skewed 3 x 4 table with two zeros",
            lambda: mutual_information(Discrete(SKEWED, parts=("x", "y")), "x", "y"),
        )
    ]


def _of(name: str, table: Tensor, source: str, what: str, find: Callable[[], Estimate]) -> Task:
    return Task(
        name=name,
        quantity="mutual_information",
        data="discrete",
        dims=(1, 1),
        description=f"labels: {what}",
        source=source,
        draw=table_draw(table),
        find=find,
    )
