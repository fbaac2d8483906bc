"""Currents in trajectories: the population bound of Gaussian steps, honest limits, forces, symmetries, bad input."""

import math

import pytest
import torch

from infotherm.thermodynamics.tur_inference import _tangent, entropy_production_from_currents
from tests.thermodynamics.recorded_examples import (
    EQUILIBRIUM,
    F64,
    REFERENCES,
    corrugated_ring,
    drifting_ring,
    linear,
    linear_paths,
    pair_covariance,
    pair_divergence,
)


def population_bound(rate, diffusion, step):
    """(2 / dt) m artanh m of the best current linear in the midpoint, by Wick's theorem."""
    dim = len(diffusion)
    pair, one = pair_covariance(rate, diffusion, step), torch.eye(dim, dtype=F64)
    change = torch.cat([torch.cat([one / 2, one / 2], 1), torch.cat([-one, one], 1)])  # (x, x') -> (midpoint, step)
    moved = change @ pair @ change.mT
    middle, cross, steps = moved[:dim, :dim], moved[:dim, dim:], moved[dim:, dim:]
    mean = cross.flatten()
    square = (
        torch.outer(mean, mean).reshape(dim, dim, dim, dim)
        + middle[:, None, :, None] * steps[None, :, None, :]
        + cross[:, None, None, :] * cross.mT[None, :, :, None]
    ).reshape(dim**2, dim**2)
    share = mean @ torch.linalg.solve(square, mean)
    return float(2 * share.sqrt() * share.sqrt().atanh()) / step


@pytest.mark.parametrize(
    "name, step",
    [("linear/rotation", 0.5), ("linear/rotation", 0.1), ("linear/two-beads", 0.1), ("linear/gyrator", 0.1)],
)
def test_it_finds_the_bound_of_gaussian_steps(name, step):
    """Within 4 standard errors, and what fitting on a half costs: fails with probability 1e-4."""
    model = linear(name)
    truth = population_bound(*model, step)
    found = entropy_production_from_currents(linear_paths(*model, step, 200, 300, 1), step)
    assert truth < pair_divergence(*model, step) < REFERENCES[name]["value"]
    assert found.kind == "lower" and found.units == "nat/time" and found.info["n"] == 200
    assert -4 * found.stderr - 8 / (30_000 * step) < found.value - truth < 4 * found.stderr
    twice = found.info["at_twice_the_step"]
    assert -5 * twice.stderr < twice.value - population_bound(*model, 2 * step) < 4 * twice.stderr


def test_tangents_lie_below_the_bound_and_touch_it():
    """Wherever the tangent is taken, its mean over a sample is at most 2 m artanh m of that sample."""
    generator = torch.Generator().manual_seed(0)
    for shift in (0.1, 0.5, 2.0):
        current = shift + torch.randn(500, dtype=F64, generator=generator)
        mean, square = float(current.mean()), float(current.square().mean())
        root = mean / math.sqrt(square)
        bound = 2 * root * math.atanh(root)
        assert float(_tangent(current, mean, square).mean()) == pytest.approx(bound, rel=1e-10)
        for factor in (0.3, 0.9, 0.99, 1.01, 1.1):
            touching = float(_tangent(current, factor * mean, square).mean())
            assert touching < bound
            # of second order beside the point where it touches
            assert bound - touching < 8 * (factor - 1) ** 2 * bound / (1 - min(1, factor * root) ** 2 + 0.01) ** 2
    assert _tangent(torch.ones(3), 0.0, 1.0).tolist() == [0.0, 0.0, 0.0]


def test_references_of_steps():
    for name, case in REFERENCES.items():
        if "time_step" in case["spec"]:
            spec = case["spec"]
            found = pair_divergence(spec["rate"], spec["diffusion"], spec["time_step"])
            assert found == pytest.approx(case["value"], abs=case["tolerance"]), name


def test_short_steps_show_nearly_all():
    rate = REFERENCES["linear/two-beads"]["value"]
    found = entropy_production_from_currents(linear_paths(*linear("linear/two-beads"), 0.01, 40, 5000, 2), 0.01)
    assert found.lower_limit(1e-4) < rate < found.value + 4 * found.stderr + 0.05 * rate


def test_a_corrugated_ring():
    truth = REFERENCES["ring/driven"]["value"]
    paths = corrugated_ring(800, 100, 20, 3)
    found = entropy_production_from_currents(paths, 0.02, periodic=2 * math.pi, force_at=[[0.5], [2.0], [4.0]])
    assert 0.5 * truth < found.lower_limit(1e-3) < truth < found.value + 5 * found.stderr
    wrapped = entropy_production_from_currents(paths.remainder(2 * math.pi), 0.02, periodic=[2 * math.pi])
    assert wrapped.value.item() == pytest.approx(found.value.item(), abs=1e-8)
    # without its period a wrapped coordinate jumps back, and the current is lost
    lost = entropy_production_from_currents(paths.remainder(2 * math.pi), 0.02)
    assert lost.value < 0.2 * truth


def test_a_free_drift_is_found_with_its_force():
    """Steps of any length are Gaussian with mean v dt and variance 2 dt, and the best current is x' - x."""
    paths = drifting_ring(2.0, 0.1, 200, 200, 4)
    points = [[0.0], [1.5], [3.0]]
    found = entropy_production_from_currents(paths, 0.1, periodic=2 * math.pi, force_at=points)
    plain = entropy_production_from_currents(paths, 0.1, lambda x: torch.ones_like(x[:, :1]), force_at=points)
    share = 0.04 / (0.2 + 0.04)
    truth = 2 * math.sqrt(share) * math.atanh(math.sqrt(share)) / 0.1
    assert truth < 4
    for estimate, room in ((found, 0.3), (plain, 0.1)):
        assert abs(estimate.value - truth) < 4 * estimate.stderr
        assert estimate.info["force"].shape == (3, 1)
        assert (estimate.info["force"] - 2).abs().max() < room  # nu / D = 2
    assert plain.info["coefficients"].shape == (1, 1) and found.info["coefficients"].shape == (7, 1)


def test_gaussians_learn_a_force_that_is_not_linear():
    """Coordinates stretched far from the centre: currents that are linear in them miss a part."""
    model = linear("linear/rotation")
    paths = linear_paths(*model, 0.05, 200, 250, 5)
    bent = paths * torch.exp(0.3 * paths.square().sum(-1, keepdim=True))  # the entropy production is that of `paths`
    truth = pair_divergence(*model, 0.05)
    linear_basis = entropy_production_from_currents(bent, 0.05)
    gaussians = entropy_production_from_currents(bent, 0.05, "gaussian")
    for found in (linear_basis, gaussians):
        assert found.lower_limit(1e-3) < truth
    assert gaussians.lower_limit() > linear_basis.value + 2 * linear_basis.stderr


def test_a_walk_saturates_it_where_the_usual_form_is_broken():
    """Forward 9 times in 10, the entropy production is 0.8 log 9 a step; 2 <J>^2 / Var J is twice that."""
    steps = torch.where(torch.rand(100, 300, 1, generator=torch.Generator().manual_seed(6)) < 0.9, 1.0, -1.0)
    found = entropy_production_from_currents(steps.cumsum(1), 1.0, lambda x: torch.ones_like(x), periodic=10.0)
    truth = 0.8 * math.log(9)
    assert abs(found.value - truth) < 4 * found.stderr < 0.2
    assert 2 * 0.8**2 / 0.36 > 2 * truth


def test_symmetries():
    paths = linear_paths(*linear("linear/rotation"), 0.1, 50, 61, 7)  # 60 steps fill two blocks
    found = entropy_production_from_currents(paths, 0.1)
    for other in (
        entropy_production_from_currents(paths.flip(1), 0.1),
        entropy_production_from_currents(1e6 * paths + 3, 0.1),
        10 * entropy_production_from_currents(paths, 1.0),
        entropy_production_from_currents(paths.numpy(), 0.1),
        entropy_production_from_currents(torch.cat([paths, paths[..., :1] + paths[..., 1:]], -1), 0.1),
    ):
        assert other.value.item() == pytest.approx(found.value.item(), rel=1e-6)
        assert other.stderr.item() == pytest.approx(found.stderr.item(), rel=1e-6)


def test_equilibrium_shows_nothing():
    found = [entropy_production_from_currents(linear_paths(*EQUILIBRIUM, 0.1, 40, 50, seed), 0.1) for seed in range(40)]
    assert sum(float(e.lower_limit()) > 0 for e in found) <= 4
    # on the half that it was fitted to every current has a mean: fitted and judged on one half, all would be positive
    assert sum(float(e.value) for e in found) < 0


def test_a_record_too_short_for_its_memory_decides_nothing():
    generator = torch.Generator().manual_seed(8)
    direction = torch.tensor([3.0, -3.0]).repeat_interleave(100).repeat(10)[:, None]
    record = (0.1 * direction + math.sqrt(0.2) * torch.randn(2000, 1, generator=generator)).cumsum(0)
    with pytest.warns(UserWarning, match="neighbouring blocks of the record are correlated"):
        found = entropy_production_from_currents(record, 0.1, periodic=2 * math.pi)
    assert found.kind == "unknown" and found.lower_limit() == -math.inf


def test_bad_input():
    paths = linear_paths(*EQUILIBRIUM, 0.1, 4, 100, 0)
    call = entropy_production_from_currents
    with pytest.raises(ValueError, match=r"trajectories must have shape \(n_paths, n_times, D\).*got \(100,\)"):
        call(paths[0, :, 0], 0.1)
    with pytest.raises(ValueError, match="64 windows in each of the parts.*got 36"):
        call(paths[:, :20], 0.1)
    for step in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="time_step must be positive"):
            call(paths, step)
    with pytest.raises(ValueError, match="time_step must be one number"):
        call(paths, [0.1, 0.2])
    broken = paths.clone()
    broken[2, 5, 1] = math.nan
    with pytest.raises(ValueError, match=r"trajectories must be finite; got nan at index \[2, 5, 1\]"):
        call(broken, 0.1)
    still = paths.clone()
    still[..., 1] = 3.0
    with pytest.raises(ValueError, match="coordinate 1 is constant in time"):
        call(still, 0.1)
    with pytest.raises(ValueError, match="periodic must be one positive period"):
        call(paths, 0.1, periodic=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="periodic must be one positive period"):
        call(paths, 0.1, periodic=-1.0)
    with pytest.raises(ValueError, match="basis must be None, 'gaussian' or a function"):
        call(paths, 0.1, "fourier")
    with pytest.raises(ValueError, match="'gaussian' is for coordinates that are not periodic"):
        call(paths, 0.1, "gaussian", periodic=1.0)
    with pytest.raises(ValueError, match="basis must map midpoints"):
        call(paths, 0.1, lambda x: x[:, 0])
    with pytest.raises(ValueError, match="basis must be finite"):
        call(paths, 0.1, lambda x: math.inf * x)
    with pytest.raises(ValueError, match=r"force_at must have shape \(..., 2\)"):
        call(paths, 0.1, force_at=[1.0, 2.0, 3.0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*of kind 'unknown'")
@pytest.mark.parametrize("n_paths, n_times", [(1, 4000), (100, 40)])
@pytest.mark.parametrize("name, step", [("equilibrium", 0.1), ("linear/gyrator", 0.05), ("linear/rotation", 0.01)])
def test_lower_limits_hold(n_paths, n_times, name, step):
    """200 records: 95 % limits exceed the bound of the steps in at most 19, which nominal ones do with 0.4 %."""
    model = EQUILIBRIUM if name == "equilibrium" else linear(name)
    truth = population_bound(*model, step) if name != "equilibrium" else 0.0
    found = [
        entropy_production_from_currents(linear_paths(*model, step, n_paths, n_times, seed), step)
        for seed in range(200)
    ]
    assert sum(float(e.lower_limit()) > truth for e in found) <= 19
