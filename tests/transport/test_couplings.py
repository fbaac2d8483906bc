"""Costs and couplings: marginals, certificates, blocks."""

import pytest
import torch

from infotherm.transport import couplings
from infotherm.transport.couplings import Costs, Coupling, certificate, exponentials, row_transform


def _draws(n, dim, seed):
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


X, Y = _draws(7, 2, 0), _draws(9, 2, 1)
A, B = (torch.full((n,), 1 / n, dtype=torch.float64) for n in (7, 9))


def test_potentials_are_soft_minima():
    f = _draws(7, 1, 2)[:, 0]
    costs = Costs(x=X, y=Y)
    coupling = Coupling(costs, A, B, f, 0.3)
    C = (X[:, None] - Y).square().sum(-1)
    g = -0.3 * torch.logsumexp((f[:, None] - C) / 0.3 + A.log()[:, None], 0)
    assert torch.allclose(coupling.g, g, rtol=1e-13)
    assert torch.allclose(coupling.matrix, A[:, None] * B * ((f[:, None] + g - C) / 0.3).exp(), rtol=1e-12)
    assert torch.allclose(coupling.transposed_times(torch.ones(7).double()), B, rtol=1e-14)
    back = -0.3 * torch.logsumexp((g - C) / 0.3 + B.log(), 1)
    assert torch.allclose(row_transform(costs, B, g, 0.3), back, rtol=1e-13)
    assert coupling.transported() == pytest.approx(float((coupling.matrix * C).sum()))


def test_the_certificate_bounds_the_rounded_coupling():
    for seed in range(20):
        f = 2 * _draws(7, 1, seed)[:, 0]
        coupling = Coupling(Costs(x=X, y=Y), A, B, f, 0.5)
        found = certificate(coupling, coupling.costs.largest())
        assert coupling.matrix is not None and coupling.costs.matrix is not None
        plan = coupling.matrix * found.shrink[:, None] + found.left[:, None] * found.right / found.left.sum()
        assert torch.allclose(plan.sum(1), A, rtol=1e-13) and torch.allclose(plan.sum(0), B, rtol=1e-13)
        value = (plan * coupling.costs.matrix).sum() + 0.5 * torch.special.xlogy(plan, plan * 63).sum()
        assert found.dual <= value.item() <= found.dual + found.gap + found.rounding


def test_blocks(monkeypatch):
    f = _draws(7, 1, 2)[:, 0]
    whole = Coupling(Costs(x=X, y=Y), A, B, f, 0.3)
    monkeypatch.setattr(couplings, "STORED", 60)
    parts = Coupling(Costs(x=X, y=Y), A, B, f, 0.3)
    assert parts.matrix is None
    assert torch.allclose(parts.g, whole.g, rtol=1e-14)
    v, u = _draws(9, 1, 3), _draws(7, 1, 4)
    assert torch.allclose(parts.times(v), whole.times(v), rtol=1e-12)
    assert torch.allclose(parts.transposed_times(u), whole.transposed_times(u), rtol=1e-12)
    assert parts.transported() == pytest.approx(whole.transported(), rel=1e-13)
    rows, columns = torch.arange(7) > 2, torch.arange(9) < 5
    kept = parts.costs.kept(rows, columns)
    assert kept.shape == (4, 5) and kept.largest() <= parts.costs.largest()


def test_exponentials_have_normal_squares():
    x = torch.tensor([0.0, -100.0, -350.0, -400.0, -800.0], dtype=torch.float64)
    found = exponentials(x.clone())
    assert torch.equal(found[:3], x[:3].exp()) and found[3:].eq(0).all()
