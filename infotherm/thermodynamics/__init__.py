"""Thermodynamics of processes: entropy production, its parts, and how it resolves in time."""

from infotherm.thermodynamics import jump_rules as jump_rules
from infotherm.thermodynamics import langevin_rates as langevin_rates
from infotherm.thermodynamics import langevin_totals as langevin_totals
from infotherm.thermodynamics import underdamped_rules as underdamped_rules
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
from infotherm.thermodynamics.fluctuation import detailed_fluctuation_theorem, integral_fluctuation_theorem
from infotherm.thermodynamics.free_energy import (
    crooks,
    crooks_slope,
    dissipated_work,
    free_energy_upper_limit,
    jarzynski,
)
from infotherm.thermodynamics.friction import (
    friction_from_trajectories,
    harmonic_friction,
    jump_friction,
    overdamped_friction,
)
from infotherm.thermodynamics.hatano_sasa import housekeeping_counting
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
from infotherm.thermodynamics.neural_inference import entropy_production_from_network
from infotherm.thermodynamics.path_divergence import (
    entropy_production_from_segments,
    entropy_production_from_sequences,
)
from infotherm.thermodynamics.path_statistics import PathStatistics, path_statistics
from infotherm.thermodynamics.precision import entropy_production_lower_bound
from infotherm.thermodynamics.rates import EntropyProductionSplit, entropy_production_rate, excess_housekeeping
from infotherm.thermodynamics.reweighting import (
    WeightDiagnostics,
    exponential_average,
    log_exponential_average,
    weight_diagnostics,
)
from infotherm.thermodynamics.ring_counting import ring_cumulant_generating_function
from infotherm.thermodynamics.simulation import simulate
from infotherm.thermodynamics.slow_driving import Schedule, optimal_schedule, slow_excess_work, thermodynamic_length
from infotherm.thermodynamics.step_extrapolation import extrapolated_mean, stationary_average
from infotherm.thermodynamics.totals import entropy_production
from infotherm.thermodynamics.trajectory import Trajectories
from infotherm.thermodynamics.tur_inference import entropy_production_from_currents
from infotherm.thermodynamics.uncertainty import relative_variance, uncertainty_bound, uncertainty_ratio
from infotherm.thermodynamics.waiting_times import (
    entropy_production_from_transitions,
    visible_entropy_production_rate,
    visible_transitions,
)

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
    "WeightDiagnostics",
    "bipartite_rates",
    "continuous_demon",
    "crooks",
    "crooks_slope",
    "cumulant_generating_function",
    "current_statistics",
    "cycle_affinity",
    "detailed_fluctuation_theorem",
    "dissipated_work",
    "dynamical_activity",
    "dynamical_mobility",
    "entropy_counting",
    "entropy_production",
    "entropy_production_from_currents",
    "entropy_production_from_network",
    "entropy_production_from_segments",
    "entropy_production_from_sequences",
    "entropy_production_from_transitions",
    "entropy_production_lower_bound",
    "entropy_production_rate",
    "erasure_run",
    "excess_housekeeping",
    "exponential_average",
    "extrapolated_mean",
    "first_passage_time",
    "free_energy_upper_limit",
    "friction_from_trajectories",
    "gallavotti_cohen_residual",
    "generalised_jarzynski",
    "harmonic_friction",
    "hebbian_weight",
    "housekeeping_counting",
    "integral_fluctuation_theorem",
    "jarzynski",
    "jump_edges",
    "jump_friction",
    "landauer_cost",
    "log_exponential_average",
    "optimal_schedule",
    "overdamped_friction",
    "path_statistics",
    "rate_function",
    "relative_variance",
    "ring_cumulant_generating_function",
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
    "uncertainty_bound",
    "uncertainty_ratio",
    "visible_entropy_production_rate",
    "visible_transitions",
    "weight_diagnostics",
]
