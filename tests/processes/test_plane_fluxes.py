"""Fluxes in the plane: laws that they keep exactly, mean steps, balances, and diffusion matrices that do not fit."""

import math

import numpy as np
import pytest
import torch

from infotherm.processes import Langevin
from infotherm.processes.exponential_fitting import LineGrid
from infotherm.processes.plane_fluxes import PlaneFluxes, frame_of

F64 = torch.float64
ONE = torch.eye(2, dtype=F64)
AXES = (LineGrid.between(-2.0, 2.0, 12), LineGrid.between(-1.0, 3.0, 10))
SIGMA = torch.tensor([[1.0, 0.5], [0.0, 1.0]], dtype=F64)
STIFFNESS = torch.tensor([[1.0, -0.4], [-0.4, 2.0]], dtype=F64)


def test_correlated_noise_is_diagonal_in_its_frame_and_keeps_the_boltzmann_law():
    """b = -D K x keeps exp(-x^T K x / 2); b / D is linear along each axis, where the quadrature is exact."""
    matrix = 0.5 * SIGMA @ SIGMA.T
    process = Langevin(force=lambda x: -x @ (matrix @ STIFFNESS).T, sigma=SIGMA, mobility=1.0)
    frame = frame_of(process, 0.0)
    turned = (frame.T @ matrix @ frame).numpy()
    assert abs(turned[0, 1]) < 1e-15 and abs(turned[0, 0] - turned[1, 1]) > 0.1
    fluxes = PlaneFluxes(process, AXES, frame)
    x = fluxes.nodes
    law = torch.exp(-0.5 * ((x @ STIFFNESS) * x).sum(-1)).numpy()
    rates = fluxes.rates(0.0)
    for axis, (up, down, affinity) in enumerate(rates):
        here, there = (np.moveaxis(law, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
        np.testing.assert_allclose(np.moveaxis(up, axis, 0) * here, np.moveaxis(down, axis, 0) * there, rtol=1e-12)
        np.testing.assert_allclose(np.moveaxis(affinity, axis, 0), np.log(there / here), rtol=1e-11, atol=1e-12)
    moved = fluxes.generator(rates) @ law.ravel()
    assert np.abs(moved).max() < 1e-12 * law.max() * max(up.max() for up, _, _ in rates)


def test_a_flat_torus():
    torus = Langevin(force=[1.0, 2.0], sigma=[1.0, 2.0], mobility=1.0, periodic=[3.0, 5.0])
    fluxes = PlaneFluxes(torus, (LineGrid.around(3.0, 6), LineGrid.around(5.0, 9)), frame_of(torus, 0.0))
    rates = fluxes.rates(0.0)
    produced, medium = fluxes.production(rates, np.full((6, 9), 1 / 54))
    assert produced == pytest.approx(1 / 0.5 + 4 / 2.0, rel=1e-13) and medium == pytest.approx(produced, rel=1e-13)
    for (up, down, _), spacing, force in zip(rates, (0.5, 5 / 9), (1.0, 2.0), strict=True):
        np.testing.assert_allclose(spacing * (up - down), force, rtol=1e-13)  # the mean velocity


@pytest.mark.parametrize("rings", [False, True])
def test_the_generator_conserves_and_its_entropy_balances(rings):
    # a current around the middle, and noise that depends on the state
    process = Langevin(
        force=lambda x: torch.stack([torch.sin(x[..., 1]), -torch.sin(x[..., 0])], -1),
        sigma=lambda x, t: 1 + 0.3 * torch.cos(x),
        dim=2,
        periodic=math.tau if rings else None,
    )
    axes = (LineGrid.around(math.tau, 8), LineGrid.around(math.tau, 7)) if rings else AXES
    fluxes = PlaneFluxes(process, axes, frame_of(process, 0.0))
    assert torch.equal(fluxes.frame, ONE)
    rates = fluxes.rates(0.0)
    for up, down, affinity in rates:
        np.testing.assert_allclose(affinity, np.log(up / down), rtol=1e-11, atol=1e-12)
    matrix = fluxes.generator(rates).toarray()
    assert np.abs(matrix.sum(0)).max() < 1e-13 * np.abs(matrix).max()
    assert (matrix - np.diag(np.diag(matrix))).min() >= 0
    masses = np.random.default_rng(1).dirichlet(np.ones(matrix.shape[0]))
    produced, medium = fluxes.production(rates, masses.reshape(fluxes.shape))
    assert produced > 0
    assert produced - medium == pytest.approx(-(matrix @ masses * np.log(masses)).sum(), rel=1e-11)
    # the mean step of an inner node is its drift, to the second order of the spacing
    x = fluxes.nodes.numpy().reshape(-1, 2)
    inner = np.ravel_multi_index((3, 4), fluxes.shape)
    step = matrix[:, inner] @ (x - x[inner])
    np.testing.assert_allclose(step, [math.sin(x[inner, 1]), -math.sin(x[inner, 0])], atol=axes[0].spacing ** 2)


def test_a_mixing_matrix_that_turns_with_the_state_is_refused():
    def turning(x, t):
        one = torch.ones_like(x[..., 0])
        return torch.stack([torch.stack([one, 0.5 * torch.sin(x[..., 0])], -1), torch.stack([one, one], -1)], -1)

    process = Langevin(force=lambda x: -x, sigma=turning)
    with pytest.raises(ValueError, match="diffusion matrix that is diagonal"):
        PlaneFluxes(process, AXES, frame_of(process, 0.0)).rates(0.0)
    around = Langevin(force=lambda x: 0 * x, sigma=SIGMA, mobility=1.0, periodic=math.tau)
    with pytest.raises(ValueError, match="on coordinates without period"):
        PlaneFluxes(around, (LineGrid.around(math.tau, 4),) * 2, frame_of(around, 0.0)).rates(0.0)
