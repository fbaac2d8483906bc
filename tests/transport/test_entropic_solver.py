"""The solver's parts: levels, directions, steps that help."""

import pytest
import torch

from infotherm.transport import entropic_solver
from infotherm.transport.couplings import Costs
from infotherm.transport.entropic_solver import Solver, _conjugate_gradients, _levels, _misplaced


def _solver(n=40, m=45, **options):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(k, 2, dtype=torch.float64, generator=generator) for k in (n, m))
    a, b = (torch.rand(k, dtype=torch.float64, generator=generator) + 0.1 for k in (n, m))
    return Solver(Costs(x=x, y=y), a / a.sum(), b / b.sum(), **{"tolerance": 1e-10, "max_iterations": 5000} | options)


def test_levels_come_down_to_epsilon_by_fours():
    assert _levels(100.0, 1.0) == [64.0, 16.0, 4.0]
    assert _levels(49.0, 1.0) == [] and _levels(0.0, 1.0) == []


def test_directions_solve_the_linear_system():
    solver = _solver()
    coupling = solver._at(torch.zeros(40, dtype=torch.float64), 0.5)
    rows = coupling.times(torch.ones(45, dtype=torch.float64))
    residual = solver.a - rows
    P = coupling.matrix
    ridge = 0.1 * residual.abs().sum() ** 2
    system = torch.diag(rows * (1 + ridge)) - P @ torch.diag(1 / solver.b) @ P.mT
    for dense, accuracy in ((True, 1e-9), (False, 0.3)):
        solver.dense = dense
        found = solver._direction(coupling, rows, residual)
        missed = (system @ found - residual) / rows.sqrt()
        assert missed.norm() <= accuracy * (residual / rows.sqrt()).norm()


def test_every_newton_step_raises_the_dual():
    solver = _solver()
    coupling = solver._at(torch.zeros(40, dtype=torch.float64), 0.05)
    for _ in range(40):
        after = solver._newton(coupling)
        assert after.dual >= coupling.dual - 1e-13
        coupling = after
    assert _misplaced(coupling) < 1e-9


def test_conjugate_gradients_and_the_dense_solution_agree(monkeypatch):
    values = []
    for small in (0, 10**6):
        monkeypatch.setattr(entropic_solver, "_SMALL", small)
        found = _solver().solve(0.02)
        assert found.converged
        values.append(found.certificate.dual)
    assert values[0] == pytest.approx(values[1], abs=1e-8)
    matrix = torch.diag(torch.linspace(1.0, 1e9, 60, dtype=torch.float64))
    ones = torch.ones(60, dtype=torch.float64)
    assert _conjugate_gradients(lambda z: matrix @ z, ones, 1e-12) is None
    assert _conjugate_gradients(lambda z: 2 * z, ones, 1e-12).tolist() == [0.5] * 60


def test_iterations_are_counted_and_limited():
    found = _solver(max_iterations=3).solve(1e-3)
    assert not found.converged and found.iterations <= 3 + 40
