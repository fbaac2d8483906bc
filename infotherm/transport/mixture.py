"""The Wasserstein distance among couplings of Gaussian mixtures that are Gaussian mixtures themselves."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.distributions import Gaussian, GaussianMixture, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.transport.atoms import rooted
from infotherm.transport.discrete import optimal_transport
from infotherm.transport.orders import require_same_dim
from infotherm.transport.second_order import bures_and_shift, parameter_error


def mixture_wasserstein(p: Any, q: Any) -> Estimate:
    """MW2, an upper bound on W2 of two Gaussian mixtures: whole components are moved onto whole components.

    MW2(p, q)^2 = min over plans P of the weights of sum_kl P_kl W2(N_k, N_l)^2. It is a distance between mixtures,
    equal to W2 for single Gaussians and for mixtures of point masses.

    Parameters
    ----------
    p, q
        Gaussian mixtures, Gaussians, or laws that are mixtures of Gaussians (`Empirical`, `SpikeSlab`), without batch.

    Returns
    -------
    Estimate
        Kind "upper", units "1"; the error holds those of the components' distances and the duality gap. Differentiable
        in weights, means and covariances. `info` has the plan (K_p, K_q).

    Raises
    ------
    ValueError
        For other laws, a batch of them, or dimensions that differ.
    ModuleNotFoundError
        Without the package POT.

    Source: Delon and Desolneux, SIAM J. Imaging Sci. 13, 936 (2020), Proposition 4.

    Examples
    --------
    >>> import infotherm as it
    >>> p = it.GaussianMixture([0.5, 0.5], [-1.0, 1.0], [0.25, 0.25])
    >>> mixture_wasserstein(p, it.Gaussian(0.0, 0.25)).value.item()
    1.0
    """
    laws = [as_distribution(law, name) for law, name in ((p, "p"), (q, "q"))]
    require_same_dim(*laws)
    (a, first), (b, second) = (_components(law, name) for law, name in zip(laws, "pq", strict=True))
    rows = [t.unsqueeze(1) for t in (first.mean, first.factor)]
    distances, errors = bures_and_shift(rows[0], rows[1], second.mean, second.factor)
    errors = errors + parameter_error(first)[:, None] + parameter_error(second)
    moved = optimal_transport(a, b, distances.square())
    # costs that are off by so much move the least cost by no more
    off = (2 * distances.detach() * errors + errors.square()).amax() + rounding_error([distances.square()]).amax()
    found = rooted(moved.cost.value, moved.cost.error + off, 2.0, 1.0, "closed-form")
    info = {"plan": moved.plan, "duality_gap": moved.gap}
    return Estimate(found.value, error=found.error, kind="upper", units="1", info=info)


def _components(law: Distribution, name: str) -> tuple[Tensor, Gaussian]:
    """Weights (K,) and Gaussians of batch (K,)."""
    if law.batch_shape:
        raise ValueError(f"{name} must be one mixture; got the batch shape {tuple(law.batch_shape)}")
    if isinstance(law, Gaussian):
        return law.mean.new_ones(1), law._changed(lambda field, events: field[None], None)
    mixture = law if isinstance(law, GaussianMixture) else getattr(law, "as_gaussian_mixture", lambda: None)()
    if mixture is None:
        raise ValueError(f"{name} must be a mixture of Gaussians; got {law!r}")
    return mixture.weights, mixture.components
