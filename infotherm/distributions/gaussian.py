"""Gaussian: the multivariate normal law, singular ones included, kept through a factor of its covariance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions.kl import register_kl

from infotherm.core.linalg import psd_factor, rank_of, symmetrise_checked
from infotherm.core.quantiles import normal_cdf
from infotherm.core.tensors import Generator, as_generator, as_tensors, require_finite, require_shape, validating
from infotherm.distributions.base import Distribution, Names
from infotherm.distributions.gaussian_blocks import (
    as_probability,
    correlated_factor,
    factor_rank,
    lower_triangular,
    nothing_at_infinity,
    on_support,
    require_batch,
    shaped,
)
from infotherm.distributions.gaussian_forms import gaussian_entropy, gaussian_kl
from infotherm.distributions.gaussian_images import conditional_of, image_of, marginal_of
from infotherm.distributions.gaussian_known import inverse_triangle
from infotherm.distributions.lazy import remembered

Datum = Literal["covariance", "factor"]
_BREAKS = (-20.0, -8.0, -3.0, 0.0, 3.0, 8.0, 20.0)


class Gaussian(Distribution):
    """The normal law N(mean, cov) on R^D.

    log p(x) = -|L^-1 (x - mean)|^2 / 2 - sum log L_ii - (D/2) log 2 pi, with cov = L L^T.

    A singular covariance is legal, zero (a point mass) included. Such a law has no density in R^D: `log_prob` and
    `score` raise, `entropy` is -inf, divergences go by the supports, and sampling, marginals, conditioning and affine
    images work as for any other.

    Parameters
    ----------
    mean
        Shape (..., D); a number is a scalar law (D = 1). A batch of scalar laws has means (B, 1) and covariances
        (B, 1, 1).
    cov
        Covariance, shape (..., D, D), symmetric and positive semi-definite; batch dimensions of `mean` and `cov`
        broadcast. A number is the variance of a scalar law.
    parts
        Names and sizes of consecutive blocks of coordinates, e.g. {"x": 2, "y": 1}.

    Attributes
    ----------
    mean, covariance
        Shapes (*batch, D) and (*batch, D, D).
    factor
        B with B B^T = covariance, shape (*batch, D, R).

    Raises
    ------
    ValueError
        For NaN or infinite entries, shapes that do not fit, a covariance that is asymmetric or has a negative
        eigenvalue, tensors on different devices, parts that do not add up to D.
    TypeError
        For anything but real numbers.

    Notes
    -----
    Accuracy: |L^-1 (x - mean)|^2 carries a relative error of about D eps times the condition number of the correlation
    matrix, no more than its rounded entries allow. Where that is nearly singular give a factor (`from_factor`).
    Laws are values: after changing a parameter in place, build the law anew.

    Examples
    --------
    >>> p = Gaussian([0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]], parts={"x": 1, "y": 1})
    >>> p.log_prob([0.0, 1.0]).item(), p.condition(x=1.0).mean.item()
    (-2.11768496, 1.25)
    >>> Gaussian(0.0, 4.0).entropy().item()
    2.1120857
    """

    has_rsample = True

    def __init__(self, mean: Any, cov: Any, *, parts: Mapping[str, int] | None = None) -> None:
        mean, cov = as_tensors(mean=mean, cov=cov)
        mean, cov = shaped(mean, cov)
        require_finite(mean, "mean")
        cov = symmetrise_checked(cov, "cov")
        self._fill(mean, psd_factor(cov), covariance=cov, parts=parts)

    def _fill(
        self,
        mean: Tensor,
        factor: Tensor,
        *,
        covariance: Tensor | None = None,
        parts: Mapping[str, int] | None = None,
        datum: Datum = "covariance",
        mean_magnitude: Tensor | None = None,
        factor_magnitude: Tensor | None = None,
    ) -> None:
        """Set the law from a mean and a factor that need no check; `datum` says which matrix was given, hence exact.

        The magnitudes are those of the numbers that mean and factor were computed from, where these were larger: the
        rounding errors of closed forms scale with them.
        """
        batch = torch.broadcast_shapes(mean.shape[:-1], factor.shape[:-2])
        dim = mean.shape[-1]
        super().__init__(batch, dim, dtype=mean.dtype, device=mean.device, parts=parts)
        self._mean = mean.expand(*batch, dim)
        self.factor = factor.expand(*batch, *factor.shape[-2:])
        self._datum: Datum = datum
        self._mean_magnitude = mean_magnitude
        self._factor_magnitude = factor_magnitude
        if covariance is not None:
            self.__dict__["covariance"] = covariance.expand(*batch, dim, dim)

    @staticmethod
    def _of(mean: Tensor, factor: Tensor, **fields: Any) -> Gaussian:
        """A plain Gaussian from a mean and a factor that need no check (see `_fill`)."""
        law = Gaussian.__new__(Gaussian)
        law._fill(mean, factor, **fields)
        return law

    @classmethod
    def from_factor(cls, mean: Any, factor: Any, *, parts: Mapping[str, int] | None = None) -> Gaussian:
        """The law of mean + factor z with z standard normal: N(mean, B B^T).

        A covariance rounded to eps cannot say a standard deviation below sqrt(eps) of its scale; a factor can. Every
        closed form then works from the factor.

        Parameters
        ----------
        mean
            Shape (..., D), or a number (D = 1).
        factor
            Shape (..., D, R) with any R >= 1, or a number (a standard deviation, D = 1); R < D gives a singular law.
        parts
            As in the constructor.

        Raises
        ------
        ValueError
            For entries that are not finite, shapes that do not fit, tensors on different devices.

        Examples
        --------
        >>> Gaussian.from_factor([0.0, 0.0], [[1.0], [1.0]]).covariance
        tensor([[1., 1.],
                [1., 1.]], dtype=torch.float64)
        """
        mean, factor = as_tensors(mean=mean, factor=factor)
        if mean.ndim == 0:
            mean = mean[None]
        if factor.ndim == 0 and mean.shape[-1] == 1:
            factor = factor[None, None]
        require_shape(mean, ("...", "D"), "mean")
        require_shape(factor, ("...", mean.shape[-1], "R"), "factor")
        require_batch(mean.shape[:-1], factor.shape[:-2], "factor")
        require_finite(mean, "mean")
        require_finite(factor, "factor")
        return Gaussian._of(mean, factor, parts=parts, datum="factor")

    @classmethod
    def with_mutual_information(cls, mi: Any, dx: int, dy: int) -> Gaussian:
        """A joint law of parts "x" and "y" with I(x; y) = mi nats exactly, shared evenly by min(dx, dy) pairs.

        y_i = rho x_i + e^(-mi/r) v_i with r = min(dx, dy) and rho^2 = 1 - e^(-2 mi/r); x and the other coordinates of y
        are standard normal and independent. Kept through its factor, so that also 30 nats (1 - rho^2 = 1e-26, nothing
        that a covariance could say) come back from `mutual_information` to a few units in the last place.

        Parameters
        ----------
        mi
            Mutual information in nats, shape (*batch), at least 0 and at most 707 min(dx, dy) (86 in float32).
        dx, dy
            Number of coordinates of each part.

        Raises
        ------
        ValueError
            For a negative, infinite or too large `mi`, or a part without coordinates.

        Examples
        --------
        >>> joint = Gaussian.with_mutual_information(1.0, dx=3, dy=3)
        >>> joint.parts, joint.covariance[0, 3].item()
        ({'x': 3, 'y': 3}, 0.69755493)
        """
        (mi,) = as_tensors(mi=mi)
        factor = correlated_factor(mi, dx, dy)
        return Gaussian._of(factor.new_zeros(dx + dy), factor, parts={"x": dx, "y": dy}, datum="factor")

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def mean(self) -> Tensor:
        """Mean, shape (*batch, D)."""
        return self._mean

    @property
    def mode(self) -> Tensor:
        """The mode, which is the mean."""
        return self._mean

    @remembered
    def covariance(self) -> Tensor:
        """Covariance matrix, shape (*batch, D, D)."""
        return self.factor @ self.factor.mT

    @remembered
    def scale_tril(self) -> Tensor:
        """The lower-triangular factor with a diagonal >= 0, shape (*batch, D, D): the Cholesky factor where regular."""
        return lower_triangular(self.factor)

    @remembered
    def precision(self) -> Tensor:
        """The inverse covariance, shape (*batch, D, D); a singular law has none and raises ValueError."""
        self._require_density("precision matrix")
        return self._whitening.mT @ self._whitening

    @remembered
    def rank(self) -> Tensor:
        """Rank of the covariance, the dimension of the support, shape (*batch) of integers."""
        return self._rank[0]

    @property
    def degenerate(self) -> Tensor:
        """Whether the covariance is singular, shape (*batch) of booleans: there is then no density in R^D."""
        return self.rank < self.dim

    @remembered
    def _rank(self) -> tuple[Tensor, Tensor]:
        """Rank, and whether rounding leaves it open."""
        if self._datum == "covariance" and self._factor_magnitude is None:
            found = rank_of(self.covariance.detach())
            return found.rank, found.ambiguous
        return factor_rank(self.factor.detach())

    @remembered
    def _clear(self) -> bool:
        """Whether every law of the batch has a density beyond doubt (taken for granted inside transforms)."""
        if not validating(self.factor):
            return True
        pivots, scale = self.scale_tril.detach().diagonal(dim1=-2, dim2=-1), self.factor.detach().norm(dim=-1)
        return bool((pivots > (1e-5 if self.dtype == torch.float64 else 1e-2) * scale).all())

    @remembered
    def _regular(self) -> bool:
        """Whether every law of the batch has a density."""
        return self._clear or bool((self.rank == self.dim).all())

    @remembered
    def _whitening(self) -> Tensor:
        """The inverse of `scale_tril`."""
        return inverse_triangle(self.scale_tril)

    def _require_density(self, what: str) -> None:
        if not self._regular:
            raise ValueError(
                f"a Gaussian whose covariance is singular (rank {self.rank.min().item()} of {self.dim}) has no {what} "
                f"in R^{self.dim}: take the marginal of a regular part, or compare laws with kl, which goes by supports"
            )

    # -- density and draws ---------------------------------------------------------------------------------------------

    def log_prob(self, value: Any) -> Tensor:
        """The log-density log p(x) in nats, shape (..., D) -> (...), batch dimensions broadcast.

        Raises
        ------
        ValueError
            For a singular covariance (there is no density in R^D), NaN, a last dimension that is not D.
        """
        self._require_density("density")
        x = self._points(value, "value")
        white = self._whiten(x - self._mean)
        log_scale = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        result = -0.5 * white.square().sum(-1) - log_scale - 0.5 * self.dim * math.log(2 * math.pi)
        return nothing_at_infinity(result, x)

    def score(self, x: Any) -> Tensor:
        """The score grad_x log p(x) = -cov^-1 (x - mean), shape (..., D).

        Raises
        ------
        ValueError
            As `log_prob`.
        """
        self._require_density("score")
        white = self._whiten(self._points(x) - self._mean)
        return -torch.einsum("...ji,...j->...i", self._whitening.to(white.dtype), white)

    def _whiten(self, difference: Tensor) -> Tensor:
        return torch.einsum("...ij,...j->...i", self._whitening.to(difference.dtype), difference)

    def rsample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
        """Draws mean + B z, shape (*sample_shape, *batch, D), differentiable in mean and factor."""
        shape = torch.Size(sample_shape) + self.batch_shape + self.factor.shape[-1:]
        generator = as_generator(generator, self.device)
        noise = torch.randn(shape, generator=generator, dtype=self.dtype, device=self.device)
        return self._mean + torch.einsum("...ij,...j->...i", self.factor, noise)

    def entropy(self) -> Tensor:
        """The differential entropy in nats, shape (*batch): log det(2 pi e cov) / 2, -inf where cov is singular."""
        return gaussian_entropy(self)[0]

    def cdf(self, value: Any) -> Tensor:
        """P(X <= value) of a scalar law, shape (..., 1) -> (...).

        Raises
        ------
        ValueError
            When D > 1.
        """
        self._require_scalar("cdf")
        offset = (self._points(value, "value") - self._mean)[..., 0]
        deviation = self.scale_tril[..., 0, 0]
        atom = deviation == 0
        smooth = normal_cdf(offset / torch.where(atom, torch.ones_like(deviation), deviation))
        return torch.where(atom, (offset >= 0).to(smooth.dtype), smooth)

    def icdf(self, value: Any) -> Tensor:
        """The quantile x with P(X <= x) = value of a scalar law, shape (...) -> (..., 1).

        Raises
        ------
        ValueError
            When D > 1, or a probability lies outside [0, 1].
        """
        self._require_scalar("icdf")
        probability = as_probability(value, self._mean)
        deviation = self.scale_tril[..., 0, 0]
        steps = torch.special.ndtri(probability)
        steps = torch.where(deviation == 0, torch.zeros_like(steps), steps)
        return (self._mean[..., 0] + deviation * steps)[..., None]

    def _require_scalar(self, what: str) -> None:
        if self.dim != 1:
            raise ValueError(f"{what} is that of a scalar law (D = 1); this one has D = {self.dim}")

    def breakpoints(self) -> Tensor:
        """Mean and mean +- 3, 8, 20 standard deviations of a scalar law, shape (7, *batch)."""
        self._require_scalar("breakpoints")
        steps = torch.tensor(_BREAKS, dtype=self.dtype, device=self.device).reshape(-1, *[1] * len(self.batch_shape))
        return self._mean[..., 0].detach() + steps * self.scale_tril[..., 0, 0].detach()

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The support box: infinite, but for coordinates of variance zero, which sit at their mean."""
        fixed = (self.factor == 0).all(-1)
        reach = torch.where(fixed, 0.0, math.inf).to(self.dtype)
        mean = self._mean.detach()
        return mean - reach, mean + reach

    def in_support(self, x: Any) -> Tensor:
        """Whether x lies on mean + range(cov) to within rounding, shape (..., D) -> (...) of booleans."""
        return on_support(self._points(x), self._mean, self.factor, self.rank)

    # -- other laws from it --------------------------------------------------------------------------------------------

    def marginal(self, names: Names) -> Gaussian:
        """The law of the named parts (or of coordinates by number), in the order named.

        Raises
        ------
        ValueError
            For an unknown part.
        """
        return marginal_of(self, self.part_indices(names), self.parts_of(names))

    def condition(self, **values: Any) -> Gaussian:
        """The law of the other parts given values of some: condition(y=value), value of shape (..., size of y).

        Batch dimensions of the value broadcast with those of the law. Where the given parts have a singular covariance
        the pseudo-inverse takes the place of the inverse.

        Raises
        ------
        ValueError
            For an unknown part, a value of the wrong shape or off the support, or when no part is left.
        """
        return conditional_of(self, values)

    def affine(self, matrix: Any, offset: Any = None, *, noise: Gaussian | None = None, parts: Any = None) -> Gaussian:
        """The law of A x + b (+ an independent Gaussian noise), exact and kept through the factor [A B, N].

        Parameters
        ----------
        matrix
            A, shape (..., E, D), or a number, which scales.
        offset
            b, shape (..., E).
        noise
            A Gaussian on R^E whose draw is added, its mean included.
        parts
            Names of the coordinates of the image.

        Raises
        ------
        ValueError
            For shapes that do not fit, entries that are not finite, tensors on different devices.

        Examples
        --------
        >>> Gaussian(1.0, 2.0).affine(3.0, 1.0).variance.item(), Gaussian(1.0, 2.0).affine(3.0, 1.0).mean.item()
        (18.0000, 4.0)
        """
        return image_of(self, matrix, offset, noise, parts)

    def with_parts(self, parts: Mapping[str, int] | None) -> Gaussian:
        """The same law with its coordinates named anew."""
        return self._changed(lambda field, events: field, parts)

    def expand(self, batch_shape: Iterable[int], _instance: Any = None) -> Gaussian:  # type: ignore[override]
        """The same law repeated to a larger batch shape."""
        batch = torch.Size(batch_shape)
        return self._changed(
            lambda field, events: field.expand(*batch, *field.shape[field.ndim - events :]), self.parts
        )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Gaussian:
        """The same law on another device or in another precision."""
        return self._changed(lambda field, events: field.to(device=device, dtype=dtype), self.parts)

    def _changed(self, change: Callable[[Tensor, int], Tensor], parts: Mapping[str, int] | None) -> Gaussian:
        """The law whose every field (with so many event dimensions) is changed alike."""
        sizes = (self._mean_magnitude, self._factor_magnitude)
        given = self.__dict__.get("covariance")
        return Gaussian._of(
            change(self._mean, 1),
            change(self.factor, 2),
            covariance=None if given is None else change(given, 2),
            parts=parts,
            datum=self._datum,
            mean_magnitude=None if sizes[0] is None else change(sizes[0], 1),
            factor_magnitude=None if sizes[1] is None else change(sizes[1], 2),
        )

    @property
    def _mean_size(self) -> Tensor:
        return self._mean.detach().abs() if self._mean_magnitude is None else self._mean_magnitude

    @property
    def _factor_size(self) -> Tensor:
        return self.factor.detach().abs() if self._factor_magnitude is None else self._factor_magnitude

    def __repr__(self) -> str:
        shape = f"D={self.dim}" + (f", batch={tuple(self.batch_shape)}" if self.batch_shape else "")
        named = f", parts={self.parts}" if self.parts else ""
        if not self.batch_shape and self.dim <= 3 and validating(self._mean):
            mean, covariance = self._mean.detach().tolist(), self.covariance.detach().tolist()
            if self.dim == 1:
                mean, covariance = mean[0], covariance[0][0]
            return f"Gaussian(mean={_short(mean)}, cov={_short(covariance)}{named})"
        return f"Gaussian({shape}, dtype={str(self.dtype).removeprefix('torch.')}{named})"


@register_kl(Gaussian, Gaussian)
def _kl(p: Gaussian, q: Gaussian) -> Tensor:
    return gaussian_kl(p, q)[0]


def _short(numbers: Any) -> str:
    return f"{numbers:.6g}" if isinstance(numbers, float) else "[" + ", ".join(map(_short, numbers)) + "]"
