"""Sliced distances: closed forms, random directions against the quadrature over angles, laws.

Random tests have fixed seeds; each compares at 4.5 standard errors, a false alarm in 1.5e5 for a fresh seed.
"""

import math

import numpy as np
import pytest
import torch

import infotherm as it
from infotherm.transport.orders import wasserstein
from infotherm.transport.sliced import sliced_wasserstein

_FAR = 4.5


def _round(dim, shift, spread):
    return it.Gaussian(np.full(dim, float(shift)), spread**2 * np.eye(dim))


@pytest.mark.parametrize("dim", [2, 3, 8])
def test_isotropic_gaussians(dim):
    p, q = _round(dim, 0, 1.0), _round(dim, 0.7, 3.0)
    truth = math.sqrt(0.49 + 4.0)  # |shift|^2 / D + (difference of deviations)^2
    found = sliced_wasserstein(p, q, generator=0, n_directions=400)
    assert (found.kind, found.method, found.units) == ("estimate", "monte-carlo", "1")
    assert 0 < found.stderr < 0.05
    assert abs(found.value.item() - truth) <= _FAR * found.stderr.item() + found.error.item()
    only_spread = sliced_wasserstein(p, _round(dim, 0, 3.0), generator=0, n_directions=10)
    assert abs(only_spread.value.item() - 2.0) <= only_spread.error.item() < 1e-12


@pytest.mark.parametrize("order", [1.0, 2.0])
def test_directions_and_angles_agree(order):
    p = it.Gaussian([1.0, 0.0], [[2.0, 0.5], [0.5, 0.3]])
    q = it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 3.0]])
    found = sliced_wasserstein(p, q, order, generator=1, n_directions=2000)
    exact = sliced_wasserstein(p, q, order, method="quadrature")
    assert (exact.kind, exact.method) == ("exact", "quadrature") and exact.error < 1e-7
    assert abs(found.value - exact.value) <= _FAR * found.stderr + found.error + exact.error
    # equally spaced angles
    angles = (torch.arange(4000, dtype=torch.float64) + 0.5) * math.pi / 4000
    u = torch.stack([angles.cos(), angles.sin()], -1)
    spreads = [torch.einsum("ai,ij,aj->a", u, law.covariance, u)[:, None, None] for law in (p, q)]
    along = [it.Gaussian((u @ law.mean)[:, None], s) for law, s in zip((p, q), spreads, strict=True)]
    mean = wasserstein(*along, order=order).value.pow(order).mean() ** (1 / order)
    assert exact.value.item() == pytest.approx(mean.item(), rel=1e-6)


def test_samples():
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(5, 2, generator=generator).double(), torch.randn(4, 2, generator=generator).double() + 1
    weights = torch.rand(4, generator=generator).double()
    for p, q in ((it.Empirical(x), it.Empirical(y, weights)), (it.Empirical(x[:4]), it.Empirical(y))):
        for order in (1.0, 2.0):
            found = sliced_wasserstein(p, q, order, generator=3, n_directions=500)
            exact = sliced_wasserstein(p, q, order, method="quadrature", tolerance=1e-3)
            assert exact.converged
            assert abs(found.value - exact.value) <= _FAR * found.stderr + found.error + exact.error
    # a shift: |t|^2 / D
    moved = sliced_wasserstein(it.Empirical(x), it.Empirical(x + 1), method="quadrature")
    assert abs(moved.value.item() - 1.0) <= moved.error.item() < 1e-6


def test_samples_approach_the_law():
    p, q = _round(3, 0, 1.0), _round(3, 0.5, 2.0)
    x, y = (law.sample((3000,), generator=torch.Generator().manual_seed(k)) for k, law in enumerate((p, q)))
    found = sliced_wasserstein(it.Empirical(x), it.Empirical(y), generator=0)
    truth = math.sqrt(1.25)
    assert abs(found.value.item() - truth) <= _FAR * found.stderr.item() + 0.05  # the samples' own scatter


def test_laws():
    generator = torch.Generator().manual_seed(5)
    p, q, r = (it.Empirical(torch.randn(20, 3, generator=generator).double()) for _ in range(3))
    pq, qp, qr, pr = (sliced_wasserstein(a, b, generator=7) for a, b in ((p, q), (q, p), (q, r), (p, r)))
    # on shared directions the average is a distance itself
    assert abs(pq.value - qp.value) <= pq.error + qp.error
    assert pr.value - pr.error <= pq.value + pq.error + qr.value + qr.error
    same = sliced_wasserstein(p, it.Empirical(p.samples.flip(0)), generator=7)
    assert same.value.item() == 0.0 and same.error.item() < 1e-12
    scaled = sliced_wasserstein(*(it.Empirical(100 * v.samples) for v in (p, q)), generator=7)
    assert scaled.value.item() == pytest.approx(100 * pq.value.item(), rel=1e-12)
    first = sliced_wasserstein(p, q, 1.0, generator=7)
    assert first.value - first.error <= pq.value + pq.error
    assert pq.streams == first.streams
    full = it.wasserstein2(_round(2, 0, 1.0), _round(2, 1, 1.0)).value
    assert sliced_wasserstein(_round(2, 0, 1.0), _round(2, 1, 1.0), method="quadrature").value < full


def test_gradients():
    mean = torch.tensor([1.0, -0.5], dtype=torch.float64)
    q = _round(2, 0, 1.0)

    def value(mean):
        return sliced_wasserstein(it.Gaussian(mean, torch.eye(2, dtype=torch.float64)), q, method="quadrature").value

    assert torch.autograd.gradcheck(value, mean.requires_grad_(), atol=1e-6)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    other = it.Empirical(x.flip(-1))

    def sampled(x):
        return sliced_wasserstein(it.Empirical(x), other, generator=0, n_directions=5).value

    assert torch.autograd.gradcheck(sampled, x.clone().requires_grad_(), eps=1e-7, atol=1e-5)


def test_refusals():
    p, e = _round(3, 0, 1.0), it.Empirical([[0.0, 1.0, 2.0]])
    with pytest.raises(ValueError, match="two Gaussians or two Empirical laws"):
        sliced_wasserstein(p, e)
    with pytest.raises(ValueError, match="over the angle of a plane; got D = 3"):
        sliced_wasserstein(p, p, method="quadrature")
    with pytest.raises(ValueError, match="method must be"):
        sliced_wasserstein(p, p, method="closed-form")
    with pytest.raises(ValueError, match="n_directions must be an integer of at least 2"):
        sliced_wasserstein(p, p, n_directions=1)
    with pytest.raises(ValueError, match="same space"):
        sliced_wasserstein(p, _round(2, 0, 1.0))
    with pytest.raises(ValueError, match="without batch"):
        sliced_wasserstein(it.Gaussian(np.zeros((2, 3)), np.eye(3)), p)
