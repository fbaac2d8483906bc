"""The scalar functions behind the closed forms, against sixty digits, and the honesty of their errors."""

import mpmath as mp
import pytest
import torch

import infotherm as it
from infotherm.transport.gaussian_entropic import (
    _bregman,
    _excess,
    correlations,
    entropic_gaussians,
    sinkhorn_divergence_gaussians,
)


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


def _g(s, h):
    root = mp.sqrt(4 * s * s + h * h)
    return root - h - h * mp.log((root + h) / (2 * h))


@pytest.mark.parametrize("h", [1e-12, 1e-3, 1.0, 1e9])
@pytest.mark.parametrize("s", [0.0, 1e-9, 1.0, 1e6])
def test_excess_and_correlation(s, h):
    with mp.workdps(80):
        exact = 2 * mp.mpf(s) - _g(mp.mpf(s), mp.mpf(h))
        rho = 2 * mp.mpf(s) / (mp.sqrt(4 * mp.mpf(s) ** 2 + mp.mpf(h) ** 2) + mp.mpf(h))
    assert _excess(_t(s), _t(h)).item() == pytest.approx(float(exact), rel=1e-14, abs=1e-300)
    assert correlations(_t(s), _t(h)).item() == pytest.approx(float(rho), rel=1e-14, abs=0)


@pytest.mark.parametrize("h", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(
    ("x", "y"), [(1.0, 1.0 + 2.0**-40), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (3.0, 2.9), (1e-9, 2.0)]
)
def test_bregman_divergence(x, y, h):
    with mp.workdps(80):
        X, Y, H = mp.mpf(x), mp.mpf(y), mp.mpf(h)
        slope = 4 * Y / (mp.sqrt(4 * Y * Y + H * H) + H)
        exact = _g(X, H) - _g(Y, H) - slope * (X - Y)
    assert _bregman(_t(x), _t(y), _t(h)).item() == pytest.approx(float(exact), rel=1e-12, abs=1e-300)


def _exact(p, q, epsilon, divergence):
    """From the entries as they are, in sixty digits."""

    def cost(A, B):
        root = mp.sqrt(mp.mpf(1))
        values, vectors = mp.eigsy(A)
        root = vectors * mp.diag([mp.sqrt(abs(v)) for v in values]) * vectors.T
        inner = mp.eigsy(root * B * root, eigvals_only=True)
        return sum(A[i, i] + B[i, i] for i in range(A.rows)) - sum(
            _g(mp.sqrt(abs(v)), mp.mpf(epsilon) / 2) for v in inner
        )

    with mp.workdps(60):
        A, B = (mp.matrix(law.factor.tolist()) * mp.matrix(law.factor.tolist()).T for law in (p, q))
        shift = sum((mp.mpf(a) - mp.mpf(b)) ** 2 for a, b in zip(p.mean.tolist(), q.mean.tolist(), strict=True))
        value = shift + cost(A, B)
        return value - (cost(A, A) + cost(B, B)) / 2 if divergence else value


@pytest.mark.parametrize("distance", [1.0, 1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("epsilon", [1e-8, 1e-2, 1.0, 1e4])
@pytest.mark.parametrize("smallest", [1.0, 1e-5])
def test_errors_hold_and_are_not_idle(distance, epsilon, smallest):
    generator = torch.Generator().manual_seed(int(-torch.tensor(distance).log10()) + 7)
    factor = torch.randn(3, 3, dtype=torch.float64, generator=generator)
    factor[:, 2] *= smallest
    other = factor + distance * torch.randn(3, 3, dtype=torch.float64, generator=generator)
    mean = torch.zeros(3, dtype=torch.float64)
    p, q = it.Gaussian.from_factor(mean, factor), it.Gaussian.from_factor(mean, other)
    for function, divergence in ((entropic_gaussians, False), (sinkhorn_divergence_gaussians, True)):
        found = function(p, q, _t(epsilon))
        exact = _exact(p, q, epsilon, divergence)
        off = float(abs(mp.mpf(found.value.item()) - exact))
        assert off <= found.error.item()
        if not divergence:
            assert found.error.item() <= 1e-12
        elif smallest == 1.0:
            assert found.error.item() <= 1e-10 * distance + 1e-26
