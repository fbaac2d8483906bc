"""Distribution: what every law in the package can do, and how its coordinates are named."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints

from infotherm.core.tensors import Generator, validating

Names = str | int | Sequence[str | int]


class Distribution(torch.distributions.Distribution):
    """A law on R^D (or on D indices) with a batch shape: `event_shape == (D,)`, a scalar law has D = 1.

    Subclasses fill `sample` and `log_prob`; the rest has defaults built on them. `measure` says what `log_prob` is a
    density of: "lebesgue", "counting" (atoms) or "mixed" (atoms and a continuous part).

    Parameters
    ----------
    batch_shape, dim, dtype, device
        Shape of the batch, number of coordinates D, and where numbers live.
    parts
        Names of consecutive blocks of coordinates and their sizes, e.g. {"x": 2, "y": 1}: the law is then a joint one.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    measure: str = "lebesgue"

    def __init__(
        self,
        batch_shape: Iterable[int],
        dim: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
        parts: Mapping[str, int] | None = None,
    ) -> None:
        self.dtype = dtype
        self.device = device
        self.parts: dict[str, int] = _checked_parts(parts, dim)
        super().__init__(torch.Size(batch_shape), torch.Size((dim,)), validate_args=False)

    @property
    def dim(self) -> int:
        """The number of coordinates D."""
        return self.event_shape[0]

    @property
    def support(self) -> Any:  # type: ignore[override]
        """The support as torch's constraint (real vectors unless a subclass says otherwise)."""
        return constraints.real_vector

    @property
    def covariance(self) -> Tensor:
        """Covariance matrix, shape (*batch, D, D)."""
        raise NotImplementedError(f"{type(self).__name__} does not give its covariance")

    @property
    def variance(self) -> Tensor:
        """Variance of each coordinate, shape (*batch, D)."""
        return self.covariance.diagonal(dim1=-2, dim2=-1)

    def sample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:  # type: ignore[override]
        """Independent draws, shape (*sample_shape, *batch, D), without gradient; `generator` may be a seed."""
        with torch.no_grad():
            return self.rsample(sample_shape, generator)

    def rsample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:  # type: ignore[override]
        """Draws that carry gradients to the parameters, where `has_rsample` says so."""
        raise NotImplementedError(f"{type(self).__name__} has no reparametrised draw: use sample")

    def log_prob(self, value: Any) -> Tensor:
        """The log-density at `value`, shape (..., D) -> (...)."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def score(self, x: Any) -> Tensor:
        """The score grad_x log p(x), shape (..., D), by automatic differentiation unless a subclass knows it."""
        x = self._points(x)
        with torch.enable_grad():
            point = x if x.requires_grad else x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.log_prob(point).sum(), point, create_graph=x.requires_grad)
        return gradient

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The smallest box that holds the support: lower and upper corners, each (*batch, D), infinite by default."""
        whole = torch.full((*self.batch_shape, self.dim), math.inf, dtype=self.dtype, device=self.device)
        return -whole, whole

    def breakpoints(self) -> Tensor:
        """Points where a quadrature over a scalar law must break, shape (P, *batch): scale, kinks, component means.

        The default spreads multiples of the standard deviation around the mean.
        """
        if self.dim != 1:
            raise ValueError(f"breakpoints are those of a scalar law (D = 1); this one has D = {self.dim}")
        try:
            mean, deviation = self.mean[..., 0].detach(), self.variance[..., 0].detach().sqrt()
        except NotImplementedError:
            raise NotImplementedError(
                f"{type(self).__name__} gives no mean and variance: define them, or breakpoints(), to integrate over it"
            ) from None
        steps = torch.tensor([-8.0, -3.0, -1.0, 0.0, 1.0, 3.0, 8.0], dtype=self.dtype, device=self.device)
        return mean + steps.reshape(-1, *[1] * mean.ndim) * deviation

    # -- parts -------------------------------------------------------------------------------------------------------

    def part_indices(self, names: Names) -> list[int]:
        """The coordinates of one part or of several, in the order named; integers are coordinates themselves.

        Raises
        ------
        ValueError
            For an unknown part (the message lists those there are).
        """
        names = [names] if isinstance(names, str | int) else list(names)
        starts, start = {}, 0
        for name, size in self.parts.items():
            starts[name] = range(start, start + size)
            start += size
        indices: list[int] = []
        for name in names:
            if isinstance(name, str):
                if name not in starts:
                    known = ", ".join(starts) or "none: give parts={...}"
                    raise ValueError(f"this law has no part {name!r}; its parts are {known}")
                indices.extend(starts[name])
            elif not -self.dim <= name < self.dim:
                raise ValueError(f"coordinate {name} is out of range for a law with D = {self.dim}")
            else:
                indices.append(name % self.dim)
        if len(set(indices)) != len(indices):
            raise ValueError(f"parts must not repeat or overlap; got {names}")
        return indices

    def parts_of(self, names: Names) -> dict[str, int]:
        """The sizes of the named parts, for the marginal on them ({} when coordinates are picked by number)."""
        names = [names] if isinstance(names, str | int) else list(names)
        return {n: self.parts[n] for n in names if isinstance(n, str)} if all(isinstance(n, str) for n in names) else {}

    def marginal(self, names: Names) -> Distribution:
        """The law of the named parts."""
        raise NotImplementedError(f"{type(self).__name__} has no marginal in closed form")

    def condition(self, **values: Any) -> Distribution:
        """The law of the other parts, given values of some: condition(y=value)."""
        raise NotImplementedError(f"{type(self).__name__} has no conditional law in closed form")

    # -- for subclasses ----------------------------------------------------------------------------------------------

    def _points(self, x: Any, name: str = "x") -> Tensor:
        """`x` as points of this law, shape (..., D), or an error that says the shape."""
        from infotherm.core.tensors import as_tensor

        own = isinstance(getattr(x, "dtype", None), torch.dtype) and x.dtype.is_floating_point
        x = as_tensor(x, name, dtype=None if own else self.dtype, device=None if own else self.device)
        if x.device != self.device:
            raise ValueError(f"{name} must be on {self.device}, where this law lives; got {x.device}")
        if x.ndim == 0 or x.shape[-1] != self.dim:
            raise ValueError(f"{name} must have shape (..., {self.dim}); got {tuple(x.shape)}")
        if validating(x) and bool(torch.isnan(x).any()):
            raise ValueError(f"{name} must not be NaN; got NaN at index {torch.nonzero(torch.isnan(x))[0].tolist()}")
        return x


def _checked_parts(parts: Mapping[str, int] | None, dim: int) -> dict[str, int]:
    if not parts:
        return {}
    if not isinstance(parts, Mapping):
        raise TypeError(f"parts must map names to sizes, like {{'x': 2, 'y': 1}}; got {type(parts).__name__}")
    for name, size in parts.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"a part's name must be an identifier; got {name!r}")
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"part {name!r} must have a positive integer size; got {size!r}")
    if sum(parts.values()) != dim:
        raise ValueError(f"parts must add up to D = {dim}; got {dict(parts)}, which add up to {sum(parts.values())}")
    return dict(parts)
