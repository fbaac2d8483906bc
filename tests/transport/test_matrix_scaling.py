"""Entropic couplings: against linear programming and long scaling, certificates, edges, memory, progress."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.transport import couplings
from infotherm.transport.couplings import Costs
from infotherm.transport.matrix_scaling import couple, sinkhorn


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


def _problem(n, m, seed, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, dtype=torch.float64, generator=generator)
    y = spread * torch.randn(m, 2, dtype=torch.float64, generator=generator) + 0.5
    a, b = (torch.rand(k, dtype=torch.float64, generator=generator) + 0.1 for k in (n, m))
    return a / a.sum(), b / b.sum(), x, y


def _objective(P, a, b, C, epsilon):
    return ((P * C).sum() + epsilon * torch.special.xlogy(P, P / (a[:, None] * b)).sum()).item()


def _scaled(a, b, C, epsilon, count=1500):
    """Plain scaling in the log domain."""
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(count):
        g = -epsilon * torch.logsumexp((f[:, None] - C) / epsilon + a.log()[:, None], 0)
        f = -epsilon * torch.logsumexp((g - C) / epsilon + b.log(), 1)
    return float(f @ a + g @ b), f, g


@pytest.mark.parametrize(("n", "m"), [(5, 9), (9, 5), (1, 4), (4, 1), (1, 1)])
@pytest.mark.parametrize("epsilon", [0.05, 1.0, 100.0])
def test_against_plain_scaling(n, m, epsilon):
    a, b, x, y = _problem(n, m, n + m)
    C = torch.cdist(x, y).square()
    found = sinkhorn(a, b, C, epsilon, tolerance=1e-12)
    value, f, g = _scaled(a, b, C, epsilon)
    assert abs(found.cost.value.item() - value) <= found.cost.error.item() + 1e-13
    assert found.converged and found.cost.kind == "exact"
    assert torch.allclose(found.plan.sum(1), a, rtol=1e-14) and torch.allclose(found.plan.sum(0), b, rtol=1e-13)
    assert _objective(found.plan, a, b, C, epsilon) == pytest.approx(value, rel=1e-10)
    u, v = found.potentials
    assert torch.allclose(u[:, None] + v, f[:, None] + g, atol=1e-5 * float(C.max()))
    assert found.information.item() == pytest.approx((value - float((found.plan * C).sum())) / epsilon, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(-3, 3), st.sampled_from([1, 3, 40]), st.sampled_from([1e-1, 1e-4]))
def test_the_gap_holds_wherever_the_iteration_stops(seed, exponent, most, tolerance):
    a, b, x, y = _problem(12, 7, seed, 3.0)
    C, epsilon = torch.cdist(x, y).square(), 10.0**exponent
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **options: None)
        rough = sinkhorn(a, b, C, epsilon, tolerance=tolerance, max_iterations=most)
    fine = sinkhorn(a, b, C, epsilon, tolerance=1e-13)
    # the value is a lower bound, and the coupling an upper one
    slack = rough.cost.info["duality_gap"] + fine.cost.error.item() + 1e-13 * float(C.max())
    assert -fine.cost.error.item() - 1e-12 <= fine.cost.value.item() - rough.cost.value.item() <= slack
    upper = _objective(rough.plan, a, b, C, epsilon)
    assert fine.cost.value.item() - 1e-10 <= upper <= rough.cost.value.item() + rough.cost.error.item() + 1e-12


def test_small_epsilon_against_the_linear_program():
    from scipy.optimize import linprog

    a, b, x, y = _problem(8, 6, 3)
    C = torch.cdist(x, y).square()
    rows = torch.kron(torch.eye(8), torch.ones(6)).numpy()
    columns = torch.ones(8, 1).kron(torch.eye(6)).reshape(8, 6, 6).permute(2, 0, 1).reshape(6, 48).numpy()
    import numpy as np

    program = linprog(C.flatten().numpy(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b]))
    found = sinkhorn(a, b, C, 1e-6)
    assert found.converged
    assert -1e-9 <= found.cost.value.item() - program.fun <= 1e-6 * math.log(8) + found.cost.error.item() + 1e-9


def test_newton_steps_converge_where_scaling_does_not():
    a, b, x, y = _problem(60, 60, 0)
    C = torch.cdist(x, y).square()
    value, f, g = _scaled(a, b, C, 1e-3, 200)
    rows = (a[:, None] * b * ((f[:, None] + g - C) / 1e-3).exp()).sum(0)
    assert (rows - b).abs().sum() > 1e-4
    found = sinkhorn(a, b, C, 1e-3, tolerance=1e-12)
    assert found.converged and found.iterations < 400
    assert found.cost.error.item() < 1e-11
    assert found.cost.value.item() > value


def test_atoms_without_weight():
    a, b, x, y = _problem(5, 6, 1)
    C = torch.cdist(x, y).square()
    a, b = a.clone(), b.clone()
    a[2], b[0] = 0.0, 0.0
    a, b = a / a.sum(), b / b.sum()
    found = sinkhorn(a, b, C, 0.3, tolerance=1e-13)
    assert (found.plan[2] == 0).all() and (found.plan[:, 0] == 0).all()
    assert torch.allclose(found.plan.sum(1), a, rtol=1e-13)
    # the potential there is the slope: what a little weight would cost
    h = 1e-6
    moved = (1 - h) * a
    moved[2] += h
    rise = sinkhorn(moved, b, C, 0.3, tolerance=1e-14).cost.value - found.cost.value
    f, _ = found.potentials
    assert (rise / h).item() == pytest.approx((f[2] - f @ a).item(), abs=1e-3)


def test_gradients():
    a, b, x, y = _problem(4, 5, 2)

    def value(a, b, C):
        return sinkhorn(a / a.sum(), b / b.sum(), C, 0.5, tolerance=1e-14).cost.value

    inputs = [t.clone().requires_grad_() for t in (a, b, torch.cdist(x, y).square())]
    assert torch.autograd.gradcheck(value, inputs, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8, 1e100])
def test_costs_of_any_size_and_sign(scale):
    a, b, x, y = _problem(5, 6, 4)
    C = torch.cdist(x, y).square() - 2.0
    found = sinkhorn(a, b, scale * C, scale * 0.2, tolerance=1e-12)
    assert (found.cost.value / scale).item() == pytest.approx(_scaled(a, b, C, 0.2)[0], rel=1e-11)
    assert sinkhorn(a, b, torch.zeros_like(C), 1.0).cost.value.item() == pytest.approx(0.0, abs=1e-14)


def test_float32_and_lists():
    a, b, x, y = _problem(20, 25, 5)
    C = torch.cdist(x, y).square()
    exact = sinkhorn(a, b, C, 0.1).cost.value.item()
    found = sinkhorn(a.float(), b.float(), C.float(), 0.1)
    assert found.cost.value.dtype == torch.float32 and found.converged
    assert abs(found.cost.value.item() - exact) <= found.cost.error.item() + 1e-6
    assert found.cost.error.item() < 1e-3
    assert sinkhorn([1.0], [0.5, 0.5], [[1.0, 3.0]], 1).cost.value.item() == pytest.approx(2.0)


def test_blocks_give_what_the_whole_matrix_gives(monkeypatch):
    a, b, x, y = _problem(37, 53, 6)
    C = torch.cdist(x, y).square()
    for epsilon in (0.1, 1.0):
        whole = couple(Costs(x=x, y=y), a, b, epsilon)
        with monkeypatch.context() as patch:
            patch.setattr(couplings, "STORED", 800)
            costs = Costs(x=x, y=y)
            assert not costs.stored and len(list(costs.blocks())) > 5
            parts = couple(costs, a, b, epsilon)
            flipped = couple(costs.transposed(), b, a, epsilon)
        assert parts.converged
        for other in (parts, flipped):
            assert abs(other.cost.value - whole.cost.value) <= whole.cost.error + other.cost.error
        assert torch.allclose(parts.plan, flipped.plan.mT, atol=1e-8)
        assert (
            abs(_objective(parts.plan, a, b, C, epsilon) - whole.cost.value.item())
            <= 2 * whole.cost.error.item() + 1e-8
        )


def test_a_law_with_itself():
    a, _, x, _ = _problem(30, 30, 7)
    for epsilon in (1e-4, 0.1, 50.0):
        found = couple(Costs(x=x, y=x), a, a, epsilon, symmetric=True)
        general = couple(Costs(x=x, y=x), a, a, epsilon)
        assert found.converged and found.iterations <= 80
        assert abs(found.cost.value - general.cost.value) <= found.cost.error + general.cost.error


def test_what_did_not_converge_says_so():
    a, b, x, y = _problem(30, 30, 8)
    C = torch.cdist(x, y).square()
    with pytest.warns(RuntimeWarning, match="did not converge in"):
        found = sinkhorn(a, b, C, 1e-3, max_iterations=1)
    assert not found.converged and not found.cost.converged
    assert found.cost.error.item() > 1e-4


def test_progress_is_reported():
    a, b, x, y = _problem(30, 30, 9)
    seen = []
    sinkhorn(a, b, torch.cdist(x, y).square(), 0.05, progress=lambda done, most: seen.append((done, most)))
    assert seen[-1][1] == 5000 and [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_what_is_refused():
    a, C = [0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]]
    with pytest.raises(ValueError, match="a must sum to one"):
        sinkhorn([0.5, 0.6], a, C, 1.0)
    with pytest.raises(ValueError, match="b must not be negative"):
        sinkhorn(a, [1.5, -0.5], C, 1.0)
    with pytest.raises(ValueError, match="cost must have shape"):
        sinkhorn(a, a, [[0.0, 1.0]], 1.0)
    with pytest.raises(ValueError, match="cost must be finite"):
        sinkhorn(a, a, [[0.0, math.inf], [1.0, 0.0]], 1.0)
    for epsilon in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="epsilon must be"):
            sinkhorn(a, a, C, epsilon)
    with pytest.raises(ValueError, match="epsilon must be a single number"):
        sinkhorn(a, a, C, [1.0, 2.0])
    with pytest.raises(ValueError, match="max_iterations must be"):
        sinkhorn(a, a, C, 1.0, max_iterations=0)
    with pytest.raises(ValueError, match="a must not be empty"):
        sinkhorn(_t([]), a, torch.zeros(0, 2), 1.0)


@pytest.mark.gpu
def test_on_an_accelerator():
    if not torch.cuda.is_available():
        pytest.skip("no accelerator")
    a, b, x, y = _problem(300, 400, 10)
    for epsilon in (0.01, 1.0):
        here = couple(Costs(x=x, y=y), a, b, epsilon)
        there = couple(Costs(x=x.cuda(), y=y.cuda()), a.cuda(), b.cuda(), epsilon)
        assert there.cost.value.is_cuda and there.plan.is_cuda
        assert abs(there.cost.value.cpu() - here.cost.value) <= here.cost.error + there.cost.error.cpu()
