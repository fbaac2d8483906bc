"""Displacement interpolation on a line: closed forms, conservation, distances, torn modes."""

import json
import math
from pathlib import Path

import pytest
import scipy.stats
import torch

import infotherm as it
from infotherm.core.quadrature import integrate
from infotherm.transport import geodesic
from infotherm.transport.line_geodesic import line_geodesic

_REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/transport_protocols.json").read_text())
_MIXTURE = it.GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], [[[0.04]], [[0.09]]])
_WIDE = it.Gaussian(0.5, 1.0)


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


@pytest.fixture(scope="module")
def path():
    return geodesic(_MIXTURE, _WIDE)


def _reference(name):
    (case,) = [c for c in _REFERENCES if c["name"] == name]
    return case


def test_references(path):
    case = _reference("geodesic/mixture/velocity")
    x, t = [case["spec"]["x"]], case["spec"]["t"]
    found, error = path.velocity(x, t).item(), path.velocity_error(x, t).item()
    assert abs(found - case["value"]) <= error < case["tolerance"]
    case = _reference("geodesic/mixture/density")
    assert path.at(t).log_prob(x).exp().item() == pytest.approx(case["value"], abs=case["tolerance"])


def test_gaussians_taken_as_any_laws_follow_the_closed_form():
    p, q = it.Gaussian(0.0, 1.0), it.Gaussian(2.0, 9.0)
    general, known = line_geodesic(p, q), geodesic(p, q)
    x = torch.linspace(-12.0, 12.0, 101, dtype=torch.float64)[:, None]
    for t in (0.0, 0.3, 0.5, 0.9, 1.0):
        law, truth = general.at(t), known.at(t)
        assert torch.allclose(general.velocity(x, t), known.velocity(x, t), rtol=0, atol=1e-12)
        assert (general.velocity(x, t) - known.velocity(x, t)).abs().le(general.velocity_error(x, t)).all()
        assert torch.allclose(general.gradient(x, t), known.gradient(t)[0, 0].expand(101), atol=1e-10)
        assert torch.allclose(law.log_prob(x), truth.log_prob(x), rtol=1e-12, atol=1e-11)
        assert torch.allclose(law.score(x), truth.score(x), rtol=1e-10)
        assert torch.allclose(law.curvature(x), -truth.precision[0, 0].expand(101), rtol=1e-9)
        assert torch.allclose(law.mean, truth.mean) and torch.allclose(law.covariance, truth.covariance)
        assert torch.allclose(law.cdf(x), truth.cdf(x), atol=1e-12)


@pytest.mark.parametrize("t", [0.0, 0.2, 0.7, 1.0])
def test_mass_moments_and_speed_by_quadrature_over_the_density(path, t):
    law = path.at(t)

    def moments(x):
        v = path.velocity(x[..., None], t)[..., 0]
        return torch.stack([torch.ones_like(x), x, x * x, v * v], -1) * law.log_prob(x[..., None]).exp()[..., None]

    found = integrate(moments, -math.inf, math.inf, breakpoints=law.breakpoints(), rtol=1e-8).value.tolist()
    assert found[0] == pytest.approx(1.0, abs=2e-9)
    assert found[1] == pytest.approx(law.mean.item(), abs=2e-9)
    assert found[2] - found[1] ** 2 == pytest.approx(law.covariance.item(), abs=2e-9)
    # E v^2 = W2^2 at every time: constant speed
    assert math.sqrt(found[3]) == pytest.approx(it.wasserstein2(_MIXTURE, _WIDE).value.item(), abs=2e-8)


def test_distances_along_the_path():
    p, q = it.distributions.as_distribution(scipy.stats.expon()), it.Gaussian(0.0, 1.0)
    path = line_geodesic(p, q)
    whole = it.wasserstein2(p, q)
    part = it.wasserstein2(path.at(0.25), path.at(0.75), tolerance=1e-9)
    assert abs(part.value - 0.5 * whole.value) <= part.error + whole.error
    assert abs(path.distance.value - whole.value) <= whole.error


def test_continuity_equation(path):
    # d/dt p_t + d/dx (v p_t) = 0, by central differences
    x, t, h = torch.linspace(-1.5, 2.0, 29, dtype=torch.float64)[:, None], 0.4, 1e-4

    def density(y, s):
        return path.at(s).log_prob(y).exp()

    def flux(y):
        return path.velocity(y, t)[:, 0] * density(y, t)

    gain = (density(x, t + h) - density(x, t - h)) / (2 * h)
    loss = (flux(x + h) - flux(x - h)) / (2 * h)
    assert torch.allclose(gain, -loss, rtol=0, atol=1e-5)
    assert gain.abs().max() > 0.1


def test_derivatives_of_density_and_velocity(path):
    x, h = path.at(0.4).icdf(_t([0.05, 0.3, 0.6, 0.95])), 1e-4
    law = path.at(0.4)
    slope = (law.log_prob(x + h) - law.log_prob(x - h)) / (2 * h)
    assert torch.allclose(law.score(x)[:, 0], slope, rtol=1e-4, atol=1e-4)
    bend = (law.score(x + h) - law.score(x - h))[:, 0] / (2 * h)
    assert torch.allclose(law.curvature(x), bend, rtol=1e-3, atol=1e-3)
    stretch = (path.velocity(x + h, 0.4) - path.velocity(x - h, 0.4))[:, 0] / (2 * h)
    assert torch.allclose(path.gradient(x, 0.4), stretch, atol=1e-5)
    point = x.clone().requires_grad_()
    law.log_prob(point).sum().backward()
    assert torch.equal(point.grad, law.score(x))


def test_maps_quantiles_and_samples(path):
    u = _t([1e-12, 0.1, 0.3, 0.5, 0.99])
    assert torch.allclose(path.map(_MIXTURE.icdf(u)), _WIDE.icdf(u), atol=1e-8)
    assert torch.allclose(path.at(0.3).icdf(u), 0.7 * _MIXTURE.icdf(u) + 0.3 * _WIDE.icdf(u), atol=1e-9)
    law = path.at(0.6)
    drawn = law.sample((4000,), generator=3)
    assert drawn.shape == (4000, 1) and torch.equal(drawn, law.sample((4000,), generator=3))
    # Kolmogorov-Smirnov at a false-alarm rate of 1e-4
    assert scipy.stats.kstest(drawn[:, 0].numpy(), lambda x: law.cdf(_t(x)[:, None]).numpy()).pvalue > 1e-4


def test_a_wall_moves_with_the_paths():
    p = it.distributions.as_distribution(torch.distributions.Uniform(_t(0.0), _t(1.0)))
    q = it.distributions.as_distribution(torch.distributions.Uniform(_t(2.0), _t(6.0)))
    path = geodesic(p, q)
    law = path.at(0.5)
    assert [b.item() for b in law.bounds()] == [1.0, 3.5]
    assert law.log_prob(_t([[0.9], [1.1], [3.4], [3.6]])).exp().tolist() == pytest.approx([0.0, 0.4, 0.4, 0.0])
    assert path.velocity([1.5], 0.5).item() == pytest.approx(2.0 + 3 * 0.2, abs=1e-10)


def test_paths_do_not_cross_where_modes_are_torn_apart():
    # 14 standard deviations between the modes: the level of every point of the gap is 1/2 to rounding
    apart = it.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.005]], [[0.005]]])
    path = geodesic(it.Gaussian(0.0, 1.0), apart)
    x = torch.linspace(-1.2, 1.2, 4801, dtype=torch.float64)[:, None]
    for t in (0.05, 0.5, 0.95):
        start, end = path.ends(x, t)
        assert (start.diff(dim=0) > -1e-12).all() and (end.diff(dim=0) > -1e-12).all()
        assert torch.allclose((1 - t) * start + t * end, x, rtol=0, atol=1e-14)
    # within the gap only the target moves: x = (1 - t) x_0 + t x_1 with x_0 = 0
    assert path.ends([0.25], 0.5)[1].item() == pytest.approx(0.5, abs=1e-6)
    assert path.curve.accuracy < 1e-9


def test_what_is_refused(path):
    for t in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="t must lie in"):
            path.velocity([0.0], t)
    with pytest.raises(ValueError, match="one time"):
        path.at([0.1, 0.2])
    with pytest.raises(ValueError, match="shape"):
        path.velocity([0.0, 1.0], 0.5)
    with pytest.raises(ValueError, match="probability"):
        path.at(0.5).icdf(1.5)
    with pytest.raises(TypeError, match="two scalar laws with densities"):
        geodesic(_MIXTURE, it.SpikeSlab(0.5, 0.0, 1.0))
    with pytest.raises(TypeError, match="Empirical"):
        geodesic(_MIXTURE, it.Empirical([[0.0], [1.0]]))
    with pytest.raises(ValueError, match="single law"):
        geodesic(it.GaussianMixture(torch.ones(2, 1), torch.zeros(2, 1, 1), torch.ones(2, 1, 1, 1)), _WIDE)
    plane = it.GaussianMixture([1.0], [[0.0, 0.0]], torch.eye(2).double()[None])
    with pytest.raises(TypeError, match="D = 2"):
        geodesic(plane, plane)
    with pytest.raises(ValueError, match="same space"):
        geodesic(plane, _WIDE)


def test_float32_laws_are_resolved_to_their_own_rounding(path):
    single = geodesic(_MIXTURE.to(dtype=torch.float32), _WIDE.to(dtype=torch.float32))
    x = torch.tensor([[-0.9], [0.1], [1.0]], dtype=torch.float32)
    assert single.velocity(x, 0.4).dtype == single.at(0.4).sample((2,), generator=0).dtype == torch.float32
    assert len(single.curve.starts) < 3000
    error = (single.velocity(x, 0.4).double() - path.velocity(x.double(), 0.4)).abs()
    assert (error <= single.velocity_error(x, 0.4) + 1e-6).all() and error.max() < 1e-4
