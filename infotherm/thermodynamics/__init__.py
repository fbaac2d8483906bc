"""Thermodynamics of processes: entropy production, its parts, and how it resolves in time."""

from infotherm.thermodynamics import jump_rules as jump_rules
from infotherm.thermodynamics import langevin_rates as langevin_rates
from infotherm.thermodynamics import langevin_totals as langevin_totals
from infotherm.thermodynamics.bipartite import BipartiteRates, PartialRates, bipartite_rates, transfer_entropy_rate
from infotherm.thermodynamics.counting import (
    CurrentStatistics,
    cumulant_generating_function,
    current_statistics,
    entropy_counting,
    gallavotti_cohen_residual,
    rate_function,
)
from infotherm.thermodynamics.demons import continuous_demon, szilard_engine
from infotherm.thermodynamics.feedback import (
    FeedbackEngine,
    FeedbackSamples,
    generalised_jarzynski,
    trap_cycles,
    trap_engine,
    trap_jarzynski,
)
from infotherm.thermodynamics.first_passage import FirstPassage, first_passage_time
from infotherm.thermodynamics.friction import (
    friction_from_trajectories,
    harmonic_friction,
    jump_friction,
    overdamped_friction,
)
from infotherm.thermodynamics.jump_edges import (
    JumpEdges,
    cycle_affinity,
    dynamical_activity,
    dynamical_mobility,
    jump_edges,
)
from infotherm.thermodynamics.jump_simulation import simulate_jumps
from infotherm.thermodynamics.landauer import (
    EntropyChange,
    ErasureRun,
    erasure_run,
    landauer_cost,
    stored_bit_entropies,
)
from infotherm.thermodynamics.learning import LearningCost, hebbian_weight
from infotherm.thermodynamics.path_statistics import PathStatistics, path_statistics
from infotherm.thermodynamics.rates import EntropyProductionSplit, entropy_production_rate, excess_housekeeping
from infotherm.thermodynamics.simulation import simulate
from infotherm.thermodynamics.slow_driving import Schedule, optimal_schedule, slow_excess_work, thermodynamic_length
from infotherm.thermodynamics.step_extrapolation import extrapolated_mean, stationary_average
from infotherm.thermodynamics.totals import entropy_production
from infotherm.thermodynamics.trajectory import Trajectories

__all__ = [
    "BipartiteRates",
    "CurrentStatistics",
    "EntropyChange",
    "EntropyProductionSplit",
    "ErasureRun",
    "FeedbackEngine",
    "FeedbackSamples",
    "FirstPassage",
    "JumpEdges",
    "LearningCost",
    "PartialRates",
    "PathStatistics",
    "Schedule",
    "Trajectories",
    "bipartite_rates",
    "continuous_demon",
    "cumulant_generating_function",
    "current_statistics",
    "cycle_affinity",
    "dynamical_activity",
    "dynamical_mobility",
    "entropy_counting",
    "entropy_production",
    "entropy_production_rate",
    "erasure_run",
    "excess_housekeeping",
    "extrapolated_mean",
    "first_passage_time",
    "friction_from_trajectories",
    "gallavotti_cohen_residual",
    "generalised_jarzynski",
    "harmonic_friction",
    "hebbian_weight",
    "jump_edges",
    "jump_friction",
    "landauer_cost",
    "optimal_schedule",
    "overdamped_friction",
    "path_statistics",
    "rate_function",
    "simulate",
    "simulate_jumps",
    "slow_excess_work",
    "stationary_average",
    "stored_bit_entropies",
    "szilard_engine",
    "thermodynamic_length",
    "transfer_entropy_rate",
    "trap_cycles",
    "trap_engine",
    "trap_jarzynski",
]
