"""The pair of Gaussians by numpy: the same numbers and errors as the batched, differentiable path."""

import pytest
import torch

import infotherm as it
from infotherm.core.linalg import factor_perturbation
from infotherm.transport.gaussian_pair import distance_of_pair, ends_of, regular_perturbation


def _laws(seed, dim, kind, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    roots = torch.randn(2, dim, dim, generator=generator, dtype=torch.float64)
    if kind == "graded":
        roots = torch.diag(10.0 ** torch.linspace(6, -6, dim, dtype=torch.float64)) @ roots
    if kind == "singular":
        roots[1, :, -1] = 0
    if kind == "near":
        roots[1] = roots[0] * (1 + 1e-13)
    means = torch.randn(2, dim, generator=generator, dtype=torch.float64) * (kind != "near")
    return [it.Gaussian.from_factor(m.to(dtype), A.to(dtype)) for m, A in zip(means, roots, strict=True)]


@pytest.mark.parametrize("kind", ["usual", "graded", "singular", "near"])
@pytest.mark.parametrize("dim", [1, 2, 8, 40])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_agrees_with_the_differentiable_path(kind, dim, dtype):
    if kind == "graded" and dtype == torch.float32:
        pytest.skip("squares of these leave the range of float32")
    for seed in range(5):
        p, q = _laws(seed, dim, kind, dtype)
        fast = it.wasserstein2(p, q)
        traced = it.Gaussian.from_factor(p.mean.clone().requires_grad_(), p.factor)
        slow = it.wasserstein2(traced, q)
        assert slow.value.requires_grad and not fast.value.requires_grad
        assert fast.value.dtype == fast.error.dtype == fast.stderr.dtype == dtype
        assert abs(fast.value - slow.value) <= 0.5 * (fast.error + slow.error)
        assert fast.error.item() == pytest.approx(slow.error.item(), rel=1e-2)
        assert (fast.kind, fast.method, fast.units) == (slow.kind, slow.method, slow.units)


def test_who_takes_which_path():
    zero = torch.zeros((), dtype=torch.float64)
    p, q = (ends_of(law, zero) for law in _laws(0, 4, "usual"))
    assert p is not None and q is not None and distance_of_pair(p, q) is not None
    # nearly equal: the rotation has to be polished
    near = [ends_of(law, zero) for law in _laws(0, 4, "near")]
    assert distance_of_pair(*near) is None and distance_of_pair(p, p) is None
    tiny = [ends_of(it.Gaussian.from_factor([0.0], [[s]]), zero) for s in (1e-170, 3e-170)]
    assert distance_of_pair(*tiny) is None
    batch = it.Gaussian(torch.zeros(3, 2), torch.eye(2))
    wide = it.Gaussian.from_factor([0.0], [[1.0, 2.0]])
    assert ends_of(batch, zero) is ends_of(wide, zero) is None


def test_transforms_and_gradients_take_the_other():
    p, q = _laws(1, 3, "usual")

    def distance(mean):
        return it.wasserstein2(it.Gaussian.from_factor(mean, p.factor), q).value

    several = torch.stack([p.mean, p.mean + 1])
    mapped = torch.func.vmap(distance)(several)
    assert torch.allclose(mapped, torch.stack([distance(m) for m in several]), rtol=1e-14)
    slope = torch.func.grad(distance)(p.mean)
    step = torch.tensor([1e-6, 0.0, 0.0], dtype=torch.float64)
    assert slope[0].item() == pytest.approx((distance(p.mean + step) - distance(p.mean - step)).item() / 2e-6, rel=1e-6)
    law = it.Gaussian.from_factor(p.mean.clone().requires_grad_(), p.factor)
    with torch.no_grad():
        assert not it.wasserstein2(law, q).value.requires_grad
    assert it.wasserstein2(law, q).value.requires_grad


@pytest.mark.parametrize("dim", [1, 2, 8, 30])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_rounding_of_covariances_costs(dim, dtype):
    for seed in range(5):
        root = torch.randn(dim, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        scale = 10.0 ** torch.linspace(-3, 3, dim, dtype=torch.float64)
        C = (scale[:, None] * (root @ root.mT + dim * torch.eye(dim)) * scale).to(dtype)
        found = regular_perturbation(C.numpy())
        assert found is not None and found == pytest.approx(factor_perturbation(C).item(), rel=1e-3)
    # singular or nearly so: left to the careful path
    assert regular_perturbation(torch.ones(2, 2, dtype=dtype).numpy()) is None
    assert regular_perturbation(torch.diag(torch.tensor([1.0, 0.0], dtype=dtype)).numpy()) is None
