"""Entropy by denoising: an upper bound, close to the truth, and an information that says what it bounds."""

import math

import numpy as np
import pytest
import torch

from infotherm.core.estimate import Estimate
from infotherm.distributions import Rademacher
from infotherm.estimators.denoising import DenoisingInformation, _excess
from infotherm.information import minimum_mean_square_error

GAUSSIAN = 0.5 * math.log(2 * math.pi * math.e)
QUICK = DenoisingInformation(steps=40, width=16, batch_size=256)


def normal(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mixture(seed, n):
    """1/2 N(-2, 1) + 1/2 N(2, 1), whose entropy is known to 30 digits ("gm2-entropy-sym")."""
    sign = torch.randint(2, (n, 1), generator=torch.Generator().manual_seed(seed + 1000)) * 2 - 1
    return normal(seed, n, 1) + 2 * sign


MIXTURE = 2.05165872694153972


def test_gaussian_entropy_is_found():
    """Three standard errors either way: the linear denoiser is optimal (odds 3e-3)."""
    matrix = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, 3.0, 1.0]], dtype=torch.float64)
    bound = QUICK.estimate(normal(0, 1500, 3) @ matrix + 5, generator=0)
    assert bound.kind == "upper" and bound.method == "variational" and bound.info["n"] == 450
    assert abs(float(bound) - 3 * GAUSSIAN) < 3 * bound.stderr + bound.info["smoothing"] + 0.02


def test_a_network_beats_the_gaussian_on_a_mixture():
    bound = DenoisingInformation(steps=250, width=32).estimate(mixture(0, 1500), generator=1)
    assert bound.upper_limit(1e-3) >= MIXTURE
    assert bound.value < MIXTURE + 3 * bound.stderr + 0.05
    assert bound.value < bound.info["gaussian"] - 0.1


def test_the_excess_is_the_error_of_recovery():
    """With the best denoiser of +-1 at one level, |t - v|^2 - |t|^2 plus |t|^2 is (1 + s) mmse(s), another route."""
    snr = 1.0
    x = (torch.arange(4000) % 2 * 2 - 1).double()[:, None]

    class Best(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dtype_of = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

        def forward(self, noisy, log_snr, condition):
            s = log_snr.exp()[..., None]
            z = noisy * (1 + s).sqrt()
            best = (1 + s).sqrt() * (s.sqrt() * z).tanh() - s.sqrt() * noisy
            return best / (2 * s.sqrt() / (1 + s)).sqrt()

    span, width = math.log1p(snr), 0.02
    seen = []
    for top in (span + width, span - width):  # the mean over levels up to two tops: their difference is one level's
        draw = torch.Generator().manual_seed(0)
        seen.append(top * _excess(Best(), x, None, top, 100, draw).mean().item())
    found = (seen[0] - seen[1]) / (2 * width) + 1
    assert found == pytest.approx((1 + snr) * float(minimum_mean_square_error(Rademacher(), snr)), abs=0.03)


def test_information_says_what_it_bounds():
    x = normal(0, 1000, 1)
    y = x + normal(1, 1000, 1)
    truth = math.log(2) / 2
    with pytest.warns(UserWarning, match="difference of two upper bounds"):
        plain = QUICK.estimate(x, y, generator=0)
    assert plain.kind == "unknown" and abs(plain.value - truth) < 3 * plain.stderr + 0.05
    assert plain.info["entropy"].kind == plain.info["conditional_entropy"].kind == "upper"
    known = QUICK.estimate(x, y, entropy=Estimate(GAUSSIAN), generator=0)
    assert known.kind == "lower" and known.lower_limit(1e-3) < truth
    assert known.value > truth - 3 * known.stderr - 0.05


def test_invariances_and_reproducibility():
    x = torch.round(mixture(2, 400) * 2**20) / 2**20
    base = QUICK.estimate(x, generator=3)
    state = torch.get_rng_state()
    assert float(QUICK.estimate(x.numpy(), generator=torch.Generator().manual_seed(3))) == float(base)
    assert torch.equal(torch.get_rng_state(), state)
    assert float(QUICK.estimate(x, generator=4)) != float(base)
    scaled = float(QUICK.estimate(1000 * x + 7, generator=3))
    assert scaled == pytest.approx(float(base) + math.log(1000), abs=1e-9)


def test_heavy_tails_are_compressed_and_the_slope_paid_for():
    cauchy = (
        math.pi * (torch.rand(1500, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5)
    ).tan()
    bound = DenoisingInformation(steps=60, width=32).estimate(cauchy, generator=0)
    assert bound.upper_limit(1e-3) > math.log(4 * math.pi)
    assert bound.value < math.log(4 * math.pi) + 0.6


def test_doubts_are_told():
    x = normal(0, 300, 1)
    for samples, match in (
        (torch.cat([x, x]), "rows are repeated together"),
        (torch.cat([x, x]) + 1e-9 * normal(1, 600, 1), "near copies of others"),
        ((2 * x).round(), "coordinate 0 of x has repeated values"),
        (x[:50], "50 samples are too few"),
    ):
        with pytest.warns(UserWarning, match=match):
            assert QUICK.estimate(samples, generator=0).kind == "unknown"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((torch.ones(100),), "x must vary"),
        ((torch.randn(100, 1).repeat(1, 2),), "linearly independent"),
        ((torch.randn(30, 15),), "more than 2 D = 30 samples"),
        ((torch.randn(10),), "at least 20 samples"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        QUICK.estimate(*arguments)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="largest_snr must be positive"):
        DenoisingInformation(largest_snr=0.0)
    with pytest.raises(ValueError, match="leave some for training"):
        DenoisingInformation(held_out=0.9)
    with pytest.raises(ValueError, match="it needs y"):
        QUICK.estimate(torch.randn(100), entropy=Estimate(1.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "law, truth", [(lambda s: normal(s, 500, 2), 2 * GAUSSIAN), (lambda s: mixture(s, 500), MIXTURE)]
)
def test_upper_limits_hold(law, truth):
    """100 replications: the upper 95 % limit is below the truth in at most 12 (odds 1.5e-3 at exactly 5 %)."""
    bounds = [QUICK.estimate(law(seed), generator=seed) for seed in range(100)]
    assert np.sum([float(bound.upper_limit(0.05)) < truth for bound in bounds]) <= 12
