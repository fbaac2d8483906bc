"""Conditional entropy: what is left unknown of some parts when others are known."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from infotherm.channels.base import ChannelJoint
from infotherm.channels.gaussian import LinearGaussianChannel
from infotherm.core.estimate import Estimate, exact
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.tensors import Generator
from infotherm.distributions import Discrete, Gaussian, as_distribution
from infotherm.distributions.base import Distribution, Names
from infotherm.distributions.gaussian_forms import gaussian_entropy
from infotherm.information.channel_ends import noise_entropy, sampled_ends
from infotherm.information.expectations import DEFAULT_SAMPLES, expectation_by_quadrature, expectation_by_sampling
from infotherm.information.parts import (
    apart,
    at_most_three,
    expected_logs,
    has_density,
    rearranged,
    safe_log,
    single_name,
)

conditional_entropy = Quantity(
    "conditional_entropy",
    accepts=(as_distribution,),
    arguments=("joint",),
    doc="""Conditional entropy H(target | given) of parts of a joint law, in nats.

    H(y | x) = -E[log p(y | x)]: Shannon's for Discrete laws, differential (possibly negative) for continuous ones.

    Call `conditional_entropy(joint, target, given=...)` with names of parts.

    Returns
    -------
    Estimate
        Shape (*batch), kinds and methods as `mutual_information`.

    Raises
    ------
    ValueError
        For an unknown part, or one that is both target and condition of a continuous law.

    References
    ----------
    Cover and Thomas (2006), equations 2.10 and 8.31.

    Examples
    --------
    >>> from infotherm.distributions import Discrete
    >>> d = Discrete([[0.25, 0.25], [0.5, 0.0]], parts=("x", "y"))
    >>> round(conditional_entropy(d, "y", given="x").to("bit").value.item(), 12)
    0.5
    """,
)


@conditional_entropy.rule(Gaussian, method="closed-form")
def gaussian_conditional(joint: Gaussian, target: Names, *, given: Names) -> Estimate:
    """The entropy of the conditional law, which is the same for every value of the condition."""
    target_indices, given_indices = apart(joint, target, given)
    law = rearranged(joint, y=target_indices, z=given_indices)
    value, error = gaussian_entropy(law.condition(z=law.marginal("z").mean))
    return exact(value, error=error)


@conditional_entropy.rule(Discrete, method="closed-form")
def discrete_conditional(joint: Discrete, target: Names, *, given: Names) -> Estimate:
    """sum p log [p(z) / p(y, z)]."""
    iy, iz = joint.part_indices(target), joint.part_indices(given)
    both = sorted({*iy, *iz})
    pmf = joint.marginal(both).pmf
    dropped = [axis - len(both) for axis, index in enumerate(both) if index not in iz]
    condition = safe_log(pmf.sum(dropped, keepdim=True) if dropped else pmf)
    return expected_logs(pmf, [condition, -safe_log(pmf)], len(both))


def _output_given_input(joint: ChannelJoint, target: Names, given: Names) -> None:
    first, second = joint.parts
    if (single_name(target), single_name(given)) != (second, first):
        raise NotApplicable(f"a channel's joint law gives the entropy of {second!r} given {first!r}")


def _noise_only(joint: ChannelJoint, target: Names, given: Names) -> None:
    _output_given_input(joint, target, given)
    if not isinstance(joint.channel, LinearGaussianChannel):
        raise NotApplicable(
            f"the noise entropy is known for linear-Gaussian channels; got {type(joint.channel).__name__}"
        )


@conditional_entropy.rule(ChannelJoint, method="closed-form", when=_noise_only)
def channel_conditional(joint: ChannelJoint, target: Names, *, given: Names) -> Estimate:
    """The entropy of the noise."""
    return noise_entropy(joint)


@conditional_entropy.rule(ChannelJoint, method="monte-carlo", when=_output_given_input)
def channel_conditional_by_sampling(
    joint: ChannelJoint, target: Names, *, given: Names, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None
) -> Estimate:
    """The mean of -log p(y | x) over draws of the joint law."""
    size = joint.input.dim
    return sampled_ends(joint, lambda z: -joint.channel(z[..., :size]).log_prob(z[..., size:]), n_samples, generator)


def _separate_densities(joint: Distribution, target: Names, given: Names) -> None:
    iy, iz = apart(joint, target, given)
    has_density(joint, [*iy, *iz])
    has_density(joint, iz)


def _few_separate_densities(joint: Distribution, target: Names, given: Names) -> None:
    at_most_three(len(joint.part_indices(target)) + len(joint.part_indices(given)))
    _separate_densities(joint, target, given)


@conditional_entropy.rule(Distribution, method="quadrature", when=_few_separate_densities)
def conditional_by_quadrature(
    joint: Distribution, target: Names, *, given: Names, tolerance: float | None = None
) -> Estimate:
    """The integral of -p log p(y | z)."""
    law, pointwise = _pointwise_surprisal(joint, target, given)
    return expectation_by_quadrature(law, pointwise, tolerance=tolerance)


@conditional_entropy.rule(Distribution, method="monte-carlo", when=_separate_densities)
def conditional_by_sampling(
    joint: Distribution, target: Names, *, given: Names, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None
) -> Estimate:
    """The mean of -log p(y | z) over draws."""
    law, pointwise = _pointwise_surprisal(joint, target, given)
    return expectation_by_sampling(law, pointwise, n_samples=n_samples, generator=generator)


def _pointwise_surprisal(
    joint: Distribution, target: Names, given: Names
) -> tuple[Distribution, Callable[[Tensor], Tensor]]:
    iy, iz = apart(joint, target, given)
    law, condition = joint.marginal([*iy, *iz]), joint.marginal(iz)
    return law, lambda points: condition.log_prob(points[..., len(iy) :]) - law.log_prob(points)
