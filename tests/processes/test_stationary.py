"""Closed classes and absorbing states."""

import pytest
import torch

from infotherm.processes.stationary import reachable, stationary_law

F64 = torch.float64


def test_reach():
    line = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert reachable(line).tolist() == [[True, True, True], [False, True, True], [False, False, True]]


def test_an_absorbing_state_is_named():
    line = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=F64)
    with pytest.raises(ValueError, match="state 2 is absorbing: nothing leads out of it"):
        stationary_law(line)
    assert stationary_law(torch.zeros(1, 1, dtype=F64)).tolist() == [1.0]
