"""as_distribution: whatever a stranger brings, as one of our laws or through an adapter."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
import torch
import torch.distributions as td
from torch import Tensor

from infotherm.distributions.base import Distribution
from infotherm.distributions.discrete import Discrete
from infotherm.distributions.formulas import success_and_failure
from infotherm.distributions.gaussian import Gaussian
from infotherm.distributions.mixture import GaussianMixture
from infotherm.distributions.torch_adapter import TorchDistribution


@singledispatch
def as_distribution(x: Any, name: str = "p") -> Distribution:
    """`x` as a law with one event dimension, a scalar law with D = 1; batch, dtype, device and gradients are kept.

    Our own laws pass through. Of `torch.distributions`, normal laws and their mixtures become Gaussian and
    GaussianMixture, Bernoulli and categorical laws Discrete, and the others a TorchDistribution. Frozen variables of
    scipy.stats (also its newer distribution objects and gaussian_kde) become the same families or a
    ScipyDistribution. Other types are registered by `as_distribution.register(Type)` with a function of (x, name).

    Parameters
    ----------
    x
        The law.
    name
        What error messages call it.

    Raises
    ------
    TypeError
        For bare arrays, which could be probabilities or samples: wrap them as `Discrete` or `Empirical`; for laws
        without a density on R^D; for anything that is no law.

    Examples
    --------
    >>> as_distribution(torch.distributions.Normal(torch.zeros(5), 1.0))
    Gaussian(D=1, batch=(5,), dtype=float32)
    >>> as_distribution([0.5, 0.5])
    Traceback (most recent call last):
        ...
    TypeError: p is a bare list, which could mean probabilities or samples: give Discrete(pmf) or Empirical(samples)
    """
    origins = {cls.__module__.split(".")[0] for cls in type(x).__mro__}
    if "scipy" in origins:
        from infotherm.distributions.scipy_adapter import from_scipy

        return from_scipy(x, name)
    if "xarray" in origins or "pandas" in origins:
        return _refuse_array(x, name)
    if not isinstance(x, type) and all(
        hasattr(x, attribute) for attribute in ("sample", "log_prob", "batch_shape", "event_shape")
    ):
        return TorchDistribution(x)  # made after torch's pattern, without its base class
    if callable(x) and not isinstance(x, type):
        raise TypeError(f"{name} is a function: give LogDensity(function) if it computes a log-density")
    raise TypeError(
        f"{name} must be a distribution (of infotherm, torch.distributions or a frozen scipy.stats variable); got "
        f"{type(x).__name__}: register its type with as_distribution.register, or give LogDensity or Empirical"
    )


def _refuse_array(x: Any, name: str = "p") -> Distribution:
    raise TypeError(
        f"{name} is a bare {type(x).__name__}, which could mean probabilities or samples: give Discrete(pmf) or "
        f"Empirical(samples)"
    )


for _array in (Tensor, np.ndarray, np.generic, list, tuple, int, float):
    as_distribution.register(_array)(_refuse_array)


@as_distribution.register
def _own(x: Distribution, name: str = "p") -> Distribution:
    return x


@as_distribution.register
def _torch(x: td.Distribution, name: str = "p") -> Distribution:
    return TorchDistribution(x)


def _is_plain(x: td.Distribution, family: type) -> bool:
    """Whether x has the density of `family`: a stranger's subclass may have changed it."""
    return type(x).log_prob is family.log_prob


@as_distribution.register
def _normal(x: td.Normal, name: str = "p") -> Distribution:
    if not _is_plain(x, td.Normal):
        return TorchDistribution(x)
    return Gaussian.from_factor(x.loc.unsqueeze(-1), x.scale[..., None, None])


@as_distribution.register
def _multivariate_normal(x: td.MultivariateNormal, name: str = "p") -> Distribution:
    if not _is_plain(x, td.MultivariateNormal):
        return TorchDistribution(x)
    return Gaussian.from_factor(x.loc, x.scale_tril)


@as_distribution.register
def _low_rank_normal(x: td.LowRankMultivariateNormal, name: str = "p") -> Distribution:
    if not _is_plain(x, td.LowRankMultivariateNormal):
        return TorchDistribution(x)
    return Gaussian(x.loc, x.covariance_matrix)


@as_distribution.register
def _categorical(x: td.Categorical, name: str = "p") -> Distribution:
    return Discrete(x.probs) if _is_plain(x, td.Categorical) else TorchDistribution(x)


@as_distribution.register
def _one_hot(x: td.OneHotCategorical, name: str = "p") -> Distribution:
    """The law of the index of the one: the same information."""
    return Discrete(x.probs) if _is_plain(x, td.OneHotCategorical) else TorchDistribution(x)


@as_distribution.register
def _bernoulli(x: td.Bernoulli, name: str = "p") -> Distribution:
    if not _is_plain(x, td.Bernoulli):
        return TorchDistribution(x)
    one, zero = success_and_failure(x)
    return Discrete(torch.stack([zero, one], dim=-1))


@as_distribution.register
def _independent(x: td.Independent, name: str = "p") -> Distribution:
    """A product of normal laws is a Gaussian with a diagonal factor."""
    if x.reinterpreted_batch_ndims == 0:
        return as_distribution(x.base_dist, name)
    base = x.base_dist
    if not (isinstance(base, td.Normal) and _is_plain(base, td.Normal) and _is_plain(x, td.Independent)):
        return TorchDistribution(x)
    flat = (*x.batch_shape, x.event_shape.numel())
    return Gaussian.from_factor(base.loc.reshape(flat), torch.diag_embed(base.scale.reshape(flat)))


@as_distribution.register
def _mixture(x: td.MixtureSameFamily, name: str = "p") -> Distribution:
    """Mixtures of normal laws are ours, mixtures of finite laws are finite laws."""
    if not _is_plain(x, td.MixtureSameFamily):
        return TorchDistribution(x)
    component = as_distribution(x.component_distribution, name)
    weights = x.mixture_distribution.probs.expand(component.batch_shape)
    if isinstance(component, Gaussian):
        return GaussianMixture(weights, component.mean, component.covariance)
    if isinstance(component, Discrete):
        return Discrete((weights.unsqueeze(-1) * component.pmf).sum(-2))
    return TorchDistribution(x)


def as_torch(p: Distribution) -> td.Distribution | None:
    """The torch distribution of the same density, None where torch has none: the way back from `as_distribution`.

    Scalar Gaussians become Normal, others MultivariateNormal, one-part Discrete laws Categorical.

    Examples
    --------
    >>> as_torch(Gaussian(0.0, 4.0))
    Normal(loc: 0.0, scale: 2.0)
    """
    if isinstance(p, TorchDistribution):
        return p.base
    if type(p) is Gaussian and not bool(p.degenerate.any()):
        if p.dim == 1:
            return td.Normal(p.mean[..., 0], p.scale_tril[..., 0, 0], validate_args=False)
        return td.MultivariateNormal(p.mean, scale_tril=p.scale_tril, validate_args=False)
    if type(p) is Discrete and p.dim == 1:
        return td.Categorical(probs=p.pmf, validate_args=False)
    return None
