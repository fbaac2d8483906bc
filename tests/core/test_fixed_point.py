"""Fixed points: contractions, slow and diverging maps, batches in which some elements never converge."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infotherm.core.fixed_point import solve_fixed_point

F64 = torch.float64


def linear(radius, dim=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=F64))[0]
    A = Q * torch.linspace(0, radius, dim, dtype=F64) @ Q.mT
    b = torch.randn(dim, generator=generator, dtype=F64)
    return A, b, torch.linalg.solve(torch.eye(dim, dtype=F64) - A, b)


def test_contraction_converges_to_the_known_point():
    found = solve_fixed_point(torch.cos, torch.tensor([1.0], dtype=F64))
    assert found.converged.all()
    assert found.value.item() == pytest.approx(0.7390851332151607, rel=1e-13)
    assert found.residual.item() == abs(math.cos(found.value.item()) - found.value.item())
    assert found.trace.shape == (found.iterations,)
    assert found.trace[-1] == found.residual


@pytest.mark.parametrize("radius", [0.5, 0.999])
def test_slow_linear_maps_are_accelerated(radius):
    A, b, truth = linear(radius, dim=12)
    step = lambda x: x @ A.mT + b  # noqa: E731
    rtol = 1e-8
    found = solve_fixed_point(step, torch.zeros(12, dtype=F64), memory=10, rtol=rtol)
    plain = solve_fixed_point(step, torch.zeros(12, dtype=F64), memory=0, max_iterations=20_000, rtol=rtol)
    assert found.converged and plain.converged
    # the residual divided by one minus the Lipschitz constant bounds the distance
    for one in (found, plain):
        assert (one.value - truth).norm() <= one.residual / (1 - radius) + 1e-12 * truth.norm()
    assert found.iterations < plain.iterations
    if radius == 0.999:
        assert found.iterations < plain.iterations / 20


@given(st.floats(-0.95, 0.95), st.floats(-5, 5), st.integers(1, 5))
def test_any_affine_contraction(slope, offset, dim):
    found = solve_fixed_point(lambda x: slope * x + offset, torch.zeros(3, dim, dtype=F64))
    assert found.converged.all()
    assert torch.allclose(found.value, torch.full((3, dim), offset / (1 - slope), dtype=F64), rtol=1e-9, atol=1e-300)


def test_oscillating_map_is_damped():
    # slope -1.5: the plain iteration diverges, halved steps converge
    found = solve_fixed_point(lambda x: 1 - 1.5 * x, torch.tensor([1.0], dtype=F64), memory=0)
    assert found.converged
    assert found.value.item() == pytest.approx(0.4, rel=1e-11)


def test_extrapolation_finds_a_repelling_point():
    found = solve_fixed_point(lambda x: 2 * x + 1, torch.tensor([1.0], dtype=F64))
    assert found.converged
    assert found.value.item() == pytest.approx(-1.0)


def test_accepted_extrapolations_lower_the_residual():
    A, b, _ = linear(0.99)
    found = solve_fixed_point(lambda x: torch.tanh(x @ A.mT) + b, torch.zeros(30, dtype=F64))
    assert found.converged
    assert (found.trace[1:] <= found.trace[:-1]).all()  # a contraction: nothing ever raises it


def test_batch_elements_converge_by_themselves():
    slopes = torch.tensor([0.0, 0.5, 0.99, 0.9], dtype=F64)

    def step(x):
        # the third has no fixed point
        return torch.where(torch.tensor([False, False, True, False]), x + 1, slopes * x + 1)

    with pytest.warns(RuntimeWarning, match=r"did not converge in 60 iterations for 1 of 4 elements: .*residual 1"):
        found = solve_fixed_point(step, torch.zeros(4, dtype=F64), event_dims=0, max_iterations=60)
    assert found.converged.tolist() == [True, True, False, True]
    assert torch.allclose(found.value[[0, 1, 3]], torch.tensor([1.0, 2.0, 10.0], dtype=F64), rtol=1e-9)
    assert found.trace.shape == (60, 4)
    assert found.residual[2] == 1
    # a finished element is left alone
    alone = solve_fixed_point(lambda x: 0.5 * x + 1, torch.zeros(1, dtype=F64), event_dims=0)
    assert found.value[1] == alone.value[0]


def test_matrix_states_and_float32():
    target = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    found = solve_fixed_point(lambda X: (X + target) / 2, torch.zeros(3, 2, 2), event_dims=2)
    assert found.converged.shape == (3,)
    assert found.value.dtype == torch.float32
    assert torch.allclose(found.value, target.expand(3, 2, 2))


def test_planted_map_without_fixed_point_is_not_called_converged():
    step = lambda x: torch.where(x < 0, 1.0, -1.0).to(F64)  # noqa: E731  (jumps over the diagonal)
    with pytest.warns(RuntimeWarning, match="did not converge"):
        found = solve_fixed_point(step, torch.tensor([0.3], dtype=F64), max_iterations=200)
    assert not found.converged
    assert found.residual >= 1


def test_a_map_that_leaves_its_domain_is_named():
    with pytest.raises(ValueError, match="not finite at iteration 3"):
        solve_fixed_point(lambda x: torch.sqrt(x - 1), torch.tensor([4.0], dtype=F64), memory=0)
    start = torch.tensor([[0.5], [2.0]], dtype=F64)
    with pytest.raises(ValueError, match=r"at iteration 1 for batch element \[0\]"):
        solve_fixed_point(lambda x: torch.log(x - 1), start)


def test_a_bad_extrapolation_is_dropped_not_raised():
    # sqrt leaves its domain only where extrapolation overshoots; plain steps stay inside
    found = solve_fixed_point(lambda x: torch.sqrt(x) * 1.0, torch.tensor([1e-6], dtype=F64))
    assert found.converged
    assert found.value.item() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"damping": 0.0}, "damping must be in"),
        ({"damping": 1.5}, "damping must be in"),
        ({"max_iterations": 0}, "max_iterations >= 1"),
        ({"event_dims": 3}, "0 <= event_dims <= 1"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        solve_fixed_point(torch.cos, torch.zeros(2, dtype=F64), **options)


def test_refuses_a_map_that_changes_the_shape():
    with pytest.raises(ValueError, match=r"map must keep the shape \(2,\); got \(1,\)"):
        solve_fixed_point(lambda x: x[:1], torch.zeros(2, dtype=F64))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_everything_stays_on_the_device():
    found = solve_fixed_point(torch.cos, torch.ones(2, 3, dtype=F64, device="cuda"))
    assert found.value.device.type == "cuda" and found.converged.all()
