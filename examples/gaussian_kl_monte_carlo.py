# %% [markdown]
# # KL between multivariate Gaussians: closed form against Monte Carlo
#
# The standard error of Monte Carlo falls as 1 / sqrt(n); the closed form is right to a few units in its last place.

# %%
import torch

import infotherm as it

generator = torch.Generator().manual_seed(0)
a, b = torch.randn(2, 4, 4, dtype=torch.float64, generator=generator)
p = it.Gaussian(torch.zeros(4), a @ a.T + torch.eye(4))
q = it.Gaussian(torch.ones(4), b @ b.T + torch.eye(4))

exact = it.kl(p, q)
print("closed form        ", exact)
for n in (100, 1_000, 10_000, 100_000, 1_000_000):
    sampled = it.kl(p, q, method="monte-carlo", n_samples=n, generator=generator)
    z = (sampled.value - exact.value) / sampled.stderr
    print(f"n = {n:9,d}       {sampled}   off by {z.item():+.1f} standard errors")

# %% [markdown]
# Which rules exist, and why this one was taken:

# %%
print(it.explain("kl", p, q))

# %% [markdown]
# The two routes agree as far as the errors allow to say: an equivalence test at the 1 % level.

# %%
print(it.decide(sampled, exact, "==", tolerance=0.05))
