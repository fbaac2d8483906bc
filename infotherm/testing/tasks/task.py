"""What a task is: samples of a law together with the exact number that an estimator should find in them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.tensors import Generator, as_generator
from infotherm.estimators.tags import DATA, QUANTITIES

Draw = Callable[..., tuple[Tensor, ...]]
_ARGUMENTS = {"entropy": 1, "mutual_information": 2, "conditional_mutual_information": 3, "kl": 2}


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """A law that can be sampled and whose `quantity` is known.

    Parameters
    ----------
    name
        Of the task; unique.
    quantity
        "entropy", "mutual_information", "conditional_mutual_information" or "kl".
    data
        "continuous", "discrete" (labels) or "mixed" (a discrete beside a continuous argument, or atoms).
    gaussian
        Whether all samples together are jointly normal (both laws, for "kl").
    dims
        The number of coordinates of each array that `sample` returns.
    description
        The law in one sentence.
    source
        Where the truth is derived, or the paper it is from.
    draw
        `draw(n, generator)` returns the arrays in float64 on the generator's device; `draw(n, m, generator)` for "kl".
    find
        Returns the truth; called once, when first asked for.

    Attributes
    ----------
    truth
        The number as an Estimate in nats, with its error and how it was obtained.

    Examples
    --------
    >>> from infotherm.testing import tasks
    >>> task = tasks.get("gaussian-3x3-1.0")
    >>> task.truth.value.item(), task.dims
    (1.0, (3, 3))
    >>> x, y = task.sample(100, generator=0)
    >>> x.shape, x.dtype
    (torch.Size([100, 3]), torch.float64)
    """

    name: str
    quantity: str
    data: str
    gaussian: bool = False
    dims: tuple[int, ...]
    description: str
    source: str
    draw: Draw = field(repr=False)
    find: Callable[[], Estimate] = field(repr=False)

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES or self.data not in DATA:
            raise ValueError(
                f"quantity must be of {QUANTITIES} and data of {DATA}; got {self.quantity!r} and {self.data!r}"
            )
        if len(self.dims) != _ARGUMENTS[self.quantity]:
            raise ValueError(f"dims must have {_ARGUMENTS[self.quantity]} entries for {self.quantity}; got {self.dims}")

    @cached_property
    def truth(self) -> Estimate:
        """The exact number in nats, with its error and how it was obtained."""
        return self.find()

    def sample(
        self,
        n: int | tuple[int, int],
        generator: Generator = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> tuple[Tensor, ...]:
        """Independent draws as arrays (n, D) in the order of the quantity's arguments.

        x for entropies; x, y for mutual information; x, y, z for conditional mutual information; for "kl" samples of
        p and of q, not paired.

        Parameters
        ----------
        n
            How many; for "kl" a number for both or a pair.
        generator
            A seed or a generator; None is a fresh seed of the operating system. torch's global generator is not used.
        device
            Where to draw; the generator's device when None. Draws on different devices differ.
        dtype
            Of what is returned; everything is computed in float64.

        Raises
        ------
        ValueError
            For n < 1, a pair of sizes for anything but "kl", or a generator on another device.
        """
        device = torch.device(device or (generator.device if isinstance(generator, torch.Generator) else "cpu"))
        rng = as_generator(generator, device)
        if rng is None:
            rng = torch.Generator(device=device)
            rng.seed()
        arrays = self.draw(*self._sizes(n), rng)
        return tuple(array.to(dtype) for array in arrays)

    def _sizes(self, n: int | tuple[int, int]) -> tuple[int, ...]:
        sizes = tuple(n) if isinstance(n, tuple | list) else (n, n) if self.quantity == "kl" else (n,)
        if len(sizes) != (2 if self.quantity == "kl" else 1):
            wanted = "a number or a pair" if self.quantity == "kl" else "one number"
            raise ValueError(f"n must be {wanted} for {self.quantity}; got {n}")
        if any(isinstance(size, bool) or not isinstance(size, Real) or int(size) != size or size < 1 for size in sizes):
            raise ValueError(f"n must be a whole number of at least 1; got {n!r}")
        return tuple(int(size) for size in sizes)


def closed_form(value: float, error: float | None = None, **info: Any) -> Estimate:
    """A truth by formula, whose error is the rounding of its evaluation."""
    return Estimate(value, error=16 * 2.0**-52 * max(1.0, abs(value)) if error is None else error, info=info)


def quadrature(value: float, error: float, **info: Any) -> Estimate:
    """A truth that was integrated once, to a stated error."""
    return Estimate(value, error=error, method="quadrature", info=info)


def certified(value: float, **info: Any) -> Estimate:
    """A truth proven in ball arithmetic to 30 digits and more; what is left is the rounding to float64."""
    return Estimate(value, error=2.0**-52 * max(1.0, abs(value)), method="certified", info=info)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Standard normal numbers, float64, on the generator's device."""
    return torch.randn(*shape, generator=generator, device=generator.device, dtype=torch.float64)


def uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Uniform numbers in [0, 1), float64, on the generator's device."""
    return torch.rand(*shape, generator=generator, device=generator.device, dtype=torch.float64)


def choice(generator: torch.Generator, n: int, probabilities: Tensor) -> Tensor:
    """Indices (n,) drawn with these probabilities (K,), int64; by inversion, so that probability zero never comes."""
    cumulated = probabilities.to(generator.device).cumsum(0)
    drawn = torch.searchsorted(cumulated, uniform(generator, n) * cumulated[-1], right=True)
    return drawn.clamp_max(len(probabilities) - 1)


def plogp(p: float) -> float:
    """p log p, zero at zero."""
    return p * math.log(p) if p > 0 else 0.0
