"""Wasserstein-2 geodesics between laws of one kind: Gaussians, scalar laws with densities, laws of atoms."""

from __future__ import annotations

from typing import Any, overload

from infotherm.distributions import Discrete, Empirical, Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.transport.gaussian import GaussianGeodesic, gaussian_geodesic
from infotherm.transport.line_geodesic import LineGeodesic, line_geodesic
from infotherm.transport.particle_geodesic import ParticleGeodesic, particle_geodesic

Geodesic = GaussianGeodesic | LineGeodesic | ParticleGeodesic


@overload
def geodesic(p: Gaussian, q: Gaussian) -> GaussianGeodesic: ...
@overload
def geodesic(p: Empirical | Discrete, q: Empirical | Discrete) -> ParticleGeodesic: ...
@overload
def geodesic(p: Any, q: Any) -> Any: ...
def geodesic(p: Any, q: Any) -> Geodesic:
    """The Wasserstein-2 geodesic (McCann's displacement interpolation): mass moves on straight lines at constant speed.

    x_t = (1 - t) x_0 + t x_1 with (x_0, x_1) the optimal coupling, so that W2(at(s), at(t)) = |t - s| W2(p, q).

    - Gaussians, singular ones and batches included: closed form; differentiable once in the parameters.
    - Scalar laws with densities (mixtures, Boltzmann laws, those of torch and scipy; no batch): x_1 = G^-1(F(x_0)),
      tabulated to about 1e-11 of the spread of the laws; `.velocity_error(x, t)` says what that does.
    - Laws of atoms (Empirical, Discrete with values): the particles of an optimal plan; a velocity at particles only.

    Parameters
    ----------
    p, q
        Laws on the same space, both of one of these kinds.

    Returns
    -------
    GaussianGeodesic, LineGeodesic or ParticleGeodesic
        With `.at(t)`, the law at t in [0, 1], `.velocity(x, t)` and `.map(x)`.

    Raises
    ------
    TypeError
        For laws of different kinds, atoms beside a density, or a density in D > 1 that is not Gaussian.
    ValueError
        When the dimensions differ, or laws that are taken one by one have a batch.

    Source: McCann, Adv. Math. 128, 153 (1997); Knott and Smith, J. Optim. Theory Appl. 43, 39 (1984) for the map.

    Examples
    --------
    >>> import infotherm as it
    >>> path = geodesic(it.Gaussian(0.0, 1.0), it.Gaussian(2.0, 9.0))
    >>> path.at(0.5).mean.item(), path.at(0.5).covariance.item(), path.map([1.0]).item()
    (1.0, 4.0, 5.0)
    >>> bit = it.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.04]], [[0.04]]])
    >>> erased = geodesic(bit, it.Gaussian(1.0, 0.04))
    >>> round(erased.map([-1.0]).item(), 9)  # the middle of the left well is the lower quartile
    0.86510205
    >>> geodesic(it.Empirical([[0.0], [1.0]]), it.Empirical([[5.0], [3.0]])).at(0.5).samples.flatten().tolist()
    [1.5, 3.0]
    """
    p, q = as_distribution(p, "p"), as_distribution(q, "q")
    if p.dim != q.dim:
        raise ValueError(f"p and q must live on the same space; got D = {p.dim} and D = {q.dim}")
    if isinstance(p, Gaussian) and isinstance(q, Gaussian):
        return gaussian_geodesic(p, q)
    atoms = [law.measure == "counting" and bool(getattr(law, "has_enumerate_support", False)) for law in (p, q)]
    for name, law in (("p", p), ("q", q)):
        if law.batch_shape:
            raise ValueError(
                f"{name} must be a single law unless both are Gaussian; got the batch shape {tuple(law.batch_shape)}"
            )
    if all(atoms):
        return particle_geodesic(p, q)
    if p.dim == 1 and _has_density(p) and _has_density(q):
        return line_geodesic(p, q)
    raise TypeError(
        f"p and q must be two Gaussians, two scalar laws with densities, or two laws of atoms; got {_described(p)} and "
        f"{_described(q)}: sample both, Empirical(p.sample((n,))), for a path of particles"
    )


def _has_density(law: Distribution) -> bool:
    degenerate = isinstance(law, Gaussian) and bool((law.scale_tril[..., 0, 0] == 0).any())
    return law.measure == "lebesgue" and not degenerate


def _described(law: Distribution) -> str:
    return f"a {type(law).__name__} (D = {law.dim}, measure {law.measure})"
