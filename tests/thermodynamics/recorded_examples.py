"""Exact records for tests of inference from data, and what their steps show in truth."""

import json
import math
from pathlib import Path

import numpy as np
import torch

from infotherm.distributions import Gaussian
from infotherm.information import kl
from infotherm.processes import OrnsteinUhlenbeck

F64 = torch.float64
REFERENCES = {
    case["name"]: case
    for case in json.loads(
        (Path(__file__).parents[2] / "validation/references/thermodynamics_from_data.json").read_text(encoding="utf-8")
    )
}
EQUILIBRIUM = ([[2.0, -1.0], [-1.0, 2.0]], [1.0, 1.0])


def linear(name):
    """Rate matrix and diffusion of a reference."""
    spec = REFERENCES[name]["spec"]
    return spec["rate"], spec["diffusion"]


def step_of(rate, diffusion, step):
    """Stationary covariance, gain and noise covariance of one exact step."""
    process = OrnsteinUhlenbeck(rate, torch.diag((2 * torch.tensor(diffusion, dtype=F64)).sqrt()))
    channel, zero = process.transition(0.0, step), torch.zeros(len(diffusion), dtype=F64)
    gain = torch.stack([channel(unit).mean for unit in torch.eye(len(diffusion), dtype=F64)], -1).squeeze()
    return process.quasi_invariant(0.0).covariance, gain, channel(zero).covariance


def linear_paths(rate, diffusion, step, n_paths, n_times, seed):
    """Stationary trajectories (n_paths, n_times, D) from the exact transition."""
    covariance, gain, noise = step_of(rate, diffusion, step)
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(n_times, n_paths, len(diffusion), dtype=F64, generator=generator)
    kicks, points = normal @ torch.linalg.cholesky(noise).mT, [normal[0] @ torch.linalg.cholesky(covariance).mT]
    for kick in kicks[1:]:
        points.append(points[-1] @ gain.mT + kick)
    return torch.stack(points, 1)


def pair_covariance(rate, diffusion, step):
    """Covariance of (x, x')."""
    covariance, gain, _ = step_of(rate, diffusion, step)
    together = gain @ covariance
    return torch.cat([torch.cat([covariance, together.mT], 1), torch.cat([together, covariance], 1)])


def pair_divergence(rate, diffusion, step):
    """D(p(x, x') || p(x', x)) / dt: what steps show."""
    pair, dim = pair_covariance(rate, diffusion, step), len(diffusion)
    back = pair.roll((dim, dim), (0, 1))
    mean = torch.zeros(2 * dim, dtype=F64)
    return float(kl(Gaussian(mean, pair), Gaussian(mean, back))) / step


def drifting_ring(velocity, step, n_paths, n_times, seed):
    """Free Brownian motion with drift and D = 1, not wrapped: the rate is velocity^2, at every time step."""
    generator = torch.Generator().manual_seed(seed)
    start = 2 * math.pi * torch.rand(n_paths, 1, 1, dtype=F64, generator=generator)
    kicks = torch.randn(n_paths, n_times, 1, dtype=F64, generator=generator)
    return start + (velocity * step + math.sqrt(2 * step) * kicks).cumsum(1)


def corrugated_ring(n_paths, n_times, every, seed):
    """Drift 1 + sin x and D = 1, by steps of 0.001 (their error is far below the random one), every 0.001 `every`."""
    generator, h = torch.Generator().manual_seed(seed), 0.001
    x = 2 * math.pi * torch.rand(n_paths, dtype=F64, generator=generator)
    points = []
    for i in range(2000 + n_times * every):
        x = x + h * (1 + x.sin()) + math.sqrt(2 * h) * torch.randn(n_paths, dtype=F64, generator=generator)
        if i >= 2000 and (i - 2000) % every == 0:
            points.append(x)
    return torch.stack(points, 1)[..., None]


def chain_states(matrix, n_paths, n_times, seed):
    """Stationary sequences (n_paths, n_times) of a Markov chain, and its entropy production per step."""
    rng, matrix = np.random.default_rng(seed), np.asarray(matrix, dtype=float)
    size = len(matrix)
    law = np.linalg.lstsq(np.vstack([matrix.T - np.eye(size), np.ones(size)]), np.eye(size + 1)[size], rcond=None)[0]
    states, below = [rng.choice(size, size=n_paths, p=law / law.sum())], matrix.cumsum(1)
    for _ in range(n_times - 1):
        states.append((rng.random(n_paths)[:, None] > below[states[-1]]).sum(1).clip(max=size - 1))
    flow = law[:, None] * matrix
    moves = flow > 0
    return np.stack(states, 1), float((flow[moves] * np.log(flow[moves] / flow.T[moves])).sum())


def jump_record(rates, jumps, seed):
    """States (jumps + 1,) of a jump process and the times (jumps,) of its jumps."""
    rng, rates = np.random.default_rng(seed), np.asarray(rates, dtype=float)
    exits = rates.sum(1)
    below = (rates / exits[:, None]).cumsum(1).tolist()
    uniform, waits, states = rng.random(jumps).tolist(), rng.exponential(size=jumps), [0]
    for u in uniform:
        row = below[states[-1]]
        states.append(next((j for j, height in enumerate(row) if u <= height), len(row) - 1))
    visited = np.array(states)
    return visited, (waits / exits[visited[:-1]]).cumsum()
