"""Information quantities of laws: entropies, divergences, information shared by parts, Fisher information, errors."""

from infotherm.information.conditional_entropies import conditional_entropy
from infotherm.information.cross_entropies import cross_entropy
from infotherm.information.divergences import jensen_shannon, kl
from infotherm.information.elbo import DenoiserReversal, ElboTerms, ExactReversal, elbo_terms
from infotherm.information.entropies import binary_entropy, entropy, surprisal
from infotherm.information.f_divergences import chi2, f_divergence, hellinger, total_variation
from infotherm.information.fisher import fisher_information
from infotherm.information.fits import GaussianFit, forward_kl_fit, reverse_kl_fit
from infotherm.information.mmse import information_from_mmse, minimum_mean_square_error
from infotherm.information.mutual_informations import mutual_information
from infotherm.information.renyi_divergences import renyi
from infotherm.information.total_correlations import total_correlation

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
