# %% [markdown]
# # How much must moving cost?
#
# Carrying a law p_0 to p_T under noise sigma produces at least 2 W2(p_0, p_T)^2 / (integral of sigma^2) of entropy.
# Relaxation pays more; the drift that follows the Wasserstein geodesic at the speed of the noise pays exactly that.

# %%
import infotherm as it

bound = it.bounds.get("speed-limit-w2")
print(bound.statement, " source:", bound.source)

# %%
start = it.Gaussian([2.0, 0.0], [[0.25, 0.0], [0.0, 2.0]])
relaxing = it.processes.OrnsteinUhlenbeck(rate=1.0, sigma=2.0**0.5)
for duration in (0.1, 0.5, 2.0):
    verdict = it.bounds.check("speed-limit-w2", process=relaxing, initial=start, duration=duration)
    print(f"T = {duration}: {verdict.outcome}, tightness {float(verdict.tightness):.4f}")

# %% [markdown]
# The published constant of the workshop paper, 1/2 instead of 2, is true and four times too loose. Here is the case
# that the right one cannot be improved on:

# %%
print(it.bounds.check("speed-limit-w2", **bound.saturated_by()))
