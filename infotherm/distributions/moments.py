"""Mean and variance of a scalar law by quadrature, for those that give no closed form."""

from __future__ import annotations

from torch import Tensor

from infotherm.core.quadrature import integrate
from infotherm.distributions.base import Distribution


def scalar_moments(law: Distribution) -> tuple[Tensor, Tensor]:
    """Mean and variance of a scalar law with a density, each (*batch), to about 1e-10 of the standard deviation.

    Raises
    ------
    ValueError
        For more than one coordinate, or a law without a density.

    Warns
    -----
    RuntimeWarning
        When an integral does not converge (a moment that does not exist).

    Examples
    --------
    >>> from infotherm.distributions.log_density import LogDensity
    >>> mean, variance = scalar_moments(LogDensity(lambda x: -x[..., 0], lower=0.0, breakpoints=[1.0]))
    >>> mean.item(), variance.item()
    (1.0, 1.0)
    """
    if law.dim != 1 or law.measure != "lebesgue":
        raise ValueError(f"moments by quadrature are those of a scalar law with a density; got {law!r}")
    lower, upper = (end[..., 0] for end in law.bounds())
    points = law.breakpoints()

    def density(x: Tensor) -> Tensor:
        return law.log_prob(x.unsqueeze(-1)).exp()

    # the scale against which a vanishing mean is to be converged
    size = integrate(lambda x: x.abs() * density(x), lower, upper, breakpoints=points, rtol=1e-6).value.detach()
    floor = 1e-12 * float(size.max())
    mean = integrate(lambda x: x * density(x), lower, upper, breakpoints=points, rtol=1e-11, atol=floor).value
    variance = integrate(lambda x: (x - mean) ** 2 * density(x), lower, upper, breakpoints=points, rtol=1e-11).value
    return mean, variance
