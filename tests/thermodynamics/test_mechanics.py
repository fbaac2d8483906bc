"""Mechanics: which process has an energy, one bath, other forces; and what is refused."""

import pytest
import torch

from infotherm.processes import AffineDiffusion, Langevin, MarkovJump, OrnsteinUhlenbeck, Protocol, UnderdampedLangevin
from infotherm.processes.integrators import EulerMaruyama
from infotherm.thermodynamics.mechanics import mechanics_of

F64 = torch.float64


def coupled(x):
    return 0.5 * (x**2).sum(-1) - 0.3 * x[..., 0] * x[..., 1]


@pytest.mark.parametrize(
    ("process", "energy", "driven", "temperature", "other", "medium"),
    [
        (OrnsteinUhlenbeck(torch.eye(2, dtype=F64), 1.0), True, False, 1.0, False, False),
        (OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 1.0), False, False, 1.0, True, False),
        (AffineDiffusion(-torch.eye(2), 1.0, lambda t: t[..., None] * torch.ones(2)), True, True, 1.0, False, False),
        (Langevin(potential=coupled, mobility=1.0, temperature=2.0), True, False, 2.0, False, False),
        (Langevin(potential=coupled, mobility=1.0, temperature=[2.0, 1.0]), True, False, None, False, True),
        (Langevin(force=lambda x: -x, mobility=1.0, temperature=[2.0, 1.0]), False, False, None, True, True),
        (Langevin(potential=coupled, force=1.0, sigma=2**0.5, dim=2), True, False, 1.0, True, False),
        (UnderdampedLangevin(potential=lambda x: (x**2).sum(-1)), True, False, 1.0, False, False),
    ],
)
def test_what_the_ledger_must_add_up(process, energy, driven, temperature, other, medium):
    found = mechanics_of(process, 2, 0.0, 1.0)
    assert (found.has_energy, found.driven) == (energy, driven)
    assert found.temperature == (None if temperature is None else pytest.approx(temperature))
    assert (found.force_in is not None, found.medium_in is not None) == (other, medium)


def test_changes_of_the_energy_telescope_to_that_between_the_ends():
    """At a fixed state the changes at all edges are V(x, end) - V(x, start), with jumps at both ends in a protocol."""
    x = torch.tensor([[0.7], [-1.2]], dtype=F64)
    times = torch.linspace(0.0, 1.0, 6, dtype=F64)
    protocol = Protocol([0.0, 0.0, 1.0, 1.0], [1.0, 2.0, 3.0, 5.0])
    stiffer = Langevin(potential=lambda x, k: 0.5 * k * (x**2).sum(-1), sigma=1.0, protocol=protocol)
    breathing = AffineDiffusion(lambda t: -(1 + t)[..., None, None], 2**0.5, lambda t: t[..., None])
    for process, change in (
        (stiffer, 0.5 * (5.0 - 1.0) * x[:, 0] ** 2),
        (breathing, breathing.energy(x, 1.0) - breathing.energy(x, 0.0)),
    ):
        found = mechanics_of(process, 1, 0.0, 1.0)
        plan = EulerMaruyama().init(process, x, times).plan
        total = sum(found.energy_change(x, plan, k) for k in range(len(times)))
        assert torch.allclose(total, change, rtol=1e-12)
        assert torch.allclose(found.energy_after(x) - found.energy_before(x), change, rtol=1e-12)


def test_what_has_no_ledger_is_refused():
    with pytest.raises(TypeError, match="got MarkovJump"):
        mechanics_of(MarkovJump([[0.0, 1.0], [1.0, 0.0]]), 1, 0.0, 1.0)
    with pytest.raises(ValueError, match="odd velocities"):
        mechanics_of(UnderdampedLangevin(force=1.0), 2, 0.0, 1.0, splits=True)
