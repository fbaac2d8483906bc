"""Mutual information of parts of a joint law, conditional or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from infotherm.channels.base import ChannelJoint
from infotherm.channels.gaussian import LinearGaussianChannel
from infotherm.core.estimate import Estimate, exact
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.tensors import Generator
from infotherm.distributions import Discrete, Empirical, Gaussian, as_distribution
from infotherm.distributions.base import Distribution, Names
from infotherm.distributions.gaussian_forms import gaussian_mutual_information
from infotherm.information.channel_ends import noise_entropy, sampled_ends
from infotherm.information.entropies import entropy
from infotherm.information.expectations import DEFAULT_SAMPLES, expectation_by_quadrature, expectation_by_sampling
from infotherm.information.parts import (
    at_most_three,
    expected_logs,
    has_density,
    part_blocks,
    rearranged,
    safe_log,
    single_name,
)
from infotherm.information.supports import carrier

mutual_information = Quantity(
    "mutual_information",
    accepts=(as_distribution,),
    arguments=("joint",),
    doc="""Mutual information I(x; y | given) of parts of a joint law, in nats.

    I(x; y) = E[log p(x, y) - log p(x) - log p(y)], the mean over `given` of the same for p(x, y | given).

    Call `mutual_information(joint, x, y, given=None)`; `x`, `y` and `given` name parts, one ("x") or several
    (("x", "z")). Of a discrete law I(x; x) = H(x); of a continuous one it is infinite.

    Parameters
    ----------
    joint
        A law with named parts. Batch shape (*batch).
    method
        "closed-form" for Gaussians, Discrete laws and channels whose output entropy is known; "quadrature" for up to
        three coordinates; "monte-carlo" (`n_samples`, `generator`) wherever the marginal densities are known.

    Returns
    -------
    Estimate
        Shape (*batch), kind "exact" by closed form or quadrature, "estimate" by Monte Carlo.

    Raises
    ------
    ValueError
        For an unknown part.
    NotImplementedError
        Where no rule applies; the message lists the reasons.

    References
    ----------
    Cover and Thomas, Elements of Information Theory (2006), equations 2.28, 2.60 and 8.47.

    Examples
    --------
    >>> from infotherm.distributions import Discrete, Gaussian
    >>> mutual_information(Gaussian.with_mutual_information(1.0, dx=3, dy=2), "x", "y").value.item()
    1.0
    >>> coin = Discrete([[0.5, 0.0], [0.0, 0.5]], parts=("x", "y"))
    >>> round(mutual_information(coin, "x", "y").to("bit").value.item(), 12)
    1.0
    """,
)

# -- Gaussian laws ---------------------------------------------------------------------------------------------------


@mutual_information.rule(Gaussian, method="closed-form")
def gaussian(joint: Gaussian, x: Names, y: Names, *, given: Names | None = None) -> Estimate:
    """From canonical correlations; with `given`, those of the conditional law, which is the same for every value."""
    ix, iy, iz = part_blocks(joint, x, y, given)
    if set(ix) & set(iy):
        return _infinite_self_information(joint)
    law = rearranged(joint, x=ix, y=iy, z=iz)
    if iz:
        law = law.condition(z=law.marginal("z").mean)
    value, error = gaussian_mutual_information(law, range(len(ix)), range(len(ix), len(ix) + len(iy)))
    return exact(value, error=error)


# -- discrete laws ---------------------------------------------------------------------------------------------------


@mutual_information.rule(Discrete, method="closed-form")
def discrete(joint: Discrete, x: Names, y: Names, *, given: Names | None = None) -> Estimate:
    """sum p log [p(x, y, z) p(z) / (p(x, z) p(y, z))]; with I(x; x) = H(x), also when x and y share parts."""
    ix, iy, iz = part_blocks(joint, x, y, given)
    both = sorted({*ix, *iy, *iz})
    pmf = joint.marginal(both).pmf
    axes = {index: axis - len(both) for axis, index in enumerate(both)}

    def log_marginal(kept: Sequence[int]) -> Tensor:
        dropped = [axes[i] for i in both if i not in kept]
        return safe_log(pmf.sum(dropped, keepdim=True) if dropped else pmf)

    logs = [log_marginal(both), log_marginal(iz), -log_marginal([*ix, *iz]), -log_marginal([*iy, *iz])]
    return expected_logs(pmf, logs, len(both))


# -- channels: I = h(y) - h(y | x) -------------------------------------------------------------------------------------


def _ends_of_a_linear_channel(joint: ChannelJoint, x: Names, y: Names, given: Names | None = None) -> None:
    _ends_of_the_channel(joint, x, y, given)
    if not isinstance(joint.channel, LinearGaussianChannel):
        raise NotApplicable(
            f"the noise entropy is known for linear-Gaussian channels; got {type(joint.channel).__name__}"
        )
    if joint.input.measure == "lebesgue" and not hasattr(joint.input, "means"):
        raise NotApplicable(f"the output law is not known for an input of type {type(joint.input).__name__}")


def _ends_of_the_channel(joint: ChannelJoint, x: Names, y: Names, given: Names | None = None) -> None:
    first, second = joint.parts
    if {single_name(x), single_name(y)} != {first, second} or given is not None:
        raise NotApplicable(f"a channel's joint law gives I({first}; {second}) without condition")


def _low_dimensional_ends(joint: ChannelJoint, x: Names, y: Names, given: Names | None = None) -> None:
    _ends_of_a_linear_channel(joint, x, y, given)
    at_most_three(joint.channel.output_size(joint.input.dim))


@mutual_information.rule(ChannelJoint, method="quadrature", when=_low_dimensional_ends)
def channel_by_quadrature(
    joint: ChannelJoint, x: Names, y: Names, *, given: Names | None = None, tolerance: float | None = None
) -> Estimate:
    """Entropy of the output by quadrature less that of the noise."""
    law = joint.channel.output(joint.input)
    output, noise = entropy(law, method="quadrature", tolerance=tolerance), noise_entropy(joint)
    # atoms that no noise spreads: y is a function of x, and H(y) is Shannon's
    return output if carrier(law).log_density is None else output - noise


@mutual_information.rule(ChannelJoint, method="monte-carlo", when=_ends_of_the_channel)
def channel_by_sampling(
    joint: ChannelJoint,
    x: Names,
    y: Names,
    *,
    given: Names | None = None,
    n_samples: int = DEFAULT_SAMPLES,
    generator: Generator = None,
) -> Estimate:
    """The mean of log p(y | x) - log p(y) over draws of the joint law: no density of the joint law is needed."""
    output = joint.channel.output(joint.input)
    size = joint.input.dim
    return sampled_ends(
        joint,
        lambda z: joint.channel(z[..., :size]).log_prob(z[..., size:]) - output.log_prob(z[..., size:]),
        n_samples,
        generator,
        nonnegative=True,
    )


# -- any law with marginal densities -----------------------------------------------------------------------------------


def _densities(joint: Distribution, x: Names, y: Names, given: Names | None = None) -> None:
    ix, iy, iz = part_blocks(joint, x, y, given)
    if set(ix) & set(iy):
        raise NotApplicable("x and y share coordinates: the information of a continuous law about itself is infinite")
    for indices in ([*ix, *iy, *iz], [*ix, *iz], [*iy, *iz], *([iz] if iz else [])):
        has_density(joint, indices)


def _few_densities(joint: Distribution, x: Names, y: Names, given: Names | None = None) -> None:
    at_most_three(sum(map(len, part_blocks(joint, x, y, given))))
    _densities(joint, x, y, given)


@mutual_information.rule(Distribution, method="quadrature", when=_few_densities)
def by_quadrature(
    joint: Distribution, x: Names, y: Names, *, given: Names | None = None, tolerance: float | None = None
) -> Estimate:
    """The integral of p times the pointwise information."""
    law, pointwise = _pointwise_information(joint, *part_blocks(joint, x, y, given))
    return expectation_by_quadrature(law, pointwise, tolerance=tolerance)


@mutual_information.rule(Distribution, method="monte-carlo", when=_densities)
def by_sampling(
    joint: Distribution,
    x: Names,
    y: Names,
    *,
    given: Names | None = None,
    n_samples: int = DEFAULT_SAMPLES,
    generator: Generator = None,
) -> Estimate:
    """The mean of the pointwise information over draws."""
    law, pointwise = _pointwise_information(joint, *part_blocks(joint, x, y, given))
    return expectation_by_sampling(law, pointwise, n_samples=n_samples, generator=generator, nonnegative=True)


@mutual_information.rule(Empirical, method="sample-based")
def of_samples(joint: Empirical, x: Names, y: Names, *, given: Names | None = None) -> Estimate:
    """Refused: atoms of samples determine each other, which says nothing about the law that they were drawn from."""
    raise TypeError(
        "the mutual information of an Empirical law is that of its atoms, about log N whatever the data: estimate that "
        "of the law behind them with infotherm.estimators, e.g. KSG().estimate(x, y)"
    )


def _pointwise_information(
    joint: Distribution, ix: list[int], iy: list[int], iz: list[int]
) -> tuple[Distribution, Callable[[Tensor], Tensor]]:
    nx, ny = len(ix), len(iy)
    law = joint.marginal([*ix, *iy, *iz])
    laws = [joint.marginal([*ix, *iz]), joint.marginal([*iy, *iz])]
    rest = joint.marginal(iz) if iz else None

    def pointwise(points: Tensor) -> Tensor:
        x, y, z = points.split([nx, ny, len(iz)], -1)
        total = law.log_prob(points) - laws[0].log_prob(torch.cat([x, z], -1)) - laws[1].log_prob(torch.cat([y, z], -1))
        return total if rest is None else total + rest.log_prob(z)

    return law, pointwise


def _infinite_self_information(joint: Distribution) -> Estimate:
    value = joint.mean.new_full(joint.batch_shape, math.inf)
    return exact(value, error=torch.zeros_like(value), reason="x and y share coordinates of a continuous law")
