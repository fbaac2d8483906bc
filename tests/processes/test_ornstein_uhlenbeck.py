"""Ornstein-Uhlenbeck processes, scalar and matrix: against scipy's exponentials, and as a semigroup."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infotherm.distributions import Gaussian
from infotherm.processes import OrnsteinUhlenbeck, steady_state

F64 = torch.float64
ROTATING = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)


@st.composite
def matrix_processes(draw):
    """Any drift, stable or not, noise of full rank or not, rates over six decades."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    dim, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    scale = 10.0 ** draw(st.integers(-3, 2))
    rate = scale * torch.randn(dim, dim, generator=generator, dtype=F64)
    if draw(st.booleans()):
        rate = rate @ rate.mT / scale + scale * torch.diag(torch.rand(dim, generator=generator, dtype=F64))
    sigma = torch.randn(dim, columns, generator=generator, dtype=F64)
    mean = torch.randn(dim, generator=generator, dtype=F64)
    return OrnsteinUhlenbeck(rate, sigma, mean), draw(st.floats(0.0, 2.0)), draw(st.floats(0.0, 2.0))


@given(matrix_processes())
def test_chapman_kolmogorov(setting):
    process, first, second = setting
    in_turn = process.transition(0.0, second) @ process.transition(0.0, first)
    at_once = process.transition(0.0, first + second)
    for a, b in ((in_turn.matrix(), at_once.matrix()), (in_turn.noise_covariance(), at_once.noise_covariance())):
        growth = torch.linalg.matrix_norm(process.rate) * (first + second)
        tolerance = 1e-12 * (1 + growth) * (1 + b.abs().max())
        assert (a - b).abs().max() <= tolerance * torch.exp(
            torch.linalg.eigvals(-process.rate).real.clamp(min=0).max() * 4
        )


@pytest.mark.parametrize("seed", range(3))
def test_against_scipy(seed):
    from scipy.linalg import expm

    generator = np.random.default_rng(seed)
    rate, sigma = generator.normal(size=(3, 3)), generator.normal(size=(3, 2))
    process = OrnsteinUhlenbeck(rate, sigma)
    channel = process.transition(1.0, 1.7)
    block = np.block([[-rate, sigma @ sigma.T], [np.zeros((3, 3)), rate.T]])
    flow = expm(0.7 * block)
    assert np.allclose(channel.matrix(), flow[:3, :3], rtol=1e-12, atol=1e-13)
    assert np.allclose(channel.noise_covariance(), flow[:3, 3:] @ flow[:3, :3].T, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("rate", [1.5, 0.0, -0.7, 1e-9])
def test_numbers_and_matrices_agree(rate):
    scalar = OrnsteinUhlenbeck(rate, 0.8, 0.5)
    matrix = OrnsteinUhlenbeck([[rate]], [[0.8]], [0.5])
    p0, times = Gaussian(2.0, 0.3), torch.tensor([0.0, 1e-8, 0.4, 3.0], dtype=F64)
    one, other = scalar.marginal(p0, times), matrix.marginal(p0, times)
    assert torch.allclose(one.mean, other.mean, rtol=1e-13)
    assert torch.allclose(one.covariance, other.covariance, rtol=1e-13)
    assert torch.allclose(
        scalar.transition(0.0, times).noise_covariance(1), matrix.transition(0.0, times).noise_covariance(), rtol=1e-13
    )


def test_rate_zero_is_free_diffusion():
    channel = OrnsteinUhlenbeck(0.0, 2.0).transition(0.0, 3.0)
    assert channel.gain.item() == 1.0 and channel.noise_variance.item() == 12.0
    assert OrnsteinUhlenbeck([[0.0]], 2.0).transition(0.0, 3.0).noise_covariance().item() == 12.0


def test_long_and_stiff_intervals_stay_finite():
    stiff = OrnsteinUhlenbeck([[1e6, 0.0], [0.0, 1e-3]], 1.0)
    channel = stiff.transition(0.0, 1.0)
    assert channel.noise_covariance()[0, 0].item() == pytest.approx(0.5e-6, rel=1e-9)
    assert channel.matrix()[1, 1].item() == pytest.approx(math.exp(-1e-3), rel=1e-14)


def test_a_short_time_loses_no_digits():
    noise = ROTATING.transition(0.0, 1e-12).noise_covariance()
    assert torch.allclose(noise, 2e-12 * torch.eye(2, dtype=F64), rtol=1e-11, atol=1e-27)


def test_the_steady_state_is_kept():
    process = OrnsteinUhlenbeck([[1.0, -0.5], [-0.3, 1.0]], [[2.0, 0.0], [0.5, 1.0]], [1.0, -1.0])
    law = steady_state(process)
    later = process.marginal(law, 0.7)
    assert torch.allclose(later.mean, law.mean, rtol=1e-13)
    assert torch.allclose(later.covariance, law.covariance, rtol=1e-13)
    far = process.marginal(Gaussian([9.0, 9.0], [[1.0, 0.0], [0.0, 1.0]]), 100.0)
    assert torch.allclose(far.covariance, law.covariance, rtol=1e-13)


def test_a_gyrator_between_two_temperatures():
    process = OrnsteinUhlenbeck([[1.0, -0.5], [-0.5, 1.0]], [[2.0, 0.0], [0.0, 2**0.5]])
    expected = torch.tensor([[2.5, 1.0], [1.0, 1.5]], dtype=F64)
    assert torch.allclose(steady_state(process).covariance, expected, rtol=1e-14)
    assert process.static_force() is None  # D^-1 rate is not symmetric: no detailed balance


@pytest.mark.parametrize("rate", [0.0, -1.0, [[1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [-1.0, 0.0]]])
def test_no_steady_state_without_a_pull(rate):
    with pytest.raises(ValueError, match="no quasi-invariant law: its drift must pull back"):
        steady_state(OrnsteinUhlenbeck(rate, 1.0))


def test_detailed_balance_is_recognised_through_the_noise():
    sigma = torch.tensor([[2.0, 0.0], [0.7, 0.5]], dtype=F64)
    diffusion = sigma @ sigma.mT / 2
    stiffness = torch.tensor([[1.0, 0.3], [0.3, 2.0]], dtype=F64)
    process = OrnsteinUhlenbeck(diffusion @ stiffness, sigma, [1.0, 2.0])
    force = process.static_force()
    assert force is not None
    assert torch.allclose(force[0], -stiffness, rtol=1e-12)
    assert torch.allclose(steady_state(process).covariance, torch.linalg.inv(stiffness), rtol=1e-12)
    assert ROTATING.static_force() is None
    x = torch.tensor([0.2, -0.4], dtype=F64)
    assert torch.allclose(force[0] @ x + force[1], steady_state(process).score(x), rtol=1e-12)


def test_a_batch_of_processes_and_times():
    rates = torch.tensor([[[1.0]], [[2.0]]], dtype=F64)
    channel = OrnsteinUhlenbeck(rates, 1.0).transition(0.0, torch.tensor([[0.5], [1.0], [2.0]], dtype=F64))
    assert channel.batch_shape == (3, 2)
    assert channel.matrix()[2, 1].item() == pytest.approx(math.exp(-4.0), rel=1e-14)


def test_gradients_reach_the_parameters():
    def spread(rate, sigma, mean):
        law = OrnsteinUhlenbeck(rate, sigma, mean).marginal(Gaussian([1.0, 0.0], [[1.0, 0.0], [0.0, 2.0]]), 0.7)
        return law.entropy() + law.mean.square().sum()

    leaves = (
        torch.tensor([[1.0, -2.0], [2.0, 1.5]], dtype=F64, requires_grad=True),
        torch.tensor([[1.0, 0.0], [0.3, 0.8]], dtype=F64, requires_grad=True),
        torch.tensor([0.5, -0.5], dtype=F64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(spread, leaves)
    rate = torch.tensor(0.0, dtype=F64, requires_grad=True)
    OrnsteinUhlenbeck(rate, 1.0).marginal(Gaussian(0.0, 1.0), 1.0).entropy().sum().backward()
    assert torch.isfinite(rate.grad)


def test_numbers_act_in_any_dimension():
    process = OrnsteinUhlenbeck(1.0, 1.0, [1.0, 2.0, 3.0])
    assert process.dim == 3 and process.transition(0.0, 1.0)([0.0, 0.0, 0.0]).dim == 3
    assert process.drift([1.0, 2.0, 4.0], 0.0).tolist() == [0.0, 0.0, -1.0]
    assert OrnsteinUhlenbeck(1.0, 1.0).transition(-1.0, 1.0).gain.item() == pytest.approx(math.exp(-2.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OrnsteinUhlenbeck([1.0, 2.0], 1.0), r"rate must have shape \(..., D, D\); got \(2,\)"),
        (lambda: OrnsteinUhlenbeck([[1.0, 2.0]], 1.0), r"rate must have shape \(..., D, D\)"),
        (lambda: OrnsteinUhlenbeck([[1.0]], [[1.0], [1.0]]), "rate, sigma and mean must agree on D"),
        (lambda: OrnsteinUhlenbeck(math.nan, 1.0), "rate must be finite"),
        (lambda: ROTATING.transition(1.0, 0.0), "t1 must not be before t0"),
        (lambda: ROTATING.drift([1.0], 0.0), r"x must have shape \(..., 2\); got \(1,\)"),
        (lambda: ROTATING.quasi_invariant(0.0, dim=3), "this process has D = 2; got dim = 3"),
        (lambda: OrnsteinUhlenbeck(torch.eye(2), [[1.0], [0.0]]).force(0.0), "the diffusion matrix is singular"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
