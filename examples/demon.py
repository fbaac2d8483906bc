# %% [markdown]
# # A demon that measures a colloid
#
# A colloid sits in a trap. A demon measures where, with some noise, and moves the trap to where it believes the colloid
# to be: work is taken out of the bath. The second law has a price list: never more than T times the information.

# %%
import infotherm as it

th = it.thermodynamics
prior = it.Gaussian(0.0, 1.0)

print("noise   information   shift: work, efficiency     shift and stiffen: efficiency")
for noise in (0.01, 0.1, 1.0, 10.0):
    measurement = it.LinearGaussianChannel(1.0, noise)
    plain = th.trap_engine(prior, measurement, "shift")
    best = th.trap_engine(prior, measurement, "shift-and-stiffen")
    print(
        f"{noise:5.2f}   {plain.information.value.item():9.4f}   {plain.extracted_work.value.item():12.4f}"
        f"  {plain.efficiency.value.item():10.4f}   {best.efficiency.value.item():18.4f}"
    )

# %% [markdown]
# Shifting the trap uses only the mean of what is known. Stiffening it to the width of what is left uncertain, and
# relaxing it slowly, gets back all of the information.
#
# Cycle by cycle the balance is an equality, <exp(W_ext / T - i)> = 1. A precise demon's average is ruled by rare
# cycles, and refused; a noisy one's is fine.

# %%
for noise in (0.5, 4.0):
    measurement = it.LinearGaussianChannel(1.0, noise)
    work, information = th.trap_cycles(prior, measurement, "shift", n_samples=20_000, generator=0)
    sampled = th.generalised_jarzynski(-work, information)
    print(f"noise {noise}: sampled {sampled}   by quadrature {th.trap_jarzynski(prior, measurement)}")

# %% [markdown]
# Szilard's engine, whose demon is wrong one time in ten, and Landauer's price of clearing the demon's memory: what the
# engine yields is what the eraser asks for.

# %%
engine = th.szilard_engine(error=0.1)
memory = it.Discrete([0.5, 0.5])
price = th.landauer_cost(memory, it.Discrete([1.0, 0.0]))
print("work of one cycle     ", engine.extracted_work)
print("information           ", engine.information)
print("clearing one bit costs", price)
print("the books balance:", it.decide(price, engine.extracted_work.value, ">=").outcome)

# %%
shift = th.trap_engine(prior, it.LinearGaussianChannel(1.0, 1.0), "shift")
print(it.decide(shift.information, shift.extracted_work.value, ">="))
