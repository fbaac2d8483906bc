"""Integrals over a line: power-law tails get their decades, divergent ones are seen, scale by scale."""

import math

import pytest
import torch
import torch.distributions as td

from infotherm.distributions import Gaussian, GaussianMixture, as_distribution
from infotherm.information.lines import line_breakpoints, line_range, on_line

float64 = torch.float64


def tensor(x):
    return torch.tensor(x, dtype=float64)


def integral(g, laws, tolerance=1e-12, extra=None):
    laws = [as_distribution(law) for law in laws]
    batch = torch.broadcast_shapes(*(law.batch_shape for law in laws))
    noise = lambda x: 1e-15 * (-x[..., 0].square()).exp()  # noqa: E731
    return on_line(g, noise, laws, batch, float64, tolerance, extra)


@pytest.mark.parametrize("power", [1.1, 1.5, 2.0, 3.0, 8.0])
def test_power_law_tails_are_integrated_to_their_end(power):
    """Half the mass of |x|^-1.1 lies beyond a thousand: 140 decades of the tail are needed, each gets a breakpoint."""
    result, rounding, divergent = integral(lambda x: (1 + x[..., 0].abs()) ** -power, [Gaussian(0.0, 1.0)])
    truth = 2 / (power - 1)
    assert not divergent and result.converged
    assert abs(result.value.item() - truth) <= (result.error + rounding).item() < 1e-9 * truth


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_tails_without_an_integral_are_seen(power):
    _, _, divergent = integral(lambda x: (1 + x[..., 0].abs()) ** -power, [Gaussian(0.0, 1.0)])
    assert divergent
    half = [td.Exponential(tensor(1.0))]
    assert integral(lambda x: (1 + x[..., 0].abs()) ** -power, half)[2]


def test_a_batch_diverges_element_by_element():
    powers = tensor([0.5, 2.0])
    laws = [Gaussian(torch.zeros(2, 1, dtype=float64), torch.ones(1, 1, dtype=float64))]
    result, _, divergent = integral(lambda x: (1 + x[..., 0].abs()) ** -powers, laws)
    assert divergent.tolist() == [True, False]
    assert result.value[1].item() == pytest.approx(2.0, rel=1e-12)


def test_a_narrow_law_beside_a_wide_one_is_no_flat_tail():
    """Seen from the narrow law the wide density is constant for twelve decades."""
    wide = Gaussian(0.0, 1.0)
    result, _, divergent = integral(lambda x: wide.log_prob(x).exp(), [Gaussian(0.0, 1e-24), wide])
    assert not divergent and result.value.item() == pytest.approx(1.0, rel=1e-12)


def test_ranges_and_breakpoints_of_several_laws():
    batch = torch.Size((2,))
    laws = [as_distribution(td.Uniform(tensor([0.0, -3.0]), tensor(1.0))), as_distribution(td.Exponential(tensor(1.0)))]
    lower, upper = line_range(laws, batch, float64)
    assert (lower.tolist(), upper.tolist()) == ([0.0, -3.0], [math.inf, math.inf])
    points = line_breakpoints([*laws, GaussianMixture([0.5, 0.5], [-7.0, 9.0], 1.0)], batch, float64)
    assert points.shape[1:] == batch
    for kink in (1.0, -7.0, 9.0):
        assert (points == kink).any(0).all()


def test_an_extra_breakpoint_takes_a_kink():
    kink = tensor([0.123456])
    g = lambda x: (x[..., 0] - kink[0]).abs() * (-x[..., 0].square()).exp()  # noqa: E731
    with_it, without = (integral(g, [Gaussian(0.0, 1.0)], extra=e)[0] for e in (kink, None))
    assert with_it.evaluations < without.evaluations
    assert abs(with_it.value - without.value) <= with_it.error + without.error
