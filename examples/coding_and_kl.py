# %% [markdown]
# # Why the divergence is never negative: a code for the wrong law is longer
#
# An ideal code for the law Q spends -log2 q(x) bits on the outcome x. Under P it spends H(P, Q) bits on average, and
# H(P, Q) = H(P) + KL(P || Q): the divergence is the number of bits wasted, and nobody wastes less than none.

# %%
import torch

import infotherm as it

p = it.Discrete([0.5, 0.25, 0.125, 0.125])
q = it.Discrete([0.25, 0.25, 0.25, 0.25])

shortest = it.entropy(p).to("bit")
spent = it.cross_entropy(p, q).to("bit")
wasted = it.kl(p, q).to("bit")
print("ideal code       ", shortest)
print("code for uniform ", spent)
print("wasted           ", wasted)

# %% [markdown]
# How does the entropy of K equal outcomes scale? As log K: one bit for every doubling.

# %%
for k in (2, 4, 8, 1024):
    print(f"K = {k:4d}  ", it.entropy(it.Discrete([1 / k] * k)).to("bit"))

# %% [markdown]
# Minimising the cross-entropy over Q is minimising the divergence, since H(P) does not depend on Q: the gradients with
# respect to Q's parameters are the same numbers.

# %%
logits = torch.tensor([0.3, -0.2, 0.1, 0.0], dtype=torch.float64, requires_grad=True)
(by_cross_entropy,) = torch.autograd.grad(it.cross_entropy(p, it.Discrete(logits.softmax(0))).value, logits)
(by_divergence,) = torch.autograd.grad(it.kl(p, it.Discrete(logits.softmax(0))).value, logits)
print("gradients differ by", (by_cross_entropy - by_divergence).abs().max().item())

# %% [markdown]
# Why variational inference minimises KL(Q || P) and not KL(P || Q): its expectation is over Q, which one can sample,
# and log P enters only up to a constant. With P known up to its normaliser Z, the reverse divergence is known up to
# log Z.

# %%
posterior = it.Gaussian(1.0, 0.5)
unnormalised = it.LogDensity(lambda x: posterior.log_prob(x) + 3.0, check=False)
guess = it.Gaussian(0.0, 1.0)
shifted = it.kl(guess, unnormalised, method="monte-carlo", n_samples=20_000, generator=0)
print("reverse divergence - log Z", shifted, " exact", it.kl(guess, posterior) - 3.0)

# %%
print(it.decide(spent, shortest + wasted, "=="))
