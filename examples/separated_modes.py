# %% [markdown]
# # Monte Carlo against a law that it hardly visits
#
# P has a rare second mode, Q has not. The divergence KL(P || Q) is dominated by draws that come once in ten thousand:
# a thousand of them see nothing of it, and their standard error is small and wrong. Quadrature sees the whole line.

# %%
import warnings

import infotherm as it

rare = 1e-4
p = it.GaussianMixture([1 - rare, rare], [0.0, 60.0], [1.0, 1.0])
q = it.Gaussian(0.0, 1.0)

exact = it.kl(p, q, method="quadrature")
print("quadrature   ", exact)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for seed in range(4):
        sampled = it.kl(p, q, method="monte-carlo", n_samples=1_000, generator=seed)
        print("monte-carlo  ", sampled, sampled.info.get("reason", ""))

# %% [markdown]
# The other direction is tame: Q never leaves the first mode, and KL(Q || P) is about the rare weight. Forward
# divergences cover modes, reverse ones seek them: the best Gaussian for two modes depends on the direction.

# %%
modes = it.GaussianMixture([0.6, 0.4], [-3.0, 3.0], [1.0, 1.0])
covering = it.information.forward_kl_fit(modes)
seeking = it.information.reverse_kl_fit(modes, start=it.Gaussian(-2.0, 1.0))
for name, fit in (("forward", covering), ("reverse", seeking)):
    law = fit.law
    print(f"{name}: mean {law.mean.item():+.3f}, variance {law.variance.item():.3f}, divergence {fit.divergence}")

# %%
print(it.decide(exact, it.kl(q, p), ">="))
