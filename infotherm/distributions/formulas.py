"""Log-densities of torch families whose own formula loses digits, gives NaN or raises.

Gamma functions of large arguments cancel: Poisson(1e6) by torch is wrong by 1e-9 in every log-probability, ten thousand
times what its entropy would claim. The saddle-point form of Loader, "Fast and accurate computation of binomial
probabilities" (2000), has no such cancellation: Stirling's series and a deviance that is small near the mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor

from infotherm.core.tensors import validating

_LARGE = 16.0  # from here on five terms of Stirling's series are exact to rounding


def stirling_remainder(n: Tensor) -> Tensor:
    """S(n) = log Gamma(n + 1) - (n + 1/2) log n + n - log(2 pi)/2 for n > 0, about 1/(12 n) for large n.

    Examples
    --------
    >>> stirling_remainder(torch.tensor([1.0, 1e6], dtype=torch.float64)).tolist()
    [0.08106146679, 8.3333333333e-08]
    """
    small = n.clamp_max(_LARGE)
    direct = torch.lgamma(small + 1) - (small + 0.5) * small.log() + small - 0.5 * math.log(2 * math.pi)
    large = n.clamp_min(_LARGE)
    y = 1 / large.square()
    series = (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y / 1188)))) / large
    return torch.where(n < _LARGE, direct, series)


def deviance(x: Tensor, mean: Tensor) -> Tensor:
    """x log(x/mean) + mean - x, without cancellation where x is close to mean; x, mean > 0.

    Examples
    --------
    >>> deviance(torch.tensor(1.0 + 1e-9, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)).item()
    5e-19
    """
    v = (x - mean) / (x + mean)
    near = v.abs() < 0.1
    square = torch.where(near, v, 0.0).square()
    # x log(x/mean) = 2 x artanh(v)
    series = torch.zeros_like(square)
    for j in range(9, 0, -1):
        series = square * (1 / (2 * j + 1) + series)
    close = (x - mean) * v + 2 * x * v * series
    return torch.where(near, close, x * (x / mean).log() + mean - x)


def poisson_log_pmf(k: Tensor, rate: Tensor) -> Tensor:
    """k log rate - rate - log k! for k >= 0, real k allowed."""
    positive = (k > 0) & (rate > 0)
    n, m = torch.where(positive, k, 1.0), torch.where(positive, rate, 1.0)
    saddle = -stirling_remainder(n) - deviance(n, m) - 0.5 * (2 * math.pi * n).log()
    return torch.where(positive, saddle, torch.where(k > 0, -math.inf, -rate))


def binomial_log_pmf(k: Tensor, n: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """log C(n, k) + k log p + (n - k) log q for 0 <= k <= n, real k and n allowed; q = 1 - p."""
    inner = (k > 0) & (k < n) & (p > 0) & (q > 0)
    one = torch.ones_like(p)
    a, b = torch.where(inner, k, one), torch.where(inner, n - k, one)
    pp, qq = torch.where(inner, p, 0.5 * one), torch.where(inner, q, 0.5 * one)
    total = a + b
    saddle = stirling_remainder(total) - stirling_remainder(a) - stirling_remainder(b)
    saddle = saddle - deviance(a, total * pp) - deviance(b, total * qq) + 0.5 * (total / (2 * math.pi * a * b)).log()
    ends = torch.xlogy(k, p) + torch.xlogy(n - k, q)
    return torch.where(inner, saddle, ends)


def _poisson(law: td.Poisson, x: Tensor) -> Tensor:
    return poisson_log_pmf(*torch.broadcast_tensors(x, law.rate))


def _none(mask: Tensor) -> bool:
    """Whether no entry is true; False under transforms, where nobody may look."""
    return validating(mask) and not bool(mask.any())


def success_and_failure(law: Any) -> tuple[Tensor, Tensor]:
    """p and 1 - p of a law given by probs or by logits, from what was given (torch caches the other with its graph)."""
    if law._param is vars(law).get("logits"):
        return torch.sigmoid(law.logits), torch.sigmoid(-law.logits)
    return law.probs, 1 - law.probs


def _binomial(law: td.Binomial, x: Tensor) -> Tensor:
    k, n, p, q = torch.broadcast_tensors(x, law.total_count.to(x.dtype), *success_and_failure(law))
    return binomial_log_pmf(torch.minimum(k, n), n, p, q)


def _negative_binomial(law: td.NegativeBinomial, x: Tensor) -> Tensor:
    # the binomial law of `total_count` failures among all trials, times r / (r + k)
    r, k, p, q = torch.broadcast_tensors(law.total_count.to(x.dtype), x, *success_and_failure(law))
    return binomial_log_pmf(r, r + k, q, p) + (r / (r + k)).log()


def _gamma(law: td.Gamma, x: Tensor) -> Tensor:
    if _none(law.concentration >= _LARGE):
        return law.log_prob(x)
    x, a, b = torch.broadcast_tensors(x, law.concentration, law.rate)
    large = a >= _LARGE
    return torch.where(large, poisson_log_pmf(torch.where(large, a, _LARGE) - 1, b * x) + b.log(), law.log_prob(x))


def _beta(law: td.Beta, x: Tensor) -> Tensor:
    if _none((law.concentration1 >= _LARGE) | (law.concentration0 >= _LARGE)):
        return law.log_prob(x)
    x, a, b = torch.broadcast_tensors(x, law.concentration1, law.concentration0)
    large = (a >= 2) & (b >= 2)
    safe_a, safe_b = torch.where(large, a, 2.0), torch.where(large, b, 2.0)
    total = safe_a + safe_b
    saddle = binomial_log_pmf(safe_a - 1, total - 2, x, 1 - x) + (total - 1).log()
    return torch.where(large, saddle, law.log_prob(x))


def _student(law: td.StudentT, x: Tensor) -> Tensor:
    freedom = law.df
    y = (x - law.loc) / law.scale
    w = (0.5 * freedom - 1).clamp_min(_LARGE)
    # log Gamma((nu + 1)/2) - log Gamma(nu/2) for large nu
    ratio = (w + 0.5) * torch.log1p(0.5 / w) - 0.5 + 0.5 * (w + 0.5).log()
    ratio = ratio + stirling_remainder(w + 0.5) - stirling_remainder(w)
    direct = torch.lgamma(0.5 * freedom + 0.5) - torch.lgamma(0.5 * freedom)
    ratio = torch.where(0.5 * freedom - 1 >= _LARGE, ratio, direct)
    tail = 0.5 * (freedom + 1) * torch.log1p(y**2 / freedom)
    return ratio - 0.5 * (math.pi * freedom).log() - law.scale.log() - tail


def _von_mises(law: td.VonMises, x: Tensor) -> Tensor:
    # torch's Bessel function is a polynomial good to 1e-7
    kappa = law.concentration
    return kappa * (torch.cos(x - law.loc) - 1) - (2 * math.pi * torch.special.i0e(kappa)).log()


def _inverse_gamma(law: td.InverseGamma, x: Tensor) -> Tensor:
    # torch takes the logarithm of x^2, which underflows below 1e-154
    inverse = td.Gamma(law.concentration, law.rate, validate_args=False)
    return _gamma(inverse, 1 / x) - 2 * x.log()


def _generalized_pareto(law: Any, x: Tensor) -> Tensor:
    # torch's formula compares with a float32 zero and raises for float64 parameters
    z, shape = (x - law.loc) / law.scale, law.concentration
    divisor = torch.where(shape == 0, 1.0, shape)
    curved = torch.special.xlog1py(-(1 + 1 / divisor), divisor * z)
    return torch.where(shape == 0, -z, curved) - law.scale.log()


def _relaxed_bernoulli(law: td.RelaxedBernoulli, x: Tensor) -> Tensor:
    # torch stops one unit in the last place before the ends
    tilt = law.logits - law.temperature * torch.logit(x)
    bell = tilt - 2 * torch.nn.functional.softplus(tilt)
    return law.temperature.log() + bell - x.log() - torch.log1p(-x)


def _kumaraswamy(law: td.Kumaraswamy, x: Tensor) -> Tensor:
    # torch goes through 1 - x^a, which is NaN close to one
    a, b = law.concentration1, law.concentration0
    complement = -torch.expm1(a * x.log())
    return a.log() + b.log() + torch.special.xlogy(a - 1, x) + torch.special.xlogy(b - 1, complement)


_FORMULAS: dict[Any, Callable[[Any, Tensor], Tensor]] = {
    td.Beta: _beta,
    td.Binomial: _binomial,
    td.Chi2: _gamma,
    td.Gamma: _gamma,
    td.InverseGamma: _inverse_gamma,
    td.Kumaraswamy: _kumaraswamy,
    td.NegativeBinomial: _negative_binomial,
    td.Poisson: _poisson,
    td.RelaxedBernoulli: _relaxed_bernoulli,
    td.StudentT: _student,
    td.VonMises: _von_mises,
}
if hasattr(td, "GeneralizedPareto"):  # newer than the oldest torch that we support
    _FORMULAS[td.GeneralizedPareto] = _generalized_pareto


def log_density(law: td.Distribution, x: Tensor) -> Tensor:
    """log p(x) for x in the support: the formulas above for exactly these families, torch's for all others."""
    formula = _FORMULAS.get(type(law))
    return law.log_prob(x) if formula is None else formula(law, x)
