"""Underdamped Langevin processes: the harmonic one is affine, the energy is conserved without friction and noise."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infotherm.processes import AffineDiffusion, Protocol, UnderdampedLangevin

F64 = torch.float64


def states(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@given(st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.integers(1, 3))
def test_the_harmonic_process_is_affine(mass, friction, temperature, stiffness, dim):
    process = UnderdampedLangevin(
        potential=lambda x: 0.5 * stiffness * (x**2).sum(-1),
        mass=mass,
        friction=friction,
        temperature=temperature,
        dim=dim,
    )
    eye, none = torch.eye(dim, dtype=F64), torch.zeros(dim, dim, dtype=F64)
    drift = torch.cat(
        [torch.cat([none, eye], -1), torch.cat([-stiffness / mass * eye, -friction / mass * eye], -1)], -2
    )
    noise = torch.cat([none, math.sqrt(2 * friction * temperature) / mass * eye])
    affine, x = AffineDiffusion(drift, noise), states(5, 2 * dim)
    assert process.dim == affine.dim
    for name in ("drift", "diffusion_matrix_at", "diffusion_divergence", "noise_at"):
        assert torch.allclose(getattr(process, name)(x, 0.3), getattr(affine, name)(x, 0.3), rtol=1e-13)
    assert torch.allclose(process.diffusion([0.1, 0.2]), affine.diffusion([0.1, 0.2]), rtol=1e-14)
    assert torch.allclose(process.integrated_diffusion(0.5, 2.0), affine.integrated_diffusion(0.5, 2.0), rtol=1e-12)
    # the Boltzmann law of the energy is what the affine process keeps: equipartition
    law = affine.quasi_invariant(0.0)
    wanted = torch.diag(torch.cat([eye.diagonal() / stiffness, eye.diagonal() / mass])) * temperature
    assert torch.allclose(law.covariance, wanted, rtol=1e-10, atol=1e-12)
    boltzmann = -process.energy(x, 0.0) / temperature
    assert torch.allclose(boltzmann - boltzmann[0], law.log_prob(x) - law.log_prob(x[0]), rtol=1e-9, atol=1e-9)


def test_several_masses_and_baths():
    mass, temperature = torch.tensor([1.0, 4.0], dtype=F64), torch.tensor([0.5, 2.0], dtype=F64)
    process = UnderdampedLangevin(force=[1.0, 2.0], mass=mass, friction=3.0, temperature=temperature)
    assert process.dim == 4 and torch.equal(process.temperature, temperature)
    assert process.drift([0.0, 0.0, 1.0, 2.0], 0.0).tolist() == [1.0, 2.0, -2.0, -1.0]
    strength = process.diffusion_matrix(0.0)[2:, 2:].diagonal()
    assert torch.allclose(strength, 3.0 * temperature / mass**2)
    assert process.energy([0.0, 0.0, 1.0, 2.0], 0.0).item() == 0.5 + 8.0  # kinetic only


def test_protocols_and_times():
    process = UnderdampedLangevin(
        potential=lambda x, c: 0.5 * ((x - c) ** 2).sum(-1), protocol=Protocol([0.0, 2.0], [0.0, 6.0])
    )
    x = states(2, 4)
    together = process.drift(x, [0.5, 1.5])
    for k, t in enumerate((0.5, 1.5)):
        assert torch.allclose(together[k], process.drift(x[k], t))
        assert torch.allclose(process.energy(x, [0.5, 1.5])[k], process.energy(x[k], t))
        assert torch.allclose(together[k, 2:], 3 * t - x[k, :2] - x[k, 2:])
    assert process.horizon == 2.0 and not process.is_static
    assert process.noise_at(x, 0.5).shape == (4, 2) and process.diffusion_matrix(0.5, 4).shape == (4, 4)


def test_states_are_positions_and_velocities():
    process = UnderdampedLangevin(force=lambda x: -x)
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=F64)
    positions, velocities = process.split(x)
    assert positions.tolist() == [[1.0, 2.0]] and velocities.tolist() == [[3.0, 4.0]]
    assert torch.equal(process.join(positions, velocities), x)
    assert process.reversed(x).tolist() == [[1.0, 2.0, -3.0, -4.0]]
    assert process.drift(x.to(torch.float32), 0.0).dtype == torch.float32
    assert process.join([1.0], [2.0]).tolist() == [1.0, 2.0]


def test_time_reversal_with_odd_velocities_keeps_the_reversible_drift():
    # the part of the drift that is odd, b(x) = -eps b(eps x), is Hamiltonian: it keeps the energy
    process = UnderdampedLangevin(potential=lambda x: (x**4).sum(-1) / 4, mass=[1.0, 2.0], friction=0.7)
    x = states(6, 4).requires_grad_()
    turn = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=F64)
    forward, backward = process.drift(x, 0.0), turn * process.drift(process.reversed(x), 0.0)
    reversible, irreversible = 0.5 * (forward - backward), 0.5 * (forward + backward)
    (slope,) = torch.autograd.grad(process.energy(x, 0.0).sum(), x)
    assert (slope * reversible).sum(-1).abs().max() < 1e-13
    velocities = x.detach()[:, 2:]
    assert torch.allclose(irreversible[:, 2:].detach(), -0.7 * velocities / torch.tensor([1.0, 2.0], dtype=F64))
    assert irreversible[:, :2].abs().max() < 1e-14


def test_velocities_are_those_of_maxwell_and_boltzmann():
    mass, temperature = [1.0, 4.0], [0.5, 2.0]
    process = UnderdampedLangevin(force=0.0, mass=mass, temperature=temperature)
    v = process.velocities(torch.zeros(40_000, 2), generator=1)
    assert v.dtype == torch.float32 and torch.equal(v, process.velocities(torch.zeros(40_000, 2), generator=1))
    # variances of 40 000 draws: relative deviation 0.7 %, four of them are met once in 16 000 runs
    assert torch.allclose(v.var(0).double(), torch.tensor([0.5, 0.5], dtype=F64), rtol=4 * math.sqrt(2 / 40_000))
    assert v.mean(0).abs().max() < 4 * math.sqrt(0.5 / 40_000)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: UnderdampedLangevin(force=1.0, mass=0.0), "mass must be > 0; got 0.0"),
        (lambda: UnderdampedLangevin(force=1.0, friction=-1.0), "friction must be > 0; got -1.0"),
        (lambda: UnderdampedLangevin(force=1.0, friction=[1.0, 1.0]), "friction must be one number"),
        (lambda: UnderdampedLangevin(force=1.0, temperature=-1.0), "temperature must be > 0; got -1.0"),
        (lambda: UnderdampedLangevin(force=1.0, temperature=math.nan), "temperature must be finite"),
        (lambda: UnderdampedLangevin(force=1.0, mass=[1.0, 1.0], dim=3), "must agree on D; got dim: 3, mass: 2"),
        (lambda: UnderdampedLangevin(force=1.0).drift([1.0], 0.0), r"x must hold positions and velocities"),
        (lambda: UnderdampedLangevin(force=1.0, dim=2).drift([1.0, 1.0], 0.0), r"shape \(..., 4\); got \(2,\)"),
        (lambda: UnderdampedLangevin(force=1.0).diffusion(0.0), "the number of positions is not known: give dim="),
        (lambda: UnderdampedLangevin(force=1.0).diffusion_matrix(0.0, 3), "dim must be even"),
        (lambda: UnderdampedLangevin(force=1.0, dim=2).velocities([1.0]), r"positions must have shape \(..., 2\)"),
        (lambda: UnderdampedLangevin(force=1.0).thermodynamic_force([1.0, 1.0], 0.0), "has odd velocities"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
