"""Covariances of linear dynamics: the stationary one (Lyapunov) and the one after a time (Van Loan)."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from infotherm.core.tensors import validating

_KRONECKER = 12  # up to this dimension one dense solve for all entries is the quickest


class VanLoan(NamedTuple):
    """exp(-A dt) and the covariance that noise Q has built up after dt."""

    propagator: Tensor
    covariance: Tensor


def lyapunov(A: Tensor, Q: Tensor) -> Tensor:
    r"""The stationary covariance X of dx = -A x dt + noise: A X + X A^T = Q.

    Parameters
    ----------
    A, Q
        (..., D, D), batches broadcast. For a stationary covariance the eigenvalues of A must have positive real parts
        (the caller's check) and Q = sigma sigma^T; the equation only needs that no two eigenvalues of A sum to zero.

    Returns
    -------
    Tensor
        (..., D, D), symmetric for symmetric Q. Error about eps |X| over the separation of A and -A^T. Differentiable,
        repeatedly.

    Raises
    ------
    ValueError
        When the shapes do not fit, or the equation has no unique solution.

    References
    ----------
    Bartels & Stewart, Comm. ACM 15 (1972) 820 (above dimension 12; below, the Kronecker form).

    Examples
    --------
    >>> X = lyapunov(torch.tensor([[2.0]]), torch.tensor([[4.0]]))
    >>> X.item()
    1.0
    """
    A, Q = _square(A, Q)
    dim = A.shape[-1]
    if dim <= _KRONECKER:
        identity = torch.eye(dim, dtype=A.dtype, device=A.device)
        left = torch.einsum("...ij,kl->...ikjl", A, identity)
        right = torch.einsum("ij,...kl->...ikjl", identity, A)
        operator = (left + right).reshape(*A.shape[:-2], dim * dim, dim * dim)
        X, info = torch.linalg.solve_ex(operator, Q.reshape(*Q.shape[:-2], dim * dim, 1))
        if validating(A, Q) and bool((info != 0).any()):
            raise ValueError(_NO_SOLUTION)
        X = X.reshape(Q.shape)
    else:
        X = _Lyapunov.apply(A, Q)
    rounding = 8 * torch.finfo(Q.dtype).eps * Q.detach().abs().amax() if validating(Q) and Q.numel() else 0.0
    symmetric = validating(Q) and bool(((Q - Q.mT).abs() <= rounding).all())
    return (X + X.mT) / 2 if symmetric else X


_NO_SOLUTION = (
    "A X + X A^T = Q needs an A of which no two eigenvalues sum to zero (for a stationary state all real parts must be "
    "positive); got one that has such a pair"
)


def _square(A: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    if A.ndim < 2 or A.shape[-1] != A.shape[-2] or Q.shape[-2:] != A.shape[-2:]:
        raise ValueError(f"A and Q must have shape (..., D, D); got {tuple(A.shape)} and {tuple(Q.shape)}")
    batch = torch.broadcast_shapes(A.shape[:-2], Q.shape[:-2])
    return A.expand(*batch, *A.shape[-2:]), Q.expand(*batch, *Q.shape[-2:])


class _Lyapunov(torch.autograd.Function):
    """By the Schur form (scipy, on the CPU). The gradient solves the adjoint equation A^T Y + Y A = dX."""

    @staticmethod
    def forward(A: Tensor, Q: Tensor) -> Tensor:
        from scipy.linalg import solve_continuous_lyapunov

        flat = zip(A.reshape(-1, *A.shape[-2:]), Q.reshape(-1, *Q.shape[-2:]), strict=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # scipy warns, and solves a perturbed equation
            try:
                solved = [
                    solve_continuous_lyapunov(a.detach().cpu().numpy(), q.detach().cpu().numpy()) for a, q in flat
                ]
            except (RuntimeWarning, np.linalg.LinAlgError):
                raise ValueError(_NO_SOLUTION) from None
        X = torch.stack([torch.from_numpy(x) for x in solved]).reshape(Q.shape).to(Q)
        if not bool(torch.isfinite(X).all()):
            raise ValueError(_NO_SOLUTION)
        return X

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        A, X = ctx.saved_tensors
        Y = _Lyapunov.apply(A.mT, gradient)
        return -(Y @ X.mT + Y.mT @ X), Y


def van_loan(A: Tensor, Q: Tensor, dt: Tensor | float) -> VanLoan:
    r"""What dx = -A x dt + noise does in a time dt: exp(-A dt), and the covariance of the noise it adds,

        S(dt) = int_0^dt exp(-A s) Q exp(-A^T s) ds.

    Taylor series over h = dt/2^k with |A| h <= 1/2, then k doublings E -> 2 E + E^2 of E = exp(-A h) - 1 and
    S -> S + exp(-A h) S exp(-A^T h): nothing overflows for decaying motion and slow modes keep their digits next to
    fast ones, which the exponential of Van Loan's block matrix does not give.

    Parameters
    ----------
    A, Q
        (..., D, D), batches broadcast; Q symmetric.
    dt
        A number >= 0, or a tensor that broadcasts against the batch.

    Returns
    -------
    VanLoan
        `propagator` and `covariance` (..., D, D), the latter symmetric. Relative error about eps (1 + |A| dt).
        Differentiable, repeatedly.

    Raises
    ------
    ValueError
        When dt is negative or not finite, or the shapes do not fit.

    References
    ----------
    Van Loan, IEEE Trans. Automat. Control 23 (1978) 395.

    Examples
    --------
    >>> step = van_loan(torch.tensor([[1.0]]).double(), torch.tensor([[2.0]]).double(), 100.0)
    >>> step.covariance.item()
    1.0
    """
    A, Q = _square(A, Q)
    time = torch.as_tensor(dt, dtype=A.dtype, device=A.device)
    known = validating(A, time)
    if known and not bool((torch.isfinite(time) & (time >= 0)).all()):
        raise ValueError(f"dt must be finite and >= 0; got {dt}")
    # |A| dt decides the number of doublings, the same for the whole batch; traced tensors get enough for 2^24
    doublings = 25
    if known:
        reach = (torch.linalg.matrix_norm(A.detach(), ord=1) * time.detach()).amax().item()
        reach = max(reach, (torch.linalg.matrix_norm(A.detach(), ord=torch.inf) * time.detach()).amax().item())
        doublings = max(0, int(torch.frexp(torch.tensor(reach)).exponent.item()) + 1)
    h = (time / 2.0**doublings)[..., None, None]
    change, term, S = torch.zeros_like(A), None, torch.zeros_like(Q)
    noise = Q * h
    for k in range(1, 21):
        S = S + noise
        # k-th terms of exp(-A h) - 1 and of the integral: -h/(k + 1) (A N + N A^T)
        term = -(A * h) if term is None else -(A * h) @ term / k
        change = change + term
        noise = -((A * h) @ noise + noise @ (A * h).mT) / (k + 1)
    identity = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    for _ in range(doublings):
        propagator = identity + change
        S = S + propagator @ S @ propagator.mT
        change = 2 * change + change @ change
    return VanLoan(identity + change, (S + S.mT) / 2)
