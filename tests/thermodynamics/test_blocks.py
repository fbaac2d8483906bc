"""Blocks: whose random numbers do not depend on how many there are, and are independent of each other."""

import torch

from infotherm.core.tensors import as_generator, stream_of
from infotherm.thermodynamics.blocks import block_seeds, blocks

CPU = torch.device("cpu")


def numbers(n, seed, dtype):
    return [noise.fill(torch.empty(part.stop - part.start, 1, dtype=dtype)) for part, _, noise in blocks(n, seed, CPU)]


def test_blocks_cover_all_paths_once():
    parts = [part for part, _, _ in blocks(40_000, 1, CPU)]
    assert [p.start for p in parts] == [0, 16_384, 32_768] and parts[-1].stop == 40_000


def test_noise_is_standard_normal_and_independent_between_blocks():
    for dtype in (torch.float32, torch.float64):
        first, second = numbers(32_768, 5, dtype)
        for noise in (first, second):
            assert abs(noise.mean()) < 4.5 / 128 and abs(noise.var() - 1) < 4.5 * 2**0.5 / 128
        assert abs((first * second).mean()) < 4.5 / 128
        assert torch.equal(first, numbers(20_000, 5, dtype)[0])


def test_the_seed_is_drawn_from_the_generator():
    seed, stream = block_seeds(7, CPU)
    assert (seed, stream) == block_seeds(7, CPU) and seed != block_seeds(8, CPU)[0]
    generator = as_generator(7)
    assert stream == stream_of(generator)
    block_seeds(generator, CPU)
    assert block_seeds(generator, CPU)[0] != seed
