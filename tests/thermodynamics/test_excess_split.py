"""Splits into excess and housekeeping: laws over random processes, the order of the two, rings, the plane."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.distributions import Discrete, Gaussian
from infotherm.processes import Langevin, MarkovJump, OrnsteinUhlenbeck, steady_state
from infotherm.processes.grid_density import GridDensity
from infotherm.thermodynamics import entropy_production_rate, excess_housekeeping

F64 = torch.float64
SPLITS = ("hatano-sasa", "maes-netocny")
RING = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=2**0.5, periodic=2 * math.pi)


def check(process, p, t=0.0):
    """Parts that are not negative, with the rate as their sum; housekeeping of Maes and Netocny is the smaller one."""
    rate = entropy_production_rate(process, p, t)
    parts = [excess_housekeeping(process, p, t, split=split) for split in SPLITS]
    for part in parts:
        total = part.total
        assert bool(((total.value - rate.value).abs() <= total.error + rate.error).all())
        for number in (part.excess, part.housekeeping):
            assert bool((number.value >= -number.error).all())
    first, second = (part.housekeeping for part in parts)
    assert bool((second.value <= first.value + first.error + second.error).all())
    return parts


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=30)
def test_affine_processes(seed, dim):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=F64)

    root, turn, spread = draw(dim, dim + 1), draw(dim, dim), draw(dim, dim + 2)
    rate = root @ root.mT / dim + torch.eye(dim, dtype=F64) / 2 + turn - turn.mT
    process = OrnsteinUhlenbeck(rate, torch.eye(dim, dtype=F64) + 0.3 * draw(dim, dim))
    check(process, Gaussian(draw(dim), spread @ spread.mT))
    law = steady_state(process)
    for part in check(process, law):
        assert part.excess.value.item() <= part.excess.error.item() + 1e-12


def test_rotation_about_a_round_law_is_kept_up():
    rotating = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)
    part = excess_housekeeping(rotating, Gaussian([0.0, 0.0], 0.3 * torch.eye(2, dtype=F64)), split="maes-netocny")
    # nu = -x + x / 0.3 is a gradient, the rotation 2 |x| moves nothing: 4 E|x|^2 = 2.4
    assert part.housekeeping.value.item() == pytest.approx(2.4, abs=1e-12)


@pytest.mark.parametrize("law", [Gaussian(1.0, 0.5), Gaussian(2.0, 2.0)])
def test_a_ring(law):
    _, part = check(RING, law)
    assert part.housekeeping.value.item() > 0
    for part in check(RING, steady_state(RING)):
        assert part.excess.value.item() <= part.excess.error.item()
        assert part.housekeeping.value.item() == pytest.approx(0.7747184253032197, abs=1e-9)


def test_nothing_is_kept_up_on_a_line():
    well = Langevin(potential=lambda x: ((x**2 - 1) ** 2).sum(-1), sigma=1.0)
    for part in check(well, Gaussian(0.4, 0.1)):
        assert part.housekeeping.value.item() == 0


def test_the_plane_against_the_closed_form():
    matrix = torch.tensor([[1.0, -2.0], [1.5, 1.0]], dtype=F64)
    law = Gaussian([1.0, 0.0], [[0.5, 0.1], [0.1, 0.3]])
    y = torch.linspace(-6, 6, 121, dtype=F64)
    axes = [1 + 0.5**0.5 * y, 0.3**0.5 * y]
    on_grid = GridDensity(axes, law.log_prob(torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)))
    found = excess_housekeeping(
        Langevin(force=lambda x: -x @ matrix.T, sigma=[1.2, 0.8], mobility=1.0), on_grid, split="maes-netocny"
    )
    expected = excess_housekeeping(
        OrnsteinUhlenbeck(matrix, torch.diag(torch.tensor([1.2, 0.8], dtype=F64))), law, split="maes-netocny"
    )
    for mine, closed in ((found.excess, expected.excess), (found.housekeeping, expected.housekeeping)):
        assert abs((mine.value - closed.value).item()) <= mine.error.item() < 1e-3


def test_refusals():
    with pytest.raises(ValueError, match="split must be"):
        excess_housekeeping(RING, Gaussian(0.0, 1.0), split="other")
    with pytest.raises(ValueError, match="GridDensity with D = 2"):
        excess_housekeeping(Langevin(force=lambda x: -x, sigma=1.0), Gaussian([0.0, 0.0], torch.eye(2)))
    with pytest.raises(ValueError, match="known for diffusions"):
        excess_housekeeping(MarkovJump([[0.0, 1.0], [1.0, 0.0]]), Discrete([0.5, 0.5]), split="maes-netocny")
    with pytest.raises(ValueError, match="singular Gaussian"):
        excess_housekeeping(OrnsteinUhlenbeck(1.0, 1.0), Gaussian(0.0, 0.0), split="maes-netocny")
