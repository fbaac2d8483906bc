"""The functions q f(p/q) that f-divergences integrate, computed from log p and log q without overflow or cancellation.

Every f is used in its centred form f(t) - f'(1) (t - 1), which changes no divergence of normalised laws, is never
negative, and is of second order where p = q: divergences of nearly equal laws keep their relative accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from infotherm.distributions.gaussian_known import excess

_LARGEST_LOG = 690.0  # exp of it is finite in float64


@dataclass(frozen=True)
class Perspective:
    """A convex f with f(1) = 0, as the function q f(p/q) of two log-densities.

    Parameters
    ----------
    name
        How it is called.
    formula
        f in words of t = p/q, for messages and reports.
    both
        q f(p/q) from log p and log q, both finite.
    only_p
        lim f(t)/t at infinity: what a unit of p-mass costs where q = 0 (may be inf).
    only_q
        f(0): what a unit of q-mass costs where p = 0 (may be inf).
    plain
        An integrand over the support of p alone, from (log p, log q); the divergence is (integral - offset) * scale.
        None where the centred form is already that.
    """

    name: str
    formula: str
    both: Callable[[Tensor, Tensor], Tensor]
    only_p: float
    only_q: float
    plain: Callable[[Tensor, Tensor], Tensor] | None = None
    offset: float = 0.0
    scale: float = 1.0

    def __call__(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """q f(p/q), also where one density vanishes (or both: 0)."""
        log_p, log_q = torch.broadcast_tensors(log_p, log_q)
        has_p, has_q = ~torch.isneginf(log_p), ~torch.isneginf(log_q)
        zero = torch.zeros_like(log_p)
        safe_p, safe_q = torch.where(has_p, log_p, zero), torch.where(has_q, log_q, zero)
        both = has_p & has_q
        value = self.both(torch.where(both, safe_p, zero), torch.where(both, safe_q, zero))
        alone_p = _times(self.only_p, torch.where(has_p, safe_p, zero).exp())
        alone_q = _times(self.only_q, torch.where(has_q, safe_q, zero).exp())
        value = torch.where(both, value, torch.where(has_p, alone_p, alone_q))
        return torch.where(has_p | has_q, value, zero)

    def along_p(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """The plain integrand, zero where p = 0 and inf or zero where only q = 0."""
        if self.plain is None:
            raise ValueError(f"{self.name} has no integrand over the support of p alone")
        log_p, log_q = torch.broadcast_tensors(log_p, log_q)
        has_p, has_q = ~torch.isneginf(log_p), ~torch.isneginf(log_q)
        both = has_p & has_q
        zero = torch.zeros_like(log_p)
        value = self.plain(torch.where(both, log_p, zero), torch.where(both, log_q, zero))
        value = torch.where(both, value, zero)
        if math.isinf(self.only_p):
            value = torch.where(has_p & ~has_q & (log_p.exp() > 0), math.inf, value)
        return value


def _times(factor: float, mass: Tensor) -> Tensor:
    if math.isinf(factor):
        return torch.where(mass > 0, math.inf, torch.zeros_like(mass))
    return factor * mass


# -- the functions, from log p and log q -----------------------------------------------------------------------------


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """p log(p/q) - p + q."""
    r = log_p - log_q
    close = r.detach().abs() < 0.2
    near = torch.where(close, r, torch.zeros_like(r))
    far = torch.where(close, torch.zeros_like(r), r)
    return torch.where(close, log_p.exp() * excess(torch.expm1(-near)), log_p.exp() * (far - 1) + log_q.exp())


def _chi2(log_p: Tensor, log_q: Tensor) -> Tensor:
    """(p - q)^2 / q."""
    r = log_p - log_q
    below = torch.where(r < 0, r, torch.zeros_like(r))
    above = torch.where(r < 0, torch.zeros_like(r), r)
    return torch.where(
        r < 0, log_q.exp() * torch.expm1(below).square(), (log_p + above).exp() * torch.expm1(-above).square()
    )


def _hellinger(log_p: Tensor, log_q: Tensor) -> Tensor:
    """(p^(1/2) - q^(1/2))^2 / 2."""
    return 0.5 * torch.maximum(log_p, log_q).exp() * torch.expm1(-0.5 * (log_p - log_q).abs()).square()


def _total_variation(log_p: Tensor, log_q: Tensor) -> Tensor:
    """|p - q| / 2."""
    return -0.5 * torch.maximum(log_p, log_q).exp() * torch.expm1(-(log_p - log_q).abs())


def _jensen_shannon(log_p: Tensor, log_q: Tensor) -> Tensor:
    """(p log(p/m) + q log(q/m)) / 2 with m = (p + q) / 2."""
    s = (log_p - log_q).abs()
    top = torch.maximum(log_p, log_q).exp()
    close = s.detach() < 1
    near, far = torch.where(close, s, torch.zeros_like(s)), torch.where(close, torch.ones_like(s), s)
    u = torch.tanh(near / 2)
    small = 0.25 * (1 + torch.exp(-near)) * (torch.log1p(-u * u) + u * near)
    decay = torch.exp(-far)
    large = 0.5 * ((1 + decay) * (math.log(2) - torch.log1p(decay)) - far * decay)
    return top * torch.where(close, small, large)


def _exponential_rest(x: Tensor) -> Tensor:
    """e^x - 1 - x, accurate for small x."""
    close = x.detach().abs() < 0.5
    near, far = torch.where(close, x, torch.zeros_like(x)), torch.where(close, torch.zeros_like(x), x)
    series = torch.zeros_like(near)
    for k in range(17, 1, -1):
        series = (series * near + 1) / k
    return torch.where(close, near * near * series, torch.expm1(far) - far)


def _power(order: float) -> Callable[[Tensor, Tensor], Tensor]:
    if order < 0.5:
        mirrored = _power(1 - order)
        return lambda log_p, log_q: mirrored(log_q, log_p)
    rest = order - 1

    def both(log_p: Tensor, log_q: Tensor) -> Tensor:
        """(p^a q^(1-a) - a p - (1-a) q) / (a (a - 1)) = (p expm1((a-1) r) / (a-1) - p + q) / a with r = log(p/q)."""
        r = log_p - log_q
        size = r.detach().abs()
        close = (size < 0.2) & (order * size < 0.5)
        moderate = (abs(rest) * size < 1) & ~close
        nothing = torch.zeros_like(r)
        near, middle = torch.where(close, r, nothing), torch.where(moderate, r, nothing)
        small = log_q.exp() * (_exponential_rest(order * near) - order * _exponential_rest(near)) / rest
        medium = log_p.exp() * (torch.expm1(rest * middle) / rest - 1) + log_q.exp()
        mixed = log_p + rest * torch.where(close | moderate, nothing, r)
        large = (mixed.exp() - order * log_p.exp()) / rest + log_q.exp()
        return torch.where(close, small, torch.where(moderate, medium, large)) / order

    return both


KL = Perspective(
    "kl",
    "t log t - t + 1",
    _kl,
    math.inf,
    1.0,
    plain=lambda log_p, log_q: log_p.exp() * (log_p - log_q),
)
REVERSE_KL = Perspective("reverse-kl", "-log t + t - 1", lambda log_p, log_q: _kl(log_q, log_p), 1.0, math.inf)
CHI2 = Perspective(
    "chi2",
    "(t - 1)^2",
    _chi2,
    math.inf,
    1.0,
    plain=lambda log_p, log_q: (2 * log_p - log_q).exp(),
    offset=1.0,
)
HELLINGER = Perspective("squared-hellinger", "(t^(1/2) - 1)^2 / 2", _hellinger, 0.5, 0.5)
TOTAL_VARIATION = Perspective("total-variation", "|t - 1| / 2", _total_variation, 0.5, 0.5)
JENSEN_SHANNON = Perspective(
    "jensen-shannon",
    "t log(t) / 2 - (t + 1) log((t + 1)/2) / 2",
    _jensen_shannon,
    0.5 * math.log(2),
    0.5 * math.log(2),
)

NAMED = {f.name: f for f in (KL, REVERSE_KL, CHI2, HELLINGER, TOTAL_VARIATION, JENSEN_SHANNON)}


def power(order: float) -> Perspective:
    """The power divergence of order a: f(t) = (t^a - 1 - a (t - 1)) / (a (a - 1)), a > 0 and not 1.

    Twice the chi-square divergence's half at a = 2, four times the squared Hellinger distance at a = 1/2, and the
    Renyi divergence is log(1 + a (a - 1) D_f) / (a - 1). Source: Cressie and Read, J. R. Stat. Soc. B 46 (1984) 440.

    Examples
    --------
    >>> power(2.0).formula
    '(t^2 - 1 - 2 (t - 1)) / 2'
    """
    a = float(order)
    if not (a > 0 and a != 1 and math.isfinite(a)):
        raise ValueError(f"order must be positive, finite and not 1; got {order}")
    return Perspective(
        f"power-{a:g}",
        f"(t^{a:g} - 1 - {a:g} (t - 1)) / {a * (a - 1):g}",
        _power(a),
        math.inf if a > 1 else 1 / (1 - a),
        1 / a,
        plain=lambda log_p, log_q: (a * log_p + (1 - a) * log_q).exp(),
        offset=1.0,
        scale=1 / (a * (a - 1)),
    )


def custom(f: Callable[[Tensor], Tensor], name: str = "f") -> Perspective:
    """The perspective of a user's convex f with f(1) = 0, given as a function of t = p/q on tensors.

    f(0) and lim f(t)/t are read off numerically (at t = 1e-150 and 1e150): +inf when they still grow there.

    Raises
    ------
    TypeError
        When `f` is not callable or returns no tensor.
    ValueError
        When f(1) is not 0 or f is not convex on a grid.

    Examples
    --------
    >>> custom(lambda t: (t - 1) ** 2).only_q
    1.0
    """
    if not callable(f):
        raise TypeError(f"f must be a function of t = p/q, or one of {', '.join(sorted(NAMED))}; got {f!r}")
    one = torch.ones(1, dtype=torch.float64)
    at_one = f(one)
    if not isinstance(at_one, Tensor) or at_one.shape != one.shape:
        raise TypeError("f must map a tensor to a tensor of the same shape")
    if not abs(at_one.item()) < 1e-9:
        raise ValueError(f"f must vanish at t = 1; got f(1) = {at_one.item()}")
    _require_convex(f)
    with torch.enable_grad():
        at = one.clone().requires_grad_()
        slope = torch.autograd.grad(f(at).sum(), at, allow_unused=True)[0]
    tangent = 0.0 if slope is None or not bool(torch.isfinite(slope)) else slope.item()

    def centred(t: Tensor) -> Tensor:
        return f(t) - tangent * (t - 1)

    def both(log_p: Tensor, log_q: Tensor) -> Tensor:
        r = (log_p - log_q).clamp(-_LARGEST_LOG, _LARGEST_LOG)
        t = r.exp()
        return torch.where(r < 0, log_q.exp() * centred(t), log_p.exp() * (centred(t) / t))

    return Perspective(
        name, "given by a function", both, _limit(lambda t: centred(1 / t) * t), _limit(lambda t: centred(t))
    )


def _limit(g: Callable[[Tensor], Tensor]) -> float:
    """lim g(t) at 0, or inf when g still moves between 1e-75 and 1e-150."""
    half, end = g(torch.tensor([1e-75, 1e-150], dtype=torch.float64)).tolist()
    if math.isnan(end) or math.isinf(end) or abs(end - half) > 1e-9 * (1 + abs(end)):
        return math.inf
    return end


def _require_convex(f: Callable[[Tensor], Tensor]) -> None:
    """Chords lie above f, on a grid of ratios."""
    t = torch.logspace(-6, 6, 241, dtype=torch.float64)
    y = f(t).detach()
    if not bool(torch.isfinite(y).all()):
        raise ValueError("f must be finite for all t > 0")
    left, right = t[1:-1] - t[:-2], t[2:] - t[1:-1]
    chord = (y[:-2] * right + y[2:] * left) / (left + right)
    noise = 1e-11 * (y[:-2].abs() + y[1:-1].abs() + y[2:].abs() + 1e-3)
    if bool((y[1:-1] > chord + noise).any()):
        where = t[1:-1][(y[1:-1] > chord + noise)][0].item()
        raise ValueError(f"f must be convex; it is not near t = {where:.3g}")
