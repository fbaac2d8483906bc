"""Blocks of paths: each has random numbers of its own, so that a seed gives the same paths however they are grouped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from infotherm.core.tensors import Generator, as_generator, chunks, stream_of

# paths a block: a few arrays of them fit into the nearest caches of one core; a large device wants more at once
_PATHS = {"cpu": 16_384, "cuda": 1 << 20}


def block_seeds(generator: Generator, device: torch.device) -> tuple[int, str]:
    """The seed that all blocks of a run derive theirs from, and the name of the stream that it came from."""
    drawn = as_generator(generator, device)
    stream = stream_of(drawn, device)
    return int(torch.randint(2**62, (), generator=drawn, device=device).item()), stream


def blocks(n_paths: int, seed: int, device: torch.device) -> Iterator[tuple[slice, torch.Generator, NormalNoise]]:
    """The blocks of a run: which paths, a generator for their initial states, and their noise."""
    for number, part in enumerate(chunks(n_paths, _PATHS.get(device.type, _PATHS["cuda"]))):
        digest = hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=16).digest()
        own = int.from_bytes(digest[:8], "big") >> 1
        yield part, torch.Generator(device).manual_seed(own), NormalNoise(digest, device)


class NormalNoise:
    """Standard normal numbers, written into the same tensor again and again.

    In float64 on a CPU they come from numpy's ziggurat, which is faster than torch's transformation of uniform numbers;
    elsewhere from torch.
    """

    def __init__(self, digest: bytes, device: torch.device) -> None:
        seed = int.from_bytes(digest[8:], "big")
        self._torch = torch.Generator(device).manual_seed(seed >> 1)
        self._numpy = np.random.Generator(np.random.SFC64(seed))

    def fill(self, noise: Tensor) -> Tensor:
        """Fresh numbers in place of the old ones."""
        if noise.dtype == torch.float64 and noise.device.type == "cpu":
            self._numpy.standard_normal(out=noise.numpy())
            return noise
        return noise.normal_(generator=self._torch)
