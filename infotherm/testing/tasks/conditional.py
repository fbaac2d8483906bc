"""Conditional tasks: chains, common drivers, colliders, partial correlations, parities, labels that decide."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.distributions import Discrete
from infotherm.information import mutual_information
from infotherm.testing.tasks.discrete import SKEWED, symmetric_channel, table_draw
from infotherm.testing.tasks.gaussian import joint_draw
from infotherm.testing.tasks.task import Draw, Task, choice, closed_form, normal, plogp

_PARTIAL = "I(x; y | z) = -log(1 - r^2) / 2 per pair, r the partial correlation (Cover and Thomas 2006, eq. 8.47)"
_MARKOV = "x and y are independent given z"


def correlated_information(correlation: float, pairs: int = 1) -> float:
    """-log(1 - r^2) / 2 for each of the independent pairs, in nats."""
    return -pairs * math.log1p(-correlation * correlation) / 2


def structural(rows: list[list[float]]) -> Tensor:
    """Covariance A A^T of the vector A e with standard normal e."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    return matrix @ matrix.mT


def driven_draw(correlation: float, pairs: int, dz: int) -> Draw:
    """x and y are sums of the z and noises; the noises of x_i and y_i are correlated: r is the partial correlation."""

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        x, noise, z = normal(generator, n, pairs), normal(generator, n, pairs), normal(generator, n, dz)
        y = correlation * x + math.sqrt(1 - correlation**2) * noise
        total = z.sum(1, keepdim=True)
        return x + total, y - total, z

    return draw


def curved_draw(correlation: float) -> Draw:
    """x = z^2 + e, y = sin(2 z) + f: what z does to both is not linear; e and f have this correlation."""

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        x, noise, z = normal(generator, n, 1), normal(generator, n, 1), normal(generator, n, 1)
        y = correlation * x + math.sqrt(1 - correlation**2) * noise
        return z.square() + 0.5 * x, (2 * z).sin() + 0.5 * y, z

    return draw


def labelled_draw(correlations: tuple[float, ...]) -> Draw:
    """Normal pairs whose correlation is picked by the label z, all labels alike."""

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        z = choice(generator, n, torch.full((len(correlations),), 1 / len(correlations), dtype=torch.float64))
        rho = torch.tensor(correlations, dtype=torch.float64, device=generator.device)[z][:, None]
        x = normal(generator, n, 1)
        return x, rho * x + (1 - rho.square()).sqrt() * normal(generator, n, 1), z.double()[:, None]

    return draw


def parity_table(error: float) -> Tensor:
    """Joint table of two fair bits and their parity, flipped with probability `error`."""
    table = torch.empty(2, 2, 2, dtype=torch.float64)
    for x in range(2):
        for y in range(2):
            table[x, y] = torch.tensor([1 - error, error] if x == y else [error, 1 - error], dtype=torch.float64) / 4
    return table


def chain_table(error: float) -> Tensor:
    """Joint table of x, y, z with z a noisy copy of x and y a noisy copy of z, three symbols."""
    step = 3 * symmetric_channel(3, error)
    return torch.einsum("xz,zy->xyz", step, step) / 3


def family() -> list[Task]:
    """The tasks of conditional mutual information."""
    chain = structural([[1, 0, 0], [0.8, 0.5, 0.4], [0.8, 0.5, 0]])  # x, y = z + .4 e, z = .8 x + .5 e
    driver = structural([[1, 0.6, 0], [1, 0, 0.6], [1, 0, 0]])
    collider = structural([[1, 0, 0], [0, 1, 0], [1, 1, 0.5]])
    tasks = [
        _gaussian("gaussian-chain", joint_draw(chain, 1, 1, 1), 0.0, "x -> z -> y", _MARKOV),
        _gaussian("gaussian-common-driver", joint_draw(driver, 1, 1, 1), 0.0, "z drives x and y", _MARKOV),
        _gaussian(
            "gaussian-collider",
            joint_draw(collider, 1, 1, 1),
            correlated_information(0.8),
            "x and y are independent, z = x + y + noise of deviation 0.5",
            "partial correlation -1 / (1 + 0.25)",
        ),
    ]
    for correlation, pairs, dz in ((0.8, 1, 1), (0.5, 1, 3), (0.7, 2, 2), (0.0, 2, 2), (0.6, 3, 1)):
        tasks.append(
            _gaussian(
                f"gaussian-partial-{pairs}x{pairs}x{dz}-{correlation}",
                driven_draw(correlation, pairs, dz),
                correlated_information(correlation, pairs),
                f"z shifts x and y apart; {pairs} partial correlations of {correlation}",
                _PARTIAL,
                dims=(pairs, pairs, dz),
            )
        )
    for correlation in (0.0, 0.8):
        tasks.append(
            _of(
                f"curved-driver-{correlation}",
                "continuous",
                curved_draw(correlation),
                lambda r=correlation: closed_form(correlated_information(r)),
                f"x = z^2 + noise, y = sin(2 z) + noise, the noises of correlation {correlation}",
                "shifts by functions of z keep the information given z",
            )
        )
    tasks.append(
        _of(
            "label-decides-sign",
            "mixed",
            labelled_draw((0.9, -0.9)),
            lambda: closed_form(correlated_information(0.9)),
            "normal pairs of correlation 0.9 or -0.9, z says which",
            _PARTIAL,
        )
    )
    tasks.append(
        _of(
            "label-decides-strength",
            "mixed",
            labelled_draw((0.0, 0.5, 0.95)),
            lambda: closed_form(sum(map(correlated_information, (0.0, 0.5, 0.95))) / 3),
            "normal pairs of correlation 0, 0.5 or 0.95, z says which",
            _PARTIAL,
        )
    )
    for error in (0.0, 0.1):
        tasks.append(
            _table(
                f"parity-{error}",
                parity_table(error),
                lambda p=error: closed_form(math.log(2) + plogp(p) + plogp(1 - p)),
                f"two fair bits, z their parity, flipped in {100 * error:g} %; I(x; y) = 0",
                "log 2 - H(error): z turns y into a noisy copy of x",
            )
        )
    tasks.append(
        _table("discrete-chain", chain_table(0.2), lambda: closed_form(0.0), "x -> z -> y, three symbols", _MARKOV)
    )
    tasks.append(
        _table(
            "discrete-chain-ends",
            chain_table(0.2).permute(0, 2, 1),
            lambda: _given(chain_table(0.2).permute(0, 2, 1)),
            "x -> y -> z, three symbols",
            "I(x; y) - I(x; z) for a chain (Cover and Thomas 2006, eq. 2.119)",
        )
    )
    tasks.append(
        _table(
            "discrete-idle-condition",
            SKEWED[:, :, None] * torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
            lambda: mutual_information(Discrete(SKEWED, parts=("x", "y")), "x", "y"),
            "a skewed 3 x 4 table, z independent of it",
            "I(x; y | z) = I(x; y) when z is independent of both",
        )
    )
    return tasks


def _given(table: Tensor) -> Estimate:
    return mutual_information(Discrete(table, parts=("x", "y", "z")), "x", "y", given="z")


def _gaussian(name: str, draw: Draw, value: float, what: str, source: str, dims: tuple[int, ...] = (1, 1, 1)) -> Task:
    return _of(name, "continuous", draw, lambda: closed_form(value), what, source, dims=dims, gaussian=True)


def _table(name: str, table: Tensor, find: Callable[[], Estimate], what: str, source: str) -> Task:
    return _of(name, "discrete", table_draw(table), find, what, source)


def _of(
    name: str,
    data: str,
    draw: Draw,
    find: Callable[[], Estimate],
    what: str,
    source: str,
    *,
    dims: tuple[int, ...] = (1, 1, 1),
    gaussian: bool = False,
) -> Task:
    return Task(
        name=f"conditional-{name}",
        quantity="conditional_mutual_information",
        data=data,
        gaussian=gaussian,
        dims=dims,
        description=what,
        source=source,
        draw=draw,
        find=find,
    )
