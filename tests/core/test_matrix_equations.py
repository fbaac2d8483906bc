"""Lyapunov equation and transition covariances, against 50-digit arithmetic and scipy."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.core.linalg import lyapunov, van_loan

F64 = torch.float64


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def stable(dim, seed=0, batch=()):
    A = random(*batch, dim, dim, seed=seed)
    S = random(*batch, dim, dim, seed=seed + 1)
    return S @ S.mT / dim + 0.2 * torch.eye(dim, dtype=F64) + (A - A.mT) / 2


def noise(dim, seed=0, batch=()):
    s = random(*batch, dim, dim, seed=seed + 7)
    return s @ s.mT


@given(st.integers(1, 16), st.integers(0, 10**6))
@settings(max_examples=30)
def test_lyapunov_residual(dim, seed):
    A, Q = stable(dim, seed), noise(dim, seed)
    X = lyapunov(A, Q)
    residual = (A @ X + X @ A.mT - Q).abs().max()
    assert residual <= 1e-12 * (A.abs().max() * X.abs().max() * dim + Q.abs().max())
    assert torch.equal(X, X.mT)
    assert torch.linalg.eigvalsh(X)[0] > 0


@pytest.mark.parametrize("dim", [3, 14])
def test_lyapunov_batches_broadcast_and_are_differentiable(dim):
    A, Q = stable(dim, 1, (2, 1)), noise(dim, 2, (3,))
    X = lyapunov(A, Q)
    assert X.shape == (2, 3, dim, dim)
    assert torch.allclose(A @ X + X @ A.mT, Q.expand_as(X), atol=1e-10)
    A, Q = stable(dim, 1).requires_grad_(), noise(dim, 2).requires_grad_()
    weight = random(dim, dim, seed=4)
    torch.autograd.gradcheck(
        lambda A, Q: (weight * lyapunov(A, (Q + Q.mT) / 2)).sum(), (A, Q), fast_mode=True, nondet_tol=1e-12
    )
    (first,) = torch.autograd.grad((weight * lyapunov(A, Q)).sum(), A, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), Q)  # twice
    assert torch.isfinite(second).all()


def test_both_roads_agree_and_unsymmetric_right_hand_sides():
    A, Q = stable(12, 3), random(12, 12, seed=5)
    X = lyapunov(A, Q)
    from infotherm.core.matrix_equations import _Lyapunov

    assert torch.allclose(X, _Lyapunov.apply(A, Q), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dim", [2, 14])
def test_lyapunov_without_solution(dim):
    A = torch.diag(torch.tensor([1.0, -1.0] + [2.0] * (dim - 2), dtype=F64))
    with pytest.raises(ValueError, match="no two eigenvalues sum to zero"):
        lyapunov(A, torch.eye(dim, dtype=F64))
    with pytest.raises(ValueError, match=r"A and Q must have shape \(\.\.\., D, D\)"):
        lyapunov(A, torch.eye(dim + 1, dtype=F64))


def exact_transition(A, Q, dt):
    """exp(-A dt) and its noise integral from Van Loan's block exponential at 80 digits."""
    dim = A.shape[0]
    with mpmath.workdps(80):
        block = mpmath.zeros(2 * dim)
        for i in range(dim):
            for j in range(dim):
                block[i, j] = -mpmath.mpf(A[i, j].item()) * dt
                block[i, dim + j] = mpmath.mpf(Q[i, j].item()) * dt
                block[dim + i, dim + j] = mpmath.mpf(A[j, i].item()) * dt
        whole = mpmath.expm(block, method="taylor")
        propagator = whole[:dim, :dim]
        covariance = whole[:dim, dim:] * propagator.T
        as_tensor = lambda M: torch.tensor(np.array(M.tolist(), dtype=float))  # noqa: E731
        return as_tensor(propagator), as_tensor(covariance)


@pytest.mark.parametrize("dt", [1e-12, 1e-6, 1e-2, 0.3, 1.0, 10.0])
def test_van_loan_against_eighty_digits(dt):
    A, Q = stable(3, 2), noise(3, 3)
    propagator, covariance = exact_transition(A, Q, dt)
    step = van_loan(A, Q, dt)
    assert (step.propagator - propagator).abs().max() <= 1e-14 * (1 + dt)
    assert (step.covariance - covariance).abs().max() <= 2e-15 * (1 + 10 * dt) * covariance.abs().max()
    assert torch.linalg.eigvalsh(step.covariance)[0] > 0


def test_long_times_reach_the_stationary_covariance():
    A, Q = stable(4, 5), noise(4, 6)
    step = van_loan(A, Q, 1e4)
    assert step.propagator.abs().max() < 1e-100
    assert torch.allclose(step.covariance, lyapunov(A, Q), rtol=1e-12)
    # the block exponential overflows there: the trap
    block = torch.cat([torch.cat([-A, Q], 1), torch.cat([torch.zeros(4, 4, dtype=F64), A.mT], 1)])
    assert not torch.isfinite(torch.linalg.matrix_exp(1e4 * block)).all()


def test_slow_modes_keep_their_digits_beside_fast_ones():
    rates = torch.tensor([1e-3, 1.0, 1e6], dtype=F64)
    step = van_loan(torch.diag(rates), torch.diag(2 * rates), 1.0)
    assert torch.allclose(step.propagator.diagonal(), torch.exp(-rates), rtol=1e-13)
    assert torch.allclose(step.covariance.diagonal(), -torch.expm1(-2 * rates), rtol=1e-12)


def test_zero_time_free_diffusion_and_growth():
    A, Q = stable(2, 1), noise(2, 2)
    step = van_loan(A, Q, 0.0)
    assert torch.equal(step.propagator, torch.eye(2, dtype=F64))
    assert torch.equal(step.covariance, torch.zeros(2, 2, dtype=F64))
    free = van_loan(torch.zeros(2, 2, dtype=F64), Q, 3.0)
    assert torch.allclose(free.covariance, 3 * Q, rtol=1e-15)
    growing = van_loan(torch.tensor([[-1.0]], dtype=F64), torch.tensor([[2.0]], dtype=F64), 2.0)
    assert growing.covariance.item() == pytest.approx(np.expm1(4.0), rel=1e-14)


def test_van_loan_composes_and_batches():
    A, Q = stable(3, 1, (2,)), noise(3, 2, (2,))
    dt = torch.tensor([0.1, 2.5], dtype=F64)
    step = van_loan(A, Q, dt)
    half = van_loan(A, Q, dt / 2)
    assert torch.allclose(half.propagator @ half.propagator, step.propagator, rtol=1e-12, atol=1e-14)
    both = half.covariance + half.propagator @ half.covariance @ half.propagator.mT
    assert torch.allclose(both, step.covariance, rtol=1e-12)
    mapped = torch.func.vmap(lambda A, Q: van_loan(A, Q, 0.7).covariance)(A, Q)
    assert torch.allclose(mapped, van_loan(A, Q, 0.7).covariance, rtol=1e-9)


def test_van_loan_is_differentiable():
    A, Q = stable(3, 1).requires_grad_(), noise(3, 2).requires_grad_()
    dt = torch.tensor(0.8, dtype=F64, requires_grad=True)
    torch.autograd.gradcheck(lambda A, Q, dt: tuple(van_loan(A, Q, dt)), (A, Q, dt))
    step = van_loan(A, Q, dt)
    (rate,) = torch.autograd.grad(step.covariance.trace(), dt)
    expected = (step.propagator @ Q @ step.propagator.mT).trace()  # d/dt of the integral
    assert torch.allclose(rate, expected, rtol=1e-12)


@pytest.mark.parametrize("dt", [-1.0, float("nan"), float("inf")])
def test_van_loan_refuses(dt):
    with pytest.raises(ValueError, match="dt must be finite and >= 0"):
        van_loan(torch.eye(2, dtype=F64), torch.eye(2, dtype=F64), dt)


def test_float32_stays():
    step = van_loan(torch.eye(2), torch.eye(2), 0.5)
    assert step.covariance.dtype == step.propagator.dtype == lyapunov(torch.eye(2), torch.eye(2)).dtype == torch.float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_everything_stays_on_the_device():
    for dim in (3, 14):
        A, Q = stable(dim, 1).cuda(), noise(dim, 2).cuda()
        assert torch.allclose(van_loan(A, Q, 200.0).covariance, lyapunov(A, Q), rtol=1e-9)
