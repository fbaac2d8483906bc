"""Learning: both sides of the bound by quadrature, by moments, by simulated weights; limits."""

import itertools
import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp

from infotherm.core.sample_means import from_samples
from infotherm.distributions import Gaussian
from infotherm.processes import AffineDiffusion
from infotherm.thermodynamics.learning import hebbian_weight
from infotherm.thermodynamics.simulation import simulate

F64 = torch.float64
quick = settings(max_examples=8)
SIGMAS = 4.5  # false alarms: 7e-6 for each comparison


def binary(p):
    return -p * math.log(p) - (1 - p) * math.log1p(-p) if 0 < p < 1 else 0.0


@quick
@given(
    st.floats(1e-3, 30.0),
    st.floats(0.05, 5.0),
    st.integers(1, 6),
    st.sampled_from(["sudden", "linear"]),
    st.floats(0.3, 3.0),
    st.floats(0.3, 3.0),
    st.floats(0.1, 20.0),
)
def test_what_is_learnt_is_less_than_it_costs(duration, rate, samples, drive, stiffness, temperature, gain):
    learnt = hebbian_weight(
        duration, rate, samples=samples, drive=drive, stiffness=stiffness, temperature=temperature, gain=gain
    )
    slack = learnt.weight_information - learnt.label_information
    assert slack.value.item() >= -slack.error.item()
    slack = learnt.cost - learnt.weight_information
    assert slack.value.item() >= -slack.error.item()
    assert -learnt.efficiency.error <= learnt.efficiency.value <= 1 + learnt.efficiency.error
    # the noise does not know the labels: the entropy of the weight grows by what it knows
    gap = learnt.entropy_change - learnt.weight_information
    assert abs(gap.value.item()) <= gap.error.item() < 1e-8


@pytest.mark.parametrize("drive", ["sudden", "linear"])
@pytest.mark.parametrize("duration", [0.003, 0.05, 0.7, 6.0])
def test_heat_and_shift_by_equations_of_motion(drive, duration):
    k, rate, temperature, samples = 1.7, 0.9, 0.6, 3

    def slopes(t, y):
        force = rate if drive == "sudden" else rate * t / duration
        speed = force - k * y[0]
        return [speed, speed**2]

    solved = solve_ivp(slopes, (0.0, duration), [0.0, 0.0], rtol=1e-11, atol=1e-18, method="DOP853").y[:, -1]
    learnt = hebbian_weight(
        duration, rate, samples=samples, drive=drive, stiffness=k, temperature=temperature, gain=2.5
    )
    assert learnt.heat.value.item() == pytest.approx(samples * solved[1] / temperature, rel=1e-8)
    # accuracy by enumeration of all labels with that shift
    spread, total = math.sqrt(temperature / k), 0.0
    for others in itertools.product([-1, 1], repeat=samples - 1):
        centre = solved[0] * (1 + sum(others))

        def right(w, centre=centre):
            density = math.exp(-0.5 * ((w - centre) / spread) ** 2) / spread / math.sqrt(2 * math.pi)
            return density / (1 + math.exp(-2.5 * w))

        total += quad(right, centre - 12 * spread, centre + 12 * spread, epsabs=1e-13)[0] / 2 ** (samples - 1)
    assert abs(learnt.accuracy.value.item() - total) <= learnt.accuracy.error.item() + 1e-10
    expected = samples * (math.log(2) - binary(total))
    assert learnt.label_information.value.item() == pytest.approx(expected, rel=1e-7, abs=1e-10)


@pytest.mark.parametrize("drive", ["sudden", "linear"])
def test_simulated_weights(drive):
    duration, rate, k, temperature, gain, n = 1.5, 1.4, 1.3, 0.8, 3.0, 20_000
    exact = hebbian_weight(duration, rate, samples=2, drive=drive, stiffness=k, temperature=temperature, gain=gain)
    g = torch.Generator().manual_seed(2)
    heats, hits = [], []
    for sign in (-1.0, 1.0):  # of the other sample, while this one pulls upwards
        pull = rate * (1 + sign)

        def force(t, pull=pull):
            return (torch.full_like(t, pull) if drive == "sudden" else pull * t / duration)[..., None]

        process = AffineDiffusion([[-k]], math.sqrt(2 * temperature), force)
        paths = simulate(
            process, Gaussian(0.0, temperature / k), duration, n, 60, generator=g, save=[0.0, duration], final_law=False
        )
        assert paths.states is not None
        heats.append(paths.medium_entropy)
        correct = torch.sigmoid(gain * paths.final[:, 0])
        hits.append((torch.rand(n, generator=g, dtype=F64) < correct).double())
    heat = from_samples(torch.cat(heats), streams=("s",))
    accuracy = from_samples(torch.cat(hits), streams=("t",))
    for found, expected in ((heat, exact.heat), (accuracy, exact.accuracy)):
        assert abs(found.value - expected.value) <= SIGMAS * found.stderr + 1e-3 * expected.value
        assert found.stderr < 0.02


@pytest.mark.parametrize("duration", [0.0999, 0.1, 0.12, 0.3, 0.9999, 1.0, 3.0])
def test_the_heat_of_a_linear_drive_is_known_as_well_as_stated(duration):
    with mpmath.workdps(40):
        x = mpmath.mpf(duration)
        truth = (x - 2 * (1 - mpmath.exp(-x)) + (1 - mpmath.exp(-2 * x)) / 2) / x**2
        heat = hebbian_weight(duration, drive="linear").heat
        assert abs(mpmath.mpf(heat.value.item()) - truth) <= heat.error.item()


def test_slow_learning_costs_what_the_weight_knows():
    slow = hebbian_weight(1e4, 2.0, drive="linear", gain=50.0)
    assert slow.heat.value < 1e-3
    ratio = slow.weight_information.value / slow.cost.value
    assert 0.999 < ratio < 1
    # a sharp prediction of one label keeps most, and a vague one nothing
    assert slow.efficiency.value > 0.8
    assert hebbian_weight(1e4, 2.0, drive="linear", gain=1e-4).efficiency.value < 1e-6
    # a strong force tells the label for certain
    certain = hebbian_weight(1e6, 60.0, drive="linear", gain=50.0)
    assert certain.label_information.value.item() == pytest.approx(math.log(2), rel=1e-9)
    assert certain.efficiency.value > 0.99


def test_sudden_learning_wastes():
    sudden, gradual = hebbian_weight(5.0, 2.0), hebbian_weight(5.0, 2.0, drive="linear")
    assert sudden.heat.value > 2 * gradual.heat.value and sudden.efficiency.value < gradual.efficiency.value


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hebbian_weight(1.0, drive="slow"), "drive must be .*; got 'slow'"),
        (lambda: hebbian_weight(0.0), "duration must be positive"),
        (lambda: hebbian_weight(1.0, 0.0), "learning_rate must be finite and not zero"),
        (lambda: hebbian_weight(1.0, samples=0), "samples must be an integer of at least 1"),
        (lambda: hebbian_weight(1.0, temperature=-1.0), "temperature must be positive"),
        (lambda: hebbian_weight(1.0, stiffness=math.inf), "stiffness must be positive and finite"),
        (lambda: hebbian_weight(1.0, gain=math.nan), "gain must be finite"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
