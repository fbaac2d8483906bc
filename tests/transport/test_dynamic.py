"""Benamou-Brenier on grids: certified distances against closed forms, geodesics, laws of the flow, edges."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

import infotherm as it
from infotherm.transport import geodesic
from infotherm.transport.dynamic import benamou_brenier

CASES = json.loads((Path(__file__).parents[2] / "validation/references/transport_dynamic.json").read_text())


def _line(n, low=0.0, high=1.0):
    return low + (torch.arange(n, dtype=torch.float64) + 0.5) * (high - low) / n


def _bump(x, mean, deviation):
    return torch.exp(-0.5 * ((x - mean) / deviation) ** 2) / deviation


def _masses(x):
    return x / x.sum()


@pytest.fixture(scope="module")
def shifted():
    p, q = it.Gaussian(-1.0, 0.25), it.Gaussian(1.5, 0.64)
    return p, q, benamou_brenier(p, q, _line(128, -4.0, 6.0), n_times=32)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_references_lie_within_the_error(case):
    spec = case["spec"]
    grid = [torch.tensor(axis, dtype=torch.float64) for axis in spec["grid"]]
    flow = benamou_brenier(
        spec["density0"], spec["density1"], grid[0] if len(grid) == 1 else tuple(grid), n_times=spec["n_times"]
    )
    assert flow.converged
    assert flow.distance.kind == "exact"
    off = abs(float(flow.distance) - case["value"])
    assert off <= float(flow.distance.error) + case["tolerance"]
    assert float(flow.distance.error) < spec["largest_error"] * case["value"]
    assert flow.lower <= case["value"] + case["tolerance"] and flow.upper >= case["value"] - case["tolerance"]
    assert abs(float(flow.cost) - case["value"] ** 2) <= float(flow.cost.error)


def test_gaussians_against_the_closed_form(shifted):
    p, q, flow = shifted
    known = float(it.wasserstein2(p, q))
    assert abs(float(flow.distance) - known) <= float(flow.distance.error) < 3e-3 * known
    assert abs(float(flow.distance) - known) < 1e-3 * known
    assert abs(float(flow.cost) - known**2) < 5e-3 * known**2


def test_densities_follow_the_geodesic_of_gaussians(shifted):
    p, q, flow = shifted
    path = geodesic(p, q)
    x = flow.axes[0]
    for t in (0.25, 0.5, 0.75):
        known = path.at(t).log_prob(x[:, None]).exp()
        assert float((flow.density(t) - known).abs().sum()) * (10 / 128) < 0.02
    t = flow.times[16]
    near = (x - path.at(t).mean.item()).abs() < 1.2
    assert torch.allclose(flow.velocity[16, 0][near], path.velocity(x[near, None], t)[:, 0], atol=0.05)


def test_energy_is_constant_in_time_and_mass_is_one(shifted):
    flow = shifted[2]
    assert float(flow.kinetic_energy.max() / flow.kinetic_energy.min()) < 1.01
    assert torch.allclose(flow.densities.sum(1) * 10 / 128, torch.ones(32, dtype=torch.float64), atol=1e-12)
    assert (flow.densities >= 0).all()
    assert torch.allclose(flow.kinetic_energy.mean(), flow.cost.value)
    assert flow.gap == pytest.approx(flow.upper**2 - flow.lower**2)


def test_momentum_carries_the_density(shifted):
    """The flux through a point is minus the rate of the mass to its left."""
    flow = shifted[2]
    rate = (flow.densities[17:19] - flow.densities[14:16]).mean(0).cumsum(0) * (10 / 128) * 32 / 3
    middle = flow.momentum[15:18, 0].mean(0)
    faces = (middle[1:] + middle[:-1]) / 2
    assert torch.allclose(faces, -rate[:-1], atol=0.02 * float(middle.abs().max()))


def test_velocity_is_the_gradient_of_the_potential(shifted):
    flow = shifted[2]
    slope = torch.gradient(flow.potential[16], spacing=10 / 128)[0]
    near = flow.densities[16] > 0.01 * flow.densities[16].max()
    assert torch.allclose(slope[near], flow.velocity[16, 0][near], atol=0.05)


def test_mass_that_splits_over_a_vacuum():
    x = _line(128)
    p = ((x > 0.4) & (x < 0.6)).double()
    q = ((x > 0.1) & (x < 0.2)).double() + ((x > 0.8) & (x < 0.9)).double()
    flow = benamou_brenier(p, q, x, n_times=32)
    assert float(flow.distance) == pytest.approx(0.3, abs=0.02)
    assert float(flow.distance.error) < 1e-3
    empty = (x > 0.47) & (x < 0.53)
    assert (flow.densities[-1][empty] < 0.01 * flow.densities.max()).all()
    assert not flow.velocity[:, 0][flow.densities == 0].any()


def test_two_cells_and_equal_laws():
    flow = benamou_brenier([1.0, 0.0], [0.0, 1.0], [0.0, 1.0], n_times=8)
    assert abs(float(flow.distance) - 1.0) <= float(flow.distance.error)
    still = benamou_brenier([1.0, 3.0], [1.0, 3.0], [0.0, 1.0])
    assert float(still.distance) == 0.0 and float(still.distance.error) < 1e-12
    assert still.iterations == 0 and still.converged and not still.momentum.any()


def test_units_of_length_and_mass_do_not_matter():
    x = _line(64)
    p, q = _bump(x, 0.3, 0.08), _bump(x, 0.65, 0.1)
    whole = benamou_brenier(_masses(p), _masses(q), x, n_times=16)
    for unit in (1e-8, 1e8):
        other = benamou_brenier(_masses(p) * unit, _masses(q) * unit, x * unit + unit, n_times=16)
        assert float(other.distance) == pytest.approx(unit * float(whole.distance), rel=1e-9)
        assert float(other.distance.error) == pytest.approx(unit * float(whole.distance.error), rel=1e-5)
        assert torch.allclose(other.velocity, whole.velocity * unit, rtol=1e-4, atol=1e-6 * unit)


def test_float32_and_lists_and_numpy():
    x = _line(32)
    p, q = _masses(_bump(x, 0.3, 0.1)), _masses(_bump(x, 0.6, 0.1))
    flow = benamou_brenier(p.float(), q.float(), x.float(), n_times=8)
    assert {flow.distance.value.dtype, flow.densities.dtype, flow.velocity.dtype} == {torch.float32}
    same = benamou_brenier(p.tolist(), q.numpy(), x.tolist(), n_times=8)
    assert same.densities.dtype == torch.float64
    assert float(same.distance) == pytest.approx(float(flow.distance), rel=1e-5)


def test_in_the_plane_against_the_closed_form_and_the_exact_plan():
    x, y = _line(24, -3, 3), _line(20, -2.5, 2.5)
    p = it.Gaussian([-0.8, 0.2], [[0.25, 0.05], [0.05, 0.16]])
    q = it.Gaussian([0.7, -0.3], [[0.2, -0.06], [-0.06, 0.25]])
    flow = benamou_brenier(p, q, (x, y), n_times=12)
    known = float(it.wasserstein2(p, q))
    assert abs(float(flow.distance) - known) <= float(flow.distance.error) < 0.1 * known
    assert flow.densities.shape == (12, 24, 20) and flow.velocity.shape == (12, 2, 24, 20)
    ot = pytest.importorskip("ot")
    points = torch.cartesian_prod(x, y).numpy()
    masses = [m.flatten().numpy() / m.sum().item() for m in (flow.start, flow.end)]
    plan = math.sqrt(ot.emd2(*masses, ot.dist(points), numItermax=1_000_000))
    # the plan between centres is an upper bound too, and an even better one
    assert flow.lower <= plan <= flow.upper + 1e-12


def test_a_short_run_warns_and_its_error_still_holds():
    x = _line(64)
    with pytest.warns(RuntimeWarning, match="raise max_iterations"):
        flow = benamou_brenier(_masses(_bump(x, 0.3, 0.04)), _masses(_bump(x, 0.65, 0.07)), x, max_iterations=3)
    assert not flow.converged and not flow.distance.converged
    assert abs(float(flow.distance) - math.hypot(0.35, 0.03)) <= float(flow.distance.error) + 1e-4  # of cells


def test_a_wide_cut_off_is_refused_and_a_small_one_paid_for():
    p, q = it.Gaussian(0.0, 1.0), it.Gaussian(1.0, 1.0)
    with pytest.raises(ValueError, match="the grid must hold density1"):
        benamou_brenier(p, q, _line(32, -5, 4))
    cut = benamou_brenier(p, q, _line(64, -3.6, 4.6), n_times=8)
    assert float(cut.distance.error) > 0.05 and cut.distance.info["cut_off"] > 1e-4
    assert abs(float(cut.distance) - 1.0) <= float(cut.distance.error)


@pytest.mark.parametrize("share", [0.03, 0.05, 0.2, 0.5])
def test_edges_within_cells_are_seen(share):
    """An edge beyond the last node of quadrature in its cell, with another that makes up for the mass."""
    off = share / 64
    p, q = stats.uniform(-off, 0.5), stats.uniform(0.5, 0.5)
    flow = benamou_brenier(p, q, _line(192, -1.0, 2.0), n_times=4)
    assert abs(float(flow.distance) - 0.5 - off) <= float(flow.distance.error) < 0.01
    ends = torch.tensor([-off, 0.5 - off], dtype=torch.float64)
    same = benamou_brenier(torch.distributions.Uniform(*ends), q, _line(192, -1.0, 2.0), n_times=4)
    assert float(same.distance) == pytest.approx(float(flow.distance), abs=1e-9)


def test_a_peak_between_nodes_is_counted():
    p = it.GaussianMixture([0.5, 0.5], [0.31, 0.5], [0.0025, 1e-14])
    q = it.Gaussian(0.8, 0.0025)
    flow = benamou_brenier(p, q, _line(64, 0.0, 1.2), n_times=4)
    assert abs(float(flow.distance) - float(it.wasserstein2(p, q))) <= float(flow.distance.error) < 0.3


def test_little_mass_far_away_is_paid_for():
    p, q = it.GaussianMixture([1 - 1e-14, 1e-14], [0.0, 1e10], [1.0, 1.0]), it.Gaussian(1.0, 1.0)
    flow = benamou_brenier(p, q, _line(34, -8.0, 9.0), n_times=2)
    known = float(it.wasserstein2(p, q))
    assert known > 900 and abs(float(flow.distance) - known) <= float(flow.distance.error)
    heavy = benamou_brenier(stats.cauchy(0.0, 1e-4), q, _line(34, -8.0, 9.0), n_times=2)
    assert math.isinf(float(heavy.distance.error))


def test_steps_that_rounding_made_unequal_are_paid_for():
    grid = np.array([1e6, 1e6 + 1, 1e6 + 1.25], dtype=np.float32)
    flow = benamou_brenier([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], grid, n_times=4)
    assert abs(float(flow.distance) - 1.0) <= float(flow.distance.error)


def test_rounding_of_large_exponents_is_paid_for_in_the_plane():
    start, end = torch.zeros(3, 7).double(), torch.zeros(3, 7).double()
    start[2, 0], end[1, 6] = 1.0, 1.0
    for high, wide in ((0.2, 2.9), (0.3, 2.8)):
        axes = (torch.arange(3).double() * high, torch.arange(7).double() * wide)
        flow = benamou_brenier(start, end, axes, n_times=2)
        assert abs(float(flow.distance) - math.hypot(high, 6 * wide)) <= float(flow.distance.error)


def test_the_dataset_is_labelled(shifted):
    data = shifted[2].to_dataset()
    assert dict(data.sizes) == {"time": 32, "component": 1, "x": 128}
    assert data.density.dims == ("time", "x") and data.velocity.dims == ("time", "component", "x")
    assert data.attrs["converged"] == 1 and data.density.attrs["long_name"] == "probability density"


def test_progress_is_reported():
    seen = []
    x = _line(16)
    benamou_brenier(
        _masses(_bump(x, 0.3, 0.2)),
        _masses(_bump(x, 0.4, 0.2)),
        x,
        n_times=4,
        progress=lambda *a: seen.append(a),
    )
    assert seen and seen[-1][1] == 2000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": [0.0, 1.0, 3.0]}, "equal steps"),
        ({"grid": [0.0]}, "at least 2"),
        ({"grid": [2.0, 1.0, 0.0]}, "equal steps"),
        ({"grid": np.zeros((3, 3))}, "cell centres"),
        ({"density0": [1.0, -1.0, 1.0]}, "density0 must be >= 0; got -1.0"),
        ({"density1": [1.0, math.nan, 1.0]}, "density1 must be finite"),
        ({"density1": [0.0, 0.0, 0.0]}, "density1 must hold some mass"),
        ({"density1": [1.0, 2.0]}, r"density1 must have one entry a cell, shape \(3,\)"),
        ({"density1": [2.0, 2.0, 2.0]}, "same mass"),
        ({"n_times": 1}, "n_times"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": None}, "tolerance"),
        ({"grid": [0.0, 1e200, 2e200]}, "grid must span"),
        ({"grid": [0.0, 1e-200, 2e-200]}, "grid must span"),
        ({"density0": it.Gaussian([0.0, 0.0], torch.eye(2))}, "D = 1, as the grid"),
        ({"density0": it.Rademacher()}, "must have a density"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"density0": [1.0, 1.0, 1.0], "density1": [1.0, 0.0, 2.0], "grid": [0.0, 1.0, 2.0]} | change
    with pytest.raises(ValueError, match=message):
        benamou_brenier(**arguments)


def test_times_outside_are_refused(shifted):
    with pytest.raises(ValueError, match=r"t must lie in \[0, 1\]"):
        shifted[2].density(1.5)
    assert torch.equal(shifted[2].density(0.0), shifted[2].start)
    assert shifted[2].density([0.0, 1.0]).shape == (2, 128)
