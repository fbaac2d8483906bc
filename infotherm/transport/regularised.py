"""Entropic transport cost and Sinkhorn divergence of laws: closed form for Gaussians, certified for atoms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.gradients import first_order
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, require_finite, validating
from infotherm.distributions import Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.transport.atoms import atoms_of
from infotherm.transport.couplings import Costs
from infotherm.transport.entropic_solver import Progress
from infotherm.transport.gaussian_entropic import EntropicValue, entropic_gaussians, sinkhorn_divergence_gaussians
from infotherm.transport.matrix_scaling import EntropicCoupling, couple
from infotherm.transport.orders import require_same_dim


def _as_epsilon(epsilon: Any, name: str = "epsilon") -> Tensor:
    epsilon = require_finite(as_tensor(epsilon, name), name)
    if validating(epsilon) and not bool((epsilon > 0).all()):
        raise ValueError(f"{name} must be > 0; got {epsilon.min().item()}: wasserstein2 is the limit of 0")
    return epsilon


entropic = Quantity(
    "entropic",
    accepts=(as_distribution, as_distribution, _as_epsilon),
    arguments=("p", "q", "epsilon"),
    doc="""The entropic transport cost OT_eps(p, q) = min over couplings pi of E |x - y|^2 + epsilon KL(pi | p x q).

    The whole minimum, neither E |x - y|^2 alone nor with the entropy of pi in place of the divergence. Between
    W2(p, q)^2, at epsilon to 0, and E |x - y|^2 of independent x and y, at epsilon to infinity. Units "1" (the square
    of that of the coordinates). Kind "exact". `info["information"]` is KL(pi | p x q) of the optimal coupling, in nats.

    Call `entropic(p, q, epsilon)`.

    - Gaussians (closed form), singular ones included: W2^2 plus one term >= 0 for each singular value of B^T A, for
      factors of the covariances, so that nothing cancels at any epsilon > 0; accuracy a few eps, and what rounded
      covariances leave open (`wasserstein2`). Batches of laws and of epsilon broadcast. The gradient is exact and
      finite everywhere, to first order.
    - `Empirical` and `Discrete` laws (fixed point): the optimal coupling of their atoms by `sinkhorn`, whose measured
      duality gap is the error. The number is that of these atoms: of the law that samples were drawn from, it is
      a biased estimate. Options `tolerance`, `max_iterations`, `progress` as in `sinkhorn`; several epsilon are
      taken one by one. Differentiable once in the samples, the weights and epsilon.

    Parameters
    ----------
    p, q
        Laws on the same space.
    epsilon
        > 0, in units of squared coordinates; a number or a batch of numbers.

    Raises
    ------
    ValueError
        When the dimensions differ or epsilon is not a finite number > 0.
    NotImplementedError
        When no rule fits, with the reasons.

    Source: Janati, Muzellec, Peyre and Cuturi, NeurIPS 33 (2020), Theorem 1; Mallasto, Gerolin and Minh, Inf. Geom. 5,
    289 (2022); del Barrio and Loubes, arXiv:2006.07863, for Gaussians; Cuturi, NeurIPS 26 (2013), for atoms.

    Examples
    --------
    >>> import infotherm as it
    >>> p, q = it.Gaussian(0.0, 1.0), it.Gaussian(1.0, 4.0)
    >>> round(entropic(p, q, 1.0).value.item(), 9)
    3.224356680
    >>> entropic(it.Empirical([[0.0], [1.0]]), it.Empirical([[0.0], [1.0]]), 1e-3).value.item()  # epsilon log 2
    0.00069315
    """,
)

sinkhorn_divergence = Quantity(
    "sinkhorn_divergence",
    accepts=(as_distribution, as_distribution, _as_epsilon),
    arguments=("p", "q", "epsilon"),
    doc="""The Sinkhorn divergence S_eps(p, q) = OT_eps(p, q) - [OT_eps(p, p) + OT_eps(q, q)] / 2, >= 0, 0 for p = q.

    OT_eps as in `entropic`. Between W2(p, q)^2, at epsilon to 0, and |E x - E y|^2, at epsilon to infinity. Units "1"
    (the square of that of the coordinates). Kind "exact".

    Call `sinkhorn_divergence(p, q, epsilon)`.

    - Gaussians (closed form): a sum of terms >= 0 that are each of second order in the difference of the laws, so that
      a divergence of 1e-16 has digits too. Batches, singular covariances and gradients as in `entropic`.
    - `Empirical` and `Discrete` laws (fixed point): three optimal couplings, whose duality gaps are the error; it is
      relative to the costs, not to their difference: ask for a small `tolerance` where the laws are near. The number
      is that of these atoms. It may be negative, by no more than the error.

    Parameters
    ----------
    p, q, epsilon
        As in `entropic`.

    Raises
    ------
    ValueError, NotImplementedError
        As `entropic`.

    Source: Feydy, Sejourne, Vialard, Amari, Trouve and Peyre, AISTATS (2019), Theorem 1;
    Janati et al., NeurIPS 33 (2020), for Gaussians.

    Examples
    --------
    >>> import infotherm as it
    >>> p, q = it.Gaussian(0.0, 1.0), it.Gaussian(1.0, 1.0)
    >>> sinkhorn_divergence(p, q, 0.3).value.item()  # equal covariances: the squared distance of the means
    1.0
    """,
)


@entropic.rule(Gaussian, Gaussian, Tensor, method="closed-form")
def _gaussians(p: Gaussian, q: Gaussian, epsilon: Tensor) -> Estimate:
    return _closed_form(entropic_gaussians, p, q, epsilon)


@sinkhorn_divergence.rule(Gaussian, Gaussian, Tensor, method="closed-form")
def _gaussian_divergence(p: Gaussian, q: Gaussian, epsilon: Tensor) -> Estimate:
    return _closed_form(sinkhorn_divergence_gaussians, p, q, epsilon)


def _closed_form(
    formula: Callable[[Gaussian, Gaussian, Tensor], EntropicValue], p: Gaussian, q: Gaussian, epsilon: Tensor
) -> Estimate:
    require_same_dim(p, q)
    dtype = torch.promote_types(p.dtype, q.dtype)
    p, q = (law if law.dtype == dtype else law.to(dtype=dtype) for law in (p, q))
    found = formula(p, q, epsilon.to(dtype=dtype, device=p.device))
    info = {} if found.information is None else {"information": found.information}
    return Estimate(found.value, error=found.error, units="1", info=info)


def is_atomic(law: Distribution) -> bool:
    """Whether a law has finitely many atoms that can be listed."""
    return law.measure == "counting" and bool(getattr(law, "has_enumerate_support", False))


def _atomic(p: Distribution, q: Distribution, epsilon: Tensor) -> None:
    for name, law in (("p", p), ("q", q)):
        if not is_atomic(law):
            raise NotApplicable(f"{name} is not a law of atoms")
        if law.batch_shape:
            raise NotApplicable(
                f"laws of atoms are taken one by one; {name} has the batch shape {tuple(law.batch_shape)}"
            )


@entropic.rule(Distribution, Distribution, Tensor, method="fixed-point", when=_atomic)
def _atoms(
    p: Distribution,
    q: Distribution,
    epsilon: Tensor,
    *,
    tolerance: float = 1e-9,
    max_iterations: int = 5000,
    progress: Progress | None = None,
) -> Estimate:
    require_same_dim(p, q)
    options = {"tolerance": tolerance, "max_iterations": max_iterations, "progress": progress}
    return _one_by_one(lambda level: _between(atoms_of(p), atoms_of(q), level, options), epsilon)


@sinkhorn_divergence.rule(Distribution, Distribution, Tensor, method="fixed-point", when=_atomic)
def _atom_divergence(
    p: Distribution,
    q: Distribution,
    epsilon: Tensor,
    *,
    tolerance: float = 1e-9,
    max_iterations: int = 5000,
    progress: Progress | None = None,
) -> Estimate:
    require_same_dim(p, q)
    options = {"tolerance": tolerance, "max_iterations": max_iterations, "progress": progress}
    first, second = atoms_of(p), atoms_of(q)

    def difference(level: Tensor) -> Estimate:
        cross = _between(first, second, level, options)
        own = [_between(law, law, level, options, symmetric=True) for law in (first, second)]
        value = cross.value - (own[0].value + own[1].value) / 2
        error = cross.error + (own[0].error + own[1].error) / 2
        converged = all(part.converged for part in (cross, *own))
        return Estimate(value, error=error, method="fixed-point", units="1", info={"converged": converged})

    return _one_by_one(difference, epsilon)


def _one_by_one(compute: Callable[[Tensor], Estimate], epsilon: Tensor) -> Estimate:
    found = [compute(level) for level in epsilon.flatten()]
    if not epsilon.ndim:
        return found[0]
    value, error = (
        torch.stack([getattr(one, name) for one in found]).reshape(epsilon.shape) for name in ("value", "error")
    )
    info = {"converged": all(one.converged for one in found)}
    return Estimate(value, error=error, method="fixed-point", units="1", info=info)


Atoms = tuple[Tensor, Tensor]


def _between(
    first: Atoms, second: Atoms, epsilon: Tensor, options: dict[str, Any], symmetric: bool = False
) -> Estimate:
    """OT_epsilon of two laws of atoms: that of the centred ones plus the squared distance of the means."""
    return coupled_atoms(first, second, epsilon, symmetric=symmetric, **options)[0]


def coupled_atoms(
    first: Atoms, second: Atoms, epsilon: Tensor, *, symmetric: bool = False, **options: Any
) -> tuple[Estimate, EntropicCoupling]:
    """OT_epsilon of two laws of atoms (points, weights), and the coupling, whose cost is that of the centred points."""
    dtype = torch.promote_types(first[0].dtype, second[0].dtype)
    (x, a), (y, b) = ((points.to(dtype), weights.to(dtype) / weights.sum()) for points, weights in (first, second))
    with torch.no_grad():
        shift, centred = torch.zeros_like(x[0]), [x, y]
        for _ in range(2):  # the mean of points far from the origin is rounded: what it leaves is taken out as well
            means = [weights @ points for points, weights in zip(centred, (a, b), strict=True)]
            centred = [points - mean for points, mean in zip(centred, means, strict=True)]
            shift = shift + (means[0] - means[1])
    found = couple(Costs(x=centred[0], y=centred[1]), a, b, float(epsilon.detach()), symmetric=symmetric, **options)
    apart = shift.square().sum()
    cost = found.cost
    value = cost.value + apart
    error = cost.error + rounding_error([apart, cost.value]) + _centring(centred, shift, a, cost.value)
    if any(t.requires_grad for t in (x, y, a, b, epsilon)):
        value = value + _moved(found, (x, y), centred, (a, b), epsilon)
    info = dict(cost.info)
    return Estimate(value, error=error, method="fixed-point", units="1", info=info), found


def _centring(centred: list[Tensor], shift: Tensor, weights: Tensor, cost: Tensor) -> Tensor:
    """What the rounding of centred points can have done: the root of the cost is as far off as they are, in W2."""
    unit = torch.finfo(weights.dtype).eps
    off = 2 * unit * (shift.norm() + sum(points.norm(dim=-1).max() for points in centred))
    # means that are off by rounding leave a cross term between the shift and the centred means
    return 2 * off * (cost.detach().clamp(min=0.0).sqrt() + shift.norm()) + off.square()


def _moved(
    found: EntropicCoupling,
    points: tuple[Tensor, Tensor],
    centred: list[Tensor],
    weights: tuple[Tensor, Tensor],
    epsilon: Tensor,
) -> Tensor:
    """Zero, with the gradient in the points, in weights through the shift of the means, and in epsilon."""
    coupling = found._solution.coupling
    rows, columns = found._kept
    (x, y), (x0, y0) = points, (centred[0][rows], centred[1][columns])
    times, back = coupling.times, coupling.transposed_times
    if found._swapped:
        times, back = back, times
    shift = (points[0].detach() - centred[0])[:1] - (points[1].detach() - centred[1])[:1]
    ones = torch.ones_like
    masses = times(ones(y0[:, 0])), back(ones(x0[:, 0]))
    pull_x = 2 * (masses[0][:, None] * (x0 + shift) - times(y0))
    pull_y = 2 * (masses[1][:, None] * (y0 - shift) - back(x0))
    slope = (pull_x * first_order(x)[rows]).sum() + (pull_y * first_order(y)[columns]).sum()
    # a weight moves the mean that was taken out: potentials of the uncentred costs
    way = 2 * shift[0]
    slope = slope + first_order(weights[0]) @ (centred[0] @ way) - first_order(weights[1]) @ (centred[1] @ way)
    slope = slope + found.information * first_order(epsilon).to(slope.dtype)
    return slope - slope.detach()
