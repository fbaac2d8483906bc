"""Schroedinger bridges between atoms: the mixture, its drift by differentiation, paths, and the Gaussian limit."""

import pytest
import torch

import infotherm as it
from infotherm.transport.bridge import schroedinger_bridge
from infotherm.transport.regularised import entropic


def _draws(n, dim, seed, shift=0.0):
    return shift + torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


X, Y = _draws(6, 2, 0), _draws(7, 2, 1, 1.0)
WEIGHTS = _t([0.1, 0.3, 0.0, 0.2, 0.2, 0.1, 0.1])
MATRIX = _t([[1.0, 0.3], [0.0, 0.5]])
NOISES = [0.8, MATRIX, lambda t: 0.5 + t]


def _bridge(sigma, **options):
    return schroedinger_bridge(it.Empirical(X), it.Empirical(Y, WEIGHTS), sigma, 1.5, **options)


@pytest.mark.parametrize("sigma", NOISES)
def test_marginals_start_and_end_at_the_atoms(sigma):
    bridge = _bridge(sigma, tolerance=1e-13)
    assert bridge.end_error.item() < 1e-12
    assert torch.allclose(bridge.plan.sum(1), torch.full((6,), 1 / 6, dtype=torch.float64), rtol=1e-13)
    assert torch.allclose(bridge.plan.sum(0), WEIGHTS, atol=1e-12)
    for t, law in ((0.0, it.Empirical(X)), (1.5, it.Empirical(Y, WEIGHTS))):
        assert torch.allclose(bridge.marginal(t).mean, law.mean, atol=1e-12)
        assert torch.allclose(bridge.marginal(t).covariance, law.covariance, atol=1e-12)


def test_the_plan_is_that_of_entropic_transport():
    bridge = _bridge(0.8, tolerance=1e-13)
    epsilon = 2 * 0.64 * 1.5
    known = entropic(it.Empirical(X), it.Empirical(Y, WEIGHTS), epsilon, tolerance=1e-13)
    assert bridge.transport_cost.value.item() == pytest.approx(known.value.item(), rel=1e-13)
    C = (X[:, None] - Y).square().sum(-1)
    information = torch.special.xlogy(bridge.plan, bridge.plan / (WEIGHTS / 6).clamp(min=1e-300)).sum()
    assert ((bridge.plan * C).sum() + epsilon * information).item() == pytest.approx(known.value.item(), rel=1e-10)


@pytest.mark.parametrize("sigma", NOISES)
def test_the_drift_carries_the_marginals(sigma):
    # Fokker-Planck at points: dp/dt = -div(b p) + tr(D grad grad p), with derivatives of the mixture by differences
    bridge = _bridge(sigma, tolerance=1e-13)
    t, h = 0.7, 1e-3
    amplitude = torch.as_tensor(sigma(_t(t)) if callable(sigma) else sigma, dtype=torch.float64)
    D = amplitude @ amplitude.mT / 2 if amplitude.ndim else amplitude**2 / 2 * torch.eye(2).double()
    x = _t([[0.2, 0.1], [1.0, 0.8], [-0.5, 1.0]])
    density = lambda points, time=t: bridge.marginal(time).log_prob(points).exp()  # noqa: E731
    change = (density(x, t + h) - density(x, t - h)) / (2 * h)
    steps = h * torch.eye(2, dtype=torch.float64)

    def flux(points):
        return bridge.drift(points, t) * density(points)[:, None]

    divergence = sum((flux(x + e) - flux(x - e))[:, i] / (2 * h) for i, e in enumerate(steps))
    curvature = sum(
        D[i, j] * (density(x + e + d) - density(x + e - d) - density(x - e + d) + density(x - e - d)) / (4 * h * h)
        for i, e in enumerate(steps)
        for j, d in enumerate(steps)
    )
    assert torch.allclose(change, curvature - divergence, atol=1e-4 * float(density(x).max()))
    assert change.abs().max() > 1e-2


def test_paths_follow_the_marginals():
    bridge = _bridge(MATRIX, tolerance=1e-12)
    times, n = [0.0, 0.5, 1.2, 1.5], 40_000
    paths = bridge.sample_paths(n, times, generator=3)
    assert paths.shape == (4, n, 2)
    for t, states in zip(times, paths, strict=True):
        law = bridge.marginal(t)
        # five standard errors, for variances with fourth moments below five squared variances: false alarms below 1e-5
        assert torch.allclose(states.mean(0), law.mean, atol=5 * float(law.variance.max() / n) ** 0.5)
        assert torch.allclose(states.mT.cov(), law.covariance, atol=5 * 2 * float(law.variance.max()) / n**0.5)
    ends = (paths[-1][:, None] - Y).abs().sum(-1)
    assert ends.amin(1).max() < 1e-12
    starts = (paths[0][:, None] - X).abs().sum(-1)
    counts = torch.zeros(6, 7).double().index_put_((starts.argmin(1), ends.argmin(1)), _t(1.0), accumulate=True) / n
    assert torch.allclose(counts, bridge.plan, atol=5 * (0.25 / n) ** 0.5)
    assert torch.equal(paths, bridge.sample_paths(n, times, generator=3))
    assert bridge.sample_paths(3, []).shape == (0, 3, 2)


def test_euler_steps_with_the_drift_arrive_at_the_atoms():
    bridge = _bridge(0.8)
    generator, n, steps = torch.Generator().manual_seed(1), 2000, 200
    x, h = it.Empirical(X).sample((n,), generator=generator), 1.5 / steps
    for k in range(steps):
        x = x + h * bridge.drift(x, k * h) + 0.8 * h**0.5 * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    places = (x[:, None] - Y).square().sum(-1).argmin(1)
    share = torch.bincount(places, minlength=7) / n
    # five standard errors and a step that lands next to another atom
    assert torch.allclose(share.double(), WEIGHTS, atol=5 * (0.25 / n) ** 0.5 + 0.02)


def test_gauss_hermite_atoms_give_the_gaussian_bridge():
    from infotherm.core.quadrature import gauss_hermite

    nodes, weights = gauss_hermite(40)
    p, q = it.Empirical(nodes[:, None], weights), it.Empirical(1 + 2 * nodes[:, None], weights)
    atoms = schroedinger_bridge(p, q, 2.0, 1.0, tolerance=1e-12)
    known = schroedinger_bridge(it.Gaussian(0.0, 1.0), it.Gaussian(1.0, 4.0), 2.0, 1.0)
    for t in (0.2, 0.6):
        assert atoms.marginal(t).variance.item() == pytest.approx(known.marginal(t).variance.item(), rel=1e-8)
        x = _t([[-1.0], [0.4], [2.0]])
        assert torch.allclose(atoms.drift(x, t), known.drift(x, t), rtol=1e-6)


def test_edges_and_what_is_refused():
    point = schroedinger_bridge(it.Empirical([[0.0]]), it.Empirical([[2.0]]), 1.0, 1.0)
    assert point.marginal(0.5).mean.item() == 1.0 and point.marginal(0.5).variance.item() == pytest.approx(0.25)
    assert point.drift([[0.5]], 0.5).item() == pytest.approx(3.0)
    small = schroedinger_bridge(it.Empirical(X.float()), it.Empirical(Y.float()), 1.0, 1.0)
    assert small.drift(X.float(), 0.5).dtype == torch.float32 and small.end_error.item() < 1e-4
    assert small.sample_paths(2, [0.5], generator=0).dtype == torch.float32
    bridge = _bridge(0.8)
    with pytest.raises(ValueError, match="t must be < duration"):
        bridge.drift(X, 1.5)
    with pytest.raises(ValueError, match=r"x must have shape \(..., 2\)"):
        bridge.drift([[1.0]], 0.5)
    with pytest.raises(ValueError, match="t must be one time"):
        bridge.marginal([0.1, 0.2])
    with pytest.raises(ValueError, match="times must be one increasing row"):
        bridge.sample_paths(3, [0.5, 0.2])
    with pytest.raises(ValueError, match="n must be an integer"):
        bridge.sample_paths(0, [0.5])
    with pytest.raises(ValueError, match="one sigma and duration"):
        schroedinger_bridge(it.Empirical(X), it.Empirical(Y), _t([1.0, 2.0]), 1.0)
