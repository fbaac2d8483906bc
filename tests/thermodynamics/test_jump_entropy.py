"""Entropy production of jumps: balance against integral, divergences, one-way jumps."""

import math

import pytest
import torch

from infotherm.distributions import Discrete
from infotherm.processes import MarkovJump
from infotherm.thermodynamics import entropy_production, entropy_production_rate

F64 = torch.float64


def test_jumps_by_balance_and_by_integral():
    from infotherm.core.quadrature import integrate

    driven = MarkovJump([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]])
    initial = Discrete([0.7, 0.2, 0.1])
    found = entropy_production(driven, initial, 0.8)
    rate = integrate(lambda t: entropy_production_rate(driven, driven.marginal(initial, t), t).value, 0.0, 0.8)
    assert abs(found.value - rate.value) <= found.error + rate.error
    steady = Discrete([1 / 3, 1 / 3, 1 / 3])
    rate, total = entropy_production_rate(driven), entropy_production(driven, steady, 2.0)
    assert abs(rate.value - 2 * math.log(3.0)) <= rate.error < 1e-13
    assert abs(total.value - 4 * math.log(3.0)) <= total.error < 1e-12


def test_relaxation_of_two_states_is_a_divergence():
    chain, initial = MarkovJump([[0.0, 1.0], [2.0, 0.0]]), Discrete([0.1, 0.9])

    def divergence(p):
        return float((p.pmf * (p.pmf / torch.tensor([2 / 3, 1 / 3], dtype=F64)).log()).sum())

    found = entropy_production(chain, initial, 0.6)
    assert found.value.item() == pytest.approx(
        divergence(initial) - divergence(chain.marginal(initial, 0.6)), rel=1e-13
    )


def test_one_way_jumps_are_infinitely_irreversible():
    one_way = MarkovJump([[0.0, 1.0], [0.0, 0.0]])
    assert entropy_production(one_way, Discrete([0.5, 0.5]), 1.0).value.item() == math.inf
    assert entropy_production(one_way, Discrete([0.0, 1.0]), 1.0).value.item() == 0.0
    assert entropy_production_rate(one_way, Discrete([0.5, 0.5])).value.item() == math.inf


def test_a_batch_is_its_members():
    rates = torch.tensor([[0.0, 1.0], [2.0, 0.0]], dtype=F64)
    laws = Discrete(torch.tensor([[0.1, 0.9], [0.5, 0.5]], dtype=F64))
    found = entropy_production(MarkovJump(rates), laws, torch.tensor([[0.3], [1.0], [4.0]], dtype=F64))
    assert found.shape == (3, 2) and found.info["rate"].shape == (33, 3, 2)
    alone = entropy_production(MarkovJump(rates), Discrete([0.5, 0.5]), 1.0)
    assert abs(found.value[1, 1] - alone.value) <= found.error[1, 1] + alone.error
