"""Integrals in one to three dimensions: closed forms, kinks, batches; the stated error bounds the true one."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.core.cubature import integrate_box

F64, INF = torch.float64, math.inf


def normal(covariance):
    dim = covariance.shape[-1]
    return torch.distributions.MultivariateNormal(torch.zeros(dim, dtype=covariance.dtype), covariance)


def correlated(dim, correlation=0.9):
    return (1 - correlation) * torch.eye(dim, dtype=F64) + correlation * torch.ones(dim, dim, dtype=F64)


def marks(*values, dim=2):
    """The same breakpoints on every axis, (P, D)."""
    return torch.tensor(values, dtype=F64)[:, None].expand(-1, dim)


def check(found, truth, rtol=1e-9):
    truth = torch.as_tensor(truth, dtype=F64)
    assert ((found.value.double() - truth).abs() <= found.error.double()).all()
    if rtol is not None:
        assert (found.error.double() <= 10 * rtol * truth.abs()).all()
        assert found.converged


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_gaussian_normalisation(dim):
    rtol = 1e-9 if dim < 3 else 1e-4
    found = integrate_box(lambda x: torch.exp(-x.square().sum(-1) / 2), -INF, INF, dim=dim, rtol=rtol)
    check(found, (2 * math.pi) ** (dim / 2), rtol)
    half = integrate_box(lambda x: torch.exp(-x.square().sum(-1) / 2), 0.0, INF, dim=dim, rtol=rtol)
    check(half, (math.pi / 2) ** (dim / 2), rtol)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_entropy_of_correlated_gaussians(dim):
    p = normal(correlated(dim))

    def surprisal(x):
        log = p.log_prob(x)
        return -log * log.exp()

    rtol = 1e-9 if dim < 3 else 1e-2
    found = integrate_box(surprisal, -INF, INF, breakpoints=marks(-3.0, 3.0, dim=dim), rtol=rtol)
    check(found, p.entropy(), rtol)


def test_separated_mixture_with_located_components():
    means = torch.tensor([[-30.0, 5.0], [40.0, -20.0]], dtype=F64)
    scales = torch.tensor([0.5, 2.0], dtype=F64)

    def density(x):
        z = (x.unsqueeze(-2) - means).square().sum(-1) / scales**2
        return (torch.exp(-z / 2) / (2 * math.pi * scales**2) * torch.tensor([0.3, 0.7], dtype=F64)).sum(-1)

    points = torch.cat([means + k * scales[:, None] for k in (-6, 0, 6)])
    check(integrate_box(density, -INF, INF, breakpoints=points), 1.0)
    # one coordinate's mean
    check(integrate_box(lambda x: x[..., 0] * density(x), -INF, INF, breakpoints=points), 0.3 * -30 + 0.7 * 40)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_product_kinks(dim):
    f = lambda x: (x - 0.3).abs().prod(-1)  # noqa: E731
    check(integrate_box(f, 0.0, 1.0, breakpoints=marks(0.3, dim=dim)), 0.29**dim, 1e-12)
    rtol = 1e-6 if dim < 3 else 1e-3
    check(integrate_box(f, 0.0, 1.0, dim=dim, rtol=rtol), 0.29**dim, rtol)


def test_oblique_kinks_do_not_cancel():
    # along any axis the kink of |x - y| wanders through the panel: signed null rules would average out
    for box in ((0.0, 1.0), (-1.0, 2.0)):
        width = box[1] - box[0]
        found = integrate_box(lambda x: (x[..., 0] - x[..., 1]).abs(), *box, dim=2, rtol=1e-4)
        check(found, width**3 / 3, 1e-4)


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999), st.booleans())
@settings(max_examples=25)
def test_hidden_edges_are_seen(a, b, step):
    if step:
        f, truth = lambda x: (x[..., 0] > a) * (1 + x[..., 1] + b), (1 - a) * (1.5 + b)
    else:
        f, truth = (
            lambda x: (x - torch.tensor([a, b], dtype=F64)).abs().prod(-1),
            (a * a + (1 - a) ** 2) * (b * b + (1 - b) ** 2) / 4,
        )
    found = integrate_box(f, 0.0, 1.0, dim=2, rtol=1e-4)
    check(found, truth, None)


def test_batches_of_boxes_and_scales():
    scale = torch.tensor([[1e-3], [1.0], [1e3]], dtype=F64)
    found = integrate_box(
        lambda x: torch.exp(-(x / scale).square().sum(-1) / 2),
        -INF,
        INF,
        breakpoints=torch.stack([k * scale.expand(3, 2) for k in (-4.0, 4.0)]),
    )
    assert found.value.shape == found.error.shape == (3,)
    check(found, 2 * math.pi * scale[:, 0] ** 2)
    upper = torch.tensor([[1.0, 2.0], [3.0, 1.0]], dtype=F64)
    found = integrate_box(lambda x: x.sum(-1), torch.zeros(2, dtype=F64), upper)
    check(found, [3.0, 6.0], 1e-12)


def test_axes_with_fewer_breakpoints_are_padded():
    points = torch.tensor([[0.3, 0.5], [float("nan"), 0.7]], dtype=F64)
    f = lambda x: (x[..., 0] - 0.3).abs() * (x[..., 1] > 0.5) * (x[..., 1] < 0.7)  # noqa: E731
    found = integrate_box(f, 0.0, 1.0, breakpoints=points)
    check(found, 0.29 * 0.2, 1e-12)
    assert found.evaluations < 4000


def test_one_dimension_agrees_with_the_line():
    from infotherm.core.quadrature import integrate

    line = integrate(lambda x: torch.exp(-x) * x.sin(), 0.0, INF)
    box = integrate_box(lambda x: torch.exp(-x[..., 0]) * x[..., 0].sin(), 0.0, INF, dim=1)
    assert (line.value - box.value).abs() <= line.error + box.error


def test_not_converged_is_said_and_honest():
    f = lambda x: (x - 0.3).abs().prod(-1)  # noqa: E731
    with pytest.warns(RuntimeWarning, match="integrate_box did not reach rtol=1e-09, atol=0 with .* evaluations"):
        found = integrate_box(f, 0.0, 1.0, dim=2, max_evaluations=5000)
    assert not found.converged
    assert found.evaluations <= 5000
    check(found, 0.29**2, None)


def test_float32_stays_and_rounding_is_stated():
    lower = torch.zeros(2)
    found = integrate_box(lambda x: torch.exp(x.sum(-1)), lower, lower + 1)
    assert found.value.dtype == found.error.dtype == torch.float32
    assert found.converged
    check(found, (math.e - 1) ** 2, None)
    # nodes far from the origin are coarse: the error says so
    far = integrate_box(lambda x: torch.exp((x - 1e4).sum(-1)), lower + 1e4, lower + 1e4 + 1)
    check(far, (math.e - 1) ** 2, None)
    assert far.error > 1e-3


def test_gradients_and_memory_of_chunks():
    rate = torch.tensor(0.7, dtype=F64, requires_grad=True)
    upper = torch.tensor([1.0, 2.0], dtype=F64, requires_grad=True)
    f = lambda x: torch.exp(-rate * x.sum(-1))  # noqa: E731
    value = integrate_box(f, 0.0, upper).value
    gradients = torch.autograd.grad(value, (rate, upper))

    def exact(rate, upper):
        return (-torch.expm1(-rate * upper) / rate).prod()

    expected = torch.autograd.grad(exact(rate, upper), (rate, upper))
    assert all(torch.allclose(g, e, rtol=1e-9) for g, e in zip(gradients, expected, strict=True))
    sizes = []

    def many(x):
        sizes.append(x.numel())
        return torch.exp(-rate * x.square().sum(-1))

    found = integrate_box(many, -INF, torch.full((250, 2), INF, dtype=F64), rtol=1e-3)
    assert 8 * max(sizes) < 2**26 < 8 * sum(sizes)
    (gradient,) = torch.autograd.grad(found.value.sum(), rate)
    assert gradient.item() == pytest.approx(-250 * math.pi / 0.7**2, rel=1e-3)


def test_a_planted_bug_is_caught():
    # the null rules of one axis, signed and summed over the other, miss most of an oblique kink
    from infotherm.core.rules import kronrod

    rule = kronrod(15)
    values = (rule.nodes[:, None] - rule.nodes).abs()
    signed = (rule.null[0] @ values @ rule.weights).abs()
    modulus = (rule.null[0] @ values).abs() @ rule.weights
    assert modulus > 5 * signed


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0.0, 1.0), {}, "dim must be given when lower and upper are numbers"),
        ((0.0, 1.0), {"dim": 4}, "1, 2 or 3 dimensions"),
        (([0.0, 0.0], [1.0, 1.0, 1.0]), {}, "1, 2 or 3 dimensions"),
        (([0.0, 0.0], [1.0, -1.0]), {}, r"lower \(y\) must be <= upper \(y\); got 0.0 and -1.0"),
        (([0.0, 0.0], [1.0, 1.0]), {"breakpoints": [0.5, 0.5]}, r"breakpoints must have shape \(P, D\)"),
    ],
)
def test_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        integrate_box(lambda x: x.sum(-1), *arguments, **options)


def test_refuses_bad_integrands():
    with pytest.raises(ValueError, match="f must be finite inside the range; got inf at x ="):
        integrate_box(lambda x: x.sum(-1) / 0.0, 0.0, 1.0, dim=2)
    with pytest.raises(ValueError, match="f must map nodes"):
        integrate_box(lambda x: x, 0.0, 1.0, dim=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert integrate_box(lambda x: 0 * x[..., 0], 0.0, 1.0, dim=2).value == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_everything_stays_on_the_device():
    end = torch.full((2, 2), INF, dtype=F64, device="cuda")
    found = integrate_box(lambda x: torch.exp(-x.square().sum(-1) / 2), -end, end)
    assert found.value.device.type == "cuda"
    check(found, torch.full((2,), 2 * math.pi, dtype=F64, device="cuda"))
