"""Integrators: each against an exact law, at the order it states."""

import math

import pytest
import torch

from infotherm.processes import AffineDiffusion, Langevin, OrnsteinUhlenbeck, UnderdampedLangevin
from infotherm.processes.integrators import (
    BAOAB,
    INTEGRATORS,
    EulerMaruyama,
    Exact,
    LeimkuhlerMatthews,
    StochasticHeun,
    integrator_for,
)

F64 = torch.float64
OU = OrnsteinUhlenbeck(1.3, 0.8, mean=0.5)


def moments(integrator, process, steps, duration=1.0, start=2.0):
    """Mean and variance after the steps, without sampling: a linear scheme is run on 0, and on each unit noise."""
    times = torch.linspace(0.0, duration, steps + 1, dtype=F64)

    def end(noises):
        state = integrator.init(process, torch.full((noises.shape[1], 1), start, dtype=F64), times)
        for noise in noises:
            state = integrator.step(state, noise[:, None])
        return state.x[:, 0]

    noises = torch.cat([torch.zeros(steps, 1, dtype=F64), torch.eye(steps, dtype=F64)], 1)
    found = end(noises)
    return found[0].item(), (found[1:] - found[0]).square().sum().item()


def truth(process, duration=1.0, start=2.0):
    law = process.transition(0.0, duration)(torch.tensor([start], dtype=F64))
    return law.mean.item(), law.covariance.item()


@pytest.mark.parametrize("name", ["euler-maruyama", "stochastic-heun", "leimkuhler-matthews"])
def test_the_weak_order_is_the_one_stated(name):
    integrator = INTEGRATORS[name]()
    exact = truth(OU)
    errors = []
    for steps in (32, 64):
        found = moments(integrator, OU, steps)
        errors.append([abs(a - b) for a, b in zip(found, exact, strict=True)])
    orders = [math.log2(coarse / fine) for coarse, fine in zip(*errors, strict=True)]
    assert all(order > integrator.weak_order - 0.15 for order in orders), orders
    assert min(orders) < integrator.weak_order + 0.3, "the order stated is too modest"


@pytest.mark.parametrize(
    "process",
    [
        OU,
        OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], [[1.0, 0.0], [0.5, 0.3]], mean=[1.0, 0.0]),
        AffineDiffusion([[-1.0]], lambda t: 1 + t, lambda t: torch.sin(t)[..., None]),
    ],
    ids=["scalar", "matrix", "driven"],
)
def test_exact_steps_compose_to_the_transition(process):
    dim = process.dim or 1
    start = torch.linspace(0.3, 1.0, dim, dtype=F64)
    times = torch.tensor([0.0, 0.2, 0.7, 1.0], dtype=F64)
    steps = len(times) - 1
    noises = torch.cat([torch.zeros(1, steps * dim, dtype=F64), torch.eye(steps * dim, dtype=F64)])
    state = Exact().init(process, start.expand(len(noises), dim), times)
    for k in range(steps):
        state = Exact().step(state, noises[:, k * dim : (k + 1) * dim])
    mean, spread = state.x[0], state.x[1:] - state.x[0]
    law = process.transition(0.0, 1.0)(start)
    assert torch.allclose(mean, law.mean, rtol=1e-12)
    assert torch.allclose(spread.mT @ spread, law.covariance, rtol=1e-11)


def stationary_variance(integrator, process, h, steps):
    times = h * torch.arange(steps + 1, dtype=F64)
    state = integrator.init(process, torch.zeros(1, 1, dtype=F64), times)
    responses = []
    for k in range(steps):  # the response of the last state to a unit noise k steps before, by one impulse run
        state = integrator.step(state, torch.full((1, 1), float(k == 0), dtype=F64))
        responses.append(state.x.item())
    return sum(r * r for r in responses)


@pytest.mark.parametrize("h", [0.1, 0.5])
def test_stationary_variances_of_the_harmonic_well(h):
    # unit stiffness and temperature: Euler-Maruyama 1 / (1 - h / 2), Leimkuhler-Matthews exactly 1
    well = OrnsteinUhlenbeck(1.0, 2**0.5)
    steps = int(60 / h)
    assert stationary_variance(EulerMaruyama(), well, h, steps) == pytest.approx(1 / (1 - h / 2), rel=1e-12)
    assert stationary_variance(LeimkuhlerMatthews(), well, h, steps) == pytest.approx(1.0, rel=1e-12)
    heun = stationary_variance(StochasticHeun(), well, h, steps)
    assert heun != pytest.approx(1.0, abs=h**2 / 20) and heun == pytest.approx(1.0, abs=h**2)


def test_baoab_keeps_the_positions_of_a_harmonic_well_at_any_step():
    particle = UnderdampedLangevin(potential=lambda x: 0.5 * (x**2).sum(-1), friction=0.7, temperature=1.5)
    h, steps = 0.8, 400
    times = h * torch.arange(steps + 1, dtype=F64)
    state = BAOAB().init(particle, torch.zeros(1, 2, dtype=F64), times)
    total = 0.0
    for k in range(steps):
        state = BAOAB().step(state, torch.full((1, 1), float(k == 0), dtype=F64))
        total += state.x[0, 0].item() ** 2
    assert total == pytest.approx(1.5, rel=1e-10)


def test_the_strong_order_of_euler_maruyama_with_multiplicative_noise_is_one_half():
    # dX = X dB has the solution exp(B - t / 2); in the mean over paths the error falls as sqrt(h)
    process = Langevin(force=lambda x: 0.0 * x, sigma=lambda x, c: x)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(256, 4000, 1, dtype=F64, generator=generator)
    exact = torch.exp(noise.sum(0)[:, 0] / 16 - 0.5)
    errors = []
    for merged in (16, 4):
        steps = 256 // merged
        grouped = noise.reshape(steps, merged, 4000, 1).sum(1) / merged**0.5
        state = EulerMaruyama().init(process, torch.ones(4000, 1, dtype=F64), torch.linspace(0, 1, steps + 1))
        for k in range(steps):
            state = EulerMaruyama().step(state, grouped[k])
        errors.append((state.x[:, 0] - exact).abs().mean().item())
    assert math.log(errors[0] / errors[1], 4) == pytest.approx(0.5, abs=0.1)


def test_a_langevin_process_and_an_affine_one_step_alike():
    langevin = Langevin(potential=lambda x: 0.65 * ((x - 0.5) ** 2).sum(-1), sigma=0.8)
    noise = torch.randn(5, 7, 1, dtype=F64, generator=torch.Generator().manual_seed(1))
    for scheme in (EulerMaruyama(), StochasticHeun(), LeimkuhlerMatthews()):
        ends = []
        for process in (OU, langevin):
            state = scheme.init(process, torch.zeros(7, 1, dtype=F64), torch.linspace(0, 1, 6))
            for step in noise:
                state = scheme.step(state, step)
            ends.append(state.x)
        assert torch.allclose(*ends, rtol=1e-13)


def test_dtype_and_shape_are_those_of_the_states():
    x = torch.zeros(3, 4, 2, dtype=torch.float32)
    for process in (OU, OrnsteinUhlenbeck([[1.0, 0.2], [0.0, 1.0]], 1.0)):
        for scheme in (Exact(), EulerMaruyama(), StochasticHeun()):
            state = scheme.step(scheme.init(process, x, [0.0, 0.1]), torch.ones_like(x))
            assert state.x.shape == x.shape and state.x.dtype == x.dtype and state.index == 1


def test_auto_takes_the_best_that_fits():
    assert integrator_for(OU).name == "exact"
    assert integrator_for(Langevin(force=lambda x: -x, sigma=1.0)).name == "stochastic-heun"
    assert integrator_for(Langevin(force=lambda x: -x, sigma=lambda x, c: 1 + x**2)).name == "euler-maruyama"
    assert integrator_for(UnderdampedLangevin(force=lambda x: -x)).name == "baoab"


def test_what_does_not_fit_is_refused():
    x, times = torch.zeros(2, 1, dtype=F64), [0.0, 0.1]
    multiplicative = Langevin(force=lambda x: -x, sigma=lambda x, c: 1 + x**2)
    particle = UnderdampedLangevin(force=lambda x: -x)
    with pytest.raises(ValueError, match="method must be 'auto' or one of"):
        integrator_for(OU, "runge-kutta")
    with pytest.raises(TypeError, match="euler-maruyama"):
        StochasticHeun().init(multiplicative, x, times)
    with pytest.raises(TypeError, match="affine"):
        Exact().init(multiplicative, x, times)
    with pytest.raises(TypeError, match="BAOAB is for UnderdampedLangevin"):
        BAOAB().init(OU, x, times)
    with pytest.raises(TypeError, match="stepped by BAOAB"):
        EulerMaruyama().init(particle, torch.zeros(2, 2, dtype=F64), times)
    with pytest.raises(ValueError, match="increasing edges"):
        Exact().init(OU, x, [0.0, 0.0])
    with pytest.raises(ValueError, match="batch"):
        Exact().init(OrnsteinUhlenbeck(torch.eye(1, dtype=F64).expand(3, 1, 1), 1.0), x, times)
    with pytest.raises(ValueError, match="x must have shape"):
        Exact().init(OrnsteinUhlenbeck([[1.0, 0.0], [0.0, 1.0]], 1.0), x, times)
