"""rp.solve: reference values, laws of information, certificates, and what it does not cover."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import infotherm as it
from infotherm.replica import Activation, GaussianWeights, Layer, Linear, Network, solve

_REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/replica_linear.json").read_text())


def network(prior_variance, layers):
    return Network(
        it.Gaussian(0.0, prior_variance), [Layer(GaussianWeights(a, v), Linear(), noise=d) for a, v, d in layers]
    )


def _of(spec):
    return network(spec["prior_variance"], [(x["alpha"], x["variance"], x["noise"]) for x in spec["layers"]])


@pytest.mark.parametrize("case", _REFERENCES, ids=lambda c: c["name"])
def test_references(case):
    solution = solve(_of(case["spec"]))
    for name, value in case["value"].items():
        found = getattr(solution, name)
        assert abs(found.value.item() - value) <= case["tolerance"] * max(1.0, abs(value))
        assert abs(found.value.item() - value) <= found.error.item() + 4e-16 * abs(value)
        assert found.kind == "exact" and found.method == "fixed-point" and found.units == "nat"
    assert solution.certificate.agrees(solution.entropy)
    assert solution.certificate.unique and solution.status == "proven"
    assert solution.certificate.residual < 1e-14


def test_an_orthogonal_looking_limit():
    # many outputs per input: every input is seen through noise / alpha
    alpha, noise = 1e6, 0.5
    solution = solve(network(1.0, [(alpha, 1.0, alpha * noise)]))
    assert solution.mutual_information.value.item() == pytest.approx(0.5 * math.log1p(1 / noise), rel=1e-5)
    assert solution.mmse.value.item() == pytest.approx(noise / (1 + noise), rel=1e-5)


_ratios = st.floats(0.2, 3.0)


@settings(max_examples=20)
@given(st.lists(st.tuples(_ratios, st.floats(0.1, 5.0)), min_size=1, max_size=3), st.floats(1e-4, 2.0))
def test_laws_of_information(layers, noise):
    # one noisy chain: the last information decreases with the last noise, the first layer knows more than the second
    chain = [(a, v, noise) for a, v in layers]
    solution = solve(network(1.0, chain))
    noisier = solve(network(1.0, [*chain[:-1], (*chain[-1][:2], 2 * noise)]))
    information, less = solution.mutual_information, noisier.mutual_information
    assert information.value + information.error > 0
    assert information.value > less.value - information.error - less.error
    assert 0 < solution.mmse.value <= noisier.mmse.value * (1 + 1e-12) <= 1 + 1e-12
    width = math.prod(a for a, _ in layers)
    constant = width * math.log(2 * math.pi * math.e * noise) / 2
    assert (solution.entropy.value - constant).item() == pytest.approx(information.value.item(), abs=1e-12)
    assert solution.certificate.agrees(solution.entropy)


def test_i_mmse():
    # d I / d snr = alpha mse(W x) / 2 per input, with snr = 1/noise; a central difference sees it
    alpha, snr, step = 0.7, 3.0, 1e-5

    def information(s):
        return solve(network(1.0, [(alpha, 1.0, 1 / s)])).mutual_information.value.item()

    solution = solve(network(1.0, [(alpha, 1.0, 1 / snr)]))
    effective = solution.branches[0].effective_noises[0]
    hidden = alpha * effective - 1 / snr  # tau = alpha z_0 - noise
    predicted = alpha / 2 * (hidden / (1 + snr * hidden)).item()
    assert (information(snr + step) - information(snr - step)) / (2 * step) == pytest.approx(predicted, rel=1e-8)


def test_scaling_weights_shifts_the_entropy():
    # scaling weights of the last layer and its noise by c^2 adds width log c
    layers = [(0.8, 1.0, 0.1), (1.5, 2.0, 0.01)]
    scaled = [layers[0], (1.5, 2.0 * 9, 0.01 * 9)]
    first, second = solve(network(1.0, layers)), solve(network(1.0, scaled))
    assert (second.entropy - first.entropy).value.item() == pytest.approx(1.2 * math.log(3.0), rel=1e-13)
    assert second.mmse.value.item() == pytest.approx(first.mmse.value.item(), rel=1e-13)


def test_units_of_the_layer():
    net = network(1.0, [(0.5, 1.0, 0.1), (0.5, 1.0, 0.1)])
    per_input, per_layer = solve(net), solve(net, per="layer")
    assert per_layer.entropy.value.item() == pytest.approx(per_input.entropy.value.item() / 0.25, rel=1e-14)
    assert per_layer.mmse.value == per_input.mmse.value
    with pytest.raises(ValueError, match="per must be"):
        solve(net, per="unit")


def test_the_mean_of_the_prior_does_not_count():
    layers = [Layer(GaussianWeights(0.5), Linear(), noise=0.1)]
    centred, shifted = (solve(Network(it.Gaussian(m, 1.0), layers)) for m in (0.0, 5.0))
    assert centred.entropy.value == shifted.entropy.value


def test_batches_and_float32():
    sigma = torch.tensor([0.1, 1.0, 10.0])
    net = network(torch.tensor(1.0), [(torch.tensor(1.0), sigma**2, torch.tensor(1e-2))])
    solution = solve(net)
    assert solution.entropy.shape == (3,) and solution.entropy.value.dtype == torch.float32
    for k, s in enumerate(sigma.tolist()):
        exact = solve(network(1.0, [(1.0, float(torch.tensor(s) ** 2), float(torch.tensor(1e-2)))]))
        assert abs(solution.entropy.value[k].item() - exact.entropy.value.item()) <= solution.entropy.error[k].item()
        assert abs(solution.mmse.value[k].item() - exact.mmse.value.item()) <= solution.mmse.error[k].item()


class _Square(Activation):
    def __call__(self, pre_activation):
        return pre_activation.square()


def test_what_is_not_covered_yet_is_said():
    layer = Layer(GaussianWeights(1.0), Linear(), noise=0.1)
    with pytest.raises(ValueError, match=r"Gaussian priors.*prior must be a Gaussian for now; got Rademacher"):
        solve(Network(it.Rademacher(), [layer]))
    with pytest.raises(ValueError, match=r"Linear for now; layer 2 has _Square"):
        solve(Network(it.Gaussian(0.0, 1.0), [layer, Layer(GaussianWeights(1.0), _Square(), noise=0.1)]))
    with pytest.raises(ValueError, match="last layer needs a noise > 0"):
        solve(network(1.0, [(1.0, 1.0, 0.1), (1.0, 1.0, 0.0)]))


def test_a_wrong_second_route_is_noticed():
    solution = solve(network(1.0, [(0.5, 1.0, 0.1)]))
    assert not solution.certificate.agrees(solution.entropy + 1e-9)
