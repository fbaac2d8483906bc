"""Feedback on a Gaussian trap: work extracted from a measurement, and what the second law with information allows.

A trap V(x) = -T log p(x) holds the prior p. A measurement gives y; the trap is switched at once to
V(x) = -T log p_new(x | y) and then led back quasi-statically, which costs no entropy. In all
W_ext = T log(p_new(x | y) / p(x)), on average T (I(x; y) - E KL(p(x | y) || p_new)) <= T I.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infotherm.channels.gaussian import LinearGaussianChannel
from infotherm.channels.posterior import like
from infotherm.core.cubature import integrate_box
from infotherm.core.estimate import Estimate
from infotherm.core.propagation import UNNAMED
from infotherm.core.sample_means import from_samples, number_of_samples
from infotherm.core.tensors import Generator, as_generator, as_tensors, stream_of, validating
from infotherm.distributions import Gaussian, as_distribution
from infotherm.information import chi2, mutual_information
from infotherm.thermodynamics.reweighting import exponential_average
from infotherm.thermodynamics.sensitivity import Evaluated, with_sensitivity

FEEDBACKS = ("shift", "shift-and-stiffen")


@dataclass(frozen=True)
class FeedbackEngine:
    """What an engine with feedback gives in one cycle.

    Attributes
    ----------
    extracted_work
        W_ext, mean work taken out of the bath (energy).
    information
        I, what the measurement tells about the system (nats).
    efficiency
        W_ext / (T I), at most one (dimensionless).
    """

    extracted_work: Estimate
    information: Estimate
    efficiency: Estimate


class FeedbackSamples(NamedTuple):
    """Cycles drawn at random: `extracted_work` and `information` log(p(y | x) / p(y)), both (n, ...)."""

    extracted_work: Tensor
    information: Tensor


def trap_engine(
    prior: Any,
    measurement: LinearGaussianChannel,
    feedback: str = "shift-and-stiffen",
    *,
    temperature: float = 1.0,
    method: str = "closed-form",
    n_samples: int = 10_000,
    generator: Generator = None,
) -> FeedbackEngine:
    r"""The mean work that feedback on a trap extracts, the information it uses, and their ratio.

    "shift" moves the trap to the posterior mean, W_ext = T/2 tr((A C A^T + N)^-1 A C A^T), that is (T/2) s2/(s2 + n2)
    for y = x + noise; "shift-and-stiffen" also narrows it to the posterior, W_ext = T I.

    Parameters
    ----------
    prior
        The Gaussian N(m, C) that the trap holds in equilibrium, (..., D); its stiffness matrix is T C^-1.
    measurement
        y = A x + noise of covariance N.
    feedback
        "shift" or "shift-and-stiffen".
    temperature
        T > 0, in units of energy.
    method
        "closed-form" or "monte-carlo" (mean over cycles drawn at random).
    n_samples, generator
        Number of cycles and where they come from.

    Returns
    -------
    FeedbackEngine
        Exact, or estimates.

    Raises
    ------
    ValueError
        For an unknown feedback or method, a singular prior, a temperature that is not positive, a measurement that
        tells nothing (there is no efficiency then), or an exact one where the trap is to be narrowed to it.
    TypeError
        For a prior that is not Gaussian, or a measurement that is not linear-Gaussian.

    References
    ----------
    Sagawa and Ueda, Phys. Rev. Lett. 100 (2008) 080403 (the bound); Abreu and Seifert, EPL 94 (2011) 10001
    (traps).

    Examples
    --------
    >>> engine = trap_engine(Gaussian(0.0, 1.0), LinearGaussianChannel(1.0, 1.0), "shift")
    >>> engine.extracted_work.value.item(), round(engine.efficiency.value.item(), 7)
    (0.25, 0.7213475)
    """
    prior = _trap(prior, measurement, feedback)
    heat_unit = checked_temperature(temperature)
    if method == "monte-carlo":
        generator = as_generator(generator, prior.device)
        stream = stream_of(generator, prior.device)
        work, information = trap_cycles(
            prior, measurement, feedback, temperature=temperature, n_samples=n_samples, generator=generator
        )
        return engine_of_samples(work, information, heat_unit, stream)
    if method != "closed-form":
        raise ValueError(f"method must be 'closed-form' or 'monte-carlo'; got {method!r}")
    information = mutual_information(measurement.joint(prior), "x", "y")
    if validating(information.value) and bool((information.value == 0).any()):
        raise ValueError("measurement must tell something about x: without information there is no efficiency")
    if feedback != "shift" and validating(information.value) and bool(information.value.isinf().any()):
        raise ValueError("measurement must be noisy: what it tells exactly would need an infinitely stiff trap")
    if feedback == "shift":
        work = _shift_work(prior, measurement) * heat_unit
    else:
        work = information * heat_unit
    return FeedbackEngine(renamed(work, "energy"), information, efficiency_of(work, information, heat_unit))


def trap_cycles(
    prior: Any,
    measurement: LinearGaussianChannel,
    feedback: str = "shift-and-stiffen",
    *,
    temperature: float = 1.0,
    n_samples: int = 10_000,
    generator: Generator = None,
) -> FeedbackSamples:
    """Cycles of the engine drawn at random: the work extracted in each, and the information log(p(y | x) / p(y)).

    Parameters
    ----------
    prior, measurement, feedback, temperature
        As in `trap_engine`.
    n_samples, generator
        Number of cycles and where they come from.

    Examples
    --------
    With the posterior as the trap every cycle extracts what it knows, no more and no less:

    >>> cycles = trap_cycles(Gaussian(0.0, 1.0), LinearGaussianChannel(1.0, 1.0), n_samples=4, generator=0)
    >>> bool(torch.allclose(cycles.extracted_work, cycles.information))
    True
    """
    prior = _trap(prior, measurement, feedback)
    generator = as_generator(generator, prior.device)
    pairs = measurement.joint(prior).sample((number_of_samples(n_samples),), generator=generator)
    x, y = pairs[..., : prior.dim], pairs[..., prior.dim :]
    logs = _logs(prior, measurement, feedback, x, y)
    return FeedbackSamples(checked_temperature(temperature) * (logs.new - logs.prior), logs.likelihood - logs.evidence)


def generalised_jarzynski(
    work: Any,
    information: Any,
    *,
    temperature: float = 1.0,
    free_energy_difference: Any = 0.0,
    streams: tuple[str, ...] = (UNNAMED,),
) -> Estimate:
    r"""The mean of exp(-(W - dF)/T - i) over cycles with feedback, which is one when nothing is lost.

    Refused (kind "unknown", with the reason) where the weights have, or may well have, an infinite variance: then a
    million cycles give a number that is wrong by more than its standard error says.

    Parameters
    ----------
    work
        Work done on the system, samples (n, ...): minus the work extracted.
    information
        i = log(p(y | x) / p(y)) of the same cycles, (n, ...).
    temperature
        T > 0.
    free_energy_difference
        dF of the trap in which the cycle ends, a number or (n, ...) when it depends on y.
    streams
        Names of the random streams behind the samples.

    Raises
    ------
    ValueError
        As `exponential_average`; when shapes do not fit together.

    References
    ----------
    Sagawa and Ueda, Phys. Rev. Lett. 104 (2010) 090602 (the equality with information).

    Examples
    --------
    >>> from infotherm.channels import LinearGaussianChannel
    >>> weak = LinearGaussianChannel(1.0, 4.0)
    >>> work, information = trap_cycles(Gaussian(0.0, 1.0), weak, "shift", n_samples=10_000, generator=0)
    >>> generalised_jarzynski(-work, information).kind
    'estimate'
    """
    work, information, shift = as_tensors(
        work=work, information=information, free_energy_difference=free_energy_difference
    )
    if work.shape != information.shape:
        raise ValueError(
            f"work and information must have one shape; got {tuple(work.shape)} and {tuple(information.shape)}"
        )
    return exponential_average((work - shift) / checked_temperature(temperature) + information, streams=streams)


def trap_jarzynski(prior: Any, measurement: LinearGaussianChannel, feedback: str = "shift") -> Estimate:
    r"""The integral of p(x, y) exp(-W/T - i) over x and y, by quadrature; one, for every feedback.

    Parameters
    ----------
    prior, measurement, feedback
        As in `trap_engine`, for one coordinate each and without a batch.

    Returns
    -------
    Estimate
        `info["relative_variance"]` is that of exp(-W/T - i), an exact Estimate: infinite for a shift when the
        posterior is half as wide as the prior or less, so that no sample average converges as its error says.

    Raises
    ------
    ValueError
        For more than one coordinate, and as `trap_engine`.

    Examples
    --------
    >>> trap_jarzynski(Gaussian(0.0, 1.0), LinearGaussianChannel(1.0, 0.25)).info["relative_variance"].value
    tensor(inf, dtype=torch.float64)
    """
    prior = _trap(prior, measurement, feedback)
    joint = measurement.joint(prior)
    if joint.dim != 2 or joint.batch_shape:
        raise ValueError(
            f"prior and measurement must have one coordinate each and no batch; got {joint.dim} in all and batch "
            f"{tuple(joint.batch_shape)}"
        )
    spread = joint.covariance.diagonal().sqrt()

    def weighted(nodes: Tensor) -> Tensor:
        points = joint.mean + spread * nodes
        x, y = points[..., :1], points[..., 1:]
        logs = _logs(prior, measurement, feedback, x, y)
        weight = logs.prior + logs.likelihood + (logs.new - logs.prior) - (logs.likelihood - logs.evidence)
        return weight.exp() * spread.prod()

    integral = integrate_box(weighted, -torch.inf, torch.inf, breakpoints=[[-4.0, -4.0], [0.0, 0.0], [4.0, 4.0]], dim=2)
    # sampled: x, y from p; the weight is the ratio of p_new(x | y) p(y) to p(x, y)
    reverse = _reverse(prior, measurement)
    noise = prior.covariance if feedback == "shift" else reverse.noise_covariance()
    backwards = LinearGaussianChannel(reverse.matrix(), noise, reverse.bias).joint(measurement.output(prior))
    swapped = Gaussian(backwards.mean.flip(-1), backwards.covariance.flip(-1, -2))
    info: dict[str, Any] = {"relative_variance": chi2(swapped, Gaussian(joint.mean, joint.covariance))}
    if not integral.converged:
        info["converged"] = False
    return Estimate(integral.value, error=integral.error, method="quadrature", units="1", info=info)


def engine_of_samples(work: Tensor, information: Tensor, temperature: float, stream: str) -> FeedbackEngine:
    """Means over cycles (n, ...) and the ratio of the means, whose bias of order 1/n is in its error.

    Parameters
    ----------
    work, information
        Of each cycle.
    temperature
        T.
    stream
        Name of the random numbers behind them.
    """
    mean_work = from_samples(work, streams=(stream,), units="energy")
    mean_information = from_samples(information, streams=(stream,))
    ratio = mean_work.value / (temperature * mean_information.value)
    with torch.no_grad():
        away = from_samples((work / temperature - ratio * information) / mean_information.value, streams=(stream,))
        relative = mean_information.stderr / mean_information.value.abs()
        bias = relative * away.stderr + ratio.abs() * away.error
    efficiency = Estimate(
        ratio,
        stderr=away.stderr,
        error=bias,
        kind="estimate",
        method="monte-carlo",
        units="1",
        streams=(stream,),
        info={"n": len(work)},
    )
    return FeedbackEngine(mean_work, mean_information, efficiency)


class _Logs(NamedTuple):
    prior: Tensor
    new: Tensor
    likelihood: Tensor
    evidence: Tensor


def _logs(prior: Gaussian, measurement: LinearGaussianChannel, feedback: str, x: Tensor, y: Tensor) -> _Logs:
    """log p(x), log p_new(x | y), log p(y | x) and log p(y)."""
    reverse = _reverse(prior, measurement)
    posterior = reverse(y)
    new = Gaussian(posterior.mean, prior.covariance) if feedback == "shift" else posterior
    output = measurement.output(prior)
    return _Logs(prior.log_prob(x), new.log_prob(x), measurement(x).log_prob(y), output.log_prob(y))


def _reverse(prior: Gaussian, measurement: LinearGaussianChannel) -> LinearGaussianChannel:
    reverse = measurement.reverse(prior)
    assert isinstance(reverse, LinearGaussianChannel)
    return reverse


def _shift_work(prior: Gaussian, measurement: LinearGaussianChannel) -> Estimate:
    """tr((A C A^T + N)^-1 A C A^T) / 2, in units of T: the share of the variance of y that is signal."""
    matrix = like(measurement.matrix(prior.dim), prior.mean)
    noise = like(measurement.noise_covariance(prior.dim), prior.mean)
    batch = torch.broadcast_shapes(matrix.shape[:-2], noise.shape[:-2], prior.batch_shape)
    arguments = [m.expand(*batch, *m.shape[-2:]) for m in (matrix, prior.covariance, noise)]

    def share(A: Tensor, C: Tensor, N: Tensor) -> Evaluated:
        signal = A @ C @ A.mT
        value = 0.5 * torch.linalg.solve(signal + N, signal).diagonal(dim1=-2, dim2=-1).sum(-1)[..., None]
        return value, value.detach().abs()

    value, error = with_sensitivity(share, arguments, event_dims=[2, 2, 2], loose=8.0 * matrix.shape[-2])
    return Estimate(value[..., 0], error=error[..., 0])


def _trap(prior: Any, measurement: Any, feedback: str) -> Gaussian:
    if feedback not in FEEDBACKS:
        raise ValueError(f"feedback must be 'shift' or 'shift-and-stiffen'; got {feedback!r}")
    prior = as_distribution(prior, "prior")
    if not isinstance(prior, Gaussian):
        raise TypeError(f"prior must be Gaussian, the equilibrium of a harmonic trap; got {type(prior).__name__}")
    if not isinstance(measurement, LinearGaussianChannel):
        raise TypeError(f"measurement must be a LinearGaussianChannel; got {type(measurement).__name__}")
    if validating(prior.mean) and bool(prior.degenerate.any()):
        raise ValueError("prior must have a density: a coordinate without spread has no trap")
    return prior


def checked_temperature(temperature: float) -> float:
    """T as a float.

    Raises
    ------
    ValueError
        When it is not positive and finite.
    """
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be positive and finite; got {temperature}")
    return float(temperature)


def efficiency_of(work: Estimate, information: Estimate, temperature: float) -> Estimate:
    """W / (T I) of exact numbers."""
    return renamed(work / (information * temperature), "1")


def renamed(e: Estimate, units: str) -> Estimate:
    """The same exact number in other units: k_B is 1, and energies come as temperature times nats."""
    return Estimate(e.value, error=e.error, kind=e.kind, method=e.method, units=units, info=e.info)
