"""The drive along the geodesic of two scalar laws: it moves the law, at the least cost, and says how stiff it is."""

import math

import pytest
import torch

import infotherm as it
from infotherm.core.quadrature import integrate
from infotherm.transport import line_protocol, minimum_entropy_production, optimal_protocol
from infotherm.transport.line_geodesic import line_geodesic
from infotherm.transport.line_protocol import LineProtocol
from infotherm.transport.noise import Noise

_BIT = it.GaussianMixture([0.4, 0.6], [[-1.0], [1.0]], [[[0.25]], [[0.16]]])
_END = it.Gaussian(0.8, 0.49)


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


@pytest.fixture(scope="module")
def drive():
    return optimal_protocol(_BIT, _END, 1.0, 2.0)


def _growing(t):
    return 0.5 + t


@pytest.mark.parametrize("sigma", [1.0, _growing], ids=["constant", "growing"])
def test_the_drive_attains_the_minimum(sigma):
    # integral of E[nu^2] 2 / sigma^2 with nu = b - sigma^2 / 2 grad log p from the drift and the marginal it states
    drive = optimal_protocol(_BIT, _END, sigma, 2.0)

    def rate(t: float) -> float:
        law, square = drive.marginal(t), drive.noise.square(_t(t))

        def density(x):
            points = x[..., None]
            mean = drive.drift(points, t) - 0.5 * square * law.score(points)
            return mean[..., 0].square() * law.log_prob(points).exp()

        found = integrate(density, -math.inf, math.inf, breakpoints=law.breakpoints(), rtol=1e-7)
        return 2 * found.value.item() / square.item()

    nodes, weights = (
        torch.tensor([-0.9061798459386640, -0.5384693101056831, 0.0]),
        [0.2369268850561891, 0.4786286704993665],
    )
    times = [*(1 + nodes).double().tolist(), *(1 - nodes[:2].flip(0)).double().tolist()]
    shares = [*weights, 0.5688888888888889, *weights[::-1]]
    total = sum(w * rate(t) for t, w in zip(times, shares, strict=True))
    least = drive.entropy_production
    assert total == pytest.approx(least.value.item(), rel=1e-6)
    assert least.value == minimum_entropy_production(_BIT, _END, sigma, 2.0).value


@pytest.mark.parametrize("sigma", [1.0, _growing], ids=["constant", "growing"])
def test_the_marginals_solve_the_fokker_planck_equation_of_the_process(sigma):
    # d/dt p = -d/dx (b p) + (sigma^2 / 2) d^2/dx^2 p with the drift of the Langevin process, by central differences
    drive = optimal_protocol(_BIT, _END, sigma, 2.0)
    driven = it.processes.Langevin(force=drive.drift, sigma=sigma, horizon=2.0)
    x, h = torch.linspace(-1.8, 2.3, 42, dtype=torch.float64)[:, None], 5e-4

    def density(y, s):
        return drive.marginal(s).log_prob(y).exp()

    for t in (0.3, 1.1, 1.8):
        gain = (density(x, t + h) - density(x, t - h)) / (2 * h)
        flows = [driven.drift(y, t)[:, 0] * density(y, t) for y in (x - h, x + h)]
        spread = driven.diffusion(t) ** 2 / 2 * (density(x + h, t) - 2 * density(x, t) + density(x - h, t)) / h**2
        assert torch.allclose(gain, spread - (flows[1] - flows[0]) / (2 * h), rtol=0, atol=1e-3)
        assert gain.abs().max() > 0.03
    for law, t in ((_BIT, 0.0), (_END, 2.0)):
        assert torch.allclose(drive.marginal(t).log_prob(x), law.log_prob(x), atol=1e-9)


def test_derivative_of_the_drift_and_its_largest_size(drive):
    t, h = 0.7, 1e-4
    x = drive.marginal(t).icdf(_t([0.01, 0.2, 0.42, 0.7, 0.99]))
    slope = (drive.drift(x + h, t) - drive.drift(x - h, t))[:, 0] / (2 * h)
    assert torch.allclose(drive.drift_slope(x, t), slope, rtol=1e-3, atol=1e-3)
    ends = drive.marginal(t).icdf(_t([1e-4, 1 - 1e-4]))
    fine = torch.linspace(ends[0].item(), ends[1].item(), 20001, dtype=torch.float64)[:, None]
    steps = drive.drift(fine, t).diff(dim=0).abs().max() / (fine[1] - fine[0])
    assert drive.stiffness(t).item() == pytest.approx(steps.item(), rel=1e-3)


def test_gaussians_agree_with_the_affine_drive():
    p, q = it.Gaussian(0.0, 1.0), it.Gaussian(2.0, 9.0)
    known = optimal_protocol(p, q, _growing, 1.5)
    general = LineProtocol(line_geodesic(p, q), Noise(_growing, 1.5, p), known.entropy_production)
    x = _t([[-3.0], [0.0], [2.0]])
    for t in (0.0, 0.6, 1.5):
        assert torch.allclose(general.drift(x, t), known.drift(x, t), rtol=1e-10)
        assert general.stiffness(t).item() == pytest.approx(known.stiffness(t).item(), rel=1e-8)
        assert torch.equal(general.clock(t), known.clock(t)) and torch.equal(general.rate(t), known.rate(t))
    assert known.stiffness(0.6).item() == pytest.approx(known.affine(0.6)[0].abs().item())


def test_steps_for_a_mild_drive_and_a_warning_where_modes_are_torn_apart(drive, monkeypatch):
    monkeypatch.setattr(line_protocol, "_TIMES", 5)
    worst = max(drive.stiffness(k / 2).item() for k in range(5))
    assert drive.recommended_steps(0.1) == math.ceil(20 * worst)
    torn = optimal_protocol(
        it.Gaussian(0.0, 1.0), it.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.02]], [[0.02]]]), 1.0, 2.0
    )
    assert torn.stiffness(0.0) > 1e8 > 1e4 > torn.stiffness(1.9)
    with pytest.warns(RuntimeWarning, match="tears the law apart"):
        torn.recommended_steps()
    with pytest.raises(ValueError, match="largest must be > 0"):
        drive.recommended_steps(0.0)


def test_what_is_refused(drive):
    with pytest.raises(ValueError, match=r"t must lie in \[0, duration\]"):
        drive.drift([0.0], 2.5)
    with pytest.raises(TypeError, match="densities"):
        optimal_protocol(it.Empirical([[0.0], [1.0]]), it.Empirical([[2.0], [1.0]]), 1.0, 1.0)
    with pytest.raises(ValueError, match="sigma must be > 0"):
        optimal_protocol(_BIT, _END, -1.0, 1.0)


@pytest.mark.slow
def test_simulated_particles_arrive_and_pay_the_minimum():
    drive = optimal_protocol(_BIT, _END, 1.0, 2.0)
    driven = it.processes.Langevin(force=drive.drift, sigma=1.0, horizon=2.0)
    paths = it.thermodynamics.simulate(driven, _BIT, 2.0, 2000, 400, generator=5, final_law=_END)
    final, paid = paths.final[:, 0], paths.entropy_production
    # four standard errors: a false alarm in 8000 runs for each line
    assert abs(final.mean().item() - 0.8) < 4 * 0.7 / 2000**0.5
    assert abs(final.var().item() - 0.49) < 4 * 0.49 * (2 / 2000) ** 0.5
    assert abs(paid.mean() - drive.entropy_production.value) < 4 * paid.std() / 2000**0.5
    # the integral fluctuation theorem E exp(-S) = 1
    weights = torch.exp(-paid)
    assert abs(weights.mean() - 1) < 4 * weights.std() / 2000**0.5
