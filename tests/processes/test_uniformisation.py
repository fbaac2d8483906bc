"""Exponentials of generators and their integrals against many digits, to the error that they state."""

import mpmath
import numpy as np
import pytest
import torch
from scipy.linalg import expm

from infotherm.processes.uniformisation import rows_summing_to, stochastic_exponential

F64 = torch.float64
EPS = torch.finfo(F64).eps
CYCLE = [[0.0, 3.0, 0.5], [1.0, 0.0, 2.0], [0.7, 0.2, 0.0]]
STIFF = [[0.0, 1e4, 0.0], [0.3, 0.0, 1e-7], [2e-5, 0.0, 0.0]]
ONE_WAY = [[0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]


def to_many_digits(rates, duration):
    """exp(L t) and its integral: the upper blocks of exp of ((L, 1), (0, 0)) t."""
    size = len(rates)
    with mpmath.workdps(60):
        large = mpmath.zeros(2 * size)
        for i in range(size):
            for j in range(size):
                if i != j:
                    large[i, j] = mpmath.mpf(rates[i][j])
                    large[i, i] -= large[i, j]
            large[i, size + i] = 1
        large = large * (mpmath.mpf(duration) / 2**24)
        total = term = mpmath.eye(2 * size)
        for k in range(1, 20):
            term = term * large / k
            total = total + term
        for _ in range(24):
            total = total * total
        blocks = [[[total[i, k + j] for j in range(size)] for i in range(size)] for k in (0, size)]
        return [torch.tensor(np.array(block, dtype=float), dtype=F64) for block in blocks]


@pytest.mark.parametrize("rates", [CYCLE, STIFF, ONE_WAY], ids=["cycle", "stiff", "one way"])
@pytest.mark.parametrize("duration", [1e-6, 0.8, 30.0])
def test_every_entry_keeps_its_digits(rates, duration):
    matrix, passed, units = stochastic_exponential(torch.tensor(rates, dtype=F64), torch.tensor(duration, dtype=F64))
    exact, integral = to_many_digits(rates, duration)
    bound = (units * EPS).item()
    assert bound < 1e-10
    assert bool(((matrix - exact).abs() <= bound * exact).all())
    assert bool(((passed - integral).abs() <= bound * integral).all())


def test_batches_are_those_of_expm():
    generator = torch.Generator().manual_seed(0)
    rates = torch.rand(4, 5, 5, generator=generator, dtype=F64) * (1 - torch.eye(5, dtype=F64))
    durations = torch.tensor([0.0, 0.1, 1.0, 20.0], dtype=F64)
    matrix, passed, units = stochastic_exponential(rates, durations)
    assert units.shape == (4,)
    for k in range(4):
        slow = rates[k].numpy() - np.diag(rates[k].sum(-1).numpy())
        large = np.block([[slow, np.eye(5)], [np.zeros((5, 10))]]) * durations[k].item()
        np.testing.assert_allclose(matrix[k].numpy(), expm(large)[:5, :5], rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(passed[k].numpy(), expm(large)[:5, 5:], rtol=1e-11, atol=1e-14)
    torch.testing.assert_close(matrix.sum(-1), torch.ones(4, 5, dtype=F64), rtol=4 * EPS, atol=0)
    torch.testing.assert_close(passed.sum(-1), durations[:, None].expand(4, 5), rtol=4 * EPS, atol=0)
    assert torch.equal(matrix[0], torch.eye(5, dtype=F64)) and not passed[0].any()


def test_gradients_are_differences():
    rates = torch.tensor([[0.0, 3.0], [0.7, 0.0]], dtype=F64, requires_grad=True)
    duration = torch.tensor(1.3, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r, t: stochastic_exponential(r, t)[:2], (rates, duration))


def test_rows_are_scaled():
    found = rows_summing_to(torch.tensor([1.0, 2.0], dtype=F64), torch.tensor([[[1.0, 3.0]], [[4.0, 4.0]]], dtype=F64))
    assert found.tolist() == [[[0.25, 0.75]], [[1.0, 1.0]]]
