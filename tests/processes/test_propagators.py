"""Magnus panels: their order, their composition, and jumps that they must not miss."""

import math

import pytest
import torch

from infotherm.processes.propagators import _panelled, compose, varying_drift

F64 = torch.float64
ZERO, ONE = torch.zeros((), dtype=F64), torch.ones((), dtype=F64)


def swirl(t):
    """A drift that turns, breathes and pushes, with noise that grows."""
    a = -1.0 - 0.5 * torch.sin(3 * t)
    matrix = torch.stack([torch.stack([a, 2 * t], -1), torch.stack([-2 * t, a - 0.3], -1)], -2)
    return matrix, torch.stack([torch.cos(t), t], -1), (1 + t)[..., None, None] * torch.eye(2, dtype=F64)


def test_panels_converge_with_order_six():
    best = varying_drift(swirl, ZERO, ONE)
    errors = []
    for panels in (8, 16, 32):
        change, shift, noise = _panelled(swirl, ZERO, ONE, panels)
        parts = (change + torch.eye(2, dtype=F64) - best[0], shift - best[1], noise - best[2])
        errors.append(max(float(part.abs().max()) for part in parts))
    orders = [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
    assert all(5.5 < order < 7.0 for order in orders), (errors, orders)


def test_compose_against_matrices():
    generator = torch.Generator().manual_seed(0)
    steps = []
    for _ in range(2):
        root = torch.randn(2, 2, generator=generator, dtype=F64)
        steps.append(
            (
                torch.randn(2, 2, generator=generator, dtype=F64),
                torch.randn(2, generator=generator, dtype=F64),
                root @ root.mT,
            )
        )
    change, shift, noise = compose(steps[1], steps[0])
    gains = [torch.eye(2, dtype=F64) + step[0] for step in steps]
    assert torch.allclose(change + torch.eye(2, dtype=F64), gains[1] @ gains[0])
    assert torch.allclose(shift, gains[1] @ steps[0][1] + steps[1][1])
    assert torch.allclose(noise, gains[1] @ steps[0][2] @ gains[1].mT + steps[1][2])


@pytest.mark.parametrize("instant", [0.31, 0.4999, 0.5001, 0.7499])
def test_a_jump_is_not_missed(instant):
    """A jump just beside an edge of the first partitions: equal edges in all of them would agree on a wrong number."""

    def jumping(t):
        rate = torch.where(t < instant, -1.0, 5.0).to(F64)[..., None, None]
        return rate, torch.zeros_like(rate[..., 0]), torch.ones_like(rate)

    with pytest.raises(RuntimeError, match="split the interval where the coefficients jump"):
        varying_drift(jumping, ZERO, ONE)


def test_strong_drift_does_not_overflow():
    def strong(t):
        rate = torch.full((*t.shape, 1, 1), -900.0, dtype=F64)
        return rate, torch.zeros_like(rate[..., 0]), torch.ones_like(rate)

    gain, shift, noise = varying_drift(strong, ZERO, ONE)
    assert abs(gain.item()) < 1e-15 and shift.item() == 0.0
    assert noise.item() == pytest.approx(1 / 1800, rel=1e-12)
