"""LogDensity: a law given by a function that computes its log-density."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from infotherm.core.quadrature import integrate
from infotherm.core.tensors import Generator, as_generator, as_tensor, as_tensors, validating
from infotherm.distributions.base import Distribution
from infotherm.distributions.moments import scalar_mean, scalar_variance

_NORMALISED = 1e-6  # how far from one the integral of a density may be

Sampler = Callable[[tuple[int, ...], torch.Generator | None], Tensor]


class LogDensity(Distribution):
    """A law on R^D with a given log-density.

    Parameters
    ----------
    log_density
        Maps points (..., D) to their log-densities (...), in nats; it must broadcast over leading axes and be
        differentiable by torch if the score is wanted. It must be normalised, which is checked by quadrature when D = 1
        (see `LogDensity.unnormalised`) and is the caller's promise when D > 1.
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
    check
        False skips the check of the normalisation.

    Raises
    ------
    TypeError, ValueError
        When log_density is not callable, dim is not positive, lower is not below upper, or a scalar density does not
        integrate to one within 1e-6.

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
        check: bool = True,
    ) -> None:
        if not callable(log_density):
            raise TypeError(f"log_density must be a function of points (..., D); got {type(log_density).__name__}")
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
            raise ValueError(f"dim must be a positive integer; got {dim!r}")
        lower, upper = as_tensors(lower=lower, upper=upper, dtype=dtype, device=device)
        try:
            shape = torch.broadcast_shapes((*torch.Size(batch_shape), dim), lower.shape, upper.shape)
        except RuntimeError:
            shape = torch.Size((0,))
        if shape[-1] != dim:
            got = f"{tuple(lower.shape)} and {tuple(upper.shape)}"
            raise ValueError(f"lower and upper must broadcast to (*batch, {dim}); got {got}")
        if validating(lower, upper) and not bool((lower < upper).all()):
            raise ValueError(f"lower must be below upper; got {lower.tolist()} and {upper.tolist()}")
        self.log_density = log_density
        self.sampler = sampler
        self.log_normaliser: Tensor | None = None
        self._lower, self._upper = lower.expand(shape), upper.expand(shape)
        super().__init__(shape[:-1], dim, dtype=lower.dtype, device=lower.device)
        points = [as_tensor(b, "breakpoints", dtype=self.dtype, device=self.device) for b in breakpoints]
        self._breaks = [b.expand(self.batch_shape) for b in points]
        if check and dim == 1 and validating(lower, upper):
            self._require_normalised()

    @classmethod
    def unnormalised(cls, log_density: Callable[[Tensor], Tensor], *args: Any, **options: Any) -> LogDensity:
        """The scalar law proportional to exp(log_density), e.g. a Boltzmann weight -E(x)/T; arguments as for the class.

        The normalisation is integrated once (to about 1e-12) and is no longer differentiable.

        Examples
        --------
        >>> LogDensity.unnormalised(lambda x: -x[..., 0].abs()).log_prob([0.0]).exp().item()
        0.5
        """
        raw = cls(log_density, *args, **{**options, "check": False})
        shift = raw._mass().log().detach()
        law = cls(lambda x: log_density(x) - shift, *args, **{**options, "check": False})
        law.log_normaliser = shift
        return law

    def _mass(self) -> Tensor:
        """The integral of the density, shape (*batch)."""
        if self.dim != 1:
            raise ValueError(f"the normalisation is integrated for scalar laws (D = 1); this one has D = {self.dim}")
        with torch.no_grad():
            return integrate(
                lambda x: self.log_prob(x.unsqueeze(-1)).exp(),
                self._lower[..., 0],
                self._upper[..., 0],
                breakpoints=self.breakpoints(),
            ).value

    def _require_normalised(self) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a singular end costs digits, not six of them
                mass = self._mass()
        except ValueError as reason:
            raise ValueError(f"log_density could not be integrated: {reason}") from reason
        if bool(((mass - 1).abs() > _NORMALISED).any()):
            worst = mass.flatten()[(mass - 1).abs().argmax()].item()
            raise ValueError(
                f"log_density must be normalised; its exponential integrates to {worst:.9g}: use "
                f"LogDensity.unnormalised(...), or give breakpoints where its mass is"
            )

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

    @property
    def mean(self) -> Tensor:
        """Mean of a scalar law by quadrature, shape (*batch, 1)."""
        self._require_scalar("mean")
        return scalar_mean(self).unsqueeze(-1)

    @property
    def covariance(self) -> Tensor:
        """Variance of a scalar law by quadrature, shape (*batch, 1, 1)."""
        self._require_scalar("covariance")
        return scalar_variance(self)[..., None, None]

    def _require_scalar(self, what: str) -> None:
        if self.dim != 1:
            raise NotImplementedError(f"the {what} of a LogDensity is known by quadrature for D = 1 only")

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
