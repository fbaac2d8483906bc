# %% [markdown]
# # Testing an estimator that somebody else wrote
#
# A mutual information of two columns from their correlation: right for Gaussian data, or so its author says. The laws
# that every estimator of mutual information obeys need no source code, only the function.

# %%
import numpy as np

import infotherm as it
from infotherm.testing import as_estimator, check_estimator, tasks


def correlation_information(x, y):
    covariance = (x[:, 0] - x[:, 0].mean()) @ (y[:, 0] - y[:, 0].mean()) / (len(x) - 1)
    correlation = covariance / (x[:, 0].std() * y[:, 0].std() + 1e-6)  # "so that it never divides by zero"
    return -0.5 * np.log(1 - min(correlation**2, 1 - 1e-12))


claims = {"consistent_for": "gaussian", "most_dimensions": 1}
theirs = as_estimator(correlation_information, quantity="mutual_information", units="nat", tags=claims)

# %% [markdown]
# Exact laws involve no chance. The constant that guards the division has a unit: small data have less information.

# %%
for result in check_estimator(theirs, laws=["symmetry", "shift", "common-scale", "tiny-scale"]).results:
    print(f"{result.status:8}{result.law:14}{result.reason}")

# %% [markdown]
# A known defect can be declared with its reason, so that only new ones raise an alarm. In pytest the same laws are one
# decorator: `@parametrize_with_laws([theirs], expected_failures={...})`.

# %%
known = {"tiny-scale": "the guard against division by zero has a unit"}
print(check_estimator(theirs, laws=["tiny-scale"], expected_failures=known).results[0].status)

# %% [markdown]
# Laws of chance have a stated probability of failing a correct estimator, one in a million over all of them together.
# Here the package's own estimator, in the sizes of sample where it claims to be without bias.

# %%
report = check_estimator(it.estimators.GaussianPlugIn(), "mutual_information", laws=["bias", "independence"], seed=1)
print(report)

# %% [markdown]
# Ground truths come with names: laws that can be sampled, and an exact number.

# %%
task = tasks.get("gaussian-3x3-1.0")
estimate = it.estimators.GaussianPlugIn().estimate(*task.sample(2000, generator=0))
print(task.description, "|", estimate)
print(it.decide(estimate, task.truth, "==", tolerance=0.15))
