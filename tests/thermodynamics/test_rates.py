"""Entropy production rates and their split."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.distributions import Gaussian, GaussianMixture
from infotherm.processes import (
    MarkovChain,
    MarkovJump,
    OrnsteinUhlenbeck,
    VarianceExploding,
    VariancePreserving,
    steady_state,
)
from infotherm.thermodynamics import entropy_production_rate, excess_housekeeping

F64 = torch.float64
quick = settings(max_examples=20)
ROTATING = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)


@st.composite
def currents(draw):
    """A stable process, with or without detailed balance, and a Gaussian."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    dim = draw(st.integers(1, 3))
    turn = torch.randn(dim, dim, generator=generator, dtype=F64)
    root = torch.randn(dim, dim + 1, generator=generator, dtype=F64)
    rate = root @ root.mT / dim + torch.eye(dim, dtype=F64) / 2 + turn - turn.mT
    sigma = torch.eye(dim, dtype=F64) + 0.3 * torch.randn(dim, dim, generator=generator, dtype=F64)
    spread = torch.randn(dim, dim + 2, generator=generator, dtype=F64)
    law = Gaussian(torch.randn(dim, generator=generator, dtype=F64), spread @ spread.mT)
    return OrnsteinUhlenbeck(rate, sigma), law


@given(currents())
@quick
def test_excess_and_housekeeping_add_up(setting):
    process, law = setting
    split, total = excess_housekeeping(process, law), entropy_production_rate(process, law)
    assert split.excess.value >= -split.excess.error and split.housekeeping.value >= -split.housekeeping.error
    assert abs(split.total.value - total.value) <= 1e-11 * (1 + total.value)


@given(currents())
@quick
def test_excess_is_how_fast_the_divergence_from_the_steady_state_falls(setting):
    process, law = setting
    final = steady_state(process)

    def divergence(t):
        return torch.distributions.kl_divergence(
            *(torch.distributions.MultivariateNormal(p.mean, p.covariance) for p in (process.marginal(law, t), final))
        ).item()

    h = 1e-4 / float(torch.linalg.matrix_norm(process.rate))
    slope = (
        -25 * divergence(0)
        + 48 * divergence(h)
        - 36 * divergence(2 * h)
        + 16 * divergence(3 * h)
        - 3 * divergence(4 * h)
    ) / (12 * h)
    assert excess_housekeeping(process, law).excess.value.item() == pytest.approx(-slope, rel=1e-5, abs=1e-6)


@given(currents())
@quick
def test_the_steady_rate_by_the_formula_of_the_trace(setting):
    process, _ = setting
    rate, diffusion = process.rate, process.diffusion_matrix(0.0)
    covariance = steady_state(process).covariance
    trace = torch.trace(rate.mT @ torch.linalg.solve(diffusion, rate @ covariance)) - torch.trace(rate)
    found = entropy_production_rate(process)
    assert abs(found.value - trace) <= found.error + 1e-12 * (1 + torch.trace(rate))


def test_known_steady_rates():
    assert entropy_production_rate(ROTATING).value.item() == pytest.approx(8.0, rel=1e-14)
    gyrator = OrnsteinUhlenbeck([[1.0, -0.5], [-0.5, 1.0]], [[2.0, 0.0], [0.0, 2**0.5]])
    assert entropy_production_rate(gyrator).value.item() == pytest.approx(1 / 16, rel=1e-13)
    cycle = MarkovJump([[0.0, 3.0, 1.0], [1.0, 0.0, 3.0], [3.0, 1.0, 0.0]])
    assert entropy_production_rate(cycle).value.item() == pytest.approx(2.197224577336219, rel=1e-14)


def test_a_process_that_explodes_has_nothing_to_keep_house():
    split = excess_housekeeping(VarianceExploding(), Gaussian(0.0, 0.25), 0.0)
    assert split.housekeeping.value.item() == 0.0 and split.excess.value.item() == pytest.approx(2.0)


def test_at_equilibrium_nothing_is_produced():
    process = VariancePreserving(kappa=0.3)
    found = entropy_production_rate(process, process.quasi_invariant(0.4, 3), 0.4)
    assert 0 <= found.value.item() < 1e-28 and 0 < found.error.item() < 1e-25
    frozen = VariancePreserving(beta_min=0.0)  # no noise at time 0
    assert entropy_production_rate(frozen, Gaussian(1.0, 2.0), 0.0).value.item() == 0.0


def test_any_scalar_law_with_a_score():
    heavy = torch.distributions.StudentT(torch.tensor(5.0, dtype=F64), scale=torch.tensor(0.5, dtype=F64))
    # the rate is sigma^2 / 2 times the Fisher information (df + 1) / ((df + 3) scale^2), tails and all
    found = entropy_production_rate(VarianceExploding(1.0), heavy, 0.0)
    assert found.method == "quadrature" and abs(found.value.item() - 1.5) <= found.error.item() < 1e-9


def test_sampling_agrees_with_quadrature():
    process, law = VariancePreserving(), GaussianMixture([0.3, 0.7], [-1.0, 2.0], [0.5, 1.5])
    exact = entropy_production_rate(process, law, 0.3)
    drawn = entropy_production_rate(process, law, 0.3, method="monte-carlo", n_samples=20_000, generator=1)
    assert exact.method == "quadrature" and drawn.kind == "estimate"
    assert abs(exact.value - drawn.value) < 4 * drawn.stderr


def test_singular_laws():
    laws = Gaussian(torch.zeros(2, 2, dtype=F64), torch.stack([torch.ones(2, 2), torch.eye(2)]).double())
    found = entropy_production_rate(VarianceExploding(), laws)
    assert found.value.tolist() == [math.inf, pytest.approx(1.0)]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: entropy_production_rate(VarianceExploding()), ValueError, "no quasi-invariant law"),
        (
            lambda: entropy_production_rate(VariancePreserving(), Gaussian(0.0, 1.0), 3.0),
            ValueError,
            "t must be <= the hor",
        ),
        (
            lambda: excess_housekeeping(MarkovChain([[0.5, 0.5], [0.5, 0.5]]), Gaussian(0.0, 1.0)),  # type: ignore[arg-type]
            TypeError,
            "affine diffusion",
        ),
        (
            lambda: excess_housekeeping(
                OrnsteinUhlenbeck([[-1.0, 1.0], [-1.0, -1.0]], 1.0), Gaussian([0.0, 0.0], torch.eye(2))
            ),
            ValueError,
            "must pull back",
        ),
        (
            lambda: excess_housekeeping(ROTATING, Gaussian([0.0, 0.0], torch.eye(2)), method="quadrature"),
            ValueError,
            "method must fit p",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_times_broadcast_against_batches_of_laws():
    laws = GaussianMixture(
        torch.tensor([0.5, 0.5], dtype=F64),
        torch.tensor([[[0.0], [2.0]], [[1.0], [3.0]], [[0.0], [1.0]]], dtype=F64),
        torch.ones(3, 2, 1, 1, dtype=F64),
    )
    process = VariancePreserving()
    found = entropy_production_rate(process, laws, torch.tensor([[0.1], [0.2]], dtype=F64))
    assert found.shape == (2, 3)
    alone = entropy_production_rate(process, laws, 0.2)
    assert bool(((found.value[1] - alone.value).abs() <= found.error[1] + alone.error).all())
    with pytest.raises(ValueError, match=r"got the batch of p \(3,\), t \(2,\)"):
        entropy_production_rate(process, laws, [0.1, 0.2])
