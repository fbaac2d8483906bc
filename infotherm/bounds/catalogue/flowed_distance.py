"""The Wasserstein-1 distance between a scalar law and another one, after both were carried by the same flow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import integrate
from infotherm.distributions import Gaussian, GaussianMixture, as_distribution

Law = Gaussian | GaussianMixture

_LAST_LEVEL = 1e-36
_HALVINGS = 54


def flowed_distance(initial: Any, final: Any, perturbed: Any, *, tolerance: float = 1e-11) -> Estimate:
    r"""W1(final, the image of `perturbed`) under the flow that takes `initial` to `final`, all scalar.

    On a line a flow keeps the order of its points: its map is T = F_final^-1(F_initial(x)), and with it
    W1 = integral of |F_initial - F_perturbed| T'(x) dx, T' = p_initial(x) / p_final(T(x)). Of Gaussians T' is the ratio
    of their deviations.

    Parameters
    ----------
    initial, final
        Laws with densities, Gaussians or mixtures of them, whose batches broadcast: both ends of the flow.
    perturbed
        The law that is carried along, close enough for a finite chi-square divergence from `initial`.
    tolerance
        Relative tolerance of the quadrature.

    Returns
    -------
    Estimate
        Units "1", kind "exact" by quadrature.

    Raises
    ------
    TypeError
        When a law is neither a Gaussian nor a mixture of them.
    ValueError
        When one is not scalar.

    Examples
    --------
    >>> start, end = Gaussian(0.0, 1.0), Gaussian(5.0, 4.0)
    >>> flowed_distance(start, end, Gaussian(0.3, 1.0)).value  # the shift doubles with the width
    tensor(0.6000, dtype=torch.float64)
    """
    initial, final, perturbed = (
        _checked(law, name) for law, name in ((initial, "initial"), (final, "final"), (perturbed, "perturbed"))
    )
    batch = torch.broadcast_shapes(initial.batch_shape, final.batch_shape, perturbed.batch_shape)
    last = torch.full(batch, _LAST_LEVEL, dtype=initial.dtype, device=initial.device)
    lower, upper = _quantile(initial, last, 1 - last), _quantile(initial, 1 - last, last)

    def integrand(x: Tensor) -> Tensor:
        left, right = _below(initial, x), _above(initial, x)
        # each tail by the probability that is small there
        gap = torch.where(left < right, left - _below(perturbed, x), _above(perturbed, x) - right).abs()
        image = _quantile(final, left, right)[..., None]
        return gap * torch.exp(initial.log_prob(x[..., None]) - final.log_prob(image))

    marks = torch.cat([_over(law.breakpoints(), batch) for law in (initial, perturbed)])
    found = integrate(integrand, lower, upper, breakpoints=marks, rtol=tolerance)
    width = (final.variance[..., 0] + perturbed.variance[..., 0]).sqrt()
    # probabilities are known to eps, and beyond the last level sqrt(chi2 level) is left
    error = found.error + 16 * torch.finfo(width.dtype).eps * width.detach()
    info = {} if found.converged else {"converged": False}
    return Estimate(found.value, error=error, method="quadrature", units="1", info=info)


def _checked(law: Any, name: str) -> Law:
    law = as_distribution(law, name)
    if not isinstance(law, Gaussian | GaussianMixture):
        raise TypeError(f"{name} must be a Gaussian or a mixture of them; got {type(law).__name__}")
    if law.dim != 1:
        raise ValueError(f"{name} must be scalar; got D = {law.dim}")
    return law


def _components(law: Law) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and deviations of a scalar law, (..., K)."""
    if isinstance(law, Gaussian):
        return torch.ones_like(law.mean), law.mean, law.scale_tril[..., 0]
    return law.weights, law.means[..., 0], law.covariances[..., 0, 0].sqrt()


def _below(law: Law, x: Tensor) -> Tensor:
    """P(X <= x), accurate relative to itself in the lower tail."""
    weights, means, deviations = _components(law)
    return (weights * torch.special.log_ndtr((x[..., None] - means) / deviations).exp()).sum(-1)


def _above(law: Law, x: Tensor) -> Tensor:
    """P(X > x), accurate relative to itself in the upper tail."""
    weights, means, deviations = _components(law)
    return (weights * torch.special.log_ndtr((means - x[..., None]) / deviations).exp()).sum(-1)


def _quantile(law: Law, below: Tensor, above: Tensor) -> Tensor:
    """The x with P(X <= x) = below, P(X > x) = above, by bisection between the quantiles of the components."""
    _, means, deviations = _components(law)
    steps = torch.special.ndtri(torch.minimum(below, above))[..., None]
    own = means + deviations * torch.where((below < above)[..., None], steps, -steps)
    low, high = own.amin(-1), own.amax(-1)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        short = torch.where(below < above, _below(law, middle) < below, _above(law, middle) > above)
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return 0.5 * (low + high)


def _over(marks: Tensor, batch: torch.Size) -> Tensor:
    return marks.reshape(len(marks), *[1] * (len(batch) + 1 - marks.ndim), *marks.shape[1:]).expand(-1, *batch)
