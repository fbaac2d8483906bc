# %% [markdown]
# # A motor with three states: how precise can it be for what it burns?
#
# The motor steps forward at rate 3 and backward at rate 1 through three states. In a time t it makes J turns, on
# average v t of them, give or take sqrt(2 D t), and produces entropy at the rate s. The uncertainty relation says that
# precision is not free: s * (2 D) / v^2 >= 2.

# %%
import torch

import infotherm as it

pr, th = it.processes, it.thermodynamics


def motor(forward, backward):
    """Rates i -> j of the motor."""
    step = torch.tensor([[0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=torch.float64)
    return pr.MarkovJump(forward * step + backward * step.T)


turns = torch.tensor([[0, 1, -1], [-1, 0, 1], [1, -1, 0]], dtype=torch.float64) / 3
process = motor(3.0, 1.0)
statistics, burnt = th.current_statistics(process, turns), th.entropy_production_rate(process)
print("turns per time   ", statistics.mean)
print("variance per time", statistics.variance)
print("entropy per time ", burnt)
print("entropy per turn ", th.cycle_affinity(process, [0, 1, 2]))
ratio = th.uncertainty_ratio((statistics.mean, statistics.variance), burnt)
print("uncertainty ratio", ratio)

# %% [markdown]
# Near equilibrium the relation is tight; a motor that is driven hard wastes entropy.

# %%
for forward in (1.01, 2.0, 3.0, 10.0, 100.0):
    driven = motor(forward, 1.0)
    found = th.current_statistics(driven, turns)
    cost = th.uncertainty_ratio((found.mean, found.variance), th.entropy_production_rate(driven))
    print(f"forward rate {forward:6.2f}: ratio {cost.value.item():.5f}")

# %% [markdown]
# Gallavotti and Cohen: the cumulant generating function of the turns is symmetric about minus half the entropy per
# turn. Backward turns are as rare as the entropy they would destroy says.

# %%
affinity = th.cycle_affinity(process, [0, 1, 2]).value
q = torch.linspace(-3.0, 0.5, 5, dtype=torch.float64)
generating = th.cumulant_generating_function(process, turns, q)
print("lambda(q)      ", generating.value.tolist())
print("largest residual", th.gallavotti_cohen_residual(process, q, turns, affinity).value.abs().max().item())

# %% [markdown]
# The same from paths: simulated exactly, jump by jump.

# %%
paths = th.simulate(process, it.Discrete([1 / 3, 1 / 3, 1 / 3]), 5.0, 5000, counting=turns, generator=0)
print("simulated ratio ", th.uncertainty_ratio(paths.entry("current"), paths.mean("entropy_production")))
print("<exp(-S)>       ", th.integral_fluctuation_theorem(th.simulate(
    process, it.Discrete([1 / 3, 1 / 3, 1 / 3]), 0.5, 20_000, generator=1)))  # fmt: skip

# %%
print(it.decide(ratio, 1.0, ">="))
