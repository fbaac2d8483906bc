"""Simulated paths against closed forms, identities of each single path, and refusals.

Sampled numbers are compared at 4.5 standard errors: a false alarm in one of 150 000 comparisons.
"""

import math

import pytest
import torch

import infotherm as it
from infotherm.processes import (
    AffineDiffusion,
    Langevin,
    OrnsteinUhlenbeck,
    Protocol,
    UnderdampedLangevin,
    VarianceExploding,
    VariancePreserving,
)
from infotherm.thermodynamics import entropy_production, simulate

F64 = torch.float64
NORMAL = it.Gaussian(0.0, 1.0)
SQUARE = it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
TRAP = AffineDiffusion([[-1.0]], 2**0.5, lambda t: t[..., None])
MOVED = {"potential": lambda x, c: 0.5 * ((x - c) ** 2).sum(-1), "protocol": lambda t: t}
ROTATING = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)


def agrees(estimate, value, slack=0.0):
    assert abs(float(estimate) - value) <= 4.5 * float(estimate.stderr) + float(estimate.error) + slack


# -- closed forms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "process",
    [TRAP, Langevin(**MOVED, sigma=2**0.5)],
    ids=["affine", "langevin"],
)
def test_work_of_a_trap_that_is_moved(process):
    # speed 1, stiffness, mobility and temperature 1, time 2: Gaussian with mean 1 + exp(-2) and variance twice that
    mean = 1 + math.exp(-2)
    paths = simulate(process, NORMAL, 2.0, 20_000, 40, generator=1, final_law=False)
    agrees(paths.mean("work"), mean, slack=2e-3)
    assert paths.work.var().item() == pytest.approx(2 * mean, rel=4.5 * (2 / 20_000) ** 0.5 + 2e-3)
    assert torch.exp(-paths.work).mean().item() == pytest.approx(1.0, abs=0.1)


def test_work_of_an_underdamped_particle_obeys_jarzynski_at_a_coarse_step():
    process = UnderdampedLangevin(**MOVED, friction=1.0)
    paths = simulate(process, SQUARE, 1.0, 40_000, 10, generator=2)
    weights = torch.exp(-paths.work)
    assert weights.mean().item() == pytest.approx(1.0, abs=4.5 * weights.std().item() / 200 + 5e-3)
    assert torch.allclose(paths.heat, paths.medium_entropy)
    assert "final_law" in paths.missing["entropy_production"]


@pytest.mark.parametrize(
    ("process", "p0"),
    [
        (OrnsteinUhlenbeck(1.0, 2**0.5), it.Gaussian(2.0, 0.25)),
        (VariancePreserving(0.1, 8.0), it.GaussianMixture([0.4, 0.6], [[-1.0], [1.0]], [[[0.2]], [[0.1]]])),
        (VarianceExploding(0.7), it.Gaussian([1.0, 0.0], [[1.0, 0.3], [0.3, 0.5]])),
        (TRAP, it.Gaussian(0.5, 2.0)),
    ],
    ids=["relaxation", "mixture", "pure noise", "driven"],
)
def test_entropy_production_is_that_of_the_closed_form(process, p0):
    paths = simulate(process, p0, 1.0, 30_000, 40, generator=3)
    exact = float(entropy_production(process, p0, 1.0))
    agrees(paths.mean("entropy_production"), exact, slack=2e-3)
    agrees(paths.mean("log_path_ratio"), exact, slack=2e-2)  # of the steps: coarse-grained where it is driven
    # exp(-S) is bounded here well enough for its mean to be judged
    weights = torch.exp(-paths.entropy_production)
    assert weights.mean().item() == pytest.approx(1.0, abs=4.5 * weights.std().item() / 30_000**0.5 + 5e-3)


def test_rotation_costs_8_a_unit_time_at_a_coarse_step_too():
    paths = simulate(ROTATING, SQUARE, 1.0, 30_000, 20, generator=4)
    agrees(paths.mean("entropy_production"), 8.0, slack=0.03)
    # what the steps alone show is the divergence of their kernel from its reversal: with the noise covariance C = v 1
    # and gain G, E |x - G x'|^2 - E |x' - G x|^2 over 2 v, exactly, which is less
    channel = ROTATING.transition(0.0, 0.05)
    gain, noise = channel.matrix(2), channel.noise_covariance(2)
    joint = torch.cat([torch.eye(2, dtype=F64), gain], 0)
    turned = torch.cat([torch.eye(2, dtype=F64), -gain], 1) @ joint
    own = turned @ turned.mT + gain @ noise @ gain.mT
    seen = 0.5 * torch.trace(torch.linalg.solve(noise, own) - torch.eye(2, dtype=F64)).item() / 0.05
    assert 7.0 < seen < 7.9
    agrees(paths.mean("log_path_ratio"), seen)


def test_two_baths_without_and_with_a_potential():
    # the Brownian gyrator: stiffness 1, coupling -1/2, temperatures 2 and 1; rate 1/16 in its steady state
    coupled = Langevin(
        potential=lambda x: 0.5 * (x**2).sum(-1) - 0.5 * x[..., 0] * x[..., 1], mobility=1.0, temperature=[2.0, 1.0]
    )
    stiffness = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=F64)
    forced = Langevin(force=lambda x: -x @ stiffness.to(x), mobility=1.0, temperature=[2.0, 1.0])
    rest = it.Gaussian([0.0, 0.0], [[2.5, 1.0], [1.0, 1.5]])
    for process in (coupled, forced):
        paths = simulate(process, rest, 2.0, 10_000, 100, generator=5, final_law=rest)
        agrees(paths.mean("entropy_production"), 2 / 16, slack=0.01)
        # heat flows from the hot to the cold bath, and in the mean none is left
        agrees(paths.mean("heat"), 0.0, slack=0.02)
    energy = 0.5 * (paths.final**2).sum(-1) - 0.5 * paths.final.prod(-1)
    assert torch.allclose(paths.work, paths.heat), "without an energy all work is heat"
    assert energy.shape == paths.work.shape


def test_a_quench_is_work_at_the_first_instant():
    # stiffness 1, then 4 from the first instant on: W = 3 x_0^2 / 2 on every path, and dF = log 2
    protocol = Protocol([0.0, 0.0, 0.5], [1.0, 4.0, 4.0])
    process = Langevin(potential=lambda x, k: 0.5 * k * (x**2).sum(-1), sigma=2**0.5, protocol=protocol)
    paths = simulate(process, NORMAL, 0.5, 20_000, 20, generator=6, final_law=False)
    assert torch.allclose(paths.work, 1.5 * paths.initial[:, 0] ** 2, rtol=1e-12)
    weights = torch.exp(-paths.work)
    assert weights.mean().item() == pytest.approx(0.5, abs=4.5 * weights.std().item() / 20_000**0.5)
    change = 0.5 * (4 * paths.final**2 - paths.initial**2)[:, 0]
    assert torch.allclose(change, paths.work - paths.heat, rtol=1e-9, atol=1e-12)


def test_a_jump_in_the_middle_begins_a_step():
    protocol = Protocol([0.0, 0.13, 0.13, 1.0], [0.0, 0.0, 2.0, 2.0])
    process = Langevin(potential=lambda x, c: 0.5 * ((x - c) ** 2).sum(-1), sigma=2**0.5, protocol=protocol)
    paths = simulate(process, NORMAL, 1.0, 100, 10, generator=7, save=[0.13], final_law=False)
    assert paths.saved_times.tolist() == [0.13]
    at = paths.states[0, :, 0]
    assert torch.allclose(paths.work, 0.5 * ((at - 2) ** 2 - at**2), rtol=1e-12)


def test_currents_and_first_passage_of_free_drift():
    drifting = Langevin(force=2.0, sigma=1.0, dim=1)
    starts = it.Gaussian(0.0, 1e-6)
    paths = simulate(
        drifting, starts, 6.0, 1000, 1200, generator=8, currents={"way": torch.ones_like}, final_law=False,
        target=lambda x: x[..., 0] > 3.0,
    )  # fmt: skip
    assert torch.allclose(paths.currents["way"], (paths.final - paths.initial)[:, 0], rtol=1e-10, atol=1e-12)
    assert torch.allclose(paths.work, 2 * paths.currents["way"], rtol=1e-10, atol=1e-10)
    assert torch.allclose(paths.medium_entropy, paths.work / 0.5)
    # mean 3 / 2; seen at ends of steps only, late by about 0.58 sigma sqrt(h) / v
    arrived = paths.first_passage[torch.isfinite(paths.first_passage)]
    assert len(arrived) > 990
    late = 0.5826 * (6.0 / 1200) ** 0.5 / 2
    assert arrived.mean().item() == pytest.approx(1.5 + late, abs=4.5 * arrived.std().item() / 1000**0.5 + 5e-3)


def test_multiplicative_noise_has_the_divergence_in_its_entropy():
    # dX = b dt + sigma(x) dB with b = div D + D f: the law exp(-x^2 / 2) is kept when f = -x, without any entropy
    def sigma(x, c):
        return (2 * (1 + 0.5 * torch.sin(x))).sqrt()

    process = Langevin(force=lambda x: 0.5 * torch.cos(x) - (1 + 0.5 * torch.sin(x)) * x, sigma=sigma)
    paths = simulate(process, NORMAL, 1.0, 4000, 200, generator=9, final_law=NORMAL)
    agrees(paths.mean("entropy_production"), 0.0, slack=0.02)
    assert paths.entropy_production.std().item() < 0.15  # zero on every path, but for the step
    assert torch.equal(paths.log_path_ratio, paths.entropy_production)


# -- each path -----------------------------------------------------------------------------------------------------


def test_the_ratio_of_euler_steps_is_that_of_their_densities():
    process = Langevin(force=lambda x, t: torch.sin(x) - t, sigma=[0.7, 1.1], temperature=None)
    p0 = it.Gaussian([0.0, 0.5], [[1.0, 0.0], [0.0, 1.0]])
    paths = simulate(process, p0, 1.0, 50, 8, generator=10, method="euler-maruyama", save=9, final_law=p0)
    total = p0.log_prob(paths.initial) - p0.log_prob(paths.final)
    h = 1 / 8
    noise = torch.tensor([0.49, 1.21], dtype=F64) * h
    for k in range(8):
        x, y = paths.states[k], paths.states[k + 1]

        def log_density(a, b, k=k):
            mean = a + h * (torch.sin(a) - (k + 0.5) * h)
            return (-0.5 * (b - mean) ** 2 / noise - 0.5 * noise.log()).sum(-1)

        total = total + log_density(x, y) - log_density(y, x)
    assert torch.allclose(paths.log_path_ratio, total, rtol=1e-9, atol=1e-9)


def test_the_ratio_of_exact_steps_is_that_of_their_densities():
    paths = simulate(ROTATING, SQUARE, 0.6, 50, 3, generator=11, save=4)
    channel = ROTATING.transition(0.0, 0.2)
    total = SQUARE.log_prob(paths.initial) - SQUARE.log_prob(paths.final)
    for k in range(3):
        x, y = paths.states[k], paths.states[k + 1]
        total = total + channel(x).log_prob(y) - channel(y).log_prob(x)
    assert torch.allclose(paths.log_path_ratio, total, rtol=1e-9, atol=1e-9)


def test_the_ratio_of_baoab_steps_obeys_the_fluctuation_theorem_at_a_coarse_step():
    # stationary law of the discrete chain or not: any law at the end gives a mean of exp(-ratio) of 1
    process = UnderdampedLangevin(potential=lambda x: (0.25 * x**4).sum(-1), temperature=[1.0])
    p0 = it.Gaussian([0.0, 0.0], [[0.5, 0.0], [0.0, 1.0]])
    paths = simulate(process, p0, 2.0, 40_000, 5, generator=12, final_law=p0)
    weights = torch.exp(-paths.log_path_ratio)
    assert weights.mean().item() == pytest.approx(1.0, abs=4.5 * weights.std().item() / 200)
    assert (paths.log_path_ratio - paths.entropy_production).abs().max() > 1e-3  # the step shows in their difference


@pytest.mark.parametrize("method", ["exact", "euler-maruyama", "stochastic-heun", "leimkuhler-matthews"])
def test_the_first_law_holds_on_every_path(method):
    paths = simulate(TRAP, NORMAL, 1.0, 200, 16, generator=13, method=method)
    energy = 0.5 * (paths.final[:, 0] - 1.0) ** 2 - 0.5 * paths.initial[:, 0] ** 2
    assert torch.allclose(paths.work - paths.heat, energy, atol=1e-12)
    assert torch.allclose(paths.entropy_production, paths.system_entropy + paths.medium_entropy)


def test_a_seed_gives_the_same_paths_however_many_there_are():
    few = simulate(TRAP, NORMAL, 1.0, 16_384, 4, generator=14)
    many = simulate(TRAP, NORMAL, 1.0, 40_000, 4, generator=14)
    again = simulate(TRAP, NORMAL, 1.0, 40_000, 4, generator=torch.Generator().manual_seed(14))
    assert torch.equal(few.final, many.final[:16_384]) and torch.equal(many.work, again.work)
    assert not torch.equal(few.final, simulate(TRAP, NORMAL, 1.0, 16_384, 4, generator=15).final)
    blocks = many.final[:16_384], many.final[16_384:32_768]
    assert abs(torch.corrcoef(torch.cat(blocks, 1).mT)[0, 1]) < 4.5 / 128
    assert few.streams == many.streams


def test_float32_paths_stay_float32_and_agree():
    single = simulate(TRAP, NORMAL, 1.0, 30_000, 20, generator=16, dtype=torch.float32)
    assert single.final.dtype == single.work.dtype == torch.float32
    mean = 1 + math.exp(-1) - 1
    agrees(single.mean("work"), mean, slack=2e-3)


def test_intervals_cover():
    truth = 1 + math.exp(-2)
    inside = 0
    for seed in range(100):
        low, high = simulate(TRAP, NORMAL, 2.0, 100, 10, generator=seed, final_law=False).mean("work").interval(0.95)
        inside += bool(low <= truth <= high)
    assert 88 <= inside <= 100  # binomial, below 88 with a probability of 0.2 %


# -- what is not known, and what is refused --------------------------------------------------------------------------


def test_a_start_from_atoms_is_absolutely_irreversible():
    for p0 in (it.Empirical([[0.0], [1.0]]), it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 0.0]])):
        paths = simulate(OrnsteinUhlenbeck(1.0, 1.0), p0, 1.0, 100, 4, generator=0)
        assert paths.medium_entropy.shape == (100,)
        with pytest.raises(ValueError, match="no entropy_production: p0 has atoms"):
            paths.entropy_production  # noqa: B018


def test_the_end_law_can_be_left_out_or_given():
    quick = simulate(TRAP, NORMAL, 1.0, 100, 4, generator=0, final_law=False)
    with pytest.raises(ValueError, match="not asked for"):
        quick.log_path_ratio  # noqa: B018
    given = simulate(TRAP, NORMAL, 1.0, 100, 4, generator=0, final_law=NORMAL)
    assert torch.allclose(given.system_entropy, NORMAL.log_prob(given.initial) - NORMAL.log_prob(given.final))
    with pytest.raises(ValueError, match="final_law must have D = 1"):
        simulate(TRAP, NORMAL, 1.0, 100, 4, final_law=SQUARE)


def test_a_step_that_is_too_coarse_is_told():
    with pytest.warns(RuntimeWarning, match="too coarse for euler-maruyama"):
        simulate(TRAP, NORMAL, 2.0, 20_000, 4, generator=0, method="euler-maruyama")
    with pytest.raises(ValueError, match=r"step 0.5 is too large for euler-maruyama.*stable below 0.4"):
        simulate(OrnsteinUhlenbeck(5.0, 1.0), NORMAL, 5.0, 100, 10, method="euler-maruyama")
    particle = UnderdampedLangevin(potential=lambda x: 50 * (x**2).sum(-1))
    with pytest.raises(ValueError, match=r"too large for baoab: the drift pulls back at rate 10"):
        simulate(particle, SQUARE, 5.0, 100, 10)
    quartic = Langevin(potential=lambda x: (x**4).sum(-1), sigma=1.0)
    with pytest.raises(ValueError, match=r"paths left every bound before time"):
        simulate(quartic, it.Gaussian(0.0, 0.05), 1000.0, 4000, 5000, final_law=False, generator=0)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="duration must be > 0"):
        simulate(TRAP, NORMAL, 0.0, 100, 4)
    with pytest.raises(ValueError, match="n_steps must be an integer of at least 1"):
        simulate(TRAP, NORMAL, 1.0, 100)
    with pytest.raises(ValueError, match="n_paths must be an integer of at least 2"):
        simulate(TRAP, NORMAL, 1.0, 1, 4)
    with pytest.raises(ValueError, match="ends after the horizon 1"):
        simulate(VariancePreserving(), NORMAL, 2.0, 100, 4)
    short = Langevin(**(MOVED | {"protocol": Protocol([0.0, 1.0], [0.0, 1.0])}), sigma=1.0)
    with pytest.raises(ValueError, match="shorter than the duration"):
        simulate(short, NORMAL, 2.0, 100, 4)
    sudden = Langevin(**(MOVED | {"protocol": lambda t: torch.where(t < 0.4, 0.0, 1.0)}), sigma=1.0)
    with pytest.raises(ValueError, match="jumps at time 0.4"):
        simulate(sudden, NORMAL, 1.0, 100, 10)
    broken = Langevin(potential=lambda x: x.log().sum(-1), sigma=1.0)
    with pytest.raises(ValueError, match="potential must be finite; got .* at the state"):
        simulate(broken, NORMAL, 1.0, 100, 10)
    with pytest.raises(TypeError, match="process must be a process"):
        simulate(NORMAL, NORMAL, 1.0, 100, 10)
    with pytest.raises(TypeError, match=r"no options \['keep_paths'\]"):
        simulate(TRAP, NORMAL, 1.0, 100, 10, keep_paths=True)
    with pytest.raises(ValueError, match="p0 must be one law"):
        simulate(TRAP, it.Gaussian([[0.0], [1.0]], [[1.0]]), 1.0, 100, 10)
    with pytest.raises(ValueError, match="save must be times between"):
        simulate(TRAP, NORMAL, 1.0, 100, 10, save=[2.0])


def test_progress_is_told():
    told = []
    simulate(TRAP, NORMAL, 1.0, 40_000, 2, progress=lambda done, total: told.append((done, total)), final_law=False)
    assert told == [(16_384, 40_000), (32_768, 40_000), (40_000, 40_000)]


@pytest.mark.slow
def test_a_compiled_drift_gives_the_same_paths():
    well = Langevin(potential=lambda x: ((x**2 - 1) ** 2).sum(-1), sigma=2**0.5)
    plain, fast = (
        simulate(well, NORMAL, 0.5, 1000, 20, generator=0, compile=c, final_law=False) for c in (False, True)
    )
    assert torch.allclose(plain.final, fast.final, rtol=1e-10)
