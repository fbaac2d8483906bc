"""The Gaussian frontier: references, direct minimisation, Maxwell relations, identities of unlimited decoders."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import infotherm as it
from infotherm.therml import critical_deltas, encoder_functionals, gaussian_frontier, gaussian_information_bottleneck

_REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/therml_gaussian.json").read_text())
_NAMES = ("rate", "distortion", "classification", "objective")


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


def _cases(quantity):
    return [c for c in _REFERENCES if c["spec"]["quantity"] == quantity]


_SPEC = _cases("gaussian_frontier")[0]["spec"]
_MODEL = (_t(_SPEC["covariance"]), _t(_SPEC["readout"]), _t(_SPEC["readout_noise"]))


@pytest.mark.parametrize("case", _cases("gaussian_frontier"), ids=lambda c: c["name"])
def test_references(case):
    spec, value = case["spec"], case["value"]
    model = spec["covariance"], spec["readout"], spec["readout_noise"]
    point = gaussian_frontier(*model, delta=spec["delta"], gamma=spec["gamma"])
    for name in _NAMES:
        found = getattr(point, name)
        assert abs(found.value.item() - value[name]) <= found.error.item() < 1e-12
    assert point.eigenvalues.tolist() == pytest.approx(value["eigenvalues"], rel=case["tolerance"])


@pytest.mark.parametrize("case", _cases("gaussian_frontier"), ids=lambda c: c["name"])
def test_the_encoder_attains_the_point_and_none_does_better(case):
    spec = case["spec"]
    S, B, noise = _MODEL
    delta, gamma = spec["delta"], spec["gamma"]
    point = gaussian_frontier(S, B, noise, delta=delta, gamma=gamma)

    def objective(A):
        posterior = torch.linalg.inv(torch.linalg.inv(S) + A.mT @ A)
        rate = (torch.logdet(S) - torch.logdet(posterior)) / 2
        distortion = torch.trace(posterior) / 2
        classification = (torch.trace(noise) + torch.trace(B @ posterior @ B.mT)) / 2
        return rate + delta * distortion + gamma * classification

    assert objective(point.encoder.matrix()).item() == pytest.approx(point.objective.value.item(), rel=1e-12)
    assert it.mutual_information(
        point.encoder.joint(it.Gaussian(torch.zeros(3).double(), S)), "x", "y"
    ).value.item() == (pytest.approx(point.rate.value.item(), rel=1e-12))
    A = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [A], max_iter=400, tolerance_grad=1e-12, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimiser.zero_grad()
        loss = objective(A)
        loss.backward()
        return loss

    optimiser.step(closure)
    assert objective(A).item() == pytest.approx(point.objective.value.item(), abs=1e-9)
    assert objective(A).item() >= point.objective.value.item() - 1e-12


def test_derivatives_of_the_objective_and_maxwell():
    (case,) = _cases("dD/dgamma = dC/ddelta")
    delta, gamma = (_t(case["spec"][k]).requires_grad_() for k in ("delta", "gamma"))
    point = gaussian_frontier(*_MODEL, delta=delta, gamma=gamma)
    slopes = torch.autograd.grad(point.objective.value, (delta, gamma), retain_graph=True)
    assert slopes[0].item() == pytest.approx(point.distortion.value.item(), rel=1e-13)
    assert slopes[1].item() == pytest.approx(point.classification.value.item(), rel=1e-13)
    (across,) = torch.autograd.grad(point.distortion.value, gamma, retain_graph=True)
    (back,) = torch.autograd.grad(point.classification.value, delta, retain_graph=True)
    assert across.item() == pytest.approx(case["value"], rel=case["tolerance"])
    assert back.item() == pytest.approx(case["value"], rel=case["tolerance"])
    # first law: dR + delta dD + gamma dC = 0 along any change of the multipliers
    rate = torch.autograd.grad(point.rate.value, delta, retain_graph=True)[0]
    own = torch.autograd.grad(point.distortion.value, delta, retain_graph=True)[0]
    assert (rate + delta * own + gamma * back).abs().item() < 1e-12


def test_critical_deltas():
    (case,) = _cases("critical_deltas")
    spec = case["spec"]
    found = critical_deltas(spec["covariance"], spec["readout"], spec["gamma"])
    assert found.tolist() == pytest.approx(case["value"], rel=case["tolerance"])
    # there an eigenvalue passes one
    point = gaussian_frontier(*_MODEL, delta=found, gamma=spec["gamma"])
    assert (point.eigenvalues - 1).abs().amin(-1).max().item() < 1e-12
    with pytest.raises(ValueError, match="positive definite"):
        critical_deltas([[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0]], 0.1)


_multiplier = st.floats(0.0, 20.0)


@given(_multiplier, _multiplier, _multiplier, _multiplier)
def test_the_minimum_is_concave_in_the_multipliers(delta, gamma, other_delta, other_gamma):
    deltas = _t([delta, (delta + other_delta) / 2, other_delta])
    gammas = _t([gamma, (gamma + other_gamma) / 2, other_gamma])
    point = gaussian_frontier(*_MODEL, delta=deltas, gamma=gammas)
    J, error = point.objective.value, point.objective.error.max()
    assert J[1] >= (J[0] + J[2]) / 2 - 2 * error
    whole = point.rate.value + deltas * point.distortion.value + gammas * point.classification.value
    assert torch.allclose(whole, J, rtol=1e-12, atol=1e-12)
    # every other point of the frontier costs at least as much under these multipliers
    swapped = point.rate.value[2] + delta * point.distortion.value[2] + gamma * point.classification.value[2]
    assert swapped >= J[0] - 1e-10


def test_gradients_stay_finite_at_equal_eigenvalues():
    delta = _t([0.5, 1.0, 2.0]).requires_grad_()
    one = torch.eye(3, dtype=torch.float64)
    point = gaussian_frontier(one, one, one, delta=delta, gamma=0.0)
    (gradient,) = torch.autograd.grad(point.distortion.value.sum(), delta)
    assert torch.isfinite(gradient).all()
    assert gradient[0].item() == 0.0 and gradient[2].item() == pytest.approx(-3 / 2 / 4, rel=1e-13)
    S = _MODEL[0].clone().requires_grad_()
    symmetric = lambda M: gaussian_frontier((M + M.mT) / 2, *_MODEL[1:], delta=0.6, gamma=0.1)  # noqa: E731
    assert torch.autograd.gradcheck(lambda M: symmetric(M).distortion.value, (S,))
    assert torch.autograd.gradcheck(lambda M: symmetric(M).rate.value, (S,))


def test_singular_sources_scalars_and_float32():
    point = gaussian_frontier([[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0]], 0.1, delta=2.0, gamma=0.0)
    # one direction of variance 2 with lambda = 4
    assert point.rate.value.item() == pytest.approx(0.5 * torch.tensor(4.0).log().item(), rel=1e-6)
    assert point.distortion.value.item() == pytest.approx(0.25, rel=1e-14) and point.encoder is None
    single = gaussian_frontier(torch.tensor(4.0), 1.0, 0.1, delta=0.5, gamma=0.5)
    assert single.rate.value.dtype == torch.float32 and single.rate.error.item() > 1e-8


def test_refusals():
    with pytest.raises(ValueError, match="delta must be >= 0"):
        gaussian_frontier(*_MODEL, delta=-1.0, gamma=1.0)
    with pytest.raises(ValueError, match=r"readout must have shape \(\.\.\., m, 3\)"):
        gaussian_frontier(_MODEL[0], torch.eye(2).double(), _MODEL[2], delta=1.0, gamma=1.0)
    with pytest.raises(ValueError, match="readout_noise must be positive semi-definite"):
        gaussian_frontier(*_MODEL[:2], -_MODEL[2] + _t([[0.0, 1.0], [1.0, 0.0]]) + torch.eye(2), delta=1.0, gamma=1.0)


# -- unlimited decoders -----


@given(st.lists(st.floats(-2, 2), min_size=4, max_size=4), st.floats(0.01, 10.0))
def test_rate_plus_distortion_is_the_entropy_of_the_source(entries, noise):
    B = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    joint = it.Gaussian.from_factor(torch.zeros(4).double(), B, parts={"x": 2, "y": 2})
    encoder = it.LinearGaussianChannel(_t(entries).reshape(2, 2), noise * torch.eye(2).double())
    values = encoder_functionals(joint, encoder)
    whole = values.rate + values.distortion - it.entropy(joint.marginal("x"))
    assert abs(whole.value) <= whole.error
    # data processing: z knows no more of y than of x, and no more of y than x does
    told = it.entropy(joint.marginal("y")) - values.classification
    assert told.value <= values.rate.value + told.error + values.rate.error
    assert told.value <= it.mutual_information(joint, "x", "y").value + told.error


def test_the_bottleneck_is_the_best_of_them():
    joint = it.Gaussian.with_mutual_information(1.0, dx=2, dy=2)
    best = gaussian_information_bottleneck(joint, 4.0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        matrix = torch.randn(2, 2, dtype=torch.float64, generator=generator)
        values = encoder_functionals(joint, it.LinearGaussianChannel(matrix, torch.eye(2).double()))
        told = it.entropy(joint.marginal("y")) - values.classification
        assert values.rate.value - 4.0 * told.value >= best.lagrangian.value - 1e-12


def test_the_input_size_is_checked():
    joint = it.Gaussian.with_mutual_information(1.0, dx=2, dy=2)
    with pytest.raises(ValueError, match="encoder must take 2 inputs"):
        encoder_functionals(joint, it.LinearGaussianChannel([[1.0]], [[1.0]]))
