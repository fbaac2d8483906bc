"""Transport between samples: against assignment by another solver, potentials feasible and tight."""

import builtins

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import infotherm as it
from infotherm.transport.plug_in import plug_in


def normal(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("sizes", [(40, 40), (30, 50), (40, 20), (7, 1)])
def test_potentials_are_feasible_and_reach_the_distance(dim, sizes):
    for x, y in (
        (normal(0, sizes[0], dim), 2 * normal(1, sizes[1], dim) + 1),
        (normal(2, sizes[0], dim).sign(), normal(3, sizes[1], dim).round()),
    ):
        found = plug_in(x, y)
        cost = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
        assert (cost - found.u[:, None] - found.v).min().item() >= -1e-12 * cost.max().item()
        assert (found.u.mean() + found.v.mean()).item() == pytest.approx(found.square.item(), abs=1e-12)
        other = it.wasserstein2(it.Empirical(x), it.Empirical(y)).value.item() ** 2
        assert abs(other - found.square.item()) <= found.error.item() + 1e-13 * other


@pytest.mark.parametrize("dim", [1, 2])
def test_value_and_partners_against_another_solver(dim):
    x, y = normal(0, 60, dim), normal(1, 60, dim) + 1
    found = plug_in(x, y)
    cost = ((x[:, None] - y[None]) ** 2).sum(-1).numpy()
    rows, columns = linear_sum_assignment(cost)
    assert found.square.item() == pytest.approx(cost[rows, columns].mean(), abs=found.error.item() + 1e-14)
    np.testing.assert_array_equal(found.partners.numpy(), columns)


def test_without_pot_a_line_still_works_and_the_plane_names_the_package(monkeypatch):
    load = builtins.__import__

    def refuse(name, *rest, **named):
        if name == "ot":
            raise ModuleNotFoundError("no module named ot")
        return load(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert plug_in(normal(0, 5, 1), normal(1, 5, 1)).square > 0
    with pytest.raises(ModuleNotFoundError, match="POT"):
        plug_in(normal(0, 5, 2), normal(1, 5, 2))
