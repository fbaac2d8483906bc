"""Laws on a grid: densities, scores, tails, quantiles and draws against Gaussians and the von Mises law."""

import math

import pytest
import torch

import infotherm as it
from infotherm.distributions import Gaussian
from infotherm.processes.grid_density import GridDensity

F64 = torch.float64
LINE = torch.linspace(-7.0, 7.0, 141, dtype=F64)


def normal():
    return GridDensity([LINE], 3.0 - 0.5 * LINE**2)


def test_a_gaussian_on_a_line():
    p, q = normal(), Gaussian(0.0, 1.0)
    x = torch.linspace(-6, 6, 50, dtype=F64)[:, None]
    torch.testing.assert_close(p.log_prob(x), q.log_prob(x), rtol=0, atol=1e-11)
    torch.testing.assert_close(p.score(x), -x, rtol=0, atol=1e-11)
    torch.testing.assert_close(p.cdf(x), q.cdf(x), rtol=0, atol=1e-11)
    levels = torch.tensor([1e-6, 0.3, 0.5, 0.999], dtype=F64)
    torch.testing.assert_close(p.cdf(p.icdf(levels)), levels, rtol=0, atol=1e-13)
    assert abs(p.mean.item()) < 1e-12 and abs(p.covariance.item() - 1) < 1e-9
    found = it.entropy(p)
    assert abs(found.value.item() - 0.5 * math.log(2 * math.pi * math.e)) <= found.error.item() + 2e-11


def test_the_tails_go_on_down():
    p = normal()
    x = torch.tensor([[7.0], [7.5], [9.0], [-8.0]], dtype=F64)
    values = p.log_prob(x)
    assert values[0] > values[1] > values[2]
    assert p.score(x)[3].item() == pytest.approx(7.0, abs=1e-8)


def test_a_ring_closes():
    period = 2 * math.pi
    x = torch.arange(200, dtype=F64) * period / 200
    p = GridDensity([x], torch.cos(x), [period])
    points = torch.tensor([[0.3], [0.3 + period], [0.3 - 3 * period]], dtype=F64)
    expected = math.cos(0.3) - math.log(period * torch.special.i0(torch.tensor(1.0, dtype=F64)).item())
    torch.testing.assert_close(p.log_prob(points), torch.full((3,), expected, dtype=F64), rtol=0, atol=1e-11)
    assert p.score([0.3]).item() == pytest.approx(-math.sin(0.3), abs=1e-10)
    assert p.bounds()[1].item() == pytest.approx(period)


def test_a_turned_plane():
    frame = torch.tensor([[1.0, 0.3], [0.0, 2.0]], dtype=F64)
    y = torch.linspace(-7, 7, 101, dtype=F64)
    p = GridDensity([y, y], -0.5 * (y[:, None] ** 2 + y**2), frame=frame)
    q = Gaussian([0.0, 0.0], frame @ frame.T)
    x = q.sample((50,), generator=0)
    torch.testing.assert_close(p.log_prob(x), q.log_prob(x), rtol=0, atol=1e-9)
    torch.testing.assert_close(p.score(x), q.score(x), rtol=0, atol=1e-9)
    torch.testing.assert_close(p.covariance, q.covariance, rtol=0, atol=1e-8)
    assert torch.isfinite(p.log_prob([0.0, 40.0]))


@pytest.mark.parametrize("dim", [1, 2])
def test_draws_follow_the_law(dim):
    """Probability integral transforms of 20 000 draws against the uniform law: false alarm 1e-6 in all."""
    from scipy.stats import kstest

    if dim == 1:
        p = normal()
    else:
        y = torch.linspace(-7, 7, 101, dtype=F64)
        p = GridDensity([y, y], -0.5 * (y[:, None] ** 2 + y**2))
    x = p.sample((20_000,), generator=3)
    assert x.shape == (20_000, dim)
    for axis in range(dim):
        assert kstest(x[:, axis].numpy(), "norm").pvalue > 5e-7
    assert torch.equal(x, p.sample((20_000,), generator=3))


def test_refusals():
    with pytest.raises(ValueError, match="one entry for each node"):
        GridDensity([LINE], LINE[:-1])
    with pytest.raises(ValueError, match="one spacing"):
        GridDensity([LINE**3], -(LINE**2))
    with pytest.raises(ValueError, match="finite"):
        GridDensity([LINE], torch.log(LINE.clamp(min=0)))
    with pytest.raises(ValueError, match="probability between 0 and 1"):
        normal().icdf(1.5)
