"""Thermodynamics of processes: entropy production, its parts, and how it resolves in time."""

from infotherm.thermodynamics import jump_rules as jump_rules
from infotherm.thermodynamics import langevin_rates as langevin_rates
from infotherm.thermodynamics import langevin_totals as langevin_totals
from infotherm.thermodynamics.rates import EntropyProductionSplit, entropy_production_rate, excess_housekeeping
from infotherm.thermodynamics.totals import entropy_production

__all__ = ["EntropyProductionSplit", "entropy_production", "entropy_production_rate", "excess_housekeeping"]
