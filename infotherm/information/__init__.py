"""Information quantities of laws: entropies, divergences, information shared by parts, Fisher information, errors."""

from infotherm.information.cross_entropies import cross_entropy
from infotherm.information.divergences import jensen_shannon, kl
from infotherm.information.entropies import binary_entropy, entropy, surprisal
from infotherm.information.f_divergences import chi2, f_divergence, hellinger, total_variation
from infotherm.information.fits import GaussianFit, forward_kl_fit, reverse_kl_fit
from infotherm.information.renyi_divergences import renyi

__all__ = [
    "DenoiserReversal",
    "ElboTerms",
    "ExactReversal",
    "GaussianFit",
    "binary_entropy",
    "chi2",
    "conditional_entropy",
    "cross_entropy",
    "elbo_terms",
    "entropy",
    "f_divergence",
    "fisher_information",
    "forward_kl_fit",
    "hellinger",
    "information_from_mmse",
    "information_from_mmse",
    "jensen_shannon",
    "kl",
    "minimum_mean_square_error",
    "mutual_information",
    "renyi",
    "reverse_kl_fit",
    "surprisal",
    "total_correlation",
    "total_variation",
]


_LATER = {
    "conditional_entropy": "conditional_entropies", "elbo_terms": "elbo", "fisher_information": "fisher",
    "information_from_mmse": "mmse", "minimum_mean_square_error": "mmse",
    "mutual_information": "mutual_informations", "total_correlation": "total_correlations",
}


def __getattr__(name):
    from importlib import import_module

    if name in _LATER:
        return getattr(import_module(f"infotherm.information.{_LATER[name]}"), name)
    raise AttributeError(name)
