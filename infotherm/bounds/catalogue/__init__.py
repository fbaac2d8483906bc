"""The catalogue: one file for each family of bounds; importing it registers them, in the order of `names()`."""

# isort: off
from infotherm.bounds.catalogue import information
from infotherm.bounds.catalogue import functional
from infotherm.bounds.catalogue import thermodynamics
from infotherm.bounds.catalogue import dissipation
from infotherm.bounds.catalogue import fluctuations
from infotherm.bounds.catalogue import uncertainty
from infotherm.bounds.catalogue import landauer
from infotherm.bounds.catalogue import speed_limits
from infotherm.bounds.catalogue import information_engines
from infotherm.bounds.catalogue import learning

__all__ = [
    "dissipation",
    "fluctuations",
    "functional",
    "information",
    "information_engines",
    "landauer",
    "learning",
    "speed_limits",
    "thermodynamics",
    "uncertainty",
]
