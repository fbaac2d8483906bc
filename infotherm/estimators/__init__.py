"""Quantities from samples."""

from infotherm.estimators.files import FileEstimates as FileEstimates
from infotherm.estimators.files import estimate_file as estimate_file
from infotherm.estimators.gaussian import GaussianPlugIn as GaussianPlugIn
from infotherm.estimators.neighbours import KSG as KSG
from infotherm.estimators.neighbours import KozachenkoLeonenko as KozachenkoLeonenko
