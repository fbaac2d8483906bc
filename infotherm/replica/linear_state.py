"""The effective noises of a linear network: through how much noise a unit of each layer is seen from the last one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

# e^-700 ... e^700 is the range of positive float64 numbers; 66 halvings of it leave less than an ulp of the logarithm
_LOG_RANGE = 700.0
_HALVINGS = 66
_NEWTON_STEPS = 60
_LONGEST_STEP = 3.0


@dataclass(frozen=True)
class LinearParameters:
    """Prior variance, aspect ratios, weight variances and noises of a linear network, in float64 and one batch shape.

    `eps` is the unit roundoff of the numbers as they were given.
    """

    prior_variance: Tensor
    alphas: tuple[Tensor, ...]
    variances: tuple[Tensor, ...]
    noises: tuple[Tensor, ...]
    eps: float
    dtype: torch.dtype

    @property
    def widths(self) -> tuple[Tensor, ...]:
        """n_l / n_0 for l = 0, ..., L."""
        widths = [torch.ones_like(self.prior_variance)]
        for alpha in self.alphas:
            widths.append(widths[-1] * alpha)
        return tuple(widths)

    def detached(self, last_noise: Tensor | None = None) -> LinearParameters:
        """The same numbers without gradient, expanded to the shape of `last_noise` where one is given instead."""
        prior, alphas, variances, noises = self.prior_variance, self.alphas, self.variances, self.noises
        if last_noise is not None:
            noises = (*noises[:-1], last_noise)
        shape = noises[-1].shape
        alphas, variances, noises = (
            tuple(x.detach().expand(shape) for x in group) for group in (alphas, variances, noises)
        )
        return replace(
            self, prior_variance=prior.detach().expand(shape), alphas=alphas, variances=variances, noises=noises
        )


@dataclass(frozen=True)
class LinearState:
    """The solution of the state evolution, layer by layer (l = 0 is the input).

    Attributes
    ----------
    effective_noises
        z_l, l < L: a unit of layer l is seen through Gaussian noise of this variance.
    posterior_variances
        Its mean square error given the last layer, l < L.
    hidden_errors
        tau_l, l >= 1: the posterior variance of a pre-activation of layer l.
    log_error
        How far any log z_l can be from the fixed point, of the batch shape.
    input_log_error
        The same for log z_0.
    residual
        The largest relative mismatch of an equation.
    """

    effective_noises: tuple[Tensor, ...]
    posterior_variances: tuple[Tensor, ...]
    hidden_errors: tuple[Tensor, ...]
    log_error: Tensor
    input_log_error: Tensor
    residual: Tensor


def linear_state(p: LinearParameters) -> LinearState:
    """The one solution of alpha_l variance_l z_(l-1) = z_l + noise_l + tau_l for l = 1, ..., L, where z_L = 0.

    With rest_0 = rho / (z_0 + rho), rest_l = (noise_l + tau_l) / (z_l + noise_l + tau_l): tau_(l+1) = variance_(l+1)
    z_l rest_l. These are sums of positive numbers, so that Newton's method in log z is accurate to the condition of the
    problem. It starts from a bisection in z_0, which proves that there is one solution. Differentiable once.

    Raises
    ------
    ValueError
        When an effective noise is not a positive float64 number.
    """
    fixed = p.detached()
    logs = _start(fixed)
    for _ in range(_NEWTON_STEPS):
        mismatch, jacobian, _ = _equations(fixed, logs)
        step = torch.linalg.solve(jacobian, mismatch[..., None])[..., 0]
        logs = logs - step.clamp(-_LONGEST_STEP, _LONGEST_STEP)
        if bool((step.abs() < 1e-13).all()):
            break
    mismatch, jacobian, _ = _equations(fixed, logs)
    inverse = torch.linalg.inv(jacobian)
    # parameters and arithmetic move every equation by a few eps
    reach = inverse.abs() @ (mismatch.abs() + (8 + 2 * len(p.alphas)) * p.eps)[..., None]
    # one more step, which carries the gradient of the implicit function
    logs = logs - (inverse @ _equations(p, logs)[0][..., None])[..., 0]
    _, _, hidden = _equations(p, logs)
    noises = logs.exp()
    posterior = [tau / variance for tau, variance in zip(hidden, p.variances, strict=True)]
    return LinearState(
        effective_noises=noises.unbind(-1),
        posterior_variances=tuple(posterior),
        hidden_errors=tuple(hidden),
        log_error=reach[..., 0].amax(-1),
        input_log_error=reach[..., 0, 0],
        residual=mismatch.abs().amax(-1),
    )


def _equations(p: LinearParameters, logs: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """log[(z_l + noise_l + tau_l) / (alpha_l variance_l z_(l-1))], its Jacobian in log z, and the tau_l."""
    depth = len(p.alphas)
    units = torch.eye(depth, dtype=logs.dtype, device=logs.device)
    z = logs.exp().unbind(-1)
    rest = p.prior_variance / (z[0] + p.prior_variance)  # 1 - u_l, the share of the posterior that z_l does not fill
    slope = rest[..., None] * units[0]  # d log tau / d log z
    mismatches, rows, hidden = [], [], []
    for layer in range(depth):
        alpha, variance, noise = p.alphas[layer], p.variances[layer], p.noises[layer]
        tau = variance * z[layer] * rest
        hidden.append(tau)
        last = layer + 1 == depth
        following = torch.zeros_like(tau) if last else z[layer + 1]
        total = following + noise + tau
        mismatches.append((total / (alpha * variance * z[layer])).log())
        row = (tau / total)[..., None] * slope - units[layer]
        if not last:
            seen, known = following / total, noise + tau
            row = row + seen[..., None] * units[layer + 1]
            share = torch.where(known > 0, tau / torch.where(known > 0, known, 1.0), 0.0)
            slope = (1 - seen)[..., None] * units[layer + 1] + (seen * share)[..., None] * slope
            rest = known / total
        rows.append(row)
    return torch.stack(mismatches, -1), torch.stack(rows, -2).detach(), hidden


def _start(p: LinearParameters) -> Tensor:
    """Logarithms of effective noises near the solution, (*batch, L), by bisection in the first of them.

    Climbing from z_0 with u_l = z_l tr(z_l + Sigma_l)^-1 / n_l, u_0 = z_0 / (z_0 + rho):
    u_l = (alpha_l - 1 + u_(l-1)) / alpha_l - noise_l / g_l and z_l = g_l u_l with g_l = alpha_l variance_l z_(l-1).
    Every u_l increases with z_0 where the earlier ones are positive, so that u_L = 0 has one solution.
    """
    low = torch.full_like(p.prior_variance, -_LOG_RANGE)
    high = -low
    for end, above in ((low, False), (high, True)):
        if not bool((_climb(p, end)[0] == above).all()):
            raise ValueError("the parameters of the network span more than the range of float64 numbers: rescale them")
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = _climb(p, middle)[0]
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    # rounding can leave little of a climb: what follows a layer bounds its noise from below
    noises = _climb(p, high)[1]
    floor = torch.zeros_like(high)
    for layer in range(len(p.alphas) - 1, -1, -1):
        floor = (floor + p.noises[layer]) / (p.alphas[layer] * p.variances[layer])
        noises[layer] = torch.maximum(noises[layer], floor)
    return torch.stack(noises, -1).log()


def _climb(p: LinearParameters, log_noise: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Whether every u_l is positive when z_0 = e^log_noise, and the z_l as far as they are."""
    z = log_noise.exp()
    u = 1 / (1 + p.prior_variance / z)
    noises, positive = [z], torch.ones_like(z, dtype=torch.bool)
    for layer, (alpha, variance, noise) in enumerate(zip(p.alphas, p.variances, p.noises, strict=True)):
        gain = alpha * variance * z
        u = (alpha - 1 + u) / alpha - noise / gain
        positive = positive & (u > 0)
        # once an u_l is not positive z_0 is known to be too small; ones keep the rest defined
        u = torch.where(positive, u, 1.0)
        z = torch.where(positive, gain * u, 1.0)
        if layer + 1 < len(p.alphas):
            noises.append(torch.where(positive, z, 0.0))
    return positive, noises
