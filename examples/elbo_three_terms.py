# %% [markdown]
# # The evidence lower bound of a diffusion in its three terms
#
# log p(x_0) = log of the integral over paths of q(x_1..T | x_0) * p(x_0..T) / q(x_1..T | x_0), and Jensen's inequality
# takes the logarithm inside:
#
#     log p(x_0) >= E_q[log p(x_0..T) - log q(x_1..T | x_0)].
#
# The chain rule p(x_0..T) = p(x_T) p(x_0 | x_1) prod p(x_s | x_t), and Bayes for q with the Markov property,
# q(x_t | x_s) = q(x_s | x_t, x_0) q(x_t | x_0) / q(x_s | x_0), make the products telescope. What is left are a
# reconstruction E log p(x_0 | x_1), a prior matching KL(q(x_T | x_0) || p(x_T)), and one denoising
# KL(q(x_s | x_t, x_0) || p(x_s | x_t)) a step.

# %%
import infotherm as it
from infotherm.information import DenoiserReversal, ExactReversal, elbo_terms

process = it.processes.OrnsteinUhlenbeck(rate=1.0, sigma=2.0**0.5)
data = it.Gaussian([1.0, -1.0], [[0.5, 0.3], [0.3, 0.4]])
times = [0.05, 0.2, 0.5, 1.0, 2.0]

# %% [markdown]
# With the true reversal the bound is tight: it is minus the entropy of the data, however coarse the steps.

# %%
exact = elbo_terms(process, data, ExactReversal(process, data, times[-1]), times)
print("reconstruction ", exact.reconstruction)
print("prior matching ", exact.prior_matching)
for s, t, term in zip(times, times[1:], exact.denoising_matching.value.tolist(), strict=False):
    print(f"denoising {t} -> {s}: {term:.6f}")
print("sum", exact.elbo, "  -h(data)", -it.entropy(data))

# %% [markdown]
# With the best denoiser E[x_0 | x_t] in the place of x_0 a step is a guess, and the bound is lower; Monte Carlo.

# %%
denoiser = DenoiserReversal(
    process,
    lambda x, t: process.transition(0.0, t).reverse(data).mean(x),
    prior=it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]),
    final_variance=0.05,
)
guessed = elbo_terms(process, data, denoiser, times, generator=0)
print("with a denoiser", guessed.elbo)

# %%
print(it.decide(-it.entropy(data), guessed.elbo, ">="))
