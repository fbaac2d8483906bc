"""Cumulants: eigenvalues against derivatives, references, symmetries, Legendre transforms."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.processes import MarkovChain, MarkovJump
from infotherm.thermodynamics import (
    cumulant_generating_function,
    current_statistics,
    entropy_counting,
    entropy_production_rate,
    gallavotti_cohen_residual,
    rate_function,
)

F64 = torch.float64
REFERENCES = {
    case["name"]: case
    for case in json.loads((Path(__file__).parents[2] / "validation/references/jumps.json").read_text())
}
RING = MarkovJump([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]])
CYCLES = torch.tensor([[0, 1, -1], [-1, 0, 1], [1, -1, 0]], dtype=F64) / 3
WALK = MarkovChain([[0.0, 0.9, 0.1], [0.1, 0.0, 0.9], [0.9, 0.1, 0.0]])


@st.composite
def processes(draw):
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    size = draw(st.integers(2, 5))
    rates = torch.randn(size, size, generator=generator, dtype=F64).mul(1.5).exp()
    weights = torch.randn(size, size, generator=generator, dtype=F64)
    if draw(st.booleans()):
        return MarkovChain(rates / rates.sum(-1, keepdim=True)), weights
    return MarkovJump(rates), weights


def matrix_of(process, weights, q):
    if isinstance(process, MarkovChain):
        return process.matrix * torch.exp(q * weights)
    return process.rates * torch.exp(q * weights) - torch.diag(process.rates.sum(-1))


@pytest.mark.parametrize("name", [n for n in REFERENCES if n.split("/")[1] in ("scgf", "mean", "variance")])
def test_against_references(name):
    case = REFERENCES[name]
    spec = case["spec"]
    process = MarkovJump(spec["rates"]) if "rates" in spec else MarkovChain(spec["matrix"])
    if "q" in spec:
        found = cumulant_generating_function(process, spec["counting"], spec["q"])
    else:
        found = getattr(current_statistics(process, spec["counting"]), name.split("/")[1])
    assert abs(found.value.item() - case["value"]) <= found.error.item() < 1e-12


@given(processes(), st.floats(-4, 4))
def test_against_dense_eigenvalues(setting, q):
    process, weights = setting
    found = cumulant_generating_function(process, weights, q)
    roots = torch.linalg.eigvals(matrix_of(process, weights, q)).real.amax()
    roots = roots.log() if isinstance(process, MarkovChain) else roots
    scale = 1 if isinstance(process, MarkovChain) else matrix_of(process, weights, q).abs().amax()
    assert abs(found.value - roots) <= found.error + 1e-12 * scale
    assert found.error <= 1e-11 * scale


@settings(max_examples=25)
@given(processes())
def test_statistics_are_derivatives(setting):
    process, weights = setting
    h = 2e-3
    at = cumulant_generating_function(process, weights, [-2 * h, -h, 0.0, h, 2 * h]).value
    first = (8 * (at[3] - at[1]) - (at[4] - at[0])) / (12 * h)
    second = (-at[0] + 16 * at[1] - 30 * at[2] + 16 * at[3] - at[4]) / (12 * h * h)
    found = current_statistics(process, weights)
    scale = matrix_of(process, weights, 0.0).abs().amax()
    assert abs(found.mean.value - first) <= found.mean.error + 1e-7 * scale
    assert abs(found.variance.value - second) <= found.variance.error + 1e-5 * scale


def test_a_gradient_is_the_mean_current_and_a_second_one_is_refused():
    q = torch.tensor(0.0, dtype=F64, requires_grad=True)
    value = cumulant_generating_function(RING, CYCLES, q).value
    (slope,) = torch.autograd.grad(value, q, create_graph=True)
    assert slope.item() == pytest.approx(2 / 3, rel=1e-13)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(slope, q)


def test_enormous_tilts_and_unlike_rates():
    q = torch.tensor([-1400.0, -60.0, 60.0, 1400.0], dtype=F64)
    found = cumulant_generating_function(RING, CYCLES, q)
    exact = 3 * torch.exp(q / 3) + torch.exp(-q / 3) - 4
    assert bool(((found.value - exact).abs() <= found.error).all()) and bool((found.error <= 1e-12 * exact).all())
    rates = torch.tensor([[0.0, 1e-9, 1.0], [1e6, 0.0, 1e-3], [1e-6, 1e3, 0.0]], dtype=F64)
    tilted = cumulant_generating_function(MarkovJump(rates), [[0, 30.0, 0], [-30.0, 0, 0], [0, 0, 0]], 1.0)
    import mpmath

    with mpmath.workdps(60):
        matrix = mpmath.matrix(rates.tolist())
        for i in range(3):
            matrix[i, i] = -sum(mpmath.mpf(rates[i, j].item()) for j in range(3))
        matrix[0, 1], matrix[1, 0] = matrix[0, 1] * mpmath.exp(30), matrix[1, 0] * mpmath.exp(-30)
        truth = max(mpmath.re(x) for x in mpmath.eig(matrix, left=False, right=False))
        assert abs(mpmath.mpf(tilted.value.item()) - truth) <= tilted.error.item() <= 1e-13 * rates.amax().item()
    with pytest.raises(ValueError, match="q times counting must stay below 500; got 666"):
        cumulant_generating_function(RING, CYCLES, 2000.0)


@settings(max_examples=25)
@given(processes(), st.floats(-3, 3))
def test_gallavotti_cohen_symmetry(setting, q):
    process, _ = setting
    residual, rate = gallavotti_cohen_residual(process, q), entropy_production_rate(process)
    assert abs(residual.value) <= residual.error
    mean = current_statistics(process, entropy_counting(process)).mean
    assert abs(mean.value - rate.value) <= mean.error + rate.error + 1e-14


def test_the_symmetry_fails_for_other_weights():
    residual = gallavotti_cohen_residual(RING, 0.4, CYCLES, math.log(27))
    assert abs(residual.value) <= residual.error
    wrong = gallavotti_cohen_residual(RING, 0.4, CYCLES, math.log(9))
    assert abs(wrong.value) > 1e3 * wrong.error


def test_reservoirs():
    pair = MarkovJump(reservoirs=[[[0.0, 2.0], [1.0, 0.0]], [[0.0, 0.5], [3.0, 0.0]]])
    residual = gallavotti_cohen_residual(pair, [0.3, -2.0, 5.0])
    assert bool((residual.value.abs() <= residual.error).all())
    first = torch.zeros(2, 2, 2, dtype=F64)
    first[0] = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    mean = current_statistics(pair, first).mean
    assert mean.value.item() == pytest.approx(entropy_production_rate(pair).value.item() / math.log(12.0), rel=1e-12)


def test_batches_of_currents_tilts_and_processes():
    process = MarkovJump(torch.stack([RING.rates, 2 * RING.rates]))
    found = cumulant_generating_function(process, CYCLES, torch.tensor([[0.0], [0.5], [1.0]], dtype=F64))
    assert found.shape == (3, 2) and torch.allclose(found.value[:, 1], 2 * found.value[:, 0], atol=1e-13)
    both = current_statistics(RING, torch.stack([CYCLES, 3 * CYCLES]))
    assert torch.allclose(both.variance.value[1], 9 * both.variance.value[0])


@pytest.mark.filterwarnings("ignore:no tilt")
def test_rate_function():
    current = torch.tensor([-2 / 3, 0.0, 0.3, 2 / 3, 4.0], dtype=F64)
    found = rate_function(RING, CYCLES, current)
    # a biased walk: Poisson jumps at 3 forward and 1 back, three for each turn
    rate = 3 * current
    exact = rate * torch.asinh(rate / (2 * math.sqrt(3.0))) - rate * 0.5 * math.log(3.0)
    exact = exact + 4 - torch.sqrt(rate.square() + 12)
    assert bool(((found.value - exact).abs() <= found.error + 1e-14).all()) and found.error.amax() < 1e-12
    assert abs(found.value[0] - found.value[3] - 2 / 3 * math.log(27)) <= 1e-12  # the symmetry of the rate function
    walk = rate_function(WALK, 3 * CYCLES, [0.8, 0.0, 1.5])
    assert walk.value[1].item() == pytest.approx(-0.5 * math.log(4 * 0.09), rel=1e-13)
    assert walk.error[2] == math.inf and not walk.converged and walk.error[:2].amax() < 1e-12


def test_impossible_currents_of_one_way_jumps():
    one_way, forward = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=F64), CYCLES.clamp(min=0)
    for speed in (1.0, 1e-12):
        with pytest.warns(RuntimeWarning, match="has the mean current"):
            backwards = rate_function(MarkovJump(speed * one_way), forward, -1e-10)
        assert backwards.error == math.inf and not backwards.converged  # the truth is infinite
        still = rate_function(MarkovJump(speed * one_way), forward, 0.0)
        assert abs(still.value - speed) <= still.error < 1e-12 * speed and still.converged


def test_weights_of_jumps_that_never_happen_count_for_nothing():
    one_way, forward = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=F64), CYCLES.clamp(min=0)
    odd = forward.clone()
    odd[1, 0], odd[2, 2] = 1e6, 1e6
    found = rate_function(MarkovJump(one_way), odd, 0.5)
    assert abs(found.value.item() - (1.5 * math.log(1.5) - 0.5)) <= found.error.item() < 1e-12


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: cumulant_generating_function(MarkovJump([[0.0, 1.0], [0.0, 0.0]]), [[0, 1], [1, 0]], 0.1),
            ValueError,
            r"states \[1\] are absorbing, states \[0\] are left for good",
        ),
        (
            lambda: current_statistics(MarkovJump(lambda t: [[0.0, 1.0], [1.0, 0.0]]), [[0, 1], [1, 0]]),
            ValueError,
            "needs constant rates",
        ),
        (
            lambda: current_statistics(MarkovChain([[1.0, 0.0], [0.0, 1.0]]), [[0, 1], [1, 0]]),
            ValueError,
            r"states \[0, 1\] are absorbing",
        ),
        (lambda: current_statistics("ring", CYCLES), TypeError, "must be a MarkovJump or a MarkovChain; got str"),
        (lambda: cumulant_generating_function(RING, [[0.0, 1.0]], 0.1), ValueError, r"counting must have shape"),
        (lambda: cumulant_generating_function(RING, CYCLES, math.nan), ValueError, "q must be finite"),
        (lambda: rate_function(RING, 0 * CYCLES, 1.0), ValueError, "counting must not be zero everywhere"),
        (
            lambda: entropy_counting(MarkovJump([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])),
            ValueError,
            "every jump must have a return; got none for the jump 0 -> 1",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
