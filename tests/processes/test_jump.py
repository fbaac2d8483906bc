"""Markov jump processes: transitions to the last digit, steady states without subtraction."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infotherm.distributions import Discrete
from infotherm.processes import MarkovJump, steady_state

F64 = torch.float64


@st.composite
def jump_processes(draw):
    """Rates over ten decades, some of them zero."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    size = draw(st.integers(2, 6))
    rates = 10.0 ** (10 * torch.rand(size, size, generator=generator, dtype=F64) - 6)
    return (
        MarkovJump(rates * (torch.rand(size, size, generator=generator) < 0.8)),
        draw(st.floats(0, 3)),
        draw(st.floats(0, 3)),
    )


@given(jump_processes())
def test_chapman_kolmogorov_entry_by_entry(setting):
    process, first, second = setting
    in_turn = process.transition(0.0, second) @ process.transition(0.0, first)
    at_once = process.transition(0.0, first + second)
    assert torch.allclose(in_turn.matrix, at_once.matrix, rtol=1e-10, atol=1e-300)


@given(jump_processes())
def test_transitions_are_stochastic(setting):
    process, duration, _ = setting
    matrix = process.transition(1.0, 1.0 + duration).matrix
    assert bool((matrix >= 0).all()) and torch.allclose(matrix.sum(-1), torch.ones(len(matrix), dtype=F64), rtol=1e-14)
    assert torch.allclose(matrix, torch.linalg.matrix_exp(process.generator * duration), rtol=1e-7, atol=1e-9)


def test_two_states_in_closed_form():
    up, down = 1.3, 0.4
    chain = MarkovJump([[0.0, up], [down, 0.0]])
    for t in (0.0, 1e-9, 0.5, 40.0, 1e6):
        decay = -math.expm1(-(up + down) * t)
        matrix = chain.transition(0.0, t).matrix
        assert matrix[0, 1].item() == pytest.approx(up / (up + down) * decay, rel=1e-13)
    assert steady_state(chain).pmf.tolist() == pytest.approx([down / (up + down), up / (up + down)], rel=1e-15)


def test_what_a_state_tells_about_the_past_falls():
    chain, p0 = MarkovJump([[0.0, 1.0], [2.0, 0.0]]), Discrete([0.7, 0.3])
    times = torch.tensor([0.0, 0.1, 0.3, 1.0, 3.0], dtype=F64)
    informations = []
    for t in times:
        joint = chain.transition(0.0, t).joint(p0)
        informations.append(float(p0.entropy() + joint.marginal("y").entropy() - joint.entropy()))
    assert informations[0] == pytest.approx(float(p0.entropy()))
    assert informations == sorted(informations, reverse=True) and informations[-1] < 1e-3


@given(jump_processes())
def test_the_steady_state_is_kept(setting):
    process = MarkovJump(setting[0].rates + 1e-6)
    pmf = steady_state(process).pmf
    inflow, outflow = pmf @ process.rates, pmf * process.rates.sum(-1)
    assert torch.allclose(inflow, outflow, rtol=1e-13, atol=0.0)


def test_rare_states_keep_their_digits():
    # a chain with steps of weight 1e-9: occupations 1, 1e-9, 1e-18, 1e-27
    rates = torch.diag(torch.full((3,), 1e-9, dtype=F64), 1) + torch.diag(torch.ones(3, dtype=F64), -1)
    pmf = steady_state(MarkovJump(rates)).pmf
    assert torch.allclose(pmf[1:] / pmf[:-1], torch.full((3,), 1e-9, dtype=F64), rtol=1e-14)


def test_transient_states_are_empty_and_two_closed_classes_are_refused():
    drain = MarkovJump([[0.0, 1.0, 1.0], [0.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    assert torch.allclose(steady_state(drain).pmf, torch.tensor([0.0, 1 / 3, 2 / 3], dtype=F64))
    with pytest.raises(ValueError, match=r"more than one steady state: .* closed classes \[\(1,\), \(2,\)\]"):
        steady_state(MarkovJump([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    both = MarkovJump(torch.stack([drain.rates, torch.ones(3, 3, dtype=F64)]))
    assert torch.allclose(steady_state(both).pmf[1], torch.full((3,), 1 / 3, dtype=F64))


def test_detailed_balance():
    assert MarkovJump([[0.0, 1.0], [2.0, 0.0]]).has_detailed_balance()
    driven = [[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]]
    assert not MarkovJump(driven).has_detailed_balance()


def test_times_and_laws_are_batches():
    chain = MarkovJump([[0.0, 1.0], [2.0, 0.0]])
    laws = Discrete(torch.tensor([[1.0, 0.0], [0.5, 0.5]], dtype=F64))
    together = chain.marginal(laws, torch.tensor([[0.1], [0.7], [5.0]], dtype=F64))
    assert together.batch_shape == (3, 2)
    assert torch.allclose(together.pmf[1, 1], chain.marginal(Discrete([0.5, 0.5]), 0.7).pmf)
    assert MarkovJump(chain.rates.float()).transition(0.0, 1.0).matrix.dtype == torch.float32


def test_gradients_reach_the_rates():
    def function(rates):
        chain = MarkovJump(rates)
        return chain.transition(0.0, 0.7).matrix, steady_state(chain).pmf

    rates = torch.rand(3, 3, generator=torch.Generator().manual_seed(0), dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (rates,))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: MarkovJump([[0.0, -1.0], [1.0, 0.0]]), ValueError, r"rates must be >= 0; got -1 at index \[0, 1\]"),
        (lambda: MarkovJump([[0.0, math.inf], [1.0, 0.0]]), ValueError, "rates must be finite"),
        (lambda: MarkovJump([1.0, 2.0]), ValueError, r"rates must have shape \(..., K, K\)"),
        (
            lambda: MarkovJump(lambda t: t),
            ValueError,
            r"rates must be a function of time that returns 2 axes; got shape \(\)",
        ),
        (lambda: MarkovJump([[0.0, 1.0], [1.0, 0.0]]).transition(1.0, 0.0), ValueError, "t1 must not be before t0"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_no_states_are_refused():
    with pytest.raises(ValueError, match="rates must be those of at least one state"):
        MarkovJump(torch.zeros(0, 0))
