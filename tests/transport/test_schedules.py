"""Noise schedules as paths in the Wasserstein metric: speed, length, action, the clock that evens them, comparisons."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import infotherm as it
from infotherm.transport.constant_speed import constant_speed_clock
from infotherm.transport.path_speeds import path_action, path_length, wasserstein_speed
from infotherm.transport.schedules import compare_schedules

pr = it.processes
F64 = torch.float64
ROUGH = {"tolerance": 1e-6}
VP = pr.VariancePreserving()
FLAT = it.Gaussian([2.0, 0.0], [[0.25, 0.1], [0.1, 2.0]])
BUMPS = it.GaussianMixture([0.4, 0.6], [[-1.0], [1.5]], [[[0.3]], [[0.8]]])
NEAR = it.GaussianMixture([0.5, 0.5], [[-0.5], [1.0]], [[[0.5]], [[0.6]]])
ROTATING = pr.OrnsteinUhlenbeck([[1.0, -2.0], [1.0, 2.0]], 1.2)
UNEVEN = pr.OrnsteinUhlenbeck([[1.0, -0.4], [0.3, 2.0]], [[1.1, 0.3], [0.2, 0.8]])  # another noise in each direction
REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/transport_schedules.json").read_text())


def named(spec):
    """The process, the law and the duration of a reference."""
    process = getattr(pr, spec["process"]["name"])(**spec["process"]["arguments"])
    return process, it.Gaussian(spec["p0"]["mean"], spec["p0"]["covariance"]), spec["duration"]


def metric_derivative(process, p0, t, h=1e-3):
    """W2 of laws half a step apart and one step apart, extrapolated: error of order h^4."""
    t = torch.as_tensor(t, dtype=F64)

    def slope(step):
        return it.wasserstein2(process.marginal(p0, t - step), process.marginal(p0, t + step)).value / (2 * step)

    return (4 * slope(h / 2) - slope(h)) / 3


@pytest.mark.parametrize("case", REFERENCES, ids=lambda case: case["name"])
def test_references(case):
    quantity = {"path_length": path_length, "path_action": path_action}[case["spec"]["quantity"]]
    found = quantity(*named(case["spec"]))
    assert abs(found.value.item() - case["value"]) <= found.error.item() + case["tolerance"] * abs(case["value"])
    assert found.error.item() < 1e-9 * (1 + abs(case["value"])) and found.kind == "exact"


# -- speed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("process", [VP, ROTATING, UNEVEN, pr.VarianceExploding(1.3), pr.StraightLine(0.5)])
def test_the_speed_is_the_derivative_of_the_distance(process):
    times = torch.tensor([0.1, 0.4, 0.8], dtype=F64)
    found = wasserstein_speed(process, FLAT, times)
    assert torch.allclose(found.value, metric_derivative(process, FLAT, times), rtol=1e-8)
    assert bool((found.error < 1e-12 * (1 + found.value)).all()) and found.units == "1/time"


@pytest.mark.parametrize("process", [VP, pr.VarianceExploding(1.3), pr.SubVariancePreserving()])
def test_the_speed_of_a_mixture_is_the_derivative_of_its_distance(process):
    found = wasserstein_speed(process, BUMPS, 0.4)
    assert found.value.item() == pytest.approx(metric_derivative(process, BUMPS, 0.4).item(), rel=1e-7)
    assert found.method == "quadrature" and found.error.item() < 1e-10


def test_gaussians_written_as_mixtures_move_as_fast():
    mixture = it.GaussianMixture([0.5, 0.5], [[2.0], [2.0]], [[[0.25]], [[0.25]]])
    plain = it.Gaussian(2.0, 0.25)
    for process in (VP, pr.StraightLine(0.5)):
        one, two = (wasserstein_speed(process, p, [0.05, 0.6]) for p in (plain, mixture))
        assert bool(((one.value - two.value).abs() <= one.error + two.error).all())


def test_the_squared_speed_is_diffusion_times_the_rate_of_entropy_production():
    # an independent route, by the mismatch of force and score; of a rotation the excess part of Maes and Netocny
    law = FLAT
    for process, t in ((VP, 0.3), (pr.StraightLine(0.5), 0.3), (ROTATING, 0.0)):
        p = process.marginal(law, t)
        diffusion = process.diffusion_matrix(t, 2)[0, 0]
        excess = it.thermodynamics.excess_housekeeping(process, p, t, split="maes-netocny").excess
        found = wasserstein_speed(process, law, t)
        assert found.value.item() ** 2 == pytest.approx((diffusion * excess.value).item(), rel=1e-11)
    assert wasserstein_speed(VP, BUMPS, 0.3).value.item() ** 2 == pytest.approx(
        (
            VP.diffusion_matrix(0.3)[0, 0]
            * it.thermodynamics.entropy_production_rate(VP, VP.marginal(BUMPS, 0.3), 0.3).value
        ).item(),
        rel=1e-10,
    )


def test_a_rotation_that_leaves_the_law_as_it_is_has_no_speed():
    steady = pr.OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)
    still = wasserstein_speed(steady, it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]), 0.3)
    assert still.value.item() <= still.error.item() < 1e-13
    assert it.thermodynamics.entropy_production_rate(steady).value.item() == pytest.approx(8.0)


def test_batches_starts_gradients_and_dtypes():
    laws = it.Gaussian([[2.0], [0.5]], [[[0.25]], [[3.0]]])
    found = wasserstein_speed(VP, laws, np.array([[0.1], [0.2], [0.3]]))
    assert found.shape == (3, 2)
    one = wasserstein_speed(VP, it.Gaussian(0.5, 3.0), 0.2)
    assert found.value[1, 1].item() == pytest.approx(one.value.item(), rel=1e-13)
    later = wasserstein_speed(VP, VP.marginal(laws, 0.2), 0.3, start=0.2)
    assert torch.allclose(later.value, found.value[2], rtol=1e-12)
    mean = torch.tensor([2.0], dtype=F64, requires_grad=True)
    value = wasserstein_speed(VP, it.Gaussian(mean, torch.eye(1, dtype=F64)), 0.0).value
    (slope,) = torch.autograd.grad(value, mean)
    assert slope.item() == pytest.approx(0.05)  # beta / 2 at the start
    at_rest = wasserstein_speed(VP, it.Gaussian(0 * mean, torch.eye(1, dtype=F64)), 0.0).value
    assert torch.autograd.grad(at_rest, mean)[0].item() == 0.0
    single = it.Gaussian(torch.tensor([2.0]), torch.tensor([[0.25]]))
    low = wasserstein_speed(VP, single, 0.1)
    assert low.value.dtype == torch.float32 and abs(low.value.item() - found.value[0, 0].item()) <= low.error.item()


# -- length and action -------------------------------------------------------------------------------------------------


def test_length_and_action_are_sums_over_short_steps():
    for process, law, n in ((ROTATING, FLAT, 400), (VP, NEAR, 6)):
        grid = torch.linspace(0.0, 1.0, n + 1, dtype=F64)
        legs = [
            it.wasserstein2(process.marginal(law, a), process.marginal(law, b), **({} if n == 400 else ROUGH)).value
            for a, b in zip(grid[:-1], grid[1:], strict=True)
        ]
        # chords are short of arcs, by the second order of the step
        short = {400: 1e-4, 6: 3e-2}[n]
        length, action = (f(process, law, 1.0, tolerance=1e-5) for f in (path_length, path_action))
        assert 0 < 1 - (sum(legs) / length.value).item() < short
        assert 0 < 1 - (n * sum(leg**2 for leg in legs) / action.value).item() < 5 * short


def test_the_order_of_distance_length_and_action():
    for process, law in ((VP, FLAT), (ROTATING, FLAT), (pr.VarianceExploding(1.0), FLAT)):
        length, action = path_length(process, law, 0.7), path_action(process, law, 0.7)
        distance = it.wasserstein2(law, process.marginal(law, 0.7))
        assert it.decide(length, distance, ">=").outcome == "holds"
        assert it.decide(0.7 * action, length.square(), ">=").outcome == "holds"
        assert length.value > distance.value * 1.001  # and neither is an equality here


def test_geodesics_are_as_long_as_they_are_far():
    drive = it.transport.optimal_protocol(FLAT, it.Gaussian([0.0, 1.0], [[1.0, 0.0], [0.0, 0.5]]), 1.2, 2.0)
    process = pr.AffineDiffusion(
        lambda t: drive.affine(t)[0], 1.2, lambda t: drive.affine(t)[1], horizon=2.0, tolerance=1e-12
    )
    length, action = path_length(process, FLAT, 2.0), path_action(process, FLAT, 2.0)
    distance = it.wasserstein2(FLAT, drive.marginal(2.0))
    assert it.decide(length, distance, "==", tolerance=1e-9).outcome == "holds"
    assert it.decide(2 * action, distance.square(), "==", tolerance=1e-9).outcome == "holds"


def test_the_path_of_a_straight_line_is_finite_up_to_the_end():
    process, law = pr.StraightLine(0.5), it.Gaussian(2.0, 0.25)
    whole, most = path_length(process, law, 1.0), path_length(process, law, 0.999)
    assert whole.value.item() == pytest.approx(2.0, rel=1e-10)  # its width stays 0.5, and its mean moves by 2
    assert most.value.item() == pytest.approx(1.998, rel=1e-10)
    assert path_action(process, law, 1.0).value.item() == pytest.approx(4.0, rel=1e-10)


def test_a_law_at_rest_has_no_length():
    for found in (path_length(VP, it.Gaussian(0.0, 1.0), 1.0), path_action(VP, it.Gaussian(0.0, 1.0), 1.0)):
        assert 0 <= found.value.item() <= found.error.item() < 1e-13


def test_batches_of_lengths():
    laws = it.Gaussian([[2.0], [0.5]], [[[0.25]], [[3.0]]])
    found = path_length(VP, laws, [0.5, 1.0])
    for i, (mean, variance, duration) in enumerate([(2.0, 0.25, 0.5), (0.5, 3.0, 1.0)]):
        one = path_length(VP, it.Gaussian(mean, variance), duration)
        assert abs(found.value[i] - one.value) <= found.error[i] + one.error


# -- the clock -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("process", "law"),
    [(VP, FLAT), (ROTATING, FLAT), (VP, NEAR)],
)
def test_the_clock_covers_equal_lengths_in_equal_times(process, law):
    clock = constant_speed_clock(process, law, 0.9)
    times = clock.time([0.0, 0.3, 0.6, 1.0])
    assert times.value[0].item() == 0.0 and times.value[-1].item() == pytest.approx(0.9, abs=1e-10)
    for k, share in ((1, 0.3), (2, 0.6)):
        part = path_length(process, law, times.value[k].item())
        assert part.value.item() == pytest.approx(share * clock.length.value.item(), rel=1e-10)
    assert torch.allclose(clock.fraction(times.value).value, torch.tensor([0.0, 0.3, 0.6, 1.0], dtype=F64), atol=1e-10)
    assert bool((times.error < 1e-9).all())


def test_a_retimed_process_has_the_least_action_and_the_same_entropy_production():
    clock = constant_speed_clock(VP, FLAT, 1.0)
    even = clock.retimed()
    action = path_action(even, FLAT, 1.0, tolerance=1e-9)
    assert it.decide(action, clock.least_action, "==", tolerance=1e-8).outcome == "holds"
    assert clock.least_action.value.item() < 0.95 * clock.action.value.item()
    assert (
        it.decide(path_length(even, FLAT, 1.0, tolerance=1e-9), clock.length, "==", tolerance=1e-8).outcome == "holds"
    )
    speeds = wasserstein_speed(even, FLAT, torch.linspace(0.0, 1.0, 7, dtype=F64))
    assert torch.allclose(speeds.value, clock.length.value.expand(7), rtol=1e-9)
    place = clock.time(0.5).value
    assert torch.allclose(even.marginal(FLAT, 0.5).covariance, VP.marginal(FLAT, place).covariance, rtol=1e-12)
    one, two = (it.thermodynamics.entropy_production(process, FLAT, 1.0, method="quadrature") for process in (VP, even))
    assert two.value.item() == pytest.approx(one.value.item(), rel=1e-9)
    # drift and noise are those of its own transitions
    h = 1e-4
    law, ahead, behind = (even.marginal(FLAT, t) for t in (0.5, 0.5 + h, 0.5 - h))
    change = even.drift_matrix(0.5, 2) @ law.covariance
    change = change + change.mT + 2 * even.diffusion_matrix(0.5, 2)
    assert torch.allclose((ahead.covariance - behind.covariance) / (2 * h), change, atol=1e-6)
    shift = (even.drift_matrix(0.5, 2) @ law.mean[..., None])[..., 0] + even.drift_offset(0.5, 2)
    assert torch.allclose((ahead.mean - behind.mean) / (2 * h), shift, atol=1e-6)


def test_what_has_no_clock():
    with pytest.raises(ValueError, match="must move"):
        constant_speed_clock(VP, it.Gaussian(0.0, 1.0), 1.0)
    with pytest.raises(ValueError, match="no batch"):
        constant_speed_clock(VP, it.Gaussian([[0.0], [1.0]], [[[1.0]], [[2.0]]]), 1.0)
    clock = constant_speed_clock(VP, it.Gaussian(2.0, 1.0), 1.0)
    with pytest.raises(ValueError, match=r"fraction must lie in \[0, 1\]"):
        clock.time(1.5)
    with pytest.raises(ValueError, match="t must lie"):
        clock.fraction(-0.1)


# -- what is refused -------------------------------------------------------------------------------------------------


def test_refusals_name_the_argument():
    with pytest.raises(TypeError, match="affine"):
        wasserstein_speed(pr.MarkovJump([[0.0, 1.0], [1.0, 0.0]]), FLAT, 0.5)
    for atoms in (it.Gaussian(0.0, 0.0), it.Empirical([[0.0], [1.0]])):
        with pytest.raises(ValueError, match="p0 must have a density"):
            wasserstein_speed(VP, atoms, 0.0)
    flat = it.GaussianMixture([0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]] * 2)
    with pytest.raises(NotImplementedError, match="scalar"):
        wasserstein_speed(VP, flat, 0.5)
    with pytest.raises(ValueError, match="duration must be > 0"):
        path_length(VP, FLAT, 0.0)
    with pytest.raises(ValueError, match="t1 must be <= the horizon"):
        path_length(pr.StraightLine(1.0), FLAT, 1.5)


def test_samples_have_a_speed_once_noise_has_spread_them():
    data = it.Empirical([[-1.0], [0.5], [2.0]])
    found = wasserstein_speed(VP, data, 0.5)
    assert found.value.item() == pytest.approx(metric_derivative(VP, data, 0.5).item(), rel=1e-7)


# -- comparison ------------------------------------------------------------------------------------------------------


def test_a_table_of_schedules():
    schedules = {
        "VP": VP,
        "cosine": pr.VariancePreserving(beta=pr.cosine_schedule()),
        "straight": pr.StraightLine(1.0),
    }
    with pytest.raises(ValueError, match="t must be < 1"):
        compare_schedules(schedules, FLAT)  # the straight line needs a cut-off
    table = compare_schedules(schedules, FLAT, until={"straight": 0.99}, points=9)
    assert dict(table.sizes) == {"schedule": 3, "fraction": 9}
    for name in ("detour", "unevenness", "waste"):
        assert bool((table[name] >= 1 - table[f"{name}_error"]).all())
    product = table["detour"] ** 2 * table["unevenness"]
    assert np.allclose(product, table["waste"], rtol=1e-9)
    vp = table.sel(schedule="VP")
    assert float(vp["length"]) == pytest.approx(path_length(VP, FLAT, 1.0).value.item(), rel=1e-10)
    assert float(table.sel(schedule="straight")["time"][-1]) == 0.99
    assert table["speed"].attrs["units"] == "1/time"
    # the straight line runs the mean at constant speed: most even of the three
    assert float(table.sel(schedule="straight")["unevenness"]) == float(table["unevenness"].min())


def test_tables_say_what_they_lack():
    with pytest.raises(ValueError, match="at least one process"):
        compare_schedules({}, FLAT)
    with pytest.raises(ValueError, match="until must say when 'VE' ends"):
        compare_schedules({"VE": pr.VarianceExploding(1.0)}, FLAT)
    with pytest.raises(ValueError, match="points must be"):
        compare_schedules({"VP": VP}, FLAT, points=1)


def test_a_mean_that_moves_alone_takes_the_geodesic():
    # at the stationary width only the mean moves: length is W2, and the straight line runs it at constant speed
    law = it.Gaussian(3.0, 1.0)
    table = compare_schedules({"VP": VP, "straight": pr.StraightLine(1.0)}, law, until={"straight": 0.5})
    assert np.allclose(table["detour"], 1.0, atol=1e-10)
    assert float(table.sel(schedule="straight")["unevenness"]) == pytest.approx(1.0, abs=1e-10)
    end = math.exp(-0.5 * (0.1 + 8.0) / 2)
    assert float(table.sel(schedule="VP")["wasserstein2"]) == pytest.approx(3 * (1 - end), rel=1e-12)
