"""The ledger: identities of each path, several baths, currents and first passage.

Sampled numbers are compared at 4.5 standard errors: a false alarm in one of 150 000 comparisons.
"""

import pytest
import torch

import infotherm as it
from infotherm.processes import (
    AffineDiffusion,
    Langevin,
    OrnsteinUhlenbeck,
    Protocol,
)
from infotherm.thermodynamics import simulate

F64 = torch.float64
NORMAL = it.Gaussian(0.0, 1.0)
SQUARE = it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
TRAP = AffineDiffusion([[-1.0]], 2**0.5, lambda t: t[..., None])
MOVED = {"potential": lambda x, c: 0.5 * ((x - c) ** 2).sum(-1), "protocol": lambda t: t}
ROTATING = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)


def agrees(estimate, value, slack=0.0):
    assert abs(float(estimate) - value) <= 4.5 * float(estimate.stderr) + float(estimate.error) + slack


def test_a_quench_is_work_at_the_first_instant():
    # stiffness 1, then 4 from the first instant on: W = 3 x_0^2 / 2 on every path, and dF = log 2
    protocol = Protocol([0.0, 0.0, 0.5], [1.0, 4.0, 4.0])
    process = Langevin(potential=lambda x, k: 0.5 * k * (x**2).sum(-1), sigma=2**0.5, protocol=protocol)
    paths = simulate(process, NORMAL, 0.5, 20_000, 20, generator=6, final_law=False)
    assert torch.allclose(paths.work, 1.5 * paths.initial[:, 0] ** 2, rtol=1e-12)
    weights = torch.exp(-paths.work)
    assert weights.mean().item() == pytest.approx(0.5, abs=4.5 * weights.std().item() / 20_000**0.5)
    change = 0.5 * (4 * paths.final**2 - paths.initial**2)[:, 0]
    assert torch.allclose(change, paths.work - paths.heat, rtol=1e-9, atol=1e-12)


def test_a_jump_in_the_middle_begins_a_step():
    protocol = Protocol([0.0, 0.13, 0.13, 1.0], [0.0, 0.0, 2.0, 2.0])
    process = Langevin(potential=lambda x, c: 0.5 * ((x - c) ** 2).sum(-1), sigma=2**0.5, protocol=protocol)
    paths = simulate(process, NORMAL, 1.0, 100, 10, generator=7, save=[0.13], final_law=False)
    assert paths.saved_times.tolist() == [0.13]
    at = paths.states[0, :, 0]
    assert torch.allclose(paths.work, 0.5 * ((at - 2) ** 2 - at**2), rtol=1e-12)


@pytest.mark.parametrize("method", ["exact", "euler-maruyama", "stochastic-heun", "leimkuhler-matthews"])
def test_the_first_law_holds_on_every_path(method):
    paths = simulate(TRAP, NORMAL, 1.0, 200, 16, generator=13, method=method)
    energy = 0.5 * (paths.final[:, 0] - 1.0) ** 2 - 0.5 * paths.initial[:, 0] ** 2
    assert torch.allclose(paths.work - paths.heat, energy, atol=1e-12)
    assert torch.allclose(paths.entropy_production, paths.system_entropy + paths.medium_entropy)


def test_two_baths_without_and_with_a_potential():
    # the Brownian gyrator: stiffness 1, coupling -1/2, temperatures 2 and 1; rate 1/16 in its steady state
    coupled = Langevin(
        potential=lambda x: 0.5 * (x**2).sum(-1) - 0.5 * x[..., 0] * x[..., 1], mobility=1.0, temperature=[2.0, 1.0]
    )
    stiffness = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=F64)
    forced = Langevin(force=lambda x: -x @ stiffness.to(x), mobility=1.0, temperature=[2.0, 1.0])
    rest = it.Gaussian([0.0, 0.0], [[2.5, 1.0], [1.0, 1.5]])
    for process in (coupled, forced):
        paths = simulate(process, rest, 2.0, 10_000, 40, generator=5, final_law=rest)
        agrees(paths.mean("entropy_production"), 2 / 16, slack=0.01)
        # heat flows from the hot to the cold bath, and in the mean none is left
        agrees(paths.mean("heat"), 0.0, slack=0.02)
    energy = 0.5 * (paths.final**2).sum(-1) - 0.5 * paths.final.prod(-1)
    assert torch.allclose(paths.work, paths.heat), "without an energy all work is heat"
    assert energy.shape == paths.work.shape


def test_currents_and_first_passage_of_free_drift():
    drifting = Langevin(force=2.0, sigma=1.0, dim=1)
    starts = it.Gaussian(0.0, 1e-6)
    paths = simulate(
        drifting, starts, 6.0, 1000, 600, generator=8, currents={"way": torch.ones_like}, final_law=False,
        target=lambda x: x[..., 0] > 3.0,
    )  # fmt: skip
    assert torch.allclose(paths.currents["way"], (paths.final - paths.initial)[:, 0], rtol=1e-10, atol=1e-12)
    assert torch.allclose(paths.work, 2 * paths.currents["way"], rtol=1e-10, atol=1e-10)
    assert torch.allclose(paths.medium_entropy, paths.work / 0.5)
    # mean 3 / 2; seen at ends of steps only, late by about 0.58 sigma sqrt(h) / v
    arrived = paths.first_passage[torch.isfinite(paths.first_passage)]
    assert len(arrived) > 990
    late = 0.5826 * (6.0 / 600) ** 0.5 / 2
    assert arrived.mean().item() == pytest.approx(1.5 + late, abs=4.5 * arrived.std().item() / 1000**0.5 + 5e-3)


def test_functions_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"the current 'way' must give shape \(100, 1\) .*; got \(100,\)"):
        simulate(TRAP, NORMAL, 1.0, 100, 4, currents={"way": lambda x: x[..., 0]}, final_law=False)
    with pytest.raises(ValueError, match=r"target must give shape \(100,\) .*; got \(100, 1\)"):
        simulate(TRAP, NORMAL, 1.0, 100, 4, target=lambda x: x > 0, final_law=False)
