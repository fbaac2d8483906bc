"""Optimal transport: Wasserstein-2 distances, geodesics, and the least dissipation of moving a law."""

from infotherm.transport.bridge import GaussianBridge, schroedinger_bridge
from infotherm.transport.bridge_samples import AtomicBridge
from infotherm.transport.circle import circle_wasserstein
from infotherm.transport.constant_speed import ConstantSpeedClock, RetimedProcess, constant_speed_clock
from infotherm.transport.discrete import OptimalTransport, optimal_transport
from infotherm.transport.dual_bound import empirical_lower
from infotherm.transport.dynamic import DynamicTransport, benamou_brenier
from infotherm.transport.empirical import EmpiricalBounds, empirical_bounds
from infotherm.transport.erasure import finite_time_landauer, truncated
from infotherm.transport.gaussian import GaussianGeodesic, polar_rotation
from infotherm.transport.gaussian_paths import path_dissipation
from infotherm.transport.geodesics import geodesic
from infotherm.transport.line_geodesic import DisplacedLaw, LineGeodesic
from infotherm.transport.line_protocol import LineProtocol
from infotherm.transport.matrix_scaling import EntropicCoupling, sinkhorn
from infotherm.transport.mixture import mixture_wasserstein
from infotherm.transport.orders import wasserstein
from infotherm.transport.particle_geodesic import ParticleGeodesic
from infotherm.transport.path_speeds import path_action, path_length, wasserstein_speed
from infotherm.transport.plug_in_bound import empirical_point, empirical_upper
from infotherm.transport.proportional_fitting import proportional_fitting
from infotherm.transport.protocols import OptimalProtocol, minimum_entropy_production, optimal_protocol
from infotherm.transport.regularised import entropic, sinkhorn_divergence
from infotherm.transport.sample_moments import empirical_gelbrich
from infotherm.transport.schedules import compare_schedules
from infotherm.transport.second_order import gelbrich, wasserstein2
from infotherm.transport.sliced import sliced_wasserstein
from infotherm.transport.stiffness import ChangedStiffness, changed_stiffness
from infotherm.transport.trap import MovedTrap, moved_trap

__all__ = [
    "AtomicBridge",
    "ChangedStiffness",
    "ConstantSpeedClock",
    "DisplacedLaw",
    "DynamicTransport",
    "EmpiricalBounds",
    "EntropicCoupling",
    "GaussianBridge",
    "GaussianGeodesic",
    "LineGeodesic",
    "LineProtocol",
    "MovedTrap",
    "OptimalProtocol",
    "OptimalTransport",
    "ParticleGeodesic",
    "RetimedProcess",
    "benamou_brenier",
    "changed_stiffness",
    "circle_wasserstein",
    "compare_schedules",
    "constant_speed_clock",
    "empirical_bounds",
    "empirical_gelbrich",
    "empirical_lower",
    "empirical_point",
    "empirical_upper",
    "entropic",
    "finite_time_landauer",
    "gelbrich",
    "geodesic",
    "minimum_entropy_production",
    "mixture_wasserstein",
    "moved_trap",
    "optimal_protocol",
    "optimal_transport",
    "path_action",
    "path_dissipation",
    "path_length",
    "polar_rotation",
    "proportional_fitting",
    "schroedinger_bridge",
    "sinkhorn",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "truncated",
    "wasserstein",
    "wasserstein2",
    "wasserstein_speed",
]
