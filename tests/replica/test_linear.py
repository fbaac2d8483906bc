"""The entropy of linear networks by four routes."""

import math

import pytest
import torch

import infotherm as it
from infotherm.replica import GaussianWeights, Layer, Linear, Network, finite_size_log_determinant, solve
from infotherm.replica.linear import parameters_of, second_route, solve_linear


def network(prior_variance, layers):
    return Network(
        it.Gaussian(0.0, prior_variance), [Layer(GaussianWeights(a, v), Linear(), noise=d) for a, v, d in layers]
    )


_NETS = {
    "one layer": (1.0, [(0.7, 2.0, 0.1)], "Marchenko-Pastur density"),
    "square product": (2.0, [(1.0, 0.5, 0.0), (1.0, 3.0, 0.0), (1.0, 1.0, 1e-4)], "Fuss-Catalan density"),
    "shapes and inner noise": (
        1.3,
        [(2.0, 0.7, 0.05), (0.5, 1.5, 0.0), (1.5, 2.0, 0.01)],
        "integral of the error over the last noise",
    ),
}


@pytest.mark.parametrize("name", _NETS)
def test_the_second_route_agrees(name):
    prior, layers, method = _NETS[name]
    p = parameters_of(network(prior, layers))
    value, error, found = second_route(p)
    solution = solve_linear(p)
    assert found == method
    assert abs(value - solution.log_determinant) <= error + solution.log_determinant_error
    assert error < 1e-10


@pytest.mark.parametrize("name", _NETS)
def test_sampled_weights_agree_up_to_one_over_n(name):
    # mean over weights = limit + c/n + O(1/n^2): two sizes remove the c/n
    prior, layers, _ = _NETS[name]
    net = network(prior, layers)
    small, large = (finite_size_log_determinant(net, n, generator=5, draws=d) for n, d in ((30, 200), (60, 100)))
    extrapolated = 2 * large - small
    limit = solve(net).entropy
    assert abs(extrapolated.value - limit.value) < 4 * extrapolated.stderr + 0.05 / 30
    assert extrapolated.stderr < 0.01
    # and the plain average is off by O(1/n)
    assert abs(large.value - limit.value) < 4 * large.stderr + 2 / 60
    assert "O(1/n_0)" in large.info["limitation"]


def test_a_wrong_variance_would_be_seen():
    net, wrong = network(1.0, [(1.0, 1.0, 0.1)]), network(1.0, [(1.0, 1.1, 0.1)])
    sampled = finite_size_log_determinant(net, 200, generator=0, draws=20)
    assert abs(sampled.value - solve(wrong).entropy.value) > 4 * sampled.stderr + 1 / 200


def test_an_exact_small_case():
    # one weight w: H = E log(2 pi e (noise + w^2)) / 2; here against the draws themselves
    net = network(1.0, [(1.0, 1.0, 0.5)])
    sampled = finite_size_log_determinant(net, 1, generator=2, draws=5)
    g = torch.Generator().manual_seed(2)
    w = torch.stack([torch.randn(1, 1, generator=g, dtype=torch.float64) for _ in range(5)]).flatten()
    expected = (math.log(2 * math.pi * math.e) + (0.5 + w.square()).log()).mean() / 2
    assert sampled.value.item() == pytest.approx(expected.item(), rel=1e-14)
    assert sampled.kind == "estimate" and sampled.method == "monte-carlo"


def test_the_generator_and_the_global_state():
    net = network(1.0, [(0.5, 1.0, 0.1)])
    state = torch.get_rng_state()
    first = finite_size_log_determinant(net, 20, generator=1)
    assert torch.equal(state, torch.get_rng_state())
    assert first.value == finite_size_log_determinant(net, 20, torch.Generator().manual_seed(1)).value
    assert first.streams == finite_size_log_determinant(net, 20, generator=1).streams


def test_batches_of_noises():
    noises = [0.01, 0.1, 1.0]
    net = network(1.0, [(0.5, 1.0, noises)])
    together = finite_size_log_determinant(net, 30, generator=1)
    assert together.shape == (3,)
    assert (together.value.diff() > 0).all()


def test_what_is_refused():
    net = network(1.0, [(0.5, 1.0, 0.1)])
    with pytest.raises(ValueError, match="n must be >= 1 and draws >= 2"):
        finite_size_log_determinant(net, 10, draws=1)
    with pytest.raises(ValueError, match="no unit"):
        finite_size_log_determinant(network(1.0, [(0.01, 1.0, 0.1)]), 10)
    with pytest.raises(ValueError, match="aspect ratios must be the same"):
        finite_size_log_determinant(network(1.0, [([0.5, 1.0], 1.0, 0.1)]), 10)
    with pytest.raises(ValueError, match="prior must be a Gaussian"):
        finite_size_log_determinant(Network(it.Rademacher(), net.layers), 10)
