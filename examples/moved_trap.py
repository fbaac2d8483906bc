# %% [markdown]
# # A colloid in a moved trap: free energies from irreversible work
#
# A trap is dragged at a constant speed. The free energy of its colloid does not change, yet the work is positive on
# average: what is done is dissipated. Jarzynski's equality finds the zero all the same, as long as some paths go
# nearly without dissipation; when none does, the average must not be believed.

# %%
import math
import warnings

import torch

import infotherm as it

pr, th = it.processes, it.thermodynamics


def works(speed, n, seed):
    """Work of dragging a trap of stiffness 1 at T = 1 over a time 2, and of dragging it back."""
    ahead = pr.AffineDiffusion([[-1.0]], 2**0.5, lambda t: speed * t[..., None], horizon=2.0)
    back = pr.AffineDiffusion([[-1.0]], 2**0.5, lambda t: speed * (2 - t)[..., None], horizon=2.0)
    forward = th.simulate(ahead, it.Gaussian(0.0, 1.0), 2.0, n, 20, generator=seed)
    return forward, th.simulate(back, it.Gaussian(2 * speed, 1.0), 2.0, n, 20, generator=seed + 1)


forward, reverse = works(1.0, 5000, seed=0)
mean = 1 + math.exp(-2)
print("mean work    ", forward.mean("work"), " closed form", round(mean, 4))
print("variance     ", forward.work.var().item(), " closed form", round(2 * mean, 4))

# %% [markdown]
# One direction, both directions, and Crooks' theorem itself: ln p_F(W) / p_R(-W) is W - dF, with slope one.

# %%
print("Jarzynski    ", th.jarzynski(forward))
print("both ways    ", th.crooks(forward, reverse))
print("Crooks' slope", th.crooks_slope(forward, reverse))

# %% [markdown]
# Dragged faster, the trap dissipates 10 T. The exponential average is now ruled by paths that no sample holds: the
# package returns a number of kind "unknown" and says why. With paths of both directions there is still an answer.

# %%
fast, fast_back = works(math.sqrt(10 / mean), 5000, seed=2)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    blind = th.jarzynski(fast)
both = th.crooks(fast, fast_back)
print("Jarzynski    ", blind.kind, "|", blind.info["reason"])
print("both ways    ", both)

# %% [markdown]
# The least work for the same distance and time: a jump at either end, and a constant speed between them.

# %%
best = pr.Langevin(
    potential=lambda x, c: 0.5 * ((x - c) ** 2).sum(-1),
    sigma=2**0.5,
    protocol=pr.Protocol([0.0, 0.0, 2.0, 2.0], torch.tensor([0.0, 0.5, 1.5, 2.0])),
)
least = th.simulate(best, it.Gaussian(0.0, 1.0), 2.0, 2000, 40, final_law=False, generator=4).mean("work")
print("least work   ", least, " closed form 1")
print("dragging costs more:", it.decide(forward.mean("work"), 1.0, ">=").outcome)

# %%
print(it.decide(both, 0.0, "==", tolerance=0.5))
