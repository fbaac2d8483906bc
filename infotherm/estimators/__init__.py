"""Quantities from samples."""

from infotherm.estimators.binning import Binning as Binning
from infotherm.estimators.denoising import DenoisingInformation as DenoisingInformation
from infotherm.estimators.files import FileEstimates as FileEstimates
from infotherm.estimators.files import estimate_file as estimate_file
from infotherm.estimators.gaussian import GaussianPlugIn as GaussianPlugIn
from infotherm.estimators.kernel import KernelDensity as KernelDensity
from infotherm.estimators.mixed import DiscreteContinuous as DiscreteContinuous
from infotherm.estimators.mixed import MixedKSG as MixedKSG
from infotherm.estimators.neighbour_divergences import NeighbourKL as NeighbourKL
from infotherm.estimators.neighbours import KSG as KSG
from infotherm.estimators.neighbours import KozachenkoLeonenko as KozachenkoLeonenko
from infotherm.estimators.pairwise import KolchinskyTracey as KolchinskyTracey
from infotherm.estimators.tags import Tags as Tags
from infotherm.estimators.variational import MINE as MINE
from infotherm.estimators.variational import NWJ as NWJ
from infotherm.estimators.variational import DonskerVaradhan as DonskerVaradhan
from infotherm.estimators.variational import InfoNCE as InfoNCE
