r"""Thermodynamics of learning: what a noisy weight learns about labels, and the entropy and the heat that it costs.

A weight obeys dw = (-k w + r(t) sum_m x_m y_m) dt + sqrt(2 T) dB for inputs x_m = +-1 and their true labels y_m, which
are fair coins (Hebb's rule). It starts in equilibrium without input. Afterwards it predicts the label of an input x to
be +1 with probability 1 / (1 + exp(-gain x w)). Then

    sum_m I(true label m; predicted label m) <= I(labels; w) <= dS(w) + dQ / T.

N weights that are trained with orthogonal inputs are as many copies of this one, each with one sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from infotherm.channels.gaussian import LinearGaussianChannel
from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import integrate
from infotherm.core.rounding import rounding_error
from infotherm.distributions import Empirical, Gaussian
from infotherm.information import entropy, mutual_information
from infotherm.thermodynamics.feedback import renamed

DRIVES = ("sudden", "linear")


@dataclass(frozen=True)
class LearningCost:
    """What was learnt and what it cost.

    Attributes
    ----------
    accuracy
        Probability that the predicted label of a training input is the true one (dimensionless).
    label_information
        Sum over the samples of I(true label; predicted label), nats.
    weight_information
        I(all true labels; w), nats.
    entropy_change
        dS(w), of the law of the weight over all labels, nats.
    heat
        dQ / T, entropy given to the medium, nats.
    """

    accuracy: Estimate
    label_information: Estimate
    weight_information: Estimate
    entropy_change: Estimate
    heat: Estimate

    @property
    def cost(self) -> Estimate:
        """dS(w) + dQ / T, nats: no less than either information."""
        return self.entropy_change + self.heat

    @property
    def efficiency(self) -> Estimate:
        """Label information over cost, between zero and one (dimensionless)."""
        return renamed(self.label_information / self.cost, "1")


def hebbian_weight(
    duration: float,
    learning_rate: float = 1.0,
    *,
    samples: int = 1,
    drive: str = "sudden",
    stiffness: float = 1.0,
    temperature: float = 1.0,
    gain: float = 1.0,
) -> LearningCost:
    r"""The information that a weight acquires about the labels of its samples, and its thermodynamic cost, in nats.

    Given the labels the weight is Gaussian, w ~ N(a F, T / k) with F = sum_m x_m y_m, where a' = -k a + r(t). The heat
    is E[F^2] int a'^2 dt, the entropy change that of a mixture of Gaussians with binomial weights.

    Parameters
    ----------
    duration
        Time of learning, > 0.
    learning_rate
        r, the strength of the force (sign free).
    samples
        Number of samples, at least 1.
    drive
        "sudden", r at once from time zero on, or "linear", from zero to r over the duration (slow: no heat).
    stiffness, temperature, gain
        k > 0, T > 0 and the gain of the prediction.

    Returns
    -------
    LearningCost
        Exact: heat by closed form, the rest by quadrature.

    Raises
    ------
    ValueError
        For an unknown drive, a number that is not positive where it must be, or no learning at all (rate zero).

    References
    ----------
    Goldt and Seifert, Phys. Rev. Lett. 118 (2017) 010601 (efficiency of learning, its bound).

    Examples
    --------
    >>> learnt = hebbian_weight(2.0, learning_rate=2.0, gain=4.0)
    >>> learnt.label_information.value < learnt.weight_information.value < learnt.cost.value
    tensor(True)
    """
    if drive not in DRIVES:
        raise ValueError(f"drive must be 'sudden' or 'linear'; got {drive!r}")
    for name, number in (("duration", duration), ("stiffness", stiffness), ("temperature", temperature)):
        if not 0 < number < math.inf:
            raise ValueError(f"{name} must be positive and finite; got {number}")
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ValueError(f"samples must be an integer of at least 1; got {samples!r}")
    if not (math.isfinite(learning_rate) and learning_rate != 0):
        raise ValueError(f"learning_rate must be finite and not zero: nothing is learnt; got {learning_rate}")
    if not math.isfinite(gain):
        raise ValueError(f"gain must be finite; got {gain}")
    shift, dissipated = _response(duration, learning_rate, stiffness, drive)
    spread = temperature / stiffness
    sums, weights = _binomial(samples)
    channel = LinearGaussianChannel(shift, spread)
    labels = Empirical(sums[:, None], weights=weights)
    information = mutual_information(channel.joint(labels), "x", "y")
    change = entropy(channel.output(labels)) - entropy(Gaussian(0.0, spread))
    heat = torch.tensor(samples * dissipated / temperature, dtype=torch.float64)
    excess = _correct_excess(samples, shift, math.sqrt(spread), gain)
    return LearningCost(
        accuracy=excess + 0.5,
        label_information=_information_of_fair_bits(excess, samples),
        weight_information=information,
        entropy_change=change,
        heat=Estimate(heat, error=16 * rounding_error([heat])),
    )


def _response(duration: float, rate: float, k: float, drive: str) -> tuple[float, float]:
    """a at the end, and int a'^2 dt, of a' = -k a + r(t) from a = 0."""
    turns = k * duration
    gone = -math.expm1(-turns)
    if drive == "sudden":
        return rate * gone / k, rate**2 * -math.expm1(-2 * turns) / (2 * k)
    slope = rate / duration  # a' = slope (1 - exp(-k t)) / k
    if turns < 1.0:  # series of x - 1 + exp(-x) and of x - 2 (1 - exp(-x)) + (1 - exp(-2 x)) / 2, which cancel
        first = sum((-1) ** n * turns**n / math.factorial(n) for n in range(2, 24))
        second = sum((-1) ** n * turns**n / math.factorial(n) * (2 - 2 ** (n - 1)) for n in range(3, 32))
    else:
        first = turns - gone
        second = turns - 2 * gone - math.expm1(-2 * turns) / 2
    return slope * first / k**2, slope**2 * second / k**3


def _binomial(samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The sums of so many signs and their probabilities."""
    counts = torch.arange(samples + 1, dtype=torch.float64)
    total = torch.tensor(float(samples), dtype=torch.float64)
    logs = torch.lgamma(total + 1) - torch.lgamma(counts + 1) - torch.lgamma(total - counts + 1)
    weights = (logs - samples * math.log(2)).exp()
    return 2 * counts - samples, weights / weights.sum()


def _correct_excess(samples: int, shift: float, spread: float, gain: float) -> Estimate:
    """P(predicted = true) - 1/2 = E[tanh(gain w / 2)] / 2, given that the sample itself pulls upwards."""
    others, weights = _binomial(samples - 1)
    centres = shift * (1 + others)

    def excess(w: torch.Tensor) -> torch.Tensor:
        z = (w[..., None] - centres) / spread
        density = torch.exp(-0.5 * z.square()) / (spread * math.sqrt(2 * math.pi))
        return 0.5 * torch.tanh(0.5 * gain * w) * (density * weights).sum(-1)

    reach = 40 * spread
    low, high = float(centres.min()) - reach, float(centres.max()) + reach  # beyond: exp(-800)
    points = torch.cat([centres + spread * d for d in (-3.0, 0.0, 3.0)] + [torch.zeros(1, dtype=torch.float64)])
    found = integrate(excess, low, high, breakpoints=points.sort().values, atol=1e-16)
    return Estimate(found.value, error=found.error, method="quadrature", units="1")


def _information_of_fair_bits(excess: Estimate, samples: int) -> Estimate:
    """samples times (log 2 - h(1/2 + d)), without cancellation for small d."""
    d = (2 * excess.value).clamp(-1.0, 1.0)  # beyond one by rounding only
    value = 0.5 * samples * (torch.xlogy(1 + d, 1 + d) + torch.xlogy(1 - d, 1 - d))
    near = d.abs() < 1e-2
    series = 0.5 * samples * sum(2 * d ** (2 * n) / (2 * n * (2 * n - 1)) for n in range(1, 8))
    value = torch.where(near, series, value)
    slip = 2 * excess.error
    # by the slope at the far end of the interval, which is infinite at d = 1, or by how much x log x can change
    steep = slip * torch.atanh((d.abs() + slip).clamp(max=1.0))
    flat = slip * (1 + slip.log().abs())
    error = samples * torch.minimum(steep, flat) + rounding_error([value, samples * d.square()])
    return Estimate(value, error=error, method="quadrature")
