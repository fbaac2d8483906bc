"""Perron roots: enclosures that hold, processes that are refused."""

import pytest
import torch

from infotherm.processes import MarkovJump
from infotherm.thermodynamics.tilting import perron_root, require_irreducible

F64 = torch.float64


def test_the_enclosure_holds_the_root_and_the_law_is_that_of_both_eigenvectors():
    matrix = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=F64).mul(2).exp()
    off = matrix.clone().fill_diagonal_(0.0)
    root = perron_root(off.log(), matrix.diagonal(), off.log().abs().nan_to_num(posinf=0.0))
    values, right = torch.linalg.eig(matrix)
    best = int(values.real.argmax())
    assert abs(root.value - values[best].real) <= root.error + 1e-12 and bool(root.converged)
    left = torch.linalg.inv(right)[best]
    assert torch.allclose(root.law, (left * right[:, best]).real, rtol=1e-9)
    other = matrix.clone()
    other[0, 1] *= 2
    assert (
        abs(perron_root(other.clone().fill_diagonal_(0.0).log(), other.diagonal(), 0 * other).value - root.value) > 1e-3
    )


def test_states_that_are_left_for_good_are_named():
    with pytest.raises(ValueError, match=r"a current needs .*; states \[0\] are left for good"):
        require_irreducible(MarkovJump([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), "a current")
    with pytest.raises(ValueError, match="fall apart into closed classes"):
        require_irreducible(
            MarkovJump([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]),
            "a current",
        )
    require_irreducible(MarkovJump([[0.0, 1.0], [1.0, 0.0]]), "a current")
