"""Variance-preserving, variance-exploding and straight-line processes."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.distributions import Empirical, Gaussian, GaussianMixture
from infotherm.processes import (
    AffineDiffusion,
    StraightLine,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
    steady_state,
)
from infotherm.processes.schedules import cosine_schedule

F64 = torch.float64
CASES = json.loads((Path(__file__).parents[2] / "validation/references/diffusion_gaussian.json").read_text())

PROCESSES = {
    "VP": VariancePreserving(),
    "VP narrow": VariancePreserving(0.1, 16.0, kappa=0.1, horizon=2.0),
    "VP from rest": VariancePreserving(0.0, 8.0),
    "VP of a function": VariancePreserving(beta=lambda t: 1 + torch.sin(6 * t), kappa=0.5, horizon=2.0),
    "VP cosine": VariancePreserving(beta=cosine_schedule()),
    "sub-VP": SubVariancePreserving(0.1, 16.0, kappa=0.5, horizon=2.0),
    "sub-VP of a function": SubVariancePreserving(beta=lambda t: 1 + torch.sin(6 * t)),
    "VE": VarianceExploding(),
    "VE geometric": VarianceExploding(sigma_min=0.01, sigma_max=5.0, horizon=1.5),
    "straight line": StraightLine(0.3),
}
every_process = pytest.mark.parametrize("process", list(PROCESSES.values()), ids=list(PROCESSES))


@every_process
@settings(max_examples=25)
@given(fractions=st.lists(st.floats(0.0, 0.99), min_size=3, max_size=3))
def test_chapman_kolmogorov(process, fractions):
    early, middle, late = sorted(f * (process.horizon or 3.0) for f in fractions)
    in_turn = process.transition(middle, late) @ process.transition(early, middle)
    at_once = process.transition(early, late)
    assert math.isclose(in_turn.gain.item(), at_once.gain.item(), rel_tol=1e-13)
    # the variance is a difference where the times are close: absolute accuracy is that of the times
    scale = process.integrated_diffusion(0.0, late).item()
    assert math.isclose(
        in_turn.noise_variance.item(), at_once.noise_variance.item(), rel_tol=1e-12, abs_tol=1e-14 * scale
    )


@every_process
def test_moments_obey_the_equations_of_motion(process):
    t, h = 0.4, 1e-4
    moments = {d: process.transition(0.0, t + d) for d in (-2 * h, -h, h, 2 * h)}

    def slope(part):
        values = {d: getattr(channel, part).item() for d, channel in moments.items()}
        return (8 * (values[h] - values[-h]) - (values[2 * h] - values[-2 * h])) / (12 * h)

    now = process.transition(0.0, t)
    pull, sigma = process.pull(t).item(), process.diffusion(t).item()
    assert slope("gain") == pytest.approx(-pull * now.gain.item(), rel=1e-9, abs=1e-12)
    assert slope("noise_variance") == pytest.approx(-2 * pull * now.noise_variance.item() + sigma**2, rel=1e-8)


@every_process
def test_integrated_diffusion_is_an_integral(process):
    from infotherm.core.quadrature import integrate

    found = integrate(lambda t: process.diffusion(t).square(), 0.1, 0.8)
    assert process.integrated_diffusion(0.1, 0.8).item() == pytest.approx(found.value.item(), rel=1e-12)


@every_process
def test_the_force_is_that_of_drift_and_noise(process):
    x = torch.tensor([0.7, -1.3], dtype=F64)
    matrix, offset = process.force(0.3, 2)
    pushed = process.diffusion_matrix(0.3, 2) @ (matrix @ x + offset)
    assert torch.allclose(pushed, process.drift(x, 0.3), rtol=1e-13)
    assert torch.allclose(process.drift_matrix(0.3, 2) @ x + process.drift_offset(0.3, 2), process.drift(x, 0.3))


@pytest.mark.parametrize("name", ["VP", "VP narrow", "VP of a function", "VP cosine", "straight line"])
def test_the_quasi_invariant_law_is_kept_and_has_the_force_as_its_score(name):
    process = PROCESSES[name]
    law = process.quasi_invariant(0.5, dim=3)
    later = process.marginal(law, 0.9)
    assert torch.allclose(later.covariance, law.covariance, rtol=1e-13)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    matrix, offset = process.force(0.5, 3)
    assert torch.allclose(x @ matrix.mT + offset, law.score(x), rtol=1e-13)
    assert torch.equal(steady_state(process, dim=3).covariance, law.covariance)


@pytest.mark.parametrize("name", ["VE", "VE geometric"])
def test_exploding_has_no_quasi_invariant_law(name):
    with pytest.raises(ValueError, match="VarianceExploding has no quasi-invariant law"):
        PROCESSES[name].quasi_invariant(0.5)


@pytest.mark.parametrize("process", [VariancePreserving(), VarianceExploding(), StraightLine(0.3)])
def test_a_short_time_loses_no_digits(process):
    brief = 1e-13
    channel = process.transition(0.0, brief)
    expected = process.diffusion(0.0).item() ** 2 * brief
    assert channel.noise_variance.item() == pytest.approx(expected, rel=1e-9)


@every_process
def test_times_are_a_batch(process):
    times = torch.tensor([[0.0], [0.2], [0.9]], dtype=F64)
    laws = Gaussian(torch.tensor([[0.0, 1.0], [2.0, 3.0]], dtype=F64), torch.eye(2, dtype=F64))
    together = process.marginal(laws, times)
    assert together.batch_shape == (3, 2)
    for i, t in enumerate((0.0, 0.2, 0.9)):
        assert torch.allclose(together.mean[i], process.marginal(laws, t).mean)
        assert torch.allclose(together.covariance[i], process.marginal(laws, t).covariance)


@pytest.mark.parametrize("case", [c for c in CASES if "mean" in c["value"]], ids=lambda c: c["name"])
def test_reference_moments(case):
    spec, value = case["spec"], case["value"]
    process = build(spec)
    initial = Gaussian(spec["initial"]["mean"], spec["initial"]["covariance"])
    final = process.marginal(initial, spec["duration"])
    assert torch.allclose(final.mean, torch.tensor(value["mean"], dtype=F64), rtol=1e-13, atol=1e-14)
    assert torch.allclose(final.covariance, torch.tensor(value["covariance"], dtype=F64), rtol=1e-13, atol=1e-14)
    for t, information in value.get("information", {}).items():
        snr = process.transition(0.0, float(t)).signal_to_noise(initial)
        assert (torch.log1p(snr).sum() / 2).item() == pytest.approx(information, rel=1e-12)
    if "integrated_diffusion" in value:
        noise = process.integrated_diffusion(0.0, spec["duration"]).item()
        assert noise == pytest.approx(value["integrated_diffusion"], rel=1e-14)


def build(spec):
    import infotherm.processes as processes

    options = {k: v for k, v in spec.items() if k not in ("process", "duration", "initial")}
    return getattr(processes, spec["process"])(**options)


@pytest.mark.parametrize("name", ["sub-VP", "sub-VP of a function"])
def test_sub_vp_against_the_integrated_equations(name):
    process = PROCESSES[name]
    end = process.horizon
    from infotherm.thermodynamics import entropy_production_rate

    same = AffineDiffusion(lambda t: process.drift_matrix(t), lambda t: process.diffusion(t), horizon=end)
    rates = [entropy_production_rate(p, Gaussian(0.5, 0.3), 0.3 * end).value.item() for p in (process, same)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-12)
    assert same.transition(0.3 * end, end).matrix(1).item() == pytest.approx(
        process.transition(0.3 * end, end).gain.item(), rel=1e-11
    )
    for start in (0.3 * end, 0.001 * end):
        own, integrated = process.transition(start, end), same.transition(start, end)
        assert own.noise_variance.item() == pytest.approx(integrated.noise_covariance(1).item(), rel=1e-11)
    whole = process.transition(0.0, end)
    passed = -2 * math.log(whole.gain.item())
    assert whole.noise_variance.item() == pytest.approx(process.kappa**2 * (1 - math.exp(-passed)) ** 2, rel=1e-12)


def test_sub_vp_has_a_law_for_each_time_and_none_at_the_start():
    process = PROCESSES["sub-VP"]
    laws = process.quasi_invariant([0.1, 1.0, 2.0], dim=2)
    passed = -2 * process.transition(0.0, [0.1, 1.0, 2.0]).gain.log()
    assert torch.allclose(laws.covariance[:, 0, 0], 0.25 * (1 - torch.exp(-2 * passed)), rtol=1e-13)
    frozen = AffineDiffusion(process.drift_matrix(1.0), process.diffusion(1.0))
    assert torch.allclose(frozen.quasi_invariant(0.0).covariance[0], laws.covariance[1, :1, 0], rtol=1e-13)
    assert process.static_force() is None and process.has_energy() and not process.is_static
    with pytest.raises(ValueError, match="t must be > 0"):
        steady_state(process)
    assert process.diffusion(0.0).item() == 0.0
    for singular in (process.force, process.quasi_invariant, lambda t: process.energy([1.0], t)):
        with pytest.raises(ValueError, match="the force D\\^-1 b is infinite there, and the entropy production"):
            singular(0.0)


def test_entropy_production_of_sub_vp():
    from infotherm.core.quadrature import integrate
    from infotherm.thermodynamics import entropy_production

    process, law = PROCESSES["sub-VP"], Gaussian([0.5, -0.2], [[0.3, 0.1], [0.1, 0.2]])
    start, end = 0.01, 1.2
    found = entropy_production(process, law, end - start, start=start)

    # by hand: the mean velocity in the metric of D, from the closed moments

    def rate(t):
        moved = process.transition(torch.full_like(t, start), t).output(law)
        sigma, pull = process.diffusion(t), process.pull(t)
        score, eye = torch.linalg.inv(moved.covariance), torch.eye(2, dtype=F64)
        field = -pull[..., None, None] * eye + 0.5 * sigma.square()[..., None, None] * score
        drifted = pull[..., None] * moved.mean
        square = (field @ moved.covariance @ field.mT).diagonal(dim1=-2, dim2=-1).sum(-1) + drifted.square().sum(-1)
        return square / (0.5 * sigma.square())

    by_hand = integrate(rate, start, end, rtol=1e-11)
    assert abs(found.value - by_hand.value).item() <= found.error.item() + by_hand.error.item()
    # and from t = 0 it diverges: each decade nearer adds the same amount, E|x|^2 log(10) / (4 kappa^2) in the limit
    near = [entropy_production(process, law, 0.5 - s, start=s).value.item() for s in (1e-7, 1e-6)]
    moment = float(law.covariance.diagonal().sum() + law.mean.square().sum())
    assert near[0] - near[1] == pytest.approx(moment * math.log(10) / (4 * process.kappa**2), rel=1e-4)
    with pytest.raises(ValueError, match="the entropy production from there diverges logarithmically"):
        entropy_production(process, law, 0.5)


def test_laws_of_every_family_move():
    process = VariancePreserving()
    for law in (Empirical([[0.0], [2.0]]), GaussianMixture([0.5, 0.5], [-1.0, 1.0], [0.1, 0.2])):
        later = process.marginal(law, 0.5)
        gain = process.transition(0.0, 0.5).gain
        assert torch.allclose(later.mean, gain * law.mean)
    single = process.marginal(Gaussian(torch.zeros(2), torch.eye(2) / 4), torch.tensor([0.1, 0.5]))
    assert single.mean.dtype == torch.float32 and single.covariance.dtype == torch.float32
    assert process.drift(torch.ones(3), 0.5).dtype == torch.float32


def test_the_straight_line_ends():
    process = StraightLine(0.1)
    end = process.marginal(Gaussian(5.0, 2.0), 1.0)
    assert end.mean.item() == 0.0 and end.covariance.item() == pytest.approx(0.01, rel=1e-15)
    assert process.integrated_diffusion(0.0, 1.0).item() == math.inf
    for infinite in (process.diffusion, lambda t: process.drift([1.0], t), process.drift_matrix):
        with pytest.raises(ValueError, match="t must be < 1: the straight-line process is singular"):
            infinite(1.0)
    with pytest.raises(ValueError, match="t0 must be < 1"):
        process.transition(1.0, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VariancePreserving().transition(0.5, 0.2), "t1 must not be before t0; got t0 = 0.5, t1 = 0.2"),
        (lambda: VariancePreserving().transition(0.0, 1.5), "t1 must be <= the horizon 1.0; got 1.5"),
        (lambda: VariancePreserving().transition(-0.1, 0.5), "t0 must be >= 0.0; got -0.1"),
        (lambda: VariancePreserving().transition(0.0, math.nan), "t1 must be finite"),
        (lambda: VariancePreserving().diffusion([0.1, 2.0]), "t must be <= the horizon 1.0; got 2.0"),
        (lambda: VariancePreserving(beta_min=-1.0), "beta_min must be a finite number >= 0.0; got -1.0"),
        (lambda: VariancePreserving(kappa=0.0), "kappa must be a finite number > 0.0"),
        (lambda: VariancePreserving(kappa=[1.0, 2.0]), "kappa must be one number"),
        (lambda: SubVariancePreserving(kappa=-1.0), "kappa must be a finite number > 0.0"),
        (lambda: VarianceExploding(1.0, sigma_min=0.1, sigma_max=1.0), "give either sigma, or both"),
        (lambda: VarianceExploding(sigma_min=0.1), "give either sigma, or both"),
        (lambda: VarianceExploding(sigma_min=1.0, sigma_max=0.5), "sigma_max must be a finite number > 1.0"),
        (lambda: StraightLine(-1.0), "sigma0 must be a finite number > 0.0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
