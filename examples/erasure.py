# %% [markdown]
# # Erasing a bit in finite time
#
# A particle in a double well stores a bit. To reset it costs at least log 2 of heat (over k_B T), and haste costs
# W2^2 / (D T) on top: the squared Wasserstein distance from the law before to the law after.

# %%
import math

import infotherm as it

tr = it.transport
well = it.processes.Langevin(potential=lambda x: 3 * ((x**2 - 1) ** 2).sum(-1), temperature=1.0)
before = well.quasi_invariant(0.0)
after = tr.truncated(before, lower=0.0)
for duration in (0.5, 5.0, 50.0):
    heat = tr.finite_time_landauer(before, after, sigma=2**0.5, duration=duration)
    print(f"T = {duration}: at least {heat.value.item():.6f} +- {heat.error.item():.0e}, log 2 = {math.log(2):.6f}")

# %% [markdown]
# The path that attains it moves every quantile on a straight line. The right well gives way to the left one: points at
# the top of the barrier have the farthest to go for their density.

# %%
path = tr.geodesic(before, after)
for place in (-1.0, 0.0, 1.0):
    print(f"from {place:+.1f} to {path.map([place]).item():+.4f}")

# %% [markdown]
# Two overlapping Gaussians are no perfect bit, and their reset is driven by a smooth force. How stiff is it? A time
# step must be short beside the inverse of the largest slope of the drift.

# %%
bit = it.GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.25]], [[0.25]]])
reset = it.Gaussian(1.0, 0.25)
drive = tr.optimal_protocol(bit, reset, sigma=2**0.5, duration=2.0)
for t in (0.0, 1.0, 2.0):
    print(f"t = {t}: |db/dx| up to {drive.stiffness(t).item():.1f}")
print(f"steps for Euler's method: {drive.recommended_steps()}")

# %% [markdown]
# A restricted control can only do worse: an overdamped trap that is dragged steadily, against the best protocol, which
# jumps at both ends, and against the least of all drives to the same end.

# %%
trap = tr.moved_trap(stiffness=1.0, distance=2.0, duration=2.0)
print(f"jumps by {trap.jump.item():.2f}; work {trap.work.value.item():.4f}, steady {trap.ramp_work.value.item():.4f}")
print(it.decide(trap.ramp_work, trap.work, ">="))
