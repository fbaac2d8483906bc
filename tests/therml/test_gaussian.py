"""The Gaussian bottleneck and rate-distortion functions: references, second routes, laws, error bars."""

import json
import math
from pathlib import Path

import mpmath as mp
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import infotherm as it
from infotherm.therml import (
    encoder_functionals,
    gaussian_information_bottleneck,
    gaussian_rate_distortion,
    laplacian_rate_distortion,
)

_REFERENCES = json.loads((Path(__file__).parents[2] / "validation/references/therml_gaussian.json").read_text())


def _cases(quantity):
    chosen = [c for c in _REFERENCES if c["spec"]["quantity"] == quantity]
    return pytest.mark.parametrize("case", chosen, ids=lambda c: c["name"])


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


def _number(x):
    return x.value.item() if hasattr(x, "value") else torch.as_tensor(x).tolist()


def _check(result, case):
    for name, value in case["value"].items():
        assert _number(getattr(result, name)) == pytest.approx(value, rel=case["tolerance"])


def _joint(spec):
    x, y, across = (_t(spec[k]) for k in ("covariance_x", "covariance_y", "covariance_xy"))
    covariance = torch.cat([torch.cat([x, across], 1), torch.cat([across.mT, y], 1)])
    return it.Gaussian(torch.zeros(len(covariance)).double(), covariance, parts={"x": len(x), "y": len(y)})


# -- the bottleneck -----


@_cases("gaussian_information_bottleneck")
def test_bottleneck_references(case):
    joint = _joint(case["spec"])
    found = gaussian_information_bottleneck(joint, case["spec"]["beta"])
    _check(found, case)
    for name in ("compression", "relevance"):
        estimate = getattr(found, name)
        assert abs(estimate.value.item() - case["value"][name]) <= estimate.error.item() < 1e-12
        assert (estimate.kind, estimate.units, estimate.method) == ("exact", "nat", "closed-form")


@_cases("gaussian_information_bottleneck")
def test_the_encoder_attains_both_numbers(case):
    # second route: mutual informations of (x, y, z) with the encoder that came back
    joint = _joint(case["spec"])
    found = gaussian_information_bottleneck(joint, case["spec"]["beta"])
    values = encoder_functionals(joint, found.encoder)
    assert abs(values.rate.value - found.compression.value) <= values.rate.error + found.compression.error
    told = it.entropy(joint.marginal("y")) - values.classification
    assert abs(told.value - found.relevance.value) <= told.error + found.relevance.error


@_cases("gaussian_information_bottleneck")
def test_no_encoder_does_better(case):
    # third route: direct minimisation over all A of I(X;AX+n) - beta I(Y;AX+n)
    joint, beta = _joint(case["spec"]), case["spec"]["beta"]
    n = joint.parts["x"]
    x, whole = joint.covariance[:n, :n], joint.covariance
    rest = x - whole[:n, n:] @ torch.linalg.solve(whole[n:, n:], whole[n:, :n])
    matrix = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [matrix], max_iter=500, tolerance_grad=1e-12, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def objective():
        one = torch.eye(n, dtype=torch.float64)
        compression = torch.logdet(one + matrix @ x @ matrix.mT) / 2
        relevance = compression - torch.logdet(one + matrix @ rest @ matrix.mT) / 2
        return compression - beta * relevance

    def closure():
        optimiser.zero_grad()
        loss = objective()
        loss.backward()
        return loss

    optimiser.step(closure)
    lowest = gaussian_information_bottleneck(joint, beta).lagrangian
    assert objective().item() >= lowest.value.item() - lowest.error.item() - 1e-13
    assert objective().item() == pytest.approx(lowest.value.item(), abs=1e-9)


_entries = st.lists(st.floats(-2, 2), min_size=16, max_size=16)


@given(_entries, st.floats(1.01, 100.0), st.floats(1.01, 3.0))
def test_laws_of_the_bottleneck(entries, beta, factor):
    B = _t(entries).reshape(4, 4) + 0.3 * torch.eye(4).double()
    joint = it.Gaussian.from_factor(torch.zeros(4).double(), B, parts={"x": 2, "y": 2})
    first, second = (gaussian_information_bottleneck(joint, b) for b in (beta, factor * beta))
    for point in (first, second):
        compression, relevance = point.compression, point.relevance
        slack = compression.error + relevance.error
        assert -slack <= relevance.value <= compression.value + slack  # data processing
        assert relevance.value <= it.mutual_information(joint, "x", "y").upper_limit() + slack
        assert point.lagrangian.value <= point.lagrangian.error  # no representation at all costs 0
    # a larger beta compresses less, and the Lagrangian is concave and decreasing in it with slope -relevance
    assert second.compression.value >= first.compression.value - first.compression.error - second.compression.error
    rise = (second.lagrangian.value - first.lagrangian.value).item()
    step = (factor - 1) * beta
    room = 1e-9 * (1 + abs(rise)) + first.lagrangian.error.item() + second.lagrangian.error.item()
    assert -step * second.relevance.value.item() - room <= rise <= -step * first.relevance.value.item() + room


def test_below_the_first_critical_beta_nothing_is_encoded():
    joint = it.Gaussian.with_mutual_information(0.7, dx=2, dy=3)
    critical = gaussian_information_bottleneck(joint, 1.0).critical_betas
    assert critical.tolist() == pytest.approx([1 / (1 - math.exp(-0.7))] * 2, rel=1e-14)
    betas = critical[0] * _t([0.0, 0.5, 1 - 1e-9, 1 + 1e-9])
    found = gaussian_information_bottleneck(joint, betas)
    assert found.compression.value[:3].tolist() == [0.0, 0.0, 0.0] == found.relevance.value[:3].tolist()
    # just above, both grow linearly: excess beta rho^2 - 1 over 1 - rho^2
    assert found.compression.value[3].item() == pytest.approx(1e-9 / math.exp(-0.7), rel=1e-6)
    assert found.encoder.matrix()[2].abs().max() == 0 < found.encoder.matrix()[3].abs().max()


def test_batches_of_betas_and_laws():
    joint = it.Gaussian.with_mutual_information([0.5, 2.0], dx=1, dy=1)
    found = gaussian_information_bottleneck(joint, _t([[2.0], [5.0], [50.0]]))
    assert found.compression.shape == (3, 2) and found.critical_betas.shape == (2, 1)
    for i, beta in enumerate((2.0, 5.0, 50.0)):
        for j, mi in enumerate((0.5, 2.0)):
            single = gaussian_information_bottleneck(it.Gaussian.with_mutual_information(mi, dx=1, dy=1), beta)
            assert found.compression.value[i, j].item() == pytest.approx(single.compression.value.item(), rel=1e-13)


def test_large_information_keeps_its_digits():
    # scalar pair: compression log[(beta-1) (e^(2 mi) - 1)] / 2
    joint = it.Gaussian.with_mutual_information(30.0, dx=1, dy=1)
    found = gaussian_information_bottleneck(joint, 3.0)
    assert found.compression.value.item() == pytest.approx(0.5 * math.log(2 * math.expm1(60.0)), rel=1e-14)
    assert found.compression.error.item() < 1e-12


def test_what_determines_costs_infinitely_much():
    joint = it.Gaussian.from_factor([0.0, 0.0], [[1.0], [1.0]], parts={"x": 1, "y": 1})
    found = gaussian_information_bottleneck(joint, [1.0, 2.0])
    assert found.compression.value.tolist() == [0.0, math.inf] == found.relevance.value.tolist()
    assert found.encoder is None
    undecided = gaussian_information_bottleneck(
        it.Gaussian([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]]).with_parts({"x": 1, "y": 1}), 2.0
    )
    assert undecided.compression.error.item() == math.inf


@pytest.mark.parametrize("shrink", [1.0, 1e-3, 1e-6])
def test_errors_of_the_bottleneck_cover_the_truth(shrink):
    generator = torch.Generator().manual_seed(4)
    for _ in range(5):
        B = torch.randn(3, 3, dtype=torch.float64, generator=generator)
        B = B * _t([1.0, 1.0, shrink]) * _t([[1.0], [1e3], [1e-3]])
        C = B @ B.mT
        C = (C + C.mT) / 2
        found = gaussian_information_bottleneck(it.Gaussian(torch.zeros(3).double(), C, parts={"x": 1, "y": 2}), 4.0)
        with mp.workdps(60):
            M = mp.matrix(C.tolist())
            told = (M[0, 1:] * mp.inverse(M[1:, 1:]) * M[1:, 0])[0] / M[0, 0]
            active = 4 * told > 1
            compression = mp.log(3 * told / (1 - told)) / 2 if active else mp.mpf(0)
            relevance = compression - mp.log(4 * told) / 2 if active else mp.mpf(0)
            for estimate, truth in ((found.compression, compression), (found.relevance, relevance)):
                assert abs(mp.mpf(estimate.value.item()) - truth) <= estimate.error.item()


def test_gradients_of_the_bottleneck():
    B = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    beta = _t(20.0).requires_grad_()

    def numbers(B, beta):
        joint = it.Gaussian(torch.zeros(4).double(), B @ B.mT, parts={"x": 2, "y": 2})
        point = gaussian_information_bottleneck(joint, beta)
        return point.compression.value, point.relevance.value

    assert torch.autograd.gradcheck(numbers, (B, beta))
    # equal correlations (a degenerate spectrum) and directions out of use have finite gradients
    C = torch.eye(4, dtype=torch.float64)
    C[0, 2] = C[2, 0] = C[1, 3] = C[3, 1] = 0.5
    C.requires_grad_()
    joint = it.Gaussian(torch.zeros(4).double(), C, parts={"x": 2, "y": 2})
    gaussian_information_bottleneck(joint, [1.5, 9.0]).relevance.value.sum().backward()
    assert torch.isfinite(C.grad).all()


def test_float32_bottleneck():
    joint = it.Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.8], [0.8, 1.0]]), parts={"x": 1, "y": 1})
    found = gaussian_information_bottleneck(joint, 5.0)
    assert found.compression.value.dtype == torch.float32
    rho2 = torch.tensor(0.8).double().item() ** 2
    assert abs(found.compression.value.item() - 0.5 * math.log(4 * rho2 / (1 - rho2))) <= found.compression.error.item()


def test_bottleneck_refusals():
    joint = it.Gaussian.with_mutual_information(1.0, dx=1, dy=1)
    for beta in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="beta"):
            gaussian_information_bottleneck(joint, beta)
    with pytest.raises(ValueError, match="no part 'z'"):
        gaussian_information_bottleneck(joint, 1.0, source="z")
    with pytest.raises(ValueError, match="no part 'x'"):
        gaussian_information_bottleneck(it.Gaussian([0.0, 0.0], torch.eye(2)), 1.0)
    with pytest.raises(TypeError, match="joint must be a Gaussian"):
        gaussian_information_bottleneck(torch.eye(2), 1.0)


# -- rate-distortion functions -----


@_cases("gaussian_rate_distortion")
def test_gaussian_rate_distortion_references(case):
    _check(gaussian_rate_distortion(case["spec"]["covariance"], case["spec"]["target"]), case)


@_cases("laplacian_rate_distortion")
def test_laplacian_rate_distortion_references(case):
    _check(laplacian_rate_distortion(case["spec"]["scale"], case["spec"]["target"]), case)


_spectrum = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4)


@given(_spectrum, st.floats(1e-3, 1.5), st.integers(0, 1000))
def test_the_test_channel_attains_rate_and_distortion(spectrum, share, seed):
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(len(spectrum), len(spectrum), dtype=torch.float64, generator=generator)).Q
    covariance = turn * _t(spectrum) @ turn.mT
    covariance = (covariance + covariance.mT) / 2
    target = share * sum(spectrum)
    point = gaussian_rate_distortion(covariance, target)
    source = it.Gaussian(torch.zeros(len(spectrum)).double(), covariance)
    joint = point.channel.joint(source)
    n = len(spectrum)
    whole = joint.covariance
    error = whole[:n, :n] + whole[n:, n:] - whole[:n, n:] - whole[n:, :n]
    assert torch.trace(error).item() == pytest.approx(point.distortion.value.item(), rel=1e-9)
    assert point.distortion.value.item() == pytest.approx(min(target, sum(spectrum)), rel=1e-12)
    expected = sum(max(0.0, math.log(v / point.water_level.item())) for v in spectrum) / 2
    assert point.rate.value.item() == pytest.approx(expected, abs=1e-9)
    if share < 0.9 and point.rate.value > 1e-6:
        # inputs only in the described directions: there the channel is regular
        information = it.mutual_information(joint, "x", "y")
        assert information.value.item() == pytest.approx(point.rate.value.item(), rel=1e-6, abs=1e-6)


def test_slope_is_the_derivative_and_the_rate_is_convex():
    covariance = torch.diag(_t([3.0, 1.0, 0.5, 0.1]))
    target = _t([0.05, 0.2, 0.9, 2.0, 4.0]).requires_grad_()
    point = gaussian_rate_distortion(covariance, target)
    (gradient,) = torch.autograd.grad(point.rate.value.sum(), target)
    assert torch.allclose(-gradient, point.slope, rtol=1e-12)
    assert (point.slope.diff() < 0).all()


def test_targets_beyond_the_spread_need_no_rate():
    point = gaussian_rate_distortion([[1.0, 0.0], [0.0, 2.0]], [3.0, 5.0])
    assert point.rate.value.tolist() == [0.0, 0.0] and point.slope[1].item() == 0.0
    assert point.distortion.value.tolist() == [3.0, 3.0]
    assert point.channel.matrix()[1].abs().max() == 0


def test_singular_sources_and_scalars():
    singular = gaussian_rate_distortion([[1.0, 1.0], [1.0, 1.0]], 0.5)
    assert singular.rate.value.item() == pytest.approx(math.log(2.0), rel=1e-14)  # one direction of variance 2
    assert gaussian_rate_distortion(4.0, 1.0).rate.value.item() == pytest.approx(math.log(2.0), rel=1e-15)
    assert gaussian_rate_distortion([[0.0]], 1.0).rate.value.item() == 0.0
    tiny = gaussian_rate_distortion(1e-200 * torch.eye(2).double(), 1e-200)
    assert tiny.rate.value.item() == pytest.approx(math.log(2.0), rel=1e-13)


def test_errors_of_the_rate_cover_the_truth():
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        B = torch.randn(3, 3, dtype=torch.float64, generator=generator) * _t([1.0, 1e-2, 1e-5])
        C = B @ B.mT
        C = (C + C.mT) / 2
        target = 1e-9
        point = gaussian_rate_distortion(C, target)
        with mp.workdps(50):
            values = sorted(mp.eigsy(mp.matrix(C.tolist()), eigvals_only=True))
            best = None
            for flooded in range(3):
                level = (mp.mpf(target) - sum(values[:flooded])) / (3 - flooded)
                if level <= values[flooded] and best is None:
                    best = sum(mp.log(v / level) for v in values[flooded:]) / 2
            assert abs(mp.mpf(point.rate.value.item()) - best) <= point.rate.error.item()


def test_the_laplacian_test_channel_attains_its_rate():
    # backward channel: x = x^ + Laplace(D), so I = h(x) - h(Laplace(D)); E|x - x^| = D
    scale, target = 1.7, _t([0.1, 0.5, 1.7, 3.0])
    point = laplacian_rate_distortion(scale, target)
    source = it.entropy(torch.distributions.Laplace(_t(0.0), _t(scale)))
    error = it.entropy(torch.distributions.Laplace(torch.zeros(3).double(), target[:3]))
    assert torch.allclose(point.rate.value[:3], (source - error).value, atol=1e-14)
    assert point.rate.value[3].item() == 0.0 and point.slope.tolist()[2:] == [0.0, 0.0]
    assert point.distortion.value.tolist() == pytest.approx([0.1, 0.5, 1.7, 1.7])


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan, math.inf])
def test_rate_distortion_refusals(target):
    with pytest.raises(ValueError, match="target"):
        gaussian_rate_distortion([[1.0]], target)
    with pytest.raises(ValueError, match="target"):
        laplacian_rate_distortion(1.0, target)


def test_more_refusals():
    with pytest.raises(ValueError, match="covariance must be positive semi-definite"):
        gaussian_rate_distortion([[1.0, 2.0], [2.0, 1.0]], 1.0)
    with pytest.raises(ValueError, match=r"covariance must have shape \(\.\.\., n, n\)"):
        gaussian_rate_distortion([[1.0, 2.0]], 1.0)
    with pytest.raises(ValueError, match="scale must be > 0"):
        laplacian_rate_distortion(0.0, 1.0)
