"""Mean and variance of a scalar law by quadrature, for those that give no closed form."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from torch import Tensor

from infotherm.core.quadrature import integrate
from infotherm.distributions.base import Distribution

_PANELS = 400


def scalar_mean(law: Distribution) -> Tensor:
    """The mean of a scalar law with a density, shape (*batch), to about 1e-10 of E|X|.

    Raises
    ------
    ValueError
        For more than one coordinate, a law without a density, or a mean that does not exist (its integral does not
        converge).

    Examples
    --------
    >>> from infotherm.distributions.log_density import LogDensity
    >>> scalar_mean(LogDensity(lambda x: -x[..., 0], lower=0.0, breakpoints=[1.0])).item()
    1.0
    """
    size = _expectation(law, lambda x: x.abs(), "mean")
    # a mean that vanishes by symmetry is to be converged against the size of what cancels
    return _expectation(law, lambda x: x, "mean", atol=1e-11 * float(size.detach().max()))


def scalar_variance(law: Distribution) -> Tensor:
    """The variance of a scalar law with a density, shape (*batch), to about 1e-10 relative.

    Raises
    ------
    ValueError
        As for `scalar_mean`.

    Examples
    --------
    >>> from infotherm.distributions.log_density import LogDensity
    >>> scalar_variance(LogDensity(lambda x: -x[..., 0], lower=0.0, breakpoints=[1.0])).item()
    1.0
    """
    mean = scalar_mean(law)
    return _expectation(law, lambda x: (x - mean) ** 2, "variance")


def _expectation(law: Distribution, f: Callable[[Tensor], Tensor], what: str, atol: float = 0.0) -> Tensor:
    if law.dim != 1 or law.measure != "lebesgue":
        raise ValueError(f"moments by quadrature are those of a scalar law with a density; got {law!r}")
    lower, upper = (end[..., 0] for end in law.bounds())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an error is raised instead
        integral = integrate(
            lambda x: f(x) * law.log_prob(x.unsqueeze(-1)).exp(),
            lower,
            upper,
            breakpoints=law.breakpoints(),
            rtol=1e-11,
            atol=atol,
            max_panels=_PANELS,
        )
    if not integral.converged and bool((integral.error > 1e-7 * integral.value.detach().abs() + atol).any()):
        raise ValueError(f"the {what} of {law!r} does not exist, or cannot be integrated")
    return integral.value
