"""The tasks on which statistical and bound laws are tried: small ones, chosen by what an estimator takes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from infotherm.core.estimate import Estimate
from infotherm.testing import tasks
from infotherm.testing.law import Skipped
from infotherm.testing.subject import Subject, as_array
from infotherm.testing.tasks import Task

_MI, _CMI = "mutual_information", "conditional_mutual_information"

# few coordinates and light tails, so that a bare number can be held to a tolerance (see default_tolerance)
_REFERENCES = {
    "entropy": (
        "entropy-gaussian-1", "entropy-gaussian-2", "entropy-exponential", "entropy-two-peaks",
        "entropy-uniform-labels-8",
    ),
    _MI: (
        "gaussian-1x1-0.5", "gaussian-2x2-1.0", "gaussian-1x3-0.5", "uniform-noise-0.5", "normal-cdf-gaussian-1x1",
        "gaussian-dense-2x2-0.5", "symmetric-channel-4-0.3", "discrete-table-3x4", "bpsk-awgn-1", "shifted-uniform-5",
    ),
    _CMI: (
        "conditional-gaussian-partial-1x1x1-0.8", "conditional-gaussian-collider", "conditional-parity-0.1",
        "conditional-discrete-chain-ends",
    ),
    "kl": ("kl-gaussian-shift", "kl-gaussian-narrower", "kl-gaussian-3", "kl-exponential-slower", "kl-labels"),
}  # fmt: skip
_DEPENDENT = {
    _MI: ("gaussian-1x1-1.0", "symmetric-channel-2-0.11", "bpsk-awgn-10"),
    _CMI: ("conditional-gaussian-partial-1x1x1-0.8", "conditional-parity-0.1"),
}


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


def sample(task: Task, n: int | tuple[int, int], generator: torch.Generator) -> tuple[np.ndarray, ...]:
    """Samples of a task as numpy arrays (n, D); of a label and a number, the label comes second."""
    arrays = tuple(as_array(array) for array in task.sample(n, generator=generator))
    if task.data == "mixed" and task.quantity == _MI:
        return tuple(sorted(arrays, key=lambda array: -len(np.unique(array, axis=0))))
    return arrays


def situation(
    name: str,
    quantity: str,
    data: str,
    dims: tuple[int, ...],
    truth: float,
    draw: Callable[..., tuple[np.ndarray, ...]],
    *,
    gaussian: bool = False,
) -> Task:
    """A task of one law only, from a function that draws numpy arrays."""
    return Task(
        name=name,
        quantity=quantity,
        data=data,
        dims=dims,
        gaussian=gaussian,
        description=name,
        source="by construction",
        draw=lambda *sizes: tuple(torch.from_numpy(array) for array in draw(*sizes)),
        find=lambda: Estimate(truth, error=1e-15),
    )


def _exponential_and_uniform(n: int, generator: torch.Generator) -> tuple[np.ndarray, ...]:
    return -np.log1p(-uniform(generator, n, 1)), uniform(generator, n, 1)


def _within(n: int, m: int, generator: torch.Generator) -> tuple[np.ndarray, ...]:
    return uniform(generator, n, 1), 2 * uniform(generator, m, 1) - 0.5


def _curved(n: int, generator: torch.Generator) -> tuple[np.ndarray, ...]:
    x, noise, z = (normal(generator, n, 1) for _ in range(3))
    return x + 0.7 * z**2, 0.8 * x + 0.6 * noise + 0.7 * z**2, z


def _aligned(n: int, generator: torch.Generator) -> tuple[np.ndarray, ...]:
    x = normal(generator, n, 2)
    return (np.stack([x[:, 0], 0.9 * x[:, 0] + math.sqrt(1 - 0.9**2) * x[:, 1]], axis=1),)


def _labels_and_normals(n: int, generator: torch.Generator) -> tuple[np.ndarray, ...]:
    return symbols(generator, n, [0.5, 0.3, 0.2]), normal(generator, n, 1)


def references(subject: Subject) -> list[Task]:
    """Tasks with a positive number that fit an estimator.

    Raises
    ------
    Skipped
        When none does.
    """
    known = [tasks.get(name) for name in _REFERENCES[subject.quantity]]
    if subject.quantity == "entropy":
        truth = math.log(2 * math.pi * math.e) + 0.5 * math.log(1 - 0.9**2)
        known.insert(
            2, situation("normals of correlation 0.9", "entropy", "continuous", (2,), truth, _aligned, gaussian=True)
        )
    elif subject.quantity == _CMI:
        truth = -0.5 * math.log(1 - 0.8**2)
        known.insert(
            2, situation("normals of correlation 0.8, moved by z^2", _CMI, "continuous", (1, 1, 1), truth, _curved)
        )
    elif subject.quantity == "kl":
        known.insert(2, situation("uniform within a wider one", "kl", "continuous", (1, 1), math.log(2), _within))
    return fitting(subject, known)


def independent(subject: Subject) -> list[Task]:
    """Tasks in which nothing is shared (given z) that fit an estimator of an information.

    Raises
    ------
    Skipped
        When none does.
    """
    if subject.quantity == _CMI:
        known = [tasks.get("conditional-gaussian-common-driver"), tasks.get("conditional-discrete-chain")]
    else:
        known = [
            tasks.get("gaussian-1x1-0.0"),
            situation("exponential beside uniform", _MI, "continuous", (1, 1), 0.0, _exponential_and_uniform),
            tasks.get("discrete-independent-3x4"),
            situation("labels beside normals", _MI, "mixed", (1, 1), 0.0, _labels_and_normals),
        ]
    return fitting(subject, known)


def dependent(subject: Subject) -> list[Task]:
    """Tasks of strong dependence that fit an estimator of an information.

    Raises
    ------
    Skipped
        When none does.
    """
    return fitting(subject, [tasks.get(name) for name in _DEPENDENT[subject.quantity]])


def fitting(subject: Subject, known: list[Task]) -> list[Task]:
    """Those of a sort, a width and a law that the estimator speaks of.

    Raises
    ------
    Skipped
        When there is none.
    """
    tags = subject.tags
    chosen = [
        task
        for task in known
        if task.data in tags.data
        and (task.gaussian or task.data == "discrete" or tags.consistent_for != "gaussian")
        and max(task.dims) <= (tags.most_dimensions or max(task.dims))
    ]
    if not chosen:
        limits = f", of at most {tags.most_dimensions} coordinates" if tags.most_dimensions else ""
        raise Skipped(
            f"no task with a known number fits: it takes {', '.join(tags.data)} data{limits},"
            f" consistent for {tags.consistent_for} laws"
        )
    return chosen
