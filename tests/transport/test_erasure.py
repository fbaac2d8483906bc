"""Truncated laws and the least heat of erasing a bit in finite time."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

import infotherm as it
from infotherm.transport import finite_time_landauer, truncated

_REFERENCES = {
    c["name"]: c
    for c in json.loads((Path(__file__).parents[2] / "validation/references/transport_protocols.json").read_text())
}


def _well(barrier, half=1.0):
    return it.processes.Langevin(
        potential=lambda x: barrier * ((x / half).square() - 1).square().sum(-1), temperature=1.0
    ).quasi_invariant(0.0)


@pytest.fixture(scope="module")
def well():
    return _well(3.0)


def test_the_double_well(well):
    end = truncated(well, lower=0.0)
    case = _REFERENCES["landauer/double-well/distance-squared"]
    distance = it.wasserstein2(well, end)
    assert abs(distance.value.item() ** 2 - case["value"]) <= 4 * distance.error.item() + 1e-15
    case = _REFERENCES["landauer/double-well/heat"]
    heat = finite_time_landauer(well, end, 2**0.5, case["spec"]["duration"])
    assert abs(heat.value.item() - case["value"]) <= heat.error.item() < 1e-10
    assert heat.kind == "exact" and heat.method == "quadrature"


def test_two_gaussians():
    start = it.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.04]], [[0.04]]])
    end = it.Gaussian(1.0, 0.04)
    case = _REFERENCES["landauer/two-gaussians/heat"]
    heat = finite_time_landauer(start, end, 2**0.5, 1.0)
    assert abs(heat.value.item() - case["value"]) <= heat.error.item() < 1e-9
    squared = _REFERENCES["landauer/two-gaussians/distance-squared"]["value"]
    assert it.wasserstein2(start, end).value.item() ** 2 == pytest.approx(squared, abs=1e-11)
    # the wells overlap: not log 2
    quasistatic = finite_time_landauer(start, end, 2**0.5, 1e12).value.item()
    assert quasistatic == pytest.approx(0.6931463173939848, abs=1e-10)
    assert math.log(2) - quasistatic > 5e-7


@pytest.mark.parametrize("barrier", [0.5, 3.0])
def test_log_2_is_left_of_a_slow_and_perfect_reset_whatever_the_barrier(barrier):
    start = _well(barrier)
    slow = finite_time_landauer(start, truncated(start, lower=0.0), 1.0, 1e13)
    assert abs(slow.value.item() - math.log(2)) <= slow.error.item() + 1e-12


def test_an_asymmetric_bit_costs_its_own_entropy_change(well):
    # reset to x > 0 of a tilted well: h(p) - h(p | x > 0), not log 2
    tilted = it.processes.Langevin(
        potential=lambda x: (3 * (x.square() - 1).square() - 0.5 * x).sum(-1), temperature=1.0
    ).quasi_invariant(0.0)
    end = truncated(tilted, lower=0.0)
    slow = finite_time_landauer(tilted, end, 1.0, 1e13).value.item()
    assert slow == pytest.approx((it.entropy(tilted) - it.entropy(end)).value.item(), abs=1e-12)
    assert abs(slow - math.log(2)) > 0.05


def test_truncated_laws_against_closed_forms():
    half = truncated(it.Gaussian(0.0, 1.0), lower=0.0)
    assert it.entropy(half).value.item() == pytest.approx(0.5 * math.log(math.pi * math.e / 2), abs=1e-12)
    window = truncated(it.Gaussian(1.0, 4.0), lower=-1.0, upper=2.0)
    known: Any = scipy.stats.truncnorm(-1.0, 0.5, 1.0, 2.0)
    x = torch.linspace(-1.5, 2.5, 9, dtype=torch.float64)
    assert window.log_prob(x[:, None]).exp().tolist() == pytest.approx(
        np.exp(known.logpdf(x.numpy())).tolist(), rel=1e-12
    )
    assert window.mean.item() == pytest.approx(known.mean(), rel=1e-11)
    assert it.wasserstein2(window, it.distributions.as_distribution(known)).value.item() < 1e-7
    # Kolmogorov-Smirnov at a false-alarm rate of 1e-4
    assert scipy.stats.kstest(window.sample((4000,), generator=1)[:, 0].numpy(), known.cdf).pvalue > 1e-4
    bounded = truncated(it.distributions.as_distribution(scipy.stats.expon()), upper=1.0)
    assert [b.item() for b in bounded.bounds()] == [0.0, 1.0]


def test_what_is_refused(well):
    with pytest.raises(ValueError, match="lower must be below upper"):
        truncated(well, lower=1.0, upper=0.0)
    with pytest.raises(ValueError, match="mass between lower and upper"):
        truncated(well, lower=10.0)
    with pytest.raises(ValueError, match="one scalar law with a density"):
        truncated(it.Rademacher(), lower=0.0)
    with pytest.raises(ValueError, match="p1 must have a density; got a Rademacher"):
        finite_time_landauer(well, it.Rademacher(), 1.0, 1.0)
    with pytest.raises(ValueError, match="duration must be > 0"):
        finite_time_landauer(it.Gaussian(0.0, 1.0), it.Gaussian(1.0, 1.0), 1.0, 0.0)
