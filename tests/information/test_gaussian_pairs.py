"""Renyi divergence and total variation of Gaussians against 50 digits, at the ends of their domains, on lines."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.distributions import Gaussian
from infotherm.distributions.gaussian_forms import gaussian_kl
from infotherm.information.gaussian_pairs import (
    equal_covariances,
    gaussian_renyi,
    gaussian_supremum,
    gaussian_total_variation,
)

float64 = torch.float64


def tensor(x):
    return torch.tensor(x, dtype=float64)


def exact_renyi(p: Gaussian, q: Gaussian, order: float) -> float:
    from mpmath import mp, mpf

    with mp.workdps(60):
        matrix = lambda t: mp.matrix([[mpf(x) for x in row] for row in t.tolist()])  # noqa: E731
        cp, cq, a = matrix(p.covariance), matrix(q.covariance), mpf(order)
        d = matrix(p.mean[:, None]) - matrix(q.mean[:, None])
        mixed = (1 - a) * cp + a * cq
        logs = mp.log(mp.det(mixed) / (mp.det(cp) ** (1 - a) * mp.det(cq) ** a))
        return float(a / 2 * (d.T * mixed**-1 * d)[0] - logs / (2 * (a - 1)))


@st.composite
def pairs(draw):
    dim = draw(st.integers(1, 4))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    root = torch.randn(dim, dim, generator=g, dtype=float64)
    cov = root @ root.mT + 0.1 * torch.eye(dim, dtype=float64)
    size = draw(st.sampled_from([1.0, 1e-2, 1e-5, 1e-9]))
    change = torch.randn(dim, dim, generator=g, dtype=float64)
    other = cov + size * change @ change.mT
    mean = size * torch.randn(dim, generator=g, dtype=float64)
    return Gaussian(mean, cov), Gaussian(torch.zeros(dim, dtype=float64), other)


@given(pairs(), st.sampled_from([0.01, 0.3, 0.5, 0.9, 0.999, 1.001, 1.3, 4.0]))
@settings(max_examples=60)
def test_within_the_stated_error_of_fifty_digits(pair, order):
    value, error = gaussian_renyi(*pair, order)
    if torch.isfinite(value) and torch.isfinite(error):
        assert abs(value.item() - exact_renyi(*pair, order)) <= error.item()


def test_nearly_equal_laws_keep_their_relative_accuracy():
    p, q = Gaussian(0.0, 1.0), Gaussian(1e-8, 1.0 + 1e-8)
    for order in (0.3, 0.5, 2.0, 5.0):
        value, error = gaussian_renyi(p, q, order)
        assert abs(value.item() - exact_renyi(p, q, order)) <= error.item() < 1e-6 * value.item()


def test_order_one_is_the_limit():
    p, q = Gaussian([0.3, 0.0], [[1.0, 0.3], [0.3, 2.0]]), Gaussian([0.0, 0.0], [[2.0, 0.0], [0.0, 2.0]])
    limit = gaussian_kl(p, q)[0].item()
    for step in (1e-6, -1e-6):
        assert gaussian_renyi(p, q, 1 + step)[0].item() == pytest.approx(limit, rel=1e-5)


def test_it_exists_only_where_the_mixed_covariance_is_positive():
    assert gaussian_renyi(Gaussian(0.0, 2.5), Gaussian(0.0, 1.0), 2.0)[0] == math.inf
    assert torch.isfinite(gaussian_renyi(Gaussian(0.0, 1.5), Gaussian(0.0, 1.0), 2.0)[0])
    assert torch.isfinite(gaussian_renyi(Gaussian(0.0, 1.0), Gaussian(0.0, 1e6), 50.0)[0])
    value, error = gaussian_renyi(Gaussian(0.0, 2.0), Gaussian(0.0, 1.0), 2.0)
    assert torch.isinf(value) or torch.isinf(error)  # on the edge rounding leaves it open
    mixed = gaussian_renyi(
        Gaussian(torch.zeros(2, 1, dtype=float64), tensor([[[1.5]], [[2.5]]])), Gaussian(0.0, 1.0), 2.0
    )
    assert torch.isfinite(mixed[0]).tolist() == [True, False]


def test_the_supremum_is_the_limit_of_large_orders():
    p, q = Gaussian(0.0, 1.0), Gaussian(1.0, 2.0)
    value, error = gaussian_supremum(p, q)
    assert value.item() == pytest.approx(0.5 * math.log(2) + 0.5, rel=1e-14) and error < 1e-12
    assert gaussian_renyi(p, q, 1e6)[0].item() == pytest.approx(value.item(), rel=1e-4)
    assert gaussian_supremum(p, p)[0] == 0
    assert gaussian_supremum(q, p)[0] == math.inf


def test_laws_on_lines_are_compared_there():
    ones = torch.ones(2, 2, dtype=float64)
    line, shifted = Gaussian([0.0, 0.0], ones), Gaussian([1.0, 1.0], 2 * ones)
    plane = Gaussian([0.0, 0.0], torch.eye(2, dtype=float64))
    # along the line the coordinate has variances 2 and 4 and means 0 and 2^(1/2)
    one = gaussian_renyi(Gaussian(0.0, 2.0), Gaussian(math.sqrt(2), 4.0), 0.5)[0]
    value, error = gaussian_renyi(line, shifted, 0.5)
    assert abs(value - one) <= error
    assert gaussian_renyi(line, plane, 0.5)[0] == math.inf
    assert gaussian_total_variation(line, plane)[0] == 1.0
    assert gaussian_total_variation(line, line)[0] == 0.0
    point = Gaussian(1.0, 0.0)
    assert gaussian_renyi(point, point, 2.0)[0] == 0.0
    assert gaussian_total_variation(point, Gaussian(2.0, 0.0))[0] == 1.0


def exact_variation(m1: float, s1: float, m2: float, s2: float) -> float:
    from mpmath import mp, mpf

    with mp.workdps(60):
        m1, s1, m2, s2 = (mpf(x) for x in (m1, s1, m2, s2))
        if s1 == s2:
            return float(mp.erf(abs(m1 - m2) / (s1 * mp.sqrt(8))))
        a, b = 1 / s2**2 - 1 / s1**2, -2 * (m2 / s2**2 - m1 / s1**2)
        c = m2**2 / s2**2 - m1**2 / s1**2 + 2 * mp.log(s2 / s1)
        d = mp.sqrt(b * b - 4 * a * c)
        low, high = sorted([(-b - d) / (2 * a), (-b + d) / (2 * a)])
        mass = lambda m, s: mp.ncdf((high - m) / s) - mp.ncdf((low - m) / s)  # noqa: E731
        return float(abs(mass(m1, s1) - mass(m2, s2)))


@pytest.mark.parametrize(
    "parameters",
    [
        (0.0, 1.0, 1.0, 2.0),
        (0.0, 1.0, 0.0, 1.0 + 1e-6),
        (0.0, 1.0, 1e-3, 1.0 + 1e-9),
        (5.0, 0.1, 0.0, 3.0),
        (0.0, 1.0, 30.0, 1.5),
        (0.0, 3.0, 1.0, 3.0),
        (0.0, 2.0, 1e-7, 1.9999),
        (0.0, 1e-12, 1e-12, 2e-12),
        (0.0, 1e12, 1e12, 2e12),
        (-2.0, 1.0, 1.0, 1e-6),
    ],
)
def test_total_variation_of_scalar_gaussians(parameters):
    m1, s1, m2, s2 = parameters
    laws = Gaussian.from_factor(m1, s1), Gaussian.from_factor(m2, s2)
    value, error = gaussian_total_variation(*laws)
    assert abs(value.item() - exact_variation(*parameters)) <= error.item() < 1e-9
    assert gaussian_total_variation(*reversed(laws))[0].item() == pytest.approx(value.item(), abs=1e-15)


def test_total_variation_of_equal_covariances():
    cov = tensor([[2.0, 0.5], [0.5, 1.0]])
    p, q = Gaussian([0.0, 0.0], cov), Gaussian([1.0, -1.0], cov)
    distance = torch.sqrt(tensor([1.0, -1.0]) @ torch.linalg.inv(cov) @ tensor([1.0, -1.0]))
    value, error = gaussian_total_variation(p, q)
    assert abs(value - torch.erf(distance / math.sqrt(8))) <= error
    assert bool(equal_covariances(p, q))
    with pytest.raises(ValueError, match="no closed form"):
        gaussian_total_variation(p, Gaussian([0.0, 0.0], 2 * cov))


def test_gradients_are_finite_also_at_equality():
    mean, variance = tensor(0.0).requires_grad_(), tensor(1.0).requires_grad_()
    q = Gaussian(0.0, 1.0)
    for form in (
        gaussian_total_variation,
        lambda p, q: gaussian_renyi(p, q, 0.5),
        lambda p, q: gaussian_renyi(p, q, 2.0),
    ):
        slopes = torch.autograd.grad(form(Gaussian(mean, variance), q)[0], (mean, variance), allow_unused=True)
        assert all(s is None or torch.isfinite(s) for s in slopes)


def test_gradients_against_differences():
    q = Gaussian(0.0, 1.0)
    for form in (
        gaussian_total_variation,
        lambda p, q: gaussian_renyi(p, q, 0.3),
        lambda p, q: gaussian_renyi(p, q, 1.2),
    ):
        mean, variance = tensor(0.4).requires_grad_(), tensor(1.3).requires_grad_()
        slopes = torch.autograd.grad(form(Gaussian(mean, variance), q)[0], (mean, variance))
        h = 1e-5
        numeric = [
            (form(Gaussian(0.4 + a, 1.3 + b), q)[0] - form(Gaussian(0.4 - a, 1.3 - b), q)[0]).item() / (2 * h)
            for a, b in ((h, 0.0), (0.0, h))
        ]
        assert [s.item() for s in slopes] == pytest.approx(numeric, rel=1e-8)
