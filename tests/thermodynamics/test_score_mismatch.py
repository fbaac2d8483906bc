"""The mismatch between force and score: three routes, and an error that covers what rounding does."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from infotherm.distributions import Gaussian
from infotherm.processes import Langevin, OrnsteinUhlenbeck
from infotherm.thermodynamics import entropy_production_rate
from infotherm.thermodynamics.score_mismatch import (
    gaussian_mismatch,
    quadratic_mean,
    sampled_mismatch,
    scalar_mismatch,
)

F64 = torch.float64
quick = settings(max_examples=20)
ROTATING = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)


@given(st.integers(0, 10**6), st.integers(-6, 6))
@quick
def test_the_three_routes_of_the_mismatch_agree(seed, exponent):
    generator = torch.Generator().manual_seed(seed)
    scale = 10.0**exponent
    law = Gaussian(
        scale * torch.randn(1, generator=generator, dtype=F64),
        scale**2 * torch.rand(1, 1, generator=generator, dtype=F64) + scale**2 / 10,
    )
    diffusion = torch.rand(1, 1, generator=generator, dtype=F64)
    matrix, offset = (torch.randn(*s, generator=generator, dtype=F64) / scale**k for s, k in (((1, 1), 2), ((1,), 1)))
    exact = gaussian_mismatch(law, diffusion, matrix, offset)
    line = scalar_mismatch(law, diffusion, matrix, offset)
    assert abs(exact.value - line.value) <= exact.error + line.error
    drawn = sampled_mismatch(law, diffusion, matrix, offset, n_samples=2000, generator=seed)
    assert abs(exact.value - drawn.value) <= 6 * drawn.stderr


def test_the_error_covers_ill_conditioned_laws():
    """A covariance of condition 1e10, against 60 digits."""
    import mpmath

    root = torch.tensor([[1.0, 0.0], [1.0 - 1e-5, 1e-5]], dtype=F64)
    law = Gaussian([0.3, -0.2], root @ root.mT)
    found = entropy_production_rate(ROTATING, law)
    with mpmath.workdps(60):
        covariance = mpmath.matrix(law.covariance.tolist())
        rate, mean = mpmath.matrix(ROTATING.rate.tolist()), mpmath.matrix(law.mean.tolist())
        diffusion = mpmath.mpf(ROTATING.sigma.item()) ** 2 / 2
        field = diffusion * covariance**-1 - rate
        drift = rate * mean
        inner = field * covariance * field.T
        exact = (inner[0, 0] + inner[1, 1] + drift[0] ** 2 + drift[1] ** 2) / diffusion
    assert abs(found.value.item() - float(exact)) <= found.error.item() < 1e-3 * float(exact)


def test_quadratic_means_need_only_two_moments():
    generator = torch.Generator().manual_seed(0)
    root, diffusion = torch.randn(2, 2, 3, generator=generator, dtype=F64)
    law = Gaussian(torch.tensor([0.5, -1.0], dtype=F64), root @ root.mT)
    fields = [
        (torch.randn(2, 2, generator=generator, dtype=F64), torch.randn(2, generator=generator, dtype=F64))
        for _ in "ab"
    ]
    found = quadratic_mean(law.mean, law.covariance, diffusion @ diffusion.mT, (fields[0], fields[1]))
    x = law.sample((200_000,), generator=generator)
    away = x @ (fields[0][0] - fields[1][0]).mT + fields[0][1] - fields[1][1]
    squares = (away * (away @ diffusion @ diffusion.mT)).sum(-1)
    assert abs(found.value - squares.mean()) < 5 * squares.std() / len(x) ** 0.5


def test_equal_fields_leave_rounding_only():
    law, field = Gaussian([1e3, -1e3], [[1e6, 0.0], [0.0, 1e-6]]), (torch.eye(2, dtype=F64), torch.ones(2, dtype=F64))
    found = quadratic_mean(law.mean, law.covariance, torch.eye(2, dtype=F64), (field, field))
    assert found.value.item() == 0.0 and 0 < found.error.item() < 1e-15


def test_the_error_covers_scores_by_differences():
    """Under dX = -X dt + sqrt 2 dB: E(x + s)^2 = E x^2 - 2 + E s^2, and E(1 - |x|)^2 = 1 for the Laplace law.

    Its score is taken next to the kink, where a difference must not reach across.
    """
    relaxing = OrnsteinUhlenbeck([[1.0]], 2**0.5)
    trapped = Langevin(potential=lambda x: 0.5 * x.square().sum(-1), temperature=1.0)
    known = {
        "beta": (stats.beta(3, 3), 2 / 7 - 2 + 40),
        "gamma": (stats.gamma(2.5), 8.75),
        "laplace": (stats.laplace(), 1.0),
    }
    for law, truth in known.values():
        for process in (relaxing, trapped):
            found = entropy_production_rate(process, law)
            assert abs(found.value.item() - truth) <= found.error.item() < 1e-6
