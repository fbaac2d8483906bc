"""Totals and rates of jumps and chains: driven rates by two routes, reservoirs, steps, reference values."""

import json
import math
from pathlib import Path

import pytest
import torch

from infotherm.distributions import Discrete
from infotherm.processes import MarkovChain, MarkovJump, steady_state
from infotherm.thermodynamics import entropy_production, entropy_production_rate

F64 = torch.float64
REFERENCES = {
    case["name"]: case
    for case in json.loads((Path(__file__).parents[2] / "validation/references/jumps.json").read_text())
}
CHAIN = [[0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.4, 0.1, 0.5]]
START = Discrete([0.5, 0.3, 0.2])


def driven_two_states(t):
    zero, up, down = 0 * t, 1.5 + torch.sin(5 * t), 2 * torch.exp(-t)
    return torch.stack([torch.stack([zero, up], -1), torch.stack([down, zero], -1)], -2)


def driven_ring(t):
    ring = torch.tensor([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]], dtype=F64)
    return ring * (1 + 0.5 * torch.sin(4 * t))[..., None, None]


@pytest.mark.parametrize("name", [n for n in REFERENCES if n.endswith("entropy-production-rate")])
def test_rates_against_references(name):
    case = REFERENCES[name]
    spec = case["spec"]
    process = MarkovJump(spec["rates"]) if "rates" in spec else MarkovChain(spec["matrix"])
    found = entropy_production_rate(process)
    assert abs(found.value.item() - case["value"]) <= found.error.item() + 4e-16 * case["value"]
    assert found.units == ("nat/time" if "rates" in spec else "nat/step")


def test_totals_against_references():
    case = REFERENCES["driven-two-states/entropy-production"]
    process, p0 = MarkovJump(driven_two_states, horizon=2.0), Discrete(case["spec"]["p0"])
    found = entropy_production(process, p0, 2.0)
    assert abs(found.value.item() - case["value"]) <= found.error.item() + 1e-12 and found.error < 1e-11
    final = REFERENCES["driven-two-states/final"]
    assert process.marginal(p0, 2.0).pmf[1].item() == pytest.approx(final["value"], abs=final["tolerance"])
    case = REFERENCES["relaxing-two-states/entropy-production"]
    found = entropy_production(MarkovJump(case["spec"]["rates"]), Discrete(case["spec"]["p0"]), 1.0)
    assert abs(found.value.item() - case["value"]) <= found.error.item()


@pytest.mark.parametrize(("rates", "p0"), [(driven_two_states, [0.75, 0.25]), (driven_ring, [0.6, 0.3, 0.1])])
def test_driven_totals_by_balance_and_by_integral(rates, p0):
    process = MarkovJump(rates)
    balance = entropy_production(process, Discrete(p0), 1.3, start=0.2)
    integral = entropy_production(process, Discrete(p0), 1.3, start=0.2, method="quadrature", route="rate")
    assert abs(balance.value - integral.value) <= balance.error + integral.error < 1e-10
    assert balance.method == integral.method == "quadrature"
    parts = balance.info["system"] + balance.info["medium"]
    assert abs(parts.value - balance.value) <= parts.error
    assert balance.info["rate"].shape == (33,) and balance.info["times"][0] == 0.2
    late = process.marginal(Discrete(p0), 1.5, 0.2)
    at_end = entropy_production_rate(process, late, 1.5)
    assert abs(balance.info["rate"].value[-1] - at_end.value) <= 1e-12
    static = entropy_production(MarkovJump(process.rates_at(0.2)), Discrete(p0), 1.3)
    assert abs(static.value - balance.value) > 0.01  # rates that stayed as they were would be seen


def test_constant_rates_by_balance_and_by_integral():
    process = MarkovJump([[0.0, 3.0, 0.5], [1.0, 0.0, 2.0], [0.7, 0.2, 0.0]])
    closed = entropy_production(process, START, 1.0)
    integral = entropy_production(process, START, 1.0, method="quadrature")
    assert abs(closed.value - integral.value) <= closed.error + integral.error < 1e-11
    with pytest.raises(ValueError, match="route must be"):
        entropy_production(process, START, 1.0, method="quadrature", route="both")


def test_a_driven_batch_is_its_members():
    process = MarkovJump(driven_ring)
    laws = Discrete(torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]], dtype=F64))
    found = entropy_production(process, laws, torch.tensor([[0.3], [1.0], [0.0]], dtype=F64))
    alone = entropy_production(process, Discrete(laws.pmf[1]), 1.0)
    assert found.shape == (3, 2) and abs(found.value[1, 1] - alone.value) <= found.error[1, 1] + alone.error
    assert bool((found.value[2].abs() <= found.error[2]).all())


def test_driven_jumps_of_no_return_are_infinite_and_brief_zeros_are_not():
    one_way = MarkovJump(lambda t: [[0.0, 1.0], [0.0 if t > 0.5 else 1.0, 0.0]], breakpoints=[0.5])
    p0 = Discrete([0.5, 0.5])
    assert entropy_production(one_way, p0, 1.0).value.item() == math.inf
    assert entropy_production(one_way, p0, 0.5).value.isfinite()
    assert entropy_production(one_way, p0, 1.0, method="quadrature", route="rate").value.item() == math.inf


def test_reservoirs_are_counted_apart():
    hot, cold = [[0.0, 2.0], [1.0, 0.0]], [[0.0, 0.5], [3.0, 0.0]]
    both, together = MarkovJump(reservoirs=[hot, cold]), MarkovJump([[0.0, 2.5], [4.0, 0.0]])
    law = steady_state(both).pmf
    current = law[0] * 2.0 - law[1] * 1.0
    rate = entropy_production_rate(both)
    assert rate.value.item() == pytest.approx((current * math.log(2.0 * 3.0 / 0.5)).item(), rel=1e-13)
    assert abs(entropy_production_rate(together).value) < 1e-15  # two states alone carry no current
    assert not both.has_detailed_balance() and together.has_detailed_balance()
    total = entropy_production(both, steady_state(both), 3.0)
    assert abs(total.value - 3 * rate.value) <= total.error + 3 * rate.error
    driven = MarkovJump(reservoirs=lambda t: torch.tensor([hot, cold], dtype=F64).expand(*t.shape, 2, 2, 2))
    same = entropy_production(driven, Discrete([0.9, 0.1]), 1.0)
    constant = entropy_production(both, Discrete([0.9, 0.1]), 1.0)
    assert abs(same.value - constant.value) <= same.error + constant.error


def test_a_chain_produces_the_sum_over_its_steps():
    chain = MarkovChain(CHAIN)
    found = entropy_production(chain, START, 7)
    by_steps = sum(entropy_production_rate(chain, chain.marginal(START, n)).value for n in range(7))
    assert abs(found.value - by_steps) <= found.error + 1e-14
    assert found.units == "nat" and found.info["rate"].units == "nat/step"
    assert found.info["times"].tolist() == list(range(8))
    transposed = entropy_production(MarkovChain(torch.tensor(CHAIN, dtype=F64)[[1, 2, 0]][:, [1, 2, 0]]), START, 7)
    assert abs(found.value - transposed.value) > 1e-3
    long = entropy_production(chain, steady_state(chain), 10**6)
    per_step = entropy_production_rate(chain).value
    assert abs(long.value - 10**6 * per_step) <= long.error + 1e-9
    batch = entropy_production(chain, START, [3, 7, 0])
    assert abs(batch.value[1] - found.value) <= 1e-13 and batch.value[2].abs() <= batch.error[2]


def test_a_reversible_chain_relaxes_by_a_divergence():
    chain = MarkovChain([[0.9, 0.1], [0.2, 0.8]])
    p0, law = Discrete([0.1, 0.9]), steady_state(chain).pmf

    def divergence(p):
        return (p * (p / law).log()).sum()

    found = entropy_production(chain, p0, 4)
    exact = divergence(p0.pmf) - divergence(chain.marginal(p0, 4).pmf)
    assert abs(found.value - exact) <= found.error + 1e-15


def test_chains_refuse_parts_of_steps_and_laws_of_other_states():
    with pytest.raises(ValueError, match="duration must be a whole number of steps; got 1.5"):
        entropy_production(MarkovChain(CHAIN), START, 1.5)
    with pytest.raises(ValueError, match="got 2 outcomes"):
        entropy_production_rate(MarkovChain(CHAIN), Discrete([0.5, 0.5]))
    with pytest.raises(ValueError, match="state 1 is absorbing"):
        entropy_production_rate(MarkovJump([[0.0, 1.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="is driven"):
        entropy_production_rate(MarkovJump(driven_ring))
