"""Information flow and transfer entropy of two coupled linear diffusions, from covariances and Riccati equations."""

from __future__ import annotations

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.linalg import lyapunov
from infotherm.core.tensors import validating
from infotherm.distributions import Gaussian
from infotherm.processes import AffineProcess
from infotherm.thermodynamics.rates import fields
from infotherm.thermodynamics.sensitivity import Evaluated, with_sensitivity

Fields = tuple[Tensor, Tensor, Tensor]


def coupled_fields(process: AffineProcess, sizes: tuple[int, int], t: Tensor, like: Gaussian) -> Fields:
    """A, c and D of drift A x + c at time t, checked to be bipartite.

    Raises
    ------
    ValueError
        When the sizes do not add up, the noises of the two parts are correlated, or a part has none.
    """
    dim = sum(sizes)
    if like.dim != dim:
        raise ValueError(f"parts must add up to the {like.dim} coordinates of the process; got {sizes}")
    diffusion, _, _ = fields(process, like, t)  # refuses coordinates without noise
    matrix, offset = (f(t, dim).to(diffusion) for f in (process.drift_matrix, process.drift_offset))
    across = diffusion[..., : sizes[0], sizes[0] :]
    if validating(across) and bool((across != 0).any()):
        x, y = torch.nonzero(across.abs().reshape(-1, *across.shape[-2:]).amax(0))[0].tolist()
        raise ValueError(
            f"the diffusion matrix must have no entry between the parts (their noises are independent); got "
            f"D[{x}, {sizes[0] + y}] = {across[..., x, y].abs().max().item():.6g}"
        )
    return matrix, offset, diffusion


def gaussian_parts(
    process: AffineProcess, p: Gaussian | None, sizes: tuple[int, int], t: Tensor, stationary: Gaussian
) -> list[list[Estimate]]:
    """For each part: entropy production, information flow, change of the marginal entropy, medium entropy (rates).

    Parameters
    ----------
    process
        An affine diffusion.
    p
        The law at time t; None for the stationary one, which then is solved for again, to know its error.
    sizes
        Numbers of coordinates of the two parts.
    t
        Time.
    stationary
        The law p itself, or the stationary one.
    """
    matrix, offset, diffusion = coupled_fields(process, sizes, t, stationary)
    dim = sum(sizes)
    batch = torch.broadcast_shapes(matrix.shape[:-2], stationary.batch_shape)
    square, line = (*batch, dim, dim), (*batch, dim)
    loose = 16.0 * dim**2
    results = []
    for part in (slice(0, sizes[0]), slice(sizes[0], dim)):
        if p is None:

            def steady(A: Tensor, D: Tensor, part: slice = part) -> Evaluated:
                zero = torch.zeros_like(A[..., 0])
                return _part_rates(A, zero, D, zero, lyapunov(-A, 2 * D), part)

            arguments, event_dims = [matrix.expand(square), diffusion.expand(square)], [2, 2]
            value, error = with_sensitivity(steady, arguments, event_dims=event_dims, loose=loose)
        else:

            def given(A: Tensor, c: Tensor, D: Tensor, m: Tensor, C: Tensor, part: slice = part) -> Evaluated:
                return _part_rates(A, c, D, m, C, part)

            arguments = [matrix.expand(square), offset.expand(line), diffusion.expand(square)]
            arguments += [p.mean.expand(line), p.covariance.expand(square)]
            value, error = with_sensitivity(given, arguments, event_dims=[2, 1, 2, 1, 2], loose=loose)
        results.append([Estimate(value[..., k], error=error[..., k], units="nat/time") for k in range(4)])
    return results


def _part_rates(A: Tensor, c: Tensor, D: Tensor, m: Tensor, C: Tensor, part: slice) -> Evaluated:
    """The four rates of one part and their sizes, (..., 4), from the moments m, C of the joint law."""
    own = lambda M: M[..., part, part]  # noqa: E731
    precision = torch.cholesky_inverse(torch.linalg.cholesky(C))
    marginal = torch.cholesky_inverse(torch.linalg.cholesky(own(C)))
    friction = torch.cholesky_inverse(torch.linalg.cholesky(own(D)))
    spreads, blurs = marginal @ own(A @ C), marginal @ own(D)
    stretch = _trace(own(A))
    held = _trace(own(D @ precision))
    # d h(X) / dt = tr(C_xx^-1 dC_xx/dt) / 2
    entropy = _trace(spreads) + _trace(blurs)
    # E[nu_x . grad_x log p(x, y) / p(x)], by parts
    flow = entropy - stretch - held
    drift = (A @ m[..., None])[..., part, 0] + c[..., part]
    pushed = (drift[..., None, :] @ friction @ drift[..., None])[..., 0, 0]
    force = A[..., part, :]
    fluctuating = _trace(friction @ force @ C @ force.mT)
    velocity = force + (D @ precision)[..., part, :]
    production = _trace(friction @ velocity @ C @ velocity.mT) + pushed
    medium = fluctuating + pushed + stretch
    with torch.no_grad():
        stretched = own(A).diagonal(dim1=-2, dim2=-1).abs().sum(-1)
        summed = spreads.diagonal(dim1=-2, dim2=-1).abs().sum(-1) + _trace(blurs)
        all_terms = fluctuating + pushed + stretched + held
        # a sum of squares of differences that may nearly cancel
        near = 16 * A.shape[-1] ** 2 * torch.finfo(A.dtype).eps * all_terms * torch.linalg.cond(C)
        squares = production + 2 * (production.clamp(min=0) * near).sqrt() + near
        sizes = torch.stack([squares, summed + stretched + held, summed, all_terms], -1)
    return torch.stack([production, flow, entropy, medium], -1), sizes


def _trace(M: Tensor) -> Tensor:
    return M.diagonal(dim1=-2, dim2=-1).sum(-1)


def gaussian_transfer_entropy(
    process: AffineProcess, sizes: tuple[int, int], t: Tensor, stationary: Gaussian, into: int
) -> Estimate:
    """The stationary transfer entropy rate into part 1 (X -> Y) or 0 (Y -> X), from the filter of the other part.

    With S the error covariance of the Kalman-Bucy filter of X from the history of Y,
    A_xx S + S A_xx^T + 2 D_x = S A_yx^T (2 D_y)^-1 A_yx S, the rate is tr(D_y^-1 A_yx S A_yx^T) / 4.
    """
    matrix, _, diffusion = coupled_fields(process, sizes, t, stationary)
    hidden, seen = slice(0, sizes[0]), slice(sizes[0], sum(sizes))
    if into == 0:
        hidden, seen = seen, hidden
    batch = torch.broadcast_shapes(matrix.shape[:-2], diffusion.shape[:-2])
    blocks = [matrix[..., hidden, hidden], matrix[..., seen, hidden], diffusion[..., hidden, hidden]]
    blocks.append(diffusion[..., seen, seen])
    blocks = [block.expand(*batch, *block.shape[-2:]) for block in blocks]
    start, change = filter_covariance(*blocks)

    def rate(own: Tensor, coupling: Tensor, noise: Tensor, seen_noise: Tensor) -> Evaluated:
        gain = _gain(coupling, seen_noise)
        # one Newton step from the solution: its value, and its exact first derivatives
        covariance = lyapunov(-(own - start @ gain), 2 * noise + start @ gain @ start)
        value = 0.5 * _trace(gain @ covariance)[..., None]
        return value, value.detach().abs()

    value, error = with_sensitivity(rate, blocks, event_dims=[2] * 4, loose=16.0 * sum(sizes) ** 2)
    error = error[..., 0] + (_gain(*blocks[1::2]).abs().sum((-2, -1)) * change).detach()
    return Estimate(value[..., 0], error=error, units="nat/time")


def _gain(coupling: Tensor, noise: Tensor) -> Tensor:
    """A_yx^T (2 D_y)^-1 A_yx."""
    return coupling.mT @ torch.linalg.solve(2 * noise, coupling)


def filter_covariance(own: Tensor, coupling: Tensor, noise: Tensor, seen_noise: Tensor) -> tuple[Tensor, Tensor]:
    """The stationary error covariance of the Kalman-Bucy filter (no gradient), and by how much the last step moved it.

    From the invariant subspace of the Hamiltonian matrix, polished by Newton's method (Kleinman).

    Parameters
    ----------
    own, coupling, noise, seen_noise
        A_xx (..., D, D), A_yx (..., E, D), D_x and D_y.
    """
    with torch.no_grad():
        gain = _gain(coupling, seen_noise)
        size = own.shape[-1]
        hamiltonian = torch.cat([torch.cat([own.mT, -gain], -1), torch.cat([-2 * noise, -own], -1)], -2)
        values, vectors = torch.linalg.eig(hamiltonian)
        order = values.real.argsort(-1)[..., :size]
        stable = vectors.gather(-1, order[..., None, :].expand(*order.shape[:-1], 2 * size, size))
        covariance = torch.linalg.solve(stable[..., :size, :].mT, stable[..., size:, :].mT).mT.real
        covariance = (covariance + covariance.mT) / 2
        change = torch.zeros_like(covariance[..., 0, 0])
        for _ in range(4):
            new = lyapunov(-(own - covariance @ gain), 2 * noise + covariance @ gain @ covariance)
            change = (new - covariance).abs().amax((-2, -1))
            covariance = new
    return covariance, change
