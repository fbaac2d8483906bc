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


def uniformised(rates, duration, doublings=60):
    """exp(L t) and its integral in 50-digit arithmetic, for the block [[L, 1], [0, 0]]."""
    import mpmath

    with mpmath.workdps(50):
        size = rates.shape[0]
        block = mpmath.matrix(2 * size)
        for i in range(size):
            for j in range(size):
                block[i, j] = mpmath.mpf(float(rates[i, j]))
            block[i, i] = -sum(mpmath.mpf(float(rates[i, j])) for j in range(size) if j != i)
            block[i, size + i] = 1
        block *= mpmath.mpf(duration) / mpmath.mpf(2) ** doublings
        term = total = mpmath.eye(2 * size)
        for k in range(1, 12):
            term = term * block / k
            total = total + term
        for _ in range(doublings):
            total = total * total
        return total[:size, :size], total[:size, size:]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("scale, duration", [(1.0, 1e-3), (1.0, 1e3), (1e-12, 1e9), (1e-12, 3e12), (1e12, 1e-13)])
def test_total_of_slow_fast_and_stiff_jumps_is_within_its_error(scale, duration, dtype):
    """The exponential of a block with entries of unlike size once lost every digit of the occupation."""
    import mpmath

    generator = torch.Generator().manual_seed(4)
    rates = (torch.randn(4, 4, generator=generator, dtype=F64).mul(3).exp() * scale).to(dtype).fill_diagonal_(0.0)
    initial = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=dtype)
    found = entropy_production(MarkovJump(rates), Discrete(initial), torch.tensor(duration, dtype=dtype), times=[0.0])
    duration = torch.tensor(duration, dtype=dtype).item()
    transition, passed = uniformised(rates, duration)
    with mpmath.workdps(50):
        p = mpmath.matrix(initial.tolist()).T
        final, occupation = p * transition, p * passed
        entropy = [-sum(x * mpmath.log(x) for x in law) for law in (p, final)]
        medium = sum(
            occupation[i]
            * mpmath.mpf(float(rates[i, j]))
            * mpmath.log(mpmath.mpf(float(rates[i, j])) / float(rates[j, i]))
            for i in range(4)
            for j in range(4)
            if i != j
        )
        for estimate, truth in (
            (found.info["medium"], medium),
            (found.info["system"], entropy[1] - entropy[0]),
            (found, entropy[1] - entropy[0] + medium),
        ):
            assert abs(mpmath.mpf(float(estimate.value)) - truth) <= float(estimate.error)
        units = 2e-13 if dtype == F64 else 1e-4
        assert float(found.info["medium"].error) <= units * (1 + abs(float(medium))) * 100


def test_laws_that_are_not_those_of_the_states_are_refused():
    two = MarkovJump([[0.0, 1.0], [2.0, 0.0]])
    parts = Discrete([[0.1, 0.2], [0.3, 0.4]], parts=("x", "y"))  # not a batch of two laws
    for p, got in ((parts, "2 x 2 outcomes in 2 parts"), (Discrete([0.2, 0.3, 0.5]), "got 3 outcomes")):
        with pytest.raises(ValueError, match=got):
            entropy_production(two, p, 1.0)
        with pytest.raises(ValueError, match=got):
            entropy_production_rate(two, p)


def test_batches_of_rates_laws_and_times():
    rates = torch.rand(2, 3, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    law = Discrete([0.2, 0.3, 0.5])
    found = entropy_production(MarkovJump(rates), law, torch.tensor([[1.0], [2.0], [3.0]], dtype=F64))
    assert found.shape == (3, 2) and found.info["rate"].shape == (33, 3, 2)
    alone = entropy_production(MarkovJump(rates[1]), law, 2.0)
    assert abs(found.value[1, 1] - alone.value) <= found.error[1, 1] + alone.error
    at_times = entropy_production_rate(MarkovJump(rates), law, torch.zeros(3, 1))
    assert at_times.shape == (3, 2)


def test_vmap_and_gradients_over_rates():
    rates = torch.rand(2, 3, 3, dtype=F64, generator=torch.Generator().manual_seed(1)) * 20

    def total(k):
        return entropy_production(MarkovJump(k), Discrete([0.2, 0.3, 0.5]), 1.0, times=[0.0]).value

    together = torch.func.vmap(total)(rates)
    assert torch.allclose(together, torch.stack([total(k) for k in rates]), rtol=1e-12)
    step = torch.zeros(3, 3, dtype=F64)
    step[0, 1] = 1e-5
    slope = (total(rates[0] + step) - total(rates[0] - step)) / 2e-5
    assert torch.func.grad(total)(rates[0])[0, 1].item() == pytest.approx(slope.item(), rel=1e-6)
