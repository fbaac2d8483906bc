"""The Wasserstein distance of any order: quantiles on a line, sorting and optimal plans for laws of atoms."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import gauss_legendre, integrate
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.rounding import rounding_error
from infotherm.distributions import Empirical, TorchDistribution, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.transport.atoms import atomic_distance, atoms_of, rooted
from infotherm.transport.quantiles import Quantiles, odds_landmarks, quantiles_of

_LARGEST_PROBLEM = 2**25  # samples times samples: 256 MiB of costs
_FARTHEST = 690.0  # log-odds: e^-690 is about the smallest probability that is a number
_STATIONS = (40.0, 60.0, 100.0, 150.0, 250.0, 400.0, 600.0, _FARTHEST)
_SLOWEST_FALL = 0.01

wasserstein = Quantity(
    "wasserstein",
    accepts=(as_distribution, as_distribution),
    doc="""The Wasserstein distance W_order(p, q) = min over couplings of (E |x - y|^order)^(1/order), by default W1.

    Units "1" (that of the coordinates), |.| the Euclidean norm. Kind "exact" by every method.

    - order 2: `wasserstein2` and all its rules.
    - Scalar Gaussians, order 1 (closed form): the mean of |m + s z| with m and s the differences of means and of
      standard deviations, s (2/pi)^(1/2) exp(-m^2/2s^2) + m erf(m / (s 2^(1/2))).
    - Scalar laws with quantile functions (quadrature): the order-th root of the integral of |F^-1(u) - G^-1(u)|^order
      over (0, 1), in log-odds so that both tails are seen; second moments that the quantiles miss are added to the
      error. Without a finite variance the laws must have quantiles that reach down to probabilities of 1e-300.
    - Samples and other laws of atoms: sorting on a line, else an optimal plan by POT, whose duality gap goes into the
      error.

    Parameters
    ----------
    p, q
        Laws on the same space; batch shapes broadcast.
    order
        A finite number of at least 1; for the largest distance (order infinity) there is no rule.

    Raises
    ------
    ValueError
        When the dimensions differ, or for an order below 1 or infinite.
    NotImplementedError
        When no rule fits, with the reasons.

    Source: Villani, Topics in Optimal Transportation (2003), Definition 7.1.1 and Theorem 2.18.

    Examples
    --------
    >>> import infotherm as it
    >>> from infotherm.transport import wasserstein
    >>> round(wasserstein(it.Gaussian(0.0, 1.0), it.Gaussian(0.0, 4.0)).value.item(), 9)  # (2/pi)^(1/2)
    0.797884561
    >>> wasserstein(it.Empirical([[0.0], [1.0]]), it.Empirical([[3.0], [5.0]]), order=3).value.item()
    3.53
    """,
)


def checked_order(order: Any) -> float:
    """An order as a number.

    Raises
    ------
    ValueError
        When it is not a finite number of at least 1.
    """
    if isinstance(order, bool) or not isinstance(order, int | float) or not 1 <= order < math.inf:
        raise ValueError(f"order must be a finite number of at least 1; got {order!r}")
    return float(order)


def require_same_dim(p: Distribution, q: Distribution) -> None:
    """Raise ValueError unless the two laws have equally many coordinates."""
    if p.dim != q.dim:
        raise ValueError(f"p and q must live on the same space; got D = {p.dim} and D = {q.dim}")


def not_second(order: Any) -> None:
    """Raise NotApplicable for order 2, which has a quantity of its own."""
    if order == 2:
        raise NotApplicable("order 2 is computed by wasserstein2")


# -- laws of atoms -----


def require_atoms(p: Distribution, q: Distribution) -> None:
    """Raise NotApplicable unless both are laws of atoms whose transport can be computed."""
    sizes = []
    for name, law in (("p", p), ("q", q)):
        if law.measure != "counting" or not getattr(law, "has_enumerate_support", False):
            raise NotApplicable(f"{name} is not a law of atoms")
        if law.batch_shape:
            raise NotApplicable(
                f"laws of atoms are taken one by one; {name} has the batch shape {tuple(law.batch_shape)}"
            )
        sizes.append(len(law) if isinstance(law, Empirical) else len(atoms_of(law)[0]))
    if p.dim == 1 and q.dim == 1:
        return
    if find_spec("ot") is None:
        raise NotApplicable("an optimal assignment in D > 1 needs the package POT (pip install POT)")
    if sizes[0] * sizes[1] > _LARGEST_PROBLEM:
        raise NotApplicable(f"{sizes[0]} x {sizes[1]} costs do not fit: take fewer samples")


def _atoms_apply(p: Distribution, q: Distribution, order: Any = 1.0) -> None:
    not_second(order)
    require_atoms(p, q)


@wasserstein.rule(Distribution, Distribution, method="closed-form", when=_atoms_apply)
def _atoms(p: Distribution, q: Distribution, order: Any = 1.0) -> Estimate:
    order = checked_order(order)
    require_same_dim(p, q)
    return atomic_distance(p, q, order)


# -- laws on a line -----


def require_quantiles(p: Distribution, q: Distribution, order: float) -> None:
    """Raise NotApplicable unless both are scalar laws with a moment of this order and a quantile function."""
    for name, law in (("p", p), ("q", q)):
        if law.dim != 1:
            raise NotApplicable(f"quantiles need scalar laws; {name} has D = {law.dim}")
        checked = _finite_variance(law)
        if order == 2 and checked is None:
            raise NotApplicable(f"the variance of {name} is not known, by which the tails are checked")
        if order == 2 and not checked:
            raise NotApplicable(f"{name} has no finite variance")
        quantiles = quantiles_of(law)
        if quantiles is None:
            raise NotApplicable(f"{name} has no quantile function")
        if (order <= 2 and checked) or isinstance(law, Empirical):
            continue
        if isinstance(law, TorchDistribution):
            raise NotApplicable(f"torch's quantiles of {name} end where a probability is eps, too early for this order")
        if not bool(torch.isfinite(_tail(quantiles, law, order)).all()):
            raise NotApplicable(f"{name} seems to have no finite moment of order {order:g}")


def _finite_variance(law: Distribution) -> bool | None:
    """Whether the variance is finite, None when it is not known."""
    try:
        return bool(torch.isfinite(law.variance.detach()).all())
    except NotImplementedError:
        return None


def _tail(quantiles: Quantiles, law: Distribution, order: float) -> Tensor:
    """The L^order norm of the quantiles beyond the last log-odds at which they are finite, inf where it is not seen.

    Probability times |quantile|^order goes on to fall as it did on the last stretch before.
    """
    odds = torch.tensor(_STATIONS, dtype=law.dtype, device=law.device)
    odds = odds.reshape(-1, *[1] * len(law.batch_shape)).expand(-1, *law.batch_shape)
    with torch.no_grad():
        low, high = torch.sigmoid(-odds), torch.sigmoid(odds)
        unit = quantiles(*(torch.full_like(odds[:1], level) for level in (0.1, 0.9))).abs()
        unit = torch.maximum(unit, quantiles(*(torch.full_like(odds[:1], level) for level in (0.9, 0.1))).abs())
        sizes = torch.stack([quantiles(low, high), quantiles(high, low)]).abs() / torch.where(unit > 0, unit, 1.0)
        sizes, steps = sizes.clamp(min=1.0).log(), odds.diff(dim=0)
        fall = 1 - order * sizes.diff(dim=1) / steps
        beyond = (order * sizes[:, 1:] - odds[1:] - fall.log()) / order
        seen = torch.isfinite(sizes[:, 1:]) & torch.isfinite(sizes[:, :-1]) & (fall > _SLOWEST_FALL)
        # the farthest station that is seen, all before it being so
        seen = seen.long().cumprod(1).bool()
        return (torch.where(seen, beyond, torch.inf).amin(1).exp() * unit[0]).sum(0)


def _line_applies(p: Distribution, q: Distribution, order: Any = 1.0) -> None:
    not_second(order)
    require_quantiles(p, q, order if isinstance(order, int | float) and 1 <= order < math.inf else 1.0)


@wasserstein.rule(Distribution, Distribution, method="quadrature", when=_line_applies)
def _quantiles(p: Distribution, q: Distribution, order: Any = 1.0, *, tolerance: float = 1e-12) -> Estimate:
    return quantile_distance(p, q, checked_order(order), tolerance=tolerance)


def quantile_distance(p: Distribution, q: Distribution, order: float, *, tolerance: float = 1e-12) -> Estimate:
    """W_order of two scalar laws with quantile functions, the integral over log-odds; see `wasserstein`.

    Examples
    --------
    >>> import infotherm as it
    >>> abs(quantile_distance(it.Gaussian(0.0, 1.0), it.Gaussian(2.0, 1.0), 4.0).value.item() - 2) < 1e-12
    True
    """
    first, second = quantiles_of(p), quantiles_of(q)
    assert first is not None and second is not None
    laws = (p, q)
    batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    dtype = torch.promote_types(p.dtype, q.dtype)
    origin, scale = _frame(laws, (first, second), batch, dtype)
    # moments of both laws follow the distance through the quadrature: what they miss bounds what it misses
    known = [bool(_finite_variance(law)) for law in laws]
    powers = [2.0 if all(known) else order, *([order] if order > 2 else [])]

    def integrand(odds: Tensor) -> Tensor:
        below, above = torch.sigmoid(odds), torch.sigmoid(-odds)
        x, y = ((_finite(quantiles(below, above)) - origin) / scale for quantiles in (first, second))
        sizes = [_power(x - y, order)]
        for power in powers:
            sizes += [_power(x.detach(), power), _power(y.detach(), power)]
        return torch.stack(sizes, -1) * (below * above)[..., None]

    end = torch.full(batch, _FARTHEST, dtype=dtype, device=p.device)
    marks = odds_landmarks(laws, batch, dtype)
    # what the rounding of quantiles does to a distance that is known roughly is not worth a finer mesh
    with torch.no_grad():
        nodes, weights = (v.reshape(-1, *[1] * len(batch)) for v in gauss_legendre(100, -30.0, 30.0, dtype, p.device))
        rough = (weights[..., None] * integrand(nodes.expand(-1, *batch))).sum(0)
        blur = _blur(laws, rough, powers[-1], origin, scale)
        distance = rough[..., 0].clamp(min=0.0).pow(1 / order)
        goal = float(((distance + blur).pow(order) - distance.pow(order)).amax())
    total = integrate(
        integrand, -end, end, breakpoints=marks, rtol=tolerance, atol=goal, max_panels=2000 + 4 * len(marks)
    )
    power, error = total.value[..., 0], total.error[..., 0]
    blur = _blur(laws, total.value.detach(), powers[-1], origin, scale)
    for place, (law, quantiles) in enumerate(zip(laws, (first, second), strict=True)):
        if isinstance(law, Empirical):
            # nothing is missed, but the levels are sums of rounded weights
            width = (law.samples.detach().amax() - law.samples.detach().amin()) / scale
            error = error + torch.finfo(dtype).eps * len(law) * width.pow(order)
        elif known[place] and all(known):
            moment = ((law.variance[..., 0] + (law.mean[..., 0] - origin).square()) / scale**2).detach()
            gap = (moment - total.value[..., 1 + place].detach()).abs()
            floor = 2 * total.error[..., 1 + place] + rounding_error([moment, moment, moment])
            missed = torch.where(gap > floor, gap, 0.0).sqrt()
            # a second moment bounds no higher one
            blur = blur + (missed if order <= 2 else torch.where(missed > 0, torch.inf, 0.0))
        if order > 2 or not (all(known) or isinstance(law, Empirical)):
            blur = blur + _tail(quantiles, law, order) / scale
    found = rooted(power, error, order, scale, "quadrature", converged=total.converged)
    return Estimate(found.value, error=found.error + blur * scale, method="quadrature", units="1", info=found.info)


def _frame(
    laws: tuple[Distribution, Distribution], quantiles: tuple[Quantiles, Quantiles], batch: torch.Size, dtype: Any
) -> tuple[Tensor, Tensor]:
    """An origin between the laws, so that moments do not cancel, and a power of two about as large as they are."""
    levels = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9], dtype=dtype, device=laws[0].device)
    levels = levels.reshape(-1, *[1] * len(batch)).expand(-1, *batch)
    with torch.no_grad():
        x, y = (f(levels, 1 - levels).to(dtype) for f in quantiles)
        origin = (x[2] + y[2]) / 2
        size = torch.maximum((x - origin).abs().amax(0), (y - origin).abs().amax(0))
        exponent = torch.frexp(torch.where(size > 0, size, 1.0)).exponent
        return origin, torch.ldexp(torch.ones_like(size), exponent)


def _blur(laws: tuple[Distribution, ...], sums: Tensor, power: float, origin: Tensor, scale: Tensor) -> Tensor:
    """What the few eps of themselves to which quantiles are known do to the distance, by the triangle inequality."""
    eps, shift = torch.finfo(sums.dtype).eps, (origin / scale).abs()
    sizes = [s.clamp(min=0.0).pow(1 / power) + shift for s in sums[..., -2:].unbind(-1)]
    return eps * (_quantile_digits(laws[0]) * sizes[0] + _quantile_digits(laws[1]) * sizes[1])


def _power(x: Tensor, order: float) -> Tensor:
    return x.abs() if order == 1 else x.square() if order == 2 else x.abs().pow(order)


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
