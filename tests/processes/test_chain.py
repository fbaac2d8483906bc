"""Discrete-time chains: powers, stationary laws, whole numbers of steps."""

import pytest
import torch

from infotherm.distributions import Discrete
from infotherm.processes import MarkovChain, steady_state

F64 = torch.float64
MATRIX = torch.tensor([[0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.4, 0.1, 0.5]], dtype=F64)


def test_transitions_are_powers():
    chain = MarkovChain(MATRIX)
    steps = torch.tensor([0, 1, 2, 7, 100])
    found = chain.transition(torch.tensor(3), 3 + steps).matrix
    for n, matrix in zip(steps.tolist(), found, strict=True):
        assert torch.allclose(matrix, torch.linalg.matrix_power(MATRIX, n), rtol=1e-13, atol=1e-16)
    assert torch.equal(found[0], torch.eye(3, dtype=F64))
    start = Discrete([1.0, 0.0, 0.0])
    assert torch.allclose(chain.marginal(start, 2).pmf, (MATRIX @ MATRIX)[0])
    assert not torch.allclose(chain.marginal(start, 2).pmf, (MATRIX @ MATRIX)[:, 0], rtol=0.1)


def test_the_steady_state_is_kept():
    law = steady_state(MarkovChain(MATRIX)).pmf
    assert torch.allclose(law @ MATRIX, law, rtol=1e-14)
    periodic = MarkovChain([[0.0, 1.0], [1.0, 0.0]])
    assert steady_state(periodic).pmf.tolist() == [0.5, 0.5] and periodic.has_detailed_balance()
    assert not MarkovChain(MATRIX).has_detailed_balance()


def test_batches():
    batch = MarkovChain(torch.stack([MATRIX, torch.eye(3, dtype=F64)[[1, 2, 0]]]))
    assert batch.transition(0, [[1], [2], [3]]).matrix.shape == (3, 2, 3, 3)
    assert torch.allclose(batch.transition(0, 3).matrix[1], torch.eye(3, dtype=F64))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MarkovChain([[0.5, 0.5], [0.2, 0.7]]), r"rows must sum to 1; row 1 sums to 0.9"),
        (lambda: MarkovChain([[[1.0]], [[0.5]]]), r"rows must sum to 1; row \[1, 0\] sums to 0.5"),
        (lambda: MarkovChain([[1.5, -0.5], [0.0, 1.0]]), r"matrix must be >= 0; got -0.5 at index \[0, 1\]"),
        (lambda: MarkovChain([[0.5, float("nan")], [0.0, 1.0]]), "matrix must be finite"),
        (lambda: MarkovChain([0.5, 0.5]), r"matrix must have shape \(..., K, K\)"),
        (lambda: MarkovChain(MATRIX).transition(0, 1.5), "t1 must be a whole number of steps; got 1.5"),
        (lambda: MarkovChain(MATRIX).transition(2, 1), "t1 must not be before t0"),
        (lambda: steady_state(MarkovChain([[0.5, 0.5], [0.0, 1.0]])), "state 1 is absorbing"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_no_states_are_refused():
    with pytest.raises(ValueError, match="matrix must be that of at least one state"):
        MarkovChain(torch.zeros(0, 0))
