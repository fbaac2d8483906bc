"""Half-bridges: geometric convergence to the closed form, and Sinkhorn's scalings."""

import pytest
import torch

import infotherm as it
from infotherm.transport.bridge import schroedinger_bridge
from infotherm.transport.matrix_scaling import sinkhorn
from infotherm.transport.proportional_fitting import proportional_fitting

P = it.Gaussian([0.0, 0.0], [[1.0, 0.6], [0.6, 2.0]])
Q = it.Gaussian([1.0, -0.5], [[2.5, -0.9], [-0.9, 1.2]])


def _free(tau):
    """Brownian motion from P: the joint law of its ends."""
    channel = it.LinearGaussianChannel(torch.eye(2, dtype=torch.float64), tau * torch.eye(2, dtype=torch.float64))
    return channel.joint(P, names=("x", "y"))


def test_half_bridges_converge_geometrically_to_the_bridge():
    known = schroedinger_bridge(P, Q, 1.0, 1.0)
    laws = proportional_fitting(_free(1.0), P, Q, 60)
    off = torch.stack([(law.covariance - known.coupling.covariance).abs().max() for law in laws])
    assert off[-1] < 1e-10 and off[0] > 0.1
    # two half-bridges shrink the error by the square of the largest correlation of the limit
    C = known.coupling.covariance
    root = lambda M: torch.linalg.cholesky(M)  # noqa: E731
    between = torch.linalg.solve(root(C[:2, :2]), C[:2, 2:]) @ torch.linalg.inv(root(C[2:, 2:])).mT
    rate = torch.linalg.svdvals(between)[0] ** 2
    assert (off[16] / off[14]).item() == pytest.approx(rate.item() ** 2, rel=0.05)
    assert torch.allclose(laws[-1].mean, known.coupling.mean, atol=1e-9)
    # by turns an end is right
    assert torch.allclose(laws[7].covariance[2:, 2:], Q.covariance, rtol=1e-12)
    assert torch.allclose(laws[8].covariance[:2, :2], P.covariance, rtol=1e-12)


def test_each_half_bridge_comes_nearer_to_the_bridge():
    known = schroedinger_bridge(P, Q, 1.0, 1.0).coupling
    distances = [it.kl(known, law).value.item() for law in proportional_fitting(_free(1.0), P, Q, 12)]
    assert all(after < before for before, after in zip(distances[:-1], distances[1:], strict=True))


def test_between_atoms_they_are_scalings():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 2, dtype=torch.float64, generator=generator) for n in (5, 6))
    a, b = (torch.full((n,), 1 / n, dtype=torch.float64) for n in (5, 6))
    C = (x[:, None] - y).square().sum(-1)
    found = proportional_fitting(a[:, None] * torch.exp(-C / 1.2), a, b, 400)
    f, g = torch.zeros(5).double(), None
    for step in range(1, 5):  # potentials by soft minima
        if step % 2:
            g = -1.2 * torch.logsumexp((f[:, None] - C) / 1.2 + a.log()[:, None], 0)
        else:
            f = -1.2 * torch.logsumexp((g - C) / 1.2 + b.log(), 1)
        assert torch.allclose(found[step], a[:, None] * b * ((f[:, None] + g - C) / 1.2).exp(), rtol=1e-12)
    assert torch.allclose(found[-1], sinkhorn(a, b, C, 1.2, tolerance=1e-13).plan, atol=1e-10)


def test_what_is_refused():
    with pytest.raises(ValueError, match="steps must be"):
        proportional_fitting(_free(1.0), P, Q, -1)
    with pytest.raises(TypeError, match="q must be a Gaussian"):
        proportional_fitting(_free(1.0), P, it.Rademacher(), 1)
    with pytest.raises(ValueError, match="parts x of size 2"):
        proportional_fitting(P, P, Q, 1)
    with pytest.raises(ValueError, match="reference must be > 0"):
        proportional_fitting([[1.0, 0.0]], [1.0], [0.5, 0.5], 1)
    with pytest.raises(TypeError, match="reference must be a Gaussian or a matrix"):
        proportional_fitting(it.Rademacher(), P, Q, 1)
