"""Excess and housekeeping of jumps: they add up, vanish when they must, and follow the frozen law."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.distributions import Discrete, Gaussian
from infotherm.processes import MarkovJump, steady_state
from infotherm.thermodynamics import entropy_production_rate, excess_housekeeping

F64 = torch.float64


@st.composite
def jump_settings(draw):
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    size, reservoirs = draw(st.integers(2, 5)), draw(st.integers(1, 2))
    rates = torch.randn(reservoirs, size, size, generator=generator, dtype=F64).mul(2).exp()
    pmf = torch.rand(size, generator=generator, dtype=F64) + 1e-3
    return MarkovJump(reservoirs=rates), Discrete(pmf / pmf.sum())


@settings(max_examples=30)
@given(jump_settings())
def test_both_parts_are_positive_and_add_up(setting):
    process, p = setting
    split, total = excess_housekeeping(process, p), entropy_production_rate(process, p)
    assert abs(split.total.value - total.value) <= split.total.error + total.error
    assert split.excess.value >= -split.excess.error and split.housekeeping.value >= -split.housekeeping.error
    steady = excess_housekeeping(process, steady_state(process))
    assert abs(steady.excess.value) <= steady.excess.error


@settings(max_examples=30)
@given(jump_settings())
def test_excess_is_the_fall_of_the_divergence(setting):
    process, p = setting
    law = steady_state(process).pmf
    slope = p.pmf @ process.generator
    fall = -(slope * (p.pmf / law).log()).sum()
    split = excess_housekeeping(process, p)
    assert (
        abs(split.excess.value - fall) <= split.excess.error + 1e-13 * (slope.abs() * (p.pmf / law).log().abs()).sum()
    )


def test_detailed_balance_needs_no_housekeeping():
    energies = torch.tensor([0.0, 0.7, -0.4], dtype=F64)
    balanced = MarkovJump(torch.exp(0.5 * (energies[:, None] - energies)))
    split = excess_housekeeping(balanced, Discrete([0.2, 0.2, 0.6]))
    assert split.housekeeping.value.abs() <= split.housekeeping.error < 1e-13


def test_driven_rates_are_frozen_at_their_time():
    def rates(t):
        return torch.tensor([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]], dtype=F64) ** (1 + t)[..., None, None]

    p, times = Discrete([0.5, 0.3, 0.2]), torch.tensor([0.0, 0.5], dtype=F64)
    split = excess_housekeeping(MarkovJump(rates), p, times)
    alone = excess_housekeeping(MarkovJump(rates(times[1]).fill_diagonal_(0.0)), p)
    assert torch.allclose(split.housekeeping.value[1], alone.housekeeping.value, rtol=1e-13)
    assert abs(split.housekeeping.value[0] - alone.housekeeping.value) > 0.1


def test_bad_input():
    with pytest.raises(ValueError, match=r"states \[0\] are left for good"):
        excess_housekeeping(MarkovJump([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), Discrete([0.2, 0.3, 0.5]))
    with pytest.raises(TypeError, match="Discrete law of the states"):
        excess_housekeeping(MarkovJump([[0.0, 1.0], [1.0, 0.0]]), Gaussian(0.0, 1.0))
