"""Bounds on W2 between densities that are constant on cells: each against routes of its own."""

import math

import pytest
import torch

import infotherm as it
from infotherm.transport.grid_bounds import coupling_square, lower_square, monotone_square, path_square
from infotherm.transport.proximal_splitting import onto_paraboloid
from infotherm.transport.staggered_grid import StaggeredGrid, from_centres, to_centres


def _random(*shape, seed):
    x = torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x / x.sum()


def _midpoints(masses, count=20000):
    """Quantiles of a law constant on cells of width one, at levels in the middle of `count` slices."""
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    below = torch.cat([masses.new_zeros(1), masses.cumsum(0)])
    cell = torch.searchsorted(below[1:], levels).clamp(max=len(masses) - 1)
    return cell + (levels - below[cell]) / masses[cell]


@pytest.mark.parametrize("seed", range(5))
def test_monotone_coupling_against_sums_over_quantiles(seed):
    p, q = _random(9, seed=seed), _random(9, seed=seed + 50)
    known = (_midpoints(p) - _midpoints(q)).square().mean()
    assert float(monotone_square(p, q, 1.0)) == pytest.approx(float(known), rel=1e-3)
    p[3] = p[7] = q[0] = 0.0
    p, q = p / p.sum(), q / q.sum()
    assert float(monotone_square(p, q, 2.0)) == pytest.approx(
        4 * float((_midpoints(p) - _midpoints(q)).square().mean()), rel=2e-3
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("at_start", [True, False])
def test_no_potential_exceeds_the_distance(seed, at_start):
    p, q = _random(12, seed=seed), _random(12, seed=seed + 90)
    most = float(monotone_square(p, q, 0.5))
    noise = torch.randn(12, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for size in (0.0, 0.01, 0.1, 1.0):
        assert float(lower_square(size * noise, p, q, [0.5], at_start=at_start)) <= most + 1e-12


def test_the_potential_of_a_shift_attains_it():
    p = torch.zeros(64, dtype=torch.float64)
    p[5:20] = 1 / 15
    place = torch.arange(64, dtype=torch.float64) / 64
    for at_start in (True, False):
        found = float(lower_square(0.5 * place, p, p.roll(32), [1 / 64], at_start=at_start))
        assert 0.25 - 1e-4 < found <= 0.25 + 1e-14


def test_a_coupling_in_the_plane_is_never_below_the_potential():
    p, q = _random(7, 9, seed=1), _random(7, 9, seed=2)
    q[2, 3] = p[0, 0] = 0.0
    p, q = p / p.sum(), q / q.sum()
    upper = coupling_square(torch.zeros_like(p), p, q, [1.0, 0.5])
    ot = pytest.importorskip("ot")
    places = torch.cartesian_prod(torch.arange(7.0), torch.arange(9.0) / 2).double().numpy()
    plan = ot.emd2(p.flatten().numpy(), q.flatten().numpy(), ot.dist(places))
    assert plan - 1e-12 <= float(upper) < 1.5 * plan
    assert float(lower_square(torch.zeros_like(p), p, q, [1.0, 0.5], at_start=True)) <= plan


@pytest.mark.parametrize("scalings", [1, 2, 5])
def test_an_unfinished_coupling_pays_for_what_it_misses(scalings, monkeypatch):
    monkeypatch.setattr("infotherm.transport.grid_bounds._SCALINGS", scalings)
    x = torch.arange(10, dtype=torch.float64)
    p = torch.exp(-0.5 * (x[:, None] - 2) ** 2 - 0.5 * (x - 3) ** 2)
    q = torch.exp(-0.5 * (x[:, None] - 7) ** 2 - 0.2 * (x - 6) ** 2)
    p, q = p / p.sum(), q / q.sum()
    ot = pytest.importorskip("ot")
    plan = ot.emd2(p.flatten().numpy(), q.flatten().numpy(), ot.dist(torch.cartesian_prod(x, x).numpy()))
    assert float(coupling_square(torch.zeros_like(p), p, q, [1.0, 1.0])) >= plan - 1e-9


def test_the_action_of_a_flow_by_quadrature():
    """One cell in time and two in space, where density and momentum are known functions."""
    grid = StaggeredGrid((1, 2), (1.0, 1.0))
    density = torch.tensor([[0.7, 0.3], [0.4, 0.6]], dtype=torch.float64)
    momentum = torch.tensor([[0.0, 0.3, 0.0]], dtype=torch.float64)
    assert grid.divergence([density, momentum]).abs().max() < 1e-15
    t = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    inverse = sum(float((1 / torch.lerp(a, b, t)).mean()) for a, b in zip(*density, strict=True))
    assert float(path_square(grid, [density, momentum])) == pytest.approx(0.09 / 3 * inverse, rel=1e-7)
    assert float(path_square(grid, [density - 0.4, momentum])) == math.inf


def test_faces_are_projected_onto_flows():
    grid = StaggeredGrid((4, 5, 3), (0.25, 0.5, 2.0))
    g = torch.Generator().manual_seed(0)
    faces = [
        torch.randn(5, 5, 3, dtype=torch.float64, generator=g),
        torch.randn(4, 6, 3, dtype=torch.float64, generator=g),
        torch.randn(4, 5, 4, dtype=torch.float64, generator=g),
    ]
    for axis, u in enumerate(faces):
        u.select(axis, 0).zero_(), u.select(axis, u.shape[axis] - 1).zero_()
    found = grid.conserving(faces)
    assert grid.divergence(found).abs().max() < 1e-13
    again = grid.conserving(found)
    assert all(torch.allclose(a, b, atol=1e-14) for a, b in zip(found, again, strict=True))
    centres = [torch.randn(4, 5, 3, dtype=torch.float64, generator=g) for _ in faces]
    left = sum(float((a * b).sum()) for a, b in zip(to_centres(faces), centres, strict=True))
    right = sum(float((a * b).sum()) for a, b in zip(faces, from_centres(centres), strict=True))
    assert left == pytest.approx(right, rel=1e-12)


def test_projection_onto_the_paraboloid_is_optimal():
    g = torch.Generator().manual_seed(3)
    for scale in (1e-3, 1.0, 1e3):
        point = [scale * torch.randn(500, dtype=torch.float64, generator=g) for _ in range(3)]
        a, *b = onto_paraboloid(point)
        value = a + sum(x.square() for x in b) / 2
        assert float(value.max()) <= 1e-9 * scale**2 + 1e-12
        outside = point[0] + sum(x.square() for x in point[1:]) / 2 > 0
        step = (point[0] - a)[outside]
        # the displacement is along the normal (1, b) of the surface, outwards
        for x, given in zip(b, point[1:], strict=True):
            assert torch.allclose((given - x)[outside], step * x[outside], rtol=1e-6, atol=1e-9 * scale)
        assert (step >= 0).all()
        assert all(torch.equal(u[~outside], v[~outside]) for u, v in zip(point, [a, *b], strict=True))


def test_cells_of_a_law_are_as_close_as_is_claimed():
    from infotherm.transport.grid_laws import masses_of_law

    axis = torch.linspace(-6, 6, 25, dtype=torch.float64)
    masses, apart, cut_off = masses_of_law(it.Gaussian(0.3, 0.5), "p", [axis])
    fine = -6.25 + (torch.arange(25 * 40, dtype=torch.float64) + 0.5) * 0.5 / 40
    close, closer, _ = masses_of_law(it.Gaussian(0.3, 0.5), "p", [fine])
    true = float(monotone_square(masses.repeat_interleave(40) / 40, close, 0.5 / 40).sqrt())
    assert true <= apart + closer < 4 * true
    assert cut_off < 1e-12
