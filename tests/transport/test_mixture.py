"""MW2 of Gaussian mixtures: reference, the sandwich with W2, equality cases, gradients."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import infotherm as it
from infotherm.transport import gelbrich, wasserstein2
from infotherm.transport.mixture import mixture_wasserstein

pytest.importorskip("ot")
_REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/transport_static.json").read_text())


@pytest.mark.parametrize(
    "case", [c for c in _REFERENCES if c["spec"]["quantity"] == "mixture_wasserstein"], ids=lambda c: c["name"]
)
def test_references(case):
    p, q = (
        it.GaussianMixture(s["weights"], s["means"], s["covariances"]) for s in (case["spec"]["p"], case["spec"]["q"])
    )
    found = mixture_wasserstein(p, q)
    assert abs(found.value.item() - case["value"]) <= found.error.item() < case["tolerance"]
    assert (found.kind, found.units) == ("upper", "1")


def _mixture(rng, k, dim):
    root = rng.normal(size=(k, dim, dim))
    weights = rng.random(k) + 0.05
    return it.GaussianMixture(weights / weights.sum(), 2 * rng.normal(size=(k, dim)), root @ root.swapaxes(1, 2) + 0.01)


@pytest.mark.parametrize("seed", range(4))
def test_between_the_bounds_where_w2_is_exact(seed):
    rng = np.random.default_rng(seed)
    p, q = (_mixture(rng, k, 1) for k in (2, 3))
    low, exact, high = gelbrich(p, q), wasserstein2(p, q, tolerance=1e-8), mixture_wasserstein(p, q)
    assert low.value - low.error <= exact.value + exact.error
    assert exact.value - exact.error <= high.value + high.error
    assert low.value < exact.value < high.value


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_laws(seed, dim):
    rng = np.random.default_rng(seed)
    p, q, r = (_mixture(rng, k, dim) for k in (2, 3, 2))
    pairs = ((p, q), (q, p), (q, r), (p, r))
    pq, qp, qr, pr = (mixture_wasserstein(a, b) for a, b in pairs)
    assert abs(pq.value - qp.value) <= pq.error + qp.error
    assert pr.value - pr.error <= pq.value + pq.error + qr.value + qr.error
    same = mixture_wasserstein(p, p)
    assert same.value <= same.error
    low = gelbrich(p, q)
    assert low.value - low.error <= pq.value + pq.error
    shift = torch.from_numpy(rng.normal(size=dim))
    moved = mixture_wasserstein(p, it.GaussianMixture(p.weights, p.means + shift, p.covariances))
    assert abs(moved.value - shift.norm()) <= moved.error + 1e-14


def test_equal_to_w2_for_single_gaussians_and_for_atoms():
    p, q = it.Gaussian([0.0, 1.0], [[1.0, 0.3], [0.3, 2.0]]), it.Gaussian([1.0, 0.0], [[2.0, 0.0], [0.0, 1.0]])
    found, exact = mixture_wasserstein(p, q), wasserstein2(p, q)
    assert abs(found.value - exact.value) <= found.error + exact.error
    # what the rounding of singular covariances costs is in the error
    flat = it.Gaussian([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]])
    for pair in ((flat, q), (q, flat)):
        assert mixture_wasserstein(*pair).error.item() >= 0.9 * wasserstein2(*pair).error.item() > 1e-9
    rng = np.random.default_rng(0)
    x, y = (it.Empirical(rng.normal(size=(k, 2)), rng.random(k)) for k in (5, 7))
    found, exact = mixture_wasserstein(x, y), wasserstein2(x, y)
    assert abs(found.value - exact.value) <= found.error + exact.error


def test_the_plan_comes_along():
    p = it.GaussianMixture([0.5, 0.5], [-1.0, 1.0], [0.25, 0.25])
    plan = mixture_wasserstein(p, it.GaussianMixture([0.25, 0.75], [2.0, -2.0], [0.25, 0.25])).info["plan"]
    assert plan.tolist() == [[0.0, 0.5], [0.25, 0.25]]


def test_gradients():
    rng = np.random.default_rng(1)
    p, q = (_mixture(rng, k, 2) for k in (2, 3))

    def value(weights, means, roots):
        law = it.GaussianMixture(weights / weights.sum(), means, roots @ roots.mT)
        return mixture_wasserstein(law, q).value

    inputs = (p.weights, p.means, torch.from_numpy(rng.normal(size=(2, 2, 2))))
    assert torch.autograd.gradcheck(value, tuple(t.clone().requires_grad_() for t in inputs), eps=1e-7, atol=1e-5)


def test_refusals():
    p = it.Gaussian(0.0, 1.0)
    with pytest.raises(ValueError, match="q must be a mixture of Gaussians"):
        mixture_wasserstein(p, torch.distributions.Laplace(0.0, 1.0))
    with pytest.raises(ValueError, match="p must be one mixture; got the batch shape"):
        mixture_wasserstein(it.Gaussian([[0.0], [1.0]], [[[1.0]]]), p)
    with pytest.raises(ValueError, match="same space"):
        mixture_wasserstein(p, it.Gaussian([0.0, 0.0], np.eye(2)))
