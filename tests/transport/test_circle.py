"""Transport on a circle: two algorithms, optimal plans with the circular cost, laws of a distance."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import infotherm as it
from infotherm.transport.circle import _by_cuts, _by_median, circle_wasserstein
from infotherm.transport.orders import wasserstein

_REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/transport_static.json").read_text())


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


@pytest.mark.parametrize(
    "case", [c for c in _REFERENCES if c["spec"]["quantity"] == "circle_wasserstein"], ids=lambda c: c["name"]
)
def test_references(case):
    spec = case["spec"]
    p, q = (it.Empirical(spec[name]["samples"], spec[name]["sample_weights"]) for name in "pq")
    found = circle_wasserstein(p, q, period=spec["period"], order=spec["order"])
    assert abs(found.value.item() - case["value"]) <= found.error.item() < case["tolerance"]
    assert (found.kind, found.units) == ("exact", "1")


@pytest.mark.parametrize(
    "n, m, weighted", [(1, 1, False), (5, 5, False), (4, 7, True), (40, 40, False), (50, 31, True)]
)
def test_against_plans_with_the_circular_cost(n, m, weighted):
    pytest.importorskip("ot")
    from infotherm.transport.discrete import optimal_transport

    rng = np.random.default_rng(n + m)
    period = 1.7
    x, y = 3 * rng.random((n, 1)) - 1, 0.6 * rng.random((m, 1)) + 5
    p, q = (it.Empirical(v, rng.random(len(v)) if weighted else None) for v in (x, y))
    way = np.abs(x - y.T) % period
    way = np.minimum(way, period - way)
    for order in (1.0, 1.5, 2.0, 6.0):
        found = circle_wasserstein(p, q, period=period, order=order)
        plan = optimal_transport(p.weights, q.weights, way**order)
        truth = plan.cost.value.item() ** (1 / order)
        assert abs(found.value.item() - truth) <= found.error.item() + 1e-13
        assert found.error.item() < 1e-10


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_median_and_cuts_agree(seed, n, m, tied):
    rng = np.random.default_rng(seed)
    x, y = (torch.from_numpy(rng.integers(0, 4, k) / 4 if tied else rng.random(k)) for k in (n, m))
    a, b = (torch.from_numpy(rng.random(k) + 0.01) for k in (n, m))
    a, b = a / a.sum(), b / b.sum()
    by_median, by_cuts = _by_median(x, a, y, b, 1.0), _by_cuts(x, a, y, b, 1.0, 1.0)
    assert abs(by_median.value - by_cuts.value) <= by_median.error + by_cuts.error
    assert by_cuts.error < 1e-12


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 2.0, 3.0]), st.floats(-20, 20))
def test_laws(seed, order, turn):
    rng = np.random.default_rng(seed)
    p, q, r = (it.Empirical(2 * math.pi * rng.random((k, 1)), rng.random(k) + 0.01) for k in (4, 5, 3))
    pairs = ((p, q), (q, p), (q, r), (p, r))
    pq, qp, qr, pr = (circle_wasserstein(a, b, order=order) for a, b in pairs)
    assert abs(pq.value - qp.value) <= pq.error + qp.error
    assert pr.value - pr.error <= pq.value + pq.error + qr.value + qr.error
    same = circle_wasserstein(p, p, order=order)
    assert same.value <= same.error
    turned = circle_wasserstein(*(it.Empirical(v.samples + turn, v.weights) for v in (p, q)), order=order)
    assert abs(turned.value - pq.value) <= turned.error + pq.error
    on_line = wasserstein(p, q, order=order)
    assert pq.value - pq.error <= min(on_line.value + on_line.error, math.pi)
    first = circle_wasserstein(p, q)
    assert first.value - first.error <= pq.value + pq.error


def test_a_turned_half_circle():
    # a law within a half circle turned by less than a quarter: every point moves by the angle
    x = _t(np.linspace(0.0, 1.5, 30))[:, None]
    for order in (1.0, 2.0, 5.0):
        found = circle_wasserstein(it.Empirical(x), it.Empirical(x + 0.4), order=order)
        assert abs(found.value.item() - 0.4) <= found.error.item() < 1e-9
    # opposite points
    assert circle_wasserstein(it.Empirical([[0.0]]), it.Empirical([[7 * math.pi]])).value.item() == pytest.approx(
        math.pi
    )


def test_a_search_that_stops_early_says_by_how_much(monkeypatch):
    rng = np.random.default_rng(2)
    x, y = (it.Empirical(rng.random((k, 1))) for k in (30, 23))
    exact = circle_wasserstein(x, y, period=1.0, order=2.0)
    seen = False
    for cuts in (1, 2, 4):
        monkeypatch.setattr("infotherm.transport.circle._MOST_CUTS", cuts)
        found = circle_wasserstein(x, y, period=1.0, order=2.0)
        assert abs(found.value - exact.value) <= found.error + exact.error
        seen = seen or bool(abs(found.value - exact.value) > 1e-3)
    assert seen


def test_gradients():
    rng = np.random.default_rng(0)
    x, y = (torch.from_numpy(rng.random((k, 1))) for k in (5, 4))
    weights = torch.from_numpy(rng.random(5) + 0.1)
    for order in (1.0, 2.0):

        def value(x, order=order):
            return circle_wasserstein(it.Empirical(x, weights), it.Empirical(y), period=1.0, order=order).value

        assert torch.autograd.gradcheck(value, x.clone().requires_grad_(), eps=1e-7, atol=1e-5)
    by_weights = lambda w: circle_wasserstein(it.Empirical(x, w), it.Empirical(y), period=1.0).value  # noqa: E731
    assert torch.autograd.gradcheck(by_weights, weights.clone().requires_grad_(), eps=1e-7, atol=1e-5)


def test_refusals():
    p = it.Empirical([[0.0]])
    for period in (0.0, -1.0, math.inf, True):
        with pytest.raises(ValueError, match="period must be a positive number"):
            circle_wasserstein(p, p, period=period)
    with pytest.raises(ValueError, match="order must be"):
        circle_wasserstein(p, p, order=0.5)
    for law in (it.Empirical([[0.0, 1.0]]), it.Gaussian(0.0, 1.0), scipy.stats.uniform()):
        with pytest.raises(ValueError, match="q must be one scalar law of atoms"):
            circle_wasserstein(p, law)
