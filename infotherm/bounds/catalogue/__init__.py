"""The catalogue: one file for each family of bounds; importing it registers them."""

from infotherm.bounds.catalogue import functional, information, learning, thermodynamics

__all__ = ["functional", "information", "learning", "thermodynamics"]
