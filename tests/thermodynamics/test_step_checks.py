"""A step that is too coarse: refused before, during or told after the run."""

import pytest
import torch

import infotherm as it
from infotherm.processes import (
    AffineDiffusion,
    Langevin,
    OrnsteinUhlenbeck,
    UnderdampedLangevin,
)
from infotherm.thermodynamics import simulate

F64 = torch.float64
NORMAL = it.Gaussian(0.0, 1.0)
SQUARE = it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
TRAP = AffineDiffusion([[-1.0]], 2**0.5, lambda t: t[..., None])
MOVED = {"potential": lambda x, c: 0.5 * ((x - c) ** 2).sum(-1), "protocol": lambda t: t}
ROTATING = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)


def test_a_step_that_is_too_coarse_is_told():
    with pytest.warns(RuntimeWarning, match="too coarse for euler-maruyama"):
        simulate(TRAP, NORMAL, 2.0, 20_000, 4, generator=0, method="euler-maruyama")
    with pytest.raises(ValueError, match=r"step 0.5 is too large for euler-maruyama.*stable below 0.4"):
        simulate(OrnsteinUhlenbeck(5.0, 1.0), NORMAL, 5.0, 100, 10, method="euler-maruyama")
    particle = UnderdampedLangevin(potential=lambda x: 50 * (x**2).sum(-1))
    with pytest.raises(ValueError, match=r"too large for baoab: the drift pulls back at rate 10"):
        simulate(particle, SQUARE, 5.0, 100, 10)
    quartic = Langevin(potential=lambda x: (x**4).sum(-1), sigma=1.0)
    with pytest.raises(ValueError, match=r"paths left every bound before time"):
        simulate(quartic, it.Gaussian(0.0, 0.05), 1000.0, 4000, 5000, final_law=False, generator=0)
