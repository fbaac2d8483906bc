"""Schroedinger bridges between Gaussians: references, the process with its drift, two routes to KL, limits."""

import json
from pathlib import Path

import pytest
import torch

import infotherm as it
from infotherm.core.quadrature import integrate
from infotherm.transport.bridge import schroedinger_bridge

_FILE = Path(__file__).parents[2] / "validation" / "references" / "transport_entropic.json"
_CASES = [case for case in json.loads(_FILE.read_text()) if case["spec"]["quantity"] == "schroedinger_bridge.kl"]


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


P = it.Gaussian([0.0, 0.0], [[1.0, 0.6], [0.6, 2.0]])
Q = it.Gaussian([1.0, -0.5], [[2.5, -0.9], [-0.9, 1.2]])
MATRIX = _t([[1.0, 0.3], [0.0, 0.5]])
NOISES = [0.7, MATRIX, lambda t: 1 + t, lambda t: (1 + t)[..., None, None] * MATRIX]


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case["name"])
def test_references(case):
    spec = case["spec"]
    p, q = (it.Gaussian(_t(spec[name]["mean"]), _t(spec[name]["covariance"])) for name in "pq")
    found = schroedinger_bridge(p, q, spec["sigma"], spec["duration"]).kl
    assert found.kind == "exact" and found.units == "nat"
    assert abs(found.value.item() - case["value"]) <= found.error.item() <= 1e-12


def test_coupling_and_marginal_against_known_numbers():
    bridge = schroedinger_bridge(it.Gaussian(0.0, 1.0), it.Gaussian(1.5, 0.36), 1.0, 1.0)
    assert bridge.coupling.covariance[0, 1].item() == pytest.approx(0.2810249675906654, rel=1e-14)
    assert bridge.marginal(0.5).variance.item() == pytest.approx(0.7305124837953327, rel=1e-14)


@pytest.mark.parametrize("sigma", NOISES)
def test_the_process_with_this_drift_lands_on_the_end(sigma):
    bridge = schroedinger_bridge(P, Q, sigma, 2.0)
    process = bridge.process()
    for t in (0.3, 1.3, 2.0):
        law, known = process.marginal(P, t), bridge.marginal(t)
        assert torch.allclose(law.mean, known.mean, atol=1e-12)
        assert torch.allclose(law.covariance, known.covariance, atol=1e-11)
    assert torch.allclose(bridge.marginal(2.0).covariance, Q.covariance, rtol=1e-13)
    assert torch.allclose(bridge.marginal(0.0).covariance, P.covariance, rtol=1e-13)
    joint = process.transition(0.0, 2.0).joint(P, names=("x", "y"))
    assert torch.allclose(joint.covariance, bridge.coupling.covariance, atol=1e-11)
    x = _t([[0.3, -1.0], [2.0, 1.0]])
    assert torch.allclose(bridge.drift(x, 0.7), process.drift(x, 0.7), rtol=1e-13)


@pytest.mark.parametrize("sigma", NOISES)
def test_kl_is_the_integral_of_the_drift(sigma):
    bridge = schroedinger_bridge(P, Q, sigma, 2.0)
    process = bridge.process()

    def power(t):
        (K, c), law = bridge.affine(t), bridge.marginal(t)
        inverse = torch.linalg.inv(2 * process.diffusion_matrix(t, 2))
        mean = (K @ law.mean[..., None])[..., 0] + c
        spread = (inverse @ K @ law.covariance @ K.mT).diagonal(dim1=-2, dim2=-1).sum(-1)
        return 0.5 * (spread + torch.einsum("...i,...ij,...j->...", mean, inverse, mean))

    dynamic = integrate(power, _t(0.0), _t(2.0), rtol=1e-10)
    assert dynamic.value.item() == pytest.approx(bridge.kl.value.item(), rel=1e-9)
    assert bridge.kl.error.item() < 1e-11


def test_euler_steps_with_the_drift_land_near_the_end():
    bridge = schroedinger_bridge(P, Q, 1.0, 1.0)
    generator, n, steps = torch.Generator().manual_seed(0), 20_000, 50
    x, h = P.sample((n,), generator=generator), 1.0 / steps
    for k in range(steps):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = x + h * bridge.drift(x, k * h) + h**0.5 * noise
    # five standard errors of a covariance (false alarms below 1e-5), and the bias of a step, of order h
    assert torch.allclose(x.mean(0), Q.mean, atol=5 * (2.5 / n) ** 0.5 + h)
    assert torch.allclose(x.mT.cov(), Q.covariance, atol=5 * 2.5 * (2 / n) ** 0.5 + 3 * h)


def test_reversed_drift():
    forth, back = schroedinger_bridge(P, Q, 0.7, 2.0), schroedinger_bridge(Q, P, 0.7, 2.0)
    x = _t([[0.3, -1.0], [2.0, 1.0]])
    for t in (0.0, 0.4, 1.7, 2.0):
        score = forth.marginal(t).score(x)
        assert torch.allclose(forth.backward_drift(x, t), 0.49 * score - forth.drift(x, t), rtol=1e-11, atol=1e-12)
        assert torch.allclose(forth.backward_drift(x, t), back.drift(x, 2.0 - t), rtol=1e-11, atol=1e-12)


def test_little_noise_gives_the_geodesic():
    path = it.transport.geodesic(P, Q)
    bridge = schroedinger_bridge(P, Q, 1e-5, 1.0)
    for t in (0.0, 0.3, 1.0):
        assert torch.allclose(bridge.marginal(t).covariance, path.at(t).covariance, atol=1e-9)
        assert torch.allclose(bridge.drift(P.mean, t), path.velocity(P.mean, t), atol=1e-9)
    assert (2e-10 * bridge.kl.value).item() == pytest.approx(it.wasserstein2(P, Q).value.item() ** 2, rel=1e-7)


def test_free_motion_costs_nothing():
    end = it.Gaussian(P.mean, P.covariance + 2.0 * torch.eye(2, dtype=torch.float64))
    bridge = schroedinger_bridge(P, end, 1.0, 2.0)
    assert abs(bridge.kl.value.item()) <= bridge.kl.error.item() < 1e-12
    assert torch.allclose(bridge.drift(_t([3.0, 1.0]), 0.5), torch.zeros(2).double(), atol=1e-13)


@pytest.mark.parametrize("factor", [[[1.0], [1.0]], [[0.0], [0.0]]])
def test_singular_ends(factor):
    line = it.Gaussian.from_factor(_t([0.0, 0.5]), _t(factor))
    bridge = schroedinger_bridge(line, Q, 1.0, 1.0)
    at, near = bridge.affine(0.0), bridge.affine(1e-7)
    assert torch.allclose(at[0], near[0], atol=1e-5) and torch.allclose(at[1], near[1], atol=1e-5)
    assert torch.allclose(bridge.process().marginal(line, 1.0).covariance, Q.covariance, atol=1e-10)
    into = schroedinger_bridge(Q, line, 1.0, 1.0)
    assert into.kl.value.item() == float("inf")
    assert torch.allclose(into.marginal(1.0).covariance, line.covariance, atol=1e-14)
    assert torch.isfinite(into.drift(Q.mean, 0.9)).all()
    with pytest.raises(ValueError, match="diverges at the end"):
        into.affine(1.0)
    with pytest.raises(ValueError, match="diverges at the end"):
        into.process()
    mirrored = schroedinger_bridge(line, Q, 1.0, 1.0)
    assert torch.allclose(into.backward_drift(Q.mean, 1.0), mirrored.drift(Q.mean, 0.0), rtol=1e-12)


def test_batches_float32_and_gradients():
    p = it.Gaussian(torch.zeros(3, 1, 1).double(), _t([[1.0]]))
    bridge = schroedinger_bridge(p, it.Gaussian(1.0, 2.0), _t([0.5, 1.0]), 1.0)
    assert bridge.kl.shape == (3, 2) and bridge.marginal(0.5).batch_shape == (3, 2)
    assert bridge.drift(_t([0.0]), 0.5).shape == (3, 2, 1)
    single = schroedinger_bridge(it.Gaussian(0.0, 1.0), it.Gaussian(1.0, 2.0), 1.0, 1.0)
    assert bridge.kl.value[1, 1].item() == pytest.approx(single.kl.value.item(), rel=1e-13)
    assert bridge.affine(0.5)[0][2, 1].item() == pytest.approx(single.affine(0.5)[0].item(), rel=1e-12)
    with pytest.raises(ValueError, match="one bridge"):
        bridge.process()
    small = schroedinger_bridge(
        it.Gaussian(torch.zeros(1), torch.eye(1)), it.Gaussian(torch.ones(1), 2 * torch.eye(1)), 1.0, 1.0
    )
    assert small.marginal(0.5).mean.dtype == torch.float32
    assert abs(small.kl.value.item() - single.kl.value.item()) <= small.kl.error.item() < 1e-4

    def kl(m, C, sigma):
        return schroedinger_bridge(P, it.Gaussian(m, (C + C.mT) / 2), sigma, 1.0).kl.value

    inputs = [t.clone().requires_grad_() for t in (Q.mean, Q.covariance, _t(0.8))]
    assert torch.autograd.gradcheck(kl, inputs)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_scales(scale):
    p, q = (it.Gaussian.from_factor(scale * law.mean, scale * law.factor) for law in (P, Q))
    big, plain = schroedinger_bridge(p, q, scale, 1.0), schroedinger_bridge(P, Q, 1.0, 1.0)
    assert big.kl.value.item() == pytest.approx(plain.kl.value.item(), rel=1e-12)
    assert torch.allclose(big.affine(0.3)[0], plain.affine(0.3)[0], rtol=1e-10)


def test_what_is_refused():
    with pytest.raises(TypeError, match="p and q must be two Gaussians or two laws of atoms; q is a Empirical"):
        schroedinger_bridge(P, it.Empirical([[0.0, 1.0]]), 1.0, 1.0)
    with pytest.raises(ValueError, match="same space"):
        schroedinger_bridge(P, it.Gaussian(0.0, 1.0), 1.0, 1.0)
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="sigma must be"):
            schroedinger_bridge(P, Q, bad, 1.0)
        with pytest.raises(ValueError, match="duration must be"):
            schroedinger_bridge(P, Q, 1.0, bad)
    with pytest.raises(TypeError, match="takes no options"):
        schroedinger_bridge(P, Q, 1.0, 1.0, tolerance=1e-3)
    bridge = schroedinger_bridge(P, Q, 1.0, 1.0)
    for t in (-0.1, 1.1):
        with pytest.raises(ValueError, match="t must lie"):
            bridge.marginal(t)
