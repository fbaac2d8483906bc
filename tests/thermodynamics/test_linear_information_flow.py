"""Linear diffusions in two parts: means by quadrature, marginal entropies in time, Riccati equations, bad parts."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import solve_continuous_are

from infotherm.distributions import Gaussian
from infotherm.processes import OrnsteinUhlenbeck, steady_state
from infotherm.thermodynamics.linear_information_flow import (
    coupled_fields,
    filter_covariance,
    gaussian_parts,
    gaussian_transfer_entropy,
)

F64 = torch.float64
NOW = torch.tensor(0.0, dtype=F64)
SIZES = (2, 1)
RATE = np.array([[1.2, -0.4, 0.5], [0.3, 0.9, -0.8], [-0.6, 0.2, 1.5]])
SIGMA = np.array([[1.0, 0.0, 0.0], [0.4, 0.8, 0.0], [0.0, 0.0, 1.3]])
PROCESS = OrnsteinUhlenbeck(RATE, SIGMA, mean=[0.2, 0.0, -0.5])
LAW = Gaussian([0.5, -1.0, 0.3], [[0.8, 0.2, -0.1], [0.2, 0.5, 0.15], [-0.1, 0.15, 1.1]])


def test_rates_are_means_over_the_law():
    """E nu_a^T D_a^-1 nu_a, E nu_a . grad_a log p(x, y) / p(a) and E nu_a^T D_a^-1 b_a by Gauss-Hermite nodes."""
    z, weight = np.polynomial.hermite_e.hermegauss(4)
    points = np.stack(np.meshgrid(z, z, z, indexing="ij"), -1).reshape(-1, 3)
    weights = np.prod(np.stack(np.meshgrid(*[weight / math.sqrt(math.tau)] * 3, indexing="ij"), -1), -1).ravel()
    mean, covariance = LAW.mean.numpy(), LAW.covariance.numpy()
    x = mean + points @ np.linalg.cholesky(covariance).T
    score = -(x - mean) @ np.linalg.inv(covariance)
    drift = -(x - np.array([0.2, 0.0, -0.5])) @ RATE.T
    diffusion = SIGMA @ SIGMA.T / 2
    velocity = drift - score @ diffusion
    for found, part in zip(gaussian_parts(PROCESS, LAW, SIZES, NOW, LAW), (slice(0, 2), slice(2, 3)), strict=True):
        inverse = np.linalg.inv(diffusion[part, part])
        own = -(x - mean)[:, part] @ np.linalg.inv(covariance[part, part])
        fields = [
            np.einsum("ni,ij,nj->n", velocity[:, part], inverse, velocity[:, part]),
            (velocity[:, part] * (score[:, part] - own)).sum(-1),
            -(velocity[:, part] * own).sum(-1),
            np.einsum("ni,ij,nj->n", velocity[:, part], inverse, drift[:, part]),
        ]
        for estimate, field in zip(found, fields, strict=True):
            assert abs(estimate.value.item() - weights @ field) <= estimate.error.item() + 1e-13


def test_the_marginal_entropy_changes_at_its_rate():
    h = 1e-3
    for k, part in enumerate((slice(0, 2), slice(2, 3))):

        def entropy(t, part=part):
            return 0.5 * torch.logdet(PROCESS.marginal(LAW, t).covariance[part, part]).item()

        # one-sided, of the fourth order
        slope = sum(c * entropy(j * h) for j, c in enumerate((-25 / 12, 4.0, -3.0, 4 / 3, -1 / 4))) / h
        assert gaussian_parts(PROCESS, LAW, SIZES, NOW, LAW)[k][2].value.item() == pytest.approx(slope, abs=1e-9)


def test_the_steady_state_keeps_entropy_and_information():
    kept = steady_state(PROCESS)
    x, y = gaussian_parts(PROCESS, None, SIZES, NOW, kept)
    for part in (x, y):
        assert abs(part[2].value.item()) <= part[2].error.item() < 1e-11
    assert abs((x[1] + y[1]).value.item()) <= (x[1] + y[1]).error.item()
    assert abs(x[1].value.item()) > 1e-3
    again = gaussian_parts(PROCESS, kept, SIZES, NOW, kept)
    for one, other in zip((*x, *y), (*again[0], *again[1]), strict=True):
        assert abs((one - other).value.item()) <= one.error.item() + other.error.item()


def test_filter_solves_its_equation():
    g = torch.Generator().manual_seed(11)
    rate, root = torch.randn(5, 5, generator=g, dtype=F64), torch.randn(5, 5, generator=g, dtype=F64)
    a = -rate - (0.3 - torch.linalg.eigvals(rate).real.min()) * torch.eye(5, dtype=F64)
    d = root @ root.mT + torch.eye(5, dtype=F64)
    own, coupling, noise, seen = a[:3, :3], a[3:, :3], d[:3, :3], d[3:, 3:]
    s, change = filter_covariance(own, coupling, noise, seen)
    residual = own @ s + s @ own.mT + 2 * noise - s @ coupling.mT @ torch.linalg.inv(2 * seen) @ coupling @ s
    assert residual.abs().max() < 1e-12 and change < 1e-12
    assert torch.linalg.eigvalsh(s).min() > 0


@pytest.mark.parametrize("into", [0, 1])
def test_transfer_entropy_by_another_riccati_solver(into):
    found = gaussian_transfer_entropy(PROCESS, SIZES, NOW, steady_state(PROCESS), into)
    seen, hidden = (slice(0, 2), slice(2, 3)) if into == 0 else (slice(2, 3), slice(0, 2))
    noise = SIGMA @ SIGMA.T
    own, coupling = -RATE[hidden, hidden], -RATE[seen, hidden]
    covariance = solve_continuous_are(own.T, coupling.T, noise[hidden, hidden], noise[seen, seen])
    expected = 0.5 * np.trace(np.linalg.solve(noise[seen, seen], coupling @ covariance @ coupling.T))
    assert abs(found.value.item() - expected) <= found.error.item() + 1e-13 and expected > 0.01


@pytest.mark.parametrize(
    ("sigma", "sizes", "message"),
    [
        (SIGMA, (1, 2), r"no entry between the parts .*got D\[0, 1\] = 0.2"),
        (SIGMA, (1, 1), "parts must add up to the 3 coordinates of the process; got"),
        (np.diag([1.0, 1.0, 0.0]), (2, 1), "singular"),
    ],
)
def test_bad_parts(sigma, sizes, message):
    with pytest.raises(ValueError, match=message):
        coupled_fields(OrnsteinUhlenbeck(RATE, sigma), sizes, NOW, LAW)
