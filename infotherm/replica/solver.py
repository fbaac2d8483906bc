"""Solving a network: its entropy, mutual information and error, with what certifies them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.replica.linear import (
    entropy_from_log_determinant,
    parameters_of,
    reason_not_linear,
    second_route,
    solve_linear,
)
from infotherm.replica.linear_state import LinearParameters
from infotherm.replica.network import Network

_CONVERGED = 1e-10


@dataclass(frozen=True, eq=False)
class Branch:
    """One stationary point of the replica potential.

    `entropy` is the potential there; `posterior_variances[l]` the mean square error of a unit of layer l given the last
    layer, `effective_noises[l]` the variance of the Gaussian noise through which such a unit is seen.
    """

    entropy: Estimate
    posterior_variances: tuple[Tensor, ...]
    effective_noises: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Certificate:
    """Why the solution can be trusted.

    `residual` is the largest relative mismatch of a fixed-point equation; `unique` says that there is
    no other stationary point, `unique_because` why; `second_route` is the entropy by other means, `second_method`
    which, and `agrees` whether the two differ by no more than their errors.
    """

    residual: Tensor
    unique: bool
    unique_because: str
    second_route: Estimate
    second_method: str

    def agrees(self, entropy: Estimate) -> bool:
        """Whether the entropy and the second route differ by no more than the sum of their errors."""
        difference = (entropy.value - self.second_route.value).detach().abs()
        return bool((difference <= entropy.error + self.second_route.error).all())


@dataclass(frozen=True, eq=False)
class Solution:
    """The numbers of a network in the limit of many units, per input unit unless asked otherwise.

    Attributes
    ----------
    entropy
        H(T_L) / n_0 in nats.
    mutual_information
        I(T_L; T_(L-1)) / n_0 in nats; it is also I(T_L; X) / n_0 when the inner layers have no noise.
    mmse
        The mean square error of an input unit given the last layer, E Var(x | T_L).
    branches
        The stationary points of the potential, the one taken first.
    certificate
        Residual, uniqueness and the second route.
    status
        "proven" or "conjectured": whether a theorem covers the formula.
    status_reason
        Which theorem, or which hypothesis fails.
    """

    entropy: Estimate
    mutual_information: Estimate
    mmse: Estimate
    branches: tuple[Branch, ...]
    certificate: Certificate
    status: str
    status_reason: str


def solve(net: Network, *, per: str = "input") -> Solution:
    """The entropy H(T_L) / n_0 of the last layer of a random network as n_0 -> infinity, and what comes with it.

    For a Gaussian prior, Gaussian weights and linear activations (what this version covers) the last layer is Gaussian
    with covariance Sigma_L, Sigma_l = W_l Sigma_(l-1) W_l^T + noise_l, and log det(Sigma_L) / n_0 converges to the
    stationary value of an explicit potential; noise in inner layers is included.

    Parameters
    ----------
    net
        The network; parameters may carry a batch.
    per
        "input" divides entropy and mutual information by n_0 (as the papers do), "layer" by n_L.

    Returns
    -------
    Solution
        Estimates of kind "exact", method "fixed-point", of the network's batch shape, in nats (mmse: units "1").
        Their error covers the rounding of the parameters and the residual, which enters the entropy squared.
        The entropy and the mutual information are differentiable in every parameter, and so is the mmse.

    Raises
    ------
    ValueError
        When the network is not covered yet (the message says which prior, weights or activation), when the last layer
        has no noise, or for another `per`.

    Source: Gabrie et al., J. Stat. Mech. (2019) 124014, Eqs. (2)-(6) (Eq. (6) prints "min" over theta: the stationary
    value is meant); for Gaussian matrices the same equations are the deterministic equivalents of Hachem, Loubaton and
    Najim, Ann. Appl. Probab. 17, 875 (2007).

    Examples
    --------
    >>> import infotherm as it
    >>> rp = it.replica
    >>> net = rp.Network(it.Gaussian(0.0, 1.0), [rp.Layer(rp.GaussianWeights(1.0), rp.Linear(), noise=1e-5)])
    >>> solution = rp.solve(net)
    >>> f"{solution.entropy.value:.9f}", solution.status
    ('0.922098312', 'proven')
    """
    if per not in ("input", "layer"):
        raise ValueError(f"per must be 'input' or 'layer'; got {per!r}")
    reason = reason_not_linear(net)
    if reason is not None:
        raise ValueError(f"solve covers Gaussian priors, Gaussian weights and linear activations: {reason}")
    p = parameters_of(net)
    found = solve_linear(p)
    scale = p.widths[-1] if per == "layer" else torch.ones_like(p.prior_variance)

    def estimate(value: Tensor, error: Tensor, units: str = "nat", method: str = "fixed-point") -> Estimate:
        # what the number loses when it goes back to the dtype of the parameters
        error = error + torch.finfo(p.dtype).eps * value.detach().abs()
        return Estimate(value.to(p.dtype), error=error.to(p.dtype), method=method, units=units)

    state = found.state
    if not bool((state.residual < _CONVERGED).all()):
        warnings.warn(
            f"the state evolution did not converge: relative mismatch {state.residual.max().item():.3g}, of which the "
            f"errors take account",
            RuntimeWarning,
            stacklevel=2,
        )
    error = found.log_determinant_error / 2
    # log mmse moves less than log z_0
    mmse_error = state.posterior_variances[0].detach() * (state.input_log_error + 8 * p.eps)
    entropy = estimate(entropy_from_log_determinant(p, found.log_determinant) / scale, error / scale)
    noise = p.widths[-1] * p.noises[-1].log()
    information = (found.log_determinant - noise) / 2
    return Solution(
        entropy=entropy,
        mutual_information=estimate(information / scale, (error + 2 * p.eps * noise.detach().abs()) / scale),
        mmse=estimate(state.posterior_variances[0], mmse_error, "1"),
        branches=(Branch(entropy, state.posterior_variances, state.effective_noises),),
        certificate=_certificate(p, state.residual, scale, estimate),
        status="proven",
        status_reason="Gaussian throughout: the limit of log det is a theorem on random matrices",
    )


def _certificate(
    p: LinearParameters, residual: Tensor, scale: Tensor, estimate: Callable[..., Estimate]
) -> Certificate:
    log_determinant, error, method = second_route(p)
    entropy = entropy_from_log_determinant(p, log_determinant)
    rounding = rounding_error([entropy, log_determinant, p.noises[-1].log() * p.widths[-1]])
    return Certificate(
        residual=residual.to(p.dtype),
        unique=True,
        unique_because="every step of the recursion increases with the effective noise of the input",
        second_route=estimate((entropy / scale).detach(), (error / 2 + rounding) / scale, method="quadrature"),
        second_method=method,
    )
