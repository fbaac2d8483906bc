"""Noise schedules: integrals against quadrature, three ways to give the same one, and what is none."""

import math

import pytest
import torch
from scipy.integrate import quad

from infotherm.processes import VariancePreserving
from infotherm.processes.schedules import cosine_schedule, linear_schedule, schedule_of

F64 = torch.float64


def tensors(*times):
    return [torch.tensor(t, dtype=F64) for t in times]


@pytest.mark.parametrize(
    "schedule",
    [
        linear_schedule(0.5, 3.0, 2.0),
        schedule_of(lambda t: 1 + torch.sin(6 * t), 2.0),
        schedule_of(cosine_schedule(2.0), 2.0),
    ],
    ids=["linear", "a function", "cosine"],
)
def test_the_integral_is_that_of_the_rate(schedule):
    for start, end in ((0.0, 0.7), (0.3, 1.9), (1.2, 1.2)):
        by_scipy, uncertainty = quad(lambda t: schedule.beta(*tensors(t)).item(), start, end, epsrel=1e-11)
        found = schedule.integral(*tensors(start, end)).item()
        assert abs(found - by_scipy) <= schedule.accuracy * abs(by_scipy) + max(uncertainty, 1e-12)
    ends = schedule.beta(torch.tensor([0.0, 2.0], dtype=F64)).tolist()
    assert len(ends) == 2 and min(ends) > 0


def test_linear_ends():
    assert linear_schedule(0.5, 3.0, 2.0).beta(torch.tensor([0.0, 2.0], dtype=F64)).tolist() == [0.5, 3.0]


def test_beyond_the_cut_the_cosine_schedule_is_constant():
    beta, integral = cosine_schedule(horizon=2.0, most=40.0)
    cut = 2.0 * (1.008 * math.atan(40.0 * 1.008 / math.pi) / (math.pi / 2) - 0.008)
    assert beta(cut - 1e-9).item() == pytest.approx(20.0, rel=1e-6) and beta(cut - 0.05).item() < 15.0
    assert beta([cut + 1e-9, 2.0]).tolist() == [20.0, 20.0]
    before = integral(0.5, cut).item()
    assert integral(0.5, 2.0).item() == pytest.approx(before + 20.0 * (2.0 - cut), rel=1e-12)
    assert integral(cut + 0.01, 2.0).item() == pytest.approx(20.0 * (1.99 - cut), rel=1e-12)


def test_schedules():
    linear = VariancePreserving(0.5, 3.0, horizon=2.0)
    found = VariancePreserving(beta=lambda t: 0.5 + 1.25 * t, horizon=2.0)
    pair = VariancePreserving(
        beta=(lambda t: 0.5 + 1.25 * t, lambda s, t: (t - s) * (0.5 + 0.625 * (s + t))), horizon=2.0
    )
    single = VariancePreserving(beta=lambda t: 0.5 + 1.25 * float(t), horizon=2.0)  # knows one time only
    times = torch.tensor([[0.2], [0.7], [2.0]], dtype=F64)
    for process in (found, pair, single):
        assert (process.beta_min, process.beta_max) == (0.5, 3.0)
        for part in ("gain", "noise_variance"):
            known = getattr(linear.transition(0.1, times[1:]), part)
            assert torch.allclose(getattr(process.transition(0.1, times[1:]), part), known, rtol=1e-13)
        assert torch.allclose(
            process.integrated_diffusion(0.0, times), linear.integrated_diffusion(0.0, times), rtol=1e-13
        )
    stepped = VariancePreserving(beta=lambda t: torch.where(t < 0.3, 1.0, 4.0).to(F64))
    assert stepped.transition(0.0, 1.0).gain.item() == pytest.approx(math.exp(-0.5 * (0.3 + 2.8)), rel=1e-9)


def test_the_cosine_schedule():
    process = VariancePreserving(beta=cosine_schedule(horizon=2.0, offset=0.01), horizon=2.0)
    angle = lambda t: (t / 2 + 0.01) / 1.01 * math.pi / 2  # noqa: E731
    for t in (0.0, 0.3, 1.9):
        gain = process.transition(0.0, t).gain.item()
        assert gain == pytest.approx(math.cos(angle(t)) / math.cos(angle(0.0)), rel=1e-13)
    assert process.beta_max == 500.0 and process.transition(0.0, 2.0).gain.item() > 0.0
    brief = process.transition(1.0, 1.0 + 2.0**-40)
    assert brief.noise_variance.item() == pytest.approx(process.beta(1.0).item() * 2.0**-40, rel=1e-11)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VariancePreserving(beta=lambda t: t - 0.5), r"beta must be >= 0; got -0.5 at time 0"),
        (lambda: VariancePreserving(beta=lambda t: 1 / t).beta(0.0), "beta must be finite"),
        (lambda: VariancePreserving(beta=lambda t: [t, t]), "beta must be a function of time that returns 0 axes"),
        (
            lambda: VariancePreserving(beta=(lambda t: 1 + t, lambda s, t: t - s)),
            "the integral given must be that of beta; from 0.5 to 0.9 it is 0.4, quadrature gives 0.68",
        ),
        (lambda: cosine_schedule(offset=0.0), "offset must be a finite number > 0; got 0.0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_schedule_that_is_none():
    for beta in (1.0, (torch.sin,), "cosine"):
        with pytest.raises(TypeError, match="beta must be a function of time, or a pair of functions"):
            VariancePreserving(beta=beta)
