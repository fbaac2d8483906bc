"""Potentials fitted to samples: duality holds point by point, fits find the optimal map."""

import math

import numpy as np
import pytest
import torch

import infotherm as it
from infotherm.transport import brenier_potentials as bp


def normal(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def potentials(x, y):
    linear = bp.fit_quadratic(x, y)
    yield linear
    for axes in ("principal", "coordinates"):
        for knots in (2, 8, 24):
            yield bp.fit_separable(x, y, linear, knots=knots, axes=axes)
    for knots in (2, 8, 24):
        yield bp.fit_radial(x, y, linear, knots=knots)


SAMPLES = {
    "gaussian": lambda: (normal(0, 200, 2), normal(1, 300, 2) @ torch.tensor([[2.0, 0.3], [0.0, 0.2]]).double() + 5),
    "atoms": lambda: (normal(2, 200, 2).sign(), (3 * normal(3, 300, 2)).round()),
    "heavy": lambda: (normal(4, 200, 2) ** 3, normal(5, 300, 2).exp()),
    "point": lambda: (torch.ones(200, 2).double(), normal(6, 300, 2)),
    "both points": lambda: (torch.ones(200, 2).double(), torch.zeros(300, 2).double()),
    "few": lambda: (normal(7, 96, 2), normal(8, 97, 2)),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_gains_stay_below_the_cost_at_every_pair_of_points(name):
    # |x|^2 - 2 f(x) + |y|^2 - 2 f*(y) <= |x - y|^2: all that the bound rests on, anywhere, also far from the samples
    x, y = SAMPLES[name]()
    for far in (1.0, 10.0):
        there, here = far * normal(9, 150, 2), far * normal(10, 150, 2) + y.mean(0)
        there, here = torch.cat([there, x[:100]]), torch.cat([here, y[:100]])
        for potential in potentials(x, y):
            first, second = potential.gains(there, here)
            cost = torch.cdist(there, here, compute_mode="donot_use_mm_for_euclid_dist").square()
            size = first.abs().max() + second.abs().max()
            assert bool((first[:, None] + second <= cost + 1e-13 * size).all()), potential.name


def test_a_wrong_conjugate_would_be_seen():
    x, y = SAMPLES["gaussian"]()
    linear = bp.fit_quadratic(x, y)
    wrong = bp.Quadratic(linear.start, linear.end, linear.basis, 1.01 * linear.slopes)
    first, second = linear.gains(x, y)[0], wrong.gains(x, y)[1]
    cost = torch.cdist(x, y).square()
    assert not bool((first[:, None] + second <= cost + 1e-9).all())


def test_quadratic_reaches_the_distance_of_gaussians_with_these_moments():
    x, y = normal(0, 5000, 3), normal(1, 4000, 3) @ normal(2, 3, 3) + 1
    f = bp.fit_quadratic(x, y)
    gains = sum(g.mean() for g in f.gains(x, y))
    # no potential does better on these samples than the best quadratic one, and shrinkage takes little
    best = it.transport.gelbrich(it.Empirical(x), it.Empirical(y)).value.item() ** 2
    assert 0.995 * best < gains.item() <= best * (1 + 1e-9)


def test_quadratic_in_batches_is_that_of_each():
    x, y = normal(0, 4, 60, 3), 2 * normal(1, 4, 50, 3)
    whole = torch.cat(bp.fit_quadratic(x, y).gains(x, y), -1)
    each = torch.stack([torch.cat(bp.fit_quadratic(a, b).gains(a, b)) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(whole, each, rtol=1e-9, atol=1e-9)


def test_separable_finds_maps_of_coordinates():
    x = normal(0, 4000, 2)
    y = x.sign() * x.abs().sqrt()
    f = bp.fit_separable(x, y, bp.fit_quadratic(x, y), knots=24, axes="coordinates")
    gains = sum(g.mean() for g in f.gains(x, y))
    assert gains.item() == pytest.approx((x - y).square().sum(-1).mean().item(), rel=0.03)


def test_radial_finds_maps_of_radii():
    x = normal(0, 4000, 4)
    r = x.norm(dim=-1, keepdim=True)
    y = x / r * (r + 3)
    f = bp.fit_radial(x, y, bp.fit_quadratic(x, y), knots=24)
    gains = sum(g.mean() for g in f.gains(x, y))
    assert gains.item() == pytest.approx(9.0, rel=0.02)


def test_shrinkage_against_loops():
    x = normal(0, 12, 4) * torch.tensor([1.0, 2.0, 3.0, 4.0]).double()
    centred = (x - x.mean(0)).numpy()
    S = centred.T @ centred / 12
    m = np.trace(S) / 4
    d = ((S - m * np.eye(4)) ** 2).sum() / 4
    b = sum(((np.outer(row, row) - S) ** 2).sum() / 4 for row in centred) / 12**2
    b = min(b, d)
    np.testing.assert_allclose(bp.shrunk_covariance(x).numpy(), b / d * m * np.eye(4) + (1 - b / d) * S, rtol=1e-12)


def test_radii_of_the_right_map_agree_in_law():
    x = normal(0, 20000, 2)
    y = normal(1, 20000, 2) @ torch.tensor([[3.0, 1.0], [0.0, 0.5]]).double()
    r, s = bp.radii(x, y, bp.fit_quadratic(x, y))
    # |H^1/2 x| and |H^-1/2 T x| are equal point by point for y = T x
    assert r.square().mean().item() == pytest.approx(s.square().mean().item(), rel=0.05)
    assert math.isfinite(float(r.max()))
