"""Thermodynamics of processes: entropy production, its parts, and how it resolves in time."""

from infotherm.thermodynamics import jump_rules as jump_rules
from infotherm.thermodynamics import langevin_rates as langevin_rates
from infotherm.thermodynamics import langevin_totals as langevin_totals
from infotherm.thermodynamics.counting import (
    CurrentStatistics,
    cumulant_generating_function,
    current_statistics,
    entropy_counting,
    gallavotti_cohen_residual,
    rate_function,
)
from infotherm.thermodynamics.first_passage import FirstPassage, first_passage_time
from infotherm.thermodynamics.jump_edges import (
    JumpEdges,
    cycle_affinity,
    dynamical_activity,
    dynamical_mobility,
    jump_edges,
)
from infotherm.thermodynamics.jump_simulation import simulate_jumps
from infotherm.thermodynamics.path_statistics import PathStatistics, path_statistics
from infotherm.thermodynamics.rates import EntropyProductionSplit, entropy_production_rate, excess_housekeeping
from infotherm.thermodynamics.simulation import simulate
from infotherm.thermodynamics.step_extrapolation import extrapolated_mean, stationary_average
from infotherm.thermodynamics.totals import entropy_production
from infotherm.thermodynamics.trajectory import Trajectories

__all__ = [
    "CurrentStatistics",
    "EntropyProductionSplit",
    "FirstPassage",
    "JumpEdges",
    "PathStatistics",
    "Trajectories",
    "cumulant_generating_function",
    "current_statistics",
    "cycle_affinity",
    "dynamical_activity",
    "dynamical_mobility",
    "entropy_counting",
    "entropy_production",
    "entropy_production_rate",
    "excess_housekeeping",
    "extrapolated_mean",
    "first_passage_time",
    "gallavotti_cohen_residual",
    "jump_edges",
    "path_statistics",
    "rate_function",
    "simulate",
    "simulate_jumps",
    "stationary_average",
]
