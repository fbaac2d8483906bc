"""ScipyDistribution: variables of scipy.stats as laws. Imported when one is met: scipy.stats itself never is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infotherm.core.tensors import Generator, as_generator, as_tensor
from infotherm.distributions.base import Distribution
from infotherm.distributions.discrete import Discrete
from infotherm.distributions.empirical import Empirical
from infotherm.distributions.gaussian import Gaussian
from infotherm.distributions.landmarks import LEVELS, landmarks
from infotherm.distributions.lattice import LARGEST, TAIL
from infotherm.distributions.lazy import remembered
from infotherm.distributions.mixture import GaussianMixture

_STENCIL = ((1, 45.0), (2, -9.0), (3, 1.0))  # sixth-order central difference, divided by 60


def from_scipy(x: Any, name: str = "p") -> Distribution:
    """A variable of scipy.stats as a law: ours where we have the family, a ScipyDistribution otherwise.

    norm and the normal laws become Gaussian, gaussian_kde GaussianMixture, bernoulli Discrete, and rv_discrete(values=)
    the Empirical law of its values.

    Raises
    ------
    TypeError
        For a family without parameters, a multivariate family other than the normal and Student t, or anything else
        of scipy.
    """
    if type(x).__name__ in ("rv_histogram", "rv_sample"):
        x = x()  # complete without parameters
    kinds = {cls.__name__ for cls in type(x).__mro__}
    kind = type(x).__name__
    if "rv_generic" in kinds:
        raise TypeError(f"{name} is the scipy family {x.name!r} without parameters: freeze it, e.g. {x.name}(...)")
    if kind == "multivariate_normal_frozen":
        return Gaussian(np.asarray(x.mean), np.asarray(x.cov))
    if kind == "gaussian_kde":
        return _of_kernel_density(x)
    if "rv_frozen" in kinds:
        if hasattr(x.dist, "xk"):  # given by a table of values and probabilities
            (loc,) = x.dist._parse_args(*x.args, **x.kwds)[1:2]
            return Empirical(np.asarray(x.dist.xk, dtype=np.float64).reshape(-1, 1) + loc, np.asarray(x.dist.pk))
        if x.dist.name == "norm":
            return _normal(x.mean(), x.std())
        if x.dist.name == "vonmises":
            raise TypeError(
                f"{name} is scipy's vonmises, a density on the circle that repeats on the whole line: give "
                f"scipy.stats.vonmises_line, or torch's VonMises on [-pi, pi]"
            )
        if x.dist.name == "bernoulli" and not np.any(x.support()[0]):
            p = torch.as_tensor(np.asarray(x.mean(), dtype=np.float64))
            return Discrete(torch.stack([1 - p, p], dim=-1))
        return ScipyDistribution(x)
    if kind == "Normal" and "UnivariateDistribution" in kinds or kind == "StandardNormal":
        return _normal(x.mean(), x.standard_deviation())
    if kind == "multivariate_t_frozen" or "_ProbabilityDistribution" in kinds:
        return ScipyDistribution(x)
    if "multi_rv_frozen" in kinds:
        raise TypeError(
            f"{name} is a {kind}, of which only multivariate_normal and multivariate_t are laws with a density on R^D: "
            f"give the torch distribution, Discrete or Empirical"
        )
    raise TypeError(f"{name} must be a frozen scipy.stats variable; got {kind}")


class ScipyDistribution(Distribution):
    """A frozen variable of scipy.stats (or one of its newer distribution objects), in float64 on the CPU.

    Densities are scipy's, so that they carry no gradient: `score` is a central difference of sixth order (relative
    error about 1e-9 where the density is smooth), and a backward pass through `log_prob` is refused. scipy
    families that define no logpdf lose the tails where their pdf underflows (log-density -inf beyond about -745).

    Parameters
    ----------
    frozen
        The variable, scalar (its parameters may be arrays: the batch) or a multivariate Student t.

    Attributes
    ----------
    score_accuracy
        The relative error of the score.

    Examples
    --------
    >>> import scipy.stats
    >>> p = ScipyDistribution(scipy.stats.expon(scale=[1.0, 2.0]))
    >>> p.log_prob([1.0]).tolist(), p.bounds()[0].tolist()
    ([-1.0, -1.193147180559], [[0.0], [0.0]])
    """

    score_accuracy = 1e-9

    def __init__(self, frozen: Any) -> None:
        self.frozen = frozen
        kinds = {cls.__name__ for cls in type(frozen).__mro__}
        self._new_style = "_ProbabilityDistribution" in kinds
        self._multivariate = "multi_rv_frozen" in kinds
        self.measure = "counting" if kinds & {"rv_discrete_frozen", "DiscreteDistribution"} else "lebesgue"
        density = frozen.logpmf if self.measure == "counting" else frozen.logpdf
        self._density: Callable[[np.ndarray], Any] = density
        dim = int(frozen.dim) if self._multivariate else 1
        batch = () if self._multivariate else _batch_of(frozen, self._new_style)
        super().__init__(batch, dim, dtype=torch.float64, device=torch.device("cpu"))

    # -- the law -----------------------------------------------------------------------------------------------------

    def log_prob(self, value: Any) -> Tensor:
        """The log-density (log-probability of a discrete law), shape (..., D) -> (...), in nats; no gradient."""
        x = self._points(value)
        return _without_gradient(x, self._evaluate)

    def _evaluate(self, x: Tensor) -> Tensor:
        points = x.detach().double().numpy()
        points = points if self._multivariate else points[..., 0]
        with np.errstate(all="ignore"):
            density = np.array(self._density(points), dtype=np.float64)
            if self.measure == "lebesgue" and np.isposinf(density).any():
                # at an end where it diverges: the nearest number inside, as for torch's laws (see masked.py)
                lower, upper = self.frozen.support()
                inner = np.where(points == lower, np.nextafter(lower, np.inf), points)
                inner = np.where(points == upper, np.nextafter(upper, -np.inf), inner)
                density = np.where(np.isposinf(density), self._density(inner), density)
        shape = torch.broadcast_shapes(x.shape[:-1], self.batch_shape)
        return torch.where(torch.isfinite(x).all(-1), torch.from_numpy(density).reshape(shape), -math.inf)

    def score(self, x: Any) -> Tensor:
        """The score by a sixth-order central difference, shape (..., D); NaN closer than rounding to a support end."""
        if self.measure == "counting":
            raise NotImplementedError("a discrete law has no score")
        x = self._points(x).detach().double()
        lower, upper = self.bounds()
        columns = []
        for axis in range(self.dim):
            reach = torch.minimum(x[..., axis] - lower[..., axis], upper[..., axis] - x[..., axis])
            for kink in [] if self._multivariate else _kinks(self.frozen):  # the difference must not reach across
                away = (x[..., axis] - self._tensor(kink)).abs()
                reach = torch.where(away > 0, torch.minimum(reach, away), reach)
            step = torch.minimum(0.01 * self._width[axis], 0.01 * reach)
            slope = torch.zeros_like(step)
            for k, weight in _STENCIL:
                ahead, behind = x.expand(*step.shape, -1).clone(), x.expand(*step.shape, -1).clone()
                ahead[..., axis] += k * step
                behind[..., axis] -= k * step
                slope = slope + weight * (self._evaluate(ahead) - self._evaluate(behind))
            columns.append(slope / (60 * step))
        return torch.stack(columns, dim=-1)

    @property
    def _width(self) -> list[Tensor]:
        """A width of the bulk of each coordinate, each (*batch)."""
        if self._multivariate:
            return list(torch.from_numpy(np.sqrt(np.diagonal(self.frozen.shape))))
        quantiles = self._quantiles(np.array(LEVELS))
        return [quantiles[3] - quantiles[1]]

    def sample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
        """Independent draws, shape (*sample_shape, *batch, D), by a numpy generator that torch's one seeds."""
        shape = tuple(torch.Size(sample_shape))
        torch_generator = as_generator(generator, "cpu")
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=torch_generator)))
        if self._new_style:
            draws = self.frozen.sample(shape, rng=rng)
        elif self._multivariate:
            draws = self.frozen.rvs(size=math.prod(shape), random_state=rng)
        else:
            draws = self.frozen.rvs(size=(*shape, *self.batch_shape), random_state=rng)
        draws = torch.from_numpy(np.array(draws, dtype=np.float64))
        return draws.reshape(*shape, *self.batch_shape, self.dim)

    # -- moments and support -------------------------------------------------------------------------------------------

    @property
    def mean(self) -> Tensor:
        """Mean, shape (*batch, D), as scipy gives it (NaN or inf where it does not exist)."""
        if self._multivariate:
            return self._tensor(self.frozen.loc, (self.dim,))
        return self._tensor(self.frozen.mean()).unsqueeze(-1)

    @property
    def covariance(self) -> Tensor:
        """Covariance, shape (*batch, D, D)."""
        if self._multivariate:
            freedom = self.frozen.df
            factor = freedom / (freedom - 2) if freedom > 2 else math.inf
            return self._tensor(
                np.asarray(self.frozen.shape) * (1.0 if math.isinf(freedom) else factor), (self.dim,) * 2
            )
        variance = self.frozen.variance() if self._new_style else self.frozen.var()
        return self._tensor(variance)[..., None, None]

    def cdf(self, value: Any) -> Tensor:
        """P(X <= value) of a scalar law, shape (..., 1) -> (...), without gradient."""
        x = self._points(value)
        if self._multivariate:
            raise NotImplementedError("the cdf is that of a scalar law")
        shape = torch.broadcast_shapes(x.shape[:-1], self.batch_shape)
        return self._tensor(self.frozen.cdf(x.detach().double().numpy()[..., 0]), shape)

    def icdf(self, value: Any) -> Tensor:
        """The quantile of a scalar law, shape (...) -> (..., 1), without gradient."""
        level = as_tensor(value, "value", dtype=self.dtype).detach()
        if self._multivariate:
            raise NotImplementedError("quantiles are those of a scalar law")
        if not bool(((level >= 0) & (level <= 1)).all()):
            raise ValueError(f"value must be a probability between 0 and 1; got {level.flatten()[0].item():.6g}")
        quantile = (self.frozen.icdf if self._new_style else self.frozen.ppf)(level.numpy())
        return self._tensor(quantile, torch.broadcast_shapes(level.shape, self.batch_shape)).unsqueeze(-1)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The ends of the support, each (*batch, D)."""
        if self._multivariate:
            return super().bounds()
        lower, upper = self.frozen.support()
        return self._tensor(lower).unsqueeze(-1), self._tensor(upper).unsqueeze(-1)

    def _tensor(self, array: Any, shape: tuple[int, ...] | None = None) -> Tensor:
        array = np.asarray(array, dtype=np.float64)
        return torch.from_numpy(np.broadcast_to(array, self.batch_shape if shape is None else shape).copy())

    def _quantiles(self, levels: np.ndarray) -> Tensor:
        levels = levels.reshape(-1, *[1] * len(self.batch_shape))
        quantiles = self.frozen.icdf(levels) if self._new_style else self.frozen.ppf(levels)
        return self._tensor(quantiles, (len(levels), *self.batch_shape))

    def breakpoints(self) -> Tensor:
        """Bulk, tails, singular ends and known kinks of a scalar law, shape (P, *batch)."""
        if self.dim != 1:
            raise ValueError(f"breakpoints are those of a scalar law (D = 1); this one has D = {self.dim}")
        lower, upper = (end[..., 0] for end in self.bounds())
        points = landmarks(lambda x: self._evaluate(x.unsqueeze(-1)), lower, upper, self._quantiles(np.array(LEVELS)))
        kinks = [self._tensor(kink) for kink in _kinks(self.frozen)]
        return torch.cat([torch.stack(kinks), points]) if kinks else points

    # -- sums over a discrete law ------------------------------------------------------------------------------------

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        """Whether `enumerate_support` can list the points of a discrete law."""
        try:
            return self._range[1] >= self._range[0]
        except NotImplementedError:
            return False

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Integers that carry all but `tail_mass` of a discrete law, shape (M, *batch, 1).

        Raises
        ------
        NotImplementedError
            For a continuous law, one off the integers, or a tail so heavy that more than 2^22 points would be needed.
        """
        first, last, _ = self._range
        points = torch.arange(first, last + 1, dtype=self.dtype).reshape(-1, *[1] * len(self.batch_shape), 1)
        return points.expand(-1, *self.batch_shape, -1) if expand else points

    @property
    def tail_mass(self) -> Tensor:
        """The probability that `enumerate_support` leaves out, by scipy's tail functions, shape (*batch)."""
        return self._range[2]

    @remembered
    def _range(self) -> tuple[Any, ...]:
        if self.measure != "counting":
            raise NotImplementedError("a continuous law: its support cannot be listed")
        f = self.frozen
        below, above = (f.cdf, f.ccdf) if self._new_style else (f.cdf, f.sf)
        lower, upper = (end[..., 0] for end in self.bounds())
        anchors = self._quantiles(np.array(LEVELS))
        if not torch.equal(anchors, anchors.round()):
            raise NotImplementedError("a discrete law off the integers: its support is not listed")
        middle, reach = anchors[2], (anchors[4] - anchors[0]).clamp_min(8.0)
        while True:
            first = float(torch.maximum(lower, middle - reach).min())
            last = float(torch.minimum(upper, middle + reach).max())
            if not last - first < LARGEST:
                raise NotImplementedError(f"more than {LARGEST} points are needed: use method='monte-carlo'")
            with np.errstate(all="ignore"):
                tail = self._tensor(below(math.floor(first) - 1)) + self._tensor(above(math.ceil(last)))
            if bool((tail <= TAIL).all()):
                return math.floor(first), math.ceil(last), tail.clamp_min(0.0)
            reach = 1.5 * reach

    def __repr__(self) -> str:
        name = getattr(getattr(self.frozen, "dist", None), "name", type(self.frozen).__name__)
        batch = f", batch={tuple(self.batch_shape)}" if self.batch_shape else ""
        return f"ScipyDistribution({name}{batch})"


def _normal(mean: Any, deviation: Any) -> Gaussian:
    mean, deviation = (torch.as_tensor(np.array(a, dtype=np.float64)) for a in np.broadcast_arrays(mean, deviation))
    return Gaussian.from_factor(mean.unsqueeze(-1), deviation[..., None, None])


def _of_kernel_density(x: Any) -> GaussianMixture:
    """A Gaussian kernel density estimate is a mixture with one component for each sample."""
    means = torch.from_numpy(np.array(x.dataset.T, dtype=np.float64))
    covariance = torch.from_numpy(np.array(x.covariance, dtype=np.float64))
    weights = torch.from_numpy(np.array(x.weights, dtype=np.float64))
    return GaussianMixture(weights, means, covariance.unsqueeze(0))


def _batch_of(frozen: Any, new_style: bool) -> tuple[int, ...]:
    if new_style:
        return tuple(np.shape(frozen.mean())) if not hasattr(frozen, "_shape") else tuple(frozen._shape)
    return np.broadcast_shapes(*(np.shape(a) for a in (*frozen.args, *frozen.kwds.values())))


def _kinks(frozen: Any) -> list[Any]:
    """Points where the density of a known family has a corner, a jump or an interior singularity."""
    if not hasattr(frozen, "dist"):
        return []
    family = frozen.dist
    shapes, loc, scale = family._parse_args(*frozen.args, **frozen.kwds)
    loc, scale = np.asarray(loc, dtype=np.float64), np.asarray(scale, dtype=np.float64)
    if hasattr(family, "_hbins"):
        return [loc + scale * edge for edge in family._hbins]
    if family.name in ("laplace", "laplace_asymmetric", "dgamma", "dweibull", "dpareto_lognorm"):
        return [loc]
    if family.name in ("triang", "trapezoid"):
        return [loc + scale * np.asarray(shape) for shape in shapes]
    if family.name == "loglaplace":
        return [loc + scale]
    return []


class _Opaque(torch.autograd.Function):
    """A value computed outside torch: its backward pass is an error, not a zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, evaluate: Callable[[Tensor], Tensor]) -> Tensor:  # type: ignore[override]
        return evaluate(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise RuntimeError(
            "the log-density of a scipy.stats variable has no gradient: use score(x), or the same family of "
            "torch.distributions"
        )


def _without_gradient(x: Tensor, evaluate: Callable[[Tensor], Tensor]) -> Tensor:
    value = _Opaque.apply(x, evaluate)
    assert isinstance(value, Tensor)
    return value
