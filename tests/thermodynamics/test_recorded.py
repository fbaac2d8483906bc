"""Parts, blocks and windows of recorded data."""

import math

import pytest
import torch

from infotherm.thermodynamics.recorded import (
    as_integers,
    as_paths,
    block_means,
    held_out_bound,
    parts,
    steps_of,
    wrapped,
)

F64 = torch.float64


def test_parts_are_disjoint_and_whole():
    many = torch.arange(100)[:, None].expand(100, 3)
    first, second, third = parts(many, (0.5, 0.2, 0.3))
    assert [len(p) for p in (first, second, third)] == [50, 20, 30]
    assert sorted(torch.cat([first, second, third])[:, 0].tolist()) == list(range(100))
    assert first[:, 0].float().mean() == pytest.approx(49.5, abs=15)  # not the first 50
    record = torch.arange(10)[None]
    assert [p.tolist() for p in parts(record, (0.5, 0.5))] == [[[0, 1, 2, 3, 4]], [[5, 6, 7, 8, 9]]]


def test_reversal_keeps_midpoints_and_flips_steps():
    paths = 7 * torch.rand(5, 20, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    periods = torch.tensor([2.0, math.inf], dtype=F64)
    middle, moved = steps_of(paths, periods)
    back, opposite = steps_of(paths.flip(1), periods)
    assert torch.allclose(moved, -opposite.flip(1), atol=1e-12)
    assert torch.allclose(middle[..., 1], back.flip(1)[..., 1])
    around = (middle - back.flip(1))[..., 0]
    assert wrapped(around, torch.tensor(2.0)).abs().max() < 1e-12
    assert moved[..., 0].abs().max() <= 1 and 0 <= middle[..., 0].min() <= middle[..., 0].max() < 2


def test_blocks():
    terms = torch.arange(70, dtype=F64)[None]
    assert block_means(terms).tolist() == [[2 * i + 0.5 for i in range(32)]]
    assert block_means(torch.ones(40, 7)).shape == (40, 1)
    assert block_means(torch.ones(20, 7)).shape == (20, 2)


def test_the_standard_error_is_that_of_blocks():
    """Terms that last for 20 steps: naively sqrt(20) too small; blocks of 100 know."""
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(500, 1, 160, dtype=F64, generator=generator).repeat_interleave(20, -1)
    found = [held_out_bound("name", [row], per=2.0, streams=()) for row in z]
    values, errors = torch.stack([e.value for e in found]), torch.stack([e.stderr for e in found])
    assert 0.95 < errors.mean() / values.std() < 1.3
    assert values.std().item() == pytest.approx(1 / math.sqrt(160) / 2, rel=0.1)
    skewed = -torch.rand(1, 6400, dtype=F64, generator=generator).log() + 1
    assert held_out_bound("name", [-skewed], per=1.0, streams=()).stderr > 0.99 / 80


def test_correlated_blocks_are_told():
    slow = torch.sin(torch.linspace(0, 12, 3200, dtype=F64))[None]
    with pytest.warns(UserWarning, match="name: neighbouring blocks of the record are correlated"):
        assert held_out_bound("name", [slow], per=1.0, streams=()).kind == "unknown"


def test_integers_and_shapes():
    assert as_integers([[1, 2]], "states").dtype == torch.int64
    assert as_integers(torch.tensor([1], dtype=torch.int32), "states").tolist() == [1]
    for given in ([1.0, 2.0], torch.zeros(3), ["a"]):
        with pytest.raises(TypeError, match="states must hold integers; got dtype"):
            as_integers(given, "states")
    with pytest.raises(ValueError, match="with n_times >= 2; got"):
        as_paths([[1.0, 2.0]])
    assert as_paths(torch.rand(5, 3, dtype=torch.float32)).shape == (1, 5, 3)
