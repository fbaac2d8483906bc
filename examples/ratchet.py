# %% [markdown]
# # A flashing ratchet: noise that is rectified
#
# A colloid on a ring feels a lopsided potential that is switched on and off. No force pushes it around, neither on
# average nor at any time, and yet it drifts. The drift is paid for: switching does work.

# %%
import math

import torch

import infotherm as it

pr, th = it.processes, it.thermodynamics
depth, half, flashes = 6.0, 0.6, 6


def potential(x, on):
    """A gentle slope and a steep one in each turn, where it is switched on."""
    return on * depth * (torch.sin(x[..., 0]) + 0.25 * torch.sin(2 * x[..., 0]))


def mirrored(x, on):
    """The same, seen in a mirror."""
    return potential(-x, on)


edges = [0.0] + [half * k for k in range(1, 2 * flashes) for _ in (0, 1)] + [2 * half * flashes]
switch = pr.Protocol(edges, [1.0 - (k // 2) % 2 for k in range(len(edges))])  # on, off, on, off, ...


def run(shape, seed):
    """Paths from the equilibrium of the potential that is on, with the turns and the work of each."""
    ring = pr.Langevin(potential=shape, sigma=2**0.5, protocol=switch, periodic=2 * math.pi)
    turns = {"turns": lambda x: torch.full_like(x, 0.5 / math.pi)}
    start = ring.quasi_invariant(0.0, 1)
    return th.simulate(ring, start, edges[-1], 1500, 150, currents=turns, final_law=False, generator=seed)


# %%
paths = run(potential, seed=0)
turns, work = paths.mean("turns"), paths.mean("work")
print("turns", turns)
print("work ", work)

# %% [markdown]
# The mirror image of the potential drives the colloid the other way: the direction is in the shape, not in the noise.

# %%
back = run(mirrored, seed=1).mean("turns")
print("turns of the mirror image", back)
print("they cancel:", it.decide(turns + back, 0.0, "==", tolerance=0.15).outcome)
print("switching costs work:", it.decide(work, 0.0, ">=").outcome)

# %%
print(it.decide(back - turns, 0.0, "<="))
