import math

import pytest
import torch

from infotherm.core.quadrature import integrate
from infotherm.distributions import Gaussian, LogDensity


def normal(x):
    return (-0.5 * x**2 - 0.5 * math.log(2 * math.pi)).sum(-1)


def exponential(x):
    return -x[..., 0]


def test_it_is_the_function_inside_the_box_and_nothing_outside():
    p = LogDensity(exponential, lower=0.0)
    assert p.log_prob([[2.0], [-1.0], [math.inf]]).tolist() == [-2.0, -math.inf, -math.inf]
    assert p.bounds()[0].tolist() == [0.0] and p.bounds()[1].tolist() == [math.inf]


def test_the_function_is_never_asked_outside_the_box():
    def strict(x):
        assert bool((x > 0).all())
        return -x[..., 0]

    x = torch.tensor([[-1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    p = LogDensity(strict, lower=0.0)
    p.log_prob(x)[1].backward()
    assert x.grad.flatten().tolist() == [0.0, -1.0]


def test_scores_come_from_autograd():
    p = LogDensity(normal, dim=3)
    x = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    assert torch.allclose(p.score(x), -x) and p.log_prob(x).item() == pytest.approx(
        Gaussian([0.0] * 3, torch.eye(3).double()).log_prob(x).item()
    )


def test_moments_of_scalar_laws_by_quadrature():
    p = LogDensity(exponential, lower=0.0, breakpoints=[1.0, 5.0])
    assert p.mean.item() == pytest.approx(1.0, rel=1e-10) and p.covariance.item() == pytest.approx(1.0, rel=1e-9)
    assert p.breakpoints().tolist() == [1.0, 5.0]
    with pytest.raises(NotImplementedError, match="D = 1 only"):
        _ = LogDensity(normal, dim=2).mean


def test_a_batch_by_its_box_or_by_its_breakpoints():
    width = torch.tensor([1.0, 4.0], dtype=torch.float64)
    p = LogDensity(
        lambda x: -width.log() + 0 * x[..., 0], lower=0.0, upper=width.unsqueeze(-1), breakpoints=[width / 2]
    )
    assert p.batch_shape == (2,) and p.breakpoints().shape == (1, 2)
    assert torch.allclose(p.log_prob([[0.5]]).exp(), 1 / width)
    assert torch.allclose(p.mean[:, 0], width / 2)


def test_float32_and_device_are_kept():
    p = LogDensity(exponential, lower=torch.tensor(0.0))
    assert p.dtype == torch.float32 and p.log_prob([1.0]).dtype == torch.float32
    assert LogDensity(normal).dtype == torch.float64
    assert LogDensity(normal, dtype=torch.float32).dtype == torch.float32


def test_a_boltzmann_weight_is_normalised():
    p = LogDensity.unnormalised(lambda x: -(x[..., 0] ** 4) / 4 + x[..., 0] ** 2, breakpoints=[-1.4, 0.0, 1.4])
    mass = integrate(lambda x: p.log_prob(x.unsqueeze(-1)).exp(), -math.inf, math.inf, breakpoints=p.breakpoints())
    assert mass.value.item() == pytest.approx(1.0, abs=1e-12) and p.mean.item() == pytest.approx(0.0, abs=1e-9)
    # int exp(-x^4/4 + x^2) dx = sqrt(1/2) e^(1/2) pi (I_{-1/4}(1/2) + I_{1/4}(1/2))
    from scipy.special import iv

    exact = math.sqrt(0.5) * math.exp(0.5) * math.pi * (iv(-0.25, 0.5) + iv(0.25, 0.5))
    assert p.log_normaliser.item() == pytest.approx(math.log(exact), abs=1e-10)


def test_a_density_that_is_not_normalised_is_refused():
    with pytest.raises(ValueError, match="must be normalised; its exponential integrates to 2.5066"):
        LogDensity(lambda x: -0.5 * x[..., 0] ** 2)
    assert LogDensity(lambda x: -0.5 * x[..., 0] ** 2, check=False).log_prob([0.0]).item() == 0.0
    with pytest.raises(ValueError, match="breakpoints where its mass is"):
        LogDensity(lambda x: normal((x - 1e4) * 1e3) + math.log(1e3))
    assert LogDensity(lambda x: normal((x - 1e4) * 1e3) + math.log(1e3), breakpoints=[1e4, 1e4 + 1e-2]).dim == 1


def test_samplers_are_given_the_shape_and_the_generator():
    def sampler(shape, generator):
        return torch.empty(*shape, 1, dtype=torch.float64).exponential_(generator=generator)

    p = LogDensity(exponential, lower=0.0, sampler=sampler)
    assert p.sample((5, 2), generator=1).shape == (5, 2, 1)
    assert torch.equal(p.sample((5,), generator=1), p.sample((5,), generator=1))
    with pytest.raises(NotImplementedError, match="without sampler= cannot be sampled"):
        LogDensity(exponential, lower=0.0).sample()
    with pytest.raises(ValueError, match=r"sampler must return shape \(5, 1\)"):
        LogDensity(exponential, lower=0.0, sampler=lambda shape, generator: torch.zeros(shape)).sample((5,))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LogDensity("normal"), TypeError, "log_density must be a function"),
        (lambda: LogDensity(normal, dim=0), ValueError, "dim must be a positive integer"),
        (lambda: LogDensity(exponential, lower=1.0, upper=0.0), ValueError, "lower must be below upper"),
        (lambda: LogDensity(normal, dim=2, lower=[0.0, 0.0, 0.0]), ValueError, r"broadcast to \(\*batch, 2\)"),
        (lambda: LogDensity(lambda x: x, dim=2).log_prob([0.0, 0.0]), ValueError, "must map points"),
        (lambda: LogDensity(lambda x: 1.0, dim=2).log_prob([0.0, 0.0]), ValueError, "got float"),
        (lambda: LogDensity(lambda x: x[..., 0] * math.nan), ValueError, "log_density returned NaN"),
        (lambda: LogDensity(normal, dim=2).breakpoints(), ValueError, "scalar law"),
        (lambda: LogDensity.unnormalised(normal, dim=2), ValueError, "D = 1"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
