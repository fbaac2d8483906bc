"""Linear networks with a Gaussian prior and Gaussian weights: exact, by the deterministic equivalent of a log det."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import integrate
from infotherm.core.sample_means import from_samples
from infotherm.core.tensors import Generator, as_generator, as_tensors, stream_of
from infotherm.distributions import Gaussian
from infotherm.replica.activations import Linear
from infotherm.replica.linear_state import LinearParameters, LinearState, linear_state
from infotherm.replica.network import Network
from infotherm.replica.spectra import GaussianWeights, fuss_catalan_log_determinant, marchenko_pastur_log_determinant

_PANELS = 16


def reason_not_linear(net: Network) -> str | None:
    """Why the exact linear solution does not cover this network, or None."""
    if not isinstance(net.prior, Gaussian):
        return f"the prior must be a Gaussian for now; got {type(net.prior).__name__}"
    for number, layer in enumerate(net.layers, 1):
        if not isinstance(layer.activation, Linear):
            return f"every activation must be Linear for now; layer {number} has {layer.activation!r}"
        if not isinstance(layer.weights, GaussianWeights):
            return f"weights must be GaussianWeights for now; layer {number} has {layer.weights!r}"
    return None


def parameters_of(net: Network) -> LinearParameters:
    """The numbers of a linear network.

    Raises
    ------
    ValueError
        When the noise of the last layer is not positive: its entropy is then minus infinity or ill-defined.
    """
    named: dict[str, Any] = {"prior variance": net.prior.variance[..., 0]}
    for number, layer in enumerate(net.layers, 1):
        named |= {
            f"alpha of layer {number}": layer.weights.alpha,
            f"variance of layer {number}": layer.weights.variance,
            f"noise of layer {number}": layer.noise,
        }
    tensors = as_tensors(**named)
    dtype = tensors[0].dtype
    prior, *rest = (t.to(torch.float64).expand(net.batch_shape) for t in tensors)
    if not bool((rest[-1] > 0).all()):
        raise ValueError(f"the last layer needs a noise > 0; got {rest[-1].min().item()}")
    return LinearParameters(
        prior, tuple(rest[0::3]), tuple(rest[1::3]), tuple(rest[2::3]), torch.finfo(dtype).eps, dtype
    )


@dataclass(frozen=True)
class LinearSolution:
    """log det(Sigma_L) / n_0 in the limit, its error, and the state of every layer."""

    log_determinant: Tensor
    log_determinant_error: Tensor
    state: LinearState


def solve_linear(p: LinearParameters) -> LinearSolution:
    """The potential of a linear network at its stationary point.

    Per input unit, with w_l = n_l / n_0, z_L = 0 and tau_l the posterior variance of a pre-activation of layer l,
    log det(Sigma_L) / n_0 = log(z_0 + rho) + sum_l [w_l log(z_l + noise_l + tau_l) - w_(l-1) log z_(l-1)
    - w_(l-1) tau_l / (variance_l z_(l-1))], stationary in every z and tau: an error of the fixed point enters squared,
    and the gradient with respect to the parameters is that of the explicit terms.
    """
    state = linear_state(p)
    z = [x.detach() for x in state.effective_noises]
    total = (z[0] + p.prior_variance).log()
    size = total.detach().abs() + 1
    widths = p.widths
    for layer in range(len(p.alphas)):
        tau = state.hidden_errors[layer].detach()
        following = z[layer + 1] if layer + 1 < len(z) else torch.zeros_like(tau)
        outer = widths[layer + 1] * (following + p.noises[layer] + tau).log()
        inner = widths[layer] * z[layer].log()
        correction = widths[layer] * tau / (p.variances[layer] * z[layer])
        total = total + outer - inner - correction
        # relative errors of the parameters, and of the ratios through which the widths are known
        size = size + (layer + 2) * (outer.abs() + inner.abs()) + correction + widths[layer] + widths[layer + 1]
    second_order = 4 * sum(w.detach() for w in widths) * state.log_error.square()
    return LinearSolution(total, 4 * p.eps * size.detach() + second_order, state)


def entropy_from_log_determinant(p: LinearParameters, log_determinant: Tensor) -> Tensor:
    """H(T_L) / n_0 of the Gaussian law of the last layer."""
    return (log_determinant + p.widths[-1] * math.log(2 * math.pi * math.e)) / 2


def second_route(p: LinearParameters) -> tuple[Tensor, Tensor, str]:
    """The log-determinant again without the fixed point's potential: value, error, and how.

    From the limiting spectral density where it is explicit (Marchenko-Pastur for one layer, Fuss-Catalan for square
    layers without inner noise), else by integrating the error of the pre-activations over the last noise (I-MMSE).
    """
    p = p.detached()
    signal = p.prior_variance * torch.stack(p.variances).prod(0)
    inner_noise = any(bool((noise > 0).any()) for noise in p.noises[:-1])
    if len(p.alphas) == 1:
        integral = marchenko_pastur_log_determinant(p.alphas[0], signal, p.noises[0])
        return integral.value, integral.error, "Marchenko-Pastur density"
    if not inner_noise and all(bool((alpha == 1).all()) for alpha in p.alphas):
        integral = fuss_catalan_log_determinant(len(p.alphas), signal, p.noises[-1])
        return integral.value, integral.error, "Fuss-Catalan density"
    return _integrated_over_noise(p)


def _integrated_over_noise(p: LinearParameters) -> tuple[Tensor, Tensor, str]:
    variance = p.prior_variance
    for weight, noise in zip(p.variances, p.noises, strict=True):
        pre_activation = weight * variance
        variance = pre_activation + noise
    low, scale = p.noises[-1].log(), pre_activation.log()
    # beyond e^40 times the signal the integrand, which is below signal / noise, no longer counts
    high = torch.maximum(low, scale) + 40.0

    def integrand(log_noise: Tensor) -> Tensor:
        error = linear_state(p.detached(log_noise.exp())).hidden_errors[-1]
        return error / (log_noise.exp() + error)

    steps = torch.linspace(0.0, 1.0, _PANELS, dtype=low.dtype, device=low.device).reshape(-1, *[1] * low.ndim)
    marks = torch.cat([scale[None], low + steps * (high - low)])
    integral = integrate(integrand, low, high, breakpoints=marks, atol=1e-14)
    width = p.widths[-1]
    return (
        width * (p.noises[-1].log() + integral.value),
        width * integral.error,
        "integral of the error over the last noise",
    )


def finite_size_log_determinant(net: Network, n: int, generator: Generator = None, *, draws: int = 8) -> Estimate:
    """H(T_L) / n_0 of a linear network of n_0 = n input units, averaged over sampled weights.

    Every draw of the weights gives the exact entropy (1/2n) [n_L log(2 pi e) + log det Sigma_L] with
    Sigma_l = W_l Sigma_(l-1) W_l^T + noise_l. Kind "estimate" of the average at this size, by Monte Carlo; the average
    differs from the limit that `solve` gives by a term of order 1/n, which the error does not contain.

    Parameters
    ----------
    net
        A network with a Gaussian prior, Gaussian weights and linear activations; aspect ratios without a batch.
    n
        The number of input units; layer l gets round(n_l / n_0 * n) units.
    generator
        A torch.Generator or a seed.
    draws
        The number of independent sets of weights, at least 2.

    Raises
    ------
    ValueError
        When the network is not linear, its aspect ratios differ within the batch, or a layer would have no unit.

    Examples
    --------
    >>> import infotherm as it
    >>> rp = it.replica
    >>> net = rp.Network(it.Gaussian(0.0, 1.0), [rp.Layer(rp.GaussianWeights(0.5), rp.Linear(), noise=0.1)])
    >>> sampled = rp.finite_size_log_determinant(net, 200, generator=0)
    >>> bool(abs(sampled.value - rp.solve(net).entropy.value) < 4 * sampled.stderr + 1 / 200)
    True
    """
    reason = reason_not_linear(net)
    if reason is not None:
        raise ValueError(f"finite_size_log_determinant needs a linear network: {reason}")
    if n < 1 or draws < 2:
        raise ValueError(f"n must be >= 1 and draws >= 2; got n = {n}, draws = {draws}")
    p = parameters_of(net)
    sizes = [n]
    for number, width in enumerate(p.widths[1:], 1):
        if bool((width != width.flatten()[0]).any()):
            raise ValueError(f"aspect ratios must be the same over the batch; those up to layer {number} differ")
        sizes.append(round(width.flatten()[0].item() * n))
        if sizes[-1] < 1:
            raise ValueError(f"layer {number} would have no unit at n = {n}: take a larger n")
    device = p.prior_variance.device
    source = as_generator(generator, device)
    stream = stream_of(source, device)
    values, errors = [], []
    for _ in range(draws):
        covariance = p.prior_variance[..., None, None] * torch.eye(n, dtype=torch.float64, device=device)
        for layer, (variance, noise) in enumerate(zip(p.variances, p.noises, strict=True)):
            shape = (*net.batch_shape, sizes[layer + 1], sizes[layer])
            normal = torch.randn(shape, dtype=torch.float64, device=device, generator=source)
            weights = normal * (variance / sizes[layer]).sqrt()[..., None, None]
            identity = torch.eye(sizes[layer + 1], dtype=torch.float64, device=device)
            covariance = weights @ covariance @ weights.mT + noise[..., None, None] * identity
        factor = torch.linalg.cholesky(covariance)
        log_determinant = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        values.append((sizes[-1] * math.log(2 * math.pi * math.e) + log_determinant) / (2 * n))
        # the smallest eigenvalue is at least the last noise
        norm = torch.linalg.matrix_norm(covariance.detach())
        errors.append(torch.finfo(torch.float64).eps * norm * sizes[-1] / (2 * n * p.noises[-1].detach()))
    sampled = from_samples(
        torch.stack(values),
        streams=[stream],
        error=torch.stack(errors).mean(0),
        input_units=n,
        limitation=f"the mean over weights at n_0 = {n}; it differs from the limit by O(1/n_0)",
    )
    return sampled.to(p.dtype)
