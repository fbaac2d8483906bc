"""What a representation costs and buys: rate, distortion, classification, and their optimal trade-offs."""

from infotherm.therml.frontier import (
    DecoderFreeFunctionals,
    FrontierPoint,
    critical_deltas,
    encoder_functionals,
    gaussian_frontier,
)
from infotherm.therml.gaussian import (
    GaussianBottleneck,
    RateDistortion,
    gaussian_information_bottleneck,
    gaussian_rate_distortion,
    laplacian_rate_distortion,
)

__all__ = [
    "DecoderFreeFunctionals",
    "FrontierPoint",
    "GaussianBottleneck",
    "RateDistortion",
    "critical_deltas",
    "encoder_functionals",
    "gaussian_frontier",
    "gaussian_information_bottleneck",
    "gaussian_rate_distortion",
    "laplacian_rate_distortion",
]
