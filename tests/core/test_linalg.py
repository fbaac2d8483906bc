"""Linear algebra of covariances: accuracy against 50-digit arithmetic, singular cases, gradients, refusals."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.core.linalg import (
    factor_perturbation,
    logdet,
    logdet_error,
    nullspace,
    psd_factor,
    psd_sqrt,
    pseudo_logdet,
    quadratic_form,
    rank_of,
    solve_psd,
    symmetrise_checked,
    whiten,
)

F64 = torch.float64
DTYPES = [torch.float64, torch.float32]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def of_rank(dim, rank, seed=0, batch=()):
    B = random(*batch, dim, rank, seed=seed)
    return B @ B.mT


def relative(A, B, C):
    """Largest difference of A and B in units of sqrt(C_ii C_jj)."""
    spread = C.diagonal(dim1=-2, dim2=-1).sqrt()
    scale = spread.unsqueeze(-1) * spread.unsqueeze(-2)
    return ((A - B).abs() / torch.where(scale > 0, scale, 1.0)).max().item()


# --- what is refused


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1.0, 2.0], [2.0, 1.0]], r"cov must be positive semi-definite; its smallest eigenvalue is -1 \(-1 after"),
        ([[1.0, 0.5], [0.4, 1.0]], r"cov must be symmetric; its relative asymmetry is 0\.1 .*up to 0\.1"),
        ([[1.0, float("nan")], [0.0, 1.0]], r"cov must be finite; got nan at index \[0, 1\]"),
        ([[1.0, float("inf")], [float("inf"), 1.0]], r"cov must be finite; got inf"),
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], r"cov must have shape \(\.\.\., D, D\); got \(2, 3\)"),
        ([1.0, 2.0], r"cov must have shape \(\.\.\., D, D\); got \(2,\)"),
        ([[-1.0, 0.0], [0.0, 1.0]], r"cov must have a non-negative diagonal; got -1 at \[0\]"),
        ([[0.0, 1e-3], [1e-3, 1.0]], r"cov must be positive semi-definite"),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_refuses_what_is_no_covariance(matrix, message, dtype):
    with pytest.raises(ValueError, match=message):
        symmetrise_checked(torch.tensor(matrix, dtype=dtype), "cov")


def test_refuses_integers():
    with pytest.raises(TypeError, match="cov must be floating point; got torch.int64"):
        symmetrise_checked(torch.eye(2, dtype=torch.int64), "cov")


def test_names_the_bad_element_of_a_batch():
    C = torch.eye(2, dtype=F64).repeat(3, 1, 1)
    C[1, 0, 1] = C[1, 1, 0] = 3.0
    with pytest.raises(ValueError, match="smallest eigenvalue is -2"):
        symmetrise_checked(C)


@pytest.mark.parametrize("dtype", DTYPES)
def test_accepts_singular_scaled_and_rounded_covariances(dtype):
    for C in (
        of_rank(6, 2).to(dtype),
        torch.zeros(3, 3, dtype=dtype),
        torch.diag(torch.tensor([1e-12, 1.0, 1e12], dtype=dtype)),
        torch.ones(4, 4, dtype=dtype),
        torch.eye(2, dtype=dtype) + torch.tensor([[0.0, torch.finfo(dtype).eps], [0.0, 0.0]], dtype=dtype),
    ):
        assert torch.equal(symmetrise_checked(C), symmetrise_checked(C).mT)


def test_value_checks_are_skipped_under_transforms_and_gradients_pass():
    C = torch.stack([torch.eye(2, dtype=F64), -torch.eye(2, dtype=F64)])
    assert torch.equal(torch.func.vmap(symmetrise_checked)(C), C)
    C = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=F64, requires_grad=True)
    (gradient,) = torch.autograd.grad(symmetrise_checked(C)[0, 1], C)
    assert gradient.tolist() == [[0.0, 0.5], [0.5, 0.0]]


# --- rank


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 10**6), st.sampled_from(DTYPES))
def test_rank_of_products_does_not_depend_on_units(dim, rank, seed, dtype):
    rank = min(rank, dim)
    C = of_rank(dim, rank, seed) if rank else torch.zeros(dim, dim, dtype=F64)
    if rank and torch.linalg.eigvalsh(C)[-rank] < 1e-2 * torch.linalg.eigvalsh(C)[-1]:
        return  # nearly of lower rank by itself
    units = torch.logspace(-6, 6, dim, dtype=F64) if dtype == F64 else torch.logspace(-2, 2, dim, dtype=F64)
    found = rank_of((units[:, None] * C * units).to(dtype))
    assert found.rank == rank
    assert not found.ambiguous


def test_the_ambiguous_band_is_flagged():
    eps = torch.finfo(F64).eps
    gaps = torch.tensor([0.0, 1.0, 20.0, 60.0, 1000.0, 1e6], dtype=F64) * 2 * eps
    C = torch.ones(6, 2, 2, dtype=F64)
    C[:, 0, 1] = C[:, 1, 0] = 1 - gaps  # smallest eigenvalue = gap
    found = rank_of(C)
    assert found.rank.tolist() == [1, 1, 2, 2, 2, 2]
    assert found.ambiguous.tolist() == [False, False, True, True, False, False]
    assert torch.isinf(logdet_error(C)).tolist() == [False, False, True, True, False, False]
    assert found.rank.dtype == torch.int64


# --- factors and roots


@given(st.integers(1, 7), st.integers(0, 7), st.integers(0, 10**6), st.sampled_from(DTYPES))
def test_factor_and_root_reproduce_the_matrix(dim, rank, seed, dtype):
    C = of_rank(dim, min(rank, dim), seed).to(dtype)
    units = torch.logspace(-4, 4, dim, dtype=F64).to(dtype)
    eps = torch.finfo(dtype).eps
    B = psd_factor(units[:, None] * C * units)
    assert relative(B @ B.mT, units[:, None] * C * units, units[:, None] * C * units) <= 8 * dim * dim * eps
    X = psd_sqrt(C)
    assert (X @ X - C).abs().max() <= 16 * dim * dim * eps * C.abs().max()
    assert torch.linalg.eigvalsh(X)[0] >= -4 * dim * eps * X.abs().max()
    assert B.dtype == X.dtype == dtype


def test_cholesky_first_and_eigenvectors_only_where_needed():
    C = torch.stack([of_rank(4, 4, 1), of_rank(4, 2, 2), of_rank(4, 4, 3)])
    B = psd_factor(C)
    assert torch.allclose(B[[0, 2]], torch.linalg.cholesky(C[[0, 2]]), rtol=1e-12)
    assert (B[1] == 0).all(0).sum() == 2  # columns of zeros, exactly
    assert torch.allclose(B @ B.mT, C, rtol=1e-13, atol=1e-14)
    assert psd_factor(torch.zeros(2, 3, 3)).eq(0).all()


def test_zero_variances_stay_exactly_zero():
    C = torch.zeros(3, 3, dtype=F64)
    C[0, 0], C[0, 2], C[2, 0], C[2, 2] = 2.0, 1.0, 1.0, 1.0
    assert (psd_factor(C)[1] == 0).all()
    assert rank_of(C).rank == 2


def test_root_of_a_singular_matrix_has_no_noise():
    # eigenvalues of rounding size would leave entries of 1e-8 in the root: compare with 50 digits
    B = random(5, 2, seed=3)
    C = B @ B.mT
    with mpmath.workdps(50):
        b = mpmath.matrix(B.tolist())
        gram = b.T * b
        values, vectors = mpmath.eigsy(gram)
        inverse_root = vectors * mpmath.diag([1 / mpmath.sqrt(v) for v in values]) * vectors.T
        truth = torch.tensor(np.array((b * inverse_root * b.T).tolist(), dtype=float))
    assert (psd_sqrt(C) - truth).abs().max() < 1e-13
    values, vectors = torch.linalg.eigh(C)
    naive = vectors * values.abs().sqrt() @ vectors.mT
    assert (naive - truth).abs().max() > 1e-10  # the trap


def test_graded_covariances_keep_relative_accuracy():
    C = torch.diag(torch.tensor([1e-30, 1.0, 1e30], dtype=F64))
    assert torch.allclose(psd_factor(C).diagonal(), torch.tensor([1e-15, 1.0, 1e15], dtype=F64), rtol=1e-15)
    assert logdet(C).item() == pytest.approx(0.0, abs=1e-12)


# --- determinants


def exact_logdet(C):
    with mpmath.workdps(60):
        return mpmath.log(mpmath.det(mpmath.matrix(C.tolist())))


@given(st.integers(1, 6), st.integers(0, 10**6), st.sampled_from([0.0, 3.0, 6.0]), st.sampled_from(DTYPES))
def test_logdet_and_its_error(dim, seed, decades, dtype):
    Q = torch.linalg.qr(random(dim, dim, seed=seed))[0]
    C = (Q * torch.logspace(0, -decades if dtype == F64 else -decades / 3, dim, dtype=F64) @ Q.mT).to(dtype)
    C = (C + C.mT) / 2
    truth = exact_logdet(C)
    assert abs(float(logdet(C).item() - truth)) <= logdet_error(C).item()
    assert logdet_error(C) <= 1e6 * torch.finfo(dtype).eps * 10**decades


def test_logdet_of_a_rounded_matrix_stays_within_the_error():
    # the input rounding dominates: the same matrix in float32 and float64
    Q = torch.linalg.qr(random(5, 5, seed=1))[0]
    C = Q * torch.logspace(0, -3, 5, dtype=F64) @ Q.mT
    C = (C + C.mT) / 2
    assert (logdet(C.float()).double() - logdet(C)).abs() <= logdet_error(C.float())


def test_singular_determinants():
    C = torch.stack([of_rank(3, 3, 1), of_rank(3, 2, 2), torch.zeros(3, 3, dtype=F64)])
    value = logdet(C)
    assert torch.isneginf(value).tolist() == [False, True, True]
    pseudo = pseudo_logdet(C)
    assert pseudo.rank.tolist() == [3, 2, 0]
    B = random(3, 2, seed=2)
    assert torch.allclose(pseudo.value[1], torch.logdet(B.mT @ B), rtol=1e-12)
    assert pseudo.value[2] == 0
    assert torch.allclose(pseudo.value[0], value[0], rtol=1e-12)


# --- solving


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10**6))
@settings(max_examples=25)
def test_quadratic_forms_on_the_range(dim, rank, seed):
    rank = min(dim, rank)
    B = random(dim, rank, seed=seed)
    z = random(rank, seed=seed + 1)
    if torch.linalg.cond(B) > 100:
        return
    C = B @ B.mT
    inside = quadratic_form(C, B @ z)
    assert inside.in_range
    assert inside.value.item() == pytest.approx(z.square().sum().item(), rel=1e-9)
    solution = solve_psd(C, (B @ z).unsqueeze(-1))
    assert torch.allclose(C @ solution.value[:, 0], B @ z, atol=1e-9 * float(z.norm()))
    if rank < dim:
        outward = nullspace(C)[:, 0]
        assert nullspace(C).shape == (dim, dim - rank)
        assert not quadratic_form(C, B @ z + 1e-6 * outward).in_range
        assert (C @ nullspace(C)).abs().max() <= 1e-13 * C.abs().max()


def test_uncertainty_widens_the_range():
    C = torch.diag(torch.tensor([1.0, 0.0], dtype=F64))
    x = torch.tensor([1.0, 1e-17], dtype=F64)
    assert not quadratic_form(C, torch.tensor([1.0, 1e-3], dtype=F64)).in_range
    assert quadratic_form(C, x, uncertainty=torch.full((2,), 1e-16, dtype=F64)).in_range


def test_whiten_mixed_batch_and_columns():
    C = torch.stack([of_rank(3, 3, 1), of_rank(3, 1, 2)])
    X = C @ random(2, 3, 4, seed=5)
    white = whiten(C, X)
    assert white.value.shape == (2, 3, 4)
    assert white.in_range.all()
    assert torch.allclose(psd_factor(C) @ white.value, X, rtol=1e-10, atol=1e-12)


# --- gradients


def test_gradients_of_regular_matrices():
    B = random(2, 3, 3, seed=1)
    C = (B @ B.mT + 0.1 * torch.eye(3, dtype=F64)).requires_grad_()
    symmetric = lambda C: (C + C.mT) / 2  # noqa: E731
    torch.autograd.gradcheck(lambda C: psd_factor(symmetric(C)), C)
    torch.autograd.gradcheck(lambda C: logdet(symmetric(C)), C)
    torch.autograd.gradcheck(lambda C: psd_sqrt(symmetric(C)), C)
    torch.autograd.gradcheck(lambda C: pseudo_logdet(symmetric(C)).value, C)
    x = random(2, 3, seed=2).requires_grad_()
    torch.autograd.gradcheck(lambda C, x: quadratic_form(symmetric(C), x).value, (C, x))
    torch.autograd.gradcheck(lambda C, x: solve_psd(symmetric(C), x.unsqueeze(-1)).value, (C, x))


def test_root_has_a_gradient_at_degenerate_spectra():
    C = torch.eye(3, dtype=F64, requires_grad=True)
    values, vectors = torch.linalg.eigh(C)
    (trap,) = torch.autograd.grad((vectors * values.sqrt() @ vectors.mT)[0, 1], C)
    assert torch.isnan(trap).any()
    (cure,) = torch.autograd.grad(psd_sqrt(C)[0, 1], C)
    assert torch.allclose(cure + cure.mT, 0.5 * torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0.0]], dtype=F64))


@pytest.mark.parametrize("rank", [1, 2])
def test_gradients_of_singular_matrices_along_their_rank(rank):
    # C(t) = B(t) B(t)^T keeps the rank: derivatives through C must be those through B
    start, velocity, weight = random(4, rank, seed=1), random(4, rank, seed=2), random(4, 4, seed=3)

    def along(function, t):
        B = start + t * velocity
        return function(B @ B.mT)

    def slopes(function):
        t = torch.zeros((), dtype=F64, requires_grad=True)
        (analytic,) = torch.autograd.grad(along(function, t), t)
        with torch.no_grad():
            numeric = (along(function, t + 1e-5) - along(function, t - 1e-5)) / 2e-5
        return analytic, numeric

    def norm_after_turn(C):
        B = psd_factor(C)
        return (weight @ B @ B.mT @ weight.mT).square().sum().sqrt()

    x = start @ random(rank, seed=5)
    for function in (
        norm_after_turn,
        lambda C: (weight * psd_sqrt(C)).sum(),
        lambda C: pseudo_logdet(C).value,
        lambda C: quadratic_form(C + 0.0, C @ torch.ones(4, dtype=F64)).value,
        lambda C: quadratic_form(C, C.detach() @ x).value if rank == 4 else (weight * psd_sqrt(C)).sum(),
    ):
        analytic, numeric = slopes(function)
        assert analytic.item() == pytest.approx(numeric.item(), rel=1e-6, abs=1e-7)


def test_second_derivatives_of_singular_factors_raise():
    C = of_rank(3, 1, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(psd_factor(C).square().sum(), C, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_under_function_transforms():
    C = torch.stack([of_rank(3, 3, 1), of_rank(3, 2, 2), of_rank(3, 3, 3)])
    for function in (psd_factor, logdet, psd_sqrt, lambda C: pseudo_logdet(C).value):
        mapped, plain = torch.func.vmap(function)(C), function(C)
        assert torch.allclose(mapped, plain, rtol=1e-12, atol=1e-13)
    x = C @ torch.ones(3, dtype=F64)
    mapped = torch.func.vmap(lambda C, x: quadratic_form(C, x).value)(C, x)
    assert torch.allclose(mapped, quadratic_form(C, x).value, rtol=1e-9)
    gradient = torch.func.grad(lambda C: logdet(C).sum())(C[:1])
    assert torch.allclose(gradient[0], torch.linalg.inv(C[0]), rtol=1e-9)


def test_perturbation_is_small_for_regular_and_a_root_for_singular():
    regular, singular = torch.eye(4, dtype=F64), torch.ones(4, 4, dtype=F64)
    assert factor_perturbation(regular) < 1e-14
    assert 1e-9 < factor_perturbation(singular) < 1e-6
    assert factor_perturbation(1e6 * regular).item() == pytest.approx(1e3 * factor_perturbation(regular).item())


def test_a_planted_bug_is_caught():
    # without equilibration the small variance of a graded matrix counts as zero
    C = torch.diag(torch.tensor([1e-20, 1.0], dtype=F64))
    values = torch.linalg.eigvalsh(C)
    assert (values > 4 * 2 * torch.finfo(F64).eps * values[-1]).sum() == 1
    assert rank_of(C).rank == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_everything_stays_on_the_device():
    C = torch.stack([of_rank(4, 4, 1), of_rank(4, 2, 2)]).cuda()
    assert symmetrise_checked(C).device.type == "cuda"
    B = psd_factor(C)
    assert torch.allclose(B @ B.mT, C)
    assert rank_of(C).rank.tolist() == [4, 2]
    assert torch.isneginf(logdet(C)).tolist() == [False, True]
    assert torch.allclose(psd_sqrt(C) @ psd_sqrt(C), C)
    assert quadratic_form(C, C.sum(-1)).in_range.all()
    assert factor_perturbation(C).device.type == "cuda"
