"""Feedback on a trap: references, closed form against cycles and quadrature, the second law with information."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.channels import DiscreteChannel, LinearGaussianChannel
from infotherm.core.verdict import decide
from infotherm.distributions import Discrete, Gaussian
from infotherm.information import kl
from infotherm.thermodynamics.feedback import (
    FEEDBACKS,
    generalised_jarzynski,
    trap_cycles,
    trap_engine,
    trap_jarzynski,
)

F64 = torch.float64
quick = settings(max_examples=20)
FILE = Path(__file__).parents[2] / "validation/references/information_thermodynamics.json"
CASES = {case["name"]: case for case in json.loads(FILE.read_text())}
PRIOR = Gaussian(0.0, 1.0)
# of a deviation beyond 4.5 standard errors: 7e-6 for each comparison, less than 1e-3 for this file
SIGMAS = 4.5


def agrees(sampled, exact):
    away = (sampled.value - exact.value).abs()
    return bool((away <= SIGMAS * sampled.stderr + sampled.error + exact.error).all())


def test_reference_values():
    case = CASES["feedback/noise-1"]
    spec, value = case["spec"], case["value"]
    channel = LinearGaussianChannel(1.0, spec["noise_variance"])
    shift = trap_engine(Gaussian(0.0, spec["prior_variance"]), channel, "shift")
    best = trap_engine(Gaussian(0.0, spec["prior_variance"]), channel)
    for found, expected in (
        (shift.extracted_work, value["extracted_work"]),
        (shift.information, value["information"]),
        (shift.efficiency, value["efficiency"]),
        (best.extracted_work, value["best_work"]),
        (best.efficiency, 1.0),
        (trap_jarzynski(PRIOR, channel), value["generalised_jarzynski"]),
    ):
        assert found.kind == "exact" and found.error < 1e-7
        assert abs(found.value.item() - expected) <= found.error.item() + case["tolerance"]
    assert shift.extracted_work.units == "energy" and shift.efficiency.units == "1"


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("noise", [0.25, 1.0, 4.0])
def test_cycles_agree_with_the_closed_form(feedback, noise):
    channel = LinearGaussianChannel(1.0, noise)
    options = {"temperature": 2.5}
    exact = trap_engine(PRIOR, channel, feedback, **options)
    sampled = trap_engine(PRIOR, channel, feedback, method="monte-carlo", n_samples=40_000, generator=1, **options)
    for name in ("extracted_work", "information", "efficiency"):
        assert agrees(getattr(sampled, name), getattr(exact, name)), name
        assert getattr(sampled, name).kind == "estimate"
    assert sampled.efficiency.stderr < 0.02


def test_the_standard_error_of_the_efficiency_is_that_of_a_ratio():
    # 100 repetitions know a spread to 7 %: 30 % is more than four of them
    runs = [
        trap_engine(PRIOR, LinearGaussianChannel(1.0, 1.0), "shift", method="monte-carlo", n_samples=2000, generator=s)
        for s in range(100)
    ]
    found = torch.stack([run.efficiency.value for run in runs]).std()
    stated = torch.stack([run.efficiency.stderr for run in runs]).mean()
    assert 0.7 < (found / stated).item() < 1.3


def random_case(seed, dim, outputs):
    g = torch.Generator().manual_seed(seed)
    root = torch.eye(dim, dtype=F64) + 0.5 * torch.randn(dim, dim, generator=g, dtype=F64)
    noise = torch.eye(outputs, dtype=F64) + 0.5 * torch.randn(outputs, outputs, generator=g, dtype=F64)
    matrix = torch.randn(outputs, dim, generator=g, dtype=F64)
    prior = Gaussian(torch.randn(dim, generator=g, dtype=F64), root @ root.mT)
    return prior, LinearGaussianChannel(matrix, noise @ noise.mT, torch.ones(outputs, dtype=F64))


@quick
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 3))
def test_second_law_with_information(seed, dim, outputs):
    prior, channel = random_case(seed, dim, outputs)
    shift, best = trap_engine(prior, channel, "shift"), trap_engine(prior, channel)
    assert shift.extracted_work.value <= shift.information.value + shift.information.error
    assert shift.efficiency.value <= 1 + shift.efficiency.error
    assert abs(best.efficiency.value.item() - 1) <= best.efficiency.error.item() < 1e-9
    # T (I - E KL(posterior || new trap)), a second route to the work of the shift
    reverse = channel.reverse(prior)
    posterior = reverse(channel(prior.mean).mean)
    spread = kl(Gaussian(posterior.mean, posterior.covariance), Gaussian(posterior.mean, prior.covariance))
    expected, work = shift.information - spread, shift.extracted_work
    assert abs(expected.value - work.value) <= expected.error + work.error < 1e-8


def test_a_batch_and_several_coordinates_by_cycles():
    prior, channel = random_case(4, 2, 3)
    exact = trap_engine(prior, channel, "shift")
    sampled = trap_engine(prior, channel, "shift", method="monte-carlo", n_samples=40_000, generator=2)
    assert agrees(sampled.extracted_work, exact.extracted_work) and agrees(sampled.efficiency, exact.efficiency)
    noises = torch.tensor([0.25, 1.0, 4.0], dtype=F64)
    batch = trap_engine(PRIOR, LinearGaussianChannel.isotropic(torch.ones(3, dtype=F64), noises), "shift")
    assert batch.efficiency.shape == (3,)
    assert torch.allclose(batch.extracted_work.value, 0.5 / (1 + noises), rtol=1e-14)
    drawn = trap_engine(
        PRIOR,
        LinearGaussianChannel.isotropic(torch.ones(3, dtype=F64), noises),
        "shift",
        method="monte-carlo",
        n_samples=20_000,
        generator=3,
    )
    assert agrees(drawn.efficiency, batch.efficiency)


def test_equality_with_information_and_its_variance():
    for noise in (0.25, 4.0):
        exact = trap_jarzynski(PRIOR, LinearGaussianChannel(1.0, noise))
        assert decide(exact, 1.0, "==").outcome == "holds"
    variance = exact.info["relative_variance"]
    assert variance.value.isfinite() and variance.kind == "exact"
    cycles = trap_cycles(PRIOR, LinearGaussianChannel(1.0, 4.0), "shift", n_samples=100_000, generator=5)
    weights = (cycles.extracted_work - cycles.information).exp()
    # the fourth moment is finite here: a spread of a percent or two
    assert abs(weights.var().item() - variance.value.item()) < 0.1 * variance.value.item()
    found = generalised_jarzynski(-cycles.extracted_work, cycles.information)
    assert found.kind == "estimate" and decide(found, 1.0, ">=").outcome != "violated"
    assert abs(found.value.item() - 1) <= SIGMAS * found.stderr.item() + found.error.item()


def test_infinite_variance_is_refused():
    sharp = LinearGaussianChannel(1.0, 0.25)
    assert trap_jarzynski(PRIOR, sharp).info["relative_variance"].value.item() == math.inf
    for seed in range(3):
        cycles = trap_cycles(PRIOR, sharp, "shift", n_samples=50_000, generator=seed)
        found = generalised_jarzynski(-cycles.extracted_work, cycles.information)
        assert found.kind == "unknown" and found.info["reason"]
    # with the posterior as the trap there is no spread at all
    cycles = trap_cycles(PRIOR, sharp, n_samples=1000, generator=0)
    found = generalised_jarzynski(-cycles.extracted_work, cycles.information)
    assert found.kind == "estimate" and abs(found.value.item() - 1) <= found.error.item()
    assert trap_jarzynski(PRIOR, sharp, "shift-and-stiffen").info["relative_variance"].value.item() < 1e-12


def test_free_energy_and_temperature_enter_the_equality():
    work, information = torch.full((200,), 3.0, dtype=F64), torch.full((200,), 0.5, dtype=F64)
    found = generalised_jarzynski(work, information, temperature=2.0, free_energy_difference=4.0)
    assert found.value.item() == pytest.approx(1.0, rel=1e-14)


def test_an_exact_measurement_only_shifts():
    engine = trap_engine(PRIOR, LinearGaussianChannel(1.0, 0.0), "shift")
    assert engine.information.value.item() == math.inf and engine.efficiency.value.item() == 0.0
    assert engine.extracted_work.value.item() == pytest.approx(0.5, rel=1e-14)


def test_gradient_of_the_work():
    noise = torch.tensor([[1.0]], dtype=F64, requires_grad=True)
    work = trap_engine(PRIOR, LinearGaussianChannel([[1.0]], noise), "shift").extracted_work
    (slope,) = torch.autograd.grad(work.value, noise)
    assert slope.item() == pytest.approx(-0.125, rel=1e-12)


NOISY = LinearGaussianChannel(1.0, 1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: trap_engine(PRIOR, NOISY, "stiffen"), ValueError, "feedback must be .*; got 'stiffen'"),
        (lambda: trap_engine(PRIOR, NOISY, method="guess"), ValueError, "got 'guess'"),
        (lambda: trap_engine(PRIOR, NOISY, temperature=0.0), ValueError, "temperature must be positive"),
        (lambda: trap_engine(PRIOR, LinearGaussianChannel(0.0, 1.0)), ValueError, "must tell something"),
        (lambda: trap_engine(PRIOR, LinearGaussianChannel(1.0, 0.0)), ValueError, "must be noisy"),
        (lambda: trap_engine(Gaussian(0.0, 0.0), NOISY), ValueError, "without spread"),
        (lambda: trap_engine(Discrete([0.5, 0.5]), NOISY), TypeError, "prior must be Gaussian"),
        (lambda: trap_engine(PRIOR, DiscreteChannel([[1.0]])), TypeError, "measurement must be a LinearGaussian"),
        (lambda: trap_jarzynski(Gaussian([0.0, 0.0], torch.eye(2)), NOISY), ValueError, "one coordinate each"),
        (lambda: generalised_jarzynski(torch.zeros(5), torch.zeros(6)), ValueError, "one shape"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
