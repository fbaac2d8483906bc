"""Total correlation: how far a joint law is from independence of its parts."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from infotherm.core.estimate import Estimate, exact
from infotherm.core.quantity import Quantity
from infotherm.core.tensors import Generator
from infotherm.distributions import Discrete, Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.distributions.gaussian_forms import gaussian_mutual_information
from infotherm.information.expectations import DEFAULT_SAMPLES, expectation_by_quadrature, expectation_by_sampling
from infotherm.information.parts import at_most_three, blocks, expected_logs, has_density, safe_log

total_correlation = Quantity(
    "total_correlation",
    accepts=(as_distribution,),
    arguments=("joint",),
    doc="""Total correlation of the parts of a joint law, sum of h(part) - h(joint), in nats.

    A law without named parts is taken coordinate by coordinate.

    Zero exactly for independent parts; the mutual information when there are two of them.

    Returns
    -------
    Estimate
        Shape (*batch), kinds and methods as `mutual_information`.

    References
    ----------
    Watanabe, IBM J. Res. Dev. 4, 66 (1960).

    Examples
    --------
    >>> from infotherm.distributions import Gaussian
    >>> total_correlation(Gaussian.with_mutual_information(0.7, dx=1, dy=1)).value.item()
    0.7
    """,
)


@total_correlation.rule(Gaussian, method="closed-form")
def gaussian_total(joint: Gaussian) -> Estimate:
    """By the chain rule sum_i I(part_i; parts before i): no difference of entropies that cancel."""
    parts = blocks(joint)
    total = exact(joint.mean.new_zeros(joint.batch_shape))
    seen = list(parts[0])
    for block in parts[1:]:
        law = joint.marginal([*seen, *block])
        value, error = gaussian_mutual_information(law, range(len(seen)), range(len(seen), len(seen) + len(block)))
        total = total + exact(value, error=error)
        seen += block
    return total


@total_correlation.rule(Discrete, method="closed-form")
def discrete_total(joint: Discrete) -> Estimate:
    """sum p log [p / prod_i p_i]."""
    axes = range(-joint.dim, 0)
    marginals = [
        joint.pmf.sum([a for a in axes if a != axis], keepdim=True) if joint.dim > 1 else joint.pmf for axis in axes
    ]
    return expected_logs(joint.pmf, [safe_log(joint.pmf), *(-safe_log(m) for m in marginals)], joint.dim)


def _every_density(joint: Distribution) -> None:
    has_density(joint, list(range(joint.dim)))
    for block in blocks(joint):
        has_density(joint, block)


def _every_density_in_few_dimensions(joint: Distribution) -> None:
    at_most_three(joint.dim)
    _every_density(joint)


@total_correlation.rule(Distribution, method="quadrature", when=_every_density_in_few_dimensions)
def total_by_quadrature(joint: Distribution, *, tolerance: float | None = None) -> Estimate:
    """The integral of p times the pointwise total correlation."""
    return expectation_by_quadrature(joint, _pointwise_total(joint), tolerance=tolerance)


@total_correlation.rule(Distribution, method="monte-carlo", when=_every_density)
def total_by_sampling(
    joint: Distribution, *, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None
) -> Estimate:
    """The mean of the pointwise total correlation over draws."""
    return expectation_by_sampling(
        joint, _pointwise_total(joint), n_samples=n_samples, generator=generator, nonnegative=True
    )


def _pointwise_total(joint: Distribution) -> Callable[[Tensor], Tensor]:
    parts = blocks(joint)
    laws = [joint.marginal(block) for block in parts]
    return lambda z: joint.log_prob(z) - sum(law.log_prob(z[..., b]) for law, b in zip(laws, parts, strict=True))
