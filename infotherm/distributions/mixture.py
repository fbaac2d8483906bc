"""GaussianMixture: a weighted sum of Gaussians, components without a density included."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import Generator, as_generator, as_tensors, chunks, validating
from infotherm.distributions.base import Distribution, Names
from infotherm.distributions.gaussian import Gaussian
from infotherm.distributions.gaussian_blocks import as_probability, nothing_at_infinity, part_values
from infotherm.distributions.lazy import remembered
from infotherm.distributions.mixture_arguments import ingredients
from infotherm.distributions.mixture_density import (
    Kernel,
    LogDensity,
    general_kernel,
    log_density,
    log_density_and_score,
    responsibilities,
    round_kernel,
)
from infotherm.distributions.mixture_quantiles import mixture_breakpoints, mixture_cdf, mixture_icdf


class GaussianMixture(Distribution):
    """The law sum_k w_k N(m_k, C_k) on R^D.

    Components of singular or zero covariance are legal (samples and atoms are mixtures too): the law then has no
    density in R^D, `measure` is "mixed", `log_prob` and `score` raise, and moments, draws, marginals and affine images
    work as for any other.

    Parameters
    ----------
    weights
        Shape (..., K), not negative, summing to one; zero is allowed.
    means
        Shape (..., K, D); with no more dimensions than `weights`, (..., K), the components are scalar (D = 1).
    covs
        One of: covariances (..., K, D, D); one that all share, (D, D), or with batch dimensions (..., 1, D, D);
        variances of round components, covariance v_k times one, shape (..., K); a number, the variance of all.
        A shape that can be read in two ways is refused. Shared and round covariances have a faster density.
    parts
        Names and sizes of consecutive blocks of coordinates.

    Attributes
    ----------
    weights, means, covariances
        Shapes (*batch, K), (*batch, K, D), (*batch, K, D, D).

    Raises
    ------
    ValueError
        For weights that are negative or do not sum to one (within eps^(2/3)), shapes that do not fit, entries that are
        not finite, a covariance that is asymmetric or not positive semi-definite, tensors on different devices.

    Notes
    -----
    Points are centred and whitened before anything is squared: the log-density is that of a point moved by about
    eps * (|x| + spread of the means) in each coordinate, the rounding that x itself carries.

    Examples
    --------
    >>> p = GaussianMixture([0.5, 0.5], [-1.0, 1.0], [0.25, 0.25])
    >>> p.log_prob([0.0]).item(), p.mean.item(), p.variance.item()
    (-2.22579135, 0.0, 1.25)
    >>> p.responsibilities([0.1]).tolist()
    [0.310025519, 0.689974481]
    """

    has_rsample = False

    def __init__(self, weights: Any, means: Any, covs: Any, *, parts: Mapping[str, int] | None = None) -> None:
        self._fill(*ingredients(weights, means, covs), parts=parts)

    def _fill(
        self, weights: Tensor, means: Tensor, shapes: Gaussian, is_round: bool, parts: Mapping[str, int] | None
    ) -> None:
        super().__init__(means.shape[:-2], means.shape[-1], dtype=means.dtype, device=means.device, parts=parts)
        self.weights = weights
        self.means = means
        self._shapes = shapes  # the components centred at zero, batch (*batch, K) or (*batch, 1) when all share one
        self._round = is_round

    @staticmethod
    def _of(
        weights: Tensor, means: Tensor, shapes: Gaussian, is_round: bool, parts: Mapping[str, int] | None
    ) -> GaussianMixture:
        """A mixture from fields that need no check; batch shapes broadcast, one matrix in memory counts as shared."""
        law = GaussianMixture.__new__(GaussianMixture)
        batch = torch.broadcast_shapes(weights.shape, means.shape[:-1], shapes.batch_shape)
        if shapes.batch_shape[-1] > 1 and shapes.factor.stride(-3) == 0:
            shapes = shapes._changed(lambda field, events: field.narrow(field.ndim - events - 1, 0, 1), None)
        shapes = shapes.expand((*batch[:-1], shapes.batch_shape[-1]))
        law._fill(weights.expand(batch), means.expand(*batch, means.shape[-1]), shapes, is_round, parts)
        return law

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def n_components(self) -> int:
        """The number of components K."""
        return self.weights.shape[-1]

    @property
    def covariances(self) -> Tensor:
        """Covariances of the components, shape (*batch, K, D, D)."""
        return self._shapes.covariance.expand(*self.weights.shape, self.dim, self.dim)

    @remembered
    def components(self) -> Gaussian:
        """The components as one Gaussian of batch shape (*batch, K)."""
        shapes = self._shapes.expand(self.weights.shape)
        return Gaussian._of(self.means, shapes.factor, covariance=shapes.covariance, datum=shapes._datum)

    @property
    def mean(self) -> Tensor:
        """Mean, shape (*batch, D)."""
        return torch.einsum("...k,...ki->...i", self.weights, self.means)

    @property
    def covariance(self) -> Tensor:
        """Covariance matrix, shape (*batch, D, D): mean covariance plus covariance of the means."""
        away = self.means - self.mean[..., None, :]
        between = torch.einsum("...k,...ki,...kj->...ij", self.weights, away, away)
        shared = self._shapes.batch_shape[-1] == 1
        within = self._shapes.covariance
        return between + (within[..., 0, :, :] if shared else torch.einsum("...k,...kij->...ij", self.weights, within))

    @remembered
    def _has_density(self) -> bool:
        """Whether every component that occurs has a regular covariance (taken for granted inside transforms)."""
        if not validating(self.weights, self._shapes.factor) or self._shapes._regular:
            return True
        return bool(((self._shapes.rank == self.dim) | (self.weights == 0)).all())

    @property
    def measure(self) -> str:  # type: ignore[override]
        """What `log_prob` is a density of: "lebesgue", or "mixed" when a component has a singular covariance."""
        return "lebesgue" if self._has_density else "mixed"

    def _require_density(self, what: str) -> None:
        if not self._has_density:
            raise ValueError(
                f"a mixture with a component of singular covariance has no {what} in R^{self.dim}: add noise with a "
                f"channel, or take the marginal of a part where every component is regular"
            )

    @remembered
    def _dense(self) -> Gaussian:
        """The components' shapes with a stand-in for singular ones of weight zero, which no density counts."""
        if not validating(self._shapes.factor) or self._shapes._regular:
            return self._shapes
        shapes = self._shapes.expand(self.weights.shape)
        one = torch.eye(self.dim, dtype=self.dtype, device=self.device)
        singular = shapes.degenerate[..., None, None]
        return Gaussian._of(shapes.mean, torch.where(singular, one, shapes.factor))

    # -- density -------------------------------------------------------------------------------------------------------

    def log_prob(self, value: Any) -> Tensor:
        """The log-density log p(x) in nats, shape (..., D) -> (...), batch dimensions broadcast.

        Its gradient in x is the analytic score, computed in the same pass; gradients in the parameters go by automatic
        differentiation.

        Raises
        ------
        ValueError
            For a component of singular covariance (there is no density in R^D), NaN, a last dimension that is not D.
        """
        self._require_density("density")
        x = self._points(value, "value")
        if not self._fast(x):
            return self._plain_log_prob(x)
        flat = x.reshape(-1, self.dim).to(self.dtype)
        if torch.is_grad_enabled() and x.requires_grad:
            result = LogDensity.apply(flat, self)[0]  # type: ignore[index]
        else:
            result = log_density(self._kernel, flat)
        return nothing_at_infinity(result.reshape(x.shape[:-1]), x)

    def score(self, x: Any) -> Tensor:
        """The score grad_x log p(x) = sum_k r_k(x) C_k^-1 (m_k - x), r_k the responsibilities, shape (..., D).

        Raises
        ------
        ValueError
            As `log_prob`.
        """
        self._require_density("score")
        x = self._points(x)
        if not self._fast(x) or torch.is_grad_enabled() and x.requires_grad:
            return self._plain_score(x)
        return log_density_and_score(self._kernel, x.reshape(-1, self.dim).to(self.dtype))[1].reshape(x.shape)

    def responsibilities(self, x: Any) -> Tensor:
        """The probability r_k(x) that the point x came from component k, shape (..., D) -> (..., K).

        Raises
        ------
        ValueError
            As `log_prob`.
        """
        self._require_density("density")
        x = self._points(x)
        if not self._fast(x) or torch.is_grad_enabled() and x.requires_grad:
            return torch.softmax(self._log_terms(x), -1)
        shares = responsibilities(self._kernel, x.reshape(-1, self.dim).to(self.dtype))
        return shares.reshape(*x.shape[:-1], self.n_components)

    def _fast(self, x: Tensor) -> bool:
        """Whether the kernel may serve: one law, plain tensors, no gradient asked in its parameters."""
        given = (self.weights, self.means, self._shapes.factor)
        if self.batch_shape or not validating(x, *given) or torch.promote_types(x.dtype, self.dtype) != self.dtype:
            return False
        return not (torch.is_grad_enabled() and any(t.requires_grad for t in given))

    @remembered
    def _kernel(self) -> Kernel:
        weights, means = self.weights.detach(), self.means.detach()
        whitening = self._dense._whitening.detach()
        if self._round or len(whitening) == 1:
            return round_kernel(weights, means, whitening, scaled=self._round)
        return general_kernel(weights, means, whitening)

    def _log_terms(self, x: Tensor) -> Tensor:
        """log w_k + log N(x; m_k, C_k), shape (..., K)."""
        present = self.weights > 0
        log_weights = torch.where(present, torch.where(present, self.weights, 1.0).log(), -torch.inf)
        return log_weights + self._dense.log_prob(x[..., None, :] - self.means)

    def _plain_log_prob(self, x: Tensor) -> Tensor:
        """log p by differentiable operations throughout, a component of weight zero having its gradient too."""
        densities = self._dense.log_prob(x[..., None, :] - self.means)
        with torch.no_grad():
            largest = (densities + self.weights.log()).amax(-1, keepdim=True)
            largest = torch.where(torch.isfinite(largest), largest, torch.zeros_like(largest))
        # only a component of weight zero can stand above the largest term by more than its own log weight
        ceiling = 0.98 * math.log(torch.finfo(densities.dtype).max)
        terms = self.weights * (densities - largest).clamp_max(ceiling).exp()
        return terms.sum(-1).log() + largest[..., 0]

    def _plain_score(self, x: Tensor) -> Tensor:
        shares = torch.softmax(self._log_terms(x), -1)
        return (shares[..., None] * self._dense.score(x[..., None, :] - self.means)).sum(-2)

    # -- draws and quantiles -------------------------------------------------------------------------------------------

    def sample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:  # type: ignore[override]
        """Independent draws, shape (*sample_shape, *batch, D), without gradient: a component, then a point of it."""
        shape = torch.Size(sample_shape)
        n, flat = shape.numel(), self.batch_shape.numel()
        generator = as_generator(generator, self.device)
        if n * flat == 0:
            return self.means.new_empty(*shape, *self.batch_shape, self.dim)
        with torch.no_grad():
            weights = self.weights.reshape(flat, -1)
            chosen = torch.multinomial(weights, n, replacement=True, generator=generator)
            # a round component's triangular factor is its deviation times one, whatever shape the kept factor has
            factor = self._shapes.scale_tril if self._round else self._shapes.factor
            factor = factor.reshape(flat, -1, *factor.shape[-2:])
            noise = torch.randn(flat, n, factor.shape[-1], generator=generator, dtype=self.dtype, device=self.device)
            each = torch.arange(flat, device=self.device)[:, None]
            draws = self.means.reshape(flat, -1, self.dim)[each, chosen]
            if factor.shape[1] == 1:
                draws += noise @ factor[:, 0].mT
            elif self._round:
                draws += noise * factor[each, chosen, 0, 0][..., None]
            else:
                for piece in chunks(n, max(1, 2**22 // (flat * factor[0, 0].numel()))):
                    draws[:, piece] += (factor[each, chosen[:, piece]] @ noise[:, piece, :, None])[..., 0]
        return draws.transpose(0, 1).reshape(*shape, *self.batch_shape, self.dim)

    def _scalar(self, what: str) -> tuple[Tensor, Tensor, Tensor]:
        if self.dim != 1:
            raise ValueError(f"{what} is that of a scalar law (D = 1); this one has D = {self.dim}")
        return self.weights, self.means[..., 0], self._shapes.scale_tril[..., 0, 0].expand(self.weights.shape)

    def cdf(self, value: Any) -> Tensor:
        """P(X <= value) of a scalar law, shape (..., 1) -> (...); atoms count in full.

        Raises
        ------
        ValueError
            When D > 1.
        """
        fields = self._scalar("cdf")
        return mixture_cdf(*fields, self._points(value, "value")[..., 0])

    def icdf(self, value: Any) -> Tensor:
        """The smallest x with P(X <= x) >= value of a scalar law, shape (...) -> (..., 1), to a few eps of |x|.

        Raises
        ------
        ValueError
            When D > 1, or a probability lies outside [0, 1].
        """
        fields = self._scalar("icdf")
        probability = as_probability(value, self.means)
        return mixture_icdf(*fields, probability)[..., None]

    def breakpoints(self) -> Tensor:
        """Means and means +- 3, 8 standard deviations of the components of a scalar law, thinned beyond 80 points."""
        weights, means, deviations = self._scalar("breakpoints")
        return mixture_breakpoints(weights.detach(), means.detach(), deviations.detach())

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The support box: infinite, but for coordinates in which no component has any variance, each (*batch, D)."""
        lower, upper = (corner + self.means.detach() for corner in self._shapes.bounds())
        present = (self.weights > 0)[..., None]
        return torch.where(present, lower, torch.inf).amin(-2), torch.where(present, upper, -torch.inf).amax(-2)

    # -- other laws from it --------------------------------------------------------------------------------------------

    def marginal(self, names: Names) -> GaussianMixture:
        """The law of the named parts (or of coordinates by number), in the order named.

        Raises
        ------
        ValueError
            For an unknown part.
        """
        rows = self.part_indices(names)
        shapes = self._shapes.marginal(rows)
        is_round = self._round or len(rows) == 1
        return GaussianMixture._of(self.weights, self.means[..., rows], shapes, is_round, self.parts_of(names))

    def condition(self, **values: Any) -> GaussianMixture:
        """The law of the other parts given values of some: condition(y=value), value of shape (..., size of y).

        Every component is conditioned, and weighs in proportion to w_k p_k(y). Batch dimensions broadcast.

        Raises
        ------
        ValueError
            For an unknown part, a value of the wrong shape, no part left, or given parts without a density.
        """
        given, wanted, value = part_values(self, values)
        away = value[..., None, :] - self.means[..., given]
        evidence = self.marginal(given)
        evidence._require_density("density of the parts given")
        weights = torch.softmax(evidence._log_terms(value), -1)
        names = {"given": len(given), "wanted": len(wanted)}
        ordered = self._shapes.marginal([*given, *wanted]).with_parts(names)
        found = ordered.condition(given=away)
        centred = found._changed(lambda field, events: field * 0 if events == 1 else field, None)
        parts = {name: size for name, size in self.parts.items() if name not in values}
        is_round = self._round or len(wanted) == 1
        return GaussianMixture._of(weights, self.means[..., wanted] + found.mean, centred, is_round, parts)

    def affine(
        self, matrix: Any, offset: Any = None, *, noise: Gaussian | None = None, parts: Any = None
    ) -> GaussianMixture:
        """The law of A x + b (+ an independent Gaussian noise), exact; see `Gaussian.affine`.

        Examples
        --------
        >>> GaussianMixture([0.5, 0.5], [-1.0, 1.0], 0.0).affine(2.0, noise=Gaussian(0.0, 1.0)).log_prob([2.0]).item()
        -1.61175030
        """
        (matrix, offset, _) = as_tensors(matrix=matrix, offset=0.0 if offset is None else offset, law=self.means)
        if matrix.ndim > 2:
            matrix = matrix.unsqueeze(-3)
        if offset.ndim > 1:
            offset = offset.unsqueeze(-2)
        if noise is not None:
            noise = noise._changed(lambda field, events: field.unsqueeze(-1 - events), None)
        shapes = self._shapes.affine(matrix, offset, noise=noise)
        moved = self.means * matrix if matrix.ndim == 0 else (matrix @ self.means[..., None])[..., 0]
        moved = moved + offset + (0.0 if noise is None else noise.mean)
        centred = shapes._changed(lambda field, events: field * 0 if events == 1 else field, None)
        return GaussianMixture._of(self.weights, moved, centred, shapes.dim == 1, parts)

    def with_parts(self, parts: Mapping[str, int] | None) -> GaussianMixture:
        """The same law with its coordinates named anew."""
        return self._changed(lambda field, events: field, parts)

    def expand(self, batch_shape: Iterable[int], _instance: Any = None) -> GaussianMixture:  # type: ignore[override]
        """The same law repeated to a larger batch shape."""
        batch = torch.Size(batch_shape)
        return self._changed(
            lambda field, events: field.expand(*batch, *field.shape[field.ndim - events :]), self.parts
        )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> GaussianMixture:
        """The same law on another device or in another precision."""
        return self._changed(lambda field, events: field.to(device=device, dtype=dtype), self.parts)

    def _changed(self, change: Callable[[Tensor, int], Tensor], parts: Mapping[str, int] | None) -> GaussianMixture:
        """The law whose every field (with so many event dimensions, the components' included) is changed alike."""
        shapes = self._shapes._changed(lambda field, events: change(field, events + 1), None)
        return GaussianMixture._of(change(self.weights, 1), change(self.means, 2), shapes, self._round, parts)

    def __repr__(self) -> str:
        shape = f"K={self.n_components}, D={self.dim}"
        shape += f", batch={tuple(self.batch_shape)}" if self.batch_shape else ""
        named = f", parts={self.parts}" if self.parts else ""
        return f"GaussianMixture({shape}, dtype={str(self.dtype).removeprefix('torch.')}{named})"
