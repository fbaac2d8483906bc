# %% [markdown]
# # Noise raises the entropy of an image. Does it add information?
#
# No: it adds uncertainty. The entropy h(x_t) may rise or fall along a diffusion, depending on how wide the noise is
# compared with the data; the information I(x_0; x_t) about where it started only falls.

# %%
import infotherm as it

pr = it.processes
data = it.GaussianMixture([0.5, 0.5], [-1.0, 1.0], [0.04, 0.04])
wide = pr.VariancePreserving(beta_min=0.1, beta_max=8.0)
narrow = pr.VariancePreserving(beta_min=0.1, beta_max=8.0, kappa=0.1)

print("  t     h(x_t) wide noise    h(x_t) narrow noise    I(x_0; x_t) wide noise")
entropies, informations = [], []
for t in (0.05, 0.2, 0.5, 0.8, 1.0):
    entropies.append([it.entropy(process.marginal(data, t)) for process in (wide, narrow)])
    informations.append(it.mutual_information(wide.transition(0.0, t).joint(data), "x", "y"))
    rising, falling = (e.value.item() for e in entropies[-1])
    print(f"{t:5.2f}   {rising:14.6f}   {falling:20.6f}   {informations[-1].value.item():22.6f}")

# %% [markdown]
# "Entropy generally increases in the forward process" fails for narrow noise: its entropy ends below where it began.

# %%
print("wide:  ", it.decide(entropies[-1][0], entropies[0][0], ">="))
print("narrow:", it.decide(entropies[0][1], entropies[-1][1], ">="))

# %% [markdown]
# The information has a second route, which needs no entropy: half the integral of the mean-square error of denoising
# over the signal-to-noise ratio.

# %%
channel = wide.transition(0.0, 0.5)
snr = (channel.gain**2 / channel.noise_variance).item()
by_denoising = it.information.information_from_mmse(data, snr)
print(it.decide(informations[2], by_denoising, "==", tolerance=1e-8))
