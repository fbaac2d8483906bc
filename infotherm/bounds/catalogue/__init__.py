"""The catalogue: one file for each family of bounds; importing it registers them, in the order of `names()`."""

# isort: off
from infotherm.bounds.catalogue import information
from infotherm.bounds.catalogue import functional
from infotherm.bounds.catalogue import thermodynamics
from infotherm.bounds.catalogue import learning

__all__ = ["functional", "information", "learning", "thermodynamics"]
