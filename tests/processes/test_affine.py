"""Driven affine diffusions: against the exact processes, closed forms, and their own convergence."""

import math

import pytest
import torch

from infotherm.distributions import Gaussian
from infotherm.processes import AffineDiffusion, OrnsteinUhlenbeck, VariancePreserving, steady_state

F64 = torch.float64


def swirl():
    """A drift that turns, breathes and pushes, with noise that grows."""

    def matrix(t):
        a = -1.0 - 0.5 * torch.sin(3 * t)
        return torch.stack([torch.stack([a, 2 * t], -1), torch.stack([-2 * t, a - 0.3], -1)], -2)

    return AffineDiffusion(matrix, lambda t: (1 + t).sqrt(), lambda t: torch.stack([torch.cos(t), t], -1))


def test_constant_coefficients_are_an_ornstein_uhlenbeck_process():
    rate, sigma, mean = [[1.0, -2.0], [2.0, 1.0]], [[1.0, 0.2], [0.0, 0.7]], [1.0, -1.0]
    exact = OrnsteinUhlenbeck(rate, sigma, mean)
    numeric = AffineDiffusion(-exact.rate, sigma, exact.drift_offset(0.0))
    for duration in (1e-6, 0.3, 5.0):
        one, other = exact.transition(0.0, duration), numeric.transition(0.0, duration)
        assert torch.allclose(one.matrix(), other.matrix(), rtol=1e-11, atol=1e-13)
        assert torch.allclose(one.noise_covariance(), other.noise_covariance(), rtol=1e-11, atol=1e-13 * duration)
        assert torch.allclose(one.bias, other.bias, rtol=1e-11, atol=1e-13)


def test_a_driven_process_with_a_closed_form():
    exact = VariancePreserving(0.1, 8.0)
    numeric = AffineDiffusion(lambda t: -exact.pull(t)[..., None, None], exact.diffusion, horizon=1.0)
    times = torch.linspace(0.0, 1.0, 40, dtype=F64)  # many times: the chain
    one, other = exact.transition(0.0, times), numeric.transition(0.0, times)
    assert torch.allclose(one.gain, other.matrix()[:, 0, 0], rtol=1e-12)
    assert torch.allclose(one.noise_variance, other.noise_covariance()[:, 0, 0], rtol=1e-12)
    assert numeric.integrated_diffusion(0.0, 1.0).item() == pytest.approx(4.05, rel=1e-13)


def test_chapman_kolmogorov():
    process = swirl()
    in_turn = process.transition(0.7, 2.0) @ process.transition(0.2, 0.7)
    at_once = process.transition(0.2, 2.0)
    assert torch.allclose(in_turn.matrix(), at_once.matrix(), rtol=1e-11, atol=1e-13)
    assert torch.allclose(in_turn.noise_covariance(), at_once.noise_covariance(), rtol=1e-11, atol=1e-13)
    assert torch.allclose(in_turn.bias, at_once.bias, rtol=1e-11, atol=1e-13)


def test_a_chain_of_times_is_each_time():
    process = swirl()
    times = torch.tensor([[0.5, 0.1, 2.0], [0.5, 0.0, 1.3], [0.9, 0.8, 0.7], [1.0, 1.1, 0.2]], dtype=F64)
    together = process.transition(0.0, times)
    for index in ((0, 1), (1, 1), (0, 2), (3, 2)):
        alone = process.transition(0.0, times[index])
        assert torch.allclose(together.matrix()[index], alone.matrix(), rtol=1e-11, atol=1e-13)
        assert torch.allclose(together.noise_covariance()[index], alone.noise_covariance(), rtol=1e-11, atol=1e-14)
        assert torch.allclose(together.bias[index], alone.bias, rtol=1e-11, atol=1e-13)


def test_a_moving_trap_lags_behind():
    trap = AffineDiffusion([[-1.0]], 2**0.5, lambda t: 2 * t[..., None])
    law = trap.marginal(Gaussian(0.0, 1.0), 1.0)
    assert law.mean.item() == pytest.approx(2.0 - 2 * (1 - math.exp(-1.0)), rel=1e-13)
    assert law.covariance.item() == pytest.approx(1.0, rel=1e-13)
    assert trap.quasi_invariant(1.0).mean.item() == pytest.approx(2.0)
    with pytest.raises(ValueError, match="AffineDiffusion is driven"):
        steady_state(trap)


def test_matrix_noise():
    process = AffineDiffusion(
        [[-1.0, 0.0], [0.0, -2.0]], lambda t: torch.diag_embed(torch.stack([1 + t, 2 + 0 * t], -1))
    )
    assert not process.isotropic and process.diffusion([0.0, 1.0]).shape == (2, 2, 2)
    total = process.integrated_diffusion(0.0, 1.0)
    assert torch.allclose(total, torch.tensor([[7 / 3, 0.0], [0.0, 4.0]], dtype=F64), rtol=1e-13)


def test_gradients_reach_the_coefficients():
    def spread(rate, speed):
        trap = AffineDiffusion(-rate, 1.0, lambda t: speed * t[..., None])
        law = trap.marginal(Gaussian(0.0, 1.0), 1.0)
        return law.entropy() + law.mean.square().sum()

    leaves = (torch.tensor([[1.3]], dtype=F64, requires_grad=True), torch.tensor(2.0, dtype=F64, requires_grad=True))
    assert torch.autograd.gradcheck(spread, leaves)


def test_coefficients_that_jump_are_refused():
    jumping = AffineDiffusion(lambda t: torch.where(t < 0.31, -1.0, 5.0)[..., None, None], 1.0)
    with pytest.raises(RuntimeError, match="split the interval where the coefficients jump"):
        jumping.transition(0.0, 1.0)
    assert torch.isfinite(jumping.transition(0.5, 1.0).matrix()).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AffineDiffusion(-1.0, 1.0), r"drift_matrix must have shape \(D, D\) at one time; got \(\)"),
        (lambda: AffineDiffusion([[-1.0]], 1.0, [1.0, 2.0]), r"drift_offset must give shape \(1,\)"),
        (lambda: AffineDiffusion([[math.nan]], 1.0), "drift_matrix must be finite"),
        (lambda: AffineDiffusion([[-1.0]], lambda t: t - math.inf), "sigma must be finite"),
        (lambda: AffineDiffusion(-torch.eye(2), torch.ones(3, 2)), r"sigma must give shape \(2, 2\)"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
