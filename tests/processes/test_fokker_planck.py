"""Laws on grids: closed forms of affine processes, second routes, driven and multiplicative noise, refusals."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.linalg import eigh_tridiagonal

import infotherm as it
from infotherm.distributions import Gaussian, as_distribution
from infotherm.processes import Langevin, OrnsteinUhlenbeck, Protocol, steady_state
from infotherm.processes.fokker_planck import evolve, marginal

F64 = torch.float64
OU = OrnsteinUhlenbeck(1.0, 2**0.5)
TRAP = Langevin(potential=lambda x: 0.5 * (x**2).sum(-1), sigma=2**0.5)
WELL = Langevin(potential=lambda x: 2 * ((x**2 - 1) ** 2).sum(-1), sigma=2**0.5)
RING = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=2**0.5, periodic=2 * math.pi)


def largest_difference(p, q):
    x = q.sample((2000,), generator=1)
    return (p.log_prob(x) - q.log_prob(x)).abs().max().item(), (p.score(x) - q.score(x)).abs().max().item()


def test_a_trap_against_its_closed_form():
    start = Gaussian(2.0, 0.25)
    found = evolve(TRAP, start, [0.0, 0.3, 1.0])
    for law, t in zip(found.laws[1:], (0.3, 1.0), strict=True):
        density, score = largest_difference(law, OU.marginal(start, t))
        assert density < 1e-7 and score < 1e-6
        assert law.accuracy <= 1e-7
    expected = it.thermodynamics.entropy_production(OU, start, 1.0).value.item()
    assert abs(found.produced[0, -1].item() - expected) <= found.produced[1, -1].item()
    entropies = [it.entropy(OU.marginal(start, t)).value.item() for t in (0.0, 0.3, 1.0)]
    assert bool(((found.entropy[0] - torch.tensor(entropies, dtype=F64)).abs() <= found.entropy[1]).all())
    assert torch.equal(TRAP.marginal(start, 0.3).log_prob([[1.0]]), marginal(TRAP, start, 0.3).log_prob([[1.0]]))


def test_a_mixture_and_atoms_against_closed_forms():
    mixture = it.GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [[[0.1]], [[0.3]]])
    density, _ = largest_difference(marginal(TRAP, mixture, 0.5), OU.marginal(mixture, 0.5))
    assert density < 1e-6
    point = Gaussian(0.5, 0.0)
    density, _ = largest_difference(marginal(TRAP, point, 0.5), OU.marginal(point, 0.5))
    assert density < 1e-5
    samples = it.Empirical([[-1.0], [0.1], [2.0]])  # atoms between the nodes
    density, _ = largest_difference(marginal(TRAP, samples, 0.5, tolerance=1e-3), OU.marginal(samples, 0.5))
    assert density < 1e-2
    assert math.isinf(evolve(TRAP, point, [0.0, 0.5]).produced[0, -1].item())


def test_a_double_well_against_its_spectrum():
    """exp(L t) from the eigenvectors of the symmetrised finite differences on a very fine grid, to their own error."""
    start = Gaussian(-0.8, 0.04)
    law = marginal(WELL, start, 0.4)
    means = []
    for count in (1501, 3001):
        x = np.linspace(-2.6, 2.6, count)
        h = x[1] - x[0]
        energy = 2 * (x**2 - 1) ** 2
        up, down = np.exp(-np.diff(energy) / 2) / h**2, np.exp(np.diff(energy) / 2) / h**2
        diagonal = -np.append(up, 0) - np.append(0, down)
        values, vectors = eigh_tridiagonal(
            diagonal, np.sqrt(up * down), select="i", select_range=(count - 150, count - 1)
        )
        root = np.exp(-energy / 2)
        initial = np.exp(start.log_prob(torch.from_numpy(x)[:, None]).numpy()) / root
        masses = root * (vectors @ (np.exp(0.4 * values) * (vectors.T @ initial)))
        means.append((x * masses).sum() / masses.sum())
    expected = means[1] + (means[1] - means[0]) / 3
    assert abs(law.mean.item() - expected) < 1e-8 + abs(means[1] - means[0]) / 3


def test_a_driven_trap_against_its_closed_form():
    driven = Langevin(potential=lambda x, c: 0.5 * ((x - c) ** 2).sum(-1), sigma=2**0.5, protocol=lambda t: t)
    found = evolve(driven, Gaussian(0.0, 1.0), [0.0, 1.0], tolerance=1e-6)
    assert abs(found.final.mean.item() - math.exp(-1)) < 1e-6  # T - 1 + exp(-T)
    assert abs(found.final.covariance.item() - 1) < 1e-6
    # the force is E(c - x) = 1 - exp(-t) =: u; the rate is u^2, integrated over time
    expected = 1 - 2 * (1 - math.exp(-1)) + 0.5 * (1 - math.exp(-2))
    assert abs(found.produced[0, -1].item() - expected) <= found.produced[1, -1].item() + 1e-9


@pytest.mark.slow
def test_multiplicative_noise_is_a_change_of_coordinates():
    """Y = sinh X, dX = -X dt + sqrt(2) dB: by Ito b = -asinh(y) sqrt(1 + y^2) + y and D = 1 + y^2."""
    process = Langevin(
        force=lambda y: -torch.asinh(y) * torch.sqrt(1 + y**2) + y, sigma=lambda y, c: torch.sqrt(2 * (1 + y**2))
    )
    start = stats.norm(0.3, 0.4)
    y = torch.linspace(-6.5, 6.5, 2001, dtype=F64)
    from infotherm.processes.grid_density import GridDensity

    x = torch.asinh(y)
    law = GridDensity([y], torch.from_numpy(start.logpdf(x.numpy())) - 0.5 * torch.log1p(y**2))
    found = marginal(process, law, 0.2, tolerance=1e-3)
    exact = OU.marginal(Gaussian(0.3, 0.16), 0.2)
    points = torch.sinh(exact.sample((200,), generator=0))
    expected = exact.log_prob(torch.asinh(points)) - 0.5 * torch.log1p(points[:, 0] ** 2)
    assert (found.log_prob(points) - expected).abs().max() < 1e-2


def test_a_ring_reaches_its_steady_state():
    law = marginal(RING, Gaussian(1.0, 0.2), 30.0)
    x = torch.linspace(0, 6, 9, dtype=F64)[:, None]
    torch.testing.assert_close(law.log_prob(x), steady_state(RING).log_prob(x), rtol=0, atol=1e-9)


@pytest.mark.slow
def test_narrow_starts_are_followed_in_parts():
    start = Gaussian(1.0, 1e-5)
    found = evolve(TRAP, start, [0.0, 0.5], tolerance=1e-5)
    density, _ = largest_difference(found.final, OU.marginal(start, 0.5))
    assert density < 1e-4
    expected = it.thermodynamics.entropy_production(OU, start, 0.5).value.item()
    assert abs(found.produced[0, -1].item() - expected) <= found.produced[1, -1].item() + 1e-6


@pytest.mark.slow
def test_a_law_on_part_of_the_line():
    uniform = as_distribution(stats.uniform(-1, 1.5))
    found = marginal(TRAP, uniform, 0.5, tolerance=1e-6)
    # x_T = e^-t x_0 + noise: a difference of two normal distribution functions
    decay, spread = math.exp(-0.5), math.sqrt(1 - math.exp(-1))
    x = np.linspace(-2, 2, 9)
    expected = (stats.norm.cdf((x + decay) / spread) - stats.norm.cdf((x - 0.5 * decay) / spread)) / (1.5 * decay)
    density = torch.exp(found.log_prob(torch.from_numpy(x)[:, None])).numpy()
    np.testing.assert_allclose(density, expected, rtol=1e-5)


def test_refusals():
    with pytest.raises(ValueError, match="one law for a grid"):
        marginal(TRAP, Gaussian([[0.0], [1.0]], [[[1.0]], [[1.0]]]), 1.0)
    with pytest.raises(ValueError, match="a grid needs D <= 2"):
        marginal(TRAP, Gaussian(torch.zeros(3), torch.eye(3)), 1.0)
    with pytest.raises(ValueError, match="times must increase"):
        evolve(TRAP, Gaussian(0.0, 1.0), [1.0, 0.5])
    with pytest.raises(ValueError, match="t must not be before t0"):
        marginal(TRAP, Gaussian(0.0, 1.0), 0.5, 1.0)
    with pytest.raises(ValueError, match="one time for a grid"):
        marginal(TRAP, Gaussian(0.0, 1.0), [0.5, 1.0])
    with pytest.raises(TypeError, match="must be a diffusion"):
        evolve(it.processes.MarkovJump([[0.0, 1.0], [1.0, 0.0]]), Gaussian(0.0, 1.0), [0.0, 1.0])


def test_what_is_not_reached_is_said():
    with pytest.warns(RuntimeWarning, match="did not reach the tolerance"):
        found = evolve(WELL, Gaussian(-1.0, 0.05), [0.0, 0.1], tolerance=1e-15)
    assert not found.converged


def test_jumps_of_the_drive_end_a_time_step():
    """A trap at 0 that jumps to 1 at time 0.3: N(0, 1) until then, after it a mean of 1 - exp(0.3 - t)."""
    protocol = Protocol([0.0, 0.3, 0.3, 1.0], [0.0, 0.0, 1.0, 1.0])
    process = Langevin(potential=lambda x, c: 0.5 * ((x - c) ** 2).sum(-1), sigma=2**0.5, protocol=protocol)
    found = evolve(process, Gaussian(0.0, 1.0), [0.0, 0.2, 1.0])
    law = Gaussian(1 - math.exp(-0.7), 1.0)
    x = torch.linspace(-2.0, 3.5, 23, dtype=torch.float64)[:, None]
    assert torch.allclose(found.final.log_prob(x), law.log_prob(x), atol=1e-7)
    # before the jump nothing is produced, after it KL(p_0.3 || p_eq) - KL(p_1 || p_eq) = (1 - exp(-1.4)) / 2
    produced, error = found.produced[:, -1].tolist()
    assert abs(produced - 0.5 * (1 - math.exp(-1.4))) <= error + 1e-12 and error < 1e-7
    assert found.converged
