"""Geodesics: constant speed, optimal maps, singular ends, derivatives."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import infotherm as it
from infotherm.transport import geodesic, polar_rotation


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


_entries = st.lists(st.floats(-3, 3), min_size=6, max_size=6)


def _law(entries, rank):
    return it.Gaussian.from_factor(_t(entries[:2]), _t(entries[2:]).reshape(2, 2)[:, :rank])


@settings(max_examples=30)
@given(_entries, _entries, st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 2)]), st.floats(0, 1), st.floats(0, 1))
def test_constant_speed_also_between_singular_laws(first, second, ranks, s, t):
    p, q = _law(first, ranks[0]), _law(second, ranks[1])
    path = geodesic(p, q)
    whole, part = it.wasserstein2(p, q), it.wasserstein2(path.at(s), path.at(t))
    assert abs(part.value - abs(t - s) * whole.value) <= part.error + whole.error + 1e-14 * (1 + whole.value)


def test_the_ends_are_the_laws():
    p = it.Gaussian([0.0, 1.0], [[1.0, 0.6], [0.6, 2.0]])
    q = it.Gaussian([1.0, -0.5], [[2.5, -0.9], [-0.9, 1.2]])
    path = geodesic(p, q)
    for law, end in ((p, path.at(0.0)), (q, path.at(1.0))):
        assert torch.allclose(law.mean, end.mean, rtol=0, atol=1e-15)
        assert torch.allclose(law.covariance, end.covariance, rtol=1e-14)
    assert path.at(torch.linspace(0, 1, 5, dtype=torch.float64)).batch_shape == (5,)


def test_the_map_is_the_gradient_of_a_convex_function_and_pushes_p_to_q():
    p = it.Gaussian([0.0, 1.0], [[1.0, 0.6], [0.6, 2.0]])
    q = it.Gaussian([1.0, -0.5], [[2.5, -0.9], [-0.9, 1.2]])
    path = geodesic(p, q)
    matrix = torch.eye(2, dtype=torch.float64) + path.gradient(0.0)
    assert torch.allclose(matrix, matrix.mT, rtol=1e-13)
    assert (torch.linalg.eigvalsh((matrix + matrix.mT) / 2) > 0).all()
    assert torch.allclose(matrix @ p.covariance @ matrix.mT, q.covariance, rtol=1e-13)
    assert torch.allclose(path.map(p.mean), q.mean, rtol=1e-14)
    # the known closed form T = C0^-1/2 (C0^1/2 C1 C0^1/2)^1/2 C0^-1/2
    values, vectors = torch.linalg.eigh(p.covariance)
    half = vectors * values.sqrt() @ vectors.mT
    middle, turn = torch.linalg.eigh(half @ q.covariance @ half)
    known = torch.linalg.solve(half, torch.linalg.solve(half, turn * middle.sqrt() @ turn.mT).mT)
    assert torch.allclose(matrix, known, rtol=1e-12)


def test_velocity_carries_points_along_straight_lines():
    p = it.Gaussian.from_factor([0.0, 0.0], [[1.0], [1.0]])  # a line spread into a plane
    q = it.Gaussian([3.0, 0.0], [[1.0, 0.2], [0.2, 0.5]])
    path = geodesic(q, p)
    x = q.sample((5,), generator=0)
    end = path.map(x)
    for t in (0.25, 0.5, 0.75):
        here = (1 - t) * x + t * end
        assert torch.allclose(path.velocity(here, t), end - x, rtol=1e-9, atol=1e-9)
    # d/dt of mean and covariance is what the velocity field says
    law, step = path.at(0.4), 1e-6
    ahead, behind = path.at(0.4 + step), path.at(0.4 - step)
    K = path.gradient(0.4)
    slope = (ahead.covariance - behind.covariance) / (2 * step)
    assert torch.allclose(K @ law.covariance + law.covariance @ K.mT, slope, atol=1e-8)
    assert torch.allclose(path.velocity(law.mean, 0.4), p.mean - q.mean, atol=1e-12)


def test_the_coupling_attains_the_distance():
    p = it.Gaussian.from_factor([0.0, 0.0, 0.0], [[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    q = it.Gaussian([1.0, 0.0, 0.0], [[1.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 1.0]])
    path = geodesic(p, q)
    cost = (path.end_factor - path.start_factor).square().sum() + (q.mean - p.mean).square().sum()
    assert cost.sqrt().item() == pytest.approx(it.wasserstein2(p, q).value.item(), rel=1e-14)


def test_wide_factors_are_brought_to_square_ones():
    wide = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p, q = it.Gaussian.from_factor(_t([0.0, 0.0]), wide), it.Gaussian(_t([0.0, 0.0]), torch.eye(2).double())
    path = geodesic(p, q)
    assert path.start_factor.shape == (2, 2)
    assert torch.allclose(path.at(0.0).covariance, wide @ wide.mT, rtol=1e-13)


def test_batches_and_float32():
    p = it.Gaussian(torch.zeros(3, 1), torch.tensor([1.0, 4.0, 9.0]).reshape(3, 1, 1))
    path = geodesic(p, it.Gaussian(torch.ones(1), torch.ones(1, 1)))
    middle = path.at(0.5)
    assert middle.mean.dtype == torch.float32
    assert middle.covariance.flatten().tolist() == pytest.approx([1.0, 2.25, 4.0], rel=1e-6)
    assert path.velocity(torch.zeros(3, 1), 0.0).flatten().tolist() == pytest.approx([1.0] * 3, rel=1e-6)


def test_gradients_stay_finite_where_an_svd_has_none():
    def spread(C):
        return geodesic(it.Gaussian(_t([0.0, 0.0]), C), it.Gaussian(_t([0.0, 0.0]), 2 * torch.eye(2).double())).at(0.5)

    C = torch.eye(2, dtype=torch.float64, requires_grad=True)
    spread(C).covariance.sum().backward()
    assert torch.isfinite(C.grad).all()
    # C_t = ((1-t) C^1/2 + t sqrt(2))^2 along commuting matrices: d/dc of ((sqrt(c) + sqrt(2))/2)^2 at 1
    assert C.grad.diagonal().sum().item() == pytest.approx((1 + math.sqrt(2)) / 2, rel=1e-12)

    def covariance(c):
        return spread(torch.stack([torch.stack([c[0], c[1]]), torch.stack([c[1], c[2]])])).covariance

    assert torch.autograd.gradcheck(covariance, (_t([1.0, 0.3, 2.0]).requires_grad_(),))


def test_the_polar_rotation_and_its_derivative():
    M = torch.randn(4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    U = polar_rotation(M)
    assert torch.allclose(U.mT @ U, torch.eye(3).double().expand(4, 3, 3), atol=1e-14)
    assert torch.autograd.gradcheck(polar_rotation, (M,))


def test_what_is_refused():
    p = it.Gaussian(0.0, 1.0)
    with pytest.raises(TypeError, match="got a Gaussian .* and a Rademacher"):
        geodesic(p, it.Rademacher())
    with pytest.raises(ValueError, match="same space"):
        geodesic(p, it.Gaussian([0.0, 0.0], torch.eye(2)))
    for t in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="t must"):
            geodesic(p, p).at(t)
