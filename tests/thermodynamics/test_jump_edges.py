"""Edges: sums over them, logarithmic means, activity and mobility integrals, cycles."""

import json
import math
from pathlib import Path

import pytest
import torch

from infotherm.distributions import Discrete
from infotherm.processes import MarkovChain, MarkovJump
from infotherm.thermodynamics import (
    cycle_affinity,
    dynamical_activity,
    dynamical_mobility,
    entropy_production_rate,
    jump_edges,
)

F64 = torch.float64
REFERENCES = {
    case["name"]: case
    for case in json.loads((Path(__file__).parents[2] / "validation/references/jumps.json").read_text())
}
RATES = torch.tensor([[0.0, 3.0, 0.5], [1.0, 0.0, 2.0], [0.7, 0.2, 0.0]], dtype=F64)


@pytest.mark.parametrize("law", [None, Discrete([0.5, 0.3, 0.2])])
def test_edges_add_up_to_the_rate(law):
    process = MarkovJump(reservoirs=torch.stack([RATES, 2 * RATES.T]))
    edges, rate = jump_edges(process, law), entropy_production_rate(process, law)
    upper = edges.production.value.triu(1).sum()
    assert abs(upper - rate.value) <= rate.error + edges.production.error.sum()
    assert torch.allclose(edges.currents, -edges.currents.mT) and torch.allclose(edges.affinities, -edges.affinities.mT)
    if law is None:
        assert torch.allclose(edges.currents.sum((-3, -1)), torch.zeros(3, dtype=F64), atol=1e-15)


def test_currents_times_cycle_affinity_is_the_rate_of_a_ring():
    ring = MarkovJump([[0.0, 3.0, 0.5], [1.0, 0.0, 2.0], [0.7, 0.2, 0.0]])
    affinity = cycle_affinity(ring, [0, 1, 2])
    assert affinity.value.item() == pytest.approx(math.log(3.0 * 2.0 * 0.7 / (1.0 * 0.2 * 0.5)), rel=1e-14)
    current = jump_edges(ring).currents[0, 0, 1]
    assert (current * affinity.value).item() == pytest.approx(entropy_production_rate(ring).value.item(), rel=1e-13)
    with pytest.raises(ValueError, match="positive rates in both directions"):
        cycle_affinity(MarkovJump([[0.0, 1.0], [0.0, 0.0]]), [0, 1])
    with pytest.raises(ValueError, match="at least two states from 0 to 2"):
        cycle_affinity(ring, [0, 3])


def test_activity_and_mobility_against_references():
    process, p0 = MarkovJump([[0.0, 2.0], [1.0, 0.0]]), Discrete([0.95, 0.05])
    as_function = MarkovJump(lambda t: process.rates.expand(*t.shape, 2, 2))
    for name, quantity in (("activity", dynamical_activity), ("mobility", dynamical_mobility)):
        truth = REFERENCES[f"relaxing-two-states/{name}"]["value"]
        for case in (process, as_function):
            found = quantity(case, p0, 1.0)
            assert abs(found.value.item() - truth) <= found.error.item() + 2e-16 < 1e-12
    sharp = dynamical_mobility(process, Discrete([1.0, 0.0]), 1.0)
    assert 0 < sharp.value < dynamical_activity(process, Discrete([1.0, 0.0]), 1.0).value / 2


def test_the_mean_of_both_flows():
    edges = jump_edges(MarkovJump(RATES), Discrete([0.5, 0.3, 0.2]))
    flows = edges.flows[0]
    pairs = [(flows[i, j].item(), flows[j, i].item()) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert edges.mobility.value.item() == pytest.approx(sum((a - b) / math.log(a / b) for a, b in pairs), rel=1e-14)
    assert edges.activity.value.item() == pytest.approx(sum(a + b for a, b in pairs), rel=1e-15)
    balanced = jump_edges(MarkovJump([[0.0, 1.0], [1.0, 0.0]]))
    assert balanced.mobility.value.item() == 0.5  # the limit of the logarithmic mean


def test_edges_of_no_return_and_chains():
    edges = jump_edges(MarkovJump([[0.0, 1.0], [0.0, 0.0]]), Discrete([0.5, 0.5]))
    assert edges.production.value[0, 0, 1] == math.inf and edges.affinities[0, 1, 0] == -math.inf
    walk = jump_edges(MarkovChain([[0.0, 0.9, 0.1], [0.1, 0.0, 0.9], [0.9, 0.1, 0.0]]))
    assert walk.production.value.triu(1).sum().item() == pytest.approx(0.8 * math.log(9), rel=1e-14)
    assert walk.production.units == "nat/step"
