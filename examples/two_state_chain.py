# %% [markdown]
# # Information along the simplest diffusion: a chain of two states
#
# A state flips at rate r. With x_0 uniform the chain after time t is a binary symmetric channel that flips with
# probability f = (1 - exp(-2 r t)) / 2, so that I(x_0; x_t) = log 2 - h_b(f): it only falls, by the data-processing
# inequality, and nothing is left in the end.

# %%
import math

import torch

import infotherm as it

rate = 0.7
chain = it.processes.MarkovJump([[0.0, rate], [rate, 0.0]])
start = it.Discrete([0.5, 0.5])

times = [0.0, 0.1, 0.3, 1.0, 3.0, 10.0]
information = []
for t in times:
    joint = chain.transition(0.0, t).joint(start, names=("x0", "xt"))
    information.append(it.mutual_information(joint, "x0", "xt"))
    flip = torch.tensor(-math.expm1(-2 * rate * t) / 2, dtype=torch.float64)
    by_hand = math.log(2) - it.binary_entropy(flip)
    print(f"t = {t:5.1f}   {information[-1].to('bit')}   by hand {by_hand.to('bit')}")

# %% [markdown]
# Falls at every step:

# %%
for earlier, later in zip(information, information[1:], strict=False):
    print(it.decide(earlier, later, ">=").outcome, end=" ")
print()

# %%
print(it.decide(information[3], math.log(2) - it.binary_entropy((1 - math.exp(-2 * rate)) / 2), "=="))
