"""The evidence lower bound of a diffusion model: reconstruction, prior matching, denoising matching."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from infotherm.channels.base import Channel
from infotherm.channels.gaussian import LinearGaussianChannel
from infotherm.core.estimate import Estimate, exact, stack
from infotherm.core.sample_means import from_samples
from infotherm.core.tensors import Generator, as_generator, as_tensor, require_finite, stream_of
from infotherm.distributions import Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.distributions.gaussian_forms import gaussian_kl
from infotherm.information.conditional_entropies import conditional_entropy
from infotherm.information.divergences import kl
from infotherm.information.mutual_informations import mutual_information
from infotherm.processes.base import AffineProcess


class ReverseModel(Protocol):
    """A generative model of a diffusion: a law at the last time, and kernels that lead back."""

    prior: Distribution

    def reverse(self, t0: float, t1: float) -> Channel:
        """The model's law p(x_t0 | x_t1), t0 < t1, as a channel from x_t1."""
        ...


class ExactReversal:
    """The true reversal of a process that starts from `data`: with it the bound is tight.

    Parameters
    ----------
    process
        An affine process.
    data
        The law at time 0, a Gaussian or a mixture of Gaussians with a density.
    horizon
        The last time, whose marginal is the prior.

    Examples
    --------
    >>> from infotherm.processes import OrnsteinUhlenbeck
    >>> model = ExactReversal(OrnsteinUhlenbeck(1.0, 2.0**0.5), Gaussian(0.0, 1.0), horizon=3.0)
    >>> model.prior.variance.item()
    1.0
    """

    def __init__(self, process: AffineProcess, data: Any, horizon: float) -> None:
        self.process = process
        self.data = as_distribution(data, "data")
        self.prior = process.marginal(self.data, horizon)

    def reverse(self, t0: float, t1: float) -> Channel:
        """Bayes at t0 < t1."""
        return self.process.transition(t0, t1).reverse(self.process.marginal(self.data, t0))


class DenoiserReversal:
    """The reversal that a denoiser defines: p(x_s | x_t) = q(x_s | x_t, x_0 = denoiser(x_t, t)).

    Parameters
    ----------
    process
        An affine process.
    denoiser
        Function of x, shape (..., D), and t that gives a guess of x_0, shape (..., D).
    prior
        The law from which generation starts.
    final_variance
        Variance per coordinate of the last step's law p(x_0 | x_t) around the guess.

    Examples
    --------
    >>> from infotherm.processes import OrnsteinUhlenbeck
    >>> process = OrnsteinUhlenbeck(1.0, 2.0**0.5)
    >>> model = DenoiserReversal(process, lambda x, t: 0 * x, Gaussian(0.0, 1.0), final_variance=0.1)
    >>> model.reverse(0.0, 0.5)([2.0]).variance.item()
    0.1
    """

    def __init__(
        self,
        process: AffineProcess,
        denoiser: Callable[[Tensor, float], Tensor],
        prior: Any,
        *,
        final_variance: float,
    ) -> None:
        if not final_variance > 0:
            raise ValueError(f"final_variance must be > 0; got {final_variance}")
        self.process = process
        self.denoiser = denoiser
        self.prior = as_distribution(prior, "prior")
        self.final_variance = final_variance

    def reverse(self, t0: float, t1: float) -> Channel:
        """The kernel of one step, from x_t1."""
        return _DenoiserStep(self, t0, t1)


class _DenoiserStep(Channel):
    def __init__(self, model: DenoiserReversal, t0: float, t1: float) -> None:
        self.model, self.t0, self.t1 = model, t0, t1

    def __call__(self, x: Any) -> Distribution:
        x = as_tensor(x, "x")
        guess = self.model.denoiser(x, self.t1)
        if guess.shape != x.shape:
            raise ValueError(f"the denoiser must give shape {tuple(x.shape)}; got {tuple(guess.shape)}")
        if self.t0 == 0:
            eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
            return Gaussian.from_factor(guess, self.model.final_variance**0.5 * eye)
        return bridge(self.model.process, guess, self.t0, self.t1, x)


@dataclass(frozen=True)
class ElboTerms:
    """The three terms of the bound E[log p(x_0)] >= reconstruction - prior_matching - sum(denoising_matching), in nats.

    Attributes
    ----------
    reconstruction
        E[log p(x_0 | x_1)].
    prior_matching
        E[KL(q(x_T | x_0) || p(x_T))].
    denoising_matching
        E[KL(q(x_s | x_t, x_0) || p(x_s | x_t))] for every step from t to s > 0, shape (T - 1,).
    times
        The times t_1 < ... < t_T.
    """

    reconstruction: Estimate
    prior_matching: Estimate
    denoising_matching: Estimate
    times: Tensor

    @property
    def elbo(self) -> Estimate:
        """The bound: an estimate of the bound's own value, which is a lower bound of E[log p(x_0)]."""
        return self.reconstruction - self.prior_matching - self.denoising_matching.sum()


def elbo_terms(
    process: AffineProcess,
    data: Any,
    model: ReverseModel,
    times: Any,
    *,
    method: str = "auto",
    n_samples: int = 20_000,
    generator: Generator = None,
) -> ElboTerms:
    """The evidence lower bound of a diffusion model in nats, term by term, averaged over the data.

        E[log p(x_0)] >= E[log p(x_0 | x_1)] - E[KL(q(x_T | x_0) || p(x_T))]
                         - sum_t E[KL(q(x_s | x_t, x_0) || p(x_s | x_t))]

    with s the time before t. The gap is the sum of the conditional divergences KL(q(x_s | x_t) || p(x_s | x_t)) and
    KL(q(x_T) || p(x_T)), less KL(data || p(x_0)): zero for `ExactReversal`, whose bound is -h(data).

    Parameters
    ----------
    process
        An affine process; q is its law.
    data
        Law of x_0, with a density (log p(x_0 | x_1) is that of a density): a Gaussian, or anything that can be sampled
        and whose channel output is known.
    model
        A `ReverseModel`: `.prior` and `.reverse(t0, t1)`; `ExactReversal` and `DenoiserReversal` are two.
    times
        Increasing times t_1 < ... < t_T after 0, shape (T,).
    method
        "closed-form" (Gaussian data, Gaussian prior, linear-Gaussian kernels), "monte-carlo", or "auto".
    n_samples, generator
        For Monte Carlo: draws of (x_0, x_t), fresh for every term; divergences of Gaussian kernels are exact inside.

    Returns
    -------
    ElboTerms
        Kind "exact" by closed form, "estimate" by Monte Carlo.

    Raises
    ------
    ValueError
        For data without a density, times that do not increase from above 0, an unknown method, or a closed form that
        does not exist.

    References
    ----------
    Sohl-Dickstein et al., ICML 2015, equation 14; Ho, Jain and Abbeel, NeurIPS 2020, equation 5.

    Examples
    --------
    >>> from infotherm.processes import OrnsteinUhlenbeck
    >>> process, data = OrnsteinUhlenbeck(1.0, 2.0**0.5), Gaussian(1.0, 0.25)
    >>> terms = elbo_terms(process, data, ExactReversal(process, data, 2.0), [0.1, 0.5, 2.0])
    >>> bool((terms.elbo.value + data.entropy()).abs() < 1e-12)
    True
    """
    data = as_distribution(data, "data")
    if data.measure != "lebesgue":
        raise ValueError(
            f"data must have a density; got {type(data).__name__}, which has atoms: add noise with a channel"
        )
    times = require_finite(as_tensor(times, "times"), "times")
    if times.ndim != 1 or len(times) == 0 or not bool((torch.diff(times, prepend=times.new_zeros(1)) > 0).all()):
        raise ValueError(f"times must be a vector that increases from above 0; got {times.tolist()}")
    steps = [0.0, *times.tolist()]
    if method not in ("auto", "closed-form", "monte-carlo"):
        raise ValueError(f"method must be 'auto', 'closed-form' or 'monte-carlo'; got {method!r}")
    reason = _why_no_closed_form(data, model, steps)
    if method == "closed-form" and reason:
        raise ValueError(f"there is no closed form: {reason}")
    if method != "monte-carlo" and not reason:
        assert isinstance(data, Gaussian)
        return _closed_form(process, data, model, steps, times)
    return _sampled(process, data, model, steps, times, n_samples, as_generator(generator, data.device))


def bridge(process: AffineProcess, x0: Tensor, s: float, t: float, xt: Tensor) -> Gaussian:
    """The law of x_s between its ends x_0 and x_t, shapes (..., D): q(x_s | x_t, x_0).

    Examples
    --------
    >>> from infotherm.processes import VarianceExploding
    >>> middle = bridge(VarianceExploding(1.0), torch.zeros(1), 1.0, 2.0, torch.ones(1))
    >>> middle.mean.item(), middle.variance.item()
    (0.5, 0.5)
    """
    start = process.transition(0.0, s)(x0)
    law = process.transition(s, t).reverse(start)(xt)
    assert isinstance(law, Gaussian)
    return law


def _why_no_closed_form(data: Distribution, model: ReverseModel, steps: list[float]) -> str:
    if not isinstance(data, Gaussian):
        return f"the data are not Gaussian but {type(data).__name__}"
    if not isinstance(model.prior, Gaussian):
        return f"the prior is not Gaussian but {type(model.prior).__name__}"
    for s, t in zip(steps, steps[1:], strict=False):
        if not isinstance(model.reverse(s, t), LinearGaussianChannel):
            return f"the model's kernel from {t:g} to {s:g} is not linear-Gaussian"
    return ""


def _closed_form(
    process: AffineProcess, data: Gaussian, model: ReverseModel, steps: list[float], times: Tensor
) -> ElboTerms:
    """Each term as an information that the process loses plus a divergence that the model adds."""
    denoising = []
    for s, t in zip(steps[1:], steps[2:], strict=False):
        chain = _chain(process, data, s, t)
        lost = mutual_information(chain, "xs", "x0", given="xt")
        denoising.append(lost + _kernel_divergence(chain.marginal(["xt", "xs"]), model.reverse(s, t)))
    first = _chain(process, data, 0.0, steps[1]).marginal(["xt", "xs"])
    unknown = conditional_entropy(first, "xs", given="xt")
    reconstruction = -(unknown + _kernel_divergence(first, model.reverse(0.0, steps[1])))
    last = process.transition(0.0, steps[-1])
    prior = mutual_information(last.joint(data), "x", "y") + kl(last.output(data), model.prior)
    matching = stack(denoising) if denoising else exact(times.new_zeros(0))
    return ElboTerms(reconstruction, prior, matching, times)


def _chain(process: AffineProcess, data: Gaussian, s: float, t: float) -> Gaussian:
    """The joint Gaussian law of (x_0, x_s, x_t), by the factor [[B, 0, 0], [A1 B, L1, 0], [A2 A1 B, A2 L1, L2]]."""
    dim = data.dim
    first, second = process.transition(0.0, s), process.transition(s, t)
    assert isinstance(first, LinearGaussianChannel) and isinstance(second, LinearGaussianChannel)
    start, zero = data.factor, torch.zeros_like(first.noise_factor(dim)).to(data.factor)
    noise_s, noise_t = first.noise_factor(dim).to(zero), second.noise_factor(dim).to(zero)
    a1, a2 = first.matrix(dim).to(zero), second.matrix(dim).to(zero)
    rows = [
        torch.cat([start, zero, zero], -1),
        torch.cat([a1 @ start, noise_s, zero], -1),
        torch.cat([a2 @ a1 @ start, a2 @ noise_s, noise_t], -1),
    ]
    mean_s = first.apply(data.mean)
    mean = torch.cat([data.mean, mean_s, second.apply(mean_s)], -1)
    return Gaussian.from_factor(mean, torch.cat(rows, -2), parts={"x0": dim, "xs": dim, "xt": dim})


def _kernel_divergence(pair: Gaussian, kernel: Channel) -> Estimate:
    """E over x_t of KL(q(x_s | x_t) || p(x_s | x_t)): the divergence of the joint laws of (x_t, x_s)."""
    return kl(pair, kernel.joint(pair.marginal("xt"), names=("xt", "xs")))


def _sampled(
    process: AffineProcess,
    data: Distribution,
    model: ReverseModel,
    steps: list[float],
    times: Tensor,
    n_samples: int,
    generator: torch.Generator | None,
) -> ElboTerms:
    def draw(t: float) -> tuple[Tensor, Tensor, str]:
        stream = stream_of(generator, data.device)
        x0 = data.sample((n_samples,), generator=generator)
        return x0, process.transition(0.0, t).sample(x0, generator=generator), stream

    x0, x1, stream = draw(steps[1])
    reconstruction = from_samples(model.reverse(0.0, steps[1])(x1).log_prob(x0), streams=[stream])
    x0, xt, stream = draw(steps[-1])
    last = process.transition(0.0, steps[-1])(x0)
    prior = from_samples(_divergence(last, model.prior, xt), streams=[stream])
    denoising = []
    for s, t in zip(steps[1:], steps[2:], strict=False):
        x0, xt, stream = draw(t)
        between = bridge(process, x0, s, t, xt)
        point = between.sample((), generator=generator)
        denoising.append(from_samples(_divergence(between, model.reverse(s, t)(xt), point), streams=[stream]))
    matching = stack(denoising) if denoising else exact(times.new_zeros(0))
    return ElboTerms(reconstruction, prior, matching, times)


def _divergence(q: Distribution, p: Distribution, point: Tensor) -> Tensor:
    """KL(q || p) of every pair: exact for Gaussians, else the log-ratio at the draw `point` of q."""
    if isinstance(q, Gaussian) and isinstance(p, Gaussian):
        return gaussian_kl(q, p)[0]
    return q.log_prob(point) - p.log_prob(point)
