"""The lattice rule in the coordinates of a Gaussian: exact where that is easy, handed over where it is not."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.core.whitened import integrate_whitened

F64 = torch.float64


def correlated(dim, correlation):
    return (1 - correlation) * torch.eye(dim, dtype=F64) + correlation * torch.ones(dim, dim, dtype=F64)


def surprisal(p):
    return lambda x: -p.log_prob(x) * p.log_prob(x).exp()


def check(found, truth):
    truth = torch.as_tensor(truth, dtype=F64)
    assert ((found.value.double() - truth).abs() <= found.error.double()).all()
    assert found.converged


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("correlation", [0.0, 0.999])
def test_entropy_of_gaussians_however_correlated(dim, correlation):
    covariance = correlated(dim, correlation)
    p = torch.distributions.MultivariateNormal(torch.arange(dim, dtype=F64), covariance)
    exact = integrate_whitened(surprisal(p), p.mean, p.scale_tril)
    check(exact, p.entropy())
    assert exact.error <= 1e-9 * p.entropy().abs()
    assert exact.evaluations == 51**dim
    # coordinates that do not fit exactly
    near = integrate_whitened(surprisal(p), p.mean + 0.1, 1.3 * p.scale_tril)
    check(near, p.entropy())


@given(st.floats(0.3, 1.0), st.floats(-2, 2), st.floats(-2, 2))
@settings(max_examples=20)
def test_mixtures(scale, a, b):
    place = torch.tensor([[a, b], [-a, -b]], dtype=F64)

    def density(x):
        z = (x.unsqueeze(-2) - place).square().sum(-1) / scale**2
        return torch.exp(-z / 2).mean(-1) / (2 * math.pi * scale**2)

    covariance = scale**2 * torch.eye(2, dtype=F64) + place.mT @ place / 2
    check(integrate_whitened(density, torch.zeros(2, dtype=F64), torch.linalg.cholesky(covariance)), 1.0)


def test_power_law_tails_are_handed_over():
    # the lattice sees only 10 scales: Student's tails beyond them hold 1e-3 of the mass
    def student(x):
        return (1 + x.square().sum(-1) / 3) ** -2.5 / (2 * math.pi)

    found = integrate_whitened(student, torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64), rtol=1e-6)
    check(found, 1.0)
    line = 0.4 * torch.arange(-25, 26, dtype=F64)
    lattice = 0.16 * student(torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)).sum()
    assert 1 - lattice > 1e-4  # the trap


def test_kinks_are_handed_over():
    def f(x):
        return (x[..., 0] - 0.3).abs() * torch.exp(-x.square().sum(-1) / 2) / (2 * math.pi)

    truth = 2 * math.exp(-0.045) / math.sqrt(2 * math.pi) + 0.3 * math.erf(0.3 / math.sqrt(2))
    found = integrate_whitened(f, torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64), rtol=1e-6)
    check(found, truth)
    assert found.evaluations > 51**2


def test_batches_float32_and_far_places():
    scale = torch.tensor([1e-3, 1.0, 1e3], dtype=F64)
    found = integrate_whitened(
        lambda x: torch.exp(-(x / scale.unsqueeze(-1)).square().sum(-1) / 2),
        torch.zeros(3, 2, dtype=F64),
        scale[:, None, None] * torch.eye(2, dtype=F64),
    )
    check(found, 2 * math.pi * scale**2)
    for dtype, place in ((torch.float32, 0.0), (torch.float32, 1e3), (F64, 1e6)):
        center = torch.full((2,), place, dtype=dtype)
        found = integrate_whitened(
            lambda x, place=place: torch.exp(-(x - place).square().sum(-1) / 2) / (2 * math.pi),
            center,
            torch.eye(2, dtype=dtype),
        )
        assert found.value.dtype == dtype
        check(found, 1.0)


def test_gradients():
    rate = torch.tensor(0.7, dtype=F64, requires_grad=True)
    factor = torch.eye(2, dtype=F64, requires_grad=True)
    found = integrate_whitened(lambda x: torch.exp(-rate * x.square().sum(-1)), torch.zeros(2), factor)
    slope, turn = torch.autograd.grad(found.value, (rate, factor))
    assert slope.item() == pytest.approx(-math.pi / 0.49, rel=1e-9)
    assert turn.abs().max() < 1e-9  # the value does not depend on the coordinates
    assert not found.error.requires_grad


def test_memory_is_bounded():
    sizes = []

    def f(x):
        sizes.append(x.numel())
        return torch.exp(-x.square().sum(-1) / 2)

    integrate_whitened(f, torch.zeros(50, 3, dtype=F64), torch.eye(3, dtype=F64))
    assert len(sizes) > 5 and 8 * max(sizes) < 2**26


@pytest.mark.parametrize(
    ("center", "factor", "message"),
    [
        (torch.zeros(4), torch.eye(4), "D = 1, 2 or 3"),
        (torch.zeros(3), torch.eye(2), "center must have shape"),
        (torch.zeros(2), torch.ones(2, 2), "factor must be regular"),
        (torch.zeros(2), torch.ones(2, 3), r"factor must have shape \(\.\.\., D, D\)"),
    ],
)
def test_refuses(center, factor, message):
    with pytest.raises(ValueError, match=message):
        integrate_whitened(lambda x: x.sum(-1), center, factor)


def test_refuses_infinite_integrands():
    with pytest.raises(ValueError, match="f must be finite inside the range; got inf at x ="):
        integrate_whitened(lambda x: 1 / x.sum(-1), torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_everything_stays_on_the_device():
    center = torch.zeros(3, 2, dtype=F64, device="cuda")
    found = integrate_whitened(
        lambda x: torch.exp(-x.square().sum(-1) / 2), center, torch.eye(2, dtype=F64, device="cuda")
    )
    assert found.value.device.type == "cuda"
    assert torch.allclose(found.value.cpu(), torch.full((3,), 2 * math.pi, dtype=F64))
