"""The Wasserstein-2 distance: closed form for Gaussians, quantiles on a line, optimal assignment for samples."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.linalg import factor_perturbation, procrustes_distance, psd_factor
from infotherm.core.quadrature import gauss_legendre, integrate
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import validating
from infotherm.distributions import Discrete, Empirical, Gaussian, TorchDistribution, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.transport.quantiles import odds_landmarks, quantiles_of

# laws do not change: the distance of one law to many others asks for its error once
_PARAMETER_ERRORS: WeakKeyDictionary[Gaussian, Tensor] = WeakKeyDictionary()
_LARGEST_PROBLEM = 2**25  # samples times samples: 256 MiB of costs
_FARTHEST = 690.0  # log-odds: e^-690 is about the smallest probability that is a number

wasserstein2 = Quantity(
    "wasserstein2",
    accepts=(as_distribution, as_distribution),
    doc="""The Wasserstein-2 distance W2(p, q) = min over couplings of (E |x - y|^2)^(1/2), not its square.

    Units "1" (that of the coordinates). Kind "exact" by every method.

    - Gaussians (closed form): W2^2 = |m_p - m_q|^2 + min_U |A - B U|_F^2 over rotations U for any factors A A^T = C_p,
      B B^T = C_q. Singular and nearly equal covariances keep an accuracy of a few eps times the standard deviations
      when the laws were given by factors (`Gaussian.from_factor`). Covariances are themselves rounded, which moves a
      regular one by about eps |C| / (2 sqrt(smallest eigenvalue)) and a singular one by up to sqrt(eps |C|): the error
      says so. The gradient is exact and finite everywhere, 0 at equality.
    - Scalar laws with quantile functions (quadrature): W2^2 = integral of (F^-1(u) - G^-1(u))^2 over (0, 1), in
      log-odds so that both tails are seen; second moments that the quantiles miss are added to the error.
    - Samples and other laws of atoms: sorting on a line, else an optimal assignment by POT, whose duality gap is the
      error.

    Where nothing applies, `infotherm.transport.gelbrich` is a lower bound.

    Parameters
    ----------
    p, q
        Laws on the same space; batch shapes broadcast.

    Raises
    ------
    ValueError
        When the dimensions differ.
    NotImplementedError
        When no rule fits, with the reasons.

    Source: Gelbrich, Math. Nachr. 147, 185 (1990) for Gaussians; Villani, Topics in Optimal Transportation (2003),
    Theorem 2.18 on the line.

    Examples
    --------
    >>> import infotherm as it
    >>> round(it.wasserstein2(it.Gaussian(0.0, 1.0), it.Gaussian(1.0, 4.0)).value.item(), 9)
    1.414213562
    """,
)


@wasserstein2.rule(Gaussian, Gaussian, method="closed-form")
def _gaussians(p: Gaussian, q: Gaussian) -> Estimate:
    _require_same_dim(p, q)
    value, error = _bures_and_shift(p.mean, p.factor, q.mean, q.factor)
    return Estimate(value, error=error + parameter_error(p) + parameter_error(q), units="1")


def _bures_and_shift(m0: Tensor, A: Tensor, m1: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """W2 of Gaussians from means and factors, and the error of the arithmetic."""
    between = procrustes_distance(A, B)
    shift = m0 - m1
    shift = shift.expand(*between.distance.shape, shift.shape[-1]) if shift.ndim <= between.distance.ndim + 1 else shift
    distance = between.distance.expand(shift.shape[:-1])
    legs = torch.cat([shift, distance[..., None]], -1)
    # scaled, so that neither squares nor gradients overflow; the gradient at zero is zero
    scale = legs.detach().abs().amax(-1)
    scale = torch.where(scale > 0, scale, 1.0)
    value = scale * torch.linalg.vector_norm(legs / scale[..., None], dim=-1)
    return value, between.error + _not_a_rotation(between.rotation, B) + rounding_error([value])


def _not_a_rotation(rotation: Tensor, B: Tensor) -> Tensor:
    """What a departure of U from orthogonality can have taken from |A - B U|, for strongly graded factors."""
    if rotation.shape[-1] != B.shape[-2]:  # factors wider than the space: U is a rotation of a subspace only
        return torch.zeros_like(rotation[..., 0, 0])
    eps, rotation = torch.finfo(B.dtype).eps, rotation.detach()
    identity = torch.eye(rotation.shape[-1], dtype=B.dtype, device=B.device)
    defect = torch.linalg.vector_norm(rotation.mT @ rotation - identity, dim=(-2, -1))
    usual = 4 * eps * rotation.shape[-1]
    return torch.where(defect > usual, defect, 0.0) * torch.linalg.vector_norm(B.detach(), dim=(-2, -1))


def parameter_error(law: Gaussian) -> Tensor:
    """How far in W2 a law can lie from the one whose rounded parameters it was given, shape (*batch)."""
    known = _PARAMETER_ERRORS.get(law)
    if known is None or not validating(law.factor):
        known = _PARAMETER_ERRORS[law] = _parameter_error(law)
    return known


def _parameter_error(law: Gaussian) -> Tensor:
    eps = torch.finfo(law.dtype).eps
    size = law.mean if law._mean_magnitude is None else law._mean_magnitude
    mean = eps * torch.linalg.vector_norm(size.detach(), dim=-1)
    if law._datum == "covariance":
        return mean + _covariance_error(law.covariance.detach(), law.factor.detach())
    magnitude = law.factor if law._factor_magnitude is None else law._factor_magnitude
    return mean + eps * torch.linalg.vector_norm(magnitude.detach(), dim=(-2, -1))


def _covariance_error(covariance: Tensor, factor: Tensor) -> Tensor:
    """The reach of the covariance's rounding, widened by what its factor fails to reproduce."""
    spread = factor.norm(dim=-1)
    scale = spread[..., :, None] * spread[..., None, :]
    failure = (factor @ factor.mT - covariance).abs() / torch.where(scale > 0, scale, 1.0)
    return factor_perturbation(covariance) * (1 + failure.amax((-2, -1)) / torch.finfo(factor.dtype).eps)


def _on_a_line(p: Distribution, q: Distribution) -> None:
    for name, law in (("p", p), ("q", q)):
        if law.dim != 1:
            raise NotApplicable(f"quantiles need scalar laws; {name} has D = {law.dim}")
        try:
            finite = bool(torch.isfinite(law.variance.detach()).all())
        except NotImplementedError:
            raise NotApplicable(f"the variance of {name} is not known, by which the tails are checked") from None
        if not finite:
            raise NotApplicable(f"{name} has no finite variance")
        if quantiles_of(law) is None:
            raise NotApplicable(f"{name} has no quantile function")


@wasserstein2.rule(Distribution, Distribution, method="quadrature", when=_on_a_line)
def _quantiles(p: Distribution, q: Distribution, *, tolerance: float = 1e-12) -> Estimate:
    first, second = quantiles_of(p), quantiles_of(q)
    assert first is not None and second is not None
    batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    dtype = torch.promote_types(p.dtype, q.dtype)
    # a common origin between the two, so that the second moments below do not cancel
    origin = ((p.mean + q.mean) / 2)[..., 0].detach()

    def integrand(odds: Tensor) -> Tensor:
        below, above = torch.sigmoid(odds), torch.sigmoid(-odds)
        x, y = (_finite(quantiles(below, above)) for quantiles in (first, second))
        squares = torch.stack([x - y, (x - origin).detach(), (y - origin).detach()], -1).square()
        return squares * (below * above)[..., None]

    end = torch.full(batch, _FARTHEST, dtype=dtype, device=p.device)
    moments = [law.variance[..., 0] + (law.mean[..., 0] - origin).square() for law in (p, q)]
    # quantiles are known to a few eps of themselves, which by the triangle inequality moves W2 by as much
    sizes = [(m + origin.square()).detach().sqrt() for m in moments]
    blur = torch.finfo(dtype).eps * (_quantile_digits(p) * sizes[0] + _quantile_digits(q) * sizes[1])
    marks = odds_landmarks((p, q), batch, dtype)
    # what blur does to the square of a distance that is known roughly is not worth a finer mesh
    with torch.no_grad():
        nodes, weights = (v.reshape(-1, *[1] * len(batch)) for v in gauss_legendre(100, -30.0, 30.0, dtype, p.device))
        rough = (weights * integrand(nodes.expand(-1, *batch))[..., 0]).sum(0)
        goal = float((blur * rough.clamp(min=0.0).sqrt() + blur.square()).amax())
    total = integrate(
        integrand, -end, end, breakpoints=marks, rtol=tolerance, atol=goal, max_panels=2000 + 4 * len(marks)
    )
    square, error = total.value[..., 0], total.error[..., 0]
    missed = []
    for place, (law, moment) in enumerate(zip((p, q), moments, strict=True), 1):
        if isinstance(law, Empirical):
            # nothing is missed, but the levels are sums of rounded weights
            missed.append(torch.zeros_like(error))
            error = error + torch.finfo(dtype).eps * len(law) * (law.samples.amax() - law.samples.amin()).square()
            continue
        gap = (moment - total.value[..., place]).detach().abs()
        floor = 2 * total.error[..., place] + rounding_error([moment, moment, moment])
        missed.append(torch.where(gap > floor, gap, 0.0).sqrt())
    error = error + (missed[0] + missed[1]).square() + 2 * (missed[0] + missed[1]) * square.detach().clamp(min=0).sqrt()
    found = _root(square, error, "quadrature", converged=total.converged)
    return Estimate(found.value, error=found.error + blur, method="quadrature", units="1", info=found.info)


def _quantile_digits(law: Distribution) -> float:
    """How many eps of the law's size its quantiles are off, on average over the probability.

    torch's formulas know a probability near 1 to eps only, and so the quantile at distance u from it to eps / u: over
    all u >= eps that adds up to log(1 / eps) eps.
    """
    if not isinstance(law, TorchDistribution):
        return 8.0
    return 8.0 - 2 * math.log(torch.finfo(law.dtype).eps)


def _finite(x: Tensor) -> Tensor:
    """Quantiles that overflow count as 0: the second moment that then is missing goes into the error."""
    return torch.where(torch.isfinite(x), x, 0.0)


def _root(square: Tensor, error: Tensor, method: str, **info: Any) -> Estimate:
    """The distance from its square: the gradient at zero is zero."""
    positive = square > 0
    value = torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)
    centre = square.detach().clamp(min=0.0)
    below = centre.sqrt() - (centre - error).clamp(min=0.0).sqrt()
    # sqrt(c + e) - sqrt(c) without cancellation
    above = error / ((centre + error).sqrt() + centre.sqrt()).clamp(min=1e-300)
    error = torch.maximum(below, above) + rounding_error([value])
    return Estimate(value, error=error, method=method, units="1", info=info)


def _atoms_of(law: Distribution) -> tuple[Tensor, Tensor]:
    """Points (N, D) and their probabilities (N,)."""
    if isinstance(law, Empirical):
        return law.samples, law.weights
    points = law.enumerate_support()
    places = law.values_at(points) if isinstance(law, Discrete) else points.to(law.dtype)
    return places, law.log_prob(points).exp()


def _all_atoms(p: Distribution, q: Distribution) -> None:
    sizes = []
    for name, law in (("p", p), ("q", q)):
        if law.measure != "counting" or not getattr(law, "has_enumerate_support", False):
            raise NotApplicable(f"{name} is not a law of atoms")
        if law.batch_shape:
            raise NotApplicable(
                f"laws of atoms are taken one by one; {name} has the batch shape {tuple(law.batch_shape)}"
            )
        sizes.append(len(_atoms_of(law)[0]))
    if p.dim == 1 and q.dim == 1:
        return
    if find_spec("ot") is None:
        raise NotApplicable("an optimal assignment in D > 1 needs the package POT (pip install POT)")
    if sizes[0] * sizes[1] > _LARGEST_PROBLEM:
        raise NotApplicable(f"{sizes[0]} x {sizes[1]} costs do not fit: take fewer samples")


@wasserstein2.rule(Distribution, Distribution, method="closed-form", when=_all_atoms)
def _atoms(p: Distribution, q: Distribution) -> Estimate:
    _require_same_dim(p, q)
    (x, a), (y, b) = _atoms_of(p), _atoms_of(q)
    a, b = a / a.sum(), b / b.sum()
    if p.dim == 1:
        return _sorted_atoms(x[:, 0], a, y[:, 0], b)
    return _assigned_atoms(x, a, y, b)


def _sorted_atoms(x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> Estimate:
    x, order_x = x.sort()
    y, order_y = y.sort()
    eps = torch.finfo(x.dtype).eps
    if len(x) == len(y) and bool((a == a[0]).all()) and bool((b == a[0]).all()):
        squares = (x - y).square()
        square = squares.mean()
        return _root(square, rounding_error([square, square]), "closed-form")
    levels_x, levels_y = a[order_x].cumsum(0), b[order_y].cumsum(0)
    # both quantile functions are constant between neighbouring levels of either
    levels = torch.cat([levels_x, levels_y]).sort().values.clamp(max=1.0)
    widths = levels.diff(prepend=levels.new_zeros(1))
    middle = (levels - widths / 2).detach()
    of_x = torch.searchsorted(levels_x.detach(), middle).clamp(max=len(x) - 1)
    of_y = torch.searchsorted(levels_y.detach(), middle).clamp(max=len(y) - 1)
    squares = (x[of_x] - y[of_y]).square()
    square = (widths * squares).sum()
    # levels are sums of up to N rounded weights
    error = rounding_error([square]) + eps * len(levels) * squares.detach().max()
    return _root(square, error, "closed-form")


def _assigned_atoms(x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> Estimate:
    import ot

    with torch.no_grad():
        costs = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square().double().cpu()
        supply, demand = (w.double().cpu() for w in (a, b))
        plan, log = ot.emd(supply.numpy(), demand.numpy(), costs.numpy(), numItermax=10_000_000, log=True)
        if log["warning"] is not None:
            raise RuntimeError(f"the optimal assignment did not finish: {log['warning']}")
        u, v = (torch.as_tensor(log[name]) for name in ("u", "v"))
        # dual variables made feasible: their value is then a lower bound whatever the solver did
        violation = (u[:, None] + v - costs).max().clamp(min=0.0)
        dual = (u * supply).sum() + (v * demand).sum() - violation
        plan = torch.from_numpy(plan)
        gap = ((plan * costs).sum() - dual).clamp(min=0.0)
        rows, columns = torch.nonzero(plan, as_tuple=True)
        shares = plan[rows, columns].to(x)
        rows, columns = rows.to(x.device), columns.to(x.device)
    square = (shares * (x[rows] - y[columns]).square().sum(-1)).sum()
    # the dual variables are the derivatives with respect to the weights
    square = square + (u.to(x) * (a - a.detach())).sum() + (v.to(x) * (b - b.detach())).sum()
    largest = costs.max().to(x)
    error = gap.to(x) + rounding_error([square]) + torch.finfo(x.dtype).eps * len(shares) * largest
    return _root(square, error, "closed-form", duality_gap=float(gap))


def gelbrich(p: Any, q: Any) -> Estimate:
    """A lower bound on W2(p, q) from the first two moments, the distance of the Gaussians that share them.

    (|m_p - m_q|^2 + min_U |A - B U|_F^2)^(1/2) with A A^T = Cov(p), B B^T = Cov(q); equality for two laws of one
    elliptical family, such as Gaussians.

    Parameters
    ----------
    p, q
        Laws on the same space with known mean and covariance; batch shapes broadcast.

    Returns
    -------
    Estimate
        Kind "lower", units "1".

    Raises
    ------
    ValueError
        When the dimensions differ or a covariance is not finite.
    NotImplementedError
        When the covariance of a law is not known.

    Source: Gelbrich, Math. Nachr. 147, 185 (1990), Theorem 2.1.

    Examples
    --------
    >>> import infotherm as it
    >>> gelbrich(it.Rademacher(), it.Gaussian(0.0, 1.0)).value.item() < 1e-15  # the same two moments
    True
    """
    laws = [as_distribution(p, "p"), as_distribution(q, "q")]
    _require_same_dim(*laws)
    errors, factors = [], []
    for name, law in zip("pq", laws, strict=True):
        if isinstance(law, Gaussian):
            factors.append(law.factor)
            errors.append(parameter_error(law))
            continue
        covariance = law.covariance
        if not bool(torch.isfinite(covariance).all()):
            raise ValueError(f"{name} must have a finite covariance for a bound by moments")
        factor = psd_factor(covariance)
        factors.append(factor)
        mean = torch.finfo(law.dtype).eps * torch.linalg.vector_norm(law.mean.detach(), dim=-1)
        errors.append(mean + _covariance_error(covariance.detach(), factor.detach()))
    value, error = _bures_and_shift(laws[0].mean, factors[0], laws[1].mean, factors[1])
    return Estimate(value, error=error + errors[0] + errors[1], kind="lower", units="1")


def _require_same_dim(p: Distribution, q: Distribution) -> None:
    if p.dim != q.dim:
        raise ValueError(f"p and q must live on the same space; got D = {p.dim} and D = {q.dim}")
