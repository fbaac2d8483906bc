"""Perron roots of tilted generators and matrices, enclosed from both sides."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infotherm.core.gradients import first_order
from infotherm.core.tensors import validating
from infotherm.processes import MarkovChain, MarkovJump
from infotherm.processes.stationary import eliminated, reachable

LARGEST_TILT = 500.0  # of q times a weight: e^500 is a number
_ITERATIONS = 100


@dataclass(frozen=True)
class PerronRoot:
    """The largest eigenvalue of a matrix M with non-negative entries off its diagonal, shape (...).

    Attributes
    ----------
    value
        The eigenvalue; a first derivative passes.
    error
        The distance to the farther end of the enclosure min (M x)_i / x_i <= root <= max (M x)_i / x_i by a positive
        vector x, with its rounding.
    balanced
        M_ij x_j / x_i off the diagonal, (..., K, K): all rows have the same sum with the diagonal.
    law
        The product of the left and right eigenvectors (..., K), summing to one: the law of the tilted process.
    converged
        Whether the enclosure closed to rounding, bool (...).
    """

    value: Tensor
    error: Tensor
    balanced: Tensor
    law: Tensor
    converged: Tensor


def perron_root(logarithms: Tensor, diagonal: Tensor, sizes: Tensor) -> PerronRoot:
    """The largest eigenvalue of the irreducible matrix with entries exp(logarithms) off the diagonal and `diagonal`.

    Noda's iteration in balanced coordinates: with the upper end u of the enclosure, (u - M) z = x moves x towards the
    eigenvector, quadratically in the end; the matrix is scaled by x all the time, so that no entry over- or underflows
    however unlike the components of the eigenvector are.

    Parameters
    ----------
    logarithms
        Shape (..., K, K); -inf where an entry is zero, also on the diagonal.
    diagonal
        Shape (..., K).
    sizes
        Sizes of the terms of the logarithms, (..., K, K): their rounding is eps times these.

    References
    ----------
    Noda, Numer. Math. 17 (1971) 382; Elsner, Numer. Math. 26 (1976) 349 (convergence); Collatz, Math. Z. 48 (1942) 221.
    """
    eps = torch.finfo(diagonal.dtype).eps
    with torch.no_grad():
        fixed, diag = logarithms.detach(), diagonal.detach()
        place = torch.zeros_like(diag)
        best = torch.full_like(diag[..., 0], torch.inf)
        stale = 0
        for _ in range(_ITERATIONS):
            balanced = torch.exp(fixed + place[..., None, :] - place[..., :, None])
            rows = balanced.sum(-1) + diag
            upper, lower = rows.amax(-1), rows.amin(-1)
            width, scale = upper - lower, eps * (balanced.sum(-1) + diag.abs()).amax(-1)
            stale = stale + 1 if bool((width >= 0.5 * best).all()) else 0
            if bool((width <= 4 * scale).all()) or stale > 8 and bool((width <= 1e6 * scale).all()):
                break
            best = torch.minimum(best, width)
            shifted = torch.diag_embed((upper + 2 * scale)[..., None] - diag) - balanced
            z, _ = torch.linalg.solve_ex(shifted, torch.ones_like(diag)[..., None])
            z = z[..., 0]
            usable = ((z > 0) & z.isfinite()).all(-1, keepdim=True) & (width > scale)[..., None]
            step = torch.where(usable, torch.where(usable, z, 1.0).log(), 0.0)
            place = place + step - step.amax(-1, keepdim=True)
        balanced = torch.exp(fixed + place[..., None, :] - place[..., :, None])
        law = eliminated(balanced)
    # the eigenvectors are held fixed: right for one derivative, and refused for a second
    entries = torch.exp(first_order(logarithms) + (place[..., None, :] - place[..., :, None]))
    rows = entries.sum(-1) + first_order(diagonal)
    value = (law * rows).sum(-1)
    with torch.no_grad():
        count = 4.0 + diagonal.shape[-1]
        spread = place.abs()[..., None, :] + place.abs()[..., :, None]
        blur = eps * ((balanced * (sizes + spread + count)).sum(-1) + count * diag.abs())
        middle = value.detach()
        error = torch.maximum((rows.detach() + blur).amax(-1) - middle, middle - (rows.detach() - blur).amin(-1))
        converged = error <= 1e-9 * (balanced.sum(-1) + diag.abs()).amax(-1)
    return PerronRoot(value, error, balanced, law, converged)


def tilted(process: MarkovJump | MarkovChain, counting: Tensor, q: Tensor) -> PerronRoot:
    """The Perron root of sum over reservoirs of k_ij exp(q c_ij), with minus the exit rates on the diagonal.

    For a chain: of P_ij exp(q c_ij), with the diagonal of that matrix.

    Parameters
    ----------
    counting
        Weights (..., R, K, K), as `edge_weights` gives them.
    q
        Shape (...), broadcasts against the batches of the process and of the weights.
    """
    rates = process.matrix[..., None, :, :] if isinstance(process, MarkovChain) else process.reservoir_rates_at()
    rates, q = rates.to(torch.float64), q.to(torch.float64)[..., None, None, None]
    exponent = q * counting.to(torch.float64)
    used = rates > 0
    if validating(exponent):
        largest = float(torch.where(used, exponent.detach(), 0.0).abs().amax())
        if largest > LARGEST_TILT:
            raise ValueError(f"q times counting must stay below {LARGEST_TILT:g}; got {largest:.6g}")
    terms = torch.where(used, torch.where(used, rates, 1.0).log() + exponent, -torch.inf)
    off = torch.eye(process.states, dtype=torch.bool, device=rates.device)
    sizes = (torch.where(used, torch.where(used, rates, 1.0).log().abs() + exponent.abs(), 0.0)).amax(-3).detach()
    total = _logsumexp(terms)
    if isinstance(process, MarkovChain):
        diagonal = torch.where(used, rates * exponent.exp(), 0.0).sum(-3).diagonal(dim1=-2, dim2=-1)
    else:
        diagonal = -rates.sum(-3).sum(-1).expand(total.shape[:-1])
    return perron_root(torch.where(off, -torch.inf, total), diagonal, sizes.expand(total.shape))


def _logsumexp(terms: Tensor) -> Tensor:
    """log of the sum of exponentials over the reservoirs; -inf, with a zero gradient, where all are."""
    if terms.shape[-3] == 1:
        return terms.squeeze(-3)
    some = (terms > -torch.inf).any(-3)
    return torch.where(some, torch.where(some.unsqueeze(-3), terms, 0.0).logsumexp(-3), -torch.inf)


def require_irreducible(process: MarkovJump | MarkovChain, asked: str) -> None:
    """Refuse driven processes and those in which some state cannot be reached from some other.

    Raises
    ------
    ValueError
        Naming the states that are left for good, or that cannot be left.
    """
    if isinstance(process, MarkovJump) and process.driven:
        raise ValueError(f"{asked} needs constant rates: a driven process has no steady state")
    rates = process.moves if isinstance(process, MarkovChain) else process.rates
    if not validating(rates):
        return
    reach = reachable(rates).reshape(-1, process.states, process.states)
    if bool(reach.all()):
        return
    member = reach[(~reach).any(-1).any(-1)][0]
    closed = (member <= member.mT).all(-1)
    stuck = torch.nonzero(closed & (member.sum(-1) == 1)).flatten().tolist()
    left = torch.nonzero(~closed).flatten().tolist()
    what = [f"states {stuck} are absorbing"] if stuck else []
    what += [f"states {left} are left for good"] if left else []
    what += [] if what else ["the states fall apart into closed classes"]
    raise ValueError(f"{asked} needs a steady state in which every state is visited again and again; {', '.join(what)}")
