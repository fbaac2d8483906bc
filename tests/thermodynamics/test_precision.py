"""Entropy production from several currents: the limits of Hotelling's law, and what must not depend on anything."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ncf

from infotherm.thermodynamics.precision import entropy_production_lower_bound, inverse_x_tanh_x

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@given(st.floats(1e-12, 1e6))
@settings(max_examples=50)
def test_the_inverse_of_x_tanh_x(y):
    x = inverse_x_tanh_x(torch.tensor(y, dtype=F64)).item()
    assert x * math.tanh(x) == pytest.approx(y, rel=1e-13)


def test_the_limits_are_those_of_the_noncentral_law():
    """A second route: scipy's law has the stated probabilities at the value and at the limit of level 0.05."""
    x = normal(60, 2) + torch.tensor([0.6, 0.2], dtype=F64)
    found = entropy_production_lower_bound(x)
    mean, covariance = x.mean(0).numpy(), np.cov(x.numpy().T)
    precision = mean @ np.linalg.solve(covariance, mean)
    assert found.info["plug_in"].item() == pytest.approx(2 * precision, rel=1e-10)
    statistic = 58 * 60 * precision / (2 * 59)
    assert ncf.sf(statistic, 2, 58, 60 * found.value.item() / 2) == pytest.approx(0.5, abs=1e-6)
    # the delta method may stretch the distance: the level is at most 0.05
    at_limit = ncf.sf(statistic, 2, 58, max(60 * found.lower_limit(0.05).item() / 2, 0.0))
    assert at_limit <= 0.05 + 1e-6


@pytest.mark.parametrize(("n", "k", "shift"), [(50, 1, 0.5), (30, 4, 0.5), (300, 3, 0.1), (200, 2, 3.0)])
def test_the_lower_limit_holds_at_its_level(n, k, shift):
    """300 runs at 5 %: more than 0.05 + 4 sqrt(0.05 0.95 / 300) = 0.1 above the truth with probability below 1e-3."""
    x = normal(n, 300, k, seed=n)
    x[..., 0] += shift
    found = entropy_production_lower_bound(x)
    truth = 2 * shift**2
    assert found.kind == "lower" and found.shape == (300,)
    assert (found.lower_limit(0.05) > truth).double().mean() < 0.1
    assert 0.35 < (found.value > truth).double().mean() < 0.65  # median unbiased
    if k > 2:
        assert (found.info["plug_in"] > truth).double().mean() > 0.6  # what the correction is for


def test_heavy_tails_widen_the_limits():
    """Currents 1 + 0.05 t-like: a precision of the kind that a Gaussian law would know too well."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.distributions.StudentT(torch.tensor(5.0, dtype=F64))
    torch.manual_seed(0)
    x = 3 + noise.sample((200, 300, 1))
    truth = 2 * 9 / (5 / 3)
    found = entropy_production_lower_bound(x)
    assert (found.lower_limit(0.05) > truth).double().mean() < 0.1
    plain = entropy_production_lower_bound(
        3 + math.sqrt(5 / 3) * torch.randn(200, 300, 1, generator=generator, dtype=F64)
    )
    assert found.stderr.mean() > 1.15 * plain.stderr.mean()


def test_linear_maps_of_the_currents_change_nothing():
    x = normal(100, 3) + 0.4
    mixed = x @ (normal(3, 3, seed=1) * torch.tensor([1e-6, 1.0, 1e6], dtype=F64))
    found, other = entropy_production_lower_bound(x), entropy_production_lower_bound(mixed)
    assert abs(found.value - other.value) <= found.error + other.error
    assert other.stderr.item() == pytest.approx(found.stderr.item(), rel=1e-4)


def test_the_forms_invert_their_bounds():
    from infotherm.thermodynamics.uncertainty import uncertainty_bound

    x = normal(100, 2) + 0.5
    precision = entropy_production_lower_bound(x).value / 2
    for form, extra in (
        ("steady", {}),
        ("fluctuation-theorem", {}),
        ("fluctuation-theorem-tight", {}),
        ("discrete-time", {"steps": 4}),
    ):
        entropy = entropy_production_lower_bound(x, form, **extra)
        least = uncertainty_bound(entropy.value, form, **extra)
        assert least.value.item() == pytest.approx(1 / precision.item(), rel=1e-10)


def test_small_means_leave_the_trivial_bound():
    x = normal(50, 3)
    found = entropy_production_lower_bound(x - x.mean(0))
    assert found.value.item() == 0.0 and found.lower_limit() <= 0.0


def test_bad_currents_are_named():
    x = normal(20, 2)
    for bad, message in (
        (x[:3], "more samples than"),
        (x[:, 0], r"shape \(n, ..., k\)"),
        (torch.stack([x[:, 0], 2 * x[:, 0]], -1), "full rank"),
        (torch.stack([x[:, 0], torch.ones(20, dtype=F64)], -1), "must fluctuate"),
        (x * math.nan, "finite"),
        (x[:1], "at least 2 samples"),
    ):
        with pytest.raises(ValueError, match=message):
            entropy_production_lower_bound(bad)
    with pytest.raises(ValueError, match="form must be one of steady"):
        entropy_production_lower_bound(x, "kinetic")
    with pytest.raises(ValueError, match="steps belongs to"):
        entropy_production_lower_bound(x, steps=3)


def test_units_of_the_currents_do_not_matter():
    x = 0.3 + torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    plain = entropy_production_lower_bound(x)
    for units in ([1.0, 1e200], [1e-200, 1.0]):
        scaled = entropy_production_lower_bound(x * torch.tensor(units, dtype=F64))
        assert abs(scaled.value - plain.value) <= scaled.error + plain.error
