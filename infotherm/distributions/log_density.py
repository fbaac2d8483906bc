"""LogDensity: a law given by a function that computes its log-density."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import Generator, as_generator, as_tensor, as_tensors, validating
from infotherm.distributions.base import Distribution

Sampler = Callable[[tuple[int, ...], torch.Generator | None], Tensor]


class LogDensity(Distribution):
    """A law on R^D with a given log-density.

    Parameters
    ----------
    log_density
        Maps points (..., D) to their log-densities (...), in nats, normalised; it must broadcast over leading axes and
        be differentiable by torch if the score is wanted.
    dim
        The number of coordinates D.
    lower, upper
        The box that holds the support: numbers, or shape (*batch, D). Outside it the log-density is -inf and the
        function is not asked.
    breakpoints
        Points at which a scalar density has kinks or peaks, a sequence of numbers (of tensors (*batch)).
    sampler
        Maps (sample_shape, generator) to draws (*sample_shape, *batch, D); without it the law cannot be sampled.
    batch_shape, dtype, device
        Where the law lives, when `lower` and `upper` do not say it; float64 on the CPU by default.

    Raises
    ------
    TypeError, ValueError
        When log_density is not callable, dim is not positive, or lower is not below upper.

    Examples
    --------
    >>> p = LogDensity(lambda x: -x[..., 0], lower=0.0)
    >>> p.log_prob([[1.0], [-1.0]]).tolist(), p.score([1.0]).tolist()
    ([-1.0, -inf], [-1.0])
    """

    def __init__(
        self,
        log_density: Callable[[Tensor], Tensor],
        dim: int = 1,
        lower: Any = -math.inf,
        upper: Any = math.inf,
        breakpoints: Sequence[Any] | Tensor = (),
        sampler: Sampler | None = None,
        *,
        batch_shape: Iterable[int] = (),
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if not callable(log_density):
            raise TypeError(f"log_density must be a function of points (..., D); got {type(log_density).__name__}")
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
            raise ValueError(f"dim must be a positive integer; got {dim!r}")
        lower, upper = as_tensors(lower=lower, upper=upper, dtype=dtype, device=device)
        shape = torch.broadcast_shapes((*torch.Size(batch_shape), dim), lower.shape, upper.shape)
        if shape[-1] != dim:
            raise ValueError(f"lower and upper must broadcast to (*batch, {dim}); got {tuple(shape)}")
        if validating(lower, upper) and not bool((lower < upper).all()):
            raise ValueError(f"lower must be below upper; got {lower.tolist()} and {upper.tolist()}")
        self.log_density = log_density
        self.sampler = sampler
        self._lower, self._upper = lower.expand(shape), upper.expand(shape)
        super().__init__(shape[:-1], dim, dtype=lower.dtype, device=lower.device)
        points = [as_tensor(b, "breakpoints", dtype=self.dtype, device=self.device) for b in breakpoints]
        self._breaks = [b.expand(self.batch_shape) for b in points]

    def log_prob(self, value: Any) -> Tensor:
        """The given log-density, shape (..., D) -> (...), -inf outside the box.

        Raises
        ------
        ValueError
            When the function returns another shape or NaN.
        """
        x = self._points(value)
        inside = ((x >= self._lower) & (x <= self._upper)).all(-1) & torch.isfinite(x).all(-1)
        density = self.log_density(torch.where(inside.unsqueeze(-1), x, self._harmless()))
        if not isinstance(density, Tensor) or density.shape != inside.shape:
            got = tuple(density.shape) if isinstance(density, Tensor) else type(density).__name__
            raise ValueError(
                f"log_density must map points of shape (..., {self.dim}) to shape (...): {(*inside.shape, self.dim)} "
                f"to {tuple(inside.shape)}; got {got}"
            )
        if validating(density, inside) and bool((torch.isnan(density) & inside).any()):
            where = torch.nonzero(torch.isnan(density) & inside)[0].tolist()
            raise ValueError(f"log_density returned NaN at the point with index {where}")
        return torch.where(inside, density, -math.inf)

    def _harmless(self) -> Tensor:
        """A point inside the box, shape (*batch, D)."""
        below, above = torch.isfinite(self._lower), torch.isfinite(self._upper)
        middle = torch.where(below & above, 0.5 * self._lower + 0.5 * self._upper, 0.0)
        return torch.where(
            below & ~above, self._lower + 1, torch.where(above & ~below, self._upper - 1, middle)
        ).detach()

    def sample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
        """Draws of the given sampler, shape (*sample_shape, *batch, D)."""
        if self.sampler is None:
            raise NotImplementedError("a LogDensity without sampler= cannot be sampled: give one")
        shape = tuple(torch.Size(sample_shape))
        with torch.no_grad():
            draws = self.sampler(shape, as_generator(generator, self.device))
        wanted = (*shape, *self.batch_shape, self.dim)
        if tuple(draws.shape) != wanted:
            raise ValueError(f"sampler must return shape {wanted}; got {tuple(draws.shape)}")
        return draws

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The given box, each corner (*batch, D)."""
        return self._lower, self._upper

    def breakpoints(self) -> Tensor:
        """The given breakpoints, shape (P, *batch)."""
        if self.dim != 1:
            raise ValueError(f"breakpoints are those of a scalar law (D = 1); this one has D = {self.dim}")
        if not self._breaks:
            return torch.empty((0, *self.batch_shape), dtype=self.dtype, device=self.device)
        return torch.stack(self._breaks)

    def __repr__(self) -> str:
        name = getattr(self.log_density, "__name__", type(self.log_density).__name__)
        return f"LogDensity({name}, D={self.dim})"
