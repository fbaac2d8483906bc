"""The log-odds of forward against reverse as a straight line: its maximum-likelihood fit, and where BAR vanishes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# below, measured intervals of 95 % begin to miss more often than they may
LEAST_TERMS = 10.0
_MOST_STEPS = 100


@dataclass(frozen=True)
class LogOddsFit:
    """A fitted line of log-odds, per element of the batch.

    Attributes
    ----------
    coefficients, covariance
        Intercept (if asked for) and slope, (..., k), and their covariance (..., k, k).
    effective_terms
        The smaller effective number of terms that pull a coefficient up or down, (...).
    converged
        Whether Newton's method did, (...).
    """

    coefficients: Tensor
    covariance: Tensor
    effective_terms: Tensor
    converged: Tensor

    @property
    def refused(self) -> Tensor:
        """Where too few terms balance, so that neither the fit nor its errors mean anything."""
        return ~(self.effective_terms >= LEAST_TERMS) | ~self.converged

    @property
    def reason(self) -> str:
        """Why some element is refused; empty when none is."""
        if not bool(self.refused.any()):
            return ""
        fewest = self.effective_terms.min()
        return f"forward and reverse hardly overlap: {fewest:.3g} effective samples on one side, below {LEAST_TERMS:g}"


def fit_reversal_odds(forward: Tensor, reverse: Tensor | None, *, intercept: bool) -> LogOddsFit:
    """The straight line a + b x that is ln p_F(x) / p_R(-x) in maximum likelihood: logistic regression of direction.

    A forward sample x tells that the odds came out for F, a reverse sample r that at x = -r they came out for R. When
    the process is its own reverse, the sign of each x is the outcome, and only one side is needed (a = 0). The
    likelihood sum_i ln sigmoid(+-(M + a + b x_i)), M = ln(n_F / n_R), is concave: Newton's method with halved steps.
    The covariance is H^-1 V H^-1, V that of the score in each group: it holds also where the line is not straight.

    Parameters
    ----------
    forward, reverse
        x (n, ...) and r (m, ...), float64; None for a process that is its own reverse.
    intercept
        Whether a is fitted, or zero.
    """
    if reverse is None:
        sides, offset = [(forward, 1.0)], 0.0
    else:
        sides, offset = [(forward, 1.0), (-reverse, -1.0)], math.log(len(forward) / len(reverse))
    batch = forward.shape[1:]
    rows, offsets = [], []
    for x, sign in sides:
        column = x.reshape(len(x), -1)
        rows.append(sign * torch.stack([torch.ones_like(column), column] if intercept else [column], -1))
        offsets.append(torch.full((len(x), 1), sign * offset, dtype=x.dtype, device=x.device))
    fit = _maximise(rows, offsets)
    k = 2 if intercept else 1
    return LogOddsFit(
        fit.coefficients.reshape(*batch, k),
        fit.covariance.reshape(*batch, k, k),
        fit.effective_terms.reshape(batch),
        fit.converged.reshape(batch),
    )


def _maximise(groups: list[Tensor], offsets: list[Tensor]) -> LogOddsFit:
    """Maximum of sum_i ln sigmoid(offset_i + row_i . theta) over theta; the rows (n, batch, k) come in groups."""
    rows, offset = torch.cat(groups), torch.cat(offsets)
    # each coefficient in units of its feature's size
    scale = rows.abs().mean(0)
    scale = torch.where(scale > 0, scale, 1.0)
    rows = rows / scale
    theta = torch.zeros_like(scale)
    value = _log_likelihood(rows, offset, theta)
    converged = torch.zeros_like(value, dtype=torch.bool)
    for _ in range(_MOST_STEPS):
        missed = torch.sigmoid(-offset - (rows * theta).sum(-1))
        gradient = (rows * missed[..., None]).sum(0)
        hessian = torch.einsum("nbi,nb,nbj->bij", rows, missed * (1 - missed), rows)
        step = (torch.linalg.pinv(hessian, hermitian=True) @ gradient[..., None])[..., 0]
        # what a full Newton step would still gain, of a likelihood that is still curved
        converged = ((gradient * step).sum(-1) < 1e-18 * len(rows)) & (missed.amax(0) > 1e-6)
        if bool(converged.all()):
            break
        fraction, proposed = torch.ones_like(value), value
        for _ in range(40):
            proposed = _log_likelihood(rows, offset, theta + fraction[:, None] * step)
            short = proposed < value - 1e-12 * value.abs()
            if not bool(short.any()):
                break
            fraction = torch.where(short, fraction / 2, fraction)
        theta, value = theta + fraction[:, None] * step, proposed
    missed = torch.sigmoid(-offset - (rows * theta).sum(-1))
    scores = rows * missed[..., None]
    hessian = torch.einsum("nbi,nb,nbj->bij", rows, missed * (1 - missed), rows)
    spread = torch.zeros_like(hessian)
    for group in scores.split([len(g) for g in groups]):
        away = group - group.mean(0)
        spread = spread + torch.einsum("nbi,nbj->bij", away, away) * len(group) / (len(group) - 1)
    inverse = torch.linalg.pinv(hessian, hermitian=True)
    covariance = inverse @ spread @ inverse / (scale[..., :, None] * scale[..., None, :])
    ups, downs = (_effective_number(part) for part in (scores.clamp(min=0), (-scores).clamp(min=0)))
    return LogOddsFit(theta / scale, covariance, torch.minimum(ups, downs).amin(-1), converged)


def _log_likelihood(rows: Tensor, offset: Tensor, theta: Tensor) -> Tensor:
    return torch.nn.functional.logsigmoid(offset + (rows * theta).sum(-1)).sum(0)


def _effective_number(terms: Tensor) -> Tensor:
    squares = terms.square().sum(0)
    return torch.where(squares > 0, terms.sum(0).square() / squares, 0.0)


def acceptance_root(forward: Tensor, reverse: Tensor) -> tuple[Tensor, Tensor]:
    """The u at which sum_i sigmoid(u - w_i - M) = sum_j sigmoid(M - r_j - u), and by how much it can be off.

    M = ln(n_forward / n_reverse). The difference of the logarithms of both sums increases with u; its root is found by
    Newton's method kept inside a bracket that both sums prove, in logarithms, so that no overlap underflows.

    Parameters
    ----------
    forward, reverse
        w (n, ...) and r (m, ...), dimensionless.
    """
    n, m = len(forward), len(reverse)
    offset = math.log(n / m)
    # beyond: one sum is at least half of its number of terms, every term of the other is small enough
    upper = torch.maximum(
        forward.max(0).values + offset, offset - reverse.min(0).values + math.log(max(2 * m / n, 1.0))
    )
    lower = torch.minimum(
        offset - reverse.max(0).values, forward.min(0).values + offset - math.log(max(2 * n / m, 1.0))
    )
    u = (lower + upper) / 2
    for _ in range(_MOST_STEPS):
        ahead, behind = acceptance_logs(forward, reverse, u)
        excess = ahead.logsumexp(0) - behind.logsumexp(0)
        lower, upper = torch.where(excess <= 0, u, lower), torch.where(excess >= 0, u, upper)
        # d log sigmoid(x) / dx = 1 - sigmoid(x), averaged with the weights of each sum
        slope = (ahead.softmax(0) * -torch.expm1(ahead)).sum(0) + (behind.softmax(0) * -torch.expm1(behind)).sum(0)
        newton = u - excess / slope
        inside = (newton > lower) & (newton < upper)
        new = torch.where(inside, newton, (lower + upper) / 2)
        moved = (new - u).abs()
        u = new
        if bool((moved <= 4 * torch.finfo(u.dtype).eps * (1 + u.abs())).all()):
            break
    ahead, behind = acceptance_logs(forward, reverse, u)
    slope = (ahead.softmax(0) * -torch.expm1(ahead)).sum(0) + (behind.softmax(0) * -torch.expm1(behind)).sum(0)
    left = (ahead.logsumexp(0) - behind.logsumexp(0)).abs() / slope
    return u, torch.minimum(left, upper - lower)


def acceptance_logs(forward: Tensor, reverse: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithms of the terms of both sums of `acceptance_root`."""
    offset = math.log(len(forward) / len(reverse))
    logsigmoid = torch.nn.functional.logsigmoid
    return logsigmoid(u - forward - offset), logsigmoid(offset - reverse - u)
