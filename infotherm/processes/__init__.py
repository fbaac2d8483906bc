"""Processes: channels in time, diffusions and jump processes with exact transitions."""

from infotherm.processes.affine import AffineDiffusion
from infotherm.processes.base import AffineProcess, DiffusionProcess, Process, steady_state
from infotherm.processes.chain import MarkovChain
from infotherm.processes.fokker_planck import evolve
from infotherm.processes.grid_density import GridDensity
from infotherm.processes.isotropic import StraightLine, SubVariancePreserving, VarianceExploding, VariancePreserving
from infotherm.processes.jump import MarkovJump
from infotherm.processes.jump_paths import JumpPaths, simulate_jump_paths
from infotherm.processes.langevin import Langevin
from infotherm.processes.ornstein_uhlenbeck import OrnsteinUhlenbeck
from infotherm.processes.protocol import Protocol
from infotherm.processes.ring import effective_diffusion, mean_velocity
from infotherm.processes.schedules import cosine_schedule
from infotherm.processes.underdamped import UnderdampedLangevin

__all__ = [
    "AffineDiffusion",
    "AffineProcess",
    "DiffusionProcess",
    "GridDensity",
    "JumpPaths",
    "Langevin",
    "MarkovChain",
    "MarkovJump",
    "OrnsteinUhlenbeck",
    "Process",
    "Protocol",
    "StraightLine",
    "SubVariancePreserving",
    "UnderdampedLangevin",
    "VarianceExploding",
    "VariancePreserving",
    "cosine_schedule",
    "effective_diffusion",
    "evolve",
    "mean_velocity",
    "simulate_jump_paths",
    "steady_state",
]
