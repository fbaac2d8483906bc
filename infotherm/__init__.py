"""infotherm: information quantities that know their own error.

Two nouns, distributions and channels, and numbers about them (`Estimate`). Names are loaded when first used, so that
importing the package costs no more than importing torch and changes no global state.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from infotherm._version import __version__

if TYPE_CHECKING:
    from infotherm import bounds as bounds
    from infotherm import estimators as estimators
    from infotherm import networks as networks
    from infotherm import plots as plots
    from infotherm import processes as processes
    from infotherm import replica as replica
    from infotherm import testing as testing
    from infotherm import therml as therml
    from infotherm import thermodynamics as thermodynamics
    from infotherm import transport as transport
    from infotherm.channels import DiscreteChannel as DiscreteChannel
    from infotherm.channels import LinearGaussianChannel as LinearGaussianChannel
    from infotherm.core.estimate import Estimate as Estimate
    from infotherm.core.quantity import Explanation
    from infotherm.core.verdict import Verdict as Verdict
    from infotherm.core.verdict import decide as decide
    from infotherm.core.verdict import holm as holm
    from infotherm.distributions import Discrete as Discrete
    from infotherm.distributions import Distribution as Distribution
    from infotherm.distributions import Empirical as Empirical
    from infotherm.distributions import Gaussian as Gaussian
    from infotherm.distributions import GaussianMixture as GaussianMixture
    from infotherm.distributions import LogDensity as LogDensity
    from infotherm.distributions import Rademacher as Rademacher
    from infotherm.distributions import SpikeSlab as SpikeSlab
    from infotherm.distributions import as_distribution as as_distribution
    from infotherm.information import binary_entropy as binary_entropy
    from infotherm.information import chi2 as chi2
    from infotherm.information import conditional_entropy as conditional_entropy
    from infotherm.information import cross_entropy as cross_entropy
    from infotherm.information import elbo_terms as elbo_terms
    from infotherm.information import entropy as entropy
    from infotherm.information import f_divergence as f_divergence
    from infotherm.information import fisher_information as fisher_information
    from infotherm.information import hellinger as hellinger
    from infotherm.information import jensen_shannon as jensen_shannon
    from infotherm.information import kl as kl
    from infotherm.information import minimum_mean_square_error as minimum_mean_square_error
    from infotherm.information import mutual_information as mutual_information
    from infotherm.information import renyi as renyi
    from infotherm.information import surprisal as surprisal
    from infotherm.information import total_correlation as total_correlation
    from infotherm.information import total_variation as total_variation
    from infotherm.transport import wasserstein2 as wasserstein2

_ROOMS = (
    "bounds",
    "estimators",
    "plots",
    "processes",
    "replica",
    "studies",
    "testing",
    "therml",
    "thermodynamics",
    "transport",
)

_HOMES = {
    "channels": "DiscreteChannel LinearGaussianChannel",
    "core.estimate": "Estimate",
    "core.verdict": "Verdict decide holm",
    "distributions": "Discrete Distribution Empirical Gaussian GaussianMixture LogDensity Rademacher SpikeSlab "
    "as_distribution",
    "information": "binary_entropy chi2 conditional_entropy cross_entropy elbo_terms entropy f_divergence "
    "fisher_information hellinger jensen_shannon kl minimum_mean_square_error mutual_information renyi surprisal "
    "total_correlation total_variation",
    "transport": "wasserstein2",
}
_NAMES = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = ["__version__", "explain", *_ROOMS, *_NAMES]  # pyright: ignore[reportUnsupportedDunderAll]


def explain(name: str, *args: Any, **options: Any) -> Explanation:
    """Which rules of the quantity `name` fit these arguments, which is taken, and why not the others.

    Raises
    ------
    KeyError
        For an unknown quantity, with the nearest names.

    Examples
    --------
    >>> from infotherm import Gaussian
    >>> explain("entropy", Gaussian(0.0, 1.0)).taken.method
    'closed-form'
    """
    for room in ("information", "transport", "thermodynamics"):  # quantities are known once their room is loaded
        import_module(f"infotherm.{room}")
    return import_module("infotherm.core.quantity").explain(name, *args, **options)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"infotherm.{name}")
    if name in _NAMES:
        found = getattr(import_module(f"infotherm.{_NAMES[name]}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'infotherm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
