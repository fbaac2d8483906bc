"""Small situations with exactly known numbers, on which statistical and bound laws are tried."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from infotherm.testing import tasks
from infotherm.testing.law import Skipped
from infotherm.testing.subject import Subject, as_array

Draw = Callable[..., tuple[np.ndarray, ...]]
_HALF_LOG = 0.5 * math.log(2 * math.pi * math.e)


@dataclass(frozen=True)
class Situation:
    """A law that can be sampled and whose number is known.

    Parameters
    ----------
    name
        For reports.
    data
        "continuous", "discrete" or "mixed".
    gaussian
        Whether all samples together are jointly normal.
    dims
        The number of coordinates of each array.
    truth, error
        The number in nats, and its own error.
    draw
        `draw(n, generator)` returns arrays (n, D) in the order of the quantity's arguments; n is a pair for "kl".
    """

    name: str
    data: str
    gaussian: bool
    dims: tuple[int, ...]
    truth: float
    draw: Draw
    error: float = 1e-12

    @property
    def columns(self) -> int:
        """Coordinates of all arguments together."""
        return sum(self.dims)


def normal(generator: torch.Generator, *shape: int) -> np.ndarray:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64).numpy()


def uniform(generator: torch.Generator, *shape: int) -> np.ndarray:
    """Uniform numbers in [0, 1)."""
    return torch.rand(*shape, generator=generator, dtype=torch.float64).numpy()


def symbols(generator: torch.Generator, n: int, probabilities: list[float]) -> np.ndarray:
    """Labels 0, 1, ... with these probabilities, of shape (n, 1)."""
    return np.searchsorted(np.cumsum(probabilities)[:-1], uniform(generator, n, 1), side="right").astype(float)


def flip(generator: torch.Generator, bits: np.ndarray, probability: float) -> np.ndarray:
    """Bits of which each is inverted with this probability."""
    return np.abs(bits - (uniform(generator, *bits.shape) < probability))


def from_task(name: str) -> Situation:
    """A named task as a situation."""
    task = tasks.get(name)

    def draw(n: int, generator: torch.Generator) -> tuple[np.ndarray, ...]:
        return tuple(as_array(array) for array in task.sample(n, generator=generator))

    return Situation(name, task.data, task.gaussian, task.dims, float(task.truth), draw, float(task.truth.error))


def correlated(information: float, dx: int = 1, dy: int = 1) -> Draw:
    """Standard normal x and y whose first coordinates share `information` nats; the rest is independent."""
    rho = math.sqrt(-math.expm1(-2 * information))

    def draw(n: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = normal(generator, n, dx), normal(generator, n, dy)
        y[:, 0] = rho * x[:, 0] + math.sqrt(1 - rho**2) * y[:, 0]
        return x, y

    return draw


def _conditional(common: float, direct: float) -> Draw:
    """x = common z + noise, y = common z + direct x + noise: I(x; y | z) = log(1 + direct^2) / 2."""

    def draw(n: int, generator: torch.Generator) -> tuple[np.ndarray, ...]:
        z = normal(generator, n, 1)
        x = common * z + normal(generator, n, 1)
        return x, common * z + direct * x + normal(generator, n, 1), z

    return draw


def _normals(shift: float, scale: float, dim: int) -> Draw:
    """Samples of N(0, 1) and of N(shift, scale^2), in each of `dim` coordinates."""

    def draw(n: int | tuple[int, int], generator: torch.Generator) -> tuple[np.ndarray, ...]:
        first, second = n if isinstance(n, tuple) else (n, n)
        return normal(generator, first, dim), shift + scale * normal(generator, second, dim)

    return draw


def _divergence(shift: float, scale: float) -> float:
    return math.log(scale) + (1 + shift**2) / (2 * scale**2) - 0.5


def _exponentials(n: int | tuple[int, int], generator: torch.Generator) -> tuple[np.ndarray, ...]:
    first, second = n if isinstance(n, tuple) else (n, n)
    return -np.log1p(-uniform(generator, first, 1)), -2 * np.log1p(-uniform(generator, second, 1))


def _tables(n: int | tuple[int, int], generator: torch.Generator) -> tuple[np.ndarray, ...]:
    first, second = n if isinstance(n, tuple) else (n, n)
    return symbols(generator, first, _P), symbols(generator, second, _Q)


def _exclusive_or(n: int, generator: torch.Generator) -> tuple[np.ndarray, ...]:
    x, z = symbols(generator, n, [0.5, 0.5]), symbols(generator, n, [0.5, 0.5])
    return x, flip(generator, np.abs(x - z), 0.1), z


_P, _Q = [0.5, 0.3, 0.2], [0.25, 0.25, 0.5]
_FLIPPED = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
_CORRELATED = np.linalg.cholesky(np.array([[1.0, 0.6], [0.6, 1.0]])).T

_OWN: dict[str, list[Situation]] = {
    "entropy": [
        Situation(
            "normal", "continuous", True, (1,), _HALF_LOG + math.log(2), lambda n, g: (2 * normal(g, n, 1),)
        ),
        Situation(
            "correlated normal pair", "continuous", True, (2,), 2 * _HALF_LOG + 0.5 * math.log(0.64),
            lambda n, g: (normal(g, n, 2) @ _CORRELATED,),
        ),
        Situation(
            "exponential", "continuous", False, (1,), 1.0, lambda n, g: (-np.log1p(-uniform(g, n, 1)),)
        ),
        Situation("uniform square", "continuous", False, (2,), 0.0, lambda n, g: (uniform(g, n, 2),)),
        Situation(
            "three symbols", "discrete", False, (1,), -sum(p * math.log(p) for p in _P),
            lambda n, g: (symbols(g, n, _P),),
        ),
    ],
    "conditional_mutual_information": [
        Situation(
            "common cause and direct link", "continuous", True, (1, 1, 1), 0.5 * math.log(2), _conditional(1.0, 1.0)
        ),
        Situation("direct link only", "continuous", True, (1, 1, 1), 0.5 * math.log(2), _conditional(0.0, 1.0)),
        Situation("exclusive or", "discrete", False, (1, 1, 1), _FLIPPED, _exclusive_or),
    ],
    "kl": [
        Situation("shifted normal", "continuous", True, (1, 1), _divergence(1.0, 1.0), _normals(1.0, 1.0, 1)),
        Situation("wider normal", "continuous", True, (1, 1), _divergence(0.5, 2.0), _normals(0.5, 2.0, 1)),
        Situation(
            "shifted normal in the plane", "continuous", True, (2, 2), 2 * _divergence(0.7, 1.0), _normals(0.7, 1.0, 2)
        ),
        Situation("exponentials", "continuous", False, (1, 1), math.log(2) - 0.5, _exponentials),
        Situation(
            "three symbols", "discrete", False, (1, 1),
            sum(p * math.log(p / q) for p, q in zip(_P, _Q, strict=True)), _tables,
        ),
    ],
}  # fmt: skip

_TASKS = (
    "gaussian-1x1-0.5", "gaussian-2x2-1.0", "gaussian-1x3-0.5", "uniform-noise-0.5", "normal-cdf-gaussian-1x1",
    "symmetric-channel-4-0.3", "discrete-table-3x4", "bpsk-awgn-1", "shifted-uniform-5",
)  # fmt: skip

_INDEPENDENT: dict[str, list[Situation]] = {
    "mutual_information": [
        Situation(
            "independent normals", "continuous", True, (1, 1), 0.0, lambda n, g: (normal(g, n, 1), normal(g, n, 1))
        ),
        Situation(
            "independent, exponential and uniform", "continuous", False, (1, 1), 0.0,
            lambda n, g: (-np.log1p(-uniform(g, n, 1)), uniform(g, n, 1)),
        ),
        Situation(
            "independent symbols", "discrete", False, (1, 1), 0.0,
            lambda n, g: (symbols(g, n, _P), symbols(g, n, [0.4, 0.6])),
        ),
        Situation(
            "symbols beside independent normals", "mixed", False, (1, 1), 0.0,
            lambda n, g: (symbols(g, n, _P), normal(g, n, 1)),
        ),
    ],
    "conditional_mutual_information": [
        Situation("common cause", "continuous", True, (1, 1, 1), 0.0, _conditional(1.0, 0.0)),
        Situation(
            "noisy copies of a bit", "discrete", False, (1, 1, 1), 0.0,
            lambda n, g: (lambda z: (flip(g, z, 0.2), flip(g, z, 0.2), z))(symbols(g, n, [0.5, 0.5])),
        ),
    ],
}  # fmt: skip

_DEPENDENT: dict[str, list[Situation]] = {
    "mutual_information": [
        Situation("strongly correlated normals", "continuous", True, (1, 1), 1.0, correlated(1.0)),
        Situation(
            "a bit and its noisy copy", "discrete", False, (1, 1), _FLIPPED,
            lambda n, g: (lambda x: (x, flip(g, x, 0.1)))(symbols(g, n, [0.5, 0.5])),
        ),
        Situation(
            "a bit sent by uniform noise", "mixed", False, (1, 1), 0.8 * math.log(2),
            lambda n, g: (lambda x: (x, x + 1.25 * uniform(g, n, 1)))(symbols(g, n, [0.5, 0.5])),
        ),
    ],
    "conditional_mutual_information": [
        Situation("direct link", "continuous", True, (1, 1, 1), 0.5 * math.log(5), _conditional(0.5, 2.0)),
        Situation("exclusive or", "discrete", False, (1, 1, 1), _FLIPPED, _exclusive_or),
    ],
}  # fmt: skip


def references(subject: Subject) -> list[Situation]:
    """Situations with a positive number that fit an estimator.

    Raises
    ------
    Skipped
        When none does.
    """
    own = _OWN.get(subject.quantity)
    return fitting(subject, [from_task(name) for name in _TASKS] if own is None else own)


def independent(subject: Subject) -> list[Situation]:
    """Situations in which nothing is shared (given z) that fit an estimator.

    Raises
    ------
    Skipped
        When none does.
    """
    return fitting(subject, _INDEPENDENT[subject.quantity])


def dependent(subject: Subject) -> list[Situation]:
    """Situations of strong dependence that fit an estimator.

    Raises
    ------
    Skipped
        When none does.
    """
    return fitting(subject, _DEPENDENT[subject.quantity])


def fitting(subject: Subject, situations: list[Situation]) -> list[Situation]:
    """Those of a sort, a width and a law that the estimator speaks of.

    Raises
    ------
    Skipped
        When there is none.
    """
    tags = subject.tags
    chosen = [
        s
        for s in situations
        if s.data in tags.data
        and (s.gaussian or s.data == "discrete" or tags.consistent_for != "gaussian")
        and max(s.dims) <= (tags.most_dimensions or max(s.dims))
    ]
    if not chosen:
        limits = f"{', '.join(tags.data)} data" + (
            f" of at most {tags.most_dimensions} coordinates" if tags.most_dimensions else ""
        )
        raise Skipped(f"no situation with a known number fits: it takes {limits}, consistent_for {tags.consistent_for}")
    return chosen
