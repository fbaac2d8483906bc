"""The Procrustes distance against 60-digit arithmetic: near-equal, ill-conditioned and singular factors."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from infotherm.core.linalg import factor_perturbation, procrustes_distance, psd_factor

F64 = torch.float64


def random(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def orthogonal(dim, seed=0):
    return torch.from_numpy(ortho_group.rvs(dim, random_state=np.random.default_rng(seed)))


def exact_from_factors(A, B):
    with mpmath.workdps(60):
        a, b = mpmath.matrix(A.tolist()), mpmath.matrix(B.tolist())
        nuclear = mpmath.fsum(mpmath.svd_r(b.T * a, compute_uv=False))
        return mpmath.sqrt(abs(mpmath.fsum(x * x for x in a) + mpmath.fsum(x * x for x in b) - 2 * nuclear))


def exact_from_covariances(C0, C1):
    with mpmath.workdps(60):
        a, b = (mpmath.matrix(C.tolist()) for C in (C0, C1))
        values, vectors = mpmath.eigsy(a)
        root = vectors * mpmath.diag([mpmath.sqrt(max(x, 0)) for x in values]) * vectors.T
        inner = root * b * root
        fidelity = mpmath.fsum(mpmath.sqrt(max(x, 0)) for x in mpmath.eigsy((inner + inner.T) / 2, eigvals_only=True))
        trace = mpmath.fsum(a[i, i] + b[i, i] for i in range(a.rows))
        return mpmath.sqrt(abs(trace - 2 * fidelity))


def check(result, truth, slack=0.0):
    error = float(abs(mpmath.mpf(result.distance.item()) - truth))
    assert error <= result.error.item() + slack, (error, result.error.item())


def covariance(dim, condition=100.0, seed=0):
    vectors = orthogonal(dim, seed)
    values = torch.logspace(0, -np.log10(condition), dim, dtype=F64)
    C = vectors * values @ vectors.T
    return (C + C.T) / 2


@pytest.mark.parametrize("shift", [1e-6, 1e-8, 1e-12])
def test_near_equal_covariances_keep_their_digits(shift):
    C0 = covariance(8)
    C1 = (1 + shift) * C0
    A, B = psd_factor(C0), psd_factor(C1)
    result = procrustes_distance(A, B)
    assert result.error < 1e-13
    check(result, exact_from_factors(A, B))
    check(result, exact_from_covariances(C0, C1), (factor_perturbation(C0) + factor_perturbation(C1)).item())
    # the trace formula has lost everything below sqrt(eps): the trap that the explicit difference avoids
    nuclear = torch.linalg.matrix_norm(B.T @ A, ord="nuc")
    naive = (C0.trace() + C1.trace() - 2 * nuclear).clamp_min(0).sqrt()
    if shift <= 1e-8:
        assert abs(naive - float(exact_from_factors(A, B))) > 0.01 * result.distance > result.error / 10


@pytest.mark.parametrize("exponent", [0, 6, 12, 16, 18])
@pytest.mark.parametrize("noise", [0.0, 1e-14, 1e-10, 1e-6, 1.0])
def test_error_bounds_the_truth_at_any_condition(exponent, noise):
    A = orthogonal(8, 1) * torch.logspace(0, -exponent / 2, 8, dtype=F64) @ orthogonal(8, 2)
    B = (A + noise * random(8, 8, seed=3)) @ orthogonal(8, 4)
    result = procrustes_distance(A, B)
    check(result, exact_from_factors(A, B))
    assert result.error <= 1e-13 * (1 + noise)


def test_condition_1e12_from_covariances():
    C0, C1 = covariance(8, 1e12, seed=1), covariance(8, seed=2)
    result = procrustes_distance(psd_factor(C0), psd_factor(C1))
    truth = exact_from_covariances(C0, C1)
    assert abs(result.distance.item() - float(truth)) < 1e-11 * float(truth)
    check(result, truth, (factor_perturbation(C0) + factor_perturbation(C1)).item())


def test_rank_four_target_in_eight_dimensions():
    C0 = covariance(8, seed=3)
    B = random(8, 4, seed=5)
    from_factor = procrustes_distance(psd_factor(C0), B)
    from_covariance = procrustes_distance(psd_factor(C0), psd_factor(B @ B.T))
    truth = exact_from_factors(psd_factor(C0), torch.cat([B, torch.zeros(8, 4, dtype=F64)], 1))
    check(from_factor, truth)
    assert abs(from_covariance.distance.item() - float(truth)) < 1e-11 * float(truth)


def test_singular_reference_value():
    # two 3-dimensional covariances, the second of rank 2; value from an independent 60-digit computation
    C0 = torch.tensor([[1.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 1.0]], dtype=F64)
    C1 = torch.tensor([[1.0, 1.0, 0.0], [1.0, 2.0, 2.0], [0.0, 2.0, 4.0]], dtype=F64)
    result = procrustes_distance(psd_factor(C0), psd_factor(C1))
    assert abs(result.squared.item() - 2.209370323587333) < 1e-11 * 2.209370323587333
    assert abs(result.distance.item() - 1.486395076548403) < 1e-11 * 1.486395076548403
    with mpmath.workdps(60):
        assert abs(exact_from_covariances(C0, C1) ** 2 - mpmath.mpf("2.209370323587333")) < 1e-14


def test_batches_and_widths():
    A, B = random(5, 1, 4, 2, seed=1), random(3, 4, 3, seed=2)
    result = procrustes_distance(A, B)
    assert result.distance.shape == (5, 3)
    for i in range(5):
        for j in range(3):
            one = procrustes_distance(A[i, 0], B[j])
            assert torch.allclose(one.distance, result.distance[i, j], rtol=1e-13)
    with pytest.raises(ValueError, match="A and B must have shapes"):
        procrustes_distance(random(3, 2), random(2, 2))


@given(st.integers(0, 10**6), st.integers(1, 6), st.sampled_from([F64, torch.float32]))
@settings(max_examples=40, deadline=None)
def test_metric_laws(seed, dim, dtype):
    A, B, C = (random(dim, dim, seed=seed + k, dtype=dtype) for k in range(3))
    ab, bc, ac = procrustes_distance(A, B), procrustes_distance(B, C), procrustes_distance(A, C)
    turned = procrustes_distance(A @ orthogonal(dim, seed).to(dtype) if dim > 1 else -A, B)
    error = ab.error + bc.error + ac.error
    assert (ac.distance - ab.distance - bc.distance) <= error
    assert (procrustes_distance(B, A).distance - ab.distance).abs() <= 2 * ab.error
    # turning a factor rounds it: eps |A| on top of the two errors
    assert (turned.distance - ab.distance).abs() <= 2 * ab.error + dim * torch.finfo(dtype).eps * A.norm()
    assert ab.distance.dtype == dtype


def test_gradient_is_that_of_the_squared_distance():
    A, B = random(4, 4, seed=1).requires_grad_(), random(4, 4, seed=2).requires_grad_()
    result = procrustes_distance(A, B)
    grad_a, grad_b = torch.autograd.grad(result.squared, (A, B), retain_graph=True)
    assert torch.allclose(grad_a, 2 * (A - B @ result.rotation))
    assert torch.allclose(grad_b, 2 * (B - A @ result.rotation.T))
    for one in ("squared", "distance"):
        torch.autograd.gradcheck(lambda a, b, one=one: getattr(procrustes_distance(a, b), one), (A, B))


def test_gradient_is_zero_and_not_nan_at_equality():
    C = torch.eye(3, dtype=F64, requires_grad=True)
    # the trap: eigenvectors of a degenerate spectrum have no derivative
    values, vectors = torch.linalg.eigh(C)
    root = vectors * values.sqrt() @ vectors.T
    (trap,) = torch.autograd.grad(root.square().sum() + root[0, 1], C)
    assert torch.isnan(trap).any()
    # the cure
    D = torch.eye(3, dtype=F64, requires_grad=True)
    result = procrustes_distance(psd_factor(D), psd_factor(C))
    assert result.distance == 0
    for part in (result.distance, result.squared):
        for gradient in torch.autograd.grad(part, (C, D), retain_graph=True):
            assert torch.equal(gradient, torch.zeros_like(gradient))


def test_gradient_through_covariances_matches_the_optimal_map():
    # d(W2^2)/dC0 = 1 - T with T the linear optimal map from C0 to C1
    C0, C1 = covariance(4, seed=1).requires_grad_(), covariance(4, seed=2)
    squared = procrustes_distance(psd_factor(C0), psd_factor(C1)).squared
    (gradient,) = torch.autograd.grad(squared, C0)
    gradient = (gradient + gradient.T) / 2
    root = psd_root = torch.from_numpy(np.asarray(mpmath_root(C0.detach())))
    inner = torch.from_numpy(np.asarray(mpmath_root(psd_root @ C1 @ psd_root)))
    map_ = torch.linalg.inv(root) @ inner @ torch.linalg.inv(root)
    assert torch.allclose(gradient, torch.eye(4, dtype=F64) - map_, atol=1e-9)


def mpmath_root(C):
    values, vectors = np.linalg.eigh(C.numpy())
    return vectors * np.sqrt(values) @ vectors.T


def test_gradient_with_a_singular_target_is_finite_and_right():
    C0 = covariance(3, seed=1).requires_grad_()
    B = random(3, 1, seed=2)
    C1 = (B @ B.T).requires_grad_()
    squared = procrustes_distance(psd_factor(C0), psd_factor(C1)).squared
    g0, g1 = torch.autograd.grad(squared, (C0, C1))
    assert torch.isfinite(g0).all() and torch.isfinite(g1).all()
    # along matrices of rank one the derivative must be that of tr C1 - 2 sqrt(b.C0 b)
    direction = random(3, 1, seed=3)
    change = direction @ B.T + B @ direction.T
    expected = 2 * (B * direction).sum() - 2 * (direction * (C0 @ B)).sum() / (B * (C0 @ B)).sum().sqrt()
    assert torch.allclose((g1 * change).sum(), expected.detach(), rtol=1e-10)


def test_second_derivatives_raise():
    A, B = random(3, 3, seed=1).requires_grad_(), random(3, 3, seed=2)
    (gradient,) = torch.autograd.grad(procrustes_distance(A, B).squared, A, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_under_function_transforms():
    A, B = random(4, 3, 3, seed=1), random(4, 3, 3, seed=2)
    plain = procrustes_distance(A, B)
    mapped = torch.func.vmap(lambda a, b: procrustes_distance(a, b).distance)(A, B)
    assert torch.allclose(mapped, plain.distance, rtol=1e-12)
    gradient = torch.func.grad(lambda a: procrustes_distance(a, B).squared.sum())(A)
    assert torch.allclose(gradient, 2 * (A - B @ plain.rotation))


def test_a_planted_bug_is_caught():
    # a rotation that is the polar factor of A^T B instead of B^T A leaves a larger distance
    A, B = random(4, 4, seed=1), random(4, 4, seed=2)
    left, _, right = torch.linalg.svd(A.T @ B)
    planted = torch.linalg.matrix_norm(A - B @ (left @ right))
    result = procrustes_distance(A, B)
    assert planted > result.distance + 100 * result.error


@given(st.integers(1, 8), st.integers(1, 8), st.floats(0, 8), st.booleans(), st.integers(0, 10**6))
def test_perturbation_bound_covers_the_rounding_of_covariances(dim, rank, decades, graded, seed):
    # round a covariance to float32 and factor it there: the bound must cover how far that lies from the true factor
    B = random(dim, min(dim, rank), seed=seed)
    if graded:
        B = torch.logspace(0, -decades, dim, dtype=F64)[:, None] * B
    rounded = (B @ B.mT).float()
    distance = procrustes_distance(B, psd_factor(rounded).double()).distance
    assert distance <= factor_perturbation(rounded).item()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_everything_stays_on_the_device():
    A = random(3, 4, 4, seed=1).cuda()
    assert procrustes_distance(A, A @ orthogonal(4, 2).cuda()).distance.max() < 1e-13
