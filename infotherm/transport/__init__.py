"""Optimal transport: Wasserstein-2 distances, geodesics, and the least dissipation of moving a law."""

from infotherm.transport.gaussian import GaussianGeodesic, geodesic, polar_rotation
from infotherm.transport.protocols import OptimalProtocol, minimum_entropy_production, optimal_protocol
from infotherm.transport.wasserstein import gelbrich, wasserstein2

__all__ = [
    "GaussianGeodesic",
    "OptimalProtocol",
    "gelbrich",
    "geodesic",
    "minimum_entropy_production",
    "optimal_protocol",
    "polar_rotation",
    "wasserstein2",
]
