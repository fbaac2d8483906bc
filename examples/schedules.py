# %% [markdown]
# # Which noise schedule wastes least?
#
# A diffusion model turns data into noise along a path of laws. In the Wasserstein metric that path has a length L and a
# speed. Run in a time T its action is at least L^2 / T, which is at least W2^2 / T: a schedule can waste by a detour,
# and by running unevenly.

# %%
import infotherm as it

pr, th, tr = it.processes, it.thermodynamics, it.transport
data = it.Gaussian([1.5, -0.5], [[0.5, 0.2], [0.2, 1.5]])
schedules = {
    "VP, linear": pr.VariancePreserving(),
    "VP, cosine": pr.VariancePreserving(beta=pr.cosine_schedule()),
    "VE": pr.VarianceExploding(sigma_min=0.01, sigma_max=5.0),
    "straight line": pr.StraightLine(sigma0=1.0),
}

# %% [markdown]
# The noise of a straight line diverges at t = 1: it stops at 0.99.

# %%
table = tr.compare_schedules(schedules, data, until={"straight line": 0.99})
for name in schedules:
    row = table.sel(schedule=name)
    detour, uneven, waste = (float(row[key]) for key in ("detour", "unevenness", "waste"))
    print(f"{name:14s} length / W2 {detour:.3f}   unevenness {uneven:.3f}   action / least action {waste:.3f}")

# %% [markdown]
# A clock that runs every schedule at constant speed mends the unevenness, not the detour. The entropy production does
# not change at all: noise and drift are slowed down together.

# %%
clock = tr.constant_speed_clock(schedules["VP, linear"], data, 1.0)
even = clock.retimed()
print("half of the way is covered at t =", round(float(clock.time(0.5)), 4))
print("action before", clock.action)
print("action after ", clock.least_action)
before, after = (
    th.entropy_production(process, data, 1.0, method="quadrature", tolerance=1e-8)
    for process in (schedules["VP, linear"], even)
)
print("entropy production", before, "and", after)

# %% [markdown]
# What may such a model forgive? Data that are off by a little, carried by the same probability flow, end up off by
# something else; how much W1 can change is bounded by the action.

# %%
start, shifted = it.Gaussian(1.5, 0.5), it.Gaussian(1.55, 0.5)
print(
    it.bounds.check("speed-accuracy", process=schedules["VP, linear"], initial=start, perturbed=shifted, duration=1.0)
)

# %%
print(it.decide(before, after, "==", tolerance=1e-6))
