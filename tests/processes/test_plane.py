"""The plane: linear processes against closed forms, correlated noise, tori, refusals."""

import math

import pytest
import torch

from infotherm.distributions import Gaussian
from infotherm.processes import Langevin, OrnsteinUhlenbeck
from infotherm.processes import plane as plane_module
from infotherm.processes.fokker_planck import evolve
from infotherm.processes.stationary_density import stationary_density

F64 = torch.float64
GYRATOR = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=F64)


@pytest.fixture(autouse=True)
def coarser(monkeypatch):
    """Three grids of 20, 40 and 80 intervals: the errors say what is lost."""
    monkeypatch.setattr(plane_module, "_COARSE", 20)


def linear(matrix, sigma):
    return Langevin(force=lambda x: -x @ matrix.T, sigma=sigma, mobility=1.0)


def test_the_gyrator():
    law = stationary_density(linear(GYRATOR, [2.0, 2**0.5]), 0.0, 2)
    rate, error = law.info["production_rate"]
    assert abs(rate - 0.0625) <= error < 1e-3
    expected = torch.tensor([[2.5, 1.0], [1.0, 1.5]], dtype=F64)
    assert (law.covariance - expected).abs().max() < 1e-3


def test_correlated_noise_relaxes_as_in_closed_form():
    sigma = torch.tensor([[1.0, 0.5], [0.0, 1.0]], dtype=F64)
    start = Gaussian([1.0, 0.0], [[0.5, 0.1], [0.1, 0.3]])
    with pytest.warns(RuntimeWarning, match="did not reach"):
        found = evolve(linear(GYRATOR, sigma), start, [0.0, 0.7], tolerance=1e-12)
    exact = OrnsteinUhlenbeck(GYRATOR, sigma)
    law = exact.marginal(start, 0.7)
    x = law.sample((500,), generator=0)
    mean_error = (found.final.log_prob(x) - law.log_prob(x)).abs().mean().item()
    assert mean_error <= 2 * found.final.accuracy < 1e-2
    from infotherm.thermodynamics import entropy_production

    expected = entropy_production(exact, start, 0.7).value.item()
    assert abs(found.produced[0, -1].item() - expected) <= found.produced[1, -1].item() < 0.02
    balance = found.entropy[0, -1] - found.entropy[0, 0] + found.medium[0, -1] - found.produced[0, -1]
    assert abs(balance.item()) <= (found.entropy[1].sum() + found.medium[1, -1] + found.produced[1, -1]).item()


def test_a_torus_of_two_rings():
    torus = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=2**0.5, periodic=[2 * math.pi, 2 * math.pi])
    law = stationary_density(torus, 0.0, 2)
    rate, error = law.info["production_rate"]
    assert abs(rate - 2 * 0.7747184253032197) <= error + 1e-9
    assert error < 1e-3


def test_refusals():
    with pytest.raises(ValueError, match="must have a density for a grid in the plane"):
        evolve(linear(GYRATOR, 1.0), Gaussian([0.0, 0.0], torch.zeros(2, 2)), [0.0, 1.0])
    with pytest.raises(ValueError, match="no range of the plane"):
        stationary_density(Langevin(force=lambda x: 0 * x, sigma=1.0), 0.0, 2)


@pytest.mark.parametrize("middle,variance", [(0.0, 4.0), (0.0, 0.1), (63.0, 0.1)])
def test_laws_on_a_torus_start_with_all_their_images(middle, variance):
    """Two independent rings: each coordinate keeps to the law of the ring."""
    period = 2 * math.pi
    ring = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=2**0.5, periodic=period)
    torus = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=2**0.5, periodic=period, dim=2)
    one = ring.marginal(Gaussian(middle, variance), 0.2)
    square = Gaussian([middle, middle], [[variance, 0.0], [0.0, variance]])
    two = evolve(torus, square, [0.0, 0.2], tolerance=1e-2).final
    x = torch.linspace(0.0, 6.0, 13, dtype=torch.float64)[:, None]
    expected = one.log_prob(x)[:, None] + one.log_prob(x)
    found = two.log_prob(torch.stack(torch.broadcast_tensors(x, x.mT), -1))
    weight = expected.exp()
    assert (((found - expected).abs() * weight).sum() / weight.sum()).item() <= two.accuracy < 1e-2
